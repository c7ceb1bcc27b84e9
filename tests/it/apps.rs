//! Real builds: the applications of `tests/apps` before and after, and the hazards of `tests/hazards`, each with the rewrite that a
//! careless tool would do. Without an engine these say that they skip.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::Command,
    sync::{Mutex, PoisonError},
};

use rayon::prelude::*;
use serde::Deserialize;
use serde_json::Value;

use super::{
    support::{folders, root},
    verify::{document, has_engine, verify},
};

/// `app.yaml`; its fields are explained in tests/apps/README.md.
#[derive(Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct App {
    #[allow(dead_code, reason = "for the reader")]
    what: String,
    passes: Passes,
    #[serde(default)]
    refuses: BTreeMap<String, String>,
    #[serde(default = "dockerfile")]
    dockerfile: String,
    #[serde(default)]
    build_args: BTreeMap<String, String>,
    target: Option<String>,
    probe: ProbeOrArgs,
    expect: String,
    user: String,
}

#[derive(Deserialize)]
struct Passes {
    safe: Vec<String>,
    review: Vec<String>,
}

/// A URL to ask, or the words to start the image with.
#[derive(Deserialize)]
#[serde(untagged)]
enum ProbeOrArgs {
    Url(String),
    Args(Vec<String>),
}

/// `hazard.yaml`; its fields are explained in tests/hazards/README.md.
#[derive(Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct Hazard {
    #[allow(dead_code, reason = "for the reader")]
    what: String,
    #[allow(dead_code, reason = "for the reader")]
    semantics: String,
    pass: String,
    reason: Option<String>,
    form: Option<String>,
    differs: String,
    fails: Option<String>,
    run: Option<Vec<String>>,
    original_says: Option<String>,
    wrong_says: Option<String>,
    #[allow(dead_code, reason = "for the reader")]
    #[serde(default)]
    noisy: bool,
}

fn dockerfile() -> String {
    "Dockerfile".into()
}

/// A lock for each port: two images with the host's network cannot both have it.
fn port_lock(url: &str) -> &'static Mutex<()> {
    static PORTS: Mutex<BTreeMap<String, &'static Mutex<()>>> = Mutex::new(BTreeMap::new());
    let port = url.trim_start_matches("http://:").split('/').next().unwrap_or_default().to_owned();
    let mut ports = PORTS.lock().unwrap_or_else(PoisonError::into_inner);
    ports.entry(port).or_insert_with(|| Box::leak(Box::default()))
}

/// The network that builds and images get: the engine's own where it has one.
fn network() -> Vec<String> {
    let out = Command::new("docker").args(["network", "ls", "--format", "{{.Driver}}"]).output().unwrap();
    let has_bridge = String::from_utf8_lossy(&out.stdout).lines().any(|l| l == "bridge");
    if has_bridge { Vec::new() } else { vec!["--network".into(), "host".into()] }
}

/// A copy of a folder without what is the suite's own, so that the folder is the build context.
fn copy(folder: &Path) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    // cp keeps links and modes
    let all = format!("{}/.", folder.display());
    assert!(Command::new("cp").args(["-a", &all]).arg(dir.path()).status().unwrap().success());
    for name in ["app.yaml", "hazard.yaml"] {
        let _ = fs::remove_file(dir.path().join(name));
    }
    dir
}

/// Runs `one` for each folder below `path`, two at a time, and shows what is wrong with each.
fn for_each(path: &str, one: impl Fn(&Path) -> Vec<String> + Sync) {
    if !has_engine(path) {
        return;
    }
    let only = std::env::var("DFOPT_CASE").ok();
    let named = |p: &PathBuf| only.as_deref().is_none_or(|o| p.ends_with(o));
    let all: Vec<PathBuf> = folders(&root(path)).into_iter().filter(named).collect();
    // a name that is asked for may be one of the other kind
    assert!(!all.is_empty() || only.is_some(), "{path} has no folders");
    let pool = rayon::ThreadPoolBuilder::new().num_threads(2).build().unwrap();
    let wrong: Vec<String> = pool.install(|| {
        all.par_iter()
            .flat_map_iter(|folder| {
                let name = folder.file_name().unwrap().to_string_lossy().into_owned();
                one(folder).into_iter().map(move |w| format!("{name}: {w}"))
            })
            .collect()
    });
    assert!(wrong.is_empty(), "{} of {}\n{}", wrong.len(), all.len(), wrong.join("\n"));
}

fn read<T: for<'a> Deserialize<'a>>(path: &Path) -> T {
    let text = fs::read_to_string(path).unwrap();
    serde_yaml::from_str(&text).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

#[test]
fn applications_keep_their_promise() {
    for_each("tests/apps", |folder| {
        let app: App = read(&folder.join("app.yaml"));
        let dir = copy(folder);
        let mut wrong = Vec::new();
        for (level, passes) in [("safe", &app.passes.safe), ("review", &app.passes.review)] {
            if passes.is_empty() && (level == "review" || !app.passes.review.is_empty()) {
                continue;
            }
            let found = of_app(&app, dir.path(), level);
            wrong.extend(found.into_iter().map(|w| format!("{level}: {w}")));
        }
        wrong.extend(
            app.refuses
                .iter()
                .filter_map(|(pass, reason)| refuses(dir.path(), &app.dockerfile, pass, reason).err()),
        );
        wrong
    });
}

/// What is wrong with an application at a level.
fn of_app(app: &App, dir: &Path, level: &str) -> Vec<String> {
    let mut args = network();
    args.extend(["--level", level, "--context", ".", "--output-format", "json", "--run"].map(str::to_owned));
    if level == "review" {
        args.push("--no-measure".into());
    }
    match &app.probe {
        ProbeOrArgs::Url(url) => args.extend(["--probe".into(), url.clone()]),
        ProbeOrArgs::Args(words) => args.extend(words.iter().map(|w| format!("--arg={w}"))),
    }
    args.extend(app.build_args.iter().flat_map(|(k, v)| ["--build-arg".into(), format!("{k}={v}")]));
    args.extend(app.target.iter().flat_map(|t| ["--target".into(), t.clone()]));
    args.push(app.dockerfile.clone());
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let lock = match &app.probe {
        ProbeOrArgs::Url(url) => Some(port_lock(url).lock().unwrap_or_else(PoisonError::into_inner)),
        ProbeOrArgs::Args(_) => None,
    };
    let out = verify(dir, &args);
    drop(lock);
    let said = String::from_utf8_lossy(&out.stderr);
    let last: Vec<&str> = said.lines().rev().take(8).collect();
    if out.status.code() == Some(2) {
        return vec![format!("could not be tried: {last:?}")];
    }
    let all = document(&out);
    let Some(file) = all["files"].get(0) else {
        let expected = if level == "safe" { &app.passes.safe } else { &app.passes.review };
        return if expected.is_empty() { Vec::new() } else { vec!["nothing is rewritten".into()] };
    };
    let mut wrong = Vec::new();
    if file["verdict"] != "equivalent" {
        wrong.push(format!("{} {:#}", file["sentence"], file["differences"]));
    }
    let steps: Vec<&str> = file["steps"].as_array().unwrap().iter().map(|s| s.as_str().unwrap()).collect();
    let expected = if level == "safe" { &app.passes.safe } else { &app.passes.review };
    for pass in expected {
        if !steps.iter().any(|s| s.starts_with(&format!("{pass}: "))) {
            wrong.push(format!("{pass} does not act"));
        }
    }
    for image in ["before", "after"] {
        let body = file["answers"][image]["body"].as_str().unwrap_or_default();
        if !body.contains(app.expect.trim()) {
            wrong.push(format!("{image} answers {}", file["answers"][image]));
        }
    }
    if level == "review" || app.passes.review.is_empty() {
        let user = if file["after"]["is-root"] == true { "root" } else { "non-root" };
        if user != app.user {
            wrong.push(format!("it runs as {}", file["after"]["user"]));
        }
    }
    for edit in ["source-edit", "manifest-edit"] {
        wrong.extend(prediction(&file[edit]));
    }
    wrong
}

/// The cost model is an upper bound: a stage that is built again with the same output stops what follows.
fn prediction(measured: &Value) -> Vec<String> {
    let mut wrong = Vec::new();
    for side in ["before", "after"] {
        let (seen, predicted) = (&measured[side]["steps"], &measured["predicted"][side]);
        if let (Some(seen), Some(predicted)) = (seen.as_u64(), predicted.as_u64())
            && seen > predicted
        {
            wrong.push(format!("{side} {}: {seen} steps ran, {predicted} were predicted", measured["file"]));
        }
    }
    wrong
}

/// Whether the pass refuses for that reason.
fn refuses(dir: &Path, dockerfile: &str, pass: &str, reason: &str) -> Result<(), String> {
    let args = [
        "--level",
        "review",
        "--context",
        ".",
        "--select",
        pass,
        "--show-refusals",
        "--output-format",
        "json",
        dockerfile,
    ];
    let out = Command::new(env!("CARGO_BIN_EXE_dfopt")).args(args).current_dir(dir).output().unwrap();
    let all: Value = serde_json::from_slice(&out.stdout).unwrap();
    let file = &all["files"][0];
    let reasons: Vec<&str> =
        file["refusals"].as_array().unwrap().iter().map(|r| r["reason"].as_str().unwrap()).collect();
    match file["status"].as_str() {
        Some("changed") => Err(format!("{pass} acts:\n{}", file["diff"].as_str().unwrap_or_default())),
        _ if reasons.contains(&reason) => Ok(()),
        _ => Err(format!("{pass} refuses for {reasons:?} and not {reason}")),
    }
}

#[test]
fn hazards_are_real_and_refused() {
    for_each("tests/hazards", |folder| {
        let hazard: Hazard = read(&folder.join("hazard.yaml"));
        let dir = copy(folder);
        let wrong_file = dir.path().join("wrong.Dockerfile");
        let elsewhere = tempfile::tempdir().unwrap();
        let against = elsewhere.path().join("Dockerfile");
        fs::rename(wrong_file, &against).unwrap();
        let mut wrong = is_real(&hazard, dir.path(), &against);
        if let Some(reason) = &hazard.reason {
            wrong.extend(refuses(dir.path(), "Dockerfile", &hazard.pass, reason).err());
        }
        if let Some(form) = &hazard.form {
            wrong.extend(has_form(&hazard, dir.path(), form));
        }
        wrong
    });
}

/// Whether the tempting rewrite differs as it is said to.
fn is_real(hazard: &Hazard, dir: &Path, against: &Path) -> Vec<String> {
    let mut args = network();
    args.extend(["--no-measure", "--output-format", "json", "--context", "."].map(str::to_owned));
    args.extend(["--against".into(), against.display().to_string()]);
    if let Some(words) = &hazard.run {
        args.push("--run".into());
        args.extend(words.iter().map(|w| format!("--arg={w}")));
    }
    args.push("Dockerfile".into());
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let out = verify(dir, &args);
    let said = String::from_utf8_lossy(&out.stderr);
    if hazard.fails.as_deref() == Some("original") {
        let fails = out.status.code() == Some(2) && said.contains("the original does not build");
        return if fails { Vec::new() } else { vec![format!("the original builds: {said}")] };
    }
    if out.status.code() == Some(2) {
        return vec![format!("could not be tried: {:?}", said.lines().rev().take(5).collect::<Vec<_>>())];
    }
    let all = document(&out);
    let file = &all["files"][0];
    let as_said = match hazard.differs.as_str() {
        "build-fails" => file["verdict"] == "does-not-build",
        "run" => {
            let body = |image: &str| file["answers"][image]["body"].as_str().unwrap_or_default().to_owned();
            let says =
                |image: &str, text: &Option<String>| text.as_ref().is_none_or(|t| body(image).contains(t));
            file["answers"]["before"] != file["answers"]["after"]
                && says("before", &hazard.original_says)
                && says("after", &hazard.wrong_says)
        }
        aspect => {
            let is_config = |d: &Value| d.get("field").is_some();
            let found = file["differences"].as_array().unwrap();
            found.iter().any(|d| is_config(d) == (aspect == "config"))
        }
    };
    if as_said { Vec::new() } else { vec![format!("it does not differ as said: {}", file["sentence"])] }
}

/// Whether dfopt writes the correct form, and that is equivalent.
fn has_form(hazard: &Hazard, dir: &Path, form: &str) -> Vec<String> {
    let mut args = network();
    args.extend(
        ["--level", "review", "--select", &hazard.pass, "--no-measure", "--context", "."].map(str::to_owned),
    );
    args.push("Dockerfile".into());
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let diff = Command::new(env!("CARGO_BIN_EXE_dfopt"))
        .args([
            "--level",
            "review",
            "--select",
            &hazard.pass,
            "--output-format",
            "diff",
            "--context",
            ".",
            "Dockerfile",
        ])
        .current_dir(dir)
        .output()
        .unwrap();
    let diff = String::from_utf8_lossy(&diff.stdout).into_owned();
    if !diff.lines().any(|l| l.starts_with('+') && l.contains(form)) {
        return vec![format!("dfopt does not write the form `{form}`:\n{diff}")];
    }
    let out = verify(dir, &args);
    let mut wrong = Vec::new();
    let fails = String::from_utf8_lossy(&out.stderr).contains("the original does not build");
    let fails_alike = hazard.fails.as_deref() == Some("original") && fails && !builds_after(hazard, dir);
    if out.status.code() != Some(0) && !fails_alike {
        let text = String::from_utf8_lossy(&out.stdout).into_owned() + &String::from_utf8_lossy(&out.stderr);
        wrong.push(format!("the form of dfopt is not equivalent:\n{text}"));
    }
    wrong
}

/// Whether dfopt's rewrite builds, where the original does not.
fn builds_after(hazard: &Hazard, dir: &Path) -> bool {
    let args = ["--level", "review", "--select", &hazard.pass, "--write", "--context", ".", "Dockerfile"];
    Command::new(env!("CARGO_BIN_EXE_dfopt")).args(args).current_dir(dir).output().unwrap();
    let mut args = network();
    args.extend(
        ["--no-measure", "--context", ".", "--against", "Dockerfile", "Dockerfile"].map(str::to_owned),
    );
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    verify(dir, &args).status.code() != Some(2)
}
