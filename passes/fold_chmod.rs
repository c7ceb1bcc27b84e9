//! Give files their mode as they are copied, in the place of a `chmod` behind the COPY.
//!
//! ## Why
//! A `chmod` in a RUN of its own stores a second copy of each file that it touches, and a layer more. With `COPY --chmod` the files
//! are stored once. Where the files have the mode already, the `chmod` only stores them again, and goes.
//!
//! ## Context
//! run.sh: exec sleep 60
//!
//! ## Before
//! ```dockerfile
//! FROM debian:12
//! COPY run.sh /usr/local/bin/run.sh
//! RUN chmod 755 /usr/local/bin/run.sh
//! ```
//!
//! ## After
//! ```dockerfile
//! FROM debian:12
//! COPY --chmod=755 run.sh /usr/local/bin/run.sh
//! ```
//!
//! ## Assumes
//! Nothing where the build context is known. Else that the guessed context is the one that is built, or that the base runs as
//! root: then it is for review.
//!
//! ## Refuses
//! A COPY of folders, but for files in them that are executable already; a COPY of files of which the change covers a part; files
//! whose kind or mode is not known, or that a command writes anew; a destination folder that the COPY may have to make, which newer builders give the same mode; suid, sgid and sticky; a command between that could
//! tell the difference; conditions and patterns; builders without `--chmod`; and a stage that does not ship.

use std::collections::BTreeMap;

use super::fold::{self, Change, Copy};
use crate::{
    context::{Context, FileKind},
    edit::Edits,
    facts::{State, covers, parent},
    pass::{Assumption, Builder, Effect, Finding, Input, Level, Meta, Pass, Phase, Reason, Refusal, Rewrite},
    syntax::Keyword,
};

pub struct FoldChmod;

impl Pass for FoldChmod {
    fn meta(&self) -> Meta {
        Meta {
            id: "fold-chmod",
            summary: "Gives files their mode by COPY --chmod in the place of a chmod behind the COPY, which stores them twice",
            phase: Phase::Layers,
            after: &["split-dependency-copy", "fold-chown"],
            ceiling: Level::Safe,
            rules: &[],
        }
    }

    fn source(&self) -> &'static str {
        include_str!("fold_chmod.rs")
    }

    fn run(&self, input: &Input<'_>) -> Vec<Finding> {
        let mut out = Vec::new();
        for (run, change) in fold::changes(input, &["chmod"]) {
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
    let (copies, settled) = copies(input, change)?;
    if copies.is_empty() && settled.is_empty() {
        return Ok(None);
    }
    if !input.facts.stage(change.stage).ships {
        return refuse(
            Reason::NoGain,
            "the layers of this stage do not ship",
            "nothing: the image does not grow by it",
        );
    }
    let mut assumes = Vec::new();
    runs_as_owner(input, change, copies.iter().chain(settled.values().map(|s| &s.copy)), &mut assumes)?;
    if fold::sets_special_bits(&change.spec) {
        return refuse(
            Reason::NotProven,
            "whether suid, sgid and sticky survive a COPY depends on the builder",
            "nothing",
        );
    }
    let mut flags = Vec::new();
    let mut evidence = Vec::new();
    for copy in &copies {
        flags.push(flag(input, change, copy, &mut evidence)?);
    }
    if let Some(open) = settled.values().find(|s| !s.executable) {
        return part(
            input,
            open.copy.at,
            "make the file executable in the build context: then the chmod can go",
        );
    }
    if !settled.is_empty() && has_windows_scripts(input) {
        return refuse(
            Reason::NotProven,
            "somebody may build on Windows, where files have no mode",
            "copy the file by a COPY of its own",
        );
    }
    for file in settled.values() {
        evidence.push(format!("{} is executable in the build context", file.source));
    }
    let all = copies.iter().chain(settled.values().map(|s| &s.copy));
    let first = all.map(|c| c.at).min().unwrap_or(change.run);
    for at in first + 1..=change.run {
        let until = (at == change.run).then_some(change.element);
        let is_run = input.file.instructions[at].keyword == Keyword::Run;
        let notices = || {
            !fold::is_blind(input, at, until, &change.paths, &["chown", "chgrp"])
                || fold::rewrites(input, at, until, &change.paths)
        };
        if is_run && until != Some(0) && notices() {
            return refuse(
                Reason::OrderObservable,
                format!("the RUN of line {} stands between, and may notice the mode", fold::line(input, at)),
                "move the chmod directly behind the COPY, if the RUN does not mind",
            );
        }
    }
    if input.context.is_some_and(Context::is_guess) {
        assumes.push(Assumption::ContextIsTheBuilt);
    }
    let mut edits = Edits::default();
    for (copy, flag) in copies.iter().zip(&flags) {
        if let Some(value) = flag {
            fold::set_flag(&mut edits.dockerfile, &input.file.instructions[copy.at], "chmod", value);
        }
    }
    fold::remove(&mut edits.dockerfile, input, change.run, change.element);
    let effects = change.paths.iter().map(|path| Effect::ModeMoved { path: path.clone() }).collect();
    let paths = change.paths.join(" and ");
    let message = match flags.iter().all(Option::is_none) {
        true if change.paths.len() > 1 => {
            format!("{paths} are executable already: the chmod only stores them again")
        }
        true => format!("{paths} is executable already: the chmod only stores it again"),
        false if change.paths.len() > 1 => {
            format!("give {paths} their mode as they are copied, not in a second copy")
        }
        false => format!("give {paths} its mode as it is copied, not in a second copy"),
    };
    Ok(Some((message, Rewrite { level: Level::Safe, evidence, assumes, effects, edits })))
}

/// A file that a COPY of a folder brings.
struct Settled {
    copy: Copy,
    source: String,
    executable: bool,
}

fn part<T>(input: &Input, at: usize, unlock: &str) -> Result<T, Refusal> {
    let line = fold::line(input, at);
    if input.context.is_none() && input.file.instructions[at].flag("from").is_none() {
        return refuse(
            Reason::ContextMissing,
            format!("whether it covers exactly the files that line {line} copies is not known"),
            "name the build context by --context",
        );
    }
    refuse(
        Reason::ContentUnknown,
        format!(
            "it does not cover exactly the files that line {line} copies, or which these are is not known"
        ),
        unlock,
    )
}

/// The COPYs whose files are what is changed, all of them, and the changed files that others bring with more; both are empty if no COPY
/// has to do with it.
fn copies(input: &Input, change: &Change) -> Result<(Vec<Copy>, BTreeMap<String, Settled>), Refusal> {
    let part = |at: usize| part(input, at, "copy the files by a COPY of their own");
    let mut out: Vec<Copy> = Vec::new();
    let mut settled: BTreeMap<String, Settled> = BTreeMap::new();
    let wanted = makes_executable(&change.spec).then(|| wanted(&change.spec));
    for at in input.graph.stages()[change.stage].body.start..change.run {
        if !matches!(input.file.instructions[at].keyword, Keyword::Copy | Keyword::Add) {
            continue;
        }
        let folders = fold::folders_before(input, change.stage, at);
        let is_folder = |p: &str| folders.contains(p) || input.facts.base_has_folder(change.stage, p);
        let Some(copy) = fold::copy(input, at, &is_folder) else {
            return refuse(
                Reason::VariableUnresolved,
                format!("where the COPY of line {} goes is not known", fold::line(input, at)),
                "write its destination without variables",
            );
        };
        let Some(files) = &copy.files else {
            // a folder, or what is not known: it may bring what is changed
            if change.recursive && change.paths.iter().any(|p| covers(p, &copy.dst)) {
                return part(at);
            }
            let unpacks =
                input.file.instructions[at].keyword == Keyword::Add && !fold::unpacks_nothing(input, at);
            for path in change.paths.iter().filter(|p| covers(&copy.dst, p)) {
                match (fold::source_of(input, &copy, path), wanted) {
                    (Some(None), _) if !unpacks => {}
                    (Some(Some((source, mode))), Some(wanted)) if !change.recursive && !unpacks => {
                        let executable = mode & wanted == wanted;
                        settled.insert(path.clone(), Settled { copy: copy.clone(), source, executable });
                        out.retain(|before| {
                            before.files.as_ref().is_some_and(|f| f.iter().any(|f| f != path))
                        });
                    }
                    _ => return part(at),
                }
            }
            continue;
        };
        let changed = |file: &String| change.paths.contains(file);
        let reached = |file: &String| change.paths.iter().any(|p| covers(p, file) && change.recursive);
        match (files.iter().all(changed), files.iter().any(|f| changed(f) || reached(f))) {
            (true, _) => {
                let folder = if copy.into { copy.dst.clone() } else { parent(&copy.dst).to_owned() };
                if !is_folder(&folder) {
                    return refuse(
                        Reason::NotProven,
                        format!(
                            "the COPY of line {} may make {folder} too, and newer builders give it the same mode",
                            fold::line(input, at)
                        ),
                        "make that folder before, by WORKDIR or mkdir",
                    );
                }
                settled.retain(|path, _| !files.contains(path));
                // what a later COPY puts in the place of an earlier file is what counts
                out.retain(|before| {
                    before.files.as_ref().is_some_and(|f| f.iter().any(|f| !files.contains(f)))
                });
                out.push(copy);
            }
            (false, true) => return part(at),
            (false, false) => {}
        }
    }
    let lands = |path: &&String| out.iter().any(|c| c.files.as_ref().is_some_and(|f| f.contains(path)));
    let settles = |path: &&String| settled.contains_key(*path);
    match change.paths.iter().find(|p| !lands(p) && !settles(p)) {
        Some(path) if !out.is_empty() || !settled.is_empty() => refuse(
            Reason::ContentUnknown,
            format!("{path} is not a file that a COPY before is known to bring"),
            "change it by a chmod of its own",
        ),
        _ => Ok((out, settled)),
    }
}

/// Whether the change could be made: by root, or by the user that the files were copied for.
fn runs_as_owner<'a>(
    input: &Input,
    change: &Change,
    mut copies: impl Iterator<Item = &'a Copy>,
    assumes: &mut Vec<Assumption>,
) -> Result<(), Refusal> {
    let state = input.facts.before(change.run);
    let user = state.and_then(|s| s.user.as_deref()).and_then(|u| u.split(':').next());
    let owns = |copy: &Copy| {
        let owner = input.file.instructions[copy.at].flag("chown").and_then(|f| f.value.as_deref());
        let owner = owner.and_then(|o| input.facts.before(copy.at)?.expand(o, input.file.escape));
        owner.is_some_and(|o| o.text.split(':').next() == user)
    };
    match state.and_then(State::is_root) {
        Some(true) => Ok(()),
        Some(false) if copies.all(owns) => Ok(()),
        Some(false) => refuse(
            Reason::NeedsRoot,
            "the chmod runs as a user that the files are not known to belong to",
            "put USER root before it",
        ),
        None => {
            assumes.push(Assumption::BaseRunsAsRoot);
            Ok(())
        }
    }
}

/// The value of `--chmod` that gives the files of `copy` the mode; None if they have it without one.
fn flag(
    input: &Input,
    change: &Change,
    copy: &Copy,
    evidence: &mut Vec<String>,
) -> Result<Option<String>, Refusal> {
    let ins = &input.file.instructions[copy.at];
    let line = fold::line(input, copy.at);
    if ins.keyword == Keyword::Add && !fold::unpacks_nothing(input, copy.at) {
        return refuse(
            Reason::ContentUnknown,
            format!("the ADD of line {line} may unpack an archive"),
            "write COPY",
        );
    }
    if ins.flag("link").is_some() {
        return refuse(
            Reason::NotProven,
            format!("--chmod changes how the --link of line {line} is built"),
            "remove --link",
        );
    }
    let is_octal = |s: &str| !s.is_empty() && s.chars().all(|c| c.is_digit(8));
    let octal = is_octal(&change.spec);
    let given = ins.flag("chmod").map(|f| f.value.as_deref().unwrap_or_default());
    let given_mode = given.filter(|g| is_octal(g)).and_then(|g| u32::from_str_radix(g, 8).ok());
    if given.is_some() && given_mode.is_none() && !octal {
        return refuse(
            Reason::NotProven,
            format!("the COPY of line {line} sets another mode already"),
            "write one mode",
        );
    }
    let files = fold::files_of(input, copy.at).unwrap_or_default();
    if let (Some(mode), true) = (given_mode, makes_executable(&change.spec)) {
        let wanted = mode | wanted(&change.spec);
        return Ok((wanted != mode).then(|| format!("{wanted:o}")));
    }
    if given.is_none() && makes_executable(&change.spec) {
        let wanted = wanted(&change.spec);
        if !files.is_empty() && files.iter().all(|f| f.2 & wanted == wanted) && !has_windows_scripts(input) {
            evidence.push(format!("{} is executable in the build context", names(&files)));
            return Ok(None);
        }
    }
    has_chmod(input, line)?;
    if octal {
        return Ok(Some(change.spec.clone()));
    }
    if !makes_executable(&change.spec) {
        return refuse(
            Reason::NotProven,
            format!("the mode `{}` builds on what the files have", change.spec),
            "write the mode in digits, as 755",
        );
    }
    // the two modes that git knows
    let mut modes: Vec<u32> = files.iter().map(|f| f.2 & 0o7777).collect();
    modes.dedup();
    match modes.as_slice() {
        [mode @ (0o644 | 0o755)] => {
            evidence.push(format!("{} has mode {mode:o} in the build context", names(&files)));
            Ok(Some(format!("{:o}", mode | wanted(&change.spec))))
        }
        _ => refuse(
            Reason::NotProven,
            format!("the files of line {line} have different modes in the build context, or unusual ones"),
            "write the mode in digits, as 755",
        ),
    }
}

fn names(files: &[(String, FileKind, u32)]) -> String {
    files.iter().map(|f| f.0.as_str()).collect::<Vec<_>>().join(", ")
}

/// Whether a symbolic mode does no more than add the right to execute.
fn makes_executable(spec: &str) -> bool {
    spec.strip_suffix("+x").is_some_and(|who| who.chars().all(|c| "ugoa".contains(c)))
}

/// The bits that such a mode adds.
fn wanted(spec: &str) -> u32 {
    let who = spec.strip_suffix("+x").unwrap_or_default();
    let bit = |c: char, bit: u32| if who.is_empty() || who.contains([c, 'a']) { bit } else { 0 };
    bit('u', 0o100) | bit('g', 0o010) | bit('o', 0o001)
}

/// Whether somebody seems to build on Windows, where files have no such bit (semantics B.4.2).
fn has_windows_scripts(input: &Input) -> bool {
    let is_script =
        |name: &str| [".cmd", ".bat", ".ps1"].iter().any(|end| name.to_lowercase().ends_with(end));
    input.context.is_none_or(|c| c.list("").iter().any(|(name, _)| is_script(name)))
}

/// Whether the builder has `COPY --chmod`: frontend 1.2 (semantics 0.4).
fn has_chmod(input: &Input, line: u32) -> Result<(), Refusal> {
    match input.options.builder {
        Builder::BuildKit { frontend } if frontend >= (1, 2) => Ok(()),
        builder => refuse(
            Reason::FrontendUnknown,
            format!("{builder} may lack COPY --chmod, which line {line} would get"),
            "build with BuildKit",
        ),
    }
}
