//! Topics read by commands: replayed, recorded, and given back their dead letters.

use std::collections::BTreeSet;

use serde_json::Value;

use super::site::Site;
use crate::support::kafka;
use crate::worker::CART;
use crate::worker::events::{cart_add, consent, order};
use crate::worker::shop::in_runtime;

const ANN: &[(&str, &str)] = &[("id", "7001"), ("email", "ann@shop.example")];
const BOB: &[(&str, &str)] = &[("id", "7002"), ("email", "bob@shop.example")];

fn lines(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).expect("json")).collect()
}

/// Of the lines of a replay: customer, step, decision.
fn decided(text: &str) -> BTreeSet<String> {
    let word = |line: &Value, name: &str| line[name].as_str().unwrap_or_default().to_owned();
    let line = |line: Value| {
        let [customer, step, decision] =
            ["customer", "step", "decision"].map(|name| word(&line, name));
        format!("{customer} {step} {decision}")
    };
    lines(text).into_iter().map(line).collect()
}

#[test]
fn topics_are_replayed_up_to_their_ends() {
    let site = Site::new(2, &[CART], "");
    let web = [
        ("a", consent("1", ANN)),
        ("b", consent("2", BOB)),
        ("a", cart_add("3", ANN, "c1")),
        ("b", cart_add("4", BOB, "c2")),
        ("c", "no event".to_owned()),
    ];
    site.sends(&site.web, &web);
    site.sends(&site.office, &[("b", order("5", BOB, "o1"))]);
    let until = crate::worker::shop::now().plus_ms(60_000).to_string();
    let all = ["replay", "--topic", &site.web, &site.office, "--until", &until];
    let replayed = site.done(&all);
    let expected: BTreeSet<String> = ["7001 first send", "7001 second send"].map(Into::into).into();
    assert_eq!(decided(&replayed.stdout), expected, "{}", replayed.stderr);
    assert!(replayed.stderr.contains(&format!("{}/", site.web)), "{}", replayed.stderr);
    let again = site.done(&[&all[..], &["--as-appended"]].concat());
    assert_eq!(decided(&again.stdout), expected, "{}", again.stderr);
    // Without the order that the office knew of, Bob is reminded, too.
    let web = site.done(&["replay", "--topic", &site.web, "--until", &until, "--from", "-1d"]);
    assert_eq!(decided(&web.stdout).len(), 4, "{}", web.stdout);
    // Nothing is that new, or so old.
    for bounds in [["--from", "1000000"], ["--to", "0"]] {
        let none = site.done(&[&["replay", "--topic", &site.web][..], &bounds].concat());
        assert_eq!(none.stdout, "", "{bounds:?}: {}", none.stderr);
    }
    let unknown = site.run(&["replay", "--topic", "no-such-topic"]);
    assert_eq!(unknown.code, Some(3), "{unknown:?}");
    assert!(unknown.stderr.contains("no-such-topic"), "{unknown:?}");
}

#[test]
fn a_record_of_topics_is_replayed_as_they_are_and_names_nobody() {
    let site = Site::new(2, &[CART], "");
    let web = [
        ("a", consent("1", ANN)),
        ("b", consent("2", BOB)),
        ("a", cart_add("3", ANN, "c1")),
        ("b", cart_add("4", BOB, "c2")),
        ("c", "no event".to_owned()),
    ];
    site.sends(&site.web, &web);
    site.sends(&site.office, &[("b", order("5", BOB, "o1"))]);
    let until = crate::worker::shop::now().plus_ms(60_000).to_string();
    let topics = ["--topic", &site.web, &site.office];
    let replayed = |args: &[&str]| {
        let done = site.done(&[&["replay", "--until", &until], args].concat());
        decided(&done.stdout)
    };
    let of_topics = replayed(&topics);
    let refused = site.run(&[&["record", "-o", "all.ndjson"], &topics[..]].concat());
    assert_eq!(refused.code, Some(2), "{refused:?}");
    assert!(refused.stderr.contains("--pseudonymise"), "{refused:?}");
    let all = ["record", "-o", "all.ndjson", "--with-personal-data"];
    let told = site.done(&[&all, &topics[..]].concat()).stderr;
    assert!(told.contains("5 events written to all.ndjson"), "{told}");
    assert!(told.contains("1 records could not be read"), "{told}");
    assert_eq!(replayed(&["--events", "all.ndjson"]), of_topics);
    site.write("key.txt", "a key for this test\n");
    for file in ["some.ndjson.gz", "some.ndjson.zst", "some.ndjson"] {
        site.done(&[&["record", "-o", file, "--pseudonymise", "@key.txt"], &topics[..]].concat());
        let told = replayed(&["--events", file]);
        assert_eq!(told.len(), of_topics.len(), "{told:?}");
        assert!(
            told.iter().all(|line| line.starts_with('x') && line.ends_with(" send")),
            "{told:?}"
        );
    }
    let text = site.read("some.ndjson");
    for name in ["\"7001\"", "\"7002\"", "ann@", "bob@", "shop.example"] {
        assert!(!text.contains(name), "{name} is in {text}");
    }
}

#[test]
fn dead_letters_go_to_a_topic_and_come_back() {
    let dead = in_runtime(kafka().topic("dead", 1, &[]));
    let site = Site::new(2, &[CART], "");
    site.kafka_too(&format!("dead_letters: {dead}"));
    let worker = site.worker();
    site.sends(&site.web, &[("a", consent("1", ANN)), ("a", "{ \"id\": \"x\" }".to_owned())]);
    let letters = "SELECT count(*) FROM dead_letters";
    site.wait_for("the dead letter", letters, |letters| letters == 1);
    let listed = lines(&site.done(&["dead-letters", "list", "--json"]).stdout);
    assert_eq!(listed.len(), 1, "{listed:?}");
    assert_eq!((&listed[0]["source"], &listed[0]["whole"]), (&"web".into(), &true.into()));
    let id = listed[0]["id"].to_string();
    let shown = site.done(&["dead-letters", "show", &id]).stdout;
    assert!(shown.contains("record     { \"id\": \"x\" }"), "{shown}");

    let told = kafka().records(&dead, 1);
    let (payload, headers) = &told[0];
    assert_eq!(payload, b"{ \"id\": \"x\" }");
    let header = |name: &str| {
        let found = headers.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.clone()).unwrap_or_default()
    };
    assert_eq!((header("source"), header("topic")), ("web".to_owned(), site.web.clone()));
    assert_eq!(header("offset"), listed[0]["position"].to_string());
    assert!(!header("reason").is_empty());

    // As it stands it is written to stdout; sent again it fails again, as another letter.
    let printed = site.done(&["dead-letters", "retry", &id]);
    assert_eq!(printed.stdout, "{ \"id\": \"x\" }\n", "{printed:?}");
    site.done(&["dead-letters", "retry", "--source", "web", "--send"]);
    site.wait_for("it to fail again", letters, |letters| letters == 2);
    let once = site.run(&["dead-letters", "retry", &id, "--send"]);
    assert_eq!(once.code, Some(3), "{once:?}");
    let left = lines(&site.done(&["dead-letters", "list", "--json"]).stdout);
    assert_eq!(left.len(), 1, "{left:?}");
    assert_ne!(left[0]["id"].to_string(), id);
    assert_eq!(lines(&site.done(&["dead-letters", "list", "--json", "--all"]).stdout).len(), 2);
    worker.stops();
}

#[test]
fn what_came_by_http_and_can_not_be_read_is_kept_and_comes_back() {
    let dead = in_runtime(kafka().topic("dead", 1, &[]));
    let site = Site::new(2, &[CART], "");
    site.kafka_too(&format!("dead_letters: {dead}"));
    // The shop sends CloudEvents, and the configuration says that they are XDM.
    let right = site.read("waypost.yaml");
    let wrong = right.replacen("web: { format: cloudevents", "web: { format: xdm", 1);
    assert_ne!(wrong, right);
    site.write("waypost.yaml", &wrong);
    let worker = site.worker();
    let cart = cart_add("2", ANN, "c1");
    let body = format!("{}\n{cart}", consent("1", ANN));
    // Sent twice it came twice.
    for letters in [2, 4] {
        let (status, answer) = worker.post("/events/web", body.as_bytes());
        assert_eq!(status, 400, "{answer}");
        assert_eq!(site.count("SELECT count(*) FROM dead_letters"), letters);
    }
    let listed = lines(&site.done(&["dead-letters", "list", "--json"]).stdout);
    let places: Vec<_> = listed.iter().map(|one| (&one["partition"], &one["position"])).collect();
    let none = &Value::Null;
    assert_eq!(places, [(none, &2.into()), (none, &1.into())].repeat(2), "{listed:?}");
    let table = site.done(&["dead-letters", "list"]).stdout;
    assert!(table.contains("web/http/2"), "{table}");
    let told = kafka().records(&dead, 4);
    let (payload, headers) = &told[1];
    assert_eq!(payload, cart.as_bytes());
    let names: Vec<&str> = headers.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["reason", "source", "topic", "whole", "line"]);
    let metrics = crate::worker::shop::get(worker.url(), "/metrics").expect("an answer").1;
    assert!(metrics.contains("waypost_dead_letters_total{source=\"web\"} 4\n"), "{metrics}");
    worker.stops();

    site.write("waypost.yaml", &right);
    let worker = site.worker();
    site.done(&["dead-letters", "retry", "--source", "web", "--send"]);
    site.wait_for("the mails", "SELECT count(*) FROM messages", |messages| messages == 2);
    assert_eq!(lines(&site.done(&["dead-letters", "list", "--json"]).stdout).len(), 0);
    worker.stops();
}
