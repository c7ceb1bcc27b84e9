//! The few regular expressions that patternmatcher makes of a pattern, in Go's syntax, matched in time linear in the
//! path. They are: characters, `\x`, `[…]`, `[…]*`, `.*` and `(.*/)?`, anchored at both ends.
//!
//! Source of the syntax: Go's `regexp/syntax` (flags `Perl`).

/// A parsed expression.
#[derive(Clone, Debug)]
pub(super) struct Regex(Vec<Op>);

#[derive(Clone, Debug)]
enum Op {
    One(Set),
    Star(Set),
    /// May go on behind so many of the next ops.
    Skip(usize),
    /// Only at the start of the text.
    Start,
}

#[derive(Clone, Debug)]
struct Set {
    negated: bool,
    ranges: Vec<(char, char)>,
}

impl Regex {
    /// Parses the expression without its anchors. An error is a text: Go refuses it too, or it is one of the escapes
    /// that nobody writes into a path (`\Q`, `\p`, `\b`, `\x`, octal numbers).
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let chars: Vec<char> = text.chars().collect();
        let mut ops = Vec::new();
        let mut at = 0;
        while at < chars.len() {
            let rest = &chars[at..];
            let set = match rest[0] {
                '(' => {
                    ops.extend([Op::Skip(2), Op::Star(Set::not('\n')), Op::One(Set::of('/'))]);
                    at += "(.*/)?".len();
                    continue;
                }
                '^' => {
                    ops.push(Op::Start);
                    at += 1;
                    continue;
                }
                '.' => {
                    at += 1;
                    Set::not('\n')
                }
                '[' => {
                    let (set, len) = class(rest)?;
                    at += len;
                    set
                }
                '\\' => {
                    let escaped = *rest.get(1).ok_or("a backslash at its end")?;
                    at += 2;
                    escape(escaped)?
                }
                c => {
                    at += 1;
                    Set::of(c)
                }
            };
            if chars.get(at) == Some(&'*') {
                at += 1;
                ops.push(Op::Star(set));
            } else {
                ops.push(Op::One(set));
            }
        }
        Ok(Self(ops))
    }

    pub(super) fn is_match(&self, text: &str) -> bool {
        // most paths differ from a pattern such as `*.log` at their end already
        let may_end = match (self.0.last(), text.chars().next_back()) {
            (Some(Op::One(set)), Some(c)) => set.has(c),
            _ => true,
        };
        may_end && self.run(0, text, true)[self.0.len()]
    }

    /// Whether `name` matches, and `p/name` for each `p` (without line ends).
    pub(super) fn is_match_in_any_dir(&self, name: &str) -> bool {
        let any_dir = matches!(self.0.first(), Some(Op::Skip(2)));
        any_dir && self.run(3, name, false)[self.0.len()]
    }

    /// Whether some text that starts with `head`, and is longer, may match.
    pub(super) fn may_match_after(&self, head: &str) -> bool {
        let states = self.run(0, head, true);
        let mut live = self.0.iter().zip(states).filter(|(_, on)| *on).map(|(op, _)| op);
        live.any(|op| matches!(op, Op::One(_) | Op::Star(_)))
    }

    /// Whether each text that starts with `head` matches (line ends aside), and whether each without a further `/`.
    pub(super) fn surely_after(&self, head: &str) -> (bool, bool) {
        let Some(Op::Star(set)) = self.0.last() else { return (false, false) };
        let there = self.run(0, head, true)[self.0.len() - 1];
        (there && set.is_not('\n'), there && (set.is_not('/') || set.is_not('\n')))
    }

    /// Whether it can match a text with `c` in it.
    pub(super) fn may_cross(&self, c: char) -> bool {
        self.0.iter().any(|op| match op {
            Op::One(set) | Op::Star(set) => set.has(c),
            Op::Skip(_) | Op::Start => false,
        })
    }

    // The ops at which a match of all of `text` may stand, from op `from` on; the last place is the match.
    fn run(&self, from: usize, text: &str, at_start: bool) -> Vec<bool> {
        let mut states = vec![false; self.0.len() + 1];
        let mut next = states.clone();
        self.enter(&mut states, from, at_start);
        for c in text.chars() {
            next.fill(false);
            for (i, op) in self.0.iter().enumerate().filter(|(i, _)| states[*i]) {
                match op {
                    Op::One(set) if set.has(c) => self.enter(&mut next, i + 1, false),
                    Op::Star(set) if set.has(c) => self.enter(&mut next, i, false),
                    _ => {}
                }
            }
            std::mem::swap(&mut states, &mut next);
        }
        states
    }

    fn enter(&self, states: &mut [bool], at: usize, at_start: bool) {
        if std::mem::replace(&mut states[at], true) {
            return;
        }
        match self.0.get(at) {
            Some(Op::Star(_)) => self.enter(states, at + 1, at_start),
            Some(Op::Skip(n)) => {
                self.enter(states, at + 1, at_start);
                self.enter(states, at + 1 + n, at_start);
            }
            Some(Op::Start) if at_start => self.enter(states, at + 1, at_start),
            _ => {}
        }
    }
}

impl Set {
    fn of(c: char) -> Self {
        Self { negated: false, ranges: vec![(c, c)] }
    }

    fn not(c: char) -> Self {
        Self { negated: true, ranges: vec![(c, c)] }
    }

    fn has(&self, c: char) -> bool {
        self.ranges.iter().any(|&(low, high)| low <= c && c <= high) != self.negated
    }

    fn is_not(&self, c: char) -> bool {
        self.negated && self.ranges == [(c, c)]
    }
}

// A `\x` outside of a class, or a set inside of one.
fn escape(c: char) -> Result<Set, String> {
    let single = match c {
        'd' | 's' | 'w' => return Ok(Set { negated: false, ranges: perl(c).to_vec() }),
        'D' | 'S' | 'W' => return Ok(Set { negated: true, ranges: perl(c.to_ascii_lowercase()).to_vec() }),
        'a' => '\x07',
        'f' => '\x0C',
        'n' => '\n',
        'r' => '\r',
        't' => '\t',
        'v' => '\x0B',
        c if c.is_ascii() && !c.is_ascii_alphanumeric() => c,
        c => return Err(format!("the escape \\{c} means nothing in a pattern")),
    };
    Ok(Set::of(single))
}

fn perl(c: char) -> &'static [(char, char)] {
    match c {
        'd' => &[('0', '9')],
        's' => &[('\t', '\n'), ('\x0C', '\r'), (' ', ' ')],
        _ => &[('0', '9'), ('A', 'Z'), ('_', '_'), ('a', 'z')],
    }
}

// A class from its `[`, and its length.
fn class(text: &[char]) -> Result<(Set, usize), String> {
    let mut at = 1;
    let negated = text.get(at) == Some(&'^');
    at += usize::from(negated);
    let mut ranges = Vec::new();
    let first = at;
    loop {
        match text.get(at) {
            None => return Err("a [ is not closed".to_string()),
            Some(']') if at > first => break,
            Some('[') if text.get(at + 1) == Some(&':') => {
                if let Some(len) = posix(&text[at..], &mut ranges)? {
                    at += len;
                    continue;
                }
            }
            Some('\\') => {
                let set = escape(*text.get(at + 1).ok_or("a backslash at its end")?)?;
                if set.negated || set.ranges.len() > 1 || text[at + 1] == 'd' {
                    add(&mut ranges, &set.ranges, set.negated);
                    at += 2;
                    continue;
                }
            }
            Some(_) => {}
        }
        let (low, len) = class_char(&text[at..])?;
        at += len;
        let ranged = text.get(at) == Some(&'-') && text.get(at + 1).is_some_and(|&c| c != ']');
        let high = if ranged {
            let (high, len) = class_char(&text[at + 1..])?;
            at += 1 + len;
            high
        } else {
            low
        };
        if high < low {
            return Err(format!("the range {low}-{high} is upside down"));
        }
        ranges.push((low, high));
    }
    Ok((Set { negated, ranges }, at + 1))
}

fn class_char(text: &[char]) -> Result<(char, usize), String> {
    match text {
        [] => Err("a [ is not closed".to_string()),
        ['\\'] => Err("a backslash at its end".to_string()),
        ['\\', c, ..] => match escape(*c)?.ranges[..] {
            [(low, high)] if low == high => Ok((low, 2)),
            _ => Err(format!("\\{c} cannot end a range")),
        },
        [c, ..] => Ok((*c, 1)),
    }
}

// A `[:name:]`; none if no `:]` follows.
fn posix(text: &[char], ranges: &mut Vec<(char, char)>) -> Result<Option<usize>, String> {
    let Some(end) = (2..text.len().saturating_sub(1)).find(|&i| text[i] == ':' && text[i + 1] == ']') else {
        return Ok(None);
    };
    let name: String = text[2..end].iter().collect();
    let (negated, bare) = match name.strip_prefix('^') {
        Some(bare) => (true, bare),
        None => (false, name.as_str()),
    };
    let found: &[(char, char)] = match bare {
        "alnum" => &[('0', '9'), ('A', 'Z'), ('a', 'z')],
        "alpha" => &[('A', 'Z'), ('a', 'z')],
        "ascii" => &[('\0', '\x7F')],
        "blank" => &[('\t', '\t'), (' ', ' ')],
        "cntrl" => &[('\0', '\x1F'), ('\x7F', '\x7F')],
        "digit" => &[('0', '9')],
        "graph" => &[('!', '~')],
        "lower" => &[('a', 'z')],
        "print" => &[(' ', '~')],
        "punct" => &[('!', '/'), (':', '@'), ('[', '`'), ('{', '~')],
        "space" => &[('\t', '\r'), (' ', ' ')],
        "upper" => &[('A', 'Z')],
        "word" => &[('0', '9'), ('A', 'Z'), ('_', '_'), ('a', 'z')],
        "xdigit" => &[('0', '9'), ('A', 'F'), ('a', 'f')],
        _ => return Err(format!("[:{name}:] names no class")),
    };
    add(ranges, found, negated);
    Ok(Some(end + 2))
}

// Adds sorted, disjoint ranges, or what lies between them.
fn add(ranges: &mut Vec<(char, char)>, more: &[(char, char)], negated: bool) {
    if !negated {
        ranges.extend(more);
        return;
    }
    let mut from = Some('\0');
    for &(low, high) in more {
        if let (Some(start), Some(before)) = (from, ('\0'..low).next_back())
            && start <= before
        {
            ranges.push((start, before));
        }
        from = (high..=char::MAX).nth(1);
    }
    if let Some(start) = from {
        ranges.push((start, char::MAX));
    }
}
