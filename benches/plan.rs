//! How long parsing and planning take: `cargo bench`. `scripts/measure` times the program as a whole.
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    missing_docs,
    reason = "a benchmark makes its own inputs"
)]

use std::{
    collections::BTreeMap,
    fs,
    hint::black_box,
    path::{Path, PathBuf},
    process::Command,
    sync::Arc,
};

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use dfopt::{
    context::{Context, Memory, Origin},
    knowledge::Knowledge,
    options::Options,
    pass::Level,
    passes::PASSES,
    pipeline::{Request, Unit, ordered, plan},
    repo::DiskSource,
    syntax,
};

criterion_group!(benches, parse, plan_many, plan_one, plan_large_context);
criterion_main!(benches);

/// Bytes a second that the parser reads.
fn parse(c: &mut Criterion) {
    let mut group = c.benchmark_group("parse");
    for (name, texts) in [("goldens", goldens()), ("corpus", corpus())] {
        if texts.is_empty() {
            continue;
        }
        group.throughput(Throughput::Bytes(texts.iter().map(|t| t.len() as u64).sum()));
        group.bench_function(name, |b| {
            b.iter(|| texts.iter().map(|t| syntax::parse(black_box(t)).instructions.len()).sum::<usize>());
        });
    }
    group.finish();
}

/// 500 Dockerfiles without a context, one after the other.
fn plan_many(c: &mut Criterion) {
    let texts = match corpus() {
        texts if texts.is_empty() => goldens(),
        texts => texts,
    };
    let units: Vec<Unit> = texts.into_iter().cycle().take(500).map(|text| unit(text, None)).collect();
    let mut group = c.benchmark_group("plan");
    group.sample_size(10);
    group.bench_function("500 Dockerfiles", |b| b.iter(|| units.iter().map(steps).sum::<usize>()));
    group.finish();
}

/// One Dockerfile of everyday size, with its context in memory.
fn plan_one(c: &mut Criterion) {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/node-api");
    let read = |name: &str| fs::read(dir.join(name)).unwrap();
    let names = ["package.json", "package-lock.json", "server.js", ".dockerignore"];
    let files = names.iter().map(|n| ((*n).to_owned(), (read(n), 0o644))).collect::<BTreeMap<_, _>>();
    let context = Context::new(Arc::new(Memory { files }), ".".into(), Origin::Given, "Dockerfile");
    let unit = unit(read("Dockerfile"), Some(context));
    c.bench_function("plan/one Dockerfile", |b| b.iter(|| steps(&unit)));
}

/// One Dockerfile whose context, on the disk, has 20,000 files.
fn plan_large_context(c: &mut Criterion) {
    let dir = tempfile::tempdir().unwrap();
    for i in 0..20_000 {
        let folder = dir.path().join(format!("src/{}", i / 200));
        if i % 200 == 0 {
            fs::create_dir_all(&folder).unwrap();
        }
        fs::write(folder.join(format!("{i}.js")), "").unwrap();
    }
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/node-api");
    for name in ["package.json", "package-lock.json", ".dockerignore"] {
        fs::copy(example.join(name), dir.path().join(name)).unwrap();
    }
    let text = fs::read(example.join("Dockerfile")).unwrap();
    // a context remembers what it read: each round has a new one
    let fresh = || {
        let source = Arc::new(DiskSource::new(dir.path()));
        unit(text.clone(), Some(Context::new(source, ".".into(), Origin::Given, "Dockerfile")))
    };
    c.bench_function("plan/20,000 files", |b| b.iter_batched(fresh, |u| steps(&u), BatchSize::PerIteration));
}

fn unit(text: Vec<u8>, context: Option<Context>) -> Unit {
    Unit { text, contexts: context.into_iter().map(Arc::new).collect(), options: Options::default() }
}

/// How many rewrites a plan has.
fn steps(unit: &Unit) -> usize {
    let passes = ordered(PASSES);
    let request = Request { level: Level::Review, passes: &passes, knowledge: Knowledge::builtin() };
    plan(black_box(unit), &request).steps.len()
}

/// The Dockerfiles of the golden cases.
fn goldens() -> Vec<Vec<u8>> {
    below(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden"))
        .into_iter()
        .filter(|p| p.ends_with("before/Dockerfile"))
        .map(|p| fs::read(p).unwrap())
        .collect()
}

/// The Dockerfiles of the corpus, where there is one: `DFOPT_SHARED`, or `shared` beside this crate.
fn corpus() -> Vec<Vec<u8>> {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared");
    let archive = std::env::var_os("DFOPT_SHARED").map_or(beside, PathBuf::from).join("corpus/real.tar.xz");
    let dir = tempfile::tempdir().unwrap();
    let unpacked = archive.is_file()
        && Command::new("tar")
            .arg("-xJf")
            .arg(archive)
            .arg("-C")
            .arg(dir.path())
            .status()
            .is_ok_and(|s| s.success());
    if unpacked { below(dir.path()).iter().map(|p| fs::read(p).unwrap()).collect() } else { Vec::new() }
}

/// Every file below a folder, sorted.
fn below(root: &Path) -> Vec<PathBuf> {
    let mut out = Vec::new();
    let mut open = vec![root.to_path_buf()];
    while let Some(dir) = open.pop() {
        for entry in fs::read_dir(dir).into_iter().flatten() {
            let path = entry.unwrap().path();
            if path.is_dir() { open.push(path) } else { out.push(path) }
        }
    }
    out.sort();
    out
}
