//! Turns the YAML catalogues of `knowledge/` into a JSON document each at build time: YAML is for people to read and to
//! write, and reading 200 KB of it at every start would cost more than planning a Dockerfile. The large ones are taken apart
//! further, into a document an entry, for a run needs a few of their entries.

#![allow(clippy::disallowed_methods, reason = "it runs before there is a program")]

use serde_json::Value;
use std::{env, fmt::Write, fs, path::Path};

/// The keys whose entries become documents of their own, by catalogue; "" is the catalogue itself. Of these entries the
/// fields stay that are asked of all of them.
const APART: [(&str, &str, &[&str]); 4] = [
    ("images", "images", &[]),
    ("images", "systems", &[]),
    ("commands", "commands", &[]),
    ("ecosystems", "", &["files"]),
];

fn main() {
    println!("cargo::rerun-if-changed=knowledge");
    let mut names: Vec<_> =
        fs::read_dir("knowledge").expect("knowledge/").map(|e| e.expect("an entry").path()).collect();
    names.retain(|p| p.extension().is_some_and(|x| x == "yaml"));
    names.sort();
    let out = env::var_os("OUT_DIR").expect("set by cargo");
    let out = Path::new(&out);
    for path in names {
        println!("cargo::rerun-if-changed={}", path.display());
        let text = fs::read_to_string(&path).expect("a readable catalogue");
        let mut value: Value =
            serde_yaml::from_str(&text).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        let name = path.file_stem().and_then(|n| n.to_str()).expect("a name");
        for (_, key, stay) in APART.iter().filter(|(catalogue, ..)| *catalogue == name) {
            let at = if key.is_empty() { &mut value } else { &mut value[*key] };
            let entries = entries(at.take());
            fs::write(out.join(format!("{name}-{key}.rs")), table(&entries)).expect("writable OUT_DIR");
            let left = |e: &Value| stay.iter().map(|f| ((*f).to_string(), e[*f].clone())).collect::<Value>();
            if stay.is_empty() {
                value.as_object_mut().and_then(|all| all.remove(*key));
            } else {
                *at = entries.iter().map(|(_, e)| left(e)).collect();
            }
        }
        fs::write(out.join(format!("{name}.json")), value.to_string()).expect("writable OUT_DIR");
    }
}

/// The entries of a mapping, or of a list of mappings with a `name`, in the order of their names.
fn entries(value: Value) -> Vec<(String, Value)> {
    let named = |e: Value| (e["name"].as_str().expect("a name").to_string(), e);
    match value {
        Value::Array(list) => {
            let list: Vec<_> = list.into_iter().map(named).collect();
            assert!(list.is_sorted_by(|a, b| a.0 < b.0), "entries stand in the order of their names");
            list
        }
        Value::Object(map) => {
            let mut list: Vec<_> = map.into_iter().collect();
            list.sort_by(|a, b| a.0.cmp(&b.0));
            list
        }
        _ => panic!("entries are a list or a mapping"),
    }
}

/// The Rust expression of a `knowledge::table::Carried`. An entry's `programs` find it as its `aliases` do.
fn table(entries: &[(String, Value)]) -> String {
    let mut aliases: Vec<(&str, usize)> = Vec::new();
    for (i, (_, entry)) in entries.iter().enumerate() {
        let names = [entry.get("aliases"), entry.get("programs")];
        let names = names.into_iter().flatten().filter_map(Value::as_array).flatten();
        aliases.extend(names.map(|a| (a.as_str().expect("a name"), i)));
    }
    aliases.sort_unstable();
    let mut out = "Carried { entries: &[".to_string();
    for (name, entry) in entries {
        write!(out, "({name:?}, {:?}),", entry.to_string()).expect("a string");
    }
    write!(out, "], aliases: &{aliases:?} }}").expect("a string");
    out
}
