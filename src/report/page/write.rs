//! Writing HTML so that nothing can get in unescaped: markup is what stands in this source.

use std::fmt::{Display, Write};

use crate::model::{Timestamp, Zone};
use crate::replay::grouped;

/// HTML that is being written. It is well-formed XML, too, so that a strict parser can check it.
#[derive(Debug, Default)]
pub(super) struct Html(String);

impl Html {
    /// Writes markup.
    pub(super) fn put(&mut self, markup: &'static str) -> &mut Self {
        self.0.push_str(markup);
        self
    }

    /// Writes text, escaped for an element and for a quoted attribute.
    pub(super) fn text(&mut self, text: impl Display) -> &mut Self {
        // Writing to a string can't fail.
        let _ = write!(Escape(&mut self.0), "{text}");
        self
    }

    /// Writes text in which `words` between backticks are code.
    pub(super) fn prose(&mut self, text: &str) -> &mut Self {
        for (place, part) in text.split('`').enumerate() {
            let code = place % 2 == 1;
            self.put(if code { "<code>" } else { "" }).text(part);
            self.put(if code { "</code>" } else { "" });
        }
        self
    }

    /// Writes a number with commas between thousands.
    pub(super) fn number(&mut self, number: u64) -> &mut Self {
        self.text(grouped(number))
    }

    /// Writes an instant for people, in UTC, as `format` of strftime says.
    pub(super) fn time(&mut self, at: Timestamp, format: &'static str) -> &mut Self {
        self.put("<time datetime=\"").text(at).put("\">");
        self.text(at.zoned(&Zone::utc()).strftime(format)).put("</time>")
    }

    /// Writes what was written elsewhere.
    pub(super) fn add(&mut self, other: &Self) -> &mut Self {
        self.0.push_str(&other.0);
        self
    }

    pub(super) fn into_string(self) -> String {
        self.0
    }
}

struct Escape<'a>(&'a mut String);

impl Write for Escape<'_> {
    fn write_str(&mut self, text: &str) -> std::fmt::Result {
        for c in text.chars() {
            match c {
                '&' => self.0.push_str("&amp;"),
                '<' => self.0.push_str("&lt;"),
                '>' => self.0.push_str("&gt;"),
                '"' => self.0.push_str("&quot;"),
                '\'' => self.0.push_str("&#39;"),
                // As references they also keep their place inside an attribute.
                '\n' => self.0.push_str("&#10;"),
                '\t' => self.0.push_str("&#9;"),
                '\r' => {}
                // A page must not hold them, and neither must XML.
                c if c.is_control() || matches!(c, '\u{FFFE}' | '\u{FFFF}') => {
                    self.0.push('\u{FFFD}');
                }
                c => self.0.push(c),
            }
        }
        Ok(())
    }
}

/// A share in whole percent, such as `19%`; `<1%` where it is less, but something.
pub(super) fn percent(part: u64, whole: u64) -> String {
    match tenths(part, whole) {
        0 if part == 0 || whole == 0 => "0%".to_owned(),
        0..=9 => "<1%".to_owned(),
        tenths => format!("{}%", (tenths + 5) / 10),
    }
}

/// A share in tenths of a percent, cut.
pub(super) fn tenths(part: u64, whole: u64) -> u64 {
    let share = u128::from(part) * 1_000 / u128::from(whole.max(1));
    u64::try_from(share).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_escaped() {
        for (text, expected) in [
            ("a<b>&\"'", "a&lt;b&gt;&amp;&quot;&#39;"),
            ("1\r\n2\t3", "1&#10;2&#9;3"),
            ("\0\u{1b}[1m\u{85}\u{FFFF}", "\u{FFFD}\u{FFFD}[1m\u{FFFD}\u{FFFD}"),
            ("Zoë 漢字", "Zoë 漢字"),
        ] {
            let mut html = Html::default();
            html.text(text);
            assert_eq!(html.into_string(), expected);
        }
    }

    #[test]
    fn shares_are_rounded() {
        for (part, whole, expected) in [
            (0, 0, "0%"),
            (0, 7, "0%"),
            (1, 1_000, "<1%"),
            (10, 1_000, "1%"),
            (194, 1_000, "19%"),
            (195, 1_000, "20%"),
            (7, 7, "100%"),
        ] {
            assert_eq!(percent(part, whole), expected, "{part} of {whole}");
        }
    }
}
