//! Which folder is a Dockerfile's build context.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
};

use super::{Declared, absolute};
use crate::context::Origin;

/// What a Dockerfile wants of its context.
#[derive(Clone, Debug, Default)]
pub struct Wants {
    /// The literal sources of COPY and ADD, without wildcards, cleaned, relative to the context.
    pub literal_sources: Vec<String>,
    /// Groups of manifests that the known commands read where `COPY .` would bring them: of each group one must exist.
    pub manifests: Vec<Vec<String>>,
    /// Whether the whole context is copied.
    pub whole: bool,
}

/// A folder that is a context, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chosen {
    pub dir: PathBuf,
    pub origin: Origin,
}

/// The context of `dockerfile`: the given one; else those that the repository declares (several, when it is built in
/// several); else the nearest folder, from the Dockerfile's upward to the `root` of the repository, that holds what is wanted;
/// without a root only the Dockerfile's own. Empty: none is known, or none is wanted. Folders are absolute.
#[must_use]
pub fn choose_context(
    dockerfile: &Path,
    given: Option<&Path>,
    root: Option<&Path>,
    wants: &Wants,
    declared: Option<&Declared>,
) -> Vec<Chosen> {
    if let Some(dir) = given {
        return vec![Chosen { dir: absolute(dir), origin: Origin::Given }];
    }
    let mut seen = BTreeSet::new();
    let declared: Vec<Chosen> = declared
        .into_iter()
        .flat_map(|d| d.for_file(dockerfile))
        .filter(|b| seen.insert(&b.context))
        .map(|b| Chosen { dir: b.context.clone(), origin: Origin::Declared { by: b.by.clone() } })
        .collect();
    if !declared.is_empty() {
        return declared;
    }
    guess(dockerfile, root, wants).into_iter().collect()
}

fn guess(dockerfile: &Path, root: Option<&Path>, wants: &Wants) -> Option<Chosen> {
    let sources: Vec<&str> = wants
        .literal_sources
        .iter()
        .map(|s| s.trim_start_matches("./").trim_matches('/'))
        .filter(|s| !s.is_empty() && *s != ".")
        .collect();
    let narrow = !sources.is_empty() || !wants.manifests.is_empty();
    if !narrow && !wants.whole {
        return None;
    }
    let path = absolute(dockerfile);
    let own = path.parent()?;
    let last = root.unwrap_or(own);
    let holds = |dir: &Path, name: &str| dir.join(name).symlink_metadata().is_ok();
    let dir = own.ancestors().take_while(|dir| dir.starts_with(last)).find(|dir| {
        sources.iter().all(|s| holds(dir, s))
            && wants.manifests.iter().all(|group| group.iter().any(|m| holds(dir, m)))
    })?;
    let origin = if narrow { Origin::CopySources } else { Origin::Guessed };
    Some(Chosen { dir: dir.to_path_buf(), origin })
}
