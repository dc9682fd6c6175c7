//! The mapping file as it is written.

use std::fmt;
use std::marker::PhantomData;

use serde::Deserialize;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_saphyr::Spanned;

/// A mapping file, version 1.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct File {
    pub format: Spanned<u32>,
    pub source: Spanned<String>,
    pub reads: Reads,
    pub csv: Option<Spanned<Csv>>,
    pub time: Option<Spanned<TimeField>>,
    pub event: EventField,
    pub id: Option<Spanned<Field>>,
    pub shop: Option<Spanned<Field>>,
    pub channel: Option<Spanned<Field>>,
    pub cart_id: Option<Spanned<Field>>,
    #[serde(default)]
    pub customer: Ordered<Spanned<Field>>,
    #[serde(default)]
    pub items: Vec<Spanned<ItemFields>>,
    #[serde(default)]
    pub order: OrderFields,
    #[serde(default)]
    pub profile: ProfileFields,
    #[serde(default)]
    pub page: PageFields,
    #[serde(default)]
    pub consents: Vec<ConsentFields>,
}

/// What a mapping reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reads {
    /// CSV rows.
    Csv,
    /// JSON objects.
    Json,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Csv {
    pub delimiter: Option<Spanned<String>>,
    pub columns: Option<Vec<String>>,
}

/// Where a value comes from: a column or path, or the same for every record.
pub(super) enum Field {
    At(String),
    Value(String),
}

/// A time: RFC 3339 where only the column is named.
pub(super) struct TimeField {
    pub at: String,
    pub form: TimeForm,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Default)]
#[serde(rename_all = "snake_case")]
pub(super) enum TimeForm {
    #[default]
    Rfc3339,
    EpochMs,
    EpochS,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct EventField {
    #[serde(alias = "path")]
    pub column: Option<Spanned<String>>,
    pub value: Option<Spanned<Target>>,
    #[serde(default)]
    pub is: Ordered<Spanned<Target>>,
    #[serde(default)]
    pub otherwise: Otherwise,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Default)]
#[serde(rename_all = "snake_case")]
pub(super) enum Otherwise {
    #[default]
    Reject,
    Ignore,
    Custom,
}

/// What one word of the event column means.
#[derive(Default)]
pub(super) struct Target {
    pub event: Option<String>,
    pub custom: Option<String>,
    pub items: Option<ItemsWord>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum ItemsWord {
    None,
    Delta,
    Whole,
    Mentioned,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ItemFields {
    pub each: Option<Spanned<String>>,
    pub sku: Spanned<Field>,
    pub quantity: Option<Spanned<Field>>,
    pub price: Option<Spanned<Field>>,
    pub line_total: Option<Spanned<Field>>,
    pub currency: Option<Spanned<Field>>,
    pub name: Option<Spanned<Field>>,
    pub category: Option<Spanned<Field>>,
    pub brand: Option<Spanned<Field>>,
    pub image: Option<Spanned<Field>>,
    pub url: Option<Spanned<Field>>,
    #[serde(default)]
    pub options: Ordered<Spanned<Field>>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
pub(super) struct OrderFields {
    pub id: Option<Spanned<Field>>,
    pub scope: Option<Spanned<Field>>,
    pub total: Option<Spanned<Field>>,
    pub discount: Option<Spanned<Field>>,
    pub currency: Option<Spanned<Field>>,
    pub coupon: Option<Spanned<Field>>,
    pub refunded: Option<Spanned<Field>>,
    pub shipping: Option<Spanned<Field>>,
    pub tracking: Option<Spanned<Field>>,
    pub tracking_url: Option<Spanned<Field>>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
pub(super) struct ProfileFields {
    pub first_name: Option<Spanned<Field>>,
    pub last_name: Option<Spanned<Field>>,
    pub locale: Option<Spanned<Field>>,
    pub zone: Option<Spanned<Field>>,
    pub country: Option<Spanned<Field>>,
    pub birth_date: Option<Spanned<Field>>,
    pub attributes: Ordered<Spanned<Field>>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
pub(super) struct PageFields {
    pub url: Option<Spanned<Field>>,
    pub name: Option<Spanned<Field>>,
    pub category: Option<Spanned<Field>>,
    pub query: Option<Spanned<Field>>,
    pub results: Option<Spanned<Field>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ConsentFields {
    pub channel: Spanned<String>,
    pub topic: Option<Spanned<Field>>,
    pub status: Spanned<Field>,
    /// Words of the column for given, confirmed, withdrawn.
    #[serde(default)]
    pub is: Ordered<Spanned<String>>,
}

/// A YAML mapping in the order written.
pub(super) struct Ordered<T>(pub Vec<(String, T)>);

impl<T> Default for Ordered<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Ordered<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Pairs<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for Pairs<T> {
            type Value = Ordered<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("names with their values")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut pairs = Vec::new();
                while let Some(pair) = map.next_entry()? {
                    pairs.push(pair);
                }
                Ok(Ordered(pairs))
            }
        }
        deserializer.deserialize_map(Pairs(PhantomData))
    }
}

/// Declares a type that is written as one word, or as a mapping for everything it can say.
macro_rules! word_or_mapping {
    ($type:ty, $expecting:literal, $word:expr, $mapping:expr) => {
        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                struct Either;
                impl<'de> Visitor<'de> for Either {
                    type Value = $type;

                    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                        f.write_str($expecting)
                    }

                    fn visit_str<E: serde::de::Error>(self, word: &str) -> Result<$type, E> {
                        Ok($word(word.to_owned()))
                    }

                    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<$type, A::Error> {
                        let mapping = Deserialize::deserialize(MapAccessDeserializer::new(map))?;
                        $mapping(mapping).map_err(serde::de::Error::custom)
                    }
                }
                deserializer.deserialize_any(Either)
            }
        }
    };
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FieldMapping {
    #[serde(alias = "path")]
    column: Option<String>,
    value: Option<String>,
}

word_or_mapping!(
    Field,
    "a column or path (in quotes where YAML sees a number, yes or no in it), or { value: TEXT }",
    Field::At,
    |mapping| match mapping {
        FieldMapping { column: Some(at), value: None } => Ok(Field::At(at)),
        FieldMapping { column: None, value: Some(value) } => Ok(Field::Value(value)),
        _ => Err("write either a column (or path) or a value"),
    }
);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TimeMapping {
    #[serde(alias = "path")]
    column: String,
    #[serde(default, rename = "as")]
    form: TimeForm,
}

word_or_mapping!(
    TimeField,
    "a column or path, or { column: NAME, as: epoch_ms }",
    |at| TimeField { at, form: TimeForm::Rfc3339 },
    |TimeMapping { column, form }| Ok::<_, String>(TimeField { at: column, form })
);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TargetMapping {
    event: Option<String>,
    custom: Option<String>,
    items: Option<ItemsWord>,
}

word_or_mapping!(
    Target,
    "an event name, ignore, or { event: NAME, items: none }",
    |event| Target { event: Some(event), ..Target::default() },
    |TargetMapping { event, custom, items }| Ok::<_, String>(Target { event, custom, items })
);
