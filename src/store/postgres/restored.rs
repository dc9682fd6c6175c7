//! After the database was restored to an older point: nothing leaves a lane until the log has told
//! what went in the time that the database knows nothing of.

use crate::model::{MessageChannel, Timestamp};
use crate::postgres::{query, query_scalar};

use super::super::rows;
use super::super::told::ended;
use super::super::{End, Error, StoredMessage};
use super::write::tell;
use super::{PgLedger, PgStore, number};

/// How many messages are put in doubt in one transaction.
const ROWS_MAX: i64 = 200;
/// How far epochs leap: a worker that still runs from before the restore fits nowhere, however
/// often its lanes had been taken since the restored point.
const LEAP: i64 = 1_000_000;

/// What becomes of a lane that is restored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Restored {
    /// Which.
    pub partition: u32,
    /// Where its topic was made anew or cut off: the offset to go on from.
    pub from: Option<u64>,
}

impl PgLedger {
    /// The partitions whose lanes were put back in order after a restore and have not come so far
    /// yet that messages may leave them.
    ///
    /// # Errors
    /// [`Error`] if the store can't be read.
    pub async fn held_lanes(&self) -> Result<Vec<u32>, Error> {
        let doing = "reading which lanes are restored";
        let mut transaction = self.database.begin(doing).await?;
        let rows: Vec<i32> =
            query_scalar("SELECT partition FROM lanes WHERE restored_until IS NOT NULL")
                .fetch_all(&mut *transaction)
                .await
                .map_err(self.failed(doing))?;
        Ok(rows.into_iter().map(i32::cast_unsigned).collect())
    }
}

impl PgStore {
    /// Puts lanes back in order after a restore. With `until` nothing leaves them before their
    /// watermark has passed its first instant; what was ready by the second may have gone before.
    ///
    /// # Errors
    /// [`Error`] if the store can't be written; then nothing changed.
    pub async fn restored(
        &self,
        lanes: &[Restored],
        until: Option<(Timestamp, Timestamp)>,
    ) -> Result<(), Error> {
        let doing = "putting lanes back in order";
        let moved = lanes.iter().filter(|lane| lane.from.is_some());
        let moved: Vec<i32> = moved.map(|lane| number(lane.partition)).collect();
        let mut transaction = self.begin(doing).await?;
        query(
            "INSERT INTO lanes (partition, epoch, low_offset, end_offset, build, restored_until,
                 unsure_until)
             SELECT partition, $5, coalesce(start, 0), coalesce(start, 0), '', $3, $4
                 FROM UNNEST($1::int[], $2::bigint[]) AS lane (partition, start)
                 ORDER BY partition
             ON CONFLICT (partition) DO UPDATE SET epoch = lanes.epoch + $5,
                 low_offset = CASE WHEN excluded.partition = ANY($6)
                     THEN excluded.low_offset ELSE lanes.low_offset END,
                 end_offset = CASE WHEN excluded.partition = ANY($6)
                     THEN excluded.end_offset ELSE lanes.end_offset END,
                 restored_until = coalesce($3, lanes.restored_until),
                 unsure_until = coalesce($4, lanes.unsure_until)",
        )
        .bind(lanes.iter().map(|lane| number(lane.partition)).collect::<Vec<_>>())
        .bind(lanes.iter().map(|lane| lane.from.map(u64::cast_signed)).collect::<Vec<_>>())
        .bind(until.map(|(until, _)| until.ms()))
        .bind(until.map(|(_, unsure)| unsure.ms()))
        .bind(LEAP)
        .bind(moved)
        .execute(&mut *transaction)
        .await
        .map_err(self.failed(doing))?;
        transaction.commit().await.map_err(self.failed(doing))
    }

    /// Lets messages leave again where the log has told all, once those of which it tells nothing
    /// are in doubt, by channels where a second one would be noticed. Returns how many these are.
    pub(super) async fn look_after_restored(
        &self,
        doubtful: Vec<MessageChannel>,
        now: Timestamp,
    ) -> Result<u64, Error> {
        let doing = "looking after restored lanes";
        let mut transaction = self.begin(doing).await?;
        let is_over: bool =
            query_scalar("SELECT EXISTS (SELECT FROM lanes WHERE restored_until <= watermark)")
                .fetch_one(&mut *transaction)
                .await
                .map_err(self.failed(doing))?;
        drop(transaction);
        if !is_over {
            return Ok(0);
        }
        let channels: Vec<&str> = doubtful.iter().map(|channel| channel.as_str()).collect();
        let mut all = 0;
        loop {
            let unsure = self.doubt(&channels, now).await?;
            all += unsure;
            if unsure == 0 {
                break;
            }
        }
        let mut transaction = self.begin(doing).await?;
        query(
            "UPDATE lanes SET restored_until = NULL, unsure_until = NULL
             WHERE restored_until <= watermark AND NOT EXISTS (
                 SELECT FROM deliveries JOIN messages ON messages.message = deliveries.message
                 WHERE deliveries.partition = lanes.partition AND deliveries.status = 'waiting'
                     AND deliveries.ready <= lanes.unsure_until AND messages.channel = ANY($1))",
        )
        .bind(&channels)
        .execute(&mut *transaction)
        .await
        .map_err(self.failed(doing))?;
        transaction.commit().await.map_err(self.failed(doing))?;
        Ok(all)
    }

    /// Puts some messages in doubt that may have gone, and tells the log.
    async fn doubt(&self, channels: &[&str], now: Timestamp) -> Result<u64, Error> {
        let doing = "putting messages in doubt";
        let mut transaction = self.begin(doing).await?;
        let rows = query(
            "SELECT seq, messages.message, messages.partition, customer, name, journey, version,
                 run, step, occurrence, channel, template, topic, class, at, settle_ms, expires,
                 window_end, messages.status, reason, messages.revision, outcome, data
             FROM lanes JOIN deliveries ON deliveries.partition = lanes.partition
             JOIN messages ON messages.message = deliveries.message
             WHERE restored_until <= watermark AND deliveries.status = 'waiting'
                 AND deliveries.ready <= unsure_until AND messages.channel = ANY($1)
             ORDER BY messages.message LIMIT $2 FOR UPDATE OF deliveries",
        )
        .bind(channels)
        .bind(ROWS_MAX)
        .fetch_all(&mut *transaction)
        .await
        .map_err(self.failed(doing))?;
        let messages: Vec<StoredMessage> = rows
            .iter()
            .map(rows::message)
            .collect::<Result<_, _>>()
            .map_err(self.ledger.unreadable())?;
        let end = End::unsure();
        query(
            "UPDATE deliveries SET status = $2, detail = $3, lease = NULL, lease_until = NULL,
                 body = NULL, changed = $4 WHERE message = ANY($1)",
        )
        .bind(
            messages.iter().map(|row| row.decision.message.to_bytes().to_vec()).collect::<Vec<_>>(),
        )
        .bind(end.status.as_str())
        .bind(end.detail.as_deref())
        .bind(now.ms())
        .execute(&mut *transaction)
        .await
        .map_err(self.failed(doing))?;
        let told: Vec<_> = messages.iter().map(|row| ended(row.into(), &end, None, now)).collect();
        tell(&mut transaction, &self.ledger, &told).await?;
        transaction.commit().await.map_err(self.failed(doing))?;
        Ok(messages.len() as u64)
    }
}
