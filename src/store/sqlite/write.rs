//! Writing one checkpoint inside a transaction that its caller commits.

use sqlx::sqlite::SqliteConnection;

use crate::engine::{Decision, Reason, Trace, TraceKind};
use crate::model::{CustomerId, MessageId, Timestamp};
use crate::sqlite::{chunks, repeated};

use super::super::changes::{Changes, Update};
use super::super::rows::class_word;
use super::super::told::{TOLD_BY_THE_LOG, encoded};
use super::super::{
    Checkpoint, DeliveryStatus, Error, Lease, Listing, MessageStatus, OutboxRow, StateRow,
};
use super::SqliteLedger;
use super::suppressions::{heed, reported};

/// Writes a checkpoint. The epoch is compared first.
pub(super) async fn checkpoint(
    connection: &mut SqliteConnection,
    ledger: &SqliteLedger,
    lease: Lease,
    checkpoint: &Checkpoint,
    changes: &Changes,
) -> Result<(), Error> {
    let moved = position(connection, lease, checkpoint).await;
    if moved.map_err(ledger.failed("moving the position"))? == 0 {
        return Err(Error::Fenced { partition: lease.partition, held: lease.epoch });
    }
    states(connection, lease, &checkpoint.states).await.map_err(ledger.failed("keeping states"))?;
    for chunk in chunks(&changes.decided) {
        let Err(error) = decided(connection, lease, chunk).await else { continue };
        let twice = error.as_database_error().is_some_and(|error| error.is_unique_violation());
        // Nothing of the failed statement is in the table, so what is there was there before.
        if twice && let Some(message) = find_kept(connection, ledger, chunk).await? {
            return Err(Error::DecidedTwice(message));
        }
        return Err(ledger.failed("keeping messages")(error));
    }
    let outgoing: Vec<_> =
        changes.decided.iter().map(|(_, one)| one).filter(|one| one.withheld.is_none()).collect();
    deliveries(connection, lease, &outgoing).await.map_err(ledger.failed("keeping messages"))?;
    let updates: Vec<_> = changes.updates.iter().collect();
    let found = update(connection, &updates).await.map_err(ledger.failed("changing messages"))?;
    if found < updates.len() as u64
        && let Some(message) = find_unknown(connection, ledger, &updates).await?
    {
        return Err(Error::UnknownMessage(message));
    }
    let stopped = |(message, update): &(&MessageId, &Update)| Some((**message, update.cancelled?));
    let stopped: Vec<_> = updates.iter().filter_map(stopped).collect();
    take_back(connection, &stopped).await.map_err(ledger.failed("taking messages back"))?;
    let ended = |(message, update): &(&MessageId, &Update)| Some((**message, update.ended?));
    let ended: Vec<_> = updates.iter().filter_map(ended).collect();
    end(connection, &ended).await.map_err(ledger.failed("ending messages"))?;
    let secret = ledger.secret_key().await?;
    for said in &checkpoint.consents {
        heed(connection, &secret, said).await.map_err(ledger.failed("keeping a consent"))?;
    }
    let now = checkpoint.position.watermark.unwrap_or(Timestamp::MIN);
    for (message, update) in &updates {
        for outcome in &update.outcomes {
            let kept = reported(connection, &secret, **message, outcome, now).await;
            kept.map_err(ledger.failed("keeping an outcome"))?;
        }
    }
    trace(connection, &checkpoint.trace).await.map_err(ledger.failed("keeping the trace"))?;
    let mut outgoing = Vec::with_capacity(checkpoint.outbox.len());
    for row in &checkpoint.outbox {
        outgoing.push((row, encoded(row)?));
    }
    outbox(connection, &outgoing).await.map_err(ledger.failed("keeping the outbox"))?;
    erase(connection, &checkpoint.erased).await.map_err(ledger.failed("erasing"))
}

/// Moves the position if the lease still holds; returns 0 if it does not.
async fn position(
    connection: &mut SqliteConnection,
    lease: Lease,
    checkpoint: &Checkpoint,
) -> Result<u64, sqlx::Error> {
    let position = checkpoint.position;
    let moved = sqlx::query(
        "UPDATE lanes SET low_offset = ?, end_offset = ?, watermark = ?, build = ?
         WHERE partition = ? AND epoch = ?",
    )
    .bind(position.low.cast_signed())
    .bind(position.end.cast_signed())
    .bind(position.watermark.map(Timestamp::ms))
    .bind(checkpoint.build.as_str())
    .bind(lease.partition)
    .bind(lease.epoch.cast_signed())
    .execute(connection)
    .await?;
    Ok(moved.rows_affected())
}

async fn states(
    connection: &mut SqliteConnection,
    lease: Lease,
    rows: &[StateRow],
) -> Result<(), sqlx::Error> {
    let (mut kept, mut gone) = (Vec::new(), Vec::new());
    for row in rows {
        match &row.state {
            Some(state) => kept.push((row, state)),
            None => gone.push(row.customer),
        }
    }
    // In key order neighbours share a page.
    kept.sort_by_key(|(row, _)| row.customer);
    for chunk in chunks(&kept) {
        let sql = repeated(
            "INSERT INTO states (partition, customer, next_due, state) VALUES {}
             ON CONFLICT (partition, customer)
             DO UPDATE SET next_due = excluded.next_due, state = excluded.state",
            "(?,?,?,?)",
            chunk.len(),
        );
        let mut query = sqlx::query(sql);
        for (row, state) in chunk {
            query = query
                .bind(lease.partition)
                .bind(row.customer.to_bytes().to_vec())
                .bind(row.next_due.map(Timestamp::ms))
                .bind(state.as_slice());
        }
        query.execute(&mut *connection).await?;
    }
    for chunk in chunks(&gone) {
        let sql = repeated(
            "DELETE FROM states WHERE partition = ? AND customer IN ({})",
            "?",
            chunk.len(),
        );
        let mut query = sqlx::query(sql).bind(lease.partition);
        for customer in chunk {
            query = query.bind(customer.to_bytes().to_vec());
        }
        query.execute(&mut *connection).await?;
    }
    Ok(())
}

async fn decided(
    connection: &mut SqliteConnection,
    lease: Lease,
    rows: &[(CustomerId, Decision)],
) -> Result<(), sqlx::Error> {
    let sql = repeated(
        "INSERT INTO messages (message, partition, customer, name, journey, version, run,
                 step, occurrence, channel, template, topic, class, at, settle_ms, expires, window_end, status,
                 reason, revision, data) VALUES {}",
        "(?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,1,?)",
        rows.len(),
    );
    let mut query = sqlx::query(sql);
    for (customer, decision) in rows {
        let status = match decision.withheld {
            Some(_) => MessageStatus::Withheld,
            None => MessageStatus::Decided,
        };
        query = query
            .bind(decision.message.to_bytes().to_vec())
            .bind(lease.partition)
            .bind(customer.to_bytes().to_vec())
            .bind(decision.customer.as_str())
            .bind(decision.journey.as_str())
            .bind(decision.version.0)
            .bind(decision.run.to_bytes().to_vec())
            .bind(decision.step.as_str())
            .bind(decision.occurrence)
            .bind(decision.channel.as_str())
            .bind(decision.template.as_str())
            .bind(decision.topic.as_deref())
            .bind(class_word(decision.class))
            .bind(decision.at.ms())
            .bind(decision.settle_ms)
            .bind(decision.expires.map(Timestamp::ms))
            .bind(decision.window_end.map(Timestamp::ms))
            .bind(status.as_str())
            .bind(decision.withheld.map(|reason| reason.as_str()))
            .bind(decision.data.as_str());
    }
    query.execute(connection).await?;
    Ok(())
}

/// What is to be sent waits for its time.
async fn deliveries(
    connection: &mut SqliteConnection,
    lease: Lease,
    rows: &[&Decision],
) -> Result<(), sqlx::Error> {
    for chunk in chunks(rows) {
        let sql = repeated(
            "INSERT INTO deliveries (message, partition, ready, status, changed) VALUES {}",
            "(?,?,?,'waiting',?)",
            chunk.len(),
        );
        let mut query = sqlx::query(sql);
        for decision in chunk {
            query = query
                .bind(decision.message.to_bytes().to_vec())
                .bind(lease.partition)
                .bind(decision.at.plus_ms(decision.settle_ms).ms())
                .bind(decision.at.ms());
        }
        query.execute(&mut *connection).await?;
    }
    Ok(())
}

/// Takes cancelled messages off the way out, where they have not started.
async fn take_back(
    connection: &mut SqliteConnection,
    rows: &[(MessageId, Reason)],
) -> Result<(), sqlx::Error> {
    for chunk in chunks(rows) {
        let sql = repeated(
            "WITH change (message, reason) AS (VALUES {})
             UPDATE deliveries SET status = 'cancelled', detail = change.reason, lease = NULL,
                 body = NULL
             FROM change WHERE deliveries.message = change.message
                 AND deliveries.status IN ('waiting', 'claimed')",
            "(?,?)",
            chunk.len(),
        );
        let mut query = sqlx::query(sql);
        for (message, reason) in chunk {
            query = query.bind(message.to_bytes().to_vec()).bind(reason.as_str());
        }
        query.execute(&mut *connection).await?;
    }
    Ok(())
}

/// Ends deliveries as the log says that they ended, where that is not known here: the file was
/// restored to an older point. What is known here is not less.
async fn end(
    connection: &mut SqliteConnection,
    rows: &[(MessageId, DeliveryStatus)],
) -> Result<(), sqlx::Error> {
    for chunk in chunks(rows) {
        let sql = repeated(
            "WITH change (message, status) AS (VALUES {})
             UPDATE deliveries SET status = change.status, detail = ?, lease = NULL, body = NULL
             FROM change WHERE deliveries.message = change.message
                 AND deliveries.status <> change.status AND deliveries.status
                     IN ('waiting', 'claimed', 'started', 'dot_sent', 'in_doubt', 'cancelled')",
            "(?,?)",
            chunk.len(),
        );
        let mut query = sqlx::query(sql);
        for (message, status) in chunk {
            query = query.bind(message.to_bytes().to_vec()).bind(status.as_str());
        }
        query.bind(TOLD_BY_THE_LOG).execute(&mut *connection).await?;
    }
    Ok(())
}

/// Changes messages, and returns how many were there.
async fn update(
    connection: &mut SqliteConnection,
    rows: &[(&MessageId, &Update)],
) -> Result<u64, sqlx::Error> {
    let mut found = 0;
    for chunk in chunks(rows) {
        let sql = repeated(
            "WITH change (message, cancelled, revision, data, outcome) AS (VALUES {})
             UPDATE messages SET
                 status = CASE WHEN messages.status = 'decided' AND change.cancelled IS NOT NULL
                     THEN 'cancelled' ELSE messages.status END,
                 reason = CASE WHEN messages.status = 'decided' AND change.cancelled IS NOT NULL
                     THEN change.cancelled ELSE messages.reason END,
                 revision = coalesce(change.revision, messages.revision),
                 data = coalesce(change.data, messages.data),
                 outcome = coalesce(change.outcome, messages.outcome)
             FROM change WHERE messages.message = change.message",
            "(?,?,?,?,?)",
            chunk.len(),
        );
        let mut query = sqlx::query(sql);
        for (message, update) in chunk {
            let revision = update.revision.as_ref();
            query = query
                .bind(message.to_bytes().to_vec())
                .bind(update.cancelled.map(|reason| reason.as_str()))
                .bind(revision.map(|(revision, _)| *revision))
                .bind(revision.map(|(_, data)| data.as_str()))
                .bind(update.outcomes.last().map(|outcome| outcome.as_str()));
        }
        found += query.execute(&mut *connection).await?.rows_affected();
    }
    Ok(found)
}

async fn trace(
    connection: &mut SqliteConnection,
    rows: &[(CustomerId, Trace)],
) -> Result<(), sqlx::Error> {
    for chunk in chunks(rows) {
        let sql = repeated(
            "INSERT INTO trace (customer, at, kind, journey, version, run, step, reason, detail)
             VALUES {}",
            "(?,?,?,?,?,?,?,?,?)",
            chunk.len(),
        );
        let mut query = sqlx::query(sql);
        for (customer, trace) in chunk {
            let journey = trace.journey.as_ref();
            query = query
                .bind(customer.to_bytes().to_vec())
                .bind(trace.at.ms())
                .bind(trace.kind.as_str())
                .bind(journey.map(|(journey, _)| journey.as_str()))
                .bind(journey.map(|(_, version)| version.0))
                .bind(trace.run.map(|run| run.to_bytes().to_vec()))
                .bind(trace.step.as_deref())
                .bind(trace.reason.map(|reason| reason.as_str()))
                .bind(trace.detail.as_deref());
        }
        query.execute(&mut *connection).await?;
    }
    Ok(())
}

async fn outbox(
    connection: &mut SqliteConnection,
    rows: &[(&OutboxRow, Vec<u8>)],
) -> Result<(), sqlx::Error> {
    for chunk in chunks(rows) {
        let sql = repeated(
            "INSERT INTO outbox (id, record) VALUES {} ON CONFLICT (id) DO NOTHING",
            "(?,?)",
            chunk.len(),
        );
        let mut query = sqlx::query(sql);
        for (row, bytes) in chunk {
            query = query.bind(row.id.to_be_bytes().to_vec()).bind(bytes.as_slice());
        }
        query.execute(&mut *connection).await?;
    }
    Ok(())
}

/// Erases what was written of these customers, also under the ids of those who became one with
/// them: their messages were decided before.
async fn erase(
    connection: &mut SqliteConnection,
    customers: &[CustomerId],
) -> Result<(), sqlx::Error> {
    for customer in merged_with(connection, customers).await? {
        sqlx::query("UPDATE messages SET data = NULL, name = '' WHERE customer = ?")
            .bind(customer.to_bytes().to_vec())
            .execute(&mut *connection)
            .await?;
        sqlx::query(
            "UPDATE deliveries SET address = NULL, subject = NULL, body = NULL, detail = NULL,
                 status = CASE WHEN status IN ('waiting', 'claimed') THEN 'cancelled'
                     ELSE status END
             WHERE message IN (SELECT message FROM messages WHERE customer = ?)",
        )
        .bind(customer.to_bytes().to_vec())
        .execute(&mut *connection)
        .await?;
        sqlx::query("UPDATE trace SET detail = NULL WHERE customer = ?")
            .bind(customer.to_bytes().to_vec())
            .execute(&mut *connection)
            .await?;
    }
    Ok(())
}

/// These customers, and all who became one with them.
async fn merged_with(
    connection: &mut SqliteConnection,
    customers: &[CustomerId],
) -> Result<Vec<CustomerId>, sqlx::Error> {
    let mut all = customers.to_vec();
    let mut next = 0;
    while let Some(customer) = all.get(next).copied() {
        next += 1;
        let others: Vec<Option<String>> =
            sqlx::query_scalar("SELECT detail FROM trace WHERE customer = ? AND kind = ?")
                .bind(customer.to_bytes().to_vec())
                .bind(TraceKind::Merged.as_str())
                .fetch_all(&mut *connection)
                .await?;
        for other in others.into_iter().flatten().filter_map(|other| other.parse().ok()) {
            if !all.contains(&other) {
                all.push(other);
            }
        }
    }
    Ok(all)
}

/// The first of these decisions that is kept already.
async fn find_kept(
    connection: &mut SqliteConnection,
    ledger: &SqliteLedger,
    rows: &[(CustomerId, Decision)],
) -> Result<Option<MessageId>, Error> {
    for (_, decision) in rows {
        if is_kept(connection, decision.message).await.map_err(ledger.failed("keeping messages"))? {
            return Ok(Some(decision.message));
        }
    }
    Ok(None)
}

/// The first message that had to be there and is not.
async fn find_unknown(
    connection: &mut SqliteConnection,
    ledger: &SqliteLedger,
    rows: &[(&MessageId, &Update)],
) -> Result<Option<MessageId>, Error> {
    for (message, _) in rows.iter().filter(|(_, update)| update.needs_message()) {
        if !is_kept(connection, **message).await.map_err(ledger.failed("changing messages"))? {
            return Ok(Some(**message));
        }
    }
    Ok(None)
}

async fn is_kept(
    connection: &mut SqliteConnection,
    message: MessageId,
) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar("SELECT EXISTS (SELECT 1 FROM messages WHERE message = ?)")
        .bind(message.to_bytes().to_vec())
        .fetch_one(connection)
        .await
}
