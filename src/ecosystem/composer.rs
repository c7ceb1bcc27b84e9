//! Composer: packages are installed early without the autoloader, which is made of the project's own classes.

use serde_json::Value;

use super::Takes;
use super::scan::{Scan, unsuited};
use crate::context::Carry;
use crate::pass::Refusal;

pub(super) fn read(scan: &mut Scan<'_>) -> Result<(), Refusal> {
    let lock = scan.add_files()?;
    let path = scan.at("composer.json");
    let project = scan.json(&path)?;
    let scriptless = scan.install.has(Takes::Scriptless);
    if !scriptless {
        for name in &scan.tool.lifecycle {
            if !project["scripts"][name].is_null() {
                let message = format!("{path} has the script {name}, which may read source");
                return Err(unsuited(
                    message,
                    "give the install --no-scripts, and run the script after the broad COPY",
                ));
            }
        }
    }
    read_repositories(scan, &path, &project["repositories"])?;
    read_plugins(scan, &path, &project, lock.as_deref())?;
    read_config(scan, &path, &project["config"])?;
    match project["config"]["vendor-dir"].as_str() {
        Some(vendor) => {
            let vendor = scan.path(&scan.dir, vendor)?;
            scan.guard_path(vendor, false);
        }
        None => {
            let dir = scan.dir.clone();
            scan.guard(&dir);
        }
    }
    // Composer installs what its lock file says and changes none that is there.
    scan.locked |= lock.is_some();
    scan.settle_lock(lock.as_deref())?;
    let command = scan.install.command.clone();
    let autoloads = |key: &str| project[key].as_object().is_some_and(|o| !o.is_empty());
    // The version of the project, in vendor/composer/installed.php, comes from git.
    let git = scan.context.may_carry(&scan.at(".git")) == Carry::Yes && project["version"].is_null();
    if !autoloads("autoload") && !autoloads("autoload-dev") && !git {
        scan.prove(
            &command,
            "no scripts, no plugins, no path repositories, and nothing of the project is autoloaded",
        );
        return Ok(());
    }
    let options = scan.tool.commands.get(&scan.install.subcommand).map(|c| c.early_options.clone());
    let given = scan.install.options.clone();
    let options: Vec<String> =
        options.unwrap_or_default().into_iter().filter(|o| !given.contains(o)).collect();
    if options.is_empty() {
        scan.prove(&command, "no plugins, no path repositories; neither scripts nor the autoloader are made");
        return Ok(());
    }
    let early = format!("{command} {}", options.join(" "));
    scan.needs
        .evidence
        .push(format!("`{command}` stays after the broad COPY, where it makes the autoloader"));
    scan.prove(&early, "no scripts, no plugins, no path repositories");
    scan.needs.early = Some(early);
    Ok(())
}

fn read_repositories(scan: &Scan<'_>, path: &str, repositories: &Value) -> Result<(), Refusal> {
    let list = repositories.as_array().into_iter().flatten();
    for repository in list.chain(repositories.as_object().into_iter().flatten().map(|(_, v)| v)) {
        let kind = repository["type"].as_str().unwrap_or_default();
        let url = repository["url"].as_str().unwrap_or_default();
        let local = kind == "path"
            || kind == "artifact"
            || (!url.is_empty() && !url.contains("://") && !url.contains('@'));
        if local {
            let message = format!("{path} has packages of the folder {url}");
            return Err(unsuited(
                message,
                format!("split `{}` by hand, with that folder", scan.install.command),
            ));
        }
    }
    Ok(())
}

// Plugins run in the install and may read or write anything.
fn read_plugins(scan: &Scan<'_>, path: &str, project: &Value, lock: Option<&str>) -> Result<(), Refusal> {
    if scan.install.options.iter().any(|o| o == "--no-plugins") {
        return Ok(());
    }
    let allowed = &project["config"]["allow-plugins"];
    let any_allowed = allowed.as_bool() == Some(true)
        || allowed.as_object().is_some_and(|o| o.values().any(|v| v.as_bool() == Some(true)));
    let Some(lock) = lock else {
        if any_allowed {
            return Err(unsuited(format!("{path} allows plugins"), "give the install --no-plugins"));
        }
        return Ok(());
    };
    let locked = scan.json(lock)?;
    for key in ["packages", "packages-dev"] {
        for package in locked[key].as_array().into_iter().flatten() {
            let kind = package["type"].as_str().unwrap_or_default();
            if kind == "composer-plugin" || kind == "composer-installer" {
                let name = package["name"].as_str().unwrap_or("a package");
                return Err(unsuited(
                    format!("{name} is a plugin of composer"),
                    "give the install --no-plugins",
                ));
            }
            if package["dist"]["type"].as_str() == Some("path") {
                return Err(unsuited(format!("{lock} has packages of a folder"), "split it by hand"));
            }
        }
    }
    Ok(())
}

fn read_config(scan: &Scan<'_>, path: &str, config: &Value) -> Result<(), Refusal> {
    for key in config.as_object().into_iter().flatten().map(|(key, _)| key) {
        if !scan.tool.settings.iter().any(|s| s == key) {
            let message =
                format!("{path} sets config.{key}, which may make the install read or write other files");
            return Err(unsuited(message, "split it by hand"));
        }
    }
    Ok(())
}
