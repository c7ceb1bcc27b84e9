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
//! A RUN that does more than the image makes needless; a shell form, a script, a health check or a probe that needs a shell;
//! a program that is not seen to be linked statically; packages built for another C library; a base that brings more than
//! an operating system; a stage that builds what it runs; another stage, service or file that uses it in another way.

use crate::{
    edit::{Edits, Span},
    facts::{Command, contains, covers, join},
    graph::{self, Base},
    knowledge::{Compiler, DistrolessImage, Family, Image},
    pass::{Effect, Finding, Input, Level, Meta, Pass, Phase, Reason, Refusal, Rewrite},
    syntax::{Instruction, Keyword, PieceKind, words::references},
};

mod account;
mod language;
mod program;
mod runs;

use account::{services, user};
use language::language;

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
    let (entrypoint, cmd) = started(input, last)?;
    let own = |c: &Option<Command>| {
        c.as_ref().filter(|c| c.at.is_some()).map(|c| c.words.clone()).unwrap_or_default()
    };
    let argv: Vec<String> = own(&entrypoint).into_iter().chain(own(&cmd)).collect();
    let stage = Stage {
        index: last.index,
        from: last.from,
        body: last.body.clone(),
        argv,
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
    for at in stage.body.clone().filter(|i| input.file.instructions[*i].keyword == Keyword::Run) {
        let why = runs::needless(input, at, target.program.as_slice())?;
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
    if let Base::Stage(parent) = last.base {
        let name = input.graph.stages()[parent].name.clone().unwrap_or_else(|| parent.to_string());
        return Err(shared(format!("it starts from the stage {name}, which is more than an image")));
    }
    let facts = input.facts.stage(last.index);
    if !facts.is_target {
        return Err(shared("the build stops at another stage: how the last one is used is not known".into()));
    }
    if let Some(by) = input.options.deployment.used_as_base_by.first() {
        return Err(shared(format!("{by} builds on it, and may need its shell")));
    }
    let unknown =
        |message: &str| Refusal::new(Reason::ImageUnknown, message, "use an image that the catalogue has");
    let Base::Image { reference, .. } = &last.base else {
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
fn started(input: &Input, last: &graph::Stage) -> Result<(Option<Command>, Option<Command>), Refusal> {
    for at in last.body.clone() {
        let ins = &input.file.instructions[at];
        if matches!(ins.keyword, Keyword::Shell | Keyword::Onbuild) {
            let message = format!("{} has no meaning without a shell", ins.keyword.name());
            return Err(Refusal::new(Reason::NotProven, message, "remove it, if nothing needs it"));
        }
    }
    let config = &input.facts.stage(last.index).config;
    for (keyword, command) in [("ENTRYPOINT", &config.entrypoint), ("CMD", &config.cmd)] {
        let Some(command) = command.as_ref().filter(|c| c.at.is_some()) else { continue };
        if !command.exec {
            return Err(unsuited(
                format!("{keyword} is in the shell form, and there is no shell"),
                "write it in the exec form",
            ));
        }
    }
    let own = |c: &Option<Command>| c.as_ref().is_some_and(|c| c.at.is_some() && !c.words.is_empty());
    if !own(&config.entrypoint) && !own(&config.cmd) {
        return Err(unsuited("it starts what its base image starts", "say in ENTRYPOINT what it runs"));
    }
    Ok((config.entrypoint.clone(), config.cmd.clone()))
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

/// A stage that runs one program which it copies.
fn program<'a>(
    input: &Input<'a>,
    stage: &Stage,
    image: &Image,
    entrypoint: &Option<Command>,
) -> Result<Target<'a>, Refusal> {
    let distroless = input.knowledge.distroless();
    match entrypoint {
        Some(e) if e.at.is_some() || e.words.is_empty() => {}
        _ => {
            return Err(unsuited(
                format!("the entrypoint of {} would be gone, and what it does is not known", image.name),
                "say in ENTRYPOINT what it runs",
            ));
        }
    }
    let first = stage.argv.first().cloned().unwrap_or_default();
    let builds = stage.body.clone().filter(|i| input.file.instructions[*i].keyword == Keyword::Run);
    let compiles = |at: usize| {
        let commands = input.facts.commands(at);
        commands
            .iter()
            .filter_map(|c| c.name())
            .any(|n| distroless.swap.compilers.iter().any(|c| c.program == n))
    };
    if let Some(at) = builds.clone().find(|at| compiles(*at)) {
        let place = graph::place(input.file, input.file.instructions[at].span);
        return Err(Refusal::new(
            Reason::NotProven,
            format!("it is built in the stage that ships ({place}), which needs a shell"),
            "build in a stage of its own, and COPY the program from it",
        ));
    }
    let base = first.rsplit('/').next().unwrap_or_default();
    if distroless.swap.shells.iter().any(|s| s == base) {
        return Err(unsuited(
            format!("it starts {first}, and the image has neither a shell nor an init"),
            "start the program itself",
        ));
    }
    let paths = candidates(input, stage, &first)?;
    let copied = |path: &String| {
        stage.body.clone().any(|at| is_copy(input, at) && !program::placed(input, at, path).is_empty())
    };
    let Some(path) = paths.iter().find(|p| copied(p)) else {
        return Err(unsuited(
            format!("{first} is not copied into the image, and distroless has no such program"),
            "start the program itself",
        ));
    };
    if is_script(input, stage, path) {
        return Err(unsuited(
            format!("{first} is a script, and there is no shell to run it"),
            "start the program itself",
        ));
    }
    let proof = program::prove(input, stage.index, path)?;
    others(input, stage, path)?;
    let mut evidence = vec![proof.why.clone()];
    starts_none(input, &proof.compiler.sources, &proof.compiler.starts_programs, &mut evidence)?;
    suits(image, proof.compiler, &distroless.swap.plain)?;
    let (name, image) = distroless
        .images
        .iter()
        .find(|(_, i)| i.libc == crate::knowledge::Libc::Static)
        .ok_or_else(|| {
            Refusal::new(Reason::ImageUnknown, "the catalogue has no image for static programs", "add one")
        })?;
    Ok(Target {
        name,
        image,
        program: Some(path.clone()),
        evidence,
        edits: Vec::new(),
        entrypoint_changes: false,
        writes_beside: false,
    })
}

/// A toolchain's image is left only by what it was used for.
fn suits(image: &Image, compiler: &Compiler, plain: &[String]) -> Result<(), Refusal> {
    if plain.contains(&image.name) || compiler.images.contains(&image.name) {
        return Ok(());
    }
    Err(Refusal::new(
        Reason::ImageUnknown,
        format!("the program may need what {} brings", image.name),
        "start from a plain system image, if it needs nothing else",
    ))
}

fn is_copy(input: &Input, at: usize) -> bool {
    matches!(input.file.instructions[at].keyword, Keyword::Copy | Keyword::Add)
}

/// Where the program `name` may be: itself, or in the folders of PATH.
fn candidates(input: &Input, stage: &Stage, name: &str) -> Result<Vec<String>, Refusal> {
    if name.starts_with('/') {
        return Ok(vec![join("/", name)]);
    }
    let cwd = || input.facts.stage(stage.index).end.cwd.clone();
    if name.contains('/') {
        let cwd = cwd().ok_or_else(|| {
            unsuited(
                format!("{name} is relative to a folder that is not known"),
                "name the program by its whole path",
            )
        })?;
        return Ok(vec![join(&cwd, name)]);
    }
    let own =
        input.facts.stage(stage.index).config.env.iter().find(|(n, _)| n == "PATH").map(|(_, v)| v.clone());
    let image =
        input.knowledge.distroless().env.iter().find_map(|e| e.strip_prefix("PATH=")).unwrap_or_default();
    let of_image = image
        .split(':')
        .filter(|_| own.as_deref().is_none_or(|o| o.contains("$PATH") || o.contains("${PATH}")));
    let own =
        own.as_deref().unwrap_or_default().split(':').filter(|d| d.starts_with('/') && !d.contains('$'));
    Ok(own.chain(of_image).map(|d| join(d, name)).collect())
}

/// Whether a program that the context brings is text, or is named as scripts are.
fn is_script(input: &Input, stage: &Stage, path: &str) -> bool {
    let named = |n: &str| {
        [".sh", ".bash", ".py", ".pl", ".rb"].iter().any(|x| n.ends_with(x)) || n.ends_with("entrypoint")
    };
    let text = |at: usize| {
        let from_context = input.graph.reads_context(at);
        let sources = program::placed(input, at, path);
        from_context
            && sources.iter().any(|s| {
                input
                    .context
                    .is_some_and(|c| c.read(s.trim_start_matches('/')).is_some_and(|t| t.starts_with(b"#!")))
            })
    };
    named(path) || stage.body.clone().filter(|at| is_copy(input, *at)).any(text)
}

/// Nothing else that the stage copies is a program or a library, as far as its name tells.
fn others(input: &Input, stage: &Stage, path: &str) -> Result<(), Refusal> {
    for at in stage.body.clone().filter(|at| is_copy(input, *at)) {
        let ins = &input.file.instructions[at];
        let (Some((_, sources)), Some(state)) = (ins.args().split_last(), input.facts.before(at)) else {
            continue;
        };
        for source in sources {
            let text = state
                .expand(&source.value, input.file.escape)
                .map_or_else(|| source.value.clone(), |v| v.text);
            let whole = join("/", &text);
            let library = whole.split('/').any(|p| matches!(p, "lib" | "lib64" | "libexec"))
                && !whole.contains("zoneinfo")
                || whole.contains(".so");
            let in_bin = crate::facts::parent(&whole).split('/').any(|p| p == "bin" || p == "sbin")
                || whole.ends_with("/bin")
                || whole.ends_with("/sbin");
            let is_it = program::placed(input, at, path).contains(&whole);
            let plain_name = !whole.rsplit('/').next().unwrap_or_default().contains('.');
            let from_stage = ins.flag("from").is_some();
            if library || (in_bin && !is_it && !proven(input, at, &whole)) {
                return Err(Refusal::new(
                    Reason::LinkageUnknown,
                    format!("it copies {text} too, and what that needs is not known"),
                    "build it so that it is linked statically, or leave it out",
                ));
            }
            // `COPY --from=build /migrate /migrate`: a name without an extension next to the program
            if from_stage
                && plain_name
                && !is_it
                && made_beside(input, at, &whole)
                && !proven(input, at, &whole)
            {
                return Err(Refusal::new(
                    Reason::LinkageUnknown,
                    format!("{text} may be a program too, and how it is linked is not known"),
                    "build it so that it is linked statically",
                ));
            }
        }
    }
    Ok(())
}

fn proven(input: &Input, at: usize, source: &str) -> bool {
    input.graph.sources(at).first().is_some_and(|s| program::prove(input, *s, source).is_ok())
}

/// Whether a command of the source's stage names the path as what it makes.
fn made_beside(input: &Input, at: usize, source: &str) -> bool {
    let Some(stage) = input.graph.sources(at).first().copied() else { return true };
    let body = input.graph.stages()[stage].body.clone();
    body.into_iter().filter(|i| input.file.instructions[*i].keyword == Keyword::Run).any(|i| {
        let compilers = &input.knowledge.distroless().swap.compilers;
        let calls = |c: &Compiler| contains(input.file.instructions[i].source(), c.program.as_bytes());
        let name = source.rsplit('/').next().unwrap_or_default();
        compilers.iter().any(calls) && contains(input.file.instructions[i].source(), name.as_bytes())
    })
}

/// The sources of the program start no other one, as far as they are known.
fn starts_none(
    input: &Input,
    extensions: &[String],
    texts: &[String],
    evidence: &mut Vec<String>,
) -> Result<(), Refusal> {
    match input.context {
        Some(context) => match program::starts_programs(context, extensions, texts) {
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

/// The rewrite.
fn write(
    input: &Input,
    stage: &Stage,
    image: &Image,
    target: Target,
    removed: &[usize],
    mut evidence: Vec<String>,
    user: account::User,
) -> Result<Finding, Refusal> {
    let distroless = input.knowledge.distroless();
    let file = input.file;
    let from = &file.instructions[stage.from];
    let release = Some(&distroless.default_release)
        .filter(|r| target.image.releases.contains(r))
        .or_else(|| target.image.releases.last());
    let release = release.ok_or_else(|| {
        Refusal::new(Reason::ImageUnknown, "the catalogue names no release of the image", "add one")
    })?;
    architecture(input, from, target.image)?;
    let reference = format!("{}/{}-{release}:{}", distroless.registry, target.name, user.tag);
    let name = from.args().first().map_or(from.span, |a| a.span);
    let mut edits = Edits::default();
    let mut effects = vec![Effect::Base { stage: stage.index }];
    edits.dockerfile.replace(name, reference.clone());
    for at in removed {
        let ins = &file.instructions[*at];
        edits.dockerfile.delete(with_its_comment(input, *at));
        effects
            .push(Effect::Removed { command: String::from_utf8_lossy(&ins.rest().text).trim().to_owned() });
    }
    for (span, text) in target.edits.iter().chain(&user.edits) {
        edits.dockerfile.replace(*span, text.clone());
    }
    if user.changes || !user.edits.is_empty() {
        effects.push(Effect::User { stage: stage.index });
    }
    if target.entrypoint_changes {
        effects.push(Effect::Entrypoint { stage: stage.index });
    }
    if let Some(dir) = folder(input, stage, &target)? {
        effects.push(Effect::Workdir { stage: stage.index });
        if let Some(dir) = dir {
            edits
                .dockerfile
                .insert(from.full.end, format!("{} {dir}{}", cased("WORKDIR", from), file.line_end()));
        }
    }
    let lost: Vec<String> = image
        .env
        .iter()
        .map(|(n, _)| n.clone())
        .filter(|n| !input.facts.stage(stage.index).config.env.iter().any(|(k, _)| k == n))
        .collect();
    if !lost.is_empty() {
        evidence.push(format!("what the base sets is gone: {}", lost.join(", ")));
        effects.push(Effect::Env { stage: stage.index, names: lost });
    }
    evidence.push(user.says);
    if contains(from.source(), b"@") {
        evidence.push("the base was pinned by digest: pin the new one when you take it".into());
    }
    let message = format!("move the final stage from {} to {reference}", image.name);
    let rewrite = Rewrite { level: Level::Review, evidence, assumes: Vec::new(), effects, edits };
    Ok(Finding::rewrite(from.span, message, rewrite))
}

/// A platform that FROM fixes, or that the build is for, must be one that the image has.
fn architecture(input: &Input, from: &Instruction, image: &DistrolessImage) -> Result<(), Refusal> {
    let fixed = from.flag("platform").and_then(|f| f.value.as_deref()).filter(|p| !p.contains('$'));
    let platforms: Vec<String> = match fixed {
        Some(platform) => vec![platform.to_owned()],
        None => input.options.platforms.iter().map(ToString::to_string).collect(),
    };
    let lacks = |platform: &&String| {
        let arch = platform.split('/').nth(1).unwrap_or(platform);
        let old_arm = platform.ends_with("arm/v6") || platform.ends_with("arm/v5");
        old_arm || !image.arch.iter().any(|a| a == arch)
    };
    match platforms.iter().find(lacks) {
        None => Ok(()),
        Some(platform) => Err(Refusal::new(
            Reason::ImageUnknown,
            format!("distroless has no such image for {platform}"),
            "leave this platform on another base",
        )),
    }
}

/// Whether the working directory changes; then, whether and where to set it as it was.
fn folder(input: &Input, stage: &Stage, target: &Target) -> Result<Option<Option<String>>, Refusal> {
    let first = stage.body.clone().find(|i| input.file.instructions[*i].keyword == Keyword::Workdir);
    let before = first.unwrap_or(stage.body.end);
    let relative_dir = first.is_some_and(|i| !input.file.instructions[i].first().starts_with('/'));
    let relative_copy = (stage.body.start..before)
        .filter(|at| is_copy(input, *at))
        .any(|at| input.file.instructions[at].args().last().is_some_and(|d| !d.value.starts_with('/')));
    if first.is_some() && !relative_dir && !relative_copy {
        return Ok(None);
    }
    // a program alone has nothing to find in its working directory
    let alone = target.program.as_ref().is_some_and(|p| {
        let data =
            |d: &String| ["/etc/ssl", "/usr/share/zoneinfo", "/etc/ssl/certs"].iter().any(|k| covers(k, d));
        let it = |d: &String| d == p || crate::facts::parent(p) == d;
        stage.destinations.iter().all(|d| data(d) || it(d))
    });
    let plain =
        |a: &String| a.starts_with('/') || a.starts_with('-') && !a.contains('/') || !a.contains(['/', '.']);
    if first.is_none() && !relative_copy && alone && stage.argv.iter().all(plain) {
        return Ok(Some(None));
    }
    let old = input.facts.before(stage.from).and_then(|s| s.cwd.clone());
    let old = old.ok_or_else(|| {
        Refusal::new(
            Reason::NotProven,
            "the working directory of the base image is not known",
            "set WORKDIR to an absolute path",
        )
    })?;
    Ok(Some(Some(old)))
}

/// The lines of a RUN that goes, with the comment above it if that is about it (nothing else follows it, or it names what the
/// RUN names), and one of the blank lines around it.
fn with_its_comment(input: &Input, at: usize) -> Span {
    let file = input.file;
    let mut span = file.instructions[at].full;
    let Some(k) = file.pieces.iter().position(|p| p.kind == PieceKind::Instruction(at)) else { return span };
    let kind = |i: usize| file.pieces.get(i).map(|p| p.kind);
    let alone = !matches!(kind(k + 1), Some(PieceKind::Instruction(_)));
    let mut first = k;
    while let Some(previous) = first.checked_sub(1).map(|i| &file.pieces[i]) {
        let text = previous.span.of(file.text());
        let about =
            alone || contains(text, b"hadolint") || shares_a_word(text, file.instructions[at].source());
        if previous.kind != PieceKind::Comment || !about {
            break;
        }
        first -= 1;
    }
    span.start = file.pieces[first].span.start;
    let blank_before = first.checked_sub(1).and_then(kind) == Some(PieceKind::Blank);
    if let (true, Some(next)) = (blank_before, file.pieces.get(k + 1).filter(|p| p.kind == PieceKind::Blank))
    {
        span.end = next.span.end;
    }
    span
}

/// Whether a comment has a word of three letters or more that the RUN has too, in the plural or not.
fn shares_a_word(comment: &[u8], run: &[u8]) -> bool {
    let lower = |t: &[u8]| String::from_utf8_lossy(t).to_lowercase();
    let (comment, run) = (lower(comment), lower(run));
    let mut words = comment
        .split(|c: char| !c.is_ascii_alphanumeric())
        .map(|w| w.trim_end_matches('s'))
        .filter(|w| w.len() > 2);
    words.any(|w| run.split_once(char::is_whitespace).is_some_and(|(_, rest)| rest.contains(w)))
}
