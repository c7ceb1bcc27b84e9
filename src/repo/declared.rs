//! What a repository says of how its Dockerfiles are built and run: compose, bake and skaffold files, GitHub workflows,
//! `docker build` command lines of Makefiles and scripts, Kubernetes manifests. Only what is literal counts, or has a
//! default (`${X:-default}`); an entry that needs more is as good as absent.

use crate::options::Service;
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, OnceLock, PoisonError},
};

use ignore::gitignore::Gitignore;

use super::find::{self, Listing};
use super::{normal, read, real, relative};

mod value;
mod bake;
mod commands;
mod compose;
mod kube;

/// How many files and folders of a repository are looked at, and how many of them are read.
const MAX_ENTRIES: usize = 200_000;
const MAX_READ: usize = 5_000;
/// Larger files of these kinds are generated, in bytes.
const MAX_SIZE: u64 = 1 << 20;

/// One declared build of a Dockerfile.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Build {
    /// Where it stands, from the repository's root: `compose.yaml:12`, 1-based.
    pub by: String,
    /// The context's folder, absolute.
    pub context: PathBuf,
    /// The Dockerfile, absolute, symlinks resolved.
    pub dockerfile: PathBuf,
    pub target: Option<String>,
    /// As written: `linux/amd64`; one that is not literal stays a variable. Empty: the builder's own.
    pub platforms: Vec<String>,
    /// Build arguments of known value.
    pub args: Vec<(String, String)>,
    /// Build arguments that are given, but whose value is not known here.
    pub unknown_args: Vec<String>,
    /// Whether it names contexts besides the main one (`--build-context`).
    pub additional_contexts: bool,
    /// The images that it makes, without tag and digest.
    pub images: Vec<String>,
    /// How what is built is run, where the same entry or a Kubernetes manifest says so.
    pub service: Option<Service>,
}

/// Everything that a repository declares.
#[derive(Debug, Default)]
pub struct Declared {
    root: PathBuf,
    builds: Vec<Build>,
    /// Sorted; their symlinks are resolved, as the root's are and no walk follows one.
    dockerfiles: Vec<PathBuf>,
    /// Of each Dockerfile, the images that its FROM and `--from` name; read when a build is known to make an image.
    bases: OnceLock<Vec<BTreeSet<String>>>,
    /// Of each Dockerfile, those whose stages an additional context of a build hands to it.
    linked: BTreeMap<PathBuf, BTreeSet<PathBuf>>,
    /// How many files could not be parsed.
    pub unparsed: usize,
    /// Whether the repository was too large to be walked to its end: there may be builds that are not known.
    pub truncated: bool,
}

impl Declared {
    /// What the repository (or folder) `root` declares; walked under `.gitignore`, once a process.
    #[must_use]
    pub fn of(root: &Path) -> Arc<Declared> {
        type Cell = Arc<OnceLock<Arc<Declared>>>;
        static CACHE: OnceLock<Mutex<BTreeMap<PathBuf, Cell>>> = OnceLock::new();
        let root = real(root);
        let cell = {
            let mut cache = CACHE.get_or_init(Mutex::default).lock().unwrap_or_else(PoisonError::into_inner);
            cache.entry(root.clone()).or_default().clone()
        };
        // Not under the lock of the cache: other repositories need not wait for this walk.
        cell.get_or_init(|| Arc::new(walk(&root))).clone()
    }

    /// The builds of the Dockerfile at `path`, in order of where they stand.
    #[must_use]
    pub fn for_file(&self, path: &Path) -> Vec<&Build> {
        if self.builds.is_empty() {
            return Vec::new(); // which spares many files the system calls that resolve their symlinks
        }
        let path = real(path);
        self.builds.iter().filter(|b| b.dockerfile == path).collect()
    }

    /// The Dockerfiles, from the repository's root, that start FROM or copy from an image which a declared build of
    /// `path` makes, or that get it as an additional context.
    #[must_use]
    pub fn used_as_base(&self, path: &Path) -> Vec<String> {
        let path = real(path);
        let images: BTreeSet<&String> =
            self.builds.iter().filter(|b| b.dockerfile == path).flat_map(|b| &b.images).collect();
        let bases = if images.is_empty() { &[][..] } else { self.bases() };
        let by_image =
            self.dockerfiles.iter().zip(bases).filter(|(_, names)| names.iter().any(|n| images.contains(n)));
        let by_link = self.linked.iter().filter(|(_, from)| from.contains(&path));
        let users: BTreeSet<&PathBuf> = by_image.map(|(p, _)| p).chain(by_link.map(|(p, _)| p)).collect();
        users.into_iter().filter(|p| **p != path).map(|p| relative(p, &self.root)).collect()
    }

    /// The Dockerfiles that are declared with the context `dir`, sorted.
    #[must_use]
    pub fn sharing_context(&self, dir: &Path) -> Vec<PathBuf> {
        let dir = real(dir);
        let files: BTreeSet<_> =
            self.builds.iter().filter(|b| b.context == dir).map(|b| b.dockerfile.clone()).collect();
        files.into_iter().collect()
    }

    /// Every declared build, in order of where they stand.
    #[must_use]
    pub fn builds(&self) -> &[Build] {
        &self.builds
    }
}

/// A build as an entry tells it, before its paths are looked up.
#[derive(Clone, Debug, Default)]
struct Entry {
    line: usize,
    /// What other entries of the same file call it.
    name: Option<String>,
    /// Folders, from the repository's root, that the context may be relative to: the first that fits counts.
    bases: Vec<PathBuf>,
    context: String,
    dockerfile: Option<String>,
    /// Whether the Dockerfile's path starts where the context's does (`docker build -f`), not in the context (compose).
    file_from_base: bool,
    target: Option<String>,
    platforms: Vec<String>,
    args: Vec<(String, String)>,
    unknown_args: Vec<String>,
    additional_contexts: bool,
    /// Names of the entries of the same file that are its additional contexts.
    uses: Vec<String>,
    images: Vec<String>,
    service: Option<Service>,
}

/// What a reader of one kind of file found.
#[derive(Debug, Default)]
struct Entries {
    builds: Vec<Entry>,
    unparsed: usize,
}

fn walk(root: &Path) -> Declared {
    let mut out = Declared { root: root.to_path_buf(), ..Declared::default() };
    let mut containers = Vec::new();
    let mut composes: BTreeMap<PathBuf, Vec<(String, String)>> = BTreeMap::new();
    let (files, truncated) = files(root);
    out.truncated = truncated || files.len() > MAX_READ;
    for (path, kind) in files.into_iter().take(MAX_READ) {
        if let Kind::Dockerfile = kind {
            out.dockerfiles.push(path);
            continue;
        }
        let Ok(bytes) = read(&path, MAX_SIZE) else { continue };
        let Ok(text) = String::from_utf8(bytes) else {
            out.unparsed += 1;
            continue;
        };
        let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
        let shown = relative(&path, root);
        let dir = PathBuf::from(&shown).parent().map(Path::to_path_buf).unwrap_or_default();
        let entries = match kind {
            Kind::Dockerfile => continue,
            Kind::Compose => {
                composes.entry(dir).or_default().push((shown, text.to_owned()));
                continue;
            }
            Kind::Kube => {
                let (found, unparsed) = kube::containers(text, &shown);
                containers.extend(found);
                out.unparsed += unparsed;
                continue;
            }
            Kind::BakeJson => bake::json(text, &dir),
            Kind::BakeHcl => bake::hcl(text, &dir),
            Kind::Skaffold => bake::skaffold(text, &dir),
            Kind::Workflow => commands::workflow(text),
            Kind::Make => commands::makefile(text, &dir),
            Kind::Shell => commands::script(text, &[dir, PathBuf::new()]),
        };
        out.take(&shown, entries);
    }
    for (dir, files) in composes {
        for (shown, entries) in compose::read(&files, &dir) {
            out.take(&shown, entries);
        }
    }
    out.connect(&containers);
    out.builds.sort_by(|a, b| order(&a.by).cmp(&order(&b.by)));
    out
}

/// The files that may declare something, in order of their paths, and whether there may be more. A symlink is none.
fn files(root: &Path) -> (Vec<(PathBuf, Kind)>, bool) {
    let listing = Listing::of(root, MAX_ENTRIES);
    let truncated = listing.is_none();
    let named: Vec<(PathBuf, bool)> = match listing {
        // it may have been walked by another name of the folder
        Some(l) => {
            l.files.iter().map(|(p, s)| (root.join(p.strip_prefix(&l.root).unwrap_or(p)), *s)).collect()
        }
        // which ones count must not depend on the order in which the disk tells them
        None => {
            let walk = find::walker(root, Gitignore::empty()).build().filter_map(Result::ok);
            walk.take(MAX_ENTRIES).filter_map(find::named).collect()
        }
    };
    let files = named.into_iter().filter(|(_, is_symlink)| !is_symlink);
    let mut out: Vec<_> = files.filter_map(|(p, _)| kind_of(&p, root).map(|kind| (p, kind))).collect();
    // as paths compare, folder by folder, but faster
    out.sort_by_cached_key(|(path, _)| relative(path, root).replace('/', "\0"));
    (out, truncated)
}

/// By file, then by line as a number.
fn order(by: &str) -> (&str, usize) {
    let (file, line) = by.rsplit_once(':').unwrap_or((by, ""));
    (file, line.parse().unwrap_or(0))
}

impl Declared {
    /// Looks up the paths of entries; those that lead nowhere, or out of the repository, are dropped.
    fn take(&mut self, shown: &str, entries: Entries) {
        self.unparsed += entries.unparsed;
        let mut names: BTreeMap<String, PathBuf> = BTreeMap::new();
        let mut uses = Vec::new();
        for entry in entries.builds {
            let Some((context, dockerfile)) = self.locate(&entry) else { continue };
            if let Some(name) = &entry.name {
                names.insert(name.clone(), dockerfile.clone());
            }
            uses.extend(entry.uses.iter().map(|u| (dockerfile.clone(), u.clone())));
            let by = format!("{shown}:{}", entry.line);
            let mut service = entry.service;
            if let Some(service) = &mut service {
                service.target.clone_from(&entry.target);
                service.by.clone_from(&by);
            }
            self.builds.push(Build {
                by,
                context,
                dockerfile,
                target: entry.target,
                platforms: entry.platforms,
                args: entry.args,
                unknown_args: entry.unknown_args,
                additional_contexts: entry.additional_contexts,
                images: entry.images,
                service,
            });
        }
        for (user, name) in uses {
            if let Some(from) = names.get(&name) {
                self.linked.entry(user).or_default().insert(from.clone());
            }
        }
    }

    fn bases(&self) -> &[BTreeSet<String>] {
        let images = |path: &PathBuf| {
            let text = String::from_utf8(read(path, MAX_SIZE).ok()?).ok()?;
            Some(base_images(text.strip_prefix('\u{feff}').unwrap_or(&text)))
        };
        self.bases.get_or_init(|| self.dockerfiles.iter().map(|p| images(p).unwrap_or_default()).collect())
    }

    fn locate(&self, entry: &Entry) -> Option<(PathBuf, PathBuf)> {
        if is_remote(&entry.context) {
            return None;
        }
        let inside = |path: PathBuf| {
            let path = fs::canonicalize(normal(&path)).ok()?;
            path.starts_with(&self.root).then_some(path)
        };
        let mut found: Vec<_> = entry
            .bases
            .iter()
            .filter_map(|base| {
                let base = self.root.join(base);
                let context = inside(base.join(&entry.context)).filter(|p| p.is_dir())?;
                let file = match &entry.dockerfile {
                    Some(file) if entry.file_from_base => base.join(file),
                    Some(file) => context.join(file),
                    None => context.join("Dockerfile"),
                };
                Some((context, inside(file).filter(|p| p.is_file())?))
            })
            .collect();
        found.dedup();
        // A script that would run from two places may run from either.
        if found.len() == 1 { found.pop() } else { None }
    }

    /// Adds a build for each container that runs an image which an entry makes.
    fn connect(&mut self, containers: &[(String, Service)]) {
        let mut more = Vec::new();
        for (image, service) in containers {
            let mut seen = BTreeSet::new();
            for build in self.builds.iter().filter(|b| b.images.contains(image)) {
                if seen.insert((&build.dockerfile, &build.context, &build.target)) {
                    let service = Service { target: build.target.clone(), ..service.clone() };
                    more.push(Build { service: Some(service), ..build.clone() });
                }
            }
        }
        self.builds.extend(more);
    }
}

fn is_remote(context: &str) -> bool {
    context.contains("://")
        || context.starts_with("git@")
        || context.starts_with("github.com/")
        || context == "-"
}

enum Kind {
    Dockerfile,
    Compose,
    BakeJson,
    BakeHcl,
    Skaffold,
    Workflow,
    Make,
    Shell,
    Kube,
}

fn kind_of(path: &Path, root: &Path) -> Option<Kind> {
    let name = path.file_name()?.to_str()?;
    if find::is_dockerfile_name(name) && find::is_dockerfile(path, name) {
        return Some(Kind::Dockerfile);
    }
    kind_of_name(name, path.parent() == Some(&root.join(".github/workflows")))
}

/// Whether a file of that name may declare a build.
pub(super) fn may_declare(name: &str) -> bool {
    kind_of_name(name, false).is_some()
}

fn kind_of_name(name: &str, is_workflow: bool) -> Option<Kind> {
    let lower = name.to_ascii_lowercase();
    let (stem, ending) = lower.rsplit_once('.').unwrap_or((&lower, ""));
    let yaml = ending == "yml" || ending == "yaml";
    Some(match stem {
        _ if yaml && is_workflow => Kind::Workflow,
        s if yaml && (s.starts_with("compose") || s.starts_with("docker-compose")) => Kind::Compose,
        s if yaml && s.starts_with("skaffold") => Kind::Skaffold,
        s if s.starts_with("docker-bake") && ending == "json" => Kind::BakeJson,
        s if s.starts_with("docker-bake") && ending == "hcl" => Kind::BakeHcl,
        "makefile" | "gnumakefile" => Kind::Make,
        _ if ending == "mk" => Kind::Make,
        _ if ending == "sh" || ending == "bash" => Kind::Shell,
        _ if yaml => Kind::Kube,
        _ => return None,
    })
}

/// The images that a Dockerfile's FROM, and the `--from` of its COPY and RUN, name. ARGs before FROM give defaults.
fn base_images(text: &str) -> BTreeSet<String> {
    let mut vars = BTreeMap::new();
    let mut out = BTreeSet::new();
    for line in text.lines() {
        let mut words = line.split_whitespace();
        let Some(word) = words.next() else { continue };
        let image = match word.to_ascii_lowercase().as_str() {
            "arg" => {
                for (name, value) in words.filter_map(|w| w.split_once('=')) {
                    vars.insert(name.to_owned(), value.trim_matches(['"', '\'']).to_owned());
                }
                continue;
            }
            "from" => words.find(|w| !w.starts_with("--")),
            "copy" => words.find_map(|w| w.strip_prefix("--from=")),
            "run" => words
                .filter_map(|w| w.strip_prefix("--mount="))
                .find_map(|m| m.split(',').find_map(|part| part.strip_prefix("from="))),
            _ => None,
        };
        if let Some(image) = image.and_then(|i| value::expand(i, &vars)) {
            out.insert(image_name(&image));
        }
    }
    out
}

/// The image's name without tag, digest, and what Docker Hub's names leave out.
fn image_name(image: &str) -> String {
    let image = image.split('@').next().unwrap_or(image);
    let tag = image.rfind(':').filter(|at| !image[*at..].contains('/'));
    let name = image[..tag.unwrap_or(image.len())].to_ascii_lowercase();
    let name = name.strip_prefix("docker.io/").unwrap_or(&name);
    name.strip_prefix("library/").unwrap_or(name).to_owned()
}

#[cfg(test)]
mod tests;
