//! What keeps a RUN from sharing a shell with those after it, and how it must be written to do so.

use crate::{
    facts::{Run, contains},
    knowledge::Class,
    pass::{Input, Reason, Refusal},
    shell::{
        Leak, Node, NodeKind, Op, Script, Simple, Terminator, Word, background, leak_into, may_set_errexit,
        special_reads,
    },
};

use super::gain::Step;

/// The longest text that `sh -c` takes, in bytes (MAX_ARG_STRLEN without the NUL; measured with Docker 26.1).
const MAX_TEXT: usize = 131_071;

pub(super) fn state(message: impl Into<String>, unlock: impl Into<String>) -> Refusal {
    Refusal::new(Reason::StateLeaks, message, unlock)
}

/// How a RUN must be written as an element of the joined list, so that it stays one unit and nothing of it reaches the `later` ones.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Wrap {
    Bare,
    /// Bare, without the `;` that ends it.
    WithoutEnd,
    Braces,
    Subshell,
}

pub(super) fn wrap(input: &Input, run: usize, later: &[usize]) -> Result<Wrap, Refusal> {
    let read = |run: usize| input.facts.run(run).and_then(Run::understood);
    let Some(script) = read(run) else { return Ok(Wrap::Bare) };
    let errexit = input.facts.run(run).and_then(|r| r.shell).is_some_and(|s| s.errexit);
    let last = later.is_empty();
    let list = script.and_list();
    let nodes: Vec<_> = script.statements().iter().flat_map(|s| s.list.nodes()).collect();
    let exported = |name: &str| input.facts.before(run).is_none_or(|s| s.variable(name).is_some());
    let behind = |n: &Node| &script.joined().text[n.span.end as usize..];
    let leaks = || {
        nodes.iter().enumerate().filter_map(|(i, n)| {
            let later = later.iter().filter_map(|r| read(*r)).map(|s| &s.joined().text[..]);
            let rest: Vec<&[u8]> = std::iter::once(behind(n)).chain(later).collect();
            leak_into(n, &rest, &exported).map(|l| (i, l))
        })
    };
    if errexit && !is_plain_list(script) {
        return Err(state(
            "the shell runs with -e, which has no effect on a list before `&&`",
            "write both RUNs as lists joined by `&&`",
        ));
    }
    // a subshell hides `set -e` from the shell around it, but not from what `&&` does to it
    let sets = |c: &crate::shell::Command| c.simple.name() == Some("set") && !c.place.current_shell();
    if !last && script.commands().iter().any(sets) {
        return Err(state(
            "`set` in a subshell has no effect on the left of `&&`",
            "join its commands by `&&`",
        ));
    }
    let Some((first, what)) = leaks().next() else {
        return Ok(match &list {
            Some(_) => Wrap::Bare,
            None if ends_in_vain(script) => Wrap::WithoutEnd,
            None => Wrap::Braces,
        });
    };
    let only_at_the_end = list.is_some() && first + 1 == nodes.len();
    if only_at_the_end && last {
        return Ok(Wrap::Bare);
    }
    if let Leak::LoopVariable(name) = &what
        && leak_into(nodes[first], &[behind(nodes[first])], &exported).is_none()
    {
        return Err(state(
            format!("a later RUN reads `{name}`, which a loop of the first RUN sets"),
            "give one of them another name",
        ));
    }
    if what == Leak::Expansion {
        return Err(state(
            "a command is named by a variable, and could change the state of the shell",
            "write the command out",
        ));
    }
    let what = what.text();
    if !last && may_set_errexit(script) && !crate::shell::sets_errexit(script) {
        let what =
            leaks().map(|l| l.1).find(|l| matches!(l, Leak::Source | Leak::Eval)).map_or(what, |l| l.text());
        return Err(state(
            format!(
                "the first RUN {what}, which may turn on `-e`, and that has no effect on the left of `&&`"
            ),
            "do it at the start of a list joined by `&&`",
        ));
    }
    if errexit || (!last && crate::shell::sets_errexit(script)) {
        return Err(state(
            format!("the first RUN {what}, and `-e` has no effect on the left of `&&`"),
            "join its commands by `&&` in the place of `set -e`",
        ));
    }
    // it would count as several commands outside of a subshell and as one within
    if only_at_the_end && nodes.len() > 1 {
        return Err(state(
            format!("the end of the first RUN {what}, which would reach the second"),
            "remove it: it has no effect after its RUN",
        ));
    }
    // nothing comes after the last one, so what it leaves behind is lost with the shell
    Ok(if last && list.is_none() && script.statements().len() > 1 { Wrap::Braces } else { Wrap::Subshell })
}

/// A long script in brackets is no better to read than two RUNs: whoever wrote it should join it by `&&` first.
pub(super) fn stays_readable(input: &Input, run: usize, wrap: Wrap) -> Result<(), Refusal> {
    let text = input.file.instructions[run].source();
    let is_list = input.facts.run(run).and_then(Run::understood).is_some_and(|s| s.and_list().is_some());
    let (most, lines) = if is_list { (1000, 12) } else { (200, 5) };
    let long = text.len() > most || text.split(|b| *b == b'\n').count() > lines;
    match wrap {
        Wrap::Subshell if long => Err(state(
            "a RUN changes the state of its shell, and is too long for a subshell that one can still read",
            "write it as a list joined by `&&` that leaves nothing behind, with WORKDIR in the place of `cd`",
        )),
        Wrap::Braces if long => Err(Refusal::new(
            Reason::NoGain,
            "a RUN is no list joined by `&&`, and is too long for braces that one can still read",
            "join its commands by `&&`, if none of them may fail",
        )),
        _ => Ok(()),
    }
}

/// Whether the script is one list joined by `&&` but for a `;` at its end.
fn ends_in_vain(script: &Script) -> bool {
    match script.statements() {
        [one] => one.terminator == Terminator::Semicolon && one.list.rest.iter().all(|r| r.op == Op::And),
        _ => false,
    }
}

/// One list of simple commands and pipelines, joined by `&&`.
pub(super) fn is_plain_list(script: &Script) -> bool {
    let plain = |k: &NodeKind| matches!(k, NodeKind::Simple(_) | NodeKind::Pipeline { .. });
    script.and_list().is_some_and(|list| list.iter().all(|n| plain(&n.kind)))
}

/// A.2.10: what the first RUN starts and leaves running is dead in the second, and would not be in one RUN.
pub(super) fn processes_end(step: &Step, script: &Script) -> Result<(), Refusal> {
    let daemon = step.classes.contains(&Class::Daemon);
    let text = &script.joined().text;
    let option =
        |w: &Word| w.literal().is_some_and(|l| l.starts_with('-') && (l.contains("daemon") || l == "--now"));
    let options = script.commands().iter().any(|c| c.simple.words.iter().any(option));
    let starts = options || contains(text, b"nohup ") || starts_service(text);
    if daemon || starts || background(script).is_some() {
        return Err(Refusal::new(
            Reason::BackgroundProcess,
            "the first RUN leaves a process running, which ends with its RUN today",
            "start it in the RUN that needs it",
        ));
    }
    Ok(())
}

/// Whether `text` runs a script of `/etc/init.d` to start something.
fn starts_service(text: &[u8]) -> bool {
    let folder = b"/etc/init.d/";
    memchr::memmem::find_iter(text, folder).any(|i| {
        let mut words = text[i + folder.len()..].split(u8::is_ascii_whitespace).filter(|w| !w.is_empty());
        let verb = words.nth(1).unwrap_or_default();
        [&b"start"[..], b"restart", b"force-reload", b"reload"].iter().any(|v| verb.starts_with(v))
    })
}

/// Paths that a builder mounts afresh for each RUN (A.2.12).
const PER_RUN: [&[u8]; 6] =
    [b"/dev/shm", b"/proc/sys", b"/sys/", b"/etc/hosts", b"/etc/resolv.conf", b"/etc/hostname"];
/// Files that a shell reads when it starts (A.2.11).
const START_FILES: [&[u8]; 6] =
    [b"/etc/profile", b".bashrc", b".profile", b"/etc/environment", b".bash_profile", b"bash.bashrc"];

/// Whether `text` has a path that begins with `path`.
fn names(text: &[u8], path: &[u8]) -> bool {
    let within = |b: &u8| b.is_ascii_alphanumeric() || b"/._-}".contains(b);
    memchr::memmem::find_iter(text, path).any(|i| i == 0 || !within(&text[i - 1]))
}

/// Hidden ways by which the second RUN could tell that the first ran in its shell.
pub(super) fn nothing_is_noticed(
    input: &Input,
    (a, left): (usize, &Script),
    (b, right): (usize, &Script),
) -> Result<(), Refusal> {
    let order = |message: String, unlock: &str| Err(Refusal::new(Reason::OrderObservable, message, unlock));
    for (script, paths) in [(left, &PER_RUN[..]), (right, &PER_RUN[..])] {
        if let Some(path) = paths.iter().find(|p| names(&script.joined().text, p)) {
            let path = String::from_utf8_lossy(path);
            return order(
                format!("{path} is made afresh for each RUN"),
                "nothing: the second RUN would see another file",
            );
        }
    }
    let reads_start_files = input
        .facts
        .before(b)
        .is_some_and(|s| s.variable("BASH_ENV").is_some() || s.variable("ENV").is_some());
    if reads_start_files && START_FILES.iter().any(|f| contains(&left.joined().text, f)) {
        return order(
            "the shell reads a file at its start that the first RUN writes".into(),
            "unset BASH_ENV and ENV",
        );
    }
    if let Some(name) = special_reads(right) {
        return order(format!("the second RUN reads ${name}, which tells of its shell"), "do without it");
    }
    let user = input.facts.before(a).and_then(|s| s.user.clone()).unwrap_or_default();
    let changes_self = |c: &&Simple| {
        matches!(c.name(), Some("usermod" | "groupmod" | "gpasswd" | "addgroup" | "adduser"))
            && !user.is_empty()
            && c.words.iter().any(|w| w.literal() == Some(user.as_str()))
    };
    if input.facts.commands(a).iter().any(changes_self) {
        return order(
            "the groups of the current user change, which only a new RUN sees".into(),
            "change them before USER",
        );
    }
    if let Some(name) = replaced(input, &[a], b) {
        return Err(remembered(&name));
    }
    let n = left.joined().text.len() + right.joined().text.len();
    if n + 16 > MAX_TEXT {
        return order("together they are longer than a shell takes".into(), "nothing");
    }
    Ok(())
}

/// A.2.9: a program that RUN `b` runs by its bare name, as one of the `earlier` ones does, while one of these also names it as what
/// it installs, or moves something to a folder of programs: shells remember where they found a program.
pub(super) fn replaced(input: &Input, earlier: &[usize], b: usize) -> Option<String> {
    let commands = |run: &usize| input.facts.commands(*run);
    let runs: Vec<&str> = commands(&b).into_iter().filter_map(Simple::name).collect();
    let before: Vec<&Simple> = earlier.iter().flat_map(commands).collect();
    let hits = |word: &str, name: &str| {
        let last = word.rsplit('/').next().unwrap_or(word);
        let bare = last.split(['@', '=', '<', '>', '~', '[']).next().unwrap_or(last);
        bare == name || ["/bin", "/bin/", "/sbin", "/sbin/"].iter().any(|f| word.ends_with(f))
    };
    let replaces = |command: &Simple, name: &str| {
        let switches = matches!(command.name(), Some("update-alternatives" | "alternatives" | "corepack"));
        // pip3 and pip3.11 are pip's names too
        let stem = name.trim_end_matches(|c: char| c.is_ascii_digit() || c == '.');
        let mut words = command.words.iter().skip(1).filter_map(Word::literal);
        switches || words.any(|w| hits(w, name) || hits(w, stem))
    };
    // only what ran before it was replaced is remembered
    before.iter().enumerate().find_map(|(i, command)| {
        let name =
            command.name().filter(|n| runs.contains(n) && !n.contains('/') && !BUILTINS.contains(n))?;
        before[i..].iter().any(|c| replaces(c, name)).then(|| name.to_owned())
    })
}

pub(super) fn remembered(name: &str) -> Refusal {
    state(
        format!("an earlier RUN may replace `{name}`, and its shell would still run the old one"),
        format!("call the new {name} by its full path"),
    )
}

/// Programs that are part of every shell, so that no file is looked for.
const BUILTINS: [&str; 14] = [
    "echo", "printf", "test", "[", ":", "true", "false", "cd", "export", "set", "exit", "exec", "command",
    "type",
];
