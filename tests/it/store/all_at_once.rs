//! Lanes, delivery and unsubscribes over the same messages and addresses at one time: they wait
//! for one another, and nobody is sent away.

use waypost::engine::{ConsentSaid, Reason};
use waypost::model::{EventName, MessageChannel, MessageId};
use waypost::store::{
    Begin, DeliveryStatus, End, Listing, Outcome, Outgoing, Pinned, Suppression, SuppressionReason,
    address_hash,
};

use super::*;

/// Messages, of all lanes.
const MESSAGES: u128 = 60;
/// Addresses, of all messages.
const ADDRESSES: u64 = 6;

/// Numbers that look like chance, and are the same each time.
struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % limit
    }

    fn message(&mut self) -> MessageId {
        MessageId(self.below(u64::try_from(MESSAGES).unwrap()).into())
    }

    fn address(&mut self) -> String {
        format!("{}@shop.example", self.below(ADDRESSES))
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn nobody_is_sent_away() {
    let store = on_a_server::fresh().await;
    let (lease, _) = store.take(0).await.unwrap();
    let ready = Checkpoint {
        position: Position { low: 1, end: 1, watermark: Some(at(2_000)) },
        messages: (0..MESSAGES).map(|id| (CustomerId(id % 7), decision(id, None))).collect(),
        ..Checkpoint::default()
    };
    store.commit(lease, ready).await.unwrap();
    let mut tasks = tokio::task::JoinSet::new();
    for number in 0..4 {
        tasks.spawn(lane(store.clone(), number));
        tasks.spawn(delivery(store.clone(), number));
    }
    tasks.spawn(owners(store.clone()));
    while let Some(ended) = tasks.join_next().await {
        ended.unwrap();
    }
}

/// Checkpoints that tell of the messages of every lane.
async fn lane(store: PgStore, number: u32) {
    let mut dice = Dice(number.into());
    let (lease, _) = store.take(number + 1).await.unwrap();
    for round in 0..25 {
        let mut one = Checkpoint {
            position: Position { low: round, end: round, watermark: Some(at(2_000)) },
            ..Checkpoint::default()
        };
        for _ in 0..15 {
            let message = dice.message();
            let outcomes =
                [EventName::EmailBounced, EventName::EmailComplained, EventName::EmailSent];
            let outcome = outcomes[usize::try_from(dice.below(3)).unwrap()].clone();
            one.messages
                .push((CustomerId(1), MessageChange::Outcome { message, outcome, ours: false }));
            one.consents.push(ConsentSaid {
                channel: MessageChannel::Email,
                address: dice.address().as_str().into(),
                topic: None,
                given: dice.below(2) == 0,
                at: at(i64::try_from(dice.below(9)).unwrap()),
            });
        }
        if dice.below(4) == 0 {
            let stop = MessageChange::Cancelled(dice.message(), Reason::Stopped);
            one.messages.push((CustomerId(1), stop));
        }
        one.outbox = (0..5).map(|_| outbox(dice.below(100).into())).collect();
        store.commit(lease, one).await.unwrap();
    }
}

/// Claims, starts and ends what is there, again and again.
async fn delivery(store: PgStore, number: u32) {
    let mut dice = Dice(u64::from(number) + 100);
    for _ in 0..25 {
        store.recover(at(2_000), |_| false).await.unwrap();
        for claim in store.claim(at(2_000), 4).await.unwrap() {
            let pinned = Pinned {
                revision: 1,
                address: dice.address().as_str().into(),
                sender: None,
                subject: None,
                body: vec![1],
            };
            if store.start(&claim, &pinned, at(2_000)).await.unwrap() != Begin::Go {
                continue;
            }
            store.dot_sent(&claim, at(2_000)).await.unwrap();
            if dice.below(3) > 0 {
                store.again(&claim, at(2_000), true, "later", at(2_000)).await.unwrap();
                continue;
            }
            let end = End {
                status: DeliveryStatus::Refused,
                outcome: Outcome::Bounced,
                detail: None,
                suppress: true,
            };
            store.end(&claim, &end, at(2_000)).await.unwrap();
        }
        let done: Vec<u128> = (0..20).map(|_| dice.below(100).into()).collect();
        store.outbox_done(&done).await.unwrap();
    }
}

/// Owners of addresses say no by HTTP.
async fn owners(store: PgStore) {
    let mut dice = Dice(7);
    let secret = store.ledger().secret_key().await.unwrap();
    for when in 0..60 {
        let suppression = Suppression {
            channel: MessageChannel::Email,
            address: address_hash(&secret, MessageChannel::Email, &dice.address()),
            topic: None,
            reason: SuppressionReason::Unsubscribed,
            at: at(when),
        };
        store.unsubscribe(&suppression, CustomerId(1)).await.unwrap();
    }
}
