//! What git says of files. Without a git program every answer is as outside git.

use std::{
    collections::{BTreeMap, BTreeSet},
    ffi::OsStr,
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::{Arc, Mutex, OnceLock},
};

use super::{absolute, real};

/// The root of the work tree that `path` lies in, if any: the nearest folder upward that holds `.git`, a folder or, in
/// a linked work tree and a submodule, a file. No process is started.
#[must_use]
pub fn root(path: &Path) -> Option<PathBuf> {
    let path = absolute(path);
    let start = if path.is_dir() { path.as_path() } else { path.parent()? };
    start.ancestors().find(|dir| git_dir(dir).is_some()).map(Path::to_path_buf)
}

/// The folder of git's own data for the work tree `root`.
#[must_use]
pub fn git_dir(root: &Path) -> Option<PathBuf> {
    let dot = root.join(".git");
    let meta = fs::metadata(&dot).ok()?;
    if meta.is_dir() {
        // A stray empty `.git` folder is no repository to git either.
        return dot.join("HEAD").exists().then_some(dot);
    }
    let text = fs::read_to_string(&dot).ok()?;
    let target = text.strip_prefix("gitdir:")?.trim();
    Some(root.join(target))
}

/// Whether a file has changes that a commit does not hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    Clean,
    /// Changed, staged or new.
    Dirty,
    /// Outside git, or there is no git program.
    NoGit,
    /// Git did not answer; its message.
    Unknown(String),
}

/// The state of each of `files`: one `git status` for the files of a work tree (some, when they are very many).
#[must_use]
pub fn states(files: &[PathBuf]) -> BTreeMap<PathBuf, State> {
    let mut out = BTreeMap::new();
    let mut by_root: BTreeMap<PathBuf, Vec<(&PathBuf, PathBuf)>> = BTreeMap::new();
    for file in files {
        // A write goes through a symlink, so what counts is its target.
        let target = real(file);
        match root(&target) {
            Some(root) => by_root.entry(root).or_default().push((file, target)),
            None => {
                out.insert(file.clone(), State::NoGit);
            }
        }
    }
    for (root, files) in by_root {
        for batch in files.chunks(256) {
            let paths: Vec<&Path> = batch.iter().filter_map(|(_, t)| t.strip_prefix(&root).ok()).collect();
            let answer = status(&root, &paths);
            for (file, target) in batch {
                let state = match &answer {
                    Ok(dirty) if is_dirty(dirty, target.strip_prefix(&root).unwrap_or(target)) => {
                        State::Dirty
                    }
                    Ok(_) => State::Clean,
                    Err(state) => state.clone(),
                };
                out.insert((*file).clone(), state);
            }
        }
    }
    out
}

/// The tracked files of the work tree `root`, relative to it with `/`; asked for once a process. `None` without git.
#[must_use]
pub fn tracked(root: &Path) -> Option<Arc<BTreeSet<String>>> {
    type Cache = Mutex<BTreeMap<PathBuf, Option<Arc<BTreeSet<String>>>>>;
    static CACHE: OnceLock<Cache> = OnceLock::new();
    let mut cache =
        CACHE.get_or_init(Cache::default).lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    cache
        .entry(real(root))
        .or_insert_with(|| {
            let out = run(root, &["ls-files", "-z"], &[]).ok()?;
            let names = out.split(|&b| b == 0).filter(|n| !n.is_empty());
            Some(Arc::new(names.map(|n| String::from_utf8_lossy(n).into_owned()).collect()))
        })
        .clone()
}

/// A path is dirty when it is listed itself, or a new folder above it is (`?? folder/`).
fn is_dirty(dirty: &BTreeSet<PathBuf>, path: &Path) -> bool {
    path.ancestors().any(|p| dirty.contains(p))
}

fn status(root: &Path, paths: &[&Path]) -> Result<BTreeSet<PathBuf>, State> {
    let out = run(root, &["status", "--porcelain=v1", "-z", "--untracked-files=normal"], paths)?;
    let mut dirty = BTreeSet::new();
    let mut fields = out.split(|&b| b == 0);
    while let Some(entry) = fields.next() {
        let Some((code, name)) = entry.split_at_checked(3) else { continue };
        dirty.insert(to_path(name));
        // A rename or copy has its old name as a field of its own.
        if code.starts_with(b"R") || code.starts_with(b"C") {
            fields.next();
        }
    }
    Ok(dirty)
}

/// Runs git in `root`. It takes no lock, no hook of the index runs, and paths are no globs; the environment of a hook
/// that calls us must not lead it to another repository.
fn run(root: &Path, args: &[&str], paths: &[&Path]) -> Result<Vec<u8>, State> {
    let out = Command::new("git")
        .args(["--no-optional-locks", "--literal-pathspecs", "-c", "core.fsmonitor=false"])
        .args(args)
        .arg("--")
        .args(paths.iter().map(|p| p.as_os_str()).map(|p| if p.is_empty() { OsStr::new(".") } else { p }))
        .current_dir(root)
        .env_remove("GIT_DIR")
        .env_remove("GIT_WORK_TREE")
        .env_remove("GIT_INDEX_FILE")
        .env_remove("GIT_PREFIX")
        .stdin(Stdio::null())
        .output()
        .map_err(|_| State::NoGit)?;
    if out.status.success() {
        return Ok(out.stdout);
    }
    let message = String::from_utf8_lossy(&out.stderr);
    Err(State::Unknown(format!("git {}: {}", args[0], message.lines().next().unwrap_or("failed"))))
}

#[cfg(unix)]
fn to_path(bytes: &[u8]) -> PathBuf {
    use std::os::unix::ffi::OsStrExt;
    PathBuf::from(OsStr::from_bytes(bytes))
}

#[cfg(not(unix))]
fn to_path(bytes: &[u8]) -> PathBuf {
    PathBuf::from(String::from_utf8_lossy(bytes).into_owned())
}
