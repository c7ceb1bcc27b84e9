//! Comments that say to leave something alone: dfopt's own, hadolint's, and BuildKit's check directive.

use crate::{
    edit::Span,
    pass::Meta,
    syntax::{Dockerfile, PieceKind},
};

/// The pragmas of a file.
#[derive(Debug, Default)]
pub(super) struct Pragmas {
    /// Passes or rules that are off in the whole file, and the line that says so. `*`: all.
    file: Vec<(String, u32)>,
    /// Ranges in which they are off.
    ranges: Vec<(Span, String, u32)>,
}

impl Pragmas {
    pub(super) fn read(file: &Dockerfile) -> Pragmas {
        let mut out = Pragmas::default();
        if let Some(directive) = file.directives.iter().find(|d| d.name == "check") {
            // `# check=skip=JSONArgsRecommended,StageNameCasing;error=true`
            let line = file.lines().line(directive.span.start);
            for part in directive.value.split(';') {
                if let Some(rules) = part.trim().strip_prefix("skip=") {
                    let names = rules.split(',').map(|r| r.trim().to_ascii_lowercase());
                    out.file.extend(names.map(|n| (if n == "all" { "*".into() } else { n }, line)));
                }
            }
        }
        let mut off: Option<(u32, u32)> = None;
        let mut pending: Vec<(String, u32)> = Vec::new();
        for piece in &file.pieces {
            match piece.kind {
                PieceKind::Comment => {
                    let text = String::from_utf8_lossy(piece.span.of(file.text())).into_owned();
                    let text = text.trim().trim_start_matches('#').trim();
                    let line = file.lines().line(piece.span.start);
                    if let Some(rules) = text.strip_prefix("hadolint global ignore=") {
                        out.file.extend(names(rules, line));
                    } else if let Some(rules) = text.strip_prefix("hadolint ignore=") {
                        pending.extend(names(rules, line));
                    } else if let Some(rest) = text.strip_prefix("dfopt ") {
                        match rest.split_whitespace().next().unwrap_or_default() {
                            "off" => off = off.or(Some((piece.span.start, line))),
                            "on" => {
                                if let Some((start, line)) = off.take() {
                                    let span = Span { start, end: piece.span.start };
                                    out.ranges.push((span, "*".into(), line));
                                }
                            }
                            "ignore" => pending.push(("*".into(), line)),
                            "ignore-file" => out.file.push(("*".into(), line)),
                            word => {
                                if let Some(list) = word.strip_prefix("ignore=") {
                                    pending.extend(names(list, line));
                                } else if let Some(list) = word.strip_prefix("ignore-file=") {
                                    out.file.extend(names(list, line));
                                }
                            }
                        }
                    }
                }
                PieceKind::Instruction(i) => {
                    let span = file.instructions[i].full;
                    out.ranges.extend(pending.drain(..).map(|(name, line)| (span, name, line)));
                }
                _ => {}
            }
        }
        if let Some((start, line)) = off {
            let end = file.text().len();
            out.ranges.push((Span::new(start as usize, end), "*".into(), line));
        }
        out
    }

    /// Why a pass may not touch `at`.
    pub(super) fn opts_out(&self, file: &Dockerfile, at: Span, pass: &Meta) -> Option<String> {
        let hits = |name: &str| {
            name == "*" || name == pass.id || pass.rules.iter().any(|r| r.eq_ignore_ascii_case(name))
        };
        // a pragma on any instruction that the finding is about holds for it
        let meets = |span: &Span| span.start < at.end && at.start < span.end;
        let by_file = self.file.iter().find(|(n, _)| hits(n)).map(|(_, line)| *line);
        let by_range = || self.ranges.iter().find(|(s, n, _)| meets(s) && hits(n)).map(|(_, _, line)| *line);
        let line = by_file.or_else(by_range)?;
        let text = file.lines().start(line).map(|start| {
            let rest = &file.text()[start as usize..];
            let end = memchr::memchr(b'\n', rest).unwrap_or(rest.len());
            String::from_utf8_lossy(&rest[..end]).trim().to_owned()
        });
        Some(format!("line {line} says `{}`", text.unwrap_or_default()))
    }
}

fn names(list: &str, line: u32) -> Vec<(String, u32)> {
    let list = list.split_whitespace().next().unwrap_or_default();
    list.split(',').map(str::trim).filter(|n| !n.is_empty()).map(|n| (n.to_owned(), line)).collect()
}
