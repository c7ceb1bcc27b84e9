//! Words: quoting, parameters, and the scripts in substitutions.

use shuck_ast as ast;

use super::{Reader, Result, span};
use crate::edit::Span;
use crate::shell::word::Fallback;
use crate::shell::{Dialect, Part, Statement, Word};

/// What is known of a word besides its parts.
#[derive(Default)]
struct Facts {
    word: Word,
    /// The unquoted literal text, with `\x01` in the place of everything else: braces are looked for in it.
    bare: String,
}

impl Word {
    /// A literal word without quotes.
    pub(super) fn plain(value: &str, span: Span) -> Word {
        let parts = vec![Part::Text { value: value.to_string(), quoted: false }];
        Word { span, literal: Some(value.to_string()), parts, ..Word::default() }
    }
}

impl Reader<'_> {
    /// The word at the cursor.
    pub(super) fn word(&mut self, word: &ast::Word) -> Result<Word> {
        let at = span(word.span);
        if self.at != at.start as usize {
            return Err("a word that is not where the parser has it".to_string());
        }
        tiles(self.text, &word.parts, at.start as usize, at.end as usize)?;
        let mut facts = Facts::default();
        let parts = self.parts(&word.parts, false, &mut facts)?;
        self.at = at.end as usize;
        Ok(facts.finish(at, parts))
    }

    /// An operand of `export`, `local` and the like.
    pub(super) fn operand(&mut self, operand: &ast::DeclOperand) -> Result<Word> {
        match operand {
            ast::DeclOperand::Flag(word) | ast::DeclOperand::Dynamic(word) => self.word(word),
            ast::DeclOperand::Name(name) => {
                let at = span(name.span);
                self.at = at.end as usize;
                let text = self.text[at.range()].to_string();
                let plain = text.bytes().all(|b| b == b'_' || b.is_ascii_alphanumeric());
                let word = Word::plain(&text, at);
                Ok(if plain { word } else { Word { literal: None, parts: vec![Part::Other], ..word } })
            }
            ast::DeclOperand::Assignment(a) => {
                let assign = self.assign(a)?;
                let head = format!("{}=", assign.name);
                let mut word = assign.value;
                word.literal = word.literal.filter(|_| !assign.partial).map(|l| format!("{head}{l}"));
                word.parts.insert(0, Part::Text { value: head, quoted: false });
                if assign.partial {
                    word.parts.push(Part::Other);
                }
                word.span = assign.span;
                Ok(word)
            }
        }
    }

    /// A pattern of `case`; never literal, as it matches.
    pub(super) fn pattern(&mut self, pattern: &ast::Pattern) -> Result<Word> {
        let at = span(pattern.span);
        let text = &self.text[at.range()];
        if text.contains("$(") || text.contains('`') {
            return Err("a substitution in a pattern".to_string());
        }
        let (reads, sets) = scan(text, false);
        self.at = at.end as usize;
        let simple = text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_./:,@+".contains(&b));
        Ok(Word { reads, sets, ..if simple { Word::plain(text, at) } else { other(at) } })
    }

    /// The value of `name=(…)`, up to the end of the assignment at `whole`.
    pub(super) fn array(&mut self, array: &ast::ArrayExpr, whole: ast::Span) -> Result<Word> {
        let mut facts = Facts::default();
        let mut parts = Vec::new();
        for element in &array.elements {
            parts.extend(self.parts(&element.value().parts, false, &mut facts)?);
        }
        parts.push(Part::Other);
        self.at = whole.end.offset();
        if self.byte(self.at.wrapping_sub(1)) != b')' {
            return Err("an array without its end".to_string());
        }
        Ok(facts.finish(span(array.span), parts))
    }

    /// The body of a here-document, as a word. The cursor stays: the body comes after the line.
    pub(super) fn body(&mut self, body: &ast::HeredocBody) -> Result<Word> {
        let at = span(body.span);
        let mut facts = Facts::default();
        let mut parts = Vec::new();
        if !body.mode.expands() {
            return Ok(Word { quoted: true, ..Word::plain(&self.text[at.range()], at) });
        }
        for node in &body.parts {
            parts.push(match &node.kind {
                ast::HeredocBodyPart::Literal(_) => {
                    Part::Text { value: unescape(&self.text[span(node.span).range()], true).0, quoted: true }
                }
                ast::HeredocBodyPart::Variable(name) => facts.variable(name.as_str(), true),
                ast::HeredocBodyPart::CommandSubstitution { body, .. } => {
                    self.substitution(body, node.span, &mut facts)?
                }
                ast::HeredocBodyPart::ArithmeticExpansion { .. } => self.arithmetic(node.span, &mut facts)?,
                ast::HeredocBodyPart::Parameter(p) => self.parameter(p, node.span, true, &mut facts)?,
            });
        }
        Ok(facts.finish(at, parts))
    }

    fn parts(&mut self, parts: &[ast::WordPartNode], quoted: bool, facts: &mut Facts) -> Result<Vec<Part>> {
        let mut out = Vec::with_capacity(parts.len());
        for node in parts {
            let text = &self.text[span(node.span).range()];
            if text.starts_with("${") && !text.ends_with('}') {
                return Err("`${` without its end".to_string());
            }
            match &node.kind {
                ast::WordPart::Literal(_) => {
                    let (value, escaped, glob) = unescape(text, quoted);
                    facts.word.quoted |= escaped;
                    if !quoted {
                        facts.word.glob |= glob;
                        facts.bare.push_str(text);
                    }
                    out.push(Part::Text { value, quoted: quoted || escaped });
                    continue;
                }
                ast::WordPart::SingleQuoted { value, dollar } => {
                    facts.word.quoted = true;
                    out.push(if *dollar && self.dialect == Dialect::Posix {
                        Part::Other
                    } else if *dollar {
                        Part::Text { value: value.slice(self.text).to_string(), quoted: true }
                    } else {
                        let inner = text
                            .strip_prefix('\'')
                            .and_then(|t| t.strip_suffix('\''))
                            .ok_or("a quote without its end")?;
                        Part::Text { value: inner.to_string(), quoted: true }
                    });
                }
                ast::WordPart::DoubleQuoted { parts, dollar } => {
                    facts.word.quoted = true;
                    let at = span(node.span);
                    let skip = if *dollar { 2 } else { 1 };
                    if text.len() <= skip || !text.ends_with('"') {
                        return Err("a quote without its end".to_string());
                    }
                    if tiles(self.text, parts, at.start as usize + skip, at.end as usize - 1).is_err() {
                        // The tree loses its place at some `\$`. The quotes themselves can be checked without it.
                        if substitutes(text) || text.contains("${") || !is_one_quote(&text[skip - 1..]) {
                            return Err("a word whose pieces do not meet".to_string());
                        }
                        out.push(self.expression(text, false, facts)?);
                        facts.bare.push('\x01');
                        continue;
                    }
                    let inner = self.parts(parts, true, facts)?;
                    if *dollar {
                        out.push(Part::Other);
                    } else if inner.is_empty() {
                        out.push(Part::Text { value: String::new(), quoted: true });
                    }
                    out.extend(inner);
                }
                ast::WordPart::Variable(name) => out.push(facts.variable(name.as_str(), quoted)),
                ast::WordPart::CommandSubstitution { body, .. } => {
                    out.push(self.substitution(body, node.span, facts)?);
                }
                ast::WordPart::ProcessSubstitution { body, .. } => {
                    if self.dialect == Dialect::Posix {
                        return Err("a process substitution, which sh does not have".to_string());
                    }
                    out.push(self.substitution(body, node.span, facts)?);
                }
                ast::WordPart::ArithmeticExpansion { .. } => out.push(self.arithmetic(node.span, facts)?),
                ast::WordPart::Parameter(p) => out.push(self.parameter(p, node.span, quoted, facts)?),
                ast::WordPart::ParameterExpansion {
                    reference,
                    operator,
                    operand_word_ast,
                    colon_variant,
                    ..
                } => {
                    let word = operand_word_ast.as_deref();
                    out.push(self.operation(
                        reference,
                        operator,
                        word,
                        *colon_variant,
                        node.span,
                        quoted,
                        facts,
                    )?);
                }
                _ => out.push(self.unknown(node.span, facts)?),
            }
            facts.bare.push('\x01');
        }
        Ok(out)
    }

    /// What `$(…)`, backquotes or `<(…)` at `at` run.
    fn substitution(&mut self, body: &ast::StmtSeq, at: ast::Span, facts: &mut Facts) -> Result<Part> {
        facts.word.substitution = true;
        let at = span(at).range();
        let text = &self.text[at.clone()];
        let (open, close) = match text.as_bytes() {
            [b'`', ..] => (1, "`"),
            [b'$' | b'<' | b'>', b'(', ..] => (2, ")"),
            _ => return Err("a substitution that is not where the parser has it".to_string()),
        };
        if open == 1 && text.contains('\\') {
            let (reads, _) = scan(text, true);
            facts.word.reads.extend(reads);
            return Ok(Part::Substitution(None));
        }
        let saved = (self.at, self.newline, std::mem::take(&mut self.heredocs));
        self.at = at.start + open;
        let statements = self.list(body)?;
        self.take(close)?;
        if self.at != at.end || !self.heredocs.is_empty() {
            return Err("a substitution that does not end where the parser has it".to_string());
        }
        (self.at, self.newline, self.heredocs) = saved;
        reads_of(&statements, &mut facts.word.reads);
        Ok(Part::Substitution(Some(statements)))
    }

    fn arithmetic(&mut self, at: ast::Span, facts: &mut Facts) -> Result<Part> {
        let text = &self.text[span(at).range()];
        if text.starts_with("$[") && self.dialect == Dialect::Posix {
            return Err("`$[`, which sh does not have".to_string());
        }
        self.expression(text, true, facts)
    }

    /// An expansion whose inside is not modelled: all names in it count as read.
    fn unknown(&mut self, at: ast::Span, facts: &mut Facts) -> Result<Part> {
        let text = &self.text[span(at).range()];
        self.expression(text, true, facts)
    }

    fn expression(&mut self, text: &str, bare: bool, facts: &mut Facts) -> Result<Part> {
        facts.word.substitution |= substitutes(text);
        let (reads, sets) = scan(text, bare);
        facts.word.reads.extend(reads);
        facts.word.sets.extend(sets);
        Ok(Part::Other)
    }

    fn parameter(
        &mut self,
        p: &ast::ParameterExpansion,
        at: ast::Span,
        quoted: bool,
        facts: &mut Facts,
    ) -> Result<Part> {
        match p.bourne() {
            Some(ast::BourneParameterExpansion::Access { reference }) if reference.subscript.is_none() => {
                Ok(facts.variable(reference.name.as_str(), quoted))
            }
            Some(ast::BourneParameterExpansion::Operation {
                reference,
                operator,
                operand_word_ast,
                colon_variant,
                ..
            }) => {
                let word = operand_word_ast.as_deref();
                self.operation(reference, operator, word, *colon_variant, at, quoted, facts)
            }
            _ => self.unknown(at, facts),
        }
    }

    #[allow(clippy::too_many_arguments)]
    fn operation(
        &mut self,
        reference: &ast::VarRef,
        operator: &ast::ParameterOp,
        word: Option<&ast::Word>,
        colon: bool,
        at: ast::Span,
        quoted: bool,
        facts: &mut Facts,
    ) -> Result<Part> {
        let name = reference.name.as_str().to_string();
        let range = span(at).range();
        let whole = &self.text[range.clone()];
        let head = if colon { format!("${{{name}:-") } else { format!("${{{name}-") };
        let default = matches!(operator, ast::ParameterOp::UseDefault) && reference.subscript.is_none();
        if let (true, Some(rest)) = (default && !substitutes(whole), whole.strip_prefix(&head)) {
            let start = range.end - rest.len();
            let fallback = match word {
                Some(word) if tiles(self.text, &word.parts, start, range.end - 1).is_ok() => {
                    let mut inner = Facts::default();
                    let parts = self.parts(&word.parts, quoted, &mut inner)?;
                    facts.word.reads.extend(inner.word.reads);
                    facts.word.sets.extend(inner.word.sets);
                    parts
                }
                None if rest == "}" => Vec::new(),
                _ => return self.unknown(at, facts),
            };
            facts.word.reads.push(name.clone());
            return Ok(Part::Parameter { name, default: Some(Fallback { colon, parts: fallback }), quoted });
        }
        facts.word.reads.push(name.clone());
        if matches!(operator, ast::ParameterOp::AssignDefault) {
            facts.word.sets.push(name);
        }
        let text = whole.to_string();
        self.expression(&text, false, facts)
    }
}

impl Facts {
    fn variable(&mut self, name: &str, quoted: bool) -> Part {
        self.word.reads.push(name.to_string());
        Part::Parameter { name: name.to_string(), default: None, quoted }
    }

    fn finish(self, span: Span, parts: Vec<Part>) -> Word {
        let mut word = Word { span, ..self.word };
        // `{a,b}` and `{1..9}` expand in bash, also when it is /bin/sh; `~` at the start, and after `=` and `:`.
        let brace = self.bare.find('{').is_some_and(|open| {
            let inner = &self.bare[open..];
            inner.contains('}') && (inner.contains(',') || inner.contains(".."))
        });
        let tilde = self.bare.starts_with('~') || self.bare.contains("=~") || self.bare.contains(":~");
        if tilde {
            word.reads.push("HOME".to_string());
        }
        word.glob |= brace || tilde;
        let mut literal = Some(String::new());
        for part in &parts {
            match (part, &mut literal) {
                (Part::Text { value, .. }, Some(l)) => l.push_str(value),
                _ => literal = None,
            }
        }
        word.literal = literal.filter(|_| !word.glob);
        word.reads.sort_unstable();
        word.reads.dedup();
        word.sets.sort_unstable();
        word.sets.dedup();
        word.parts = parts;
        word
    }
}

/// The parameters that `text`, the source of an expansion or expression, may read and set. With `bare`, names
/// without `$` count too, as in arithmetic, where any assignment or step sets them all.
pub(super) fn scan(text: &str, bare: bool) -> (Vec<String>, Vec<String>) {
    let bytes = text.as_bytes();
    let (mut reads, mut sets) = (Vec::new(), Vec::new());
    let mut i = 0;
    while i < bytes.len() {
        let start = i;
        if bytes[i] == b'_' || bytes[i].is_ascii_alphabetic() {
            while i < bytes.len() && (bytes[i] == b'_' || bytes[i].is_ascii_alphanumeric()) {
                i += 1;
            }
            let before = text[..start].trim_end_matches(['#', '!']);
            let name = text[start..i].to_string();
            let expands = before.ends_with("${") || before.ends_with('$');
            if before.ends_with("${") && (text[i..].starts_with(":=") || text[i..].starts_with('=')) {
                sets.push(name.clone());
            }
            if bare || expands {
                reads.push(name);
            }
        } else {
            let special = bytes[i].is_ascii_digit() || b"?!$@*#-".contains(&bytes[i]);
            if special && (text[..i].ends_with('$') || text[..i].ends_with("${")) {
                reads.push(char::from(bytes[i]).to_string());
            }
            i += 1;
        }
    }
    if bare {
        let step = text.contains("++") || text.contains("--");
        let assigns = |i: usize| {
            bytes[i] == b'='
                && bytes.get(i + 1) != Some(&b'=')
                && !i.checked_sub(1).is_some_and(|p| {
                    matches!(bytes[p], b'=' | b'!')
                        || (matches!(bytes[p], b'<' | b'>') && (p == 0 || bytes[p - 1] != bytes[p]))
                })
        };
        if step || (0..bytes.len()).any(assigns) {
            sets.clone_from(&reads);
        }
    }
    (reads, sets)
}

/// Whether `text` is one string in double quotes, from the first to the last of them.
fn is_one_quote(text: &str) -> bool {
    let mut chars = text.char_indices();
    if chars.next().map(|c| c.1) != Some('"') {
        return false;
    }
    while let Some((at, c)) = chars.next() {
        match c {
            '\\' => drop(chars.next()),
            '"' => return at + 1 == text.len(),
            _ => {}
        }
    }
    false
}

/// Whether `text` has a command substitution.
fn substitutes(text: &str) -> bool {
    text.contains('`')
        || text.match_indices("$(").any(|(i, _)| !text[i..].starts_with("$(("))
        || text.match_indices("$((").count() > 1
}

/// Takes the backslashes out of `text`: its value, whether there were any, and whether a glob character is not
/// escaped.
fn unescape(text: &str, quoted: bool) -> (String, bool, bool) {
    let (mut out, mut escaped, mut glob) = (String::with_capacity(text.len()), false, false);
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        if c != '\\' {
            glob |= matches!(c, '*' | '?' | '[');
            out.push(c);
            continue;
        }
        match chars.next() {
            Some('\n') => {}
            Some(next) if quoted && !matches!(next, '$' | '`' | '"' | '\\') => out.extend(['\\', next]),
            Some(next) => {
                escaped = true;
                out.push(next);
            }
            None => out.push('\\'),
        }
    }
    // A lone `[` is the name of a command; it matches only with a `]`.
    (out, escaped, glob && text != "[")
}

/// Whether `parts` lie one after the other from `start` to `end`, but for line continuations.
fn tiles(text: &str, parts: &[ast::WordPartNode], start: usize, end: usize) -> Result<()> {
    let meets = |from: usize, to: usize| {
        text.get(from..to)
            .is_some_and(|gap| gap.len() % 2 == 0 && gap.as_bytes().chunks(2).all(|c| c == b"\\\n"))
    };
    let mut at = start;
    for part in parts {
        if !meets(at, part.span.start.offset()) {
            return Err("a word whose pieces do not meet".to_string());
        }
        at = part.span.end.offset();
    }
    if meets(at, end) { Ok(()) } else { Err("a word whose pieces do not meet".to_string()) }
}

fn other(span: Span) -> Word {
    Word { span, parts: vec![Part::Other], ..Word::default() }
}

fn reads_of(statements: &[Statement], out: &mut Vec<String>) {
    crate::shell::walk::all_reads(statements, out);
}
