//! What lies under the paths of a `chown` before it runs: what COPYs bring, which folders there are, and what else there may be.

use std::collections::BTreeMap;

use super::super::fold::{self, Change, Copy};
use crate::{
    context::FileKind,
    facts::{covers, parent},
    knowledge::Paths,
    pass::{Input, Reason, Refusal},
    syntax::Keyword,
};

/// A folder that is there before the change, below its paths.
pub(super) struct Folder {
    /// The instruction that made it and did not give it the new owner; none if it is the new owner's already.
    pub maker: Option<usize>,
}

/// What lies under the paths of a change.
#[derive(Default)]
pub(super) struct Content {
    /// The COPYs that the change covers wholly.
    pub copies: Vec<Copy>,
    pub folders: BTreeMap<String, Folder>,
    /// The first thing that cannot be told apart.
    pub problem: Option<Refusal>,
    /// The first COPY that may bring some of what is changed.
    pub doubt: Option<Refusal>,
}

/// Goes through the stage up to the change.
pub(super) fn content(input: &Input, change: &Change) -> Content {
    let mut out = Content::default();
    for at in input.graph.stages()[change.stage].body.start..=change.run {
        let state = input.facts.before(at);
        match input.file.instructions[at].keyword {
            Keyword::Workdir => {
                let path =
                    state.and_then(|s| s.absolute(input.file.instructions[at].first(), input.file.escape));
                match path {
                    Some(path) => out.make(input, change, &path.text, at),
                    None => out.problem(
                        Reason::VariableUnresolved,
                        "a WORKDIR above it is not known".into(),
                        "write its path",
                    ),
                }
            }
            Keyword::Copy | Keyword::Add => out.copy(input, change, at),
            Keyword::Run => out.run(input, change, at),
            _ => {}
        }
    }
    out
}

impl Content {
    fn problem(&mut self, reason: Reason, message: String, unlock: &str) {
        self.problem.get_or_insert_with(|| Refusal::new(reason, message, unlock));
    }

    /// Instruction `at` makes the folder `path`, and those above it.
    fn make(&mut self, input: &Input, change: &Change, path: &str, at: usize) {
        for path in std::iter::once(path).chain(fold::above(path)).filter(|p| *p != "/") {
            if input.facts.base_empty_folder(change.stage, path).is_some() {
                continue;
            }
            if !input.facts.base_has_folder(change.stage, path) || change.paths.iter().any(|p| p == path) {
                self.folders.entry(path.to_owned()).or_insert(Folder { maker: Some(at) });
            }
        }
    }

    fn is_folder(&self, input: &Input, change: &Change, path: &str) -> bool {
        self.folders.contains_key(path) || input.facts.base_has_folder(change.stage, path)
    }

    fn copy(&mut self, input: &Input, change: &Change, at: usize) {
        let copy = fold::copy(input, at, &|p| self.is_folder(input, change, p));
        let Some(copy) = copy else {
            return self.doubt(Refusal::new(
                Reason::VariableUnresolved,
                format!("where the COPY of line {} goes is not known", fold::line(input, at)),
                "write its destination without variables",
            ));
        };
        let under = |path: &String| {
            change.paths.iter().any(|p| if change.recursive { covers(p, path) } else { p == path })
        };
        let inside = match &copy.files {
            Some(files) if files.iter().all(under) => true,
            Some(files) if !files.iter().any(under) => {
                let reached = |f: &String| change.paths.iter().any(|p| covers(f, p));
                if files.iter().any(reached) {
                    self.partly(input, at);
                }
                self.make(input, change, if copy.into { &copy.dst } else { parent(&copy.dst) }, at);
                return;
            }
            Some(_) => return self.partly(input, at),
            None => change.recursive && under(&copy.dst),
        };
        if !inside {
            if !change.recursive && change.paths.contains(&copy.dst) && !copy.into {
                self.doubt(Refusal::new(
                    Reason::ContentUnknown,
                    format!(
                        "whether line {} copies a file or a folder to {} is not known, and the chown covers a file alone",
                        fold::line(input, at),
                        copy.dst
                    ),
                    "write --chown into the COPY, if it is a file",
                ));
            }
            // it may bring something of what is changed
            let brings = |p: &String| covers(&copy.dst, p) && (change.recursive || *p != copy.dst);
            if change.paths.iter().any(brings) {
                self.partly(input, at);
            }
            self.make(input, change, if copy.into { &copy.dst } else { parent(&copy.dst) }, at);
            return;
        }
        let folder = if copy.into { copy.dst.as_str() } else { parent(&copy.dst) };
        for path in std::iter::once(folder).chain(fold::above(folder)).filter(|p| *p != "/") {
            if self.is_folder(input, change, path) {
                break;
            }
            if !(change.recursive && under(&path.to_owned())) {
                self.problem(
                    Reason::NotProven,
                    format!(
                        "the COPY of line {} may make {path} too, and would give it the same owner",
                        fold::line(input, at)
                    ),
                    "make that folder before, by WORKDIR or mkdir",
                );
            }
            self.folders.insert(path.to_owned(), Folder { maker: None });
        }
        let inner = |a: &Copy, b: &Copy| a.dst != b.dst && covers(&a.dst, &b.dst) && a.files.is_none();
        if self
            .copies
            .iter()
            .any(|before| inner(before, &copy) && (before.from || has_links(input, before.at)))
        {
            self.problem(
                Reason::NotProven,
                format!("{} may be a symlink that a COPY before brings", copy.dst),
                "copy into folders that no other COPY brings",
            );
        }
        self.copies.push(copy);
    }

    fn partly(&mut self, input: &Input, at: usize) {
        self.doubt(Refusal::new(
            Reason::ContentUnknown,
            format!("it covers a part of what line {} copies, or that is not known", fold::line(input, at)),
            "copy that part by a COPY of its own",
        ));
    }

    fn doubt(&mut self, refusal: Refusal) {
        self.doubt.get_or_insert_with(|| refusal.clone());
        self.problem.get_or_insert(refusal);
    }

    fn run(&mut self, input: &Input, change: &Change, at: usize) {
        let until = (at == change.run).then_some(change.element);
        if until == Some(0) {
            return;
        }
        let unknown = |path: &str| {
            let line = fold::line(input, at);
            let unlock = "run it as the user that the files are for, or copy into another folder";
            Refusal::new(
                Reason::ContentUnknown,
                format!("the RUN of line {line} may write below {path}, and only `chown -R` reaches that"),
                unlock,
            )
        };
        let root = change.paths.first().cloned().unwrap_or_default();
        let mounts = input.facts.run(at).map(|r| r.mounts.as_slice()).unwrap_or_default();
        let touches = |target: &str| change.paths.iter().any(|p| covers(p, target) || covers(target, p));
        if mounts.iter().any(|m| m.target.as_deref().is_none_or(touches)) {
            self.problem.get_or_insert_with(|| unknown(&root));
            return;
        }
        let Some(simples) = fold::commands(input, at, until) else {
            if change.recursive {
                self.problem.get_or_insert_with(|| unknown(&root));
            }
            return;
        };
        let (mut made, mut changed) = (Vec::new(), Vec::new());
        for simple in &simples {
            let Some(argv) = input.facts.argv(at, simple) else { continue };
            let name = argv.first().map(|n| n.rsplit('/').next().unwrap_or(n)).unwrap_or_default();
            let into = match name {
                "mkdir" | "touch" => &mut made,
                "chown" | "chgrp" | "chmod" => &mut changed,
                "cd" => {
                    made.clear();
                    changed.clear();
                    break;
                }
                _ => continue,
            };
            if let Paths::Some(paths) = input.knowledge.command(&argv).writes {
                let cwd = input.facts.before(at).and_then(|s| s.cwd.clone());
                let plain = paths.iter().filter(|p| !p.contains(['*', '?', '[', '{', '~']));
                let bare = plain.map(|p| p.strip_suffix("/**").unwrap_or(p));
                into.extend(bare.filter_map(|p| {
                    if p.starts_with('/') {
                        Some(crate::facts::clean(p))
                    } else {
                        Some(crate::facts::join(cwd.as_deref()?, p))
                    }
                }));
            }
        }
        // what is changed by its own name is a file that a COPY puts there, whatever was there before
        let (writes, is_known) =
            if change.recursive { self.writes(input, change, at) } else { (Vec::new(), true) };
        if !is_known {
            self.problem.get_or_insert_with(|| unknown(&root));
        }
        for write in writes {
            let meets = |p: &&String| write.meets(p) || covers(&write.path, p);
            let Some(path) = change.paths.iter().find(meets) else { continue };
            let is_made = !write.below && made.contains(&write.path);
            if !is_made && !changed.contains(&write.path) {
                self.problem.get_or_insert_with(|| unknown(path));
            }
        }
        for path in made {
            self.make(input, change, &path, at);
        }
    }

    /// What RUN `at` writes as far as the change sees it, and whether that is all.
    fn writes(&self, input: &Input, change: &Change, at: usize) -> (Vec<crate::facts::Write>, bool) {
        if at != change.run {
            let writes = input.facts.writes(at);
            return (writes.known().to_vec(), writes.is_known());
        }
        let Some(script) = input.facts.run(at).and_then(crate::facts::Run::understood) else {
            return (Vec::new(), false);
        };
        let (mut all, mut known) = (Vec::new(), true);
        for node in script.and_list().unwrap_or_default().into_iter().take(change.element) {
            let writes = input.facts.unit_writes(at, &String::from_utf8_lossy(script.text(node.span)));
            known &= writes.is_known();
            all.extend(writes.known().iter().cloned());
        }
        (all, known)
    }
}

/// Whether a COPY of the build context brings symlinks, or may.
fn has_links(input: &Input, at: usize) -> bool {
    fold::files_of(input, at).is_none_or(|files| {
        files.iter().any(|(_, kind, _)| *kind != FileKind::File && *kind != FileKind::Dir)
    })
}
