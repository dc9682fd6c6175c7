//! `waypost migrate`: brings the production database up to date.

use std::path::Path;

use anyhow::bail;

use super::talk::say;
use super::{Outcome, setup};

/// Bring the tables of the production database up to date
///
/// Needs `postgres` in the configuration, and a user that may create tables; the worker itself then
/// needs SELECT, INSERT, UPDATE and DELETE on them only. Runs once however often and by however
/// many it is called. Without it, `waypost run` does the same when it starts.
///
/// Examples:
///   waypost migrate
///   WAYPOST_POSTGRES_URL=postgres://owner@db.example/waypost waypost migrate
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub(super) struct Args {}

pub(super) fn run(_: &Args, config: Option<&Path>) -> anyhow::Result<Outcome> {
    let config = setup::configuration(config)?.config;
    let Some(production) = config.production else {
        bail!(
            "there is no `postgres` in the configuration; SQLite files are brought up to date by `waypost run`"
        );
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let postgres = setup::postgres(&production.postgres).await?;
        postgres.migrate().await?;
        say(&format!("{} is up to date", postgres.place()));
        anyhow::Ok(())
    })?;
    Ok(Outcome::Done)
}
