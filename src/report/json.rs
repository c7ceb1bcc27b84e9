//! The report as one JSON document. `schema` counts up when a field changes its meaning; new fields may come without.

use std::collections::BTreeMap;

use serde::Serialize;

use super::{ContextNote, File, FileError, Kind, Report, Status, diff, step_edits};
use crate::{cost::Rebuild, edit::Edit, pipeline::Step, repo::write::sha256};

/// The version of the document's shape.
pub const SCHEMA: u32 = 1;

#[derive(Serialize)]
struct Document<'a> {
    schema: u32,
    dfopt: &'static str,
    level: crate::pass::Level,
    written: bool,
    files: Vec<FileEntry<'a>>,
    /// What has no entry in `files`.
    errors: &'a [String],
    totals: Totals,
}

#[derive(Serialize)]
struct FileEntry<'a> {
    path: &'a str,
    kind: Kind,
    context: Option<&'a ContextNote>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    more_contexts: &'a [ContextNote],
    status: Status,
    changes: Vec<ChangeEntry<'a>>,
    held: Vec<HeldEntry<'a>>,
    refusals: Vec<RefusalEntry<'a>>,
    rebuild: Option<&'a Rebuild>,
    faults: Vec<FaultEntry<'a>>,
    sha256: Option<String>,
    edits: Vec<EditEntry<'a>>,
    diff: Option<String>,
    error: Option<&'a FileError>,
}

#[derive(Serialize)]
struct ChangeEntry<'a> {
    pass: &'a str,
    level: crate::pass::Level,
    lines: (u32, u32),
    message: &'a str,
    evidence: &'a [String],
    assumes: Vec<&'static str>,
    edits: Vec<EditEntry<'a>>,
}

#[derive(Serialize)]
struct HeldEntry<'a> {
    pass: &'a str,
    level: crate::pass::Level,
    lines: (u32, u32),
    message: &'a str,
    assumes: Vec<&'static str>,
}

#[derive(Serialize)]
struct RefusalEntry<'a> {
    pass: &'a str,
    lines: (u32, u32),
    reason: &'static str,
    message: &'a str,
    unlock: &'a str,
}

#[derive(Serialize)]
struct FaultEntry<'a> {
    pass: &'a str,
    lines: (u32, u32),
    rule: &'a str,
    message: &'a str,
}

#[derive(Serialize)]
struct EditEntry<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    path: Option<String>,
    start: u32,
    end: u32,
    text: std::borrow::Cow<'a, str>,
    /// The bytes of `text`, where they are no UTF-8.
    #[serde(skip_serializing_if = "Option::is_none")]
    hex: Option<String>,
}

#[derive(Default, Serialize)]
struct Totals {
    files: usize,
    changed: usize,
    errors: usize,
    by_pass: BTreeMap<&'static str, usize>,
    by_reason: BTreeMap<&'static str, usize>,
}

/// The document, with a line end. `unified` is the number of context lines of its diffs.
#[must_use]
pub fn render(report: &Report, unified: usize) -> String {
    let entries: Vec<_> = report.files.iter().map(|f| (f, f.edits())).collect();
    let document = Document {
        schema: SCHEMA,
        dfopt: env!("CARGO_PKG_VERSION"),
        level: report.level,
        written: report.written,
        files: entries.iter().map(|(f, edits)| entry(f, edits, unified)).collect(),
        errors: &report.errors,
        totals: totals(report),
    };
    let mut out = serde_json::to_string_pretty(&document).expect("no key is anything but text");
    out.push('\n');
    out
}

fn entry<'a>(file: &'a File, edits: &'a [Edit], unified: usize) -> FileEntry<'a> {
    let held = |s: &'a Step| HeldEntry {
        pass: s.pass,
        level: s.level,
        lines: s.lines,
        message: &s.message,
        assumes: s.assumes.iter().map(|a| a.text()).collect(),
    };
    let diff = diff::of_file(file, unified, false);
    let has_text = !file.is_new && (file.status != Status::Error || !file.before.is_empty());
    FileEntry {
        path: &file.path,
        kind: file.kind,
        context: file.contexts.first(),
        more_contexts: file.contexts.get(1..).unwrap_or_default(),
        status: file.status,
        changes: file.changes.iter().map(|s| change(file, s)).collect(),
        held: file.held.iter().map(held).collect(),
        refusals: file.refusals.iter().map(refusal).collect(),
        rebuild: file.rebuild.as_ref(),
        faults: file.faults.iter().map(fault).collect(),
        sha256: has_text.then(|| sha256(&file.before)),
        edits: edits.iter().map(|e| edit(None, e.span.start, e.span.end, &e.text)).collect(),
        diff: (file.is_changed() && !diff.is_empty()).then(|| String::from_utf8_lossy(&diff).into_owned()),
        error: file.error.as_ref(),
    }
}

fn change<'a>(file: &File, step: &'a Step) -> ChangeEntry<'a> {
    let edits = step_edits(step, &file.path, file.contexts.first()).into_iter();
    ChangeEntry {
        pass: step.pass,
        level: step.level,
        lines: step.lines,
        message: &step.message,
        evidence: &step.evidence,
        assumes: step.assumes.iter().map(|a| a.text()).collect(),
        edits: edits.map(|(path, span, text)| edit(Some(path), span.start, span.end, text)).collect(),
    }
}

fn refusal(r: &crate::pipeline::Refused) -> RefusalEntry<'_> {
    let crate::pipeline::Refused { pass, lines, reason, message, unlock, .. } = r;
    RefusalEntry { pass, lines: *lines, reason: reason.id(), message, unlock }
}

fn fault(f: &crate::pipeline::RolledBack) -> FaultEntry<'_> {
    FaultEntry { pass: f.pass, lines: f.lines, rule: f.rule, message: &f.message }
}

fn edit(path: Option<String>, start: u32, end: u32, text: &[u8]) -> EditEntry<'_> {
    let hex = std::str::from_utf8(text).is_err().then(|| text.iter().map(|b| format!("{b:02x}")).collect());
    EditEntry { path, start, end, text: String::from_utf8_lossy(text), hex }
}

fn totals(report: &Report) -> Totals {
    let mut out = Totals { files: report.files.len(), errors: report.errors.len(), ..Totals::default() };
    for file in &report.files {
        out.changed += usize::from(file.is_changed());
        out.errors += usize::from(file.status == Status::Error);
        for step in file.changes.iter().filter(|_| file.status != Status::Error) {
            *out.by_pass.entry(step.pass).or_default() += 1;
        }
        for refused in &file.refusals {
            *out.by_reason.entry(refused.reason.id()).or_default() += 1;
        }
    }
    out
}
