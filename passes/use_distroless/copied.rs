//! A stage that runs one program which it copies.

use super::{
    Stage, Target, is_copy,
    linkage::{self, Needs},
    shell_form, starts_none, unsuited,
};
use crate::{
    facts::{Command, contains, join},
    graph,
    knowledge::{Compiler, Image, Libc},
    pass::{Input, Reason, Refusal},
    syntax::Keyword,
};

/// A stage that runs one program which it copies.
pub(super) fn program<'a>(
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
        stage.body.clone().any(|at| is_copy(input, at) && !linkage::placed(input, at, path).is_empty())
    };
    let Some(path) = paths.iter().find(|p| copied(p)) else {
        let mut runtimes = distroless.swap.runtimes.iter();
        if let Some(runtime) = runtimes.find(|r| r.programs.contains(&first)) {
            return Err(Refusal::new(
                Reason::ImageUnknown,
                format!(
                    "which version of {} a package of {} brings is not known",
                    runtime.language, image.name
                ),
                format!(
                    "start from an image of {} that names a version which distroless has",
                    runtime.language
                ),
            ));
        }
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
    let proof = linkage::prove(input, stage.index, path)?;
    let needs = others(input, stage, path)?.max(proof.needs);
    let mut evidence = vec![proof.why.clone()];
    starts_none(input, &proof.compiler.sources, &proof.compiler.starts_programs, &mut evidence)?;
    suits(image, proof.compiler, &distroless.swap.plain)?;
    let wanted = match needs {
        Needs::Nothing => distroless.images.iter().find(|(_, i)| i.libc == Libc::Static),
        Needs::C => distroless.images.get_key_value(&distroless.swap.c_image),
        Needs::Cpp => distroless.images.get_key_value(&distroless.swap.cpp_image),
    };
    let (name, image) = wanted.ok_or_else(|| {
        Refusal::new(
            Reason::ImageUnknown,
            "the catalogue has no image with what the program needs",
            "add one",
        )
    })?;
    let own = entrypoint.as_ref().is_some_and(|e| e.at.is_some() && !e.words.is_empty());
    let starter = shell_form::starter(input, stage, own).filter(|_| stage.by_shell);
    let edits = starter.and_then(|i| shell_form::written(i, &stage.argv)).unwrap_or_default();
    Ok(Target {
        name,
        image,
        program: Some(path.clone()),
        evidence,
        entrypoint_changes: !edits.is_empty(),
        edits,
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
        let sources = linkage::placed(input, at, path);
        from_context
            && sources.iter().any(|s| {
                input
                    .context
                    .is_some_and(|c| c.read(s.trim_start_matches('/')).is_some_and(|t| t.starts_with(b"#!")))
            })
    };
    named(path) || stage.body.clone().filter(|at| is_copy(input, *at)).any(text)
}

/// Nothing else that the stage copies is a program or a library, as far as its name tells, or it is known what it needs.
fn others(input: &Input, stage: &Stage, path: &str) -> Result<Needs, Refusal> {
    let mut needs = Needs::Nothing;
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
            let is_it = linkage::placed(input, at, path).contains(&whole);
            let plain_name = !whole.rsplit('/').next().unwrap_or_default().contains('.');
            let from_stage = ins.flag("from").is_some();
            let proof = if is_it { None } else { proven(input, at, &whole) };
            if let Some(n) = proof {
                needs = needs.max(n);
            }
            if library || (in_bin && !is_it && proof.is_none()) {
                return Err(Refusal::new(
                    Reason::LinkageUnknown,
                    format!("it copies {text} too, and what that needs is not known"),
                    "build it so that it is linked statically, or leave it out",
                ));
            }
            // `COPY --from=build /migrate /migrate`: a name without an extension next to the program
            if from_stage && plain_name && !is_it && made_beside(input, at, &whole) && proof.is_none() {
                return Err(Refusal::new(
                    Reason::LinkageUnknown,
                    format!("{text} may be a program too, and how it is linked is not known"),
                    "build it so that it is linked statically",
                ));
            }
        }
    }
    Ok(needs)
}

fn proven(input: &Input, at: usize, source: &str) -> Option<Needs> {
    input.graph.sources(at).first().and_then(|s| linkage::prove(input, *s, source).ok()).map(|l| l.needs)
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
