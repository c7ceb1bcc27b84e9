//! `docker-bake.json`, `docker-bake.hcl` and `skaffold.yaml`.

use std::{collections::BTreeMap, path::Path};

use super::{
    Entries, Entry, Service, compose, image_name,
    value::{Step, Value, at, documents, expand, fields, get, items, line_of, text, text_at, texts},
};

/// The targets of a bake file in JSON.
pub(super) fn json(source: &str, dir: &Path) -> Entries {
    match serde_json::from_str::<Value>(source) {
        Ok(doc) => targets(&doc, dir, &|name| line_with(source, name)),
        Err(_) => Entries { unparsed: 1, ..Entries::default() },
    }
}

/// The targets of a bake file in HCL; what is not literal there is as a variable without a value.
pub(super) fn hcl(source: &str, dir: &Path) -> Entries {
    let mut reader = Hcl { rest: source, depth: 0 };
    let mut blocks: BTreeMap<&str, serde_yaml::Mapping> = BTreeMap::new();
    while let Some((kind, name, body)) = reader.block() {
        let kind = if kind == "variable" { "variable" } else { "target" };
        blocks.entry(kind).or_default().insert(name.into(), body);
    }
    let mut doc = serde_yaml::Mapping::new();
    for (kind, map) in blocks {
        doc.insert(kind.into(), map.into());
    }
    targets(&doc.into(), dir, &|name| line_with(source, name))
}

/// The artifacts of a skaffold file, those of its profiles too.
pub(super) fn skaffold(source: &str, dir: &Path) -> Entries {
    let (docs, unparsed) = documents(source);
    let mut out = Entries { unparsed, ..Entries::default() };
    for (before, part, doc) in &docs {
        let profiles = get(doc, "profiles").map(items).unwrap_or_default().iter().enumerate();
        let profiles = profiles.map(|(n, p)| (p, vec![Step::Key("profiles"), Step::Item(n)]));
        for (holder, path) in std::iter::once((doc, Vec::new())).chain(profiles) {
            let artifacts = at(holder, &["build", "artifacts"]).map(items).unwrap_or_default();
            for (n, artifact) in artifacts.iter().enumerate() {
                let mut path = path.clone();
                path.extend([Step::Key("build"), Step::Key("artifacts"), Step::Item(n)]);
                if let Some(mut entry) = artifact_entry(artifact, dir) {
                    entry.service = in_the_container(holder, artifact);
                    entry.line = before + line_of(part, &path);
                    out.builds.push(entry);
                }
            }
        }
    }
    out
}

fn artifact_entry(artifact: &Value, dir: &Path) -> Option<Entry> {
    // Other builders (buildpacks, ko, jib, bazel, custom) read no Dockerfile.
    if ["buildpacks", "ko", "jib", "bazel", "custom"].iter().any(|b| get(artifact, b).is_some()) {
        return None;
    }
    let how = get(artifact, "docker").or_else(|| get(artifact, "kaniko"));
    let field = |key| how.and_then(|h| text_at(h, key));
    let mut entry = Entry {
        bases: vec![dir.to_path_buf()],
        context: text_at(artifact, "context").unwrap_or_else(|| ".".into()),
        dockerfile: field("dockerfile"),
        target: field("target"),
        images: text_at(artifact, "image").map(|i| image_name(&i)).into_iter().collect(),
        ..Entry::default()
    };
    for (name, value) in how.and_then(|h| get(h, "buildArgs")).into_iter().flat_map(fields) {
        match text(value).filter(|v| !v.contains("{{")) {
            Some(value) => entry.args.push((name, value)),
            None => entry.unknown_args.push(name),
        }
    }
    Some(entry)
}

/// What skaffold does in a container that runs already: it puts files into it (`sync`), and runs hooks. Those of the deployment
/// name containers, not images: one may be of any artifact.
fn in_the_container(holder: &Value, artifact: &Value) -> Option<Service> {
    let listed = |hooks: &Value| -> Vec<Vec<String>> {
        let lists = ["before", "after"].iter().filter_map(|k| get(hooks, k)).flat_map(items);
        lists.filter_map(|h| at(h, &["container", "command"]).map(texts)).collect()
    };
    let deployers = get(holder, "deploy").into_iter().flat_map(fields).map(|(_, d)| d);
    let deploy = deployers.filter_map(|d| get(d, "hooks")).flat_map(listed);
    let sync = get(artifact, "sync");
    let own = sync.and_then(|s| get(s, "hooks")).into_iter().flat_map(listed);
    let hooks: Vec<_> = own.chain(deploy).collect();
    (sync.is_some() || !hooks.is_empty()).then(|| Service {
        hooks,
        synced: sync.is_some(),
        ..Service::default()
    })
}

fn targets(doc: &Value, dir: &Path, line: &dyn Fn(&str) -> usize) -> Entries {
    let vars: BTreeMap<String, String> = get(doc, "variable")
        .into_iter()
        .flat_map(fields)
        .filter_map(|(name, v)| Some((name, text_at(v, "default")?)))
        .filter_map(|(name, v)| Some((name, expand(&v, &BTreeMap::new())?)))
        .collect();
    let Some(all) = get(doc, "target") else { return Entries::default() };
    let builds = fields(all).filter_map(|(name, own)| {
        let whole = inherited(all, own, &mut 1000);
        let mut entry = target(&whole, dir, &vars)?;
        entry.line = line(&name);
        entry.name = Some(name);
        Some(entry)
    });
    Entries { builds: builds.collect(), unparsed: 0 }
}

/// The target over those that it inherits from, later ones over earlier. `left` is how many may still be looked at, for
/// targets may inherit in a circle.
fn inherited(all: &Value, own: &Value, left: &mut usize) -> Value {
    let mut out = serde_yaml::Mapping::new();
    let names = get(own, "inherits").map(texts).unwrap_or_default();
    let mut parents = Vec::new();
    for parent in names.iter().filter_map(|name| get(all, name)) {
        if *left == 0 {
            break;
        }
        *left -= 1;
        parents.push(inherited(all, parent, left));
    }
    for layer in parents.iter().chain([own]) {
        for (key, value) in fields(layer) {
            let key = Value::from(key);
            match (out.get_mut(&key), value) {
                (Some(Value::Mapping(under)), Value::Mapping(over)) => under.extend(over.clone()),
                _ => {
                    out.insert(key, value.clone());
                }
            }
        }
    }
    out.into()
}

fn target(value: &Value, dir: &Path, vars: &BTreeMap<String, String>) -> Option<Entry> {
    if get(value, "dockerfile-inline").is_some() || get(value, "matrix").is_some() {
        return None;
    }
    // A field that is there must have a known value.
    let field = |key| match get(value, key) {
        Some(v) => text(v).and_then(|t| expand(&t, vars)).map(Some),
        None => Some(None),
    };
    let mut entry = Entry {
        bases: vec![dir.to_path_buf()],
        context: field("context")?.unwrap_or_else(|| ".".into()),
        dockerfile: field("dockerfile")?,
        target: field("target")?,
        platforms: compose::platforms(get(value, "platforms"), vars),
        ..Entry::default()
    };
    if let Some(args) = get(value, "args") {
        compose::arguments(args, vars, &mut entry);
    }
    let tags = get(value, "tags").map(texts).unwrap_or_default();
    entry.images = tags.iter().filter_map(|t| compose::without_tag(t, vars)).collect();
    if let Some(more) = get(value, "contexts") {
        entry.additional_contexts = true;
        let from = fields(more).filter_map(|(_, v)| text(v));
        entry.uses = from.filter_map(|v| v.strip_prefix("target:").map(str::to_owned)).collect();
    }
    Some(entry)
}

/// The 1-based line where a target's name first stands in quotes, after `target` or before a colon and a brace.
fn line_with(source: &str, name: &str) -> usize {
    let quoted = format!("\"{name}\"");
    let is_it = |l: &str| {
        let l = l.trim();
        (l.starts_with("target") && l.contains(&quoted))
            || l.strip_prefix(&quoted).is_some_and(|r| r.trim_start().starts_with(':') && r.contains('{'))
    };
    source
        .lines()
        .position(is_it)
        .or_else(|| source.lines().position(|l| l.contains(&quoted)))
        .map_or(1, |n| n + 1)
}

/// A text that never expands: stands for a value that is no literal.
const UNKNOWN: &str = "${}";

/// A tolerant reader of HCL: blocks of attributes with literal values, everything else skipped.
struct Hcl<'a> {
    rest: &'a str,
    /// How many values enclose this place.
    depth: usize,
}

impl<'a> Hcl<'a> {
    /// The next `target "x" {…}` or `variable "x" {…}`: kind, name, attributes.
    fn block(&mut self) -> Option<(&'a str, &'a str, Value)> {
        loop {
            self.space(true);
            let word = self.word();
            if word.is_empty() {
                let c = self.rest.chars().next()?;
                // A string or an attribute of no interest is passed over whole.
                if c == '"' {
                    self.string();
                } else {
                    self.rest = &self.rest[c.len_utf8()..];
                }
                continue;
            }
            if word != "target" && word != "variable" {
                continue;
            }
            self.space(false);
            let name = if self.rest.starts_with('"') { self.string() } else { self.word() };
            self.space(false);
            if self.eat('{') {
                return Some((word, name, self.object()));
            }
        }
    }

    /// The attributes up to the closing brace, which is taken.
    fn object(&mut self) -> Value {
        let mut out = serde_yaml::Mapping::new();
        loop {
            self.space(true);
            if self.rest.is_empty() || self.eat('}') {
                return out.into();
            }
            let key = if self.rest.starts_with('"') { self.string() } else { self.word() };
            self.space(false);
            if self.eat('=') || self.eat(':') {
                let value = self.value();
                if !key.is_empty() {
                    out.insert(key.into(), value);
                }
            } else if self.eat('{') {
                // A nested block (`validation {…}`), which holds nothing of use.
                self.skip_expression();
                self.eat('}');
            } else if let Some(c) = self.rest.chars().next().filter(|_| key.is_empty()) {
                self.rest = &self.rest[c.len_utf8()..];
            }
        }
    }

    fn value(&mut self) -> Value {
        self.space(false);
        let start = self.rest;
        if self.depth > 32 {
            self.rest = "";
            return UNKNOWN.into();
        }
        self.depth += 1;
        let value = if self.rest.starts_with('"') {
            Value::from(self.string().replace("\\\"", "\"").replace("\\\\", "\\"))
        } else if self.eat('{') {
            self.object()
        } else if self.eat('[') {
            let mut list = Vec::new();
            loop {
                self.space(true);
                if self.rest.is_empty() || self.eat(']') {
                    break Value::Sequence(list);
                }
                let before = self.rest.len();
                list.push(self.value());
                if self.rest.len() == before {
                    break UNKNOWN.into();
                }
            }
        } else {
            match self.word() {
                "" => UNKNOWN.into(),
                "null" => Value::Null,
                word @ ("true" | "false") => word.into(),
                word if word.starts_with(|c: char| c.is_ascii_digit()) => word.into(),
                word => format!("${{{word}}}").into(),
            }
        };
        self.depth -= 1;
        self.space(false);
        if self.rest.is_empty() || self.rest.starts_with(['\n', ',', '}', ']', '#']) {
            return value;
        }
        // An operator or a call follows: no literal.
        self.rest = start;
        self.skip_expression();
        UNKNOWN.into()
    }

    /// To the end of the expression: a line's end, a comma or a closing bracket outside of brackets.
    fn skip_expression(&mut self) {
        let mut depth = 0;
        while let Some(c) = self.rest.chars().next() {
            match c {
                '"' => {
                    self.string();
                    continue;
                }
                '(' | '[' | '{' => depth += 1,
                '\n' | ',' | '}' | ']' | ')' if depth == 0 => return,
                ')' | ']' | '}' => depth -= 1,
                _ => {}
            }
            self.rest = &self.rest[c.len_utf8()..];
        }
    }

    /// The inside of the string that starts here; an interpolation may hold quotes of its own.
    fn string(&mut self) -> &'a str {
        let text = &self.rest[1..];
        let (mut depth, mut escaped, mut last) = (0, false, ' ');
        for (at, c) in text.char_indices() {
            match c {
                _ if escaped => escaped = false,
                '\\' => escaped = true,
                '{' if last == '$' || depth > 0 => depth += 1,
                '}' if depth > 0 => depth -= 1,
                '"' if depth == 0 => {
                    self.rest = &text[at + 1..];
                    return &text[..at];
                }
                _ => {}
            }
            last = c;
        }
        self.rest = "";
        text
    }

    fn word(&mut self) -> &'a str {
        let is_word = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
        let end = self.rest.find(|c| !is_word(c)).unwrap_or(self.rest.len());
        let (word, rest) = self.rest.split_at(end);
        self.rest = rest;
        word
    }

    fn eat(&mut self, c: char) -> bool {
        let rest = self.rest.strip_prefix(c);
        self.rest = rest.unwrap_or(self.rest);
        rest.is_some()
    }

    /// Skips blanks and comments, with `lines` also line ends and commas.
    fn space(&mut self, lines: bool) {
        loop {
            self.rest = self.rest.trim_start_matches(|c: char| {
                if lines { c.is_whitespace() || c == ',' } else { c == ' ' || c == '\t' || c == '\r' }
            });
            if self.rest.starts_with('#') || self.rest.starts_with("//") {
                self.rest = &self.rest[self.rest.find('\n').unwrap_or(self.rest.len())..];
            } else if self.rest.starts_with("/*") {
                self.rest = self.rest.find("*/").map_or("", |at| &self.rest[at + 2..]);
            } else {
                return;
            }
        }
    }
}
