//! Adobe's own training data: web events in XDM, rows of a CRM and a loyalty programme as
//! profiles known beforehand, and purchases in shops.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use waypost::replay::Input;

use super::{DAY, GRACE, Told, json, options, run_all, same, shared, temporary};

/// A message for each purchase, view and save, at once.
fn journeys() -> Vec<String> {
    [("bought", "order.placed"), ("viewed", "product.viewed"), ("saved", "wishlist.item_added")]
        .map(|(journey, event)| {
            format!(
                "format: 1
journey: {journey}
one_run_per: customer
starts_when: {{ event: {event} }}
again: always
keeps_after_order: true
steps:
  - email: {journey}/now
"
            )
        })
        .to_vec()
}

fn replay_all(inputs: Vec<Input>) -> Told {
    let journeys = journeys();
    let journeys: Vec<&str> = journeys.iter().map(String::as_str).collect();
    let mut options = options(inputs);
    options.assume_reachable = false;
    run_all(&journeys, &options)
}

fn history(path: &std::path::Path) -> Input {
    Input { history: true, ..json(path) }
}

fn read(path: &std::path::Path) -> Vec<Value> {
    let text = std::fs::read_to_string(path).expect("a file");
    serde_json::from_str(&text).expect("a JSON array")
}

fn time(record: &Value) -> i64 {
    let text = record["timestamp"].as_str().expect("a time");
    text.parse::<jiff::Timestamp>().expect("a time").as_millisecond()
}

/// The ids by which a record names its customer.
fn ids(record: &Value) -> Vec<String> {
    let tenant = &record["_yourOrganizationID"]["systemIdentifier"];
    let map = &record["identityMap"];
    [
        ("crm", &tenant["crmId"]),
        ("crm", &map["lumaCrmId"][0]["id"]),
        ("loyalty", &tenant["loyaltyId"]),
        ("ecid", &map["ECID"][0]["id"]),
        ("email", &record["personalEmail"]["address"]),
    ]
    .into_iter()
    .filter_map(|(kind, id)| Some(format!("{kind} {}", id.as_str()?.to_lowercase())))
    .collect()
}

/// Customers as groups of ids that some record names together.
struct Customers {
    group_of: BTreeMap<String, usize>,
    groups: usize,
}

impl Customers {
    fn of<'a>(records: impl Iterator<Item = &'a Value>) -> Self {
        let mut group_of: BTreeMap<String, usize> = BTreeMap::new();
        for (number, record) in records.enumerate() {
            let ids = ids(record);
            assert!(!ids.is_empty(), "{record}");
            let met: BTreeSet<usize> =
                ids.iter().filter_map(|id| group_of.get(id).copied()).collect();
            for group in group_of.values_mut().filter(|group| met.contains(group)) {
                *group = number;
            }
            group_of.extend(ids.into_iter().map(|id| (id, number)));
        }
        let groups = group_of.values().collect::<BTreeSet<_>>().len();
        Self { group_of, groups }
    }

    fn group(&self, record: &Value) -> usize {
        self.group_of[&ids(record)[0]]
    }
}

/// What is compared of a decision: when, which journey, whose address, why withheld, orders so far.
type Seen = (i64, String, Option<String>, Option<String>, i64);

#[test]
fn web_events_and_purchases_meet_their_profiles() {
    let test = "luma::web_events_and_purchases_meet_their_profiles";
    let names = ["web-events", "crm", "loyalty", "offline-purchases"];
    let mut paths = Vec::new();
    for name in names {
        let Some(path) = shared(test, &format!("adobe-luma/luma-{name}.json")) else { return };
        paths.push(path);
    }
    let [mut web, crm, loyalty, mut offline] = [0, 1, 2, 3].map(|place| read(&paths[place]));
    // The files are in no order; a replay wants rows about in the order of their time.
    web.sort_by_key(time);
    offline.sort_by_key(time);
    let [web_file, offline_file] = [&web, &offline].map(|records| {
        let lines: String = records.iter().map(|record| format!("{record}\n")).collect();
        temporary(lines.as_bytes(), ".ndjson")
    });
    let told = replay_all(vec![
        history(&paths[1]),
        history(&paths[2]),
        json(web_file.path()),
        json(offline_file.path()),
    ]);

    let customers = Customers::of(crm.iter().chain(&loyalty).chain(&web).chain(&offline));
    let mut email_of: BTreeMap<usize, String> = BTreeMap::new();
    for record in &crm {
        if let Some(email) = record["personalEmail"]["address"].as_str() {
            email_of.insert(customers.group(record), email.to_lowercase());
        }
    }
    let is_order = |record: &Value| {
        record["eventType"].as_str().is_none_or(|kind| kind == "commerce.purchases")
    };
    let orders: Vec<(i64, usize)> = web
        .iter()
        .chain(&offline)
        .filter(|record| is_order(record))
        .map(|record| (time(record), customers.group(record)))
        .collect();
    let mut calculated: Vec<Seen> = Vec::new();
    for record in web.iter().chain(&offline) {
        let group = customers.group(record);
        let journey = match record["eventType"].as_str() {
            Some("commerce.productViews") => "viewed",
            Some("commerce.saveForLaters") => "saved",
            Some("commerce.purchases") | None => "bought",
            Some(other) => panic!("{other}"),
        };
        let email = email_of.get(&group).cloned();
        let reason = if email.is_some() { "consent" } else { "no_address" };
        let so_far = orders.iter().filter(|(at, of)| *at <= time(record) && *of == group).count();
        let so_far = i64::try_from(so_far).expect("few");
        calculated.push((time(record), journey.to_owned(), email, Some(reason.to_owned()), so_far));
    }
    calculated.sort();

    let mut replayed: Vec<Seen> = told.decisions.iter().map(seen).collect();
    replayed.sort();
    same("decisions", &replayed, &calculated);
    let of = |journey: &str| replayed.iter().filter(|(_, own, ..)| own == journey).count();
    assert_eq!((of("bought"), of("viewed"), of("saved")), (334 + 1_001, 328, 339));
    assert!(calculated.iter().any(|(.., so_far)| *so_far > 1), "web and shop orders add up");
    assert_eq!((told.summary.dead, told.summary.late, told.summary.duplicates), (0, 0, 0));
    assert_eq!(told.summary.events - told.count("merged") as u64 / 2, 1_002 + 3 * 1_001);
    assert_eq!(told.summary.customers, customers.groups as u64);
    let groups = waypost::replay::grouped(told.summary.customers);
    let reach = format!("may be mailed: 0 of {groups}, no consent source");
    assert_eq!(told.summary.reach(), reach);
    one_id_of_two_customers(&web, &told);
}

fn seen(decision: &waypost::engine::Decision) -> Seen {
    let data: Value = serde_json::from_str(&decision.data).expect("JSON");
    (
        decision.at.ms(),
        decision.journey.to_string(),
        data["customer"]["email"].as_str().map(str::to_owned),
        decision.withheld.map(|reason| reason.as_str().to_owned()),
        data["orders"]["count"].as_i64().expect("a count"),
    )
}

/// One `_id` stands on a purchase of two customers: each has bought.
fn one_id_of_two_customers(web: &[Value], told: &Told) {
    let id = |record: &Value| record["_id"].as_str().expect("an id").to_owned();
    let twice: Vec<&Value> = web
        .iter()
        .filter(|record| web.iter().filter(|other| id(other) == id(record)).count() > 1)
        .collect();
    assert_eq!(twice.len(), 2);
    let buyers: BTreeSet<&str> = told
        .decisions
        .iter()
        .filter(|decision| decision.journey == "bought" && decision.at.ms() == time(twice[0]))
        .map(|decision| decision.customer.as_str())
        .collect();
    let people: BTreeSet<&str> = twice
        .iter()
        .map(|record| record["identityMap"]["lumaCrmId"][0]["id"].as_str().expect("an id"))
        .collect();
    assert_eq!(buyers, people);
}

/// The file as it is, in no order over a month: a row far ahead of those around it is a dead
/// letter with its line, and most others are late.
#[test]
fn web_events_in_no_order() {
    let test = "luma::web_events_in_no_order";
    let Some(path) = shared(test, "adobe-luma/luma-web-events.json") else { return };
    let text = std::fs::read_to_string(&path).expect("a file");
    let times: Vec<i64> = text
        .lines()
        .map(|line| line.trim().trim_matches(['[', ']', ',']))
        .map(|record| time(&serde_json::from_str(record).expect("one record a line")))
        .collect();
    assert_eq!(times.len(), 1_001);
    let (mut dead, mut late, mut greatest) = (Vec::new(), 0, None);
    for (place, &at) in times.iter().enumerate() {
        // Before the first row there is nothing that it is not ahead of.
        let ahead_of_past = greatest.is_none_or(|greatest| at - greatest > DAY);
        let ahead_of_next = times.get(place + 1).is_some_and(|next| at - next > DAY);
        if ahead_of_past && ahead_of_next {
            dead.push(place + 1);
            continue;
        }
        late += u64::from(greatest.is_some_and(|greatest| at <= greatest - GRACE));
        greatest = greatest.max(Some(at));
    }
    assert!(!dead.is_empty() && late > 500, "{} dead, {late} late", dead.len());
    let told = replay_all(vec![json(&path)]);
    assert_eq!(told.dead_lines(), dead);
    assert!(told.summary.dead_letters.iter().all(|dead| dead.reason.contains("24 h ahead")));
    assert_eq!(told.summary.events, 1_001 - dead.len() as u64);
    assert_eq!(told.summary.late, late);
}

/// Stock events are of no customer: each is a dead letter with its line.
#[test]
fn stock_events_are_dead_letters() {
    let test = "luma::stock_events_are_dead_letters";
    let Some(path) = shared(test, "adobe-luma/luma-inventory-events.json") else { return };
    let told = replay_all(vec![json(&path)]);
    assert_eq!((told.summary.dead, told.summary.events, told.summary.customers), (1_000, 0, 0));
    assert_eq!(told.dead_lines(), (1..=1_000).collect::<Vec<usize>>());
}
