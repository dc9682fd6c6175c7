//! DKIM signatures (RFC 6376, RFC 8463), relaxed/relaxed.

use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use ring::digest::{SHA256, digest};
use ring::rand::SystemRandom;
use ring::signature::{Ed25519KeyPair, RSA_PKCS1_SHA256, RsaKeyPair};
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject;

use crate::config::Secret;
use crate::model::Timestamp;

/// The headers that a signature covers, where the message has them. RFC 8058 section 4 wants both
/// of `List-Unsubscribe`. Not `Content-Type`: relays that re-encode rewrite it.
const SIGNED: [&str; 11] = [
    "From",
    "To",
    "Subject",
    "Date",
    "Message-ID",
    "Reply-To",
    "MIME-Version",
    "List-Unsubscribe",
    "List-Unsubscribe-Post",
    "List-Id",
    "Feedback-ID",
];

/// A key that signs mail for a domain. Its public half stands in the DNS as TXT of
/// `SELECTOR._domainkey.DOMAIN`.
pub struct Dkim {
    domain: String,
    selector: String,
    key: Key,
}

enum Key {
    Rsa(Box<RsaKeyPair>),
    Ed25519(Ed25519KeyPair),
}

/// Why a key can't sign. The key itself is never repeated.
#[derive(Debug, thiserror::Error)]
pub enum DkimError {
    /// The domain or the selector is no name that DNS could hold.
    #[error("`{0}` is no domain or selector of a DKIM key")]
    Name(String),
    /// Not a private key in PEM.
    #[error("the DKIM key is no private key in PEM (`openssl genpkey -algorithm RSA` makes one)")]
    Pem,
    /// A key of another kind, a damaged one, or RSA of less than 2,048 bits.
    #[error("the DKIM key is neither RSA of 2048 to 4096 bits nor Ed25519")]
    Kind,
}

impl Dkim {
    /// A key of PEM text: RSA (`PRIVATE KEY` or `RSA PRIVATE KEY`) of 2,048 to 4,096 bits, or
    /// Ed25519 (`PRIVATE KEY`).
    ///
    /// # Errors
    ///
    /// The key is of another kind or can't be read, or the names are no DNS names.
    pub fn new(domain: &str, selector: &str, pem: &Secret) -> Result<Self, DkimError> {
        for name in [domain, selector] {
            let fine = |b: u8| b.is_ascii_alphanumeric() || b"-_.".contains(&b);
            if name.is_empty() || name.len() > 253 || !name.bytes().all(fine) {
                return Err(DkimError::Name(name.chars().take(80).collect()));
            }
        }
        let der =
            PrivateKeyDer::from_pem_slice(pem.expose().as_bytes()).map_err(|_| DkimError::Pem)?;
        let key = match &der {
            PrivateKeyDer::Pkcs1(der) => RsaKeyPair::from_der(der.secret_pkcs1_der()).ok(),
            PrivateKeyDer::Pkcs8(der) => RsaKeyPair::from_pkcs8(der.secret_pkcs8_der()).ok(),
            _ => None,
        };
        let ed25519 = || match &der {
            PrivateKeyDer::Pkcs8(der) => {
                Ed25519KeyPair::from_pkcs8_maybe_unchecked(der.secret_pkcs8_der()).ok()
            }
            _ => None,
        };
        let key = key
            .map(|key| Key::Rsa(Box::new(key)))
            .or_else(|| ed25519().map(Key::Ed25519))
            .ok_or(DkimError::Kind)?;
        Ok(Self { domain: domain.to_owned(), selector: selector.to_owned(), key })
    }

    /// The `DKIM-Signature` header of a message, with its line end. Both algorithms give the same
    /// signature for the same bytes and `at`.
    pub(super) fn header(&self, message: &[u8], at: Timestamp) -> Vec<u8> {
        let (headers, body) = split(message);
        let headers = fields(headers);
        let mut names = vec!["From"];
        let mut signed = String::new();
        for name in SIGNED {
            for (_, value) in headers.iter().filter(|(found, _)| found.eq_ignore_ascii_case(name)) {
                names.push(name);
                let _ = write!(signed, "{}:{}\r\n", name.to_ascii_lowercase(), relaxed(value));
            }
        }
        let (algorithm, domain, selector) = (self.algorithm(), &self.domain, &self.selector);
        let body = BASE64.encode(digest(&SHA256, &relaxed_body(body)));
        // Named once more than it is there: nobody can add a second `From` (RFC 6376 section 8.15).
        let names = names.join(":\r\n\t");
        let seconds = at.ms().max(0) / 1_000;
        let mut value = format!(
            "v=1; a={algorithm}; c=relaxed/relaxed; d={domain};\r\n\ts={selector}; t={seconds};\
             \r\n\tbh={body};\r\n\th={names};\r\n\tb="
        );
        // Its own header comes last, with `b=` empty and without a line end (section 3.7).
        let _ = write!(signed, "dkim-signature:{}", relaxed(&value));
        for line in BASE64.encode(self.sign(signed.as_bytes())).as_bytes().chunks(70) {
            value.push_str("\r\n\t");
            value.extend(line.iter().copied().map(char::from));
        }
        format!("DKIM-Signature: {value}\r\n").into_bytes()
    }

    const fn algorithm(&self) -> &'static str {
        match self.key {
            Key::Rsa(_) => "rsa-sha256",
            Key::Ed25519(_) => "ed25519-sha256",
        }
    }

    fn sign(&self, data: &[u8]) -> Vec<u8> {
        match &self.key {
            Key::Rsa(key) => {
                let mut signature = vec![0; key.public().modulus_len()];
                // Fails only if the length given is not the key's. The randomness blinds the
                // computation, it is not part of the result.
                let signed =
                    key.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), data, &mut signature);
                debug_assert!(signed.is_ok(), "the length is the key's own");
                signature
            }
            // What is signed is the hash of the data (RFC 8463 section 3).
            Key::Ed25519(key) => key.sign(digest(&SHA256, data).as_ref()).as_ref().to_vec(),
        }
    }
}

impl std::fmt::Debug for Dkim {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Dkim({} {} {})", self.domain, self.selector, self.algorithm())
    }
}

/// The header fields, each with its line end, and the body after the empty line.
fn split(message: &[u8]) -> (&[u8], &[u8]) {
    let end = memchr::memmem::find(message, b"\r\n\r\n").map_or(message.len(), |at| at + 2);
    (&message[..end], message.get(end + 2..).unwrap_or_default())
}

/// Name and value of each field; a line that begins with white space continues the one before.
fn fields(headers: &[u8]) -> Vec<(String, String)> {
    let mut fields: Vec<(String, String)> = Vec::new();
    for line in String::from_utf8_lossy(headers).split_inclusive("\r\n") {
        match (line.starts_with([' ', '\t']), line.split_once(':'), fields.last_mut()) {
            (true, _, Some((_, value))) => value.push_str(line),
            (false, Some((name, value)), _) => fields.push((name.to_owned(), value.to_owned())),
            _ => {}
        }
    }
    fields
}

/// A header's value, relaxed (RFC 6376 section 3.4.2): unfolded, runs of white space as one space,
/// none at the ends.
fn relaxed(value: &str) -> String {
    let words: Vec<&str> =
        value.split([' ', '\t', '\r', '\n']).filter(|word| !word.is_empty()).collect();
    words.join(" ")
}

/// The body, relaxed (section 3.4.4): runs of white space as one space, none at the ends of lines,
/// no empty lines at the end.
fn relaxed_body(body: &[u8]) -> Vec<u8> {
    let mut relaxed = Vec::with_capacity(body.len() + 2);
    for line in String::from_utf8_lossy(body).split("\r\n") {
        let mut space = false;
        for byte in line.bytes() {
            match byte {
                b' ' | b'\t' => space = true,
                _ => {
                    if std::mem::take(&mut space) {
                        relaxed.push(b' ');
                    }
                    relaxed.push(byte);
                }
            }
        }
        relaxed.extend_from_slice(b"\r\n");
    }
    while relaxed.ends_with(b"\r\n\r\n") {
        relaxed.truncate(relaxed.len() - 2);
    }
    if relaxed == b"\r\n" {
        relaxed.clear();
    }
    relaxed
}
