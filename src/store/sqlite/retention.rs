//! Removing what was kept long enough.

use sqlx::Connection;

use crate::model::Timestamp;

use super::super::{Error, Retention};
use super::SqliteStore;

const DOING: &str = "removing what was kept long enough";

impl Retention for SqliteStore {
    async fn takes_turn(&self, _: &str, _: Timestamp) -> Result<bool, Error> {
        // The file has one worker.
        Ok(true)
    }

    async fn remove_messages(&self, before: Timestamp, limit: u32) -> Result<u64, Error> {
        self.patiently(|| async {
            let failed = self.failed(DOING);
            let mut writer = self.writer.lock().await;
            let mut transaction = writer.begin_with("BEGIN IMMEDIATE").await.map_err(&failed)?;
            let old: Vec<(Vec<u8>,)> = sqlx::query_as(
                "SELECT messages.message FROM messages
                 LEFT JOIN deliveries ON deliveries.message = messages.message
                 WHERE messages.at < ?1
                     AND (messages.status <> 'decided' OR messages.outcome IS NOT NULL
                         OR messages.data IS NULL)
                     AND coalesce(deliveries.status, '')
                         NOT IN ('waiting', 'claimed', 'started', 'dot_sent', 'in_doubt')
                 ORDER BY messages.at LIMIT ?2",
            )
            .bind(before.ms())
            .bind(limit)
            .fetch_all(&mut *transaction)
            .await
            .map_err(&failed)?;
            let moved = sqlx::query(
                "UPDATE store SET messages_from = ?1
                 WHERE messages_from IS NULL OR messages_from < ?1",
            );
            moved.bind(before.ms()).execute(&mut *transaction).await.map_err(&failed)?;
            for (message,) in &old {
                for statement in [
                    "DELETE FROM deliveries WHERE message = ?",
                    "DELETE FROM messages WHERE message = ?",
                ] {
                    let query = sqlx::query(statement).bind(message);
                    query.execute(&mut *transaction).await.map_err(&failed)?;
                }
            }
            transaction.commit().await.map_err(&failed)?;
            Ok(old.len() as u64)
        })
        .await
    }

    async fn remove_trace(&self, before: Timestamp, limit: u32) -> Result<u64, Error> {
        self.patiently(|| async {
            let removed = sqlx::query(
                "DELETE FROM trace WHERE seq IN (
                     SELECT seq FROM trace WHERE at < ? AND kind <> 'merged' ORDER BY at LIMIT ?)",
            )
            .bind(before.ms())
            .bind(limit)
            .execute(&mut *self.writer.lock().await)
            .await
            .map_err(self.failed(DOING))?;
            Ok(removed.rows_affected())
        })
        .await
    }
}
