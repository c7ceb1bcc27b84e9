//! Which paths an instruction writes.

use super::{Facts, covers, join};
use crate::{
    knowledge::{Class, Family, Image, Knowledge, Paths},
    shell::Script,
    syntax::Keyword,
};

/// A path that is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Write {
    /// Absolute.
    pub path: String,
    /// Whether what lies below it is written too.
    pub below: bool,
}

impl Write {
    /// Whether it and `path`, or something below either, are the same file.
    #[must_use]
    pub fn meets(&self, path: &str) -> bool {
        covers(path, &self.path) || (self.below && covers(&self.path, path))
    }
}

/// What an instruction writes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Writes {
    /// These and no others.
    Known(Vec<Write>),
    /// These, and what is not known.
    Anything(Vec<Write>),
}

impl Writes {
    /// What is known to be written.
    #[must_use]
    pub fn known(&self) -> &[Write] {
        match self {
            Writes::Known(w) | Writes::Anything(w) => w,
        }
    }

    /// Whether no other path is written.
    #[must_use]
    pub fn is_known(&self) -> bool {
        matches!(self, Writes::Known(_))
    }

    /// Whether it may write at or below `path`.
    #[must_use]
    pub fn may_meet(&self, path: &str) -> bool {
        !self.is_known() || self.known().iter().any(|w| w.meets(path))
    }
}

pub(super) fn of(facts: &Facts, knowledge: &Knowledge, index: usize) -> Writes {
    let ins = &facts.file().instructions[index];
    let none = Writes::Known(Vec::new());
    let Some(state) = facts.before(index) else { return none };
    match ins.keyword {
        Keyword::Copy | Keyword::Add => {
            match ins.args().last().and_then(|d| state.absolute(&d.value, facts.file().escape)) {
                Some(dst) => Writes::Known(vec![Write { path: dst.text, below: true }]),
                None => Writes::Anything(Vec::new()),
            }
        }
        Keyword::Workdir => match state.absolute(ins.first(), facts.file().escape) {
            Some(dir) => Writes::Known(vec![Write { path: dir.text, below: false }]),
            None => Writes::Anything(Vec::new()),
        },
        Keyword::Run => of_run(facts, knowledge, index),
        _ => none,
    }
}

fn of_run(facts: &Facts, knowledge: &Knowledge, index: usize) -> Writes {
    match facts.run(index).and_then(super::Run::understood) {
        Some(script) => of_script(facts, knowledge, index, script),
        None => Writes::Anything(Vec::new()),
    }
}

/// Where packages install to: the folders of the Filesystem Hierarchy Standard 3.0, but for /home, and for /srv, /usr/local and
/// /usr/src, which it leaves to the administrator.
const SYSTEM: [&str; 19] = [
    "/bin",
    "/boot",
    "/etc",
    "/lib",
    "/lib32",
    "/lib64",
    "/opt",
    "/root",
    "/run",
    "/sbin",
    "/usr/bin",
    "/usr/games",
    "/usr/include",
    "/usr/lib",
    "/usr/lib64",
    "/usr/libexec",
    "/usr/sbin",
    "/usr/share",
    "/var",
];

/// Whether a base image may have anything at or below `path`, whatever its definition names.
pub(super) fn is_system(path: &str) -> bool {
    let holds =
        ["/", "/usr", "/usr/src", "/usr/local", "/home", "/srv", "/tmp", "/mnt", "/media"].contains(&path);
    holds || covers("/usr/local", path) || covers("/tmp", path) || SYSTEM.iter().any(|d| covers(d, path))
}

/// Folders that the Filesystem Hierarchy Standard 3.0 requires (chapters 3 to 5) and that the images of these families have.
const REQUIRED: [&str; 24] = [
    "/",
    "/bin",
    "/etc",
    "/home",
    "/media",
    "/mnt",
    "/opt",
    "/root",
    "/run",
    "/sbin",
    "/srv",
    "/tmp",
    "/usr",
    "/usr/bin",
    "/usr/lib",
    "/usr/local",
    "/usr/local/bin",
    "/usr/local/lib",
    "/usr/sbin",
    "/usr/share",
    "/var",
    "/var/cache",
    "/var/lib",
    "/var/log",
];

/// Whether an image has that folder for certain.
pub(super) fn has_folder(image: &Image, path: &str) -> bool {
    let full = matches!(
        image.family,
        Family::Debian | Family::Alpine | Family::Rhel | Family::Amazon | Family::Suse
    );
    let named =
        image.workdir.as_deref().into_iter().chain(image.writes_known.iter().map(|d| d.path.as_str()));
    full && REQUIRED.contains(&path) || named.into_iter().any(|d| covers(path, d))
}

/// What a script writes that runs as instruction `index` does.
pub(super) fn of_script(facts: &Facts, knowledge: &Knowledge, index: usize, script: &Script) -> Writes {
    let Some(state) = facts.before(index) else { return Writes::Anything(Vec::new()) };
    let (mut all, mut sure) = (Vec::new(), !script.has_heredoc());
    let mut cwd = state.cwd.clone();
    for command in script.commands() {
        let simple = command.simple;
        for redirect in simple.redirects.iter().filter(|r| r.writes()) {
            let path = redirect.target.as_ref().and_then(|t| t.literal.as_deref());
            sure &= push(&mut all, cwd.as_deref(), path, false);
        }
        if simple.words.is_empty() {
            continue;
        }
        let Some(argv) = facts.argv_in(script, index, simple) else {
            let written = super::accounts::as_written(script, simple);
            match names_no_folder(&written).then(|| account(&written)).flatten() {
                Some(writes) => all.extend(writes),
                None => sure = false,
            }
            continue;
        };
        if argv[0] == "cd" {
            cwd = argv.get(1).and_then(|d| {
                if d.starts_with('/') { Some(d.clone()) } else { cwd.as_deref().map(|c| join(c, d)) }
            });
            continue;
        }
        if let Some(written) = account(&argv) {
            all.extend(written);
            continue;
        }
        let known = knowledge.command(&argv);
        if matches!(known.class, Class::Packages | Class::Index | Class::Cleanup) {
            all.extend(SYSTEM.iter().map(|d| Write { path: (*d).to_owned(), below: true }));
            continue;
        }
        for paths in [&known.writes, &known.deletes] {
            match paths {
                Paths::None => {}
                Paths::Everything => sure = false,
                Paths::Some(paths) => {
                    for path in paths {
                        let (path, below) = match path.strip_suffix("/**") {
                            Some(dir) => (dir, true),
                            None => (path.as_str(), false),
                        };
                        sure &= push(&mut all, cwd.as_deref(), Some(path), below);
                    }
                }
            }
        }
    }
    if sure { Writes::Known(all) } else { Writes::Anything(all) }
}

/// What `useradd`, `adduser` and their like for groups write: the files of accounts, homes and mail boxes, and each folder that its words name (man pages
/// of shadow-utils 4.17, adduser 3.137, busybox 1.37). None for another command, or where an option puts all of it elsewhere.
fn account(argv: &[String]) -> Option<Vec<Write>> {
    let name = argv.first()?.rsplit('/').next()?;
    let elsewhere =
        ["-b", "--base-dir", "-K", "--key", "-k", "--skel", "-R", "--root", "-P", "--prefix", "--conf"];
    let named = |w: &String| elsewhere.iter().any(|o| w == o || w.starts_with(&format!("{o}=")));
    if !matches!(name, "useradd" | "adduser" | "groupadd" | "addgroup") || argv.iter().any(named) {
        return None;
    }
    let write = |path: &str| Write { path: path.to_owned(), below: true };
    if matches!(name, "groupadd" | "addgroup") {
        return Some(vec![write("/etc")]);
    }
    let mut all: Vec<Write> = ["/etc", "/var/mail", "/var/spool/mail", "/var/log"].map(write).to_vec();
    if makes_home(name, &argv[1..]) {
        all.push(write("/home"));
        let values = argv[1..].iter().map(|w| w.split_once('=').map_or(w.as_str(), |(_, v)| v));
        all.extend(values.filter_map(|v| v.find('/').map(|i| write(&join("/", &v[i..])))));
    }
    Some(all)
}

/// Whether the words of an account command that are not known are numbers, names or a comment, and so no folder.
fn names_no_folder(words: &[String]) -> bool {
    let plain = ["-u", "--uid", "-g", "--gid", "-G", "--groups", "-c", "--comment", "--gecos"];
    let unknown = |w: &String| w.contains(['$', '`']);
    let is_plain = |i: usize| {
        let before = words[i]
            .split_once('=')
            .map(|(n, _)| n)
            .or_else(|| words.get(i.checked_sub(1)?).map(String::as_str));
        before.is_some_and(|b| plain.contains(&b))
    };
    (0..words.len()).filter(|i| unknown(&words[*i])).all(is_plain)
}

/// Whether `useradd` or `adduser` may make the home: not where an option says no, nor for a system user of `useradd` without `-m`
/// (useradd(8) of shadow-utils 4.17, "--system"; busybox 1.37 and Fedora know letters alone).
fn makes_home(name: &str, words: &[String]) -> bool {
    // letters up to one that takes the rest of its word, or the next one, as a value
    let with_value = if name == "useradd" { "bcdefgGkKpPRsuZ" } else { "hgsGuk" };
    let (mut letters, mut is_value) = (String::new(), false);
    let mut system = false;
    for word in words {
        if std::mem::take(&mut is_value) {
            continue;
        }
        match word.as_str() {
            "--no-create-home" => return false,
            "--create-home" => letters.push('m'),
            "--system" => system = true,
            w if w.starts_with("--") || !w.starts_with('-') => {}
            w => {
                let end = w.find(|c| with_value.contains(c));
                is_value = end.is_some_and(|i| i + 1 == w.len());
                letters += &w[1..end.unwrap_or(w.len())];
            }
        }
    }
    let has = |c: char| letters.contains(c);
    let none = has('M') || name == "adduser" && has('H');
    !none && !(name == "useradd" && (system || has('r')) && !has('m'))
}

/// Adds a path, made absolute; false if it is not known.
fn push(all: &mut Vec<Write>, cwd: Option<&str>, path: Option<&str>, below: bool) -> bool {
    let path = match (path, cwd) {
        (Some(p), _) if p.starts_with('/') => join("/", p),
        (Some(p), Some(cwd)) => join(cwd, p),
        _ => return false,
    };
    // what the kernel makes is not part of the image
    if !["/dev", "/proc", "/sys"].iter().any(|d| covers(d, &path)) {
        all.push(Write { path, below });
    }
    true
}

/// Absolute paths that instruction `index` names: what it writes, and what its commands read.
pub(super) fn touched(facts: &Facts, knowledge: &Knowledge, index: usize) -> Vec<String> {
    let mut out: Vec<String> = facts.writes(index).known().iter().map(|w| w.path.clone()).collect();
    let cwd = facts.before(index).and_then(|s| s.cwd.clone());
    for simple in facts.commands(index) {
        let argv = facts.argv(index, simple).unwrap_or_default();
        if argv.is_empty() {
            continue;
        }
        if let Paths::Some(paths) = knowledge.command(&argv).reads {
            for path in paths {
                let path = path.strip_suffix("/**").unwrap_or(&path);
                out.extend(cwd.as_deref().map(|c| join(c, path)));
            }
        }
    }
    out.sort();
    out.dedup();
    out
}
