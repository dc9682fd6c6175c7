//! Recorded traffic of real shops through journeys, held against calculations that are simple
//! enough to be believed.
//!
//! The files are public data sets that are no part of the project. They are looked for in the
//! folder that `TESTS_SHARED_DATA` names, else in `../shared/data` beside the crate. Where one
//! is absent, the test that needs it says that it was left out.

mod carts;
mod firehose;
mod flushes;
mod late;
mod luma;
mod orders;
mod plain;
mod settle;
mod taobao;
mod workload;

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;
use waypost::decode::{Decoder, Mapping};
use waypost::engine::{Decision, Reason, Trace, TraceKind};
use waypost::journey::{Catalog, Rules, SourceFile, compile};
use waypost::model::{CustomerId, Timestamp};
use waypost::replay::{FLUSH_ROWS, Input, Options, Summary, Watch, replay, write_line};

use plain::{plain_decisions, plain_journey};

use crate::support::shared_data;

const SECOND: i64 = 1_000;
const MINUTE: i64 = 60 * SECOND;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;
/// How far out of order a row may stand: the default.
const GRACE: i64 = 10 * SECOND;

/// The path of a shared file, if it is there; else says which test is left out.
fn shared(test: &str, name: &str) -> Option<PathBuf> {
    shared_data(&format!("real::{test}"), name)
}

/// One row of a shop's log, as the tests calculate with it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Row {
    at: i64,
    what: String,
    sku: String,
    price: String,
    user: String,
    quantity: String,
    order: String,
}

impl Row {
    fn new(at: i64, what: &str, user: &str) -> Self {
        Self {
            at,
            what: what.to_owned(),
            sku: "1".to_owned(),
            price: String::new(),
            user: user.to_owned(),
            quantity: String::new(),
            order: String::new(),
        }
    }

    fn is_cart(&self) -> bool {
        self.what == "cart"
    }

    fn is_purchase(&self) -> bool {
        self.what == "purchase"
    }
}

/// Reads a shared file by another reader than ours.
fn read_rows(path: &Path) -> Vec<Row> {
    let mut text = String::new();
    let file = std::fs::File::open(path).expect("a file");
    flate2::read::GzDecoder::new(file).read_to_string(&mut text).expect("gzip");
    csv::Reader::from_reader(text.as_bytes())
        .records()
        .map(|record| {
            let record = record.expect("a row");
            let field = |place: usize| record.get(place).expect("a field").to_owned();
            Row {
                at: field(0).parse::<jiff::Timestamp>().expect("a time").as_millisecond(),
                what: field(1),
                sku: field(2),
                price: field(6),
                user: field(7),
                quantity: field(9),
                order: field(10),
            }
        })
        .collect()
}

/// The rows as a file of the same columns.
fn write_rows(rows: &[Row]) -> NamedTempFile {
    let mut text = String::from(
        "event_time,event_type,product_id,category_id,category_code,brand,price,user_id,\
         user_session,quantity,order_id\n",
    );
    for row in rows {
        use std::fmt::Write as _;
        let time = jiff::Timestamp::from_millisecond(row.at).expect("a time");
        let Row { what, sku, price, user, quantity, order, .. } = row;
        writeln!(text, "{time},{what},{sku},,,,{price},{user},,{quantity},{order}").expect("text");
    }
    temporary(text.as_bytes(), ".csv")
}

fn temporary(bytes: &[u8], suffix: &str) -> NamedTempFile {
    let mut file = tempfile::Builder::new().suffix(suffix).tempfile().expect("a temporary file");
    file.write_all(bytes).expect("a temporary file takes bytes");
    file
}

/// What is to be compared of a decision.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Line {
    at: i64,
    customer: String,
    step: String,
    decision: String,
    reason: Option<String>,
}

impl Line {
    fn send(at: i64, customer: &str, step: &str) -> Self {
        Self {
            at,
            customer: customer.to_owned(),
            step: step.to_owned(),
            decision: "send".to_owned(),
            reason: None,
        }
    }
}

/// What a replay told.
#[derive(Default)]
struct Told {
    decisions: Vec<Decision>,
    /// The decisions as the command writes them.
    ndjson: Vec<u8>,
    traces: BTreeMap<&'static str, usize>,
    summary: Summary,
}

impl Watch for Told {
    fn decision(&mut self, decision: &Decision) -> std::io::Result<()> {
        self.decisions.push(decision.clone());
        write_line(decision, &mut self.ndjson)
    }

    fn trace(&mut self, _: CustomerId, trace: &Trace) {
        let kind = match trace.kind {
            TraceKind::Started => "started",
            TraceKind::NotStarted if trace.reason == Some(Reason::TooLate) => "too late",
            TraceKind::Stopped => "stopped",
            TraceKind::Late => "late",
            TraceKind::Duplicate => "duplicate",
            TraceKind::Merged => "merged",
            _ => return,
        };
        *self.traces.entry(kind).or_default() += 1;
    }
}

impl Told {
    fn count(&self, trace: &str) -> usize {
        self.traces.get(trace).copied().unwrap_or_default()
    }

    /// The decisions, sorted.
    fn lines(&self) -> Vec<Line> {
        let mut lines: Vec<Line> = self
            .decisions
            .iter()
            .map(|decision| Line {
                at: decision.at.ms(),
                customer: decision.customer.to_string(),
                step: decision.step.to_string(),
                decision: if decision.withheld.is_some() { "withheld" } else { "send" }.to_owned(),
                reason: decision.withheld.map(|reason| reason.as_str().to_owned()),
            })
            .collect();
        lines.sort();
        lines
    }

    /// The lines of the dead letters.
    fn dead_lines(&self) -> Vec<usize> {
        let line = |position: &str| {
            position.rsplit_once(':').and_then(|(_, line)| line.parse().ok()).expect("a line")
        };
        self.summary.dead_letters.iter().map(|dead| line(&dead.position)).collect()
    }
}

/// How the files of these tests are replayed: everybody can be reached, the default grace.
fn options(inputs: Vec<Input>) -> Options {
    Options {
        inputs,
        topics: None,
        until: None,
        grace_ms: GRACE,
        assume_reachable: true,
        key: [7; 32],
        flush_rows: FLUSH_ROWS,
    }
}

/// A file read by one of the shipped mappings.
fn mapped(path: &Path, mapping: &str) -> Input {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/mappings");
    let mapping = Mapping::load(&folder.join(mapping)).expect("a shipped mapping");
    Input {
        path: path.to_owned(),
        decoder: Decoder::Mapped(mapping),
        arrival_delay_ms: 0,
        history: false,
    }
}

/// A file of XDM or CloudEvents.
fn json(path: &Path) -> Input {
    Input {
        path: path.to_owned(),
        decoder: Decoder::default(),
        arrival_delay_ms: 0,
        history: false,
    }
}

fn shop_csv(path: &Path) -> Input {
    mapped(path, "shop-csv.yaml")
}

/// Replays under one journey, given as YAML.
fn run(journey: &str, options: &Options) -> Told {
    run_all(&[journey], options)
}

/// Replays under these journeys.
fn run_all(journeys: &[&str], options: &Options) -> Told {
    run_by(journeys, Rules::default(), options)
}

/// Replays under these journeys and rules.
fn run_by(journeys: &[&str], rules: Rules, options: &Options) -> Told {
    let files: Vec<SourceFile> =
        journeys.iter().map(|journey| SourceFile::new("journey.yaml", *journey)).collect();
    let (plans, report) = compile(&files, None);
    assert!(!report.has_errors(), "{}", report.render(false));
    let mut told = Told::default();
    let catalog = Catalog::new(plans, rules);
    told.summary = replay(catalog, options, &mut told).expect("a replay to its end");
    told
}

/// Replays one file of a shop's log under one journey.
fn run_file(journey: &str, path: &Path) -> Told {
    run(journey, &options(vec![shop_csv(path)]))
}

/// Replays rows under one journey.
fn run_rows(journey: &str, rows: &[Row]) -> Told {
    let file = write_rows(rows);
    run_file(journey, file.path())
}

fn timestamp(ms: i64) -> Timestamp {
    Timestamp::from_ms(ms)
}

/// Compares two sets of lines and shows the first difference, not thousands of lines.
#[track_caller]
fn same<T: PartialEq + std::fmt::Debug>(what: &str, replayed: &[T], calculated: &[T]) {
    let differ = replayed.iter().zip(calculated).position(|(a, b)| a != b);
    let place = differ.unwrap_or(replayed.len().min(calculated.len()));
    assert!(
        differ.is_none() && replayed.len() == calculated.len(),
        "{what}: {} replayed, {} calculated; at {place}:\n  replayed   {:?}\n  calculated {:?}",
        replayed.len(),
        calculated.len(),
        replayed.get(place),
        calculated.get(place)
    );
}

/// A seeded sequence of numbers that look drawn by lot (xorshift64*).
struct Dice(u64);

impl Dice {
    fn roll(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }

    /// A number from 0 to `below` - 1.
    fn below(&mut self, below: usize) -> usize {
        usize::try_from((self.roll() >> 33) % below as u64).expect("small")
    }

    fn shuffle<T>(&mut self, items: &mut [T]) {
        for place in (1..items.len()).rev() {
            items.swap(place, self.below(place + 1));
        }
    }
}
