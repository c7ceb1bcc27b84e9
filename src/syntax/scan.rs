//! From bytes to pieces: lines, directives, continuations and heredocs, as parser.go reads them.

use std::sync::{Arc, OnceLock};

use super::{
    Detail, Directive, Dockerfile, Heredoc, Instruction, Joined, Keyword, Piece, PieceKind, SyntaxError,
    joined::is_space, words,
};
use crate::edit::{Span, to_u32};

/// The longest line that BuildKit reads, in bytes without its line end (Go's bufio.MaxScanTokenSize - 1).
const MAX_LINE: usize = 65_535;
const BOM: &[u8] = b"\xEF\xBB\xBF";

pub(super) fn scan(text: Arc<[u8]>) -> Dockerfile {
    let mut s =
        Scanner { text: &text, at: 0, line: 0, escape: b'\\', pieces: Vec::new(), error: None, long: None };
    let mut directives: Vec<Directive> = Vec::new();
    let mut instructions = Vec::with_capacity(16);
    let mut may_be_directive = true;
    if text.starts_with(BOM) {
        s.at = BOM.len();
        s.piece(PieceKind::Bom, 0);
    }
    while s.at < text.len() {
        let start = s.at;
        let line = s.next_line();
        let trimmed = trim_start(line.of(&text));
        if trimmed.first() == Some(&b'#') {
            let directive = if may_be_directive { read_directive(trimmed) } else { None };
            may_be_directive = directive.is_some();
            if let Some((name, value)) = directive {
                s.directive(&mut directives, name, value, line);
                s.piece(PieceKind::Directive, start);
            } else {
                s.piece(PieceKind::Comment, start);
            }
            continue;
        }
        may_be_directive = false;
        if trimmed.is_empty() {
            match s.pieces.last_mut() {
                Some(p) if p.kind == PieceKind::Blank => p.span.end = to_u32(s.at),
                _ => s.piece(PieceKind::Blank, start),
            }
            continue;
        }
        let instruction = s.instruction(&text, start, line, trimmed.len());
        s.piece(PieceKind::Instruction(instructions.len()), start);
        instructions.push(instruction);
    }
    // an instruction that runs into the line that is too long still counts
    let counts = |i: &Instruction| s.long.is_none_or(|long| i.lines.0 < long);
    if let (Some(long), true) = (s.long, instructions.iter().any(counts)) {
        let message = format!("dockerfile line greater than max allowed size of {MAX_LINE}");
        s.error.get_or_insert(SyntaxError { code: "long-line", message, line: long, second_level: false });
    } else if s.long.is_some() || instructions.is_empty() {
        s.long = None;
        s.fail("no-instructions", "file with no instructions".into(), s.line.max(1));
    }
    let (escape, pieces, scan_error) = (s.escape, s.pieces, s.error);
    Dockerfile {
        text,
        escape,
        directives,
        pieces,
        instructions,
        scan_error,
        error: OnceLock::new(),
        lines: OnceLock::new(),
    }
}

/// The logical line of an instruction that stands at `span`: continuation marks, comments and blank lines within it dropped.
pub(super) fn join(text: &[u8], span: Span, escape: u8) -> Joined {
    let mut joined = Joined::default();
    let mut at = span.start as usize;
    let mut first = true;
    while at < span.end as usize {
        let end = memchr::memchr(b'\n', &text[at..span.end as usize]).map_or(span.end as usize, |i| at + i);
        let line = trim_line_end(&text[at..end]);
        if first || !(is_comment(line) || trim_start(line).is_empty()) {
            joined.push(trim_continuation(line, escape).0, to_u32(at));
        }
        first = false;
        at = end + 1;
    }
    joined
}

struct Scanner<'a> {
    text: &'a [u8],
    at: usize,
    /// Number of the last line read, 1-based.
    line: u32,
    escape: u8,
    pieces: Vec<Piece>,
    error: Option<SyntaxError>,
    /// The first line that is too long: BuildKit reads no further, and sees it as the end of the file.
    long: Option<u32>,
}

impl Scanner<'_> {
    /// The next line without its line end.
    fn next_line(&mut self) -> Span {
        let start = self.at;
        let end = memchr::memchr(b'\n', &self.text[start..]).map_or(self.text.len(), |i| start + i);
        self.at = (end + 1).min(self.text.len());
        self.line += 1;
        if end - start > MAX_LINE {
            self.long.get_or_insert(self.line);
        }
        Span::new(start, start + trim_line_end(&self.text[start..end]).len())
    }

    fn piece(&mut self, kind: PieceKind, start: usize) {
        self.pieces.push(Piece { kind, span: Span::new(start, self.at) });
    }

    /// Keeps the first error: BuildKit stops there, and at a line that is too long.
    fn fail(&mut self, code: &'static str, message: String, line: u32) {
        if self.long.is_some_and(|long| line >= long) {
            return;
        }
        self.error.get_or_insert(SyntaxError { code, message, line, second_level: false });
    }

    fn directive(&mut self, directives: &mut Vec<Directive>, name: String, value: String, span: Span) {
        if directives.iter().any(|d| d.name == name) {
            self.fail("directive", format!("only one {name} parser directive can be used"), self.line);
        } else if name == "escape" {
            match value.as_bytes() {
                [b @ (b'\\' | b'`')] => self.escape = *b,
                _ => {
                    let message = format!("invalid escape token '{value}' does not match ` or \\");
                    self.fail("directive", message, self.line);
                }
            }
        }
        directives.push(Directive { name, value, span });
    }

    fn instruction(&mut self, text: &Arc<[u8]>, start: usize, first: Span, trimmed: usize) -> Instruction {
        let first_line = self.line;
        let begin = first.end - to_u32(trimmed);
        let mut end = first.end;
        let mut more = trim_continuation(&text[begin as usize..end as usize], self.escape).1;
        let one_line = !more;
        while more && self.at < text.len() {
            let span = self.next_line();
            let line = span.of(text);
            if is_comment(line) || trim_start(line).is_empty() {
                continue;
            }
            end = span.end;
            more = trim_continuation(line, self.escape).1;
        }
        let span = Span { start: begin, end };
        // a first line may be a mark alone, with blanks behind it
        let head = trim_continuation(&text[begin as usize..first.end as usize], self.escape).0;
        let word = head.iter().position(|b| is_space(*b));
        let mut detail = OnceLock::new();
        let keyword = match word {
            Some(n) => Keyword::of(&head[..n]),
            None if one_line => Keyword::of(head),
            None => {
                let d = Detail::read(&join(text, span, self.escape), self.escape);
                let keyword = d.keyword;
                detail = OnceLock::from(Box::new(d));
                keyword
            }
        };
        let mut instruction = Instruction {
            keyword,
            span,
            full: Span { start: to_u32(start), end: to_u32(self.at) },
            lines: (first_line, self.line),
            heredocs: Vec::new(),
            escape: self.escape,
            text: Arc::clone(text),
            detail,
        };
        let may_hold = matches!(keyword, Keyword::Run | Keyword::Copy | Keyword::Add | Keyword::Onbuild);
        if may_hold && memchr::memmem::find(span.of(text), b"<<").is_some() {
            self.heredocs(&mut instruction);
            instruction.full.end = to_u32(self.at);
            instruction.lines.1 = self.line;
        }
        instruction
    }

    fn heredocs(&mut self, instruction: &mut Instruction) {
        // the exec form never holds one; an ONBUILD does if what it triggers may
        let holder = instruction.inner().unwrap_or(instruction);
        if holder.is_exec() || !matches!(holder.keyword, Keyword::Run | Keyword::Copy | Keyword::Add) {
            return;
        }
        let line = String::from_utf8_lossy(&instruction.detail().line.text).into_owned();
        let starts = match words::heredocs_in_line(&line) {
            Ok(starts) => starts,
            Err(e) => return self.fail("heredoc", e.to_string(), instruction.lines.0),
        };
        for start in starts {
            let from = self.at;
            let mut content = None;
            while self.at < self.text.len() {
                let line_start = self.at;
                let line = self.next_line().of(self.text);
                let line = if start.chomp { trim_tabs(line) } else { line };
                if line == start.name.as_bytes() {
                    content = Some(Span::new(from, line_start));
                    break;
                }
            }
            let cut = self.long.is_some_and(|long| long > instruction.lines.0);
            if content.is_none() || cut {
                self.fail("unterminated-heredoc", "unterminated heredoc".into(), instruction.lines.0);
            }
            let content = content.unwrap_or_else(|| Span::new(from, self.at));
            let words::HeredocStart { name, expand, chomp, fd } = start;
            instruction.heredocs.push(Heredoc { name, expand, chomp, fd, content });
        }
    }
}

/// directives.go: `^([a-zA-Z][a-zA-Z0-9]*)\s*=\s*(.+?)\s*$` after `#`, of the names syntax, escape and check.
fn read_directive(line: &[u8]) -> Option<(String, String)> {
    let line = String::from_utf8_lossy(trim_start(line.strip_prefix(b"#")?)).into_owned();
    let (name, value) = line.split_once('=')?;
    let name = name.trim_end_matches(|c: char| c.is_ascii_whitespace()).to_ascii_lowercase();
    let value = value.trim_matches(|c: char| c.is_ascii_whitespace());
    let known = matches!(name.as_str(), "syntax" | "escape" | "check");
    (known && !value.is_empty()).then(|| (name, value.to_owned()))
}

/// The line without its continuation mark and the blanks behind it, and whether there was one.
/// parser.go: `([^\\])\\[ \t]*$|^\\[ \t]*$`, with the escape token in the place of `\`.
fn trim_continuation(line: &[u8], escape: u8) -> (&[u8], bool) {
    let end = line.iter().rposition(|b| !matches!(b, b' ' | b'\t')).map_or(0, |i| i + 1);
    match &line[..end] {
        [before @ .., last] if *last == escape && before.last() != Some(&escape) => (before, true),
        _ => (line, false),
    }
}

fn trim_line_end(line: &[u8]) -> &[u8] {
    let end = line.iter().rposition(|b| !matches!(b, b'\r' | b'\n')).map_or(0, |i| i + 1);
    &line[..end]
}

fn trim_tabs(line: &[u8]) -> &[u8] {
    let start = line.iter().position(|b| *b != b'\t').unwrap_or(line.len());
    &line[start..]
}

fn is_comment(line: &[u8]) -> bool {
    trim_start(line).first() == Some(&b'#')
}

/// Without leading white space, as Go's unicode.IsSpace has it.
pub(super) fn trim_start(mut line: &[u8]) -> &[u8] {
    while let Some(n) = leading_space(line) {
        line = &line[n..];
    }
    line
}

/// Without trailing white space, as Go's unicode.IsSpace has it.
pub(super) fn trim_end(mut line: &[u8]) -> &[u8] {
    'next: while let Some(last) = line.last() {
        if is_space(*last) {
            line = &line[..line.len() - 1];
            continue;
        }
        for n in 2..=3.min(line.len()) {
            let (head, tail) = line.split_at(line.len() - n);
            if leading_space(tail) == Some(n) {
                line = head;
                continue 'next;
            }
        }
        break;
    }
    line
}

/// How many bytes the white space takes that `line` starts with, if it does.
fn leading_space(line: &[u8]) -> Option<usize> {
    match line {
        [b, ..] if is_space(*b) => Some(1),
        [0xC2, 0x85 | 0xA0, ..] => Some(2),
        [0xE1, 0x9A, 0x80, ..]
        | [0xE2, 0x80, 0x80..=0x8A | 0xA8 | 0xA9 | 0xAF, ..]
        | [0xE2, 0x81, 0x9F, ..]
        | [0xE3, 0x80, 0x80, ..] => Some(3),
        _ => None,
    }
}
