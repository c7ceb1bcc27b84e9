//! The commands besides the run itself.

use clap::CommandFactory;

use super::{
    args::{Cli, Command},
    exit, print,
};
use crate::{config::pass_name, passes::PASSES, pipeline::ordered};

/// Runs a command; its exit code.
///
/// # Errors
/// What is wrong and what to do.
pub(super) fn run(command: &Command, _cli: &Cli) -> Result<u8, String> {
    match command {
        Command::Passes => passes(),
        Command::Explain { pass } => return explain(pass),
        Command::Completions { shell } => {
            let mut out = Vec::new();
            clap_complete::generate(*shell, &mut Cli::command(), "dfopt", &mut out);
            print(&out);
        }
        Command::Man => {
            let mut out = Vec::new();
            clap_mangen::Man::new(Cli::command()).render(&mut out).map_err(|e| e.to_string())?;
            print(&out);
        }
        Command::Why { .. } | Command::Graph { .. } => return Err("is not there yet".into()),
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

fn explain(name: &str) -> Result<u8, String> {
    pass_name(name)?;
    let pass = PASSES.iter().find(|p| p.meta().id == name).ok_or("no such pass")?;
    let manual = pass.source().lines().map_while(|l| l.strip_prefix("//!"));
    let manual: String = manual.map(|l| format!("{}\n", l.strip_prefix(' ').unwrap_or(l))).collect();
    print(format!("# {name} ({})\n\n{manual}", pass.meta().ceiling).as_bytes());
    Ok(exit::OK)
}
