//! A broker behind TLS and SASL: certificates and passwords that are made for it, and listeners
//! for each way of saying who one is.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use rcgen::{
    BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, PKCS_ECDSA_P256_SHA256,
    date_time_ymd,
};

use super::faulty::Faulty;
use super::kafka::Kafka;
use super::server::{folder, free_port};
use super::tokens::Tokens;

/// The one whom all listeners know.
pub(crate) const USER: &str = "waypost";
/// The password, and the secret of the client at the token endpoint.
pub(crate) const PASSWORD: &str = "right-5f0c";

/// A listener of the broker.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Listener {
    /// Nothing asked, nothing hidden.
    Plain,
    /// TLS, with a certificate of the client's.
    Tls,
    /// TLS with a certificate that is over.
    Expired,
    /// TLS and a password: SCRAM-SHA-512 or PLAIN.
    Password,
    /// TLS and a token of [`Secure::token_url`].
    Token,
    /// Through [`Secure::faulty`].
    Faulty,
}

/// The broker, which is started at the first call and ends with the test process.
pub(crate) fn secure() -> &'static Secure {
    static SHARED: OnceLock<Secure> = OnceLock::new();
    SHARED.get_or_init(Secure::start)
}

/// The broker and the files that clients need.
pub(crate) struct Secure {
    kafka: Kafka,
    folder: PathBuf,
    ports: [u16; 5],
    tokens: Tokens,
    faulty: Faulty,
}

impl Secure {
    fn start() -> Self {
        let folder = folder();
        certificates(&folder);
        let tokens = Tokens::start(&folder, USER, PASSWORD);
        let ports = std::array::from_fn(|_| free_port());
        let [tls, expired, password, token, faulty] = ports;
        let behind = free_port();
        let file = |name: &str| folder.join(name).display().to_string();
        let module = |name: &str, options: &str| {
            format!("org.apache.kafka.common.security.{name}LoginModule required {options};")
        };
        let settings = [
            (
                "listeners",
                format!(
                    "PLAINTEXT://127.0.0.1:{{port}},CONTROLLER://127.0.0.1:{{controller}},\
                     TLS://127.0.0.1:{tls},EXPIRED://127.0.0.1:{expired},\
                     PASSWORD://127.0.0.1:{password},TOKEN://127.0.0.1:{token},\
                     FAULTY://127.0.0.1:{behind}"
                ),
            ),
            // The others as they listen.
            (
                "advertised.listeners",
                format!(
                    "PLAINTEXT://127.0.0.1:{{port}},TLS://127.0.0.1:{tls},\
                     EXPIRED://127.0.0.1:{expired},PASSWORD://127.0.0.1:{password},\
                     TOKEN://127.0.0.1:{token},FAULTY://127.0.0.1:{faulty}"
                ),
            ),
            (
                "listener.security.protocol.map",
                "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,TLS:SSL,EXPIRED:SSL,PASSWORD:SASL_SSL,\
                 TOKEN:SASL_SSL,FAULTY:PLAINTEXT"
                    .to_owned(),
            ),
            ("ssl.keystore.type", "PEM".to_owned()),
            ("ssl.keystore.location", file("server.pem")),
            ("ssl.truststore.type", "PEM".to_owned()),
            ("ssl.truststore.location", file("ca.pem")),
            ("listener.name.tls.ssl.client.auth", "required".to_owned()),
            ("listener.name.expired.ssl.keystore.location", file("expired.pem")),
            ("listener.name.password.sasl.enabled.mechanisms", "SCRAM-SHA-512,PLAIN".to_owned()),
            ("listener.name.password.scram-sha-512.sasl.jaas.config", module("scram.Scram", "")),
            (
                "listener.name.password.plain.sasl.jaas.config",
                module("plain.Plain", &format!("user_{USER}=\"{PASSWORD}\"")),
            ),
            ("listener.name.token.sasl.enabled.mechanisms", "OAUTHBEARER".to_owned()),
            (
                "listener.name.token.oauthbearer.sasl.jaas.config",
                module("oauthbearer.OAuthBearer", ""),
            ),
            (
                "listener.name.token.oauthbearer.sasl.server.callback.handler.class",
                "org.apache.kafka.common.security.oauthbearer.\
                 OAuthBearerValidatorCallbackHandler"
                    .to_owned(),
            ),
            ("listener.name.token.sasl.oauthbearer.jwks.endpoint.url", tokens.keys_url()),
            ("listener.name.token.sasl.oauthbearer.expected.audience", "kafka".to_owned()),
            ("listener.name.token.sasl.oauthbearer.expected.issuer", "tests".to_owned()),
        ];
        let settings: Vec<(&str, &str)> =
            settings.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let scram = format!("SCRAM-SHA-512=[name={USER},password={PASSWORD}]");
        let allowed =
            format!("-Dorg.apache.kafka.sasl.oauthbearer.allowed.urls={}", tokens.keys_url());
        let kafka = Kafka::start(folder.clone(), &settings, &["--add-scram", &scram], &[&allowed]);
        Self { kafka, folder, ports, tokens, faulty: Faulty::start(faulty, behind) }
    }

    /// The broker itself, for a test's own topics and records.
    pub(crate) fn kafka(&self) -> &Kafka {
        &self.kafka
    }

    /// `HOST:PORT` of a listener.
    pub(crate) fn brokers(&self, listener: Listener) -> String {
        let [tls, expired, password, token, faulty] = self.ports;
        let port = match listener {
            Listener::Plain => return self.kafka.bootstrap().to_owned(),
            Listener::Tls => tls,
            Listener::Expired => expired,
            Listener::Password => password,
            Listener::Token => token,
            Listener::Faulty => faulty,
        };
        format!("127.0.0.1:{port}")
    }

    /// What lies between clients and the broker.
    pub(crate) fn faulty(&self) -> &Faulty {
        &self.faulty
    }

    /// The path of a file: `ca.pem`; `client`, `old` (over) or `stranger` (another authority's) with
    /// `.pem` and `.key`; `stranger-ca.pem`.
    pub(crate) fn file(&self, name: &str) -> String {
        let path = self.folder.join(name);
        assert!(path.exists(), "{}", path.display());
        path.display().to_string()
    }

    /// Where clients get their tokens.
    pub(crate) fn token_url(&self) -> String {
        self.tokens.url()
    }
}

/// An authority with a broker and two clients, and a stranger.
fn certificates(folder: &Path) {
    let ours = authority(folder, "ca.pem");
    let strangers = authority(folder, "stranger-ca.pem");
    let write = |name: &str, text: String| std::fs::write(folder.join(name), text).expect("a file");
    for (name, until) in [("server", 2100), ("expired", 2020)] {
        let (certificate, key) = issued(&ours, "127.0.0.1", until);
        write(&format!("{name}.pem"), key + &certificate);
    }
    for (name, authority, until) in
        [("client", &ours, 2100), ("old", &ours, 2020), ("stranger", &strangers, 2100)]
    {
        let (certificate, key) = issued(authority, USER, until);
        write(&format!("{name}.pem"), certificate);
        write(&format!("{name}.key"), key);
    }
}

fn authority(folder: &Path, name: &str) -> Issuer<'static, KeyPair> {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.distinguished_name.push(DnType::CommonName, name);
    let key = key();
    let certificate = params.self_signed(&key).expect("a certificate");
    std::fs::write(folder.join(name), certificate.pem()).expect("a file");
    Issuer::new(params, key)
}

/// A certificate for a name, and its key, both in PEM.
fn issued(by: &Issuer<'_, KeyPair>, name: &str, until: i32) -> (String, String) {
    let mut params = CertificateParams::new(vec![name.to_owned()]).expect("a name");
    params.distinguished_name.push(DnType::CommonName, name);
    params.not_before = date_time_ymd(2019, 1, 1);
    params.not_after = date_time_ymd(until, 1, 1);
    let key = key();
    let certificate = params.signed_by(&key, by).expect("a certificate");
    (certificate.pem(), key.serialize_pem())
}

fn key() -> KeyPair {
    KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).expect("a key")
}
