//! npm and bun, and what all tools of `package.json` share: scripts, workspaces, local dependencies, `.npmrc`.

use serde_json::Value;
use std::collections::BTreeSet;

use super::scan::{Scan, join, unsuited};
use super::{Takes, parts};
use crate::context::{Carry, FileKind};
use crate::pass::{Reason, Refusal};

/// Longest walk of the context for the members of a workspace, in entries.
const WALK: usize = 50_000;

pub(super) fn read(scan: &mut Scan<'_>) -> Result<(), Refusal> {
    let lock = scan.add_files()?;
    // npm reads it when it resolves (npm/cli `workspaces/arborist/lib/shrinkwrap.js`).
    let yarn = scan.at("yarn.lock");
    if !scan.locked && scan.install.ecosystem == "npm" {
        scan.add_if(&yarn)?;
    }
    let bunfig = scan.at("bunfig.toml");
    if scan.install.ecosystem == "bun" && scan.has(&bunfig) {
        scan.review(format!("{bunfig} is not read here, and may name other files"));
    }
    let rc = read_npmrc(scan)?;
    let lock = lock.filter(|_| !scan.install.has(Takes::Unlocks) && !rc.lockless);
    if lock.is_none() && scan.locked {
        return Err(scan.lock_missing());
    }
    let packages = read_packages(scan, &workspaces_of, rc.scriptless)?;
    scan.settle_lock(lock.as_deref())?;
    let proof = packages.proof();
    let command = scan.install.command.clone();
    scan.prove(&command, &proof);
    Ok(())
}

/// What was found in the package.json files.
#[derive(Default)]
pub(super) struct Packages {
    pub members: usize,
    local: usize,
    scripts: Vec<String>,
    skipped: bool,
}

impl Packages {
    /// The end of the proof's first sentence.
    pub fn proof(&self) -> String {
        let scripts = match (&self.scripts[..], self.skipped) {
            (_, true) => "the project's own scripts are not run".to_string(),
            ([], _) => "no lifecycle scripts".to_string(),
            (some, _) => format!("the only lifecycle scripts are {}, which read no source", some.join(", ")),
        };
        let members = match self.members {
            0 => "no workspaces".to_string(),
            1 => "the one workspace's package.json is among them".to_string(),
            n => format!("all {n} workspaces' package.json are among them"),
        };
        let local =
            if self.local == 0 { "no file: dependencies" } else { "file: dependencies are among them" };
        format!("{scripts}, {members}, {local}")
    }
}

/// What `.npmrc` changes.
#[derive(Default)]
pub(super) struct Settings {
    pub scriptless: bool,
    pub lockless: bool,
}

/// The workspace patterns of a package.json.
pub(super) fn workspaces_of(package: &Value) -> Result<Vec<String>, Refusal> {
    let list = match &package["workspaces"] {
        Value::Null => return Ok(Vec::new()),
        Value::Object(o) => o.get("packages").unwrap_or(&Value::Null),
        list => list,
    };
    if list.is_null() {
        return Ok(Vec::new());
    }
    let strings = |list: &Vec<Value>| list.iter().map(|v| v.as_str().map(str::to_string)).collect();
    let strings: Option<Vec<String>> = list.as_array().and_then(strings);
    strings
        .ok_or_else(|| unsuited("`workspaces` of package.json is no list of patterns", "write it as a list"))
}

/// Reads the root package.json and those of its workspaces; adds what they need and guards their folders.
pub(super) fn read_packages(
    scan: &mut Scan<'_>,
    patterns: &dyn Fn(&Value) -> Result<Vec<String>, Refusal>,
    scriptless: bool,
) -> Result<Packages, Refusal> {
    let mut found =
        Packages { skipped: scriptless || scan.install.has(Takes::Scriptless), ..Packages::default() };
    let root = scan.dir.clone();
    for dir in scan.above() {
        let path = join(&dir, "package.json");
        if scan.has(&path) && !scan.json(&path)?["workspaces"].is_null() {
            let message = format!("{path} above has workspaces, and the install may be one of them");
            return Err(unsuited(message, "install at the workspaces' root"));
        }
    }
    let package = scan.json(&join(&root, "package.json"))?;
    read_package(scan, &root, &package, &mut found)?;
    let patterns = patterns(&package)?;
    if !patterns.is_empty() {
        for dir in expand(scan, &patterns)? {
            let path = join(&dir, "package.json");
            scan.add(&path)?;
            let package = scan.json(&path)?;
            read_package(scan, &dir, &package, &mut found)?;
            found.members += 1;
        }
    }
    Ok(found)
}

/// The settings of the project's `.npmrc`; each must be known to read no file.
pub(super) fn read_npmrc(scan: &mut Scan<'_>) -> Result<Settings, Refusal> {
    let path = scan.at(".npmrc");
    let mut settings = Settings::default();
    if !scan.has(&path) {
        return Ok(settings);
    }
    let text = scan.text(&path)?;
    for line in text.lines().map(str::trim).filter(|l| !l.is_empty() && !l.starts_with(['#', ';'])) {
        let (key, value) = line.split_once('=').unwrap_or((line, "true"));
        let (key, value) = (key.trim().trim_end_matches("[]"), value.trim().trim_matches(['"', '\'']));
        match (key, value) {
            ("ignore-scripts", "true") => settings.scriptless = true,
            ("package-lock" | "shrinkwrap" | "lockfile", "false") => settings.lockless = true,
            _ => {}
        }
        let scoped = key.starts_with("//") || (key.starts_with('@') && key.ends_with(":registry"));
        let known = scoped || scan.tool.settings.iter().any(|s| s == key);
        let is_path = value.starts_with(['.', '~']) || value.starts_with("file:");
        if !known || is_path {
            let message = format!("{path} sets {key}, which may make the install read other files");
            return Err(unsuited(message, format!("remove {key} from {path}")));
        }
    }
    Ok(settings)
}

/// The folders that workspace patterns name: those that hold a package.json.
pub(super) fn expand(scan: &Scan<'_>, patterns: &[String]) -> Result<BTreeSet<String>, Refusal> {
    let mut wanted = Vec::new();
    for pattern in patterns {
        let (negated, text) = match pattern.strip_prefix('!') {
            Some(rest) => (true, rest),
            None => (false, pattern.as_str()),
        };
        if text.contains(['{', '[', '(', '?', '\\']) {
            let message = format!("the workspace pattern {pattern} is not one that can be expanded");
            return Err(unsuited(message, "write it with `*` alone"));
        }
        let text = scan.path(&scan.dir, text)?;
        wanted.push((negated, parts(&text).unwrap_or_default()));
    }
    let start = scan.dir.clone();
    let Some(all) = scan.context.walk(&start, WALK) else {
        let message = "the build context is too large to find all workspaces in";
        return Err(Refusal::new(Reason::ContextMissing, message, "leave out what is not needed"));
    };
    let mut out = BTreeSet::new();
    for (path, entry) in &all {
        let Some(dir) = path.strip_suffix("/package.json") else { continue };
        let dir_parts = parts(dir).unwrap_or_default();
        if entry.kind == FileKind::Dir || dir_parts.iter().any(|p| p == "node_modules") || dir == start {
            continue;
        }
        let mut member = false;
        for (negated, pattern) in &wanted {
            if matches(pattern, &dir_parts) {
                member = !negated;
            }
        }
        if member {
            out.insert(dir.to_string());
        }
    }
    // A member that is left out of the context is missing in both versions, but then the lock file says otherwise.
    for (negated, pattern) in &wanted {
        let literal = !pattern.iter().any(|p| p.contains('*'));
        let dir = pattern.join("/");
        if !negated && literal && !out.contains(&dir) && dir != start {
            return Err(scan.absent(&join(&dir, "package.json")));
        }
    }
    Ok(out)
}

fn matches(pattern: &[String], path: &[String]) -> bool {
    match pattern.split_first() {
        None => path.is_empty(),
        Some((first, rest)) if first == "**" => (0..=path.len()).any(|skip| matches(rest, &path[skip..])),
        Some((first, rest)) => {
            path.split_first().is_some_and(|(name, below)| part_matches(first, name) && matches(rest, below))
        }
    }
}

fn part_matches(pattern: &str, name: &str) -> bool {
    let mut pieces = pattern.split('*');
    let first = pieces.next().unwrap_or_default();
    let Some(mut rest) = name.strip_prefix(first) else { return false };
    let pieces: Vec<&str> = pieces.collect();
    let Some((last, middle)) = pieces.split_last() else { return rest.is_empty() };
    // A star does not stand for a hidden name.
    if first.is_empty() && name.starts_with('.') {
        return false;
    }
    for piece in middle {
        match rest.find(piece) {
            Some(at) => rest = &rest[at + piece.len()..],
            None => return false,
        }
    }
    rest.ends_with(last)
}

fn read_package(
    scan: &mut Scan<'_>,
    dir: &str,
    package: &Value,
    found: &mut Packages,
) -> Result<(), Refusal> {
    let path = join(dir, "package.json");
    if !package.is_object() {
        return Err(unsuited(format!("{path} is no object"), "make it an object"));
    }
    scan.guard(dir);
    if !found.skipped {
        read_scripts(scan, dir, package, found)?;
        let gyp = join(dir, "binding.gyp");
        if scan.has(&gyp) {
            return Err(unsuited(
                format!("{gyp} makes the install build native code from source"),
                "give the install --ignore-scripts",
            ));
        }
        read_curious(scan, dir, package)?;
        read_prisma(scan, dir, package)?;
    }
    if dir != scan.dir {
        read_bins(scan, dir, package)?;
    }
    for key in ["dependencies", "devDependencies", "optionalDependencies", "peerDependencies"] {
        let Some(list) = package[key].as_object() else { continue };
        for (name, value) in list {
            let Some(version) = value.as_str() else { continue };
            if let Some(local) = local_path(version) {
                read_local(scan, dir, name, local, found)?;
                found.local += 1;
            }
            if let Some(patch) = version.strip_prefix("patch:") {
                read_patch(scan, name, patch)?;
            }
        }
    }
    for key in ["overrides", "resolutions", "pnpm", "bundleDependencies", "dependenciesMeta"] {
        read_overrides(scan, &path, key, &package[key])?;
    }
    Ok(())
}

fn read_scripts(
    scan: &mut Scan<'_>,
    dir: &str,
    package: &Value,
    found: &mut Packages,
) -> Result<(), Refusal> {
    let lifecycle = scan.tool.lifecycle.clone();
    for name in lifecycle {
        let Some(script) = package["scripts"][&name].as_str() else { continue };
        if script.trim().is_empty() {
            continue;
        }
        for piece in script.split("&&").flat_map(|s| s.split("||")).map(str::trim) {
            let known = scan.tool.sourceless.iter().find(|s| s.command == piece).cloned();
            let Some(known) = known else {
                let path = join(dir, "package.json");
                let message = format!("{path} runs `{piece}` in its {name} script, which may read source");
                return Err(unsuited(message, "give the install --ignore-scripts, or run the script later"));
            };
            for reads in &known.reads {
                scan.add_if(&join(dir, reads))?;
            }
            for without in &known.without {
                let path = join(dir, without);
                if scan.context.may_carry(&path) == Carry::Yes {
                    let message = format!("`{piece}` reads {path}, which the build context carries");
                    return Err(unsuited(message, format!("add {path} to .dockerignore")));
                }
            }
        }
        found.scripts.push(format!("{name} (`{script}`)"));
    }
    Ok(())
}

// Direct dependencies alone: what others bring does such things only for those who set them up.
fn read_curious(scan: &mut Scan<'_>, dir: &str, package: &Value) -> Result<(), Refusal> {
    for known in scan.tool.curious.clone() {
        let name = &known.package;
        if !["dependencies", "devDependencies"].iter().any(|k| !package[*k][name].is_null()) {
            continue;
        }
        if known.key.as_ref().is_some_and(|key| !package[key].is_null()) {
            let message = format!("the install script of {name} writes into the project");
            return Err(unsuited(message, "give the install --ignore-scripts"));
        }
        for reads in &known.reads {
            scan.add_if(&join(dir, reads))?;
        }
        for without in &known.without {
            let path = join(dir, without);
            if scan.context.may_carry(&path) == Carry::Yes {
                let message =
                    format!("the install script of {name} uses {path}, which the build context carries");
                return Err(unsuited(message, format!("add {path} to .dockerignore")));
            }
        }
    }
    Ok(())
}

// @prisma/client generates its client when it is installed, if it finds the schema.
fn read_prisma(scan: &mut Scan<'_>, dir: &str, package: &Value) -> Result<(), Refusal> {
    let uses = |name: &str| ["dependencies", "devDependencies"].iter().any(|k| !package[*k][name].is_null());
    if !uses("@prisma/client") && !uses("prisma") {
        return Ok(());
    }
    for name in [
        "prisma.config.ts",
        "prisma.config.js",
        "prisma.config.mjs",
        "prisma.config.cjs",
        ".config/prisma.ts",
    ] {
        let path = join(dir, name);
        if scan.has(&path) {
            let message = format!("{path} is a program that may read any file");
            return Err(unsuited(message, "keep prisma's settings in package.json"));
        }
    }
    let schema = package["prisma"]["schema"].as_str();
    let place = match schema {
        Some(schema) => scan.path(dir, schema)?,
        None => join(dir, "prisma"),
    };
    let default = join(dir, "schema.prisma");
    let mut texts = Vec::new();
    match scan.context.entry(&place).map(|e| e.kind) {
        Some(FileKind::Dir) => {
            scan.add(&place)?;
            let Some(all) = scan.context.walk(&place, WALK) else {
                return Err(unsuited(
                    format!("{place} has too many files to read its schemas"),
                    "name the schema's file",
                ));
            };
            texts.extend(all.into_iter().map(|(p, _)| p).filter(|p| p.ends_with(".prisma")));
        }
        Some(_) => {
            scan.add(&place)?;
            texts.push(place);
        }
        None if schema.is_some() => return Err(scan.absent(&place)),
        None => {}
    }
    if scan.add_if(&default)? {
        texts.push(default);
    }
    for path in texts {
        let text = scan.text(&path)?;
        let sets = |key: &str| {
            text.lines()
                .any(|l| l.trim_start().strip_prefix(key).is_some_and(|r| r.trim_start().starts_with('=')))
        };
        if sets("output") {
            let message =
                format!("{path} has its client written to another place, which the later COPY may overlay");
            return Err(unsuited(message, "generate the client after the broad COPY"));
        }
    }
    Ok(())
}

// npm links the programs of local packages, and makes them executable, if they are there when it runs.
fn read_bins(scan: &mut Scan<'_>, dir: &str, package: &Value) -> Result<(), Refusal> {
    let bins: Vec<&str> = match &package["bin"] {
        Value::String(one) => vec![one],
        Value::Object(many) => many.values().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    };
    if !package["directories"]["bin"].is_null() {
        let message = format!("{} links a whole folder of programs", join(dir, "package.json"));
        return Err(unsuited(message, "name the programs in `bin`"));
    }
    for bin in bins {
        let path = scan.path(dir, bin)?;
        let Some(entry) = scan.context.entry(&path) else { continue };
        if entry.mode & 0o111 != 0o111 {
            let message = format!("the install makes {path} executable, which the later COPY would undo");
            return Err(unsuited(message, format!("make {path} executable in the repository")));
        }
        scan.add(&path)?;
    }
    Ok(())
}

/// The path of a dependency that lies in the project.
pub(super) fn local_path(version: &str) -> Option<&str> {
    for prefix in ["file:", "link:", "portal:"] {
        if let Some(path) = version.strip_prefix(prefix) {
            return Some(path);
        }
    }
    (version.starts_with("./")
        || version.starts_with("../")
        || version.starts_with('/')
        || version.starts_with("~/"))
    .then_some(version)
}

fn read_local(
    scan: &mut Scan<'_>,
    dir: &str,
    name: &str,
    local: &str,
    found: &mut Packages,
) -> Result<(), Refusal> {
    let path = scan.path(dir, local.trim_start_matches("//"))?;
    if path == dir || scan.dir == path || path.is_empty() {
        return Err(unsuited(format!("{name} is the project itself"), "remove the dependency on itself"));
    }
    scan.add(&path)?;
    if scan.context.entry(&path).is_some_and(|e| e.kind == FileKind::Dir) {
        let manifest = join(&path, "package.json");
        if scan.has(&manifest) {
            let package = scan.json(&manifest)?;
            if !found.skipped {
                read_scripts(scan, &path, &package, found)?;
            }
            read_bins(scan, &path, &package)?;
            scan.guard(&path);
        }
    }
    Ok(())
}

// `patch:name@version#./.yarn/patches/x.patch`, the file also as `~/.yarn/…`: from the project's root.
fn read_patch(scan: &mut Scan<'_>, name: &str, patch: &str) -> Result<(), Refusal> {
    let Some((_, file)) = patch.split_once('#') else { return Ok(()) };
    for file in file.split('&').map(|f| f.split("::").next().unwrap_or(f)) {
        let file = file.trim_start_matches("optional!");
        if file.starts_with("builtin<") {
            continue;
        }
        let file = file.strip_prefix("~/").unwrap_or(file);
        let path = scan.path(&scan.dir, file).map_err(|_| {
            unsuited(format!("the patch of {name} lies outside of what the COPY brings"), "move it")
        })?;
        scan.add(&path)?;
    }
    Ok(())
}

fn read_overrides(scan: &mut Scan<'_>, path: &str, key: &str, value: &Value) -> Result<(), Refusal> {
    match value {
        Value::String(text) => {
            if let Some(patch) = text.strip_prefix("patch:") {
                return read_patch(scan, key, patch);
            }
            if local_path(text).is_some() {
                let message = format!("{path} replaces {key} by the local {text}");
                return Err(unsuited(message, "replace it by a published package"));
            }
        }
        Value::Object(map) => {
            for (name, value) in map {
                if name == "patchedDependencies" {
                    for file in value.as_object().into_iter().flatten().filter_map(|(_, v)| v.as_str()) {
                        let path = scan.path(&scan.dir, file)?;
                        scan.add(&path)?;
                    }
                } else {
                    read_overrides(scan, path, name, value)?;
                }
            }
        }
        Value::Array(list) => {
            for value in list.iter().filter(|v| v.is_object()) {
                read_overrides(scan, path, key, value)?;
            }
        }
        _ => {}
    }
    Ok(())
}
