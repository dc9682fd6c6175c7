//! What every store guarantees, on every store: one suite, run on memory, SQLite and Postgres.

#![expect(clippy::unwrap_used, reason = "helpers of tests panic as tests do")]

mod all_at_once;
pub(crate) mod builds;
mod on_a_server;
mod on_disk;
mod restored;
mod retention;
mod way_out;

pub(crate) use on_a_server::fresh as fresh_on_a_server;

use waypost::engine::{Decision, Reason, Trace, TraceKind};
use waypost::journey::{Class, Version};
use waypost::log::{CartMoved, Record};
use waypost::model::{
    CustomerId, EventName, MessageChannel, MessageId, RunId, Text, Tie, Timestamp,
};
use waypost::store::{
    Checkpoint, Error, Lease, Ledger, MemoryStore, MessageChange, MessageStatus, OutboxRow,
    Outgoing, PgLedger, PgStore, Position, SqliteLedger, SqliteStore, StateRow, Store,
};

fn at(ms: i64) -> Timestamp {
    Timestamp::from_ms(ms)
}

fn decision(message: u128, withheld: Option<Reason>) -> MessageChange {
    MessageChange::Decided(Box::new(Decision {
        message: MessageId(message),
        customer: Text::new("17"),
        journey: Text::new("cart"),
        version: Version(7),
        run: RunId(9),
        step: Text::new("first"),
        occurrence: 0,
        channel: MessageChannel::Email,
        template: Text::new("cart/first"),
        topic: None,
        class: Class::Marketing,
        at: at(1_000),
        settle_ms: 5,
        expires: Some(at(9_000)),
        window_end: None,
        withheld,
        data: "{\"a\":1}".into(),
    }))
}

fn state(customer: u128, next_due: Option<i64>, bytes: &[u8]) -> StateRow {
    let next_due = next_due.map(at);
    StateRow { customer: CustomerId(customer), next_due, state: Some(bytes.to_vec()) }
}

fn trace(detail: &str) -> Trace {
    Trace {
        at: at(2),
        kind: TraceKind::Started,
        journey: Some((Text::new("cart"), Version(7))),
        run: Some(RunId(9)),
        step: None,
        reason: Some(Reason::Stopped),
        detail: Some(Text::new(detail)),
    }
}

fn outcome(message: u128, outcome: EventName) -> MessageChange {
    MessageChange::Outcome { message: MessageId(message), outcome, ours: false }
}

fn outbox(id: u128) -> OutboxRow {
    let record = Record::CartMoved(Box::new(CartMoved {
        customer: CustomerId(3),
        cart_id: Text::new("cart"),
        time: at(1),
        tie: Tie::default(),
    }));
    OutboxRow { id, record }
}

/// A checkpoint with something of everything; its messages are `first` and the next two.
fn checkpoint(first: u128, end: u64) -> Checkpoint {
    let of = CustomerId(3);
    Checkpoint {
        position: Position { low: end - 1, end, watermark: Some(at(end.cast_signed())) },
        states: vec![
            state(3, Some(50), b"three"),
            state(1, None, b"one"),
            state(2, Some(10), b"two"),
        ],
        messages: vec![
            (of, decision(first, None)),
            (of, decision(first + 1, Some(Reason::Consent))),
            (of, decision(first + 2, None)),
            (of, MessageChange::Revised(MessageId(first), 2, "{\"a\":2}".into())),
            (of, MessageChange::Cancelled(MessageId(first + 2), Reason::Stopped)),
            (of, MessageChange::Cancelled(MessageId(first + 1), Reason::Stopped)),
            (of, outcome(first, EventName::EmailSent)),
            (of, outcome(424_242, EventName::EmailOpened)),
        ],
        trace: vec![(of, trace("a")), (CustomerId(4), trace("b")), (of, trace("c"))],
        outbox: vec![outbox(first), outbox(first + 1)],
        consents: Vec::new(),
        erased: Vec::new(),
        build: "test".into(),
        ..Checkpoint::default()
    }
}

/// Everything that can be seen of a store, to compare before and after.
async fn seen(store: &(impl Store + Reads), lease: Lease) -> String {
    let ledger = store.reads();
    let ids: Vec<CustomerId> = (0..400).map(CustomerId).collect();
    let mut states = store.load(lease, &ids).await.unwrap();
    states.sort();
    format!(
        "{states:?} {:?} {:?} {:?} {:?} {:?}",
        ledger.decisions(0, 0, 1_000).await.unwrap(),
        ledger.trace_of(CustomerId(3)).await.unwrap(),
        ledger.counts().await.unwrap(),
        ledger.lanes().await.unwrap(),
        store.outbox_pending(1_000).await.unwrap(),
    )
}

trait Reads {
    type Ledger: Ledger;
    fn reads(&self) -> &Self::Ledger;
}

impl Reads for MemoryStore {
    type Ledger = Self;
    fn reads(&self) -> &Self {
        self
    }
}

impl Reads for SqliteStore {
    type Ledger = SqliteLedger;
    fn reads(&self) -> &SqliteLedger {
        self.ledger()
    }
}

impl Reads for PgStore {
    type Ledger = PgLedger;
    fn reads(&self) -> &PgLedger {
        self.ledger()
    }
}

/// Runs one part of the contract on each store.
macro_rules! on_every_store {
    ($($name:ident)*) => {
        mod memory {
            $(#[tokio::test]
            async fn $name() {
                super::$name(&super::MemoryStore::new()).await;
            })*
        }
        mod sqlite {
            $(#[tokio::test]
            async fn $name() {
                let folder = tempfile::tempdir().unwrap();
                let path = folder.path().join("state.db");
                super::$name(&super::SqliteStore::open(&path).await.unwrap()).await;
            })*
        }
        mod postgres {
            $(#[tokio::test]
            async fn $name() {
                super::$name(&super::on_a_server::fresh().await).await;
            })*
        }
    };
}

on_every_store! {
    a_checkpoint_is_kept_whole
    a_lane_that_was_taken_is_fenced
    an_error_keeps_nothing
    due_and_scan_have_an_order
    states_are_removed_and_replaced
    erasing_leaves_the_fact_and_no_content
    journeys_are_counted
    the_outbox_is_first_in_first_out
    many_rows_go_in_bulk
}

async fn a_checkpoint_is_kept_whole(store: &(impl Store + Reads)) {
    let (lease, position) = store.take(0).await.unwrap();
    assert_eq!(position, Position::default());
    store.commit(lease, checkpoint(10, 5)).await.unwrap();

    let messages = store.reads().messages_of(CustomerId(3)).await.unwrap();
    let told: Vec<_> = messages
        .iter()
        .map(|row| {
            (row.decision.message.0, row.status, row.reason, row.revision, row.outcome.clone())
        })
        .collect();
    let sent = Some(EventName::EmailSent);
    assert_eq!(
        told,
        [
            (10, MessageStatus::Decided, None, 2, sent),
            (11, MessageStatus::Withheld, Some(Reason::Consent), 1, None),
            (12, MessageStatus::Cancelled, Some(Reason::Stopped), 1, None),
        ]
    );
    let MessageChange::Decided(mut first) = decision(10, None) else { unreachable!() };
    first.data = "{\"a\":2}".into();
    assert_eq!(messages[0].decision, *first);
    assert_eq!(messages[1].decision.withheld, Some(Reason::Consent));
    assert_eq!(messages[2].decision.withheld, None);

    let traces = store.reads().trace_of(CustomerId(3)).await.unwrap();
    assert_eq!(traces, [trace("a"), trace("c")]);
    let counts = store.reads().counts().await.unwrap();
    let counts: Vec<_> = counts.iter().map(|row| (row.status, row.reason, row.messages)).collect();
    assert_eq!(
        counts,
        [
            (MessageStatus::Cancelled, Some(Reason::Stopped), 1),
            (MessageStatus::Decided, None, 1),
            (MessageStatus::Withheld, Some(Reason::Consent), 1),
        ]
    );
    assert_eq!(store.reads().state(0, CustomerId(2)).await.unwrap(), Some(b"two".to_vec()));
    let (_, position) = store.take(0).await.unwrap();
    assert_eq!(position, Position { low: 4, end: 5, watermark: Some(at(5)) });
}

async fn a_lane_that_was_taken_is_fenced(store: &(impl Store + Reads)) {
    let (old, _) = store.take(0).await.unwrap();
    let (new, _) = store.take(0).await.unwrap();
    let (other, _) = store.take(1).await.unwrap();
    assert!(new.epoch > old.epoch);
    let before = seen(store, new).await;
    let error = store.commit(old, checkpoint(10, 5)).await.unwrap_err();
    assert!(matches!(error, Error::Fenced { partition: 0, .. }), "{error}");
    assert_eq!(seen(store, new).await, before);
    store.commit(new, checkpoint(10, 5)).await.unwrap();
    store.commit(other, checkpoint(20, 5)).await.unwrap();
    let never = Lease { partition: 9, epoch: 1 };
    assert!(matches!(store.commit(never, checkpoint(30, 5)).await, Err(Error::Fenced { .. })));
}

async fn an_error_keeps_nothing(store: &(impl Store + Reads)) {
    let (lease, _) = store.take(0).await.unwrap();
    store.commit(lease, checkpoint(10, 5)).await.unwrap();
    let before = seen(store, lease).await;

    // Kept in an earlier checkpoint, and at the end of a long one.
    let mut again = checkpoint(20, 6);
    again.messages.extend((100..400).map(|id| (CustomerId(5), decision(id, None))));
    again.messages.push((CustomerId(5), decision(12, None)));
    let error = store.commit(lease, again).await.unwrap_err();
    assert!(matches!(error, Error::DecidedTwice(MessageId(12))), "{error}");
    assert!(error.to_string().contains(&MessageId(12).to_string()), "{error}");

    let whole = store.commit(lease, checkpoint(10, 6)).await.unwrap_err();
    assert!(matches!(whole, Error::DecidedTwice(MessageId(10))), "{whole}");

    let mut twice = checkpoint(20, 6);
    twice.messages.push((CustomerId(5), decision(20, None)));
    let error = store.commit(lease, twice).await.unwrap_err();
    assert!(matches!(error, Error::DecidedTwice(MessageId(20))), "{error}");

    let mut unknown = checkpoint(20, 6);
    let cancel = MessageChange::Cancelled(MessageId(77), Reason::Moved);
    unknown.messages.push((CustomerId(5), cancel));
    let error = store.commit(lease, unknown).await.unwrap_err();
    assert!(matches!(error, Error::UnknownMessage(MessageId(77))), "{error}");

    assert_eq!(seen(store, lease).await, before);
    store.commit(lease, checkpoint(20, 6)).await.unwrap();
}

async fn due_and_scan_have_an_order(store: &(impl Store + Reads)) {
    let (lease, _) = store.take(0).await.unwrap();
    let (other, _) = store.take(1).await.unwrap();
    store.commit(lease, checkpoint(10, 5)).await.unwrap();
    let elsewhere = Checkpoint { states: vec![state(8, Some(1), b"x")], ..Checkpoint::default() };
    store.commit(other, elsewhere).await.unwrap();
    let ids = |ids: &[u128]| ids.iter().copied().map(CustomerId).collect::<Vec<_>>();
    for (upto, due) in [(9, &[][..]), (10, &[2][..]), (50, &[2, 3][..])] {
        assert_eq!(store.due(lease, at(upto)).await.unwrap(), ids(due), "upto {upto}");
    }
    // The stored time is what the lane gave: a lower bound until the lane gives another.
    let later = Checkpoint { states: vec![state(2, Some(60), b"two")], ..Checkpoint::default() };
    store.commit(lease, later).await.unwrap();
    assert_eq!(store.due(lease, at(50)).await.unwrap(), ids(&[3]));
    assert_eq!(store.due(lease, at(60)).await.unwrap(), ids(&[3, 2]));

    for (after, limit, found) in [
        (None, 9, &[1, 2, 3][..]),
        (None, 2, &[1, 2][..]),
        (Some(1), 9, &[2, 3][..]),
        (Some(3), 9, &[][..]),
        (Some(u128::MAX), 9, &[][..]),
    ] {
        let scanned = store.scan(lease, after.map(CustomerId), limit).await.unwrap();
        assert_eq!(scanned, ids(found), "after {after:?}");
    }
}

async fn states_are_removed_and_replaced(store: &(impl Store + Reads)) {
    let (lease, _) = store.take(0).await.unwrap();
    store.commit(lease, checkpoint(10, 5)).await.unwrap();
    let gone = StateRow { customer: CustomerId(2), next_due: None, state: None };
    let never = StateRow { customer: CustomerId(99), next_due: None, state: None };
    let rows = vec![gone, never, state(1, Some(1), b"new")];
    let next = Checkpoint { states: rows, ..Checkpoint::default() };
    store.commit(lease, next).await.unwrap();
    let mut states = store.load(lease, &[1, 2, 3, 99].map(CustomerId)).await.unwrap();
    states.sort();
    let kept = [(CustomerId(1), b"new".to_vec()), (CustomerId(3), b"three".to_vec())];
    assert_eq!(states, kept);
    assert_eq!(store.due(lease, at(20)).await.unwrap(), [CustomerId(1)]);
}

async fn erasing_leaves_the_fact_and_no_content(store: &(impl Store + Reads)) {
    let (lease, _) = store.take(0).await.unwrap();
    let mut one = checkpoint(10, 5);
    one.messages.push((CustomerId(5), decision(30, None)));
    store.commit(lease, one).await.unwrap();
    let mut erasing = checkpoint(20, 6);
    erasing.erased = vec![CustomerId(3)];
    store.commit(lease, erasing).await.unwrap();
    let messages = store.reads().messages_of(CustomerId(3)).await.unwrap();
    assert_eq!(messages.len(), 6);
    assert!(messages.iter().all(|row| row.erased && row.decision.data.is_empty()));
    let traces = store.reads().trace_of(CustomerId(3)).await.unwrap();
    assert!(!traces.is_empty() && traces.iter().all(|trace| trace.detail.is_none()));
    let other = store.reads().messages_of(CustomerId(5)).await.unwrap();
    assert_eq!(other[0].decision.data, "{\"a\":1}");
    assert!(!other[0].erased);
}

async fn journeys_are_counted(store: &(impl Store + Reads)) {
    let (lease, _) = store.take(0).await.unwrap();
    let mut one = checkpoint(10, 5);
    // Customer 5 is in the holdout by the first run, 6 is not, and 7 meets another journey.
    let entry = |kind, journey: &str, run, reason| Trace {
        kind,
        journey: Some((Text::new(journey), Version(8))),
        run: Some(RunId(run)),
        reason,
        ..trace("")
    };
    let started = |run, reason| entry(TraceKind::Started, "cart", run, reason);
    let goal = |run| entry(TraceKind::GoalReached, "cart", run, None);
    one.trace.extend([
        (CustomerId(5), started(50, Some(Reason::Holdout))),
        (CustomerId(6), started(60, None)),
        (CustomerId(5), started(51, None)),
        (CustomerId(6), started(61, Some(Reason::Holdout))),
        (CustomerId(5), goal(51)),
        (CustomerId(7), entry(TraceKind::Started, "browse", 70, None)),
        (CustomerId(7), entry(TraceKind::GoalReached, "browse", 50, None)),
    ]);
    let MessageChange::Decided(mut early) = decision(20, None) else { unreachable!() };
    (early.step, early.at) = (Text::new("a later step"), at(-1));
    one.messages.push((CustomerId(5), MessageChange::Decided(early)));
    store.commit(lease, one).await.unwrap();

    let ledger = store.reads();
    assert_eq!(ledger.journeys().await.unwrap(), ["browse", "cart"]);
    let none = ledger.journey("nope").await.unwrap();
    assert_eq!(none, waypost::store::JourneyCounts::default());
    let found = ledger.journey("cart").await.unwrap();
    let entries: Vec<_> =
        found.entries.iter().map(|row| (row.kind, row.reason, row.entries)).collect();
    let started = |reason, entries| (TraceKind::Started, reason, entries);
    assert_eq!(
        entries,
        [
            (TraceKind::GoalReached, None, 1),
            started(None, 2),
            started(Some(Reason::Holdout), 2),
            started(Some(Reason::Stopped), 3),
        ]
    );
    let messages: Vec<_> = found
        .messages
        .iter()
        .map(|row| (row.step.as_str(), row.status, row.reason, row.outcome.clone(), row.messages))
        .collect();
    assert_eq!(
        messages,
        [
            ("first", MessageStatus::Decided, None, Some(EventName::EmailSent), 1),
            ("first", MessageStatus::Withheld, Some(Reason::Consent), None, 1),
            ("first", MessageStatus::Cancelled, Some(Reason::Stopped), None, 1),
            ("a later step", MessageStatus::Decided, None, None, 1),
        ]
    );
    let hours: Vec<_> =
        found.hours.iter().map(|row| (row.from.ms(), row.decided, row.not_sent)).collect();
    assert_eq!(hours, [(-3_600_000, 1, 0), (0, 1, 2)]);
    // Those of `trace` started without a holdout, too: customers 3, 4 and 6.
    let people: Vec<_> =
        found.people.iter().map(|row| (row.holdout, row.customers, row.reached)).collect();
    assert_eq!(people, [(false, 3, 0), (true, 1, 1)]);
    assert_eq!(found.versions, [Version(7), Version(8)]);
}

async fn the_outbox_is_first_in_first_out(store: &(impl Store + Reads)) {
    let (lease, _) = store.take(0).await.unwrap();
    store.commit(lease, checkpoint(40, 5)).await.unwrap();
    store.commit(lease, checkpoint(10, 6)).await.unwrap();
    let pending = async |limit| -> Vec<u128> {
        store.outbox_pending(limit).await.unwrap().iter().map(|row| row.id).collect()
    };
    assert_eq!(pending(9).await, [40, 41, 10, 11]);
    assert_eq!(store.outbox_pending(1).await.unwrap(), [outbox(40)]);
    store.outbox_done(&[40, 10, 999]).await.unwrap();
    assert_eq!(pending(9).await, [41, 11]);
}

async fn many_rows_go_in_bulk(store: &(impl Store + Reads)) {
    let (lease, _) = store.take(0).await.unwrap();
    let big = Checkpoint {
        states: (0..1_000).rev().map(|id| state(id, Some(1_000), b"s")).collect(),
        messages: (0..700).map(|id| (CustomerId(id), decision(id, None))).collect(),
        trace: (0..700).map(|id| (CustomerId(id), trace("t"))).collect(),
        outbox: (0..700).map(outbox).collect(),
        ..Checkpoint::default()
    };
    store.commit(lease, big).await.unwrap();
    let all: Vec<CustomerId> = (0..2_000).map(CustomerId).collect();
    assert_eq!(store.load(lease, &all).await.unwrap().len(), 1_000);
    assert_eq!(store.due(lease, at(1_000)).await.unwrap(), all[..1_000]);
    let first = store.reads().decisions(0, 0, 500).await.unwrap();
    let rest = store.reads().decisions(0, first[499].seq, 500).await.unwrap();
    let order = first.iter().chain(&rest).map(|row| row.decision.message.0);
    assert!(order.eq(0..700));
    assert_eq!(store.outbox_pending(5_000).await.unwrap().len(), 700);
}

/// Four lanes of one store at the same time.
async fn four_lanes_share<S: Outgoing + Store>(store: S) {
    let store = std::sync::Arc::new(store);
    let tasks = tokio::task::LocalSet::new();
    for partition in 0..4 {
        let store = std::sync::Arc::clone(&store);
        tasks.spawn_local(async move {
            let (lease, _) = store.take(partition).await.unwrap();
            for round in 0..5 {
                let first = u128::from(partition) * 1_000 + round * 10;
                store.commit(lease, checkpoint(first, 5)).await.unwrap();
                store.load(lease, &[CustomerId(3)]).await.unwrap();
            }
        });
    }
    tasks.await;
    let decided: u64 = store.ledger().counts().await.unwrap().iter().map(|row| row.messages).sum();
    assert_eq!(60, decided);
}
