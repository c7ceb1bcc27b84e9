//! The edits of the rewrite.

use super::{Stage, Target, account, cased, inherited, is_copy};
use crate::{
    edit::{Edits, Span},
    facts::{contains, covers},
    knowledge::{DistrolessImage, Image},
    pass::{Effect, Finding, Input, Level, Reason, Refusal, Rewrite},
    syntax::{Instruction, Keyword, PieceKind},
};

/// The rewrite.
pub(super) fn write(
    input: &Input,
    stage: &Stage,
    image: &Image,
    target: Target,
    removed: &[usize],
    mut evidence: Vec<String>,
    user: account::User,
) -> Result<Finding, Refusal> {
    let distroless = input.knowledge.distroless();
    let file = input.file;
    let from = &file.instructions[stage.from];
    let release = Some(&distroless.default_release)
        .filter(|r| target.image.releases.contains(r))
        .or_else(|| target.image.releases.last());
    let release = release.ok_or_else(|| {
        Refusal::new(Reason::ImageUnknown, "the catalogue names no release of the image", "add one")
    })?;
    architecture(input, from, target.image)?;
    let reference = format!("{}/{}-{release}:{}", distroless.registry, target.name, user.tag);
    let name = from.args().first().map_or(from.span, |a| a.span);
    let mut edits = Edits::default();
    let mut effects = vec![Effect::Base { stage: stage.index }];
    edits.dockerfile.replace(name, reference.clone());
    for at in removed {
        let ins = &file.instructions[*at];
        edits.dockerfile.delete(with_its_comment(input, *at));
        effects
            .push(Effect::Removed { command: String::from_utf8_lossy(&ins.rest().text).trim().to_owned() });
    }
    for (span, text) in target.edits.iter().chain(&user.edits) {
        edits.dockerfile.replace(*span, text.clone());
    }
    if user.changes || !user.edits.is_empty() {
        effects.push(Effect::User { stage: stage.index });
        effects.extend(made_by_workdir(input, stage).into_iter().map(|path| Effect::Owner { path }));
    }
    if target.entrypoint_changes {
        effects.push(Effect::Entrypoint { stage: stage.index });
    }
    let mut first = inherited::variables(input, stage.index);
    if let Some(dir) = folder(input, stage, &target)? {
        effects.push(Effect::Workdir { stage: stage.index });
        if let Some(dir) = dir {
            first.push_str(&format!("{} {dir}{}", cased("WORKDIR", from), file.line_end()));
            if effects.contains(&Effect::User { stage: stage.index }) && dir != "/" {
                effects.push(Effect::Owner { path: dir });
            }
        } else {
            let old = input.facts.before(stage.from).and_then(|s| s.cwd.clone());
            let new = input.knowledge.image(&reference).and_then(|i| i.workdir.clone());
            if let (Some(old), Some(new)) = (old, new)
                && old != new
            {
                evidence.push(format!("it starts in {new}, not in {old}: the program is alone in the image"));
            }
        }
    }
    if !first.is_empty() {
        edits.dockerfile.insert(from.full.end, first);
    }
    let lost: Vec<String> = image
        .env
        .iter()
        .map(|(n, _)| n.clone())
        .filter(|n| !input.facts.stage(stage.index).config.env.iter().any(|(k, _)| k == n))
        .collect();
    if !lost.is_empty() {
        evidence.push(format!("what the base sets is gone: {}", lost.join(", ")));
        effects.push(Effect::Env { stage: stage.index, names: lost });
    }
    evidence.push(user.says);
    if input.facts.stage(stage.index).image_by_argument {
        evidence.push("an ARG chose a part of the base's name, and no longer does".into());
    }
    if contains(from.source(), b"@") {
        evidence.push("the base was pinned by digest: pin the new one when you take it".into());
    }
    let message = format!("move the final stage from {} to {reference}", image.name);
    let rewrite = Rewrite { level: Level::Review, evidence, assumes: Vec::new(), effects, edits };
    Ok(Finding::rewrite(from.span, message, rewrite))
}

/// Folders that belong to whoever the user is: WORKDIR makes them for the USER in force (moby/buildkit 73ed6825c
/// `frontend/dockerfile/dockerfile2llb/convert.go`, dispatchWorkdir).
fn made_by_workdir(input: &Input, stage: &Stage) -> Vec<String> {
    let folders = stage.body.clone().filter(|i| input.file.instructions[*i].keyword == Keyword::Workdir);
    folders.filter_map(|i| input.facts.after(i).and_then(|s| s.cwd.clone())).collect()
}

/// A platform that FROM fixes, or that the build is for, must be one that the image has.
fn architecture(input: &Input, from: &Instruction, image: &DistrolessImage) -> Result<(), Refusal> {
    let fixed = from.flag("platform").and_then(|f| f.value.as_deref()).filter(|p| !p.contains('$'));
    let platforms: Vec<String> = match fixed {
        Some(platform) => vec![platform.to_owned()],
        None => input.options.platforms.iter().map(ToString::to_string).collect(),
    };
    let lacks = |platform: &&String| {
        let arch = platform.split('/').nth(1).unwrap_or(platform);
        let old_arm = platform.ends_with("arm/v6") || platform.ends_with("arm/v5");
        old_arm || !image.arch.iter().any(|a| a == arch)
    };
    match platforms.iter().find(lacks) {
        None => Ok(()),
        Some(platform) => Err(Refusal::new(
            Reason::ImageUnknown,
            format!("distroless has no such image for {platform}"),
            "leave this platform on another base",
        )),
    }
}

/// Whether the working directory changes; then, whether and where to set it as it was.
fn folder(input: &Input, stage: &Stage, target: &Target) -> Result<Option<Option<String>>, Refusal> {
    let first = stage.body.clone().find(|i| input.file.instructions[*i].keyword == Keyword::Workdir);
    let before = first.unwrap_or(stage.body.end);
    let relative_dir = first.is_some_and(|i| !input.file.instructions[i].first().starts_with('/'));
    let relative_copy = (stage.body.start..before)
        .filter(|at| is_copy(input, *at))
        .any(|at| input.file.instructions[at].args().last().is_some_and(|d| !d.value.starts_with('/')));
    if first.is_some() && !relative_dir && !relative_copy {
        return Ok(None);
    }
    // a program alone has nothing to find in its working directory
    let alone = target.program.as_ref().is_some_and(|p| {
        let data =
            |d: &String| ["/etc/ssl", "/usr/share/zoneinfo", "/etc/ssl/certs"].iter().any(|k| covers(k, d));
        let it = |d: &String| d == p || crate::facts::parent(p) == d;
        stage.destinations.iter().all(|d| data(d) || it(d))
    });
    let plain =
        |a: &String| a.starts_with('/') || a.starts_with('-') && !a.contains('/') || !a.contains(['/', '.']);
    // what a stage of the file says is meant
    let said = inherited::sets_folder(input, stage.index);
    if first.is_none() && !relative_copy && !said && alone && stage.argv.iter().all(plain) {
        return Ok(Some(None));
    }
    let old = input.facts.before(stage.from).and_then(|s| s.cwd.clone());
    let old = old.ok_or_else(|| {
        Refusal::new(
            Reason::NotProven,
            "the working directory of the base image is not known",
            "set WORKDIR to an absolute path",
        )
    })?;
    Ok(Some(Some(old)))
}

/// The lines of a RUN that goes, with the comment above it if that is about it (nothing else follows it, or it names what the
/// RUN names), and one of the blank lines around it.
fn with_its_comment(input: &Input, at: usize) -> Span {
    let file = input.file;
    let mut span = file.instructions[at].full;
    let Some(k) = file.pieces.iter().position(|p| p.kind == PieceKind::Instruction(at)) else { return span };
    let kind = |i: usize| file.pieces.get(i).map(|p| p.kind);
    let alone = !matches!(kind(k + 1), Some(PieceKind::Instruction(_)));
    let mut first = k;
    while let Some(previous) = first.checked_sub(1).map(|i| &file.pieces[i]) {
        let text = previous.span.of(file.text());
        let about =
            alone || contains(text, b"hadolint") || shares_a_word(text, file.instructions[at].source());
        if previous.kind != PieceKind::Comment || !about {
            break;
        }
        first -= 1;
    }
    span.start = file.pieces[first].span.start;
    let blank_before = first.checked_sub(1).and_then(kind) == Some(PieceKind::Blank);
    if let (true, Some(next)) = (blank_before, file.pieces.get(k + 1).filter(|p| p.kind == PieceKind::Blank))
    {
        span.end = next.span.end;
    }
    span
}

/// Whether a comment has a word of three letters or more that the RUN has too, in the plural or not.
fn shares_a_word(comment: &[u8], run: &[u8]) -> bool {
    let lower = |t: &[u8]| String::from_utf8_lossy(t).to_lowercase();
    let (comment, run) = (lower(comment), lower(run));
    let mut words = comment
        .split(|c: char| !c.is_ascii_alphanumeric())
        .map(|w| w.trim_end_matches('s'))
        .filter(|w| w.len() > 2);
    words.any(|w| run.split_once(char::is_whitespace).is_some_and(|(_, rest)| rest.contains(w)))
}
