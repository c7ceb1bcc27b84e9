//! What a RUN or ADD downloads: programs of which no text is known.

use super::files::chain;
use crate::{
    facts::covers,
    pass::Input,
    syntax::{Instruction, Keyword},
};

/// The line of the instruction that downloads something to where `path` lies, if one does.
pub(super) fn downloaded(input: &Input, stage: usize, path: &str) -> Option<u32> {
    let body = |s: usize| input.graph.stages()[s].body.clone();
    chain(input, stage).into_iter().flat_map(body).find_map(|at| {
        let ins = &input.file.instructions[at];
        let dirs = match ins.keyword {
            Keyword::Run => of_run(input, at),
            Keyword::Add => of_add(input, at, ins),
            _ => Vec::new(),
        };
        let around = |d: &String| d != "/" && d != "/tmp" && covers(d, path);
        dirs.iter().any(around).then_some(ins.lines.0)
    })
}

/// Folders and files that a RUN may download to: those that it names, else the working directory.
fn of_run(input: &Input, at: usize) -> Vec<String> {
    let signals = input.knowledge.signals();
    let commands: Vec<Vec<String>> = input
        .facts
        .commands(at)
        .iter()
        .filter_map(|c| input.facts.argv(at, c))
        .filter(|a| !a.is_empty())
        .collect();
    let name = |argv: &[String]| argv[0].rsplit('/').next().unwrap_or_default().to_owned();
    if !commands.iter().any(|c| signals.downloads(&name(c), c.get(1).map_or("", String::as_str))) {
        return Vec::new();
    }
    let absolute =
        |argv: &[String]| argv[1..].iter().filter(|w| w.starts_with('/')).cloned().collect::<Vec<_>>();
    let named: Vec<String> =
        commands.iter().flat_map(|c| absolute(c)).map(|w| crate::facts::clean(&w)).collect();
    if !named.is_empty() {
        return named;
    }
    input.facts.before(at).and_then(|s| s.cwd.clone()).into_iter().collect()
}

fn of_add(input: &Input, at: usize, ins: &Instruction) -> Vec<String> {
    let Some((dst, sources)) = ins.args().split_last() else { return Vec::new() };
    if !sources.iter().any(|s| s.value.contains("://")) {
        return Vec::new();
    }
    input
        .facts
        .before(at)
        .and_then(|s| s.absolute(&dst.value, input.file.escape))
        .map(|v| v.text)
        .into_iter()
        .collect()
}
