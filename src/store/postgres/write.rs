//! Writing one checkpoint inside a transaction that its caller commits.

use std::collections::{BTreeMap, BTreeSet};

use sqlx::PgConnection;

use crate::engine::{Decision, TraceKind};
use crate::model::{CustomerId, MessageId, Timestamp};
use crate::postgres::{query, query_scalar, text};

use super::super::changes::{Changes, Update};
use super::super::rows::{class_word, sixteen};
use super::super::told::{TOLD_BY_THE_LOG, encoded};
use super::super::{Checkpoint, Error, Lease, MessageStatus, OutboxRow, StateRow};
use super::suppressions::Said;
use super::{PgLedger, number};

/// A checkpoint, and what can be got ready before its transaction begins.
pub(super) struct Prepared<'a> {
    lease: Lease,
    checkpoint: &'a Checkpoint,
    changes: &'a Changes,
    outbox: Vec<(u128, Vec<u8>)>,
}

impl<'a> Prepared<'a> {
    pub(super) fn new(
        lease: Lease,
        checkpoint: &'a Checkpoint,
        changes: &'a Changes,
    ) -> Result<Self, Error> {
        let outbox = checkpoint.outbox.iter().map(|row| Ok((row.id, encoded(row)?)));
        let outbox = outbox.collect::<Result<_, Error>>()?;
        Ok(Self { lease, checkpoint, changes, outbox })
    }

    /// Writes it. The epoch is compared first.
    pub(super) async fn write(
        &self,
        connection: &mut PgConnection,
        ledger: &PgLedger,
        secret: &[u8; 32],
    ) -> Result<(), Error> {
        let Self { lease, checkpoint, changes, outbox } = self;
        let moved = position(connection, *lease, checkpoint).await;
        if moved.map_err(ledger.failed("moving the position"))? == 0 {
            return Err(Error::Fenced { partition: lease.partition, held: lease.epoch });
        }
        let kept = states(connection, *lease, &checkpoint.states).await;
        kept.map_err(ledger.failed("keeping states"))?;
        let new = decided(connection, *lease, &changes.decided).await;
        let new = new.map_err(ledger.failed("keeping messages"))?;
        let is_new = |message: &MessageId| new.contains(&message.to_bytes());
        if let Some((_, twice)) = changes.decided.iter().find(|(_, one)| !is_new(&one.message)) {
            return Err(Error::DecidedTwice(twice.message));
        }
        let outgoing = changes.decided.iter().map(|(_, one)| one);
        let outgoing: Vec<_> = outgoing.filter(|one| one.withheld.is_none()).collect();
        let kept = deliveries(connection, *lease, &outgoing).await;
        kept.map_err(ledger.failed("keeping messages"))?;
        let found = update(connection, &changes.updates).await;
        let found = found.map_err(ledger.failed("changing messages"))?;
        let unknown = changes.updates.iter().find(|(message, update)| {
            update.needs_message() && !found.contains(&message.to_bytes())
        });
        if let Some((message, _)) = unknown {
            return Err(Error::UnknownMessage(*message));
        }
        let back = take_back(connection, &changes.updates).await;
        back.map_err(ledger.failed("taking messages back"))?;
        let ended = end(connection, &changes.updates).await;
        ended.map_err(ledger.failed("ending messages"))?;
        let now = checkpoint.position.watermark.unwrap_or(Timestamp::MIN);
        let mut said = Said::default();
        for consent in &checkpoint.consents {
            said.heed(secret, consent);
        }
        let heard = said.hear(connection, secret, &changes.updates, now).await;
        heard.map_err(ledger.failed("keeping an outcome"))?;
        trace(connection, checkpoint).await.map_err(ledger.failed("keeping the trace"))?;
        erase(connection, &checkpoint.erased).await.map_err(ledger.failed("erasing"))?;
        said.keep(connection).await.map_err(ledger.failed("keeping a consent"))?;
        leave(connection, outbox).await.map_err(ledger.failed("keeping the outbox"))
    }
}

/// Moves the position if the lease still holds; returns 0 if it does not.
async fn position(
    connection: &mut PgConnection,
    lease: Lease,
    checkpoint: &Checkpoint,
) -> Result<u64, sqlx::Error> {
    let position = checkpoint.position;
    let moved = query(
        "UPDATE lanes SET low_offset = $1, end_offset = $2, watermark = $3, build = $4
         WHERE partition = $5 AND epoch = $6 AND end_offset = coalesce($7, end_offset)",
    )
    .bind(position.low.cast_signed())
    .bind(position.end.cast_signed())
    .bind(position.watermark.map(Timestamp::ms))
    .bind(checkpoint.build.as_str())
    .bind(number(lease.partition))
    .bind(lease.epoch.cast_signed())
    .bind(checkpoint.after.map(u64::cast_signed))
    .execute(connection)
    .await?;
    Ok(moved.rows_affected())
}

async fn states(
    connection: &mut PgConnection,
    lease: Lease,
    rows: &[StateRow],
) -> Result<(), sqlx::Error> {
    // In key order neighbours share a page; of two for one customer the later counts.
    let rows: BTreeMap<CustomerId, &StateRow> =
        rows.iter().map(|row| (row.customer, row)).collect();
    let (mut kept, mut due, mut states, mut gone) = (vec![], vec![], vec![], vec![]);
    for (customer, row) in rows {
        match &row.state {
            Some(state) => {
                kept.push(customer.to_bytes().to_vec());
                due.push(row.next_due.map(Timestamp::ms));
                states.push(state.as_slice());
            }
            None => gone.push(customer.to_bytes().to_vec()),
        }
    }
    if !kept.is_empty() {
        query(
            "INSERT INTO states (partition, customer, next_due, state)
             SELECT $1, * FROM UNNEST($2::bytea[], $3::bigint[], $4::bytea[])
             ON CONFLICT (partition, customer)
             DO UPDATE SET next_due = excluded.next_due, state = excluded.state",
        )
        .bind(number(lease.partition))
        .bind(kept)
        .bind(due)
        .bind(states)
        .execute(&mut *connection)
        .await?;
    }
    if !gone.is_empty() {
        query("DELETE FROM states WHERE partition = $1 AND customer = ANY($2)")
            .bind(number(lease.partition))
            .bind(gone)
            .execute(connection)
            .await?;
    }
    Ok(())
}

/// Keeps decisions, and returns those that were not kept before.
async fn decided(
    connection: &mut PgConnection,
    lease: Lease,
    rows: &[(CustomerId, Decision)],
) -> Result<BTreeSet<[u8; 16]>, sqlx::Error> {
    if rows.is_empty() {
        return Ok(BTreeSet::new());
    }
    let decisions = || rows.iter().map(|(_, decision)| decision);
    let texts =
        |of: fn(&Decision) -> &str| -> Vec<String> { decisions().map(|d| text(of(d))).collect() };
    let ints = |of: fn(&Decision) -> i64| -> Vec<i64> { decisions().map(of).collect() };
    let times = |of: fn(&Decision) -> Option<Timestamp>| -> Vec<Option<i64>> {
        decisions().map(|d| of(d).map(Timestamp::ms)).collect()
    };
    let status = |decision: &Decision| match decision.withheld {
        Some(_) => MessageStatus::Withheld.as_str(),
        None => MessageStatus::Decided.as_str(),
    };
    let new: Vec<Vec<u8>> = query_scalar(
        "INSERT INTO messages (partition, message, customer, name, journey, version, run, step,
             occurrence, channel, template, topic, class, at, settle_ms, expires, window_end,
             status, reason, revision, data)
         SELECT $1, message, customer, name, journey, version, run, step, occurrence, channel,
             template, topic, class, at, settle_ms, expires, window_end, status, reason, 1, data
         FROM UNNEST($2::bytea[], $3::bytea[], $4::text[], $5::text[], $6::bigint[], $7::bytea[],
             $8::text[], $9::bigint[], $10::text[], $11::text[], $12::text[], $13::text[],
             $14::bigint[], $15::bigint[], $16::bigint[], $17::bigint[], $18::text[], $19::text[],
             $20::text[])
             WITH ORDINALITY AS new (message, customer, name, journey, version, run, step,
                 occurrence, channel, template, topic, class, at, settle_ms, expires, window_end,
                 status, reason, data, place)
         ORDER BY place
         ON CONFLICT (message) DO NOTHING RETURNING message",
    )
    .bind(number(lease.partition))
    .bind(decisions().map(|d| d.message.to_bytes().to_vec()).collect::<Vec<_>>())
    .bind(rows.iter().map(|(of, _)| of.to_bytes().to_vec()).collect::<Vec<_>>())
    .bind(texts(|d| &d.customer))
    .bind(texts(|d| &d.journey))
    .bind(ints(|d| d.version.0.into()))
    .bind(decisions().map(|d| d.run.to_bytes().to_vec()).collect::<Vec<_>>())
    .bind(texts(|d| &d.step))
    .bind(ints(|d| d.occurrence.into()))
    .bind(texts(|d| d.channel.as_str()))
    .bind(texts(|d| &d.template))
    .bind(decisions().map(|d| d.topic.as_deref().map(text)).collect::<Vec<_>>())
    .bind(texts(|d| class_word(d.class)))
    .bind(ints(|d| d.at.ms()))
    .bind(ints(|d| d.settle_ms))
    .bind(times(|d| d.expires))
    .bind(times(|d| d.window_end))
    .bind(decisions().map(status).collect::<Vec<_>>())
    .bind(decisions().map(|d| d.withheld.map(|why| why.as_str())).collect::<Vec<_>>())
    .bind(texts(|d| &d.data))
    .fetch_all(connection)
    .await?;
    Ok(new.iter().filter_map(|id| sixteen(id).ok()).collect())
}

/// What is to be sent waits for its time.
async fn deliveries(
    connection: &mut PgConnection,
    lease: Lease,
    rows: &[&Decision],
) -> Result<(), sqlx::Error> {
    if rows.is_empty() {
        return Ok(());
    }
    let ready = |d: &&Decision| d.at.plus_ms(d.settle_ms).ms();
    query(
        "INSERT INTO deliveries (partition, status, message, ready, changed)
         SELECT $1, 'waiting', * FROM UNNEST($2::bytea[], $3::bigint[], $4::bigint[])",
    )
    .bind(number(lease.partition))
    .bind(rows.iter().map(|d| d.message.to_bytes().to_vec()).collect::<Vec<_>>())
    .bind(rows.iter().map(ready).collect::<Vec<_>>())
    .bind(rows.iter().map(|d| d.at.ms()).collect::<Vec<_>>())
    .execute(connection)
    .await?;
    Ok(())
}

/// Changes messages, and returns those that are there.
async fn update(
    connection: &mut PgConnection,
    updates: &BTreeMap<MessageId, Update>,
) -> Result<BTreeSet<[u8; 16]>, sqlx::Error> {
    if updates.is_empty() {
        return Ok(BTreeSet::new());
    }
    let revision =
        |update: &Update| update.revision.as_ref().map(|(revision, _)| i64::from(*revision));
    let data = |update: &Update| update.revision.as_ref().map(|(_, data)| text(data));
    let outcome = |update: &Update| update.outcomes.last().map(|outcome| text(outcome.as_str()));
    let found: Vec<Vec<u8>> = query_scalar(
        "WITH change AS (
             SELECT * FROM UNNEST($1::bytea[], $2::text[], $3::bigint[], $4::text[], $5::text[])
                 AS change (message, cancelled, revision, data, outcome)),
         there AS (
             SELECT messages.message FROM messages
             WHERE messages.message = ANY($1) ORDER BY messages.message FOR UPDATE)
         UPDATE messages SET
             status = CASE WHEN messages.status = 'decided' AND change.cancelled IS NOT NULL
                 THEN 'cancelled' ELSE messages.status END,
             reason = CASE WHEN messages.status = 'decided' AND change.cancelled IS NOT NULL
                 THEN change.cancelled ELSE messages.reason END,
             revision = coalesce(change.revision, messages.revision),
             data = coalesce(change.data, messages.data),
             outcome = coalesce(change.outcome, messages.outcome)
         FROM change JOIN there USING (message) WHERE messages.message = change.message
         RETURNING messages.message",
    )
    .bind(updates.keys().map(|message| message.to_bytes().to_vec()).collect::<Vec<_>>())
    .bind(updates.values().map(|u| u.cancelled.map(|why| why.as_str())).collect::<Vec<_>>())
    .bind(updates.values().map(revision).collect::<Vec<_>>())
    .bind(updates.values().map(data).collect::<Vec<_>>())
    .bind(updates.values().map(outcome).collect::<Vec<_>>())
    .fetch_all(connection)
    .await?;
    Ok(found.iter().filter_map(|id| sixteen(id).ok()).collect())
}

/// Takes cancelled messages off the way out, where they have not started.
async fn take_back(
    connection: &mut PgConnection,
    updates: &BTreeMap<MessageId, Update>,
) -> Result<(), sqlx::Error> {
    let stopped = |(message, update): (&MessageId, &Update)| {
        Some((message.to_bytes().to_vec(), update.cancelled?.as_str()))
    };
    let (messages, reasons): (Vec<Vec<u8>>, Vec<&str>) = updates.iter().filter_map(stopped).unzip();
    if messages.is_empty() {
        return Ok(());
    }
    query(
        "UPDATE deliveries SET status = 'cancelled', detail = change.reason, lease = NULL,
             lease_until = NULL, body = NULL
         FROM UNNEST($1::bytea[], $2::text[]) AS change (message, reason)
         WHERE deliveries.message = change.message
             AND deliveries.status IN ('waiting', 'claimed')",
    )
    .bind(messages)
    .bind(reasons)
    .execute(connection)
    .await?;
    Ok(())
}

/// Ends deliveries as the log says that they ended, where that is not known here: the database was
/// restored to an older point. What is known here is not less.
async fn end(
    connection: &mut PgConnection,
    updates: &BTreeMap<MessageId, Update>,
) -> Result<(), sqlx::Error> {
    let ended = |(message, update): (&MessageId, &Update)| {
        Some((message.to_bytes().to_vec(), update.ended?.as_str()))
    };
    let (messages, statuses): (Vec<Vec<u8>>, Vec<&str>) = updates.iter().filter_map(ended).unzip();
    if messages.is_empty() {
        return Ok(());
    }
    query(
        "UPDATE deliveries SET status = change.status, detail = $3, lease = NULL,
             lease_until = NULL, body = NULL
         FROM UNNEST($1::bytea[], $2::text[]) AS change (message, status)
         WHERE deliveries.message = change.message AND deliveries.status <> change.status
             AND deliveries.status
                 IN ('waiting', 'claimed', 'started', 'dot_sent', 'in_doubt', 'cancelled')",
    )
    .bind(messages)
    .bind(statuses)
    .bind(TOLD_BY_THE_LOG)
    .execute(connection)
    .await?;
    Ok(())
}

async fn trace(connection: &mut PgConnection, checkpoint: &Checkpoint) -> Result<(), sqlx::Error> {
    let rows = &checkpoint.trace;
    if rows.is_empty() {
        return Ok(());
    }
    let traces = || rows.iter().map(|(_, trace)| trace);
    let journeys = || traces().map(|trace| trace.journey.as_ref());
    query(
        "INSERT INTO trace (customer, at, kind, journey, version, run, step, reason, detail)
         SELECT customer, at, kind, journey, version, run, step, reason, detail
         FROM UNNEST($1::bytea[], $2::bigint[], $3::text[], $4::text[], $5::bigint[], $6::bytea[],
             $7::text[], $8::text[], $9::text[])
             WITH ORDINALITY AS new (customer, at, kind, journey, version, run, step, reason,
                 detail, place)
         ORDER BY place",
    )
    .bind(rows.iter().map(|(of, _)| of.to_bytes().to_vec()).collect::<Vec<_>>())
    .bind(traces().map(|trace| trace.at.ms()).collect::<Vec<_>>())
    .bind(traces().map(|trace| trace.kind.as_str()).collect::<Vec<_>>())
    .bind(journeys().map(|of| of.map(|(name, _)| text(name))).collect::<Vec<_>>())
    .bind(journeys().map(|of| of.map(|(_, version)| i64::from(version.0))).collect::<Vec<_>>())
    .bind(traces().map(|trace| trace.run.map(|run| run.to_bytes().to_vec())).collect::<Vec<_>>())
    .bind(traces().map(|trace| trace.step.as_deref().map(text)).collect::<Vec<_>>())
    .bind(traces().map(|trace| trace.reason.map(|why| why.as_str())).collect::<Vec<_>>())
    .bind(traces().map(|trace| trace.detail.as_deref().map(text)).collect::<Vec<_>>())
    .execute(connection)
    .await?;
    Ok(())
}

/// Leaves records for the log.
pub(super) async fn leave(
    connection: &mut PgConnection,
    rows: &[(u128, Vec<u8>)],
) -> Result<(), sqlx::Error> {
    if rows.is_empty() {
        return Ok(());
    }
    query(
        "INSERT INTO outbox (id, record)
         SELECT id, record FROM UNNEST($1::bytea[], $2::bytea[])
             WITH ORDINALITY AS new (id, record, place)
         ORDER BY place ON CONFLICT (id) DO NOTHING",
    )
    .bind(rows.iter().map(|(id, _)| id.to_be_bytes().to_vec()).collect::<Vec<_>>())
    .bind(rows.iter().map(|(_, record)| record.as_slice()).collect::<Vec<_>>())
    .execute(connection)
    .await?;
    Ok(())
}

/// Leaves rows of ours for the log.
pub(super) async fn tell(
    connection: &mut PgConnection,
    ledger: &PgLedger,
    rows: &[OutboxRow],
) -> Result<(), Error> {
    let encoded = rows.iter().map(|row| Ok((row.id, encoded(row)?)));
    let encoded = encoded.collect::<Result<Vec<_>, Error>>()?;
    leave(connection, &encoded).await.map_err(ledger.failed("keeping the outbox"))
}

/// Erases what was written of these customers, also under the ids of those who became one with
/// them: their messages were decided before.
async fn erase(connection: &mut PgConnection, customers: &[CustomerId]) -> Result<(), sqlx::Error> {
    if customers.is_empty() {
        return Ok(());
    }
    let all = merged_with(connection, customers).await?;
    let all: Vec<Vec<u8>> = all.iter().map(|id| id.to_bytes().to_vec()).collect();
    for statement in [
        "UPDATE messages SET data = NULL, name = '' WHERE customer = ANY($1)",
        "UPDATE deliveries SET address = NULL, subject = NULL, body = NULL, detail = NULL,
             status = CASE WHEN status IN ('waiting', 'claimed') THEN 'cancelled'
                 ELSE status END
         WHERE message IN (SELECT message FROM messages WHERE customer = ANY($1))",
        "UPDATE trace SET detail = NULL WHERE customer = ANY($1)",
    ] {
        query(statement).bind(&all).execute(&mut *connection).await?;
    }
    Ok(())
}

/// These customers, and all who became one with them: a statement for each step from one to the
/// next, not for each customer.
async fn merged_with(
    connection: &mut PgConnection,
    customers: &[CustomerId],
) -> Result<BTreeSet<CustomerId>, sqlx::Error> {
    let mut all: BTreeSet<CustomerId> = customers.iter().copied().collect();
    let mut next: Vec<CustomerId> = all.iter().copied().collect();
    while !next.is_empty() {
        let others: Vec<Option<String>> =
            query_scalar("SELECT detail FROM trace WHERE customer = ANY($1) AND kind = $2")
                .bind(next.iter().map(|id| id.to_bytes().to_vec()).collect::<Vec<_>>())
                .bind(TraceKind::Merged.as_str())
                .fetch_all(&mut *connection)
                .await?;
        next = others.into_iter().flatten().filter_map(|other| other.parse().ok()).collect();
        next.retain(|other| all.insert(*other));
    }
    Ok(all)
}
