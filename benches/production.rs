//! Events a second through a worker of production, with broker, database and worker on this machine.
//!
//! `cargo bench --bench production [-- EVENTS]`: a Kafka and a Postgres of its own, found as the
//! tests find them (`tests/run --install`), both as they are by default. First a bare loop that
//! consumes and parses the topic; then ingest alone, up to the log; then lanes alone, from the log to
//! their checkpoints; then both at once; last a worker as one might write it in an afternoon, with one
//! transaction for each event, over fewer events.
#![expect(clippy::print_stdout, reason = "figures are what it is for")]
#![expect(clippy::disallowed_methods, reason = "it measures time")]
#![expect(clippy::unwrap_used, reason = "a figure or nothing")]

#[path = "../tests/it/support/mod.rs"]
#[expect(dead_code, unused_imports, reason = "the tests need more of it")]
mod support;

mod size;

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::Message;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::{Offset, TopicPartitionList};
use sqlx::{Connection, PgConnection, Row};
use tokio::sync::watch;
use waypost::cluster::{self, Input, Options, Parts, Roles};
use waypost::config::{Kafka as KafkaConfig, Keep};
use waypost::decode::Auto;
use waypost::journey::{Rules, SourceFile};
use waypost::kafka::{Cluster, Settings};
use waypost::log::Registry;
use waypost::metrics::Metrics;
use waypost::model::Timestamp;
use waypost::postgres::Postgres;
use waypost::release;
use waypost::store::PgStore;
use waypost::worker::{Clock, SystemClock};

use size::{argument, size};

/// The allocator of the command.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const EVENTS: u64 = 300_000;
const EVENTS_PER_CUSTOMER: u64 = 20;
/// Events of the worker with a transaction for each; a tenth is as telling.
const ONE_BY_ONE: u64 = 10_000;
/// Its connections.
const CONNECTIONS: u64 = 8;
const INPUT_PARTITIONS: i32 = 6;
const LOG_PARTITIONS: u32 = 12;
const LOOK: Duration = Duration::from_millis(20);
/// Raw records that are identified.
const TAKEN_IN: &str = "SELECT coalesce(sum(next), 0)::bigint FROM inputs WHERE source <> 65535";
/// Offsets of the log that are read.
const READ: &str = "SELECT coalesce(sum(end_offset), 0)::bigint FROM lanes";

fn main() {
    let events = argument().map_or(size(EVENTS), |events| {
        events.replace(',', "").parse().expect("a number of events")
    });
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let (kafka, postgres) = (support::kafka(), support::postgres());
    let append_time = &[("message.timestamp.type", "LogAppendTime")];
    let topic = runtime.block_on(kafka.topic("web", INPUT_PARTITIONS, append_time));
    fill(&kafka.client().create().unwrap(), &topic, events);
    // No record is younger, as the clock of this machine is the broker's, too.
    let filled = SystemClock.now();
    bare(&kafka.client(), &topic, events);
    runtime.block_on(async {
        let site = Site::new(kafka.bootstrap(), &postgres.fresh_database(), &topic).await;
        let ingest = site.start(true, false);
        let begun = site.begun(TAKEN_IN).await;
        site.reaches(TAKEN_IN, events.cast_signed()).await;
        report("ingest to log", events, begun.elapsed());
        ingest.end().await;
        let lanes = site.start(true, true);
        let begun = site.begun(READ).await;
        site.applied(filled).await;
        report("log to checkpoint", events, begun.elapsed());
        lanes.end().await;
        let site = Site::new(kafka.bootstrap(), &postgres.fresh_database(), &topic).await;
        let both = site.start(true, true);
        let begun = site.begun(TAKEN_IN).await;
        site.applied(filled).await;
        report("ingest to checkpoint", events, begun.elapsed());
        both.end().await;
        one_by_one(&postgres.fresh_database(), events.min(size(ONE_BY_ONE))).await;
    });
}

fn report(what: &str, events: u64, elapsed: Duration) {
    let seconds = elapsed.as_secs_f64();
    println!("{what:32} {:>9.0} events/s ({events} in {seconds:.2} s)", events as f64 / seconds);
}

/// A shop's traffic. The records carry no time: they happen when the broker takes them.
fn fill(producer: &BaseProducer, topic: &str, events: u64) {
    for number in 0..events {
        let (key, record) = record(number, events / EVENTS_PER_CUSTOMER);
        let mut next = BaseRecord::to(topic).key(&key).payload(&record);
        while let Err((_, back)) = producer.send(next) {
            producer.poll(LOOK);
            next = back;
        }
    }
    producer.flush(Duration::from_secs(60)).unwrap();
}

fn record(number: u64, customers: u64) -> (String, String) {
    let mixed = number.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 20;
    let (customer, sku) = (mixed % customers.max(1), mixed / 7 % 2_000);
    let name = match mixed / 3 % 20 {
        0..10 => "product.viewed",
        10..16 => "cart.item_added",
        16..18 => "cart.item_removed",
        18 => "checkout.started",
        _ => "order.placed",
    };
    let record = format!(
        r#"{{"specversion":"1.0","id":"e{number}","source":"shop","type":"{name}","data":{{"customer":{{"id":"{customer}"}},"channel":"web","items":[{{"sku":"sku-{sku:05}","name":"Product {sku}","quantity":1,"price":"{}.95","currency":"EUR"}}]}}}}"#,
        sku % 90 + 5,
    );
    (customer.to_string(), record)
}

/// What consuming and parsing alone costs.
fn bare(client: &rdkafka::ClientConfig, topic: &str, events: u64) {
    let mut config = client.clone();
    config.set("group.id", "bare").set("enable.auto.commit", "false");
    let consumer: BaseConsumer = config.create().unwrap();
    let mut assignment = TopicPartitionList::new();
    for partition in 0..INPUT_PARTITIONS {
        assignment.add_partition_offset(topic, partition, Offset::Beginning).unwrap();
    }
    let started = Instant::now();
    consumer.assign(&assignment).unwrap();
    let mut read = 0;
    while read < events {
        if let Some(message) = consumer.poll(LOOK) {
            let message = message.unwrap();
            let record = message.payload().unwrap();
            std::hint::black_box(serde_json::from_slice::<serde::de::IgnoredAny>(record).unwrap());
            read += 1;
        }
    }
    report("bare consume and parse", events, started.elapsed());
}

/// A log and a store, made for one measurement.
struct Site {
    settings: Settings,
    kafka: KafkaConfig,
    registry: Registry,
    store: Arc<PgStore>,
    topic: String,
    url: String,
}

struct Running {
    stop: watch::Sender<bool>,
    task: tokio::task::JoinHandle<Result<(), cluster::Error>>,
}

impl Running {
    async fn end(self) {
        self.stop.send_replace(true);
        self.task.await.unwrap().unwrap();
    }
}

impl Site {
    async fn new(bootstrap: &str, url: &str, topic: &str) -> Self {
        let name = format!("bench-{}", url.rsplit('/').next().unwrap());
        let kafka = KafkaConfig {
            brokers: vec![bootstrap.to_owned()],
            name,
            partitions: LOG_PARTITIONS,
            replication: Some(1),
            retention: None,
            properties: [("session.timeout.ms".to_owned(), "6000".to_owned())].into(),
            secrets: Default::default(),
            secret_files: Default::default(),
            dead_letters: None,
        };
        let settings = Settings::new(&kafka).unwrap();
        let database = Postgres::connect(url, None, 16).await.unwrap();
        database.migrate().await.unwrap();
        Cluster::new(&settings).unwrap().make_topics(&kafka).await.unwrap();
        let registry = Registry::open(database.clone(), LOG_PARTITIONS).await.unwrap();
        let journeys = Path::new(env!("CARGO_MANIFEST_DIR")).join("journeys");
        let mut sources: Vec<SourceFile> = Vec::new();
        for entry in std::fs::read_dir(journeys).unwrap() {
            let path = entry.unwrap().path();
            let text = std::fs::read_to_string(&path).unwrap();
            sources.push(SourceFile::new(path.display().to_string(), text));
        }
        let (id, files) = release::pack(&sources, &[], &Rules::default()).unwrap();
        // In force before everything that is in the topic.
        registry.activate(id, &files, Timestamp::from_ms(0)).await.unwrap();
        let store = Arc::new(PgStore::new(database));
        Self { settings, kafka, registry, store, topic: topic.to_owned(), url: url.to_owned() }
    }

    fn start(&self, ingest: bool, decide: bool) -> Running {
        let input = Input {
            name: "web".into(),
            topic: self.topic.clone(),
            decode: Arc::new(Auto::default()),
            blocking: true,
        };
        let parts = Parts {
            settings: self.settings.clone(),
            log_topic: self.kafka.log_topic(),
            feedback_topic: self.kafka.feedback_topic(),
            registry: self.registry.clone(),
            store: Arc::clone(&self.store),
            inputs: vec![input],
            dead_letters: None,
            clock: Arc::new(SystemClock),
            delivery: None,
            outbox: watch::Sender::new(0),
            metrics: Arc::new(Metrics::new(Arc::new(|| SystemClock.now()))),
            shares: Arc::default(),
            options: Options {
                instance: SystemClock.now().ms().to_string(),
                roles: Roles { ingest, decide, deliver: false },
                tick: Duration::from_millis(500),
                grace_ms: 1_000,
                checkpoint_records: 5_000,
                cache_bytes: 256 << 20,
                keep: Keep { messages: None, trace: None, dead_letters: None },
            },
        };
        let (stop, stopped) = watch::channel(false);
        Running { stop, task: tokio::spawn(cluster::run(parts, stopped)) }
    }

    async fn number(&self, sql: &'static str) -> i64 {
        let mut database = PgConnection::connect(&self.url).await.unwrap();
        sqlx::query(sql).fetch_one(&mut database).await.unwrap().get(0)
    }

    async fn reaches(&self, sql: &'static str, least: i64) {
        while self.number(sql).await < least {
            tokio::time::sleep(LOOK).await;
        }
    }

    /// When it began to move, which is when a worker that starts has joined its consumer groups.
    async fn begun(&self, sql: &'static str) -> Instant {
        self.reaches(sql, 1).await;
        Instant::now()
    }

    /// Returns once every lane has applied all that happened up to this time.
    async fn applied(&self, time: Timestamp) {
        self.reaches("SELECT count(*) FROM lanes", i64::from(LOG_PARTITIONS)).await;
        self.reaches("SELECT min(coalesce(watermark, 0)) FROM lanes", time.ms()).await;
    }
}

/// A worker with one transaction for each event: the customer's row is locked, read and written
/// with its timer. Several connections, and nothing else in the way.
async fn one_by_one(url: &str, events: u64) {
    let mut database = PgConnection::connect(url).await.unwrap();
    for table in [
        "CREATE TABLE customers (customer text PRIMARY KEY, state jsonb NOT NULL)",
        "CREATE TABLE timers (customer text PRIMARY KEY, due bigint NOT NULL)",
        "CREATE INDEX timers_by_due ON timers (due)",
    ] {
        sqlx::query(table).execute(&mut database).await.unwrap();
    }
    let started = Instant::now();
    let mut connections = tokio::task::JoinSet::new();
    for share in 0..CONNECTIONS {
        let url = url.to_owned();
        connections.spawn(async move {
            let mut database = PgConnection::connect(&url).await.unwrap();
            for number in (0..events).filter(|number| number % CONNECTIONS == share) {
                let (customer, record) = record(number, events / EVENTS_PER_CUSTOMER);
                // Of its own share, so that no two wait for one row.
                let customer = format!("{share}-{customer}");
                let mut transaction = database.begin().await.unwrap();
                sqlx::query("SELECT state FROM customers WHERE customer = $1 FOR UPDATE")
                    .bind(&customer)
                    .fetch_optional(&mut *transaction)
                    .await
                    .unwrap();
                sqlx::query(
                    "INSERT INTO customers VALUES ($1, $2::jsonb)
                     ON CONFLICT (customer) DO UPDATE SET state = excluded.state",
                )
                .bind(&customer)
                .bind(&record)
                .execute(&mut *transaction)
                .await
                .unwrap();
                sqlx::query(
                    "INSERT INTO timers VALUES ($1, $2)
                     ON CONFLICT (customer) DO UPDATE SET due = excluded.due",
                )
                .bind(&customer)
                .bind(number.cast_signed())
                .execute(&mut *transaction)
                .await
                .unwrap();
                transaction.commit().await.unwrap();
            }
        });
    }
    while let Some(ended) = connections.join_next().await {
        ended.unwrap();
    }
    report("one transaction for each event", events, started.elapsed());
}
