//! Topics, offsets and errors of a real Kafka.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer as _};
use rdkafka::mocking::MockCluster;
use rdkafka::producer::{
    BaseRecord, FutureProducer, FutureRecord, Producer as _, ThreadedProducer,
};
use rdkafka::types::{RDKafkaApiKey, RDKafkaRespErr};
use rdkafka::{Offset, TopicPartitionList};
use waypost::config::{self, Config};
use waypost::diagnostic::SourceFile;
use waypost::kafka::{Cluster, Context, Error, Partition, Settings, Timestamps, View};

use crate::support::{free_port, kafka};

/// The longest that one answer of a server may take.
const LIMIT: Duration = Duration::from_secs(60);
/// The longest that a failure may take to be told.
const TOLD: Duration = Duration::from_secs(10);

const APPEND_TIME: (&str, &str) = ("message.timestamp.type", "LogAppendTime");

/// A configuration of this broker.
pub(crate) fn configuration(brokers: &str, kafka: &str, inputs: &str) -> Config {
    let text = format!(
        "kafka: {{ brokers: '{brokers}', {kafka} }}\npostgres: {{ url: postgres://localhost/w }}\n\
         inputs: {{ {inputs} }}\n"
    );
    let file = SourceFile::new("waypost.yaml", text);
    let (config, report) = Config::read(Some(&file), Path::new(""), &BTreeMap::new());
    config.unwrap_or_else(|| panic!("{}", report.render(false)))
}

/// Its settings of Kafka, and the cluster.
pub(crate) fn of(config: &Config) -> (&config::Kafka, Cluster) {
    let kafka = &config.production.as_ref().expect("production").kafka;
    let settings = Settings::new(kafka).expect("settings");
    (kafka, Cluster::new(&settings).expect("a cluster"))
}

/// A name for topics that no other test has.
async fn name() -> String {
    // The topic itself is not used.
    kafka().topic("waypost", 1, &[]).await
}

#[tokio::test]
async fn topics_are_made_once_and_held_against_what_they_must_be() {
    let name = name().await;
    let web = kafka().topic("web", 3, &[APPEND_TIME]).await;
    let slow = kafka().topic("slow", 1, &[("retention.ms", "3600000")]).await;
    let inputs = format!(
        "web: {{ topic: {web}, format: xdm }}, \
         slow: {{ topic: {slow}, format: xdm, blocking: false }}"
    );
    let config =
        configuration(kafka().bootstrap(), &format!("name: {name}, partitions: 4"), &inputs);
    let (settings, cluster) = of(&config);
    assert_eq!(cluster.reach().await.expect("a cluster"), 1);

    // Two that start at the same time.
    let (_, other) = of(&config);
    let (one, two) = tokio::join!(
        cluster.prepare(&config, settings, None),
        other.prepare(&config, settings, None)
    );
    for warnings in [one.expect("topics"), two.expect("topics")] {
        let all = warnings.join("\n");
        assert!(all.contains(&format!("topic {slow} keeps records for 1h only")), "{all}");
        assert!(all.contains(&format!("topic {name}.log has one replica")), "{all}");
    }

    let topics = [format!("{name}.log"), format!("{name}.feedback"), web, "no-such".to_owned()];
    let found = cluster.topics(&topics).await.expect("topics");
    let log = found[&topics[0]].as_ref().expect("the log");
    assert_eq!((log.partitions, log.replicas, log.retention_ms), (4, 1, None));
    assert_eq!((log.retention_bytes, log.is_compacted), (None, false));
    assert_eq!(log.message_bytes_max, Some(8 << 20));
    let feedback = found[&topics[1]].as_ref().expect("feedback");
    assert_eq!((feedback.partitions, feedback.timestamps), (4, Some(Timestamps::LogAppend)));
    assert_eq!(found[&topics[2]].as_ref().expect("an input").partitions, 3);
    assert_eq!(found["no-such"], None);
    assert_eq!(cluster.make_topics(settings).await.expect("topics"), Vec::<String>::new());
}

#[tokio::test]
async fn topics_that_can_not_be_used_are_told_all_at_once() {
    let name = name().await;
    let made = configuration(
        kafka().bootstrap(),
        &format!(
            "name: {name}, partitions: 4, retention: 7 days, \
             properties: {{ message.max.bytes: 2000000 }}"
        ),
        "web: { topic: web, format: xdm }",
    );
    let (settings, cluster) = of(&made);
    cluster.make_topics(settings).await.expect("topics");

    let create_time = kafka().topic("web", 1, &[]).await;
    let config = configuration(
        kafka().bootstrap(),
        &format!("name: {name}, partitions: 8"),
        &format!(
            "web: {{ topic: {create_time}, format: xdm }}, \
             erp: {{ topic: {name}.none, format: xdm }}"
        ),
    );
    let (settings, cluster) = of(&config);
    let longest = 30 * 24 * 3_600_000;
    let error = cluster.prepare(&config, settings, Some(longest)).await.expect_err("faults");
    let Error::Topics(faults) = &error else { panic!("{error}") };
    assert_eq!(faults.len(), 6, "{error}");
    let said = error.to_string();
    for words in [
        format!(
            "{name}.log has 4 partitions, the configuration says 8: set `kafka.partitions` to 4"
        ),
        format!("{name}.log keeps records for 168h, the longest journey takes up to 720h"),
        format!("{name}.log takes records of up to 2000000 bytes"),
        format!("{name}.feedback takes records of up to 2000000 bytes"),
        format!("topic {create_time} has the timestamps of its producers"),
        format!("there is no topic {name}.none"),
    ] {
        assert!(said.contains(&words), "{words}\nis not in\n{said}");
    }
}

#[tokio::test]
async fn more_replicas_than_servers_are_refused() {
    let name = name().await;
    let config = configuration(
        kafka().bootstrap(),
        &format!("name: {name}, replication: 3"),
        "web: { topic: web, format: xdm }",
    );
    let (settings, cluster) = of(&config);
    let said = cluster.make_topics(settings).await.expect_err("too many").to_string();
    assert!(said.contains(&format!("can't make the topic (topic {name}.log)")), "{said}");
    assert!(said.contains("set `kafka.replication` to at most the number"), "{said}");
}

#[tokio::test]
async fn ends_positions_and_times_are_asked_for() {
    let name = name().await;
    let web = kafka().topic("web", 2, &[APPEND_TIME]).await;
    let config = configuration(
        kafka().bootstrap(),
        &format!("name: {name}"),
        &format!("web: {{ topic: {web}, format: xdm }}"),
    );
    let (kafka_settings, cluster) = of(&config);
    let settings = Settings::new(kafka_settings).expect("settings");
    let place = |number| Partition { topic: web.clone(), number };

    let partitions = cluster.partitions(std::slice::from_ref(&web)).await.expect("partitions");
    assert_eq!(partitions, [place(0), place(1)]);
    let none = cluster.partitions(&["no-such".to_owned()]).await.expect_err("no topic");
    assert!(none.to_string().contains("topic no-such"), "{none}");
    assert!(!none.is_transient());
    let ends = cluster.ends(&partitions).await.expect("ends");
    assert_eq!(ends, BTreeMap::from([(place(0), 0), (place(1), 0)]));

    let producer: FutureProducer = settings.producer().create().expect("a producer");
    for text in ["a", "b", "c"] {
        let record = FutureRecord::<str, str>::to(&web).partition(1).payload(text).timestamp(1);
        producer.send(record, LIMIT).await.expect("the broker takes it");
    }
    // What is not committed yet is behind the end.
    let transactional: ThreadedProducer<_> =
        settings.transactional("lane.0").create_with_context(Unheard).expect("a producer");
    transactional.init_transactions(LIMIT).expect("transactions begin");
    transactional.begin_transaction().expect("one begins");
    let record = BaseRecord::<(), str>::to(&web).partition(1).payload("d");
    transactional.send(record).map_err(|(error, _)| error).expect("it is queued");
    transactional.flush(LIMIT).expect("it is written");
    let ends = cluster.ends(&partitions).await.expect("ends");
    assert_eq!(ends, BTreeMap::from([(place(0), 0), (place(1), 3)]));
    transactional.commit_transaction(LIMIT).expect("it commits");
    // The mark of the transaction is written a moment after it is committed.
    tokio::time::timeout(LIMIT, async {
        while cluster.ends(&partitions).await.expect("ends")[&place(1)] != 5 {}
    })
    .await
    .expect("the record, and the mark of the transaction");

    let wanted = BTreeMap::from([(place(0), 0), (place(1), 1)]);
    let found = cluster.appended(&wanted, View::Committed).await.expect("times");
    assert_eq!(found[&place(0)], None);
    let one = found[&place(1)].expect("a record");
    assert_eq!(one.offset, 1);
    assert!(one.at.ms() > 1_000_000_000_000, "the broker's clock, not the producer's: {one:?}");
    // At the mark of the transaction there is no record.
    let found =
        cluster.appended(&BTreeMap::from([(place(1), 4)]), View::Committed).await.expect("times");
    assert_eq!(found[&place(1)], None);
    let found =
        cluster.appended(&BTreeMap::from([(place(1), 3)]), View::Committed).await.expect("times");
    assert_eq!(found[&place(1)].expect("a record").offset, 3);

    let nothing = cluster.committed("ingest", &partitions).await.expect("positions");
    assert_eq!(nothing, BTreeMap::from([(place(0), None), (place(1), None)]));
    let consumer: BaseConsumer<Context> =
        settings.consumer("ingest").create_with_context(Context::new()).expect("a consumer");
    let mut positions = TopicPartitionList::new();
    positions.add_partition_offset(&web, 1, Offset::Offset(2)).expect("a position");
    consumer.commit(&positions, CommitMode::Sync).expect("the group commits");
    let committed = cluster.committed("ingest", &partitions).await.expect("positions");
    assert_eq!(committed, BTreeMap::from([(place(0), None), (place(1), Some(2))]));
}

#[tokio::test]
async fn a_writer_that_was_taken_over_is_told_so() {
    let name = name().await;
    let config = configuration(
        kafka().bootstrap(),
        &format!("name: {name}"),
        "web: { topic: web, format: xdm }",
    );
    let settings = Settings::new(of(&config).0).expect("settings");
    let writer = || {
        let writer: FutureProducer = settings.transactional("lane.7").create().expect("a producer");
        writer.init_transactions(LIMIT).expect("transactions begin");
        writer
    };
    let old = writer();
    old.begin_transaction().expect("one begins");
    let send = async |writer: &FutureProducer| {
        let record = FutureRecord::<str, str>::to(&name).partition(0).payload("x");
        writer.send(record, LIMIT).await.map_err(|(error, _)| Error::call("write", error))
    };
    send(&old).await.expect("the broker takes it");
    let new = writer();
    let commit = old.commit_transaction(LIMIT).map_err(|error| Error::call("commit", error));
    let error = commit.expect_err("another has the id");
    assert!(error.is_fenced() && !error.is_transient(), "{error}");
    new.begin_transaction().expect("one begins");
    send(&new).await.expect("the broker takes it");
    new.commit_transaction(LIMIT).expect("it commits");
}

#[tokio::test]
async fn a_cluster_that_is_not_there_is_told_within_seconds() {
    let nobody = format!("127.0.0.1:{}", free_port());
    let (began, said) = refused(&nobody, "name: waypost").await;
    assert!(said.contains("can't reach the cluster"), "{said}");
    assert!(said.contains("Connection refused"), "{said}");
    assert!(said.contains("check `kafka.brokers`"), "{said}");
    assert!(began.elapsed() < TOLD, "{:?}", began.elapsed());
}

/// A server that is made up refuses when it is told to.
#[tokio::test]
async fn what_is_refused_for_a_moment_is_told_apart_from_what_is_forbidden() {
    use RDKafkaApiKey as Key;
    use RDKafkaRespErr as Refusal;
    let mock = MockCluster::new(1).expect("servers");
    mock.create_topic("web", 2, 1).expect("a topic");
    let brokers = mock.bootstrap_servers();
    let config = configuration(&brokers, "name: waypost", "web: { topic: web, format: xdm }");
    let (_, cluster) = of(&config);
    let partitions = cluster.partitions(&["web".to_owned()]).await.expect("partitions");
    // An election takes longer than a question: whoever asks waits and asks again.
    mock.request_errors(Key::ListOffsets, &[Refusal::RD_KAFKA_RESP_ERR_LEADER_NOT_AVAILABLE]);
    let error = cluster.ends(&partitions).await.expect_err("there is no leader");
    assert!(error.is_transient() && error.to_string().contains("partition "), "{error}");
    assert_eq!(cluster.ends(&partitions).await.expect("ends").len(), 2);
    mock.request_errors(Key::OffsetFetch, &[Refusal::RD_KAFKA_RESP_ERR_NOT_COORDINATOR; 2]);
    let error = cluster.committed("ingest", &partitions).await.expect_err("it moves");
    assert!(error.is_transient(), "{error}");
    mock.clear_request_errors(Key::OffsetFetch);
    assert_eq!(cluster.committed("ingest", &partitions).await.expect("positions").len(), 2);
    // Slower than the first tries wait.
    mock.broker_round_trip_time(1, Duration::from_secs(3)).expect("a server");
    assert_eq!(cluster.reach().await.expect("it is slow, but there"), 1);
    mock.broker_round_trip_time(1, Duration::ZERO).expect("a server");

    let never = [Refusal::RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED; 8];
    mock.request_errors(Key::ListOffsets, &never);
    let error = cluster.ends(&partitions).await.expect_err("it is forbidden");
    assert!(!error.is_transient(), "{error}");
    assert!(error.to_string().contains("the rights that docs/operations.md lists"), "{error}");
}

/// What is said of a cluster that can't be reached.
async fn refused(brokers: &str, kafka: &str) -> (Instant, String) {
    let config = configuration(brokers, kafka, "web: { topic: web, format: xdm }");
    let (_, cluster) = of(&config);
    #[expect(clippy::disallowed_methods, reason = "how long a failure takes is what is tested")]
    let began = Instant::now();
    let said = cluster.reach().await.expect_err("nobody to reach").to_string();
    (began, said)
}

/// Deliveries that are not waited for one by one.
struct Unheard;

impl rdkafka::ClientContext for Unheard {}

impl rdkafka::producer::ProducerContext for Unheard {
    type DeliveryOpaque = ();

    fn delivery(&self, _: &rdkafka::producer::DeliveryResult<'_>, (): ()) {}
}
