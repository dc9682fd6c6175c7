//! Counting what is kept of one journey, for reports. Each statement reads an index of the journey.

use crate::journey::Version;

use super::super::rows;
use super::super::{Error, JourneyCounts, StepCount};
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
        let entries = sqlx::query(
            "SELECT kind, reason, count(*) AS entries FROM trace WHERE journey = ?
             GROUP BY kind, reason ORDER BY kind, reason",
        );
        let steps = sqlx::query(
            "SELECT min(seq) AS first, step, status, reason, outcome, count(*) AS messages
             FROM messages WHERE journey = ? GROUP BY step, status, reason, outcome",
        );
        // SQLite's % keeps the sign, so times before 1970 need the second one.
        let hours = sqlx::query(
            "SELECT at - (at % 3600000 + 3600000) % 3600000 AS hour,
                    sum(status = 'decided') AS decided, sum(status <> 'decided') AS not_sent
             FROM messages WHERE journey = ? GROUP BY hour ORDER BY hour",
        );
        // The least of 2 * seq + holdout is the first run's; its last bit says the group.
        let people = sqlx::query(
            "WITH people AS (
                 SELECT min(2 * seq + (reason IS 'holdout')) % 2 AS holdout,
                        max(run IN (SELECT run FROM trace WHERE journey = ?1 AND kind = 'goal_reached'))
                            AS reached
                 FROM trace WHERE journey = ?1 AND kind = 'started' GROUP BY customer)
             SELECT holdout, count(*) AS customers, sum(reached) AS reached FROM people
             GROUP BY holdout ORDER BY holdout",
        );
        let steps = self.rows("counting messages", steps.bind(journey), rows::step_count).await?;
        Ok(JourneyCounts {
            entries: self
                .rows("counting the trace", entries.bind(journey), rows::entry_count)
                .await?,
            messages: StepCount::in_order(steps),
            hours: self.rows("counting messages", hours.bind(journey), rows::hour_count).await?,
            people: self
                .rows("counting customers", people.bind(journey), rows::group_count)
                .await?,
            versions: self.versions(journey).await?,
        })
    }

    async fn versions(&self, journey: &str) -> Result<Vec<Version>, Error> {
        let query = sqlx::query(
            "SELECT version FROM trace WHERE journey = ? AND kind = 'started'
             GROUP BY version ORDER BY min(seq)",
        )
        .bind(journey);
        self.rows("reading versions", query, rows::version).await
    }
}
