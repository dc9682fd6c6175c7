//! The log: the one canonical order of records that every decision is a function of.
//!
//! - [`Record`]: what a lane learns, with its stored encoding.
//! - [`Log`], [`LogReader`]: the embedded log, a SQLite file. One process appends, any may read.

mod record;
mod sqlite;

pub use record::*;
pub use sqlite::*;
