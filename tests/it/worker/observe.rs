//! What operators see of a worker: metrics, whether it is ready, logs, traces, its end.

use std::io::Write as _;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::Stdio;
use std::sync::{Arc, Mutex, mpsc};

use serde_json::{Value, json};

use super::events::{cart_add, consent, customer, event_at, order, plain};
use super::shop::{Shop, Worker, get, now, wait};
use super::{CART, THANKS};

const ANN: &[(&str, &str)] = &[("id", "7001"), ("email", "ann@shop.example")];

/// The value of a series of `GET /metrics`, as it is named there; `None` if there is none.
pub(crate) fn metric(worker: &Worker, series: &str) -> Option<f64> {
    let (status, text) = get(worker.url(), "/metrics").expect("an answer");
    assert_eq!(status, 200, "{text}");
    let line = text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '))?;
    Some(line.parse().expect("a number"))
}

/// Waits until a series has a value that is as wanted.
pub(crate) fn wait_for_metric(worker: &Worker, series: &str, wanted: impl Fn(f64) -> bool) {
    wait(series, || metric(worker, series).is_some_and(&wanted));
}

#[test]
fn what_the_worker_does_is_counted() {
    let shop = Shop::new(1, &[CART]);
    let worker = shop.start();
    let bob: &[(&str, &str)] = &[("id", "7002"), ("email", "bob@shop.example")];
    // Bob gave no consent, and buys before the second reminder of Ann is due.
    let body = [consent("1", ANN), cart_add("2", ANN, "c1"), cart_add("3", bob, "c2")].join("\n");
    worker.takes(&body);
    worker.post("/events", b"{\"specversion\": broken");
    shop.wait_for("two mails", "SELECT count(*) FROM deliveries WHERE status = 'sent'", |n| n == 2);
    let decided = |status: &str, reason: &str| {
        format!(
            "waypost_messages_decided_total{{journey=\"abandoned-cart\",status=\"{status}\",reason=\"{reason}\"}}"
        )
    };
    wait_for_metric(&worker, &decided("decided", ""), |count| count == 2.0);
    wait_for_metric(&worker, &decided("withheld", "consent"), |count| count >= 1.0);
    let sent = "waypost_deliveries_total{channel=\"email\",status=\"sent\"}";
    wait_for_metric(&worker, sent, |count| count == 2.0);
    let exactly = |series: &str| metric(&worker, series).unwrap_or_else(|| panic!("no {series}"));
    assert_eq!(exactly("waypost_records_taken_in_total{source=\"http\"}"), 4.0);
    assert_eq!(exactly("waypost_dead_letters_total{source=\"http\"}"), 1.0);
    assert_eq!(exactly("waypost_lanes_held"), 1.0);
    assert_eq!(exactly("waypost_states_resident"), 2.0);
    assert!(exactly("waypost_cache_bytes") > 0.0);
    // Beside the three events their outcomes are applied.
    assert!(exactly("waypost_records_applied_total") >= 3.0);
    assert!(exactly("waypost_checkpoint_duration_seconds_count") >= 3.0);
    let age = exactly("waypost_watermark_age_seconds{partition=\"0\"}");
    assert!((0.0..30.0).contains(&age), "{age}");
    let (_, text) = get(worker.url(), "/metrics").expect("an answer");
    assert!(!text.contains("ann@") && !text.contains("7001"), "{text}");
    worker.stops();
}

#[test]
fn a_reminder_that_an_earlier_order_overtook_is_counted_and_told() {
    let shop = Shop::new(1, &[CART]);
    let worker = shop.start();
    worker.takes(&[consent("1", ANN), cart_add("2", ANN, "c1")].join("\n"));
    let sent = "SELECT count(*) FROM messages WHERE outcome = 'email.sent'";
    shop.wait_for("the first mail", sent, |count| count >= 1);
    let due = shop.count("data/state.db", "SELECT min(at) FROM messages");
    let overtaken = "waypost_reminders_overtaken_total{journey=\"abandoned-cart\"}";
    assert_eq!(metric(&worker, overtaken), None);
    // It had happened just before the mail was due, and is told of now.
    let at = waypost::model::Timestamp::from_ms(due - 10);
    let bought = json!({ "id": "o1", "total": "30", "currency": "EUR" });
    let late = json!({ "customer": customer(ANN), "order": bought });
    worker.takes(&event_at("3", "order.placed", at, late));
    // More than one, if meanwhile the second mail has gone, too.
    wait_for_metric(&worker, overtaken, |count| count >= 1.0);
    worker.stops();
    let why = shop.run(&["why", "7001"]).stdout;
    assert!(why.contains("had sent a message when order.placed became known"), "{why}");
    shop.verified();
}

#[test]
fn a_worker_says_that_it_lives_and_works() {
    let shop = Shop::new(1, &[CART]);
    let worker = shop.start();
    assert_eq!(get(worker.url(), "/healthz"), Some((200, "ok\n".to_owned())));
    wait("the first tick", || {
        get(worker.url(), "/readyz").is_some_and(|(status, _)| status == 200)
    });
    // While standard time passes, it stays so; the token is not asked for.
    assert_eq!(get(worker.url(), "/readyz"), Some((200, "ready\n".to_owned())));
    worker.stops();
}

#[test]
fn logs_are_lines_of_json_without_anybodys_address() {
    let shop = Shop::new(1, &[CART, THANKS]);
    let args = ["--log", "debug", "--log-format", "json", "run"];
    let worker = shop.start_with(&args, Stdio::null()).expect("it starts");
    worker.takes(&[consent("1", ANN), order("2", ANN, "o1")].join("\n"));
    shop.wait_for("the mail", "SELECT count(*) FROM deliveries WHERE status = 'sent'", |n| n == 1);
    let done = worker.stop();
    assert_eq!(done.code, Some(0), "{}", done.stderr);
    assert!(!done.stderr.contains("ann@"), "{}", done.stderr);
    let mut said = Vec::new();
    for line in done.stderr.lines() {
        let line: Value = serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}"));
        assert!(line["timestamp"].is_string() && line["level"].is_string(), "{line}");
        said.push(line["message"].as_str().unwrap_or_default().to_owned());
    }
    assert!(said.iter().any(|said| said == "checkpoint"), "{said:?}");
    assert_eq!(said.last().map(String::as_str), Some("stopped"));
}

/// A mail server that takes connections and says nothing until it is told to hang up.
pub(crate) struct Silent {
    address: SocketAddr,
    connected: mpsc::Receiver<()>,
    held: Arc<Mutex<Option<Vec<TcpStream>>>>,
}

impl Silent {
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("its address");
        let held = Arc::new(Mutex::new(Some(Vec::new())));
        let (found, connected) = mpsc::channel();
        let keeps = Arc::clone(&held);
        std::thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                if let Some(held) = keeps.lock().expect("nobody panicked").as_mut() {
                    held.push(client);
                }
                let _ = found.send(());
            }
        });
        Self { address, connected, held }
    }

    /// The lines of the configuration that send there.
    pub(crate) fn configuration(&self) -> String {
        let port = self.address.port();
        format!(
            "shops: {{ default: {{ name: Fernhill, sender: shop@fernhill.example, \
             postal_address: 1 Dam, public_url: \"https://mail.fernhill.example\" }} }}\n\
             deliver: {{ email: smtp, only_to: [ ann@shop.example ] }}\n\
             smtp: {{ host: 127.0.0.1, port: {port}, tls: none }}\n"
        )
    }

    /// Waits until somebody has connected.
    pub(crate) fn wait(&self) {
        self.connected.recv().expect("somebody connects");
    }

    fn hang_up(&self) {
        self.held.lock().expect("nobody panicked").take();
    }
}

#[test]
fn a_stop_says_what_it_waits_for() {
    let server = Silent::start();
    let shop = Shop::new(1, &[THANKS]);
    shop.configure(1, &server.configuration());
    let worker = shop.start();
    worker.takes(&[consent("1", ANN), order("2", ANN, "o1")].join("\n"));
    server.wait();
    worker.signal();
    wait("what it waits for", || {
        worker.said().contains("stopping: waiting for 1 message that is being handed over")
    });
    server.hang_up();
    let done = worker.ended();
    assert_eq!(done.code, Some(0), "{}", done.stderr);
    let waiting = "SELECT count(*) FROM deliveries WHERE status = 'waiting'";
    assert_eq!(shop.count("data/state.db", waiting), 1, "it had not gone");
    shop.verified();
}

/// A collector of traces: what it was posted, whole.
pub(crate) struct Collector {
    address: SocketAddr,
    got: Arc<Mutex<Vec<u8>>>,
}

impl Collector {
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("its address");
        let got = Arc::new(Mutex::default());
        let keeps = Arc::clone(&got);
        std::thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let keeps: Arc<Mutex<Vec<u8>>> = Arc::clone(&keeps);
                std::thread::spawn(move || collect(client, &keeps));
            }
        });
        Self { address, got }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Whether a text stands in what it was posted. Protobuf keeps texts as they are.
    pub(crate) fn has(&self, text: &str) -> bool {
        let got = self.got.lock().expect("nobody panicked");
        got.windows(text.len()).any(|window| window == text.as_bytes())
    }
}

/// Reads one request with its body, and answers that all is well.
fn collect(mut client: TcpStream, keeps: &Mutex<Vec<u8>>) -> Option<()> {
    use std::io::Read as _;
    let mut request = Vec::new();
    let mut piece = [0_u8; 4096];
    loop {
        let read = client.read(&mut piece).ok().filter(|read| *read > 0)?;
        request.extend_from_slice(&piece[..read]);
        let Some(head) = request.windows(4).position(|four| four == b"\r\n\r\n") else { continue };
        let text = String::from_utf8_lossy(&request[..head]).to_ascii_lowercase();
        let length = text.lines().find_map(|line| line.strip_prefix("content-length: "));
        let length: usize = length.and_then(|length| length.trim().parse().ok())?;
        if request.len() >= head + 4 + length {
            break;
        }
    }
    keeps.lock().expect("nobody panicked").extend_from_slice(&request);
    client.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").ok()
}

#[test]
fn traces_go_to_the_collector_and_say_nobodys_address() {
    let collector = Collector::start();
    let shop = Shop::new(1, &[THANKS]);
    shop.configure(1, &format!("telemetry: {{ otlp: \"{}\" }}\n", collector.url()));
    let worker = shop.start();
    worker.takes(&[consent("1", ANN), order("2", ANN, "o1")].join("\n"));
    shop.wait_for("the mail", "SELECT count(*) FROM deliveries WHERE status = 'sent'", |n| n == 1);
    let said = worker.stops();
    assert!(!said.contains("traces are lost"), "{said}");
    for text in [
        "POST /v1/traces",
        "waypost",
        "POST /events",
        "ingest batch",
        "checkpoint",
        "delivery attempt",
    ] {
        assert!(collector.has(text), "no `{text}` in the traces");
    }
    assert!(!collector.has("ann@") && !collector.has("7001"));
}

#[test]
fn a_collector_that_is_away_is_told_of_once_and_holds_nothing_up() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("its address");
    drop(taken);
    let shop = Shop::new(1, &[CART]);
    let command = &mut shop.command(&["run"]);
    command.env("OTEL_EXPORTER_OTLP_ENDPOINT", format!("http://{address}"));
    let worker = shop.spawn(command, Stdio::null()).expect("it starts");
    worker.takes(&plain("1", "page.viewed", ANN));
    let since = now();
    let said = worker.stops();
    assert!(now().since_ms(since) < 20_000);
    assert_eq!(said.matches("traces are lost").count(), 1, "{said}");
}
