//! Stages and instructions as nodes; order, FROM, COPY --from, mounts, variables and files as edges.

use std::collections::BTreeMap;

use petgraph::{
    Direction,
    graph::{DiGraph, NodeIndex},
    visit::EdgeRef,
};

use crate::{
    edit::Span,
    options::Options,
    syntax::{
        Dockerfile, Instruction, Keyword,
        words::{Lex, Lookup, mentions, references},
    },
};

/// A node: what an instruction can depend on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Node {
    /// The build context.
    Context,
    /// An image that a stage starts from or that a COPY or mount takes files from, as it is written after expansion.
    Image(String),
    /// A stage, by index.
    Stage(usize),
    /// An instruction, by its index in the file.
    Instruction(usize),
}

/// Why one node comes before another. Edges go from what is needed to what needs it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Edge {
    /// Next instruction of the same stage; the first one's parent is its stage.
    Order,
    /// A stage starts from it.
    From,
    /// A COPY or ADD takes files from it.
    Copy,
    /// A RUN mounts it.
    Mount,
    /// The variable that an instruction reads by name.
    Variable(String),
    /// A path that one instruction writes and the other works on.
    File(String),
}

/// What a stage starts from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Base {
    Scratch,
    /// An earlier stage, by index.
    Stage(usize),
    /// An image: its reference with variables expanded, and whether a `--build-arg` could change it.
    Image {
        reference: String,
        by_argument: bool,
    },
    /// A name with a variable that has no value.
    Unresolved(String),
}

/// A stage of the file.
#[derive(Clone, Debug)]
pub struct Stage {
    pub index: usize,
    /// In small letters, as BuildKit stores it.
    pub name: Option<String>,
    /// The FROM instruction.
    pub from: usize,
    /// Its instructions after FROM, up to the next one.
    pub body: std::ops::Range<usize>,
    pub base: Base,
    pub platform: Option<String>,
}

/// The Dockerfile as a graph.
#[derive(Clone, Debug)]
pub struct Graph {
    graph: DiGraph<Node, Edge>,
    stages: Vec<Stage>,
    stage_nodes: Vec<NodeIndex>,
    instruction_nodes: Vec<NodeIndex>,
    /// What the builder sets by itself, then the ARGs before the first FROM, with their defaults or what `--build-arg` says.
    globals: Vec<(String, Option<String>)>,
}

struct Globals<'a>(&'a [(String, Option<String>)]);

impl Lookup for Globals<'_> {
    fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().rev().find(|(n, _)| n == name).and_then(|(_, v)| v.as_deref())
    }
}

impl Graph {
    /// Builds the graph of `file`; `build_args` go before the defaults of ARGs.
    #[must_use]
    pub fn new(file: &Dockerfile, build_args: &[(String, String)]) -> Graph {
        Self::with_globals(file, build_args, Vec::new())
    }

    /// The graph of `file` as it is built under `options`: its arguments, and those that the platform gives.
    #[must_use]
    pub fn of_build(file: &Dockerfile, options: &Options) -> Graph {
        Self::with_globals(file, &options.build_args, options.automatic_args())
    }

    fn with_globals(
        file: &Dockerfile,
        build_args: &[(String, String)],
        automatic: Vec<(String, Option<String>)>,
    ) -> Graph {
        let given = |name: &str| build_args.iter().find(|(n, _)| n == name).map(|(_, v)| v.clone());
        let globals = automatic.into_iter().map(|(name, value)| (given(&name).or(value), name));
        let mut g = Graph {
            graph: DiGraph::with_capacity(file.instructions.len() + 4, file.instructions.len() * 2),
            stages: Vec::new(),
            stage_nodes: Vec::new(),
            instruction_nodes: Vec::new(),
            globals: globals.map(|(value, name)| (name, value)).collect(),
        };
        for (i, ins) in file.instructions.iter().enumerate() {
            let node = g.graph.add_node(Node::Instruction(i));
            g.instruction_nodes.push(node);
            match (ins.keyword, g.stages.len()) {
                (Keyword::From, _) => g.open_stage(i, ins, file.escape),
                (Keyword::Arg, 0) => g.global(ins, build_args, file.escape),
                _ => g.connect(i, ins),
            }
        }
        g.connect_variables(file);
        g
    }

    /// The stages, in order.
    #[must_use]
    pub fn stages(&self) -> &[Stage] {
        &self.stages
    }

    /// The platform that a stage is built for, where its FROM fixes one whose name is known.
    #[must_use]
    pub fn platform(&self, stage: &Stage, escape: u8) -> Option<String> {
        let expanded = Lex::new(escape).word(stage.platform.as_deref()?, &Globals(&self.globals)).ok()?;
        expanded.unset.is_empty().then_some(expanded.value)
    }

    /// What the builder sets by itself, and the ARGs before the first FROM.
    #[must_use]
    pub fn globals(&self) -> &[(String, Option<String>)] {
        &self.globals
    }

    /// The stage that an instruction belongs to; none before the first FROM.
    #[must_use]
    pub fn stage_of(&self, instruction: usize) -> Option<&Stage> {
        self.stages.iter().rev().find(|s| s.from <= instruction)
    }

    /// The stage of that name or number, as `COPY --from` and `--target` find it.
    #[must_use]
    pub fn find_stage(&self, name: &str) -> Option<&Stage> {
        let lower = name.to_lowercase();
        let by_name = self.stages.iter().rev().find(|s| s.name.as_deref() == Some(&lower));
        by_name.or_else(|| self.stages.get(name.parse::<usize>().ok()?))
    }

    /// The stages that start from stage `index`.
    #[must_use]
    pub fn children(&self, index: usize) -> Vec<usize> {
        self.users(index, &Edge::From)
    }

    /// The instructions of other stages that take files from stage `index`.
    #[must_use]
    pub fn takers(&self, index: usize) -> Vec<usize> {
        let mut out = self.users(index, &Edge::Copy);
        out.extend(self.users(index, &Edge::Mount));
        out
    }

    /// The stage, if any, that instruction `index` copies from or mounts.
    #[must_use]
    pub fn sources(&self, index: usize) -> Vec<usize> {
        self.graph
            .edges_directed(self.instruction_nodes[index], Direction::Incoming)
            .filter(|e| matches!(e.weight(), Edge::Copy | Edge::Mount))
            .filter_map(|e| match self.graph[e.source()] {
                Node::Stage(s) => Some(s),
                _ => None,
            })
            .collect()
    }

    /// Whether instruction `index` reads the build context.
    #[must_use]
    pub fn reads_context(&self, index: usize) -> bool {
        self.graph
            .edges_directed(self.instruction_nodes[index], Direction::Incoming)
            .any(|e| self.graph[e.source()] == Node::Context)
    }

    /// The instructions that define variables which instruction `index` names, with the names.
    pub fn variables(&self, index: usize) -> impl Iterator<Item = (usize, &str)> {
        self.graph.edges_directed(self.instruction_nodes[index], Direction::Incoming).filter_map(|e| {
            match (e.weight(), &self.graph[e.source()]) {
                (Edge::Variable(name), Node::Instruction(i)) => Some((*i, name.as_str())),
                _ => None,
            }
        })
    }

    /// The instruction before `index` in its stage; none for the first one after FROM.
    #[must_use]
    pub fn previous(&self, index: usize) -> Option<usize> {
        self.graph.edges_directed(self.instruction_nodes[index], Direction::Incoming).find_map(|e| {
            match (e.weight(), &self.graph[e.source()]) {
                (Edge::Order, Node::Instruction(i)) => Some(*i),
                _ => None,
            }
        })
    }

    /// Notes that `writer` writes `path`, which `reader` works on.
    pub fn add_file(&mut self, writer: usize, reader: usize, path: &str) {
        let (a, b) = (self.instruction_nodes[writer], self.instruction_nodes[reader]);
        self.graph.add_edge(a, b, Edge::File(path.to_owned()));
    }

    /// Nodes and edges, in the order in which they were made: for drawing.
    pub fn drawing(
        &self,
    ) -> (impl Iterator<Item = (usize, &Node)>, impl Iterator<Item = (usize, usize, &Edge)>) {
        let nodes = self.graph.node_indices().map(|n| (n.index(), &self.graph[n]));
        let edges =
            self.graph.edge_references().map(|e| (e.source().index(), e.target().index(), e.weight()));
        (nodes, edges)
    }

    fn users(&self, stage: usize, edge: &Edge) -> Vec<usize> {
        let mut out: Vec<usize> = self
            .graph
            .edges_directed(self.stage_nodes[stage], Direction::Outgoing)
            .filter(|e| e.weight() == edge)
            .filter_map(|e| match self.graph[e.target()] {
                Node::Stage(i) | Node::Instruction(i) => Some(i),
                _ => None,
            })
            .collect();
        out.sort_unstable();
        out.dedup();
        out
    }

    fn node(&mut self, node: Node) -> NodeIndex {
        let found = self.graph.node_indices().find(|n| self.graph[*n] == node);
        found.unwrap_or_else(|| self.graph.add_node(node))
    }

    fn global(&mut self, ins: &Instruction, build_args: &[(String, String)], escape: u8) {
        for arg in ins.args() {
            let (name, default) = match arg.value.split_once('=') {
                Some((n, v)) => (n, Lex::new(escape).word(v, &Globals(&self.globals)).ok().map(|e| e.value)),
                // `ARG TARGETARCH` before FROM names what is set already
                None => (arg.value.as_str(), Globals(&self.globals).get(&arg.value).map(str::to_owned)),
            };
            let given = build_args.iter().find(|(n, _)| n == name).map(|(_, v)| v.clone());
            self.globals.push((name.to_owned(), given.or(default)));
        }
    }

    fn open_stage(&mut self, at: usize, ins: &Instruction, escape: u8) {
        if let Some(last) = self.stages.last_mut() {
            last.body.end = at;
        }
        let index = self.stages.len();
        let node = self.graph.add_node(Node::Stage(index));
        let base = self.base(ins.first(), escape);
        let from = match &base {
            Base::Stage(s) => self.stage_nodes[*s],
            Base::Scratch => self.node(Node::Image("scratch".into())),
            Base::Image { reference: text, .. } | Base::Unresolved(text) => {
                self.node(Node::Image(text.clone()))
            }
        };
        self.graph.add_edge(from, node, Edge::From);
        self.graph.add_edge(self.instruction_nodes[at], node, Edge::Order);
        self.stage_nodes.push(node);
        self.stages.push(Stage {
            index,
            name: ins.args().get(2).map(|a| a.value.to_lowercase()),
            from: at,
            body: at + 1..at + 1,
            base,
            platform: ins.flag("platform").and_then(|f| f.value.clone()),
        });
    }

    /// convert.go: the name is expanded with the global ARGs, then looked up among the stages, as it is written.
    fn base(&self, text: &str, escape: u8) -> Base {
        // predefined: the platform arguments that BuildKit sets for FROM
        let Ok(expanded) = Lex::new(escape).word(text, &Globals(&self.globals)) else {
            return Base::Unresolved(text.to_owned());
        };
        if !expanded.unset.is_empty() || expanded.value.is_empty() {
            return Base::Unresolved(text.to_owned());
        }
        let stage = self.stages.iter().rev().find(|s| s.name.as_deref() == Some(expanded.value.as_str()));
        match stage {
            Some(s) => Base::Stage(s.index),
            None if expanded.value == "scratch" => Base::Scratch,
            None => Base::Image { by_argument: !expanded.used.is_empty(), reference: expanded.value },
        }
    }

    fn connect(&mut self, at: usize, ins: &Instruction) {
        let Some(stage) = self.stages.last_mut() else { return };
        stage.body.end = at + 1;
        let parent = if at == stage.body.start {
            self.stage_nodes[stage.index]
        } else {
            self.instruction_nodes[at - 1]
        };
        let node = self.instruction_nodes[at];
        self.graph.add_edge(parent, node, Edge::Order);
        match ins.keyword {
            Keyword::Copy | Keyword::Add => {
                let from = ins.flag("from").and_then(|f| f.value.clone());
                let only_heredocs = !ins.heredocs.is_empty() && ins.args().len() <= ins.heredocs.len() + 1;
                if !only_heredocs {
                    self.connect_source(node, from.as_deref(), Edge::Copy);
                }
            }
            Keyword::Run => {
                for flag in ins.flags().iter().filter(|f| f.name == "mount") {
                    let mount = Mount::read(flag.value.as_deref().unwrap_or_default());
                    if matches!(mount.kind.as_str(), "bind" | "cache")
                        && (mount.kind == "bind" || mount.from.is_some())
                    {
                        self.connect_source(node, mount.from.as_deref(), Edge::Mount);
                    }
                }
            }
            _ => {}
        }
    }

    fn connect_source(&mut self, node: NodeIndex, from: Option<&str>, edge: Edge) {
        let source = match from {
            None => self.node(Node::Context),
            Some(name) => match self.find_stage(name).map(|s| s.index) {
                Some(stage) => self.stage_nodes[stage],
                None => self.node(Node::Image(name.to_owned())),
            },
        };
        self.graph.add_edge(source, node, edge);
    }

    fn connect_variables(&mut self, file: &Dockerfile) {
        let mut defined: BTreeMap<String, usize> = BTreeMap::new();
        let mut global: BTreeMap<String, usize> = BTreeMap::new();
        let mut in_stage = false;
        for (i, ins) in file.instructions.iter().enumerate() {
            if ins.keyword == Keyword::From {
                in_stage = true;
                defined.clear();
            }
            let scope = if ins.keyword == Keyword::From { &global } else { &defined };
            if memchr::memchr(b'$', ins.source()).is_some() {
                let text = String::from_utf8_lossy(&ins.detail().line.text).into_owned();
                // a shell reads quotes in its own way
                let by_shell = matches!(
                    ins.keyword,
                    Keyword::Run | Keyword::Cmd | Keyword::Entrypoint | Keyword::Healthcheck
                );
                for name in if by_shell { mentions(&text) } else { references(&text, file.escape) } {
                    if let Some(&from) = scope.get(&name) {
                        let (a, b) = (self.instruction_nodes[from], self.instruction_nodes[i]);
                        self.graph.add_edge(a, b, Edge::Variable(name));
                    }
                }
            }
            match ins.keyword {
                Keyword::Env => defined.extend(ins.pairs().map(|(k, _)| (k.value.clone(), i))),
                Keyword::Arg => {
                    for arg in ins.args() {
                        let name = arg.value.split('=').next().unwrap_or_default();
                        if let (true, Some(&from)) = (in_stage && !arg.value.contains('='), global.get(name))
                        {
                            let (a, b) = (self.instruction_nodes[from], self.instruction_nodes[i]);
                            self.graph.add_edge(a, b, Edge::Variable(name.to_owned()));
                        }
                        let scope = if in_stage { &mut defined } else { &mut global };
                        scope.insert(name.to_owned(), i);
                    }
                }
                _ => {}
            }
        }
    }
}

/// A `RUN --mount=…`, not expanded.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mount {
    /// `bind` where none is named.
    pub kind: String,
    pub from: Option<String>,
    pub source: Option<String>,
    pub target: Option<String>,
    /// All its fields, sorted: two mounts with the same ones are the same.
    pub fields: Vec<(String, String)>,
}

impl Mount {
    /// Reads the value of a `--mount` flag (instructions/commands_runmount.go: comma-separated `key=value`).
    #[must_use]
    pub fn read(value: &str) -> Mount {
        let mut mount =
            Mount { kind: "bind".into(), from: None, source: None, target: None, fields: Vec::new() };
        for field in value.split(',') {
            let (key, value) = field.split_once('=').unwrap_or((field, "true"));
            let key = key.trim().to_lowercase();
            let value = value.trim().to_owned();
            match key.as_str() {
                "type" => mount.kind = value.to_lowercase(),
                "from" => mount.from = Some(value.clone()),
                "source" | "src" => mount.source = Some(value.clone()),
                "target" | "dst" | "destination" => mount.target = Some(value.clone()),
                _ => {}
            }
            mount.fields.push((key, value));
        }
        mount.fields.sort();
        mount
    }
}

/// The place of an instruction in a report: `line 4` or `lines 4-6`.
#[must_use]
pub fn place(file: &Dockerfile, span: Span) -> String {
    let lines = file.lines();
    let (a, b) = (lines.line(span.start), lines.line(span.end.saturating_sub(1).max(span.start)));
    if a == b { format!("line {a}") } else { format!("lines {a}-{b}") }
}
