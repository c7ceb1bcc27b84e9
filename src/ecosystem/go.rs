//! Go modules: `go.mod` and `go.work`.

use super::scan::{Scan, folder, join, unsuited};
use super::{Install, Recognized};
use crate::pass::{Reason, Refusal};

/// `go install path@version` builds another module, whatever lies in the folder.
pub(super) fn recognize(install: Install) -> Recognized {
    if install.operands.iter().any(|word| word.contains('@')) {
        return Recognized::None;
    }
    let modules = install.parsed.iter().find(|(name, ..)| name == "-mod").and_then(|(_, _, v)| v.as_deref());
    match modules {
        None | Some("readonly") => Recognized::Install(install),
        // `vendor` needs no module, `mod` changes go.mod
        Some(value) => {
            let message =
                format!("-mod={value} of `{}` takes or changes more than go.mod says", install.command);
            Recognized::Refused(unsuited(message, "build with -mod=readonly, which is the default"))
        }
    }
}

pub(super) fn read(scan: &mut Scan<'_>) -> Result<(), Refusal> {
    scan.require_dir()?;
    let root = nearest(scan, "go.mod");
    let work = if scan.place.env.get("GOWORK").is_some_and(|v| v == "off") {
        None
    } else {
        nearest(scan, "go.work")
    };
    let command = scan.install.command.clone();
    let mut required = false;
    let proof = match (&work, &root) {
        (Some(work), _) => {
            let (n, some) = read_work(scan, work)?;
            required |= some;
            format!("all {n} modules of go.work are among them")
        }
        (None, Some(root)) => {
            required |= read_module(scan, root, false)?;
            "every local replacement's go.mod is among them, and there is no go.work".to_string()
        }
        (None, None) => return Err(scan.absent(&scan.at("go.mod"))),
    };
    let base = work.or(root).unwrap_or_default();
    let vendor = join(&base, "vendor/modules.txt");
    if scan.has(&vendor) {
        let message =
            format!("{vendor} has the build use the vendor folder, so there is nothing to download");
        return Err(Refusal::new(Reason::NoGain, message, "nothing to do"));
    }
    if !required {
        let message = "go.mod requires no module, so there is nothing to download";
        return Err(Refusal::new(Reason::NoGain, message, "nothing to do"));
    }
    let early = scan.tool.commands.get(&scan.install.subcommand).and_then(|c| c.early.clone());
    let run = early.clone().unwrap_or(command);
    if early.is_some() {
        scan.needs.evidence.push(format!("`{}` stays after the broad COPY, as it is", scan.install.command));
    }
    scan.needs.early = early;
    scan.needs.evidence.push(format!("`{run}` writes the module cache, outside of the build context"));
    scan.prove(&run, &proof);
    Ok(())
}

// The folder, from the project's upward to what the COPY brings, that holds `name`.
fn nearest(scan: &Scan<'_>, name: &str) -> Option<String> {
    let mut dir = scan.dir.clone();
    loop {
        if scan.has(&join(&dir, name)) {
            return Some(dir);
        }
        if dir == scan.place.source || dir.is_empty() {
            return None;
        }
        dir = folder(&dir).to_string();
    }
}

// Adds a module's files; whether it requires any other.
fn read_module(scan: &mut Scan<'_>, dir: &str, in_work: bool) -> Result<bool, Refusal> {
    let path = join(dir, "go.mod");
    scan.add(&path)?;
    let module = parse(&path, &scan.text(&path)?)?;
    let required = module.iter().any(|d| d[0] == "require");
    let sum = join(dir, "go.sum");
    let has_sum = scan.add_if(&sum)?;
    // The modules of a workspace may have their sums in go.work.sum.
    if required && !has_sum && !in_work {
        return Err(scan.lock_missing());
    }
    for line in module.iter().filter(|d| d[0] == "replace") {
        read_replacement(scan, dir, &path, line)?;
    }
    Ok(required)
}

fn read_replacement(scan: &mut Scan<'_>, dir: &str, path: &str, line: &[String]) -> Result<(), Refusal> {
    let Some(target) = line.iter().position(|w| w == "=>").and_then(|at| line.get(at + 1)) else {
        return Err(unsuited(format!("{path}: `{}` is not understood", line.join(" ")), "split it by hand"));
    };
    let local = target.starts_with("./")
        || target.starts_with("../")
        || target.starts_with('/')
        || target == "."
        || target == "..";
    if !local {
        return Ok(());
    }
    let folder = scan.path(dir, target).map_err(|_| {
        unsuited(
            format!("{path} replaces {} by {target}, outside of what the COPY brings", line[1]),
            "widen the context",
        )
    })?;
    let replaced = join(&folder, "go.mod");
    scan.add(&replaced)?;
    // It must be readable as it is now; its own replacements do not count.
    parse(&replaced, &scan.text(&replaced)?)?;
    scan.add_if(&join(&folder, "go.sum"))?;
    Ok(())
}

fn read_work(scan: &mut Scan<'_>, dir: &str) -> Result<(usize, bool), Refusal> {
    let path = join(dir, "go.work");
    scan.add(&path)?;
    let sum = join(dir, "go.work.sum");
    scan.add_if(&sum)?;
    let work = parse(&path, &scan.text(&path)?)?;
    let mut count = 0;
    let mut required = false;
    for line in &work {
        match line[0].as_str() {
            "use" => {
                let Some(target) = line.get(1) else { continue };
                let module = scan.path(dir, target)?;
                required |= read_module(scan, &module, true)?;
                count += 1;
            }
            "replace" => read_replacement(scan, dir, &path, line)?,
            _ => {}
        }
    }
    Ok((count, required))
}

// The directives of a go.mod or go.work, blocks unrolled: each line's words, the directive first (go.dev/ref/mod).
fn parse(path: &str, text: &str) -> Result<Vec<Vec<String>>, Refusal> {
    let known = [
        "module",
        "go",
        "toolchain",
        "godebug",
        "require",
        "exclude",
        "replace",
        "retract",
        "tool",
        "ignore",
        "use",
    ];
    let mut out = Vec::new();
    let mut block: Option<String> = None;
    let refuse =
        |line: &str| unsuited(format!("{path}: `{}` is not understood", line.trim()), "split it by hand");
    for line in text.lines() {
        let words = words(line).ok_or_else(|| refuse(line))?;
        match (words.as_slice(), &block) {
            ([], _) => {}
            ([close], Some(_)) if close == ")" => block = None,
            (words, Some(verb)) => {
                out.push(std::iter::once(verb.clone()).chain(words.iter().cloned()).collect());
            }
            ([verb, open], None) if open == "(" && known.contains(&verb.as_str()) => {
                block = Some(verb.clone())
            }
            ([verb, open, close], None) if open == "(" && close == ")" && known.contains(&verb.as_str()) => {}
            ([verb, ..], None) if known.contains(&verb.as_str()) => out.push(words),
            _ => return Err(refuse(line)),
        }
    }
    if block.is_some() { Err(refuse("a block without its end")) } else { Ok(out) }
}

fn words(line: &str) -> Option<Vec<String>> {
    let mut out = Vec::new();
    let mut rest = line.trim_start();
    while !rest.is_empty() && !rest.starts_with("//") {
        let quote = rest.chars().next().filter(|c| matches!(c, '"' | '`'));
        if let Some(quote) = quote {
            let end = rest[1..].find(quote)? + 1;
            let word = &rest[1..end];
            if word.contains('\\') {
                return None;
            }
            out.push(word.to_string());
            rest = rest[end + 1..].trim_start();
            continue;
        }
        if rest.starts_with(['(', ')']) {
            out.push(rest[..1].to_string());
            rest = rest[1..].trim_start();
            continue;
        }
        let end = rest.find(|c: char| c.is_whitespace() || c == '(' || c == ')').unwrap_or(rest.len());
        let end = rest[..end].find("//").filter(|at| *at > 0 && !rest[..end].contains("://")).unwrap_or(end);
        out.push(rest[..end].to_string());
        rest = rest[end..].trim_start();
    }
    Some(out)
}
