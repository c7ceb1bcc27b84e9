//! Copy the manifests and install the dependencies before the sources are copied.
//!
//! ## Why
//! Each edit of a source file changes what `COPY . .` brings, so the install behind it runs again, though nothing that it reads
//! has changed. With the manifests in a COPY of their own, before the install, an edit of a source file leaves the install cached.
//!
//! ## Context
//! package.json: {"name": "app", "dependencies": {"express": "4.19.2"}}
//! package-lock.json: {"name": "app", "lockfileVersion": 3, "packages": {"": {"dependencies": {"express": "4.19.2"}}}}
//! .dockerignore: **/node_modules
//! server.js: require("express")
//!
//! ## Before
//! ```dockerfile
//! FROM node:22
//! WORKDIR /app
//! COPY . .
//! RUN npm ci
//! CMD ["node", "server.js"]
//! ```
//!
//! ## After
//! ```dockerfile
//! FROM node:22
//! WORKDIR /app
//! COPY package.json package-lock.json ./
//! RUN npm ci
//! COPY . .
//! CMD ["node", "server.js"]
//! ```
//!
//! ## Assumes
//! Nothing where the install is locked and the build context is known. Else that an unlocked install is repeatable, or that the
//! guessed context is the one that is built: then it is for review.
//!
//! ## Refuses
//! An installer or an option that is not in the catalogues; manifests that make the install read or run more than can be copied
//! early; a context that may carry what the install writes; anything between the COPY and the install that may read the sources;
//! and an install that is split already.

use crate::{
    context::{Context, FileKind},
    ecosystem::{Ecosystems, Install, Needs, Overlay, Place, Recognized, needs_at, overlay},
    edit::{Change, EditSet, Edits, Span},
    facts::{Run, covers, join, parent},
    graph::Stage,
    knowledge::{Class, Paths},
    pass::{Assumption, Effect, Finding, Input, Level, Meta, Pass, Phase, Reason, Refusal, Rewrite},
    shell::{NodeKind, leak},
    syntax::{Instruction, Keyword},
};

pub struct SplitDependencyCopy;

impl Pass for SplitDependencyCopy {
    fn meta(&self) -> Meta {
        Meta {
            id: "split-dependency-copy",
            summary: "Copies the manifests and installs the dependencies before the sources are copied, so that an edit of a source file leaves the install cached",
            phase: Phase::Layers,
            after: &[],
            ceiling: Level::Safe,
            rules: &[],
        }
    }

    fn source(&self) -> &'static str {
        include_str!("split_dependency_copy.rs")
    }

    fn run(&self, input: &Input<'_>) -> Vec<Finding> {
        input.graph.stages().iter().filter_map(|stage| in_stage(input, stage)).collect()
    }
}

/// A COPY or ADD that brings a folder of the context.
struct Broad {
    at: usize,
    /// The folder, relative to the context; empty for its root.
    source: String,
    /// Absolute.
    target: String,
}

/// An install that a RUN starts with, or is.
struct Found {
    at: usize,
    /// How many elements of the RUN's list belong to the early half; None: the whole RUN.
    elements: Option<usize>,
    installs: Vec<(Install, Place)>,
}

/// What is made of the installs behind one COPY.
struct Split<'a> {
    broad: Broad,
    found: Vec<Found>,
    needs: Needs,
    context: &'a Context,
}

fn in_stage(input: &Input, stage: &Stage) -> Option<Finding> {
    let broads: Vec<usize> = stage.body.clone().filter(|at| is_broad(input, *at)).collect();
    for &at in &broads {
        let end = stage.body.end;
        let span = |last: usize| input.file.instructions[at].span.to(input.file.instructions[last].span);
        match split(input, stage, at, end) {
            Ok(Some(split)) => return Some(rewrite(input, stage, &split)),
            Ok(None) => {}
            Err((last, refusal)) => return Some(Finding::refuse(span(last), refusal)),
        }
    }
    archive(input, stage)
}

/// C.7 R10: an install behind an ADD that may unpack what it reads.
fn archive(input: &Input, stage: &Stage) -> Option<Finding> {
    let adds = |at: &usize| {
        let ins = &input.file.instructions[*at];
        ins.keyword == Keyword::Add && ins.flag("from").is_none()
    };
    let add = stage.body.clone().find(adds)?;
    let install = (add + 1..stage.body.end).find(|at| recognized(input, *at).is_some())?;
    let manifests = (stage.body.start..install).any(|at| input.graph.reads_context(at) && !adds(&at));
    let refusal = Refusal::new(
        Reason::ContentUnknown,
        "ADD may unpack an archive or fetch a URL: what it brings is not known",
        "unpack it in a RUN, or COPY the folder",
    );
    let span = input.file.instructions[add].span.to(input.file.instructions[install].span);
    (!manifests).then(|| Finding::refuse(span, refusal))
}

/// Whether an instruction brings one folder of the context.
fn is_broad(input: &Input, at: usize) -> bool {
    let ins = &input.file.instructions[at];
    let copies = matches!(ins.keyword, Keyword::Copy | Keyword::Add)
        && ins.flag("from").is_none()
        && ins.heredocs.is_empty();
    let [source, _] = ins.args() else { return false };
    copies && is_folder(input.context, &source.value)
}

fn is_folder(context: Option<&Context>, source: &str) -> bool {
    let path = source.trim_start_matches("./").trim_end_matches('/');
    match path {
        "" | "." => true,
        _ => context.and_then(|c| c.entry(path)).is_some_and(|e| e.kind == FileKind::Dir),
    }
}

/// The first install of RUN `at`, wherever it stands in it.
fn recognized(input: &Input, at: usize) -> Option<Recognized> {
    let all = Ecosystems::builtin();
    let calls = input.facts.calls(at).iter().filter_map(|c| c.argv.as_ref());
    calls.map(|argv| all.recognize(argv)).find(|r| *r != Recognized::None)
}

/// What can be split off behind the COPY `at`. `Ok(None)`: there is nothing to say. The refusal names its last instruction.
#[allow(clippy::too_many_lines)]
fn split<'a>(
    input: &Input<'a>,
    stage: &Stage,
    at: usize,
    end: usize,
) -> Result<Option<Split<'a>>, (usize, Refusal)> {
    let ins = &input.file.instructions[at];
    let installs: Vec<usize> = (at + 1..end).filter(|i| recognized(input, *i).is_some()).collect();
    let Some(&first) = installs.first() else { return opaque(input, stage, at) };
    let fail = |refusal: Refusal| (first, refusal);
    let refuse = |reason, message: &str, unlock: &str| Err((first, Refusal::new(reason, message, unlock)));
    // a COPY that does not lie before the first install alone is for its own turn
    if (at + 1..first).any(|i| is_broad(input, i)) {
        return Ok(None);
    }
    if input.facts.stage(stage.index).windows {
        return refuse(Reason::Windows, "the image is Windows", "nothing yet");
    }
    if input.facts.stage(stage.index).image.as_ref().is_some_and(|i| i.onbuild) {
        return refuse(
            Reason::NotProven,
            "the base image has triggers that run before this stage",
            "start from an image without ONBUILD",
        );
    }
    let Some(context) = input.context else {
        return refuse(
            Reason::ContextMissing,
            "the build context is not known, so the manifests cannot be read",
            "name it with --context",
        );
    };
    let state = input.facts.before(at);
    let target = ins
        .args()
        .last()
        .and_then(|d| state?.absolute(&d.value, input.file.escape))
        .filter(|v| !v.by_argument);
    let Some(target) = target else {
        return refuse(
            Reason::VariableUnresolved,
            "where the COPY lands is not known",
            "give WORKDIR an absolute path before it",
        );
    };
    let source = ins
        .first()
        .trim_start_matches("./")
        .trim_matches('/')
        .trim_start_matches('.')
        .trim_matches('/')
        .to_owned();
    let broad = Broad { at, source, target: target.text };
    if already(input, stage, at, first) {
        return Ok(None);
    }
    let mut found: Vec<Found> = Vec::new();
    let mut needs: Option<Needs> = None;
    for i in at + 1..end {
        let step = &input.file.instructions[i];
        let outcome = match step.keyword {
            Keyword::Run => run(input, &broad, i),
            Keyword::Copy | Keyword::Add => {
                Err(order(step, "another COPY stands between, which may land in the same place"))
            }
            Keyword::Env | Keyword::Arg if names_variable(input, at, i) => {
                Err(order(step, "the COPY uses a variable that is set between"))
            }
            _ => Ok(None),
        };
        match outcome {
            Ok(Some(next)) => {
                let mut all = Vec::new();
                for (install, place) in &next.installs {
                    match needs_at(install, context, place, Ecosystems::builtin()) {
                        Ok(n) => all.push(n),
                        // a later install that does not fit ends the row; the first one decides
                        Err(refusal) if needs.is_none() => return Err(fail(refusal)),
                        Err(_) => break,
                    }
                }
                if all.len() < next.installs.len() {
                    break;
                }
                let early = all.iter().any(|n| n.early.is_some());
                if early && needs.is_some() {
                    break;
                }
                let partial = next.elements.is_some();
                found.push(next);
                needs = all.into_iter().fold(needs, |sum, n| Some(union(sum, n)));
                if early || partial {
                    break;
                }
            }
            Ok(None) => {}
            Err(refusal) if needs.is_none() => return Err((i.max(first), refusal)),
            Err(_) => break,
        }
    }
    match needs {
        Some(needs) => Ok(Some(Split { broad, found, needs, context })),
        None => Ok(None),
    }
}

fn order(ins: &Instruction, message: &str) -> Refusal {
    let place = format!("put the {} behind the install, if it does not need it", ins.keyword.name());
    Refusal::new(Reason::OrderObservable, message, place)
}

/// Whether COPY `copy` names a variable that instruction `at` sets.
fn names_variable(input: &Input, copy: usize, at: usize) -> bool {
    let text = String::from_utf8_lossy(input.file.instructions[copy].source()).into_owned();
    let names = crate::syntax::words::mentions(&text);
    let ins = &input.file.instructions[at];
    ins.args().iter().any(|a| names.iter().any(|n| a.value.split('=').next() == Some(n)))
}

/// C.7 R12: the stage already installs from manifests alone, before the COPY.
fn already(input: &Input, stage: &Stage, at: usize, install: usize) -> bool {
    let tool = |i: usize| match recognized(input, i) {
        Some(Recognized::Install(install)) => Some(install.ecosystem),
        _ => None,
    };
    let later = tool(install);
    (stage.body.start..at).any(|i| later.is_some() && tool(i) == later)
}

/// C.7 R5: no install that is known, but a RUN that looks like one.
fn opaque<'a>(input: &Input<'a>, stage: &Stage, at: usize) -> Result<Option<Split<'a>>, (usize, Refusal)> {
    if (stage.body.start..at).any(|i| recognized(input, i).is_some()) {
        return Ok(None);
    }
    for i in at + 1..stage.body.end {
        let build =
            |c: &crate::facts::Call| matches!(c.known.class, Class::Build | Class::Install | Class::Unknown);
        if let Some(call) = input.facts.calls(i).iter().find(|c| build(c)) {
            let command = call
                .argv
                .as_ref()
                .map_or_else(|| "a command with unknown words".to_owned(), |a| format!("`{}`", a.join(" ")));
            let refusal = Refusal::new(
                Reason::EcosystemUnknown,
                format!("{command} is no install that the catalogues know: it may read any source"),
                "install the dependencies in a RUN of their own",
            );
            return Err((i, refusal));
        }
    }
    Ok(None)
}

/// What a RUN behind the COPY is: `Ok(None)` if it does not look at what the COPY brings, an install, or in the way.
fn run(input: &Input, broad: &Broad, at: usize) -> Result<Option<Found>, Refusal> {
    let opaque = |message: &str| {
        Err(Refusal::new(
            Reason::ShellOpaque,
            message,
            "put the install into a RUN of its own, as a list joined by `&&`",
        ))
    };
    let (Some(state), Some(read)) = (input.facts.before(at), input.facts.run(at)) else { return Ok(None) };
    let cwd = state.cwd.clone();
    let env: Vec<(String, String)> = state
        .variables
        .iter()
        .filter_map(|v| Some((v.name.clone(), v.value.clone().filter(|_| !v.by_argument)?)))
        .collect();
    let install_of = |argv: &[String], dir: Option<&str>| match Ecosystems::builtin().recognize(argv) {
        Recognized::Install(install) => {
            let Some(cwd) = dir else {
                return Err(Refusal::new(
                    Reason::VariableUnresolved,
                    "the working directory is not known",
                    "give WORKDIR an absolute path",
                ));
            };
            let place = Place::new(&broad.source, &broad.target, cwd, &env);
            Ok(Some((install, place)))
        }
        Recognized::Refused(refusal) => Err(refusal),
        Recognized::None => Ok(None),
    };
    if let Run { form: crate::facts::Form::Exec, .. } = read {
        let argv: Vec<String> = input.file.instructions[at].args().iter().map(|a| a.value.clone()).collect();
        return match install_of(&argv, cwd.as_deref())? {
            Some(install) => Ok(Some(Found { at, elements: None, installs: vec![install] })),
            None => opaque("an exec form stands between, which may read the sources"),
        };
    }
    let Some(script) = read.understood().filter(|s| !s.has_heredoc()) else {
        return opaque("a RUN cannot be read completely, and may read the sources");
    };
    let Some(list) = script.and_list() else {
        return sequence(input, at);
    };
    let mut dir = cwd;
    let mut installs = Vec::new();
    let mut early = 0;
    let mut leaks = false;
    for (k, node) in list.iter().enumerate() {
        let NodeKind::Simple(simple) = &node.kind else { break };
        let argv = input.facts.argv_in(script, at, simple);
        let Some(argv) = argv.filter(|a| !a.is_empty()) else { break };
        if argv[0] == "cd" {
            dir = argv.get(1).and_then(|d| {
                if d.starts_with('/') { Some(d.clone()) } else { dir.as_deref().map(|c| join(c, d)) }
            });
            leaks = true;
            continue;
        }
        match install_of(&argv, dir.as_deref()) {
            Ok(Some(install)) => {
                installs.push(install);
                early = k + 1;
            }
            Err(refusal) if installs.is_empty() => return Err(refusal),
            Err(_) => break,
            Ok(None) if harmless(input, broad, &argv, dir.as_deref()) => {}
            Ok(None) => break,
        }
        leaks |= leak(node).is_some();
    }
    let whole = early == list.len();
    if installs.is_empty() {
        let calm = list.iter().all(|node| match &node.kind {
            NodeKind::Simple(s) => input.facts.argv_in(script, at, s).is_some_and(|a| {
                a.first().is_some_and(|n| n == "cd") || harmless(input, broad, &a, dir.as_deref())
            }),
            _ => false,
        });
        if calm {
            return Ok(None);
        }
        if recognized(input, at).is_some() {
            return opaque("what stands before the install in its RUN may read the sources");
        }
        let text = String::from_utf8_lossy(&script.joined().text).trim().chars().take(60).collect::<String>();
        return Err(Refusal::new(
            Reason::OrderObservable,
            format!("`{text}` stands between the COPY and the install, and may read the sources"),
            "put it behind the install",
        ));
    }
    // the early halves of such a RUN stay as they are, and so does the RUN
    let needs_late = installs.iter().any(|(i, _)| early_command(input, i, &installs));
    if !whole && leaks && !needs_late {
        return Err(Refusal::new(
            Reason::StateLeaks,
            "the install changes the state of its shell, which the rest of its RUN needs",
            "put the install into a RUN of its own, with WORKDIR in the place of cd",
        ));
    }
    Ok(Some(Found { at, elements: (!whole).then_some(early), installs }))
}

/// A RUN that is no list joined by `&&`.
fn sequence(input: &Input, at: usize) -> Result<Option<Found>, Refusal> {
    let message = if recognized(input, at).is_some() {
        "the install stands in a condition or a sequence of commands"
    } else {
        "a sequence of commands stands between the COPY and the install, and may read the sources"
    };
    Err(Refusal::new(
        Reason::ShellOpaque,
        message,
        "join its commands by `&&`, or put the install into a RUN of its own",
    ))
}

/// Whether an install stays where it is and another command goes first (`go mod download`).
fn early_command(input: &Input, install: &Install, installs: &[(Install, Place)]) -> bool {
    let Some((_, place)) = installs.iter().find(|(i, _)| i == install) else { return false };
    input
        .context
        .is_some_and(|c| needs_at(install, c, place, Ecosystems::builtin()).is_ok_and(|n| n.early.is_some()))
}

/// Whether a command neither reads nor writes where the COPY lands.
fn harmless(input: &Input, broad: &Broad, argv: &[String], cwd: Option<&str>) -> bool {
    let known = input.knowledge.command(argv);
    let meets = |paths: &Paths| match paths {
        Paths::None => false,
        Paths::Everything => true,
        Paths::Some(paths) => paths.iter().any(|p| {
            let p = p.trim_end_matches("/**");
            let path = if p.starts_with('/') { Some(join("/", p)) } else { cwd.map(|c| join(c, p)) };
            path.is_none_or(|p| covers(&p, &broad.target) || covers(&broad.target, &p))
        }),
    };
    let apart = |argv: &[String]| {
        argv.iter()
            .skip(1)
            .all(|w| !w.contains(['/', '$', '`']) || w.starts_with("http") || w.starts_with('@'))
    };
    match known.class {
        // packages come by name: a word that is a path may be a file of the context
        Class::Packages => apart(argv),
        Class::Index | Class::Cleanup => true,
        Class::Install => {
            apart(argv) && !argv.iter().any(|w| w == "." || w == "-e" || w == "-r" || w == "-c")
        }
        Class::Config => !meets(&known.reads) && !meets(&known.writes) && !meets(&known.deletes),
        Class::Fetch | Class::Build | Class::Daemon | Class::Unknown => false,
    }
}

fn union(sum: Option<Needs>, next: Needs) -> Needs {
    let Some(mut sum) = sum else { return next };
    let add = |to: &mut Vec<String>, from: Vec<String>| {
        for item in from {
            if !to.contains(&item) {
                to.push(item);
            }
        }
    };
    add(&mut sum.files, next.files);
    add(&mut sum.writes, next.writes);
    add(&mut sum.fills, next.fills);
    add(&mut sum.evidence, next.evidence);
    sum.guards.extend(next.guards);
    sum.guards.sort();
    sum.guards.dedup();
    sum.rewrites_lock |= next.rewrites_lock;
    sum.early = sum.early.or(next.early);
    sum.level = sum.level.min(next.level);
    sum.assumes.extend(next.assumes);
    sum
}

fn rewrite(input: &Input, stage: &Stage, split: &Split) -> Finding {
    let file = input.file;
    let last = split.found.last().map_or(split.broad.at, |f| f.at);
    let at = file.instructions[split.broad.at].span.to(file.instructions[last].span);
    match edits(input, stage, split) {
        Ok((message, rewrite)) => Finding::rewrite(at, message, rewrite),
        Err(refusal) => Finding::refuse(at, refusal),
    }
}

fn edits(input: &Input, stage: &Stage, split: &Split) -> Result<(String, Rewrite), Refusal> {
    let Split { broad, found, needs, context } = split;
    let file = input.file;
    let newline = file.line_end();
    let copy = &file.instructions[broad.at];
    let indent = String::from_utf8_lossy(copy.indent()).into_owned();
    let manifests = manifest_copies(input, split)?;
    let mut rewrite = Rewrite {
        level: needs.level,
        evidence: needs.evidence.clone(),
        assumes: needs.assumes.clone(),
        effects: Vec::new(),
        edits: Edits::default(),
    };
    guard(input, split, &mut rewrite)?;
    if context.is_guess() {
        rewrite.assumes.push(Assumption::ContextIsTheBuilt);
    }
    let lines = manifests.join(&format!("{newline}{indent}"));
    let out = &mut rewrite.edits.dockerfile;
    let commands: Vec<&str> =
        found.iter().flat_map(|f| f.installs.iter().map(|(i, _)| i.command.as_str())).collect();
    if let Some(early) = &needs.early {
        if input.facts.stage(stage.index).ships && !needs.fills.is_empty() {
            rewrite.level = Level::Review;
            rewrite.evidence.push(format!(
                "{} may grow: the early command fetches more than the build needs",
                needs.fills.join(" and ")
            ));
        }
        let Some(install) = found.first().map(|f| &file.instructions[f.at]) else {
            return Err(Refusal::new(Reason::NotProven, "there is no install", "nothing"));
        };
        let cached =
            install.flags().iter().any(|f| f.value.as_deref().is_some_and(|v| v.contains("type=cache")));
        if cached {
            return Err(Refusal::new(
                Reason::NoGain,
                "a cache mount keeps what the install fetches already",
                "nothing: the mount does what the split would do",
            ));
        }
        let alone = found.iter().all(|f| f.elements.is_none());
        let repeats = found.iter().flat_map(|f| &f.installs).any(|(i, _)| early.starts_with(&i.command));
        if repeats && !alone {
            return Err(Refusal::new(
                Reason::ManifestUnsuited,
                "what follows the install in its RUN needs the sources and all that the install makes of them",
                "put the install into a RUN of its own",
            ));
        }
        // the early command runs under the same state as the install: just before it
        let moved = moved_copy(input, broad, found[0].at - 1)?;
        let flags = flags_text(install);
        let between = (broad.at + 1..found[0].at).any(|i| file.instructions[i].keyword != Keyword::Run);
        if between {
            out.replace(copy.span, lines);
            out.insert(
                install.span.start,
                format!("RUN {flags}{early}{newline}{indent}{moved}{newline}{indent}"),
            );
        } else {
            out.insert(
                copy.span.start,
                format!("{lines}{newline}{indent}RUN {flags}{early}{newline}{indent}"),
            );
        }
        rewrite.effects.push(Effect::CommandAdded { command: early.clone() });
        return Ok((
            format!("copy {} and run `{early}` before the sources come", names(&needs.files)),
            rewrite,
        ));
    }
    let Some(last) = found.last() else {
        return Err(Refusal::new(Reason::NotProven, "there is no install", "nothing"));
    };
    let install = &file.instructions[last.at];
    let moved = moved_copy(input, broad, last.at)?;
    out.replace(copy.span, lines);
    match last.elements {
        None => {
            let at = install.full.end;
            let ends = file.text()[..at as usize].ends_with(b"\n");
            let text =
                if ends { format!("{indent}{moved}{newline}") } else { format!("{newline}{indent}{moved}") };
            out.insert(at, text);
        }
        Some(n) => {
            let script = input.facts.run(last.at).and_then(Run::understood);
            let list = script.and_then(|s| Some((s, s.and_list()?)));
            let Some((script, list)) = list.filter(|(_, l)| n < l.len()) else {
                return Err(Refusal::new(
                    Reason::ShellOpaque,
                    "the RUN cannot be cut in two",
                    "put the install into a RUN of its own",
                ));
            };
            let gap =
                Span { start: script.in_file(list[n - 1].span).end, end: script.in_file(list[n].span).start };
            let flags = flags_text(install);
            out.replace(gap, format!("{newline}{indent}{moved}{newline}{indent}RUN {flags}"));
        }
    }
    rewrite.effects.extend(commands.iter().map(|c| Effect::CommandMoved { command: (*c).to_owned() }));
    Ok((
        format!("copy {} and run `{}` before the sources come", names(&needs.files), commands.join("`, `")),
        rewrite,
    ))
}

fn names(files: &[String]) -> String {
    match files {
        [] => "nothing".to_owned(),
        [one] => one.clone(),
        [init @ .., last] if files.len() < 5 => format!("{} and {last}", init.join(", ")),
        [first, ..] => format!("{first} and {} others", files.len() - 1),
    }
}

/// The flags of an instruction as they are written, with a blank behind them.
fn flags_text(ins: &Instruction) -> String {
    ins.flags().iter().map(|f| format!("{} ", f.text())).collect()
}

/// The broad COPY as it stands behind the install: the same words, but an absolute destination where WORKDIR came between.
fn moved_copy(input: &Input, broad: &Broad, last: usize) -> Result<String, Refusal> {
    let copy = &input.file.instructions[broad.at];
    let text = String::from_utf8_lossy(copy.source()).into_owned();
    let Some(dst) = copy.args().last() else {
        return Err(Refusal::new(Reason::SyntaxUnknown, "the COPY has no destination", "nothing"));
    };
    let after =
        input.facts.after(last).and_then(|s| s.absolute(&dst.value, input.file.escape)).map(|v| v.text);
    if after.as_deref() == Some(&broad.target) {
        return Ok(text);
    }
    if copy.is_exec() {
        return Err(Refusal::new(
            Reason::OrderObservable,
            "WORKDIR stands between, and the COPY is in the exec form",
            "write its destination absolute",
        ));
    }
    let (start, end) = (dst.span.start - copy.span.start, dst.span.end - copy.span.start);
    let slash = if dst.value.ends_with('/') || dst.value == "." { "/" } else { "" };
    Ok(format!(
        "{}{}{slash}{}",
        &text[..start as usize],
        broad.target.trim_end_matches('/'),
        &text[end as usize..]
    ))
}

/// The COPYs of the manifests, one for each folder, and each landing where the broad one puts it.
fn manifest_copies(input: &Input, split: &Split) -> Result<Vec<String>, Refusal> {
    let Split { broad, needs, context, .. } = split;
    let copy = &input.file.instructions[broad.at];
    let flags = flags_text(copy);
    let dst = copy.args().last().map_or("./", |d| d.value.as_str());
    let base = match dst {
        "." | "./" => "./".to_owned(),
        d if d.ends_with('/') => d.to_owned(),
        d => format!("{d}/"),
    };
    let odd = |f: &String| f.contains([' ', '*', '?', '[', '"', '\'', '\\', '$']);
    if let Some(name) = needs.files.iter().find(|f| odd(f)) {
        return Err(Refusal::new(
            Reason::NotProven,
            format!("the name {name} needs quotes or is a pattern"),
            "rename the file",
        ));
    }
    let below = |path: &str| -> Option<String> {
        if broad.source.is_empty() {
            Some(path.to_owned())
        } else {
            path.strip_prefix(&format!("{}/", broad.source)).map(str::to_owned)
        }
    };
    let mut groups: Vec<(String, Vec<String>)> = Vec::new();
    for file in &needs.files {
        let Some(inner) = below(file) else {
            return Err(Refusal::new(
                Reason::NotProven,
                format!("{file} lies outside of what the COPY brings"),
                "copy it by hand",
            ));
        };
        let is_dir = context.entry(file).is_some_and(|e| e.kind == FileKind::Dir);
        let folder = if is_dir {
            inner.clone()
        } else {
            parent(&format!("/{inner}")).trim_start_matches('/').to_owned()
        };
        let target = match (folder.is_empty(), base.as_str()) {
            (true, base) => base.to_owned(),
            (false, "./") => format!("./{folder}/"),
            (false, base) => format!("{base}{folder}/"),
        };
        match groups.iter_mut().find(|(t, files)| *t == target && !is_dir && files.iter().all(|f| f != file))
        {
            Some((_, files)) => files.push(file.clone()),
            None => groups.push((target, vec![file.clone()])),
        }
    }
    if groups.is_empty() {
        return Err(Refusal::new(Reason::NoGain, "the install reads no file", "nothing"));
    }
    Ok(groups
        .into_iter()
        .map(|(target, files)| format!("COPY {flags}{} {target}", files.join(" ")))
        .collect())
}

/// C.2: the later COPY may not lay anything over what was installed. A line of `.dockerignore` may see to that.
fn guard(input: &Input, split: &Split, rewrite: &mut Rewrite) -> Result<(), Refusal> {
    let Split { needs, context, .. } = split;
    if needs.early.is_some() {
        return Ok(()); // the original install runs behind the COPY, as it did
    }
    let Overlay { missing_ignore_lines, carried } = match overlay(needs, context, "") {
        Ok(evidence) => {
            rewrite.evidence.extend(evidence);
            return Ok(());
        }
        Err(overlay) => overlay,
    };
    let cleared = needs.guards.iter().all(|g| g.cleared);
    let tracked = carried.iter().find(|p| context.entry(p).is_some_and(|e| e.tracked != Some(false)));
    if let Some(path) = tracked.filter(|_| !cleared) {
        return Err(Refusal::new(
            Reason::InstallOverlaid,
            format!("the context carries {path}, which would overlay what was installed"),
            format!(
                "add {} to .dockerignore, if the image does not need it",
                missing_ignore_lines.join(" and ")
            ),
        ));
    }
    if context.ignore().is_some_and(|i| i.error().is_some()) {
        return Err(Refusal::new(
            Reason::NotProven,
            ".dockerignore has a pattern that no build accepts",
            "correct the pattern",
        ));
    }
    let path = context.ignore_path().unwrap_or(".dockerignore").to_owned();
    let lines: String = missing_ignore_lines.iter().map(|l| format!("{l}\n")).collect();
    let change = match context.ignore_bytes() {
        Some(bytes) => {
            let mut edits = EditSet::new();
            let glue = if bytes.is_empty() || bytes.ends_with(b"\n") { "" } else { "\n" };
            edits.insert(u32::try_from(bytes.len()).unwrap_or(u32::MAX), format!("{glue}{lines}"));
            Change::Edit(edits)
        }
        None => Change::Create(lines.into_bytes()),
    };
    rewrite.edits.files.insert(path.clone(), change);
    rewrite
        .effects
        .extend(missing_ignore_lines.iter().map(|line| Effect::ContextNarrowed { line: line.clone() }));
    rewrite.evidence.push(format!(
        "{path} gains {}, so that the later COPY cannot overlay what was installed",
        missing_ignore_lines.join(" and ")
    ));
    // every build of the context changes with that line
    let alone = input.options.deployment.shares_context_with.is_empty();
    if !(cleared && tracked.is_none() && alone) {
        rewrite.level = Level::Review;
    }
    Ok(())
}
