//! The patterns of `${a#pattern}` and its like: `*`, `?` and letters, with the results of the regular expressions that
//! lex.go (moby/buildkit 73ed6825c) makes of them.

/// A pattern that has been read.
pub(super) struct Pattern {
    parts: Vec<Part>,
    greedy: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    /// Any text without a line end: `.` of a Go expression stops there.
    Star,
    /// One character other than a line end.
    Any,
    Letter(char),
}

impl Pattern {
    /// Reads `text`; `greedy`: each `*` takes as much as it can, else as little.
    ///
    /// # Errors
    /// For an escape of anything but `*`, `?`, `\`, `}` and `/`.
    pub(super) fn new(text: &str, greedy: bool) -> Result<Pattern, String> {
        let mut parts = Vec::new();
        // Go's text/scanner drops a byte order mark at the start of what it reads
        let mut chars = text.strip_prefix('\u{feff}').unwrap_or(text).chars().peekable();
        while let Some(c) = chars.next() {
            let part = match c {
                '*' => Part::Star,
                '?' => Part::Any,
                '\\' if matches!(chars.peek(), Some('}' | '/')) => continue,
                '\\' => match chars.next() {
                    Some(c @ ('*' | '?' | '\\')) => Part::Letter(c),
                    c => {
                        let c = c.unwrap_or(char::REPLACEMENT_CHARACTER);
                        return Err(format!(
                            "invalid pattern ({text}) in substitution: invalid escape '\\{c}'"
                        ));
                    }
                },
                c => Part::Letter(c),
            };
            // a second star adds nothing
            if part != Part::Star || parts.last() != Some(&Part::Star) {
                parts.push(part);
            }
        }
        Ok(Pattern { parts, greedy })
    }

    /// `value` with the first match replaced by `text`.
    pub(super) fn replace_first(&self, value: &str, text: &str) -> String {
        let value: Vec<char> = value.chars().collect();
        let ends = self.ends(&value);
        match ends.iter().enumerate().find_map(|(start, end)| Some((start, (*end)?))) {
            Some((start, end)) => [&string(&value[..start]), text, &string(&value[end..])].concat(),
            None => string(&value),
        }
    }

    /// `value` with every match replaced by `template`, in which `$0` and `$$` mean what they do to Go's
    /// `ReplaceAllString`.
    pub(super) fn replace_all(&self, value: &str, template: &str) -> String {
        let value: Vec<char> = value.chars().collect();
        let ends = self.ends(&value);
        let mut out = String::new();
        let (mut done, mut from) = (0, 0);
        while let Some((start, end)) = (from..ends.len()).find_map(|s| Some((s, ends[s]?))) {
            out.extend(&value[done..start]);
            // no empty match right after another one
            if end > done || start == 0 {
                fill(&mut out, template, &value[start..end]);
            }
            done = end;
            from = end.max(from + 1);
        }
        out.extend(&value[done..]);
        out
    }

    /// Where the match ends that starts at each position of `value`. Of several possible ends it is the one that a
    /// backtracking matcher finds first. From the last part to the first, as recursion could go too deep.
    fn ends(&self, value: &[char]) -> Vec<Option<usize>> {
        let mut ends: Vec<Option<usize>> = (0..=value.len()).map(Some).collect();
        for part in self.parts.iter().rev() {
            match part {
                Part::Star => {
                    for at in (0..value.len()).rev().filter(|at| value[*at] != '\n') {
                        ends[at] =
                            if self.greedy { ends[at + 1].or(ends[at]) } else { ends[at].or(ends[at + 1]) };
                    }
                }
                Part::Any | Part::Letter(_) => {
                    for at in 0..value.len() {
                        let fits =
                            if let Part::Letter(c) = *part { c == value[at] } else { value[at] != '\n' };
                        ends[at] = if fits { ends[at + 1] } else { None };
                    }
                    ends[value.len()] = None;
                }
            }
        }
        ends
    }
}

/// `value` without the part at its start that `pattern` matches.
pub(super) fn trim_prefix(pattern: &str, value: &str, greedy: bool) -> Result<String, String> {
    let pattern = Pattern::new(pattern, greedy)?;
    let value: Vec<char> = value.chars().collect();
    let end = pattern.ends(&value)[0].unwrap_or(0);
    Ok(string(&value[end..]))
}

/// `value` without the part at its end that `pattern` matches: both are turned round.
pub(super) fn trim_suffix(pattern: &str, value: &str, greedy: bool) -> Result<String, String> {
    let value: String = value.chars().rev().collect();
    Ok(trim_prefix(&reversed(pattern), &value, greedy)?.chars().rev().collect())
}

/// The pattern turned round, with each escape token still before what it escapes.
pub(super) fn reversed(pattern: &str) -> String {
    let mut units: Vec<(Option<char>, char)> = Vec::new();
    let mut chars = pattern.chars();
    while let Some(c) = chars.next() {
        let escaped = if c == '\\' { chars.next() } else { None };
        units.push(escaped.map_or((None, c), |e| (Some(c), e)));
    }
    units.iter().rev().flat_map(|(escape, c)| escape.iter().copied().chain([*c])).collect()
}

/// Go's `Regexp.Expand` for an expression without groups: `$0` is the match, any other name is empty, `$$` is `$`.
fn fill(out: &mut String, template: &str, matched: &[char]) {
    let mut rest = template;
    while let Some((before, after)) = rest.split_once('$') {
        out.push_str(before);
        rest = after;
        if let Some(after) = rest.strip_prefix('$') {
            out.push('$');
            rest = after;
            continue;
        }
        let braced = rest.strip_prefix('{');
        let body = braced.unwrap_or(rest);
        let len = body.find(|c: char| !super::is_name(c)).unwrap_or(body.len());
        let (name, after) = body.split_at(len);
        let after = if braced.is_some() { after.strip_prefix('}') } else { Some(after) };
        match after {
            Some(after) if !name.is_empty() => {
                rest = after;
                if name == "0" {
                    out.extend(matched);
                }
            }
            _ => out.push('$'),
        }
    }
    out.push_str(rest);
}

fn string(chars: &[char]) -> String {
    chars.iter().collect()
}
