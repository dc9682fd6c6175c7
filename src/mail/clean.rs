//! Text from outside, made harmless for a header.

/// The longest display name, in characters.
const NAME_CHARS_MAX: usize = 100;

/// One line of at most `chars_max` characters.
///
/// Line breaks and tabs become spaces, runs of white space one space. Left out are the control
/// characters C0, C1 and DEL, the line and paragraph separators U+2028 and U+2029, and what turns
/// the direction of writing (U+202A to U+202E, U+2066 to U+2069), with which a text can show
/// something else than it says. `=?`, which begins an encoded word (RFC 2047), gets a space between: a
/// mail program would decode it to anything.
#[must_use]
pub fn clean_line(text: &str, chars_max: usize) -> String {
    // Far more than can be kept, so that the cost has a limit too.
    let text = &text[..text.floor_char_boundary(16 * chars_max)];
    let mut line = String::new();
    for word in text.split(|c: char| c.is_whitespace() || c == '\u{85}') {
        let word: String = word.chars().filter(|c| !is_harmful(*c)).collect();
        if word.is_empty() {
            continue;
        }
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(&word.replace("=?", "= ?"));
    }
    let end = line.char_indices().nth(chars_max).map_or(line.len(), |(at, _)| at);
    line.truncate(end);
    line.truncate(line.trim_end().len());
    line
}

/// A display name of at most 100 characters; `None` if nothing is left, or if it is an address or a
/// link in disguise: such names are given to have a shop deliver them.
#[must_use]
pub fn clean_name(name: &str) -> Option<String> {
    let name = clean_line(name, NAME_CHARS_MAX);
    let lower = name.to_lowercase();
    let disguise = ["@", "://", "www."].iter().any(|sign| lower.contains(sign));
    (!name.is_empty() && !disguise).then_some(name)
}

/// The text of a body: line breaks as CRLF, whatever they were, and no control characters but tabs.
///
/// A bare CR or LF in a message is where one server ends a line and the next does not, which lets
/// a text smuggle in a message of its own.
pub(crate) fn clean_body(text: &str) -> String {
    let mut body = String::with_capacity(text.len() + text.len() / 32);
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '\r' => {
                if chars.peek() == Some(&'\n') {
                    chars.next();
                }
                body.push_str("\r\n");
            }
            '\n' => body.push_str("\r\n"),
            '\t' => body.push(c),
            _ if c.is_control() => {}
            _ => body.push(c),
        }
    }
    body
}

fn is_harmful(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_lose_what_could_break_a_header() {
        for (text, line) in [
            ("Ann  O'Hara ", "Ann O'Hara"),
            ("Ann\r\nBcc: all@shop.example", "Ann Bcc: all@shop.example"),
            ("A\u{0}n\u{1b}n\u{7f}", "Ann"),
            ("A\u{85}B\u{2028}C\u{2029}D", "A B C D"),
            ("\u{202e}nnA\u{2066}", "nnA"),
            ("=?utf-8?q?=0d=0a?=", "= ?utf-8?q?=0d=0a?="),
            ("\t \r\n", ""),
            ("Zoë 👩‍🦰", "Zoë 👩‍🦰"),
        ] {
            assert_eq!(clean_line(text, 50), line, "{text:?}");
        }
        assert_eq!(clean_line(&"é".repeat(500), 50), "é".repeat(50));
        assert_eq!(clean_line("abc def", 4), "abc");
    }

    #[test]
    fn names_that_are_links_are_no_names() {
        for (name, kept) in [
            ("Ann", Some("Ann")),
            ("", None),
            ("\u{0}\r\n", None),
            ("Win at https://evil.example", None),
            ("WWW.evil.example", None),
            ("paypal@bank.example", None),
        ] {
            assert_eq!(clean_name(name).as_deref(), kept, "{name:?}");
        }
    }

    #[test]
    fn bodies_have_one_kind_of_line_break() {
        for (text, body) in [
            ("a\nb\r\nc\rd", "a\r\nb\r\nc\r\nd"),
            ("\n\r", "\r\n\r\n"),
            ("\r\r\n\n", "\r\n\r\n\r\n"),
            ("a\u{0}\tb\u{85}", "a\tb"),
        ] {
            assert_eq!(clean_body(text), body, "{text:?}");
        }
    }
}
