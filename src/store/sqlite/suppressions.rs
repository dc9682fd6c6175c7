//! Addresses that must not be written to: what their owners say, and what providers report.

use sqlx::Connection;
use sqlx::sqlite::SqliteConnection;

use crate::engine::{ConsentSaid, Decision};
use crate::journey::Class;
use crate::model::{
    ConsentFact, ConsentStatus, CustomerId, Event, EventName, MessageChannel, MessageId, Timestamp,
    derive,
};

use super::super::{Error, Suppression, SuppressionReason, address_hash};
use super::SqliteStore;

impl SqliteStore {
    /// Suppresses an address because its owner says so, and tells the log. Returns whether it is
    /// news; said twice it is one event.
    ///
    /// # Errors
    /// [`Error`] if it can't be kept; then it must not be answered as done.
    pub async fn unsubscribe(
        &self,
        suppression: &Suppression,
        customer: CustomerId,
    ) -> Result<bool, Error> {
        let failed = self.failed("keeping an unsubscribe");
        let mut writer = self.writer.lock().await;
        let mut transaction = writer.begin_with("BEGIN IMMEDIATE").await.map_err(&failed)?;
        let news = suppress(&mut transaction, suppression).await.map_err(&failed)?;
        if news {
            let id = derive(
                "unsubscribed",
                &[
                    suppression.channel.as_str().as_bytes(),
                    &suppression.address,
                    suppression.topic.as_deref().unwrap_or_default().as_bytes(),
                    &suppression.at.ms().to_le_bytes(),
                ],
            );
            let mut event = Event::new(
                format!("unsubscribed:{id:032x}"),
                EventName::CustomerUnsubscribed,
                suppression.at,
            );
            event.consents.push(ConsentFact {
                channel: suppression.channel,
                topic: suppression.topic.clone(),
                status: ConsentStatus::Withdrawn,
            });
            self.ledger.tell(&mut transaction, customer, event, id).await?;
        }
        transaction.commit().await.map_err(failed)?;
        Ok(news)
    }
}

/// Why the address of a message is suppressed, if it is.
pub(super) async fn suppressed(
    connection: &mut SqliteConnection,
    decision: &Decision,
    address: [u8; 16],
) -> Result<Option<SuppressionReason>, sqlx::Error> {
    let rows: Vec<(String, String)> = sqlx::query_as(
        "SELECT topic, reason FROM suppressions WHERE channel = ? AND address = ?
         ORDER BY reason, topic",
    )
    .bind(decision.channel.as_str())
    .bind(address.to_vec())
    .fetch_all(connection)
    .await?;
    let reason = rows.into_iter().find_map(|(topic, reason)| {
        let reason = *SuppressionReason::ALL.iter().find(|known| known.as_str() == reason)?;
        let applies = match reason {
            SuppressionReason::Bounced | SuppressionReason::Complained => true,
            SuppressionReason::Unsubscribed => {
                decision.class == Class::Marketing
                    && (topic.is_empty() || decision.topic.as_deref() == Some(topic.as_str()))
            }
        };
        applies.then_some(reason)
    });
    Ok(reason)
}

/// Heeds what owners of addresses said: a no suppresses, a yes lifts what they said before, of this
/// topic and of everything. What others reported, a bounce or a complaint, stays.
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
        "DELETE FROM suppressions WHERE channel = ? AND address = ? AND reason = ? AND at <= ?
             AND topic IN ('', ?)",
    )
    .bind(said.channel.as_str())
    .bind(address.to_vec())
    .bind(SuppressionReason::Unsubscribed.as_str())
    .bind(said.at.ms())
    .bind(said.topic.as_deref().unwrap_or_default())
    .execute(connection)
    .await?;
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
    let (channel, reason) = match outcome {
        EventName::EmailBounced => (MessageChannel::Email, SuppressionReason::Bounced),
        EventName::EmailComplained => (MessageChannel::Email, SuppressionReason::Complained),
        EventName::SmsBounced => (MessageChannel::Sms, SuppressionReason::Bounced),
        _ => return Ok(()),
    };
    let address: Option<Option<String>> =
        sqlx::query_scalar("SELECT address FROM deliveries WHERE message = ?")
            .bind(message.to_bytes().to_vec())
            .fetch_optional(&mut *connection)
            .await?;
    if let Some(address) = address.flatten() {
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
    let kept = sqlx::query(
        "INSERT INTO suppressions (channel, address, topic, reason, at) VALUES (?, ?, ?, ?, ?)
         ON CONFLICT DO NOTHING",
    )
    .bind(suppression.channel.as_str())
    .bind(suppression.address.to_vec())
    .bind(suppression.topic.as_deref().unwrap_or_default())
    .bind(suppression.reason.as_str())
    .bind(suppression.at.ms())
    .execute(connection)
    .await?;
    Ok(kept.rows_affected() > 0)
}
