//! The largest records that are taken: they go into the log, and none stops what comes behind it.

use serde_json::json;
use waypost::decode::RECORD_BYTES_MAX;

use super::site::Site;
use crate::worker::CART;
use crate::worker::events::{cart_add, consent, customer, event};

const ANN: &[(&str, &str)] = &[("email", "ann@shop.example")];
const LETTERS: &str = "SELECT count(*) FROM dead_letters";
const SENT: &str = "SELECT count(*) FROM deliveries WHERE status = 'sent'";

/// A cart of as many things as an event may list, in so many bytes of JSON or a little less.
fn cart_of(id: &str, bytes: usize) -> String {
    let of = |name: usize| {
        let things: Vec<_> = (0..1_000)
            .map(|number| json!({ "sku": number.to_string(), "name": "x".repeat(name) }))
            .collect();
        let data = json!({ "customer": customer(&[("email", "bob@shop.example")]),
            "cart_id": "large", "items": things, "channel": "web" });
        event(id, "cart.viewed", data)
    };
    of((bytes - of(0).len()) / 1_000)
}

#[test]
fn the_largest_record_goes_into_the_log() {
    let site = Site::new(4, &[CART], "");
    let worker = site.worker();
    let large = cart_of("1", RECORD_BYTES_MAX);
    assert!(large.len() > RECORD_BYTES_MAX - 1_000, "{}", large.len());
    // One key, so what comes behind it waits for it.
    let records = [("a", large), ("a", consent("2", ANN)), ("a", cart_add("3", ANN, "c1"))];
    site.sends(&site.web, &records);
    site.wait_for("the mail", SENT, |sent| sent >= 1);
    assert_eq!(site.count(LETTERS), 0);
    worker.stops();
    site.verified();
}

#[test]
fn what_is_too_large_for_the_log_is_a_dead_letter() {
    let site = Site::new(4, &[CART], "");
    let text = site.read("waypost.yaml");
    let small = text.replace("properties: { ", "properties: { message.max.bytes: 100000, ");
    assert_ne!(small, text);
    site.write("waypost.yaml", &small);
    let worker = site.worker();
    let large = cart_of("1", 500_000);
    let records = [("a", large), ("a", consent("2", ANN)), ("a", cart_add("3", ANN, "c1"))];
    site.sends(&site.web, &records);
    site.wait_for("the mail", SENT, |sent| sent >= 1);
    assert_eq!(site.count(LETTERS), 1);
    let told = site.pairs("SELECT reason, position FROM dead_letters");
    assert!(told[0].0.contains("message.max.bytes"), "{told:?}");
    worker.stops();
    site.verified();
}
