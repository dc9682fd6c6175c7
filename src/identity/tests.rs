//! Stories: events in the order in which they are read, and whose each one is.
//!
//! An event is `TIME NAME IDENTITIES`: time in days (`3`) or minutes (`90m`), then `c1` a Commerce
//! id, `e1` an email, `p1` a phone, `o1` another person id, `d1` a device, `k1` a cart. A customer
//! is a letter, in order of appearance; customers who became one share the first letter.

use proptest::prelude::*;

use super::*;
use crate::log::Record;
use crate::model::{DAY_MS, MINUTE_MS, Namespace, Text, Tie, Timestamp};

const SECRET: [u8; 32] = [7; 32];
const START: i64 = 1_700_000_000_000;

fn check(story: &[(&str, &str)]) {
    let mut stage = Identify::in_memory(SECRET);
    let mut letters = Letters::default();
    for (offset, (line, expected)) in story.iter().enumerate() {
        let mut out = Vec::new();
        let result = stage.identify(event(line, offset as u64), &mut out);
        let told = letters.tell(&out, result.as_ref().err());
        assert_eq!(told, *expected, "line {}: {line}", offset + 1);
    }
}

fn event(line: &str, offset: u64) -> Event {
    let mut words = line.split_whitespace();
    let time = words.next().unwrap();
    let ms = match time.strip_suffix('m') {
        Some(minutes) => minutes.parse::<i64>().unwrap() * MINUTE_MS,
        None => time.parse::<i64>().unwrap() * DAY_MS,
    };
    let name = match words.next().unwrap() {
        "in" => EventName::CustomerSignedIn,
        "out" => EventName::CustomerSignedOut,
        "cart" => EventName::CartItemAdded,
        "order" => EventName::OrderPlaced,
        "shipped" => EventName::OrderShipped,
        "deleted" => EventName::CustomerDeleted,
        "updated" => EventName::CustomerUpdated,
        other => panic!("no event `{other}`"),
    };
    let mut event = Event::new(offset.to_string(), name, Timestamp::from_ms(START + ms));
    event.tie = Tie { source: 1, partition: 0, offset };
    for word in words {
        let (kind, value) = word.split_at(1);
        event.identities.extend(match kind {
            "c" => Identity::customer_id(value),
            "e" => Identity::email(&format!("{value}@shop.example")),
            "p" => Identity::phone(&format!("+3160000000{value}")),
            "o" => Identity::other("crm", value),
            "d" => Identity::device(&format!("device-{value}")),
            "k" => {
                event.cart_id = Some(Text::new(value));
                None
            }
            other => panic!("no identity `{other}`"),
        });
    }
    event
}

/// Customers by letters; those who became one share the first.
#[derive(Default)]
struct Letters(Vec<Vec<CustomerId>>);

impl Letters {
    fn tell(&mut self, records: &[Record], rejected: Option<&Rejected>) -> String {
        let mut told = Vec::new();
        for record in records {
            told.push(match record {
                Record::Merge(merge) => {
                    assert!(merge.winner < merge.loser);
                    let (one, two) = (self.place(merge.winner), self.place(merge.loser));
                    assert_ne!(one, two);
                    let lost = self.0[one.max(two)].clone();
                    self.0[one.min(two)].extend(lost);
                    self.0[one.max(two)].clear();
                    format!("{}+{}", letter(one.min(two)), letter(one.max(two)))
                }
                Record::CartMoved(moved) => {
                    format!("k{} leaves {}", moved.cart_id, letter(self.place(moved.customer)))
                }
                Record::Event(event) => letter(self.place(event.customer)).to_string(),
                other => panic!("{other:?}"),
            });
        }
        told.extend(rejected.map(|rejected| match rejected {
            Rejected::NoIdentity(_) => "nobody".to_owned(),
            Rejected::Erased => "erased".to_owned(),
            Rejected::NotLoaded(_) => "not loaded".to_owned(),
        }));
        told.join(", ")
    }

    fn place(&mut self, customer: CustomerId) -> usize {
        let known = self.0.iter().position(|group| group.contains(&customer));
        known.unwrap_or_else(|| {
            self.0.push(vec![customer]);
            self.0.len() - 1
        })
    }
}

fn letter(place: usize) -> char {
    char::from(b'A' + u8::try_from(place).unwrap())
}

#[test]
fn one_id_is_one_customer() {
    check(&[("0 cart c1", "A"), ("1 cart c2", "B"), ("2 order c1", "A"), ("3 cart", "nobody")]);
}

#[test]
fn the_strongest_identity_says_whose_event_it_is() {
    check(&[
        ("0 order c1 e1", "A"),
        ("1 order e1", "A"),
        ("2 order p1 e1", "A"),
        ("3 order p1", "A"),
        ("4 updated o1 p1", "A"),
        ("5 updated o1", "A"),
    ]);
}

#[test]
fn a_guest_who_makes_an_account_stays_the_same() {
    check(&[("0 order e1", "A"), ("1 in c1 e1", "A"), ("2 order c1", "A")]);
}

#[test]
fn an_event_that_names_two_makes_them_one() {
    check(&[
        ("0 order e1", "A"),
        ("1 order p1", "B"),
        ("2 cart c1", "C"),
        ("3 order e1 p1", "A+B, A"),
        ("4 order c1 e1", "A+C, A"),
        ("5 order p1", "A"),
        ("6 cart c1", "A"),
    ]);
}

#[test]
fn a_cart_built_before_sign_in_belongs_to_the_customer_after_it() {
    // Unknown before: the anonymous customer gains the identity.
    check(&[("0 cart d1 k1", "A"), ("10m in d1 c1", "A"), ("20m order c1", "A")]);
    // Known before: the anonymous customer becomes one with them.
    check(&[
        ("0 order c1", "A"),
        ("10m cart d1 k1", "B"),
        ("20m in d1 c1", "A+B, A"),
        ("30m cart d1 k1", "A"),
        ("40m order c1", "A"),
    ]);
}

#[test]
fn a_guest_order_says_who_the_device_is() {
    check(&[("0 cart d1 k1", "A"), ("10m order d1 e1", "A"), ("20m shipped e1", "A")]);
}

#[test]
fn a_device_means_a_person_until_sign_out() {
    check(&[
        ("0 in d1 c1", "A"),
        ("1 cart d1 k1", "A"),
        ("2 out d1", "A"),
        ("3 cart d1 k2", "B"),
        ("4 cart d1 k2", "B"),
        ("5 in d1 c2", "B"),
        ("6 out d1 c2", "B"),
        ("7 cart d1 k3", "C"),
        ("8 in d1 c1", "A+C, A"),
    ]);
}

#[test]
fn a_device_means_a_person_until_anothers_sign_in() {
    check(&[
        ("0 in d1 c1 e1", "A"),
        ("10m cart d1 k1", "A"),
        ("20m in d1 c2", "B"),
        ("30m cart d1 k2", "B"),
        ("40m order c1", "A"),
        // An address nobody has yet signs in: another person too.
        ("50m in d1 e3", "C"),
        ("60m cart d1", "C"),
    ]);
}

#[test]
fn an_address_of_another_account_takes_the_device() {
    check(&[
        ("0 in c2 e2", "A"),
        ("1 in d1 c1", "B"),
        ("2 cart d1 k1", "B"),
        ("3 in d1 e2", "A"),
        ("4 cart d1 k2", "A"),
        ("5 cart c1", "B"),
    ]);
}

#[test]
fn a_device_means_a_person_until_thirty_idle_days() {
    check(&[
        ("0 in d1 c1", "A"),
        ("29 cart d1", "A"),
        ("58 cart d1", "A"),
        ("89 cart d1", "B"),
        ("90 in d1 c1", "A+B, A"),
    ]);
    // An anonymous device stays who it is.
    check(&[("0 cart d1", "A"), ("99 cart d1", "A")]);
    // To the hour, by event time.
    check(&[
        ("0 in d1 c1", "A"),
        ("43200m cart d1", "A"),
        ("0 in d2 c2", "B"),
        ("43261m cart d2", "C"),
    ]);
}

#[test]
fn the_back_office_says_nothing_of_the_device() {
    check(&[
        ("0 order d1 e1", "A"),
        ("1 out d1", "A"),
        ("2 in d1 c2", "B"),
        ("3 shipped d1 e1", "A"),
        ("4 cart d1", "B"),
    ]);
}

#[test]
fn accounts_never_become_one() {
    check(&[
        ("0 in d1 c1 p1", "A"),
        ("1 in d1 c2 p1", "B"),
        ("2 order c1 c2", "A"),
        ("3 order c2", "B"),
        ("4 updated c1 e1", "A"),
        ("5 updated c2 e1", "B"),
        ("6 updated c1", "A"),
    ]);
}

#[test]
fn an_address_goes_to_the_account_that_used_it_last() {
    check(&[
        ("2 updated c1 e1", "A"),
        ("3 updated c2 e1", "B"),
        ("4 order e1", "B"),
        // An older event that comes late takes nothing back.
        ("2 updated c1 e1", "A"),
        ("5 order e1", "B"),
        ("6 updated c1 e1", "A"),
        ("7 order e1", "A"),
    ]);
    // Also when the account is new.
    check(&[("0 in c1 e1", "A"), ("1 in c2 e1", "B"), ("2 order e1", "B"), ("3 order c1", "A")]);
}

#[test]
fn a_cart_claimed_by_the_next_person_leaves_the_former() {
    check(&[
        ("0 in d1 c1", "A"),
        ("1 cart d1 k1", "A"),
        ("2 in d1 c2", "B"),
        ("3 cart d1 k1", "k1 leaves A, B"),
        ("4 cart d1 k1", "B"),
        // An older event of the former comes late.
        ("1 cart c1 k1", "A"),
        ("5 cart c2 k1", "B"),
    ]);
    // A cart of an anonymous customer who became this one has not moved.
    check(&[("0 cart d1 k1", "A"), ("1 order c1", "B"), ("2 in d1 c1 k1", "A+B, A")]);
}

#[test]
fn a_guest_order_on_a_persons_device_stops_that_persons_reminders() {
    // The holder has no address yet: it is theirs, the order too.
    check(&[
        ("0 in d1 c1", "A"),
        ("1 cart d1 k1", "A"),
        ("2 order d1 e1", "A"),
        ("3 order e1", "A"),
    ]);
    // Also if the address is known from elsewhere, as from an import of consents.
    check(&[
        ("0 updated e1", "A"),
        ("1 in d1 c1", "B"),
        ("2 cart d1 k1", "B"),
        ("3 order d1 e1", "A+B, A"),
    ]);
    // A guest with one address orders with another: still this person.
    check(&[("0 order d1 e1", "A"), ("1 cart d1 k1", "A"), ("2 order d1 e2", "A")]);
    // An account with its own address: another's order, and the cart goes with it.
    check(&[
        ("0 in d1 c1 e1", "A"),
        ("1 cart d1 k1", "A"),
        ("2 order d1 e2", "k1 leaves A, B"),
        ("3 cart d1", "B"),
        ("4 shipped e2", "B"),
        ("5 order e1", "A"),
    ]);
    check(&[("0 in d1 c1 e1", "A"), ("1 cart d1", "A"), ("2 order d1 e2", "k leaves A, B")]);
    // Two who are known by addresses of their own.
    check(&[
        ("0 order e2", "A"),
        ("1 in d1 c1 e1", "B"),
        ("2 cart d1 k1", "B"),
        ("3 order d1 e2", "k1 leaves B, A"),
    ]);
}

#[test]
fn late_events_go_to_whoever_had_the_device_then() {
    check(&[
        ("1 in d1 c1", "A"),
        ("3 in d1 c2", "B"),
        ("4 cart d1", "B"),
        ("2 cart d1", "A"),
        // Its sign-out and a second sign-in come late too, and change nothing.
        ("2 out d1", "A"),
        ("2 in d1 c1", "A"),
        ("5 cart d1", "B"),
    ]);
    // A sign-in that comes after what followed it.
    check(&[("2 cart d1 k1", "A"), ("1 in d1 c1", "A"), ("3 cart d1", "A")]);
    check(&[("0 order c1", "A"), ("2 cart d1 k1", "B"), ("1 in d1 c1", "A+B, A")]);
    // A sign-in that comes after the sign-out that ended it.
    check(&[
        ("1 cart d1", "A"),
        ("3 out d1", "A"),
        ("2 in d1 c1", "A"),
        ("4 cart d1", "B"),
        ("5 order c1", "A"),
    ]);
}

#[test]
fn an_erased_customer_is_gone_and_nothing_rebuilds_them() {
    check(&[
        ("0 in d1 c1 e1", "A"),
        ("1 cart d1 k1", "A"),
        ("5 deleted c1", "A"),
        ("4 order c1", "erased"),
        ("5 order e1", "erased"),
        ("4 cart d1", "erased"),
        ("4 updated c1 p1", "erased"),
        ("6 cart d1 k1", "B"),
        ("7 order e1", "C"),
        ("8 in c1 e1", "C"),
        ("9 deleted e1", "C"),
        ("8 order c1", "erased"),
        ("10 in c1", "D"),
        ("8 order c1", "erased"),
        ("3 order e1", "erased"),
    ]);
    // One never seen before is erased too.
    check(&[("5 deleted c1 e1", "A"), ("4 order e1", "erased"), ("6 order e1", "B")]);
    // Those who became one are erased together.
    check(&[
        ("0 order e1", "A"),
        ("1 order p1", "B"),
        ("2 order e1 p1", "A+B, A"),
        ("3 deleted p1", "A"),
        ("2 order e1", "erased"),
        ("4 order e1", "C"),
        ("4 order p1", "D"),
    ]);
}

#[test]
fn beyond_fifty_identities_nothing_is_linked() {
    let mut stage = Identify::in_memory(SECRET);
    let mut out = Vec::new();
    let owner = |stage: &Identify, number: u32| {
        stage.find(&Identity::email(&format!("{number}@shop.example")).unwrap())
    };
    for number in 0..60 {
        stage.identify(event(&format!("0 updated c1 e{number}"), number), &mut out).unwrap();
    }
    assert!((0..49).all(|number| owner(&stage, number) == owner(&stage, 0)));
    assert!((49..60).all(|number| owner(&stage, number).is_none()));
    let Some(Record::Event(last)) = out.last() else { panic!("an event") };
    assert_eq!(last.customer, owner(&stage, 0).unwrap());
    assert_eq!(last.event.identities, [Identity::customer_id("1").unwrap()]);
}

#[test]
fn an_event_keeps_only_its_customers_identities() {
    for (lines, kept) in [
        (&["0 in c1 e1", "1 updated c2 e1"][..], "c e"),
        (&["2 updated c2 e1", "1 updated c1 e1"][..], "c"),
        (&["0 in d1 c1", "1 shipped d1 e2"][..], "e"),
        (&["0 in d1 c1", "1 out d1"][..], "d"),
        (&["0 cart d1 e1"][..], "d e"),
    ] {
        let mut stage = Identify::in_memory(SECRET);
        let mut out = Vec::new();
        for (offset, line) in lines.iter().enumerate() {
            stage.identify(event(line, offset as u64), &mut out).unwrap();
        }
        let Some(Record::Event(last)) = out.last() else { panic!("an event") };
        let kinds: Vec<&str> = last
            .event
            .identities
            .iter()
            .map(|identity| match identity.namespace {
                Namespace::CustomerId => "c",
                Namespace::Email => "e",
                Namespace::Device => "d",
                Namespace::Phone | Namespace::Other(_) => "?",
            })
            .collect();
        let mut kinds = kinds;
        kinds.sort_unstable();
        assert_eq!(kinds.join(" "), kept, "{lines:?}");
    }
}

#[test]
fn what_was_not_loaded_is_not_guessed() {
    let mut stage = Identify::stored(SECRET);
    let event = event("0 cart c1 k1", 0);
    let mut out = Vec::new();
    let result = stage.identify(event.clone(), &mut out);
    assert_eq!(result, Err(Rejected::NotLoaded(Box::new(event))));
    assert_eq!((out.len(), stage.take_changes()), (0, Vec::new()));
}

/// An event over few ids, so that everything collides; `group` keeps two groups apart.
fn any_event(group: u8) -> impl Strategy<Value = String> {
    let name = prop::sample::select(vec![
        "in", "in", "out", "cart", "cart", "order", "order", "shipped", "updated", "deleted",
    ]);
    let ids = prop::collection::vec(
        (prop::sample::select(vec!["c", "e", "p", "o", "d", "d"]), 0..4_u8),
        1..4,
    );
    (0..80_i64, name, ids, prop::option::of(0..3_u8)).prop_map(move |(day, name, ids, cart)| {
        let mut line = format!("{day} {name}");
        for (kind, number) in ids {
            line.push_str(&format!(" {kind}{}", group * 4 + number + 1));
        }
        if let Some(cart) = cart {
            line.push_str(&format!(" k{}", group * 4 + cart));
        }
        line
    })
}

type Outcome = (Vec<Record>, Option<Rejected>);

fn run(stage: &mut Identify, events: &[Event]) -> Vec<Outcome> {
    events
        .iter()
        .map(|event| {
            let mut out = Vec::new();
            let rejected = stage.identify(event.clone(), &mut out).err();
            (out, rejected)
        })
        .collect()
}

fn numbered(lines: &[String]) -> Vec<Event> {
    lines.iter().enumerate().map(|(offset, line)| event(line, offset as u64)).collect()
}

/// As a worker does it: batches, rows loaded from what was stored, the working set forgotten.
fn run_stored(events: &[Event], batch: usize) -> Vec<Outcome> {
    let mut rows = std::collections::BTreeMap::new();
    let mut stage = Identify::stored(SECRET);
    let mut outcomes = Vec::new();
    for events in events.chunks(batch) {
        loop {
            let missing = stage.missing(events);
            if missing.is_empty() {
                break;
            }
            let found = missing
                .iter()
                .filter_map(|key| rows.get(key).map(|row: &Vec<u8>| (*key, row.clone())));
            let found = found.collect();
            stage.insert(&missing, found).unwrap();
        }
        outcomes.extend(run(&mut stage, events));
        rows.extend(stage.take_changes().into_iter().map(|row| (row.key, row.row)));
        stage.trim(0);
    }
    outcomes
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn stored_and_in_memory_say_the_same(
        lines in prop::collection::vec(any_event(0), 1..40),
        batch in 1..9_usize,
    ) {
        let events = numbered(&lines);
        let memory = run(&mut Identify::in_memory(SECRET), &events);
        prop_assert_eq!(run_stored(&events, batch), memory);
    }

    #[test]
    fn chains_end_and_accounts_stay_apart(lines in prop::collection::vec(any_event(0), 1..60)) {
        let mut pointers = std::collections::BTreeMap::new();
        let mut accounts = std::collections::BTreeMap::new();
        let mut stage = Identify::in_memory(SECRET);
        for (records, _) in run(&mut stage, &numbered(&lines)) {
            for record in records {
                match record {
                    Record::Merge(merge) => {
                        prop_assert!(merge.winner < merge.loser);
                        prop_assert!(!pointers.contains_key(&merge.winner), "the winner goes on");
                        prop_assert!(pointers.insert(merge.loser, merge.winner).is_none());
                        let lost = accounts.remove(&merge.loser);
                        let kept = accounts.get(&merge.winner).cloned();
                        prop_assert!(lost.is_none() || kept.is_none(), "two accounts became one");
                        accounts.extend(lost.map(|account| (merge.winner, account)));
                    }
                    Record::Event(event) => {
                        let customer = event.customer;
                        prop_assert!(!pointers.contains_key(&customer), "an event for a pointer");
                        let account = event.event.identities.iter()
                            .find(|identity| identity.namespace == Namespace::CustomerId);
                        if let Some(account) = account {
                            let known = accounts.entry(customer).or_insert_with(|| account.clone());
                            prop_assert_eq!(&*known, account);
                        }
                    }
                    Record::CartMoved(moved) => {
                        prop_assert!(!pointers.contains_key(&moved.customer));
                    }
                    other => prop_assert!(false, "{:?}", other),
                }
            }
        }
    }

    #[test]
    fn unrelated_customers_do_not_meet(
        ours in prop::collection::vec(any_event(0), 1..30),
        theirs in prop::collection::vec(any_event(1), 1..30),
        order in prop::collection::vec(any::<bool>(), 60),
    ) {
        let ours = numbered(&ours);
        let alone = run(&mut Identify::in_memory(SECRET), &ours);
        let theirs = numbered(&theirs);
        let mut stage = Identify::in_memory(SECRET);
        let (mut mine, mut other) = (ours.iter(), theirs.iter());
        let mut together = Vec::new();
        for turn in order {
            if turn && let Some(event) = other.next() {
                run(&mut stage, std::slice::from_ref(event));
            } else if let Some(event) = mine.next() {
                together.extend(run(&mut stage, std::slice::from_ref(event)));
            }
        }
        for event in mine {
            together.extend(run(&mut stage, std::slice::from_ref(event)));
        }
        prop_assert_eq!(together, alone);
    }

    #[test]
    fn nothing_from_before_an_erasure_comes_back(
        lines in prop::collection::vec(any_event(0), 1..40),
        late in prop::collection::vec(any_event(0), 1..10),
    ) {
        let mut stage = Identify::in_memory(SECRET);
        run(&mut stage, &numbered(&lines));
        let erasing = event("40 deleted c1 e1", 100);
        let erased = run(&mut stage, std::slice::from_ref(&erasing)).remove(0);
        prop_assume!(erased.1.is_none());
        for line in late {
            let mut words = line.split_whitespace().skip(1);
            let name = words.next().unwrap();
            // Erased identities first: another account named after them changes nothing.
            let line = format!("39 {name} c1 {}", words.collect::<Vec<_>>().join(" "));
            let (records, rejected) = run(&mut stage, &[event(&line, 101)]).remove(0);
            prop_assert_eq!((records, rejected), (Vec::new(), Some(Rejected::Erased)));
        }
    }
}
