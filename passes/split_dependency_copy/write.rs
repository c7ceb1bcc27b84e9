//! The edits of a split: the COPYs of the manifests, the moved COPY, an early command, and a line of the ignore file.

use super::{
    Before, Broad, Split,
    assembled::{Assembly, Piece, Role, whole_or_cut, with_comment},
    between::{begins_with_a_builder, copy_apart},
};
use crate::{
    context::{Context, FileKind},
    ecosystem::{Needs, Overlay, overlay},
    edit::{Change, EditSet, Edits, Span},
    facts::{Run, covers, join, parent},
    graph::Stage,
    pass::{Assumption, Effect, Input, Level, Reason, Refusal, Rewrite},
    syntax::{Instruction, Keyword, PieceKind},
};

pub(super) fn edits(input: &Input, stage: &Stage, split: &Split) -> Result<(String, Rewrite), Refusal> {
    let Split { broad, found, needs, context, .. } = split;
    let file = input.file;
    let newline = file.line_end();
    let copy = &file.instructions[broad.at];
    let indent = String::from_utf8_lossy(copy.indent()).into_owned();
    let manifests = manifest_copies(input, split)?;
    let mut rewrite = begun(input, needs, context)?;
    let lines = manifests.join(&format!("{newline}{indent}"));
    let out = &mut rewrite.edits.dockerfile;
    let commands: Vec<&str> =
        found.iter().flat_map(|f| f.installs.iter().map(|(i, _)| i.command.as_str())).collect();
    if let Some(early) = &needs.early {
        add_early(input, stage, split, early, &lines, &mut rewrite)?;
        return Ok((message(needs, early), rewrite));
    }
    let Some(last) = found.last() else {
        return Err(Refusal::new(Reason::NotProven, "there is no install", "nothing"));
    };
    let install = &file.instructions[last.at];
    let mut moved = moved_copy(input, broad, last.at)?;
    out.replace(copy.span, lines);
    // what is said of the copying of sources goes with it
    let comment = Span { start: with_comment(input, broad.at).start, end: copy.full.start };
    let said = String::from_utf8_lossy(comment.of(file.text())).into_owned();
    if speaks_of_sources(&said) {
        out.delete(comment);
        let blank = file.pieces.iter().any(|p| p.kind == PieceKind::Blank && p.span.start == copy.full.end);
        let blank = if blank { newline } else { "" };
        moved = format!("{blank}{}{indent}{moved}", said.strip_prefix(indent.as_str()).unwrap_or(&said));
    }
    match last.elements {
        None => {
            let at = install.full.end;
            let ends = file.text()[..at as usize].ends_with(b"\n");
            let text =
                if ends { format!("{indent}{moved}{newline}") } else { format!("{newline}{indent}{moved}") };
            out.insert(at, text);
        }
        Some(n) => {
            let gap = gap(input, last.at, n)?;
            let flags = flags_text(install);
            out.replace(gap, format!("{newline}{indent}{moved}{newline}{indent}RUN {flags}"));
        }
    }
    rewrite.effects.extend(commands.iter().map(|c| Effect::CommandMoved { command: (*c).to_owned() }));
    Ok((message(needs, &commands.join("`, `")), rewrite))
}

/// The install stays where it is; `early` is added before the sources come.
fn add_early(
    input: &Input,
    stage: &Stage,
    split: &Split,
    command: &str,
    lines: &str,
    rewrite: &mut Rewrite,
) -> Result<(), Refusal> {
    let Split { broad, found, needs, fixed, stuck, .. } = split;
    let file = input.file;
    let newline = file.line_end();
    let copy = &file.instructions[broad.at];
    let indent = String::from_utf8_lossy(copy.indent()).into_owned();
    let Some(step) = found.first() else {
        return Err(Refusal::new(Reason::NotProven, "there is no install", "nothing"));
    };
    let install = &file.instructions[step.at];
    early_level(input, stage, needs, install, rewrite)?;
    let alone = found.iter().all(|f| f.elements.is_none());
    let repeats = found.iter().flat_map(|f| &f.installs).any(|(i, _)| command.contains(&i.command));
    if repeats && !alone {
        return Err(needs_all());
    }
    let flags = flags_text(install);
    let out = &mut rewrite.edits.dockerfile;
    // the early command runs under the same state as the install, and after all that may bring the tool; a COPY into the same
    // place brings none
    let stays = |at: usize| match file.instructions[at].keyword {
        Keyword::Copy | Keyword::Add => !copy_apart(input, broad, at),
        Keyword::Run => stuck.is_some() && begins_with_a_builder(input, at),
        keyword => matches!(keyword, Keyword::Label | Keyword::Expose),
    };
    let brings = |at: &usize| {
        let ins = &file.instructions[*at];
        let copies = matches!(ins.keyword, Keyword::Copy | Keyword::Add) && !copy_apart(input, broad, *at);
        copies && !lands_beside(input, split, *at)
    };
    if let Some(copy) = (broad.at + 1..step.at).find(brings) {
        return Err(super::overlapping(input, copy));
    }
    let early = format!("RUN {flags}{command}");
    let between = !(broad.at + 1..step.at).all(stays);
    if let Some((_, why)) = stuck.as_ref().filter(|_| between || step.before != Before::Nothing) {
        return Err(why.clone());
    }
    if let Some(copy) = fixed.filter(|_| between || step.before != Before::Nothing) {
        return Err(super::overlapping(input, copy));
    }
    if let Before::Elements(n) = step.before {
        // what the RUN does first gets a RUN of its own
        let moved = moved_copy(input, broad, step.at - 1)?;
        out.replace(copy.span, lines.to_owned());
        let next = format!("{newline}{indent}");
        out.replace(gap(input, step.at, n)?, format!("{next}{early}{next}{moved}{next}RUN {flags}"));
    } else if step.before == Before::Fixed {
        return Err(Refusal::new(
            Reason::OrderObservable,
            "what its RUN does before the install may bring what the early command needs",
            "give it a RUN of its own",
        ));
    } else if !between {
        let at = with_comment(input, broad.at).start;
        out.insert(at, format!("{indent}{lines}{newline}{indent}{early}{newline}"));
    } else {
        let moved = moved_copy(input, broad, step.at - 1)?;
        out.replace(copy.span, lines.to_owned());
        let at = with_comment(input, step.at).start;
        out.insert(at, format!("{indent}{early}{newline}{indent}{moved}{newline}"));
    }
    rewrite.effects.push(Effect::CommandAdded { command: command.to_owned() });
    Ok(())
}

/// A rewrite with what the install needs, and no edits of the Dockerfile yet. `context` is what is copied behind the install.
fn begun(input: &Input, needs: &Needs, context: &Context) -> Result<Rewrite, Refusal> {
    let mut rewrite = Rewrite {
        level: needs.level,
        evidence: needs.evidence.clone(),
        assumes: needs.assumes.clone(),
        effects: Vec::new(),
        edits: Edits::default(),
    };
    guard(input, needs, context, &mut rewrite)?;
    if context.is_guess() {
        rewrite.assumes.push(Assumption::ContextIsTheBuilt);
    }
    Ok(rewrite)
}

/// The edits where several COPYs put the folder together.
pub(super) fn assembled(stage: &Stage, assembly: &Assembly) -> Result<(String, Rewrite), Refusal> {
    let Assembly { input, pieces, found, needs, late, .. } = assembly;
    let (file, newline) = (input.file, input.file.line_end());
    let mut rewrite = begun(input, needs, late)?;
    let install = &file.instructions[found.at];
    let indent = String::from_utf8_lossy(install.indent()).into_owned();
    let commands: Vec<&str> = found.installs.iter().map(|(i, _)| i.command.as_str()).collect();
    let brings = |p: &&Piece, role: Role| p.sources.iter().any(|s| s.role == role);
    let moving: Vec<&Piece> =
        pieces.iter().filter(|p| brings(p, Role::Sources) || brings(p, Role::Both)).collect();
    let Some(command) = &needs.early else {
        assembly.may_cross(stage, &moving, found.at)?;
        let moved = take_out(assembly, stage, &moving, found.at, &mut rewrite)?;
        let out = &mut rewrite.edits.dockerfile;
        match found.elements {
            None => {
                let at = install.full.end;
                let ends = file.text()[..at as usize].ends_with(b"\n");
                let text = if ends { moved } else { format!("{newline}{}", moved.trim_end()) };
                out.insert(at, text);
            }
            Some(n) => {
                let gap = gap(input, found.at, n)?;
                out.replace(gap, format!("{newline}{moved}{indent}RUN {}", flags_text(install)));
            }
        }
        rewrite.effects.extend(commands.iter().map(|c| Effect::CommandMoved { command: (*c).to_owned() }));
        let what = commands.join("`, `");
        return Ok((message(needs, &what), rewrite));
    };
    early_level(input, stage, needs, install, &mut rewrite)?;
    whole_or_cut(found)?;
    let repeats = commands.iter().any(|c| command.contains(c));
    if repeats && found.elements.is_some() {
        return Err(needs_all());
    }
    let early = format!("{indent}RUN {}{command}{newline}", flags_text(install));
    let last =
        pieces.iter().filter(|p| !p.sources.iter().all(|s| s.role == Role::Sources)).map(|p| p.at).max();
    let idle = |at: usize| match file.instructions[at].keyword {
        Keyword::Copy | Keyword::Add => pieces.iter().any(|p| p.at == at),
        keyword => matches!(keyword, Keyword::Label | Keyword::Expose),
    };
    let begin = moving.first().map_or(found.at, |p| p.at);
    let place = if last.is_none_or(|l| l < begin) && (begin..found.at).all(idle) {
        with_comment(input, begin).start
    } else {
        assembly.may_cross(stage, &moving, found.at)?;
        let moved = take_out(assembly, stage, &moving, found.at - 1, &mut rewrite)?;
        let place = with_comment(input, found.at).start;
        rewrite.edits.dockerfile.insert(place, format!("{early}{moved}"));
        rewrite.effects.push(Effect::CommandAdded { command: command.clone() });
        return Ok((message(needs, command), rewrite));
    };
    rewrite.edits.dockerfile.insert(place, early);
    rewrite.effects.push(Effect::CommandAdded { command: command.clone() });
    Ok((format!("run `{command}` before the sources come"), rewrite))
}

fn message(needs: &Needs, command: &str) -> String {
    format!("copy {} and run `{command}` before the sources come", names(&needs.files))
}

/// Whether a comment is about the sources that a COPY brings, and not about the dependencies.
fn speaks_of_sources(comment: &str) -> bool {
    let said = comment.to_ascii_lowercase();
    let any = |words: &[&str]| words.iter().any(|w| said.contains(w));
    any(&["copy", "code", "source", "add ", "everything"])
        && !any(&["depend", "install", "manifest", "package", "require"])
}

/// Takes the sources out of their COPYs; what is to stand behind the instruction `last` instead, as whole lines.
fn take_out(
    assembly: &Assembly,
    stage: &Stage,
    moving: &[&Piece],
    last: usize,
    rewrite: &mut Rewrite,
) -> Result<String, Refusal> {
    let Assembly { input, broad, needs, .. } = assembly;
    let newline = input.file.line_end();
    let mut moved = String::new();
    for piece in moving {
        let ins = assembly.instruction(piece);
        let indent = String::from_utf8_lossy(ins.indent()).into_owned();
        let own = Broad { at: piece.at, source: broad.source.clone(), target: piece.target.clone() };
        let whole = moved_copy(input, &own, last)?;
        let of = |keep: fn(Role) -> bool| -> Vec<&str> {
            piece.sources.iter().filter(|s| keep(s.role)).map(|s| s.text.as_str()).collect()
        };
        let (stay, go) = (of(|r| r == Role::Manifests), of(|r| r != Role::Manifests));
        let dst = ins.args().last().map_or(".", |d| d.value.as_str());
        let mut lines = Vec::new();
        if !stay.is_empty() {
            lines.push(format!("{} {}{} {dst}", ins.keyword.name(), flags_text(ins), stay.join(" ")));
        }
        // manifests among other things come by their names
        let among = assembly.brought(piece, Role::Both);
        let mut groups: Vec<(String, Vec<&str>)> = Vec::new();
        for file in needs.files.iter().filter(|f| among.iter().any(|p| within(p, f))) {
            let Some(lands) = through(broad, file) else { continue };
            let is_dir = input.context.and_then(|c| c.entry(file)).is_some_and(|e| e.kind == FileKind::Dir);
            let folder = if is_dir { lands.as_str() } else { parent(&lands) };
            let to = match dst {
                "." if folder == piece.target => "./".to_owned(),
                dst if dst.ends_with('/') && folder == piece.target => dst.to_owned(),
                _ => format!("{}/", folder.trim_end_matches('/')),
            };
            match groups.iter_mut().find(|(t, _)| *t == to && !is_dir) {
                Some((_, files)) => files.push(file),
                None => groups.push((to, vec![file])),
            }
        }
        let copy =
            |(to, files): &(String, Vec<&str>)| format!("COPY {}{} {to}", flags_text(ins), files.join(" "));
        lines.extend(groups.iter().map(copy));
        let text = if stay.is_empty() {
            whole
        } else {
            // the words that go, and the destination as it is written there
            let dst = whole.split_whitespace().next_back().filter(|_| !ins.is_exec()).unwrap_or(dst);
            format!("{} {}{} {dst}", ins.keyword.name(), flags_text(ins), go.join(" "))
        };
        let out = &mut rewrite.edits.dockerfile;
        if lines.is_empty() {
            let span = with_comment(input, piece.at);
            let comment = &input.file.text()[span.start as usize..ins.full.start as usize];
            moved.push_str(&String::from_utf8_lossy(comment));
            out.delete(span);
        } else {
            out.replace(ins.span, lines.join(&format!("{newline}{indent}")));
        }
        moved.push_str(&format!("{indent}{text}{newline}"));
    }
    // what stays may have come into a folder that the others made
    for piece in assembly.pieces.iter().filter(|p| p.sources.iter().all(|s| s.role == Role::Manifests)) {
        let ins = assembly.instruction(piece);
        let Some(dst) = ins.args().last() else { continue };
        let is_folder = dst.value == "." || dst.value.ends_with('/') || assembly.is_file_name(piece);
        if !is_folder && !assembly.is_made(stage, &piece.target, piece.at) {
            if ins.is_exec() {
                return Err(super::overlapping(input, piece.at));
            }
            rewrite.edits.dockerfile.insert(dst.span.end, "/");
        }
    }
    Ok(moved)
}

/// Whether a path of the context is `dir`, or lies below it.
fn within(dir: &str, path: &str) -> bool {
    covers(&format!("/{dir}"), &format!("/{path}"))
}

/// Where a file of the context lands.
fn through(broad: &Broad, file: &str) -> Option<String> {
    let inner =
        if broad.source.is_empty() { Some(file) } else { file.strip_prefix(&format!("{}/", broad.source)) };
    Some(join(&broad.target, inner?))
}

/// An early command may fill folders of a stage that ships with more than the build needs, and gains nothing behind a cache mount.
fn early_level(
    input: &Input,
    stage: &Stage,
    needs: &Needs,
    install: &Instruction,
    rewrite: &mut Rewrite,
) -> Result<(), Refusal> {
    if input.facts.stage(stage.index).ships && !needs.fills.is_empty() {
        rewrite.level = Level::Review;
        rewrite.evidence.push(format!(
            "{} may grow: the early command fetches more than the build needs",
            needs.fills.join(" and ")
        ));
    }
    if install.flags().iter().any(|f| f.value.as_deref().is_some_and(|v| v.contains("type=cache"))) {
        return Err(Refusal::new(
            Reason::NoGain,
            "a cache mount keeps what the install fetches already",
            "nothing: the mount does what the split would do",
        ));
    }
    Ok(())
}

fn needs_all() -> Refusal {
    Refusal::new(
        Reason::ManifestUnsuited,
        "what follows the install in its RUN needs the sources and all that the install makes of them",
        "put the install into a RUN of its own",
    )
}

/// Whether COPY `at` cannot bring another version of a manifest.
fn lands_beside(input: &Input, split: &Split, at: usize) -> bool {
    let ins = &input.file.instructions[at];
    let dst = ins.args().last().and_then(|d| input.facts.before(at)?.absolute(&d.value, input.file.escape));
    let Some(dst) = dst.filter(|d| !d.by_argument) else { return false };
    split.needs.files.iter().all(|file| {
        let inner = file.strip_prefix(&split.broad.source).unwrap_or(file).trim_start_matches('/');
        let lands = join(&split.broad.target, inner);
        !covers(&dst.text, &lands) && !covers(&lands, &dst.text)
    })
}

fn names(files: &[String]) -> String {
    match files {
        [] => "nothing".to_owned(),
        [one] => one.clone(),
        [init @ .., last] if files.len() < 5 => format!("{} and {last}", init.join(", ")),
        [first, ..] => format!("{first} and {} others", files.len() - 1),
    }
}

/// What stands between element `n` of the list of RUN `at` and the one before it.
fn gap(input: &Input, at: usize, n: usize) -> Result<Span, Refusal> {
    let script = input.facts.run(at).and_then(Run::understood);
    let list = script.and_then(|s| Some((s, s.and_list()?)));
    let Some((script, list)) = list.filter(|(_, l)| n < l.len()) else {
        return Err(Refusal::new(
            Reason::ShellOpaque,
            "the RUN cannot be cut in two",
            "put the install into a RUN of its own",
        ));
    };
    Ok(Span { start: script.in_file(list[n - 1].span).end, end: script.in_file(list[n].span).start })
}

/// The flags of an instruction as they are written, with a blank behind them.
fn flags_text(ins: &Instruction) -> String {
    ins.flags().iter().map(|f| format!("{} ", f.text())).collect()
}

/// The broad COPY as it stands behind the install: the same words, but an absolute destination where WORKDIR came between.
pub(super) fn moved_copy(input: &Input, broad: &Broad, last: usize) -> Result<String, Refusal> {
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
fn guard(input: &Input, needs: &Needs, context: &Context, rewrite: &mut Rewrite) -> Result<(), Refusal> {
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
