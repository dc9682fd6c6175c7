//! The JSON Schema of our events, for editors and for those who send them.

use std::borrow::Cow;

use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde_json::{Value, json};

use super::shape::Data;
use crate::model::EventName;

/// The JSON Schema of one event, or of an array of them; `docs/schema/cloudevents.schema.json`.
#[must_use]
pub fn cloudevents_schema() -> Value {
    let mut generator = SchemaSettings::draft2020_12().into_generator();
    let data = generator.subschema_for::<Data<'static>>();
    let mut defs = generator.take_definitions(true);
    let known = || EventName::KNOWN.iter().filter(|(name, ..)| !name.is_derived());
    let types: Vec<_> =
        known().map(|(_, name, doc)| json!({"const": name, "description": doc})).collect();
    let needs: Vec<_> = known()
        .filter_map(|(event, name, _)| {
            let needed = needed(event)?;
            Some(json!({
                "if": {"properties": {"type": {"const": name}}},
                "then": {"required": ["data"], "properties": {"data": {"required": [needed]}}},
            }))
        })
        .collect();
    let derived: Vec<_> = EventName::KNOWN
        .iter()
        .filter(|(name, ..)| name.is_derived())
        .map(|(_, name, _)| name)
        .collect();
    let event = json!({
        "description": "One event: CloudEvents 1.0, structured content mode.",
        "type": "object",
        "required": ["specversion", "id", "source", "type"],
        "properties": {
            "specversion": {"const": "1.0"},
            "id": {"type": "string", "minLength": 1,
                "description": "The event's own id; the same id of one customer is one event."},
            "source": {"type": "string", "minLength": 1, "description": "Who sends it."},
            "type": {
                "description": "What happened; any other name makes a custom event.",
                "anyOf": [
                    {"oneOf": types},
                    {"type": "string", "minLength": 1, "not": {"enum": derived}},
                ],
            },
            "time": {"type": "string", "format": "date-time",
                "description": "When it happened; when it came in, if left out."},
            "data": data,
        },
        "allOf": needs,
    });
    defs.insert("Event".into(), event);
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Waypost events as CloudEvents",
        "anyOf": [
            {"$ref": "#/$defs/Event"},
            {"type": "array", "items": {"$ref": "#/$defs/Event"}},
        ],
        "$defs": defs,
    })
}

/// The field of `data` without which an event says nothing.
pub(super) fn needed(name: &EventName) -> Option<&'static str> {
    let outcome = name.as_str().starts_with("email.") || name.as_str().starts_with("sms.");
    match name {
        EventName::Custom(_) => None,
        EventName::ConsentChanged => Some("consents"),
        _ if outcome => Some("message"),
        _ => None,
    }
}

/// Declares what a field looks like to those who send it.
macro_rules! written_as {
    ($($(#[$doc:meta])* $name:ident: $schema:tt;)*) => {
        $(
            $(#[$doc])*
            pub(super) struct $name;

            impl JsonSchema for $name {
                fn schema_name() -> Cow<'static, str> {
                    stringify!($name).into()
                }

                fn inline_schema() -> bool {
                    true
                }

                fn json_schema(_: &mut SchemaGenerator) -> Schema {
                    json_schema!($schema)
                }
            }
        )*
    };
}

written_as! {
    /// A text; numbers and booleans are taken as text.
    Scalar: {"type": ["string", "number", "boolean", "null"]};
    /// A decimal number, as a number or as text.
    Number: {"type": ["number", "string", "null"], "pattern": r"^\s*[-+]?[0-9]*\.?[0-9]*([eE][-+]?[0-9]+)?\s*$"};
    /// A whole number, as a number or as text.
    Whole: {"type": ["integer", "string", "null"], "pattern": r"^\s*[-+]?[0-9]*\s*$"};
    /// A date.
    Time: {"type": ["string", "null"]};
    /// A channel by its word.
    ChannelWord: {"enum": ["web", "app", "store", "phone", "unknown", null]};
    /// What items are.
    ItemsAreWord: {"enum": ["delta", "whole", "mentioned", null]};
    /// A way to reach a customer.
    MessageChannelWord: {"enum": ["email", "sms"]};
    /// What was said.
    StatusWord: {"enum": ["given", "confirmed", "withdrawn"]};
}
