//! The single values of the configuration: addresses, sizes, words.

use std::net::SocketAddr;
use std::path::PathBuf;

use crate::diagnostic::Code;
use crate::journey::{ConsentMode, OnCap};
use crate::model::{Delay, Identity, MessageChannel, Text};
use crate::yaml::{Node, Read, Reader, parsed, text_schema, word_values};

/// How records are read, in one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FormatWord {
    Xdm,
    CloudEvents,
    Mapping,
}

/// Whether customers may be written to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum EnvironmentWord {
    Production,
    Test,
}

/// How mails leave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum EmailWord {
    Caught,
    Smtp,
}

/// How SMS leave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SmsWord {
    Caught,
    Twilio,
}

/// How the way to the SMTP server is kept secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TlsWord {
    Implicit,
    StartTls,
    None,
}

word_values! {
    EnvironmentWord { "production" => Self::Production, "test" => Self::Test, }
    EmailWord { "caught" => Self::Caught, "smtp" => Self::Smtp, }
    SmsWord { "caught" => Self::Caught, "twilio" => Self::Twilio, }
    TlsWord { "implicit" => Self::Implicit, "starttls" => Self::StartTls, "none" => Self::None, }
    FormatWord {
        "xdm" => Self::Xdm,
        "cloudevents" => Self::CloudEvents,
        "mapping" => Self::Mapping,
    }
    MessageChannel { "email" => Self::Email, "sms" => Self::Sms, }
    ConsentMode {
        "opt_in" => Self::Explicit,
        "soft_opt_in" => Self::Soft,
        "double_opt_in" => Self::Double,
    }
    OnCap { "skip" => Self::Skip, "wait" => Self::Wait, }
}

/// A path, relative to the directory of the configuration file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct FilePath(pub(super) PathBuf);

impl Read for FilePath {
    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Self> {
        parsed(node, reader, "path", "write a path without NUL", |text| {
            (!text.contains('\0')).then(|| Self(text.into()))
        })
    }
}

/// Where a server listens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Listen(pub(super) SocketAddr);

impl Read for Listen {
    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Self> {
        // A port alone, or an address with one, can't be taken for anything else.
        let text = reader.raw(node, "an address and a port")?;
        match text.parse() {
            Ok(address) => Some(Self(address)),
            Err(_) => reader.fail_help(
                Code::BadValue,
                node.span.clone(),
                format!("`{text}` is no address with a port"),
                "write it as in 127.0.0.1:7070 or [::1]:7070",
            ),
        }
    }
}

/// A length of time, or no end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct KeptFor(pub(super) Option<Delay>);

impl Read for KeptFor {
    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Self> {
        match reader.raw(node, "a duration such as `400 days`, or `forever`")? {
            "forever" => Some(Self(None)),
            _ => Some(Self(Some(Delay::read(node, reader)?))),
        }
    }
}

/// A number of bytes: alone, or with KB, MB or GB (thousands).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ByteSize(pub(super) u64);

impl Read for ByteSize {
    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Self> {
        let text = reader.raw(node, "a size such as `16 MB`")?;
        let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
        let factor = match text[digits..].trim() {
            "" | "B" => Some(1),
            "KB" => Some(1_000),
            "MB" => Some(1_000_000),
            "GB" => Some(1_000_000_000),
            _ => None,
        };
        let is_octal_like = digits > 1 && text.starts_with('0');
        let size = text[..digits].parse::<u64>().ok().filter(|_| !is_octal_like);
        match size.zip(factor).and_then(|(size, factor)| size.checked_mul(factor)) {
            Some(size) => Some(Self(size)),
            None => reader.fail_help(
                Code::BadValue,
                node.span.clone(),
                format!("`{text}` is no size"),
                "write a number of bytes, or a number with KB, MB or GB",
            ),
        }
    }
}

/// The sender of mails.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Address(pub(super) Text);

impl Read for Address {
    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Self> {
        let help = "write it as in shop@shop.example or \"Shop <shop@shop.example>\"";
        parsed(node, reader, "mail address", help, |text| {
            let bare = match text.strip_suffix('>') {
                Some(named) => named.rsplit_once('<')?.1,
                None => text,
            };
            Identity::email(bare).map(|_| Self(text.into()))
        })
    }
}

/// A web address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Url(pub(super) Text);

impl Read for Url {
    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Self> {
        let help = "write it with its scheme, as in https://shop.example";
        parsed(node, reader, "web address", help, |text| {
            let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"))?;
            let odd = |c: char| c.is_whitespace() || c.is_control();
            (!rest.is_empty() && !rest.contains(odd)).then(|| Self(text.into()))
        })
    }
}

/// A country by its two letters (ISO 3166 alpha-2), upper case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Country(pub(super) Text);

impl Read for Country {
    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Self> {
        parsed(node, reader, "country", "write its two letters, as in NL", |text| {
            let fits = text.len() == 2 && text.bytes().all(|b| b.is_ascii_uppercase());
            fits.then(|| Self(text.into()))
        })
    }
}

/// A language tag (BCP 47), by its shape.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Locale(pub(super) Text);

impl Read for Locale {
    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Self> {
        parsed(node, reader, "language tag", "write it as in nl or nl-BE", |text| {
            let mut parts = text.split('-');
            let language = parts.next()?;
            let first = (2..=3).contains(&language.len())
                && language.bytes().all(|b| b.is_ascii_lowercase());
            let rest = parts.all(|part| {
                (2..=8).contains(&part.len()) && part.bytes().all(|b| b.is_ascii_alphanumeric())
            });
            (first && rest).then(|| Self(text.into()))
        })
    }
}

text_schema! {
    FilePath, { "type": "string" };
    Listen, { "type": "string", "examples": ["127.0.0.1:7070"] };
    KeptFor, { "type": "string", "examples": ["400 days", "forever"] };
    ByteSize, { "type": ["integer", "string"], "minimum": 0, "pattern": "^[0-9]+ *(B|KB|MB|GB)?$" };
    Address, { "type": "string", "examples": ["shop@shop.example"] };
    Url, { "type": "string", "pattern": "^https?://\\S+$" };
    Country, { "type": "string", "pattern": "^[A-Z]{2}$" };
    Locale, { "type": "string", "pattern": "^[a-z]{2,3}(-[A-Za-z0-9]{2,8})*$" };
}
