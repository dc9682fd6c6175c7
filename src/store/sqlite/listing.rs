//! Messages with what delivery keeps of them, and what is held: for the commands.

use sqlx::QueryBuilder;

use crate::model::Timestamp;

use super::super::rows;
use super::super::{
    DeliveryRow, DeliveryStatus, Error, Hold, Listing, MessageFilter, Pending, StoredMessage,
};
use super::SqliteLedger;

/// The columns of a message with those of its delivery.
const SELECT: &str = "SELECT seq, messages.message, messages.partition, customer, name, journey,
         version, run, step, occurrence, channel, template, topic, class, at, settle_ms, expires,
         window_end, messages.status, reason, messages.revision, outcome, data,
         deliveries.status AS delivery, attempts, try_after, deliveries.revision AS pinned,
         address, subject, detail, changed
     FROM messages LEFT JOIN deliveries ON deliveries.message = messages.message WHERE true";

impl Listing for SqliteLedger {
    async fn secret_key(&self) -> Result<[u8; 32], Error> {
        let read = || async {
            let key: Vec<u8> = sqlx::query_scalar("SELECT secret_key FROM store")
                .fetch_one(&self.readers)
                .await
                .map_err(self.failed("reading the store's key"))?;
            let length = key.len();
            key.try_into().map_err(|_| self.damaged(&format!("a key of {length} bytes")))
        };
        self.secret_key.get_or_try_init(read).await.copied()
    }

    /// Writes how a message ended.
    async fn messages(
        &self,
        filter: &MessageFilter,
    ) -> Result<Vec<(StoredMessage, Option<DeliveryRow>)>, Error> {
        let mut query = QueryBuilder::new(SELECT);
        if let Some(message) = filter.message {
            query.push(" AND messages.message = ").push_bind(message.to_bytes().to_vec());
        }
        if let Some(journey) = &filter.journey {
            query.push(" AND journey = ").push_bind(journey.to_string());
        }
        if let Some(status) = filter.status {
            query.push(" AND deliveries.status = ").push_bind(status.as_str());
        }
        if let Some(customer) = &filter.customer {
            query.push(" AND name = ").push_bind(customer.to_string());
        }
        query.push(" ORDER BY seq DESC LIMIT ").push_bind(filter.limit);
        let rows = query
            .build()
            .fetch_all(&self.readers)
            .await
            .map_err(self.failed("reading messages"))?;
        let message = |row| Ok((rows::message(row)?, rows::delivery(row)?));
        rows.iter().map(message).collect::<Result<_, _>>().map_err(self.unreadable())
    }

    async fn deliveries(&self) -> Result<Vec<(DeliveryStatus, u64)>, Error> {
        let rows: Vec<(String, i64)> = sqlx::query_as(
            "SELECT status, count(*) FROM deliveries GROUP BY status ORDER BY status",
        )
        .fetch_all(&self.readers)
        .await
        .map_err(self.failed("counting messages"))?;
        let count = |(status, count): &(String, i64)| {
            Ok((rows::delivery_status(status)?, count.cast_unsigned()))
        };
        rows.iter().map(count).collect::<Result<_, _>>().map_err(self.unreadable())
    }

    async fn pending(&self) -> Result<Pending, Error> {
        let (waiting, in_doubt, oldest, outbox): (i64, i64, Option<i64>, i64) = sqlx::query_as(
            "SELECT (SELECT count(*) FROM deliveries WHERE status = 'waiting'),
                    (SELECT count(*) FROM deliveries WHERE status = 'in_doubt'),
                    (SELECT min(ready) FROM (
                         SELECT min(ready) AS ready FROM deliveries WHERE status = 'waiting'
                         UNION ALL
                         SELECT min(ready) FROM deliveries
                         WHERE status IN ('claimed', 'started', 'dot_sent'))),
                    (SELECT count(*) FROM outbox)",
        )
        .fetch_one(&self.readers)
        .await
        .map_err(self.failed("counting what waits"))?;
        Ok(Pending {
            waiting: waiting.cast_unsigned(),
            in_doubt: in_doubt.cast_unsigned(),
            oldest: oldest.map(Timestamp::from_ms),
            outbox: outbox.cast_unsigned(),
        })
    }

    async fn holds(&self) -> Result<Vec<(Hold, Timestamp)>, Error> {
        let rows: Vec<(String, String, i64)> =
            sqlx::query_as("SELECT kind, name, at FROM holds ORDER BY kind, name")
                .fetch_all(&self.readers)
                .await
                .map_err(self.failed("reading holds"))?;
        let hold = |(kind, name, at): &(String, String, i64)| {
            Ok((rows::hold(kind, name)?, Timestamp::from_ms(*at)))
        };
        rows.iter().map(hold).collect::<Result<_, _>>().map_err(self.unreadable())
    }
}

impl SqliteLedger {
    /// The messages whose answer is awaited since a claim of `lease` or before, in the order of
    /// deciding.
    pub(super) async fn unanswered(&self, lease: i64) -> Result<Vec<StoredMessage>, Error> {
        let mut query = QueryBuilder::new(SELECT);
        query.push(" AND deliveries.status = 'dot_sent' AND lease <= ").push_bind(lease);
        query.push(" ORDER BY seq");
        let rows = query
            .build()
            .fetch_all(&self.readers)
            .await
            .map_err(self.failed("reading messages"))?;
        rows.iter().map(rows::message).collect::<Result<_, _>>().map_err(self.unreadable())
    }
}
