//! Move the final stage onto a distroless image, where all that it runs is seen to work there.
//!
//! ## Why
//! A program that needs no shell ships with one, and with a package manager and a hundred packages that scanners report and
//! nobody updates. A distroless image has CA certificates, time zones, a user that is not root, and what one language needs.
//!
//! ## Before
//! ```dockerfile
//! FROM golang:1.25 AS build
//! WORKDIR /src
//! COPY . .
//! RUN CGO_ENABLED=0 go build -o /server ./cmd/server
//!
//! FROM alpine:3.22
//! RUN apk add --no-cache ca-certificates
//! COPY --from=build /server /server
//! ENTRYPOINT ["/server"]
//! ```
//!
//! ## After
//! ```dockerfile
//! FROM golang:1.25 AS build
//! WORKDIR /src
//! COPY . .
//! RUN CGO_ENABLED=0 go build -o /server ./cmd/server
//!
//! FROM gcr.io/distroless/static-debian13:nonroot
//! COPY --from=build /server /server
//! ENTRYPOINT ["/server"]
//! ```
//!
//! ## Assumes
//! That the program starts no other one, which its sources show where they are known. It is always for review: there is no
//! shell to look into the container with, and where nothing speaks for root the user becomes nonroot.
//!
//! ## Refuses
//! A RUN that does more than the image makes needless; a shell form whose words need the shell, a script, a health check or a probe that needs a shell;
//! a program that is not seen to be linked statically; packages built for another C library; a base that brings more than
//! an operating system; a stage that builds what it runs; another stage, service or file that uses it in another way.

use crate::{
    edit::Span,
    facts::{Command, contains, covers},
    graph::{self, Base},
    knowledge::{DistrolessImage, Family, Image},
    pass::{Finding, Input, Level, Meta, Pass, Phase, Reason, Refusal},
    syntax::{Instruction, Keyword, words::references},
};

mod account;
mod copied;
mod inherited;
mod language;
mod libraries;
mod linkage;
mod runs;
mod shell_form;
mod without_c;
mod write;

use account::{services, user};
use copied::program;
use language::language;
use write::write;

pub struct UseDistroless;

impl Pass for UseDistroless {
    fn meta(&self) -> Meta {
        Meta {
            id: "use-distroless",
            summary: "Moves the final stage onto a distroless image: static programs, Java archives and Node.js apps that need no shell",
            phase: Phase::Base,
            after: &[],
            ceiling: Level::Review,
            rules: &[],
        }
    }

    fn source(&self) -> &'static str {
        include_str!("use_distroless.rs")
    }

    fn run(&self, input: &Input<'_>) -> Vec<Finding> {
        let Some(last) = input.graph.stages().last() else { return Vec::new() };
        let facts = input.facts.stage(last.index);
        let done = |i: &Image| {
            matches!(i.family, Family::Distroless | Family::Scratch)
                || i.package_manager.as_deref() == Some("none")
        };
        if matches!(last.base, Base::Scratch) || facts.image.as_deref().is_some_and(done) {
            return Vec::new();
        }
        let at = input.file.instructions[last.from].span;
        vec![plan(input, last).unwrap_or_else(|refusal| Finding::refuse(at, refusal))]
    }
}

/// The stage that is moved.
pub(crate) struct Stage {
    index: usize,
    from: usize,
    body: std::ops::Range<usize>,
    /// What the container runs.
    argv: Vec<String>,
    /// Whether a shell starts it: then it is written anew.
    by_shell: bool,
    /// Where its COPYs put things.
    destinations: Vec<String>,
}

/// What it is moved onto.
struct Target<'a> {
    name: &'a str,
    image: &'a DistrolessImage,
    /// The program that is started, if the stage copies it.
    program: Option<String>,
    evidence: Vec<String>,
    edits: Vec<(Span, String)>,
    entrypoint_changes: bool,
    /// Whether it copies folders that it may write to.
    writes_beside: bool,
}

fn plan(input: &Input, last: &graph::Stage) -> Result<Finding, Refusal> {
    let image = base(input, last)?;
    let (entrypoint, cmd, by_shell) = started(input, last)?;
    let own = |c: &Option<Command>| {
        c.as_ref().filter(|c| c.at.is_some()).map(|c| c.words.clone()).unwrap_or_default()
    };
    let argv: Vec<String> = own(&entrypoint).into_iter().chain(own(&cmd)).collect();
    let stage = Stage {
        index: last.index,
        from: last.from,
        body: last.body.clone(),
        argv,
        by_shell,
        destinations: destinations(input, last)?,
    };
    health(input, &stage)?;
    deployment(input, &stage, entrypoint.as_ref().is_some_and(|e| e.at.is_some()))?;
    let swap = &input.knowledge.distroless().swap;
    let runtime = swap.runtimes.iter().find(|r| r.images.contains(&image.name));
    // a program of its own says more about why not than a RUN does
    let target = match runtime {
        Some(runtime) => language(input, &stage, &image, runtime, &entrypoint)?,
        None => program(input, &stage, &image, &entrypoint)?,
    };
    variables(input, &stage, &image, target.image)?;
    let mut removed = Vec::new();
    let mut evidence = target.evidence.clone();
    if stage.by_shell {
        evidence.push(
            "its words need no shell: started without one the program is process 1 itself, and gets the signals that stop the container"
                .into(),
        );
        if entrypoint.as_ref().is_some_and(|e| e.at.is_some()) {
            evidence.push("arguments of `docker run`, which the shell ignored, are now given to it".into());
        }
    }
    for at in stage.body.clone().filter(|i| input.file.instructions[*i].keyword == Keyword::Run) {
        let why = runs::needless(input, at, target.program.as_slice(), target.image)?;
        removed.push(at);
        evidence.extend(why);
    }
    let user = user(input, &stage, target.writes_beside)?;
    write(input, &stage, &image, target, &removed, evidence, user)
}

/// What the stage starts from, if it is an image that can be left.
fn base(input: &Input, last: &graph::Stage) -> Result<Image, Refusal> {
    let distroless = input.knowledge.distroless();
    let shared = |message: String| {
        Refusal::new(Reason::StageShared, message, "give the image that ships a stage of its own")
    };
    let root = inherited::root(input, last)?;
    let facts = input.facts.stage(last.index);
    if !facts.is_target {
        return Err(shared("the build stops at another stage: how the last one is used is not known".into()));
    }
    if let Some(by) = input.options.deployment.used_as_base_by.first() {
        return Err(shared(format!("{by} builds on it, and may need its shell")));
    }
    let unknown =
        |message: &str| Refusal::new(Reason::ImageUnknown, message, "use an image that the catalogue has");
    let Base::Image { reference, .. } = &root.base else {
        return Err(Refusal::new(
            Reason::VariableUnresolved,
            "the base image has no known name",
            "give its ARG a default",
        ));
    };
    let image = facts.image.as_deref().ok_or_else(|| {
        unknown(&format!("{reference} is not in the catalogue: what it brings is not known"))
    })?;
    if facts.windows {
        return Err(Refusal::new(
            Reason::Windows,
            "the image is Windows",
            "nothing: distroless images are Linux",
        ));
    }
    let swap = &distroless.swap;
    let known = swap.plain.contains(&image.name)
        || swap.compilers.iter().any(|c| c.images.contains(&image.name))
        || swap.runtimes.iter().any(|r| r.images.contains(&image.name));
    if !known {
        return Err(Refusal::new(
            Reason::ImageUnknown,
            format!(
                "{} brings more than an operating system, and distroless has nothing like it",
                image.name
            ),
            "start from a plain system image, if the program needs nothing else of it",
        ));
    }
    // `arm32v7/alpine` is alpine of one architecture
    let written = reference.split(['@', ':']).next().unwrap_or_default();
    let prefix = written.strip_suffix(&image.name).unwrap_or_default().trim_end_matches('/');
    let chooses = !prefix.is_empty() && !prefix.contains('.') && prefix != "library";
    if chooses {
        return Err(unknown(&format!("the prefix {prefix}/ may choose an architecture")));
    }
    if image.onbuild || image.server || !image.volumes.is_empty() {
        return Err(unknown("the base image has triggers, volumes or a server of its own"));
    }
    Ok(image.clone())
}

fn unsuited(message: impl Into<String>, unlock: &str) -> Refusal {
    Refusal::new(Reason::EntrypointUnsuited, message, unlock)
}

/// ENTRYPOINT and CMD, if a container without a shell can run them.
fn started(input: &Input, last: &graph::Stage) -> Result<(Option<Command>, Option<Command>, bool), Refusal> {
    for at in last.body.clone() {
        let ins = &input.file.instructions[at];
        if matches!(ins.keyword, Keyword::Shell | Keyword::Onbuild) {
            let message = format!("{} has no meaning without a shell", ins.keyword.name());
            return Err(Refusal::new(Reason::NotProven, message, "remove it, if nothing needs it"));
        }
    }
    let config = &input.facts.stage(last.index).config;
    let own = |c: &Option<Command>| c.as_ref().is_some_and(|c| c.at.is_some() && !c.words.is_empty());
    if !own(&config.entrypoint) && !own(&config.cmd) {
        return Err(unsuited("it starts what its base image starts", "say in ENTRYPOINT what it runs"));
    }
    shell_form::as_exec(input, config.entrypoint.as_ref(), config.cmd.as_ref())
}

fn destinations(input: &Input, last: &graph::Stage) -> Result<Vec<String>, Refusal> {
    let mut out = Vec::new();
    for at in last.body.clone() {
        let ins = &input.file.instructions[at];
        if !matches!(ins.keyword, Keyword::Copy | Keyword::Add) {
            continue;
        }
        let dst =
            ins.args().last().and_then(|d| input.facts.before(at)?.absolute(&d.value, input.file.escape));
        let Some(dst) = dst else {
            return Err(Refusal::new(
                Reason::VariableUnresolved,
                "where a COPY puts its files is not known",
                "give the variable a default",
            ));
        };
        if ["/etc/passwd", "/etc/group"].iter().any(|f| covers(&dst.text, f)) && ins.flag("from").is_some() {
            let names = ins.args().iter().any(|a| a.value.contains("passwd") || a.value.contains("group"));
            if names || dst.text != "/etc" && covers("/etc", &dst.text) {
                return Err(Refusal::new(
                    Reason::OwnerUnknown,
                    "it brings users of its own",
                    "use the users of the image, or numbers",
                ));
            }
        }
        out.push(dst.text);
    }
    Ok(out)
}

/// No health check that needs a shell, or a program that is not there.
fn health(input: &Input, stage: &Stage) -> Result<(), Refusal> {
    let mut checks =
        stage.body.clone().map(|i| &input.file.instructions[i]).filter(|i| i.keyword == Keyword::Healthcheck);
    let Some(check) = checks.next_back() else { return Ok(()) };
    let words: Vec<&str> = check.args().iter().map(|a| a.value.as_str()).collect();
    match words.as_slice() {
        ["NONE"] => Ok(()),
        ["CMD", program, ..] if check.is_exec() && is_started(stage, program) => Ok(()),
        _ if !check.is_exec() => Err(unsuited(
            "HEALTHCHECK runs in a shell, and there is none",
            "let the program check itself, in the exec form",
        )),
        _ => Err(unsuited("HEALTHCHECK runs a program that the image lacks", "let the program check itself")),
    }
}

fn is_started(stage: &Stage, program: &str) -> bool {
    stage.argv.first().is_some_and(|p| p == program)
}

/// How the repository runs the image, where that names programs.
fn deployment(input: &Input, stage: &Stage, has_entrypoint: bool) -> Result<(), Refusal> {
    for service in services(input) {
        let gives = service.entrypoint.is_none() && service.command.as_ref().is_some_and(|c| !c.is_empty());
        if stage.by_shell && has_entrypoint && gives {
            return Err(unsuited(
                format!(
                    "{} gives arguments, which the shell of ENTRYPOINT ignores and the program would not",
                    service.by
                ),
                "write ENTRYPOINT in the exec form",
            ));
        }
        let own = |words: &Option<Vec<String>>| {
            words.as_ref().is_none_or(|w| w.first().is_none_or(|p| is_started(stage, p)))
        };
        if !own(&service.entrypoint) {
            return Err(unsuited(
                format!("{} starts another program in it", service.by),
                "let it start the image's own program",
            ));
        }
        if !own(&service.command) && (!has_entrypoint || service.entrypoint.is_some()) {
            return Err(unsuited(
                format!("{} starts another program in it", service.by),
                "let it start the image's own program",
            ));
        }
        if let Some(hook) = service.hooks.iter().find(|h| h.first().is_some_and(|p| !is_started(stage, p))) {
            return Err(unsuited(
                format!("{} runs `{}` in it, which the image lacks", service.by, hook[0]),
                "let the program do what it does",
            ));
        }
        if service.synced {
            return Err(unsuited(
                format!(
                    "{} puts files into the running container, by programs that the image lacks",
                    service.by
                ),
                "build the image anew instead",
            ));
        }
        let probe = service.probe.as_deref().unwrap_or_default();
        let probe = probe.strip_prefix(&["CMD".to_owned()]).unwrap_or(probe);
        if probe.first().is_some_and(|p| p != "NONE" && !is_started(stage, p)) {
            return Err(unsuited(
                format!("{} checks it with a program that the image lacks", service.by),
                "probe it over the network",
            ));
        }
    }
    Ok(())
}

fn is_copy(input: &Input, at: usize) -> bool {
    matches!(input.file.instructions[at].keyword, Keyword::Copy | Keyword::Add)
}

/// The sources of the program start no other one, as far as they are known.
fn starts_none(
    input: &Input,
    extensions: &[String],
    texts: &[String],
    evidence: &mut Vec<String>,
) -> Result<(), Refusal> {
    match input.context {
        Some(context) => match linkage::starts_programs(context, extensions, texts) {
            Some(path) => Err(Refusal::new(
                Reason::NotProven,
                format!("{path} may start other programs or use a desktop, which the image lacks"),
                "check what it starts, and move to distroless by hand",
            )),
            None => {
                evidence.push(format!("no source in the build context uses {}", texts.join(", ")));
                Ok(())
            }
        },
        None => {
            evidence.push(
                "the sources are not known: whether the program starts other programs is for you to check"
                    .into(),
            );
            Ok(())
        }
    }
}

/// `keyword` in the letters in which the file writes them.
fn cased(keyword: &str, like: &Instruction) -> String {
    let small = like.detail().keyword_text.bytes().all(|b| b.is_ascii_lowercase());
    if small { keyword.to_lowercase() } else { keyword.to_owned() }
}

/// No instruction of the stage uses a variable that the old base sets.
fn variables(input: &Input, stage: &Stage, image: &Image, to: &DistrolessImage) -> Result<(), Refusal> {
    let kept = |name: &str| {
        name == "PATH"
            || input
                .knowledge
                .distroless()
                .env
                .iter()
                .chain(&to.env)
                .any(|e| e.split('=').next() == Some(name))
    };
    for at in stage.body.clone() {
        let ins = &input.file.instructions[at];
        if !contains(ins.source(), b"$")
            || matches!(ins.keyword, Keyword::Run | Keyword::Cmd | Keyword::Entrypoint | Keyword::Healthcheck)
        {
            continue;
        }
        let own: Vec<&str> = input.graph.variables(at).map(|(_, n)| n).collect();
        // the catalogue lists no variable whose value is a release's, such as NODE_VERSION
        let lost = |n: &String| !own.contains(&n.as_str()) && !kept(n);
        let text = String::from_utf8_lossy(&ins.rest().text).into_owned();
        if let Some(name) = references(&text, input.file.escape).into_iter().find(lost) {
            return Err(Refusal::new(
                Reason::VariableUnresolved,
                format!(
                    "{} uses {name}, which {} may set and distroless does not",
                    ins.keyword.name(),
                    image.name
                ),
                "set it in the stage",
            ));
        }
    }
    Ok(())
}
