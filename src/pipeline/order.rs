//! The order of passes: petgraph's topological sort over phase and `after`, ties by name.

use petgraph::{algo::toposort, graphmap::DiGraphMap};

use crate::pass::Pass;

/// The passes in the order in which they run.
///
/// # Panics
/// If `after` goes in a circle: a test of the list of passes shows that before a user sees it.
#[must_use]
pub fn ordered(passes: &[&'static dyn Pass]) -> Vec<&'static dyn Pass> {
    let mut sorted = passes.to_vec();
    sorted.sort_by_key(|p| (p.meta().phase, p.meta().id));
    let mut graph: DiGraphMap<usize, ()> = DiGraphMap::new();
    for (i, pass) in sorted.iter().enumerate() {
        graph.add_node(i);
        for (k, other) in sorted.iter().enumerate() {
            let (a, b) = (other.meta(), pass.meta());
            if a.phase < b.phase || (a.phase == b.phase && b.after.contains(&a.id)) {
                graph.add_edge(k, i, ());
            }
        }
    }
    // toposort reverses a depth-first search: it does not keep ties in order, so the ready pass of the least index goes first
    assert!(toposort(&graph, None).is_ok(), "the order of passes goes in a circle");
    let mut out = Vec::with_capacity(sorted.len());
    let mut left: Vec<usize> = (0..sorted.len()).collect();
    while !left.is_empty() {
        let ready = left.iter().position(|i| !left.iter().any(|k| graph.contains_edge(*k, *i)));
        out.push(sorted[left.remove(ready.unwrap_or(0))]);
    }
    out
}
