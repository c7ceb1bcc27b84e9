//! Line diffs: the unified form that `git apply` takes, and the edits that lead from one text to the other.
//!
//! Lines end at LF alone: a bare CR belongs to its line, or the patch would be corrupt.

use similar::{ChangeTag, DiffTag, TextDiff, udiff::UnifiedHunkHeader};

use super::{File, Report};
use crate::edit::{Edit, Span};

/// A run of lines of a unified diff.
#[derive(Clone, Debug)]
pub struct Hunk {
    /// `@@ -3,5 +3,6 @@`
    pub header: String,
    /// First and last line of the text before, 1-based; the last is before the first where only new lines stand.
    pub old: (u32, u32),
    /// Of each line its mark, its bytes with the line end, and whether that is missing.
    pub lines: Vec<(Mark, Vec<u8>)>,
}

/// What a line of a diff is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mark {
    Same,
    Gone,
    New,
}

impl Mark {
    /// The first character of its line.
    #[must_use]
    pub fn sign(self) -> char {
        match self {
            Mark::Same => ' ',
            Mark::Gone => '-',
            Mark::New => '+',
        }
    }
}

/// The hunks between two texts, each with `context` lines around it.
#[must_use]
pub fn hunks(before: &[u8], after: &[u8], context: usize) -> Vec<Hunk> {
    let (old, new) = (lines(before), lines(after));
    let diff = TextDiff::configure().newline_terminated(true).diff_slices(&old, &new);
    let groups = diff.grouped_ops(context);
    let hunk = |ops: &Vec<similar::DiffOp>| {
        let start = ops.first().map_or(0, |o| o.old_range().start);
        let end = ops.last().map_or(0, |o| o.old_range().end);
        let lines = ops.iter().flat_map(|op| diff.iter_changes(op)).map(|c| {
            let mark = match c.tag() {
                ChangeTag::Equal => Mark::Same,
                ChangeTag::Delete => Mark::Gone,
                ChangeTag::Insert => Mark::New,
            };
            (mark, c.value().to_vec())
        });
        Hunk {
            header: UnifiedHunkHeader::new(ops).to_string(),
            old: (crate::edit::to_u32(start + 1), crate::edit::to_u32(end)),
            lines: lines.collect(),
        }
    };
    groups.iter().filter(|g| g.iter().any(|o| o.tag() != DiffTag::Equal)).map(hunk).collect()
}

/// The edits, by whole lines, that make `after` of `before`: in order and disjoint.
#[must_use]
pub fn edits(before: &[u8], after: &[u8]) -> Vec<Edit> {
    let (old, new) = (lines(before), lines(after));
    let diff = TextDiff::configure().newline_terminated(true).diff_slices(&old, &new);
    let starts = |lines: &[&[u8]]| {
        let mut at = 0;
        let mut out = vec![0];
        out.extend(lines.iter().map(|l| {
            at += l.len();
            at
        }));
        out
    };
    let (old_at, new_at) = (starts(&old), starts(&new));
    let changed = diff.ops().iter().filter(|op| op.tag() != DiffTag::Equal);
    changed
        .map(|op| {
            let (o, n) = (op.old_range(), op.new_range());
            Edit {
                span: Span::new(old_at[o.start], old_at[o.end]),
                text: after[new_at[n.start]..new_at[n.end]].to_vec(),
            }
        })
        .collect()
}

/// The diff of every file that changes, as `git apply` takes it. `colour` is for a terminal.
#[must_use]
pub fn render(report: &Report, context: usize, colour: bool) -> Vec<u8> {
    report.files.iter().filter(|f| f.is_changed()).flat_map(|f| of_file(f, context, colour)).collect()
}

/// The diff of one file; empty if it does not change.
#[must_use]
pub fn of_file(file: &File, context: usize, colour: bool) -> Vec<u8> {
    let hunks = hunks(&file.before, &file.after, context);
    let mut out = Vec::new();
    if hunks.is_empty() {
        return out;
    }
    let old = if file.is_new { "/dev/null".into() } else { name("a/", &file.patch_path) };
    let paint = |text: &str, style: anstyle::Style| {
        if colour { format!("{style}{text}{style:#}\n") } else { format!("{text}\n") }
    };
    let bold = anstyle::Style::new().bold();
    out.extend(paint(&format!("--- {old}"), bold).bytes());
    out.extend(paint(&format!("+++ {}", name("b/", &file.patch_path)), bold).bytes());
    for hunk in hunks {
        out.extend(paint(&hunk.header, style_of_header()).bytes());
        for (mark, line) in &hunk.lines {
            out.extend(render_line(*mark, line, colour));
        }
    }
    out
}

/// A line of a hunk with its mark, its line end, and git's hint where that is missing. In colour, for a terminal, control
/// characters of the file are shown, not sent.
pub(super) fn render_line(mark: Mark, line: &[u8], colour: bool) -> Vec<u8> {
    let (body, ended) = match line.strip_suffix(b"\n") {
        Some(body) => (body, true),
        None => (line, false),
    };
    let mut out = Vec::with_capacity(line.len() + 2);
    if colour {
        let style = match mark {
            Mark::Same => anstyle::Style::new(),
            Mark::Gone => anstyle::AnsiColor::Red.on_default(),
            Mark::New => anstyle::AnsiColor::Green.on_default(),
        };
        let text = printable(&String::from_utf8_lossy(body));
        out.extend(format!("{style}{}{text}{style:#}\n", mark.sign()).bytes());
    } else {
        out.push(mark.sign() as u8);
        out.extend_from_slice(body);
        out.push(b'\n');
    }
    if !ended {
        out.extend_from_slice(b"\\ No newline at end of file\n");
    }
    out
}

pub(super) fn style_of_header() -> anstyle::Style {
    anstyle::AnsiColor::Cyan.on_default()
}

/// `text` with its control characters made visible, but for tabs: a file must not steer the terminal. The CR of a line end
/// is left out.
#[must_use]
pub fn printable(text: &str) -> String {
    let text = text.strip_suffix('\r').unwrap_or(text);
    if !text.contains(|c: char| c.is_control() && c != '\t') {
        return text.to_owned();
    }
    text.chars()
        .map(|c| if c.is_control() && c != '\t' { c.escape_default().to_string() } else { c.into() })
        .collect()
}

fn lines(text: &[u8]) -> Vec<&[u8]> {
    text.split_inclusive(|b| *b == b'\n').collect()
}

/// A file's name as git writes it in a patch: quoted where it has control characters or quotes, with a tab behind it where it
/// has a space.
fn name(prefix: &str, path: &str) -> String {
    let path = path.strip_prefix("./").unwrap_or(path);
    if path.chars().any(|c| c.is_control() || c == '"' || c == '\\') {
        let quoted: String = path
            .chars()
            .map(|c| match c {
                '"' => "\\\"".into(),
                '\\' => "\\\\".into(),
                '\n' => "\\n".into(),
                '\t' => "\\t".into(),
                c if c.is_control() => format!("\\{:03o}", u32::from(c)),
                c => c.to_string(),
            })
            .collect();
        return format!("\"{prefix}{quoted}\"");
    }
    let tab = if path.contains(' ') { "\t" } else { "" };
    format!("{prefix}{path}{tab}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::edit::EditSet;

    fn check(before: &str, after: &str) {
        let mut set = EditSet::new();
        for edit in edits(before.as_bytes(), after.as_bytes()) {
            set.replace(edit.span, edit.text);
        }
        assert_eq!(String::from_utf8(set.apply(before.as_bytes())).unwrap(), after);
    }

    #[test]
    fn edits_lead_from_one_text_to_the_other() {
        check("", "");
        check("", "a\n");
        check("a\nb\nc\n", "a\nx\nc\n");
        check("a\nb", "a\nb\n");
        check("a\r\nb\rc\r\nd", "a\r\nd");
        check("a\nb\nc\nd\ne\n", "b\nx\nd\ny\ne\nz\n");
    }

    #[test]
    fn says_where_a_last_newline_is_missing() {
        let file = File::ignore("x y".into(), "x y".into(), Some(b"a\nb".to_vec()), b"a\nc".to_vec());
        let expect = "--- a/x y\t\n+++ b/x y\t\n@@ -1,2 +1,2 @@\n a\n-b\n\\ No newline at end of file\n+c\n\\ No newline at end of file\n";
        assert_eq!(String::from_utf8(of_file(&file, 3, false)).unwrap(), expect);
    }

    #[test]
    fn shows_control_characters() {
        assert_eq!(printable("a\u{1b}[31m\tb\r"), "a\\u{1b}[31m\tb");
    }
}
