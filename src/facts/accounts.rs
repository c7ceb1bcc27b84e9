//! Users and groups that are known to exist, and where they were made.

use super::{Facts, State, contains};
use crate::{
    knowledge::Image,
    shell::{Script, Simple},
    syntax::{Instruction, Keyword},
};

/// A user or group number, or a name whose number is not known.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Owner {
    Number(u32),
    Name(String),
}

/// A user or a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    pub name: String,
    pub id: Option<u32>,
    /// Of a user, its primary group.
    pub group: Option<Owner>,
    pub home: Option<String>,
    /// The instruction that makes it; none if the base image has it.
    pub made_at: Option<usize>,
}

/// What is known of `/etc/passwd` and `/etc/group`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Accounts {
    pub users: Vec<Member>,
    pub groups: Vec<Member>,
    /// Whether there are no others.
    pub complete: bool,
}

impl Accounts {
    pub(super) fn of_base(image: &Image) -> Accounts {
        let mut accounts = Accounts { complete: false, ..Accounts::default() };
        let member =
            |name: &str, id, group, home| Member { name: name.to_owned(), id, group, home, made_at: None };
        for g in &image.groups {
            accounts.groups.push(member(&g.name, Some(g.gid), None, None));
        }
        for u in &image.users {
            let group = u.gid.map(Owner::Number).or_else(|| u.group.clone().map(Owner::Name));
            if let Some(name) = &u.group
                && accounts.group(name).is_none()
            {
                accounts.groups.push(member(name, u.gid, None, None));
            }
            accounts.users.push(member(&u.name, u.uid, group, u.home.clone()));
        }
        if !image.is_windows() {
            if accounts.user("root").is_none() {
                accounts.users.push(member("root", Some(0), Some(Owner::Number(0)), Some("/root".into())));
            }
            if accounts.group("root").is_none() {
                accounts.groups.push(member("root", Some(0), None, None));
            }
        }
        accounts
    }

    /// The user of that name.
    #[must_use]
    pub fn user(&self, name: &str) -> Option<&Member> {
        self.users.iter().rev().find(|u| u.name == name)
    }

    /// The group of that name.
    #[must_use]
    pub fn group(&self, name: &str) -> Option<&Member> {
        self.groups.iter().rev().find(|g| g.name == name)
    }

    /// The number of a user or the name if that is all that is known. None: it may not exist.
    #[must_use]
    pub fn user_id(&self, text: &str) -> Option<Owner> {
        id(text, || self.user(text))
    }

    /// The same of a group.
    #[must_use]
    pub fn group_id(&self, text: &str) -> Option<Owner> {
        id(text, || self.group(text))
    }

    /// Something may have changed the files.
    pub(super) fn forget(&mut self) {
        *self = Accounts::default();
    }
}

fn id<'a>(text: &str, find: impl FnOnce() -> Option<&'a Member>) -> Option<Owner> {
    if let Ok(n) = text.parse::<u32>() {
        return Some(Owner::Number(n));
    }
    find().map(|m| m.id.map_or_else(|| Owner::Name(text.to_owned()), Owner::Number))
}

/// Whether a COPY or ADD may put something in the place of `/etc/passwd` or `/etc/group`: it goes there, or what looks like the tree of
/// a system, or is an archive, goes above.
pub(super) fn may_be_copied_over(ins: &Instruction, state: &State, escape: u8) -> bool {
    const TREES: [&str; 8] = ["", ".", "etc", "files", "fs", "overlay", "root", "rootfs"];
    let Some((last, sources)) = ins.args().split_last() else { return false };
    let Some(dst) = state.absolute(&last.value, escape) else { return true };
    let name = |source: &str| source.rsplit('/').next().unwrap_or_default().to_owned();
    let is_file = |source: &str| name(source).rfind('.').is_some_and(|i| i > 0 && i + 1 < name(source).len());
    let is_tree = |source: &str| TREES.contains(&&*name(source)) || source.contains('*');
    match dst.text.as_str() {
        "/etc/passwd" | "/etc/group" => true,
        "/etc" => !sources.iter().all(|s| is_file(&s.value)),
        "/" => sources
            .iter()
            .any(|s| is_tree(&s.value) || ins.keyword == Keyword::Add && !name(&s.value).ends_with(".sh")),
        _ => false,
    }
}

/// The accounts after RUN `index`, which names one of the account commands or files.
pub(super) fn after(facts: &Facts, index: usize, before: &Accounts) -> Accounts {
    let mut accounts = before.clone();
    let Some(script) = facts.run(index).and_then(super::Run::understood) else {
        accounts.forget();
        return accounts;
    };
    for command in script.commands() {
        let words = || facts.argv(index, command.simple);
        let text = script.text(command.span);
        let Some(name) = command.simple.name().map(|n| n.rsplit('/').next().unwrap_or(n).to_owned()) else {
            continue;
        };
        match name.as_str() {
            "useradd" | "adduser" | "addgroup" | "groupadd" => {
                // what runs only sometimes makes nothing that one can count on
                if command.is_certain() {
                    let known = words().unwrap_or_else(|| as_written(script, command.simple));
                    read(&name, &known, index, &mut accounts);
                }
            }
            "usermod" | "groupmod" | "deluser" | "userdel" | "delgroup" | "groupdel" => {
                let sure: Vec<String> = words().unwrap_or_default();
                let kept = |m: &Member| !sure.is_empty() && !sure.contains(&m.name);
                accounts.users.retain(&kept);
                accounts.groups.retain(&kept);
            }
            _ if [&b"/etc/passwd"[..], b"/etc/group"].iter().any(|f| contains(text, f))
                && writes(command.simple) =>
            {
                accounts.forget();
            }
            _ => {}
        }
    }
    accounts
}

/// The words of a command as they stand in the text: for a value that is not known, the command fails if it is none.
pub(super) fn as_written(script: &Script, command: &Simple) -> Vec<String> {
    command.words.iter().map(|w| String::from_utf8_lossy(script.text(w.span)).into_owned()).collect()
}

fn writes(command: &Simple) -> bool {
    command.redirects.iter().any(crate::shell::Redirect::writes)
        || matches!(command.name(), Some("sed" | "cp" | "mv" | "rm" | "tee" | "install" | "ln" | "dd"))
}

/// Options that take a value, of useradd, groupadd, adduser (Debian's and busybox's) and addgroup:
/// man pages of shadow-utils 4.17, adduser 3.137, busybox 1.37.
const WITH_VALUE: [&str; 31] = [
    "-u",
    "--uid",
    "-g",
    "--gid",
    "-G",
    "--groups",
    "-d",
    "--home-dir",
    "--home",
    "-h",
    "-s",
    "--shell",
    "-c",
    "--comment",
    "--gecos",
    "-k",
    "--skel",
    "-e",
    "--expiredate",
    "-f",
    "--inactive",
    "-b",
    "--base-dir",
    "-p",
    "--password",
    "-K",
    "--key",
    "--ingroup",
    "--conf",
    "--firstuid",
    "-Z",
];

fn read(command: &str, argv: &[String], index: usize, accounts: &mut Accounts) {
    let mut values: Vec<(&str, &str)> = Vec::new();
    let mut flags: Vec<&str> = Vec::new();
    let mut names: Vec<&str> = Vec::new();
    let mut rest = argv[1..].iter().map(String::as_str);
    while let Some(word) = rest.next() {
        if let Some((option, value)) = word.split_once('=').filter(|_| word.starts_with("--")) {
            values.push((option, value));
        } else if word == "-f" && command == "groupadd" {
            flags.push(word);
        } else if WITH_VALUE.contains(&word) {
            values.extend(rest.next().map(|v| (word, v)));
        } else if word.starts_with("--") {
            flags.push(word);
        } else if let Some(short) = word.strip_prefix('-').filter(|s| !s.is_empty()) {
            // `-Su 1000`: the last letter of a cluster may take a value
            let last = &word[word.len() - word.chars().next_back().map_or(0, char::len_utf8)..];
            let letters = short.char_indices().map(|(i, c)| &short[i..i + c.len_utf8()]);
            flags.extend(letters);
            if let Some(option) = WITH_VALUE.iter().find(|o| o.len() == 2 && o.ends_with(last)) {
                values.extend(rest.next().map(|v| (*option, v)));
            }
        } else {
            names.push(word);
        }
    }
    // what a variable becomes may be an option or a name, but where an option takes a value it is that value
    let unknown = |w: &&str| w.contains(['$', '`', '"', '\'']);
    if flags.iter().chain(&names).any(unknown) {
        return;
    }
    let value = |options: &[&str]| values.iter().rev().find(|(o, _)| options.contains(o)).map(|(_, v)| *v);
    let has = |options: &[&str]| options.iter().any(|o| flags.contains(o));
    let Some(&name) = names.first() else { return };
    let number = |v: Option<&str>| v.and_then(|v| v.parse().ok());
    let member = |name: &str, id, group, home: Option<&str>| Member {
        name: name.to_owned(),
        id,
        group,
        home: home.map(str::to_owned),
        made_at: Some(index),
    };
    if matches!(command, "addgroup" | "groupadd") {
        // `addgroup USER GROUP` puts a user into a group
        if names.len() == 1 {
            accounts.groups.push(member(name, number(value(&["-g", "--gid"])), None, None));
        }
        return;
    }
    if names.len() > 1 && command == "adduser" {
        return; // `adduser USER GROUP` likewise
    }
    let uid: Option<u32> = number(value(&["-u", "--uid"]));
    let given = match command {
        "useradd" => value(&["-g", "--gid"]),
        // busybox: -G is the group and -g the comment; Debian's has long options alone
        _ => value(&["--ingroup", "-G", "--gid"]),
    };
    let system = has(&["--system", "S"]);
    let group = match given {
        Some(g) if unknown(&g) => None,
        Some(g) => accounts.group_id(g).or_else(|| Some(Owner::Name(g.to_owned()))),
        None if command == "adduser" && system && !has(&["--group"]) => None, // nogroup, whose number differs
        None if has(&["N", "--no-user-group"]) => None,
        None => {
            accounts.groups.push(member(name, None, None, None));
            Some(Owner::Name(name.to_owned()))
        }
    };
    let home = value(&["-d", "--home-dir", "--home", "-h"]).filter(|h| !unknown(h));
    accounts.users.push(member(name, uid, group, home));
}
