//! Which RUNs of a stage are needless on a distroless image.

use crate::{
    facts::covers,
    knowledge::{Class, DistrolessImage, Paths},
    pass::{Input, Reason, Refusal},
    syntax::Keyword,
};

/// Why a RUN can go, in words.
pub(super) fn needless(
    input: &Input,
    at: usize,
    started: &[String],
    to: &DistrolessImage,
) -> Result<Vec<String>, Refusal> {
    let opaque = || {
        Refusal::new(
            Reason::ShellOpaque,
            "a RUN of the stage cannot be read, and there is no shell to run it",
            "move it to a build stage",
        )
    };
    let run = input.facts.run(at).ok_or_else(opaque)?;
    let script = run.understood().filter(|s| !s.has_heredoc()).ok_or_else(opaque)?;
    let mut why = Vec::new();
    for command in script.commands() {
        let simple = command.simple;
        let argv = input
            .facts
            .argv(at, simple)
            .filter(|argv| !argv.is_empty())
            .ok_or_else(|| left(input, at, "a command of it cannot be read"))?;
        if simple
            .redirects
            .iter()
            .any(|r| r.writes() && r.target.as_ref().and_then(|t| t.literal()) != Some("/dev/null"))
        {
            return Err(left(input, at, "it writes a file"));
        }
        why.push(reason(input, at, &argv, started, to).ok_or_else(|| {
            left(input, at, &format!("`{}` does more than the image makes needless", short(&argv)))
        })?);
    }
    why.dedup();
    why.retain(|w| !w.is_empty());
    Ok(why)
}

fn left(input: &Input, at: usize, why: &str) -> Refusal {
    let place = crate::graph::place(input.file, input.file.instructions[at].span);
    Refusal::new(
        Reason::NotProven,
        format!("the image could not run the RUN on {place}: {why}"),
        "move it to a build stage and COPY what it makes",
    )
}

fn short(argv: &[String]) -> String {
    let text = argv.join(" ");
    if text.chars().count() > 60 { format!("{}…", text.chars().take(59).collect::<String>()) } else { text }
}

/// Why a command is needless; empty: it only serves the others. None: it is not.
fn reason(
    input: &Input,
    at: usize,
    argv: &[String],
    started: &[String],
    to: &DistrolessImage,
) -> Option<String> {
    let distroless = input.knowledge.distroless();
    let swap = &distroless.swap;
    let name = argv[0].rsplit('/').next().unwrap_or(&argv[0]);
    let facts = input.knowledge.command(argv);
    if let Some(manager) = input.knowledge.package_manager(name) {
        let installs = argv.iter().any(|a| manager.install.contains(a));
        if !installs {
            return matches!(facts.class, Class::Index | Class::Cleanup | Class::Packages).then(String::new);
        }
        let operands = argv[1..].iter().filter(|a| !a.starts_with('-') && !manager.install.contains(a));
        let bare: Vec<&str> =
            operands.map(|a| a.split(['=', '<', '>', '~', '@']).next().unwrap_or(a)).collect();
        let known = !bare.is_empty()
            && bare.iter().all(|p| swap.packages.iter().any(|k| k == p) || distroless.replaces(to, p));
        return known.then(|| format!("the image has {}", bare.join(" and ")));
    }
    if swap.refresh.iter().any(|r| r == name) {
        return (!brings_certificates(input, at)).then(String::new);
    }
    match facts.class {
        // what the base or a package had is gone with it; what was copied would come back
        Class::Config | Class::Cleanup if name == "rm" => {
            deletes_nothing_copied(input, at, &facts.deletes).then(String::new)
        }
        Class::Config if is_account(name) => Some("the image has the user nonroot".to_owned()),
        Class::Config if name == "mkdir" => made_anyway(input, at, &facts.writes).then(String::new),
        Class::Config if name == "chmod" => {
            let programs = matches!(&facts.writes, Paths::Some(p) if p.iter().all(|p| started.contains(&absolute(input, at, p))));
            let adds =
                argv.get(1).is_some_and(|m| matches!(m.as_str(), "+x" | "a+x" | "755" | "0755" | "ugo+x"));
            (programs && adds && argv.len() == 3)
                .then(|| format!("{} is executable as its compiler made it", started.join(", ")))
        }
        _ => None,
    }
}

fn absolute(input: &Input, at: usize, path: &str) -> String {
    let cwd = input.facts.before(at).and_then(|s| s.cwd.clone()).unwrap_or_default();
    crate::facts::join(&cwd, path)
}

fn deletes_nothing_copied(input: &Input, at: usize, deletes: &Paths) -> bool {
    let (Paths::Some(paths), Some(stage)) = (deletes, input.graph.stage_of(at)) else { return false };
    let mut copies = (stage.body.start..at)
        .filter(|i| matches!(input.file.instructions[*i].keyword, Keyword::Copy | Keyword::Add));
    let all: Vec<String> =
        paths.iter().map(|p| absolute(input, at, p.trim_end_matches("/**").trim_end_matches('*'))).collect();
    !copies.any(|i| all.iter().any(|p| input.facts.writes(i).may_meet(p)))
}

/// Whether a command makes users or groups and nothing else.
fn is_account(name: &str) -> bool {
    matches!(name, "adduser" | "addgroup" | "useradd" | "groupadd")
}

/// Whether the folders that a command makes are made by a WORKDIR or COPY below it as well.
fn made_anyway(input: &Input, at: usize, writes: &Paths) -> bool {
    let Paths::Some(paths) = writes else { return false };
    let Some(stage) = input.graph.stage_of(at) else { return false };
    paths.iter().all(|p| {
        let path = absolute(input, at, p.trim_end_matches("/**"));
        (at + 1..stage.body.end).any(|i| {
            let ins = &input.file.instructions[i];
            let state = input.facts.before(i);
            let dst = match ins.keyword {
                Keyword::Workdir => Some(ins.first()),
                Keyword::Copy | Keyword::Add => ins.args().last().map(|a| a.value.as_str()),
                _ => None,
            };
            let dst = dst.and_then(|d| state?.absolute(d, input.file.escape));
            dst.is_some_and(|d| covers(&path, &d.text))
        })
    })
}

/// Whether the stage copies a certificate to where it would be added to the bundle.
fn brings_certificates(input: &Input, at: usize) -> bool {
    let Some(stage) = input.graph.stage_of(at) else { return true };
    stage.body.clone().any(|i| {
        let ins = &input.file.instructions[i];
        matches!(ins.keyword, Keyword::Copy | Keyword::Add)
            && ["ca-certificates", "anchors", "pki"]
                .iter()
                .any(|w| crate::facts::contains(ins.source(), w.as_bytes()))
            || ins.keyword == Keyword::Copy
                && ins.args().iter().any(|a| a.value.ends_with(".crt") || a.value.ends_with(".pem"))
    })
}
