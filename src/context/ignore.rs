//! `.dockerignore` as BuildKit reads it. It is no `.gitignore`: patterns start at the root of the context, and a
//! later `!` pattern brings back what lies in a folder that an earlier one keeps out.
//!
//! Sources: moby/patternmatcher 5a6d842 `patternmatcher.go` and `ignorefile/ignorefile.go` (how a line becomes a
//! pattern and what a pattern matches); moby/buildkit 73ed6825c `vendor/github.com/tonistiigi/fsutil/filter.go`
//! (how the transfer of a context walks with them); Go's `path/filepath` (`Match`, `Clean`), for Unix.

use super::regex::Regex;

/// Go's `filepath.ErrBadPattern`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadPattern;

/// Longest line that Go's `bufio.Scanner` takes, in bytes; a longer one fails the build.
const LONGEST_LINE: usize = 64 * 1024;

/// A parsed `.dockerignore`.
#[derive(Clone, Debug, Default)]
pub struct IgnoreFile {
    lines: Vec<String>,
    patterns: Vec<Pattern>,
    error: Option<String>,
}

/// One pattern of an ignore file.
#[derive(Clone, Debug)]
pub struct Pattern {
    /// The line as written, without its line end.
    pub raw: String,
    /// 1-based line in the file.
    pub line: usize,
    /// Whether it brings back (`!`) what an earlier one keeps out.
    pub negated: bool,
    /// The pattern that is matched: without `!`, without a leading `/`, cleaned.
    pub cleaned: String,
    matcher: Matcher,
}

// The four kinds that patternmatcher tells apart; they differ in more than speed (`dir/**` and `**x` match by bytes).
#[derive(Clone, Debug)]
enum Matcher {
    Exact,
    /// `dir/**` without the stars.
    Prefix(String),
    /// `**/file` without the stars.
    Suffix(String),
    Regex(Regex),
}

/// What the walk of a context knows of one path; that of a folder is needed for what lies in it.
#[derive(Clone, Debug)]
pub(super) struct Verdict {
    /// By pattern: whether it matched this path or a folder above it at the time it was asked.
    matched: Vec<bool>,
    pub(super) excluded: bool,
    /// The walk does not enter this folder.
    pruned: bool,
}

impl IgnoreFile {
    /// Parses the bytes of a `.dockerignore`. It never fails: what would fail the build is in `error()`, and the
    /// pattern at fault then matches nothing. Bytes that are not UTF-8 become U+FFFD.
    #[must_use]
    pub fn parse(bytes: &[u8]) -> Self {
        let bytes = bytes.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(bytes);
        let mut file = Self::default();
        for (index, raw) in bytes.split(|&b| b == b'\n').enumerate() {
            if raw.len() >= LONGEST_LINE {
                file.fail(index + 1, "the line is too long");
                break;
            }
            let raw = raw.strip_suffix(b"\r").unwrap_or(raw);
            let raw = String::from_utf8_lossy(raw);
            let Some(text) = read_line(&raw) else { continue };
            match Pattern::new(&text, &raw, index + 1) {
                Ok(pattern) => file.patterns.push(pattern),
                Err(why) => file.fail(index + 1, &format!("`{text}`: {why}")),
            }
            file.lines.push(text);
        }
        file
    }

    /// An ignore file that is there but could not be read: nothing can be said of what it keeps out.
    #[must_use]
    pub fn unreadable(why: &str) -> Self {
        Self { error: Some(why.to_string()), ..Self::default() }
    }

    /// Why a build with this file fails, if it does.
    #[must_use]
    pub fn error(&self) -> Option<&str> {
        self.error.as_deref()
    }

    /// The lines that hold a pattern, trimmed and cleaned, with their `!`: what `ignorefile.ReadAll` gives.
    #[must_use]
    pub fn lines(&self) -> &[String] {
        &self.lines
    }

    /// The valid patterns, in order.
    #[must_use]
    pub fn patterns(&self) -> &[Pattern] {
        &self.patterns
    }

    /// Whether the transfer of the context leaves `path` out. A folder that is left out may still come, if something
    /// in it is brought back: see `excludes_all_below`. The root is never left out.
    #[must_use]
    pub fn excludes(&self, path: &str) -> bool {
        self.walk(&normal(path)).excluded
    }

    /// The pattern that leaves `path` out: the last one that matched it or a folder above it.
    #[must_use]
    pub fn excluded_by(&self, path: &str) -> Option<&Pattern> {
        let verdict = self.walk(&normal(path));
        if !verdict.excluded {
            return None;
        }
        let last = verdict.matched.iter().rposition(|&m| m)?;
        self.patterns.get(last)
    }

    /// Whether everything below the folder `dir` is left out, whatever there is. It says nothing of `dir` itself:
    /// under `dir/**` an empty `dir` comes. `false` when that cannot be proved.
    #[must_use]
    pub fn excludes_all_below(&self, dir: &str) -> bool {
        let dir = normal(dir);
        let verdict = self.walk(&dir);
        self.all_below(&dir, &verdict)
    }

    /// Whether each path whose last part is `name`, at any depth, is left out with everything in it, whatever there
    /// is: true for `**/node_modules`, not for `node_modules`. `false` when that cannot be proved.
    #[must_use]
    pub fn would_exclude_all(&self, name: &str) -> bool {
        self.would_exclude_all_if(name, &|_| false)
    }

    /// As `would_exclude_all`; `never_dir` tells of a pattern whether what it matches is never a folder, so that
    /// `!README.md` after `**/node_modules` does no harm.
    pub(super) fn would_exclude_all_if(&self, name: &str, never_dir: &dyn Fn(&Pattern) -> bool) -> bool {
        if self.error.is_some() || name.is_empty() || name.contains('/') {
            return false;
        }
        let exceptions = || self.patterns.iter().enumerate().filter(|(_, p)| p.negated);
        if exceptions().next().is_none() && self.excludes_all_below("") {
            return true;
        }
        self.patterns
            .iter()
            .enumerate()
            .filter(|(_, p)| !p.negated && p.matches_everywhere(name))
            .any(|(keeper, _)| exceptions().all(|(i, p)| p.is_harmless_for(name, i > keeper, never_dir)))
    }

    /// What is known at the root, where no pattern has been asked.
    fn root(&self) -> Verdict {
        Verdict { matched: vec![false; self.patterns.len()], excluded: false, pruned: false }
    }

    /// What is known of `path`, whose folder is `parent`: patternmatcher's `MatchesUsingParentResults`, and the
    /// folders that fsutil's walk skips.
    // A pattern that a parent matched counts as matched; one that was not asked for a parent (a `!` while nothing
    // was excluded) is asked for the path alone. So the order of the lines matters more than in a simple "last wins".
    pub(super) fn step(&self, path: &str, parent: &Verdict) -> Verdict {
        if parent.pruned {
            return parent.clone();
        }
        let mut verdict = self.root();
        for (i, pattern) in self.patterns.iter().enumerate() {
            let asked = pattern.negated == verdict.excluded;
            if parent.matched[i] || (asked && pattern.matches(path)) {
                verdict.matched[i] = true;
                verdict.excluded = !pattern.negated;
            }
        }
        verdict.pruned = verdict.excluded && self.prunes(path);
        verdict
    }

    /// Whether everything below `dir`, of which `verdict` is known, is left out.
    pub(super) fn all_below(&self, dir: &str, verdict: &Verdict) -> bool {
        if self.error.is_some() {
            return false;
        }
        if verdict.pruned {
            return true;
        }
        let below = if dir.is_empty() { String::new() } else { format!("{dir}/") };
        let negated = |from: usize| self.patterns.iter().enumerate().skip(from).filter(|(_, p)| p.negated);
        // A `!` above the keeper can still decide below it: the keeper is not asked of what is excluded already.
        let calm = |from: usize| negated(from).all(|(_, p)| !p.may_match_below(&below));
        let open = |from: usize| negated(from).any(|(i, _)| verdict.matched[i]);
        self.patterns.iter().enumerate().any(|(i, pattern)| {
            if pattern.negated || open(i) {
                return false;
            }
            let (deep, children) = pattern.surely_below(&below);
            ((verdict.matched[i] || deep) && calm(i)) || (children && calm(0))
        })
    }

    /// What is known of `path`, a `normal` one, from the root down to it.
    pub(super) fn walk(&self, path: &str) -> Verdict {
        let mut verdict = self.root();
        if path.is_empty() {
            return verdict;
        }
        let ends = path.match_indices('/').map(|(i, _)| i).chain([path.len()]);
        for end in ends {
            verdict = self.step(&path[..end], &verdict);
        }
        verdict
    }

    // fsutil skips an excluded folder when each exception is a plain path and none starts in that folder.
    fn prunes(&self, dir: &str) -> bool {
        let dir = format!("{dir}/");
        self.patterns.iter().filter(|p| p.negated).all(|p| {
            let bare = p.cleaned.strip_suffix("/**").unwrap_or(&p.cleaned);
            let bare = bare.strip_suffix("/*").unwrap_or(bare);
            !bare.contains(['*', '[', ']', '?', '^', '\\']) && !format!("{bare}/").starts_with(&dir)
        })
    }

    fn fail(&mut self, line: usize, why: &str) {
        self.error.get_or_insert_with(|| format!("line {line}: {why}"));
    }
}

impl Pattern {
    // `text` is a line of `ReadAll`; this is `patternmatcher.New` for it.
    fn new(text: &str, raw: &str, line: usize) -> Result<Self, String> {
        let text = clean(text.trim());
        let (negated, cleaned) = match text.strip_prefix('!') {
            Some("") => return Err("an exception names nothing".to_string()),
            Some(rest) => (true, rest.to_string()),
            None => (false, text),
        };
        go_match(&cleaned, ".").map_err(|BadPattern| "syntax error in pattern".to_string())?;
        let matcher = compile(&cleaned)?;
        Ok(Self { raw: raw.to_string(), line, negated, cleaned, matcher })
    }

    /// Whether it matches this very path; folders above it are not looked at.
    #[must_use]
    pub fn matches(&self, path: &str) -> bool {
        match &self.matcher {
            Matcher::Exact => path == self.cleaned,
            Matcher::Prefix(prefix) => path.starts_with(prefix),
            // `**/foo` matches "foo" too.
            Matcher::Suffix(suffix) => path.ends_with(suffix) || suffix.strip_prefix('/') == Some(path),
            Matcher::Regex(regex) => regex.is_match(path),
        }
    }

    /// Whether the pattern is one path without any wildcard.
    #[must_use]
    pub fn is_literal(&self) -> bool {
        matches!(self.matcher, Matcher::Exact)
    }

    /// Whether it can match entries of the root only.
    pub(super) fn is_shallow(&self) -> bool {
        match &self.matcher {
            Matcher::Exact => !self.cleaned.contains('/'),
            Matcher::Prefix(_) | Matcher::Suffix(_) => false,
            Matcher::Regex(regex) => !regex.may_cross('/'),
        }
    }

    // Whether some path that starts with `below` ("dir/") matches.
    fn may_match_below(&self, below: &str) -> bool {
        match &self.matcher {
            Matcher::Exact => self.cleaned.starts_with(below),
            Matcher::Prefix(prefix) => prefix.starts_with(below) || below.starts_with(prefix.as_str()),
            Matcher::Suffix(_) => true,
            Matcher::Regex(regex) => regex.may_match_after(below),
        }
    }

    // Whether each path below `below` matches, and whether each direct child does.
    fn surely_below(&self, below: &str) -> (bool, bool) {
        match &self.matcher {
            Matcher::Exact => (false, false),
            Matcher::Prefix(prefix) => (below.starts_with(prefix.as_str()), false),
            Matcher::Suffix(suffix) => (suffix.is_empty(), false),
            Matcher::Regex(regex) => regex.surely_after(below),
        }
    }

    // Whether it matches `name` and `p/name` for each `p`.
    fn matches_everywhere(&self, name: &str) -> bool {
        match &self.matcher {
            Matcher::Exact | Matcher::Prefix(_) => false,
            Matcher::Suffix(suffix) => name.ends_with(suffix) || suffix.strip_prefix('/') == Some(name),
            Matcher::Regex(regex) => regex.is_match_in_any_dir(name),
        }
    }

    // Whether this exception brings back nothing at or below any `p/name`, of which an earlier (`after`) or a later
    // pattern keeps all out. An exception that matches a folder above `name` after the keeper brings back what is in
    // it, `name` included; before the keeper it does not.
    fn is_harmless_for(&self, name: &str, after: bool, never_dir: &dyn Fn(&Pattern) -> bool) -> bool {
        match &self.matcher {
            Matcher::Exact => {
                !self.cleaned.split('/').any(|part| part == name) && (!after || never_dir(self))
            }
            Matcher::Prefix(prefix) => {
                let folders = prefix.rsplit_once('/').map_or("", |(folders, _)| folders);
                !after && !folders.split('/').any(|part| part == name)
            }
            Matcher::Suffix(_) => false,
            Matcher::Regex(regex) => {
                self.is_shallow() && !regex.is_match(name) && (!after || never_dir(self))
            }
        }
    }
}

/// Go's `filepath.Match` on Unix: `*` and `?` do not match `/`; a pattern that is not well formed is an error, also
/// behind the place where the name stops to match.
pub fn go_match(pattern: &str, name: &str) -> Result<bool, BadPattern> {
    let (mut pattern, mut name) = (pattern.as_bytes(), name.as_bytes());
    'chunks: while !pattern.is_empty() {
        let (star, chunk, rest) = split_chunk(pattern);
        pattern = rest;
        if star && chunk.is_empty() {
            return Ok(!name.contains(&b'/'));
        }
        if let Some(left) = match_chunk(chunk, name)?
            && (left.is_empty() || !pattern.is_empty())
        {
            name = left;
            continue;
        }
        // Go tries each byte here, not each character.
        let reach = if star { name.iter().position(|&b| b == b'/').unwrap_or(name.len()) } else { 0 };
        for i in 0..reach {
            if let Some(left) = match_chunk(chunk, &name[i + 1..])?
                && (left.is_empty() || !pattern.is_empty())
            {
                name = left;
                continue 'chunks;
            }
        }
        while !pattern.is_empty() {
            let (_, chunk, rest) = split_chunk(pattern);
            match_chunk(chunk, b"")?;
            pattern = rest;
        }
        return Ok(false);
    }
    Ok(name.is_empty())
}

/// Go's `filepath.Clean` on Unix: the shortest equal path by the text alone; empty becomes ".".
pub(super) fn clean(path: &str) -> String {
    let rooted = path.starts_with('/');
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." if parts.last().is_some_and(|last| *last != "..") => {
                parts.pop();
            }
            ".." if rooted => {}
            part => parts.push(part),
        }
    }
    match (rooted, parts.is_empty()) {
        (true, _) => format!("/{}", parts.join("/")),
        (false, true) => ".".to_string(),
        (false, false) => parts.join("/"),
    }
}

/// A path of a context: relative, cleaned, "" for the root; `..` does not leave the root.
pub(super) fn normal(path: &str) -> String {
    clean(&format!("/{path}"))[1..].to_string()
}

// One line of `ignorefile.ReadAll`; none for a comment or a blank line. A `#` after a blank starts no comment.
fn read_line(line: &str) -> Option<String> {
    if line.starts_with('#') {
        return None;
    }
    let text = line.trim();
    if text.is_empty() {
        return None;
    }
    let (bang, text) = match text.strip_prefix('!') {
        Some(rest) => ("!", rest.trim()),
        None => ("", text),
    };
    if text.is_empty() {
        return Some(bang.to_string());
    }
    let text = clean(text);
    let text = if text.len() > 1 { text.strip_prefix('/').unwrap_or(&text) } else { &text };
    Some(format!("{bang}{text}"))
}

// `Pattern.compile` of patternmatcher: a kind, and for most wildcards a regular expression, which it writes without
// regard to `[…]`: in there a `*` becomes the text `[^/]*`. That is kept, so the expression is parsed again.
fn compile(pattern: &str) -> Result<Matcher, String> {
    #[derive(PartialEq)]
    enum Kind {
        Exact,
        Prefix,
        Suffix,
        Regex,
    }
    let mut kind = Kind::Exact;
    let mut regex = String::new();
    let mut chars = pattern.chars().peekable();
    let mut first = true;
    while let Some(c) = chars.next() {
        match c {
            '*' if chars.next_if_eq(&'*').is_some() => {
                chars.next_if_eq(&'/');
                let last = chars.peek().is_none();
                if last && kind == Kind::Exact {
                    kind = Kind::Prefix;
                } else {
                    regex.push_str(if last { ".*" } else { "(.*/)?" });
                    kind = Kind::Regex;
                }
                if first {
                    kind = Kind::Suffix;
                }
            }
            '*' => {
                regex.push_str("[^/]*");
                kind = Kind::Regex;
            }
            '?' => {
                regex.push_str("[^/]");
                kind = Kind::Regex;
            }
            '.' | '+' | '(' | ')' | '|' | '{' | '}' | '$' => regex.extend(['\\', c]),
            '\\' => {
                regex.push('\\');
                if let Some(next) = chars.next() {
                    regex.push(next);
                    kind = Kind::Regex;
                }
            }
            '[' | ']' => {
                regex.push(c);
                kind = Kind::Regex;
            }
            c => regex.push(c),
        }
        first = false;
    }
    Ok(match kind {
        Kind::Exact => Matcher::Exact,
        Kind::Prefix => Matcher::Prefix(pattern.strip_suffix("**").unwrap_or(pattern).to_string()),
        Kind::Suffix => Matcher::Suffix(pattern.strip_prefix("**").unwrap_or(pattern).to_string()),
        Kind::Regex => Matcher::Regex(Regex::parse(&regex)?),
    })
}

// Whether stars lead, the text up to the next star, and the rest.
fn split_chunk(pattern: &[u8]) -> (bool, &[u8], &[u8]) {
    let stars = pattern.iter().take_while(|&&b| b == b'*').count();
    let pattern = &pattern[stars..];
    let (mut i, mut in_class) = (0, false);
    while i < pattern.len() {
        match pattern[i] {
            b'\\' if i + 1 < pattern.len() => i += 1,
            b'[' => in_class = true,
            b']' => in_class = false,
            b'*' if !in_class => break,
            _ => {}
        }
        i += 1;
    }
    (stars > 0, &pattern[..i], &pattern[i..])
}

// What is left of `name` behind the chunk, if it matches; the whole chunk is checked in each case.
fn match_chunk<'a>(mut chunk: &[u8], name: &'a [u8]) -> Result<Option<&'a [u8]>, BadPattern> {
    let mut left = Some(name);
    while let Some(&first) = chunk.first() {
        left = left.filter(|name| !name.is_empty());
        match first {
            b'[' => {
                let c = left.map(|name| rune(name).0);
                let (matched, rest) = match_class(&chunk[1..], c)?;
                left = left.filter(|_| matched).map(|name| &name[rune(name).1..]);
                chunk = rest;
            }
            b'?' => {
                left = left.filter(|name| name[0] != b'/').map(|name| &name[rune(name).1..]);
                chunk = &chunk[1..];
            }
            _ => {
                chunk = if first == b'\\' { &chunk[1..] } else { chunk };
                let want = chunk.first().ok_or(BadPattern)?;
                left = left.filter(|name| name[0] == *want).map(|name| &name[1..]);
                chunk = &chunk[1..];
            }
        }
    }
    Ok(left)
}

// `chunk` starts behind the `[`.
fn match_class(chunk: &[u8], c: Option<char>) -> Result<(bool, &[u8]), BadPattern> {
    let (negated, mut chunk) = match chunk.strip_prefix(b"^") {
        Some(rest) => (true, rest),
        None => (false, chunk),
    };
    let (mut matched, mut count) = (false, 0);
    while count == 0 || chunk[0] != b']' {
        let (low, rest) = class_char(chunk)?;
        let (high, rest) = match rest.strip_prefix(b"-") {
            Some(rest) => class_char(rest)?,
            None => (low, rest),
        };
        matched |= c.is_some_and(|c| low <= c && c <= high);
        chunk = rest;
        count += 1;
    }
    Ok((matched != negated, &chunk[1..]))
}

// A character of a class; something must follow it.
fn class_char(chunk: &[u8]) -> Result<(char, &[u8]), BadPattern> {
    let chunk = match chunk.first() {
        None | Some(b'-' | b']') => return Err(BadPattern),
        Some(b'\\') => &chunk[1..],
        Some(_) => chunk,
    };
    if chunk.is_empty() {
        return Err(BadPattern);
    }
    let (c, len) = rune(chunk);
    let rest = &chunk[len..];
    if rest.is_empty() { Err(BadPattern) } else { Ok((c, rest)) }
}

// The first character and its length; a byte that is not UTF-8 is U+FFFD, as in Go.
fn rune(bytes: &[u8]) -> (char, usize) {
    let head = &bytes[..bytes.len().min(4)];
    let valid = match std::str::from_utf8(head) {
        Ok(text) => text,
        Err(e) => std::str::from_utf8(&head[..e.valid_up_to()]).unwrap_or(""),
    };
    valid.chars().next().map_or((char::REPLACEMENT_CHARACTER, 1), |c| (c, c.len_utf8()))
}
