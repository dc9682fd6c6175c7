//! `waypost demo`: a week of a shop, the shipped journeys, and what comes of them.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::PathBuf;

use anyhow::{Context, bail};

use crate::decode::Decoder;
use crate::engine::{Decision, Reason, Trace, TraceKind};
use crate::generate::{self, generate};
use crate::journey::{Catalog, Rules, compile};
use crate::model::{CustomerId, Text, Timestamp};
use crate::replay::{FLUSH_ROWS, Input, Options, Watch, grouped, replay, write_line};
use crate::shipped;

use super::story::story;
use super::talk::{bar, say};
use super::{Outcome, setup, table};

/// Lines of the story that is told: neither nothing nor a novel.
const STORY_LINES: std::ops::RangeInclusive<usize> = 5..=12;

/// Show the main job on a made-up week of a shop
///
/// Generates the traffic, runs the shipped journeys over it with the virtual clock, and shows the funnel,
/// what was withheld and why, dead letters, and one customer's story. It sends nothing.
///
/// Examples:
///   waypost demo
///   waypost demo --customers 1000 --days 2 --seed 7 --out other-shop
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub(super) struct Args {
    /// How many people.
    #[arg(long, default_value_t = 10_000)]
    customers: u32,
    /// How many days.
    #[arg(long, default_value_t = 7)]
    days: u32,
    /// Another seed is another shop.
    #[arg(long, default_value_t = 42)]
    seed: u64,
    /// Where to write the events and the decisions.
    #[arg(long, value_name = "DIR", default_value = "waypost-demo")]
    out: PathBuf,
}

pub(super) fn run(args: &Args) -> anyhow::Result<Outcome> {
    std::fs::create_dir_all(&args.out)
        .with_context(|| format!("can't make the folder {}", args.out.display()))?;
    let events = args.out.join("events.ndjson");
    write_events(args, &events)?;
    let (plans, report) = compile(&shipped::journeys(), None);
    if report.has_errors() {
        bail!("a journey of the demo has mistakes:\n{}", report.render(false));
    }
    let options = Options {
        inputs: vec![Input {
            path: events.clone(),
            decoder: Decoder::default(),
            arrival_delay_ms: 0,
            history: false,
        }],
        until: None,
        grace_ms: 10_000,
        assume_reachable: false,
        key: setup::REPLAY_KEY,
        flush_rows: FLUSH_ROWS,
    };
    let decisions = args.out.join("decisions.ndjson");
    let mut watching = Watching {
        out: BufWriter::new(
            File::create(&decisions)
                .with_context(|| format!("can't write {}", decisions.display()))?,
        ),
        bar: bar("replaying", None),
        traces: BTreeMap::new(),
        decisions: BTreeMap::new(),
        names: BTreeMap::new(),
    };
    let summary = replay(Catalog::new(plans, Rules::default()), &options, &mut watching)?;
    watching.out.flush().context("can't write the decisions")?;
    watching.bar.finish_and_clear();
    say("replayed with a virtual clock; nothing was sent");
    table::summary(&summary);
    tell(&watching);
    say("");
    say(&format!("Every decision, one a line: {}", decisions.display()));
    say("Try next: change `wait_quiet: 1h` to 4h in journeys/abandoned-cart.yaml, then");
    say(&format!(
        "  cargo run --release -- replay --events {} > {}",
        events.display(),
        args.out.join("after.ndjson").display()
    ));
    say("and compare the two (docs/replay.md says how).");
    Ok(Outcome::Done)
}

fn write_events(args: &Args, path: &std::path::Path) -> anyhow::Result<()> {
    let start: Timestamp = "2026-03-02T00:00:00Z".parse()?;
    let options =
        generate::Options { customers: args.customers, days: args.days, seed: args.seed, start };
    let file = File::create(path).with_context(|| format!("can't write {}", path.display()))?;
    let mut out = BufWriter::with_capacity(1 << 20, file);
    let progress = bar("generating", Some(1));
    let made = generate(&options, &mut out, &mut |done, expected| {
        progress.set_length(expected);
        progress.set_position(done);
    })?;
    out.flush().with_context(|| format!("can't write {}", path.display()))?;
    progress.finish_and_clear();
    say(&format!(
        "generated {} lines of {} customers over {} days: {}",
        grouped(made.lines),
        grouped(u64::from(args.customers)),
        args.days,
        path.display()
    ));
    Ok(())
}

/// Writes decisions and remembers what happened to whom.
struct Watching {
    out: BufWriter<File>,
    bar: indicatif::ProgressBar,
    traces: BTreeMap<CustomerId, Vec<Trace>>,
    /// By the customer as output names it.
    decisions: BTreeMap<Text, Vec<Decision>>,
    names: BTreeMap<crate::model::RunId, CustomerId>,
}

impl Watch for Watching {
    fn decision(&mut self, decision: &Decision) -> std::io::Result<()> {
        self.decisions.entry(decision.customer.clone()).or_default().push(decision.clone());
        write_line(decision, &mut self.out)
    }

    fn trace(&mut self, customer: CustomerId, trace: &Trace) {
        if let Some(run) = trace.run {
            self.names.insert(run, customer);
        }
        self.traces.entry(customer).or_default().push(trace.clone());
    }

    fn progress(&mut self, rows: u64) {
        self.bar.set_position(rows);
    }
}

/// Tells the story of the first customer who would be sent something and for whom a stop rule ended something.
fn tell(watching: &Watching) {
    let found = watching.decisions.iter().find_map(|(name, decisions)| {
        let customer = watching.names.get(&decisions.first()?.run)?;
        let traces = watching.traces.get(customer)?;
        let sent = decisions.iter().any(|decision| decision.withheld.is_none());
        let stopped = traces
            .iter()
            .any(|trace| trace.kind == TraceKind::Stopped && trace.reason == Some(Reason::Stopped));
        let decisions: Vec<_> = decisions.iter().map(|known| (known.clone(), None)).collect();
        let lines = story(traces, &decisions);
        (sent && stopped && STORY_LINES.contains(&lines.len())).then_some((name, lines))
    });
    let Some((name, lines)) = found else { return };
    say("");
    say(&format!("The story of customer {name}:"));
    for line in lines {
        say(&format!("  {}", line.shown()));
    }
}
