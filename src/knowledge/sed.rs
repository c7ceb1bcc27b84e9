//! What a call of `sed` writes: the files that it edits in place, their backups, and what its script may write besides
//! (POSIX.1-2024, sed; GNU sed 4.9's manual; busybox 1.37).

use super::commands::Paths;

/// What the words behind `sed` read and write.
pub(super) fn effects(words: &[String]) -> (Paths, Paths) {
    let everything = (Paths::Everything, Paths::Everything);
    let Some(call) = read(words) else { return everything };
    if !call.scripts.iter().all(|s| only_edits(s.as_bytes()))
        || call.files.iter().any(|f| f.contains(['$', '`']))
    {
        return everything;
    }
    let some = |files: Vec<String>| if files.is_empty() { Paths::None } else { Paths::Some(files) };
    let reads = some(call.files.iter().map(|f| (*f).to_owned()).collect());
    let Some(suffix) = call.in_place else { return (reads, Paths::None) };
    let backups = call.files.iter().filter(|_| !suffix.is_empty()).map(|f| format!("{f}{suffix}"));
    let writes: Vec<String> = call.files.iter().map(|f| (*f).to_owned()).chain(backups).collect();
    // the suffix may name another folder
    if suffix.contains(['*', '/', '$']) { (reads, Paths::Everything) } else { (reads, some(writes)) }
}

struct Call<'a> {
    scripts: Vec<&'a str>,
    files: Vec<&'a str>,
    /// The suffix of backups.
    in_place: Option<&'a str>,
}

/// None for options that are not known, and where the script is a file.
fn read(words: &[String]) -> Option<Call<'_>> {
    let (mut scripts, mut files, mut in_place) = (Vec::new(), Vec::new(), None);
    let mut words = words.iter().map(String::as_str);
    while let Some(word) = words.next() {
        match word
            .split_once('=')
            .filter(|_| word.starts_with("--"))
            .map_or((word, None), |(n, v)| (n, Some(v)))
        {
            ("--", _) => files.extend(words.by_ref()),
            ("--expression", value) => scripts.push(value.or_else(|| words.next())?),
            ("--in-place", value) => in_place = Some(value.unwrap_or_default()),
            (
                "--quiet" | "--silent" | "--regexp-extended" | "--separate" | "--unbuffered" | "--null-data"
                | "--posix" | "--sandbox" | "--binary",
                None,
            ) => {}
            (name, _) if name.starts_with("--") => return None,
            (name, _) if name.len() > 1 && name.starts_with('-') => {
                for (i, letter) in word.char_indices().skip(1) {
                    let rest = &word[i + letter.len_utf8()..];
                    match letter {
                        'n' | 'E' | 'r' | 's' | 'u' | 'z' | 'b' => continue,
                        'i' => in_place = Some(rest),
                        'e' => scripts.push(if rest.is_empty() { words.next()? } else { rest }),
                        _ => return None,
                    }
                    break;
                }
            }
            _ => files.push(word),
        }
    }
    if scripts.is_empty() {
        if files.is_empty() {
            return None;
        }
        scripts.push(files.remove(0));
    }
    Some(Call { scripts, files, in_place })
}

/// Whether a script only edits the text that goes through it: no `r`, `w` or `e`, neither as a command nor as a flag of `s`.
fn only_edits(script: &[u8]) -> bool {
    let mut rest = Rest(script);
    loop {
        rest.skip(|b| b.is_ascii_whitespace() || matches!(b, b';' | b'{' | b'}'));
        if rest.0.is_empty() {
            return true;
        }
        if rest.command().is_none() {
            return false;
        }
    }
}

/// What is left of a script.
struct Rest<'a>(&'a [u8]);

impl Rest<'_> {
    fn skip(&mut self, which: impl Fn(u8) -> bool) {
        let n = self.0.iter().take_while(|b| which(**b)).count();
        self.0 = &self.0[n..];
    }

    fn next(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    /// Up to and with the next `end` that no backslash stands before.
    fn section(&mut self, end: u8) -> Option<()> {
        loop {
            match self.next()? {
                b'\\' => _ = self.next()?,
                b if b == end => return Some(()),
                _ => {}
            }
        }
    }

    /// One command with its addresses; None where it is not known, or does more than to edit.
    fn command(&mut self) -> Option<()> {
        loop {
            match self.0.first()? {
                b'/' => {
                    self.next();
                    self.section(b'/')?;
                    self.skip(|b| matches!(b, b'I' | b'M'));
                }
                b'\\' => {
                    self.next();
                    let end = self.next()?;
                    self.section(end)?;
                    self.skip(|b| matches!(b, b'I' | b'M'));
                }
                b'0'..=b'9' | b'$' | b',' | b'+' | b'~' | b'!' | b' ' | b'\t' => _ = self.next(),
                _ => break,
            }
        }
        let to_the_end_of_the_line = |s: &mut Self| {
            while let Some(b) = s.next() {
                match b {
                    b'\\' => _ = s.next(),
                    b'\n' => break,
                    _ => {}
                }
            }
        };
        if self.0.first() == Some(&b'{') {
            return Some(());
        }
        match self.next()? {
            kind @ (b's' | b'y') => {
                let end = self.next()?;
                self.section(end)?;
                self.section(end)?;
                if kind == b's' {
                    self.skip(|b| matches!(b, b'g' | b'p' | b'i' | b'I' | b'm' | b'M' | b'0'..=b'9'));
                }
            }
            b'a' | b'i' | b'c' | b'#' => to_the_end_of_the_line(self),
            b':' | b'b' | b't' | b'T' => self.skip(|b| !matches!(b, b';' | b'\n' | b'}')),
            b'q' | b'Q' | b'l' => self.skip(|b| b.is_ascii_digit() || b == b' '),
            b'd' | b'D' | b'p' | b'P' | b'n' | b'N' | b'g' | b'G' | b'h' | b'H' | b'x' | b'=' | b'F'
            | b'z' => {}
            _ => return None,
        }
        self.skip(|b| matches!(b, b' ' | b'\t'));
        matches!(self.0.first(), None | Some(b';' | b'\n' | b'}' | b'#')).then_some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scripts_that_only_edit() {
        let check =
            |script: &str, expect: bool| assert_eq!(only_edits(script.as_bytes()), expect, "{script}");
        check("s/a/b/", true);
        check("s|/etc/www|/x|gI; s/w/e/2", true);
        check("/^#/d", true);
        check("1,$s/a\\/w/b/g", true);
        check("/x/{s/a/b/;d}", true);
        check("/a/,/b/!d", true);
        check("$ a write this down; w /x", true);
        check("\\,^x,c new", true);
        check("y/abc/xyw/", true);
        check(":a;N;$!ba;s/\\n/ /g", true);
        check("2q", true);
        check("s/a/b/w /etc/x", false);
        check("s/a/b/gw out", false);
        check("s/a/date/e", false);
        check("w /etc/x", false);
        check("/a/w /etc/x", false);
        check("1e date", false);
        check("r /etc/x", false);
        check("a hi\nw /etc/x", false);
        check("s/a/b", false);
    }
}
