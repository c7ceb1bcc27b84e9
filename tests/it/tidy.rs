//! House rules: what ARCHITECTURE.md asks of passes, messages, catalogues and modules.

use super::support::{Case, cases, context, files, folders, root};
use dfopt::{
    knowledge::Knowledge,
    options::Options,
    pass::{Level, Pass},
    passes::PASSES,
    pipeline::{Request, Unit, plan},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    sync::Arc,
};

fn assert_none(wrong: &[String]) {
    assert!(wrong.is_empty(), "{} wrong\n{}", wrong.len(), wrong.join("\n"));
}

/// The sources of a folder of the crate, without the tests in them.
fn sources(dir: &str) -> BTreeMap<String, String> {
    let text = |(path, (bytes, _)): (String, (Vec<u8>, u32))| {
        let text = String::from_utf8(bytes).unwrap();
        (format!("{dir}/{path}"), text.split("#[cfg(test)]\nmod tests {").next().unwrap().to_owned())
    };
    let is_code = |p: &str| p.ends_with(".rs") && !p.ends_with("tests.rs") && !p.contains("/tests/");
    files(&root(dir)).into_iter().filter(|(p, _)| is_code(p)).map(text).collect()
}

#[test]
fn passes_lists_its_folder() {
    let list = sources("passes");
    // what a pass needs for itself stands in a folder of its name; what two share, in a file without a pass
    let is_file = |p: &&String| p.matches('/').count() == 1 && *p != "passes/mod.rs";
    let stem = |p: &'_ String| p["passes/".len()..p.len() - ".rs".len()].to_owned();
    let mods: Vec<String> = list.keys().filter(is_file).map(|p| format!("mod {};", stem(p))).collect();
    let stems: Vec<String> =
        list.keys().filter(is_file).filter(|p| list[*p].contains("impl Pass for ")).map(stem).collect();
    let camel =
        |s: &str| s.split('_').map(|w| format!("{}{}", w[..1].to_uppercase(), &w[1..])).collect::<String>();
    let values: Vec<String> = stems.iter().map(|s| format!("    &{s}::{},", camel(s))).collect();
    let text = &list["passes/mod.rs"];
    let paste =
        format!("{}\n\npub const PASSES: &[&dyn Pass] = &[\n{}\n];", mods.join("\n"), values.join("\n"));
    let lines = |start: &str| -> Vec<String> {
        text.lines().filter(|l| l.starts_with(start)).map(str::to_owned).collect()
    };
    assert!(lines("mod ") == mods && lines("    &") == values, "passes/mod.rs should say:\n\n{paste}\n");
    let ids: Vec<String> = PASSES.iter().map(|p| p.meta().id.replace('-', "_")).collect();
    assert_eq!(ids, stems, "the name of a pass is that of its file");
}

/// The `//!` text at the head of a pass.
fn manual(pass: &dyn Pass) -> Vec<&'static str> {
    let lines = pass.source().lines().take_while(|l| l.starts_with("//!"));
    lines.map(|l| l.strip_prefix("//! ").unwrap_or_else(|| l.trim_start_matches("//!"))).collect()
}

/// The lines of a section of a manual.
fn section<'a>(manual: &[&'a str], name: &str) -> Option<Vec<&'a str>> {
    let start = manual.iter().position(|l| l.strip_prefix("## ") == Some(name))? + 1;
    Some(manual[start..].iter().take_while(|l| !l.starts_with("## ")).copied().collect())
}

/// The Dockerfile that a section shows.
fn dockerfile(lines: &[&str]) -> Option<String> {
    let start = lines.iter().position(|l| l.starts_with("```dockerfile"))? + 1;
    let body = lines[start..].iter().take_while(|l| !l.starts_with("```"));
    Some(body.fold(String::new(), |out, l| out + l + "\n"))
}

#[test]
fn manuals_do_what_they_show() {
    let mut wrong = Vec::new();
    for pass in PASSES {
        let id = pass.meta().id;
        let manual = manual(*pass);
        let missing: Vec<&str> = ["Why", "Before", "After", "Assumes", "Refuses"]
            .into_iter()
            .filter(|s| section(&manual, s).is_none_or(|l| l.iter().all(|l| l.is_empty())))
            .collect();
        if !missing.is_empty() {
            wrong.push(format!("{id} has no section {}", missing.join(", ")));
            continue;
        }
        let shown = |name| section(&manual, name).and_then(|l| dockerfile(&l));
        let (Some(before), Some(after)) = (shown("Before"), shown("After")) else {
            wrong.push(format!("{id} shows no Dockerfile in Before or After"));
            continue;
        };
        let mut all = BTreeMap::new();
        for line in section(&manual, "Context").unwrap_or_default() {
            if let Some((path, text)) = line.split_once(": ") {
                all.insert(path.to_owned(), (format!("{text}\n").into_bytes(), 0o644));
            }
        }
        let contexts = if all.is_empty() { Vec::new() } else { vec![Arc::new(context(all))] };
        let unit = Unit { text: before.into_bytes(), contexts, options: Options::default() };
        let request = Request { level: Level::Review, passes: &[*pass], knowledge: Knowledge::builtin() };
        let plan = plan(&unit, &request);
        if plan.after != after.as_bytes() {
            let refused: Vec<&str> = plan.refused.iter().map(|r| r.message.as_str()).collect();
            let got = String::from_utf8_lossy(&plan.after);
            wrong.push(format!("{id} shows\n{after}and does\n{got}{}", refused.join("\n")));
        }
    }
    assert_none(&wrong);
}

#[test]
fn each_pass_has_both_kinds_of_case() {
    let mut wrong = Vec::new();
    let cases = cases();
    for pass in PASSES {
        let id = pass.meta().id;
        let own: Vec<&Case> = cases.iter().filter(|c| c.pass == id).collect();
        if !own.iter().any(|c| !c.after.is_empty()) {
            wrong.push(format!("{id} has no case that rewrites: add tests/golden/{id}/<case>"));
        }
        if !own.iter().any(|c| c.after.is_empty() && c.report.contains("refuse ")) {
            wrong.push(format!("{id} has no case that refuses: add tests/golden/{id}/refuses-<why>"));
        }
    }
    let names: BTreeSet<&str> = PASSES.iter().map(|p| p.meta().id).chain(["pipeline"]).collect();
    for folder in folders(&root("tests/golden")) {
        let name = folder.file_name().unwrap().to_str().unwrap().to_owned();
        if !names.contains(name.as_str()) {
            wrong.push(format!("tests/golden/{name} belongs to no pass"));
        }
    }
    assert_none(&wrong);
}

#[test]
fn messages_are_clauses() {
    let mut wrong = Vec::new();
    for case in cases() {
        let plan = case.plan(case.text(), &[], Level::Review);
        let said = plan.steps.iter().map(|s| &s.message);
        let refused = plan.refused.iter().flat_map(|r| [&r.message, &r.unlock]);
        for message in said.chain(refused).chain(plan.faults.iter().map(|f| &f.message)) {
            if !is_clause(message) {
                wrong.push(format!("{}: {message}", case.name));
            }
        }
    }
    for pass in PASSES {
        let summary = pass.meta().summary;
        if summary.ends_with('.') || !summary.starts_with(char::is_uppercase) {
            wrong.push(format!(
                "the summary of {} is a sentence without a full stop: {summary}",
                pass.meta().id
            ));
        }
    }
    wrong.dedup();
    assert_none(&wrong);
}

/// No capital at the start but of a name (COPY, Go, PATH, `Gemfile`, npm's LICENSE), and no full stop.
fn is_clause(message: &str) -> bool {
    const NAMES: [&str; 9] =
        ["Windows", "Go", "Maven", "Java", "Node", "Docker", "BuildKit", "Gemfile", "Pipfile"];
    let first = message.split([' ', ':', ',']).next().unwrap_or_default();
    let is_name =
        first.len() > 1 && first.chars().skip(1).any(|c| !c.is_ascii_lowercase()) || NAMES.contains(&first);
    let capital = first.starts_with(char::is_uppercase) && !is_name;
    !message.is_empty() && !capital && !message.ends_with('.')
}

#[test]
fn catalogues_are_sorted_and_sourced() {
    let mut wrong = Vec::new();
    for (path, (bytes, _)) in files(&root("knowledge")) {
        let value: serde_json::Value =
            serde_yaml::from_slice(&bytes).unwrap_or_else(|e| panic!("{path}: {e}"));
        let all = value.as_object().unwrap_or_else(|| panic!("{path} is no map"));
        let sourced = |v: &serde_json::Value| v.get("source").is_some() && v.get("checked").is_some();
        let whole = sourced(&value);
        if whole {
            date(&path, &value, &mut wrong);
        }
        for (name, entry) in all {
            // one source for the file, for the entry, or for each entry of a list or table within
            let within = || match entry {
                serde_json::Value::Array(list) => list.iter().collect::<Vec<_>>(),
                serde_json::Value::Object(map) => map.values().collect(),
                _ => Vec::new(),
            };
            if sourced(entry) {
                date(&format!("{path}: {name}"), entry, &mut wrong);
            } else if !whole && !GRAMMAR.contains(&name.as_str()) {
                for (i, e) in within().into_iter().enumerate() {
                    if sourced(e) {
                        date(&format!("{path}: {name}[{i}]"), e, &mut wrong);
                    } else {
                        wrong.push(format!("{path}: {name}[{i}] has no source or no checked date"));
                    }
                }
            }
        }
        // an entry that others refer to stands before them
        if String::from_utf8_lossy(&bytes).contains(": &") {
            continue;
        }
        // the names of entries: at the top if each entry has its own source, else of the tables of a sourced file
        let tables: Vec<(&str, Vec<&String>)> = if all.values().all(sourced) {
            vec![("", all.keys().collect())]
        } else {
            let named = ["commands", "images", "mirrors", "variants"];
            let keys = |k: &'static str| Some((k, all.get(k)?.as_object()?.keys().collect()));
            named.into_iter().filter_map(keys).collect()
        };
        for (table, names) in tables {
            if let Some([one, two]) = names.array_windows::<2>().find(|w| w[0] > w[1]) {
                wrong.push(format!("{path}: {table} is not sorted: {one} before {two}"));
            }
        }
    }
    assert_none(&wrong);
}

/// How tags are read: rules of the catalogue itself, not facts of an image.
const GRAMMAR: [&str; 2] = ["when", "words"];

/// A checked date is a day, as YYYY-MM-DD.
fn date(place: &str, entry: &serde_json::Value, wrong: &mut Vec<String>) {
    let text = entry["checked"].as_str().unwrap_or_default();
    let shape: String = text.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect();
    let named = match &entry["source"] {
        serde_json::Value::Array(list) => !list.is_empty(),
        source => source.as_str().is_some_and(|s| !s.is_empty()),
    };
    if shape != "0000-00-00" || !named {
        wrong.push(format!("{place}: source or checked is not what it should be"));
    }
}

#[test]
fn modules_use_what_stands_above() {
    let lib = fs::read_to_string(root("src/lib.rs")).unwrap();
    let name = |l: &str| {
        l.trim()
            .strip_prefix("pub mod ")
            .or(l.trim().strip_prefix("mod "))
            .map(|m| m.trim_end_matches(';').to_owned())
    };
    let order: Vec<String> = lib.lines().filter_map(name).collect();
    let place = |module: &str| order.iter().position(|m| m == module);
    let mut wrong = Vec::new();
    let all = sources("src").into_iter().chain(sources("passes"));
    for (path, text) in all {
        let module = match path.strip_prefix("src/") {
            Some(inner) => inner.split(['/', '.']).next().unwrap().to_owned(),
            None => "passes".to_owned(),
        };
        let Some(own) = place(&module) else { continue };
        for used in uses(&text) {
            match place(&used) {
                Some(at) if at > own => {
                    wrong.push(format!("{path} uses {used}, which stands below {module} in lib.rs"))
                }
                Some(at) if at == own && module == "passes" && !path.ends_with("mod.rs") => {
                    wrong.push(format!("{path} uses another pass"));
                }
                _ => {}
            }
        }
        let own = path.trim_start_matches("passes/").split(['/', '.']).next().unwrap();
        let others = PASSES.iter().map(|p| p.meta().id.replace('-', "_")).filter(|id| id != own);
        let named = others.into_iter().find(|id| text.contains(&format!("super::{id}")));
        if let Some(other) = named.filter(|_| module == "passes" && !path.ends_with("/mod.rs")) {
            wrong.push(format!("{path} uses another pass, {other}"));
        }
    }
    assert_none(&wrong);
}

/// The modules that a file names behind `crate::`, alone or in braces.
fn uses(text: &str) -> BTreeSet<String> {
    let mut out = BTreeSet::new();
    let code: String = text.lines().map(|l| l.split("//").next().unwrap()).collect::<Vec<_>>().join("\n");
    for (at, _) in code.match_indices("crate::") {
        let rest = &code[at + "crate::".len()..];
        let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
        if let Some(list) = rest.strip_prefix('{') {
            let mut depth = 0;
            let mut word = String::new();
            for c in list.chars() {
                match c {
                    '{' => depth += 1,
                    '}' if depth == 0 => break,
                    '}' => depth -= 1,
                    ',' if depth == 0 => {
                        out.insert(std::mem::take(&mut word));
                    }
                    c if depth == 0 => word.push(c),
                    _ => {}
                }
            }
            out.insert(word);
        } else {
            out.insert(rest.chars().take_while(|c| is_name(*c)).collect());
        }
    }
    out.into_iter()
        .map(|w| w.trim().chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect())
        .collect()
}

#[test]
fn nothing_panics_or_prints() {
    let mut wrong = Vec::new();
    for (path, text) in sources("src").into_iter().chain(sources("passes")) {
        let may_print = path.starts_with("src/cli") || path == "src/main.rs";
        for (n, line) in text.lines().enumerate() {
            let code = line.split("//").next().unwrap();
            let never =
                [".unwrap()", "todo!", "dbg!", "unimplemented!"].into_iter().find(|w| code.contains(w));
            let prints = ["println!", "print!", "eprintln!", "eprint!"]
                .into_iter()
                .find(|w| code.contains(w) && !may_print);
            if let Some(word) = never.or(prints) {
                wrong.push(format!("{path}:{} has {word}", n + 1));
            }
        }
    }
    assert_none(&wrong);
}
