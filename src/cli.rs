//! The command line: what is asked for, the files it is about, and the exit code. With [`crate::repo`] the only part that
//! touches files, environment and streams.

use std::{
    io::{self, IsTerminal, Write},
    process::ExitCode,
    sync::OnceLock,
};

use anstream::{AutoStream, ColorChoice};
use clap::Parser;

use crate::report::{self, Report, text::Look};

mod advice;
pub mod args;
mod commands;
mod guard;
mod input;
mod run;
mod settings;
mod verify;
mod wants;
mod write;

use args::{Cli, Color, Format};

/// dfopt's exit codes.
pub mod exit {
    /// Nothing to do, or all written.
    pub const OK: u8 = 0;
    /// Files differ from what would be written.
    pub const DIFFERS: u8 = 1;
    /// Usage, config or internal error.
    pub const FAILED: u8 = 2;
    /// No Dockerfile was found.
    pub const NOTHING_FOUND: u8 = 3;
    /// Some files were unreadable, not parsed, not written or had a step rolled back; the rest is done.
    pub const INCOMPLETE: u8 = 4;
    /// verify: the images differ.
    pub const NOT_EQUIVALENT: u8 = 5;
}

/// Runs the program.
#[must_use]
pub fn main() -> ExitCode {
    guard::install();
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(e) => {
            // Nothing can be said where standard output is closed.
            let _ = e.print();
            return ExitCode::from(if e.use_stderr() { exit::FAILED } else { exit::OK });
        }
    };
    let color = cli.run.look.color;
    let work = || match &cli.command {
        None => run(&cli.run),
        Some(command) => commands::dispatch(command, color),
    };
    let result = guard::run(work).unwrap_or_else(|e| Err(e.message));
    let unprinted = UNPRINTED.get().map(|why| format!("standard output cannot be written: {why}"));
    let code = result.and_then(|code| unprinted.map_or(Ok(code), Err)).unwrap_or_else(|message| {
        let title = annotate_snippets::Level::ERROR.primary_title(message.as_str());
        let renderer = if is_coloured(color, &io::stderr()) {
            annotate_snippets::Renderer::styled()
        } else {
            annotate_snippets::Renderer::plain()
        };
        print_error(&(renderer.render(&[annotate_snippets::Group::with_title(title)]) + "\n"));
        exit::FAILED
    });
    ExitCode::from(code)
}

/// Plans, shows and, if asked to, writes.
fn run(args: &args::Run) -> Result<u8, String> {
    let format =
        args.output_format.unwrap_or(if io::stdout().is_terminal() { Format::Text } else { Format::Diff });
    let session = settings::Session::new(&args.plan, &args.paths);
    let (inputs, errors) = input::collect(args, &session)?;
    let found = inputs.len();
    let inputs = input::changed(args, inputs)?;
    if inputs.is_empty() && errors.is_empty() {
        if format == Format::Json {
            let report =
                Report { level: session.level(), files: Vec::new(), errors: Vec::new(), written: false };
            print(report::json::render(&report, args.unified).as_bytes());
        }
        if found > 0 {
            if !args.look.quiet {
                print_error(&format!("none of {} has changed\n", report::count(found, "Dockerfile")));
            }
            return Ok(exit::OK);
        }
        let paths: Vec<String> = args.paths.iter().map(|p| crate::config::shown(p)).collect();
        let place = if paths.is_empty() { ".".into() } else { paths.join(", ") };
        print_error(&format!("no Dockerfile found in {place}; name a file, or another folder\n"));
        return Ok(exit::NOTHING_FOUND);
    }
    let planned = run::all(args, inputs, &session)?;
    let stdin = args.write.then(|| planned.iter().find(|p| p.is_stdin).map(|p| p.text().to_vec())).flatten();
    let files = if args.write { write::all(planned, args.allow_dirty) } else { run::files(planned) };
    let report = Report { level: session.level(), files, errors, written: args.write };
    let look = Look {
        unified: args.unified,
        colour: is_coloured(args.look.color, &io::stdout()),
        show_refusals: args.show_refusals,
        quiet: args.look.quiet,
        verbose: args.look.verbose,
    };
    if format != Format::Json {
        print_error(&report::text::errors(&report, is_coloured(args.look.color, &io::stderr())));
    }
    let out = match (format, stdin) {
        (Format::Json, _) => report::json::render(&report, args.unified).into_bytes(),
        (_, Some(text)) => text,
        _ if args.check => report::text::names(&report, look).into_bytes(),
        // A diff that was not asked for would be noise once the files are written.
        (Format::Diff, _) if args.write && args.output_format.is_none() => Vec::new(),
        (Format::Diff, _) => report::diff::render(&report, args.unified, look.colour),
        (Format::Text, _) if args.write && args.output_format.is_none() => {
            report::text::names(&report, look).into_bytes()
        }
        (Format::Text, _) => report::text::render(&report, look).into_bytes(),
    };
    print(&out);
    Ok(code(args, &report))
}

fn code(args: &args::Run, report: &Report) -> u8 {
    let outcome = report.outcome();
    match () {
        () if outcome.internal => exit::FAILED,
        () if outcome.incomplete => exit::INCOMPLETE,
        () if outcome.changed && !args.write && !args.exit_zero => exit::DIFFERS,
        () => exit::OK,
    }
}

/// Whether output to `stream` is coloured.
fn is_coloured<S: anstream::stream::RawStream>(when: Color, stream: &S) -> bool {
    match when {
        Color::Always => true,
        Color::Never => false,
        Color::Auto => AutoStream::choice(stream) != ColorChoice::Never,
    }
}

/// Why standard output could not be written.
static UNPRINTED: OnceLock<io::Error> = OnceLock::new();

/// Writes to standard output. A reader that went away wants no more: that is no error.
fn print(bytes: &[u8]) {
    let mut out = io::stdout().lock();
    match out.write_all(bytes).and_then(|()| out.flush()) {
        Err(e) if e.kind() != io::ErrorKind::BrokenPipe => _ = UNPRINTED.set(e),
        _ => {}
    }
}

fn print_error(text: &str) {
    let _ = io::stderr().lock().write_all(text.as_bytes());
}
