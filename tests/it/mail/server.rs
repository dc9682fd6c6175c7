//! An SMTP server that does what a script says, right or wrong.

use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;
use waypost::mail::{Envelope, Security, Smtp, SmtpSettings, Timeouts};
use waypost::provider::Answer;

use super::{address, fixture};

/// One thing that the server does.
#[derive(Clone, Copy, Debug)]
pub(super) enum Step {
    /// Sends these bytes.
    Say(&'static str),
    /// Reads until what it heard ends so.
    Hear(&'static str),
    /// Answers a TLS handshake with the test certificate, for `localhost`.
    Tls,
    /// Says nothing and reads on until the client is gone.
    Listen,
    /// Neither says nor reads anything until the client is gone.
    Freeze,
    /// Sends a byte of a reply without end each time the client might give up on silence.
    Drip,
}

use Step::{Drip, Freeze, Hear, Listen, Say, Tls};

trait Both: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Both for T {}

/// What a run of a script needs to be talked to, and what it heard in the end.
pub(super) struct Server {
    pub(super) port: u16,
    heard: JoinHandle<String>,
}

impl Server {
    /// Takes one connection and goes through the script; at its end the connection is closed.
    pub(super) async fn start(script: Vec<Step>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("a port").port();
        let heard = tokio::spawn(async move {
            let (stream, _) = listener.accept().await.expect("a connection");
            let mut stream: Box<dyn Both> = Box::new(stream);
            let mut heard = String::new();
            for step in script {
                if step_fails(step, &mut stream, &mut heard).await {
                    break;
                }
            }
            heard
        });
        Self { port, heard }
    }

    /// All that the client said.
    pub(super) async fn heard(self) -> String {
        self.heard.await.expect("the script runs")
    }
}

/// Does one step; whether the client is gone.
async fn step_fails(step: Step, stream: &mut Box<dyn Both>, heard: &mut String) -> bool {
    match step {
        Say(text) => stream.write_all(text.as_bytes()).await.is_err(),
        Hear(end) => {
            let already = heard.len();
            while !heard[already..].ends_with(end) {
                if !read_some(stream, heard).await {
                    return true;
                }
            }
            false
        }
        Listen => {
            while read_some(stream, heard).await {}
            true
        }
        Freeze => {
            // Nothing reads, so nothing tells when the client is gone: the test drops the server.
            std::future::pending::<()>().await;
            true
        }
        Drip => {
            stream.write_all(b"250-").await.ok();
            while stream.write_all(b"x").await.is_ok() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            true
        }
        Tls => {
            let clear = std::mem::replace(stream, Box::new(tokio::io::empty()));
            match acceptor().accept(clear).await {
                Ok(secured) => *stream = Box::new(secured),
                Err(_) => return true,
            }
            false
        }
    }
}

async fn read_some(stream: &mut Box<dyn Both>, heard: &mut String) -> bool {
    let mut bytes = [0_u8; 4_096];
    match stream.read(&mut bytes).await {
        Ok(count) if count > 0 => {
            heard.push_str(&String::from_utf8_lossy(&bytes[..count]));
            true
        }
        _ => false,
    }
}

fn acceptor() -> TlsAcceptor {
    let certificate = CertificateDer::from_pem_file(fixture("tls", "server.pem")).expect("PEM");
    let key = PrivateKeyDer::from_pem_file(fixture("tls", "server.key")).expect("PEM");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("TLS")
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .expect("a certificate");
    TlsAcceptor::from(Arc::new(config))
}

/// Settings for a server on this machine, which trust the test certificate.
pub(super) fn settings(port: u16, security: Security) -> SmtpSettings {
    SmtpSettings {
        host: "localhost".to_owned(),
        port,
        security,
        allow_clear: false,
        hello: "worker.shop.example".to_owned(),
        login: None,
        ca_file: Some(fixture("tls", "ca.pem")),
        timeouts: Timeouts::default(),
    }
}

pub(super) fn envelope(recipient: &str) -> Envelope {
    Envelope { sender: address("bounces@shop.example"), recipient: address(recipient) }
}

/// Sends with these settings; a refusal of the settings is a mistake of the test.
pub(super) async fn send(settings: SmtpSettings, message: &[u8]) -> Answer {
    let smtp = Smtp::new(settings).expect("settings that can be used");
    smtp.send(&envelope("ann@shop.example"), message, || async { Ok(()) }).await
}

/// An answer in a line.
pub(super) fn told(answer: &Answer) -> String {
    match answer {
        Answer::Accepted { reply, .. } => format!("accepted: {reply}"),
        Answer::Refused { phase, code, enhanced, reply, class, retry_after } => {
            let code = code.map_or("-".to_owned(), |code| code.to_string());
            let enhanced = enhanced.as_deref().unwrap_or("-");
            let wait = retry_after.map_or(String::new(), |wait| format!(", wait {wait:?}"));
            format!("refused at {phase}: {code} {enhanced} {class:?}{wait}: {reply}")
        }
        Answer::NotSent { phase, why } => format!("not sent at {phase}: {why}"),
        Answer::InDoubt { why } => format!("in doubt: {why}"),
    }
}
