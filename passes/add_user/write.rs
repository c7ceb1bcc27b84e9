//! The edits: where the user is made, what is given to it, and where USER stands.

use super::{Found, account::Account, needs_root};
use crate::{
    edit::{Edits, Span},
    knowledge::Class,
    pass::{Assumption, Effect, Finding, Input, Level, Reason, Refusal, Rewrite},
    shell,
    syntax::{Keyword, PieceKind},
};

/// The edits.
pub(super) fn rewrite(
    input: &Input,
    stage: usize,
    at: Span,
    account: &Account,
    found: Found,
) -> Result<Finding, Refusal> {
    let nl = input.file.line_end();
    let mut edits = Edits::default();
    let mut effects: Vec<Effect> = Vec::new();
    let (end, before_start) = user_place(input, stage);
    let mut last: Vec<String> = Vec::new();
    let chowns: Vec<String> = chowns(account, &found.owned);
    if !chowns.is_empty() && !has_shell(input, stage) {
        return Err(needs_root(
            format!(
                "the program writes {}, and the image has no shell to change its owner",
                found.owned[0].0
            ),
            "bring the folder by a COPY with --chown",
        ));
    }
    if !(account.commands.is_empty() && chowns.is_empty())
        && shell::shell_kind(&input.facts.stage(stage).end.shell).is_none()
    {
        return Err(Refusal::new(
            Reason::ShellOpaque,
            "the shell that RUN uses is not understood",
            "make the user by hand",
        ));
    }
    if !account.commands.is_empty() {
        let run = run_of(input, &account.commands);
        match creation_place(input, stage) {
            Some(anchor) => edits.dockerfile.insert(anchor, after(input, anchor, &run)),
            None => last.push(run),
        }
    }
    if !chowns.is_empty() {
        last.push(run_of(input, &chowns));
    }
    last.push(format!("{} {}", keyword(input, "USER"), account.spec));
    let block = last.join(nl);
    if before_start {
        let apart = input.file.pieces.iter().any(|p| p.span.end == end && p.kind == PieceKind::Blank);
        edits.dockerfile.insert(end, format!("{block}{nl}{}", if apart { nl } else { "" }));
    } else {
        edits.dockerfile.insert(end, after(input, end, &block));
    }
    effects
        .extend(account.commands.iter().chain(&chowns).map(|c| Effect::CommandAdded { command: c.clone() }));
    effects.extend(found.owned.iter().map(|(path, _)| Effect::Owner { path: path.clone() }));
    effects.push(Effect::User { stage });
    let mut evidence = vec![account.evidence.clone()];
    if !account.commands.is_empty() {
        evidence.push(format!(
            "USER is a number, by which Kubernetes can tell that it is not root ({})",
            account.spec
        ));
    }
    evidence.extend(found.evidence);
    let assumes = match input.context {
        Some(context) if context.is_guess() => vec![Assumption::ContextIsTheBuilt],
        _ => Vec::new(),
    };
    let message = match account.commands.is_empty() {
        true => format!("run as {} instead of root", account.spec),
        false => format!("make a user and run as {} instead of root", account.spec),
    };
    Ok(Finding::rewrite(at, message, Rewrite { level: Level::Review, evidence, assumes, effects, edits }))
}

fn chowns(account: &Account, owned: &[(String, bool)]) -> Vec<String> {
    let paths =
        |below: bool| owned.iter().filter(|(_, b)| *b == below).map(|(p, _)| p.as_str()).collect::<Vec<_>>();
    let one = |option: &str, paths: Vec<&str>| {
        (!paths.is_empty()).then(|| format!("chown {option}{} {}", account.owner, paths.join(" ")))
    };
    [one("", paths(false)), one("-R ", paths(true))].into_iter().flatten().collect()
}

fn has_shell(input: &Input, stage: usize) -> bool {
    input.facts.stage(stage).image.as_ref().is_some_and(|i| i.shell.is_some())
}

/// Where USER goes: before the first ENTRYPOINT or CMD that nothing but config follows (true), else to the end of the stage.
fn user_place(input: &Input, stage: usize) -> (u32, bool) {
    let node = &input.graph.stages()[stage];
    let works = |i: &usize| {
        let keyword = input.file.instructions[*i].keyword;
        matches!(
            keyword,
            Keyword::Run | Keyword::Copy | Keyword::Add | Keyword::Workdir | Keyword::User | Keyword::Shell
        )
    };
    let from = node.body.clone().rev().find(works).map_or(node.body.start, |i| i + 1);
    let starts =
        |i: &usize| matches!(input.file.instructions[*i].keyword, Keyword::Cmd | Keyword::Entrypoint);
    let Some(first) = (from..node.body.end).find(starts) else {
        let last = if node.body.is_empty() { node.from } else { node.body.end - 1 };
        return (input.file.instructions[last].full.end, false);
    };
    // comments that stand directly above belong to it
    let mut at = input.file.instructions[first].full.start;
    while let Some(piece) =
        input.file.pieces.iter().find(|p| p.span.end == at && p.kind == PieceKind::Comment)
    {
        at = piece.span.start;
    }
    (at, true)
}

/// Where the user is made: after the packages of the system, before the first COPY. None: with USER.
fn creation_place(input: &Input, stage: usize) -> Option<u32> {
    let node = &input.graph.stages()[stage];
    let is_copy = |i: &usize| matches!(input.file.instructions[*i].keyword, Keyword::Copy | Keyword::Add);
    let copy = node.body.clone().find(is_copy);
    let packages = |i: &usize| {
        let argv =
            |c: &shell::Simple| input.facts.argv(*i, c).or_else(|| c.name().map(|n| vec![n.to_owned()]));
        let commands = input.facts.commands(*i);
        let mut classes = commands
            .into_iter()
            .filter_map(argv)
            .filter(|a| !a.is_empty())
            .map(|a| input.knowledge.command(&a).class);
        classes.any(|c| matches!(c, Class::Packages | Class::Index))
    };
    let last = (node.body.start..copy.unwrap_or(node.body.end)).rev().find(packages);
    let anchor = last.or_else(|| copy.map(|c| c - 1))?;
    let state = if anchor == node.from { input.facts.before(anchor) } else { input.facts.after(anchor) };
    state.filter(|s| s.is_root() == Some(true) && shell::shell_kind(&s.shell).is_some())?;
    Some(input.file.instructions[anchor].full.end)
}

/// A block that goes behind what ends at `at`: a paragraph of its own where those around it are.
fn after(input: &Input, at: u32, block: &str) -> String {
    let nl = input.file.line_end();
    let text = input.file.text();
    let rest = &text[at as usize..];
    if !text[..at as usize].ends_with(b"\n") {
        return format!("{nl}{block}");
    }
    let blank = rest.starts_with(b"\n") || rest.starts_with(b"\r\n");
    format!("{}{block}{nl}", if blank { nl } else { "" })
}

fn run_of(input: &Input, commands: &[String]) -> String {
    let (escape, nl) = (input.file.escape as char, input.file.line_end());
    let glue = match input.file.leads_with_operator() {
        true => format!(" {escape}{nl}    && "),
        false => format!(" && {escape}{nl}    "),
    };
    format!("{} {}", keyword(input, "RUN"), commands.join(&glue))
}

/// A keyword in the case that the file's FROM has.
fn keyword(input: &Input, name: &str) -> String {
    let from = input.graph.stages().first().map(|s| &input.file.instructions[s.from]);
    let small = from.is_some_and(|f| f.source().first().is_some_and(u8::is_ascii_lowercase));
    if small { name.to_ascii_lowercase() } else { name.to_owned() }
}
