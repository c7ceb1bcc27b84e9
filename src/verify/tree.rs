//! The merged file system of an image, as the engine's archive tells it: each path with its type, mode, owner, link target,
//! extended attributes, and a digest of its content. Nothing is unpacked; a listing needs some 200 bytes a path.

use std::{
    collections::BTreeMap,
    io::{self, Read},
};

use sha2::{Digest, Sha256};

/// What is at a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    File,
    Folder,
    Symlink,
    /// A character or block device, by its numbers.
    Device(bool, u32, u32),
    Fifo,
    Other(u8),
}

impl Kind {
    /// For a person.
    #[must_use]
    pub fn text(self) -> &'static str {
        match self {
            Kind::File => "file",
            Kind::Folder => "folder",
            Kind::Symlink => "symlink",
            Kind::Device(true, ..) => "character device",
            Kind::Device(false, ..) => "block device",
            Kind::Fifo => "fifo",
            Kind::Other(_) => "special file",
        }
    }
}

/// One path of an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    pub kind: Kind,
    /// Permission bits, with suid, sgid and sticky.
    pub mode: u32,
    pub uid: u64,
    pub gid: u64,
    /// In bytes; 0 of all but files.
    pub size: u64,
    /// SHA-256, of files alone.
    pub digest: Option<Box<[u8; 32]>>,
    /// Where a symlink points.
    pub target: Option<Box<str>>,
    /// The first path, in order, of the file that this one is hard linked with.
    pub linked: Option<Box<str>>,
    /// Name and value, sorted.
    pub xattrs: Vec<(String, Vec<u8>)>,
}

/// All paths of an image, without a leading slash, in order; and the texts that tell what is installed.
#[derive(Clone, Debug, Default)]
pub struct Tree {
    pub entries: BTreeMap<Box<str>, Entry>,
    pub(super) texts: BTreeMap<Box<str>, Vec<u8>>,
}

/// Files whose text is kept, up to [`MAX_TEXT`]: who exists, which system it is, and what is installed (dpkg, apk; distroless has
/// a file a package, GoogleContainerTools/distroless cd080764a README).
fn is_kept(path: &str) -> bool {
    matches!(
        path,
        "etc/passwd"
            | "etc/group"
            | "etc/os-release"
            | "usr/lib/os-release"
            | "var/lib/dpkg/status"
            | "lib/apk/db/installed"
    ) || path.starts_with("var/lib/dpkg/status.d/")
}

const MAX_TEXT: u64 = 8 << 20;
/// What the engine puts into each container's file system where the image has nothing there; no part of the image (moby/moby
/// b985e2313 `daemon/initlayer/setup_unix.go`).
const MARK: &str = ".dockerenv";

impl Tree {
    /// Reads an archive to its end.
    ///
    /// # Errors
    /// When it breaks off or is no archive.
    pub fn read(archive: impl Read) -> io::Result<Tree> {
        let mut tree = Tree::default();
        let mut links: Vec<(Box<str>, Box<str>)> = Vec::new();
        let mut buffer = vec![0; 1 << 16];
        let mut archive = tar::Archive::new(archive);
        for entry in archive.entries()? {
            let mut entry = entry?;
            let path = clean(&entry.path_bytes());
            if path.is_empty() || &*path == MARK {
                continue;
            }
            if entry.header().entry_type() == tar::EntryType::Link {
                let target = entry.link_name_bytes().map(|t| clean(&t)).unwrap_or_default();
                links.push((path, target));
                continue;
            }
            let xattrs = xattrs(&mut entry)?;
            let header = entry.header();
            let kind = kind(header)?;
            let mut found = Entry {
                kind,
                mode: header.mode()? & 0o7777,
                uid: header.uid()?,
                gid: header.gid()?,
                size: 0,
                digest: None,
                target: None,
                linked: None,
                xattrs,
            };
            match kind {
                Kind::Symlink => {
                    found.target = entry.link_name_bytes().map(|t| String::from_utf8_lossy(&t).into());
                }
                Kind::File => {
                    let mut text = (is_kept(&path) && entry.size() <= MAX_TEXT).then(Vec::new);
                    let mut hash = Sha256::new();
                    loop {
                        let n = entry.read(&mut buffer)?;
                        if n == 0 {
                            break;
                        }
                        hash.update(&buffer[..n]);
                        found.size += n as u64;
                        if let Some(text) = &mut text {
                            text.extend_from_slice(&buffer[..n]);
                        }
                    }
                    found.digest = Some(Box::new(hash.finalize().into()));
                    if let Some(text) = text {
                        tree.texts.insert(path.clone(), text);
                    }
                }
                _ => {}
            }
            tree.entries.insert(path, found);
        }
        tree.link(links)?;
        // The engine pads the archive behind its end, and fails if nobody takes that.
        io::copy(&mut archive.into_inner(), &mut io::sink())?;
        Ok(tree)
    }

    /// Gives each hard link what its target has. Which path of a group the archive tells first is chance, so each gets the name of
    /// the first one in order.
    fn link(&mut self, links: Vec<(Box<str>, Box<str>)>) -> io::Result<()> {
        let mut groups: BTreeMap<Box<str>, Vec<Box<str>>> = BTreeMap::new();
        for (path, target) in links {
            groups.entry(target).or_default().push(path);
        }
        for (target, mut paths) in groups {
            let Some(mut entry) = self.entries.get(&target).cloned() else {
                return Err(io::Error::other(format!("a hard link to {target}, which is not there")));
            };
            paths.push(target);
            paths.sort();
            entry.linked = paths.first().cloned();
            for path in paths {
                self.entries.insert(path, entry.clone());
            }
        }
        Ok(())
    }

    /// The text of a small file that says what the system is, if the image has it.
    #[must_use]
    pub fn text(&self, path: &str) -> Option<String> {
        self.texts.get(path).map(|t| String::from_utf8_lossy(t).into_owned())
    }

    /// The kept texts below a folder, which ends with a slash.
    pub fn texts_below<'a>(&'a self, folder: &'a str) -> impl Iterator<Item = String> + 'a {
        let below = self.texts.iter().filter(move |(p, _)| p.starts_with(folder));
        below.map(|(_, text)| String::from_utf8_lossy(text).into_owned())
    }

    /// What a path leads to, through symlinks.
    #[must_use]
    pub fn find(&self, path: &str) -> Option<&Entry> {
        let mut todo: Vec<String> = path.split('/').rev().map(str::to_owned).collect();
        let (mut at, mut links) = (Vec::<String>::new(), 0);
        let mut found = None;
        while let Some(part) = todo.pop() {
            match part.as_str() {
                "" | "." => continue,
                ".." => {
                    at.pop();
                    continue;
                }
                _ => at.push(part),
            }
            let entry = self.entries.get(at.join("/").as_str())?;
            if let Some(target) = &entry.target {
                links += 1;
                if links > 40 {
                    return None;
                }
                at.pop();
                if target.starts_with('/') {
                    at.clear();
                }
                todo.extend(target.split('/').rev().map(str::to_owned));
            } else {
                found = Some(entry);
            }
        }
        found
    }
}

fn kind(header: &tar::Header) -> io::Result<Kind> {
    use tar::EntryType;
    let device = |is_char| {
        Ok(Kind::Device(
            is_char,
            header.device_major()?.unwrap_or_default(),
            header.device_minor()?.unwrap_or_default(),
        ))
    };
    match header.entry_type() {
        EntryType::Regular | EntryType::Continuous | EntryType::GNUSparse => Ok(Kind::File),
        EntryType::Directory => Ok(Kind::Folder),
        EntryType::Symlink => Ok(Kind::Symlink),
        EntryType::Char => device(true),
        EntryType::Block => device(false),
        EntryType::Fifo => Ok(Kind::Fifo),
        other => Ok(Kind::Other(other.as_byte())),
    }
}

/// As Go's archive/tar writes them.
fn xattrs(entry: &mut tar::Entry<impl Read>) -> io::Result<Vec<(String, Vec<u8>)>> {
    const PREFIX: &str = "SCHILY.xattr.";
    let mut out = Vec::new();
    if let Some(extensions) = entry.pax_extensions()? {
        for extension in extensions {
            let extension = extension?;
            if let Some(name) = extension.key().ok().and_then(|k| k.strip_prefix(PREFIX)) {
                out.push((name.to_owned(), extension.value_bytes().to_vec()));
            }
        }
    }
    out.sort();
    Ok(out)
}

/// `./usr/bin/` is `usr/bin`.
fn clean(path: &[u8]) -> Box<str> {
    let text = String::from_utf8_lossy(path);
    let text = text.trim_start_matches("./").trim_matches('/');
    if text == "." { "".into() } else { text.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn archive() -> Vec<u8> {
        let mut builder = tar::Builder::new(Vec::new());
        let mut add = |path: &str, kind, text: &str, link: Option<&str>| {
            let mut header = tar::Header::new_gnu();
            header.set_entry_type(kind);
            header.set_mode(0o640);
            header.set_uid(7);
            header.set_gid(0);
            header.set_size(text.len() as u64);
            match link {
                Some(link) => builder.append_link(&mut header, path, link).unwrap(),
                None => builder.append_data(&mut header, path, text.as_bytes()).unwrap(),
            }
        };
        add(".dockerenv", tar::EntryType::Regular, "", None);
        add("srv/", tar::EntryType::Directory, "", None);
        add("srv/b", tar::EntryType::Regular, "one", None);
        add("srv/a", tar::EntryType::Link, "", Some("srv/b"));
        add("run", tar::EntryType::Symlink, "", Some("/srv"));
        builder.into_inner().unwrap()
    }

    #[test]
    fn reads_an_archive_and_what_pads_it() {
        struct Counted<'a>(&'a [u8], &'a std::cell::Cell<usize>);
        impl Read for Counted<'_> {
            fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
                let n = self.0.read(out)?;
                self.1.set(self.1.get() + n);
                Ok(n)
            }
        }
        let mut bytes = archive();
        bytes.resize(bytes.len() + 9000, 0);
        let taken = std::cell::Cell::new(0);
        let tree = Tree::read(Counted(&bytes, &taken)).unwrap();
        assert_eq!(taken.get(), bytes.len());
        let paths: Vec<&str> = tree.entries.keys().map(|p| &**p).collect();
        assert_eq!(paths, ["run", "srv", "srv/a", "srv/b"]);
        let (a, b) = (&tree.entries["srv/a"], &tree.entries["srv/b"]);
        assert_eq!((a, a.linked.as_deref(), a.uid, a.mode), (b, Some("srv/a"), 7, 0o640));
        assert_eq!(tree.find("run/a"), Some(a));
        assert!(Tree::read(&bytes[..600]).is_err());
    }
}
