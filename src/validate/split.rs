//! Whether an install that moved before the sources still reads all that it read, and keeps what it wrote.
//!
//! Only two kinds of operation may be new: COPYs that bring a part of what a later COPY brings, to the same places, and a command
//! that the catalogue names as the early half of an install. Only a COPY of a folder of the context may move, down, and only
//! over what does not look at it, or over installs whose manifests the new COPYs bring.

use super::{
    Alignment, Fault, Pair,
    align::{align, same},
    fault, lower,
};
use crate::{
    context::{Context, FileKind},
    ecosystem::{Assigned, Ecosystems, Needs, Place, Recognized, needs_at, overlay},
    facts::{Run, State, covers, join, parent, shift},
    knowledge::{Class, Paths},
    pass::{Effect, Level},
    shell::{NodeKind, Redirect, RedirectKind, Script, Simple, Statement, Terminator, Word},
};
use lower::{Copy, Exec, Op};

pub(super) fn check(pair: &Pair) -> Result<(), Fault> {
    let Some(context) = pair.new.context else { return fault("V4", "a split without a build context") };
    let (old, new) = (pair.old_ops.singled(context), pair.new_ops.singled(context));
    let single = Pair { old_ops: &old, new_ops: &new, ..*pair };
    check_singled(&single, context, &align(&old, &new))
}

fn check_singled(pair: &Pair, context: &Context, alignment: &Alignment) -> Result<(), Fault> {
    let (old, new) = (&pair.old_ops.ops, &pair.new_ops.ops);
    // where each old operation stands now
    let mut place: Vec<Option<usize>> = vec![None; old.len()];
    for (i, j) in &alignment.kept {
        place[*i] = Some(*j);
    }
    let mut fresh = alignment.added.clone();
    for i in &alignment.removed {
        let Some(k) = fresh.iter().position(|j| same(pair.old_ops, &old[*i], pair.new_ops, &new[*j])) else {
            return fault("V2", format!("this is gone or differs: {}", old[*i]));
        };
        place[*i] = Some(fresh.remove(k));
    }
    let moved: Vec<usize> = place.iter().copied().flatten().collect();
    let mut parts: Vec<(usize, &Copy)> = Vec::new();
    let mut early: Vec<(usize, &Exec)> = Vec::new();
    for j in fresh {
        match &new[j] {
            Op::Copy(copy) => parts.push((j, copy)),
            // a command that is declared once is new once
            Op::Exec(exec) if early.iter().filter(|(_, e)| *e == exec).count() < times_added(pair, exec) => {
                early.push((j, exec));
            }
            op => return fault("V2", format!("this is new: {op}")),
        }
    }
    everything_declared_is_done(pair, &early, &moved)?;
    let side = Side { pair, context, parts };
    for (j, part) in &side.parts {
        side.is_part(*j, part)?;
    }
    for (j, exec) in &early {
        side.is_early(*j, exec)?;
    }
    for i in 0..moved.len() {
        for k in i + 1..moved.len() {
            if moved[i] > moved[k] {
                side.may_cross(&old[i], &old[k], moved[k])?;
            }
        }
    }
    side.ignores_are_harmless()
}

/// What is declared to be new is there, and a command that is declared to move stands before something that it stood behind.
fn everything_declared_is_done(pair: &Pair, early: &[(usize, &Exec)], moved: &[usize]) -> Result<(), Fault> {
    for effect in pair.claim.effects {
        if let Effect::CommandAdded { command } = effect
            && !early.iter().any(|(_, e)| e.unit == *command)
        {
            return fault("V2", format!("this is declared to be new and is not there: {command}"));
        }
    }
    for effect in pair.claim.effects {
        let Effect::CommandMoved { command } = effect else { continue };
        let program = command.split(' ').next().and_then(|p| p.rsplit('/').next()).unwrap_or_default();
        let is_it = |op: &Op| match op {
            // the program may come by a variable
            Op::Exec(e) => e.unit.contains(program) || e.unit.starts_with('$'),
            _ => false,
        };
        let crossed = |k: usize| moved[..k].iter().any(|place| *place > moved[k]);
        if !pair.old_ops.ops.iter().enumerate().any(|(k, op)| is_it(op) && crossed(k)) {
            return fault("V2", format!("this is declared to move and does not: {command}"));
        }
    }
    Ok(())
}

fn times_added(pair: &Pair, exec: &Exec) -> usize {
    let is_it = |e: &&Effect| matches!(e, Effect::CommandAdded { command } if *command == exec.unit);
    pair.claim.effects.iter().filter(is_it).count()
}

struct Side<'a> {
    pair: &'a Pair<'a>,
    context: &'a Context,
    /// The new COPYs, with their places.
    parts: Vec<(usize, &'a Copy)>,
}

impl Side<'_> {
    /// V4: a new COPY brings what a later one brings too, to the same place and with the same owner and mode.
    fn is_part(&self, at: usize, part: &Copy) -> Result<(), Fault> {
        let later = self.pair.new_ops.ops[at + 1..]
            .iter()
            .filter_map(|o| if let Op::Copy(c) = o { Some(c) } else { None });
        for source in &part.sources {
            let Some(lands) = self.landing(part, source) else {
                return fault("V4", format!("{source} is not in the build context, or is a pattern"));
            };
            let covered = later.clone().any(|c| {
                (&c.from, &c.owner, &c.mode, &c.flags) == (&None, &part.owner, &part.mode, &part.flags)
                    && (folder(self.context, c)
                        .is_some_and(|f| through(&f, &c.dst, source).as_deref() == Some(&lands))
                        || self
                            .files(c)
                            .is_some_and(|files| files.contains(&(source.clone(), lands.clone()))))
            });
            if part.from.is_some() || !covered {
                return fault("V4", format!("no later COPY brings {source} to {lands} in the same way"));
            }
        }
        Ok(())
    }

    /// The files, and folders with all in them, that a COPY of the context brings, each with where it lands; None where that is
    /// not plain.
    fn files(&self, copy: &Copy) -> Option<Vec<(String, String)>> {
        let known =
            copy.from.is_none() && copy.dst.starts_with('/') && copy.flags.iter().all(|f| f == "--link");
        let mut out = Vec::new();
        for source in copy.sources.iter().filter(|_| known) {
            let paths = self.context.select(source).filter(|paths| !paths.is_empty())?;
            for path in &paths {
                let name = path.rsplit('/').next()?;
                let lands = match self.context.entry(path)?.kind {
                    FileKind::Dir => copy.dst.clone(),
                    FileKind::File if copy.is_add && self.context.may_be_archive(path) => return None,
                    FileKind::File if copy.into => join(&copy.dst, name),
                    FileKind::File if paths.len() == 1 && copy.dst.ends_with(&format!("/{name}")) => {
                        copy.dst.clone()
                    }
                    FileKind::File | FileKind::Symlink | FileKind::Other => return None,
                };
                out.push((path.clone(), lands));
            }
        }
        (!out.is_empty()).then_some(out)
    }

    /// What the COPYs of the context before operation `end` put together in the one folder in which `copy` lands: the folder of
    /// the context, that of the image, and what there is. None where one of them lands there in another way.
    fn assembled(&self, copy: &Copy, ops: &[Op]) -> Option<(String, String, Context)> {
        let (path, lands) = self.files(copy)?.into_iter().next()?;
        let (source, target) = shift(&path, &lands);
        let mut sources = Vec::new();
        for op in ops {
            let Op::Copy(other) = op else { continue };
            if other.from.is_some() {
                continue;
            }
            let apart =
                other.dst.starts_with('/') && !covers(&other.dst, &target) && !covers(&target, &other.dst);
            let files = self.files(other);
            let alike =
                |(path, lands): &(String, String)| shift(path, lands) == (source.clone(), target.clone());
            match files {
                Some(files) if files.iter().all(alike) => sources.extend(other.sources.clone()),
                _ if apart => {}
                _ => return None,
            }
        }
        Some((source, target, self.context.only(&sources)))
    }

    /// Where a source of a new COPY lands: a file below the destination, the contents of a folder in it.
    fn landing(&self, part: &Copy, source: &str) -> Option<String> {
        let name = source.trim_start_matches("./").trim_end_matches('/');
        let entry = self.context.entry(name)?;
        match entry.kind {
            FileKind::Dir => Some(part.dst.clone()),
            _ if part.into => Some(join(&part.dst, name.rsplit('/').next()?)),
            _ => None,
        }
    }

    /// An early command is the one that the catalogue has for an install further down.
    fn is_early(&self, at: usize, exec: &Exec) -> Result<(), Fault> {
        let later = &self.pair.new_ops.ops[at + 1..];
        let copies = || later.iter().filter_map(|o| if let Op::Copy(c) = o { Some((o, c)) } else { None });
        let broad = copies().find_map(|(o, _)| self.as_broad(o));
        let mut views: Vec<(String, String, Option<Context>)> =
            broad.map(|(_, source, target)| (source, target, None)).into_iter().collect();
        let broads = views.len();
        if copies().all(|(_, c)| c.from.is_some()) {
            return fault("V2", format!("no COPY follows the early {}", exec.unit));
        }
        let execs = later
            .iter()
            .enumerate()
            .filter_map(|(i, o)| if let Op::Exec(e) = o { Some((i, e)) } else { None });
        for (place, install) in execs {
            let ops = &self.pair.new_ops.ops[..at + 1 + place];
            views.truncate(broads);
            let first = copies().find(|(_, c)| c.from.is_none()).and_then(|(_, c)| self.assembled(c, ops));
            views.extend(first.map(|(source, target, part)| (source, target, Some(part))));
            let found = views.iter().find_map(|(source, target, part)| {
                let context = part.as_ref().unwrap_or(self.context);
                let needs = self.installs(install, source, target, context);
                let is_it = needs.iter().any(|n| n.early.as_deref() == Some(&exec.unit));
                is_it.then(|| (needs, source.clone(), target.clone()))
            });
            let (needs, source, target) = found.unwrap_or_default();
            if needs.iter().any(|n| n.early.as_deref() == Some(&exec.unit)) {
                let prepared = |o: &Op| match o {
                    Op::Exec(e) => e.at == install.at && e != install && !e.unit.starts_with("cd "),
                    _ => false,
                };
                let before = self.pair.new_ops.ops.iter().take_while(|o| **o != Op::Exec(install.clone()));
                if self.pair.claim.level == Level::Safe && before.into_iter().any(prepared) {
                    return fault("V3", format!("`{}` may need what its RUN does first", exec.unit));
                }
                let state =
                    |e: &Exec| (self.pair.new_ops.trail(&Op::Exec(e.clone())).join("\n"), e.flags.clone());
                if state(exec) != state(install) {
                    return fault(
                        "V3",
                        format!("`{}` runs under another state than `{}`", exec.unit, install.unit),
                    );
                }
                for n in needs.iter().filter(|n| n.early.is_some()) {
                    self.has_manifests(n, &source, &target, at)?;
                }
                return self.level_fits(&needs);
            }
        }
        fault("V2", format!("no install needs the early {}", exec.unit))
    }

    /// V3: `before` stood before `after` and now stands behind it, at `place`.
    fn may_cross(&self, before: &Op, after: &Op, place: usize) -> Result<(), Fault> {
        let Op::Copy(copy) = before else {
            return fault("V3", format!("this moved below what may depend on it: {before}"));
        };
        let broad = self.as_broad(before).map(|(_, source, target)| (source, target));
        let files = self.files(copy);
        if broad.is_none() && files.is_none() {
            return fault("V3", format!("this moved below what may depend on it: {before}"));
        }
        // all that it brings lands here or below
        let target = broad.as_ref().map_or(&copy.dst, |(_, target)| target).clone();
        match after {
            Op::Dir(dir) => {
                // a folder that a COPY made stays as it is, so one of the COPYs before must make it
                let makes = |o: &Op| match o {
                    Op::Copy(c) => c.from.is_none() && covers(&dir.path, &c.dst),
                    Op::Dir(d) => covers(&dir.path, &d.path),
                    Op::Exec(_) => false,
                };
                let made = self.pair.new_ops.ops[..place].iter().any(makes);
                let apart = !covers(&target, &dir.path) && !covers(&dir.path, &target);
                if made || apart {
                    Ok(())
                } else {
                    fault("V4", format!("WORKDIR {} would make what COPY made", dir.path))
                }
            }
            Op::Copy(c) => {
                let known = c.dst.starts_with('/') && target != "/";
                if known && !covers(&c.dst, &target) && !covers(&target, &c.dst) {
                    return Ok(());
                }
                // in the same way, from where it lies to where it lies: which comes first does not matter
                let alike = (&copy.owner, &copy.mode, &copy.flags) == (&c.owner, &c.mode, &c.flags);
                let shifts = |files: Vec<(String, String)>| -> Vec<_> {
                    files.iter().map(|(path, lands)| shift(path, lands)).collect()
                };
                let ours = files.map(shifts).unwrap_or_default();
                let theirs = self.files(c).map(shifts).unwrap_or_default();
                let one = |s: &(String, String)| ours.first() == Some(s);
                if alike && !theirs.is_empty() && ours.iter().chain(&theirs).all(one) {
                    return Ok(());
                }
                fault("V3", format!("a COPY to {} moved over one to {}", copy.dst, c.dst))
            }
            Op::Exec(exec) if self.is_blind(exec, &target) => Ok(()),
            Op::Exec(exec) => {
                if let Some((source, target)) = &broad {
                    let needs = self.needs(exec, source, target, self.context);
                    let apart = files.is_some() && needs.is_err();
                    if !apart {
                        return self.keeps(exec, &needs?, source, target, self.context, place);
                    }
                }
                let at = exec.at_in(self.pair.old_ops);
                let before = self.pair.old_ops.ops.iter().take_while(|o| o.at() < at).count();
                let Some((source, target, part)) = self.assembled(copy, &self.pair.old_ops.ops[..before])
                else {
                    return fault("V3", format!("this moved below what may depend on it: {before}"));
                };
                let needs = self.needs(exec, &source, &target, &part)?;
                self.keeps(exec, &needs, &source, &target, &self.context.only(&copy.sources), place)
            }
        }
    }

    /// Whether an install over which a COPY moved still reads all that it needs, and keeps what it writes; `late` is what comes later.
    fn keeps(
        &self,
        exec: &Exec,
        needs: &[Needs],
        source: &str,
        target: &str,
        late: &Context,
        place: usize,
    ) -> Result<(), Fault> {
        for n in needs {
            if n.early.is_some() {
                return fault(
                    "V3",
                    format!("`{}` reads the sources: only a part of it may run before them", exec.unit),
                );
            }
            self.has_manifests(n, source, target, place)?;
            if let Err(found) = overlay(n, late, "") {
                let lines = found.missing_ignore_lines.join(", ");
                return fault("V4", format!("the COPY may lay {lines} over what `{}` wrote", exec.unit));
            }
        }
        self.level_fits(needs)
    }

    fn level_fits(&self, needs: &[Needs]) -> Result<(), Fault> {
        let enough = needs.iter().all(|n| n.level >= self.pair.claim.level);
        if enough { Ok(()) } else { fault("V4", "the install is not proved to be the same each time") }
    }

    /// A COPY of one folder of the context: that folder, and where it lands.
    fn as_broad<'b>(&self, op: &'b Op) -> Option<(&'b Copy, String, String)> {
        let Op::Copy(copy) = op else { return None };
        Some((copy, folder(self.context, copy)?, copy.dst.clone()))
    }

    /// What the installs among the commands of a unit read, whatever else it does.
    fn installs(&self, exec: &Exec, source: &str, target: &str, context: &Context) -> Vec<Needs> {
        let facts = self.pair.old.facts;
        let at = exec.at_in(self.pair.old_ops);
        let (Some(run), Some(state)) = (facts.run(at), facts.before(at)) else { return Vec::new() };
        let env = known_env(state);
        let mut cwd = state.cwd.clone();
        let mut out = Vec::new();
        for (argv, assigned) in self.commands(exec, at, run, None).unwrap_or_default() {
            if argv[0] == "cd" {
                cwd = argv.get(1).and_then(|d| cwd.as_deref().map(|c| join(c, d)));
            }
            let (Recognized::Install(install), Some(cwd)) = (Ecosystems::builtin().recognize(&argv), &cwd)
            else {
                continue;
            };
            let place = Place::new(source, target, cwd, &env).assign(&assigned);
            out.extend(needs_at(&install, context, &place, Ecosystems::builtin()).ok());
        }
        out
    }

    /// What the installs of a unit read; an error if it does anything else.
    fn needs(&self, exec: &Exec, source: &str, target: &str, context: &Context) -> Result<Vec<Needs>, Fault> {
        let opaque = || fault("V3", format!("this may read the sources: {}", exec.unit));
        let facts = self.pair.old.facts;
        let at = exec.at_in(self.pair.old_ops);
        let (Some(run), Some(state)) = (facts.run(at), facts.before(at)) else { return opaque() };
        let env = known_env(state);
        let mut cwd = state.cwd.clone();
        let Some(commands) = self.commands(exec, at, run, Some(target)) else { return opaque() };
        let mut out = Vec::new();
        for (argv, assigned) in commands {
            if argv[0] == "cd" {
                cwd = argv.get(1).and_then(|d| {
                    if d.starts_with('/') { Some(d.clone()) } else { cwd.as_deref().map(|c| join(c, d)) }
                });
                continue;
            }
            match Ecosystems::builtin().recognize(&argv) {
                Recognized::Install(install) => {
                    let Some(cwd) = cwd.as_deref() else { return opaque() };
                    let place = Place::new(source, target, cwd, &env).assign(&assigned);
                    match needs_at(&install, context, &place, Ecosystems::builtin()) {
                        Ok(needs) => out.push(needs),
                        Err(refusal) => {
                            return fault("V3", format!("`{}`: {}", install.command, refusal.message));
                        }
                    }
                }
                _ if self.blind_command(&argv, cwd.as_deref(), target) => {}
                _ => return opaque(),
            }
        }
        if out.is_empty() { opaque() } else { Ok(out) }
    }

    /// The commands of a unit with what is assigned before each; with a `target`, None where it does anything but run them, ask for
    /// variables, and write files that lie elsewhere.
    fn commands(
        &self,
        exec: &Exec,
        at: usize,
        run: &Run,
        target: Option<&str>,
    ) -> Option<Vec<(Vec<String>, Vec<Assigned>)>> {
        if run.form == crate::facts::Form::Exec {
            let words = self.pair.old.file.instructions[at].args().iter().map(|a| a.value.clone()).collect();
            return Some(vec![(words, Vec::new())]);
        }
        let facts = self.pair.old.facts;
        let all = target.is_some();
        let target = target.unwrap_or("/");
        let script =
            crate::shell::parse(&crate::syntax::Joined::of(exec.unit.as_bytes()), run.shell?.dialect);
        let listed = script.and_list().is_some();
        if all && (script.error().is_some() || !is_plain(script.statements(), target)) {
            return None;
        }
        let mut out = Vec::new();
        for command in script.commands() {
            let simple = command.simple;
            if all && simple.redirects.iter().any(|r| is_of_a_file(r, target)) {
                return None;
            }
            let value = |word: &Word| {
                let alone = Simple { words: vec![word.clone()], ..Simple::default() };
                facts.argv_in(&script, at, &alone)?.pop()
            };
            let text = |word: &Word| String::from_utf8_lossy(script.text(word.span)).into_owned();
            let guess = || {
                let words: Vec<_> = simple.words.iter().map(|w| (value(w), text(w))).collect();
                Ecosystems::builtin().guess_words(&words)
            };
            let assigned = simple
                .assigns
                .iter()
                .map(|a| Assigned { name: a.name.clone(), value: value(&a.value).filter(|_| !a.partial) });
            match facts.argv_in(&script, at, simple).or_else(guess) {
                Some(argv) if argv.is_empty() => {}
                // only a list knows where it is
                Some(argv) if all && argv[0] == "cd" && !listed => return None,
                Some(argv) => out.push((argv, assigned.collect())),
                None if !all || is_variable_test(&script, simple) => {}
                None => return None,
            }
        }
        Some(out)
    }

    /// Each file that an install reads is there before it, by one of the new COPYs.
    fn has_manifests(&self, needs: &Needs, source: &str, target: &str, place: usize) -> Result<(), Fault> {
        for file in &needs.files {
            let lands = through(source, target, file);
            // the last COPY that lands there counts
            let brought = self.pair.new_ops.ops[..place].iter().rev().find_map(|o| {
                let Op::Copy(copy) = o else { return None };
                self.files(copy)?.into_iter().find_map(|(path, landing)| {
                    let inner = file.strip_prefix(&format!("{path}/"));
                    let it =
                        (path == *file).then(|| landing.clone()).or_else(|| Some(join(&landing, inner?)));
                    if it.is_some() && it == lands {
                        return Some(true);
                    }
                    (Some(&landing) == lands.as_ref()).then_some(false)
                })
            }) == Some(true);
            if !brought {
                return fault("V3", format!("the install reads {file}, which only comes later"));
            }
        }
        Ok(())
    }

    /// Whether a unit neither reads nor writes where the COPY lands.
    fn is_blind(&self, exec: &Exec, target: &str) -> bool {
        let facts = self.pair.old.facts;
        let at = exec.at_in(self.pair.old_ops);
        let (Some(run), Some(state)) = (facts.run(at), facts.before(at)) else { return false };
        let Some(commands) = self.commands(exec, at, run, Some(target)) else { return false };
        let mut cwd = state.cwd.clone();
        run.form == crate::facts::Form::Shell
            && commands.iter().all(|(argv, _)| {
                if argv[0] == "cd" {
                    cwd = argv.get(1).and_then(|d| cwd.as_deref().map(|c| join(c, d)));
                }
                argv[0] == "cd" || self.blind_command(argv, cwd.as_deref(), target)
            })
    }

    /// Whether a COPY to `target` may bring what configures an installer of packages: in the system's folders or in a home.
    fn lands_among_settings(&self, target: &str) -> bool {
        let copies = self.pair.old_ops.ops.iter().filter_map(|o| self.as_broad(o));
        let sources: Vec<String> =
            copies.filter(|(.., to)| to == target).map(|(_, source, _)| source).collect();
        let brings = |name: &str| {
            sources
                .iter()
                .any(|s| self.context.entry(join(&format!("/{s}"), name).trim_start_matches('/')).is_some())
        };
        let system = ["/etc", "/usr/local/etc"].iter().any(|dir| covers(dir, target));
        let shallow = target.matches('/').count() == 1 && ["/bin", "/lib", "/sbin", "/usr"].contains(&target);
        let root = target == "/"
            && ["etc", "usr", "root", "home", "var", "opt", "bin", "lib", "sbin"].map(brings).contains(&true);
        let home = (target == "/root" || parent(target) == "/home")
            && [".npmrc", ".config", ".pip", ".gemrc", ".netrc", ".yarnrc", ".cargo"]
                .map(brings)
                .contains(&true);
        system || shallow || root || home
    }

    /// `python -m venv DIR`, where nothing that the COPY may ever bring lies in that folder.
    fn makes_kept_venv(&self, argv: &[String], cwd: Option<&str>, target: &str) -> bool {
        let [program, flag, module, path] = argv else { return false };
        let python = program.rsplit('/').next().is_some_and(|p| p.starts_with("python"));
        let made = if path.starts_with('/') { Some(join("/", path)) } else { cwd.map(|c| join(c, path)) };
        let Some(made) = made.filter(|_| python && flag == "-m" && module == "venv") else { return false };
        if !covers(&made, target) && !covers(target, &made) {
            return true;
        }
        // where the broad COPY is of the root of the context
        let inner = made.strip_prefix(target).map(|p| p.trim_start_matches('/'));
        let whole =
            |o: &Op| self.as_broad(o).is_some_and(|(_, source, to)| source.is_empty() && to == target);
        let inner = inner.filter(|p| !p.is_empty() && self.pair.new_ops.ops.iter().any(whole));
        inner.is_some_and(|p| matches!(self.context.may_carry(p), crate::context::Carry::No { .. }))
    }

    fn blind_command(&self, argv: &[String], cwd: Option<&str>, target: &str) -> bool {
        let known = self.pair.knowledge.command(argv);
        let by_name = argv
            .iter()
            .skip(1)
            .all(|w| !w.contains(['/', '$', '`']) || w.starts_with("http") || w.starts_with('@'));
        let apart = |paths: &Paths| match paths {
            Paths::None => true,
            Paths::Everything => false,
            Paths::Some(paths) => paths.iter().all(|p| {
                let p = p.trim_end_matches("/**");
                let path = if p.starts_with('/') { Some(join("/", p)) } else { cwd.map(|c| join(c, p)) };
                path.is_some_and(|p| !covers(&p, target) && !covers(target, &p))
            }),
        };
        match known.class {
            Class::Packages | Class::Index | Class::Install if self.lands_among_settings(target) => false,
            _ if Ecosystems::builtin().is_aside(argv) => !self.lands_among_settings(target),
            _ if self.makes_kept_venv(argv, cwd, target) => true,
            Class::Index | Class::Cleanup => true,
            Class::Packages => by_name,
            Class::Install => Ecosystems::builtin().installs_by_name(argv),
            Class::Config if matches!(argv[0].as_str(), "[" | "test") => {
                !argv.iter().any(|w| is_file_operator(w))
            }
            Class::Config => apart(&known.reads) && apart(&known.writes) && apart(&known.deletes),
            Class::Fetch | Class::Build | Class::Daemon | Class::Unknown => false,
        }
    }

    /// A new line of the ignore file changes what every COPY brings: at safe it may only leave out what is not there, or what the
    /// install deletes first.
    fn ignores_are_harmless(&self) -> Result<(), Fault> {
        let Some(before) = self.pair.old.context.filter(|_| self.pair.claim.level == Level::Safe) else {
            return Ok(());
        };
        for effect in self.pair.claim.effects {
            if let Effect::ContextNarrowed { line } = effect {
                let path = line.trim_start_matches("**/");
                let tracked = before.entry(path).is_some_and(|e| e.tracked != Some(false));
                if tracked {
                    return fault("V4", format!("{path} would no longer be part of the build context"));
                }
            }
        }
        Ok(())
    }
}

/// The variables of a state whose values are known.
fn known_env(state: &State) -> Vec<(String, String)> {
    let known =
        |v: &crate::facts::Variable| Some((v.name.clone(), v.value.clone().filter(|_| !v.by_argument)?));
    state.variables.iter().filter_map(known).collect()
}

/// Whether a redirect is one of a file that may lie where the COPY lands.
fn is_of_a_file(redirect: &Redirect, target: &str) -> bool {
    let elsewhere = |file: &str| {
        let lies = join("/", file);
        !covers(&lies, target) && !covers(target, &lies)
    };
    let named = redirect.target.as_ref().and_then(Word::literal).filter(|file| file.starts_with('/'));
    redirect.kind != RedirectKind::Dup && !named.is_some_and(|file| file == "/dev/null" || elsewhere(file))
}

/// Commands, their groups and conditions; no loop, function or background.
fn is_plain(statements: &[Statement], target: &str) -> bool {
    let kind = |kind: &NodeKind| match kind {
        NodeKind::Simple(_) => true,
        NodeKind::Pipeline { parts, .. } => parts.iter().all(|p| matches!(p.kind, NodeKind::Simple(_))),
        NodeKind::Group(inner) | NodeKind::Subshell(inner) => is_plain(inner, target),
        NodeKind::If { branches, otherwise } => {
            let all = branches.iter().all(|(test, then)| is_plain(test, target) && is_plain(then, target));
            all && otherwise.as_deref().is_none_or(|body| is_plain(body, target))
        }
        _ => false,
    };
    statements.iter().all(|s| {
        s.terminator != Terminator::Background
            && s.list.nodes().all(|n| kind(&n.kind) && !n.redirects.iter().any(|r| is_of_a_file(r, target)))
    })
}

/// A test that looks at no file, or an echo, whatever the values of its variables.
fn is_variable_test(script: &Script, simple: &Simple) -> bool {
    let word = |w: &Word| String::from_utf8_lossy(script.text(w.span)).into_owned();
    matches!(simple.name(), Some("[" | "test" | "echo"))
        && !simple.words.iter().any(|w| is_file_operator(&word(w)))
}

fn is_file_operator(word: &str) -> bool {
    let one = word.len() == 2 && word.starts_with('-');
    (one && !["-z", "-n", "-a", "-o"].contains(&word)) || ["-nt", "-ot", "-ef"].contains(&word)
}

impl Op {
    fn at(&self) -> usize {
        match self {
            Op::Exec(e) => e.at,
            Op::Copy(c) => c.at,
            Op::Dir(d) => d.at,
        }
    }
}

impl Exec {
    /// Its instruction in the old text: an operation of the new text is looked up by what it says.
    fn at_in(&self, old: &lower::Stage) -> usize {
        let own = old.ops.iter().find_map(|o| match o {
            Op::Exec(e) if e == self => Some(e.at),
            _ => None,
        });
        own.unwrap_or(self.at)
    }
}

/// The one folder of the context that a COPY brings, relative and without slashes at its ends.
fn folder(context: &Context, copy: &Copy) -> Option<String> {
    let [source] = copy.sources.as_slice() else { return None };
    // `--exclude` and `--parents` make of the folder something else
    if copy.from.is_some() || copy.flags.iter().any(|f| !f.starts_with("--link")) {
        return None;
    }
    let path = source.trim_start_matches("./").trim_matches('/');
    match path {
        "" | "." => Some(String::new()),
        _ => (context.entry(path)?.kind == FileKind::Dir).then(|| path.to_owned()),
    }
}

/// Where `file` lands when the folder `source` is copied to `target`.
fn through(source: &str, target: &str, file: &str) -> Option<String> {
    let file = file.trim_start_matches("./").trim_end_matches('/');
    let inner = if source.is_empty() { Some(file) } else { file.strip_prefix(&format!("{source}/")) };
    let lands = join(target, inner?);
    // never above the destination
    (covers(target, &lands) && parent(&lands) != lands).then_some(lands)
}
