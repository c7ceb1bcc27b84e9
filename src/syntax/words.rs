//! Words: quotes, escapes and variables as BuildKit expands them, and the heredocs that a line starts.
//!
//! Behaviour from moby/buildkit 73ed6825c: `frontend/dockerfile/shell/lex.go`, and `frontend/dockerfile/parser/parser.go`
//! for the heredocs. Known differences, none of them met in a real Dockerfile: a name holds no digit beyond ASCII, what a
//! letter is beyond ASCII is Rust's `is_alphabetic`, and substitutions nested deeper than 200 are refused.

use std::{
    collections::{BTreeMap, BTreeSet},
    error::Error,
    fmt, mem,
    str::Chars,
};

mod pattern;

use pattern::Pattern;

/// Deeper nesting of `${…}` is refused: Go's stack grows, ours does not.
const MAX_DEPTH: usize = 200;

/// Where the values of variables come from.
pub trait Lookup {
    /// The value of the variable `name`; none if it is unset.
    fn get(&self, name: &str) -> Option<&str>;
}

/// No variable is set.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoVariables;

impl Lookup for NoVariables {
    fn get(&self, _: &str) -> Option<&str> {
        None
    }
}

/// Of two pairs with one name the later one counts.
impl<K: AsRef<str>, V: AsRef<str>> Lookup for &[(K, V)] {
    fn get(&self, name: &str) -> Option<&str> {
        self.iter().rev().find(|(k, _)| k.as_ref() == name).map(|(_, v)| v.as_ref())
    }
}

impl<K: AsRef<str>, V: AsRef<str>> Lookup for Vec<(K, V)> {
    fn get(&self, name: &str) -> Option<&str> {
        self.iter().rev().find(|(k, _)| k.as_ref() == name).map(|(_, v)| v.as_ref())
    }
}

impl<V: AsRef<str>> Lookup for BTreeMap<String, V> {
    fn get(&self, name: &str) -> Option<&str> {
        BTreeMap::get(self, name).map(AsRef::as_ref)
    }
}

/// How words are read: BuildKit's `shell.Lex`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lex {
    escape: char,
    /// Quotes stay in the result.
    pub raw_quotes: bool,
    /// Escape tokens stay in the result.
    pub raw_escapes: bool,
    /// Quotes are letters like any other.
    pub skip_quotes: bool,
    /// Variables that are unset stay as they are written.
    pub skip_unset: bool,
}

/// A word after expansion.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Expansion {
    pub value: String,
    /// The variables that were looked up and have a value, sorted, each once.
    pub used: Vec<String>,
    /// The variables that were looked up and are unset, sorted, each once.
    pub unset: Vec<String>,
}

/// Why a word cannot be read, in BuildKit's words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WordError(String);

impl fmt::Display for WordError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Error for WordError {}

impl Lex {
    /// A reader of words with the escape token `escape` (`\` or a backtick), quotes and escapes taken away.
    #[must_use]
    pub fn new(escape: u8) -> Lex {
        Lex {
            escape: char::from(escape),
            raw_quotes: false,
            raw_escapes: false,
            skip_quotes: false,
            skip_unset: false,
        }
    }

    /// Expands `text` as one word, blanks and all (`ProcessWord`).
    ///
    /// # Errors
    /// For an open quote or brace, a substitution that BuildKit does not know, a bad pattern, and `${name?text}` of an
    /// unset variable.
    pub fn word(&self, text: &str, vars: &dyn Lookup) -> Result<Expansion, WordError> {
        let special = |b: u8| matches!(b, b'$' | b'"' | b'\'' | 0xEF) || char::from(b) == self.escape;
        if !text.bytes().any(special) {
            return Ok(Expansion { value: text.to_owned(), ..Expansion::default() });
        }
        let mut run = Run::new(*self, text, vars, false);
        let (value, _) = run.all(text)?;
        Ok(Expansion { value, used: run.used.into_iter().collect(), unset: run.unset.into_iter().collect() })
    }

    /// Expands `text`, then splits it at blanks outside quotes (`ProcessWords`).
    ///
    /// A substitution with a word in it (`a${b:-c}`) loses what stands before it in the same word, as it does in
    /// BuildKit, where the inner word is put together in the place of the outer one.
    ///
    /// # Errors
    /// As [`Lex::word`].
    pub fn words(&self, text: &str, vars: &dyn Lookup) -> Result<Vec<String>, WordError> {
        Run::new(*self, text, vars, true).all(text).map(|(_, words)| words)
    }
}

/// The variables that an expansion of `text` would look up, also those within `${a:-$b}`, sorted, each once. Where
/// BuildKit could not expand it, as with much shell text, every name that [`mentions`] finds.
#[must_use]
pub fn references(text: &str, escape: u8) -> Vec<String> {
    if memchr::memchr(b'$', text.as_bytes()).is_none() {
        return Vec::new();
    }
    Lex::new(escape).word(text, &AllSet).map_or_else(|_| mentions(text), |found| found.used)
}

/// Every name behind a `$` or a `${` in `text`, whatever the quotes say, sorted, each once: what a shell, or one that it
/// starts with `-c '…'`, might look up.
#[must_use]
pub fn mentions(text: &str) -> Vec<String> {
    let mut out = BTreeSet::new();
    for (at, _) in text.match_indices('$') {
        let rest = &text[at + 1..];
        let rest = rest.strip_prefix('{').unwrap_or(rest);
        let name = name_of(rest);
        out.extend((!name.is_empty()).then(|| name.to_owned()));
        // `${#name}` and `${!name}`
        if let Some(rest) = rest.strip_prefix(['#', '!']) {
            let name = name_of(rest);
            out.extend((!name.is_empty()).then(|| name.to_owned()));
        }
    }
    out.into_iter().collect()
}

/// A here-document that a line starts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeredocStart {
    /// The line that ends it, quotes taken away.
    pub name: String,
    /// Whether variables in it are expanded: no part of the name is quoted.
    pub expand: bool,
    /// `<<-`: leading tabs go.
    pub chomp: bool,
    /// The file descriptor before `<<`; 0 if none is given.
    pub fd: u32,
}

/// The heredocs that the logical line `line` starts, in order (`heredocsFromLine`). A line that cannot be split into words
/// starts none.
///
/// # Errors
/// For a name with an open quote or a bad substitution.
pub fn heredocs_in_line(line: &str) -> Result<Vec<HeredocStart>, WordError> {
    if memchr::memmem::find(line.as_bytes(), b"<<").is_none() {
        return Ok(Vec::new());
    }
    let lex = Lex { raw_quotes: true, raw_escapes: true, skip_unset: true, ..Lex::new(b'\\') };
    let words = lex.words(line, &NoVariables).unwrap_or_default();
    words.iter().filter_map(|w| heredoc(w).transpose()).collect()
}

/// `ParseHeredoc`: `^(\d*)<<(-?)\s*([^<]*)$`, the last part a single word.
pub(super) fn heredoc(word: &str) -> Result<Option<HeredocStart>, WordError> {
    let digits = word.bytes().take_while(u8::is_ascii_digit).count();
    let (fd, rest) = word.split_at(digits);
    let Some(rest) = rest.strip_prefix("<<") else { return Ok(None) };
    let (chomp, rest) = rest.strip_prefix('-').map_or((false, rest), |r| (true, r));
    let rest = rest.trim_start_matches(['\t', '\n', '\x0c', '\r', ' ']);
    if rest.is_empty() || rest.contains('<') {
        return Ok(None);
    }
    // read with and without quotes: if they differ, part of the name is quoted
    let lex = Lex { skip_unset: true, ..Lex::new(b'\\') };
    let words = lex.words(rest, &NoVariables)?;
    let [name] = &words[..] else { return Ok(None) };
    let raw = Lex { raw_quotes: true, ..lex }.words(rest, &NoVariables)?;
    let [raw_name] = &raw[..] else {
        return Err(WordError(format!("internal lexing of heredoc produced inconsistent results: {rest}")));
    };
    let quotes = |s: &str| s.bytes().filter(|b| matches!(b, b'"' | b'\'')).count();
    let fd = if fd.is_empty() { 0 } else { fd.parse().unwrap_or(u32::MAX) };
    Ok(Some(HeredocStart { name: name.clone(), expand: quotes(name) == quotes(raw_name), chomp, fd }))
}

/// `text` in quotes as Go's `%q` writes it.
pub(super) fn quote(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            '\x07' => out.push_str("\\a"),
            '\x08' => out.push_str("\\b"),
            '\x0b' => out.push_str("\\v"),
            '\x0c' => out.push_str("\\f"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\0'..' ' | '\x7f' => out.push_str(&format!("\\x{:02x}", u32::from(c))),
            // what Go does not print: not all of it, but what is met
            '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{2060}'..='\u{2064}' | '\u{feff}' => {
                out.push_str(&format!("\\u{:04x}", u32::from(c)));
            }
            _ if c.is_control() || (c.is_whitespace() && c != ' ') => {
                out.push_str(&format!("\\u{:04x}", u32::from(c)));
            }
            _ => out.push(c),
        }
    }
    out.push('"');
    out
}

/// Sets every variable, so that none is refused for being unset or empty.
struct AllSet;

impl Lookup for AllSet {
    fn get(&self, _: &str) -> Option<&str> {
        Some("x")
    }
}

/// One reading of a text.
struct Run<'a> {
    lex: Lex,
    rest: Chars<'a>,
    vars: &'a dyn Lookup,
    raw_escapes: bool,
    splits: bool,
    // The word being put together. Shared by the nested calls, as in lex.go, which is what loses text there.
    word: String,
    depth: usize,
    used: BTreeSet<String>,
    unset: BTreeSet<String>,
}

impl<'a> Run<'a> {
    fn new(lex: Lex, text: &'a str, vars: &'a dyn Lookup, splits: bool) -> Run<'a> {
        // Go's text/scanner drops a byte order mark at the start of what it reads
        let rest = text.strip_prefix('\u{feff}').unwrap_or(text).chars();
        let (used, unset) = (BTreeSet::new(), BTreeSet::new());
        Run {
            lex,
            rest,
            vars,
            raw_escapes: lex.raw_escapes,
            splits,
            word: String::new(),
            depth: 0,
            used,
            unset,
        }
    }

    fn all(&mut self, text: &str) -> Result<(String, Vec<String>), WordError> {
        let done = self.until(None, self.lex.raw_escapes);
        done.map_err(|e| WordError(format!("failed to process {}: {e}", quote(text))))
    }

    fn peek(&self) -> Option<char> {
        self.rest.as_str().chars().next()
    }

    fn next(&mut self) -> Option<char> {
        self.rest.next()
    }

    /// `processStopOn`: reads up to `stop`, which goes, or to the end if there is none.
    fn until(&mut self, stop: Option<char>, raw_escapes: bool) -> Result<(String, Vec<String>), String> {
        if self.depth == MAX_DEPTH {
            return Err("substitutions are nested too deep".into());
        }
        self.depth += 1;
        let outer = mem::replace(&mut self.raw_escapes, raw_escapes);
        let done = self.until_inner(stop);
        self.raw_escapes = outer;
        self.depth -= 1;
        done
    }

    fn until_inner(&mut self, stop: Option<char>) -> Result<(String, Vec<String>), String> {
        let mut result = String::new();
        let mut words = Words::default();
        self.word.clear();
        while let Some(c) = self.peek() {
            if Some(c) == stop {
                self.next();
                words.end(&mut self.word);
                return Ok((result, words.list));
            }
            match c {
                '$' => {
                    let value = self.dollar()?;
                    result.push_str(&value);
                    if self.splits {
                        value.chars().for_each(|c| words.push(&mut self.word, c));
                    }
                }
                '"' | '\'' if !self.lex.skip_quotes => {
                    let value = if c == '"' { self.double_quote()? } else { self.single_quote()? };
                    result.push_str(&value);
                    words.push_raw(&mut self.word, &value);
                }
                '<' => {
                    let value = self.heredoc_mark();
                    result.push_str(value);
                    words.push_raw(&mut self.word, value);
                }
                _ if c == self.lex.escape => {
                    self.next();
                    let raw = self.raw_escapes.then_some(c);
                    for c in raw.into_iter().chain(self.next()) {
                        result.push(c);
                        words.push_raw(&mut self.word, c.encode_utf8(&mut [0; 4]));
                    }
                }
                _ => {
                    self.next();
                    result.push(c);
                    if self.splits {
                        words.push(&mut self.word, c);
                    }
                }
            }
        }
        if let Some(stop) = stop {
            return Err(format!("unexpected end of statement while looking for matching {stop}"));
        }
        words.end(&mut self.word);
        Ok((result, words.list))
    }

    fn single_quote(&mut self) -> Result<String, String> {
        let text = &self.rest.as_str()[1..];
        let Some(end) = memchr::memchr(b'\'', text.as_bytes()) else {
            // to the end, for the callers ask whether that is where it went wrong
            self.rest = "".chars();
            return Err("unexpected end of statement while looking for matching single-quote".into());
        };
        self.rest = text[end + 1..].chars();
        Ok(if self.lex.raw_quotes { format!("'{}'", &text[..end]) } else { text[..end].to_owned() })
    }

    fn double_quote(&mut self) -> Result<String, String> {
        let mut result = String::new();
        result.extend(self.lex.raw_quotes.then_some('"'));
        self.rest.next();
        loop {
            match self.peek() {
                None => {
                    return Err("unexpected end of statement while looking for matching double-quote".into());
                }
                Some('"') => {
                    self.next();
                    result.extend(self.lex.raw_quotes.then_some('"'));
                    return Ok(result);
                }
                Some('$') => result.push_str(&self.dollar()?),
                Some(c) if c == self.lex.escape => {
                    self.next();
                    result.extend(self.raw_escapes.then_some(c));
                    match self.peek() {
                        None => {}
                        Some(e) if matches!(e, '"' | '$') || e == c => {
                            self.next();
                            result.push(e);
                        }
                        // stays even if it has just been kept as raw: lex.go doubles it
                        Some(_) => result.push(c),
                    }
                }
                Some(c) => {
                    self.next();
                    result.push(c);
                }
            }
        }
    }

    /// `processPossibleHeredoc`: `<`, or `<<` with the blanks behind it, which must not split the word.
    fn heredoc_mark(&mut self) -> &'a str {
        let text = self.rest.as_str();
        let len = match text.strip_prefix("<<") {
            Some(rest) => text.len() - rest.trim_start_matches(['\t', '\r', ' ']).len(),
            None => 1,
        };
        self.rest = text[len..].chars();
        &text[..len]
    }

    /// `processName`: a number, one special character, or letters, digits and `_`.
    fn name(&mut self) -> &'a str {
        let text = self.rest.as_str();
        let name = name_of(text);
        self.rest = text[name.len()..].chars();
        name
    }

    fn get(&mut self, name: &str) -> Option<&'a str> {
        let value = self.vars.get(name);
        let seen = if value.is_some() { &mut self.used } else { &mut self.unset };
        if !seen.contains(name) {
            seen.insert(name.to_owned());
        }
        value
    }

    fn dollar(&mut self) -> Result<String, String> {
        self.next();
        if self.peek() != Some('{') {
            let name = self.name();
            if name.is_empty() {
                return Ok("$".into());
            }
            return Ok(match self.get(name) {
                None if self.lex.skip_unset => format!("${name}"),
                value => value.unwrap_or_default().to_owned(),
            });
        }
        self.next();
        match self.peek() {
            None => return Err("syntax error: missing '}'".into()),
            Some('{' | '}' | ':') => return Err("syntax error: bad substitution".into()),
            _ => {}
        }
        let name = self.name();
        match self.next() {
            Some('}') => Ok(match self.get(name) {
                None if self.lex.skip_unset => format!("${{{name}}}"),
                value => value.unwrap_or_default().to_owned(),
            }),
            Some(':') => {
                let modifier = self.next();
                self.modified(name, modifier, true)
            }
            c @ Some('+' | '-' | '?' | '#' | '%') => self.modified(name, c, false),
            Some('/') => self.replaced(name),
            c => Err(unsupported(&shown(c).to_string())),
        }
    }

    /// `${name-word}` and its like; `colon`: an empty value counts as unset.
    fn modified(&mut self, name: &str, modifier: Option<char>, colon: bool) -> Result<String, String> {
        let mut shown_modifier = String::from(if colon { ":" } else { "" });
        shown_modifier.push(shown(modifier));
        let is_pattern = matches!(modifier, Some('#' | '%'));
        if colon && is_pattern {
            return Err(unsupported(&shown_modifier));
        }
        let word = self.operand('}', is_pattern, "syntax error: missing '}'")?;
        let value = self.get(name);
        if self.lex.skip_unset && value.is_none() {
            return Ok(format!("${{{name}{shown_modifier}{word}}}"));
        }
        let unset = value.is_none() || (colon && value == Some(""));
        let value = value.unwrap_or_default();
        match modifier {
            Some('-') => Ok(if unset { word } else { value.to_owned() }),
            Some('+') => Ok(if unset { String::new() } else { word }),
            Some('?') if unset => {
                let what = if self.vars.get(name).is_none() { "unset" } else { "empty" };
                let message = if word.is_empty() { format!("is not allowed to be {what}") } else { word };
                Err(format!("{name}: {message}"))
            }
            Some('?') => Ok(value.to_owned()),
            Some(c @ ('#' | '%')) => {
                let (greedy, word) = word.strip_prefix(c).map_or((false, word.as_str()), |w| (true, w));
                if c == '#' {
                    pattern::trim_prefix(word, value, greedy)
                } else {
                    pattern::trim_suffix(word, value, greedy)
                }
            }
            _ => Err(unsupported(&shown_modifier)),
        }
    }

    /// `${name/pattern/text}` and `${name//pattern/text}`.
    fn replaced(&mut self, name: &str) -> Result<String, String> {
        let all = self.peek() == Some('/');
        if all {
            self.next();
        }
        let pattern = self.operand('/', true, "syntax error: missing '/' in ${}")?;
        let replacement = self.operand('}', true, "syntax error: missing '}'")?;
        let value = self.get(name);
        if self.lex.skip_unset && value.is_none() {
            return Ok(format!("${{{name}/{pattern}/{replacement}}}"));
        }
        let value = value.unwrap_or_default();
        let pattern = Pattern::new(&pattern, true)?;
        Ok(if all {
            pattern.replace_all(value, &replacement)
        } else {
            pattern.replace_first(value, &replacement)
        })
    }

    /// The text up to `stop` within `${…}`; `missing` is the error if the end comes first.
    fn operand(&mut self, stop: char, raw_escapes: bool, missing: &str) -> Result<String, String> {
        match self.until(Some(stop), raw_escapes) {
            Ok((text, _)) => Ok(text),
            Err(_) if self.peek().is_none() => Err(missing.to_owned()),
            Err(e) => Err(e),
        }
    }
}

/// The words that a text is split into.
#[derive(Default)]
struct Words {
    list: Vec<String>,
    in_word: bool,
}

impl Words {
    /// Adds a character that ends the word if it is white space.
    fn push(&mut self, word: &mut String, c: char) {
        if !c.is_whitespace() {
            word.push(c);
            self.in_word = true;
        } else if self.in_word && !word.is_empty() {
            self.list.push(mem::take(word));
            self.in_word = false;
        }
    }

    fn push_raw(&mut self, word: &mut String, text: &str) {
        word.push_str(text);
        self.in_word = true;
    }

    fn end(&mut self, word: &mut String) {
        if !word.is_empty() {
            self.list.push(mem::take(word));
            self.in_word = false;
        }
    }
}

fn unsupported(modifier: &str) -> String {
    format!("unsupported modifier ({modifier}) in substitution")
}

/// A character in a message; Go shows the end of the text so.
fn shown(c: Option<char>) -> char {
    c.unwrap_or(char::REPLACEMENT_CHARACTER)
}

/// The name that `text` starts with, or nothing.
fn name_of(text: &str) -> &str {
    let special = |c| matches!(c, '@' | '*' | '#' | '?' | '-' | '$' | '!');
    let len = match text.chars().next() {
        Some('0'..='9') => text.bytes().take_while(u8::is_ascii_digit).count(),
        Some(c) if special(c) => 1,
        _ => text.find(|c: char| !is_name(c)).unwrap_or(text.len()),
    };
    &text[..len]
}

fn is_name(c: char) -> bool {
    c == '_' || c.is_ascii_alphanumeric() || (!c.is_ascii() && c.is_alphabetic() && !c.is_numeric())
}

#[cfg(test)]
mod tests;
