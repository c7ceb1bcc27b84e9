//! .NET: solutions, projects, and the MSBuild files that a restore evaluates.

use super::command::UNKNOWN;
use super::scan::{Scan, folder, join, unsuited};
use super::xml::{self, Element};
use crate::context::FileKind;
use crate::pass::Refusal;

/// Files that MSBuild and NuGet look for in the project's folder and in each above it.
const ABOVE: [&str; 8] = [
    "Directory.Build.props",
    "Directory.Build.targets",
    "Directory.Build.rsp",
    "Directory.Packages.props",
    "Directory.Solution.props",
    "Directory.Solution.targets",
    "global.json",
    "nuget.config",
];

pub(super) fn read(scan: &mut Scan<'_>) -> Result<(), Refusal> {
    let target = target(scan)?;
    let early = scan.tool.commands.get(&scan.install.subcommand).and_then(|c| c.early.clone());
    let mut projects = Vec::new();
    if target.ends_with(".sln") || target.ends_with(".slnx") {
        scan.add(&target)?;
        let text = scan.text(&target)?;
        for path in solution(&target, &text)? {
            projects.push(scan.path(folder(&target), &path)?);
        }
        add_above(scan, folder(&target))?;
    } else {
        projects.push(target);
    }
    let mut seen = Vec::new();
    while let Some(path) = projects.pop() {
        if !seen.contains(&path) {
            seen.push(path.clone());
            projects.extend(read_project(scan, &path, early.is_none())?);
        }
    }
    let locked = seen.iter().all(|p| scan.has(&join(folder(p), "packages.lock.json")));
    // What a restore writes lies in obj and in the package folder; versions float only where a project says so.
    if locked {
        scan.needs.evidence.push("every project has a packages.lock.json".to_string());
    }
    let command = match &early {
        Some(early) => {
            let mut words = vec![early.clone()];
            words.extend(
                scan.install.operands.iter().find(|w| !matches!(w.as_str(), "true" | "false")).cloned(),
            );
            for (name, _, value) in &scan.install.parsed {
                let known = value.as_ref().is_some_and(|v| !v.contains(UNKNOWN));
                if known && matches!(name.as_str(), "-r" | "--runtime") {
                    words.extend([name.clone(), value.clone().unwrap_or_default()]);
                }
            }
            words.join(" ")
        }
        None => scan.install.command.clone(),
    };
    if early.is_some() {
        scan.needs
            .evidence
            .push(format!("`{}` stays after the broad COPY, and restores again", scan.install.command));
        scan.needs.early = Some(command.clone());
    }
    scan.prove(&command, "every referenced project and imported file is among them");
    Ok(())
}

// The solution or project that the command names, or the one that its folder holds.
fn target(scan: &mut Scan<'_>) -> Result<String, Refusal> {
    let is_target =
        |name: &str| [".sln", ".slnx", ".csproj", ".fsproj", ".vbproj"].iter().any(|end| name.ends_with(end));
    // `--self-contained true`: the value of a flag
    let operands: Vec<String> =
        scan.install.operands.iter().filter(|w| !matches!(w.as_str(), "true" | "false")).cloned().collect();
    let dir = match operands.as_slice() {
        [] => {
            scan.require_dir()?;
            scan.dir.clone()
        }
        [one] => {
            let path = scan.operand(one)?;
            match scan.context.entry(&path).map(|e| e.kind) {
                Some(FileKind::Dir) => path,
                Some(_) if is_target(&path) => return Ok(path),
                Some(_) => {
                    return Err(unsuited(format!("{path} is no project that is known"), "split it by hand"));
                }
                None => return Err(scan.absent(&path)),
            }
        }
        _ => return Err(unsuited("more than one project is named", "restore the solution")),
    };
    let here: Vec<String> =
        scan.context.list(&dir).into_iter().map(|(name, _)| name).filter(|n| is_target(n)).collect();
    let solutions: Vec<&String> = here.iter().filter(|n| n.contains(".sln")).collect();
    match (solutions.as_slice(), here.as_slice()) {
        ([one], _) if here.len() == 1 || twins(&here) => Ok(join(&dir, one)),
        ([], [one]) => Ok(join(&dir, one)),
        ([], []) => Err(scan.absent(&join(&dir, "*.csproj"))),
        _ => Err(unsuited(
            format!(
                "{} holds more than one project or solution",
                if dir.is_empty() { "the folder" } else { &dir }
            ),
            "name the project in the command",
        )),
    }
}

// A solution and a project of one name: the solution is taken (dotnet/msbuild `src/MSBuild/XMake.cs`).
fn twins(here: &[String]) -> bool {
    let stem = |name: &String| name.rsplit_once('.').map(|(stem, _)| stem.to_string());
    matches!(here, [a, b] if stem(a) == stem(b))
}

// The projects of a solution; their paths are written with backslashes. The type 2150E333 is a folder in the solution
// (learn.microsoft.com/visualstudio/extensibility/internals/solution-dot-sln-file).
fn solution(path: &str, text: &str) -> Result<Vec<String>, Refusal> {
    let refuse =
        || unsuited(format!("{path} is not a solution that can be read"), "name the project in the command");
    if path.ends_with(".slnx") {
        let elements = xml::read(text).ok_or_else(refuse)?;
        let projects = elements.iter().filter(|e| e.name == "Project");
        return projects.map(|e| e.get("Path").map(slashes).ok_or_else(refuse)).collect();
    }
    let mut out = Vec::new();
    for line in text.lines().filter(|l| l.trim_start().starts_with("Project(")) {
        let fields: Vec<&str> = line.split('"').skip(1).step_by(2).collect();
        match fields.as_slice() {
            [kind, ..] if kind.to_ascii_uppercase().contains("2150E333-8FDC-42A3-9474-1A3956D46DE8") => {}
            [_, _, file, ..] => out.push(slashes(file)),
            _ => return Err(refuse()),
        }
    }
    Ok(out)
}

// Adds a project and what its evaluation reads; the projects that it refers to.
fn read_project(scan: &mut Scan<'_>, path: &str, guard: bool) -> Result<Vec<String>, Refusal> {
    scan.add(path)?;
    // MSBuild imports it where it lies beside the project.
    let user = format!("{path}.user");
    let extra = if scan.add_if(&user)? { read_msbuild(scan, &user, Some(path))? } else { Vec::new() };
    let dir = folder(path).to_string();
    if guard {
        scan.guard(&dir);
    }
    add_above(scan, &dir)?;
    for name in scan.tool.files.config.clone() {
        scan.add_if(&join(&dir, &name))?;
    }
    let mut projects = read_msbuild(scan, path, Some(path))?;
    projects.extend(extra);
    Ok(projects)
}

// The projects that the MSBuild file `path` refers to; its imports are added. `project` is the file that is built, if that is one.
fn read_msbuild(scan: &mut Scan<'_>, path: &str, project: Option<&str>) -> Result<Vec<String>, Refusal> {
    let text = scan.text(path)?;
    let refuse = |why: String| unsuited(format!("{path} {why}"), "split it by hand, with what it reads");
    let elements = xml::read(&text).ok_or_else(|| refuse("is not XML that can be read".to_string()))?;
    if text.contains("System.IO.") || text.contains("$(Registry") {
        return Err(refuse("reads files in an expression".to_string()));
    }
    let mut projects = Vec::new();
    for element in &elements {
        match element.name.as_str() {
            "ProjectReference" => {
                let Some(include) = element.get("Include") else { continue };
                for one in include.split(';').map(str::trim).filter(|s| !s.is_empty()) {
                    let found = match project {
                        Some(own) => resolve(scan, one, folder(own), path, project)?,
                        None => None,
                    };
                    let Some(found) = found else {
                        return Err(refuse(format!("refers to {one}, which cannot be told")));
                    };
                    projects.push(found);
                }
            }
            "Import" => read_import(scan, element, path, project, &mut projects)?,
            "PackageReference" | "PackageVersion" | "GlobalPackageReference" => {
                let version = element.get("Version").or(element.get("VersionOverride"));
                if version.is_some_and(|v| v.contains('*')) {
                    let name =
                        element.get("Include").or(element.get("Update")).unwrap_or_default().to_string();
                    scan.unlocked(format!("{path} asks for any version of {name} that fits"));
                }
            }
            "Target" => {
                let hooks = ["BeforeTargets", "AfterTargets"].iter().filter_map(|n| element.get(n));
                if hooks.into_iter().any(|t| t.contains("Restore") || t.contains("CollectPackage")) {
                    return Err(refuse("runs a target of its own in the restore".to_string()));
                }
            }
            "RestoreSources"
            | "RestoreAdditionalProjectSources"
            | "RestoreFallbackFolders"
            | "RestoreConfigFile"
            | "BaseIntermediateOutputPath"
            | "MSBuildProjectExtensionsPath"
            | "NuGetLockFilePath"
            | "UseArtifactsOutput"
            | "ArtifactsPath" => {
                let remote = element
                    .text
                    .split(';')
                    .all(|s| s.trim().starts_with("http") || s.contains("$(RestoreSources"));
                if !remote {
                    return Err(refuse(format!("sets {}", element.name)));
                }
            }
            _ => {}
        }
    }
    Ok(projects)
}

fn read_import(
    scan: &mut Scan<'_>,
    element: &Element,
    path: &str,
    project: Option<&str>,
    projects: &mut Vec<String>,
) -> Result<(), Refusal> {
    if element.get("Sdk").is_some() {
        return Ok(());
    }
    let Some(file) = element.get("Project") else { return Ok(()) };
    // The files of the folders above are added anyway.
    if file.contains("GetPathOfFileAbove") && ABOVE.iter().any(|name| file.contains(name)) {
        return Ok(());
    }
    let Some(import) = resolve(scan, file, folder(path), path, project)? else {
        let message = format!("{path} imports {file}, which cannot be told");
        return Err(unsuited(message, "split it by hand, with what it reads"));
    };
    let optional = element.get("Condition").is_some_and(|c| c.contains("Exists("));
    if scan.needs.files.contains(&import) {
        return Ok(());
    }
    if optional && !scan.has(&import) && !scan.context.exists_ignored(&import) {
        return Ok(());
    }
    scan.add(&import)?;
    projects.extend(read_msbuild(scan, &import, project)?);
    Ok(())
}

// The path of the context that `text` names, from the folder `base`; None if it is not literal but for the folders of
// the file and of the project.
fn resolve(
    scan: &Scan<'_>,
    text: &str,
    base: &str,
    path: &str,
    project: Option<&str>,
) -> Result<Option<String>, Refusal> {
    let text = slashes(text);
    let literal = |text: &str| !text.contains(['$', '*', '@', '%', '?']);
    let own = ("$(MSBuildThisFileDirectory)", Some(folder(path)));
    for (name, dir) in [own, ("$(MSBuildProjectDirectory)", project.map(folder))] {
        let Some(rest) = text.strip_prefix(name) else { continue };
        let Some(dir) = dir.filter(|_| literal(rest)) else { return Ok(None) };
        return scan.path(dir, rest.trim_start_matches('/')).map(Some);
    }
    if literal(&text) { scan.path(base, &text).map(Some) } else { Ok(None) }
}

fn add_above(scan: &mut Scan<'_>, dir: &str) -> Result<(), Refusal> {
    let mut dir = dir.to_string();
    loop {
        for (name, _) in scan.context.list(&dir) {
            if !ABOVE.iter().any(|above| above.eq_ignore_ascii_case(&name)) {
                continue;
            }
            let path = join(&dir, &name);
            if scan.needs.files.contains(&path) {
                continue;
            }
            scan.add(&path)?;
            if name.eq_ignore_ascii_case("nuget.config") {
                read_nuget(scan, &path)?;
            } else if name.contains(".props") || name.contains(".targets") {
                let projects = read_msbuild(scan, &path, None)?;
                if !projects.is_empty() {
                    return Err(unsuited(format!("{path} refers to projects"), "split it by hand"));
                }
            } else if name.ends_with(".rsp") {
                return Err(unsuited(format!("{path} has options for every command"), "split it by hand"));
            }
        }
        if dir.is_empty() || dir == scan.place.source {
            return Ok(());
        }
        dir = folder(&dir).to_string();
    }
}

// Package sources that are folders of the context are added.
fn read_nuget(scan: &mut Scan<'_>, path: &str) -> Result<(), Refusal> {
    let text = scan.text(path)?;
    let elements = xml::read(&text)
        .ok_or_else(|| unsuited(format!("{path} is not XML that can be read"), "split it by hand"))?;
    for element in elements.iter().filter(|e| e.name == "add") {
        let sources = element.path.iter().any(|p| p == "packageSources" || p == "fallbackPackageFolders");
        let key = element.get("key").unwrap_or_default();
        let folder_key = ["globalPackagesFolder", "repositoryPath"].contains(&key);
        let value = element.get("value").unwrap_or_default();
        if folder_key {
            return Err(unsuited(format!("{path} sets {key}"), "split it by hand"));
        }
        if sources && !value.starts_with("http") {
            let feed = scan.path(folder(path), &slashes(value))?;
            scan.add(&feed)?;
        }
    }
    Ok(())
}

fn slashes(path: &str) -> String {
    path.replace('\\', "/")
}
