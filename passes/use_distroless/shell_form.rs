//! A command in the shell form of which no word needs a shell: what the shell would start.

use super::{Stage, unsuited};
use crate::{
    edit::Span,
    facts::Command,
    pass::{Input, Refusal},
    shell::{self, Dialect},
    syntax::{Instruction, Joined, Keyword},
};

/// What has a meaning for a shell, in quotes too: so a reader sees at once that it needs none.
const SPECIAL: &str = "$`\\;&|<>()*?[]{}~#!\n";

/// The words of the command `keyword`; as they are where it is in the exec form.
pub(super) fn words(input: &Input, keyword: &str, command: &Command) -> Result<Vec<String>, Refusal> {
    if command.exec {
        return Ok(command.words.clone());
    }
    let text = command.words.join(" ");
    let refuse = |why: &str| {
        let message = format!("{keyword} is in the shell form, and needs a shell: {why}");
        Err(unsuited(message, "write it in the exec form, so that it needs none"))
    };
    if command.shell.as_slice() != ["/bin/sh", "-c"] {
        return refuse("the base image has one of its own");
    }
    if let Some(special) = text.chars().find(|c| SPECIAL.contains(*c)) {
        let special = if special == '`' { "a backquote".to_owned() } else { format!("`{special}`") };
        return refuse(&format!("it has {special}"));
    }
    let script = shell::parse(&Joined::of(text.as_bytes()), Dialect::Posix);
    let commands = script.commands();
    let ([one], true) = (commands.as_slice(), script.error().is_none()) else {
        return refuse("it is more than one command");
    };
    if let Some(assign) = one.simple.assigns.first() {
        return refuse(&format!("it sets {}", assign.name));
    }
    let plain = one.place == shell::Place::default() && one.simple.redirects.is_empty();
    let Some(mut words) = one.simple.argv_literal().filter(|w| plain && !w.is_empty()) else {
        return refuse("not all of its words are plain");
    };
    // `exec` asks for what the exec form does
    if words[0] == "exec" && words.get(1).is_some_and(|w| !w.starts_with('-')) {
        words.remove(0);
    }
    if input.knowledge.distroless().swap.builtins.contains(&words[0]) {
        return refuse(&format!("{} is a command of the shell itself", words[0]));
    }
    Ok(words)
}

/// ENTRYPOINT and CMD of a stage in the exec form, and whether one of them was not.
pub(super) fn as_exec(
    input: &Input,
    entrypoint: Option<&Command>,
    cmd: Option<&Command>,
) -> Result<(Option<Command>, Option<Command>, bool), Refusal> {
    let own = |c: Option<&Command>| c.is_some_and(|c| c.at.is_some() && !c.words.is_empty());
    let in_shell = |c: Option<&Command>| c.is_some_and(|c| c.at.is_some() && !c.exec);
    if in_shell(entrypoint) && own(cmd) {
        return Err(unsuited(
            "ENTRYPOINT is in the shell form, which ignores CMD: in the exec form CMD would become its arguments",
            "write ENTRYPOINT in the exec form, and remove what it does not need of CMD",
        ));
    }
    if in_shell(cmd) && own(entrypoint) {
        return Err(unsuited(
            "CMD is in the shell form, so that ENTRYPOINT gets a shell and its text as arguments",
            "write CMD in the exec form",
        ));
    }
    let exec = |keyword: &str, command: Option<&Command>| {
        let Some(command) = command else { return Ok(None) };
        let words = words(input, keyword, command)?;
        Ok(Some(Command { exec: true, words, shell: Vec::new(), ..command.clone() }))
    };
    Ok((exec("ENTRYPOINT", entrypoint)?, exec("CMD", cmd)?, in_shell(entrypoint) || in_shell(cmd)))
}

/// The instruction of the stage that says what is started: its last ENTRYPOINT, else its last CMD.
pub(super) fn starter<'a>(input: &Input<'a>, stage: &Stage, entrypoint: bool) -> Option<&'a Instruction> {
    let keyword = if entrypoint { Keyword::Entrypoint } else { Keyword::Cmd };
    let instructions = &input.file.instructions;
    stage.body.clone().rev().map(|i| &instructions[i]).find(|i| i.keyword == keyword)
}

/// The edits that write `ins`, in the shell form, as the list of `words`, which are its last ones but for the first that may be
/// another one. What stands between them stays: a command of many lines keeps its lines.
pub(super) fn written(ins: &Instruction, words: &[String]) -> Option<Vec<(Span, String)>> {
    let script = shell::parse(ins.rest(), Dialect::Posix);
    let commands = script.commands();
    let [one] = commands.as_slice() else { return None };
    let spans: Vec<Span> = one.simple.words.iter().map(|w| script.in_file(w.span)).collect();
    let kept = spans.get(spans.len().checked_sub(words.len())?..)?;
    let last = words.len().checked_sub(1)?;
    let edit = |(i, (word, span)): (usize, (&String, &Span))| {
        let (open, start) = if i == 0 { ("[", spans[0].start) } else { ("", span.start) };
        let close = if i == last { "]" } else { "," };
        let text = serde_json::to_string(word).unwrap_or_default();
        (Span { start, end: span.end }, format!("{open}{text}{close}"))
    };
    Some(words.iter().zip(kept).enumerate().map(edit).collect())
}
