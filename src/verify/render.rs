//! What came out, as a table for a person, JSON for a program, and markdown for a pull request.

use std::{collections::BTreeMap, fmt::Write as _};

use anstyle::{AnsiColor, Style};
use comfy_table::{CellAlignment, Table, presets};
use serde::Serialize;

use super::{
    Blame, Measures, Outcome, TOLD, Verdict,
    differ::{Difference, Place},
    measure::{Measured, Rebuilt},
    start::Answer,
};
use crate::report::{count, lines};

/// The version of the JSON document's shape; it counts up when a field changes its meaning.
pub const SCHEMA: u32 = 1;

/// For a person; `verbose` tells each difference that was declared.
#[must_use]
pub fn text(outcomes: &[Outcome], colour: bool, verbose: bool) -> String {
    let mut out = String::new();
    for outcome in outcomes {
        let good = if outcome.is_equivalent() { AnsiColor::Green } else { AnsiColor::Red };
        let paint = |style: Style, text: &str| {
            if colour { format!("{style}{text}{style:#}") } else { text.to_owned() }
        };
        let _ = writeln!(out, "{}", paint(Style::new().bold(), &title(outcome)));
        for step in &outcome.steps {
            let _ = writeln!(out, "  {step}");
        }
        let _ = writeln!(out, "\n{}", paint(good.on_default().bold(), &sentence(outcome)));
        for line in details(outcome) {
            let _ = writeln!(out, "  {line}");
        }
        for (pass, d) in outcome.declared.iter().filter(|_| verbose) {
            let _ = writeln!(out, "  {pass} declares {}", difference(d));
        }
        let _ = writeln!(out, "\n{}", table(outcome, presets::NOTHING));
        for note in &outcome.notes {
            let _ = writeln!(out, "note: {note}");
        }
        out.push('\n');
    }
    out
}

/// For a pull request.
#[must_use]
pub fn markdown(outcomes: &[Outcome]) -> String {
    let mut out = String::new();
    for outcome in outcomes {
        let mark = if outcome.is_equivalent() { "✅" } else { "❌" };
        let _ = writeln!(out, "### {mark} `{}`\n\n{}\n", title(outcome), sentence(outcome));
        for step in &outcome.steps {
            let _ = writeln!(out, "- {step}");
        }
        let details = details(outcome);
        if !details.is_empty() {
            let _ = writeln!(out, "\n```\n{}\n```", details.join("\n"));
        }
        let _ = writeln!(out, "\n{}", table(outcome, presets::ASCII_MARKDOWN));
        for note in &outcome.notes {
            let _ = writeln!(out, "\n_{note}_");
        }
        out.push('\n');
    }
    out
}

fn title(outcome: &Outcome) -> String {
    let target = outcome.target.as_ref().map_or(String::new(), |t| format!(" --target {t}"));
    format!("{}{target}   level {}   {}", outcome.path, outcome.level, outcome.engine)
}

fn sentence(outcome: &Outcome) -> String {
    let noise = match outcome.noise {
        0 => "two builds of the original are equal".to_owned(),
        n => format!("{} between two builds of the original, which says nothing", differs(n)),
    };
    match &outcome.verdict {
        Verdict::Equivalent if outcome.declared.is_empty() => {
            format!("equivalent: every file and every field of the config is the same; {noise}")
        }
        Verdict::Equivalent => {
            format!("equivalent but for what was declared ({}); {noise}", declared(outcome))
        }
        Verdict::Differs { total, blame, .. } => {
            format!("not equivalent: {}{}; {noise}", count(*total, "difference"), blamed(blame.as_ref()))
        }
        Verdict::DoesNotBuild { blame, .. } => {
            format!("not equivalent: the original builds, the rewrite does not{}", blamed(blame.as_ref()))
        }
        Verdict::AnswersDiffer => "not equivalent: the images do not answer alike".into(),
    }
}

fn differs(n: usize) -> String {
    if n == 1 { "1 place differs".into() } else { format!("{n} places differ") }
}

/// `add-user 3, use-distroless 812`.
fn declared(outcome: &Outcome) -> String {
    let mut by_pass: BTreeMap<&str, usize> = BTreeMap::new();
    for (pass, _) in &outcome.declared {
        *by_pass.entry(pass).or_default() += 1;
    }
    by_pass.iter().map(|(pass, n)| format!("{pass} {n}")).collect::<Vec<_>>().join(", ")
}

fn blamed(blame: Option<&Blame>) -> String {
    blame.map_or(String::new(), |b| {
        format!(", and {} ({}: {}) is to blame", b.pass, lines(b.lines), b.message)
    })
}

/// What is told line by line below the verdict.
fn details(outcome: &Outcome) -> Vec<String> {
    match &outcome.verdict {
        Verdict::Equivalent => Vec::new(),
        Verdict::Differs { differences, total, .. } => {
            let mut out: Vec<String> = differences.iter().map(difference).collect();
            if *total > TOLD {
                out.push(format!("… and {} more", total - TOLD));
            }
            out
        }
        Verdict::DoesNotBuild { tail, .. } => tail.clone(),
        Verdict::AnswersDiffer => outcome.answers.iter().flat_map(|(a, b)| answers(a, b)).collect(),
    }
}

fn difference(d: &Difference) -> String {
    let place = match &d.place {
        Place::Config(field) => field.clone(),
        Place::Path(path) => format!("/{path}"),
    };
    format!("{place}   {}: {} -> {}", d.aspect.text(), d.before, d.after)
}

fn answers(before: &Answer, after: &Answer) -> Vec<String> {
    let mut out = Vec::new();
    for (name, answer) in [("before", before), ("after", after)] {
        let first = String::from_utf8_lossy(&answer.body).lines().next().unwrap_or_default().to_owned();
        out.push(format!("{name}   {}   {}", answer.summary, first.chars().take(100).collect::<String>()));
        out.extend(answer.log.iter().map(|l| format!("  {l}")));
    }
    out
}

fn table(outcome: &Outcome, preset: &str) -> String {
    let mut table = Table::new();
    table.load_preset(preset).set_header(["", "before", "after"]);
    let mut row = |name: String, of: &dyn Fn(&Measures) -> String| {
        let after = outcome.after.as_ref().map_or("-".into(), of);
        table.add_row([name, of(&outcome.before), after]);
    };
    row("size".into(), &|m| megabytes(m.portrait.size.bytes));
    row("layers".into(), &|m| m.portrait.size.layers.to_string());
    row("system".into(), &|m| m.portrait.system.clone().unwrap_or_else(|| "none".into()));
    row("user".into(), &|m| m.portrait.user.clone());
    row("shell".into(), &|m| some(&m.portrait.shells));
    row("package manager".into(), &|m| some(&m.portrait.package_managers));
    row("packages".into(), &|m| m.portrait.packages.map_or_else(|| "not known".into(), |n| n.to_string()));
    row("cold build".into(), &|m| format!("{:.1} s", m.cold_build));
    for edited in [&outcome.source_edit, &outcome.manifest_edit].into_iter().flatten() {
        let Measured { file, before, after, predicted } = edited;
        let shown = |r: &Rebuilt, n: Option<usize>| {
            let predicted = n.map_or(String::new(), |n| format!(" ({n} predicted)"));
            format!("{} of {}{predicted}, {:.1} s", r.steps, count(r.of, "step"), r.seconds)
        };
        table.add_row([
            format!("rebuild after an edit of {file}"),
            shown(before, predicted.map(|p| p.before)),
            shown(after, predicted.map(|p| p.after)),
        ]);
    }
    if let Some((before, after)) = &outcome.answers {
        table.add_row(["answer".to_owned(), before.summary.clone(), after.summary.clone()]);
    }
    for column in table.column_iter_mut() {
        column.set_cell_alignment(CellAlignment::Left);
    }
    table.lines().map(|l| l.trim_end().to_owned()).collect::<Vec<_>>().join("\n")
}

fn some(list: &[String]) -> String {
    if list.is_empty() { "none".into() } else { list.join(", ") }
}

/// As `docker images` has it: powers of ten.
fn megabytes(bytes: u64) -> String {
    format!("{:.2} MB", bytes as f64 / 1e6)
}

#[derive(Serialize)]
struct Document<'a> {
    schema: u32,
    dfopt: &'static str,
    equivalent: bool,
    files: Vec<Entry<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct Entry<'a> {
    path: &'a str,
    target: Option<&'a str>,
    level: crate::pass::Level,
    engine: &'a str,
    verdict: &'static str,
    sentence: String,
    steps: &'a [String],
    differences: Vec<DifferenceEntry<'a>>,
    total_differences: usize,
    blame: Option<BlameEntry<'a>>,
    build_output: &'a [String],
    declared: Vec<DifferenceEntry<'a>>,
    noise: usize,
    before: &'a Measures,
    after: Option<&'a Measures>,
    source_edit: Option<&'a Measured>,
    manifest_edit: Option<&'a Measured>,
    answers: Option<AnswerEntry<'a>>,
    notes: &'a [String],
}

#[derive(Serialize)]
struct DifferenceEntry<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pass: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    path: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    field: Option<&'a str>,
    aspect: &'static str,
    before: &'a str,
    after: &'a str,
}

#[derive(Serialize)]
struct BlameEntry<'a> {
    pass: &'a str,
    lines: (u32, u32),
    message: &'a str,
}

#[derive(Serialize)]
struct AnswerEntry<'a> {
    before: &'a Answer,
    after: &'a Answer,
}

/// For a program: one document, with a line end.
#[must_use]
pub fn json(outcomes: &[Outcome]) -> String {
    let document = Document {
        schema: SCHEMA,
        dfopt: env!("CARGO_PKG_VERSION"),
        equivalent: outcomes.iter().all(Outcome::is_equivalent),
        files: outcomes.iter().map(entry).collect(),
    };
    let mut out = serde_json::to_string_pretty(&document).expect("no key is anything but text");
    out.push('\n');
    out
}

fn entry(o: &Outcome) -> Entry<'_> {
    let (verdict, differences, total, blame, tail): (_, &[Difference], _, _, &[String]) = match &o.verdict {
        Verdict::Equivalent => ("equivalent", &[], 0, None, &[]),
        Verdict::Differs { differences, total, blame } => {
            ("differs", differences, *total, blame.as_ref(), &[])
        }
        Verdict::DoesNotBuild { tail, blame } => ("does-not-build", &[], 0, blame.as_ref(), tail),
        Verdict::AnswersDiffer => ("answers-differ", &[], 0, None, &[]),
    };
    Entry {
        path: &o.path,
        target: o.target.as_deref(),
        level: o.level,
        engine: &o.engine,
        verdict,
        sentence: sentence(o),
        steps: &o.steps,
        differences: differences.iter().map(|d| of_difference(None, d)).collect(),
        total_differences: total,
        blame: blame.map(|b| BlameEntry { pass: b.pass, lines: b.lines, message: &b.message }),
        build_output: tail,
        declared: o.declared.iter().map(|(pass, d)| of_difference(Some(pass), d)).collect(),
        noise: o.noise,
        before: &o.before,
        after: o.after.as_ref(),
        source_edit: o.source_edit.as_ref(),
        manifest_edit: o.manifest_edit.as_ref(),
        answers: o.answers.as_ref().map(|(before, after)| AnswerEntry { before, after }),
        notes: &o.notes,
    }
}

fn of_difference<'a>(pass: Option<&'a str>, d: &'a Difference) -> DifferenceEntry<'a> {
    let (path, field) = match &d.place {
        Place::Path(path) => (Some(format!("/{path}")), None),
        Place::Config(field) => (None, Some(field.as_str())),
    };
    DifferenceEntry { pass, path, field, aspect: d.aspect.text(), before: &d.before, after: &d.after }
}
