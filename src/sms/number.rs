//! One number that a message can be sent to.

use std::fmt;

use crate::model::Identity;

/// A phone number in E.164: `+`, then 7 to 15 digits, the first not 0.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Number(String);

/// A text that is no such number. It does not repeat the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a phone number in E.164, such as +31612345678")]
pub struct NumberError;

impl Number {
    /// Reads a number that is already E.164; free text is normalised where events are decoded.
    ///
    /// # Errors
    ///
    /// The text is anything else.
    pub fn parse(text: &str) -> Result<Self, NumberError> {
        let number = Identity::phone(text).ok_or(NumberError)?.value;
        if number.starts_with("+0") { Err(NumberError) } else { Ok(Self(number.into())) }
    }

    /// The number, `+` included.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_e164_is_a_number() {
        assert_eq!(Number::parse("+31612345678").unwrap().as_str(), "+31612345678");
        for text in ["", "call me", "0612345678", "31612345678", "+0612345678", "+31 612345678"] {
            assert_eq!(Number::parse(text), Err(NumberError), "{text}");
        }
        assert_eq!(Number::parse("+316123456789012345"), Err(NumberError));
    }
}
