//! `waypost generate`: a made-up shop's traffic.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::PathBuf;

use anyhow::Context;

use crate::generate::{Options, generate};
use crate::model::Timestamp;
use crate::replay::grouped;

use super::Outcome;
use super::talk::{bar, say};

/// Write a made-up shop's traffic as NDJSON
///
/// Adobe Commerce XDM events of all kinds, one a line, in the order of arrival, with late, double
/// and broken records among them. The same options write the same bytes.
///
/// Examples:
///   waypost generate --customers 1000 --days 7 --out week.ndjson
///   waypost generate --days 1 | waypost replay --events -
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub(super) struct Args {
    /// How many people.
    #[arg(long, default_value_t = 1_000)]
    customers: u32,
    /// How many days.
    #[arg(long, default_value_t = 7)]
    days: u32,
    /// Another seed is another shop.
    #[arg(long, default_value_t = 42)]
    seed: u64,
    /// The first midnight, in UTC.
    #[arg(long, default_value = "2026-03-02T00:00:00Z")]
    start: Timestamp,
    /// The file to write; standard output without it.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

pub(super) fn run(args: &Args) -> anyhow::Result<Outcome> {
    let options =
        Options { customers: args.customers, days: args.days, seed: args.seed, start: args.start };
    let mut out: Box<dyn Write> = match &args.out {
        Some(path) => Box::new(BufWriter::new(
            File::create(path).with_context(|| format!("can't write {}", path.display()))?,
        )),
        None => Box::new(BufWriter::new(std::io::stdout().lock())),
    };
    let progress = bar("generating", Some(1));
    let summary = generate(&options, &mut out, &mut |done, expected| {
        progress.set_length(expected);
        progress.set_position(done);
    })?;
    out.flush().context("can't write the events")?;
    progress.finish_and_clear();
    say(&format!(
        "{} lines: {} events of {} customers, {} orders, {} duplicates, {} late, {} broken",
        grouped(summary.lines),
        grouped(summary.events()),
        grouped(summary.customers),
        grouped(summary.orders),
        grouped(summary.duplicates),
        grouped(summary.late),
        grouped(summary.broken.values().sum()),
    ));
    Ok(Outcome::Done)
}
