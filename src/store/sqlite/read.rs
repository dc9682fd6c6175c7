//! Reading what is kept: for `why`, `verify` and reports.

use sqlx::query::Query;
use sqlx::sqlite::{SqliteArguments, SqliteRow};

use crate::engine::Trace;
use crate::model::{CustomerId, Timestamp};

use super::super::rows::{self, Unreadable};
use super::super::{Error, JourneyCounts, LaneRow, Ledger, MessageCount, StoredMessage};
use super::SqliteLedger;

macro_rules! select_messages {
    ($rest:literal) => {
        concat!(
            "SELECT seq, message, partition, customer, name, journey, version, run, step, occurrence,
                 channel, template, topic, class, at, settle_ms, expires, window_end, status, reason,
                 revision, outcome, data FROM messages ",
            $rest
        )
    };
}

impl Ledger for SqliteLedger {
    async fn messages_of(&self, customer: CustomerId) -> Result<Vec<StoredMessage>, Error> {
        let query = sqlx::query(select_messages!("WHERE customer = ? ORDER BY seq"))
            .bind(customer.to_bytes().to_vec());
        self.rows("reading messages", query, rows::message).await
    }

    async fn trace_of(&self, customer: CustomerId) -> Result<Vec<Trace>, Error> {
        let query = sqlx::query(
            "SELECT at, kind, journey, version, run, step, reason, detail FROM trace
             WHERE customer = ? ORDER BY seq",
        )
        .bind(customer.to_bytes().to_vec());
        self.rows("reading the trace", query, rows::trace).await
    }

    async fn decisions(
        &self,
        partition: u32,
        after: u64,
        limit: u32,
    ) -> Result<Vec<StoredMessage>, Error> {
        let query =
            sqlx::query(select_messages!("WHERE partition = ? AND seq > ? ORDER BY seq LIMIT ?"))
                .bind(partition)
                .bind(after.cast_signed())
                .bind(limit);
        self.rows("reading messages", query, rows::message).await
    }

    async fn last_decided(&self, partition: u32) -> Result<u64, Error> {
        let last: i64 =
            sqlx::query_scalar("SELECT coalesce(max(seq), 0) FROM messages WHERE partition = ?")
                .bind(partition)
                .fetch_one(&self.readers)
                .await
                .map_err(self.failed("reading the last decision"))?;
        Ok(last.cast_unsigned())
    }

    async fn messages_from(&self) -> Result<Option<Timestamp>, Error> {
        let from: Option<i64> = sqlx::query_scalar("SELECT messages_from FROM store")
            .fetch_one(&self.readers)
            .await
            .map_err(self.failed("reading what was removed"))?;
        Ok(from.map(Timestamp::from_ms))
    }

    async fn counts(&self) -> Result<Vec<MessageCount>, Error> {
        let query = sqlx::query(
            "SELECT journey, status, reason, count(*) AS messages FROM messages
             GROUP BY journey, status, reason ORDER BY journey, status, reason",
        );
        self.rows("counting messages", query, rows::message_count).await
    }

    async fn journeys(&self) -> Result<Vec<String>, Error> {
        self.journey_names().await
    }

    async fn journey(&self, name: &str) -> Result<JourneyCounts, Error> {
        self.journey_counts(name).await
    }

    async fn lanes(&self) -> Result<Vec<LaneRow>, Error> {
        let query = sqlx::query(
            "SELECT partition, epoch, low_offset, end_offset, watermark, build FROM lanes
             ORDER BY partition",
        );
        self.rows("reading the lanes", query, rows::lane).await
    }

    async fn states(
        &self,
        partition: u32,
        after: Option<CustomerId>,
        limit: u32,
    ) -> Result<Vec<(CustomerId, Vec<u8>)>, Error> {
        // No bytes sort before all sixteen.
        let after = after.map_or(Vec::new(), |id| id.to_bytes().to_vec());
        let rows: Vec<(Vec<u8>, Vec<u8>)> = sqlx::query_as(
            "SELECT customer, state FROM states WHERE partition = ? AND customer > ?
             ORDER BY customer LIMIT ?",
        )
        .bind(partition)
        .bind(after)
        .bind(limit)
        .fetch_all(&self.readers)
        .await
        .map_err(self.failed("reading states"))?;
        self.states_of(rows)
    }

    async fn state(&self, partition: u32, customer: CustomerId) -> Result<Option<Vec<u8>>, Error> {
        sqlx::query_scalar("SELECT state FROM states WHERE partition = ? AND customer = ?")
            .bind(partition)
            .bind(customer.to_bytes().to_vec())
            .fetch_optional(&self.readers)
            .await
            .map_err(self.failed("reading a state"))
    }
}

impl SqliteLedger {
    /// The rows of a statement, each as what it means.
    pub(super) async fn rows<T>(
        &self,
        doing: &'static str,
        query: Query<'_, sqlx::Sqlite, SqliteArguments>,
        read: impl Fn(&SqliteRow) -> Result<T, Unreadable>,
    ) -> Result<Vec<T>, Error> {
        let rows = query.fetch_all(&self.readers).await.map_err(self.failed(doing))?;
        rows.iter().map(read).collect::<Result<_, _>>().map_err(self.unreadable())
    }
}
