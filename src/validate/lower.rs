//! A stage as operations: what the builder executes, copies and makes, in order.

use std::fmt;

use super::View;
use crate::{
    context::{Context, FileKind},
    facts::{Form, covers, parent},
    shell::{Dialect, NodeKind, Script, Terminator, background, leak_into, may_set_errexit},
    syntax::{Instruction, Keyword},
};

/// One operation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Op {
    Exec(Exec),
    Copy(Copy),
    /// WORKDIR makes a folder.
    Dir(Dir),
}

#[derive(Clone, Debug)]
pub(super) struct Exec {
    /// What is run: the text of a unit, or all of an instruction that is not read further.
    pub unit: String,
    /// Flags of its RUN.
    pub flags: Vec<String>,
    /// Its instruction.
    pub at: usize,
    /// Length of the stage's trail before it.
    pub trail: usize,
}

#[derive(Clone, Debug)]
pub(super) struct Copy {
    pub is_add: bool,
    pub from: Option<String>,
    pub sources: Vec<String>,
    /// Absolute where it is known.
    pub dst: String,
    /// Whether the destination is written as a folder.
    pub into: bool,
    pub owner: Option<String>,
    pub mode: Option<String>,
    /// The other flags, sorted; contents of heredocs.
    pub flags: Vec<String>,
    pub at: usize,
    pub trail: usize,
}

#[derive(Clone, Debug)]
pub(super) struct Dir {
    pub path: String,
    pub at: usize,
    pub trail: usize,
}

// Where an operation stands is not what it is.
impl PartialEq for Exec {
    fn eq(&self, other: &Exec) -> bool {
        (&self.unit, &self.flags) == (&other.unit, &other.flags)
    }
}

impl PartialEq for Copy {
    fn eq(&self, other: &Copy) -> bool {
        self.is_same_but_owner_and_mode(other) && (&self.owner, &self.mode) == (&other.owner, &other.mode)
    }
}

impl PartialEq for Dir {
    fn eq(&self, other: &Dir) -> bool {
        self.path == other.path
    }
}

impl Eq for Exec {}
impl Eq for Copy {}
impl Eq for Dir {}

impl Copy {
    pub fn is_same_but_owner_and_mode(&self, other: &Copy) -> bool {
        (self.is_add, &self.from, &self.sources, &self.dst, self.into, &self.flags)
            == (other.is_add, &other.from, &other.sources, &other.dst, other.into, &other.flags)
    }
}

impl fmt::Display for Op {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Op::Exec(e) => write!(f, "RUN {}", e.unit),
            Op::Copy(c) => write!(f, "COPY {} {}", c.sources.join(" "), c.dst),
            Op::Dir(d) => write!(f, "WORKDIR {}", d.path),
        }
    }
}

/// The operations of a stage.
#[derive(Debug)]
pub(super) struct Stage {
    pub ops: Vec<Op>,
    /// Instructions that set state, as they are written: FROM, ENV, ARG, USER, WORKDIR, SHELL.
    trail: Vec<String>,
}

impl Stage {
    /// The state instructions that an operation depends on: of an Exec all, of a Copy none that its own fields do not show,
    /// of a folder the user.
    pub fn trail(&self, op: &Op) -> Vec<&str> {
        let (length, keep): (usize, fn(&str) -> bool) = match op {
            Op::Exec(e) => (e.trail, |_| true),
            Op::Copy(c) => (c.trail, |_| false),
            Op::Dir(d) => (d.trail, |t| t.starts_with("USER")),
        };
        self.trail[..length].iter().map(String::as_str).filter(|t| keep(t)).collect()
    }
}

impl Stage {
    /// The same, but with a COPY of several files of the context as one COPY for each, for it copies them in turn; and with each
    /// destination known as a folder where folders come into it, or where a WORKDIR or a COPY before has made one.
    pub fn singled(&self, context: &Context) -> Stage {
        let mut out: Vec<Op> = Vec::new();
        for op in &self.ops {
            let Op::Copy(c) = op else {
                out.push(op.clone());
                continue;
            };
            let makes = |o: &Op| match o {
                Op::Dir(dir) => covers(&c.dst, &dir.path),
                Op::Copy(o) => covers(&c.dst, if o.into { &o.dst } else { parent(&o.dst) }),
                Op::Exec(_) => false,
            };
            let dir = |s: &String| context.entry(s).is_some_and(|e| e.kind == FileKind::Dir);
            let into = c.into || c.sources.iter().all(dir) || out.iter().any(makes);
            let c = Copy { into, ..c.clone() };
            let one = |s: &String| Op::Copy(Copy { sources: vec![s.clone()], ..c.clone() });
            match c.sources.as_slice() {
                sources @ [_, _, ..] if c.from.is_none() && c.into => out.extend(sources.iter().map(one)),
                _ => out.push(Op::Copy(c)),
            }
        }
        Stage { ops: out, trail: self.trail.clone() }
    }

    /// All state instructions of the stage, FROM first.
    pub fn whole_trail(&self) -> &[String] {
        &self.trail
    }
}

pub(super) fn lower(view: &View, index: usize) -> Stage {
    let stage = &view.graph.stages()[index];
    let mut out = Stage { ops: Vec::new(), trail: vec![text(&view.file.instructions[stage.from])] };
    for at in stage.body.clone() {
        let ins = &view.file.instructions[at];
        match ins.keyword {
            Keyword::Run => {
                let (units, flags) = units(view, at, ins);
                let trail = out.trail.len();
                let exec = |unit| Op::Exec(Exec { unit, flags: flags.clone(), at, trail });
                out.ops.extend(units.into_iter().map(exec));
            }
            Keyword::Copy | Keyword::Add => {
                let copy = copy(view, at, ins, out.trail.len());
                out.ops.push(Op::Copy(copy));
            }
            Keyword::Workdir => {
                out.trail.push(text(ins));
                let state = view.facts.before(at);
                let path = state.and_then(|s| s.absolute(ins.first(), view.file.escape));
                let path = path.map_or_else(|| format!("?{}", out.trail.join("/")), |p| p.text);
                out.ops.push(Op::Dir(Dir { path, at, trail: out.trail.len() }));
            }
            Keyword::Env | Keyword::Arg | Keyword::User | Keyword::Shell => out.trail.push(text(ins)),
            _ => {}
        }
    }
    out
}

/// Keyword and words of an instruction, however it is laid out.
fn text(ins: &Instruction) -> String {
    let words: Vec<&str> = ins.args().iter().map(|a| a.value.as_str()).collect();
    format!("{} {}", ins.keyword.name(), words.join("\u{1f}"))
}

/// The units of a RUN, and its flags.
fn units(view: &View, at: usize, ins: &Instruction) -> (Vec<String>, Vec<String>) {
    let Some(run) = view.facts.run(at) else { return (vec![text(ins)], Vec::new()) };
    let whole = |mark: &str| {
        let mut unit = format!("{mark}{}", String::from_utf8_lossy(&ins.rest().text).trim());
        for doc in &ins.heredocs {
            unit.push('\n');
            unit.push_str(&String::from_utf8_lossy(doc.content.of(view.file.text())));
        }
        vec![unit]
    };
    let units = match (run.form, run.understood()) {
        (Form::Exec, _) => whole("exec "),
        (Form::Heredoc, _) => whole("heredoc "),
        (Form::Shell, Some(script)) => {
            let exported = |name: &str| view.facts.before(at).is_none_or(|s| s.variable(name).is_some());
            units_of(script, run.shell.is_some_and(|s| s.errexit), &exported)
        }
        (Form::Shell, None) => whole(""),
    };
    (units, run.flags.clone())
}

/// An AND-list none of whose elements but the last leaks state is its elements; anything else is one unit.
fn units_of(script: &Script, errexit: bool, exported: &dyn Fn(&str) -> bool) -> Vec<String> {
    let whole = || vec![tidy(&script.joined().text)];
    // a `;` at the end of a list ends nothing
    let list: Vec<_> = match script.statements() {
        [one]
            if matches!(one.terminator, Terminator::None | Terminator::Semicolon)
                && one.list.rest.iter().all(|r| r.op == crate::shell::Op::And) =>
        {
            one.list.nodes().collect()
        }
        _ => return whole(),
    };
    let Some((_, init)) = list.split_last() else { return whole() };
    if list.len() < 2 && !matches!(list[0].kind, NodeKind::Group(_) | NodeKind::Subshell(_)) {
        return whole();
    }
    let plain = |kind: &NodeKind| matches!(kind, NodeKind::Simple(_) | NodeKind::Pipeline { .. });
    let after = |n: &crate::shell::Node| &script.joined().text[n.span.end as usize..];
    let leaks = init.iter().any(|n| leak_into(n, &[after(n)], exported).is_some());
    // on the left of && a `set -e` within a bracket does nothing, and a job in the background lives on (semantics A.3, A.2.10)
    let apart = |n: &crate::shell::Node| match &n.kind {
        NodeKind::Pipeline { .. } => Some(script.text(n.span).to_vec()),
        _ => bracketed(script, n).map(<[u8]>::to_vec),
    };
    let differs_alone = init.iter().any(|n| apart(n).is_some_and(|text| is_other_alone(&text)));
    if leaks || differs_alone || (errexit && !list.iter().all(|n| plain(&n.kind))) {
        return whole();
    }
    list.iter().map(|node| tidy(unwrapped(script, node))).collect()
}

/// Whether shell text, run by itself, may do something else than on the left of an `&&`.
fn is_other_alone(inner: &[u8]) -> bool {
    let text = crate::syntax::Joined::of(inner);
    let mut scripts = [Dialect::Posix, Dialect::Bash].into_iter().map(|d| crate::shell::parse(&text, d));
    // what one dialect reads without an error the shell at hand may have read so too
    scripts.all(|s| s.error().is_some() || may_set_errexit(&s) || background(&s).is_some())
}

/// Of `{ B; }` and `( A )` without redirections, what stands within; else the node itself.
fn unwrapped<'a>(script: &'a Script, node: &crate::shell::Node) -> &'a [u8] {
    bracketed(script, node).unwrap_or(script.text(node.span))
}

fn bracketed<'a>(script: &'a Script, node: &crate::shell::Node) -> Option<&'a [u8]> {
    let is_bracket = matches!(node.kind, NodeKind::Group(_) | NodeKind::Subshell(_));
    let text = script.text(node.span);
    let closed = matches!((text.first(), text.last()), (Some(b'{'), Some(b'}')) | (Some(b'('), Some(b')')));
    (is_bracket && closed).then(|| &text[1..text.len() - 1])
}

/// Without blanks at the ends, and without a last `;`.
fn tidy(text: &[u8]) -> String {
    let text = String::from_utf8_lossy(text);
    let text = text.trim();
    let ends_case = text.ends_with(";;");
    text.strip_suffix(';').filter(|_| !ends_case).unwrap_or(text).trim_end().to_owned()
}

fn copy(view: &View, at: usize, ins: &Instruction, trail: usize) -> Copy {
    let escape = view.file.escape;
    let state = view.facts.before(at);
    let expand = |t: &str| state.and_then(|s| s.expand(t, escape)).map_or_else(|| t.to_owned(), |v| v.text);
    let (dst, sources) = match ins.args().split_last() {
        Some((d, s)) => (d.value.clone(), s.iter().map(|a| expand(&a.value)).collect()),
        None => (String::new(), Vec::new()),
    };
    let into = dst.ends_with('/') || dst == "." || dst.ends_with("/.");
    let from =
        ins.flag("from").map(|f| source_name(view, at, &expand(f.value.as_deref().unwrap_or_default())));
    let mut flags: Vec<String> = ins
        .flags()
        .iter()
        .filter(|f| !matches!(f.name.as_str(), "chown" | "chmod" | "from"))
        .map(crate::syntax::Flag::text)
        .collect();
    flags.sort();
    flags.extend(
        ins.heredocs.iter().map(|d| String::from_utf8_lossy(d.content.of(view.file.text())).into_owned()),
    );
    let value = |name: &str| ins.flag(name).map(|f| expand(f.value.as_deref().unwrap_or_default()));
    let unknown = || format!("?{dst}");
    Copy {
        is_add: ins.keyword == Keyword::Add,
        from,
        sources,
        dst: state.and_then(|s| s.absolute(&dst, escape)).map_or_else(unknown, |v| v.text),
        into,
        owner: value("chown"),
        mode: value("chmod"),
        flags,
        at,
        trail,
    }
}

/// A stage by its number, for it may be named in two ways.
fn source_name(view: &View, at: usize, name: &str) -> String {
    let own = view.graph.stage_of(at).map_or(0, |s| s.index);
    match view.graph.find_stage(name) {
        Some(s) if s.index < own => format!("stage {}", s.index),
        _ => name.to_owned(),
    }
}
