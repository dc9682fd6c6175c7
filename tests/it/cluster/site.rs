//! A shop in production: topics, a database, and any number of real worker processes on them.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use rdkafka::producer::{FutureProducer, FutureRecord};
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};
use waypost::model::Timestamp;

use crate::support::{Kafka, Postgres, dump, kafka, postgres, restore};
use crate::worker::shop::{Done, Shop, Worker, in_runtime, now, wait};

/// A topic is as a shop's is: the broker says when it took a record. It takes larger ones than
/// Waypost does.
const APPEND_TIME: &[(&str, &str)] =
    &[("message.timestamp.type", "LogAppendTime"), ("max.message.bytes", "4194304")];

/// A shop, its topics and its database.
pub(crate) struct Site {
    shop: Shop,
    database: String,
    name: String,
    bootstrap: String,
    /// The topic of what customers do.
    pub(crate) web: String,
    /// The topic of what the back office reports.
    pub(crate) office: String,
    producer: FutureProducer,
}

impl Site {
    /// A site on the servers that the tests share.
    pub(crate) fn new(partitions: u32, journeys: &[(&str, &str)], more: &str) -> Self {
        Self::on(kafka(), postgres(), partitions, journeys, more)
    }

    /// A site on servers of a test's own.
    pub(crate) fn on(
        kafka: &Kafka,
        postgres: &Postgres,
        partitions: u32,
        journeys: &[(&str, &str)],
        more: &str,
    ) -> Self {
        let site = Self::made(kafka, postgres, partitions, journeys, more);
        site.apply();
        site
    }

    /// A site on the servers that the tests share, with nothing in force.
    pub(crate) fn without_release(partitions: u32, journeys: &[(&str, &str)], more: &str) -> Self {
        Self::made(kafka(), postgres(), partitions, journeys, more)
    }

    fn made(
        kafka: &Kafka,
        postgres: &Postgres,
        partitions: u32,
        journeys: &[(&str, &str)],
        more: &str,
    ) -> Self {
        let shop = Shop::new(1, journeys);
        let (web, office) = in_runtime(async {
            (kafka.topic("web", 6, APPEND_TIME).await, kafka.topic("office", 2, APPEND_TIME).await)
        });
        let name = format!("site-{web}");
        let database = postgres.fresh_database();
        let bootstrap = kafka.bootstrap().to_owned();
        let mut client = kafka.client();
        client
            .set("linger.ms", "20")
            .set("message.max.bytes", "4000000")
            .set("acks", "all")
            .set("enable.idempotence", "true");
        let producer: FutureProducer = client.create().expect("a producer");
        let site = Self { shop, database, name, bootstrap, web, office, producer };
        site.configure(partitions, more);
        site
    }

    /// Writes the configuration.
    pub(crate) fn configure(&self, partitions: u32, more: &str) {
        let Self { name, bootstrap, database, web, office, .. } = self;
        self.shop.write(
            "waypost.yaml",
            &format!(
                "kafka:
  brokers: [ \"{bootstrap}\" ]
  name: {name}
  partitions: {partitions}
  properties: {{ session.timeout.ms: 6000, heartbeat.interval.ms: 500 }}
postgres: {{ url: \"{database}\" }}
inputs:
  web: {{ format: cloudevents, topic: {web} }}
  office: {{ format: cloudevents, topic: {office} }}
http: {{ listen: 127.0.0.1:0, public: 127.0.0.1:0 }}
ticks: {{ every: 100ms, grace: 200ms }}
consent: [ {{ channel: email, mode: opt_in }} ]
{more}"
            ),
        );
    }

    /// Writes the database as it is now into a file.
    pub(crate) fn dumps(&self) -> PathBuf {
        let file = self.shop.path("dump.sql");
        dump(&self.database, &file);
        file
    }

    /// Makes the database what it was when it was dumped.
    pub(crate) fn restores(&self, file: &Path) {
        restore(&self.database, file);
    }

    /// Deletes all topics with what they hold, and makes those of the inputs anew.
    pub(crate) fn loses_its_topics(&self) {
        let (log, feedback) = (self.log_topic(), self.feedback());
        in_runtime(kafka().delete(&[&log, &feedback, &self.web, &self.office]));
        for (topic, partitions) in [(&self.web, 6), (&self.office, 2)] {
            // The broker deletes a little later than it says.
            wait("a topic to be made", || in_runtime(kafka().make(topic, partitions, APPEND_TIME)));
        }
    }

    /// Adds a line under `kafka`.
    pub(crate) fn kafka_too(&self, line: &str) {
        let name = "waypost.yaml";
        let text = std::fs::read_to_string(self.shop.path(name)).expect("a configuration");
        self.shop.write(name, &text.replacen("kafka:\n", &format!("kafka:\n  {line}\n"), 1));
    }

    /// Writes a file into the shop's folder.
    pub(crate) fn write(&self, name: &str, text: &str) {
        self.shop.write(name, text);
    }

    /// The text of a file in the shop's folder.
    pub(crate) fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.shop.path(name)).expect("a file")
    }

    /// Puts the journeys in force.
    pub(crate) fn apply(&self) {
        let done = self.shop.run(&["apply"]);
        assert_eq!(done.code, Some(0), "{}", done.stderr);
    }

    /// Runs a command to its end.
    pub(crate) fn run(&self, args: &[&str]) -> Done {
        self.shop.run(args)
    }

    /// Runs a command that does what it should.
    pub(crate) fn done(&self, args: &[&str]) -> Done {
        let done = self.run(args);
        assert_eq!(done.code, Some(0), "{args:?}: {}\n{}", done.stdout, done.stderr);
        done
    }

    /// Starts a worker and waits until it listens.
    pub(crate) fn worker(&self) -> Worker {
        self.worker_of(&[])
    }

    /// Starts a worker with further arguments, such as its roles.
    pub(crate) fn worker_of(&self, more: &[&str]) -> Worker {
        let mut args = vec!["--log", "waypost=debug,librdkafka=info,info", "run"];
        args.extend(more);
        self.worker_with(&args, Stdio::null())
    }

    /// Starts a worker as told and waits until it listens.
    pub(crate) fn worker_with(&self, args: &[&str], stdin: Stdio) -> Worker {
        self.shop.start_with(args, stdin).unwrap_or_else(|done: Done| {
            panic!("the worker did not start: {done:?}");
        })
    }

    /// Writes bytes that are no record of a shop, each to a partition of its own.
    pub(crate) fn sends_bytes(&self, topic: &str, records: &[&[u8]]) {
        in_runtime(async {
            for (partition, record) in (0..).zip(records) {
                let next: FutureRecord<'_, (), [u8]> =
                    FutureRecord::to(topic).partition(partition % 2).payload(record);
                let sent = self.producer.send(next, Duration::from_secs(30)).await;
                sent.expect("the broker takes it");
            }
        });
    }

    /// The topic of what workers tell themselves.
    pub(crate) fn feedback(&self) -> String {
        format!("{}.feedback", self.name)
    }

    /// Writes records, each with its key, and waits until the broker has them; when it took each.
    pub(crate) fn sends(&self, topic: &str, records: &[(&str, String)]) -> Vec<Timestamp> {
        self.sends_of(topic, records, |_| now())
    }

    /// As [`Self::sends`], each with the time of its producer.
    pub(crate) fn sends_of(
        &self,
        topic: &str,
        records: &[(&str, String)],
        time: impl Fn(usize) -> Timestamp,
    ) -> Vec<Timestamp> {
        in_runtime(async {
            let mut sent = Vec::with_capacity(records.len());
            for (place, (key, record)) in records.iter().enumerate() {
                let next = FutureRecord::to(topic).key(*key).payload(record);
                let mut next = next.timestamp(time(place).ms());
                loop {
                    match self.producer.send_result(next) {
                        Ok(queued) => break sent.push(queued),
                        Err((_, back)) => {
                            next = back;
                            tokio::time::sleep(Duration::from_millis(5)).await;
                        }
                    }
                }
            }
            let mut taken = Vec::with_capacity(sent.len());
            for queued in sent {
                let done = queued.await.expect("the producer lives");
                let done = done.expect("the broker takes it");
                taken.push(Timestamp::from_ms(done.timestamp.to_millis().expect("a time")));
            }
            taken
        })
    }

    /// The number that a query of the database gives.
    pub(crate) fn count(&self, sql: &str) -> i64 {
        in_runtime(async {
            let mut database = PgConnection::connect(&self.database).await.expect("Postgres");
            let sql = AssertSqlSafe(sql.to_owned());
            sqlx::query_scalar(sql).fetch_one(&mut database).await.expect("a number")
        })
    }

    /// The address of the database.
    pub(crate) fn database(&self) -> &str {
        &self.database
    }

    /// Changes the database by hand.
    pub(crate) fn execute(&self, sql: &str) {
        in_runtime(async {
            let mut database = PgConnection::connect(&self.database).await.expect("Postgres");
            let done = sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(&mut database).await;
            done.expect("it is changed");
        });
    }

    /// Does something while nobody else can read or write a table.
    pub(crate) fn with_locked(&self, table: &str, does: impl FnOnce()) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.expect("a runtime");
        let lock = format!("BEGIN; LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE");
        let mut database = runtime.block_on(async {
            let mut database = PgConnection::connect(&self.database).await.expect("Postgres");
            sqlx::raw_sql(AssertSqlSafe(lock)).execute(&mut database).await.expect("the lock");
            database
        });
        does();
        let unlocked = runtime.block_on(sqlx::raw_sql("ROLLBACK").execute(&mut database));
        unlocked.expect("the end of the lock");
    }

    /// Pairs of texts that a query of the database gives.
    pub(crate) fn pairs(&self, sql: &str) -> Vec<(String, i64)> {
        in_runtime(async {
            let mut database = PgConnection::connect(&self.database).await.expect("Postgres");
            let sql = AssertSqlSafe(sql.to_owned());
            sqlx::query_as(sql).fetch_all(&mut database).await.expect("rows")
        })
    }

    /// Waits until a query gives the number.
    pub(crate) fn wait_for(&self, what: &str, sql: &str, wanted: impl Fn(i64) -> bool) {
        wait(what, || wanted(self.count(sql)));
    }

    /// The topic of the log.
    pub(crate) fn log_topic(&self) -> String {
        format!("{}.log", self.name)
    }

    /// As [`Self::verified`], from a snapshot.
    pub(crate) fn verified_from(&self, snapshot: &str) -> serde_json::Value {
        let done = self.done(&["verify", "--json", "--from", snapshot]);
        serde_json::from_str(&done.stdout).expect("json")
    }

    /// Asserts that `verify` finds no difference, and returns its figures.
    pub(crate) fn verified(&self) -> serde_json::Value {
        self.shop.verified()
    }
}
