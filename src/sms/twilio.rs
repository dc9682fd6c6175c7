//! Twilio's Messages API, and what has its shape.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use http_body_util::Full;
use hyper::body::Bytes;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HOST, HeaderValue};
use hyper::{Request, Uri};
use serde::Deserialize;

use super::http::{self, Broken, Reply, Target};
use super::{Number, classes};
use crate::config::Secret;
use crate::provider::{Answer, Class, Net, NetError, Phase, is_loopback, scrub};

/// The longest text, in characters (Twilio's own limit).
const BODY_CHARS_MAX: usize = 1_600;
/// The longest wait that a server can ask for.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(3_600);

/// Where SMS go, and how.
#[derive(Clone, Debug)]
pub struct TwilioSettings {
    /// `https://api.twilio.com`, or what takes its place; `http` only on this machine.
    pub base_url: String,
    /// The account's SID.
    pub account: String,
    /// Its token.
    pub token: Secret,
    /// Who the messages are from.
    pub sender: Sender,
    /// A PEM file of roots to trust beside Mozilla's.
    pub ca_file: Option<PathBuf>,
    /// How long each part may take.
    pub timeouts: Timeouts,
}

/// Who a message is from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sender {
    /// A number, short code or name.
    From(String),
    /// The SID of a Messaging Service, which picks one.
    MessagingService(String),
}

/// How long each part of an exchange may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// Connecting, and the TLS handshake, each; 10 s.
    pub connect: Duration,
    /// The whole answer, from the request's first byte on; 30 s. Giving up leaves the message in doubt.
    pub answer: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self { connect: Duration::from_secs(10), answer: Duration::from_secs(30) }
    }
}

/// One message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sms {
    /// The recipient.
    pub to: Number,
    /// The text, as it is to be sent; see [`tidy`](super::tidy) and [`plain`](super::plain).
    pub body: String,
    /// After how long the provider drops what it could not deliver; it takes 1 s to 10 h.
    pub valid_for: Option<Duration>,
    /// Where the provider reports what became of the message.
    pub status_callback: Option<String>,
}

/// Why settings can't be used.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// The base URL is none, or would send the token in the clear.
    #[error("`{0}` is no https URL for an SMS provider")]
    BaseUrl(String),
    /// The account is no SID.
    #[error("the account of an SMS provider is letters and digits, not `{0}`")]
    Account(String),
    /// The roots can't be read.
    #[error(transparent)]
    Net(#[from] NetError),
}

/// A provider to hand messages to.
pub struct Twilio {
    settings: TwilioSettings,
    uri: Uri,
    target: Target,
    net: Net,
}

/// The provider's answer, as far as it is read.
#[derive(Deserialize)]
struct Told {
    sid: Option<String>,
    status: Option<serde_json::Value>,
    code: Option<u32>,
    message: Option<String>,
}

impl Twilio {
    /// A provider with these settings. Nothing is connected yet.
    ///
    /// # Errors
    ///
    /// The base URL is none or not protected, the account is no SID, or the file of roots can't be
    /// read.
    pub fn new(settings: TwilioSettings) -> Result<Self, SetupError> {
        let TwilioSettings { base_url, account, .. } = &settings;
        if account.is_empty() || !account.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
            return Err(SetupError::Account(account.chars().take(80).collect()));
        }
        let bad = || SetupError::BaseUrl(base_url.chars().take(80).collect());
        let base = base_url.trim_end_matches('/');
        let uri: Uri = format!("{base}/2010-04-01/Accounts/{account}/Messages.json")
            .parse()
            .map_err(|_| bad())?;
        let target = Target::of(&uri).filter(|target| target.tls || is_loopback(&target.host));
        let target = target.filter(|target| !target.tls || Net::is_name(&target.host));
        let target = target.ok_or_else(bad)?;
        let net = Net::new(settings.ca_file.as_deref())?;
        Ok(Self { settings, uri, target, net })
    }

    /// Hands one message over. The provider has no idempotency key, so a lost answer leaves it in doubt.
    ///
    /// `before_request` is awaited when the connection is ready and nothing of the request is
    /// written. It makes durable that it is about to be; if it fails, nothing is sent.
    ///
    /// If the future is dropped, the connection is dropped with it.
    pub async fn send<F, Fut>(&self, sms: &Sms, before_request: F) -> Answer
    where
        F: FnOnce() -> Fut,
        Fut: Future<Output = Result<(), String>>,
    {
        let characters = sms.body.chars().count();
        if characters == 0 || characters > BODY_CHARS_MAX {
            let why =
                format!("the text has {characters} characters; 1 to {BODY_CHARS_MAX} are sent");
            return refused(Phase::Body, None, &why, Class::Content, None);
        }
        let timeouts = self.settings.timeouts;
        match http::post(&self.net, &self.target, self.request(sms), timeouts, before_request).await
        {
            Ok(reply) => understand(&reply),
            Err(Broken::Before(phase, why)) => Answer::NotSent { phase, why: scrub(&why) },
            Err(Broken::Fault(why)) => refused(Phase::Tls, None, &why, Class::ChannelFault, None),
            Err(Broken::After(why)) => Answer::InDoubt { why: scrub(&why) },
        }
    }

    fn request(&self, sms: &Sms) -> Request<Full<Bytes>> {
        let mut form = form_urlencoded::Serializer::new(String::new());
        form.append_pair("To", sms.to.as_str());
        match &self.settings.sender {
            Sender::From(from) => form.append_pair("From", from),
            Sender::MessagingService(service) => form.append_pair("MessagingServiceSid", service),
        };
        form.append_pair("Body", &sms.body);
        if let Some(valid_for) = sms.valid_for {
            let seconds = valid_for.as_secs().clamp(1, 36_000);
            form.append_pair("ValidityPeriod", &seconds.to_string());
        }
        if let Some(callback) = &sms.status_callback {
            form.append_pair("StatusCallback", callback);
        }
        let mut request = Request::new(Full::new(Bytes::from(form.finish())));
        *request.method_mut() = hyper::Method::POST;
        // To the server itself, not a proxy, a request names the path alone.
        if let Some(path) = self.uri.path_and_query() {
            *request.uri_mut() = Uri::from(path.clone());
        }
        let headers = request.headers_mut();
        let form = HeaderValue::from_static("application/x-www-form-urlencoded");
        headers.insert(CONTENT_TYPE, form);
        let authority = self.uri.authority().map_or("", |authority| authority.as_str());
        if let Ok(host) = HeaderValue::from_str(authority) {
            headers.insert(HOST, host);
        }
        let login = format!("{}:{}", self.settings.account, self.settings.token.expose());
        if let Ok(mut basic) = HeaderValue::from_str(&format!("Basic {}", BASE64.encode(login))) {
            basic.set_sensitive(true);
            headers.insert(AUTHORIZATION, basic);
        }
        request
    }
}

impl fmt::Debug for Twilio {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Twilio").field("settings", &self.settings).finish_non_exhaustive()
    }
}

/// The answer by its status, with what its body says.
fn understand(reply: &Reply) -> Answer {
    let told: Option<Told> = serde_json::from_slice(&reply.body).ok();
    let status = reply.status;
    if status == 201 {
        let reference = told.as_ref().and_then(|told| told.sid.clone());
        let words = told.and_then(|told| Some(told.status?.as_str()?.to_owned()));
        let reply = scrub(&words.unwrap_or_default());
        return Answer::Accepted { reply, reference: reference.map(|sid| scrub(&sid)) };
    }
    let code = told.as_ref().and_then(|told| told.code);
    let words = told.and_then(|told| told.message).unwrap_or_else(|| format!("HTTP {status}"));
    let class = match code.and_then(classes::twilio_class) {
        Some(class) => Some(class),
        None => classes::status_class(status),
    };
    match class {
        Some(class) => {
            let wait = reply.retry_after.map(|wait| wait.min(RETRY_AFTER_MAX));
            refused(Phase::Dot, Some(code.unwrap_or(status.into())), &words, class, wait)
        }
        None => Answer::InDoubt { why: format!("the provider answered HTTP {status}") },
    }
}

fn refused(
    phase: Phase,
    code: Option<u32>,
    words: &str,
    class: Class,
    retry_after: Option<Duration>,
) -> Answer {
    let reply = scrub(words);
    Answer::Refused { phase, code, enhanced: None, reply, class, retry_after }
}
