//! What a build costs, measured: how many steps run again, and for how long, after an edit of a source file and of a manifest. It is
//! the cost model's test too.

use std::{
    collections::BTreeMap,
    fs,
    io::{self, Read, Write},
    path::{Path, PathBuf},
};

use super::engine::{Engine, Failure, Recipe};
use crate::{
    context::{Context, Entry, FileKind},
    cost::Rerun,
    ecosystem::Ecosystems,
    facts::covers,
    graph::Graph,
    options::Options,
    syntax::{Keyword, parse},
};

/// A context with more files than this is not copied for the measurement.
const MAX_FILES: usize = 100_000;
/// Nor one with more bytes.
const MAX_BYTES: u64 = 2 << 30;

/// A rebuild after an edit.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct Measured {
    /// The edited file, from the context.
    pub file: String,
    pub before: Rebuilt,
    pub after: Rebuilt,
    /// What the cost model says.
    pub predicted: Option<Rerun>,
}

/// What one rebuild came to.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize)]
pub struct Rebuilt {
    /// Steps that ran again.
    pub steps: usize,
    pub of: usize,
    pub seconds: f64,
}

/// Which file is edited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Which {
    Source,
    Manifest,
}

/// A copy of what a context carries, in a temporary folder, so that files can be edited.
pub struct Copy {
    pub folder: PathBuf,
    files: Vec<(String, Entry)>,
}

impl Copy {
    /// Copies `context`, which lies in `dir`, to `folder`.
    ///
    /// # Errors
    /// Why it is not copied.
    pub fn make(context: &Context, dir: &Path, folder: PathBuf) -> Result<Copy, String> {
        let all = context.walk("", MAX_FILES);
        let fits = |all: &Vec<(String, Entry)>| all.iter().map(|(_, e)| e.size).sum::<u64>() <= MAX_BYTES;
        let Some(all) = all.filter(fits) else {
            return Err(format!("the context is larger than {MAX_FILES} files or {} GiB", MAX_BYTES >> 30));
        };
        let fail = |path: &str, e: &io::Error| format!("{path}: the context cannot be copied: {e}");
        fs::create_dir_all(&folder).map_err(|e| fail("", &e))?;
        for (path, entry) in &all {
            copy(&dir.join(path), &folder.join(path), entry.kind).map_err(|e| fail(path, &e))?;
        }
        // A folder whose mode forbids writing gets it once it is full.
        for (path, entry) in all.iter().rev().filter(|(_, e)| e.kind == FileKind::Dir) {
            set_mode(&folder.join(path), entry.mode).map_err(|e| fail(path, &e))?;
        }
        Ok(Copy { folder, files: all })
    }

    /// The file that stands for all sources, or all manifests: one that a COPY brings, and of the sources one of the most usual
    /// extension.
    #[must_use]
    pub fn choose(
        &self,
        which: Which,
        context: &Context,
        dockerfile: &[u8],
        options: &Options,
    ) -> Option<String> {
        let copied = copied(context, dockerfile, options);
        // as the cost model has it: a file of a folder that is copied, where there is any, and not one with a COPY of its own
        let is_folder = |path: &String| self.files.iter().all(|(p, e)| p != path || e.kind == FileKind::Dir);
        let has_folder = copied.iter().any(is_folder);
        let is_alone = |path: &str| has_folder && copied.iter().any(|c| c == path);
        let is_text = |path: &str| {
            let mut head = Vec::new();
            let read =
                fs::File::open(self.folder.join(path)).and_then(|f| f.take(8192).read_to_end(&mut head));
            read.is_ok() && !head.is_empty() && !head.contains(&0)
        };
        let candidates: Vec<&str> = self
            .files
            .iter()
            .filter(|(_, e)| e.kind == FileKind::File)
            .map(|(path, _)| path.as_str())
            .filter(|path| copied.iter().any(|c| c.is_empty() || covers(c, path)))
            .filter(|path| {
                let name = path.rsplit('/').next().unwrap_or_default();
                let is_manifest = Ecosystems::builtin().is_manifest(name);
                match which {
                    // A lock file may not be written by hand.
                    Which::Manifest => is_manifest && !is_lock(name),
                    Which::Source => {
                        !is_manifest
                            && !is_alone(path)
                            && !name.starts_with('.')
                            && !name.contains("ockerfile")
                    }
                }
            })
            .collect();
        if which == Which::Manifest {
            let depth = |p: &&&str| p.matches('/').count();
            return candidates.iter().filter(|p| is_text(p)).min_by_key(depth).map(|p| (*p).to_owned());
        }
        let mut by_extension: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for path in candidates {
            let extension = Path::new(path).extension().and_then(|e| e.to_str()).unwrap_or_default();
            by_extension.entry(extension).or_default().push(path);
        }
        let mut groups: Vec<_> = by_extension.into_iter().collect();
        let prose =
            |extension: &str| matches!(extension, "" | "md" | "txt" | "rst" | "json" | "yml" | "yaml");
        groups.sort_by_key(|(extension, paths)| (prose(extension), std::cmp::Reverse(paths.len())));
        groups.into_iter().flat_map(|(_, paths)| paths).find(|p| is_text(p)).map(str::to_owned)
    }

    /// Appends a line end to a file: an edit that no language minds.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn edit(&self, path: &str) -> io::Result<()> {
        let at = self.folder.join(path);
        set_mode(&at, 0o644).ok();
        fs::OpenOptions::new().append(true).open(&at)?.write_all(b"\n")?;
        let mode = self.files.iter().find(|(p, _)| p == path).map_or(0o644, |(_, e)| e.mode);
        set_mode(&at, mode)
    }
}

/// Builds a text after an edit: what ran again.
///
/// # Errors
/// When the build fails.
pub fn rebuild(engine: &Engine, recipe: Recipe<'_>, see: &mut dyn FnMut(&str)) -> Result<Rebuilt, Failure> {
    let built = engine.build(recipe, true, see)?;
    let ran = built.steps.iter().filter(|s| !s.cached).count();
    Ok(Rebuilt { steps: ran, of: built.steps.len(), seconds: built.seconds })
}

/// What the COPYs of a Dockerfile take from the context; "" is all of it.
fn copied(context: &Context, dockerfile: &[u8], options: &Options) -> Vec<String> {
    let file = parse(dockerfile);
    let graph = Graph::of_build(&file, options);
    let mut out = Vec::new();
    for (i, ins) in file.instructions.iter().enumerate() {
        if matches!(ins.keyword, Keyword::Copy | Keyword::Add) && graph.reads_context(i) {
            let sources = &ins.args()[..ins.args().len().saturating_sub(1)];
            out.extend(sources.iter().filter_map(|s| context.select(&s.value)).flatten());
        }
    }
    out
}

fn is_lock(name: &str) -> bool {
    let locks = |t: &crate::ecosystem::Tool| t.files.lock.iter().any(|l| l == name);
    Ecosystems::builtin().iter().any(|(_, t)| locks(t))
}

fn copy(from: &Path, to: &Path, kind: FileKind) -> io::Result<()> {
    match kind {
        FileKind::Dir => fs::create_dir_all(to),
        FileKind::File => {
            fs::copy(from, to)?;
            let modified = fs::metadata(from)?.modified()?;
            // A file that may not be written keeps the time of its copy: no key of a build has it.
            let _ = fs::OpenOptions::new().append(true).open(to).and_then(|f| f.set_modified(modified));
            Ok(())
        }
        #[cfg(unix)]
        FileKind::Symlink => std::os::unix::fs::symlink(fs::read_link(from)?, to),
        #[cfg(not(unix))]
        FileKind::Symlink => fs::copy(from, to).map(|_| ()),
        // BuildKit does not send sockets, and fails on nothing.
        FileKind::Other => Ok(()),
    }
}

#[cfg(unix)]
fn set_mode(path: &Path, mode: u32) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(path, fs::Permissions::from_mode(mode))
}

#[cfg(not(unix))]
fn set_mode(_: &Path, _: u32) -> io::Result<()> {
    Ok(())
}
