//! Bundler: a Gemfile is Ruby; the lines that Gemfiles have are known, others are refused.

use super::Takes;
use super::scan::{Scan, join, unsuited};
use crate::pass::Refusal;

pub(super) fn read(scan: &mut Scan<'_>) -> Result<(), Refusal> {
    let gemfile =
        scan.install.parsed.iter().find(|(name, ..)| name == "--gemfile").and_then(|(_, _, v)| v.clone());
    if let Some(file) = gemfile {
        let path = scan.operand(&file)?;
        let Some(dir) = path.strip_suffix("Gemfile").map(|d| d.trim_end_matches('/').to_string()) else {
            return Err(unsuited(format!("{path} is not named Gemfile"), "name it Gemfile"));
        };
        scan.move_to(dir);
    }
    let lock = scan.add_files()?;
    let path = scan.at("Gemfile");
    read_gemfile(scan, &path)?;
    guard(scan)?;
    let config = scan.at(".bundle/config");
    if scan.has(&config) {
        let text = scan.text(&config)?;
        if text.contains("BUNDLE_GEMFILE") || text.contains("BUNDLE_LOCAL__") {
            return Err(unsuited(format!("{config} names other files"), format!("remove {config}")));
        }
        if text
            .lines()
            .any(|l| l.starts_with("BUNDLE_FROZEN: \"true\"") || l.starts_with("BUNDLE_DEPLOYMENT: \"true\""))
        {
            scan.locked = true;
        }
    }
    match lock {
        Some(lock) => read_lock(scan, &lock)?,
        None => scan.settle_lock(None)?,
    }
    let command = scan.install.command.clone();
    scan.prove(&command, "no gemspec, no path: gem, no eval_gemfile");
    Ok(())
}

// Gems go to the system's folder unless a setting names another (ruby/rubygems#9698: also in Bundler 4), and settings to the
// folder of BUNDLE_APP_CONFIG. Where an image sets both, as the official ones do, nothing is written in the project's folder.
fn guard(scan: &mut Scan<'_>) -> Result<(), Refusal> {
    let set = |name: &str| scan.place.env.get(name).is_some_and(|v| !v.is_empty());
    let apart = |name: &str| {
        scan.place.env.get(name).is_some_and(|v| v.starts_with('/') && scan.place.locate(v).is_none())
    };
    let own_path = scan.install.has(Takes::Locks)
        || scan.install.has(Takes::Writes)
        || set("BUNDLE_DEPLOYMENT")
        || set("BUNDLE_PATH");
    if apart("BUNDLE_APP_CONFIG") {
        // the settings of the project's folder are not read then
        let config = scan.at(".bundle/config");
        scan.needs.files.retain(|f| *f != config);
        if apart("GEM_HOME") && !own_path {
            let why = "Bundler writes to GEM_HOME and BUNDLE_APP_CONFIG, outside of what the COPY brings";
            scan.needs.evidence.push(why.to_string());
            return Ok(());
        }
    }
    let dir = scan.dir.clone();
    scan.guard(&dir);
    Ok(())
}

// A lock file that has the image's platform is followed as it is; without it Bundler adds it (rubygems/rubygems
// `bundler/lib/bundler/definition.rb`, add_current_platform).
fn read_lock(scan: &mut Scan<'_>, lock: &str) -> Result<(), Refusal> {
    let text = scan.text(lock)?;
    let mut section = "";
    let mut fits = false;
    for line in text.lines() {
        if !line.starts_with(' ') {
            section = line.trim();
        }
        match section {
            "PATH" => {
                return Err(unsuited(
                    format!("{lock} has gems of a path"),
                    "split it by hand, with that path",
                ));
            }
            "PLATFORMS" => fits |= line.trim() == "ruby" || line.contains("-linux"),
            _ => {}
        }
    }
    if fits && !scan.install.has(Takes::Unlocks) {
        let command = scan.install.command.clone();
        scan.needs.evidence.push(format!("`{command}` follows {lock}, which has a platform of the image"));
        return Ok(());
    }
    scan.settle_lock(Some(lock))
}

fn read_gemfile(scan: &mut Scan<'_>, path: &str) -> Result<(), Refusal> {
    let text = scan.text(path)?;
    let mut lines = text.lines().enumerate();
    while let Some((at, line)) = lines.next() {
        let mut line = strip_comment(line);
        // An argument list goes on behind a comma.
        while line.ends_with([',', '\\', '(', '[', '{']) || line.ends_with("=>") {
            match lines.next() {
                Some((_, more)) => {
                    let more = strip_comment(more);
                    if more.is_empty() && !line.ends_with(',') {
                        break;
                    }
                    line = format!("{} {more}", line.trim_end_matches('\\'));
                }
                None => break,
            }
        }
        if line.is_empty() {
            continue;
        }
        let refuse = |why: &str| {
            unsuited(format!("{path}:{}: `{line}` {why}", at + 1), "split it by hand, with what it reads")
        };
        let word = line.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).next().unwrap_or_default();
        let ruby_file = word == "ruby" && (line.contains("file:") || line.contains("File.read"));
        if ruby_file {
            let Some(name) = line.split(['"', '\'']).nth(1) else { return Err(refuse("is not understood")) };
            let name = scan.path(&scan.dir, name)?;
            scan.add(&name)?;
            continue;
        }
        let local = [
            "path:",
            ":path",
            "\"path\"",
            "'path'",
            "File.",
            "Dir.",
            "Dir[",
            "IO.",
            "require_relative",
            "require(",
            "__dir__",
            "__FILE__",
            "eval",
            "load",
            "`",
            "%x",
            "system",
            "instance_",
            "send",
        ];
        let bare = unquoted(&line);
        match word {
            "source" | "gem" | "group" | "platforms" | "platform" | "ruby" | "git" | "github"
            | "git_source" | "install_if" | "puts" | "warn" | "end" | "else" | "elsif" | "if" | "unless"
            | "plugin"
                if !local.iter().any(|l| bare.contains(l)) && word != "plugin" => {}
            "frozen_string_literal" => {}
            // The body of a multi-line git_source block: a string, or a name with one.
            "" if line.starts_with('"') || line.starts_with('}') || line.starts_with(')') => {}
            "repo_name" | "repo" if line.contains("github.com") || line.contains("include?") => {}
            "gemspec" => return Err(refuse("reads the gem's own files")),
            "eval_gemfile" => return Err(refuse("reads another file")),
            "path" => return Err(refuse("has gems of a path")),
            _ if local.iter().any(|l| bare.contains(l)) => return Err(refuse("reads other files")),
            _ => return Err(refuse("is not understood")),
        }
    }
    let version = join(&scan.dir, ".ruby-version");
    scan.add_if(&version)?;
    Ok(())
}

// The line without its comment, trimmed.
fn strip_comment(line: &str) -> String {
    let mut quote = None;
    for (at, c) in line.char_indices() {
        match (quote, c) {
            (None, '\'' | '"') => quote = Some(c),
            (Some(q), c) if q == c => quote = None,
            (None, '#') => return line[..at].trim().to_string(),
            _ => {}
        }
    }
    line.trim().to_string()
}

// The line with the insides of its strings gone, but for what is run there.
fn unquoted(line: &str) -> String {
    let mut out = String::new();
    let mut quote = None;
    let mut depth = 0;
    let mut last = ' ';
    for c in line.chars() {
        match (quote, c) {
            (None, '\'' | '"') => quote = Some(c),
            (Some('"'), '{') if last == '#' => depth += 1,
            (Some('"'), '}') if depth > 0 => depth -= 1,
            (Some(q), c) if q == c && depth == 0 => quote = None,
            (Some(_), _) if depth == 0 => {}
            _ => out.push(c),
        }
        last = c;
    }
    out
}
