//! What a command changes in the shell for what comes after it.

use super::{Node, NodeKind, Opaque, Part, Simple, Statement, Terminator, Word};

/// A piece of shell state that a command changes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Leak {
    Cwd,
    Variable(String),
    /// The variable of a `for`, which is seen only by what reads it by name, unless it is exported.
    LoopVariable(String),
    /// A name that is put into the environment of later commands.
    Export(String),
    /// `set` and `shopt`.
    Option,
    Umask,
    Trap,
    Exec,
    Exit,
    Return,
    Alias,
    Function(String),
    Source,
    Eval,
    /// `exec >file`
    Redirection,
    /// The name of the command is an expansion, so that it can be any of these.
    Expansion,
    /// Another builtin, by name.
    Other(String),
}

impl Leak {
    /// What happens, as a clause without a subject: `changes the directory`.
    #[must_use]
    pub fn text(&self) -> String {
        match self {
            Leak::Cwd => "changes the directory".to_string(),
            Leak::Variable(name) | Leak::LoopVariable(name) => format!("sets the shell variable {name}"),
            Leak::Export(name) => format!("exports {name}"),
            Leak::Option => "sets shell options".to_string(),
            Leak::Umask => "sets the umask".to_string(),
            Leak::Trap => "sets a trap".to_string(),
            Leak::Exec => "replaces the shell with `exec`".to_string(),
            Leak::Exit => "leaves the shell with `exit`".to_string(),
            Leak::Return => "returns from the script".to_string(),
            Leak::Alias => "changes aliases".to_string(),
            Leak::Function(name) => format!("defines the function {name}"),
            Leak::Source => "reads commands from a file".to_string(),
            Leak::Eval => "runs `eval`".to_string(),
            Leak::Redirection => "redirects the shell with `exec`".to_string(),
            Leak::Expansion => "runs a command whose name is an expansion".to_string(),
            Leak::Other(name) => format!("changes the shell with `{name}`"),
        }
    }
}

/// The first of [`leaks`].
#[must_use]
pub fn leak(node: &Node) -> Option<Leak> {
    leaks(node).into_iter().next()
}

/// What `node` changes in the shell that runs it, in order: nothing that runs in a subshell, a substitution, a
/// pipeline or the background does (semantics: POSIX.1-2024 XCU 2.13, Shell Execution Environment).
#[must_use]
pub fn leaks(node: &Node) -> Vec<Leak> {
    let mut out = Vec::new();
    of_node(node, &mut out);
    out
}

/// The first of [`leaks`] that something in `rest`, shell texts that come later, could notice; `exported` tells whether a
/// variable is part of the environment, so that every command sees it.
#[must_use]
pub fn leak_into(node: &Node, rest: &[&[u8]], exported: &dyn Fn(&str) -> bool) -> Option<Leak> {
    let seen = |l: &Leak| match l {
        // a variable that is called like a builtin is left where it is: readers take it for the command
        Leak::LoopVariable(name) => {
            exported(name)
                || rest.iter().any(|text| mentions(text, name.as_bytes()))
                || STATEFUL.contains(&name.as_str())
        }
        _ => true,
    };
    leaks(node).into_iter().find(seen)
}

/// Builtins that change the state of the shell.
const STATEFUL: [&str; 10] =
    ["cd", "eval", "exec", "exit", "export", "set", "source", "trap", "umask", "unset"];

/// Whether `text` has `name` as a whole word.
fn mentions(text: &[u8], name: &[u8]) -> bool {
    let part = |b: Option<&u8>| b.is_some_and(|b| b.is_ascii_alphanumeric() || *b == b'_');
    memchr::memmem::find_iter(text, name)
        .any(|i| !part(i.checked_sub(1).and_then(|i| text.get(i))) && !part(text.get(i + name.len())))
}

/// The index of the command's name behind `command` and `builtin`, and whether these only look it up. `None` when
/// there is no name.
pub(super) fn unwrapped(simple: &Simple) -> (Option<usize>, bool) {
    let mut at = 0;
    while let Some(word) = simple.words.get(at) {
        if !matches!(word.literal(), Some("command" | "builtin")) {
            return (Some(at), false);
        }
        at += 1;
        while let Some(flag) = simple.words.get(at).and_then(Word::literal).filter(|l| l.starts_with('-')) {
            if flag.contains(['v', 'V']) {
                return (None, true);
            }
            at += 1;
        }
    }
    (None, false)
}

fn of_list(statements: &[Statement], out: &mut Vec<Leak>) {
    for statement in statements.iter().filter(|s| s.terminator != Terminator::Background) {
        statement.list.nodes().for_each(|n| of_node(n, out));
    }
}

fn of_node(node: &Node, out: &mut Vec<Leak>) {
    match &node.kind {
        NodeKind::Simple(simple) => of_simple(simple, out),
        NodeKind::Pipeline { parts, .. } => {
            if let [one] = parts.as_slice() {
                of_node(one, out);
            }
        }
        NodeKind::Group(body) => of_list(body, out),
        NodeKind::Subshell(_) => {}
        NodeKind::If { branches, otherwise } => {
            for (test, body) in branches {
                of_list(test, out);
                of_list(body, out);
            }
            otherwise.iter().for_each(|b| of_list(b, out));
        }
        NodeKind::For { name, words, body } => {
            words.iter().flatten().for_each(|w| sets(w, out));
            out.push(Leak::LoopVariable(name.clone()));
            of_list(body, out);
        }
        NodeKind::While { condition, body, .. } => {
            of_list(condition, out);
            of_list(body, out);
        }
        NodeKind::Case { word, items } => {
            sets(word, out);
            for (patterns, body) in items {
                patterns.iter().for_each(|w| sets(w, out));
                of_list(body, out);
            }
        }
        NodeKind::Function { name, .. } => out.push(Leak::Function(name.clone())),
        NodeKind::Opaque(Opaque::Timed(inner)) => of_node(inner, out),
        NodeKind::Opaque(Opaque::Test { sets, .. } | Opaque::Arithmetic { sets, .. }) => {
            out.extend(sets.iter().cloned().map(Leak::Variable));
        }
    }
    for redirect in &node.redirects {
        redirect.target.iter().for_each(|w| sets(w, out));
        out.extend(redirect.fd_name.iter().cloned().map(Leak::Variable));
    }
}

fn sets(word: &Word, out: &mut Vec<Leak>) {
    out.extend(word.sets.iter().cloned().map(Leak::Variable));
}

fn of_simple(simple: &Simple, out: &mut Vec<Leak>) {
    simple.all_words().for_each(|w| sets(w, out));
    out.extend(simple.redirects.iter().filter_map(|r| r.fd_name.clone()).map(Leak::Variable));
    let (at, lookup) = unwrapped(simple);
    let assigned =
        |out: &mut Vec<Leak>| out.extend(simple.assigns.iter().map(|a| Leak::Variable(a.name.clone())));
    let Some(at) = at else {
        if simple.words.is_empty() && !lookup {
            assigned(out);
        }
        return;
    };
    let Some(name) = simple.words[at].literal() else {
        // a path names a file, whatever the rest of the word is
        let is_path = |p: &Part| matches!(p, Part::Text { value, .. } if value.contains('/'));
        if !simple.words[at].parts.iter().any(is_path) {
            out.push(Leak::Expansion);
        }
        return;
    };
    // POSIX keeps the assignments before a special builtin; bash does not, and is taken with the others.
    const SPECIAL: [&str; 15] = [
        ":", ".", "break", "continue", "eval", "exec", "exit", "export", "readonly", "return", "set",
        "shift", "times", "trap", "unset",
    ];
    if SPECIAL.contains(&name) {
        assigned(out);
    }
    let args = &simple.words[at + 1..];
    let operands = || args.iter().filter(|w| w.literal().is_none_or(|l| !l.starts_with('-')));
    let names =
        |make: &dyn Fn(String) -> Leak| -> Vec<Leak> { operands().map(|w| make(name_of(w))).collect() };
    match name {
        "cd" | "pushd" | "popd" => out.push(Leak::Cwd),
        "export" => out.extend(names(&Leak::Export)),
        "readonly" | "local" | "unset" | "read" | "declare" | "typeset" | "mapfile" | "readarray" => {
            let exported = args.iter().any(|w| {
                matches!(name, "declare" | "typeset")
                    && w.literal().is_some_and(|l| l.starts_with('-') && l.contains('x'))
            });
            let found = names(if exported { &Leak::Export } else { &Leak::Variable });
            let implied = match name {
                "read" => Some("REPLY"),
                "mapfile" | "readarray" => Some("MAPFILE"),
                _ => None,
            };
            match implied {
                Some(implied) if found.is_empty() => out.push(Leak::Variable(implied.to_string())),
                _ => out.extend(found),
            }
        }
        "getopts" => {
            out.extend(args.get(1).map(|w| Leak::Variable(name_of(w))));
            out.push(Leak::Variable("OPTIND".to_string()));
        }
        "printf" if args.first().and_then(Word::literal) == Some("-v") => {
            out.extend(args.get(1).map(|w| Leak::Variable(name_of(w))));
        }
        "let" => out.push(Leak::Other(name.to_string())),
        "set" | "shopt" => {
            if !args.is_empty() {
                out.push(Leak::Option);
            }
        }
        "umask" => {
            if operands().next().is_some() {
                out.push(Leak::Umask);
            }
        }
        "trap" => {
            if operands().next().is_some() || args.iter().any(|w| w.literal() == Some("-")) {
                out.push(Leak::Trap);
            }
        }
        "exec" => out.push(if args.is_empty() { Leak::Redirection } else { Leak::Exec }),
        "exit" | "logout" => out.push(Leak::Exit),
        "return" => out.push(Leak::Return),
        "alias" | "unalias" => {
            if !args.is_empty() {
                out.push(Leak::Alias);
            }
        }
        "." | "source" => out.push(Leak::Source),
        "eval" => out.push(Leak::Eval),
        "hash" | "enable" | "shift" | "ulimit" | "bind" | "complete" => {
            out.push(Leak::Other(name.to_string()));
        }
        _ => {}
    }
}

/// The name in `name` or `name=value`.
fn name_of(word: &Word) -> String {
    let text = match (word.literal(), word.parts.first()) {
        (Some(literal), _) => literal,
        (None, Some(super::Part::Text { value, .. })) if value.contains('=') => value,
        _ => return "of a name that is an expansion".to_string(),
    };
    text.split(['=', '+', '[']).next().unwrap_or_default().to_string()
}
