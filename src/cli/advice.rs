//! What to do about a Dockerfile that BuildKit would refuse: BuildKit's own message says what is wrong, not how to mend it.

use crate::{
    config::suggest,
    report::File,
    syntax::{self, Dockerfile, Instruction, Keyword, words::heredocs_in_line},
};

/// Gives the error of `file` its advice, where there is one.
pub(super) fn add(file: &mut File) {
    let Some(error) = &mut file.error else { return };
    let Some(line) = error.line else { return };
    error.help = of(&syntax::parse(&file.before), &error.code, line);
}

fn of(file: &Dockerfile, code: &str, line: u32) -> Option<String> {
    let text = file.text();
    let wide = text.starts_with(b"\xff\xfe") || text.starts_with(b"\xfe\xff");
    if wide || text.iter().take(1 << 10).any(|b| *b == 0) {
        return Some(match wide {
            true => "the file is UTF-16: save it as UTF-8".into(),
            false => "the file is binary: leave it out with --exclude".into(),
        });
    }
    let at = file.instructions.iter().find(|i| (i.lines.0..=i.lines.1).contains(&line));
    match code {
        "no-instructions" => Some("write at least FROM, or leave the file out with --exclude".into()),
        "no-stage" => Some("only ARG may stand before the first FROM".into()),
        "unknown-instruction" => unknown(at?),
        "unknown-flag" => flag(at?),
        "unterminated-heredoc" => heredoc(text, at?),
        _ => None,
    }
}

fn unknown(ins: &Instruction) -> Option<String> {
    let word = ins.detail().keyword_text.to_uppercase();
    let near = suggest(&word, syntax::keywords());
    match near.strip_prefix("; ") {
        Some(near) => Some(near.to_owned()),
        None if word.starts_with(|c: char| c.is_ascii_alphabetic()) => None,
        None => Some("if it goes on from the line before, end that one with a backslash".into()),
    }
}

fn flag(ins: &Instruction) -> Option<String> {
    let known = syntax::flags(ins.keyword);
    let flag = ins.flags().iter().find(|f| !known.contains(&f.name.as_str()))?;
    let near = suggest(&flag.name, known.iter().copied());
    if let Some((_, name)) = near.split_once('`') {
        return Some(format!("did you mean `--{name}"));
    }
    let all: Vec<String> = known.iter().map(|n| format!("--{n}")).collect();
    let name = ins.keyword.name();
    match (ins.keyword, all.is_empty()) {
        (Keyword::Run, _) => {
            Some(format!("{name} has {}; an option of the command stands behind the command", all.join(", ")))
        }
        (_, true) => Some(format!("{name} has no flags")),
        (_, false) => Some(format!("{name} has {}", all.join(", "))),
    }
}

fn heredoc(text: &[u8], ins: &Instruction) -> Option<String> {
    let line = String::from_utf8_lossy(ins.source()).lines().next().unwrap_or_default().to_owned();
    let starts = heredocs_in_line(&line).ok()?;
    let name = &starts.first()?.name;
    let mut rest = text.split(|b| *b == b'\n').enumerate().skip(ins.lines.0 as usize);
    match rest.find(|(_, l)| l.trim_ascii() == name.as_bytes()) {
        Some((i, _)) => Some(format!(
            "only a line that is `{name}` and nothing else ends it: take the blanks from line {}",
            i + 1
        )),
        None => Some(format!("end it with a line that is `{name}` and nothing else")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &[u8], expect: &str) {
        let file = syntax::parse(text);
        let error = file.error().unwrap();
        let shown = String::from_utf8_lossy(text);
        assert_eq!(of(&file, error.code, error.line).unwrap_or_default(), expect, "{shown}");
    }

    #[test]
    fn says_what_to_do() {
        check(b"FROM a\nCPOY x y\n", "did you mean `COPY`?");
        check(b"FROM a\nrunn x\n", "did you mean `RUN`?");
        check(b"FROM a\nQWERTY x\n", "");
        check(
            b"FROM a\nRUN x\n  && y\n",
            "if it goes on from the line before, end that one with a backslash",
        );
        check(b"FROM a\nCOPY --form=b x y\n", "did you mean `--from`?");
        check(b"FROM a\nWORKDIR --x /y\n", "WORKDIR has no flags");
        check(
            b"FROM a\nRUN --rm=1 x\n",
            "RUN has --mount, --network, --security, --device; an option of the command stands behind the command",
        );
        check(b"FROM a\nRUN <<EOF\nx\n", "end it with a line that is `EOF` and nothing else");
        check(
            b"FROM a\nRUN <<EOF\nx\n  EOF\n",
            "only a line that is `EOF` and nothing else ends it: take the blanks from line 4",
        );
        check(b"\xff\xfeF\0R\0O\0M\0", "the file is UTF-16: save it as UTF-8");
        check(b"ELF\0\x01\x02 x\n", "the file is binary: leave it out with --exclude");
        check(b"", "write at least FROM, or leave the file out with --exclude");
        check(b"RUN x\n", "only ARG may stand before the first FROM");
    }
}
