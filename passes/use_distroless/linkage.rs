//! How a program that the image starts was made: followed back through COPY, cp and stages to the command that links it.

use super::{libraries, without_c};
use crate::{
    context::{Context, FileKind, go_match},
    facts::{covers, join, parent},
    graph::Base,
    knowledge::Compiler,
    pass::{Input, Reason, Refusal},
    shell::{Part, Simple, Word},
    syntax::Keyword,
};

/// How many copies a program is followed through.
const STEPS: u32 = 12;
/// How many files of a build context are looked through.
const FILES: usize = 4_000;

/// The libraries that a program needs, each more than the one before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Needs {
    Nothing,
    C,
    Cpp,
}

/// A program of which it is known what it needs.
pub(super) struct Linked<'a> {
    pub compiler: &'a Compiler,
    pub needs: Needs,
    pub why: String,
}

/// Proves what libraries `path` of stage `stage`, as it is at the end of it, needs.
pub(super) fn prove<'a>(input: &Input<'a>, stage: usize, path: &str) -> Result<Linked<'a>, Refusal> {
    let end = input.graph.stages()[stage].body.end;
    before(input, stage, end, path, STEPS)
        .unwrap_or_else(|| Err(unknown(format!("no known command makes {path}"))))
}

fn unknown(message: String) -> Refusal {
    Refusal::new(
        Reason::LinkageUnknown,
        message,
        "build it in the Dockerfile so that it is linked statically, as with CGO_ENABLED=0 for Go",
    )
}

type Answer<'a> = Option<Result<Linked<'a>, Refusal>>;

/// What made `path`, looking back from instruction `end` of a stage. None: nothing there did.
fn before<'a>(input: &Input<'a>, stage: usize, end: usize, path: &str, steps: u32) -> Answer<'a> {
    let steps = steps.checked_sub(1)?;
    for at in (input.graph.stages()[stage].body.start..end).rev() {
        let found = match input.file.instructions[at].keyword {
            Keyword::Run => by_run(input, stage, at, path, steps),
            Keyword::Copy | Keyword::Add => by_copy(input, at, path, steps),
            _ => None,
        };
        if found.is_some() {
            return found;
        }
    }
    match input.graph.stages()[stage].base {
        Base::Stage(parent) => before(input, parent, input.graph.stages()[parent].body.end, path, steps),
        _ => None,
    }
}

fn by_copy<'a>(input: &Input<'a>, at: usize, path: &str, steps: u32) -> Answer<'a> {
    let sources = placed(input, at, path);
    if sources.is_empty() {
        return None;
    }
    let from = input.file.instructions[at].flag("from");
    let Some(stage) = input.graph.sources(at).first().copied() else {
        return match from.and_then(|f| f.value.as_deref()) {
            Some(image) => Some(Err(unknown(format!(
                "{path} comes from the image {image}, and how it is linked is not known"
            )))),
            // a COPY of sources lies under what is built later: only a file of that very name is meant
            None if input.file.instructions[at].args().iter().any(|a| a.value.contains("://")) => {
                Some(Err(unknown(format!("{path} is downloaded by ADD, and how it is linked is not known"))))
            }
            None => {
                let is_file = |c: &Context| {
                    sources
                        .iter()
                        .any(|s| c.entry(s.trim_start_matches('/')).is_some_and(|e| e.kind == FileKind::File))
                };
                let named = || {
                    input.file.instructions[at]
                        .args()
                        .iter()
                        .any(|a| a.value.rsplit('/').next() == path.rsplit('/').next())
                };
                let is = input.context.map_or_else(named, is_file);
                is.then(|| {
                    Err(unknown(format!(
                        "{path} comes from the build context, and how it is linked is not known"
                    )))
                })
            }
        };
    };
    let end = input.graph.stages()[stage].body.end;
    let answers: Vec<_> = sources.iter().filter_map(|s| before(input, stage, end, s, steps)).collect();
    answers
        .into_iter()
        .reduce(|a, b| if a.is_ok() { a } else { b })
        .or_else(|| Some(Err(unknown(format!("no known command makes {}", sources[0])))))
}

/// Paths of the source that instruction `at`, a COPY, may put at `path`.
pub(super) fn placed(input: &Input, at: usize, path: &str) -> Vec<String> {
    let ins = &input.file.instructions[at];
    let (Some(state), Some((dst, sources))) = (input.facts.before(at), ins.args().split_last()) else {
        return Vec::new();
    };
    let Some(target) = state.absolute(&dst.value, input.file.escape).map(|v| v.text) else {
        return Vec::new();
    };
    if !covers(&target, path) {
        return Vec::new();
    }
    let mut out = Vec::new();
    for source in sources {
        let Some(source) = state.expand(&source.value, input.file.escape) else { continue };
        let source = join("/", &source.text);
        let name = path.rsplit('/').next().unwrap_or_default();
        if target == path {
            out.push(source);
            continue;
        }
        let last = source.rsplit('/').next().unwrap_or_default();
        if parent(path) == target && (last == name || go_match(last, name).unwrap_or(false)) {
            out.push(join(parent(&source), name));
        }
        let rest = path.strip_prefix(target.trim_end_matches('/')).unwrap_or_default();
        out.push(join("/", &format!("{source}{rest}")));
    }
    out.dedup();
    out
}

fn by_run<'a>(input: &Input<'a>, stage: usize, at: usize, path: &str, steps: u32) -> Answer<'a> {
    let run = input.facts.run(at)?;
    let script = run.understood()?;
    let mut cwd = input.facts.before(at)?.cwd.clone();
    let mut exported: Vec<(String, Option<String>)> = Vec::new();
    let mut found: Answer<'a> = None;
    let mut assigned: Vec<&str> = Vec::new();
    for command in script.commands() {
        let simple = command.simple;
        let value = |word: &Word| value(input, at, &assigned, word);
        let Some(name) = simple.name() else {
            if simple.words.is_empty() {
                // a variable that is exported already stays so
                exported.extend(
                    simple
                        .assigns
                        .iter()
                        .filter(|a| in_force(input, at, &a.name).is_some())
                        .map(|a| (a.name.clone(), value(&a.value))),
                );
                assigned.extend(simple.assigns.iter().map(|a| a.name.as_str()));
            }
            continue;
        };
        let words: Vec<Option<String>> = simple.words.iter().map(value).collect();
        match name {
            "cd" => {
                cwd = words.get(1).cloned().flatten().and_then(|d| {
                    if d.starts_with('/') { Some(join("/", &d)) } else { Some(join(cwd.as_deref()?, &d)) }
                });
            }
            "export" => exported.extend(
                simple.words[1..].iter().zip(&words[1..]).filter_map(|(w, v)| assignment(w, v.as_deref())),
            ),
            "cp" | "mv" | "install" => {
                let paths: Vec<String> =
                    words[1..].iter().flatten().filter(|w| !w.starts_with('-')).cloned().collect();
                if let (Some((to, from)), Some(cwd)) = (paths.split_last(), cwd.as_deref()) {
                    for from in from {
                        let from = join(cwd, from);
                        let to = join(cwd, to);
                        let base = from.rsplit('/').next().unwrap_or_default();
                        if from != path && (to == path || join(&to, base) == path) {
                            found = before(input, stage, at + 1, &from, steps);
                        }
                    }
                }
            }
            _ => {
                let mut env = exported.clone();
                env.extend(simple.assigns.iter().map(|a| (a.name.clone(), value(&a.value))));
                let skip = if name == "env" { 1 + leading_assignments(simple, &words, &mut env) } else { 0 };
                let call =
                    Call { input, stage, at, simple, words: &words, skip, cwd: cwd.as_deref(), env: &env };
                for compiler in &input.knowledge.distroless().swap.compilers {
                    let answer = call.makes(compiler, path);
                    // every command that may make it must link it statically
                    found = match (found, answer) {
                        (Some(Err(e)), _) => Some(Err(e)),
                        (old, None) => old,
                        (_, new) => new,
                    };
                }
            }
        }
    }
    found
}

fn leading_assignments(
    simple: &Simple,
    words: &[Option<String>],
    env: &mut Vec<(String, Option<String>)>,
) -> usize {
    let pairs: Vec<_> =
        simple.words[1..].iter().zip(&words[1..]).map_while(|(w, v)| assignment(w, v.as_deref())).collect();
    let n = pairs.len();
    env.extend(pairs);
    n
}

/// `NAME=value` as a word.
fn assignment(word: &Word, value: Option<&str>) -> Option<(String, Option<String>)> {
    let text = value.or_else(|| first_text(word))?;
    let (name, rest) = text.split_once('=')?;
    name.bytes()
        .all(|b| b.is_ascii_alphanumeric() || b == b'_')
        .then(|| (name.to_owned(), value.map(|_| rest.to_owned())))
}

fn first_text(word: &Word) -> Option<&str> {
    match word.parts.first()? {
        Part::Text { value, .. } => Some(value),
        _ => None,
    }
}

/// A word's value; None if it is not known or `--build-arg` can change it.
fn value(input: &Input, at: usize, assigned: &[&str], word: &Word) -> Option<String> {
    let vars = |name: &str| if assigned.contains(&name) { None } else { in_force(input, at, name) };
    word.value(&vars)
}

/// The value of a variable that the builder sets, where `--build-arg` cannot change it.
fn in_force(input: &Input, at: usize, name: &str) -> Option<String> {
    input.facts.before(at)?.variable(name).filter(|v| !v.by_argument)?.value.clone()
}

/// A command of a RUN, with what is known of its words.
pub(super) struct Call<'a, 'b> {
    pub input: &'b Input<'a>,
    pub stage: usize,
    pub at: usize,
    simple: &'b Simple,
    words: &'b [Option<String>],
    /// Words before the program.
    skip: usize,
    cwd: Option<&'b str>,
    env: &'b [(String, Option<String>)],
}

/// What a compiler is told.
#[derive(Default)]
pub(super) struct Told {
    /// Options with their values, where these are known.
    pub options: Vec<(String, Option<String>)>,
    output: Option<String>,
    target: Option<String>,
    pub is_install: bool,
    /// The last operand.
    package: Option<String>,
    /// Why it may not be linked statically.
    doubt: Option<String>,
}

impl<'a> Call<'a, '_> {
    fn makes(&self, compiler: &'a Compiler, path: &str) -> Answer<'a> {
        let mut words = self.words[self.skip..].iter().zip(&self.simple.words[self.skip..]).peekable();
        let program = words.next()?.0.as_deref()?;
        if program.rsplit('/').next() != Some(&compiler.program) {
            return None;
        }
        while words.peek().is_some_and(|(w, _)| w.as_deref().is_some_and(|w| w.starts_with('+'))) {
            words.next(); // a toolchain: `cargo +nightly`
        }
        let sub = words.next()?.0.as_deref()?;
        let mut told = told(compiler, words);
        told.is_install = compiler.install.iter().any(|i| i == sub);
        let makes = if compiler.build.iter().any(|b| b == sub) {
            if compiler.tree.is_some() {
                self.in_tree(compiler, &told, path)
            } else {
                self.in_place(&told, path)
            }
        } else {
            compiler.install.iter().any(|i| i == sub)
                && compiler.install_env.as_deref().is_none_or(|n| self.variable(n).is_none())
                && self.installed(compiler, &told, path)
        };
        if !makes {
            return None;
        }
        let linked = self.is_plain(compiler, &told, path).and_then(|()| {
            let linked = self.is_static(compiler, &told, path).map(|why| (Needs::Nothing, why));
            linked.or_else(|refusal| match told.target {
                Some(_) => Err(refusal),
                None => libraries::of(self, compiler, &told, path, refusal),
            })
        });
        Some(linked.map(|(needs, why)| Linked { compiler, needs, why }))
    }

    fn in_place(&self, told: &Told, path: &str) -> bool {
        let Some(cwd) = self.cwd else { return false };
        let name = path.rsplit('/').next().unwrap_or_default();
        match &told.output {
            Some(output) => {
                let is_dir = output.ends_with('/');
                let output = join(cwd, output);
                output == path
                    || (parent(path) == output && (is_dir || self.package(told).as_deref() == Some(name)))
            }
            None => parent(path) == cwd && self.package(told).as_deref() == Some(name),
        }
    }

    /// The name that a program has when none is given: that of its folder, or of its module.
    fn package(&self, told: &Told) -> Option<String> {
        match told.package.as_deref().map(|p| p.trim_end_matches('/')) {
            Some(p) if !matches!(p, "." | "./..." | "..") => {
                Some(p.rsplit('/').next()?.trim_end_matches(".go").to_owned())
            }
            _ => {
                let text = self.input.context?.read_text("go.mod")?;
                let module = text.lines().find_map(|l| l.trim().strip_prefix("module "))?.trim();
                let name = module.rsplit('/').next()?;
                let is_version = name.strip_prefix('v').is_some_and(|n| n.parse::<u32>().is_ok());
                Some(if is_version { module.rsplit('/').nth(1)? } else { name }.to_owned())
            }
        }
    }

    fn installed(&self, compiler: &Compiler, told: &Told, path: &str) -> bool {
        let name = path.rsplit('/').next();
        let package = told.package.as_deref().map(|p| p.split('@').next().unwrap_or(p).trim_end_matches('/'));
        let named = package.is_none_or(|p| p.ends_with("...") || p == "." || p.rsplit('/').next() == name);
        compiler.install_dir.as_deref() == Some(parent(path)) && named
    }

    /// `target/[triple/]profile/name` of the project or a folder around it.
    fn in_tree(&self, compiler: &Compiler, told: &Told, path: &str) -> bool {
        let (Some(cwd), Some(tree)) = (self.cwd, compiler.tree.as_deref()) else { return false };
        let mark = format!("/{tree}/");
        let Some((project, rest)) = path.split_once(&mark) else { return false };
        let project = if project.is_empty() { "/" } else { project };
        let parts: Vec<&str> = rest.split('/').collect();
        covers(project, cwd)
            && match (parts.as_slice(), &told.target) {
                ([triple, _, _], Some(target)) => triple == target,
                ([_, _], None) => true,
                _ => false,
            }
    }

    /// Nothing that the compiler is told or finds may change how it links.
    fn is_plain(&self, compiler: &Compiler, told: &Told, path: &str) -> Result<(), Refusal> {
        let program = &compiler.program;
        if let Some(doubt) = &told.doubt {
            return Err(unknown(format!(
                "{path} is built by `{program}` with {doubt}, which may change how it is linked"
            )));
        }
        if let Some(path) = libraries::configured(self.input, compiler) {
            return Err(unknown(format!("{path} may change how the program is linked")));
        }
        if let Some(name) = compiler.never_env.iter().find(|n| self.variable(n).is_some()) {
            return Err(unknown(format!(
                "{name} is set for the build of {path}, and may change how it is linked"
            )));
        }
        Ok(())
    }

    fn is_static(&self, compiler: &Compiler, told: &Told, path: &str) -> Result<String, Refusal> {
        let program = &compiler.program;
        let place = crate::graph::place(self.input.file, self.input.file.instructions[self.at].span);
        if let Some((name, want)) = &compiler.static_env {
            return match self.variable(name) {
                Some(Some(value)) if value == *want => {
                    Ok(format!("{path} is linked statically: `{program}` runs with {name}={want} ({place})"))
                }
                Some(None) => Err(unknown(format!(
                    "the value of {name}, on which the linking of {path} depends, can change from outside"
                ))),
                None if without_c::has_none(self.input, compiler, self.stage)
                    && compiler
                        .dynamic
                        .iter()
                        .flat_map(|d| &d.never_env)
                        .all(|n| self.variable(n).is_none()) =>
                {
                    Ok(format!(
                        "{path} is linked statically: without a compiler of C, which its build stage lacks, `{program}` uses no cgo ({place})"
                    ))
                }
                _ => Err(self.with_cgo(name, want, path)),
            };
        }
        let image = self.input.facts.stage(self.stage).image.as_deref();
        match &told.target {
            Some(t) if compiler.static_targets.iter().any(|s| t.ends_with(s)) => {
                Ok(format!("{path} is linked statically: its target is {t} ({place})"))
            }
            Some(t) => Err(unknown(format!("{path} is built for {t}: it needs a C library"))),
            None => match image {
                Some(i)
                    if compiler.static_families.contains(&i.family) && compiler.images.contains(&i.name) =>
                {
                    Ok(format!(
                        "{path} is linked statically, as `{program}` of {} on this system does by default ({place})",
                        i.name
                    ))
                }
                _ => {
                    Err(unknown(format!("{path} is built for the system of its stage: it needs a C library")))
                }
            },
        }
    }

    fn with_cgo(&self, name: &str, want: &str, path: &str) -> Refusal {
        let musl = self
            .input
            .facts
            .stage(self.stage)
            .image
            .as_deref()
            .is_some_and(|i| i.libc == Some(crate::knowledge::Libc::Musl));
        let why = if musl {
            "it may need musl's loader, which the distroless images lack"
        } else {
            "it may need a C library"
        };
        Refusal::new(
            Reason::LinkageUnknown,
            format!("{path} is built without {name}={want}: {why}"),
            format!("set {name}={want} for the build, if the program needs no C code"),
        )
    }

    /// Whether `--build-arg` says how it is linked.
    pub fn is_set_from_outside(&self, compiler: &Compiler) -> bool {
        compiler.static_env.as_ref().is_some_and(|(n, _)| self.variable(n) == Some(None))
    }

    /// A variable as the command sees it: none if it is not set, and `Some(None)` if its value is not known.
    pub fn variable(&self, name: &str) -> Option<Option<String>> {
        if let Some((_, value)) = self.env.iter().rev().find(|(n, _)| n == name) {
            return Some(value.clone());
        }
        let state = self.input.facts.before(self.at)?;
        let variable = state.variable(name)?;
        Some(variable.value.clone().filter(|_| !variable.by_argument))
    }
}

fn told<'w>(compiler: &Compiler, words: impl Iterator<Item = (&'w Option<String>, &'w Word)>) -> Told {
    let mut told = Told::default();
    let mut pending: Option<String> = None;
    for (value, word) in words {
        if let Some(option) = pending.take() {
            told.note(compiler, &option, value.as_deref());
            continue;
        }
        // of an option whose value is not known, its name may be
        let text =
            value.as_deref().or_else(|| first_text(word).filter(|t| t.starts_with('-') && t.contains('=')));
        let Some(text) = text else {
            told.doubt = Some("an argument whose value is not known".into());
            continue;
        };
        if !text.starts_with('-') {
            told.package = Some(text.to_owned());
            continue;
        }
        let short = if compiler.output.as_deref().is_some_and(|o| !o.starts_with("--")) {
            text.strip_prefix("--").map(|t| format!("-{t}"))
        } else {
            None
        };
        let text = short.as_deref().unwrap_or(text);
        match text.split_once('=') {
            Some((option, rest)) => told.note(compiler, option, value.is_some().then_some(rest)),
            None if compiler.flags.iter().any(|f| f == text) => told.options.push((text.to_owned(), None)),
            None => pending = Some(text.to_owned()),
        }
    }
    told
}

impl Told {
    fn note(&mut self, compiler: &Compiler, option: &str, value: Option<&str>) {
        self.options.push((option.to_owned(), value.map(str::to_owned)));
        if compiler.never.iter().any(|n| n == option) {
            self.doubt = Some(option.to_owned());
        } else if compiler.output.as_deref() == Some(option) {
            self.output = value.map(str::to_owned);
            if value.is_none() {
                self.doubt = Some("an output whose path is not known".into());
            }
        } else if compiler.target.as_deref() == Some(option) {
            self.target = Some(value.unwrap_or("a target that is not known").to_owned());
        }
    }
}

/// A file of the build context with an extension of `extensions` that has one of `texts`: the sources of a program that starts others.
pub(super) fn starts_programs(context: &Context, extensions: &[String], texts: &[String]) -> Option<String> {
    let Some(all) = context.walk("", FILES) else {
        return Some(format!("the build context, with more than {FILES} files,"));
    };
    let is_source = |path: &str| {
        let name = path.rsplit('/').next().unwrap_or(path);
        let test = name.contains("_test.") || name.contains(".test.") || name.contains(".spec.");
        let foreign = path
            .split('/')
            .any(|p| matches!(p, "vendor" | "node_modules" | "testdata" | "test" | "tests" | "target"));
        !test && !foreign && name.rsplit_once('.').is_some_and(|(_, x)| extensions.iter().any(|e| e == x))
    };
    all.iter()
        .map(|(p, _)| p)
        .filter(|p| is_source(p))
        .find(|p| {
            let has = |text: &[u8]| texts.iter().any(|t| memchr::memmem::find(text, t.as_bytes()).is_some());
            context.read(p).is_some_and(|text| has(&text))
        })
        .cloned()
}
