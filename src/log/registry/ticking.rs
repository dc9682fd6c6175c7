//! Who ticks, and which activations a tick must bring.

use crate::model::{DAY_MS, Timestamp};
use crate::postgres::{query, query_as, query_scalar};

use super::super::{Control, Error};
use super::Registry;

/// How long ids of relayed records are remembered, in milliseconds.
const RECEIVED_MS: i64 = 7 * DAY_MS;

/// How far a tick may be ahead of the clock of Postgres, in milliseconds. Time does not go back, so
/// one wrong clock must not move it on: what waits would all be due at once.
const AHEAD_MS_MAX: i64 = 5_000;

/// A tick that this worker is to write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ticking {
    /// Up to when nothing is still to come.
    pub watermark: Timestamp,
    /// Activations up to then that may not be in the log yet, by time; they go before it.
    pub controls: Vec<Control>,
}

/// Whether the log lives: of whichever worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pulse {
    /// When time was last known to go on.
    pub ticked: Option<Timestamp>,
    /// Whether a release is in force.
    pub released: bool,
}

impl Registry {
    /// Whether the log lives at `now`.
    ///
    /// # Errors
    /// [`Error`] if Postgres can't be read.
    pub async fn pulse(&self, now: Timestamp) -> Result<Pulse, Error> {
        let doing = "looking whether the log lives";
        let mut transaction = self.postgres.begin(doing).await?;
        let (ticked, released): (Option<i64>, bool) = query_as(
            "SELECT ticked_at, EXISTS (SELECT FROM activations WHERE at <= $1) FROM ticker",
        )
        .bind(now.ms())
        .fetch_one(&mut *transaction)
        .await
        .map_err(self.postgres.failed(doing))?;
        Ok(Pulse { ticked: ticked.map(Timestamp::from_ms), released })
    }

    /// Whether a tick is due: none was begun in the last `every_ms`, by the clock at `now`.
    ///
    /// # Errors
    /// [`Error`] if Postgres can't be read.
    pub async fn tick_is_due(&self, now: Timestamp, every_ms: i64) -> Result<bool, Error> {
        let mut transaction = self.postgres.begin("reading the last tick").await?;
        let last: Option<i64> = query_scalar("SELECT ticked_at FROM ticker")
            .fetch_one(&mut *transaction)
            .await
            .map_err(self.postgres.failed("reading the last tick"))?;
        // A clock that was ahead must not hold time back.
        Ok(last.is_none_or(|last| last > now.ms() || now.ms() - last >= every_ms))
    }

    /// Says how far time is known, before it is written into the log. `None` if another worker has
    /// said as much or more.
    ///
    /// # Errors
    /// [`Error::ClockAhead`] if that is later than Postgres's own clock allows, else [`Error`] if
    /// Postgres can't be written.
    pub async fn begin_tick(
        &self,
        watermark: Timestamp,
        now: Timestamp,
    ) -> Result<Option<Ticking>, Error> {
        let failed = self.postgres.failed("beginning a tick");
        let mut transaction = self.postgres.begin("beginning a tick").await?;
        let (moved, ahead): (bool, i64) = query_as(
            "WITH clock AS MATERIALIZED (
                 SELECT $1 - (extract(epoch FROM clock_timestamp()) * 1000)::bigint AS ahead),
             moved AS (
                 UPDATE ticker SET watermark = $1, ticked_at = $2 FROM clock
                 WHERE (watermark IS NULL OR watermark < $1) AND clock.ahead <= $3
                 RETURNING 1)
             SELECT EXISTS (SELECT FROM moved), ahead FROM clock",
        )
        .bind(watermark.ms())
        .bind(now.ms())
        .bind(AHEAD_MS_MAX)
        .fetch_one(&mut *transaction)
        .await
        .map_err(&failed)?;
        if ahead > AHEAD_MS_MAX {
            return Err(Error::ClockAhead { by_ms: ahead });
        }
        if !moved {
            return Ok(None);
        }
        let rows: Vec<(Vec<u8>, i64)> = query_as(
            "SELECT release, at FROM activations WHERE NOT written AND at <= $1
             ORDER BY at, release",
        )
        .bind(watermark.ms())
        .fetch_all(&mut *transaction)
        .await
        .map_err(&failed)?;
        transaction.commit().await.map_err(&failed)?;
        let controls = rows.into_iter().map(|(release, at)| self.control(release, at));
        Ok(Some(Ticking { watermark, controls: controls.collect::<Result<_, _>>()? }))
    }

    /// Forgets ids of relayed records that arrived long ago: whoever relays one twice does so within
    /// moments, or after a restart. A part at a time.
    ///
    /// # Errors
    /// [`Error`] if Postgres can't be written.
    pub async fn forget_received(&self, now: Timestamp) -> Result<(), Error> {
        let failed = self.postgres.failed("forgetting what was relayed");
        let mut transaction = self.postgres.begin("forgetting what was relayed").await?;
        query(
            "DELETE FROM received WHERE id IN (
                 SELECT id FROM received WHERE at < $1 ORDER BY at LIMIT 50000 FOR UPDATE SKIP LOCKED)",
        )
        .bind(now.plus_ms(-RECEIVED_MS).ms())
        .execute(&mut *transaction)
        .await
        .map_err(&failed)?;
        transaction.commit().await.map_err(&failed)?;
        Ok(())
    }

    /// Remembers that activations are in the log.
    ///
    /// # Errors
    /// [`Error`] if Postgres can't be written; then they are written once more, which changes
    /// nothing.
    pub async fn controls_written(&self, controls: &[Control]) -> Result<(), Error> {
        let (releases, times): (Vec<Vec<u8>>, Vec<i64>) = controls
            .iter()
            .map(|control| (control.release.to_bytes().to_vec(), control.at.ms()))
            .unzip();
        let mut transaction = self.postgres.begin("keeping that a release is in the log").await?;
        let failed = self.postgres.failed("keeping that a release is in the log");
        query(
            "UPDATE activations SET written = true
             FROM UNNEST ($1::bytea[], $2::bigint[]) AS done (release, at)
             WHERE activations.release = done.release AND activations.at = done.at",
        )
        .bind(releases)
        .bind(times)
        .execute(&mut *transaction)
        .await
        .map_err(&failed)?;
        transaction.commit().await.map_err(&failed)?;
        Ok(())
    }
}
