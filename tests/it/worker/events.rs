//! Events as a shop sends them.

use serde_json::{Value, json};
use waypost::model::Timestamp;

/// An event of now.
pub(crate) fn event(id: &str, name: &str, data: Value) -> String {
    event_at(id, name, super::shop::now(), data)
}

/// An event of some time.
pub(crate) fn event_at(id: &str, name: &str, at: Timestamp, data: Value) -> String {
    json!({ "specversion": "1.0", "id": id, "source": "/shop", "type": name, "time": at.to_string(), "data": data })
        .to_string()
}

/// The customer of an event: any of `id`, `email` and `device`.
pub(crate) fn customer(names: &[(&str, &str)]) -> Value {
    let customer = names.iter().map(|(name, value)| ((*name).to_owned(), json!(value)));
    Value::Object(customer.collect())
}

/// Adds one product to a cart.
pub(crate) fn cart_add(id: &str, names: &[(&str, &str)], cart: &str) -> String {
    let items = json!([{ "sku": "A", "price": "30", "currency": "EUR" }]);
    let data =
        json!({ "customer": customer(names), "cart_id": cart, "items": items, "channel": "web" });
    event(id, "cart.item_added", data)
}

/// Buys.
pub(crate) fn order(id: &str, names: &[(&str, &str)], number: &str) -> String {
    let order = json!({ "id": number, "total": "30", "currency": "EUR" });
    event(id, "order.placed", json!({ "customer": customer(names), "order": order }))
}

/// Says yes to mails.
pub(crate) fn consent(id: &str, names: &[(&str, &str)]) -> String {
    let said = json!([{ "channel": "email", "status": "given" }]);
    event(id, "consent.changed", json!({ "customer": customer(names), "consents": said }))
}

/// Any event that says no more than whose it is.
pub(crate) fn plain(id: &str, name: &str, names: &[(&str, &str)]) -> String {
    event(id, name, json!({ "customer": customer(names) }))
}
