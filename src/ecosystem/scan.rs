//! What the readers of all ecosystems share: where the project lies, which files were found, and how a refusal is said.

use std::collections::BTreeSet;
use std::fmt::Write;

use super::command::quoted;
use super::{Guard, Holds, Install, Needs, Place, Takes, Tool, parts};
use crate::context::{Context, FileKind};
use crate::pass::{Assumption, Level, Reason, Refusal};

/// An install that is being read.
pub(super) struct Scan<'a> {
    pub install: &'a Install,
    pub context: &'a Context,
    pub tool: &'a Tool,
    /// The project's folder in the context.
    pub dir: String,
    pub needs: Needs,
    /// The install fails rather than change a lock file.
    pub locked: bool,
    pub place: &'a Place,
    // The working directory holds a folder of the context.
    placed: bool,
}

impl<'a> Scan<'a> {
    pub fn new(
        install: &'a Install,
        context: &'a Context,
        place: &'a Place,
        tool: &'a Tool,
    ) -> Result<Scan<'a>, Refusal> {
        let given = install.dir.as_deref().unwrap_or(".");
        let dir = place.locate(given);
        if dir.is_none() && install.dir.is_some() {
            return Err(outside(given));
        }
        let command = tool.commands.get(&install.subcommand);
        let needs = Needs {
            files: Vec::new(),
            guards: Vec::new(),
            writes: Vec::new(),
            rewrites_lock: false,
            early: None,
            fills: Vec::new(),
            level: Level::Safe,
            assumes: Vec::new(),
            evidence: Vec::new(),
        };
        let locked = command.is_some_and(|c| c.locked) || install.has(Takes::Locks);
        let placed = dir.is_some();
        let dir = dir.unwrap_or_default();
        let mut scan = Scan { install, context, tool, dir, needs, locked, place, placed };
        scan.read_environment()?;
        scan.read_writes();
        Ok(scan)
    }

    /// Fails unless the working directory (or the folder an option names) holds a folder of the context.
    pub fn require_dir(&self) -> Result<(), Refusal> {
        if self.placed { Ok(()) } else { Err(outside("the working directory")) }
    }

    /// Takes another folder of the context for the project's.
    pub fn move_to(&mut self, dir: String) {
        self.dir = dir;
        self.placed = true;
    }

    /// The path `rel` of the folder `base` of the context, which must not lie above what the COPY brings.
    pub fn path(&self, base: &str, rel: &str) -> Result<String, Refusal> {
        if rel.starts_with('/') {
            return self.place.locate(rel).ok_or_else(|| outside(rel));
        }
        let path = parts(&format!("{base}/{rel}")).ok_or_else(|| outside(rel))?.join("/");
        let source = &self.place.source;
        let inside = source.is_empty() || path == *source || path.starts_with(&format!("{source}/"));
        if inside { Ok(path) } else { Err(outside(rel)) }
    }

    /// The path of the context at the command-line word `word`.
    pub fn operand(&self, word: &str) -> Result<String, Refusal> {
        self.place.locate(word).ok_or_else(|| outside(word))
    }

    /// A path in the project's folder.
    pub fn at(&self, name: &str) -> String {
        join(&self.dir, name)
    }

    /// Adds a file or folder that must be there.
    pub fn add(&mut self, path: &str) -> Result<(), Refusal> {
        if self.add_if(path)? { Ok(()) } else { Err(self.absent(path)) }
    }

    /// Adds a file or folder if the context carries it; whether it does.
    pub fn add_if(&mut self, path: &str) -> Result<bool, Refusal> {
        let Some(entry) = self.context.entry(path) else { return Ok(false) };
        if matches!(entry.kind, FileKind::Symlink | FileKind::Other) {
            // COPY of the link alone brings its target's bytes, COPY of the folder the link.
            let message = format!("{path} is a symlink");
            return Err(unsuited(message, "replace it by the file"));
        }
        let covered = |have: &String| have == path || path.starts_with(&format!("{have}/"));
        if !self.needs.files.iter().any(covered) {
            self.needs.files.push(path.to_string());
        }
        Ok(true)
    }

    /// Adds the catalogue's manifests, the first lock file and the configuration; the lock file's path.
    pub fn add_files(&mut self) -> Result<Option<String>, Refusal> {
        self.require_dir()?;
        self.refuse_above()?;
        let files = self.tool.files.clone();
        for name in &files.manifest {
            self.add(&self.at(name))?;
        }
        let mut lock = None;
        for name in &files.lock {
            let path = self.at(name);
            if self.add_if(&path)? {
                lock = Some(path);
                break;
            }
        }
        for name in &files.config {
            self.add_if(&self.at(name))?;
        }
        Ok(lock)
    }

    /// The folders above the project's, up to what the COPY brings.
    pub fn above(&self) -> Vec<String> {
        let mut out = Vec::new();
        let mut dir = self.dir.as_str();
        while !dir.is_empty() && dir != self.place.source {
            dir = folder(dir);
            out.push(dir.to_string());
        }
        out
    }

    /// Whether the context carries `path`.
    pub fn has(&self, path: &str) -> bool {
        self.context.entry(path).is_some()
    }

    /// The text of a file that must be there.
    pub fn text(&self, path: &str) -> Result<String, Refusal> {
        if !self.has(path) {
            return Err(self.absent(path));
        }
        self.context.read_text(path).ok_or_else(|| {
            let message = format!("{path} cannot be read as text, or is too long");
            Refusal::new(Reason::ContextMissing, message, "split it by hand")
        })
    }

    pub fn json(&self, path: &str) -> Result<serde_json::Value, Refusal> {
        let text = self.text(path)?;
        let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
        serde_json::from_str(text).map_err(|e| unsuited(format!("{path}: {e}"), "make it valid JSON"))
    }

    pub fn toml(&self, path: &str) -> Result<toml::Table, Refusal> {
        let text = self.text(path)?;
        text.parse().map_err(|_| unsuited(format!("{path} is not valid TOML"), "make it valid TOML"))
    }

    pub fn yaml(&self, path: &str) -> Result<serde_json::Value, Refusal> {
        let text = self.text(path)?;
        serde_yaml::from_str(&text)
            .map_err(|_| unsuited(format!("{path} is not YAML that can be read"), "make it plain YAML"))
    }

    /// Guards the catalogue's paths in the folder `dir` of the context.
    pub fn guard(&mut self, dir: &str) {
        let clears = self.tool.commands.get(&self.install.subcommand).is_some_and(|c| c.clears);
        for entry in self.tool.guards.clone() {
            let lifted = entry.unless.iter().any(|(name, values)| {
                self.place.env.get(name).is_some_and(|v| values.iter().any(|w| w == v || w == "*"))
            });
            if !lifted {
                self.guard_path(join(dir, &entry.path), clears);
            }
        }
    }

    /// Guards one path of the context.
    pub fn guard_path(&mut self, path: String, cleared: bool) {
        let guard = Guard { path: path.clone(), all_levels: false, cleared };
        if !self.needs.guards.iter().any(|g| g.path == path) {
            self.needs.guards.push(guard);
            self.needs.writes.push(path);
        }
    }

    /// The install's result is not fixed by a lock file: at most review.
    pub fn unlocked(&mut self, evidence: impl Into<String>) {
        self.needs.level = Level::Review;
        if !self.needs.assumes.contains(&Assumption::InstallIsRepeatable) {
            self.needs.assumes.push(Assumption::InstallIsRepeatable);
        }
        self.needs.evidence.push(evidence.into());
    }

    /// At most review, for a reason that is no assumption.
    pub fn review(&mut self, evidence: impl Into<String>) {
        self.needs.level = Level::Review;
        self.needs.evidence.push(evidence.into());
    }

    /// The rule of locks that most tools share: a locked install needs a lock file; without one, or unlocked, the result
    /// is an assumption. `names` are the lock files, for the message.
    pub fn settle_lock(&mut self, lock: Option<&str>) -> Result<(), Refusal> {
        let names = self.tool.files.lock.join(" or ");
        let command = self.install.command.clone();
        match lock {
            None if self.locked => Err(self.lock_missing()),
            None => {
                self.unlocked(format!("there is no {names}: `{command}` resolves versions when it runs"));
                Ok(())
            }
            Some(lock) if self.locked => {
                self.needs.evidence.push(format!("`{command}` follows {lock} or fails"));
                Ok(())
            }
            Some(lock) => {
                self.needs.rewrites_lock = true;
                self.unlocked(format!("`{command}` may change {lock}, which the later COPY restores"));
                Ok(())
            }
        }
    }

    /// The refusal for a lock file that the command cannot do without.
    pub fn lock_missing(&self) -> Refusal {
        let names = &self.tool.files.lock;
        let ignored = names.iter().map(|n| self.at(n)).find(|p| self.context.exists_ignored(p));
        let why = match ignored {
            Some(path) => format!("{path} is there, but left out of the build context"),
            None => format!("the build context has no {}", names.join(" or ")),
        };
        let message = format!("{why}, and `{}` needs it", self.install.command);
        Refusal::new(Reason::LockfileMissing, message, "commit the lock file and let .dockerignore keep it")
    }

    /// The refusal for a file that is not there.
    pub fn absent(&self, path: &str) -> Refusal {
        let why = if self.context.exists_ignored(path) {
            let by = self.context.ignore_path().unwrap_or(".dockerignore");
            format!("{by} leaves {path} out of the build context")
        } else {
            format!("{path} is not in the build context")
        };
        Refusal::new(Reason::ContextMissing, why, format!("add {path} to the build context"))
    }

    /// `{command} reads a, b and c alone: {that}`, as the first sentence of the proof.
    pub fn prove(&mut self, command: &str, that: &str) {
        let files = listed(&self.needs.files);
        let colon = if that.is_empty() { "" } else { ": " };
        self.needs.evidence.insert(0, format!("`{command}` reads {files} alone{colon}{that}"));
    }

    /// The needs, with what the catalogue says of the tool.
    pub fn finish(mut self) -> Result<Needs, Refusal> {
        if self.tool.level == super::CatalogueLevel::Review && self.needs.level == Level::Safe {
            let name = &self.install.ecosystem;
            self.review(format!("no build was measured for {name}: look at the result"));
        }
        if let Some(early) = self.needs.early.take() {
            self.needs.fills.clone_from(&self.tool.fills);
            self.needs.early = Some(format!("{}{early}", self.assignments()?));
        }
        // A folder that is copied whole brings what lies in it.
        let mut seen = BTreeSet::new();
        let files = std::mem::take(&mut self.needs.files);
        let folder = |path: &str, other: &String| path != other && path.starts_with(&format!("{other}/"));
        let kept = files.iter().filter(|p| !files.iter().any(|other| folder(p, other)));
        self.needs.files = kept.filter(|p| seen.insert((*p).clone())).cloned().collect();
        if self.needs.files.is_empty() {
            let message = format!("`{}` reads nothing of the build context", self.install.command);
            return Err(Refusal::new(Reason::NoGain, message, "move it above the COPY by hand"));
        }
        Ok(self.needs)
    }

    // The assignments before the command that its early half needs too, with a blank behind each.
    fn assignments(&self) -> Result<String, Refusal> {
        let mut out = String::new();
        for one in self.place.assigned.iter().filter(|a| !self.tool.build_only.contains(&a.name)) {
            let Some(value) = &one.value else {
                let message =
                    format!("the value of {} before `{}` is not known", one.name, self.install.command);
                return Err(unsuited(message, format!("set {} by ENV", one.name)));
            };
            let _ = write!(out, "{}={} ", one.name, quoted(std::slice::from_ref(value)));
        }
        Ok(out)
    }

    // Files of the folders above that the tool would read too.
    fn refuse_above(&self) -> Result<(), Refusal> {
        for dir in self.above() {
            let found = self.tool.above.iter().map(|name| join(&dir, name)).find(|path| self.has(path));
            if let Some(path) = found {
                let message = format!("`{}` reads {path} above its own folder", self.install.command);
                return Err(unsuited(message, "split it by hand, with that file"));
            }
        }
        Ok(())
    }

    fn read_environment(&mut self) -> Result<(), Refusal> {
        for (name, value) in &self.place.env {
            let lower = name.to_ascii_lowercase();
            let rule = self.tool.environment.iter().find(|(key, _)| match key.strip_suffix('*') {
                Some(prefix) => lower.starts_with(&prefix.to_ascii_lowercase()),
                None => *key == name,
            });
            // The exact name goes before a pattern.
            let rule = self.tool.environment.get(name).or(rule.map(|(_, rule)| rule));
            let Some(rule) = rule else { continue };
            let any = |values: &[String]| values.iter().any(|v| v == value || v == "*");
            if any(&rule.locks) {
                self.locked = true;
            } else if let Some(holds) = rule.writes {
                self.read_written_variable(holds, value);
            } else if !any(&rule.harmless) {
                let message =
                    format!("{name}={value} changes what {} reads or writes", self.install.ecosystem);
                return Err(unsuited(message, format!("build without {name}, or split it by hand")));
            }
        }
        Ok(())
    }

    fn read_written_variable(&mut self, holds: Holds, value: &str) {
        let folders: Vec<String> = match holds {
            Holds::Folder => vec![value.to_string()],
            Holds::BinFolders => value
                .split(':')
                .filter_map(|dir| dir.trim_end_matches('/').strip_suffix("/bin"))
                .map(str::to_string)
                .collect(),
        };
        for folder in folders {
            if folder.starts_with('/')
                && let Some(path) = self.place.locate(&folder)
                && !path.is_empty()
                && path != self.place.source
                && (holds == Holds::Folder || self.place.target != "/" || self.has(&path))
            {
                self.guard_path(path, false);
            }
        }
    }

    // What options and the program's own path say of the folders that are written.
    fn read_writes(&mut self) {
        let install = self.install;
        let program = install.program.as_deref().and_then(|p| p.rsplit_once("/bin/")).map(|(dir, _)| dir);
        let folders = install.values(Takes::Writes).map(|(_, value)| value).chain(program);
        for folder in folders.collect::<Vec<_>>() {
            if let Some(path) = self.place.locate(folder).filter(|p| !p.is_empty()) {
                self.guard_path(path, false);
            }
        }
    }
}

/// A manifest makes the install read or run more.
pub(super) fn unsuited(message: impl Into<String>, unlock: impl Into<String>) -> Refusal {
    Refusal::new(Reason::ManifestUnsuited, message, unlock)
}

/// A path that the COPY does not bring.
pub(super) fn outside(path: &str) -> Refusal {
    let message = format!("{path} lies outside of what the COPY brings");
    unsuited(message, "copy the folder that holds it")
}

/// `dir/name`, or `name` in the root.
pub(super) fn join(dir: &str, name: &str) -> String {
    if dir.is_empty() { name.to_string() } else { format!("{dir}/{name}") }
}

/// The folder of a path.
pub(super) fn folder(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(dir, _)| dir)
}

/// `a, b and c`.
pub(super) fn listed(names: &[String]) -> String {
    match names {
        [] => "nothing".to_string(),
        [one] => one.clone(),
        [first @ .., last] => format!("{} and {last}", first.join(", ")),
    }
}
