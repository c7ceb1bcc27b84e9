//! What a merge gains: deleted bytes, a fresh index, a layer less; and where it would cost more than that.

use std::borrow::Cow;

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
    /// Paths that it deletes, with all below them. As those of `made`, with `$` where a variable is not known.
    pub deleted: Vec<String>,
    /// Paths that it writes by name, and whether what lies below them too.
    pub made: Vec<(String, bool)>,
    /// Folders of index and cache that its package managers fill.
    pub caches: Vec<String>,
    /// Whether it installs by an index that it does not fetch.
    pub needs_index: bool,
    /// Whether it leaves an index behind.
    pub leaves_index: bool,
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
        // small steps between go with them
        let indexed = (0..b).rev().find(|a| row.runs[*a].leaves_index);
        if let Some(a) = indexed.filter(|_| row.runs[b].needs_index)
            && row.runs[a + 1..b].iter().all(|s| rank(input, s) < 2)
        {
            out.push((a, b, Gain::StaleIndex));
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
    let mut step = Step {
        at,
        classes: vec![Class::Unknown],
        deleted: Vec::new(),
        made: Vec::new(),
        caches: Vec::new(),
        needs_index: false,
        leaves_index: false,
    };
    if calls.is_empty() {
        return step;
    }
    step.classes = calls.iter().map(|c| c.known.class).collect();
    let mut cwd = input.facts.before(at).and_then(|s| s.cwd.clone()).unwrap_or_else(|| UNKNOWN.to_owned());
    let mut index: Vec<String> = Vec::new();
    for call in calls {
        let words: Vec<String> = call.words.iter().map(|w| masked(w)).collect();
        if let [cd, folder] = &words[..]
            && cd == "cd"
        {
            cwd = located(&cwd, folder);
            continue;
        }
        let is_known = call.argv.as_ref() == Some(&words);
        let known =
            if is_known { Cow::Borrowed(&call.known) } else { Cow::Owned(input.knowledge.command(&words)) };
        let managed = matches!(known.class, Class::Packages | Class::Index | Class::Cleanup);
        // it may stand behind `sudo` or `env`
        let manager = words.iter().find_map(|w| input.knowledge.package_manager(w)).filter(|_| managed);
        let folders = || manager.iter().flat_map(|m| m.index_dirs.iter().chain(&m.cache_dirs)).cloned();
        match &known.deletes {
            Paths::Some(paths) if !paths.is_empty() => {
                let bare = |p: &String| {
                    p.trim_end_matches("/**").trim_end_matches("/*").trim_end_matches('*').to_owned()
                };
                step.deleted.extend(paths.iter().map(|p| located(&cwd, &bare(p))));
            }
            _ if known.class == Class::Cleanup => step.deleted.extend(folders()),
            _ => {}
        }
        step.made.extend(known.names.iter().map(|n| (located(&cwd, n), false)));
        let only_changes = words.iter().take(2).any(|w| matches!(w.as_str(), "chown" | "chgrp" | "chmod"));
        if let (Paths::Some(paths), false) = (&known.writes, only_changes) {
            let write = |p: &String| (located(&cwd, p.trim_end_matches("/**")), p.ends_with("/**"));
            step.made.extend(paths.iter().map(write));
        }
        if let Some(manager) = manager {
            let has = |list: &[String]| words.iter().any(|w| list.contains(w));
            let installs = known.class == Class::Packages && (has(&manager.install) || has(&manager.upgrade));
            let refreshes = manager.refresh.iter().any(|f| f == "always" || words.contains(f));
            let indexes = known.class == Class::Index || installs && refreshes;
            step.needs_index |= installs && !refreshes && index.is_empty();
            if known.class == Class::Index {
                index.extend(manager.index_dirs.iter().cloned());
            }
            let keeps = manager.without_cache.as_ref().is_none_or(|f| !words.contains(f));
            step.caches.extend(manager.index_dirs.iter().filter(|_| indexes && keeps).cloned());
            step.caches.extend(manager.cache_dirs.iter().filter(|_| installs && keeps).cloned());
        }
    }
    step.leaves_index = index.iter().any(|i| !step.deleted.iter().any(|d| covers(d, i)));
    step
}

/// Stands for a working folder that is not known: it is the same for all RUNs of a row.
const UNKNOWN: &str = "/?";

/// A word in which the variables that are not known are part of its name: it is the same word for all RUNs of a row.
fn masked(word: &str) -> String {
    let plain = word.trim_matches(['"', '\'']);
    plain.chars().map(|c| MASKS.iter().find(|(shown, _)| *shown == c).map_or(c, |(_, mask)| *mask)).collect()
}

const MASKS: [(char, char); 3] = [('$', '\u{1}'), ('{', '\u{2}'), ('}', '\u{3}')];

/// A path as it is told.
pub(super) fn shown(path: &str) -> String {
    let path = path.strip_prefix(UNKNOWN).map_or(path, |p| p.trim_start_matches('/'));
    path.chars().map(|c| MASKS.iter().find(|(_, mask)| *mask == c).map_or(c, |(shown, _)| *shown)).collect()
}

/// Where a path lies that is seen from `cwd`.
fn located(cwd: &str, path: &str) -> String {
    let elsewhere = path.starts_with(['~', MASKS[0].1]);
    if elsewhere { format!("{UNKNOWN}/{path}") } else { join_path(cwd, path) }
}

fn is_config(a: &Step, b: &Step) -> bool {
    a.classes.iter().chain(&b.classes).all(|c| matches!(c, Class::Config | Class::Cleanup))
}

/// Whether both only install by the same program (A.6 iv: a few installs in a row).
fn installs_alike(input: &Input, a: &Step, b: &Step) -> bool {
    let only = |s: &Step| s.classes.iter().all(|c| *c == Class::Install);
    let program =
        |s: &Step| input.facts.calls(s.at).iter().map(|c| c.words.first().cloned()).collect::<Vec<_>>();
    let (pa, pb) = (program(a), program(b));
    only(a) && only(b) && pa.iter().chain(&pb).all(|p| p.is_some() && *p == pa[0])
}

/// A path that `b` deletes and that `a` wrote and left there.
fn deletes_what_it_wrote(input: &Input, a: &Step, b: &Step) -> Option<String> {
    if b.deleted.is_empty() {
        return None;
    }
    let wrote: Vec<(&str, bool)> =
        input.facts.writes(a.at).known().iter().map(|w| (&*w.path, w.below)).collect();
    let redirects: Vec<(&str, bool)> = wrote.iter().copied().filter(|(_, below)| !below).collect();
    let made: Vec<(&str, bool)> = a.made.iter().map(|(p, below)| (&**p, *below)).collect();
    let hits = |writes: &[(&str, bool)], path: &String| {
        writes.iter().any(|(w, below)| covers(path, w) || *below && covers(w, path) || is_like(path, w))
    };
    let found = b.deleted.iter().find(|path| {
        let is_cache = a.caches.iter().any(|c| covers(c, path) || covers(path, c));
        // packages may write to any folder of the system: so this counts only where they have much, and where `b` cannot have made it
        let packages = a.classes.contains(&Class::Packages) && BULK.iter().any(|d| covers(d, path));
        let by_packages = packages && hits(&wrote, path) && !may_make(input, b, path);
        let made = hits(&made, path) || hits(&redirects, path);
        *path != "/" && (is_cache || made || by_packages) && !a.deleted.iter().any(|g| covers(g, path))
    });
    found.cloned()
}

/// Folders in which packages put most of what they have (Filesystem Hierarchy Standard 3.0, chapters 3 to 5).
const BULK: [&str; 4] = ["/usr", "/opt", "/var/cache", "/var/lib"];

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
        || input.facts.calls(step.at).iter().any(|c| {
            let removes = c.known.class == Class::Packages && c.known.deletes != Paths::None;
            !removes && makes(&c.known.writes)
        })
}

/// Whether `path` fits a pattern with stars, part by part.
fn is_like(pattern: &str, path: &str) -> bool {
    fn fits(pattern: &[u8], text: &[u8]) -> bool {
        match (pattern.split_first(), text.split_first()) {
            (None, None) => true,
            (Some((b'*', rest)), _) if fits(rest, text) => true,
            (Some((b'*', _)), Some((c, rest))) => *c != b'/' && fits(pattern, rest),
            (Some((p, pattern)), Some((c, text))) => p == c && fits(pattern, text),
            _ => false,
        }
    }
    pattern.contains('*') && fits(pattern.as_bytes(), path.as_bytes())
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
        let words = calls.get(i).map(|c| &c.words).filter(|w| !w.is_empty());
        let marks = ["latest", "master", "main", "nightly", "HEAD"];
        let moves = |w: &String| w.split(|c: char| !c.is_ascii_alphanumeric()).any(|p| marks.contains(&p));
        words.is_none_or(|a| matches!(a[0].as_str(), "git" | "svn" | "hg") || a[1..].iter().any(moves))
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
