//! The user that a stage's image runs as.
//!
//! One USER is new, and stands after all that runs. What is new besides makes that user, or gives it declared paths; a COPY may
//! have gained it as owner of such a path. All else is as it was.

use super::super::{
    Alignment, Fault, Pair, fault,
    lower::{Copy, Exec, Op},
    undeclared,
};
use crate::{
    facts::{Owner, State, clean, covers, is_root},
    pass::Effect,
    shell::{self, Dialect},
    syntax::Joined,
};

pub(super) fn check(pair: &Pair, alignment: &Alignment) -> Result<(), Fault> {
    let stage = pair.index;
    if let Some(child) = pair.new.graph.children(stage).first() {
        return fault("V1", format!("stage {child} starts from stage {stage}, whose user changes"));
    }
    let end = &pair.new.facts.stage(stage).end;
    let user = user(end, stage)?;
    if pair.old.facts.stage(stage).end.is_root() == Some(false) {
        if !only_the_user_differs(pair, alignment) {
            undeclared(pair, alignment)?;
        }
        return is_the_same(pair, &user);
    }
    let until = user_comes_last(pair)?;
    let mut rest =
        Alignment { removed: Vec::new(), added: alignment.added.clone(), kept: alignment.kept.clone() };
    for &i in &alignment.removed {
        match owner_gained(pair, alignment, i, &rest.added, &user) {
            Some(j) => rest.added.retain(|x| *x != j),
            None => rest.removed.push(i),
        }
    }
    let mut strange = Vec::new();
    for &j in &rest.added {
        match &pair.new_ops.ops[j] {
            Op::Exec(exec) if is_for_user(pair, exec, until, &user)? => {}
            _ => strange.push(j),
        }
    }
    rest.added = strange;
    undeclared(pair, &rest)?;
    all_is_done(pair, alignment)
}

/// Each command that is declared is there, and each path that is declared is given to the user.
fn all_is_done(pair: &Pair, alignment: &Alignment) -> Result<(), Fault> {
    let added = pair.added(alignment);
    let runs = |c: &String| added.iter().any(|op| matches!(op, Op::Exec(e) if e.unit == *c));
    let gives = |path: &String| {
        added.iter().any(|op| match op {
            Op::Exec(e) => plain_command(&e.unit)
                .is_some_and(|argv| argv[0] == "chown" && argv.iter().any(|a| clean(a) == *path)),
            Op::Copy(c) => c.owner.is_some() && covers(path, &c.dst),
            Op::Dir(_) => false,
        })
    };
    for effect in pair.claim.effects {
        match effect {
            Effect::CommandAdded { command } if !runs(command) => {
                return fault(
                    "V2",
                    format!("stage {}: this is declared and is not there: {command}", pair.index),
                );
            }
            Effect::Owner { path } if !gives(path) => {
                return fault(
                    "V4",
                    format!("stage {}: nothing gives {path} to the user, as declared", pair.index),
                );
            }
            _ => {}
        }
    }
    Ok(())
}

/// The number, or else the name, of the user that the stage ends with.
fn user(end: &State, stage: usize) -> Result<Owner, Fault> {
    let Some(text) = end.user.as_deref() else {
        return fault("V1", format!("the user of stage {stage} is not known"));
    };
    let (user, group) = text.split_once(':').map_or((text, None), |(u, g)| (u, Some(g)));
    let id = end.accounts.user_id(user);
    if is_root(text) || matches!(id, Some(Owner::Number(0))) {
        return fault("V1", format!("stage {stage} runs as root"));
    }
    if let Some(group) = group.filter(|g| end.accounts.group_id(g).is_none()) {
        return fault("V1", format!("stage {stage} names a group that is not known to exist: {group}"));
    }
    match id {
        Some(id) => Ok(id),
        None => fault("V1", format!("stage {stage} names a user that is not known to exist: {user}")),
    }
}

/// The state instructions are the same but for one USER after them all; the length of the trail before it.
fn user_comes_last(pair: &Pair) -> Result<usize, Fault> {
    let (old, new) = (pair.old_ops.whole_trail(), pair.new_ops.whole_trail());
    let is_user = |t: &String| t.starts_with("USER ");
    let Some(at) = new.iter().rposition(is_user) else {
        return fault("V1", format!("stage {} sets no USER", pair.index));
    };
    let others: Vec<&String> = new[..at].iter().chain(&new[at + 1..]).collect();
    if others.len() != old.len() || others.iter().zip(old).any(|(a, b)| *a != b) {
        return fault("V2", format!("stage {} changes more of its state than one USER", pair.index));
    }
    Ok(at)
}

/// Whether nothing differs but how the user is named for whom the same commands run and the same folders are made.
fn only_the_user_differs(pair: &Pair, alignment: &Alignment) -> bool {
    let same = |pair: (&Op, &Op)| match pair {
        (Op::Dir(a), Op::Dir(b)) => (&a.path, a.trail) == (&b.path, b.trail),
        (Op::Exec(a), Op::Exec(b)) => (&a.unit, &a.flags, a.trail) == (&b.unit, &b.flags, b.trail),
        _ => false,
    };
    let (old, new) = (pair.removed(alignment), pair.added(alignment));
    old.len() == new.len() && old.into_iter().zip(new).all(same)
}

/// One USER names by its number whom it named before, and who is alone with that number. The group stays as it is written; none
/// stays as it is in the image, but for the folders that a WORKDIR below makes, whose group becomes the number.
fn is_the_same(pair: &Pair, user: &Owner) -> Result<(), Fault> {
    let stage = pair.index;
    let (old, new) = (pair.old_ops.whole_trail(), pair.new_ops.whole_trail());
    let mut differ = (0..old.len().max(new.len())).filter(|i| old.get(*i) != new.get(*i));
    let (Some(at), None) = (differ.next(), differ.next()) else {
        return fault("V2", format!("stage {stage} changes more of its state than one USER"));
    };
    let spec = |trail: &[String]| {
        let text = trail.get(at).and_then(|t| t.strip_prefix("USER "))?.trim().to_owned();
        let (user, group) = text.split_once(':').map_or((text.as_str(), None), |(u, g)| (u, Some(g)));
        Some((user.to_owned(), group.map(str::to_owned)))
    };
    let accounts = &pair.old.facts.stage(stage).end.accounts;
    let (Some((name, group)), Some((number, new_group))) = (spec(old), spec(new)) else {
        return fault("V2", format!("stage {stage} changes more of its state than one USER"));
    };
    let Some(member) = accounts.user(&name).filter(|m| m.id.map(Owner::Number).as_ref() == Some(user)) else {
        return fault("V1", format!("stage {stage}: {number} is not known to be the number of {name}"));
    };
    if number.parse().ok().map(Owner::Number).as_ref() != Some(user) || group != new_group {
        return fault("V1", format!("stage {stage}: the user or the group is another one"));
    }
    if accounts.users.iter().filter(|u| u.id == member.id).count() != 1 {
        return fault("V1", format!("stage {stage}: {number} is the number of more than one user"));
    }
    let makes = old[at + 1..].iter().any(|t| t.starts_with("WORKDIR "));
    if makes && group.is_none() && member.group.as_ref() != Some(user) {
        return fault("V4", format!("stage {stage}: a folder that WORKDIR makes would have another group"));
    }
    Ok(())
}

/// The added COPY, if any, that is the removed operation `i` with the user as the owner of a declared path.
fn owner_gained(pair: &Pair, a: &Alignment, i: usize, added: &[usize], user: &Owner) -> Option<usize> {
    let Op::Copy(old) = &pair.old_ops.ops[i] else { return None };
    let kept_before_old = a.kept.iter().filter(|(x, _)| *x < i).count();
    added.iter().copied().find(|&j| {
        let Op::Copy(new) = &pair.new_ops.ops[j] else { return false };
        let kept_before_new = a.kept.iter().filter(|(_, y)| *y < j).count();
        kept_before_old == kept_before_new
            && old.is_same_but_owner_and_mode(new)
            && old.mode == new.mode
            && old.owner.is_none()
            && is_declared(pair, new)
            && new.owner.as_deref().is_some_and(|o| owns(pair, new.at, o, user))
    })
}

fn is_declared(pair: &Pair, copy: &Copy) -> bool {
    let owned = |e: &Effect| matches!(e, Effect::Owner { path } if covers(path, &copy.dst));
    pair.claim.effects.iter().any(owned)
}

/// Whether `owner`, as instruction `at` reads it, is the user.
fn owns(pair: &Pair, at: usize, owner: &str, user: &Owner) -> bool {
    let name = owner.split(':').next().unwrap_or(owner);
    pair.new.facts.after(at).and_then(|s| s.accounts.user_id(name)).as_ref() == Some(user)
}

/// Whether a new command is declared, and makes a user or gives the user declared paths, as root, without anything else.
fn is_for_user(pair: &Pair, exec: &Exec, until: usize, user: &Owner) -> Result<bool, Fault> {
    let declared = |e: &Effect| matches!(e, Effect::CommandAdded { command } if *command == exec.unit);
    if !pair.claim.effects.iter().any(declared) || !exec.flags.is_empty() {
        return Ok(false);
    }
    let as_root = pair.new.facts.before(exec.at).and_then(State::is_root) == Some(true);
    if exec.trail > until || !as_root {
        return fault(
            "V3",
            format!("stage {}: this is to run as root, and does not: RUN {}", pair.index, exec.unit),
        );
    }
    let Some(argv) = plain_command(&exec.unit) else { return Ok(false) };
    match argv[0].as_str() {
        "groupadd" | "useradd" | "addgroup" | "adduser" => Ok(true),
        "chown" => gives(pair, exec, &argv[1..], user),
        _ => Ok(false),
    }
}

fn gives(pair: &Pair, exec: &Exec, args: &[String], user: &Owner) -> Result<bool, Fault> {
    let args = args.strip_prefix(&["-R".to_owned()]).unwrap_or(args);
    let Some((owner, paths)) = args.split_first() else { return Ok(false) };
    if !owns(pair, exec.at, owner, user) {
        return fault(
            "V4",
            format!("stage {}: {owner} is not the user of the stage: {}", pair.index, exec.unit),
        );
    }
    let declared = |p: &&String| {
        pair.claim.effects.iter().any(|e| matches!(e, Effect::Owner { path } if *path == clean(p)))
    };
    match paths.iter().find(|p| !p.starts_with('/') || !declared(p)) {
        Some(path) => {
            fault("V4", format!("stage {}: the owner of {path} changes, which is not declared", pair.index))
        }
        None => Ok(!paths.is_empty()),
    }
}

/// The words of a unit that is one simple command, with literal words, and nothing more.
fn plain_command(unit: &str) -> Option<Vec<String>> {
    let script = shell::parse(&Joined::of(unit.as_bytes()), Dialect::Posix);
    let list = script.and_list()?;
    let commands = script.commands();
    let [one] = commands.as_slice() else { return None };
    let plain = list.len() == 1 && one.place == shell::Place::default();
    let bare = one.simple.redirects.is_empty() && one.simple.assigns.is_empty();
    one.simple.argv_literal().filter(|a| plain && bare && !a.is_empty())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use crate::{
        facts::Facts,
        graph::Graph,
        knowledge::Knowledge,
        options::Options,
        pass::Effect,
        syntax,
        validate::{Claim, View, validate},
    };

    /// Validates `new` against `old` under `effects`; the rule that finds a fault, and what it says.
    fn check(old: &str, new: &str, effects: &[Effect], expect: Option<&str>) {
        let (options, knowledge) = (Options::default(), Knowledge::builtin());
        let [a, b] = [old, new].map(|t| Arc::new(syntax::parse(t.as_bytes())));
        let [ga, gb] = [&a, &b].map(|f| Arc::new(Graph::new(f, &[])));
        let (fa, fb) =
            (Facts::derive(&a, &ga, knowledge, &options), Facts::derive(&b, &gb, knowledge, &options));
        let old_view = View { file: &a, graph: &ga, facts: &fa, context: None };
        let new_view = View { file: &b, graph: &gb, facts: &fb, context: None };
        let result = validate(
            &old_view,
            &new_view,
            Claim { effects, assumes: &[], level: crate::pass::Level::Review },
            knowledge,
        );
        match (expect, result) {
            (None, result) => assert_eq!(result, Ok(()), "{new}"),
            (Some(text), Ok(())) => panic!("no fault, expected {text}:\n{new}"),
            (Some(text), Err(f)) => assert!(f.to_string().contains(text), "{f}, expected {text}:\n{new}"),
        }
    }

    const NODE: &str =
        "FROM node:20\nWORKDIR /app\nCOPY . .\nRUN npm ci\nENV A=b\nCMD [\"node\", \"x.js\"]\n";
    const USER: Effect = Effect::User { stage: 0 };

    fn node(from: &str, to: &str) -> String {
        assert!(NODE.contains(from));
        NODE.replacen(from, to, 1)
    }

    fn added(command: &str) -> Effect {
        Effect::CommandAdded { command: command.into() }
    }

    fn owner(path: &str) -> Effect {
        Effect::Owner { path: path.into() }
    }

    #[test]
    fn an_existing_user_at_the_end_passes() {
        check(NODE, &node("CMD", "USER node\nCMD"), &[USER], None);
        check(NODE, &node("CMD", "USER 1000\nCMD"), &[USER], None);
        check(NODE, &node("CMD", "USER node:node\nCMD"), &[USER], None);
        check(NODE, &format!("{NODE}USER node\n"), &[USER], None);
    }

    #[test]
    fn a_new_user_and_its_folders_pass() {
        let make = "RUN groupadd -g 10001 app && useradd -u 10001 -g app app\n";
        let effects = [USER, added("groupadd -g 10001 app"), added("useradd -u 10001 -g app app")];
        check(NODE, &node("COPY", &format!("{make}COPY")).replace("CMD", "USER 10001\nCMD"), &effects, None);
        let own = "RUN chown node:node /app/data\nUSER node\nCMD";
        check(NODE, &node("CMD", own), &[USER, added("chown node:node /app/data"), owner("/app/data")], None);
        let all = [USER, added("chown node:node /app/data"), owner("/app/data")];
        check(NODE, &node("CMD", "USER node\nCMD"), &all, Some("is not there"));
        check(NODE, &node("CMD", "USER node\nCMD"), &[USER, owner("/app/data")], Some("nothing gives"));
        let copy = node("COPY .", "COPY --chown=node:node .").replace("CMD", "USER node\nCMD");
        check(NODE, &copy, &[USER, owner("/app")], None);
    }

    #[test]
    fn mutants_are_caught() {
        check(NODE, &node("CMD", "USER node\nCMD"), &[], Some("User"));
        check(NODE, &node("RUN", "USER node\nRUN"), &[USER], Some("V2"));
        check(NODE, &node("WORKDIR", "USER node\nWORKDIR"), &[USER], Some("V2"));
        check(NODE, &node("COPY . .\n", "").replace("CMD", "USER node\nCMD"), &[USER], Some("this is gone"));
        check(NODE, &node("A=b", "A=c").replace("CMD", "USER node\nCMD"), &[USER], Some("Env"));
        check(NODE, &node("CMD", "USER nobody2\nCMD"), &[USER], Some("not known to exist"));
        check(NODE, &node("CMD", "USER node:wheels\nCMD"), &[USER], Some("group"));
        check(NODE, &node("CMD", "USER 0\nCMD"), &[USER], Some("root"));
        check(NODE, &node("CMD", "USER node\nRUN true\nCMD"), &[USER], Some("RUN true"));
        check(NODE, NODE, &[USER], Some("runs as root"));
    }

    #[test]
    fn commands_beyond_the_declared_are_caught() {
        let own = "RUN chown node:node /app/data\nUSER node\nCMD";
        check(
            NODE,
            &node("CMD", own),
            &[USER, added("chown node:node /app/data"), owner("/app")],
            Some("/app/data"),
        );
        check(NODE, &node("CMD", own), &[USER, owner("/app/data")], Some("this is new"));
        let other = "RUN chown nobody /app\nUSER node\nCMD";
        check(
            NODE,
            &node("CMD", other),
            &[USER, added("chown nobody /app"), owner("/app")],
            Some("not the user"),
        );
        let late = "USER node\nRUN chown node /app\nCMD";
        check(NODE, &node("CMD", late), &[USER, added("chown node /app"), owner("/app")], Some("V3"));
        let more = "RUN curl x\nUSER node\nCMD";
        check(NODE, &node("CMD", more), &[USER, added("curl x")], Some("this is new"));
        let hidden = "RUN useradd x > /etc/y\nUSER node\nCMD";
        check(NODE, &node("CMD", hidden), &[USER, added("useradd x > /etc/y")], Some("this is new"));
        let undeclared_copy = node("COPY .", "COPY --chown=node .").replace("CMD", "USER node\nCMD");
        check(NODE, &undeclared_copy, &[USER], Some("V2"));
    }

    #[test]
    fn a_name_may_become_its_number() {
        let made =
            "FROM debian:12\nRUN groupadd -g 20002 web && useradd -u 10001 -g web app\nUSER app\nRUN x\n";
        let to = |from: &str, to: &str| {
            assert!(made.contains(from));
            made.replacen(from, to, 1)
        };
        check(made, &to("USER app", "USER 10001"), &[USER], None);
        for (from, to_, word) in [
            ("USER app", "USER 10002", "not known to be the number"),
            ("USER app", "USER 10001:0", "another one"),
            ("USER app", "USER 0", "root"),
            ("USER app", "USER web", "not known to exist"),
            ("USER app\n", "", "root"),
            ("USER app\nRUN x", "USER 10001\nRUN y", "RUN x"),
            ("USER app\nRUN x", "RUN x\nUSER 10001", "RUN x"),
            ("USER app", "WORKDIR /x\nUSER 10001", "WorkingDir"),
        ] {
            check(made, &to(from, to_), &[USER], Some(word));
        }
        check(made, &to("USER app", "USER 10001"), &[], Some("User"));
        let below = |t: &str| t.replace("RUN x", "WORKDIR /app");
        check(&below(made), &below(&to("USER app", "USER 10001")), &[USER], Some("another group"));
        let own = |t: &str| below(t).replace("-g 20002 web", "-g 10001 web");
        check(&own(made), &own(&to("USER app", "USER 10001")), &[USER], None);
        let with = |t: &str, u: &str| below(t).replace("USER app", u);
        check(&with(made, "USER app:web"), &with(made, "USER 10001:web"), &[USER], None);
        let twice = |t: &str| t.replace("-g web app", "-g web app && useradd -o -u 10001 job");
        check(&twice(made), &twice(&to("USER app", "USER 10001")), &[USER], Some("more than one"));
    }

    #[test]
    fn other_stages_stay() {
        let old = "FROM node:20 AS a\nRUN x\nFROM a\nRUN y\nUSER node\n";
        let new = "FROM node:20 AS a\nRUN x\nUSER node\nFROM a\nRUN y\nUSER node\n";
        check(old, new, &[USER], Some("starts from stage 0"));
        let old = "FROM node:20 AS a\nRUN x\nFROM node:20\nRUN y\n";
        let new = "FROM node:20 AS a\nRUN z\nFROM node:20\nRUN y\nUSER node\n";
        check(old, new, &[Effect::User { stage: 1 }], Some("stage 0"));
    }
}
