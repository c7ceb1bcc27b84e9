//! What a command line is: an install of a tool, one that stays where it is, or neither.

use super::{CommandKind, Ecosystems, Install, ReaderKind, Recognized, Takes, Tool, go, pip};
use crate::pass::{Reason, Refusal};

/// Stands for what is not known of a word.
pub(super) const UNKNOWN: char = '…';

impl Ecosystems {
    /// What the command line `argv` is: the literal words of one simple command, without assignments before it.
    #[must_use]
    pub fn recognize(&self, argv: &[String]) -> Recognized {
        let mut refused = Recognized::None;
        for (name, tool) in self.of_program(argv) {
            match tool.words_after_program(argv).map(|rest| tool.recognize(name, argv, rest)) {
                Some(install @ Recognized::Install(_)) => return install,
                Some(refusal @ Recognized::Refused(_)) if refused == Recognized::None => refused = refusal,
                Some(_) | None => {}
            }
        }
        refused
    }

    /// The tool that a command line which begins with `words` installs dependencies with.
    #[must_use]
    pub fn installer(&self, words: &[String]) -> Option<&str> {
        let installs = |tool: &Tool| {
            let read = tool.read_words(tool.words_after_program(words)?);
            let text = format!("{} ", read.operands.join(" "));
            let begins = |(key, command): (&String, &super::Command)| {
                let whole = if key.is_empty() {
                    read.operands.is_empty()
                } else {
                    text.starts_with(&format!("{key} "))
                };
                whole && command.kind == CommandKind::Install
            };
            tool.commands.iter().any(begins).then_some(())
        };
        self.of_program(words).find(|(_, tool)| installs(tool).is_some()).map(|(name, _)| name)
    }

    /// Whether the command changes a manifest.
    #[must_use]
    pub fn changes_a_manifest(&self, argv: &[String]) -> bool {
        self.of_program(argv).any(|(_, tool)| {
            let text = tool.words_after_program(argv).map(|rest| format!("{} ", rest.join(" ")));
            let begins = |key: &String| text.as_ref().is_some_and(|t| t.starts_with(&format!("{key} ")));
            tool.commands.iter().any(|(key, c)| c.kind == CommandKind::Changes && begins(key))
        })
    }

    /// Whether `program` is a tool some of whose commands have another one to run early.
    #[must_use]
    pub fn has_early(&self, program: &str) -> bool {
        self.of_program(&[program.to_string()]).any(|(_, tool)| {
            tool.programs.iter().any(|p| p == program) && tool.commands.values().any(|c| c.early.is_some())
        })
    }

    /// The words of a command some of which are not known (value, text), if it is a build that stays where it is while another
    /// command goes early: then only the tool, its subcommand and its options must be known. `…` stands for the rest.
    #[must_use]
    pub fn guess_words(&self, words: &[(Option<String>, String)]) -> Option<Vec<String>> {
        let start: Vec<String> = words.iter().map_while(|(value, _)| value.clone()).collect();
        let tool = self.of_program(&start).find_map(|(_, tool)| {
            let rest = tool.words_after_program(&start)?;
            let early = |key: &str| tool.commands[key].early.is_some();
            let begins = |key: &&String| rest.join(" ").starts_with(key.as_str()) && early(key);
            tool.commands.keys().any(|key| begins(&key)).then_some(tool)
        })?;
        let mut out: Vec<String> = Vec::new();
        for (value, text) in words {
            let takes = out.last().and_then(|last| tool.options.get(last));
            out.push(match (value, takes) {
                (Some(value), _) => value.clone(),
                (None, Some(Takes::Value)) => UNKNOWN.to_string(),
                (None, _) => {
                    // `-ldflags="-X $V"`: what comes before the variable tells the option
                    let name = text.split(['$', '`', '"', '\'']).next().filter(|n| n.ends_with('='))?;
                    format!("{name}{UNKNOWN}")
                }
            });
        }
        Some(out)
    }

    /// Whether the command asks a tool for something that has nothing to do with the folder it runs in: its version, its cache, a
    /// setting of the user's.
    #[must_use]
    pub fn is_aside(&self, argv: &[String]) -> bool {
        let option = |w: &&String| w.starts_with('-');
        let calm = [
            "--force",
            "-f",
            "--global",
            "-g",
            "--all",
            "--yes",
            "-y",
            "-n",
            "--no-interaction",
            "--version",
        ];
        // a path may be one of the folder
        let value = |w: &String| !w.contains(['/', '$', '`', UNKNOWN]) || w.starts_with("http");
        self.of_program(argv).any(|(_, tool)| {
            let Some(rest) = tool.words_after_program(argv) else { return false };
            let operands: Vec<&str> = rest.iter().filter(|w| !option(w)).map(String::as_str).collect();
            let begins = |key: &String| {
                let key: Vec<&str> = key.split(' ').collect();
                operands.starts_with(&key) || rest.first().is_some_and(|w| key == [w.as_str()])
            };
            // what is local to Bundler goes to the folder of its settings
            let calm = |w: &String| {
                calm.contains(&w.as_str()) || tool.reader == ReaderKind::Bundler && w == "--local"
            };
            tool.aside.iter().any(begins) && rest.iter().filter(option).all(calm) && rest.iter().all(value)
        })
    }

    /// Whether the command installs packages by their names, and so neither reads nor writes the folder it runs in.
    #[must_use]
    pub fn installs_by_name(&self, argv: &[String]) -> bool {
        let plain = |w: &String| !w.contains(['/', '$', '`']) || w.starts_with("http") || w.starts_with('@');
        let words = argv.iter().skip(1);
        let by_name = |tool: &Tool| {
            let Some(rest) = tool.words_after_program(argv) else { return false };
            let read = tool.read_words(rest);
            let reads = |t: &Takes| matches!(t, Takes::Reads | Takes::Writes | Takes::Dir);
            let elsewhere = read.parsed.iter().any(|(_, t, _)| *t == Takes::Elsewhere);
            let text = read.operands.join(" ");
            let begins = |named: &String| match named.strip_prefix("-g ") {
                Some(named) => elsewhere && text.starts_with(&format!("{named} ")),
                None => text.starts_with(&format!("{named} ")),
            };
            tool.named.iter().any(begins) && !read.parsed.iter().any(|(_, t, _)| reads(t))
        };
        words.clone().all(plain)
            && !words.clone().any(|w| matches!(w.as_str(), "." | "-e" | "-r" | "-c" | "-f"))
            && self.recognize(argv) == Recognized::None
            && self.of_program(argv).any(|(_, tool)| by_name(tool))
    }

    /// Whether a command line that begins with `program` may be one of a tool.
    #[must_use]
    pub fn may_know(&self, program: &str) -> bool {
        let name = bare(program.rsplit('/').next().unwrap_or_default());
        name == "python" || self.of_program(&[program.to_owned()]).next().is_some()
    }

    /// The tools that the command line may be of, by the name of its program.
    fn of_program<'t>(&'t self, argv: &[String]) -> impl Iterator<Item = (&'t str, &'t Tool)> + use<'t> {
        let program = argv.first().map_or("", String::as_str);
        let name = program.rsplit('/').next().unwrap_or_default();
        // `python -m pip`
        let module = argv.get(2).filter(|_| bare(name) == "python").map_or("", String::as_str);
        self.tools.with_alias(&[program, name, bare(name), module])
    }
}

/// A program's name without the version behind it: `pip` of `pip3.11`.
fn bare(name: &str) -> &str {
    name.trim_end_matches(|c: char| c.is_ascii_digit() || c == '.')
}

impl Tool {
    // The words after the program, if the program is this tool.
    fn words_after_program<'a>(&self, argv: &'a [String]) -> Option<&'a [String]> {
        let (program, rest) = argv.split_first()?;
        let name = program.rsplit('/').next()?;
        let known = |name: &str| self.programs.iter().any(|p| p == name);
        if known(program) || known(name) || (self.versioned && known(bare(name))) {
            return Some(rest);
        }
        let module = self.python_module.as_deref()?;
        let [flag, word, rest @ ..] = rest else { return None };
        (bare(name) == "python" && flag == "-m" && word == module).then_some(rest)
    }

    pub(super) fn recognize(&self, name: &str, argv: &[String], rest: &[String]) -> Recognized {
        let words = self.read_words(rest);
        if words.parsed.iter().any(|(_, takes, _)| *takes == Takes::Elsewhere) {
            return Recognized::None;
        }
        // The longest subcommand that the words begin with.
        let matching = |key: &&String| {
            let key: Vec<&str> = key.split_whitespace().collect();
            key.len() <= words.operands.len() && key.iter().zip(&words.operands).all(|(a, b)| a == b)
        };
        let any = self.commands.get_key_value("*").map(|(key, _)| key);
        let Some(key) = self.commands.keys().filter(matching).max_by_key(|key| key.len()).or(any) else {
            return Recognized::None;
        };
        let command = &self.commands[key];
        let named = if key == "*" { 0 } else { key.split_whitespace().count() };
        let operands = words.operands[named..].to_vec();
        if key.is_empty() && !operands.is_empty() {
            return Recognized::None;
        }
        let written = quoted(argv);
        let refuse = |reason, message: String, unlock: &str| {
            Recognized::Refused(Refusal::new(reason, message, unlock.to_string()))
        };
        let unlock = "copy what it reads and run it before the broad COPY by hand";
        match command.kind {
            CommandKind::Install => {}
            CommandKind::Changes | CommandKind::Opaque => {
                let because = command.because.as_deref().unwrap_or("reads more than its manifests");
                let unlock = match command.kind {
                    CommandKind::Changes => "commit what it changes, and install from that",
                    _ => unlock,
                };
                let unlock = command.unlock.as_deref().unwrap_or(unlock);
                return refuse(Reason::ManifestUnsuited, format!("`{written}` {because}"), unlock);
            }
        }
        if let Some(option) = words.unknown {
            let message = format!("the option {option} of `{written}` is not in the catalogue");
            return refuse(Reason::EcosystemUnknown, message, unlock);
        }
        if let Some((option, ..)) = words.parsed.iter().find(|(_, takes, _)| *takes == Takes::Opaque) {
            let message = format!("the option {option} makes `{written}` read more than its manifests");
            return refuse(Reason::ManifestUnsuited, message, unlock);
        }
        if !command.operands && !operands.is_empty() {
            let message =
                format!("`{written}` adds {} to the manifest, which a later COPY would restore", operands[0]);
            return refuse(Reason::ManifestUnsuited, message, "add it to the manifest in the repository");
        }
        let program = &argv[0];
        if program.contains('/') && !program.starts_with('/') && !self.programs.contains(program) {
            let message = format!("{program} is a program of the folder that it runs in");
            return refuse(Reason::EcosystemUnknown, message, "run the tool by its name");
        }
        let dir = words.parsed.iter().find(|(_, takes, _)| *takes == Takes::Dir);
        let install = Install {
            ecosystem: name.to_string(),
            subcommand: key.clone(),
            command: written,
            options: words.options,
            dir: dir.and_then(|(_, _, value)| value.clone()),
            operands,
            parsed: words.parsed,
            program: program.starts_with('/').then(|| program.clone()),
        };
        match self.reader {
            ReaderKind::Go => go::recognize(install),
            ReaderKind::Pip => pip::recognize(install),
            _ => Recognized::Install(install),
        }
    }

    fn read_words(&self, rest: &[String]) -> Words {
        let mut out = Words::default();
        let mut words = rest.iter();
        while let Some(word) = words.next() {
            if word == "--" {
                out.operands.extend(words.cloned());
                break;
            }
            let slash = self.slash_options && word.starts_with('/') && word.contains(':');
            if !(slash || (word.starts_with('-') && word.len() > 1)) {
                out.operands.push(word.clone());
                continue;
            }
            out.options.push(word.clone());
            let Some((name, takes, attached)) = self.option(word) else {
                out.unknown.get_or_insert_with(|| word.clone());
                continue;
            };
            let needs_word = matches!(takes, Takes::Value | Takes::Reads | Takes::Writes | Takes::Dir);
            let value = match attached {
                Some(value) => Some(value),
                None if needs_word => words.next().cloned(),
                None => None,
            };
            if needs_word && value.is_none() {
                out.unknown.get_or_insert_with(|| word.clone());
            }
            out.parsed.push((name, takes, value));
        }
        out
    }

    // An option's name, meaning and attached value.
    fn option(&self, word: &str) -> Option<(String, Takes, Option<String>)> {
        if let Some(takes) = self.options.get(word) {
            return Some((word.to_string(), *takes, None));
        }
        if let Some(at) = word.find(['=', ':']) {
            let (name, value) = (&word[..at], &word[at + 1..]);
            if let Some(takes) = self.options.get(name) {
                // A flag that is switched off means something else.
                let off = matches!(value, "false" | "0" | "no");
                let plain = matches!(takes, Takes::Flag | Takes::Value | Takes::Attached);
                return (plain || !off).then(|| (name.to_string(), *takes, Some(value.to_string())));
            }
        }
        if word.starts_with("--") || !word.is_char_boundary(2) {
            return None;
        }
        let (short, value) = word.split_at(2);
        match self.options.get(short)? {
            Takes::Flag
                if value.chars().all(|c| self.options.get(&format!("-{c}")) == Some(&Takes::Flag)) =>
            {
                Some((short.to_string(), Takes::Flag, None))
            }
            Takes::Value | Takes::Attached | Takes::Reads | Takes::Writes | Takes::Dir => {
                Some((short.to_string(), self.options[short], Some(value.to_string())))
            }
            _ => None,
        }
    }
}

#[derive(Default)]
struct Words {
    operands: Vec<String>,
    options: Vec<String>,
    parsed: Vec<(String, Takes, Option<String>)>,
    unknown: Option<String>,
}

/// The words as one command line, quoted where a POSIX shell needs it.
pub(super) fn quoted(argv: &[String]) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=,@%+^~…".contains(c);
    let word = |word: &String| {
        let tilde = word.starts_with('~');
        if !word.is_empty() && !tilde && word.chars().all(plain) {
            return word.clone();
        }
        format!("'{}'", word.replace('\'', r"'\''"))
    };
    argv.iter().map(word).collect::<Vec<_>>().join(" ")
}
