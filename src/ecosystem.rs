//! Which command lines are installs of dependencies, and what such an install reads of the build context and writes
//! into it.
//!
//! The facts of the tools are data, `knowledge/ecosystems.yaml`; here are the readers of their manifests. A reader refuses
//! what it does not understand, for an install that lacks a file often succeeds without a word.

mod command;
mod composer;
mod dotnet;
mod go;
mod maven;
mod mix;
mod npm;
mod pip;
mod pnpm;
mod project;
mod ruby;
mod scan;
mod xml;
mod yarn;

#[cfg(test)]
mod tests;

use serde::Deserialize;
use std::collections::BTreeMap;
use std::sync::{LazyLock, OnceLock};

use crate::context::{Carry, Context};
use crate::knowledge::{self, table::Table};
use crate::pass::{Assumption, Level, Reason, Refusal};
use scan::Scan;

/// The catalogue.
#[derive(Clone, Debug)]
pub struct Ecosystems {
    tools: Table<Tool>,
    /// The names of the tools' files.
    files: OnceLock<Vec<Left>>,
}

/// What the build leaves of a tool beside its entry.
#[derive(Clone, Debug, Deserialize)]
struct Left {
    files: Option<Files>,
}

/// One tool of the catalogue. The fields are explained at the head of `knowledge/ecosystems.yaml`.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Tool {
    pub source: Vec<String>,
    pub checked: String,
    pub vectors: Vec<String>,
    pub level: CatalogueLevel,
    pub reader: ReaderKind,
    pub programs: Vec<String>,
    #[serde(default)]
    pub versioned: bool,
    #[serde(default)]
    pub slash_options: bool,
    #[serde(default)]
    pub python_module: Option<String>,
    pub commands: BTreeMap<String, Command>,
    pub options: BTreeMap<String, Takes>,
    #[serde(default)]
    pub files: Files,
    #[serde(default)]
    pub above: Vec<String>,
    #[serde(default)]
    pub guards: Vec<GuardEntry>,
    #[serde(default)]
    pub environment: BTreeMap<String, Variable>,
    #[serde(default)]
    pub fills: Vec<String>,
    #[serde(default)]
    pub lifecycle: Vec<String>,
    #[serde(default)]
    pub sourceless: Vec<Sourceless>,
    #[serde(default)]
    pub curious: Vec<Curious>,
    #[serde(default)]
    pub settings: Vec<String>,
    #[serde(default)]
    pub named: Vec<String>,
    #[serde(default)]
    pub aside: Vec<String>,
    #[serde(default)]
    pub build_only: Vec<String>,
}

/// The best level that the measurements behind an entry allow.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
pub enum CatalogueLevel {
    Safe,
    Review,
}

/// Which reader knows the tool's manifests.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
pub enum ReaderKind {
    Bundler,
    Composer,
    Dotnet,
    Go,
    Maven,
    Mix,
    Npm,
    Pip,
    Pipenv,
    Pnpm,
    Poetry,
    Uv,
    Yarn,
    /// No reader: the tool is known, and so is why its install stays where it is.
    None,
}

/// A subcommand of a tool.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Command {
    pub kind: CommandKind,
    /// It fails rather than change the lock file.
    #[serde(default)]
    pub locked: bool,
    /// It deletes the guarded paths before it writes them.
    #[serde(default)]
    pub clears: bool,
    /// Words other than options may follow it.
    #[serde(default)]
    pub operands: bool,
    /// What is run early, while the command itself stays.
    #[serde(default)]
    pub early: Option<String>,
    /// Options added to the command itself for the early run.
    #[serde(default)]
    pub early_options: Vec<String>,
    /// Why it is refused.
    #[serde(default)]
    pub because: Option<String>,
    /// What would help, if it is refused.
    #[serde(default)]
    pub unlock: Option<String>,
}

#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
pub enum CommandKind {
    /// Installs what the manifests ask for.
    Install,
    /// Changes a manifest, which a later COPY would restore.
    Changes,
    /// Reads more than can be told.
    Opaque,
}

/// What an option takes, and what it means.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
pub enum Takes {
    /// Nothing.
    Flag,
    /// A value, in the same word or in the next.
    Value,
    /// A value, in the same word only.
    Attached,
    /// A file or folder that is read.
    Reads,
    /// A folder that is written.
    Writes,
    /// The project's folder.
    Dir,
    /// Nothing; the install then fails rather than change the lock file.
    Locks,
    /// Nothing; the install then does not follow a lock file.
    Unlocks,
    /// Nothing; the project's own scripts are then not run.
    Scriptless,
    /// Nothing; the project itself is then not installed.
    Rootless,
    /// Nothing; the command then has nothing to do with the folder it runs in.
    Elsewhere,
    /// The option is known, and makes the install read more than can be told.
    Opaque,
}

/// The files of a tool, relative to the project's folder.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Files {
    /// All of them.
    #[serde(default)]
    pub manifest: Vec<String>,
    /// The first of them that is there.
    #[serde(default)]
    pub lock: Vec<String>,
    /// Those that are there.
    #[serde(default)]
    pub config: Vec<String>,
}

/// A path, relative to the project's folder, that the install writes and that the context must not bring.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct GuardEntry {
    pub path: String,
    /// Holds unless one of these variables has one of these values (`*`: any).
    #[serde(default)]
    pub unless: BTreeMap<String, Vec<String>>,
}

/// What a variable of the environment changes. A name that ends in `*` stands for all that begin so.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Variable {
    /// Values that change nothing that matters here; `*` for any.
    #[serde(default)]
    pub harmless: Vec<String>,
    /// Values under which the install fails rather than change the lock file.
    #[serde(default)]
    pub locks: Vec<String>,
    /// The value is a folder that the install writes, or a search path whose `bin` folders lie in such ones.
    #[serde(default)]
    pub writes: Option<Holds>,
}

#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
pub enum Holds {
    Folder,
    BinFolders,
}

/// A command of a manifest's script that reads no source.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Sourceless {
    /// The command, word for word.
    pub command: String,
    /// What it reads, if it is there.
    #[serde(default)]
    pub reads: Vec<String>,
    /// A path that must not be in the context, as the command would then do more.
    #[serde(default)]
    pub without: Vec<String>,
}

/// A published package whose own install script reads or writes files of the project that depends on it.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Curious {
    pub package: String,
    /// What it reads, if it is there.
    #[serde(default)]
    pub reads: Vec<String>,
    /// A path that must not be in the context.
    #[serde(default)]
    pub without: Vec<String>,
    /// A key of the manifest that has it write into the project.
    #[serde(default)]
    pub key: Option<String>,
}

/// An install, as it stands in a RUN.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Install {
    /// The tool's name in the catalogue.
    pub ecosystem: String,
    /// The subcommand as the catalogue writes it: `ci`, `pip install`; empty for none.
    pub subcommand: String,
    /// The command, quoted for a shell where a word needs it.
    pub command: String,
    /// The options as written, without their separate values.
    pub options: Vec<String>,
    /// The folder that an option names as the project's: `--prefix web`.
    pub dir: Option<String>,
    /// The words that are no options.
    pub operands: Vec<String>,
    /// Options with their meaning and value.
    pub parsed: Vec<(String, Takes, Option<String>)>,
    /// The program's path, if it is absolute.
    pub program: Option<String>,
}

/// What a command line is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Recognized {
    Install(Install),
    /// An install of a known tool, but not one that can be told the needs of.
    Refused(Refusal),
    /// No install that reads the folder it runs in.
    None,
}

/// Where an install runs, told in terms of the broad COPY.
#[derive(Clone, Debug, Default)]
pub struct Place {
    source: String,
    // Where the source lands in the image; empty if only the working directory is known.
    target: String,
    cwd: String,
    env: BTreeMap<String, String>,
    assigned: Vec<Assigned>,
}

/// An assignment before a command: `NAME=value npm ci`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Assigned {
    pub name: String,
    /// None: it is not known.
    pub value: Option<String>,
}

/// What an install reads and writes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Needs {
    /// Files and folders of the context to copy early, context-relative and literal: manifest, lock file, configuration.
    pub files: Vec<String>,
    /// What a later COPY must not bring.
    pub guards: Vec<Guard>,
    /// Context-relative paths that the install writes.
    pub writes: Vec<String>,
    /// Whether the install may change a lock file that the later COPY then restores.
    pub rewrites_lock: bool,
    /// A command to run early; the original then stays behind the broad COPY.
    pub early: Option<String>,
    /// Folders of the image that `early` may fill with more than the original would: they matter in a stage that ships.
    pub fills: Vec<String>,
    pub level: Level,
    pub assumes: Vec<Assumption>,
    /// Sentences of the proof.
    pub evidence: Vec<String>,
}

/// A path that the install writes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Guard {
    /// Context-relative; a name if `all_levels`.
    pub path: String,
    /// Whether the name is meant at any depth.
    pub all_levels: bool,
    /// Whether the install deletes the path before it writes it, so that leaving it out of the context changes nothing.
    pub cleared: bool,
}

/// The later COPY may bring what the install wrote.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Overlay {
    /// Lines for `.dockerignore` that would keep it out.
    pub missing_ignore_lines: Vec<String>,
    /// Guarded paths that are in the context now.
    pub carried: Vec<String>,
}

impl Ecosystems {
    /// The catalogue that the program carries.
    pub fn builtin() -> &'static Ecosystems {
        static BUILTIN: LazyLock<Ecosystems> = LazyLock::new(|| Ecosystems {
            tools: knowledge::entries!("ecosystems", ""),
            files: OnceLock::new(),
        });
        &BUILTIN
    }

    /// The tool of that name.
    #[must_use]
    pub fn tool(&self, name: &str) -> Option<&Tool> {
        self.tools.get(name)
    }

    /// All tools, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Tool)> {
        self.tools.iter()
    }

    /// Whether a file of that name is a manifest, a lock file or configuration of one of the tools.
    ///
    /// # Panics
    /// Never in a built program: a test reads the catalogue.
    #[must_use]
    pub fn is_manifest(&self, name: &str) -> bool {
        let left = include_str!(concat!(env!("OUT_DIR"), "/ecosystems.json"));
        let read = || serde_json::from_str(left).expect("the catalogue is checked by a test");
        let is = |pattern: &String| {
            let pattern = pattern.rsplit('/').next().unwrap_or(pattern);
            crate::context::go_match(pattern, name).unwrap_or(false)
        };
        let all = self.files.get_or_init(read).iter().filter_map(|l| l.files.as_ref());
        all.flat_map(|f| f.manifest.iter().chain(&f.lock).chain(&f.config)).any(is)
    }
}

/// What `install` reads. `dir` is the folder of the context ("" for its root) that lies at the command's working directory.
///
/// # Errors
/// Why the install cannot be told from its manifests alone.
pub fn needs(
    install: &Install,
    context: &Context,
    dir: &str,
    ecosystems: &Ecosystems,
) -> Result<Needs, Refusal> {
    needs_at(install, context, &Place::at(dir), ecosystems)
}

/// As [`needs`], where absolute paths and the environment count too.
///
/// # Errors
/// Why the install cannot be told from its manifests alone.
pub fn needs_at(
    install: &Install,
    context: &Context,
    place: &Place,
    ecosystems: &Ecosystems,
) -> Result<Needs, Refusal> {
    let Some(tool) = ecosystems.tool(&install.ecosystem) else {
        let message = format!("{} is not in the catalogue", install.ecosystem);
        return Err(Refusal::new(Reason::EcosystemUnknown, message, "split it by hand"));
    };
    let mut scan = Scan::new(install, context, place, tool)?;
    match tool.reader {
        ReaderKind::Bundler => ruby::read(&mut scan)?,
        ReaderKind::Composer => composer::read(&mut scan)?,
        ReaderKind::Dotnet => dotnet::read(&mut scan)?,
        ReaderKind::Go => go::read(&mut scan)?,
        ReaderKind::Maven => maven::read(&mut scan)?,
        ReaderKind::Mix => mix::read(&mut scan)?,
        ReaderKind::Npm => npm::read(&mut scan)?,
        ReaderKind::Pip => pip::read(&mut scan)?,
        ReaderKind::Pipenv => project::read_pipenv(&mut scan)?,
        ReaderKind::Pnpm => pnpm::read(&mut scan)?,
        ReaderKind::Poetry => project::read_poetry(&mut scan)?,
        ReaderKind::Uv => project::read_uv(&mut scan)?,
        ReaderKind::Yarn => yarn::read(&mut scan)?,
        ReaderKind::None => {
            let message = format!("{} has no reader", install.ecosystem);
            return Err(Refusal::new(Reason::EcosystemUnknown, message, "split it by hand"));
        }
    }
    scan.finish()
}

/// Whether the broad COPY could lay something over what the install wrote: sentences that say why not.
///
/// # Errors
/// What is, or may come to be, in the context.
pub fn overlay(needs: &Needs, context: &Context, _dir: &str) -> Result<Vec<String>, Overlay> {
    let mut evidence = Vec::new();
    let mut found = Overlay { missing_ignore_lines: Vec::new(), carried: Vec::new() };
    for guard in &needs.guards {
        if guard.all_levels && context.keeps_out(&guard.path) {
            evidence.push(format!("no {} at any depth comes with the context", guard.path));
            continue;
        }
        match context.may_carry(&guard.path) {
            Carry::No { why } if !guard.all_levels => {
                evidence.push(format!("{why}, so the later COPY cannot overlay what was installed"));
                continue;
            }
            Carry::Yes => found.carried.push(guard.path.clone()),
            Carry::No { .. } | Carry::Absent => {}
        }
        let line = if guard.all_levels { format!("**/{}", guard.path) } else { guard.path.clone() };
        found.missing_ignore_lines.push(line);
    }
    let mut seen = std::collections::BTreeSet::new();
    evidence.retain(|sentence| seen.insert(sentence.clone()));
    if found.missing_ignore_lines.is_empty() { Ok(evidence) } else { Err(found) }
}

impl Place {
    /// The working directory holds the folder `dir` of the context. Absolute paths are then unknown.
    #[must_use]
    pub fn at(dir: &str) -> Place {
        Place { cwd: format!("/{dir}"), ..Place::default() }
    }

    /// The broad COPY brings the folder `source` of the context to the absolute path `target` of the image; the command
    /// runs in `cwd` (absolute) with the variables `env`.
    #[must_use]
    pub fn new(source: &str, target: &str, cwd: &str, env: &[(String, String)]) -> Place {
        Place {
            source: parts(source).unwrap_or_default().join("/"),
            target: target.to_string(),
            cwd: cwd.to_string(),
            env: env.iter().cloned().collect(),
            assigned: Vec::new(),
        }
    }

    /// With assignments before the command.
    #[must_use]
    pub fn assign(mut self, assigned: &[Assigned]) -> Place {
        for one in assigned {
            // a value that is not known is none that the catalogue has
            let value = one.value.clone().unwrap_or_else(|| "?".to_string());
            self.env.insert(one.name.clone(), value);
        }
        self.assigned = assigned.to_vec();
        self
    }

    /// The path of the context that lies at `path` of the image, relative to the working directory or absolute. None if
    /// the COPY brings nothing there.
    fn locate(&self, path: &str) -> Option<String> {
        let absolute = path.starts_with('/');
        if absolute && self.target.is_empty() {
            return None;
        }
        let whole = if absolute { parts(path)? } else { parts(&format!("{}/{path}", self.cwd))? };
        let target = parts(&self.target)?;
        let inside = whole.strip_prefix(target.as_slice())?;
        let mut out = parts(&self.source)?;
        out.extend(inside.iter().cloned());
        Some(out.join("/"))
    }
}

impl Install {
    /// Whether an option with that meaning is given.
    #[must_use]
    pub fn has(&self, takes: Takes) -> bool {
        self.parsed.iter().any(|(_, t, _)| *t == takes)
    }

    /// The values of the options with that meaning.
    pub fn values(&self, takes: Takes) -> impl Iterator<Item = (&str, &str)> {
        let of = move |(name, t, value): &'_ (String, Takes, Option<String>)| {
            *t == takes && value.is_some() && !name.is_empty()
        };
        self.parsed
            .iter()
            .filter(move |option| of(option))
            .filter_map(|(name, _, value)| Some((name.as_str(), value.as_deref()?)))
    }
}

/// The parts of a path without `.` and with `..` resolved; None if it leaves the root.
fn parts(path: &str) -> Option<Vec<String>> {
    let mut out: Vec<String> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                out.pop()?;
            }
            part => out.push(part.to_string()),
        }
    }
    Some(out)
}
