//! A text put together from several files that still knows where each part stands.

use std::ops::Range;
use std::sync::Arc;

use crate::diagnostic::{Code, Diagnostic, SourceFile};

/// A text with the places its parts come from.
#[derive(Clone, Debug, Default)]
pub(super) struct Spliced {
    /// The whole text.
    pub text: String,
    parts: Vec<Part>,
}

#[derive(Clone, Debug)]
struct Part {
    /// Where it begins in the whole.
    start: usize,
    file: Arc<SourceFile>,
    /// The bytes of the file: those it is, or those it stands for.
    span: Range<usize>,
    /// Whether it stands in the file as it is here.
    copied: bool,
}

impl Spliced {
    /// Adds a part of a file.
    pub(super) fn copy(&mut self, file: &Arc<SourceFile>, span: Range<usize>) {
        if !span.is_empty() {
            self.part(file, span.clone(), true);
            self.text.push_str(&file.text[span]);
        }
    }

    /// Adds a text that stands for a part of a file.
    pub(super) fn stand_in(&mut self, text: &str, file: &Arc<SourceFile>, span: Range<usize>) {
        if !text.is_empty() {
            self.part(file, span, false);
            self.text.push_str(text);
        }
    }

    fn part(&mut self, file: &Arc<SourceFile>, span: Range<usize>, copied: bool) {
        self.parts.push(Part { start: self.text.len(), file: file.clone(), span, copied });
    }

    /// This text with others put in before some of its bytes, which stand for what they are put
    /// before. The places must be in order.
    pub(super) fn with_insertions(&self, insertions: &[(usize, String)]) -> Self {
        let mut whole = Self::default();
        let mut from = 0;
        for (at, text) in insertions {
            self.copy_to(&mut whole, from..*at);
            if let Some((file, span)) = self.place(*at..*at + 1) {
                whole.stand_in(text, &file, span);
            }
            from = *at;
        }
        self.copy_to(&mut whole, from..self.text.len());
        whole
    }

    fn copy_to(&self, whole: &mut Self, range: Range<usize>) {
        for (index, part) in self.parts.iter().enumerate() {
            let end = self.parts.get(index + 1).map_or(self.text.len(), |next| next.start);
            let (start, end) = (part.start.max(range.start), end.min(range.end));
            if start >= end {
                continue;
            }
            if part.copied {
                let offset = part.span.start + start - part.start;
                whole.copy(&part.file, offset..offset + end - start);
            } else {
                whole.stand_in(&self.text[start..end], &part.file, part.span.clone());
            }
        }
    }

    /// The file and its bytes where a range of this text comes from; `None` only if it is empty.
    pub(super) fn place(&self, range: Range<usize>) -> Option<(Arc<SourceFile>, Range<usize>)> {
        let after = self.parts.partition_point(|part| part.start <= range.start);
        let part = self.parts.get(after.saturating_sub(1))?;
        if !part.copied {
            return Some((part.file.clone(), part.span.clone()));
        }
        let start = (part.span.start + range.start - part.start).min(part.span.end);
        let end = (start + range.len()).min(part.span.end);
        Some((part.file.clone(), start..end))
    }

    /// An error at a range of this text.
    pub(super) fn error(
        &self,
        code: Code,
        range: Range<usize>,
        message: impl Into<String>,
    ) -> Option<Diagnostic> {
        let (file, span) = self.place(range)?;
        Some(Diagnostic::error(code, &file, span, message))
    }

    /// `file:line` of a place, as an error at sending names it.
    pub(super) fn line_of(&self, at: usize) -> Option<String> {
        let (file, span) = self.place(at..at + 1)?;
        Some(format!("{}:{}", file.path, file.line_column(span.start).0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_know_where_they_come_from() {
        let a = Arc::new(SourceFile::new("a", "one {{> b}} two"));
        let b = Arc::new(SourceFile::new("b", "BEE"));
        let mut whole = Spliced::default();
        whole.copy(&a, 0..4);
        whole.copy(&b, 0..3);
        whole.stand_in("#fff", &a, 4..11);
        whole.copy(&a, 11..15);
        assert_eq!(whole.text, "one BEE#fff two");
        for (range, file, span) in
            [(0..3, "a", 0..3), (5..6, "b", 1..2), (8..9, "a", 4..11), (12..15, "a", 12..15)]
        {
            let (found, place) = whole.place(range).expect("a place");
            assert_eq!((found.path.as_str(), place), (file, span));
        }
        let longer = whole.with_insertions(&[(4, "(".into()), (7, ")".into())]);
        assert_eq!(longer.text, "one (BEE)#fff two");
        assert_eq!(longer.place(6..7).expect("a place").1, 1..2);
        assert_eq!(longer.place(14..15).expect("a place").1, 12..13);
    }
}
