//! A Dockerfile's graph: as Mermaid, Graphviz or JSON, and drawn as SVG.

use std::fmt::Write as _;

use layout::{
    backends::svg::SVGWriter,
    gv::{DotParser, GraphBuilder},
};
use serde::Serialize;

use super::diff::printable;
use crate::{
    graph::{Edge, Graph, Node},
    syntax::Dockerfile,
};

/// How many files or variables one line of a drawing names.
const LABELS: usize = 2;
/// The longest label of an instruction, in characters.
const LABEL: usize = 60;

/// What a graph is written as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    Mermaid,
    Dot,
    Svg,
    Json,
}

#[derive(Serialize)]
struct Drawing {
    nodes: Vec<Dot>,
    edges: Vec<Line>,
    /// For each stage the nodes that are drawn within it.
    #[serde(skip)]
    stages: Vec<(String, Vec<usize>)>,
}

#[derive(Serialize)]
struct Dot {
    id: usize,
    kind: &'static str,
    label: String,
    /// First and last line, 1-based; of an instruction.
    #[serde(skip_serializing_if = "Option::is_none")]
    lines: Option<(u32, u32)>,
    /// The index of the stage, or of that of the instruction.
    #[serde(skip_serializing_if = "Option::is_none")]
    stage: Option<usize>,
}

#[derive(Serialize)]
struct Line {
    /// What comes first.
    from: usize,
    to: usize,
    kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    label: Option<String>,
}

/// Draws `graph`, which is that of `file`. The same input gives the same bytes.
#[must_use]
pub fn render(file: &Dockerfile, graph: &Graph, format: Format) -> String {
    let drawing = draw(file, graph);
    match format {
        Format::Mermaid => mermaid(&joined(drawing)),
        Format::Dot => dot(&joined(drawing)),
        Format::Svg => svg(&joined(drawing)),
        Format::Json => serde_json::to_string_pretty(&drawing).expect("no key is anything but text") + "\n",
    }
}

fn draw(file: &Dockerfile, graph: &Graph) -> Drawing {
    let (nodes, edges) = graph.drawing();
    let mut stages: Vec<(String, Vec<usize>)> = graph
        .stages()
        .iter()
        .map(|s| (s.name.clone().unwrap_or_else(|| format!("stage {}", s.index)), Vec::new()))
        .collect();
    let mut out = Vec::new();
    for (id, node) in nodes {
        let dot = match node {
            Node::Context => {
                Dot { id, kind: "context", label: "build context".into(), lines: None, stage: None }
            }
            Node::Image(name) => Dot { id, kind: "image", label: name.clone(), lines: None, stage: None },
            Node::Stage(i) => {
                Dot { id, kind: "stage", label: stages[*i].0.clone(), lines: None, stage: Some(*i) }
            }
            Node::Instruction(i) => {
                let ins = &file.instructions[*i];
                let text =
                    String::from_utf8_lossy(ins.source()).split_whitespace().collect::<Vec<_>>().join(" ");
                let stage = graph.stage_of(*i).map(|s| s.index);
                Dot {
                    id,
                    kind: "instruction",
                    label: shortened(&printable(&text)),
                    lines: Some(ins.lines),
                    stage,
                }
            }
        };
        if let Some(stage) = dot.stage {
            stages[stage].1.push(id);
        }
        out.push(dot);
    }
    let mut lines: Vec<Line> = edges
        .map(|(from, to, edge)| {
            let (kind, label) = match edge {
                Edge::Order => ("order", None),
                Edge::From => ("from", None),
                Edge::Copy => ("copy", None),
                Edge::Mount => ("mount", None),
                Edge::Variable(name) => ("variable", Some(name.clone())),
                Edge::File(path) => ("file", Some(path.clone())),
            };
            Line { from, to, kind, label }
        })
        .collect();
    // An instruction that names a variable twice has two edges.
    lines.dedup_by(|a, b| (a.from, a.to, a.kind, &a.label) == (b.from, b.to, b.kind, &b.label));
    Drawing { nodes: out, edges: lines, stages }
}

fn shortened(text: &str) -> String {
    if text.chars().count() <= LABEL {
        return text.to_owned();
    }
    text.chars().take(LABEL - 1).chain(['…']).collect()
}

fn mermaid(drawing: &Drawing) -> String {
    let mut out = String::from("flowchart TD\n");
    let node = |d: &Dot| {
        let label = mermaid_text(&d.label);
        match d.kind {
            "instruction" => format!("n{}[\"{label}\"]", d.id),
            "stage" => format!("n{}([\"{label}\"])", d.id),
            "context" => format!("n{}[/\"{label}\"/]", d.id),
            _ => format!("n{}[(\"{label}\")]", d.id),
        }
    };
    for dot in drawing.nodes.iter().filter(|d| d.stage.is_none()) {
        let _ = writeln!(out, "  {}", node(dot));
    }
    for (i, (name, nodes)) in drawing.stages.iter().enumerate() {
        let _ = writeln!(out, "  subgraph s{i}[\"{}\"]", mermaid_text(name));
        for id in nodes {
            let _ = writeln!(out, "    {}", node(&drawing.nodes[*id]));
        }
        out.push_str("  end\n");
    }
    for line in &drawing.edges {
        let label = match (line.kind, &line.label) {
            ("order", _) => String::new(),
            ("variable", Some(name)) => format!("|\"${}\"|", mermaid_text(name)),
            (_, Some(text)) => format!("|\"{}\"|", mermaid_text(text)),
            (kind, None) => format!("|{kind}|"),
        };
        let arrow = match line.kind {
            "order" => "-->",
            "from" => "==>",
            _ => "-.->",
        };
        let _ = writeln!(out, "  n{} {arrow}{label} n{}", line.from, line.to);
    }
    out
}

/// The drawing with one line from node to node for all files or variables: `apt-get update` leaves twenty folders behind.
fn joined(mut drawing: Drawing) -> Drawing {
    let mut lines: Vec<(Line, Vec<String>)> = Vec::new();
    for line in drawing.edges {
        let same =
            |(l, _): &&mut (Line, Vec<String>)| (l.from, l.to, l.kind) == (line.from, line.to, line.kind);
        match (lines.iter_mut().find(same), &line.label) {
            (Some((_, labels)), Some(label)) => labels.push(label.clone()),
            (Some(_), None) => {}
            (None, label) => {
                let labels = label.iter().cloned().collect();
                lines.push((line, labels));
            }
        }
    }
    let one = |(line, mut labels): (Line, Vec<String>)| {
        labels.sort();
        let more = labels.len().saturating_sub(LABELS);
        labels.truncate(LABELS);
        let text = labels.join(", ") + &if more > 0 { format!(" and {more} more") } else { String::new() };
        Line { label: line.label.as_ref().map(|_| text), ..line }
    };
    drawing.edges = lines.into_iter().map(one).collect();
    drawing
}

/// Laid out by layout-rs, which reads Graphviz; it draws no frames around the stages, whose names are nodes.
fn svg(drawing: &Drawing) -> String {
    let text = dot(drawing);
    let graph = DotParser::new(&text).process().expect("what is written here is Graphviz");
    let mut builder = GraphBuilder::new();
    builder.visit_graph(&graph);
    let mut out = SVGWriter::new();
    builder.get().do_it(false, false, false, &mut out);
    out.finalize() + "\n"
}

/// Mermaid ends a text at a quote, and reads `#…;` as a character's name.
fn mermaid_text(text: &str) -> String {
    text.replace('#', "#35;").replace('"', "#quot;").replace('<', "#lt;").replace('>', "#gt;")
}

fn dot(drawing: &Drawing) -> String {
    let mut out = String::from("digraph dockerfile {\n  node [shape=box, fontname=monospace];\n");
    let node = |d: &Dot| {
        let shape = match d.kind {
            "instruction" => "box",
            "stage" => "oval",
            "context" => "folder",
            _ => "cylinder",
        };
        format!("n{} [label={}, shape={shape}];", d.id, dot_text(&d.label))
    };
    for dot in drawing.nodes.iter().filter(|d| d.stage.is_none()) {
        let _ = writeln!(out, "  {}", node(dot));
    }
    for (i, (name, nodes)) in drawing.stages.iter().enumerate() {
        let _ = writeln!(out, "  subgraph cluster_{i} {{\n    label={};", dot_text(name));
        for id in nodes {
            let _ = writeln!(out, "    {}", node(&drawing.nodes[*id]));
        }
        out.push_str("  }\n");
    }
    for line in &drawing.edges {
        let attributes = match (line.kind, &line.label) {
            ("order", _) => String::new(),
            ("from", _) => " [style=bold, label=from]".into(),
            ("variable", Some(name)) => format!(" [style=dashed, label={}]", dot_text(&format!("${name}"))),
            (_, Some(text)) => format!(" [style=dashed, label={}]", dot_text(text)),
            (kind, None) => format!(" [style=dashed, label={kind}]"),
        };
        let _ = writeln!(out, "  n{} -> n{}{attributes};", line.from, line.to);
    }
    out.push_str("}\n");
    out
}

/// A quoted string of Graphviz.
fn dot_text(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::syntax::parse;

    fn check(text: &str, format: Format, expect: &[&str]) {
        let file = parse(text.as_bytes());
        let out = render(&file, &Graph::new(&file, &[]), format);
        for part in expect {
            assert!(out.contains(part), "{part} in\n{out}");
        }
    }

    #[test]
    fn draws() {
        let text =
            "FROM a AS b\nARG X=1\nRUN echo \"$X\" # c\nFROM scratch\nCOPY --from=b /x /x\nCOPY y /y\n";
        check(
            text,
            Format::Mermaid,
            &[
                "subgraph s0[\"b\"]",
                "[/\"build context\"/]",
                "RUN echo #quot;$X#quot; #35; c",
                "|\"$X\"|",
                "|copy|",
                "==>|from|",
            ],
        );
        check(
            text,
            Format::Dot,
            &["subgraph cluster_1", "label=\"RUN echo \\\"$X\\\" # c\"", "label=\"$X\""],
        );
        check(text, Format::Json, &["\"kind\": \"variable\"", "\"label\": \"X\"", "\"lines\": ["]);
    }
}
