//! An image that runs as a user by name, where Kubernetes is to see that it is not root: it looks at numbers alone.

use super::config::services;
use crate::{
    edit::Edits,
    facts::{Member, Owner},
    pass::{Effect, Finding, Input, Level, Reason, Refusal, Rewrite},
    syntax::{Instruction, Keyword},
};

/// What is to be done where the stage ends with a user's name and a manifest asks for `runAsNonRoot`.
pub(super) fn finding(input: &Input, stage: usize) -> Option<Finding> {
    let by = services(input, stage).find(|s| s.run_as_non_root && s.user.is_none())?.by.clone();
    let spec = input.facts.stage(stage).end.user.clone()?;
    let (name, group) = spec.split_once(':').map_or((spec.as_str(), None), |(u, g)| (u, Some(g)));
    if name.parse::<u32>().is_ok() {
        return None;
    }
    let body = input.graph.stages()[stage].body.clone();
    let at = body.rev().find(|i| input.file.instructions[*i].keyword == Keyword::User)?;
    let ins = &input.file.instructions[at];
    Some(plan(input, stage, at, (name, group), &by).unwrap_or_else(|r| Finding::refuse(ins.span, r)))
}

fn plan(
    input: &Input,
    stage: usize,
    at: usize,
    (name, group): (&str, Option<&str>),
    by: &str,
) -> Result<Finding, Refusal> {
    let ins = &input.file.instructions[at];
    let refuse = |reason: Reason, why: String| {
        let message = format!("{by} asks for a user that is not root, which a name does not show: {why}");
        Err(Refusal::new(reason, message, "name the user by its number"))
    };
    let (Some(arg), false) = (ins.args().first(), crate::facts::contains(ins.source(), b"$")) else {
        return refuse(Reason::VariableUnresolved, "it stands in a variable".into());
    };
    let accounts = &input.facts.stage(stage).end.accounts;
    let Some((user, uid)) = accounts.user(name).and_then(|u| u.id.map(|id| (u, id))) else {
        return refuse(Reason::OwnerUnknown, format!("the number of {name} is not known"));
    };
    let others = accounts.users.iter().filter(|u| u.id == Some(uid)).count() > 1;
    let shares = |i: &Instruction| {
        i.keyword == Keyword::Run
            && [" -o ", "--non-unique"].iter().any(|o| crate::facts::contains(i.source(), o.as_bytes()))
    };
    if others || input.file.instructions.iter().any(shares) {
        return refuse(Reason::Conflict, format!("{uid} may be the number of more users than {name}"));
    }
    // a folder that WORKDIR makes gets the number as its group too, where USER is one
    let mut below = input.file.instructions[at + 1..input.graph.stages()[stage].body.end].iter();
    if group.is_none() && !is_own_group(user, uid) && below.any(|i| i.keyword == Keyword::Workdir) {
        return refuse(
            Reason::NotProven,
            "a folder that WORKDIR makes below it would get another group".into(),
        );
    }
    let spec = group.map_or_else(|| uid.to_string(), |g| format!("{uid}:{g}"));
    let mut edits = Edits::default();
    edits.dockerfile.replace(arg.span, spec.clone());
    let made = match user.made_at {
        Some(at) => {
            format!("line {} makes `{name}` with the number {uid}", input.file.instructions[at].lines.0)
        }
        None => format!("the base image has `{name}` with the number {uid}"),
    };
    let evidence = vec![
        format!("{by} has runAsNonRoot, and Kubernetes starts no image of which the user is a name"),
        made,
        "the group and the home are those of that number in /etc/passwd, as before".to_owned(),
    ];
    let effects = vec![Effect::User { stage }];
    let rewrite = Rewrite { level: Level::Review, evidence, assumes: Vec::new(), effects, edits };
    Ok(Finding::rewrite(ins.span, format!("name the user {name} by its number, {spec}"), rewrite))
}

fn is_own_group(user: &Member, uid: u32) -> bool {
    user.group == Some(Owner::Number(uid))
}
