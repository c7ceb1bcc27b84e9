//! What a COPY brings of the build context, and where it lands.

use super::{Alignment, Copy, Fault, Op, Pair, View, fault};
use crate::{
    context::FileKind,
    facts::{covers, join},
};

/// V3: a COPY that takes an owner or mode stands where it stood, seen from all that is as it was.
pub(super) fn copies_stay(pair: &Pair, alignment: &Alignment) -> Result<(), Fault> {
    let copies = |ops: &[Op], which: &[usize]| -> Vec<usize> {
        which.iter().copied().filter(|i| matches!(ops[*i], Op::Copy(_))).collect()
    };
    let old = copies(&pair.old_ops.ops, &alignment.removed);
    let new = copies(&pair.new_ops.ops, &alignment.added);
    for (was, is) in old.into_iter().zip(new) {
        if let Some((crossed, _)) = alignment.kept.iter().find(|(o, n)| (*o < was) != (*n < is)) {
            return fault("V3", format!("a COPY moved over this: {}", pair.old_ops.ops[*crossed]));
        }
    }
    Ok(())
}

/// Whether ADD copies all its sources as they are: folders, and files that are no archives.
pub(super) fn unpacks_nothing(view: &View, copy: &Copy) -> bool {
    let Some(context) = view.context else {
        return copy.sources.iter().all(|s| matches!(s.as_str(), "." | "./" | "/"));
    };
    let is_plain = |s: &String| {
        let found = context.select(s).unwrap_or_default();
        !found.is_empty()
            && found.iter().all(|path| match context.entry(path).map(|e| e.kind) {
                Some(FileKind::Dir) => true,
                Some(FileKind::File) => !context.may_be_archive(path),
                _ => path.is_empty(),
            })
    };
    copy.sources.iter().all(is_plain)
}

/// The mode in the build context of the file that a COPY of folders puts at `path`; `Some(None)`: it puts none there. None if that is not
/// known.
pub(super) fn mode_of(view: &View, copy: &Copy, path: &str) -> Option<Option<u32>> {
    let known = copy.from.is_none() && copy.mode.is_none() && copy.flags.is_empty();
    let context = view.context.filter(|_| known && (!copy.is_add || unpacks_nothing(view, copy)))?;
    let mut found = None;
    for source in &copy.sources {
        for from in context.select(source)? {
            let is_file = context.entry(&from).is_some_and(|e| e.kind == FileKind::File);
            let name = from.rsplit('/').next().unwrap_or(&from);
            let (top, file) = if is_file {
                (join(&copy.dst, name), from.clone())
            } else {
                (copy.dst.clone(), String::new())
            };
            let file = match path.strip_prefix(&top).map(|rest| rest.trim_start_matches('/')) {
                Some("") if is_file => file,
                Some(rest) if !is_file && covers(&top, path) => {
                    join(&format!("/{from}"), rest)[1..].to_owned()
                }
                _ => continue,
            };
            let mut above = file.match_indices('/').map(|(i, _)| &file[..i]);
            if above.any(|dir| context.entry(dir).is_some_and(|e| e.kind != FileKind::Dir)) {
                return None;
            }
            match context.entry(&file) {
                Some(entry) if entry.kind == FileKind::File => found = Some(entry.mode),
                Some(_) => return None,
                None => {}
            }
        }
    }
    Some(found)
}

/// Where the files of a COPY land, and the mode that each has in the build context, if all its sources are regular files of the context.
pub(super) fn landings(
    view: &View,
    copy: &Copy,
    is_folder: &dyn Fn(&str) -> bool,
) -> Option<Vec<(String, u32)>> {
    let context = view.context.filter(|_| copy.from.is_none())?;
    // a folder that is there already takes the file in
    let into = copy.into || copy.sources.len() > 1 || is_folder(&copy.dst);
    let mut out = Vec::new();
    for source in &copy.sources {
        for path in context.select(source)? {
            let entry = context.entry(&path)?;
            if entry.kind != FileKind::File {
                return None;
            }
            let name = path.rsplit('/').next().unwrap_or(&path);
            out.push((if into { join(&copy.dst, name) } else { copy.dst.clone() }, entry.mode));
        }
    }
    (!out.is_empty()).then_some(out)
}
