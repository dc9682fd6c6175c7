//! Events replayed a second, beside a bare serde_json parse of the same file in the same run.
//!
//! `cargo bench --bench replay [-- EVENTS]`: the files are made here, seeded, in a temporary
//! folder. `-- FILE` takes a workload of your own. What its replay decides is counted by a
//! calculation of its own.
#![expect(clippy::print_stdout, reason = "figures are what it is for")]
#![expect(clippy::disallowed_methods, reason = "it measures time")]
#![expect(clippy::unwrap_used, reason = "a figure or nothing")]

mod size;

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde::Deserialize;
use serde::de::IgnoredAny;
use waypost::decode::{Decoder, Mapping};
use waypost::engine::Decision;
use waypost::generate::{self, generate};
use waypost::journey::{Catalog, Rules, SourceFile, compile};
use waypost::model::{DAY_MS, HOUR_MS, Timestamp};
use waypost::replay::{FLUSH_ROWS, Input, Options, Summary, Watch, replay, write_line};

use size::{argument, size};

/// The allocator of the command.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const EVENTS: u64 = 1_000_000;
/// The workload: so many events a customer, in so many days, from 2026-01-01 on.
const EVENTS_PER_CUSTOMER: usize = 20;
const DAYS: i64 = 3;
const START_MS: i64 = 1_767_225_600_000;
/// A visit has at most so many events, and between two of them up to twice this pause.
const VISIT_EVENTS: usize = 16;
const VISIT_PAUSE_MS: usize = 60_000;
/// The shop of the XDM file.
const XDM_CUSTOMERS: u64 = 3_000;
const XDM_DAYS: u32 = 7;

fn main() {
    let argument = argument();
    let folder = tempfile::tempdir().unwrap();
    let made = folder.path().join("workload.ndjson");
    let events = argument
        .as_ref()
        .map_or(Ok(size(EVENTS) as usize), |events| events.replace(',', "").parse());
    match (events, &argument) {
        (Ok(events), _) => {
            write_workload(&made, events);
            workload(&made);
        }
        (Err(_), Some(file)) => workload(Path::new(file)),
        (Err(error), None) => panic!("{error}"),
    }
    xdm(&folder.path().join("xdm.ndjson"));
}

/// The workload through a mapping and one journey.
fn workload(path: &Path) {
    let (expected, last) = calculated(path);
    let bare = bare::<Row<'_>>("workload, bare parse", path);
    let input = Input {
        path: path.to_owned(),
        decoder: Decoder::Mapped(Mapping::load(&example("mappings/workload-ndjson.yaml")).unwrap()),
        arrival_delay_ms: 0,
        history: false,
    };
    let end = Timestamp::from_ms(last + 10 * DAY_MS);
    let (elapsed, sink, summary) = replayed(&[example("journeys/workload.yaml")], input, Some(end));
    report("workload, replay", summary.events, elapsed, Some(bare));
    assert_eq!(summary.dead, 0, "every row is an event");
    assert_eq!((sink.first, sink.second), expected, "the journey decides what the rules say");
    println!("  {} reminders and {} second ones, as calculated", sink.first, sink.second);
}

/// A generated shop through the shipped journeys.
fn xdm(path: &Path) {
    let options = generate::Options {
        customers: u32::try_from(size(XDM_CUSTOMERS)).unwrap(),
        days: XDM_DAYS,
        seed: 7,
        start: Timestamp::from_ms(START_MS),
    };
    generate(&options, &mut File::create(path).unwrap(), &mut |_, _| {}).unwrap();
    let bare = bare::<IgnoredAny>("XDM, bare parse", path);
    let input = Input {
        path: path.to_owned(),
        decoder: Decoder::default(),
        arrival_delay_ms: 0,
        history: false,
    };
    let mut journeys: Vec<PathBuf> =
        std::fs::read_dir(root().join("journeys")).unwrap().map(|e| e.unwrap().path()).collect();
    journeys.retain(|file| file.extension().is_some_and(|extension| extension == "yaml"));
    journeys.sort();
    let (elapsed, sink, summary) = replayed(&journeys, input, None);
    report("XDM, replay", summary.events, elapsed, Some(bare));
    println!("  {} decisions of {} journeys", sink.lines, journeys.len());
}

/// Replays a file; its lines are written and thrown away.
fn replayed(
    journeys: &[PathBuf],
    input: Input,
    until: Option<Timestamp>,
) -> (Duration, Sink, Summary) {
    let sources: Vec<SourceFile> = journeys
        .iter()
        .map(|file| {
            SourceFile::new(file.display().to_string(), std::fs::read_to_string(file).unwrap())
        })
        .collect();
    let (plans, mistakes) = compile(&sources, None);
    assert!(!mistakes.has_errors(), "{}", mistakes.render(false));
    let options = Options {
        inputs: vec![input],
        topics: None,
        until,
        grace_ms: 10_000,
        assume_reachable: true,
        key: [7; 32],
        flush_rows: FLUSH_ROWS,
    };
    let mut sink = Sink::default();
    let started = Instant::now();
    let summary = replay(Catalog::new(plans, Rules::default()), &options, &mut sink).unwrap();
    (started.elapsed(), sink, summary)
}

/// Counts the lines it writes to nowhere.
#[derive(Default)]
struct Sink {
    lines: u64,
    first: u64,
    second: u64,
}

impl Watch for Sink {
    fn decision(&mut self, decision: &Decision) -> std::io::Result<()> {
        self.lines += 1;
        self.first += u64::from(decision.step == "first" && decision.withheld.is_none());
        self.second += u64::from(decision.step == "second" && decision.withheld.is_none());
        write_line(decision, &mut std::io::sink())
    }
}

/// A row of the workload, borrowed.
#[derive(Deserialize)]
struct Row<'a> {
    _id: &'a str,
    r#type: &'a str,
    #[serde(rename = "customerId")]
    customer_id: &'a str,
    timestamp: i64,
    sku: &'a str,
    price: f64,
    quantity: i64,
}

/// What a parse alone costs: the file read, each record parsed, nothing kept. A shop's file also
/// holds broken lines.
fn bare<'a, T: Deserialize<'a> + 'a>(name: &str, path: &Path) -> f64 {
    let started = Instant::now();
    // Leaked so that records may borrow from it; two files, once.
    let bytes: &'static [u8] = std::fs::read(path).unwrap().leak();
    let mut rows = 0;
    for line in bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
        rows += 1;
        drop(std::hint::black_box(serde_json::from_slice::<T>(line)));
    }
    let elapsed = started.elapsed();
    report(name, rows, elapsed, None);
    rows as f64 / elapsed.as_secs_f64()
}

fn report(name: &str, rows: u64, elapsed: Duration, bare: Option<f64>) {
    let rate = rows as f64 / elapsed.as_secs_f64();
    let ratio =
        bare.map_or(String::new(), |bare| format!(", {:.2} of the bare parse", rate / bare));
    println!("{name:24} {rate:>10.0} events/s ({rows} in {:.2} s{ratio})", elapsed.as_secs_f64());
}

/// Writes a seeded workload: customers come for visits of some minutes each.
fn write_workload(path: &Path, events: usize) {
    let mut dice = Dice(1);
    let customers = (events / EVENTS_PER_CUSTOMER).max(1);
    let mut times: Vec<(i64, usize)> = Vec::with_capacity(events);
    while times.len() < events {
        let customer = dice.below(customers);
        let mut at = START_MS + dice.below((DAYS * DAY_MS) as usize) as i64;
        for _ in 0..=dice.below(VISIT_EVENTS).min(events - times.len() - 1) {
            times.push((at, customer));
            at += 1 + dice.below(2 * VISIT_PAUSE_MS) as i64;
        }
    }
    times.sort_unstable();
    let mut in_cart: Vec<usize> = vec![0; customers];
    let mut out = BufWriter::with_capacity(1 << 20, File::create(path).unwrap());
    let mut last = 0;
    for (number, (at, customer)) in times.into_iter().enumerate() {
        last = at.max(last + 1);
        let (mut sku, mut quantity) = (dice.below(2_000), 0);
        let kind = match dice.below(50) {
            0..35 => "productPageView",
            35..44 => "addToCart",
            44 => "removeFromCart",
            45..47 => "startCheckout",
            _ => "orderPlaced",
        };
        match kind {
            "addToCart" => (quantity, in_cart[customer]) = (1 + dice.below(2), sku),
            "removeFromCart" => (quantity, sku) = (1, in_cart[customer]),
            _ => {}
        }
        let cents = 100 + sku * 7_919 % 9_900;
        writeln!(
            out,
            "{{\"_id\":\"e{number:010}\",\"type\":\"{kind}\",\"customerId\":\"c{customer:07}\",\
             \"timestamp\":{last},\"sku\":\"sku-{sku:05}\",\"price\":{}.{:02},\"quantity\":{quantity}}}",
            cents / 100,
            cents % 100,
        )
        .unwrap();
    }
    out.flush().unwrap();
}

/// How many first and second reminders the rules at the head of `examples/journeys/workload.yaml`
/// ask for, and the last event's time.
fn calculated(path: &Path) -> ((u64, u64), i64) {
    let text = std::fs::read_to_string(path).unwrap();
    let mut customers: BTreeMap<&str, Customer<'_>> = BTreeMap::new();
    let (mut counted, mut last) = ((0, 0), 0);
    for line in text.lines() {
        let row: Row<'_> = serde_json::from_str(line).unwrap();
        last = row.timestamp;
        customers.entry(row.customer_id).or_default().happens(&row, &mut counted);
    }
    for customer in customers.values_mut() {
        customer.pass(i64::MAX, &mut counted);
    }
    (counted, last)
}

#[derive(Default)]
struct Customer<'a> {
    /// Product, quantity, and the price in cents.
    cart: Vec<(&'a str, i64, i64)>,
    /// 0, or which reminder is due next, and when.
    step: u8,
    due: i64,
}

impl<'a> Customer<'a> {
    fn happens(&mut self, row: &Row<'a>, counted: &mut (u64, u64)) {
        self.pass(row.timestamp, counted);
        let line = self.cart.iter().position(|line| line.0 == row.sku);
        match (row.r#type, line) {
            ("addToCart", line) => {
                match line {
                    Some(line) => self.cart[line].1 += row.quantity,
                    None => {
                        let cents = (row.price * 100.0).round() as i64;
                        self.cart.push((row.sku, row.quantity, cents));
                    }
                }
                let total: i64 = self.cart.iter().map(|line| line.1 * line.2).sum();
                if self.step == 0 && total >= 2_000 {
                    self.step = 1;
                }
            }
            ("removeFromCart", Some(line)) => {
                self.cart[line].1 -= row.quantity;
                if self.cart[line].1 <= 0 {
                    self.cart.remove(line);
                }
            }
            ("orderPlaced", _) => {
                self.cart.clear();
                self.step = 0;
            }
            ("removeFromCart" | "startCheckout", _) => {}
            _ => return,
        }
        if self.step == 1 {
            self.due = row.timestamp + HOUR_MS;
        }
    }

    /// Lets time pass up to an instant, which is not reached.
    fn pass(&mut self, now: i64, counted: &mut (u64, u64)) {
        while self.step > 0 && self.due < now {
            match (self.step, self.cart.is_empty()) {
                (1, false) => {
                    counted.0 += 1;
                    (self.step, self.due) = (2, self.due + 24 * HOUR_MS);
                }
                (_, empty) => {
                    counted.1 += u64::from(!empty);
                    self.step = 0;
                }
            }
        }
    }
}

/// Xorshift: the same numbers on every machine.
struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as usize % limit
    }
}

fn example(name: &str) -> PathBuf {
    root().join("examples").join(name)
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}
