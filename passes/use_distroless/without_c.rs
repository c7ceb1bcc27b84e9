//! A compiler that links statically where it finds no compiler of C, and a build stage that has none.

use super::libraries::{brings_more, copies_libraries};
use crate::{
    graph::Base,
    knowledge::{Compiler, Image},
    pass::Input,
    syntax::Keyword,
};

/// Whether stage `index`, with those that it starts from, has no compiler of C: neither its image, nor what is installed there.
pub(super) fn has_none(input: &Input, compiler: &Compiler, index: usize) -> bool {
    let Some(without) = &compiler.without_c else { return false };
    let facts = input.facts.stage(index);
    let fits = |i: &Image| {
        let (language, version) = i.language.as_ref().map_or(("", None), |(l, v)| (l.as_str(), v.as_deref()));
        compiler.images.contains(&i.name)
            && without.families.contains(&i.family)
            && language == compiler.program
            && version.is_none_or(|v| without.is_new_enough(v))
    };
    if facts.image_by_argument || !facts.image.as_deref().is_some_and(fits) {
        return false;
    }
    let mut stage = index;
    loop {
        let here = &input.graph.stages()[stage];
        for at in here.body.clone() {
            let ins = &input.file.instructions[at];
            let clean = match ins.keyword {
                Keyword::Run => installs_none(input, at, &without.packages),
                Keyword::Copy | Keyword::Add => ins.flag("from").is_none() || !copies_libraries(input, at),
                _ => true,
            };
            if !clean {
                return false;
            }
        }
        match &here.base {
            Base::Stage(parent) => stage = *parent,
            // a digest may be older than its tag
            Base::Image { reference, .. } => return !reference.contains('@'),
            _ => return false,
        }
    }
}

/// Whether RUN `at` installs nothing but `packages`.
fn installs_none(input: &Input, at: usize, packages: &[String]) -> bool {
    let Some(run) = input.facts.run(at) else { return false };
    if run.understood().is_none() {
        return false;
    }
    let commands = input.facts.commands(at);
    if brings_more(input, at, &commands) {
        return false;
    }
    commands.iter().all(|command| {
        let argv = input.facts.argv(at, command);
        let name = argv.as_ref().and_then(|a| a.first().map(String::as_str)).or(command.name());
        let manager = name.and_then(|n| input.knowledge.package_manager(n.rsplit('/').next().unwrap_or(n)));
        let (Some(manager), Some(argv)) = (manager, &argv) else { return manager.is_none() };
        if !argv.iter().any(|a| manager.install.contains(a)) {
            return true;
        }
        let mut named = argv[1..].iter().filter(|a| !a.starts_with('-') && !manager.install.contains(a));
        named.all(|p| packages.iter().any(|k| k == p.split(['=', '<', '>', '~', '@']).next().unwrap_or(p)))
    })
}
