//! Between the decision and the first byte: whatever stops a message there, it does not go.

use waypost::engine::{Decision, Reason};
use waypost::journey::Class;
use waypost::model::{EventName, MessageChannel, MessageId};
use waypost::store::{
    Begin, Claim, DeliveryStatus, End, Hold, Listing, MessageChange, Outcome, PgStore, SqliteStore,
    SuppressionReason, address_hash,
};

use super::desk::{ADDRESS, CUSTOMER, Desk, Fresh, MESSAGE, at, decision, pinned};

/// Runs each test on each store.
macro_rules! on_both_stores {
    ($($name:ident)*) => {
        mod sqlite {
            $(#[tokio::test]
            async fn $name() {
                super::$name::<super::SqliteStore>().await;
            })*
        }
        mod postgres {
            $(#[tokio::test]
            async fn $name() {
                super::$name::<super::PgStore>().await;
            })*
        }
    };
}

on_both_stores! {
    what_comes_before_the_claim_stops_a_message
    what_comes_between_claim_and_first_byte_stops_a_message
    what_comes_after_the_first_byte_changes_nothing
    a_suppression_stops_what_it_speaks_of
    the_last_word_of_the_owner_counts
    what_is_stopped_during_a_try_is_not_tried_again
    a_message_is_claimed_once_its_lane_has_passed_due_and_settle
    a_start_needs_the_newest_claim
    a_further_try_sends_what_the_first_pinned
    a_worker_that_stopped_in_the_middle_repeats_only_what_can_not_have_gone
    an_answer_that_comes_late_still_counts
    an_unsubscribe_and_an_order_race_a_claim
    what_only_the_log_knows_ends_a_delivery
    a_bounce_that_only_the_log_knows_suppresses
}

/// What may come between the decision and the first byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Comes {
    /// An order: the run's stop rule.
    Stop,
    /// The customer is erased.
    Erasure,
    /// The customer unsubscribes, by HTTP.
    Unsubscribe,
    /// A person holds everything.
    Hold,
    /// A person cancels the message.
    Cancel,
    /// The cart changes: newer content.
    Revision,
}

const ALL: [Comes; 6] =
    [Comes::Stop, Comes::Erasure, Comes::Unsubscribe, Comes::Hold, Comes::Cancel, Comes::Revision];

impl Comes {
    async fn happen<S: Fresh>(self, desk: &mut Desk<S>) {
        match self {
            Self::Stop => {
                let stopped = MessageChange::Cancelled(MESSAGE, Reason::Stopped);
                desk.checkpoint(vec![stopped], &[]).await;
            }
            Self::Erasure => {
                let cancelled = MessageChange::Cancelled(MESSAGE, Reason::Erased);
                desk.checkpoint(vec![cancelled], &[CUSTOMER]).await;
            }
            Self::Unsubscribe => {
                assert!(desk.suppress(None, SuppressionReason::Unsubscribed).await);
                assert!(!desk.suppress(None, SuppressionReason::Unsubscribed).await, "twice");
            }
            Self::Hold => {
                assert!(desk.store.hold(&Hold::All, true, at(1_900)).await.expect("kept"));
            }
            Self::Cancel => {
                let message = desk.store.ledger().message_of(MESSAGE).await.expect("read");
                let message = message.expect("the message");
                assert!(desk.store.cancel(&message, at(1_900)).await.expect("kept"));
            }
            Self::Revision => {
                let data = format!("{{\"customer\":{{\"email\":\"{ADDRESS}\"}},\"n\":2}}");
                desk.checkpoint(vec![MessageChange::Revised(MESSAGE, 2, data)], &[]).await;
            }
        }
    }

    /// Whether the message may still be claimed afterwards.
    const fn leaves_claimable(self) -> bool {
        matches!(self, Self::Unsubscribe | Self::Revision)
    }

    /// What the last look says of what was rendered before.
    const fn last_look(self) -> Begin {
        match self {
            Self::Stop | Self::Erasure | Self::Hold | Self::Cancel => Begin::Gone,
            Self::Unsubscribe => Begin::Suppressed(SuppressionReason::Unsubscribed),
            Self::Revision => Begin::Newer,
        }
    }
}

async fn what_comes_before_the_claim_stops_a_message<S: Fresh>() {
    for comes in ALL {
        let mut desk = Desk::<S>::new(decision(Class::Marketing, None)).await;
        comes.happen(&mut desk).await;
        let claim = desk.claim().await;
        assert_eq!(claim.is_some(), comes.leaves_claimable(), "{comes:?}");
        let Some(claim) = claim else { continue };
        let begin = desk.store.start(&claim, &pinned(1), at(2_000)).await.expect("an answer");
        assert_eq!(begin, comes.last_look(), "{comes:?}");
    }
}

async fn what_comes_between_claim_and_first_byte_stops_a_message<S: Fresh>() {
    for comes in ALL {
        let mut desk = Desk::<S>::new(decision(Class::Marketing, None)).await;
        let claim = desk.claim().await.expect("a claim");
        comes.happen(&mut desk).await;
        let begin = desk.store.start(&claim, &pinned(1), at(2_000)).await.expect("an answer");
        assert_eq!(begin, comes.last_look(), "{comes:?}");
        assert_ne!(desk.status().await, DeliveryStatus::Started, "{comes:?}");
        match comes {
            Comes::Hold => {
                assert_eq!(desk.status().await, DeliveryStatus::Waiting);
                assert!(desk.claim().await.is_none(), "it is held");
                desk.store.hold(&Hold::All, false, at(1_950)).await.expect("kept");
                assert!(desk.claim().await.is_some(), "it is released");
            }
            Comes::Revision => {
                let begin = desk.store.start(&claim, &pinned(2), at(2_000)).await.expect("kept");
                assert_eq!(begin, Begin::Go, "the newest content goes");
            }
            Comes::Unsubscribe => {
                assert_eq!(desk.status().await, DeliveryStatus::Cancelled);
                let told = [EventName::CustomerUnsubscribed, EventName::EmailCancelled];
                assert_eq!(desk.told().await, told, "one unsubscribe, one outcome");
            }
            Comes::Stop | Comes::Erasure | Comes::Cancel => {
                assert_eq!(desk.status().await, DeliveryStatus::Cancelled);
                assert!(desk.claim().await.is_none());
            }
        }
    }
}

async fn what_comes_after_the_first_byte_changes_nothing<S: Fresh>() {
    for comes in ALL.into_iter().filter(|comes| *comes != Comes::Cancel) {
        let mut desk = Desk::<S>::new(decision(Class::Marketing, None)).await;
        let claim = desk.claim().await.expect("a claim");
        let begin = desk.store.start(&claim, &pinned(1), at(2_000)).await.expect("an answer");
        assert_eq!(begin, Begin::Go);
        comes.happen(&mut desk).await;
        desk.store.dot_sent(&claim, at(2_100)).await.expect("kept");
        let end = End {
            status: DeliveryStatus::Sent,
            outcome: Outcome::Sent,
            detail: Some("250 queued".into()),
            suppress: false,
        };
        desk.store.end(&claim, &end, at(2_200)).await.expect("kept");
        assert_eq!(desk.status().await, DeliveryStatus::Sent, "{comes:?}");
        assert!(desk.told().await.contains(&EventName::EmailSent), "{comes:?}");
        let message = desk.store.ledger().message_of(MESSAGE).await.expect("read");
        let message = message.expect("the message");
        assert!(!desk.store.cancel(&message, at(2_300)).await.expect("an answer"), "too late");
    }
}

async fn a_suppression_stops_what_it_speaks_of<S: Fresh>() {
    use SuppressionReason::{Bounced, Complained, Unsubscribed};
    let check = async |class, topic, suppressed, reason, stops| {
        let desk = Desk::<S>::new(decision(class, topic)).await;
        desk.suppress(suppressed, reason).await;
        let claim = desk.claim().await.expect("a claim");
        let begin = desk.store.start(&claim, &pinned(1), at(2_000)).await.expect("an answer");
        let expected = if stops { Begin::Suppressed(reason) } else { Begin::Go };
        assert_eq!(begin, expected, "{class:?} {topic:?} {suppressed:?} {reason:?}");
    };
    let (marketing, transactional) = (Class::Marketing, Class::Transactional);
    check(marketing, Some("reminders"), Some("reminders"), Unsubscribed, true).await;
    check(marketing, Some("reminders"), Some("offers"), Unsubscribed, false).await;
    check(marketing, None, Some("offers"), Unsubscribed, false).await;
    check(marketing, Some("reminders"), None, Unsubscribed, true).await;
    check(transactional, Some("orders"), None, Unsubscribed, false).await;
    check(transactional, None, None, Bounced, true).await;
    check(transactional, None, None, Complained, true).await;
}

async fn the_last_word_of_the_owner_counts<S: Fresh>() {
    use SuppressionReason::Unsubscribed;
    let goes = async |desk: &Desk<S>| {
        let claim = desk.claim().await.expect("a claim");
        let begin = desk.store.start(&claim, &pinned(1), at(9_000)).await.expect("an answer");
        begin == Begin::Go
    };
    // No to everything, then yes to everything, and a yes that is older than the last no.
    let mut desk = Desk::<S>::new(decision(Class::Marketing, None)).await;
    desk.suppress_at(None, Unsubscribed, at(1_000)).await;
    desk.says_yes(None, at(2_000)).await;
    assert!(goes(&desk).await);
    let mut desk = Desk::<S>::new(decision(Class::Marketing, None)).await;
    desk.suppress_at(None, Unsubscribed, at(1_000)).await;
    assert!(desk.suppress_at(None, Unsubscribed, at(3_000)).await, "said again is news");
    desk.says_yes(None, at(2_000)).await;
    assert!(!goes(&desk).await);
    // No to everything, then yes to one topic: only of that.
    for (topic, sent) in [("reminders", true), ("offers", false)] {
        let mut desk = Desk::<S>::new(decision(Class::Marketing, Some(topic))).await;
        desk.suppress_at(None, Unsubscribed, at(1_000)).await;
        desk.says_yes(Some("reminders"), at(2_000)).await;
        assert_eq!(goes(&desk).await, sent, "{topic}");
    }
    // And no again.
    let mut desk = Desk::<S>::new(decision(Class::Marketing, Some("reminders"))).await;
    desk.suppress_at(None, Unsubscribed, at(1_000)).await;
    desk.says_yes(Some("reminders"), at(2_000)).await;
    desk.suppress_at(None, Unsubscribed, at(3_000)).await;
    assert!(!goes(&desk).await);
}

#[test]
fn an_address_is_one_however_it_is_written() {
    let hash = |address| address_hash(&[7; 32], MessageChannel::Email, address);
    assert_eq!(hash("Zoe@Bücher.example"), hash("zoe@xn--bcher-kva.example"));
    assert_eq!(hash(" ann@shop.example"), hash("Ann@Shop.example"));
    assert_ne!(hash("ann@shop.example"), hash("anne@shop.example"));
    assert_ne!(
        hash("ann@shop.example"),
        address_hash(&[8; 32], MessageChannel::Email, "ann@shop.example")
    );
}

async fn what_is_stopped_during_a_try_is_not_tried_again<S: Fresh>() {
    for comes in [Comes::Stop, Comes::Erasure] {
        let mut desk = Desk::<S>::new(decision(Class::Marketing, None)).await;
        let claim = desk.claim().await.expect("a claim");
        desk.store.start(&claim, &pinned(1), at(2_000)).await.expect("started");
        comes.happen(&mut desk).await;
        desk.store.again(&claim, at(2_000), true, "451 later", at(2_000)).await.expect("kept");
        assert_eq!(desk.status().await, DeliveryStatus::Cancelled, "{comes:?}");
        assert!(desk.claim().await.is_none());
        // The same, if the worker stopped meanwhile.
        let mut desk = Desk::<S>::new(decision(Class::Marketing, None)).await;
        let claim = desk.claim().await.expect("a claim");
        desk.store.start(&claim, &pinned(1), at(2_000)).await.expect("started");
        comes.happen(&mut desk).await;
        desk.store.recover(at(1_000_000), |_| false).await.expect("recovered");
        assert_eq!(desk.status().await, DeliveryStatus::Cancelled, "{comes:?}");
    }
}

async fn a_message_is_claimed_once_its_lane_has_passed_due_and_settle<S: Fresh>() {
    let mut desk = Desk::<S>::new(decision(Class::Marketing, None)).await;
    let mut early = decision(Class::Marketing, None);
    (early.message, early.settle_ms) = (MessageId(8), 501);
    desk.checkpoint(vec![MessageChange::Decided(Box::new(early))], &[]).await;
    let claims = desk.store.claim(at(2_000), 10).await.expect("claims");
    let claimed: Vec<MessageId> = claims.iter().map(|c| c.message.decision.message).collect();
    assert_eq!(claimed, [MESSAGE], "one settles a millisecond later");
    assert!(desk.claim().await.is_none(), "claimed is claimed");
}

async fn a_start_needs_the_newest_claim<S: Fresh>() {
    let desk = Desk::<S>::new(decision(Class::Marketing, None)).await;
    let old = desk.claim().await.expect("a claim");
    desk.store.again(&old, at(2_000), true, "later", at(2_000)).await.expect("kept");
    let new = desk.claim().await.expect("a claim");
    assert_ne!(old.lease, new.lease);
    let begin = desk.store.start(&old, &pinned(1), at(2_000)).await.expect("an answer");
    assert_eq!(begin, Begin::Gone, "another has it now");
    let begin = desk.store.start(&new, &pinned(1), at(2_000)).await.expect("an answer");
    assert_eq!(begin, Begin::Go);
    assert!(desk.store.dot_sent(&old, at(2_000)).await.is_err(), "not by the old claim");
    desk.store.dot_sent(&new, at(2_000)).await.expect("kept");
}

async fn a_further_try_sends_what_the_first_pinned<S: Fresh>() {
    let mut desk = Desk::<S>::new(decision(Class::Marketing, None)).await;
    let claim = desk.claim().await.expect("a claim");
    desk.store.start(&claim, &pinned(1), at(2_000)).await.expect("started");
    desk.store.again(&claim, at(3_000), true, "451 later", at(2_000)).await.expect("kept");
    Comes::Revision.happen(&mut desk).await;
    assert!(desk.claim().await.is_none(), "not before its time");
    let again = desk.store.claim(at(3_000), 10).await.expect("claims").pop().expect("a claim");
    assert_eq!((again.attempts, again.pinned.clone()), (1, Some(pinned(1))));
    let begin = desk.store.start(&again, &pinned(1), at(3_000)).await.expect("an answer");
    assert_eq!(begin, Begin::Go, "newer content does not change what was pinned");
}

async fn a_worker_that_stopped_in_the_middle_repeats_only_what_can_not_have_gone<S: Fresh>() {
    for (steps, status, told) in [
        (1, DeliveryStatus::Waiting, vec![]),
        (2, DeliveryStatus::Waiting, vec![]),
        (3, DeliveryStatus::InDoubt, vec![EventName::EmailStarted]),
    ] {
        let desk = Desk::<S>::new(decision(Class::Marketing, None)).await;
        let claim = desk.claim().await.expect("a claim");
        if steps > 1 {
            desk.store.start(&claim, &pinned(1), at(2_000)).await.expect("started");
        }
        if steps > 2 {
            desk.store.dot_sent(&claim, at(2_000)).await.expect("kept");
        }
        let recovered = desk.store.recover(at(1_000_000), |_| false).await.expect("recovered");
        assert_eq!((recovered.again, recovered.in_doubt), if steps > 2 { (0, 1) } else { (1, 0) });
        assert_eq!(desk.status().await, status);
        assert_eq!(desk.told().await, told);
        let message = desk.store.ledger().message_of(MESSAGE).await.expect("read");
        let message = message.expect("the message");
        let resolved = desk.store.resolve(&message, true, at(6_000)).await.expect("an answer");
        assert_eq!(resolved, steps > 2, "only what is in doubt is resolved");
    }
}

async fn an_answer_that_comes_late_still_counts<S: Fresh>() {
    let desk = Desk::<S>::new(decision(Class::Marketing, None)).await;
    let claim = desk.claim().await.expect("a claim");
    desk.store.start(&claim, &pinned(1), at(2_000)).await.expect("started");
    desk.store.dot_sent(&claim, at(2_000)).await.expect("kept");
    desk.store.recover(at(1_000_000), |_| false).await.expect("recovered");
    assert_eq!(desk.status().await, DeliveryStatus::InDoubt, "its worker is given up");
    let sent =
        End { status: DeliveryStatus::Sent, outcome: Outcome::Sent, detail: None, suppress: false };
    let other = Claim { lease: claim.lease + 1, ..claim.clone() };
    desk.store.end(&other, &sent, at(1_000_001)).await.expect("an answer");
    assert_eq!(desk.status().await, DeliveryStatus::InDoubt, "it was not another's");
    for _ in 0..2 {
        desk.store.end(&claim, &sent, at(1_000_001)).await.expect("kept");
        assert_eq!(desk.status().await, DeliveryStatus::Sent);
        assert_eq!(desk.told().await, [EventName::EmailStarted, EventName::EmailSent]);
    }
    let refused = End { status: DeliveryStatus::Refused, outcome: Outcome::Failed, ..sent };
    desk.store.end(&claim, &refused, at(1_000_002)).await.expect("an answer");
    assert_eq!(desk.status().await, DeliveryStatus::Sent, "one answer counts");
}

async fn an_unsubscribe_and_an_order_race_a_claim<S: Fresh>() {
    // Whatever the order in which the three transactions come, a start after any of the two others
    // does not go.
    for order in 0..6 {
        let mut desk = Desk::<S>::new(decision(Class::Marketing, None)).await;
        let claim = desk.claim().await.expect("a claim");
        let mut stopped = false;
        for turn in [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]][order] {
            match turn {
                0 => {
                    Comes::Unsubscribe.happen(&mut desk).await;
                    stopped = true;
                }
                1 => {
                    Comes::Stop.happen(&mut desk).await;
                    stopped = true;
                }
                _ => {
                    let begin = desk.store.start(&claim, &pinned(1), at(2_000)).await;
                    let goes = begin.expect("an answer") == Begin::Go;
                    assert_eq!(goes, !stopped, "order {order}");
                }
            }
        }
    }
}

/// What delivery told the log before the store was restored to an older point.
async fn what_only_the_log_knows_ends_a_delivery<S: Fresh>() {
    use DeliveryStatus::{Cancelled, Expired, InDoubt, MissedWindow, Refused, Sent, Waiting};
    let told = |outcome: &EventName, ours| MessageChange::Outcome {
        message: MESSAGE,
        outcome: outcome.clone(),
        ours,
    };
    for (outcomes, ours, status) in [
        (&[EventName::EmailSent][..], true, Sent),
        (&[EventName::EmailStarted], true, InDoubt),
        (&[EventName::EmailStarted, EventName::EmailSent], true, Sent),
        (&[EventName::EmailSent, EventName::EmailStarted], true, Sent),
        (&[EventName::EmailStarted, EventName::EmailFailed], true, Refused),
        (&[EventName::EmailFailed], true, Refused),
        (&[EventName::EmailBounced], true, Refused),
        (&[EventName::EmailExpired], true, Expired),
        (&[EventName::EmailMissedWindow], true, MissedWindow),
        (&[EventName::EmailCancelled], true, Cancelled),
        (&[EventName::EmailOpened], true, Waiting),
        (&[EventName::EmailSent], false, Waiting),
    ] {
        for in_one in [true, false] {
            let mut desk = Desk::<S>::new(decision(Class::Marketing, None)).await;
            let changes = outcomes.iter().map(|outcome| told(outcome, ours));
            if in_one {
                desk.checkpoint(changes.collect(), &[]).await;
            } else {
                for change in changes {
                    desk.checkpoint(vec![change], &[]).await;
                }
            }
            assert_eq!(desk.status().await, status, "{outcomes:?}, ours: {ours}");
            assert_eq!(desk.claim().await.is_some(), status == Waiting, "{outcomes:?}");
        }
    }
    // A stop that came after the message had gone takes nothing back.
    let mut desk = Desk::<S>::new(decision(Class::Marketing, None)).await;
    desk.checkpoint(vec![MessageChange::Cancelled(MESSAGE, Reason::Stopped)], &[]).await;
    desk.checkpoint(vec![told(&EventName::EmailSent, true)], &[]).await;
    assert_eq!(desk.status().await, Sent);
}

async fn a_bounce_that_only_the_log_knows_suppresses<S: Fresh>() {
    let mut desk = Desk::<S>::new(decision(Class::Marketing, None)).await;
    let bounced = EventName::EmailBounced;
    let change = MessageChange::Outcome { message: MESSAGE, outcome: bounced, ours: true };
    desk.checkpoint(vec![change], &[]).await;
    let again = Decision { message: MessageId(8), ..decision(Class::Marketing, None) };
    desk.checkpoint(vec![MessageChange::Decided(Box::new(again))], &[]).await;
    assert!(desk.is_suppressed().await);
}
