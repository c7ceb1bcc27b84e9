//! Maven: the POM and what lies above it in the context.

use super::command::{UNKNOWN, quoted};
use super::scan::{Scan, folder, join, unsuited};
use super::xml;
use crate::context::FileKind;
use crate::pass::Refusal;

pub(super) fn read(scan: &mut Scan<'_>) -> Result<(), Refusal> {
    let file =
        scan.install.parsed.iter().find(|(n, ..)| n == "-f" || n == "--file").and_then(|(_, _, v)| v.clone());
    if let Some(file) = &file {
        let path = scan.operand(file)?;
        let is_dir = scan.context.entry(&path).is_some_and(|e| e.kind == FileKind::Dir);
        if !is_dir && !path.ends_with("pom.xml") {
            return Err(unsuited(format!("{path} is not named pom.xml"), "split it by hand"));
        }
        scan.move_to(if is_dir { path } else { folder(&path).to_string() });
    }
    scan.add_files()?;
    let path = scan.at("pom.xml");
    read_pom(scan, &path, 0)?;
    if scan.install.program.is_none() && scan.install.command.starts_with("./") {
        let wrapper = scan.operand("mvnw")?;
        scan.add(&wrapper)?;
    }
    let early = scan.tool.commands.get(&scan.install.subcommand).and_then(|c| c.early.clone());
    let program = scan.install.command.split(' ').next().unwrap_or("mvn").to_string();
    let early = early.map(|e| e.replacen("mvn", &program, 1));
    // `-f` names the project for the early command too
    let early =
        early.map(|e| file.map_or(e.clone(), |f| e.replacen(" -B", &format!(" -B -f {}", quoted(&[f])), 1)));
    let profiles = scan.install.parsed.iter().filter(|(name, ..)| name == "-P");
    let profiles: Vec<String> = profiles.filter_map(|(_, _, value)| value.clone()).collect();
    if profiles.iter().any(|p| p.contains(UNKNOWN)) {
        return Err(unsuited("the profile is not known", "name it in the command"));
    }
    let early = early.map(|e| profiles.iter().fold(e, |e, p| format!("{e} {}", quoted(&[format!("-P{p}")]))));
    let command = early.clone().unwrap_or_else(|| scan.install.command.clone());
    scan.review(format!(
        "`{command}` may fail where the build would not: it resolves every plugin and test dependency"
    ));
    scan.needs.early = early;
    scan.prove(&command, "one module, no parent in the context outside of them");
    Ok(())
}

fn read_pom(scan: &mut Scan<'_>, path: &str, depth: usize) -> Result<(), Refusal> {
    let text = scan.text(path)?;
    let elements = xml::read(&text)
        .ok_or_else(|| unsuited(format!("{path} is not XML that can be read"), "split it by hand"))?;
    let top = |e: &&xml::Element, name: &str| e.name == name && e.path == ["project"];
    if depth == 0 && elements.iter().any(|e| e.name == "module") {
        let message = format!(
            "{path} has modules: their dependencies on each other cannot be resolved before they are built"
        );
        return Err(unsuited(message, "use a cache mount on the local repository instead"));
    }
    let banned = ["systemPath", "extension"];
    if let Some(e) = elements.iter().find(|e| banned.contains(&e.name.as_str())) {
        return Err(unsuited(format!("{path} has <{}>", e.name), "split it by hand"));
    }
    let local_repository = elements.iter().find(|e| {
        e.name == "url"
            && e.path.iter().any(|p| p == "repository" || p == "pluginRepository")
            && !e.text.starts_with("http")
    });
    if let Some(e) = local_repository {
        return Err(unsuited(format!("{path} has the repository {}", e.text), "split it by hand"));
    }
    if !elements.iter().any(|e| top(&e, "parent")) {
        return Ok(());
    }
    let relative = elements.iter().find(|e| e.name == "relativePath" && e.path == ["project", "parent"]);
    let relative = relative.map_or("../pom.xml", |e| e.text.as_str());
    if relative.is_empty() {
        return Ok(());
    }
    let Ok(parent) = scan.path(folder(path), relative) else { return Ok(()) };
    let parent = match scan.context.entry(&parent).map(|e| e.kind) {
        Some(FileKind::Dir) => join(&parent, "pom.xml"),
        _ => parent,
    };
    if scan.add_if(&parent)? {
        if depth > 8 {
            return Err(unsuited(format!("{path} has too many parents"), "split it by hand"));
        }
        read_pom(scan, &parent, depth + 1)?;
    }
    Ok(())
}
