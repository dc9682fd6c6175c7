//! What is asked of Kafka and Postgres.

use crate::cluster;
use crate::config::{self, Config};
use crate::kafka::{
    Cluster, Error as KafkaError, Partition, Role, Settings, Severity, Timestamps, Topic, check,
    missing,
};
use crate::log::Registry;
use crate::model::Delay;
use crate::postgres::{self, Error as PostgresError, Postgres};
use crate::store::PgLedger;
use crate::worker::{Clock, SystemClock};

use super::super::setup;
use super::Line;

/// Clocks that differ by more, in milliseconds, should be set: times of messages come from them.
const SKEW_WARNING_MS: i64 = 2_000;
/// Clocks that differ by more are wrong.
const SKEW_ERROR_MS: i64 = 60_000;

/// The oldest Postgres that is still mended by its makers.
const POSTGRES_OLDEST: i32 = 140_000;

/// The cluster and its topics.
pub(super) async fn kafka(
    config: &Config,
    kafka: &config::Kafka,
    longest_ms: Option<i64>,
) -> Vec<Line> {
    match ask_kafka(config, kafka, longest_ms).await {
        Ok(lines) => lines,
        Err(error) => vec![Line::failed("kafka", &error)],
    }
}

async fn ask_kafka(
    config: &Config,
    kafka: &config::Kafka,
    longest_ms: Option<i64>,
) -> Result<Vec<Line>, KafkaError> {
    let cluster = Cluster::new(&Settings::new(kafka)?)?;
    let servers = cluster.reach().await?;
    let s = if servers == 1 { "" } else { "s" };
    let mut lines = vec![Line::ok("kafka", format!("answers, with {servers} server{s}"))];
    let roles = Role::all(config, kafka);
    let names: Vec<String> = roles.iter().map(|(name, _)| name.clone()).collect();
    let topics = cluster.topics(&names).await?;
    for (name, role) in &roles {
        let (found, shape) = match topics.get(name).and_then(Option::as_ref) {
            Some(topic) => (check(topic, role, longest_ms), shape(topic)),
            None => (vec![missing(name, role)], String::new()),
        };
        if found.is_empty() {
            lines.push(Line::ok("topic", shape));
        }
        lines.extend(found.into_iter().map(|finding| match finding.severity {
            Severity::Error => Line::error("topic", finding.text),
            Severity::Warning => Line::warning("topic", finding.text),
        }));
    }
    // Its first partition, like each, gets a tick every second while a worker runs.
    let log = Partition { topic: kafka.log_topic(), number: 0 };
    let of_log = topics.get(&log.topic).and_then(Option::as_ref);
    if of_log.is_some_and(|topic| topic.timestamps == Some(Timestamps::LogAppend))
        && let Some(ahead_ms) = cluster.clock_ahead_ms(&log, || SystemClock.now()).await?
    {
        lines.push(clock("Kafka", ahead_ms));
    }
    Ok(lines)
}

fn shape(topic: &Topic) -> String {
    let kept = match topic.retention_ms {
        Some(ms) => format!("keeps records for {}", Delay::exact(ms)),
        None => "keeps records without end".to_owned(),
    };
    format!("{}: {} partitions, {} replicas, {kept}", topic.name, topic.partitions, topic.replicas)
}

/// Whether the database and the topics are of one time.
pub(super) async fn of_one_time(config: &Config, production: &config::Production) -> Vec<Line> {
    let asked = async {
        let database = setup::postgres(&production.postgres).await?;
        let registry = Registry::existing(database.clone()).await?;
        let cluster = Cluster::new(&Settings::new(&production.kafka)?)?;
        let topics = super::super::recover::topics(config, production);
        let ledger = PgLedger::new(database);
        cluster::of_one_time(&cluster, &registry, &ledger, &topics).await?;
        anyhow::Ok(())
    };
    match asked.await.map_err(|error| error.downcast::<cluster::Error>()) {
        Ok(()) => vec![Line::ok("positions", "the database and the topics are of one time")],
        Err(Ok(error @ cluster::Error::Apart(_))) => vec![Line::failed("positions", &error)],
        // What can't be asked, or is not there yet, is told by the other checks.
        Err(_) => Vec::new(),
    }
}

/// The database, its version, tables and clock.
pub(super) async fn postgres(configured: &config::Postgres) -> Vec<Line> {
    let database = match setup::postgres(configured).await {
        Ok(database) => database,
        Err(error) => return vec![Line::failed("postgres", error.as_ref())],
    };
    let mut lines = match ask_postgres(&database).await {
        Ok(lines) => lines,
        Err(error) => return vec![Line::failed("postgres", &error)],
    };
    lines.push(match database.check().await {
        Ok(()) => Line::ok("tables", "are as this build needs them"),
        Err(error @ PostgresError::Older { .. }) => Line::warning("tables", error.to_string()),
        Err(error) => Line::failed("tables", &error),
    });
    database.close().await;
    lines
}

async fn ask_postgres(database: &Postgres) -> Result<Vec<Line>, PostgresError> {
    const DOING: &str = "asking for version and time";
    let failed = database.failed(DOING);
    let mut transaction = database.begin(DOING).await?;
    let (version, number): (String, i32) = postgres::query_as(
        "SELECT current_setting('server_version'), current_setting('server_version_num')::int",
    )
    .fetch_one(&mut *transaction)
    .await
    .map_err(&failed)?;
    let before = SystemClock.now();
    let theirs: i64 =
        postgres::query_scalar("SELECT (extract(epoch FROM clock_timestamp()) * 1000)::bigint")
            .fetch_one(&mut *transaction)
            .await
            .map_err(&failed)?;
    let after = SystemClock.now();
    let text = format!("{} answers, version {version}", database.place());
    let version = if number < POSTGRES_OLDEST {
        Line::warning("postgres", format!("{text}, which gets no more mends: use 14 or later"))
    } else {
        Line::ok("postgres", text)
    };
    Ok(vec![version, clock("the database", theirs - (before.ms() + after.since_ms(before) / 2))])
}

/// How far the clock of `whose` is ahead of this machine's.
fn clock(whose: &str, ahead_ms: i64) -> Line {
    let apart = Delay::exact(ahead_ms.abs());
    let which = if ahead_ms > 0 { "behind" } else { "ahead of" };
    let text = format!(
        "this machine is {apart} {which} {whose}: let both set their clocks (NTP), or messages \
         leave too early or too late"
    );
    match ahead_ms.abs() {
        apart if apart > SKEW_ERROR_MS => Line::error("clock", text),
        apart if apart > SKEW_WARNING_MS => Line::warning("clock", text),
        _ => Line::ok("clock", format!("this machine and {whose} agree within 2 s")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::doctor::Status;

    #[test]
    fn clocks_are_compared() {
        for (ahead_ms, status, words) in [
            (0, Status::Ok, "agree"),
            (-1_999, Status::Ok, "agree"),
            (5_000, Status::Warning, "5s behind the database"),
            (-90_000, Status::Error, "1m 30s ahead of the database"),
        ] {
            let line = clock("the database", ahead_ms);
            assert_eq!(line.status, status, "{line:?}");
            assert!(line.text.contains(words), "{words} is not in {line:?}");
        }
    }
}
