//! The JSON Schema of journey files, for editors.

/// The JSON Schema of a journey file, as formatted JSON.
#[must_use]
pub fn schema() -> String {
    crate::yaml::schema_text(super::syntax::schema(), "A Waypost journey")
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    #[test]
    fn the_schema_forbids_unknown_fields_and_nulls() {
        let schema: Value = serde_json::from_str(&schema()).expect("JSON");
        assert_eq!(schema["additionalProperties"], Value::Bool(false));
        assert!(!schema.to_string().contains("\"null\""));
    }
}
