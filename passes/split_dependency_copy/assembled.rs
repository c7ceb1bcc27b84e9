//! An install whose folder is put together by several COPYs, or by one of single files: those that bring its manifests stay
//! before it, the others go behind.

use super::{
    Before, Broad, Found,
    between::{self, installs_of, overlapping, recognized},
    order, write,
};
use crate::{
    context::{Context, FileKind},
    ecosystem::{Ecosystems, Install, Needs, Recognized, Takes, needs_at},
    edit::Span,
    facts::{covers, join, parent, shift},
    graph::Stage,
    pass::{Finding, Input, Reason, Refusal},
    syntax::{Instruction, Keyword},
};

/// A COPY or ADD that brings a part of the install's folder.
pub(super) struct Piece {
    pub at: usize,
    pub sources: Vec<Source>,
    /// Absolute.
    pub target: String,
}

/// One source of it.
pub(super) struct Source {
    /// As it is written.
    pub text: String,
    /// What it brings of the context now.
    paths: Vec<String>,
    pub role: Role,
}

/// What a source brings.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    Manifests,
    Sources,
    Both,
}

/// What is made of the install.
pub(super) struct Assembly<'a> {
    pub input: &'a Input<'a>,
    pub pieces: Vec<Piece>,
    /// Its `at` is the first piece; its source and target are those of the folder as a whole.
    pub broad: Broad,
    pub found: Found,
    pub needs: Needs,
    /// What goes behind the install, or behind its early half.
    pub late: Context,
}

pub(super) fn in_stage(input: &Input, stage: &Stage) -> Option<Finding> {
    let first = stage.body.clone().find(|i| recognized(input, *i).is_some())?;
    let Recognized::Install(install) = recognized(input, first)? else { return None };
    let pieces = pieces(input, stage, first, &install)?;
    let begin = pieces.first()?.at;
    let span = input.file.instructions[begin].span.to(input.file.instructions[first].span);
    // where manifests come alone there is nothing to split
    let alone = pieces.iter().flat_map(|p| &p.sources).all(|s| role(s, &[]) == Role::Manifests);
    match assemble(input, stage, pieces, first) {
        Err(_) if alone => None,
        Ok(assembly) => match write::assembled(stage, &assembly?) {
            Ok((message, rewrite)) => Some(Finding::rewrite(span, message, rewrite)),
            Err(refusal) => Some(Finding::refuse(span, refusal)),
        },
        Err(refusal) => Some(Finding::refuse(span, refusal)),
    }
}

/// The COPYs before the install that bring something into its folder. None where one cannot be followed, or where they do not lay
/// the files out as they lie in the context.
fn pieces(input: &Input, stage: &Stage, install: usize, what: &Install) -> Option<Vec<Piece>> {
    let context = input.context?;
    let cwd = input.facts.before(install)?.cwd.clone()?;
    let read: Vec<String> =
        what.values(Takes::Reads).map(|(_, file)| parent(&join(&cwd, file)).to_owned()).collect();
    let folders = if read.is_empty() { vec![join(&cwd, what.dir.as_deref().unwrap_or("."))] } else { read };
    let mut out = Vec::new();
    let mut made: Vec<String> = Vec::new();
    for at in stage.body.start..install {
        let ins = &input.file.instructions[at];
        let state = input.facts.before(at)?;
        if ins.keyword == Keyword::Workdir {
            made.extend(input.facts.after(at)?.cwd.clone());
        }
        if !matches!(ins.keyword, Keyword::Copy | Keyword::Add) || ins.flag("from").is_some() {
            continue;
        }
        let (dst, words) = ins.args().split_last()?;
        let target = state.absolute(&dst.value, input.file.escape).filter(|v| !v.by_argument)?.text;
        if !folders.iter().any(|f| covers(&target, f) || covers(f, &target)) {
            continue;
        }
        let plain = |name: &str| matches!(name, "chown" | "chmod" | "link");
        if !ins.heredocs.is_empty() || !ins.flags().iter().all(|f| plain(&f.name)) {
            return None;
        }
        let sources =
            words.iter().map(|w| source(context, ins, &w.value)).collect::<Option<Vec<Source>>>()?;
        let is_dir = |p: &String| context.entry(p).is_some_and(|e| e.kind == FileKind::Dir);
        let one = matches!(sources.as_slice(), [s] if s.paths.len() == 1);
        let folder = dst.value == "." || dst.value.ends_with('/') || dst.value.ends_with("/.");
        let into = folder || made.iter().any(|m| covers(&target, m));
        for path in sources.iter().flat_map(|s| &s.paths) {
            let name = path.rsplit('/').next().unwrap_or(path);
            let lands = match (is_dir(path), into) {
                (true, _) => target.clone(),
                (false, true) => join(&target, name),
                // a file under another name, or several in a place that is no folder yet
                (false, false) if !one || !target.ends_with(&format!("/{name}")) => return None,
                (false, false) => target.clone(),
            };
            made.push(if is_dir(path) || into { target.clone() } else { parent(&target).to_owned() });
            out.push((shift(path, &lands), at));
        }
        if sources.is_empty() {
            return None;
        }
    }
    let (whole, _) = out.first().cloned()?;
    if out.iter().any(|(s, _)| *s != whole) {
        return None;
    }
    let mut ats: Vec<usize> = out.into_iter().map(|(_, at)| at).collect();
    ats.dedup();
    let piece = |at: usize| {
        let ins = &input.file.instructions[at];
        let (dst, words) = ins.args().split_last()?;
        let sources = words.iter().map(|w| source(context, ins, &w.value)).collect::<Option<Vec<_>>>()?;
        let target = input.facts.before(at)?.absolute(&dst.value, input.file.escape)?.text;
        Some(Piece { at, sources, target })
    };
    ats.into_iter().map(piece).collect()
}

/// None where what it brings cannot be told.
fn source(context: &Context, ins: &Instruction, text: &str) -> Option<Source> {
    if text.contains(['$', ' ', '"', '\'', '\\']) {
        return None;
    }
    let paths = context.select(text).filter(|paths| !paths.is_empty())?;
    let adds = ins.keyword == Keyword::Add;
    let known = |path: &String| match context.entry(path)?.kind {
        FileKind::File => (!adds || !context.may_be_archive(path)).then_some(()),
        FileKind::Dir => Some(()),
        FileKind::Symlink | FileKind::Other => None,
    };
    paths.iter().all(|p| known(p).is_some()).then(|| Source {
        text: text.to_owned(),
        paths,
        role: Role::Sources,
    })
}

fn assemble<'a>(
    input: &'a Input<'a>,
    stage: &Stage,
    mut pieces: Vec<Piece>,
    at: usize,
) -> Result<Option<Assembly<'a>>, Refusal> {
    let (Some(context), Some(begin)) = (input.context, pieces.first()) else { return Ok(None) };
    let (path, lands) = (&begin.sources[0].paths[0], &begin.target);
    let is_dir = context.entry(path).is_some_and(|e| e.kind == FileKind::Dir);
    let name = path.rsplit('/').next().unwrap_or(path);
    let lands = match () {
        () if is_dir || lands.ends_with(&format!("/{name}")) => lands.clone(),
        () => join(lands, name),
    };
    let (source, target) = shift(path, &lands);
    let texts = |pieces: &[Piece], keep: fn(Role) -> bool| -> Vec<String> {
        let sources = pieces.iter().flat_map(|p| &p.sources);
        sources.filter(|s| keep(s.role)).map(|s| s.text.clone()).collect()
    };
    let whole = context.only(&texts(&pieces, |_| true));
    let broad = Broad { at: begin.at, source, target };
    if input.facts.stage(stage.index).windows
        || input.facts.stage(stage.index).image.as_ref().is_some_and(|i| i.onbuild)
    {
        return Ok(None);
    }
    let Some(found) = between::run(input, &broad, Some(&whole), at)? else { return Ok(None) };
    let later = found.installs.iter().map(|(i, _)| i.ecosystem.as_str());
    if later.clone().any(|e| (stage.body.start..at).any(|i| installs_of(input, i).contains(&e))) {
        return Ok(None);
    }
    let mut needs: Option<Needs> = None;
    for (install, place) in &found.installs {
        let next = match needs_at(install, &whole, place, Ecosystems::builtin()) {
            Ok(next) => next,
            // the manifest is made by a RUN, or comes with the base image: there is nothing to say
            Err(refusal) if refusal.reason == Reason::ContextMissing => return Ok(None),
            Err(refusal) => return Err(refusal),
        };
        needs = Some(super::union(needs, next));
    }
    let Some(needs) = needs else { return Ok(None) };
    let files = manifests_behind(input, stage, &broad, &whole, at, &needs);
    for source in pieces.iter_mut().flat_map(|p| &mut p.sources) {
        source.role = role(source, &files);
    }
    let late = texts(&pieces, |r| r != Role::Manifests);
    if late.is_empty() {
        return Ok(None);
    }
    one_owner(input, &pieces)?;
    let late = context.only(&late);
    Ok(Some(Assembly { input, pieces, broad, found, needs, late }))
}

/// What the install reads, and what further installs behind it read.
fn manifests_behind(
    input: &Input,
    stage: &Stage,
    broad: &Broad,
    whole: &Context,
    at: usize,
    needs: &Needs,
) -> Vec<String> {
    let runs = (at + 1..stage.body.end).filter(|i| input.file.instructions[*i].keyword == Keyword::Run);
    let later = runs.filter_map(|i| between::run(input, broad, Some(whole), i).ok()?);
    let all = later.flat_map(|f| f.installs);
    let read =
        all.filter_map(|(install, place)| needs_at(&install, whole, &place, Ecosystems::builtin()).ok());
    needs.files.iter().cloned().chain(read.flat_map(|n| n.files)).collect()
}

fn role(source: &Source, files: &[String]) -> Role {
    let below = |path: &str, dir: &str| path == dir || path.starts_with(&format!("{dir}/"));
    let named = |path: &str| {
        let name = path.rsplit('/').next().unwrap_or(path);
        // `config` is a folder
        let is_file = name.contains('.') || name.starts_with(|c: char| c.is_ascii_uppercase());
        is_file && Ecosystems::builtin().is_manifest(name)
    };
    let needed = |path: &String| named(path) || files.iter().any(|f| below(path, f));
    if source.paths.iter().all(needed) {
        return Role::Manifests;
    }
    // `package*.json` is meant for the manifests, whatever else it brings
    let name = source.text.rsplit('/').next().unwrap_or_default();
    let stem = name.find(['*', '?', '[']).unwrap_or(0);
    if stem > 2 && source.paths.iter().any(needed) {
        return Role::Manifests;
    }
    let holds = |path: &String| files.iter().any(|f| path.is_empty() || below(f, path) || below(path, f));
    if source.paths.iter().any(holds) { Role::Both } else { Role::Sources }
}

/// COPYs that change places must bring what they bring in the same way.
fn one_owner(input: &Input, pieces: &[Piece]) -> Result<(), Refusal> {
    let flags = |p: &Piece| {
        let ins = &input.file.instructions[p.at];
        let mut flags: Vec<String> = ins.flags().iter().map(crate::syntax::Flag::text).collect();
        flags.sort();
        flags
    };
    match pieces.windows(2).find(|w| flags(&w[0]) != flags(&w[1])) {
        None => Ok(()),
        Some(pair) => Err(overlapping(input, pair[1].at)),
    }
}

impl Assembly<'_> {
    pub fn instruction(&self, piece: &Piece) -> &Instruction {
        &self.input.file.instructions[piece.at]
    }

    /// What the sources of a piece with that role bring of the context now.
    pub fn brought<'p>(&self, piece: &'p Piece, role: Role) -> Vec<&'p String> {
        piece.sources.iter().filter(|s| s.role == role).flat_map(|s| &s.paths).collect()
    }

    /// Whether what goes late may cross all that stands between it and the instruction `end`.
    pub fn may_cross(&self, stage: &Stage, from: &[&Piece], end: usize) -> Result<(), Refusal> {
        let input = self.input;
        let Some(first) = from.first() else { return Ok(()) };
        for at in first.at + 1..end {
            let step = &input.file.instructions[at];
            let ours = self.pieces.iter().any(|p| p.at == at);
            match step.keyword {
                Keyword::Run
                    if between::run(input, &self.broad, None, at)?.is_some()
                        || !between::venvs(input, &self.broad, at).is_empty() =>
                {
                    return Err(order(step, "another install stands between"));
                }
                Keyword::Copy | Keyword::Add if !ours && !between::copy_apart(input, &self.broad, at) => {
                    return Err(overlapping(input, at));
                }
                Keyword::Env | Keyword::Arg
                    if from.iter().any(|p| p.at < at && super::names_variable(input, p.at, at)) =>
                {
                    return Err(order(step, "the COPY uses a variable that is set between"));
                }
                Keyword::Workdir => {
                    let path = input.facts.after(at).and_then(|s| s.cwd.clone()).unwrap_or_default();
                    let apart = !covers(&path, &self.broad.target) && !covers(&self.broad.target, &path);
                    if !apart && !self.is_made(stage, &path, at) {
                        return Err(order(step, "WORKDIR would make the folder that a COPY makes now"));
                    }
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Whether the folder `path` is made before instruction `at` by what stays there.
    pub fn is_made(&self, stage: &Stage, path: &str, at: usize) -> bool {
        let input = self.input;
        let by_workdir = (stage.body.start..at).any(|i| {
            let state = input.facts.after(i);
            input.file.instructions[i].keyword == Keyword::Workdir
                && state.and_then(|s| s.cwd.as_deref()).is_some_and(|cwd| covers(path, cwd))
        });
        let stays = |p: &&Piece| p.at < at && p.sources.iter().any(|s| s.role != Role::Sources);
        let lands =
            |p: &Piece| if self.is_file_name(p) { parent(&p.target).to_owned() } else { p.target.clone() };
        by_workdir || self.pieces.iter().filter(stays).any(|p| covers(path, &lands(p)))
    }

    /// Whether the destination is the name of the one file that comes.
    pub fn is_file_name(&self, piece: &Piece) -> bool {
        let dst = self.instruction(piece).args().last().map_or(".", |d| d.value.as_str());
        let [Source { paths, .. }] = piece.sources.as_slice() else { return false };
        let [path] = paths.as_slice() else { return false };
        let name = path.rsplit('/').next().unwrap_or(path);
        !dst.ends_with('/') && piece.target.ends_with(&format!("/{name}"))
    }
}

/// What stands of an instruction in the file: its lines, with the comment right above it.
pub(super) fn with_comment(input: &Input, at: usize) -> Span {
    let ins = &input.file.instructions[at];
    let pieces = &input.file.pieces;
    let place = pieces.iter().position(|p| p.span.contains(ins.span)).unwrap_or(0);
    let comments = pieces[..place].iter().rev().take_while(|p| p.kind == crate::syntax::PieceKind::Comment);
    comments.last().map_or(ins.full, |c| c.span.to(ins.full))
}

/// Whether the install can be cut where it must be.
pub(super) fn whole_or_cut(found: &Found) -> Result<(), Refusal> {
    match found.before {
        Before::Nothing => Ok(()),
        Before::Elements(_) | Before::Fixed => Err(Refusal::new(
            Reason::OrderObservable,
            "what its RUN does before the install may bring what the early command needs",
            "give it a RUN of its own",
        )),
    }
}
