//! The made-up traffic: the same for the same options, and counted as it is.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use waypost::generate::{Error, Options, Summary, generate};
use waypost::model::{DAY_MS, Timestamp};

use crate::support::full;

fn options() -> Options {
    let start = "2026-03-02T00:00:00Z".parse().expect("a time");
    Options { customers: 400, days: 3, seed: 11, start }
}

fn written(options: &Options) -> (String, Summary) {
    let mut bytes = Vec::new();
    let summary = generate(options, &mut bytes, &mut |_, _| {}).expect("generates");
    (String::from_utf8(bytes).expect("text"), summary)
}

/// What a reader who knows nothing of the generator counts in a file.
#[derive(Default)]
struct Counted {
    kinds: BTreeMap<String, u64>,
    duplicates: u64,
    broken: u64,
    nameless: u64,
    ids: BTreeMap<String, u64>,
    order_numbers: BTreeSet<String>,
    emails: BTreeSet<String>,
    accounts_by_device: BTreeMap<String, BTreeSet<String>>,
}

fn count(text: &str) -> Counted {
    let mut counted = Counted::default();
    let mut seen = BTreeSet::new();
    for line in text.lines() {
        if !seen.insert(line) {
            counted.duplicates += 1;
            continue;
        }
        match read(line) {
            Some(event) => counted.take(&event),
            None => counted.broken += 1,
        }
    }
    counted
}

/// The event of a line: JSON, with a time of its century, and someone it is about.
fn read(line: &str) -> Option<Value> {
    let value: Value = serde_json::from_str(line).ok()?;
    let event = value.get("xdm").unwrap_or(&value).clone();
    let time = event.get("timestamp").or_else(|| event.get("time"))?.as_str()?;
    let time: Timestamp = time.parse().ok()?;
    let about_someone = event["identityMap"].as_object().is_some_and(|map| !map.is_empty())
        || event["data"]["customer"].is_object();
    (about_someone && time < options().start.plus_ms(365 * DAY_MS)).then_some(event)
}

impl Counted {
    fn take(&mut self, event: &Value) {
        let kind = event.get("eventType").or_else(|| event.get("type"));
        let kind = kind.and_then(Value::as_str).unwrap_or("profile");
        *self.kinds.entry(kind.to_owned()).or_default() += 1;
        let id = event.get("_id").or_else(|| event.get("id")).and_then(Value::as_str);
        *self.ids.entry(id.expect("an id").to_owned()).or_default() += 1;
        let map = &event["identityMap"];
        let no_ecid = map["ECID"][0]["id"].as_str().is_some_and(|id| id.bytes().all(|b| b == b'0'));
        if no_ecid && map.as_object().is_some_and(|map| map.len() == 1) {
            self.nameless += 1;
        }
        if let Some(number) = event["commerce"]["order"]["purchaseID"].as_str() {
            self.order_numbers.insert(number.to_owned());
        }
        if let (Some(device), Some(account)) =
            (map["ECID"][0]["id"].as_str(), event["person"]["accountID"].as_str())
        {
            self.accounts_by_device
                .entry(device.to_owned())
                .or_default()
                .insert(account.to_owned());
        }
        if let Some(email) = event["personalEmail"]["address"].as_str() {
            self.emails.insert(email.to_owned());
        }
    }
}

#[test]
fn the_summary_counts_what_is_in_the_file() {
    let (text, summary) = written(&options());
    let counted = count(&text);
    let kinds: BTreeMap<String, u64> =
        summary.kinds.iter().map(|(kind, count)| ((*kind).to_owned(), *count)).collect();
    assert_eq!(counted.kinds, kinds);
    assert_eq!(counted.duplicates, summary.duplicates);
    assert_eq!(counted.broken, summary.broken.values().sum::<u64>());
    assert_eq!(counted.nameless, summary.nameless);
    assert_eq!(
        counted.ids.values().filter(|count| **count == 2).count() as u64,
        summary.ids_shared
    );
    assert_eq!(counted.ids.values().max(), Some(&2));
    let without_number = u64::from(counted.order_numbers.contains("undefined"));
    assert_eq!(counted.order_numbers.len() as u64 - without_number, summary.orders);
    assert_eq!(text.lines().count() as u64, summary.lines);
    assert_eq!(summary.lines, summary.events() + counted.duplicates + counted.broken);
    assert_eq!(text.len() as u64, summary.bytes);
    assert_eq!(summary.customers, 400);
    assert!(counted.emails.iter().all(|email| email.ends_with(".example")));
}

#[test]
fn everything_a_real_feed_does_happens() {
    let (text, summary) = written(&Options { customers: 1_500, days: 7, ..options() });
    for kind in [
        "commerce.backofficeCreditMemoIssued",
        "commerce.backofficeOrderCancelled",
        "commerce.backofficeOrderInvoiced",
        "commerce.backofficeOrderItemsReturnCompleted",
        "commerce.backofficeOrderItemsReturnInitiated",
        "commerce.backofficeOrderItemsShipped",
        "commerce.backofficeOrderPlaced",
        "commerce.backofficeOrderShipmentCompleted",
        "commerce.checkouts",
        "commerce.productListAdds",
        "commerce.productListOpens",
        "commerce.productListRemovals",
        "commerce.productListViews",
        "commerce.productViews",
        "commerce.purchases",
        "commerce.requisitionListAdds",
        "commerce.requisitionListDeletes",
        "commerce.requisitionListOpens",
        "commerce.requisitionListRemovals",
        "commerce.saveForLaters",
        "consent.changed",
        "customer.unsubscribed",
        "profile",
        "searchRequest",
        "searchResponse",
        "userAccount.backofficeCreateProfile",
        "userAccount.backofficeDeleteProfile",
        "userAccount.backofficeUpdateProfile",
        "userAccount.createProfile",
        "userAccount.login",
        "userAccount.logout",
        "userAccount.updateProfile",
        "web.webpagedetails.pageViews",
    ] {
        assert!(summary.kinds.contains_key(kind), "{kind}");
    }
    for fault in ["cut_off", "far_ahead", "no_time", "nobody", "wrong_type"] {
        assert!(summary.broken.contains_key(fault), "{fault}");
    }
    for (what, count) in [
        ("shared devices", summary.devices_shared),
        ("late", summary.late),
        ("numbers as text", summary.numbers_as_text),
        ("shared ids", summary.ids_shared),
        ("carts shrunk", summary.carts_shrunk),
        ("orders told of twice", summary.orders_reported_twice),
        ("orders without a number", summary.orders_without_number),
    ] {
        assert!(count > 0, "{what}");
    }
    let accounts_by_device = count(&text).accounts_by_device;
    let shared = accounts_by_device.values().filter(|accounts| accounts.len() > 1).count();
    assert!(shared > 10, "{shared} devices on which two people signed in");
    let sign_ins: usize = accounts_by_device.values().map(BTreeSet::len).sum();
    let accounts: BTreeSet<&String> = accounts_by_device.values().flatten().collect();
    assert!(accounts.len() + 10 < sign_ins, "people sign in on several devices");
    assert!(summary.orders * 2 < summary.carts, "most carts are left: {summary:?}");
}

#[test]
fn lines_stand_in_the_order_in_which_they_arrived() {
    // Whatever is not late stands within 20 minutes behind the newest event before it: the back
    // office's first report of an order takes that long.
    let (text, summary) = written(&options());
    let mut newest = options().start;
    let mut behind = 0;
    for event in text.lines().filter_map(read) {
        let time = event.get("timestamp").or_else(|| event.get("time"));
        let time: Timestamp = time.and_then(Value::as_str).expect("text").parse().expect("a time");
        newest = newest.max(time);
        behind += u64::from(newest.since_ms(time) > 21 * 60 * 1_000);
    }
    let apart = summary.late + summary.duplicates;
    assert!(behind > 0 && behind <= apart, "{behind} of {apart}");
}

#[test]
fn equal_options_give_equal_bytes_and_another_seed_does_not() {
    let (text, summary) = written(&options());
    let (again, summary_again) = written(&options());
    assert_eq!((&text, &summary), (&again, &summary_again));
    let (other, _) = written(&Options { seed: 12, ..options() });
    assert_ne!(text, other);
    // A change to the generator changes what a seed stands for: say so in CHANGELOG.md.
    let hash = blake3::hash(text.as_bytes()).to_hex();
    assert_eq!(&hash[..32], "be345934f3e6b794e1c603a70dc714a7");
}

#[test]
fn progress_ends_with_everything_written() {
    let mut calls = Vec::new();
    let summary = generate(&options(), &mut Vec::new(), &mut |done, all| calls.push((done, all)))
        .expect("generates");
    assert!(calls.iter().all(|(done, all)| done <= all), "{calls:?}");
    assert!(calls.is_sorted_by_key(|(done, _)| *done), "{calls:?}");
    assert_eq!(calls.last(), Some(&(summary.lines, summary.lines)));
}

#[test]
fn bad_options_and_a_full_disk_are_named() {
    let none = &mut |_: u64, _: u64| {};
    for (options, expected) in [
        (Options { customers: 0, ..options() }, "can't generate 0 customers"),
        (Options { customers: 5_000_001, ..options() }, "can't generate 5000001 customers"),
        (Options { days: 0, ..options() }, "can't generate 0 days"),
        (Options { start: Timestamp::MAX, ..options() }, "start between 1970 and 9000"),
    ] {
        let error = generate(&options, &mut Vec::new(), none).expect_err(expected);
        assert!(error.to_string().contains(expected), "{error}");
    }
    let mut disk = [0_u8; 10_000];
    let error = generate(&options(), &mut disk.as_mut_slice(), none).expect_err("no room");
    assert!(matches!(error, Error::Write(_)), "{error}");
}

#[test]
fn a_week_of_ten_thousand_customers_counts_right_too() {
    if !full("a_week_of_ten_thousand_customers_counts_right_too", "half a million lines") {
        return;
    }
    let (text, summary) = written(&Options { customers: 10_000, days: 7, ..options() });
    let counted = count(&text);
    assert_eq!(counted.kinds.values().sum::<u64>(), summary.events());
    assert_eq!(counted.broken, summary.broken.values().sum::<u64>());
    assert!((400_000..600_000).contains(&summary.lines), "{}", summary.lines);
}
