//! What a rewrite may change on purpose: at review each difference must be one that a step declared by an [`Effect`]. A safe step may
//! change nothing, so this asks the review steps alone.

use std::{collections::BTreeSet, sync::Arc};

use serde_json::Value;

use super::differ::{Aspect, Difference, Image, Place};
use crate::{
    ecosystem::Ecosystems,
    facts::{Facts, covers},
    graph::{Base, Graph},
    knowledge::Knowledge,
    options::Options,
    pass::{Effect, Level},
    pipeline::Step,
    syntax::{Keyword, parse},
};

/// What the steps of a rewrite declare, for the stage that is built.
pub struct Declared<'a> {
    effects: Vec<(&'a Effect, &'static str)>,
    stage: usize,
    /// Where the stage's COPYs land, in the original: these paths stay whatever the base is.
    copied: Vec<String>,
    /// The images that the stage starts from before and after, where a step declares that they differ.
    bases: Option<(String, String)>,
}

/// The images behind a comparison.
pub struct Images<'a> {
    pub before: &'a Image,
    pub after: &'a Image,
    /// Those that the stage starts from, if [`Declared::bases`] names them.
    pub bases: Option<(&'a Image, &'a Image)>,
}

/// Files that tell who exists (man pages of shadow, busybox adduser): making a user changes these.
const ACCOUNTS: [&str; 12] = [
    "etc/passwd",
    "etc/passwd-",
    "etc/group",
    "etc/group-",
    "etc/shadow",
    "etc/shadow-",
    "etc/gshadow",
    "etc/gshadow-",
    "etc/subuid",
    "etc/subuid-",
    "etc/subgid",
    "etc/subgid-",
];

impl<'a> Declared<'a> {
    /// What `steps` declare for `target` of the text `before` that became `after`.
    #[must_use]
    pub fn new(
        steps: &'a [Step],
        before: &[u8],
        after: &[u8],
        knowledge: &Knowledge,
        options: &Options,
        target: Option<&str>,
    ) -> Declared<'a> {
        let review = steps.iter().filter(|s| s.level == Level::Review);
        let effects: Vec<_> = review.flat_map(|s| s.effects.iter().map(|e| (e, s.pass))).collect();
        let [old, new] = [before, after].map(|t| Arc::new(parse(t)));
        let [old_graph, new_graph] = [&old, &new].map(|f| Arc::new(Graph::of_build(f, options)));
        let last = old_graph.stages().len().saturating_sub(1);
        let stage = target.and_then(|t| old_graph.find_stage(t)).map_or(last, |s| s.index);
        let facts = Facts::derive(&old, &old_graph, knowledge, options);
        let mut copied = Vec::new();
        let mut at = Some(stage);
        while let Some(index) = at {
            let Some(stage) = old_graph.stages().get(index) else { break };
            for i in stage.body.clone() {
                let ins = &old.instructions[i];
                if matches!(ins.keyword, Keyword::Copy | Keyword::Add)
                    && let Some(dst) = ins.args().last()
                {
                    // Where the path is not known, everything may be copied.
                    let path = facts.before(i).and_then(|s| s.absolute(&dst.value, old.escape));
                    copied.push(path.map_or_else(|| "/".to_owned(), |v| v.text));
                }
            }
            at = match stage.base {
                Base::Stage(parent) => Some(parent),
                _ => None,
            };
        }
        let swapped = effects.iter().any(|(e, _)| matches!(e, Effect::Base { stage: s } if *s == stage));
        let bases = swapped.then(|| Some((root(&old_graph, stage)?, root(&new_graph, stage)?))).flatten();
        Declared { effects, stage, copied, bases }
    }

    /// The images whose file systems tell what came with the base, before and after; none where the base stays.
    #[must_use]
    pub fn bases(&self) -> Option<(&str, &str)> {
        self.bases.as_ref().map(|(a, b)| (a.as_str(), b.as_str()))
    }

    /// The pass that declared a difference.
    #[must_use]
    pub fn admits(&self, d: &Difference, images: &Images<'_>) -> Option<&'static str> {
        match &d.place {
            Place::Config(field) => self.admits_field(field, images),
            Place::Path(path) => self.admits_path(path, d, images),
        }
    }

    fn by(&self, is: impl Fn(&Effect) -> bool) -> Option<&'static str> {
        self.effects.iter().find(|(e, _)| is(e)).map(|(_, pass)| *pass)
    }

    fn admits_field(&self, field: &str, images: &Images<'_>) -> Option<&'static str> {
        let own = self.stage;
        let of_base = || self.by(|e| matches!(e, Effect::Base { stage } if *stage == own));
        match field {
            "User" => self.by(|e| matches!(e, Effect::User { stage } if *stage == own)),
            "WorkingDir" => self.by(|e| matches!(e, Effect::Workdir { stage } if *stage == own)),
            "Entrypoint" | "Cmd" => self.by(|e| matches!(e, Effect::Entrypoint { stage } if *stage == own)),
            "Env" => {
                let lists = |image: &Image| list(image, "Env");
                let (before, after) = (lists(images.before), lists(images.after));
                let (old, new) = images.bases.map(|(a, b)| (lists(a), lists(b))).unwrap_or_default();
                let name = |v: &str| v.split('=').next().unwrap_or_default().to_owned();
                let named = |v: &str| {
                    self.by(|e| matches!(e, Effect::Env { stage, names } if *stage == own && names.contains(&name(v))))
                };
                let gone = before.iter().filter(|v| !after.contains(v) && !old.contains(v));
                let come = after.iter().filter(|v| !before.contains(v) && !new.contains(v));
                let all_named = gone.chain(come).all(|v| named(v).is_some());
                let order = |of: &[String], other: &[String]| -> Vec<String> {
                    of.iter()
                        .filter(|v| other.contains(v) && !old.contains(v) && !new.contains(v))
                        .cloned()
                        .collect()
                };
                let same_order = order(&before, &after) == order(&after, &before);
                (all_named && same_order)
                    .then(|| {
                        of_base()
                            .or_else(|| self.by(|e| matches!(e, Effect::Env { stage, .. } if *stage == own)))
                    })
                    .flatten()
            }
            // What the old base sets goes with it, and what the new one sets comes.
            "Labels" => {
                let (old, new) = images.bases?;
                let get = |image: &Image| {
                    let found = image.config.iter().find(|(n, _)| n == "Labels");
                    found.and_then(|(_, v)| v.as_object().cloned()).unwrap_or_default()
                };
                let (old, new, before, after) = (get(old), get(new), get(images.before), get(images.after));
                let fine = before.iter().all(|(k, v)| after.get(k) == Some(v) || old.get(k) == Some(v))
                    && after.iter().all(|(k, v)| before.get(k) == Some(v) || new.get(k) == Some(v));
                fine.then(of_base).flatten()
            }
            // The engine's mark of a base that was imported; it means something on Windows alone.
            "ArgsEscaped" => of_base(),
            _ => None,
        }
    }

    fn admits_path(&self, path: &str, d: &Difference, images: &Images<'_>) -> Option<&'static str> {
        let absolute = format!("/{path}");
        if matches!(d.aspect, Aspect::Owner)
            && let Some(pass) = self.by(|e| matches!(e, Effect::Owner { path } if covers(path, &absolute)))
        {
            return Some(pass);
        }
        // The folders above it that are made with it are the user's too.
        let made = |path: &str| {
            covers(&absolute, path)
                && images.bases.is_none_or(|(_, new)| !new.tree.entries.contains_key(&absolute[1..]))
        };
        if d.aspect == Aspect::Owner
            && let Some(pass) = self.by(|e| matches!(e, Effect::Owner { path } if made(path)))
        {
            return Some(pass);
        }
        // A folder that is made for the user, with those above it.
        if d.aspect == Aspect::Presence
            && d.before == "not there"
            && let Some(pass) = self.by(
                |e| matches!(e, Effect::Owner { path } if covers(&absolute, path) || covers(path, &absolute)),
            )
        {
            return Some(pass);
        }
        let user = || self.by(|e| matches!(e, Effect::User { stage } if *stage == self.stage));
        if ACCOUNTS.contains(&path) && images.bases.is_none() && keeps_lines(path, images) {
            return user();
        }
        if d.before == "not there" && new_homes(images).iter().any(|home| covers(home, &absolute)) {
            return user();
        }
        if d.before == "not there"
            && let Some(pass) = self.fills(&absolute)
        {
            return Some(pass);
        }
        self.admits_of_base(path, &absolute, d, images)
    }

    /// A command that was added fills the folders that its catalogue entry names.
    fn fills(&self, path: &str) -> Option<&'static str> {
        self.by(|e| {
            let Effect::CommandAdded { command } = e else { return false };
            let program = command.split_whitespace().next().unwrap_or_default();
            let mut tools =
                Ecosystems::builtin().iter().filter(|(_, t)| t.programs.iter().any(|p| p == program));
            tools.any(|(_, t)| t.fills.iter().any(|folder| covers(folder, path) || covers(path, folder)))
        })
    }

    /// Where the base is another one: what came with the old base may go or change, what is as in the new base may come. What a RUN
    /// wrote may go where the step declares that the RUN goes. What is copied stays.
    fn admits_of_base(
        &self,
        path: &str,
        absolute: &str,
        d: &Difference,
        images: &Images<'_>,
    ) -> Option<&'static str> {
        let pass = self.by(|e| matches!(e, Effect::Base { stage } if *stage == self.stage))?;
        let (old, new) = images.bases?;
        let (was, is) = (images.before.tree.entries.get(path), images.after.tree.entries.get(path));
        let came_with_old = was.is_some() && old.tree.entries.contains_key(path);
        let comes_with_new = is.is_some() && is == new.tree.entries.get(path);
        let is_folder = was.or(is).is_some_and(|e| e.kind == super::tree::Kind::Folder);
        let is_copied = self.copied.iter().any(|dst| covers(dst, absolute));
        let run_is_gone = self.by(|e| matches!(e, Effect::Removed { .. })).is_some();
        let fine = match d.aspect {
            Aspect::Presence if is.is_none() => came_with_old || (run_is_gone && !is_copied),
            Aspect::Presence => comes_with_new,
            // A folder of the base above what is copied has the owner and mode that the base gives it.
            _ if is_folder => came_with_old || comes_with_new,
            _ => comes_with_new && (came_with_old || !is_copied),
        };
        fine.then_some(pass)
    }
}

/// The image at the root of a stage's chain.
fn root(graph: &Graph, stage: usize) -> Option<String> {
    match &graph.stages().get(stage)?.base {
        Base::Stage(parent) => root(graph, *parent),
        Base::Image { reference, .. } => Some(reference.clone()),
        Base::Scratch => Some("scratch".into()),
        Base::Unresolved(_) => None,
    }
}

fn list(image: &Image, field: &str) -> Vec<String> {
    let found = image.config.iter().find(|(name, _)| name == field).and_then(|(_, v)| v.as_array());
    found.into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
}

/// Whether the file has each line that it had: accounts come, and none goes.
fn keeps_lines(path: &str, images: &Images<'_>) -> bool {
    let Some(before) = images.before.tree.text(path) else { return true };
    let after = images.after.tree.text(path).unwrap_or_default();
    let after: BTreeSet<&str> = after.lines().collect();
    // A group gains members at its line's end.
    before.lines().all(|l| after.contains(l) || after.iter().any(|a| a.starts_with(l) && path == "etc/group"))
}

/// The homes of users that are new.
fn new_homes(images: &Images<'_>) -> Vec<String> {
    let users = |image: &Image| -> BTreeSet<(String, String)> {
        let text = image.tree.text("etc/passwd").unwrap_or_default();
        let fields = text.lines().map(|l| l.split(':').collect::<Vec<_>>());
        fields.filter(|f| f.len() > 5).map(|f| (f[0].to_owned(), f[5].to_owned())).collect()
    };
    let (before, after) = (users(images.before), users(images.after));
    after.difference(&before).map(|(_, home)| home.clone()).filter(|home| home.len() > 1).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        edit::Edits,
        verify::{
            differ::compare,
            tree::{Entry, Kind, Tree},
        },
    };

    /// An image of files, each with its owner and content, and a config.
    fn image(files: &[(&str, u64, &str)], config: &[(&str, Value)]) -> Image {
        let mut tree = Tree::default();
        for (path, uid, text) in files {
            let mut digest = [0; 32];
            digest.iter_mut().zip(text.bytes()).for_each(|(d, b)| *d = b);
            let entry = Entry {
                kind: Kind::File,
                mode: 0o644,
                uid: *uid,
                gid: 0,
                size: text.len() as u64,
                digest: Some(Box::new(digest)),
                target: None,
                linked: None,
                xattrs: Vec::new(),
            };
            tree.entries.insert((*path).into(), entry);
            tree.texts.insert((*path).into(), text.as_bytes().to_vec());
        }
        Image { tree, config: config.iter().map(|(n, v)| ((*n).to_owned(), v.clone())).collect() }
    }

    const BEFORE: &str = "FROM debian:12\nCOPY app /srv/app\nRUN true\n";
    const AFTER: &str = "FROM gcr.io/distroless/base-debian12\nCOPY app /srv/app\n";

    /// What is left of the differences between two images, where a step of `level` has `effects`.
    fn check(effects: &[Effect], level: Level, images: &Images<'_>, left: &[&str]) {
        let step = Step {
            pass: "it",
            level,
            lines: (1, 1),
            message: String::new(),
            evidence: Vec::new(),
            assumes: Vec::new(),
            effects: effects.to_vec(),
            edits: Edits::default(),
        };
        let (steps, options) = ([step], Options::default());
        let (before, after) = (BEFORE.as_bytes(), AFTER.as_bytes());
        let declared = Declared::new(&steps, before, after, Knowledge::builtin(), &options, None);
        let found: Vec<String> = compare(images.before, images.after)
            .iter()
            .filter(|d| declared.admits(d, images).is_none())
            .map(|d| match &d.place {
                Place::Path(p) => p.to_string(),
                Place::Config(f) => f.clone(),
            })
            .collect();
        assert_eq!(found, left, "{effects:?} at {level}");
    }

    #[test]
    fn a_user_may_come_and_no_account_go() {
        let passwd = "root:x:0:0::/root:/bin/sh\n";
        let more = format!("{passwd}app:x:7:7::/home/app:/bin/sh\n");
        let config = |user: &str| [("User", Value::from(user)), ("Cmd", Value::from(user))];
        let before = image(&[("etc/passwd", 0, passwd), ("data/x", 0, "x"), ("etc/y", 0, "y")], &config(""));
        let after = image(
            &[("etc/passwd", 0, &more), ("home/app/.profile", 7, ""), ("data/x", 7, "x"), ("etc/y", 7, "y")],
            &config("7"),
        );
        let images = Images { before: &before, after: &after, bases: None };
        let effects = [Effect::User { stage: 0 }, Effect::Owner { path: "/data".into() }];
        check(&effects, Level::Review, &images, &["Cmd", "etc/y"]);
        let all = ["Cmd", "User", "data/x", "etc/passwd", "etc/y", "home/app/.profile"];
        check(&effects, Level::Safe, &images, &all);
        check(&[Effect::User { stage: 1 }], Level::Review, &images, &all);
        let back = Images { before: &after, after: &before, bases: None };
        check(&effects, Level::Review, &back, &["Cmd", "etc/passwd", "etc/y", "home/app/.profile"]);
    }

    #[test]
    fn another_base_brings_and_takes_its_own_and_no_more() {
        let old = image(&[("bin/sh", 0, "dash"), ("etc/os", 0, "debian")], &[]);
        let new = image(&[("etc/os", 0, "distroless"), ("home/nonroot", 65532, "")], &[]);
        let before = image(
            &[
                ("bin/sh", 0, "dash"),
                ("etc/os", 0, "debian"),
                ("srv/app", 0, "app"),
                ("var/made", 0, "by RUN"),
            ],
            &[],
        );
        let good = [("etc/os", 0, "distroless"), ("home/nonroot", 65532, ""), ("srv/app", 0, "app")];
        let effects = [Effect::Base { stage: 0 }, Effect::Removed { command: "true".into() }];
        let with = |files: &[(&str, u64, &str)], effects: &[Effect], left: &[&str]| {
            let after = image(files, &[]);
            let images = Images { before: &before, after: &after, bases: Some((&old, &new)) };
            check(effects, Level::Review, &images, left);
        };
        with(&good, &effects, &[]);
        with(&good, &effects[..1], &["var/made"]);
        with(&good[..2], &effects, &["srv/app"]);
        with(&[good[0], good[1], ("srv/app", 0, "apq")], &effects, &["srv/app"]);
        with(&[good[0], good[1], good[2], ("srv/more", 0, "")], &effects, &["srv/more"]);
    }
}
