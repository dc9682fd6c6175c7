//! Messages with what delivery keeps of them, and what is held: for the commands.

use crate::model::Timestamp;
use crate::postgres::{query, query_as, query_scalar, text};

use super::super::rows;
use super::super::{
    DeliveryRow, DeliveryStatus, Error, Hold, Listing, MessageFilter, Pending, StoredMessage,
};
use super::PgLedger;

impl Listing for PgLedger {
    async fn secret_key(&self) -> Result<[u8; 32], Error> {
        let read = || async {
            let doing = "reading the store's key";
            let mut reading = self.read(doing).await?;
            let key: Vec<u8> = query_scalar("SELECT secret_key FROM store")
                .fetch_one(reading.connection())
                .await
                .map_err(self.failed(doing))?;
            let length = key.len();
            key.try_into().map_err(|_| self.damaged(&format!("a key of {length} bytes")))
        };
        self.secret_key.get_or_try_init(read).await.copied()
    }

    async fn messages(
        &self,
        filter: &MessageFilter,
    ) -> Result<Vec<(StoredMessage, Option<DeliveryRow>)>, Error> {
        let doing = "reading messages";
        let mut reading = self.read(doing).await?;
        // Planned with the values at hand, so what is not asked for costs nothing.
        let rows = query(
            "SELECT seq, messages.message, messages.partition, customer, name, journey,
                 version, run, step, occurrence, channel, template, topic, class, at, settle_ms,
                 expires, window_end, messages.status, reason, messages.revision, outcome, data,
                 deliveries.status AS delivery, attempts, try_after, deliveries.revision AS pinned,
                 address, subject, detail, changed
             FROM messages LEFT JOIN deliveries ON deliveries.message = messages.message
             WHERE ($1::bytea IS NULL OR messages.message = $1)
                 AND ($2::text IS NULL OR journey = $2)
                 AND ($3::text IS NULL OR deliveries.status = $3)
                 AND ($4::text IS NULL OR name = $4)
             ORDER BY seq DESC LIMIT $5",
        )
        .bind(filter.message.map(|message| message.to_bytes().to_vec()))
        .bind(filter.journey.as_deref().map(text))
        .bind(filter.status.map(DeliveryStatus::as_str))
        .bind(filter.customer.as_deref().map(text))
        .bind(i64::from(filter.limit))
        .fetch_all(reading.connection())
        .await
        .map_err(self.failed(doing))?;
        drop(reading);
        let message = |row| Ok((rows::message(row)?, rows::delivery(row)?));
        rows.iter().map(message).collect::<Result<_, _>>().map_err(self.unreadable())
    }

    async fn deliveries(&self) -> Result<Vec<(DeliveryStatus, u64)>, Error> {
        let doing = "counting messages";
        let mut reading = self.read(doing).await?;
        let rows: Vec<(String, i64)> =
            query_as("SELECT status, count(*) FROM deliveries GROUP BY status ORDER BY status")
                .fetch_all(reading.connection())
                .await
                .map_err(self.failed(doing))?;
        let count = |(status, count): &(String, i64)| {
            Ok((rows::delivery_status(status)?, count.cast_unsigned()))
        };
        rows.iter().map(count).collect::<Result<_, _>>().map_err(self.unreadable())
    }

    async fn pending(&self) -> Result<Pending, Error> {
        let doing = "counting what waits";
        let mut reading = self.read(doing).await?;
        // Each by an index of its own, so that what has ended costs nothing.
        let (waiting, in_doubt, oldest, outbox): (i64, i64, Option<i64>, i64) = query_as(
            "SELECT (SELECT count(*) FROM deliveries WHERE status = 'waiting'),
                    (SELECT count(*) FROM deliveries WHERE status = 'in_doubt'),
                    least((SELECT min(ready) FROM deliveries
                           WHERE status = 'waiting' AND try_after = 0),
                          (SELECT min(ready) FROM deliveries
                           WHERE status = 'waiting' AND try_after > 0),
                          (SELECT min(ready) FROM deliveries
                           WHERE status IN ('claimed', 'started', 'dot_sent'))),
                    (SELECT count(*) FROM outbox)",
        )
        .fetch_one(reading.connection())
        .await
        .map_err(self.failed(doing))?;
        Ok(Pending {
            waiting: waiting.cast_unsigned(),
            in_doubt: in_doubt.cast_unsigned(),
            oldest: oldest.map(Timestamp::from_ms),
            outbox: outbox.cast_unsigned(),
        })
    }

    async fn holds(&self) -> Result<Vec<(Hold, Timestamp)>, Error> {
        let doing = "reading holds";
        let mut reading = self.read(doing).await?;
        let rows: Vec<(String, String, i64)> =
            query_as("SELECT kind, name, at FROM holds ORDER BY kind, name")
                .fetch_all(reading.connection())
                .await
                .map_err(self.failed(doing))?;
        let hold = |(kind, name, at): &(String, String, i64)| {
            Ok((rows::hold(kind, name)?, Timestamp::from_ms(*at)))
        };
        rows.iter().map(hold).collect::<Result<_, _>>().map_err(self.unreadable())
    }
}
