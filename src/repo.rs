//! The disk: which Dockerfiles there are, their bytes, the folder that is their build context, what the repository says
//! of their builds, and the way back by an atomic write. Everything above works on what this module hands over.

use std::{
    fmt, fs,
    io::{self, Read},
    path::{Component, Path, PathBuf},
};

pub mod git;
pub mod find;
pub mod disk;
pub mod declared;
pub mod choose;
pub mod write;

pub use choose::{Chosen, Wants, choose_context};
pub use declared::{Build, Declared};
pub use disk::DiskSource;
pub use find::{Found, find};
pub use write::{WriteError, write};

/// The default of `--max-file-size`, in bytes. The longest Dockerfile of any use has some 100 KB.
pub const MAX_FILE_SIZE: u64 = 8 << 20;

/// The bytes of the file at `path`. A file of more than `max` bytes is not read. A pipe is read (`<(…)` of a shell).
///
/// # Errors
/// When there is no such file, it is a folder, too large, or cannot be read.
pub fn read(path: &Path, max: u64) -> Result<Vec<u8>, ReadError> {
    let fail = |reason| ReadError { path: path.to_path_buf(), reason };
    let meta = fs::metadata(path).map_err(|e| fail(Unread::of(path, e)))?;
    if meta.is_dir() {
        return Err(fail(Unread::Folder));
    }
    if meta.len() > max {
        return Err(fail(Unread::TooLarge { size: Some(meta.len()), max }));
    }
    let mut bytes = Vec::with_capacity(meta.len() as usize + 1);
    let file = fs::File::open(path).map_err(|e| fail(Unread::of(path, e)))?;
    file.take(max.saturating_add(1)).read_to_end(&mut bytes).map_err(|e| fail(Unread::of(path, e)))?;
    if bytes.len() as u64 > max {
        return Err(fail(Unread::TooLarge { size: None, max }));
    }
    Ok(bytes)
}

/// A file that was not read: its name, why, and what to do about it.
#[derive(Debug)]
pub struct ReadError {
    pub path: PathBuf,
    pub reason: Unread,
}

/// Why a file was not read.
#[derive(Debug)]
pub enum Unread {
    Missing,
    /// A symlink whose target is not there.
    Dangling,
    Folder,
    Denied,
    /// More bytes than `max`; `size` is not known of a pipe.
    TooLarge {
        size: Option<u64>,
        max: u64,
    },
    Io(io::Error),
}

impl Unread {
    fn of(path: &Path, error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::NotFound if fs::symlink_metadata(path).is_ok() => Unread::Dangling,
            io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => Unread::Missing,
            io::ErrorKind::PermissionDenied => Unread::Denied,
            _ => Unread::Io(error),
        }
    }
}

impl ReadError {
    /// Its name in JSON: `file-missing` and the like.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self.reason {
            Unread::Missing => "file-missing",
            Unread::Dangling => "link-dangling",
            Unread::Folder => "is-a-folder",
            Unread::Denied => "file-unreadable",
            Unread::TooLarge { .. } => "file-too-large",
            Unread::Io(_) => "read-failed",
        }
    }
}

impl fmt::Display for ReadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = self.path.display();
        match &self.reason {
            Unread::Missing => write!(f, "{path}: no such file or folder; check the path"),
            Unread::Dangling => {
                write!(f, "{path}: a symlink to a file that does not exist; repair or remove the link")
            }
            Unread::Folder => write!(f, "{path}: is a folder; name a file in it"),
            Unread::Denied => {
                write!(f, "{path}: permission denied; make it readable, or leave it out with --exclude")
            }
            Unread::TooLarge { size, max } => {
                match size {
                    Some(size) => write!(f, "{path}: has {size} bytes, ")?,
                    None => write!(f, "{path}: is too large, ")?,
                }
                write!(f, "the limit is {max}; raise --max-file-size, or leave it out with --exclude")
            }
            Unread::Io(e) => write!(f, "{path}: cannot be read: {e}"),
        }
    }
}

impl std::error::Error for ReadError {}

/// The path from the file system's root, `.` and `..` taken out by name, symlinks left alone.
#[must_use]
pub fn absolute(path: &Path) -> PathBuf {
    normal(&std::path::absolute(path).unwrap_or_else(|_| path.to_path_buf()))
}

/// `path` without `.` and `..`, by name alone.
#[must_use]
pub fn normal(path: &Path) -> PathBuf {
    let mut out = PathBuf::new();
    for part in path.components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir if matches!(out.components().next_back(), Some(Component::Normal(_))) => {
                out.pop();
            }
            Component::ParentDir if out.has_root() => {}
            _ => out.push(part),
        }
    }
    out
}

/// The path with every symlink resolved; of what does not exist, the absolute path.
#[must_use]
pub fn real(path: &Path) -> PathBuf {
    fs::canonicalize(path).unwrap_or_else(|_| absolute(path))
}

/// `path` from `root`, with `/` between the names; the whole path where it lies outside.
#[must_use]
pub fn relative(path: &Path, root: &Path) -> String {
    let rest = path.strip_prefix(root).unwrap_or(path);
    if rest.has_root() {
        return rest.to_string_lossy().into_owned();
    }
    let names: Vec<_> = rest.components().map(|c| c.as_os_str().to_string_lossy()).collect();
    names.join("/")
}

/// The tree that a file belongs to and that a write must not leave: its work tree, or outside git its folder.
#[must_use]
pub fn tree_of(path: &Path) -> PathBuf {
    let path = absolute(path);
    git::root(&path).unwrap_or_else(|| path.parent().unwrap_or(&path).to_path_buf())
}

/// The root of the repository that `path` is part of: its work tree, or outside git the first of `folders` that it lies in, such as a
/// project that was unpacked from an archive. The home folder and the file system's root are no repository.
#[must_use]
pub fn root_of(path: &Path, folders: &[PathBuf]) -> Option<PathBuf> {
    let path = absolute(path);
    let is_project = |dir: &PathBuf| {
        path.starts_with(dir) && dir.parent().is_some() && std::env::home_dir().as_ref() != Some(dir)
    };
    git::root(&path).or_else(|| folders.iter().map(|f| absolute(f)).filter(|f| f.is_dir()).find(is_project))
}

#[cfg(test)]
mod tests;
