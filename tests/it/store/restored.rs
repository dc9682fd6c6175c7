//! Lanes of a database that was restored: nothing leaves them before the log has told what had gone,
//! and what it does not tell of is in doubt.

use waypost::model::{MessageChannel, MessageId};
use waypost::store::{DeliveryStatus, Listing, MessageFilter, Restored};

use super::*;

/// Until when nothing leaves, and what may have gone.
const UNTIL: (i64, i64) = (5_000, 2_000);

async fn status(store: &PgStore, message: u128) -> DeliveryStatus {
    let filter =
        MessageFilter { message: Some(MessageId(message)), limit: 1, ..MessageFilter::default() };
    let found = store.ledger().messages(&filter).await.unwrap();
    found[0].1.as_ref().unwrap().status
}

/// A message that is due then.
fn due(message: u128, when: i64) -> (CustomerId, MessageChange) {
    let MessageChange::Decided(mut decision) = decision(message, None) else { unreachable!() };
    (decision.at, decision.expires) = (at(when), None);
    (CustomerId(3), MessageChange::Decided(decision))
}

fn moves(end: u64, watermark: i64, messages: Vec<(CustomerId, MessageChange)>) -> Checkpoint {
    let position = Position { low: end, end, watermark: Some(at(watermark)) };
    Checkpoint { position, messages, ..Checkpoint::default() }
}

/// Claims what may leave, by number.
async fn claimed(store: &PgStore) -> Vec<u128> {
    let claims = store.claim(at(9_000), 10).await.unwrap();
    claims.iter().map(|claim| claim.message.decision.message.0).collect()
}

async fn check(is_repeatable: bool, leave: &[u128], in_doubt: u64, ends_as: DeliveryStatus) {
    let store = on_a_server::fresh().await;
    let (old, _) = store.take(0).await.unwrap();
    store.commit(old, moves(1, 1_500, vec![due(1, 1_000), due(2, 1_100)])).await.unwrap();
    let lanes = [Restored { partition: 0, from: None }, Restored { partition: 1, from: None }];
    store.restored(&lanes, Some((at(UNTIL.0), at(UNTIL.1)))).await.unwrap();
    // Who runs from before fits nowhere, and a lane that is new begins at the beginning.
    let error = store.commit(old, moves(2, 1_600, vec![])).await.unwrap_err();
    assert!(matches!(error, Error::Fenced { .. }), "{error}");
    assert_eq!(store.take(1).await.unwrap().1, Position::default());
    let (lease, position) = store.take(0).await.unwrap();
    assert_eq!((position.low, position.end), (1, 1));
    assert!(lease.epoch > old.epoch + 1_000);

    let recover = async || store.recover(at(9_000), |_: MessageChannel| is_repeatable).await;
    assert_eq!(recover().await.unwrap().in_doubt, 0);
    assert_eq!(claimed(&store).await, []);
    // The log tells that one was sent, and lets a third be decided.
    let sent =
        MessageChange::Outcome { message: MessageId(1), outcome: EventName::EmailSent, ours: true };
    let told = vec![(CustomerId(3), sent), due(3, 3_000)];
    store.commit(lease, moves(9, 4_999, told)).await.unwrap();
    assert_eq!(recover().await.unwrap().in_doubt, 0);
    assert_eq!(claimed(&store).await, [], "the recovery is not passed");
    store.commit(lease, moves(10, 5_000, vec![])).await.unwrap();
    assert_eq!(claimed(&store).await, [], "nobody has looked what is in doubt");
    assert_eq!(recover().await.unwrap().in_doubt, in_doubt);
    assert_eq!(claimed(&store).await, leave);
    assert_eq!(recover().await.unwrap().in_doubt, 0);
    assert_eq!(status(&store, 1).await, DeliveryStatus::Sent);
    assert_eq!(status(&store, 2).await, ends_as);
    assert_eq!(store.outbox_pending(9).await.unwrap().len() as u64, in_doubt, "the log is told");
    assert_eq!(store.ledger().held_lanes().await.unwrap(), [1], "which did not move");
}

#[tokio::test]
async fn what_the_log_does_not_tell_of_is_in_doubt() {
    check(false, &[3], 1, DeliveryStatus::InDoubt).await;
}

#[tokio::test]
async fn a_channel_that_may_repeat_sends_it() {
    check(true, &[2, 3], 0, DeliveryStatus::Claimed).await;
}

#[tokio::test]
async fn a_lane_that_has_run_on_through_a_restore_is_fenced() {
    let store = on_a_server::fresh().await;
    let (lease, _) = store.take(0).await.unwrap();
    let after = |after, end| Checkpoint { after: Some(after), ..moves(end, 1_000, vec![]) };
    store.commit(lease, after(0, 5)).await.unwrap();
    store.commit(lease, after(5, 9)).await.unwrap();
    // Of the same epoch, but the checkpoint before it is not there.
    for (before, end) in [(5, 12), (11, 12)] {
        let error = store.commit(lease, after(before, end)).await.unwrap_err();
        assert!(matches!(error, Error::Fenced { .. }), "{error}");
    }
    store.commit(lease, after(9, 12)).await.unwrap();
}
