//! How one try to send ended.

use std::fmt;
use std::time::Duration;

/// The longest reply kept, in bytes.
pub const REPLY_BYTES_MAX: usize = 200;

/// How one try to hand a message to a provider ended. What to do follows from the variant alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The provider took the message.
    Accepted {
        /// Its words, scrubbed by [`scrub`].
        reply: String,
        /// The provider's own id of the message, where it gives one (Twilio's `sid`).
        reference: Option<String>,
    },
    /// The provider, or our own check of it, said no: nothing was accepted.
    Refused {
        /// Where in the exchange.
        phase: Phase,
        /// The SMTP reply code, or the provider's error code; `None` where we refused the provider
        /// (a certificate that does not fit, a server without the AUTH or TLS that we ask for).
        code: Option<u32>,
        /// The enhanced status code of RFC 3463, such as `5.1.1`.
        enhanced: Option<String>,
        /// Its words, scrubbed by [`scrub`].
        reply: String,
        /// What follows from it.
        class: Class,
        /// How long to wait at least before the next try, where the provider said so or its
        /// kind of refusal is known to last that long (greylisting).
        retry_after: Option<Duration>,
    },
    /// The exchange broke off before it could have been accepted: it is safe to try again.
    NotSent {
        /// Where in the exchange.
        phase: Phase,
        /// What happened.
        why: String,
    },
    /// The last byte that the provider needed was on its way, and no reply was read: it may have
    /// taken the message or not.
    InDoubt {
        /// What happened.
        why: String,
    },
}

/// What a refusal means for the message, the address and the channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// Try again later, until the message expires.
    Transient,
    /// This message will not be accepted for this recipient.
    Permanent {
        /// No message will: the address does not exist, so suppress it.
        address_is_bad: bool,
    },
    /// The recipient told the provider to stop: suppress the address as after an unsubscribe.
    OptedOut,
    /// Every message will be refused until a person acts (password, policy, TLS, account): park
    /// what waits, and hold nothing against the recipient.
    ChannelFault,
    /// This content is refused (too large, an encoding, taken for spam); it says nothing about the
    /// address.
    Content,
}

/// Where in the exchange a try ended. SMS has `Connect`, `Tls`, `Body` (the request is being
/// prepared) and `Dot` (it was written whole).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// Looking up the host and opening the connection.
    Connect,
    /// Waiting for the server's first words.
    Greeting,
    /// EHLO.
    Hello,
    /// STARTTLS and the handshake.
    Tls,
    /// AUTH.
    Auth,
    /// MAIL FROM.
    Mail,
    /// RCPT TO.
    Rcpt,
    /// DATA.
    Data,
    /// Writing the message, up to its end but without it.
    Body,
    /// The final dot, and the reply to it.
    Dot,
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Connect => "connecting",
            Self::Greeting => "greeting",
            Self::Hello => "EHLO",
            Self::Tls => "TLS",
            Self::Auth => "AUTH",
            Self::Mail => "MAIL",
            Self::Rcpt => "RCPT",
            Self::Data => "DATA",
            Self::Body => "writing the message",
            Self::Dot => "end of the message",
        })
    }
}

/// A provider's words, fit to be kept: one line of at most [`REPLY_BYTES_MAX`] bytes, without
/// control characters, with addresses and phone numbers masked.
#[must_use]
pub fn scrub(reply: &str) -> String {
    let mut line = String::new();
    for word in reply.split(|c: char| c.is_whitespace() || c.is_control()) {
        if word.is_empty() {
            continue;
        }
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(&mask(word));
        if line.len() > REPLY_BYTES_MAX {
            break;
        }
    }
    line.truncate(line.floor_char_boundary(REPLY_BYTES_MAX));
    line
}

/// `<ann@shop.example>` becomes `<***@shop.example>`, `+31612345678` becomes `+***78`.
fn mask(word: &str) -> String {
    if let Some(at) = word.rfind('@') {
        let opening: String = word.chars().take_while(|c| matches!(c, '<' | '(' | '"')).collect();
        return format!("{opening}***{}", &word[at..]);
    }
    match word.split_once('+') {
        Some((before, digits)) if digits.bytes().filter(u8::is_ascii_digit).count() >= 7 => {
            let digits: String = digits.chars().filter(char::is_ascii_digit).collect();
            format!("{before}+***{}", &digits[digits.len() - 2..])
        }
        _ => word.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replies_are_short_plain_and_name_nobody() {
        for (reply, kept) in [
            ("2.0.0 Ok: queued as 4F9D1", "2.0.0 Ok: queued as 4F9D1"),
            ("<ann@shop.example>: no such user", "<***@shop.example>: no such user"),
            ("to=ann@shop.example\r\ngone\u{1b}[31m", "***@shop.example gone [31m"),
            ("'To' +31612345678 is not valid.", "'To' +***78 is not valid."),
            ("+1 is short", "+1 is short"),
            ("", ""),
        ] {
            assert_eq!(scrub(reply), kept);
        }
        let long = scrub(&"é".repeat(500));
        assert!(long.len() <= REPLY_BYTES_MAX && !long.is_empty());
    }
}
