//! A build context that lies on the disk.

use std::{
    fs,
    io::Read,
    path::{Component, Path, PathBuf},
    sync::{Arc, OnceLock},
};

use rayon::prelude::*;

use super::{git, real};
use crate::context::{FileKind, Source, Stat};

/// A file of a context that is larger than this is not read, in bytes: manifests and lock files are smaller.
const MAX_READ: u64 = 16 << 20;
/// From how many names on a folder is worth several threads: each name is a system call.
const MANY: usize = 100;
/// As Linux counts them.
const MAX_LINKS: usize = 40;

/// The files under a folder. Paths are relative to it, with `/`; no symlink is followed out of it.
pub struct DiskSource {
    root: PathBuf,
    /// The tracked files of the work tree, and the context's place in it (`""` or `app`).
    tracked: OnceLock<Option<(Arc<git::Tracked>, String)>>,
}

impl DiskSource {
    /// The context in the folder `dir`. Nothing is read yet.
    #[must_use]
    pub fn new(dir: &Path) -> Self {
        Self { root: real(dir), tracked: OnceLock::new() }
    }

    /// Where the context's `path` is on the disk: every symlink resolved but the last one, as [`DiskSource::stat`] wants
    /// it, or with `follow` that too. None where the way leads out of the context. An absolute symlink does: in a build
    /// it starts at the context's root, on this disk elsewhere.
    fn locate(&self, path: &str, follow: bool) -> Option<PathBuf> {
        let mut todo: Vec<_> = parts(Path::new(path))?;
        todo.reverse();
        let mut at = self.root.clone();
        let mut depth = 0usize;
        let mut links = 0;
        while let Some(part) = todo.pop() {
            if part == ".." {
                depth = depth.checked_sub(1)?;
                at.pop();
                continue;
            }
            at.push(&part);
            depth += 1;
            if todo.is_empty() && !follow {
                break;
            }
            let meta = fs::symlink_metadata(&at).ok()?;
            if meta.is_symlink() {
                links += 1;
                if links > MAX_LINKS {
                    return None;
                }
                let target = fs::read_link(&at).ok()?;
                todo.extend(parts(&target)?.into_iter().rev());
                at.pop();
                depth -= 1;
            }
        }
        Some(at)
    }

    /// What git tracks in the folder `dir` of the context. None outside git and inside of a submodule.
    fn tracked_in(&self, dir: &str) -> Option<git::Folder<'_>> {
        let tracked = self.tracked.get_or_init(|| {
            let root = git::root(&self.root)?;
            Some((git::tracked(&root)?, super::relative(&self.root, &root)))
        });
        let (files, place) = tracked.as_ref()?;
        files.folder(format!("{place}/{dir}").trim_matches('/'))
    }

    fn stat_of(meta: &fs::Metadata, tracked: Option<bool>) -> Stat {
        let kind = match meta.file_type() {
            t if t.is_symlink() => FileKind::Symlink,
            t if t.is_dir() => FileKind::Dir,
            t if t.is_file() => FileKind::File,
            _ => FileKind::Other,
        };
        Stat { kind, mode: mode(meta), size: meta.len(), tracked }
    }
}

impl Source for DiskSource {
    fn read(&self, path: &str) -> Option<Vec<u8>> {
        let at = self.locate(path, true)?;
        let meta = fs::symlink_metadata(&at).ok()?;
        if !meta.is_file() || meta.len() > MAX_READ {
            return None;
        }
        let mut bytes = Vec::new();
        fs::File::open(&at).ok()?.take(MAX_READ + 1).read_to_end(&mut bytes).ok()?;
        (bytes.len() as u64 <= MAX_READ).then_some(bytes)
    }

    fn stat(&self, path: &str) -> Option<Stat> {
        let at = self.locate(path, false)?;
        let (dir, name) = path.rsplit_once('/').unwrap_or(("", path));
        let tracked = self.tracked_in(dir).map(|folder| folder.has(name));
        Some(Self::stat_of(&fs::symlink_metadata(at).ok()?, tracked))
    }

    fn list(&self, dir: &str) -> Vec<(String, Stat)> {
        let Some(at) = self.locate(dir, true) else { return Vec::new() };
        let Ok(entries) = fs::read_dir(at) else { return Vec::new() };
        let tracked = self.tracked_in(dir);
        let one = |entry: fs::DirEntry| {
            let name = entry.file_name().into_string();
            let name = name.unwrap_or_else(|name| name.to_string_lossy().into_owned());
            let tracked = tracked.as_ref().map(|folder| folder.has(&name));
            // Of an entry of a folder this is the link's own metadata.
            Some((name, Self::stat_of(&entry.metadata().ok()?, tracked)))
        };
        let entries: Vec<_> = entries.filter_map(Result::ok).collect();
        // Where several files are planned at a time, all cores are busy, and one that waits here would take up another file.
        if entries.len() < MANY || rayon::current_thread_index().is_some() {
            return entries.into_iter().filter_map(one).collect();
        }
        entries.into_par_iter().with_min_len(MANY / 2).filter_map(one).collect()
    }
}

/// The names of a relative path; None of an absolute one.
fn parts(path: &Path) -> Option<Vec<std::ffi::OsString>> {
    path.components()
        .filter(|c| *c != Component::CurDir)
        .map(|c| match c {
            Component::Normal(name) => Some(name.to_os_string()),
            Component::ParentDir => Some("..".into()),
            _ => None,
        })
        .collect()
}

#[cfg(unix)]
fn mode(meta: &fs::Metadata) -> u32 {
    use std::os::unix::fs::PermissionsExt;
    meta.permissions().mode() & 0o7777
}

/// Docker's client sends everything from Windows as 0755.
#[cfg(not(unix))]
fn mode(_: &fs::Metadata) -> u32 {
    0o755
}
