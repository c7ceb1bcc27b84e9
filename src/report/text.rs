//! The report for a person: what changes, why, what proves it, and what is left alone.

use std::fmt::Write as _;

use annotate_snippets::{AnnotationKind, Level as Severity, Renderer, Snippet};
use anstyle::{AnsiColor, Style};

use super::{File, Report, Status, count, diff, lines};
use crate::{
    pass::{Level, Reason},
    pipeline::{Refused, Step},
};

/// How much of a line that is wrong is shown, in bytes.
const SOURCE_LINE: usize = 300;

/// How the text is written.
#[derive(Clone, Copy, Debug)]
pub struct Look {
    /// Lines around each change.
    pub unified: usize,
    pub colour: bool,
    /// Also what gains nothing.
    pub show_refusals: bool,
    /// No more than what changes.
    pub quiet: bool,
    pub verbose: bool,
}

/// The report on standard output.
#[must_use]
pub fn render(report: &Report, look: Look) -> String {
    let mut out = String::new();
    for file in &report.files {
        of_file(&mut out, file, look);
    }
    let proof = report.files.iter().any(File::is_changed) && !report.written;
    let _ = writeln!(out, "{}{}", last_line(report), if proof { "   Prove it: dfopt verify" } else { "" });
    out
}

/// `--check` and a quiet `--write`: a line for each file that changes, then the count.
#[must_use]
pub fn names(report: &Report, look: Look) -> String {
    let mut out = String::new();
    let verb = if report.written { "wrote" } else { "would change" };
    for file in report.files.iter().filter(|f| f.is_changed()) {
        let mut passes: Vec<(&str, usize)> = Vec::new();
        for step in &file.changes {
            match passes.iter_mut().find(|(name, _)| *name == step.pass) {
                Some((_, n)) => *n += 1,
                None => passes.push((step.pass, 1)),
            }
        }
        let passes: Vec<String> =
            passes.iter().map(|(p, n)| if *n == 1 { (*p).to_owned() } else { format!("{p} {n}") }).collect();
        let passes = if passes.is_empty() { String::new() } else { format!(": {}", passes.join(", ")) };
        let _ = writeln!(out, "{verb} {}{passes}", diff::printable(&file.path));
    }
    if !look.quiet {
        let _ = writeln!(out, "{}", last_line(report));
    }
    out
}

/// What the passes of `asked` say of the instruction on 1-based line `line`.
#[must_use]
pub fn why(file: &File, line: u32, asked: &[&str], colour: bool) -> String {
    let paint = Paint(colour);
    let touches = |lines: (u32, u32)| (lines.0..=lines.1).contains(&line);
    let mut out = String::new();
    let text = String::from_utf8_lossy(&file.before);
    let shown = text.lines().nth(line as usize - 1).unwrap_or_default();
    let _ = writeln!(out, "{}:{line}   {}\n", diff::printable(&file.path), diff::printable(shown));
    let mut silent = Vec::new();
    for &pass in asked {
        let mut said = false;
        for (steps, held) in [(&file.changes, false), (&file.held, true)] {
            for s in steps.iter().filter(|s| s.pass == pass && touches(s.lines)) {
                said = true;
                step(&mut out, s, paint);
                if held {
                    out.push_str("  held back: --level review\n");
                }
                out.push('\n');
            }
        }
        for r in file.refusals.iter().filter(|r| r.pass == pass && touches(r.lines)) {
            said = true;
            let name = paint.with(Style::new().bold(), pass);
            let _ = writeln!(out, "  {name} · {}", paint.with(AnsiColor::Yellow.on_default(), "refused"));
            let _ = writeln!(
                out,
                "  why     {} ({}: {})",
                diff::printable(&r.message),
                r.reason,
                r.reason.text()
            );
            if !r.unlock.is_empty() {
                let _ = writeln!(out, "  unlock  {}", diff::printable(&r.unlock));
            }
            if r.moot && r.reason != Reason::NoGain {
                out.push_str("  gain    none, if it could be done\n");
            }
            out.push('\n');
        }
        for f in file.faults.iter().filter(|f| f.pass == pass && touches(f.lines)) {
            said = true;
            let _ = writeln!(
                out,
                "  {pass} · rolled back\n  why     {} ({})\n",
                diff::printable(&f.message),
                f.rule
            );
        }
        if !said {
            silent.push(pass);
        } else if asked.len() == 1 {
            let _ = writeln!(out, "all that it asks for: dfopt explain {pass}");
        }
    }
    for r in file.refusals.iter().filter(|r| r.pass == super::EVERY_PASS) {
        let _ = writeln!(
            out,
            "  every pass · refused\n  why     {} ({})\n  unlock  {}\n",
            r.message, r.reason, r.unlock
        );
        silent.clear();
    }
    if !silent.is_empty() {
        let _ = writeln!(out, "nothing to say: {}", silent.join(", "));
    }
    out
}

/// What goes to standard error: files that could not be read or understood, and steps that were rolled back.
#[must_use]
pub fn errors(report: &Report, colour: bool) -> String {
    let renderer = if colour { Renderer::styled() } else { Renderer::plain() };
    let mut out = String::new();
    for error in &report.errors {
        let group = Severity::ERROR.primary_title(error.as_str());
        let _ = writeln!(
            out,
            "{}",
            renderer.render(&[group.elements(Vec::<Snippet<'_, annotate_snippets::Annotation<'_>>>::new())])
        );
    }
    for file in &report.files {
        if let Some(error) = &file.error {
            let title = Severity::ERROR.primary_title(error.message.as_str()).id(error.code.as_str());
            let group = match error.line {
                Some(line) => {
                    let source = source_line(&file.before, line);
                    title.element(
                        Snippet::source(source.clone())
                            .line_start(line as usize)
                            .path(file.path.as_str())
                            .annotation(AnnotationKind::Primary.span(0..source.len())),
                    )
                }
                None => title.element(annotate_snippets::Origin::path(file.path.as_str())),
            };
            let group = match &error.help {
                Some(help) => group.element(Severity::HELP.message(help.as_str())),
                None => group,
            };
            let _ = writeln!(out, "{}", renderer.render(&[group]));
        }
        for fault in &file.faults {
            let title = format!("{}: a step was not done, for it did not keep what it promised", fault.pass);
            let group = Severity::ERROR.primary_title(title).id(fault.rule);
            let place = annotate_snippets::Origin::path(file.path.as_str()).line(fault.lines.0 as usize);
            let note = Severity::NOTE
                .message(format!("{}; please report this, it is a fault of dfopt", fault.message));
            let _ = writeln!(out, "{}", renderer.render(&[group.element(place).element(note)]));
        }
    }
    out
}

/// 1-based line `line` of a file for a terminal; of a very long one the beginning.
fn source_line(text: &[u8], line: u32) -> String {
    let body = text.split(|b| *b == b'\n').nth(line.saturating_sub(1) as usize).unwrap_or_default();
    let shown = String::from_utf8_lossy(&body[..body.len().min(SOURCE_LINE)]);
    let dots = if body.len() > SOURCE_LINE { "…" } else { "" };
    diff::printable(&shown) + dots
}

fn of_file(out: &mut String, file: &File, look: Look) {
    let paint = Paint(look.colour);
    let refused: Vec<&Refused> = file.refusals.iter().filter(|r| look.show_refusals || !r.moot).collect();
    let silent = file.changes.is_empty() && refused.is_empty() && file.held.is_empty() && !file.is_changed();
    if file.status == Status::Error || (silent && !look.verbose) || (look.quiet && !file.is_changed()) {
        return;
    }
    let head = paint.with(Style::new().bold(), &diff::printable(&file.path));
    let context = file.contexts.iter().map(|c| format!("{} ({})", diff::printable(&c.dir), c.why));
    let context: Vec<String> = context.collect();
    match context.is_empty() {
        true => _ = writeln!(out, "{head}\n"),
        false => _ = writeln!(out, "{head}   context {}\n", context.join(", ")),
    }
    if file.is_changed() {
        hunks(out, file, look);
    }
    if let Some(rebuild) = file.rebuild.filter(|_| file.is_changed()) {
        let edits = [("a source file", rebuild.source_edit), ("a manifest", rebuild.manifest_edit)];
        let differ = edits.into_iter().filter(|(_, rerun)| rerun.before != rerun.after);
        let told = differ.map(|(what, rerun)| {
            let steps = count(rerun.after, "step");
            let run = if rerun.after == 1 { "runs" } else { "run" };
            format!(
                "rebuild   after an edit of {what} {steps} of {} {run} again, not {} (estimated)\n",
                rerun.steps, rerun.before
            )
        });
        let told: String = told.collect();
        if !told.is_empty() {
            out.push_str(&told);
            out.push('\n');
        }
    }
    if look.quiet {
        return;
    }
    for r in &refused {
        let place = if r.pass == super::EVERY_PASS { String::new() } else { format!("{}: ", r.pass) };
        let label = paint.with(AnsiColor::Yellow.on_default(), "refused  ");
        let _ = writeln!(
            out,
            "{label} {}  {place}{} ({})",
            lines(r.lines),
            diff::printable(&r.message),
            r.reason
        );
        if !r.unlock.is_empty() {
            let _ = writeln!(out, "          unlock: {}", diff::printable(&r.unlock));
        }
    }
    if !file.held.is_empty() {
        let mut names: Vec<&str> = file.held.iter().map(|s| s.pass).collect();
        names.sort_unstable();
        names.dedup();
        let _ = writeln!(out, "held back {}: --level review", names.join(", "));
    }
    if !refused.is_empty() || !file.held.is_empty() {
        out.push('\n');
    }
}

/// Each hunk, and under it the steps whose lines it shows; what no hunk shows stands at the end.
fn hunks(out: &mut String, file: &File, look: Look) {
    let paint = Paint(look.colour);
    let hunks = diff::hunks(&file.before, &file.after, look.unified);
    let mut left: Vec<&Step> = file.changes.iter().collect();
    for hunk in &hunks {
        let _ = writeln!(out, "{}", paint.with(diff::style_of_header(), &hunk.header));
        for (mark, line) in &hunk.lines {
            // Text for a person: what is not UTF-8 is replaced.
            if look.colour {
                out.push_str(&String::from_utf8_lossy(&diff::render_line(*mark, line, true)));
            } else {
                let body = String::from_utf8_lossy(line.strip_suffix(b"\n").unwrap_or(line)).into_owned();
                let _ = writeln!(out, "{}{}", mark.sign(), diff::printable(&body));
            }
        }
        let (here, rest): (Vec<_>, Vec<_>) =
            left.into_iter().partition(|s| s.lines.0 <= hunk.old.1 && hunk.old.0 <= s.lines.1);
        left = rest;
        here.into_iter().for_each(|s| step(out, s, paint));
        out.push('\n');
    }
    if !left.is_empty() {
        left.into_iter().for_each(|s| step(out, s, paint));
        out.push('\n');
    }
}

fn step(out: &mut String, step: &Step, paint: Paint) {
    let level = match step.level {
        Level::Safe => AnsiColor::Green,
        Level::Review => AnsiColor::Yellow,
    };
    let name = paint.with(Style::new().bold(), step.pass);
    let level = paint.with(level.on_default(), &step.level.to_string());
    let _ = writeln!(out, "  {name} · {level}\n  why     {}", diff::printable(&step.message));
    let evidence = step.evidence.iter().map(String::as_str).map(diff::printable);
    block(out, "proof", evidence);
    block(out, "assumes", step.assumes.iter().map(|a| format!("{} ({})", a.text(), a.id())));
}

fn block(out: &mut String, name: &str, texts: impl Iterator<Item = String>) {
    for (i, text) in texts.enumerate() {
        let _ = writeln!(out, "  {:<7} {text}", if i == 0 { name } else { "" });
    }
}

fn last_line(report: &Report) -> String {
    let of = |n: usize| count(n, "file");
    let errors = report.errors.len() + report.files.iter().filter(|f| f.status == Status::Error).count();
    let mut line = of(report.files.len());
    let changed = report.files.iter().filter(|f| f.is_changed()).count();
    match (changed, report.written) {
        (0, _) => line += ", nothing to do",
        (n, true) => _ = write!(line, ", {} in {} written", count(report.changes(), "change"), of(n)),
        (n, false) if n == report.files.len() => _ = write!(line, ", {}", count(report.changes(), "change")),
        (n, false) => _ = write!(line, ", {} in {}", count(report.changes(), "change"), of(n)),
    }
    if errors != 0 {
        let _ = write!(line, ", {}", count(errors, "error"));
    }
    if changed != 0 && !report.written {
        line += ". Write it: dfopt --write";
    }
    line
}

#[derive(Clone, Copy)]
struct Paint(bool);

impl Paint {
    fn with(self, style: Style, text: &str) -> String {
        if self.0 { format!("{style}{text}{style:#}") } else { text.to_owned() }
    }
}
