//! Yarn, 1 and later: which of both is told by the project's files.

use super::npm::{Packages, read_npmrc, read_packages, workspaces_of};
use super::scan::{Scan, unsuited};
use crate::context::FileKind;
use crate::pass::{Reason, Refusal};

pub(super) fn read(scan: &mut Scan<'_>) -> Result<(), Refusal> {
    scan.require_dir()?;
    if is_berry(scan)? { read_berry(scan) } else { read_classic(scan) }
}

fn is_berry(scan: &Scan<'_>) -> Result<bool, Refusal> {
    if scan.has(&scan.at(".yarnrc.yml")) {
        return Ok(true);
    }
    let package = scan.json(&scan.at("package.json"))?;
    if let Some(version) = package["packageManager"].as_str().and_then(|p| p.strip_prefix("yarn@")) {
        return Ok(!version.starts_with("1.") && !version.starts_with("0."));
    }
    let lock = scan.at("yarn.lock");
    Ok(scan.has(&lock) && scan.text(&lock)?.contains("\n__metadata:"))
}

fn read_classic(scan: &mut Scan<'_>) -> Result<(), Refusal> {
    let lock = scan.add_files()?;
    let rc = read_npmrc(scan)?;
    let yarnrc = scan.at(".yarnrc");
    let mut scriptless = rc.scriptless;
    if scan.has(&yarnrc) {
        for line in
            scan.text(&yarnrc)?.lines().map(str::trim).filter(|l| !l.is_empty() && !l.starts_with('#'))
        {
            let (key, value) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
            let (key, value) = (key.trim_matches('"'), value.trim().trim_matches('"'));
            match key {
                "yarn-offline-mirror" | "yarn-path" => {
                    let path = scan.path(&scan.dir, value)?;
                    scan.add(&path)?;
                }
                "--ignore-scripts" | "ignore-scripts" => scriptless |= value == "true",
                "--frozen-lockfile" | "--install.frozen-lockfile" => scan.locked |= value == "true",
                _ if plain_setting(scan, key) && !value.starts_with('.') => {}
                _ => {
                    let message = format!("{yarnrc} sets {key}, which may make the install read other files");
                    return Err(unsuited(message, format!("remove {key} from {yarnrc}")));
                }
            }
        }
    }
    let packages = read_packages(scan, &workspaces_of, scriptless)?;
    settle(scan, lock.as_deref(), &packages)
}

fn read_berry(scan: &mut Scan<'_>) -> Result<(), Refusal> {
    let lock = scan.add_files()?;
    let rc = scan.at(".yarnrc.yml");
    let mut linker = "pnp".to_string();
    if scan.has(&rc) {
        scan.add(&rc)?;
        let settings = scan.yaml(&rc)?;
        if let Some(set) = settings["nodeLinker"].as_str() {
            linker = set.to_string();
        }
        for (key, value) in settings.as_object().into_iter().flatten() {
            match (key.as_str(), value) {
                ("yarnPath", value) => {
                    if let Some(path) = value.as_str() {
                        let path = scan.path(&scan.dir, path)?;
                        scan.add(&path)?;
                    }
                }
                ("plugins", value) => {
                    for plugin in value.as_array().into_iter().flatten() {
                        let Some(path) = plugin["path"].as_str().or(plugin.as_str()) else { continue };
                        let path = scan.path(&scan.dir, path)?;
                        scan.add(&path)?;
                    }
                }
                ("cacheFolder" | "globalFolder" | "lockfileFilename" | "installStatePath", _) => {
                    let message = format!("{rc} sets {key}");
                    return Err(unsuited(message, format!("remove {key} from {rc}")));
                }
                (key, _) if plain_setting(scan, key) => {}
                (key, _) => {
                    let message = format!("{rc} sets {key}, which may make the install read other files");
                    return Err(unsuited(message, format!("remove {key} from {rc}")));
                }
            }
        }
    }
    let cache = scan.at(".yarn/cache");
    if scan.context.entry(&cache).is_some_and(|e| e.kind == FileKind::Dir) {
        let message = format!("{cache} holds every dependency already: the install is cheap where it stands");
        return Err(Refusal::new(Reason::NoGain, message, "nothing to do"));
    }
    let pnp = [".pnp.cjs", ".pnp.js", ".pnp.loader.mjs"].map(|name| scan.at(name));
    if let Some(path) = pnp.iter().find(|p| scan.has(p)) {
        let message = format!("the install writes {path}, which the build context carries");
        return Err(Refusal::new(Reason::InstallOverlaid, message, format!("add {path} to .dockerignore")));
    }
    let constraints = scan.at("yarn.config.cjs");
    if scan.has(&constraints) {
        let text = scan.text(&constraints)?;
        if text.contains("require('.") || text.contains("require(\".") {
            return Err(unsuited(format!("{constraints} loads other files"), "split it by hand"));
        }
        scan.add(&constraints)?;
    }
    scan.add_if(&scan.at(".yarn/patches"))?;
    let packages = read_packages(scan, &workspaces_of, false)?;
    // plug'n'play is the linker unless another is set
    let pnp = [".pnp.cjs", ".pnp.loader.mjs", ".yarn/unplugged"];
    for name in pnp.iter().filter(|_| linker == "pnp").chain(&[".yarn/cache", ".yarn/install-state.gz"]) {
        scan.guard_path(scan.at(name), false);
    }
    settle(scan, lock.as_deref(), &packages)
}

fn plain_setting(scan: &Scan<'_>, key: &str) -> bool {
    let bare = key.rsplit_once(':').map_or(key, |(_, name)| name);
    scan.tool.settings.iter().any(|s| s == key || s == bare)
}

fn settle(scan: &mut Scan<'_>, lock: Option<&str>, packages: &Packages) -> Result<(), Refusal> {
    scan.settle_lock(lock)?;
    let (command, proof) = (scan.install.command.clone(), packages.proof());
    scan.prove(&command, &proof);
    Ok(())
}
