//! The build context as data: what a COPY can bring, after `.dockerignore`. Nothing is read before it is asked for.

mod ignore;
mod regex;

pub use ignore::{BadPattern, IgnoreFile, Pattern, go_match};

use ignore::{Verdict, clean, normal};
use rayon::prelude::*;
use std::collections::BTreeMap;
use std::iter;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// Longest file that is read, in bytes.
pub const MAX_FILE: usize = 1024 * 1024;

/// Most text that one context reads in a run, in bytes.
pub const MAX_TEXT: usize = 16 * 1024 * 1024;

/// From how many folders in a folder on they are worth several threads.
const MANY_FOLDERS: usize = 8;

/// Where a context comes from: a folder of the disk, or memory. Paths are relative to the context, with `/`; "" is
/// the root.
pub trait Source: Send + Sync {
    /// The bytes of a file; none if there is none, it cannot be read or it is longer than `MAX_FILE`.
    fn read(&self, path: &str) -> Option<Vec<u8>>;
    /// What is at `path`; a symlink is not followed.
    fn stat(&self, path: &str) -> Option<Stat>;
    /// The names in a folder, in any order; empty if it is no folder.
    fn list(&self, dir: &str) -> Vec<(String, Stat)>;
}

/// The kind of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum FileKind {
    File,
    Dir,
    Symlink,
    Other,
}

/// What a `Source` tells of a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stat {
    pub kind: FileKind,
    /// Permission bits, with suid, sgid and sticky.
    pub mode: u32,
    /// In bytes.
    pub size: u64,
    /// Whether git tracks it; none outside of git.
    pub tracked: Option<bool>,
}

/// What a context tells of a path that it carries.
pub type Entry = Stat;

/// Why a folder is taken for the build context.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// `--context`.
    Given,
    /// A file of the repository says so; `by` names it: "compose.yaml:12".
    Declared { by: String },
    /// The nearest folder that holds every COPY source.
    CopySources,
    /// As `CopySources`, but nothing but `COPY .` speaks for it.
    Guessed,
    /// It was handed over in memory.
    Memory,
}

/// A build context, read on demand.
pub struct Context {
    source: Arc<dyn Source>,
    dir: String,
    origin: Origin,
    /// Empty if there is none.
    ignore: IgnoreFile,
    ignore_text: Vec<u8>,
    ignore_path: Option<String>,
    /// The sources that alone are meant, if not all of it is.
    only: Option<Vec<String>>,
    cache: Mutex<Cache>,
}

#[derive(Default)]
struct Cache {
    texts: BTreeMap<String, Option<Arc<[u8]>>>,
    used: usize,
}

/// Whether a `COPY .` can bring something at or below a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Carry {
    /// It cannot, whatever there is; `why` is a sentence's end: ".dockerignore:3 (`node_modules`) keeps it out".
    No { why: String },
    /// Nothing is there now, but nothing keeps it out either.
    Absent,
    /// Something is there, and nothing is known to keep all of it out.
    Yes,
}

/// A context in memory; folders are implied by the files in them.
#[derive(Clone, Debug, Default)]
pub struct Memory {
    /// Path to bytes and mode.
    pub files: BTreeMap<String, (Vec<u8>, u32)>,
}

impl Origin {
    /// For a report, behind the folder's name.
    #[must_use]
    pub fn text(&self) -> &str {
        match self {
            Origin::Given => "--context",
            Origin::Declared { by } => by,
            Origin::CopySources => "holds every COPY source",
            Origin::Guessed => "guessed: only `COPY .` supports it",
            Origin::Memory => "in memory",
        }
    }

    /// For JSON.
    #[must_use]
    pub fn id(&self) -> &'static str {
        match self {
            Origin::Given => "given",
            Origin::Declared { .. } => "declared",
            Origin::CopySources => "copy-sources",
            Origin::Guessed => "guessed",
            Origin::Memory => "memory",
        }
    }
}

impl Context {
    /// The context `source`; `dir` is its name for the user, `dockerfile` the Dockerfile's path in the context (or
    /// empty). The ignore file is `<dockerfile>.dockerignore`, or else `.dockerignore` (moby/buildkit 73ed6825c
    /// `frontend/dockerui`); it alone is read now. For a Dockerfile outside of its context see `with_ignore`.
    #[must_use]
    pub fn new(source: Arc<dyn Source>, dir: String, origin: Origin, dockerfile: &str) -> Self {
        let own = (!dockerfile.is_empty()).then(|| normal(&format!("{dockerfile}.dockerignore")));
        let candidates = own.into_iter().chain([".dockerignore".to_string()]);
        let found = candidates.into_iter().find_map(|path| {
            let file = match source.read(&path) {
                Some(bytes) => (IgnoreFile::parse(&bytes), bytes),
                None if source.stat(&path)?.kind == FileKind::File => {
                    (IgnoreFile::unreadable("it is too long or cannot be read"), Vec::new())
                }
                None => return None,
            };
            Some((path, file))
        });
        let (ignore_path, (ignore, ignore_text)) =
            found.map_or_else(Default::default, |(path, file)| (Some(path), file));
        Self { source, dir, origin, ignore, ignore_text, ignore_path, only: None, cache: Mutex::default() }
    }

    /// A context of text files with mode 644, for tests.
    #[must_use]
    pub fn memory(files: &[(&str, &str)]) -> Self {
        Self::new(Arc::new(Memory::new(files)), ".".to_string(), Origin::Memory, "Dockerfile")
    }

    /// The same context under the ignore file `bytes`, which lies beside a Dockerfile elsewhere; `path` is its name
    /// for the user.
    #[must_use]
    pub fn with_ignore(&self, path: String, bytes: &[u8]) -> Self {
        Self {
            source: self.source.clone(),
            dir: self.dir.clone(),
            origin: self.origin.clone(),
            ignore: IgnoreFile::parse(bytes),
            ignore_text: bytes.to_vec(),
            ignore_path: Some(path),
            only: self.only.clone(),
            // what was read may be left out now
            cache: Mutex::default(),
        }
    }

    /// What the sources of some COPYs bring of this context, each a path or a pattern, and nothing else.
    #[must_use]
    pub fn only(&self, sources: &[String]) -> Self {
        let sources: Vec<String> = sources.iter().map(|s| normal(s)).collect();
        let paths = sources.iter().flat_map(|s| self.select(s).unwrap_or_default()).collect();
        Self {
            source: Arc::new(Part { whole: self.source.clone(), paths }),
            dir: self.dir.clone(),
            origin: self.origin.clone(),
            ignore: self.ignore.clone(),
            ignore_text: self.ignore_text.clone(),
            ignore_path: self.ignore_path.clone(),
            only: Some(sources),
            cache: Mutex::default(),
        }
    }

    /// Whether only `COPY .` speaks for this folder, so that what rests on it is an assumption.
    #[must_use]
    pub fn is_guess(&self) -> bool {
        self.origin == Origin::Guessed
    }

    /// The folder, as shown to the user.
    #[must_use]
    pub fn dir(&self) -> &str {
        &self.dir
    }

    /// Why it is the context.
    #[must_use]
    pub fn origin(&self) -> &Origin {
        &self.origin
    }

    /// The ignore file in force. If it has an `error()`, each build of the context fails.
    #[must_use]
    pub fn ignore(&self) -> Option<&IgnoreFile> {
        self.ignore_path.as_ref().map(|_| &self.ignore)
    }

    /// The path of the ignore file in force.
    #[must_use]
    pub fn ignore_path(&self) -> Option<&str> {
        self.ignore_path.as_deref()
    }

    /// The bytes of the ignore file in force.
    #[must_use]
    pub fn ignore_bytes(&self) -> Option<&[u8]> {
        self.ignore_path.as_ref().map(|_| self.ignore_text.as_slice())
    }

    /// What the context carries at `path`: one stat. None if it is absent or left out. A folder counts as carried
    /// unless all of it is left out, as something in it may be brought back.
    #[must_use]
    pub fn entry(&self, path: &str) -> Option<Entry> {
        let path = normal(path);
        let stat = self.source.stat(&path)?;
        self.carries(&path, stat.kind).then_some(stat)
    }

    /// Whether `path` is there but left out.
    #[must_use]
    pub fn exists_ignored(&self, path: &str) -> bool {
        let path = normal(path);
        self.source.stat(&path).is_some_and(|stat| !self.carries(&path, stat.kind))
    }

    /// The bytes of a file that the context carries; none too if it is longer than `MAX_FILE`, or if `MAX_TEXT` is
    /// spent. Each file is read once.
    #[must_use]
    pub fn read(&self, path: &str) -> Option<Arc<[u8]>> {
        let path = normal(path);
        let mut cache = self.cache.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(text) = cache.texts.get(&path) {
            return text.clone();
        }
        let text = self.fetch(&path, MAX_TEXT - cache.used);
        cache.used += text.as_ref().map_or(0, |text| text.len());
        cache.texts.insert(path, text.clone());
        text
    }

    /// As `read`, if it is UTF-8.
    #[must_use]
    pub fn read_text(&self, path: &str) -> Option<String> {
        String::from_utf8(self.read(path)?.to_vec()).ok()
    }

    /// Whether ADD may unpack the file `path`: it tells an archive by its content (moby/buildkit 73ed6825c
    /// `solver/llbsolver/file/unpack.go`). No for a text, as each tar header holds NULs, and each packed file starts with a mark.
    #[must_use]
    pub fn may_be_archive(&self, path: &str) -> bool {
        let marks: [&[u8]; 5] = [b"\x1f\x8b", b"BZh", b"\xfd7zXZ", b"\x28\xb5\x2f\xfd", b"\x50\x2a\x4d\x18"];
        self.read(path).is_none_or(|bytes| {
            let head = &bytes[..bytes.len().min(512)];
            marks.iter().any(|m| head.starts_with(m)) || head.contains(&0)
        })
    }

    /// The names in a folder that the context carries, sorted.
    #[must_use]
    pub fn list(&self, dir: &str) -> Vec<(String, Entry)> {
        let dir = normal(dir);
        let mut entries = self.carried(&dir, &self.ignore.walk(&dir));
        entries.sort_by(|a, b| a.0.cmp(&b.0));
        let start = if dir.is_empty() { 0 } else { dir.len() + 1 };
        entries.into_iter().map(|(path, entry, _)| (path[start..].to_string(), entry)).collect()
    }

    /// What the context carries below `dir`, part by part: a folder comes before what is in it. None if these are more than
    /// `limit` entries. Symlinks are not followed.
    #[must_use]
    pub fn walk(&self, dir: &str, limit: usize) -> Option<Vec<(String, Entry)>> {
        let dir = normal(dir);
        self.all_below(&dir, &self.ignore.walk(&dir), &AtomicUsize::new(limit))
    }

    /// The entries that a source of a COPY names, in the order of the copy: one for a path without wildcards, if it
    /// is there; "" is the whole context. None if the pattern is malformed. It walks the folders that a wildcard
    /// ranges over (moby/buildkit 73ed6825c `vendor/github.com/tonistiigi/fsutil/copy/copy.go`, ResolveWildcards).
    #[must_use]
    pub fn select(&self, pattern: &str) -> Option<Vec<String>> {
        let pattern = clean(&format!("/{pattern}"));
        let pattern = &pattern[1..];
        let parts: Vec<&str> = pattern.split('/').collect();
        let Some(wild) = parts.iter().position(|part| has_wildcard(part)) else {
            return Some(self.entry(pattern).map(|_| pattern.to_string()).into_iter().collect());
        };
        let dir = parts[..wild].join("/");
        let wildcards = parts[wild..].join("/");
        go_match(&wildcards, "").ok()?;
        let skip = if dir.is_empty() { 0 } else { dir.len() + 1 };
        let mut found = Vec::new();
        // A class such as `[^a]` matches a slash too, so a pattern with one is asked of the whole path at any depth;
        // otherwise no path deeper than the pattern can match.
        let depth = if wildcards.contains('[') { usize::MAX } else { parts.len() - wild };
        self.visit(&dir, &mut |path| {
            let path_in = &path[skip..];
            if go_match(&wildcards, path_in) == Ok(true) {
                found.push(path.to_string());
                return false;
            }
            path_in.split('/').count() < depth
        });
        Some(found)
    }

    /// Whether a `COPY .` can bring something at or below `path`.
    #[must_use]
    pub fn may_carry(&self, path: &str) -> Carry {
        let path = normal(path);
        if let Some(name) = &self.ignore_path
            && self.ignore.excludes(&path)
            && self.ignore.excludes_all_below(&path)
        {
            let by = self.ignore.excluded_by(&path).map(|p| format!(":{} (`{}`)", p.line, p.raw.trim()));
            return Carry::No { why: format!("{name}{} keeps it out", by.unwrap_or_default()) };
        }
        if self.only.as_ref().is_some_and(|sources| !sources.iter().any(|s| meets(s, &path))) {
            return Carry::No { why: format!("no COPY brings {path}") };
        }
        if self.entry(&path).is_some() { Carry::Yes } else { Carry::Absent }
    }

    /// Whether each path whose last part is `name` is left out, at any depth and with everything in it. It holds as
    /// long as the files which exceptions (`!README.md`) name stay files.
    #[must_use]
    pub fn keeps_out(&self, name: &str) -> bool {
        self.ignore.would_exclude_all_if(name, &|pattern| {
            if pattern.is_literal() {
                return self.source.stat(&pattern.cleaned).is_some_and(|stat| stat.kind == FileKind::File);
            }
            let is_dir = |(name, stat): &(String, Stat)| stat.kind == FileKind::Dir && pattern.matches(name);
            pattern.is_shallow() && !self.source.list("").iter().any(is_dir)
        })
    }

    // Bytes for `read`, not more than `left`.
    fn fetch(&self, path: &str, left: usize) -> Option<Arc<[u8]>> {
        let stat = self.entry(path)?;
        let size = usize::try_from(stat.size).ok()?;
        if stat.kind == FileKind::Dir || size > MAX_FILE.min(left) {
            return None;
        }
        // The size of a symlink is not that of its target.
        let bytes = self.source.read(path).filter(|bytes| bytes.len() <= MAX_FILE.min(left))?;
        Some(bytes.into())
    }

    fn carries(&self, path: &str, kind: FileKind) -> bool {
        self.keeps(path, kind, &self.ignore.walk(path))
    }

    fn keeps(&self, path: &str, kind: FileKind, verdict: &Verdict) -> bool {
        !verdict.excluded || (kind == FileKind::Dir && !self.ignore.all_below(path, verdict))
    }

    // The paths in `dir` that the context carries, in any order.
    fn carried(&self, dir: &str, parent: &Verdict) -> Vec<(String, Entry, Verdict)> {
        let judged = self.source.list(dir).into_iter().filter_map(|(name, entry)| {
            let path = if dir.is_empty() { name } else { join(dir, &name) };
            let verdict = self.ignore.step(&path, parent);
            self.keeps(&path, entry.kind, &verdict).then_some((path, entry, verdict))
        });
        judged.collect()
    }

    // As `walk`; `left` is how many more there may be.
    fn all_below(&self, dir: &str, verdict: &Verdict, left: &AtomicUsize) -> Option<Vec<(String, Entry)>> {
        let mut entries = self.carried(dir, verdict);
        let count = |left: usize| left.checked_sub(entries.len());
        left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, count).ok()?;
        entries.sort_by(|a, b| a.0.cmp(&b.0));
        let enter = |(path, entry, verdict): &(String, Entry, Verdict)| match entry.kind {
            FileKind::Dir => self.all_below(path, verdict, left),
            _ => Some(Vec::new()),
        };
        let folders = entries.iter().filter(|e| e.1.kind == FileKind::Dir).count();
        // Where several files are planned at a time, all cores are busy.
        let below: Option<Vec<_>> = match folders < MANY_FOLDERS || rayon::current_thread_index().is_some() {
            true => entries.iter().map(enter).collect(),
            false => entries.par_iter().map(enter).collect(),
        };
        let joined = entries.into_iter().zip(below?);
        Some(joined.flat_map(|((path, entry, _), below)| iter::once((path, entry)).chain(below)).collect())
    }

    // Shows each path below `dir` to `see`, a folder before what is in it, which is shown too if it says so.
    fn visit(&self, dir: &str, see: &mut dyn FnMut(&str) -> bool) {
        let dir = normal(dir);
        let verdict = self.ignore.walk(&dir);
        let mut todo = self.paths_under(&dir, &verdict);
        while let Some((path, entry, verdict)) = todo.pop() {
            if see(&path) && entry.kind == FileKind::Dir {
                todo.extend(self.paths_under(&path, &verdict));
            }
        }
    }

    // Last name first, to be taken from the end.
    fn paths_under(&self, dir: &str, verdict: &Verdict) -> Vec<(String, Entry, Verdict)> {
        let mut entries = self.carried(dir, verdict);
        entries.sort_by(|a, b| b.0.cmp(&a.0));
        entries
    }
}

impl Memory {
    /// Text files with mode 644.
    #[must_use]
    pub fn new(files: &[(&str, &str)]) -> Self {
        let file = |(path, text): &(&str, &str)| (normal(path), (text.as_bytes().to_vec(), 0o644));
        Self { files: files.iter().map(file).collect() }
    }

    fn below(&self, dir: &str) -> impl Iterator<Item = (&str, &(Vec<u8>, u32))> {
        let prefix = if dir.is_empty() { String::new() } else { format!("{dir}/") };
        let files = self.files.range(prefix.clone()..).map_while(move |(path, file)| {
            let rest = path.strip_prefix(&prefix)?;
            Some((rest, file))
        });
        files.filter(|(rest, _)| !rest.is_empty())
    }
}

impl Source for Memory {
    fn read(&self, path: &str) -> Option<Vec<u8>> {
        self.files.get(path).map(|(bytes, _)| bytes.clone()).filter(|bytes| bytes.len() <= MAX_FILE)
    }

    fn stat(&self, path: &str) -> Option<Stat> {
        match self.files.get(path) {
            Some(file) => Some(file_stat(file)),
            None => (path.is_empty() || self.below(path).next().is_some()).then_some(FOLDER),
        }
    }

    fn list(&self, dir: &str) -> Vec<(String, Stat)> {
        let mut names = BTreeMap::new();
        for (rest, file) in self.below(dir) {
            match rest.split_once('/') {
                Some((name, _)) => names.insert(name.to_string(), FOLDER),
                None => names.insert(rest.to_string(), file_stat(file)),
            };
        }
        names.into_iter().collect()
    }
}

// A part of a context: some paths, with what is below them.
struct Part {
    whole: Arc<dyn Source>,
    paths: Vec<String>,
}

impl Part {
    fn brings(&self, path: &str) -> bool {
        self.paths.iter().any(|p| is_below(path, p))
    }
}

impl Source for Part {
    fn read(&self, path: &str) -> Option<Vec<u8>> {
        self.brings(path).then(|| self.whole.read(path))?
    }

    fn stat(&self, path: &str) -> Option<Stat> {
        let leads_to_one = self.paths.iter().any(|p| is_below(p, path));
        (leads_to_one || self.brings(path)).then(|| self.whole.stat(path))?
    }

    fn list(&self, dir: &str) -> Vec<(String, Stat)> {
        let mut names = self.whole.list(dir);
        names.retain(|(name, _)| self.stat(&join(dir, name)).is_some());
        names
    }
}

// Whether `path` is `dir` or lies below it.
fn is_below(path: &str, dir: &str) -> bool {
    dir.is_empty() || path == dir || path.strip_prefix(dir).is_some_and(|rest| rest.starts_with('/'))
}

// Whether the source of a COPY, a path or a pattern, may bring something at, above or below `path`.
fn meets(source: &str, path: &str) -> bool {
    if !source.split('/').any(has_wildcard) {
        return is_below(path, source) || is_below(source, path);
    }
    let ends = path.match_indices('/').map(|(at, _)| at).chain([path.len()]);
    let leads = ends.map(|end| &path[..end]).any(|lead| go_match(source, lead) != Ok(false));
    let fixed = source.split('/').take_while(|part| !has_wildcard(part)).collect::<Vec<_>>().join("/");
    leads || is_below(&fixed, path)
}

const FOLDER: Stat = Stat { kind: FileKind::Dir, mode: 0o755, size: 0, tracked: None };

fn file_stat((bytes, mode): &(Vec<u8>, u32)) -> Stat {
    Stat { kind: FileKind::File, mode: *mode, size: bytes.len() as u64, tracked: None }
}

fn join(dir: &str, name: &str) -> String {
    if dir.is_empty() { name.to_string() } else { [dir, "/", name].concat() }
}

// `containsWildcards` of fsutil: an escaped wildcard alone makes no pattern.
fn has_wildcard(part: &str) -> bool {
    let mut bytes = part.bytes();
    while let Some(byte) = bytes.next() {
        match byte {
            b'\\' => drop(bytes.next()),
            b'*' | b'?' | b'[' => return true,
            _ => {}
        }
    }
    false
}

#[cfg(test)]
mod tests;
