//! Mix: `mix deps.get` runs mix.exs and the configuration.

use super::scan::{Scan, unsuited};
use crate::pass::Refusal;

pub(super) fn read(scan: &mut Scan<'_>) -> Result<(), Refusal> {
    let lock = scan.add_files()?;
    let path = scan.at("mix.exs");
    let text = scan.text(&path)?;
    let code: String = text.lines().map(|l| l.split(" #").next().unwrap_or(l)).collect::<Vec<_>>().join("\n");
    let local = [
        "path:",
        "in_umbrella",
        "apps_path",
        "File.",
        "Code.",
        "Path.",
        "System.cmd",
        "System.shell",
        "__DIR__",
        ":os.cmd",
        "import_",
        "Config.Reader",
    ];
    if let Some(word) = local.iter().find(|w| code.contains(*w)) {
        let message = format!("{path} uses `{word}`, which may read other files");
        return Err(unsuited(message, "split it by hand, with what it reads"));
    }
    let dir = scan.dir.clone();
    scan.guard(&dir);
    scan.settle_lock(lock.as_deref())?;
    let command = scan.install.command.clone();
    scan.prove(&command, "no path dependency, no umbrella");
    Ok(())
}
