//! Spans of a file's bytes, and edits to them.

use std::collections::BTreeMap;

/// A half-open range of bytes, `start..end`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Span {
    pub start: u32,
    pub end: u32,
}

impl Span {
    /// The span `start..end`.
    #[must_use]
    pub fn new(start: usize, end: usize) -> Self {
        debug_assert!(start <= end);
        Self { start: to_u32(start), end: to_u32(end) }
    }

    /// The empty span at `at`: an edit there inserts.
    #[must_use]
    pub fn empty(at: u32) -> Self {
        Self { start: at, end: at }
    }

    /// Length in bytes.
    #[must_use]
    pub fn len(self) -> usize {
        (self.end - self.start) as usize
    }

    /// Whether it holds no byte.
    #[must_use]
    pub fn is_empty(self) -> bool {
        self.start == self.end
    }

    /// As a range for slicing.
    #[must_use]
    pub fn range(self) -> std::ops::Range<usize> {
        self.start as usize..self.end as usize
    }

    /// The bytes of `text` that it covers.
    #[must_use]
    pub fn of(self, text: &[u8]) -> &[u8] {
        &text[self.range()]
    }

    /// Whether `other` lies within it.
    #[must_use]
    pub fn contains(self, other: Span) -> bool {
        self.start <= other.start && other.end <= self.end
    }

    /// The smallest span that holds both.
    #[must_use]
    pub fn to(self, other: Span) -> Span {
        Span { start: self.start.min(other.start), end: self.end.max(other.end) }
    }
}

/// Files are at most 4 GiB here: `repo` refuses larger ones long before.
pub(crate) fn to_u32(n: usize) -> u32 {
    u32::try_from(n).expect("files over 4 GiB are refused when they are read")
}

/// One replacement: an empty span inserts, an empty text deletes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Edit {
    pub span: Span,
    pub text: Vec<u8>,
}

/// Edits to one text.
// Invariant: sorted by span, disjoint; two insertions at one place keep the order in which they were added.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EditSet(Vec<Edit>);

impl EditSet {
    /// No edits.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Puts `text` in the place of `span`.
    ///
    /// # Panics
    /// If it overlaps an edit that is already there: a fault of the pass, not of the input.
    pub fn replace(&mut self, span: Span, text: impl Into<Vec<u8>>) {
        let at = self.0.partition_point(|e| (e.span.start, e.span.end) <= (span.start, span.end));
        assert!(at == 0 || self.0[at - 1].span.end <= span.start, "edits overlap at byte {}", span.start);
        assert!(
            at == self.0.len() || span.end <= self.0[at].span.start,
            "edits overlap at byte {}",
            span.end
        );
        self.0.insert(at, Edit { span, text: text.into() });
    }

    /// Inserts `text` before byte `at`.
    pub fn insert(&mut self, at: u32, text: impl Into<Vec<u8>>) {
        self.replace(Span::empty(at), text);
    }

    /// Deletes `span`.
    pub fn delete(&mut self, span: Span) {
        self.replace(span, Vec::new());
    }

    /// The edits in order.
    pub fn iter(&self) -> std::slice::Iter<'_, Edit> {
        self.0.iter()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// `text` with the edits done.
    #[must_use]
    pub fn apply(&self, text: &[u8]) -> Vec<u8> {
        let mut out = Vec::with_capacity(text.len() + self.0.iter().map(|e| e.text.len()).sum::<usize>());
        let mut at = 0;
        for edit in &self.0 {
            out.extend_from_slice(&text[at..edit.span.start as usize]);
            out.extend_from_slice(&edit.text);
            at = edit.span.end as usize;
        }
        out.extend_from_slice(&text[at..]);
        out
    }

    /// Where byte `at` of the edited text stood before; within inserted text, where the insertion is.
    #[must_use]
    pub fn origin(&self, at: u32) -> u32 {
        let mut shift = 0i64;
        for edit in &self.0 {
            let new_start = i64::from(edit.span.start) + shift;
            if i64::from(at) < new_start {
                break;
            }
            if i64::from(at) < new_start + edit.text.len() as i64 {
                return edit.span.start;
            }
            shift += edit.text.len() as i64 - edit.span.len() as i64;
        }
        u32::try_from(i64::from(at) - shift).unwrap_or(0)
    }
}

impl<'a> IntoIterator for &'a EditSet {
    type Item = &'a Edit;
    type IntoIter = std::slice::Iter<'a, Edit>;
    fn into_iter(self) -> Self::IntoIter {
        self.0.iter()
    }
}

/// A path relative to the build context's root, with `/` between its parts and no leading one.
pub type RepoPath = String;

/// What a finding does to one file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// Edits to a file that is there.
    Edit(EditSet),
    /// A new file with this content.
    Create(Vec<u8>),
}

/// What a finding does to the Dockerfile, and to the ignore file of its context when it needs a line there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Edits {
    /// Edits of the Dockerfile itself.
    pub dockerfile: EditSet,
    /// Other files, by path within the context: today only `.dockerignore`.
    pub files: BTreeMap<RepoPath, Change>,
}

/// The lines of a text: 1-based numbers from byte offsets.
#[derive(Clone, Debug)]
pub struct Lines(Vec<u32>);

impl Lines {
    /// Finds where the lines of `text` start.
    #[must_use]
    pub fn new(text: &[u8]) -> Self {
        let mut starts = vec![0];
        starts.extend(text.iter().enumerate().filter(|(_, b)| **b == b'\n').map(|(i, _)| to_u32(i + 1)));
        Self(starts)
    }

    /// The 1-based line of byte `at`.
    #[must_use]
    pub fn line(&self, at: u32) -> u32 {
        to_u32(self.0.partition_point(|s| *s <= at))
    }

    /// The byte at which 1-based line `line` starts, if there is such a line.
    #[must_use]
    pub fn start(&self, line: u32) -> Option<u32> {
        self.0.get(line.checked_sub(1)? as usize).copied()
    }
}
