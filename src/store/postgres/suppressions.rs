//! Addresses that must not be written to: what their owners say, and what providers report.

use std::collections::BTreeMap;

use sqlx::PgConnection;

use crate::engine::{ConsentSaid, Decision};
use crate::model::{MessageChannel, MessageId, Timestamp};
use crate::postgres::{query, query_as, text};

use super::super::changes::Update;
use super::super::suppressions::{RESUBSCRIBED, address_in, against, reported};
use super::super::{Suppression, SuppressionReason, address_hash};

/// A row's key: channel, address, topic and reason.
type Key = (&'static str, [u8; 16], String, &'static str);

/// All that one transaction changes of the suppressions.
#[derive(Default)]
pub(super) struct Said(BTreeMap<Key, Change>);

/// What becomes of a row: taken away if it is not newer than `lift`, then kept with the greater
/// of its time and `keep`.
#[derive(Clone, Copy, Default)]
struct Change {
    lift: Option<i64>,
    keep: Option<i64>,
}

impl Said {
    /// Heeds what the owner of an address said: a no suppresses, a yes lifts the no to the same. A
    /// yes to a topic also stands against an earlier no to everything. What others reported stays.
    pub(super) fn heed(&mut self, secret: &[u8; 32], said: &ConsentSaid) {
        let address = address_hash(secret, said.channel, &said.address);
        let topic = said.topic.as_deref().unwrap_or_default();
        let no = SuppressionReason::Unsubscribed.as_str();
        if !said.given {
            self.add(said.channel, address, topic, no, said.at);
            return;
        }
        let change = self.0.entry((said.channel.as_str(), address, text(topic), no)).or_default();
        let at = said.at.ms();
        // A later no stands.
        if change.keep.is_none_or(|kept| kept <= at) {
            *change = Change { lift: change.lift.max(Some(at)), keep: None };
        }
        if !topic.is_empty() {
            self.add(said.channel, address, topic, RESUBSCRIBED, said.at);
        }
    }

    /// Suppresses the addresses that messages went to which bounced or were complained about.
    pub(super) async fn hear(
        &mut self,
        connection: &mut PgConnection,
        secret: &[u8; 32],
        updates: &BTreeMap<MessageId, Update>,
        at: Timestamp,
    ) -> Result<(), sqlx::Error> {
        let mut reports: BTreeMap<Vec<u8>, Vec<(MessageChannel, SuppressionReason)>> =
            BTreeMap::new();
        for (message, update) in updates {
            for report in update.outcomes.iter().filter_map(reported) {
                reports.entry(message.to_bytes().to_vec()).or_default().push(report);
            }
        }
        if reports.is_empty() {
            return Ok(());
        }
        let rows: Vec<(Vec<u8>, Option<String>, Option<String>)> = query_as(
            "SELECT deliveries.message, address,
                 CASE WHEN address IS NULL AND deliveries.status IN ('sent', 'refused', 'in_doubt')
                     THEN data END
             FROM deliveries JOIN messages ON messages.message = deliveries.message
             WHERE deliveries.message = ANY($1)",
        )
        .bind(reports.keys().cloned().collect::<Vec<_>>())
        .fetch_all(connection)
        .await?;
        for (message, address, data) in rows {
            for (channel, reason) in reports.get(&message).into_iter().flatten() {
                let decided = || address_in(data.as_deref()?, *channel);
                let Some(address) = address.clone().or_else(decided) else { continue };
                let address = address_hash(secret, *channel, &address);
                self.add(*channel, address, "", reason.as_str(), at);
            }
        }
        Ok(())
    }

    /// Suppresses an address.
    pub(super) fn suppress(&mut self, suppression: &Suppression) {
        let Suppression { channel, address, topic, reason, at } = suppression;
        let topic = topic.as_deref().unwrap_or_default();
        self.add(*channel, *address, topic, reason.as_str(), *at);
    }

    /// Keeps all of it; returns how many rows are new or newer.
    pub(super) async fn keep(&self, connection: &mut PgConnection) -> Result<u64, sqlx::Error> {
        if self.0.len() > 1 {
            self.lock_rows(connection).await?;
        }
        let lifted = Rows::of(self.0.iter().filter_map(|(key, change)| Some((key, change.lift?))));
        if !lifted.at.is_empty() {
            query(
                "DELETE FROM suppressions
                 USING UNNEST($1::text[], $2::bytea[], $3::text[], $4::text[], $5::bigint[])
                     AS change (channel, address, topic, reason, at)
                 WHERE suppressions.channel = change.channel
                     AND suppressions.address = change.address
                     AND suppressions.topic = change.topic
                     AND suppressions.reason = change.reason
                     AND suppressions.at <= change.at",
            )
            .bind(lifted.channel)
            .bind(lifted.address)
            .bind(lifted.topic)
            .bind(lifted.reason)
            .bind(lifted.at)
            .execute(&mut *connection)
            .await?;
        }
        let kept = Rows::of(self.0.iter().filter_map(|(key, change)| Some((key, change.keep?))));
        if kept.at.is_empty() {
            return Ok(0);
        }
        let news = query(
            "INSERT INTO suppressions (channel, address, topic, reason, at)
             SELECT * FROM UNNEST($1::text[], $2::bytea[], $3::text[], $4::text[], $5::bigint[])
             ON CONFLICT (channel, address, topic, reason)
             DO UPDATE SET at = excluded.at WHERE excluded.at > suppressions.at",
        )
        .bind(kept.channel)
        .bind(kept.address)
        .bind(kept.topic)
        .bind(kept.reason)
        .bind(kept.at)
        .execute(connection)
        .await?;
        Ok(news.rows_affected())
    }

    /// Takes the rows that are there in the order of their keys: who changes the same ones waits
    /// at the first, not in the middle.
    async fn lock_rows(&self, connection: &mut PgConnection) -> Result<(), sqlx::Error> {
        let all = Rows::of(self.0.keys().map(|key| (key, 0)));
        query(
            "SELECT FROM suppressions
             JOIN UNNEST($1::text[], $2::bytea[], $3::text[], $4::text[])
                 AS change (channel, address, topic, reason)
                 ON suppressions.channel = change.channel
                     AND suppressions.address = change.address
                     AND suppressions.topic = change.topic
                     AND suppressions.reason = change.reason
             ORDER BY suppressions.channel, suppressions.address, suppressions.topic,
                 suppressions.reason
             FOR UPDATE OF suppressions",
        )
        .bind(all.channel)
        .bind(all.address)
        .bind(all.topic)
        .bind(all.reason)
        .execute(connection)
        .await?;
        Ok(())
    }

    fn add(
        &mut self,
        channel: MessageChannel,
        address: [u8; 16],
        topic: &str,
        reason: &'static str,
        at: Timestamp,
    ) {
        let change = self.0.entry((channel.as_str(), address, text(topic), reason)).or_default();
        change.keep = change.keep.max(Some(at.ms()));
    }
}

/// Rows by column, as UNNEST takes them.
#[derive(Default)]
struct Rows<'a> {
    channel: Vec<&'a str>,
    address: Vec<&'a [u8]>,
    topic: Vec<&'a str>,
    reason: Vec<&'a str>,
    at: Vec<i64>,
}

impl<'a> Rows<'a> {
    fn of(changes: impl Iterator<Item = (&'a Key, i64)>) -> Self {
        let mut rows = Self::default();
        for ((channel, address, topic, reason), at) in changes {
            rows.channel.push(channel);
            rows.address.push(address);
            rows.topic.push(topic);
            rows.reason.push(reason);
            rows.at.push(at);
        }
        rows
    }
}

/// Waits until no other transaction starts a message to this address (`alone`), or says no to it,
/// and keeps it so until this one ends: what was answered as kept is seen by every later start.
pub(super) async fn lock(
    connection: &mut PgConnection,
    address: [u8; 16],
    alone: bool,
) -> Result<(), sqlx::Error> {
    let [a, b, c, d, e, f, g, h, ..] = address;
    let sql = match alone {
        true => "SELECT pg_advisory_xact_lock($1)",
        false => "SELECT pg_advisory_xact_lock_shared($1)",
    };
    query(sql).bind(i64::from_be_bytes([a, b, c, d, e, f, g, h])).execute(connection).await?;
    Ok(())
}

/// Why the address of a message is suppressed, if it is.
pub(super) async fn suppressed(
    connection: &mut PgConnection,
    decision: &Decision,
    address: [u8; 16],
) -> Result<Option<SuppressionReason>, sqlx::Error> {
    let rows: Vec<(String, String, i64)> = query_as(
        "SELECT topic, reason, at FROM suppressions WHERE channel = $1 AND address = $2
         ORDER BY reason, topic",
    )
    .bind(decision.channel.as_str())
    .bind(address.to_vec())
    .fetch_all(connection)
    .await?;
    Ok(against(decision, &rows))
}
