//! Copy the manifests and install the dependencies before the sources are copied.
//!
//! ## Why
//! Each edit of a source file changes what `COPY . .` brings, so the install behind it runs again, though nothing that it reads
//! has changed. With the manifests in a COPY of their own, before the install, an edit of a source file leaves the install cached.
//! Where several COPYs put the folder together, those that bring no manifest go behind the install. A build that fetches by itself
//! (go, dotnet, mvn) stays where it is, and a command that fetches alone goes before the sources. An install of packages by their
//! names needs no manifest, and goes before the sources as it is.
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
//! a RUN that cleans up behind its install and a build, in a stage that ships; and an install that is split already.

mod assembled;
mod between;
mod by_name;
mod write;

use crate::{
    context::{Context, FileKind},
    ecosystem::{Ecosystems, Install, Needs, Place, Recognized, needs_at},
    facts::covers,
    graph::Stage,
    knowledge::Class,
    pass::{Finding, Input, Level, Meta, Pass, Phase, Reason, Refusal},
    syntax::{Instruction, Keyword},
};
use between::{copy_apart, installs_of, overlapping, recognized};

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
    before: Before,
}

/// What goes before the installs in their RUN, and may bring what they need.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Before {
    Nothing,
    /// So many elements of its list, which can be a RUN of their own.
    Elements(usize),
    /// What cannot be taken apart.
    Fixed,
}

/// What is made of the installs behind one COPY.
struct Split<'a> {
    broad: Broad,
    found: Vec<Found>,
    needs: Needs,
    context: &'a Context,
    /// A COPY between that lands in the same place, so that the broad one must stay before it.
    fixed: Option<usize>,
    /// A RUN of the same tool between that may read the sources, so that the broad COPY must stay before it; and why.
    stuck: Option<(usize, Refusal)>,
}

fn in_stage(input: &Input, stage: &Stage) -> Option<Finding> {
    // most stages bring nothing, and their RUNs need not be read
    stage.body.clone().find(|at| copies(&input.file.instructions[*at]))?;
    let broads: Vec<usize> = stage.body.clone().filter(|at| is_broad(input, *at)).collect();
    let mut refused = None;
    for &at in &broads {
        let end = stage.body.end;
        let span = |last: usize| input.file.instructions[at].span.to(input.file.instructions[last].span);
        match split(input, stage, at, end) {
            Ok(Some(split)) => return Some(rewrite(input, stage, &split)),
            Ok(None) => {}
            Err((last, refusal)) => refused = refused.or(Some(Finding::refuse(span(last), refusal))),
        }
    }
    let held = |at: &usize| {
        let install = (at + 1..stage.body.end).find(|i| recognized(input, *i).is_some());
        install.is_some_and(|i| holds_install(input, *at, i))
    };
    let assembled = || assembled::in_stage(input, stage);
    let assembled = if broads.iter().any(held) { None } else { assembled() };
    let by_name = || broads.iter().find_map(|at| by_name::behind(input, stage, *at));
    assembled.or_else(by_name).or(refused).or_else(|| archive(input, stage))
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

/// Whether an instruction copies from somewhere else than a stage or an image.
fn copies(ins: &Instruction) -> bool {
    matches!(ins.keyword, Keyword::Copy | Keyword::Add) && ins.flag("from").is_none()
}

/// Whether an instruction brings one folder of the context.
fn is_broad(input: &Input, at: usize) -> bool {
    let ins = &input.file.instructions[at];
    let [source, _] = ins.args() else { return false };
    copies(ins) && ins.heredocs.is_empty() && is_folder(input.context, &source.value)
}

/// Whether the install `install` runs in, or names, what COPY `copy` brings.
fn holds_install(input: &Input, copy: usize, install: usize) -> bool {
    let (Some(state), Some(late)) = (input.facts.before(copy), input.facts.before(install)) else {
        return false;
    };
    let dst = input.file.instructions[copy].args().last();
    let target = dst.and_then(|d| state.absolute(&d.value, input.file.escape));
    target.is_some_and(|t| late.cwd.as_deref().is_some_and(|cwd| covers(&t.text, cwd)))
}

/// Whether another COPY than `copy` brings the folder of the install, so that the manifests do not come with this one.
fn brought_apart(input: &Input, stage: &Stage, copy: usize, install: usize) -> bool {
    let other = |i: &usize| *i != copy && input.graph.reads_context(*i) && holds_install(input, *i, install);
    !holds_install(input, copy, install) && (stage.body.start..install).any(|i| other(&i))
}

fn is_folder(context: Option<&Context>, source: &str) -> bool {
    let path = source.trim_start_matches("./").trim_end_matches('/');
    match path {
        "" | "." => true,
        _ => context.and_then(|c| c.entry(path)).is_some_and(|e| e.kind == FileKind::Dir),
    }
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
    // of several COPYs the one that brings the folder of the install is meant
    if (at + 1..first).any(|i| is_broad(input, i)) && !holds_install(input, at, first) {
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
    let plain = |name: &str| matches!(name, "chown" | "chmod" | "link");
    if let Some(flag) = ins.flags().iter().find(|f| !plain(&f.name)) {
        return refuse(
            Reason::NotProven,
            &format!(
                "the COPY has --{}, which the COPY of the manifests would need in another form",
                flag.name
            ),
            "split it by hand",
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
    // a COPY that the broad one may not be moved over
    let mut fixed = None;
    let mut stuck: Option<(usize, Refusal)> = None;
    for i in at + 1..end {
        let step = &input.file.instructions[i];
        let outcome = match step.keyword {
            Keyword::Run => between::run(input, &broad, input.context, i),
            Keyword::Copy | Keyword::Add if copy_apart(input, &broad, i) => Ok(None),
            Keyword::Copy | Keyword::Add if needs.is_none() => {
                fixed = fixed.or(Some(i));
                Ok(None)
            }
            Keyword::Copy | Keyword::Add => Err(overlapping(input, i)),
            Keyword::Env | Keyword::Arg if names_variable(input, at, i) => {
                Err(order(step, "the COPY uses a variable that is set between"))
            }
            _ => Ok(None),
        };
        match outcome {
            Ok(Some(next)) => {
                let earlier = |e: &str| (stage.body.start..at).any(|i| installs_of(input, i).contains(&e));
                if next.installs.iter().any(|(install, _)| earlier(&install.ecosystem)) {
                    return Ok(None);
                }
                let mut all = Vec::new();
                for (install, place) in &next.installs {
                    match needs_at(install, context, place, Ecosystems::builtin()) {
                        Ok(n) => all.push(n),
                        // a later install that does not fit ends the row; the first one decides
                        Err(_) if needs.is_none() && brought_apart(input, stage, at, first) => {
                            return Ok(None);
                        }
                        Err(_) if needs.is_none() && !holds_install(input, at, first) => {
                            return refuse(
                                Reason::NotProven,
                                &format!(
                                    "no COPY brings the folder in which `{}` runs as it lies in the context",
                                    install.command
                                ),
                                "copy the manifests to where they lie in the context, and split it by hand",
                            );
                        }
                        Err(refusal) if needs.is_none() => return Err(fail(refusal)),
                        Err(_) => break,
                    }
                }
                if all.len() < next.installs.len() {
                    break;
                }
                let early = all.iter().any(|n| n.early.is_some());
                if let Some(copy) = fixed.filter(|_| !early) {
                    return Err((first, overlapping(input, copy)));
                }
                if let Some(stuck) = stuck.clone().filter(|_| !early) {
                    return Err(stuck);
                }
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
            Err(refusal) if needs.is_none() && between::begins_with_a_builder(input, i) => {
                stuck = stuck.or(Some((i.max(first), refusal)));
            }
            Err(refusal) if needs.is_none() => {
                let own = match recognized(input, first) {
                    // what the install itself says against it goes before what stands in its way
                    Some(Recognized::Refused(own)) if i < first => Some(own),
                    _ => stuck.map(|(_, why)| why),
                };
                return Err((i.max(first), own.unwrap_or(refusal)));
            }
            Err(_) => break,
        }
    }
    let last = found.last().map_or(at, |f| f.at);
    for path in (at..last).flat_map(|i| between::venvs(input, &broad, i)) {
        let inner = path.strip_prefix(broad.target.trim_end_matches('/')).unwrap_or(&path);
        let lies = format!("{}{inner}", broad.source);
        let lies = lies.trim_start_matches('/');
        let guarded = |n: &Needs| n.early.is_none() && n.guards.iter().any(|g| g.path == lies);
        if needs.as_ref().is_some_and(|n| !guarded(n)) {
            return refuse(
                Reason::OrderObservable,
                &format!("the COPY may bring {lies}, which a RUN between makes"),
                "name it in VIRTUAL_ENV, or make it elsewhere",
            );
        }
    }
    match (needs, stuck) {
        (Some(needs), stuck) => Ok(Some(Split { broad, found, needs, context, fixed, stuck })),
        (None, Some(stuck)) => Err(stuck),
        (None, None) => Ok(None),
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
    let later = match recognized(input, install) {
        Some(Recognized::Install(install)) => install.ecosystem,
        _ => return false,
    };
    (stage.body.start..at).any(|i| installs_of(input, i).contains(&later.as_str()))
}

/// C.7 R5: no install that is known, but a RUN that looks like one.
fn opaque<'a>(input: &Input<'a>, stage: &Stage, at: usize) -> Result<Option<Split<'a>>, (usize, Refusal)> {
    if (stage.body.start..at).any(|i| recognized(input, i).is_some() || !installs_of(input, i).is_empty()) {
        return Ok(None);
    }
    for i in at + 1..stage.body.end {
        let apart = |argv: &Vec<String>| {
            Ecosystems::builtin().installs_by_name(argv) || Ecosystems::builtin().is_aside(argv)
        };
        let build = |c: &crate::facts::Call| {
            matches!(c.known.class, Class::Build | Class::Install | Class::Unknown)
                && !c.argv.as_ref().is_some_and(apart)
        };
        if let Some(call) = input.facts.calls(i).iter().find(|c| build(c)) {
            let command = match &call.argv {
                Some(argv) => format!("`{}`", argv.join(" ")),
                None => "a command of this RUN, some of whose words are not known,".to_owned(),
            };
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
    match write::edits(input, stage, split) {
        Ok((message, rewrite)) => Finding::rewrite(at, message, rewrite),
        Err(refusal) => Finding::refuse(at, refusal),
    }
}
