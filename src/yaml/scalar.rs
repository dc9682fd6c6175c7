//! Single values, read from the text as written.

use std::borrow::Cow;
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

use crate::diagnostic::{Code, Diagnostic, did_you_mean, did_you_mean_within};
use crate::model::{Currency, Delay, DelayError, EventName, Money, Text, Zone};

use super::macros::text_schema;
use super::read::{Read, Reader};
use super::tree::{Kind, Node};

/// What other YAML tools would make of a plain text, if not the text itself.
#[must_use]
pub fn trap(text: &str) -> Option<&'static str> {
    let lower = text.to_ascii_lowercase();
    match lower.as_str() {
        "yes" | "no" | "on" | "off" | "y" | "n" | "true" | "false" => {
            return Some("true or false");
        }
        "null" | "~" | "" => return Some("nothing"),
        _ => (),
    }
    let clock = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
    if text.contains(':') && text.split(':').all(clock) {
        return Some("a number to the base 60");
    }
    looks_like_number(text).then_some("a number")
}

/// Whether a plain text is a number to some YAML tool, in any of YAML's many spellings.
#[must_use]
pub fn looks_like_number(text: &str) -> bool {
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    let lower = digits.to_ascii_lowercase();
    if matches!(lower.as_str(), ".inf" | ".nan") {
        return true;
    }
    let radix = |prefix: &str, of: fn(&u8) -> bool| {
        lower
            .strip_prefix(prefix)
            .is_some_and(|rest| !rest.is_empty() && rest.bytes().all(|b| b == b'_' || of(&b)))
    };
    if radix("0x", u8::is_ascii_hexdigit)
        || radix("0o", u8::is_ascii_digit)
        || radix("0b", u8::is_ascii_digit)
    {
        return true;
    }
    let (mantissa, exponent) = match lower.split_once('e') {
        Some((mantissa, exponent)) => (mantissa, Some(exponent)),
        None => (lower.as_str(), None),
    };
    let is_digits = |part: &str| part.bytes().all(|b| b.is_ascii_digit() || b == b'_');
    let mantissa_fits = mantissa.bytes().any(|b| b.is_ascii_digit())
        && mantissa.split('.').count() <= 2
        && mantissa.split('.').all(is_digits);
    let exponent_fits = exponent.is_none_or(|exponent| {
        let exponent = exponent.strip_prefix(['+', '-']).unwrap_or(exponent);
        !exponent.is_empty() && is_digits(exponent)
    });
    mantissa_fits && exponent_fits
}

impl Reader<'_> {
    /// The text of a scalar that is meant as text; plain words that YAML tools take for something
    /// else are refused.
    pub fn text<'n>(&mut self, node: &'n Node) -> Option<&'n str> {
        let Kind::Scalar { text, plain } = &node.kind else {
            return self.wrong_shape(node, "a text");
        };
        if node.is_null() {
            return self.fail(Code::WrongShape, node.span.clone(), "a value is missing here");
        }
        if *plain && let Some(meaning) = trap(text) {
            return self.fail_help(
                Code::YamlTrap,
                node.span.clone(),
                format!("`{text}` means {meaning} to some YAML tools"),
                format!("write it in quotes: \"{text}\""),
            );
        }
        Some(text)
    }

    /// The text of a scalar whatever YAML thinks it is: for values whose own rules leave no doubt.
    pub fn raw<'n>(&mut self, node: &'n Node, wanted: &str) -> Option<&'n str> {
        match &node.kind {
            Kind::Scalar { text, .. } if !node.is_null() => Some(text),
            _ => self.wrong_shape(node, wanted),
        }
    }
}

/// Reads a value by its own rules, which the help describes.
pub fn parsed<T>(
    node: &Node,
    reader: &mut Reader<'_>,
    what: &str,
    help: &str,
    parse: impl Fn(&str) -> Option<T>,
) -> Option<T> {
    let text = reader.text(node)?;
    match parse(text) {
        Some(value) => Some(value),
        None => reader.fail_help(
            Code::BadValue,
            node.span.clone(),
            format!("`{text}` is no {what}"),
            help,
        ),
    }
}

impl Read for String {
    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Self> {
        reader.text(node).map(Self::from)
    }
}

impl Read for Text {
    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Self> {
        reader.text(node).map(Self::from)
    }
}

impl Read for bool {
    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Self> {
        let Kind::Scalar { text, plain } = &node.kind else {
            return reader.wrong_shape(node, "`true` or `false`");
        };
        match (text.as_str(), plain) {
            ("true", true) => Some(true),
            ("false", true) => Some(false),
            (other, _) => reader.fail_help(
                Code::BadValue,
                node.span.clone(),
                format!("`{other}` is neither true nor false"),
                "write `true` or `false`, without quotes",
            ),
        }
    }
}

macro_rules! read_whole_number {
    ($($ty:ty),*) => {$(
        impl Read for $ty {
            fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Self> {
                let text = reader.raw(node, "a whole number")?;
                let digits = text.strip_prefix('-').unwrap_or(text);
                let canonical = !digits.is_empty()
                    && digits.bytes().all(|b| b.is_ascii_digit())
                    && (digits.len() == 1 || !digits.starts_with('0'));
                if !canonical {
                    let odd = looks_like_number(text);
                    let code = if odd { Code::YamlTrap } else { Code::BadValue };
                    return reader.fail_help(
                        code,
                        node.span.clone(),
                        format!("`{text}` is not a plain whole number"),
                        "write decimal digits alone, without leading zeros",
                    );
                }
                match text.parse() {
                    Ok(number) => Some(number),
                    Err(_) => reader.fail(
                        Code::BadValue,
                        node.span.clone(),
                        format!("`{text}` is out of range; possible are {} to {}", <$ty>::MIN, <$ty>::MAX),
                    ),
                }
            }
        }
    )*};
}
read_whole_number!(u8, u16, u32, u64, i64);

impl Read for Delay {
    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Self> {
        let text = reader.raw(node, "a duration such as `4h` or `7 days`")?;
        match text.parse() {
            Ok(delay) => Some(delay),
            Err(err) => {
                let help = match &err {
                    DelayError::Unit(unit) => of_elsewhere(unit)
                        .map(|unit| format!("did you mean `{unit}`?"))
                        .or_else(|| did_you_mean(unit, UNITS.iter().copied())),
                    DelayError::Shape(_) | DelayError::TooLong(_) => None,
                };
                reader.report.push(
                    Diagnostic::error(
                        Code::BadDuration,
                        reader.file,
                        node.span.clone(),
                        err.to_string(),
                    )
                    .maybe_help(help),
                );
                None
            }
        }
    }
}

const UNITS: &[&str] = &[
    "days", "hours", "minutes", "weeks", "seconds", "day", "hour", "minute", "week", "second",
    "min", "s", "m", "h", "d", "w",
];

/// The unit that is meant by a usual abbreviation, or by a word of a neighbouring language.
fn of_elsewhere(unit: &str) -> Option<&'static str> {
    Some(match unit.to_lowercase().as_str() {
        "hr" | "hrs" | "u" | "uur" | "uren" | "std" | "stunde" | "stunden" | "heure" | "heures" => {
            "h"
        }
        "mins" | "minuut" | "minuten" => "m",
        "secs" | "sek" | "seconde" | "seconden" => "s",
        "dag" | "dagen" | "tag" | "tage" | "jour" | "jours" => "days",
        "wk" | "wks" | "weken" | "woche" | "wochen" => "weeks",
        _ => return None,
    })
}

impl Read for Zone {
    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Self> {
        let text = reader.text(node)?;
        if let Some(zone) = Self::named(text) {
            return Some(zone);
        }
        let names = Self::names();
        let help = did_you_mean(text, names.iter().map(String::as_str))
            .unwrap_or_else(|| "write an IANA name such as Europe/Amsterdam".into());
        reader.fail_help(
            Code::UnknownZone,
            node.span.clone(),
            format!("`{text}` is no time zone"),
            help,
        )
    }
}

impl Read for Money {
    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Self> {
        let text = reader.raw(node, "an amount such as `20 EUR`")?;
        match Self::from_str(text) {
            Ok(money) => Some(money),
            Err(err) => reader.fail(Code::BadValue, node.span.clone(), err.to_string()),
        }
    }
}

impl Read for Currency {
    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Self> {
        let text = reader.text(node)?;
        match Self::new(text) {
            Some(currency) => Some(currency),
            None => reader.fail_help(
                Code::BadValue,
                node.span.clone(),
                format!("`{text}` is no currency"),
                "write its three letters, such as EUR",
            ),
        }
    }
}

/// The longest name of an event, in bytes.
const EVENT_NAME_BYTES_MAX: usize = 128;

/// A name with so few mistakes is taken for a misspelt one, not for an event of the shop's own.
pub const EVENT_MISTAKES_MAX: usize = 2;

impl Read for EventName {
    /// A known event, or one of the shop's own; a name that is nearly a known one is an error.
    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Self> {
        let text = reader.text(node)?;
        let name = Self::new(text);
        if !matches!(name, Self::Custom(_)) {
            return Some(name);
        }
        let known = || Self::KNOWN.iter().map(|(_, name, _)| *name);
        if let Some(help) = did_you_mean_within(text, EVENT_MISTAKES_MAX, known()) {
            return reader.fail_help(
                Code::UnknownEvent,
                node.span.clone(),
                format!("`{text}` is no event that is known"),
                help,
            );
        }
        let odd = |c: char| c.is_whitespace() || c.is_control();
        if !text.contains('.') || text.contains(odd) || text.len() > EVENT_NAME_BYTES_MAX {
            return reader.fail_help(
                Code::UnknownEvent,
                node.span.clone(),
                format!("`{text}` is no event's name"),
                "the shop's own events have a dot in their name, such as myshop.stockAlert",
            );
        }
        let (kind, _) = text.split_once('.').unwrap_or_default();
        let ours = known().filter(|known| known.split('.').next() == Some(kind));
        let ours: Vec<&str> = ours.collect();
        if !ours.is_empty() {
            let found = Diagnostic::error(
                Code::UnknownEvent,
                reader.file,
                node.span.clone(),
                format!("`{text}` is not one of Waypost's events; it is taken as the shop's own"),
            );
            let help = format!("Waypost's events of this kind are {}", ours.join(", "));
            reader.report.push(found.warning().help(help));
        }
        Some(name)
    }
}

text_schema! {
    Delay, { "type": "string", "pattern": "^([0-9]+ *[a-z]+[ ,]*)+$", "examples": ["30m", "4h", "7 days"] };
    Zone, { "type": "string", "examples": ["Europe/Amsterdam"] };
    Money, { "type": "string", "examples": ["20 EUR"] };
    Currency, { "type": "string", "pattern": "^[A-Za-z]{3}$", "examples": ["EUR"] };
}

impl JsonSchema for EventName {
    fn schema_name() -> Cow<'static, str> {
        "EventName".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let known: Vec<Schema> = Self::KNOWN
            .iter()
            .map(|(_, name, meaning)| json_schema!({ "const": name, "description": meaning }))
            .collect();
        let own = json_schema!({
            "type": "string",
            "pattern": "^[^\\s.]+(\\.[^\\s]+)+$",
            "description": "An event of the shop's own.",
        });
        json_schema!({ "anyOf": known.into_iter().chain([own]).collect::<Vec<_>>() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn traps_are_known() {
        for text in ["no", "Yes", "on", "20:00", "010", "0x1F", "1e3", "1_000", "3.14", "~", "NO"] {
            assert!(trap(text).is_some(), "{text}");
        }
        for text in ["10%", "nobody", "4h", "a:b", "cart10", "1 day", "Europe/Paris", "e5"] {
            assert_eq!(trap(text), None, "{text}");
        }
    }
}
