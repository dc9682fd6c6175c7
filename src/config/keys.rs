//! The list of all keys, taken from the JSON Schema, so that it can't differ from what is read.

use serde_json::Value;

/// One key of the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigKey {
    /// Its path; `<name>` stands for a name that is chosen freely.
    pub path: String,
    /// The environment variable that sets it; `<NAME>` stands for the name in capitals, with `_`
    /// for every other character than letters and digits.
    pub variable: String,
    /// What it says.
    pub meaning: String,
    /// Whether its value must not be shown.
    pub is_secret: bool,
    /// Whether a variable's value is read as YAML: for lists.
    pub is_list: bool,
}

/// Every key that holds a value, in the order of their paths.
#[must_use]
pub fn keys() -> Vec<ConfigKey> {
    // The schema is made by this crate; a text that is no JSON has no keys, and tests see it.
    let schema: Value = serde_json::from_str(&super::schema()).unwrap_or_default();
    let mut keys = Vec::new();
    walk(&schema, &schema, &mut Vec::new(), "", &mut keys);
    keys.sort_by(|a, b| a.path.cmp(&b.path));
    keys
}

const NAME: &str = "<name>";

fn walk(
    root: &Value,
    schema: &Value,
    path: &mut Vec<String>,
    meaning: &str,
    keys: &mut Vec<ConfigKey>,
) {
    let meaning = schema["description"].as_str().filter(|_| meaning.is_empty()).unwrap_or(meaning);
    let resolved = resolve(root, schema);
    if let Value::Object(properties) = &resolved["properties"] {
        for (name, property) in properties {
            path.push(name.clone());
            let meaning = property["description"].as_str().unwrap_or_default();
            walk(root, property, path, meaning, keys);
            path.pop();
        }
        return;
    }
    if let element @ Value::Object(_) = &resolved["additionalProperties"] {
        path.push(NAME.to_owned());
        walk(root, element, path, meaning, keys);
        path.pop();
        return;
    }
    keys.push(ConfigKey {
        path: path.join("."),
        variable: format!("WAYPOST_{}", path.join("_").to_ascii_uppercase()),
        meaning: meaning.split_whitespace().collect::<Vec<_>>().join(" "),
        is_secret: resolved["writeOnly"] == true,
        is_list: resolved["type"] == "array" || resolved["anyOf"].is_array(),
    });
}

/// Follows references, and choices of one.
fn resolve<'a>(root: &'a Value, schema: &'a Value) -> &'a Value {
    if let Some(name) = schema["$ref"].as_str().and_then(|path| path.strip_prefix("#/$defs/")) {
        return resolve(root, &root["$defs"][name]);
    }
    match schema["anyOf"].as_array().map(Vec::as_slice) {
        Some([single]) => resolve(root, single),
        _ => schema,
    }
}

impl ConfigKey {
    /// Whether a path, its names as they are chosen, is of this key.
    pub(super) fn is_at(&self, path: &str) -> bool {
        match self.path.split_once(NAME) {
            None => self.path == path,
            Some((before, after)) => path
                .strip_prefix(before)
                .and_then(|rest| rest.strip_suffix(after))
                .is_some_and(|name| !name.is_empty()),
        }
    }

    /// If `variable` sets this key: the name in it, in capitals, where the key has one.
    pub(super) fn matches<'v>(&self, variable: &'v str) -> Option<Option<&'v str>> {
        match self.variable.split_once("<NAME>") {
            None => (self.variable == variable).then_some(None),
            Some((before, after)) => variable
                .strip_prefix(before)
                .and_then(|rest| rest.strip_suffix(after))
                .filter(|name| !name.is_empty())
                .map(Some),
        }
    }
}
