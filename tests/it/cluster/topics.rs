//! Topics that commands read and write: dead letters come back.

use serde_json::Value;

use super::site::Site;
use crate::support::kafka;
use crate::worker::CART;
use crate::worker::events::consent;
use crate::worker::shop::in_runtime;

const ANN: &[(&str, &str)] = &[("id", "7001"), ("email", "ann@shop.example")];

fn lines(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).expect("json")).collect()
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
