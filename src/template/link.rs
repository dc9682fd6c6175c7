//! Addresses: which are safe, how values go into them, how campaigns are marked.

use std::fmt::Write as _;

/// Whether an address may stand in a mail: absolute, and of a scheme that only leads somewhere.
pub(super) fn is_safe(url: &str) -> bool {
    let Some((scheme, rest)) = url.split_once(':') else { return false };
    let scheme = scheme.to_ascii_lowercase();
    let odd = |c: char| c.is_whitespace() || c.is_control() || matches!(c, '<' | '>' | '"');
    let leads = match scheme.as_str() {
        "http" | "https" => rest.strip_prefix("//").is_some_and(|rest| !rest.is_empty()),
        "mailto" | "tel" => !rest.is_empty(),
        _ => false,
    };
    leads && !rest.contains(odd)
}

/// A text as a part of an address: all but letters, digits and `-._~` as `%XX` (RFC 3986,
/// section 2.3).
pub(super) fn encode(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            encoded.push(char::from(byte));
        } else {
            let _ = write!(encoded, "%{byte:02X}");
        }
    }
    encoded
}

/// An address with parameters put into its query, in their order; those that it has already stay
/// as they are. Only web addresses take parameters.
pub(super) fn with_parameters<'a>(
    url: &str,
    parameters: impl IntoIterator<Item = (&'a str, &'a str)>,
) -> String {
    if !url.starts_with("http://") && !url.starts_with("https://") {
        return url.to_owned();
    }
    let (address, fragment) = match url.split_once('#') {
        Some((address, fragment)) => (address, Some(fragment)),
        None => (url, None),
    };
    let mut whole = address.to_owned();
    let query = address.split_once('?').map_or("", |(_, query)| query);
    let has = |name: &str| {
        query.split('&').any(|pair| pair.split_once('=').map_or(pair, |(known, _)| known) == name)
    };
    for (name, value) in parameters {
        if has(name) {
            continue;
        }
        let join = match whole.split_once('?') {
            None => "?",
            Some((_, "")) => "",
            Some((_, query)) if query.ends_with('&') => "",
            Some(_) => "&",
        };
        let _ = write!(whole, "{join}{}={}", encode(name), encode(value));
    }
    if let Some(fragment) = fragment {
        let _ = write!(whole, "#{fragment}");
    }
    whole
}

/// Scheme and host of a web address, with a slash behind.
pub(super) fn origin(url: &str) -> Option<String> {
    let (scheme, rest) = url.split_once("://")?;
    let host = rest.split(['/', '?', '#']).next().filter(|host| !host.is_empty())?;
    matches!(scheme, "http" | "https").then(|| format!("{scheme}://{host}/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_addresses_that_lead_somewhere_are_safe() {
        for (url, safe) in [
            ("https://shop.example/a?b=c", true),
            ("HTTP://shop.example", true),
            ("mailto:ann@shop.example", true),
            ("tel:+31201234567", true),
            ("javascript:alert(1)", false),
            ("JaVaScRiPt:alert(1)", false),
            ("data:text/html,x", false),
            (" https://shop.example", false),
            ("https://shop.example/a b", false),
            ("https:/shop.example", false),
            ("//shop.example", false),
            ("/cart", false),
            ("", false),
        ] {
            assert_eq!(is_safe(url), safe, "{url}");
        }
    }

    #[test]
    fn parameters_are_added_and_never_replaced() {
        let utm = [("utm_campaign", "cart & more"), ("utm_source", "waypost")];
        let added = "utm_campaign=cart%20%26%20more&utm_source=waypost";
        for (url, expected) in [
            ("https://s.example/c", format!("https://s.example/c?{added}")),
            ("https://s.example/c?", format!("https://s.example/c?{added}")),
            ("https://s.example/c?a=1#top", format!("https://s.example/c?a=1&{added}#top")),
            (
                "https://s.example/?utm_source=tv&a",
                "https://s.example/?utm_source=tv&a&utm_campaign=cart%20%26%20more".into(),
            ),
            ("mailto:ann@shop.example", "mailto:ann@shop.example".into()),
        ] {
            assert_eq!(with_parameters(url, utm), expected, "{url}");
        }
        assert_eq!(origin("https://s.example/x?y"), Some("https://s.example/".into()));
        assert_eq!(origin("ftp://s.example/"), None);
    }
}
