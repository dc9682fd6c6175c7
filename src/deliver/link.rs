//! Links that unsubscribe: signed, without anything readable about a person in them.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::model::{CustomerId, MessageChannel, Text};

/// What the signing key is derived for; a token of one purpose is worth nothing for another.
const PURPOSE: &str = "waypost unsubscribe link 1";
/// The form of the token; a later one gets another number.
const FORM: u8 = 1;
/// Bytes of the signature.
const SIGNATURE: usize = 16;
/// The longest topic that a link names; with a longer one it speaks of everything.
const TOPIC_BYTES_MAX: usize = 40;

/// What a link unsubscribes from, and whom. It does not expire: an old mail's link still works.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    /// By which channel.
    pub channel: MessageChannel,
    /// Whose.
    pub customer: CustomerId,
    /// Keyed hash of the address.
    pub address: [u8; 16],
    /// The topic of the message; `None` for everything.
    pub topic: Option<Text>,
}

impl Link {
    /// The token that stands for it, in characters that any URL may hold.
    #[must_use]
    pub fn seal(&self, secret: &[u8; 32]) -> String {
        let mut bytes = vec![FORM, channel_byte(self.channel)];
        bytes.extend(self.customer.to_bytes());
        bytes.extend(self.address);
        let topic = self.topic.as_deref().filter(|topic| topic.len() <= TOPIC_BYTES_MAX);
        bytes.extend(topic.unwrap_or_default().as_bytes());
        bytes.extend(signature(secret, &bytes));
        URL_SAFE_NO_PAD.encode(&bytes)
    }

    /// What a token stands for; `None` if this store did not make it.
    #[must_use]
    pub fn open(secret: &[u8; 32], token: &str) -> Option<Self> {
        let bytes = URL_SAFE_NO_PAD.decode(token).ok()?;
        let (signed, signature_given) =
            bytes.split_at_checked(bytes.len().checked_sub(SIGNATURE)?)?;
        // Hashes of both are compared, so that the time it takes tells nothing.
        if blake3::hash(&signature(secret, signed)) != blake3::hash(signature_given) {
            return None;
        }
        let (&[FORM, channel], rest) = signed.split_first_chunk::<2>()? else { return None };
        let (customer, rest) = rest.split_first_chunk::<16>()?;
        let (address, topic) = rest.split_first_chunk::<16>()?;
        let topic = std::str::from_utf8(topic).ok()?;
        Some(Self {
            channel: channel_of(channel)?,
            customer: CustomerId::from_bytes(*customer),
            address: *address,
            topic: (!topic.is_empty()).then(|| Text::from(topic)),
        })
    }
}

fn signature(secret: &[u8; 32], bytes: &[u8]) -> [u8; SIGNATURE] {
    let key = blake3::derive_key(PURPOSE, secret);
    let mut signature = [0; SIGNATURE];
    signature.copy_from_slice(&blake3::keyed_hash(&key, bytes).as_bytes()[..SIGNATURE]);
    signature
}

const fn channel_byte(channel: MessageChannel) -> u8 {
    match channel {
        MessageChannel::Email => 1,
        MessageChannel::Sms => 2,
    }
}

const fn channel_of(byte: u8) -> Option<MessageChannel> {
    match byte {
        1 => Some(MessageChannel::Email),
        2 => Some(MessageChannel::Sms),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn link(topic: Option<&str>) -> Link {
        Link {
            channel: MessageChannel::Email,
            customer: CustomerId(7),
            address: [9; 16],
            topic: topic.map(Text::from),
        }
    }

    #[test]
    fn a_token_opens_as_what_was_sealed() {
        for topic in [None, Some("reminders"), Some("thé & \"more\"")] {
            let token = link(topic).seal(&[1; 32]);
            assert_eq!(Link::open(&[1; 32], &token), Some(link(topic)));
            assert!(token.len() < 100, "{} characters", token.len());
            assert!(token.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b)));
        }
        let long = "x".repeat(41);
        assert_eq!(Link::open(&[1; 32], &link(Some(&long)).seal(&[1; 32])), Some(link(None)));
    }

    #[test]
    fn a_token_that_was_changed_or_made_elsewhere_opens_nothing() {
        let token = link(Some("reminders")).seal(&[1; 32]);
        assert_eq!(Link::open(&[2; 32], &token), None, "another store's");
        for place in 0..token.len() {
            let mut other = token.clone().into_bytes();
            other[place] = if other[place] == b'A' { b'B' } else { b'A' };
            let other = String::from_utf8(other).expect("text");
            let opened = Link::open(&[1; 32], &other);
            // The last character may hold bits that stand for nothing; all else is signed.
            assert!(opened.is_none(), "character {place} was changed");
        }
        for cut in 0..token.len() {
            assert_eq!(Link::open(&[1; 32], &token[..cut]), None);
        }
        assert_eq!(Link::open(&[1; 32], "é"), None);
    }
}
