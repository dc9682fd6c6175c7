//! `waypost snapshot`: states and positions of one moment, to verify from.

use std::path::{Path, PathBuf};

use anyhow::{Context, bail};

use crate::log::LogReader;
use crate::replay::grouped;
use crate::store::{Outgoing, SqliteLedger};
use crate::verify::snapshot;
use crate::worker::{Clock, SystemClock};

use super::talk::{bar, say};
use super::{Outcome, production, setup};

/// What the names of snapshots end with.
const ENDING: &str = "snapshot";

/// Copy the states and positions of one moment, to verify from when the log has lost its head
///
/// Writes DIR/TIME.snapshot. The worker may be running. It holds what is known of customers: only
/// its owner may read it. It is no backup.
///
/// Examples:
///   waypost snapshot snapshots
///   waypost verify --from snapshots
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub(super) struct Args {
    /// The folder; it is made if it is not there.
    #[arg(value_name = "DIR")]
    folder: PathBuf,
}

pub(super) fn run(args: &Args, config: Option<&Path>) -> anyhow::Result<Outcome> {
    let config = setup::configuration(config)?.config;
    setup::needs_store(&config)?;
    let folder = &args.folder;
    std::fs::create_dir_all(folder)
        .with_context(|| format!("can't make the folder {}", folder.display()))?;
    let now = SystemClock.now();
    // In the order of their times.
    let name = now.to_string().replace(':', "-");
    let path = folder.join(format!("{name}.{ENDING}"));
    let begun = folder.join(format!("{name}.part"));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let progress = bar("copying", None);
    let taken = runtime.block_on(async {
        let mut copied = |states| progress.set_position(states);
        anyhow::Ok(match &config.production {
            Some(production) => {
                let (log, store) = production::opened(production).await?;
                let ledger = store.ledger().one_moment();
                snapshot(&log, &ledger, &begun, now, &mut copied).await?
            }
            None => {
                let log = LogReader::open(&config.store.log).await?;
                let ledger = SqliteLedger::open(&config.store.state).await?.one_moment();
                snapshot(&log, &ledger, &begun, now, &mut copied).await?
            }
        })
    })?;
    std::fs::rename(&begun, &path).with_context(|| format!("can't write {}", path.display()))?;
    progress.finish_and_clear();
    say(&format!(
        "{} lanes and {} states in {}",
        grouped(taken.lanes),
        grouped(taken.states),
        path.display()
    ));
    Ok(Outcome::Done)
}

/// The snapshot that is named: a file, or the newest of a folder.
pub(super) fn named(path: &Path) -> anyhow::Result<PathBuf> {
    if !path.is_dir() {
        return Ok(path.to_owned());
    }
    let mut found = Vec::new();
    for entry in std::fs::read_dir(path).with_context(|| path.display().to_string())? {
        let path = entry.with_context(|| path.display().to_string())?.path();
        if path.extension().is_some_and(|ending| ending == ENDING) {
            found.push(path);
        }
    }
    match found.into_iter().max() {
        Some(newest) => Ok(newest),
        None => bail!("there is no snapshot in {}: `waypost snapshot` takes one", path.display()),
    }
}
