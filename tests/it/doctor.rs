//! `waypost doctor` and `waypost migrate`, as people call them.

use std::path::Path;
use std::process::Output;
use std::time::{Duration, Instant};

use sqlx::{Connection as _, Executor as _, PgConnection};
use waypost::config::Secret;

use crate::support::{block_on, free_port, kafka, postgres, waypost};

/// The longest that a server that does not answer may hold the doctor up.
const TOLD: Duration = Duration::from_secs(20);

/// A folder with this configuration, and the journeys that ship.
fn folder(configuration: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let text = format!(
        "journeys: {0}/journeys\ntemplates: {0}/templates\n{configuration}",
        here.display()
    );
    std::fs::write(folder.path().join("waypost.yaml"), text).expect("a file");
    folder
}

fn call(folder: &Path, arguments: &[&str]) -> Output {
    waypost().current_dir(folder).args(arguments).output().expect("waypost starts")
}

/// What the doctor says, and its exit code.
fn doctor(folder: &Path) -> (String, Option<i32>) {
    let output = call(folder, &["doctor"]);
    let said = String::from_utf8(output.stdout).expect("text");
    (format!("{said}{}", String::from_utf8_lossy(&output.stderr)), output.status.code())
}

/// Each of these lines stands there: status, check, and how its text goes on or what is in it.
fn expect(said: &str, lines: &[(&str, &str, &str)]) {
    for (status, check, words) in lines {
        let found = said.lines().any(|line| {
            let mut parts = line.split_whitespace();
            parts.next() == Some(*status) && parts.next() == Some(*check) && line.contains(words)
        });
        assert!(found, "no line `{status} {check} … {words}` in\n{said}");
    }
}

const SHOP: &str = "shops: { default: { name: Shop, sender: shop@shop.example, postal_address: Dam 1, \
     cart_url: https://shop.example/cart, public_url: https://mail.shop.example } }\n";

#[test]
fn an_embedded_worker_that_lacks_nothing() {
    let folder = folder(SHOP);
    let (said, code) = doctor(folder.path());
    assert_eq!(code, Some(0), "{said}");
    expect(
        &said,
        &[
            ("ok", "configuration", "waypost.yaml is read"),
            ("ok", "journeys", "of them live"),
            ("ok", "templates", ""),
            ("ok", "log", "data/log.db is not there yet"),
            ("ok", "state", "data/state.db is not there yet"),
            ("ok", "disk", "data can be written"),
            ("ok", "caught", "data/caught can be written"),
            ("ok", "public_url", "every shop has one"),
        ],
    );
    assert!(!folder.path().join("data").exists(), "nothing is changed");
    let output = call(folder.path(), &["doctor", "--json"]);
    for line in String::from_utf8(output.stdout).expect("text").lines() {
        let value: serde_json::Value = serde_json::from_str(line).expect("JSON");
        assert_eq!(value["status"], "ok", "{line}");
    }
}

#[test]
fn an_embedded_worker_that_lacks_much() {
    let folder = folder(
        "store: { partitions: 4, state: waypost.yaml }\ninputs: { erp: { format: mapping, mapping: none.yaml } }\n",
    );
    let log = folder.path().join("data/log.db");
    std::fs::create_dir(folder.path().join("data")).expect("a folder");
    let made = block_on(waypost::log::Log::open(&log, 2)).expect("a log");
    block_on(made.close()).expect("it closes");
    let (said, code) = doctor(folder.path());
    assert_eq!(code, Some(1), "{said}");
    expect(
        &said,
        &[
            ("error", "mappings", "inputs.erp: "),
            ("warning", "templates", "set shops.default.cart_url"),
            ("error", "log", "has 2 partitions, the configuration says 4: set `store.partitions`"),
            ("error", "state", "is not a SQLite database"),
            ("warning", "public_url", "shops.default.public_url is not set"),
        ],
    );
    std::fs::write(folder.path().join("waypost.yaml"), "store: { partitions: 0 }\n")
        .expect("a file");
    let (said, code) = doctor(folder.path());
    assert_eq!(code, Some(1), "{said}");
    expect(&said, &[("error", "configuration", "it has mistakes, shown above")]);
    assert!(said.contains("1 to 256 partitions"), "{said}");
}

#[test]
fn an_smtp_server_is_greeted_and_nobody_gets_a_mail() {
    use std::io::{BufRead as _, BufReader, Write as _};
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("a port").port();
    let heard = std::thread::spawn(move || {
        let mut heard = Vec::new();
        for login in ["235 welcome\r\n", "535 5.7.8 wrong\r\n"] {
            let (mut stream, _) = listener.accept().expect("a connection");
            stream.write_all(b"220 here\r\n").expect("it is heard");
            let mut lines = BufReader::new(stream.try_clone().expect("a stream")).lines();
            for reply in ["250-here\r\n250 AUTH PLAIN\r\n", login] {
                heard.push(lines.next().expect("a command").expect("text"));
                stream.write_all(reply.as_bytes()).expect("it is heard");
            }
            heard.extend(lines.map_while(Result::ok));
        }
        heard
    });
    let of = format!(
        "{SHOP}deliver: {{ email: smtp }}\n\
         smtp: {{ host: 127.0.0.1, port: {port}, tls: none, user: me, password: hidden }}\n"
    );
    let folder = folder(&of);
    let (said, code) = doctor(folder.path());
    assert_eq!(code, Some(0), "{said}");
    expect(
        &said,
        &[
            ("ok", "smtp", "answers, and the login is right"),
            ("warning", "audience", "nobody is written to"),
        ],
    );
    let (said, code) = doctor(folder.path());
    assert_eq!(code, Some(1), "{said}");
    expect(&said, &[("error", "smtp", "refuses (AUTH): 5.7.8 wrong; check smtp.host")]);
    assert!(!said.contains("hidden"), "{said}");
    let heard = heard.join().expect("the server ends");
    assert!(heard.iter().all(|line| !line.starts_with("MAIL")), "{heard:?}");
    // Nobody listens any more.
    let (said, _) = doctor(folder.path());
    expect(&said, &[("error", "smtp", "can't be used (connecting)")]);
}

fn production(brokers: &str, name: &str, url: &str, topic: &str) -> String {
    format!(
        "{SHOP}kafka: {{ brokers: '{brokers}', name: {name}, partitions: 2 }}\n\
         postgres: {{ url: '{url}' }}\ninputs: {{ web: {{ topic: {topic}, format: xdm }} }}\n"
    )
}

#[tokio::test]
async fn kafka_and_postgres_are_asked() {
    let append_time = [("message.timestamp.type", "LogAppendTime")];
    let web = kafka().topic("web", 3, &append_time).await;
    // A name that no other test has; the topic itself is not used.
    let name = kafka().topic("waypost", 1, &[]).await;
    let url = postgres().fresh_database();
    let folder = folder(&production(kafka().bootstrap(), &name, &url, &web));
    let (said, code) = doctor(folder.path());
    assert_eq!(code, Some(0), "{said}");
    expect(
        &said,
        &[
            ("ok", "kafka", "answers, with 1 server"),
            ("warning", "topic", &format!("topic {name}.log is not there yet")),
            ("warning", "topic", &format!("topic {name}.feedback is not there yet")),
            ("warning", "topic", &format!("topic {web} has one replica")),
            ("ok", "postgres", "answers, version "),
            ("ok", "clock", "agree within 2 s"),
            ("warning", "tables", "migration 1 was not applied"),
        ],
    );
    assert!(!said.contains(" disk "), "the SQLite files are not used:\n{said}");

    for _ in 0..2 {
        let output = call(folder.path(), &["migrate"]);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() && said.contains("is up to date"), "{said}");
    }
    let (said, _) = doctor(folder.path());
    expect(&said, &[("ok", "tables", "are as this build needs them")]);

    // A topic with the producers' times, and tables of another build.
    let create_time = kafka().topic("web", 1, &[]).await;
    let mut own = PgConnection::connect(&url).await.expect("the database is there");
    own.execute("UPDATE upgrade SET level = 99, build = '9.9.9'").await.expect("a row");
    let text = production(kafka().bootstrap(), &name, &url, &create_time);
    std::fs::write(folder.path().join("waypost.yaml"), text).expect("a file");
    let (said, code) = doctor(folder.path());
    assert_eq!(code, Some(1), "{said}");
    expect(
        &said,
        &[
            ("error", "topic", "message.timestamp.type=LogAppendTime"),
            ("error", "tables", "run Waypost 9.9.9 or a later one"),
        ],
    );
    let text = production(kafka().bootstrap(), &name, &format!("{url}_none"), &web);
    std::fs::write(folder.path().join("waypost.yaml"), text).expect("a file");
    let (said, _) = doctor(folder.path());
    expect(&said, &[("error", "postgres", "refuses the connection")]);
}

#[test]
fn servers_that_are_not_there_are_told_within_seconds() {
    let (no_kafka, no_postgres) = (free_port(), free_port());
    let password = Secret::new("hidden");
    let url = format!("postgres://waypost:{}@127.0.0.1:{no_postgres}/waypost", password.expose());
    let folder = folder(&production(&format!("127.0.0.1:{no_kafka}"), "waypost", &url, "shop.web"));
    #[expect(clippy::disallowed_methods, reason = "how long it takes is what is tested")]
    let began = Instant::now();
    let (said, code) = doctor(folder.path());
    assert!(began.elapsed() < TOLD, "{:?}\n{said}", began.elapsed());
    assert_eq!(code, Some(1), "{said}");
    expect(
        &said,
        &[
            ("error", "kafka", "Connection refused; check `kafka.brokers`"),
            ("error", "postgres", "can't be reached"),
        ],
    );
    assert!(!said.contains("hidden"), "{said}");
    let output = call(folder.path(), &["migrate"]);
    assert_eq!(output.status.code(), Some(3));
}

#[test]
fn a_property_that_kafka_clients_do_not_know_is_a_mistake_of_the_configuration() {
    let folder = folder(
        "kafka: { brokers: k, properties: { sasl.mechanizm: PLAIN } }\n\
         postgres: { url: postgres://db/waypost }\n\
         inputs: { web: { topic: shop.web, format: xdm } }\n",
    );
    let output = call(folder.path(), &["config", "check"]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("`sasl.mechanizm` under `kafka` can't be used"), "{said}");
}
