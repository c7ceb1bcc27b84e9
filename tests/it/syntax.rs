//! The parser against what BuildKit's own parser makes of the same files.

use std::fs;

use super::support::shared;
use dfopt::syntax::{Dockerfile, Flag, Instruction, Keyword, parse};
use serde_json::{Map, Value, json};

/// What the parser makes of a file, in the form of the corpus's `expected.json`.
fn reading(file: &Dockerfile) -> Value {
    let error = file.error().filter(|e| !e.second_level);
    if let Some(error) = error {
        return json!({ "error": error.message });
    }
    let instructions: Vec<Value> = file.instructions.iter().map(|i| instruction(file, i)).collect();
    let mut out = json!({ "escape": char::from(file.escape).to_string(), "instructions": instructions });
    if let Some(error) = file.error() {
        out["second_level_error"] = error.message.clone().into();
    }
    out
}

fn instruction(file: &Dockerfile, ins: &Instruction) -> Value {
    // BuildKit lists one empty argument for an instruction that it does not know
    let unknown = ins.keyword == Keyword::Unknown;
    let args: Vec<&str> = if unknown { vec![""] } else { Vec::new() };
    let args: Vec<&str> = args.into_iter().chain(ins.args().iter().map(|a| a.value.as_str())).collect();
    let flags: Vec<String> = ins.flags().iter().map(Flag::text).collect();
    let mut out = Map::new();
    out.insert("args".into(), json!(args));
    out.insert("flags".into(), json!(flags));
    out.insert("json".into(), ins.is_exec().into());
    out.insert("keyword".into(), ins.detail().keyword_text.as_str().into());
    out.insert("lines".into(), json!([ins.lines.0, ins.lines.1]));
    let heredocs: Vec<Value> = ins
        .heredocs
        .iter()
        .map(|h| {
            let content = String::from_utf8_lossy(h.content.of(file.text()));
            json!({ "name": h.name, "expand": h.expand, "chomp": h.chomp, "content": content })
        })
        .collect();
    if !heredocs.is_empty() {
        out.insert("heredocs".into(), heredocs.into());
    }
    if let Some(inner) = ins.inner() {
        out.insert("onbuild".into(), instruction(file, inner));
    }
    Value::Object(out)
}

/// What differs, as `path: found, not expected`.
fn differences(path: &str, found: &Value, expected: &Value, out: &mut Vec<String>) {
    match (found, expected) {
        (Value::Object(a), Value::Object(b)) => {
            for key in a.keys().chain(b.keys().filter(|k| !a.contains_key(*k))) {
                let side = |m: &Map<String, Value>| m.get(key).cloned().unwrap_or_default();
                differences(&format!("{path}.{key}"), &side(a), &side(b), out);
            }
        }
        (Value::Array(a), Value::Array(b)) if a.len() == b.len() => {
            for (i, (a, b)) in a.iter().zip(b).enumerate() {
                differences(&format!("{path}[{i}]"), a, b, out);
            }
        }
        _ if found != expected => out.push(format!("{path}: {found}, not {expected}")),
        _ => {}
    }
}

#[test]
fn reads_as_buildkit_does() {
    let Some(shared) = shared() else { return eprintln!("skipped: no corpora beside the crate") };
    let corpus = shared.join("corpus/syntax");
    let expected = fs::read_to_string(corpus.join("expected.json")).expect("expected.json");
    let expected: Map<String, Value> = serde_json::from_str(&expected).expect("JSON");
    let mut wrong = Vec::new();
    for (name, expected) in &expected {
        let text = fs::read(corpus.join(name).join("Dockerfile")).expect("a Dockerfile");
        differences(name, &reading(&parse(&text)), expected, &mut wrong);
    }
    assert!(expected.len() >= 95);
    assert!(wrong.is_empty(), "{} differences\n{}", wrong.len(), wrong.join("\n"));
}
