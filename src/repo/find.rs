//! Which files are Dockerfiles.

use std::{
    collections::BTreeMap,
    env, fs,
    io::Read,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
};

use ignore::{
    DirEntry, WalkBuilder, WalkState,
    gitignore::{Gitignore, GitignoreBuilder},
};

use super::declared::may_declare;
use super::{ReadError, Unread, absolute, git, normal, real, tree_of};

/// From how many tracked files on a work tree is walked by several threads.
const LARGE: usize = 1_000;

/// The Dockerfiles that were found, and what could not be looked at.
#[derive(Debug, Default)]
pub struct Found {
    /// Sorted by path; each real file once. Paths start as the argument that led to them does.
    pub files: Vec<PathBuf>,
    /// One line each, with the name of the file or folder.
    pub errors: Vec<String>,
}

/// The Dockerfiles of `paths`: files are taken whatever their name; folders are walked under `.gitignore` for the names
/// of [`is_dockerfile_name`]. `exclude` are globs as in a `.gitignore` that stands in `base` (the folder of the config,
/// or the working folder); they hold for walked files alone.
#[must_use]
pub fn find(paths: &[PathBuf], exclude: &[String], base: &Path) -> Found {
    let mut found = Found::default();
    let mut taken = Taken::default();
    for path in paths {
        match fs::metadata(path) {
            Ok(meta) if meta.is_dir() => walk(path, exclude, base, &mut taken, &mut found.errors),
            Ok(_) => taken.add(real(path), path.clone(), 0),
            Err(e) => {
                found.errors.push(ReadError { path: path.clone(), reason: Unread::of(path, e) }.to_string());
            }
        }
    }
    found.files = taken.by_real.into_values().map(|(_, path)| path).collect();
    found.files.sort();
    found.errors.sort();
    found.errors.dedup();
    found
}

/// Whether a file of this name is a Dockerfile to be found: `Dockerfile` or `Containerfile`, alone or with an ending or a
/// beginning (`Dockerfile.dev`, `Dockerfile-dev`, `Dockerfile_dev`, `dev.Dockerfile`), in any case. Ignore files,
/// templates, documents and leftovers of other tools are none.
#[must_use]
pub fn is_dockerfile_name(name: &str) -> bool {
    kind_of_name(name) != Name::Other
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Name {
    Dockerfile,
    /// `Dockerfile.go` builds a Go program, `dockerfile.go` is one: only the text tells.
    Unsure,
    Other,
}

/// Endings of files that are about a Dockerfile.
const NOT_DOCKERFILES: &[&str] = &[
    "dockerignore",
    "containerignore",
    "j2",
    "jinja",
    "jinja2",
    "tmpl",
    "tpl",
    "template",
    "tt",
    "in",
    "erb",
    "ejs",
    "hbs",
    "mustache",
    "gotmpl",
    "m4",
    "mako",
    "twig",
    "liquid",
    "cog",
    "md",
    "markdown",
    "rst",
    "adoc",
    "txt",
    "html",
    "htm",
    "pdf",
    "orig",
    "bak",
    "backup",
    "rej",
    "patch",
    "diff",
    "swp",
    "swo",
    "swn",
    "tmp",
    "log",
    "lock",
    "png",
    "svg",
    "gif",
    "snap",
    "tar",
    "gz",
    "zip",
];

/// Endings of program sources, which are names of ecosystems as well.
const SOURCES: &[&str] = &[
    "go", "py", "js", "mjs", "cjs", "ts", "tsx", "jsx", "rb", "rs", "java", "kt", "scala", "cs", "php", "sh",
    "bash", "ps1", "c", "cc", "cpp", "h", "hpp", "lua", "vim", "el", "json", "yaml", "yml", "toml", "xml",
    "ex", "exs", "hs", "ml", "clj", "dart", "swift", "pl", "r", "test", "cue", "nix", "tf", "bzl",
];

fn kind_of_name(name: &str) -> Name {
    let name = name.to_ascii_lowercase();
    if name.ends_with('~') || name.starts_with(".#") || name.starts_with('#') {
        return Name::Other;
    }
    let ending = name.rsplit_once('.').map_or("", |(_, e)| e);
    for stem in ["dockerfile", "containerfile"] {
        if name == stem || name.strip_suffix(stem).is_some_and(|rest| rest.len() > 1 && rest.ends_with('.')) {
            return Name::Dockerfile;
        }
        let Some(rest) = name.strip_prefix(stem) else { continue };
        if rest.len() > 1 && rest.starts_with(['.', '-', '_']) {
            return match ending {
                e if NOT_DOCKERFILES.contains(&e) => Name::Other,
                e if SOURCES.contains(&e) => Name::Unsure,
                _ => Name::Dockerfile,
            };
        }
    }
    Name::Other
}

/// Whether the file at `path`, of the name `name`, is a Dockerfile to be found. Reads the head of a doubtful one.
#[must_use]
pub fn is_dockerfile(path: &Path, name: &str) -> bool {
    match kind_of_name(name) {
        Name::Dockerfile => true,
        Name::Other => false,
        Name::Unsure => {
            let mut head = Vec::new();
            let read = fs::File::open(path).and_then(|f| f.take(16 << 10).read_to_end(&mut head));
            read.is_ok() && starts_as_dockerfile(&head)
        }
    }
}

/// Whether the first line that is neither blank nor a comment is FROM or ARG.
fn starts_as_dockerfile(text: &[u8]) -> bool {
    let text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text);
    let mut lines = text.split(|&b| b == b'\n').map(<[u8]>::trim_ascii);
    lines.find(|l| !l.is_empty() && !l.starts_with(b"#")).is_some_and(|line| {
        let word = line.split(u8::is_ascii_whitespace).next().unwrap_or_default();
        word.eq_ignore_ascii_case(b"from") || word.eq_ignore_ascii_case(b"arg")
    })
}

fn walk(root: &Path, exclude: &[String], base: &Path, taken: &mut Taken, errors: &mut Vec<String>) {
    let excluded = match excluder(root, exclude, base) {
        Ok(x) => x,
        Err(e) => return errors.push(e),
    };
    let tree = real(&tree_of(&root.join("any")));
    let listing =
        if exclude.is_empty() { Listing::of(root, usize::MAX) } else { list(root, excluded, usize::MAX) };
    let Some(listing) = listing else { return };
    errors.extend(listing.errors.iter().cloned());
    let real_root = real(root);
    for (path, is_symlink) in &listing.files {
        // no symlink leads to what a walk meets, so only those that it meets are resolved
        let below = path.strip_prefix(&listing.root).unwrap_or(path);
        meet(path, &real_root.join(below), *is_symlink, &tree, taken, errors);
    }
}

/// The files of a tree that matter by their names: Dockerfiles, and what may declare a build of one.
#[derive(Debug, Default)]
pub(super) struct Listing {
    /// The root, as it was given; all paths start with it.
    pub root: PathBuf,
    /// Sorted by path, each with whether it is a symlink.
    pub files: Vec<(PathBuf, bool)>,
    errors: Vec<String>,
    /// How many files and folders there are.
    seen: usize,
}

impl Listing {
    /// The files below `root`, which is walked once a process, for the Dockerfiles to find and for what declares their builds. None:
    /// there are more than `limit` files and folders.
    pub(super) fn of(root: &Path, limit: usize) -> Option<Arc<Listing>> {
        static CACHE: Mutex<BTreeMap<PathBuf, Arc<Listing>>> = Mutex::new(BTreeMap::new());
        let cache = || CACHE.lock().unwrap_or_else(PoisonError::into_inner);
        let key = real(root);
        if let Some(listing) = cache().get(&key) {
            return (listing.seen <= limit).then(|| listing.clone());
        }
        let listing = list(root, Gitignore::empty(), limit)?;
        cache().insert(key, listing.clone());
        Some(listing)
    }
}

fn list(root: &Path, excluded: Gitignore, limit: usize) -> Option<Arc<Listing>> {
    let out = Mutex::new(Listing { root: root.to_path_buf(), ..Listing::default() });
    let seen = AtomicUsize::new(0);
    let tree = real(&tree_of(&root.join("any")));
    each(walker(root, excluded), &tree, |entry| {
        let listing = || out.lock().unwrap_or_else(PoisonError::into_inner);
        match entry {
            Ok(entry) => listing().files.extend(named(entry)),
            Err(e) => listing().errors.push(unwalked(&e)),
        }
        seen.fetch_add(1, Ordering::Relaxed) < limit
    });
    let mut listing = out.into_inner().unwrap_or_else(PoisonError::into_inner);
    listing.seen = seen.into_inner();
    listing.files.sort();
    (listing.seen <= limit).then(|| Arc::new(listing))
}

/// The file or symlink of an entry, if its name matters.
pub(super) fn named(entry: DirEntry) -> Option<(PathBuf, bool)> {
    let kind = entry.file_type().filter(|t| t.is_file() || t.is_symlink())?;
    let name = entry.file_name().to_str()?;
    (kind_of_name(name) != Name::Other || may_declare(name)).then(|| (entry.into_path(), kind.is_symlink()))
}

/// Takes a file that a walk met, if it is a Dockerfile in the work tree `tree`. `place` is its path with the symlinks above it resolved.
fn meet(
    path: &Path,
    place: &Path,
    is_symlink: bool,
    tree: &Path,
    taken: &mut Taken,
    errors: &mut Vec<String>,
) {
    let name = path.file_name().and_then(|n| n.to_str()).unwrap_or_default();
    if kind_of_name(name) == Name::Other {
        return;
    }
    if is_symlink {
        let target = match fs::metadata(path) {
            Ok(meta) if meta.is_file() => real(path),
            Ok(_) => return,
            Err(e) => {
                let shown = path.strip_prefix("./").unwrap_or(path).to_path_buf();
                return errors.push(ReadError { path: shown, reason: Unread::of(path, e) }.to_string());
            }
        };
        if !target.starts_with(tree) {
            errors.push(format!(
                "{}: a symlink to {}, outside of {}; name the file itself",
                path.display(),
                target.display(),
                tree.display()
            ));
            return;
        }
    }
    if is_dockerfile(path, name) {
        let shown = path.strip_prefix("./").unwrap_or(path);
        let (key, rank) = if is_symlink { (real(path), 2) } else { (place.to_path_buf(), 1) };
        taken.add(key, shown.to_path_buf(), rank);
    }
}

/// Why a folder was not walked, with its name.
fn unwalked(error: &ignore::Error) -> String {
    let mut inner = error;
    loop {
        match inner {
            ignore::Error::WithDepth { err, .. } | ignore::Error::WithLineNumber { err, .. } => inner = err,
            ignore::Error::WithPath { path, err } => {
                let shown = path.strip_prefix("./").unwrap_or(path).display();
                let denied = err.io_error().is_some_and(|e| e.kind() == std::io::ErrorKind::PermissionDenied);
                return match denied {
                    true => format!(
                        "{shown}: permission denied; make the folder readable, or leave it out with --exclude"
                    ),
                    false => format!("{shown}: cannot be looked at: {err}"),
                };
            }
            other => return other.to_string(),
        }
    }
}

/// A walk of `root` under `.gitignore`, also outside git, sorted, hidden folders included (`.devcontainer`, `.github`)
/// but for the folders of version control; no symlink is followed.
pub(super) fn walker(root: &Path, excluded: Gitignore) -> WalkBuilder {
    // asked for once: it would be a system call for each entry
    let cwd = absolute(Path::new("."));
    let mut builder = WalkBuilder::new(root);
    builder.hidden(false).require_git(false).git_global(has_global_ignore()).follow_links(false);
    builder.sort_by_file_name(Ord::cmp).filter_entry(move |entry| {
        let name = entry.file_name();
        let is_dir = entry.file_type().is_some_and(|t| t.is_dir());
        if entry.depth() == 0 {
            return true;
        }
        let of_versions = name == ".git" || name == ".hg" || name == ".svn";
        let is_excluded = || excluded.matched(normal(&cwd.join(entry.path())), is_dir).is_ignore();
        !of_versions && (excluded.is_empty() || !is_excluded())
    });
    builder
}

/// Whether git's configuration of the user names an ignore file, or has one where git looks for it. Where there is none, the
/// walk need not compile the expression that finds its name, which took longer than a small walk itself.
fn has_global_ignore() -> bool {
    let home = env::home_dir().unwrap_or_default();
    let config = env::var_os("XDG_CONFIG_HOME").filter(|x| !x.is_empty());
    let config = config.map_or_else(|| home.join(".config"), PathBuf::from).join("git");
    let names_one = |path: PathBuf| {
        fs::read_to_string(path).is_ok_and(|text| text.to_ascii_lowercase().contains("excludesfile"))
    };
    names_one(home.join(".gitconfig")) || names_one(config.join("config")) || config.join("ignore").exists()
}

/// Shows each entry of a walk in the work tree `tree` to `see`, in no order, until it says no. The walk for several threads
/// reads a folder as a whole, so it need not ask in each whether there is an ignore file: it is the faster one on a single
/// thread too. More are for trees that are known to be large, as those that find nothing to do sleep for a while.
fn each(mut walker: WalkBuilder, tree: &Path, see: impl Fn(Result<DirEntry, ignore::Error>) -> bool + Sync) {
    let is_large = git::tracked(tree).is_some_and(|t| t.count() > LARGE);
    walker
        .threads(usize::from(!is_large)) // 0: one for each core
        .build_parallel()
        .run(|| Box::new(|entry| if see(entry) { WalkState::Continue } else { WalkState::Quit }));
}

fn excluder(root: &Path, exclude: &[String], base: &Path) -> Result<Gitignore, String> {
    let (root, base) = (absolute(root), absolute(base));
    let mut builder = GitignoreBuilder::new(if root.starts_with(&base) { base } else { root });
    for glob in exclude {
        builder.add_line(None, glob).map_err(|e| format!("--exclude {glob}: {e}"))?;
    }
    builder.build().map_err(|e| format!("--exclude: {e}"))
}

/// One path for each real file: that of the lowest rank, then the first by name.
#[derive(Default)]
struct Taken {
    by_real: BTreeMap<PathBuf, (u8, PathBuf)>,
}

impl Taken {
    /// `key` is the real path.
    fn add(&mut self, key: PathBuf, path: PathBuf, rank: u8) {
        let new = (rank, path);
        match self.by_real.get_mut(&key) {
            Some(old) if *old <= new => {}
            Some(old) => *old = new,
            None => {
                self.by_real.insert(key, new);
            }
        }
    }
}
