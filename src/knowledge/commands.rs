//! Commands: from the words of a simple command to its class and the paths it reads, writes and deletes.

use super::table::Table;
use super::tables::PackageManager;
use serde::Deserialize;
use std::collections::BTreeMap;

/// What kind of work a command does, which decides how much its layer costs and how often it changes.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq, PartialOrd, Ord)]
#[serde(rename_all = "lowercase")]
pub enum Class {
    /// Cheap: links, directories, owners, small edits.
    Config,
    /// Installs packages of the system.
    Packages,
    /// Fetches the package index.
    Index,
    /// Deletes indexes and caches.
    Cleanup,
    Fetch,
    /// Installs dependencies; the ecosystem (`npm`, `pip`) stands in [`CommandFacts::ecosystem`].
    Install,
    Build,
    /// Starts a process that outlives the command.
    Daemon,
    #[default]
    Unknown,
}

/// A set of paths.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Paths {
    #[default]
    None,
    /// Operands as given; `dir/**` stands for a directory with all below it. A destination (of cp, mv, ln, wget -P) that
    /// is a directory stands for what is put into it as well.
    Some(Vec<String>),
    /// Any path at all.
    Everything,
}

/// What a command does. The shell's own redirections are not part of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CommandFacts {
    pub class: Class,
    pub ecosystem: Option<String>,
    pub reads: Paths,
    pub writes: Paths,
    pub deletes: Paths,
    pub network: bool,
    /// Files or folders that are written among others, since they are named after what is fetched; from the working folder.
    pub names: Vec<String>,
}

/// The catalogue `commands.yaml`, which explains its own fields.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Commands {
    pub(super) source: String,
    pub(super) checked: String,
    #[serde(skip)]
    pub(super) commands: Table<Command>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Command {
    class: Class,
    ecosystem: Option<String>,
    network: bool,
    reads: Operands,
    writes: Operands,
    deletes: Operands,
    values: Vec<String>,
    /// Options after which the first operand is a path like the others.
    operand_options: Vec<String>,
    recursive: Vec<String>,
    into: Vec<String>,
    /// The value of `into` is all that is written.
    into_instead: bool,
    /// `writes` holds only with one of these options.
    writes_with: Vec<String>,
    /// With one of these options every operand is written and none read.
    all_written_with: Vec<String>,
    /// With one of these options (`always`: without any) each operand is an address, and a file or folder of its last name is written.
    named_with: Vec<String>,
    /// With one of these none is.
    named_without: Vec<String>,
    /// It is sed, whose script may write files of its own.
    sed: bool,
    /// With one operand, a file of its last name is written to the working folder.
    alone_here: bool,
    /// With one of these options anything may happen to any path.
    effects_with: Vec<String>,
    /// A set of files the command edits that is the same at every call.
    files: Option<Files>,
    /// A package manager, whose words `package_managers.yaml` has.
    packages: bool,
    wrapper: bool,
    /// How many operands of its own a wrapper has before the command.
    skip: usize,
    /// What it does with no operand.
    bare: Option<Box<Command>>,
    subcommands: BTreeMap<String, Command>,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Files {
    Account,
    Home,
}

#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq)]
#[serde(rename_all = "snake_case")]
enum Operands {
    #[default]
    None,
    All,
    First,
    Last,
    ButFirst,
    ButLast,
    Everything,
}

/// The options and operands of a command line.
struct Line<'a> {
    options: Vec<&'a str>,
    operands: Vec<&'a str>,
    /// Values of the options that name a path to write into.
    into: Vec<&'a str>,
}

impl Commands {
    pub(super) fn with(&self, commands: BTreeMap<String, Command>) -> Commands {
        let mut out = self.clone();
        commands.into_iter().for_each(|(name, command)| out.commands.insert(name, &[], command));
        out
    }

    /// See [`super::Knowledge::command`].
    pub(super) fn facts(&self, argv: &[String], managers: &BTreeMap<String, PackageManager>) -> CommandFacts {
        let Some((program, rest)) = argv.split_first() else { return CommandFacts::default() };
        let base = program.rsplit('/').next().unwrap_or(program);
        let Some(command) = self.commands.get(program).or_else(|| self.commands.get(base)) else {
            return unknown();
        };
        if command.wrapper {
            return self.facts(&rest[wrapped(command, rest).min(rest.len())..], managers);
        }
        if command.packages {
            return packages(base, rest, managers);
        }
        if command.sed {
            let (reads, writes) = super::sed::effects(rest);
            return CommandFacts { class: command.class, reads, writes, ..CommandFacts::default() };
        }
        let line = line(command, rest);
        if let Some(sub) = line.operands.first().and_then(|o| command.subcommands.get(*o)) {
            let rest: Vec<String> = skip_first(rest, line.operands[0]);
            return facts(sub, &self::line(sub, &rest), managers);
        }
        match &command.bare {
            Some(bare) if line.operands.is_empty() => facts(bare, &line, managers),
            _ => facts(command, &line, managers),
        }
    }
}

fn facts(command: &Command, line: &Line, managers: &BTreeMap<String, PackageManager>) -> CommandFacts {
    let has = |list: &[String]| list.iter().any(|o| line.has(o));
    let tree = has(&command.recursive) || command.recursive.iter().any(|r| r == "always");
    let no_first = has(&command.operand_options) || line.operands.len() < 2;
    let paths = |which: Operands| match which {
        Operands::ButFirst if no_first => line.paths(Operands::All, tree),
        _ => line.paths(which, tree),
    };
    let named = |o: &String| o == "always" || line.has(o);
    let is_named = command.named_with.iter().any(named) && !has(&command.named_without);
    let mut out = CommandFacts {
        class: command.class,
        ecosystem: command.ecosystem.clone(),
        network: command.network,
        reads: paths(command.reads),
        writes: paths(command.writes),
        deletes: paths(command.deletes),
        names: if is_named { names(line) } else { Vec::new() },
    };
    if let ([one], true, true) = (&line.operands[..], command.alone_here, line.into.is_empty()) {
        let name = one.trim_end_matches('/').rsplit('/').next().unwrap_or_default();
        out.writes = if name.contains(['$', '`']) { Paths::Everything } else { some(&[name]) };
    }
    if !command.writes_with.is_empty() && !has(&command.writes_with) {
        out.writes = Paths::None;
    }
    if has(&command.all_written_with) {
        (out.reads, out.writes) = (Paths::None, paths(Operands::All));
    } else if !line.into.is_empty() {
        let into: Vec<String> = line.into.iter().map(|p| (*p).to_owned()).collect();
        if !command.into_instead {
            // The destination is the option's value, so the last operand is one more source.
            if command.reads == Operands::ButLast {
                out.reads = paths(Operands::All);
            }
            if command.deletes == Operands::ButLast {
                out.deletes = paths(Operands::All);
            }
        }
        if out.writes != Paths::Everything || command.into_instead {
            out.writes = Paths::Some(into);
        }
    }
    if has(&command.effects_with) {
        (out.writes, out.deletes) = (Paths::Everything, Paths::Everything);
    }
    if let Some(files) = command.files {
        out.reads = some(&["/etc/passwd", "/etc/group", "/etc/shadow", "/etc/login.defs", "/etc/skel/**"]);
        // Debian's adduser and busybox make a home unless told not to; shadow's useradd does on some systems.
        let no_home = ["-M", "-H", "--no-create-home"].iter().any(|o| line.has(o));
        out.writes = if matches!(files, Files::Account) || no_home {
            some(&["/etc/passwd", "/etc/group", "/etc/shadow", "/etc/gshadow", "/etc/subuid", "/etc/subgid"])
        } else {
            Paths::Everything
        };
    }
    if is_cleanup(&out, managers) {
        out.class = Class::Cleanup;
    }
    out
}

/// Whether all that is deleted lies where a package manager keeps its index and its downloads.
fn is_cleanup(facts: &CommandFacts, managers: &BTreeMap<String, PackageManager>) -> bool {
    let Paths::Some(deleted) = &facts.deletes else { return false };
    let dirs: Vec<&String> =
        managers.values().flat_map(|m| m.index_dirs.iter().chain(&m.cache_dirs)).collect();
    // A path that climbs out of the directory is none of its own.
    let below = |path: &String| {
        !path.contains("..")
            && dirs
                .iter()
                .any(|d| path.strip_prefix(d.as_str()).is_some_and(|r| r.is_empty() || r.starts_with('/')))
    };
    facts.writes == Paths::None && !deleted.is_empty() && deleted.iter().all(below)
}

/// A call of a package manager.
fn packages(name: &str, rest: &[String], managers: &BTreeMap<String, PackageManager>) -> CommandFacts {
    let Some(manager) =
        managers.get(name).or_else(|| managers.values().find(|m| m.aliases.iter().any(|a| a == name)))
    else {
        return unknown();
    };
    let is = |list: &[String]| {
        rest.iter().find(|w| list.contains(w)).and_then(|w| rest.iter().position(|r| r == w))
    };
    let trees = |dirs: &[String]| Paths::Some(dirs.iter().map(|d| format!("{d}/**")).collect());
    let network = |class, writes| CommandFacts {
        class,
        reads: Paths::Everything,
        writes,
        network: true,
        ..CommandFacts::default()
    };
    let words = [&manager.update, &manager.install, &manager.upgrade, &manager.remove, &manager.clean];
    let first = words.iter().enumerate().filter_map(|(i, l)| is(l).map(|at| (at, i))).min();
    match first.map(|(_, i)| i) {
        Some(0) => network(Class::Index, trees(&manager.index_dirs)),
        Some(1 | 2) => network(Class::Packages, Paths::Everything),
        Some(3) => CommandFacts {
            deletes: Paths::Everything,
            network: false,
            ..network(Class::Packages, Paths::Everything)
        },
        Some(_) => CommandFacts {
            class: Class::Cleanup,
            deletes: trees(&manager.cache_dirs),
            ..CommandFacts::default()
        },
        // what a variable becomes is not known
        None if rest.iter().any(|w| w.contains('$')) => network(Class::Packages, Paths::Everything),
        None => {
            CommandFacts { class: Class::Config, network: false, ..network(Class::Config, Paths::Everything) }
        }
    }
}

/// How many words belong to a wrapper itself: options, their values, assignments, and operands of its own.
fn wrapped(command: &Command, rest: &[String]) -> usize {
    let mut own = command.skip;
    let mut i = 0;
    while let Some(word) = rest.get(i) {
        match word.as_str() {
            "--" => return i + 1 + own,
            w if w.starts_with('-') => i += 1 + usize::from(command.values.iter().any(|v| v == w)),
            w if w.contains('=') => i += 1,
            _ if own > 0 => (i, own) = (i + 1, own - 1),
            _ => return i,
        }
    }
    i
}

fn line<'a>(command: &Command, rest: &'a [String]) -> Line<'a> {
    let mut out = Line { options: Vec::new(), operands: Vec::new(), into: Vec::new() };
    let mut words = rest.iter().map(String::as_str);
    while let Some(word) = words.next() {
        if word == "--" {
            out.operands.extend(words.by_ref());
        } else if !word.starts_with('-') || word == "-" {
            out.operands.push(word);
        } else {
            let (name, value) = word.split_once('=').map_or((word, None), |(n, v)| (n, Some(v)));
            out.options.push(name);
            // A letter that takes a value stands last in its cluster: `-qO file`, `-fsSLo file`.
            let last = name.chars().last().map(|c| format!("-{c}")).filter(|_| !name.starts_with("--"));
            let is = |list: &[String]| list.iter().any(|v| v == name || Some(v) == last.as_ref());
            if is(&command.into) {
                out.into.extend(value.or_else(|| words.next()));
            } else if value.is_none() && is(&command.values) {
                // Of sed's and grep's pattern options the pattern is no operand; `-` keeps its place.
                words.next();
            }
        }
    }
    out
}

impl Line<'_> {
    /// Whether the option is given, also within a cluster of letters.
    fn has(&self, option: &str) -> bool {
        let letter = option.strip_prefix('-').filter(|o| o.len() == 1);
        self.options.iter().any(|o| {
            *o == option
                || (letter.is_some_and(|l| !o.starts_with("--") && o[1..].contains(l)) && o.len() > 1)
        })
    }

    fn paths(&self, which: Operands, tree: bool) -> Paths {
        let all = &self.operands[..];
        let picked = match which {
            Operands::None => return Paths::None,
            Operands::Everything => return Paths::Everything,
            Operands::All => all,
            Operands::First => &all[..all.len().min(1)],
            Operands::Last => &all[all.len().saturating_sub(1)..],
            Operands::ButFirst => all.get(1..).unwrap_or_default(),
            Operands::ButLast => &all[..all.len().saturating_sub(1)],
        };
        // What a variable or a substitution becomes is not known.
        if picked.iter().any(|p| p.contains(['$', '`'])) {
            return Paths::Everything;
        }
        let path = |p: &&str| if tree { format!("{}/**", p.trim_end_matches('/')) } else { (*p).to_owned() };
        match picked {
            [] => Paths::None,
            _ => Paths::Some(picked.iter().map(path).collect()),
        }
    }
}

fn skip_first(rest: &[String], word: &str) -> Vec<String> {
    let at = rest.iter().position(|r| r == word).unwrap_or(rest.len());
    rest.iter().enumerate().filter(|(i, _)| *i != at).map(|(_, w)| w.clone()).collect()
}

fn some(paths: &[&str]) -> Paths {
    Paths::Some(paths.iter().map(|p| (*p).to_owned()).collect())
}

/// Of a command that is in no catalogue anything is possible.
fn unknown() -> CommandFacts {
    CommandFacts {
        class: Class::Unknown,
        ecosystem: None,
        reads: Paths::Everything,
        writes: Paths::Everything,
        deletes: Paths::Everything,
        network: true,
        names: Vec::new(),
    }
}

/// What is written where operands are addresses: a file of the last part's name, or, as of `git clone`, the folder that comes second.
fn names(line: &Line) -> Vec<String> {
    let is_address = |o: &str| o.contains("://") || o.contains('@') && o.contains(':');
    let name = |o: &str| {
        let last = o.trim_end_matches('/').rsplit(['/', ':']).next().unwrap_or_default();
        last.strip_suffix(".git").unwrap_or(last).to_owned()
    };
    let mut out: Vec<String> = line.operands.iter().filter(|o| is_address(o)).map(|o| name(o)).collect();
    if let [address, folder] = line.operands[..]
        && is_address(address)
        && !is_address(folder)
    {
        out = vec![folder.to_owned()];
    }
    if line.into.is_empty() {
        return out;
    }
    line.into.iter().flat_map(|d| out.iter().map(move |n| format!("{d}/{n}"))).collect()
}
