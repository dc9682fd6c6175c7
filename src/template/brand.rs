//! `_brand.yaml`: names and values that all templates share, such as colours.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::diagnostic::{Code, Diagnostic, Report, SourceFile};
use crate::yaml::{self, Kind};

use super::locale::is_locale;

/// The values of the brand by their names.
pub(super) type Brand = BTreeMap<String, String>;

/// The most values of a brand.
const VALUES_MAX: usize = 200;
/// The longest value, in bytes.
const VALUE_BYTES_MAX: usize = 2_000;

/// The value that says the language of all texts without one in their file's name.
const LANGUAGE: &str = "language";

/// The language of the texts without one in their file's name, if the brand says it.
pub(super) fn language(brand: &Brand) -> Option<&str> {
    brand.get(LANGUAGE).map(String::as_str)
}

/// Reads the brand; mistakes go to the report.
pub(super) fn read(file: &Arc<SourceFile>, report: &mut Report) -> Brand {
    let mut brand = Brand::new();
    let Some(node) = yaml::parse(file, report) else { return brand };
    let mut fail = |span, message: String, help: &str| {
        report.push(Diagnostic::error(Code::BadValue, file, span, message).help(help));
    };
    if node.is_null() {
        return brand;
    }
    let Kind::Map(entries) = &node.kind else {
        let help = "write a name and a value a line, such as `color: \"#1a7f5a\"`";
        fail(node.span, "a brand is a list of names and values".to_owned(), help);
        return brand;
    };
    for (key, value) in entries.iter().take(VALUES_MAX) {
        let is_name = key.text.bytes().next().is_some_and(|b| b.is_ascii_lowercase())
            && key.text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_');
        if !is_name {
            let message = format!("`{}` can't be the name of a brand's value", key.text);
            fail(key.span.clone(), message, "use lower-case letters, digits and `_`");
            continue;
        }
        let Kind::Scalar { text, .. } = &value.kind else {
            let help = "write names that say it all, such as button_color";
            fail(value.span.clone(), "a brand's value is one text".to_owned(), help);
            continue;
        };
        if value.is_null() {
            let help = "put a colour in quotes: `#` begins a comment";
            fail(value.span.clone(), "nothing is written here".to_owned(), help);
        } else if text.len() > VALUE_BYTES_MAX
            || text.contains("{{")
            || text.contains(|c: char| c.is_control() || matches!(c, '<' | '>' | '"'))
        {
            let help = "write one line of at most 2,000 bytes, without `<`, `>`, `\"` and `{{`";
            fail(value.span.clone(), "this can't be a brand's value".to_owned(), help);
        } else if key.text == LANGUAGE && !is_locale(text) {
            let message = format!("`{text}` is not the tag of a language");
            fail(value.span.clone(), message, "write a tag such as en or pt-BR");
        } else {
            brand.insert(key.text.clone(), text.clone());
        }
    }
    if entries.len() > VALUES_MAX {
        let message = format!("a brand has at most {VALUES_MAX} values");
        fail(node.span, message, "remove those that no template uses");
    }
    brand
}
