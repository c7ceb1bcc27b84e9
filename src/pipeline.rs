//! From a Dockerfile and its build contexts to a plan: passes run, their edits are applied one at a time, and each is validated.
//!
//! Two rounds. The first applies what is proved; the second starts from its result and applies what is for review. So the safe
//! diff is a prefix of the review diff.

use std::{collections::BTreeSet, sync::Arc};

use crate::{
    context::Context,
    cost::{self, Rebuild},
    ecosystem::Ecosystems,
    edit::{Change, EditSet, Edits, RepoPath, Span},
    facts::Facts,
    graph::Graph,
    knowledge::Knowledge,
    pass::{Assumption, Effect, Finding, Input, Level, Meta, Options, Outcome, Pass, Reason, Rewrite},
    syntax::{self, Dockerfile, Keyword, SyntaxError},
    validate::{self, Claim, View, validate},
};

mod gate;
mod order;
mod pragmas;

pub use gate::Gate;
pub use order::ordered;
use pragmas::Pragmas;

/// How many times the list of passes is gone through before a plan counts as never ending.
const ROUNDS: usize = 3;
/// How many rewrites one file may have, for the same reason.
const STEPS: usize = 200;

/// What is to be planned.
pub struct Unit {
    pub text: Vec<u8>,
    /// Every build context that is declared for the file; a rewrite must hold in each. Empty: not known.
    pub contexts: Vec<Arc<Context>>,
    pub options: Options,
}

/// What the user asked for.
pub struct Request<'a> {
    pub level: Level,
    /// In pipeline order.
    pub passes: &'a [&'static dyn Pass],
    pub knowledge: &'a Knowledge,
}

/// A rewrite that was applied and validated.
#[derive(Clone, Debug)]
pub struct Step {
    pub pass: &'static str,
    pub level: Level,
    /// First and last line of the input, 1-based.
    pub lines: (u32, u32),
    pub message: String,
    pub evidence: Vec<String>,
    pub assumes: Vec<Assumption>,
    pub effects: Vec<Effect>,
    /// To the text after all earlier steps.
    pub edits: Edits,
}

/// A place that a pass leaves alone.
#[derive(Clone, Debug)]
pub struct Refused {
    pub pass: &'static str,
    pub lines: (u32, u32),
    pub reason: Reason,
    pub message: String,
    pub unlock: String,
    /// It would gain nothing either.
    pub moot: bool,
}

/// A rewrite that validation did not let through: a fault of dfopt, not of the file.
#[derive(Clone, Debug)]
pub struct RolledBack {
    pub pass: &'static str,
    pub lines: (u32, u32),
    pub rule: &'static str,
    pub message: String,
}

/// Why a file was not looked at.
#[derive(Clone, Debug)]
pub enum Skipped {
    /// BuildKit would refuse it.
    Invalid(SyntaxError),
    /// It is understood to be something else, or was opted out.
    Gate(Gate),
}

/// What is to be done to one file.
#[derive(Clone, Debug)]
pub struct Plan {
    pub before: Vec<u8>,
    /// At the level that was asked for.
    pub after: Vec<u8>,
    /// Other files that change, by path in the build context: their text after.
    pub files: Vec<(RepoPath, Vec<u8>)>,
    pub steps: Vec<Step>,
    /// What the review level would do more.
    pub held: Vec<Step>,
    pub refused: Vec<Refused>,
    pub faults: Vec<RolledBack>,
    pub skipped: Option<Skipped>,
    pub rebuild: Option<Rebuild>,
}

/// Plans one file.
#[must_use]
pub fn plan(unit: &Unit, request: &Request) -> Plan {
    plan_of(unit, request, &Arc::new(syntax::parse(&unit.text)), None)
}

/// Plans `file`, which is the unit's text, read; `facts` are its facts, where they are known already.
#[must_use]
pub fn plan_of<'a>(
    unit: &'a Unit,
    request: &'a Request,
    file: &Arc<Dockerfile>,
    facts: Option<Facts<'a>>,
) -> Plan {
    if let Some(skipped) = gate::skip(file) {
        return Plan::unchanged(unit.text.clone(), Some(skipped));
    }
    let mut version = match facts {
        Some(facts) => Version { pragmas: Pragmas::read(file), facts, unit, request },
        None => Version::of(file, unit, request),
    };
    let mut work = Work {
        input: version.text(),
        now: version.text(),
        contexts: unit.contexts.clone(),
        files: Vec::new(),
        origins: Vec::new(),
        steps: Vec::new(),
        banned: Vec::new(),
        faults: Vec::new(),
    };
    let mut safe: Option<(Work, Vec<Refused>)> = None;
    let mut level = Level::Safe;
    let (mut at, mut round, mut changed) = (0, 0, false);
    'text: loop {
        let mut found: Vec<Option<Vec<Finding>>> = vec![None; request.passes.len()];
        loop {
            while at < request.passes.len() {
                let pass = request.passes[at];
                let findings = found[at].get_or_insert_with(|| version.run(pass, &work.contexts));
                let next = findings.iter().find_map(|f| {
                    let rewrite =
                        f.as_rewrite().filter(|r| r.level >= level && !work.is_banned(pass.meta().id, f))?;
                    Some((f.clone(), rewrite.clone()))
                });
                if let Some((finding, rewrite)) = next {
                    if let Some(next) = work.try_step(&version, pass.meta(), finding, rewrite, level) {
                        if work.steps.len() > STEPS {
                            return work.given_up(unit);
                        }
                        (version, changed) = (next, true);
                        continue 'text;
                    }
                } else {
                    at += 1;
                }
            }
            round += 1;
            if changed && round < ROUNDS {
                (at, changed) = (0, false);
                continue;
            }
            if level == Level::Safe {
                let refused = work.refusals(request.passes, &found, Level::Safe);
                safe = Some((work.clone(), refused));
                (level, at, round, changed) = (Level::Review, 0, 0, false);
                continue;
            }
            let refused = work.refusals(request.passes, &found, Level::Review);
            let review = (work, refused);
            let (chosen, held) = match (request.level, safe) {
                (Level::Safe, Some(safe)) => {
                    let held = review.0.steps[safe.0.steps.len()..].to_vec();
                    (safe, held)
                }
                _ => (review, Vec::new()),
            };
            return chosen.0.into_plan(unit, chosen.1, held);
        }
    }
}

impl Plan {
    fn unchanged(text: Vec<u8>, skipped: Option<Skipped>) -> Plan {
        Plan {
            before: text.clone(),
            after: text,
            files: Vec::new(),
            steps: Vec::new(),
            held: Vec::new(),
            refused: Vec::new(),
            faults: Vec::new(),
            skipped,
            rebuild: None,
        }
    }

    /// Whether anything is to be written.
    #[must_use]
    pub fn is_changed(&self) -> bool {
        self.before != self.after || !self.files.is_empty()
    }
}

/// One text of the file, read.
#[derive(Clone)]
struct Text {
    file: Arc<Dockerfile>,
    graph: Arc<Graph>,
}

/// One text of the file, analysed.
struct Version<'a> {
    facts: Facts<'a>,
    pragmas: Pragmas,
    unit: &'a Unit,
    request: &'a Request<'a>,
}

impl<'a> Version<'a> {
    fn of(file: &Arc<Dockerfile>, unit: &'a Unit, request: &'a Request) -> Version<'a> {
        let graph = Arc::new(Graph::of_build(file, &unit.options));
        let facts = Facts::derive(file, &graph, request.knowledge, &unit.options);
        Version { pragmas: Pragmas::read(file), facts, unit, request }
    }

    fn text(&self) -> Text {
        Text { file: self.facts.file().clone(), graph: self.facts.graph().clone() }
    }

    fn view<'b>(&'b self, context: Option<&'b Context>) -> View<'b> {
        View { file: self.facts.file(), graph: self.facts.graph(), facts: &self.facts, context }
    }

    /// What a pass finds, in every context alike.
    fn run(&self, pass: &dyn Pass, contexts: &[Arc<Context>]) -> Vec<Finding> {
        let with = |context: Option<&Context>| {
            pass.run(&Input {
                file: self.facts.file(),
                graph: self.facts.graph(),
                facts: &self.facts,
                context,
                knowledge: self.request.knowledge,
                options: &self.unit.options,
            })
        };
        let mut findings = with(contexts.first().map(Arc::as_ref));
        for context in contexts.iter().skip(1) {
            let other = with(Some(context));
            for finding in &mut findings {
                let edits = |f: &Finding| f.as_rewrite().map(|r| r.edits.clone());
                if finding.as_rewrite().is_some()
                    && !other.iter().any(|o| o.at == finding.at && edits(o) == edits(finding))
                {
                    let message =
                        format!("the file is also built in {}, where this would not hold", context.dir());
                    finding.refuse_instead(
                        Reason::Conflict,
                        message,
                        "give each build context a Dockerfile of its own",
                    );
                }
            }
        }
        for finding in &mut findings {
            if let Some(by) = self.pragmas.opts_out(self.facts.file(), finding.at, &pass.meta()) {
                finding.refuse_instead(Reason::OptedOut, by, "remove the pragma");
            }
        }
        findings
    }
}

/// A file on its way.
#[derive(Clone)]
struct Work {
    input: Text,
    now: Text,
    contexts: Vec<Arc<Context>>,
    files: Vec<(RepoPath, Vec<u8>)>,
    /// The edits of each step, to find where a byte came from.
    origins: Vec<EditSet>,
    steps: Vec<Step>,
    banned: Vec<(&'static str, Finding)>,
    faults: Vec<RolledBack>,
}

impl Work {
    fn is_banned(&self, pass: &str, finding: &Finding) -> bool {
        self.banned.iter().any(|(id, f)| *id == pass && f == finding)
    }

    /// Applies a rewrite if it passes validation: the next version. Else notes the fault and never tries it again.
    fn try_step<'a>(
        &mut self,
        version: &Version<'a>,
        meta: Meta,
        finding: Finding,
        rewrite: Rewrite,
        round: Level,
    ) -> Option<Version<'a>> {
        let lines = self.input_lines(finding.at);
        let checked = self.apply(version, &rewrite);
        let (next, contexts, files) = match checked {
            Ok(next) => next,
            Err(fault) => {
                let validate::Fault { rule, message } = fault;
                self.faults.push(RolledBack { pass: meta.id, lines, rule, message });
                self.banned.push((meta.id, finding));
                return None;
            }
        };
        (self.now, self.contexts, self.files) = (next.text(), contexts, files);
        self.origins.push(rewrite.edits.dockerfile.clone());
        let Rewrite { level, evidence, assumes, effects, edits } = rewrite;
        let level = level.min(round);
        self.steps.push(Step {
            pass: meta.id,
            level,
            lines,
            message: finding.message,
            evidence,
            assumes,
            effects,
            edits,
        });
        Some(next)
    }

    #[allow(clippy::type_complexity)]
    fn apply<'a>(
        &self,
        version: &Version<'a>,
        rewrite: &Rewrite,
    ) -> Result<(Version<'a>, Vec<Arc<Context>>, Vec<(RepoPath, Vec<u8>)>), validate::Fault> {
        if rewrite.level == Level::Safe && !rewrite.effects.iter().all(Effect::is_safe) {
            return validate::fault("V2", "a safe rewrite declares an effect that only a review may have");
        }
        let old = self.now.file.text();
        let text = rewrite.edits.dockerfile.apply(old);
        if text == old && rewrite.edits.files.is_empty() {
            return validate::fault("V2", "the rewrite changes nothing");
        }
        let mut files = self.files.clone();
        let mut contexts = self.contexts.clone();
        for (path, change) in &rewrite.edits.files {
            let before = contexts.first().and_then(|c| c.ignore_bytes()).unwrap_or_default();
            let after = match change {
                Change::Edit(edits) => edits.apply(before),
                Change::Create(bytes) => bytes.clone(),
            };
            contexts = contexts.iter().map(|c| Arc::new(c.with_ignore(path.clone(), &after))).collect();
            files.retain(|(p, _)| p != path);
            files.push((path.clone(), after));
        }
        let next = Version::of(&Arc::new(syntax::parse(&text)), version.unit, version.request);
        let contexts_or_none = |c: &[Arc<Context>]| -> Vec<Option<Arc<Context>>> {
            if c.is_empty() { vec![None] } else { c.iter().cloned().map(Some).collect() }
        };
        for (old, new) in contexts_or_none(&self.contexts).iter().zip(contexts_or_none(&contexts)) {
            let (old, new) = (version.view(old.as_deref()), next.view(new.as_deref()));
            let claim = Claim { effects: &rewrite.effects, assumes: &rewrite.assumes, level: rewrite.level };
            validate(&old, &new, claim, version.request.knowledge)?;
        }
        Ok((next, contexts, files))
    }

    /// The lines of the input that `at` of the present text came from.
    fn input_lines(&self, at: Span) -> (u32, u32) {
        let back = |byte: u32| self.origins.iter().rev().fold(byte, |b, edits| edits.origin(b));
        let (start, end) = (back(at.start), back(at.end.saturating_sub(1).max(at.start)));
        let lines = self.input.file.lines();
        (lines.line(start), lines.line(end.max(start)))
    }

    /// What the passes refuse on this text, and, as conflicts, what they would do and may not.
    fn refusals(
        &self,
        passes: &[&'static dyn Pass],
        found: &[Option<Vec<Finding>>],
        _level: Level,
    ) -> Vec<Refused> {
        let mut out: Vec<Refused> = Vec::new();
        for (pass, findings) in passes.iter().zip(found) {
            for finding in findings.iter().flatten() {
                if let Outcome::Refuse { reason, unlock, moot } = &finding.outcome {
                    let lines = self.input_lines(finding.at);
                    let message = finding.message.clone();
                    let refused = Refused {
                        pass: pass.meta().id,
                        lines,
                        reason: *reason,
                        message,
                        unlock: unlock.clone(),
                        moot: *moot,
                    };
                    out.push(refused);
                }
            }
        }
        out.sort_by_key(|r| r.lines);
        out
    }

    /// The file as it was: a pass that finds its own result again would never end.
    fn given_up(mut self, unit: &Unit) -> Plan {
        let last = self.steps.last();
        let (pass, lines) = last.map_or(("", (1, 1)), |s| (s.pass, s.lines));
        let message = format!("after {STEPS} rewrites there is still another one");
        self.faults.push(RolledBack { pass, lines, rule: "final", message });
        Plan { faults: self.faults, ..Plan::unchanged(unit.text.clone(), None) }
    }

    fn into_plan(self, unit: &Unit, refused: Vec<Refused>, held: Vec<Step>) -> Plan {
        let Work { input, now, .. } = &self;
        let rebuild = (now.file.text() != unit.text).then(|| {
            // what a new COPY names is a manifest, whatever it is called
            let named = copied_names(&now.file);
            let old = copied_names(&input.file);
            let is_manifest = |name: &str| {
                Ecosystems::builtin().is_manifest(name) || (named.contains(name) && !old.contains(name))
            };
            let (before, after) = ((&*input.file, &*input.graph), (&*now.file, &*now.graph));
            cost::rebuild(before, after, &unit.options, &is_manifest)
        });
        Plan {
            before: unit.text.clone(),
            after: now.file.text().to_vec(),
            files: self.files,
            steps: self.steps,
            held,
            refused,
            faults: self.faults,
            skipped: None,
            rebuild,
        }
    }
}

/// The last parts of the paths that COPYs name as sources.
fn copied_names(file: &Dockerfile) -> BTreeSet<String> {
    let copies = file.instructions.iter().filter(|i| matches!(i.keyword, Keyword::Copy | Keyword::Add));
    let sources = copies.flat_map(|i| &i.args()[..i.args().len().saturating_sub(1)]);
    sources.map(|a| a.value.trim_end_matches('/').rsplit('/').next().unwrap_or_default().to_owned()).collect()
}

#[cfg(test)]
mod tests;
