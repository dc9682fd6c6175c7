//! Maps by customer. A customer's id is a hash already, so it is not hashed again.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

use crate::model::CustomerId;

/// A map by customer. Its order means nothing: whoever goes through it sorts.
pub(super) type ByCustomer<T> = HashMap<CustomerId, T, BuildHasherDefault<IdHasher>>;

/// Takes the high half of an id as its hash.
#[derive(Default)]
pub(super) struct IdHasher(u64);

impl Hasher for IdHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for chunk in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            self.0 = self.0.rotate_left(5) ^ u64::from_le_bytes(word);
        }
    }

    fn write_u128(&mut self, id: u128) {
        // The low half says which partition a customer is in: within one it tells less.
        self.0 = u64::try_from(id >> 64).unwrap_or(0);
    }
}
