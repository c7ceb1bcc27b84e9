use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use tempfile::TempDir;

use super::{declared::Declared, git::State, write::Written, *};
use crate::context::{FileKind, Origin, Source};

/// A folder with these files; a name that ends in `/` is a folder.
fn tree(files: &[(&str, &str)]) -> (TempDir, PathBuf) {
    let dir = TempDir::new().unwrap();
    for (name, text) in files {
        let path = dir.path().join(name);
        if name.ends_with('/') {
            fs::create_dir_all(path).unwrap();
        } else {
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
    }
    let root = dir.path().canonicalize().unwrap();
    (dir, root)
}

fn git(root: &Path, args: &[&str]) {
    let identity = ["-c", "user.name=t", "-c", "user.email=t@example.org", "-c", "commit.gpgsign=false"];
    let out = Command::new("git").args(identity).args(args).current_dir(root).output().unwrap();
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
}

fn names(found: &Found, root: &Path) -> Vec<String> {
    found.files.iter().map(|f| relative(f, root)).collect()
}

#[test]
fn names_of_dockerfiles() {
    let check = |name, expect| assert_eq!(find::is_dockerfile_name(name), expect, "{name}");
    for name in [
        "Dockerfile",
        "dockerfile",
        "DOCKERFILE",
        "Dockerfile.dev",
        "Dockerfile-dev",
        "Dockerfile_dev",
        "api.Dockerfile",
        "api.dockerfile",
        "Containerfile",
        "Containerfile.arm64",
        "Dockerfile.ubuntu-22.04",
        "Dockerfile.py",
    ] {
        check(name, true);
    }
    for name in [
        "Dockerfile.dockerignore",
        ".dockerignore",
        "Dockerfile.j2",
        "Dockerfile.tmpl",
        "Dockerfile.template",
        "Dockerfile.in",
        "Dockerfile.md",
        "Dockerfile.orig",
        "Dockerfile.bak",
        "Dockerfile.rej",
        "Dockerfile.txt",
        "Dockerfile~",
        "Dockerfiles",
        "mydockerfile",
        ".Dockerfile.swp",
        "Dockerfile.",
        ".dockerfile",
    ] {
        check(name, false);
    }
}

#[test]
fn finds_under_gitignore() {
    let (_dir, root) = tree(&[
        ("Dockerfile", "FROM a"),
        ("b/x.Dockerfile", "FROM a"),
        ("b/dockerfile.go", "package dockerfile"),
        ("b/Dockerfile.go", "# Go\nFROM golang"),
        (".devcontainer/Dockerfile", "FROM a"),
        ("ignored/Dockerfile", "FROM a"),
        ("vendor/deep/Dockerfile", "FROM a"),
        (".git/Dockerfile", "FROM a"),
        ("c/Dockerfile.j2", "FROM a"),
        (".gitignore", "ignored/\n"),
    ]);
    let found = find(std::slice::from_ref(&root), &["vendor/**".into()], &root);
    assert_eq!(
        names(&found, &root),
        [".devcontainer/Dockerfile", "Dockerfile", "b/Dockerfile.go", "b/x.Dockerfile"]
    );
    assert!(found.errors.is_empty(), "{:?}", found.errors);

    let named = [root.join("ignored/Dockerfile"), root.join("c/Dockerfile.j2"), root.join("nowhere")];
    let found = find(&named, &["**".into()], &root);
    assert_eq!(names(&found, &root), ["c/Dockerfile.j2", "ignored/Dockerfile"]);
    assert!(found.errors[0].contains("nowhere: no such file"), "{:?}", found.errors);
}

#[cfg(unix)]
#[test]
fn finds_each_real_file_once() {
    use std::os::unix::fs::symlink;
    let (_out, outside) = tree(&[("Dockerfile", "FROM a")]);
    let (_dir, root) = tree(&[("z/Dockerfile", "FROM a"), ("a/", "")]);
    symlink(root.join("z/Dockerfile"), root.join("a/Dockerfile")).unwrap();
    symlink(outside.join("Dockerfile"), root.join("Dockerfile.out")).unwrap();
    symlink(&outside, root.join("folder")).unwrap();
    symlink(root.join("gone"), root.join("Dockerfile.gone")).unwrap();
    let found = find(std::slice::from_ref(&root), &[], &root);
    assert_eq!(names(&found, &root), ["z/Dockerfile"]);
    assert_eq!(found.errors.len(), 2);
    assert!(found.errors[0].contains("Dockerfile.gone: a symlink to a file that does not exist"));
    assert!(found.errors[1].contains("Dockerfile.out: a symlink to"), "{:?}", found.errors);
    let twice = [root.join("z/Dockerfile"), root.clone(), root.join("a/Dockerfile")];
    assert_eq!(find(&twice, &[], &root).files.len(), 1);
}

#[test]
fn reads_or_says_why_not() {
    let (_dir, root) = tree(&[("Dockerfile", "FROM a\r\n"), ("folder/", "")]);
    assert_eq!(read(&root.join("Dockerfile"), 100).unwrap(), b"FROM a\r\n");
    let check = |name: &str, code: &str, part: &str| {
        let e = read(&root.join(name), MAX_FILE_SIZE).unwrap_err();
        let text = e.to_string();
        assert_eq!(e.code(), code);
        assert!(text.contains(name) && text.contains(part), "{text}");
    };
    check("nowhere", "file-missing", "no such file");
    check("folder", "is-a-folder", "name a file in it");
    fs::File::create(root.join("huge")).unwrap().set_len(100 << 20).unwrap();
    check("huge", "file-too-large", "--max-file-size");
    assert!(read(&root.join("Dockerfile"), 3).is_err());
}

#[cfg(unix)]
#[test]
fn says_that_a_file_is_unreadable() {
    use std::os::unix::fs::PermissionsExt;
    let (_dir, root) = tree(&[("Dockerfile", "FROM a")]);
    let path = root.join("Dockerfile");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o000)).unwrap();
    if fs::read(&path).is_ok() {
        return; // Root reads everything.
    }
    assert_eq!(read(&path, 100).unwrap_err().code(), "file-unreadable");
}

#[test]
fn knows_what_git_knows() {
    let (_dir, root) = tree(&[
        ("Dockerfile", "FROM a"),
        ("a b/Dockerfile", "FROM a"),
        ("c/[x]/Dockerfile", "FROM a"),
        (".gitignore", "skipped\n"),
        ("skipped", ""),
    ]);
    git(&root, &["init", "-q"]);
    git(&root, &["add", "."]);
    git(&root, &["commit", "-qm", "first"]);
    fs::write(root.join("a b/Dockerfile"), "FROM b").unwrap();
    fs::create_dir(root.join("new")).unwrap();
    fs::write(root.join("new/Dockerfile"), "FROM b").unwrap();
    let (_dir2, elsewhere) = tree(&[("Dockerfile", "FROM a")]);
    let check = |path: PathBuf, expect| {
        assert_eq!(git::states(std::slice::from_ref(&path))[&path], expect, "{}", path.display());
    };
    check(root.join("Dockerfile"), State::Clean);
    check(root.join("a b/Dockerfile"), State::Dirty);
    check(root.join("c/[x]/Dockerfile"), State::Clean);
    check(root.join("new/Dockerfile"), State::Dirty);
    check(elsewhere.join("Dockerfile"), State::NoGit);
    assert_eq!(git::root(&root.join("c/[x]/Dockerfile")), Some(root.clone()));
    assert_eq!(git::root(&elsewhere), None);

    let source = DiskSource::new(&root.join("c"));
    assert_eq!(source.stat("[x]/Dockerfile").unwrap().tracked, Some(true));
    assert_eq!(source.stat("[x]").unwrap().tracked, Some(true));
    let source = DiskSource::new(&root);
    assert_eq!(source.stat("skipped").unwrap().tracked, Some(false));
    assert_eq!(DiskSource::new(&elsewhere).stat("Dockerfile").unwrap().tracked, None);
}

#[test]
fn reads_the_index_as_git_does() {
    let new = |format: &str| {
        let (dir, root) = tree(&[("a/b", ""), ("a-b", ""), ("a/ü", ""), ("later", ""), ("none", "")]);
        git(&root, &["init", "-q", &format!("--object-format={format}")]);
        git(&root, &["add", "a", "a-b"]);
        git(&root, &["add", "--intent-to-add", "later"]);
        (dir, root)
    };
    let check = |root: &Path, is_read: bool| {
        let bytes = fs::read(root.join(".git/index")).unwrap();
        let expect = ["a-b", "a/b", "a/ü", "later"].map(str::as_bytes);
        assert_eq!(git::index_names(&bytes), is_read.then(|| expect.to_vec()));
        let tracked = git::tracked(root).unwrap();
        let (all, a) = (tracked.folder("").unwrap(), tracked.folder("a").unwrap());
        assert!(["", "a", "a-b", "later"].iter().all(|n| all.has(n)) && !all.has("none") && !all.has("b"));
        assert!(a.has("b") && a.has("ü") && !a.has("c") && tracked.folder("a-b").is_none());
    };
    let (_dir, root) = new("sha1");
    check(&root, true);
    for how in [&["--index-version", "4"][..], &["--split-index"]] {
        let (_dir, root) = new("sha1");
        git(&root, &[&["update-index"], how].concat());
        check(&root, false);
    }
    let (_dir, root) = new("sha256");
    check(&root, false);
    assert_eq!(git::index_names(b""), None);
}

#[cfg(unix)]
#[test]
fn stays_in_the_context() {
    use std::os::unix::fs::{PermissionsExt, symlink};
    let (_out, outside) = tree(&[("secret", "s")]);
    let (_dir, root) = tree(&[("ctx/a/file", "text"), ("beside", "b"), ("ctx/b/", "")]);
    let ctx = root.join("ctx");
    symlink("../a/file", ctx.join("b/inside")).unwrap();
    symlink("../../beside", ctx.join("b/up")).unwrap();
    symlink(outside.join("secret"), ctx.join("b/out")).unwrap();
    symlink(&outside, ctx.join("folder")).unwrap();
    symlink("loop", ctx.join("loop")).unwrap();
    fs::set_permissions(ctx.join("a/file"), fs::Permissions::from_mode(0o751)).unwrap();
    let source = DiskSource::new(&ctx);
    let check = |path: &str, expect: Option<&str>| {
        assert_eq!(source.read(path), expect.map(|t| t.as_bytes().to_vec()), "{path}");
    };
    check("a/file", Some("text"));
    check("b/inside", Some("text"));
    for path in ["b/up", "b/out", "folder/secret", "loop", "../beside", "/etc/passwd", "a", "a/none"] {
        check(path, None);
    }
    let stat = source.stat("a/file").unwrap();
    assert_eq!((stat.kind, stat.mode, stat.size), (FileKind::File, 0o751, 4));
    assert_eq!(source.stat("b/out").unwrap().kind, FileKind::Symlink);
    assert_eq!(source.stat("").unwrap().kind, FileKind::Dir);
    let mut listed: Vec<_> = source.list("").into_iter().map(|(n, s)| (n, s.kind)).collect();
    listed.sort();
    let expect = [
        ("a", FileKind::Dir),
        ("b", FileKind::Dir),
        ("folder", FileKind::Symlink),
        ("loop", FileKind::Symlink),
    ];
    assert_eq!(listed, expect.map(|(n, k)| (n.to_owned(), k)));
    assert!(source.list("folder").is_empty());
}

#[test]
fn chooses_the_context() {
    let (_dir, root) = tree(&[
        (".git/HEAD", "ref: refs/heads/main"),
        ("package.json", "{}"),
        ("src/main.js", ""),
        ("docker/api/Dockerfile", "FROM a"),
        ("docker/api/start.sh", ""),
    ]);
    let file = root.join("docker/api/Dockerfile");
    let check = |sources: &[&str], manifests: &[&[&str]], whole: bool, expect: Option<(&str, Origin)>| {
        let own = |l: &[&str]| l.iter().map(|s| (*s).to_owned()).collect::<Vec<_>>();
        let manifests = manifests.iter().map(|g| own(g)).collect();
        let wants = Wants { literal_sources: own(sources), manifests, whole };
        let chosen = choose_context(&file, None, Some(&root), &wants, None);
        let expect: Vec<_> = expect.into_iter().map(|(d, o)| (d.to_owned(), o)).collect();
        let chosen: Vec<_> = chosen.into_iter().map(|c| (relative(&c.dir, &root), c.origin)).collect();
        assert_eq!(chosen, expect, "{wants:?}");
    };
    check(&["start.sh"], &[], false, Some(("docker/api", Origin::CopySources)));
    check(&["src", "docker/api/start.sh"], &[], true, Some(("", Origin::CopySources)));
    check(&[], &[&["package.json", "yarn.lock"]], true, Some(("", Origin::CopySources)));
    check(&["."], &[], true, Some(("docker/api", Origin::Guessed)));
    check(&["missing"], &[], true, None);
    check(&["src"], &[&["go.mod"]], true, None);
    check(&[], &[], false, None);
    let given = choose_context(&file, Some(&root), None, &Wants::default(), None);
    assert_eq!(given, [Chosen { dir: root.clone(), origin: Origin::Given }]);

    fs::write(
        root.join("compose.yaml"),
        "services:\n  a:\n    build: {context: ., dockerfile: docker/api/Dockerfile}\n",
    )
    .unwrap();
    let declared = Declared::of(&root);
    let chosen = choose_context(&file, None, Some(&root), &Wants::default(), Some(&declared));
    assert_eq!(
        chosen,
        [Chosen { dir: root.clone(), origin: Origin::Declared { by: "compose.yaml:3".into() } }]
    );
}

#[test]
fn does_not_guess_above_a_lone_folder() {
    let (_dir, root) = tree(&[("src/x", ""), ("docker/Dockerfile", "FROM a")]);
    let wants = Wants { literal_sources: vec!["src".into()], ..Wants::default() };
    let file = root.join("docker/Dockerfile");
    assert!(choose_context(&file, None, None, &wants, None).is_empty());
    let found = root_of(&file, &[root.join("src"), root.clone(), PathBuf::from("/")]);
    assert_eq!(
        found.as_deref(),
        Some(root.as_path()),
        "the folder that was asked for stands for a repository"
    );
    assert_eq!(root_of(&file, &[PathBuf::from("/")]), None);
    assert_eq!(choose_context(&file, None, found.as_deref(), &wants, None)[0].dir, root);
}

#[cfg(unix)]
#[test]
fn writes_in_place() {
    use std::os::unix::fs::{PermissionsExt, symlink};
    let (_out, outside) = tree(&[("Dockerfile", "FROM a")]);
    let (_dir, root) = tree(&[(".git/HEAD", ""), ("real/Dockerfile", "FROM a")]);
    let file = root.join("real/Dockerfile");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).unwrap();
    let link = root.join("Dockerfile");
    symlink("real/Dockerfile", &link).unwrap();
    write(&link, Some(b"FROM a"), b"FROM b").unwrap();
    assert_eq!(fs::read(&file).unwrap(), b"FROM b");
    assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o7777, 0o755);
    assert_eq!(fs::read_dir(root.join("real")).unwrap().count(), 1);

    let refused = |path: &Path, before: Option<&[u8]>, part: &str| {
        let text = write(path, before, b"x").unwrap_err().to_string();
        assert!(text.contains(part) && text.contains(&path.display().to_string()), "{text}");
    };
    refused(&file, Some(b"FROM a"), "changed since");
    refused(&file, None, "changed since");
    let out = root.join("out");
    symlink(outside.join("Dockerfile"), &out).unwrap();
    refused(&out, Some(b"FROM a"), "outside of");
    assert_eq!(fs::read(outside.join("Dockerfile")).unwrap(), b"FROM a");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o444)).unwrap();
    refused(&file, Some(b"FROM b"), "read-only");

    let new = root.join("real/.dockerignore");
    write(&new, None, b"node_modules\n").unwrap();
    assert_ne!(fs::metadata(&new).unwrap().permissions().mode() & 0o044, 0);
}

#[test]
fn remembers_what_it_wrote() {
    let (_dir, root) = tree(&[("a/Dockerfile", "FROM b"), (".git/HEAD", "")]);
    let file = root.join("a/Dockerfile");
    let mut written = Written::of(&root);
    assert!(!written.is_own_write(&file, b"FROM b"));
    written.note(&file, b"FROM b");
    written.save().unwrap();
    let text = fs::read_to_string(root.join(".git/dfopt/written")).unwrap();
    assert!(text.ends_with("  a/Dockerfile\n") && text.len() == 64 + 2 + 13, "{text}");
    let mut written = Written::of(&root);
    assert!(written.is_own_write(&file, b"FROM b"));
    assert!(!written.is_own_write(&file, b"FROM c"));
    written.forget(&file);
    assert!(!written.is_own_write(&file, b"FROM b"));
}
