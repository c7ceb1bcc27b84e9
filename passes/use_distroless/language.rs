//! A stage that runs an app by a runtime which a distroless image has: Java, Node.js.

use super::{Stage, Target, cased, is_copy, shell_form, starts_none, unsuited};
use crate::{
    edit::Span,
    facts::Command,
    knowledge::{DistrolessImage, Family, Image, Runtime},
    pass::{Input, Reason, Refusal},
    syntax::Instruction,
};

/// A stage that runs an app in a language of which distroless has the runtime.
pub(super) fn language<'a>(
    input: &Input<'a>,
    stage: &Stage,
    image: &Image,
    runtime: &'a Runtime,
    entrypoint: &Option<Command>,
) -> Result<Target<'a>, Refusal> {
    let distroless = input.knowledge.distroless();
    if let Some(why) = &runtime.unsuited {
        return Err(Refusal::new(
            Reason::LinkageUnknown,
            why.clone(),
            "nothing that can be told from the Dockerfile",
        ));
    }
    let first = stage.argv.first().cloned().unwrap_or_default();
    if !runtime.programs.contains(&first) {
        return Err(unsuited(
            format!("it starts {first}, which the image for {} lacks", runtime.language),
            &format!("start {} itself", runtime.programs.join(" or ")),
        ));
    }
    if input.facts.stage(stage.index).image_by_argument {
        return Err(Refusal::new(
            Reason::VariableUnresolved,
            "the version of the base image can change from outside",
            "write the version in FROM",
        ));
    }
    let unknown =
        |message: String| Refusal::new(Reason::ImageUnknown, message, "use a version that distroless has");
    let version = image.language.as_ref().and_then(|(_, v)| v.clone());
    let Some(version) = version else {
        return Err(unknown(format!(
            "the version of {} that {} has is not known",
            runtime.language, image.name
        )));
    };
    let Some((name, to)) = distroless.for_language(&runtime.language, &version) else {
        return Err(unknown(format!("distroless has no {} {version}", runtime.language)));
    };
    let mut evidence = vec![format!("{name} has {} {version}, as the base has", runtime.language)];
    if runtime.native {
        native(input, stage, image, to)?;
    }
    if !runtime.payload.is_empty() {
        payload(input, stage, runtime)?;
    }
    let config = &input.facts.stage(stage.index).config;
    let locale = |(n, v): &&(String, String)| {
        (n == "LANG" || n.starts_with("LC_")) && !matches!(v.as_str(), "C" | "C.UTF-8" | "C.utf8" | "POSIX")
    };
    if let Some((name, value)) = config.env.iter().find(locale) {
        return Err(Refusal::new(
            Reason::NotProven,
            format!("{name} is {value}, and the image has no locale but C.UTF-8"),
            "use C.UTF-8",
        ));
    }
    starts_none(input, &runtime.sources, &runtime.starts_programs, &mut evidence)?;
    let doubt = stage.argv.iter().find(|a| runtime.never.iter().any(|n| a.starts_with(n.as_str())));
    if let Some(option) = doubt {
        return Err(unsuited(
            format!("{option} may need what the image's runtime lacks"),
            "start without it, if it is not needed",
        ));
    }
    evidence.extend(runtime.note.clone());
    let own_entrypoint = entrypoint.as_ref().is_some_and(|e| e.at.is_some() && !e.words.is_empty());
    let (edits, changes) = launch(input, stage, runtime, to, own_entrypoint)?;
    let commanded = super::services(input).find(|s| s.command.as_ref().is_some_and(|c| !c.is_empty()));
    if let (false, Some(service)) = (own_entrypoint, commanded) {
        let message = format!(
            "{} says what to run in place of CMD, which would become arguments of the image's entrypoint",
            service.by
        );
        return Err(unsuited(message, "say it in ENTRYPOINT"));
    }
    let writes_beside = !brings_files_alone(input, stage, runtime);
    Ok(Target { name, image: to, program: None, evidence, edits, entrypoint_changes: changes, writes_beside })
}

/// What is installed for the runtime must fit the target's C library.
fn native(input: &Input, stage: &Stage, image: &Image, to: &DistrolessImage) -> Result<(), Refusal> {
    let fits = |image: &Image| {
        image.libc == Some(to.libc) && image.family == Family::Debian && is_old_enough(input, image)
    };
    let refuse = |what: &str| {
        Err(Refusal::new(
            Reason::LinkageUnknown,
            format!("{what}: packages with native code would not load"),
            "install them on a Debian image that is no newer than the target",
        ))
    };
    if !fits(image) {
        return refuse(&format!("{} has another C library than the image, or a newer one", image.name));
    }
    for at in stage.body.clone().filter(|at| is_copy(input, *at)) {
        let Some(from) = input.graph.sources(at).first().copied() else {
            let modules = input.context.is_none_or(|c| c.entry("node_modules").is_some());
            let whole = input.file.instructions[at]
                .args()
                .split_last()
                .map_or(&[][..], |(_, sources)| sources)
                .iter()
                .any(|a| a.value == "." || a.value == "./" || a.value.contains("node_modules"));
            if input.file.instructions[at].flag("from").is_some() || (whole && modules) {
                return refuse("what a COPY brings was installed elsewhere");
            }
            continue;
        };
        let builder = input.facts.stage(from).image.as_deref();
        if !builder.is_some_and(fits) {
            let name = builder.map_or("an unknown image", |i| i.name.as_str());
            return refuse(&format!(
                "a COPY brings what was installed on {name}, whose C library is another or not known"
            ));
        }
    }
    Ok(())
}

/// Whether a Debian image is no newer than the release of the target. One whose tag moves is at most Debian's stable release, the default one of the catalogue.
pub(super) fn is_old_enough(input: &Input, image: &Image) -> bool {
    let distroless = input.knowledge.distroless();
    let Some(target) = distroless.releases.get(&distroless.default_release) else { return false };
    match image.release.as_deref() {
        None => image.system.as_deref() == Some("debian"),
        Some(release) => {
            matches!((release.parse::<u32>(), target.number.parse::<u32>()), (Ok(a), Ok(b)) if a <= b)
        }
    }
}

/// The stage copies an archive that needs nothing beside it, and starts it.
fn payload(input: &Input, stage: &Stage, runtime: &Runtime) -> Result<(), Refusal> {
    let library = |at: usize| {
        let ins = &input.file.instructions[at];
        ins.args()
            .iter()
            .any(|a| a.value.contains(".so") || a.value.contains("/jre") || a.value.contains("java-runtime"))
    };
    if stage.body.clone().any(|at| is_copy(input, at) && library(at)) {
        return Err(Refusal::new(
            Reason::LinkageUnknown,
            "it copies a runtime or a library of its own",
            "use the image's runtime",
        ));
    }
    let runs = stage.argv.iter().any(|a| runtime.payload.iter().any(|x| a.ends_with(&format!(".{x}"))))
        || stage.argv.iter().any(|a| a == "-cp" || a == "-classpath" || a.contains("JarLauncher"));
    if !runs {
        return Err(unsuited("what it starts is no archive", "start it with -jar"));
    }
    Ok(())
}

/// How ENTRYPOINT and CMD must be written for the target: edits, and whether there are any.
fn launch(
    input: &Input,
    stage: &Stage,
    runtime: &Runtime,
    to: &DistrolessImage,
    own_entrypoint: bool,
) -> Result<(Vec<(Span, String)>, bool), Refusal> {
    let Some(ins) = shell_form::starter(input, stage, own_entrypoint) else {
        return Err(unsuited("what it starts is not known", "write ENTRYPOINT"));
    };
    let binary = to.binary.clone().unwrap_or_default();
    if stage.by_shell {
        return anew(ins, &stage.argv, runtime, &binary, own_entrypoint);
    }
    let args: Vec<Span> = ins.args().iter().map(|a| a.span).collect();
    let Some(first) = args.first() else {
        return Err(unsuited("what it starts is not known", "write ENTRYPOINT"));
    };
    if own_entrypoint {
        return Ok(if runtime.on_path { (Vec::new(), true) } else { (vec![(*first, quote(&binary))], true) });
    }
    // the image's own entrypoint starts the runtime: CMD says the rest
    let launcher = &runtime.launcher;
    let rest = &ins.args()[1..];
    let fits = rest.len() > launcher.len() && rest.iter().zip(launcher).all(|(a, l)| a.value == *l);
    match args.get(1 + launcher.len()) {
        Some(next) if fits => Ok((vec![(Span { start: first.start, end: next.start }, String::new())], true)),
        _ if runtime.on_path || !rest.is_empty() => {
            let mut edits = vec![(ins.detail().keyword_span, cased("ENTRYPOINT", ins))];
            if !runtime.on_path {
                edits.push((*first, quote(&binary)));
            }
            Ok((edits, true))
        }
        _ => Err(unsuited("it starts the runtime alone", "say what it runs")),
    }
}

/// The same for a command in the shell form, all of which is written anew.
fn anew(
    ins: &Instruction,
    argv: &[String],
    runtime: &Runtime,
    binary: &str,
    own_entrypoint: bool,
) -> Result<(Vec<(Span, String)>, bool), Refusal> {
    let unknown = || unsuited("it starts the runtime alone", "say what it runs");
    let (first, rest) = argv.split_first().ok_or_else(unknown)?;
    // the image's own entrypoint starts the runtime: CMD says the rest
    let left = rest.strip_prefix(runtime.launcher.as_slice()).filter(|l| !l.is_empty() && !own_entrypoint);
    if let Some(left) = left {
        return Ok((shell_form::written(ins, left).ok_or_else(unknown)?, true));
    }
    if rest.is_empty() {
        return Err(unknown());
    }
    let program = if runtime.on_path { first.clone() } else { binary.to_owned() };
    let words: Vec<String> = std::iter::once(program).chain(rest.iter().cloned()).collect();
    let mut edits = shell_form::written(ins, &words).ok_or_else(unknown)?;
    if !own_entrypoint {
        edits.push((ins.detail().keyword_span, cased("ENTRYPOINT", ins)));
    }
    Ok((edits, true))
}

fn quote(text: &str) -> String {
    format!("\"{text}\"")
}

/// Whether all that the stage copies is files, among which an app seldom writes.
fn brings_files_alone(input: &Input, stage: &Stage, runtime: &Runtime) -> bool {
    let file = |source: &str| {
        !source.ends_with('/') && source.rsplit('/').next().is_some_and(|n| n.trim_matches('.').contains('.'))
    };
    let mut copies = stage.body.clone().filter(|at| is_copy(input, *at));
    !runtime.payload.is_empty()
        && copies.all(|at| {
            input.file.instructions[at]
                .args()
                .split_last()
                .is_some_and(|(_, s)| s.iter().all(|a| file(&a.value)))
        })
}
