//! Language tags: which variant a customer gets.

use crate::model::Text;

/// A language tag as in `nl` or `nl-BE`.
pub(super) type Locale = Text;

/// Whether a text has the shape of a language tag (BCP 47): two or three lower-case letters, then
/// parts of two to eight letters or digits.
#[must_use]
pub fn is_locale(text: &str) -> bool {
    let mut parts = text.split('-');
    let language = parts.next().unwrap_or_default();
    let first =
        (2..=3).contains(&language.len()) && language.bytes().all(|b| b.is_ascii_lowercase());
    first
        && parts.all(|part| {
            (2..=8).contains(&part.len()) && part.bytes().all(|b| b.is_ascii_alphanumeric())
        })
}

/// The language of a tag: what stands before the first hyphen, in lower case.
pub(super) fn language(tag: &str) -> String {
    tag.split(['-', '_']).next().unwrap_or_default().to_ascii_lowercase()
}

/// The region of a tag, if it names one: two letters, in upper case.
pub(super) fn region(tag: &str) -> Option<String> {
    let mut parts = tag.split(['-', '_']).skip(1);
    let is_region = |part: &&str| part.len() == 2 && part.bytes().all(|b| b.is_ascii_alphabetic());
    parts.find(is_region).map(str::to_ascii_uppercase)
}

/// The variant for a customer: their tag's own, else a shorter tag's, else the default.
pub(super) fn choose<'a, T>(
    wanted: Option<&str>,
    has: impl Fn(Option<&str>) -> Option<&'a T>,
) -> Option<&'a T> {
    let mut tag = wanted.unwrap_or_default();
    while !tag.is_empty() {
        if let Some(found) = has(Some(tag)) {
            return Some(found);
        }
        tag = tag.rfind(['-', '_']).map_or("", |at| &tag[..at]);
    }
    has(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_have_their_shape() {
        for (tag, fits) in [
            ("nl", true),
            ("nl-BE", true),
            ("zh-Hant-TW", true),
            ("NL", false),
            ("n", false),
            ("nl-", false),
            ("draft", false),
        ] {
            assert_eq!(is_locale(tag), fits, "{tag}");
        }
        assert_eq!((language("nl-BE"), region("nl-BE")), ("nl".into(), Some("BE".into())));
        assert_eq!(region("zh-Hant-TW"), Some("TW".into()));
        assert_eq!(region("nl"), None);
    }

    #[test]
    fn a_variant_is_the_nearest() {
        let variants = ["", "nl", "pt-BR"];
        let has = |tag: Option<&str>| {
            variants.iter().find(|known| known.eq_ignore_ascii_case(tag.unwrap_or_default()))
        };
        for (wanted, chosen) in [
            (Some("nl-BE"), "nl"),
            (Some("nl"), "nl"),
            (Some("nl_BE"), "nl"),
            (Some("pt-br"), "pt-BR"),
            (Some("pt"), ""),
            (Some("fr"), ""),
            (None, ""),
        ] {
            assert_eq!(choose(wanted, has), Some(&chosen), "{wanted:?}");
        }
    }
}
