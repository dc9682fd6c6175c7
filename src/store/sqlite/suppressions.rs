//! Addresses that must not be written to: what their owners say, and what providers report.

use sqlx::sqlite::SqliteConnection;

use crate::engine::{ConsentSaid, Decision};
use crate::model::{EventName, MessageChannel, MessageId, Timestamp};

use super::super::suppressions::{RESUBSCRIBED, address_in, against, reported as reported_by};
use super::super::{Suppression, SuppressionReason, address_hash};

/// Why the address of a message is suppressed, if it is.
pub(super) async fn suppressed(
    connection: &mut SqliteConnection,
    decision: &Decision,
    address: [u8; 16],
) -> Result<Option<SuppressionReason>, sqlx::Error> {
    let rows: Vec<(String, String, i64)> = sqlx::query_as(
        "SELECT topic, reason, at FROM suppressions WHERE channel = ? AND address = ?
         ORDER BY reason, topic",
    )
    .bind(decision.channel.as_str())
    .bind(address.to_vec())
    .fetch_all(connection)
    .await?;
    Ok(against(decision, &rows))
}

/// Heeds what owners of addresses said: a no suppresses, a yes lifts the no to the same. A yes to a
/// topic also stands against an earlier no to everything. What others reported, a bounce or a complaint, stays.
pub(super) async fn heed(
    connection: &mut SqliteConnection,
    secret: &[u8; 32],
    said: &ConsentSaid,
) -> Result<(), sqlx::Error> {
    let address = address_hash(secret, said.channel, &said.address);
    if !said.given {
        let suppression = Suppression {
            channel: said.channel,
            address,
            topic: said.topic.clone(),
            reason: SuppressionReason::Unsubscribed,
            at: said.at,
        };
        suppress(connection, &suppression).await?;
        return Ok(());
    }
    sqlx::query(
        "DELETE FROM suppressions WHERE channel = ? AND address = ? AND topic = ? AND reason = ?
             AND at <= ?",
    )
    .bind(said.channel.as_str())
    .bind(address.to_vec())
    .bind(said.topic.as_deref().unwrap_or_default())
    .bind(SuppressionReason::Unsubscribed.as_str())
    .bind(said.at.ms())
    .execute(&mut *connection)
    .await?;
    if let Some(topic) = &said.topic {
        keep(connection, said.channel, address, topic, RESUBSCRIBED, said.at).await?;
    }
    Ok(())
}

/// Suppresses the address that a message went to which bounced or was complained about.
pub(super) async fn reported(
    connection: &mut SqliteConnection,
    secret: &[u8; 32],
    message: MessageId,
    outcome: &EventName,
    at: Timestamp,
) -> Result<(), sqlx::Error> {
    let Some((channel, reason)) = reported_by(outcome) else { return Ok(()) };
    let row: Option<(Option<String>, Option<String>)> = sqlx::query_as(
        "SELECT address,
             CASE WHEN address IS NULL AND deliveries.status IN ('sent', 'refused', 'in_doubt')
                 THEN data END
         FROM deliveries JOIN messages ON messages.message = deliveries.message
         WHERE deliveries.message = ?",
    )
    .bind(message.to_bytes().to_vec())
    .fetch_optional(&mut *connection)
    .await?;
    let Some((address, data)) = row else { return Ok(()) };
    if let Some(address) = address.or_else(|| address_in(data.as_deref()?, channel)) {
        let address = address_hash(secret, channel, &address);
        suppress(connection, &Suppression { channel, address, topic: None, reason, at }).await?;
    }
    Ok(())
}

/// Keeps a suppression; returns whether it is news.
pub(super) async fn suppress(
    connection: &mut SqliteConnection,
    suppression: &Suppression,
) -> Result<bool, sqlx::Error> {
    let Suppression { channel, address, topic, reason, at } = suppression;
    let topic = topic.as_deref().unwrap_or_default();
    keep(connection, *channel, *address, topic, reason.as_str(), *at).await
}

/// Keeps a row with its newest time; returns whether that is news.
async fn keep(
    connection: &mut SqliteConnection,
    channel: MessageChannel,
    address: [u8; 16],
    topic: &str,
    reason: &str,
    at: Timestamp,
) -> Result<bool, sqlx::Error> {
    let kept = sqlx::query(
        "INSERT INTO suppressions (channel, address, topic, reason, at) VALUES (?, ?, ?, ?, ?)
         ON CONFLICT DO UPDATE SET at = excluded.at WHERE excluded.at > at",
    )
    .bind(channel.as_str())
    .bind(address.to_vec())
    .bind(topic)
    .bind(reason)
    .bind(at.ms())
    .execute(connection)
    .await?;
    Ok(kept.rows_affected() > 0)
}
