//! What Waypost relies on in Kafka and Postgres, asked of the real ones.

use std::time::Duration;

use rdkafka::consumer::{Consumer as _, StreamConsumer};
use rdkafka::message::{BorrowedMessage, Timestamp};
use rdkafka::producer::{FutureProducer, FutureRecord, Producer as _};
use rdkafka::{ClientConfig, Message as _, Offset};
use sqlx::{Connection as _, Executor as _, PgConnection};

use crate::support::{Kafka, Postgres, kafka, postgres};

/// The longest that one answer of a server may take.
const LIMIT: Duration = Duration::from_secs(60);

#[tokio::test]
async fn a_transaction_holds_what_is_written_and_how_far_was_read() {
    let append_time = [("message.timestamp.type", "LogAppendTime")];
    let input = kafka().topic("input", 1, &append_time).await;
    let output = kafka().topic("output", 1, &[]).await;
    let plain: FutureProducer = kafka().client().create().expect("a producer");
    // The broker's clock counts, not the sender's.
    for text in ["first", "second"] {
        send(&plain, FutureRecord::to(&input).key("k").payload(text).timestamp(1)).await;
    }

    let reader = consumer(kafka().client().set("group.id", &input), &input);
    let read = next(&reader).await;
    assert_eq!((read.payload(), read.offset()), (Some(&b"first"[..]), 0));
    assert!(matches!(read.timestamp(), Timestamp::LogAppendTime(at) if at > 1_000_000_000_000));

    let mut transactional = kafka().client();
    let writer = transactional.set("transactional.id", &output).set("compression.type", "zstd");
    let writer: FutureProducer = writer.create().expect("a producer");
    writer.init_transactions(LIMIT).expect("transactions begin");
    for (text, commits) in [("committed", true), ("given up", false)] {
        writer.begin_transaction().expect("one begins");
        send(&writer, FutureRecord::to(&output).key("k").payload(text)).await;
        let group = reader.group_metadata().expect("it is in a group");
        let position = reader.position().expect("it read");
        writer.send_offsets_to_transaction(&position, &group, LIMIT).expect("the group is known");
        if commits {
            writer.commit_transaction(LIMIT).expect("it commits");
            assert_eq!(next(&reader).await.payload(), Some(&b"second"[..]));
        } else {
            writer.abort_transaction(LIMIT).expect("it aborts");
        }
    }
    writer.begin_transaction().expect("one begins");
    send(&writer, FutureRecord::to(&output).key("k").payload("last")).await;
    writer.commit_transaction(LIMIT).expect("it commits");

    let mut config = kafka().client();
    config.set("isolation.level", "read_committed").set("group.id", &output);
    let committed = consumer(&mut config, &output);
    assert_eq!(next(&committed).await.payload(), Some(&b"committed"[..]));
    assert_eq!(next(&committed).await.payload(), Some(&b"last"[..]));
    let offsets = reader.committed(LIMIT).expect("the group's offsets");
    let offset = offsets.find_partition(&input, 0).expect("the only partition").offset();
    assert_eq!(offset, Offset::Offset(1), "what was given up moved it too");
}

#[tokio::test]
async fn a_killed_broker_comes_back_with_its_records() {
    let mut own = Kafka::own(&[]);
    let topic = own.topic("kept", 1, &[]).await;
    let producer: FutureProducer = own.client().create().expect("a producer");
    send(&producer, FutureRecord::to(&topic).key("k").payload("before")).await;
    own.kill();
    let gone = std::net::TcpStream::connect(own.bootstrap());
    assert!(gone.is_err(), "it still listens");
    own.restart();
    send(&producer, FutureRecord::to(&topic).key("k").payload("after")).await;
    let reader = consumer(own.client().set("group.id", &topic), &topic);
    assert_eq!(next(&reader).await.payload(), Some(&b"before"[..]));
    assert_eq!(next(&reader).await.payload(), Some(&b"after"[..]));
}

#[tokio::test]
async fn rows_are_claimed_past_those_that_others_hold() {
    let url = postgres().fresh_database();
    let mut one = PgConnection::connect(&url).await.expect("the database is there");
    let mut two = PgConnection::connect(&url).await.expect("the database is there");
    one.execute("CREATE TABLE messages (id bigint PRIMARY KEY)").await.expect("a table");
    one.execute("INSERT INTO messages VALUES (1), (2), (3)").await.expect("rows");
    let claim = "SELECT id FROM messages ORDER BY id LIMIT 2 FOR UPDATE SKIP LOCKED";
    let mut one = one.begin().await.expect("a transaction");
    let mut two = two.begin().await.expect("a transaction");
    let first: Vec<i64> = sqlx::query_scalar(claim).fetch_all(&mut *one).await.expect("rows");
    let second: Vec<i64> = sqlx::query_scalar(claim).fetch_all(&mut *two).await.expect("rows");
    assert_eq!((first, second), (vec![1, 2], vec![3]));
    assert_ne!(postgres().fresh_database(), url);
}

#[tokio::test]
async fn a_killed_postgres_comes_back_with_what_was_committed() {
    let mut own = Postgres::own(&[("synchronous_commit", "on")]);
    let url = own.fresh_database();
    let mut held = PgConnection::connect(&url).await.expect("the database is there");
    held.execute("CREATE TABLE kept (id bigint)").await.expect("a table");
    held.execute("INSERT INTO kept VALUES (1)").await.expect("a row");
    let mut open = held.begin().await.expect("a transaction");
    open.execute("INSERT INTO kept VALUES (2)").await.expect("a row");
    own.kill();
    open.execute("INSERT INTO kept VALUES (3)").await.expect_err("the server is gone");
    own.restart();
    let mut after = PgConnection::connect(&url).await.expect("the database is there");
    let query = sqlx::query_scalar("SELECT id FROM kept");
    let kept: Vec<i64> = query.fetch_all(&mut after).await.expect("rows");
    assert_eq!(kept, [1]);
}

/// A consumer of a topic from its beginning, which commits nothing by itself.
fn consumer(config: &mut ClientConfig, topic: &str) -> StreamConsumer {
    config.set("auto.offset.reset", "earliest").set("enable.auto.commit", "false");
    let consumer: StreamConsumer = config.create().expect("a consumer");
    consumer.subscribe(&[topic]).expect("it is a topic");
    consumer
}

async fn next(consumer: &StreamConsumer) -> BorrowedMessage<'_> {
    let message = tokio::time::timeout(LIMIT, consumer.recv()).await;
    message.expect("a message comes in time").expect("the broker answers")
}

async fn send(producer: &FutureProducer, record: FutureRecord<'_, str, str>) {
    producer.send(record, LIMIT).await.expect("the broker takes it");
}
