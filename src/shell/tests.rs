//! Tables of shell texts and what is read in them.

use super::*;

fn script(text: &str, dialect: Dialect) -> Script {
    let mut joined = Joined::default();
    joined.push(text.as_bytes(), 100);
    parse(&joined, dialect)
}

/// The tree in short: words as `value`, `?` where they are not literal; `T{…}` for a node of kind T.
fn shape(statements: &[Statement]) -> String {
    let mut out = String::new();
    for s in statements {
        for (i, n) in s.list.nodes().enumerate() {
            if i > 0 {
                out += if s.list.rest[i - 1].op == Op::And { " && " } else { " || " };
            }
            out += &shape_of(n);
        }
        out += match s.terminator {
            Terminator::None => "",
            Terminator::Semicolon => "; ",
            Terminator::Background => " & ",
            Terminator::Newline => "\n",
        };
    }
    out
}

fn shape_of(n: &Node) -> String {
    let word = |w: &Word| w.literal.clone().unwrap_or_else(|| "?".to_string());
    let mut out = match &n.kind {
        NodeKind::Simple(s) => {
            let mut all: Vec<_> =
                s.assigns.iter().map(|a| format!("{}={}", a.name, word(&a.value))).collect();
            all.extend(s.words.iter().map(word));
            all.extend(s.redirects.iter().map(redirect));
            all.join(" ")
        }
        NodeKind::Pipeline { negated, parts } => {
            let parts: Vec<_> = parts.iter().map(shape_of).collect();
            format!("{}P{{{}}}", if *negated { "!" } else { "" }, parts.join(" | "))
        }
        NodeKind::Group(b) => format!("G{{{}}}", shape(b)),
        NodeKind::Subshell(b) => format!("S{{{}}}", shape(b)),
        NodeKind::If { branches, otherwise } => {
            let b: Vec<_> = branches.iter().map(|(t, b)| format!("{} then {}", shape(t), shape(b))).collect();
            let e = otherwise.as_ref().map(|b| format!(" else {}", shape(b))).unwrap_or_default();
            format!("IF{{{}{e}}}", b.join(" elif "))
        }
        NodeKind::For { name, words, body } => {
            let words: Vec<_> = words.iter().flatten().map(word).collect();
            format!("FOR{{{name} in {} do {}}}", words.join(" "), shape(body))
        }
        NodeKind::While { until, condition, body } => {
            format!("{}{{{} do {}}}", if *until { "UNTIL" } else { "WHILE" }, shape(condition), shape(body))
        }
        NodeKind::Case { word: w, items } => {
            let items: Vec<_> = items
                .iter()
                .map(|(p, b)| format!("{}) {}", p.iter().map(word).collect::<Vec<_>>().join("|"), shape(b)))
                .collect();
            format!("CASE{{{} in {}}}", word(w), items.join(" ;; "))
        }
        NodeKind::Function { name, body } => format!("F{{{name} {}}}", shape_of(body)),
        NodeKind::Opaque(Opaque::Test { .. }) => "TEST".to_string(),
        NodeKind::Opaque(Opaque::Arithmetic { .. }) => "ARITH".to_string(),
        NodeKind::Opaque(Opaque::Timed(n)) => format!("TIME{{{}}}", shape_of(n)),
    };
    n.redirects.iter().for_each(|r| out += &format!(" {}", redirect(r)));
    out
}

fn redirect(r: &Redirect) -> String {
    let target =
        r.target.as_ref().map_or("-".to_string(), |w| w.literal.clone().unwrap_or_else(|| "?".to_string()));
    format!("{}{:?}:{target}", r.fd.map(|f| f.to_string()).unwrap_or_default(), r.kind)
}

fn check(dialect: Dialect, input: &str, expect: &str) {
    let script = script(input, dialect);
    match script.error() {
        Some(_) => assert_eq!("ERROR", expect, "{input}: {:?}", script.error()),
        None => assert_eq!(shape(script.statements()), expect, "{input}"),
    }
}

#[test]
fn structure() {
    let sh = |input, expect| check(Dialect::Posix, input, expect);
    sh("", "");
    sh("   ", "");
    sh("a", "a");
    sh("a && b", "a && b");
    sh("a    &&     b", "a && b");
    sh("a && b || c && d", "a && b || c && d");
    sh("a; b;", "a; b; ");
    sh("a;b", "a; b");
    sh("a & b", "a & b");
    sh("a &", "a & ");
    sh("a && b &", "a && b & ");
    sh("a\nb\n", "a\nb");
    sh("a &&\n  b", "a && b");
    sh("a && b # note", "a && b");
    sh("# only", "");
    sh("a # x\nb", "a\nb");
    sh("a && # x\n b", "a && b");
    sh("echo a#b", "echo a#b");
    sh("{ a; }", "G{a; }");
    sh("{ a; b; } && c", "G{a; b; } && c");
    sh("( a )", "S{a}");
    sh("(a;b) >f 2>&1", "S{a; b} Write:f 2Dup:1");
    sh("! a", "!P{a}");
    sh("! a | b", "!P{a | b}");
    sh("a | b && c", "P{a | b} && c");
    sh("a | b | c; d", "P{a | b | c}; d");
    sh("a | { b; c; }", "P{a | G{b; c; }}");
    sh("X=1 Y= a b", "X=1 Y= a b");
    sh("X=1", "X=1");
    sh("X=\"a b\" cmd", "X=a b cmd");
    sh("a 'b c' \"d e\" f\\ g h'i'\"j\"", "a b c d e f g hij");
    sh(r#"a "\$x" "\n" '\n' \n"#, r"a $x \n \n n");
    sh("a $x ${x} \"$x\" $(b) `c` $((1+1)) *.c ~/x {a,b}", "a ? ? ? ? ? ? ? ? ?");
    sh("a > f < g >> h 2>/dev/null", "a Write:f Read:g Append:h 2Write:/dev/null");
    sh(">f", "Write:f");
    sh("a 2>&- <&3 >| f <>g", "a 2Dup:- Dup:3 Write:f ReadWrite:g");
    sh("if a; then b; fi", "IF{a;  then b; }");
    sh("if a; then b; elif c; then d; else e; fi && f", "IF{a;  then b;  elif c;  then d;  else e; } && f");
    sh("if a && b || c\nthen d\nfi", "IF{a && b || c\n then d\n}");
    sh("for i in 1 \"2 3\" $x; do a; done", "FOR{i in 1 2 3 ? do a; }");
    sh("for i; do a; done", "FOR{i in  do a; }");
    sh("for i in a\ndo b; done | c", "P{FOR{i in a do b; } | c}");
    sh("while a; do b; done < f", "WHILE{a;  do b; } Read:f");
    sh("until a; do b; done", "UNTIL{a;  do b; }");
    sh("case $x in a|b) c ;; *) d;; esac", "CASE{? in a|b) c ;; ?) d}");
    sh("case x in (a) b; c;; y) esac", "CASE{x in a) b; c ;; y) }");
    sh("case \"$(uname -m)\" in x86_64) A=1 ;; esac && b", "CASE{? in x86_64) A=1} && b");
    sh("f() { a; }; f", "F{f G{a; }}; f");
    sh("f () ( a )", "F{f S{a}}");
    sh("[ -f x ] && a", "[ -f x ] && a");
    sh("test -f x || a", "test -f x || a");
    sh("exit 1", "exit 1");
    sh("a || exit", "a || exit");
    sh("export A=1 B", "export A=1 B");
    sh("export PATH=$PATH:/x && a", "export ? && a");
    sh("set -eux; a; b", "set -eux; a; b");
    sh("a\\\n b", "a b");
    sh("cat <<E\nx $y\nE\n", "cat Heredoc:?");
    sh("cat <<'E' > f\nx $y\nE\nb", "cat Heredoc:x $y\n Write:f\nb");
    sh("cat <<-E && a\n\tx\n\tE\nb", "cat Heredoc:\tx\n && a\nb");
    sh("cat <<A <<B\na\nA\nb\nB\n", "cat Heredoc:a\n Heredoc:b\n");
    sh("echo $(a; b | c)", "echo ?");
    sh("a \"$(echo \")\")\" b", "a ? b");
    sh("x=\"$(cat <<E\nhi)\nE\n)\"; b", "x=?; b");
    sh(r#"sed "s!^$c=.*\$!# $c is!" "a $x\$" f && b"#, "sed ? ? f && b");
    sh("echo a s#b#$x#c $(d)#e && b", "echo a ? ? && b");
    sh("echo }", "echo }");
    sh("echo if then", "echo if then");
    sh("echo '' \"\"", "echo  ");
    sh("echo é && b", "echo é && b");
}

#[test]
fn errors() {
    let bad = |input: &str| check(Dialect::Posix, input, "ERROR");
    bad("a &&");
    bad("a && b ||");
    bad("a |");
    bad("&& a");
    bad("; a");
    bad("a ; ; b");
    bad("a & ; b");
    bad("a;; b");
    bad("a & && b");
    bad("a; && b");
    bad("echo 'x");
    bad("echo \"x");
    bad("echo `x");
    bad("echo $(x");
    bad("echo ${x");
    bad("{ a; ");
    bad("( a ");
    bad("a )");
    bad("} a");
    bad("if a; then b");
    bad("if a; then fi");
    bad("for i in a; b; done");
    bad("while a; do; done");
    bad("case x in a) b");
    bad("done");
    bad("{ }");
    bad("( )");
    bad("cat <<E\nx");
    // What bash as /bin/sh would read otherwise.
    bad("[[ a && b ]]");
    bad("a &> f");
    bad("a |& b");
    bad("cat <<< x");
    bad("x=(a b)");
    bad("x+=b");
    bad("diff <(a) <(b)");
    bad("function f { a; }");
    bad("((x=1))");
    bad(&"(".repeat(5000));
    bad(&format!("{}a{}", "$(".repeat(2000), ")".repeat(2000)));
    bad(&format!("{}a{}", "{ ".repeat(2000), "; }".repeat(2000)));
    let mut joined = Joined::default();
    joined.push(b"echo \xff", 0);
    assert!(parse(&joined, Dialect::Posix).error().is_some());
}

#[test]
fn bash() {
    let bash = |input, expect| check(Dialect::Bash, input, expect);
    bash("[[ -f x && $y == z* ]] && a", "TEST && a");
    bash("((x++)); a", "ARITH; a");
    bash("cat <<< \"x y\"", "cat HereString:x y");
    bash("a &> f", "a Both:f");
    bash("a &>> f 2>> g 3< h", "a Both:f 2Append:g 3Read:h");
    bash("exec {fd}> f", "exec Write:f");
    bash("a |& b", "P{a | b}");
    bash("x=(a 'b c' $d); y", "x=?; y");
    bash("x+=b", "x=b");
    bash("function f { a; }", "F{f G{a; }}");
    bash("diff <(a) <(b)", "diff ? ?");
    bash("echo $'a\\tb'", "echo a\tb");
    bash("time a", "TIME{a}");
    bash("echo {a,b} {1..3} {x}", "echo ? ? {x}");
    bash("declare -a x=(1 2); export y=$z", "declare -a ?; export ?");
    bash("${x[@]} ${x[1]} ${#x} ${x/a/b} ${x%.c} ${x:1:2}", "? ? ? ? ? ?");
    bash("case x in a) b;& c) d;; esac", "CASE{x in a) b ;; c) d}");
}

#[test]
fn leaking() {
    let check = |input: &str, expect: &str| {
        let script = script(input, Dialect::Bash);
        assert_eq!(script.error(), None, "{input}");
        let nodes = script.statements().iter().flat_map(|s| s.list.nodes());
        let found: Vec<_> = nodes.flat_map(leaks).map(|l| format!("{l:?}").replace('"', "")).collect();
        assert_eq!(found.join(" "), expect, "{input}");
    };
    check("a", "");
    check("cd /x && make", "Cwd");
    check("(cd /x && make)", "");
    check("cd /x | a", "");
    check("{ cd /x; }", "Cwd");
    check("if a; then cd /x; fi", "Cwd");
    check("! cd /x", "Cwd");
    check("X=1 a", "");
    check("X=1", "Variable(X)");
    check("X=1 :", "Variable(X)");
    check("X=1 export Y", "Variable(X) Export(Y)");
    check("export A=1 B=$c", "Export(A) Export(B)");
    check("a ${x:=v}", "Variable(x)");
    check("a ${x=v}", "Variable(x)");
    check("a \"$((x=1))\"", "Variable(x)");
    check("a $((x == 1))", "");
    check("a $((x >= 1))", "");
    check("a $(cd /x)", "");
    check("for i in a; do b; done", "LoopVariable(i)");
    check("f() { cd /; }", "Function(f)");
    check("set -e", "Option");
    check("command cd /x", "Cwd");
    check("command -v cd", "");
    check("exec a", "Exec");
    check("exec >f", "Redirection");
    check("a || exit 1", "Exit");
    check("$X a", "Expansion");
    check("umask 022; umask", "Umask");
    check("trap 'a' EXIT", "Trap");
    check("read x y; unset z", "Variable(x) Variable(y) Variable(z)");
    check(". ./env; eval a; alias a=b", "Source Eval Alias");
    check("while read x; do :; done < f", "Variable(x)");
    check("a | while read x; do :; done", "");
    check("printf -v x a", "Variable(x)");
    check("((x++))", "Variable(x)");
    check("hash -r; shift; return", "Other(hash) Other(shift) Return");
}

#[test]
fn whole_script() {
    let lone = |text: &str| script(text, Dialect::Posix).and_list().map(|l| l.len());
    assert_eq!(lone("a && b && { c; d; }"), Some(3));
    assert_eq!(lone("a"), Some(1));
    assert_eq!(lone("a | b && c # x"), Some(2));
    assert_eq!(lone("a && b\n"), Some(2));
    for text in ["a;", "a && b;", "a || b", "a &", "a\nb", "", "a &&"] {
        assert_eq!(lone(text), None, "{text}");
    }
    let errexit = |text: &str| sets_errexit(&script(text, Dialect::Bash));
    for text in
        ["set -e; a", "set -eux", "a; { set -o errexit; }", "set -uo errexit", "f() { set -e; }", "set $x"]
    {
        assert!(errexit(text), "{text}");
    }
    for text in
        ["set -u", "(set -e)", "set +e", "set -- -e", "echo set -e", "set -o pipefail", "set -uo pipefail"]
    {
        assert!(!errexit(text), "{text}");
    }
    let special = |text: &str| special_reads(&script(text, Dialect::Bash)).unwrap_or_default();
    assert_eq!(special("echo $?"), "?");
    assert_eq!(special("a && echo $?"), "");
    assert_eq!(special("if [ \"$?\" = 0 ]; then a; fi"), "?");
    assert_eq!(special("X=$! a"), "!");
    assert_eq!(special("echo $(echo $$)"), "$");
    assert_eq!(special("echo ${RANDOM}"), "RANDOM");
    assert_eq!(special("[[ $? == 0 ]]"), "?");
    assert_eq!(special("case $0 in a) b;; esac"), "0");
    let amp = |text: &str| background(&script(text, Dialect::Bash)).map(|s| s.start);
    assert_eq!(amp("a & b"), Some(2));
    assert_eq!(amp("{ a & }"), Some(4));
    assert_eq!(amp("(a &)"), Some(3));
    assert_eq!(amp("x=$(a &)"), Some(6));
    assert_eq!(amp("a && b 2>&1"), None);
}

#[test]
fn commands_and_places() {
    let check = |text: &str, expect: &str| {
        let script = script(text, Dialect::Bash);
        let found: Vec<_> = script
            .commands()
            .iter()
            .map(|c| {
                let p = c.place;
                let flags = [
                    (p.subshell, 's'),
                    (p.pipeline, 'p'),
                    (p.substitution, '$'),
                    (p.background, '&'),
                    (p.function, 'f'),
                    (p.conditional, '?'),
                    (p.tested, 't'),
                ];
                let flags: String = flags.iter().filter(|f| f.0).map(|f| f.1).collect();
                format!("{}:{flags}", c.simple.name().unwrap_or("-"))
            })
            .collect();
        assert_eq!(found.join(" "), expect, "{text}");
    };
    check("a && b || c", "a:t b:t c:?");
    check("(a; b | c)", "a:s b:sp c:sp");
    check("a $(b) &", "a:& b:$&");
    check("if a; then b; else c; fi", "a:t b:? c:?");
    check("f() { a; }; ! f", "a:f f:t");
    check("while a; do b; done", "a:t b:?");
    check("cat <<E\n$(a)\nE\n", "cat: a:$");
}

#[test]
fn words() {
    let get = |text: &str| {
        let script = script(text, Dialect::Posix);
        let word = script.commands()[0].simple.words[1].clone();
        let vars = |n: &str| match n {
            "x" => Some("v".to_string()),
            "sp" => Some("a b".to_string()),
            "e" => Some(String::new()),
            _ => None,
        };
        (word.value(&vars), word.reads.join(","), word.glob, word.substitution, word.quoted)
    };
    let some = |s: &str| Some(s.to_string());
    assert_eq!(get("a $x/${x}y"), (some("v/vy"), "x".into(), false, false, false));
    assert_eq!(get("a \"$sp\""), (some("a b"), "sp".into(), false, false, true));
    assert_eq!(get("a $sp"), (None, "sp".into(), false, false, false));
    assert_eq!(get("a ${e:-w}"), (some("w"), "e".into(), false, false, false));
    assert_eq!(get("a ${x:-$y}"), (some("v"), "x,y".into(), false, false, false));
    assert_eq!(get("a \"${e-w}\""), (some(""), "e".into(), false, false, true));
    assert_eq!(get("a $y"), (None, "y".into(), false, false, false));
    assert_eq!(get("a $x*"), (None, "x".into(), true, false, false));
    assert_eq!(get("a \"*\""), (some("*"), String::new(), false, false, true));
    assert_eq!(get("a $(b $c)"), (None, "c".into(), false, true, false));
    assert_eq!(get("a $((x+n))"), (None, "n,x".into(), false, false, false));
    assert_eq!(get("a ${x%.*}"), (None, "x".into(), false, false, false));
    assert_eq!(get("a ~/y"), (None, "HOME".into(), true, false, false));
}

#[test]
fn spans_map_to_the_file() {
    let mut joined = Joined::default();
    joined.push(b"a && ", 4);
    joined.push(b"  b c", 20);
    let script = parse(&joined, Dialect::Posix);
    let list = script.and_list().expect("an and-list");
    assert_eq!(script.text(list[1].span), b"b c");
    assert_eq!(script.in_file(list[1].span), Span::new(22, 25));
    assert_eq!(script.in_file(script.statements()[0].span()), Span::new(4, 25));
    let script = self::script("a; # x y\nb", Dialect::Posix);
    assert_eq!(script.text(script.comments()[0]), b"# x y");
}

#[test]
fn shells() {
    let check = |argv: &str, expect: Option<(Dialect, &str)>| {
        let argv: Vec<_> = argv.split(' ').map(str::to_string).collect();
        let got = shell_kind(&argv).map(|k| {
            let flags = [(k.errexit, 'e'), (k.nounset, 'u'), (k.xtrace, 'x'), (k.pipefail, 'p')];
            (k.dialect, flags.iter().filter(|f| f.0).map(|f| f.1).collect::<String>())
        });
        assert_eq!(got, expect.map(|(d, f)| (d, f.to_string())), "{argv:?}");
    };
    check("/bin/sh -c", Some((Dialect::Posix, "")));
    check("/bin/sh -ec", Some((Dialect::Posix, "e")));
    check("sh -e -u -c", Some((Dialect::Posix, "eu")));
    check("/bin/bash -o pipefail -c", Some((Dialect::Bash, "p")));
    check("/usr/bin/bash -eo pipefail -c", Some((Dialect::Bash, "ep")));
    check("bash -euxo pipefail -c", Some((Dialect::Bash, "euxp")));
    check("/bin/busybox sh -c", Some((Dialect::Posix, "")));
    check("/bin/ash -eo pipefail -c", Some((Dialect::Posix, "ep")));
    for argv in [
        "/bin/bash -lc",
        "bash -c -e",
        "bash",
        "bash -ic",
        "powershell -Command",
        "cmd /S /C",
        "./sh -c",
        "busybox -c",
        "bash -o",
        "bash -o posix -c",
    ] {
        check(argv, None);
    }
}
