//! Base images: from a reference to the facts of the system a stage starts from.

use super::table::Table;
use serde::{Deserialize, Serialize};
use std::{cmp::Ordering, collections::BTreeMap};

/// The kind of system, as far as it decides how packages are installed and users are made. Ubuntu is `Debian` and
/// Fedora, CentOS and their kin are `Rhel`; [`Image::system`] tells them apart.
#[derive(Clone, Copy, Debug, Deserialize, Serialize, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[serde(rename_all = "lowercase")]
pub enum Family {
    Debian,
    Alpine,
    Rhel,
    Amazon,
    Suse,
    Arch,
    Distroless,
    Busybox,
    Wolfi,
    Windows,
    Scratch,
    Other,
}

/// The C library; `Static` when programs bring their own.
#[derive(Clone, Copy, Debug, Deserialize, Serialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum Libc {
    Glibc,
    Musl,
    Static,
}

/// A user that exists in the image; None where the image's definition fixes no number or names no home.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub struct User {
    pub name: String,
    #[serde(default)]
    pub uid: Option<u32>,
    #[serde(default)]
    pub gid: Option<u32>,
    #[serde(default)]
    pub home: Option<String>,
    /// The name of the primary group.
    #[serde(default)]
    pub group: Option<String>,
}

/// A group that is not the primary group of one of the users.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub struct Group {
    pub name: String,
    pub gid: u32,
}

/// A directory of the image that a Dockerfile is likely to write into; the owner is (uid, gid) where it is known.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub struct Dir {
    pub path: String,
    #[serde(default)]
    pub owner: Option<(u32, u32)>,
    /// Nothing lies below it.
    #[serde(default)]
    pub empty: bool,
}

/// What is known of an image. None always means "not known", never "there is none".
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Image {
    /// The repository as the catalogue names it.
    pub name: String,
    pub family: Family,
    /// The distribution (`ubuntu`, `rhel-minimal`), whose releases `release` counts.
    pub system: Option<String>,
    /// `12` for bookworm, `22.04`, `3.20`; None where the tag moves between releases.
    pub release: Option<String>,
    pub libc: Option<Libc>,
    pub libc_version: Option<String>,
    /// The program behind /bin/sh.
    pub shell: Option<String>,
    pub has_bash: Option<bool>,
    /// `none` when there is none.
    pub package_manager: Option<String>,
    /// The user a container starts as, as USER would write it; `0` for root.
    pub user: Option<String>,
    pub users: Vec<User>,
    pub groups: Vec<Group>,
    /// Whether the catalogue describes this tag's configuration: when false, `workdir`, `env`, `volumes` and `expose`
    /// may lack what the image has, and so may `entrypoint` and `cmd`, which are then None.
    pub config_known: bool,
    pub workdir: Option<String>,
    pub env: Vec<(String, String)>,
    pub entrypoint: Option<Vec<String>>,
    pub cmd: Option<Vec<String>>,
    pub volumes: Vec<String>,
    pub expose: Vec<String>,
    /// Known to carry ONBUILD triggers.
    pub onbuild: bool,
    pub shell_instruction: Option<Vec<String>>,
    /// The commands that make users and groups; None when it is not known which there are.
    pub user_tools: Option<Vec<String>>,
    /// The language the image is for, and its version as the tag writes it.
    pub language: Option<(String, Option<String>)>,
    pub writes_known: Vec<Dir>,
    /// The image runs a server that manages its own user, data and start.
    pub server: bool,
    /// Why the container must start as root, for those that must.
    pub must_start_as_root: Option<String>,
    pub source: String,
    pub checked: String,
}

impl Image {
    /// Whether its shells and paths are those of Windows.
    pub fn is_windows(&self) -> bool {
        self.family == Family::Windows
    }

    /// The user of this name.
    pub fn user_named(&self, name: &str) -> Option<&User> {
        self.users.iter().find(|u| u.name == name)
    }
}

/// The catalogue `images.yaml`, which explains its own fields.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Images {
    pub(super) mirrors: Vec<Mirror>,
    when: Vec<When>,
    words: Vec<Word>,
    #[serde(skip)]
    pub(super) systems: Table<System>,
    #[serde(skip)]
    pub(super) images: Table<Entry>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Mirror {
    pub(super) prefix: String,
    pub(super) source: String,
    pub(super) checked: String,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Word {
    tag: String,
    os: String,
    #[serde(default)]
    release: Option<String>,
    #[serde(default)]
    first: bool,
}

/// The facts a system, an entry or a condition can state.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct Facts {
    libc: Option<Libc>,
    libc_version: Option<String>,
    shell: Option<String>,
    has_bash: Option<bool>,
    package_manager: Option<String>,
    user: Option<String>,
    users: Vec<User>,
    remove_users: Vec<String>,
    groups: Vec<Group>,
    workdir: Option<String>,
    env: Vec<String>,
    entrypoint: Option<Vec<String>>,
    cmd: Option<Vec<String>>,
    volumes: Vec<String>,
    expose: Vec<String>,
    onbuild: bool,
    shell_instruction: Option<Vec<String>>,
    user_tools: Option<Vec<String>>,
    dirs: Vec<Dir>,
    server: bool,
    must_start_as_root: Option<String>,
}

#[derive(Clone, Debug, Deserialize)]
pub(super) struct System {
    family: Family,
    /// How many numbers of a version make a release.
    parts: usize,
    pub(super) source: String,
    pub(super) checked: String,
    #[serde(flatten)]
    facts: Facts,
    #[serde(default)]
    releases: Vec<Release>,
}

#[derive(Clone, Debug, Deserialize)]
struct Release {
    #[serde(default)]
    from: Option<String>,
    #[serde(default)]
    to: Option<String>,
    #[serde(flatten)]
    facts: Facts,
}

#[derive(Clone, Debug, Deserialize)]
struct When {
    #[serde(default)]
    os: Vec<String>,
    #[serde(default)]
    tag: Option<String>,
    #[serde(default)]
    from: Option<String>,
    #[serde(default)]
    below: Option<String>,
    #[serde(flatten)]
    facts: Facts,
}

#[derive(Clone, Debug, Deserialize)]
pub(super) struct Entry {
    pub(super) name: String,
    #[serde(default)]
    pub(super) aliases: Vec<String>,
    pub(super) source: String,
    pub(super) checked: String,
    #[serde(default)]
    os: Option<String>,
    #[serde(default)]
    release: Option<String>,
    /// The systems its tags have; `os` alone when it is not given.
    #[serde(default)]
    variants: Vec<String>,
    #[serde(default)]
    tags: Vec<Word>,
    #[serde(default)]
    frozen: BTreeMap<String, String>,
    #[serde(default)]
    language: Option<String>,
    #[serde(default)]
    language_words: Vec<String>,
    #[serde(default)]
    read_from: Option<String>,
    #[serde(default)]
    unknown: Vec<String>,
    #[serde(flatten)]
    facts: Facts,
    #[serde(default)]
    when: Vec<When>,
}

/// What a tag says: its text (None for a digest alone), the version it begins with, whether it is the newest.
struct Tag<'a> {
    text: Option<&'a str>,
    version: Version<'a>,
}

#[derive(Clone, Copy, PartialEq)]
enum Version<'a> {
    Number(&'a str),
    Newest,
    Unknown,
}

impl Images {
    /// The catalogue with entries, mirrors, words and systems of another before its own; the error names a system that
    /// does not exist.
    pub(super) fn with(
        &self,
        images: Vec<Entry>,
        mirrors: Vec<Mirror>,
        words: Vec<Word>,
        systems: BTreeMap<String, System>,
    ) -> Result<Images, String> {
        let mut out = self.clone();
        systems.into_iter().for_each(|(name, system)| out.systems.insert(name, &[], system));
        out.mirrors.extend(mirrors);
        out.words.splice(0..0, words);
        for entry in images {
            let (name, aliases) = (entry.name.clone(), entry.aliases.clone());
            out.images.insert(name, &aliases, entry);
        }
        match out.unknown_systems().first() {
            Some(name) => Err(format!("no such system: {name}")),
            None => Ok(out),
        }
    }

    /// The systems that entries and words name but the catalogue does not have.
    pub(super) fn unknown_systems(&self) -> Vec<String> {
        let entries = self.images.iter().flat_map(|(_, e)| {
            let frozen = e.frozen.values().filter_map(|v| v.split(' ').next());
            let when = e.when.iter().flat_map(|w| &w.os);
            e.os.iter()
                .chain(&e.variants)
                .chain(e.tags.iter().map(|t| &t.os))
                .chain(when)
                .map(String::as_str)
                .chain(frozen)
        });
        let words = self.words.iter().map(|w| w.os.as_str());
        entries.chain(words).filter(|n| !self.systems.contains(n)).map(str::to_owned).collect()
    }

    /// A repository's name without the hosts and prefixes of mirrors of Docker Hub.
    pub(super) fn canonical<'a>(&self, name: &'a str) -> &'a str {
        let mut name = name;
        while !self.images.contains(name) {
            let longest =
                self.mirrors.iter().filter(|m| name.starts_with(&m.prefix)).max_by_key(|m| m.prefix.len());
            match longest {
                Some(mirror) => name = &name[mirror.prefix.len()..],
                None => break,
            }
        }
        name
    }

    /// See [`super::Knowledge::image`].
    pub(super) fn lookup(&self, reference: &str) -> Option<Image> {
        let (name, tag) = split(reference);
        let entry = self.images.get(self.canonical(name))?;
        let words = self.system_of(entry, tag);
        let version = match tag {
            None => Version::Unknown,
            Some(t) => match leading(t) {
                Some(n) => Version::Number(n),
                // A tag such as `stretch` may be years old.
                None if words.as_ref().is_some_and(|(_, release)| release.is_some()) && t != "latest" => {
                    Version::Unknown
                }
                None => Version::Newest,
            },
        };
        let tag = Tag { text: tag, version };
        let several = words.is_none() && !entry.variants.is_empty();
        if !several {
            let (os, release) = words.map_or((None, None), |(os, r)| (Some(os), r));
            return Some(self.image(entry, &tag, os.as_deref(), release));
        }
        let all = entry.variants.iter().map(|os| self.image(entry, &tag, Some(os), None));
        all.reduce(agreed)
    }

    /// The system and the release of a tag; None when it could be one of several.
    fn system_of(&self, entry: &Entry, tag: Option<&str>) -> Option<(String, Option<String>)> {
        let only = |os: &String| (os.clone(), entry.release.clone());
        let Some(tag) = tag else {
            return if entry.variants.len() > 1 { None } else { entry.os.as_ref().map(only) };
        };
        if let Some(frozen) = entry.frozen.get(tag) {
            let (os, release) = frozen.split_once(' ').unwrap_or((frozen, ""));
            return Some((os.to_owned(), Some(release.to_owned()).filter(|r| !r.is_empty())));
        }
        let first = entry.tags.iter().filter(|w| w.first).map(|w| (w, true));
        let words = self.words.iter().map(|w| (w, false));
        let last = entry.tags.iter().filter(|w| !w.first).map(|w| (w, true));
        for (word, start) in first.chain(words).chain(last) {
            if let Some(number) = find(&word.tag, tag, start) {
                let release = word.release.clone().or_else(|| self.release(&word.os, number));
                return Some((word.os.clone(), release));
            }
        }
        entry.os.as_ref().map(only)
    }

    /// The release that a version number names; None when the number is too short.
    fn release(&self, os: &str, number: &str) -> Option<String> {
        let parts = self.systems.get(os)?.parts;
        let all: Vec<&str> = number.split('.').filter(|p| !p.is_empty()).collect();
        (all.len() >= parts && parts > 0).then(|| all[..parts].join("."))
    }

    fn image(&self, entry: &Entry, tag: &Tag, os: Option<&str>, release: Option<String>) -> Image {
        let system = os.and_then(|os| self.systems.get(os));
        let mut image = Image {
            name: entry.name.clone(),
            family: system.map_or(Family::Other, |s| s.family),
            system: os.map(str::to_owned),
            release,
            libc: None,
            libc_version: None,
            shell: None,
            has_bash: None,
            package_manager: None,
            user: None,
            users: Vec::new(),
            groups: Vec::new(),
            config_known: true,
            workdir: None,
            env: Vec::new(),
            entrypoint: None,
            cmd: None,
            volumes: Vec::new(),
            expose: Vec::new(),
            onbuild: false,
            shell_instruction: None,
            user_tools: None,
            language: entry.language.clone().map(|l| (l, language_version(entry, tag))),
            writes_known: Vec::new(),
            server: false,
            must_start_as_root: None,
            source: entry.source.clone(),
            checked: entry.checked.clone(),
        };
        if let Some(system) = system {
            image.add(&system.facts);
            let within = |r: &&Release| image.release.as_deref().is_some_and(|now| r.holds(now));
            let releases: Vec<&Release> = system.releases.iter().filter(within).collect();
            releases.iter().for_each(|r| image.add(&r.facts));
        }
        for field in &entry.unknown {
            match field.as_str() {
                "user" => image.user = None,
                "entrypoint" => image.entrypoint = None,
                _ => image.cmd = None,
            }
        }
        image.add(&entry.facts);
        for when in self.when.iter().chain(&entry.when).filter(|w| w.holds(tag, os)) {
            image.add(&when.facts);
        }
        let read = entry.read_from.as_deref().is_none_or(|from| tag.version.reaches(from));
        if !read || tag.text.is_none() {
            image.forget_config();
        }
        image
    }
}

impl Release {
    fn holds(&self, release: &str) -> bool {
        self.from.as_deref().is_none_or(|from| newer(release, from) != Ordering::Less)
            && self.to.as_deref().is_none_or(|to| newer(release, to) != Ordering::Greater)
    }
}

impl When {
    fn holds(&self, tag: &Tag, os: Option<&str>) -> bool {
        let below = |to: &str| matches!(tag.version, Version::Number(n) if newer(n, to) == Ordering::Less);
        (self.os.is_empty() || os.is_some_and(|os| self.os.iter().any(|o| o == os)))
            && self.tag.as_deref().is_none_or(|p| tag.text.is_some_and(|t| find(p, t, false).is_some()))
            && self.from.as_deref().is_none_or(|from| tag.version.reaches(from))
            && self.below.as_deref().is_none_or(below)
    }
}

impl Version<'_> {
    /// Whether it is `from` or newer.
    fn reaches(self, from: &str) -> bool {
        match self {
            Version::Number(n) => newer(n, from) != Ordering::Less,
            // 9999 is the version that no tag has.
            Version::Newest => from != "9999",
            Version::Unknown => false,
        }
    }
}

impl Image {
    /// States facts over those that are there: a single value replaces, a list adds, an entry replaces its namesake.
    fn add(&mut self, facts: &Facts) {
        over(&mut self.libc, &facts.libc);
        over(&mut self.libc_version, &facts.libc_version);
        over(&mut self.shell, &facts.shell);
        over(&mut self.has_bash, &facts.has_bash);
        over(&mut self.package_manager, &facts.package_manager);
        over(&mut self.user, &facts.user);
        over(&mut self.workdir, &facts.workdir);
        over(&mut self.entrypoint, &facts.entrypoint);
        over(&mut self.cmd, &facts.cmd);
        over(&mut self.shell_instruction, &facts.shell_instruction);
        over(&mut self.must_start_as_root, &facts.must_start_as_root);
        if let Some(tools) = &facts.user_tools {
            self.user_tools.get_or_insert_default().extend(tools.iter().cloned());
        }
        let env =
            facts.env.iter().filter_map(|e| e.split_once('=')).map(|(k, v)| (k.to_owned(), v.to_owned()));
        named(&mut self.env, env, |e| e.0.clone());
        named(&mut self.users, facts.users.iter().cloned(), |u| u.name.clone());
        named(&mut self.groups, facts.groups.iter().cloned(), |g| g.name.clone());
        named(&mut self.writes_known, facts.dirs.iter().cloned(), |d| d.path.clone());
        named(&mut self.volumes, facts.volumes.iter().cloned(), String::clone);
        named(&mut self.expose, facts.expose.iter().cloned(), String::clone);
        self.users.retain(|u| !facts.remove_users.contains(&u.name));
        // A user's own group is no group beside it.
        let users = &self.users;
        self.groups.retain(|g| !users.iter().any(|u| u.group.as_ref() == Some(&g.name)));
        self.onbuild |= facts.onbuild;
        self.server |= facts.server;
    }

    fn forget_config(&mut self) {
        self.config_known = false;
        self.workdir = None;
        self.entrypoint = None;
        self.cmd = None;
        self.env.clear();
        self.volumes.clear();
        self.expose.clear();
        self.writes_known.clear();
    }
}

/// What both images say: what the tags of a repository have in common.
fn agreed(a: Image, b: Image) -> Image {
    fn same<T: PartialEq>(a: Option<T>, b: Option<T>) -> Option<T> {
        if a == b { a } else { None }
    }
    fn both<T: PartialEq>(a: Vec<T>, b: &[T]) -> Vec<T> {
        a.into_iter().filter(|x| b.contains(x)).collect()
    }
    let tools = a.user_tools.zip(b.user_tools).map(|(a, b)| both(a, &b));
    Image {
        family: if a.family == b.family { a.family } else { Family::Other },
        system: same(a.system, b.system),
        release: same(a.release, b.release),
        libc: same(a.libc, b.libc),
        libc_version: same(a.libc_version, b.libc_version),
        shell: same(a.shell, b.shell),
        has_bash: same(a.has_bash, b.has_bash),
        package_manager: same(a.package_manager, b.package_manager),
        user: same(a.user, b.user),
        users: both(a.users, &b.users),
        groups: both(a.groups, &b.groups),
        config_known: a.config_known && b.config_known,
        workdir: same(a.workdir, b.workdir),
        env: both(a.env, &b.env),
        entrypoint: same(a.entrypoint, b.entrypoint),
        cmd: same(a.cmd, b.cmd),
        volumes: both(a.volumes, &b.volumes),
        expose: both(a.expose, &b.expose),
        onbuild: a.onbuild || b.onbuild,
        shell_instruction: same(a.shell_instruction, b.shell_instruction),
        user_tools: tools.filter(|t| !t.is_empty()),
        language: same(a.language, b.language),
        writes_known: both(a.writes_known, &b.writes_known),
        server: a.server || b.server,
        must_start_as_root: a.must_start_as_root.or(b.must_start_as_root),
        name: a.name,
        source: a.source,
        checked: a.checked,
    }
}

fn over<T: Clone>(slot: &mut Option<T>, value: &Option<T>) {
    if value.is_some() {
        slot.clone_from(value);
    }
}

fn named<T>(list: &mut Vec<T>, new: impl Iterator<Item = T>, name: impl Fn(&T) -> String) {
    for item in new {
        match list.iter_mut().find(|x| name(x) == name(&item)) {
            Some(old) => *old = item,
            None => list.push(item),
        }
    }
}

/// The repository and the tag of a reference; no tag is `latest`, and None when there is a digest alone.
pub(super) fn split(reference: &str) -> (&str, Option<&str>) {
    let (name, digest) = match reference.split_once('@') {
        Some((name, _)) => (name, true),
        None => (reference, false),
    };
    let base = name.rfind('/').map_or(0, |i| i + 1);
    match name[base..].split_once(':') {
        Some((image, tag)) => (&name[..base + image.len()], Some(tag)),
        None => (name, (!digest).then_some("latest")),
    }
}

/// The number a tag begins with (`3.12` of `v3.12-slim`).
fn leading(tag: &str) -> Option<&str> {
    let tag = tag.strip_prefix('v').unwrap_or(tag);
    let end = number_end(tag);
    Some(tag[..end].trim_end_matches('.')).filter(|n| !n.is_empty())
}

fn number_end(text: &str) -> usize {
    text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len())
}

fn language_version(entry: &Entry, tag: &Tag) -> Option<String> {
    let text = tag.text?;
    if entry.language_words.is_empty() {
        return leading(text).map(str::to_owned);
    }
    let mut found = entry.language_words.iter().filter_map(|p| find(p, text, false));
    found.find(|n| !n.is_empty()).map(str::to_owned)
}

/// Finds `pattern` among the words of `tag`, at its start or anywhere, and gives the number that `{}` stands for (empty
/// when the pattern has none).
fn find<'t>(pattern: &str, tag: &'t str, start: bool) -> Option<&'t str> {
    let starts = std::iter::once(0).chain(tag.match_indices('-').map(|(i, _)| i + 1));
    let mut starts = starts.take(if start { 1 } else { usize::MAX });
    starts.find_map(|at| matches(pattern, &tag[at..]))
}

fn matches<'t>(mut pattern: &str, mut text: &'t str) -> Option<&'t str> {
    let mut number = "";
    while let Some(c) = pattern.chars().next() {
        let hole = pattern.starts_with("{}") || c == '*';
        if hole {
            let end = number_end(text);
            let (here, rest) = text.split_at(end);
            if c == '{' {
                number = here.trim_end_matches('.');
                pattern = &pattern[2..];
            } else {
                pattern = &pattern[1..];
            }
            text = rest;
        } else {
            text = text.strip_prefix(c)?;
            pattern = &pattern[c.len_utf8()..];
        }
    }
    (text.is_empty() || text.starts_with('-')).then_some(number)
}

/// Compares versions number by number, as far as the shorter goes; what is no number (sid, edge) is newest.
fn newer(a: &str, b: &str) -> Ordering {
    let number = |p: &str| p.parse::<u64>().unwrap_or(u64::MAX);
    let pairs = a.split('.').zip(b.split('.'));
    pairs.map(|(a, b)| number(a).cmp(&number(b))).find(|o| o.is_ne()).unwrap_or(Ordering::Equal)
}
