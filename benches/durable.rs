//! How fast the embedded files are: `cargo bench --bench durable`.

#![expect(clippy::print_stdout, reason = "figures are what it is for")]
#![expect(clippy::disallowed_methods, reason = "it measures time")]
#![expect(clippy::unwrap_used, reason = "a figure or nothing")]

mod size;

use std::time::Instant;

use waypost::engine::{Decision, Trace, TraceKind};
use waypost::identity::Identify;
use waypost::journey::{Class, Version};
use waypost::log::{Append, CustomerEvent, Log, ReadLog, Record};
use waypost::model::{
    CustomerId, Event, EventName, Identity, Item, MessageChannel, MessageId, RunId, Text,
    Timestamp, derive,
};
use waypost::store::{Checkpoint, MessageChange, SqliteStore, StateRow, Store};

use size::size;

#[tokio::main]
async fn main() {
    let folder = tempfile::tempdir().unwrap();
    identify_in_memory();
    identify_and_append(&folder.path().join("identified.db")).await;
    log(&folder.path().join("log.db")).await;
    state(&folder.path().join("state.db")).await;
}

fn customer(number: u64) -> CustomerId {
    CustomerId(derive("bench", &[&number.to_le_bytes()]))
}

fn event(number: u64, customers: u64) -> Event {
    let time = Timestamp::from_ms(1_700_000_000_000 + number.cast_signed());
    let mut event = Event::new(number.to_string(), EventName::CartItemAdded, time);
    let id = number.wrapping_mul(0x9E37_79B9_7F4A_7C15) % customers;
    event.identities.extend(Identity::customer_id(&id.to_string()));
    event.tie.offset = number;
    event
}

fn identify_in_memory() {
    let count = size(1_000_000);
    let events: Vec<Event> = (0..count).map(|number| event(number, count / 10)).collect();
    let mut stage = Identify::in_memory([1; 32]);
    let mut out = Vec::with_capacity(events.len());
    let started = Instant::now();
    for event in events {
        stage.identify(event, &mut out).unwrap();
    }
    let customers = count / 10;
    println!(
        "identify: {count} events of {customers} customers in memory: {:?}",
        started.elapsed()
    );
}

async fn identify_and_append(path: &std::path::Path) {
    let mut log = Log::open(path, 1).await.unwrap();
    let reader = log.reader();
    let mut stage = Identify::stored(log.identity_key());
    let count = size(100_000);
    let events: Vec<Event> = (0..count).map(|number| event(number, count / 2)).collect();
    let started = Instant::now();
    for batch in events.chunks(1_000) {
        stage.prefetch(&reader, batch).await.unwrap();
        let mut records = Vec::with_capacity(batch.len());
        for event in batch {
            stage.identify(event.clone(), &mut records).unwrap();
        }
        let graph = stage.take_changes();
        log.append(Append { records, graph, ..Append::default() }).await.unwrap();
        stage.trim(0);
    }
    println!(
        "identify, stored, nothing cached: {count} events of {} customers, 1,000 a transaction: {:?}",
        count / 2,
        started.elapsed()
    );
}

async fn log(path: &std::path::Path) {
    let count = size(100_000);
    let events: Vec<Record> = (0..count)
        .map(|number| {
            let time = Timestamp::from_ms(1_700_000_000_000 + number.cast_signed());
            let mut event = Event::new(format!("event-{number}"), EventName::CartItemAdded, time);
            event.identities.extend(Identity::customer_id(&number.to_string()));
            let sku = Text::from(format!("sku-{}", number % 1_000));
            event.items = vec![Item { sku, quantity: 1, ..Item::default() }];
            Record::Event(Box::new(CustomerEvent { customer: customer(number), event }))
        })
        .collect();
    let mut log = Log::open(path, 1).await.unwrap();
    let started = Instant::now();
    for batch in events.chunks(1_000) {
        log.append(Append { records: batch.to_vec(), ..Append::default() }).await.unwrap();
    }
    println!("log: append {count} events, 1,000 a transaction: {:?}", started.elapsed());
    let started = Instant::now();
    let read = log.reader().read(0, 0, usize::MAX).await.unwrap();
    println!("log: read {} events: {:?}", read.len(), started.elapsed());
    println!("log: {} bytes", std::fs::metadata(path).unwrap().len());
}

async fn state(path: &std::path::Path) {
    let store = SqliteStore::open(path).await.unwrap();
    let (lease, _) = store.take(0).await.unwrap();
    for round in 0..10_u64 {
        let ids: Vec<CustomerId> =
            (0..size(10_000)).map(|number| customer(number * 7 + round * 30_000)).collect();
        let checkpoint = Checkpoint {
            states: ids.iter().map(|id| state_row(*id, round)).collect(),
            messages: (0..size(1_000)).map(|number| message(round * 1_000 + number)).collect(),
            trace: (0..size(2_000)).map(trace).collect(),
            ..Checkpoint::default()
        };
        let started = Instant::now();
        store.commit(lease, checkpoint).await.unwrap();
        let committed = started.elapsed();
        let started = Instant::now();
        let loaded = store.load(lease, &ids).await.unwrap().len();
        println!(
            "state: checkpoint {round}: {committed:?}; load {loaded}: {:?}",
            started.elapsed()
        );
    }
}

fn state_row(customer: CustomerId, round: u64) -> StateRow {
    let due = (customer.0 % 100_000).cast_signed() as i64;
    StateRow {
        customer,
        next_due: Some(Timestamp::from_ms(due)),
        state: Some(vec![u8::try_from(round).unwrap(); 200]),
    }
}

fn message(number: u64) -> (CustomerId, MessageChange) {
    let decision = Decision {
        message: MessageId(derive("message", &[&number.to_le_bytes()])),
        customer: "17".into(),
        journey: Text::new("abandoned-cart"),
        version: Version(7),
        run: RunId(derive("run", &[&number.to_le_bytes()])),
        step: Text::new("first"),
        occurrence: 0,
        channel: MessageChannel::Email,
        template: Text::new("abandoned-cart/first"),
        topic: None,
        class: Class::Marketing,
        at: Timestamp::from_ms(1_700_000_000_000),
        settle_ms: 0,
        expires: None,
        window_end: None,
        withheld: None,
        data: "x".repeat(400),
    };
    (customer(number), MessageChange::Decided(Box::new(decision)))
}

fn trace(number: u64) -> (CustomerId, Trace) {
    let trace = Trace {
        at: Timestamp::from_ms(1_700_000_000_000),
        kind: TraceKind::Started,
        journey: Some((Text::new("abandoned-cart"), Version(7))),
        run: Some(RunId(derive("run", &[&number.to_le_bytes()]))),
        step: None,
        reason: None,
        detail: None,
    };
    (customer(number), trace)
}
