//! How messages leave, checked: caught on disk, or handed to a provider.

use std::path::PathBuf;

use crate::diagnostic::Code;
use crate::journey::Shop;
use crate::model::{Identity, Text};
use crate::yaml::{OneOrMany, Spanned};

use super::Secret;
use super::lower::Lower;
use super::syntax::{ConfigFile, DeliverSyntax, DkimSyntax, SmtpSyntax, TwilioSyntax};
use super::words::{EmailWord, EnvironmentWord, SmsWord, TlsWord};

/// How many messages are handed over at one time, unless configured.
const AT_ONCE_DEFAULT: u32 = 8;
/// The most messages handed over at one time.
const AT_ONCE_MAX: u32 = 256;
/// Twilio's own address.
const TWILIO_URL: &str = "https://api.twilio.com";

/// How messages leave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Deliver {
    /// The SMTP server; `None` catches mails on disk.
    pub smtp: Option<Smtp>,
    /// The SMS provider; `None` catches SMS on disk.
    pub twilio: Option<Twilio>,
    /// The signature of mails.
    pub dkim: Option<Dkim>,
    /// Folder of caught messages.
    pub caught: PathBuf,
    /// Who may be written to by a provider.
    pub audience: Audience,
    /// How many messages are handed over at one time.
    pub at_once: u32,
}

/// Who may be written to by a provider.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Audience {
    /// Everybody: `environment: production`.
    Everybody,
    /// These addresses and domains; all else goes to `redirect_to`, or nowhere.
    Only {
        /// Addresses, phone numbers, and domains with their `@`, lower case.
        only_to: Vec<Text>,
        /// Where mails to others go instead.
        redirect_email: Option<Text>,
        /// Where SMS to others go instead.
        redirect_sms: Option<Text>,
    },
}

/// The SMTP server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Smtp {
    /// Its name or address.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// How the way there is kept secret.
    pub tls: Protection,
    /// Certificates that are trusted beside the well-known ones.
    pub ca_file: Option<PathBuf>,
    /// User and password.
    pub login: Option<(String, Secret)>,
}

/// How the way to an SMTP server is kept secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protection {
    /// TLS from the first byte.
    Implicit,
    /// TLS after STARTTLS; nothing goes without it.
    StartTls,
    /// Not at all: for this machine only.
    None,
}

/// The signature of mails.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dkim {
    /// The signing domain.
    pub domain: String,
    /// The selector of the key.
    pub selector: String,
    /// File of the private key.
    pub key_file: PathBuf,
}

/// The SMS provider.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Twilio {
    /// The account's SID.
    pub account: String,
    /// The account's token.
    pub token: Secret,
    /// Who sends.
    pub sender: TwilioSender,
    /// The provider's address.
    pub url: Text,
}

/// Who sends an SMS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TwilioSender {
    /// A number.
    Number(String),
    /// A messaging service.
    Service(String),
}

/// What of the file speaks of delivery.
pub(super) struct Written {
    environment: Option<EnvironmentWord>,
    deliver: Option<Spanned<DeliverSyntax>>,
    smtp: Option<Spanned<SmtpSyntax>>,
    dkim: Option<DkimSyntax>,
    twilio: Option<Spanned<TwilioSyntax>>,
}

impl Written {
    pub(super) fn take(file: &mut ConfigFile) -> Self {
        Self {
            environment: file.environment.take(),
            deliver: file.deliver.take(),
            smtp: file.smtp.take(),
            dkim: file.dkim.take(),
            twilio: file.twilio.take(),
        }
    }
}

impl Lower<'_> {
    /// `shops` are all that a mail may come from.
    pub(super) fn deliver(&mut self, written: Written, shops: &[(&str, &Shop)]) -> Deliver {
        let Written { environment, deliver, smtp, dkim, twilio } = written;
        let span = deliver.as_ref().map_or(0..0, |deliver| deliver.span.clone());
        let deliver = deliver.map(|deliver| deliver.value);
        let (email, sms) =
            deliver.as_ref().map_or((None, None), |deliver| (deliver.email, deliver.sms));
        let smtp = match (email, smtp) {
            (Some(EmailWord::Smtp), Some(smtp)) => {
                self.complete(&smtp.span, shops);
                Some(self.smtp(smtp))
            }
            (Some(EmailWord::Smtp), None) => {
                let help = "add `smtp: { host: mail.shop.example }`";
                self.fail(Code::MissingField, &span, "`email: smtp` needs `smtp`", help);
                None
            }
            (Some(EmailWord::Caught) | None, _) => None,
        };
        let twilio = match (sms, twilio) {
            (Some(SmsWord::Twilio), Some(twilio)) => self.twilio(twilio),
            (Some(SmsWord::Twilio), None) => {
                let help = "add `twilio: { account: .., token: .., from: .. }`";
                self.fail(Code::MissingField, &span, "`sms: twilio` needs `twilio`", help);
                None
            }
            (Some(SmsWord::Caught) | None, _) => None,
        };
        let (caught, only_to, redirect_to, at_once) = deliver
            .map_or((None, None, None, None), |d| (d.caught, d.only_to, d.redirect_to, d.at_once));
        Deliver {
            smtp,
            twilio,
            dkim: dkim.map(|dkim| Dkim {
                domain: dkim.domain,
                selector: dkim.selector,
                key_file: self.base.join(dkim.key_file.0),
            }),
            caught: self.path(caught, "data/caught"),
            audience: self.audience(environment, only_to, redirect_to),
            at_once: at_once.map_or(AT_ONCE_DEFAULT, |at_once| {
                if !(1..=AT_ONCE_MAX).contains(&at_once.value) {
                    let message =
                        format!("1 to {AT_ONCE_MAX} messages are handed over at one time");
                    self.fail(Code::BadValue, &at_once.span, message, "leave it out for 8");
                }
                at_once.value
            }),
        }
    }

    /// A mail needs a sender, a postal address and a way to unsubscribe.
    fn complete(&mut self, span: &std::ops::Range<usize>, shops: &[(&str, &Shop)]) {
        for (code, shop) in shops {
            let missing: Vec<&str> = [
                ("sender", shop.sender.is_none()),
                ("postal_address", shop.postal_address.is_none()),
                ("public_url", shop.public_url.is_none()),
            ]
            .into_iter()
            .filter_map(|(field, missing)| missing.then_some(field))
            .collect();
            if !missing.is_empty() {
                let message =
                    format!("mails can't be sent: shop `{code}` has no {}", missing.join(", no "));
                let help = "every mail names its sender and postal address, and links to a page \
                            that unsubscribes: add them under `shops.default`";
                self.fail(Code::MissingField, span, message, help);
            }
        }
    }

    fn smtp(&mut self, smtp: Spanned<SmtpSyntax>) -> Smtp {
        let Spanned { value: smtp, span } = smtp;
        let tls = match smtp.tls.as_ref().map(|tls| tls.value) {
            Some(TlsWord::Implicit) | None => Protection::Implicit,
            Some(TlsWord::StartTls) => Protection::StartTls,
            Some(TlsWord::None) => Protection::None,
        };
        let here = matches!(smtp.host.as_str(), "localhost" | "127.0.0.1" | "::1");
        if let Some(written) = smtp.tls.filter(|_| tls == Protection::None && !here) {
            let message = "mails and the password would be readable on the way";
            let help = "write `starttls` or `implicit`; `none` is for a server on this machine";
            self.fail(Code::BadValue, &written.span, message, help);
        }
        let login = match (smtp.user, smtp.password) {
            (Some(user), Some(password)) => Some((user.value, password)),
            (None, None) => None,
            (Some(_), None) => {
                let help = "set WAYPOST_SMTP_PASSWORD";
                self.fail(Code::MissingField, &span, "`smtp.user` needs `smtp.password`", help);
                None
            }
            (None, Some(_)) => {
                let help = "add `user`";
                self.fail(Code::MissingField, &span, "`smtp.password` needs `smtp.user`", help);
                None
            }
        };
        Smtp {
            host: smtp.host,
            port: smtp.port.unwrap_or(if tls == Protection::Implicit { 465 } else { 587 }),
            tls,
            ca_file: smtp.ca_file.map(|file| self.base.join(file.0)),
            login,
        }
    }

    fn twilio(&mut self, twilio: Spanned<TwilioSyntax>) -> Option<Twilio> {
        let Spanned { value: twilio, span } = twilio;
        let sender = match (twilio.from, twilio.messaging_service) {
            (Some(from), None) => TwilioSender::Number(from),
            (None, Some(service)) => TwilioSender::Service(service),
            (None, None) => {
                let help = "add one of them";
                let message = "`twilio` needs `from` or `messaging_service`";
                self.fail(Code::MissingField, &span, message, help);
                return None;
            }
            (Some(_), Some(_)) => {
                let message = "`from` and `messaging_service` both say who sends";
                self.fail(Code::Conflict, &span, message, "keep one of them");
                return None;
            }
        };
        let url = twilio.url.map_or_else(|| TWILIO_URL.into(), |url| url.0);
        Some(Twilio { account: twilio.account, token: twilio.token, sender, url })
    }

    fn audience(
        &mut self,
        environment: Option<EnvironmentWord>,
        only_to: Option<OneOrMany<Spanned<String>>>,
        redirect_to: Option<OneOrMany<Spanned<String>>>,
    ) -> Audience {
        let help = "write a mail address, a phone number as in +31612345678, or @shop.example";
        let mut allowed = Vec::new();
        for entry in only_to.map(OneOrMany::into_vec).unwrap_or_default() {
            match address(&entry.value) {
                Some(Address::Email(text) | Address::Phone(text) | Address::Domain(text)) => {
                    allowed.push(text);
                }
                None => self.fail(Code::BadValue, &entry.span, "this is no address", help),
            }
        }
        let (mut redirect_email, mut redirect_sms) = (None, None);
        for entry in redirect_to.map(OneOrMany::into_vec).unwrap_or_default() {
            let (place, text) = match address(&entry.value) {
                Some(Address::Email(text)) => (&mut redirect_email, text),
                Some(Address::Phone(text)) => (&mut redirect_sms, text),
                Some(Address::Domain(_)) | None => {
                    let help = "write one mail address, one phone number, or both";
                    self.fail(Code::BadValue, &entry.span, "this is no address", help);
                    continue;
                }
            };
            if place.replace(text).is_some() {
                let message = "another address of this kind stands above";
                self.fail(Code::Conflict, &entry.span, message, "keep one of them");
            }
        }
        match environment {
            Some(EnvironmentWord::Production) => Audience::Everybody,
            Some(EnvironmentWord::Test) | None => {
                Audience::Only { only_to: allowed, redirect_email, redirect_sms }
            }
        }
    }
}

/// What an entry of `only_to` or `redirect_to` is.
enum Address {
    Email(Text),
    Phone(Text),
    Domain(Text),
}

fn address(text: &str) -> Option<Address> {
    if let Some(domain) = text.strip_prefix('@') {
        let fits = !domain.is_empty() && !domain.contains(['@', ' ']);
        return fits.then(|| Address::Domain(text.to_lowercase().into()));
    }
    if text.contains('@') {
        return Identity::email(text).map(|identity| Address::Email(identity.value));
    }
    let digits = text.strip_prefix('+')?;
    let fits = (7..=15).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_digit());
    fits.then(|| Address::Phone(text.into()))
}
