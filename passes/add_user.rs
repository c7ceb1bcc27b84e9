//! Let the image run as an unprivileged user instead of root.
//!
//! ## Why
//! A process that runs as root in a container is root to everything that the container shares with its host, and may write
//! every file of the image. Most programs need none of that. Kubernetes refuses such an image where `runAsNonRoot` is set, and
//! one whose user has a name alone: there a name becomes the number that the file gives it.
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
    edit::Span,
    facts::{clean, covers, is_root, parent},
    knowledge::signals::{Need, Place},
    pass::{Finding, Input, Level, Meta, Pass, Phase, Reason, Refusal, Setting, Takes},
    syntax::Keyword,
};

mod account;
mod brought;
mod config;
mod files;
mod launch;
mod number;
mod write;

use account::account;
use config::{config_is_unprivileged, services, services_are_unprivileged};
use launch::Launch;
use write::rewrite;

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
    /// Files and folders that a command is told to write, with the words that say so.
    told: Vec<(String, String)>,
    /// Folders and files that the user is to own; true: with what is in them.
    owned: Vec<(String, bool)>,
    /// Kubernetes checks that the user is no root, which it can by number alone.
    by_number: bool,
}

fn finding(input: &Input, stage: usize) -> Option<Finding> {
    let facts = input.facts.stage(stage);
    if facts.end.is_root() == Some(false) {
        return number::finding(input, stage);
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
    launch.checks()?;
    found.home = launch.home.take();
    found.told.append(&mut launch.outputs);
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
                Keyword::Copy | Keyword::Add if ships => {
                    copy_is_open(input, at)?;
                    let text = String::from_utf8_lossy(&ins.rest().text).into_owned();
                    if let Some(signal) = input.knowledge.signals().find(Place::Copy, &text, "", "") {
                        return Err(needs_root(
                            format!("line {}: {}", ins.lines.0, signal.why),
                            "give the folders that it writes to the user, and set USER by hand",
                        ));
                    }
                }
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
    let (count, unread) = &program.unread;
    if *count > 0 && *count >= program.files {
        return Err(unproved(format!(
            "{unread} is in a language whose texts are not read: what it needs is not known"
        )));
    }
    if let Some(place) = program.home {
        found.home.get_or_insert(place);
    }
    if program.files == 0 {
        return Err(unproved("no text of a program goes into the image from the build context: a tool, or a base for other images".into()));
    }
    let mut owned: Vec<(String, bool)> = Vec::new();
    for (target, place) in std::mem::take(&mut found.told).into_iter().chain(program.writes) {
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
    for (dir, variable) in told_folders(input, stage)? {
        if !owned.iter().any(|(d, _)| *d == dir) {
            found.evidence.push(format!("{variable} names {dir}, so it is given to the user"));
            owned.push((dir, false));
        }
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

/// Folders for data that an ENV of the file names (`DATA_DIR=/data`), with its name.
fn told_folders(input: &Input, stage: usize) -> Result<Vec<(String, String)>, Refusal> {
    let signals = input.knowledge.signals();
    let facts = input.facts.stage(stage);
    let of_base = |n: &str| facts.image.as_ref().is_some_and(|i| i.env.iter().any(|(k, _)| k == n));
    let mut out = Vec::new();
    for variable in facts.end.variables.iter().filter(|v| !v.is_arg && !of_base(&v.name)) {
        let Some(value) = variable.value.as_deref().filter(|v| v.starts_with('/')) else { continue };
        let path = clean(value);
        if !signals.names_data(&variable.name) || covers("/tmp", &path) || covers("/dev", &path) {
            continue;
        }
        let is_dir = !path.rsplit('/').next().unwrap_or_default().contains('.');
        let dir = if is_dir { path.clone() } else { parent(&path).to_owned() };
        let there = files::folder(input, stage, &dir);
        // what the context brings is there to be read
        if there == Some(true) {
            continue;
        }
        if there.is_none() || dir == "/" {
            return Err(needs_root(
                format!(
                    "ENV {}={value}: it is not known to exist, and only root could make it",
                    variable.name
                ),
                "make the folder in the Dockerfile",
            ));
        }
        out.push((dir, format!("ENV {}", variable.name)));
    }
    Ok(out)
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
