//! The log: the one canonical order of records that every decision is a function of.

mod record;

pub use record::*;
