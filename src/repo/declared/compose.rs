//! Compose files (compose-spec: `services.*.build` and what is set of a service at run time).

use std::{collections::BTreeMap, path::Path};

use super::{
    Entries, Entry, Service, commands,
    value::{Step, Value, at, documents, expand, fields, get, items, line_of, text, text_at, texts},
};

/// The compose files of one folder: `(path, text)` of each. A file beside `compose.yaml` may lay its services over
/// those of the same name there (`compose.override.yaml`, `-f compose.yaml -f compose.prod.yaml`).
pub(super) fn read(files: &[(String, String)], dir: &Path) -> Vec<(String, Entries)> {
    let mut parsed: Vec<(&String, Entries, Vec<_>)> = files
        .iter()
        .map(|(path, text)| {
            let (docs, unparsed) = documents(text);
            (path, Entries { unparsed, ..Entries::default() }, docs)
        })
        .collect();
    let base = ["compose.yaml", "compose.yml", "docker-compose.yaml", "docker-compose.yml"]
        .iter()
        .find_map(|name| parsed.iter().position(|(p, ..)| p.rsplit('/').next() == Some(name)));
    let base_doc = base.and_then(|n| parsed[n].2.first()).map(|(_, _, doc)| doc.clone());
    for (n, (_, entries, docs)) in parsed.iter_mut().enumerate() {
        for (before, text, doc) in docs {
            let Some(services) = get(doc, "services") else { continue };
            for (name, own) in fields(services) {
                let under = base_doc.as_ref().filter(|_| base != Some(n));
                let under = under.and_then(|d| get(d, "services")).and_then(|s| get(s, &name));
                let own = extended(services, own, 0);
                let whole = match under {
                    Some(under) if get(&own, "build").is_none_or(lacks_context) => laid_over(under, &own),
                    _ => own,
                };
                let path = [Step::Key("services"), Step::Key(&name), Step::Key("build")];
                if let Some(mut entry) = service(&name, &whole, dir) {
                    entry.line = *before + line_of(text, &path);
                    entries.builds.push(entry);
                }
            }
        }
    }
    parsed.into_iter().map(|(path, entries, _)| (path.clone(), entries)).collect()
}

fn lacks_context(build: &Value) -> bool {
    build.is_mapping() && get(build, "context").is_none()
}

/// The service with those of the same file under it that it extends.
fn extended(services: &Value, own: &Value, depth: usize) -> Value {
    let extends = get(own, "extends");
    let name = extends.and_then(|e| match get(e, "file") {
        None => text_at(e, "service").or_else(|| text(e)),
        Some(_) => None,
    });
    match name.and_then(|n| get(services, &n)) {
        Some(under) if depth < 8 => laid_over(&extended(services, under, depth + 1), own),
        _ => own.clone(),
    }
}

/// Mappings are merged, everything else is replaced. (Compose also joins lists of ports and volumes.)
fn laid_over(under: &Value, over: &Value) -> Value {
    match (under, over) {
        (Value::Mapping(under), Value::Mapping(over)) => {
            let mut out = under.clone();
            for (key, value) in over {
                let value = out.get(key).map_or_else(|| value.clone(), |u| laid_over(u, value));
                out.insert(key.clone(), value);
            }
            Value::Mapping(out)
        }
        (Value::Sequence(under), Value::Sequence(over)) => {
            Value::Sequence(under.iter().chain(over).cloned().collect())
        }
        (Value::String(short), Value::Mapping(_)) => {
            let mut long = serde_yaml::Mapping::new();
            long.insert("context".into(), short.clone().into());
            laid_over(&Value::Mapping(long), over)
        }
        _ => over.clone(),
    }
}

fn service(name: &str, value: &Value, dir: &Path) -> Option<Entry> {
    let vars = BTreeMap::new();
    let build = get(value, "build")?;
    let mut entry = Entry { name: Some(name.to_owned()), bases: vec![dir.to_path_buf()], ..Entry::default() };
    if let Some(context) = text(build) {
        entry.context = expand(&context, &vars)?;
    } else {
        if get(build, "dockerfile_inline").is_some() {
            return None;
        }
        let field = |key| text_at(build, key).map(|t| expand(&t, &vars));
        entry.context = field("context").unwrap_or(Some(".".into()))?;
        entry.dockerfile = field("dockerfile").map_or(Some(None), |f| f.map(Some))?;
        entry.target = field("target").map_or(Some(None), |f| f.map(Some))?.filter(|t| !t.is_empty());
        entry.platforms = platforms(get(build, "platforms"), &vars);
        if let Some(args) = get(build, "args") {
            arguments(args, &vars, &mut entry);
        }
        if let Some(more) = get(build, "additional_contexts") {
            entry.additional_contexts = true;
            let listed = items(more).iter().filter_map(text);
            let listed = listed.filter_map(|t| t.split_once('=').map(|(_, v)| v.to_owned()));
            let values: Vec<_> = listed.chain(fields(more).filter_map(|(_, v)| text(v))).collect();
            entry.uses =
                values.iter().filter_map(|v| v.strip_prefix("service:").map(str::to_owned)).collect();
        }
        let tags = get(build, "tags").map(texts).unwrap_or_default();
        entry.images = tags.iter().filter_map(|t| expand(t, &vars)).map(|t| super::image_name(&t)).collect();
    }
    // compose-spec, build: `platforms`; without it the service's own `platform` is what is built for
    if entry.platforms.is_empty() {
        entry.platforms = platforms(get(value, "platform"), &vars);
    }
    let image = text_at(value, "image").and_then(|i| without_tag(&i, &vars));
    entry.images.extend(image);
    entry.service = Some(run(value, &vars));
    Some(entry)
}

/// Platforms, as a list or one; one whose value is not known stays as it is written.
pub(super) fn platforms(value: Option<&Value>, vars: &BTreeMap<String, String>) -> Vec<String> {
    let known = |t: String| expand(&t, vars).unwrap_or(t);
    value.map(texts).unwrap_or_default().into_iter().map(known).collect()
}

/// The image's name even where its tag is a variable.
pub(super) fn without_tag(image: &str, vars: &BTreeMap<String, String>) -> Option<String> {
    let known = expand(image, vars).or_else(|| {
        let tag = image.rfind(":$").filter(|at| !image[*at..].contains('/'))?;
        expand(&image[..tag], vars)
    });
    known.map(|i| super::image_name(&i))
}

/// Build arguments as a mapping or as a list of `K=V`; one without a value takes the caller's, which is not known.
pub(super) fn arguments(value: &Value, vars: &BTreeMap<String, String>, entry: &mut Entry) {
    let mapped = fields(value).map(|(k, v)| (k, text(v)));
    let listed = items(value).iter().filter_map(text).map(|t| match t.split_once('=') {
        Some((k, v)) => (k.to_owned(), Some(v.to_owned())),
        None => (t, None),
    });
    for (name, value) in mapped.chain(listed) {
        match value.and_then(|v| expand(&v, vars)) {
            Some(value) => entry.args.push((name, value)),
            None => entry.unknown_args.push(name),
        }
    }
    // A merge leaves them in no order of use.
    entry.args.sort();
    entry.unknown_args.sort();
}

fn run(value: &Value, vars: &BTreeMap<String, String>) -> Service {
    // What has no known value is still there: a command with a variable is a command.
    let known = |t: String| expand(&t, vars).unwrap_or(t);
    let list = |key| get(value, key).map(texts).unwrap_or_default();
    let mut volumes: Vec<String> = list("volumes").into_iter().map(known).collect();
    volumes.extend(list("tmpfs").into_iter().map(known));
    for item in get(value, "volumes").map(items).unwrap_or_default() {
        if let Some(target) = text_at(item, "target").map(known) {
            let source = text_at(item, "source").map(known);
            volumes.push(source.map_or_else(|| target.clone(), |s| format!("{s}:{target}")));
        }
    }
    let mut ports: Vec<String> = list("ports").into_iter().map(known).collect();
    for item in get(value, "ports").map(items).unwrap_or_default() {
        if let Some(target) = text_at(item, "target").map(known) {
            let published = text_at(item, "published").map(known);
            ports.push(published.map_or_else(|| target.clone(), |p| format!("{p}:{target}")));
        }
    }
    Service {
        user: text_at(value, "user").map(known),
        command: words(value, "command"),
        entrypoint: words(value, "entrypoint"),
        volumes,
        ports,
        probe: get(value, "healthcheck").and_then(probe),
        hooks: ["post_start", "pre_stop"].iter().flat_map(|k| hooks(value, k)).collect(),
        synced: at(value, &["develop", "watch"]).map(items).unwrap_or_default().iter().any(syncs),
        privileged: text_at(value, "privileged").is_some_and(|t| t == "true"),
        capabilities: list("cap_add"),
        devices: list("devices"),
        ..Service::default()
    }
}

/// `action: sync` of a watch, and what goes on from it.
fn syncs(watch: &Value) -> bool {
    text_at(watch, "action").is_some_and(|a| a.starts_with("sync"))
}

fn hooks(value: &Value, key: &str) -> Vec<Vec<String>> {
    let all = get(value, key).map(items).unwrap_or_default();
    all.iter().filter_map(|h| words(h, "command")).collect()
}

/// A command: a list of words, or a text that is split as a shell would.
fn words(value: &Value, key: &str) -> Option<Vec<String>> {
    let field = get(value, key)?;
    match text(field) {
        Some(line) => Some(commands::split_words(&line)),
        None => Some(texts(field)),
    }
}

fn probe(health: &Value) -> Option<Vec<String>> {
    if text_at(health, "disable").is_some_and(|t| t == "true") {
        return None;
    }
    let test = get(health, "test")?;
    let shell = |line: String| vec!["/bin/sh".to_owned(), "-c".to_owned(), line];
    if let Some(line) = text(test) {
        return Some(shell(line));
    }
    let mut list = texts(test).into_iter();
    match list.next()?.as_str() {
        "CMD" => Some(list.collect()),
        "CMD-SHELL" => list.next().map(shell),
        _ => None,
    }
}
