//! What several tests share: golden cases as data, plans and validations of texts in memory.

use std::{
    collections::BTreeMap,
    env, fs,
    path::{Path, PathBuf},
    process::Command,
    sync::Arc,
};

pub use super::golden::{files, folders, options};
use dfopt::{
    context::{Context, Memory, Origin},
    facts::Facts,
    graph::Graph,
    knowledge::Knowledge,
    options::Options,
    pass::{Effect, Level, Pass},
    passes::PASSES,
    pipeline::{Plan, Request, Unit, ordered, plan},
    syntax::parse,
    validate::{Claim, Fault, View, validate},
};

/// Files by path, with their modes.
pub type Files = BTreeMap<String, (Vec<u8>, u32)>;

/// A folder below the crate's root.
pub fn root(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// A golden case.
pub struct Case {
    /// `<pass>/<case>`.
    pub name: String,
    pub pass: String,
    pub before: Files,
    pub after: BTreeMap<String, Vec<u8>>,
    pub report: String,
    pub options: Options,
}

impl Case {
    pub fn text(&self) -> &[u8] {
        &self.before["Dockerfile"].0
    }

    /// The passes that run in it.
    pub fn passes(&self) -> Vec<&'static dyn Pass> {
        ordered(PASSES).into_iter().filter(|p| self.pass == "pipeline" || p.meta().id == self.pass).collect()
    }

    /// Plans `text` in the case's context, with the ignore file that an earlier step left.
    pub fn plan(&self, text: &[u8], files: &[(String, Vec<u8>)], level: Level) -> Plan {
        let mut all = self.before.clone();
        all.extend(files.iter().map(|(p, b)| (p.clone(), (b.clone(), 0o644))));
        let known = self.before.len() > 1;
        let contexts = if known { vec![Arc::new(context(all))] } else { Vec::new() };
        let unit = Unit { text: text.to_vec(), contexts, options: self.options.clone() };
        plan(&unit, &Request { level, passes: &self.passes(), knowledge: Knowledge::builtin() })
    }
}

/// Every golden case of every pass, in order of name.
pub fn cases() -> Vec<Case> {
    let mut out = Vec::new();
    for pass in folders(&root("tests/golden")) {
        for case in folders(&pass) {
            let name = |p: &Path| p.file_name().unwrap().to_str().unwrap().to_owned();
            let after = files(&case.join("after")).into_iter().map(|(p, (b, _))| (p, b)).collect();
            out.push(Case {
                name: format!("{}/{}", name(&pass), name(&case)),
                pass: name(&pass),
                before: files(&case.join("before")),
                after,
                report: fs::read_to_string(case.join("report")).unwrap_or_default(),
                options: options(&case),
            });
        }
    }
    out
}

/// A context of these files.
pub fn context(files: Files) -> Context {
    Context::new(Arc::new(Memory { files }), ".".into(), Origin::Memory, "Dockerfile")
}

/// What is claimed of a rewrite, owned.
pub struct Said<'a> {
    pub effects: &'a [Effect],
    pub level: Level,
}

/// Validates `new` against `old`, each in its context.
pub fn check(
    old: (&[u8], Option<&Context>),
    new: (&[u8], Option<&Context>),
    said: &Said,
    options: &Options,
) -> Result<(), Fault> {
    let [a, b] = [old.0, new.0].map(|t| Arc::new(parse(t)));
    let [ga, gb] = [&a, &b].map(|f| Arc::new(Graph::of_build(f, options)));
    let knowledge = Knowledge::builtin();
    let (fa, fb) = (Facts::derive(&a, &ga, knowledge, options), Facts::derive(&b, &gb, knowledge, options));
    let old = View { file: &a, graph: &ga, facts: &fa, context: old.1 };
    let new = View { file: &b, graph: &gb, facts: &fb, context: new.1 };
    validate(&old, &new, Claim { effects: said.effects, assumes: &[], level: said.level }, knowledge)
}

/// The folder of corpora: `DFOPT_SHARED`, or `shared` beside this crate. It is no part of the crate.
pub fn shared() -> Option<PathBuf> {
    let dir = env::var_os("DFOPT_SHARED").map_or_else(|| root("../shared"), PathBuf::from);
    dir.is_dir().then_some(dir)
}

/// The Dockerfiles of the corpus, sorted by path; none where there is no corpus or no tar.
pub fn corpus() -> Vec<(String, Vec<u8>)> {
    let Some(archive) = shared().map(|s| s.join("corpus/real.tar.xz")).filter(|a| a.is_file()) else {
        eprintln!("skipped: no corpus beside the crate");
        return Vec::new();
    };
    let dir = tempfile::tempdir().expect("a temporary folder");
    let done = Command::new("tar").arg("xJf").arg(&archive).arg("-C").arg(dir.path()).status();
    if !done.is_ok_and(|s| s.success()) {
        eprintln!("skipped: tar does not unpack {}", archive.display());
        return Vec::new();
    }
    files(dir.path()).into_iter().map(|(path, (bytes, _))| (path, bytes)).collect()
}

/// A small generator of numbers with a fixed seed (the multiplier of Knuth's MMIX), so that a failure comes again.
pub struct Dice(u64);

impl Dice {
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// A number below `n`.
    pub fn below(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((self.0 >> 33) as usize) % n.max(1)
    }
}
