//! Delivery's transactions: claimed, started, dot sent, ended; suppressions and holds.
//!
//! Each is one transaction on the connection that writes, so they come one after another.

use sqlx::Connection;
use sqlx::sqlite::SqliteConnection;

use crate::model::{CustomerId, MessageChannel, MessageId, Text, Timestamp};

use super::super::rows;
use super::super::told::{encoded, ended, short, unsubscribed};
use super::super::{
    Begin, Claim, End, Error, Hold, Listing, OutboxRow, Outgoing, Pinned, Recovered, StoredMessage,
    Suppression, SuppressionReason, address_hash,
};
use super::suppressions::{suppress, suppressed};
use super::{SqliteLedger, SqliteStore};

/// What a claim reads of a message: id, tries before, and what the first of them pinned.
type ClaimedRow =
    (Vec<u8>, u32, Option<u32>, Option<String>, Option<String>, Option<String>, Option<Vec<u8>>);

impl Outgoing for SqliteStore {
    type Ledger = SqliteLedger;

    fn ledger(&self) -> &SqliteLedger {
        &self.ledger
    }

    async fn recover(
        &self,
        now: Timestamp,
        repeatable: impl Fn(MessageChannel) -> bool + Send,
    ) -> Result<Recovered, Error> {
        let failed = self.failed("looking after messages under way");
        let earlier = self.earlier().await?;
        let left: bool = sqlx::query_scalar(
            "SELECT EXISTS (SELECT 1 FROM deliveries
                 WHERE status IN ('claimed', 'started', 'dot_sent') AND lease <= ?)",
        )
        .bind(earlier)
        .fetch_one(&self.ledger.readers)
        .await
        .map_err(&failed)?;
        if !left {
            return Ok(Recovered::default());
        }
        let mut doubtful = self.ledger.unanswered(earlier).await?;
        doubtful.retain(|message| !repeatable(message.decision.channel));
        let mut writer = self.writer.lock().await;
        let mut transaction = writer.begin_with("BEGIN IMMEDIATE").await.map_err(&failed)?;
        for message in &doubtful {
            self.ledger.end(&mut transaction, message, &End::unanswered(), now).await?;
        }
        let again = sqlx::query(
            "UPDATE deliveries SET lease = NULL, changed = ?,
                 status = CASE WHEN EXISTS (SELECT 1 FROM messages
                         WHERE messages.message = deliveries.message
                             AND messages.status = 'decided' AND messages.data IS NOT NULL)
                     THEN 'waiting' ELSE 'cancelled' END
             WHERE status IN ('claimed', 'started', 'dot_sent') AND lease <= ?",
        )
        .bind(now.ms())
        .bind(earlier)
        .execute(&mut *transaction)
        .await
        .map_err(&failed)?
        .rows_affected();
        transaction.commit().await.map_err(failed)?;
        Ok(Recovered { again, in_doubt: doubtful.len() as u64 })
    }

    async fn claim(&self, now: Timestamp, limit: u32) -> Result<Vec<Claim>, Error> {
        let (lease, rows) = self.patiently(|| self.claim_rows(now, limit)).await?;
        let mut claims = Vec::with_capacity(rows.len());
        for (id, attempts, revision, address, sender, subject, body) in rows {
            let id = MessageId::from_bytes(rows::sixteen(&id).map_err(self.ledger.unreadable())?);
            let pinned = match (revision, address, body) {
                (Some(revision), Some(address), Some(body)) => Some(Pinned {
                    revision,
                    address: address.into(),
                    sender: sender.map(Text::from),
                    subject: subject.map(Text::from),
                    body,
                }),
                _ => None,
            };
            let message = match self.ledger.message_of(id).await {
                Ok(Some(message)) => message,
                Ok(None) => continue,
                Err(error @ Error::Unusable(_)) => {
                    // One row that can't be read must not stop the others.
                    tracing::error!(message = %id, %error, "a message can't be read");
                    continue;
                }
                Err(error) => return Err(error),
            };
            claims.push(Claim { message, lease, attempts, pinned });
        }
        claims.sort_by_key(|claim| (claim.message.decision.at, claim.message.seq));
        Ok(claims)
    }

    async fn start(&self, claim: &Claim, pinned: &Pinned, now: Timestamp) -> Result<Begin, Error> {
        let failed = self.failed("starting a message");
        let decision = &claim.message.decision;
        let secret = self.ledger.secret_key().await?;
        let address = address_hash(&secret, decision.channel, &pinned.address);
        let mut writer = self.writer.lock().await;
        let mut transaction = writer.begin_with("BEGIN IMMEDIATE").await.map_err(&failed)?;
        let standing: Option<(i64, bool)> = sqlx::query_as(
            "SELECT messages.revision, EXISTS (SELECT 1 FROM holds WHERE kind = 'all'
                 OR (kind = 'channel' AND name = messages.channel)
                 OR (kind = 'journey' AND name = messages.journey)
                 OR (kind = 'template' AND name = messages.template))
             FROM deliveries JOIN messages ON messages.message = deliveries.message
             WHERE deliveries.message = ? AND deliveries.status = 'claimed'
                 AND deliveries.lease = ? AND messages.status = 'decided'
                 AND messages.data IS NOT NULL",
        )
        .bind(decision.message.to_bytes().to_vec())
        .bind(claim.lease)
        .fetch_optional(&mut *transaction)
        .await
        .map_err(&failed)?;
        let Some((revision, held)) = standing else {
            drop(transaction);
            self.let_go(&mut writer, claim, now).await?;
            return Ok(Begin::Gone);
        };
        if held {
            unclaim(&mut transaction, claim, now).await.map_err(&failed)?;
            transaction.commit().await.map_err(failed)?;
            return Ok(Begin::Gone);
        }
        if claim.pinned.is_none() && revision != i64::from(pinned.revision) {
            return Ok(Begin::Newer);
        }
        let suppressed = suppressed(&mut transaction, decision, address).await.map_err(&failed)?;
        if let Some(reason) = suppressed {
            let end = End::suppressed(reason);
            self.ledger.end(&mut transaction, &claim.message, &end, now).await?;
            transaction.commit().await.map_err(failed)?;
            return Ok(Begin::Suppressed(reason));
        }
        sqlx::query(
            "UPDATE deliveries SET status = 'started', attempts = attempts + 1, revision = ?,
                 address = ?, sender = ?, subject = ?, body = ?, changed = ? WHERE message = ?",
        )
        .bind(pinned.revision)
        .bind(pinned.address.as_str())
        .bind(pinned.sender.as_deref())
        .bind(pinned.subject.as_deref())
        .bind(pinned.body.as_slice())
        .bind(now.ms())
        .bind(decision.message.to_bytes().to_vec())
        .execute(&mut *transaction)
        .await
        .map_err(&failed)?;
        transaction.commit().await.map_err(failed)?;
        Ok(Begin::Go)
    }

    async fn dot_sent(&self, claim: &Claim, now: Timestamp) -> Result<(), Error> {
        let moved = self
            .patiently(|| async {
                sqlx::query(
                    "UPDATE deliveries SET status = 'dot_sent', changed = ?
                     WHERE message = ? AND status = 'started' AND lease = ?",
                )
                .bind(now.ms())
                .bind(claim.message.decision.message.to_bytes().to_vec())
                .bind(claim.lease)
                .execute(&mut *self.writer.lock().await)
                .await
                .map_err(self.failed("keeping that a message is out"))
            })
            .await?;
        if moved.rows_affected() == 0 {
            let message = claim.message.decision.message;
            return Err(Error::not_ours(message));
        }
        Ok(())
    }

    async fn end(&self, claim: &Claim, end: &End, now: Timestamp) -> Result<(), Error> {
        let from = &["claimed", "started", "dot_sent", "in_doubt"];
        self.end_if(&claim.message, from, Some(claim.lease), end, now).await.map(drop)
    }

    /// Lets go of a claim whose message was stopped or erased.
    async fn again(
        &self,
        claim: &Claim,
        try_after: Timestamp,
        counts: bool,
        detail: &str,
        now: Timestamp,
    ) -> Result<(), Error> {
        self.patiently(|| async {
            sqlx::query(
                "UPDATE deliveries SET lease = NULL, try_after = ?, detail = ?, changed = ?,
                     attempts = ?, status = CASE WHEN EXISTS (SELECT 1 FROM messages
                             WHERE messages.message = deliveries.message
                                 AND messages.status = 'decided' AND messages.data IS NOT NULL)
                         THEN 'waiting' ELSE 'cancelled' END
                 WHERE message = ? AND lease = ? AND status IN ('claimed', 'started', 'dot_sent')",
            )
            .bind(try_after.ms())
            .bind(short(detail))
            .bind(now.ms())
            .bind(if counts { claim.attempts + 1 } else { claim.attempts })
            .bind(claim.message.decision.message.to_bytes().to_vec())
            .bind(claim.lease)
            .execute(&mut *self.writer.lock().await)
            .await
            .map_err(self.failed("putting a message back"))
        })
        .await?;
        Ok(())
    }

    async fn hold(&self, hold: &Hold, held: bool, now: Timestamp) -> Result<bool, Error> {
        let (kind, name) = hold.words();
        let sql = if held {
            "INSERT INTO holds (kind, name, at) VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING"
        } else {
            "DELETE FROM holds WHERE kind = ?1 AND name = ?2 AND ?3 IS NOT NULL"
        };
        let changed = sqlx::query(sql)
            .bind(kind)
            .bind(name)
            .bind(now.ms())
            .execute(&mut *self.writer.lock().await)
            .await
            .map_err(self.failed("keeping a hold"))?;
        Ok(changed.rows_affected() > 0)
    }

    async fn cancel(&self, message: &StoredMessage, now: Timestamp) -> Result<bool, Error> {
        self.end_if(message, &["waiting", "claimed"], None, &End::by_hand(), now).await
    }

    async fn resolve(
        &self,
        message: &StoredMessage,
        sent: bool,
        now: Timestamp,
    ) -> Result<bool, Error> {
        self.end_if(message, &["in_doubt"], None, &End::resolved(sent), now).await
    }

    async fn unsubscribe(
        &self,
        suppression: &Suppression,
        customer: CustomerId,
    ) -> Result<bool, Error> {
        let failed = self.failed("keeping an unsubscribe");
        let mut writer = self.writer.lock().await;
        let mut transaction = writer.begin_with("BEGIN IMMEDIATE").await.map_err(&failed)?;
        let news = suppress(&mut transaction, suppression).await.map_err(&failed)?;
        if news {
            let told = unsubscribed(suppression, customer);
            self.ledger.tell(&mut transaction, &told).await?;
        }
        transaction.commit().await.map_err(failed)?;
        Ok(news)
    }
}

impl SqliteStore {
    /// The lease of a claim, and what it holds.
    async fn claim_rows(
        &self,
        now: Timestamp,
        limit: u32,
    ) -> Result<(i64, Vec<ClaimedRow>), Error> {
        let failed = self.failed("claiming messages");
        let mut writer = self.writer.lock().await;
        let mut transaction = writer.begin_with("BEGIN IMMEDIATE").await.map_err(&failed)?;
        let lease: i64 =
            sqlx::query_scalar("UPDATE store SET last_lease = last_lease + 1 RETURNING last_lease")
                .fetch_one(&mut *transaction)
                .await
                .map_err(&failed)?;
        let rows: Vec<ClaimedRow> = sqlx::query_as(
            "UPDATE deliveries SET status = 'claimed', changed = ?1, lease = ?3
             WHERE message IN (
                 SELECT waiting.message FROM deliveries AS waiting
                 JOIN lanes ON lanes.partition = waiting.partition
                 JOIN messages ON messages.message = waiting.message
                 WHERE waiting.status = 'waiting' AND waiting.ready <= lanes.watermark
                     AND waiting.try_after <= ?1
                     AND NOT EXISTS (SELECT 1 FROM holds WHERE kind = 'all'
                         OR (kind = 'channel' AND name = messages.channel)
                         OR (kind = 'journey' AND name = messages.journey)
                         OR (kind = 'template' AND name = messages.template))
                 ORDER BY waiting.ready, waiting.message LIMIT ?2)
             RETURNING message, attempts, revision, address, sender, subject, body",
        )
        .bind(now.ms())
        .bind(limit)
        .bind(lease)
        .fetch_all(&mut *transaction)
        .await
        .map_err(&failed)?;
        if rows.is_empty() {
            return Ok((lease, Vec::new()));
        }
        transaction.commit().await.map_err(failed)?;
        Ok((lease, rows))
    }

    /// The newest lease when this was first asked, before anything was claimed here: this process
    /// is the only one that claims, so whatever has such a lease was left by an earlier one.
    async fn earlier(&self) -> Result<i64, Error> {
        let read = || async {
            sqlx::query_scalar("SELECT last_lease FROM store")
                .fetch_one(&mut *self.writer.lock().await)
                .await
                .map_err(self.failed("looking after messages under way"))
        };
        self.earlier.get_or_try_init(read).await.copied()
    }

    async fn let_go(
        &self,
        writer: &mut SqliteConnection,
        claim: &Claim,
        now: Timestamp,
    ) -> Result<(), Error> {
        sqlx::query(
            "UPDATE deliveries SET status = 'cancelled', lease = NULL, body = NULL, changed = ?
             WHERE message = ? AND lease = ? AND status = 'claimed'",
        )
        .bind(now.ms())
        .bind(claim.message.decision.message.to_bytes().to_vec())
        .bind(claim.lease)
        .execute(writer)
        .await
        .map_err(self.failed("letting go of a message"))?;
        Ok(())
    }

    async fn end_if(
        &self,
        message: &StoredMessage,
        from: &[&str],
        lease: Option<i64>,
        end: &End,
        now: Timestamp,
    ) -> Result<bool, Error> {
        self.patiently(|| self.end_now(message, from, lease, end, now)).await
    }

    async fn end_now(
        &self,
        message: &StoredMessage,
        from: &[&str],
        lease: Option<i64>,
        end: &End,
        now: Timestamp,
    ) -> Result<bool, Error> {
        let failed = self.failed("changing a message");
        let mut writer = self.writer.lock().await;
        let mut transaction = writer.begin_with("BEGIN IMMEDIATE").await.map_err(&failed)?;
        let row: Option<(String, Option<i64>)> =
            sqlx::query_as("SELECT status, lease FROM deliveries WHERE message = ?")
                .bind(message.decision.message.to_bytes().to_vec())
                .fetch_optional(&mut *transaction)
                .await
                .map_err(&failed)?;
        let fits = row.is_some_and(|(status, held)| {
            from.contains(&status.as_str()) && (lease.is_none() || held == lease)
        });
        if !fits {
            return Ok(false);
        }
        self.ledger.end(&mut transaction, message, end, now).await?;
        transaction.commit().await.map_err(failed)?;
        Ok(true)
    }
}

impl SqliteLedger {
    /// Writes how a message ended. One in doubt keeps its lease: an answer that comes after all still
    /// settles it.
    async fn end(
        &self,
        connection: &mut SqliteConnection,
        message: &StoredMessage,
        end: &End,
        now: Timestamp,
    ) -> Result<(), Error> {
        let failed = self.failed("keeping an outcome");
        let decision = &message.decision;
        let (revision, address): (Option<u32>, Option<String>) = sqlx::query_as(
            "UPDATE deliveries SET status = ?1, detail = ?2, body = NULL, changed = ?3,
                 lease = CASE WHEN ?1 = 'in_doubt' THEN lease END
             WHERE message = ?4 RETURNING revision, address",
        )
        .bind(end.status.as_str())
        .bind(end.detail.as_deref().map(short))
        .bind(now.ms())
        .bind(decision.message.to_bytes().to_vec())
        .fetch_one(&mut *connection)
        .await
        .map_err(&failed)?;
        if let Some(address) = address.filter(|_| end.suppress) {
            let key = self.secret_key().await?;
            let suppression = Suppression {
                channel: decision.channel,
                address: address_hash(&key, decision.channel, &address),
                topic: None,
                reason: SuppressionReason::Bounced,
                at: now,
            };
            suppress(connection, &suppression).await.map_err(&failed)?;
        }
        self.tell(connection, &ended(message.into(), end, revision, now)).await
    }

    /// Leaves an event of ours for the log.
    async fn tell(&self, connection: &mut SqliteConnection, told: &OutboxRow) -> Result<(), Error> {
        sqlx::query("INSERT INTO outbox (id, record) VALUES (?, ?) ON CONFLICT (id) DO NOTHING")
            .bind(told.id.to_be_bytes().to_vec())
            .bind(encoded(told)?)
            .execute(connection)
            .await
            .map_err(self.failed("keeping the outbox"))?;
        Ok(())
    }
}

/// Lets go of a claim whose message is held.
async fn unclaim(
    connection: &mut SqliteConnection,
    claim: &Claim,
    now: Timestamp,
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "UPDATE deliveries SET status = 'waiting', lease = NULL, changed = ? WHERE message = ?",
    )
    .bind(now.ms())
    .bind(claim.message.decision.message.to_bytes().to_vec())
    .execute(connection)
    .await?;
    Ok(())
}
