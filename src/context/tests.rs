use super::*;
use proptest::prelude::*;
use std::sync::atomic::{AtomicUsize, Ordering};

fn ignore(text: &str) -> IgnoreFile {
    IgnoreFile::parse(text.as_bytes())
}

// moby/patternmatcher 5a6d8429a19bb6948a372ff19e86fe83599a04b7 patternmatcher_test.go, TestMatches: pattern, path,
// whether it matches. Two rows are left out: the path "/" is the root here, which nothing keeps out.
const MATCHES: &[(&str, &str, bool)] = &[
    ("**", "file", true),
    ("**", "file/", true),
    ("**/", "file", true),
    ("**/", "file/", true),
    ("**", "dir/file", true),
    ("**/", "dir/file", true),
    ("**", "dir/file/", true),
    ("**/", "dir/file/", true),
    ("**/**", "dir/file", true),
    ("**/**", "dir/file/", true),
    ("dir/**", "dir/file", true),
    ("dir/**", "dir/file/", true),
    ("dir/**", "dir/dir2/file", true),
    ("dir/**", "dir/dir2/file/", true),
    ("**/dir", "dir", true),
    ("**/dir", "dir/file", true),
    ("**/dir2/*", "dir/dir2/file", true),
    ("**/dir2/*", "dir/dir2/file/", true),
    ("**/dir2/**", "dir/dir2/dir3/file", true),
    ("**/dir2/**", "dir/dir2/dir3/file/", true),
    ("**file", "file", true),
    ("**file", "dir/file", true),
    ("**/file", "dir/file", true),
    ("**file", "dir/dir/file", true),
    ("**/file", "dir/dir/file", true),
    ("**/file*", "dir/dir/file", true),
    ("**/file*", "dir/dir/file.txt", true),
    ("**/file*txt", "dir/dir/file.txt", true),
    ("**/file*.txt", "dir/dir/file.txt", true),
    ("**/file*.txt*", "dir/dir/file.txt", true),
    ("**/**/*.txt", "dir/dir/file.txt", true),
    ("**/**/*.txt2", "dir/dir/file.txt", false),
    ("**/*.txt", "file.txt", true),
    ("**/**/*.txt", "file.txt", true),
    ("a**/*.txt", "a/file.txt", true),
    ("a**/*.txt", "a/dir/file.txt", true),
    ("a**/*.txt", "a/dir/dir/file.txt", true),
    ("a/*.txt", "a/dir/file.txt", false),
    ("a/*.txt", "a/file.txt", true),
    ("a/*.txt**", "a/file.txt", true),
    ("a[b-d]e", "ae", false),
    ("a[b-d]e", "ace", true),
    ("a[b-d]e", "aae", false),
    ("a[^b-d]e", "aze", true),
    (".*", ".foo", true),
    (".*", "foo", false),
    ("abc.def", "abcdef", false),
    ("abc.def", "abc.def", true),
    ("abc.def", "abcZdef", false),
    ("abc?def", "abcZdef", true),
    ("abc?def", "abcdef", false),
    (r"a\\", r"a\", true),
    ("**/foo/bar", "foo/bar", true),
    ("**/foo/bar", "dir/foo/bar", true),
    ("**/foo/bar", "dir/dir2/foo/bar", true),
    ("abc/**", "abc", false),
    ("abc/**", "abc/def", true),
    ("abc/**", "abc/def/ghi", true),
    ("**/.foo", ".foo", true),
    ("**/.foo", "bar.foo", false),
    ("a(b)c/def", "a(b)c/def", true),
    ("a(b)c/def", "a(b)c/xyz", false),
    ("a.|)$(}+{bc", "a.|)$(}+{bc", true),
    (
        "dist/proxy.py-2.4.0rc3.dev36+g08acad9-py3-none-any.whl",
        "dist/proxy.py-2.4.0rc3.dev36+g08acad9-py3-none-any.whl",
        true,
    ),
    ("dist/*.whl", "dist/proxy.py-2.4.0rc3.dev36+g08acad9-py3-none-any.whl", true),
    (r"a\*b", "a*b", true),
    // The same file: tests of several patterns, and of single cases.
    ("**\n!util/docker/web", "util/docker/web/foo", false),
    ("**\n!util/docker/web\nutil/docker/web/foo", "util/docker/web/foo", true),
    ("**\n!dist/*.whl", "dist/proxy.py-2.4.0rc3.dev36+g08acad9-py3-none-any.whl", false),
    ("*", "fileutils.go", true),
    ("*.go", "fileutils.go", true),
    ("!fileutils.go\n*.go", "fileutils.go", true),
    ("*.go\n!fileutils.go", "fileutils.go", false),
    ("docs\n!docs/README.md", "docs/README.md", false),
    ("docs/\n!docs/README.md", "docs/README.md", false),
    ("docs/*\n!docs/README.md", "docs/README.md", false),
    ("docs\n  !docs/README.md  ", "docs/README.md", false),
    ("*.go", ".", false),
    ("", "any/path/there", false),
];

// The same file, matchTests, which it took from Go's filepath.Match tests: pattern, name, whether patternmatcher
// matches; none for a bad pattern.
const MATCH_TESTS: &[(&str, &str, Option<bool>)] = &[
    ("abc", "abc", Some(true)),
    ("*", "abc", Some(true)),
    ("*c", "abc", Some(true)),
    ("a*", "a", Some(true)),
    ("a*", "abc", Some(true)),
    ("a*", "ab/c", Some(true)),
    ("a*/b", "abc/b", Some(true)),
    ("a*/b", "a/c/b", Some(false)),
    ("a*b*c*d*e*/f", "axbxcxdxe/f", Some(true)),
    ("a*b*c*d*e*/f", "axbxcxdxexxx/f", Some(true)),
    ("a*b*c*d*e*/f", "axbxcxdxe/xxx/f", Some(false)),
    ("a*b*c*d*e*/f", "axbxcxdxexxx/fff", Some(false)),
    ("a*b?c*x", "abxbbxdbxebxczzx", Some(true)),
    ("a*b?c*x", "abxbbxdbxebxczzy", Some(false)),
    ("ab[c]", "abc", Some(true)),
    ("ab[b-d]", "abc", Some(true)),
    ("ab[e-g]", "abc", Some(false)),
    ("ab[^c]", "abc", Some(false)),
    ("ab[^b-d]", "abc", Some(false)),
    ("ab[^e-g]", "abc", Some(true)),
    (r"a\*b", "a*b", Some(true)),
    (r"a\*b", "ab", Some(false)),
    ("a?b", "a☺b", Some(true)),
    ("a[^a]b", "a☺b", Some(true)),
    ("a???b", "a☺b", Some(false)),
    ("a[^a][^a][^a]b", "a☺b", Some(false)),
    ("[a-ζ]*", "α", Some(true)),
    ("*[a-ζ]", "A", Some(false)),
    ("a?b", "a/b", Some(false)),
    ("a*b", "a/b", Some(false)),
    (r"[\]a]", "]", Some(true)),
    (r"[\-]", "-", Some(true)),
    (r"[x\-]", "x", Some(true)),
    (r"[x\-]", "-", Some(true)),
    (r"[x\-]", "z", Some(false)),
    (r"[\-x]", "x", Some(true)),
    (r"[\-x]", "-", Some(true)),
    (r"[\-x]", "a", Some(false)),
    ("[]a]", "]", None),
    ("[-]", "-", None),
    ("[x-]", "x", None),
    ("[x-]", "-", None),
    ("[x-]", "z", None),
    ("[-x]", "x", None),
    ("[-x]", "-", None),
    ("[-x]", "a", None),
    (r"\", "a", None),
    ("[a-b-c]", "a", None),
    ("[", "a", None),
    ("[^", "a", None),
    ("[^bc", "a", None),
    ("a[", "a", None),
    ("a[", "ab", None),
    ("*x", "xxx", Some(true)),
];

#[test]
fn patterns_match_as_in_patternmatcher() {
    for &(patterns, path, expect) in MATCHES {
        let file = ignore(patterns);
        assert_eq!(file.error(), None, "{patterns:?}");
        assert_eq!(file.excludes(path), expect, "{patterns:?} on {path:?}");
    }
    for &(pattern, path, expect) in MATCH_TESTS {
        let file = ignore(pattern);
        let got = file.error().is_none().then(|| file.excludes(path));
        assert_eq!(got, expect, "{pattern:?} on {path:?}");
    }
}

#[test]
fn go_match_is_filepath_match() {
    for &(pattern, name, expect) in MATCH_TESTS {
        // Alone in the table: patternmatcher also looks at the folder.
        let expect = if name == "ab/c" { Some(false) } else { expect };
        assert_eq!(go_match(pattern, name).ok(), expect, "{pattern:?} on {name:?}");
    }
    assert_eq!(go_match("a/[", "b"), Err(BadPattern));
    assert_eq!(go_match("*b[", "a"), Err(BadPattern));
    assert_eq!(go_match("[^a]", "/"), Ok(true));
    assert_eq!(go_match("*??", "☺"), Ok(true), "Go goes on byte by byte behind a star");
}

#[test]
fn lines_are_read_as_by_read_all() {
    fn check(text: &str, expect: &[&str]) {
        assert_eq!(ignore(text).lines(), expect, "{text:?}");
    }
    // moby/patternmatcher 5a6d842 ignorefile/ignorefile_test.go
    check(
        "test1\n/test2\n/a/file/here\n\nlastfile\n# this is a comment\n! /inverted/abs/path\n!\n! ",
        &["test1", "test2", "a/file/here", "lastfile", "!inverted/abs/path", "!", "!"],
    );
    check("\u{feff}# no\n #yes\r\n", &["#yes"]);
    check("a/../b//c/\n./x\n/\n\t\n", &["b/c", "x", "/"]);
}

#[test]
fn a_file_that_fails_the_build_says_so() {
    fn check(text: &str, expect: Option<&str>) {
        let file = ignore(text);
        assert_eq!(file.error(), expect, "{text:?}");
    }
    check("a\n[\n!\n", Some("line 2: `[`: syntax error in pattern"));
    check("!", Some("line 1: `!`: an exception names nothing"));
    check("!/", Some("line 1: `!/`: an exception names nothing"));
    check("a\nb", None);
    // Valid for filepath.Match, not as a regular expression: moby/moby#52203.
    assert!(ignore("[Local-Only]/").error().is_some());
    assert!(ignore(&"a".repeat(70_000)).error().is_some());
    assert!(!ignore("a\n[").excludes_all_below("a"));
}

#[test]
fn the_walk_decides_and_not_the_path_alone() {
    fn check(text: &str, path: &str, expect: bool) {
        assert_eq!(ignore(text).excludes(path), expect, "{text:?} on {path:?}");
    }
    // `!foo` is not asked of foo, which nothing keeps out, so it brings nothing back below it.
    check("foo/bar\n!foo", "foo/bar", true);
    check("*\n!foo", "foo/bar", false);
    check("*\n!foo/bar", "foo/baz", true);
    check("./!a\n", "a", false);
    check("*\n./!a\n", "a", false);
    check("a[*]", "a[", false);
    check("[[:digit:]]x*", "7x", true);
    check("x^*", "x^", false);
    check("/a/", "a/b", true);
    check("a", "b/a", false);
    check("[!a]b", "!b", true);
    check("a", "../a", true);
    assert_eq!(ignore("x\n*\n!src\n").excluded_by("a").map(|p| (p.line, p.raw.as_str())), Some((2, "*")));
}

#[test]
fn what_lies_below_is_kept_out() {
    fn check(text: &str, dir: &str, expect: bool) {
        assert_eq!(ignore(text).excludes_all_below(dir), expect, "{text:?} below {dir:?}");
    }
    check("node_modules", "node_modules", true);
    check("node_modules", "a/node_modules", false);
    check("**/node_modules", "a/node_modules", true);
    check("node_modules\n!src\n!**/x.js", "node_modules", false);
    check("node_modules\n!src\n!a/*.js", "node_modules", true);
    check("node_modules\n!node_modules/keep", "node_modules", false);
    check("node_modules\n!node_modules/keep", "node_modules/other", true);
    check("node_modules\n!**/x.js\nnode_modules/**", "node_modules", true);
    check("node_modules/*", "node_modules", true);
    check("node_modules/*\n!node_modules/.keep", "node_modules", false);
    check("*\n!src\n!package.json", "node_modules", true);
    check("*\n!src", "src", false);
    check("*\n!*.json", "node_modules", true);
    check("*\n!**/keep\nnode_modules", "node_modules", false);
    check("**", "", true);
    check("", "a", false);
}

#[test]
fn a_name_is_kept_out_everywhere() {
    fn check(text: &str, expect: bool) {
        assert_eq!(ignore(text).would_exclude_all("node_modules"), expect, "{text:?}");
    }
    check("**/node_modules", true);
    check("**/node_modules/", true);
    check("**/node_*", true);
    check("**node_modules", true);
    check("*", true);
    check("node_modules", false);
    check("node_modules\n*/node_modules", false);
    check("**/node_modules/**", false);
    check("*\n!src", false);
    check("*\n!src\n**/node_modules", true);
    check("*\n!**/keep\n**/node_modules", false);
    check("**/node_modules\n!src", false);
    check("**/node_modules\n!**/*.md", false);
    check("**/node_modules\n[", false);
}

#[test]
fn a_context_knows_which_exceptions_are_files() {
    fn check(text: &str, expect: bool) {
        let files = [(".dockerignore", text), ("README.md", ""), ("src/a.js", "")];
        assert_eq!(Context::memory(&files).keeps_out("node_modules"), expect, "{text:?}");
    }
    check("**/node_modules\n!README.md", true);
    check("**/node_modules\n!*.md", true);
    check("**/node_modules\n!s*", false);
    check("**/node_modules\n!src", false);
    check("**/node_modules\n!later.md", false);
}

fn project() -> Context {
    Context::memory(&[
        (".dockerignore", "docs\n!docs/a.md\nnode_modules\nsecret\n"),
        ("docs/a.md", "a"),
        ("docs/b.md", "b"),
        ("node_modules/x/y.js", ""),
        ("package.json", "{}"),
        ("package-lock.json", "{}"),
        ("secret", "s"),
        ("src/lib/b.js", ""),
        ("src/a.js", "x"),
    ])
}

#[test]
fn a_context_carries_what_is_not_left_out() {
    let context = project();
    let names = |entries: Vec<(String, Entry)>| entries.into_iter().map(|(n, _)| n).collect::<Vec<_>>();
    assert_eq!(
        names(context.list("")),
        [".dockerignore", "docs", "package-lock.json", "package.json", "src"]
    );
    assert_eq!(names(context.list("/docs/")), ["a.md"]);
    assert_eq!(names(context.list("nowhere")), Vec::<String>::new());
    let all = context.walk("src", 10).expect("there are fewer");
    assert_eq!(names(all), ["src/a.js", "src/lib", "src/lib/b.js"]);
    assert!(context.walk("src", 3).is_some() && context.walk("src", 2).is_none());
    assert_eq!(context.entry("src").map(|e| e.kind), Some(FileKind::Dir));
    assert_eq!(context.entry("secret"), None);
    assert!(context.exists_ignored("secret") && !context.exists_ignored("src"));
    assert!(!context.exists_ignored("nowhere"));
    assert_eq!(context.read_text("package.json").as_deref(), Some("{}"));
    assert_eq!(context.read("secret"), None);
    assert_eq!(context.read("src"), None);
    assert_eq!(context.ignore_path(), Some(".dockerignore"));
}

#[test]
fn a_copy_source_names_entries() {
    fn check(pattern: &str, expect: Option<&[&str]>) {
        let got = project().select(pattern);
        assert_eq!(
            got.as_deref(),
            expect.map(|e| e.iter().map(ToString::to_string).collect::<Vec<_>>()).as_deref()
        );
    }
    check(".", Some(&[""]));
    check("/", Some(&[""]));
    check("./package.json", Some(&["package.json"]));
    check("/src/", Some(&["src"]));
    check("../src", Some(&["src"]));
    check("package*.json", Some(&["package-lock.json", "package.json"]));
    check("yarn.lock*", Some(&[]));
    check("secret*", Some(&[]));
    check("secret", Some(&[]));
    check("s*", Some(&["src"]));
    check("src/*", Some(&["src/a.js", "src/lib"]));
    check("*/*.js", Some(&["src/a.js"]));
    check("src/*/b.js", Some(&["src/lib/b.js"]));
    check("src[^a]a.js", Some(&["src/a.js"]));
    check("docs/*", Some(&["docs/a.md"]));
    check("[", None);
    check("src/[", None);
}

#[test]
fn a_context_tells_what_may_come() {
    fn check(path: &str, expect: Carry) {
        assert_eq!(project().may_carry(path), expect, "{path}");
    }
    let no = |why: &str| Carry::No { why: why.to_string() };
    check("node_modules", no(".dockerignore:3 (`node_modules`) keeps it out"));
    check("node_modules/x", no(".dockerignore:3 (`node_modules`) keeps it out"));
    check("src/node_modules", Carry::Absent);
    check("docs", Carry::Yes);
    check("docs/b.md", no(".dockerignore:1 (`docs`) keeps it out"));
    check("dist", Carry::Absent);
    check("src", Carry::Yes);
    check("", Carry::Yes);
}

#[test]
fn the_ignore_file_of_the_dockerfile_comes_first() {
    let files = [(".dockerignore", "a"), ("x/Dockerfile.dockerignore", "b"), ("a", ""), ("b", "")];
    let source: Arc<dyn Source> = Arc::new(Memory::new(&files));
    let open = |dockerfile: &str| Context::new(source.clone(), "app".into(), Origin::Guessed, dockerfile);
    let own = open("x/Dockerfile");
    assert_eq!(own.ignore_path(), Some("x/Dockerfile.dockerignore"));
    assert!(own.entry("a").is_some() && own.entry("b").is_none() && own.is_guess());
    let other = open("Dockerfile");
    assert!(other.entry("a").is_none() && other.entry("b").is_some());
    let outside = other.with_ignore("../Dockerfile.dockerignore".into(), b"b");
    assert!(outside.entry("a").is_some() && outside.entry("b").is_none());
    assert!(Context::memory(&[]).ignore().is_none());
}

// Counts what is asked of it, and holds more text than a run may read.
struct Counting(AtomicUsize);

impl Source for Counting {
    fn read(&self, path: &str) -> Option<Vec<u8>> {
        self.0.fetch_add(1, Ordering::Relaxed);
        (path != ".dockerignore").then(|| vec![b'x'; MAX_FILE])
    }

    fn stat(&self, path: &str) -> Option<Stat> {
        self.0.fetch_add(1, Ordering::Relaxed);
        let size = if path == "long" { MAX_FILE + 1 } else { MAX_FILE };
        (path != ".dockerignore").then_some(Stat {
            kind: FileKind::File,
            mode: 0o4755,
            size: size as u64,
            tracked: Some(true),
        })
    }

    fn list(&self, _: &str) -> Vec<(String, Stat)> {
        panic!("nobody asked for a folder")
    }
}

#[test]
fn a_context_asks_little_and_reads_within_its_budget() {
    let source = Arc::new(Counting(AtomicUsize::new(0)));
    let context = Context::new(source.clone(), ".".into(), Origin::Given, "");
    let asked = || source.0.swap(0, Ordering::Relaxed);
    assert_eq!(asked(), 2);
    assert_eq!(context.entry("f").map(|e| (e.mode, e.tracked)), Some((0o4755, Some(true))));
    assert_eq!(asked(), 1);
    assert!(context.read("long").is_none());
    assert!((0..16).all(|i| context.read(&i.to_string()).is_some()));
    assert!(context.read("16").is_none());
    asked();
    assert!(context.read("3").is_some());
    assert_eq!(asked(), 0);
}

proptest! {
    #[test]
    fn no_pattern_panics(text in r"[a-c!#/.*?\[\]\\^\-: \n☺d]{0,24}", path in "[a-c/.☺]{0,12}", raw: Vec<u8>) {
        for file in [ignore(&text), IgnoreFile::parse(&raw)] {
            let _ = (file.excludes(&path), file.excluded_by(&path), file.would_exclude_all("a"));
            let _ = go_match(&text, &path);
        }
    }

    // What is said of all that may be there holds for what is there.
    #[test]
    fn proofs_hold(
        lines in prop::collection::vec(r"!?(\*\*/|\*\*|a/|b/|)(a|b|\*|\*\*|a\*|\?|a/\*\*|a/b)", 1..5),
        parts in prop::collection::vec("[abc]", 1..5),
        at in 0usize..5,
    ) {
        let file = ignore(&lines.join("\n"));
        let path = parts.join("/");
        let at = at % parts.len();
        if file.excludes_all_below(&parts[..at].join("/")) {
            prop_assert!(file.excludes(&path), "{lines:?} {path} below {at}");
        }
        if file.would_exclude_all("a") && parts.iter().any(|part| part == "a") {
            prop_assert!(file.excludes(&path), "{lines:?} {path}");
        }
    }
}
