//! A Kafka that lets nobody in without TLS and a proof of who it is.

use std::time::{Duration, Instant};

use rdkafka::producer::{FutureProducer, FutureRecord};
use tokio::task::JoinSet;
use waypost::kafka::{Partition, Settings, View};

use crate::cluster::site::Site;
use crate::kafka::{configuration, of};
use crate::support::{
    Listener, PASSWORD, Secure, USER, free_port, full, postgres, secure, waypost,
};
use crate::worker::CART;
use crate::worker::events::{cart_add, consent};

/// The longest that one answer of a server may take.
const LIMIT: Duration = Duration::from_secs(60);
/// The longest that a failure may take to be told.
const TOLD: Duration = Duration::from_secs(10);
/// What must not be shown.
const WRONG: &str = "wrong-77aa";

/// The lines under `kafka` for a way in.
fn way(secure: &Secure, listener: Listener, secret: &str) -> String {
    let ca = secure.file("ca.pem");
    match listener {
        Listener::Plain | Listener::Faulty => "name: waypost".to_owned(),
        Listener::Tls | Listener::Expired => tls(secure, "ca.pem", "client"),
        Listener::Password => password(&ca, "SCRAM-SHA-512", USER, secret),
        Listener::Token => token(&ca, &secure.token_url(), secret),
    }
}

fn tls(secure: &Secure, ca: &str, client: &str) -> String {
    format!(
        "properties: {{ security.protocol: SSL, ssl.ca.location: {}, \
         ssl.certificate.location: {} }}, secret_files: {{ ssl.key.pem: {} }}",
        secure.file(ca),
        secure.file(&format!("{client}.pem")),
        secure.file(&format!("{client}.key"))
    )
}

fn password(ca: &str, mechanism: &str, user: &str, password: &str) -> String {
    format!(
        "properties: {{ security.protocol: SASL_SSL, ssl.ca.location: {ca}, \
         sasl: {{ mechanism: {mechanism}, username: {user} }} }}, \
         secrets: {{ sasl.password: {password} }}"
    )
}

fn token(ca: &str, url: &str, secret: &str) -> String {
    format!(
        "properties: {{ security.protocol: SASL_SSL, ssl.ca.location: {ca}, \
         sasl.mechanism: OAUTHBEARER, sasl.oauthbearer: {{ method: oidc, client.id: {USER}, \
         token.endpoint.url: '{url}' }} }}, secrets: {{ sasl.oauthbearer.client.secret: {secret} }}"
    )
}

const INPUT: &str = "web: { topic: web, format: xdm }";

#[tokio::test]
async fn each_way_in_works() {
    if !full("each_way_in_works", "a broker with TLS") {
        return;
    }
    let secure = secure();
    let topic = secure.kafka().topic("web", 1, &[]).await;
    let ca = secure.file("ca.pem");
    let plain = password(&ca, "PLAIN", USER, PASSWORD);
    for (offset, (listener, kafka)) in (0..).zip([
        (Listener::Tls, way(secure, Listener::Tls, PASSWORD)),
        (Listener::Password, way(secure, Listener::Password, PASSWORD)),
        (Listener::Password, plain),
        (Listener::Token, way(secure, Listener::Token, PASSWORD)),
    ]) {
        let config = configuration(&secure.brokers(listener), &kafka, INPUT);
        let (kafka, cluster) = of(&config);
        assert_eq!(cluster.reach().await.expect("it lets us in"), 1);
        let settings = Settings::new(kafka).expect("settings");
        let producer: FutureProducer = settings.producer().create().expect("a producer");
        let record = FutureRecord::<str, str>::to(&topic).partition(0).payload("x");
        producer.send(record, LIMIT).await.expect("the broker takes it");
        let place = Partition { topic: topic.clone(), number: 0 };
        let found = cluster.appended(&[(place.clone(), offset)].into(), View::Committed).await;
        let found = found.expect("times")[&place].expect("a record");
        assert_eq!(found.offset, offset, "{listener:?}");
    }
}

/// What is wrong: where, the lines under `kafka`, words of the reason, words of the way out.
fn wrongs(secure: &Secure) -> Vec<(String, String, &'static str, &'static str)> {
    // A connection that is closed is noticed while reading or writing, and described so.
    const PROTOCOL: &str = "security.protocol";
    const CERTIFICATE: &str = "; check that ssl.ca.location under `kafka.properties` holds the \
                               authority of the server's certificate, that the certificate is not \
                               over, and that it is for the name in `kafka.brokers`";
    const CLIENT: &str = "; the server does not take this client's certificate: check \
                          ssl.certificate.location and ssl.key.location";
    const LOGIN: &str = "; check sasl.mechanism, sasl.username and sasl.password under `kafka`";
    const TOKEN: &str = "; check sasl.oauthbearer.token.endpoint.url";
    use Listener::{Expired, Password, Plain, Tls, Token};
    let ca = secure.file("ca.pem");
    let at = |listener| secure.brokers(listener);
    let nobody = format!("http://127.0.0.1:{}/token", free_port());
    let nameless = format!("properties: {{ security.protocol: SSL, ssl.ca.location: {ca} }}");
    let other = way(secure, Token, PASSWORD).replace("client.id", "scope: other, client.id");
    let by_name = at(Tls).replace("127.0.0.1", "localhost");
    let of_machine = "properties: { security.protocol: SSL }".to_owned();
    let unhidden = way(secure, Password, PASSWORD).replace("SASL_SSL", "SASL_PLAINTEXT");
    vec![
        (at(Tls), way(secure, Plain, ""), "; check ", PROTOCOL),
        (at(Password), unhidden, "; check ", PROTOCOL),
        (at(Plain), way(secure, Tls, ""), "; check ", PROTOCOL),
        (at(Plain), way(secure, Password, PASSWORD), "; check ", PROTOCOL),
        (at(Password), way(secure, Tls, ""), "; check ", PROTOCOL),
        (at(Tls), tls(secure, "stranger-ca.pem", "client"), "verify failed", CERTIFICATE),
        (at(Tls), of_machine, "verify failed", CERTIFICATE),
        (at(Expired), way(secure, Expired, ""), "verify failed", CERTIFICATE),
        (by_name, way(secure, Tls, ""), "verify failed", CERTIFICATE),
        (at(Tls), nameless, "alert", CLIENT),
        (at(Tls), tls(secure, "ca.pem", "stranger"), "alert", CLIENT),
        (at(Tls), tls(secure, "ca.pem", "old"), "alert", CLIENT),
        (at(Password), way(secure, Password, WRONG), "invalid credentials", LOGIN),
        (at(Password), password(&ca, "SCRAM-SHA-512", "nobody", WRONG), "invalid cred", LOGIN),
        (at(Password), password(&ca, "PLAIN", USER, WRONG), "Invalid username", LOGIN),
        (at(Password), password(&ca, "SCRAM-SHA-256", USER, PASSWORD), "SCRAM-SHA-512,PL", LOGIN),
        (at(Token), way(secure, Token, WRONG), "invalid_client", TOKEN),
        (at(Token), token(&ca, &nobody, PASSWORD), "Could not connect to server", TOKEN),
        (at(Token), other, "invalid_token", TOKEN),
    ]
}

#[tokio::test]
async fn what_is_wrong_is_told_with_the_way_out() {
    if !full("what_is_wrong_is_told_with_the_way_out", "a broker with TLS") {
        return;
    }
    let mut all = JoinSet::new();
    for (brokers, kafka, reason, way_out) in wrongs(secure()) {
        all.spawn(async move {
            let config = configuration(&brokers, &kafka, INPUT);
            #[expect(clippy::disallowed_methods, reason = "how long a failure takes is tested")]
            let began = Instant::now();
            let said = of(&config).1.reach().await.expect_err("it lets us in").to_string();
            let took = began.elapsed();
            assert!(said.contains(reason), "{reason} is not in\n{said}\nof\n{kafka}");
            assert!(said.contains(way_out), "{way_out} is not in\n{said}\nof\n{kafka}");
            assert!(!said.contains(WRONG) && !said.contains(PASSWORD), "{said}");
            assert!(took < TOLD, "{took:?}: {said}");
        });
    }
    all.join_all().await;
}

#[test]
fn a_worker_takes_in_decides_and_sends_over_tls_with_a_password() {
    const NAME: &str = "a_worker_takes_in_decides_and_sends_over_tls_with_a_password";
    if !full(NAME, "a broker with TLS") {
        return;
    }
    let secure = secure();
    let site = Site::on(secure.kafka(), postgres(), 4, &[CART], "");
    site.write("password", &format!("{PASSWORD}\n"));
    let ca = secure.file("ca.pem");
    let text = site.read("waypost.yaml");
    let text = text.replace(
        "properties: {",
        &format!(
            "secret_files: {{ sasl.password: password }}\n  properties: {{ \
             security.protocol: SASL_SSL, sasl.mechanism: SCRAM-SHA-512, sasl.username: {USER}, \
             ssl.ca.location: {ca}, "
        ),
    );
    let brokers = secure.brokers(Listener::Password);
    site.write("waypost.yaml", &text.replace(&secure.brokers(Listener::Plain), &brokers));

    let worker = site.worker();
    let ann = [("id", "7001"), ("email", "ann@shop.example")];
    site.sends(&site.web, &[("a", consent("1", &ann)), ("a", cart_add("2", &ann, "c1"))]);
    let sent = "SELECT count(*) FROM deliveries WHERE status = 'sent'";
    site.wait_for("both mails", sent, |sent| sent == 2);
    // What came of them goes through Kafka, too.
    let outbox = "SELECT count(*) FROM outbox";
    site.wait_for("the outcomes to be written into Kafka", outbox, |rows| rows == 0);
    let doctor = site.done(&["doctor"]);
    assert!(doctor.stdout.contains("answers, with 1 server"), "{}", doctor.stdout);
    assert!(doctor.stdout.contains("this machine and Kafka agree"), "{}", doctor.stdout);
    let said = worker.stops();
    assert!(!said.contains(PASSWORD), "{said}");
    assert_eq!(site.verified()["messages"], 2);
    // Nobody writes ticks any more, by which Kafka's clock would be known.
    let doctor = site.done(&["doctor"]);
    assert!(!doctor.stdout.contains("this machine and Kafka"), "{}", doctor.stdout);

    // A password that is wrong, in the log and to whoever asks.
    site.write("password", WRONG);
    let traced = ["--log", "trace"];
    for (command, code) in [(&["config", "show"][..], 0), (&["doctor"], 1), (&["run"], 3)] {
        let done = site.run(&[&traced, command].concat());
        let said = format!("{}{}", done.stdout, done.stderr);
        assert_eq!(done.code, Some(code), "{command:?}: {said}");
        assert!(!said.contains(WRONG), "{command:?}: {said}");
        assert_eq!(said.contains("invalid credentials"), code != 0, "{command:?}: {said}");
    }
}

/// Nobody listens where the token would be got, so whoever asked for one would say so.
#[test]
fn secrets_of_variables_are_hidden_and_a_check_connects_to_nobody() {
    let folder = tempfile::tempdir().expect("a folder");
    let kafka = token("ca.pem", "http://127.0.0.1:9/token", "file-secret");
    let text = format!(
        "kafka: {{ brokers: '127.0.0.1:9', {kafka} }}\npostgres: {{ url: postgres://db/w }}\n\
         inputs: {{ {INPUT} }}\n"
    );
    std::fs::write(folder.path().join("waypost.yaml"), text).expect("a file");
    std::fs::write(folder.path().join("ca.pem"), CA).expect("a file");
    let call = |arguments: &[&str]| {
        let mut command = waypost();
        command.current_dir(folder.path()).args(["--log", "trace"]).args(arguments);
        command.env("WAYPOST_KAFKA_SECRETS_SASL_PASSWORD", "env-secret");
        command.env("WAYPOST_KAFKA_SECRETS_SSL_KEY_PASSWORD", "key-secret");
        let done = command.output().expect("waypost starts");
        let both = [done.stdout, done.stderr].concat();
        (String::from_utf8(both).expect("text"), done.status.code())
    };
    for arguments in [&["config", "show"][..], &["config", "show", "--json"], &["config", "check"]]
    {
        let (said, code) = call(arguments);
        assert_eq!(code, Some(0), "{said}");
        for secret in ["file-secret", "env-secret", "key-secret"] {
            assert!(!said.contains(secret), "{said}");
        }
        assert!(!said.contains("Failed to acquire"), "{said}");
    }
    let (said, code) = call(&["doctor"]);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("check sasl.oauthbearer.token.endpoint.url"), "{said}");
    for secret in ["file-secret", "env-secret", "key-secret"] {
        assert!(!said.contains(secret), "{said}");
    }
}

/// An authority.
const CA: &str = include_str!("../fixtures/tls/ca.pem");
