//! `dfopt verify` on a real engine: deliberately wrong rewrites, noise, blame, what is left behind. Without an engine these say that
//! they skip.

use std::{
    fs,
    path::Path,
    process::{Command, Output, Stdio},
    sync::LazyLock,
    thread,
    time::Duration,
};

use dfopt::{
    edit::{Edits, Span},
    knowledge::Knowledge,
    options::Options,
    pass::Level,
    pipeline::Step,
    verify::{
        Job, Verdict, Version, Wants, Watch,
        engine::{BuildOptions, Engine},
        ignored_paths,
    },
};
use serde_json::Value;

/// Whether a Docker engine answers.
static ENGINE: LazyLock<bool> = LazyLock::new(|| {
    let asked = Command::new("docker").args(["version", "--format", "{{.Server.Version}}"]).output();
    asked.is_ok_and(|o| o.status.success())
});

/// Says so where a test is left out.
pub fn has_engine(what: &str) -> bool {
    if !*ENGINE {
        eprintln!("skipped: {what} needs a Docker engine, and none answers");
    }
    *ENGINE
}

/// Runs `dfopt verify` in a folder.
pub fn verify(dir: &Path, args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_dfopt"));
    command.arg("verify").args(args).current_dir(dir).stdin(Stdio::null()).output().unwrap()
}

/// Its JSON; a message with what it printed where there is none.
pub fn document(out: &Output) -> Value {
    let said = String::from_utf8_lossy(&out.stderr);
    serde_json::from_slice(&out.stdout).unwrap_or_else(|e| panic!("{e}\n{said}"))
}

/// What the tests below build: no RUN needs a network, and all is there in Alpine's image and in a stand-in of it.
const BASE: &str = "FROM alpine:3.20
WORKDIR /srv
COPY data.txt tool.sh ./
RUN mkdir -p box && echo one > box/a && ln -s a box/link && ln box/a box/hard
RUN date +%s%N > /stamp && mkdir -p /log && echo x > /log/run-$(date +%s%N).log
ENV MODE=fast
LABEL kind=test
CMD [\"sh\", \"tool.sh\"]
";

fn folder(dockerfile: &str) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("Dockerfile"), dockerfile).unwrap();
    fs::write(dir.path().join("data.txt"), "data\n").unwrap();
    fs::write(dir.path().join("tool.sh"), "echo tool\n").unwrap();
    dir
}

/// Compares `BASE` with itself after a change of the text: the exit code, and the places that differ.
fn check(from: &str, to: &str, expect: &[&str]) {
    if !has_engine("a wrong rewrite") {
        return;
    }
    let dir = folder(BASE);
    assert!(BASE.contains(from));
    fs::write(dir.path().join("other"), BASE.replacen(from, to, 1)).unwrap();
    let args =
        ["Dockerfile", "--against", "other", "--network", "none", "--no-measure", "--output-format", "json"];
    let out = verify(dir.path(), &args);
    let found = document(&out);
    let file = &found["files"][0];
    let differences: Vec<String> = file["differences"]
        .as_array()
        .unwrap()
        .iter()
        .map(|d| {
            let place = d["path"].as_str().or(d["field"].as_str()).unwrap();
            format!("{place} {}", d["aspect"].as_str().unwrap())
        })
        .collect();
    assert_eq!(differences, expect, "{from} -> {to}: {}", file["sentence"]);
    let code = if expect.is_empty() { 0 } else { 5 };
    assert_eq!(out.status.code(), Some(code), "{}", String::from_utf8_lossy(&out.stderr));
}

#[test]
fn an_equal_rewrite_passes_whatever_differs_from_build_to_build() {
    check("RUN mkdir -p box && echo one > box/a", "RUN mkdir box\nRUN echo one > box/a", &[]);
}

#[test]
fn one_byte_is_caught() {
    check("echo one", "echo onf", &["/srv/box/a content", "/srv/box/hard content"]);
}

#[test]
fn one_mode_bit_is_caught() {
    check("ENV MODE", "RUN chmod o-r /srv/data.txt\nENV MODE", &["/srv/data.txt mode"]);
    check("ENV MODE", "RUN chmod g+s /srv/box\nENV MODE", &["/srv/box mode"]);
}

#[test]
fn one_owner_is_caught() {
    check("COPY data.txt", "COPY --chown=0:7 data.txt", &["/srv/data.txt owner", "/srv/tool.sh owner"]);
    check("ENV MODE", "RUN chown -h 5 /srv/box/link\nENV MODE", &["/srv/box/link owner"]);
}

#[test]
fn links_are_caught() {
    check("ln -s a box/link", "ln -s hard box/link", &["/srv/box/link link target"]);
    check("ln box/a box/hard", "cp -p box/a box/hard", &["/srv/box/a hard link", "/srv/box/hard hard link"]);
    check("ln -s a box/link", "cp a box/link 2>/dev/null || cp box/a box/link", &["/srv/box/link type"]);
}

#[test]
fn what_comes_and_goes_is_caught() {
    check("ENV MODE", "RUN touch /log/error.log\nENV MODE", &["/log/error.log presence"]);
    check("COPY data.txt tool.sh", "COPY tool.sh", &["/srv/data.txt presence"]);
}

#[test]
fn config_is_caught() {
    check("MODE=fast", "MODE=slow", &["Env config"]);
    check("ENV MODE=fast", "ENV MODE=fast MORE=", &["Env config"]);
    check("LABEL kind=test", "LABEL kind=text", &["Labels config"]);
    check("CMD [\"sh\", \"tool.sh\"]", "CMD sh tool.sh", &["Cmd config"]);
    check(
        "CMD",
        "USER 7\nEXPOSE 80\nSTOPSIGNAL 3\nVOLUME /v\nHEALTHCHECK CMD true\nCMD",
        &["ExposedPorts config", "Healthcheck config", "StopSignal config", "User config", "Volumes config"],
    );
    check("CMD", "WORKDIR /srv/box\nCMD", &["WorkingDir config"]);
}

#[test]
fn a_rewrite_that_does_not_build_is_not_equivalent() {
    if !has_engine("a broken rewrite") {
        return;
    }
    let dir = folder(BASE);
    fs::write(dir.path().join("other"), BASE.replace("mkdir -p box", "mkdir box/none")).unwrap();
    let out = verify(dir.path(), &["--against", "other", "--network", "none", "Dockerfile"]);
    assert_eq!(out.status.code(), Some(5));
    assert!(String::from_utf8_lossy(&out.stdout).contains("the original builds, the rewrite does not"));
}

#[test]
fn an_original_that_does_not_build_proves_nothing() {
    if !has_engine("a broken original") {
        return;
    }
    let dir = folder("FROM alpine:3.20\nRUN echo before && exit 3\n");
    fs::write(dir.path().join("other"), BASE).unwrap();
    let out = verify(dir.path(), &["--against", "other", "--network", "none", "Dockerfile"]);
    assert_eq!(out.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&out.stderr).contains("the original does not build"));
}

#[test]
fn without_an_engine_it_says_what_to_do() {
    let dir = folder("FROM alpine:3.20\nRUN a\nRUN b\n");
    let run = |path: Option<&str>| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_dfopt"));
        command.args(["verify", "--against", "Dockerfile", "Dockerfile"]).current_dir(dir.path());
        command.env("DOCKER_HOST", "unix:///nowhere/docker.sock");
        if let Some(path) = path {
            command.env("PATH", path);
        }
        let out = command.output().unwrap();
        (out.status.code(), String::from_utf8_lossy(&out.stderr).into_owned())
    };
    let (code, said) = run(Some("/nowhere"));
    assert_eq!(code, Some(2));
    assert!(said.contains("docker is not on the PATH; install Docker"), "{said}");
    if has_engine("a client without its engine") {
        let (code, said) = run(None);
        assert_eq!(code, Some(2));
        assert!(said.contains("no Docker engine answers") && said.contains("DOCKER_HOST"), "{said}");
    }
}

#[test]
fn the_step_that_is_wrong_is_to_blame() {
    if !has_engine("blame") {
        return;
    }
    let text = b"FROM alpine:3.20\nRUN echo a > /a\nRUN echo b > /b\nRUN echo c > /c\n".to_vec();
    let mut after = text.clone();
    let mut step = |pass: &'static str, from: &str, to: &str| {
        let at = String::from_utf8_lossy(&after).find(from).unwrap();
        let mut edits = Edits::default();
        edits.dockerfile.replace(Span::new(at, at + from.len()), to);
        after = edits.dockerfile.apply(&after);
        Step {
            pass,
            level: Level::Safe,
            lines: (2, 3),
            message: "change it".into(),
            evidence: Vec::new(),
            assumes: Vec::new(),
            effects: Vec::new(),
            edits,
        }
    };
    let steps = [
        step("good", "/a\nRUN", "/a &&"),
        step("bad", "echo c", "echo d"),
        step("late", "RUN echo d", "# why\nRUN echo d"),
    ];
    let job = Job {
        path: "Dockerfile".into(),
        level: Level::Safe,
        before: Version { dockerfile: text, ignore: None },
        after: Version { dockerfile: after, ignore: None },
        steps: &steps,
        context: None,
        options: &Options::default(),
        knowledge: Knowledge::builtin(),
        predicted: None,
        wants: Wants {
            measure: true,
            edit: None,
            run: false,
            probe: None,
            args: Vec::new(),
            timeout: Duration::from_secs(5),
            ignore: ignored_paths(&[]).unwrap(),
        },
    };
    struct Silent;
    impl Watch for Silent {
        fn begins(&mut self, _: &str) {}
        fn line(&mut self, _: &str) {}
    }
    let engine = Engine::find(BuildOptions { network: Some("none".into()), ..Default::default() }).unwrap();
    let outcome = dfopt::verify::verify(&job, &engine, &mut Silent).unwrap();
    let Verdict::Differs { total: 1, blame: Some(blame), .. } = &outcome.verdict else {
        panic!("{:?}", outcome.verdict)
    };
    assert_eq!(blame.pass, "bad");
}

/// What an engine and the temporary folder hold of runs of process `pid`.
fn left_behind(pid: u32) -> Vec<String> {
    let name = format!("dfopt-verify-{pid}-");
    let docker = |words: &[&str]| {
        let out = Command::new("docker").args(words).output().unwrap();
        String::from_utf8_lossy(&out.stdout).into_owned()
    };
    let mut lines = docker(&["ps", "--all", "--format", "{{.Names}}"]);
    lines += &docker(&["images", "--format", "{{.Repository}}"]);
    lines.lines().filter(|l| l.contains(&name)).map(str::to_owned).collect()
}

#[cfg(unix)]
#[test]
fn ctrl_c_leaves_nothing_behind() {
    if !has_engine("Ctrl-C") {
        return;
    }
    let dir = folder("FROM alpine:3.20\nCOPY data.txt /\nRUN sleep 60\n");
    let temporary = tempfile::tempdir().unwrap();
    // in the first build, and when an image is there
    for dockerfile in ["FROM alpine:3.20\nRUN sleep 60\n", "FROM alpine:3.20\nRUN sleep 1\n"] {
        fs::write(dir.path().join("Dockerfile"), dockerfile).unwrap();
        let child = Command::new(env!("CARGO_BIN_EXE_dfopt"))
            .args(["verify", "--against", "Dockerfile", "--network", "none", "Dockerfile"])
            .current_dir(dir.path())
            .env("TMPDIR", temporary.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let pid = child.id();
        thread::sleep(Duration::from_secs(4));
        Command::new("kill").args(["-INT", &pid.to_string()]).status().unwrap();
        let out = child.wait_with_output().unwrap();
        let said = String::from_utf8_lossy(&out.stderr);
        assert_eq!(out.status.code(), Some(2), "{said}");
        assert!(said.contains("broken off"), "{said}");
        assert_eq!(left_behind(pid), Vec::<String>::new());
        assert_eq!(fs::read_dir(temporary.path()).unwrap().count(), 0);
    }
}
