//! Merge consecutive RUN instructions into one, where that makes the image smaller or the build sounder.
//!
//! ## Why
//! What one RUN writes and a later one deletes stays in the image, for each RUN is a layer. A package index that stands in a
//! layer of its own goes stale: the install after it then fails, or installs old versions. And a row of RUNs that only
//! write config costs a layer each.
//!
//! ## Before
//! ```dockerfile
//! FROM debian:12
//! RUN apt-get update
//! RUN apt-get install -y curl
//! RUN rm -rf /var/lib/apt/lists/*
//! ```
//!
//! ## After
//! ```dockerfile
//! FROM debian:12
//! RUN apt-get update && \
//!     apt-get install -y curl && \
//!     rm -rf /var/lib/apt/lists/*
//! ```
//!
//! ## Assumes
//! Nothing, where the base image is known or both sides are plain commands joined by `&&`. Else that the base sets no SHELL.
//!
//! ## Refuses
//! Another instruction between them that the second could notice; other mounts, network or security; an exec form or a
//! heredoc; shell state that would reach the next command (`cd`, variables, `set`, `trap`, `exit`, …); a process in the
//! background; a shell comment; a program that the first replaces and both run; a slow, rarely changed step before a
//! volatile one; and whatever would gain nothing. In a stage that does not ship, only a stale index is a gain.

use crate::{
    edit::{Edits, Span},
    facts::{Form, Run, clean, contains, covers, join as join_path},
    graph::Stage,
    knowledge::{Class, Paths},
    pass::{Assumption, Builder, Finding, Input, Level, Meta, Pass, Phase, Reason, Refusal, Rewrite},
    shell::{Leak, NodeKind, Script, background, leak_into, special_reads},
    syntax::{Keyword, PieceKind},
};

pub struct MergeRuns;

/// The longest text that `sh -c` takes, in bytes (MAX_ARG_STRLEN without the NUL; measured with Docker 26.1).
const MAX_TEXT: usize = 131_071;

impl Pass for MergeRuns {
    fn meta(&self) -> Meta {
        Meta {
            id: "merge-runs",
            summary: "Merges consecutive RUNs where a later one deletes what an earlier wrote, update and install stand apart, or both only write config",
            phase: Phase::Layers,
            after: &["split-dependency-copy", "fold-chown", "fold-chmod"],
            ceiling: Level::Safe,
            rules: &["DL3059", "DL3009"],
        }
    }

    fn source(&self) -> &'static str {
        include_str!("merge_runs.rs")
    }

    fn run(&self, input: &Input<'_>) -> Vec<Finding> {
        input
            .graph
            .stages()
            .iter()
            .flat_map(|stage| rows(input, stage))
            .flat_map(|row| plan(input, &row))
            .collect()
    }
}

/// RUNs of a stage with nothing between them but what a RUN cannot notice, or with what stops them from meeting.
struct Row {
    stage: usize,
    runs: Vec<Step>,
    /// For each RUN but the first, the instruction in the way, if there is one.
    barriers: Vec<Option<usize>>,
}

/// A RUN, and what it does.
struct Step {
    at: usize,
    /// What kinds of command it has; Unknown where it is not understood.
    classes: Vec<Class>,
    /// Paths that it deletes, with all below them.
    deleted: Vec<String>,
    /// Folders of index and cache that its package managers fill.
    caches: Vec<String>,
}

/// What joins two RUNs: how each side must be written.
#[derive(Clone, Copy, Default)]
struct Join {
    /// The base is unknown, and more than a row of plain commands is joined.
    needs_plain_base: bool,
    /// The left side only works in a subshell.
    subshell: bool,
}

/// Why a merge is worth it.
#[derive(Clone, PartialEq, Eq)]
enum Gain {
    Deletes(String),
    StaleIndex,
    Config,
    Installs,
}

fn rows(input: &Input, stage: &Stage) -> Vec<Row> {
    let mut rows = Vec::new();
    let mut row = Row { stage: stage.index, runs: Vec::new(), barriers: Vec::new() };
    let mut barrier = None;
    for at in stage.body.clone() {
        match input.file.instructions[at].keyword {
            Keyword::Run => {
                if !row.runs.is_empty() {
                    row.barriers.push(barrier.take());
                }
                row.runs.push(step(input, at));
                barrier = None;
            }
            Keyword::Copy | Keyword::Add => {
                // what files bring is not for this pass to weigh: the row ends
                rows.push(std::mem::replace(
                    &mut row,
                    Row { stage: stage.index, runs: Vec::new(), barriers: Vec::new() },
                ));
                barrier = None;
            }
            Keyword::Volume if matches!(input.options.builder, Builder::BuildKit { .. }) => {}
            Keyword::Label
            | Keyword::Expose
            | Keyword::Cmd
            | Keyword::Entrypoint
            | Keyword::Stopsignal
            | Keyword::Maintainer
            | Keyword::Healthcheck
            | Keyword::Onbuild => {}
            _ => barrier = barrier.or(Some(at)),
        }
    }
    rows.push(row);
    rows
}

/// The merges of a row, and why its other neighbours stay apart.
fn plan(input: &Input, row: &Row) -> Vec<Finding> {
    let pairs = row.runs.len().saturating_sub(1);
    if pairs == 0 {
        return Vec::new();
    }
    let joins: Vec<Result<Join, Refusal>> = (0..pairs).map(|k| join(input, row, k)).collect();
    let frontiers: Vec<bool> = (0..pairs).map(|k| is_frontier(&row.runs[k], &row.runs[k + 1])).collect();
    let mut wanted: Vec<Option<Gain>> = vec![None; pairs];
    let mut missed: Vec<Option<Gain>> = vec![None; pairs];
    for (first, last, gain) in gains(input, row) {
        let open = (first..last).all(|k| joins[k].is_ok() && !frontiers[k]);
        for slot in (if open { &mut wanted } else { &mut missed })[first..last].iter_mut() {
            slot.get_or_insert_with(|| gain.clone());
        }
    }
    // neighbours may be joined where the whole chain may not
    let mut joins = joins;
    let mut first = 0;
    for k in 0..pairs {
        if wanted[k].is_none() {
            first = k + 1;
            continue;
        }
        let earlier: Vec<usize> = row.runs[first..=k].iter().map(|s| s.at).collect();
        if let Some(name) = replaced(input, &earlier, row.runs[k + 1].at) {
            joins[k] = Err(remembered(&name));
            wanted[k] = None;
            first = k + 1;
        }
    }
    let mut findings = Vec::new();
    let mut k = 0;
    while k < pairs {
        if wanted[k].is_none() {
            findings.push(refusal(input, row, k, &joins[k], frontiers[k], missed[k].as_ref()));
            k += 1;
            continue;
        }
        let first = k;
        while k < pairs && wanted[k].is_some() {
            k += 1;
        }
        let chain: Vec<Join> = joins[first..k].iter().flatten().copied().collect();
        let gain = wanted[first..k].iter().flatten().cloned().collect::<Vec<_>>();
        let runs: Vec<usize> = row.runs[first..=k].iter().map(|s| s.at).collect();
        findings.push(merge(input, &runs, &chain, &gain));
    }
    findings
}

/// Which pairs of the row gain by a merge of all between them: indices into the row.
fn gains(input: &Input, row: &Row) -> Vec<(usize, usize, Gain)> {
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

fn step(input: &Input, at: usize) -> Step {
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
        *path != "/" && (is_cache || made) && !a.deleted.iter().any(|g| covers(g, path))
    });
    found.cloned()
}

fn absolute(cwd: Option<&str>, path: &str) -> Option<String> {
    if path.starts_with('/') { Some(clean(path)) } else { cwd.map(|c| join_path(c, path)) }
}

/// Whether a slow step that seldom changes comes before one that changes more often: they would share a cache key.
fn is_frontier(a: &Step, b: &Step) -> bool {
    let rank = |step: &Step| {
        let rank = |c: &Class| match c {
            Class::Config | Class::Cleanup | Class::Index => 0,
            Class::Packages => 1,
            Class::Install => 2,
            Class::Fetch | Class::Build | Class::Daemon | Class::Unknown => 3,
        };
        step.classes.iter().map(rank).max().unwrap_or(3)
    };
    matches!(rank(a), 1 | 2) && rank(b) > rank(a)
}

/// Whether two neighbours may be joined, by semantics A.2.
fn join(input: &Input, row: &Row, k: usize) -> Result<Join, Refusal> {
    let (a, b) = (row.runs[k].at, row.runs[k + 1].at);
    if let Some(between) = row.barriers[k] {
        let keyword = input.file.instructions[between].keyword.name();
        return Err(Refusal::new(
            Reason::OrderObservable,
            format!("{keyword} stands between them, and the second RUN may read what it sets"),
            format!("move the {keyword} above both RUNs if the first does not mind"),
        ));
    }
    let stage = input.facts.stage(row.stage);
    let (left, right) = (readable(input, a)?, readable(input, b)?);
    let (run_a, run_b) = (input.facts.run(a), input.facts.run(b));
    if run_a.map(|r| &r.flags) != run_b.map(|r| &r.flags) {
        return Err(Refusal::new(
            Reason::MountsDiffer,
            "they run with different mounts, network or security",
            "give both RUNs the same flags, if the second may see the mounts of the first",
        ));
    }
    if stage.windows {
        return Err(Refusal::new(
            Reason::Windows,
            "the image is Windows",
            "nothing: its shells join commands in other ways",
        ));
    }
    for script in [left, right] {
        if !script.comments().is_empty() {
            return Err(Refusal::new(
                Reason::ShellOpaque,
                "a shell comment would swallow what is joined to it",
                "put the comment on a line of its own, before RUN",
            ));
        }
    }
    processes_end(&row.runs[k], left)?;
    let later: Vec<usize> = row.runs[k + 1..].iter().map(|s| s.at).collect();
    let wraps = [wrap(input, a, &later)?, wrap(input, b, &[])?];
    nothing_is_noticed(input, (a, left), (b, right))?;
    let base_known =
        stage.image.is_some() || stage.from_scratch || input.facts.before(a).is_some_and(|s| s.shell_known);
    Ok(Join {
        subshell: wraps[0] == Wrap::Subshell,
        needs_plain_base: !base_known
            && (wraps != [Wrap::Bare; 2] || !is_plain_list(left) || !is_plain_list(right)),
    })
}

/// The script of a RUN that can be joined.
fn readable<'a>(input: &Input<'a>, run: usize) -> Result<&'a Script, Refusal> {
    let opaque = |message: &str, unlock: &str| Err(Refusal::new(Reason::ShellOpaque, message, unlock));
    let Some(read) = input.facts.run(run) else { return opaque("it is no RUN", "nothing") };
    match read {
        Run { form: Form::Exec, .. } => {
            opaque("an exec form runs without a shell", "write it in the shell form")
        }
        Run { form: Form::Heredoc, .. } => {
            opaque("a heredoc cannot be joined by `&&`", "put the commands into the heredoc by hand")
        }
        Run { shell: None, .. } => {
            let shell = input.facts.before(run).map(|s| s.shell.join(" ")).unwrap_or_default();
            opaque(
                &format!("the shell `{shell}` is not one whose lists are understood"),
                "use sh or bash without -l and -i",
            )
        }
        run => match run.understood() {
            Some(script) if !script.has_heredoc() => Ok(script),
            _ => opaque("the shell text cannot be read completely", "check its quotes and operators"),
        },
    }
}

fn state(message: impl Into<String>, unlock: impl Into<String>) -> Refusal {
    Refusal::new(Reason::StateLeaks, message, unlock)
}

/// How a RUN must be written as an element of the joined list, so that it stays one unit and nothing of it reaches the `later` ones.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Wrap {
    Bare,
    Braces,
    Subshell,
}

fn wrap(input: &Input, run: usize, later: &[usize]) -> Result<Wrap, Refusal> {
    let read = |run: usize| input.facts.run(run).and_then(Run::understood);
    let Some(script) = read(run) else { return Ok(Wrap::Bare) };
    let errexit = input.facts.run(run).and_then(|r| r.shell).is_some_and(|s| s.errexit);
    let last = later.is_empty();
    let list = script.and_list();
    let nodes: Vec<_> = script.statements().iter().flat_map(|s| s.list.nodes()).collect();
    let exported = |name: &str| input.facts.before(run).is_none_or(|s| s.variable(name).is_some());
    let behind: Vec<u8> =
        later.iter().filter_map(|r| read(*r)).flat_map(|s| [b" ", &s.joined().text[..]].concat()).collect();
    let leaks = || {
        nodes.iter().enumerate().filter_map(|(i, n)| {
            let rest = [&script.joined().text[n.span.end as usize..], &behind].concat();
            leak_into(n, &rest, &exported).map(|l| (i, l))
        })
    };
    if errexit && !is_plain_list(script) {
        return Err(state(
            "the shell runs with -e, which has no effect on a list before `&&`",
            "write both RUNs as lists joined by `&&`",
        ));
    }
    // a subshell hides `set -e` from the shell around it, but not from what `&&` does to it
    let sets = |c: &crate::shell::Command| c.simple.name() == Some("set") && c.place.subshell;
    if !last && script.commands().iter().any(sets) {
        return Err(state(
            "`set` in a subshell has no effect on the left of `&&`",
            "join its commands by `&&`",
        ));
    }
    let Some((first, what)) = leaks().next() else {
        return Ok(if list.is_some() { Wrap::Bare } else { Wrap::Braces });
    };
    let only_at_the_end = list.is_some() && first + 1 == nodes.len();
    if only_at_the_end && last {
        return Ok(Wrap::Bare);
    }
    if let Leak::LoopVariable(name) = &what
        && leak_into(nodes[first], &script.joined().text[nodes[first].span.end as usize..], &exported)
            .is_none()
    {
        return Err(state(
            format!("a later RUN reads `{name}`, which a loop of the first RUN sets"),
            "give one of them another name",
        ));
    }
    if what == Leak::Expansion {
        return Err(state(
            "a command is named by a variable, and could change the state of the shell",
            "write the command out",
        ));
    }
    let what = what.text();
    if errexit || (!last && crate::shell::sets_errexit(script)) {
        return Err(state(
            format!("the first RUN {what}, and `-e` has no effect on the left of `&&`"),
            "join its commands by `&&` in the place of `set -e`",
        ));
    }
    // it would count as several commands outside of a subshell and as one within
    if only_at_the_end && nodes.len() > 1 {
        return Err(state(
            format!("the end of the first RUN {what}, which would reach the second"),
            "remove it: it has no effect after its RUN",
        ));
    }
    Ok(Wrap::Subshell)
}

/// One list of simple commands and pipelines, joined by `&&`.
fn is_plain_list(script: &Script) -> bool {
    let plain = |k: &NodeKind| matches!(k, NodeKind::Simple(_) | NodeKind::Pipeline { .. });
    script.and_list().is_some_and(|list| list.iter().all(|n| plain(&n.kind)))
}

/// A.2.10: what the first RUN starts and leaves running is dead in the second, and would not be in one RUN.
fn processes_end(step: &Step, script: &Script) -> Result<(), Refusal> {
    let daemon = step.classes.contains(&Class::Daemon);
    let starts = ["nohup ", "daemon"].iter().any(|w| contains(&script.joined().text, w.as_bytes()));
    if daemon || starts || background(script).is_some() {
        return Err(Refusal::new(
            Reason::BackgroundProcess,
            "the first RUN leaves a process running, which ends with its RUN today",
            "start it in the RUN that needs it",
        ));
    }
    Ok(())
}

/// Paths that a builder mounts afresh for each RUN (A.2.12).
const PER_RUN: [&[u8]; 5] = [b"/dev/shm", b"/proc/sys", b"/etc/hosts", b"/etc/resolv.conf", b"/etc/hostname"];
/// Files that a shell reads when it starts (A.2.11).
const START_FILES: [&[u8]; 6] =
    [b"/etc/profile", b".bashrc", b".profile", b"/etc/environment", b".bash_profile", b"bash.bashrc"];

/// Hidden ways by which the second RUN could tell that the first ran in its shell.
fn nothing_is_noticed(
    input: &Input,
    (a, left): (usize, &Script),
    (b, right): (usize, &Script),
) -> Result<(), Refusal> {
    let order = |message: String, unlock: &str| Err(Refusal::new(Reason::OrderObservable, message, unlock));
    for (script, paths) in [(left, &PER_RUN[..]), (right, &PER_RUN[..])] {
        if let Some(path) = paths.iter().find(|p| contains(&script.joined().text, p)) {
            let path = String::from_utf8_lossy(path);
            return order(
                format!("{path} is made afresh for each RUN"),
                "nothing: the second RUN would see another file",
            );
        }
    }
    let reads_start_files = input
        .facts
        .before(b)
        .is_some_and(|s| s.variable("BASH_ENV").is_some() || s.variable("ENV").is_some());
    if reads_start_files && START_FILES.iter().any(|f| contains(&left.joined().text, f)) {
        return order(
            "the shell reads a file at its start that the first RUN writes".into(),
            "unset BASH_ENV and ENV",
        );
    }
    if let Some(name) = special_reads(right) {
        return order(format!("the second RUN reads ${name}, which tells of its shell"), "do without it");
    }
    let user = input.facts.before(a).and_then(|s| s.user.clone()).unwrap_or_default();
    let changes_self = |c: &&crate::shell::Simple| {
        matches!(c.name(), Some("usermod" | "groupmod" | "gpasswd" | "addgroup" | "adduser"))
            && !user.is_empty()
            && c.words.iter().any(|w| w.literal() == Some(user.as_str()))
    };
    if input.facts.commands(a).iter().any(changes_self) {
        return order(
            "the groups of the current user change, which only a new RUN sees".into(),
            "change them before USER",
        );
    }
    if let Some(name) = replaced(input, &[a], b) {
        return Err(remembered(&name));
    }
    let n = left.joined().text.len() + right.joined().text.len();
    if n + 16 > MAX_TEXT {
        return order("together they are longer than a shell takes".into(), "nothing");
    }
    Ok(())
}

/// A.2.9: a program that RUN `b` runs by its bare name, as one of the `earlier` ones does, while one of these also names it as what
/// it installs, or moves something to a folder of programs: shells remember where they found a program.
fn replaced(input: &Input, earlier: &[usize], b: usize) -> Option<String> {
    let commands = |run: &usize| input.facts.commands(*run);
    let runs: Vec<&str> = commands(&b).into_iter().filter_map(crate::shell::Simple::name).collect();
    let before: Vec<&crate::shell::Simple> = earlier.iter().flat_map(commands).collect();
    let ran = before.iter().filter_map(|c| c.name());
    let shared: Vec<&str> =
        ran.filter(|n| runs.contains(n) && !n.contains('/') && !BUILTINS.contains(n)).collect();
    let hits = |word: &str, name: &str| {
        let last = word.rsplit('/').next().unwrap_or(word);
        let bare = last.split(['@', '=', '<', '>', '~', '[']).next().unwrap_or(last);
        bare == name || ["/bin", "/bin/", "/sbin", "/sbin/"].iter().any(|f| word.ends_with(f))
    };
    before.iter().find_map(|command| {
        let switches = matches!(command.name(), Some("update-alternatives" | "alternatives" | "corepack"));
        let found = shared.iter().find(|name| {
            // pip3 and pip3.11 are pip's names too
            let stem = name.trim_end_matches(|c: char| c.is_ascii_digit() || c == '.');
            let mut words = command.words.iter().skip(1).filter_map(crate::shell::Word::literal);
            switches || words.any(|w| hits(w, name) || hits(w, stem))
        });
        found.map(|name| (*name).to_owned())
    })
}

fn remembered(name: &str) -> Refusal {
    state(
        format!("an earlier RUN may replace `{name}`, and its shell would still run the old one"),
        format!("call the new {name} by its full path"),
    )
}

/// Programs that are part of every shell, so that no file is looked for.
const BUILTINS: [&str; 14] = [
    "echo", "printf", "test", "[", ":", "true", "false", "cd", "export", "set", "exit", "exec", "command",
    "type",
];

/// Why two neighbours stay apart.
fn refusal(
    input: &Input,
    row: &Row,
    k: usize,
    join: &Result<Join, Refusal>,
    frontier: bool,
    missed: Option<&Gain>,
) -> Finding {
    let span = |i: usize| input.file.instructions[row.runs[i].at].span;
    let at = span(k).to(span(k + 1));
    let refusal = match join {
        Err(refusal) => refusal.clone(),
        Ok(Join { subshell: true, .. }) if missed.is_none() => state(
            "the first RUN changes the state of its shell, which would reach the second",
            "nothing: a subshell would gain nothing here",
        ),
        Ok(_) if frontier => Refusal::new(
            Reason::CacheFrontier,
            "the first is slow and seldom changes, the second changes more often: merged, both would run again",
            "nothing: apart they build faster",
        ),
        Ok(_) if missed.is_some() => Refusal::new(
            Reason::Conflict,
            "a merge would gain, but another RUN between cannot be joined",
            "see the refusal beside it",
        ),
        Ok(_) if !input.facts.stage(row.stage).ships => Refusal::new(
            Reason::NoGain,
            "the layers of this stage do not ship",
            "nothing: apart they cache better",
        ),
        Ok(_) => Refusal::new(
            Reason::NoGain,
            "neither deletes what the other wrote, and they are more than config",
            "nothing: apart they cache better",
        ),
    };
    Finding::refuse(at, refusal)
}

/// Joins the RUNs `runs`, in order.
fn merge(input: &Input, runs: &[usize], joins: &[Join], gains: &[Gain]) -> Finding {
    let file = input.file;
    let mut edits = Edits::default();
    let first = &file.instructions[runs[0]];
    let newline = file.line_end();
    let escape = file.escape as char;
    let indent = indent(input, runs[0]);
    let leading = file.leads_with_operator();
    let mut end = first.span.end;
    let (mut plain, mut apart) = (true, false);
    for (k, &run) in runs.iter().enumerate() {
        let ins = &file.instructions[run];
        let text = ins.rest().file_span(Span::new(0, ins.rest().text.len()));
        // each element of the result is one unit: braces hold together what is no AND-list
        let (open, close) = match wrap(input, run, &runs[k + 1..]) {
            Ok(Wrap::Subshell) => ("( ", " )"),
            Ok(Wrap::Bare) | Err(_) => ("", ""),
            Ok(Wrap::Braces) => ("{ ", "; }"),
        };
        plain &= open.is_empty();
        let close = if close == "; }" && ends_list(&ins.rest().text) { " }" } else { close };
        if k == 0 {
            if !open.is_empty() {
                edits.dockerfile.insert(text.start, open);
            }
        } else {
            let comments = comments_between(input, end, ins.full.start);
            let glue = if leading {
                format!(" {escape}{newline}{comments}{indent}&& {open}")
            } else {
                format!(" && {escape}{newline}{comments}{indent}{open}")
            };
            apart |= runs[k - 1] + 1 < run;
            if apart {
                // other instructions stand between: the RUN moves up over them, comments stay where they are
                let mut moved = if leading {
                    format!(" {escape}{newline}{indent}&& {open}")
                } else {
                    format!(" && {escape}{newline}{indent}{open}")
                };
                moved.push_str(&String::from_utf8_lossy(text.of(file.text())));
                moved.push_str(close);
                edits.dockerfile.insert(end, moved);
                edits.dockerfile.delete(ins.full);
                continue;
            }
            edits.dockerfile.replace(Span { start: end, end: text.start }, glue);
        }
        if !close.is_empty() {
            edits.dockerfile.insert(text.end, close);
        }
        end = ins.span.end;
    }
    let mut evidence: Vec<String> = Vec::new();
    evidence.push(match plain {
        true => "each is a list joined by `&&`, whose parts leave nothing behind in the shell".to_owned(),
        false => "braces and subshells keep each RUN's own exit status and shell state".to_owned(),
    });
    if input.facts.run(runs[0]).is_some_and(|r| !r.flags.is_empty()) {
        evidence.push("their mounts, network and security are the same".into());
    }
    let needs_plain = joins.iter().any(|j| j.needs_plain_base);
    let at = runs.iter().map(|r| file.instructions[*r].span).reduce(Span::to).unwrap_or_default();
    let rewrite = Rewrite {
        level: Level::Safe,
        evidence,
        assumes: if needs_plain { vec![Assumption::BaseIsPlain] } else { Vec::new() },
        effects: Vec::new(),
        edits,
    };
    Finding::rewrite(at, message(runs.len(), gains), rewrite)
}

fn message(n: usize, gains: &[Gain]) -> String {
    let deleted = gains.iter().find_map(|g| match g {
        Gain::Deletes(path) => Some(path),
        _ => None,
    });
    let why = match deleted {
        Some(path) => format!("what is written to {path} and deleted again no longer stays in the image"),
        None if gains.contains(&Gain::StaleIndex) => {
            "the install can no longer run with a stale package index".to_owned()
        }
        None if gains.contains(&Gain::Installs) => {
            "they install by the same program, in one layer".to_owned()
        }
        None => "they only write config, and one layer holds it".to_owned(),
    };
    format!("merge {n} RUNs: {why}")
}

fn ends_list(text: &[u8]) -> bool {
    text.trim_ascii_end().ends_with(b";") || text.trim_ascii_end().ends_with(b"&")
}

/// Full-line comments between two instructions: they stand within the merged RUN, where the builder drops them.
fn comments_between(input: &Input, from: u32, to: u32) -> String {
    let within = |s: Span| from <= s.start && s.end <= to;
    let pieces = input.file.pieces.iter().filter(|p| p.kind == PieceKind::Comment && within(p.span));
    pieces.map(|p| String::from_utf8_lossy(p.span.of(input.file.text())).into_owned()).collect()
}

/// The indent of continuation lines: that of the first RUN if it has one, else four blanks.
fn indent(input: &Input, first: usize) -> String {
    let lines = input.file.instructions[first].source().split(|b| *b == b'\n').skip(1);
    let blanks = lines.map(|l| &l[..l.len() - l.trim_ascii_start().len()]).find(|b| !b.is_empty());
    blanks.map_or_else(|| "    ".to_owned(), |b| String::from_utf8_lossy(b).into_owned())
}
