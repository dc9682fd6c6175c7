//! What delivery asks of a store: the steps of a message on its way out, each one transaction.
//!
//! A claim, a checkpoint that cancels and an unsubscribe come one after another, and what came
//! first counts. These traits are used from tasks, so what they return may move between threads.

use crate::model::{CustomerId, MessageChannel, MessageId, Timestamp};

use super::{
    Begin, Claim, DeliveryRow, DeliveryStatus, End, Error, Hold, Ledger, MessageFilter, Pinned,
    StoredMessage, Suppression,
};

/// What workers that stopped in the middle had left.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Recovered {
    /// Messages that had not gone to the provider whole: they are sent again.
    pub again: u64,
    /// Messages that had: whether they were taken is not known.
    pub in_doubt: u64,
}

/// What waits in a store.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pending {
    /// Messages that wait for their time, for another try, or for a hold to end.
    pub waiting: u64,
    /// Messages of which nobody knows whether they were sent.
    pub in_doubt: u64,
    /// When the first of the messages that have no end could have gone, or can.
    pub oldest: Option<Timestamp>,
    /// Records on their way to the log.
    pub outbox: u64,
}

/// Reading what delivery keeps: for delivery itself and for the commands.
pub trait Listing: Send + Sync {
    /// The key of this store's hashes and links.
    ///
    /// # Errors
    /// [`Error`] if it can't be read.
    fn secret_key(&self) -> impl Future<Output = Result<[u8; 32], Error>> + Send;

    /// Messages with what delivery keeps of them; none for a withheld one. The newest come first.
    ///
    /// # Errors
    /// [`Error`] if the store can't be read.
    fn messages(
        &self,
        filter: &MessageFilter,
    ) -> impl Future<Output = Result<Vec<(StoredMessage, Option<DeliveryRow>)>, Error>> + Send;

    /// One message.
    ///
    /// # Errors
    /// [`Error`] if the store can't be read.
    fn message_of(
        &self,
        message: MessageId,
    ) -> impl Future<Output = Result<Option<StoredMessage>, Error>> + Send {
        async move {
            let filter =
                MessageFilter { message: Some(message), limit: 1, ..MessageFilter::default() };
            Ok(self.messages(&filter).await?.pop().map(|(message, _)| message))
        }
    }

    /// How many messages are how far on their way out, by status.
    ///
    /// # Errors
    /// [`Error`] if the store can't be read.
    fn deliveries(&self) -> impl Future<Output = Result<Vec<(DeliveryStatus, u64)>, Error>> + Send;

    /// What is not finished yet.
    ///
    /// # Errors
    /// [`Error`] if the store can't be read.
    fn pending(&self) -> impl Future<Output = Result<Pending, Error>> + Send;

    /// What is held, with the time since when.
    ///
    /// # Errors
    /// [`Error`] if the store can't be read.
    fn holds(&self) -> impl Future<Output = Result<Vec<(Hold, Timestamp)>, Error>> + Send;
}

/// A store that messages leave from.
pub trait Outgoing: Send + Sync + 'static {
    /// The reading side.
    type Ledger: Ledger + Listing;

    /// The reading side.
    fn ledger(&self) -> &Self::Ledger;

    /// Puts right what workers that stopped in the middle had left. Called before anything is
    /// claimed, and every few seconds after that: what is under way is never touched. By
    /// `repeatable` channels a message may be sent once more without anybody getting it twice.
    ///
    /// # Errors
    /// [`Error`] if the store can't be written; then nothing changed.
    fn recover(
        &self,
        now: Timestamp,
        repeatable: impl Fn(MessageChannel) -> bool + Send,
    ) -> impl Future<Output = Result<Recovered, Error>> + Send;

    /// Claims up to `limit` messages whose time has come: the lane's watermark has passed due and
    /// settle, no other try is awaited, and nothing holds them. Those that could have gone for longest
    /// come first.
    ///
    /// # Errors
    /// [`Error`] if the store can't be written; then nothing is claimed.
    fn claim(
        &self,
        now: Timestamp,
        limit: u32,
    ) -> impl Future<Output = Result<Vec<Claim>, Error>> + Send;

    /// From claimed to started: the last look before the first byte. The lease, a stop, newer
    /// content, holds and suppressions are read in the transaction that starts it. It does not wait
    /// for a file that is locked, because the message's time may pass meanwhile.
    ///
    /// # Errors
    /// [`Error`] if the store can't be written; then it has not started.
    fn start(
        &self,
        claim: &Claim,
        pinned: &Pinned,
        now: Timestamp,
    ) -> impl Future<Output = Result<Begin, Error>> + Send;

    /// Remembers that the last byte is about to go: from here on the provider may take the
    /// message without our hearing of it.
    ///
    /// # Errors
    /// [`Error`] if it can't be remembered; then the last byte must not go.
    fn dot_sent(
        &self,
        claim: &Claim,
        now: Timestamp,
    ) -> impl Future<Output = Result<(), Error>> + Send;

    /// Keeps how a claimed message ended, and tells the log. It also settles one that is in doubt
    /// since [`Outgoing::recover`] gave this claim up; a message that was stopped or taken by
    /// another meanwhile has its end already.
    ///
    /// # Errors
    /// [`Error`] if the store can't be written; then nothing changed.
    fn end(
        &self,
        claim: &Claim,
        end: &End,
        now: Timestamp,
    ) -> impl Future<Output = Result<(), Error>> + Send;

    /// Puts a message that did not go back, to be tried again from `try_after` on. A try that does
    /// not count says nothing about the message: the channel was at fault.
    ///
    /// # Errors
    /// [`Error`] if the store can't be written; then nothing changed.
    fn again(
        &self,
        claim: &Claim,
        try_after: Timestamp,
        counts: bool,
        detail: &str,
        now: Timestamp,
    ) -> impl Future<Output = Result<(), Error>> + Send;

    /// Holds or releases; returns whether that changed anything.
    ///
    /// # Errors
    /// [`Error`] if it can't be kept.
    fn hold(
        &self,
        hold: &Hold,
        held: bool,
        now: Timestamp,
    ) -> impl Future<Output = Result<bool, Error>> + Send;

    /// Cancels a message that has not started, by hand. Returns whether it had not.
    ///
    /// # Errors
    /// [`Error`] if the store can't be written; then nothing changed.
    fn cancel(
        &self,
        message: &StoredMessage,
        now: Timestamp,
    ) -> impl Future<Output = Result<bool, Error>> + Send;

    /// Says what became of a message in doubt. Returns whether it was in doubt.
    ///
    /// # Errors
    /// [`Error`] if the store can't be written; then nothing changed.
    fn resolve(
        &self,
        message: &StoredMessage,
        sent: bool,
        now: Timestamp,
    ) -> impl Future<Output = Result<bool, Error>> + Send;

    /// Suppresses an address because its owner says so, and tells the log. Returns whether it is
    /// news; said twice it is one event.
    ///
    /// # Errors
    /// [`Error`] if it can't be kept; then it must not be answered as done.
    fn unsubscribe(
        &self,
        suppression: &Suppression,
        customer: CustomerId,
    ) -> impl Future<Output = Result<bool, Error>> + Send;
}
