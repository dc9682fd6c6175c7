//! JSON Schemas as text.

use serde_json::Value;

/// A schema as formatted JSON, ending in a newline. An optional field may be left out but not be
/// null, as the reader has it.
#[must_use]
pub fn schema_text(schema: schemars::Schema, title: &str) -> String {
    let mut value = schema.to_value();
    forbid_null(&mut value);
    if let Value::Object(fields) = &mut value {
        fields.insert("title".into(), title.into());
    }
    // Serializing a JSON value to text can't fail.
    let text = serde_json::to_string_pretty(&value).unwrap_or_default();
    format!("{text}\n")
}

/// Turns "this or null" into "this".
fn forbid_null(value: &mut Value) {
    match value {
        Value::Array(values) => values.iter_mut().for_each(forbid_null),
        Value::Object(fields) => {
            if let Some(Value::Array(types)) = fields.get_mut("type") {
                types.retain(|name| name != "null");
                if let [single] = types.as_slice() {
                    let single = single.clone();
                    fields.insert("type".into(), single);
                }
            }
            if let Some(Value::Array(choices)) = fields.get_mut("anyOf") {
                choices.retain(|choice| choice["type"] != "null");
            }
            if let Some(Value::Array(values)) = fields.get_mut("enum") {
                values.retain(|choice| !choice.is_null());
            }
            fields.values_mut().for_each(forbid_null);
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => (),
    }
}
