//! What was kept long enough goes, and nothing that is not over.

use waypost::log::{DeadLetter, DeadLetterFilter, DeadLetters, Log, Registry};
use waypost::store::{DeliveryStatus, End, Listing, MessageFilter, Outcome, Pinned, Retention};

use super::*;

/// Before this everything is old.
const HORIZON: i64 = 5_000;

fn decided(message: u128, due: i64, withheld: Option<Reason>) -> (CustomerId, MessageChange) {
    let MessageChange::Decided(mut one) = decision(message, withheld) else { unreachable!() };
    one.at = at(due);
    (CustomerId(3), MessageChange::Decided(one))
}

fn entry(when: i64, kind: TraceKind) -> (CustomerId, Trace) {
    (CustomerId(3), Trace { at: at(when), kind, ..trace("4") })
}

async fn sent<S: Store + Outgoing>(store: &S, message: u128) {
    let claims = store.claim(at(6_000), 9).await.unwrap();
    let pinned = Pinned {
        revision: 1,
        address: "ann@shop.example".into(),
        sender: None,
        subject: None,
        body: b"the mail".to_vec(),
    };
    let end =
        End { status: DeliveryStatus::Sent, outcome: Outcome::Sent, detail: None, suppress: false };
    for claim in claims {
        if claim.message.decision.message == MessageId(message) {
            store.start(&claim, &pinned, at(6_000)).await.unwrap();
            store.dot_sent(&claim, at(6_000)).await.unwrap();
            store.end(&claim, &end, at(6_000)).await.unwrap();
        }
    }
}

async fn only_what_is_over_goes<S: Store + Outgoing + Retention>(store: &S) {
    let (lease, _) = store.take(0).await.unwrap();
    let of = CustomerId(3);
    let one = Checkpoint {
        position: Position { low: 1, end: 1, watermark: Some(at(6_000)) },
        messages: vec![
            decided(1, 1_000, Some(Reason::Consent)),
            decided(2, 1_001, None),
            (of, MessageChange::Cancelled(MessageId(2), Reason::Stopped)),
            decided(3, 1_002, None),
            decided(4, 1_003, None),
            decided(5, HORIZON, Some(Reason::Consent)),
        ],
        trace: vec![
            entry(1, TraceKind::Started),
            entry(2, TraceKind::Merged),
            entry(HORIZON, TraceKind::Started),
        ],
        ..Checkpoint::default()
    };
    store.commit(lease, one).await.unwrap();
    let ledger = store.ledger();
    assert_eq!(ledger.messages_from().await.unwrap(), None);
    // One has gone, and the log has not told of it yet; the other is under way.
    sent(store, 3).await;
    let kept = || async {
        let messages = ledger.messages_of(of).await.unwrap();
        messages.iter().map(|message| message.decision.message.0).collect::<Vec<_>>()
    };
    assert_eq!(store.remove_messages(at(HORIZON), 1).await.unwrap(), 1, "no more than asked for");
    assert_eq!(kept().await, [2, 3, 4, 5]);
    assert_eq!(store.remove_messages(at(HORIZON), 9).await.unwrap(), 1);
    assert_eq!(kept().await, [3, 4, 5]);
    let outcome = |name| {
        let told = (of, outcome(3, name));
        Checkpoint { messages: vec![told], ..Checkpoint::default() }
    };
    store.commit(lease, outcome(EventName::EmailSent)).await.unwrap();
    assert_eq!(store.remove_messages(at(HORIZON), 9).await.unwrap(), 1);
    assert_eq!(kept().await, [4, 5]);
    assert_eq!(ledger.messages_from().await.unwrap(), Some(at(HORIZON)));
    assert_eq!(store.remove_messages(at(1), 9).await.unwrap(), 0);
    assert_eq!(ledger.messages_from().await.unwrap(), Some(at(HORIZON)), "what is gone stays gone");
    let known = ledger.messages(&MessageFilter { limit: 9, ..MessageFilter::default() }).await;
    assert_eq!(known.unwrap().len(), 2);
    let ways: u64 = ledger.deliveries().await.unwrap().iter().map(|(_, count)| count).sum();
    assert_eq!(ways, 1, "what delivery kept of them went with them");
    // What is heard of one later is no mistake, and brings nothing back.
    store.commit(lease, outcome(EventName::EmailOpened)).await.unwrap();
    assert_eq!(kept().await, [4, 5]);

    assert_eq!(store.remove_trace(at(HORIZON), 9).await.unwrap(), 1);
    let traces = ledger.trace_of(of).await.unwrap();
    let left: Vec<_> = traces.iter().map(|trace| (trace.at.ms(), trace.kind)).collect();
    assert_eq!(left, [(2, TraceKind::Merged), (HORIZON, TraceKind::Started)]);
}

#[tokio::test]
async fn only_what_is_over_goes_from_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(&folder.path().join("state.db")).await.unwrap();
    only_what_is_over_goes(&store).await;
}

#[tokio::test]
async fn only_what_is_over_goes_from_a_server() {
    only_what_is_over_goes(&fresh_on_a_server().await).await;
}

#[tokio::test]
async fn one_worker_at_a_time_removes() {
    let store = fresh_on_a_server().await;
    let now = 1_000_000_000;
    let minute = 60_000;
    for (worker, when, turn) in [
        ("a", now, true),
        ("b", now + minute, false),
        ("a", now + minute, true),
        ("b", now + 3 * minute, false),
        ("b", now + 5 * minute, true),
        ("a", now + 5 * minute, false),
        // A clock that was ahead is not waited for.
        ("a", now, true),
    ] {
        assert_eq!(store.takes_turn(worker, at(when)).await.unwrap(), turn, "{worker} at {when}");
    }
}

fn letter(position: u64, when: i64) -> DeadLetter {
    DeadLetter {
        source: 1,
        partition: 0,
        position,
        reason: "odd".into(),
        payload: None,
        whole: false,
        at: at(when),
    }
}

async fn old_letters_go(letters: &impl DeadLetters) {
    assert_eq!(letters.remove_letters(at(HORIZON), 2).await.unwrap(), 2);
    assert_eq!(letters.remove_letters(at(HORIZON), 9).await.unwrap(), 1);
    let filter = DeadLetterFilter { limit: 9, ..DeadLetterFilter::default() };
    let left = letters.dead_letters(&filter).await.unwrap();
    assert_eq!(left.iter().map(|kept| kept.letter.position).collect::<Vec<_>>(), [4]);
}

#[tokio::test]
async fn old_dead_letters_go() {
    let all = [letter(1, 1), letter(2, 2), letter(3, 3), letter(4, HORIZON)];
    let store = fresh_on_a_server().await;
    let registry = Registry::open(store.database().clone(), 1).await.unwrap();
    registry.begin().await.unwrap().keep(&[], &[], &all, &[]).await.unwrap();
    old_letters_go(&registry).await;

    let folder = tempfile::tempdir().unwrap();
    let mut log = Log::open(&folder.path().join("log.db"), 1).await.unwrap();
    let dead_letters = all.to_vec();
    log.append(waypost::log::Append { dead_letters, ..Default::default() }).await.unwrap();
    old_letters_go(&log.reader()).await;
}
