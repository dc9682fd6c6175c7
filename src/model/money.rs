//! Exact decimal money. No float ever holds an amount.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

const MICROS: i64 = 1_000_000;

/// An exact decimal amount with up to six decimals, within about nine trillion either way.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, Default,
)]
#[serde(transparent)]
pub struct Amount(i64);

/// A text that is no amount, or one outside the limits.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AmountError {
    /// Not a decimal number.
    #[error("`{0}` is not a decimal number")]
    Shape(String),
    /// Beyond about nine trillion.
    #[error("`{0}` is too large for an amount")]
    Range(String),
}

impl Amount {
    /// Nothing.
    pub const ZERO: Self = Self(0);

    /// The amount of so many millionths.
    #[must_use]
    pub const fn from_micros(micros: i64) -> Self {
        Self(micros)
    }

    /// The amount in millionths.
    #[must_use]
    pub const fn micros(self) -> i64 {
        self.0
    }

    /// Sum; `None` beyond the limits.
    #[must_use]
    pub fn plus(self, other: Self) -> Option<Self> {
        self.0.checked_add(other.0).map(Self)
    }

    /// This amount `count` times, rounded half to even at four decimals (so that a third of a
    /// price, taken three times, is the price again); `None` beyond the limits.
    #[must_use]
    pub fn times(self, count: i64) -> Option<Self> {
        let product = i128::from(self.0) * i128::from(count);
        i64::try_from(divide_half_even(product, 100) * 100).ok().map(Self)
    }

    /// This amount shared by `count`, rounded half to even at six decimals; `None` for zero.
    #[must_use]
    pub fn shared_by(self, count: i64) -> Option<Self> {
        if count == 0 {
            return None;
        }
        let (amount, count) = if count < 0 {
            (-i128::from(self.0), -i128::from(count))
        } else {
            (i128::from(self.0), i128::from(count))
        };
        i64::try_from(divide_half_even(amount, count)).ok().map(Self)
    }
}

/// `value / divisor` for a positive divisor, rounded half to even.
fn divide_half_even(value: i128, divisor: i128) -> i128 {
    let (quotient, rest) = (value.div_euclid(divisor), value.rem_euclid(divisor));
    match (rest * 2).cmp(&divisor) {
        std::cmp::Ordering::Less => quotient,
        std::cmp::Ordering::Greater => quotient + 1,
        std::cmp::Ordering::Equal => quotient + quotient.rem_euclid(2),
    }
}

impl FromStr for Amount {
    type Err = AmountError;

    /// A decimal number, as text or as a JSON number with an exponent; digits beyond the sixth
    /// decimal are rounded half to even.
    fn from_str(text: &str) -> Result<Self, AmountError> {
        let shape = || AmountError::Shape(text.chars().take(40).collect());
        let range = || AmountError::Range(text.chars().take(40).collect());
        let text_trimmed = text.trim();
        let (negative, digits) = match text_trimmed.as_bytes().first() {
            Some(b'-') => (true, &text_trimmed[1..]),
            Some(b'+') => (false, &text_trimmed[1..]),
            _ => (false, text_trimmed),
        };
        let (mantissa, exponent) = match digits.find(['e', 'E']) {
            Some(at) => (&digits[..at], digits[at + 1..].parse::<i32>().map_err(|_| shape())?),
            None => (digits, 0),
        };
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        if whole.is_empty() && fraction.is_empty() || !(-60..=60).contains(&exponent) {
            return Err(shape());
        }
        let mut value: i128 = 0;
        for byte in whole.bytes().chain(fraction.bytes()) {
            if !byte.is_ascii_digit() {
                return Err(shape());
            }
            value = value
                .checked_mul(10)
                .and_then(|tens| tens.checked_add(i128::from(byte - b'0')))
                .ok_or_else(range)?;
        }
        let decimals = i32::try_from(fraction.len()).map_err(|_| range())? - exponent;
        let micros = if decimals <= 6 {
            let factor = 10_i128
                .checked_pow(u32::try_from(6 - decimals).map_err(|_| range())?)
                .ok_or_else(range)?;
            value.checked_mul(factor).ok_or_else(range)?
        } else {
            match 10_i128.checked_pow(u32::try_from(decimals - 6).map_err(|_| range())?) {
                Some(divisor) => divide_half_even(value, divisor),
                None => 0,
            }
        };
        let micros = i64::try_from(micros).map_err(|_| range())?;
        Ok(Self(if negative { -micros } else { micros }))
    }
}

impl fmt::Display for Amount {
    /// At least two decimals, and as many more as there are.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.0 < 0 { "-" } else { "" };
        let micros = self.0.unsigned_abs();
        let (whole, mut fraction) =
            (micros / MICROS.unsigned_abs(), micros % MICROS.unsigned_abs());
        let mut decimals = 6;
        while decimals > 2 && fraction.is_multiple_of(10) {
            fraction /= 10;
            decimals -= 1;
        }
        write!(f, "{sign}{whole}.{fraction:0decimals$}")
    }
}

/// A currency by its three letters (ISO 4217).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Currency([u8; 3]);

impl Currency {
    /// The currency of three letters of any case; `None` for anything else.
    #[must_use]
    pub fn new(code: &str) -> Option<Self> {
        let bytes: [u8; 3] = code.as_bytes().try_into().ok()?;
        bytes
            .iter()
            .all(u8::is_ascii_alphabetic)
            .then(|| Self(bytes.map(|b| b.to_ascii_uppercase())))
    }

    /// Its three letters.
    #[must_use]
    pub fn code(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or("???")
    }
}

impl fmt::Display for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

impl fmt::Debug for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

/// An amount with its currency, where the source named one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, Default)]
pub struct Money {
    /// How much.
    pub amount: Amount,
    /// Of what; `None` where the source did not say, which compares with any currency.
    pub currency: Option<Currency>,
}

impl FromStr for Money {
    type Err = AmountError;

    /// `20 EUR`, `EUR 20` or `20`.
    fn from_str(text: &str) -> Result<Self, AmountError> {
        let mut amount = None;
        let mut currency = None;
        for word in text.split_whitespace() {
            match Currency::new(word) {
                Some(code) if currency.is_none() => currency = Some(code),
                _ if amount.is_none() => amount = Some(word.parse::<Amount>()?),
                _ => return Err(AmountError::Shape(text.chars().take(40).collect())),
            }
        }
        let amount = amount.ok_or_else(|| AmountError::Shape(text.chars().take(40).collect()))?;
        Ok(Self { amount, currency })
    }
}

impl fmt::Display for Money {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.currency {
            Some(currency) => write!(f, "{} {currency}", self.amount),
            None => write!(f, "{}", self.amount),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_exact() {
        for (text, shown) in [
            ("20", "20.00"),
            ("0.1", "0.10"),
            ("69.98", "69.98"),
            ("1e2", "100.00"),
            ("1.5E-3", "0.0015"),
            ("-3.25", "-3.25"),
            ("2.6200000", "2.62"),
            (".5", "0.50"),
        ] {
            assert_eq!(text.parse::<Amount>().expect(text).to_string(), shown);
        }
        for bad in ["", "abc", "1,5", "NaN", "1e999", "99999999999999999", "1.2.3", "."] {
            assert!(bad.parse::<Amount>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_third_three_times_is_the_whole() {
        let ten: Amount = "10".parse().expect("ten");
        assert_eq!(ten.shared_by(3).and_then(|third| third.times(3)), Some(ten));
    }

    #[test]
    fn money_reads_both_orders() {
        let euro: Money = "20 EUR".parse().expect("money");
        assert_eq!(Ok(euro), "eur 20".parse());
        assert_eq!(euro.to_string(), "20.00 EUR");
    }
}
