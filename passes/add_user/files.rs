//! Where a file of the image comes from, and what the text of the program says that it needs.

use std::collections::BTreeSet;

use super::{needs_root, unproved};
use crate::{
    context::FileKind,
    facts::{covers, join, parent},
    graph::Base,
    knowledge::signals::{Need, Place},
    pass::{Input, Reason, Refusal},
    syntax::{Instruction, Keyword},
};

/// Most entries of the context, and most files of a program, that are looked at.
const MAX_ENTRIES: usize = 20_000;
const MAX_FILES: usize = 1_000;
/// Longest line that is read: what is longer was written by a program.
const MAX_LINE: usize = 2_000;

/// Where a file of the image comes from.
pub(super) enum Origin {
    /// A file or folder of the build context.
    Context(String),
    /// It stands in the Dockerfile.
    Inline(String),
    /// A RUN of another stage makes it.
    Built,
    /// Another image.
    Image(String),
    /// From the context, which is not known.
    NoContext,
    Unknown,
}

/// What the texts of the program say.
#[derive(Default)]
pub(super) struct Program {
    /// How many files were read.
    pub files: usize,
    /// Folders and files that it writes, with the place that says so.
    pub writes: Vec<(String, String)>,
    /// It writes below its user's home: where that is said.
    pub home: Option<String>,
    /// How many files are in a language that is not read, and one of them.
    pub unread: (usize, String),
}

/// Stage `stage` and those that it starts from, the nearest first.
pub(super) fn chain(input: &Input, stage: usize) -> Vec<usize> {
    let mut out = vec![stage];
    let mut at = stage;
    while let Base::Stage(parent) = input.graph.stages()[at].base {
        out.push(parent);
        at = parent;
    }
    out
}

/// All stages that something of `stage` comes from, itself among them.
pub(super) fn feeding(input: &Input, stage: usize) -> BTreeSet<usize> {
    let mut out = BTreeSet::new();
    let mut open = vec![stage];
    while let Some(at) = open.pop() {
        for stage in chain(input, at) {
            if out.insert(stage) {
                open.extend(input.graph.stages()[stage].body.clone().flat_map(|i| input.graph.sources(i)));
            }
        }
    }
    out
}

/// Where `path` of the image of `stage` comes from: the last instruction that may have brought it decides.
pub(super) fn origin(input: &Input, stage: usize, path: &str) -> Origin {
    for stage in chain(input, stage) {
        for at in input.graph.stages()[stage].body.clone().rev() {
            let ins = &input.file.instructions[at];
            if matches!(ins.keyword, Keyword::Copy | Keyword::Add)
                && let Some(found) = brought(input, at, ins, path)
            {
                return found;
            }
        }
    }
    Origin::Unknown
}

/// `path`, if this COPY or ADD brings it.
fn brought(input: &Input, at: usize, ins: &Instruction, path: &str) -> Option<Origin> {
    let state = input.facts.before(at)?;
    let (dst, sources) = ins.args().split_last()?;
    let dst = state.absolute(&dst.value, input.file.escape)?.text;
    if !covers(&dst, path) {
        return None;
    }
    let below = path.strip_prefix(dst.as_str()).unwrap_or_default().trim_start_matches('/');
    let below = if dst == "/" { path.trim_start_matches('/') } else { below };
    if let Some(doc) = ins.heredocs.first() {
        return Some(Origin::Inline(String::from_utf8_lossy(doc.content.of(input.file.text())).into_owned()));
    }
    if let Some(from) = ins.flag("from") {
        let Some(&stage) = input.graph.sources(at).first() else {
            return Some(Origin::Image(from.value.clone().unwrap_or_default()));
        };
        for source in sources {
            let source = join("/", &state.expand(&source.value, input.file.escape)?.text);
            let names = source.rsplit('/').next() == below.split('/').next_back();
            let inner = if below.is_empty() || names { source } else { join(&source, below) };
            let found = origin(input, stage, &inner);
            if !matches!(found, Origin::Unknown) {
                return Some(found);
            }
        }
        return Some(Origin::Built);
    }
    let Some(context) = input.context else { return Some(Origin::NoContext) };
    for source in sources {
        let source = state.expand(&source.value, input.file.escape)?.text;
        for found in context.select(&source)? {
            let entry = context.entry(&found)?;
            let candidate = match entry.kind {
                FileKind::Dir if below.is_empty() => found,
                FileKind::Dir if found.is_empty() => below.to_owned(),
                FileKind::Dir => format!("{found}/{below}"),
                _ if below.is_empty() || found.rsplit('/').next() == Some(below) => found,
                _ => continue,
            };
            if context.entry(&candidate).is_some() {
                return Some(Origin::Context(candidate));
            }
        }
    }
    None
}

/// Reads the texts that the program is made of: what the stages take from the context.
pub(super) fn program(input: &Input, stage: usize) -> Result<Program, Refusal> {
    let shipped = chain(input, stage);
    let mut out = Program::default();
    let (mut seen, mut unread) = (BTreeSet::new(), BTreeSet::new());
    for from in feeding(input, stage) {
        for at in input.graph.stages()[from].body.clone() {
            let ins = &input.file.instructions[at];
            let copies = matches!(ins.keyword, Keyword::Copy | Keyword::Add) && ins.flag("from").is_none();
            if !copies || !input.graph.reads_context(at) {
                continue;
            }
            let Some(context) = input.context else {
                return Err(Refusal::new(
                    Reason::ContextMissing,
                    "what the program does cannot be read: the build context is not known",
                    "name it by --context",
                ));
            };
            let ships = shipped.contains(&from) && ins.flag("chmod").is_none();
            let (_, sources) = ins.args().split_last().unwrap_or((&ins.args()[0], &[]));
            for source in sources {
                let text = input.facts.before(at).and_then(|s| s.expand(&source.value, input.file.escape));
                let Some(text) = text.filter(|t| !t.text.contains("://")) else { continue };
                for path in context.select(&text.text).unwrap_or_default() {
                    let Some(below) = context.walk(&path, MAX_ENTRIES) else {
                        return Err(unproved(format!(
                            "the build context has more than {MAX_ENTRIES} files, which are not all read"
                        )));
                    };
                    let own = context.entry(&path).map(|e| (path.clone(), e));
                    for (file, entry) in own.into_iter().chain(below) {
                        if ships {
                            is_readable(&file, entry.kind, entry.mode)?;
                        }
                        if entry.kind == FileKind::File
                            && is_unread(input, &path, &file)
                            && unread.insert(file.clone())
                        {
                            out.unread = (unread.len(), file.clone());
                        }
                        if entry.kind == FileKind::File
                            && is_program(input, &path, &file)
                            && seen.insert(file.clone())
                        {
                            if seen.len() > MAX_FILES {
                                return Err(unproved(format!(
                                    "the program has more than {MAX_FILES} files, which are not all read"
                                )));
                            }
                            read(input, stage, &file, &mut out)?;
                        }
                    }
                }
            }
        }
    }
    Ok(out)
}

/// Whether the user may read a file with that mode.
fn is_readable(path: &str, kind: FileKind, mode: u32) -> Result<(), Refusal> {
    let needed = match kind {
        FileKind::File => 0o004,
        FileKind::Dir => 0o005,
        _ => return Ok(()),
    };
    if path.is_empty() || mode & needed == needed {
        return Ok(());
    }
    Err(needs_root(
        format!("{path} has mode {:o}, and COPY keeps it: another user cannot read it", mode & 0o7777),
        "give the file mode 644 (755 for folders and programs), or set --chmod",
    ))
}

/// Whether the file, found below the source `root`, is part of the running program.
fn is_program(input: &Input, root: &str, file: &str) -> bool {
    let signals = input.knowledge.signals();
    let (dirs, name) = below(root, file);
    signals.is_source(name) && !dirs.split('/').any(|d| signals.skips_dir(d))
}

/// Whether it may be part of it, in a language that is not read.
fn is_unread(input: &Input, root: &str, file: &str) -> bool {
    let signals = input.knowledge.signals();
    let (dirs, name) = below(root, file);
    signals.is_unread(name) && !dirs.split('/').any(|d| signals.skips_dir(d))
}

/// The folders below the source `root`, and the name of a file.
fn below<'a>(root: &str, file: &'a str) -> (&'a str, &'a str) {
    let below = file.strip_prefix(root).unwrap_or(file).trim_start_matches('/');
    below.rsplit_once('/').unwrap_or(("", file.rsplit('/').next().unwrap_or(file)))
}

/// Looks for signals in one file of the program.
fn read(input: &Input, stage: usize, path: &str, out: &mut Program) -> Result<(), Refusal> {
    let Some(text) = input.context.and_then(|c| c.read_text(path)) else {
        return Err(unproved(format!("{path} is too long or no text, and is not read")));
    };
    out.files += 1;
    let signals = input.knowledge.signals();
    let around = [&String::from_utf8_lossy(input.file.text()), text.as_str()].concat();
    let possible = signals.possible(Place::Source, &text, path, &around);
    for (number, line) in text.lines().enumerate().filter(|(_, l)| l.len() <= MAX_LINE) {
        let line = line.trim();
        if ["//", "#", "*", "/*", "--"].iter().any(|c| line.starts_with(c)) {
            continue;
        }
        let place = || format!("{path}:{}", number + 1);
        for word in &signals.ports.source_words {
            let runs_on = |before: &str| {
                let edge = word.starts_with(|c: char| c.is_ascii_alphanumeric());
                edge && before.ends_with(|c: char| c.is_ascii_alphanumeric() || c == '_')
            };
            let after = line
                .split_once(word.as_str())
                .filter(|(before, _)| !runs_on(before))
                .map(|(_, rest)| rest.trim_start_matches([' ', '"', '\'']));
            if let Some(port) = after.and_then(leading_number).filter(|p| (1..1024).contains(p)) {
                return Err(super::low_port(port, &place()));
            }
        }
        let Some(signal) = possible.iter().find(|s| s.is_in(line)) else { continue };
        match signal.need {
            Need::Write => {
                let target = path_in(line).filter(|p| !covers("/tmp", p) && !covers("/dev", p));
                match target {
                    Some(target) => out.writes.push((absolute(input, stage, &target)?, place())),
                    None if line.contains("/tmp/")
                        || line.contains("tempfile")
                        || line.contains("tmpdir") => {}
                    None => {
                        return Err(needs_root(
                            format!("{} may write where only root can: {}", place(), signal.why),
                            "give the folder that it writes to the user, and set USER by hand",
                        ));
                    }
                }
            }
            Need::Home => {
                out.home.get_or_insert_with(place);
            }
            _ => {
                return Err(needs_root(
                    format!("{}: {}", place(), signal.why),
                    "set USER by hand if it works without root",
                ));
            }
        }
    }
    Ok(())
}

fn absolute(input: &Input, stage: usize, path: &str) -> Result<String, Refusal> {
    match (&input.facts.stage(stage).end.cwd, path.starts_with('/')) {
        (_, true) => Ok(join("/", path)),
        (Some(cwd), false) => Ok(join(cwd, path)),
        (None, false) => Err(Refusal::new(
            Reason::VariableUnresolved,
            "the working directory, below which the program writes, is not known",
            "set WORKDIR to a path without variables",
        )),
    }
}

/// The path in a line that writes: the one quoted text that looks like a path. More than one, or a variable beside it, tells
/// nothing.
fn path_in(line: &str) -> Option<String> {
    let mut found = Vec::new();
    let mut rest = line;
    while let Some(start) = rest.find(['"', '\'']) {
        let quote = rest.as_bytes()[start] as char;
        let inner = &rest[start + 1..];
        let end = inner.find(quote)?;
        let (text, after) = (&inner[..end], &inner[end + 1..]);
        let is_mode =
            matches!(text, "w" | "wb" | "a" | "ab" | "a+" | "w+" | "wt" | "x" | "utf8" | "utf-8" | "UTF-8");
        let is_path =
            !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || "/._-".contains(c));
        let joined = rest[..start].trim_end().ends_with('+') || after.trim_start().starts_with('+');
        if is_path && !is_mode && !joined {
            found.push(text.to_owned());
        } else if !is_mode {
            return None;
        }
        rest = after;
    }
    let composed = [
        "join(",
        "resolve(",
        "format(",
        "__dirname",
        "os.environ",
        "getenv",
        "process.env",
        "import ",
        "require(",
    ];
    match found.as_slice() {
        [one] if !composed.iter().any(|c| line.contains(c)) => Some(one.clone()),
        _ => None,
    }
}

pub(super) fn leading_number(text: &str) -> Option<u32> {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    text[..end].parse().ok()
}

/// Whether a folder exists in the image: a WORKDIR or a `mkdir` makes it, or the context brings it. True as well: and something
/// lies in it.
pub(super) fn folder(input: &Input, stage: usize, path: &str) -> Option<bool> {
    let made = |at: usize| match input.file.instructions[at].keyword {
        Keyword::Workdir => input.facts.writes(at).known().iter().any(|w| w.path == path),
        Keyword::Run => made_by(input, at).iter().any(|d| d == path),
        _ => false,
    };
    match origin(input, stage, path) {
        Origin::Context(found) => {
            let context = input.context?;
            let is_dir = context.entry(&found)?.kind == FileKind::Dir;
            is_dir.then(|| !context.list(&found).is_empty())
        }
        _ => chain(input, stage)
            .into_iter()
            .any(|s| input.graph.stages()[s].body.clone().any(made))
            .then_some(false),
    }
}

/// The folders that RUN `at` makes by `mkdir`.
pub(super) fn made_by(input: &Input, at: usize) -> Vec<String> {
    let Some(script) = input.facts.run(at).and_then(crate::facts::Run::understood) else { return Vec::new() };
    let cwd = input.facts.before(at).and_then(|s| s.cwd.clone());
    let mut out = Vec::new();
    for command in script.commands().into_iter().filter(crate::shell::Command::is_certain) {
        let argv = input.facts.argv(at, command.simple).unwrap_or_default();
        match argv.first().map(String::as_str) {
            // where the shell stands is not followed
            Some("cd") => return out,
            Some("mkdir") => {
                let operands =
                    argv[1..].iter().filter(|a| !a.starts_with('-') && !a.contains(['{', '*', '$']));
                out.extend(operands.filter_map(|a| {
                    if a.starts_with('/') { Some(join("/", a)) } else { cwd.as_deref().map(|c| join(c, a)) }
                }));
            }
            _ => {}
        }
    }
    out.retain(|d| parent(d) != d);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_path_that_a_line_writes() {
        for (line, expect) in [
            ("with open('data/x.json', 'w') as f:", Some("data/x.json")),
            ("fs.writeFileSync(\"out.txt\", body)", Some("out.txt")),
            ("open(os.path.join(BASE, 'x'), 'w')", None),
            ("open(name, 'w')", None),
            ("fs.writeFileSync(dir + '/x', y)", None),
        ] {
            assert_eq!(path_in(line).as_deref(), expect, "{line}");
        }
    }

    #[test]
    fn a_file_that_others_cannot_read_needs_root() {
        for (kind, mode, expect) in [
            (FileKind::File, 0o644, true),
            (FileKind::File, 0o600, false),
            (FileKind::File, 0o640, false),
            (FileKind::Dir, 0o755, true),
            (FileKind::Dir, 0o700, false),
            (FileKind::Dir, 0o744, false),
        ] {
            assert_eq!(is_readable("key.pem", kind, mode).is_ok(), expect, "{mode:o}");
        }
    }
}
