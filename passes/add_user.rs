//! Let the image run as an unprivileged user instead of root.
//!
//! ## Why
//! A process that runs as root in a container is root to everything that the container shares with its host, and may write
//! every file of the image. Most programs need none of that. Kubernetes refuses such an image where `runAsNonRoot` is set.
//!
//! ## Context
//! app.py: print("hello")
//! requirements.txt: requests==2.32.3
//!
//! ## Before
//! ```dockerfile
//! FROM python:3.12-slim
//! WORKDIR /app
//! COPY requirements.txt .
//! RUN pip install -r requirements.txt
//! COPY . .
//! CMD ["python", "app.py"]
//! ```
//!
//! ## After
//! ```dockerfile
//! FROM python:3.12-slim
//! WORKDIR /app
//! RUN groupadd --system --gid 10001 app && \
//!     useradd --system --uid 10001 --gid app --no-create-home --shell /usr/sbin/nologin app
//! COPY requirements.txt .
//! RUN pip install -r requirements.txt
//! COPY . .
//! USER 10001
//! CMD ["python", "app.py"]
//! ```
//!
//! ## Assumes
//! That a guessed build context is the one that is built. And since no text can show all that a program does at run time, the
//! result is always for review.
//!
//! ## Refuses
//! What needs root by its text: a start script or daemon that changes user, owners or system files; a port below 1024, which
//! some runtimes keep for root; a volume, whose old data stays root's; files below /root or of mode 600; a program that writes
//! where only root may. And what cannot be told: an unknown base image, command or start script; a stage that others start from.
//!
//! ## Settings
//! `uid` (10001) and `name` (app) of a user that is made.

use crate::{
    edit::{Edits, Span},
    facts::{covers, is_root, parent},
    knowledge::{
        Class,
        signals::{Need, Place},
    },
    options::Service,
    pass::{
        Assumption, Effect, Finding, Input, Level, Meta, Pass, Phase, Reason, Refusal, Rewrite, Setting,
        Takes,
    },
    shell,
    syntax::{Keyword, PieceKind},
};

mod account;
mod files;
mod launch;

use account::{Account, account};
use launch::Launch;

pub struct AddUser;

impl Pass for AddUser {
    fn meta(&self) -> Meta {
        Meta {
            id: "add-user",
            summary: "Lets the image run as an unprivileged user, where nothing in its text needs root",
            phase: Phase::Runtime,
            after: &["use-distroless"],
            ceiling: Level::Review,
            rules: &["DL3002"],
        }
    }

    fn source(&self) -> &'static str {
        include_str!("add_user.rs")
    }

    fn settings(&self) -> &'static [Setting] {
        &[Setting { name: "uid", takes: Takes::Id }, Setting { name: "name", takes: Takes::Name }]
    }

    fn run(&self, input: &Input<'_>) -> Vec<Finding> {
        let targets = input.graph.stages().iter().filter(|s| input.facts.stage(s.index).is_target);
        targets.filter_map(|s| finding(input, s.index)).collect()
    }
}

/// What the preconditions brought to light.
#[derive(Default)]
struct Found {
    evidence: Vec<String>,
    /// A program needs a home: which.
    home: Option<String>,
    /// Folders and files that the user is to own; true: with what is in them.
    owned: Vec<(String, bool)>,
    /// Kubernetes checks that the user is no root, which it can by number alone.
    by_number: bool,
}

fn finding(input: &Input, stage: usize) -> Option<Finding> {
    let facts = input.facts.stage(stage);
    if facts.end.is_root() == Some(false) {
        return None;
    }
    let body = input.graph.stages()[stage].body.clone();
    let starts =
        |i: &usize| matches!(input.file.instructions[*i].keyword, Keyword::Cmd | Keyword::Entrypoint);
    let at = body.rev().find(starts).unwrap_or(input.graph.stages()[stage].from);
    let at = input.file.instructions[at].span;
    Some(plan(input, stage, at).unwrap_or_else(|refusal| Finding::refuse(at, refusal)))
}

fn plan(input: &Input, stage: usize, at: Span) -> Result<Finding, Refusal> {
    base_is_known(input, stage)?;
    nothing_starts_from_it(input, stage)?;
    let back = explicit_root(input, stage)?;
    let mut found = Found::default();
    config_is_unprivileged(input, stage)?;
    services_are_unprivileged(input, stage, &mut found)?;
    let mut launch = Launch::new(input, stage);
    launch.own()?;
    for service in services(input, stage) {
        if service.command.is_some() || service.entrypoint.is_some() {
            let by = |mut r: Refusal| {
                r.message = format!("{}: {}", service.by, r.message);
                r
            };
            launch.instead(service.entrypoint.as_deref(), service.command.as_deref()).map_err(by)?;
        }
    }
    found.home = launch.home.take();
    if !launch.scripts.is_empty() {
        launch.scripts.sort();
        launch.scripts.dedup();
        found
            .evidence
            .push(format!("{} was read and does nothing that needs root", launch.scripts.join(", ")));
    }
    layers_are_open(input, stage, &mut found)?;
    program_is_unprivileged(input, stage, &mut found)?;
    let account = account(input, stage, &found, back)?;
    rewrite(input, stage, at, &account, found)
}

/// A refusal for something that needs root.
fn needs_root(message: impl Into<String>, unlock: &str) -> Refusal {
    Refusal::new(Reason::NeedsRoot, message, unlock)
}

fn unproved(message: String) -> Refusal {
    Refusal::new(Reason::NotProven, message, "set USER by hand if it works without root")
}

fn low_port(port: u32, by: &str) -> Refusal {
    needs_root(
        format!(
            "{by} names port {port}: below 1024 some runtimes (CRI-O, older containerd, the host's network) let root alone listen"
        ),
        "listen on a port from 1024 on",
    )
}

/// The base image is in the catalogues, and no server that manages its own user.
fn base_is_known(input: &Input, stage: usize) -> Result<(), Refusal> {
    let facts = input.facts.stage(stage);
    let root = files::chain(input, stage).last().copied().unwrap_or(stage);
    let name = input.file.instructions[input.graph.stages()[root].from].first();
    if facts.windows {
        return Err(Refusal::new(Reason::Windows, "the image is Windows", "set USER ContainerUser by hand"));
    }
    let Some(image) = &facts.image else {
        if facts.from_scratch {
            return Ok(());
        }
        return Err(Refusal::new(
            Reason::ImageUnknown,
            format!("which users {name} has, and what it starts as root, is not known"),
            "describe the image in the config's `knowledge`, or set USER by hand",
        ));
    };
    if let Some(why) = &image.must_start_as_root {
        return Err(needs_root(
            format!("{name}: {why}"),
            "use a variant of the image that is made to run without root",
        ));
    }
    if image.server {
        return Err(needs_root(
            format!("{name} runs a server that manages its own user, data and start"),
            "follow the image's own documentation for another user",
        ));
    }
    match (&facts.end.user, &image.user) {
        (None, None) => Err(Refusal::new(
            Reason::ImageUnknown,
            format!("the user that {name} starts as is not known"),
            "set USER by hand",
        )),
        (None, Some(_)) => Err(Refusal::new(
            Reason::VariableUnresolved,
            "the USER that is set has no known value",
            "give its variable a default",
        )),
        _ => Ok(()),
    }
}

fn nothing_starts_from_it(input: &Input, stage: usize) -> Result<(), Refusal> {
    let shared = |message: String| {
        Err(Refusal::new(
            Reason::StageShared,
            message,
            "set USER where the image is run last: what starts from it may need root",
        ))
    };
    if let Some(child) = input.graph.children(stage).first() {
        let line = input.file.instructions[input.graph.stages()[*child].from].lines.0;
        return shared(format!(
            "the stage on line {line} starts from this one, and would run its commands as that user"
        ));
    }
    if let Some(by) = input.options.deployment.used_as_base_by.first() {
        return shared(format!("{by} starts from this image, and would run its commands as that user"));
    }
    let facts = input.facts.stage(stage);
    if !facts.config.onbuild.is_empty() || facts.image.as_ref().is_some_and(|i| i.onbuild) {
        return shared("ONBUILD says that other images start from this one".into());
    }
    Ok(())
}

/// If the file itself sets root last: the user to go back to.
fn explicit_root(input: &Input, stage: usize) -> Result<Option<String>, Refusal> {
    let users: Vec<usize> = files::chain(input, stage)
        .into_iter()
        .rev()
        .flat_map(|s| input.graph.stages()[s].body.clone())
        .filter(|i| input.file.instructions[*i].keyword == Keyword::User)
        .collect();
    let Some(&last) = users.last() else { return Ok(None) };
    let value = |at: usize| input.facts.after(at).and_then(|s| s.user.clone()).filter(|u| !is_root(u));
    let of_base =
        input.facts.stage(stage).image.as_ref().and_then(|i| i.user.clone()).filter(|u| !is_root(u));
    let before = users.iter().rev().find_map(|u| value(*u)).or(of_base);
    let line = input.file.instructions[last].lines.0;
    match before {
        Some(user) => Ok(Some(user)),
        None => Err(needs_root(
            format!("line {line} asks for root"),
            "remove that USER if root is needed by the build alone",
        )),
    }
}

/// Ports, volumes and environment of the config.
fn config_is_unprivileged(input: &Input, stage: usize) -> Result<(), Refusal> {
    let facts = input.facts.stage(stage);
    for port in &facts.config.ports {
        let number = port.split(['/', '-']).next().and_then(|p| p.parse::<u32>().ok());
        match number {
            Some(number) if number < 1024 => return Err(low_port(number, "EXPOSE")),
            Some(_) => {}
            None => {
                return Err(Refusal::new(
                    Reason::VariableUnresolved,
                    format!("EXPOSE {port} has no known value: it may be a port below 1024"),
                    "give its variable a default",
                ));
            }
        }
    }
    if let Some(volume) = facts.config.volumes.first() {
        return Err(needs_root(
            format!(
                "VOLUME {volume}: what existing volumes hold belongs to root, and another user could not write it"
            ),
            "change the owner of existing volumes, then set USER by hand",
        ));
    }
    let signals = input.knowledge.signals();
    for variable in facts.end.variables.iter().filter(|v| !v.is_arg) {
        let Some(value) = &variable.value else {
            if signals.ports.variables.contains(&variable.name) {
                return Err(Refusal::new(
                    Reason::VariableUnresolved,
                    format!("{} has no known value: it may be a port below 1024", variable.name),
                    "give its ARG a default",
                ));
            }
            continue;
        };
        let text = format!("{}={value}", variable.name);
        if signals.ports.variables.contains(&variable.name) {
            let low = value.split([';', ',']).filter_map(launch::port_of).find(|p| (1..1024).contains(p));
            if let Some(port) = low {
                return Err(low_port(port, &format!("ENV {text}")));
            }
        }
        if let Some(signal) = signals.find(Place::Env, &text, "", "") {
            return Err(needs_root(
                format!("ENV {text}: {}", signal.why),
                "set USER by hand if it works without root",
            ));
        }
    }
    let home = facts.end.cwd.as_deref().is_some_and(|d| covers("/root", d));
    if home {
        return Err(needs_root(
            "WORKDIR is below /root, which another user cannot read",
            "use another folder",
        ));
    }
    Ok(())
}

/// The services that run this stage.
fn services<'a>(input: &'a Input, stage: usize) -> impl Iterator<Item = &'a Service> {
    let is_last = stage + 1 == input.graph.stages().len();
    let of_stage = move |target: &Option<String>| match target {
        Some(name) => input.graph.find_stage(name).is_some_and(|s| s.index == stage),
        None => is_last,
    };
    input.options.deployment.services.iter().filter(move |s| of_stage(&s.target))
}

/// What compose and Kubernetes files say of how the image is run.
fn services_are_unprivileged(input: &Input, stage: usize, found: &mut Found) -> Result<(), Refusal> {
    let unlock = "set USER by hand if it works without root";
    for service in services(input, stage) {
        let by = &service.by;
        if service.privileged {
            return Err(needs_root(format!("{by} runs it privileged"), unlock));
        }
        match &service.user {
            Some(user) if is_root(user) => {
                return Err(needs_root(format!("{by} runs it as root"), "remove `user` there"));
            }
            Some(user) => found.evidence.push(format!("{by} runs it as user {user} already")),
            None => {}
        }
        found.by_number |= service.run_as_non_root;
        for port in &service.ports {
            let inner = port.rsplit(':').next().unwrap_or(port).split('/').next().unwrap_or_default();
            if let Some(port) = inner.parse::<u32>().ok().filter(|p| *p < 1024) {
                return Err(low_port(port, by));
            }
        }
        for volume in &service.volumes {
            if let Some(signal) = input.knowledge.signals().find(Place::Volume, volume, "", "") {
                return Err(needs_root(format!("{by} mounts {volume}: {}", signal.why), unlock));
            }
            let mut parts = volume.split(':');
            let (source, target) = (parts.next().unwrap_or_default(), parts.next());
            let is_named =
                target.is_some_and(|t| t.starts_with('/')) && !source.starts_with(['/', '.', '~', '$']);
            if is_named && !volume.ends_with(":ro") {
                return Err(needs_root(
                    format!("{by} mounts the volume {volume}: what it holds already belongs to root"),
                    "change the owner of the existing volume, then set USER by hand",
                ));
            }
        }
    }
    Ok(())
}

/// No RUN, COPY or ADD of what ships leaves files that the user cannot read.
fn layers_are_open(input: &Input, stage: usize, found: &mut Found) -> Result<(), Refusal> {
    let shipped = files::chain(input, stage);
    for from in files::feeding(input, stage) {
        let ships = shipped.contains(&from);
        for at in input.graph.stages()[from].body.clone() {
            let ins = &input.file.instructions[at];
            match ins.keyword {
                Keyword::Run => {
                    lines_are_open(input, at, Place::Build, found)?;
                    if ships {
                        lines_are_open(input, at, Place::Run, found)?;
                    }
                }
                Keyword::Copy | Keyword::Add if ships => copy_is_open(input, at)?,
                _ => {}
            }
        }
    }
    Ok(())
}

fn lines_are_open(input: &Input, at: usize, place: Place, found: &mut Found) -> Result<(), Refusal> {
    let around = String::from_utf8_lossy(input.file.text());
    let ins = &input.file.instructions[at];
    let lines: Vec<String> = match input.facts.run(at).and_then(crate::facts::Run::understood) {
        Some(script) => {
            let kept = script.commands().into_iter().filter(|c| c.simple.name() != Some("rm"));
            kept.map(|c| String::from_utf8_lossy(script.text(c.span)).into_owned()).collect()
        }
        None => {
            let text = String::from_utf8_lossy(ins.full.of(input.file.text())).into_owned();
            text.lines().filter(|l| !l.trim_start().starts_with(['#', '-'])).map(str::to_owned).collect()
        }
    };
    for line in lines {
        let Some(signal) = input.knowledge.signals().find(place, &line, "", &around) else { continue };
        if signal.need == Need::Home {
            found.home.get_or_insert_with(|| signal.id.clone());
            continue;
        }
        return Err(needs_root(
            format!("line {}: {}", ins.lines.0, signal.why),
            "install it where every user can read it",
        ));
    }
    Ok(())
}

fn copy_is_open(input: &Input, at: usize) -> Result<(), Refusal> {
    let ins = &input.file.instructions[at];
    let line = ins.lines.0;
    let mode = ins.flag("chmod").and_then(|f| f.value.clone());
    if let Some(mode) = &mode
        && u32::from_str_radix(mode, 8).is_ok_and(|m| m & 0o004 == 0)
    {
        return Err(needs_root(
            format!("line {line} gives the files mode {mode}: another user cannot read them"),
            "let others read them",
        ));
    }
    let Some((dst, sources)) = ins.args().split_last() else { return Ok(()) };
    let remote = sources.iter().any(|s| s.value.starts_with("http://") || s.value.starts_with("https://"));
    if ins.keyword == Keyword::Add && remote && mode.is_none() {
        return Err(needs_root(
            format!("line {line}: ADD gives a download mode 600, so that another user cannot read it"),
            "set --chmod=644",
        ));
    }
    let path = input.facts.before(at).and_then(|s| s.absolute(&dst.value, input.file.escape));
    if path.is_some_and(|p| covers("/root", &p.text)) {
        return Err(needs_root(
            format!("line {line} puts files below /root, which another user cannot read"),
            "use another folder",
        ));
    }
    Ok(())
}

/// The texts of the program: what it needs, and the folders that it is to own.
fn program_is_unprivileged(input: &Input, stage: usize, found: &mut Found) -> Result<(), Refusal> {
    let program = files::program(input, stage)?;
    if program.files == 0 {
        return Err(unproved("no text of a program goes into the image from the build context: a tool, or a base for other images".into()));
    }
    let mut owned: Vec<(String, bool)> = Vec::new();
    for (target, place) in program.writes {
        let (dir, filled) = match files::folder(input, stage, &target) {
            Some(filled) => (target.clone(), filled),
            None => {
                let dir = parent(&target).to_owned();
                let Some(_) = files::folder(input, stage, &dir).filter(|_| dir != "/") else {
                    return Err(needs_root(
                        format!(
                            "{place} writes {target}, in a folder that is not known to exist or belongs to the system"
                        ),
                        "make the folder in the Dockerfile, or write elsewhere",
                    ));
                };
                // what is there already can only be written by its owner
                if matches!(files::origin(input, stage, &target), files::Origin::Context(_)) {
                    owned.push((target.clone(), false));
                }
                (dir, false)
            }
        };
        found.evidence.push(format!("{place} writes {target}, so {dir} is given to the user"));
        owned.push((dir, filled));
    }
    for dir in data_folders(input, stage) {
        if !owned.iter().any(|(d, _)| *d == dir) {
            found.evidence.push(format!("{dir} is made for data, so it is given to the user"));
            owned.push((dir, false));
        }
    }
    owned.sort();
    owned.dedup_by(|b, a| {
        a.0 == b.0 && {
            a.1 |= b.1;
            true
        }
    });
    let covered = |path: &str| owned.iter().any(|(d, below)| *below && d != path && covers(d, path));
    found.owned = owned.iter().filter(|(p, _)| !covered(p)).cloned().collect();
    let elsewhere = if found.owned.is_empty() { "no files" } else { "no other files" };
    found.evidence.push(format!(
        "by its text ({} files read) the program writes {elsewhere} and needs no root",
        program.files
    ));
    Ok(())
}

/// Folders that a `mkdir` makes and that are named as those which programs write, and of which no owner or mode is set.
fn data_folders(input: &Input, stage: usize) -> Vec<String> {
    let mut out = Vec::new();
    let runs: Vec<usize> =
        files::chain(input, stage).into_iter().flat_map(|s| input.graph.stages()[s].body.clone()).collect();
    for at in runs.iter().filter(|i| input.file.instructions[**i].keyword == Keyword::Run) {
        let named =
            |d: &String| d.rsplit('/').next().is_some_and(|n| input.knowledge.signals().is_writable_name(n));
        out.extend(files::made_by(input, *at).into_iter().filter(named).filter(|d| !covers("/tmp", d)));
    }
    let set = |dir: &str| {
        runs.iter().any(|at| {
            input.facts.commands(*at).iter().any(|c| {
                let argv = input.facts.argv(*at, c).unwrap_or_default();
                let operand = |a: &String| covers(a.trim_end_matches('/'), dir);
                matches!(argv.first().map(String::as_str), Some("chown" | "chmod"))
                    && argv[1..].iter().any(operand)
            })
        })
    };
    out.retain(|d| !set(d));
    out.sort();
    out.dedup();
    out
}

/// The edits.
fn rewrite(
    input: &Input,
    stage: usize,
    at: Span,
    account: &Account,
    found: Found,
) -> Result<Finding, Refusal> {
    let nl = input.file.line_end();
    let mut edits = Edits::default();
    let mut effects: Vec<Effect> = Vec::new();
    let (end, before_start) = user_place(input, stage);
    let mut last: Vec<String> = Vec::new();
    let chowns: Vec<String> = chowns(account, &found.owned);
    if !chowns.is_empty() && !has_shell(input, stage) {
        return Err(needs_root(
            format!(
                "the program writes {}, and the image has no shell to change its owner",
                found.owned[0].0
            ),
            "bring the folder by a COPY with --chown",
        ));
    }
    if !(account.commands.is_empty() && chowns.is_empty())
        && shell::shell_kind(&input.facts.stage(stage).end.shell).is_none()
    {
        return Err(Refusal::new(
            Reason::ShellOpaque,
            "the shell that RUN uses is not understood",
            "make the user by hand",
        ));
    }
    if !account.commands.is_empty() {
        let run = run_of(input, &account.commands);
        match creation_place(input, stage) {
            Some(anchor) => edits.dockerfile.insert(anchor, after(input, anchor, &run)),
            None => last.push(run),
        }
    }
    if !chowns.is_empty() {
        last.push(run_of(input, &chowns));
    }
    last.push(format!("{} {}", keyword(input, "USER"), account.spec));
    let block = last.join(nl);
    if before_start {
        let apart = input.file.pieces.iter().any(|p| p.span.end == end && p.kind == PieceKind::Blank);
        edits.dockerfile.insert(end, format!("{block}{nl}{}", if apart { nl } else { "" }));
    } else {
        edits.dockerfile.insert(end, after(input, end, &block));
    }
    effects
        .extend(account.commands.iter().chain(&chowns).map(|c| Effect::CommandAdded { command: c.clone() }));
    effects.extend(found.owned.iter().map(|(path, _)| Effect::Owner { path: path.clone() }));
    effects.push(Effect::User { stage });
    let mut evidence = vec![account.evidence.clone()];
    if !account.commands.is_empty() {
        evidence.push(format!(
            "USER is a number, by which Kubernetes can tell that it is not root ({})",
            account.spec
        ));
    }
    evidence.extend(found.evidence);
    let assumes = match input.context {
        Some(context) if context.is_guess() => vec![Assumption::ContextIsTheBuilt],
        _ => Vec::new(),
    };
    let message = match account.commands.is_empty() {
        true => format!("run as {} instead of root", account.spec),
        false => format!("make a user and run as {} instead of root", account.spec),
    };
    Ok(Finding::rewrite(at, message, Rewrite { level: Level::Review, evidence, assumes, effects, edits }))
}

fn chowns(account: &Account, owned: &[(String, bool)]) -> Vec<String> {
    let paths =
        |below: bool| owned.iter().filter(|(_, b)| *b == below).map(|(p, _)| p.as_str()).collect::<Vec<_>>();
    let one = |option: &str, paths: Vec<&str>| {
        (!paths.is_empty()).then(|| format!("chown {option}{} {}", account.owner, paths.join(" ")))
    };
    [one("", paths(false)), one("-R ", paths(true))].into_iter().flatten().collect()
}

fn has_shell(input: &Input, stage: usize) -> bool {
    input.facts.stage(stage).image.as_ref().is_some_and(|i| i.shell.is_some())
}

/// Where USER goes: before the first ENTRYPOINT or CMD that nothing but config follows (true), else to the end of the stage.
fn user_place(input: &Input, stage: usize) -> (u32, bool) {
    let node = &input.graph.stages()[stage];
    let works = |i: &usize| {
        let keyword = input.file.instructions[*i].keyword;
        matches!(
            keyword,
            Keyword::Run | Keyword::Copy | Keyword::Add | Keyword::Workdir | Keyword::User | Keyword::Shell
        )
    };
    let from = node.body.clone().rev().find(works).map_or(node.body.start, |i| i + 1);
    let starts =
        |i: &usize| matches!(input.file.instructions[*i].keyword, Keyword::Cmd | Keyword::Entrypoint);
    let Some(first) = (from..node.body.end).find(starts) else {
        let last = if node.body.is_empty() { node.from } else { node.body.end - 1 };
        return (input.file.instructions[last].full.end, false);
    };
    // comments that stand directly above belong to it
    let mut at = input.file.instructions[first].full.start;
    while let Some(piece) =
        input.file.pieces.iter().find(|p| p.span.end == at && p.kind == PieceKind::Comment)
    {
        at = piece.span.start;
    }
    (at, true)
}

/// Where the user is made: after the packages of the system, before the first COPY. None: with USER.
fn creation_place(input: &Input, stage: usize) -> Option<u32> {
    let node = &input.graph.stages()[stage];
    let is_copy = |i: &usize| matches!(input.file.instructions[*i].keyword, Keyword::Copy | Keyword::Add);
    let copy = node.body.clone().find(is_copy);
    let packages = |i: &usize| {
        let argv =
            |c: &shell::Simple| input.facts.argv(*i, c).or_else(|| c.name().map(|n| vec![n.to_owned()]));
        let commands = input.facts.commands(*i);
        let mut classes = commands
            .into_iter()
            .filter_map(argv)
            .filter(|a| !a.is_empty())
            .map(|a| input.knowledge.command(&a).class);
        classes.any(|c| matches!(c, Class::Packages | Class::Index))
    };
    let last = (node.body.start..copy.unwrap_or(node.body.end)).rev().find(packages);
    let anchor = last.or_else(|| copy.map(|c| c - 1))?;
    let state = if anchor == node.from { input.facts.before(anchor) } else { input.facts.after(anchor) };
    state.filter(|s| s.is_root() == Some(true) && shell::shell_kind(&s.shell).is_some())?;
    Some(input.file.instructions[anchor].full.end)
}

/// A block that goes behind what ends at `at`: a paragraph of its own where those around it are.
fn after(input: &Input, at: u32, block: &str) -> String {
    let nl = input.file.line_end();
    let text = input.file.text();
    let rest = &text[at as usize..];
    if !text[..at as usize].ends_with(b"\n") {
        return format!("{nl}{block}");
    }
    let blank = rest.starts_with(b"\n") || rest.starts_with(b"\r\n");
    format!("{}{block}{nl}", if blank { nl } else { "" })
}

fn run_of(input: &Input, commands: &[String]) -> String {
    let (escape, nl) = (input.file.escape as char, input.file.line_end());
    let glue = match input.file.leads_with_operator() {
        true => format!(" {escape}{nl}    && "),
        false => format!(" && {escape}{nl}    "),
    };
    format!("{} {}", keyword(input, "RUN"), commands.join(&glue))
}

/// A keyword in the case that the file's FROM has.
fn keyword(input: &Input, name: &str) -> String {
    let from = input.graph.stages().first().map(|s| &input.file.instructions[s.from]);
    let small = from.is_some_and(|f| f.source().first().is_some_and(u8::is_ascii_lowercase));
    if small { name.to_ascii_lowercase() } else { name.to_owned() }
}
