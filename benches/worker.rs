//! Events a second through the embedded worker: over HTTP to the answer, and to the checkpoint.
//!
//! `cargo bench --bench worker [-- EVENTS]`: a worker in this process, both files in a temporary
//! folder and made durable as in production; two clients post batches and wait for each answer.
//! All settings are the defaults, the journeys those that ship.
#![expect(clippy::print_stdout, reason = "figures are what it is for")]
#![expect(clippy::disallowed_methods, reason = "it measures time")]
#![expect(clippy::unwrap_used, reason = "a figure or nothing")]

mod size;

use std::fmt::Write;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::Deserialize;
use tokio::sync::{oneshot, watch};
use waypost::decode::Decoder;
use waypost::engine::Options as EngineOptions;
use waypost::identity::Identify;
use waypost::journey::{Rules, SourceFile};
use waypost::log::{Append, Control, Log, LogReader, Record};
use waypost::metrics::Metrics;
use waypost::store::{Ledger, Outgoing, SqliteLedger, SqliteStore};
use waypost::worker::{self, BODY_BYTES_MAX_DEFAULT, Backlog, Clock, Options, Parts, SystemClock};
use waypost::{config, release};

use size::{argument, size};

/// The allocator of the command.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const EVENTS: u64 = 300_000;
const BATCH: u64 = 1_000;
const CLIENTS: u64 = 2;
const EVENTS_PER_CUSTOMER: u64 = 20;
/// Between two looks at how far the lane is.
const LOOK: Duration = Duration::from_millis(20);

#[derive(Clone, Copy)]
enum Format {
    CloudEvents,
    Xdm,
}

/// What `POST /events` answers.
#[derive(Deserialize)]
struct Answer {
    accepted: u64,
}

fn main() {
    let events = argument().map_or(size(EVENTS), |events| {
        events.replace(',', "").parse().expect("a number of events")
    });
    measure("CloudEvents", Format::CloudEvents, events);
    measure("XDM", Format::Xdm, events);
}

fn measure(name: &str, format: Format, events: u64) {
    let bodies: Vec<Vec<String>> = (0..CLIENTS)
        .map(|client| {
            let batches = (0..events / BATCH).filter(|batch| batch % CLIENTS == client);
            batches.map(|batch| body(format, batch, events / EVENTS_PER_CUSTOMER)).collect()
        })
        .collect();
    let rows: u64 = bodies.iter().map(|bodies| bodies.len() as u64 * BATCH).sum();
    bare(name, &bodies, rows);
    let folder = tempfile::tempdir().unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let (stopper, stop) = watch::channel(false);
    let (said, address) = oneshot::channel();
    let (parts, log, state) = runtime.block_on(parts(folder.path()));
    let running = runtime.spawn(worker::run(parts, stop, move |address| {
        said.send(address.unwrap()).unwrap();
    }));
    let address = runtime.block_on(address).unwrap();
    let started = Instant::now();
    let accepted: u64 = std::thread::scope(|scope| {
        let clients: Vec<_> =
            bodies.iter().map(|bodies| scope.spawn(move || client(address, bodies))).collect();
        clients.into_iter().map(|client| client.join().unwrap()).sum()
    });
    report(name, "answered 202", rows, started.elapsed());
    assert_eq!(accepted, rows, "every event is accepted");
    runtime.block_on(applied(&log, &state, false));
    report(name, "in a checkpoint", rows, started.elapsed());
    runtime.block_on(applied(&log, &state, true));
    report(name, "applied, grace included", rows, started.elapsed());
    stopper.send_replace(true);
    runtime.block_on(running).unwrap().unwrap();
    let bytes =
        |file: &str| std::fs::metadata(folder.path().join(file)).map_or(0, |file| file.len());
    let size = |file: &str| (bytes(file) + bytes(&format!("{file}-wal"))) / rows;
    println!(
        "{name:12} {} bytes an event in the log's files, {} in the state's",
        size("log.db"),
        size("state.db")
    );
}

/// What a parse alone costs on one core.
fn bare(name: &str, bodies: &[Vec<String>], rows: u64) {
    let started = Instant::now();
    for line in bodies.iter().flatten().flat_map(|body| body.lines()) {
        std::hint::black_box(serde_json::from_str::<serde::de::IgnoredAny>(line).unwrap());
    }
    report(name, "bare parse", rows, started.elapsed());
}

fn report(name: &str, what: &str, rows: u64, elapsed: Duration) {
    let seconds = elapsed.as_secs_f64();
    println!(
        "{name:12} {what:32} {:>9.0} events/s ({rows} in {seconds:.2} s)",
        rows as f64 / seconds
    );
}

/// A worker with the defaults of `waypost run` and the shipped journeys in force.
async fn parts(folder: &Path) -> (Parts<SystemClock>, LogReader, SqliteLedger) {
    let config = config::load(None).unwrap().0.unwrap();
    let clock = SystemClock;
    let mut log = Log::open(&folder.join("log.db"), 1).await.unwrap();
    let store = Arc::new(SqliteStore::open(&folder.join("state.db")).await.unwrap());
    let journeys = Path::new(env!("CARGO_MANIFEST_DIR")).join("journeys");
    let mut sources: Vec<SourceFile> = Vec::new();
    for entry in std::fs::read_dir(journeys).unwrap() {
        let path = entry.unwrap().path();
        let text = std::fs::read_to_string(&path).unwrap();
        sources.push(SourceFile::new(path.display().to_string(), text));
    }
    let (id, files) = release::pack(&sources, &[], &Rules::default()).unwrap();
    let at = clock.now();
    log.put_release(id, &files, at).await.unwrap();
    let records = vec![Record::Control(Box::new(Control { release: id, at }))];
    log.append(Append { at, records, ..Append::default() }).await.unwrap();
    let reader = log.reader();
    let timeline = release::timeline(&reader, None, EngineOptions::default()).await.unwrap();
    let options = Options {
        token: None,
        body_bytes_max: BODY_BYTES_MAX_DEFAULT,
        sources: vec![("http".to_owned(), Decoder::default())],
        stdin: None,
        tick_ms: config.ticks.every_ms.unsigned_abs(),
        grace_ms: size(config.ticks.grace_ms.unsigned_abs()).cast_signed(),
        checkpoint_records: config.checkpoint.records as usize,
        cache_bytes: usize::try_from(config.cache_bytes).unwrap(),
        keep: None,
    };
    let listener = worker::listen("127.0.0.1:0".parse().unwrap(), None).await.unwrap();
    let ledger = store.ledger().clone();
    let identify = Identify::stored(log.identity_key());
    let backlog = Backlog::of(&log).await.unwrap();
    let parts = Parts {
        sending: None,
        log,
        store,
        identify,
        clock,
        timelines: vec![timeline],
        listener: Some(listener),
        backlog,
        metrics: Arc::new(Metrics::new(Arc::new(|| SystemClock.now()))),
        options,
    };
    (parts, reader, ledger)
}

/// Posts bodies on one connection, each once the last one is answered; how many were accepted.
fn client(address: SocketAddr, bodies: &[String]) -> u64 {
    let agent = ureq::Agent::new_with_defaults();
    let url = format!("http://{address}/events");
    let mut accepted = 0;
    for body in bodies {
        let mut response = agent.post(&url).send(body.as_bytes()).unwrap();
        assert_eq!(response.status(), 202);
        let answer = response.body_mut().read_to_string().unwrap();
        accepted += serde_json::from_str::<Answer>(&answer).unwrap().accepted;
    }
    accepted
}

/// Returns once a checkpoint covers what the log holds by now: read into the lane's state, or
/// applied, too.
async fn applied(log: &LogReader, state: &SqliteLedger, wholly: bool) {
    let end = log.end(0).await.unwrap();
    loop {
        let lanes = state.lanes().await.unwrap();
        let position = lanes.first().map(|lane| lane.position);
        if position.is_some_and(|at| if wholly { at.low >= end } else { at.end >= end }) {
            return;
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// A batch of a shop's traffic, a record a line. The records carry no time: they happen when they
/// are taken in.
fn body(format: Format, batch: u64, customers: u64) -> String {
    let mut body = String::new();
    for number in batch * BATCH..(batch + 1) * BATCH {
        let mixed = number.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 20;
        let (customer, sku) = (mixed % customers.max(1), mixed / 7 % 2_000);
        let written = match format {
            Format::CloudEvents => cloud_event(&mut body, number, customer, sku, mixed / 3 % 20),
            Format::Xdm => xdm(&mut body, number, customer, sku, mixed / 3 % 20),
        };
        written.unwrap();
    }
    body
}

fn cloud_event(
    out: &mut String,
    number: u64,
    customer: u64,
    sku: u64,
    dice: u64,
) -> std::fmt::Result {
    let name = match dice {
        0..10 => "product.viewed",
        10..16 => "cart.item_added",
        16..18 => "cart.item_removed",
        18 => "checkout.started",
        _ => "order.placed",
    };
    writeln!(
        out,
        r#"{{"specversion":"1.0","id":"e{number}","source":"shop","type":"{name}","data":{{"customer":{{"id":"{customer}"}},"channel":"web","items":[{{"sku":"sku-{sku:05}","name":"Product {sku}","quantity":1,"price":"{}.95","currency":"EUR"}}]}}}}"#,
        sku % 90 + 5,
    )
}

fn xdm(out: &mut String, number: u64, customer: u64, sku: u64, dice: u64) -> std::fmt::Result {
    let (name, fact) = match dice {
        0..10 => ("productViews", ""),
        10..16 => ("productListAdds", ",\"cart\":{\"cartID\":\"CART\"}"),
        16..18 => ("productListRemovals", ",\"cart\":{\"cartID\":\"CART\"}"),
        18 => ("checkouts", ",\"cart\":{\"cartID\":\"CART\"}"),
        _ => ("purchases", ",\"order\":{\"purchaseID\":\"ORDER\",\"currencyCode\":\"EUR\"}"),
    };
    let fact = fact.replace("CART", &customer.to_string()).replace("ORDER", &number.to_string());
    writeln!(
        out,
        r#"{{"_id":"4b41703f-e42e-485b-8d63-{number:012x}","eventType":"commerce.{name}","identityMap":{{"ECID":[{{"id":"84281643067178465783746543{customer:012}","primary":true}}]}},"channel":{{"_id":"https://ns.adobe.com/xdm/channels/web"}},"commerce":{{"commerceScope":{{"websiteCode":"base","storeViewCode":"default"}},"{name}":{{"value":1}}{fact}}},"productListItems":[{{"SKU":"sku-{sku:05}","name":"Product {sku}","quantity":1,"priceTotal":{}.95,"currencyCode":"EUR"}}]}}"#,
        sku % 90 + 5,
    )
}
