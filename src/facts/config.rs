//! The config that a stage's image ends with (semantics 0.2, O3), in a form that compares.

use std::collections::{BTreeMap, BTreeSet};

use super::State;
use crate::{
    knowledge::Image,
    syntax::{Instruction, Keyword},
};

/// A CMD, ENTRYPOINT or health check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Command {
    pub exec: bool,
    /// Of the exec form its words, else the one text.
    pub words: Vec<String>,
    /// What runs a text.
    pub shell: Vec<String>,
    /// The instruction that sets it; none if the base does.
    pub at: Option<u32>,
}

impl Command {
    fn of(ins: &Instruction, state: &State) -> Command {
        Command {
            exec: ins.is_exec(),
            words: ins.args().iter().map(|a| a.value.clone()).collect(),
            shell: if ins.is_exec() { Vec::new() } else { state.shell.to_vec() },
            at: Some(ins.lines.0),
        }
    }

    /// Whether it says the same, wherever it stands.
    #[must_use]
    pub fn says(&self, other: &Command) -> bool {
        (self.exec, &self.words, &self.shell) == (other.exec, &other.words, &other.shell)
    }
}

/// An image's config. Values are expanded where they are known, and stand as they are written where not.
#[derive(Clone, Debug, Default)]
pub struct Config {
    pub env: Vec<(String, String)>,
    pub cmd: Option<Command>,
    pub entrypoint: Option<Command>,
    /// As set, expanded; None: what the base has.
    pub user: Option<String>,
    pub workdir: Option<String>,
    pub ports: BTreeSet<String>,
    pub volumes: BTreeSet<String>,
    pub labels: BTreeMap<String, String>,
    pub healthcheck: Option<Vec<String>>,
    pub stop_signal: Option<String>,
    pub shell: Option<Vec<String>>,
    pub onbuild: Vec<String>,
    pub author: Option<String>,
    cmd_is_own: bool,
}

impl Config {
    /// Of an image that a stage starts from: what the catalogue tells of its entrypoint and command.
    pub(super) fn of_base(image: Option<&Image>) -> Config {
        let command = |words: &Option<Vec<String>>| {
            words.clone().map(|words| Command { exec: true, words, shell: Vec::new(), at: None })
        };
        let Some(image) = image else { return Config::default() };
        Config {
            cmd: command(&image.cmd),
            entrypoint: command(&image.entrypoint),
            volumes: image.volumes.iter().cloned().collect(),
            ports: image.expose.iter().cloned().collect(),
            ..Config::default()
        }
    }

    /// What a stage that starts from this one begins with: all but its triggers.
    pub(super) fn inherited(&self) -> Config {
        Config { onbuild: Vec::new(), cmd_is_own: false, ..self.clone() }
    }

    /// Takes in one instruction; `state` is what holds before it.
    pub(super) fn note(&mut self, ins: &Instruction, state: &State, escape: u8) {
        let text = |t: &str| state.expand(t, escape).map_or_else(|| t.to_owned(), |v| v.text);
        match ins.keyword {
            Keyword::Env => {
                for (key, value) in ins.pairs() {
                    let (key, value) = (text(&key.value), text(&value.value));
                    let old = self.env.iter().find(|(k, _)| *k == key);
                    let value = old.map_or_else(|| value.clone(), |(k, v)| put(&value, k, v));
                    match self.env.iter_mut().find(|(k, _)| *k == key) {
                        Some((_, v)) => *v = value,
                        None => self.env.push((key, value)),
                    }
                }
            }
            Keyword::Cmd => {
                self.cmd = Some(Command::of(ins, state));
                self.cmd_is_own = true;
            }
            Keyword::Entrypoint => {
                self.entrypoint = Some(Command::of(ins, state));
                // convert.go, dispatchEntrypoint: an inherited CMD goes
                if !self.cmd_is_own {
                    self.cmd = None;
                }
            }
            Keyword::User => self.user = Some(text(ins.first())),
            Keyword::Workdir => {
                let raw = || format!("{} / {}", self.workdir.clone().unwrap_or_default(), ins.first());
                self.workdir = Some(state.absolute(ins.first(), escape).map_or_else(raw, |v| v.text));
            }
            Keyword::Expose => {
                let ports = ins
                    .args()
                    .iter()
                    .flat_map(|a| text(&a.value).split(' ').map(str::to_owned).collect::<Vec<_>>());
                self.ports.extend(ports.map(|p| if p.contains('/') { p } else { format!("{p}/tcp") }));
            }
            Keyword::Volume => self.volumes.extend(ins.args().iter().map(|a| text(&a.value))),
            Keyword::Label => {
                self.labels.extend(ins.pairs().map(|(k, v)| (text(&k.value), text(&v.value))));
            }
            Keyword::Healthcheck => {
                let mut all: Vec<String> = ins.flags().iter().map(super::super::syntax::Flag::text).collect();
                all.extend(ins.args().iter().map(|a| a.value.clone()));
                if !ins.is_exec() {
                    all.extend(state.shell.iter().cloned());
                }
                self.healthcheck = Some(all);
            }
            Keyword::Stopsignal => self.stop_signal = Some(text(ins.first())),
            Keyword::Shell => self.shell = Some(ins.args().iter().map(|a| a.value.clone()).collect()),
            Keyword::Onbuild => self.onbuild.push(String::from_utf8_lossy(&ins.rest().text).into_owned()),
            Keyword::Maintainer => self.author = Some(text(ins.first())),
            _ => {}
        }
    }

    /// The first field in which two configs differ.
    #[must_use]
    pub fn difference(&self, other: &Config) -> Option<&'static str> {
        let same = |a: &Option<Command>, b: &Option<Command>| match (a, b) {
            (Some(a), Some(b)) => a.says(b),
            (None, None) => true,
            _ => false,
        };
        [
            ("Env", self.env == other.env),
            ("Cmd", same(&self.cmd, &other.cmd)),
            ("Entrypoint", same(&self.entrypoint, &other.entrypoint)),
            ("User", self.user == other.user),
            ("WorkingDir", self.workdir == other.workdir),
            ("ExposedPorts", self.ports == other.ports),
            ("Volumes", self.volumes == other.volumes),
            ("Labels", self.labels == other.labels),
            ("Healthcheck", self.healthcheck == other.healthcheck),
            ("StopSignal", self.stop_signal == other.stop_signal),
            ("Shell", self.shell == other.shell),
            ("OnBuild", self.onbuild == other.onbuild),
            ("Author", self.author == other.author),
        ]
        .into_iter()
        .find_map(|(name, equal)| (!equal).then_some(name))
    }
}

/// `text` with `$name` and `${name}`, which are left where a value is not known, as `value`: twice `ENV PATH=/x:$PATH` is not
/// the same as once.
fn put(text: &str, name: &str, value: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        let (before, here) = rest.split_at(at);
        let braced = here.strip_prefix("${").and_then(|r| r.strip_prefix(name)?.strip_prefix('}'));
        let longer = |r: &&str| !r.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_');
        let after = braced.or_else(|| here[1..].strip_prefix(name).filter(longer));
        out.push_str(before);
        out.push_str(if after.is_some() { value } else { "$" });
        rest = after.unwrap_or(&here[1..]);
    }
    out + rest
}

#[cfg(test)]
mod tests {
    use super::put;

    #[test]
    fn puts_a_value_in() {
        for (text, expect) in [
            ("/x:$PATH", "/x:/y:$PATH"),
            ("/x:${PATH}:/z", "/x:/y:$PATH:/z"),
            ("$PATHS:$PATH", "$PATHS:/y:$PATH"),
            ("/x", "/x"),
        ] {
            assert_eq!(put(text, "PATH", "/y:$PATH"), expect);
        }
    }
}
