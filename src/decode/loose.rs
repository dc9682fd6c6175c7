//! JSON as sources really write it: numbers as strings, nulls, placeholders.

use std::borrow::Cow;
use std::fmt::{self, Display};
use std::marker::PhantomData;

use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::Rejected;
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

    /// It as an object, if it is one of this kind: some sources write the bare value in its place.
    pub(super) fn object<T: Deserialize<'a>>(self) -> Option<T> {
        self.0.starts_with('{').then(|| serde_json::from_str(self.0).ok())?
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

/// Something else than the shape that is expected, in words that go before "where".
type Misfit = &'static str;

/// Scalars where an object or a list is expected.
macro_rules! scalars_misfit {
    () => {
        fn visit_bool<E>(self, _: bool) -> Result<Self::Value, E> {
            Ok(Self::Value::misfit("true or false"))
        }

        fn visit_i64<E>(self, _: i64) -> Result<Self::Value, E> {
            Ok(Self::Value::misfit("a number"))
        }

        fn visit_u64<E>(self, _: u64) -> Result<Self::Value, E> {
            Ok(Self::Value::misfit("a number"))
        }

        fn visit_f64<E>(self, _: f64) -> Result<Self::Value, E> {
            Ok(Self::Value::misfit("a number"))
        }

        fn visit_str<E>(self, _: &str) -> Result<Self::Value, E> {
            Ok(Self::Value::misfit("text"))
        }

        fn visit_unit<E>(self) -> Result<Self::Value, E> {
            Ok(Self::Value::default())
        }
    };
}

/// An object within a record, or the note that something else stands in its place: whether that
/// rejects the record is for its reader to say.
#[derive(Clone, Debug)]
pub(super) struct Part<T> {
    object: Option<T>,
    misfit: Option<Misfit>,
}

impl<T> Part<T> {
    const fn misfit(found: Misfit) -> Self {
        Self { object: None, misfit: Some(found) }
    }

    /// The object; `None` if there is none.
    ///
    /// # Errors
    /// [`Rejected`] naming the field if something else stands in its place.
    pub(super) fn known(&self, field: impl Display) -> Result<Option<&T>, Rejected> {
        fitting(self.object.as_ref(), self.misfit, field, "an object")
    }

    /// The object, if there is one.
    pub(super) const fn get(&self) -> Option<&T> {
        self.object.as_ref()
    }
}

impl<T> Default for Part<T> {
    fn default() -> Self {
        Self { object: None, misfit: None }
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Part<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(PartVisitor(PhantomData))
    }
}

struct PartVisitor<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for PartVisitor<T> {
    type Value = Part<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    scalars_misfit!();

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
        let object = T::deserialize(MapAccessDeserializer::new(map))?;
        Ok(Part { object: Some(object), misfit: None })
    }

    /// PHP writes an empty object as an empty array.
    fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<Self::Value, A::Error> {
        Ok(if passed_over(seq)? == 0 { Part::default() } else { Part::misfit("a list") })
    }
}

/// A list of at most [`ITEMS_MAX`] elements; one element without its brackets counts as a list of
/// one, nulls are left out.
#[derive(Clone, Debug)]
pub(super) struct List<T> {
    elements: Option<Vec<T>>,
    misfit: Option<Misfit>,
}

impl<T> List<T> {
    const fn misfit(found: Misfit) -> Self {
        Self { elements: None, misfit: Some(found) }
    }

    /// Its elements; `None` if there is no list.
    ///
    /// # Errors
    /// [`Rejected`] naming the field if there is something else, or too long a list.
    pub(super) fn known(&self, field: impl Display) -> Result<Option<&[T]>, Rejected> {
        fitting(self.elements.as_deref(), self.misfit, field, "a list")
    }

    /// Its elements, if there are any.
    pub(super) fn get(&self) -> &[T] {
        self.elements.as_deref().unwrap_or_default()
    }
}

impl<T> Default for List<T> {
    fn default() -> Self {
        Self { elements: None, misfit: None }
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

    scalars_misfit!();

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
        let one = T::deserialize(MapAccessDeserializer::new(map))?;
        Ok(List { elements: Some(vec![one]), misfit: None })
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        let mut elements = Vec::new();
        while let Some(element) = seq.next_element::<Option<T>>()? {
            if elements.len() == ITEMS_MAX {
                passed_over(seq)?;
                return Ok(List::misfit(TOO_LONG));
            }
            elements.extend(element);
        }
        Ok(List { elements: Some(elements), misfit: None })
    }
}

/// An object read as pairs in the order written: names of the source's own choosing, at most
/// [`ITEMS_MAX`].
#[derive(Clone, Debug)]
pub(super) struct Pairs<'a, T> {
    pairs: Vec<(Cow<'a, str>, T)>,
    misfit: Option<Misfit>,
}

impl<'a, T> Pairs<'a, T> {
    const fn misfit(found: Misfit) -> Self {
        Self { pairs: Vec::new(), misfit: Some(found) }
    }

    /// The pairs; none if there is no object.
    ///
    /// # Errors
    /// [`Rejected`] naming the field if something else stands in its place, or too many names.
    pub(super) fn known(&self, field: impl Display) -> Result<&[(Cow<'a, str>, T)], Rejected> {
        let pairs = fitting(Some(&self.pairs[..]), self.misfit, field, "an object")?;
        Ok(pairs.unwrap_or_default())
    }

    /// Whether there is nothing at all.
    pub(super) const fn is_empty(&self) -> bool {
        self.pairs.is_empty() && self.misfit.is_none()
    }
}

impl<T> Default for Pairs<'_, T> {
    fn default() -> Self {
        Self { pairs: Vec::new(), misfit: None }
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

    scalars_misfit!();

    /// PHP writes an empty object as an empty array.
    fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<Self::Value, A::Error> {
        Ok(if passed_over(seq)? == 0 { Pairs::default() } else { Pairs::misfit("a list") })
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut pairs = Vec::new();
        while let Some(Key(key)) = map.next_key()? {
            if pairs.len() == ITEMS_MAX {
                map.next_value::<IgnoredAny>()?;
                while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
                return Ok(Pairs::misfit(TOO_LONG));
            }
            pairs.push((key, map.next_value()?));
        }
        Ok(Pairs { pairs, misfit: None })
    }
}

/// The misfit of a list or an object of more than [`ITEMS_MAX`].
const TOO_LONG: Misfit = "too long";

fn fitting<T>(
    value: Option<T>,
    misfit: Option<Misfit>,
    field: impl Display,
    expected: &str,
) -> Result<Option<T>, Rejected> {
    match misfit {
        None => Ok(value),
        Some(TOO_LONG) => Err(Rejected::new(format!(
            "{field}: more than {ITEMS_MAX} elements in {expected}; split the record"
        ))),
        Some(found) => Err(Rejected::new(format!("{field}: {found} where {expected} is expected"))),
    }
}

/// Passes over what is left of a list, and counts it.
fn passed_over<'de, A: SeqAccess<'de>>(mut seq: A) -> Result<usize, A::Error> {
    let mut count = 0;
    while seq.next_element::<IgnoredAny>()?.is_some() {
        count += 1;
    }
    Ok(count)
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
        let list = parse::<List<Loose<'_>>>(&long).expect("a list");
        let error = list.known("items").expect_err("too long");
        assert_eq!(error.reason, "items: more than 1000 elements in a list; split the record");
    }
}
