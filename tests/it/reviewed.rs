//! The validator against wrong rewrites that change the image on purpose: a new user, another base. As in `mutants`, the correct
//! form stands first; a mutant is that form with one text replaced.

use super::support::{Said, check};
use dfopt::{
    options::Options,
    pass::{Effect, Level},
};

/// Why it is wrong, what is replaced in the correct form, by what, and the rule that says so.
type Mutant = (&'static str, &'static str, &'static str, &'static str);

fn run(before: &str, after: &str, effects: &[Effect], mutants: &[Mutant]) {
    let said = Said { effects, level: Level::Review };
    let ask = |text: &str| {
        check((before.as_bytes(), None), (text.as_bytes(), None), &said, &Options::default())
            .map_err(|f| (f.rule, f.message))
    };
    assert_eq!(ask(after), Ok(()), "the correct form fails\n{after}");
    let mut wrong = Vec::new();
    for (why, from, to, rule) in mutants {
        assert!(after.contains(from), "{why}: {from} is not in the correct form");
        let mutant = after.replacen(from, to, 1);
        match ask(&mutant) {
            Err((r, _)) if r == *rule => {}
            Err((r, message)) => wrong.push(format!("{why}: {r} {message}, not {rule}\n{mutant}")),
            Ok(()) => wrong.push(format!("{why}: passes\n{mutant}")),
        }
    }
    assert!(wrong.is_empty(), "{} wrong\n\n{}", wrong.len(), wrong.join("\n"));
}

fn added(command: &str) -> Effect {
    Effect::CommandAdded { command: command.into() }
}

#[test]
fn mutants_of_a_new_user() {
    let before = "FROM python:3.13-slim\nWORKDIR /app\nRUN mkdir /app/data\nCOPY . .\nRUN pip install -r r.txt\nENV A=b\nEXPOSE 8080\nCMD [\"python\", \"app.py\"]\n";
    let after = "FROM python:3.13-slim\nWORKDIR /app\nRUN mkdir /app/data\nRUN groupadd --gid 10001 app && useradd --uid 10001 --gid app app\nCOPY . .\nRUN pip install -r r.txt\nENV A=b\nEXPOSE 8080\nRUN chown app:app /app/data\nUSER 10001\nCMD [\"python\", \"app.py\"]\n";
    let effects = [
        Effect::User { stage: 0 },
        added("groupadd --gid 10001 app"),
        added("useradd --uid 10001 --gid app app"),
        added("chown app:app /app/data"),
        Effect::Owner { path: "/app/data".into() },
    ];
    run(
        before,
        after,
        &effects,
        &[
            ("no user at all", "USER 10001\n", "", "V1"),
            ("root after all", "USER 10001", "USER 0", "V1"),
            ("root by its name", "USER 10001", "USER root", "V1"),
            ("root by its group's side", "USER 10001", "USER 0:10001", "V1"),
            ("a name that nobody has", "USER 10001", "USER nobody-here", "V1"),
            ("a group that nobody has", "USER 10001", "USER app:wheels", "V1"),
            ("two users, root the last", "USER 10001", "USER 10001\nUSER root", "V1"),
            ("it installs as the user", "RUN pip", "USER 10001\nRUN pip", "V2"),
            ("it copies nothing", "COPY . .\n", "", "V2"),
            ("the copies are private", "COPY . .", "COPY --chmod=700 . .", "V2"),
            ("the copies are the user's, undeclared", "COPY . .", "COPY --chown=10001 . .", "V2"),
            ("the folder is not made", "RUN mkdir /app/data\n", "", "V2"),
            ("the user is not made", " && useradd --uid 10001 --gid app app", "", "V4"),
            ("the folder is not given", "RUN chown app:app /app/data\n", "", "V2"),
            ("the folder is given to another", "chown app:app", "chown daemon", "V2"),
            ("all is given", "chown app:app /app/data", "chown -R app:app /", "V2"),
            (
                "the owner is set as the user",
                "RUN chown app:app /app/data\nUSER 10001",
                "USER 10001\nRUN chown app:app /app/data",
                "V3",
            ),
            ("one command more", "RUN pip", "RUN true\nRUN pip", "V2"),
            ("another command hides in it", "--gid app app\n", "--gid app app && curl x\n", "V2"),
            ("another variable", "ENV A=b", "ENV A=c", "V1"),
            ("another port", "EXPOSE 8080", "EXPOSE 8081", "V1"),
            ("another program", "app.py\"", "other.py\"", "V1"),
            ("a shell form", "CMD [\"python\", \"app.py\"]", "CMD python app.py", "V1"),
            ("another folder", "WORKDIR /app\n", "WORKDIR /app\nWORKDIR /\n", "V1"),
            ("another base", "python:3.13-slim", "python:3.12-slim", "V1"),
        ],
    );
}

#[test]
fn mutants_of_a_user_that_is_there() {
    let before = "FROM node:22 AS build\nRUN npm ci\nFROM node:22-slim\nCOPY --from=build /app /app\nENTRYPOINT [\"node\", \"/app/x.js\"]\n";
    let after = "FROM node:22 AS build\nRUN npm ci\nFROM node:22-slim\nCOPY --from=build /app /app\nUSER node\nENTRYPOINT [\"node\", \"/app/x.js\"]\n";
    run(
        before,
        after,
        &[Effect::User { stage: 1 }],
        &[
            ("in the other stage", "RUN npm ci\n", "USER node\nRUN npm ci\n", "V1"),
            (
                "in the other stage alone",
                "RUN npm ci\nFROM node:22-slim\nCOPY --from=build /app /app\nUSER node\n",
                "RUN npm ci\nUSER node\nFROM node:22-slim\nCOPY --from=build /app /app\n",
                "V1",
            ),
            ("a user is made that is not declared", "USER node", "RUN useradd x\nUSER node", "V2"),
            ("its stage has another name", "AS build", "AS built", "V1"),
            ("an ARG is new", "USER node", "ARG X\nUSER node", "V1"),
            ("a volume is new", "USER node", "VOLUME /v\nUSER node", "V1"),
        ],
    );
}

#[test]
fn mutants_of_a_program_on_another_base() {
    let before = "FROM rust:1.90-bookworm AS build\nWORKDIR /src\nCOPY . .\nRUN cargo build --release\nFROM debian:bookworm-slim\nENV MODE=prod\nRUN apt-get install -y libssl3\nRUN useradd app\nCOPY --from=build --chown=app /src/target/release/ship /ship\nWORKDIR /work\nUSER app\nENTRYPOINT [\"/ship\"]\nCMD [\"-v\"]\n";
    let after = "FROM rust:1.90-bookworm AS build\nWORKDIR /src\nCOPY . .\nRUN cargo build --release\nFROM gcr.io/distroless/cc-debian13:nonroot\nENV MODE=prod\nCOPY --from=build --chown=65532:65532 /src/target/release/ship /ship\nWORKDIR /work\nUSER 65532:65532\nENTRYPOINT [\"/ship\"]\nCMD [\"-v\"]\n";
    let mut effects = vec![Effect::Base { stage: 1 }, Effect::User { stage: 1 }];
    effects
        .extend(["apt-get install -y libssl3", "useradd app"].map(|c| Effect::Removed { command: c.into() }));
    run(
        before,
        after,
        &effects,
        &[
            ("an image without a C library", "cc-debian13", "static-debian13", "V4"),
            ("an image with an older one", "cc-debian13", "nodejs22-debian13", "V1"),
            ("an image that is not published", "cc-debian13", "cc-debian11", "V1"),
            ("an image with a shell", ":nonroot", ":debug", "V1"),
            ("an image of another place", "gcr.io/distroless/", "example.com/distroless/", "V1"),
            ("no tag", "cc-debian13:nonroot", "cc-debian13", "V1"),
            ("root instead of the user", "USER 65532:65532\n", "", "V1"),
            ("root by number", "USER 65532:65532", "USER 0", "V1"),
            ("a user that the image lacks", "USER 65532:65532", "USER app", "V1"),
            ("an owner that the image lacks", "--chown=65532:65532", "--chown=app", "V4"),
            ("no owner", "--chown=65532:65532 ", "", "V4"),
            ("root as the owner", "--chown=65532:65532", "--chown=0:0", "V4"),
            ("another mode", "--chown=65532:65532", "--chown=65532:65532 --chmod=700", "V2"),
            ("another place", "ship /ship", "ship /bin/ship", "V2"),
            ("another program", "release/ship", "debug/ship", "V2"),
            ("a command is left", "ENV MODE=prod\n", "ENV MODE=prod\nRUN useradd app\n", "V2"),
            ("another variable", "MODE=prod", "MODE=test", "V1"),
            ("another folder", "WORKDIR /work", "WORKDIR /", "V1"),
            ("the entrypoint in a shell", "ENTRYPOINT [\"/ship\"]", "ENTRYPOINT /ship", "V1"),
            ("no arguments", "CMD [\"-v\"]\n", "", "V1"),
            ("another build", "cargo build --release", "cargo build", "V2"),
            ("a health check is new", "USER 65532", "HEALTHCHECK CMD true\nUSER 65532", "V1"),
        ],
    );
}

#[test]
fn mutants_of_a_runtime_on_another_base() {
    let before =
        "FROM node:22-slim\nWORKDIR /app\nCOPY . .\nUSER node\nEXPOSE 3000\nCMD [\"node\", \"server.js\"]\n";
    let after = "FROM gcr.io/distroless/nodejs22-debian13:nonroot\nWORKDIR /app\nCOPY . .\nUSER 65532:65532\nEXPOSE 3000\nCMD [\"server.js\"]\n";
    let effects = [
        Effect::Base { stage: 0 },
        Effect::User { stage: 0 },
        Effect::Entrypoint { stage: 0 },
        Effect::Workdir { stage: 0 },
        Effect::Env { stage: 0, names: vec!["NODE_VERSION".into(), "YARN_VERSION".into()] },
    ];
    run(
        before,
        after,
        &effects,
        &[
            ("another version", "nodejs22", "nodejs24", "V1"),
            ("another language", "nodejs22", "java21", "V1"),
            ("no runtime", "nodejs22", "cc", "V1"),
            ("the runtime twice", "CMD [\"server.js\"]", "CMD [\"node\", \"server.js\"]", "V1"),
            ("another program", "CMD [\"server.js\"]", "CMD [\"other.js\"]", "V1"),
            ("in a shell", "CMD [\"server.js\"]", "CMD node server.js", "V1"),
            (
                "another entrypoint",
                "CMD [\"server.js\"]",
                "ENTRYPOINT [\"/bin/other\"]\nCMD [\"server.js\"]",
                "V1",
            ),
            ("another working directory", "WORKDIR /app\n", "", "V2"),
            ("root", "USER 65532:65532\n", "USER 0\n", "V1"),
            ("another port", "EXPOSE 3000", "EXPOSE 80", "V1"),
        ],
    );
}
