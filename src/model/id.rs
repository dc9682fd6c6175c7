//! Derived ids: each is a hash of its cause, so that a replay gives the same ones.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Hashes labelled parts to 128 bits; parts can't run into each other.
#[must_use]
pub fn derive(label: &str, parts: &[&[u8]]) -> u128 {
    derive_with(blake3::Hasher::new(), label, parts)
}

/// As [`derive()`], keyed: without `key` nobody can test whether a value is behind an id.
#[must_use]
pub fn derive_keyed(key: &[u8; 32], label: &str, parts: &[&[u8]]) -> u128 {
    derive_with(blake3::Hasher::new_keyed(key), label, parts)
}

fn derive_with(mut hasher: blake3::Hasher, label: &str, parts: &[&[u8]]) -> u128 {
    hasher.update(label.as_bytes());
    for part in parts {
        hasher.update(&(part.len() as u64).to_le_bytes());
        hasher.update(part);
    }
    let mut bytes = [0_u8; 16];
    bytes.copy_from_slice(&hasher.finalize().as_bytes()[..16]);
    u128::from_be_bytes(bytes)
}

macro_rules! id_type {
    ($(#[$doc:meta])* $name:ident, $prefix:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub u128);

        impl $name {
            /// The id as sixteen bytes, in the order in which ids sort.
            #[must_use]
            pub const fn to_bytes(self) -> [u8; 16] {
                self.0.to_be_bytes()
            }

            /// The id that these bytes, from [`Self::to_bytes`], stand for.
            #[must_use]
            pub const fn from_bytes(bytes: [u8; 16]) -> Self {
                Self(u128::from_be_bytes(bytes))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!($prefix, "{:032x}"), self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }

        impl FromStr for $name {
            type Err = IdError;

            fn from_str(text: &str) -> Result<Self, IdError> {
                text.strip_prefix($prefix)
                    .filter(|hex| hex.len() == 32)
                    .and_then(|hex| u128::from_str_radix(hex, 16).ok())
                    .map(Self)
                    .ok_or(IdError)
            }
        }
    };
}

/// A text that is no id of the wanted kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not an id")]
pub struct IdError;

id_type!(
    /// One customer: a keyed hash of the first identity seen and of how often it was erased.
    CustomerId, "c"
);
id_type!(
    /// One passage of one customer through one journey.
    RunId, "r"
);
id_type!(
    /// One decided message: a hash of journey, run, step and occurrence, never of a time or a counter.
    MessageId, "m"
);
id_type!(
    /// Everything an author or operator can change, as one content hash.
    ReleaseId, "v"
);

impl CustomerId {
    /// The partition of a log of `partitions` that this customer's records are in.
    #[must_use]
    pub fn partition(self, partitions: u32) -> u32 {
        // The id is a hash already; its low bits are as good as another hash of it.
        let low = u64::from_be_bytes(self.0.to_be_bytes()[8..].try_into().unwrap_or([0; 8]));
        u32::try_from(low % u64::from(partitions.max(1))).unwrap_or(0)
    }
}
