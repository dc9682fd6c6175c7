//! A store with one decided message, for tests of its way out.

use std::path::Path;
use std::sync::Arc;

use waypost::engine::{ConsentSaid, Decision};
use waypost::journey::{Class, Version};
use waypost::log::Record;
use waypost::model::{CustomerId, EventName, MessageChannel, MessageId, RunId, Text, Timestamp};
use waypost::store::{
    Begin, Checkpoint, Claim, DeliveryStatus, Lease, Listing, MessageChange, MessageFilter,
    Outgoing, PgStore, Pinned, Position, SqliteStore, Store, Suppression, SuppressionReason,
    address_hash,
};

pub(super) const CUSTOMER: CustomerId = CustomerId(3);
pub(super) const MESSAGE: MessageId = MessageId(7);
pub(super) const ADDRESS: &str = "ann@shop.example";

pub(super) fn at(ms: i64) -> Timestamp {
    Timestamp::from_ms(ms)
}

pub(super) fn decision(class: Class, topic: Option<&str>) -> Decision {
    Decision {
        message: MESSAGE,
        customer: Text::new("17"),
        journey: Text::new("cart"),
        version: Version(7),
        run: RunId(9),
        step: Text::new("first"),
        occurrence: 0,
        channel: MessageChannel::Email,
        template: Text::new("cart/first"),
        topic: topic.map(Text::new),
        class,
        at: at(1_000),
        settle_ms: 500,
        expires: None,
        window_end: None,
        withheld: None,
        data: format!("{{\"customer\":{{\"email\":\"{ADDRESS}\"}}}}"),
    }
}

pub(super) fn pinned(revision: u32) -> Pinned {
    Pinned {
        revision,
        address: ADDRESS.into(),
        sender: Some("shop@shop.example".into()),
        subject: Some("Your cart".into()),
        body: b"the mail".to_vec(),
    }
}

/// A store that messages leave from, new and empty.
pub(super) trait Fresh: Outgoing + Store + Sized {
    /// In a folder that is there as long as the store is used.
    async fn fresh(folder: &Path) -> Self;
}

impl Fresh for SqliteStore {
    async fn fresh(folder: &Path) -> Self {
        Self::open(&folder.join("state.db")).await.expect("a store")
    }
}

impl Fresh for PgStore {
    async fn fresh(_: &Path) -> Self {
        crate::store::fresh_on_a_server().await
    }
}

/// A store with one decided message, and the lane that decided it.
pub(super) struct Desk<S = SqliteStore> {
    pub(super) store: Arc<S>,
    pub(super) lease: Lease,
    pub(super) end: u64,
    _folder: Option<tempfile::TempDir>,
}

impl<S: Fresh> Desk<S> {
    pub(super) async fn new(decision: Decision) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let store = S::fresh(folder.path()).await;
        Self { _folder: Some(folder), ..Self::over(store, decision).await }
    }
}

impl<S: Outgoing + Store> Desk<S> {
    pub(super) async fn over(store: S, decision: Decision) -> Self {
        let (lease, _) = store.take(0).await.expect("a lane");
        let mut desk = Self { store: Arc::new(store), lease, end: 0, _folder: None };
        desk.checkpoint(vec![MessageChange::Decided(Box::new(decision))], &[]).await;
        desk
    }

    /// Takes the lane again, as after an error of which nobody knows what was kept.
    pub(super) async fn take_again(&mut self) {
        let (lease, position) = self.store.take(0).await.expect("a lane");
        (self.lease, self.end) = (lease, position.end);
    }

    /// A checkpoint of the lane; its watermark is past due and settle.
    pub(super) async fn checkpoint(&mut self, changes: Vec<MessageChange>, erased: &[CustomerId]) {
        self.end += 1;
        let checkpoint = Checkpoint {
            position: Position { low: self.end, end: self.end, watermark: Some(at(1_500)) },
            messages: changes.into_iter().map(|change| (CUSTOMER, change)).collect(),
            erased: erased.to_vec(),
            build: "test".into(),
            ..Checkpoint::default()
        };
        self.store.commit(self.lease, checkpoint).await.expect("a checkpoint");
    }

    pub(super) async fn claim(&self) -> Option<Claim> {
        self.store.claim(at(2_000), 10).await.expect("claims").pop()
    }

    /// A checkpoint in which the owner of the address says yes to a topic.
    pub(super) async fn says_yes(&mut self, topic: Option<&str>, when: Timestamp) {
        self.end += 1;
        let checkpoint = Checkpoint {
            position: Position { low: self.end, end: self.end, watermark: Some(at(1_500)) },
            consents: vec![ConsentSaid {
                channel: MessageChannel::Email,
                address: ADDRESS.into(),
                topic: topic.map(Text::new),
                given: true,
                at: when,
            }],
            build: "test".into(),
            ..Checkpoint::default()
        };
        self.store.commit(self.lease, checkpoint).await.expect("a checkpoint");
    }

    /// Somebody's address is suppressed.
    pub(super) async fn suppress_address(&self, address: &str) {
        let key = self.store.ledger().secret_key().await.expect("a key");
        let suppression = Suppression {
            channel: MessageChannel::Email,
            address: address_hash(&key, MessageChannel::Email, address),
            topic: None,
            reason: SuppressionReason::Unsubscribed,
            at: at(1_900),
        };
        self.store.unsubscribe(&suppression, CUSTOMER).await.expect("kept");
    }

    /// Whether a waiting message to the customer is stopped by a suppression.
    pub(super) async fn is_suppressed(&self) -> bool {
        let claim = self.claim().await.expect("a claim");
        let begin = self.store.start(&claim, &pinned(1), at(2_000)).await.expect("an answer");
        matches!(begin, Begin::Suppressed(_))
    }

    pub(super) async fn suppress(&self, topic: Option<&str>, reason: SuppressionReason) -> bool {
        self.suppress_at(topic, reason, at(1_900)).await
    }

    pub(super) async fn suppress_at(
        &self,
        topic: Option<&str>,
        reason: SuppressionReason,
        when: Timestamp,
    ) -> bool {
        let secret = self.store.ledger().secret_key().await.expect("a key");
        let suppression = Suppression {
            channel: MessageChannel::Email,
            address: address_hash(&secret, MessageChannel::Email, "Ann@Shop.example"),
            topic: topic.map(Text::new),
            reason,
            at: when,
        };
        self.store.unsubscribe(&suppression, CUSTOMER).await.expect("kept")
    }

    pub(super) async fn status(&self) -> DeliveryStatus {
        let filter = MessageFilter { message: Some(MESSAGE), limit: 1, ..MessageFilter::default() };
        let found = self.store.ledger().messages(&filter).await.expect("messages");
        found[0].1.as_ref().expect("a delivery").status
    }

    /// The names of the events that were left for the log.
    pub(super) async fn told(&self) -> Vec<EventName> {
        let rows = self.store.outbox_pending(100).await.expect("the outbox");
        let name = |record| match record {
            Record::Event(event) => event.event.name,
            other => panic!("{other:?} is no event"),
        };
        rows.into_iter().map(|row| name(row.record)).collect()
    }
}
