//! Translation validation: whether a rewrite kept what it promised, told from both texts and its declared effects alone.
//!
//! Each stage is lowered to operations, in order; the rest of the file is config. Both are compared. Nothing here knows a pass:
//! a rewrite without effects must leave all operations equal, and each effect admits one kind of difference, which is then
//! checked by its own rule. The validator shares facts and the shell parser with the passes: it finds errors of passes and of
//! edits, not of facts.

use std::fmt;

use crate::{
    context::Context,
    facts::Facts,
    graph::Graph,
    knowledge::Knowledge,
    pass::{Assumption, Effect, Level},
    syntax::{Dockerfile, Keyword},
};

mod align;
mod joins;
mod lower;
mod ownership;
mod review;
mod split;
#[cfg(test)]
mod tests;

use align::{Alignment, align};
use lower::{Op, Stage, lower};

/// A Dockerfile with what is derived from it.
#[derive(Clone, Copy)]
pub struct View<'a> {
    pub file: &'a Dockerfile,
    pub graph: &'a Graph,
    pub facts: &'a Facts<'a>,
    /// As it is with the rewrite's own change of `.dockerignore`.
    pub context: Option<&'a Context>,
}

/// What a rewrite says that it does.
#[derive(Clone, Copy)]
pub struct Claim<'a> {
    pub effects: &'a [Effect],
    pub assumes: &'a [Assumption],
    pub level: Level,
}

/// Why a rewrite is not what it promised.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// `V1` (stages and config), `V2` (operations), `V3` (order of what depends on each other), `V4` (content, owner and mode).
    pub rule: &'static str,
    /// No capital, no full stop.
    pub message: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.rule, self.message)
    }
}

pub(crate) fn fault<T>(rule: &'static str, message: impl Into<String>) -> Result<T, Fault> {
    Err(Fault { rule, message: message.into() })
}

/// What the rules look at, of one stage.
struct Pair<'a> {
    index: usize,
    old: &'a View<'a>,
    new: &'a View<'a>,
    old_ops: &'a Stage,
    new_ops: &'a Stage,
    claim: Claim<'a>,
    knowledge: &'a Knowledge,
}

/// Checks that `new` is `old` but for what `claim` declares.
///
/// # Errors
/// The first difference that is not declared.
pub fn validate(old: &View, new: &View, claim: Claim, knowledge: &Knowledge) -> Result<(), Fault> {
    stages_are_equal(old, new, claim)?;
    for index in 0..old.graph.stages().len() {
        config_is_equal(old, new, index, claim)?;
        let (old_ops, new_ops) = (lower(old, index), lower(new, index));
        let pair = Pair { index, old, new, old_ops: &old_ops, new_ops: &new_ops, claim, knowledge };
        operations_are_equal(&pair)?;
    }
    Ok(())
}

/// V1: stages keep name, number, base and platform.
fn stages_are_equal(old: &View, new: &View, claim: Claim) -> Result<(), Fault> {
    let (a, b) = (old.graph.stages(), new.graph.stages());
    if a.len() != b.len() {
        return fault("V1", format!("{} stages became {}", a.len(), b.len()));
    }
    if let Some(e) = new.file.error() {
        return fault("V1", format!("line {}: {}", e.line, e.message));
    }
    let directives =
        |v: &View| v.file.directives.iter().map(|d| (d.name.clone(), d.value.clone())).collect::<Vec<_>>();
    if directives(old) != directives(new) {
        return fault("V1", "the parser directives differ");
    }
    let globals = |v: &View| v.graph.globals().to_vec();
    if globals(old) != globals(new) {
        return fault("V1", "the ARGs before the first FROM differ");
    }
    for (x, y) in a.iter().zip(b) {
        let name = x.name.as_deref().unwrap_or("without a name");
        let rebased = claim.effects.contains(&Effect::Base { stage: x.index });
        if x.name != y.name {
            return fault("V1", format!("stage {} ({name}) has another name", x.index));
        }
        let raw = |v: &View, s: &crate::graph::Stage| v.file.instructions[s.from].first().to_owned();
        if !rebased && (raw(old, x) != raw(new, y) || x.platform != y.platform || x.base != y.base) {
            return fault("V1", format!("stage {} ({name}) starts from something else", x.index));
        }
        if arguments(old, x) != arguments(new, y) {
            return fault("V1", format!("stage {} ({name}) has other ARGs", x.index));
        }
    }
    Ok(())
}

/// The ARGs of a stage, in order: `--build-arg` and its defaults are part of what a Dockerfile offers, used or not.
fn arguments(view: &View, stage: &crate::graph::Stage) -> Vec<String> {
    let body = view.file.instructions[stage.body.clone()].iter();
    body.filter(|i| i.keyword == Keyword::Arg)
        .flat_map(|i| i.args().iter().map(|a| a.value.clone()))
        .collect()
}

/// V1: the final config of a stage.
fn config_is_equal(old: &View, new: &View, index: usize, claim: Claim) -> Result<(), Fault> {
    let (mut a, mut b) = (old.facts.stage(index).config.clone(), new.facts.stage(index).config.clone());
    for effect in claim.effects {
        match effect {
            Effect::User { stage } if *stage == index => (a.user, b.user) = (None, None),
            Effect::Workdir { stage } if *stage == index => (a.workdir, b.workdir) = (None, None),
            Effect::Entrypoint { stage } if *stage == index => {
                (a.cmd, b.cmd, a.entrypoint, b.entrypoint) = (None, None, None, None);
            }
            Effect::Env { stage, names } if *stage == index => {
                a.env.retain(|(n, _)| !names.contains(n));
                b.env.retain(|(n, _)| !names.contains(n));
            }
            _ => {}
        }
    }
    match a.difference(&b) {
        Some(field) => fault("V1", format!("the config of stage {index} differs in {field}")),
        None => Ok(()),
    }
}

/// V2 to V4: the operations of a stage.
fn operations_are_equal(pair: &Pair) -> Result<(), Fault> {
    let alignment = align(pair.old_ops, pair.new_ops);
    joins::check(pair, &alignment)?;
    let effects = pair.claim.effects;
    // a user or base that is new is looked at even where every operation is as it was
    let own = effects
        .iter()
        .any(|e| matches!(e, Effect::User { stage } | Effect::Base { stage } if *stage == pair.index));
    if alignment.is_equal() && !own {
        return Ok(());
    }
    let has = |f: fn(&Effect) -> bool| effects.iter().any(f);
    if has(|e| matches!(e, Effect::User { .. } | Effect::Base { .. })) {
        return review::check(pair, &alignment);
    }
    if has(|e| matches!(e, Effect::CommandMoved { .. } | Effect::CommandAdded { .. })) {
        return split::check(pair);
    }
    if has(|e| matches!(e, Effect::OwnerMoved { .. } | Effect::ModeMoved { .. })) {
        return ownership::check(pair, &alignment);
    }
    undeclared(pair, &alignment)
}

/// The first operation that is on one side alone.
fn undeclared(pair: &Pair, alignment: &Alignment) -> Result<(), Fault> {
    let stage = pair.index;
    if let Some(i) = alignment.removed.first() {
        return fault("V2", format!("stage {stage}: this is gone or differs: {}", pair.old_ops.ops[*i]));
    }
    match alignment.added.first() {
        Some(i) => fault("V2", format!("stage {stage}: this is new: {}", pair.new_ops.ops[*i])),
        None => Ok(()),
    }
}

impl Pair<'_> {
    fn removed(&self, a: &Alignment) -> Vec<&Op> {
        a.removed.iter().map(|i| &self.old_ops.ops[*i]).collect()
    }

    fn added(&self, a: &Alignment) -> Vec<&Op> {
        a.added.iter().map(|i| &self.new_ops.ops[*i]).collect()
    }
}
