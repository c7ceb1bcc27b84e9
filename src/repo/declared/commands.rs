//! `docker build` command lines of workflows, Makefiles and scripts, and build-push-action steps. A small reader of
//! words, no shell: a command with a word that is not literal where it matters is passed over.

use std::path::{Path, PathBuf};

use super::{
    Entries, Entry, image_name,
    value::{Step, Value, at, documents, fields, get, items, line_of, text, text_at},
};

/// A GitHub workflow: its build-push-action steps, and the command lines of its `run` steps.
pub(super) fn workflow(source: &str) -> Entries {
    let (docs, unparsed) = documents(source);
    let mut out = Entries { unparsed, ..Entries::default() };
    for (before, part, doc) in &docs {
        for (job_name, job) in get(doc, "jobs").into_iter().flat_map(fields) {
            for (n, step) in get(job, "steps").map(items).unwrap_or_default().iter().enumerate() {
                let mut path =
                    vec![Step::Key("jobs"), Step::Key(&job_name), Step::Key("steps"), Step::Item(n)];
                let uses = text_at(step, "uses").unwrap_or_default();
                if uses.split('@').next().is_some_and(|u| u.ends_with("/build-push-action")) {
                    if let Some(entry) = get(step, "with").and_then(action) {
                        out.builds.push(Entry { line: before + line_of(part, &path), ..entry });
                    }
                } else if let Some(script) = text_at(step, "run") {
                    let folder = text_at(step, "working-directory")
                        .or_else(|| at(job, &["defaults", "run", "working-directory"]).and_then(text))
                        .or_else(|| at(doc, &["defaults", "run", "working-directory"]).and_then(text));
                    let folder = folder.unwrap_or_default();
                    if folder.contains("${{") {
                        continue;
                    }
                    path.push(Step::Key("run"));
                    let first = before + line_of(part, &path);
                    // The text of a block scalar starts below its key.
                    let first = if script.trim_end().contains('\n') { first } else { first - 1 };
                    out.builds.extend(lines(&script, &[PathBuf::from(folder)], false, first));
                }
            }
        }
    }
    out
}

/// A Makefile in the folder `dir`: each recipe line starts there.
pub(super) fn makefile(source: &str, dir: &Path) -> Entries {
    Entries { builds: lines(source, &[dir.to_path_buf()], true, 0), unparsed: 0 }
}

/// A script that may be run from any of `dirs`.
pub(super) fn script(source: &str, dirs: &[PathBuf]) -> Entries {
    let mut dirs = dirs.to_vec();
    dirs.dedup();
    Entries { builds: lines(source, &dirs, false, 0), unparsed: 0 }
}

/// The words of a command as compose splits it: quotes and backslashes as in a shell, variables left as they are.
pub(super) fn split_words(line: &str) -> Vec<String> {
    let mut out = Vec::new();
    let mut rest = line;
    loop {
        rest = rest.trim_start();
        if rest.is_empty() {
            return out;
        }
        let (word, _, end) = word(rest, false);
        out.push(word);
        rest = &rest[end.max(1)..];
    }
}

/// The inputs of docker/build-push-action. Without `context` it builds the repository's root as git has it.
fn action(with: &Value) -> Option<Entry> {
    let literal = |key| match text_at(with, key) {
        Some(t) if t.is_empty() => Some(None),
        Some(t) => (!t.contains("${{")).then_some(Some(t)),
        None => Some(None),
    };
    let context = literal("context")?.unwrap_or_else(|| ".".into());
    let context = match context.strip_prefix("{{defaultContext}}") {
        Some(rest) => rest.trim_start_matches(':').to_owned(),
        None => context,
    };
    let mut entry = Entry {
        bases: vec![PathBuf::new()],
        context,
        dockerfile: literal("file")?,
        file_from_base: true,
        target: literal("target")?,
        platforms: split(&text_at(with, "platforms").unwrap_or_default()),
        additional_contexts: get(with, "build-contexts").is_some(),
        ..Entry::default()
    };
    for (name, value) in
        text_at(with, "build-args").unwrap_or_default().lines().filter_map(|l| l.split_once('='))
    {
        let name = name.trim().to_owned();
        match value.contains("${{") {
            false => entry.args.push((name, value.trim().to_owned())),
            true => entry.unknown_args.push(name),
        }
    }
    let tags = text_at(with, "tags").unwrap_or_default();
    let tags = tags.split(['\n', ',']).map(str::trim).filter(|t| !t.is_empty());
    let known =
        tags.filter_map(|t| if t.contains("${{") { t.split_once(":${{").map(|(n, _)| n) } else { Some(t) });
    entry.images = known.filter(|t| !t.contains("${{")).map(image_name).collect();
    Some(entry)
}

fn split(list: &str) -> Vec<String> {
    list.split([',', '\n']).map(str::trim).filter(|p| !p.is_empty()).map(str::to_owned).collect()
}

/// The builds of a script's command lines; `before` lines stand above it. With `recipes` each line starts in `dirs`.
fn lines(source: &str, dirs: &[PathBuf], recipes: bool, before: usize) -> Vec<Entry> {
    let mut out = Vec::new();
    if !source.contains("build") && !source.contains("bud") {
        return out; // as most scripts
    }
    let mut place = Place { at: Some(PathBuf::new()), outer: Vec::new() };
    let mut joined = String::new();
    let mut first = 0;
    let mut heredoc: Option<String> = None;
    for (n, line) in source.lines().enumerate() {
        if let Some(end) = &heredoc {
            if line.trim() == end {
                heredoc = None;
            }
            continue;
        }
        if joined.is_empty() {
            first = n;
        }
        if let Some(head) = line.strip_suffix('\\') {
            joined.push_str(head);
            joined.push(' ');
            continue;
        }
        joined.push_str(line);
        if recipes {
            place = Place { at: Some(PathBuf::new()), outer: Vec::new() };
        } else {
            heredoc = heredoc_end(&joined);
        }
        for mut entry in commands(&joined, &mut place) {
            entry.line = before + first + 1;
            entry.bases = dirs.iter().map(|d| entry.bases.iter().fold(d.clone(), |d, b| d.join(b))).collect();
            out.push(entry);
        }
        joined.clear();
    }
    out
}

/// The word that ends the here-document which a line opens.
fn heredoc_end(line: &str) -> Option<String> {
    let (_, rest) = line.split_once("<<")?;
    let rest = rest.trim_start_matches('-').trim_start();
    let rest = rest.trim_start_matches(['"', '\'', '\\']);
    let end = rest.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).unwrap_or(rest.len());
    // `<<<` and a shift have no word here.
    (end > 0 && !rest.starts_with(|c: char| c.is_ascii_digit())).then(|| rest[..end].to_owned())
}

/// Where a script is, as far as its `cd`s are literal, and where it was outside of the open subshells.
struct Place {
    at: Option<PathBuf>,
    outer: Vec<Option<PathBuf>>,
}

type Word = (String, bool);

fn commands(line: &str, place: &mut Place) -> Vec<Entry> {
    let mut out = Vec::new();
    let mut words: Vec<Word> = Vec::new();
    let mut rest = line;
    loop {
        rest = rest.trim_start();
        let Some(c) = rest.chars().next() else { break };
        match c {
            '#' => break,
            ';' | '&' | '|' | '(' | ')' => {
                run(&mut words, place, &mut out);
                match c {
                    '(' => place.outer.push(place.at.clone()),
                    ')' => place.at = place.outer.pop().unwrap_or(place.at.take()),
                    _ => {}
                }
                rest = &rest[1..];
            }
            _ => {
                let (text, literal, end) = word(rest, true);
                words.push((text, literal));
                rest = &rest[end.max(c.len_utf8())..];
            }
        }
    }
    run(&mut words, place, &mut out);
    out
}

fn run(words: &mut Vec<Word>, place: &mut Place, out: &mut Vec<Entry>) {
    let words = std::mem::take(words);
    let before = |w: &&Word| {
        matches!(
            w.0.trim_start_matches(['@', '-', '+']),
            "" | "sudo" | "time" | "exec" | "env" | "if" | "then" | "do" | "else" | "!" | "{"
        ) || w
            .0
            .split_once('=')
            .is_some_and(|(k, _)| !k.is_empty() && k.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_'))
    };
    let skip = words.iter().take_while(before).count();
    let words = &words[skip..];
    let Some((first, _)) = words.first() else { return };
    let name = first.trim_start_matches(['@', '-', '+']);
    if name == "cd" || name == "pushd" {
        let target = words.get(1).filter(|w| w.1 && !w.0.starts_with(['~', '/', '-']));
        place.at = target.and_then(|(dir, _)| Some(place.at.as_ref()?.join(dir)));
        return;
    }
    let second = words.get(1).map_or("", |w| w.0.as_str());
    let third = words.get(2).map_or("", |w| w.0.as_str());
    let args = match (name, second, third) {
        ("docker" | "podman", "buildx" | "image" | "builder", "build") => &words[3..],
        ("docker" | "podman" | "nerdctl", "build", _) | ("buildah", "bud" | "build", _) => &words[2..],
        _ => return,
    };
    if let Some(at) = &place.at
        && let Some(entry) = build(args)
    {
        out.push(Entry { bases: vec![at.clone()], ..entry });
    }
}

/// Options of `docker build` (and podman's) that stand alone.
const ALONE: &[&str] = &[
    "--pull",
    "--push",
    "--load",
    "--no-cache",
    "--rm",
    "--force-rm",
    "-q",
    "--quiet",
    "--squash",
    "--compress",
    "--check",
    "-D",
    "--debug",
    "--disable-content-trust",
    "--layers",
];
/// Options whose value is the next word, if none is attached by `=`.
const WITH_VALUE: &[&str] = &[
    "-f",
    "--file",
    "-t",
    "--tag",
    "--target",
    "--build-arg",
    "--platform",
    "--label",
    "--cache-from",
    "--cache-to",
    "-o",
    "--output",
    "--progress",
    "--secret",
    "--ssh",
    "--network",
    "--build-context",
    "--iidfile",
    "--add-host",
    "-m",
    "--memory",
    "--memory-swap",
    "--shm-size",
    "--ulimit",
    "--builder",
    "--metadata-file",
    "--attest",
    "--annotation",
    "--allow",
    "--cgroup-parent",
    "--no-cache-filter",
    "--cpu-period",
    "--cpu-quota",
    "--cpu-shares",
    "-c",
    "--cpuset-cpus",
    "--cpuset-mems",
    "--isolation",
    "--security-opt",
    "--sbom",
    "--provenance",
    "--call",
    "--format",
    "-v",
    "--volume",
    "--arch",
    "--os",
    "--jobs",
    "--authfile",
    "--ignorefile",
];

/// The build of these arguments; None when the context, the file or the target is not literal, or an option not known.
fn build(args: &[Word]) -> Option<Entry> {
    let mut entry = Entry { file_from_base: true, ..Entry::default() };
    let mut context = None;
    let mut args = args.iter();
    while let Some((word, literal)) = args.next() {
        if word.starts_with(['>', '<']) || (word.starts_with('2') && word[1..].starts_with('>')) {
            break;
        }
        if !word.starts_with('-') || word == "-" {
            if !literal || context.replace(word.clone()).is_some() {
                return None;
            }
            continue;
        }
        let (name, attached) = match word.split_once('=') {
            Some((name, value)) => (name, Some((value.to_owned(), *literal))),
            None => (word.as_str(), None),
        };
        if ALONE.contains(&name) {
            continue;
        }
        if !WITH_VALUE.contains(&name) {
            return None;
        }
        let (value, literal) = attached.or_else(|| args.next().cloned())?;
        match name {
            "-f" | "--file" => entry.dockerfile = Some(value).filter(|v| literal && v != "-").map(Some)?,
            "--target" => entry.target = Some(value).filter(|_| literal).map(Some)?,
            "--platform" => entry.platforms = split(&value),
            "-t" | "--tag" => {
                // The tag may be a variable, the name not.
                let name = value.split(":$").next().unwrap_or(&value);
                if !name.contains(['$', '`']) {
                    entry.images.push(image_name(name));
                }
            }
            "--build-arg" => match value.split_once('=') {
                Some((k, v)) if literal => entry.args.push((k.to_owned(), v.to_owned())),
                Some((k, _)) => entry.unknown_args.push(k.to_owned()),
                None => entry.unknown_args.push(value),
            },
            "--build-context" => entry.additional_contexts = true,
            _ => {}
        }
    }
    entry.context = context?;
    Some(entry)
}

/// The word at the start of `text`: unquoted, whether it is literal, and where it ends. With `operators` it ends before
/// `;`, `&`, `|` and brackets too.
fn word(text: &str, operators: bool) -> (String, bool, usize) {
    let mut out = String::new();
    let mut literal = true;
    let mut quote = None;
    let mut depth = 0usize;
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match (quote, c) {
            (Some(q), _) if c == q => quote = None,
            (None, '\'' | '"') => quote = Some(c),
            (None | Some('"'), '\\') => out.extend(chars.next().map(|(_, c)| c)),
            (None | Some('"'), '$' | '`') => {
                literal = false;
                out.push(c);
                // `$(…)` and `${…}` with blanks inside are one word.
                if c == '$' && text[at + 1..].starts_with(['(', '{']) {
                    out.extend(chars.next().map(|(_, c)| c));
                    depth += 1;
                }
            }
            (_, '(' | '{') if depth > 0 => {
                depth += 1;
                out.push(c);
            }
            (_, ')' | '}') if depth > 0 => {
                depth -= 1;
                out.push(c);
            }
            (None, _) if depth == 0 && c.is_whitespace() => return (out, literal, at),
            (None, ';' | '&' | '|' | '(' | ')') if operators && depth == 0 => return (out, literal, at),
            // A glob of a shell and an expression of a workflow are no literals either.
            (None, '*' | '?' | '[') if operators => {
                literal = false;
                out.push(c);
            }
            _ => out.push(c),
        }
    }
    (out, literal, text.len())
}
