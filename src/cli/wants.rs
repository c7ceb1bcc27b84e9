//! What a Dockerfile wants of its build context, so that the folder can be found which is it.

use std::path::Path;

use crate::{
    ecosystem::{Ecosystems, Install, Recognized, Takes},
    facts::{Facts, join},
    graph::{Graph, Mount},
    repo::{Wants, normal, relative},
    syntax::{Dockerfile, Instruction, Keyword},
};

/// What a file takes from its context: the sources that are literal, and, where it takes the whole context, the manifests
/// that its installs read there.
pub(super) fn wants(facts: &Facts) -> Wants {
    let (file, graph) = (facts.file(), facts.graph());
    let mut out = Wants::default();
    for (_, ins) in file.instructions.iter().enumerate().filter(|(i, _)| graph.reads_context(*i)) {
        for source in sources(ins) {
            match literal(&source) {
                Some(path) if path.is_empty() => out.whole = true,
                Some(path) => out.literal_sources.push(path),
                None => {}
            }
        }
    }
    out.literal_sources.sort();
    out.literal_sources.dedup();
    if out.whole {
        out.manifests =
            graph.stages().iter().flat_map(|s| manifests(file, graph, facts, s.body.clone())).collect();
        out.manifests.sort();
        out.manifests.dedup();
    }
    out
}

/// The sources of a COPY or ADD, or of the context mounts of a RUN, as they are written.
fn sources(ins: &Instruction) -> Vec<String> {
    if ins.keyword == Keyword::Run {
        let mounts = ins.flags().iter().filter(|f| f.name == "mount");
        let mounts = mounts.map(|f| Mount::read(f.value.as_deref().unwrap_or_default()));
        let bound = mounts.filter(|m| m.kind == "bind" && m.from.is_none());
        return bound.map(|m| m.source.unwrap_or_else(|| ".".into())).collect();
    }
    let n = ins.args().len().saturating_sub(1);
    ins.args()[..n].iter().map(|a| a.value.clone()).collect()
}

/// A source's path in the context; empty for its root. None where it has a variable or a wildcard, or is no file of it.
fn literal(source: &str) -> Option<String> {
    let source = source.trim_matches(['"', '\'']);
    let elsewhere = source.contains("://") || source.starts_with("git@") || source.contains("<<");
    if elsewhere || source.contains(['$', '*', '?', '[', '\\']) {
        return None;
    }
    Some(relative(&normal(Path::new(source.trim_start_matches('/'))), Path::new("")))
}

/// Of each install of a stage behind a `COPY .`, the manifests that it reads, each a group of its own.
fn manifests(
    file: &Dockerfile,
    graph: &Graph,
    facts: &Facts,
    body: std::ops::Range<usize>,
) -> Vec<Vec<String>> {
    let mut out = Vec::new();
    let mut target: Option<String> = None;
    for at in body {
        let ins = &file.instructions[at];
        match ins.keyword {
            Keyword::Copy | Keyword::Add if graph.reads_context(at) && takes_all(ins) => {
                let to = ins.args().last().map_or("", |a| &a.value);
                target = facts.before(at).and_then(|s| s.absolute(to, file.escape)).map(|v| v.text);
            }
            Keyword::Run => {
                let Some(target) = &target else { continue };
                let mut dir = facts.before(at).and_then(|s| s.cwd.clone());
                for call in facts.calls(at) {
                    let Some(argv) = &call.argv else { continue };
                    if argv.first().is_some_and(|a| a == "cd") {
                        dir = dir.zip(argv.get(1)).map(|(dir, to)| join(&dir, to));
                    }
                    if let (Some(dir), Recognized::Install(install)) =
                        (&dir, Ecosystems::builtin().recognize(argv))
                    {
                        out.extend(read_by(&install, dir, target));
                    }
                }
            }
            _ => {}
        }
    }
    out
}

fn takes_all(ins: &Instruction) -> bool {
    sources(ins).iter().any(|s| literal(s).is_some_and(|p| p.is_empty()))
}

/// The manifests of an install that runs in `dir`, where the context lies at `target`.
fn read_by(install: &Install, dir: &str, target: &str) -> Vec<Vec<String>> {
    let project = install.dir.as_deref().map_or_else(|| dir.to_owned(), |d| join(dir, d));
    let manifests = Ecosystems::builtin().tool(&install.ecosystem).map(|t| t.files.manifest.as_slice());
    let named = manifests.unwrap_or_default().iter().map(|m| join(&project, m));
    let given = install.parsed.iter().filter(|(_, takes, _)| *takes == Takes::Reads);
    let given = given.filter_map(|(_, _, value)| value.as_deref()).map(|v| join(dir, v));
    let inside = |path: String| {
        let rest = Path::new(&path).strip_prefix(target).ok()?;
        let rest = relative(rest, Path::new(""));
        (!rest.is_empty() && !rest.contains(['*', '?', '['])).then(|| vec![rest])
    };
    named.chain(given).filter_map(inside).collect()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::{knowledge::Knowledge, options::Options, syntax::parse};

    fn check(text: &str, sources: &[&str], manifests: &[&str], whole: bool) {
        let file = Arc::new(parse(text.as_bytes()));
        let graph = Arc::new(Graph::new(&file, &[]));
        let wants = wants(&Facts::derive(&file, &graph, Knowledge::builtin(), &Options::default()));
        assert_eq!(wants.literal_sources, sources, "{text}");
        assert_eq!(wants.manifests.concat(), manifests, "{text}");
        assert_eq!(wants.whole, whole, "{text}");
    }

    #[test]
    fn tells_what_a_file_wants() {
        check("FROM a\nRUN x\n", &[], &[], false);
        check("FROM a\nCOPY ./b/ $C d* /e/f.txt /x/\n", &["b", "e/f.txt"], &[], false);
        check("FROM a\nADD https://x.org/y z.tgz /x/\n", &["z.tgz"], &[], false);
        check("FROM a AS b\nFROM c\nCOPY --from=b /x y/\n", &[], &[], false);
        check("FROM a\nRUN --mount=type=bind,source=go.mod,target=/go.mod x\n", &["go.mod"], &[], false);
        check("FROM node:22\nWORKDIR /app\nCOPY . .\nRUN npm ci\n", &[], &["package.json"], true);
        check("FROM node:22\nWORKDIR /app\nRUN npm ci\nCOPY . .\n", &[], &[], true);
        check("FROM node:22\nCOPY . /app\nRUN cd /app/web && npm ci\n", &[], &["web/package.json"], true);
        check(
            "FROM python:3\nWORKDIR /a\nCOPY . /a\nRUN pip install -r req/x.txt\n",
            &[],
            &["req/x.txt"],
            true,
        );
    }
}
