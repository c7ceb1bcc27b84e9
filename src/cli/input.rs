//! The Dockerfiles of a run.

use std::{
    io::Read,
    path::{Path, PathBuf},
};

use super::{args::Run, settings::Session};
use crate::{
    repo::{self, find, git},
    report::FileError,
};

/// A Dockerfile that is to be planned.
pub(super) struct Input {
    /// As it is shown.
    pub(super) shown: String,
    /// Where it is; for standard input, where it would be if that is known.
    pub(super) path: Option<PathBuf>,
    pub(super) is_stdin: bool,
}

impl Input {
    /// Its folder, for its config.
    pub(super) fn folder(&self) -> PathBuf {
        let path = self.path.as_deref().and_then(Path::parent).filter(|p| !p.as_os_str().is_empty());
        path.unwrap_or(Path::new(".")).to_path_buf()
    }

    /// Its bytes.
    ///
    /// # Errors
    /// As an entry of the report.
    pub(super) fn read(&self, max: u64) -> Result<Vec<u8>, FileError> {
        // Spans are 32 bits wide.
        let max = max.min(u64::from(u32::MAX) - 1);
        if !self.is_stdin {
            let path = self.path.as_deref().unwrap_or(Path::new(&self.shown));
            return repo::read(path, max).map_err(|e| FileError::new(e.code(), e.to_string()));
        }
        let mut bytes = Vec::new();
        let read = std::io::stdin().lock().take(max + 1).read_to_end(&mut bytes);
        read.map_err(|e| FileError::new("read-failed", format!("standard input cannot be read: {e}")))?;
        if bytes.len() as u64 > max {
            return Err(FileError::new(
                "file-too-large",
                format!("standard input has more than {max} bytes; raise --max-file-size"),
            ));
        }
        Ok(bytes)
    }
}

/// The Dockerfiles of the command line, in order of their paths, and what could not be looked at.
///
/// # Errors
/// When a config is wrong.
pub(super) fn collect(args: &Run, session: &Session) -> Result<(Vec<Input>, Vec<String>), String> {
    let mut out = Vec::new();
    let here = [PathBuf::from(".")];
    let paths = if args.paths.is_empty() { &here[..] } else { &args.paths };
    if paths.iter().any(|p| p.as_os_str() == "-") {
        let shown = args.stdin_filename.as_deref().map_or("-".into(), crate::config::shown);
        out.push(Input { shown, path: args.stdin_filename.clone(), is_stdin: true });
    }
    let mut errors = Vec::new();
    // Folders of one config are walked together, so that a file which two of them lead to is met once.
    let mut groups: Vec<(PathBuf, Vec<String>, Vec<PathBuf>)> = Vec::new();
    for path in paths.iter().filter(|p| p.as_os_str() != "-") {
        let dir = if path.is_dir() {
            path.as_path()
        } else {
            path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."))
        };
        let settings = session.for_folder(dir)?;
        let (base, exclude) = excludes(&settings.config.base, &settings.config.exclude, &args.exclude);
        match groups.iter_mut().find(|(b, e, _)| *b == base && *e == exclude) {
            Some((_, _, paths)) => paths.push(path.clone()),
            None => groups.push((base, exclude, vec![path.clone()])),
        }
    }
    for (base, exclude, paths) in groups {
        let found = find(&paths, &exclude, &base);
        errors.extend(found.errors);
        out.extend(found.files.into_iter().map(|path| Input {
            shown: path.strip_prefix("./").unwrap_or(&path).to_string_lossy().into_owned(),
            path: Some(path),
            is_stdin: false,
        }));
    }
    out.sort_by(|a, b| a.path.cmp(&b.path));
    out.dedup_by(|a, b| a.path == b.path && a.is_stdin == b.is_stdin);
    Ok((out, errors))
}

/// Those of `inputs` that `--changed` or `--since` asks for. Standard input is asked for by itself.
///
/// # Errors
/// When git cannot tell.
pub(super) fn changed(args: &Run, inputs: Vec<Input>) -> Result<Vec<Input>, String> {
    let option = match &args.since {
        Some(since) => format!("--since {since}"),
        None if args.changed => "--changed".to_owned(),
        None => return Ok(inputs),
    };
    let files: Vec<PathBuf> = inputs.iter().filter(|i| !i.is_stdin).filter_map(|i| i.path.clone()).collect();
    let changed = git::changed(&files, args.since.as_deref()).map_err(|e| format!("{option}: {e}"))?;
    let is_asked = |i: &Input| i.is_stdin || i.path.as_ref().is_some_and(|p| changed.contains(p));
    Ok(inputs.into_iter().filter(is_asked).collect())
}

/// The globs of the config and of the command line, as seen from one folder.
fn excludes(base: &Path, config: &[String], given: &[String]) -> (PathBuf, Vec<String>) {
    let cwd = repo::absolute(Path::new("."));
    if config.is_empty() {
        return (cwd, given.to_vec());
    }
    let prefix = cwd.strip_prefix(base).map(|p| repo::relative(p, Path::new(""))).unwrap_or_default();
    let given = given.iter().map(|glob| {
        let (not, body) = glob.strip_prefix('!').map_or(("", glob.as_str()), |rest| ("!", rest));
        // As in a .gitignore: a slash before the end ties the glob to its folder.
        let is_tied = body.trim_end_matches('/').contains('/');
        if is_tied && !prefix.is_empty() {
            format!("{not}/{prefix}/{}", body.trim_start_matches('/'))
        } else {
            glob.clone()
        }
    });
    (base.to_path_buf(), config.iter().cloned().chain(given).collect())
}
