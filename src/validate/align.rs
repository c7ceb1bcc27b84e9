//! Which operations of two stages are the same ones: a longest common subsequence.

use super::lower::{Op, Stage};

/// What stands on one side alone, by index, and the pairs that are equal.
#[derive(Debug)]
pub(super) struct Alignment {
    pub removed: Vec<usize>,
    pub added: Vec<usize>,
    pub kept: Vec<(usize, usize)>,
}

impl Alignment {
    pub fn is_equal(&self) -> bool {
        self.removed.is_empty() && self.added.is_empty()
    }
}

/// Whether `a` in `old` is the same operation as `b` in `new`: the same words under the same state instructions.
pub(super) fn same(old: &Stage, a: &Op, new: &Stage, b: &Op) -> bool {
    a == b && old.trail(a) == new.trail(b)
}

pub(super) fn align(old: &Stage, new: &Stage) -> Alignment {
    let (n, m) = (old.ops.len(), new.ops.len());
    let head = (0..n.min(m)).take_while(|&i| same(old, &old.ops[i], new, &new.ops[i])).count();
    let rest = n.min(m) - head;
    let tail = (0..rest).take_while(|&i| same(old, &old.ops[n - 1 - i], new, &new.ops[m - 1 - i])).count();
    let (a, b) = (n - head - tail, m - head - tail);
    // lengths of the longest common subsequence from (i, j) on
    let mut length = vec![vec![0u32; b + 1]; a + 1];
    for i in (0..a).rev() {
        for j in (0..b).rev() {
            length[i][j] = if same(old, &old.ops[head + i], new, &new.ops[head + j]) {
                length[i + 1][j + 1] + 1
            } else {
                length[i + 1][j].max(length[i][j + 1])
            };
        }
    }
    let mut out =
        Alignment { removed: Vec::new(), added: Vec::new(), kept: (0..head).map(|i| (i, i)).collect() };
    let (mut i, mut j) = (0, 0);
    while i < a || j < b {
        let equal = i < a && j < b && same(old, &old.ops[head + i], new, &new.ops[head + j]);
        if equal && length[i][j] == length[i + 1][j + 1] + 1 {
            out.kept.push((head + i, head + j));
            (i, j) = (i + 1, j + 1);
        } else if i < a && (j == b || length[i + 1][j] >= length[i][j + 1]) {
            out.removed.push(head + i);
            i += 1;
        } else {
            out.added.push(head + j);
            j += 1;
        }
    }
    out.kept.extend((0..tail).rev().map(|k| (n - 1 - k, m - 1 - k)));
    out
}
