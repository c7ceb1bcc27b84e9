//! A stage that moves onto another base: what it copies stays, what it runs at build time goes as declared, and what it starts
//! is still there.

use crate::{
    facts::{Command, covers, is_root, join},
    graph::Base,
    knowledge::{DistrolessImage, Libc},
    pass::Effect,
    syntax::{Instruction, Keyword},
    validate::{
        Fault, Pair, View,
        align::Alignment,
        fault,
        lower::{Copy, Op},
    },
};

pub(super) fn check(pair: &Pair, alignment: &Alignment) -> Result<(), Fault> {
    nothing_is_lost(pair)?;
    commands_are_gone(pair, alignment)?;
    copies_are_equal(pair)?;
    folders_are_equal(pair)?;
    let (name, image, tag) = new_image(pair)?;
    let ends = |view: &View| view.facts.stage(pair.index).end.cwd.clone();
    if image.language.is_some() && ends(pair.old) != ends(pair.new) {
        return fault("V1", format!("stage {}: {name} starts in another working directory", pair.index));
    }
    user_is_as_declared(pair, tag)?;
    starts_the_same(pair, name, image)
}

fn text_of(view: &View, at: usize) -> String {
    String::from_utf8_lossy(&view.file.instructions[at].rest().text).trim().to_owned()
}

/// Each RUN is gone as a whole and declared; none is left and none is new.
fn commands_are_gone(pair: &Pair, alignment: &Alignment) -> Result<(), Fault> {
    let stage = pair.index;
    let declared = |text: &str| {
        pair.claim.effects.iter().any(|e| matches!(e, Effect::Removed { command } if command == text))
    };
    if let Some(op) = pair.new_ops.ops.iter().find(|op| matches!(op, Op::Exec(_))) {
        return fault("V2", format!("stage {stage}: the new base cannot run this: {op}"));
    }
    for op in pair.removed(alignment) {
        let Op::Exec(exec) = op else { continue };
        if !declared(&text_of(pair.old, exec.at)) {
            return fault("V2", format!("stage {stage}: this is gone and not declared: {op}"));
        }
    }
    for effect in pair.claim.effects {
        let Effect::Removed { command } = effect else { continue };
        let is_there = |view: &View| {
            let mut body = view.graph.stages()[stage].body.clone();
            body.any(|i| view.file.instructions[i].keyword == Keyword::Run && text_of(view, i) == *command)
        };
        if !is_there(pair.old) {
            return fault(
                "V2",
                format!("stage {stage}: this is declared to be gone and was never there: {command}"),
            );
        }
    }
    // what only a RUN could use stays as it is: ENV, ARG and SHELL are compared as config and by their texts
    let state = |view: &View| -> Vec<String> {
        let body = view.graph.stages()[stage].body.clone();
        let ins = body
            .map(|i| &view.file.instructions[i])
            .filter(|i| matches!(i.keyword, Keyword::Env | Keyword::Arg | Keyword::Shell));
        // a stage of the file that is left gives its ENVs on
        let left = parents(view, stage).filter(|i| i.keyword == Keyword::Env);
        let ins = left.chain(ins);
        ins.map(|i| String::from_utf8_lossy(i.source()).into_owned()).collect()
    };
    if state(pair.old) != state(pair.new) {
        return fault("V1", format!("stage {stage}: ENV, ARG or SHELL differ"));
    }
    Ok(())
}

/// The instructions of the stages of the file that `stage` starts from, in order.
fn parents<'a>(view: &'a View, stage: usize) -> impl Iterator<Item = &'a Instruction> {
    let mut stages = Vec::new();
    let mut base = &view.graph.stages()[stage].base;
    while let Base::Stage(parent) = *base {
        let parent = &view.graph.stages()[parent];
        stages.push(parent.body.clone());
        base = &parent.base;
    }
    stages.into_iter().rev().flatten().map(|i| &view.file.instructions[i])
}

/// A stage of the file that is left only set variables and the working directory.
fn nothing_is_lost(pair: &Pair) -> Result<(), Fault> {
    let (old, new) = (parents(pair.old, pair.index), parents(pair.new, pair.index).count());
    let mut made = old.filter(|i| !matches!(i.keyword, Keyword::Env | Keyword::Workdir));
    match made.next() {
        Some(ins) if new == 0 => {
            let text = String::from_utf8_lossy(ins.source()).trim().to_owned();
            fault("V2", format!("stage {}: the stage that it started from had this: {text}", pair.index))
        }
        _ => Ok(()),
    }
}

fn copies<'a>(ops: &'a [Op]) -> Vec<&'a Copy> {
    let copy = |op: &'a Op| match op {
        Op::Copy(c) => Some(c),
        _ => None,
    };
    ops.iter().filter_map(copy).collect()
}

/// The same COPYs in the same order. An owner may become a number, where the user is declared to change.
fn copies_are_equal(pair: &Pair) -> Result<(), Fault> {
    let (old, new) = (copies(&pair.old_ops.ops), copies(&pair.new_ops.ops));
    let stage = pair.index;
    for (i, a) in old.iter().enumerate() {
        let Some(b) = new.get(i) else {
            return fault("V2", format!("stage {stage}: this is gone: {}", Op::Copy((*a).clone())));
        };
        if !a.is_same_but_owner_and_mode(b) || a.mode != b.mode {
            return fault("V2", format!("stage {stage}: this differs: {}", Op::Copy((*a).clone())));
        }
        let root = |o: &Option<String>| o.as_deref().is_some_and(is_root);
        if root(&b.owner) && !root(&a.owner) {
            return fault("V4", format!("stage {stage}: root is the owner now: {}", Op::Copy((*b).clone())));
        }
        if a.owner != b.owner
            && !(b.owner.as_deref().is_some_and(is_numeric) && a.owner.is_some() && user_is_declared(pair))
        {
            return fault("V4", format!("stage {stage}: another owner: {}", Op::Copy((*b).clone())));
        }
        if b.owner.as_deref().is_some_and(|o| !is_numeric(o) && !is_known(pair, o)) {
            return fault(
                "V4",
                format!(
                    "stage {stage}: the new base has no such owner: {}",
                    b.owner.as_deref().unwrap_or_default()
                ),
            );
        }
    }
    match new.get(old.len()) {
        Some(b) => fault("V2", format!("stage {stage}: this is new: {}", Op::Copy((*b).clone()))),
        None => Ok(()),
    }
}

fn user_is_declared(pair: &Pair) -> bool {
    pair.claim.effects.contains(&Effect::User { stage: pair.index })
}

fn is_numeric(spec: &str) -> bool {
    spec.split(':').all(|part| part.parse::<u32>().is_ok())
}

/// Whether the new base has these users and groups.
fn is_known(pair: &Pair, spec: &str) -> bool {
    let d = pair.knowledge.distroless();
    let (user, group) = spec.split_once(':').map_or((spec, None), |(u, g)| (u, Some(g)));
    let number = |t: &str| t.parse::<u32>().is_ok();
    let group_is = |g: &str| {
        number(g)
            || d.groups.iter().any(|x| x.name == g)
            || d.users.iter().any(|u| u.group.as_deref() == Some(g))
    };
    (number(user) || d.users.iter().any(|u| u.name == user)) && group.is_none_or(group_is)
}

/// The same folders in the same order, but for one before all that keeps the working directory as it was.
fn folders_are_equal(pair: &Pair) -> Result<(), Fault> {
    let paths = |ops: &[Op]| -> Vec<String> {
        let path = |op: &Op| match op {
            Op::Dir(d) => Some(d.path.clone()),
            _ => None,
        };
        ops.iter().filter_map(path).collect()
    };
    let (old, mut new) = (paths(&pair.old_ops.ops), paths(&pair.new_ops.ops));
    let stage = pair.index;
    let begins = |view: &View| view.facts.before(view.graph.stages()[stage].from).and_then(|s| s.cwd.clone());
    let declared = pair.claim.effects.contains(&Effect::Workdir { stage });
    if declared && new.len() == old.len() + 1 && begins(pair.old).as_ref() == new.first() {
        new.remove(0);
    }
    if old != new {
        return fault("V2", format!("stage {stage}: other folders are made"));
    }
    let ends = |view: &View| view.facts.stage(stage).end.cwd.clone();
    // one that the file itself sets is meant
    let said = parents(pair.old, stage).any(|i| i.keyword == Keyword::Workdir);
    if ends(pair.old) != ends(pair.new) && !(declared && !said && needs_no_folder(pair)) {
        return fault("V1", format!("stage {stage}: another working directory"));
    }
    Ok(())
}

/// Whether nothing that is copied or started is named from the working directory. A runtime may look there for more.
fn needs_no_folder(pair: &Pair) -> bool {
    let config = &pair.new.facts.stage(pair.index).config;
    let words = [&config.entrypoint, &config.cmd].into_iter().flatten().flat_map(|c| &c.words);
    let apart =
        |w: &String| w.starts_with('/') || w.starts_with('-') && !w.contains('/') || !w.contains(['/', '.']);
    let mut body = pair.new.graph.stages()[pair.index].body.clone().map(|i| &pair.new.file.instructions[i]);
    let copies = body.all(|i| {
        !matches!(i.keyword, Keyword::Copy | Keyword::Add)
            || i.args().last().is_some_and(|d| !is_relative(&d.value))
    });
    copies && words.into_iter().all(apart)
}

fn is_relative(path: &str) -> bool {
    !path.starts_with(['/', '$'])
}

/// The new base is an image of the catalogue that is published, under a tag without a shell.
fn new_image<'a>(pair: &'a Pair) -> Result<(&'a str, &'a DistrolessImage, &'a str), Fault> {
    let d = pair.knowledge.distroless();
    let (old, new) = (&pair.old.graph.stages()[pair.index], &pair.new.graph.stages()[pair.index]);
    if old.platform != new.platform {
        return fault("V1", format!("stage {}: another platform", pair.index));
    }
    let from = &pair.new.file.instructions[new.from];
    let reference = from.first();
    let unknown = || Fault {
        rule: "V1",
        message: format!("stage {}: {reference} is no image of the catalogue", pair.index),
    };
    let short = reference.strip_prefix(&d.registry).and_then(|r| r.strip_prefix('/')).ok_or_else(unknown)?;
    let (full, tag) = short.split_once(':').ok_or_else(unknown)?;
    let (name, release) = full.rsplit_once('-').ok_or_else(unknown)?;
    let (name, image) = d.images.get_key_value(name).ok_or_else(unknown)?;
    let variant = d.variants.get(tag).ok_or_else(unknown)?;
    let published = image.releases.iter().any(|r| r == release)
        && !d.removed.contains_key(full)
        && !d.removed_releases.contains_key(release);
    if !published || variant.shell.is_some() {
        return Err(unknown());
    }
    Ok((name, image, tag))
}

/// USER says what it said, or a number; and the user that the image runs as is the old one unless declared.
fn user_is_as_declared(pair: &Pair, tag: &str) -> Result<(), Fault> {
    let stage = pair.index;
    let users = |view: &View| -> Vec<String> {
        let body = view.graph.stages()[stage].body.clone();
        body.map(|i| &view.file.instructions[i])
            .filter(|i| i.keyword == Keyword::User)
            .map(|i| i.first().to_owned())
            .collect()
    };
    let (old, new) = (users(pair.old), users(pair.new));
    if old.len() != new.len() {
        return fault("V1", format!("stage {stage}: there are more or fewer USERs"));
    }
    for (a, b) in old.iter().zip(&new) {
        if a != b && !(is_numeric(b) && user_is_declared(pair)) {
            return fault("V1", format!("stage {stage}: USER {a} became {b}"));
        }
        if !is_numeric(b) && !is_known(pair, b) {
            return fault("V1", format!("stage {stage}: the new base has no user {b}"));
        }
    }
    let end = |view: &View| view.facts.stage(stage).end.is_root();
    if end(pair.new) != Some(false) && end(pair.old) != end(pair.new) {
        return fault("V1", format!("stage {stage}: it runs as root, and did not"));
    }
    if end(pair.old) != end(pair.new) && !user_is_declared(pair) {
        return fault("V1", format!("stage {stage}: {tag} runs as another user"));
    }
    Ok(())
}

/// What a container starts is what it started, and is there.
fn starts_the_same(pair: &Pair, name: &str, image: &DistrolessImage) -> Result<(), Fault> {
    let stage = pair.index;
    let argv = |view: &View| {
        let config = &view.facts.stage(stage).config;
        let words = |c: &Option<Command>| c.as_ref().map(|c| (c.exec, c.at.is_some(), c.words.clone()));
        (words(&config.entrypoint), words(&config.cmd))
    };
    let ((old_entry, old_cmd), (new_entry, new_cmd)) = (argv(pair.old), argv(pair.new));
    let (old_entry, old_cmd) = without_shell(pair, old_entry, old_cmd)?;
    if [&new_entry, &new_cmd].into_iter().flatten().any(|(exec, ..)| !exec) {
        return fault("V1", format!("stage {stage}: a shell form is left, and there is no shell"));
    }
    let own = |c: &Option<(bool, bool, Vec<String>)>| {
        c.iter().filter(|(_, own, _)| *own).flat_map(|c| c.2.clone()).collect::<Vec<_>>()
    };
    let all = |c: &Option<(bool, bool, Vec<String>)>| c.iter().flat_map(|c| c.2.clone()).collect::<Vec<_>>();
    let old: Vec<String> = [own(&old_entry), own(&old_cmd)].concat();
    let new: Vec<String> = [all(&new_entry), all(&new_cmd)].concat();
    let check = pair.new.facts.stage(stage).config.healthcheck.as_deref().unwrap_or_default();
    let check: Vec<&String> = check.iter().filter(|w| !w.starts_with("--")).collect();
    if check.first().is_some_and(|w| *w != "NONE") && check.get(1) != old.first().as_ref() {
        return fault("V1", format!("stage {stage}: the health check needs what is gone"));
    }
    let differs =
        || fault("V1", format!("stage {stage}: it starts {} instead of {}", new.join(" "), old.join(" ")));
    let (Some(program), Some(first)) = (new.first(), old.first()) else { return differs() };
    match &image.binary {
        Some(binary) => {
            let last = |p: &str| p.rsplit('/').next().unwrap_or(p).to_owned();
            let is_it = program == binary || (!program.contains('/') && last(binary) == *program);
            let fits = image
                .language
                .as_ref()
                .zip(pair.old.facts.stage(stage).image.as_ref().and_then(|i| i.language.as_ref()));
            let same = fits.is_some_and(|((l, v), (k, w))| {
                l == k
                    && w.as_deref().is_some_and(|w| {
                        w == v || w.strip_prefix(v.as_str()).is_some_and(|r| r.starts_with('.'))
                    })
            });
            if !same {
                return fault("V1", format!("stage {stage}: {name} has another language or version"));
            }
            if !is_it
                || new[1..] != old[1..]
                || (!last(binary).starts_with(first.as_str()) && !first.starts_with(&last(binary)))
            {
                return differs();
            }
        }
        None => {
            if new != old {
                return differs();
            }
            let cwd = pair.new.facts.stage(stage).end.cwd.clone().unwrap_or_default();
            let provides = |c: &&Copy| !program.contains('/') || covers(&c.dst, &join(&cwd, program));
            let Some(from) = copies(&pair.new_ops.ops).into_iter().rev().find(provides) else {
                return fault("V4", format!("stage {stage}: {program} is not copied"));
            };
            libc_fits(pair, image, from)?;
        }
    }
    Ok(())
}

/// Whether it is in the exec form, whether the stage itself sets it, and its words.
type Start = Option<(bool, bool, Vec<String>)>;

/// The old ENTRYPOINT and CMD with the words that a shell would start. A shell form may become an exec form alone where there is
/// no other command: an ENTRYPOINT in the shell form ignores CMD, and to an ENTRYPOINT a CMD in the shell form is a shell.
fn without_shell(pair: &Pair, entry: Start, cmd: Start) -> Result<(Start, Start), Fault> {
    let stage = pair.index;
    let is_set = |c: &Start| c.as_ref().is_some_and(|(_, own, words)| *own && !words.is_empty());
    let in_shell = |c: &Start| c.as_ref().is_some_and(|(exec, ..)| !exec);
    if (in_shell(&entry) || in_shell(&cmd)) && is_set(&entry) && is_set(&cmd) {
        return fault("V1", format!("stage {stage}: a shell form stood beside another command"));
    }
    let default = |view: &View| {
        let config = &view.facts.stage(stage).config;
        let own = [&config.entrypoint, &config.cmd].into_iter().flatten().filter(|c| !c.exec);
        own.into_iter().all(|c| c.shell.as_slice() == ["/bin/sh", "-c"])
    };
    let plain = |c: Start| match c {
        Some((false, own, words)) => {
            match plain_words(pair, &words.join(" ")).filter(|_| default(pair.old)) {
                Some(words) => Ok(Some((true, own, words))),
                None => fault("V1", format!("stage {stage}: this needed a shell: {}", words.join(" "))),
            }
        }
        other => Ok(other),
    };
    Ok((plain(entry)?, plain(cmd)?))
}

/// The words of a shell text that has nothing but letters, digits, a few signs, blanks, and quotes around such.
fn plain_words(pair: &Pair, text: &str) -> Option<Vec<String>> {
    let (mut words, mut word, mut quote): (Vec<String>, Option<String>, Option<char>) =
        (Vec::new(), None, None);
    for c in text.chars() {
        match (quote, c) {
            (Some(q), c) if c == q => quote = None,
            (None, '"' | '\'') => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (None, ' ' | '\t') => words.extend(word.take()),
            (Some(_), ' ' | '\t' | '\'' | '"') => word.get_or_insert_default().push(c),
            (_, c) if c.is_alphanumeric() || "_-./:,=+@%^".contains(c) => {
                word.get_or_insert_default().push(c)
            }
            _ => return None,
        }
    }
    words.extend(word);
    if words.first().is_some_and(|w| w == "exec") && words.get(1).is_some_and(|w| !w.starts_with('-')) {
        words.remove(0);
    }
    let builtins = &pair.knowledge.distroless().swap.builtins;
    let first = words.first().filter(|w| !w.is_empty() && !w.contains('=') && !builtins.contains(w));
    (quote.is_none() && first.is_some()).then_some(words)
}

/// What is started must find the C library that it was linked against: none, or one that is no newer than the image's.
fn libc_fits(pair: &Pair, image: &DistrolessImage, copy: &Copy) -> Result<(), Fault> {
    let view = pair.new;
    let mut open: Vec<usize> = view.graph.sources(copy.at);
    let mut seen = Vec::new();
    let mut builders = Vec::new();
    while let Some(stage) = open.pop() {
        if seen.contains(&stage) {
            continue;
        }
        seen.push(stage);
        let here = &view.graph.stages()[stage];
        if let Base::Stage(parent) = here.base {
            open.push(parent);
        }
        for at in here.body.clone() {
            open.extend(view.graph.sources(at));
            let source = String::from_utf8_lossy(view.file.instructions[at].source()).into_owned();
            if is_static(pair, stage, &source) {
                return Ok(());
            }
            let compiles = |c: &crate::knowledge::Compiler| {
                c.dynamic.is_some() && source.split_whitespace().any(|w| w.ends_with(&c.program))
            };
            if pair.knowledge.distroless().swap.compilers.iter().any(compiles) {
                builders.push(stage);
            }
        }
    }
    if image.libc == Libc::Static {
        return fault(
            "V4",
            format!("stage {}: nothing says that {} is linked statically", pair.index, copy.dst),
        );
    }
    if builders.is_empty() || !builders.iter().all(|s| is_no_newer(pair, *s)) {
        let text =
            format!("stage {}: {} may be linked against a newer or another C library", pair.index, copy.dst);
        return fault("V4", text);
    }
    Ok(())
}

/// Whether an instruction of a build stage says that what it builds is linked statically.
fn is_static(pair: &Pair, stage: usize, source: &str) -> bool {
    let family = pair.new.facts.stage(stage).image.as_ref().map(|i| i.family);
    pair.knowledge.distroless().swap.compilers.iter().any(|c| {
        let by_env = c.static_env.as_ref().is_some_and(|(n, v)| {
            source.contains(&format!("{n}={v}"))
                || source.contains(&format!("{n} {v}"))
                || source.contains(&format!("{n}=\"{v}\""))
        });
        let by_target = c.static_targets.iter().any(|t| source.contains(t));
        let by_system = source.contains(&c.program) && family.is_some_and(|f| c.static_families.contains(&f));
        by_env || by_target || by_system || (source.contains(&c.program) && finds_no_c(pair, c, stage))
    })
}

/// Whether a build stage is one of a compiler that finds no compiler of C there, as far as its words tell.
fn finds_no_c(pair: &Pair, compiler: &crate::knowledge::Compiler, stage: usize) -> bool {
    let (Some(without), Some(image)) = (&compiler.without_c, &pair.new.facts.stage(stage).image) else {
        return false;
    };
    let new =
        image.language.as_ref().and_then(|(_, v)| v.as_deref()).is_none_or(|v| without.is_new_enough(v));
    let own = pair.new.file.instructions[pair.new.graph.stages()[stage].body.clone()].iter();
    let mut words = own.chain(parents(pair.new, stage)).flat_map(|i| {
        let text = String::from_utf8_lossy(i.source()).into_owned();
        text.split(|c: char| c.is_whitespace() || "=\"';&|".contains(c))
            .map(str::to_owned)
            .collect::<Vec<_>>()
    });
    let asks = |w: String| {
        let variable = compiler.static_env.as_ref().is_some_and(|(n, _)| *n == w);
        let linker = compiler.dynamic.iter().any(|d| d.never_env.contains(&w));
        variable || linker || without.never.contains(&w)
    };
    compiler.images.contains(&image.name)
        && without.families.contains(&image.family)
        && new
        && !pair.new.facts.stage(stage).image_by_argument
        && !words.any(asks)
}

/// Whether the C library of a build stage is glibc of a Debian that is not newer than the new base's.
fn is_no_newer(pair: &Pair, stage: usize) -> bool {
    let release = pair.new.facts.stage(pair.index).image.as_ref().and_then(|i| i.release.clone());
    let number = |r: Option<&String>| r.and_then(|r| r.parse::<u32>().ok());
    let is_old = |i: &crate::knowledge::Image| {
        let glibc = i.libc == Some(Libc::Glibc) && i.family == crate::knowledge::Family::Debian;
        let debian = i.system.as_deref() == Some("debian");
        // a tag that moves is at most on the release that is current, which is the default one
        let default =
            pair.knowledge.distroless().default_release.strip_prefix("debian") == release.as_deref();
        match (number(i.release.as_ref()), number(release.as_ref())) {
            (Some(a), Some(b)) => glibc && debian && a <= b,
            (None, Some(_)) => glibc && debian && i.release.is_none() && default,
            _ => false,
        }
    };
    pair.new.facts.stage(stage).image.as_deref().is_some_and(is_old)
}

#[cfg(test)]
mod tests;
