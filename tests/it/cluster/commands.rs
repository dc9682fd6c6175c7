//! The commands on Kafka and Postgres: what is there is told, and sending is looked after.

use super::site::Site;
use crate::worker::CART;
use crate::worker::events::{cart_add, consent, order};

const ANN: &[(&str, &str)] = &[("id", "7001"), ("email", "ann@shop.example")];

#[test]
fn people_messages_and_journeys_are_told_of_and_sending_is_held() {
    let site = Site::new(2, &[CART], "");
    let told = site.done(&["sending", "hold", "--journey", "abandoned-cart"]).stderr;
    assert!(told.contains("held: journey abandoned-cart"), "{told}");
    let worker = site.worker();
    let web = [("a", consent("1", ANN)), ("a", cart_add("2", ANN, "c1"))];
    site.sends(&site.web, &web);
    site.wait_for("both messages", "SELECT count(*) FROM messages", |messages| messages == 2);
    let known = "SELECT count(*) FROM deliveries WHERE status = 'waiting'";
    assert_eq!(site.count(known), 2);

    let told = site.done(&["why", "ann@shop.example"]).stdout;
    assert!(told.contains("email an***@shop.example"), "{told}");
    assert!(told.contains("abandoned-cart"), "{told}");
    let told = site.done(&["why", "7001", "--journey", "abandoned-cart", "--json"]).stdout;
    assert!(told.lines().count() >= 3, "{told}");

    let listed = site.done(&["messages", "list", "--status", "waiting", "--json"]).stdout;
    let messages: Vec<serde_json::Value> =
        listed.lines().map(|line| serde_json::from_str(line).expect("json")).collect();
    assert_eq!(messages.len(), 2, "{listed}");
    let id = |at: usize| messages[at]["message"].as_str().expect("an id").to_owned();
    let shown = site.done(&["messages", "show", &id(0)]).stdout;
    assert!(shown.contains("customer   7001"), "{shown}");
    assert_eq!(site.done(&["messages", "cancel", &id(0)]).stderr, "cancelled\n");
    let resolved = site.run(&["messages", "resolve", &id(1), "--sent"]);
    assert_eq!(resolved.code, Some(3), "{resolved:?}");
    assert!(resolved.stderr.contains("the message is not in doubt"), "{resolved:?}");

    let told = site.done(&["sending", "status"]).stderr;
    assert!(told.contains("waiting       1") && told.contains("cancelled     1"), "{told}");
    site.done(&["sending", "release", "--journey", "abandoned-cart"]);
    let sent = "SELECT count(*) FROM deliveries WHERE status = 'sent'";
    site.wait_for("the other mail", sent, |sent| sent == 1);

    site.sends(&site.office, &[("a", order("3", ANN, "o1"))]);
    let reached = "SELECT count(*) FROM trace WHERE kind LIKE 'goal%'";
    site.wait_for("the goal", reached, |reached| reached > 0);
    let report = site.done(&["report", "abandoned-cart", "--json"]).stdout;
    let report: serde_json::Value = serde_json::from_str(&report).expect("json");
    assert_eq!((&report["started"], &report["goals"]), (&1.into(), &1.into()), "{report}");

    let preview = ["preview", "abandoned-cart/first", "--customer", "7001", "--as", "text"];
    let shown = site.done(&preview);
    assert!(shown.stderr.contains("with the data of email abandoned-cart/"), "{shown:?}");
    worker.stops();
}
