//! The README keeps its word: what its `console` blocks show is run and compared, and its lists are those of the program.
//! `UPDATE_README=1 cargo test readme` writes them anew: read the diff before you commit it.

use std::{fmt::Write as _, fs, path::Path, process::Command};

use dfopt::{options::Assumption, pass::Reason, passes::PASSES, pipeline::ordered};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

#[test]
fn readme() {
    let path = Path::new(ROOT).join("README.md");
    let text = fs::read_to_string(&path).unwrap();
    let expected = with_outputs(&with_lists(&text));
    if std::env::var_os("UPDATE_README").is_some() {
        fs::write(path, expected).unwrap();
        return;
    }
    for (i, (is, shall)) in text.lines().zip(expected.lines()).enumerate() {
        assert_eq!(is, shall, "README.md:{}: see the head of tests/it/readme.rs", i + 1);
    }
    assert_eq!(text, expected, "README.md: see the head of tests/it/readme.rs");
}

/// The text with each list between `<!-- list: NAME -->` and `<!-- end -->` as the program has it.
fn with_lists(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find("<!-- list: ") {
        let (before, list) = rest.split_at(at);
        let head = &list[..=list.find('\n').expect("a line")];
        let name = head.trim().trim_start_matches("<!-- list: ").trim_end_matches(" -->");
        let end = list.find("<!-- end -->").unwrap_or_else(|| panic!("{name} has no end"));
        let _ = write!(out, "{before}{head}{}", list_of(name));
        rest = &list[end..];
    }
    out + rest
}

fn list_of(name: &str) -> String {
    match name {
        "passes" => {
            let mut out = String::from("| pass | at best | what it does |\n|---|---|---|\n");
            for meta in ordered(PASSES).iter().map(|p| p.meta()) {
                let _ = writeln!(out, "| `{}` | {} | {} |", meta.id, meta.ceiling, meta.summary);
            }
            out
        }
        "reasons" => Reason::ALL.iter().map(|r| format!("- `{}`: {}\n", r.id(), r.text())).collect(),
        "assumptions" => Assumption::ALL.iter().map(|a| format!("- `{}`: {}\n", a.id(), a.text())).collect(),
        _ => panic!("there is no list of {name}"),
    }
}

/// The text with what each `$ dfopt …` of a console block prints, run in a copy of `examples`.
fn with_outputs(text: &str) -> String {
    let dir = tempfile::tempdir().unwrap();
    copy(&Path::new(ROOT).join("examples"), &dir.path().join("examples"));
    // the build contexts are told by the compose file, which is looked for in the whole repository
    let git = Command::new("git").args(["init", "-q"]).current_dir(dir.path()).status().unwrap();
    assert!(git.success());
    let mut out = String::new();
    let mut is_shown = false;
    let mut in_block = false;
    for line in text.lines() {
        if line == "```console" {
            in_block = true;
        } else if line == "```" && in_block {
            (in_block, is_shown) = (false, false);
        } else if let Some(command) = line.strip_prefix("$ ").filter(|_| in_block) {
            out += &format!("{line}\n{}", output(dir.path(), command));
            is_shown = true;
            continue;
        }
        if !is_shown {
            let _ = writeln!(out, "{line}");
        }
    }
    out
}

fn output(dir: &Path, command: &str) -> String {
    let mut words = command.split_whitespace();
    assert_eq!(words.next(), Some("dfopt"), "{command}");
    let run = Command::new(env!("CARGO_BIN_EXE_dfopt"))
        .args(words)
        .current_dir(dir)
        .env("NO_COLOR", "1")
        .env_remove("COLUMNS")
        .output()
        .unwrap();
    let text = String::from_utf8([run.stdout, run.stderr].concat()).unwrap();
    text.trim_end().lines().map(|l| format!("{}\n", l.trim_end())).collect()
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let (path, name) = entry.map(|e| (e.path(), e.file_name())).unwrap();
        if path.is_dir() { copy(&path, &to.join(name)) } else { _ = fs::copy(&path, to.join(name)).unwrap() }
    }
}
