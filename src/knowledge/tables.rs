//! The small catalogues: package managers, distroless images, and how users are made.

use super::images::{Dir, Family, Group, Image, Libc, User, split};
use serde::Deserialize;
use std::collections::BTreeMap;

/// A package manager's commands and directories.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PackageManager {
    #[serde(default)]
    pub aliases: Vec<String>,
    pub source: String,
    pub checked: String,
    /// The words after the program that fetch the index.
    pub update: Vec<String>,
    pub install: Vec<String>,
    pub remove: Vec<String>,
    pub upgrade: Vec<String>,
    pub clean: Vec<String>,
    /// Where the index lies; it is needed by `install` and by nothing at run time.
    pub index_dirs: Vec<String>,
    pub cache_dirs: Vec<String>,
    /// The flags that answer its questions.
    pub yes: Vec<String>,
    /// The flags with which an installation fetches the index itself; `always` where it does so without.
    #[serde(default)]
    pub refresh: Vec<String>,
    /// The flag that makes an installation keep no index.
    #[serde(default)]
    pub without_cache: Option<String>,
}

/// The distroless images of one registry.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Distroless {
    pub source: String,
    pub checked: String,
    pub registry: String,
    /// The release of a name that says none.
    pub default_release: String,
    pub tags: Vec<String>,
    pub users: Vec<User>,
    pub groups: Vec<Group>,
    pub dirs: Vec<Dir>,
    /// `NAME=value`, of every image.
    pub env: Vec<String>,
    /// By tag.
    pub variants: BTreeMap<String, DistrolessVariant>,
    pub releases: BTreeMap<String, DistrolessRelease>,
    pub images: BTreeMap<String, DistrolessImage>,
    /// Names that are no longer published, and since when.
    pub removed: BTreeMap<String, String>,
    pub removed_releases: BTreeMap<String, String>,
    /// What a stage must be like to be moved onto one of the images; empty: no stage is.
    #[serde(default)]
    pub swap: Swap,
}

/// Facts about the other side of a move onto a distroless image: what the stage has now, and how its programs were made.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Swap {
    pub source: String,
    pub checked: String,
    /// Images that are an operating system and nothing more.
    pub plain: Vec<String>,
    /// Packages whose files all distroless images have.
    pub packages: Vec<String>,
    /// Commands that only rebuild those files.
    pub refresh: Vec<String>,
    /// Programs that only run text or another program.
    pub shells: Vec<String>,
    /// Commands that a shell has in itself, or words of its grammar.
    pub builtins: Vec<String>,
    /// Images with the C library, and with the libraries of C++ too.
    pub c_image: String,
    pub cpp_image: String,
    /// Packages of build stages of which a program needs nothing at run time but what those images have.
    pub build_tools: Vec<String>,
    pub compilers: Vec<Compiler>,
    pub runtimes: Vec<Runtime>,
}

/// A compiler, and the way in which what it makes needs no shared library.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Compiler {
    pub program: String,
    /// Images that are there for it.
    pub images: Vec<String>,
    /// Subcommands that make programs in the working directory, or where `output` says.
    pub build: Vec<String>,
    /// Subcommands that make programs in `install_dir`.
    pub install: Vec<String>,
    pub output: Option<String>,
    pub install_dir: Option<String>,
    /// The variable that names another one.
    pub install_env: Option<String>,
    /// A folder of the project in which all programs are made, by target and profile.
    pub tree: Option<String>,
    /// The variable and its value with which it links statically.
    pub static_env: Option<(String, String)>,
    /// The option that names the target, and ends of targets that are linked statically.
    pub target: Option<String>,
    pub static_targets: Vec<String>,
    /// Systems on which the target of the host is one of those.
    pub static_families: Vec<Family>,
    /// Where it links statically since it finds no compiler of C.
    pub without_c: Option<WithoutC>,
    /// How it links otherwise; none: in a way that is not followed.
    pub dynamic: Option<Dynamic>,
    /// Files of a project that configure it, and texts in them that may change how it links.
    pub config: Vec<String>,
    pub config_words: Vec<String>,
    /// Options that may undo it, and variables.
    pub never: Vec<String>,
    pub never_env: Vec<String>,
    /// Options without a value.
    pub flags: Vec<String>,
    /// Extensions of its sources.
    pub sources: Vec<String>,
    /// Text in sources of programs that start other programs.
    pub starts_programs: Vec<String>,
}

/// Images of a compiler without one of C, and since which of its versions it then links statically.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct WithoutC {
    /// Major and minor.
    pub since: (u32, u32),
    pub families: Vec<Family>,
    /// Packages that bring no compiler of C.
    pub packages: Vec<String>,
    /// Some that bring one, or are it.
    pub never: Vec<String>,
}

impl WithoutC {
    /// Whether a version (`1.22`, `1.22.3`) is one of those. A major version alone is that of a tag that moves, which is.
    #[must_use]
    pub fn is_new_enough(&self, version: &str) -> bool {
        let mut parts = version.split('.').map(str::parse::<u32>);
        match (parts.next(), parts.next()) {
            (Some(Ok(major)), None) => major >= self.since.0,
            (Some(Ok(major)), Some(Ok(minor))) => (major, minor) >= self.since,
            _ => false,
        }
    }
}

/// How a compiler links to shared libraries, and what tells to which.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Dynamic {
    /// Options for the linker, and the words in their values that name libraries.
    pub linker_options: Vec<String>,
    pub linker_words: Vec<String>,
    /// Variables that name libraries.
    pub never_env: Vec<String>,
    /// The file that lists the modules of a program, and how a line of it begins that names one.
    pub lock: String,
    pub module_line: String,
    /// Options of which an installation needs one to keep to that file.
    pub locked: Vec<String>,
    /// Extensions of sources in C++ in the project itself.
    pub cpp_sources: Vec<String>,
    /// What the name of a module has that links to a library; none: any module may.
    pub module_mark: Option<String>,
    /// Modules without that mark that link to a library or load one.
    pub loads: Vec<String>,
    /// Modules that link to none after all.
    pub harmless: Vec<String>,
    /// Modules that link to a library which the images have, with the first Debian release that has it.
    pub links: BTreeMap<String, u32>,
}

/// A language whose runtime is in an image.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Runtime {
    pub language: String,
    /// Images with that runtime, which start what CMD says, whatever their own entrypoint does before.
    pub images: Vec<String>,
    /// Names of the program that runs it.
    pub programs: Vec<String>,
    /// Whether the distroless image has that program on its PATH, by the same name.
    pub on_path: bool,
    /// What the distroless image's entrypoint has after the program.
    pub launcher: Vec<String>,
    /// Beginnings of options that may need what it lacks.
    pub never: Vec<String>,
    /// What a user must know of it.
    pub note: Option<String>,
    /// Extensions of what it runs, if that is a file which needs nothing beside it.
    pub payload: Vec<String>,
    /// Why no stage of it is moved.
    pub unsuited: Option<String>,
    /// Whether its packages may hold native code.
    pub native: bool,
    pub sources: Vec<String>,
    pub starts_programs: Vec<String>,
}

/// What a tag of a distroless image sets.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DistrolessVariant {
    pub user: String,
    pub workdir: String,
    /// A shell, which is not at /bin/sh.
    #[serde(default)]
    pub shell: Option<String>,
}

/// A Debian release as distroless has it.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DistrolessRelease {
    pub number: String,
    pub glibc: String,
    pub merged_usr: bool,
    /// The month (`2026-09`) in which its updates end.
    #[serde(default)]
    pub ends: Option<String>,
}

/// One distroless image; `contents` adds to those of `from`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DistrolessImage {
    #[serde(default)]
    pub from: Option<String>,
    pub releases: Vec<String>,
    pub arch: Vec<String>,
    pub libc: Libc,
    /// The language and the version of its runtime.
    #[serde(default)]
    pub language: Option<(String, String)>,
    /// The path of that runtime.
    #[serde(default)]
    pub binary: Option<String>,
    pub entrypoint: Vec<String>,
    #[serde(default)]
    pub env: Vec<String>,
    #[serde(default)]
    pub contents: Vec<String>,
    /// Packages which it makes needless.
    #[serde(default)]
    pub packages: Vec<String>,
}

impl Distroless {
    /// The image that runs a language at this version (`node`, `22.3` finds `nodejs22`), with its name.
    pub fn for_language(&self, language: &str, version: &str) -> Option<(&str, &DistrolessImage)> {
        let fits =
            |have: &str| version == have || version.strip_prefix(have).is_some_and(|r| r.starts_with('.'));
        let found = self
            .images
            .iter()
            .find(|(_, i)| i.language.as_ref().is_some_and(|(l, v)| l == language && fits(v)));
        found.map(|(name, image)| (name.as_str(), image))
    }

    /// All that an image holds, that of the images below it first.
    pub fn contents(&self, name: &str) -> Vec<&str> {
        let Some(image) = self.images.get(name) else { return Vec::new() };
        let mut out = image.from.as_deref().map_or(Vec::new(), |from| self.contents(from));
        out.extend(image.contents.iter().map(String::as_str));
        out
    }

    /// Whether an image, or one below it, makes the package needless that a program was given on another system.
    pub fn replaces(&self, image: &DistrolessImage, package: &str) -> bool {
        image.packages.iter().any(|p| p == package)
            || image
                .from
                .as_ref()
                .and_then(|f| self.images.get(f))
                .is_some_and(|below| self.replaces(below, package))
    }

    /// The facts of `registry/name[-release]:tag`. A name that is not, or no longer, published has those of them all.
    pub(super) fn image<'a>(
        &self,
        reference: &'a str,
        canonical: impl Fn(&'a str) -> &'a str,
    ) -> Option<Image> {
        let (name, tag) = split(reference);
        let full = canonical(name);
        let short = full.strip_prefix(&self.registry)?.strip_prefix('/')?;
        let (base, release) = match short.rsplit_once("-debian") {
            Some((base, number)) => (base, Some(number)),
            None => (short, None),
        };
        let image = self.images.get(base);
        let variant = tag.and_then(|tag| self.variants.get(tag));
        let of_image = image.map_or(&[][..], |i| &i.env);
        let env = self.env.iter().chain(of_image).filter_map(|e| e.split_once('='));
        let glibc =
            release.and_then(|n| self.releases.values().find(|r| r.number == n)).map(|r| r.glibc.clone());
        Some(Image {
            name: full.to_owned(),
            family: Family::Distroless,
            system: Some("distroless".to_owned()),
            release: release.map(str::to_owned),
            libc: image.map(|i| i.libc),
            libc_version: glibc.filter(|_| image.is_some_and(|i| i.libc == Libc::Glibc)),
            shell: None,
            has_bash: Some(false),
            package_manager: Some("none".to_owned()),
            user: variant.map(|v| v.user.clone()),
            users: self.users.clone(),
            groups: self.groups.clone(),
            config_known: image.is_some() && variant.is_some(),
            workdir: variant.map(|v| v.workdir.clone()),
            env: env.map(|(k, v)| (k.to_owned(), v.to_owned())).collect(),
            entrypoint: image.map(|i| i.entrypoint.clone()),
            cmd: image.map(|_| Vec::new()),
            volumes: Vec::new(),
            expose: Vec::new(),
            onbuild: false,
            shell_instruction: None,
            user_tools: Some(Vec::new()),
            language: image.and_then(|i| i.language.clone()).map(|(l, v)| (l, Some(v))),
            writes_known: self.dirs.clone(),
            server: false,
            must_start_as_root: None,
            source: self.source.clone(),
            checked: self.checked.clone(),
        })
    }
}

/// The ways to make a user.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Users {
    pub(super) source: String,
    pub(super) checked: String,
    ways: Vec<UserCreation>,
}

/// One way to make a user without a login, by commands in which `{name}`, `{uid}` and `{gid}` are filled in.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UserCreation {
    /// What must be in the image, in the words of [`Image::user_tools`].
    pub tools: Vec<String>,
    /// The families whose images have these unless more is known.
    families: Vec<Family>,
    /// Makes the group, which goes first.
    pub group: String,
    /// Makes the user without a home directory.
    pub user: String,
    pub user_with_home: String,
}

impl UserCreation {
    /// The commands, in order, for a user and its group of the same name.
    pub fn commands(&self, name: &str, uid: u32, gid: u32, home: bool) -> Vec<String> {
        let user = if home { &self.user_with_home } else { &self.user };
        let fill = |t: &String| {
            t.replace("{name}", name).replace("{uid}", &uid.to_string()).replace("{gid}", &gid.to_string())
        };
        vec![fill(&self.group), fill(user)]
    }
}

impl Users {
    pub(super) fn creation(&self, family: Family, tools: Option<&[String]>) -> Option<&UserCreation> {
        let there = |way: &&UserCreation| match tools {
            None => way.families.contains(&family),
            Some(tools) => way.tools.iter().all(|t| tools.contains(t)),
        };
        self.ways.iter().find(there)
    }
}
