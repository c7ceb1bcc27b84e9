//! Give files their owner as they are copied, in the place of a `chown` behind the COPY.
//!
//! ## Why
//! A `chown` in a RUN of its own stores a second copy of each file that it touches: the image holds all of them twice. With
//! `COPY --chown` the files are stored once. A folder that WORKDIR or `mkdir` made keeps its owner under a COPY, so it gets a
//! `chown` of its own, which costs nothing.
//!
//! ## Context
//! server.js: require("express")
//!
//! ## Before
//! ```dockerfile
//! FROM node:22
//! WORKDIR /app
//! COPY . .
//! RUN chown -R node:node /app
//! USER node
//! ```
//!
//! ## After
//! ```dockerfile
//! FROM node:22
//! WORKDIR /app
//! RUN chown node:node /app
//! COPY --chown=node:node . .
//! USER node
//! ```
//!
//! ## Assumes
//! Nothing where the base image is known to have nothing at the destination and the build context is known. Else that the base
//! has no file there, runs as root, or that the guessed context is the one that is built: then it is for review.
//!
//! ## Refuses
//! A user or group that is not known to exist where the COPY stands: the builder would make the files root's without a word. Other
//! content under the path (of an install, of the base image); a command between that could tell the difference; a path that only
//! covers a part of what is copied; `--link`; an ADD that may unpack an archive; files with suid, sgid or a capability, which `chown`
//! clears; conditions, patterns and computed owners; and a stage that does not ship.

use super::fold::{self, Change, Copy};
use crate::{
    context::FileKind,
    edit::Edits,
    facts::{Accounts, Owner, State, covers},
    graph::Base,
    pass::{Assumption, Builder, Effect, Finding, Input, Level, Meta, Pass, Phase, Reason, Refusal, Rewrite},
    syntax::Keyword,
};
use content::{Content, content};

mod content;

pub struct FoldChown;

impl Pass for FoldChown {
    fn meta(&self) -> Meta {
        Meta {
            id: "fold-chown",
            summary: "Gives files their owner by COPY --chown in the place of a chown behind the COPY, which stores them twice",
            phase: Phase::Layers,
            after: &["split-dependency-copy"],
            ceiling: Level::Safe,
            rules: &[],
        }
    }

    fn source(&self) -> &'static str {
        include_str!("fold_chown.rs")
    }

    fn run(&self, input: &Input<'_>) -> Vec<Finding> {
        let mut out = Vec::new();
        for (run, change) in fold::changes(input, &["chown", "chgrp"]) {
            let at = input.file.instructions[run].span;
            match change.and_then(|change| plan(input, &change)) {
                Ok(Some((message, rewrite))) => out.push(Finding::rewrite(at, message, rewrite)),
                Ok(None) => {}
                Err(refusal) => out.push(Finding::refuse(at, refusal)),
            }
        }
        out
    }
}

fn refuse<T>(reason: Reason, message: impl Into<String>, unlock: impl Into<String>) -> Result<T, Refusal> {
    Err(Refusal::new(reason, message, unlock))
}

fn plan(input: &Input, change: &Change) -> Result<Option<(String, Rewrite)>, Refusal> {
    let content = content(input, change);
    if content.copies.is_empty() {
        let folders = !change.recursive && change.paths.iter().all(|p| content.folders.contains_key(p));
        if folders {
            return Ok(None);
        }
        // without a COPY there is nothing to fold
        return content.doubt.map_or(Ok(None), Err);
    }
    let stage = input.facts.stage(change.stage);
    builder_is_known(input, change)?;
    let mut assumes = Vec::new();
    let mut evidence = Vec::new();
    let state = |at: usize| input.facts.before(at);
    match state(change.run).and_then(State::is_root) {
        Some(true) => {}
        Some(false) => {
            return refuse(
                Reason::NeedsRoot,
                "the chown does not run as root, so it may fail",
                "put USER root before it",
            );
        }
        None => assumes.push(Assumption::BaseRunsAsRoot),
    }
    // its own RUN may make the user
    let target = Target::of(input.facts.after(change.run), change);
    let mut flags = Vec::new();
    for copy in &content.copies {
        plain_copy(input, copy, &mut assumes)?;
        flags.push(target.flag(input, copy)?);
    }
    if let Some(problem) = content.problem {
        return Err(problem);
    }
    for path in &change.paths {
        if change.recursive {
            base_content(input, change.stage, path, &mut assumes, &mut evidence)?;
        }
    }
    if !stage.ships {
        return refuse(
            Reason::NoGain,
            "the layers of this stage do not ship",
            "nothing: the image does not grow by it",
        );
    }
    let residual = residual(input, change, &content, &target);
    let first = content.copies.iter().map(|c| c.at).min().unwrap_or(change.run);
    let made =
        target.made_at.filter(|at| residual.maker.is_some_and(|m| m <= *at) && !residual.paths.is_empty());
    let place = made.into_iter().chain(residual.maker).max();
    nobody_looks(input, change, place.unwrap_or(first).min(first))?;

    let mut edits = Edits::default();
    let out = &mut edits.dockerfile;
    for (copy, flag) in content.copies.iter().zip(&flags) {
        let ins = &input.file.instructions[copy.at];
        if let Some(value) = flag
            && ins.flag("chown").and_then(|f| f.value.as_deref()) != Some(value)
        {
            fold::set_flag(out, ins, "chown", value);
        }
    }
    let command = format!("{} {} {}", change.program, target.text, residual.paths.join(" "));
    let in_place = place.is_some_and(|at| at >= change.run);
    if residual.paths.is_empty() || !in_place {
        fold::remove(out, input, change.run, change.element);
    }
    if let (Some(at), false) = (place, residual.paths.is_empty()) {
        let ins = &input.file.instructions[at];
        if in_place {
            let spans = fold::element_spans(input, change.run);
            out.replace(spans[change.element], command);
        } else if ins.keyword != Keyword::Run || !fold::append(out, input, at, &command) {
            let indent = String::from_utf8_lossy(ins.indent());
            out.insert(ins.full.end, format!("{indent}RUN {command}{}", input.file.line_end()));
        }
    }
    target.prove(&mut evidence);
    if !residual.paths.is_empty() {
        let paths = list(&residual.paths);
        evidence.push(match residual.paths.len() {
            1 => format!("{paths} keeps its owner under a COPY, so it gets one of its own"),
            _ => format!("{paths} keep their owner under a COPY, so they get one of their own"),
        });
    }
    let effects = change.paths.iter().map(|path| Effect::OwnerMoved { path: path.clone() }).collect();
    let lines = content.copies.iter().map(|c| fold::line(input, c.at).to_string()).collect::<Vec<_>>();
    let lines = lines.join(" and ");
    let message = match flags.iter().all(Option::is_none) {
        true => format!("the files of line {lines} are root's already: the chown only stores them again"),
        false => {
            format!("give the files of line {lines} their owner as they are copied, not in a second copy")
        }
    };
    Ok(Some((message, Rewrite { level: Level::Safe, evidence, assumes, effects, edits })))
}

fn list(words: &[String]) -> String {
    words.join(", ")
}

fn builder_is_known(input: &Input, change: &Change) -> Result<(), Refusal> {
    match input.options.builder {
        Builder::BuildKit { .. } => Ok(()),
        Builder::Classic => {
            let volumes = &input.facts.stage(change.stage).config.volumes;
            let met = |v: &&String| change.paths.iter().any(|p| covers(p, v) || covers(v, p));
            match volumes.iter().find(met) {
                Some(volume) => {
                    let message = format!(
                        "{volume} is a volume, and the classic builder drops what a RUN changes there"
                    );
                    refuse(Reason::OrderObservable, message, "build with BuildKit")
                }
                None => Ok(()),
            }
        }
        other => {
            let message = format!("how {other} resolves owners and gives them to new folders is not known");
            refuse(Reason::FrontendUnknown, message, "build with BuildKit")
        }
    }
}

/// What keeps a COPY from taking an owner, whoever that is.
fn plain_copy(input: &Input, copy: &Copy, assumes: &mut Vec<Assumption>) -> Result<(), Refusal> {
    let ins = &input.file.instructions[copy.at];
    let line = fold::line(input, copy.at);
    if ins.flag("link").is_some() {
        return refuse(
            Reason::OwnerUnknown,
            format!(
                "the COPY of line {line} has --link, which knows no names and gives folders away that are there already"
            ),
            "remove --link",
        );
    }
    if ins.keyword == Keyword::Add && !fold::unpacks_nothing(input, copy.at) {
        return refuse(
            Reason::ContentUnknown,
            format!("the ADD of line {line} may unpack an archive, whose owners depend on the builder"),
            "write COPY, if nothing is to be unpacked",
        );
    }
    if copy.from {
        let programs =
            ["/", "/bin", "/sbin", "/usr", "/usr/bin", "/usr/sbin", "/usr/lib", "/usr/libexec", "/lib"];
        let may = |s: &str| {
            let source = crate::facts::join("/", s);
            matches!(source.as_str(), "/" | "/usr")
                || programs[1..].iter().any(|p| *p != "/usr" && covers(p, &source))
                || s.contains('$')
        };
        let sources = ins.args().split_last().map(|(_, s)| s).unwrap_or_default();
        if let Some(source) = sources.iter().find(|s| may(&s.value)) {
            return refuse(
                Reason::NotProven,
                format!("{} may have suid or sgid, which chown clears and COPY keeps", source.value),
                "nothing, unless the files are known to have neither",
            );
        }
        let by = input.graph.sources(copy.at).into_iter().find_map(|s| input.facts.gives_rights(s));
        if let Some(by) = by {
            return refuse(
                Reason::NotProven,
                format!(
                    "line {} sets suid, sgid or a capability, which chown clears and COPY keeps",
                    fold::line(input, by)
                ),
                "set it in this stage, behind the chown",
            );
        }
        return Ok(());
    }
    let Some(files) = fold::files_of(input, copy.at) else {
        return refuse(
            Reason::ContextMissing,
            format!("what line {line} copies is not known: files with suid or sgid would keep them"),
            "name the build context by --context",
        );
    };
    if let Some((path, ..)) =
        files.iter().find(|(_, kind, mode)| *kind == FileKind::File && mode & 0o6000 != 0)
    {
        return refuse(
            Reason::NotProven,
            format!("{path} has suid or sgid, which chown clears and COPY keeps"),
            "take suid and sgid from the file",
        );
    }
    if files.iter().any(|(_, kind, _)| *kind == FileKind::Other) {
        return refuse(
            Reason::NotProven,
            format!("line {line} copies a device or pipe"),
            "leave it out of the build context",
        );
    }
    if input.context.is_some_and(crate::context::Context::is_guess) {
        assumes.push(Assumption::ContextIsTheBuilt);
    }
    Ok(())
}

/// One part of an owner.
#[derive(Clone, Debug, PartialEq)]
struct Part {
    text: String,
    id: Option<Owner>,
}

/// The owner that the change gives; a part that is None stays as it is.
struct Target {
    /// As the residual writes it.
    text: String,
    user: Option<Part>,
    group: Option<Part>,
    /// `user:`: the group of its login is meant and not known.
    login_unknown: bool,
    /// The RUN of this stage that makes the user or the group.
    made_at: Option<usize>,
}

impl Target {
    fn of(state: Option<&State>, change: &Change) -> Target {
        let none = Accounts::default();
        let accounts = state.map_or(&none, |s| &s.accounts);
        let spec = change.spec.as_str();
        let user = |name: &str| Part { text: name.into(), id: user_id(accounts, name) };
        let group = |name: &str| Part { text: name.into(), id: group_id(accounts, name) };
        let mut login_unknown = false;
        let (user, group) = match (change.program.as_str(), spec.split_once(':')) {
            ("chgrp", _) => (None, Some(group(spec))),
            (_, None) => (Some(user(spec)), None),
            (_, Some((u, ""))) => {
                let login = accounts.user(u).and_then(|m| m.group.clone()).map(|owner| match owner {
                    Owner::Number(n) => Part { text: n.to_string(), id: Some(Owner::Number(n)) },
                    Owner::Name(name) => group(&name),
                });
                login_unknown = login.is_none();
                (Some(user(u)), login)
            }
            (_, Some(("", g))) => (None, Some(group(g))),
            (_, Some((u, g))) => (Some(user(u)), Some(group(g))),
        };
        let made = |part: &Option<Part>, is_user: bool| {
            let name = &part.as_ref()?.text;
            if is_user { accounts.user(name)?.made_at } else { accounts.group(name)?.made_at }
        };
        let made_at = made(&user, true).max(made(&group, false));
        Target { text: spec.to_owned(), user, group, login_unknown, made_at }
    }

    /// The value of `--chown` that gives the files of `copy` this owner; None if they have it without one.
    fn flag(&self, input: &Input, copy: &Copy) -> Result<Option<String>, Refusal> {
        let ins = &input.file.instructions[copy.at];
        let line = fold::line(input, copy.at);
        let none = Accounts::default();
        let accounts = input.facts.before(copy.at).map_or(&none, |s| &s.accounts);
        if self.login_unknown {
            return refuse(
                Reason::OwnerUnknown,
                format!("the login group of `{}` is not known", self.text),
                "name the group",
            );
        }
        let given = match ins.flag("chown") {
            None => None,
            Some(flag) => {
                let value = input
                    .facts
                    .before(copy.at)
                    .and_then(|s| s.expand(flag.value.as_deref()?, input.file.escape));
                value.and_then(|v| v.text.split_once(':').map(|(u, g)| (u.to_owned(), g.to_owned())))
            }
        };
        let part = |wanted: &Option<Part>, is_user: bool| -> Result<String, Refusal> {
            let Some(part) = wanted else {
                // what the change leaves alone
                return match (&given, ins.flag("chown").is_some(), copy.from) {
                    (Some((u, g)), ..) => Ok(if is_user { u.clone() } else { g.clone() }),
                    (None, false, false) => Ok("0".into()),
                    _ => {
                        let what = if is_user { "user" } else { "group" };
                        let message = format!(
                            "the chown sets no {what}, and which the files of line {line} have is not known"
                        );
                        refuse(Reason::OwnerUnknown, message, "name user and group")
                    }
                };
            };
            let there = if is_user { user_id(accounts, &part.text) } else { group_id(accounts, &part.text) };
            match (&part.id, there) {
                (Some(id), Some(there)) if *id == there => Ok(part.text.clone()),
                // a name that comes later, and whose number is fixed where it is made
                (Some(Owner::Number(n)), None) => Ok(n.to_string()),
                _ => {
                    let what = if is_user { "user" } else { "group" };
                    let message = format!(
                        "the {what} `{}` is not known to exist where line {line} copies, and would be root without a word",
                        part.text
                    );
                    let unlock = match part.text.contains('.') {
                        true => "write `user:group`, with a colon",
                        false => "make the user before the COPY, or write numbers",
                    };
                    refuse(Reason::OwnerUnknown, message, unlock)
                }
            }
        };
        let (user, group) = (part(&self.user, true)?, part(&self.group, false)?);
        let is_root = |t: &str| matches!(t, "0" | "root");
        if is_root(&user) && is_root(&group) && ins.flag("chown").is_none() && !copy.from {
            return Ok(None);
        }
        Ok(Some(format!("{user}:{group}")))
    }

    fn prove(&self, evidence: &mut Vec<String>) {
        let mut names = self
            .user
            .iter()
            .chain(&self.group)
            .filter(|p| p.text.parse::<u32>().is_err())
            .map(|p| p.text.as_str())
            .collect::<Vec<_>>();
        names.dedup();
        if !names.is_empty() {
            evidence.push(format!(
                "{} exists where the COPY stands, or its number is fixed where it is made",
                names.join(", ")
            ));
        }
    }
}

fn user_id(accounts: &Accounts, name: &str) -> Option<Owner> {
    if name == "root" { Some(Owner::Number(0)) } else { accounts.user_id(name) }
}

fn group_id(accounts: &Accounts, name: &str) -> Option<Owner> {
    if name == "root" { Some(Owner::Number(0)) } else { accounts.group_id(name) }
}

/// Nothing of the base image lies at or below `path`, or that is assumed.
fn base_content(
    input: &Input,
    stage: usize,
    path: &str,
    assumes: &mut Vec<Assumption>,
    evidence: &mut Vec<String>,
) -> Result<(), Refusal> {
    let unlock = "copy into a folder of its own, such as /app";
    if input.facts.base_empty_folder(stage, path).is_some() {
        evidence.push(format!("{path} is empty in the base image"));
        return Ok(());
    }
    if !input.facts.base_may_have(stage, path) {
        evidence.push(format!("the base image has nothing at {path}"));
        return Ok(());
    }
    let mut root = stage;
    while let Base::Stage(parent) = input.graph.stages()[root].base {
        let body = input.graph.stages()[parent].body.clone();
        if let Some(at) = body.into_iter().find(|at| input.facts.writes(*at).may_meet(path)) {
            let line = fold::line(input, at);
            return refuse(
                Reason::ContentUnknown,
                format!("line {line}, of the stage that this one starts from, may write below {path}"),
                unlock,
            );
        }
        root = parent;
    }
    let known = input.facts.stage(root).image.as_ref().is_some_and(|i| i.config_known);
    let own = path.strip_prefix("/opt/").is_some();
    if known && !own || is_shared(path) || input.facts.base_has_folder(root, path) {
        return refuse(
            Reason::ContentUnknown,
            format!("the base image may have files below {path}, whose owner would no longer change"),
            unlock,
        );
    }
    assumes.push(Assumption::DestinationIsEmpty);
    Ok(())
}

/// Folders that every image fills (Filesystem Hierarchy Standard 3.0).
fn is_shared(path: &str) -> bool {
    let full =
        ["/bin", "/boot", "/etc", "/lib", "/lib32", "/lib64", "/root", "/run", "/sbin", "/tmp", "/var"];
    let usr = [
        "/usr/bin",
        "/usr/games",
        "/usr/include",
        "/usr/lib",
        "/usr/libexec",
        "/usr/local",
        "/usr/sbin",
        "/usr/share",
    ];
    let roots = ["/", "/usr", "/usr/src", "/home", "/opt", "/srv", "/mnt", "/media"];
    roots.contains(&path) || full.iter().chain(&usr).any(|d| covers(d, path))
}

/// What a COPY leaves to a `chown` of its own.
struct Residual {
    paths: Vec<String>,
    /// The last instruction that makes one of them.
    maker: Option<usize>,
}

fn residual(input: &Input, change: &Change, content: &Content, target: &Target) -> Residual {
    let lands =
        |path: &String| content.copies.iter().any(|c| c.files.as_ref().is_some_and(|f| f.contains(path)));
    let zero = |p: &Option<Part>| p.as_ref().is_none_or(|p| p.id == Some(Owner::Number(0)));
    let is_root = zero(&target.user) && zero(&target.group);
    let mut out = Residual { paths: Vec::new(), maker: None };
    for (path, folder) in &content.folders {
        let Some(maker) = folder.maker else { continue };
        let reached = change.paths.iter().any(|p| if change.recursive { covers(p, path) } else { p == path });
        // what WORKDIR makes as root is root's
        let as_root = input.file.instructions[maker].keyword == Keyword::Workdir
            && input.facts.before(maker).and_then(State::is_root) == Some(true)
            && !input.facts.base_may_have(change.stage, path);
        if reached && !(is_root && as_root) {
            out.maker = out.maker.max(Some(maker));
            out.paths.push(path.clone());
        }
    }
    for path in &change.paths {
        if let Some(owner) = input.facts.base_empty_folder(change.stage, path) {
            let same =
                |part: &Option<Part>, id: u32| part.as_ref().is_none_or(|p| p.id == Some(Owner::Number(id)));
            if !owner.is_some_and(|(user, group)| same(&target.user, user) && same(&target.group, group)) {
                let first = content.copies.iter().map(|c| c.at).min().unwrap_or(change.run);
                out.maker = out.maker.max(first.checked_sub(1));
                out.paths.push(path.clone());
            }
            continue;
        }
        // a folder that is not known to be there: the change may fail without it
        let unknown = !content.folders.contains_key(path)
            && !lands(path)
            && !content.copies.iter().any(|c| c.dst == *path && change.recursive);
        if unknown && !out.paths.contains(path) {
            out.paths.push(path.clone());
            out.maker = Some(change.run);
        }
    }
    out
}

/// Nothing between `from` and the change can tell who owns the files.
fn nobody_looks(input: &Input, change: &Change, from: usize) -> Result<(), Refusal> {
    for at in from + 1..=change.run {
        let until = (at == change.run).then_some(change.element);
        let line = fold::line(input, at);
        match input.file.instructions[at].keyword {
            Keyword::User
                if input.facts.before(at).and_then(State::is_root) != Some(true)
                    || input.facts.after(at).and_then(State::is_root) != Some(true) =>
            {
                return refuse(
                    Reason::OrderObservable,
                    format!(
                        "USER of line {line} stands between, so the chown ran as another user than the COPY would set"
                    ),
                    "move USER behind the chown",
                );
            }
            Keyword::Run
                if until != Some(0) && !fold::is_blind(input, at, until, &change.paths, &["chmod"]) =>
            {
                return refuse(
                    Reason::OrderObservable,
                    format!("the RUN of line {line} stands between, and may notice the owner"),
                    "move the chown directly behind the COPY, if the RUN does not mind",
                );
            }
            _ => {}
        }
    }
    Ok(())
}
