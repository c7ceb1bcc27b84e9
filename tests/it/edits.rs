//! Random edits of correct output: the validator must reject each, unless the edited file says the same as the original.
//!
//! That it says the same is argued without the validator, by [`reading`]: what BuildKit would be given, with only those differences
//! taken out that cannot matter. So each reason why an edit may pass stands there.

use super::support::{Case, Dice, Said, cases, check, context};
use std::collections::BTreeMap;

use dfopt::{
    pass::{Effect, Level},
    pipeline::Plan,
    syntax::{Instruction, Keyword, parse},
};

/// Of each case: a new case does not change the edits of the others. What changes on purpose has a claim that admits more, so
/// that more is tried.
const EDITS: usize = 80;
const EDITS_OF_A_REVIEW: usize = 24;
const SEED: u64 = 20_261_125;

#[test]
fn random_edits_are_caught() {
    let cases: Vec<(Case, Plan)> = cases()
        .into_iter()
        .map(|c| {
            let plan = c.plan(c.text(), &[], Level::Review);
            (c, plan)
        })
        .filter(|(_, p)| p.skipped.is_none())
        .collect();
    let mut dice: BTreeMap<&str, Dice> = BTreeMap::new();
    let (mut caught, mut equal, mut passed) = (0, 0, Vec::new());
    for (case, plan) in cases.iter().flat_map(|c| std::iter::repeat_n(c, edits(&c.0))) {
        let seed = case.name.bytes().fold(SEED, |n, b| n.wrapping_mul(31).wrapping_add(u64::from(b)));
        let dice = dice.entry(&case.name).or_insert_with(|| Dice::new(seed));
        let edited = edit(&plan.after, dice);
        if edited == plan.after {
            continue;
        }
        let effects: Vec<Effect> = plan.steps.iter().flat_map(|s| s.effects.clone()).collect();
        let level = plan.steps.iter().map(|s| s.level).min().unwrap_or(Level::Safe);
        let old = (case.before.len() > 1).then(|| context(case.before.clone()));
        let mut files = case.before.clone();
        files.extend(plan.files.iter().map(|(p, b)| (p.clone(), (b.clone(), 0o644))));
        let new = old.is_some().then(|| context(files));
        let said = Said { effects: &effects, level };
        match check((case.text(), old.as_ref()), (&edited, new.as_ref()), &said, &case.options) {
            Err(_) => caught += 1,
            Ok(())
                if [&plan.after, &plan.before].iter().any(|t| reading(t, case) == reading(&edited, case)) =>
            {
                equal += 1
            }
            Ok(()) => passed.push(format!("{}:\n{}", case.name, String::from_utf8_lossy(&edited))),
        }
    }
    eprintln!("{caught} edits caught, {equal} shown to be equal");
    assert!(passed.is_empty(), "{} edits pass\n\n{}", passed.len(), passed.join("\n"));
    let all: usize = cases.iter().map(|c| edits(&c.0)).sum();
    assert!(caught >= 200 && caught > equal, "{caught} of {all} edits were caught");
}

fn edits(case: &Case) -> usize {
    if matches!(case.pass.as_str(), "add-user" | "use-distroless") { EDITS_OF_A_REVIEW } else { EDITS }
}

/// One change of a line, a word or a character.
fn edit(text: &[u8], dice: &mut Dice) -> Vec<u8> {
    let text = String::from_utf8_lossy(text).into_owned();
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    let at = dice.below(lines.len());
    let line = lines[at].clone();
    let words: Vec<&str> = line.split(' ').collect();
    let word = dice.below(words.len());
    let other = dice.below(lines.len());
    match dice.below(12) {
        0 => drop(lines.remove(at)),
        1 => lines.swap(at, other),
        2 => lines.insert(at, line),
        3 => {
            let left = words.iter().enumerate().filter(|(i, _)| *i != word).map(|(_, w)| *w);
            lines[at] = left.collect::<Vec<_>>().join(" ");
        }
        4 => {
            let mut words = words;
            words.insert(word, words[word]);
            lines[at] = words.join(" ");
        }
        5 => {
            // another letter in the place of one
            let from = dice.below(line.len());
            let new = b"axz-/.;&|#'\"$ \\"[dice.below(15)] as char;
            lines[at] = line.chars().enumerate().map(|(i, c)| if i == from { new } else { c }).collect();
        }
        6 => lines[at] = line.trim_end_matches('\\').to_owned(),
        7 => lines[at].push_str(" \\"),
        8 if at + 1 < lines.len() => {
            let next = lines.remove(at + 1);
            let body = next.split_once(' ').map_or(next.as_str(), |(_, b)| b);
            lines[at] = format!("{line} && {body}");
        }
        9 => {
            let (old, new) =
                [(" && ", " ; "), (" && ", " || "), ("--", "--x"), ("=", "=x"), ("{ ", ""), ("( ", "{ ")]
                    [dice.below(6)];
            lines[at] = line.replacen(old, new, 1);
        }
        10 => {
            let flags = [
                "--mount=type=cache,target=/x ",
                "--network=none ",
                "--chown=1:1 ",
                "--chmod=700 ",
                "--link ",
            ];
            let flag = flags[dice.below(flags.len())];
            lines[at] = line.replacen(' ', &format!(" {flag}"), 1);
        }
        _ => {
            let new = [
                "USER app",
                "ENV A=b",
                "WORKDIR /other",
                "RUN more",
                "COPY . /",
                "# a comment",
                "",
                "ARG Z",
                "LABEL a=b",
                "CMD [\"z\"]",
            ];
            lines.insert(at, new[dice.below(new.len())].to_owned());
        }
    }
    lines.join("\n").into_bytes()
}

/// What a file says: its directives and its instructions, one after the other, with all that may differ without a
/// difference for the image taken out.
fn reading(text: &[u8], case: &Case) -> Vec<String> {
    let file = parse(text);
    let mut out: Vec<String> = file.directives.iter().map(|d| format!("# {}={}", d.name, d.value)).collect();
    out.extend(file.error().map(|e| e.message.clone()));
    let (mut stage, mut folder) = (0, None);
    for ins in &file.instructions {
        if ins.keyword == Keyword::From {
            stage += 1;
            folder = first_folder(&ins.args()[0].value);
        }
        let mut said = says(ins, text);
        match ins.keyword {
            Keyword::Workdir => {
                folder = Some(absolute(folder.as_deref().unwrap_or("?"), &ins.args()[0].value))
            }
            Keyword::Copy => said = placed(ins, &said, folder.as_deref(), case),
            // ADD of the whole context unpacks nothing
            Keyword::Add if matches!(ins.args(), [from, _] if matches!(&*from.value, "." | "./")) => {
                said = placed(ins, &said.replacen("ADD ", "COPY ", 1), folder.as_deref(), case);
            }
            _ => {}
        }
        match said.strip_prefix("RUN [] ").and_then(|s| s.strip_suffix(" []")).and_then(plain_list) {
            Some(list) => out.extend(list.into_iter().map(|c| format!("{stage} RUN [] {c} []"))),
            None => out.push(format!("{stage} {said}")),
        }
    }
    settle(out, case)
}

/// The working folder of the images that the cases start from: `/`, but for those whose Dockerfile says another.
fn first_folder(image: &str) -> Option<String> {
    let name = image.split([':', '@']).next().unwrap_or_default();
    let root = ["alpine", "debian", "golang", "node", "python", "ruby", "rust"].contains(&name);
    if name == "composer" { Some("/app".into()) } else { root.then(|| "/".into()) }
}

/// A path seen from `folder`, with `/` behind it where that is how a folder is written.
fn absolute(folder: &str, path: &str) -> String {
    let joined = if path.starts_with('/') { path.to_owned() } else { format!("{folder}/{path}") };
    let parts: Vec<&str> = joined.split('/').filter(|p| !p.is_empty() && *p != ".").collect();
    format!("/{}", parts.join("/"))
}

/// A COPY with its destination from `/` on, and without a mode that its one file has in the context.
fn placed(ins: &Instruction, said: &str, folder: Option<&str>, case: &Case) -> String {
    let Some((to, sources)) = ins.args().split_last() else { return said.to_owned() };
    let mut said = said.to_owned();
    if let (Some(folder), false) = (folder, to.value.contains(['$', '"', '\''])) {
        let into = if to.value.ends_with('/') || matches!(&*to.value, "." | "..") { "/" } else { "" };
        let path = format!("{}{into}", absolute(folder, &to.value)).replace("//", "/");
        said = match said.strip_suffix(&format!("{} []", to.value)) {
            Some(head) => format!("{head}{path} []"),
            None => said,
        };
    }
    let modes: Vec<u32> = sources.iter().filter_map(|s| case.before.get(&s.value)).map(|f| f.1).collect();
    match modes[..] {
        [mode] if sources.len() == 1 => said.replacen(&format!("\"--chmod={:o}\"", mode & 0o777), "", 1),
        _ => said,
    }
}

/// An instruction without its layout: letter case of the keyword, comments within, and line breaks are gone. The shell text of a
/// RUN keeps its inner blanks, for they may stand in quotes.
fn says(ins: &Instruction, text: &[u8]) -> String {
    let mut flags: Vec<String> = ins.flags().iter().map(dfopt::syntax::Flag::text).collect();
    flags.sort();
    if ins.keyword == Keyword::Arg {
        flags.clear(); // BuildKit takes them off and never looks at them (instructions/parse.go, parseArg)
    }
    let body = if ins.keyword == Keyword::Run && !ins.is_exec() {
        evenly(String::from_utf8_lossy(&ins.rest().text).trim())
    } else {
        // a source that is named twice is copied to the same place twice; ports and volumes are sets. `./` as a source before `./` brings
        // all of the context, as the COPY that was split did before the install
        let mut words: Vec<&str> = ins.args().iter().map(|a| a.value.as_str()).collect();
        if ins.keyword == Keyword::Env {
            // name, value, and how they are joined
            let mut all: Vec<&[&str]> = words.chunks(3).collect();
            all.dedup();
            words = all.concat();
        }
        if matches!(ins.keyword, Keyword::Copy | Keyword::Expose | Keyword::Volume) {
            words.dedup();
        }
        words.join("\u{1f}")
    };
    let docs: Vec<String> = ins
        .heredocs
        .iter()
        .map(|d| format!("{}{}", d.expand, String::from_utf8_lossy(d.content.of(text))))
        .collect();
    format!("{} {flags:?} {body} {docs:?}", ins.keyword.name())
}

/// Shell text with one blank behind each `&&` that stands outside of quotes.
fn evenly(text: &str) -> String {
    let (mut out, mut quote) = (String::new(), None);
    for c in text.chars() {
        match quote {
            Some(q) if c == q => quote = None,
            None if matches!(c, '"' | '\'') => quote = Some(c),
            None if c == ' ' && out.ends_with("&& ") => continue,
            _ => {}
        }
        out.push(c);
    }
    out
}

/// The commands of a list joined by `&&`, whether one RUN runs them or several: plain words and quoted ones, of programs that leave
/// nothing in a shell, and of which none is said to be replaced. A redirect to a file is part of its command alone.
fn plain_list(text: &str) -> Option<Vec<String>> {
    const STATE: [&str; 18] = [
        ".", "alias", "cd", "eval", "exec", "exit", "export", "hash", "local", "readonly", "return", "set",
        "shift", "source", "trap", "ulimit", "umask", "unset",
    ];
    const SPECIAL: [char; 13] = ['&', ';', '|', '#', '(', ')', '{', '<', '`', '\\', '"', '\'', '$'];
    // what stands in quotes is one word, whatever it says
    let (mut bare, mut quote) = (String::new(), None);
    for c in text.chars() {
        match quote {
            Some(q) if c == q => quote = None,
            Some(_) if matches!(c, '$' | '`' | '\\') => return None,
            Some(_) => bare.push('q'),
            None if matches!(c, '"' | '\'') => quote = Some(c),
            None => bare.push(c),
        }
    }
    let plain = |c: &str| {
        // what stands before a program holds for that program alone
        let is_name = |n: &str| !n.is_empty() && n.chars().all(|c| c.is_ascii_uppercase() || c == '_');
        let assigns =
            |w: &&str| w.split_once('=').is_some_and(|(n, _)| is_name(n.trim_end_matches(char::is_numeric)));
        let program = c.split(' ').find(|w| !assigns(w)).unwrap_or_default();
        // nor does any of them set a variable that another one reads
        let rest = c.split('$').enumerate().map(|(i, part)| match part.strip_prefix('{') {
            _ if i == 0 => part,
            Some(braced) => match braced.split_once('}') {
                Some((name, rest)) if is_name(name) => rest,
                _ => "$",
            },
            None => {
                let rest = part.trim_start_matches(|c: char| c.is_ascii_uppercase() || c == '_');
                if rest.len() == part.len() { "$" } else { rest }
            }
        });
        let rest: String = rest.collect();
        !program.is_empty() && !program.contains('=') && !STATE.contains(&program) && !rest.contains(SPECIAL)
    };
    // the last command may be an `if`, whose status is that of the RUN either way
    let (rest, last) = bare.rsplit_once("&&").unwrap_or(("", &bare));
    let is_if = |c: &str| c.starts_with("if ") && c.trim_end_matches(';').ends_with(" fi");
    let listed = if is_if(last.trim()) { rest } else { &bare };
    let all_plain = listed.is_empty() || listed.split("&&").all(|c| plain(c.trim()));
    if quote.is_some() || !all_plain || bare.contains("--upgrade") {
        return None;
    }
    // a path that is named twice is changed twice in the same way
    let once = |c: &str| {
        let changes = c.starts_with("chown ") || c.starts_with("chmod ");
        let mut words: Vec<&str> = c.split(' ').collect();
        let mut from = 0;
        words.retain(|w| {
            from += 1;
            !changes
                || from < 3
                || !w.starts_with('/')
                || !c.split(' ').take(from - 1).any(|other| other == *w)
        });
        words.join(" ")
    };
    Some(outside(text).iter().map(|c| once(c.trim())).collect())
}

/// The parts of shell text between each `&&` that stands outside of quotes.
fn outside(text: &str) -> Vec<&str> {
    let (mut out, mut from, mut quote) = (Vec::new(), 0, None);
    for (i, c) in text.char_indices() {
        match quote {
            Some(q) if c == q => quote = None,
            None if matches!(c, '"' | '\'') => quote = Some(c),
            None if text[i..].starts_with("&&") && i >= from => {
                out.push(&text[from..i]);
                from = i + 2;
            }
            _ => {}
        }
    }
    out.push(&text[from..]);
    out
}

/// A COPY may change places with a USER, which does not own what is copied. One with its own owner may so with commands that only make accounts or a folder elsewhere: it
/// reads neither (its owner is a number, or the base image's). So these go first among their neighbours.
fn copies_last(list: &mut [String], case: &Case) {
    let any = |l: &str| l.contains(" COPY [");
    let copy = |l: &str| l.contains(" COPY [\"--chown=");
    let users = |l: &str| [" USER ", " RUN [] groupadd ", " RUN [] useradd "].iter().any(|w| l.contains(w));
    let path =
        |l: &str| l.trim_end_matches(" []").rsplit([' ', '\u{1f}']).next().unwrap_or_default().to_owned();
    let apart = |copy: &str, l: &str| {
        let (a, b) = (path(copy), path(l));
        let absolute = a.starts_with('/') && b.starts_with('/');
        l.contains(" RUN [] mkdir -p ") && absolute && !a.starts_with(&b) && !b.starts_with(&a)
    };
    for end in (1..list.len()).rev() {
        for i in 0..end {
            // nor does it read a variable that it does not name, and the root folder is always there
            let reads = list[i].contains('$');
            let next = &list[i + 1];
            let setting = next.contains(" ENV ") || next.contains(" ARG ");
            let user = next.contains(" USER ") || setting && !reads;
            let root = next.ends_with(" WORKDIR [] / []") && path(&list[i]).starts_with('/');
            let folder = list[i].contains(" WORKDIR ") && next.contains(" ENV ") && !reads;
            // a folder is the same whether WORKDIR or a COPY into it makes it, as long as that is root
            let into = path(&list[i]).trim_end_matches('/').to_owned() + "/";
            let made = path(next) + "/";
            let inside =
                list[i].contains(" COPY [] ") && (into.starts_with(&made) || made.starts_with(&into));
            let as_root = !list[..i].iter().any(|l| l.contains(" USER "));
            let root = root || next.contains(" WORKDIR ") && inside && as_root;
            // nor does a COPY change whose the folder is that it copies into
            let is_folder = list[..i].iter().any(|l| l.contains(" WORKDIR ") && path(l) == path(next));
            let kept = next.contains(" RUN [] chown ") && !next.contains(" -R ") && is_folder;
            let owned = copy(&list[i]) && (users(next) || apart(&list[i], next) || kept);
            // a setting of Bundler is a file that no context of the cases brings
            let sets = next.contains(" RUN [] bundle config set ")
                && !case.before.keys().any(|p| p.starts_with(".bundle"));
            let installed = list[i].contains(" COPY [] ") && (installs_names(next, case) || sets);
            if any(&list[i]) && (user || root || installed) || folder || owned {
                list.swap(i, i + 1);
            }
        }
    }
}

/// Whether a line has pip install what a file names, all of it by its name alone: then it reads that file and no other of the context.
fn installs_names(line: &str, case: &Case) -> bool {
    let Some((_, path)) = line.trim_end_matches(" []").rsplit_once(" -r ") else { return false };
    let file = path.rsplit('/').next().and_then(|n| case.before.get(n));
    let text = file.map(|f| String::from_utf8_lossy(&f.0).into_owned()).unwrap_or_default();
    let plain = |l: &str| !l.starts_with(['-', '.']) && !l.contains(['/', '@', ':']);
    line.contains(" RUN [] pip3 install -r ") && !text.is_empty() && text.lines().all(plain)
}

/// Named files that a COPY of all of the context brings again to the same place, before anything runs, need no COPY of their own.
fn copied_again(list: &mut Vec<String>) {
    let words = |line: &str| -> Option<Vec<String>> {
        let words = line.trim_end_matches(" []").split_once(" COPY [] ")?.1;
        Some(words.split([' ', '\u{1f}']).map(str::to_owned).collect())
    };
    let again = |i: usize, list: &[String]| {
        let Some((to, sources)) = words(&list[i]).and_then(|mut w| Some((w.pop()?, w))) else { return false };
        let next = list[i + 1..].iter().take_while(|l| !l.contains(" RUN ") && !l.contains(" FROM "));
        next.filter_map(|l| words(l)).any(|w| {
            // `COPY . .` has lost one of its words
            let (from, top) = match &w[..] {
                [from, top] => (from.as_str(), top),
                [top] => (".", top),
                _ => return false,
            };
            let name = |s: &str| s.rsplit('/').next().unwrap_or_default().to_owned();
            let lands =
                |s: &String| format!("{to}{}", name(s)) == format!("{}/{s}", top.trim_end_matches('/'));
            matches!(from, "." | "./") && to.ends_with('/') && sources.iter().all(lands)
        })
    };
    let gone: Vec<bool> = (0..list.len()).map(|i| again(i, list)).collect();
    let mut at = 0;
    list.retain(|_| {
        at += 1;
        !gone[at - 1]
    });
}

/// COPYs that stand beside each other and bring nothing to the same place may change places.
fn files_in_order(list: &mut [String]) {
    let lands = |line: &str| -> Option<(String, Vec<String>)> {
        let (stage, rest) = line.trim_end_matches(" []").split_once(" COPY [")?;
        let (flags, words) = rest.split_once("] ")?;
        let plain = flags.is_empty() || flags.starts_with("\"--from=") && !flags.contains("\", \"");
        let (sources, to) = words.rsplit_once([' ', '\u{1f}']).unwrap_or((".", words));
        let sources: Vec<&str> = sources.split([' ', '\u{1f}']).collect();
        let is_file = |s: &&str| {
            s.rsplit('/').next().is_some_and(|n| n.len() > 1 && n[1..].contains('.'))
                && !s.contains(['*', '$'])
        };
        let named = to.ends_with('/') && sources.iter().all(is_file);
        let name = |s: &&str| format!("{to}{}/", s.rsplit('/').next().unwrap_or_default());
        let all = if named {
            sources.iter().map(name).collect()
        } else {
            vec![format!("{}/", to.trim_end_matches('/'))]
        };
        (plain && to.starts_with('/')).then(|| (stage.to_owned(), all))
    };
    for end in (1..list.len()).rev() {
        for i in 0..end {
            if let (Some((x, a)), Some((y, b))) = (lands(&list[i]), lands(&list[i + 1]))
                && x == y
                && !a.iter().any(|a| b.iter().any(|b| a.starts_with(b) || b.starts_with(a)))
                && list[i] > list[i + 1]
            {
                list.swap(i, i + 1);
            }
        }
    }
}

/// Instructions of config alone may stand anywhere among those that are not; of two of a kind that replaces, the later one counts;
/// and an instruction that follows its own twin and only sets state adds nothing.
fn settle(list: Vec<String>, case: &Case) -> Vec<String> {
    const REPLACES: [&str; 4] = ["CMD", "HEALTHCHECK", "STOPSIGNAL", "MAINTAINER"];
    const CONFIG: [&str; 9] = [
        "ONBUILD",
        "CMD",
        "HEALTHCHECK",
        "STOPSIGNAL",
        "MAINTAINER",
        "LABEL",
        "EXPOSE",
        "VOLUME",
        "ENTRYPOINT",
    ];
    let kind = |line: &str| line.split(' ').nth(1).unwrap_or_default().to_owned();
    let stage = |line: &str| line.split(' ').next().unwrap_or_default().to_owned();
    let mut main: Vec<String> = Vec::new();
    let mut config: Vec<String> = Vec::new();
    for (i, line) in list.iter().enumerate() {
        let replaced = |later: &String| kind(later) == kind(line) && stage(later) == stage(line);
        if CONFIG.contains(&kind(line).as_str()) {
            let gone = REPLACES.contains(&kind(line).as_str()) && list[i + 1..].iter().any(replaced);
            if !gone && !config.contains(line) {
                config.push(line.clone());
            }
        } else {
            main.push(line.clone());
        }
    }
    copied_again(&mut main);
    // which COPY comes first must not tell which of them moves
    files_in_order(&mut main);
    copies_last(&mut main, case);
    copied_again(&mut main);
    files_in_order(&mut main);
    // what only sets an owner, a mode, a user or files does no more when it is done twice in a row
    let again = [" RUN [] chown ", " RUN [] chmod ", " USER ", " COPY "];
    let itself = |l: &str| {
        let pair = l
            .split(" ENV [] ")
            .nth(1)
            .and_then(|e| e.trim_end_matches([' ', '[', ']', '\u{1f}']).split_once(['\u{1f}', '=', ' ']));
        pair.is_some_and(|(name, value)| value.strip_prefix('$') == Some(name) || !value.contains('$'))
    };
    main.dedup_by(|a, b| a == b && (again.iter().any(|w| a.contains(w)) || itself(a)));
    // of two users in a row nothing runs as the first
    let dead: Vec<bool> = main
        .windows(2)
        .map(|w| w.iter().all(|l| kind(l) == "USER") && stage(&w[0]) == stage(&w[1]))
        .collect();
    let mut at = 0;
    main.retain(|_| {
        at += 1;
        !dead.get(at - 1).copied().unwrap_or_default()
    });
    // those of another kind do not replace each other
    config.sort_by_key(|line| (stage(line), kind(line)));
    main.extend(config);
    main
}
