//! The text of a merged RUN.

use super::{
    Join,
    gain::{Gain, shown},
    shell::{Wrap, wrap},
};
use crate::{
    edit::{Edits, Span},
    pass::{Assumption, Finding, Input, Level, Rewrite},
    syntax::PieceKind,
};

/// Joins the RUNs `runs`, in order.
pub(super) fn merge(input: &Input, runs: &[usize], joins: &[Join], gains: &[Gain]) -> Finding {
    let file = input.file;
    let mut edits = Edits::default();
    let first = &file.instructions[runs[0]];
    let (newline, escape) = (file.line_end(), file.escape as char);
    let indent = indent(input, runs);
    let leading = file.leads_with_operator();
    let glue = |comments: &str, open: &str| match leading {
        true => format!(" {escape}{newline}{comments}{indent}&& {open}"),
        false => format!(" && {escape}{newline}{comments}{indent}{open}"),
    };
    // where the text so far ends, and what of its instruction is left out behind that
    let (mut end, mut tail) = (first.span.end, first.span.end);
    let (mut plain, mut apart, mut cut) = (true, false, false);
    for (k, &run) in runs.iter().enumerate() {
        let ins = &file.instructions[run];
        let rest = ins.rest();
        let whole = rest.text.trim_ascii_end().len();
        let mut text = rest.file_span(Span::new(0, whole));
        let wrap = wrap(input, run, &runs[k + 1..]).unwrap_or(Wrap::Bare);
        let behind = Span { start: text.end, end: ins.span.end }.of(file.text());
        let only_blanks = behind.iter().all(|b| matches!(b, b' ' | b'\t'));
        if wrap == Wrap::WithoutEnd {
            text = rest.file_span(Span::new(0, rest.text[..whole - 1].trim_ascii_end().len()));
        }
        // each element of the result is one unit: braces hold together what is no list joined by `&&`
        let (open, close) = match wrap {
            Wrap::Subshell => ("( ", " )"),
            Wrap::Braces if ends_list(&rest.text) => ("{ ", " }"),
            Wrap::Braces => ("{ ", "; }"),
            Wrap::Bare | Wrap::WithoutEnd => ("", ""),
        };
        plain &= open.is_empty();
        apart |= k > 0 && runs[k - 1] + 1 < run;
        if apart {
            // other instructions stand between: the RUN moves up over them, with the comment that stands on it
            let from = comment_start(input, ins.full.start);
            let comments = comments_between(input, from, ins.full.start);
            let mut moved = glue(&comments, open);
            moved.push_str(&String::from_utf8_lossy(text.of(file.text())));
            moved.push_str(close);
            edits.dockerfile.replace(Span { start: end, end: tail }, moved);
            (end, cut) = (tail, false);
            edits
                .dockerfile
                .delete(Span { start: blank_start(input, from, ins.full.end), end: ins.full.end });
            continue;
        }
        if k > 0 {
            let comments = comments_between(input, end, ins.full.start);
            edits.dockerfile.replace(Span { start: end, end: text.start }, glue(&comments, open));
        } else if !open.is_empty() {
            edits.dockerfile.insert(text.start, open);
        }
        if !close.is_empty() {
            edits.dockerfile.insert(text.end, close);
        }
        tail = ins.span.end;
        end = if close.is_empty() && only_blanks { text.end } else { tail };
        cut = wrap == Wrap::WithoutEnd && only_blanks;
        if wrap == Wrap::WithoutEnd && !only_blanks {
            edits.dockerfile.delete(rest.file_span(Span::new(whole - 1, whole)));
        }
    }
    if cut {
        edits.dockerfile.delete(Span { start: end, end: tail });
    }
    let mut evidence: Vec<String> = Vec::new();
    evidence.push(match plain {
        true => "each is a list joined by `&&`, whose parts leave nothing behind in the shell".to_owned(),
        false => "braces and subshells keep each RUN's own exit status and shell state".to_owned(),
    });
    if input.facts.run(runs[0]).is_some_and(|r| !r.flags.is_empty()) {
        evidence.push("their mounts, network and security are the same".into());
    }
    let needs_plain = joins.iter().any(|j| j.needs_plain_base);
    let at = runs.iter().map(|r| file.instructions[*r].span).reduce(Span::to).unwrap_or_default();
    let rewrite = Rewrite {
        level: Level::Safe,
        evidence,
        assumes: if needs_plain { vec![Assumption::BaseIsPlain] } else { Vec::new() },
        effects: Vec::new(),
        edits,
    };
    Finding::rewrite(at, message(runs.len(), gains), rewrite)
}

fn message(n: usize, gains: &[Gain]) -> String {
    let deleted = gains.iter().find_map(|g| match g {
        Gain::Deletes(path) => Some(path),
        _ => None,
    });
    let why = match deleted {
        Some(path) => {
            format!("what is written to {} and deleted again no longer stays in the image", shown(path))
        }
        None if gains.contains(&Gain::StaleIndex) => {
            "the install can no longer run with a stale package index".to_owned()
        }
        None if gains.contains(&Gain::Installs) => {
            "they install by the same program, in one layer".to_owned()
        }
        None => "they only write config, and one layer holds it".to_owned(),
    };
    format!("merge {n} RUNs: {why}")
}

fn ends_list(text: &[u8]) -> bool {
    text.trim_ascii_end().ends_with(b";") || text.trim_ascii_end().ends_with(b"&")
}

/// Full-line comments between two instructions: they stand within the merged RUN, where the builder drops them.
fn comments_between(input: &Input, from: u32, to: u32) -> String {
    let within = |s: Span| from <= s.start && s.end <= to;
    let pieces = input.file.pieces.iter().filter(|p| p.kind == PieceKind::Comment && within(p.span));
    pieces.map(|p| String::from_utf8_lossy(p.span.of(input.file.text())).into_owned()).collect()
}

/// Where the comment lines begin that stand on what begins at `start`, without a blank line between.
fn comment_start(input: &Input, start: u32) -> u32 {
    let pieces = input.file.pieces.iter().rev().skip_while(|p| p.span.end > start);
    pieces.take_while(|p| p.kind == PieceKind::Comment).last().map_or(start, |p| p.span.start)
}

/// What goes with the lines from `from` to `to`: the blank ones before, if there are such behind as well.
fn blank_start(input: &Input, from: u32, to: u32) -> u32 {
    let blank = |f: &dyn Fn(Span) -> bool| {
        input.file.pieces.iter().find(|p| p.kind == PieceKind::Blank && f(p.span)).map(|p| p.span)
    };
    let last = to as usize == input.file.text().len();
    let before = blank(&|s| s.end == from);
    before.filter(|_| last || blank(&|s| s.start == to).is_some()).map_or(from, |s| s.start)
}

/// The indent of continuation lines: that of a line which begins a command of a list, else of another line, else four blanks.
fn indent(input: &Input, runs: &[usize]) -> String {
    let mut found: Option<&[u8]> = None;
    for &run in runs {
        let ins = &input.file.instructions[run];
        let starts: Vec<usize> =
            super::super::fold::element_spans(input, run).iter().map(|s| s.start as usize).collect();
        let mut at = ins.span.start as usize;
        for (n, line) in ins.source().split(|b| *b == b'\n').enumerate() {
            let begin = line.trim_ascii_start();
            let blanks = &line[..line.len() - begin.len()];
            let first = at + blanks.len();
            // the operator may stand before the command
            let first = first
                + if begin.starts_with(b"&&") {
                    2 + begin[2..].iter().take_while(|b| b.is_ascii_whitespace()).count()
                } else {
                    0
                };
            at += line.len() + 1;
            if n == 0 || blanks.is_empty() || begin.is_empty() || begin.starts_with(b"#") {
                continue;
            }
            if starts.contains(&first) {
                return String::from_utf8_lossy(blanks).into_owned();
            }
            found = found.or(Some(blanks));
        }
    }
    // arguments may hang deeper than commands
    let found = found.filter(|b| b.len() <= 4);
    found.map_or_else(|| "    ".to_owned(), |b| String::from_utf8_lossy(b).into_owned())
}
