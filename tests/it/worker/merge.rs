//! Customers who turn out to be one, across lanes; and customers who are deleted.

use serde_json::json;

use super::events::{cart_add, consent, customer, event, order, plain};
use super::shop::{Shop, Worker};
use super::{CART, THANKS};

/// Enough people that each pair of lanes meets.
const PEOPLE: usize = 24;
/// Of how many messages each status is.
const SENT: &str =
    "SELECT count(*) FROM messages WHERE status = 'decided' AND journey = 'abandoned-cart'";

struct Person {
    id: String,
    email: String,
    device: String,
}

impl Person {
    fn new(number: usize) -> Self {
        Self {
            id: format!("70{number}"),
            email: format!("p{number}@shop.example"),
            device: format!("device-{number}"),
        }
    }

    fn account(&self) -> [(&str, &str); 2] {
        [("id", &self.id), ("email", &self.email)]
    }

    fn device(&self) -> [(&str, &str); 1] {
        [("device", &self.device)]
    }

    fn sign_in(&self) -> String {
        let [id, email] = self.account();
        plain(&format!("sign-in {}", self.id), "customer.signed_in", &[id, email, self.device()[0]])
    }

    fn cart(&self) -> String {
        cart_add(&format!("cart {}", self.id), &self.device(), &format!("c-{}", self.id))
    }

    fn consent(&self) -> String {
        consent(&format!("consent {}", self.id), &self.account())
    }

    /// By telephone: the shop knows the address only.
    fn order(&self) -> String {
        order(&format!("order {}", self.id), &self.account()[1..], &format!("o-{}", self.id))
    }
}

/// Posts one event of each person.
fn each(worker: &Worker, people: &[Person], event: impl Fn(&Person) -> String) {
    worker.takes(&people.iter().map(event).collect::<Vec<_>>().join("\n"));
}

fn people() -> Vec<Person> {
    (0..PEOPLE).map(Person::new).collect()
}

#[test]
fn a_cart_of_a_device_is_reminded_of_under_the_account() {
    let shop = Shop::new(4, &[CART]);
    let worker = shop.start();
    // Decided messages wait.
    assert_eq!(shop.run(&["sending", "hold"]).code, Some(0));
    let people = people();
    each(&worker, &people, Person::consent);
    each(&worker, &people, Person::cart);
    each(&worker, &people, Person::sign_in);
    shop.wait_for("all first mails", SENT, |count| count >= PEOPLE as i64);
    each(&worker, &people, Person::order);
    shop.wait_until_applied();
    worker.stops();
    shop.verified();
    // The order came before the second mail was due, and before anybody handed the first one over.
    let taken_back =
        "SELECT count(*) FROM messages WHERE status = 'cancelled' AND reason = 'stopped'";
    assert_eq!(shop.count("data/state.db", taken_back), PEOPLE as i64);
    assert_eq!(shop.count("data/state.db", "SELECT count(*) FROM messages"), PEOPLE as i64);
    let pointers = "SELECT count(*) FROM trace WHERE kind = 'merged'";
    assert_eq!(shop.count("data/state.db", pointers), 2 * PEOPLE as i64);
    assert_eq!(shop.count("data/state.db", "SELECT count(*) FROM outbox"), 0);
}

#[test]
fn an_order_under_the_address_stops_the_cart_of_the_device_in_both_orders() {
    for order_first in [true, false] {
        let shop = Shop::new(4, &[CART]);
        let worker = shop.start();
        let people = people();
        each(&worker, &people, Person::consent);
        each(&worker, &people, Person::cart);
        if order_first {
            each(&worker, &people, Person::order);
            each(&worker, &people, Person::sign_in);
        } else {
            each(&worker, &people, Person::sign_in);
            each(&worker, &people, Person::order);
        }
        let ended = "SELECT count(*) FROM trace WHERE kind = 'stopped' AND reason = 'stopped'";
        shop.wait_for("all runs to stop", ended, |count| count >= PEOPLE as i64);
        // No timer is left that could still send: the runs are over.
        shop.wait_until_applied();
        worker.stops();
        shop.verified();
        assert_eq!(shop.count("data/state.db", SENT), 0, "order first: {order_first}");
    }
}

/// Whether the bytes of a file of a stopped worker, or of its write-ahead log, hold a text.
fn holds(shop: &Shop, file: &str, text: &str) -> bool {
    let bytes = std::fs::read(shop.path(file)).expect("the file");
    let log = std::fs::read(shop.path(&format!("{file}-wal"))).unwrap_or_default();
    let within = |bytes: &[u8]| bytes.windows(text.len()).any(|window| window == text.as_bytes());
    within(&bytes) || within(&log)
}

#[test]
fn a_deleted_account_is_erased_everywhere_and_nothing_rebuilds_it() {
    let shop = Shop::new(4, &[CART, THANKS]);
    let worker = shop.start();
    let people = people();
    each(&worker, &people, Person::consent);
    // A broken record that names the person: a dead letter with an address in it.
    for person in &people {
        let (status, _) =
            worker.post("/events", format!("{{\"{}\", broken", person.email).as_bytes());
        assert_eq!(status, 400);
    }
    let other = worker.post("/events", b"{\"someone-else@shop.example\", broken");
    assert_eq!(other.0, 400);
    each(&worker, &people, Person::cart);
    let early = super::shop::now();
    each(&worker, &people, Person::order);
    each(&worker, &people, Person::sign_in);
    let thanks = "SELECT count(*) FROM messages WHERE journey = 'thanks'";
    shop.wait_for("the thanks", thanks, |count| count == PEOPLE as i64);
    // By the shop's id alone: the addresses are known from the state.
    each(&worker, &people, |person| {
        plain(&format!("delete {}", person.id), "customer.deleted", &person.account()[..1])
    });
    // What happened before and comes after says nothing any more.
    each(&worker, &people, |person| {
        let data =
            json!({ "customer": customer(&person.account()), "profile": { "first_name": "Ann" } });
        super::events::event_at(&format!("late {}", person.id), "customer.updated", early, data)
    });
    shop.wait_until_applied();
    let said = worker.stops();
    assert!(!said.contains("@shop"), "{said}");
    for (file, left) in [
        ("data/state.db", "SELECT count(*) FROM messages WHERE data IS NOT NULL OR name <> ''"),
        (
            "data/state.db",
            "SELECT count(*) FROM trace WHERE detail IS NOT NULL AND kind NOT IN ('merged')",
        ),
        ("data/state.db", "SELECT count(*) FROM states WHERE instr(state, CAST('@shop' AS BLOB))"),
        (
            "data/log.db",
            "SELECT count(*) FROM dead_letters WHERE instr(payload, CAST('\"p' AS BLOB))",
        ),
    ] {
        assert_eq!(shop.count(file, left), 0, "{left}");
    }
    let kept = "SELECT count(*) FROM dead_letters WHERE payload IS NOT NULL";
    assert_eq!(shop.count("data/log.db", kept), 1, "only that of somebody else");
    // Nor do the files still hold what no query gives any more. What the journeys knew of the
    // people stands in the state, and the broken records in the log beside its own records.
    for person in &people {
        assert!(!holds(&shop, "data/state.db", &person.email), "{}", person.email);
        let broken = format!("{{\"{}\", broken", person.email);
        assert!(!holds(&shop, "data/log.db", &broken), "{broken}");
    }
    assert!(holds(&shop, "data/log.db", "{\"someone-else@shop.example\", broken"));
    let report = shop.verified();
    assert_eq!(report["erased"], shop.count("data/state.db", "SELECT count(*) FROM messages"));
    assert!(report["erased"].as_i64().is_some_and(|erased| erased >= PEOPLE as i64));
    let why = shop.run(&["why", "p3@shop.example"]);
    assert_eq!(why.code, Some(3), "{}", why.stdout);
    assert!(why.stderr.contains("nobody is known"), "{}", why.stderr);
}

#[test]
fn a_deletion_right_after_a_sign_in_leaves_nothing_behind() {
    let shop = Shop::new(4, &[CART]);
    let worker = shop.start();
    let people = people();
    each(&worker, &people, Person::consent);
    each(&worker, &people, Person::cart);
    // In one request: the state that the sign-in hands over is on its way when its receiver goes.
    let together: Vec<String> = people
        .iter()
        .flat_map(|person| {
            let deleted =
                plain(&format!("delete {}", person.id), "customer.deleted", &person.account());
            [person.sign_in(), deleted]
        })
        .collect();
    worker.takes(&together.join("\n"));
    shop.wait_until_applied();
    let waiting = "SELECT count(*) FROM outbox";
    shop.wait_for("the outbox to empty", waiting, |count| count == 0);
    shop.wait_until_applied();
    worker.stops();
    shop.verified();
    let left = "SELECT count(*) FROM states WHERE instr(state, CAST('device' AS BLOB)) OR instr(state, CAST('@shop' AS BLOB))";
    assert_eq!(shop.count("data/state.db", left), 0);
    let runs = "SELECT count(*) FROM messages WHERE status = 'decided'";
    assert_eq!(shop.count("data/state.db", runs), 0);
    // A new account of the same name is a new customer.
    let worker = shop.start();
    each(&worker, &people[..1], |person| {
        event("new", "customer.created", json!({ "customer": customer(&person.account()) }))
    });
    shop.wait_until_applied();
    worker.stops();
    assert_eq!(shop.run(&["why", "p0@shop.example"]).code, Some(0));
    shop.verified();
}

#[test]
fn messages_decided_under_another_name_are_erased_too() {
    let shop = Shop::new(4, &[THANKS]);
    let worker = shop.start();
    let people = people();
    // The shop knows an account without an address, and an address that ordered by telephone.
    each(&worker, &people, |person| {
        plain(&format!("created {}", person.id), "customer.created", &person.account()[..1])
    });
    each(&worker, &people, Person::order);
    let thanks = "SELECT count(*) FROM messages WHERE data IS NOT NULL";
    shop.wait_for("the thanks", thanks, |count| count == PEOPLE as i64);
    let together: Vec<String> = people
        .iter()
        .flat_map(|person| {
            let delete = format!("delete {}", person.id);
            [person.sign_in(), plain(&delete, "customer.deleted", &person.account()[..1])]
        })
        .collect();
    worker.takes(&together.join("\n"));
    shop.wait_for("all of it to go", thanks, |count| count == 0);
    let sent = "SELECT count(*) FROM messages WHERE status = 'decided'";
    shop.wait_for("nothing to be sent", sent, |count| count == 0);
    worker.stops();
    assert_eq!(shop.verified()["erased"], PEOPLE as i64);
}
