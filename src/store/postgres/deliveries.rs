//! Delivery's transactions: claimed, started, dot sent, ended; unsubscribes and holds.
//!
//! Each locks the row of its message, so a claim, a checkpoint that cancels and an end come one
//! after another; and a start and an unsubscribe of one address do. A lease has an end by the wall
//! clock, after which any worker looks after the message.

use ring::rand::SecureRandom;
use sqlx::PgConnection;
use sqlx::postgres::PgRow;

use crate::model::{CustomerId, MINUTE_MS, MessageChannel, MessageId, Timestamp};
use crate::postgres::{query, query_as, text};

use super::super::rows;
use super::super::told::{Subject, ended, short, unsubscribed};
use super::super::{
    Begin, Claim, End, Error, Hold, Listing, Outgoing, Pinned, Recovered, StoredMessage,
    Suppression, SuppressionReason, address_hash,
};
use super::suppressions::{Said, lock, suppressed};
use super::write::tell;
use super::{PgLedger, PgStore};

/// How long a lease lasts, by how far its message is; each step begins it anew. It is also how long
/// a message waits after its worker was killed.
///
/// Before the last byte a lease only keeps workers from doing the same work: `start` and `dot_sent`
/// look at it directly before the first byte and before the last, so who has lost it, however long
/// it stood still, sends nothing. Nothing waits in a worker between claim and start, because it
/// claims what it hands over at once.
const CLAIMED_MS: i64 = MINUTE_MS;
/// Longer than a provider may take up to the last byte (90 s, and what keeping a step takes), else
/// a slow one would never get there.
const STARTED_MS: i64 = 2 * MINUTE_MS;
/// Longer than a provider may take to answer after the last byte (300 s), and far beyond what
/// clocks of workers differ: when it ends, the message is in doubt.
const DOT_SENT_MS: i64 = 15 * MINUTE_MS;

/// How many messages are looked after in one transaction.
const RECOVERED_MAX: i64 = 200;

impl Outgoing for PgStore {
    type Ledger = PgLedger;

    fn ledger(&self) -> &PgLedger {
        &self.ledger
    }

    async fn recover(
        &self,
        now: Timestamp,
        repeatable: impl Fn(MessageChannel) -> bool + Send,
    ) -> Result<Recovered, Error> {
        let doing = "looking after messages under way";
        let doubtful = [MessageChannel::Email, MessageChannel::Sms];
        let doubtful = doubtful.into_iter().filter(|channel| !repeatable(*channel)).collect();
        let unsure = self.look_after_restored(doubtful, now).await?;
        let mut transaction = self.begin(doing).await?;
        // What another worker looks after at the same time is left to it.
        let rows = query(
            "SELECT deliveries.message, customer, channel,
                 (deliveries.status = 'dot_sent')::int AS dot_sent
             FROM deliveries JOIN messages ON messages.message = deliveries.message
             WHERE deliveries.status IN ('claimed', 'started', 'dot_sent') AND lease_until <= $1
             ORDER BY deliveries.message LIMIT $2 FOR UPDATE OF deliveries SKIP LOCKED",
        )
        .bind(now.ms())
        .bind(RECOVERED_MAX)
        .fetch_all(&mut *transaction)
        .await
        .map_err(self.failed(doing))?;
        if rows.is_empty() {
            return Ok(Recovered { again: 0, in_doubt: unsure });
        }
        let left = self.left(&rows, repeatable)?;
        let end = End::unanswered();
        // The lease stays: an answer that comes after all still settles it.
        query(
            "UPDATE deliveries SET status = $2, detail = $3, lease_until = NULL, body = NULL,
                 changed = $4 WHERE message = ANY($1)",
        )
        .bind(left.doubtful.iter().map(|subject| bytes(subject.message)).collect::<Vec<_>>())
        .bind(end.status.as_str())
        .bind(end.detail.as_deref())
        .bind(now.ms())
        .execute(&mut *transaction)
        .await
        .map_err(self.failed(doing))?;
        query("UPDATE deliveries SET lease_until = $2 WHERE message = ANY($1)")
            .bind(&left.unreadable)
            .bind(now.plus_ms(DOT_SENT_MS).ms())
            .execute(&mut *transaction)
            .await
            .map_err(self.failed(doing))?;
        query(
            "UPDATE deliveries SET lease = NULL, lease_until = NULL, changed = $2,
                 status = CASE WHEN EXISTS (SELECT 1 FROM messages
                         WHERE messages.message = deliveries.message
                             AND messages.status = 'decided' AND messages.data IS NOT NULL)
                     THEN 'waiting' ELSE 'cancelled' END
             WHERE message = ANY($1)",
        )
        .bind(&left.again)
        .bind(now.ms())
        .execute(&mut *transaction)
        .await
        .map_err(self.failed(doing))?;
        let told = |subject: &Subject| ended(*subject, &end, None, now);
        let told: Vec<_> = left.doubtful.iter().map(told).collect();
        tell(&mut transaction, &self.ledger, &told).await?;
        transaction.commit().await.map_err(self.failed(doing))?;
        let in_doubt = left.doubtful.len() as u64 + unsure;
        Ok(Recovered { again: left.again.len() as u64, in_doubt })
    }

    async fn claim(&self, now: Timestamp, limit: u32) -> Result<Vec<Claim>, Error> {
        let doing = "claiming messages";
        let lease = new_lease()?;
        let mut transaction = self.begin(doing).await?;
        // First tries wait for their lanes, further ones for the clock. The index gives either in the
        // order of their time, so that neither search sees what waits for longer, nor anything while
        // all is held.
        let rows = query(
            "WITH first AS (
                 SELECT waiting.message, waiting.ready AS since FROM deliveries AS waiting
                 JOIN lanes ON lanes.partition = waiting.partition
                 JOIN messages ON messages.message = waiting.message
                 WHERE NOT EXISTS (SELECT 1 FROM holds WHERE kind = 'all')
                     AND waiting.status = 'waiting' AND waiting.try_after = 0
                     AND waiting.ready <= (SELECT max(watermark) FROM lanes)
                     AND waiting.ready <= lanes.watermark AND lanes.restored_until IS NULL
                     AND NOT EXISTS (SELECT 1 FROM holds
                         WHERE (kind = 'channel' AND name = messages.channel)
                         OR (kind = 'journey' AND name = messages.journey)
                         OR (kind = 'template' AND name = messages.template))
                 ORDER BY waiting.ready, waiting.message LIMIT $2
                 FOR UPDATE OF waiting SKIP LOCKED),
             further AS (
                 SELECT waiting.message, waiting.try_after AS since FROM deliveries AS waiting
                 JOIN lanes ON lanes.partition = waiting.partition
                 JOIN messages ON messages.message = waiting.message
                 WHERE NOT EXISTS (SELECT 1 FROM holds WHERE kind = 'all')
                     AND waiting.status = 'waiting'
                     AND waiting.try_after > 0 AND waiting.try_after <= $1
                     AND waiting.ready <= lanes.watermark AND lanes.restored_until IS NULL
                     AND NOT EXISTS (SELECT 1 FROM holds
                         WHERE (kind = 'channel' AND name = messages.channel)
                         OR (kind = 'journey' AND name = messages.journey)
                         OR (kind = 'template' AND name = messages.template))
                 ORDER BY waiting.try_after, waiting.ready, waiting.message LIMIT $2
                 FOR UPDATE OF waiting SKIP LOCKED),
             next AS (
                 SELECT message FROM (SELECT * FROM first UNION ALL SELECT * FROM further) AS found
                 ORDER BY since, message LIMIT $2)
             UPDATE deliveries SET status = 'claimed', changed = $1, lease = $3, lease_until = $4
             FROM next JOIN messages ON messages.message = next.message
             WHERE deliveries.message = next.message
             RETURNING seq, messages.message, messages.partition, customer, name, journey, version,
                 run, step, occurrence, channel, template, topic, class, at, settle_ms, expires,
                 window_end, messages.status, reason, messages.revision, outcome, data,
                 deliveries.attempts, deliveries.revision AS pinned, deliveries.address,
                 deliveries.sender, deliveries.subject, deliveries.body",
        )
        .bind(now.ms())
        .bind(i64::from(limit))
        .bind(lease)
        .bind(now.plus_ms(CLAIMED_MS).ms())
        .fetch_all(&mut *transaction)
        .await
        .map_err(self.failed(doing))?;
        if rows.is_empty() {
            return Ok(Vec::new());
        }
        transaction.commit().await.map_err(self.failed(doing))?;
        let mut claims = Vec::with_capacity(rows.len());
        for row in &rows {
            match rows::claim(row, lease).map_err(self.ledger.unreadable()) {
                Ok(claim) => claims.push(claim),
                Err(error @ Error::Unusable(_)) => {
                    // One row that can't be read must not stop the others.
                    tracing::error!(%error, "a message can't be read");
                }
                Err(error) => return Err(error),
            }
        }
        claims.sort_by_key(|claim| (claim.message.decision.at, claim.message.seq));
        Ok(claims)
    }

    async fn start(&self, claim: &Claim, pinned: &Pinned, now: Timestamp) -> Result<Begin, Error> {
        let doing = "starting a message";
        let decision = &claim.message.decision;
        let secret = self.ledger.secret_key().await?;
        let address = address_hash(&secret, decision.channel, &pinned.address);
        let mut transaction = self.begin(doing).await?;
        let standing: Option<(bool, bool, i64)> = query_as(
            "SELECT messages.status = 'decided' AND messages.data IS NOT NULL,
                 coalesce(deliveries.lease_until <= $3, true)
                     OR EXISTS (SELECT 1 FROM holds WHERE kind = 'all'
                         OR (kind = 'channel' AND name = messages.channel)
                         OR (kind = 'journey' AND name = messages.journey)
                         OR (kind = 'template' AND name = messages.template)),
                 messages.revision
             FROM deliveries JOIN messages ON messages.message = deliveries.message
             WHERE deliveries.message = $1 AND deliveries.status = 'claimed'
                 AND deliveries.lease = $2
             FOR UPDATE OF deliveries",
        )
        .bind(bytes(decision.message))
        .bind(claim.lease)
        .bind(now.ms())
        .fetch_optional(&mut *transaction)
        .await
        .map_err(self.failed(doing))?;
        let Some((stands, must_wait, revision)) = standing else { return Ok(Begin::Gone) };
        if !stands || must_wait {
            query(
                "UPDATE deliveries SET status = $2, lease = NULL, lease_until = NULL, changed = $3,
                     body = CASE WHEN $2 = 'waiting' THEN body END WHERE message = $1",
            )
            .bind(bytes(decision.message))
            .bind(if stands { "waiting" } else { "cancelled" })
            .bind(now.ms())
            .execute(&mut *transaction)
            .await
            .map_err(self.failed(doing))?;
            transaction.commit().await.map_err(self.failed(doing))?;
            return Ok(Begin::Gone);
        }
        if claim.pinned.is_none() && revision != i64::from(pinned.revision) {
            return Ok(Begin::Newer);
        }
        lock(&mut transaction, address, false).await.map_err(self.failed(doing))?;
        let reason = suppressed(&mut transaction, decision, address).await;
        if let Some(reason) = reason.map_err(self.failed(doing))? {
            let (of, end) = (&claim.message, End::suppressed(reason));
            let held = Held { from: &["claimed"], lease: Some(claim.lease) };
            self.end_in(&mut transaction, of, held, &end, now).await?;
            transaction.commit().await.map_err(self.failed(doing))?;
            return Ok(Begin::Suppressed(reason));
        }
        query(
            "UPDATE deliveries SET status = 'started', attempts = attempts + 1, revision = $2,
                 address = $3, sender = $4, subject = $5, body = $6, changed = $7,
                 lease_until = $8
             WHERE message = $1",
        )
        .bind(bytes(decision.message))
        .bind(i64::from(pinned.revision))
        .bind(text(&pinned.address))
        .bind(pinned.sender.as_deref().map(text))
        .bind(pinned.subject.as_deref().map(text))
        .bind(pinned.body.as_slice())
        .bind(now.ms())
        .bind(now.plus_ms(STARTED_MS).ms())
        .execute(&mut *transaction)
        .await
        .map_err(self.failed(doing))?;
        transaction.commit().await.map_err(self.failed(doing))?;
        Ok(Begin::Go)
    }

    async fn dot_sent(&self, claim: &Claim, now: Timestamp) -> Result<(), Error> {
        let doing = "keeping that a message is out";
        let message = claim.message.decision.message;
        let mut transaction = self.begin(doing).await?;
        let moved = query(
            "UPDATE deliveries SET status = 'dot_sent', changed = $3, lease_until = $4
             WHERE message = $1 AND status = 'started' AND lease = $2",
        )
        .bind(bytes(message))
        .bind(claim.lease)
        .bind(now.ms())
        .bind(now.plus_ms(DOT_SENT_MS).ms())
        .execute(&mut *transaction)
        .await
        .map_err(self.failed(doing))?;
        transaction.commit().await.map_err(self.failed(doing))?;
        if moved.rows_affected() == 0 {
            return Err(Error::not_ours(message));
        }
        Ok(())
    }

    async fn end(&self, claim: &Claim, end: &End, now: Timestamp) -> Result<(), Error> {
        let from = &["claimed", "started", "dot_sent", "in_doubt"];
        let held = Held { from, lease: Some(claim.lease) };
        self.end_if(&claim.message, held, end, now).await.map(drop)
    }

    async fn again(
        &self,
        claim: &Claim,
        try_after: Timestamp,
        counts: bool,
        detail: &str,
        now: Timestamp,
    ) -> Result<(), Error> {
        let doing = "putting a message back";
        let mut transaction = self.begin(doing).await?;
        query(
            "UPDATE deliveries SET lease = NULL, lease_until = NULL, try_after = $3, detail = $4,
                 changed = $5, attempts = $6,
                 status = CASE WHEN EXISTS (SELECT 1 FROM messages
                         WHERE messages.message = deliveries.message
                             AND messages.status = 'decided' AND messages.data IS NOT NULL)
                     THEN 'waiting' ELSE 'cancelled' END
             WHERE message = $1 AND lease = $2 AND status IN ('claimed', 'started', 'dot_sent')",
        )
        .bind(bytes(claim.message.decision.message))
        .bind(claim.lease)
        .bind(try_after.ms())
        .bind(text(short(detail)))
        .bind(now.ms())
        .bind(i64::from(if counts { claim.attempts + 1 } else { claim.attempts }))
        .execute(&mut *transaction)
        .await
        .map_err(self.failed(doing))?;
        transaction.commit().await.map_err(self.failed(doing))
    }

    async fn hold(&self, hold: &Hold, held: bool, now: Timestamp) -> Result<bool, Error> {
        let doing = "keeping a hold";
        let (kind, name) = hold.words();
        let sql = if held {
            "INSERT INTO holds (kind, name, at) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING"
        } else {
            "DELETE FROM holds WHERE kind = $1 AND name = $2 AND $3::bigint IS NOT NULL"
        };
        let mut transaction = self.begin(doing).await?;
        let changed = query(sql)
            .bind(kind)
            .bind(text(name))
            .bind(now.ms())
            .execute(&mut *transaction)
            .await
            .map_err(self.failed(doing))?;
        transaction.commit().await.map_err(self.failed(doing))?;
        Ok(changed.rows_affected() > 0)
    }

    async fn cancel(&self, message: &StoredMessage, now: Timestamp) -> Result<bool, Error> {
        let held = Held { from: &["waiting", "claimed"], lease: None };
        self.end_if(message, held, &End::by_hand(), now).await
    }

    async fn resolve(
        &self,
        message: &StoredMessage,
        sent: bool,
        now: Timestamp,
    ) -> Result<bool, Error> {
        let held = Held { from: &["in_doubt"], lease: None };
        self.end_if(message, held, &End::resolved(sent), now).await
    }

    async fn unsubscribe(
        &self,
        suppression: &Suppression,
        customer: CustomerId,
    ) -> Result<bool, Error> {
        let doing = "keeping an unsubscribe";
        let mut said = Said::default();
        said.suppress(suppression);
        let mut transaction = self.begin(doing).await?;
        lock(&mut transaction, suppression.address, true).await.map_err(self.failed(doing))?;
        let news = said.keep(&mut transaction).await.map_err(self.failed(doing))? > 0;
        if news {
            let told = unsubscribed(suppression, customer);
            tell(&mut transaction, &self.ledger, &[told]).await?;
        }
        transaction.commit().await.map_err(self.failed(doing))?;
        Ok(news)
    }
}

/// What workers that stopped in the middle had left.
#[derive(Default)]
struct Left {
    /// What goes back to waiting.
    again: Vec<Vec<u8>>,
    /// What may have been taken.
    doubtful: Vec<Subject>,
    /// What may have been taken, too, and can't be read.
    unreadable: Vec<Vec<u8>>,
}

/// From where a message may end.
#[derive(Clone, Copy)]
struct Held<'a> {
    /// The words of the statuses that it may have.
    from: &'a [&'a str],
    /// The lease that must hold it.
    lease: Option<i64>,
}

impl PgStore {
    /// What is to become of messages whose leases have ended. One that can't be read stops no
    /// other: it stays with its word for a lease longer, in which a build that can may look at it.
    fn left(
        &self,
        rows: &[PgRow],
        repeatable: impl Fn(MessageChannel) -> bool,
    ) -> Result<Left, Error> {
        let doing = "looking after messages under way";
        let mut left = Left::default();
        for row in rows {
            let message = rows::Columns::bytes(row, "message").map_err(self.failed(doing))?;
            let message = message.unwrap_or_default().to_vec();
            if rows::Columns::int(row, "dot_sent").map_err(self.failed(doing))? == Some(0) {
                left.again.push(message);
                continue;
            }
            match rows::subject(row).map_err(self.ledger.unreadable()) {
                Ok(subject) if repeatable(subject.channel) => left.again.push(message),
                Ok(subject) => left.doubtful.push(subject),
                Err(error @ Error::Unusable(_)) => {
                    tracing::error!(%error, "a message that may have been sent can't be read");
                    left.unreadable.push(message);
                }
                Err(error) => return Err(error),
            }
        }
        Ok(left)
    }

    async fn end_if(
        &self,
        message: &StoredMessage,
        held: Held<'_>,
        end: &End,
        now: Timestamp,
    ) -> Result<bool, Error> {
        let doing = "changing a message";
        // Before the transaction, for it may need a connection of its own.
        self.ledger.secret_key().await?;
        let mut transaction = self.begin(doing).await?;
        let fits = self.end_in(&mut transaction, message, held, end, now).await?;
        transaction.commit().await.map_err(self.failed(doing))?;
        Ok(fits)
    }

    /// Writes how a message ended, if it stands as it should; returns whether it does.
    async fn end_in(
        &self,
        connection: &mut PgConnection,
        message: &StoredMessage,
        held: Held<'_>,
        end: &End,
        now: Timestamp,
    ) -> Result<bool, Error> {
        let doing = "keeping an outcome";
        let decision = &message.decision;
        let row: Option<(Option<i64>, Option<String>)> = query_as(
            "UPDATE deliveries SET status = $4, detail = $5, lease = NULL, lease_until = NULL,
                 body = NULL, changed = $6
             WHERE message = $1 AND status = ANY($2) AND ($3::bigint IS NULL OR lease = $3)
             RETURNING revision, address",
        )
        .bind(bytes(decision.message))
        .bind(held.from)
        .bind(held.lease)
        .bind(end.status.as_str())
        .bind(end.detail.as_deref().map(|detail| text(short(detail))))
        .bind(now.ms())
        .fetch_optional(&mut *connection)
        .await
        .map_err(self.failed(doing))?;
        let Some((revision, address)) = row else { return Ok(false) };
        if let Some(address) = address.filter(|_| end.suppress) {
            let key = self.ledger.secret_key().await?;
            let mut said = Said::default();
            said.suppress(&Suppression {
                channel: decision.channel,
                address: address_hash(&key, decision.channel, &address),
                topic: None,
                reason: SuppressionReason::Bounced,
                at: now,
            });
            said.keep(connection).await.map_err(self.failed(doing))?;
        }
        let revision = revision.and_then(|revision| u32::try_from(revision).ok());
        tell(connection, &self.ledger, &[ended(message.into(), end, revision, now)]).await?;
        Ok(true)
    }
}

/// A lease unlike any other: at random, so that claims of many workers share nothing.
fn new_lease() -> Result<i64, Error> {
    let mut bytes = [0; 8];
    let filled = ring::rand::SystemRandom::new().fill(&mut bytes);
    filled.map_err(|_| Error::Unusable("the system gives no random numbers".to_owned()))?;
    Ok(i64::from_be_bytes(bytes))
}

fn bytes(message: MessageId) -> Vec<u8> {
    message.to_bytes().to_vec()
}
