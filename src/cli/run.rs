//! From a Dockerfile's path to its entry in the report.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::{self, IsTerminal},
    path::{Path, PathBuf},
    sync::Arc,
};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use rayon::prelude::*;

use super::{
    advice, args, guard,
    input::Input,
    settings::{Session, Settings},
    wants::wants,
};
use crate::{
    config::{parse_version, shown},
    context::Context,
    facts::Facts,
    graph::Graph,
    options::{Builder, Deployment, Options, Platform},
    pipeline::{Plan, Request, Unit, plan_of},
    repo::{self, Build, Chosen, Declared, DiskSource, Wants, choose_context, git},
    report::{ContextNote, File, FileError, Kind},
    syntax::{self, Dockerfile, Keyword},
};

/// From how many files on a terminal shows how far the run is.
const MANY: usize = 50;

/// What one Dockerfile came to: its entry, and those of other files that change with it, each with its place on the disk.
pub(super) struct Planned {
    pub(super) is_stdin: bool,
    /// The Dockerfile's own is the first.
    pub(super) files: Vec<(PathBuf, File)>,
}

impl Planned {
    /// The Dockerfile's text after.
    pub(super) fn text(&self) -> &[u8] {
        self.files.first().map_or(&[], |(_, f)| &f.after)
    }
}

/// The entries alone. What two Dockerfiles of one context add to it alike is told once.
pub(super) fn files(planned: Vec<Planned>) -> Vec<File> {
    let mut seen = BTreeSet::new();
    let all = planned.into_iter().flat_map(|p| p.files);
    all.filter(|(path, f)| f.kind == Kind::Dockerfile || seen.insert(path.clone())).map(|(_, f)| f).collect()
}

/// Of two Dockerfiles that would change one ignore file in two ways the first counts; the other has to be planned on it.
fn settle(planned: &mut [Planned]) {
    let mut taken: BTreeMap<PathBuf, (Vec<u8>, String)> = BTreeMap::new();
    for one in planned {
        let Some(((_, own), ignores)) = one.files.split_first() else { continue };
        let clash = ignores.iter().find_map(|(path, f)| {
            let (_, by) = taken.get(path).filter(|(after, _)| *after != f.after)?;
            let message = format!(
                "{}: changes {} in another way than {by} does; write that one first, then run again",
                own.path, f.path
            );
            Some(FileError::new("ignore-file-shared", message))
        });
        match clash {
            Some(error) => {
                one.files.truncate(1);
                one.files[0].1.fail(error);
            }
            None => {
                taken.extend(ignores.iter().map(|(p, f)| (p.clone(), (f.after.clone(), own.path.clone()))));
            }
        }
    }
}

/// Plans every file, in order, several at a time.
///
/// # Errors
/// When a config is wrong.
pub(super) fn all(args: &args::Run, inputs: Vec<Input>, session: &Session) -> Result<Vec<Planned>, String> {
    let with_settings: Result<Vec<_>, String> =
        inputs.into_iter().map(|i| session.for_folder(&i.folder()).map(|s| (i, s))).collect();
    let work = with_settings?;
    let bar = progress(work.len(), args.look.quiet);
    let one = |(input, settings): &(Input, Arc<Settings>)| {
        let planned = self::one(input, settings, session);
        bar.inc(1);
        planned
    };
    let mut out: Vec<Planned> = match args.jobs {
        _ if work.len() < 2 => work.iter().map(one).collect(),
        None => work.par_iter().map(one).collect(),
        Some(jobs) => {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(jobs).build();
            let pool = pool.map_err(|e| format!("--jobs {jobs}: {e}"))?;
            pool.install(|| work.par_iter().map(one).collect())
        }
    };
    bar.finish_and_clear();
    settle(&mut out);
    Ok(out)
}

/// Plans one file; whatever happens is an entry.
pub(super) fn one(input: &Input, settings: &Settings, session: &Session) -> Planned {
    let place = input.path.clone().unwrap_or_else(|| PathBuf::from(&input.shown));
    let failed = |text: Vec<u8>, e| {
        let file = File::failed(input.shown.clone(), text, e);
        Planned { is_stdin: input.is_stdin, files: vec![(place.clone(), file)] }
    };
    let text = match input.read(session.args().max_file_size) {
        Ok(text) => text,
        Err(e) => return failed(Vec::new(), e),
    };
    match guard::run(|| prepare(input, text.clone(), settings, session)) {
        Ok(mut ready) => match guard::run(|| ready.plan(settings)) {
            Ok(plan) => ready.into_planned(input, plan),
            Err(e) => failed(text, e),
        },
        Err(e) => failed(text, e),
    }
}

/// A file with everything that its plan depends on.
pub(super) struct Ready<'a> {
    pub(super) unit: Unit,
    file: Arc<Dockerfile>,
    /// Of the file, where they were needed to find its context.
    facts: Option<Facts<'a>>,
    passes: Vec<&'static dyn crate::pass::Pass>,
    contexts: Vec<Found>,
    /// Whether the file takes anything from its context.
    pub(super) uses_context: bool,
    path: Option<PathBuf>,
}

/// A context on the disk, and where its ignore file is.
struct Found {
    dir: PathBuf,
    note: ContextNote,
    /// The name, in the plan, of an ignore file that lies beside a Dockerfile outside of the context; and its place.
    outside: Option<(String, PathBuf)>,
}

impl Ready<'_> {
    pub(super) fn plan(&mut self, settings: &Settings) -> Plan {
        let request =
            Request { level: settings.level, passes: &self.passes, knowledge: settings.knowledge() };
        plan_of(&self.unit, &request, &self.file, self.facts.take())
    }

    /// The first of its contexts, and the folder that it is.
    pub(super) fn built_context(&self) -> Option<(Arc<Context>, PathBuf)> {
        Some((self.unit.contexts.first()?.clone(), self.contexts.first()?.dir.clone()))
    }

    fn into_planned(self, input: &Input, plan: Plan) -> Planned {
        let place = self.path.unwrap_or_else(|| PathBuf::from(&input.shown));
        let notes = self.contexts.iter().map(|c| c.note.clone()).collect();
        let ignores: Vec<_> = plan
            .files
            .iter()
            .filter_map(|(path, after)| {
                let context = self.contexts.first()?;
                let outside = context.outside.as_ref().filter(|(name, _)| name == path);
                let place = outside.map_or_else(|| context.dir.join(path), |(_, place)| place.clone());
                let before = repo::read(&place, repo::MAX_FILE_SIZE).ok();
                Some((place.clone(), File::ignore(shown(&place), patch_path(&place), before, after.clone())))
            })
            .collect();
        let mut file = File::planned(input.shown.clone(), patch_path(&place), notes, plan);
        advice::add(&mut file);
        let mut files = vec![(place, file)];
        files.extend(ignores);
        Planned { is_stdin: input.is_stdin, files }
    }
}

/// Reads what surrounds a file. What its repository says of targets, platforms and services counts also where it copies
/// nothing from its context.
pub(super) fn prepare<'a>(
    input: &Input,
    text: Vec<u8>,
    settings: &'a Settings,
    session: &Session,
) -> Ready<'a> {
    let file = Arc::new(syntax::parse(&text));
    let mut options = Options { builder: builder(&file, settings.builder), ..settings.options.clone() };
    options.targets.clone_from(&settings.targets);
    let passes =
        settings.passes_for(&repo::absolute(input.path.as_deref().unwrap_or(Path::new(&input.shown))));
    let mut graph = Arc::new(Graph::of_build(&file, &options));
    let mut facts = None;
    let given = session.args().context.as_deref();
    let uses_context = (0..file.instructions.len()).any(|i| graph.reads_context(i));
    let mut contexts = Vec::new();
    if file.error().is_none() {
        let path = input.path.as_deref().map(repo::absolute);
        let root = path.as_deref().and_then(|p| repo::root_of(p, &session.folders));
        let declared = root.as_deref().map(Declared::of);
        if let (Some(path), Some(declared)) = (&path, &declared) {
            let builds = declared.for_file(path);
            if options.targets.is_empty() {
                options.targets = targets(&builds, &graph);
            }
            if options.platforms.is_empty() {
                options.platforms = platforms(&builds);
            }
            if add_args(&mut options.build_args, &builds) || !options.platforms.is_empty() {
                graph = Arc::new(Graph::of_build(&file, &options));
            }
        }
        let known = Facts::derive(&file, &graph, settings.knowledge(), &options);
        let chosen = match (&path, given) {
            _ if !uses_context => Vec::new(),
            (Some(path), None) => choose(path, root.as_deref(), wants(&known), declared.as_deref()),
            (None, None) => Vec::new(),
            (path, Some(_)) => {
                let path = path.as_deref().unwrap_or(Path::new("Dockerfile"));
                choose_context(path, given, None, &Wants::default(), None)
            }
        };
        if let (Some(path), Some(declared)) = (&path, &declared) {
            options.deployment = deployment(path, declared, chosen.first());
        }
        contexts = chosen.into_iter().map(|c| context(c, path.as_deref())).collect();
        facts = Some(known);
    }
    let (found, contexts): (Vec<_>, Vec<_>) = contexts.into_iter().unzip();
    let unit = Unit { text, contexts, options };
    Ready { unit, file, facts, passes, contexts: found, uses_context, path: input.path.clone() }
}

/// The contexts of the Dockerfile at `path`. Where no folder holds the manifests, they may be made in the build.
fn choose(path: &Path, root: Option<&Path>, mut wants: Wants, declared: Option<&Declared>) -> Vec<Chosen> {
    let chosen = choose_context(path, None, root, &wants, declared);
    if !chosen.is_empty() || wants.manifests.is_empty() {
        return chosen;
    }
    wants.manifests.clear();
    choose_context(path, None, root, &wants, declared)
}

fn context(chosen: Chosen, dockerfile: Option<&Path>) -> (Found, Arc<Context>) {
    let Chosen { dir, origin } = chosen;
    let (real_dir, name) = (repo::real(&dir), shown(&dir));
    let mut note =
        ContextNote { dir: name.clone(), from: origin.id(), why: origin.text().to_owned(), outside: None };
    let own = dockerfile.map(repo::real);
    let inside =
        own.as_deref().and_then(|p| p.strip_prefix(&real_dir).ok()).map(|p| repo::relative(p, Path::new("")));
    let mut context =
        Context::new(Arc::new(DiskSource::new(&dir)), name, origin, inside.as_deref().unwrap_or_default());
    let mut outside = None;
    if let (Some(path), None) = (dockerfile, &inside) {
        let mut place = path.as_os_str().to_owned();
        place.push(".dockerignore");
        let place = PathBuf::from(place);
        if let Ok(bytes) = repo::read(&place, repo::MAX_FILE_SIZE) {
            context = context.with_ignore(shown(&place), &bytes);
            note.outside = Some(shown(&place));
            outside = Some((shown(&place), place));
        }
    }
    (Found { dir, note, outside }, Arc::new(context))
}

/// What builds the file. BuildKit fetches the frontend that `# syntax=` names; else it has at least what the file uses
/// (semantics 0.4).
fn builder(file: &Dockerfile, given: Option<Builder>) -> Builder {
    let builder = given.unwrap_or(Options::default().builder);
    let Builder::BuildKit { frontend } = builder else { return builder };
    let tag =
        file.directive("syntax").and_then(|s| s.split('@').next()?.rsplit_once(':')).map(|(_, tag)| tag);
    match tag.and_then(parse_version) {
        Some(pinned) => Builder::BuildKit { frontend: pinned },
        None => Builder::BuildKit { frontend: frontend.max(features(file)) },
    }
}

/// The least frontend that has every flag which the file uses (tables of the Dockerfile reference, moby/buildkit 73ed6825c).
fn features(file: &Dockerfile) -> (u32, u32) {
    let of = |ins: &syntax::Instruction| {
        let flags = ins.flags().iter().map(|f| match (ins.keyword, f.name.as_str()) {
            (Keyword::Copy | Keyword::Add, "exclude") => (1, 19),
            (Keyword::Copy, "parents") => (1, 20),
            (Keyword::Add, "checksum") => (1, 6),
            (Keyword::Run, "security") => (1, 20),
            _ => (1, 0),
        });
        flags.max().unwrap_or((1, 0))
    };
    file.instructions.iter().map(of).max().unwrap_or((1, 0))
}

/// Every stage that the repository builds of the file. An entry without a target builds the last one.
fn targets(builds: &[&Build], graph: &Graph) -> Vec<String> {
    let named: BTreeSet<&String> = builds.iter().filter_map(|b| b.target.as_ref()).collect();
    let mut out: Vec<String> = named.into_iter().cloned().collect();
    if !out.is_empty() && builds.iter().any(|b| b.target.is_none()) {
        out.extend(graph.stages().last().map(|s| s.index.to_string()));
    }
    out
}

/// The platforms that the repository builds the file for; none where an entry leaves it to the builder's machine.
fn platforms(builds: &[&Build]) -> Vec<Platform> {
    let named = builds.iter().flat_map(|b| &b.platforms);
    let known: Option<BTreeSet<Platform>> = named.map(|p| Platform::parse(p)).collect();
    let all_say = builds.iter().all(|b| !b.platforms.is_empty());
    known.filter(|_| all_say).into_iter().flatten().collect()
}

/// Adds the arguments that all entries give alike; what is given already stays. Whether there are any.
fn add_args(args: &mut Vec<(String, String)>, builds: &[&Build]) -> bool {
    let given = args.len();
    let first = builds.first().into_iter();
    for (name, value) in first.flat_map(|b| &b.args) {
        let same = builds.iter().all(|b| b.args.iter().any(|(n, v)| n == name && v == value));
        if same && !args.iter().any(|(n, _)| n == name) {
            args.push((name.clone(), value.clone()));
        }
    }
    args.len() > given
}

fn deployment(path: &Path, declared: &Declared, chosen: Option<&Chosen>) -> Deployment {
    if declared.builds().is_empty() {
        return Deployment::default();
    }
    let own = repo::real(path);
    let services = declared.for_file(path).into_iter().filter_map(|b| b.service.clone());
    let sharing = chosen.map(|c| declared.sharing_context(&c.dir)).unwrap_or_default();
    Deployment {
        services: services.collect(),
        used_as_base_by: declared.used_as_base(path),
        shares_context_with: sharing.into_iter().filter(|p| *p != own).map(|p| shown(&p)).collect(),
    }
}

/// The path from the root of the work tree, or else as it is shown.
fn patch_path(path: &Path) -> String {
    let path = repo::absolute(path);
    match git::root(&path) {
        Some(root) => repo::relative(&path, &root),
        None => shown(&path),
    }
}

/// How far the run is, on standard error, where that is a terminal and the files are many.
fn progress(files: usize, quiet: bool) -> ProgressBar {
    if quiet || files < MANY || !io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::with_draw_target(Some(files as u64), ProgressDrawTarget::stderr_with_hz(10));
    match ProgressStyle::with_template("{bar:30} {pos}/{len} Dockerfiles") {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}
