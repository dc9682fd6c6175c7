//! Phone numbers as people type them, to E.164.

use phonenumber::Mode;

/// The number in E.164, read as in `country` (ISO 3166 alpha-2) where it has no country code of its
/// own; `None` if it is no valid number.
pub(in crate::decode) fn e164(text: &str, country: Option<&str>) -> Option<String> {
    // No number is longer, and the parser's cost grows with the text.
    if text.len() > 64 || !text.bytes().any(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let country = country.and_then(|code| code.to_ascii_uppercase().parse().ok());
    let number = phonenumber::parse(country, text).ok()?;
    phonenumber::is_valid(&number).then(|| number.format().mode(Mode::E164).to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn free_text_becomes_e164_or_nothing() {
        for (text, country, number) in [
            ("+31 6 12345678", None, Some("+31612345678")),
            ("06-12345678", Some("NL"), Some("+31612345678")),
            ("06-12345678", None, None),
            ("719-933-0478", Some("us"), Some("+17199330478")),
            ("719-933-0478", None, None),
            ("+613 9403600x1234", None, None),
            ("call me", Some("US"), None),
            ("", Some("US"), None),
        ] {
            assert_eq!(e164(text, country).as_deref(), number, "{text} in {country:?}");
        }
    }
}
