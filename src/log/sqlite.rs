//! The embedded log: one SQLite file with a fixed number of partitions.
//!
//! A row is a batch of records of one partition, compressed and checksummed. Everything that an
//! input position causes (records, identity graph, dead letters, the position itself) is appended
//! in one transaction, so after a crash a position is either wholly in the log or not at all.

mod append;
mod read;
mod rows;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use sqlx::Connection;
use sqlx::sqlite::SqliteConnection;
use tokio::sync::watch;

use crate::model::Timestamp;
use crate::sqlite::{self, Database, Kind, Limits, Lock};

use super::{Error, PARTITIONS_MAX, ReadLog};
pub use read::LogReader;
pub use rows::*;

/// The most records in one batch, hence in one row.
pub const BATCH_RECORDS_MAX: usize = 4_096;
/// The most bytes of one encoded batch that is read back; larger ones hold a single record, and no
/// source may send one that large.
pub const BATCH_BYTES_MAX: usize = 256 << 20;

const KIND: Kind = Kind {
    name: "log",
    application_id: 0x5759_4C47,
    migrations: &[(1, "log", include_str!("../../migrations/log/0001_log.sql"))],
};

/// The writing side of the log. One process has it; reading goes through [`Log::reader`].
#[derive(Debug)]
pub struct Log {
    path: PathBuf,
    writer: SqliteConnection,
    reader: LogReader,
    ends: watch::Sender<Arc<[u64]>>,
    ticks: Vec<Option<Timestamp>>,
    identity_key: [u8; 32],
    /// Whether something was erased since the file was opened.
    erased: bool,
    _lock: Lock,
}

impl Log {
    /// Opens the log, or makes it with this many partitions.
    ///
    /// # Errors
    /// [`Error`] if the file can't be used as it is or has another number of partitions.
    pub async fn open(path: &Path, partitions: u32) -> Result<Self, Error> {
        Self::open_limited(path, partitions, Limits::default()).await
    }

    /// As [`Log::open`], with limits on the file.
    ///
    /// # Errors
    /// As [`Log::open`].
    pub async fn open_limited(path: &Path, partitions: u32, limits: Limits) -> Result<Self, Error> {
        if !(1..=PARTITIONS_MAX).contains(&partitions) {
            return Err(Error::PartitionCount(partitions));
        }
        let Database { path, mut writer, readers, lock } =
            sqlite::open(path, &KIND, limits).await?;
        create(&mut writer, partitions)
            .await
            .map_err(|source| sqlite::explain(&path, &KIND, "creating", source))?;
        let head = read::head(&mut writer, &path).await?;
        let found = u32::try_from(head.ends.len()).unwrap_or(u32::MAX);
        if found != partitions {
            let path = path.display().to_string();
            return Err(Error::Partitions { path, found, wanted: partitions });
        }
        let (ends, watched) = watch::channel(Arc::from(head.ends));
        let reader = LogReader::new(path.clone(), readers, partitions, Some(watched));
        let identity_key = head.identity_key;
        Ok(Self {
            path,
            writer,
            reader,
            ends,
            ticks: head.ticks,
            identity_key,
            erased: false,
            _lock: lock,
        })
    }

    /// A reader of this log; cheap to clone, sees every append at once.
    #[must_use]
    pub fn reader(&self) -> LogReader {
        self.reader.clone()
    }

    /// How many partitions the log has.
    #[must_use]
    pub fn partitions(&self) -> u32 {
        self.reader.partitions()
    }

    /// The first free offset of a partition.
    #[must_use]
    pub fn end(&self, partition: u32) -> u64 {
        self.ends.borrow().get(partition as usize).copied().unwrap_or(0)
    }

    /// The greatest tick in a partition.
    #[must_use]
    pub fn last_tick(&self, partition: u32) -> Option<Timestamp> {
        self.ticks.get(partition as usize).copied().flatten()
    }

    /// The secret key of identity hashes, made with the file. It never changes.
    #[must_use]
    pub const fn identity_key(&self) -> [u8; 32] {
        self.identity_key
    }

    /// Closes the log after the last append, with all of it in the file itself.
    ///
    /// # Errors
    /// [`Error::File`]; everything appended is kept nevertheless.
    pub async fn close(mut self) -> Result<(), Error> {
        sqlite::finish(&mut self.writer, self.erased).await.map_err(self.failed("closing"))
    }

    fn failed(&self, doing: &'static str) -> impl Fn(sqlx::Error) -> Error + use<> {
        let path = self.path.clone();
        move |source| sqlite::explain(&path, &KIND, doing, source).into()
    }
}

/// Writes the head of a new log; does nothing to one that has it.
async fn create(writer: &mut SqliteConnection, partitions: u32) -> Result<(), sqlx::Error> {
    let mut transaction = writer.begin_with("BEGIN IMMEDIATE").await?;
    let made = sqlx::query(
        "INSERT INTO log (partitions, identity_key)
         SELECT ?, randomblob(32) WHERE NOT EXISTS (SELECT 1 FROM log)",
    )
    .bind(partitions)
    .execute(&mut *transaction)
    .await?;
    if made.rows_affected() > 0 {
        sqlx::query(
            "INSERT INTO partitions (partition, next_offset)
             WITH RECURSIVE n (i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i + 1 < ?)
             SELECT i, 0 FROM n",
        )
        .bind(partitions)
        .execute(&mut *transaction)
        .await?;
    }
    transaction.commit().await
}
