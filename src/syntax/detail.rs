//! What an instruction says: keyword, flags and arguments, as split_command.go and line_parsers.go read them.

use std::sync::{Arc, OnceLock};

use super::{
    Instruction, Joined, Keyword,
    joined::is_space,
    scan::{trim_end, trim_start},
};
use crate::edit::{Span, to_u32};

/// A flag such as `--from=build`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Flag {
    /// Without the dashes.
    pub name: String,
    /// What follows `=`, with quotes and escapes removed.
    pub value: Option<String>,
    /// Where it stands in the file.
    pub span: Span,
}

impl Flag {
    /// As BuildKit's parser lists it.
    #[must_use]
    pub fn text(&self) -> String {
        match &self.value {
            Some(v) => format!("--{}={v}", self.name),
            None => format!("--{}", self.name),
        }
    }
}

/// An argument, before expansion of variables.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Arg {
    /// Quotes stay, but for the exec form. Bytes that are not UTF-8 are replaced by U+FFFD, as Go does.
    pub value: String,
    /// Where it stands in the file.
    pub span: Span,
}

/// What an instruction says.
#[derive(Clone, Debug)]
pub struct Detail {
    pub keyword: Keyword,
    /// The keyword in the file.
    pub keyword_span: Span,
    /// The keyword as it is written.
    pub keyword_text: String,
    /// The whole logical line.
    pub line: Joined,
    pub flags: Vec<Flag>,
    /// What follows keyword and flags, trimmed.
    pub rest: Joined,
    pub args: Vec<Arg>,
    pub exec: bool,
    pub inner: Option<Box<Instruction>>,
    /// What parser.go refuses in it.
    pub error: Option<(&'static str, String)>,
}

impl Detail {
    pub(super) fn read(line: &Joined, escape: u8) -> Detail {
        Detail::read_in(line, escape, false)
    }

    /// `nested`: within an ONBUILD. One in another is refused, so what it holds is not read: there may be thousands.
    fn read_in(line: &Joined, escape: u8, nested: bool) -> Detail {
        let line = trim(line);
        let n = line.text.iter().position(|b| is_space(*b)).unwrap_or(line.text.len());
        let word = Span::new(0, n);
        let keyword = Keyword::of(word.of(&line.text));
        let keyword_text = String::from_utf8_lossy(word.of(&line.text)).into_owned();
        let gap = line.text[n..].iter().position(|b| !is_space(*b)).unwrap_or(line.text.len() - n);
        let (flags, rest) = split_flags(&line, n + gap, escape);
        let rest = trim(&line.slice(Span::new(rest, line.text.len())));
        let mut detail = Detail {
            keyword,
            keyword_span: line.file_span(word),
            keyword_text,
            flags,
            rest,
            line,
            args: Vec::new(),
            exec: false,
            inner: None,
            error: None,
        };
        detail.read_args(escape, nested);
        detail
    }

    fn read_args(&mut self, escape: u8, nested: bool) {
        match self.keyword {
            Keyword::Env | Keyword::Label => self.read_pairs(escape),
            Keyword::Arg => {
                self.args =
                    split_words(&self.rest.text, escape).into_iter().map(|(w, s)| self.arg(w, s)).collect();
            }
            Keyword::Expose | Keyword::From => self.args = self.split_blanks(),
            Keyword::Add | Keyword::Copy | Keyword::Volume => {
                if !self.read_exec(0) {
                    self.args = self.split_blanks();
                }
            }
            Keyword::Cmd | Keyword::Entrypoint | Keyword::Run | Keyword::Shell => {
                if !self.read_exec(0) {
                    self.push_tail(0);
                }
            }
            Keyword::Healthcheck => self.read_healthcheck(),
            Keyword::Maintainer | Keyword::Stopsignal | Keyword::User | Keyword::Workdir => self.push_tail(0),
            Keyword::Onbuild if !self.rest.text.is_empty() && !nested => {
                let detail = Detail::read_in(&self.rest, escape, true);
                self.error.clone_from(&detail.error);
                self.inner = Some(Box::new(Instruction {
                    keyword: detail.keyword,
                    span: self.rest.file_span(Span::new(0, self.rest.text.len())),
                    full: Span::default(),
                    lines: (0, 0),
                    heredocs: Vec::new(),
                    escape,
                    text: Arc::from([]),
                    detail: OnceLock::from(Box::new(detail)),
                }));
            }
            Keyword::Onbuild | Keyword::Unknown => {}
        }
    }

    fn arg(&self, value: String, at: Span) -> Arg {
        Arg { value, span: self.rest.file_span(at) }
    }

    /// The rest from byte `from` on as one argument, if there is any.
    fn push_tail(&mut self, from: usize) {
        let at = Span::new(from, self.rest.text.len());
        if !at.is_empty() {
            self.args.push(self.arg(lossy(at.of(&self.rest.text)), at));
        }
    }

    fn split_blanks(&self) -> Vec<Arg> {
        let text = &self.rest.text;
        let mut out = Vec::new();
        let mut at = 0;
        while at < text.len() {
            let end = text[at..].iter().position(|b| is_space(*b)).map_or(text.len(), |i| at + i);
            out.push(self.arg(lossy(&text[at..end]), Span::new(at, end)));
            at = text[end..].iter().position(|b| !is_space(*b)).map_or(text.len(), |i| end + i);
        }
        out
    }

    /// parseJSON: true where the rest from byte `from` on is an array of strings.
    fn read_exec(&mut self, from: usize) -> bool {
        let text = trim_start(&self.rest.text[from..]);
        if text.first() != Some(&b'[') {
            return false;
        }
        let offset = self.rest.text.len() - text.len();
        let Ok(values) = serde_json::from_str::<Vec<serde_json::Value>>(&lossy(text)) else { return false };
        let spans = string_spans(text);
        for (i, value) in values.into_iter().enumerate() {
            let serde_json::Value::String(value) = value else {
                self.args.clear();
                let message = "when using JSON array syntax, arrays must be comprised of strings only";
                self.error = Some(("json", message.into()));
                return true;
            };
            let at = spans.get(i).copied().unwrap_or_default();
            let at = Span { start: at.start + to_u32(offset), end: at.end + to_u32(offset) };
            self.args.push(Arg { value, span: self.rest.file_span(at) });
        }
        self.exec = true;
        true
    }

    fn read_healthcheck(&mut self) {
        let text = &self.rest.text;
        let end = text.iter().position(|b| is_latin_space(*b)).unwrap_or(text.len());
        let next = text[end..].iter().position(|b| !is_latin_space(*b)).map_or(text.len(), |i| end + i);
        if end == 0 {
            return;
        }
        self.args.push(self.arg(lossy(&text[..end]), Span::new(0, end)));
        if !self.read_exec(next) {
            self.push_tail(next);
        }
    }

    /// parseNameVal: `K=V …`, or the old `K rest of the line`.
    fn read_pairs(&mut self, escape: u8) {
        let words = split_words(&self.rest.text, escape);
        let Some((first, _)) = words.first() else { return };
        if !first.contains('=') {
            let text = &self.rest.text;
            let Some(end) = text.iter().position(|b| is_space(*b)) else {
                let message = format!("{} must have two arguments", self.keyword.name());
                self.error = Some(("arguments", message));
                return;
            };
            let next = text[end..].iter().position(|b| !is_space(*b)).map_or(text.len(), |i| end + i);
            let tail = Span::new(next, text.len());
            self.args = vec![
                self.arg(lossy(&text[..end]), Span::new(0, end)),
                self.arg(lossy(&text[next..]), tail),
                self.arg(String::new(), Span::empty(tail.end)),
            ];
            return;
        }
        for (word, at) in words {
            let Some((key, value)) = word.split_once('=') else {
                let message = format!(
                    "Syntax error - can't find = in {}. Must be of the form: name=value",
                    super::words::quote(&word)
                );
                self.error = Some(("arguments", message));
                return;
            };
            // the key's length in the text: nothing before its `=` is dropped, for only a trailing escape token is
            let cut = at
                .of(&self.rest.text)
                .iter()
                .position(|b| *b == b'=')
                .map_or(at.start, |i| at.start + to_u32(i));
            let key = self.arg(key.to_owned(), Span { start: at.start, end: cut });
            let value = self.arg(value.to_owned(), Span { start: cut + 1, end: at.end });
            let sep = self.arg("=".into(), Span { start: cut, end: cut + 1 });
            self.args.extend([key, value, sep]);
        }
    }
}

fn lossy(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn trim(line: &Joined) -> Joined {
    let head = trim_start(&line.text);
    let start = line.text.len() - head.len();
    let end = start + trim_end(head).len();
    if start == 0 && end == line.text.len() { line.clone() } else { line.slice(Span::new(start, end)) }
}

/// White space where BuildKit takes each byte for a Latin-1 letter.
fn is_latin_space(b: u8) -> bool {
    is_space(b) || matches!(b, 0x85 | 0xA0)
}

/// extractBuilderFlags: the flags from byte `from` on, and where the arguments start. It goes byte by byte, each a Latin-1
/// letter, as BuildKit's does.
fn split_flags(line: &Joined, from: usize, escape: u8) -> (Vec<Flag>, usize) {
    let text = &line.text;
    let mut flags = Vec::new();
    let mut at = from;
    loop {
        while at < text.len() && is_latin_space(text[at]) {
            at += 1;
        }
        if !text[at..].starts_with(b"--") {
            return (flags, at);
        }
        let start = at;
        let mut word = String::new();
        let mut quote = None;
        while at < text.len() && (quote.is_some() || !is_latin_space(text[at])) {
            let b = text[at];
            if quote == Some(b) {
                quote = None;
            } else if quote.is_none() && matches!(b, b'"' | b'\'') {
                quote = Some(b);
            } else if b == escape {
                at += 1;
                word.extend(text.get(at).map(|b| char::from(*b)));
            } else {
                word.push(char::from(b));
            }
            at += 1;
        }
        at = at.min(text.len());
        if word == "--" {
            return (flags, at);
        }
        let body = word[2..].to_owned();
        let (name, value) = match body.split_once('=') {
            Some((name, value)) => (name.to_owned(), Some(value.to_owned())),
            None => (body, None),
        };
        flags.push(Flag { name, value, span: line.file_span(Span::new(start, at)) });
    }
}

/// parseWords: words at white space outside quotes; quotes and escapes stay in them.
fn split_words(text: &[u8], escape: u8) -> Vec<(String, Span)> {
    let mut out = Vec::new();
    let mut at = 0;
    loop {
        at = text.len() - trim_start(&text[at..]).len();
        if at == text.len() {
            return out;
        }
        let start = at;
        let mut quote = None;
        let mut word = Vec::new();
        while at < text.len() {
            let b = text[at];
            if quote.is_none() && trim_start(&text[at..]).len() < text.len() - at {
                break;
            }
            if b == escape && quote != Some(b'\'') {
                if at + 1 == text.len() {
                    at += 1;
                    break; // a trailing escape token is dropped
                }
                word.push(b);
                at += 1;
            } else if quote == Some(b) {
                quote = None;
            } else if quote.is_none() && matches!(b, b'"' | b'\'') {
                quote = Some(b);
            }
            word.push(text[at]);
            at += 1;
        }
        if !word.is_empty() {
            out.push((lossy(&word), Span::new(start, at)));
        }
    }
}

/// Where the strings of a JSON array stand, quotes included.
fn string_spans(text: &[u8]) -> Vec<Span> {
    let mut out = Vec::new();
    let mut open = None;
    let mut at = 0;
    while at < text.len() {
        match (text[at], open) {
            (b'\\', Some(_)) => at += 1,
            (b'"', None) => open = Some(at),
            (b'"', Some(start)) => {
                out.push(Span::new(start, at + 1));
                open = None;
            }
            _ => {}
        }
        at += 1;
    }
    out
}
