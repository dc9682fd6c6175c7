//! A token endpoint: gives a signed token to the client that knows its secret, by HTTP.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::thread;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use serde_json::json;
use waypost::worker::{Clock as _, SystemClock};

/// How long a token is good, in seconds.
const GOOD: i64 = 3_600;

/// The endpoint; its thread ends with the test process.
pub(super) struct Tokens {
    port: u16,
    keys: PathBuf,
}

impl Tokens {
    /// Starts it for one client. For whom a token is, is the scope that was asked for, or `kafka`.
    /// The public key goes into a file of the folder.
    pub(super) fn start(folder: &Path, client: &str, secret: &str) -> Self {
        let random = SystemRandom::new();
        let pair = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random);
        let pair = EcdsaKeyPair::from_pkcs8(
            &ECDSA_P256_SHA256_FIXED_SIGNING,
            pair.expect("a key").as_ref(),
            &random,
        );
        let pair = pair.expect("a key");
        // A point that is not compressed: a byte, then both numbers.
        let (x, y) = pair.public_key().as_ref()[1..].split_at(32);
        let (x, y) = (URL_SAFE_NO_PAD.encode(x), URL_SAFE_NO_PAD.encode(y));
        let key = json!({ "kty": "EC", "crv": "P-256", "alg": "ES256", "use": "sig", "kid": "1",
            "x": x, "y": y });
        let keys = folder.join("keys.json");
        std::fs::write(&keys, json!({ "keys": [key] }).to_string()).expect("a file");

        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("a port").port();
        let login = format!("Basic {}", STANDARD.encode(format!("{client}:{secret}")));
        let client = client.to_owned();
        thread::spawn(move || {
            for stream in listener.incoming() {
                let token = |audience: &str| token(&pair, &random, &client, audience);
                // A client that goes away gets no answer.
                let _ = answer(stream.expect("a connection"), &login, token);
            }
        });
        Self { port, keys }
    }

    /// Where a client asks.
    pub(super) fn url(&self) -> String {
        format!("http://127.0.0.1:{}/token", self.port)
    }

    /// Where the broker finds the key that tokens are signed with.
    pub(super) fn keys_url(&self) -> String {
        format!("file://{}", self.keys.display())
    }
}

/// Answers one request, which must be the client's.
fn answer(
    mut stream: TcpStream,
    login: &str,
    token: impl FnOnce(&str) -> String,
) -> std::io::Result<()> {
    let mut request = BufReader::new(stream.try_clone()?);
    let (mut is_known, mut length, mut line) = (false, 0, String::new());
    while request.read_line(&mut line)? > 2 {
        let (name, value) = line.split_once(':').unwrap_or_default();
        match name.to_ascii_lowercase().as_str() {
            "authorization" => is_known = value.trim() == login,
            "content-length" => length = value.trim().parse().unwrap_or(0),
            _ => {}
        }
        line.clear();
    }
    let mut form = vec![0; length];
    request.read_exact(&mut form)?;
    let scope = form_urlencoded::parse(&form).find(|(name, _)| name == "scope");
    let (status, body) = if is_known {
        let token = token(scope.as_ref().map_or("kafka", |(_, scope)| scope));
        ("200 OK", json!({ "access_token": token, "token_type": "Bearer", "expires_in": GOOD }))
    } else {
        ("401 Unauthorized", json!({ "error": "invalid_client" }))
    };
    let body = body.to_string();
    write!(
        stream,
        "HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\
         Connection: close\r\n\r\n{body}",
        body.len()
    )
}

/// A token as RFC 7519 says, signed with ES256.
fn token(pair: &EcdsaKeyPair, random: &SystemRandom, client: &str, audience: &str) -> String {
    let now = SystemClock.now().ms() / 1_000;
    let head = json!({ "alg": "ES256", "typ": "JWT", "kid": "1" });
    let claims = json!({ "iss": "tests", "aud": audience, "sub": client, "iat": now,
        "exp": now + GOOD });
    let encoded = |value: serde_json::Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let signed = format!("{}.{}", encoded(head), encoded(claims));
    let signature = pair.sign(random, signed.as_bytes()).expect("a signature");
    format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
}
