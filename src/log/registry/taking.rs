//! One batch of raw records on its way into the log: what has to be kept before Kafka has it.
//!
//! The transaction reads on one snapshot (`REPEATABLE READ`): where two workers change one row of
//! the graph at once, Postgres refuses the later, who does its batch again on what is there then.
//! Rows are written in the order of their keys, so that no two wait for each other.

use std::collections::BTreeMap;
use std::io::Read;

use crate::model::Timestamp;
use crate::postgres::{Transaction, query, query_as, text};

use super::super::packed::Names;
use super::super::{
    DeadLetter, Error, GraphRow, Record, RecordError, decode, decode_rows, encode, encode_rows,
};
use super::{Registry, dead_letters, graph};

/// Most bytes of what is kept of an input, once unpacked.
const IDENTIFIED_BYTES_MAX: u64 = 256 << 20;

/// The most names that Postgres itself looks for in dead letters.
const FEW_NAMES: usize = 16;

/// How many dead letters are looked through at a time.
const LETTERS_PAGE: i64 = 1_000;

/// The right to take in a partition of an input, until another takes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Held {
    /// Number of the source.
    pub source: u16,
    /// Partition of the raw input.
    pub partition: u32,
    /// Raised by each taking.
    pub epoch: u64,
    /// The first position that was not kept, as far as the holder knows.
    pub next: u64,
}

/// What positions came to that changed the identity graph, by position. Reading one again yields
/// this, whatever the graph has become.
pub type Identified = BTreeMap<u64, Kept>;

/// What one position came to.
#[derive(Clone, Debug, PartialEq)]
pub struct Kept {
    /// The records, in order.
    pub records: Vec<Record>,
    /// The rows of the graph that it changed, as they are stored.
    pub rows: Vec<(u128, Vec<u8>)>,
}

/// A partition of an input in a batch.
#[derive(Clone, Debug, PartialEq)]
pub struct Taken {
    /// The right to it.
    pub held: Held,
    /// The first position that the log may not have.
    pub from: u64,
    /// The first position after the batch.
    pub next: u64,
    /// What positions from `from` on came to, of this batch and of those before.
    pub identified: Identified,
}

/// A row of `inputs`: source, partition, epoch, next, and what was identified.
type InputRow = (i32, i32, i64, i64, Option<Vec<u8>>);

/// A batch on its way.
pub struct Taking<'r> {
    registry: &'r Registry,
    transaction: Transaction,
}

impl Registry {
    /// Takes a partition of an input: who had it before can keep nothing more. Returns the right
    /// and where the last batch of it that was kept began.
    ///
    /// # Errors
    /// [`Error`] if Postgres can't be written.
    pub async fn take_input(&self, source: u16, partition: u32) -> Result<(Held, u64), Error> {
        let failed = self.postgres.failed("taking an input");
        let mut transaction = self.postgres.begin("taking an input").await?;
        let (epoch, since, next): (i64, i64, i64) = query_as(
            "INSERT INTO inputs (source, partition, epoch, since, next) VALUES ($1, $2, 1, 0, 0)
             ON CONFLICT (source, partition) DO UPDATE SET epoch = inputs.epoch + 1
             RETURNING epoch, since, next",
        )
        .bind(i32::from(source))
        .bind(partition.cast_signed())
        .fetch_one(&mut *transaction)
        .await
        .map_err(&failed)?;
        transaction.commit().await.map_err(&failed)?;
        let (epoch, next) = (epoch.cast_unsigned(), next.cast_unsigned());
        Ok((Held { source, partition, epoch, next }, since.cast_unsigned()))
    }

    /// Begins a batch.
    ///
    /// # Errors
    /// [`Error`] if Postgres can't be reached.
    pub async fn begin(&self) -> Result<Taking<'_>, Error> {
        let transaction = self.postgres.begin_snapshot("beginning a batch").await?;
        Ok(Taking { registry: self, transaction })
    }
}

impl Taking<'_> {
    /// Locks these partitions of inputs for this batch, and returns what was kept of each.
    ///
    /// # Errors
    /// [`Error::Taken`] if another worker has taken one of them, or less was kept than is known here.
    pub async fn hold(&mut self, held: &[Held]) -> Result<Vec<Identified>, Error> {
        let mut order: Vec<usize> = (0..held.len()).collect();
        order.sort_by_key(|at| (held[*at].source, held[*at].partition));
        let sources: Vec<i32> = order.iter().map(|at| i32::from(held[*at].source)).collect();
        let partitions: Vec<i32> =
            order.iter().map(|at| held[*at].partition.cast_signed()).collect();
        let rows: Vec<InputRow> = query_as(
            "SELECT inputs.source, inputs.partition, epoch, next, identified FROM inputs
             JOIN UNNEST ($1::int[], $2::int[]) AS held (source, partition)
                 ON inputs.source = held.source AND inputs.partition = held.partition
             ORDER BY inputs.source, inputs.partition FOR UPDATE OF inputs",
        )
        .bind(sources)
        .bind(partitions)
        .fetch_all(&mut *self.transaction)
        .await
        .map_err(self.registry.postgres.failed("holding the inputs"))?;
        let mut kept = vec![Identified::new(); held.len()];
        for at in order {
            let Held { source, partition, epoch, next } = held[at];
            let row = rows.iter().find(|(number, of, ..)| {
                *number == i32::from(source) && *of == partition.cast_signed()
            });
            match row {
                // What was kept is kept, unless the database was restored under a running worker,
                // who finds that out when it takes the input again.
                Some((_, _, newest, kept_until, identified))
                    if newest.cast_unsigned() == epoch && kept_until.cast_unsigned() >= next =>
                {
                    if let Some(packed) = identified {
                        kept[at] = unpack(packed).map_err(|what| self.registry.damaged(&what))?;
                    }
                }
                _ => return Err(Error::Taken { source_number: source, partition }),
            }
        }
        Ok(kept)
    }

    /// The stored rows of the identity graph with these keys; unknown ones are left out.
    ///
    /// # Errors
    /// [`Error`] if Postgres can't be read.
    pub async fn graph(&mut self, keys: &[u128]) -> Result<Vec<(u128, Vec<u8>)>, Error> {
        graph(&self.registry.postgres, &mut self.transaction, keys).await
    }

    /// Remembers ids of relayed records, each with the partition and position of the feedback it
    /// came at, and returns where each came first.
    ///
    /// # Errors
    /// [`Error`] if Postgres can't be written.
    pub async fn receive(
        &mut self,
        ids: &BTreeMap<u128, (u32, u64)>,
        now: Timestamp,
    ) -> Result<BTreeMap<u128, (u32, u64)>, Error> {
        if ids.is_empty() {
            return Ok(BTreeMap::new());
        }
        let failed = self.registry.postgres.failed("remembering what was relayed");
        let keys: Vec<Vec<u8>> = ids.keys().map(|id| id.to_be_bytes().to_vec()).collect();
        let partitions: Vec<i32> =
            ids.values().map(|(partition, _)| partition.cast_signed()).collect();
        let positions: Vec<i64> = ids.values().map(|(_, at)| at.cast_signed()).collect();
        query(
            "INSERT INTO received (id, partition, position, at)
             SELECT id, partition, position, $4
                 FROM UNNEST ($1::bytea[], $2::int[], $3::bigint[]) AS new (id, partition, position)
             ON CONFLICT (id) DO NOTHING",
        )
        .bind(&keys)
        .bind(&partitions)
        .bind(&positions)
        .bind(now.ms())
        .execute(&mut *self.transaction)
        .await
        .map_err(&failed)?;
        let first: Vec<(Vec<u8>, i32, i64)> =
            query_as("SELECT id, partition, position FROM received WHERE id = ANY($1)")
                .bind(&keys)
                .fetch_all(&mut *self.transaction)
                .await
                .map_err(&failed)?;
        let place = |(id, partition, position): (Vec<u8>, i32, i64)| {
            let id = id.try_into().map(u128::from_be_bytes).ok()?;
            Some((id, (partition.cast_unsigned(), position.cast_unsigned())))
        };
        Ok(first.into_iter().filter_map(place).collect())
    }

    /// Keeps everything that the batch changes, and ends it.
    ///
    /// # Errors
    /// [`Error`] if nothing of it was kept; one that [is transient](Error::is_transient) may be
    /// done again from the beginning.
    pub async fn keep(
        mut self,
        taken: &[Taken],
        graph: &[GraphRow],
        letters: &[DeadLetter],
        erase: &[String],
    ) -> Result<(), Error> {
        self.write_graph(graph).await?;
        dead_letters::write(&self.registry.postgres, &mut self.transaction, letters).await?;
        self.erase(erase).await?;
        let failed = self.registry.postgres.failed("keeping a batch");
        let mut rows = (Vec::new(), Vec::new(), Vec::new(), Vec::new(), Vec::new());
        for taken in taken {
            rows.0.push(i32::from(taken.held.source));
            rows.1.push(taken.held.partition.cast_signed());
            rows.2.push(taken.next.cast_signed());
            let packed = match taken.identified.is_empty() {
                true => None,
                false => {
                    Some(pack(&taken.identified).map_err(|what| self.registry.damaged(&what))?)
                }
            };
            rows.3.push(packed);
            rows.4.push(taken.from.cast_signed());
        }
        query(
            "UPDATE inputs SET since = new.since, next = greatest(inputs.next, new.next),
                 identified = new.identified
             FROM UNNEST ($1::int[], $2::int[], $3::bigint[], $4::bytea[], $5::bigint[])
                 AS new (source, partition, next, identified, since)
             WHERE inputs.source = new.source AND inputs.partition = new.partition",
        )
        .bind(rows.0)
        .bind(rows.1)
        .bind(rows.2)
        .bind(rows.3)
        .bind(rows.4)
        .execute(&mut *self.transaction)
        .await
        .map_err(&failed)?;
        self.transaction.commit().await.map_err(&failed)?;
        Ok(())
    }

    async fn write_graph(&mut self, rows: &[GraphRow]) -> Result<(), Error> {
        if rows.is_empty() {
            return Ok(());
        }
        let keys: Vec<Vec<u8>> = rows.iter().map(|row| row.key.to_be_bytes().to_vec()).collect();
        let bytes: Vec<&[u8]> = rows.iter().map(|row| row.row.as_slice()).collect();
        let sources: Vec<i32> = rows.iter().map(|row| i32::from(row.tie.source)).collect();
        let partitions: Vec<i32> = rows.iter().map(|row| row.tie.partition.cast_signed()).collect();
        let positions: Vec<i64> = rows.iter().map(|row| row.tie.offset.cast_signed()).collect();
        query(
            "INSERT INTO graph (key, row, source, partition, position)
             SELECT * FROM UNNEST ($1::bytea[], $2::bytea[], $3::int[], $4::int[], $5::bigint[])
                 AS new (key, row, source, partition, position)
             ORDER BY key
             ON CONFLICT (key) DO UPDATE SET row = excluded.row, source = excluded.source,
                 partition = excluded.partition, position = excluded.position",
        )
        .bind(keys)
        .bind(bytes)
        .bind(sources)
        .bind(partitions)
        .bind(positions)
        .execute(&mut *self.transaction)
        .await
        .map_err(self.registry.postgres.failed("keeping identities"))?;
        Ok(())
    }

    /// Takes the record, and a reason that quotes it, from every dead letter that holds a name.
    async fn erase(&mut self, erased: &[String]) -> Result<(), Error> {
        let names = Names::new(erased);
        if names.is_empty() {
            return Ok(());
        }
        // Postgres can look for a few names, in ASCII; a page of letters is soon read for many.
        let is_plain = |name: &String| name.is_ascii() && !name.contains('\\');
        let everywhere = erased.len() > FEW_NAMES || !erased.iter().all(is_plain);
        let few: Vec<String> = match everywhere {
            true => Vec::new(),
            false => erased.iter().filter(|name| !name.is_empty()).map(|name| text(name)).collect(),
        };
        let failed = self.registry.postgres.failed("erasing dead letters");
        let (mut ids, mut quoted, mut after) = (Vec::new(), Vec::new(), 0_i64);
        loop {
            let page: Vec<(i64, Option<Vec<u8>>, String)> = query_as(
                "SELECT id, payload, reason FROM dead_letters
                 WHERE id > $1 AND ($2 OR EXISTS (
                     SELECT FROM (SELECT lower(encode(payload, 'escape')) AS body,
                                         lower(reason) AS said OFFSET 0) AS letter,
                         UNNEST ($3::text[]) AS name
                     WHERE position(lower(name) IN body) > 0
                         OR position(lower(name) IN said) > 0))
                 ORDER BY id LIMIT $4",
            )
            .bind(after)
            .bind(everywhere)
            .bind(&few)
            .bind(LETTERS_PAGE)
            .fetch_all(&mut *self.transaction)
            .await
            .map_err(&failed)?;
            let Some((last, _, _)) = page.last() else { break };
            after = *last;
            for (id, payload, reason) in page {
                let in_reason = names.are_in(reason.as_bytes());
                if in_reason || payload.is_some_and(|payload| names.are_in(&payload)) {
                    ids.push(id);
                    quoted.push(in_reason);
                }
            }
        }
        if ids.is_empty() {
            return Ok(());
        }
        query(
            "UPDATE dead_letters SET payload = NULL, whole = false,
                 reason = CASE WHEN quoted THEN 'erased' ELSE reason END
             FROM UNNEST ($1::bigint[], $2::bool[]) AS found (letter, quoted)
             WHERE dead_letters.id = found.letter",
        )
        .bind(ids)
        .bind(quoted)
        .execute(&mut *self.transaction)
        .await
        .map_err(&failed)?;
        Ok(())
    }
}

/// Records, and the rows beside them, by position, as they are in the log.
type Encoded = BTreeMap<u64, (Vec<u8>, Vec<u8>)>;

/// Records are kept as they are in the log, so that they are read like those.
fn pack(identified: &Identified) -> Result<Vec<u8>, String> {
    let records =
        |(at, kept): (&u64, &Kept)| Ok((*at, (encode(&kept.records)?, encode_rows(&kept.rows))));
    let encoded: Result<Encoded, RecordError> = identified.iter().map(records).collect();
    let encoded = encoded.map_err(|error| error.to_string())?;
    let plain = postcard::to_allocvec(&encoded).map_err(|error| error.to_string())?;
    zstd::bulk::compress(&plain, 1).map_err(|error| error.to_string())
}

fn unpack(packed: &[u8]) -> Result<Identified, String> {
    let wrong = |error: &dyn std::fmt::Display| format!("what is kept of an input: {error}");
    let unpacked = zstd::stream::read::Decoder::new(packed).map_err(|error| wrong(&error))?;
    let mut plain = Vec::new();
    let limited = &mut unpacked.take(IDENTIFIED_BYTES_MAX);
    limited.read_to_end(&mut plain).map_err(|error| wrong(&error))?;
    let encoded: Encoded = postcard::from_bytes(&plain).map_err(|error| wrong(&error))?;
    let kept = |(at, (records, rows)): (u64, (Vec<u8>, Vec<u8>))| {
        Ok((at, Kept { records: decode(&records)?, rows: decode_rows(&rows)? }))
    };
    let kept: Result<Identified, RecordError> = encoded.into_iter().map(kept).collect();
    kept.map_err(|error| wrong(&error))
}
