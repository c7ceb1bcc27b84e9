//! Each rule of the validator lets the right rewrite pass and catches its mutants.

use std::{collections::BTreeMap, sync::Arc};

use super::{Claim, View, validate};
use crate::{
    context::{Context, Memory, Origin},
    facts::Facts,
    graph::Graph,
    knowledge::Knowledge,
    options::Options,
    pass::{Assumption, Effect, Level},
    syntax,
};

/// Validates `after` against `before` under `effects`. `expect` is `ok`, or a part of the fault.
fn check_with(
    files: &[(&str, u32)],
    before: &str,
    after: &str,
    effects: &[Effect],
    assumes: &[Assumption],
    expect: &str,
) {
    let files: BTreeMap<_, _> =
        files.iter().map(|(p, mode)| ((*p).to_owned(), (b"x".to_vec(), *mode))).collect();
    let context = Context::new(Arc::new(Memory { files }), ".".into(), Origin::Memory, "Dockerfile");
    let options = Options::default();
    let [old, new] = [before, after].map(|t| Arc::new(syntax::parse(t.as_bytes())));
    let [old_graph, new_graph] = [&old, &new].map(|f| Arc::new(Graph::new(f, &[])));
    let knowledge = Knowledge::builtin();
    let old_facts = Facts::derive(&old, &old_graph, knowledge, &options);
    let new_facts = Facts::derive(&new, &new_graph, knowledge, &options);
    let old = View { file: &old, graph: &old_graph, facts: &old_facts, context: Some(&context) };
    let new = View { file: &new, graph: &new_graph, facts: &new_facts, context: Some(&context) };
    let level = if assumes.is_empty() { Level::Safe } else { Level::Review };
    let said = match validate(&old, &new, Claim { effects, assumes, level }, knowledge) {
        Ok(()) => "ok".to_owned(),
        Err(fault) => fault.to_string(),
    };
    assert!(
        said == expect || expect != "ok" && said.contains(expect),
        "{before}\n{after}\nexpected {expect}, got {said}"
    );
}

fn check(before: &str, after: &str, effects: &[Effect], expect: &str) {
    let files = [("a", 0o644), ("b", 0o644), ("run.sh", 0o644), ("tool", 0o755), ("src/x", 0o644)];
    check_with(&files, before, after, effects, &[], expect);
}

fn owner(before: &str, after: &str, expect: &str) {
    let file = |body: &str| format!("FROM node:22\n{body}");
    check(&file(before), &file(after), &[Effect::OwnerMoved { path: "/app".into() }], expect);
}

fn mode(before: &str, after: &str, expect: &str) {
    let file = |body: &str| format!("FROM node:22\n{body}");
    check(&file(before), &file(after), &[Effect::ModeMoved { path: "/app".into() }], expect);
}

#[test]
fn owners_that_moved_pass() {
    for (before, after) in [
        ("COPY . /app\nRUN chown -R node:node /app\n", "COPY --chown=node:node . /app\n"),
        ("COPY . /app\nRUN chown -R node /app\n", "COPY --chown=node:0 . /app\n"),
        ("COPY . /app\nRUN chown -R 1000:1000 /app\n", "COPY --chown=node:node . /app\n"),
        ("COPY . /app\nRUN chgrp -R node /app\n", "COPY --chown=0:node . /app\n"),
        (
            "WORKDIR /app\nCOPY . .\nRUN chown -R node:node /app\n",
            "WORKDIR /app\nRUN chown node:node /app\nCOPY --chown=node:node . .\n",
        ),
        (
            "COPY . /app\nRUN mkdir /app/x && chown -R node:node /app\n",
            "COPY --chown=node:node . /app\nRUN mkdir /app/x && chown node:node /app/x\n",
        ),
        (
            "WORKDIR /app\nCOPY a ./\nCOPY src src/\nRUN chown -R node:node .\n",
            "WORKDIR /app\nRUN chown node:node /app\nCOPY --chown=node:node a ./\nCOPY --chown=node:node src src/\n",
        ),
        ("COPY run.sh /srv/\nRUN chown node:node /srv/run.sh\n", "COPY --chown=node:node run.sh /srv/\n"),
        ("WORKDIR /app\nCOPY . .\nRUN chown -R root:root /app\n", "WORKDIR /app\nCOPY . .\n"),
    ] {
        owner(before, after, "ok");
    }
}

#[test]
fn owners_that_differ_are_caught() {
    for (before, after, expect) in [
        // without the residual
        (
            "WORKDIR /app\nCOPY . .\nRUN chown -R node:node /app\n",
            "WORKDIR /app\nCOPY --chown=node:node . .\n",
            "V4: the owner of /app",
        ),
        (
            "COPY . /app\nRUN mkdir /app/x\nRUN chown -R node:node /app\n",
            "COPY --chown=node:node . /app\nRUN mkdir /app/x\n",
            "V4: the owner of /app/x",
        ),
        // a COPY that moves over a command, a change that another user makes, or of what is not there
        (
            "COPY . /app\nRUN chown -R node:node /app && npm config set a b\n",
            "RUN npm config set a b\nCOPY --chown=node:node . /app\n",
            "V3: a COPY moved over this",
        ),
        (
            "WORKDIR /app\nCOPY . .\nRUN chown -R node:node /app\nUSER node\n",
            "WORKDIR /app\nUSER node\nRUN chown node:node /app\nCOPY --chown=node:node . .\n",
            "V4: this does not run as root",
        ),
        (
            "WORKDIR /app\nCOPY . .\nRUN chown -R node:node /app\n",
            "WORKDIR /app\nRUN chown node:node node:node /app\nCOPY --chown=node:node . .\n",
            "may not be there",
        ),
        // of a sibling
        (
            "COPY a b /srv/\nRUN chown node:node /srv/a\n",
            "COPY --chown=node:node a b /srv/\n",
            "V4: the owner of /srv/b",
        ),
        // a name that is not there yet
        (
            "COPY . /app\nRUN useradd -M app\nRUN chown -R app:app /app\n",
            "COPY --chown=app:app . /app\nRUN useradd -M app\n",
            "may not exist",
        ),
        (
            "WORKDIR /app\nRUN useradd -M app\nCOPY . .\nRUN chown -R app:app /app\n",
            "WORKDIR /app\nRUN chown app:app /app\nRUN useradd -M app\nCOPY --chown=app:app . .\n",
            "V4: the owner of /app",
        ),
        (
            "COPY . /app\nRUN chown -R nosuch:nosuch /app\n",
            "COPY --chown=nosuch:nosuch . /app\n",
            "may not exist",
        ),
        // what the base or a command has there
        (
            "COPY . /usr/share\nRUN chown -R node:node /usr/share\n",
            "COPY --chown=node:node . /usr/share\n",
            "V4: the owner of / (the base image)",
        ),
        (
            "WORKDIR /app\nRUN npm ci\nCOPY . .\nRUN chown -R node:node /app\n",
            "WORKDIR /app\nRUN chown node:node /app\nRUN npm ci\nCOPY --chown=node:node . .\n",
            "V",
        ),
        // somebody looks
        (
            "COPY . /app\nRUN ls -l /app\nRUN chown -R node:node /app\n",
            "COPY --chown=node:node . /app\nRUN ls -l /app\n",
            "V3: this stands between",
        ),
        // the wrong COPY, group or user
        (
            "COPY a /app/\nCOPY b /data/\nRUN chown -R node:node /app\n",
            "COPY a /app/\nCOPY --chown=node:node b /data/\n",
            "V4: the owner of",
        ),
        (
            "COPY . /app\nRUN chown -R node:node /app\n",
            "COPY --chown=node:0 . /app\n",
            "V4: the owner of /app",
        ),
        ("COPY . /app\nRUN chown -R node /app\n", "COPY --chown=node . /app\n", "V4: the owner of /app"),
        ("COPY . /app\nRUN chown -R node:node /app\n", "COPY . /app\n", "V4: the owner of /app"),
        // a part that is kept from the source
        (
            "FROM node:22 AS x\nRUN ls\nFROM node:22\nCOPY --from=x /out /app\nRUN chown -R node /app\n",
            "FROM node:22 AS x\nRUN ls\nFROM node:22\nCOPY --from=x --chown=node:0 /out /app\n",
            "V4: the owner of /app",
        ),
        // folders on the way
        (
            "COPY . /data/app\nRUN chown -R node:node /data/app\n",
            "COPY --chown=node:node . /data/app\n",
            "V4: the owner of /data",
        ),
        // forms that the builder treats in another way
        (
            "COPY --link . /app\nRUN chown -R 1000:1000 /app\n",
            "COPY --link --chown=1000:1000 . /app\n",
            "--link",
        ),
        (
            "ADD https://example.com/x /app/\nRUN chown -R node:node /app\n",
            "ADD --chown=node:node https://example.com/x /app/\n",
            "archive",
        ),
        (
            "FROM node:22 AS x\nRUN ls\nFROM node:22\nCOPY --from=x /usr/bin/ping /usr/bin/ping\nRUN chown -R node:node /usr/bin/ping\n",
            "FROM node:22 AS x\nRUN ls\nFROM node:22\nCOPY --from=x --chown=node:node /usr/bin/ping /usr/bin/ping\n",
            "suid",
        ),
        // more than the owner
        ("COPY . /app\nRUN chown -R node:node /app\n", "COPY --chown=node:node . /opt\n", "V2"),
        ("COPY . /app\nRUN chown -R node:node /app && ls\n", "COPY --chown=node:node . /app\n", "V2"),
        (
            "COPY . /app\nRUN chown -R node:node /app\n",
            "COPY . /app\nRUN chown -R node:node /app /data\n",
            "V4",
        ),
    ] {
        owner(before, after, expect);
    }
}

#[test]
fn suid_keeps_its_owner_and_an_assumption_lifts_the_base() {
    let effects = [Effect::OwnerMoved { path: "/app".into() }];
    let (before, after) = ("COPY . /app\nRUN chown -R 1000:1000 /app\n", "COPY --chown=1000:1000 . /app\n");
    let on = |base: &str, body: &str| format!("FROM {base}\n{body}");
    check_with(&[("ping", 0o4755)], &on("node:22", before), &on("node:22", after), &effects, &[], "suid");
    let unknown = "registry.example.com/x:1";
    check_with(&[("a", 0o644)], &on(unknown, before), &on(unknown, after), &effects, &[], "or of the base");
    let assumes = [Assumption::DestinationIsEmpty];
    check_with(&[("a", 0o644)], &on(unknown, before), &on(unknown, after), &effects, &assumes, "ok");
}

#[test]
fn commands_that_notice_a_shared_shell_are_caught() {
    let joined = |first: &str, second: &str, expect: &str| {
        let head = "FROM debian:12\nENV BASH_ENV=/etc/profile.d/x.sh\n";
        check(
            &format!("{head}RUN {first}\nRUN {second}\n"),
            &format!("{head}RUN {first} && {second}\n"),
            &[],
            expect,
        );
    };
    joined("mkdir /a", "rm -r /a", "ok");
    joined("bash -c \"/etc/init.d/mysql start\"", "rm -r /a", "would live on");
    joined("chmod +x /etc/init.d/mysql", "rm -r /a", "ok");
    joined("echo umask 077 > /etc/profile.d/x.sh", "rm -r /a", "when it starts");
    joined("{ set -e; false; touch /a; } | tee /log", "rm -r /a", "V2");
}

#[test]
fn modes_that_moved_pass() {
    for (before, after) in [
        ("COPY run.sh /srv/run.sh\nRUN chmod 755 /srv/run.sh\n", "COPY --chmod=755 run.sh /srv/run.sh\n"),
        ("COPY run.sh /srv/run.sh\nRUN chmod +x /srv/run.sh\n", "COPY --chmod=755 run.sh /srv/run.sh\n"),
        ("COPY tool /srv/tool\nRUN chmod +x /srv/tool\n", "COPY tool /srv/tool\n"),
        ("COPY tool /srv/tool\nRUN chmod 755 /srv/tool\n", "COPY tool /srv/tool\n"),
        ("COPY a b /srv/\nRUN chmod 600 /srv/a /srv/b\n", "COPY --chmod=600 a b /srv/\n"),
    ] {
        mode(before, after, "ok");
    }
}

#[test]
fn modes_that_differ_are_caught() {
    for (before, after, expect) in [
        (
            "COPY run.sh /srv/run.sh\nRUN chmod 755 /srv/run.sh\n",
            "COPY --chmod=700 run.sh /srv/run.sh\n",
            "V4: the mode",
        ),
        ("COPY run.sh /srv/run.sh\nRUN chmod +x /srv/run.sh\n", "COPY run.sh /srv/run.sh\n", "V4: the mode"),
        ("COPY a b /srv/\nRUN chmod 600 /srv/a\n", "COPY --chmod=600 a b /srv/\n", "V4: the mode of /srv/b"),
        (
            "COPY run.sh /data/run.sh\nRUN chmod 644 /data/run.sh\n",
            "COPY --chmod=644 run.sh /data/run.sh\n",
            "V4: the mode of /data",
        ),
        (
            "COPY run.sh /srv/run.sh\nRUN cat /srv/run.sh\nRUN chmod 755 /srv/run.sh\n",
            "COPY --chmod=755 run.sh /srv/run.sh\nRUN cat /srv/run.sh\n",
            "V3",
        ),
        ("COPY src /app\nRUN chmod -R 755 /app\n", "COPY --chmod=755 src /app\n", "V4"),
    ] {
        mode(before, after, expect);
    }
}
