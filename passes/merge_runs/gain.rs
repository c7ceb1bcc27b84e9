//! What a merge gains: deleted bytes, a fresh index, a layer less; and where it would cost more than that.

use super::{
    Row,
    shell::{Wrap, wrap},
};
use crate::{
    facts::{clean, covers, join as join_path},
    knowledge::{Class, Paths},
    pass::Input,
};

/// A RUN, and what it does.
pub(super) struct Step {
    pub at: usize,
    /// What kinds of command it has; Unknown where it is not understood.
    pub classes: Vec<Class>,
    /// Paths that it deletes, with all below them.
    pub deleted: Vec<String>,
    /// Folders of index and cache that its package managers fill.
    pub caches: Vec<String>,
}

/// Why a merge is worth it.
#[derive(Clone, PartialEq, Eq)]
pub(super) enum Gain {
    Deletes(String),
    StaleIndex,
    Config,
    Installs,
}

/// Which pairs of the row gain by a merge of all between them: indices into the row.
pub(super) fn gains(input: &Input, row: &Row) -> Vec<(usize, usize, Gain)> {
    let ships = input.facts.stage(row.stage).ships;
    let n = row.runs.len();
    let mut out = Vec::new();
    for b in 1..n {
        if needs_index(&row.runs[b]) && row.runs[b - 1].classes.contains(&Class::Index) {
            out.push((b - 1, b, Gain::StaleIndex));
        }
        if !ships {
            continue;
        }
        for a in (0..b).rev() {
            if let Some(path) = deletes_what_it_wrote(input, &row.runs[a], &row.runs[b]) {
                out.push((a, b, Gain::Deletes(path)));
            }
        }
        // a row of small steps is no worth a subshell
        let bare = |i: usize| {
            let later: Vec<usize> = row.runs[i + 1..].iter().map(|s| s.at).collect();
            wrap(input, row.runs[i].at, &later) != Ok(Wrap::Subshell)
        };
        if is_config(&row.runs[b - 1], &row.runs[b]) && bare(b - 1) && bare(b) {
            out.push((b - 1, b, Gain::Config));
        }
        if installs_alike(input, &row.runs[b - 1], &row.runs[b]) {
            out.push((b - 1, b, Gain::Installs));
        }
    }
    out
}

pub(super) fn step(input: &Input, at: usize) -> Step {
    let calls = input.facts.calls(at);
    let mut step = Step { at, classes: vec![Class::Unknown], deleted: Vec::new(), caches: Vec::new() };
    if calls.is_empty() {
        return step;
    }
    step.classes = calls.iter().map(|c| c.known.class).collect();
    let cwd = input.facts.before(at).and_then(|s| s.cwd.as_deref());
    for call in calls {
        let managed = matches!(call.known.class, Class::Packages | Class::Index | Class::Cleanup);
        let name = call.argv.as_ref().map_or("", |a| a[0].as_str());
        let manager = input.knowledge.package_manager(name).filter(|_| managed);
        let folders = || manager.iter().flat_map(|m| m.index_dirs.iter().chain(&m.cache_dirs)).cloned();
        match &call.known.deletes {
            Paths::Some(paths) if !paths.is_empty() => {
                let bare = |p: &String| {
                    p.trim_end_matches("/**").trim_end_matches("/*").trim_end_matches('*').to_owned()
                };
                step.deleted.extend(paths.iter().filter_map(|p| absolute(cwd, &bare(p))));
            }
            _ if call.known.class == Class::Cleanup => step.deleted.extend(folders()),
            _ => {}
        }
        step.caches.extend(folders());
    }
    step
}

/// Whether a RUN installs packages by an index that another RUN fetched.
fn needs_index(step: &Step) -> bool {
    let install = step.classes.iter().position(|c| *c == Class::Packages);
    install.is_some_and(|i| !step.classes[..i].contains(&Class::Index))
}

fn is_config(a: &Step, b: &Step) -> bool {
    a.classes.iter().chain(&b.classes).all(|c| matches!(c, Class::Config | Class::Cleanup))
}

/// Whether both only install by the same program (A.6 iv: a few installs in a row).
fn installs_alike(input: &Input, a: &Step, b: &Step) -> bool {
    let only = |s: &Step| s.classes.iter().all(|c| *c == Class::Install);
    let program = |s: &Step| {
        input.facts.calls(s.at).iter().map(|c| c.argv.as_ref().map(|a| a[0].clone())).collect::<Vec<_>>()
    };
    let (pa, pb) = (program(a), program(b));
    only(a) && only(b) && pa.iter().chain(&pb).all(|p| p.is_some() && *p == pa[0])
}

/// A path that `b` deletes and that `a` wrote and left there.
fn deletes_what_it_wrote(input: &Input, a: &Step, b: &Step) -> Option<String> {
    if b.deleted.is_empty() {
        return None;
    }
    let wrote = input.facts.writes(a.at).known();
    let found = b.deleted.iter().find(|path| {
        let is_cache = a.caches.iter().any(|c| covers(c, path) || covers(path, c));
        let made = wrote.iter().any(|w| w.meets(path) && (w.below || covers(path, &w.path)));
        // packages may write to any folder of the system: so this counts only for what `b` cannot have made itself
        let made = made && (!a.classes.contains(&Class::Packages) || !may_make(input, b, path));
        *path != "/" && (is_cache || made) && !a.deleted.iter().any(|g| covers(g, path))
    });
    found.cloned()
}

/// Whether a step may itself make what it deletes at `path`, or no package has anything there.
fn may_make(input: &Input, step: &Step, path: &str) -> bool {
    let homes = ["/root", "/run", "/var/tmp"];
    let cwd = input.facts.before(step.at).and_then(|s| s.cwd.as_deref());
    let makes = |writes: &Paths| match writes {
        Paths::None => false,
        Paths::Everything => true,
        Paths::Some(written) => written.iter().any(|w| {
            let w = absolute(cwd, w.trim_end_matches("/**"));
            w.is_none_or(|w| covers(&w, path) || covers(path, &w))
        }),
    };
    homes.iter().any(|h| covers(h, path))
        || input.facts.calls(step.at).iter().any(|c| c.known.deletes == Paths::None && makes(&c.known.writes))
}

fn absolute(cwd: Option<&str>, path: &str) -> Option<String> {
    if path.starts_with('/') { Some(clean(path)) } else { cwd.map(|c| join_path(c, path)) }
}

/// Whether slow steps that seldom change come before one that changes more often: they would share a cache key.
pub(super) fn is_frontier(input: &Input, before: &[Step], b: &Step) -> bool {
    let rank = before.iter().map(|s| rank(input, s)).max().unwrap_or(0);
    matches!(rank, 1 | 2) && self::rank(input, b) > rank
}

/// How often a step changes: 1 and 2 for the slow ones that seldom do.
fn rank(input: &Input, step: &Step) -> u8 {
    let calls = input.facts.calls(step.at);
    let floats = |i: usize| {
        let argv = calls.get(i).and_then(|c| c.argv.as_ref());
        let marks = ["latest", "master", "main", "nightly", "HEAD"];
        let moves = |w: &String| w.split(|c: char| !c.is_ascii_alphanumeric()).any(|p| marks.contains(&p));
        argv.is_none_or(|a| matches!(a[0].as_str(), "git" | "svn" | "hg") || a[1..].iter().any(moves))
    };
    let of = |(i, class): (usize, &Class)| match class {
        Class::Config | Class::Cleanup | Class::Index => 0,
        // a file of a fixed address changes as seldom as the address
        Class::Fetch if !floats(i) => 0,
        Class::Packages => 1,
        Class::Install => 2,
        Class::Fetch | Class::Build | Class::Daemon | Class::Unknown => 3,
    };
    step.classes.iter().enumerate().map(of).max().unwrap_or(3)
}
