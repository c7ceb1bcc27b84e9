//! `dfopt verify`: from its arguments to jobs, and from their outcomes to the report and the exit code.

use std::{
    io::{self, IsTerminal, Write},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use ignore::gitignore::Gitignore;

use super::{
    args::{self, Color, VerifyFormat},
    commands, exit, guard,
    input::Input,
    is_coloured, print, print_error, run,
    settings::{Session, Settings},
};
use crate::{
    context::Context,
    options::{Builder, Options},
    pass::Level,
    pipeline::{Plan, Skipped},
    repo,
    verify::{
        Job, Outcome, Version, Wants, Watch, child,
        engine::{BuildOptions, Engine, Failure},
        ignored_paths, render,
        start::Probe,
        verify,
    },
};

/// Proves what dfopt would write, or what `--against` names; the exit code.
///
/// # Errors
/// When it could not be tried.
pub(super) fn dispatch(args: &args::Verify, color: Color) -> Result<u8, String> {
    let probe = args.probe.as_deref().map(Probe::read).transpose()?;
    let mut wants = Wants {
        measure: !args.no_measure,
        edit: args.edit.clone(),
        run: args.run || probe.is_some() || !args.args.is_empty(),
        probe,
        args: args.args.clone(),
        timeout: Duration::from_secs(args.timeout),
        ignore: Gitignore::empty(),
    };
    child::heed_signals()?;
    let session = Session::new(&args.plan, args.path.as_slice());
    let inputs = inputs(args)?;
    if inputs.is_empty() {
        let place = args.path.as_deref().map_or(".".into(), crate::config::shown);
        print_error(&format!("no Dockerfile found in {place}; name a file\n"));
        return Ok(exit::NOTHING_FOUND);
    }
    let mut outcomes = Vec::new();
    let mut unchanged = Vec::new();
    for input in &inputs {
        let settings = session.for_folder(&input.folder())?;
        let globs = [settings.config.verify_ignore.as_slice(), &args.ignore_path].concat();
        wants.ignore = ignored_paths(&globs).map_err(|e| format!("a path to ignore: {e}"))?;
        match one(args, input, &settings, &session, &wants)? {
            Some(found) => outcomes.extend(found),
            None => unchanged.push(input.shown.clone()),
        }
    }
    let out = match args.output_format {
        VerifyFormat::Json => render::json(&outcomes),
        VerifyFormat::Markdown => render::markdown(&outcomes),
        VerifyFormat::Text => render::text(&outcomes, is_coloured(color, &io::stdout()), args.look.verbose),
    };
    if !outcomes.is_empty() || args.output_format == VerifyFormat::Json {
        print(out.as_bytes());
    }
    for path in unchanged {
        print_error(&format!(
            "{path}: dfopt changes nothing at level {}, so there is nothing to verify\n",
            session.level()
        ));
    }
    let good = outcomes.iter().all(Outcome::is_equivalent);
    Ok(if good { exit::OK } else { exit::NOT_EQUIVALENT })
}

/// The Dockerfiles to prove: the one that is named, or those of a folder.
fn inputs(args: &args::Verify) -> Result<Vec<Input>, String> {
    let path = args.path.clone().unwrap_or_else(|| PathBuf::from("."));
    let found = repo::find(&[path], &[], &repo::absolute(Path::new(".")));
    match found.errors.first() {
        Some(error) => Err(error.clone()),
        None if args.against.is_some() && found.files.len() != 1 => {
            Err(format!("--against compares one Dockerfile, and there are {}; name it", found.files.len()))
        }
        None => Ok(found.files.iter().map(|path| commands::named(path)).collect()),
    }
}

/// Proves one file, for each target that is built of it. None: nothing is to be changed.
fn one(
    args: &args::Verify,
    input: &Input,
    settings: &Settings,
    session: &Session,
    wants: &Wants,
) -> Result<Option<Vec<Outcome>>, String> {
    let shown = &input.shown;
    let text = input.read(args.plan.max_file_size).map_err(|e| e.message)?;
    let mut ready =
        guard::run(|| run::prepare(input, text.clone(), settings, session)).map_err(|e| e.message)?;
    let plan = guard::run(|| ready.plan(settings)).map_err(|e| e.message)?;
    match &plan.skipped {
        Some(Skipped::Invalid(e)) => return Err(format!("{shown}:{}: {}", e.line, e.message)),
        // Two given files can be compared whatever dfopt thinks of them.
        Some(Skipped::Gate(g)) if args.against.is_none() => {
            return Err(format!("{shown}:{}: {}; {}", g.line, g.message, g.unlock));
        }
        _ => {}
    }
    let context = context_of(&ready, shown)?;
    let ignore = context.as_ref().and_then(|(c, _)| c.ignore_bytes().map(<[u8]>::to_vec));
    let before = Version { dockerfile: text, ignore: ignore.clone() };
    let (after, steps, predicted) = match &args.against {
        Some(path) => {
            let other = repo::read(path, args.plan.max_file_size).map_err(|e| e.to_string())?;
            (Version { dockerfile: other, ignore }, &[][..], None)
        }
        None if !plan.is_changed() => return Ok(None),
        None => (after(&plan, ignore), plan.steps.as_slice(), plan.rebuild),
    };
    let options: &Options = &ready.unit.options;
    if matches!(options.builder, Builder::Podman | Builder::Kaniko) {
        return Err(format!(
            "{shown}: verify builds with Docker alone; leave --builder out, or give buildkit or classic"
        ));
    }
    let targets: Vec<Option<String>> = match options.targets.as_slice() {
        [] => vec![None],
        targets => targets.iter().cloned().map(Some).collect(),
    };
    let mut outcomes = Vec::new();
    for target in targets {
        let job = Job {
            path: shown.clone(),
            level: if args.against.is_some() { Level::Safe } else { settings.level },
            before: before.clone(),
            after: after.clone(),
            steps,
            context: context.clone(),
            options,
            knowledge: settings.knowledge(),
            predicted,
            wants: wants.clone(),
        };
        let build = BuildOptions {
            target,
            build_args: options.build_args.clone(),
            platform: args.plan.platform.first().map(ToString::to_string),
            network: args.network.clone(),
            extra: args.build_options.clone(),
            classic: matches!(options.builder, Builder::Classic),
        };
        let mut progress = Progress { quiet: args.look.quiet, colour: io::stderr().is_terminal() };
        let outcome = Engine::find(build).and_then(|engine| verify(&job, &engine, &mut progress));
        outcomes.push(outcome.map_err(|failure| told(shown, failure))?);
    }
    Ok(Some(outcomes))
}

/// The context that is built, and where it lies. None: the file uses none.
fn context_of(ready: &run::Ready, shown: &str) -> Result<Option<(Arc<Context>, PathBuf)>, String> {
    match ready.built_context() {
        None if ready.uses_context => {
            Err(format!("{shown}: its build context is not known; give --context DIR"))
        }
        found => Ok(found),
    }
}

/// The text after, and the ignore file after: at most one is changed, the one in force.
fn after(plan: &Plan, ignore: Option<Vec<u8>>) -> Version {
    let changed = plan.files.first().map(|(_, text)| text.clone());
    Version { dockerfile: plan.after.clone(), ignore: changed.or(ignore) }
}

fn told(path: &str, failure: Failure) -> String {
    match failure {
        Failure::Interrupted => format!("{path}: broken off; what was made is removed"),
        Failure::Engine(message) => format!("{path}: {message}"),
        Failure::Build { tail } => {
            format!("{path}: the original does not build, so nothing can be proved:\n{}", tail.join("\n"))
        }
    }
}

/// What is going on, on standard error.
struct Progress {
    quiet: bool,
    colour: bool,
}

impl Watch for Progress {
    fn begins(&mut self, what: &str) {
        if !self.quiet {
            let (on, off) = if self.colour { ("\x1b[1m", "\x1b[0m") } else { ("", "") };
            print_error(&format!("{on}dfopt: {what}{off}\n"));
        }
    }

    fn line(&mut self, line: &str) {
        if !self.quiet && !line.is_empty() {
            let (on, off) = if self.colour { ("\x1b[2m", "\x1b[0m") } else { ("", "") };
            let _ = writeln!(io::stderr().lock(), "{on}  {line}{off}");
        }
    }
}
