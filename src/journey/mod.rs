//! The journey language: files in, checked [`Plan`]s out. Pure; no I/O.

mod catalog;
mod expr;
mod plan;
mod rules;
mod schedule;
mod vars;
mod window;

pub use catalog::*;
pub use expr::{EvalError, Expr};
pub use plan::*;
pub use rules::*;
pub use schedule::Schedule;
pub use vars::*;
