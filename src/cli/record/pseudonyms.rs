//! Events without the people: every name is swapped for another, the same one each time.

use std::str::FromStr;

use anyhow::bail;
use phonenumber::PhoneNumber;
use serde_json::Value;

use crate::model::{Event, Identity, Namespace, Text};

/// What a key's use is, so that another use of it gives nothing away here.
const CONTEXT: &str = "waypost record 2026 pseudonyms of people in events";
/// The source that events have in a record.
const SOURCE: &str = "recorded";
/// The shortest key.
const KEY_BYTES_MIN: usize = 16;
/// Rounds of the permutation of digits.
const ROUNDS: u8 = 10;
/// How often a number is looked for that can be dialled.
const WALKS: usize = 1_000;
/// Numbers of custom data with at least so many digits may be somebody's.
const DIGITS_MIN: usize = 7;

const FIRST_NAMES: [&str; 16] = [
    "Ada", "Bo", "Cleo", "Dana", "Eli", "Fay", "Gil", "Ines", "Jo", "Kim", "Lou", "Max", "Noa",
    "Pat", "Robin", "Sam",
];
const LAST_NAMES: [&str; 16] = [
    "Alder", "Birch", "Cedar", "Dale", "Elm", "Field", "Grove", "Heath", "Lake", "Marsh", "North",
    "Poole", "Reed", "Stone", "Vale", "West",
];

/// Swaps names by a key.
pub(super) struct Pseudonyms {
    key: [u8; 32],
    /// Fields of custom data and attributes of profiles whose texts stay, and `page.name`,
    /// `page.query`.
    keep: Vec<String>,
}

impl Pseudonyms {
    pub(super) fn new(key: &str, keep: Vec<String>) -> anyhow::Result<Self> {
        if key.len() < KEY_BYTES_MIN {
            bail!("a key has at least {KEY_BYTES_MIN} characters, or names could be tried out");
        }
        Ok(Self { key: blake3::derive_key(CONTEXT, key.as_bytes()), keep })
    }

    /// Swaps all that names or describes a person; times, products and amounts stay.
    pub(super) fn swap(&self, event: &mut Event) {
        event.id = Text::from(format!("{SOURCE}#{}", self.hashed("event", &event.id)));
        event.identities =
            event.identities.iter().filter_map(|identity| self.identity(identity)).collect();
        self.swap_text("cart", &mut event.cart_id);
        for item in &mut event.items {
            if let Some(facts) = &mut item.facts {
                facts.image = facts.image.as_ref().map(without_query);
                facts.url = facts.url.as_ref().map(without_query);
            }
        }
        if let Some(order) = &mut event.order {
            self.swap_text("order", &mut order.id);
            self.swap_text("coupon", &mut order.coupon);
            self.swap_text("tracking", &mut order.tracking);
            let address = |url: &Text| self.hashed("tracking", url);
            order.tracking_url = order
                .tracking_url
                .as_ref()
                .map(|url| Text::from(format!("https://example.invalid/{}", address(url))));
        }
        if let Some(profile) = &mut event.profile {
            let name = |kind, from: &[&str; 16], name: &Text| {
                let place = usize::from(self.bytes(kind, name.as_bytes())[0]) % from.len();
                Text::from(from[place])
            };
            profile.first_name =
                profile.first_name.as_ref().map(|known| name("first", &FIRST_NAMES, known));
            profile.last_name =
                profile.last_name.as_ref().map(|known| name("last", &LAST_NAMES, known));
            profile.birth_date = profile.birth_date.as_deref().and_then(blurred);
            for (name, value) in &mut profile.attributes {
                if !self.keeps(name) {
                    *value = self.hashed(name, value);
                }
            }
        }
        if let Some(outcome) = &mut event.outcome {
            outcome.reason = None;
            outcome.link = outcome.link.as_ref().map(without_query);
        }
        if let Some(page) = &mut event.page {
            page.url = page.url.as_ref().map(without_query);
            for (field, text) in [("page.name", &mut page.name), ("page.query", &mut page.query)] {
                if !self.keeps(field) {
                    *text = None;
                }
            }
        }
        if let Some(data) = &event.data {
            event.data = self.data(data);
        }
    }

    /// Custom data with its texts and long numbers swapped; none if it is no JSON. Where ours stand,
    /// the encoder puts the swapped ones.
    fn data(&self, data: &str) -> Option<Box<str>> {
        let mut value: Value = serde_json::from_str(data).ok()?;
        if let Some(object) = value.as_object_mut() {
            for own in ["customer", "shop", "channel"] {
                object.remove(own);
            }
        }
        self.value("", &mut value);
        Some(value.to_string().into())
    }

    fn value(&self, field: &str, value: &mut Value) {
        match value {
            Value::String(text) if !self.keeps(field) => {
                *text = self.hashed(field, text).to_string();
            }
            Value::Number(number) if !self.keeps(field) => {
                let text = number.to_string();
                if text.bytes().filter(u8::is_ascii_digit).count() >= DIGITS_MIN {
                    *value = self.hashed(field, &text).to_string().into();
                }
            }
            Value::Array(all) => all.iter_mut().for_each(|one| self.value(field, one)),
            Value::Object(fields) => {
                fields.iter_mut().for_each(|(field, value)| self.value(field, value));
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }

    fn keeps(&self, field: &str) -> bool {
        self.keep.iter().any(|kept| kept == field)
    }

    /// The identity under its other name; none for a phone number that has no like.
    fn identity(&self, identity: &Identity) -> Option<Identity> {
        let value = &identity.value;
        let swapped = match &identity.namespace {
            Namespace::CustomerId => self.hashed("customer", value),
            Namespace::Email => {
                Text::from(format!("{}@example.invalid", self.hashed("email", value)))
            }
            Namespace::Phone => self.phone(value)?,
            Namespace::Device => self.hashed("device", value),
            Namespace::Other(name) => self.hashed(name, value),
        };
        Some(Identity { namespace: identity.namespace.clone(), value: swapped })
    }

    /// A number of the same country that can be dialled. No two numbers become one: the digits are
    /// permuted, again until they are a number.
    fn phone(&self, number: &str) -> Option<Text> {
        let parsed = PhoneNumber::from_str(number).ok()?;
        let code = format!("+{}", parsed.code().value());
        let digits = number.strip_prefix(&code)?;
        // Its first digit mostly says what kind of number it is.
        let (first, rest) = digits.split_at_checked(1)?;
        let prefix = format!("{code}{first}");
        let mut rest: Vec<u8> = rest.bytes().map(|digit| digit - b'0').collect();
        for _ in 0..WALKS {
            self.permute(&prefix, &mut rest);
            let shown = rest.iter().map(|digit| char::from(b'0' + digit)).collect::<String>();
            let candidate = format!("{prefix}{shown}");
            if candidate.parse::<PhoneNumber>().is_ok_and(|number| phonenumber::is_valid(&number)) {
                return Some(candidate.into());
            }
        }
        None
    }

    /// Permutes all texts of so many digits: a Feistel network over their two halves.
    fn permute(&self, context: &str, digits: &mut [u8]) {
        let half = digits.len() / 2;
        for round in 0..ROUNDS {
            let (left, right) = digits.split_at_mut(half);
            let (from, to): (&[u8], &mut [u8]) =
                if round % 2 == 0 { (right, left) } else { (left, right) };
            let mut told = context.as_bytes().to_vec();
            told.push(round);
            told.extend_from_slice(from);
            let added = self.bytes("phone", &told);
            for (digit, add) in to.iter_mut().zip(added) {
                *digit = (*digit + add % 10) % 10;
            }
        }
    }

    fn swap_text(&self, kind: &str, text: &mut Option<Text>) {
        if let Some(text) = text {
            *text = self.hashed(kind, text);
        }
    }

    /// Twenty hexadecimal digits after a letter.
    fn hashed(&self, kind: &str, value: &str) -> Text {
        let bytes = self.bytes(kind, value.as_bytes());
        let digits: String = bytes[..10].iter().map(|byte| format!("{byte:02x}")).collect();
        Text::from(format!("x{digits}"))
    }

    fn bytes(&self, kind: &str, value: &[u8]) -> [u8; 32] {
        let mut hasher = blake3::Hasher::new_keyed(&self.key);
        hasher.update(&u64::try_from(kind.len()).unwrap_or(u64::MAX).to_le_bytes());
        hasher.update(kind.as_bytes());
        hasher.update(value);
        *hasher.finalize().as_bytes()
    }
}

/// An address of a page without what follows its path, where names stand.
fn without_query(url: &Text) -> Text {
    Text::from(url.split(['?', '#']).next().unwrap_or_default())
}

/// A birth date with its day, and one of the leap years for its year.
fn blurred(date: &str) -> Option<Text> {
    let (year, day) = date.split_once('-')?;
    let year: u16 = year.parse().ok()?;
    (day.len() == 5).then(|| Text::from(format!("{:04}-{day}", year / 20 * 20)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{EventName, ProfileFacts, Timestamp};
    use std::collections::BTreeSet;

    fn pseudonyms(key: &str) -> Pseudonyms {
        Pseudonyms::new(key, vec!["tier".into()]).expect("a key")
    }

    #[test]
    fn names_are_swapped_stably_and_nothing_of_them_is_left() {
        let mut event = Event::new("e1", EventName::new("quiz.finished"), Timestamp::from_ms(0));
        event.identities = [
            Identity::customer_id("secret-7"),
            Identity::email("secret@shop.example"),
            Identity::phone("+31612345678"),
            Identity::device("secret-device"),
            Identity::other("loyalty", "secret-12"),
        ]
        .into_iter()
        .flatten()
        .collect();
        event.data =
            Some(r#"{"note":"secret","customer":{"id":"secret-7"},"tier":"gold","n":3,"phone":31612345678}"#.into());
        event.profile = Some(Box::new(ProfileFacts {
            first_name: Some("Secret".into()),
            birth_date: Some("1987-02-28".into()),
            attributes: vec![("city".into(), "secret".into()), ("tier".into(), "gold".into())],
            ..ProfileFacts::default()
        }));
        let swapped = |key: &str| {
            let mut event = event.clone();
            pseudonyms(key).swap(&mut event);
            event
        };
        let (one, two) = (swapped("a key of sixteen"), swapped("another key of sixteen"));
        assert_eq!(one, swapped("a key of sixteen"));
        assert_eq!(one.identities.len(), 5);
        for (a, b) in one.identities.iter().zip(&two.identities) {
            assert_ne!(a, b);
        }
        let shown = format!("{one:?}").to_lowercase();
        for left in ["secret", "shop.example", "612345678", "1987"] {
            assert!(!shown.contains(left), "{left}: {shown}");
        }
        let email = &one.identities[1].value;
        assert!(Identity::email(email).is_some_and(|read| read.value == *email), "{email}");
        let data: Value = serde_json::from_str(one.data.as_deref().expect("data")).expect("json");
        assert_eq!((&data["tier"], &data["n"]), (&"gold".into(), &3.into()));
        let profile = one.profile.expect("a profile");
        assert_eq!(profile.birth_date.as_deref(), Some("1980-02-28"));
        assert_eq!(profile.attributes[1].1, "gold");
    }

    #[test]
    fn no_two_phone_numbers_become_one() {
        let pseudonyms = pseudonyms("a key of sixteen");
        let numbers: Vec<String> = (0..500)
            .map(|n| format!("+316{:08}", 12_345_000 + n))
            .chain((0..200).map(|n| format!("+1719933{n:04}")))
            .collect();
        let swapped: BTreeSet<Text> =
            numbers.iter().map(|number| pseudonyms.phone(number).expect(number)).collect();
        assert_eq!(swapped.len(), numbers.len());
        for number in &swapped {
            assert!(number.starts_with("+316") || number.starts_with("+17"), "{number}");
            assert_eq!(Identity::phone(number).map(|read| read.value).as_ref(), Some(number));
        }
        assert_eq!(Pseudonyms::new("short", Vec::new()).err().map(|_| ()), Some(()));
    }
}
