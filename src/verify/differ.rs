//! What two images differ in, and what of it differs between two builds of the same file: noise, which is not held against a
//! rewrite.

use std::collections::BTreeSet;

use serde_json::Value;

use super::tree::{Entry, Kind, Tree};

/// One difference.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Difference {
    pub place: Place,
    pub aspect: Aspect,
    /// What the first image has, for a person.
    pub before: String,
    pub after: String,
}

/// Where.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// A field of the image's config: `Env`.
    Config(String),
    /// A path, without its leading slash.
    Path(Box<str>),
}

/// In what.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Aspect {
    Value,
    /// One image has the path, the other does not.
    Presence,
    Type,
    Mode,
    Owner,
    /// Where a symlink points.
    Target,
    HardLink,
    Xattrs,
    Content,
}

impl Aspect {
    /// For a report.
    #[must_use]
    pub fn text(self) -> &'static str {
        match self {
            Aspect::Value => "config",
            Aspect::Presence => "presence",
            Aspect::Type => "type",
            Aspect::Mode => "mode",
            Aspect::Owner => "owner",
            Aspect::Target => "link target",
            Aspect::HardLink => "hard link",
            Aspect::Xattrs => "extended attributes",
            Aspect::Content => "content",
        }
    }
}

/// An image: its file system, and its config by field.
pub struct Image {
    pub tree: Tree,
    pub config: Vec<(String, Value)>,
}

/// All that differs from `a` to `b`, config first, paths in order.
#[must_use]
pub fn compare(a: &Image, b: &Image) -> Vec<Difference> {
    let mut out = configs(&a.config, &b.config);
    out.extend(trees(&a.tree, &b.tree));
    out
}

fn configs(a: &[(String, Value)], b: &[(String, Value)]) -> Vec<Difference> {
    let names: BTreeSet<&String> = a.iter().chain(b).map(|(name, _)| name).collect();
    let get = |of: &[(String, Value)], name: &str| {
        of.iter().find(|(n, _)| n == name).map(|(_, v)| v.clone()).filter(|v| !is_empty(v))
    };
    let shown = |v: Option<Value>| v.map_or_else(|| "none".to_owned(), |v| v.to_string());
    names
        .into_iter()
        .map(|name| (name, get(a, name), get(b, name)))
        .filter(|(_, a, b)| a != b)
        .map(|(name, a, b)| Difference {
            place: Place::Config(name.clone()),
            aspect: Aspect::Value,
            before: shown(a),
            after: shown(b),
        })
        .collect()
}

/// The engine writes what is not set as null, "", [] or {}, as it likes, and so does not tell them apart either.
fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Bool(b) => !b,
        Value::String(s) => s.is_empty(),
        Value::Array(a) => a.is_empty(),
        Value::Object(o) => o.is_empty(),
        Value::Number(n) => n.as_i64() == Some(0),
    }
}

fn trees(a: &Tree, b: &Tree) -> Vec<Difference> {
    let mut out = Vec::new();
    let (mut left, mut right) = (a.entries.iter().peekable(), b.entries.iter().peekable());
    loop {
        let order = match (left.peek(), right.peek()) {
            (None, None) => return out,
            (Some(_), None) => std::cmp::Ordering::Less,
            (None, Some(_)) => std::cmp::Ordering::Greater,
            (Some((x, _)), Some((y, _))) => x.cmp(y),
        };
        let x = if order.is_le() { left.next() } else { None };
        let y = if order.is_ge() { right.next() } else { None };
        match (x, y) {
            (Some((path, x)), Some((_, y))) => out.extend(entries(path, x, y)),
            (Some((path, x)), None) => out.push(presence(path, Some(x), None)),
            (None, y) => out.extend(y.map(|(path, y)| presence(path, None, Some(y)))),
        }
    }
}

fn presence(path: &str, before: Option<&Entry>, after: Option<&Entry>) -> Difference {
    let shown = |e: Option<&Entry>| e.map_or_else(|| "not there".to_owned(), describe);
    Difference {
        place: Place::Path(path.into()),
        aspect: Aspect::Presence,
        before: shown(before),
        after: shown(after),
    }
}

fn describe(e: &Entry) -> String {
    let size = if e.kind == Kind::File { format!(", {} bytes", e.size) } else { String::new() };
    format!("{} {:04o} {}:{}{size}", e.kind.text(), e.mode, e.uid, e.gid)
}

fn entries(path: &str, x: &Entry, y: &Entry) -> Vec<Difference> {
    if x == y {
        return Vec::new();
    }
    let mut out = Vec::new();
    let mut differ = |aspect, before: String, after: String| {
        if before != after {
            out.push(Difference { place: Place::Path(path.into()), aspect, before, after });
        }
    };
    if x.kind != y.kind {
        differ(Aspect::Type, describe(x), describe(y));
        return out;
    }
    let mode = |e: &Entry| format!("{:04o}", e.mode);
    let owner = |e: &Entry| format!("{}:{}", e.uid, e.gid);
    let text = |t: &Option<Box<str>>| t.as_deref().unwrap_or("none").to_owned();
    let xattrs = |e: &Entry| {
        let pairs = e.xattrs.iter().map(|(n, v)| format!("{n}={}", hex(v)));
        pairs.collect::<Vec<_>>().join(" ")
    };
    let content = |e: &Entry| {
        let digest = e.digest.as_ref().map_or_else(String::new, |d| hex(&d[..8]));
        format!("{} bytes, sha256 {digest}…", e.size)
    };
    // The mode of a symlink means nothing.
    if x.kind != Kind::Symlink {
        differ(Aspect::Mode, mode(x), mode(y));
    }
    differ(Aspect::Owner, owner(x), owner(y));
    differ(Aspect::Target, text(&x.target), text(&y.target));
    differ(Aspect::HardLink, text(&x.linked), text(&y.linked));
    differ(Aspect::Xattrs, xattrs(x), xattrs(y));
    if x.digest != y.digest {
        differ(Aspect::Content, content(x), content(y));
    }
    out
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

/// What differs between builds of one and the same file.
#[derive(Debug, Default)]
pub struct Noise {
    /// The very places.
    places: BTreeSet<(Place, Aspect)>,
    /// Files whose names differ from build to build (npm's logs have the time in theirs): what is the same in all the names, and
    /// what is at the path.
    names: BTreeSet<(String, String)>,
}

impl Noise {
    /// Learns from another pair of builds of the same file.
    pub fn learn(&mut self, a: &Image, b: &Image) {
        let found = compare(a, b);
        let missing = |in_b: bool| {
            found.iter().filter(move |d| d.aspect == Aspect::Presence && (d.before == "not there") == in_b)
        };
        let shapes = |in_b| -> BTreeSet<(String, String)> { missing(in_b).filter_map(shape).collect() };
        // A name counts as made up anew where each build has one of its shape that the other lacks.
        self.names.extend(shapes(false).intersection(&shapes(true)).cloned());
        self.places.extend(found.into_iter().map(|d| (d.place, d.aspect)));
    }

    /// Whether a difference says nothing of the rewrite.
    #[must_use]
    pub fn explains(&self, d: &Difference) -> bool {
        self.places.contains(&(d.place.clone(), d.aspect))
            || (d.aspect == Aspect::Presence && shape(d).is_some_and(|s| self.names.contains(&s)))
    }

    /// How many places differ from build to build.
    #[must_use]
    pub fn len(&self) -> usize {
        self.places.len()
    }

    /// Whether two builds of the file were equal.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.places.is_empty()
    }
}

/// What stays of a path when numbers and made-up words are taken out of its names, and what is there (without the size of files).
/// None of a path that has none: it would have been the same in each build.
fn shape(d: &Difference) -> Option<(String, String)> {
    let Place::Path(path) = &d.place else { return None };
    let there = if d.before == "not there" { &d.after } else { &d.before };
    let (mut out, mut word) = (String::new(), String::new());
    let mut made_up = false;
    for c in path.chars().chain(['/']) {
        if c.is_ascii_alphanumeric() {
            word.push(c);
            continue;
        }
        let is_hex = word.len() >= 6 && word.chars().all(|c| c.is_ascii_hexdigit());
        if word.contains(|c: char| c.is_ascii_digit()) || is_hex {
            made_up = true;
            out.push('#');
        } else {
            out.push_str(&word);
        }
        word.clear();
        out.push(c);
    }
    made_up.then(|| (out, there.split(',').next().unwrap_or_default().to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image(paths: &[(&str, u32, u64, u8)]) -> Image {
        let entry = |mode, uid, content: u8| Entry {
            kind: Kind::File,
            mode,
            uid,
            gid: 0,
            size: 1,
            digest: Some(Box::new([content; 32])),
            target: None,
            linked: None,
            xattrs: Vec::new(),
        };
        let entries = paths.iter().map(|(p, mode, uid, c)| ((*p).into(), entry(*mode, *uid, *c))).collect();
        Image { tree: Tree { entries, ..Tree::default() }, config: Vec::new() }
    }

    fn check(first: &Image, second: &Image, rewritten: &Image, expect: &[&str]) {
        let mut noise = Noise::default();
        noise.learn(first, second);
        let left: Vec<String> = compare(first, rewritten)
            .iter()
            .filter(|d| !noise.explains(d))
            .map(|d| match &d.place {
                Place::Path(p) => format!("{p} {}", d.aspect.text()),
                Place::Config(f) => f.clone(),
            })
            .collect();
        assert_eq!(left, expect);
    }

    #[test]
    fn tells_noise_from_differences() {
        let a =
            [("etc/a", 0o644, 0, 1), ("log/2026-11-25T20_40-debug-0.log", 0o644, 0, 1), ("x", 0o644, 0, 1)];
        let b =
            [("etc/a", 0o644, 0, 1), ("log/2026-11-25T20_41-debug-0.log", 0o644, 0, 2), ("x", 0o644, 0, 2)];
        let same =
            [("etc/a", 0o644, 0, 1), ("log/2026-11-26T01_02-debug-0.log", 0o644, 0, 3), ("x", 0o644, 0, 3)];
        check(&image(&a), &image(&b), &image(&same), &[]);
        let other_mode =
            [("etc/a", 0o644, 0, 1), ("log/2026-11-26T01_02-debug-0.log", 0o600, 0, 3), ("x", 0o600, 0, 3)];
        check(
            &image(&a),
            &image(&b),
            &image(&other_mode),
            &[
                "log/2026-11-25T20_40-debug-0.log presence",
                "log/2026-11-26T01_02-debug-0.log presence",
                "x mode",
            ][1..],
        );
        let extra = [
            ("etc/a", 0o644, 0, 2),
            ("etc/b", 0o644, 0, 1),
            ("log/2026-11-25T20_40-debug-0.log", 0o644, 0, 1),
            ("log/err.log", 0o644, 0, 1),
            ("x", 0o644, 0, 1),
        ];
        check(
            &image(&a),
            &image(&b),
            &image(&extra),
            &["etc/a content", "etc/b presence", "log/err.log presence"],
        );
    }
}
