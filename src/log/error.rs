//! Why a log can't do what was asked.

use super::{PARTITIONS_MAX, RecordError};
use crate::sqlite;

/// Why the log can't do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file.
    #[error(transparent)]
    File(#[from] sqlite::Error),
    /// The partition count is fixed when the file is made.
    #[error(
        "{path} has {found} partitions, the configuration says {wanted}; the number is fixed when the log is made: \
         set it to {found}, or name a new file"
    )]
    Partitions {
        /// The file.
        path: String,
        /// In the file.
        found: u32,
        /// Asked for.
        wanted: u32,
    },
    /// A number of partitions that no log can have.
    #[error("a log has 1 to {PARTITIONS_MAX} partitions, not {0}")]
    PartitionCount(u32),
    /// Stored bytes that can't be read.
    #[error("{path}, partition {partition}, batch at offset {offset}")]
    Records {
        /// The file.
        path: String,
        /// The partition.
        partition: u32,
        /// Offset of the batch's first record.
        offset: u64,
        /// The cause.
        #[source]
        source: RecordError,
    },
    /// Something stored is not as this program writes it.
    #[error("{path}: {what}")]
    Damaged {
        /// The file.
        path: String,
        /// What is wrong.
        what: String,
    },
    /// Postgres, where the log is in Kafka.
    #[error(transparent)]
    Postgres(#[from] crate::postgres::Error),
    /// Kafka.
    #[error(transparent)]
    Kafka(#[from] crate::kafka::Error),
    /// No log has been made there.
    #[error("{0} holds no log yet; start `waypost run` once, which makes it")]
    NoLog(String),
    /// Another worker has taken a partition of an input.
    #[error("partition {partition} of source {source_number} was taken by another worker")]
    Taken {
        /// Number of the source.
        source_number: u16,
        /// The partition.
        partition: u32,
    },
    /// This machine's clock is ahead of that of Postgres.
    #[error(
        "time would be said to be {} s ahead of the clock of Postgres, so this worker does not tick; set right whichever of the two clocks is wrong (`waypost doctor` compares them)",
        .by_ms / 1_000
    )]
    ClockAhead {
        /// How far ahead the tick would have been, in milliseconds.
        by_ms: i64,
    },
    /// Records that are asked for are gone from the topic.
    #[error(
        "{topic}, partition {partition}: the records from offset {from} on are gone up to {first}; \
         its retention is shorter than what is asked for"
    )]
    HeadGone {
        /// The topic, or the file.
        topic: String,
        /// The partition.
        partition: u32,
        /// Asked for.
        from: u64,
        /// The first that is there.
        first: u64,
    },
    /// The system gave no random bytes.
    #[error("the system gives no random bytes for the log's secret key")]
    Random,
    /// A reading that broke off.
    #[error("reading the log broke off")]
    Interrupted,
}

impl Error {
    /// Whether the same may well succeed a little later.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Postgres(error) => error.is_transient(),
            Self::Kafka(error) => error.is_transient(),
            // Clocks are set right while workers run, and another worker may have a better one.
            Self::ClockAhead { .. } => true,
            _ => false,
        }
    }
}
