//! Words of a shell text: what is literal in them, and what the shell puts in.

use super::Statement;
use crate::edit::Span;

/// A word.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Word {
    pub span: Span,
    /// Its value after quote removal, when it has no expansion and no glob.
    pub literal: Option<String>,
    /// The parameters that it reads, those of its substitutions too: `x`, `1`, `@`, `?` …
    pub reads: Vec<String>,
    /// The parameters that its expansion sets in the current shell: `${x:=v}`, `$((x=1))`.
    pub sets: Vec<String>,
    /// It has an unquoted `*`, `?` or `[`, a leading `~`, or braces that bash expands.
    pub glob: bool,
    /// It has `$(…)`, backquotes or `<(…)`.
    pub substitution: bool,
    /// Some of it stands in quotes or after a backslash.
    pub quoted: bool,
    pub parts: Vec<Part>,
}

/// A piece of a word.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part {
    /// Literal text after quote removal.
    Text { value: String, quoted: bool },
    /// `$x`, `${x}`, `${x-w}`, `${x:-w}`.
    Parameter { name: String, default: Option<Fallback>, quoted: bool },
    /// `$(…)`, backquotes or `<(…)`: what runs in it; `None` when that was not read (backquotes with escapes).
    Substitution(Option<Vec<Statement>>),
    /// Any other expansion.
    Other,
}

/// The `w` of `${x-w}`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fallback {
    /// `:-`, which holds for an empty value too.
    pub colon: bool,
    pub parts: Vec<Part>,
}

impl Word {
    /// Its value after quote removal, when it has no expansion and no glob.
    #[must_use]
    pub fn literal(&self) -> Option<&str> {
        self.literal.as_deref()
    }

    /// Its value with what `vars` knows. `None` when `vars` does not know a parameter, at a glob, a substitution or
    /// another kind of expansion, and when an unquoted value is empty or has blanks or glob characters, which the
    /// shell would split or match.
    #[must_use]
    pub fn value(&self, vars: &dyn Fn(&str) -> Option<String>) -> Option<String> {
        if self.glob { None } else { value(&self.parts, vars) }
    }
}

fn value(parts: &[Part], vars: &dyn Fn(&str) -> Option<String>) -> Option<String> {
    let mut out = String::new();
    for part in parts {
        match part {
            Part::Text { value, .. } => out.push_str(value),
            Part::Parameter { name, default, quoted } => {
                let known = vars(name)?;
                let got = match default {
                    Some(fallback) if fallback.colon && known.is_empty() => value(&fallback.parts, vars)?,
                    _ => known,
                };
                let splits = |c: char| c.is_whitespace() || matches!(c, '*' | '?' | '[' | '\\');
                if !quoted && (got.is_empty() || got.contains(splits)) {
                    return None;
                }
                out.push_str(&got);
            }
            Part::Substitution(_) | Part::Other => return None,
        }
    }
    Some(out)
}
