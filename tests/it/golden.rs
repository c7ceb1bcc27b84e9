//! Golden cases: `tests/golden/<pass>/<case>/`, with `before/` (a Dockerfile and its build context), `after/` (the files that
//! change) and `report` (what the pass says). The pass of the folder's name runs alone, at level review; in `pipeline/` all do.
//! `UPDATE_GOLDEN=1 cargo test golden` writes `after/` and `report` anew: read the diff before you commit it.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use dfopt::{
    context::{Context, Memory, Origin},
    knowledge::Knowledge,
    options::Options,
    pass::{Level, Pass},
    passes::PASSES,
    pipeline::{Plan, Request, Skipped, Step, Unit, ordered, plan},
};

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden");

#[test]
fn golden() {
    let update = std::env::var_os("UPDATE_GOLDEN").is_some();
    let mut wrong = Vec::new();
    let mut count = 0;
    for pass in folders(Path::new(ROOT)) {
        for case in folders(&pass) {
            count += 1;
            if let Some(difference) = run(&case, update) {
                wrong.push(format!("{}:\n{difference}", case.strip_prefix(ROOT).unwrap().display()));
            }
        }
    }
    assert!(count > 0, "no golden case was found");
    assert!(wrong.is_empty(), "{} of {count} cases differ\n\n{}", wrong.len(), wrong.join("\n"));
}

/// Runs a case; what differs from its files.
fn run(case: &Path, update: bool) -> Option<String> {
    let before = files(&case.join("before"));
    let name = case.parent().unwrap().file_name().unwrap().to_str().unwrap().to_owned();
    let passes: Vec<&'static dyn Pass> =
        ordered(PASSES).into_iter().filter(|p| name == "pipeline" || p.meta().id == name).collect();
    assert!(!passes.is_empty(), "{name} is no pass");
    let text = before
        .get("Dockerfile")
        .unwrap_or_else(|| panic!("{} has no before/Dockerfile", case.display()))
        .0
        .clone();
    let request = Request { level: Level::Review, passes: &passes, knowledge: Knowledge::builtin() };
    let unit = |text: Vec<u8>, ignore: Option<&[u8]>| {
        let mut files = before.clone();
        if let Some(ignore) = ignore {
            files.insert(".dockerignore".into(), (ignore.to_vec(), 0o644));
        }
        let source = Arc::new(Memory { files });
        // a case without other files than the Dockerfile has no known context
        let known = before.len() > 1;
        let context = || Arc::new(Context::new(source.clone(), ".".into(), Origin::Memory, "Dockerfile"));
        Unit { text, contexts: if known { vec![context()] } else { Vec::new() }, options: options(case) }
    };
    let first = plan(&unit(text.clone(), None), &request);
    let mut after: BTreeMap<String, Vec<u8>> = BTreeMap::new();
    if first.after != text {
        after.insert("Dockerfile".into(), first.after.clone());
    }
    after.extend(first.files.iter().cloned());
    let report = report(&first);
    let ignore = first.files.iter().find(|(p, _)| p == ".dockerignore").map(|(_, b)| b.as_slice());
    let second = plan(&unit(first.after.clone(), ignore), &request);
    if second.is_changed() {
        return Some(format!("a second run changes it again:\n{}", String::from_utf8_lossy(&second.after)));
    }
    if update {
        let folder = case.join("after");
        let _ = fs::remove_dir_all(&folder);
        for (path, bytes) in &after {
            fs::create_dir_all(&folder).unwrap();
            fs::write(folder.join(path), bytes).unwrap();
        }
        fs::write(case.join("report"), &report).unwrap();
        return None;
    }
    let expected: BTreeMap<String, Vec<u8>> =
        files(&case.join("after")).into_iter().map(|(p, (b, _))| (p, b)).collect();
    let mut out = String::new();
    let said = fs::read_to_string(case.join("report")).unwrap_or_default();
    if said != report {
        let _ = writeln!(out, "report, expected:\n{said}\nand got:\n{report}");
    }
    for path in expected.keys().chain(after.keys()).collect::<std::collections::BTreeSet<_>>() {
        let show = |m: &BTreeMap<String, Vec<u8>>| {
            m.get(path).map_or("(unchanged)".into(), |b| String::from_utf8_lossy(b).into_owned())
        };
        if expected.get(path) != after.get(path) {
            let _ = writeln!(out, "{path}, expected:\n{}\nand got:\n{}", show(&expected), show(&after));
        }
    }
    (!out.is_empty()).then_some(out)
}

/// `options` of a case, a line each: `builder = classic`, `target = x`, `build-arg = K=V`, `settings = {"add-user": {}}`,
/// `base-of = FILE`; and of a service that runs it `volume = A:B`, `port = A:B`, `user = U`, `run-as-non-root = true`,
/// `capability = C`, `device = D`, `privileged = true`, and in JSON `command = ["sh"]`, `entrypoint = ["sh"]`, `probe = ["sh"]`, `hook = ["sh"]`;
/// `synced = true`.
pub fn options(case: &Path) -> Options {
    let mut options = Options::default();
    for line in fs::read_to_string(case.join("options")).unwrap_or_default().lines() {
        match line.split_once(" = ").unwrap_or((line, "")) {
            ("builder", "classic") => options.builder = dfopt::options::Builder::Classic,
            ("builder", version) => {
                let (a, b) = version.split_once('.').unwrap_or_else(|| panic!("{line}"));
                options.builder =
                    dfopt::options::Builder::BuildKit { frontend: (a.parse().unwrap(), b.parse().unwrap()) };
            }
            ("target", name) => options.targets.push(name.into()),
            ("platform", name) => options.platforms.push(dfopt::config::parse_platform(name).unwrap()),
            ("build-arg", pair) => {
                let (k, v) = pair.split_once('=').unwrap_or_else(|| panic!("{line}"));
                options.build_args.push((k.into(), v.into()));
            }
            ("settings", json) => {
                options.settings = serde_json::from_str(json).unwrap_or_else(|e| panic!("{line}: {e}"))
            }
            ("base-of", file) => options.deployment.used_as_base_by.push(file.into()),
            ("volume", v) => service(&mut options).volumes.push(v.into()),
            ("port", p) => service(&mut options).ports.push(p.into()),
            ("capability", c) => service(&mut options).capabilities.push(c.into()),
            ("device", d) => service(&mut options).devices.push(d.into()),
            ("user", u) => service(&mut options).user = Some(u.into()),
            ("hook", json) => service(&mut options).hooks.push(serde_json::from_str(json).unwrap()),
            ("synced", _) => service(&mut options).synced = true,
            ("privileged", _) => service(&mut options).privileged = true,
            ("command", json) => service(&mut options).command = Some(serde_json::from_str(json).unwrap()),
            ("entrypoint", json) => {
                service(&mut options).entrypoint = Some(serde_json::from_str(json).unwrap())
            }
            ("probe", json) => service(&mut options).probe = Some(serde_json::from_str(json).unwrap()),
            ("run-as-non-root", _) => service(&mut options).run_as_non_root = true,
            _ => panic!("{}: {line} is no option", case.display()),
        }
    }
    options
}

/// The one service that a case describes.
fn service(options: &mut Options) -> &mut dfopt::options::Service {
    if options.deployment.services.is_empty() {
        options
            .deployment
            .services
            .push(dfopt::options::Service { by: "compose.yaml:3".into(), ..Default::default() });
    }
    options.deployment.services.last_mut().unwrap()
}

/// What a plan says, a line each: changes with their proof, refusals, faults.
fn report(plan: &Plan) -> String {
    let mut out = String::new();
    if let Some(skipped) = &plan.skipped {
        match skipped {
            Skipped::Invalid(e) => writeln!(out, "invalid {}: {}", e.line, e.message).unwrap(),
            Skipped::Gate(g) => writeln!(out, "skipped {} {}: {}", g.line, g.reason, g.message).unwrap(),
        }
    }
    for Step { pass, level, lines: (a, b), message, evidence, assumes, .. } in &plan.steps {
        writeln!(out, "change {a}-{b} {pass} {level}: {message}").unwrap();
        evidence.iter().for_each(|e| writeln!(out, "  proof: {e}").unwrap());
        assumes.iter().for_each(|a| writeln!(out, "  assumes: {}", a.text()).unwrap());
    }
    for r in &plan.refused {
        writeln!(
            out,
            "refuse {}-{} {} {}: {}\n  unlock: {}",
            r.lines.0, r.lines.1, r.pass, r.reason, r.message, r.unlock
        )
        .unwrap();
    }
    for f in &plan.faults {
        writeln!(out, "FAULT {}-{} {} {}: {}", f.lines.0, f.lines.1, f.pass, f.rule, f.message).unwrap();
    }
    out
}

pub fn folders(path: &Path) -> Vec<PathBuf> {
    let mut out: Vec<PathBuf> = fs::read_dir(path)
        .map(|d| d.map(|e| e.unwrap().path()).filter(|p| p.is_dir()).collect())
        .unwrap_or_default();
    out.sort();
    out
}

/// Every file below `root`: its bytes and mode.
pub fn files(root: &Path) -> BTreeMap<String, (Vec<u8>, u32)> {
    use std::os::unix::fs::PermissionsExt;
    let mut out = BTreeMap::new();
    let mut open = vec![root.to_path_buf()];
    while let Some(dir) = open.pop() {
        let Ok(entries) = fs::read_dir(&dir) else { continue };
        for entry in entries {
            let path = entry.unwrap().path();
            if path.is_dir() {
                open.push(path);
            } else {
                let mode = fs::metadata(&path).unwrap().permissions().mode() & 0o7777;
                let name = path.strip_prefix(root).unwrap().to_str().unwrap().to_owned();
                out.insert(name, (fs::read(&path).unwrap(), mode));
            }
        }
    }
    out
}
