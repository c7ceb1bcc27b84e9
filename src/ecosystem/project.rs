//! Python projects: Poetry, uv and Pipenv.

use toml::{Table, Value};

use super::Takes;
use super::scan::{Scan, join, unsuited};
use crate::pass::Refusal;

pub(super) fn read_poetry(scan: &mut Scan<'_>) -> Result<(), Refusal> {
    let lock = scan.add_files()?;
    let path = scan.at("pyproject.toml");
    let project = scan.toml(&path)?;
    let poetry = get(&project, &["tool", "poetry"]);
    refuse_version_plugins(&path, &project)?;
    for key in ["dependencies", "dev-dependencies"] {
        refuse_local(&path, poetry.and_then(|p| p.get(key)))?;
    }
    let groups = poetry.and_then(|p| p.get("group")).and_then(Value::as_table);
    for (_, group) in groups.into_iter().flatten() {
        refuse_local(&path, group.get("dependencies"))?;
    }
    refuse_direct(&path, &project)?;
    read_requires_plugins(scan, &path, poetry)?;
    let dir = scan.dir.clone();
    scan.guard(&dir);
    // Poetry installs from its lock file and never changes one that is there.
    if lock.is_some() {
        scan.locked = true;
    }
    scan.settle_lock(lock.as_deref())?;
    let packaged = poetry.and_then(|p| p.get("package-mode")).and_then(Value::as_bool).unwrap_or(true);
    run_without_root(scan, packaged, "no dependency by a path");
    Ok(())
}

pub(super) fn read_uv(scan: &mut Scan<'_>) -> Result<(), Refusal> {
    let lock = scan.add_files()?;
    let path = scan.at("pyproject.toml");
    let project = scan.toml(&path)?;
    for dir in scan.above() {
        let path = join(&dir, "pyproject.toml");
        if scan.has(&path) && get(&scan.toml(&path)?, &["tool", "uv", "workspace"]).is_some() {
            let message = format!("{path} above has a workspace, and the project may be one of it");
            return Err(unsuited(message, "sync at the workspace's root"));
        }
    }
    let mut members = Vec::new();
    if let Some(workspace) = get(&project, &["tool", "uv", "workspace"]) {
        let mut patterns = strings(&path, workspace.get("members"))?;
        patterns.extend(strings(&path, workspace.get("exclude"))?.into_iter().map(|p| format!("!{p}")));
        members = expand_members(scan, &patterns)?;
    }
    read_uv_project(scan, &path, &project)?;
    for member in &members {
        let path = join(member, "pyproject.toml");
        scan.add(&path)?;
        let project = scan.toml(&path)?;
        read_uv_project(scan, &path, &project)?;
    }
    let dir = scan.dir.clone();
    scan.guard(&dir);
    if scan.install.parsed.iter().any(|(name, ..)| name == "--frozen" || name == "--locked") {
        scan.locked = true;
    }
    scan.settle_lock(lock.as_deref())?;
    // A project is built if it has a build system, or says so.
    let says = get(&project, &["tool", "uv", "package"]).and_then(Value::as_bool);
    let packaged = says.unwrap_or(project.contains_key("build-system")) || !members.is_empty();
    run_without_root(
        scan,
        packaged,
        "no source by a path, every workspace member's pyproject.toml among them",
    );
    Ok(())
}

pub(super) fn read_pipenv(scan: &mut Scan<'_>) -> Result<(), Refusal> {
    let lock = scan.add_files()?;
    let path = scan.at("Pipfile");
    let file = scan.toml(&path)?;
    for (section, value) in &file {
        if !matches!(section.as_str(), "source" | "requires" | "scripts" | "pipenv") {
            refuse_local(&path, Some(value))?;
        }
    }
    let dir = scan.dir.clone();
    scan.guard(&dir);
    let lock = lock.filter(|_| !scan.install.has(Takes::Unlocks));
    scan.settle_lock(lock.as_deref())?;
    let command = scan.install.command.clone();
    scan.prove(&command, "no path and no editable dependency");
    Ok(())
}

// The project itself is installed late, by the command as it stands; early run its dependencies.
fn run_without_root(scan: &mut Scan<'_>, packaged: bool, proof: &str) {
    let command = scan.install.command.clone();
    let options =
        scan.tool.commands.get(&scan.install.subcommand).map(|c| c.early_options.clone()).unwrap_or_default();
    if !packaged || scan.install.has(Takes::Rootless) || options.is_empty() {
        scan.prove(&command, proof);
        return;
    }
    let early = format!("{command} {}", options.join(" "));
    scan.needs
        .evidence
        .push(format!("`{command}` stays after the broad COPY, where it installs the project"));
    scan.prove(&early, proof);
    scan.needs.early = Some(early);
}

fn read_uv_project(scan: &Scan<'_>, path: &str, project: &Table) -> Result<(), Refusal> {
    refuse_version_plugins(path, project)?;
    refuse_direct(path, project)?;
    refuse_local(path, get(project, &["tool", "uv", "sources"]))?;
    let dynamic = get(project, &["project"]).and_then(|p| p.get("dynamic")).and_then(Value::as_array);
    let frozen = scan.install.parsed.iter().any(|(name, ..)| name == "--frozen");
    if dynamic.is_some_and(|d| !d.is_empty()) && !frozen {
        let message = format!("{path} has dynamic metadata: to check the lock file, uv builds the project");
        return Err(unsuited(message, "use `uv sync --frozen`, or write the metadata into pyproject.toml"));
    }
    if let Some(links) = get(project, &["tool", "uv", "find-links"]).and_then(Value::as_array)
        && links.iter().any(|l| l.as_str().is_none_or(|l| !l.contains("://")))
    {
        return Err(unsuited(format!("{path} has find-links in a folder"), "split it by hand"));
    }
    let local_index = get(project, &["tool", "uv", "index"]).and_then(Value::as_array).into_iter().flatten();
    if local_index.filter_map(|i| i.get("url")?.as_str()).any(|url| !url.starts_with("http")) {
        return Err(unsuited(format!("{path} has an index in a folder"), "split it by hand"));
    }
    Ok(())
}

fn expand_members(scan: &Scan<'_>, patterns: &[String]) -> Result<Vec<String>, Refusal> {
    // The shared expansion looks for package.json; here the folders are asked one level at a time.
    let mut out = Vec::new();
    let (drop, keep): (Vec<_>, Vec<_>) = patterns.iter().partition(|p| p.starts_with('!'));
    for pattern in keep {
        let pattern = scan.path(&scan.dir, pattern)?;
        let found = scan.context.select(&join(&pattern, "pyproject.toml"));
        let found = found.filter(|_| !pattern.contains("**")).ok_or_else(|| {
            unsuited(format!("the workspace pattern {pattern} cannot be expanded"), "write it with `*` alone")
        })?;
        out.extend(found.iter().filter_map(|p| p.strip_suffix("/pyproject.toml").map(str::to_string)));
    }
    for pattern in drop {
        let pattern = scan.path(&scan.dir, pattern.trim_start_matches('!'))?;
        let gone = scan.context.select(&pattern).unwrap_or_default();
        out.retain(|dir| !gone.contains(dir));
    }
    out.sort();
    out.dedup();
    Ok(out)
}

// A version that comes from git cannot be told in a folder without it.
fn refuse_version_plugins(path: &str, project: &Table) -> Result<(), Refusal> {
    for plugin in ["poetry-dynamic-versioning", "poetry-version-plugin"] {
        if get(project, &["tool", plugin]).is_some() {
            return Err(unsuited(
                format!("{path} takes its version from git ({plugin})"),
                "split it by hand",
            ));
        }
    }
    Ok(())
}

fn read_requires_plugins(scan: &Scan<'_>, path: &str, poetry: Option<&Value>) -> Result<(), Refusal> {
    let plugins = poetry.and_then(|p| p.get("requires-plugins")).and_then(Value::as_table);
    if plugins.is_some_and(|p| !p.is_empty()) {
        let message = format!("{path} has Poetry load plugins, which may read more than the manifests");
        return Err(unsuited(message, format!("install the plugins apart from `{}`", scan.install.command)));
    }
    Ok(())
}

// Dependencies of a table that lie in a path.
fn refuse_local(path: &str, table: Option<&Value>) -> Result<(), Refusal> {
    for (name, value) in table.and_then(Value::as_table).into_iter().flatten() {
        let one = std::slice::from_ref(value);
        for value in value.as_array().map_or(one, |list| list.as_slice()) {
            let table = value.as_table();
            let has = |key: &str| table.is_some_and(|t| t.contains_key(key));
            let file_url = value.get("url").and_then(Value::as_str).is_some_and(|u| u.starts_with("file:"));
            let local_file = value.get("file").and_then(Value::as_str).is_some_and(|f| !f.contains("://"));
            let editable = value.get("editable").and_then(Value::as_bool) == Some(true) && !has("workspace");
            if has("path") || file_url || local_file || editable {
                let message = format!("{path}: {name} is installed from a path");
                return Err(unsuited(message, "split it by hand, with that path among what is copied early"));
            }
        }
    }
    Ok(())
}

// `name @ file:///…` in the standard tables.
fn refuse_direct(path: &str, project: &Table) -> Result<(), Refusal> {
    let mut lists = vec![get(project, &["project", "dependencies"])];
    for table in [get(project, &["project", "optional-dependencies"]), get(project, &["dependency-groups"])] {
        lists.extend(table.and_then(Value::as_table).into_iter().flatten().map(|(_, v)| Some(v)));
    }
    for word in lists.into_iter().flatten().filter_map(Value::as_array).flatten().filter_map(Value::as_str) {
        if word.contains("file:") || word.trim_start().starts_with(['.', '/']) {
            return Err(unsuited(format!("{path}: `{word}` is installed from a path"), "split it by hand"));
        }
    }
    Ok(())
}

fn strings(path: &str, value: Option<&Value>) -> Result<Vec<String>, Refusal> {
    let Some(value) = value else { return Ok(Vec::new()) };
    let list: Option<Vec<String>> =
        value.as_array().and_then(|list| list.iter().map(|v| v.as_str().map(str::to_string)).collect());
    list.ok_or_else(|| unsuited(format!("{path} has a workspace that cannot be read"), "write it as a list"))
}

fn get<'a>(table: &'a Table, keys: &[&str]) -> Option<&'a Value> {
    let (first, rest) = keys.split_first()?;
    rest.iter().try_fold(table.get(*first)?, |value, key| value.get(key))
}
