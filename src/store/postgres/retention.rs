//! Removing what was kept long enough. Rows that somebody else holds are left for the next time, so
//! that nobody waits in a circle.

use crate::model::{MINUTE_MS, Timestamp};
use crate::postgres::query;

use super::super::{Error, Retention};
use super::PgStore;

/// How long a turn lasts that is not taken again, in milliseconds.
const TURN_MS: i64 = 3 * MINUTE_MS;

const DOING: &str = "removing what was kept long enough";

impl Retention for PgStore {
    async fn takes_turn(&self, worker: &str, now: Timestamp) -> Result<bool, Error> {
        let mut transaction = self.begin(DOING).await?;
        // A clock that was ahead must not keep the turn.
        let taken = query(
            "UPDATE kept SET worker = $1, worked_at = $2
             WHERE worker IS NULL OR worker = $1 OR worked_at NOT BETWEEN $2 - $3 AND $2 + $3",
        )
        .bind(worker)
        .bind(now.ms())
        .bind(TURN_MS)
        .execute(&mut *transaction)
        .await
        .map_err(self.failed(DOING))?;
        transaction.commit().await.map_err(self.failed(DOING))?;
        Ok(taken.rows_affected() > 0)
    }

    async fn remove_messages(&self, before: Timestamp, limit: u32) -> Result<u64, Error> {
        let mut transaction = self.begin(DOING).await?;
        query(
            "UPDATE kept SET messages_from = $1 WHERE messages_from IS NULL OR messages_from < $1",
        )
        .bind(before.ms())
        .execute(&mut *transaction)
        .await
        .map_err(self.failed(DOING))?;
        let removed = query(
            "WITH old AS (
                 SELECT messages.message FROM messages
                 LEFT JOIN deliveries ON deliveries.message = messages.message
                 WHERE messages.at < $1
                     AND (messages.status <> 'decided' OR messages.outcome IS NOT NULL
                         OR messages.data IS NULL)
                     AND coalesce(deliveries.status, '')
                         NOT IN ('waiting', 'claimed', 'started', 'dot_sent', 'in_doubt')
                 ORDER BY messages.at LIMIT $2 FOR UPDATE OF messages SKIP LOCKED),
             sent AS (DELETE FROM deliveries WHERE message IN (SELECT message FROM old))
             DELETE FROM messages WHERE message IN (SELECT message FROM old)",
        )
        .bind(before.ms())
        .bind(i64::from(limit))
        .execute(&mut *transaction)
        .await
        .map_err(self.failed(DOING))?;
        transaction.commit().await.map_err(self.failed(DOING))?;
        Ok(removed.rows_affected())
    }

    async fn remove_trace(&self, before: Timestamp, limit: u32) -> Result<u64, Error> {
        let mut transaction = self.begin(DOING).await?;
        let removed = query(
            "DELETE FROM trace WHERE seq IN (
                 SELECT seq FROM trace WHERE at < $1 AND kind <> 'merged'
                 ORDER BY at LIMIT $2 FOR UPDATE SKIP LOCKED)",
        )
        .bind(before.ms())
        .bind(i64::from(limit))
        .execute(&mut *transaction)
        .await
        .map_err(self.failed(DOING))?;
        transaction.commit().await.map_err(self.failed(DOING))?;
        Ok(removed.rows_affected())
    }
}
