//! Real files, counted: public data sets that are not part of the project.
//!
//! [`shared_data`] finds them. Where they are absent, each test says that it was left out.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use waypost::decode::{Auto, Decode, Entry, Form, Raw, Reader};
use waypost::model::{Event, Namespace, Tie, Timestamp};

use super::cases::{APPEND_TIME, shipped};
use crate::support::shared_data;

/// The file, if it is there; says so if it is not.
fn shared(name: &str) -> Option<PathBuf> {
    shared_data(&format!("decode::shared_data of {name}"), name)
}

struct Found {
    events: Vec<Event>,
    rejected: Vec<(u64, String)>,
}

impl Found {
    fn names(&self) -> BTreeMap<&str, usize> {
        let mut names = BTreeMap::new();
        for event in &self.events {
            *names.entry(event.name.as_str()).or_default() += 1;
        }
        names
    }

    fn with(&self, namespace: &Namespace) -> usize {
        let has = |event: &&Event| event.identities.iter().any(|id| id.namespace == *namespace);
        self.events.iter().filter(has).count()
    }
}

fn decode(mut reader: Reader, decoder: &dyn Decode) -> Found {
    let append_time: Timestamp = APPEND_TIME.parse().expect("a time");
    let mut found = Found { events: Vec::new(), rejected: Vec::new() };
    while let Some(entry) = reader.next_entry().expect("a readable file") {
        match entry {
            Entry::Rejected { line, reason, .. } => found.rejected.push((line, reason)),
            Entry::Record { line, bytes } => {
                let position = format!("file:{line}");
                let tie = Tie { source: 0, partition: 0, offset: line };
                let raw = Raw { bytes, append_time: Some(append_time), tie, position: &position };
                if let Err(rejected) = decoder.decode(&raw, &mut found.events) {
                    found.rejected.push((line, rejected.reason));
                }
            }
        }
    }
    found
}

fn luma(name: &str) -> Option<Found> {
    let path = shared(&format!("adobe-luma/{name}.json"))?;
    let reader = Reader::open(&path, Form::Auto).expect("a file");
    Some(decode(reader, &Auto::default()))
}

#[test]
fn luma_web_events() {
    let Some(found) = luma("luma-web-events") else { return };
    assert_eq!(found.rejected, []);
    assert_eq!(
        found.names(),
        BTreeMap::from([
            ("order.placed", 334),
            ("product.viewed", 328),
            ("wishlist.item_added", 339)
        ])
    );
    assert_eq!(found.events.iter().map(|event| event.items.len()).sum::<usize>(), 2_012);
    assert_eq!(found.with(&Namespace::Device), 1_001);
    assert_eq!(found.with(&Namespace::Other("lumaCrmId".into())), 1_001);
    let mut ids: Vec<_> = found.events.iter().map(|event| &event.id).collect();
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), 1_000, "one id belongs to two customers");
}

#[test]
fn luma_orders_and_people() {
    if let Some(found) = luma("luma-offline-purchases") {
        assert_eq!(found.rejected, []);
        assert_eq!(found.names(), BTreeMap::from([("order.placed", 1_001)]));
        let complete = |event: &&Event| {
            event.order.as_ref().is_some_and(|order| order.id.is_some() && order.total.is_some())
        };
        assert_eq!(found.events.iter().filter(complete).count(), 1_001);
    }
    // 119 rows of the CRM have a null address.
    for (name, rows, emails) in
        [("luma-crm", 1_002, 883), ("luma-loyalty", 1_001, 0), ("luma-test-profiles", 3, 3)]
    {
        let Some(found) = luma(name) else { continue };
        assert_eq!(found.rejected, [], "{name}");
        assert_eq!(found.names(), BTreeMap::from([("customer.updated", rows)]), "{name}");
        assert_eq!(found.with(&Namespace::Email), emails, "{name}");
    }
}

#[test]
fn luma_stock_events_are_of_no_customer_and_rejected_with_their_line() {
    let Some(found) = luma("luma-inventory-events") else { return };
    assert_eq!((found.events.len(), found.rejected.len()), (0, 1_000));
    assert!(found.rejected.iter().zip(1..).all(|((line, _), expected)| *line == expected));
    assert!(found.rejected[0].1.starts_with("no eventType"), "{}", found.rejected[0].1);
}

#[test]
fn rows_of_each_csv_file() {
    for (name, rows) in [
        ("cosmetics_5slices", None),
        ("multicategory_head", None),
        ("orders_main", None),
        ("taobao_2h_firehose", None),
        ("taobao_main", Some([("cart.item_added", 3_041), ("order.placed", 1_201)])),
        ("taobao_out_of_window", None),
    ] {
        let Some(path) = shared(&format!("{name}.csv.gz")) else { continue };
        let mapping = shipped("shop-csv.yaml");
        let mut reader = Reader::open(&path, mapping.form()).expect("a file");
        let header = reader.header().expect("a file").expect("a header").to_vec();
        let found = decode(reader, &mapping.for_header(&header).expect("the columns"));
        assert_eq!(found.rejected, [], "{name}");
        assert_eq!(found.names(), counted(&path), "{name}");
        for (event, count) in rows.into_iter().flatten() {
            assert_eq!(found.names().get(event), Some(&count), "{name}: {event}");
        }
    }
}

/// Events by name, counted by another reader than ours.
fn counted(path: &Path) -> BTreeMap<&'static str, usize> {
    let mut text = String::new();
    let file = File::open(path).expect("a file");
    flate2::read::GzDecoder::new(file).read_to_string(&mut text).expect("gzip");
    let mut names = BTreeMap::new();
    for row in csv::Reader::from_reader(text.as_bytes()).records() {
        let name = match row.expect("a row").get(1).expect("an event") {
            "view" => "product.viewed",
            "cart" => "cart.item_added",
            "remove_from_cart" => "cart.item_removed",
            "purchase" => "order.placed",
            "fav" => "wishlist.item_added",
            "cancel" => "order.cancelled",
            other => panic!("{other}"),
        };
        *names.entry(name).or_default() += 1;
    }
    names
}
