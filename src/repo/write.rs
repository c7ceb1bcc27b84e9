//! The way back to the disk, and the record of what was written.

use std::{
    collections::BTreeMap,
    fmt, fs,
    io::{self, Write as _},
    path::{Path, PathBuf},
};

use sha2::{Digest, Sha256};

use super::{git, real, relative, tree_of};

/// Replaces the file at `path`, whose bytes are `before` (None: there is none yet), by `after`, at once or not at all:
/// a new file beside it takes its place. Mode and owner stay; a symlink stays, its target is written.
///
/// # Errors
/// When the file is not what `before` says, cannot be written, or lies outside of its tree behind a symlink.
pub fn write(path: &Path, before: Option<&[u8]>, after: &[u8]) -> Result<(), WriteError> {
    let fail = |reason| WriteError { path: path.to_path_buf(), reason };
    let io = |e: io::Error| {
        fail(match e.kind() {
            io::ErrorKind::PermissionDenied => Unwritten::Denied,
            _ => Unwritten::Io(e),
        })
    };
    let target = target_of(path).map_err(io)?;
    let tree = real(&tree_of(path));
    if !target.starts_with(&tree) {
        return Err(fail(Unwritten::Outside { target, tree }));
    }
    let old = match fs::metadata(&target) {
        Ok(meta) => Some(meta),
        Err(e) if e.kind() == io::ErrorKind::NotFound => None,
        Err(e) => return Err(io(e)),
    };
    let unchanged = match (&old, before) {
        (None, None) => true,
        (Some(meta), Some(bytes)) => {
            // The length first: what took the file's place may be of any size.
            meta.is_file() && meta.len() == bytes.len() as u64 && fs::read(&target).map_err(io)? == bytes
        }
        _ => false,
    };
    if !unchanged {
        return Err(fail(Unwritten::Changed));
    }
    if old.as_ref().is_some_and(|m| m.permissions().readonly()) {
        return Err(fail(Unwritten::ReadOnly));
    }
    let dir = target.parent().unwrap_or(Path::new("."));
    let mut file = temporary(dir, old.is_none()).map_err(io)?;
    file.write_all(after).map_err(io)?;
    if let Some(meta) = &old {
        keep_owner(file.path(), meta);
        // After the owner, whose change clears bits of the mode.
        file.as_file().set_permissions(meta.permissions()).map_err(io)?;
    }
    file.as_file().sync_all().map_err(io)?;
    file.persist(&target).map_err(|e| io(e.error))?;
    Ok(())
}

/// A file that was not written, and why.
#[derive(Debug)]
pub struct WriteError {
    pub path: PathBuf,
    pub reason: Unwritten,
}

/// Why a file was not written.
#[derive(Debug)]
pub enum Unwritten {
    /// A symlink leads out of the tree.
    Outside {
        target: PathBuf,
        tree: PathBuf,
    },
    /// It changed after it was read, or appeared, or is gone.
    Changed,
    ReadOnly,
    Denied,
    Io(io::Error),
}

impl fmt::Display for WriteError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = self.path.display();
        match &self.reason {
            Unwritten::Outside { target, tree } => write!(
                f,
                "{path}: a symlink to {}, outside of {}: not written; name that file itself",
                target.display(),
                tree.display()
            ),
            Unwritten::Changed => write!(f, "{path}: changed since it was read: not written; run again"),
            Unwritten::ReadOnly => {
                write!(f, "{path}: is read-only: not written; make it writable (chmod u+w)")
            }
            Unwritten::Denied => {
                write!(f, "{path}: permission denied: not written; its folder must be writable too")
            }
            Unwritten::Io(e) => write!(f, "{path}: not written: {e}"),
        }
    }
}

impl std::error::Error for WriteError {}

/// What was last written to files that were clean before, in `dfopt/written` of git's folder: a hash and a path a line.
/// A file that still is as it was written, though no commit holds it, is ours and may be written again.
#[derive(Debug, Default)]
pub struct Written {
    root: PathBuf,
    file: Option<PathBuf>,
    hashes: BTreeMap<String, String>,
}

impl Written {
    /// The record of the work tree `root`; empty where there is none.
    #[must_use]
    pub fn of(root: &Path) -> Self {
        let root = real(root);
        let file = git::git_dir(&root).map(|dir| dir.join("dfopt").join("written"));
        let text = file.as_ref().and_then(|f| fs::read_to_string(f).ok()).unwrap_or_default();
        let lines = text.lines().filter_map(|line| line.split_once("  "));
        let hashes = lines.map(|(hash, path)| (path.to_owned(), hash.to_owned())).collect();
        Self { root, file, hashes }
    }

    /// Whether `bytes`, the content of `path`, are what was last written there.
    #[must_use]
    pub fn is_own_write(&self, path: &Path, bytes: &[u8]) -> bool {
        self.hashes.get(&self.name(path)).is_some_and(|hash| *hash == sha256(bytes))
    }

    /// Notes that `bytes` were written to `path`, which held nothing but committed text or our own. Call
    /// [`Written::forget`] instead after a write over the user's changes: those must stay protected.
    pub fn note(&mut self, path: &Path, bytes: &[u8]) {
        let name = self.name(path);
        if !name.contains(['\n', '\r']) {
            self.hashes.insert(name, sha256(bytes));
        }
    }

    /// Takes `path` out of the record.
    pub fn forget(&mut self, path: &Path) {
        self.hashes.remove(&self.name(path));
    }

    /// Writes the record; nothing is done outside git.
    ///
    /// # Errors
    /// When git's folder cannot be written.
    pub fn save(&self) -> io::Result<()> {
        let Some(file) = &self.file else { return Ok(()) };
        let dir = file.parent().unwrap_or(&self.root);
        fs::create_dir_all(dir)?;
        let mut new = temporary(dir, true)?;
        for (path, hash) in &self.hashes {
            writeln!(new, "{hash}  {path}")?;
        }
        new.persist(file).map_err(|e| e.error)?;
        Ok(())
    }

    fn name(&self, path: &Path) -> String {
        relative(&target_of(path).unwrap_or_else(|_| real(path)), &self.root)
    }
}

/// SHA-256 in hexadecimal.
#[must_use]
pub fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|b| format!("{b:02x}")).collect()
}

/// The file itself, through every symlink; of a file that does not exist yet, its name in its folder.
fn target_of(path: &Path) -> io::Result<PathBuf> {
    match fs::canonicalize(path) {
        Err(e) if e.kind() == io::ErrorKind::NotFound && fs::symlink_metadata(path).is_err() => {
            let path = super::absolute(path);
            match (path.parent(), path.file_name()) {
                (Some(dir), Some(name)) => Ok(fs::canonicalize(dir)?.join(name)),
                _ => Err(e),
            }
        }
        other => other,
    }
}

/// A temporary file in `dir`; one that stays as a `new` file has the mode that the umask gives.
fn temporary(dir: &Path, new: bool) -> io::Result<tempfile::NamedTempFile> {
    let mut builder = tempfile::Builder::new();
    builder.prefix(".dfopt-");
    #[cfg(unix)]
    if new {
        use std::os::unix::fs::PermissionsExt;
        return builder.permissions(fs::Permissions::from_mode(0o666)).tempfile_in(dir);
    }
    let _ = new;
    builder.tempfile_in(dir)
}

/// Root would make the file its own (`sudo dfopt --write`); anyone else owns it already or may not change it.
#[cfg(unix)]
fn keep_owner(path: &Path, meta: &fs::Metadata) {
    use std::os::unix::fs::MetadataExt;
    let _ = std::os::unix::fs::chown(path, Some(meta.uid()), Some(meta.gid()));
}

#[cfg(not(unix))]
fn keep_owner(_: &Path, _: &fs::Metadata) {}
