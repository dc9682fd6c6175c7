//! Identities in the embedded log: what was linked is known after a restart, and found by name.

#![expect(clippy::unwrap_used, reason = "helpers of tests panic as tests do")]

use std::path::Path;

use waypost::identity::{Identify, Rejected};
use waypost::log::{Append, InputPosition, Log, LogReader, ReadLog, Record};
use waypost::model::{CustomerId, Event, EventName, Identity, Text, Tie, Timestamp};

/// Events of one shopper and a second one: browsing, sign-in, a shared device, an erasure.
fn events() -> Vec<Event> {
    let ann = Identity::customer_id("1").unwrap();
    let ann_mail = Identity::email("Ann@shop.example").unwrap();
    let bob = Identity::customer_id("2").unwrap();
    let phone = Identity::device("phone").unwrap();
    let laptop = Identity::device("laptop").unwrap();
    let lines = [
        (EventName::OrderPlaced, vec![ann.clone()], None),
        (EventName::CartItemAdded, vec![phone.clone()], Some("k1")),
        (EventName::CustomerSignedIn, vec![phone.clone(), ann_mail, ann.clone()], None),
        (EventName::CartItemAdded, vec![laptop.clone()], Some("k2")),
        (EventName::CustomerSignedIn, vec![laptop, ann.clone()], None),
        (EventName::CustomerSignedIn, vec![phone.clone(), bob], None),
        (EventName::CartViewed, vec![phone], Some("k1")),
        (EventName::CustomerDeleted, vec![ann.clone()], None),
        (EventName::OrderPlaced, vec![ann], None),
    ];
    let event =
        |(offset, (name, identities, cart)): (u64, (EventName, Vec<Identity>, Option<&str>))| {
            let time = Timestamp::from_ms(1_700_000_000_000 + offset.min(7).cast_signed() * 1_000);
            let mut event = Event::new(offset.to_string(), name, time);
            event.tie = Tie { source: 1, partition: 0, offset };
            event.identities = identities;
            event.cart_id = cart.map(Text::new);
            event
        };
    (0..).zip(lines).map(event).collect()
}

/// Reads the events from the stored position on, `batch` in a transaction, then lets go of the
/// file; stops after `rounds`.
async fn ingest(path: &Path, batch: usize, rounds: usize) {
    let mut log = Log::open(path, 4).await.unwrap();
    let reader = log.reader();
    let mut stage = Identify::stored([3; 32]);
    for _ in 0..rounds {
        let next = reader.positions().await.unwrap().first().map_or(0, |position| position.next);
        let all = events();
        let batch: Vec<Event> = all.into_iter().skip(next as usize).take(batch).collect();
        if batch.is_empty() {
            return;
        }
        stage.prefetch(&reader, &batch).await.unwrap();
        let next = next + batch.len() as u64;
        let mut records = Vec::new();
        for event in batch {
            match stage.identify(event, &mut records) {
                Ok(_) | Err(Rejected::Erased) => {}
                Err(rejected) => panic!("{rejected}"),
            }
        }
        let positions = vec![InputPosition { source: 1, partition: 0, next }];
        let graph = stage.take_changes();
        log.append(Append { records, graph, positions, ..Append::default() }).await.unwrap();
        stage.trim(0);
    }
}

async fn contents(path: &Path) -> Vec<Vec<(u64, Record)>> {
    let reader = LogReader::open(path).await.unwrap();
    let mut partitions = Vec::new();
    for partition in 0..reader.partitions() {
        partitions.push(reader.read(partition, 0, usize::MAX).await.unwrap());
    }
    partitions
}

#[tokio::test]
async fn restarts_and_batches_change_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let whole = folder.path().join("whole.db");
    ingest(&whole, 100, 1).await;
    let expected = contents(&whole).await;
    let count = |kind: fn(&Record) -> bool| {
        expected.iter().flatten().filter(|(_, record)| kind(record)).count()
    };
    assert_eq!(count(|record| matches!(record, Record::Merge(_))), 2);
    assert_eq!(count(|record| matches!(record, Record::CartMoved(_))), 1);
    assert_eq!(count(|record| matches!(record, Record::Event(_))), 8, "the erased one is dropped");
    for batch in [1, 2, 5] {
        let path = folder.path().join(format!("{batch}.db"));
        for _ in 0..9 {
            ingest(&path, batch, 1).await;
        }
        assert_eq!(contents(&path).await, expected, "{batch} in a transaction");
    }
}

#[tokio::test]
async fn a_customer_is_found_by_any_name() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log.db");
    ingest(&path, 7, 1).await;
    let reader = LogReader::open(&path).await.unwrap();
    let named = async |text: &str| -> Vec<CustomerId> {
        Identify::stored([3; 32]).named(&reader, text, &[]).await.unwrap()
    };
    let ann = named("1").await;
    assert_eq!(ann.len(), 1);
    assert_eq!(named("ANN@shop.example").await, ann);
    assert_eq!(named("laptop").await, ann);
    assert_eq!(named(&ann[0].to_string()).await, ann);
    assert_eq!(named("phone").await, named("2").await);
    assert_ne!(named("phone").await, ann);
    assert_eq!(named("nobody@shop.example").await, []);
    let merged = contents(&path).await.into_iter().flatten().find_map(|(_, record)| match record {
        Record::Merge(merge) => Some(merge.loser),
        _ => None,
    });
    assert_eq!(named(&merged.unwrap().to_string()).await, ann);
    assert_eq!(named(&CustomerId(5).to_string()).await, []);
    ingest(&path, 7, 1).await;
    assert_eq!(named("1").await, [], "erased");
}
