use super::*;

/// Expansion of a word: value, names used, names unset; or any error.
#[allow(clippy::type_complexity)]
fn word(text: &str, vars: &[(&str, &str)], expect: Result<(&str, &[&str], &[&str]), ()>) {
    let found = Lex::new(b'\\').word(text, &vars);
    match (&found, expect) {
        (Err(_), Err(())) => {}
        (Ok(found), Ok((value, used, unset))) => {
            assert_eq!(
                (found.value.as_str(), &found.used[..].join(" "), &found.unset[..].join(" ")),
                (value, &used.join(" "), &unset.join(" ")),
                "{text:?}"
            );
        }
        _ => panic!("{text:?}: {found:?}, not {expect:?}"),
    }
}

fn error(text: &str, expect: &str) {
    let found = Lex::new(b'\\').word(text, &[("A", "a"), ("EMPTY", "")].as_slice());
    assert_eq!(found.map_err(|e| e.to_string()), Err(format!("failed to process {}: {expect}", quote(text))));
}

/// The heredocs of a line, as `fd name` with `!` for no expansion and `-` for no tabs.
fn heredocs(line: &str, expect: &str) {
    let found: Vec<String> = heredocs_in_line(line)
        .unwrap_or_else(|e| panic!("{line:?}: {e}"))
        .iter()
        .map(|h| {
            format!(
                "{}{}{}{}",
                h.fd,
                if h.chomp { "-" } else { "" },
                if h.expand { " " } else { "!" },
                h.name
            )
        })
        .collect();
    assert_eq!(found.join(","), expect, "{line:?}");
}

#[test]
fn expands_as_buildkits_env_var_test() {
    let vars = [("PWD", "/home"), ("SHELL", "bash"), ("KOREAN", "한국어"), ("NULL", "")];
    let mut count = 0;
    for line in include_str!("env_var.txt").lines().filter(|l| !l.starts_with('#') && !l.is_empty()) {
        let [_, source, expect] = line.split('|').map(str::trim).collect::<Vec<_>>()[..] else {
            panic!("{line}")
        };
        let found = Lex::new(b'\\').word(source, &vars.as_slice()).map(|e| e.value);
        assert_eq!(found.unwrap_or("error".into()), expect, "{source}");
        count += 1;
    }
    assert_eq!(count, 228);
}

#[test]
fn splits_as_buildkits_words_test() {
    let mut vars: Vec<(&str, &str)> = Vec::new();
    for line in include_str!("words.txt").lines().filter(|l| !l.starts_with('#')) {
        if let Some(pair) = line.strip_prefix("ENV ") {
            vars.push(pair.split_once('=').unwrap());
            continue;
        }
        let (source, expect) = line.split_once('|').unwrap();
        let found = Lex::new(b'\\').words(source.trim(), &vars).unwrap_or(vec!["error".into()]);
        assert_eq!(found.join(","), expect.trim_start_matches(' '), "{source}");
    }
}

// the table of TestProcessWithMatches in moby/buildkit 73ed6825c frontend/dockerfile/shell/lex_test.go
#[test]
#[rustfmt::skip]
fn tells_which_variables_it_used() {
    word("x", &[("DUMMY", "dummy")], Ok(("x", &[], &[])));
    word("x ${UNUSED}", &[("DUMMY", "dummy")], Ok(("x ", &[], &["UNUSED"])));
    word("x ${FOO}", &[("FOO", "y")], Ok(("x y", &["FOO"], &[])));
    word("${FOO-aaa} ${BAR-bbb} ${BAZ-ccc}", &[("FOO", "xxx"), ("BAR", "")], Ok(("xxx  ccc", &["BAR", "FOO"], &["BAZ"])));
    word("${FOO:-aaa} ${BAR:-bbb} ${BAZ:-ccc}", &[("FOO", "xxx"), ("BAR", "")], Ok(("xxx bbb ccc", &["BAR", "FOO"], &["BAZ"])));
    word("${FOO:-}", &[("FOO", "xxx"), ("BAR", "")], Ok(("xxx", &["FOO"], &[])));
    word("${FOO:-}", &[], Ok(("", &[], &["FOO"])));
    word("${FOO+aaa} ${BAR+bbb} ${BAZ+ccc}", &[("FOO", "xxx"), ("BAR", "")], Ok(("aaa bbb ", &["BAR", "FOO"], &["BAZ"])));
    word("${FOO:+aaa} ${BAR:+bbb} ${BAZ:+ccc}", &[("FOO", "xxx"), ("BAR", "")], Ok(("aaa  ", &["BAR", "FOO"], &["BAZ"])));
    word("${FOO?aaa}", &[("FOO", "xxx"), ("BAR", "")], Ok(("xxx", &["FOO"], &[])));
    word("${BAR?bbb}", &[("FOO", "xxx"), ("BAR", "")], Ok(("", &["BAR"], &[])));
    word("${BAZ?ccc}", &[("FOO", "xxx"), ("BAR", "")], Err(()));
    word("${FOO:?aaa}", &[("FOO", "xxx"), ("BAR", "")], Ok(("xxx", &["FOO"], &[])));
    word("${BAR:?bbb}", &[("FOO", "xxx"), ("BAR", "")], Err(()));
    word("${BAZ:?ccc}", &[("FOO", "xxx"), ("BAR", "")], Err(()));
    word("${BAZ:?}", &[("FOO", "xxx"), ("BAR", "")], Err(()));
    word("${FOO=aaa}", &[("FOO", "xxx"), ("BAR", "")], Err(()));
    word("${FOO=:aaa}", &[("FOO", "xxx"), ("BAR", "")], Err(()));
    word("${FOO=}", &[], Err(()));
    word("${FOO#()[]{\\}^$.\\*\\?|\\\\}", &[("FOO", "()[]{}^$.*?|\\x")], Ok(("x", &["FOO"], &[])));
    word("${FOO%%\\**}", &[("FOO", "xx**")], Ok(("xx", &["FOO"], &[])));
    word("${FOO#*x*y}", &[("FOO", "xxyy")], Ok(("y", &["FOO"], &[])));
    word("${FOO#*}", &[("FOO", "xxyy")], Ok(("xxyy", &["FOO"], &[])));
    word("${FOO#$BAR}", &[("FOO", "xxyy"), ("BAR", "x")], Ok(("xyy", &["BAR", "FOO"], &[])));
    word("${FOO#$BAR}", &[("FOO", "xxyy"), ("BAR", "")], Ok(("xxyy", &["BAR", "FOO"], &[])));
    word("${FOO#}", &[("FOO", "xxyy")], Ok(("xxyy", &["FOO"], &[])));
    word("${FOO##*x}", &[("FOO", "xxyy")], Ok(("yy", &["FOO"], &[])));
    word("${FOO##}", &[("FOO", "xxyy")], Ok(("xxyy", &["FOO"], &[])));
    word("${FOO#?\\?}", &[("FOO", "???y")], Ok(("?y", &["FOO"], &[])));
    word("${ABC:-.}${FOO%x}${ABC:-.}", &[("FOO", "xxyy")], Ok((".xxyy.", &["FOO"], &["ABC"])));
    word("${FOO%%\\**\\*}", &[("FOO", "a***yy*")], Ok(("a", &["FOO"], &[])));
    word("${FOO%}", &[("FOO", "xxyy")], Ok(("xxyy", &["FOO"], &[])));
    word("${FOO%%$BAR}", &[("FOO", "xxyy"), ("BAR", "")], Ok(("xxyy", &["BAR", "FOO"], &[])));
    word("${FOO:#}", &[], Err(()));
    word("${FOO:##}", &[], Err(()));
    word("${FOO:%}", &[], Err(()));
    word("${FOO:%%}", &[], Err(()));
    word("${FOO/$NEEDLE/.} - ${FOO//$NEEDLE/.}", &[("FOO", "/foo*/*/*.txt"), ("NEEDLE", "\\*/")], Ok(("/foo.*/*.txt - /foo..*.txt", &["FOO", "NEEDLE"], &[])));
    word("${FOO/$NEEDLE/} - ${FOO//$NEEDLE/}", &[("FOO", "/tmp/tmp/bar.txt"), ("NEEDLE", "/tmp")], Ok(("/tmp/bar.txt - /bar.txt", &["FOO", "NEEDLE"], &[])));
    word("${FOO/$NEEDLE/$REPLACEMENT} - ${FOO//$NEEDLE/$REPLACEMENT}", &[("FOO", "/a/foo/b/c.txt"), ("NEEDLE", "/?/"), ("REPLACEMENT", "/")], Ok(("/foo/b/c.txt - /foo/c.txt", &["FOO", "NEEDLE", "REPLACEMENT"], &[])));
    word("${FOO/$NEEDLE/$REPLACEMENT}", &[("FOO", "http://google.de"), ("NEEDLE", "http://"), ("REPLACEMENT", "https://")], Ok(("https://google.de", &["FOO", "NEEDLE", "REPLACEMENT"], &[])));
    word("${FOO//\\//\\/}", &[("FOO", "/tmp/foo.txt")], Ok(("\\/tmp\\/foo.txt", &["FOO"], &[])));
    word("${FOO/$BAR/ww}", &[("FOO", "xxyy"), ("BAR", "")], Ok(("wwxxyy", &["BAR", "FOO"], &[])));
    word("${FOO//ww}", &[("FOO", "xxyy")], Err(()));
    word("${FOO//}", &[("FOO", "xxyy")], Err(()));
    word("${FOO///}", &[("FOO", "xxyy")], Ok(("xxyy", &["FOO"], &[])));
    word("${FOO///}", &[], Ok(("", &[], &["FOO"])));
}

#[test]
fn expands_in_an_optional_suffix() {
    let text = "${V}.${OS}-${ARCH}${VARIANT:+-${VARIANT}}.gz";
    let set = |variant| [("V", "1"), ("OS", "linux"), ("ARCH", "arm"), ("VARIANT", variant)];
    word(text, &set("v7"), Ok(("1.linux-arm-v7.gz", &["ARCH", "OS", "V", "VARIANT"], &[])));
    word(text, &set(""), Ok(("1.linux-arm.gz", &["ARCH", "OS", "V", "VARIANT"], &[])));
    word(text, &set("")[..3], Ok(("1.linux-arm.gz", &["ARCH", "OS", "V"], &["VARIANT"])));
}

#[test]
fn says_what_buildkit_says() {
    error("'a", "unexpected end of statement while looking for matching single-quote");
    error("\"a\tb", "unexpected end of statement while looking for matching double-quote");
    error("${A", "unsupported modifier (\u{fffd}) in substitution");
    error("${", "syntax error: missing '}'");
    error("${A:-b", "syntax error: missing '}'");
    error("${A/b}", "syntax error: missing '/' in ${}");
    error("${}", "syntax error: bad substitution");
    error("${A:=b}", "unsupported modifier (:=) in substitution");
    error("${A=b}", "unsupported modifier (=) in substitution");
    error("${A:#b}", "unsupported modifier (:#) in substitution");
    error("${X?}", "X: is not allowed to be unset");
    error("${X:?no $A}", "X: no a");
    error("${EMPTY:?}", "EMPTY: is not allowed to be empty");
    error("${A#\\x}", "invalid pattern (\\x) in substitution: invalid escape '\\x'");
}

#[test]
fn keeps_what_is_asked_for() {
    let lex = Lex { raw_quotes: true, raw_escapes: true, skip_unset: true, ..Lex::new(b'\\') };
    let check = |text: &str, expect: &str| {
        assert_eq!(lex.word(text, &[("A", "a")].as_slice()).unwrap().value, expect, "{text:?}");
    };
    check("'x' \"$A\" \\y ${B} $B", "'x' \"a\" \\y ${B} $B");
    check("${B:-$A} ${B#*x} ${B//a/$A}", "${B:-a} ${B#*x} ${B/a/a}");
    // lex.go doubles an escape that escapes nothing
    check("\"a\tb\\x\\\"\"", "\"a\tb\\\\x\\\"\"");
    let lex = Lex { skip_quotes: true, ..Lex::new(b'`') };
    assert_eq!(lex.word("it's \"$A\" `$A \\", &[("A", "a")].as_slice()).unwrap().value, "it's \"a\" $A \\");
}

#[test]
fn loses_text_where_buildkit_does() {
    assert_eq!(Lex::new(b'\\').words("x a${B:-c}d", &NoVariables).unwrap(), ["x", "cd"]);
    assert_eq!(Lex::new(b'\\').word("x a${B:-c}d", &NoVariables).unwrap().value, "x acd");
}

#[test]
fn replaces_as_go_expressions_do() {
    let check = |text: &str, value: &str, expect: &str| {
        let found = Lex::new(b'\\').word(text, &[("A", value), ("D", "[$0$1${x}$$]")].as_slice());
        assert_eq!(found.unwrap().value, expect, "{text:?} of {value:?}");
    };
    check("${A//b/$D}", "abc", "a[b$]c");
    check("${A/b/$D}", "abc", "a[$0$1${x}$$]c");
    check("${A//*/-}", "abc", "-");
    check("${A//?/-}", "aé\nc", "--\n-");
    check("${A//*/-}", "a\nb", "-\n-");
    check("${A///-}", "ab", "-a-b-");
    check("${A#*.}", "a.b.c", "b.c");
    check("${A##*.}", "a.b.c", "c");
    check("${A%.*}", "a.b.c", "a.b");
    check("${A%%.*}", "a.b.c", "a");
    check("${A%%x*}", "abc", "abc");
    check("${A##*b}", "a\nb", "a\nb");
    check("${A#?}", "한국", "국");
}

#[test]
fn refuses_deep_nesting_without_overflow() {
    let deep = |n: usize| format!("{}x{}", "${A:-".repeat(n), "}".repeat(n));
    assert_eq!(Lex::new(b'\\').word(&deep(150), &NoVariables).unwrap().value, "x");
    assert!(Lex::new(b'\\').word(&deep(100_000), &NoVariables).is_err());
    assert_eq!(references(&deep(100_000), b'\\'), ["A"]);
}

#[test]
fn finds_what_a_text_refers_to() {
    let check = |text: &str, expect: &str| assert_eq!(references(text, b'\\').join(" "), expect, "{text:?}");
    check("plain", "");
    check("$A ${B:-$C} \"${D}\" '$E' \\$F ${G?x} ${H:+${I}} ${J//$K/$L}", "A B C D G H I J K L");
    check("echo $$ $1 $(date)", "$ 1");
    // shell text that is no word for BuildKit: every name
    check("echo '$A' it's ${#B} ${C[0]}", "# A B C");
    assert_eq!(references("`$A $B", b'`'), ["B"]);
    assert_eq!(mentions("sh -c 'echo $A ${B}' \\$C ${!D} $"), ["!", "A", "B", "C", "D"]);
}

// TestHeredocsFromLine, TestParseHeredocHelpers and the names of TestParseExtractsHeredoc in parser_heredoc_test.go
#[test]
fn finds_heredocs() {
    heredocs("RUN <<EOF", "0 EOF");
    heredocs("RUN <<-EOF", "0- EOF");
    heredocs("RUN << -EOF", "0 -EOF");
    heredocs("RUN <<- EOF", "");
    heredocs("RUN <<  EOF  > foo", "0 EOF");
    heredocs("RUN <<'EOF'", "0!EOF");
    heredocs("RUN <<EO\"F\"", "0!EOF");
    heredocs("RUN <<-'EOF'", "0-!EOF");
    heredocs("RUN 4<<EOF", "4 EOF");
    heredocs("RUN 99999999999<<EOF", "4294967295 EOF");
    heredocs("RUN <<EOF <<EOF2", "0 EOF,0 EOF2");
    heredocs("RUN '<<EOF'", "");
    heredocs("RUN \"<<EOF\"", "");
    heredocs("RUN <<", "");
    heredocs("RUN <EOF <<<EOF a<<EOF", "");
    heredocs("RUN <<EOF sh", "0 EOF");
    heredocs("RUN <<eo\\'f", "0 eo'f");
    heredocs("RUN <<'e'o\\'f", "0!eo'f");
    heredocs("RUN <<'one two'", "0!one two");
    heredocs("RUN <<$EOF <<${A}", "0 $EOF,0 ${A}");
    heredocs("RUN <<'EOF", "");
    heredocs("COPY <<file.txt /dest", "0 file.txt");
    for text in ["<<'EOF", "<<\"EOF", "<<EOF'", "<<EOF\""] {
        assert!(heredoc(text).is_err(), "{text}");
    }
    for text in ["", "EOF", "<<", "<<-", "<EOF", "<<<EOF", "<<EOF sh"] {
        assert_eq!(heredoc(text), Ok(None), "{text}");
    }
    for text in ["<< EOF", "<<- EOF"] {
        assert_eq!(heredoc(text).unwrap().unwrap().name, "EOF", "{text}");
    }
}

#[test]
fn turns_patterns_round() {
    for (text, expect) in [("a\\*c", "c\\*a"), ("\\\\\\ab", "b\\a\\\\"), ("ab\\", "\\ba"), ("\\\\b", "b\\\\")]
    {
        assert_eq!(pattern::reversed(text), expect);
    }
}

#[test]
fn quotes_as_go_does() {
    assert_eq!(quote("a\"\\\n\x01é\u{a0}"), "\"a\\\"\\\\\\n\\x01é\\u00a0\"");
}

proptest::proptest! {
    #[test]
    fn never_panics(text in "(\\$|\\{|\\}|:|-|/|#|%|\\*|\\?|\\\\|'|\"|<<|<| |A|1|é|\n){0,24}") {
        for lex in [Lex::new(b'\\'), Lex { raw_quotes: true, raw_escapes: true, skip_unset: true, ..Lex::new(b'`') }] {
            let vars = [("A", "a1/é")];
            let _ = lex.word(&text, &vars.as_slice());
            let _ = lex.words(&text, &vars.as_slice());
        }
        let _ = heredocs_in_line(&text);
        let _ = references(&text, b'\\');
    }
}
