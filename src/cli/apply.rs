//! `waypost apply`: the journeys, templates and rules of the folder come into force.

use std::path::Path;

use anyhow::{anyhow, bail};

use crate::config::Config;
use crate::log::{Registry, ReleaseFiles};
use crate::model::ReleaseId;
use crate::release;
use crate::worker::{Clock, SystemClock};

use super::talk::say;
use super::{Outcome, setup};

/// Put the journeys, templates and shared rules here in force, for all workers
///
/// The release begins at an instant that no worker has passed yet. People who are inside a journey
/// finish it as they began it; what messages say changes for everybody. Events from before the
/// release start nobody.
/// Without Kafka and Postgres there is nothing to apply: `waypost run` takes what is in the folder.
///
/// Examples:
///   waypost apply
///   waypost --config production.yaml apply
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub(super) struct Args {}

pub(super) fn run(_: &Args, config: Option<&Path>) -> anyhow::Result<Outcome> {
    let configured = setup::configuration(config)?;
    setup::say_configuration(&configured);
    let config = configured.config;
    let Some(production) = &config.production else {
        bail!(
            "the configuration names no Kafka and Postgres: `waypost run` takes journeys and templates from the folder when it starts"
        );
    };
    let (id, files, live) = packed(&config)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let database = setup::postgres(&production.postgres).await?;
        database.migrate().await?;
        let registry = Registry::open(database, production.kafka.partitions).await?;
        let before = registry.controls().await?.last().map(|control| control.release);
        let at = registry.activate(id, &files, SystemClock.now()).await?;
        if before == Some(id) {
            say(&format!("release {id} is in force already, from {at}"));
        } else {
            say(&format!("release {id}: {live} journeys in force from {at}"));
        }
        Ok(Outcome::Done)
    })
}

/// The release that the folder makes, and how many of its journeys are live.
pub(super) fn packed(config: &Config) -> anyhow::Result<(ReleaseId, ReleaseFiles, usize)> {
    let templates = setup::templates_folder(None, &config.templates);
    let journeys = setup::journeys(&config.journeys, templates.as_deref())?;
    let templates = setup::sound_templates(&config.templates, &journeys.plans)?;
    for lacking in setup::lacking(config, &templates.compiled, &journeys.plans) {
        say(&format!("warning: {lacking}"));
    }
    let (id, files) = release::pack(&journeys.sources, &templates.files, &config.rules())
        .map_err(|reason| anyhow!(reason))?;
    let live = journeys.plans.iter();
    let live = live.filter(|plan| plan.status == crate::journey::Status::Live).count();
    Ok((id, files, live))
}
