//! Changed journeys: a release starts at a time in the log, and people keep what they started with.

use super::events::{cart_add, consent, order, plain};
use super::shop::Shop;
use super::{CART, THANKS};

const ANN: &[(&str, &str)] = &[("id", "7001"), ("email", "ann@shop.example")];
const BOB: &[(&str, &str)] = &[("id", "7002"), ("email", "bob@shop.example")];

const CONTROLS: &str = "SELECT count(*) FROM controls";
const TEMPLATES: &str = "SELECT coalesce(group_concat(name || ' ' || template, ', '), '') FROM (SELECT * FROM messages ORDER BY name, seq)";

fn templates(shop: &Shop) -> String {
    shop.text("data/state.db", TEMPLATES)
}

#[test]
fn people_keep_the_structure_they_started_with() {
    let shop = Shop::new(4, &[CART, THANKS]);
    let worker = shop.start();
    worker.takes(&[consent("1", ANN), consent("2", BOB), cart_add("3", ANN, "c1")].join("\n"));
    shop.wait_until_applied();
    worker.stops();
    // The second mail goes, the first is another.
    let changed = CART.1.replace("abandoned-cart/first", "abandoned-cart/changed");
    let (before, _) = changed.split_once("  - wait: 2s").expect("the second wait");
    shop.write("journeys/abandoned-cart.yaml", before);
    let worker = shop.start();
    assert!(worker.said().contains("2 journeys in force from"), "{}", worker.said());
    assert_eq!(shop.count("data/log.db", CONTROLS), 2);
    shop.wait_until_applied();
    worker.takes(&cart_add("4", BOB, "c2"));
    shop.wait_for("three mails", "SELECT count(*) FROM messages", |count| count == 3);
    shop.wait_until_applied();
    worker.stops();
    assert_eq!(
        templates(&shop),
        "7001 abandoned-cart/first, 7001 abandoned-cart/second, 7002 abandoned-cart/changed"
    );
    shop.verified();
    let added = shop.path("templates/abandoned-cart/changed");
    std::fs::remove_dir_all(added).expect("the template of the change");
    // Back to what it was: in force again, as a release that the log has already.
    shop.write("journeys/abandoned-cart.yaml", CART.1);
    shop.start().stops();
    assert_eq!(shop.count("data/log.db", CONTROLS), 3);
    assert_eq!(shop.count("data/log.db", "SELECT count(*) FROM releases"), 2);
    shop.verified();
}

#[test]
fn a_restart_without_changes_adds_no_release() {
    let shop = Shop::new(1, &[CART]);
    for _ in 0..3 {
        let said = shop.start().stops();
        assert!(!said.contains("@"), "{said}");
        assert_eq!(shop.count("data/log.db", CONTROLS), 1);
    }
    // What all journeys share is part of a release; how the worker runs is not.
    shop.configure(1, "cache_bytes: 1 MB\n");
    shop.start().stops();
    assert_eq!(shop.count("data/log.db", CONTROLS), 1);
    shop.configure(1, "limits: [ { at_most: 3, per: 7 days } ]\n");
    shop.start().stops();
    assert_eq!(shop.count("data/log.db", CONTROLS), 2);
    shop.verified();
}

#[test]
fn a_journey_that_is_taken_away_strands_nobody_and_a_draft_starts_nobody() {
    let shop = Shop::new(1, &[CART, THANKS]);
    let draft = THANKS.1.replace("journey: thanks", "journey: draft\nstatus: draft");
    shop.write("journeys/draft.yaml", &draft);
    let worker = shop.start();
    assert!(worker.said().contains("2 journeys in force"), "{}", worker.said());
    worker.takes(&[consent("1", ANN), cart_add("2", ANN, "c1"), consent("3", BOB)].join("\n"));
    shop.wait_until_applied();
    worker.stops();
    std::fs::remove_file(shop.path("journeys/abandoned-cart.yaml")).expect("it was there");
    let worker = shop.start();
    shop.wait_until_applied();
    worker.takes(&[cart_add("4", BOB, "c2"), order("5", BOB, "o1")].join("\n"));
    let messages = "SELECT count(*) FROM messages";
    shop.wait_for("Ann's two mails and Bob's thanks", messages, |count| count == 3);
    shop.wait_until_applied();
    worker.stops();
    assert_eq!(
        templates(&shop),
        "7001 abandoned-cart/first, 7001 abandoned-cart/second, 7002 thanks/first"
    );
    shop.verified();
}

#[test]
fn an_order_still_stops_a_run_of_a_journey_that_is_gone() {
    let shop = Shop::new(4, &[CART, THANKS]);
    let worker = shop.start();
    worker.takes(&[consent("1", ANN), cart_add("2", ANN, "c1")].join("\n"));
    shop.wait_until_applied();
    drop(worker);
    std::fs::remove_file(shop.path("journeys/abandoned-cart.yaml")).expect("it was there");
    let worker = shop.start();
    worker.takes(&order("3", ANN, "o1"));
    worker.takes(&plain("4", "page.viewed", ANN));
    let thanks = "SELECT count(*) FROM messages WHERE journey = 'thanks'";
    shop.wait_for("the thanks", thanks, |count| count == 1);
    worker.stops();
    let sent =
        "SELECT count(*) FROM messages WHERE journey = 'abandoned-cart' AND status = 'decided'";
    assert_eq!(shop.count("data/state.db", sent), 0);
    shop.verified();
}

#[test]
fn mistakes_in_journeys_are_shown_and_nothing_is_started() {
    let shop = Shop::new(1, &[CART, THANKS]);
    shop.start().stops();
    let mut bomb = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x]\n");
    for level in 1..12 {
        let alias = vec![format!("*a{}", level - 1); 9].join(", ");
        bomb.push_str(&format!("a{level}: &a{level} [{alias}]\n"));
    }
    let misspelt = CART.1.replace("stops_when", "stop_when");
    for (text, words) in [
        (bomb.as_str(), &["bomb.yaml:1", "the journeys have mistakes"][..]),
        (&misspelt, &["bomb.yaml:6", "stops_when"]),
        ("journey: \u{0}", &["bomb.yaml:1"]),
    ] {
        shop.write("journeys/bomb.yaml", text);
        shop.refuses(3, words);
        let check = shop.run(&["check"]);
        assert_eq!(check.code, Some(1), "{}", check.stderr);
    }
    std::fs::write(shop.path("journeys/bomb.yaml"), b"journey: \xff").expect("a file");
    shop.refuses(3, &["bomb.yaml", "UTF-8", "byte 9"]);
    assert_eq!(shop.count("data/log.db", CONTROLS), 1);
    std::fs::remove_file(shop.path("journeys/bomb.yaml")).expect("it was there");
    shop.start().stops();
    shop.verified();
}
