//! The program from outside: its output, its messages and its exit codes.

use std::{
    collections::BTreeMap,
    fs,
    io::Write,
    path::Path,
    process::{Command, Output, Stdio},
};

use serde_json::Value;
use tempfile::TempDir;

/// Two RUNs that merge-runs makes one of.
const MERGES: &str = "FROM debian:12\nRUN apt-get update\nRUN apt-get install -y curl\n";
const MERGED: &str = "FROM debian:12\nRUN apt-get update && \\\n    apt-get install -y curl\n";
const CLEAN: &str = "FROM debian:12\nCMD [\"true\"]\n";

/// A folder with these files; a name that ends in `/` is a folder.
fn folder(files: &[(&str, &str)]) -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    for (name, text) in files {
        let path = dir.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        if name.ends_with('/') { fs::create_dir_all(path).unwrap() } else { fs::write(path, text).unwrap() }
    }
    dir
}

fn dfopt(dir: &Path, args: &[&str]) -> Output {
    with_input(dir, args, b"")
}

fn with_input(dir: &Path, args: &[&str], input: &[u8]) -> Output {
    let mut child = Command::new(env!("CARGO_BIN_EXE_dfopt"))
        .args(args)
        .current_dir(dir)
        .env_remove("NO_COLOR")
        .env_remove("CLICOLOR_FORCE")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // A run that needs no input may have ended.
    let _ = child.stdin.take().unwrap().write_all(input);
    child.wait_with_output().unwrap()
}

fn out(o: &Output) -> String {
    String::from_utf8_lossy(&o.stdout).into_owned()
}

fn err(o: &Output) -> String {
    String::from_utf8_lossy(&o.stderr).into_owned()
}

/// Runs dfopt in a folder with `files`: its exit code, and what its two streams hold; an empty text: nothing.
fn check(files: &[(&str, &str)], args: &[&str], code: i32, stdout: &str, stderr: &str) {
    let dir = folder(files);
    check_in(dir.path(), args, code, stdout, stderr);
}

fn check_in(dir: &Path, args: &[&str], code: i32, stdout: &str, stderr: &str) {
    let o = dfopt(dir, args);
    let all = format!("dfopt {}\nstdout: {}\nstderr: {}", args.join(" "), out(&o), err(&o));
    assert_eq!(o.status.code(), Some(code), "{all}");
    for (got, want) in [(out(&o), stdout), (err(&o), stderr)] {
        assert!(
            if want.is_empty() { got.is_empty() } else { got.contains(want) },
            "expected {want:?}\n{all}"
        );
    }
}

fn json(dir: &Path, args: &[&str]) -> Value {
    let o = dfopt(dir, &[args, &["--output-format", "json"]].concat());
    serde_json::from_slice(&o.stdout).unwrap_or_else(|e| panic!("{e}: {}{}", out(&o), err(&o)))
}

fn git(dir: &Path, args: &[&str]) -> Output {
    let config = [
        "-c",
        "user.name=t",
        "-c",
        "user.email=t@t",
        "-c",
        "core.autocrlf=false",
        "-c",
        "init.defaultBranch=main",
    ];
    Command::new("git").args(config).args(args).current_dir(dir).output().unwrap()
}

fn repository(files: &[(&str, &str)]) -> TempDir {
    let dir = folder(files);
    git(dir.path(), &["init", "-q"]);
    git(dir.path(), &["add", "-A"]);
    assert!(git(dir.path(), &["commit", "-qm", "x"]).status.success());
    dir
}

#[test]
fn prints_the_diff_and_writes_nothing() {
    let dir = folder(&[("Dockerfile", MERGES)]);
    check_in(
        dir.path(),
        &[],
        1,
        "--- a/Dockerfile\n+++ b/Dockerfile\n@@ -1,3 +1,3 @@\n FROM debian:12\n-RUN apt-get update\n",
        "",
    );
    assert_eq!(fs::read_to_string(dir.path().join("Dockerfile")).unwrap(), MERGES);
    check_in(dir.path(), &["--exit-zero"], 0, "+RUN apt-get update && \\", "");
    check_in(dir.path(), &["--unified", "0"], 1, "@@ -2,2 +2,2 @@", "");
    check(&[("Dockerfile", CLEAN)], &[], 0, "", "");
}

#[test]
fn git_applies_the_diff() {
    let odd = [
        ("a/Dockerfile", MERGES.to_owned()),
        ("b c/Dockerfile", MERGES.to_owned()),
        ("crlf/Dockerfile", MERGES.replace('\n', "\r\n")),
        ("end/Dockerfile", MERGES.trim_end().to_owned()),
        ("bom/Dockerfile", format!("\u{feff}{MERGES}")),
        ("ä/Dockerfile.x", MERGES.to_owned()),
    ];
    let files: Vec<(&str, &str)> = odd.iter().map(|(n, t)| (*n, t.as_str())).collect();
    let dir = repository(&files);
    // From a folder below the root as well: the paths are those of the repository.
    for from in [".", "a"] {
        let patch = dfopt(&dir.path().join(from), &[if from == "." { "." } else { ".." }]);
        fs::write(dir.path().join("patch"), &patch.stdout).unwrap();
        let applied = git(dir.path(), &["apply", "patch"]);
        assert!(applied.status.success(), "{}\n{}", err(&applied), out(&patch));
        let read = |name: &str| fs::read(dir.path().join(name)).unwrap();
        for (name, before) in &odd {
            let after = before.replace("\nRUN apt-get install", "\n    apt-get install");
            let expect = match name.starts_with("crlf") {
                true => after.replace("update\r\n", "update && \\\r\n"),
                false => after.replace("update\n", "update && \\\n"),
            };
            assert_eq!(String::from_utf8(read(name)).unwrap(), expect, "{name}");
        }
        git(dir.path(), &["checkout", "-q", "."]);
    }
}

#[test]
fn writes_and_is_done() {
    let dir = folder(&[("Dockerfile", MERGES), ("x/Dockerfile", CLEAN)]);
    check_in(
        dir.path(),
        &["--check"],
        1,
        "would change Dockerfile: merge-runs\n2 files, 1 change in 1 file",
        "",
    );
    check_in(dir.path(), &["--write"], 0, "", "");
    assert_eq!(fs::read_to_string(dir.path().join("Dockerfile")).unwrap(), MERGED);
    check_in(dir.path(), &["--write"], 0, "", "");
    check_in(dir.path(), &["--check"], 0, "2 files, nothing to do", "");
}

#[cfg(unix)]
#[test]
fn keeps_mode_and_symlink() {
    use std::os::unix::fs::{PermissionsExt, symlink};
    let dir = folder(&[("real", MERGES)]);
    let real = dir.path().join("real");
    fs::set_permissions(&real, fs::Permissions::from_mode(0o750)).unwrap();
    symlink("real", dir.path().join("Dockerfile")).unwrap();
    check_in(dir.path(), &["--write", "Dockerfile"], 0, "", "");
    assert!(fs::symlink_metadata(dir.path().join("Dockerfile")).unwrap().is_symlink());
    assert_eq!(fs::metadata(&real).unwrap().permissions().mode() & 0o777, 0o750);
    assert_eq!(fs::read_to_string(&real).unwrap(), MERGED);
}

#[test]
fn does_not_write_over_uncommitted_changes() {
    let dir = repository(&[("Dockerfile", CLEAN), ("b/Dockerfile", MERGES)]);
    fs::write(dir.path().join("Dockerfile"), MERGES).unwrap();
    check_in(dir.path(), &["--write"], 4, "", "has changes that no commit holds");
    assert_eq!(fs::read_to_string(dir.path().join("Dockerfile")).unwrap(), MERGES);
    assert_eq!(fs::read_to_string(dir.path().join("b/Dockerfile")).unwrap(), MERGED, "the rest is done");
    // What dfopt itself wrote is no change of the user's.
    let longer = format!("{MERGED}CMD [\"x\"]\n");
    check_in(dir.path(), &["--write", "b"], 0, "", "");
    fs::write(dir.path().join("b/Dockerfile"), longer).unwrap();
    check_in(dir.path(), &["--write", "--allow-dirty"], 0, "", "");
    assert_eq!(fs::read_to_string(dir.path().join("Dockerfile")).unwrap(), MERGED);
}

#[cfg(unix)]
#[test]
fn an_interrupted_write_leaves_nothing_half_done() {
    let names: Vec<String> = (0..150).map(|i| format!("d{i}/Dockerfile")).collect();
    let files: Vec<(&str, &str)> = names.iter().map(|n| (n.as_str(), MERGES)).collect();
    let dir = repository(&files);
    let mut child = Command::new(env!("CARGO_BIN_EXE_dfopt"))
        .args(["--write", "-q"])
        .current_dir(dir.path())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    // Interrupted as soon as something is written, wherever that is.
    let is_written = |name: &String| fs::read_to_string(dir.path().join(name)).unwrap() == MERGED;
    while child.try_wait().unwrap().is_none() && !names.iter().any(is_written) {}
    let _ = Command::new("kill").args(["-INT", &child.id().to_string()]).stderr(Stdio::null()).status();
    child.wait().unwrap();
    for name in &names {
        let text = fs::read_to_string(dir.path().join(name)).unwrap();
        assert!(text == MERGES || text == MERGED, "{text}");
        assert_eq!(fs::read_dir(dir.path().join(name).parent().unwrap()).unwrap().count(), 1);
    }
    // What is written counts as dfopt's own, so that the rest can follow.
    check_in(dir.path(), &["--write"], 0, "", "");
    check_in(dir.path(), &["--check"], 0, "150 files, nothing to do", "");
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_is_told() {
    let dir = folder(&[("Dockerfile", MERGES)]);
    let full = fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let o = Command::new(env!("CARGO_BIN_EXE_dfopt")).current_dir(dir.path()).stdout(full).output().unwrap();
    assert_eq!(o.status.code(), Some(2));
    assert!(err(&o).contains("standard output cannot be written"), "{}", err(&o));
}

#[cfg(unix)]
#[test]
fn a_folder_that_cannot_be_written() {
    use std::os::unix::fs::PermissionsExt;
    let dir = folder(&[("a/Dockerfile", MERGES), ("b/Dockerfile", MERGES)]);
    let locked = dir.path().join("a");
    fs::set_permissions(&locked, fs::Permissions::from_mode(0o555)).unwrap();
    // Root may write there all the same.
    if fs::write(locked.join("x"), "").is_err() {
        check_in(
            dir.path(),
            &["--write"],
            4,
            "",
            "permission denied: not written; its folder must be writable",
        );
        assert_eq!(fs::read_to_string(locked.join("Dockerfile")).unwrap(), MERGES);
        assert_eq!(fs::read_to_string(dir.path().join("b/Dockerfile")).unwrap(), MERGED);
    }
    fs::set_permissions(&locked, fs::Permissions::from_mode(0o755)).unwrap();
}

#[test]
fn only_what_has_changed() {
    let dir = repository(&[("a/Dockerfile", MERGES), ("b/Dockerfile", MERGES), ("c d/Dockerfile", CLEAN)]);
    let names = |args: &[&str]| {
        let report = json(dir.path(), args);
        let files = report["files"].as_array().unwrap().iter();
        files.map(|f| f["path"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    check_in(dir.path(), &["--changed"], 0, "", "none of 3 Dockerfiles has changed");
    check_in(dir.path(), &["--changed", "-q"], 0, "", "");
    assert!(names(&["--changed"]).is_empty());
    git(dir.path(), &["checkout", "-qb", "work"]);
    fs::write(dir.path().join("a/Dockerfile"), format!("{MERGES}USER 1\n")).unwrap();
    git(dir.path(), &["commit", "-qam", "y"]);
    fs::write(dir.path().join("c d/Dockerfile"), MERGES).unwrap();
    fs::create_dir(dir.path().join("new")).unwrap();
    fs::write(dir.path().join("new/Dockerfile"), MERGES).unwrap();
    assert_eq!(names(&["--changed"]), ["c d/Dockerfile", "new/Dockerfile"]);
    assert_eq!(names(&["--changed", "b", "new"]), ["new/Dockerfile"]);
    assert_eq!(names(&["--since", "main"]), ["a/Dockerfile", "c d/Dockerfile", "new/Dockerfile"]);
    // What the branch did since is not ours.
    git(dir.path(), &["stash", "-q"]);
    git(dir.path(), &["checkout", "-q", "main"]);
    fs::write(dir.path().join("b/Dockerfile"), CLEAN).unwrap();
    git(dir.path(), &["commit", "-qam", "z"]);
    git(dir.path(), &["checkout", "-q", "work"]);
    assert_eq!(names(&["--since", "main"]), ["a/Dockerfile", "new/Dockerfile"]);
    check_in(dir.path(), &["--since", "nope"], 2, "", "--since nope: git knows no commit or branch `nope`");
    check_in(dir.path(), &["--since", "main", "--changed"], 2, "", "cannot be used with");
    let bare = folder(&[("Dockerfile", MERGES)]);
    check_in(bare.path(), &["--changed"], 2, "", "--changed: Dockerfile: lies in no git work tree");
    git(bare.path(), &["init", "-q"]);
    check_in(bare.path(), &["--changed", "--check"], 1, "would change Dockerfile", "");
}

#[test]
fn json_says_what_would_be_written() {
    let long =
        "FROM debian:12\nRUN apt-get update\nRUN apt-get install -y curl\nUSER 1\nRUN touch /a\nRUN rm /a\n";
    let dir = folder(&[("app/Dockerfile", long), ("Dockerfile", "FROM debian\nNOPE\n")]);
    let report = json(dir.path(), &["."]);
    assert_eq!(report["schema"], 1);
    assert_eq!(report["totals"]["files"], 2);
    assert_eq!(report["totals"]["changed"], 1);
    assert_eq!(report["totals"]["errors"], 1);
    let bad = &report["files"][0];
    assert_eq!((&bad["status"], &bad["error"]["line"]), (&"error".into(), &2.into()));
    let file = &report["files"][1];
    assert_eq!(file["path"], "app/Dockerfile");
    assert_eq!(file["kind"], "dockerfile");
    assert_eq!(file["status"], "changed");
    assert_eq!(file["changes"][0]["lines"], serde_json::json!([2, 3]));
    let mut steps = long.to_owned();
    for change in file["changes"].as_array().unwrap() {
        steps = edited(&steps, &change["edits"]);
    }
    let composed = edited(long, &file["edits"]);
    assert_eq!(steps, composed);
    check_in(dir.path(), &["--write", "app"], 0, "", "");
    assert_eq!(fs::read_to_string(dir.path().join("app/Dockerfile")).unwrap(), composed);
    assert!(file["diff"].as_str().unwrap().starts_with("--- a/app/Dockerfile\n"));
    assert_eq!(file["sha256"].as_str().unwrap().len(), 64);
}

/// `text` with the edits of the report, the last one first.
fn edited(text: &str, edits: &Value) -> String {
    let mut out = text.to_owned();
    for edit in edits.as_array().unwrap().iter().rev() {
        let at = |name: &str| usize::try_from(edit[name].as_u64().unwrap()).unwrap();
        out.replace_range(at("start")..at("end"), edit["text"].as_str().unwrap());
    }
    out
}

#[test]
fn text_is_for_a_person() {
    let dir = folder(&[("Dockerfile", MERGES)]);
    let o = dfopt(dir.path(), &["--output-format", "text"]);
    let text = out(&o);
    for part in [
        "Dockerfile\n\n@@ -1,3 +1,3 @@\n",
        "  merge-runs · safe\n  why     ",
        "\n  proof   ",
        "1 file, 1 change. Write it: dfopt --write",
    ] {
        assert!(text.contains(part), "{part} in\n{text}");
    }
    assert!(!text.contains('\u{1b}'), "no colours in a pipe");
    assert!(out(&dfopt(dir.path(), &["--color", "always"])).contains("\u{1b}[31m-RUN"));
}

#[test]
fn refusals_that_gain_nothing_are_hidden() {
    let dir = folder(&[("Dockerfile", "FROM debian:12\nRUN make\nRUN make install\n")]);
    let hidden = out(&dfopt(dir.path(), &["--output-format", "text"]));
    let shown = out(&dfopt(dir.path(), &["--output-format", "text", "--show-refusals"]));
    assert!(!hidden.contains("no-gain"), "{hidden}");
    assert!(shown.contains("no-gain"), "{shown}");
}

#[test]
fn standard_input_is_a_filter() {
    let dir = folder(&[]);
    let o = with_input(dir.path(), &["-", "--write"], MERGES.as_bytes());
    assert_eq!((o.status.code(), out(&o).as_str()), (Some(0), MERGED));
    let o = with_input(dir.path(), &["-", "--stdin-filename", "x/Dockerfile"], MERGES.as_bytes());
    assert_eq!(o.status.code(), Some(1));
    assert!(out(&o).starts_with("--- a/x/Dockerfile\n"), "{}", out(&o));
}

#[test]
fn bad_input_is_reported_and_the_rest_goes_on() {
    let bad = |name: &str, text: &str, code: i32, message: &str| {
        let o = dfopt(folder(&[("Dockerfile", text), ("ok/Dockerfile", MERGES)]).path(), &[]);
        assert_eq!(o.status.code(), Some(code), "{name}: {}", err(&o));
        assert!(err(&o).contains(message) && !err(&o).contains("panicked"), "{name}: {}", err(&o));
        assert!(out(&o).contains("+++ b/ok/Dockerfile"), "{name}: {}", out(&o));
    };
    bad("unknown instruction", "FROM a\nNOPE x\n", 4, "unknown instruction: NOPE");
    bad("misspelt", "FROM a\nCPOY x y\n", 4, "help: did you mean `COPY`?");
    bad("unknown flag", "FROM a\nCOPY --form=b x y\n", 4, "help: did you mean `--from`?");
    bad("heredoc", "FROM a\nRUN <<EOF\nx\n", 4, "error[unterminated-heredoc]");
    bad("heredoc", "FROM a\nRUN <<EOF\nx\n", 4, "help: end it with a line that is `EOF`");
    bad("a long line", &format!("FROM a\nRUN {}\n", "a".repeat(70_000)), 4, "error[long-line]");
    bad("empty", "", 4, "error[no-instructions]");
    bad("comment alone", "# x\n", 4, "error[no-instructions]");
    bad("no FROM", "RUN x\n", 4, " --> Dockerfile:1");
    bad("binary", "\0\u{1}\u{2}\n", 4, "error[");
    bad("control characters", "FROM a\n\u{1b}[31mX\n", 4, "\\u{1b}[31mX");
    bad("template", "FROM {{ base }}\nRUN a\n", 1, "");
}

#[test]
fn bytes_that_are_not_touched_stay() {
    let keep = |name: &str, before: &[u8], after: &[u8]| {
        let dir = folder(&[]);
        fs::write(dir.path().join("Dockerfile"), before).unwrap();
        check_in(dir.path(), &["--write"], 0, "", "");
        let got = fs::read(dir.path().join("Dockerfile")).unwrap();
        assert_eq!(String::from_utf8_lossy(&got), String::from_utf8_lossy(after), "{name}");
        assert_eq!(got, after, "{name}");
    };
    keep("BOM", format!("\u{feff}{MERGES}").as_bytes(), format!("\u{feff}{MERGED}").as_bytes());
    keep("CRLF", MERGES.replace('\n', "\r\n").as_bytes(), MERGED.replace('\n', "\r\n").as_bytes());
    keep("no last newline", MERGES.trim_end().as_bytes(), MERGED.trim_end().as_bytes());
    let latin = |text: &str| [text.as_bytes(), b"# gr\xfc\xdfe\n"].concat();
    keep("not UTF-8", &latin(MERGES), &latin(MERGED));
    let within = |text: &str| text.replace("-y curl", "-y c\u{1}l").into_bytes();
    let latin: Vec<Vec<u8>> = [MERGES, MERGED]
        .iter()
        .map(|t| within(t).into_iter().map(|b| if b == 1 { 0xfc } else { b }).collect())
        .collect();
    let dir = folder(&[]);
    fs::write(dir.path().join("Dockerfile"), &latin[0]).unwrap();
    let report = json(dir.path(), &[]);
    for edit in report["files"][0]["edits"].as_array().unwrap() {
        assert!(edit["hex"].as_str().is_none_or(|hex| hex.contains("63fc6c")), "{edit}");
    }
}

#[test]
fn files_that_cannot_be_read() {
    check(&[("x/", "")], &["x"], 3, "", "no Dockerfile found in x");
    check(&[], &["nope"], 4, "", "nope: no such file or folder; check the path");
    let dir = folder(&[("ok/Dockerfile", MERGES)]);
    let large = fs::File::create(dir.path().join("Dockerfile")).unwrap();
    large.set_len(100 << 20).unwrap();
    check_in(
        dir.path(),
        &[],
        4,
        "+++ b/ok/Dockerfile",
        "has 104857600 bytes, the limit is 8388608; raise --max-file-size",
    );
    #[cfg(unix)]
    {
        let outside = folder(&[("Dockerfile", MERGES)]);
        let dir = repository(&[("ok/Dockerfile", MERGES)]);
        std::os::unix::fs::symlink(outside.path().join("Dockerfile"), dir.path().join("Dockerfile")).unwrap();
        check_in(dir.path(), &[], 4, "+++ b/ok/Dockerfile", "Dockerfile: a symlink to ");
        check_in(
            dir.path(),
            &["--write", "--allow-dirty", "Dockerfile"],
            4,
            "",
            "not written; name that file itself",
        );
        assert_eq!(fs::read_to_string(outside.path().join("Dockerfile")).unwrap(), MERGES);
        std::os::unix::fs::symlink("nowhere", dir.path().join("Dockerfile.x")).unwrap();
        check_in(
            dir.path(),
            &["."],
            4,
            "+++",
            "Dockerfile.x: a symlink to a file that does not exist; repair",
        );
        check_in(dir.path(), &["Dockerfile.x"], 4, "", "a symlink to a file that does not exist");
    }
}

#[cfg(unix)]
#[test]
fn a_file_without_permission() {
    use std::os::unix::fs::PermissionsExt;
    let dir = folder(&[("Dockerfile", MERGES)]);
    let path = dir.path().join("Dockerfile");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o000)).unwrap();
    // Root may read it all the same.
    if fs::read(&path).is_err() {
        check_in(dir.path(), &[], 4, "", "permission denied; make it readable");
    }
}

#[test]
fn a_wrong_config_is_an_error() {
    let bad = |config: &str, message: &str| {
        check(&[("Dockerfile", MERGES), (".dfopt.yaml", config)], &[], 2, "", message)
    };
    bad("level: safe\nignor: [x]\n", ".dfopt.yaml:2: unknown key `ignor`; did you mean `ignore`?");
    bad("ignore: [merge-rnus]\n", ".dfopt.yaml:1: `merge-rnus` is no pass; did you mean `merge-runs`?");
    bad("level: [\n", ".dfopt.yaml:");
    bad("level: 3\n", "`3` is no level");
    bad("extends: nope.yaml\n", ".dfopt.yaml:1: extends nope.yaml: no such file");
    bad("passes:\n  add-user: {uidd: 3}\n", ".dfopt.yaml:2: unknown setting `uidd` of add-user");
    bad("passes:\n  add-user: {uid: root}\n", ".dfopt.yaml:2: `uid` of add-user is a number above 0");
    bad("ignore: merge-runs\n", ".dfopt.yaml:1: ignore: invalid type: string \"merge-runs\"; write a list");
    bad("catalogues: [nope.yaml]\n", "nope.yaml: no such file");
    check(
        &[("Dockerfile", MERGES), (".dfopt.yaml", "nope: 1\n")],
        &["--isolated", "--exit-zero"],
        0,
        "+++",
        "",
    );
}

#[test]
fn the_nearest_config_counts() {
    let files = [
        ("Dockerfile", MERGES),
        (".dfopt.yaml", "ignore: [merge-runs]\nexclude: [vendor/]\n"),
        ("a/Dockerfile", MERGES),
        ("a/.dfopt.yaml", "level: review\n"),
        ("vendor/Dockerfile", MERGES),
    ];
    check(&files, &["--check"], 1, "would change a/Dockerfile: merge-runs\n2 files", "");
    check(&files, &["--check", "--isolated"], 1, "3 files, 3 changes", "");
    check(&files, &["--check", "--config", "ignore=[]"], 1, "2 files, 2 changes", "");
    check(&files, &["--check", "--select", "merge-runs"], 1, "2 files, 2 changes", "");
    check(&files, &["--check", "--isolated", "--ignore", "merge-runs"], 0, "nothing to do", "");
    check(
        &files,
        &["--check", "--isolated", "--exclude", "vendor", "--exclude", "a"],
        1,
        "1 file, 1 change.",
        "",
    );
    check(
        &files,
        &["--check", "--isolated", "--per-file-ignores", "a/**:merge-runs"],
        1,
        "3 files, 2 changes in 2 files",
        "",
    );
    check(&files, &["--config", "a/.dfopt.yaml", "--check"], 1, "3 files, 3 changes", "");
}

#[test]
fn wrong_usage() {
    let usage = |args: &[&str], message: &str| check(&[("Dockerfile", MERGES)], args, 2, "", message);
    usage(&["--nope"], "unexpected argument '--nope'");
    usage(&["--write", "--check"], "cannot be used with");
    usage(&["--select", "merge"], "`merge` is no pass");
    usage(
        &["--builder", "docker"],
        "`docker` is no builder; use buildkit[=FRONTEND], classic, podman or kaniko",
    );
    usage(&["--assume", "x"], "`x` is no assumption; there are base-is-plain");
    usage(&["--config", "nope"], "--config nope: no such file, and no KEY=VALUE");
    usage(&["--config", "levl=safe"], "unknown key `levl`; did you mean `level`?");
    usage(&["--per-file-ignores", "x"], "write GLOB:PASS");
    usage(&["explain", "nope"], "`nope` is no pass");
    usage(&["why", "Dockerfile"], "write FILE:LINE");
    usage(&["why", "Dockerfile:9"], "Dockerfile has 3 lines");
}

#[test]
fn commands() {
    let files = [("Dockerfile", MERGES), ("bad", "FROM a\nRUN <<X\n")];
    check(&files, &["passes"], 0, "merge-runs ", "");
    check(&files, &["explain", "merge-runs"], 0, "## Before\n```dockerfile\n", "");
    check(&files, &["why", "Dockerfile:2"], 0, "merge-runs · safe\n", "");
    check(&files, &["why", "Dockerfile:1", "merge-runs"], 0, "nothing to say: merge-runs", "");
    check(&files, &["why", "bad:1"], 4, "", "error[unterminated-heredoc]");
    check(&files, &["graph", "Dockerfile"], 0, "flowchart TD\n", "");
    check(
        &files,
        &["graph", "Dockerfile", "--format", "dot", "--after"],
        0,
        "apt-get update && \\\\ apt-get",
        "",
    );
    check(&files, &["graph", "Dockerfile", "--format", "json"], 0, "\"kind\": \"instruction\"", "");
    check(&files, &["graph", "Dockerfile", "--format", "svg"], 0, "RUN apt-get install -y curl</tspan>", "");
    check(&files, &["graph", "bad"], 4, "", "error[unterminated-heredoc]");
    check(&files, &["graph", "nope"], 4, "", "nope: no such file");
    check(&files, &["completions", "bash"], 0, "complete -F _dfopt", "");
    check(&files, &["man"], 0, ".TH dfopt 1", "");
    check(&files, &["--version"], 0, "dfopt 0.", "");
}

#[test]
fn the_context_is_found() {
    let text = "FROM node:22\nWORKDIR /app\nCOPY package.json ./\nRUN npm install\n";
    let context = |files: &[(&str, &str)], path: &str, args: &[&str]| {
        let dir = repository(files);
        let report = json(dir.path(), &[&[path], args].concat());
        let context = &report["files"][0]["context"];
        (
            context["dir"].as_str().unwrap_or("-").to_owned(),
            context["from"].as_str().unwrap_or("-").to_owned(),
        )
    };
    let pair = |a: &str, b: &str| (a.to_owned(), b.to_owned());
    let narrow = [("package.json", "{}"), ("docker/Dockerfile", text)];
    assert_eq!(context(&narrow, "docker/Dockerfile", &[]), pair(".", "copy-sources"));
    assert_eq!(context(&narrow, "docker/Dockerfile", &["--context", "docker"]), pair("docker", "given"));
    let whole = text.replace("package.json ./", ". .");
    let broad = [("package.json", "{}"), ("docker/Dockerfile", whole.as_str())];
    assert_eq!(
        context(&broad, "docker/Dockerfile", &[]),
        pair(".", "copy-sources"),
        "for npm reads package.json"
    );
    let bare = [("Dockerfile", "FROM a\nCOPY . .\n")];
    assert_eq!(context(&bare, "Dockerfile", &[]), pair(".", "guessed"));
    let compose = [
        ("compose.yaml", "services:\n  a:\n    build: ./app\n"),
        ("app/Dockerfile", text),
        ("package.json", "{}"),
    ];
    assert_eq!(context(&compose, "app/Dockerfile", &[]), pair("app", "declared"));
    // Outside git the folder that was asked for, or the working folder, is the repository.
    let unpacked = folder(&compose);
    for (from, path) in [("", "app/Dockerfile"), ("", "."), ("..", &unpacked.path().to_string_lossy())] {
        let report = json(&unpacked.path().join(from), &[path]);
        assert_eq!(report["files"][0]["context"]["from"], "declared", "{from} {path}");
    }
}

#[test]
fn the_platform_counts() {
    let text = MERGES
        .replace("debian:12", "debian-$TARGETARCH")
        .replace("FROM", "FROM debian:12 AS debian-arm64\nFROM");
    let compose = "services:\n  a:\n    build: .\n    platform: windows/amd64\n";
    let refused = "the image is Windows (windows)";
    let text_of = ["--output-format", "text"];
    let with = |more: &[&'static str]| [&text_of[..], more].concat();
    check(&[("Dockerfile", MERGES)], &with(&["--platform", "windows/amd64"]), 0, refused, "");
    check(&[("Dockerfile", MERGES)], &with(&["--config", "platform=windows/amd64"]), 0, refused, "");
    check(
        &[("Dockerfile", MERGES)],
        &with(&["--platform", "linux/arm64,linux/amd64"]),
        1,
        "merge-runs · safe",
        "",
    );
    check(
        &[("Dockerfile", MERGES)],
        &["--platform", "arm64"],
        2,
        "",
        "`arm64` is no platform; write OS/ARCH",
    );
    let dir = repository(&[("Dockerfile", MERGES), ("compose.yaml", compose)]);
    check_in(dir.path(), &text_of, 0, refused, "");
    check_in(dir.path(), &with(&["--platform", "linux/amd64"]), 1, "merge-runs · safe", "");
    let graph = ["graph", "Dockerfile", "--format", "json"];
    let unknown = "\"label\": \"debian-$TARGETARCH\"";
    check(&[("Dockerfile", &text)], &graph, 0, unknown, "");
    let known = out(&dfopt(
        folder(&[("Dockerfile", &text)]).path(),
        &[&graph[..], &["--platform", "linux/aarch64"]].concat(),
    ));
    assert!(!known.contains(unknown), "it is the stage above\n{known}");
}

#[test]
fn a_reader_that_goes_away_is_no_fault() {
    let files: Vec<(String, String)> =
        (0..200).map(|i| (format!("{i}/Dockerfile"), MERGES.repeat(20))).collect();
    let files: Vec<(&str, &str)> = files.iter().map(|(n, t)| (n.as_str(), t.as_str())).collect();
    let dir = folder(&files);
    let mut child = Command::new(env!("CARGO_BIN_EXE_dfopt"))
        .current_dir(dir.path())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let o = child.wait_with_output().unwrap();
    assert_eq!((o.status.code(), err(&o).as_str()), (Some(1), ""));
}

#[test]
fn many_files_give_the_same_report_each_time() {
    let names: Vec<String> = (0..60).map(|i| format!("d{i}/Dockerfile")).collect();
    let files: Vec<(&str, &str)> = names.iter().map(|n| (n.as_str(), MERGES)).collect();
    let dir = folder(&files);
    let first = dfopt(dir.path(), &["--output-format", "json"]);
    for jobs in ["1", "4"] {
        assert!(dfopt(dir.path(), &["--output-format", "json", "--jobs", jobs]).stdout == first.stdout);
    }
    let report: Value = serde_json::from_slice(&first.stdout).unwrap();
    let paths: BTreeMap<usize, &str> =
        report["files"].as_array().unwrap().iter().map(|f| f["path"].as_str().unwrap()).enumerate().collect();
    assert_eq!((paths[&0], paths[&1], paths.len()), ("d0/Dockerfile", "d1/Dockerfile", 60));
}

#[test]
fn an_ignore_file_beside_a_dockerfile_outside_of_the_context() {
    let lock = r#"{"name": "a", "lockfileVersion": 3, "packages": {"": {"dependencies": {"b": "1.0.0"}}}}"#;
    let dir = repository(&[
        ("docker/Dockerfile", "FROM node:22\nWORKDIR /app\nCOPY . .\nRUN npm ci\nCMD [\"node\", \"a.js\"]\n"),
        ("docker/Dockerfile.dockerignore", ".git\n"),
        ("app/a.js", ""),
        ("app/package.json", r#"{"name": "a", "dependencies": {"b": "1.0.0"}}"#),
        ("app/package-lock.json", lock),
        ("compose.yaml", "services:\n  a:\n    build: {context: app, dockerfile: ../docker/Dockerfile}\n"),
    ]);
    let report = json(dir.path(), &["--level", "review", "--select", "split-dependency-copy"]);
    let edits = report["files"][0]["changes"][0]["edits"].as_array().unwrap();
    assert_eq!(edits.last().unwrap()["path"], "docker/Dockerfile.dockerignore", "{report:#}");
    assert_eq!(report["files"][1]["path"], "docker/Dockerfile.dockerignore");
}

#[test]
fn every_key_of_a_config_counts() {
    let base = "images:\n- {name: debian, os: windows, source: ours, checked: '2026-11-25'}\n";
    let files = |config: &'static str| {
        [
            ("Dockerfile", MERGES),
            ("legacy/Dockerfile", MERGES),
            (".dfopt.yaml", config),
            ("ci/images.yaml", base),
            ("ci/base.yaml", "level: review\nignore: [merge-runs]\npasses: {add-user: {uid: 4}}\n"),
        ]
    };
    let counts = |config: &'static str, args: &[&str], code: i32, told: &str| {
        check(&files(config), &[&["--check"], args].concat(), code, told, "");
    };
    counts("level: review\n", &[], 1, "2 files, 2 changes");
    counts("select: [add-user]\n", &[], 0, "nothing to do");
    counts("select: [add-user]\n", &["--select", "merge-runs"], 1, "2 changes");
    counts("ignore: [merge-runs]\n", &[], 0, "nothing to do");
    counts("ignore: [add-user]\n", &["--ignore", "merge-runs"], 0, "nothing to do");
    counts("exclude: ['legacy/**']\n", &[], 1, "1 file, 1 change.");
    counts("exclude: ['legacy/**']\n", &["legacy/Dockerfile"], 1, "1 file, 1 change.");
    counts("per-file-ignores: {'legacy/**': [merge-runs]}\n", &[], 1, "2 files, 1 change in 1 file");
    counts("extends: ci/base.yaml\n", &[], 0, "nothing to do");
    counts("extends: ci/base.yaml\nignore: []\n", &[], 1, "2 changes");
    counts("extends: ci/base.yaml\npasses: {add-user: {name: web}}\n", &[], 0, "nothing to do");
    counts("catalogues: [ci/images.yaml]\n", &[], 0, "nothing to do");
    counts("platform: windows/amd64\n", &[], 0, "nothing to do");
    counts("platform: windows/amd64\n", &["--platform", "linux/amd64"], 1, "2 changes");
    counts("platform: windows/amd64\n", &["--isolated"], 1, "2 changes");
    counts(
        "builder: classic\nbuild-args: {V: 1.2}\nassume: [base-is-plain]\ntarget: '0'\n",
        &[],
        1,
        "2 changes",
    );
    let level = |args: &[&str]| json(folder(&files("level: review\n")).path(), args)["level"].clone();
    assert_eq!(level(&[]), "review");
    assert_eq!(level(&["--level", "safe"]), "safe");
    assert_eq!(level(&["--config", "level=safe"]), "safe");
}

#[test]
fn an_ignore_file_that_two_dockerfiles_share_is_told_once() {
    let text = "FROM node:22\nWORKDIR /app\nCOPY . .\nRUN npm ci\nCMD [\"node\", \"a.js\"]\n";
    let dir = repository(&[
        ("Dockerfile", text),
        ("Dockerfile.dev", text),
        ("a.js", ""),
        ("package.json", r#"{"name": "a", "dependencies": {"b": "1.0.0"}}"#),
        (
            "package-lock.json",
            r#"{"name": "a", "lockfileVersion": 3, "packages": {"": {"dependencies": {"b": "1.0.0"}}}}"#,
        ),
    ]);
    let args = ["--level", "review", "--select", "split-dependency-copy"];
    let report = json(dir.path(), &args);
    let of = |kind: &str| report["files"].as_array().unwrap().iter().filter(|f| f["kind"] == kind).count();
    assert_eq!((of("dockerfile"), of("dockerignore")), (2, 1), "{report:#}");
    let patch = dfopt(dir.path(), &args);
    fs::write(dir.path().join("patch"), &patch.stdout).unwrap();
    let applied = git(dir.path(), &["apply", "patch"]);
    assert!(applied.status.success(), "{}{}", err(&applied), out(&patch));
    assert!(dir.path().join(".dockerignore").exists());
    git(dir.path(), &["checkout", "-q", "."]);
    fs::remove_file(dir.path().join(".dockerignore")).unwrap();
    fs::remove_file(dir.path().join("patch")).unwrap();
    check_in(dir.path(), &[&args[..], &["--write"]].concat(), 0, "", "");
    check_in(dir.path(), &[&args[..], &["--check"]].concat(), 0, "nothing to do", "");
}
