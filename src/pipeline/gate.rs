//! Files that no pass may touch (semantics 0.3, G3 and G4), and why.

use super::Skipped;
use crate::{
    pass::Reason,
    syntax::{Dockerfile, PieceKind},
};

/// Why no pass looks at a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gate {
    pub reason: Reason,
    /// 1-based.
    pub line: u32,
    pub message: String,
    pub unlock: String,
}

pub(super) fn skip(file: &Dockerfile) -> Option<Skipped> {
    let gate = |reason, line, message: String, unlock: &str| {
        Some(Skipped::Gate(Gate { reason, line, message, unlock: unlock.to_owned() }))
    };
    if let Some((line, mark)) = template_mark(file) {
        return gate(
            Reason::Templated,
            line,
            format!("`{mark}` looks like a template: what is built is another text"),
            "run dfopt on the Dockerfile that the template makes",
        );
    }
    if let Some(e) = file.error() {
        return Some(Skipped::Invalid(e.clone()));
    }
    if let Some(syntax) = file.directive("syntax").filter(|s| !is_docker_frontend(s)) {
        return gate(
            Reason::FrontendUnknown,
            1,
            format!("the frontend {syntax} may read the file in another way"),
            "use docker/dockerfile:1",
        );
    }
    if mixes_line_ends(file.text()) {
        return gate(
            Reason::SyntaxUnknown,
            1,
            "some lines end in CR LF and some in LF: shell text would carry a CR".into(),
            "give all lines the same end",
        );
    }
    None
}

/// G3: `docker/dockerfile[:*]`, with or without the name of Docker's registry, and its upstream builds.
fn is_docker_frontend(reference: &str) -> bool {
    let name = reference.split_whitespace().next().unwrap_or_default();
    let name = name.strip_prefix("docker.io/").unwrap_or(name);
    let name = name.split(['@', ':']).next().unwrap_or_default();
    matches!(name, "docker/dockerfile" | "docker/dockerfile-upstream")
}

/// Marks of template languages outside of comments: `{{ }}` (Go, Jinja), `{% %}`, `<% %>`, `%%NAME%%`, `@NAME@`, `#include`.
/// A Go template that a command takes as an argument (`--format '{{.Name}}'`) stands within an instruction that is valid:
/// so braces count only where a word of an instruction other than RUN has them, or a line begins with them.
fn template_mark(file: &Dockerfile) -> Option<(u32, &'static str)> {
    use crate::syntax::Keyword;
    for piece in &file.pieces {
        let text = piece.span.of(file.text());
        let line = || file.lines().line(piece.span.start);
        match piece.kind {
            PieceKind::Comment if text.starts_with(b"#include") => return Some((line(), "#include")),
            PieceKind::Instruction(i) => {
                let ins = &file.instructions[i];
                let source = ins.source();
                let starts = [&b"{{"[..], b"{%", b"<%", b"%%"].iter().any(|m| source.starts_with(m));
                let free = matches!(
                    ins.keyword,
                    Keyword::Run | Keyword::Cmd | Keyword::Entrypoint | Keyword::Healthcheck | Keyword::Label
                );
                for mark in ["{{", "{%", "<%", "%%"] {
                    let has = memchr::memmem::find(source, mark.as_bytes()).is_some();
                    if has && (starts || !free) {
                        return Some((line(), mark));
                    }
                    // a line of its own within a RUN: `{% if x %}`
                    if has && mark != "{{" && mark != "%%" {
                        return Some((line(), mark));
                    }
                }
            }
            _ => {}
        }
    }
    None
}

fn mixes_line_ends(text: &[u8]) -> bool {
    let all = memchr::memchr_iter(b'\n', text).count();
    let crlf = memchr::memmem::find_iter(text, b"\r\n").count();
    crlf != 0 && crlf != all
}
