use super::*;

/// The facts of a reference that the checks compare.
fn facts(reference: &str) -> String {
    let Some(i) = Knowledge::builtin().image(reference) else { return "unknown".into() };
    let o = |x: &Option<String>| x.clone().unwrap_or("?".into());
    let release = i.release.as_deref().unwrap_or("?");
    format!(
        "{:?} {} {release} {} {} user={}",
        i.family,
        o(&i.system),
        o(&i.shell),
        o(&i.package_manager),
        o(&i.user)
    )
}

#[test]
fn references_give_their_systems() {
    let check = |reference: &str, expect: &str| assert_eq!(facts(reference), expect, "{reference}");
    check("debian:bookworm-slim", "Debian debian 12 /bin/dash apt-get user=0");
    for same in [
        "docker.io/library/debian:12",
        "index.docker.io/library/debian:12.5-slim",
        "library/debian:bookworm",
        "public.ecr.aws/docker/library/debian:12",
        "mirror.gcr.io/library/debian:12",
        "arm64v8/debian:12",
        "registry.hub.docker.com/library/debian:12",
        "debian:bookworm-20260803@sha256:ab",
    ] {
        check(same, "Debian debian 12 /bin/dash apt-get user=0");
    }
    for moving in [
        "debian",
        "debian:latest",
        "debian:stable-slim",
        "debian@sha256:ab",
        "python:3.13",
        "python:3.12-slim",
        "golang:1.26",
        "nginx",
        "node:24",
        "rust:1",
        "postgres:17",
    ] {
        check(moving, "Debian debian ? /bin/dash apt-get user=0");
    }
    check("debian:sid", "Debian debian sid /bin/dash apt-get user=0");
    check("ubuntu:22.04", "Debian ubuntu 22.04 /bin/dash apt-get user=0");
    check("ubuntu:14.04.5", "Debian ubuntu 14.04 /bin/dash apt-get user=0");
    check("ubuntu:noble", "Debian ubuntu 24.04 /bin/dash apt-get user=0");
    check("aarch64/ubuntu:xenial", "Debian ubuntu 16.04 /bin/dash apt-get user=0");
    check("alpine:3.20.3", "Alpine alpine 3.20 /bin/busybox apk user=0");
    check("alpine:3", "Alpine alpine ? /bin/busybox apk user=0");
    check("alpine", "Alpine alpine ? /bin/busybox apk user=0");
    check("alpine:edge", "Alpine alpine edge /bin/busybox apk user=0");
    check("node:20-alpine3.19", "Alpine alpine 3.19 /bin/busybox apk user=0");
    check("node:22-alpine", "Alpine alpine ? /bin/busybox apk user=0");
    check("python:3.6-alpine", "Alpine alpine 3.15 /bin/busybox apk user=0");
    check("python:2.7", "Debian debian 10 /bin/dash apt-get user=0");
    check("node:10-stretch", "Debian debian 9 /bin/dash apt-get user=0");
    check("buildpack-deps:jammy-scm", "Debian ubuntu 22.04 /bin/dash apt-get user=0");
    check("nvidia/cuda:9.0-cudnn7-devel-ubuntu16.04", "Debian ubuntu 16.04 /bin/dash apt-get user=0");
    check("nvidia/cuda:9.0-base-centos7", "Rhel centos 7 /bin/bash yum user=0");
    check("centos:centos7.4.1708", "Rhel centos 7 /bin/bash yum user=0");
    check("centos:8", "Rhel centos 8 /bin/bash dnf user=0");
    check("fedora:40", "Rhel fedora 40 /bin/bash dnf user=0");
    check("amazonlinux:2023", "Amazon amazonlinux 2023 /bin/bash dnf user=0");
    check("amazonlinux:2", "Amazon amazonlinux 2 /bin/bash yum user=0");
    check("rockylinux:9-minimal", "Rhel rockylinux-minimal 9 /bin/bash microdnf user=0");
    check("almalinux:9", "Rhel almalinux 9 /bin/bash dnf user=0");
    check("oraclelinux:7-slim", "Rhel oraclelinux-slim 7 /bin/bash yum user=0");
    check("registry.access.redhat.com/ubi9/ubi-minimal:9.4", "Rhel rhel-minimal 9 /bin/bash microdnf user=0");
    check("opensuse/leap:15.5", "Suse opensuse 15.5 /bin/bash zypper user=0");
    check("archlinux", "Arch arch ? /bin/bash pacman user=0");
    check("busybox:1.36-musl", "Busybox busybox 1.36 /bin/busybox none user=0");
    check("scratch", "Scratch scratch ? ? none user=0");
    check("mcr.microsoft.com/windows/servercore:ltsc2022", "Windows windows ? ? none user=?");
    check("golang:1.22-nanoserver-1809", "Windows nanoserver ? ? none user=?");
    check("mcr.microsoft.com/dotnet/aspnet:8.0", "Debian debian ? /bin/dash apt-get user=0");
    check("mcr.microsoft.com/dotnet/aspnet:8.0-jammy-chiseled", "Distroless chiseled ? ? none user=1654");
    check("eclipse-temurin:21-jre", "Debian ubuntu ? /bin/dash apt-get user=0");
    check("eclipse-temurin:21-jre-alpine-3.21", "Alpine alpine 3.21 /bin/busybox apk user=0");
    check("eclipse-temurin:21-ubi9-minimal", "Rhel rhel-minimal 9 /bin/bash microdnf user=0");
    check("openjdk:8-jdk-slim", "Debian debian 11 /bin/dash apt-get user=0");
    check("openjdk:8-alpine", "Alpine alpine 3.9 /bin/busybox apk user=0");
    check("maven:3.9-eclipse-temurin-21", "Debian ubuntu ? /bin/dash apt-get user=0");
    check("maven:3.6-jdk-8-slim", "Debian debian ? /bin/dash apt-get user=0");
    check("denoland/deno:alpine-2.1.0", "Alpine alpine ? /bin/busybox apk user=0");
    check("cgr.dev/chainguard/node:latest", "Wolfi wolfi-bare ? /bin/busybox none user=65532");
    check("cgr.dev/chainguard/python:latest-dev", "Wolfi wolfi ? /bin/busybox apk user=65532");
    check("gcr.io/distroless/static-debian12:nonroot", "Distroless distroless 12 ? none user=65532");
    check("gcr.io/distroless/nodejs22-debian13", "Distroless distroless 13 ? none user=0");
    check("gcr.io/distroless/base", "Distroless distroless ? ? none user=0");
    check("jenkins/jenkins:lts", "Debian debian ? /bin/dash apt-get user=jenkins");
    check("lsiobase/alpine:arm64v8-3.9", "Alpine alpine 3.9 /bin/busybox apk user=0");
    check("golang@sha256:ab", "Other ? ? ? ? user=?");
    check("mysql:8.4", "Rhel oraclelinux-slim ? /bin/bash ? user=0");
    check("adoptopenjdk:11-jre-hotspot", "Debian ubuntu 20.04 /bin/dash apt-get user=0");
    check("clojure:temurin-17-lein", "Debian ubuntu ? /bin/dash apt-get user=0");
    check("clojure:temurin-21-lein", "Debian debian ? /bin/dash apt-get user=0");
    check("docker:27-dind-rootless", "Alpine alpine ? /bin/busybox apk user=rootless");
    check("neurodebian:nd22.04", "Debian ubuntu 22.04 /bin/dash apt-get user=0");
    check("mcr.microsoft.com/dotnet/sdk:6.0-cbl-mariner2.0", "Other azurelinux 2 /bin/bash tdnf user=0");
    check("ghcr.io/astral-sh/uv:0.8.4", "Scratch scratch ? ? none user=0");
    check("ghcr.io/astral-sh/uv:python3.12-bookworm-slim", "Debian debian 12 /bin/dash apt-get user=0");
    check("ghcr.io/astral-sh/uv:python3.14-dhi", "Other dhi ? ? ? user=?");
    for unknown in ["acme/app", "registry.example.com/python:3", "localhost:5000/debian", "$BASE", ""] {
        check(unknown, "unknown");
    }
}

#[test]
fn users_and_configuration_follow_the_tag() {
    let image = |r: &str| Knowledge::builtin().image(r).expect("in the catalogue");
    let uid = |r: &str, name: &str| image(r).user_named(name).and_then(|u| u.uid);
    assert_eq!(uid("php:8.3-fpm", "www-data"), Some(33));
    assert_eq!(uid("php:8.3-fpm-alpine", "www-data"), Some(82));
    assert_eq!(uid("postgres:17-alpine", "postgres"), Some(70));
    assert_eq!(uid("ubuntu:24.04", "ubuntu"), Some(1000));
    assert_eq!(uid("ubuntu:22.04", "ubuntu"), None);
    assert_eq!(uid("node:22", "node"), Some(1000));
    assert_eq!(uid("mcr.microsoft.com/dotnet/aspnet:8.0", "app"), Some(1654));
    assert_eq!(uid("mcr.microsoft.com/dotnet/aspnet:7.0", "app"), None);
    assert!(!image("nginx:1.15-alpine").config_known && image("nginx:1.27").config_known);
    assert_eq!(image("nginx:1.15-alpine").entrypoint, None);
    assert_eq!(image("golang:1.22").entrypoint, Some(vec![]));
    assert_eq!(image("python:3.12-slim").language, Some(("python".into(), Some("3.12".into()))));
    assert_eq!(image("maven:3.9-eclipse-temurin-21").language, Some(("java".into(), Some("21".into()))));
    assert!(image("python:2-onbuild").onbuild);
    assert!(image("php:8-apache").must_start_as_root.is_some());
    assert!(!image("debian:13").user_tools.as_ref().expect("known").contains(&"adduser".into()));
}

/// `class [ecosystem] | reads | writes | deletes`, `*` for everything.
fn command(line: &str) -> String {
    let argv: Vec<String> = line.split(' ').map(str::to_owned).collect();
    let f = Knowledge::builtin().command(&argv);
    let paths = |p: &Paths| match p {
        Paths::None => String::new(),
        Paths::Some(all) => all.join(" "),
        Paths::Everything => "*".into(),
    };
    let ecosystem = f.ecosystem.as_deref().map(|e| format!(" {e}")).unwrap_or_default();
    let text =
        format!("{:?}{ecosystem}|{}|{}|{}", f.class, paths(&f.reads), paths(&f.writes), paths(&f.deletes));
    text.trim_end_matches('|').to_owned()
}

#[test]
fn commands_have_their_class_and_paths() {
    let check = |line: &str, expect: &str| assert_eq!(command(line), expect, "{line}");
    check("echo hi", "Config");
    check("mkdir -p /a /b", "Config||/a /b");
    check("mkdir -m 755 /a", "Config||/a");
    check("chown -R app:app /srv", "Config||/srv/**");
    check("chmod +x /a.sh", "Config||/a.sh");
    check("chmod -vR 755 /a", "Config||/a/**");
    check("ln -sf /a /b", "Config||/b");
    check("cp -a /a /b /c", "Config|/a/** /b/**|/c/**");
    check("cp a b", "Config|a|b");
    check("cp -t /d a b", "Config|a b|/d");
    check("mv /a /b", "Config|/a/**|/b/**|/a/**");
    check("install -m 755 a /b", "Config|a|/b");
    check("install -d /x /y", "Config||/x /y");
    check("touch /a", "Config||/a");
    check("rm -f /a", "Config|||/a");
    check("rm -rf /tmp/x $D", "Config|||*");
    check("rm -rf /tmp/x", "Config|||/tmp/x/**");
    check("rm -rf /var/lib/apt/lists/*", "Cleanup|||/var/lib/apt/lists/*/**");
    check("rm -rf /var/lib/apt/lists/* /tmp/x", "Config|||/var/lib/apt/lists/*/** /tmp/x/**");
    check("rm -rf /var/cache/apk/*", "Cleanup|||/var/cache/apk/*/**");
    check("sed -i s/a/b/ /etc/x", "Config|/etc/x|/etc/x");
    check("sed s/a/b/ /etc/x", "Config|/etc/x");
    check("sed -i -e s/a/b/ /etc/x", "Config|/etc/x|/etc/x");
    check("sed -i.bak s/a/b/ /etc/x", "Config|/etc/x|/etc/x /etc/x.bak");
    check("sed -ri -e s/a/b/ -e /c/d /etc/x y", "Config|/etc/x y|/etc/x y");
    check("sed --in-place=.o s/a/b/ x", "Config|x|x x.o");
    check("sed -ie s/a/b/ x", "Config|x|x xe");
    check("sed -n w/etc/x y", "Config|*|*");
    check("sed -f script x", "Config|*|*");
    check("ln -s /a/b", "Config||b");
    check("ln -s a b /c", "Config||/c");
    check("chmod -x /a /b", "Config||/a /b");
    check("set -eux", "Config");
    check("rm -rf /var/lib/apt/lists/../x", "Config|||/var/lib/apt/lists/../x/**");
    check("cat /a", "Config|/a");
    check("tee /etc/x", "Config||/etc/x");
    check("apt-get update", "Index|*|/var/lib/apt/lists/**");
    check("apt-get -qq update", "Index|*|/var/lib/apt/lists/**");
    check("apt-get install -y curl", "Packages|*|*");
    check("sudo -E apt-get install -y make", "Packages|*|*");
    check("env DEBIAN_FRONTEND=noninteractive apt-get install -y make", "Packages|*|*");
    check("apt-get remove -y curl", "Packages|*|*|*");
    check("apt-get clean", "Cleanup|||/var/cache/apt/**");
    check("apk add --no-cache curl", "Packages|*|*");
    check("apk update", "Index|*|/var/cache/apk/**");
    check("yum install -y gcc", "Packages|*|*");
    check("yum clean all", "Cleanup|||/var/cache/yum/** /var/cache/dnf/** /var/cache/libdnf5/**");
    check("yum -y update", "Packages|*|*");
    check("dnf -y install gcc", "Packages|*|*");
    check("microdnf install gcc", "Packages|*|*");
    check("zypper --non-interactive install gcc", "Packages|*|*");
    check("pacman -Syu --noconfirm", "Packages|*|*");
    check("pacman -Sy git", "Packages|*|*");
    check("sort -o /a /b", "Config|/b|/a");
    check("setcap cap_net_raw+ep /a", "Config|*|*");
    check("wget -qO /a http://x", "Fetch|*|/a");
    check("go mod download", "Install go|*|*|*");
    check("yarn", "Install yarn|*|*|*");
    for (line, class) in [
        ("curl -fsSL http://x -o /a", "Fetch"),
        ("curl http://x", "Fetch"),
        ("git clone http://x", "Fetch"),
        ("git config --global a b", "Config"),
        ("npm ci", "Install npm"),
        ("npm run build", "Build"),
        ("npm install -g x", "Install npm"),
        ("yarn install", "Install yarn"),
        ("yarn build", "Build"),
        ("pnpm i", "Install pnpm"),
        ("pip install -r r.txt", "Install pip"),
        ("pip3 install x", "Install pip"),
        ("bundle install", "Install bundler"),
        ("gem install x", "Install gem"),
        ("go build ./...", "Build"),
        ("cargo build --release", "Build"),
        ("cargo fetch", "Install cargo"),
        ("mvn package", "Build"),
        ("mvn -B dependency:go-offline", "Install maven"),
        ("make -j4", "Build"),
        ("./configure --x", "Build"),
        ("dotnet restore", "Install nuget"),
        ("dotnet publish", "Build"),
        ("service mysql start", "Daemon"),
        ("mysqld_safe", "Daemon"),
        ("systemctl enable x", "Config"),
        ("/usr/bin/make", "Build"),
        ("composer install", "Install composer"),
        ("poetry install", "Install poetry"),
        ("uv sync", "Install uv"),
        ("conda clean -a", "Cleanup"),
        ("some-tool --x", "Unknown"),
        ("bash -c x", "Unknown"),
        ("python x.py", "Unknown"),
        ("useradd app", "Config"),
        ("groupadd -r app", "Config"),
        ("adduser -D app", "Config"),
        ("tar xzf a", "Config"),
        ("update-ca-certificates", "Config"),
        ("timeout 10 make", "Build"),
        ("true", "Config"),
    ] {
        assert_eq!(command(line).split('|').next(), Some(class), "{line}");
    }
    let network =
        |l: &str| Knowledge::builtin().command(&l.split(' ').map(str::to_owned).collect::<Vec<_>>()).network;
    assert!(network("curl x") && network("npm ci") && !network("rm x") && !network("apt-get clean"));
}

#[test]
fn every_entry_is_sourced_and_in_order() {
    let k = Knowledge::builtin();
    let images = k.images();
    assert_eq!(images.unknown_systems(), Vec::<String>::new());
    assert!(images.mirrors.is_sorted_by_key(|m| m.prefix.as_str()));
    let d = k.distroless();
    for (name, source, checked) in k.sources() {
        assert!(!source.is_empty() && checked.len() == 10 && checked.starts_with("202"), "{name}");
    }
    let names: Vec<&String> =
        images.images.iter().flat_map(|(_, e)| std::iter::once(&e.name).chain(&e.aliases)).collect();
    let unique: std::collections::BTreeSet<_> = names.iter().collect();
    assert_eq!(names.len(), unique.len());
    assert_eq!(d.for_language("node", "22.3").map(|(n, _)| n), Some("nodejs22"));
    assert!(d.for_language("node", "2").is_none());
    assert!(d.contents("cc").contains(&"tzdata") && d.contents("cc").contains(&"libgomp1"));
}

#[test]
fn users_are_made_with_what_is_there() {
    let k = Knowledge::builtin();
    let made = |family, tools| {
        k.user_creation(family, tools).map(|w| w.commands("app", 10001, 10001, false).join(" && "))
    };
    let useradd = "groupadd --system --gid 10001 app && useradd --system --uid 10001 --gid app --no-create-home --shell /usr/sbin/nologin app";
    assert_eq!(made(Family::Debian, None).as_deref(), Some(useradd));
    assert!(
        made(Family::Alpine, None).is_some_and(|c| c.starts_with("addgroup -S -g 10001 app && adduser -S"))
    );
    assert_eq!(made(Family::Rhel, None), None);
    assert_eq!(made(Family::Amazon, Some(&[])), None);
}

#[test]
fn an_overlay_adds_and_replaces() {
    let text = "images:\n  - {name: acme/base, source: ours, checked: '2026-11-24', os: debian, release: '12', user: app}\n";
    let k = Knowledge::builtin().with_overlay(text, "mine.yaml").expect("a good overlay");
    let image = k.image("acme/base:1").expect("the overlay's");
    assert_eq!(
        (image.family, image.release.as_deref(), image.user.as_deref()),
        (Family::Debian, Some("12"), Some("app"))
    );
    assert!(k.image("alpine").is_some());
    let bad = |t: &str| Knowledge::builtin().with_overlay(t, "mine.yaml").err().unwrap_or_default();
    assert!(
        bad("images:\n  - {name: x}\n").starts_with("mine.yaml:2"),
        "{}",
        bad("images:\n  - {name: x}\n")
    );
    assert!(bad("imagse: []\n").starts_with("mine.yaml:1"), "{}", bad("imagse: []\n"));
    let system = "images:\n  - {name: x, source: s, checked: c, os: beos}\n";
    assert_eq!(bad(system), "mine.yaml:2: no such system: beos");
}

/// A measurement: the share of the references of a list that resolve (DFOPT_REFERENCES: lines `count<TAB>reference`).
#[test]
#[ignore = "a measurement over a corpus that is not part of the repository"]
#[allow(clippy::disallowed_methods, reason = "a test on files of the one who runs it")]
fn share_of_a_corpus() {
    let path = std::env::var("DFOPT_REFERENCES").expect("a list");
    let (mut all, mut told, mut missing) = (0, 0, BTreeMap::new());
    for line in std::fs::read_to_string(path).expect("readable").lines() {
        let (count, reference) = line.split_once('\t').expect("a count and a reference");
        let count: u32 = count.parse().expect("a count");
        all += count;
        match Knowledge::builtin().image(reference) {
            Some(i) if i.family != Family::Other && i.package_manager.is_some() => told += count,
            _ => *missing.entry(reference.to_owned()).or_insert(0) += count,
        }
    }
    let mut missing: Vec<_> = missing.into_iter().collect();
    missing.sort_by_key(|(_, n)| std::cmp::Reverse(*n));
    eprintln!("{told} of {all}; most missed: {:?}", &missing[..missing.len().min(40)]);
}
