//! What is put back in order here when the database was restored, or topics were made anew.

use crate::model::Timestamp;
use crate::postgres::{query, query_as};

use super::super::{Control, Error};
use super::Registry;

/// How far epochs leap: a worker that still runs from before fits nowhere, however often its inputs
/// had been taken since the restored point.
const LEAP: i64 = 1_000_000;
/// How many ids of relayed records are kept with one statement.
const IDS_MAX: usize = 10_000;

/// How far a partition of an input was identified.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InputStands {
    /// Number of the source.
    pub source: u16,
    /// Partition of the raw input.
    pub partition: u32,
    /// The first position that was not.
    pub next: u64,
}

/// A record that a worker relayed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Relayed {
    /// Its id.
    pub id: u128,
    /// In which partition it came.
    pub partition: u32,
    /// At which position.
    pub position: u64,
    /// When.
    pub at: Timestamp,
}

impl Registry {
    /// How far every input was identified.
    ///
    /// # Errors
    /// [`Error`] if Postgres can't be read.
    pub async fn inputs(&self) -> Result<Vec<InputStands>, Error> {
        let doing = "reading how far the inputs are";
        let mut transaction = self.postgres.begin(doing).await?;
        let rows: Vec<(i32, i32, i64)> =
            query_as("SELECT source, partition, next FROM inputs ORDER BY source, partition")
                .fetch_all(&mut *transaction)
                .await
                .map_err(self.postgres.failed(doing))?;
        let stands = |(source, partition, next): (i32, i32, i64)| {
            let source = u16::try_from(source).map_err(|_| self.damaged("a source"))?;
            let (partition, next) = (partition.cast_unsigned(), next.cast_unsigned());
            Ok(InputStands { source, partition, next })
        };
        rows.into_iter().map(stands).collect()
    }

    /// Has ingest go on from these positions, where everything before is in the log or can't be
    /// had any more. Together with it: activations that the log has, and how far it has ticked.
    ///
    /// # Errors
    /// [`Error`] if Postgres can't be written; then nothing changed.
    pub async fn go_on_from(
        &self,
        inputs: &[InputStands],
        controls: &[Control],
        ticked: Option<Timestamp>,
    ) -> Result<(), Error> {
        let doing = "putting the inputs back in order";
        let failed = self.postgres.failed(doing);
        let mut transaction = self.postgres.begin(doing).await?;
        query("UPDATE ticker SET watermark = greatest(watermark, $1)")
            .bind(ticked.map(Timestamp::ms))
            .execute(&mut *transaction)
            .await
            .map_err(&failed)?;
        query(
            "INSERT INTO activations (release, at, written)
             SELECT release, at, true FROM UNNEST ($1::bytea[], $2::bigint[]) AS new (release, at)
             ON CONFLICT (release, at) DO UPDATE SET written = true",
        )
        .bind(controls.iter().map(|one| one.release.to_bytes().to_vec()).collect::<Vec<_>>())
        .bind(controls.iter().map(|one| one.at.ms()).collect::<Vec<_>>())
        .execute(&mut *transaction)
        .await
        .map_err(&failed)?;
        query(
            "INSERT INTO inputs (source, partition, epoch, since, next)
             SELECT source, partition, $4, next, next
                 FROM UNNEST ($1::int[], $2::int[], $3::bigint[]) AS new (source, partition, next)
                 ORDER BY source, partition
             ON CONFLICT (source, partition) DO UPDATE SET epoch = inputs.epoch + $4,
                 since = excluded.since, next = excluded.next, identified = NULL",
        )
        .bind(inputs.iter().map(|one| i32::from(one.source)).collect::<Vec<_>>())
        .bind(inputs.iter().map(|one| one.partition.cast_signed()).collect::<Vec<_>>())
        .bind(inputs.iter().map(|one| one.next.cast_signed()).collect::<Vec<_>>())
        .bind(LEAP)
        .execute(&mut *transaction)
        .await
        .map_err(&failed)?;
        transaction.commit().await.map_err(&failed)?;
        Ok(())
    }

    /// Remembers records that were relayed; those that are known stay as they are.
    ///
    /// # Errors
    /// [`Error`] if Postgres can't be written.
    pub async fn keep_received(&self, relayed: &[Relayed]) -> Result<(), Error> {
        let doing = "remembering what was relayed";
        let failed = self.postgres.failed(doing);
        for part in relayed.chunks(IDS_MAX) {
            let mut transaction = self.postgres.begin(doing).await?;
            query(
                "INSERT INTO received (id, partition, position, at)
                 SELECT * FROM UNNEST ($1::bytea[], $2::int[], $3::bigint[], $4::bigint[])
                     AS new (id, partition, position, at) ORDER BY id
                 ON CONFLICT (id) DO NOTHING",
            )
            .bind(part.iter().map(|one| one.id.to_be_bytes().to_vec()).collect::<Vec<_>>())
            .bind(part.iter().map(|one| one.partition.cast_signed()).collect::<Vec<_>>())
            .bind(part.iter().map(|one| one.position.cast_signed()).collect::<Vec<_>>())
            .bind(part.iter().map(|one| one.at.ms()).collect::<Vec<_>>())
            .execute(&mut *transaction)
            .await
            .map_err(&failed)?;
            transaction.commit().await.map_err(&failed)?;
        }
        Ok(())
    }

    /// Forgets every relayed record: the topic that they came by is gone, and with it their places.
    ///
    /// # Errors
    /// [`Error`] if Postgres can't be written.
    pub async fn forget_all_received(&self) -> Result<(), Error> {
        let doing = "forgetting what was relayed";
        let failed = self.postgres.failed(doing);
        let mut transaction = self.postgres.begin(doing).await?;
        query("DELETE FROM received").execute(&mut *transaction).await.map_err(&failed)?;
        transaction.commit().await.map_err(&failed)?;
        Ok(())
    }
}
