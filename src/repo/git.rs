//! What git says of files. Without a git program every answer is as outside git.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    ffi::OsStr,
    fs,
    ops::Range,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::{Arc, Mutex, OnceLock, PoisonError},
};

use super::{absolute, real};

/// The root of the work tree that `path` lies in, if any: the nearest folder upward that holds `.git`, a folder or, in
/// a linked work tree and a submodule, a file. No process is started, and each folder is looked at once a process.
#[must_use]
pub fn root(path: &Path) -> Option<PathBuf> {
    let path = absolute(path);
    root_above(if path.is_dir() { &path } else { path.parent()? })
}

fn root_above(dir: &Path) -> Option<PathBuf> {
    static CACHE: OnceLock<Mutex<HashMap<PathBuf, Option<PathBuf>>>> = OnceLock::new();
    let cache = || CACHE.get_or_init(Mutex::default).lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(found) = cache().get(dir) {
        return found.clone();
    }
    let found =
        if git_dir(dir).is_some() { Some(dir.to_path_buf()) } else { dir.parent().and_then(root_above) };
    cache().insert(dir.to_path_buf(), found.clone());
    found
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

/// Those of `files` that a commit does not hold as they are, or with `since` those that differ from where the work left that
/// commit or branch. New files count, ignored ones do not.
///
/// # Errors
/// When a file lies in no work tree, or git does not answer; what to do.
pub fn changed(files: &[PathBuf], since: Option<&str>) -> Result<BTreeSet<PathBuf>, String> {
    let mut by_root: BTreeMap<PathBuf, BTreeSet<PathBuf>> = BTreeMap::new();
    let mut out = BTreeSet::new();
    for file in files {
        // A link may have changed, or what it leads to.
        for place in BTreeSet::from([absolute(file), real(file)]) {
            let root = root(&place).ok_or_else(|| {
                format!(
                    "{}: lies in no git work tree, so that nothing tells what has changed",
                    file.display()
                )
            })?;
            let listed = match by_root.get(&root) {
                Some(listed) => listed,
                None => {
                    let listed = differing(&root, since).map_err(|s| match s {
                        State::Unknown(message) => message,
                        _ => "there is no git program to ask".to_owned(),
                    })?;
                    by_root.entry(root.clone()).or_insert(listed)
                }
            };
            if place.strip_prefix(&root).is_ok_and(|path| is_dirty(listed, path)) {
                out.insert(file.clone());
            }
        }
    }
    Ok(out)
}

fn differing(root: &Path, since: Option<&str>) -> Result<BTreeSet<PathBuf>, State> {
    let mut out = status(root, &[])?;
    let Some(name) = since else { return Ok(out) };
    let unknown = || {
        State::Unknown(format!(
            "git knows no commit or branch `{name}` in {}; fetch it first",
            root.display()
        ))
    };
    if name.starts_with('-') {
        return Err(unknown());
    }
    let id = |args: &[&str]| {
        run(root, args, &[]).map(|id| String::from_utf8_lossy(&id).trim().to_owned()).map_err(|e| match e {
            State::NoGit => State::NoGit,
            _ => unknown(),
        })
    };
    let commit = id(&["rev-parse", "--verify", "--quiet", &format!("{name}^{{commit}}")])?;
    // A shallow clone may not reach back to where the work left the branch: then what the branch did counts as well.
    let commit = id(&["merge-base", &commit, "HEAD"]).unwrap_or(commit);
    let names = run(root, &["diff", "--name-only", "--no-renames", "-z", &commit], &[])?;
    out.extend(names.split(|&b| b == 0).filter(|n| !n.is_empty()).map(to_path));
    Ok(out)
}

/// The tracked files of a work tree, relative to its root with `/`.
#[derive(Debug)]
pub struct Tracked {
    /// The names one after the other.
    text: String,
    /// Where each one is in the text. Invariant: in order of the names.
    places: Vec<Range<usize>>,
}

/// The tracked files of one folder.
pub struct Folder<'a> {
    tracked: &'a Tracked,
    places: &'a [Range<usize>],
    /// How much of each name is the folder's own.
    skip: usize,
}

impl Tracked {
    fn new<'a>(names: impl Iterator<Item = &'a [u8]>) -> Self {
        let (mut text, mut places) = (String::new(), Vec::new());
        for name in names {
            let start = text.len();
            text.push_str(&String::from_utf8_lossy(name));
            places.push(start..text.len());
        }
        places.sort_by(|a, b| text[a.clone()].cmp(&text[b.clone()]));
        Self { text, places }
    }

    /// How many files are tracked.
    #[must_use]
    pub fn count(&self) -> usize {
        self.places.len()
    }

    fn has(&self, path: &str) -> bool {
        self.places.binary_search_by(|p| self.text[p.clone()].cmp(path)).is_ok()
    }

    /// What is tracked in `dir`, which has no slash at its end; `""` is the root. None inside of a submodule.
    #[must_use]
    pub fn folder(&self, dir: &str) -> Option<Folder<'_>> {
        let ends = dir.match_indices('/').map(|(at, _)| at).chain([dir.len()]);
        if ends.filter(|at| *at > 0).any(|at| self.has(&dir[..at])) {
            return None;
        }
        let prefix = if dir.is_empty() { String::new() } else { format!("{dir}/") };
        let start = self.places.partition_point(|p| self.text[p.clone()] < *prefix);
        let rest = &self.places[start..];
        let len = rest.partition_point(|p| self.text[p.clone()].starts_with(&prefix));
        Some(Folder { tracked: self, places: &rest[..len], skip: prefix.len() })
    }
}

impl Folder<'_> {
    /// Whether git tracks the file of that name, or any file of the folder of that name; `""` is the folder itself.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        if name.is_empty() || self.first_from(name) == Some(name) {
            return !self.places.is_empty();
        }
        let inside = format!("{name}/");
        self.first_from(&inside).is_some_and(|found| found.starts_with(&inside))
    }

    fn first_from(&self, name: &str) -> Option<&str> {
        let text = |p: &Range<usize>| &self.tracked.text[p.start + self.skip..p.end];
        self.places.get(self.places.partition_point(|p| text(p) < name)).map(text)
    }
}

/// The tracked files of the work tree `root`; asked for once a process. `None` without git.
#[must_use]
pub fn tracked(root: &Path) -> Option<Arc<Tracked>> {
    type Cache = Mutex<BTreeMap<PathBuf, Option<Arc<Tracked>>>>;
    static CACHE: OnceLock<Cache> = OnceLock::new();
    let mut cache =
        CACHE.get_or_init(Cache::default).lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    cache
        .entry(real(root))
        .or_insert_with(|| {
            let index = fs::read(git_dir(root)?.join("index")).unwrap_or_default();
            if let Some(names) = index_names(&index) {
                return Some(Arc::new(Tracked::new(names.into_iter())));
            }
            let out = run(root, &["ls-files", "-z"], &[]).ok()?;
            let names = out.split(|&b| b == 0).filter(|n| !n.is_empty());
            Some(Arc::new(Tracked::new(names)))
        })
        .clone()
}

/// The names in the bytes of git's index: to read it takes less than to start git. None where it is of a kind that git
/// alone is to read: another version than 2 and 3, SHA-256, split or sparse (git's Documentation/gitformat-index.adoc).
pub(super) fn index_names(bytes: &[u8]) -> Option<Vec<&[u8]>> {
    const HASH: usize = 20;
    let number = |at: usize| Some(u32::from_be_bytes(*bytes.get(at..)?.first_chunk()?) as usize);
    if !bytes.starts_with(b"DIRC") || !matches!(number(4)?, 2 | 3) {
        return None;
    }
    let mut names = Vec::new();
    let mut at = 12;
    for _ in 0..number(8)? {
        // ten numbers, the hash, the flags, and, where these say so, more flags
        let flags = number(at + 40 + HASH)? >> 16;
        let start = at + 42 + HASH + if flags & 0x4000 == 0 { 0 } else { 2 };
        let name = bytes.get(start..)?;
        let name = &name[..memchr::memchr(0, name)?];
        if name.is_empty() || flags & 0xfff != name.len().min(0xfff) {
            return None;
        }
        names.push(name);
        // one to eight NULs make the entry's length a multiple of eight
        at += (start + name.len() - at) / 8 * 8 + 8;
    }
    // An extension whose name begins with a small letter changes what the entries mean.
    while at + HASH < bytes.len() {
        if bytes[at].is_ascii_lowercase() {
            return None;
        }
        at += 8 + number(at + 4)?;
    }
    (at + HASH == bytes.len()).then_some(names)
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
