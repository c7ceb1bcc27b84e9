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
//! volatile one; a step that another stage shares; a long script that would need brackets; and whatever would gain nothing. In a stage that does not ship, only a stale index is a gain.

use crate::{
    facts::{Form, Run},
    graph::Stage,
    pass::{Builder, Finding, Input, Level, Meta, Pass, Phase, Reason, Refusal},
    shell::Script,
    syntax::Keyword,
};
use gain::{Gain, Step, gains, is_frontier, step};
use shell::{
    Wrap, is_plain_list, nothing_is_noticed, processes_end, remembered, replaced, state, stays_readable, wrap,
};
use write::merge;

mod gain;
mod shell;
mod write;

pub struct MergeRuns;

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
        input.graph.stages().iter().flat_map(|stage| plan(input, &row(input, stage))).collect()
    }
}

/// RUNs of a stage with nothing between them but what a RUN cannot notice, or with what stops them from meeting.
struct Row {
    stage: usize,
    runs: Vec<Step>,
    /// For each RUN but the first, the instruction in the way, if there is one.
    barriers: Vec<Option<usize>>,
}

/// What joins two RUNs: how each side must be written.
#[derive(Clone, Copy, Default)]
struct Join {
    /// The base is unknown, and more than a row of plain commands is joined.
    needs_plain_base: bool,
    /// The left side only works in a subshell.
    subshell: bool,
}

fn row(input: &Input, stage: &Stage) -> Row {
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
            Keyword::Volume if matches!(input.options.builder, Builder::BuildKit { .. }) => {}
            keyword if no_run_sees(keyword) => {}
            // files that come between are more than any setting
            Keyword::Copy | Keyword::Add => barrier = Some(at),
            _ => barrier = barrier.or(Some(at)),
        }
    }
    row
}

/// Instructions that only set what containers get (semantics A.5).
fn no_run_sees(keyword: Keyword) -> bool {
    matches!(
        keyword,
        Keyword::Label
            | Keyword::Expose
            | Keyword::Cmd
            | Keyword::Entrypoint
            | Keyword::Stopsignal
            | Keyword::Maintainer
            | Keyword::Healthcheck
            | Keyword::Onbuild
    )
}

/// The merges of a row, and why its other neighbours stay apart.
fn plan(input: &Input, row: &Row) -> Vec<Finding> {
    let pairs = row.runs.len().saturating_sub(1);
    if pairs == 0 {
        return Vec::new();
    }
    let mut joins: Vec<Result<Join, Refusal>> = (0..pairs).map(|k| join(input, row, k)).collect();
    let gains = gains(input, row);
    // neighbours may be joined where the whole chain may not: then it is cut, and what is gained across the cut is lost
    let (wanted, missed) = loop {
        let (wanted, missed) = weigh(&gains, &joins);
        match (0..pairs)
            .filter(|k| wanted[*k].is_some())
            .find_map(|k| Some((k, cut(input, row, &wanted, k)?)))
        {
            Some((k, refusal)) => joins[k] = Err(refusal),
            None => break (wanted, missed),
        }
    };
    let mut findings: Vec<Finding> = Vec::new();
    let mut k = 0;
    let mut held = None;
    while k < pairs {
        let span = |i: usize| input.file.instructions[row.runs[i].at].span;
        if wanted[k].is_none() {
            let refusal = refusal(input, row, k, &joins[k], missed[k].as_ref());
            let at = span(k).to(span(k + 1));
            let conflict = refusal.as_ref().is_some_and(|r| r.reason == Reason::Conflict);
            match (refusal, held, findings.last_mut()) {
                // one word for a row of them
                (Some(_), Some(before), Some(last)) if conflict && before + 1 == k => {
                    last.at = last.at.to(at)
                }
                (Some(refusal), ..) => findings.push(Finding::refuse(at, refusal)),
                (None, ..) => {}
            }
            held = conflict.then_some(k);
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

/// For each pair what it is merged for, and what it would be if nothing were in the way.
fn weigh(
    gains: &[(usize, usize, Gain)],
    joins: &[Result<Join, Refusal>],
) -> (Vec<Option<Gain>>, Vec<Option<Gain>>) {
    let mut wanted: Vec<Option<Gain>> = vec![None; joins.len()];
    let mut missed = wanted.clone();
    for (first, last, gain) in gains {
        let open = joins[*first..*last].iter().all(Result::is_ok);
        for slot in &mut (if open { &mut wanted } else { &mut missed })[*first..*last] {
            slot.get_or_insert_with(|| gain.clone());
        }
    }
    (wanted, missed)
}

/// Why the chain of merges that reaches pair `k` must end before it.
fn cut(input: &Input, row: &Row, wanted: &[Option<Gain>], k: usize) -> Option<Refusal> {
    let first = (0..k).rev().take_while(|i| wanted[*i].is_some()).last().unwrap_or(k);
    let (earlier, next) = (&row.runs[first..=k], &row.runs[k + 1]);
    if is_frontier(input, earlier, next) {
        return Some(frontier());
    }
    if wanted[k] != Some(Gain::StaleIndex)
        && let Some(line) = shared(input, row.stage, row.runs[k].at, next.at)
    {
        return Some(Refusal::new(
            Reason::StageShared,
            format!(
                "line {line} runs the same as the first, on the same base: apart, it is built once for both stages"
            ),
            "let both stages start from one that ends with it",
        ));
    }
    let runs: Vec<usize> = earlier.iter().map(|s| s.at).collect();
    replaced(input, &runs, next.at).map(|name| remembered(&name))
}

/// The line of another stage that has all steps of this one up to RUN `a`, and then goes on without RUN `b`.
fn shared(input: &Input, stage: usize, a: usize, b: usize) -> Option<u32> {
    let stages = input.graph.stages();
    let steps = |index: usize| -> Vec<usize> {
        let counts = |at: &usize| !no_run_sees(input.file.instructions[*at].keyword);
        stages[index].body.clone().filter(counts).collect()
    };
    let same =
        |x: usize, y: usize| input.file.instructions[x].source() == input.file.instructions[y].source();
    let own: Vec<usize> = steps(stage).into_iter().filter(|at| *at <= a).collect();
    let alike = |i: &usize| {
        *i != stage && stages[*i].base == stages[stage].base && stages[*i].platform == stages[stage].platform
    };
    (0..stages.len()).filter(alike).find_map(|i| {
        let other = steps(i);
        let begins = other.len() >= own.len() && own.iter().zip(&other).all(|(x, y)| same(*x, *y));
        let goes_on = other.get(own.len()).is_some_and(|next| same(*next, b));
        let both = goes_on && input.facts.stage(i).ships == input.facts.stage(stage).ships;
        (begins && !both).then(|| input.file.instructions[other[own.len() - 1]].lines.0)
    })
}

fn frontier() -> Refusal {
    Refusal::new(
        Reason::CacheFrontier,
        "the first is slow and seldom changes, the second changes more often: merged, both would run again",
        "nothing: apart they build faster",
    )
}

/// Whether two neighbours may be joined, by semantics A.2.
fn join(input: &Input, row: &Row, k: usize) -> Result<Join, Refusal> {
    let (a, b) = (row.runs[k].at, row.runs[k + 1].at);
    if let Some(between) = row.barriers[k] {
        let keyword = input.file.instructions[between].keyword;
        let name = keyword.name();
        if matches!(keyword, Keyword::Copy | Keyword::Add) {
            return Err(Refusal::new(
                Reason::OrderObservable,
                format!("{name} stands between them, and the second RUN may read what it brings"),
                format!("move the {name} above both RUNs or below them"),
            ));
        }
        return Err(Refusal::new(
            Reason::OrderObservable,
            format!("{name} stands between them, and the second RUN may read what it sets"),
            format!("move the {name} above both RUNs if the first does not mind"),
        ));
    }
    let stage = input.facts.stage(row.stage);
    if stage.windows {
        return Err(Refusal::new(
            Reason::Windows,
            "the image is Windows",
            "nothing: its shells join commands in other ways",
        ));
    }
    let (left, right) = (readable(input, a)?, readable(input, b)?);
    let (run_a, run_b) = (input.facts.run(a), input.facts.run(b));
    if run_a.map(|r| &r.flags) != run_b.map(|r| &r.flags) {
        return Err(Refusal::new(
            Reason::MountsDiffer,
            "they run with different mounts, network or security",
            "give both RUNs the same flags, if the second may see the mounts of the first",
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
    for (run, wrap) in [(a, wraps[0]), (b, wraps[1])] {
        stays_readable(input, run, wrap)?;
    }
    nothing_is_noticed(input, (a, left), (b, right))?;
    let base_known =
        stage.image.is_some() || stage.from_scratch || input.facts.before(a).is_some_and(|s| s.shell_known);
    Ok(Join {
        subshell: wraps[0] == Wrap::Subshell,
        needs_plain_base: !base_known
            && (wraps.iter().any(|w| !matches!(w, Wrap::Bare))
                || !is_plain_list(left)
                || !is_plain_list(right)),
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

/// Why two neighbours stay apart; None where that goes without saying.
fn refusal(
    input: &Input,
    row: &Row,
    k: usize,
    join: &Result<Join, Refusal>,
    missed: Option<&Gain>,
) -> Option<Refusal> {
    let files = row.barriers[k].map(|b| input.file.instructions[b].keyword);
    // config alone is not worth moving an instruction for
    let worth = matches!(missed, Some(Gain::Deletes(_) | Gain::StaleIndex));
    if !worth && matches!(files, Some(Keyword::Copy | Keyword::Add)) {
        return None;
    }
    let moot = |refusal: Refusal, moot: bool| if moot { refusal.moot() } else { refusal };
    let no_gain = |message: &str| Refusal::new(Reason::NoGain, message, "nothing: apart they cache better");
    Some(match join {
        Err(refusal) => moot(refusal.clone(), missed.is_none() || files.is_some() && !worth),
        Ok(Join { subshell: true, .. }) if missed.is_none() => state(
            "the first RUN changes the state of its shell, which would reach the second",
            "nothing: a subshell would gain nothing here",
        )
        .moot(),
        Ok(_) if is_frontier(input, &row.runs[k..=k], &row.runs[k + 1]) => moot(frontier(), missed.is_none()),
        // the refusal beside it says what is in the way
        Ok(_) if missed.is_some() => Refusal::new(
            Reason::Conflict,
            "a merge would gain, but another RUN between cannot be joined",
            "see the refusal beside it",
        )
        .moot(),
        Ok(_) if !input.facts.stage(row.stage).ships => no_gain("the layers of this stage do not ship"),
        Ok(_) => no_gain("neither deletes what the other wrote, and they are more than config"),
    })
}
