//! One message over one connection.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use lettre::transport::smtp::authentication::{Credentials, Mechanism};
use lettre::transport::smtp::commands::{Auth, Data, Ehlo, Mail, Rcpt, Starttls};
use lettre::transport::smtp::extension::{ClientId, Extension, ServerInfo};
use lettre::transport::smtp::response::Response;
use tokio::time::{Instant, timeout};

use super::wire::{Broken, Timeouts, Wire, stuffed};
use super::{Address, classes};
use crate::config::Secret;
use crate::provider::{Answer, Class, Net, NetError, Phase, is_loopback, scrub};

/// Where mail goes, and how.
#[derive(Clone, Debug)]
pub struct SmtpSettings {
    /// The server's name, for which its certificate must be valid, or its address.
    pub host: String,
    /// Its port: 465 for [`Security::Implicit`], 587 for [`Security::StartTls`] at most providers.
    pub port: u16,
    /// How the connection is protected.
    pub security: Security,
    /// Allows [`Security::None`] to a host other than this machine. Passwords are not sent even then.
    pub allow_clear: bool,
    /// The name this side gives itself in EHLO: a host name.
    pub hello: String,
    /// Name and password.
    pub login: Option<(String, Secret)>,
    /// A PEM file of roots to trust beside Mozilla's.
    pub ca_file: Option<PathBuf>,
    /// How long each part may take.
    pub timeouts: Timeouts,
}

/// How a connection is protected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Security {
    /// TLS from the first byte (RFC 8314).
    Implicit,
    /// TLS by STARTTLS, before anything else; a server that does not offer it is refused.
    StartTls,
    /// None: for a server on this machine.
    None,
}

/// Why settings can't be used.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// Mail in the clear to another machine.
    #[error("mail to {host} would go over the network in the clear; use TLS, or allow it")]
    Clear {
        /// The server.
        host: String,
    },
    /// A password in the clear to another machine.
    #[error("the password for {host} would go over the network in the clear; use TLS")]
    ClearPassword {
        /// The server.
        host: String,
    },
    /// The host is neither a name nor an address that a certificate could be for.
    #[error("`{0}` is no host name")]
    Host(String),
    /// The name for EHLO is none.
    #[error("`{0}` is no host name that a server could be greeted with")]
    Hello(String),
    /// The roots can't be read.
    #[error(transparent)]
    Net(#[from] NetError),
}

/// Whom the server is told that a message is from and for. Not what its headers say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Envelope {
    /// Where bounces go.
    pub sender: Address,
    /// Who gets the message.
    pub recipient: Address,
}

/// An SMTP server to hand messages to.
pub struct Smtp {
    settings: SmtpSettings,
    net: Net,
}

impl Smtp {
    /// A server with these settings. Nothing is connected yet.
    ///
    /// # Errors
    ///
    /// Something would go over the network in the clear, the name for EHLO is none, or the file of roots
    /// can't be read.
    pub fn new(settings: SmtpSettings) -> Result<Self, SetupError> {
        let host = || settings.host.clone();
        if settings.security == Security::None && !is_loopback(&settings.host) {
            if settings.login.is_some() {
                return Err(SetupError::ClearPassword { host: host() });
            }
            if !settings.allow_clear {
                return Err(SetupError::Clear { host: host() });
            }
        }
        if settings.security != Security::None && !Net::is_name(&settings.host) {
            return Err(SetupError::Host(host()));
        }
        let plain = |b: u8| b.is_ascii_alphanumeric() || b"-.[]:".contains(&b);
        let hello = &settings.hello;
        if hello.is_empty() || hello.len() > 255 || !hello.bytes().all(plain) {
            return Err(SetupError::Hello(hello.chars().take(80).collect()));
        }
        let net = Net::new(settings.ca_file.as_deref())?;
        Ok(Self { settings, net })
    }

    /// Hands one message over, by a connection of its own. `message` is what
    /// [`Message::build`](super::Message::build) made.
    ///
    /// `before_dot` is awaited when everything but the final dot is written. It makes durable that the dot is
    /// about to be sent; if it fails, the connection is dropped without the dot, and the message is not sent.
    /// From the dot until its reply is read a message is in doubt, at no other time.
    ///
    /// The exchange is bounded by [`Timeouts`], the hook by itself. If the future is dropped, the
    /// connection is dropped with it: without the dot the server discards what it has, with it the
    /// message is in doubt.
    pub async fn send<F, Fut>(&self, envelope: &Envelope, message: &[u8], before_dot: F) -> Answer
    where
        F: FnOnce() -> Fut,
        Fut: Future<Output = Result<(), String>>,
    {
        let mut talk = match self.open().await {
            Ok(talk) => talk,
            Err(answer) => return *answer,
        };
        let answer = match talk.hand_over(envelope, message, before_dot).await {
            Ok(answer) => answer,
            Err(answer) => *answer,
        };
        if matches!(answer, Answer::Accepted { .. } | Answer::Refused { .. }) {
            talk.wire.quit().await;
        }
        answer
    }

    /// Whether a message could be handed over: connects, greets, protects, logs in as configured,
    /// and leaves.
    ///
    /// # Errors
    /// How a message would have ended.
    pub async fn probe(&self) -> Result<(), Answer> {
        let talk = self.open().await.map_err(|answer| *answer)?;
        talk.wire.quit().await;
        Ok(())
    }

    /// A connection that is ready for a message: protected, greeted, logged in.
    async fn open(&self) -> Result<Talk, Box<Answer>> {
        let SmtpSettings { host, port, security, timeouts, .. } = &self.settings;
        let stream = timeout(timeouts.connect, Net::connect(host, *port))
            .await
            .map_err(|_| not_sent(Phase::Connect, &Broken::Timeout(timeouts.connect)))?
            .map_err(|error| not_sent(Phase::Connect, &Broken::Io(error)))?;
        let until = Instant::now() + timeouts.before_dot;
        let mut talk = Talk { wire: Wire::new(Box::new(stream)), timeouts: *timeouts, until };
        if *security == Security::Implicit {
            talk = self.secure(talk).await?;
        }
        talk.greeting().await?;
        let mut offers = talk.hello(&self.settings.hello).await?;
        if *security == Security::StartTls {
            talk.start_tls(&offers).await?;
            talk = self.secure(talk).await?;
            // What was said in the clear may be a stranger's (RFC 3207 section 4.2).
            offers = talk.hello(&self.settings.hello).await?;
        }
        if let Some((name, password)) = &self.settings.login {
            talk.log_in(&offers, name, password).await?;
        }
        Ok(talk)
    }

    /// The same conversation behind TLS.
    async fn secure(&self, talk: Talk) -> Result<Talk, Box<Answer>> {
        let limit = talk.within(talk.timeouts.tls);
        let Talk { wire, timeouts, until } = talk;
        let handshake = self.net.secure(wire.into_stream(), &self.settings.host);
        match timeout(limit, handshake).await {
            Ok(Ok(stream)) => Ok(Talk { wire: Wire::new(stream), timeouts, until }),
            Ok(Err(error)) if Net::is_tls_fault(&error) => {
                Err(fault(Phase::Tls, error.to_string()))
            }
            Ok(Err(error)) => Err(not_sent(Phase::Tls, &Broken::Io(error))),
            Err(_) => Err(not_sent(Phase::Tls, &Broken::Timeout(limit))),
        }
    }
}

impl fmt::Debug for Smtp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Smtp").field("settings", &self.settings).finish_non_exhaustive()
    }
}

/// A conversation with the server.
struct Talk {
    wire: Wire,
    timeouts: Timeouts,
    /// When only the final dot must be missing.
    until: Instant,
}

impl Talk {
    /// What a part before the dot may take, of what is left for all of them: whole milliseconds.
    fn within(&self, limit: Duration) -> Duration {
        let left = self.until.saturating_duration_since(Instant::now());
        limit.min(Duration::new(left.as_secs(), left.subsec_millis() * 1_000_000))
    }

    async fn greeting(&mut self) -> Result<(), Box<Answer>> {
        let reply = self.wire.greeting(self.within(self.timeouts.greeting)).await;
        expect(Phase::Greeting, 2, reply).map(drop)
    }

    /// EHLO, and what the server offers.
    async fn hello(&mut self, name: &str) -> Result<ServerInfo, Box<Answer>> {
        let hello = Ehlo::new(ClientId::Domain(name.to_owned()));
        let reply = self.ask(Phase::Hello, 2, &hello).await?;
        // Keywords may come in any case (RFC 5321 section 2.4).
        let lines = reply.message().map(str::to_ascii_uppercase).collect();
        ServerInfo::from_response(&Response::new(reply.code(), lines))
            .map_err(|_| not_sent(Phase::Hello, &Broken::Malformed))
    }

    async fn start_tls(&mut self, offers: &ServerInfo) -> Result<(), Box<Answer>> {
        if !offers.supports_feature(Extension::StartTls) {
            return Err(fault(Phase::Tls, "the server does not offer STARTTLS".to_owned()));
        }
        self.ask(Phase::Tls, 2, &Starttls).await?;
        self.wire.expect_silence().map_err(|broken| not_sent(Phase::Tls, &broken))
    }

    async fn log_in(
        &mut self,
        offers: &ServerInfo,
        name: &str,
        password: &Secret,
    ) -> Result<(), Box<Answer>> {
        let no = |why: &str| fault(Phase::Auth, why.to_owned());
        let mechanism = offers
            .get_auth_mechanism(&[Mechanism::Plain, Mechanism::Login])
            .ok_or_else(|| no("the server offers neither AUTH PLAIN nor AUTH LOGIN"))?;
        let login = || Credentials::new(name.to_owned(), password.expose().to_owned());
        let mut auth = Auth::new(mechanism, login(), None)
            .map_err(|_| no("the name or password can't be sent"))?;
        // LOGIN asks for the name, then for the password.
        for _ in 0..3 {
            let limit = self.within(self.timeouts.command);
            let reply = self.wire.command(&auth.to_string(), limit).await;
            match reply {
                Ok(reply) if reply.has_code(334) => {
                    auth = Auth::new_from_response(mechanism, login(), &reply).map_err(|_| {
                        no("the server asks for something else than name and password")
                    })?;
                }
                reply => return expect(Phase::Auth, 2, reply).map(drop),
            }
        }
        Err(no("the server asks without end"))
    }

    /// MAIL, RCPT, DATA, the message, the dot.
    async fn hand_over<F, Fut>(
        &mut self,
        envelope: &Envelope,
        message: &[u8],
        before_dot: F,
    ) -> Result<Answer, Box<Answer>>
    where
        F: FnOnce() -> Fut,
        Fut: Future<Output = Result<(), String>>,
    {
        let (sender, recipient) = (envelope.sender.to_lettre(), envelope.recipient.to_lettre());
        self.ask(Phase::Mail, 2, &Mail::new(Some(sender), Vec::new())).await?;
        self.ask(Phase::Rcpt, 2, &Rcpt::new(recipient, Vec::new())).await?;
        self.ask(Phase::Data, 3, &Data).await?;
        let body = |broken| not_sent(Phase::Body, &broken);
        let left = self.within(Duration::MAX);
        let (message, block) = (stuffed(message), self.timeouts.block);
        let written = timeout(left, self.wire.write(&message, block)).await;
        written.unwrap_or(Err(Broken::Timeout(left))).map_err(body)?;
        if let Err(why) = before_dot().await {
            return Err(Box::new(Answer::NotSent { phase: Phase::Body, why }));
        }
        // The last moment at which a broken connection leaves no doubt.
        self.wire.expect_patience().await.map_err(body)?;
        let reply = self.wire.command(".\r\n", self.timeouts.dot).await;
        let reply = expect(Phase::Dot, 2, reply)?;
        Ok(Answer::Accepted { reply: scrub(&words(&reply)), reference: None })
    }

    async fn ask(
        &mut self,
        phase: Phase,
        wanted: u8,
        command: &impl fmt::Display,
    ) -> Result<Response, Box<Answer>> {
        let limit = self.within(self.timeouts.command);
        let reply = self.wire.command(&command.to_string(), limit).await;
        expect(phase, wanted, reply)
    }
}

/// The reply, if its code begins with the wanted digit.
fn expect(
    phase: Phase,
    wanted: u8,
    reply: Result<Response, Broken>,
) -> Result<Response, Box<Answer>> {
    let reply = reply.map_err(|broken| not_sent(phase, &broken))?;
    let code = u16::from(reply.code());
    let text = words(&reply);
    match code / 100 {
        digit if digit == u16::from(wanted) => Ok(reply),
        4 | 5 => {
            let enhanced = classes::enhanced(code, &text);
            Err(Box::new(Answer::Refused {
                phase,
                code: Some(code.into()),
                class: classes::class(phase, code, enhanced),
                retry_after: classes::retry_after(code, enhanced),
                enhanced: enhanced.map(str::to_owned),
                reply: scrub(&text),
            }))
        }
        _ => Err(not_sent(phase, &Broken::Unexpected(code))),
    }
}

/// No reply to the dot is the one case in which nobody knows.
fn not_sent(phase: Phase, broken: &Broken) -> Box<Answer> {
    let why = scrub(&broken.to_string());
    Box::new(match phase {
        Phase::Dot => Answer::InDoubt { why },
        _ => Answer::NotSent { phase, why },
    })
}

/// What we refuse in the server.
fn fault(phase: Phase, why: String) -> Box<Answer> {
    let class = Class::ChannelFault;
    let reply = scrub(&why);
    Box::new(Answer::Refused { phase, code: None, enhanced: None, reply, class, retry_after: None })
}

/// All lines of a reply as one.
fn words(reply: &Response) -> String {
    reply.message().collect::<Vec<_>>().join(" ")
}
