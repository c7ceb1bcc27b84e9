//! What a container starts, and what that needs.

use super::{brought, files, low_port, needs_root, unproved};
use crate::{
    facts::{Command, covers, join},
    knowledge::{
        Class,
        signals::{Need, Place, ProgramKind},
    },
    pass::{Input, Reason, Refusal},
    shell::{self, Dialect, Script},
    syntax::{Joined, Keyword},
};

/// How deep scripts that start scripts are followed.
const MAX_DEPTH: usize = 6;

/// Follows what a container of `stage` starts.
pub(super) struct Launch<'a> {
    input: &'a Input<'a>,
    stage: usize,
    /// A program writes below its user's home: which.
    pub home: Option<String>,
    /// Scripts that were read.
    pub scripts: Vec<String>,
    /// Files that a command is told to write, with the words that say so.
    pub outputs: Vec<(String, String)>,
}

impl<'a> Launch<'a> {
    pub fn new(input: &'a Input<'a>, stage: usize) -> Self {
        Self { input, stage, home: None, scripts: Vec::new(), outputs: Vec::new() }
    }

    /// ENTRYPOINT and CMD of the stage.
    pub fn own(&mut self) -> Result<(), Refusal> {
        let config = &self.input.facts.stage(self.stage).config;
        let own = |c: &Option<Command>| c.clone().filter(|c| c.at.is_some());
        let (entrypoint, cmd) = (own(&config.entrypoint), own(&config.cmd));
        match (entrypoint, cmd) {
            (None, None) => {
                Err(unproved("the stage sets neither ENTRYPOINT nor CMD: what will run is not known".into()))
            }
            (Some(e), cmd) if e.exec => {
                let mut argv = e.words;
                argv.extend(cmd.filter(|c| c.exec).map(|c| c.words).unwrap_or_default());
                self.command(&argv, 0)
            }
            (Some(c), _) | (None, Some(c)) => {
                if c.exec {
                    self.command(&c.words, 0)
                } else {
                    self.line(&c.words.join(" "), 0)
                }
            }
        }
    }

    /// What a service runs instead: its entrypoint, else the stage's own before it.
    pub fn instead(
        &mut self,
        entrypoint: Option<&[String]>,
        command: Option<&[String]>,
    ) -> Result<(), Refusal> {
        let config = &self.input.facts.stage(self.stage).config;
        let own = config.entrypoint.as_ref().filter(|e| e.exec && e.at.is_some()).map(|e| e.words.clone());
        let mut argv = entrypoint.map(<[String]>::to_vec).or(own).unwrap_or_default();
        argv.extend(command.unwrap_or_default().iter().cloned());
        self.command(&argv, 0)
    }

    /// The health checks of the image and of the services that run it, which run as its user. What such a check is needs not be
    /// known, for it seldom does more than to ask.
    pub fn checks(&mut self) -> Result<(), Refusal> {
        let of = |mut refusal: Refusal, by: &str| {
            refusal.message = format!("{by}: {}", refusal.message);
            refusal
        };
        let mut body = files::chain(self.input, self.stage)
            .into_iter()
            .flat_map(|s| self.input.graph.stages()[s].body.clone().rev());
        let own = body.find(|i| self.input.file.instructions[*i].keyword == Keyword::Healthcheck);
        if let Some(check) = own.map(|i| &self.input.file.instructions[i]) {
            let words: Vec<String> = check.args().iter().skip(1).map(|a| a.value.clone()).collect();
            let checked =
                if check.is_exec() { self.check(&words) } else { self.check_line(&words.join(" ")) };
            checked.map_err(|r| of(r, "HEALTHCHECK"))?;
        }
        for service in super::services(self.input, self.stage) {
            let probe = service.probe.as_deref().unwrap_or_default();
            self.check(probe).map_err(|r| of(r, &format!("the check of {}", service.by)))?;
            for hook in &service.hooks {
                self.check(hook).map_err(|r| of(r, &format!("a hook of {}", service.by)))?;
            }
        }
        Ok(())
    }

    fn check(&mut self, argv: &[String]) -> Result<(), Refusal> {
        let Some((program, args)) = argv.split_first() else { return Ok(()) };
        let name = program.rsplit('/').next().unwrap_or(program);
        self.note(Place::Command, name, name)?;
        self.note(Place::Arguments, &argv.join(" "), name)?;
        let shell =
            matches!(self.input.knowledge.signals().program(name), Some(p) if p.kind == ProgramKind::Shell);
        match args {
            [option, text, ..] if shell && option.starts_with('-') && option.ends_with('c') => {
                self.check_line(text)
            }
            [script, rest @ ..] if shell => self.check_script(script, rest),
            _ => self.check_script(program, args),
        }
    }

    fn check_line(&mut self, text: &str) -> Result<(), Refusal> {
        let script = shell::parse(&Joined::of(text.as_bytes()), Dialect::Bash);
        if script.error().is_some() {
            self.note(Place::Script, text, text)?;
            return self.note(Place::Arguments, text, text);
        }
        for command in script.commands() {
            self.redirects(command.simple, text)?;
            let line = String::from_utf8_lossy(script.text(command.span)).into_owned();
            self.note(Place::Line, &line, &line)?;
            self.check(&words(&script, command.simple))?;
        }
        Ok(())
    }

    fn check_script(&mut self, program: &str, args: &[String]) -> Result<(), Refusal> {
        match self.own_script(program) {
            Some(script) => self.file(&script, args, MAX_DEPTH),
            None => Ok(()),
        }
    }

    /// The text of the context that is started by its path, if it is one.
    fn own_script(&self, program: &str) -> Option<String> {
        if !program.contains('/') {
            return None;
        }
        let cwd = self.input.facts.stage(self.stage).end.cwd.clone().unwrap_or_default();
        match files::origin(self.input, self.stage, &join(&cwd, program)) {
            files::Origin::Context(found) => self.input.context?.read_text(&found).map(|_| found),
            _ => None,
        }
    }

    /// One command.
    fn command(&mut self, argv: &[String], depth: usize) -> Result<(), Refusal> {
        let Some((program, args)) = argv.split_first() else { return Ok(()) };
        let name = program.rsplit('/').next().unwrap_or(program);
        if depth > MAX_DEPTH {
            return Err(unproved(format!("what `{name}` starts is nested too deeply to be followed")));
        }
        let signals = self.input.knowledge.signals();
        self.note(Place::Command, name, name)?;
        self.note(Place::Arguments, &argv.join(" "), name)?;
        ports(self.input, argv)?;
        self.outputs(argv)?;
        // what the context brings is judged by its text, whatever its name is
        if let Some(script) = self.own_script(program) {
            return self.file(&script, args, depth);
        }
        let Some(known) = signals.program(name) else { return self.program(program, args, depth) };
        if known.home {
            self.home.get_or_insert_with(|| name.to_owned());
        }
        let operand = args.iter().position(|a| !a.starts_with('-') && !a.contains('='));
        match known.kind {
            ProgramKind::Harmless => Ok(()),
            ProgramKind::Server => self.server(args),
            ProgramKind::Wrapper => operand.map_or(Ok(()), |at| self.command(&args[at..], depth + 1)),
            ProgramKind::Interpreter if args.is_empty() => Err(unproved(format!(
                "`{name}` alone waits for input: what the container is for is not known"
            ))),
            ProgramKind::Interpreter => {
                self.operand(name, args)?;
                self.module(name, args, depth)
            }
            ProgramKind::Shell => match args.iter().position(|a| a.starts_with('-') && a.ends_with('c')) {
                Some(at) => self.line(args.get(at + 1).map_or("", String::as_str), depth + 1),
                None => match operand {
                    // a shell reads a file of its folder, and searches no PATH before
                    Some(at) => {
                        let file =
                            if args[at].contains('/') { args[at].clone() } else { format!("./{}", args[at]) };
                        self.program(&file, &args[at + 1..], depth + 1)
                    }
                    None => Err(unproved(format!(
                        "`{name}` alone waits for input: what the container is for is not known"
                    ))),
                },
            },
            ProgramKind::Runner => self.run_script(name, args, depth),
        }
    }

    /// The text or archive that an interpreter runs is not one that was downloaded.
    fn operand(&self, name: &str, args: &[String]) -> Result<(), Refusal> {
        let given = match args.iter().position(|a| a == "-jar" || a == "-m" || a == "-cp" || a == "-c") {
            Some(at) if args[at] == "-jar" => args.get(at + 1),
            Some(_) => None,
            None => args.iter().find(|a| !a.starts_with('-')).filter(|_| name != "java"),
        };
        let cwd = self.input.facts.stage(self.stage).end.cwd.clone().unwrap_or_default();
        given.map_or(Ok(()), |file| self.is_own(&join(&cwd, file)))
    }

    /// The module that a server of Python loads (`package.module:app`) is not one that was downloaded.
    fn server(&self, args: &[String]) -> Result<(), Refusal> {
        let elsewhere = ["--chdir", "--app-dir", "--pythonpath", "--app"];
        if args.iter().any(|a| elsewhere.iter().any(|o| a.starts_with(o))) {
            return Ok(());
        }
        let cwd = self.input.facts.stage(self.stage).end.cwd.clone().unwrap_or_default();
        let plain = |m: &str| m.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
        let modules = args.iter().filter_map(|a| a.split_once(':')?.0.split('.').next());
        for module in modules.filter(|m| !m.is_empty() && plain(m)) {
            self.is_own(&join(&cwd, module))?;
        }
        Ok(())
    }

    /// What is started comes from no other image, and no RUN downloads it.
    fn is_own(&self, path: &str) -> Result<(), Refusal> {
        match files::origin(self.input, self.stage, path) {
            files::Origin::Image(image) => {
                Err(unproved(format!("{path} comes from the image {image}: what it needs is not known")))
            }
            files::Origin::Unknown => match brought::downloaded(self.input, self.stage, path) {
                Some(line) => Err(unproved(format!(
                    "{path} is downloaded (line {line}): what it needs, and where it writes, is not known"
                ))),
                None => Ok(()),
            },
            _ => Ok(()),
        }
    }

    /// `python -m MODULE`: a server, or a module of the program's own.
    fn module(&mut self, name: &str, args: &[String], depth: usize) -> Result<(), Refusal> {
        let Some(module) = args.iter().position(|a| a == "-m").and_then(|i| args.get(i + 1)) else {
            return Ok(());
        };
        if !name.starts_with("python") {
            return Ok(());
        }
        let first = module.split('.').next().unwrap_or(module);
        let cwd = self.input.facts.stage(self.stage).end.cwd.clone().unwrap_or_default();
        let own = [join(&cwd, first), join(&cwd, &format!("{first}.py"))];
        let is_own = own.iter().any(|p| {
            !matches!(
                files::origin(self.input, self.stage, p),
                files::Origin::Unknown | files::Origin::Image(_)
            )
        });
        if is_own || module == "http.server" {
            return Ok(());
        }
        let at = args.iter().position(|a| a == module).map_or(0, |i| i + 1);
        let mut inner = vec![module.clone()];
        inner.extend_from_slice(&args[at..]);
        self.command(&inner, depth + 1)
    }

    /// `npm start`, `yarn serve`: the script that package.json has under that name.
    fn run_script(&mut self, runner: &str, args: &[String], depth: usize) -> Result<(), Refusal> {
        let words: Vec<&str> = args.iter().map(String::as_str).filter(|a| !a.starts_with('-')).collect();
        let script = match words.as_slice() {
            ["run" | "run-script", script, ..] => *script,
            [script, ..] => *script,
            [] => return Err(unproved(format!("what `{runner}` runs is not known"))),
        };
        let cwd = self.input.facts.stage(self.stage).end.cwd.clone().unwrap_or_default();
        let path = join(&cwd, "package.json");
        let text = match files::origin(self.input, self.stage, &path) {
            files::Origin::Context(found) => self.input.context.and_then(|c| c.read_text(&found)),
            files::Origin::NoContext => return Err(no_context(&path)),
            _ => None,
        };
        let json: Option<serde_json::Value> = text.and_then(|t| serde_json::from_str(&t).ok());
        let Some(json) = json else {
            return Err(unproved(format!("{path}, whose script `{script}` is run, cannot be read")));
        };
        let mut found = false;
        for name in [format!("pre{script}"), script.to_owned(), format!("post{script}")] {
            if let Some(line) = json["scripts"][&name].as_str() {
                found |= name == script;
                self.line(line, depth + 1)?;
            }
        }
        // npm's default, if there is such a file
        if found || (script == "start" && runner == "npm") {
            return Ok(());
        }
        Err(unproved(format!("{path} has no script `{script}`")))
    }

    /// A shell text of which all is followed.
    fn line(&mut self, text: &str, depth: usize) -> Result<(), Refusal> {
        let script = shell::parse(&Joined::of(text.as_bytes()), Dialect::Bash);
        if script.error().is_some() {
            return Err(Refusal::new(
                Reason::ShellOpaque,
                format!("`{}` cannot be read completely", short(text)),
                "write the command in exec form",
            ));
        }
        for command in script.commands() {
            self.redirects(command.simple, text)?;
            let text = String::from_utf8_lossy(script.text(command.span)).into_owned();
            self.note(Place::Line, &text, &text)?;
            for assign in &command.simple.assigns {
                let port = assign.value.literal().and_then(port_of).filter(|p| (1..1024).contains(p));
                if let Some(port) = port.filter(|_| self.is_port(&assign.name)) {
                    return Err(low_port(port, &format!("`{}`", short(&text))));
                }
            }
            let argv = words(&script, command.simple);
            if !argv.is_empty() {
                self.command(&argv, depth + 1)?;
            }
        }
        Ok(())
    }

    /// A command of `text` writes to no file.
    fn redirects(&self, command: &shell::Simple, text: &str) -> Result<(), Refusal> {
        for redirect in command.redirects.iter().filter(|r| r.writes()) {
            let target = redirect.target.as_ref().and_then(|t| t.literal()).unwrap_or("$");
            if !target.starts_with("/dev/") && !target.starts_with("/tmp/") {
                return Err(needs_root(
                    format!("`{}` writes a file when it runs", short(text)),
                    "write it to a folder that the user owns, and set USER by hand",
                ));
            }
        }
        Ok(())
    }

    /// Files that a command is told to write: its log, the number of its process, its data.
    fn outputs(&mut self, argv: &[String]) -> Result<(), Refusal> {
        let signals = self.input.knowledge.signals();
        let cwd = self.input.facts.stage(self.stage).end.cwd.clone().unwrap_or_default();
        for (i, word) in argv.iter().enumerate() {
            let (option, value) = match word.split_once('=') {
                Some((option, value)) => (option, Some(value)),
                None => (word.as_str(), argv.get(i + 1).map(String::as_str)),
            };
            let Some(value) = value.filter(|v| signals.is_output(option) && !v.starts_with('-')) else {
                continue;
            };
            if value.contains('$') {
                return Err(needs_root(
                    format!("`{}` writes to a place that is not known", short(&argv.join(" "))),
                    "name the file without variables",
                ));
            }
            let path = join(&cwd, value);
            if !["/tmp", "/dev"].iter().any(|d| covers(d, &path)) {
                self.outputs.push((path, format!("`{option}`")));
            }
        }
        Ok(())
    }

    /// A program that the catalogue does not have: a script of the context, or what the file itself builds.
    fn program(&mut self, program: &str, args: &[String], depth: usize) -> Result<(), Refusal> {
        use files::Origin;
        let facts = self.input.facts.stage(self.stage);
        let candidates: Vec<String> = if program.contains('/') {
            vec![join(facts.end.cwd.as_deref().unwrap_or("/"), program)]
        } else {
            let path = facts.end.variable("PATH").and_then(|v| v.value.clone()).unwrap_or_default();
            let dirs = path.split(':').filter(|d| !d.is_empty()).chain(STANDARD_PATH);
            dirs.map(|d| join(d, program)).collect()
        };
        for path in &candidates {
            match files::origin(self.input, self.stage, path) {
                Origin::Context(found) => return self.file(&found, args, depth),
                Origin::Inline(text) => return self.script(program, &text, args, depth),
                Origin::Built => return Ok(()),
                Origin::NoContext => return Err(no_context(path)),
                Origin::Image(image) => {
                    return Err(unproved(format!(
                        "{program} comes from the image {image}: what it needs is not known"
                    )));
                }
                Origin::Unknown => {}
            }
        }
        let of_base = facts.image.as_ref().and_then(|i| i.entrypoint.clone());
        if of_base.is_some_and(|e| e.first().is_some_and(|e| e == program)) {
            return self.command(args, depth + 1);
        }
        for path in &candidates {
            self.is_own(path)?;
        }
        // a tool of the system is not what the file builds
        let is_tool = self.input.knowledge.command(&[program.to_owned()]).class != Class::Unknown;
        if !is_tool && files::chain(self.input, self.stage).into_iter().any(|s| self.builds(s)) {
            return Ok(());
        }
        Err(unproved(format!("what `{program}` needs at run time is not known")))
    }

    fn is_port(&self, variable: &str) -> bool {
        self.input.knowledge.signals().ports.variables.iter().any(|v| v == variable)
    }

    /// Whether a RUN of the stage compiles.
    fn builds(&self, stage: usize) -> bool {
        let class = |at: usize| {
            let argv = |c: &shell::Simple| self.input.facts.argv(at, c).filter(|a| !a.is_empty());
            self.input
                .facts
                .commands(at)
                .into_iter()
                .filter_map(argv)
                .map(|a| self.input.knowledge.command(&a).class)
                .collect()
        };
        self.input.graph.stages()[stage].body.clone().any(|at| {
            let classes: Vec<Class> =
                if self.input.file.instructions[at].keyword == Keyword::Run { class(at) } else { Vec::new() };
            classes.contains(&Class::Build)
        })
    }

    /// A file of the context that is started.
    fn file(&mut self, path: &str, args: &[String], depth: usize) -> Result<(), Refusal> {
        let Some(text) = self.input.context.and_then(|c| c.read_text(path)) else {
            return Err(unproved(format!("{path} is no text: what it needs at run time is not known")));
        };
        self.script(path, &text, args, depth)
    }

    /// A start script; `args` are what it may start at its end.
    fn script(&mut self, path: &str, text: &str, args: &[String], depth: usize) -> Result<(), Refusal> {
        let first = text.lines().next().unwrap_or_default();
        let other = ["python", "node", "ruby", "perl", "php"]
            .iter()
            .any(|i| first.starts_with("#!") && first.contains(i));
        if first.starts_with("#!") {
            self.note(Place::Arguments, first, path)?;
        }
        if other {
            return Ok(()); // its text is read with that of the program
        }
        self.scripts.push(path.to_owned());
        for (number, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.starts_with('#') {
                continue;
            }
            let line = line.split(" # ").next().unwrap_or(line);
            let place = format!("{path}:{}", number + 1);
            self.note(Place::Script, line, &place)?;
            self.note(Place::Arguments, line, &place)?;
            let words: Vec<String> =
                line.split_whitespace().map(|w| w.trim_matches(['"', '\'', ';']).to_owned()).collect();
            ports(self.input, &words)?;
            if words.iter().any(|w| self.input.knowledge.signals().program(w).is_some_and(|p| p.home)) {
                self.home.get_or_insert_with(|| place.clone());
            }
            for word in words.iter().filter(|w| w.ends_with(".sh") && !w.starts_with('$')) {
                let cwd = self.input.facts.stage(self.stage).end.cwd.clone().unwrap_or_default();
                if let files::Origin::Context(found) =
                    files::origin(self.input, self.stage, &join(&cwd, word))
                    && !self.scripts.contains(&found)
                    && depth < MAX_DEPTH
                {
                    self.file(&found, &[], depth + 1)?;
                }
            }
        }
        let passes_on = |line: &str| {
            matches!(line.trim().trim_start_matches("exec ").trim(), "\"$@\"" | "$@" | "$*" | "\"$*\"")
        };
        match (text.lines().any(passes_on), args) {
            (false, _) => Ok(()),
            (true, []) => Err(unproved(format!("{path} starts what it is given, and no command is"))),
            (true, args) => self.command(args, depth + 1),
        }
    }

    /// Refuses for what a line needs, or keeps in mind that it needs a home.
    fn note(&mut self, place: Place, line: &str, by: &str) -> Result<(), Refusal> {
        let around = String::from_utf8_lossy(self.input.file.text());
        let Some(signal) = self.input.knowledge.signals().find(place, line, "", &around) else {
            return Ok(());
        };
        if signal.need == Need::Home {
            self.home.get_or_insert_with(|| by.to_owned());
            return Ok(());
        }
        let unlock = match signal.need {
            Need::Write => "give the folders that it writes to the user, and set USER by hand",
            _ => "set USER by hand if it works without root",
        };
        Err(needs_root(format!("`{}`: {}", short(by), signal.why), unlock))
    }
}

/// Where programs are found that are started by their name alone (Docker's default PATH).
const STANDARD_PATH: [&str; 6] =
    ["/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"];

fn no_context(path: &str) -> Refusal {
    Refusal::new(
        Reason::ContextMissing,
        format!("{path}, which is started, cannot be read: the build context is not known"),
        "name it by --context",
    )
}

/// Ports below 1024 that a command is told to listen on.
fn ports(input: &Input, argv: &[String]) -> Result<(), Refusal> {
    let options = &input.knowledge.signals().ports.options;
    for (i, word) in argv.iter().enumerate() {
        let value = match word.split_once('=') {
            Some((option, value)) if options.iter().any(|o| o == option) => value,
            _ if i > 0 && options.contains(&argv[i - 1]) => word.as_str(),
            // an address alone: `0.0.0.0:80`
            _ if word.starts_with("0.0.0.0:") || word.starts_with("[::]:") || word.starts_with(':') => {
                word.as_str()
            }
            _ => continue,
        };
        if let Some(port) = port_of(value).filter(|p| (1..1024).contains(p)) {
            return Err(low_port(port, &format!("`{}`", short(&argv.join(" ")))));
        }
    }
    Ok(())
}

/// The port at the end of an address, or alone.
pub(super) fn port_of(text: &str) -> Option<u32> {
    text.trim_end_matches('/').rsplit(':').next()?.parse().ok()
}

/// The words of a command, as they are written where they are not literal.
fn words(script: &Script, simple: &shell::Simple) -> Vec<String> {
    let word = |w: &shell::Word| {
        w.literal().map_or_else(|| String::from_utf8_lossy(script.text(w.span)).into_owned(), str::to_owned)
    };
    simple.words.iter().map(word).collect()
}

fn short(text: &str) -> String {
    let line = text.lines().next().unwrap_or_default();
    if line.chars().count() <= 60 {
        line.to_owned()
    } else {
        format!("{}…", line.chars().take(60).collect::<String>())
    }
}
