//! Appending: one transaction for all that a reading of the inputs causes.

use std::sync::Arc;

use sqlx::Connection;
use sqlx::sqlite::SqliteConnection;

use crate::model::{OWN_SOURCE, ReleaseId, Timestamp};
use crate::sqlite::{chunks, repeated};

use super::super::packed::{Names, compress, pack_files};
use super::super::{Control, DeadLetter, Record, RecordError, encode};
use super::read::{Head, head};
use super::*;

/// A batch of more bytes is split, so that a reader needs no more at once.
const BATCH_BYTES_SPLIT: usize = 16 << 20;

impl Log {
    /// Appends in one transaction. When it returns, all of it survives a power cut; if it returns
    /// an error, none of it was kept and it may be tried again.
    ///
    /// # Errors
    /// [`Error`] if the file can't be written, with what to do about it.
    pub async fn append(&mut self, append: Append) -> Result<Appended, Error> {
        let failed = self.failed("appending");
        let mut transaction = self.writer.begin_with("BEGIN IMMEDIATE").await.map_err(&failed)?;
        // From the file and not from memory: an append whose future was dropped may be in it.
        let Head { ends: before, ticks, .. } = head(&mut transaction, &self.path).await?;
        let relayed = append.relayed.len();
        let fresh = not_received(&mut transaction, append.relayed).await.map_err(&failed)?;
        let known = relayed - fresh.len();
        let mut batches = Batches::new(ticks);
        let mut new_controls =
            controls(&mut transaction, &append.records).await.map_err(&failed)?;
        for record in append.records.into_iter().chain(fresh) {
            let told = record.told_to_winner();
            batches.add(record, &mut new_controls);
            if let Some(told) = told {
                batches.add(told, &mut new_controls);
            }
        }
        let mut ends = before.clone();
        let rows = batches.encode(&mut ends).map_err(|(partition, offset, source)| {
            Error::Records { path: self.path.display().to_string(), partition, offset, source }
        })?;
        write_batches(&mut transaction, &rows, append.at).await.map_err(&failed)?;
        for (partition, tick) in batches.ticks.iter().enumerate() {
            if ends[partition] != before[partition] {
                sqlx::query(
                    "UPDATE partitions SET next_offset = ?, last_tick = ? WHERE partition = ?",
                )
                .bind(ends[partition].cast_signed())
                .bind(tick.map(Timestamp::ms))
                .bind(partition as i64)
                .execute(&mut *transaction)
                .await
                .map_err(&failed)?;
            }
        }
        write_graph(&mut transaction, &append.graph).await.map_err(&failed)?;
        write_dead_letters(&mut transaction, &append.dead_letters).await.map_err(&failed)?;
        erase(&mut transaction, &append.erase).await.map_err(&failed)?;
        self.erased |= !append.erase.is_empty();
        write_positions(&mut transaction, &append.positions).await.map_err(&failed)?;
        transaction.commit().await.map_err(&failed)?;
        self.ticks = batches.ticks;
        self.ends.send_replace(Arc::from(ends.as_slice()));
        Ok(Appended { first: before, ends, known })
    }

    /// The number of a source; a new name gets the next one.
    ///
    /// # Errors
    /// [`Error`] if the file can't be written.
    pub async fn source(&mut self, name: &str) -> Result<u16, Error> {
        let number: i64 = sqlx::query_scalar(
            "INSERT INTO sources (number, name)
             VALUES ((SELECT coalesce(max(number), 0) + 1 FROM sources), ?)
             ON CONFLICT (name) DO UPDATE SET name = excluded.name
             RETURNING number",
        )
        .bind(name)
        .fetch_one(&mut self.writer)
        .await
        .map_err(self.failed("numbering a source"))?;
        let number = u16::try_from(number).ok().filter(|number| *number != OWN_SOURCE);
        number.ok_or_else(|| Error::Damaged {
            path: self.path.display().to_string(),
            what: format!("{OWN_SOURCE} sources or more; a source is named once and kept"),
        })
    }

    /// Keeps a release; one that is there already stays as it is, its id being its content.
    ///
    /// # Errors
    /// [`Error`] if the file can't be written.
    pub async fn put_release(
        &mut self,
        id: ReleaseId,
        files: &[(String, Vec<u8>)],
        at: Timestamp,
    ) -> Result<(), Error> {
        let damaged = |what: String| Error::Damaged { path: self.path.display().to_string(), what };
        let (packed, bytes) = pack_files(files).map_err(damaged)?;
        sqlx::query(
            "INSERT INTO releases (id, files, bytes, created_at) VALUES (?, ?, ?, ?)
             ON CONFLICT (id) DO NOTHING",
        )
        .bind(&id.to_bytes()[..])
        .bind(packed)
        .bind(bytes as i64)
        .bind(at.ms())
        .execute(&mut self.writer)
        .await
        .map_err(self.failed("keeping a release"))?;
        Ok(())
    }
}

/// Records on their way into batches, by partition.
struct Batches {
    records: Vec<Vec<Record>>,
    ticks: Vec<Option<Timestamp>>,
}

/// One row of `batches`.
struct BatchRow {
    partition: u32,
    base_offset: u64,
    records: usize,
    bytes: usize,
    payload: Vec<u8>,
}

impl Batches {
    fn new(ticks: Vec<Option<Timestamp>>) -> Self {
        Self { records: vec![Vec::new(); ticks.len()], ticks }
    }

    fn add(&mut self, record: Record, new_controls: &mut Vec<Control>) {
        if let Some(customer) = record.customer() {
            let partition = customer.partition(u32::try_from(self.ticks.len()).unwrap_or(u32::MAX));
            self.records[partition as usize].push(record);
            return;
        }
        if let Record::Control(control) = &record {
            let Some(new) = new_controls.iter().position(|new| *new == **control) else { return };
            new_controls.swap_remove(new);
        }
        for (partition, records) in self.records.iter_mut().enumerate() {
            if let Record::Tick(tick) = &record {
                if self.ticks[partition].is_some_and(|last| *tick <= last) {
                    continue;
                }
                self.ticks[partition] = Some(*tick);
            }
            records.push(record.clone());
        }
    }

    /// Encodes the batches and moves the ends past them.
    fn encode(&self, ends: &mut [u64]) -> Result<Vec<BatchRow>, (u32, u64, RecordError)> {
        let mut rows = Vec::new();
        for (partition, records) in (0..).zip(&self.records) {
            let end = &mut ends[partition as usize];
            let mut batches: Vec<&[Record]> = records.chunks(BATCH_RECORDS_MAX).rev().collect();
            while let Some(batch) = batches.pop() {
                let at = |error| (partition, *end, error);
                let encoded = encode(batch).map_err(at)?;
                if encoded.len() > BATCH_BYTES_SPLIT && batch.len() > 1 {
                    let (first, second) = batch.split_at(batch.len() / 2);
                    batches.extend([second, first]);
                    continue;
                }
                let payload = compress(&encoded)
                    .map_err(|error| at(RecordError::Damaged(error.to_string())))?;
                let (records, bytes) = (batch.len(), encoded.len());
                rows.push(BatchRow { partition, base_offset: *end, records, bytes, payload });
                *end += records as u64;
            }
        }
        Ok(rows)
    }
}

async fn write_batches(
    connection: &mut SqliteConnection,
    rows: &[BatchRow],
    at: Timestamp,
) -> Result<(), sqlx::Error> {
    for row in rows {
        sqlx::query(
            "INSERT INTO batches (partition, base_offset, records, appended_at, bytes, payload)
             VALUES (?, ?, ?, ?, ?, ?)",
        )
        .bind(row.partition)
        .bind(row.base_offset.cast_signed())
        .bind(row.records as i64)
        .bind(at.ms())
        .bind(row.bytes as i64)
        .bind(row.payload.as_slice())
        .execute(&mut *connection)
        .await?;
    }
    Ok(())
}

/// Remembers the ids, and leaves only the records whose id is new.
async fn not_received(
    connection: &mut SqliteConnection,
    relayed: Vec<(u128, Record)>,
) -> Result<Vec<Record>, sqlx::Error> {
    let mut fresh = std::collections::BTreeSet::new();
    for chunk in chunks(&relayed) {
        let sql = repeated(
            "INSERT INTO received (id) VALUES {} ON CONFLICT DO NOTHING RETURNING id",
            "(?)",
            chunk.len(),
        );
        let mut query = sqlx::query_scalar::<_, Vec<u8>>(sql);
        for (id, _) in chunk {
            query = query.bind(id.to_be_bytes().to_vec());
        }
        fresh.extend(query.fetch_all(&mut *connection).await?);
    }
    // An id that comes twice in one append is new once.
    let kept = relayed.into_iter().filter(|(id, _)| fresh.remove(&id.to_be_bytes()[..]));
    Ok(kept.map(|(_, record)| record).collect())
}

/// Remembers the controls, and returns those that are new.
async fn controls(
    connection: &mut SqliteConnection,
    records: &[Record],
) -> Result<Vec<Control>, sqlx::Error> {
    let mut new = Vec::new();
    for record in records {
        let Record::Control(control) = record else { continue };
        let written =
            sqlx::query("INSERT INTO controls (release, at) VALUES (?, ?) ON CONFLICT DO NOTHING")
                .bind(&control.release.to_bytes()[..])
                .bind(control.at.ms())
                .execute(&mut *connection)
                .await?;
        if written.rows_affected() > 0 {
            new.push(**control);
        }
    }
    Ok(new)
}

async fn write_graph(
    connection: &mut SqliteConnection,
    rows: &[GraphRow],
) -> Result<(), sqlx::Error> {
    for chunk in chunks(rows) {
        let sql = repeated(
            "INSERT INTO graph (key, row, source, partition, position) VALUES {}
             ON CONFLICT (key) DO UPDATE SET row = excluded.row, source = excluded.source,
                 partition = excluded.partition, position = excluded.position",
            "(?,?,?,?,?)",
            chunk.len(),
        );
        let mut query = sqlx::query(sql);
        for row in chunk {
            query = query
                .bind(row.key.to_be_bytes().to_vec())
                .bind(row.row.as_slice())
                .bind(row.tie.source)
                .bind(row.tie.partition)
                .bind(row.tie.offset.cast_signed());
        }
        query.execute(&mut *connection).await?;
    }
    Ok(())
}

async fn write_dead_letters(
    connection: &mut SqliteConnection,
    letters: &[DeadLetter],
) -> Result<(), sqlx::Error> {
    for chunk in chunks(letters) {
        let sql = repeated(
            "INSERT INTO dead_letters (source, partition, position, reason, payload, whole, at)
             VALUES {}",
            "(?,?,?,?,?,?,?)",
            chunk.len(),
        );
        let mut query = sqlx::query(sql);
        for letter in chunk {
            let (kept, whole) = letter.kept();
            query = query
                .bind(letter.source)
                .bind(letter.partition)
                .bind(letter.position.cast_signed())
                .bind(letter.reason.as_str())
                .bind(kept)
                .bind(whole)
                .bind(letter.at.ms());
        }
        query.execute(&mut *connection).await?;
    }
    Ok(())
}

/// Takes the record, and a reason that quotes it, from every dead letter that holds a value.
async fn erase(connection: &mut SqliteConnection, values: &[String]) -> Result<(), sqlx::Error> {
    for value in values.iter().filter(|value| !value.is_empty()) {
        let name = Names::new(std::slice::from_ref(value));
        let found: Vec<(i64, Option<Vec<u8>>, String)> = sqlx::query_as(
            "SELECT id, payload, reason FROM dead_letters
             WHERE instr(lower(CAST(payload AS TEXT)), lower(?1)) > 0
                OR instr(lower(reason), lower(?1)) > 0",
        )
        .bind(value)
        .fetch_all(&mut *connection)
        .await?;
        for (id, payload, reason) in found {
            let in_payload = payload.is_some_and(|payload| name.are_in(&payload));
            let in_reason = name.are_in(reason.as_bytes());
            if !in_payload && !in_reason {
                continue;
            }
            sqlx::query(
                "UPDATE dead_letters SET payload = NULL, whole = 0,
                     reason = CASE WHEN ? THEN 'erased' ELSE reason END
                 WHERE id = ?",
            )
            .bind(in_reason)
            .bind(id)
            .execute(&mut *connection)
            .await?;
        }
    }
    Ok(())
}

async fn write_positions(
    connection: &mut SqliteConnection,
    positions: &[InputPosition],
) -> Result<(), sqlx::Error> {
    for position in positions {
        sqlx::query(
            "INSERT INTO positions (source, partition, next) VALUES (?, ?, ?)
             ON CONFLICT (source, partition) DO UPDATE SET next = excluded.next",
        )
        .bind(position.source)
        .bind(position.partition)
        .bind(position.next.cast_signed())
        .execute(&mut *connection)
        .await?;
    }
    Ok(())
}
