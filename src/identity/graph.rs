//! The working set of the identity graph: rows by 128-bit keyed hash, looked up and never iterated.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::hash::{BuildHasherDefault, Hasher};

use serde::{Deserialize, Serialize};

use crate::log::GraphRow;
use crate::model::{CustomerId, Identity, Namespace, Text, Tie, Timestamp, derive_keyed};

/// Keyed hash of an identity or a cart, or a customer's id.
pub type Key = u128;

/// First byte of every stored row.
const ENCODING: u8 = 1;

/// One row of the graph.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Row {
    /// An identity.
    Link(Link),
    /// A customer who goes on.
    Root(Root),
    /// A customer who became another; its id is smaller, so chains end.
    Pointer(CustomerId),
    /// A customer erased at this time. Whatever points here is a tombstone.
    Erased(Timestamp),
    /// Who has a cart, and since which event time.
    Cart(CustomerId, Timestamp),
}

/// What an identity means.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Link {
    /// Whose it is; perhaps a pointer by now.
    pub(super) customer: Option<CustomerId>,
    /// Event time from which it is theirs. An earlier event does not take it away.
    pub(super) since: Timestamp,
    /// How many customers it has named before: erasures, and fresh starts of a device.
    pub(super) count: u32,
    /// Events up to this time are of an erased customer.
    pub(super) erased: Option<Timestamp>,
    /// More, if it is a device.
    pub(super) device: Option<Box<Device>>,
}

/// What a device adds to a link.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Device {
    /// Who had it before [`Link::since`].
    pub(super) before: Option<CustomerId>,
    /// Event time of its last use, rounded up to the hour so that it is rarely written.
    pub(super) used: Option<Timestamp>,
    /// The cart last seen on it.
    pub(super) cart: Option<Text>,
}

/// What is known of a customer here.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Root {
    /// A person, not only a device.
    pub(super) person: bool,
    /// Key of its shop's customer id; it never gets another.
    pub(super) commerce: Option<Key>,
    /// How many email addresses.
    pub(super) emails: u16,
    /// How many identities that name a person.
    pub(super) identities: u16,
}

/// What a customer's id leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// This customer, who goes on.
    Live(CustomerId),
    /// A customer erased at this time.
    Erased(Timestamp),
}

impl Link {
    pub(super) fn new(is_device: bool) -> Self {
        Self {
            customer: None,
            since: Timestamp::MIN,
            count: 0,
            erased: None,
            device: is_device.then(Box::default),
        }
    }
}

/// Stored rows that can't be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("damaged row {key:032x} of the identity graph: {what}")]
pub struct GraphError {
    /// Key of the row.
    pub key: Key,
    /// What is wrong.
    pub what: String,
}

/// A row, and how often it has been changed: of two forms of one row the one with more changes is
/// the later.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Known {
    changes: u32,
    row: Row,
}

/// The rows at hand. `None` is known not to exist.
#[derive(Debug)]
pub(super) struct Graph {
    rows: HashMap<Key, Option<Known>, BuildHasherDefault<KeyHasher>>,
    /// Changed rows with the position that changed them; in key order, as stores like it.
    changed: BTreeMap<Key, Tie>,
    /// Those changed since it was last asked, in key order.
    latest: BTreeSet<Key>,
    /// How often a row was changed.
    touched: u64,
    /// Nothing is stored elsewhere: a row that is not here does not exist.
    whole: bool,
}

impl Graph {
    pub(super) fn new(whole: bool) -> Self {
        Self {
            rows: HashMap::default(),
            changed: BTreeMap::new(),
            latest: BTreeSet::new(),
            touched: 0,
            whole,
        }
    }

    pub(super) fn get(&self, key: Key) -> Option<&Row> {
        self.rows.get(&key)?.as_ref().map(|known| &known.row)
    }

    pub(super) fn link(&self, key: Key) -> Option<&Link> {
        match self.get(key) {
            Some(Row::Link(link)) => Some(link),
            _ => None,
        }
    }

    /// The link to change it; made if there is none.
    pub(super) fn link_mut(&mut self, key: Key, is_device: bool, tie: Tie) -> &mut Link {
        if self.link(key).is_none() {
            self.set(key, Row::Link(Link::new(is_device)));
        }
        self.touch(key, tie);
        match self.rows.get_mut(&key) {
            Some(Some(Known { changes, row: Row::Link(link) })) => {
                *changes += 1;
                link
            }
            _ => unreachable!("a link was put there above"),
        }
    }

    /// What is known of a customer who goes on.
    pub(super) fn root(&self, customer: CustomerId) -> Root {
        match self.get(customer.0) {
            Some(Row::Root(root)) => root.clone(),
            _ => Root::default(),
        }
    }

    pub(super) fn put(&mut self, key: Key, row: Row, tie: Tie) {
        self.touch(key, tie);
        self.set(key, row);
    }

    fn set(&mut self, key: Key, row: Row) {
        let before = self.rows.get(&key).and_then(Option::as_ref);
        let changes = before.map_or(0, |known| known.changes).saturating_add(1);
        self.rows.insert(key, Some(Known { changes, row }));
    }

    /// Follows pointers to their end.
    pub(super) fn find(&self, mut customer: CustomerId) -> Found {
        loop {
            match self.get(customer.0) {
                // Ids fall along a chain; the test stops on a damaged one.
                Some(Row::Pointer(next)) if *next < customer => customer = *next,
                Some(Row::Erased(at)) => return Found::Erased(*at),
                _ => return Found::Live(customer),
            }
        }
    }

    /// Adds to `missing` the keys that must be loaded to follow this one to its end.
    pub(super) fn missing(&self, key: Key, cart_key: impl Fn(&str) -> Key, out: &mut Vec<Key>) {
        if self.whole {
            return;
        }
        let mut pending = vec![key];
        while let Some(key) = pending.pop() {
            let Some(known) = self.rows.get(&key) else {
                out.push(key);
                continue;
            };
            match known.as_ref().map(|known| &known.row) {
                Some(Row::Link(link)) => {
                    pending.extend(link.customer.map(|customer| customer.0));
                    if let Some(device) = &link.device {
                        pending.extend(device.before.map(|customer| customer.0));
                        pending.extend(device.cart.as_deref().map(&cart_key));
                    }
                }
                Some(Row::Pointer(customer) | Row::Cart(customer, _)) => pending.push(customer.0),
                Some(Row::Root(_) | Row::Erased(_)) | None => {}
            }
        }
    }

    /// Takes in stored rows; keys asked for that are not among them do not exist. What is here
    /// already is newer and stays.
    pub(super) fn insert(
        &mut self,
        asked: &[Key],
        stored: Vec<(Key, Vec<u8>)>,
    ) -> Result<(), GraphError> {
        for (key, bytes) in stored {
            let row = decode(&bytes).map_err(|what| GraphError { key, what })?;
            self.rows.entry(key).or_insert(Some(row));
        }
        for key in asked {
            self.rows.entry(*key).or_insert(None);
        }
        Ok(())
    }

    pub(super) fn take_changes(&mut self) -> Vec<GraphRow> {
        let changed = std::mem::take(&mut self.changed);
        self.latest.clear();
        let row = |(key, tie): (Key, Tie)| self.bytes(key).map(|row| GraphRow { key, row, tie });
        changed.into_iter().filter_map(row).collect()
    }

    /// The rows changed since this or [`Self::take_changes`] was last called, as they are stored.
    pub(super) fn take_latest(&mut self) -> Vec<(Key, Vec<u8>)> {
        let latest = std::mem::take(&mut self.latest);
        latest.into_iter().filter_map(|key| Some((key, self.bytes(key)?))).collect()
    }

    fn bytes(&self, key: Key) -> Option<Vec<u8>> {
        self.rows.get(&key)?.as_ref().map(encode)
    }

    /// Forgets all rows if there are more than `rows_max` and none of them is still to be stored.
    pub(super) fn trim(&mut self, rows_max: usize) {
        if !self.whole && self.changed.is_empty() && self.rows.len() > rows_max {
            self.rows.clear();
        }
    }

    /// How often a row was changed so far.
    pub(super) const fn touched(&self) -> u64 {
        self.touched
    }

    fn touch(&mut self, key: Key, tie: Tie) {
        self.touched += 1;
        if !self.whole {
            self.changed.insert(key, tie);
            self.latest.insert(key);
        }
    }
}

/// Keyed hash of an identity; without `secret` nobody can test whether a value is behind it.
pub(super) fn identity_key(secret: &[u8; 32], identity: &Identity) -> Key {
    let (kind, name) = match &identity.namespace {
        Namespace::CustomerId => (&b"c"[..], ""),
        Namespace::Email => (&b"e"[..], ""),
        Namespace::Phone => (&b"p"[..], ""),
        Namespace::Other(name) => (&b"o"[..], name.as_str()),
        Namespace::Device => (&b"d"[..], ""),
    };
    derive_keyed(secret, "identity", &[kind, name.as_bytes(), identity.value.as_bytes()])
}

/// Keyed hash of a cart's id.
pub(super) fn cart_key(secret: &[u8; 32], cart_id: &str) -> Key {
    derive_keyed(secret, "cart", &[cart_id.as_bytes()])
}

/// The customer that an identity names for the `count`-th time.
pub(super) fn customer_id(secret: &[u8; 32], identity: Key, count: u32) -> CustomerId {
    let parts = [&identity.to_be_bytes()[..], &count.to_be_bytes()[..]];
    CustomerId(derive_keyed(secret, "customer", &parts))
}

/// How often a stored row has been changed.
///
/// # Errors
/// [`GraphError`] if it can't be read.
pub fn changes_of(key: Key, bytes: &[u8]) -> Result<u32, GraphError> {
    decode(bytes).map(|known| known.changes).map_err(|what| GraphError { key, what })
}

fn encode(known: &Known) -> Vec<u8> {
    // Writing plain data into a growing vector has no way to fail.
    postcard::to_extend(known, vec![ENCODING]).unwrap_or_default()
}

fn decode(bytes: &[u8]) -> Result<Known, String> {
    match bytes.split_first() {
        Some((&ENCODING, rest)) => postcard::from_bytes(rest).map_err(|error| error.to_string()),
        Some((other, _)) => Err(format!("encoding {other}, which this build does not know")),
        None => Err("no bytes".into()),
    }
}

/// The keys are hashes already, keyed so that nobody outside can choose them.
#[derive(Debug, Default)]
struct KeyHasher(u64);

impl Hasher for KeyHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }

    fn write_u128(&mut self, key: u128) {
        // The low half picks the log partition; the high half is as random.
        self.0 = (key >> 64) as u64;
    }
}
