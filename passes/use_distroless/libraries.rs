//! A program that is linked against the C library of its build stage: whether a distroless image has all that it loads.

use super::{
    language::is_old_enough,
    linkage::{Call, Needs, Told},
};
use crate::{
    context::Context,
    facts::{contains, covers},
    knowledge::{Class, Compiler, Dynamic, Family, Image, Libc},
    pass::{Input, Refusal},
    shell::Simple,
    syntax::Keyword,
};

/// How many entries of a build context are looked through for the files that say what a program links to.
const ENTRIES: usize = 20_000;

/// What the program at `path` needs, and why no more. `refusal`: why it is not linked statically, which is the answer where
/// nothing more can be told.
pub(super) fn of(
    call: &Call,
    compiler: &Compiler,
    told: &Told,
    path: &str,
    refusal: Refusal,
) -> Result<(Needs, String), Refusal> {
    let Some(dynamic) = &compiler.dynamic else { return Err(refusal) };
    let image = call.input.facts.stage(call.stage).image.as_deref();
    let fits = |i: &&Image| {
        compiler.images.contains(&i.name) && i.family == Family::Debian && i.libc == Some(Libc::Glibc)
    };
    let Some(image) = image.filter(fits) else { return Err(refusal) };
    // a value from outside may ask for another way; and the sources tell what else it needs
    let (false, Some(context)) = (call.is_set_from_outside(compiler), call.input.context) else {
        return Err(refusal);
    };
    let told = linked(call, dynamic, told, image, context, path);
    told.map_err(|message| Refusal { message, ..refusal })
}

fn linked(
    call: &Call,
    dynamic: &Dynamic,
    told: &Told,
    image: &Image,
    context: &Context,
    path: &str,
) -> Result<(Needs, String), String> {
    if !is_old_enough(call.input, image) {
        return Err(format!(
            "{path} is built on a newer Debian than the images have, whose C library is older"
        ));
    }
    let asked = |o: &String| told.options.iter().any(|(t, _)| t == o);
    if told.is_install && !dynamic.locked.is_empty() && !dynamic.locked.iter().any(asked) {
        return Err(format!(
            "{path} is built without {}, so that {} does not say of what",
            dynamic.locked[0], dynamic.lock
        ));
    }
    if let Some((option, _)) = told.options.iter().find(|(o, v)| is_for_the_linker(dynamic, o, v.as_deref()))
    {
        return Err(format!("{path} is built with {option}, which may name other libraries"));
    }
    if let Some(name) = dynamic.never_env.iter().find(|n| call.variable(n).is_some()) {
        return Err(format!("{name} is set for the build of {path}, and may name other libraries"));
    }
    tools_alone(call, path)?;
    let (needs, why) = modules(context, dynamic, image, path)?;
    let release = &call.input.knowledge.distroless().default_release;
    let why = format!(
        "{path} needs the C library of {}, which is not newer than that of {release}, {why}",
        image.name
    );
    Ok((needs, why))
}

fn is_for_the_linker(dynamic: &Dynamic, option: &str, value: Option<&str>) -> bool {
    let named =
        dynamic.linker_options.iter().any(|o| o == option || Some(o.as_str()) == option.strip_prefix('-'));
    named && value.is_none_or(|v| dynamic.linker_words.iter().any(|w| v.contains(w.as_str())))
}

/// The build stage, and those that it starts from, install only tools.
fn tools_alone(call: &Call, path: &str) -> Result<(), String> {
    let input = call.input;
    let mut stage = Some(call.stage);
    let mut more = false;
    while let Some(index) = stage {
        let here = &input.graph.stages()[index];
        more |= here.body.clone().any(|at| copies_libraries(input, at));
        for at in here.body.clone().filter(|i| input.file.instructions[*i].keyword == Keyword::Run) {
            let commands = input.facts.commands(at);
            more |= brings_more(input, at, &commands);
            for command in commands {
                let argv = input.facts.argv(at, command);
                let name = argv.as_ref().and_then(|a| a.first().map(String::as_str)).or(command.name());
                let Some(manager) =
                    name.and_then(|n| input.knowledge.package_manager(n.rsplit('/').next().unwrap_or(n)))
                else {
                    continue;
                };
                let unread = || format!("which packages the build stage of {path} installs is not known");
                let argv = argv.ok_or_else(unread)?;
                if !argv.iter().any(|a| manager.install.contains(a)) {
                    continue;
                }
                let tools = &input.knowledge.distroless().swap.build_tools;
                let packages =
                    argv[1..].iter().filter(|a| !a.starts_with('-') && !manager.install.contains(a));
                let mut names = packages.map(|p| p.split('=').next().unwrap_or(p));
                if let Some(package) = names.find(|p| !tools.iter().any(|t| t == p)) {
                    return Err(format!(
                        "the build stage installs {package}, which {path} may need at run time as well"
                    ));
                }
            }
        }
        stage = match here.base {
            crate::graph::Base::Stage(parent) => Some(parent),
            _ => None,
        };
    }
    if more {
        return Err(format!(
            "the build stage of {path} builds or downloads more than the program, which may be a library that it needs"
        ));
    }
    Ok(())
}

/// Whether a RUN compiles by another program than those of the catalogue, or unpacks what it downloads.
pub(super) fn brings_more(input: &Input, at: usize, commands: &[&Simple]) -> bool {
    let compilers = &input.knowledge.distroless().swap.compilers;
    let calls: Vec<Vec<String>> = commands
        .iter()
        .filter_map(|c| input.facts.argv(at, c).or_else(|| c.name().map(|n| vec![n.to_owned()])))
        .filter(|a| !a.is_empty())
        .collect();
    let named = |a: &[String], names: &[&str]| names.contains(&a[0].rsplit('/').next().unwrap_or(&a[0]));
    let builds = |a: &Vec<String>| {
        input.knowledge.command(a).class == Class::Build
            && !compilers.iter().any(|c| a[0].ends_with(&c.program))
    };
    let fetches = calls.iter().any(|a| named(a, &["curl", "wget", "git", "aria2c"]));
    let unpacks = calls.iter().any(|a| named(a, &["tar", "unzip", "dpkg", "ldconfig"]));
    calls.iter().any(builds) || (fetches && unpacks)
}

/// Whether a COPY or ADD brings files to where libraries are found.
pub(super) fn copies_libraries(input: &Input, at: usize) -> bool {
    let ins = &input.file.instructions[at];
    if !matches!(ins.keyword, Keyword::Copy | Keyword::Add) {
        return false;
    }
    let dst = ins
        .args()
        .last()
        .and_then(|d| input.facts.before(at)?.absolute(&d.value, input.file.escape))
        .map(|d| d.text);
    dst.is_none_or(|d| {
        let library = ["/lib", "/usr/lib", "/usr/local/lib", "/usr"].iter().any(|l| covers(l, &d));
        library
            && !d.ends_with("/bin")
            && crate::facts::parent(&d) != "/usr/local/bin"
            && !covers("/usr/src", &d)
            || d == "/" && ins.flag("from").is_some()
    })
}

/// What the modules of the program, named by its lock file, link to.
fn modules(
    context: &Context,
    dynamic: &Dynamic,
    image: &Image,
    path: &str,
) -> Result<(Needs, String), String> {
    let locks = named(context, &dynamic.lock)
        .ok_or_else(|| "the build context is too large to be read".to_owned())?;
    if locks.is_empty() {
        return Err(format!("there is no {} that says what {path} is made of", dynamic.lock));
    }
    let mut foreign = false;
    for lock in locks {
        let text = context.read_text(&lock).ok_or_else(|| format!("{lock} cannot be read"))?;
        let Some(mark) = &dynamic.module_mark else {
            // whether there is a module at all is what counts
            foreign |= text.contains(&dynamic.module_line);
            continue;
        };
        for name in text.lines().filter_map(|l| l.trim().strip_prefix(dynamic.module_line.as_str())) {
            let name = name.trim_matches(['"', ' ']);
            let links = name.contains(mark.as_str()) || dynamic.loads.iter().any(|l| l == name);
            if !links || dynamic.harmless.iter().any(|h| h == name) {
                continue;
            }
            let since = dynamic.links.get(name).ok_or_else(|| {
                format!("{lock} has {name}, which may link to a library that the image lacks")
            })?;
            // a tag that moves is not on a release that old
            let release = image.release.as_deref().and_then(|r| r.parse::<u32>().ok());
            if release.is_some_and(|r| r < *since) {
                return Err(format!("{name} links to an older library than the image has"));
            }
        }
    }
    let extension = |p: &str| p.rsplit_once('.').map_or("", |(_, x)| x).to_owned();
    let cpp = |p: &str| dynamic.cpp_sources.contains(&extension(p));
    foreign |= context.walk("", ENTRIES).is_none_or(|all| all.iter().any(|(p, _)| cpp(p)));
    Ok(match (&dynamic.module_mark, foreign) {
        (Some(_), _) => (Needs::Cpp, format!("and {} names no module that links to more", dynamic.lock)),
        (None, true) => (Needs::Cpp, "and its modules may hold code in C or C++".to_owned()),
        (None, false) => (Needs::C, "and it has no module but the standard library".to_owned()),
    })
}

/// The files of that name in the context; None: there are too many entries.
fn named(context: &Context, name: &str) -> Option<Vec<String>> {
    let all = context.walk("", ENTRIES)?;
    Some(all.into_iter().map(|(p, _)| p).filter(|p| p.rsplit('/').next() == Some(name)).collect())
}

/// A file of the context that configures the linker.
pub(super) fn configured(input: &Input, compiler: &Compiler) -> Option<String> {
    let context = input.context?;
    compiler
        .config
        .iter()
        .find(|f| {
            context.read(f).is_some_and(|t| compiler.config_words.iter().any(|w| contains(&t, w.as_bytes())))
        })
        .cloned()
}
