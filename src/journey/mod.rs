//! The journey language: files in, checked [`Plan`]s out. Pure; no I/O.
//!
//! [`compile`] is the way in: YAML becomes a tree (`yaml`), the tree becomes typed fields
//! (`syntax`, `step_syntax`, `words`), the fields become a [`Plan`] of explicit [`Node`]s (`lower`,
//! `lower_steps`), and `check` looks at the whole. Every mistake is a diagnostic with its place.

mod catalog;
mod check;
mod compile;
mod expr;
mod lower;
mod lower_moment;
mod lower_steps;
mod moment;
mod plan;
mod rules;
mod schedule;
mod schema;
mod step_syntax;
mod syntax;
mod vars;
mod version;
mod window;
mod words;

pub use catalog::*;
pub use compile::compile;
pub use expr::{CONDITION_BYTES_MAX, EvalError, Expr, ExprError, ExprErrorKind, FUNCTIONS, Scope};
pub use lower::{GOAL_WITHIN_DEFAULT, PRIORITY_DEFAULT, START_WITHIN_DEFAULT};
pub use lower_steps::{STEP_LEVELS_MAX, STEPS_MAX};
pub use moment::{Moment, MomentDay};
pub use plan::*;
pub use rules::*;
pub use schedule::{Schedule, ScheduleError};
pub use schema::schema;
pub use vars::*;
pub use words::NAME_BYTES_MAX;

pub use crate::diagnostic::SourceFile;

#[cfg(test)]
mod tests;
