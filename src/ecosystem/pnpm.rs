//! pnpm: `install` and `fetch`.

use serde_json::Value;

use super::npm::{read_npmrc, read_packages};
use super::scan::{Scan, unsuited};
use crate::pass::Refusal;

pub(super) fn read(scan: &mut Scan<'_>) -> Result<(), Refusal> {
    let lock = scan.add_files()?;
    let rc = read_npmrc(scan)?;
    for name in [".pnpmfile.cjs", ".pnpmfile.mjs"] {
        let path = scan.at(name);
        if scan.add_if(&path)? {
            let text = scan.text(&path)?;
            let local = [
                "require('.",
                "require(\".",
                "from '.",
                "from \".",
                "import '.",
                "import \".",
                "'fs'",
                "\"fs\"",
                ":fs",
            ];
            if local.iter().any(|l| text.contains(l)) {
                return Err(unsuited(format!("{path} loads other files"), "split it by hand"));
            }
        }
    }
    let workspace = scan.at("pnpm-workspace.yaml");
    let mut patterns = Vec::new();
    if scan.has(&workspace) {
        let settings = scan.yaml(&workspace)?;
        for (key, value) in settings.as_object().into_iter().flatten() {
            match key.as_str() {
                "packages" => {
                    patterns = value
                        .as_array()
                        .into_iter()
                        .flatten()
                        .filter_map(Value::as_str)
                        .map(String::from)
                        .collect();
                }
                "patchedDependencies" => {
                    for file in value.as_object().into_iter().flatten().filter_map(|(_, v)| v.as_str()) {
                        let path = scan.path(&scan.dir, file)?;
                        scan.add(&path)?;
                    }
                }
                "overrides"
                    if !value.to_string().contains("\"file:") && !value.to_string().contains("\"link:") => {}
                key if scan.tool.settings.iter().any(|s| s == key || *s == kebab(key)) => {}
                key => {
                    let message =
                        format!("{workspace} sets {key}, which may make the install read other files");
                    return Err(unsuited(message, "split it by hand"));
                }
            }
        }
    }
    let packages =
        read_packages(scan, &|_| Ok(patterns.clone()), rc.scriptless || scan.install.subcommand == "fetch")?;
    scan.settle_lock(lock.as_deref().filter(|_| !rc.lockless))?;
    let (command, proof) = (scan.install.command.clone(), packages.proof());
    scan.prove(&command, &proof);
    Ok(())
}

// `autoInstallPeers` is `auto-install-peers` of .npmrc.
fn kebab(key: &str) -> String {
    let mut out = String::new();
    for c in key.chars() {
        if c.is_ascii_uppercase() {
            out.push('-');
        }
        out.push(c.to_ascii_lowercase());
    }
    out
}
