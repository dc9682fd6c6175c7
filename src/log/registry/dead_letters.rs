//! Dead letters, for people.

use crate::model::Timestamp;
use crate::postgres::{Postgres, Transaction, query, query_as, text};

use super::super::{DeadLetter, DeadLetterFilter, DeadLetters, Error, KeptLetter};
use super::Registry;

impl Registry {
    /// Keeps letters of records that no position of an input stands for.
    ///
    /// # Errors
    /// [`Error`] if Postgres can't be written; then none is kept.
    pub async fn keep_letters(&self, letters: &[DeadLetter]) -> Result<(), Error> {
        let mut transaction = self.postgres.begin("keeping dead letters").await?;
        write(&self.postgres, &mut transaction, letters).await?;
        transaction.commit().await.map_err(self.postgres.failed("keeping dead letters"))?;
        Ok(())
    }
}

impl DeadLetters for Registry {
    async fn dead_letters(&self, filter: &DeadLetterFilter) -> Result<Vec<KeptLetter>, Error> {
        type Row = (i64, i32, i32, i64, String, Option<Vec<u8>>, bool, i64, Option<i64>);
        let mut transaction = self.postgres.begin("reading dead letters").await?;
        let rows: Vec<Row> = query_as(
            "SELECT id, source, partition, position, reason, payload, whole, at, retried_at
             FROM dead_letters
             WHERE ($1::bigint IS NULL OR id = $1) AND ($2::int IS NULL OR source = $2)
                 AND ($3::text IS NULL OR position(lower($3) IN lower(reason)) > 0)
                 AND ($4::bigint IS NULL OR id < $4) AND ($5 OR retried_at IS NULL)
             ORDER BY id DESC LIMIT $6",
        )
        .bind(filter.id)
        .bind(filter.source.map(i32::from))
        .bind(filter.reason.as_deref())
        .bind(filter.before)
        .bind(filter.retried)
        .bind(i64::from(filter.limit))
        .fetch_all(&mut *transaction)
        .await
        .map_err(self.postgres.failed("reading dead letters"))?;
        let letter =
            |(id, source, partition, position, reason, payload, whole, at, retried): Row| {
                let source = u16::try_from(source).map_err(|_| self.damaged("a source"))?;
                let (partition, position) = (partition.cast_unsigned(), position.cast_unsigned());
                let at = Timestamp::from_ms(at);
                let letter = DeadLetter { source, partition, position, reason, payload, whole, at };
                Ok(KeptLetter { id, letter, retried: retried.map(Timestamp::from_ms) })
            };
        rows.into_iter().map(letter).collect()
    }

    async fn remove_letters(&self, before: Timestamp, limit: u32) -> Result<u64, Error> {
        let failed = self.postgres.failed("removing dead letters");
        let mut transaction = self.postgres.begin("removing dead letters").await?;
        let removed = query(
            "DELETE FROM dead_letters WHERE id IN (
                 SELECT id FROM dead_letters WHERE at < $1
                 ORDER BY at LIMIT $2 FOR UPDATE SKIP LOCKED)",
        )
        .bind(before.ms())
        .bind(i64::from(limit))
        .execute(&mut *transaction)
        .await
        .map_err(&failed)?;
        transaction.commit().await.map_err(&failed)?;
        Ok(removed.rows_affected())
    }

    async fn retried(&self, ids: &[i64], now: Timestamp) -> Result<(), Error> {
        let failed = self.postgres.failed("marking dead letters");
        let mut transaction = self.postgres.begin("marking dead letters").await?;
        query("UPDATE dead_letters SET retried_at = $2 WHERE id = ANY ($1)")
            .bind(ids)
            .bind(now.ms())
            .execute(&mut *transaction)
            .await
            .map_err(&failed)?;
        transaction.commit().await.map_err(&failed)?;
        Ok(())
    }
}

/// Writes letters; one of a position that has one already is left out.
pub(super) async fn write(
    postgres: &Postgres,
    transaction: &mut Transaction,
    letters: &[DeadLetter],
) -> Result<(), Error> {
    if letters.is_empty() {
        return Ok(());
    }
    let sources: Vec<i32> = letters.iter().map(|one| i32::from(one.source)).collect();
    let partitions: Vec<i32> = letters.iter().map(|one| one.partition.cast_signed()).collect();
    let positions: Vec<i64> = letters.iter().map(|one| one.position.cast_signed()).collect();
    // A reason may quote the record, and Postgres takes no NUL in a text.
    let reasons: Vec<String> = letters.iter().map(|one| text(&one.reason)).collect();
    let (payloads, whole): (Vec<Option<&[u8]>>, Vec<bool>) =
        letters.iter().map(DeadLetter::kept).unzip();
    let times: Vec<i64> = letters.iter().map(|one| one.at.ms()).collect();
    query(
        "INSERT INTO dead_letters (source, partition, position, reason, payload, whole, at)
         SELECT * FROM UNNEST ($1::int[], $2::int[], $3::bigint[], $4::text[], $5::bytea[],
             $6::bool[], $7::bigint[])
         ON CONFLICT (source, partition, position) WHERE partition >= 0 DO NOTHING",
    )
    .bind(sources)
    .bind(partitions)
    .bind(positions)
    .bind(reasons)
    .bind(payloads)
    .bind(whole)
    .bind(times)
    .execute(&mut **transaction)
    .await
    .map_err(postgres.failed("keeping dead letters"))?;
    Ok(())
}
