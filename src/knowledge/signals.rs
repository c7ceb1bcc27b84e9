//! The signals: text that tells that a container needs more than an unprivileged user has.

use serde::Deserialize;

/// The catalogue `signals.yaml`, which explains its own fields.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Signals {
    signals: Vec<Signal>,
    programs: Vec<Program>,
    users: Vec<Users>,
    writable: Writable,
    pub ports: Ports,
    outputs: Outputs,
    files: Files,
    downloads: Downloads,
}

/// One signal.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Signal {
    pub id: String,
    places: Vec<Place>,
    words: Vec<String>,
    #[serde(default)]
    with: Vec<String>,
    #[serde(default)]
    unless: Vec<String>,
    /// Nor one of these anywhere around the line.
    #[serde(default)]
    unless_around: Vec<String>,
    /// Of [`Place::Source`]: the languages; none means all.
    #[serde(default)]
    extensions: Vec<String>,
    pub need: Need,
    /// Of [`Place::Source`]: the names of files; none means all.
    #[serde(default)]
    names: Vec<String>,
    /// A sentence without its full stop.
    pub why: String,
    pub source: String,
    pub checked: String,
}

/// Where a text stands.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
pub enum Place {
    /// The name of a program that is started.
    Command,
    /// All words of such a command.
    Arguments,
    /// A command of a shell text in ENTRYPOINT or CMD.
    Line,
    Script,
    Run,
    Build,
    /// `NAME=value`.
    Env,
    Volume,
    /// The words of a COPY or ADD.
    Copy,
    Source,
}

/// What the container needs.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
pub enum Need {
    Root,
    Port,
    Write,
    Access,
    Home,
}

/// A program that may start a container.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Program {
    names: Vec<String>,
    pub kind: ProgramKind,
    /// It writes below its user's home.
    #[serde(default)]
    pub home: bool,
    pub source: String,
    pub checked: String,
}

/// What a program does with the words after it.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
pub enum ProgramKind {
    Wrapper,
    Shell,
    Interpreter,
    Server,
    Runner,
    /// It does nothing that needs more than any user has.
    Harmless,
}

/// How a program is told its port.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ports {
    pub variables: Vec<String>,
    pub options: Vec<String>,
    /// Texts before a port in a program.
    pub source_words: Vec<String>,
    source: String,
    checked: String,
}

/// Options of which the value is a file or folder that the program writes.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Outputs {
    options: Vec<String>,
    source: String,
    checked: String,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Users {
    names: Vec<String>,
    source: String,
    checked: String,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Writable {
    names: Vec<String>,
    /// Ends of the names of variables that name such a folder, and beginnings of those of tools that only build.
    variables: Vec<String>,
    tools: Vec<String>,
    source: String,
    checked: String,
}

/// Programs that bring files from elsewhere, with the first operand where that matters.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Downloads {
    programs: Vec<String>,
    subcommands: Vec<String>,
    source: String,
    checked: String,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Files {
    extensions: Vec<String>,
    unread: Vec<String>,
    skip_dirs: Vec<String>,
    skip_ends: Vec<String>,
    skip_starts: Vec<String>,
    source: String,
    checked: String,
}

impl Signals {
    /// The first signal that one line of text at `place` gives. `path` is the file's, for a source; `around` is the text
    /// that the line is part of.
    #[must_use]
    pub fn find(&self, place: Place, line: &str, path: &str, around: &str) -> Option<&Signal> {
        self.possible(place, line, path, around).into_iter().find(|s| s.is_in(line))
    }

    /// The signals that some line of `text` at `place` may give: a long text has few of the words, so its lines need not be asked
    /// for all of them.
    #[must_use]
    pub fn possible(&self, place: Place, text: &str, path: &str, around: &str) -> Vec<&Signal> {
        let extension = path.rsplit_once('.').map_or("", |(_, e)| e);
        let has = |text: &str, words: &[String]| {
            words.iter().any(|w| memchr::memmem::find(text.as_bytes(), w.as_bytes()).is_some())
        };
        let fits = |s: &&Signal| {
            s.places.contains(&place)
                && (s.extensions.is_empty() || s.extensions.iter().any(|e| e == extension))
                && (s.names.is_empty() || s.names.iter().any(|n| path.rsplit('/').next() == Some(n)))
                && has(text, &s.words)
                && !has(around, &s.unless_around)
        };
        self.signals.iter().filter(fits).collect()
    }

    /// What is known of the program of that name, which is without its folder.
    #[must_use]
    pub fn program(&self, name: &str) -> Option<&Program> {
        self.programs.iter().find(|p| p.names.iter().any(|n| n == name))
    }

    /// Whether images name the user that their programs are to run as so.
    #[must_use]
    pub fn is_application_user(&self, name: &str) -> bool {
        self.users.iter().any(|u| u.names.iter().any(|n| n == name))
    }

    /// Whether a folder of that name is made for a program to write into.
    #[must_use]
    pub fn is_writable_name(&self, name: &str) -> bool {
        self.writable.names.iter().any(|n| n == name)
    }

    /// Whether an option of that name tells a program where to write.
    #[must_use]
    pub fn is_output(&self, option: &str) -> bool {
        self.outputs.options.iter().any(|o| o == option)
    }

    /// Whether a variable of that name says where a program puts its data: `DATA_DIR`, `LOG_PATH`.
    #[must_use]
    pub fn names_data(&self, variable: &str) -> bool {
        let parts: Vec<String> = variable.split('_').map(str::to_ascii_lowercase).collect();
        let Some((last, rest)) = parts.split_last().filter(|(_, rest)| !rest.is_empty()) else {
            return false;
        };
        self.writable.variables.contains(last)
            && rest.last().is_some_and(|r| self.is_writable_name(r))
            && !self.writable.tools.contains(&rest[0])
    }

    /// Whether a command brings files from elsewhere.
    #[must_use]
    pub fn downloads(&self, program: &str, operand: &str) -> bool {
        self.downloads.programs.iter().any(|p| p == program)
            || self.downloads.subcommands.iter().any(|s| s.split_once(' ') == Some((program, operand)))
    }

    /// Whether a file of that name is a program's text in a language of which no signals are known.
    #[must_use]
    pub fn is_unread(&self, name: &str) -> bool {
        name.rsplit_once('.').is_some_and(|(_, e)| self.files.unread.iter().any(|x| x == e))
    }

    /// Whether a folder of that name holds no part of the running program.
    #[must_use]
    pub fn skips_dir(&self, name: &str) -> bool {
        self.files.skip_dirs.iter().any(|n| n == name)
    }

    /// Whether a file of that name is a program's text.
    #[must_use]
    pub fn is_source(&self, name: &str) -> bool {
        let extension = name.rsplit_once('.').map_or("", |(_, e)| e);
        self.files.extensions.iter().any(|e| e == extension)
            && !self.files.skip_ends.iter().any(|e| name.ends_with(e.as_str()))
            && !self.files.skip_starts.iter().any(|s| name.starts_with(s.as_str()))
    }

    /// Where every entry was read: name, source, day.
    pub(super) fn sources(&self) -> impl Iterator<Item = (&str, &str, &str)> {
        let signals = self.signals.iter().map(|s| (s.id.as_str(), s.source.as_str(), s.checked.as_str()));
        let programs =
            self.programs.iter().map(|p| (p.names[0].as_str(), p.source.as_str(), p.checked.as_str()));
        let users = self.users.iter().map(|u| (u.names[0].as_str(), u.source.as_str(), u.checked.as_str()));
        let rest = [
            ("writable", self.writable.source.as_str(), self.writable.checked.as_str()),
            ("ports", &self.ports.source, &self.ports.checked),
            ("outputs", &self.outputs.source, &self.outputs.checked),
            ("files", &self.files.source, &self.files.checked),
            ("downloads", &self.downloads.source, &self.downloads.checked),
        ];
        signals.chain(programs).chain(users).chain(rest)
    }
}

impl Signal {
    /// Whether the line gives the signal, which is a possible one of the text that it stands in.
    #[must_use]
    pub fn is_in(&self, line: &str) -> bool {
        self.words.iter().any(|w| has_word(line, w))
            && (self.with.is_empty() || self.with.iter().any(|w| line.contains(w.as_str())))
            && !self.unless.iter().any(|w| line.contains(w.as_str()))
    }
}

/// Whether `word` stands in `line`, alone where it begins or ends with a letter or a digit.
fn has_word(line: &str, word: &str) -> bool {
    let part = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
    let edge = |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphanumeric());
    // a line has few of the words, and this looks faster
    memchr::memmem::find(line.as_bytes(), word.as_bytes()).is_some()
        && line.match_indices(word).any(|(at, _)| {
            let before = line[..at].chars().next_back();
            let after = line[at + word.len()..].chars().next();
            let runs_on = |inner: Option<char>, outer: Option<char>| edge(inner) && outer.is_some_and(part);
            !runs_on(word.chars().next(), before) && !runs_on(word.chars().next_back(), after)
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::knowledge::Knowledge;

    #[test]
    fn words_stand_alone() {
        for (line, word, expect) in [
            ("mount -t tmpfs", "mount", true),
            ("amount=3", "mount", false),
            ("--mount=type=x", "mount", false),
            ("exec gosu app", "gosu", true),
            ("x >/etc/y", "/etc/", true),
        ] {
            assert_eq!(has_word(line, word), expect, "{line}: {word}");
        }
    }

    #[test]
    fn signals_are_found() {
        let signals = Knowledge::builtin().signals();
        let check = |place, line: &str, path: &str, expect: Option<&str>| {
            assert_eq!(signals.find(place, line, path, "").map(|s| s.id.as_str()), expect, "{line}");
        };
        check(Place::Command, "cron", "", Some("daemon"));
        check(Place::Command, "node", "", None);
        check(Place::Script, "exec su-exec app \"$@\"", "", Some("steps-down"));
        check(Place::Script, "sed -i s/a/b/ /etc/x.conf", "", Some("system-files"));
        check(Place::Run, "rm -rf /root/.cache", "", None);
        check(Place::Run, "pip install --user x", "", Some("installs-into-home"));
        check(Place::Volume, "/var/run/docker.sock:/var/run/docker.sock", "", Some("docker-socket"));
        check(Place::Source, "with open(path, 'w') as f:", "app.py", Some("python-opens-to-write"));
        check(Place::Source, "with open(path) as f:", "app.py", None);
        check(Place::Source, "with open(path, 'w') as f:", "app.go", None);
    }
}
