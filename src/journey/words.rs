//! The single values of a journey file: names, words, times of day, shares.

use jiff::civil::Date;

use crate::diagnostic::{Code, did_you_mean};
use crate::model::{Text, Zone};
use crate::yaml::{Kind, Node, Read, Reader, parsed, text_schema, word_values};

use super::{Class, Matching, RunPer, Status, Type, Var};

/// The longest name of a journey, step, topic or coupon pool, in bytes.
pub const NAME_BYTES_MAX: usize = 64;

/// A name: lower-case letters, digits, hyphens and underscores, beginning with a letter or digit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Name(pub(super) Text);

impl Name {
    pub(super) fn fits(text: &str) -> bool {
        let first = text.bytes().next().is_some_and(|b| b.is_ascii_alphanumeric());
        let each = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'_';
        first && text.len() <= NAME_BYTES_MAX && text.bytes().all(each)
    }
}

impl Read for Name {
    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Self> {
        let help = "use lower-case letters, digits, `-` and `_`, at most 64 of them";
        parsed(node, reader, "name", help, |text| Self::fits(text).then(|| Self(text.into())))
    }
}

/// The folder of a template under `templates`: names joined by slashes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct TemplateName(pub(super) Text);

impl Read for TemplateName {
    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Self> {
        let help = "write its folder under `templates`, such as abandoned-cart/first";
        parsed(node, reader, "template", help, |text| {
            text.split('/').all(Name::fits).then(|| Self(text.into()))
        })
    }
}

/// A condition as written: it is compiled when it is known what it may read.
#[derive(Clone, Debug)]
pub(super) struct Condition(pub(super) Node);

impl Condition {
    pub(super) fn source(&self) -> &str {
        match &self.0.kind {
            Kind::Scalar { text, .. } => text,
            Kind::List(_) | Kind::Map(_) => "",
        }
    }
}

impl Read for Condition {
    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Self> {
        reader.raw(node, "a condition in quotes")?;
        Some(Self(node.clone()))
    }
}

/// Whether a customer may come again, in one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum AgainWord {
    Never,
    Always,
}

word_values! {
    Status { "live" => Self::Live, "draft" => Self::Draft, }
    Class { "marketing" => Self::Marketing, "transactional" => Self::Transactional, }
    Matching {
        "same_items" => Self::SameItems,
        "same_cart" => Self::SameCart,
        "same_order" => Self::SameOrder,
    }
    AgainWord { "never" => Self::Never, "always" => Self::Always, }
}

/// What runs, or repetitions, are counted by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct PerWhat(pub(super) RunPer);

impl Read for PerWhat {
    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Self> {
        let text = reader.text(node)?;
        let per = match text {
            "customer" => Some(RunPer::Customer),
            "cart" => Some(RunPer::Cart),
            "order" => Some(RunPer::Order),
            path => key_fields().find(|var| var.path() == path).map(RunPer::Field),
        };
        if let Some(per) = per {
            return Some(Self(per));
        }
        let known = ["customer", "cart", "order"].into_iter().chain(key_fields().map(Var::path));
        let help = did_you_mean(text, known).unwrap_or_else(|| {
            "write customer, cart, order, or a text of the event such as event.coupon".into()
        });
        reader.fail_help(
            Code::BadValue,
            node.span.clone(),
            format!("runs can't be counted by `{text}`"),
            help,
        )
    }
}

/// The variables of which each value may have a run of its own.
fn key_fields() -> impl Iterator<Item = Var> {
    Var::ALL
        .iter()
        .filter(|(_, path, ty, _)| path.starts_with("event.") && *ty == Type::Text)
        .map(|(var, ..)| *var)
}

/// A time of day in minutes; `24:00` is midnight.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TimeOfDay(pub(super) u16);

impl Read for TimeOfDay {
    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Self> {
        parsed(node, reader, "time of day", "write it as in \"09:00\"", |text| {
            let (hour, minute) = text.split_once(':')?;
            let digits = |part: &str| {
                let fits = part.len() <= 2 && part.bytes().all(|b| b.is_ascii_digit());
                fits.then(|| part.parse::<u16>().ok()).flatten()
            };
            let (hour, minute) = (digits(hour)?, digits(minute).filter(|_| minute.len() == 2)?);
            let fits = hour < 24 && minute < 60 || hour == 24 && minute == 0;
            fits.then_some(Self((hour * 60 + minute) % 1440))
        })
    }
}

/// A date, or the name of a time that is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum DateOrFact {
    Date(Date),
    Fact(Var),
}

impl Read for DateOrFact {
    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Self> {
        let text = reader.text(node)?;
        if text.starts_with(|c: char| c.is_ascii_digit()) {
            return parsed(node, reader, "date", "write year, month and day: 2026-12-24", |text| {
                text.parse().ok().filter(|_| text.len() == 10).map(Self::Date)
            });
        }
        // Of `now` nothing is before or after.
        let times =
            || Var::ALL.iter().filter(|(var, _, ty, _)| *ty == Type::Time && *var != Var::Now);
        if let Some((var, ..)) = times().find(|(_, path, ..)| *path == text) {
            return Some(Self::Fact(*var));
        }
        let help = did_you_mean(text, times().map(|(_, path, ..)| *path)).unwrap_or_else(|| {
            let known: Vec<&str> = times().map(|(_, path, ..)| *path).collect();
            format!("write a date such as 2026-12-24, or one of {}", known.join(", "))
        });
        let message = format!("`{text}` is neither a date nor a time that is known");
        reader.fail_help(Code::BadValue, node.span.clone(), message, help)
    }
}

/// Weekdays: one, or a range such as `mon-sat`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Days(pub(super) [bool; 7]);

const DAYS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];

impl Read for Days {
    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Self> {
        let text = reader.text(node)?;
        let mut days = [false; 7];
        for part in text.split(',').map(str::trim) {
            let (first, last) = part.split_once('-').unwrap_or((part, part));
            let mut number = [0; 2];
            for (slot, name) in number.iter_mut().zip([first.trim(), last.trim()]) {
                let Some(found) = DAYS.iter().position(|day| *day == name) else {
                    // Names of days are short: two letters that differ may still be a typing mistake.
                    let help = did_you_mean(name, DAYS).unwrap_or_else(|| {
                        "write mon, tue, wed, thu, fri, sat, sun, or a range such as mon-sat".into()
                    });
                    return reader.fail_help(
                        Code::BadValue,
                        node.span.clone(),
                        format!("`{name}` is no weekday"),
                        help,
                    );
                };
                *slot = found;
            }
            let [mut day, last] = number;
            days[day] = true;
            while day != last {
                day = (day + 1) % 7;
                days[day] = true;
            }
        }
        Some(Self(days))
    }
}

/// Whose clock a window follows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum ZoneOrCustomer {
    Customer,
    Fixed(Zone),
}

impl Read for ZoneOrCustomer {
    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Self> {
        let text = reader.text(node)?;
        if text == "customer" {
            return Some(Self::Customer);
        }
        if let Some(help) = did_you_mean(text, ["customer"]) {
            let message = format!("`{text}` is no time zone");
            return reader.fail_help(Code::UnknownZone, node.span.clone(), message, help);
        }
        Zone::read(node, reader).map(Self::Fixed)
    }
}

/// A share in hundredths of a percent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Percent(pub(super) u16);

impl Read for Percent {
    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Self> {
        let text = reader.raw(node, "a share such as `10%`")?;
        let share = text.strip_suffix('%').map(str::trim_end).and_then(|number| {
            let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
            let digits = |part: &str| {
                !part.is_empty() && part.len() <= 3 && part.bytes().all(|b| b.is_ascii_digit())
            };
            if !digits(whole) || !digits(fraction) || fraction.len() > 2 {
                return None;
            }
            let fraction: u16 = format!("{fraction:0<2}").parse().ok()?;
            let share = whole.parse::<u16>().ok()? * 100 + fraction;
            (share <= 10_000).then_some(Self(share))
        });
        match share {
            Some(share) => Some(share),
            None => reader.fail_help(
                Code::BadValue,
                node.span.clone(),
                format!("`{text}` is no share"),
                "write a percentage from 0% to 100%, with the sign and at most two decimals",
            ),
        }
    }
}

/// 0 to 100.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Priority(pub(super) u8);

impl Read for Priority {
    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Self> {
        let number = u8::read(node, reader)?;
        if number > 100 {
            let message = format!("a priority goes from 0 to 100, this is {number}");
            return reader.fail(Code::BadValue, node.span.clone(), message);
        }
        Some(Self(number))
    }
}

text_schema! {
    Name, { "type": "string", "pattern": "^[a-z0-9][a-z0-9_-]{0,63}$" };
    TemplateName, { "type": "string", "pattern": "^[a-z0-9][a-z0-9_/-]*$" };
    Condition, { "type": ["string", "boolean"], "description": "A condition, such as cart.total >= money('20 EUR')." };
    PerWhat, { "type": "string", "pattern": "^(customer|cart|order|event\\.[a-z_]+)$" };
    TimeOfDay, { "type": "string", "pattern": "^([01]?[0-9]|2[0-3]):[0-5][0-9]$|^24:00$" };
    Days, { "type": "string", "pattern": "^(mon|tue|wed|thu|fri|sat|sun)([-,] *(mon|tue|wed|thu|fri|sat|sun))*$" };
    DateOrFact, { "type": "string", "examples": ["2026-12-24", "orders.last_at"] };
    ZoneOrCustomer, { "type": "string", "examples": ["customer", "Europe/Amsterdam"] };
    Percent, { "type": "string", "pattern": "^[0-9]{1,3}(\\.[0-9]{1,2})? *%$" };
    Priority, { "type": "integer", "minimum": 0, "maximum": 100 };
}
