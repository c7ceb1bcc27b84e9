//! The commands besides the run itself.

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use clap::CommandFactory;

use super::{
    advice,
    args::{Cli, Color, Command, GraphFormat, Plan},
    exit, guard,
    input::Input,
    is_coloured, print, print_error, run,
    settings::Session,
    verify,
};
use crate::{
    config::pass_name,
    facts::Facts,
    graph::Graph,
    passes::PASSES,
    pipeline::ordered,
    report::{self, File, Report, Status, graph::Format},
    syntax,
};

/// Runs a command; its exit code.
///
/// # Errors
/// What is wrong and what to do.
pub(super) fn dispatch(command: &Command, color: Color) -> Result<u8, String> {
    match command {
        Command::Passes => passes(),
        Command::Explain { pass } => explain(pass)?,
        Command::Why { place, pass, plan } => return why(place, pass.as_deref(), plan, color),
        Command::Graph { file, format, after, plan } => return graph(file, *format, *after, plan, color),
        Command::Verify(args) => return verify::dispatch(args, color),
        Command::Completions { shell } => {
            let mut out = Vec::new();
            clap_complete::generate(*shell, &mut Cli::command(), "dfopt", &mut out);
            print(&out);
        }
        Command::Man => {
            let mut out = Vec::new();
            clap_mangen::Man::new(Cli::command()).render(&mut out).map_err(|e| format!("the manual: {e}"))?;
            print(&out);
        }
    }
    Ok(exit::OK)
}

fn passes() {
    let mut out = String::new();
    for pass in ordered(PASSES) {
        let meta = pass.meta();
        out += &format!("{:<24} {:<7} {}\n", meta.id, meta.ceiling.to_string(), meta.summary);
    }
    print(out.as_bytes());
}

fn explain(name: &str) -> Result<(), String> {
    pass_name(name)?;
    if let Some(pass) = PASSES.iter().find(|p| p.meta().id == name) {
        let manual = pass.source().lines().map_while(|l| l.strip_prefix("//!"));
        let manual: String = manual.map(|l| format!("{}\n", l.strip_prefix(' ').unwrap_or(l))).collect();
        print(format!("# {name} ({})\n\n{manual}", pass.meta().ceiling).as_bytes());
    }
    Ok(())
}

fn why(place: &str, pass: Option<&str>, plan: &Plan, color: Color) -> Result<u8, String> {
    let usage = || format!("{place}: write FILE:LINE, such as Dockerfile:7");
    let (path, line) = place.rsplit_once(':').ok_or_else(usage)?;
    let line: u32 = line.parse().ok().filter(|l| *l > 0).ok_or_else(usage)?;
    if let Some(name) = pass {
        pass_name(name)?;
    }
    let session = Session::new(plan, &[]);
    let input = named(Path::new(path));
    let settings = session.for_folder(&input.folder())?;
    let entries = run::files(vec![run::one(&input, &settings, &session)]);
    let Some(file) = entries.into_iter().next() else { return Ok(exit::OK) };
    if file.status == Status::Error {
        return Ok(failed(file, color));
    }
    let last = file.before.split_inclusive(|b| *b == b'\n').count();
    if line as usize > last {
        return Err(format!("{path} has {}; name one of them", report::count(last, "line")));
    }
    let asked: Vec<&str> =
        ordered(PASSES).iter().map(|p| p.meta().id).filter(|id| pass.is_none_or(|p| p == *id)).collect();
    print(report::text::why(&file, line, &asked, is_coloured(color, &io::stdout())).as_bytes());
    Ok(exit::OK)
}

fn graph(path: &Path, format: GraphFormat, after: bool, plan: &Plan, color: Color) -> Result<u8, String> {
    let session = Session::new(plan, &[]);
    let input = named(path);
    let settings = session.for_folder(&input.folder())?;
    let text = match input.read(plan.max_file_size) {
        Ok(text) => text,
        Err(e) => return Ok(failed(File::failed(input.shown, Vec::new(), e), color)),
    };
    let format = match format {
        GraphFormat::Mermaid => Format::Mermaid,
        GraphFormat::Dot => Format::Dot,
        GraphFormat::Svg => Format::Svg,
        GraphFormat::Json => Format::Json,
    };
    let drawn = guard::run(|| {
        let mut ready = run::prepare(&input, text.clone(), &settings, &session);
        let text = if after { ready.plan(&settings).after } else { text.clone() };
        let file = Arc::new(syntax::parse(&text));
        if let Some(e) = file.error() {
            return Err(report::FileError::from(e));
        }
        let options = &ready.unit.options;
        let bare = Arc::new(Graph::of_build(&file, options));
        let mut graph = Graph::clone(&bare);
        Facts::derive(&file, &bare, settings.knowledge(), options).connect_files(&mut graph);
        Ok(report::graph::render(&file, &graph, format))
    });
    match drawn.and_then(|d| d) {
        Ok(drawing) => {
            print(drawing.as_bytes());
            Ok(exit::OK)
        }
        Err(e) => Ok(failed(File::failed(input.shown, text, e), color)),
    }
}

/// One file that was named.
pub(super) fn named(path: &Path) -> Input {
    let is_stdin = path.as_os_str() == "-";
    Input { shown: crate::config::shown(path), path: (!is_stdin).then(|| PathBuf::from(path)), is_stdin }
}

/// Says why a file was not understood; the exit code.
fn failed(mut file: File, color: Color) -> u8 {
    advice::add(&mut file);
    let report =
        Report { level: crate::pass::Level::Safe, files: vec![file], errors: Vec::new(), written: false };
    print_error(&report::text::errors(&report, is_coloured(color, &io::stderr())));
    if report.outcome().internal { exit::FAILED } else { exit::INCOMPLETE }
}
