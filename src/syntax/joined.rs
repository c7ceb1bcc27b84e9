//! Text that is read as one line though it stands on several: without its continuation marks and the comments between.

use crate::edit::{Span, to_u32};

/// A logical text, and where each of its bytes stands in the file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Joined {
    /// The bytes, as the builder sees them.
    pub text: Vec<u8>,
    /// `(offset in text, offset in the file)` of each run of bytes, in order.
    segments: Vec<(u32, u32)>,
}

impl Joined {
    /// A text that stands as it is, from the start of a file.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Joined {
        let mut out = Joined::default();
        out.push(bytes, 0);
        out
    }

    /// Adds `bytes`, which stand at `file` in the file.
    pub fn push(&mut self, bytes: &[u8], file: u32) {
        if !bytes.is_empty() {
            self.segments.push((to_u32(self.text.len()), file));
            self.text.extend_from_slice(bytes);
        }
    }

    /// The offset in the file of byte `at` of the text. The end of the text is the byte after its last one.
    #[must_use]
    pub fn file_offset(&self, at: u32) -> u32 {
        let i = self.segments.partition_point(|s| s.0 <= at);
        match i.checked_sub(1).map(|i| self.segments[i]) {
            Some((text, file)) => file + (at - text),
            None => 0,
        }
    }

    /// Where `span` of the text stands in the file, with what was dropped between its ends.
    #[must_use]
    pub fn file_span(&self, span: Span) -> Span {
        let start = self.file_offset(span.start);
        if span.is_empty() {
            Span::empty(start)
        } else {
            Span { start, end: self.file_offset(span.end - 1) + 1 }
        }
    }

    /// A part of it, as a text of its own.
    #[must_use]
    pub fn slice(&self, span: Span) -> Joined {
        let mut out = Joined::default();
        let next = |i: usize| self.segments.get(i + 1).map_or(to_u32(self.text.len()), |s| s.0);
        for (i, &(text, file)) in self.segments.iter().enumerate() {
            let (a, b) = (text.max(span.start), next(i).min(span.end));
            if a < b {
                out.push(&self.text[a as usize..b as usize], file + (a - text));
            }
        }
        out
    }

    /// Without white space at both ends.
    #[must_use]
    pub fn trimmed(&self) -> Joined {
        let start = self.text.iter().position(|b| !is_space(*b)).unwrap_or(self.text.len());
        let end = self.text.iter().rposition(|b| !is_space(*b)).map_or(start, |i| i + 1);
        self.slice(Span::new(start, end))
    }
}

/// What BuildKit's parser splits words at (parser.go, `reWhitespace`).
pub(crate) fn is_space(b: u8) -> bool {
    matches!(b, b'\t' | 0x0b | 0x0c | b'\r' | b' ' | b'\n')
}
