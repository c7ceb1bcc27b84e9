//! Whether commands that ran in shells of their own can tell that one shell runs them all (semantics A.2.9 to A.2.14).
//!
//! Their order and text are compared elsewhere; this is about what a shell and its RUN keep beside files: where a program was
//! found, processes, what is mounted afresh, and the length that a shell takes.

use super::{Alignment, Fault, Pair, fault};
use crate::{
    knowledge::Class,
    shell::{Script, Simple, parse, special_reads},
    syntax::Joined,
};

use super::lower::{Exec, Op};

/// The longest argument of a program on Linux, in bytes (MAX_ARG_STRLEN without the NUL).
const MAX_ARGUMENT: usize = 131_071;
/// What each RUN gets anew from the builder.
const OF_ONE_RUN: [&[u8]; 6] =
    [b"/dev/shm", b"/proc/sys", b"/sys/", b"/etc/hosts", b"/etc/resolv.conf", b"/etc/hostname"];
/// What a shell is itself, so that no file is looked for.
const OF_THE_SHELL: [&str; 13] =
    ["echo", "printf", "test", "[", ":", "true", "false", "cd", "export", "set", "exit", "command", "type"];

pub(super) fn check(pair: &Pair, alignment: &Alignment) -> Result<(), Fault> {
    let (old, new) = (&pair.old_ops.ops, &pair.new_ops.ops);
    let execs: Vec<(&Exec, &Exec)> = alignment
        .kept
        .iter()
        .filter_map(|(i, j)| match (&old[*i], &new[*j]) {
            (Op::Exec(a), Op::Exec(b)) => Some((a, b)),
            _ => None,
        })
        .collect();
    for (k, pair_of) in execs.windows(2).enumerate() {
        let [(a, left), (b, right)] = pair_of else { continue };
        if left.at != right.at || a.at == b.at {
            continue;
        }
        let run = right.at;
        let side = |execs: &mut dyn Iterator<Item = &(&Exec, &Exec)>| -> Vec<Script> {
            let own = execs.filter(|(_, e)| e.at == run);
            own.filter_map(|(_, e)| read(pair, e)).collect()
        };
        let before = side(&mut execs[..=k].iter());
        let after = side(&mut execs[k + 1..].iter());
        // what a shell reads when it starts
        let state = pair.new.facts.before(run);
        let names = ["BASH_ENV", "ENV"].iter().filter_map(|n| state?.variable(n));
        for variable in names {
            let file = variable.value.as_deref().unwrap_or_default().trim_start_matches("~/");
            let written = |s: &Script| {
                file.is_empty() || memchr::memmem::find(&s.joined().text, file.as_bytes()).is_some()
            };
            if before.iter().any(written) {
                return fault(
                    "V3",
                    format!("each shell reads the file of ${} when it starts", variable.name),
                );
            }
        }
        if let Some(why) = notices(pair, &before, &after) {
            return fault("V3", format!("`{}` and `{}` in one shell: {why}", left.unit, right.unit));
        }
        if pair.new.file.instructions[run].rest().text.len() > MAX_ARGUMENT {
            return fault("V3", "the text of a RUN is longer than a shell takes");
        }
    }
    Ok(())
}

fn read(pair: &Pair, exec: &Exec) -> Option<Script> {
    let shell = pair.new.facts.run(exec.at)?.shell?;
    Some(parse(&Joined::of(exec.unit.as_bytes()), shell.dialect))
}

/// How what comes `after` could tell that it shares its RUN with what comes `before`.
fn notices(pair: &Pair, before: &[Script], after: &[Script]) -> Option<String> {
    for script in before.iter().chain(after) {
        if let Some(path) = OF_ONE_RUN.iter().find(|p| names_root(&script.joined().text, p)) {
            return Some(format!("each RUN has its own {}", String::from_utf8_lossy(path)));
        }
    }
    if before.iter().any(|s| starts_a_service(&s.joined().text)) {
        return Some("what a script of /etc/init.d starts would live on".to_owned());
    }
    if let Some(name) = after.first().and_then(special_reads) {
        return Some(format!("${name} tells of the shell"));
    }
    let commands = |scripts: &[Script]| -> Vec<Vec<String>> {
        let all = scripts.iter().flat_map(Script::commands);
        all.map(|c| words(c.simple)).filter(|w| !w.is_empty()).collect()
    };
    let (before, after) = (commands(before), commands(after));
    let starts = |argv: &&Vec<String>| {
        pair.knowledge.command(argv).class == Class::Daemon
            || argv[0] == "nohup"
            || argv[0].starts_with("/etc/init.d/")
    };
    if let Some(daemon) = before.iter().find(starts) {
        return Some(format!("what `{}` starts would live on", daemon[0]));
    }
    // a shell remembers where it found what it ran: so the program must have run before another took its place
    let again = |name: &str| {
        !name.contains('/') && !OF_THE_SHELL.contains(&name) && after.iter().any(|a| a[0] == name)
    };
    let name = before.iter().enumerate().find_map(|(i, ran)| {
        let name = ran[0].as_str();
        (again(name) && before[i..].iter().any(|argv| replaces(argv, name))).then_some(name)
    })?;
    Some(format!("`{name}` may be another program by then, which the shell would not look for again"))
}

/// Whether a script of `/etc/init.d` is told to start something, in quotes or not.
fn starts_a_service(text: &[u8]) -> bool {
    let text = String::from_utf8_lossy(text);
    text.split("/etc/init.d/").skip(1).any(|rest| {
        let verb = rest.split_whitespace().nth(1).unwrap_or_default();
        ["start", "restart", "reload", "force-reload"].iter().any(|v| verb.starts_with(v))
    })
}

/// Whether `path` stands in `text` as the start of a path.
fn names_root(text: &[u8], path: &[u8]) -> bool {
    let mut from = 0;
    while let Some(i) = memchr::memmem::find(&text[from..], path) {
        let before = (from + i).checked_sub(1).map(|b| text[b]);
        if !before.is_some_and(|b| b.is_ascii_alphanumeric() || matches!(b, b'/' | b'.' | b'_' | b'-' | b'}'))
        {
            return true;
        }
        from += i + 1;
    }
    false
}

/// The words of a command that are written out; of the others what is known is nothing.
fn words(simple: &Simple) -> Vec<String> {
    simple
        .words
        .iter()
        .map(|w| w.literal().unwrap_or_default().to_owned())
        .skip_while(String::is_empty)
        .collect()
}

/// Whether a command names a program as what it installs, or writes into a folder of programs.
fn replaces(argv: &[String], name: &str) -> bool {
    let stem = name.trim_end_matches(|c: char| c.is_ascii_digit() || c == '.');
    let means = |word: &String| {
        let last = word.rsplit('/').next().unwrap_or_default();
        let bare = last.split(['@', '=', '<', '>', '~', '[']).next().unwrap_or_default();
        bare == name || bare == stem || ["/bin", "/bin/", "/sbin", "/sbin/"].iter().any(|f| word.ends_with(f))
    };
    argv[0] == "corepack" || argv[1..].iter().any(means)
}
