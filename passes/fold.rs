//! What the folds of owners and modes share: changes that RUNs make, what COPYs bring and where, and how an element leaves its RUN.

use std::collections::BTreeSet;

use crate::{
    context::FileKind,
    edit::{EditSet, Span},
    facts::{Form, Run, contains, covers, join, parent},
    knowledge::{Class, Paths},
    pass::{Input, Reason, Refusal},
    shell::{NodeKind, Script, Simple, Word, leak},
    syntax::{Instruction, Keyword},
};

/// How many files of a build context are looked at.
const FILES: usize = 50_000;

/// One `chown`, `chgrp` or `chmod` that is an element of a list joined by `&&`.
pub(super) struct Change {
    pub stage: usize,
    pub run: usize,
    /// Its place in the list.
    pub element: usize,
    pub program: String,
    pub recursive: bool,
    /// The owner or mode, expanded.
    pub spec: String,
    /// Absolute.
    pub paths: Vec<String>,
}

/// What a COPY or ADD brings.
#[derive(Clone)]
pub(super) struct Copy {
    pub at: usize,
    /// Absolute.
    pub dst: String,
    /// Whether the destination is a folder for certain.
    pub into: bool,
    /// From another stage or image.
    pub from: bool,
    /// Where its files land, if all its sources are regular files that are known.
    pub files: Option<Vec<String>>,
}

/// The changes by one of `programs` of each RUN that comes after a COPY of its stage, or why one cannot be read.
pub(super) fn changes(input: &Input, programs: &[&str]) -> Vec<(usize, Result<Change, Refusal>)> {
    let mut out = Vec::new();
    for stage in input.graph.stages() {
        let keyword = |at: usize| input.file.instructions[at].keyword;
        let Some(first) = stage.body.clone().find(|at| matches!(keyword(*at), Keyword::Copy | Keyword::Add))
        else {
            continue;
        };
        for run in (first..stage.body.end).filter(|at| keyword(*at) == Keyword::Run) {
            let source = input.file.instructions[run].source();
            if programs.iter().any(|p| contains(source, p.as_bytes())) {
                out.extend(in_run(input, stage.index, run, programs).into_iter().map(|c| (run, c)));
            }
        }
    }
    out
}

fn in_run(input: &Input, stage: usize, run: usize, programs: &[&str]) -> Vec<Result<Change, Refusal>> {
    let opaque = |message: &str, unlock: &str| Err(Refusal::new(Reason::ShellOpaque, message, unlock));
    if input.facts.stage(stage).windows {
        let message = "the image is Windows, where COPY sets neither owner nor mode";
        return vec![Err(Refusal::new(Reason::Windows, message, "nothing"))];
    }
    let script = match input.facts.run(run) {
        Some(Run { form: Form::Exec, .. }) => {
            return vec![opaque("an exec form is not read", "write it in the shell form")];
        }
        Some(Run { form: Form::Heredoc, .. }) => {
            return vec![opaque("a heredoc is not read", "write a list joined by `&&`")];
        }
        Some(read) => match read.understood() {
            Some(script) if !script.has_heredoc() => script,
            _ => {
                return vec![opaque(
                    "the shell text cannot be read completely",
                    "check its quotes and operators",
                )];
            }
        },
        None => return Vec::new(),
    };
    let list = script.and_list();
    let mut out = Vec::new();
    for command in script.commands() {
        let base = command.simple.name().map(|n| n.rsplit('/').next().unwrap_or(n));
        let is_one = base.is_some_and(|b| programs.contains(&b));
        let hides = |w: &Word| {
            w.literal().is_some_and(|l| programs.iter().any(|p| l == *p || l.ends_with(&format!("/{p}"))))
        };
        if !is_one && !command.simple.words.iter().any(hides) {
            continue;
        }
        let same = |kind: &NodeKind| matches!(kind, NodeKind::Simple(s) if std::ptr::eq(s, command.simple));
        let at = list.as_ref().and_then(|l| l.iter().position(|n| same(&n.kind)));
        out.push(match at {
            _ if !is_one && !matches!(base, Some("find" | "xargs" | "sudo" | "gosu" | "su-exec" | "exec")) => continue,
            _ if !is_one => opaque("another command runs it, on what is not known here", "name the paths"),
            None if !meets_copy(input, stage, run, command.simple) => continue,
            None => opaque(
                "it is no plain element of a list joined by `&&`: it may not run, or its failure may be passed over",
                "write the RUN as a list joined by `&&`",
            ),
            Some(element) => read(input, stage, run, script, element, command.simple),
        });
    }
    out
}

/// Whether a command may name something that a COPY before brings.
fn meets_copy(input: &Input, stage: usize, run: usize, simple: &Simple) -> bool {
    let cwd = input.facts.before(run).and_then(|s| s.cwd.clone());
    let paths: Option<Vec<String>> = input.facts.argv(run, simple).and_then(|argv| {
        let path = |p: &String| {
            if p.starts_with('/') { Some(join("/", p)) } else { cwd.as_deref().map(|c| join(c, p)) }
        };
        argv[1..].iter().filter(|w| !w.starts_with('-')).skip(1).map(path).collect()
    });
    let Some(paths) = paths else { return true };
    let body = input.graph.stages()[stage].body.start..run;
    body.filter(|at| matches!(input.file.instructions[*at].keyword, Keyword::Copy | Keyword::Add)).any(|at| {
        let known = input.facts.writes(at);
        !known.is_known()
            || known.known().iter().any(|w| paths.iter().any(|p| covers(p, &w.path) || covers(&w.path, p)))
    })
}

fn read(
    input: &Input,
    stage: usize,
    run: usize,
    script: &Script,
    element: usize,
    simple: &Simple,
) -> Result<Change, Refusal> {
    let refuse = |reason, message: &str, unlock: &str| Err(Refusal::new(reason, message, unlock));
    if !simple.assigns.is_empty() || !simple.redirects.is_empty() {
        return refuse(Reason::ShellOpaque, "it has redirects or assignments", "remove them");
    }
    let Some(argv) = input.facts.argv(run, simple) else {
        if simple.words.iter().any(|w| w.substitution) {
            return refuse(
                Reason::ShellOpaque,
                "its words are computed when it runs",
                "write the owner and the paths themselves",
            );
        }
        return refuse(
            Reason::VariableUnresolved,
            "a variable in it has no fixed value",
            "write its value, or set it by ENV",
        );
    };
    let program = argv[0].rsplit('/').next().unwrap_or_default().to_owned();
    let (mut recursive, mut operands, mut ended) = (false, Vec::new(), false);
    for word in &argv[1..] {
        let is_mode = program == "chmod" && word.len() > 1 && word[1..].chars().all(|c| "rwxXst".contains(c));
        match word.as_str() {
            "--" => ended = true,
            w if ended || !w.starts_with('-') || w == "-" || is_mode && operands.is_empty() => {
                operands.push(w.to_owned())
            }
            "--recursive" => recursive = true,
            "--no-dereference" | "--quiet" | "--silent" | "--verbose" | "--changes" => {}
            w if !w.starts_with("--") && w[1..].chars().all(|c| "Rhvcf".contains(c)) => {
                recursive |= w.contains('R')
            }
            w => {
                return refuse(
                    Reason::ShellOpaque,
                    &format!("its option {w} is not one that is translated"),
                    "do without it",
                );
            }
        }
    }
    if operands.len() < 2 {
        return refuse(Reason::ShellOpaque, "it lacks an owner or a path", "name both");
    }
    let spec = operands.remove(0);
    let Some(list) = script.and_list() else {
        return refuse(Reason::ShellOpaque, "it is no element of a list", "write a list joined by `&&`");
    };
    if !script.comments().is_empty() {
        return refuse(
            Reason::ShellOpaque,
            "a shell comment stands in the RUN",
            "put it on a line of its own, before RUN",
        );
    }
    let errexit = input.facts.run(run).and_then(|r| r.shell).is_some_and(|s| s.errexit);
    let plain = |k: &NodeKind| matches!(k, NodeKind::Simple(_) | NodeKind::Pipeline { .. });
    let leaks = list.iter().take(list.len() - 1).find_map(|n| leak(n));
    if list.len() > 1
        && let Some(leak) = leaks
    {
        let message = format!("a command beside it in the RUN {}", leak.text());
        return refuse(Reason::StateLeaks, &message, "write it as a RUN of its own, with absolute paths");
    }
    if errexit && !list.iter().all(|n| plain(&n.kind)) {
        return refuse(
            Reason::StateLeaks,
            "the shell runs with -e, and the RUN is no plain list",
            "write it as a RUN of its own",
        );
    }
    if input.facts.run(run).is_some_and(|r| !r.flags.is_empty()) {
        return refuse(
            Reason::MountsDiffer,
            "the RUN has mounts or other flags",
            "write it as a RUN of its own, without flags",
        );
    }
    let cwd = input.facts.before(run).and_then(|s| s.cwd.clone());
    let mut paths = Vec::new();
    for path in operands {
        let plain = |c: char| c.is_ascii_alphanumeric() || "/._@%+,:=-".contains(c);
        if path.contains(['*', '?', '[', '{', '~']) {
            return refuse(
                Reason::NotProven,
                &format!("{path} is a pattern, which leaves out hidden files and the folder itself"),
                "name the folder in the place of the pattern, if all of it is meant",
            );
        }
        let absolute = match (&cwd, path.starts_with('/')) {
            (_, true) => join("/", &path),
            (Some(cwd), false) => join(cwd, &path),
            (None, false) => {
                return refuse(
                    Reason::VariableUnresolved,
                    "the working directory is not known",
                    "name the path from `/` on",
                );
            }
        };
        if !path.chars().all(plain) {
            return refuse(
                Reason::ShellOpaque,
                &format!("{path} has characters that a shell reads"),
                "rename it",
            );
        }
        if LINKS.iter().any(|l| covers(l, &absolute))
            && !follows_its_copy(input, stage, run, element, &absolute, recursive)
        {
            return refuse(
                Reason::NotProven,
                &format!("{absolute} may lead through a symlink of the base image"),
                "name the folder that the link leads to",
            );
        }
        paths.push(absolute);
    }
    Ok(Change { stage, run, element, program, recursive, spec, paths })
}

/// Whether a single file is changed right behind the COPY that puts it there, by the same path: whatever that leads through, it is the
/// same file.
fn follows_its_copy(
    input: &Input,
    stage: usize,
    run: usize,
    element: usize,
    path: &str,
    recursive: bool,
) -> bool {
    let config = |at: &usize| {
        let keyword = input.file.instructions[*at].keyword;
        matches!(
            keyword,
            Keyword::Label | Keyword::Expose | Keyword::Cmd | Keyword::Entrypoint | Keyword::Env
        )
    };
    let before = (input.graph.stages()[stage].body.start..run).rev().find(|at| !config(at));
    let Some(at) = before.filter(|_| element == 0 && !recursive) else { return false };
    let is_copy = matches!(input.file.instructions[at].keyword, Keyword::Copy | Keyword::Add);
    is_copy
        && copy(input, at, &|p| LINKS.contains(&p))
            .is_some_and(|c| c.files.is_some_and(|f| f.iter().any(|f| f == path)))
}

/// Folders that are symlinks in many images: the merged /usr, and what moved to /run (Filesystem Hierarchy Standard 3.0, 3.15 and 5.13).
const LINKS: [&str; 9] =
    ["/bin", "/sbin", "/lib", "/lib32", "/lib64", "/var/run", "/var/lock", "/usr/tmp", "/usr/lib64"];

/// COPY or ADD `at`, as far as it is known; None where its destination is not. `is_folder` knows the folders that are there.
pub(super) fn copy(input: &Input, at: usize, is_folder: &dyn Fn(&str) -> bool) -> Option<Copy> {
    let ins = &input.file.instructions[at];
    let state = input.facts.before(at)?;
    let escape = input.file.escape;
    let (dst, sources) = ins.args().split_last()?;
    let written = state.expand(&dst.value, escape)?.text;
    let dst = state.absolute(&dst.value, escape)?.text;
    let folder = written.ends_with('/') || matches!(written.as_str(), "." | "..") || written.ends_with("/.");
    let found = sources_of(input, at).unwrap_or_default();
    let brings_folder = found.iter().any(|(_, kind)| *kind == FileKind::Dir);
    let into = folder || sources.len() > 1 || brings_folder || is_folder(&dst);
    let from = ins.flag("from").is_some();
    let mut files = Vec::new();
    let mut known = true;
    for (name, kind) in found {
        known &= kind == FileKind::File;
        let last = name.rsplit('/').next().unwrap_or(&name);
        files.push(if into { join(&dst, last) } else { dst.clone() });
    }
    let files = (known && !files.is_empty() && !from).then_some(files);
    Some(Copy { at, dst, into, from, files })
}

/// What the sources of COPY `at` name in the build context: path and kind. None if one is not known, or is not there.
pub(super) fn sources_of(input: &Input, at: usize) -> Option<Vec<(String, FileKind)>> {
    let ins = &input.file.instructions[at];
    let state = input.facts.before(at)?;
    let (_, sources) = ins.args().split_last()?;
    let mut out = Vec::new();
    for source in sources {
        if let Some(name) = source.value.strip_prefix("<<") {
            out.push((name.trim_matches(['-', '"', '\'']).to_owned(), FileKind::File));
            continue;
        }
        let context = input.context.filter(|_| ins.flag("from").is_none())?;
        let pattern = state.expand(&source.value, input.file.escape).filter(|v| !v.by_argument)?.text;
        let found = context.select(&pattern)?;
        if found.is_empty() {
            return None;
        }
        for path in found {
            let kind = if path.is_empty() { FileKind::Dir } else { context.entry(&path)?.kind };
            out.push((path, kind));
        }
    }
    Some(out)
}

/// Every file that COPY `at` brings of the build context, with its mode. None if that is not known.
pub(super) fn files_of(input: &Input, at: usize) -> Option<Vec<(String, FileKind, u32)>> {
    let context = input.context;
    let mut out = Vec::new();
    for (path, kind) in sources_of(input, at)? {
        match (kind, context) {
            (FileKind::File, Some(context)) if context.entry(&path).is_some() => {
                out.push((path.clone(), kind, context.entry(&path)?.mode))
            }
            // a heredoc
            (FileKind::File, _) => out.push((path, kind, 0o644)),
            (FileKind::Dir, Some(context)) => {
                let below = context.walk(&path, FILES)?;
                out.extend(below.into_iter().map(|(p, e)| (p, e.kind, e.mode)));
            }
            _ => return None,
        }
    }
    Some(out)
}

/// The file of the build context that COPY `copy` puts at `path`, with its mode; `Some(None)`: it brings nothing there. None if that is
/// not known.
pub(super) fn source_of(input: &Input, copy: &Copy, path: &str) -> Option<Option<(String, u32)>> {
    let ins = &input.file.instructions[copy.at];
    let plain = ins.flag("chmod").is_none() && ins.flag("exclude").is_none() && ins.flag("parents").is_none();
    let context = input.context.filter(|_| plain)?;
    let mut found = None;
    for (name, kind) in sources_of(input, copy.at)? {
        let last = name.rsplit('/').next().unwrap_or(&name);
        let source = match kind {
            FileKind::Dir => path
                .strip_prefix(copy.dst.trim_end_matches('/'))
                .and_then(|rest| rest.strip_prefix('/'))
                .map(|rest| join(&format!("/{name}"), rest).trim_start_matches('/').to_owned()),
            _ => (path == if copy.into { join(&copy.dst, last) } else { copy.dst.clone() }).then_some(name),
        };
        let Some(source) = source else { continue };
        // below a link nothing is told
        let links = |p: &str| context.entry(p).is_some_and(|e| e.kind != FileKind::Dir);
        if source.match_indices('/').any(|(i, _)| links(&source[..i])) {
            return None;
        }
        match context.entry(&source) {
            Some(entry) if entry.kind == FileKind::File => found = Some((source, entry.mode)),
            Some(_) => return None,
            None => {}
        }
    }
    Some(found)
}

/// Whether RUN `at`, up to element `until` of its list, may put another file at one of `paths`.
pub(super) fn rewrites(input: &Input, at: usize, until: Option<usize>, paths: &[String]) -> bool {
    let is_attribute = |s: &Simple| {
        matches!(s.name().map(|n| n.rsplit('/').next().unwrap_or(n)), Some("chmod" | "chown" | "chgrp"))
    };
    let Some(script) = input.facts.run(at).and_then(Run::understood) else { return true };
    let nodes: Vec<_> = match (script.and_list(), until) {
        (Some(list), until) => list.into_iter().take(until.unwrap_or(usize::MAX)).collect(),
        (None, _) => return paths.iter().any(|p| input.facts.writes(at).may_meet(p)),
    };
    nodes.into_iter().any(|node| {
        let kept = matches!(&node.kind, NodeKind::Simple(s) if is_attribute(s));
        let writes = input.facts.unit_writes(at, &String::from_utf8_lossy(script.text(node.span)));
        !kept && paths.iter().any(|p| writes.may_meet(p))
    })
}

/// Whether ADD `at` copies its sources as they are: folders, and files that are no archives.
pub(super) fn unpacks_nothing(input: &Input, at: usize) -> bool {
    let Some(context) = input.context else { return false };
    sources_of(input, at).is_some_and(|sources| {
        sources.iter().all(|(path, kind)| match kind {
            FileKind::Dir => true,
            FileKind::File => !context.may_be_archive(path),
            _ => false,
        })
    })
}

/// The commands of RUN `at` that run for certain, up to element `until` of its list; and what they and all others write.
pub(super) fn commands<'a>(input: &Input<'a>, at: usize, until: Option<usize>) -> Option<Vec<&'a Simple>> {
    let script = input.facts.run(at)?.understood()?;
    match until {
        None => Some(script.commands().into_iter().filter(|c| c.is_certain()).map(|c| c.simple).collect()),
        Some(n) => {
            let list = script.and_list()?;
            let simple = |n: &&'a crate::shell::Node| match &n.kind {
                NodeKind::Simple(s) => Some(s),
                _ => None,
            };
            list.into_iter().take(n).map(|n| simple(&n)).collect()
        }
    }
}

/// Whether nothing that RUN `at` does, up to element `until`, can tell who owns what lies at `path` and in which mode: root may do
/// all of it in either case.
/// `harmless` are the changes that may work on the same paths.
pub(super) fn is_blind(
    input: &Input,
    at: usize,
    until: Option<usize>,
    paths: &[String],
    harmless: &[&str],
) -> bool {
    let Some(simples) = (match until {
        None => input
            .facts
            .run(at)
            .and_then(Run::understood)
            .map(|s| s.commands().into_iter().map(|c| c.simple).collect()),
        Some(_) => commands(input, at, until),
    }) else {
        return false;
    };
    simples.into_iter().all(|simple: &Simple| {
        let Some(argv) = input.facts.argv(at, simple) else { return false };
        let Some(name) = argv.first().map(|n| n.rsplit('/').next().unwrap_or(n).to_owned()) else {
            return true;
        };
        if simple
            .redirects
            .iter()
            .any(|r| r.target.is_some() && r.kind != crate::shell::RedirectKind::Dup && !r.writes())
        {
            return false;
        }
        let facts = input.knowledge.command(&argv);
        match facts.class {
            Class::Packages | Class::Index | Class::Cleanup => true,
            Class::Config => match name.as_str() {
                "useradd" | "adduser" | "groupadd" | "addgroup" | "mkdir" | "ln" | "touch" | "rm"
                | "echo" | "printf" | "true" | ":" => true,
                "chmod" if argv.iter().any(|w| sets_special_bits(w)) => false,
                name if harmless.contains(&name) => true,
                "chown" | "chgrp" | "chmod" => match facts.writes {
                    Paths::Some(written) => {
                        let cwd = input.facts.before(at).and_then(|s| s.cwd.clone());
                        written.iter().all(|w| {
                            let w = w.strip_suffix("/**").unwrap_or(w);
                            let w = if w.starts_with('/') {
                                Some(join("/", w))
                            } else {
                                cwd.as_deref().map(|c| join(c, w))
                            };
                            w.is_some_and(|w| !paths.iter().any(|p| covers(p, &w) || covers(&w, p)))
                        })
                    }
                    _ => false,
                },
                _ => false,
            },
            _ => false,
        }
    })
}

/// Whether a mode has suid, sgid or sticky.
pub(super) fn sets_special_bits(mode: &str) -> bool {
    let octal = mode.chars().all(|c| c.is_digit(8));
    let symbolic = mode.contains(['+', '-', '=']) && !mode.starts_with("--") && !mode.contains('/');
    octal && mode.trim_start_matches('0').len() > 3 || symbolic && mode.contains(['s', 't'])
}

/// Folders that are there for certain before instruction `at` of a stage, apart from those of the base image.
pub(super) fn folders_before(input: &Input, stage: usize, at: usize) -> BTreeSet<String> {
    let mut out = BTreeSet::new();
    for at in input.graph.stages()[stage].body.start..at {
        let Some(state) = input.facts.before(at) else { continue };
        let ins = &input.file.instructions[at];
        let mut made = Vec::new();
        match ins.keyword {
            Keyword::Workdir => made.extend(state.absolute(ins.first(), input.file.escape).map(|v| v.text)),
            Keyword::Copy | Keyword::Add => {
                let copy = copy(input, at, &|p| out.contains(p) || input.facts.base_has_folder(stage, p));
                made.extend(copy.map(|c| if c.into { c.dst } else { parent(&c.dst).to_owned() }));
            }
            Keyword::Run => {
                for simple in commands(input, at, None).unwrap_or_default() {
                    let Some(argv) = input.facts.argv(at, simple) else { continue };
                    match argv.first().map(String::as_str) {
                        Some("cd") => break,
                        Some("mkdir") => {
                            let Paths::Some(paths) = input.knowledge.command(&argv).writes else { continue };
                            let plain = paths.iter().filter(|p| !p.contains(['*', '?', '[', '{', '~']));
                            let absolute = plain.filter_map(|p| {
                                if p.starts_with('/') {
                                    Some(join("/", p))
                                } else {
                                    Some(join(state.cwd.as_deref()?, p))
                                }
                            });
                            made.extend(absolute);
                        }
                        _ => {}
                    }
                }
            }
            _ => {}
        }
        for path in made {
            out.extend(above(&path).map(str::to_owned));
            out.insert(path);
        }
    }
    out
}

/// The folders above `path`, nearest first, without `/`.
pub(super) fn above(path: &str) -> impl Iterator<Item = &str> {
    std::iter::successors(Some(parent(path)), |p| Some(parent(p))).take_while(|p| *p != "/")
}

/// Puts `--name=value` into a COPY, in the place of a flag of that name.
pub(super) fn set_flag(edits: &mut EditSet, ins: &Instruction, name: &str, value: &str) {
    match ins.flag(name) {
        Some(flag) => edits.replace(flag.span, format!("--{name}={value}")),
        None => {
            let at = ins.flags().last().map_or(ins.detail().keyword_span.end, |f| f.span.end);
            edits.insert(at, format!(" --{name}={value}"));
        }
    }
}

/// Takes elements out of the list of a RUN, and the RUN with its lines if nothing of it is left. Comments within what goes move up
/// before the RUN.
pub(super) fn remove(edits: &mut EditSet, input: &Input, run: usize, element: usize) {
    let ins = &input.file.instructions[run];
    let spans = element_spans(input, run);
    let text = input.file.text();
    let gone = if spans.len() < 2 {
        ins.full
    } else if element == 0 {
        Span { start: spans[0].start, end: spans[1].start }
    } else if element + 1 < spans.len() && !leads(text, spans[element - 1].end, spans[element].start) {
        Span { start: spans[element].start, end: spans[element + 1].start }
    } else {
        Span { start: spans[element - 1].end, end: spans[element].end }
    };
    let newline = input.file.line_end();
    let first_line = gone.start == ins.full.start;
    let lines = gone.of(text).split(|b| *b == b'\n').skip(usize::from(!first_line));
    let comments: Vec<&[u8]> = lines.map(<[u8]>::trim_ascii).filter(|l| l.starts_with(b"#")).collect();
    let mut kept = Vec::new();
    for comment in comments {
        kept.extend_from_slice(ins.indent());
        kept.extend_from_slice(comment);
        kept.extend_from_slice(newline.as_bytes());
    }
    if gone == ins.full {
        edits.replace(gone, kept);
    } else {
        if !kept.is_empty() {
            edits.insert(ins.full.start, kept);
        }
        edits.delete(gone);
    }
}

/// Whether the operator between two elements stands at the start of a line, or both on one line.
fn leads(text: &[u8], from: u32, to: u32) -> bool {
    let between = &text[from as usize..to as usize];
    match (between.iter().position(|b| *b == b'\n'), memchr::memmem::find(between, b"&&")) {
        (Some(line), Some(operator)) => line < operator,
        _ => true,
    }
}

/// Where the elements of a RUN's list stand in the file.
pub(super) fn element_spans(input: &Input, run: usize) -> Vec<Span> {
    let script = input.facts.run(run).and_then(Run::understood);
    let spans = script.and_then(|s| Some(s.and_list()?.into_iter().map(|n| s.in_file(n.span)).collect()));
    spans.unwrap_or_default()
}

/// Adds `command` to the end of a RUN's list, laid out as the list is; false if the RUN is no list that takes one.
pub(super) fn append(edits: &mut EditSet, input: &Input, run: usize, command: &str) -> bool {
    let ins = &input.file.instructions[run];
    let read = input.facts.run(run);
    let Some(script) = read.and_then(Run::understood).filter(|s| !s.has_heredoc() && s.comments().is_empty())
    else {
        return false;
    };
    let Some(list) = script.and_list() else { return false };
    let plain = list
        .iter()
        .all(|n| matches!(n.kind, NodeKind::Simple(_) | NodeKind::Pipeline { .. }) && leak(n).is_none());
    if !plain || read.is_none_or(|r| r.form != Form::Shell || !r.flags.is_empty()) {
        return false;
    }
    let (text, newline, escape) = (input.file.text(), input.file.line_end(), input.file.escape as char);
    let spans = element_spans(input, run);
    let lines: Vec<&[u8]> = ins.source().split(|b| *b == b'\n').collect();
    if lines.len() < 2 {
        edits.insert(ins.span.end, format!(" && {command}"));
        return true;
    }
    let last = lines[lines.len() - 1];
    let indent = String::from_utf8_lossy(&last[..last.len() - last.trim_ascii_start().len()]).into_owned();
    let leading = spans.len() < 2 || leads(text, spans[spans.len() - 2].end, spans[spans.len() - 1].start);
    let glue = if leading {
        format!(" {escape}{newline}{indent}&& ")
    } else {
        format!(" && {escape}{newline}{indent}")
    };
    edits.insert(ins.span.end, format!("{glue}{command}"));
    true
}

/// The line of an instruction, for messages.
pub(super) fn line(input: &Input, at: usize) -> u32 {
    input.file.instructions[at].lines.0
}
