use std::sync::Arc;

use crate::{
    facts::Facts,
    graph::Graph,
    knowledge::Knowledge,
    options::Options,
    pass::Effect,
    syntax,
    validate::{Claim, View, validate},
};

const BEFORE: &str = r#"FROM golang:1.25 AS build
WORKDIR /src
COPY . .
RUN CGO_ENABLED=0 go build -o /out/server .

FROM alpine:3.22
ENV MODE=prod
RUN apk add --no-cache ca-certificates
RUN adduser -D app
COPY --from=build --chown=app /out/server /server
COPY web /web
WORKDIR /work
USER app
ENTRYPOINT ["/server"]
CMD ["-v"]
"#;

const AFTER: &str = r#"FROM golang:1.25 AS build
WORKDIR /src
COPY . .
RUN CGO_ENABLED=0 go build -o /out/server .

FROM gcr.io/distroless/static-debian13:nonroot
ENV MODE=prod
COPY --from=build --chown=65532:65532 /out/server /server
COPY web /web
WORKDIR /work
USER 65532:65532
ENTRYPOINT ["/server"]
CMD ["-v"]
"#;

fn effects() -> Vec<Effect> {
    let removed = ["apk add --no-cache ca-certificates", "adduser -D app"];
    let mut all = vec![Effect::Base { stage: 1 }, Effect::User { stage: 1 }];
    all.extend(removed.map(|c| Effect::Removed { command: c.into() }));
    all
}

fn judge(before: &str, after: &str, effects: &[Effect]) -> Result<(), String> {
    let (knowledge, options) = (Knowledge::builtin(), Options::default());
    let [old, new] = [before, after].map(|t| Arc::new(syntax::parse(t.as_bytes())));
    let [old_graph, new_graph] = [&old, &new].map(|f| Arc::new(Graph::new(f, &[])));
    let old_facts = Facts::derive(&old, &old_graph, knowledge, &options);
    let new_facts = Facts::derive(&new, &new_graph, knowledge, &options);
    let a = View { file: &old, graph: &old_graph, facts: &old_facts, context: None };
    let b = View { file: &new, graph: &new_graph, facts: &new_facts, context: None };
    validate(&a, &b, Claim { effects, assumes: &[], level: crate::pass::Level::Review }, knowledge)
        .map_err(|f| f.to_string())
}

/// `after` with one text replaced must be refused, with a message that has `word`.
fn caught(from: &str, to: &str, word: &str) {
    assert!(AFTER.contains(from), "{from}");
    let error = judge(BEFORE, &AFTER.replacen(from, to, 1), &effects()).expect_err(from);
    assert!(error.contains(word), "{from} -> {to}: {error}");
}

#[test]
fn a_move_passes() {
    assert_eq!(judge(BEFORE, AFTER, &effects()), Ok(()));
}

#[test]
fn what_is_not_declared_is_caught() {
    caught("COPY web /web\n", "", "gone");
    caught("COPY web /web", "COPY web /app", "differs");
    caught("COPY web /web", "COPY web /web\nCOPY more /more", "new");
    caught("WORKDIR /work\n", "", "WorkingDir");
    caught("MODE=prod", "MODE=test", "Env");
    caught("CMD [\"-v\"]\n", "", "Cmd");
    caught("\"/server\"]", "\"/serve\"]", "Entrypoint");
    caught("go build", "go build -race", "stage 0");
    caught("golang:1.25", "golang:1.26", "stage 0");
    caught("static-debian13:nonroot", "static-debian11:nonroot", "catalogue");
    caught("static-debian13:nonroot", "static-debian13:debug", "catalogue");
    caught("gcr.io/distroless/static-debian13:nonroot", "scratch", "catalogue");
    caught(
        "gcr.io/distroless/static-debian13:nonroot",
        "--platform=linux/arm64 gcr.io/distroless/static-debian13:nonroot",
        "platform",
    );
    caught("USER 65532:65532", "USER app", "no user");
    caught("ENV MODE", "RUN true\nENV MODE", "cannot run");
    caught("--chown=65532:65532", "--chown=app", "no such owner");
}

#[test]
fn each_removed_run_must_be_declared() {
    let mut few = effects();
    few.retain(|e| !matches!(e, Effect::Removed { command } if command.starts_with("adduser")));
    assert!(judge(BEFORE, AFTER, &few).unwrap_err().contains("not declared"));
    let mut other = effects();
    other.push(Effect::Removed { command: "make".into() });
    assert!(judge(BEFORE, AFTER, &other).unwrap_err().contains("never there"));
    let without_user: Vec<Effect> =
        effects().into_iter().filter(|e| !matches!(e, Effect::User { .. })).collect();
    assert!(judge(BEFORE, AFTER, &without_user).is_err());
}

#[test]
fn a_program_must_be_linked_as_the_base_needs() {
    let dynamic = |t: &str| t.replace("CGO_ENABLED=0 ", "");
    assert!(judge(&dynamic(BEFORE), &dynamic(AFTER), &effects()).unwrap_err().contains("statically"));
}

#[test]
fn the_language_must_be_the_same() {
    let before = "FROM node:22-slim\nCOPY server.js /\nCMD [\"node\", \"/server.js\"]\n";
    let after = "FROM gcr.io/distroless/nodejs22-debian13:latest\nCOPY server.js /\nCMD [\"/server.js\"]\n";
    let all = [Effect::Base { stage: 0 }, Effect::Entrypoint { stage: 0 }];
    assert_eq!(judge(before, after, &all), Ok(()));
    assert!(judge(before, &after.replace("nodejs22", "nodejs24"), &all).unwrap_err().contains("version"));
    assert!(judge(before, &after.replace("nodejs22", "java21"), &all).is_err());
    assert!(
        judge(before, &after.replace("/server.js\"]", "/other.js\"]"), &all).unwrap_err().contains("starts")
    );
    assert!(judge(before, after, &all[..1]).is_err());
}

/// A stage that starts `command` of the shell form, and the same with `exec` on a new base.
fn from_shell(command: &str, exec: &str) -> Result<(), String> {
    let stage = |base: &str, start: &str| {
        let build = "FROM golang:1.25 AS build\nRUN CGO_ENABLED=0 go build -o /server .\n";
        format!("{build}FROM {base}\nCOPY --from=build /server /server\nWORKDIR /\n{start}\n")
    };
    let all = [Effect::Base { stage: 1 }, Effect::User { stage: 1 }, Effect::Entrypoint { stage: 1 }];
    let (old, new) =
        (stage("alpine:3.22", command), stage("gcr.io/distroless/static-debian13:nonroot", exec));
    judge(&old, &new, &all)
}

#[test]
fn a_shell_form_of_plain_words_may_become_an_exec_form() {
    for (old, new) in [
        ("CMD /server --port 8080", "CMD [\"/server\", \"--port\", \"8080\"]"),
        ("CMD exec /server", "CMD [\"/server\"]"),
        ("ENTRYPOINT ./server -v", "ENTRYPOINT [\"./server\", \"-v\"]"),
        ("CMD /server 'a b' \"c\"d ''", "CMD [\"/server\", \"a b\", \"cd\", \"\"]"),
        ("CMD /server \\\n  -v", "CMD [\"/server\", \"-v\"]"),
    ] {
        assert_eq!(from_shell(old, new), Ok(()), "{old}");
    }
}

#[test]
fn a_wrong_exec_form_is_caught() {
    for (old, new, word) in [
        ("CMD /server --port 8080", "CMD [\"/server\", \"--port 8080\"]", "starts"),
        ("CMD /server --port 8080", "CMD [\"/server\", \"8080\"]", "starts"),
        ("CMD /server --port 8080", "CMD [\"/server\", \"--port\", \"8081\"]", "starts"),
        ("CMD /server", "CMD /server", "shell form is left"),
        ("CMD /server", "CMD [\"sh\", \"-c\", \"/server\"]", "starts"),
        ("CMD /server \"a  b\"", "CMD [\"/server\", \"a b\"]", "starts"),
        ("CMD /server $PORT", "CMD [\"/server\", \"$PORT\"]", "needed a shell"),
        ("CMD /server *.toml", "CMD [\"/server\", \"*.toml\"]", "needed a shell"),
        ("CMD /server && /server", "CMD [\"/server\", \"&&\", \"/server\"]", "needed a shell"),
        ("CMD /server ~/x", "CMD [\"/server\", \"~/x\"]", "needed a shell"),
        ("CMD A=b /server", "CMD [\"A=b\", \"/server\"]", "needed a shell"),
        ("CMD cd /server", "CMD [\"cd\", \"/server\"]", "needed a shell"),
        ("CMD exec -a x /server", "CMD [\"-a\", \"x\", \"/server\"]", "needed a shell"),
        ("CMD /server 'a", "CMD [\"/server\", \"a\"]", "needed a shell"),
        ("ENTRYPOINT /server\nCMD [\"-v\"]", "ENTRYPOINT [\"/server\"]\nCMD [\"-v\"]", "beside another"),
        (
            "ENTRYPOINT [\"/server\"]\nCMD serve",
            "ENTRYPOINT [\"/server\"]\nCMD [\"serve\"]",
            "beside another",
        ),
        (
            "SHELL [\"/bin/ash\", \"-ec\"]\nCMD /server",
            "SHELL [\"/bin/ash\", \"-ec\"]\nCMD [\"/server\"]",
            "needed a shell",
        ),
    ] {
        let error = from_shell(old, new).expect_err(old);
        assert!(error.contains(word), "{old} -> {new}: {error}");
    }
    let all = [Effect::Base { stage: 0 }];
    let (old, new) =
        ("FROM alpine\nCMD /server\n", "FROM gcr.io/distroless/static-debian13:latest\nCMD [\"/server\"]\n");
    assert!(judge(old, new, &all).unwrap_err().contains("Cmd"), "it is not declared");
}

#[test]
fn what_a_stage_of_the_file_gave_must_be_there() {
    let build = "FROM golang:1.25 AS build\nRUN CGO_ENABLED=0 go build -o /server .\n";
    let parent = "FROM alpine:3.22 AS base\nWORKDIR /app\nENV A=b\nENV C=d\n";
    let rest = "COPY --from=build /server /server\nCMD [\"/server\"]\n";
    let old = format!("{build}{parent}FROM base\n{rest}");
    let new = "FROM gcr.io/distroless/static-debian13:nonroot\nENV A=b\nENV C=d\nWORKDIR /app\n";
    let new = format!("{build}{parent}{new}{rest}");
    let all = [Effect::Base { stage: 2 }, Effect::User { stage: 2 }, Effect::Workdir { stage: 2 }];
    assert_eq!(judge(&old, &new, &all), Ok(()));
    for (from, to, word) in [
        ("nonroot\nENV A=b\n", "nonroot\n", "Env"),
        ("nonroot\nENV A=b\nENV C=d\n", "nonroot\nENV C=d\nENV A=b\n", "Env"),
        ("nonroot\nENV A=b", "nonroot\nENV A=x", "Env"),
        ("C=d\nWORKDIR /app\nCOPY", "C=d\nCOPY", "working directory"),
        ("nonroot\nENV A=b\nENV C=d\nWORKDIR /app\n", "nonroot\nENV A=b\nENV C=d\nWORKDIR /\n", "folders"),
    ] {
        assert!(new.contains(from), "{from}");
        let error = judge(&old, &new.replacen(from, to, 1), &all).expect_err(to);
        assert!(error.contains(word), "{to}: {error}");
    }
    for made in ["RUN apk add ffmpeg", "COPY x /x", "USER app", "EXPOSE 80"] {
        let more = |t: &str| t.replace("base\nWORKDIR", &format!("base\n{made}\nWORKDIR"));
        let error = judge(&more(&old), &more(&new), &all).expect_err(made);
        assert!(error.contains("had this") || error.contains("config"), "{made}: {error}");
    }
}

#[test]
fn a_compiler_that_finds_no_c_links_statically() {
    let file = |build: &str, base: &str| {
        format!("{build}\nFROM {base}\nCOPY --from=build /server /server\nWORKDIR /\nCMD [\"/server\"]\n")
    };
    let all = [Effect::Base { stage: 1 }, Effect::User { stage: 1 }];
    let judge = |build: &str| {
        judge(&file(build, "alpine:3.22"), &file(build, "gcr.io/distroless/static-debian13:nonroot"), &all)
    };
    let go = "RUN go build -o /server .";
    assert_eq!(judge(&format!("FROM golang:1.24-alpine AS build\n{go}")), Ok(()));
    for build in [
        format!("FROM golang:1.19-alpine AS build\n{go}"),
        format!("FROM golang:1.24 AS build\n{go}"),
        format!("ARG V=1.24\nFROM golang:${{V}}-alpine AS build\n{go}"),
        format!("FROM golang:1.24-alpine AS build\nRUN apk add git gcc musl-dev\n{go}"),
        format!("FROM golang:1.24-alpine AS build\nENV CGO_ENABLED=1\n{go}"),
        format!("FROM golang:1.24-alpine AS build\n{}", go.replace("go build", "CC=/opt/cc go build")),
    ] {
        assert!(judge(&build).unwrap_err().contains("statically"), "{build}");
    }
}
