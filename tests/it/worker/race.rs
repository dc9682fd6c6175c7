//! Unsubscribes, orders and sends of the same messages at one time: what was stopped in time is not
//! handed over, and each message ends once.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::Value;
use waypost::deliver::Link;
use waypost::model::{CustomerId, MessageChannel};
use waypost::store::{Listing, SqliteLedger, address_hash};

use super::events::{cart_add, consent, order};
use super::sending::{COMPLETE, wait_until};
use super::shop::{Shop, in_runtime, post, wait};
use crate::mail_server::{MailServer, TAKES};

/// One reminder of a cart that was quiet for a second.
const ONCE: (&str, &str) = (
    "reminder",
    "format: 1
journey: reminder
one_run_per: cart
starts_when: { event: cart.changed }
stops_when: [ { event: order.placed } ]
again: always
steps:
  - wait_quiet: 1s
  - email: reminder/first
",
);

const CUSTOMERS: usize = 240;
/// Requests of one kind at one time.
const AT_ONCE: usize = 4;

/// What a customer does while the reminders go out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Does {
    /// Nothing.
    Waits,
    /// Unsubscribes before the first reminder can go.
    UnsubscribesBefore,
    /// Unsubscribes.
    Unsubscribes,
    /// Orders.
    Orders,
    /// Both.
    Both,
}

fn does(customer: usize) -> Does {
    use Does::{Both, Orders, Unsubscribes, UnsubscribesBefore, Waits};
    [Waits, UnsubscribesBefore, Unsubscribes, Orders, Unsubscribes, Both][customer % 6]
}

fn email(customer: usize) -> String {
    format!("c{customer}@shop.example")
}

/// An event of a customer.
fn of(customer: usize, event: impl Fn(&[(&str, &str)]) -> String) -> String {
    let (id, email) = (customer.to_string(), email(customer));
    event(&[("id", &id), ("email", &email)])
}

/// Notes the order in which the store's transactions do what matters here.
const NOTED: &str = "
    CREATE TABLE noted (place INTEGER PRIMARY KEY AUTOINCREMENT, what TEXT, id BLOB);
    CREATE TRIGGER noted_start AFTER UPDATE OF status ON deliveries WHEN new.status = 'started'
        BEGIN INSERT INTO noted (what, id) VALUES ('start', new.message); END;
    CREATE TRIGGER noted_end AFTER UPDATE OF status ON deliveries
        WHEN new.status NOT IN ('waiting', 'claimed', 'started', 'dot_sent')
        BEGIN INSERT INTO noted (what, id) VALUES ('end', new.message); END;
    CREATE TRIGGER noted_stop AFTER UPDATE OF status ON messages WHEN new.status = 'cancelled'
        BEGIN INSERT INTO noted (what, id) VALUES ('stop', new.message); END;
    CREATE TRIGGER noted_suppression AFTER INSERT ON suppressions
        BEGIN INSERT INTO noted (what, id) VALUES ('suppression', new.address); END;";

/// Does something for each of many, several at one time.
fn at_once<T: Sync>(all: &[T], each: impl Fn(&T) + Sync) {
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                while let Some(one) = all.get(next.fetch_add(1, Ordering::SeqCst)) {
                    each(one);
                }
            });
        }
    });
}

/// A customer with a reminder: the message's id, the hash of the address, and the path of the link
/// that unsubscribes.
struct Reminded {
    message: Vec<u8>,
    address: Vec<u8>,
    link: String,
}

fn reminded(shop: &Shop) -> BTreeMap<usize, Reminded> {
    let sql = "SELECT name, customer, message FROM messages";
    let rows: Vec<(String, Vec<u8>, Vec<u8>)> = shop.rows("data/state.db", sql);
    let key = in_runtime(async {
        let ledger = SqliteLedger::open(&shop.path("data/state.db")).await.expect("the store");
        ledger.secret_key().await.expect("its key")
    });
    let reminded = rows.into_iter().map(|(name, id, message)| {
        let customer: usize = name.parse().expect("a number");
        let channel = MessageChannel::Email;
        let address = address_hash(&key, channel, &email(customer));
        let id = CustomerId::from_bytes(id.try_into().expect("an id"));
        let link = Link { channel, customer: id, address, topic: None };
        let link = format!("/u/{}", link.seal(&key));
        (customer, Reminded { message, address: address.to_vec(), link })
    });
    reminded.collect()
}

#[test]
fn what_is_stopped_in_time_is_not_handed_over_and_each_message_ends_once() {
    let server = MailServer::start(TAKES);
    let shop = Shop::new(2, &[ONCE]);
    let pages = crate::support::free_port();
    let configuration = format!(
        "{COMPLETE}deliver: {{ email: smtp, only_to: [ \"@shop.example\" ] }}\n\
         smtp: {{ host: 127.0.0.1, port: {}, tls: none }}\n",
        server.port()
    );
    shop.configure(2, &configuration);
    let written = std::fs::read_to_string(shop.path("waypost.yaml")).expect("the file");
    let written = written.replace("public: 127.0.0.1:0", &format!("public: 127.0.0.1:{pages}"));
    shop.write("waypost.yaml", &written);
    let worker = shop.start();
    let pages = format!("http://127.0.0.1:{pages}");
    assert_eq!(shop.run(&["sending", "hold"]).code, Some(0));
    let everybody: Vec<usize> = (0..CUSTOMERS).collect();
    let events: Vec<String> = everybody
        .iter()
        .flat_map(|n| {
            [
                of(*n, |of| consent(&format!("y{n}"), of)),
                of(*n, |of| cart_add(&format!("c{n}"), of, &format!("cart{n}"))),
            ]
        })
        .collect();
    worker.takes(&events.join("\n"));
    wait_until(&shop, "waiting", i64::try_from(CUSTOMERS).expect("few"));
    let reminded = reminded(&shop);
    assert_eq!(reminded.len(), CUSTOMERS);
    shop.change("data/state.db", NOTED);
    let unsubscribes = |customer: usize| {
        let answer = post(&pages, &reminded[&customer].link, b"List-Unsubscribe=One-Click", None);
        assert_eq!(answer, Some((200, "unsubscribed\n".to_owned())), "{customer}");
    };
    let those = |wanted: &dyn Fn(Does) -> bool| -> Vec<usize> {
        everybody.iter().copied().filter(|customer| wanted(does(*customer))).collect()
    };
    let before = those(&|does| does == Does::UnsubscribesBefore);
    at_once(&before, |customer| unsubscribes(*customer));

    // Everything at one time.
    let unsubscribing = those(&|does| matches!(does, Does::Unsubscribes | Does::Both));
    let ordering = those(&|does| matches!(does, Does::Orders | Does::Both));
    std::thread::scope(|scope| {
        assert_eq!(shop.run(&["sending", "release"]).code, Some(0));
        wait("the first mail", || !server.mails().is_empty());
        scope.spawn(|| at_once(&unsubscribing, |customer| unsubscribes(*customer)));
        scope.spawn(|| {
            at_once(&ordering, |n| {
                worker.takes(&of(*n, |of| order(&format!("o{n}"), of, &format!("order{n}"))));
            });
        });
    });
    let open = "SELECT count(*) FROM deliveries WHERE status NOT IN ('sent', 'cancelled')";
    shop.wait_for("each message to end", open, |count| count == 0);
    shop.wait_until_applied();
    let untold = "SELECT count(*) FROM messages WHERE status = 'decided' AND outcome IS NULL";
    shop.wait_for("the log to tell of each", untold, |count| count == 0);
    wait("the outbox to be empty", || {
        shop.count("data/state.db", "SELECT count(*) FROM outbox") == 0
    });

    judge(&shop, &server, &reminded);
    worker.stops();
    shop.verified();
}

/// Holds what the server got against what was answered, and against the order of transactions.
fn judge(shop: &Shop, server: &MailServer, reminded: &BTreeMap<usize, Reminded>) {
    let mut got: BTreeMap<String, usize> = BTreeMap::new();
    for line in server.heard("RCPT TO:<") {
        *got.entry(line["RCPT TO:<".len()..line.len() - 1].to_owned()).or_default() += 1;
    }
    assert_eq!(server.mails().len(), got.values().sum::<usize>(), "each was handed over whole");
    let list = shop.run(&["messages", "list", "--limit", "1000", "--json"]).stdout;
    let mut ends: BTreeMap<&str, usize> = BTreeMap::new();
    for line in list.lines() {
        let line: Value = serde_json::from_str(line).expect("JSON");
        let text = |name: &str| line[name].as_str().unwrap_or_default();
        let customer: usize = text("customer").parse().expect("a number");
        let (status, reason) = (text("status"), text("reason"));
        let times = got.get(&email(customer)).copied().unwrap_or_default();
        let end = match (status, reason) {
            ("sent", _) => "sent",
            ("cancelled", "suppressed: unsubscribed") => "suppressed",
            ("cancelled", "stopped") => "stopped",
            _ => panic!("an end of its own: {line}"),
        };
        *ends.entry(end).or_default() += 1;
        assert_eq!(times, usize::from(end == "sent"), "{line}");
        let outcome = text("outcome");
        let told = match end {
            "sent" => outcome == "email.sent",
            "suppressed" => outcome == "email.cancelled",
            _ => outcome.is_empty(),
        };
        assert!(told, "what the log tells: {line}");
        let fits = match does(customer) {
            Does::Waits => end == "sent",
            Does::UnsubscribesBefore => end == "suppressed",
            Does::Unsubscribes => end != "stopped",
            Does::Orders => end != "suppressed",
            Does::Both => true,
        };
        assert!(fits, "{:?}: {line}", does(customer));
    }
    assert_eq!(ends.values().sum::<usize>(), CUSTOMERS, "{ends:?}");

    // An unsubscribe is answered once its transaction is through, so a start that comes after it in
    // the order of transactions, or after a stop, is one too many.
    let state = "data/state.db";
    for (rule, sql) in [
        (
            "no start after a stop",
            "SELECT count(*) FROM noted AS start JOIN noted AS stop ON stop.id = start.id
             WHERE start.what = 'start' AND stop.what = 'stop' AND start.place > stop.place",
        ),
        (
            "one start, one end",
            "SELECT count(*) FROM (SELECT 1 FROM noted WHERE what IN ('start', 'end')
             GROUP BY what, id HAVING count(*) > 1)",
        ),
    ] {
        assert_eq!(shop.count(state, sql), 0, "{rule}");
    }
    let noted: Vec<(String, Vec<u8>, i64)> = shop.rows(state, "SELECT what, id, place FROM noted");
    let place = |what: &str, id: &[u8]| {
        let found = noted.iter().find(|(noted, of, _)| noted == what && of == id);
        found.map(|(_, _, place)| *place)
    };
    for (customer, Reminded { message, address, .. }) in reminded {
        let (start, suppression) = (place("start", message), place("suppression", address));
        if let (Some(start), Some(suppression)) = (start, suppression) {
            assert!(start < suppression, "{customer} was written to after the unsubscribe");
        }
        assert_eq!(start.is_some(), got.contains_key(&email(*customer)), "{customer}");
    }
}
