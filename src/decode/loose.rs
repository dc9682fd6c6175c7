//! JSON as sources really write it: numbers as strings, nulls, placeholders.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserialize, Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use crate::model::ITEMS_MAX;

/// A scalar of whatever type: text, number, boolean or null, borrowed as the record spells it.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Loose<'a>(&'a str);

impl<'a> Loose<'a> {
    /// Its text without surrounding blanks: `None` if absent, null, empty, or no scalar.
    pub(super) fn text(self) -> Option<Cow<'a, str>> {
        let text = match self.0.as_bytes().first()? {
            b'"' => {
                let inner = &self.0[1..self.0.len() - 1];
                if memchr::memchr(b'\\', inner.as_bytes()).is_some() {
                    let text: String = serde_json::from_str(self.0).ok()?;
                    return Some(text.trim().to_owned())
                        .filter(|text| !text.is_empty())
                        .map(Cow::Owned);
                }
                inner.trim()
            }
            b'{' | b'[' | b'n' => return None,
            _ => self.0,
        };
        Some(text).filter(|text| !text.is_empty()).map(Cow::Borrowed)
    }

    /// As [`Self::text`], and `None` also for what JavaScript and SQL write for nothing.
    pub(super) fn known(self) -> Option<Cow<'a, str>> {
        self.text().filter(|text| !is_placeholder(text))
    }
}

/// The first of several spellings of one field that holds a value.
pub(super) fn first_known<'a>(spellings: &[Loose<'a>]) -> Option<Cow<'a, str>> {
    spellings.iter().find_map(|loose| loose.known())
}

/// Whether the text only says that there is no value.
pub(super) fn is_placeholder(text: &str) -> bool {
    text.len() <= 9
        && ["", "undefined", "null", "NaN", "none"]
            .iter()
            .any(|none| text.eq_ignore_ascii_case(none))
}

impl<'de: 'a, 'a> Deserialize<'de> for Loose<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        <&'de RawValue>::deserialize(deserializer).map(|raw| Self(raw.get()))
    }
}

/// A list of at most [`ITEMS_MAX`] elements; one element without its brackets counts as a list of
/// one, nulls are left out.
#[derive(Clone, Debug)]
pub(super) struct List<T>(pub(super) Vec<T>);

impl<T> Default for List<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for List<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ListVisitor(PhantomData))
    }
}

struct ListVisitor<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for ListVisitor<T> {
    type Value = List<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list")
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(List::default())
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
        T::deserialize(MapAccessDeserializer::new(map)).map(|one| List(vec![one]))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        let mut list = Vec::new();
        while let Some(element) = seq.next_element::<Option<T>>()? {
            if list.len() == ITEMS_MAX {
                return Err(A::Error::custom(format!(
                    "more than {ITEMS_MAX} elements in one list; split the record"
                )));
            }
            list.extend(element);
        }
        Ok(List(list))
    }
}

/// An object read as pairs in the order written: names of the source's own choosing.
#[derive(Clone, Debug)]
pub(super) struct Pairs<'a, T>(pub(super) Vec<(Cow<'a, str>, T)>);

impl<T> Default for Pairs<'_, T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<'de: 'a, 'a, T: Deserialize<'de>> Deserialize<'de> for Pairs<'a, T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(PairsVisitor(PhantomData))
    }
}

struct PairsVisitor<'a, T>(PhantomData<(&'a (), T)>);

impl<'de: 'a, 'a, T: Deserialize<'de>> Visitor<'de> for PairsVisitor<'a, T> {
    type Value = Pairs<'a, T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(Pairs::default())
    }

    /// PHP writes an empty object as an empty array.
    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        match seq.next_element::<IgnoredAny>()? {
            None => Ok(Pairs::default()),
            Some(_) => Err(A::Error::custom("an array where an object with names is expected")),
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut pairs = Vec::new();
        while let Some(Key(key)) = map.next_key()? {
            if pairs.len() == ITEMS_MAX {
                return Err(A::Error::custom(format!("more than {ITEMS_MAX} names in one object")));
            }
            pairs.push((key, map.next_value()?));
        }
        Ok(Pairs(pairs))
    }
}

/// An object's key, borrowed where it has no escapes.
pub(super) struct Key<'a>(pub(super) Cow<'a, str>);

impl<'de: 'a, 'a> Deserialize<'de> for Key<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct KeyVisitor;
        impl<'de> Visitor<'de> for KeyVisitor {
            type Value = Cow<'de, str>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a name")
            }

            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
                Ok(Cow::Borrowed(text))
            }

            fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
                Ok(Cow::Owned(text.to_owned()))
            }
        }
        deserializer.deserialize_str(KeyVisitor).map(Key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decode::record::parse;

    #[test]
    fn scalars_of_any_type_are_text() {
        for (json, text) in [
            (r#""1""#, Some("1")),
            ("1.50", Some("1.50")),
            ("true", Some("true")),
            ("null", None),
            (r#""""#, None),
            (r#"" a ""#, Some("a")),
            (r#""\u00e9\n""#, Some("é")),
            ("{}", None),
            ("[1]", None),
        ] {
            let loose: Loose<'_> = parse(json).expect(json);
            assert_eq!(loose.text().as_deref(), text, "{json}");
        }
        let undefined: Loose<'_> = parse(r#""undefined""#).expect("a text");
        assert_eq!(undefined.known(), None);
    }

    #[test]
    fn a_list_is_bounded() {
        let long = format!("[{}]", vec!["1"; ITEMS_MAX + 1].join(","));
        let error = parse::<List<Loose<'_>>>(&long).expect_err("too long");
        assert!(error.reason.contains("more than 1000 elements"), "{error}");
    }
}
