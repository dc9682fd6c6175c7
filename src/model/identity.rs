//! The many names of a customer.

use serde::{Deserialize, Serialize};

use super::Text;

/// What kind of name an identity is. The order is the order of strength: the first kind that an
/// event carries says whose event it is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Namespace {
    /// The shop's own customer or account id. Two of them never are one customer.
    CustomerId,
    /// An email address, lower case.
    Email,
    /// A phone number in E.164.
    Phone,
    /// Another id of the person, in a namespace its source named (a CRM id, a loyalty id).
    Other(Text),
    /// A device: Adobe's ECID or another cookie id. It means a person only from sign-in on.
    Device,
}

/// One name of a customer, normalised so that equal names are equal values.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Identity {
    /// What kind of name.
    pub namespace: Namespace,
    /// The name itself, normalised; 1 to 320 bytes.
    pub value: Text,
}

/// The longest identity value kept, in bytes: the longest email address of RFC 5321.
pub const IDENTITY_BYTES_MAX: usize = 320;

impl Identity {
    /// A shop's customer id; `None` if it is empty, too long or a placeholder for none.
    #[must_use]
    pub fn customer_id(value: &str) -> Option<Self> {
        Self::plain(Namespace::CustomerId, value)
    }

    /// A device id; `None` also for Adobe's all-zeros ECID, which all unknown visitors share.
    #[must_use]
    pub fn device(value: &str) -> Option<Self> {
        if value.bytes().all(|byte| byte == b'0') {
            return None;
        }
        Self::plain(Namespace::Device, value)
    }

    /// An email address of any case; `None` if it has not one `@` with something on both sides.
    #[must_use]
    pub fn email(value: &str) -> Option<Self> {
        let value = value.trim();
        let (local, domain) = value.rsplit_once('@')?;
        let odd =
            |c: char| c.is_whitespace() || c.is_control() || matches!(c, ',' | ';' | '<' | '>');
        if local.is_empty() || domain.is_empty() || value.contains(odd) || local.contains('@') {
            return None;
        }
        Self::plain(Namespace::Email, &value.to_lowercase())
    }

    /// A phone number that is already E.164 (`+` and 7 to 15 digits); free text is normalised
    /// where it is decoded.
    #[must_use]
    pub fn phone(value: &str) -> Option<Self> {
        let digits = value.strip_prefix('+')?;
        let fits = (7..=15).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_digit());
        fits.then(|| Self { namespace: Namespace::Phone, value: Text::from(value) })
    }

    /// An id in a namespace of the source's own.
    #[must_use]
    pub fn other(namespace: &str, value: &str) -> Option<Self> {
        Self::plain(Namespace::Other(Text::from(namespace)), value)
    }

    fn plain(namespace: Namespace, value: &str) -> Option<Self> {
        let value = value.trim();
        let placeholder = ["", "undefined", "null", "none", "nan"]
            .iter()
            .any(|none| value.eq_ignore_ascii_case(none));
        if placeholder || value.len() > IDENTITY_BYTES_MAX {
            return None;
        }
        Some(Self { namespace, value: Text::from(value) })
    }

    /// Whether it names a person rather than a device.
    #[must_use]
    pub fn is_person(&self) -> bool {
        self.namespace != Namespace::Device
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn placeholders_are_no_identity() {
        assert_eq!(Identity::device("000000000000000000000000000000000000"), None);
        assert_eq!(Identity::customer_id("undefined"), None);
        assert_eq!(Identity::email("not an address"), None);
        assert_eq!(Identity::email("A@Shop.Example"), Identity::email("a@shop.example"));
        assert_eq!(Identity::phone("0612345678"), None);
    }
}
