//! Ingest is away for a while: nothing is sent blind, and what piled up counts.

use super::site::Site;
use crate::worker::events::{cart_add, consent, order};
use crate::worker::shop::{now, wait};

const REMINDER: (&str, &str) = (
    "abandoned-cart",
    "format: 1
journey: abandoned-cart
one_run_per: cart
starts_when: { event: cart.changed }
stops_when: [ { event: order.placed } ]
steps:
  - wait_quiet: 4s
  - email: abandoned-cart/first
",
);

const MESSAGES: &str = "SELECT count(*) FROM messages";

#[test]
fn without_ingest_nothing_is_sent_and_then_the_order_that_piled_up_counts() {
    let site = Site::new(4, &[REMINDER], "");
    let ingest = site.worker_of(&["--role", "ingest"]);
    let decides = site.worker_of(&["--role", "decide,deliver"]);
    let (ann, bob) = ([("email", "ann@shop.example")], [("email", "bob@shop.example")]);
    let carts = [
        ("a", consent("1", &ann)),
        ("b", consent("2", &bob)),
        ("a", cart_add("3", &ann, "c1")),
        ("b", cart_add("4", &bob, "c2")),
    ];
    site.sends(&site.web, &carts);
    let started = "SELECT count(*) FROM trace WHERE kind = 'started'";
    site.wait_for("both runs", started, |runs| runs == 2);
    ingest.kill();
    let due = now().plus_ms(4_000);
    site.sends(&site.office, &[("a", order("5", &ann, "o1"))]);
    // Nobody says any more how far time is known.
    wait("the reminders to be overdue", || now() > due.plus_ms(2_000));
    assert_eq!(site.count(MESSAGES), 0);
    let ingest = site.worker_of(&["--role", "ingest"]);
    let sent = "SELECT count(*) FROM deliveries WHERE status = 'sent'";
    site.wait_for("the mail to Bob", sent, |sent| sent == 1);
    let passed = format!("SELECT count(*) FROM lanes WHERE watermark < {}", now().ms());
    site.wait_for("time to go on", &passed, |lanes| lanes == 0);
    assert_eq!(site.count(MESSAGES), 1, "Ann had bought");
    ingest.stops();
    decides.stops();
    site.verified();
}
