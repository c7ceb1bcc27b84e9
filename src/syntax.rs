//! A Dockerfile as BuildKit reads it, without losing a byte.
//!
//! [`parse`] is total: whatever the bytes are, its pieces tile them. Finding the pieces is cheap; what an instruction says
//! (flags, words, exec form, …) is read from its text when it is first asked for. The grammar is that of BuildKit's
//! `frontend/dockerfile/parser` (moby/buildkit 73ed6825c), and of `instructions/parse.go` for what it refuses later.

use std::sync::{Arc, OnceLock};

use crate::edit::{Lines, Span};

mod check;
mod detail;
pub mod joined;
mod scan;
pub mod words;

pub use detail::{Arg, Detail, Flag};
pub use joined::Joined;

/// The instructions of the Dockerfile reference.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Keyword {
    Add,
    Arg,
    Cmd,
    Copy,
    Entrypoint,
    Env,
    Expose,
    From,
    Healthcheck,
    Label,
    Maintainer,
    Onbuild,
    Run,
    Shell,
    Stopsignal,
    User,
    Volume,
    Workdir,
    /// Anything else: BuildKit's first level accepts it, its second refuses it.
    Unknown,
}

const KEYWORDS: [(&str, Keyword); 18] = [
    ("ADD", Keyword::Add),
    ("ARG", Keyword::Arg),
    ("CMD", Keyword::Cmd),
    ("COPY", Keyword::Copy),
    ("ENTRYPOINT", Keyword::Entrypoint),
    ("ENV", Keyword::Env),
    ("EXPOSE", Keyword::Expose),
    ("FROM", Keyword::From),
    ("HEALTHCHECK", Keyword::Healthcheck),
    ("LABEL", Keyword::Label),
    ("MAINTAINER", Keyword::Maintainer),
    ("ONBUILD", Keyword::Onbuild),
    ("RUN", Keyword::Run),
    ("SHELL", Keyword::Shell),
    ("STOPSIGNAL", Keyword::Stopsignal),
    ("USER", Keyword::User),
    ("VOLUME", Keyword::Volume),
    ("WORKDIR", Keyword::Workdir),
];

/// The names of all instructions, sorted.
pub fn keywords() -> impl Iterator<Item = &'static str> {
    KEYWORDS.iter().map(|(name, _)| *name)
}

/// The names of the flags of an instruction.
#[must_use]
pub fn flags(keyword: Keyword) -> Vec<&'static str> {
    check::flags_of(keyword).iter().map(|(name, _)| *name).collect()
}

impl Keyword {
    /// The keyword that `word` is, in any case of letters.
    #[must_use]
    pub fn of(word: &[u8]) -> Keyword {
        let found = KEYWORDS.iter().find(|(name, _)| name.as_bytes().eq_ignore_ascii_case(word));
        found.map_or(Keyword::Unknown, |(_, k)| *k)
    }

    /// Its name in capitals; `?` for an unknown one.
    #[must_use]
    pub fn name(self) -> &'static str {
        KEYWORDS.iter().find(|(_, k)| *k == self).map_or("?", |(name, _)| name)
    }
}

/// A parser directive: `# syntax=…`, `# escape=…`, `# check=…`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Directive {
    /// In small letters.
    pub name: String,
    pub value: String,
    pub span: Span,
}

/// What a piece of the file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PieceKind {
    /// A byte order mark.
    Bom,
    /// Blank lines.
    Blank,
    /// A line that is a comment, outside an instruction.
    Comment,
    /// A parser directive.
    Directive,
    /// An instruction: the index in [`Dockerfile::instructions`].
    Instruction(usize),
}

/// A piece of the file: whole lines, with their line ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Piece {
    pub kind: PieceKind,
    pub span: Span,
}

/// A here-document of an instruction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Heredoc {
    pub name: String,
    /// Whether variables in it are expanded (its delimiter is not quoted).
    pub expand: bool,
    /// `<<-`: leading tabs go.
    pub chomp: bool,
    /// The file descriptor before `<<`; 0 if none is given.
    pub fd: u32,
    /// Its lines in the file, without the terminator.
    pub content: Span,
}

/// Why BuildKit refuses a Dockerfile.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SyntaxError {
    /// A short stable name, such as `unterminated-heredoc`.
    pub code: &'static str,
    /// BuildKit's own words.
    pub message: String,
    /// 1-based.
    pub line: u32,
    /// Whether the second step refuses (unknown instructions and flags, argument counts), not the parser.
    pub second_level: bool,
}

/// One instruction, with its heredocs.
#[derive(Clone, Debug)]
pub struct Instruction {
    pub keyword: Keyword,
    /// From its first byte to its last, without indent, line end and heredoc bodies.
    pub span: Span,
    /// The whole lines that it stands on, with heredocs and the last line end.
    pub full: Span,
    /// First and last line, 1-based.
    pub lines: (u32, u32),
    pub heredocs: Vec<Heredoc>,
    escape: u8,
    text: Arc<[u8]>,
    detail: OnceLock<Box<Detail>>,
}

impl Instruction {
    /// What it says, read at the first call.
    pub fn detail(&self) -> &Detail {
        self.detail.get_or_init(|| {
            Box::new(Detail::read(&scan::join(&self.text, self.span, self.escape), self.escape))
        })
    }

    /// Its flags (`--from=…`), in order.
    #[must_use]
    pub fn flags(&self) -> &[Flag] {
        &self.detail().flags
    }

    /// The last flag of that name (`from`, `chown`, …).
    #[must_use]
    pub fn flag(&self, name: &str) -> Option<&Flag> {
        self.flags().iter().rev().find(|f| f.name == name)
    }

    /// Its arguments as BuildKit's parser lists them; for ENV and LABEL key, value and `=` or nothing, in turn.
    #[must_use]
    pub fn args(&self) -> &[Arg] {
        &self.detail().args
    }

    /// Whether the arguments are a JSON array.
    #[must_use]
    pub fn is_exec(&self) -> bool {
        self.detail().exec
    }

    /// The text after keyword and flags, as one line.
    #[must_use]
    pub fn rest(&self) -> &Joined {
        &self.detail().rest
    }

    /// The instruction within an ONBUILD.
    #[must_use]
    pub fn inner(&self) -> Option<&Instruction> {
        self.detail().inner.as_deref()
    }

    /// Key and value of each pair of an ENV or LABEL.
    pub fn pairs(&self) -> impl Iterator<Item = (&Arg, &Arg)> {
        self.args().as_chunks::<3>().0.iter().map(|[k, v, _]| (k, v))
    }

    /// Whether an ENV or LABEL has the old form `KEY value`.
    #[must_use]
    pub fn is_old_form(&self) -> bool {
        self.args().get(2).is_some_and(|sep| sep.value.is_empty())
    }

    /// The first argument's value, or nothing.
    #[must_use]
    pub fn first(&self) -> &str {
        self.args().first().map_or("", |a| &a.value)
    }

    /// Its own bytes, without heredoc bodies.
    #[must_use]
    pub fn source(&self) -> &[u8] {
        self.span.of(&self.text)
    }

    /// The white space before it on its line.
    #[must_use]
    pub fn indent(&self) -> &[u8] {
        &self.text[self.full.start as usize..self.span.start as usize]
    }
}

/// A parsed Dockerfile.
#[derive(Clone, Debug)]
pub struct Dockerfile {
    text: Arc<[u8]>,
    /// `\` or a backtick.
    pub escape: u8,
    pub directives: Vec<Directive>,
    // Invariant: the pieces tile the text.
    pub pieces: Vec<Piece>,
    pub instructions: Vec<Instruction>,
    scan_error: Option<SyntaxError>,
    error: OnceLock<Option<SyntaxError>>,
    lines: OnceLock<Lines>,
}

impl Dockerfile {
    /// The bytes that were parsed.
    #[must_use]
    pub fn text(&self) -> &[u8] {
        &self.text
    }

    /// The lines of the text.
    pub fn lines(&self) -> &Lines {
        self.lines.get_or_init(|| Lines::new(&self.text))
    }

    /// Why BuildKit would refuse it: the parser's first error, else that of its second step.
    pub fn error(&self) -> Option<&SyntaxError> {
        let find = || {
            let parser = check::parser_error(self);
            match (&self.scan_error, parser) {
                (None, None) => check::second_level(self),
                // of one instruction the line parser comes before its heredocs
                (Some(scan), Some(p)) if p.line <= scan.line && scan.code != "no-instructions" => Some(p),
                (Some(scan), _) => Some(scan.clone()),
                (None, p) => p,
            }
        };
        self.error.get_or_init(find).as_ref()
    }

    /// The value of a parser directive.
    #[must_use]
    pub fn directive(&self, name: &str) -> Option<&str> {
        self.directives.iter().find(|d| d.name == name).map(|d| d.value.as_str())
    }

    /// The line end that the file uses: that of its first line.
    #[must_use]
    pub fn line_end(&self) -> &'static str {
        match self.text.iter().position(|b| *b == b'\n') {
            Some(i) if i > 0 && self.text[i - 1] == b'\r' => "\r\n",
            _ => "\n",
        }
    }

    /// Whether it puts `&&` at the start of lines more often than at their ends.
    #[must_use]
    pub fn leads_with_operator(&self) -> bool {
        let lines = || self.text.split(|b| *b == b'\n');
        let ends = |l: &[u8]| {
            l.trim_ascii_end().strip_suffix(b"\\").is_some_and(|l| l.trim_ascii_end().ends_with(b"&&"))
        };
        let leading = lines().filter(|l| l.trim_ascii_start().starts_with(b"&&")).count();
        leading > lines().filter(|l| ends(l)).count()
    }
}

/// Parses `bytes`: never fails, loses nothing. What BuildKit would refuse is in [`Dockerfile::error`].
#[must_use]
pub fn parse(bytes: &[u8]) -> Dockerfile {
    scan::scan(bytes.into())
}

#[cfg(test)]
mod tests;
