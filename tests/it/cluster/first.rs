//! What one worker does: events in, mails out, nothing differs.

use super::site::Site;
use crate::worker::CART;
use crate::worker::events::{cart_add, consent, order};

const SENT: &str = "SELECT count(*) FROM deliveries WHERE status = 'sent'";

#[test]
fn a_cart_is_reminded_of_and_an_order_stops_that() {
    // Long enough for the order to come before the reminder is due.
    let journey = CART.1.replace("wait_quiet: 1s", "wait_quiet: 6s");
    let site = Site::new(4, &[(CART.0, &journey)], "");
    let worker = site.worker();
    let ann = [("id", "7001"), ("email", "ann@shop.example")];
    let bob = [("id", "7002"), ("email", "bob@shop.example")];
    let web = [
        ("a", consent("1", &ann)),
        ("b", consent("2", &bob)),
        ("a", cart_add("3", &ann, "c1")),
        ("b", cart_add("4", &bob, "c2")),
    ];
    site.sends(&site.web, &web);
    site.sends(&site.office, &[("b", order("5", &bob, "o1"))]);
    site.wait_for("both mails to Ann", SENT, |sent| sent == 2);
    assert_eq!(site.count("SELECT count(*) FROM messages"), 2);
    worker.stops();
    let report = site.verified();
    assert_eq!(report["messages"], 2, "{report}");
}
