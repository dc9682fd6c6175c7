//! Conditions: CEL syntax, our own types and exact evaluation. The only place that knows CEL.
//!
//! A condition is parsed once, checked against the typed variables and turned into a small tree;
//! evaluating the tree looks up no names and, for everything but `lower()`, allocates nothing.
//!
//! A fact that is not known is null: a comparison with it is false, `!=` is true, arithmetic with
//! it is null again, and as a truth it counts as false. `has()` tests for it.

mod check;
mod eval;
mod node;

use std::ops::Range;

use super::{Env, Var};
pub use check::FUNCTIONS;
use eval::Cx;
use node::Node;

/// The longest condition, in bytes.
pub const CONDITION_BYTES_MAX: usize = 2_000;

/// A checked condition.
#[derive(Clone, Debug)]
pub struct Expr {
    source: String,
    vars: Vec<Var>,
    root: Node,
}

/// Why a condition has no value. The engine takes it as false and says so in the trace.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EvalError {
    /// Amounts of two currencies were compared or added.
    #[error("{0} and {1} are different currencies")]
    Currency(String, String),
    /// A sum or product is too large.
    #[error("a number is too large")]
    Overflow,
}

/// What is wrong with a condition, and where in its text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExprError {
    /// What kind of mistake it is.
    pub kind: ExprErrorKind,
    /// The bytes of the condition's text that it speaks of.
    pub range: Range<usize>,
    /// What is wrong.
    pub message: String,
    /// The way out.
    pub help: Option<String>,
}

/// What kind of mistake a condition has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExprErrorKind {
    /// It is not written correctly.
    Syntax,
    /// It names what does not exist.
    Unknown,
    /// It puts together what does not go together.
    Type,
    /// It reads what means nothing at its place.
    Scope,
}

/// Which variables mean something where a condition stands.
///
/// `event` is the event that a rule speaks of; in `only_while` and in `if` steps it is the event
/// that started the run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scope {
    /// Whether there is an event to speak of.
    pub event: bool,
    /// Whether the passing of time alone wakes the condition.
    pub now: bool,
}

impl Scope {
    /// Every variable.
    pub const ALL: Self = Self { event: true, now: true };
}

impl Expr {
    /// Parses and checks a condition.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub fn compile(source: &str, scope: Scope) -> Result<Self, Vec<ExprError>> {
        let (root, vars) = check::check(source, scope)?;
        Ok(Self { source: source.to_owned(), vars: vars.into_iter().collect(), root })
    }

    /// A condition that always, or never, holds.
    #[must_use]
    pub fn constant(value: bool) -> Self {
        Self { source: value.to_string(), vars: Vec::new(), root: Node::Bool(value) }
    }

    /// The condition as the author wrote it.
    #[must_use]
    pub fn source(&self) -> &str {
        &self.source
    }

    /// The variables it reads, sorted.
    #[must_use]
    pub fn vars(&self) -> &[Var] {
        &self.vars
    }

    /// Whether the condition holds. A comparison with a fact that is not known is false.
    ///
    /// # Errors
    /// [`EvalError`] if it has no value.
    pub fn test(&self, env: &dyn Env) -> Result<bool, EvalError> {
        self.root.truth(Cx::new(env))
    }

    /// Its text without the white space that changes nothing, for the hash of a structure.
    #[must_use]
    pub fn canonical(&self) -> String {
        let is_word = |c: char| c.is_alphanumeric() || c == '_';
        let mut out = String::with_capacity(self.source.len());
        let mut quote = None;
        let mut gap = false;
        let mut escaped = false;
        for c in self.source.chars() {
            if let Some(end) = quote {
                out.push(c);
                if !escaped && c == end {
                    quote = None;
                }
                escaped = !escaped && c == '\\';
                continue;
            }
            if c.is_whitespace() {
                gap = true;
                continue;
            }
            if gap && is_word(c) && out.chars().next_back().is_some_and(is_word) {
                out.push(' ');
            }
            gap = false;
            if matches!(c, '"' | '\'') {
                quote = Some(c);
            }
            out.push(c);
        }
        out
    }
}

#[cfg(test)]
mod tests;
