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
    generator.subschema_for::<Data<'static>>();
    let mut defs = generator.take_definitions(true);
    for (def, needed) in [("Item", json!(["sku"])), ("Consent", json!(["channel", "status"]))] {
        if let Some(Value::Object(def)) = defs.get_mut(def) {
            def.insert("required".into(), needed);
        }
    }
    let known = || EventName::KNOWN.iter().filter(|(name, ..)| !name.is_derived());
    let types: Vec<_> =
        known().map(|(_, name, means)| json!({"const": name, "description": means})).collect();
    let data_by_type: Vec<_> = known()
        .map(|(event, name, _)| {
            let data = json!({"$ref": format!("#/$defs/data.{name}")});
            let required: Vec<_> = needed(event).map(|_| "data").into_iter().collect();
            json!({
                "if": {"properties": {"type": {"const": name}}},
                "then": {"properties": {"data": data}, "required": required},
            })
        })
        .collect();
    for (event, name, means) in known() {
        defs.insert(format!("data.{name}"), data_schema(event, means));
    }
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
            "data": {"description": "What the event says, by its type; anything for a custom event."},
        },
        "allOf": data_by_type,
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

/// The `data` of one event: the fields that say something with it. Others do no harm.
fn data_schema(event: &EventName, means: &str) -> Value {
    let properties: serde_json::Map<_, _> = data_fields(event)
        .iter()
        .map(|field| {
            ((*field).to_owned(), json!({"$ref": format!("#/$defs/Data/properties/{field}")}))
        })
        .collect();
    let required: Vec<_> = needed(event).into_iter().collect();
    json!({
        "description": means,
        "type": if required.is_empty() { json!(["object", "null"]) } else { json!("object") },
        "properties": properties,
        "required": required,
    })
}

/// The fields of `data` that say something with this event.
#[must_use]
pub fn data_fields(name: &EventName) -> &'static [&'static str] {
    use EventName as E;
    match name {
        E::PageViewed | E::CategoryViewed | E::SearchRequested => {
            &["customer", "shop", "channel", "page"]
        }
        E::ProductViewed | E::SearchAnswered => &["customer", "shop", "channel", "items", "page"],
        E::CartOpened
        | E::CartItemAdded
        | E::CartItemRemoved
        | E::CartViewed
        | E::CartChanged
        | E::CartEmptied
        | E::CheckoutStarted => {
            &["customer", "shop", "channel", "cart_id", "items", "items_are", "order"]
        }
        E::CustomerSignedIn
        | E::CustomerSignedOut
        | E::CustomerCreated
        | E::CustomerUpdated
        | E::CustomerDeleted => &["customer", "shop", "channel", "profile", "consents"],
        E::ConsentChanged | E::CustomerUnsubscribed => &["customer", "shop", "channel", "consents"],
        E::WishlistItemAdded
        | E::WishlistItemRemoved
        | E::RequisitionListCreated
        | E::RequisitionListItemAdded
        | E::RequisitionListItemRemoved
        | E::RequisitionListDeleted => &["customer", "shop", "channel", "items"],
        E::CouponIssued | E::CouponRedeemed => &["customer", "shop", "channel", "order"],
        E::Custom(_) => &["customer", "shop", "channel"],
        order if order.is_order() => &["customer", "shop", "channel", "order", "items", "profile"],
        _outcome => &["customer", "message", "revision", "reason", "link"],
    }
}

/// The field of `data` without which an event says nothing.
#[must_use]
pub(super) fn needed(name: &EventName) -> Option<&'static str> {
    match name {
        EventName::ConsentChanged => Some("consents"),
        other if data_fields(other).contains(&"message") => Some("message"),
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
