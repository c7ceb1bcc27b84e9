//! Proof of a rewrite: both texts are built by a real engine, and what came out is compared.
//!
//! The original is built twice, from nothing, and the rewrite between the two: what differs between two builds of the same file is noise,
//! and whatever changes with time changes most between the outer two. All else must be equal, but for what the review steps declare.

use std::{collections::BTreeMap, path::PathBuf, sync::Arc, time::Duration};

use ignore::gitignore::{Gitignore, GitignoreBuilder};

use crate::{
    context::Context, cost::Rebuild, edit::Change, knowledge::Knowledge, options::Options, pass::Level,
    pipeline::Step,
};

pub mod child;
pub mod declared;
pub mod differ;
pub mod engine;
pub mod measure;
pub mod render;
pub mod start;
pub mod tree;

use declared::{Declared, Images};
use differ::{Difference, Image, Noise, Place, compare};
use engine::{Built, Engine, Failure, Recipe, Size};
use measure::{Measured, Which, rebuild};
use start::{Answer, Portrait, Probe};

/// Differences that are declared, each with the pass that declared it.
pub type Admitted = Vec<(&'static str, Difference)>;

/// How many differences are told.
pub const TOLD: usize = 20;

/// A Dockerfile with the ignore file that holds for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Version {
    pub dockerfile: Vec<u8>,
    /// None: there is none.
    pub ignore: Option<Vec<u8>>,
}

/// What is to be proved.
pub struct Job<'a> {
    /// The Dockerfile, as shown.
    pub path: String,
    pub level: Level,
    pub before: Version,
    pub after: Version,
    /// From `before` to `after`; none where another file than dfopt's is compared.
    pub steps: &'a [Step],
    /// None: nothing is copied from a context.
    pub context: Option<(Arc<Context>, PathBuf)>,
    pub options: &'a Options,
    pub knowledge: &'a Knowledge,
    /// What the cost model says of the rewrite.
    pub predicted: Option<Rebuild>,
    pub wants: Wants,
}

/// What is done besides building and comparing.
#[derive(Clone, Debug)]
pub struct Wants {
    pub measure: bool,
    /// The source file to edit for the measurement; None: one is chosen.
    pub edit: Option<String>,
    pub run: bool,
    pub probe: Option<Probe>,
    /// What the images are started with, in place of their CMD.
    pub args: Vec<String>,
    /// How long an image may take to answer.
    pub timeout: Duration,
    /// Paths of the images that are not compared; rooted at `/`.
    pub ignore: Gitignore,
}

/// The globs of paths that are not compared, as in a .gitignore at the image's root: `/var/cache/**`.
///
/// # Errors
/// Which glob is malformed.
pub fn ignored_paths(globs: &[String]) -> Result<Gitignore, String> {
    let mut builder = GitignoreBuilder::new("/");
    for glob in globs {
        builder.add_line(None, glob).map_err(|e| format!("{glob}: {e}"))?;
    }
    builder.build().map_err(|e| e.to_string())
}

/// What is going on, for whoever watches.
pub trait Watch {
    /// Another part begins: `build the original`.
    fn begins(&mut self, what: &str);
    /// A line of the builder's progress.
    fn line(&mut self, line: &str);
}

/// What came out.
#[derive(Clone, Debug)]
pub struct Outcome {
    pub path: String,
    pub target: Option<String>,
    pub level: Level,
    pub engine: String,
    pub verdict: Verdict,
    /// What differs and is declared.
    pub declared: Admitted,
    /// How many places differ between two builds of the original.
    pub noise: usize,
    pub before: Measures,
    /// None: the rewrite does not build.
    pub after: Option<Measures>,
    pub source_edit: Option<Measured>,
    pub manifest_edit: Option<Measured>,
    /// What could not be measured, and why.
    pub notes: Vec<String>,
    /// The answers before and after, where the images were started.
    pub answers: Option<(Answer, Answer)>,
    /// The steps that were tried, as `pass: message`.
    pub steps: Vec<String>,
}

/// One of the two images.
#[derive(Clone, Debug, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Measures {
    /// Of a build without cache, in seconds.
    pub cold_build: f64,
    #[serde(flatten)]
    pub portrait: Portrait,
}

/// Whether the rewrite kept its promise.
#[derive(Clone, Debug)]
pub enum Verdict {
    Equivalent,
    Differs {
        /// The first ones.
        differences: Vec<Difference>,
        /// How many there are.
        total: usize,
        blame: Option<Blame>,
    },
    /// The original builds, the rewrite does not: what the builder said last.
    DoesNotBuild {
        tail: Vec<String>,
        blame: Option<Blame>,
    },
    /// The images are as they should be, but do not answer alike.
    AnswersDiffer,
}

/// The step from which on the images differ.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Blame {
    pub pass: &'static str,
    /// Of the original, 1-based.
    pub lines: (u32, u32),
    pub message: String,
}

impl Outcome {
    /// Whether the rewrite kept its promise.
    #[must_use]
    pub fn is_equivalent(&self) -> bool {
        matches!(self.verdict, Verdict::Equivalent)
    }
}

/// Builds, compares, measures and runs.
///
/// # Errors
/// When it could not be tried: the engine failed, the original does not build, or the user ended it.
pub fn verify(job: &Job<'_>, engine: &Engine, watch: &mut dyn Watch) -> Result<Outcome, Failure> {
    let mut trial =
        Trial { job, engine, watch, noise: Noise::default(), originals: Vec::new(), bases: BTreeMap::new() };
    let first = trial.build("build the original", &job.before)?;
    let rewritten = match trial.build("build the rewrite", &job.after) {
        Err(Failure::Build { tail }) => Err(tail),
        other => Ok(other?),
    };
    trial.build_original_again("build the original again, to know what differs from build to build")?;
    let first_image = trial.image(&first)?;
    trial.learn(first_image)?;
    let (verdict, declared, image) = match &rewritten {
        Err(tail) => (Verdict::DoesNotBuild { tail: tail.clone(), blame: trial.blame()? }, Vec::new(), None),
        Ok(built) => {
            let image = trial.image(built)?;
            let (verdict, declared) = trial.judge(&image)?;
            (verdict, declared, Some(image))
        }
    };
    let mut outcome = Outcome {
        path: job.path.clone(),
        target: engine.options().target.clone(),
        level: job.level,
        engine: format!(
            "Docker {}{}",
            engine.version(),
            if engine.options().classic { ", classic builder" } else { "" }
        ),
        verdict,
        declared,
        noise: trial.noise.len(),
        before: measures(job, &first, &trial.originals[0], engine.size(&first.tag)?),
        after: None,
        source_edit: None,
        manifest_edit: None,
        notes: Vec::new(),
        answers: None,
        steps: job.steps.iter().map(|s| format!("{}: {}", s.pass, s.message)).collect(),
    };
    let (Ok(rewritten), Some(image)) = (rewritten, image) else { return Ok(outcome) };
    outcome.after = Some(measures(job, &rewritten, &image, engine.size(&rewritten.tag)?));
    if job.wants.measure {
        trial.measure(&mut outcome)?;
    }
    if job.wants.run {
        trial.run(&mut outcome, &first, &rewritten, &image)?;
    }
    Ok(outcome)
}

fn measures(job: &Job<'_>, built: &Built, image: &Image, size: Size) -> Measures {
    Measures { cold_build: built.seconds, portrait: start::portrait(image, size, job.knowledge) }
}

struct Trial<'a, 'w> {
    job: &'a Job<'a>,
    engine: &'a Engine,
    watch: &'w mut dyn Watch,
    noise: Noise,
    /// Images of the original. The first one is what a rewrite is held against.
    originals: Vec<Image>,
    /// Images that stages start from, by reference.
    bases: BTreeMap<String, Image>,
}

impl Trial<'_, '_> {
    /// Builds without cache.
    fn build(&mut self, what: &str, version: &Version) -> Result<Built, Failure> {
        self.watch.begins(what);
        if self.engine.options().classic && version.ignore != self.job.before.ignore {
            return Err(Failure::Engine(
                "the classic builder reads .dockerignore in the build context alone, and the rewrite changes it; verify with BuildKit, or leave out split-dependency-copy by --ignore".into(),
            ));
        }
        let context = self.context()?;
        let recipe =
            Recipe { dockerfile: &version.dockerfile, ignore: version.ignore.as_deref(), context: &context };
        let watch = &mut *self.watch;
        self.engine.build(recipe, false, &mut |line| watch.line(line))
    }

    /// The folder of the build context; an empty one where none is used.
    fn context(&self) -> Result<PathBuf, Failure> {
        match &self.job.context {
            Some((_, dir)) => Ok(dir.clone()),
            None => self.empty_context(),
        }
    }

    fn empty_context(&self) -> Result<PathBuf, Failure> {
        let empty = self.engine.folder().join("empty");
        std::fs::create_dir_all(&empty)
            .map_err(|e| Failure::Engine(format!("an empty build context cannot be made: {e}")))?;
        Ok(empty)
    }

    fn build_original_again(&mut self, what: &str) -> Result<(), Failure> {
        let again = self.build(what, &self.job.before)?;
        let image = self.image(&again)?;
        self.originals.push(image);
        Ok(())
    }

    fn image(&mut self, built: &Built) -> Result<Image, Failure> {
        self.watch.begins("read the image's files");
        self.engine.image(&built.tag)
    }

    /// Makes `first` the image that all are held against, and learns what differs from build to build.
    fn learn(&mut self, first: Image) -> Result<(), Failure> {
        for other in &self.originals {
            self.noise.learn(&first, other);
        }
        self.originals.insert(0, first);
        Ok(())
    }

    /// Holds an image against the original. Where something is left, the original is built once more, for what differs seldom: a
    /// verdict against a rewrite should not be chance.
    fn judge(&mut self, image: &Image) -> Result<(Verdict, Admitted), Failure> {
        let (mut left, mut declared) = self.differences(image, &self.job.after, self.job.steps)?;
        if !left.is_empty() && self.originals.len() < 3 {
            match self.build_original_again("build the original a third time, for what differs seldom") {
                Ok(()) => {
                    let (first, rest) = self.originals.split_at(1);
                    for other in rest {
                        self.noise.learn(&first[0], other);
                    }
                    (left, declared) = self.differences(image, &self.job.after, self.job.steps)?;
                }
                Err(Failure::Build { .. }) => {}
                Err(e) => return Err(e),
            }
        }
        if left.is_empty() {
            return Ok((Verdict::Equivalent, declared));
        }
        let blame = self.blame()?;
        let total = left.len();
        left.truncate(TOLD);
        Ok((Verdict::Differs { differences: left, total, blame }, declared))
    }

    /// What differs from the original and is neither noise nor declared; and what is declared, with the pass.
    fn differences(
        &mut self,
        image: &Image,
        version: &Version,
        steps: &[Step],
    ) -> Result<(Vec<Difference>, Admitted), Failure> {
        let job = self.job;
        let target = self.engine.options().target.as_deref();
        let declared = Declared::new(
            steps,
            &job.before.dockerfile,
            &version.dockerfile,
            job.knowledge,
            job.options,
            target,
        );
        if let Some((old, new)) = declared.bases() {
            for reference in [old, new] {
                self.base(reference)?;
            }
        }
        let bases = declared.bases().and_then(|(a, b)| Some((self.bases.get(a)?, self.bases.get(b)?)));
        let before = &self.originals[0];
        let images = Images { before, after: image, bases };
        let mut left = Vec::new();
        let mut admitted = Vec::new();
        for d in compare(before, image) {
            if self.noise.explains(&d) || is_ignored(&d, &job.wants.ignore) {
                continue;
            }
            match declared.admits(&d, &images) {
                Some(pass) => admitted.push((pass, d)),
                None => left.push(d),
            }
        }
        Ok((left, admitted))
    }

    /// Reads the image that a stage starts from, by a build that does nothing: so no tag of the user's comes or goes.
    fn base(&mut self, reference: &str) -> Result<(), Failure> {
        if self.bases.contains_key(reference) {
            return Ok(());
        }
        if reference == "scratch" {
            let nothing = Image { tree: tree::Tree::default(), config: Vec::new() };
            self.bases.insert(reference.to_owned(), nothing);
            return Ok(());
        }
        let dockerfile = format!("FROM {reference}\n");
        self.watch.begins(&format!("read the files of {reference}"));
        let empty = self.empty_context()?;
        let recipe = Recipe { dockerfile: dockerfile.as_bytes(), ignore: None, context: &empty };
        let built = self.engine.build_alone(recipe)?;
        let image = self.engine.image(&built.tag)?;
        self.bases.insert(reference.to_owned(), image);
        Ok(())
    }

    /// Finds the first step whose result differs, by halves: each text between is built as the rewrite was.
    fn blame(&mut self) -> Result<Option<Blame>, Failure> {
        let steps = self.job.steps;
        let (mut good, mut bad) = (0, steps.len());
        if bad == 0 {
            return Ok(None);
        }
        while bad - good > 1 {
            let middle = good + (bad - good) / 2;
            let version = after(&self.job.before, &steps[..middle]);
            let what =
                format!("build the first {middle} of {} changes, to find the one to blame", steps.len());
            let is_good = match self.build(&what, &version) {
                Err(Failure::Build { .. }) => false,
                Err(e) => return Err(e),
                Ok(built) => {
                    let image = self.image(&built)?;
                    self.differences(&image, &version, &steps[..middle])?.0.is_empty()
                }
            };
            if is_good { good = middle } else { bad = middle }
        }
        let step = &steps[bad - 1];
        Ok(Some(Blame { pass: step.pass, lines: step.lines, message: step.message.clone() }))
    }

    /// Rebuilds both after an edit of a source file, and of a manifest.
    fn measure(&mut self, outcome: &mut Outcome) -> Result<(), Failure> {
        let job = self.job;
        let Some((context, dir)) = &job.context else { return Ok(()) };
        if self.engine.options().classic {
            outcome.notes.push("rebuilds are measured with BuildKit alone".into());
            return Ok(());
        }
        let copy = match measure::Copy::make(context, dir, self.engine.folder().join("context")) {
            Ok(copy) => copy,
            Err(why) => {
                outcome.notes.push(format!("rebuilds are not measured: {why}"));
                return Ok(());
            }
        };
        for which in [Which::Source, Which::Manifest] {
            let given = job.wants.edit.clone().filter(|_| which == Which::Source);
            let chosen = given.or_else(|| copy.choose(which, context, &job.before.dockerfile, job.options));
            let Some(file) = chosen else { continue };
            let what = if which == Which::Source { "source file" } else { "manifest" };
            if let Err(e) = copy.edit(&file) {
                outcome.notes.push(format!("no rebuild after an edit of {file}: {e}"));
                continue;
            }
            let mut found = Vec::new();
            for (name, version) in [("original", &job.before), ("rewrite", &job.after)] {
                self.watch.begins(&format!("rebuild the {name} after an edit of the {what} {file}"));
                let recipe = Recipe {
                    dockerfile: &version.dockerfile,
                    ignore: version.ignore.as_deref(),
                    context: &copy.folder,
                };
                let watch = &mut *self.watch;
                match rebuild(self.engine, recipe, &mut |line| watch.line(line)) {
                    Ok(rebuilt) => found.push(rebuilt),
                    Err(Failure::Build { tail }) => {
                        let said = tail.last().cloned().unwrap_or_default();
                        outcome
                            .notes
                            .push(format!("the {name} does not build after an edit of {file}: {said}"));
                    }
                    Err(e) => return Err(e),
                }
            }
            let &[before, after] = found.as_slice() else { continue };
            let predicted = job.predicted.map(|p| match which {
                Which::Source => p.source_edit,
                Which::Manifest => p.manifest_edit,
            });
            let measured = Some(Measured { file, before, after, predicted });
            match which {
                Which::Source => outcome.source_edit = measured,
                Which::Manifest => outcome.manifest_edit = measured,
            }
        }
        Ok(())
    }

    /// Starts both, one after the other: with the host's network they would want the same port.
    fn run(
        &mut self,
        outcome: &mut Outcome,
        first: &Built,
        rewritten: &Built,
        image: &Image,
    ) -> Result<(), Failure> {
        let wants = &self.job.wants;
        let watch = &mut *self.watch;
        let mut ask = |what: &str, built: &Built, image: &Image| {
            watch.begins(what);
            start::ask(self.engine, &built.tag, image, wants)
        };
        let before = ask("start the original", first, &self.originals[0])?;
        if wants.probe.is_some() && !before.ok {
            let log = before.log.join("\n  ");
            return Err(Failure::Engine(format!(
                "the original does not answer the probe: {}\n  {log}",
                before.summary
            )));
        }
        let after = ask("start the rewrite", rewritten, image)?;
        let is_like = |a: &Answer, b: &Answer| a.ok == b.ok && a.summary == b.summary && a.body == b.body;
        if !is_like(&before, &after) && outcome.is_equivalent() {
            // An answer with the time of day in it says nothing.
            let again = ask(
                "start the original again, to know whether it always answers alike",
                first,
                &self.originals[0],
            )?;
            if is_like(&before, &again) || again.ok != after.ok || status(&again) != status(&after) {
                outcome.verdict = Verdict::AnswersDiffer;
            } else {
                outcome.notes.push(
                    "the original itself answers differently each time: only its status was compared".into(),
                );
            }
        }
        outcome.answers = Some((before, after));
        Ok(())
    }
}

fn is_ignored(d: &Difference, ignore: &Gitignore) -> bool {
    let Place::Path(path) = &d.place else { return false };
    ignore.matched_path_or_any_parents(format!("/{path}"), false).is_ignore()
}

/// `200` of `200, 17 bytes`.
fn status(answer: &Answer) -> &str {
    answer.summary.split(',').next().unwrap_or_default()
}

/// A text after some of the steps.
fn after(before: &Version, steps: &[Step]) -> Version {
    let mut out = before.clone();
    for step in steps {
        out.dockerfile = step.edits.dockerfile.apply(&out.dockerfile);
        for change in step.edits.files.values() {
            let ignore = out.ignore.take().unwrap_or_default();
            out.ignore = Some(match change {
                Change::Edit(edits) => edits.apply(&ignore),
                Change::Create(bytes) => bytes.clone(),
            });
        }
    }
    out
}
