//! Whether owners or modes moved from a command to a COPY and are the same at the end of the stage.
//!
//! Both sides are simulated. What lies in the stage is a list of things: what each COPY brings, each folder that WORKDIR or a COPY
//! makes, what each command writes, what the base has. A `chown` covers a thing, or a part of it, or may reach into it. In the end
//! each thing must have the same owner on both sides, whether that came from a flag or from a command.

use std::collections::BTreeMap;

use super::{Alignment, Fault, Pair, View, fault, lower};
use crate::{
    context::{FileKind, Stat},
    facts::{Accounts, Owner, State, covers, join, parent},
    knowledge::Class,
    pass::Assumption,
};
use content::{copies_stay, landings, mode_of, unpacks_nothing};
use lower::{Copy, Exec, Op, Stage};

mod content;

/// The two attributes of a file that a COPY flag sets.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Attribute {
    Owner,
    Mode,
}

/// Something in the image whose attribute is followed.
struct Thing {
    path: String,
    /// Whether it goes on below its path.
    below: bool,
    /// Whether it is not known to be at its path at all: what a command wrote that is not understood.
    anywhere: bool,
    /// What it is at first, then what reached a part of it.
    value: String,
    parts: Vec<String>,
    /// How many things were there before it.
    order: usize,
}

/// `chown -R app:app /app`, read.
struct Change {
    recursive: bool,
    value: String,
    paths: Vec<String>,
}

pub(super) fn check(pair: &Pair, alignment: &Alignment) -> Result<(), Fault> {
    let (removed, added) = (pair.removed(alignment), pair.added(alignment));
    let copies = |ops: &[&Op]| -> Vec<Copy> {
        ops.iter().filter_map(|o| if let Op::Copy(c) = o { Some(c.clone()) } else { None }).collect()
    };
    let (old_copies, new_copies) = (copies(&removed), copies(&added));
    if old_copies.len() != new_copies.len()
        || !old_copies.iter().zip(&new_copies).all(|(a, b)| a.is_same_but_owner_and_mode(b))
    {
        return fault("V2", "a COPY differs in more than owner and mode");
    }
    copies_stay(pair, alignment)?;
    for (op, side) in removed.iter().map(|o| (o, pair.old)).chain(added.iter().map(|o| (o, pair.new))) {
        match op {
            Op::Copy(_) => {}
            Op::Exec(e) if attribute_of(side, e).is_some() => {}
            op => return fault("V2", format!("this is no change of owner or mode: {op}")),
        }
    }
    // a mount may hide the path; other flags a new command has only where the old one had them
    let flags = |ops: &[&Op]| -> Vec<Vec<String>> {
        let flags = ops.iter().filter_map(|o| if let Op::Exec(e) = o { Some(e.flags.clone()) } else { None });
        flags.filter(|f| !f.is_empty()).collect()
    };
    let (had, has) = (flags(&removed), flags(&added));
    if had.iter().chain(&has).flatten().any(|f| f.starts_with("--mount"))
        || has.iter().any(|f| !had.contains(f))
    {
        return fault("V2", "a change of owner or mode runs with other mounts, network or security");
    }
    for op in &added {
        let Op::Exec(e) = op else { continue };
        if change(pair.new, e).is_some_and(|(_, c)| c.recursive) {
            return fault("V4", format!("a recursive change is new: {}", e.unit));
        }
        let root = pair.new.facts.before(e.at).and_then(State::is_root);
        if !root.unwrap_or(pair.claim.assumes.contains(&Assumption::BaseRunsAsRoot)) {
            return fault("V4", format!("this does not run as root, and so may fail: {}", e.unit));
        }
    }
    if new_copies.iter().any(|c| c.is_add && !unpacks_nothing(pair.new, c)) {
        return fault("V4", "ADD may unpack an archive, whose owners and modes depend on the builder");
    }
    let mut gone = Vec::new();
    for op in &removed {
        if let Op::Exec(e) = op
            && let Some((attribute, change)) = change(pair.old, e)
        {
            for other in &pair.old_ops.ops {
                let Op::Copy(copy) = other else { continue };
                let meets = |p: &String| covers(p, &copy.dst) || covers(&copy.dst, p);
                if attribute == Attribute::Owner && change.paths.iter().any(meets) {
                    owners_may_move(pair, copy)?;
                }
            }
            gone.push(change);
        }
    }
    nothing_looks(pair, alignment, &gone)?;
    let has = |side: &View, ops: &[&Op], attribute| {
        ops.iter().any(|o| matches!(o, Op::Exec(e) if attribute_of(side, e) == Some(attribute)))
    };
    for attribute in [Attribute::Owner, Attribute::Mode] {
        let flags = |c: &Copy| if attribute == Attribute::Owner { c.owner.clone() } else { c.mode.clone() };
        let flags_differ = old_copies.iter().zip(&new_copies).any(|(a, b)| flags(a) != flags(b));
        if !flags_differ && !has(pair.old, &removed, attribute) && !has(pair.new, &added, attribute) {
            continue;
        }
        let old = simulate(pair, pair.old, pair.old_ops, attribute)?;
        let new = simulate(pair, pair.new, pair.new_ops, attribute)?;
        for op in &added {
            if let Op::Exec(e) = op
                && let Some((a, c)) = change(pair.new, e)
                && a == attribute
            {
                let there = |p: &&String| {
                    let known = new.values().any(|t| t.path == **p && !t.below && !t.anywhere);
                    known || gone.iter().any(|g: &Change| g.paths.contains(p))
                };
                if let Some(path) = c.paths.iter().find(|p| !there(p)) {
                    return fault("V4", format!("{path} may not be there, and then this fails: {}", e.unit));
                }
            }
        }
        for (key, a) in &old {
            let b = new.get(key);
            if b.is_none_or(|b| (&a.value, &a.parts) != (&b.value, &b.parts)) {
                let show = |t: &Thing| format!("{} {}", t.value, t.parts.join(" ")).trim().to_owned();
                let what = if attribute == Attribute::Owner { "owner" } else { "mode" };
                let after = b.map_or_else(|| "nothing".to_owned(), show);
                return fault(
                    "V4",
                    format!("the {what} of {} ({key}) was {} and becomes {after}", a.path, show(a)),
                );
            }
        }
        if let Some((key, _)) = new.iter().find(|(k, _)| !old.contains_key(*k)) {
            return fault("V4", format!("this is new: {key}"));
        }
    }
    Ok(())
}

/// Whether a unit is a chown, chgrp or chmod of paths that are known.
fn attribute_of(view: &View, exec: &Exec) -> Option<Attribute> {
    change(view, exec).map(|(a, _)| a)
}

fn words(view: &View, exec: &Exec) -> Option<Vec<String>> {
    let run = view.facts.run(exec.at)?;
    let text = crate::syntax::Joined::of(exec.unit.as_bytes());
    let script = crate::shell::parse(&text, run.shell?.dialect);
    match script.and_list()?.as_slice() {
        [one] => match &one.kind {
            crate::shell::NodeKind::Simple(s) if s.assigns.is_empty() && s.redirects.is_empty() => {
                view.facts.argv_in(&script, exec.at, s)
            }
            _ => None,
        },
        _ => None,
    }
}

fn change(view: &View, exec: &Exec) -> Option<(Attribute, Change)> {
    let argv = words(view, exec)?;
    let attribute = match argv.first()?.rsplit('/').next()? {
        "chown" | "chgrp" => Attribute::Owner,
        "chmod" => Attribute::Mode,
        _ => return None,
    };
    let state = view.facts.before(exec.at)?;
    // its own RUN may make the account
    let accounts = &view.facts.after(exec.at)?.accounts;
    let mut operands = Vec::new();
    let mut recursive = false;
    for word in &argv[1..] {
        match word.as_str() {
            "--recursive" => recursive = true,
            "--no-dereference" | "--quiet" | "--silent" | "--verbose" | "--changes" => {}
            w if w.starts_with("--") => return None,
            w if w.starts_with('-') && w.len() > 1 && w[1..].chars().all(|c| "Rhvcf".contains(c)) => {
                recursive |= w.contains('R')
            }
            w if w.starts_with('-') && attribute == Attribute::Owner => return None,
            w => operands.push(w.to_owned()),
        }
    }
    if operands.len() < 2 {
        return None;
    }
    let spec = operands.remove(0);
    let paths = operands
        .iter()
        .map(|p| {
            if p.contains(['*', '?', '[']) {
                None
            } else if p.starts_with('/') {
                Some(join("/", p))
            } else {
                Some(join(state.cwd.as_deref()?, p))
            }
        })
        .collect::<Option<Vec<String>>>()?;
    let value = match attribute {
        Attribute::Owner if argv[0].ends_with("chgrp") => {
            format!("*:{}", id(group_id(accounts, &spec), &spec))
        }
        Attribute::Owner => owner_of_chown(accounts, &spec),
        Attribute::Mode => mode(&spec),
    };
    Some((attribute, Change { recursive, value, paths }))
}

fn id(owner: Option<Owner>, text: &str) -> String {
    match owner {
        Some(Owner::Number(n)) => n.to_string(),
        Some(Owner::Name(name)) => name,
        None => format!("?{text}"),
    }
}

/// What chown(1) makes of a spec: `user:group`, with `*` for what stays.
fn owner_of_chown(accounts: &Accounts, spec: &str) -> String {
    match spec.split_once(':') {
        None => format!("{}:*", id(user_id(accounts, spec), spec)),
        Some((user, "")) => {
            let group = accounts.user(user).and_then(|u| u.group.clone());
            format!(
                "{}:{}",
                id(user_id(accounts, user), user),
                named(accounts, group).unwrap_or_else(|| format!("?login of {user}"))
            )
        }
        Some(("", group)) => format!("*:{}", id(group_id(accounts, group), group)),
        Some((user, group)) => {
            format!("{}:{}", id(user_id(accounts, user), user), id(group_id(accounts, group), group))
        }
    }
}

fn named(accounts: &Accounts, owner: Option<Owner>) -> Option<String> {
    Some(match owner? {
        Owner::Number(n) => n.to_string(),
        Owner::Name(n) => accounts.group(&n).and_then(|g| g.id).map_or(n, |n| n.to_string()),
    })
}

/// What BuildKit makes of a `--chown` (semantics B.1.5): `user:group`. An unknown name is root there, without a word: a fault here.
fn owner_of_copy(state: &State, spec: &str) -> Result<String, Fault> {
    let accounts = &state.accounts;
    let known = |owner: Option<Owner>, text: &str| match owner {
        Some(owner) => Ok(id(Some(owner), text)),
        None => fault(
            "V4",
            format!("`{text}` may not exist where --chown={spec} stands, and would be root without a word"),
        ),
    };
    match spec.split_once(':') {
        None => {
            let user = known(user_id(accounts, spec), spec)?;
            if spec.parse::<u32>().is_ok() {
                return Ok(format!("{user}:{user}"));
            }
            match named(accounts, accounts.user(spec).and_then(|u| u.group.clone())) {
                Some(group) => Ok(format!("{user}:{group}")),
                None => fault("V4", format!("the login group of {spec} is not known")),
            }
        }
        Some((user, group)) => Ok(format!(
            "{}:{}",
            known(user_id(accounts, user), user)?,
            known(group_id(accounts, group), group)?
        )),
    }
}

/// `root` is 0 for the builder without a look at the files, and for each system.
fn user_id(accounts: &Accounts, name: &str) -> Option<Owner> {
    if name == "root" { Some(Owner::Number(0)) } else { accounts.user_id(name) }
}

fn group_id(accounts: &Accounts, name: &str) -> Option<Owner> {
    if name == "root" { Some(Owner::Number(0)) } else { accounts.group_id(name) }
}

/// A mode without leading zeros.
fn mode(text: &str) -> String {
    let octal = text.chars().all(|c| c.is_digit(8));
    if octal { text.trim_start_matches('0').to_owned() } else { text.to_owned() }
}

/// V3: from the first COPY or change that is new to the last old change that is gone, nothing may look at owners or modes.
fn nothing_looks(pair: &Pair, alignment: &Alignment, changes: &[Change]) -> Result<(), Fault> {
    let ops = &pair.old_ops.ops;
    let is_change = |i: &&usize| matches!(ops[**i], Op::Exec(_));
    let Some(last) = alignment.removed.iter().filter(is_change).max() else { return Ok(()) };
    // what is new stands behind the last operation that both have
    let place = |new: &usize| {
        alignment.kept.iter().filter(|(_, n)| n < new).map(|(old, _)| old + 1).max().unwrap_or(0)
    };
    let first =
        alignment.removed.iter().copied().chain(alignment.added.iter().map(place)).min().unwrap_or(*last);
    for op in &ops[first.min(*last)..*last] {
        let Op::Exec(e) = op else { continue };
        let harmless = match attribute_of(pair.old, e) {
            // chown clears suid and sgid
            Some(Attribute::Mode) => change(pair.old, e).is_some_and(|(_, c)| !sets_special_bits(&c.value)),
            Some(Attribute::Owner) => true,
            None => changes.iter().flat_map(|c| &c.paths).all(|p| is_blind(pair, e, p)),
        };
        if !harmless {
            return fault("V3", format!("this stands between and may notice the owner or mode: {op}"));
        }
    }
    Ok(())
}

fn sets_special_bits(mode: &str) -> bool {
    let octal = mode.chars().all(|c| c.is_digit(8));
    if octal { mode.len() > 3 } else { mode.contains(['s', 't', 'u', 'g']) && mode.contains('s') }
}

/// V4: no file whose owner moves may have suid or sgid, which chown clears and COPY keeps; nor may it come by a way that gives it
/// an owner of its own.
fn owners_may_move(pair: &Pair, copy: &Copy) -> Result<(), Fault> {
    if copy.flags.iter().any(|f| f.starts_with("--link")) {
        return fault("V4", "COPY --link knows no names, and gives folders away that are there already");
    }
    if copy.is_add && !unpacks_nothing(pair.new, copy) {
        return fault("V4", "ADD may unpack an archive, whose owners depend on the builder");
    }
    if copy.from.is_some() {
        let holds = ["/bin", "/sbin", "/usr/bin", "/usr/sbin", "/usr/lib", "/usr/libexec", "/lib"];
        let may = |s: &String| {
            let path = join("/", s);
            path == "/" || path == "/usr" || holds.iter().any(|d| covers(d, &path))
        };
        return match copy.sources.iter().find(|s| may(s)) {
            Some(source) => fault("V4", format!("{source} may have suid or sgid")),
            None if pair
                .new
                .graph
                .sources(copy.at)
                .iter()
                .any(|s| pair.new.facts.gives_rights(*s).is_some()) =>
            {
                fault("V4", "the stage it comes from sets suid, sgid or a capability")
            }
            None => Ok(()),
        };
    }
    let special = |mode: u32| mode & 0o6000 != 0;
    for source in copy.sources.iter().filter(|s| !s.starts_with("<<")) {
        let Some(context) = pair.new.context else {
            return fault("V4", "the modes of what is copied are not known");
        };
        for path in context.select(source).unwrap_or_default() {
            let walk = context.walk(&path, 100_000);
            let own = context.entry(&path).filter(|e| e.kind == FileKind::File);
            let is_special = |e: &Stat| e.kind == FileKind::File && special(e.mode);
            let below = walk.is_none_or(|all| all.iter().any(|(_, e)| is_special(e)));
            if below || own.is_some_and(|e| special(e.mode)) {
                return fault("V4", format!("{source} has suid or sgid, or may have"));
            }
        }
    }
    Ok(())
}

/// Whether a command does not care who owns what lies at `path`.
fn is_blind(pair: &Pair, exec: &Exec, path: &str) -> bool {
    let Some(argv) = words(pair.old, exec).filter(|a| !a.is_empty()) else { return false };
    let facts = pair.knowledge.command(&argv);
    let apart = !pair.old.facts.unit_writes(exec.at, &exec.unit).may_meet(path);
    match facts.class {
        Class::Packages | Class::Index | Class::Cleanup => apart,
        // root may do all of these whoever the owner is
        Class::Config => {
            let harmless = [
                "mkdir", "ln", "touch", "rm", "echo", "printf", "true", "useradd", "adduser", "groupadd",
                "addgroup",
            ];
            let root = pair.old.facts.before(exec.at).and_then(State::is_root);
            let as_root = root.unwrap_or(pair.claim.assumes.contains(&Assumption::BaseRunsAsRoot));
            as_root && harmless.contains(&argv[0].as_str())
        }
        _ => false,
    }
}

/// The things of a stage with their attribute at its end, by a name that both sides share.
fn simulate(
    pair: &Pair,
    view: &View,
    stage: &Stage,
    attribute: Attribute,
) -> Result<BTreeMap<String, Thing>, Fault> {
    let mut sim = Simulation { pair, view, attribute, things: BTreeMap::new(), trees: BTreeMap::new() };
    sim.add("the base image", "/", true, true, "as it is");
    for (path, owner) in view.facts.base_empty_folders(pair.index) {
        let owner = owner.map_or_else(|| "of the base".to_owned(), |(user, group)| format!("{user}:{group}"));
        let value = if attribute == Attribute::Owner { owner.as_str() } else { "of the base" };
        sim.add(&format!("folder {path}"), &path, false, false, value);
    }
    let (mut copies, mut commands) = (0, 0);
    for op in &stage.ops {
        match op {
            Op::Dir(dir) => {
                let root = view.facts.before(dir.at).and_then(State::is_root) == Some(true);
                sim.make_folders(
                    &dir.path,
                    match attribute {
                        Attribute::Mode => "755",
                        Attribute::Owner if root => "0:0",
                        Attribute::Owner => "of WORKDIR",
                    },
                );
            }
            Op::Copy(copy) => {
                copies += 1;
                sim.copy(copy, copies)?;
            }
            Op::Exec(exec) => match change(view, exec) {
                Some((a, change)) if a == attribute => sim.change(&change)?,
                Some(_) => {}
                None => {
                    commands += 1;
                    sim.run(exec, commands);
                }
            },
        }
    }
    Ok(sim.things)
}

struct Simulation<'a> {
    pair: &'a Pair<'a>,
    view: &'a View<'a>,
    attribute: Attribute,
    things: BTreeMap<String, Thing>,
    /// COPYs of folders, by the name of their thing.
    trees: BTreeMap<String, Copy>,
}

impl Simulation<'_> {
    fn add(&mut self, key: &str, path: &str, below: bool, anywhere: bool, value: &str) {
        let (path, value, order) = (path.to_owned(), value.to_owned(), self.things.len());
        let thing = Thing { path, below, anywhere, value, parts: Vec::new(), order };
        self.things.entry(key.to_owned()).or_insert(thing);
    }

    /// A folder and those above it, as far as they are not there yet.
    fn make_folders(&mut self, path: &str, value: &str) {
        let mut at = path;
        while at != "/" {
            if self.view.facts.base_has_folder(self.pair.index, at) {
                return;
            }
            let key = format!("folder {at}");
            if !self.things.contains_key(&key) {
                let value = if self.base_may_have(at) {
                    format!("{value}, or of the base")
                } else {
                    value.to_owned()
                };
                self.add(&key, at, false, false, &value);
            }
            at = parent(at);
        }
    }

    fn base_may_have(&self, path: &str) -> bool {
        let assumed = self.pair.claim.assumes.contains(&Assumption::DestinationIsEmpty);
        !assumed && self.view.facts.base_may_have(self.pair.index, path)
    }

    fn copy(&mut self, copy: &Copy, n: usize) -> Result<(), Fault> {
        let state = self.view.facts.before(copy.at);
        let flag = if self.attribute == Attribute::Owner { &copy.owner } else { &copy.mode };
        let kept =
            if copy.from.is_some() || self.attribute == Attribute::Mode { "of the source" } else { "0:0" };
        let value = match (flag, self.attribute, state) {
            (None, ..) => kept.to_owned(),
            (Some(spec), Attribute::Owner, Some(state)) => owner_of_copy(state, spec)?,
            (Some(spec), ..) => mode(spec),
        };
        let there = |path: &str| {
            self.things.contains_key(&format!("folder {path}"))
                || self.view.facts.base_has_folder(self.pair.index, path)
        };
        let files = landings(self.view, copy, &there);
        // folders that the COPY makes take its owner; of its mode, only with newer builders (semantics B.4.1)
        let folder = match (flag, self.attribute) {
            (Some(_), Attribute::Owner) => value.clone(),
            (Some(_), Attribute::Mode) => "of the builder".to_owned(),
            (None, Attribute::Owner) => "0:0".to_owned(),
            (None, Attribute::Mode) => "755".to_owned(),
        };
        match files {
            Some(files) => {
                for (file, own) in &files {
                    self.make_folders(parent(file), &folder);
                    // the last COPY of a file is what counts
                    self.things.retain(|key, thing| {
                        !(key.starts_with("copy ") && !thing.below && thing.path == *file)
                    });
                    let mut value = value.clone();
                    if self.attribute == Attribute::Mode {
                        let own = format!("{own:o}");
                        value = if flag.is_some() { merged(&own, &value) } else { own };
                    }
                    self.add(&format!("copy {n} of {file}"), file, false, false, &value);
                }
            }
            None => {
                self.make_folders(&copy.dst, &folder);
                self.add(&format!("copy {n}"), &copy.dst, true, false, &value);
                self.trees.insert(format!("copy {n}"), copy.clone());
            }
        }
        Ok(())
    }

    fn run(&mut self, exec: &Exec, n: usize) {
        let writes = self.view.facts.unit_writes(exec.at, &exec.unit);
        let made = folders_made(self.view, exec);
        for path in &made {
            self.make_folders(path, "of a command");
        }
        for write in writes.known().iter().filter(|w| w.below || !made.contains(&w.path)) {
            self.make_folders(parent(&write.path), "of a command");
            self.add(
                &format!("command {n} at {}", write.path),
                &write.path,
                write.below,
                false,
                "of a command",
            );
        }
        if !writes.is_known() {
            self.add(&format!("command {n}"), "/", true, true, "of a command");
        }
    }

    fn change(&mut self, change: &Change) -> Result<(), Fault> {
        for path in &change.paths {
            // a file that a COPY brought lies over all that was there before
            let is_file = |(k, t): &(&String, &Thing)| k.starts_with("copy ") && !t.below && t.path == *path;
            let modes: BTreeMap<&String, Option<u32>> = match self.attribute {
                Attribute::Mode if !change.recursive => {
                    self.trees.iter().filter_map(|(k, c)| Some((k, mode_of(self.view, c, path)?))).collect()
                }
                _ => BTreeMap::new(),
            };
            let brings =
                |(k, t): &(&String, &Thing)| is_file(&(k, t)) || matches!(modes.get(k), Some(Some(_)));
            let copied = self.things.iter().filter(brings).map(|(_, t)| t.order).max();
            let base = self.base_may_have(path)
                && self.view.facts.base_empty_folder(self.pair.index, path).is_none();
            for (key, thing) in &mut self.things {
                if key == "the base image" && !base {
                    continue;
                }
                let reaches = thing.anywhere
                    || covers(path, &thing.path) && (change.recursive || path == &thing.path)
                    || thing.below && covers(&thing.path, path);
                let hidden =
                    (thing.anywhere || thing.below) && copied.is_some_and(|order| thing.order < order);
                // of a folder whose files are known: what is not in it, or has the mode
                let settled = modes.get(key).is_some_and(|mode| {
                    mode.is_none_or(|m| merged(&format!("{m:o}"), &change.value) == format!("{m:o}"))
                });
                if !reaches || hidden || settled && thing.parts.is_empty() {
                    continue;
                }
                if thing.parts.is_empty() && merged(&thing.value, &change.value) == thing.value {
                    continue; // a part takes what the whole has
                }
                let whole = !thing.anywhere
                    && if thing.below { change.recursive && covers(path, &thing.path) } else { true };
                if whole {
                    thing.value = merged(&thing.value, &change.value);
                    thing.parts.clear();
                } else {
                    thing.parts.push(format!(
                        "{}{path}={}",
                        if change.recursive { "all of " } else { "" },
                        change.value
                    ));
                }
            }
        }
        Ok(())
    }
}

/// `new` in the place of `old`, with what `*` keeps.
fn merged(old: &str, new: &str) -> String {
    match (old.split_once(':'), new.split_once(':')) {
        (Some((user, _)), Some(("*", group))) => format!("{user}:{group}"),
        (Some((_, group)), Some((user, "*"))) => format!("{user}:{group}"),
        (None, Some(("*", _) | (_, "*"))) => format!("{old}, then {new}"),
        (None, None) if u32::from_str_radix(old, 8).is_ok() => match changed_mode(old, new) {
            Some(mode) => format!("{mode:o}"),
            None => format!("{old}, then {new}"),
        },
        // a symbolic mode builds on what was
        (_, None) if !new.chars().all(|c| c.is_digit(8)) && old != "of the source" => {
            format!("{old}, then {new}")
        }
        _ => new.to_owned(),
    }
}

/// Folders that a `mkdir` of a unit makes, if it runs whenever the unit succeeds.
fn folders_made(view: &View, exec: &Exec) -> Vec<String> {
    let shell = view.facts.run(exec.at).and_then(|r| r.shell);
    let (Some(shell), Some(state)) = (shell, view.facts.before(exec.at)) else { return Vec::new() };
    let script = crate::shell::parse(&crate::syntax::Joined::of(exec.unit.as_bytes()), shell.dialect);
    let mut out = Vec::new();
    for command in script.commands() {
        match command.simple.name() {
            Some("cd") => break,
            Some("mkdir") if command.is_certain() => {
                let words = view.facts.argv_in(&script, exec.at, command.simple).unwrap_or_default();
                // `-m 700` has a value, and so is no list of folders alone
                let plain = words.iter().skip(1).filter(|w| !w.contains(['*', '?', '[', '{', '~']));
                if words.iter().any(|w| w.starts_with('-') && w.contains('m')) {
                    continue;
                }
                let paths = plain.filter(|w| !w.starts_with('-'));
                out.extend(paths.filter_map(|p| {
                    if p.starts_with('/') { Some(join("/", p)) } else { Some(join(state.cwd.as_deref()?, p)) }
                }));
            }
            _ => {}
        }
    }
    out
}

/// The mode `old` after `chmod new` under root's umask 022 (POSIX.1-2024, chmod); None for what is not translated.
fn changed_mode(old: &str, new: &str) -> Option<u32> {
    let mut mode = u32::from_str_radix(old, 8).ok()?;
    if let Ok(octal) = u32::from_str_radix(new, 8) {
        return Some(octal);
    }
    for clause in new.split(',') {
        let at = clause.find(['+', '-', '='])?;
        let (who, action) = clause.split_at(at);
        let (operator, bits) = action.split_at(1);
        let mut given = 0;
        for c in bits.chars() {
            given |= match c {
                'r' => 0o444,
                'w' => 0o222,
                'x' => 0o111,
                'X' if mode & 0o111 != 0 => 0o111,
                'X' => 0,
                _ => return None,
            };
        }
        let mut mask = if who.is_empty() { !0o022 & 0o777 } else { 0 };
        for c in who.chars() {
            mask |= match c {
                'u' => 0o700,
                'g' => 0o070,
                'o' => 0o007,
                'a' => 0o777,
                _ => return None,
            };
        }
        match operator {
            "+" => mode |= given & mask,
            "-" => mode &= !(given & mask),
            _ if who.is_empty() => return None,
            _ => mode = mode & !mask | given & mask,
        }
    }
    Some(mode)
}
