//! `waypost upgrade`: which builds work on the database, and the end of an upgrade.

use std::io::Write;
use std::path::Path;

use anyhow::bail;
use serde_json::json;

use crate::model::{Delay, Timestamp};
use crate::postgres::{Build, Finished, Level, LiveWorker};

use super::talk::say;
use super::{Outcome, production, setup};

/// End an upgrade of production, and say how far it is
///
/// A new build writes what the one before it reads, until `waypost upgrade finish` lets it write
/// its own forms. Until then workers of the build before can be started again; afterwards they
/// refuse to start. Needs `postgres` in the configuration.
///
/// Examples:
///   waypost upgrade status
///   waypost upgrade status --json
///   waypost upgrade finish
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub(super) struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// The level that is written, this build, and the workers that live
    Status {
        /// Write one JSON object.
        #[arg(long)]
        json: bool,
    },
    /// Let this build's own forms be written, once no worker of an older build lives
    ///
    /// Names those that do otherwise, and changes nothing; the exit code is 1 then.
    Finish,
}

pub(super) fn run(args: &Args, config: Option<&Path>) -> anyhow::Result<Outcome> {
    let config = setup::configuration(config)?.config;
    let Some(production) = config.production else {
        bail!(
            "there is no `postgres` in the configuration; an upgrade without it is a restart with the new build"
        );
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        match args.action {
            Action::Status { json } => {
                // Whichever build this is: that is what is asked.
                let database = setup::postgres(&production.postgres).await?;
                let (level, workers) = (database.level().await?, database.workers().await?);
                let mut out = std::io::stdout().lock();
                if json {
                    writeln!(out, "{}", as_json(&level, &workers))?;
                } else {
                    write!(out, "{}", as_text(&level, &workers))?;
                }
                Ok(Outcome::Done)
            }
            Action::Finish => {
                let store = production::store(&production).await?;
                Ok(told(store.database().finish_upgrade(&Build::THIS).await?))
            }
        }
    })
}

fn told(finished: Finished) -> Outcome {
    let name = Build::THIS.name;
    match finished {
        Finished::Raised(level) => {
            say(&format!("level {level}: builds before Waypost {name} can't be started any more"));
            Outcome::Done
        }
        Finished::Already(level) => {
            say(&format!("level {level} already: there is nothing to finish for Waypost {name}"));
            Outcome::Done
        }
        Finished::Waits(workers) => {
            say("nothing was changed: workers of an older build live; replace them first");
            for worker in &workers {
                say(&line(worker));
            }
            Outcome::Found
        }
    }
}

fn line(worker: &LiveWorker) -> String {
    let LiveWorker { instance, build, level, seen_ago_ms, .. } = worker;
    let ago = Delay::exact(seen_ago_ms / 1_000 * 1_000);
    let lives = if worker.lives() { "lives" } else { "gone" };
    format!("{instance}  Waypost {build}  level {level}  {lives}, seen {ago} ago")
}

fn as_text(level: &Level, workers: &[LiveWorker]) -> String {
    let Build { name, level: highest, lowest } = Build::THIS;
    let since = Timestamp::from_ms(level.raised_at);
    let mut text = format!(
        "level       {}, since {since}, by Waypost {}\nthis build  Waypost {name}, writes levels {lowest} to {highest}\n",
        level.level, level.build
    );
    if level.level < highest {
        text += "the upgrade is not finished: `waypost upgrade finish` once all workers are of this build\n";
    }
    if workers.is_empty() {
        text += "no worker lives\n";
    }
    for worker in workers {
        text += &format!("worker      {}\n", line(worker));
    }
    text
}

fn as_json(level: &Level, workers: &[LiveWorker]) -> serde_json::Value {
    let Build { name, level: highest, lowest } = Build::THIS;
    let worker = |worker: &LiveWorker| {
        json!({
            "instance": worker.instance,
            "build": worker.build,
            "level": worker.level,
            "lives": worker.lives(),
            "started_at": Timestamp::from_ms(worker.started_at).to_string(),
            "seen_ago_ms": worker.seen_ago_ms,
        })
    };
    json!({
        "level": level.level,
        "raised_by": level.build,
        "raised_at": Timestamp::from_ms(level.raised_at).to_string(),
        "this_build": { "build": name, "level": highest, "lowest": lowest },
        "workers": workers.iter().map(worker).collect::<Vec<_>>(),
    })
}
