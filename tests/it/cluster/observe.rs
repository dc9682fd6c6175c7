//! What operators see of workers in production, and events by HTTP.

use std::process::Stdio;
use std::time::Duration;

use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};
use serde_json::Value;

use super::site::Site;
use crate::support::{Kafka, Postgres, full, kafka, postgres};
use crate::worker::events::{cart_add, consent, order, plain};
use crate::worker::observe::{Silent, metric, wait_for_metric};
use crate::worker::shop::{get, wait};
use crate::worker::{CART, THANKS};

const ANN: &[(&str, &str)] = &[("id", "7001"), ("email", "ann@shop.example")];
const SENT: &str = "SELECT count(*) FROM deliveries WHERE status = 'sent'";

fn is_ready(worker: &crate::worker::shop::Worker) -> (u16, String) {
    get(worker.url(), "/readyz").expect("an answer")
}

#[test]
fn events_by_http_take_the_way_of_all_events() {
    let site = Site::new(4, &[CART], "");
    let worker = site.worker();
    let body = [
        consent("1", ANN),
        "{\"specversion\":\"1.0\", broken".into(),
        cart_add("2", ANN, "c1"),
        plain("3", "page.viewed", &[]),
    ]
    .join("\n");
    let (status, answer) = worker.post("/events/web", body.as_bytes());
    assert_eq!(status, 202, "{answer}");
    let answer: Value = serde_json::from_str(&answer).expect("json");
    assert_eq!(answer["accepted"], 2, "{answer}");
    assert_eq!(answer["rejected"][0]["index"], 1, "{answer}");
    assert_eq!(answer["rejected"][1]["index"], 3, "{answer}");
    assert_eq!(answer["rejected"][1]["reason"], "no identity: the event names no customer");
    for (path, body, status) in [
        ("/events", "{}", 404),
        ("/events/wep", "{}", 404),
        ("/events/web", "", 400),
        ("/events/web", "17", 400),
    ] {
        assert_eq!(worker.post(path, body.as_bytes()).0, status, "{path} {body}");
    }
    site.wait_for("the first mail", SENT, |sent| sent >= 1);
    // Sent again with the same ids it counts once.
    assert_eq!(worker.post("/events/web", cart_add("2", ANN, "c1").as_bytes()).0, 202);
    site.wait_for("both mails", SENT, |sent| sent == 2);
    assert_eq!(site.count("SELECT count(*) FROM messages"), 2);
    let letters = "SELECT count(*) FROM dead_letters WHERE partition = -1 AND whole";
    assert_eq!(site.count(letters), 3, "what could not be read, and what is nobody's");
    worker.stops();
    assert_eq!(site.verified()["messages"], 2);
}

#[test]
fn what_workers_do_is_counted_and_they_say_that_they_are_ready() {
    let site = Site::new(4, &[THANKS], "");
    let worker = site.worker();
    assert_eq!(get(worker.url(), "/healthz"), Some((200, "ok\n".to_owned())));
    wait("the worker to be ready", || is_ready(&worker).0 == 200);
    site.sends(&site.web, &[("a", consent("1", ANN)), ("a", "{broken".to_owned())]);
    site.sends(&site.office, &[("a", order("2", ANN, "o1"))]);
    site.wait_for("the mail", SENT, |sent| sent == 1);
    let journey =
        "waypost_messages_decided_total{journey=\"thanks\",status=\"decided\",reason=\"\"}";
    wait_for_metric(&worker, journey, |count| count == 1.0);
    wait_for_metric(&worker, "waypost_lanes_held", |lanes| lanes == 4.0);
    let exactly = |series: &str| metric(&worker, series).unwrap_or_else(|| panic!("no {series}"));
    assert_eq!(exactly("waypost_records_taken_in_total{source=\"web\"}"), 2.0);
    assert_eq!(exactly("waypost_records_taken_in_total{source=\"office\"}"), 1.0);
    assert_eq!(exactly("waypost_dead_letters_total{source=\"web\"}"), 1.0);
    let lag = "waypost_ingest_lag_records{source=\"web\",partition=\"0\"}";
    wait_for_metric(&worker, lag, |lag| lag == 0.0);
    wait_for_metric(&worker, "waypost_watermark_held_back_seconds{source=\"office\"}", |s| {
        s == 0.0
    });
    for partition in 0..4 {
        let age = format!("waypost_watermark_age_seconds{{partition=\"{partition}\"}}");
        wait_for_metric(&worker, &age, |age| age < 30.0);
    }
    worker.stops();
}

#[test]
fn the_source_that_holds_time_back_is_named() {
    let site = Site::new(2, &[THANKS], "");
    let worker = site.worker();
    wait("the worker to be ready", || is_ready(&worker).0 == 200);
    // Somebody writes into a topic and does not say whether it counts.
    let mut client = kafka().client();
    client.set("transactional.id", format!("{}-test", site.office));
    let writer: BaseProducer = client.create().expect("a producer");
    let patience = Duration::from_secs(30);
    writer.init_transactions(patience).expect("Kafka");
    writer.begin_transaction().expect("a transaction");
    let record = order("2", ANN, "o1");
    let record = BaseRecord::<str, str>::to(&site.office).payload(&record).partition(1);
    writer.send(record).map_err(|(error, _)| error).expect("it is queued");
    writer.flush(patience).expect("Kafka has it");
    let held = |source: &str| format!("waypost_watermark_held_back_seconds{{source=\"{source}\"}}");
    wait_for_metric(&worker, &held("office"), |seconds| seconds > 0.0);
    assert_eq!(metric(&worker, &held("web")), Some(0.0));
    let lag = "waypost_ingest_lag_records{source=\"office\",partition=\"1\"}";
    assert_eq!(metric(&worker, lag), Some(1.0));
    writer.abort_transaction(patience).expect("it is taken back");
    wait_for_metric(&worker, &held("office"), |seconds| seconds == 0.0);
    worker.stops();
}

#[test]
fn a_worker_without_a_release_is_not_ready_and_says_why() {
    let site = Site::without_release(2, &[THANKS], "");
    let worker = site.worker();
    wait("the reason", || is_ready(&worker) == (503, RELEASE.to_owned()));
    site.apply();
    wait("the worker to be ready", || is_ready(&worker).0 == 200);
    worker.stops();
}

const RELEASE: &str = "no release is in force: put one in force with `waypost apply`\n";

#[test]
fn a_worker_without_postgres_lives_and_is_not_ready() {
    let mut database = Postgres::own(&[]);
    let site = Site::on(kafka(), &database, 2, &[THANKS], "");
    let worker = site.worker();
    wait("the worker to be ready", || is_ready(&worker).0 == 200);
    database.kill();
    wait("the worker to be unready", || {
        let (status, reasons) = is_ready(&worker);
        status == 503 && reasons.contains("Postgres")
    });
    assert_eq!(get(worker.url(), "/healthz"), Some((200, "ok\n".to_owned())));
    // Events are taken all the same: Kafka has them.
    let (status, answer) = worker.post("/events/office", order("2", ANN, "o1").as_bytes());
    assert_eq!(status, 202, "{answer}");
    // What would have to be kept here is not taken.
    let (status, answer) = worker.post("/events/office", b"{ broken");
    assert_eq!(status, 503, "{answer}");
    assert!(answer.contains("could not be kept"), "{answer}");
    wait_for_metric(&worker, "waypost_postgres_retries_total", |count| count > 0.0);
    database.restart();
    wait("the worker to be ready again", || is_ready(&worker).0 == 200);
    worker.stops();
}

#[test]
fn events_for_a_kafka_that_is_away_are_refused_in_words() {
    let test = "cluster::observe::events_for_a_kafka_that_is_away_are_refused_in_words";
    if !full(test, "it waits as long as a request may") {
        return;
    }
    let mut broker = Kafka::own(&[]);
    let site = Site::on(&broker, postgres(), 2, &[THANKS], "");
    let worker = site.worker();
    assert_eq!(worker.post("/events/web", consent("1", ANN).as_bytes()).0, 202);
    broker.kill();
    let (status, answer) = worker.post("/events/web", plain("2", "page.viewed", ANN).as_bytes());
    assert_eq!(status, 503, "{answer}");
    assert!(answer.starts_with("Kafka did not take all of it"), "{answer}");
    assert!(answer.contains("send it again, with the same ids"), "{answer}");
    broker.restart();
    wait("Kafka to take events again", || {
        worker.post("/events/web", plain("2", "page.viewed", ANN).as_bytes()).0 == 202
    });
    worker.kill();
}

#[test]
fn a_worker_that_can_not_finish_in_time_ends_all_the_same() {
    let test = "cluster::observe::a_worker_that_can_not_finish_in_time_ends_all_the_same";
    if !full(test, "it waits as long as a stop may take") {
        return;
    }
    let server = Silent::start();
    let site = Site::new(2, &[THANKS], &server.configuration());
    let worker = site.worker();
    site.sends(&site.office, &[("a", consent("1", ANN)), ("a", order("2", ANN, "o1"))]);
    server.wait();
    let done = worker.stop();
    assert_eq!(done.code, Some(4), "{}", done.stderr);
    for says in [
        "stopping: waiting for ",
        "delivery, 1 message that is being handed over",
        "not everything was finished within 25 s of the stop; nothing is lost",
    ] {
        assert!(done.stderr.contains(says), "no `{says}` in {}", done.stderr);
    }
}

#[test]
fn logs_of_production_name_nobody() {
    let site = Site::new(2, &[THANKS], "");
    let args = ["--log", "debug", "--log-format", "json", "run"];
    let worker = site.worker_with(&args, Stdio::null());
    site.sends(&site.web, &[("a", consent("1", ANN)), ("a", "{\"to\": \"ann@broken\"".to_owned())]);
    site.sends(&site.office, &[("a", order("2", ANN, "o1"))]);
    site.wait_for("the mail", SENT, |sent| sent == 1);
    let done = worker.stop();
    assert_eq!(done.code, Some(0), "{}", done.stderr);
    assert!(!done.stderr.contains("ann@"), "{}", done.stderr);
    for line in done.stderr.lines() {
        let _: Value = serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}"));
    }
}
