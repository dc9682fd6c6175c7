//! A message, and the bytes that go over the wire.

use std::time::{Duration, SystemTime};

use lettre::message::header::{ContentType, HeaderName, HeaderValue};
use lettre::message::{MultiPart, MultiPartKind, SinglePart};

use super::clean::clean_body;
use super::{Address, Dkim, clean_line, clean_name};
use crate::model::{MessageId, Timestamp, derive};

/// The longest subject, in characters.
const SUBJECT_CHARS_MAX: usize = 250;
/// The longest URL in a header, in bytes; a line may have 998 (RFC 5322 section 2.1.1).
const URL_BYTES_MAX: usize = 900;
/// The largest part, in bytes.
const PART_BYTES_MAX: usize = 1 << 20;

/// A mail with a text and an HTML part.
///
/// Names and the subject may come straight from a profile: they are cleaned when the message is built.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// The message's id: in the Message-ID and `X-Waypost-Message`, so that a second try is
    /// recognised, and answers and bounces can be matched.
    pub id: MessageId,
    /// The Date. The same for each try; before 1970 it becomes 1970.
    pub date: Timestamp,
    /// The sender. Its domain is that of the Message-ID.
    pub from: Mailbox,
    /// Where answers go, if not to the sender.
    pub reply_to: Option<Mailbox>,
    /// The one recipient.
    pub to: Mailbox,
    /// The subject, at most 250 characters of it.
    pub subject: String,
    /// The part for programs that show no HTML; at most 1 MiB.
    pub text: String,
    /// The HTML part; at most 1 MiB.
    pub html: String,
    /// The way out of this kind of mail; `None` only for transactional mail.
    pub unsubscribe: Option<Unsubscribe>,
    /// `List-Id` (RFC 2919), such as `reminders.shop.example`.
    pub list_id: Option<String>,
    /// `Feedback-ID` as Gmail reads it: up to three ids of one's own and the sender's id, with `:`
    /// between; nothing in it may differ from recipient to recipient.
    pub feedback_id: Option<String>,
}

/// A name and an address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mailbox {
    /// The display name; one that is empty or poses as a link is left out.
    pub name: Option<String>,
    /// The address.
    pub address: Address,
}

/// How a recipient unsubscribes with one click (RFC 8058).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unsubscribe {
    /// An `https` URL that takes the POST, without login, and holds a token hard to forge.
    pub url: String,
    /// A `mailto:` URL beside it.
    pub mailto: Option<String>,
}

/// Why a message can't be built. The cause is in the configuration or a template, not in a profile.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// A header's value is not of the form it must have.
    #[error("{header} can't be `{value}`: {why}")]
    Header {
        /// The header.
        header: &'static str,
        /// The value, cut to 80 characters.
        value: String,
        /// What it must be.
        why: &'static str,
    },
    /// A part is larger than 1 MiB.
    #[error("the {part} part has {bytes} bytes, more than 1 MiB")]
    TooLarge {
        /// `text` or `HTML`.
        part: &'static str,
        /// Its size.
        bytes: usize,
    },
    /// lettre refused it.
    #[error("the mail can't be put together")]
    Lettre(#[source] lettre::error::Error),
}

impl Message {
    /// The message as it goes over the wire, signed with each of the keys: ASCII, CRLF line ends.
    ///
    /// The same message and keys give the same bytes: nothing comes from a clock, the host's name or
    /// chance. The boundary is a hash of the content, so no text can be written to contain it.
    ///
    /// # Errors
    ///
    /// A part is too large, or the unsubscribe URLs, the `List-Id` or the `Feedback-ID` are malformed.
    pub fn build(&self, keys: &[Dkim]) -> Result<Vec<u8>, BuildError> {
        for (part, bytes) in [("text", self.text.len()), ("HTML", self.html.len())] {
            if bytes > PART_BYTES_MAX {
                return Err(BuildError::TooLarge { part, bytes });
            }
        }
        let id = self.id.to_string();
        let mut builder = lettre::Message::builder()
            .from(mailbox(&self.from))
            .to(mailbox(&self.to))
            .subject(clean_line(&self.subject, SUBJECT_CHARS_MAX))
            .date(system_time(self.date))
            .message_id(Some(format!("<{id}@{}>", self.from.address.domain())));
        if let Some(reply_to) = &self.reply_to {
            builder = builder.reply_to(mailbox(reply_to));
        }
        for (header, value) in self.own_headers(&id)? {
            // Each value is ASCII without line breaks of its own, folded where it is long.
            let name = HeaderName::new_from_ascii_str(header);
            let value = HeaderValue::dangerous_new_pre_encoded(name, value.clone(), value);
            builder = builder.raw_header(value);
        }
        let message = builder.multipart(self.parts(&id)).map_err(BuildError::Lettre)?;
        let unsigned = message.formatted();
        let mut signed: Vec<u8> =
            keys.iter().flat_map(|key| key.header(&unsigned, self.date)).collect();
        signed.extend_from_slice(&unsigned);
        Ok(signed)
    }

    /// The headers that lettre has no type for.
    fn own_headers(&self, id: &str) -> Result<Vec<(&'static str, String)>, BuildError> {
        let mut headers = Vec::new();
        if let Some(unsubscribe) = &self.unsubscribe {
            let why = "it must be an https URL of at most 900 ASCII characters";
            check("List-Unsubscribe", &unsubscribe.url, why, |url| is_url(url, "https://"))?;
            let mut value = format!("<{}>", unsubscribe.url);
            if let Some(mailto) = &unsubscribe.mailto {
                let why = "it must be a mailto URL of at most 900 ASCII characters";
                check("List-Unsubscribe", mailto, why, |url| is_url(url, "mailto:"))?;
                value.push_str(&format!(",\r\n <{mailto}>"));
            }
            headers.push(("List-Unsubscribe", value));
            headers.push(("List-Unsubscribe-Post", "List-Unsubscribe=One-Click".to_owned()));
        }
        if let Some(list) = &self.list_id {
            let why = "it must be like a domain name, such as reminders.shop.example";
            check("List-Id", list, why, is_list_id)?;
            headers.push(("List-Id", format!("<{list}>")));
        }
        if let Some(feedback) = &self.feedback_id {
            let why = "it must be one to four ids of letters, digits, `.`, `_` and `-`, with `:` \
                       between, the last of 5 to 15 characters";
            check("Feedback-ID", feedback, why, is_feedback_id)?;
            headers.push(("Feedback-ID", feedback.clone()));
        }
        headers.push(("Auto-Submitted", "auto-generated".to_owned()));
        headers.push(("X-Waypost-Message", id.to_owned()));
        Ok(headers)
    }

    /// The text first: of alternatives the last is the best (RFC 2046 section 5.1.4).
    fn parts(&self, id: &str) -> MultiPart {
        let (text, html) = (clean_body(&self.text), clean_body(&self.html));
        let content = [id.as_bytes(), text.as_bytes(), html.as_bytes()];
        let boundary = format!("=_{:032x}", derive("boundary", &content));
        let part = |kind, body: String| SinglePart::builder().header(kind).body(body);
        MultiPart::builder()
            .kind(MultiPartKind::Alternative)
            .boundary(boundary)
            .singlepart(part(ContentType::TEXT_PLAIN, text))
            .singlepart(part(ContentType::TEXT_HTML, html))
    }
}

fn mailbox(mailbox: &Mailbox) -> lettre::message::Mailbox {
    let name = mailbox.name.as_deref().and_then(clean_name);
    lettre::message::Mailbox::new(name, mailbox.address.to_lettre())
}

fn system_time(date: Timestamp) -> SystemTime {
    let ms = u64::try_from(date.ms()).unwrap_or(0);
    SystemTime::UNIX_EPOCH + Duration::from_millis(ms)
}

fn check(
    header: &'static str,
    value: &str,
    why: &'static str,
    is_fine: impl Fn(&str) -> bool,
) -> Result<(), BuildError> {
    if is_fine(value) {
        return Ok(());
    }
    Err(BuildError::Header { header, value: value.chars().take(80).collect(), why })
}

fn is_url(url: &str, scheme: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_graphic() && !b"<>\"\\,".contains(&byte);
    url.strip_prefix(scheme).is_some_and(|rest| !rest.is_empty())
        && url.len() <= URL_BYTES_MAX
        && url.bytes().all(plain)
}

fn is_list_id(list: &str) -> bool {
    let atom = |atom: &str| {
        !atom.is_empty() && atom.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b))
    };
    list.len() <= 255 && list.contains('.') && list.split('.').all(atom)
}

/// <https://support.google.com/mail/answer/6254652>
fn is_feedback_id(id: &str) -> bool {
    let fields: Vec<&str> = id.split(':').collect();
    let plain = |field: &&str| {
        field.len() <= 64 && field.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b))
    };
    let sender = fields.last().is_some_and(|sender| (5..=15).contains(&sender.len()));
    fields.len() <= 4 && sender && fields.iter().all(plain)
}
