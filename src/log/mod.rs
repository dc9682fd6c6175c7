//! The log: the one canonical order of records that every decision is a function of.
//!
//! - [`Record`]: what a lane learns, with its stored encoding.
//! - [`ReadLog`]: reading it, wherever it is kept.
//! - [`KafkaLog`], [`Registry`]: the log of production, a topic in Kafka and tables in Postgres.
//! - [`Log`], [`LogReader`]: the embedded log, a SQLite file. One process appends, any may read.

mod beside;
mod dead_letters;
mod error;
mod kafka;
mod packed;
mod reading;
mod record;
mod registry;
mod sqlite;

pub use beside::{GRAPH_HEADER, decode_rows, encode_rows};
pub use dead_letters::*;
pub use error::Error;
pub use kafka::{KafkaLog, record_of};
pub use reading::ReadLog;
pub use record::*;
pub use registry::*;
pub use sqlite::*;

/// The most partitions a log may have.
pub const PARTITIONS_MAX: u32 = 1_024;
