//! Reading: concurrently with appends, on connections of its own.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use sqlx::sqlite::{SqliteConnection, SqlitePool};
use tokio::sync::watch;

use crate::model::{ReleaseId, Timestamp};
use crate::sqlite::{chunks, explain, open_to_change, open_to_read, repeated};

use super::super::packed::unpack_files;
use super::super::{
    Control, DeadLetter, DeadLetterFilter, DeadLetters, KeptLetter, ReadLog, Record, RecordError,
    decode,
};
use super::*;

/// The reading side of the log. Cheap to clone.
#[derive(Clone, Debug)]
pub struct LogReader {
    path: PathBuf,
    pool: SqlitePool,
    partitions: u32,
    /// The writer's ends, where it is in this process.
    ends: Option<watch::Receiver<Arc<[u64]>>>,
}

/// What is fixed of a log, and where it ends.
pub(super) struct Head {
    pub(super) identity_key: [u8; 32],
    pub(super) ends: Vec<u64>,
    pub(super) ticks: Vec<Option<Timestamp>>,
}

impl LogReader {
    pub(super) const fn new(
        path: PathBuf,
        pool: SqlitePool,
        partitions: u32,
        ends: Option<watch::Receiver<Arc<[u64]>>>,
    ) -> Self {
        Self { path, pool, partitions, ends }
    }

    /// Opens an existing log for reading, beside a writing process or without one.
    ///
    /// # Errors
    /// [`Error`] if there is no log, or not one that this build can read.
    pub async fn open(path: &Path) -> Result<Self, Error> {
        let pool = open_to_read(path, &KIND).await?;
        let mut reader = Self { path: path.to_owned(), pool, partitions: 0, ends: None };
        reader.partitions = u32::try_from(reader.head().await?.ends.len()).unwrap_or(u32::MAX);
        Ok(reader)
    }

    /// The first free offset of a partition.
    ///
    /// # Errors
    /// [`Error`] if the file can't be read.
    pub async fn end(&self, partition: u32) -> Result<u64, Error> {
        if let Some(ends) = &self.ends {
            return Ok(ends.borrow().get(partition as usize).copied().unwrap_or(0));
        }
        Ok(self.head().await?.ends.get(partition as usize).copied().unwrap_or(0))
    }

    /// When the log was last appended to; `None` for an empty one.
    ///
    /// # Errors
    /// [`Error`] if the file can't be read.
    pub async fn last_append(&self) -> Result<Option<Timestamp>, Error> {
        let last: Option<i64> = sqlx::query_scalar(
            "SELECT max((SELECT appended_at FROM batches WHERE partition = p.partition
                         ORDER BY base_offset DESC LIMIT 1)) FROM partitions p",
        )
        .fetch_one(&self.pool)
        .await
        .map_err(self.failed("reading the log's end"))?;
        Ok(last.map(Timestamp::from_ms))
    }

    /// Waits until a partition ends past `offset`; `false` if the writer is gone or was never in
    /// this process.
    pub async fn grown(&self, partition: u32, offset: u64) -> bool {
        let Some(mut ends) = self.ends.clone() else { return false };
        ends.wait_for(|ends| ends.get(partition as usize).is_some_and(|end| *end > offset))
            .await
            .is_ok()
    }

    /// How far each input was read.
    ///
    /// # Errors
    /// [`Error`] if the file can't be read.
    pub async fn positions(&self) -> Result<Vec<InputPosition>, Error> {
        let rows: Vec<(u16, u32, i64)> = sqlx::query_as(
            "SELECT source, partition, next FROM positions ORDER BY source, partition",
        )
        .fetch_all(&self.pool)
        .await
        .map_err(self.failed("reading the input positions"))?;
        let position = |(source, partition, next): (u16, u32, i64)| InputPosition {
            source,
            partition,
            next: next.cast_unsigned(),
        };
        Ok(rows.into_iter().map(position).collect())
    }

    async fn head(&self) -> Result<Head, Error> {
        let mut connection =
            self.pool.acquire().await.map_err(self.failed("reading the log's head"))?;
        head(&mut connection, &self.path).await
    }

    fn sixteen(&self, bytes: &[u8]) -> Result<[u8; 16], Error> {
        bytes.try_into().map_err(|_| self.damaged(format!("a key of {} bytes", bytes.len())))
    }

    fn damaged(&self, what: String) -> Error {
        Error::Damaged { path: self.path.display().to_string(), what }
    }

    fn failed(&self, doing: &'static str) -> impl Fn(sqlx::Error) -> Error + use<'_> {
        move |source| explain(&self.path, &KIND, doing, source).into()
    }
}

impl ReadLog for LogReader {
    fn partitions(&self) -> u32 {
        self.partitions
    }

    async fn read(
        &self,
        partition: u32,
        from: u64,
        records_min: usize,
    ) -> Result<Vec<(u64, Record)>, Error> {
        let mut records = Vec::new();
        let mut next = from;
        while records.len() < records_min.max(1) {
            // The batch that holds `next`, else the first one after it: then records are gone.
            let row: Option<(i64, i64, i64, Vec<u8>)> = sqlx::query_as(
                "SELECT base_offset, records, bytes, payload FROM batches
                 WHERE partition = ?1 AND base_offset >= coalesce(
                     (SELECT max(base_offset) FROM batches WHERE partition = ?1 AND base_offset <= ?2), 0)
                   AND base_offset + records > ?2
                 ORDER BY base_offset LIMIT 1",
            )
            .bind(partition)
            .bind(next.cast_signed())
            .fetch_optional(&self.pool)
            .await
            .map_err(self.failed("reading records"))?;
            let Some((base, count, bytes, payload)) = row else { break };
            let base = base.cast_unsigned();
            if base > next {
                let topic = self.path.display().to_string();
                return Err(Error::HeadGone { topic, partition, from: next, first: base });
            }
            let batch = unpack(&payload, bytes, count).map_err(|source| Error::Records {
                path: self.path.display().to_string(),
                partition,
                offset: base,
                source,
            })?;
            next = base + count.cast_unsigned();
            let numbered = (base..).zip(batch).filter(|(offset, _)| *offset >= from);
            records.extend(numbered);
        }
        Ok(records)
    }

    async fn controls(&self) -> Result<Vec<Control>, Error> {
        let rows: Vec<(Vec<u8>, i64)> =
            sqlx::query_as("SELECT release, at FROM controls ORDER BY at, release")
                .fetch_all(&self.pool)
                .await
                .map_err(self.failed("reading the activations"))?;
        rows.into_iter()
            .map(|(release, at)| {
                let release = ReleaseId::from_bytes(self.sixteen(&release)?);
                Ok(Control { release, at: Timestamp::from_ms(at) })
            })
            .collect()
    }

    async fn release(&self, id: ReleaseId) -> Result<Option<ReleaseFiles>, Error> {
        let row: Option<(Vec<u8>, i64)> =
            sqlx::query_as("SELECT files, bytes FROM releases WHERE id = ?")
                .bind(id.to_bytes().to_vec())
                .fetch_optional(&self.pool)
                .await
                .map_err(self.failed("reading a release"))?;
        let Some((packed, bytes)) = row else { return Ok(None) };
        let damaged = |what: String| self.damaged(format!("release {id}: {what}"));
        unpack_files(&packed, bytes).map(Some).map_err(damaged)
    }

    async fn identity_key(&self) -> Result<[u8; 32], Error> {
        Ok(self.head().await?.identity_key)
    }

    async fn graph(&self, keys: &[u128]) -> Result<Vec<(u128, Vec<u8>)>, Error> {
        let mut rows = Vec::with_capacity(keys.len());
        for chunk in chunks(keys) {
            let sql = repeated("SELECT key, row FROM graph WHERE key IN ({})", "?", chunk.len());
            let mut query = sqlx::query_as::<_, (Vec<u8>, Vec<u8>)>(sql);
            for key in chunk {
                query = query.bind(key.to_be_bytes().to_vec());
            }
            let found =
                query.fetch_all(&self.pool).await.map_err(self.failed("reading identities"))?;
            for (key, row) in found {
                rows.push((u128::from_be_bytes(self.sixteen(&key)?), row));
            }
        }
        Ok(rows)
    }

    async fn sources(&self) -> Result<Vec<(u16, String)>, Error> {
        sqlx::query_as("SELECT number, name FROM sources ORDER BY number")
            .fetch_all(&self.pool)
            .await
            .map_err(self.failed("reading the sources"))
    }
}

impl DeadLetters for LogReader {
    async fn dead_letters(&self, filter: &DeadLetterFilter) -> Result<Vec<KeptLetter>, Error> {
        type Row = (i64, u16, u32, i64, String, Option<Vec<u8>>, bool, i64, Option<i64>);
        let rows: Vec<Row> = sqlx::query_as(
            "SELECT id, source, partition, position, reason, payload, whole, at, retried_at
             FROM dead_letters
             WHERE (?1 IS NULL OR id = ?1) AND (?2 IS NULL OR source = ?2)
                 AND (?3 IS NULL OR instr(lower(reason), lower(?3)) > 0)
                 AND (?4 IS NULL OR id < ?4) AND (?5 OR retried_at IS NULL)
             ORDER BY id DESC LIMIT ?6",
        )
        .bind(filter.id)
        .bind(filter.source)
        .bind(filter.reason.as_deref())
        .bind(filter.before)
        .bind(filter.retried)
        .bind(filter.limit)
        .fetch_all(&self.pool)
        .await
        .map_err(self.failed("reading dead letters"))?;
        let letter =
            |(id, source, partition, position, reason, payload, whole, at, retried): Row| {
                let (position, at) = (position.cast_unsigned(), Timestamp::from_ms(at));
                let letter = DeadLetter { source, partition, position, reason, payload, whole, at };
                KeptLetter { id, letter, retried: retried.map(Timestamp::from_ms) }
            };
        Ok(rows.into_iter().map(letter).collect())
    }

    async fn remove_letters(&self, before: Timestamp, limit: u32) -> Result<u64, Error> {
        let mut writer = open_to_change(&self.path, &KIND).await?;
        let removed = sqlx::query(
            "DELETE FROM dead_letters WHERE id IN (
                 SELECT id FROM dead_letters WHERE at < ? ORDER BY at LIMIT ?)",
        )
        .bind(before.ms())
        .bind(limit)
        .execute(&mut writer)
        .await
        .map_err(self.failed("removing dead letters"))?;
        Ok(removed.rows_affected())
    }

    /// A small change beside the worker that may be writing.
    async fn retried(&self, ids: &[i64], now: Timestamp) -> Result<(), Error> {
        let mut writer = open_to_change(&self.path, &KIND).await?;
        for chunk in chunks(ids) {
            let sql = repeated(
                "UPDATE dead_letters SET retried_at = ? WHERE id IN ({})",
                "?",
                chunk.len(),
            );
            let mut query = sqlx::query(sql).bind(now.ms());
            for id in chunk {
                query = query.bind(*id);
            }
            query.execute(&mut writer).await.map_err(self.failed("marking dead letters"))?;
        }
        Ok(())
    }
}

/// Reads what is fixed of a log, and where it ends.
pub(super) async fn head(connection: &mut SqliteConnection, path: &Path) -> Result<Head, Error> {
    let failed = |source| explain(path, &KIND, "reading the log's head", source);
    let (partitions, key): (i64, Vec<u8>) =
        sqlx::query_as("SELECT partitions, identity_key FROM log")
            .fetch_one(&mut *connection)
            .await
            .map_err(failed)?;
    let rows: Vec<(i64, Option<i64>)> =
        sqlx::query_as("SELECT next_offset, last_tick FROM partitions ORDER BY partition")
            .fetch_all(&mut *connection)
            .await
            .map_err(failed)?;
    let damaged = |what: String| Error::Damaged { path: path.display().to_string(), what };
    if rows.len() as i64 != partitions {
        return Err(damaged(format!("{partitions} partitions, but {} have an end", rows.len())));
    }
    let identity_key =
        key.try_into().map_err(|_| damaged("the identity key is not 32 bytes".into()))?;
    let ends = rows.iter().map(|(end, _)| end.cast_unsigned()).collect();
    let ticks = rows.iter().map(|(_, tick)| tick.map(Timestamp::from_ms)).collect();
    Ok(Head { identity_key, ends, ticks })
}

/// Decompresses and decodes a batch, and holds it against what its row says.
fn unpack(payload: &[u8], bytes: i64, count: i64) -> Result<Vec<Record>, RecordError> {
    let bytes = usize::try_from(bytes).unwrap_or(0).min(BATCH_BYTES_MAX);
    let encoded = zstd::bulk::decompress(payload, bytes)
        .map_err(|error| RecordError::Damaged(error.to_string()))?;
    let records = decode(&encoded)?;
    if records.len() as i64 != count {
        let found = records.len();
        return Err(RecordError::Damaged(format!("{found} records where {count} are announced")));
    }
    Ok(records)
}
