//! The validator against wrong rewrites: mutants of a correct one, each with the rule that must stop it. The correct form stands
//! first and passes; so a mutant fails for what is wrong in it, not for what the rewrite is.

use super::support::{Files, Said, check, context};
use dfopt::{
    options::Options,
    pass::{Effect, Level},
};

/// A correct rewrite, and what could go wrong in it.
struct Case {
    before: &'static str,
    after: &'static str,
    context: &'static [(&'static str, &'static str)],
    effects: Vec<Effect>,
    /// Why it is wrong, the text, and the rule that says so.
    mutants: &'static [(&'static str, &'static str, &'static str)],
}

impl Case {
    fn merge(
        before: &'static str,
        after: &'static str,
        mutants: &'static [(&'static str, &'static str, &'static str)],
    ) -> Case {
        Case { before, after, context: &[], effects: Vec::new(), mutants }
    }

    /// What differs from what is expected.
    fn run(&self, wrong: &mut Vec<String>) {
        let files: Files =
            self.context.iter().map(|(p, t)| ((*p).to_owned(), (t.as_bytes().to_vec(), 0o644))).collect();
        let context = (!files.is_empty()).then(|| context(files));
        let said = Said { effects: &self.effects, level: Level::Safe };
        let ask = |after: &str| {
            let options = Options::default();
            check(
                (self.before.as_bytes(), context.as_ref()),
                (after.as_bytes(), context.as_ref()),
                &said,
                &options,
            )
        };
        if let Err(fault) = ask(self.after) {
            wrong.push(format!("the correct form fails: {fault}\n{}", self.after));
        }
        for (why, mutant, rule) in self.mutants {
            match ask(mutant) {
                Err(fault) if fault.rule == *rule => {}
                Err(fault) => wrong.push(format!("{why}: {fault}, not {rule}\n{mutant}")),
                Ok(()) => wrong.push(format!("{why}: passes\n{mutant}")),
            }
        }
    }
}

fn run(cases: &[Case]) {
    let mut wrong = Vec::new();
    cases.iter().for_each(|c| c.run(&mut wrong));
    assert!(wrong.is_empty(), "{} wrong\n\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn mutants_of_a_merge() {
    run(&[
        Case::merge(
            "FROM python:3.12\nRUN pip install --upgrade pip\nRUN pip install -r r.txt\n",
            "FROM python:3.12\nRUN pip install --upgrade pip\nRUN pip install -r r.txt\n",
            &[(
                "the shell remembers the old program",
                "FROM python:3.12\nRUN pip install --upgrade pip && pip install -r r.txt\n",
                "V3",
            )],
        ),
        Case::merge(
            "FROM debian:12\nRUN tool\nRUN cp x /usr/local/bin/\nRUN tool\n",
            "FROM debian:12\nRUN tool\nRUN cp x /usr/local/bin/ && tool\n",
            &[(
                "the program is laid over",
                "FROM debian:12\nRUN tool && cp x /usr/local/bin/ && tool\n",
                "V3",
            )],
        ),
        Case::merge(
            "FROM debian:12\nRUN echo x > /dev/shm/a\nRUN test ! -e /dev/shm/a\n",
            "FROM debian:12\nRUN echo x > /dev/shm/a\nRUN test ! -e /dev/shm/a\n",
            &[(
                "what is mounted afresh",
                "FROM debian:12\nRUN echo x > /dev/shm/a && test ! -e /dev/shm/a\n",
                "V3",
            )],
        ),
        Case::merge(
            "FROM debian:12\nRUN false; true\nRUN test $? = 0\n",
            "FROM debian:12\nRUN false; true\nRUN test $? = 0\n",
            &[("$? of another command", "FROM debian:12\nRUN { false; true; } && test $? = 0\n", "V3")],
        ),
        Case::merge(
            "FROM debian:12\nRUN service mysql start\nRUN mysql -e x\n",
            "FROM debian:12\nRUN service mysql start\nRUN mysql -e x\n",
            &[("a daemon lives on", "FROM debian:12\nRUN service mysql start && mysql -e x\n", "V3")],
        ),
        Case::merge(
            "FROM debian:12\nRUN apt-get update\nRUN apt-get install -y curl\nRUN rm -rf /var/lib/apt/lists/*\n",
            "FROM debian:12\nRUN apt-get update && apt-get install -y curl && \\\n    rm -rf /var/lib/apt/lists/*\n",
            &[
                (
                    "joined by ;",
                    "FROM debian:12\nRUN apt-get update ; apt-get install -y curl && rm -rf /var/lib/apt/lists/*\n",
                    "V2",
                ),
                (
                    "joined by ||",
                    "FROM debian:12\nRUN apt-get update || apt-get install -y curl && rm -rf /var/lib/apt/lists/*\n",
                    "V2",
                ),
                (
                    "joined by |",
                    "FROM debian:12\nRUN apt-get update | apt-get install -y curl && rm -rf /var/lib/apt/lists/*\n",
                    "V2",
                ),
                (
                    "joined by &",
                    "FROM debian:12\nRUN apt-get update & apt-get install -y curl && rm -rf /var/lib/apt/lists/*\n",
                    "V2",
                ),
                (
                    "the last goes on in the background",
                    "FROM debian:12\nRUN apt-get update && apt-get install -y curl && rm -rf /var/lib/apt/lists/* &\n",
                    "V2",
                ),
                (
                    "a comment swallows the rest",
                    "FROM debian:12\nRUN apt-get update && apt-get install -y curl # && rm -rf /var/lib/apt/lists/*\n",
                    "V2",
                ),
                (
                    "another order",
                    "FROM debian:12\nRUN apt-get install -y curl && apt-get update && rm -rf /var/lib/apt/lists/*\n",
                    "V2",
                ),
                ("one is lost", "FROM debian:12\nRUN apt-get update && apt-get install -y curl\n", "V2"),
                (
                    "one stands twice",
                    "FROM debian:12\nRUN apt-get update && apt-get update && apt-get install -y curl && rm -rf /var/lib/apt/lists/*\n",
                    "V2",
                ),
                (
                    "a word is lost",
                    "FROM debian:12\nRUN apt-get update && apt-get install curl && rm -rf /var/lib/apt/lists/*\n",
                    "V2",
                ),
                (
                    "a continuation glues two words",
                    "FROM debian:12\nRUN apt-get update && apt-get install -y\\\ncurl && rm -rf /var/lib/apt/lists/*\n",
                    "V2",
                ),
                (
                    "under a negation",
                    "FROM debian:12\nRUN ! apt-get update && apt-get install -y curl && rm -rf /var/lib/apt/lists/*\n",
                    "V2",
                ),
                (
                    "another base",
                    "FROM debian:13\nRUN apt-get update && apt-get install -y curl && rm -rf /var/lib/apt/lists/*\n",
                    "V1",
                ),
                (
                    "a name for the stage",
                    "FROM debian:12 AS x\nRUN apt-get update && apt-get install -y curl && rm -rf /var/lib/apt/lists/*\n",
                    "V1",
                ),
                (
                    "another platform",
                    "FROM --platform=linux/arm64 debian:12\nRUN apt-get update && apt-get install -y curl && rm -rf /var/lib/apt/lists/*\n",
                    "V1",
                ),
                (
                    "exec form",
                    "FROM debian:12\nRUN [\"apt-get\", \"update\"]\nRUN apt-get install -y curl && rm -rf /var/lib/apt/lists/*\n",
                    "V2",
                ),
            ],
        ),
        Case::merge(
            "FROM debian:12\nRUN test -f x\nRUN rm y || true\n",
            "FROM debian:12\nRUN test -f x && { rm y || true; }\n",
            &[
                ("no braces for ||", "FROM debian:12\nRUN test -f x && rm y || true\n", "V2"),
                (
                    "braces around the wrong part",
                    "FROM debian:12\nRUN { test -f x && rm y; } || true\n",
                    "V2",
                ),
                ("braces that end before ||", "FROM debian:12\nRUN test -f x && { rm y; } || true\n", "V2"),
                (
                    "braces with a redirection",
                    "FROM debian:12\nRUN test -f x && { rm y || true; } > /dev/null\n",
                    "V2",
                ),
            ],
        ),
        Case::merge(
            "FROM debian:12\nRUN false-able\nRUN a; b\n",
            "FROM debian:12\nRUN false-able && { a; b; }\n",
            &[
                ("no braces for ;", "FROM debian:12\nRUN false-able && a; b\n", "V2"),
                ("both in sequence", "FROM debian:12\nRUN false-able; a; b\n", "V2"),
                ("the second fails the first", "FROM debian:12\nRUN false-able && a && b\n", "V2"),
            ],
        ),
        Case::merge(
            "FROM debian:12\nRUN cd /src\nRUN make\n",
            "FROM debian:12\nRUN ( cd /src ) && make\n",
            &[
                ("a leaked cd", "FROM debian:12\nRUN cd /src && make\n", "V2"),
                ("a leaked cd in braces", "FROM debian:12\nRUN { cd /src; } && make\n", "V2"),
                ("a cd over both", "FROM debian:12\nRUN ( cd /src && make )\n", "V2"),
            ],
        ),
        Case::merge(
            "FROM debian:12\nRUN umask 077 && touch /a\nRUN touch /b\n",
            "FROM debian:12\nRUN ( umask 077 && touch /a ) && touch /b\n",
            &[("a leaked umask", "FROM debian:12\nRUN umask 077 && touch /a && touch /b\n", "V2")],
        ),
        Case::merge(
            "FROM debian:12\nRUN export A=1\nRUN make\n",
            "FROM debian:12\nRUN ( export A=1 ) && make\n",
            &[("a leaked variable", "FROM debian:12\nRUN export A=1 && make\n", "V2")],
        ),
        Case::merge(
            "FROM debian:12\nRUN A=1; make\nRUN echo $A\n",
            "FROM debian:12\nRUN ( A=1; make ) && echo $A\n",
            &[("a leaked shell variable", "FROM debian:12\nRUN A=1; make && echo $A\n", "V2")],
        ),
        // what has no correct form: each pair must stay apart
        Case::merge(
            "FROM debian:12\nRUN set -e; for f in a b; do t $f; done\nRUN x\n",
            "FROM debian:12\nRUN set -e; for f in a b; do t $f; done\nRUN x\n",
            &[
                (
                    "set -e on the left of &&",
                    "FROM debian:12\nRUN set -e; for f in a b; do t $f; done && x\n",
                    "V2",
                ),
                (
                    "set -e in a subshell on the left",
                    "FROM debian:12\nRUN ( set -e; for f in a b; do t $f; done ) && x\n",
                    "V2",
                ),
                (
                    "set -e in braces on the left",
                    "FROM debian:12\nRUN { set -e; for f in a b; do t $f; done; } && x\n",
                    "V2",
                ),
            ],
        ),
        Case::merge(
            "FROM debian:12\nRUN exit 0\nRUN next\n",
            "FROM debian:12\nRUN ( exit 0 ) && next\n",
            &[
                ("exit ends both", "FROM debian:12\nRUN exit 0 && next\n", "V2"),
                ("exec ends both", "FROM debian:12\nRUN exec true && next\n", "V2"),
            ],
        ),
        Case::merge(
            "FROM debian:12\nRUN trap 'echo bye' EXIT\nRUN next\n",
            "FROM debian:12\nRUN ( trap 'echo bye' EXIT ) && next\n",
            &[("a trap of both", "FROM debian:12\nRUN trap 'echo bye' EXIT && next\n", "V2")],
        ),
        Case::merge(
            "FROM debian:12\nRUN mysqld_safe &\nRUN mysql -e x\n",
            "FROM debian:12\nRUN mysqld_safe &\nRUN mysql -e x\n",
            &[
                ("a background process lives on", "FROM debian:12\nRUN mysqld_safe & mysql -e x\n", "V2"),
                (
                    "a background process in a subshell",
                    "FROM debian:12\nRUN ( mysqld_safe & ) && mysql -e x\n",
                    "V2",
                ),
                (
                    "a background process in braces",
                    "FROM debian:12\nRUN { mysqld_safe & } && mysql -e x\n",
                    "V2",
                ),
            ],
        ),
        Case::merge(
            "FROM debian:12\nRUN echo a # note\nRUN echo b\n",
            "FROM debian:12\nRUN echo a # note\nRUN echo b\n",
            &[("a comment hides the second", "FROM debian:12\nRUN echo a # note && echo b\n", "V2")],
        ),
        Case::merge(
            "FROM debian:12\nRUN [\"a\", \"b\"]\nRUN c\n",
            "FROM debian:12\nRUN [\"a\", \"b\"]\nRUN c\n",
            &[("exec form read by a shell", "FROM debian:12\nRUN a b && c\n", "V2")],
        ),
        Case::merge(
            "FROM debian:12\nRUN <<EOF\na\nb\nEOF\nRUN c\n",
            "FROM debian:12\nRUN <<EOF\na\nb\nEOF\nRUN c\n",
            &[
                ("a heredoc joined by &&", "FROM debian:12\nRUN a && b && c\n", "V2"),
                ("a heredoc with more", "FROM debian:12\nRUN <<EOF\na\nb\nc\nEOF\n", "V2"),
                ("another heredoc", "FROM debian:12\nRUN <<EOF\na\nx\nEOF\nRUN c\n", "V2"),
                ("a quoted heredoc", "FROM debian:12\nRUN <<'EOF'\na\nb\nEOF\nRUN c\n", "V2"),
            ],
        ),
    ]);
}

#[test]
fn mutants_of_what_stands_around() {
    run(&[
        Case::merge(
            "FROM debian:12\nRUN --mount=type=cache,target=/c --mount=type=secret,id=s a\nRUN --mount=type=secret,id=s --mount=type=cache,target=/c b\n",
            "FROM debian:12\nRUN --mount=type=cache,target=/c --mount=type=secret,id=s a && b\n",
            &[
                ("lost mounts", "FROM debian:12\nRUN a && b\n", "V2"),
                ("a lost mount", "FROM debian:12\nRUN --mount=type=cache,target=/c a && b\n", "V2"),
                (
                    "another target",
                    "FROM debian:12\nRUN --mount=type=cache,target=/d --mount=type=secret,id=s a && b\n",
                    "V2",
                ),
                (
                    "a mount that is shared otherwise",
                    "FROM debian:12\nRUN --mount=type=cache,target=/c,sharing=locked --mount=type=secret,id=s a && b\n",
                    "V2",
                ),
            ],
        ),
        Case::merge(
            "FROM debian:12\nRUN --mount=type=secret,id=npmrc,target=/root/.npmrc npm ci\nRUN npm run build\n",
            "FROM debian:12\nRUN --mount=type=secret,id=npmrc,target=/root/.npmrc npm ci\nRUN npm run build\n",
            &[(
                "the secret is shown to the build",
                "FROM debian:12\nRUN --mount=type=secret,id=npmrc,target=/root/.npmrc npm ci && npm run build\n",
                "V2",
            )],
        ),
        Case::merge(
            "FROM debian:12\nRUN --network=none make test\nRUN curl https://x\n",
            "FROM debian:12\nRUN --network=none make test\nRUN curl https://x\n",
            &[
                ("tests with a network", "FROM debian:12\nRUN make test && curl https://x\n", "V2"),
                (
                    "a download without one",
                    "FROM debian:12\nRUN --network=none make test && curl https://x\n",
                    "V2",
                ),
            ],
        ),
        Case::merge(
            "FROM debian:12\nRUN ./configure\nENV CFLAGS=-O3\nRUN make\n",
            "FROM debian:12\nRUN ./configure\nENV CFLAGS=-O3\nRUN make\n",
            &[
                ("up over ENV", "FROM debian:12\nRUN ./configure && make\nENV CFLAGS=-O3\n", "V2"),
                ("down over ENV", "FROM debian:12\nENV CFLAGS=-O3\nRUN ./configure && make\n", "V2"),
                ("ENV crossed alone", "FROM debian:12\nENV CFLAGS=-O3\nRUN ./configure\nRUN make\n", "V2"),
                ("ENV lost", "FROM debian:12\nRUN ./configure\nRUN make\n", "V1"),
                ("another value", "FROM debian:12\nRUN ./configure\nENV CFLAGS=-O2\nRUN make\n", "V1"),
            ],
        ),
        Case::merge(
            "FROM debian:12\nARG V=1\nRUN a\nARG W\nRUN b\n",
            "FROM debian:12\nARG V=1\nRUN a\nARG W\nRUN b\n",
            &[
                ("up over ARG", "FROM debian:12\nARG V=1\nRUN a && b\nARG W\n", "V2"),
                ("a lost ARG", "FROM debian:12\nARG V=1\nRUN a\nRUN b\n", "V1"),
                ("another default", "FROM debian:12\nARG V=2\nRUN a\nARG W\nRUN b\n", "V1"),
            ],
        ),
        Case::merge(
            "FROM debian:12\nRUN a\nARG W=1\n",
            "FROM debian:12\nRUN a\nARG W=1\n",
            &[("an ARG that nothing uses is still the interface", "FROM debian:12\nRUN a\n", "V1")],
        ),
        Case::merge(
            "FROM debian:12\nRUN a\nUSER app\nRUN b\n",
            "FROM debian:12\nRUN a\nUSER app\nRUN b\n",
            &[
                ("up over USER", "FROM debian:12\nRUN a && b\nUSER app\n", "V2"),
                ("no USER", "FROM debian:12\nRUN a && b\n", "V1"),
                ("USER too early", "FROM debian:12\nUSER app\nRUN a && b\n", "V2"),
            ],
        ),
        Case::merge(
            "FROM debian:12\nRUN a\nWORKDIR /w\nRUN b\n",
            "FROM debian:12\nRUN a\nWORKDIR /w\nRUN b\n",
            &[
                ("up over WORKDIR", "FROM debian:12\nRUN a && b\nWORKDIR /w\n", "V2"),
                ("down over WORKDIR", "FROM debian:12\nWORKDIR /w\nRUN a && b\n", "V2"),
            ],
        ),
        Case::merge(
            "FROM debian:12\nWORKDIR /w\nUSER app\nCMD [\"a\"]\n",
            "FROM debian:12\nWORKDIR /w\nUSER app\nCMD [\"a\"]\n",
            &[("the folder of another user", "FROM debian:12\nUSER app\nWORKDIR /w\nCMD [\"a\"]\n", "V2")],
        ),
        Case::merge(
            "FROM debian:12\nRUN a\nSHELL [\"/bin/bash\", \"-eo\", \"pipefail\", \"-c\"]\nRUN b | c\n",
            "FROM debian:12\nRUN a\nSHELL [\"/bin/bash\", \"-eo\", \"pipefail\", \"-c\"]\nRUN b | c\n",
            &[
                (
                    "up over SHELL",
                    "FROM debian:12\nRUN a && b | c\nSHELL [\"/bin/bash\", \"-eo\", \"pipefail\", \"-c\"]\n",
                    "V2",
                ),
                ("no SHELL", "FROM debian:12\nRUN a\nRUN b | c\n", "V1"),
                (
                    "other flags",
                    "FROM debian:12\nRUN a\nSHELL [\"/bin/bash\", \"-o\", \"pipefail\", \"-c\"]\nRUN b | c\n",
                    "V1",
                ),
            ],
        ),
        Case::merge(
            "FROM debian:12\nSHELL [\"/bin/sh\", \"-ec\"]\nRUN a; b\nRUN c\n",
            "FROM debian:12\nSHELL [\"/bin/sh\", \"-ec\"]\nRUN a; b\nRUN c\n",
            &[
                (
                    "-e is lost on the left of &&",
                    "FROM debian:12\nSHELL [\"/bin/sh\", \"-ec\"]\nRUN { a; b; } && c\n",
                    "V2",
                ),
                (
                    "-e is lost in a subshell too",
                    "FROM debian:12\nSHELL [\"/bin/sh\", \"-ec\"]\nRUN ( a; b ) && c\n",
                    "V2",
                ),
            ],
        ),
        Case::merge(
            "FROM debian:12 AS a\nRUN x\nFROM debian:12 AS b\nCOPY --from=a /x /y\nCOPY --from=0 /x /z\n",
            "FROM debian:12 AS a\nRUN x\nFROM debian:12 AS b\nCOPY --from=0 /x /y\nCOPY --from=a /x /z\n",
            &[
                (
                    "a stage renamed",
                    "FROM debian:12 AS c\nRUN x\nFROM debian:12 AS b\nCOPY --from=c /x /y\nCOPY --from=0 /x /z\n",
                    "V1",
                ),
                (
                    "stages exchanged",
                    "FROM debian:12 AS b\nFROM debian:12 AS a\nRUN x\nCOPY --from=a /x /y\nCOPY --from=0 /x /z\n",
                    "V1",
                ),
                (
                    "a stage more",
                    "FROM debian:12 AS a\nRUN x\nFROM debian:12 AS m\nFROM debian:12 AS b\nCOPY --from=a /x /y\nCOPY --from=0 /x /z\n",
                    "V1",
                ),
                ("a stage less", "FROM debian:12 AS a\nRUN x\n", "V1"),
                (
                    "from an image of that name",
                    "FROM debian:12 AS a\nRUN x\nFROM debian:12 AS b\nCOPY --from=d /x /y\nCOPY --from=0 /x /z\n",
                    "V2",
                ),
                (
                    "a COPY from the context",
                    "FROM debian:12 AS a\nRUN x\nFROM debian:12 AS b\nCOPY /x /y\nCOPY --from=0 /x /z\n",
                    "V2",
                ),
                (
                    "a RUN of another stage",
                    "FROM debian:12 AS a\nFROM debian:12 AS b\nRUN x\nCOPY --from=a /x /y\nCOPY --from=0 /x /z\n",
                    "V2",
                ),
                (
                    "from another stage",
                    "FROM debian:12 AS a\nRUN x\nFROM a AS b\nCOPY --from=a /x /y\nCOPY --from=0 /x /z\n",
                    "V1",
                ),
            ],
        ),
        Case::merge(
            "FROM debian:12\nRUN a\nCMD [\"x\"]\nEXPOSE 80\nVOLUME /v\nLABEL a=b\nHEALTHCHECK CMD x\nSTOPSIGNAL INT\nENTRYPOINT [\"e\"]\nONBUILD RUN y\nRUN b\n",
            "FROM debian:12\nRUN a && b\nCMD [\"x\"]\nEXPOSE 80\nVOLUME /v\nLABEL a=b\nHEALTHCHECK CMD x\nSTOPSIGNAL INT\nENTRYPOINT [\"e\"]\nONBUILD RUN y\n",
            &[
                (
                    "no CMD",
                    "FROM debian:12\nRUN a && b\nEXPOSE 80\nVOLUME /v\nLABEL a=b\nHEALTHCHECK CMD x\nSTOPSIGNAL INT\nENTRYPOINT [\"e\"]\nONBUILD RUN y\n",
                    "V1",
                ),
                (
                    "a CMD in shell form",
                    "FROM debian:12\nRUN a && b\nCMD x\nEXPOSE 80\nVOLUME /v\nLABEL a=b\nHEALTHCHECK CMD x\nSTOPSIGNAL INT\nENTRYPOINT [\"e\"]\nONBUILD RUN y\n",
                    "V1",
                ),
                (
                    "another port",
                    "FROM debian:12\nRUN a && b\nCMD [\"x\"]\nEXPOSE 81\nVOLUME /v\nLABEL a=b\nHEALTHCHECK CMD x\nSTOPSIGNAL INT\nENTRYPOINT [\"e\"]\nONBUILD RUN y\n",
                    "V1",
                ),
                (
                    "no volume",
                    "FROM debian:12\nRUN a && b\nCMD [\"x\"]\nEXPOSE 80\nLABEL a=b\nHEALTHCHECK CMD x\nSTOPSIGNAL INT\nENTRYPOINT [\"e\"]\nONBUILD RUN y\n",
                    "V1",
                ),
                (
                    "another label",
                    "FROM debian:12\nRUN a && b\nCMD [\"x\"]\nEXPOSE 80\nVOLUME /v\nLABEL a=c\nHEALTHCHECK CMD x\nSTOPSIGNAL INT\nENTRYPOINT [\"e\"]\nONBUILD RUN y\n",
                    "V1",
                ),
                (
                    "another health check",
                    "FROM debian:12\nRUN a && b\nCMD [\"x\"]\nEXPOSE 80\nVOLUME /v\nLABEL a=b\nHEALTHCHECK --interval=1s CMD x\nSTOPSIGNAL INT\nENTRYPOINT [\"e\"]\nONBUILD RUN y\n",
                    "V1",
                ),
                (
                    "no stop signal",
                    "FROM debian:12\nRUN a && b\nCMD [\"x\"]\nEXPOSE 80\nVOLUME /v\nLABEL a=b\nHEALTHCHECK CMD x\nENTRYPOINT [\"e\"]\nONBUILD RUN y\n",
                    "V1",
                ),
                (
                    "another entrypoint",
                    "FROM debian:12\nRUN a && b\nCMD [\"x\"]\nEXPOSE 80\nVOLUME /v\nLABEL a=b\nHEALTHCHECK CMD x\nSTOPSIGNAL INT\nENTRYPOINT [\"f\"]\nONBUILD RUN y\n",
                    "V1",
                ),
                (
                    "another trigger",
                    "FROM debian:12\nRUN a && b\nCMD [\"x\"]\nEXPOSE 80\nVOLUME /v\nLABEL a=b\nHEALTHCHECK CMD x\nSTOPSIGNAL INT\nENTRYPOINT [\"e\"]\nONBUILD RUN z\n",
                    "V1",
                ),
                (
                    "a trigger runs at once",
                    "FROM debian:12\nRUN a && b\nCMD [\"x\"]\nEXPOSE 80\nVOLUME /v\nLABEL a=b\nHEALTHCHECK CMD x\nSTOPSIGNAL INT\nENTRYPOINT [\"e\"]\nRUN y\n",
                    "V1",
                ),
            ],
        ),
        // ENTRYPOINT resets the base's CMD only where no CMD of the stage comes before it
        Case::merge(
            "FROM node:22\nCMD [\"a\"]\nENTRYPOINT [\"e\"]\nRUN x\n",
            "FROM node:22\nRUN x\nENTRYPOINT [\"e\"]\nCMD [\"a\"]\n",
            &[("the base's CMD comes through", "FROM node:22\nENTRYPOINT [\"e\"]\nRUN x\n", "V1")],
        ),
        Case::merge(
            "# escape=\\\nFROM debian:12\nRUN a \\\n  && b\n",
            "# escape=\\\nFROM debian:12\nRUN a && b\n",
            &[
                ("another escape token", "# escape=`\nFROM debian:12\nRUN a \\\n  && b\n", "V1"),
                ("another frontend", "# syntax=evil/frontend\nFROM debian:12\nRUN a && b\n", "V1"),
                ("checks switched off", "# check=skip=all\nFROM debian:12\nRUN a && b\n", "V1"),
            ],
        ),
        Case::merge(
            "ARG T=12\nFROM debian:$T\nRUN a\nRUN b\n",
            "ARG T=12\nFROM debian:$T\nRUN a && b\n",
            &[
                ("another default", "ARG T=13\nFROM debian:$T\nRUN a && b\n", "V1"),
                ("a resolved variable", "ARG T=12\nFROM debian:12\nRUN a && b\n", "V1"),
                ("no ARG", "FROM debian:$T\nRUN a && b\n", "V1"),
            ],
        ),
    ]);
}

const PACKAGE: (&str, &str) = ("package.json", r#"{"name": "app", "dependencies": {"express": "4.19.2"}}"#);
const LOCK: (&str, &str) = (
    "package-lock.json",
    r#"{"name": "app", "lockfileVersion": 3, "packages": {"": {"dependencies": {"express": "4.19.2"}}}}"#,
);
const IGNORE: (&str, &str) = (".dockerignore", "**/node_modules\n");
const SERVER: (&str, &str) = ("server.js", "require('express')");

fn split(
    context: &'static [(&'static str, &'static str)],
    before: &'static str,
    after: &'static str,
    mutants: &'static [(&'static str, &'static str, &'static str)],
) -> Case {
    let effects = vec![Effect::CommandMoved { command: "npm ci".into() }];
    Case { before, after, context, effects, mutants }
}

#[test]
fn mutants_of_a_split() {
    run(&[
        split(
            &[PACKAGE, LOCK, IGNORE, SERVER],
            "FROM node:22\nWORKDIR /app\nCOPY . .\nRUN npm ci\nCMD [\"node\", \"server.js\"]\n",
            "FROM node:22\nWORKDIR /app\nCOPY package.json package-lock.json ./\nRUN npm ci\nCOPY . .\nCMD [\"node\", \"server.js\"]\n",
            &[
                (
                    "no lock file",
                    "FROM node:22\nWORKDIR /app\nCOPY package.json ./\nRUN npm ci\nCOPY . .\nCMD [\"node\", \"server.js\"]\n",
                    "V3",
                ),
                (
                    "no manifest",
                    "FROM node:22\nWORKDIR /app\nCOPY package-lock.json ./\nRUN npm ci\nCOPY . .\nCMD [\"node\", \"server.js\"]\n",
                    "V3",
                ),
                (
                    "no manifests at all",
                    "FROM node:22\nWORKDIR /app\nRUN npm ci\nCOPY . .\nCMD [\"node\", \"server.js\"]\n",
                    "V3",
                ),
                (
                    "manifests elsewhere",
                    "FROM node:22\nWORKDIR /app\nCOPY package.json package-lock.json ./sub/\nRUN npm ci\nCOPY . .\nCMD [\"node\", \"server.js\"]\n",
                    "V4",
                ),
                (
                    "manifests at the root",
                    "FROM node:22\nWORKDIR /app\nCOPY package.json package-lock.json /\nRUN npm ci\nCOPY . .\nCMD [\"node\", \"server.js\"]\n",
                    "V4",
                ),
                (
                    "manifests before WORKDIR",
                    "FROM node:22\nCOPY package.json package-lock.json ./\nWORKDIR /app\nRUN npm ci\nCOPY . .\nCMD [\"node\", \"server.js\"]\n",
                    "V4",
                ),
                (
                    "manifests after the install",
                    "FROM node:22\nWORKDIR /app\nRUN npm ci\nCOPY package.json package-lock.json ./\nCOPY . .\nCMD [\"node\", \"server.js\"]\n",
                    "V3",
                ),
                (
                    "manifests after the sources",
                    "FROM node:22\nWORKDIR /app\nRUN npm ci\nCOPY . .\nCOPY package.json package-lock.json ./\nCMD [\"node\", \"server.js\"]\n",
                    "V4",
                ),
                (
                    "a file for a folder",
                    "FROM node:22\nWORKDIR /app\nCOPY package.json /app/json\nCOPY package-lock.json ./\nRUN npm ci\nCOPY . .\nCMD [\"node\", \"server.js\"]\n",
                    "V4",
                ),
                (
                    "one manifest under the other's name",
                    "FROM node:22\nWORKDIR /app\nCOPY package-lock.json ./package.json\nCOPY package.json package-lock.json ./\nRUN npm ci\nCOPY . .\nCMD [\"node\", \"server.js\"]\n",
                    "V4",
                ),
                (
                    "a file that is not there",
                    "FROM node:22\nWORKDIR /app\nCOPY package.json package-lock.json .npmrc ./\nRUN npm ci\nCOPY . .\nCMD [\"node\", \"server.js\"]\n",
                    "V4",
                ),
                (
                    "a pattern",
                    "FROM node:22\nWORKDIR /app\nCOPY package*.json ./\nRUN npm ci\nCOPY . .\nCMD [\"node\", \"server.js\"]\n",
                    "V4",
                ),
                (
                    "another owner",
                    "FROM node:22\nWORKDIR /app\nCOPY --chown=node:node package.json package-lock.json ./\nRUN npm ci\nCOPY . .\nCMD [\"node\", \"server.js\"]\n",
                    "V4",
                ),
                (
                    "another mode",
                    "FROM node:22\nWORKDIR /app\nCOPY --chmod=600 package.json package-lock.json ./\nRUN npm ci\nCOPY . .\nCMD [\"node\", \"server.js\"]\n",
                    "V4",
                ),
                (
                    "other flags",
                    "FROM node:22\nWORKDIR /app\nCOPY --link package.json package-lock.json ./\nRUN npm ci\nCOPY . .\nCMD [\"node\", \"server.js\"]\n",
                    "V4",
                ),
                (
                    "from an image",
                    "FROM node:22\nWORKDIR /app\nCOPY --from=node:22 package.json package-lock.json ./\nRUN npm ci\nCOPY . .\nCMD [\"node\", \"server.js\"]\n",
                    "V4",
                ),
                (
                    "ADD instead of COPY",
                    "FROM node:22\nWORKDIR /app\nCOPY package.json package-lock.json ./\nRUN npm ci\nADD . .\nCMD [\"node\", \"server.js\"]\n",
                    "V2",
                ),
                (
                    "the sources lost",
                    "FROM node:22\nWORKDIR /app\nCOPY package.json package-lock.json ./\nRUN npm ci\nCMD [\"node\", \"server.js\"]\n",
                    "V2",
                ),
                (
                    "the sources elsewhere",
                    "FROM node:22\nWORKDIR /app\nCOPY package.json package-lock.json ./\nRUN npm ci\nCOPY . /\nCMD [\"node\", \"server.js\"]\n",
                    "V2",
                ),
                (
                    "the install lost",
                    "FROM node:22\nWORKDIR /app\nCOPY package.json package-lock.json ./\nCOPY . .\nCMD [\"node\", \"server.js\"]\n",
                    "V2",
                ),
                (
                    "another install",
                    "FROM node:22\nWORKDIR /app\nCOPY package.json package-lock.json ./\nRUN npm ci --omit=dev\nCOPY . .\nCMD [\"node\", \"server.js\"]\n",
                    "V2",
                ),
                (
                    "an install more",
                    "FROM node:22\nWORKDIR /app\nCOPY package.json package-lock.json ./\nRUN npm ci\nCOPY . .\nRUN npm ci\nCMD [\"node\", \"server.js\"]\n",
                    "V2",
                ),
                (
                    "the install under another WORKDIR",
                    "FROM node:22\nCOPY package.json package-lock.json /app/\nRUN npm ci\nWORKDIR /app\nCOPY . .\nCMD [\"node\", \"server.js\"]\n",
                    "V2",
                ),
            ],
        ),
        // several COPYs put the folder together
        split(
            &[PACKAGE, LOCK, SERVER, ("lib/a.js", "1")],
            "FROM node:22\nWORKDIR /app\nCOPY lib lib\nCOPY package.json package-lock.json server.js ./\nRUN npm ci\n",
            "FROM node:22\nWORKDIR /app\nCOPY package.json package-lock.json ./\nRUN npm ci\nCOPY lib lib\nCOPY server.js ./\n",
            &[
                (
                    "a manifest among the sources",
                    "FROM node:22\nWORKDIR /app\nCOPY package.json ./\nRUN npm ci\nCOPY lib lib\nCOPY package-lock.json server.js ./\n",
                    "V3",
                ),
                (
                    "a source lost",
                    "FROM node:22\nWORKDIR /app\nCOPY package.json package-lock.json ./\nRUN npm ci\nCOPY lib lib\n",
                    "V2",
                ),
                (
                    "a folder flattened",
                    "FROM node:22\nWORKDIR /app\nCOPY package.json package-lock.json ./\nRUN npm ci\nCOPY lib server.js ./\n",
                    "V2",
                ),
                (
                    "a source under another owner",
                    "FROM node:22\nWORKDIR /app\nCOPY package.json package-lock.json ./\nRUN npm ci\nCOPY lib lib\nCOPY --chown=node server.js ./\n",
                    "V2",
                ),
                (
                    "a source twice",
                    "FROM node:22\nWORKDIR /app\nCOPY package.json package-lock.json server.js ./\nRUN npm ci\nCOPY lib lib\nCOPY server.js ./\n",
                    "V4",
                ),
                (
                    "a file of another name",
                    "FROM node:22\nWORKDIR /app\nCOPY package.json package-lock.json ./\nRUN npm ci\nCOPY lib lib\nCOPY server.js ./main.js\n",
                    "V2",
                ),
            ],
        ),
        // a COPY of another owner, and one that brings another file to the same place, keep their order
        split(
            &[PACKAGE, LOCK, SERVER, ("lib/server.js", "1")],
            "FROM node:22\nWORKDIR /app\nCOPY server.js ./\nCOPY --chown=node package.json package-lock.json ./\nCOPY lib/server.js ./\nRUN npm ci\n",
            "FROM node:22\nWORKDIR /app\nCOPY server.js ./\nCOPY --chown=node package.json package-lock.json ./\nCOPY lib/server.js ./\nRUN npm ci\n",
            &[
                (
                    "the first below the last",
                    "FROM node:22\nWORKDIR /app\nCOPY --chown=node package.json package-lock.json ./\nCOPY lib/server.js ./\nRUN npm ci\nCOPY server.js ./\n",
                    "V3",
                ),
                (
                    "the last below the install, where the lay-out is not the context's",
                    "FROM node:22\nWORKDIR /app\nCOPY server.js ./\nCOPY --chown=node package.json package-lock.json ./\nRUN npm ci\nCOPY lib/server.js ./\n",
                    "V3",
                ),
            ],
        ),
        // the folder that the sources made is none yet
        split(
            &[PACKAGE, LOCK, SERVER, ("lib/a.js", "1")],
            "FROM node:22\nCOPY lib /app/lib\nCOPY package.json /app\nCOPY package-lock.json /app\nRUN npm ci --prefix /app\n",
            "FROM node:22\nCOPY package.json /app/\nCOPY package-lock.json /app\nRUN npm ci --prefix /app\nCOPY lib /app/lib\n",
            &[(
                "a file in the place of the folder",
                "FROM node:22\nCOPY package.json /app\nCOPY package-lock.json /app\nRUN npm ci --prefix /app\nCOPY lib /app/lib\n",
                "V2",
            )],
        ),
        // C.1.2: node_modules is not ignored, so the sources may bring a host's
        split(
            &[PACKAGE, LOCK, SERVER, ("node_modules/express/index.js", "host")],
            "FROM node:22\nWORKDIR /app\nCOPY . .\nRUN npm ci\n",
            "FROM node:22\nWORKDIR /app\nCOPY . .\nRUN npm ci\n",
            &[(
                "the sources overlay the install",
                "FROM node:22\nWORKDIR /app\nCOPY package.json package-lock.json ./\nRUN npm ci\nCOPY . .\n",
                "V4",
            )],
        ),
        split(
            &[PACKAGE, LOCK, SERVER],
            "FROM node:22\nWORKDIR /app\nCOPY . .\nRUN npm ci\n",
            "FROM node:22\nWORKDIR /app\nCOPY . .\nRUN npm ci\n",
            &[(
                "nothing keeps a host's node_modules out",
                "FROM node:22\nWORKDIR /app\nCOPY package.json package-lock.json ./\nRUN npm ci\nCOPY . .\n",
                "V4",
            )],
        ),
        // C.1.3: what stands between reads the sources
        split(
            &[PACKAGE, LOCK, IGNORE, SERVER],
            "FROM node:22\nWORKDIR /app\nCOPY . .\nRUN ./prepare.sh\nRUN npm ci\n",
            "FROM node:22\nWORKDIR /app\nCOPY . .\nRUN ./prepare.sh\nRUN npm ci\n",
            &[
                (
                    "moved over a script",
                    "FROM node:22\nWORKDIR /app\nCOPY package.json package-lock.json ./\nRUN ./prepare.sh\nRUN npm ci\nCOPY . .\n",
                    "V3",
                ),
                (
                    "the install before the script",
                    "FROM node:22\nWORKDIR /app\nCOPY package.json package-lock.json ./\nRUN npm ci\nCOPY . .\nRUN ./prepare.sh\n",
                    "V3",
                ),
            ],
        ),
        split(
            &[PACKAGE, LOCK, IGNORE, SERVER],
            "FROM node:22\nWORKDIR /app\nCOPY . .\nRUN sed -i s/a/b/ package.json\nRUN npm ci\n",
            "FROM node:22\nWORKDIR /app\nCOPY . .\nRUN sed -i s/a/b/ package.json\nRUN npm ci\n",
            &[(
                "the change of a manifest is undone",
                "FROM node:22\nWORKDIR /app\nCOPY package.json package-lock.json ./\nRUN sed -i s/a/b/ package.json\nRUN npm ci\nCOPY . .\n",
                "V3",
            )],
        ),
        split(
            &[PACKAGE, LOCK, IGNORE, SERVER],
            "FROM node:22\nWORKDIR /app\nCOPY . .\nRUN npm ci && npm run build\n",
            "FROM node:22\nWORKDIR /app\nCOPY package.json package-lock.json ./\nRUN npm ci\nCOPY . .\nRUN npm run build\n",
            &[
                (
                    "the build goes along",
                    "FROM node:22\nWORKDIR /app\nCOPY package.json package-lock.json ./\nRUN npm ci && npm run build\nCOPY . .\n",
                    "V3",
                ),
                (
                    "the build is lost",
                    "FROM node:22\nWORKDIR /app\nCOPY package.json package-lock.json ./\nRUN npm ci\nCOPY . .\n",
                    "V2",
                ),
                (
                    "the build is first",
                    "FROM node:22\nWORKDIR /app\nCOPY package.json package-lock.json ./\nRUN npm run build\nCOPY . .\nRUN npm ci\n",
                    "V3",
                ),
            ],
        ),
        split(
            &[PACKAGE, LOCK, IGNORE, SERVER, ("conf/x", "1")],
            "FROM node:22\nWORKDIR /app\nCOPY . .\nCOPY conf /app/\nRUN npm ci\n",
            "FROM node:22\nWORKDIR /app\nCOPY . .\nCOPY conf /app/\nRUN npm ci\n",
            &[
                (
                    "the sources over what was laid over them",
                    "FROM node:22\nWORKDIR /app\nCOPY package.json package-lock.json ./\nCOPY conf /app/\nRUN npm ci\nCOPY . .\n",
                    "V3",
                ),
                (
                    "two COPYs exchanged",
                    "FROM node:22\nWORKDIR /app\nCOPY package.json package-lock.json ./\nRUN npm ci\nCOPY conf /app/\nCOPY . .\n",
                    "V3",
                ),
            ],
        ),
        // C.1.4: ownership
        split(
            &[PACKAGE, LOCK, IGNORE, SERVER],
            "FROM node:22\nWORKDIR /app\nCOPY --chown=node:node . .\nUSER node\nRUN npm ci\n",
            "FROM node:22\nWORKDIR /app\nCOPY --chown=node:node package.json package-lock.json ./\nUSER node\nRUN npm ci\nCOPY --chown=node:node . .\n",
            &[
                (
                    "root's manifests",
                    "FROM node:22\nWORKDIR /app\nCOPY package.json package-lock.json ./\nUSER node\nRUN npm ci\nCOPY --chown=node:node . .\n",
                    "V4",
                ),
                (
                    "the sources lose their owner",
                    "FROM node:22\nWORKDIR /app\nCOPY --chown=node:node package.json package-lock.json ./\nUSER node\nRUN npm ci\nCOPY . .\n",
                    "V2",
                ),
                (
                    "half an owner",
                    "FROM node:22\nWORKDIR /app\nCOPY --chown=node package.json package-lock.json ./\nUSER node\nRUN npm ci\nCOPY --chown=node:node . .\n",
                    "V4",
                ),
                (
                    "the install as root",
                    "FROM node:22\nWORKDIR /app\nCOPY --chown=node:node package.json package-lock.json ./\nRUN npm ci\nUSER node\nCOPY --chown=node:node . .\n",
                    "V2",
                ),
            ],
        ),
        // C.1.5 and C.3: a workspace whose manifest is missing installs nothing, silently
        split(
            &[
                ("package.json", r#"{"name": "app", "workspaces": ["packages/*"]}"#),
                (
                    "package-lock.json",
                    r#"{"name": "app", "lockfileVersion": 3, "packages": {"": {"workspaces": ["packages/*"]}, "packages/a": {}, "packages/b": {}}}"#,
                ),
                ("packages/a/package.json", r#"{"name": "a", "version": "1.0.0"}"#),
                ("packages/b/package.json", r#"{"name": "b", "version": "1.0.0"}"#),
                ("packages/a/a.js", ""),
                IGNORE,
            ],
            "FROM node:22\nWORKDIR /app\nCOPY . .\nRUN npm ci\n",
            "FROM node:22\nWORKDIR /app\nCOPY package.json package-lock.json ./\nCOPY packages/a/package.json ./packages/a/\nCOPY packages/b/package.json ./packages/b/\nRUN npm ci\nCOPY . .\n",
            &[
                (
                    "a workspace is missing",
                    "FROM node:22\nWORKDIR /app\nCOPY package.json package-lock.json ./\nCOPY packages/a/package.json ./packages/a/\nRUN npm ci\nCOPY . .\n",
                    "V3",
                ),
                (
                    "a workspace in another's place",
                    "FROM node:22\nWORKDIR /app\nCOPY package.json package-lock.json ./\nCOPY packages/a/package.json ./packages/b/\nCOPY packages/b/package.json ./packages/a/\nRUN npm ci\nCOPY . .\n",
                    "V4",
                ),
                (
                    "flattened",
                    "FROM node:22\nWORKDIR /app\nCOPY package.json package-lock.json packages/a/package.json packages/b/package.json ./\nRUN npm ci\nCOPY . .\n",
                    "V4",
                ),
                (
                    "a workspace after the install",
                    "FROM node:22\nWORKDIR /app\nCOPY package.json package-lock.json ./\nCOPY packages/a/package.json ./packages/a/\nRUN npm ci\nCOPY packages/b/package.json ./packages/b/\nCOPY . .\n",
                    "V3",
                ),
            ],
        ),
        // a root script that needs the sources
        split(
            &[
                ("package.json", r#"{"name": "app", "scripts": {"prepare": "node tools/prep.js"}}"#),
                LOCK,
                IGNORE,
                SERVER,
            ],
            "FROM node:22\nWORKDIR /app\nCOPY . .\nRUN npm ci\n",
            "FROM node:22\nWORKDIR /app\nCOPY . .\nRUN npm ci\n",
            &[(
                "the prepare script has no sources",
                "FROM node:22\nWORKDIR /app\nCOPY package.json package-lock.json ./\nRUN npm ci\nCOPY . .\n",
                "V3",
            )],
        ),
    ]);
}

#[test]
fn mutants_of_an_early_download() {
    let early = |mutants| Case {
        before: "FROM golang:1.22\nWORKDIR /src\nCOPY . .\nRUN go build -o /app .\n",
        after: "FROM golang:1.22\nWORKDIR /src\nCOPY go.mod go.sum ./\nRUN go mod download\nCOPY . .\nRUN go build -o /app .\n",
        context: &[
            ("go.mod", "module x\ngo 1.22\nrequire example.com/y v1.0.0\n"),
            ("go.sum", "example.com/y v1.0.0 h1:x=\n"),
            ("main.go", "package main\n"),
        ],
        effects: vec![Effect::CommandAdded { command: "go mod download".into() }],
        mutants,
    };
    run(&[early(&[
        (
            "no go.sum",
            "FROM golang:1.22\nWORKDIR /src\nCOPY go.mod ./\nRUN go mod download\nCOPY . .\nRUN go build -o /app .\n",
            "V3",
        ),
        (
            "the build too",
            "FROM golang:1.22\nWORKDIR /src\nCOPY go.mod go.sum ./\nRUN go mod download\nRUN go build -o /app .\nCOPY . .\n",
            "V3",
        ),
        (
            "another command",
            "FROM golang:1.22\nWORKDIR /src\nCOPY go.mod go.sum ./\nRUN go mod vendor\nCOPY . .\nRUN go build -o /app .\n",
            "V2",
        ),
        (
            "under another WORKDIR",
            "FROM golang:1.22\nCOPY go.mod go.sum /src/\nRUN go mod download\nWORKDIR /src\nCOPY . .\nRUN go build -o /app .\n",
            "V3",
        ),
        (
            "with other flags",
            "FROM golang:1.22\nWORKDIR /src\nCOPY go.mod go.sum ./\nRUN --network=none go mod download\nCOPY . .\nRUN go build -o /app .\n",
            "V3",
        ),
        (
            "with a mount that hides it",
            "FROM golang:1.22\nWORKDIR /src\nCOPY go.mod go.sum ./\nRUN --mount=type=cache,target=/go/pkg/mod go mod download\nCOPY . .\nRUN go build -o /app .\n",
            "V3",
        ),
        (
            "for nothing",
            "FROM golang:1.22\nWORKDIR /src\nCOPY . .\nRUN go build -o /app .\nRUN go mod download\n",
            "V2",
        ),
        (
            "before the manifests",
            "FROM golang:1.22\nWORKDIR /src\nRUN go mod download\nCOPY go.mod go.sum ./\nCOPY . .\nRUN go build -o /app .\n",
            "V3",
        ),
        (
            "instead of the build",
            "FROM golang:1.22\nWORKDIR /src\nCOPY go.mod go.sum ./\nRUN go mod download\nCOPY . .\n",
            "V2",
        ),
    ])]);
}
