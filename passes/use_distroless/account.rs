//! Users and owners of a stage, and what they are on a distroless image.

use super::Stage;
use crate::{
    edit::Span,
    facts::{covers, is_root},
    knowledge::Distroless,
    pass::{Input, Reason, Refusal},
    syntax::Keyword,
};

/// Who runs the image.
pub(super) struct User {
    /// The variant of the image.
    pub tag: &'static str,
    /// Whether the number of the user changes.
    pub changes: bool,
    pub says: String,
    /// Texts to replace: values of USER and --chown.
    pub edits: Vec<(Span, String)>,
}

const ROOT: &str = "latest";
const NONROOT: &str = "nonroot";

/// Ports below this one need root, or a setting of the host.
const FIRST_FREE_PORT: u32 = 1024;

/// `writes_beside`: it copies folders that it may write to.
pub(super) fn user(input: &Input, stage: &Stage, writes_beside: bool) -> Result<User, Refusal> {
    let distroless = input.knowledge.distroless();
    let end = input.facts.stage(stage.index).end.user.clone();
    let end = end.ok_or_else(|| unknown("the user that the image runs as is not known"))?;
    let (name, _) = parts(&end);
    let mut out = User { tag: NONROOT, changes: false, says: String::new(), edits: Vec::new() };
    if is_root(&end) {
        match root_is_needed(input, stage) {
            _ if has_user(input, stage) => {
                (out.tag, out.says) = (ROOT, "it keeps running as root, as USER says".to_owned())
            }
            Some(why) => (out.tag, out.says) = (ROOT, format!("it keeps running as root, for {why}")),
            None if writes_beside => {
                out.tag = ROOT;
                out.says =
                    "it keeps running as root, for it may write to the folders that are copied".to_owned();
            }
            None => {
                out.changes = true;
                let uid = distroless.variants.get(NONROOT).map_or("", |v| v.user.as_str());
                out.says = format!(
                    "it runs as user {uid} instead of root: it can write only to /tmp, to its home and to what is copied for it"
                );
            }
        }
    } else if is_there(distroless, name) || name.parse::<u32>().is_ok() {
        out.says = format!("it keeps running as {end}");
    } else {
        out.changes = true;
        if has_volumes(input, stage) {
            return Err(unknown(&format!(
                "volumes that exist belong to the user {name}, whose number would change"
            )));
        }
        out.says = format!("the user {name} becomes the image's own, nonroot");
    }
    owners(input, stage, name, &mut out)?;
    Ok(out)
}

fn unknown(message: &str) -> Refusal {
    Refusal::new(Reason::OwnerUnknown, message, "name the user by number")
}

/// Volumes whose files have the old owner; anybody may write to /tmp.
fn has_volumes(input: &Input, stage: &Stage) -> bool {
    let own = &input.facts.stage(stage.index).config.volumes;
    own.iter().any(|v| v != "/tmp") || services(input).any(|s| !s.volumes.is_empty())
}

fn has_user(input: &Input, stage: &Stage) -> bool {
    stage.body.clone().any(|i| input.file.instructions[i].keyword == Keyword::User)
}

pub(super) fn services<'a>(input: &'a Input) -> impl Iterator<Item = &'a crate::options::Service> {
    input.options.deployment.services.iter()
}

fn parts(spec: &str) -> (&str, Option<&str>) {
    spec.split_once(':').map_or((spec, None), |(u, g)| (u, Some(g)))
}

fn is_there(distroless: &Distroless, name: &str) -> bool {
    distroless.users.iter().any(|u| u.name == name)
}

/// Why it should stay root, told from the file and the repository.
fn root_is_needed(input: &Input, stage: &Stage) -> Option<String> {
    let config = &input.facts.stage(stage.index).config;
    let low = |port: &str| {
        port.split(['/', '-']).next().and_then(|p| p.parse::<u32>().ok()).is_none_or(|p| p < FIRST_FREE_PORT)
    };
    if let Some(port) = config.ports.iter().find(|p| low(p)) {
        return Some(format!("it listens on port {}", port.trim_end_matches("/tcp")));
    }
    let port = |(n, v): &&(String, String)| {
        n.contains("PORT") && v.parse::<u32>().is_ok_and(|p| p < FIRST_FREE_PORT)
    };
    if let Some((name, value)) = config.env.iter().find(port) {
        return Some(format!("{name} is {value}"));
    }
    if has_volumes(input, stage) {
        return Some("its volumes belong to root".to_owned());
    }
    let by_host = |s: &&crate::options::Service| !s.capabilities.is_empty() || !s.devices.is_empty();
    if let Some(service) = services(input).find(by_host) {
        return Some(format!("{} gives it capabilities or devices", service.by));
    }
    if let Some(service) = services(input).find(|s| s.privileged || s.user.as_deref().is_some_and(is_root)) {
        return Some(format!("{} runs it so", service.by));
    }
    let copied = |path: &str| stage.destinations.iter().any(|d| d != "/" && covers(d, path) || d == path);
    let strange = |text: &str| {
        let path = text.rsplit_once('=').map_or(text, |(_, p)| p);
        let path = path
            .strip_prefix("file:")
            .or_else(|| path.split_once("://").map(|(_, p)| p).filter(|_| path.contains("sqlite")))
            .unwrap_or(path);
        path.starts_with('/')
            && !copied(path)
            && !["/tmp", "/usr/share/zoneinfo", "/etc/ssl"].iter().any(|d| covers(d, path))
    };
    if let Some(arg) = stage.argv.iter().skip(1).find(|a| strange(a)) {
        return Some(format!("it is told of {arg}, which may be written"));
    }
    let lists = |n: &str| n == "PATH" || n == "HOME" || n.ends_with("_PATH") && n.starts_with("LD_");
    if let Some((name, value)) =
        config.env.iter().find(|(n, v)| !lists(n) && v.split([' ', ',', ';']).any(strange))
    {
        return Some(format!("{name} is {value}, which may be written"));
    }
    let root = |p: &str| covers("/root", p);
    if stage.destinations.iter().any(|d| root(d)) || config.workdir.as_deref().is_some_and(root) {
        return Some("it has files in /root".to_owned());
    }
    None
}

/// Names in USER and --chown that would not exist.
fn owners(input: &Input, stage: &Stage, runs_as: &str, out: &mut User) -> Result<(), Refusal> {
    for at in stage.body.clone() {
        let ins = &input.file.instructions[at];
        match ins.keyword {
            Keyword::User => {
                if let (Some(new), Some(arg)) =
                    (owner(input, at, ins.first(), runs_as, out.changes)?, ins.args().first())
                {
                    out.edits.push((arg.span, new));
                }
            }
            Keyword::Copy | Keyword::Add => {
                let Some(flag) = ins.flag("chown") else { continue };
                let spec = flag.value.as_deref().unwrap_or_default();
                if let Some(new) = owner(input, at, spec, runs_as, out.changes)? {
                    out.edits.push((flag.span, format!("--chown={new}")));
                }
            }
            _ => {}
        }
    }
    Ok(())
}

/// What to write for the owner `spec`; None: it can stay.
fn owner(
    input: &Input,
    at: usize,
    spec: &str,
    runs_as: &str,
    changes: bool,
) -> Result<Option<String>, Refusal> {
    let distroless = input.knowledge.distroless();
    let state = input.facts.before(at);
    let expanded = state
        .and_then(|s| s.expand(spec, input.file.escape))
        .ok_or_else(|| unknown(&format!("{spec} has no known value")))?;
    let (user, group) = parts(&expanded.text);
    let group_there = |g: &str| {
        g.parse::<u32>().is_ok()
            || distroless.groups.iter().any(|x| x.name == g)
            || distroless.users.iter().any(|u| u.group.as_deref() == Some(g))
    };
    let user_there = user.parse::<u32>().is_ok() || is_there(distroless, user);
    if user_there && group.is_none_or(group_there) {
        return Ok(None);
    }
    if expanded.by_argument {
        return Err(unknown(&format!("{spec} can change from outside")));
    }
    let nonroot = distroless.users.iter().find(|u| u.name == "nonroot").and_then(|u| u.uid.zip(u.gid));
    let (uid, gid) = nonroot.ok_or_else(|| unknown("the images have no user nonroot"))?;
    if user == runs_as && changes && !user_there {
        let root = matches!(group, Some("root" | "0"));
        return Ok(Some(if root { format!("{uid}:0") } else { format!("{uid}:{gid}") }));
    }
    // another one: by its number, if that is known
    let accounts = state.map(|s| s.accounts.clone()).unwrap_or_default();
    let number = |owner| match owner {
        Some(crate::facts::Owner::Number(n)) => Some(n),
        _ => None,
    };
    let uid = number(accounts.user_id(user));
    let gid = match group {
        Some(group) => number(accounts.group_id(group)),
        None => accounts.user(user).and_then(|m| number(m.group.clone())),
    };
    match uid.zip(gid) {
        Some((uid, gid)) => Ok(Some(format!("{uid}:{gid}"))),
        None => {
            Err(unknown(&format!("there is no {} in the image, and its number is not known", expanded.text)))
        }
    }
}
