use super::command::quoted;
use super::*;

fn words(line: &str) -> Vec<String> {
    line.split_whitespace().map(str::to_string).collect()
}

fn recognized(line: &str) -> Recognized {
    Ecosystems::builtin().recognize(&words(line))
}

// `safe FILES | guards … | early …`, `reason: message`, or `none`.
fn told_at(files: &[(&str, &str)], line: &str, place: &Place) -> String {
    let context = Context::memory(files);
    let install = match recognized(line) {
        Recognized::Install(install) => install,
        Recognized::Refused(refusal) => return format!("{}: {}", refusal.reason, refusal.message),
        Recognized::None => return "none".to_string(),
    };
    match needs_at(&install, &context, place, Ecosystems::builtin()) {
        Ok(needs) => {
            let mut out = format!("{} {}", needs.level, needs.files.join(" "));
            if !needs.guards.is_empty() {
                let guards: Vec<&str> = needs.guards.iter().map(|g| g.path.as_str()).collect();
                out.push_str(&format!(" | guards {}", guards.join(" ")));
            }
            if let Some(early) = needs.early {
                out.push_str(&format!(" | early {early}"));
            }
            assert!(!needs.evidence.is_empty(), "{line}: no evidence");
            out
        }
        Err(refusal) => format!("{}: {}", refusal.reason, refusal.message),
    }
}

// `expect` is the whole of what is told, or its start when it ends in `…`.
fn check_at(files: &[(&str, &str)], line: &str, place: &Place, expect: &str) {
    let told = told_at(files, line, place);
    match expect.strip_suffix('…') {
        Some(start) => {
            assert!(told.starts_with(start), "{line} on {files:?}\n  told {told}\n  not  {expect}")
        }
        None => assert_eq!(told, expect, "{line} on {files:?}"),
    }
}

fn check(files: &[(&str, &str)], line: &str, expect: &str) {
    check_at(files, line, &Place::at(""), expect);
}

#[test]
fn the_catalogue_is_sourced_and_dated() {
    for (name, tool) in Ecosystems::builtin().iter() {
        assert!(!tool.source.is_empty() && !tool.vectors.is_empty(), "{name} has no source or vectors");
        assert_eq!(tool.checked.len(), 10, "{name}: {}", tool.checked);
        let found = tool.python_module.iter().all(|m| tool.programs.contains(m));
        assert!(found, "{name}: a tool is found by its programs, so its module is one");
        assert!(tool.checked.bytes().all(|b| b == b'-' || b.is_ascii_digit()), "{name}: {}", tool.checked);
        for (command, facts) in &tool.commands {
            let told = facts.kind == CommandKind::Install || facts.because.is_some();
            assert!(told, "{name} {command} has no reason");
        }
    }
}

#[test]
fn a_tool_with_an_unknown_key_is_an_error() {
    let error = serde_json::from_str::<Tool>(r#"{"colour": "red"}"#).unwrap_err();
    assert!(error.to_string().contains("colour"));
}

#[test]
fn tells_installs_from_other_commands() {
    for line in [
        "npm run build",
        "npm install -g npm",
        "npm test",
        "npx tsc",
        "yarn build",
        "yarn --version",
        "yarn global add x",
        "pip install flask==1.0",
        "pip install --upgrade pip",
        "pip --version",
        "python3 app.py",
        "python3 -m venv .venv",
        "go version",
        "go vet ./...",
        "go install example.com/x@latest",
        "cargo install just",
        "bundle exec rake",
        "composer dump-autoload -o",
        "composer global require x/y",
        "dotnet publish --no-restore",
        "make",
        "echo npm ci",
        "apt-get install npm",
    ] {
        assert_eq!(recognized(line), Recognized::None, "{line}");
    }
    for (line, ecosystem) in [
        ("npm ci", "npm"),
        ("npm --omit=dev ci", "npm"),
        ("/usr/local/bin/npm i --no-audit", "npm"),
        ("yarn", "yarn"),
        ("pip3.11 install -r r.txt", "pip"),
        ("python3.11 -m pip install -rr.txt", "pip"),
        ("uv pip install --system -r r.txt", "pip-of-uv"),
        ("uv sync --locked", "uv"),
        ("bundle", "bundler"),
        ("go build -ldflags=-s -o /x .", "go"),
    ] {
        match recognized(line) {
            Recognized::Install(install) => assert_eq!(install.ecosystem, ecosystem, "{line}"),
            other => panic!("{line}: {other:?}"),
        }
    }
}

#[test]
fn refuses_forms_that_it_does_not_know() {
    for (line, expect) in [
        ("npm ci --frobnicate", "ecosystem-unknown: the option --frobnicate of `npm ci --frobnicate`…"),
        ("npm install express", "manifest-unsuited: `npm install express` adds express…"),
        ("pip install --report=x -r r.txt", "ecosystem-unknown: the option --report=x…"),
        ("venv/bin/pip install -r r.txt", "ecosystem-unknown: venv/bin/pip…"),
        ("make deps", "manifest-unsuited: `make deps` runs commands…"),
        ("go mod tidy", "manifest-unsuited: `go mod tidy` changes…"),
        ("go get ./...", "manifest-unsuited…"),
        ("go build -mod=vendor ./...", "manifest-unsuited…"),
        ("composer require a/b", "manifest-unsuited…"),
        ("cargo build --release", "manifest-unsuited…"),
        ("./gradlew build", "manifest-unsuited…"),
        ("mvn -o package", "none"),
        ("yarn workspaces focus", "manifest-unsuited…"),
    ] {
        check(&[], line, expect);
    }
}

const LOCK: (&str, &str) = ("package-lock.json", "{}");

fn package(text: &str) -> (&'static str, &str) {
    ("package.json", text)
}

#[test]
fn npm() {
    let plain = package(r#"{"dependencies": {"a": "^1"}, "scripts": {"build": "tsc"}}"#);
    let check = |files: &[(&str, &str)], line, expect| check(files, line, expect);
    check(&[plain, LOCK], "npm ci --omit=dev", "safe package.json package-lock.json | guards node_modules");
    check(&[plain, LOCK], "npm install", "review package.json package-lock.json | guards node_modules");
    check(&[plain], "npm install", "review package.json | guards node_modules");
    check(
        &[plain],
        "npm ci",
        "lockfile-missing: the build context has no npm-shrinkwrap.json or package-lock.json…",
    );
    check(
        &[plain, LOCK, (".dockerignore", "*-lock.json\n")],
        "npm ci",
        "lockfile-missing: package-lock.json is there, but left out…",
    );
    check(&[LOCK], "npm ci", "context-missing: package.json is not in the build context");
    let prepare = package(r#"{"scripts": {"prepare": "npm run build"}}"#);
    check(
        &[prepare, LOCK],
        "npm ci",
        "manifest-unsuited: package.json runs `npm run build` in its prepare script…",
    );
    check(&[prepare, LOCK], "npm ci --ignore-scripts", "safe package.json package-lock.json…");
    check(
        &[prepare, LOCK, (".npmrc", "ignore-scripts=true\n")],
        "npm ci",
        "safe package.json package-lock.json .npmrc…",
    );
    let husky = package(r#"{"scripts": {"prepare": "is-ci || husky install"}}"#);
    check(&[husky, LOCK], "npm ci", "safe…");
    check(&[husky, LOCK, (".git/HEAD", "x")], "npm ci", "manifest-unsuited: `husky install` reads .git…");
    let patch = package(r#"{"scripts": {"postinstall": "patch-package"}}"#);
    check(&[patch, LOCK, ("patches/a.patch", "")], "npm ci", "safe package.json package-lock.json patches…");
    check(&[plain, LOCK, ("binding.gyp", "{}")], "npm ci", "manifest-unsuited: binding.gyp…");
    check(
        &[plain, LOCK, (".npmrc", "registry=https://r\nfund=false\n//r/:_authToken=${T}\n")],
        "npm ci",
        "safe…",
    );
    check(
        &[plain, LOCK, (".npmrc", "script-shell=./sh\n")],
        "npm ci",
        "manifest-unsuited: .npmrc sets script-shell…",
    );
    check(&[plain, (".npmrc", "package-lock=false")], "npm install", "review package.json .npmrc…");
    check(&[package("{"), LOCK], "npm ci", "manifest-unsuited: package.json: …");
    let over = package(r#"{"overrides": {"a": {"b": "file:./b"}}}"#);
    check(&[over, LOCK], "npm ci", "manifest-unsuited: package.json replaces b by the local file:./b");
}

#[test]
fn npm_local_packages() {
    let root = package(r#"{"workspaces": ["packages/*", "!packages/old"]}"#);
    let files = [
        root,
        LOCK,
        ("packages/a/package.json", "{}"),
        ("packages/b/package.json", "{}"),
        ("packages/old/package.json", "{}"),
        ("packages/b/src/x.js", ""),
    ];
    check(
        &files,
        "npm ci",
        "safe package.json package-lock.json packages/a/package.json packages/b/package.json | guards node_modules packages/a/node_modules packages/b/node_modules",
    );
    let bad = [root, LOCK, ("packages/a/package.json", r#"{"scripts": {"postinstall": "node x.js"}}"#)];
    check(&bad, "npm ci", "manifest-unsuited: packages/a/package.json runs `node x.js`…");
    let bin = [root, LOCK, ("packages/a/package.json", r#"{"bin": "cli.js"}"#), ("packages/a/cli.js", "")];
    check(&bin, "npm ci", "manifest-unsuited: the install makes packages/a/cli.js executable…");
    check(&bin[..3], "npm ci", "safe…");
    check(&[package(r#"{"workspaces": ["web"]}"#), LOCK], "npm ci", "context-missing: web/package.json…");
    check(&[package(r#"{"workspaces": ["{a,b}"]}"#), LOCK], "npm ci", "manifest-unsuited…");
    let local = package(r#"{"dependencies": {"loc": "file:./local"}}"#);
    check(
        &[local, LOCK, ("local/package.json", "{}"), ("local/x.js", "")],
        "npm ci",
        "safe package.json package-lock.json local | guards node_modules local/node_modules",
    );
    check(&[local, LOCK], "npm ci", "context-missing: local is not in the build context");
    check(
        &[local, LOCK, ("local/package.json", r#"{"scripts":{"prepare":"tsc"}}"#)],
        "npm ci",
        "manifest-unsuited…",
    );
    let outside = package(r#"{"dependencies": {"loc": "file:../local"}}"#);
    check(
        &[outside, LOCK, ("local/package.json", "{}")],
        "npm ci",
        "manifest-unsuited: ../local lies outside…",
    );
}

#[test]
fn npm_prisma() {
    let uses = package(r#"{"dependencies": {"@prisma/client": "5"}}"#);
    check(
        &[uses, LOCK, ("prisma/schema.prisma", "model A {}\n")],
        "npm ci",
        "safe package.json package-lock.json prisma…",
    );
    let elsewhere = "generator client {\n  output = \"../src/db\"\n}\n";
    check(&[uses, LOCK, ("prisma/schema.prisma", elsewhere)], "npm ci", "manifest-unsuited…");
    check(&[uses, LOCK, ("prisma.config.ts", "")], "npm ci", "manifest-unsuited…");
    let named = package(r#"{"prisma": {"schema": "db/x.prisma"}, "devDependencies": {"prisma": "5"}}"#);
    check(&[named, LOCK, ("db/x.prisma", "")], "npm ci", "safe package.json package-lock.json db/x.prisma…");
    check(&[named, LOCK], "npm ci", "context-missing: db/x.prisma…");
}

#[test]
fn places() {
    let plain = r#"{"dependencies": {"a": "1"}}"#;
    let files =
        [("web/package.json", plain), ("web/package-lock.json", "{}"), ("requirements.txt", "a==1\n")];
    let web = "safe web/package.json web/package-lock.json | guards web/node_modules";
    check_at(&files, "npm ci", &Place::at("web"), web);
    check(&files, "npm ci --prefix web", web);
    check(&files, "npm --prefix=./web ci", web);
    let srv = Place::new("", "/srv", "/srv/web", &[]);
    check_at(&files, "npm ci", &srv, web);
    check_at(&files, "npm ci --prefix /srv/web", &Place::new(".", "/srv", "/", &[]), web);
    check_at(
        &files,
        "pip install -r /srv/requirements.txt",
        &Place::new("", "/srv", "/", &[]),
        "safe requirements.txt",
    );
    check_at(&files, "pip install -r ../requirements.txt", &srv, "safe requirements.txt");
    check_at(&files, "pip install -r /tmp/r.txt", &srv, "manifest-unsuited: /tmp/r.txt lies outside…");
    check_at(&files, "npm ci", &Place::new("", "/srv", "/", &[]), "manifest-unsuited…");
    check_at(&files, "npm ci", &Place::new("web", "/srv", "/srv", &[]), web);
    let env = |name: &str, value: &str| Place::new("web", "/srv", "/srv", &[(name.into(), value.into())]);
    check_at(
        &files,
        "npm ci",
        &env("npm_config_script_shell", "/x"),
        "manifest-unsuited: npm_config_script_shell=/x changes…",
    );
    check_at(&files, "npm ci", &env("NPM_CONFIG_LOGLEVEL", "warn"), web);
}

#[test]
fn npm_packages_with_curious_scripts() {
    let files = |name: &str, extra: &str| format!(r#"{{"devDependencies": {{"{name}": "1"}}{extra}}}"#);
    let (husky, msw, puppeteer) =
        (files("husky", ""), files("msw", r#", "msw": {}"#), files("puppeteer", ""));
    let git = (".git/HEAD", "x");
    check(&[package(&husky), LOCK], "npm ci", "safe…");
    check(
        &[package(&husky), LOCK, git],
        "npm ci",
        "manifest-unsuited: the install script of husky uses .git…",
    );
    check(&[package(&husky), LOCK, git], "npm ci --ignore-scripts", "safe…");
    check(&[package(&msw), LOCK], "npm ci", "manifest-unsuited…");
    let rc = (".puppeteerrc.cjs", "");
    check(
        &[package(&puppeteer), LOCK, rc],
        "npm ci",
        "safe package.json package-lock.json .puppeteerrc.cjs…",
    );
}

#[test]
fn what_lies_above() {
    let plain = "{}";
    let files = [
        ("web/package.json", plain),
        ("web/package-lock.json", "{}"),
        ("web/yarn.lock", ""),
        ("web/pnpm-lock.yaml", ""),
    ];
    let with = |path, text| [&files[..], &[(path, text)]].concat();
    let web = Place::at("web");
    let root = with("package.json", r#"{"workspaces": ["web"]}"#);
    check_at(&root, "npm install", &web, "manifest-unsuited: package.json above has workspaces…");
    check_at(&with("package.json", "{}"), "npm ci", &web, "safe…");
    check_at(
        &with(".yarnrc", ""),
        "yarn --frozen-lockfile",
        &web,
        "manifest-unsuited: `yarn --frozen-lockfile` reads .yarnrc above…",
    );
    check_at(&with("pnpm-workspace.yaml", ""), "pnpm i", &web, "manifest-unsuited…");
    check_at(&root, "npm ci", &Place::new("./web/", "/app", "/app", &[]), "safe…");
    let member = [
        ("m/pyproject.toml", ""),
        ("m/uv.lock", ""),
        ("pyproject.toml", "[tool.uv.workspace]\nmembers = ['m']\n"),
    ];
    check_at(&member, "uv sync --frozen", &Place::at("m"), "manifest-unsuited…");
    let bare = ("pyproject.toml", "[project]\nname='x'\n");
    check(&[bare, ("uv.lock", "")], "uv sync --frozen", "safe pyproject.toml uv.lock | guards .venv");
    let pip = [("requirements.txt", "a==1\n")];
    let path = Place::new("", "/", "/", &[("PATH".into(), "/usr/local/bin:/bin".into())]);
    check_at(&pip, "pip install -r requirements.txt", &path, "safe requirements.txt");
}

#[test]
fn yarn() {
    let plain = package(r#"{"dependencies": {"a": "^1"}}"#);
    let lock = ("yarn.lock", "# yarn lockfile v1\n");
    let berry = ("yarn.lock", "# This file\n\n__metadata:\n  version: 8\n");
    check(
        &[plain, lock],
        "yarn install --frozen-lockfile",
        "safe package.json yarn.lock | guards node_modules",
    );
    check(&[plain, lock], "yarn", "review package.json yarn.lock…");
    check(&[plain], "yarn --frozen-lockfile", "lockfile-missing…");
    check(&[plain], "yarn", "review package.json | guards node_modules");
    let mirror = (".yarnrc", "yarn-offline-mirror \"./mirror\"\n");
    check(
        &[plain, lock, mirror, ("mirror/a.tgz", "")],
        "yarn --frozen-lockfile",
        "safe package.json yarn.lock .yarnrc mirror…",
    );
    check(&[plain, lock, mirror], "yarn --frozen-lockfile", "context-missing: mirror…");
    let hoist = package(r#"{"workspaces": {"packages": ["p/*"], "nohoist": ["**"]}}"#);
    check(
        &[hoist, lock, ("p/a/package.json", "{}")],
        "yarn --frozen-lockfile",
        "safe package.json yarn.lock p/a/package.json…",
    );
    check(
        &[plain, berry],
        "yarn install --immutable",
        "safe package.json yarn.lock | guards node_modules .pnp.cjs…",
    );
    let rc = (".yarnrc.yml", "nodeLinker: node-modules\nyarnPath: .yarn/releases/yarn-4.cjs\n");
    let release = (".yarn/releases/yarn-4.cjs", "");
    check(
        &[plain, berry, rc, release],
        "yarn install --immutable",
        "safe package.json yarn.lock .yarnrc.yml .yarn/releases/yarn-4.cjs…",
    );
    check(&[plain, berry, rc], "yarn install --immutable", "context-missing: .yarn/releases/yarn-4.cjs…");
    check(
        &[plain, berry, rc, release, (".dockerignore", ".yarn\n")],
        "yarn install --immutable",
        "context-missing: .dockerignore leaves .yarn/releases/yarn-4.cjs out…",
    );
    check(&[plain, berry, (".yarn/cache/a.zip", "")], "yarn install --immutable", "no-gain…");
    let patched = package(r#"{"resolutions": {"a@npm:1": "patch:a@npm%3A1#~/.yarn/patches/a.patch"}}"#);
    check(
        &[patched, berry, (".yarn/patches/a.patch", "")],
        "yarn install --immutable",
        "safe package.json yarn.lock .yarn/patches…",
    );
    check(&[patched, berry], "yarn install --immutable", "context-missing: .yarn/patches/a.patch…");
    let script = package(r#"{"scripts": {"postinstall": "node build.js"}}"#);
    check(&[script, lock], "yarn --frozen-lockfile", "manifest-unsuited…");
}

#[test]
fn pnpm() {
    let plain = package(r#"{"dependencies": {"a": "^1"}}"#);
    let lock = ("pnpm-lock.yaml", "lockfileVersion: '9.0'\n");
    check(
        &[plain, lock],
        "pnpm install --frozen-lockfile",
        "safe package.json pnpm-lock.yaml | guards node_modules",
    );
    check(&[plain, lock], "pnpm i", "review package.json pnpm-lock.yaml…");
    check(&[plain], "pnpm install --frozen-lockfile", "lockfile-missing…");
    check(&[plain, lock], "pnpm fetch --prod", "safe package.json pnpm-lock.yaml…");
    let workspace = ("pnpm-workspace.yaml", "packages:\n  - apps/*\nonlyBuiltDependencies: [a]\n");
    check(
        &[plain, lock, workspace, ("apps/x/package.json", "{}")],
        "pnpm install --frozen-lockfile",
        "safe package.json pnpm-lock.yaml pnpm-workspace.yaml apps/x/package.json | guards node_modules apps/x/node_modules",
    );
    let patched = package(r#"{"pnpm": {"patchedDependencies": {"a@1": "patches/a.patch"}}}"#);
    check(
        &[patched, lock, ("patches/a.patch", "")],
        "pnpm install --frozen-lockfile",
        "safe package.json pnpm-lock.yaml patches/a.patch…",
    );
    check(&[patched, lock], "pnpm install --frozen-lockfile", "context-missing: patches/a.patch…");
    check(
        &[plain, lock, (".pnpmfile.cjs", "require('./x')")],
        "pnpm install --frozen-lockfile",
        "manifest-unsuited…",
    );
    check(
        &[plain, lock, (".pnpmfile.cjs", "module.exports = {}")],
        "pnpm install --frozen-lockfile",
        "safe package.json pnpm-lock.yaml .pnpmfile.cjs…",
    );
    check(
        &[plain, lock, ("pnpm-workspace.yaml", "globalPnpmfile: ./x.cjs\n")],
        "pnpm install --frozen-lockfile",
        "manifest-unsuited…",
    );
    check(
        &[plain, ("bun.lock", "{}")],
        "bun install --frozen-lockfile",
        "safe package.json bun.lock | guards node_modules",
    );
}

#[test]
fn pip() {
    let check = |text: &str, expect: &str| {
        check(
            &[("r.txt", text), ("base.txt", "b==2\n"), ("wheels/a.whl", "")],
            "pip install --no-cache-dir -r r.txt",
            expect,
        )
    };
    check("Flask==3.1.3\n", "safe r.txt");
    check("flask\n", "review r.txt");
    check("flask==1.*\n", "review r.txt");
    check("-r base.txt\na==1 # why\n# note\n\n", "safe r.txt base.txt");
    check("-c base.txt\na==1\n", "safe r.txt base.txt");
    check("-r missing.txt\n", "context-missing: missing.txt…");
    check("-r ../other.txt\n", "manifest-unsuited: ../other.txt lies outside…");
    check("-e .\n", "manifest-unsuited: r.txt has the line `-e .`, which installs a local path");
    check(".\n", "manifest-unsuited…");
    check("./pkg[extra]\n", "manifest-unsuited…");
    check("a @ file:///srv/a\n", "manifest-unsuited…");
    check("--find-links ./wheels\na==1\n", "safe r.txt wheels");
    check("-i https://i/simple\na==1 ; python_version < '4'\n", "safe r.txt");
    check("a==1 \\\n  --hash=sha256:00 \\\n  --hash=sha256:11\n", "safe r.txt");
    check("a @ https://h/a-1.whl\n", "safe r.txt");
    check("git+https://h/a@main\n", "review r.txt");
    check("git+https://h/a@0123456789012345678901234567890123456789#egg=a\n", "safe r.txt");
    check("-e git+https://h/a#egg=a\n", "manifest-unsuited…");
    check("--unheard-of\n", "manifest-unsuited…");
    check("a==${V}\n", "manifest-unsuited…");
}

#[test]
fn pip_command_lines() {
    let files = [("r.txt", "a==1\n"), ("c.txt", "b==1\n"), (".venv/bin/pip", "")];
    check(&files, "pip install .", "manifest-unsuited: `pip install .` builds . from source");
    check(&files, "pip install -e .", "manifest-unsuited…");
    check(&files, "pip install -e .[dev]", "manifest-unsuited…");
    check(&files, "pip install -r r.txt .", "manifest-unsuited…");
    check(&files[..2], "pip install -r r.txt -c c.txt gunicorn==20.1", "safe r.txt c.txt");
    check(&files[..2], "pip install -r r.txt gunicorn", "review r.txt");
    check(&files, "pip install -r r.txt", "safe r.txt | guards .venv");
    check(&files[..2], "pip install -t libs -r r.txt", "safe r.txt | guards libs");
    check(&files[..2], "uv pip install --system -r r.txt", "safe r.txt");
    let app = |env: &[(&str, &str)]| {
        let env: Vec<_> = env.iter().map(|(a, b)| ((*a).to_string(), (*b).to_string())).collect();
        Place::new("", "/app", "/app", &env)
    };
    check_at(&files[..2], "/app/env/bin/pip install -r r.txt", &app(&[]), "safe r.txt | guards env");
    check_at(
        &files[..2],
        "pip install -r r.txt",
        &app(&[("VIRTUAL_ENV", "/app/v")]),
        "safe r.txt | guards v",
    );
    check_at(
        &files[..2],
        "pip install -r r.txt",
        &app(&[("PATH", "/app/v/bin:/bin")]),
        "safe r.txt | guards v",
    );
    check_at(&files[..2], "pip install -r r.txt", &app(&[("VIRTUAL_ENV", "/opt/v")]), "safe r.txt");
    check_at(&files[..2], "pip install -r r.txt", &app(&[("PIP_CONSTRAINT", "c.txt")]), "manifest-unsuited…");
}

#[test]
fn go() {
    let module = ("go.mod", "module x\n\ngo 1.22\n\nrequire (\n\ta.b/c v1.0.0 // indirect\n)\n");
    let sum = ("go.sum", "");
    check(&[module, sum], "go mod download", "safe go.mod go.sum");
    check(&[module, sum], "go build -o /bin/x ./cmd/x", "safe go.mod go.sum | early go mod download");
    check(&[module], "go build ./...", "lockfile-missing…");
    check(&[("go.mod", "module x\n"), sum], "go mod download", "no-gain…");
    check(&[module, sum, ("vendor/modules.txt", "")], "go build .", "no-gain…");
    let local = ("go.mod", "module x\nrequire a v1.0.0\nreplace a => ./a\n");
    check(
        &[local, sum, ("a/go.mod", "module a\n"), ("a/a.go", "")],
        "go mod download",
        "safe go.mod go.sum a/go.mod",
    );
    check(&[local, sum], "go mod download", "context-missing: a/go.mod…");
    let outside = ("go.mod", "module x\nrequire a v1.0.0\nreplace a v1.0.0 => ../shared\n");
    check(&[outside, sum], "go mod download", "manifest-unsuited: go.mod replaces a by ../shared, outside…");
    let inside = [("svc/go.mod", outside.1), ("svc/go.sum", ""), ("shared/go.mod", "module a\n")];
    check_at(&inside, "go mod download", &Place::at("svc"), "safe svc/go.mod svc/go.sum shared/go.mod");
    check_at(&inside, "go mod download", &Place::new("svc", "/src", "/src", &[]), "manifest-unsuited…");
    let remote = ("go.mod", "module x\nrequire a v1.0.0\nreplace a => github.com/b/a v1.2.0\n");
    check(&[remote, sum], "go mod download", "safe go.mod go.sum");
    let work = ("go.work", "go 1.22\nuse (\n\t./a\n\t./b\n)\n");
    let mods =
        [work, ("go.work.sum", ""), ("a/go.mod", module.1), ("a/go.sum", ""), ("b/go.mod", "module b\n")];
    check(&mods, "go mod download", "safe go.work go.work.sum a/go.mod a/go.sum b/go.mod");
    check_at(&[module, sum], "go build .", &Place::at("cmd/x"), "safe go.mod go.sum | early go mod download");
    check(&[("go.mod", "mangled x\n"), sum], "go mod download", "manifest-unsuited…");
    check(&[], "go build", "context-missing: go.mod…");
    let flags = Place::new("", "/src", "/src", &[("GOFLAGS".into(), "-mod=vendor".into())]);
    check_at(&[module, sum], "go build", &flags, "manifest-unsuited: GOFLAGS=-mod=vendor…");
}

#[test]
fn poetry() {
    let project =
        ("pyproject.toml", "[tool.poetry]\nname='x'\n[tool.poetry.dependencies]\npython='^3.12'\na='^1'\n");
    let lock = ("poetry.lock", "");
    check(
        &[project, lock],
        "poetry install --no-root --only main",
        "safe pyproject.toml poetry.lock | guards .venv",
    );
    check(
        &[project, lock],
        "poetry install --only main",
        "safe pyproject.toml poetry.lock | guards .venv | early poetry install --only main --no-root",
    );
    check(&[project], "poetry install --no-root", "review pyproject.toml | guards .venv");
    let unpackaged = ("pyproject.toml", "[tool.poetry]\npackage-mode = false\n");
    check(&[unpackaged, lock], "poetry install", "safe pyproject.toml poetry.lock | guards .venv");
    let path = ("pyproject.toml", "[tool.poetry.dependencies]\na = {path = '../a'}\n");
    check(
        &[path, lock],
        "poetry install --no-root",
        "manifest-unsuited: pyproject.toml: a is installed from a path",
    );
    let group =
        ("pyproject.toml", "[tool.poetry.group.dev.dependencies]\na = {path = 'a', develop = true}\n");
    check(&[group, lock], "poetry install --no-root", "manifest-unsuited…");
    let dynamic = ("pyproject.toml", "[tool.poetry-dynamic-versioning]\nenable = true\n");
    check(&[dynamic, lock], "poetry install --no-root", "manifest-unsuited…");
    check(&[project, lock], "poetry install --no-root --frob", "ecosystem-unknown…");
    check(
        &[project, lock, ("poetry.toml", "")],
        "poetry install --no-root",
        "safe pyproject.toml poetry.lock poetry.toml…",
    );
}

#[test]
fn uv() {
    let project = (
        "pyproject.toml",
        "[project]\nname='x'\nversion='1'\ndependencies=['a']\n[build-system]\nrequires=['x']\n",
    );
    let lock = ("uv.lock", "");
    let early = "early uv sync --locked --no-install-project --no-install-workspace";
    check(
        &[project, lock],
        "uv sync --locked",
        &format!("safe pyproject.toml uv.lock | guards .venv | {early}"),
    );
    check(
        &[project, lock],
        "uv sync --frozen --no-install-project",
        "safe pyproject.toml uv.lock | guards .venv",
    );
    check(&[project, lock], "uv sync", "review pyproject.toml uv.lock…");
    check(&[project], "uv sync --locked", "lockfile-missing…");
    check(
        &[project, lock, (".python-version", "3.12")],
        "uv sync --frozen",
        "safe pyproject.toml uv.lock .python-version…",
    );
    let source = ("pyproject.toml", "[tool.uv.sources]\na = {path = './a'}\n");
    check(&[source, lock], "uv sync --locked", "manifest-unsuited…");
    let members = (
        "pyproject.toml",
        "[tool.uv.workspace]\nmembers = ['libs/*']\n[tool.uv.sources]\nm = {workspace = true}\n",
    );
    check(
        &[members, lock, ("libs/m/pyproject.toml", "[project]\nname='m'\n")],
        "uv sync --locked",
        "safe pyproject.toml uv.lock libs/m/pyproject.toml…",
    );
    let dynamic = ("pyproject.toml", "[project]\nname='x'\ndynamic=['version']\n");
    check(&[dynamic, lock], "uv sync --locked", "manifest-unsuited…");
    check(&[dynamic, lock], "uv sync --frozen", "safe…");
    let elsewhere = Place::new("", "/app", "/app", &[("UV_PROJECT_ENVIRONMENT".into(), "/opt/venv".into())]);
    check_at(
        &[project, lock],
        "uv sync --frozen --no-install-project",
        &elsewhere,
        "safe pyproject.toml uv.lock",
    );
}

#[test]
fn pipenv() {
    let file = ("Pipfile", "[packages]\na = \"*\"\n");
    let lock = ("Pipfile.lock", "{}");
    check(&[file, lock], "pipenv install --deploy --system", "safe Pipfile Pipfile.lock | guards .venv");
    check(&[file, lock], "pipenv sync", "safe Pipfile Pipfile.lock…");
    check(&[file], "pipenv sync", "lockfile-missing…");
    check(&[file], "pipenv install", "review Pipfile…");
    check(
        &[("Pipfile", "[packages]\na = {path = '.', editable = true}\n"), lock],
        "pipenv sync",
        "manifest-unsuited…",
    );
    check(&[file, lock], "pipenv install flask", "manifest-unsuited…");
}

#[test]
fn bundler() {
    let lock = ("Gemfile.lock", "GEM\n  specs:\n    a (1)\n\nPLATFORMS\n  ruby\n\nDEPENDENCIES\n  a\n");
    let check =
        |text: &str, expect: &str| check(&[("Gemfile", text), lock], "bundle install --jobs 4", expect);
    check(
        "source 'https://rubygems.org'\ngem 'a', '~> 1'\n",
        "safe Gemfile Gemfile.lock | guards vendor/bundle .bundle",
    );
    check("source 'x'\ngroup :test do\n  gem 'a',\n      require: false\nend\n", "safe…");
    check("gem 'a', path: 'vendor/a'\n", "manifest-unsuited: Gemfile:1…");
    check("gem 'a', :path => 'vendor/a'\n", "manifest-unsuited…");
    check("gemspec\n", "manifest-unsuited: Gemfile:1: `gemspec` reads the gem's own files");
    check("eval_gemfile 'other'\n", "manifest-unsuited…");
    check("Dir.glob('x').each do |f|\n", "manifest-unsuited…");
    check("ruby file: '.ruby-version'\n", "context-missing: .ruby-version…");
    check(
        "git_source(:github) { |repo| \"https://github.com/#{repo}.git\" }\ngem 'a', github: 'b/a'\n",
        "safe…",
    );
    check("path 'x' do\n  gem 'a'\nend\n", "manifest-unsuited…");
    check("gem \"a#{File.read('v')}\"\n", "manifest-unsuited…");
}

#[test]
fn bundler_places_and_locks() {
    let gemfile = ("Gemfile", "gem 'a'\n");
    let lock = |platform| ("Gemfile.lock", platform);
    check(&[gemfile], "bundle install", "review Gemfile | guards…");
    check(&[gemfile], "bundle install --frozen", "lockfile-missing…");
    check(&[gemfile, lock("PLATFORMS\n  arm64-darwin-23\n")], "bundle install", "review…");
    check(&[gemfile, lock("PLATFORMS\n  arm64-darwin-23\n")], "bundle install --frozen", "safe…");
    check(&[gemfile, lock("PLATFORMS\n  x86_64-linux\n")], "bundle install", "safe…");
    check(&[gemfile, lock("PATH\n  remote: .\n")], "bundle install", "manifest-unsuited…");
    let files = [gemfile, lock("PLATFORMS\n  ruby\n"), (".ruby-version", "3.3")];
    check_at(
        &files,
        "bundle install --gemfile=/srv/Gemfile",
        &Place::new("", "/srv", "/", &[]),
        "safe Gemfile Gemfile.lock .ruby-version…",
    );
}

#[test]
fn composer() {
    let lock = ("composer.lock", r#"{"packages": []}"#);
    let check = |text: &str, line: &str, expect: &str| check(&[("composer.json", text), lock], line, expect);
    check(
        r#"{"require": {}}"#,
        "composer install --no-dev",
        "safe composer.json composer.lock | guards vendor",
    );
    check(
        r#"{"autoload": {"psr-4": {"A\\": "src/"}}}"#,
        "composer install -o",
        "safe composer.json composer.lock | guards vendor | early composer install -o --no-scripts --no-autoloader",
    );
    check(
        r#"{"scripts": {"post-install-cmd": "x"}}"#,
        "composer install",
        "manifest-unsuited: composer.json has the script post-install-cmd…",
    );
    check(r#"{"scripts": {"test": "x"}}"#, "composer install", "safe…");
    check(
        r#"{"scripts": {"post-autoload-dump": ["@php artisan"]}}"#,
        "composer install --no-scripts",
        "safe…",
    );
    check(r#"{"repositories": [{"type": "path", "url": "../a"}]}"#, "composer install", "manifest-unsuited…");
    check(
        r#"{"config": {"vendor-dir": "lib"}}"#,
        "composer install",
        "safe composer.json composer.lock | guards lib",
    );
    check(r#"{"config": {"bin-dir": "x"}}"#, "composer install", "manifest-unsuited…");
    super::tests::check(
        &[("composer.json", "{}")],
        "composer install",
        "review composer.json | guards vendor",
    );
    let plugin = ("composer.lock", r#"{"packages": [{"name": "symfony/flex", "type": "composer-plugin"}]}"#);
    super::tests::check(
        &[("composer.json", "{}"), plugin],
        "composer install",
        "manifest-unsuited: symfony/flex…",
    );
}

#[test]
fn dotnet() {
    let plain = r#"<Project Sdk="Microsoft.NET.Sdk"><ItemGroup><PackageReference Include="A" Version="1.0.0" /></ItemGroup></Project>"#;
    let app = ("App.csproj", plain);
    check(&[app], "dotnet restore", "review App.csproj | guards obj bin");
    check(&[app], "dotnet restore App.csproj", "review App.csproj | guards obj bin");
    check(&[app], "dotnet publish -c Release -o /out", "review App.csproj | early dotnet restore");
    check(
        &[app],
        "dotnet publish App.csproj -r linux-x64 /p:X=1",
        "review App.csproj | early dotnet restore App.csproj -r linux-x64",
    );
    check(&[app, ("B.csproj", plain)], "dotnet restore", "manifest-unsuited…");
    let twin = ("App.slnx", r#"<Solution><Project Path="App.csproj" /></Solution>"#);
    check(&[app, twin], "dotnet restore", "review App.slnx App.csproj…");
    check(&[], "dotnet restore", "context-missing…");
    let refers =
        r#"<Project><ItemGroup><ProjectReference Include="..\Lib\Lib.csproj" /></ItemGroup></Project>"#;
    let files = [
        ("App/App.csproj", refers),
        ("Lib/Lib.csproj", plain),
        ("Directory.Build.props", "<Project/>"),
        ("NuGet.Config", "<configuration/>"),
    ];
    check(
        &files,
        "dotnet restore App/App.csproj",
        "review App/App.csproj Directory.Build.props NuGet.Config Lib/Lib.csproj | guards App/obj App/bin Lib/obj Lib/bin",
    );
    check(&files[..1], "dotnet restore App/App.csproj", "context-missing: Lib/Lib.csproj…");
    let sln = (
        "A.sln",
        "Project(\"{9A19103F-16F7-4668-BE54-9A1E7A4F7556}\") = \"App\", \"App\\App.csproj\", \"{0}\"\r\nProject(\"{2150E333-8FDC-42A3-9474-1A3956D46DE8}\") = \"src\", \"src\", \"{1}\"\r\n",
    );
    check(&[sln, files[0], files[1]], "dotnet restore", "review A.sln App/App.csproj Lib/Lib.csproj…");
    check(&[sln], "dotnet restore", "context-missing: App/App.csproj…");
    check(
        &[("A.slnx", r#"<Solution><Project Path="App.csproj" /></Solution>"#), app],
        "dotnet restore A.slnx",
        "review A.slnx App.csproj…",
    );
    let import = r#"<Project><Import Project="$(SomeDir)x.props" /></Project>"#;
    check(
        &[("App.csproj", import)],
        "dotnet restore",
        "manifest-unsuited: App.csproj imports $(SomeDir)x.props…",
    );
    let import = r#"<Project><Import Project="x.props" /></Project>"#;
    check(
        &[("App.csproj", import), ("x.props", "<Project/>")],
        "dotnet restore",
        "review App.csproj x.props…",
    );
    let feed =
        r#"<configuration><packageSources><add key="l" value="./feed" /></packageSources></configuration>"#;
    check(
        &[app, ("nuget.config", feed), ("feed/a.nupkg", "")],
        "dotnet restore",
        "review App.csproj nuget.config feed…",
    );
    check(&[app, ("nuget.config", feed)], "dotnet restore", "context-missing: feed…");
    let floating = plain.replace("1.0.0", "1.*");
    check(&[("App.csproj", &floating)], "dotnet restore", "review App.csproj…");
}

#[test]
fn maven_and_mix() {
    let pom = ("pom.xml", "<project><artifactId>a</artifactId></project>");
    check(&[pom], "mvn -B package -DskipTests", "review pom.xml | early mvn -B dependency:go-offline");
    check(&[pom], "mvn clean package", "review pom.xml | early mvn -B dependency:go-offline");
    check(&[pom], "mvn dependency:go-offline", "review pom.xml");
    check(
        &[pom, ("mvnw", ""), (".mvn/x", "")],
        "./mvnw package",
        "review pom.xml .mvn mvnw | early ./mvnw -B dependency:go-offline",
    );
    check(
        &[("pom.xml", "<project><modules><module>a</module></modules></project>")],
        "mvn package",
        "manifest-unsuited…",
    );
    check(&[("pom.xml", "<project><a></project>")], "mvn package", "manifest-unsuited…");
    let mix = ("mix.exs", "defp deps do\n  [{:a, \"~> 1\"}]\nend\n");
    check(
        &[mix, ("mix.lock", "")],
        "mix deps.get --only prod",
        "review mix.exs mix.lock | guards deps _build",
    );
    check(&[("mix.exs", "{:a, path: \"../a\"}"), ("mix.lock", "")], "mix deps.get", "manifest-unsuited…");
}

#[test]
fn the_later_copy_may_overlay() {
    let plain = package("{}");
    let check = |ignore: &str, host: bool, expect: Result<usize, (&[&str], &[&str])>| {
        let mut files = vec![plain, LOCK, (".dockerignore", ignore)];
        if host {
            files.push(("node_modules/a/package.json", "{}"));
        }
        let context = Context::memory(&files);
        let Recognized::Install(install) = recognized("npm ci") else { panic!() };
        let needs = needs(&install, &context, "", Ecosystems::builtin()).unwrap();
        assert!(needs.guards.iter().all(|g| g.cleared));
        let strings = |list: &[&str]| list.iter().map(|s| (*s).to_string()).collect::<Vec<_>>();
        match (overlay(&needs, &context, ""), expect) {
            (Ok(evidence), Ok(n)) => assert_eq!(evidence.len(), n, "{ignore:?}: {evidence:?}"),
            (Err(found), Err((lines, carried))) => {
                assert_eq!(found.missing_ignore_lines, strings(lines), "{ignore:?}");
                assert_eq!(found.carried, strings(carried), "{ignore:?}");
            }
            (found, expect) => panic!("{ignore:?}: {found:?}, not {expect:?}"),
        }
    };
    check("node_modules\n", true, Ok(1));
    check("**/node_modules\n", false, Ok(1));
    check("dist\n", false, Err((&["node_modules"], &[])));
    check("dist\n", true, Err((&["node_modules"], &["node_modules"])));
    check("node_modules\n!node_modules/keep\n", true, Err((&["node_modules"], &["node_modules"])));
}

#[test]
fn quotes_what_a_shell_would_read() {
    let argv = ["pip", "install", "a>=1", "it's", "x==1"].map(str::to_string);
    assert_eq!(quoted(&argv), r"pip install 'a>=1' 'it'\''s' x==1");
}
