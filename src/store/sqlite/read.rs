//! Reading what is kept: for `why`, `verify` and reports.

use sqlx::Row;
use sqlx::sqlite::SqliteRow;

use crate::engine::{Decision, Reason, Trace, TraceKind};
use crate::journey::{Class, Version};
use crate::model::{CustomerId, EventName, MessageChannel, MessageId, RunId, Text, Timestamp};

use super::super::{
    Error, JourneyCounts, LaneRow, Ledger, MessageCount, MessageStatus, Position, StoredMessage,
};
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
        let rows = sqlx::query(select_messages!("WHERE customer = ? ORDER BY seq"))
            .bind(customer.to_bytes().to_vec())
            .fetch_all(&self.readers)
            .await
            .map_err(self.failed("reading messages"))?;
        rows.iter().map(|row| self.message(row)).collect()
    }

    async fn trace_of(&self, customer: CustomerId) -> Result<Vec<Trace>, Error> {
        let rows = sqlx::query(
            "SELECT at, kind, journey, version, run, step, reason, detail FROM trace
             WHERE customer = ? ORDER BY seq",
        )
        .bind(customer.to_bytes().to_vec())
        .fetch_all(&self.readers)
        .await
        .map_err(self.failed("reading the trace"))?;
        rows.iter().map(|row| self.trace(row)).collect()
    }

    async fn decisions(
        &self,
        partition: u32,
        after: u64,
        limit: u32,
    ) -> Result<Vec<StoredMessage>, Error> {
        let rows =
            sqlx::query(select_messages!("WHERE partition = ? AND seq > ? ORDER BY seq LIMIT ?"))
                .bind(partition)
                .bind(after.cast_signed())
                .bind(limit)
                .fetch_all(&self.readers)
                .await
                .map_err(self.failed("reading messages"))?;
        rows.iter().map(|row| self.message(row)).collect()
    }

    async fn counts(&self) -> Result<Vec<MessageCount>, Error> {
        let rows: Vec<(String, String, Option<String>, i64)> = sqlx::query_as(
            "SELECT journey, status, reason, count(*) FROM messages
             GROUP BY journey, status, reason ORDER BY journey, status, reason",
        )
        .fetch_all(&self.readers)
        .await
        .map_err(self.failed("counting messages"))?;
        rows.into_iter()
            .map(|(journey, status, reason, messages)| {
                Ok(MessageCount {
                    journey,
                    status: self.status(&status)?,
                    reason: self.reason(reason.as_deref())?,
                    messages: messages.cast_unsigned(),
                })
            })
            .collect()
    }

    async fn journeys(&self) -> Result<Vec<String>, Error> {
        self.journey_names().await
    }

    async fn journey(&self, name: &str) -> Result<JourneyCounts, Error> {
        self.journey_counts(name).await
    }

    async fn lanes(&self) -> Result<Vec<LaneRow>, Error> {
        let rows: Vec<(u32, i64, i64, i64, Option<i64>, String)> = sqlx::query_as(
            "SELECT partition, epoch, low_offset, end_offset, watermark, build FROM lanes
             ORDER BY partition",
        )
        .fetch_all(&self.readers)
        .await
        .map_err(self.failed("reading the lanes"))?;
        let lane =
            |(partition, epoch, low, end, watermark, build): (_, i64, i64, i64, Option<i64>, _)| {
                let position = Position {
                    low: low.cast_unsigned(),
                    end: end.cast_unsigned(),
                    watermark: watermark.map(Timestamp::from_ms),
                };
                LaneRow { partition, epoch: epoch.cast_unsigned(), position, build }
            };
        Ok(rows.into_iter().map(lane).collect())
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
        rows.into_iter()
            .map(|(id, state)| Ok((CustomerId::from_bytes(self.sixteen(&id)?), state)))
            .collect()
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
    pub(super) fn message(&self, row: &SqliteRow) -> Result<StoredMessage, Error> {
        let reason = self.reason(self.get::<Option<&str>>(row, "reason")?)?;
        let status = self.status(self.get(row, "status")?)?;
        let data: Option<String> = self.get(row, "data")?;
        let decision = Decision {
            message: MessageId::from_bytes(self.sixteen(self.get(row, "message")?)?),
            customer: Text::new(self.get::<&str>(row, "name")?),
            journey: Text::new(self.get::<&str>(row, "journey")?),
            version: Version(self.get(row, "version")?),
            run: RunId::from_bytes(self.sixteen(self.get(row, "run")?)?),
            step: Text::new(self.get::<&str>(row, "step")?),
            occurrence: self.get(row, "occurrence")?,
            channel: self.channel(self.get(row, "channel")?)?,
            template: Text::new(self.get::<&str>(row, "template")?),
            topic: self.get::<Option<&str>>(row, "topic")?.map(Text::new),
            class: self.class(self.get(row, "class")?)?,
            at: Timestamp::from_ms(self.get(row, "at")?),
            settle_ms: self.get(row, "settle_ms")?,
            expires: self.get::<Option<i64>>(row, "expires")?.map(Timestamp::from_ms),
            window_end: self.get::<Option<i64>>(row, "window_end")?.map(Timestamp::from_ms),
            withheld: reason.filter(|_| status == MessageStatus::Withheld),
            data: data.clone().unwrap_or_default(),
        };
        Ok(StoredMessage {
            seq: self.get::<i64>(row, "seq")?.cast_unsigned(),
            partition: self.get(row, "partition")?,
            customer: CustomerId::from_bytes(self.sixteen(self.get(row, "customer")?)?),
            decision,
            status,
            reason,
            revision: self.get(row, "revision")?,
            outcome: self.get::<Option<&str>>(row, "outcome")?.map(EventName::new),
            erased: data.is_none(),
        })
    }

    fn trace(&self, row: &SqliteRow) -> Result<Trace, Error> {
        let journey = self.get::<Option<&str>>(row, "journey")?.map(Text::new);
        let version = self.get::<Option<u32>>(row, "version")?.map(Version);
        let run = match self.get::<Option<&[u8]>>(row, "run")? {
            Some(run) => Some(RunId::from_bytes(self.sixteen(run)?)),
            None => None,
        };
        Ok(Trace {
            at: Timestamp::from_ms(self.get(row, "at")?),
            kind: self.word(self.get(row, "kind")?, TraceKind::ALL, |kind| kind.as_str())?,
            journey: journey.zip(version),
            run,
            step: self.get::<Option<&str>>(row, "step")?.map(Text::new),
            reason: self.reason(self.get::<Option<&str>>(row, "reason")?)?,
            detail: self.get::<Option<&str>>(row, "detail")?.map(Text::new),
        })
    }

    pub(super) fn get<'row, T>(
        &self,
        row: &'row SqliteRow,
        column: &'static str,
    ) -> Result<T, Error>
    where
        T: sqlx::Decode<'row, sqlx::Sqlite> + sqlx::Type<sqlx::Sqlite>,
    {
        row.try_get(column).map_err(self.failed("reading a row"))
    }

    pub(super) fn reason(&self, word: Option<&str>) -> Result<Option<Reason>, Error> {
        let Some(word) = word else { return Ok(None) };
        let known = Reason::ALL.iter().find(|(_, known, _)| *known == word);
        known.map(|(reason, _, _)| Some(*reason)).ok_or_else(|| self.unknown(word))
    }

    pub(super) fn status(&self, word: &str) -> Result<MessageStatus, Error> {
        self.word(word, MessageStatus::ALL, |status| status.as_str())
    }

    pub(super) fn channel(&self, word: &str) -> Result<MessageChannel, Error> {
        let all = &[MessageChannel::Email, MessageChannel::Sms];
        self.word(word, all, |channel| channel.as_str())
    }

    fn class(&self, word: &str) -> Result<Class, Error> {
        self.word(word, &[Class::Marketing, Class::Transactional], class_word)
    }

    pub(super) fn word<T: Copy>(
        &self,
        word: &str,
        all: &[T],
        as_str: impl Fn(T) -> &'static str,
    ) -> Result<T, Error> {
        let known = all.iter().copied().find(|value| as_str(*value) == word);
        known.ok_or_else(|| self.unknown(word))
    }

    pub(super) fn unknown(&self, word: &str) -> Error {
        self.damaged(&format!("`{word}` is a word that this build does not know"))
    }
}

/// The stored word of a class.
pub(super) const fn class_word(class: Class) -> &'static str {
    match class {
        Class::Marketing => "marketing",
        Class::Transactional => "transactional",
    }
}
