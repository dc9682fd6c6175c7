//! `waypost verify`: what was decided live against a replay of the log.

use std::path::{Path, PathBuf};

use crate::log::LogReader;
use crate::replay::grouped;
use crate::store::{Outgoing, SqliteLedger};
use crate::verify::{Snapshot, verify};

use super::talk::{bar, say};
use super::{Outcome, production, setup, snapshot};

/// Hold what the worker decided against a replay of its own log
///
/// Compares every message and every customer's state. The first difference is named; the exit
/// code is 1 if there is one. The worker may be running.
///
/// Examples:
///   waypost verify
///   waypost verify --json
///   waypost verify --from snapshots
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub(super) struct Args {
    /// Begin at a snapshot of `waypost snapshot`: the file, or the newest in a folder. What was
    /// decided before is not compared.
    #[arg(long, value_name = "DIR")]
    from: Option<PathBuf>,
    /// Write the result as one JSON object to stdout.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &Args, config: Option<&Path>) -> anyhow::Result<Outcome> {
    let config = setup::configuration(config)?.config;
    setup::needs_store(&config)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let from = match &args.from {
        Some(path) => Some(Snapshot::open(&snapshot::named(path)?)?),
        None => None,
    };
    if let Some(from) = &from {
        say(&format!("from the snapshot of {}", from.at()));
    }
    let progress = bar("verifying", None);
    let report = runtime.block_on(async {
        let mut replayed = |records| progress.set_position(records);
        anyhow::Ok(match &config.production {
            Some(production) => {
                let (log, store) = production::opened(production).await?;
                verify(&log, &store.ledger().one_moment(), from, &mut replayed).await?
            }
            None => {
                let log = LogReader::open(&config.store.log).await?;
                let ledger = SqliteLedger::open(&config.store.state).await?.one_moment();
                verify(&log, &ledger, from, &mut replayed).await?
            }
        })
    })?;
    progress.finish_and_clear();
    if args.json {
        use std::io::Write;
        let line = serde_json::json!({
            "records": report.records,
            "messages": report.messages,
            "states": report.states,
            "erased": report.erased,
            "removed": report.removed,
            "differences": report.differences,
            "first": report.first,
            "other_builds": report.other_builds,
        });
        writeln!(std::io::stdout(), "{line}")?;
    }
    for build in &report.other_builds {
        say(&format!(
            "note: build {build} decided last in a lane; this is {}",
            env!("CARGO_PKG_VERSION")
        ));
    }
    say(&format!(
        "{} records replayed, {} messages and {} states compared, {} messages erased",
        grouped(report.records),
        grouped(report.messages),
        grouped(report.states),
        grouped(report.erased),
    ));
    if report.removed > 0 {
        say(&format!(
            "{} messages were not compared: they were kept as long as `keep.messages` says",
            grouped(report.removed)
        ));
    }
    match report.first {
        None => {
            say("no difference");
            Ok(Outcome::Done)
        }
        Some(first) => {
            say(&format!("{} differences; the first: {first}", grouped(report.differences)));
            Ok(Outcome::Found)
        }
    }
}
