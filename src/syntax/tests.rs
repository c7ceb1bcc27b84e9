use super::*;

/// What the parser makes of `text`: a line for each instruction, or the error.
fn check(text: &str, expect: &str) {
    let file = parse(text.as_bytes());
    let mut out: Vec<String> = file
        .instructions
        .iter()
        .map(|i| {
            let flags: Vec<_> = i.flags().iter().map(Flag::text).collect();
            let args: Vec<_> = i.args().iter().map(|a| a.value.as_str()).collect();
            let inner =
                i.inner().map(|n| format!(" ({} {:?})", n.keyword.name(), n.first())).unwrap_or_default();
            let docs: Vec<_> =
                i.heredocs.iter().map(|h| String::from_utf8_lossy(h.content.of(text.as_bytes()))).collect();
            let docs = if docs.is_empty() { String::new() } else { format!(" {docs:?}") };
            format!(
                "{}{}{flags:?}{args:?}{inner}{docs}",
                i.keyword.name(),
                if i.is_exec() { "!" } else { "" }
            )
        })
        .collect();
    out.extend(file.error().map(|e| format!("error {}: {}", e.line, e.message)));
    assert_eq!(out.join("\n"), expect, "{text:?}");
    tiles(&file);
}

fn tiles(file: &Dockerfile) {
    let mut at = 0;
    for piece in &file.pieces {
        assert_eq!(piece.span.start, at);
        at = piece.span.end;
    }
    assert_eq!(at as usize, file.text().len());
}

#[test]
fn reads_instructions() {
    check("FROM a AS b\nRUN x\n", "FROM[][\"a\", \"AS\", \"b\"]\nRUN[][\"x\"]");
    check(
        "from a\nrun --mount=type=cache,target=/c x \\\n  # note\n\n  y",
        "FROM[][\"a\"]\nRUN[\"--mount=type=cache,target=/c\"][\"x   y\"]",
    );
    check(
        "FROM a\nENV A=1 B=\"x y\" C=a\\ b\n",
        "FROM[][\"a\"]\nENV[][\"A\", \"1\", \"=\", \"B\", \"\\\"x y\\\"\", \"=\", \"C\", \"a\\\\ b\", \"=\"]",
    );
    check("FROM a\nENV A x y\n", "FROM[][\"a\"]\nENV[][\"A\", \"x y\", \"\"]");
    check(
        "FROM a\nCOPY --chown=a:b [\"x y\", \"/z\"]\n",
        "FROM[][\"a\"]\nCOPY![\"--chown=a:b\"][\"x y\", \"/z\"]",
    );
    check("FROM a\nONBUILD RUN x\n", "FROM[][\"a\"]\nONBUILD[][] (RUN \"x\")");
    check("FROM a\nRUN -- echo\n", "FROM[][\"a\"]\nRUN[][\"echo\"]");
    check("FROM a\nRUN <<E\nx\nE\nUSER u\n", "FROM[][\"a\"]\nRUN[][\"<<E\"] [\"x\\n\"]\nUSER[][\"u\"]");
}

#[test]
fn follows_the_escape_directive() {
    check("# escape=`\nFROM a\nRUN x `\n y\\\n", "FROM[][\"a\"]\nRUN[][\"x  y\\\\\"]");
    check(
        "# escape=`\r\n# Escape=`\r\nFROM a\r\n",
        "FROM[][\"a\"]\nerror 2: only one escape parser directive can be used",
    );
    check(
        "#x\n# escape=`\nFROM a `\n",
        "FROM[][\"a\", \"`\"]\nerror 3: dockerfile parse error on line 3: FROM requires either one or three arguments",
    );
}

#[test]
fn refuses_what_buildkit_refuses() {
    check("", "error 1: file with no instructions");
    check("FROM a\nENV X\n", "FROM[][\"a\"]\nENV[][]\nerror 2: ENV must have two arguments");
    check(
        "FROM a\nRUN [1]\n",
        "FROM[][\"a\"]\nRUN[][]\nerror 2: when using JSON array syntax, arrays must be comprised of strings only",
    );
    check("FROM a\nRUN <<E\nx\n", "FROM[][\"a\"]\nRUN[][\"<<E\"] [\"x\\n\"]\nerror 2: unterminated heredoc");
    check(
        "FROM a\nCOPY --user=x a b\n",
        "FROM[][\"a\"]\nCOPY[\"--user=x\"][\"a\", \"b\"]\nerror 2: dockerfile parse error on line 2: unknown flag: --user",
    );
    check("RUN x\n", "RUN[][\"x\"]\nerror 1: no build stage in current context");
}

#[test]
fn knows_where_things_stand() {
    let text = b"FROM a\n  COPY --from=b \\\n  # why\n x  y\n";
    let file = parse(text);
    let copy = &file.instructions[1];
    assert_eq!(copy.args()[1].span.of(text), b"y");
    assert_eq!(copy.flags()[0].span.of(text), b"--from=b");
    assert_eq!((copy.lines, copy.indent()), ((2, 4), &b"  "[..]));
}

proptest::proptest! {
    #[test]
    fn never_loses_a_byte(text in "(FROM|RUN|COPY|ENV|ONBUILD|#|# escape=`|<<A|A|\\\\|`|\\[|\"|\n|\r\n| |\t|x|é){0,40}") {
        let file = parse(text.as_bytes());
        tiles(&file);
        let _ = file.error();
        for i in &file.instructions {
            proptest::prop_assert!(i.full.contains(i.span));
            for a in i.args() {
                proptest::prop_assert!(i.span.contains(a.span), "{:?} {:?}", i.span, a);
            }
        }
    }
}

/// The one error of `FROM a` and the line after it.
fn refuses(line: &str, expect: &str) {
    let text = format!("FROM a\n{line}\n");
    let found = parse(text.as_bytes()).error().map(|e| e.message.clone()).unwrap_or_default();
    let message = found.strip_prefix("dockerfile parse error on line 2: ").unwrap_or(&found);
    assert_eq!(message, expect, "{line}");
}

#[test]
fn refuses_flags_and_arguments() {
    refuses(
        "FROM b AS 1x",
        "invalid name for build stage: \"1x\", name can't start with a number or contain symbols",
    );
    refuses("FROM b is c", "FROM requires either one or three arguments");
    refuses("COPY --from=x --from=y a b", "duplicate flag specified: --from");
    refuses("COPY --exclude=x --exclude=y --link a b", "");
    refuses("COPY --from a b", "missing a value on flag: --from");
    refuses("COPY --link=1 a b", "expecting boolean value for flag --link, not: 1");
    refuses(
        "COPY --foo a",
        "COPY requires at least two arguments, but only one was provided. Destination could not be determined",
    );
    refuses("COPY a <<E\nE", "COPY cannot accept a heredoc as a destination");
    refuses("ENV =x", "ENV names can not be blank");
    refuses("ARG =x", "ARG names can not be blank");
    refuses("ARG --foo a", "");
    refuses("VOLUME [\"\"]", "VOLUME specified can not be an empty string");
    refuses("USER", "USER requires exactly one argument");
    refuses("ONBUILD ONBUILD RUN x", "Chaining ONBUILD via `ONBUILD ONBUILD` isn't allowed");
    refuses("ONBUILD COPY --foo a b", "");
    refuses(
        "ENV A=1 \"b\\c\"",
        "Syntax error - can't find = in \"\\\"b\\\\c\\\"\". Must be of the form: name=value",
    );
    refuses("HEALTHCHECK --foo NONE", "");
    refuses("HEALTHCHECK CMD", "Missing command after HEALTHCHECK CMD");
    refuses("HEALTHCHECK --interval=1.5m30s CMD x", "");
    refuses("HEALTHCHECK --interval=5 CMD x", "time: missing unit in duration \"5\"");
    refuses("HEALTHCHECK --interval=5us CMD x", "Interval \"interval\" cannot be less than 1ms");
    refuses("HEALTHCHECK --timeout=5d CMD x", "time: unknown unit \"d\" in duration \"5d\"");
    refuses("HEALTHCHECK --retries=x CMD x", "strconv.ParseInt: parsing \"x\": invalid syntax");
}

#[test]
fn reads_odd_lines() {
    check("\\ \nFROM a\nR\\\nUN x", "FROM[][\"a\"]\nRUN[][\"x\"]");
    check("FROM a\n \\\t\n run <<-E\n\tx\n\tE\n", "FROM[][\"a\"]\nRUN[][\"<<-E\"] [\"\\tx\\n\"]");
    check("FROM a\nRUN []=", "FROM[][\"a\"]\nRUN[][\"[]=\"]");
    check("FROM a\nONBUILD RUN <<E\nx\nE\n", "FROM[][\"a\"]\nONBUILD[][] (RUN \"<<E\") [\"x\\n\"]");
    check("\u{feff}# escape=`\r\n\r\nFROM a\r\nRUN x `\r\n  y\r\n", "FROM[][\"a\"]\nRUN[][\"x   y\"]");
    check("FROM a\nRUN <<E cat\n\nE\n", "FROM[][\"a\"]\nRUN[][\"<<E cat\"] [\"\\n\"]");
}

#[test]
fn stops_at_the_first_error() {
    refuses("ENV X\nRUN <<E", "ENV must have two arguments");
    refuses("RUN <<E\nE\nRUN <<E\nENV X", "unterminated heredoc");
    let deep = "ONBUILD ".repeat(8_000);
    refuses(&format!("{deep}RUN x"), "Chaining ONBUILD via `ONBUILD ONBUILD` isn't allowed");
    let long = "x".repeat(65_536);
    refuses(&format!("RUN {long}\nENV X"), "dockerfile line greater than max allowed size of 65535");
    refuses(&format!("RUN <<E\n{long}\nE"), "unterminated heredoc");
    let first = format!("RUN {long}\nFROM a\n");
    assert_eq!(parse(first.as_bytes()).error().unwrap().message, "file with no instructions");
}
