//! Identify: many ids of a customer become one. Pure: an event goes in, records come out.
//!
//! An event names its customer by identities of different strength ([`crate::model::Namespace`] in order). The
//! strongest that is known says whose event it is; the rest is linked to that customer, and two
//! customers that one event names together become one. The rules stand in
//! `docs/decisions/0005-identity.md`; each has a story in the tests.
//!
//! **Exactly once.** The graph changes that an event causes are stored in the transaction that
//! appends its records and moves the input position ([`crate::log::Append`]), each under its
//! source position. After a crash an input position is either wholly in the log, graph included,
//! and not read again, or not at all, and then it meets the same graph and gives the same records.
//!
//! **Use.** For a batch of events: [`Identify::prefetch`] (or [`Identify::missing`] and
//! [`Identify::insert`] until nothing is missing), [`Identify::identify`] for each in order,
//! [`Identify::take_changes`], append; once that is committed, [`Identify::trim`].

mod graph;
mod load;
mod resolve;
#[cfg(test)]
mod tests;

pub use graph::{GraphError, Key, changes_of};
pub use load::LoadError;

use crate::log::{CustomerEvent, GraphRow, Record};
use crate::model::{CustomerId, Event, EventName, Identity};

use graph::{Found, Graph, Row, cart_key, identity_key};

/// The most identities of a person that one customer has; further ones are not linked.
pub const IDENTITIES_MAX: u16 = 50;

/// A device means a person until it was idle this long, in milliseconds: 30 days.
pub const DEVICE_IDLE_MS: i64 = 30 * crate::model::DAY_MS;

/// Why an event gets into no partition of the log.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum Rejected {
    /// It names nobody: a dead letter.
    #[error("no identity: the event names no customer")]
    NoIdentity(Box<Event>),
    /// It happened before its customer was erased: it is dropped, and nothing of it is kept.
    #[error("the event happened before its customer was erased")]
    Erased,
    /// A fault of the caller: rows of the graph that it needs were not loaded.
    #[error("the identity rows of the event were not loaded")]
    NotLoaded(Box<Event>),
}

impl Rejected {
    /// The event, where it may be kept for a dead letter.
    #[must_use]
    pub fn event(&self) -> Option<&Event> {
        match self {
            Self::NoIdentity(event) | Self::NotLoaded(event) => Some(event),
            Self::Erased => None,
        }
    }
}

/// The identify stage with its working set of the graph.
#[derive(Debug)]
pub struct Identify {
    secret: [u8; 32],
    graph: Graph,
}

impl Identify {
    /// A stage whose graph is stored: what an event needs is loaded before it.
    #[must_use]
    pub fn stored(secret: [u8; 32]) -> Self {
        Self { secret, graph: Graph::new(false) }
    }

    /// A stage whose graph lasts as long as it does, for replays.
    #[must_use]
    pub fn in_memory(secret: [u8; 32]) -> Self {
        Self { secret, graph: Graph::new(true) }
    }

    /// The keys of all rows that these events need and that are not loaded, sorted. Loading them
    /// may show that more are needed: ask again until nothing is missing.
    #[must_use]
    pub fn missing<'a>(&self, events: impl IntoIterator<Item = &'a Event>) -> Vec<Key> {
        let mut missing = Vec::new();
        for event in events {
            for identity in &event.identities {
                self.missing_of(identity_key(&self.secret, identity), &mut missing);
            }
            if let Some(cart) = &event.cart_id {
                self.missing_of(cart_key(&self.secret, cart), &mut missing);
            }
        }
        missing.sort_unstable();
        missing.dedup();
        missing
    }

    /// Takes in the stored rows of keys that were asked for; a key without a row does not exist.
    ///
    /// # Errors
    /// [`GraphError`] for rows that can't be read.
    pub fn insert(&mut self, asked: &[Key], rows: Vec<(Key, Vec<u8>)>) -> Result<(), GraphError> {
        self.graph.insert(asked, rows)
    }

    /// Appends to `out` what the event means: merges and moved carts, then the event with its
    /// customer. The event keeps only the identities that are its customer's. Returns the customer.
    ///
    /// # Errors
    /// [`Rejected`] if it belongs to nobody.
    pub fn identify(
        &mut self,
        event: Event,
        out: &mut Vec<Record>,
    ) -> Result<CustomerId, Rejected> {
        if let Some(customer) = self.plain(&event) {
            out.push(Record::Event(Box::new(CustomerEvent { customer, event })));
            return Ok(customer);
        }
        resolve::Resolving::new(self, event, out)?.run()
    }

    /// The customer that this identity names at the moment, if its rows are loaded.
    #[must_use]
    pub fn find(&self, identity: &Identity) -> Option<CustomerId> {
        let link = self.graph.link(identity_key(&self.secret, identity))?;
        match self.graph.find(link.customer?) {
            Found::Live(customer) => Some(customer),
            Found::Erased(_) => None,
        }
    }

    /// The rows that changed since the last call, by key, to be stored with the records.
    pub fn take_changes(&mut self) -> Vec<GraphRow> {
        self.graph.take_changes()
    }

    /// The rows that changed since this or [`Self::take_changes`] was last called, by key: what the
    /// events in between came to, to stand beside their records.
    pub fn take_latest(&mut self) -> Vec<(Key, Vec<u8>)> {
        self.graph.take_latest()
    }

    /// How often a row was changed so far: equal before and after an event that changed nothing.
    #[must_use]
    pub const fn touched(&self) -> u64 {
        self.graph.touched()
    }

    /// Forgets the working set if it has more than `rows_max` rows. Only once the changes taken
    /// are committed: until then the store does not know them.
    pub fn trim(&mut self, rows_max: usize) {
        self.graph.trim(rows_max);
    }

    /// The customer of an event that changes nothing here: it carries one identity of a known
    /// person and no cart. Most events of a file are such, and this is all they cost.
    fn plain(&self, event: &Event) -> Option<CustomerId> {
        let [only] = event.identities.as_slice() else { return None };
        if !only.is_person() || event.cart_id.is_some() || event.name == EventName::CustomerDeleted
        {
            return None;
        }
        let link = self.graph.link(identity_key(&self.secret, only))?;
        let customer = link.customer.filter(|_| link.erased.is_none())?;
        matches!(self.graph.get(customer.0), Some(Row::Root(_))).then_some(customer)
    }

    fn missing_of(&self, key: Key, out: &mut Vec<Key>) {
        self.graph.missing(key, |cart| cart_key(&self.secret, cart), out);
    }
}
