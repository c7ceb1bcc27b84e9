//! What stands behind the broad COPY: an install, something that does not look at what the COPY brings, or something in the way.

use super::{Before, Broad, Found, order};
use crate::{
    context::Context,
    ecosystem::{Assigned, Ecosystems, Install, Place, Recognized, needs_at},
    facts::{Form, Run, State, covers, join, parent},
    knowledge::{Class, Paths},
    pass::{Input, Reason, Refusal},
    shell::{Node, NodeKind, Redirect, RedirectKind, Script, Simple, Statement, Terminator, Word, leak},
};

/// What a RUN behind the COPY is: `Ok(None)` if it does not look at what the COPY brings, an install, or in the way.
/// `context` is what the COPY brings.
pub(super) fn run(
    input: &Input,
    broad: &Broad,
    context: Option<&Context>,
    at: usize,
) -> Result<Option<Found>, Refusal> {
    let (Some(state), Some(read)) = (input.facts.before(at), input.facts.run(at)) else { return Ok(None) };
    let look = Look { input, broad, context, at, state };
    if let Run { form: Form::Exec, .. } = read {
        let argv: Vec<String> = input.file.instructions[at].args().iter().map(|a| a.value.clone()).collect();
        return match look.install(&argv, &[], state.cwd.as_deref())? {
            Some(install) => {
                Ok(Some(Found { at, elements: None, installs: vec![install], before: Before::Nothing }))
            }
            None => opaque("an exec form stands between, which may read the sources"),
        };
    }
    let Some(script) = read.understood().filter(|s| !s.has_heredoc()) else {
        return opaque("a RUN cannot be read completely, and may read the sources");
    };
    match script.and_list() {
        Some(list) => look.list(script, &list),
        None => look.whole(script),
    }
}

/// The first install of RUN `at`, wherever it stands in it.
pub(super) fn recognized(input: &Input, at: usize) -> Option<Recognized> {
    let all = Ecosystems::builtin();
    let told = |argv: Vec<String>| Some(all.recognize(&argv)).filter(|r| *r != Recognized::None);
    let run = input.facts.run(at)?;
    let Some(script) = run.understood() else {
        return input.facts.calls(at).iter().filter_map(|c| c.argv.clone()).find_map(told);
    };
    let commands = script.commands().into_iter().map(|c| c.simple);
    // a name that is written out tells most of them apart
    let may_be = |s: &&Simple| s.words.first().and_then(Word::literal).is_none_or(|name| all.may_know(name));
    commands.filter(may_be).filter_map(|s| words(input, script, at, s)).find_map(told)
}

/// Whether RUN `at` begins with a tool that builds what another of its commands can fetch before, so that the tool is there
/// already, and changes no manifest.
pub(super) fn begins_with_a_builder(input: &Input, at: usize) -> bool {
    let Some(script) = input.facts.run(at).and_then(Run::understood) else { return false };
    let Some(NodeKind::Simple(first)) = script.and_list().and_then(|l| l.first().map(|n| &n.kind)) else {
        return false;
    };
    let all = Ecosystems::builtin();
    let program = first.words.first().and_then(Word::literal);
    let changes = |simple: &Simple| {
        let words: Option<Vec<String>> =
            simple.words.iter().map(|w| w.literal().map(str::to_owned)).collect();
        words.is_none_or(|argv| all.changes_a_manifest(&argv))
    };
    program.is_some_and(|p| all.has_early(p)) && !script.commands().iter().any(|c| changes(c.simple))
}

/// The tools whose installs RUN `at` has, as far as the words of its commands are known.
pub(super) fn installs_of(input: &Input, at: usize) -> Vec<&'static str> {
    let Some(script) = input.facts.run(at).and_then(Run::understood) else { return Vec::new() };
    let start = |simple: &Simple| -> Vec<String> {
        simple.words.iter().map_while(|w| value(input, script, at, w)).collect()
    };
    let all = Ecosystems::builtin();
    let tool = |simple: &Simple| match input.facts.argv_in(script, at, simple) {
        // `pip install cython` installs by name
        Some(argv) if all.recognize(&argv) == Recognized::None => None,
        Some(argv) => all.installer(&argv),
        None => all.installer(&start(simple)),
    };
    script.commands().iter().filter_map(|c| tool(c.simple)).collect()
}

/// The words of a command, or, where some are not known, those of a build whose early command does not depend on them.
fn words(input: &Input, script: &Script, at: usize, simple: &Simple) -> Option<Vec<String>> {
    let guessed = || {
        let text = |w: &Word| String::from_utf8_lossy(script.text(w.span)).into_owned();
        let words = simple.words.iter().map(|w| (value(input, script, at, w), text(w)));
        Ecosystems::builtin().guess_words(&words.collect::<Vec<_>>())
    };
    input.facts.argv_in(script, at, simple).or_else(guessed).filter(|argv| !argv.is_empty())
}

fn value(input: &Input, script: &Script, at: usize, word: &Word) -> Option<String> {
    let alone = Simple { words: vec![word.clone()], ..Simple::default() };
    input.facts.argv_in(script, at, &alone)?.pop()
}

/// Whether COPY `at` lands apart from what the broad one brings, so that their order does not matter.
pub(super) fn copy_apart(input: &Input, broad: &Broad, at: usize) -> bool {
    let ins = &input.file.instructions[at];
    let state = input.facts.before(at);
    let dst = ins.args().last().and_then(|d| state?.absolute(&d.value, input.file.escape));
    // below `/` everything lies
    broad.target != "/"
        && dst
            .filter(|v| !v.by_argument)
            .is_some_and(|d| !covers(&d.text, &broad.target) && !covers(&broad.target, &d.text))
}

struct Look<'a> {
    input: &'a Input<'a>,
    broad: &'a Broad,
    context: Option<&'a Context>,
    at: usize,
    state: &'a State,
}

impl Look<'_> {
    /// The install that a command is; an error if it is one that stays where it is.
    fn install(
        &self,
        argv: &[String],
        assigned: &[Assigned],
        dir: Option<&str>,
    ) -> Result<Option<(Install, Place)>, Refusal> {
        match Ecosystems::builtin().recognize(argv) {
            Recognized::Install(install) => {
                let Some(cwd) = dir else {
                    return Err(Refusal::new(
                        Reason::VariableUnresolved,
                        "the working directory is not known",
                        "give WORKDIR an absolute path",
                    ));
                };
                let variables = self.state.variables.iter();
                let env: Vec<(String, String)> = variables
                    .filter_map(|v| Some((v.name.clone(), v.value.clone().filter(|_| !v.by_argument)?)))
                    .collect();
                let place = Place::new(&self.broad.source, &self.broad.target, cwd, &env);
                Ok(Some((install, place.assign(assigned))))
            }
            Recognized::Refused(refusal) => Err(refusal),
            Recognized::None => Ok(None),
        }
    }

    fn assigned(&self, script: &Script, simple: &Simple) -> Vec<Assigned> {
        let one = |a: &crate::shell::Assign| Assigned {
            name: a.name.clone(),
            value: value(self.input, script, self.at, &a.value).filter(|_| !a.partial),
        };
        simple.assigns.iter().map(one).collect()
    }

    fn list(&self, script: &Script, list: &[&Node]) -> Result<Option<Found>, Refusal> {
        let Look { input, broad, at, .. } = *self;
        let mut dir = self.state.cwd.clone();
        let mut installs = Vec::new();
        let mut early = 0;
        let mut leaks = false;
        let mut before = Before::Nothing;
        let mut calm = 0;
        for (k, node) in list.iter().enumerate() {
            let NodeKind::Simple(simple) = &node.kind else { break };
            if simple.redirects.iter().any(|r| touches_a_file(r, &broad.target)) {
                break;
            }
            let Some(argv) = words(input, script, at, simple) else { break };
            if argv[0] == "cd" {
                dir = argv.get(1).and_then(|d| {
                    if d.starts_with('/') { Some(d.clone()) } else { dir.as_deref().map(|c| join(c, d)) }
                });
                leaks = true;
                calm = k + 1;
                continue;
            }
            let assigned = self.assigned(script, simple);
            match self.install(&argv, &assigned, dir.as_deref()) {
                Ok(Some(install)) => {
                    installs.push(install);
                    early = k + 1;
                }
                Err(refusal) if installs.is_empty() => return Err(refusal),
                Err(_) => break,
                Ok(None) if !harmless(input, broad, &argv, dir.as_deref()) => break,
                Ok(None) if installs.is_empty() && prepares(&argv) => before = Before::Elements(k + 1),
                Ok(None) => {}
            }
            leaks |= leak(node).is_some();
            calm = k + 1;
        }
        if installs.is_empty() {
            return self.no_install(script, list, dir.as_deref());
        }
        // the early halves of such a RUN stay as they are, and so does the RUN
        let needs_late = installs.iter().any(|(i, place)| {
            self.context.is_some_and(|c| {
                needs_at(i, c, place, Ecosystems::builtin()).is_ok_and(|n| n.early.is_some())
            })
        });
        // what follows the installs and looks at nothing that the COPY brings stays with them
        if calm == list.len() && !needs_late {
            early = calm;
        }
        let whole = early == list.len();
        if !whole && self.ships() && list[early..].iter().any(|node| self.cleans(script, node)) {
            return Err(Refusal::new(
                Reason::NoGain,
                "the RUN cleans up behind its install, which another RUN could not take out of the install's layer",
                "clean up in the RUN of the install, before anything that needs the sources",
            ));
        }
        // a list can be cut if no element but the last changes the state of the shell
        leaks |= list[..list.len() - 1].iter().any(|node| leak(node).is_some());
        if leaks && before != Before::Nothing {
            before = Before::Fixed;
        }
        if !whole && leaks && !needs_late {
            return Err(Refusal::new(
                Reason::StateLeaks,
                "the RUN changes the state of its shell (cd, export), which a RUN behind it would not have",
                "put the install into a RUN of its own, with WORKDIR in the place of cd",
            ));
        }
        Ok(Some(Found { at, elements: (!whole).then_some(early), installs, before }))
    }

    fn ships(&self) -> bool {
        let stage = self.input.graph.stage_of(self.at);
        stage.is_none_or(|s| self.input.facts.stage(s.index).ships)
    }

    fn cleans(&self, script: &Script, node: &Node) -> bool {
        let NodeKind::Simple(simple) = &node.kind else { return false };
        let argv = self.input.facts.argv_in(script, self.at, simple).unwrap_or_default();
        let Some(name) = argv.first() else { return false };
        name == "rm"
            || self.input.knowledge.command(&argv).class == Class::Cleanup
            || argv.iter().any(|w| w == "cache") && Ecosystems::builtin().is_aside(&argv)
    }

    fn no_install(
        &self,
        script: &Script,
        list: &[&Node],
        dir: Option<&str>,
    ) -> Result<Option<Found>, Refusal> {
        let Look { input, broad, at, .. } = *self;
        let calm = list.iter().all(|node| match &node.kind {
            NodeKind::Simple(s) if s.redirects.iter().any(|r| touches_a_file(r, &broad.target)) => false,
            NodeKind::Simple(s) => input
                .facts
                .argv_in(script, at, s)
                .filter(|a| !a.is_empty())
                .is_some_and(|a| a[0] == "cd" || harmless(input, broad, &a, dir)),
            _ => false,
        });
        if calm {
            return Ok(None);
        }
        if let Ok(found) = self.whole(script) {
            return Ok(found);
        }
        match recognized(input, at) {
            Some(Recognized::Refused(own)) => return Err(own),
            Some(_) => return opaque("what stands before the install in its RUN may read the sources"),
            None => {}
        }
        let text = String::from_utf8_lossy(&script.joined().text).trim().chars().take(60).collect::<String>();
        Err(Refusal::new(
            Reason::OrderObservable,
            format!("`{text}` stands between the COPY and the install, and may read the sources"),
            "put it behind the install",
        ))
    }

    /// A RUN of any form as one unit: it may go before the sources if each command in it may, wherever it stands, and if no
    /// condition asks for a file.
    fn whole(&self, script: &Script) -> Result<Option<Found>, Refusal> {
        let Look { input, broad, at, .. } = *self;
        let dir = self.state.cwd.as_deref();
        let mut installs = Vec::new();
        let mut before = Before::Nothing;
        let mut calm = script.error().is_none() && plain(script.statements(), &broad.target);
        for command in script.commands() {
            let simple = command.simple;
            calm &= !simple.redirects.iter().any(|r| touches_a_file(r, &broad.target));
            if simple.words.is_empty() || !calm {
                continue;
            }
            let Some(argv) = input.facts.argv_in(script, at, simple) else {
                let asks = |w: &Word| w.literal().is_some_and(asks_for_a_file);
                calm &=
                    matches!(simple.name(), Some("[" | "test" | "echo")) && !simple.words.iter().any(asks);
                continue;
            };
            if argv.is_empty() {
                continue;
            }
            let assigned = self.assigned(script, simple);
            match self.install(&argv, &assigned, dir) {
                Ok(Some(install)) => installs.push(install),
                Err(refusal) if installs.is_empty() => return Err(refusal),
                Ok(None) if argv[0] != "cd" && harmless(input, broad, &argv, dir) => {
                    if prepares(&argv) {
                        before = Before::Fixed;
                    }
                }
                Ok(None) | Err(_) => calm = false,
            }
        }
        if !calm && recognized(input, at).is_some() {
            return opaque(
                "the install stands in a sequence of commands or under a condition that may read the sources",
            );
        }
        if !calm {
            return opaque(
                "a sequence of commands stands between the COPY and the install, and may read the sources",
            );
        }
        if installs.is_empty() {
            return Ok(None);
        }
        Ok(Some(Found { at, elements: None, installs, before }))
    }
}

fn opaque<T>(message: &str) -> Result<T, Refusal> {
    Err(Refusal::new(
        Reason::ShellOpaque,
        message,
        "put the install into a RUN of its own, as a list joined by `&&`",
    ))
}

/// Whether a redirect may read or write a file at, above or below `target`.
fn touches_a_file(redirect: &Redirect, target: &str) -> bool {
    let elsewhere = |file: &str| {
        let path = join("/", file);
        file == "/dev/null" || file.starts_with('/') && !covers(target, &path) && !covers(&path, target)
    };
    let named = redirect.target.as_ref().and_then(Word::literal);
    redirect.kind != RedirectKind::Dup && !named.is_some_and(elsewhere)
}

/// Whether statements are commands, their groups and conditions alone: nothing in the background, no loop, no test of bash.
fn plain(statements: &[Statement], target: &str) -> bool {
    let node = |node: &Node| match &node.kind {
        NodeKind::Simple(_) => true,
        NodeKind::Pipeline { parts, .. } => parts.iter().all(|p| matches!(p.kind, NodeKind::Simple(_))),
        NodeKind::Group(body) | NodeKind::Subshell(body) => plain(body, target),
        NodeKind::If { branches, otherwise } => {
            branches.iter().all(|(test, body)| plain(test, target) && plain(body, target))
                && otherwise.as_deref().is_none_or(|body| plain(body, target))
        }
        _ => false,
    };
    statements.iter().all(|s| {
        let apart = s.terminator != Terminator::Background;
        apart && s.list.nodes().all(|n| node(n) && !n.redirects.iter().any(|r| touches_a_file(r, target)))
    })
}

/// Whether a command may bring what a command behind it needs: all but those that are known for nothing of the kind.
fn prepares(argv: &[String]) -> bool {
    let idle =
        [":", "[", "chmod", "chown", "echo", "ls", "mkdir", "pwd", "rm", "set", "test", "touch", "true"];
    !idle.contains(&argv[0].as_str())
}

/// The operators of test that look at a file.
fn asks_for_a_file(word: &str) -> bool {
    let unary = word.len() == 2 && word.starts_with('-') && !matches!(word, "-z" | "-n" | "-a" | "-o");
    unary || matches!(word, "-nt" | "-ot" | "-ef")
}

/// Whether a command neither reads nor writes where the COPY lands.
fn harmless(input: &Input, broad: &Broad, argv: &[String], cwd: Option<&str>) -> bool {
    let known = input.knowledge.command(argv);
    let meets = |paths: &Paths| match paths {
        Paths::None => false,
        Paths::Everything => true,
        Paths::Some(paths) => paths.iter().any(|p| {
            let p = p.trim_end_matches("/**");
            let path = if p.starts_with('/') { Some(join("/", p)) } else { cwd.map(|c| join(c, p)) };
            path.is_none_or(|p| covers(&p, &broad.target) || covers(&broad.target, &p))
        }),
    };
    // packages come by name: a word that is a path may be a file of the context
    let apart = || {
        argv.iter()
            .skip(1)
            .all(|w| !w.contains(['/', '$', '`']) || w.starts_with("http") || w.starts_with('@'))
    };
    let tests = matches!(argv[0].as_str(), "[" | "test");
    let by_settings = matches!(known.class, Class::Packages | Class::Index | Class::Install);
    if (by_settings || Ecosystems::builtin().is_aside(argv)) && brings_settings(input, broad) {
        return false;
    }
    if Ecosystems::builtin().is_aside(argv)
        || venv(argv, cwd).is_some_and(|path| !covers(&path, &broad.target))
    {
        return true;
    }
    match known.class {
        Class::Packages => apart(),
        Class::Index | Class::Cleanup => true,
        Class::Install => Ecosystems::builtin().installs_by_name(argv),
        Class::Config if tests => !argv.iter().any(|w| asks_for_a_file(w)),
        Class::Config => !meets(&known.reads) && !meets(&known.writes) && !meets(&known.deletes),
        Class::Fetch | Class::Build | Class::Daemon | Class::Unknown => false,
    }
}

/// Whether the COPY may bring the settings of the system or of a user, which installers of packages read wherever they run: into a
/// folder where the system keeps programs and settings (Filesystem Hierarchy Standard 3.0, chapters 3 and 4), or as a file of a home whose
/// name begins with a dot.
fn brings_settings(input: &Input, broad: &Broad) -> bool {
    const SYSTEM: [&str; 9] = [
        "/bin",
        "/lib",
        "/sbin",
        "/usr",
        "/usr/bin",
        "/usr/lib",
        "/usr/local",
        "/usr/local/bin",
        "/usr/local/lib",
    ];
    const TOP: [&str; 9] = ["bin", "etc", "home", "lib", "opt", "root", "sbin", "usr", "var"];
    let has = |is: &dyn Fn(&str) -> bool| {
        input.context.is_none_or(|c| c.list(&broad.source).iter().any(|(name, _)| is(name)))
    };
    let target = broad.target.as_str();
    let home = target == "/root" || parent(target) == "/home";
    covers("/etc", target)
        || covers("/usr/local/etc", target)
        || SYSTEM.contains(&target)
        || target == "/" && has(&|name| TOP.contains(&name))
        || home && has(&|name| name.starts_with('.'))
}

/// The folder of a virtual environment that a command makes, which it alone writes.
pub(super) fn venv(argv: &[String], cwd: Option<&str>) -> Option<String> {
    let [program, flag, module, options @ .., path] = argv else { return None };
    let name = program.rsplit('/').next()?.trim_end_matches(|c: char| c.is_ascii_digit() || c == '.');
    let calm = ["--copies", "--symlinks", "--system-site-packages", "--upgrade-deps", "--without-pip"];
    let it = name == "python" && flag == "-m" && module == "venv" && !path.starts_with('-');
    if it && options.iter().all(|o| calm.contains(&o.as_str())) { Some(join(cwd?, path)) } else { None }
}

/// The virtual environments that RUN `at` makes where the COPY lands: nothing may be laid over them later.
pub(super) fn venvs(input: &Input, broad: &Broad, at: usize) -> Vec<String> {
    let cwd = input.facts.before(at).and_then(|s| s.cwd.clone());
    let made = input.facts.calls(at).iter().filter_map(|c| venv(c.argv.as_ref()?, cwd.as_deref()));
    made.filter(|path| covers(&broad.target, path)).collect()
}

/// The refusal for a COPY between that lands where the broad one does.
pub(super) fn overlapping(input: &Input, at: usize) -> Refusal {
    order(&input.file.instructions[at], "another COPY stands between, which may land in the same place")
}
