//! The user that the image is to run as.

use super::Found;
use crate::{
    facts::{Member, Owner},
    pass::{Input, Reason, Refusal},
};

/// The user that the image is to run as.
pub(super) struct Account {
    /// For USER.
    pub spec: String,
    /// For chown.
    pub owner: String,
    /// Commands that make it; none if it exists.
    pub commands: Vec<String>,
    pub evidence: String,
}

/// The user to run as: that of the file, that of the base, or a new one.
pub(super) fn account(
    input: &Input,
    stage: usize,
    found: &Found,
    back: Option<String>,
) -> Result<Account, Refusal> {
    let facts = input.facts.stage(stage);
    let accounts = &facts.end.accounts;
    let base = facts.image.as_ref().map_or("scratch", |i| i.name.as_str());
    if let Some(spec) = back {
        let (user, group) = spec.split_once(':').map_or((spec.as_str(), None), |(u, g)| (u, Some(g)));
        if accounts.user_id(user).is_none() || group.is_some_and(|g| accounts.group_id(g).is_none()) {
            return Err(Refusal::new(
                Reason::OwnerUnknown,
                format!("`{spec}`, the user from before root was asked for, is not known to exist"),
                "set USER by hand at the end",
            ));
        }
        let owner = spec.clone();
        let evidence = format!("`{spec}` is the user from before root was asked for");
        return Ok(Account { spec, owner, commands: Vec::new(), evidence });
    }
    let unprivileged = |u: &&Member| u.id != Some(0) && u.name != "root";
    let made: Vec<&Member> =
        accounts.users.iter().filter(unprivileged).filter(|u| u.made_at.is_some()).collect();
    if made.len() > 1 {
        return Err(Refusal::new(
            Reason::Conflict,
            format!("the file makes {} users, and does not say which one is to run", made.len()),
            "set USER to one of them",
        ));
    }
    let of_base = || {
        accounts
            .users
            .iter()
            .filter(unprivileged)
            .find(|u| input.knowledge.signals().is_application_user(&u.name))
    };
    if let Some(user) = made.first().copied().or_else(of_base) {
        return existing(input, stage, found, user, base);
    }
    if accounts.user("root").is_none() && !facts.from_scratch {
        return Err(Refusal::new(
            Reason::OwnerUnknown,
            "a RUN or COPY changes /etc/passwd in a way that is not understood",
            "set USER to a user that exists",
        ));
    }
    create(input, stage, found, base)
}

fn existing(
    input: &Input,
    stage: usize,
    found: &Found,
    user: &Member,
    base: &str,
) -> Result<Account, Refusal> {
    let accounts = &input.facts.stage(stage).end.accounts;
    let name = &user.name;
    if let Some(program) = &found.home
        && !has_home(input, user)
    {
        return Err(Refusal::new(
            Reason::OwnerUnknown,
            format!("`{program}` writes below its user's home, and `{name}` has none that is known"),
            "make the user with a home",
        ));
    }
    let group = match &user.group {
        Some(Owner::Number(n)) => Some(n.to_string()),
        Some(Owner::Name(g)) => {
            accounts.group(g).map(|g| g.id.map_or_else(|| g.name.clone(), |n| n.to_string()))
        }
        None => None,
    };
    let tools = input.facts.stage(stage).image.as_ref().and_then(|i| i.user_tools.as_ref());
    let spec = match (user.id, group) {
        // without a shell there is nobody to read a name
        (Some(uid), Some(gid)) if tools.is_some_and(Vec::is_empty) => format!("{uid}:{gid}"),
        (Some(uid), _) if found.by_number => uid.to_string(),
        _ => name.clone(),
    };
    let owner = if accounts.group(name).is_some() { format!("{name}:{name}") } else { name.clone() };
    let number = user.id.map_or(String::new(), |n| format!(" (uid {n})"));
    let evidence = match user.made_at {
        Some(at) => format!("line {} makes `{name}`{number}", input.file.instructions[at].lines.0),
        None => format!("{base} has the user `{name}`{number}"),
    };
    Ok(Account { spec, owner, commands: Vec::new(), evidence })
}

/// Whether a user has a home folder: those that images define for programs do; useradd makes one only with -m.
fn has_home(input: &Input, user: &Member) -> bool {
    let Some(at) = user.made_at else { return user.home.as_deref() != Some("/nonexistent") };
    let text = String::from_utf8_lossy(&input.file.instructions[at].rest().text).into_owned();
    let has = |options: &[&str]| text.split_whitespace().any(|w| options.contains(&w));
    if text.contains("useradd") {
        has(&["-m", "--create-home", "-rm", "-ms", "-mr"])
    } else {
        !has(&["-H", "--no-create-home", "-SH", "-DH"])
    }
}

fn create(input: &Input, stage: usize, found: &Found, base: &str) -> Result<Account, Refusal> {
    let facts = input.facts.stage(stage);
    let accounts = &facts.end.accounts;
    let settings = &input.options.settings["add-user"];
    let name = settings["name"].as_str().unwrap_or("app");
    let given = settings["uid"].as_u64().and_then(|n| u32::try_from(n).ok()).filter(|n| *n > 0);
    let uid = given.unwrap_or(10_001);
    let image = facts.image.as_ref();
    let way = image.and_then(|i| input.knowledge.user_creation(i.family, i.user_tools.as_deref()));
    let Some(way) = way else {
        if let Some(program) = &found.home {
            return Err(Refusal::new(
                Reason::OwnerUnknown,
                format!("`{program}` writes below its user's home, and how {base} makes users is not known"),
                "make a user with a home",
            ));
        }
        // 65532 is what images without a shell have agreed on
        let uid = given.unwrap_or(if facts.from_scratch { 65_532 } else { uid });
        let spec = format!("{uid}:{uid}");
        let none =
            facts.from_scratch || image.is_some_and(|i| i.user_tools.as_ref().is_some_and(Vec::is_empty));
        let why = if none {
            "has no command that makes users"
        } else {
            "is not known to have a command that makes users"
        };
        let evidence = format!("{base} {why}: the user is a number alone");
        return Ok(Account { owner: spec.clone(), spec, commands: Vec::new(), evidence });
    };
    let taken = accounts.user(name).is_some() || accounts.group(name).is_some();
    let number = accounts.users.iter().chain(&accounts.groups).find(|m| m.id == Some(uid));
    if taken || number.is_some() {
        let what = number.map_or_else(|| format!("`{name}`"), |m| format!("{uid} (`{}`)", m.name));
        return Err(Refusal::new(
            Reason::Conflict,
            format!("there is a user or group {what} already"),
            "set `uid` and `name` of add-user",
        ));
    }
    let commands = way.commands(name, uid, uid, found.home.is_some());
    let why = found.home.as_ref().map_or(String::new(), |p| format!(", with a home, which `{p}` writes to"));
    let evidence = format!("{base} has {}, which make a user without a login{why}", way.tools.join(" and "));
    Ok(Account { spec: uid.to_string(), owner: format!("{name}:{name}"), commands, evidence })
}
