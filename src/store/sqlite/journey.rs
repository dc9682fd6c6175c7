//! Counting what is kept of one journey, for reports. Each statement reads an index of the journey.

use crate::engine::TraceKind;
use crate::journey::Version;
use crate::model::{EventName, Text, Timestamp};

use super::super::{EntryCount, Error, GroupCount, HourCount, JourneyCounts, StepCount};
use super::SqliteLedger;

impl SqliteLedger {
    pub(super) async fn journey_names(&self) -> Result<Vec<String>, Error> {
        sqlx::query_scalar(
            "SELECT journey FROM messages UNION
             SELECT journey FROM trace WHERE journey IS NOT NULL ORDER BY journey",
        )
        .fetch_all(&self.readers)
        .await
        .map_err(self.failed("looking for journeys"))
    }

    pub(super) async fn journey_counts(&self, journey: &str) -> Result<JourneyCounts, Error> {
        Ok(JourneyCounts {
            entries: self.entries(journey).await?,
            messages: self.steps(journey).await?,
            hours: self.hours(journey).await?,
            people: self.people(journey).await?,
            versions: self.versions(journey).await?,
        })
    }

    async fn entries(&self, journey: &str) -> Result<Vec<EntryCount>, Error> {
        let rows: Vec<(String, Option<String>, i64)> = sqlx::query_as(
            "SELECT kind, reason, count(*) FROM trace WHERE journey = ?
             GROUP BY kind, reason ORDER BY kind, reason",
        )
        .bind(journey)
        .fetch_all(&self.readers)
        .await
        .map_err(self.failed("counting the trace"))?;
        rows.into_iter()
            .map(|(kind, reason, entries)| {
                Ok(EntryCount {
                    kind: self.word(&kind, TraceKind::ALL, |kind| kind.as_str())?,
                    reason: self.reason(reason.as_deref())?,
                    entries: entries.cast_unsigned(),
                })
            })
            .collect()
    }

    async fn steps(&self, journey: &str) -> Result<Vec<StepCount>, Error> {
        type Row = (i64, String, String, Option<String>, Option<String>, i64);
        let rows: Vec<Row> = sqlx::query_as(
            "SELECT min(seq), step, status, reason, outcome, count(*) FROM messages
             WHERE journey = ? GROUP BY step, status, reason, outcome",
        )
        .bind(journey)
        .fetch_all(&self.readers)
        .await
        .map_err(self.failed("counting messages"))?;
        let rows = rows.into_iter().map(|(first, step, status, reason, outcome, messages)| {
            let count = StepCount {
                step: Text::from(step),
                status: self.status(&status)?,
                reason: self.reason(reason.as_deref())?,
                outcome: outcome.as_deref().map(EventName::new),
                messages: messages.cast_unsigned(),
            };
            Ok((first.cast_unsigned(), count))
        });
        Ok(StepCount::in_order(rows.collect::<Result<_, Error>>()?))
    }

    async fn hours(&self, journey: &str) -> Result<Vec<HourCount>, Error> {
        // SQLite's % keeps the sign, so times before 1970 need the second one.
        let rows: Vec<(i64, i64, i64)> = sqlx::query_as(
            "SELECT at - (at % 3600000 + 3600000) % 3600000 AS hour,
                    sum(status = 'decided'), sum(status <> 'decided')
             FROM messages WHERE journey = ? GROUP BY hour ORDER BY hour",
        )
        .bind(journey)
        .fetch_all(&self.readers)
        .await
        .map_err(self.failed("counting messages"))?;
        let hour = |(from, decided, not_sent): (_, i64, i64)| HourCount {
            from: Timestamp::from_ms(from),
            decided: decided.cast_unsigned(),
            not_sent: not_sent.cast_unsigned(),
        };
        Ok(rows.into_iter().map(hour).collect())
    }

    async fn people(&self, journey: &str) -> Result<Vec<GroupCount>, Error> {
        // The least of 2 * seq + holdout is the first run's; its last bit says the group.
        let rows: Vec<(bool, i64, i64)> = sqlx::query_as(
            "WITH people AS (
                 SELECT min(2 * seq + (reason IS 'holdout')) % 2 AS holdout,
                        max(run IN (SELECT run FROM trace WHERE journey = ?1 AND kind = 'goal_reached'))
                            AS reached
                 FROM trace WHERE journey = ?1 AND kind = 'started' GROUP BY customer)
             SELECT holdout, count(*), sum(reached) FROM people GROUP BY holdout ORDER BY holdout",
        )
        .bind(journey)
        .fetch_all(&self.readers)
        .await
        .map_err(self.failed("counting customers"))?;
        let group = |(holdout, customers, reached): (_, i64, i64)| GroupCount {
            holdout,
            customers: customers.cast_unsigned(),
            reached: reached.cast_unsigned(),
        };
        Ok(rows.into_iter().map(group).collect())
    }

    async fn versions(&self, journey: &str) -> Result<Vec<Version>, Error> {
        let rows: Vec<u32> = sqlx::query_scalar(
            "SELECT version FROM trace WHERE journey = ? AND kind = 'started'
             GROUP BY version ORDER BY min(seq)",
        )
        .bind(journey)
        .fetch_all(&self.readers)
        .await
        .map_err(self.failed("reading versions"))?;
        Ok(rows.into_iter().map(Version).collect())
    }
}
