//! Ingest is away for a while: nothing is sent blind, and what piled up counts.

use serde_json::{Value, json};
use waypost::model::{HOUR_MS, MINUTE_MS, Timestamp};

use super::site::Site;
use crate::support::kafka;
use crate::worker::events::{cart_add, consent, customer, event_at, order};
use crate::worker::shop::{in_runtime, now, wait};

/// Reminds of a cart that was quiet for so long.
fn reminder(quiet: &str) -> String {
    format!(
        "format: 1
journey: abandoned-cart
one_run_per: cart
starts_when: {{ event: cart.changed }}
stops_when: [ {{ event: order.placed }} ]
steps:
  - wait_quiet: {quiet}
  - email: abandoned-cart/first
"
    )
}

const MESSAGES: &str = "SELECT count(*) FROM messages";

#[test]
fn without_ingest_nothing_is_sent_and_then_the_order_that_piled_up_counts() {
    let site = Site::new(4, &[("abandoned-cart", &reminder("4s"))], "");
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

/// More than ingest takes at a time, before the order.
const OTHERS: usize = 15_000;

#[test]
fn a_backlog_of_an_hour_is_worked_off_in_its_order() {
    let mut site = Site::new(4, &[("abandoned-cart", &reminder("30m"))], "");
    let begin = now().plus_ms(-HOUR_MS);
    // In force before all of it.
    let earlier = "WITH changed AS (UPDATE activations SET at = at - 7200000 RETURNING at)
        SELECT count(*) FROM changed";
    assert_eq!(site.count(earlier), 1);
    // The time of a record is what the producer says, until the topics are as a worker wants them.
    let by_producer = [("message.timestamp.type", "CreateTime")];
    (site.web, site.office) = in_runtime(async {
        (
            kafka().topic("web", 6, &by_producer).await,
            kafka().topic("office", 2, &by_producer).await,
        )
    });
    site.configure(4, "");
    let carts = ["ann", "bob"].map(|name| [yes(name, begin), cart(name, begin)]).concat();
    site.sends_of(&site.web, &carts, |_| begin);
    // What the back office told in the hour: the order among it comes after 20 minutes, behind
    // most of the rest.
    let minute = |place: usize| begin.plus_ms(place as i64 * 20 * MINUTE_MS / OTHERS as i64);
    let mut told: Vec<(&str, String)> =
        (0..OTHERS).map(|place| ("office", other(place, minute(place)))).collect();
    told.push(("office", bought("ann", minute(OTHERS))));
    site.sends_of(&site.office, &told, minute);
    site.sends_of(&site.office, &[("office", other(OTHERS + 1, now()))], |_| now());
    for topic in [&site.web, &site.office] {
        in_runtime(kafka().sets(topic, "message.timestamp.type", "LogAppendTime"));
    }

    let worker = site.worker();
    let passed = format!("SELECT count(*) FROM lanes WHERE watermark >= {}", now().ms());
    site.wait_for("time to go on", &passed, |lanes| lanes == 4);
    let reminded = site.pairs("SELECT 'due', at FROM messages");
    let due = begin.plus_ms(30 * MINUTE_MS).ms();
    assert_eq!(reminded, [("due".to_owned(), due)], "Bob, and not Ann, who had bought");
    let sent = "SELECT count(*) FROM deliveries WHERE status = 'sent'";
    site.wait_for("the mail to Bob", sent, |sent| sent == 1);
    worker.stops();
    site.verified();
}

type Record = (&'static str, String);

fn of(name: &str) -> Value {
    customer(&[("email", &format!("{name}@shop.example"))])
}

fn yes(name: &'static str, at: Timestamp) -> Record {
    let said = json!([{ "channel": "email", "status": "given" }]);
    let data = json!({ "customer": of(name), "consents": said });
    (name, event_at(&format!("y-{name}"), "consent.changed", at, data))
}

fn cart(name: &'static str, at: Timestamp) -> Record {
    let items = json!([{ "sku": "A", "price": "30", "currency": "EUR" }]);
    let data = json!({ "customer": of(name), "cart_id": name, "items": items, "channel": "web" });
    (name, event_at(&format!("c-{name}"), "cart.item_added", at, data))
}

fn bought(name: &str, at: Timestamp) -> String {
    let order = json!({ "id": name, "total": "30", "currency": "EUR" });
    let data = json!({ "customer": of(name), "order": order });
    event_at(&format!("o-{name}"), "order.placed", at, data)
}

fn other(number: usize, at: Timestamp) -> String {
    event_at(&format!("n-{number}"), "customer.updated", at, json!({ "customer": of("carl") }))
}
