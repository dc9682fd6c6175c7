//! Money and dates as people of a language write them. English, Dutch, German and French are
//! known, as the Unicode CLDR describes them; any other language gets ISO forms.

use crate::model::{Money, Timestamp, Zone};

use super::locale::{language, region};

/// A space that does not break the line.
const NBSP: char = '\u{a0}';
/// The same, narrow: what French groups digits with.
const NARROW_NBSP: char = '\u{202f}';

/// Currencies without decimals and with three, by ISO 4217; all others have two.
const NO_DECIMALS: [&str; 15] = [
    "BIF", "CLP", "DJF", "GNF", "ISK", "JPY", "KMF", "KRW", "PYG", "RWF", "UGX", "VND", "XAF",
    "XOF", "XPF",
];
const THREE_DECIMALS: [&str; 7] = ["BHD", "IQD", "JOD", "KWD", "LYD", "OMR", "TND"];

/// Money in a language: `€ 1.234,50` in nl, `€1,234.50` in en. Rounded half to even to what the
/// currency has; without a currency the number alone.
pub(super) fn money(money: Money, locale: &str) -> String {
    let code = money.currency.as_ref().map(|currency| currency.code());
    let number = Number::of(money, code);
    let symbol = match code {
        None => "",
        Some("EUR") => "€",
        Some("USD") => "$",
        Some("GBP") => "£",
        Some("JPY") => "¥",
        Some(other) => other,
    };
    let sign = if number.negative { "-" } else { "" };
    let language = language(locale);
    let swiss = region(locale).as_deref() == Some("CH");
    match (language.as_str(), symbol) {
        ("en", "") => format!("{sign}{}", number.shown(Some(','), '.')),
        ("en", symbol) => {
            let gap = if symbol.len() == 3 && symbol.is_ascii() { "\u{a0}" } else { "" };
            format!("{sign}{symbol}{gap}{}", number.shown(Some(','), '.'))
        }
        ("nl" | "de" | "fr", "") => format!("{sign}{}", number.grouped(&language, swiss)),
        ("nl", symbol) => format!("{symbol}{NBSP}{sign}{}", number.grouped("nl", false)),
        ("de", symbol) if swiss || region(locale).as_deref() == Some("AT") => {
            format!("{symbol}{NBSP}{sign}{}", number.grouped("de", swiss))
        }
        ("de" | "fr", symbol) => {
            format!("{sign}{}{NBSP}{symbol}", number.grouped(&language, false))
        }
        (_, _) => {
            let code = code.map(|code| format!(" {code}")).unwrap_or_default();
            format!("{sign}{}{code}", number.shown(None, '.'))
        }
    }
}

/// An amount as digits.
struct Number {
    negative: bool,
    whole: String,
    fraction: String,
}

impl Number {
    fn of(money: Money, code: Option<&str>) -> Self {
        let decimals = match code {
            Some(code) if NO_DECIMALS.contains(&code) => 0,
            Some(code) if THREE_DECIMALS.contains(&code) => 3,
            _ => 2,
        };
        let micros = money.amount.micros().unsigned_abs();
        let unit = 10_u64.pow(6 - decimals);
        let (mut units, rest) = (micros / unit, micros % unit);
        if rest * 2 > unit || rest * 2 == unit && units % 2 == 1 {
            units += 1;
        }
        let scale = 10_u64.pow(decimals);
        let width = decimals as usize;
        Self {
            negative: money.amount.micros() < 0 && units > 0,
            whole: (units / scale).to_string(),
            fraction: if width == 0 { String::new() } else { format!("{:0width$}", units % scale) },
        }
    }

    fn grouped(&self, language: &str, swiss: bool) -> String {
        match language {
            "fr" => self.shown(Some(NARROW_NBSP), ','),
            "de" if swiss => self.shown(Some('’'), '.'),
            _ => self.shown(Some('.'), ','),
        }
    }

    fn shown(&self, group: Option<char>, decimal: char) -> String {
        let mut shown = String::new();
        for (index, digit) in self.whole.chars().enumerate() {
            if index > 0 && (self.whole.len() - index).is_multiple_of(3) {
                shown.extend(group);
            }
            shown.push(digit);
        }
        if !self.fraction.is_empty() {
            shown.push(decimal);
            shown.push_str(&self.fraction);
        }
        shown
    }
}

/// The ways to write a date, with what each looks like in English.
pub(super) const DATES: [&str; 6] = ["short", "long", "full", "day", "weekday", "time"];

/// Names of a language, each list with spaces between: months, months in short, weekdays from
/// Monday on.
struct Names {
    months: &'static str,
    short: &'static str,
    weekdays: &'static str,
}

fn names(language: &str) -> Option<Names> {
    let (months, short, weekdays) = match language {
        "en" => (
            "January February March April May June July August September October November December",
            "Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec",
            "Monday Tuesday Wednesday Thursday Friday Saturday Sunday",
        ),
        "nl" => (
            "januari februari maart april mei juni juli augustus september oktober november december",
            "jan feb mrt apr mei jun jul aug sep okt nov dec",
            "maandag dinsdag woensdag donderdag vrijdag zaterdag zondag",
        ),
        "de" => (
            "Januar Februar März April Mai Juni Juli August September Oktober November Dezember",
            // A short date is written in numbers.
            "01 02 03 04 05 06 07 08 09 10 11 12",
            "Montag Dienstag Mittwoch Donnerstag Freitag Samstag Sonntag",
        ),
        "fr" => (
            "janvier février mars avril mai juin juillet août septembre octobre novembre décembre",
            "janv. févr. mars avr. mai juin juil. août sept. oct. nov. déc.",
            "lundi mardi mercredi jeudi vendredi samedi dimanche",
        ),
        _ => return None,
    };
    Some(Names { months, short, weekdays })
}

/// The name of this place, from 0, in a list.
fn nth(list: &'static str, place: i8) -> &'static str {
    list.split(' ').nth(usize::from(place.unsigned_abs())).unwrap_or_default()
}

/// A time on the wall clock of a zone, in a language; `how` is one of [`DATES`], else `long`.
pub(super) fn date(time: Timestamp, zone: &Zone, locale: &str, how: &str) -> String {
    let zoned = time.zoned(zone);
    let (day, year) = (zoned.day(), zoned.year());
    let language = language(locale);
    // As the CLDR has it: plain English is American.
    let american = language == "en"
        && region(locale).is_none_or(|region| matches!(region.as_str(), "US" | "CA" | "PH"));
    if how == "time" {
        let (hour, minute) = (zoned.hour(), zoned.minute());
        if !american {
            return format!("{hour:02}:{minute:02}");
        }
        let half = if hour < 12 { "AM" } else { "PM" };
        return format!("{}:{minute:02}{NBSP}{half}", (hour + 11) % 12 + 1);
    }
    let Some(names) = names(&language) else {
        return format!("{year:04}-{:02}-{day:02}", zoned.month());
    };
    let month = nth(names.months, zoned.month() - 1);
    let short = nth(names.short, zoned.month() - 1);
    let weekday = nth(names.weekdays, zoned.weekday().to_monday_zero_offset());
    let number = match language.as_str() {
        "de" => format!("{day}."),
        "fr" if day == 1 => "1er".to_owned(),
        _ => day.to_string(),
    };
    let of_month = if american { format!("{month} {day}") } else { format!("{number} {month}") };
    let comma = if american { "," } else { "" };
    match how {
        "short" if language == "de" => format!("{day:02}.{short}.{year}"),
        "short" if american => format!("{short} {day}, {year}"),
        "short" => format!("{number} {short} {year}"),
        "full" if american || language == "de" => format!("{weekday}, {of_month}{comma} {year}"),
        "full" => format!("{weekday} {of_month} {year}"),
        "day" => of_month,
        "weekday" => weekday.to_owned(),
        _ => format!("{of_month}{comma} {year}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn money_is_written_as_a_language_writes_it() {
        for (amount, locale, shown) in [
            ("1234.5 EUR", "nl", "€ 1.234,50"),
            ("1234.5 EUR", "nl-BE", "€ 1.234,50"),
            ("-12 EUR", "nl", "€ -12,00"),
            ("1234.5 EUR", "en", "€1,234.50"),
            ("-1234567.895 USD", "en-US", "-$1,234,567.90"),
            ("1234.5 EUR", "de", "1.234,50 €"),
            ("1234.5 EUR", "de-AT", "€ 1.234,50"),
            ("1234.5 CHF", "de-CH", "CHF 1’234.50"),
            ("1234.5 EUR", "fr", "1\u{202f}234,50 €"),
            ("1234.5 PLN", "en", "PLN 1,234.50"),
            ("1234.5 EUR", "pl", "1234.50 EUR"),
            ("1234.5", "nl", "1.234,50"),
            ("1234.5", "pl", "1234.50"),
            ("1234.5 JPY", "en", "¥1,234"),
            ("1235.5 JPY", "en", "¥1,236"),
            ("0.125 EUR", "en", "€0.12"),
            ("0.135 EUR", "en", "€0.14"),
            ("-0.001 EUR", "en", "€0.00"),
            ("1.2345 KWD", "en", "KWD 1.234"),
            ("999 EUR", "en", "€999.00"),
            ("9223372036854 EUR", "en", "€9,223,372,036,854.00"),
        ] {
            let found = money(amount.parse().expect(amount), locale).replace(NBSP, " ");
            assert_eq!(found, shown, "{amount} in {locale}");
        }
    }

    #[test]
    fn dates_are_written_as_a_language_writes_them() {
        let amsterdam = Zone::named("Europe/Amsterdam").expect("a zone");
        // Half past midnight there, the day before in UTC.
        let time: Timestamp = "2026-03-01T23:30:00Z".parse().expect("a time");
        for (locale, how, shown) in [
            ("en", "long", "March 2, 2026"),
            ("en-GB", "long", "2 March 2026"),
            ("en", "short", "Mar 2, 2026"),
            ("en-GB", "full", "Monday 2 March 2026"),
            ("en", "full", "Monday, March 2, 2026"),
            ("en", "day", "March 2"),
            ("en", "time", "12:30 AM"),
            ("en-GB", "time", "00:30"),
            ("nl", "long", "2 maart 2026"),
            ("nl-BE", "short", "2 mrt 2026"),
            ("nl", "full", "maandag 2 maart 2026"),
            ("de", "short", "02.03.2026"),
            ("de", "long", "2. März 2026"),
            ("de", "full", "Montag, 2. März 2026"),
            ("fr", "full", "lundi 2 mars 2026"),
            ("fr", "weekday", "lundi"),
            ("pl", "long", "2026-03-02"),
            ("pl", "time", "00:30"),
        ] {
            let found = date(time, &amsterdam, locale, how).replace(NBSP, " ");
            assert_eq!(found, shown, "{locale} {how}");
        }
        let first: Timestamp = "2026-05-01T12:00:00Z".parse().expect("a time");
        assert_eq!(date(first, &amsterdam, "fr", "long"), "1er mai 2026");
        assert_eq!(date(first, &amsterdam, "en", "time"), "2:00\u{a0}PM");
    }
}
