//! What holds before each instruction: variables, user, working directory, shell, accounts; and what each stage ends as.
//!
//! Every function answers from the text, the graph and the catalogues. What they do not tell is `None`, never a guess.

use std::sync::{Arc, OnceLock};

use crate::{
    graph::{Base, Graph, Mount},
    knowledge::{CommandFacts, Image, Knowledge, Paths},
    options::Options,
    shell::{self, Script, ShellKind, Simple},
    syntax::{
        Dockerfile, Instruction, Joined, Keyword,
        words::{Expansion, Lex, Lookup},
    },
};

mod accounts;
mod config;
mod path;
mod rights;
mod writes;

pub use accounts::{Accounts, Member, Owner};
pub use config::{Command, Config};
pub use path::{clean, covers, join, parent, shift};
pub use writes::{Write, Writes};

/// A variable of the build: from ENV, ARG or the base image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Variable {
    pub name: String,
    /// None: not known, for it is an ARG without a default, or rests on one.
    pub value: Option<String>,
    /// Whether `--build-arg` can change it.
    pub by_argument: bool,
    /// An ARG: not in the image's config.
    pub is_arg: bool,
}

/// A text with its variables expanded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Value {
    pub text: String,
    /// Whether `--build-arg` can change it.
    pub by_argument: bool,
}

/// What holds at one place of a stage.
#[derive(Clone, Debug)]
pub struct State {
    /// In order of definition; the last one of a name counts.
    pub variables: Arc<Vec<Variable>>,
    /// Whether the base image sets no other variables than those of the list (`PATH` apart).
    pub variables_complete: bool,
    /// The user as it is set, expanded: `""` is root. None: not known.
    pub user: Option<String>,
    /// Absolute. None: not known.
    pub cwd: Option<String>,
    pub shell: Arc<Vec<String>>,
    /// Whether that shell is certain: set in this file, or the base image is known.
    pub shell_known: bool,
    pub accounts: Arc<Accounts>,
}

impl Lookup for State {
    fn get(&self, name: &str) -> Option<&str> {
        self.variable(name)?.value.as_deref()
    }
}

impl State {
    /// The variable of that name.
    #[must_use]
    pub fn variable(&self, name: &str) -> Option<&Variable> {
        self.variables.iter().rev().find(|v| v.name == name)
    }

    /// Whether commands run as root here. None: not known.
    #[must_use]
    pub fn is_root(&self) -> Option<bool> {
        self.user.as_deref().map(is_root)
    }

    /// `text` with its variables, as the builder expands an argument. None: some value is not known.
    #[must_use]
    pub fn expand(&self, text: &str, escape: u8) -> Option<Value> {
        if !text.contains(['$', '\\', '`', '"', '\'']) {
            return Some(Value { text: text.to_owned(), by_argument: false });
        }
        let Expansion { value, used, unset } = Lex::new(escape).word(text, self).ok()?;
        let unknown =
            |name: &String| self.variable(name).is_some() || !self.variables_complete || name == "PATH";
        if unset.iter().any(unknown) {
            return None;
        }
        let by_argument = used.iter().any(|n| self.variable(n).is_some_and(|v| v.by_argument));
        Some(Value { text: value, by_argument })
    }

    /// `path`, expanded and made absolute. None: not known.
    #[must_use]
    pub fn absolute(&self, path: &str, escape: u8) -> Option<Value> {
        let mut value = self.expand(path, escape)?;
        value.text = if value.text.starts_with('/') {
            clean(&value.text)
        } else {
            join(self.cwd.as_deref()?, &value.text)
        };
        Some(value)
    }
}

/// Whether a USER value means root.
#[must_use]
pub fn is_root(user: &str) -> bool {
    matches!(user.split(':').next(), Some("" | "0" | "root"))
}

/// What a stage is.
#[derive(Clone, Debug)]
pub struct StageFacts {
    /// The image at the root of its chain of FROMs, if the catalogues know it.
    pub image: Option<Arc<Image>>,
    /// Whether `--build-arg` can change that image.
    pub image_by_argument: bool,
    /// It starts from nothing.
    pub from_scratch: bool,
    pub windows: bool,
    /// Whether its layers are part of an image that is built: it is a target, or a target starts from it.
    pub ships: bool,
    /// Whether it is a target itself.
    pub is_target: bool,
    /// What holds after its last instruction.
    pub end: State,
    pub config: Config,
}

/// How a RUN gives its command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    Shell,
    Exec,
    Heredoc,
}

/// A RUN instruction, read.
#[derive(Debug)]
pub struct Run {
    pub form: Form,
    /// The shell that reads it, if it is one that is understood.
    pub shell: Option<ShellKind>,
    /// What it runs: of a shell form, or of a heredoc that the shell reads.
    pub script: Option<Script>,
    pub mounts: Vec<Mount>,
    /// Its flags in a form that compares: mounts with sorted fields, all sorted.
    pub flags: Vec<String>,
}

impl Run {
    /// The script, if all of it was understood.
    #[must_use]
    pub fn understood(&self) -> Option<&Script> {
        self.script.as_ref().filter(|s| s.error().is_none())
    }
}

/// A command of a RUN, with what the catalogues know of it.
#[derive(Debug)]
pub struct Call {
    /// Its words as the shell sees them. None: one is not known.
    pub argv: Option<Vec<String>>,
    /// The same, with those that are not known as they are written.
    pub words: Vec<String>,
    pub known: CommandFacts,
}

/// The facts of a Dockerfile.
#[derive(Debug)]
pub struct Facts<'a> {
    file: Arc<Dockerfile>,
    graph: Arc<Graph>,
    knowledge: &'a Knowledge,
    // Invariant: one for each instruction.
    states: Vec<State>,
    stages: Vec<StageFacts>,
    runs: Vec<OnceLock<Option<Box<Run>>>>,
    writes: Vec<OnceLock<Writes>>,
    calls: Vec<OnceLock<Vec<Call>>>,
}

impl<'a> Facts<'a> {
    /// Derives the facts of `file`.
    #[must_use]
    pub fn derive(
        file: &Arc<Dockerfile>,
        graph: &Arc<Graph>,
        knowledge: &'a Knowledge,
        options: &Options,
    ) -> Facts<'a> {
        let n = file.instructions.len();
        let mut facts = Facts {
            file: file.clone(),
            graph: graph.clone(),
            knowledge,
            states: Vec::with_capacity(n),
            stages: Vec::with_capacity(graph.stages().len()),
            runs: (0..n).map(|_| OnceLock::new()).collect(),
            writes: (0..n).map(|_| OnceLock::new()).collect(),
            calls: (0..n).map(|_| OnceLock::new()).collect(),
        };
        let shipped = shipped(graph, options);
        for stage in graph.stages() {
            facts.derive_stage(stage.index, &shipped, options);
        }
        facts
    }

    /// The file that they are of.
    #[must_use]
    pub fn file(&self) -> &Arc<Dockerfile> {
        &self.file
    }

    /// The graph of that file.
    #[must_use]
    pub fn graph(&self) -> &Arc<Graph> {
        &self.graph
    }

    /// What holds before instruction `index`; for a FROM, and what stands before the first one, what holds in its stage at first.
    #[must_use]
    pub fn before(&self, index: usize) -> Option<&State> {
        self.states.get(index.checked_sub(self.graph.stages().first()?.from)?)
    }

    /// What holds after instruction `index`.
    #[must_use]
    pub fn after(&self, index: usize) -> Option<&State> {
        let stage = self.graph.stage_of(index)?;
        if index + 1 < stage.body.end { self.before(index + 1) } else { Some(&self.stages[stage.index].end) }
    }

    /// What stage `index` is.
    #[must_use]
    pub fn stage(&self, index: usize) -> &StageFacts {
        &self.stages[index]
    }

    /// The stages, in order.
    #[must_use]
    pub fn stages(&self) -> &[StageFacts] {
        &self.stages
    }

    /// RUN instruction `index`, read at the first call; None for another instruction.
    pub fn run(&self, index: usize) -> Option<&Run> {
        self.runs[index].get_or_init(|| self.read_run(index).map(Box::new)).as_deref()
    }

    /// The commands of RUN `index` wherever they stand in it. Empty if it is not understood.
    pub fn commands(&self, index: usize) -> Vec<&Simple> {
        let script = self.run(index).and_then(Run::understood);
        script.map(|s| s.commands().into_iter().map(|c| c.simple).collect()).unwrap_or_default()
    }

    /// The words of a command as the shell of instruction `index` sees them. None: one is not known.
    #[must_use]
    pub fn argv(&self, index: usize, command: &Simple) -> Option<Vec<String>> {
        self.argv_in(self.run(index)?.script.as_ref()?, index, command)
    }

    /// The same for a command of `script`, which runs as instruction `index` does. A pattern stays as it is written.
    pub(crate) fn argv_in(&self, script: &Script, index: usize, command: &Simple) -> Option<Vec<String>> {
        let state = self.before(index)?;
        let value =
            |name: &str| state.variable(name).filter(|v| !v.by_argument).and_then(|v| v.value.clone());
        let pattern = |w: &shell::Word| {
            let plain = w.glob && !w.quoted && !w.substitution && w.reads.is_empty();
            plain.then(|| String::from_utf8_lossy(script.text(w.span)).into_owned())
        };
        command.words.iter().map(|w| w.value(&value).or_else(|| pattern(w))).collect()
    }

    /// The commands of RUN `index`, in the order of [`Facts::commands`]; assignments alone are not among them.
    pub fn calls(&self, index: usize) -> &[Call] {
        self.calls[index].get_or_init(|| {
            let commands = self.commands(index).into_iter().filter(|c| !c.words.is_empty());
            let script = self.run(index).and_then(|r| r.script.as_ref());
            let written = |c: &Simple| -> Vec<String> {
                let text = |w: &shell::Word| Some(String::from_utf8_lossy(script?.text(w.span)).into_owned());
                c.words.iter().filter_map(text).collect()
            };
            let call = |c: &Simple| {
                let argv = self.argv(index, c);
                let words = argv.clone().unwrap_or_else(|| written(c));
                let mut known = self.knowledge.command(&words);
                if argv.is_none() {
                    (known.reads, known.writes) = (Paths::Everything, Paths::Everything);
                }
                Call { argv, words, known }
            };
            commands.map(call).collect()
        })
    }

    /// What instruction `index` writes, read at the first call.
    pub fn writes(&self, index: usize) -> &Writes {
        self.writes[index].get_or_init(|| writes::of(self, self.knowledge, index))
    }

    /// What `unit`, a part of RUN `index`, writes.
    #[must_use]
    pub fn unit_writes(&self, index: usize, unit: &str) -> Writes {
        let kind = self.run(index).filter(|r| r.understood().is_some()).and_then(|r| r.shell);
        match kind {
            Some(kind) => {
                let script = shell::parse(&Joined::of(unit.as_bytes()), kind.dialect);
                writes::of_script(self, self.knowledge, index, &script)
            }
            None => Writes::Anything(Vec::new()),
        }
    }

    /// Whether the image that stage `index` starts from may have something at or below `path`.
    #[must_use]
    pub fn base_may_have(&self, index: usize, path: &str) -> bool {
        let stage = &self.graph.stages()[index];
        match &stage.base {
            Base::Scratch => false,
            Base::Stage(parent) => {
                let body = self.graph.stages()[*parent].body.clone();
                body.into_iter().any(|i| self.writes(i).may_meet(path)) || self.base_may_have(*parent, path)
            }
            Base::Image { .. } | Base::Unresolved(_) => match &self.stages[index].image {
                Some(image) if image.config_known => {
                    let below_an_empty_one =
                        image.writes_known.iter().any(|d| d.empty && d.path != path && covers(&d.path, path));
                    if below_an_empty_one {
                        return false;
                    }
                    writes::is_system(path)
                        || image.workdir.as_deref().is_some_and(|d| covers(path, d) || covers(d, path))
                        || image.writes_known.iter().any(|d| covers(path, &d.path) || covers(&d.path, path))
                        || image
                            .users
                            .iter()
                            .filter_map(|u| u.home.as_deref())
                            .any(|h| h != "/" && (covers(path, h) || covers(h, path)))
                }
                _ => true,
            },
        }
    }

    /// Of a folder that the image which stage `index` starts from has for certain, and that is empty there: its owner, as far as that is
    /// known.
    #[must_use]
    pub fn base_empty_folder(&self, index: usize, path: &str) -> Option<Option<(u32, u32)>> {
        match self.graph.stages()[index].base {
            Base::Scratch => None,
            Base::Stage(parent) => {
                let mut body = self.graph.stages()[parent].body.clone();
                let written = body.any(|i| self.writes(i).may_meet(path));
                if written { None } else { self.base_empty_folder(parent, path) }
            }
            Base::Image { .. } | Base::Unresolved(_) => {
                let dirs = &self.stages[index].image.as_ref().filter(|i| i.config_known)?.writes_known;
                dirs.iter().find(|d| d.empty && d.path == path).map(|d| d.owner)
            }
        }
    }

    /// All of them, of stage `index`.
    #[must_use]
    pub fn base_empty_folders(&self, index: usize) -> Vec<(String, Option<(u32, u32)>)> {
        let mut root = index;
        while let Base::Stage(parent) = self.graph.stages()[root].base {
            root = parent;
        }
        let dirs = self.stages[root].image.iter().flat_map(|i| &i.writes_known).filter(|d| d.empty);
        dirs.filter_map(|d| Some((d.path.clone(), self.base_empty_folder(index, &d.path)?))).collect()
    }

    /// Whether the image that stage `index` starts from has the folder `path` for certain: then a COPY does not make it.
    #[must_use]
    pub fn base_has_folder(&self, index: usize, path: &str) -> bool {
        path == "/" || self.stages[index].image.as_ref().is_some_and(|image| writes::has_folder(image, path))
    }

    /// Edges from each instruction to the later ones of its stage that work on a path which it wrote.
    pub fn connect_files(&self, graph: &mut Graph) {
        for stage in self.graph.stages() {
            for reader in stage.body.clone() {
                for path in writes::touched(self, self.knowledge, reader) {
                    let wrote = |i: &usize| self.writes(*i).known().iter().any(|w| w.meets(&path));
                    if let Some(writer) = (stage.body.start..reader).rev().find(wrote) {
                        graph.add_file(writer, reader, &path);
                    }
                }
            }
        }
    }

    fn derive_stage(&mut self, index: usize, shipped: &[(bool, bool)], options: &Options) {
        let body = self.graph.stages()[index].body.clone();
        let (mut state, mut config, mut facts) = self.start(index, options);
        (facts.ships, facts.is_target) = shipped[index];
        self.states.push(state.clone());
        for at in body {
            self.states.push(state.clone());
            let ins = &self.file.instructions[at];
            config.note(ins, &state, self.file.escape);
            self.step(&mut state, at, ins, options);
        }
        self.stages.push(StageFacts { end: state, config, ..facts });
    }

    /// What a stage begins with.
    fn start(&self, index: usize, options: &Options) -> (State, Config, StageFacts) {
        let stage = &self.graph.stages()[index];
        let fresh = State {
            variables: Arc::default(),
            variables_complete: false,
            user: None,
            cwd: None,
            shell: default_shell(),
            shell_known: false,
            accounts: Arc::default(),
        };
        let mut facts = StageFacts {
            image: None,
            image_by_argument: false,
            from_scratch: false,
            windows: self.is_built_for_windows(stage, options),
            ships: false,
            is_target: false,
            end: fresh.clone(),
            config: Config::default(),
        };
        let state = match &stage.base {
            Base::Stage(parent) => {
                let parent = &self.stages[*parent];
                let mut state = parent.end.clone();
                // ARGs end with their stage, but a stage that starts from it inherits them (convert.go, dispatchState.init)
                state.variables = parent.end.variables.clone();
                facts = StageFacts { end: state.clone(), ..parent.clone() };
                return (state, parent.config.inherited(), facts);
            }
            Base::Scratch => {
                facts.from_scratch = true;
                State {
                    variables_complete: true,
                    user: Some(String::new()),
                    cwd: Some("/".into()),
                    shell_known: true,
                    accounts: Arc::new(Accounts { complete: true, ..Accounts::default() }),
                    ..fresh
                }
            }
            Base::Image { reference, by_argument } => {
                facts.image_by_argument = *by_argument;
                match self.knowledge.image(reference) {
                    Some(image) => {
                        let state = from_image(&image, fresh);
                        facts.windows |= image.is_windows();
                        facts.image = Some(image);
                        state
                    }
                    None => fresh,
                }
            }
            Base::Unresolved(_) => fresh,
        };
        let config = Config::of_base(facts.image.as_deref());
        (state, config, facts)
    }

    /// A FROM without a platform, or with the target's, is for what `--platform` says.
    fn is_built_for_windows(&self, stage: &crate::graph::Stage, options: &Options) -> bool {
        match (stage.platform.as_deref(), self.graph.platform(stage, self.file.escape)) {
            (None, _) => options.targets_windows(),
            (Some(_), Some(known)) => known.starts_with("windows"),
            (Some(raw), None) => {
                raw.starts_with("windows") || (raw.contains("TARGET") && options.targets_windows())
            }
        }
    }

    fn step(&self, state: &mut State, at: usize, ins: &Instruction, options: &Options) {
        let escape = self.file.escape;
        match ins.keyword {
            Keyword::Env => {
                // all values of one ENV see the variables before it (commands.go, EnvCommand.Expand)
                let new: Vec<Variable> = ins
                    .pairs()
                    .map(|(key, value)| {
                        let value = state.expand(&value.value, escape);
                        let by_argument = value.as_ref().is_none_or(|v| v.by_argument);
                        Variable {
                            name: key.value.clone(),
                            value: value.map(|v| v.text),
                            by_argument,
                            is_arg: false,
                        }
                    })
                    .collect();
                Arc::make_mut(&mut state.variables).extend(new);
            }
            Keyword::Arg => {
                for arg in ins.args() {
                    self.declare(state, &arg.value, options);
                }
            }
            Keyword::Workdir => state.cwd = state.absolute(ins.first(), escape).map(|v| v.text),
            Keyword::User => state.user = state.expand(ins.first(), escape).map(|v| v.text),
            Keyword::Shell => {
                state.shell = Arc::new(ins.args().iter().map(|a| a.value.clone()).collect());
                state.shell_known = true;
            }
            Keyword::Run => {
                let source = ins.source();
                if ACCOUNT_WORDS.iter().any(|w| contains(source, w)) {
                    let accounts = accounts::after(self, at, &state.accounts);
                    state.accounts = Arc::new(accounts);
                }
            }
            Keyword::Copy | Keyword::Add if accounts::may_be_copied_over(ins, state, escape) => {
                Arc::make_mut(&mut state.accounts).forget();
            }
            _ => {}
        }
    }

    /// ARG in a stage: `--build-arg`, else the default, else the global of that name (convert.go, dispatchArg).
    fn declare(&self, state: &mut State, text: &str, options: &Options) {
        let (name, default) = match text.split_once('=') {
            Some((n, v)) => (n, Some(v)),
            None => (text, None),
        };
        let given = options.build_args.iter().find(|(n, _)| n == name).map(|(_, v)| v.clone());
        let value = given.or_else(|| match default {
            Some(v) => state.expand(v, self.file.escape).map(|v| v.text),
            None => self.graph.globals().iter().rev().find(|(n, _)| n == name).and_then(|(_, v)| v.clone()),
        });
        if value.is_none() && default.is_none() && state.variable(name).is_some() {
            return; // an ARG without any value leaves an ENV of the same name as it is
        }
        let variable = Variable { name: name.to_owned(), value, by_argument: true, is_arg: true };
        Arc::make_mut(&mut state.variables).push(variable);
    }

    fn read_run(&self, index: usize) -> Option<Run> {
        let ins = &self.file.instructions[index];
        if ins.keyword != Keyword::Run {
            return None;
        }
        let state = self.before(index)?;
        let mut mounts = Vec::new();
        let mut flags: Vec<String> = ins
            .flags()
            .iter()
            .map(|f| {
                if f.name != "mount" {
                    return f.text();
                }
                let mount = Mount::read(f.value.as_deref().unwrap_or_default());
                let text = format!("--mount={:?}", mount.fields);
                mounts.push(mount);
                text
            })
            .collect();
        flags.sort();
        let form = match (ins.heredocs.is_empty(), ins.is_exec()) {
            (false, _) => Form::Heredoc,
            (true, true) => Form::Exec,
            (true, false) => Form::Shell,
        };
        let windows =
            self.graph.stage_of(index).is_some_and(|s| self.stages.get(s.index).is_some_and(|f| f.windows));
        let shell = if windows || self.file.escape == b'`' { None } else { shell::shell_kind(&state.shell) };
        let script = match (&shell, form) {
            (Some(kind), Form::Shell) => Some(shell::parse(ins.rest(), kind.dialect)),
            _ => None,
        };
        Some(Run { form, shell, script, mounts, flags })
    }
}

/// Words without which a RUN makes no account: so that the others need not be read for it.
const ACCOUNT_WORDS: [&[u8]; 8] =
    [b"useradd", b"adduser", b"addgroup", b"groupadd", b"usermod", b"groupmod", b"/etc/", b"deluser"];

pub(crate) fn contains(text: &[u8], word: &[u8]) -> bool {
    memchr::memmem::find(text, word).is_some()
}

fn default_shell() -> Arc<Vec<String>> {
    static SHELL: OnceLock<Arc<Vec<String>>> = OnceLock::new();
    SHELL.get_or_init(|| Arc::new(vec!["/bin/sh".into(), "-c".into()])).clone()
}

fn from_image(image: &Image, fresh: State) -> State {
    let variable = |(name, value): &(String, String)| Variable {
        name: name.clone(),
        value: Some(value.clone()),
        by_argument: false,
        is_arg: false,
    };
    State {
        variables: Arc::new(image.env.iter().map(variable).collect()),
        variables_complete: false,
        user: image.user.clone(),
        cwd: Some(image.workdir.clone().unwrap_or_else(|| "/".into())),
        shell: image.shell_instruction.clone().map_or(fresh.shell, Arc::new),
        shell_known: true,
        accounts: Arc::new(Accounts::of_base(image)),
    }
}

/// For each stage, whether it ships and whether it is a target.
fn shipped(graph: &Graph, options: &Options) -> Vec<(bool, bool)> {
    let stages = graph.stages();
    let mut out = vec![(false, false); stages.len()];
    let mut targets: Vec<usize> =
        options.targets.iter().filter_map(|t| graph.find_stage(t)).map(|s| s.index).collect();
    if targets.is_empty() {
        targets.extend(stages.len().checked_sub(1));
    }
    for target in targets {
        out[target] = (true, true);
        let mut at = target;
        while let Base::Stage(parent) = stages[at].base {
            out[parent].0 = true;
            at = parent;
        }
    }
    out
}
