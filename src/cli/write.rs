//! `--write`: what was planned goes to the disk, but not over work that no commit holds.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use super::run::{Planned, files};
use crate::{
    repo::{
        git::{self, State},
        write,
        write::Written,
    },
    report::{File, FileError, Kind},
    verify::child,
};

/// Writes every file that changes; what cannot be written becomes an error of its entry.
pub(super) fn all(mut planned: Vec<Planned>, allow_dirty: bool) -> Vec<File> {
    let changing = planned.iter().filter(|p| !p.is_stdin).flat_map(|p| &p.files);
    let changing: Vec<PathBuf> =
        changing.filter(|(_, f)| f.is_changed() && !f.is_new).map(|(p, _)| p.clone()).collect();
    // Git is asked only where its answer matters.
    let states = if allow_dirty { BTreeMap::new() } else { git::states(&changing) };
    // The file at work is finished, and what was written is noted: without a handler the run ends as it would anyway.
    let _ = child::heed_signals();
    let mut records = Records::default();
    let mut written: BTreeMap<PathBuf, Vec<u8>> = BTreeMap::new();
    for one in planned.iter_mut().filter(|p| !p.is_stdin) {
        // The ignore file first: the Dockerfile may rest on it.
        for i in (0..one.files.len()).rev() {
            let broken = one.files.iter().any(|(_, f)| f.kind == Kind::Dockerignore && f.error.is_some());
            let (path, file) = &mut one.files[i];
            if !file.is_changed() {
                continue;
            }
            if broken {
                file.fail(FileError::new(
                    "not-written",
                    format!("{}: not written, for its .dockerignore was not", file.path),
                ));
                continue;
            }
            if written.get(path) == Some(&file.after) {
                continue;
            }
            if child::interrupted() {
                let message = format!("{}: not written, for dfopt was interrupted; run again", file.path);
                file.fail(FileError::new("interrupted", message));
                continue;
            }
            if let Err(e) = one_file(path, file, states.get(path), allow_dirty, &mut records) {
                file.fail(e);
            } else {
                written.insert(path.clone(), file.after.clone());
            }
        }
    }
    records.save();
    files(planned)
}

fn one_file(
    path: &Path,
    file: &File,
    state: Option<&State>,
    allow_dirty: bool,
    records: &mut Records,
) -> Result<(), FileError> {
    let record = records.of(path);
    let own = record.as_ref().is_some_and(|r| r.is_own_write(path, &file.before));
    match state {
        Some(State::Dirty) if !own => {
            let message = format!(
                "{}: has changes that no commit holds: not written; commit or stash them, or use --allow-dirty",
                file.path
            );
            return Err(FileError::new("uncommitted-changes", message));
        }
        Some(State::Unknown(why)) if !own => {
            let message = format!(
                "{}: not written, for git does not say whether it is clean: {why}; use --allow-dirty",
                file.path
            );
            return Err(FileError::new("git-failed", message));
        }
        _ => {}
    }
    let before = (!file.is_new).then_some(file.before.as_slice());
    write(path, before, &file.after).map_err(|e| FileError::new("not-written", e.to_string()))?;
    if let Some(record) = record {
        // Under --allow-dirty nobody asked whether the text before was the user's own.
        if own || !allow_dirty { record.note(path, &file.after) } else { record.forget(path) }
    }
    Ok(())
}

/// The record of each work tree that is written to.
#[derive(Default)]
struct Records(BTreeMap<PathBuf, Written>);

impl Records {
    fn of(&mut self, path: &Path) -> Option<&mut Written> {
        let root = git::root(path)?;
        Some(self.0.entry(root.clone()).or_insert_with(|| Written::of(&root)))
    }

    /// Without a record a second `--write` refuses what the first one wrote: a nuisance, no fault.
    fn save(&self) {
        for record in self.0.values() {
            let _ = record.save();
        }
    }
}
