//! Which bytes of a condition a part of it covers.

use std::ops::Range;

use cel::common::ast::{Expr as Cel, IdedExpr};

use super::Checker;

impl Checker<'_> {
    /// The bytes a part of the tree covers.
    pub(super) fn range(&self, tree: &IdedExpr) -> Range<usize> {
        let mut range = self.source.len()..0;
        self.cover(tree, &mut range);
        let is_exact = range.start < range.end && self.source.get(range.clone()).is_some();
        if is_exact { range } else { 0..self.source.len() }
    }

    /// The parser gives places of tokens (the last byte included), not of whole parts; a call's
    /// place is its bracket and a selection's is its dot.
    fn cover(&self, tree: &IdedExpr, range: &mut Range<usize>) {
        if let Some((start, stop)) = self.info.offset_for(tree.id) {
            let (mut start, mut end) = (start as usize, stop as usize + 1);
            match &tree.expr {
                Cel::Call(call) if self.source[start..].starts_with('(') => {
                    start = start.saturating_sub(call.func_name.len());
                    end = self.closing(end);
                }
                Cel::Comprehension(_) | Cel::List(_) => end = self.closing(end),
                Cel::Select(select) if self.source[start..].starts_with('.') => {
                    end += select.field.len();
                }
                // The operand of `has(a.b)` stands for the whole of it.
                Cel::Select(select) => end += 1 + select.field.len(),
                _ => (),
            }
            range.start = range.start.min(start);
            range.end = range.end.max(end.min(self.source.len()));
        }
        match &tree.expr {
            Cel::Call(call) => {
                for part in call.target.iter().map(AsRef::as_ref).chain(&call.args) {
                    self.cover(part, range);
                }
            }
            Cel::Select(select) => self.cover(&select.operand, range),
            Cel::List(list) => {
                for part in &list.elements {
                    self.cover(part, range);
                }
            }
            Cel::Comprehension(loop_) => self.cover(&loop_.iter_range, range),
            _ => (),
        }
    }

    /// The end of what a bracket that was opened just before `from` encloses.
    fn closing(&self, from: usize) -> usize {
        let mut open = 1;
        let mut quote = None;
        for (at, c) in self.source[from..].char_indices() {
            match (quote, c) {
                (None, '(' | '[') => open += 1,
                (None, ')' | ']') => open -= 1,
                (None, '"' | '\'') => quote = Some(c),
                (Some(end), c) if c == end => quote = None,
                _ => (),
            }
            if open == 0 {
                return from + at + 1;
            }
        }
        self.source.len()
    }
}
