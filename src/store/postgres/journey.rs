//! Counting what is kept of one journey, for reports. Each statement reads an index of the journey.

use crate::journey::Version;
use crate::postgres::{query, query_scalar, text};

use super::super::rows;
use super::super::{Error, JourneyCounts, StepCount};
use super::PgLedger;

impl PgLedger {
    pub(super) async fn journey_names(&self) -> Result<Vec<String>, Error> {
        let doing = "looking for journeys";
        let mut reading = self.read(doing).await?;
        query_scalar(
            "SELECT journey FROM messages UNION
             SELECT journey FROM trace WHERE journey IS NOT NULL ORDER BY journey",
        )
        .fetch_all(reading.connection())
        .await
        .map_err(self.failed(doing))
    }

    pub(super) async fn journey_counts(&self, journey: &str) -> Result<JourneyCounts, Error> {
        let journey = text(journey);
        let entries = query(
            "SELECT kind, reason, count(*) AS entries FROM trace WHERE journey = $1
             GROUP BY kind, reason ORDER BY kind, reason NULLS FIRST",
        );
        let steps = query(
            "SELECT min(seq) AS first, step, status, reason, outcome, count(*) AS messages
             FROM messages WHERE journey = $1 GROUP BY step, status, reason, outcome",
        );
        // % keeps the sign, so times before 1970 need the second one.
        let hours = query(
            "SELECT at - (at % 3600000 + 3600000) % 3600000 AS hour,
                    count(*) FILTER (WHERE status = 'decided') AS decided,
                    count(*) FILTER (WHERE status <> 'decided') AS not_sent
             FROM messages WHERE journey = $1 GROUP BY hour ORDER BY hour",
        );
        // The least of 2 * seq + holdout is the first run's; its last bit says the group.
        let people = query(
            "WITH people AS (
                 SELECT min(2 * seq + CASE WHEN reason = 'holdout' THEN 1 ELSE 0 END) % 2
                            AS holdout,
                        bool_or(run IN (SELECT run FROM trace
                            WHERE journey = $1 AND kind = 'goal_reached')) AS reached
                 FROM trace WHERE journey = $1 AND kind = 'started' GROUP BY customer)
             SELECT holdout, count(*) AS customers, count(*) FILTER (WHERE reached) AS reached
             FROM people GROUP BY holdout ORDER BY holdout",
        );
        let steps = self.rows("counting messages", steps.bind(&journey), rows::step_count).await?;
        Ok(JourneyCounts {
            entries: self
                .rows("counting the trace", entries.bind(&journey), rows::entry_count)
                .await?,
            messages: StepCount::in_order(steps),
            hours: self.rows("counting messages", hours.bind(&journey), rows::hour_count).await?,
            people: self
                .rows("counting customers", people.bind(&journey), rows::group_count)
                .await?,
            versions: self.versions(&journey).await?,
        })
    }

    async fn versions(&self, journey: &str) -> Result<Vec<Version>, Error> {
        let query = query(
            "SELECT version FROM trace WHERE journey = $1 AND kind = 'started'
             GROUP BY version ORDER BY min(seq)",
        )
        .bind(journey);
        self.rows("reading versions", query, rows::version).await
    }
}
