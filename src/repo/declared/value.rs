//! Reading other tools' YAML and JSON: documents, fields, variables, and the line that a field stands on.

use std::collections::BTreeMap;

pub(super) use serde_yaml::Value;

/// The YAML documents of `text` that can be read, merges (`<<`) done: the number of lines before each, its text, its
/// value. And how many cannot be read.
pub(super) fn documents(text: &str) -> (Vec<(usize, &str, Value)>, usize) {
    let (mut out, mut broken) = (Vec::new(), 0);
    for (before, part) in split(text) {
        if bracket_depth(part) > 1_000 {
            broken += 1;
            continue;
        }
        let value = serde_yaml::from_str::<Value>(part).and_then(|mut v| v.apply_merge().map(|()| v));
        match value {
            Ok(Value::Null) => {}
            Ok(value) => out.push((before, part, value)),
            Err(_) => broken += 1,
        }
    }
    (out, broken)
}

/// How deep brackets nest at most, quotes disregarded: the parser's time grows with the square of it.
fn bracket_depth(text: &str) -> usize {
    let mut depth = 0usize;
    let mut most = 0;
    for b in text.bytes() {
        match b {
            b'[' | b'{' => depth += 1,
            b']' | b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        most = most.max(depth);
    }
    most
}

/// Splits at the lines `---`: so a broken document does not take its neighbours with it.
fn split(text: &str) -> Vec<(usize, &str)> {
    let mut out = Vec::new();
    let (mut start, mut first, mut at) = (0, 0, 0);
    for (line, content) in text.split_inclusive('\n').enumerate() {
        at += content.len();
        if content.trim_end() == "---" || content.starts_with("--- ") {
            let end = at - content.len();
            // What stands before the first marker may be directives.
            if !(out.is_empty() && text[start..end].trim_start().starts_with('%')) {
                out.push((first, &text[start..end]));
            }
            (start, first) = if content.trim_end() == "---" { (at, line + 1) } else { (end, line) };
        }
    }
    out.push((first, &text[start..]));
    out
}

/// The field `key` of a mapping.
pub(super) fn get<'a>(value: &'a Value, key: &str) -> Option<&'a Value> {
    untag(value).as_mapping()?.get(key).map(untag).filter(|v| !v.is_null())
}

/// The field at the end of `path`.
pub(super) fn at<'a>(value: &'a Value, path: &[&str]) -> Option<&'a Value> {
    path.iter().try_fold(value, |v, key| get(v, key))
}

/// The value below a tag (`!reset`).
pub(super) fn untag(mut value: &Value) -> &Value {
    while let Value::Tagged(tagged) = value {
        value = &tagged.value;
    }
    value
}

/// A scalar as text.
pub(super) fn text(value: &Value) -> Option<String> {
    match untag(value) {
        Value::String(s) => Some(s.clone()),
        Value::Number(n) => Some(n.to_string()),
        Value::Bool(b) => Some(b.to_string()),
        _ => None,
    }
}

/// A scalar field as text.
pub(super) fn text_at(value: &Value, key: &str) -> Option<String> {
    get(value, key).and_then(text)
}

/// The items of a list.
pub(super) fn items(value: &Value) -> &[Value] {
    untag(value).as_sequence().map_or(&[], Vec::as_slice)
}

/// The fields of a mapping, in order.
pub(super) fn fields(value: &Value) -> impl Iterator<Item = (String, &Value)> {
    untag(value).as_mapping().into_iter().flatten().filter_map(|(k, v)| Some((text(k)?, untag(v))))
}

/// The list of texts, or a single text as a list.
pub(super) fn texts(value: &Value) -> Vec<String> {
    match text(value) {
        Some(one) => vec![one],
        None => items(value).iter().filter_map(text).collect(),
    }
}

/// `text` with its variables replaced, as compose, bake and Dockerfiles write them: `$X`, `${X}`, `${X:-default}`,
/// `${X-default}`; `$$` is a dollar. None where one has no value in `vars` and no default.
pub(super) fn expand(text: &str, vars: &BTreeMap<String, String>) -> Option<String> {
    expand_within(text, vars, 0)
}

/// Other people's files may nest defaults so deep that the stack would not do.
const MAX_DEPTH: usize = 16;

fn expand_within(text: &str, vars: &BTreeMap<String, String>, depth: usize) -> Option<String> {
    let mut out = String::new();
    let mut rest = text;
    while let Some((head, tail)) = rest.split_once('$') {
        out.push_str(head);
        if let Some(tail) = tail.strip_prefix('$') {
            out.push('$');
            rest = tail;
        } else if let Some(inner) = tail.strip_prefix('{') {
            let end = closing(inner)?;
            out.push_str(&braced(&inner[..end], vars, depth)?);
            rest = &inner[end + 1..];
        } else {
            let end = tail.find(|c: char| !is_name(c)).unwrap_or(tail.len());
            out.push_str(vars.get(&tail[..end])?);
            rest = &tail[end..];
        }
    }
    out.push_str(rest);
    Some(out)
}

fn braced(inner: &str, vars: &BTreeMap<String, String>, depth: usize) -> Option<String> {
    let end = inner.find(|c: char| !is_name(c)).unwrap_or(inner.len());
    let (name, rest) = inner.split_at(end);
    let known = vars.get(name);
    let default = |text| if depth < MAX_DEPTH { expand_within(text, vars, depth + 1) } else { None };
    match rest {
        "" => known.cloned(),
        _ if rest.starts_with(":-") => {
            known.filter(|v| !v.is_empty()).cloned().or_else(|| default(&rest[2..]))
        }
        _ if rest.starts_with('-') => known.cloned().or_else(|| default(&rest[1..])),
        _ if rest.starts_with(":?") || rest.starts_with('?') => known.cloned(),
        _ => None,
    }
}

/// Where the brace closes that was opened before `text`.
fn closing(text: &str) -> Option<usize> {
    let mut depth = 0;
    for (at, c) in text.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => return Some(at),
            '}' => depth -= 1,
            _ => {}
        }
    }
    None
}

fn is_name(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

/// A step of a path into a document.
#[derive(Clone, Copy, Debug)]
pub(super) enum Step<'a> {
    Key(&'a str),
    Item(usize),
}

/// The 1-based line on which `path` stands in a YAML document in block style, told from the indentation; of what stands
/// in flow style, or came by an anchor, the line of the nearest thing around it.
pub(super) fn line_of(text: &str, path: &[Step<'_>]) -> usize {
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    let (mut from, mut parent, mut found) = (0usize, -1isize, 0usize);
    for step in path {
        let mut level = None;
        let mut count = 0;
        let mut hit = None;
        for (n, line) in lines.iter().enumerate().skip(from) {
            let body = line.trim_start();
            if body.is_empty() || body.starts_with('#') {
                continue;
            }
            let indent = (line.len() - body.len()) as isize;
            let dash = body == "-" || body.starts_with("- ");
            let inner = match step {
                Step::Key(_) => indent > parent,
                Step::Item(_) => indent > parent || (indent == parent && dash),
            };
            if !inner {
                break;
            }
            if indent != *level.get_or_insert(indent) {
                continue;
            }
            let is_it = match step {
                Step::Key(key) => {
                    let rest = body.strip_prefix(['"', '\'']).unwrap_or(body).strip_prefix(key);
                    rest.map(|r| r.strip_prefix(['"', '\'']).unwrap_or(r))
                        .is_some_and(|r| r.trim_start().starts_with(':'))
                }
                Step::Item(n) if dash => {
                    count += 1;
                    count == n + 1
                }
                Step::Item(_) => false,
            };
            if is_it {
                hit = Some((n, indent));
                break;
            }
        }
        let Some((n, indent)) = hit else { break };
        found = n;
        parent = indent;
        from = n + 1;
        if let Step::Item(_) = step {
            // The item's first field stands on the line of its dash.
            let dash = indent as usize;
            lines[n].replace_range(dash..=dash, " ");
            from = n;
        }
    }
    found + 1
}
