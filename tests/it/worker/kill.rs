//! Kill -9 at any moment loses and repeats nothing.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use waypost::log::{LogReader, ReadLog, Record};
use waypost::model::OWN_SOURCE;

use super::events::{cart_add, consent, order, plain};
use super::shop::{Shop, in_runtime, post};
use super::{CART, THANKS};

/// Clients that post at the same time.
const CLIENTS: u64 = 4;
/// The longest a worker lives, in milliseconds.
const LIFE_MS: u64 = 500;

#[test]
fn a_worker_killed_at_any_moment_loses_and_repeats_nothing() {
    killed_at_random(1, 5);
}

#[test]
fn four_lanes_killed_at_any_moment_lose_and_repeat_nothing() {
    killed_at_random(4, 5);
}

#[test]
fn many_kills_lose_and_repeat_nothing() {
    if crate::support::full("many_kills_lose_and_repeat_nothing", "60 kills take a minute") {
        killed_at_random(1, 30);
        killed_at_random(4, 30);
    }
}

fn killed_at_random(partitions: u32, kills: u32) {
    let shop = Shop::new(partitions, &[CART, THANKS]);
    let worker = shop.start();
    let url = Arc::new(Mutex::new(worker.url().to_owned()));
    let over = Arc::new(AtomicBool::new(false));
    let clients: Vec<_> = (0..CLIENTS)
        .map(|number| {
            let client = Client::new(number, u64::from(partitions), &url, &over);
            std::thread::spawn(move || client.run())
        })
        .collect();
    let mut random = Random(u64::from(kills + partitions));
    let mut worker = worker;
    for _ in 0..kills {
        // The moment of the kill is the point of the test; it is no waiting for something.
        std::thread::sleep(Duration::from_millis(random.below(LIFE_MS)));
        let said = worker.kill();
        assert!(!said.contains("error") && !said.contains('@'), "{said}");
        worker = shop.start();
        worker.url().clone_into(&mut url.lock().expect("nobody panicked"));
    }
    over.store(true, Ordering::Relaxed);
    let mut sent: BTreeMap<String, Sent> = BTreeMap::new();
    let mut thanks = 0;
    for client in clients {
        let client = client.join().expect("a client");
        sent.extend(client.sent);
        thanks += client.orders;
    }
    assert!(sent.len() > 100, "only {} events were sent", sent.len());
    // Each order has its thanks once: nothing was lost on the way, and nothing started twice.
    let decided = "SELECT count(*) FROM messages WHERE journey = 'thanks'";
    shop.wait_for("all thanks", decided, |count| count >= thanks);
    worker.stops();
    let report = shop.verified();
    assert_eq!(shop.count("data/state.db", decided), thanks);
    let twice = "SELECT count(*) - count(DISTINCT hex(run) || step || occurrence) FROM messages";
    assert_eq!(shop.count("data/state.db", twice), 0);
    let mails = "SELECT count(*) FROM messages WHERE journey = 'abandoned-cart'";
    assert!(shop.count("data/state.db", mails) > 0, "no timer fired: {report}");
    everything_answered_is_in_the_log(&shop, &sent);
    what_was_decided_left_once(&shop);
}

/// Caught mails can be caught again without there being two: each message that was sent is one
/// file, and its outcome is told once. One that was caught right before a kill, and stopped after it,
/// has a file and ends as cancelled.
fn what_was_decided_left_once(shop: &Shop) {
    let deliveries = |of: &str| {
        shop.count("data/state.db", &format!("SELECT count(*) FROM deliveries WHERE {of}"))
    };
    let under_way = "status IN ('claimed', 'started', 'dot_sent', 'in_doubt', 'refused')";
    assert_eq!(deliveries(under_way), 0);
    let files = std::fs::read_dir(shop.path("data/caught")).expect("the folder");
    let mails = files.filter(|file| {
        file.as_ref().expect("an entry").path().extension().is_some_and(|found| found == "eml")
    });
    let mails = mails.count() as i64;
    let (sent, perhaps) =
        (deliveries("status = 'sent'"), deliveries("status = 'cancelled' AND attempts > 0"));
    assert!(
        (sent..=sent + perhaps).contains(&mails),
        "{mails} files, of {sent} messages that were sent and {perhaps} that were begun before a kill"
    );
}

fn everything_answered_is_in_the_log(shop: &Shop, sent: &BTreeMap<String, Sent>) {
    let mut found: BTreeMap<String, u32> = BTreeMap::new();
    // Outcomes are the worker's own.
    let mut told = std::collections::BTreeSet::new();
    in_runtime(async {
        let log = LogReader::open(&shop.path("data/log.db")).await.expect("the log opens");
        for partition in 0..log.partitions() {
            let records = log.read(partition, 0, usize::MAX).await.expect("records");
            for (_, record) in records {
                if let Record::Event(record) = record {
                    if record.event.tie.source == OWN_SOURCE {
                        // One that reached a customer who is another now stands there once more.
                        let once = told.insert((record.customer, record.event.id.clone()));
                        assert!(once, "{} twice", record.event.id);
                        continue;
                    }
                    *found.entry(record.event.id.to_string()).or_default() += 1;
                }
            }
        }
    });
    for (id, sent) in sent {
        let found = found.remove(id).unwrap_or(0);
        assert!(
            (sent.answered..=sent.answered + sent.unanswered).contains(&found),
            "{id} was answered {} times, not answered {} times, and is in the log {found} times",
            sent.answered,
            sent.unanswered
        );
    }
    // Written by the worker itself, behind a state that arrived after its customer was deleted.
    found.remove("erased before");
    assert_eq!(found, BTreeMap::new(), "nobody sent these");
}

/// How often an event was sent.
#[derive(Default)]
struct Sent {
    answered: u32,
    unanswered: u32,
}

/// One who posts batches until told that it is over.
struct Client {
    number: u64,
    random: Random,
    url: Arc<Mutex<String>>,
    over: Arc<AtomicBool>,
    people: Vec<Person>,
    sent: BTreeMap<String, Sent>,
    /// Orders of people who were not deleted.
    orders: i64,
    events: u64,
}

/// A customer of a client's: a device first, perhaps an account later.
struct Person {
    device: String,
    id: String,
    email: String,
    signed_in: bool,
    orders: i64,
}

impl Client {
    fn new(number: u64, seed: u64, url: &Arc<Mutex<String>>, over: &Arc<AtomicBool>) -> Self {
        Self {
            number,
            random: Random(1 + number + 100 * seed),
            url: Arc::clone(url),
            over: Arc::clone(over),
            people: Vec::new(),
            sent: BTreeMap::new(),
            orders: 0,
            events: 0,
        }
    }

    fn run(mut self) -> Self {
        while !self.over.load(Ordering::Relaxed) {
            let count = 1 + self.random.below(20);
            let batch: Vec<(String, String)> = (0..count).flat_map(|_| self.step()).collect();
            self.send(&batch);
        }
        self.orders += self.people.iter().map(|person| person.orders).sum::<i64>();
        self
    }

    /// Posts until there is an answer, as a client must that got none.
    fn send(&mut self, batch: &[(String, String)]) {
        let body = batch.iter().map(|(_, event)| event.as_str()).collect::<Vec<_>>().join("\n");
        loop {
            let url = self.url.lock().expect("nobody panicked").clone();
            let answer = post(&url, "/events", body.as_bytes(), None);
            let accepted = match &answer {
                Some((202, text)) => {
                    assert!(text.contains("\"rejected\":[]"), "{text}");
                    true
                }
                Some((503, _)) | None => false,
                Some(other) => panic!("{other:?}"),
            };
            for (id, _) in batch {
                let sent = self.sent.entry(format!("/shop#{id}")).or_default();
                if accepted {
                    sent.answered += 1;
                } else {
                    sent.unanswered += 1;
                }
            }
            if accepted {
                return;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// What one of the people does next: events with their ids.
    fn step(&mut self) -> Vec<(String, String)> {
        self.events += 1;
        let id = format!("{}-{}", self.number, self.events);
        if self.people.len() < 5 || self.random.below(10) == 0 {
            let name = format!("{}x{}", self.number, self.events);
            self.people.push(Person {
                device: format!("device-{name}"),
                id: format!("account-{name}"),
                email: format!("{name}@shop.example"),
                signed_in: false,
                orders: 0,
            });
        }
        let place = self.random.below(self.people.len() as u64) as usize;
        let roll = self.random.below(100);
        let person = &mut self.people[place];
        let device = &[("device", person.device.as_str())][..];
        let account = &[("id", person.id.as_str()), ("email", person.email.as_str())][..];
        let names = if person.signed_in { account } else { device };
        let event = match roll {
            0..40 => cart_add(&id, names, &format!("cart-{}", person.device)),
            40..50 => plain(&id, "page.viewed", names),
            50..65 => {
                person.signed_in = true;
                plain(&id, "customer.signed_in", &[account, device].concat())
            }
            65..75 => consent(&id, account),
            // By telephone, under the address alone: perhaps before the account is known.
            75..85 if person.orders < 20 => {
                person.orders += 1;
                let event = order(&id, &account[1..], &format!("order-{id}"));
                if roll < 80 {
                    return vec![(id, event)];
                }
                // The back office reports it again, and the storefront's record comes twice.
                let again = order(&format!("{id}b"), account, &format!("order-{id}"));
                return vec![(id.clone(), event.clone()), (format!("{id}b"), again), (id, event)];
            }
            85..90 => plain(&id, "customer.unsubscribed", account),
            90..92 => {
                let person = self.people.swap_remove(place);
                let account = &[("id", person.id.as_str()), ("email", person.email.as_str())];
                // The thanks of those who go may or may not be decided, so they have no orders.
                if person.orders > 0 {
                    self.orders += person.orders;
                    return vec![(id.clone(), plain(&id, "page.viewed", account))];
                }
                plain(&id, "customer.deleted", account)
            }
            _ => plain(&id, "product.viewed", names),
        };
        vec![(id, event)]
    }
}

/// A seeded generator (xorshift64*), so that a failing run can be made again.
struct Random(u64);

impl Random {
    fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) % end
    }
}
