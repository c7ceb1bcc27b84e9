//! What the shell text of a RUN runs: its lists, commands, words and redirects, with their places in the file.
//!
//! The grammar is read by the crate `shuck-parser`, which only `shell::convert` names. Its tree is not taken on
//! trust: `convert` walks the text again beside it, and where the two disagree the whole script is opaque.

mod convert;
mod kind;
mod leak;
#[cfg(test)]
mod tests;
mod walk;
mod word;

use crate::edit::Span;
use crate::syntax::Joined;

pub use kind::{Dialect, ShellKind, shell_kind};
pub use leak::{Leak, leak, leak_into, leaks};
pub use walk::{Command, Place, background, may_set_errexit, sets_errexit, special_reads};
pub use word::{Part, Word};

/// A parsed shell text. All spans are in the joined text; [`Script::in_file`] maps them to the file.
#[derive(Clone, Debug)]
pub struct Script {
    text: Joined,
    statements: Vec<Statement>,
    comments: Vec<Span>,
    heredoc: bool,
    error: Option<String>,
}

/// Reads the text of a RUN. Total: what cannot be read whole gives a script without statements, with an
/// [`error`](Script::error).
#[must_use]
pub fn parse(text: &Joined, dialect: Dialect) -> Script {
    let mut script = Script {
        text: text.clone(),
        statements: Vec::new(),
        comments: Vec::new(),
        heredoc: false,
        error: None,
    };
    match convert::convert(&text.text, dialect) {
        Ok(tree) => {
            script.statements = tree.statements;
            script.comments = tree.comments;
            script.heredoc = tree.heredoc;
        }
        Err(error) => script.error = Some(error),
    }
    script
}

impl Script {
    /// Why the text could not be read whole; everything in it is unknown then, and there are no statements.
    #[must_use]
    pub fn error(&self) -> Option<&str> {
        self.error.as_deref()
    }

    /// The statements of the top level, in order.
    #[must_use]
    pub fn statements(&self) -> &[Statement] {
        &self.statements
    }

    /// The `#` comments, without their line ends, at any depth.
    #[must_use]
    pub fn comments(&self) -> &[Span] {
        &self.comments
    }

    /// Whether there is a `<<` at any depth.
    #[must_use]
    pub fn has_heredoc(&self) -> bool {
        self.heredoc
    }

    /// The joined text it was read from.
    #[must_use]
    pub fn joined(&self) -> &Joined {
        &self.text
    }

    /// The bytes of the joined text at `span`.
    #[must_use]
    pub fn text(&self, span: Span) -> &[u8] {
        span.of(&self.text.text)
    }

    /// Where `span` stands in the file, with the line continuations and comments that were dropped inside it.
    #[must_use]
    pub fn in_file(&self, span: Span) -> Span {
        self.text.file_span(span)
    }

    /// The elements of `a && b && c` when the whole script is one such list (or one command): no `;` (not even a
    /// last one), `||`, `&` or second line.
    #[must_use]
    pub fn and_list(&self) -> Option<Vec<&Node>> {
        match self.statements.as_slice() {
            [one] if one.terminator == Terminator::None && one.list.rest.iter().all(|r| r.op == Op::And) => {
                Some(one.list.nodes().collect())
            }
            _ => None,
        }
    }

    /// All simple commands at any depth, in the order of the text; those of a substitution come after the command
    /// whose word it is in.
    #[must_use]
    pub fn commands(&self) -> Vec<Command<'_>> {
        walk::commands(&self.statements)
    }
}

/// One AND-OR list of a list, with what ends it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Statement {
    pub list: AndOr,
    pub terminator: Terminator,
    /// The `;` or `&`, else the empty span at the end of the list.
    pub terminator_span: Span,
}

impl Statement {
    /// The list, without its terminator.
    #[must_use]
    pub fn span(&self) -> Span {
        self.list.span
    }
}

/// What ends a statement. A line end at the end of the text is no terminator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Terminator {
    None,
    Semicolon,
    Background,
    Newline,
}

/// `first && second || third`: both operators bind alike, to the left.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AndOr {
    pub first: Node,
    pub rest: Vec<Joint>,
    pub span: Span,
}

/// An operator of an AND-OR list and the element after it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Joint {
    pub op: Op,
    pub op_span: Span,
    pub node: Node,
}

/// `&&` or `||`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Op {
    And,
    Or,
}

impl AndOr {
    /// Its elements in order.
    pub fn nodes(&self) -> impl Iterator<Item = &Node> {
        std::iter::once(&self.first).chain(self.rest.iter().map(|r| &r.node))
    }
}

/// A command of any kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    pub kind: NodeKind,
    /// The redirects after a compound command; those of a simple one are in it.
    pub redirects: Vec<Redirect>,
    /// With its redirects.
    pub span: Span,
}

/// The kinds of command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NodeKind {
    Simple(Simple),
    /// `a | b`, `! a`, `! a | b`: more than one part, or negated.
    Pipeline {
        negated: bool,
        parts: Vec<Node>,
    },
    /// `{ a; }`
    Group(Vec<Statement>),
    /// `( a )`
    Subshell(Vec<Statement>),
    /// `if`: the conditions with their bodies, then the body of `else`.
    If {
        branches: Vec<(Vec<Statement>, Vec<Statement>)>,
        otherwise: Option<Vec<Statement>>,
    },
    /// `for name in words`; `words` is `None` without `in`.
    For {
        name: String,
        words: Option<Vec<Word>>,
        body: Vec<Statement>,
    },
    /// `while`, or `until`.
    While {
        until: bool,
        condition: Vec<Statement>,
        body: Vec<Statement>,
    },
    /// `case`: the word that is matched, then patterns and body of each item.
    Case {
        word: Word,
        items: Vec<(Vec<Word>, Vec<Statement>)>,
    },
    Function {
        name: String,
        body: Box<Node>,
    },
    /// A command whose inside is not modelled.
    Opaque(Opaque),
}

/// A command whose inside is not modelled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Opaque {
    /// `[[ … ]]`; the parameters that it may read, and set (`${x:=v}`, `BASH_REMATCH`).
    Test { reads: Vec<String>, sets: Vec<String> },
    /// `(( … ))`; the parameters that it may read and set.
    Arithmetic { reads: Vec<String>, sets: Vec<String> },
    /// `time a`: the keyword that stands before the command.
    Timed(Box<Node>),
}

/// A simple command: assignments, words and redirects.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Simple {
    pub assigns: Vec<Assign>,
    pub words: Vec<Word>,
    pub redirects: Vec<Redirect>,
}

impl Simple {
    /// The command's name when it is a literal word.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        self.words.first()?.literal()
    }

    /// All words when all are literal.
    #[must_use]
    pub fn argv_literal(&self) -> Option<Vec<String>> {
        self.words.iter().map(|w| w.literal.clone()).collect()
    }

    /// The parameters that its words, assignments and redirects read.
    pub fn reads(&self) -> impl Iterator<Item = &str> {
        self.all_words().flat_map(|w| w.reads.iter().map(String::as_str))
    }

    /// Its words, the values of its assignments and the targets of its redirects.
    pub fn all_words(&self) -> impl Iterator<Item = &Word> {
        let words = self.words.iter().chain(self.assigns.iter().map(|a| &a.value));
        words.chain(self.redirects.iter().filter_map(|r| r.target.as_ref()))
    }
}

/// `name=value` before a command, or alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Assign {
    pub name: String,
    /// `name+=value`, `name[i]=value` or `name=(…)`: not a plain setting of the whole value.
    pub partial: bool,
    pub value: Word,
    pub span: Span,
}

/// A redirect of one file descriptor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Redirect {
    /// The number that is written before the operator.
    pub fd: Option<u32>,
    /// bash's `{name}>…`, which sets `name`.
    pub fd_name: Option<String>,
    pub kind: RedirectKind,
    /// The file, the descriptor, the text of a here-string, or the body of a here-document.
    pub target: Option<Word>,
    pub span: Span,
}

impl Redirect {
    /// Whether it may make or change the file that it names.
    #[must_use]
    pub fn writes(&self) -> bool {
        matches!(
            self.kind,
            RedirectKind::Write | RedirectKind::Append | RedirectKind::ReadWrite | RedirectKind::Both
        )
    }
}

/// The redirect operators.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RedirectKind {
    /// `<`
    Read,
    /// `>` and `>|`
    Write,
    /// `>>`
    Append,
    /// `<>`
    ReadWrite,
    /// `>&` and `<&`
    Dup,
    /// `&>` and `&>>` of bash
    Both,
    /// `<<` and `<<-`
    Heredoc,
    /// `<<<` of bash
    HereString,
}
