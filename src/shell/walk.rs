//! Walks over the commands of a script.

use super::{Node, NodeKind, Op, Opaque, Part, Script, Simple, Statement, Terminator, Word};
use crate::edit::Span;

/// A simple command and where it runs.
#[derive(Clone, Copy, Debug)]
pub struct Command<'a> {
    pub simple: &'a Simple,
    pub place: Place,
    pub span: Span,
}

impl Command<'_> {
    /// Whether it runs, and to the end, whenever the script succeeds: not in a branch, and not where its failure is passed over.
    #[must_use]
    pub fn is_certain(&self) -> bool {
        let Place { substitution, background, function, conditional, .. } = self.place;
        !(substitution || background || function || conditional)
    }
}

/// In which shell a command runs, and whether it does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// Number of commands and substitutions around it.
    pub depth: u32,
    /// In `( )`.
    pub subshell: bool,
    /// An element of a pipeline with more than one.
    pub pipeline: bool,
    /// In `$( )`, backquotes or `<( )`.
    pub substitution: bool,
    /// In a list that `&` puts in the background.
    pub background: bool,
    /// In the body of a function, which runs where that is called.
    pub function: bool,
    /// In a branch of `if` or `case`, in a loop, or after `||`.
    pub conditional: bool,
    /// Its status is looked at, so that errexit does not see it: in a condition, negated, or before `&&` or `||`.
    pub tested: bool,
}

impl Place {
    /// Whether what it does to the shell's state stays for what comes after it in the script.
    #[must_use]
    pub fn current_shell(self) -> bool {
        !(self.subshell || self.pipeline || self.substitution || self.background || self.function)
    }
}

/// All simple commands in the order of the text.
pub(super) fn commands(statements: &[Statement]) -> Vec<Command<'_>> {
    let mut out = Vec::new();
    list(statements, Place::default(), &mut out);
    out
}

/// The first `&`, at any depth, that leaves a command running while the script goes on.
#[must_use]
pub fn background(script: &Script) -> Option<Span> {
    let mut found = None;
    each_list(script.statements(), &mut |statements| {
        for statement in statements {
            if statement.terminator == Terminator::Background {
                let at = statement.terminator_span;
                found = Some(found.map_or(at, |f: Span| f.min(at)));
            }
        }
    });
    found
}

/// Whether a `set` of the current shell (also in groups, branches and functions) may turn on errexit: `set -e`,
/// `set -eux`, `set -o errexit`, or options that are not literal.
#[must_use]
pub fn sets_errexit(script: &Script) -> bool {
    let own = |c: &Command| Place { function: false, ..c.place }.current_shell();
    script.commands().iter().filter(|c| own(c)).any(|c| command_sets_errexit(c.simple))
}

/// Whether errexit may be on for a command whose failure it could tell from its last one's: by a `set` at any depth, or by what
/// is read from a file or evaluated. Not so where these stand in a list of plain commands joined by `&&`, before its end:
/// each failure ends such a list in any case.
#[must_use]
pub fn may_set_errexit(script: &Script) -> bool {
    let reads = |s: &Simple| {
        let name = super::leak::unwrapped(s).0.and_then(|at| s.words[at].literal());
        matches!(name, Some("." | "source" | "eval"))
    };
    let plain = |n: &&Node| matches!(n.kind, NodeKind::Simple(_) | NodeKind::Pipeline { .. });
    let list = script.and_list().filter(|l| l.iter().all(plain));
    let is_early = |simple: &Simple| {
        let same = |n: &&Node| matches!(&n.kind, NodeKind::Simple(s) if std::ptr::eq(s, simple));
        list.as_ref().is_some_and(|l| l[..l.len() - 1].iter().any(same))
    };
    let may = |c: &Command| command_sets_errexit(c.simple) || reads(c.simple) && !is_early(c.simple);
    script.commands().iter().any(may)
}

/// A parameter that the first command reads and that holds what came before it in the same shell: `$?`, `$!`, `$_`,
/// `$$`, `$0`, `$SECONDS`, `$LINENO`, `$RANDOM`.
#[must_use]
pub fn special_reads(script: &Script) -> Option<String> {
    const SPECIAL: [&str; 8] = ["?", "!", "_", "$", "0", "SECONDS", "LINENO", "RANDOM"];
    let mut reads = Vec::new();
    first_reads(script.statements(), &mut reads);
    reads.into_iter().find(|r| SPECIAL.contains(&r.as_str()))
}

fn command_sets_errexit(simple: &Simple) -> bool {
    let (Some(at), _) = super::leak::unwrapped(simple) else { return false };
    if simple.words[at].literal() != Some("set") {
        return false;
    }
    let mut words = simple.words[at + 1..].iter();
    while let Some(word) = words.next() {
        match word.literal() {
            None => return true,
            Some("-o") => {
                if words.next().is_none_or(|w| w.literal().is_none_or(|l| l == "errexit")) {
                    return true;
                }
            }
            Some("--" | "-") => return false,
            Some(flags) if flags.starts_with('-') => {
                if flags.contains('e') {
                    return true;
                }
                if flags.ends_with('o')
                    && words.next().is_none_or(|w| w.literal().is_none_or(|l| l == "errexit"))
                {
                    return true;
                }
            }
            Some(flags) if flags.starts_with('+') => {}
            Some(_) => return false,
        }
    }
    false
}

fn list<'a>(statements: &'a [Statement], place: Place, out: &mut Vec<Command<'a>>) {
    for statement in statements {
        let mut place = place;
        place.background |= statement.terminator == Terminator::Background;
        let last = statement.list.rest.len();
        for (i, n) in statement.list.nodes().enumerate() {
            let or = i > 0 && statement.list.rest[i - 1].op == Op::Or;
            place.conditional |= or;
            node(n, Place { tested: place.tested || i < last, ..place }, out);
        }
    }
}

fn node<'a>(n: &'a Node, at: Place, out: &mut Vec<Command<'a>>) {
    let inner = Place { depth: at.depth + 1, ..at };
    let branch = Place { conditional: true, ..inner };
    let condition = Place { tested: true, ..inner };
    match &n.kind {
        NodeKind::Simple(simple) => {
            out.push(Command { simple, place: at, span: n.span });
            simple.all_words().for_each(|w| substitutions(&w.parts, at, out));
        }
        NodeKind::Pipeline { negated, parts } => {
            let place =
                Place { pipeline: at.pipeline || parts.len() > 1, tested: at.tested || *negated, ..inner };
            parts.iter().for_each(|p| node(p, place, out));
        }
        NodeKind::Group(body) => list(body, inner, out),
        NodeKind::Subshell(body) => list(body, Place { subshell: true, ..inner }, out),
        NodeKind::If { branches, otherwise } => {
            for (i, (test, body)) in branches.iter().enumerate() {
                list(test, Place { conditional: at.conditional || i > 0, ..condition }, out);
                list(body, branch, out);
            }
            otherwise.iter().for_each(|b| list(b, branch, out));
        }
        NodeKind::For { words, body, .. } => {
            words.iter().flatten().for_each(|w| substitutions(&w.parts, at, out));
            list(body, branch, out);
        }
        NodeKind::While { condition: test, body, .. } => {
            list(test, condition, out);
            list(body, branch, out);
        }
        NodeKind::Case { word, items } => {
            substitutions(&word.parts, at, out);
            for (patterns, body) in items {
                patterns.iter().for_each(|w| substitutions(&w.parts, branch, out));
                list(body, branch, out);
            }
        }
        NodeKind::Function { body, .. } => node(body, Place { function: true, ..inner }, out),
        NodeKind::Opaque(Opaque::Timed(body)) => node(body, inner, out),
        NodeKind::Opaque(_) => {}
    }
    n.redirects.iter().filter_map(|r| r.target.as_ref()).for_each(|w| substitutions(&w.parts, at, out));
}

fn substitutions<'a>(parts: &'a [Part], at: Place, out: &mut Vec<Command<'a>>) {
    for part in parts {
        match part {
            Part::Substitution(Some(body)) => {
                list(body, Place { depth: at.depth + 1, substitution: true, ..at }, out);
            }
            Part::Parameter { default: Some(fallback), .. } => substitutions(&fallback.parts, at, out),
            _ => {}
        }
    }
}

/// Calls `see` with every list of statements: `statements`, and those in commands and substitutions.
fn each_list<'a>(statements: &'a [Statement], see: &mut dyn FnMut(&'a [Statement])) {
    see(statements);
    statements.iter().flat_map(|s| s.list.nodes()).for_each(|n| each_list_of(n, see));
}

fn each_list_of<'a>(n: &'a Node, see: &mut dyn FnMut(&'a [Statement])) {
    match &n.kind {
        NodeKind::Simple(simple) => simple.all_words().for_each(|w| each_list_in(&w.parts, see)),
        NodeKind::Pipeline { parts, .. } => parts.iter().for_each(|p| each_list_of(p, see)),
        NodeKind::Group(body) | NodeKind::Subshell(body) => each_list(body, see),
        NodeKind::If { branches, otherwise } => {
            for (test, body) in branches {
                each_list(test, see);
                each_list(body, see);
            }
            otherwise.iter().for_each(|b| each_list(b, see));
        }
        NodeKind::For { words, body, .. } => {
            words.iter().flatten().for_each(|w| each_list_in(&w.parts, see));
            each_list(body, see);
        }
        NodeKind::While { condition, body, .. } => {
            each_list(condition, see);
            each_list(body, see);
        }
        NodeKind::Case { word, items } => {
            each_list_in(&word.parts, see);
            for (patterns, body) in items {
                patterns.iter().for_each(|w| each_list_in(&w.parts, see));
                each_list(body, see);
            }
        }
        NodeKind::Function { body, .. } | NodeKind::Opaque(Opaque::Timed(body)) => each_list_of(body, see),
        NodeKind::Opaque(_) => {}
    }
    n.redirects.iter().filter_map(|r| r.target.as_ref()).for_each(|w| each_list_in(&w.parts, see));
}

fn each_list_in<'a>(parts: &'a [Part], see: &mut dyn FnMut(&'a [Statement])) {
    for part in parts {
        match part {
            Part::Substitution(Some(body)) => each_list(body, see),
            Part::Parameter { default: Some(fallback), .. } => each_list_in(&fallback.parts, see),
            _ => {}
        }
    }
}

/// The parameters that `statements` read anywhere.
pub(super) fn all_reads(statements: &[Statement], out: &mut Vec<String>) {
    each_list(statements, &mut |list| {
        list.iter().flat_map(|s| s.list.nodes()).for_each(|n| own_reads(n, out));
    });
}

/// What `n` reads, without the lists within it.
fn own_reads(n: &Node, out: &mut Vec<String>) {
    let mut add = |w: &Word| out.extend(w.reads.iter().cloned());
    n.redirects.iter().filter_map(|r| r.target.as_ref()).for_each(&mut add);
    match &n.kind {
        NodeKind::Simple(simple) => simple.all_words().for_each(add),
        NodeKind::Pipeline { parts, .. } => parts.iter().for_each(|p| own_reads(p, out)),
        NodeKind::For { words, .. } => words.iter().flatten().for_each(add),
        NodeKind::Case { word, items } => {
            add(word);
            items.iter().flat_map(|i| &i.0).for_each(add);
        }
        NodeKind::Function { body, .. } | NodeKind::Opaque(Opaque::Timed(body)) => own_reads(body, out),
        NodeKind::Opaque(Opaque::Test { reads, .. } | Opaque::Arithmetic { reads, .. }) => {
            out.extend(reads.iter().cloned());
        }
        NodeKind::Group(_) | NodeKind::Subshell(_) | NodeKind::If { .. } | NodeKind::While { .. } => {}
    }
}

/// What is read before the first command of `statements` is over.
fn first_reads(statements: &[Statement], out: &mut Vec<String>) {
    if let Some(statement) = statements.first() {
        first_reads_of(&statement.list.first, out);
    }
}

fn first_reads_of(n: &Node, out: &mut Vec<String>) {
    let mut add = |w: &Word| out.extend(w.reads.iter().cloned());
    n.redirects.iter().filter_map(|r| r.target.as_ref()).for_each(&mut add);
    match &n.kind {
        NodeKind::Simple(simple) => simple.all_words().for_each(add),
        NodeKind::Pipeline { parts, .. } => parts.iter().for_each(|p| first_reads_of(p, out)),
        NodeKind::Group(body) | NodeKind::Subshell(body) => first_reads(body, out),
        NodeKind::If { branches, .. } => branches.iter().take(1).for_each(|(test, _)| first_reads(test, out)),
        NodeKind::For { words, body, .. } => {
            words.iter().flatten().for_each(add);
            first_reads(body, out);
        }
        NodeKind::While { condition, .. } => first_reads(condition, out),
        NodeKind::Case { word, items } => {
            add(word);
            for (patterns, body) in items {
                patterns.iter().for_each(|w| out.extend(w.reads.iter().cloned()));
                first_reads(body, out);
            }
        }
        NodeKind::Function { .. } => {}
        NodeKind::Opaque(Opaque::Timed(body)) => first_reads_of(body, out),
        NodeKind::Opaque(Opaque::Test { reads, .. } | Opaque::Arithmetic { reads, .. }) => {
            out.extend(reads.iter().cloned());
        }
    }
}
