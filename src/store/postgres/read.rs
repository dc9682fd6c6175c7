//! Reading what is kept: for `why`, `verify` and reports.

use sqlx::postgres::{PgArguments, PgRow};
use sqlx::query::Query;

use crate::engine::Trace;
use crate::model::{CustomerId, Timestamp};
use crate::postgres::{query, query_as, query_scalar};

use super::super::rows::{self, Unreadable};
use super::super::{Error, JourneyCounts, LaneRow, Ledger, MessageCount, StoredMessage};
use super::{PgLedger, first_after, number};

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

impl Ledger for PgLedger {
    async fn messages_of(&self, customer: CustomerId) -> Result<Vec<StoredMessage>, Error> {
        let query = query(select_messages!("WHERE customer = $1 ORDER BY seq"))
            .bind(customer.to_bytes().to_vec());
        self.rows("reading messages", query, rows::message).await
    }

    async fn trace_of(&self, customer: CustomerId) -> Result<Vec<Trace>, Error> {
        let query = query(
            "SELECT at, kind, journey, version, run, step, reason, detail FROM trace
             WHERE customer = $1 ORDER BY seq",
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
            query(select_messages!("WHERE partition = $1 AND seq > $2 ORDER BY seq LIMIT $3"))
                .bind(number(partition))
                .bind(i64::try_from(after).unwrap_or(i64::MAX))
                .bind(i64::from(limit));
        self.rows("reading messages", query, rows::message).await
    }

    async fn last_decided(&self, partition: u32) -> Result<u64, Error> {
        let doing = "reading the last decision";
        let mut reading = self.read(doing).await?;
        let last: i64 =
            query_scalar("SELECT coalesce(max(seq), 0) FROM messages WHERE partition = $1")
                .bind(number(partition))
                .fetch_one(reading.connection())
                .await
                .map_err(self.failed(doing))?;
        Ok(last.cast_unsigned())
    }

    async fn messages_from(&self) -> Result<Option<Timestamp>, Error> {
        let doing = "reading what was removed";
        let mut reading = self.read(doing).await?;
        let from: Option<i64> = query_scalar("SELECT messages_from FROM kept")
            .fetch_one(reading.connection())
            .await
            .map_err(self.failed(doing))?;
        Ok(from.map(Timestamp::from_ms))
    }

    async fn counts(&self) -> Result<Vec<MessageCount>, Error> {
        let query = query(
            "SELECT journey, status, reason, count(*) AS messages FROM messages
             GROUP BY journey, status, reason ORDER BY journey, status, reason NULLS FIRST",
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
        let query = query(
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
        let doing = "reading states";
        let mut reading = self.read(doing).await?;
        let rows: Vec<(Vec<u8>, Vec<u8>)> = query_as(
            "SELECT customer, state FROM states WHERE partition = $1 AND customer > $2
             ORDER BY customer LIMIT $3",
        )
        .bind(number(partition))
        .bind(first_after(after))
        .bind(i64::from(limit))
        .fetch_all(reading.connection())
        .await
        .map_err(self.failed(doing))?;
        self.states_of(rows)
    }

    async fn state(&self, partition: u32, customer: CustomerId) -> Result<Option<Vec<u8>>, Error> {
        let doing = "reading a state";
        let mut reading = self.read(doing).await?;
        query_scalar("SELECT state FROM states WHERE partition = $1 AND customer = $2")
            .bind(number(partition))
            .bind(customer.to_bytes().to_vec())
            .fetch_optional(reading.connection())
            .await
            .map_err(self.failed(doing))
    }
}

impl PgLedger {
    /// The states of these customers, in a log of so many partitions; unknown ones are left out.
    ///
    /// # Errors
    /// [`Error`] if Postgres can't be read.
    pub async fn states_of_all(
        &self,
        customers: &[CustomerId],
        partitions: u32,
    ) -> Result<Vec<(CustomerId, Vec<u8>)>, Error> {
        let doing = "reading the states of customers";
        let (places, keys): (Vec<i32>, Vec<Vec<u8>>) = customers
            .iter()
            .map(|id| (number(id.partition(partitions)), id.to_bytes().to_vec()))
            .unzip();
        let mut reading = self.read(doing).await?;
        let rows: Vec<(Vec<u8>, Vec<u8>)> = query_as(
            "SELECT states.customer, state FROM states
             JOIN UNNEST ($1::int[], $2::bytea[]) AS wanted (partition, customer)
                 ON states.partition = wanted.partition AND states.customer = wanted.customer",
        )
        .bind(places)
        .bind(keys)
        .fetch_all(reading.connection())
        .await
        .map_err(self.failed(doing))?;
        self.states_of(rows)
    }

    /// The rows of a statement, each as what it means.
    pub(super) async fn rows<T>(
        &self,
        doing: &'static str,
        query: Query<'_, sqlx::Postgres, PgArguments>,
        read: impl Fn(&PgRow) -> Result<T, Unreadable>,
    ) -> Result<Vec<T>, Error> {
        let mut reading = self.read(doing).await?;
        let rows = query.fetch_all(reading.connection()).await.map_err(self.failed(doing))?;
        rows.iter().map(read).collect::<Result<_, _>>().map_err(self.unreadable())
    }
}
