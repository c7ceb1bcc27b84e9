//! pip and `uv pip`: requirement files.

use super::scan::{Scan, folder, listed, outside, unsuited};
use super::{Install, Recognized, Takes};
use crate::pass::{Reason, Refusal};

/// A `pip install` without a requirement file reads nothing of the context, unless it installs a path.
pub(super) fn recognize(install: Install) -> Recognized {
    let local = install.operands.iter().find(|word| is_path(word));
    let editable = install.parsed.iter().find(|(name, ..)| name == "-e" || name == "--editable");
    if let Some(path) = local.or_else(|| editable.and_then(|(_, _, value)| value.as_ref())) {
        let message = format!("`{}` builds {path} from source", install.command);
        let unlock = "install the dependencies from a requirements file first";
        return Recognized::Refused(unsuited(message, unlock));
    }
    if files(&install).is_empty() { Recognized::None } else { Recognized::Install(install) }
}

pub(super) fn read(scan: &mut Scan<'_>) -> Result<(), Refusal> {
    let mut open = Vec::new();
    let operands = scan.install.operands.clone();
    for word in &operands {
        if !is_pinned(word) {
            open.push(format!("{word} of the command line"));
        }
    }
    let named = files(scan.install);
    for file in named {
        if file.starts_with("http:") || file.starts_with("https:") {
            open.push(format!("what {file} asks for"));
            continue;
        }
        let path = scan.operand(&file)?;
        read_requirements(scan, &path, &mut open)?;
    }
    for (_, value) in scan.install.values(Takes::Reads).filter(|(name, _)| !is_requirement(name)) {
        if !value.contains("://") {
            let path = scan.operand(value)?;
            scan.add(&path)?;
        }
    }
    scan.guard_environment();
    let command = scan.install.command.clone();
    if open.is_empty() {
        let files = listed(&scan.needs.files);
        scan.needs.evidence.push(format!("every requirement of {files} is pinned to one version"));
    } else {
        scan.unlocked(format!("{} is not pinned to one version", open[0]));
    }
    scan.prove(&command, "no -e, no local path, every -r and -c among them");
    Ok(())
}

impl Scan<'_> {
    // A virtual environment in the project's folder, if the context carries one under a usual name: pip may be its pip.
    fn guard_environment(&mut self) {
        for name in self.tool.guards.iter().map(|g| g.path.clone()).collect::<Vec<_>>() {
            let path = self.at(&name);
            if self.has(&path) {
                self.guard_path(path, false);
            }
        }
    }
}

fn is_requirement(name: &str) -> bool {
    matches!(name, "-r" | "--requirement" | "--requirements" | "-c" | "--constraint" | "--constraints")
}

fn files(install: &Install) -> Vec<String> {
    install
        .values(Takes::Reads)
        .filter(|(name, _)| is_requirement(name))
        .map(|(_, v)| v.to_string())
        .collect()
}

// pip takes a word for a path if it holds a slash, begins with a dot, or ends as an archive (pip
// `src/pip/_internal/req/constructors.py`).
fn is_path(word: &str) -> bool {
    if word.contains("://") || word.starts_with("git+") {
        return word.contains("file:");
    }
    let name = word.split_once('@').map_or(word, |(_, url)| url.trim());
    let bare = name.split(['[', ';']).next().unwrap_or(name);
    let archive = [".whl", ".zip", ".tar.gz", ".tgz", ".tar", ".tar.bz2", ".tar.xz"];
    bare.starts_with('.')
        || bare.contains('/')
        || archive.iter().any(|a| bare.ends_with(a))
        || word.starts_with("file:")
}

fn read_requirements(scan: &mut Scan<'_>, path: &str, open: &mut Vec<String>) -> Result<(), Refusal> {
    if scan.needs.files.iter().any(|f| f == path) {
        return Ok(());
    }
    if scan.needs.files.len() > 100 {
        return Err(Refusal::new(Reason::NotProven, "more than 100 requirement files", "split it by hand"));
    }
    scan.add(path)?;
    let text = scan.text(path)?;
    let dir = folder(path).to_string();
    for line in logical_lines(text.strip_prefix('\u{feff}').unwrap_or(&text)) {
        let refuse = |why: &str| unsuited(format!("{path} has the line `{line}`, {why}"), "split it by hand");
        let Some((option, value)) = option_of(&line) else {
            if is_path(line.split(" --").next().unwrap_or(&line).split(';').next().unwrap_or(&line).trim()) {
                return Err(refuse("which installs a local path"));
            }
            if line.contains('$') {
                // pip expands `${NAME}`; the environment is the same in both places, but the value is not known here.
                return Err(refuse("whose variables are not known"));
            }
            if !is_pinned(&line) {
                open.push(format!("`{line}` of {path}"));
            }
            continue;
        };
        match option {
            "-r" | "--requirement" | "--requirements" | "-c" | "--constraint" | "--constraints" => {
                if value.contains("://") {
                    open.push(format!("what {value} asks for"));
                    continue;
                }
                let nested = scan.path(&dir, value)?;
                read_requirements(scan, &nested, open)?;
            }
            "-e" | "--editable" if !value.contains("git+") => {
                return Err(refuse("which installs a local path"));
            }
            "-e" | "--editable" => return Err(refuse("which writes a checkout into the folder")),
            "-f" | "--find-links" if !value.contains("://") => {
                // Relative to the file, or to the working directory if there is none beside it.
                let folder = scan.path(&dir, value)?;
                if !scan.add_if(&folder)? {
                    let folder = scan.operand(value).map_err(|_| outside(value))?;
                    scan.add(&folder)?;
                }
            }
            "-f" | "--find-links" | "-i" | "--index-url" | "--pypi-url" | "--extra-index-url"
            | "--no-index" | "--trusted-host" | "--no-binary" | "--only-binary" | "--prefer-binary"
            | "--pre" | "--require-hashes" | "--use-feature" => {}
            _ => return Err(refuse("which is not understood")),
        }
    }
    Ok(())
}

// The option at the start of a line, and its value.
fn option_of(line: &str) -> Option<(&str, &str)> {
    if !line.starts_with('-') {
        return None;
    }
    let end = line.find([' ', '\t', '=']).unwrap_or(line.len());
    let (name, value) = line.split_at(end);
    let value = value.trim_start_matches(['=', ' ', '\t']).trim();
    // `-rother.txt`
    if !name.starts_with("--") && name.len() > 2 && value.is_empty() {
        let (name, value) = name.split_at(2);
        return Some((name, value));
    }
    Some((name, value))
}

// Lines with continuations joined and comments gone (pip `src/pip/_internal/req/req_file.py`).
fn logical_lines(text: &str) -> Vec<String> {
    let mut out = Vec::new();
    let mut held = String::new();
    for line in text.lines() {
        let line = match line.find(" #").or_else(|| line.find("\t#")) {
            Some(at) => &line[..at],
            None if line.trim_start().starts_with('#') => "",
            None => line,
        };
        if let Some(start) = line.trim_end().strip_suffix('\\') {
            held.push_str(start);
            held.push(' ');
            continue;
        }
        held.push_str(line);
        let whole = held.split_whitespace().collect::<Vec<_>>().join(" ");
        if !whole.is_empty() {
            out.push(whole);
        }
        held.clear();
    }
    if !held.trim().is_empty() {
        out.push(held.trim().to_string());
    }
    out
}

/// One version: `==` without a star, `===`, an archive by its URL, or a commit by its hash.
fn is_pinned(line: &str) -> bool {
    let line = line.split(" --").next().unwrap_or(line);
    let line = line.split(';').next().unwrap_or(line).trim();
    if let Some(at) = line.find("://") {
        let url = &line[at..];
        let commit = url.rsplit_once('@').map(|(_, rev)| rev.split(['#', '&']).next().unwrap_or(rev));
        let hash = commit.is_some_and(|c| c.len() == 40 && c.chars().all(|c| c.is_ascii_hexdigit()));
        let archive = [".whl", ".zip", ".tar.gz", ".tgz"];
        let bare = url.split(['#', '?']).next().unwrap_or(url);
        return hash || (!line.contains("git+") && archive.iter().any(|a| bare.ends_with(a)));
    }
    let Some((_, version)) = line.split_once("==") else { return false };
    let version = version.trim_start_matches('=').trim();
    !version.is_empty() && !version.contains(['*', ',', '>', '<', '!', '~'])
}
