//! One address that mail can be sent to.

use std::fmt;

/// The longest local part, and the longest address, in bytes (RFC 5321 section 4.5.3.1, RFC 3696
/// erratum 1690).
const LOCAL_BYTES_MAX: usize = 64;
const ADDRESS_BYTES_MAX: usize = 254;

/// An address of ASCII letters: the local part as a dot-atom, the domain as A-labels, lower case.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Address(lettre::Address);

/// Why a text is no address that we send to. None of it repeats the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// Not one `@` with something on both sides.
    #[error("not an address: one `@` with a name before and a domain after it")]
    Shape,
    /// Several addresses, a route or a comment.
    #[error("not one plain address: commas, semicolons, brackets and quotes are not accepted")]
    NotPlain,
    /// A local part outside ASCII, which only servers with SMTPUTF8 take.
    #[error("the part before the `@` is not ASCII, which most mail servers do not accept")]
    LocalNotAscii,
    /// A local part with a character or a dot where none may be.
    #[error("the part before the `@` holds a character or a dot that may not stand there")]
    Local,
    /// A domain that is none.
    #[error("the part after the `@` is not a domain name")]
    Domain,
    /// Longer than mail allows.
    #[error("longer than a mail address may be (64 bytes before the `@`, 254 in all)")]
    TooLong,
}

impl Address {
    /// Reads one plain address (an addr-spec of RFC 5322), with white space around it left out. A
    /// domain in other letters becomes its A-labels (UTS 46).
    ///
    /// # Errors
    ///
    /// The text is anything else. What the RFC would still allow but hardly anyone has (quoted
    /// local parts, address literals, domains without a dot) is refused too.
    pub fn parse(text: &str) -> Result<Self, AddressError> {
        let text = text.trim();
        // Before anything that costs time: four bytes for each of the letters that can fit.
        if text.len() > 4 * ADDRESS_BYTES_MAX {
            return Err(AddressError::TooLong);
        }
        let special = |c: char| matches!(c, ',' | ';' | '<' | '>' | '(' | ')' | '[' | ']' | '"');
        if text.contains(special) {
            return Err(AddressError::NotPlain);
        }
        let (local, domain) = text.split_once('@').ok_or(AddressError::Shape)?;
        if local.is_empty() || domain.is_empty() || domain.contains('@') {
            return Err(AddressError::Shape);
        }
        check_local(local)?;
        let domain = idna::domain_to_ascii_strict(domain).map_err(|_| AddressError::Domain)?;
        if !domain.contains('.') || domain.ends_with('.') {
            return Err(AddressError::Domain);
        }
        if local.len() > LOCAL_BYTES_MAX || local.len() + 1 + domain.len() > ADDRESS_BYTES_MAX {
            return Err(AddressError::TooLong);
        }
        lettre::Address::new(local, &domain).map(Self).map_err(|_| AddressError::Shape)
    }

    /// The address as it goes over the wire.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.0.as_ref()
    }

    /// The part after the `@`.
    #[must_use]
    pub fn domain(&self) -> &str {
        self.0.domain()
    }

    pub(super) fn to_lettre(&self) -> lettre::Address {
        self.0.clone()
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A dot-atom (RFC 5322 section 3.2.3) that does not begin with `-`: programs that get an address
/// as an argument would take it for an option.
fn check_local(local: &str) -> Result<(), AddressError> {
    if !local.is_ascii() {
        return Err(AddressError::LocalNotAscii);
    }
    let atext = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-/=?^_`{|}~".contains(&byte);
    let atoms = local.split('.').all(|atom| !atom.is_empty() && atom.bytes().all(atext));
    if atoms && !local.starts_with('-') { Ok(()) } else { Err(AddressError::Local) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_plain_address_or_a_reason() {
        use AddressError::{Domain, Local, LocalNotAscii, NotPlain, Shape, TooLong};
        let long_local = format!("{}@shop.example", "a".repeat(65));
        let long_domain = format!("a@{}.example", ["b".repeat(60).as_str(); 5].join("."));
        for (text, expected) in [
            ("ann@shop.example", Ok("ann@shop.example")),
            ("  Ann.O'Hara+x@Shop.Example \n", Ok("Ann.O'Hara+x@shop.example")),
            ("zoe@bücher.example", Ok("zoe@xn--bcher-kva.example")),
            ("zoe@BÜCHER.example", Ok("zoe@xn--bcher-kva.example")),
            ("a@例え.テスト", Ok("a@xn--r8jz45g.xn--zckzah")),
            ("zoë@shop.example", Err(LocalNotAscii)),
            ("ann", Err(Shape)),
            ("@shop.example", Err(Shape)),
            ("ann@", Err(Shape)),
            ("ann@b@shop.example", Err(Shape)),
            ("ann@shop.example,bob@shop.example", Err(NotPlain)),
            ("Ann <ann@shop.example>", Err(NotPlain)),
            ("\"a b\"@shop.example", Err(NotPlain)),
            ("ann@[127.0.0.1]", Err(NotPlain)),
            ("-ann@shop.example", Err(Local)),
            ("a..b@shop.example", Err(Local)),
            (".a@shop.example", Err(Local)),
            ("a b@shop.example", Err(Local)),
            ("ann\r\nRCPT TO:x@shop.example", Err(Local)),
            ("ann@shop", Err(Domain)),
            ("ann@shop..example", Err(Domain)),
            ("ann@shop.example.", Err(Domain)),
            ("ann@-shop.example", Err(Domain)),
            ("ann@shop example.com", Err(Domain)),
            ("ann@shop.exa\u{0}mple", Err(Domain)),
            (&long_local, Err(TooLong)),
            (&long_domain, Err(Domain)),
            (&"x".repeat(5_000), Err(TooLong)),
        ] {
            let found = Address::parse(text);
            assert_eq!(found.as_ref().map(Address::as_str), expected.as_ref().copied(), "{text}");
        }
    }
}
