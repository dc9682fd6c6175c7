//! `waypost run`: the embedded worker.

use std::path::Path;

use anyhow::{Context, anyhow};
use tokio::sync::watch;

use crate::config::Config;
use crate::decode::Decoder;
use crate::engine::{CustomerState, Engine, Options as EngineOptions};
use crate::identity::Identify;
use crate::journey::{Catalog, Status};
use crate::log::{Append, Control, Log, Record};
use crate::model::{CustomerId, MessageChannel};
use crate::replay::reach;
use crate::store::{Ledger, SqliteStore, Store};
use crate::worker::{Clock, Options, Parts, SystemClock};
use crate::{release, worker};

use super::talk::say;
use super::{Outcome, setup};

/// How many customers are looked at in one go when the worker opens.
const PAGE: u32 = 5_000;

/// Run the worker: events by HTTP or standard input, the real clock
///
/// Events come in by HTTP (`POST /events`, one, an array or one a line) and, with --stdin, one a
/// line on standard input. Decided messages stay in the store: nothing is sent yet.
/// It stops on Ctrl-C or SIGTERM, after what was accepted is applied.
///
/// Examples:
///   waypost run
///   curl --data-binary @events.ndjson http://127.0.0.1:7070/events
///   tail -F events.ndjson | waypost run --stdin
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub(super) struct Args {
    /// Read events from standard input, too.
    #[arg(long)]
    stdin: bool,
}

pub(super) fn run(args: &Args, config: Option<&Path>) -> anyhow::Result<Outcome> {
    let configured = setup::configuration(config)?;
    setup::say_configuration(&configured);
    let config = configured.config;
    let templates = setup::templates_folder(None, &config.templates);
    let journeys = setup::journeys(&config.journeys, templates.as_deref())?;
    if let Some(folder) = &templates {
        setup::sound_templates(folder, &journeys.plans)?;
    }
    setup::folders(&config)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(serve(args, &config, &journeys))?;
    // Standard input may still be read by a thread that nothing can wake.
    runtime.shutdown_background();
    Ok(Outcome::Done)
}

async fn serve(args: &Args, config: &Config, journeys: &setup::Journeys) -> anyhow::Result<()> {
    let clock = SystemClock;
    let token = config.http.token.as_ref().map(|token| token.expose());
    let listener = worker::listen(config.http.listen, token).await?;
    let mut log = Log::open(&config.store.log, config.store.partitions).await?;
    let store = SqliteStore::open(&config.store.state).await?;
    apply(&mut log, config, journeys, &clock).await?;
    say_reach(&store, config, journeys, log.partitions()).await?;
    let mut timelines = Vec::new();
    let reader = log.reader();
    let lanes = store.ledger().lanes().await?;
    for partition in 0..log.partitions() {
        let row = lanes.iter().find(|row| row.partition == partition);
        let applied = row.and_then(|row| row.position.watermark);
        timelines.push(release::timeline(&reader, applied, EngineOptions::default()).await?);
    }
    let options = options(args, config)?;
    let identify = Identify::stored(log.identity_key());
    let (stopper, stop) = watch::channel(false);
    tokio::spawn(async move {
        wait_for_signal().await;
        say("stopping: taking in what was accepted");
        stopper.send_replace(true);
    });
    let parts = Parts { log, store, identify, clock, timelines, listener: Some(listener), options };
    worker::run(parts, stop, |address| {
        if let Some(address) = address {
            say(&format!("listening on http://{address}"));
        }
    })
    .await?;
    say("stopped");
    Ok(())
}

/// Makes the journeys of the folder the release in force, if they are not.
async fn apply(
    log: &mut Log,
    config: &Config,
    journeys: &setup::Journeys,
    clock: &impl Clock,
) -> anyhow::Result<()> {
    let (id, files) =
        release::pack(&journeys.sources, &config.rules()).map_err(|reason| anyhow!(reason))?;
    let last = log.reader().controls().await?.last().copied();
    if last.is_some_and(|control| control.release == id) {
        return Ok(());
    }
    let now = clock.now();
    let newest = (0..log.partitions()).filter_map(|partition| log.last_tick(partition)).max();
    // In force from an instant that no tick has passed yet, and after the one before: a clock that
    // was set back must not put the older release on top.
    let passed = newest.max(last.map(|control| control.at));
    let at = passed.map_or(now, |passed| now.max(passed.plus_ms(1)));
    log.put_release(id, &files, now).await?;
    let records = vec![Record::Control(Box::new(Control { release: id, at }))];
    log.append(Append { at: now, records, ..Append::default() }).await?;
    let live = journeys.plans.iter().filter(|plan| plan.status == Status::Live).count();
    say(&format!("release {id}: {live} journeys in force from {at}"));
    Ok(())
}

/// Says whom mails may reach.
async fn say_reach(
    store: &SqliteStore,
    config: &Config,
    journeys: &setup::Journeys,
    partitions: u32,
) -> anyhow::Result<()> {
    let catalog = Catalog::new(journeys.plans.clone(), config.rules());
    let engine = Engine::new(catalog, EngineOptions::default());
    let (mut may, mut all, mut seen) = (0_u64, 0_u64, false);
    for partition in 0..partitions {
        let lease = crate::store::Lease { partition, epoch: 0 };
        let mut after: Option<CustomerId> = None;
        loop {
            let ids = store.scan(lease, after, PAGE).await?;
            let Some(last) = ids.last().copied() else { break };
            for (id, bytes) in store.load(lease, &ids).await? {
                let state = CustomerState::decode(&bytes)
                    .with_context(|| format!("the stored state of customer {id}"))?;
                if state.pointer.is_none() {
                    all += 1;
                    seen |= !state.consents.is_empty();
                    may += u64::from(engine.may_be_contacted(&state, MessageChannel::Email));
                }
            }
            after = Some(last);
        }
    }
    say(&reach(may, all, seen));
    Ok(())
}

fn options(args: &Args, config: &Config) -> anyhow::Result<Options> {
    let mut sources: Vec<(String, Decoder)> = Vec::new();
    for (name, input) in &config.inputs {
        sources.push((name.to_string(), setup::input_decoder(&input.format)?));
    }
    if sources.is_empty() {
        sources.push(("http".to_owned(), Decoder::default()));
    }
    Ok(Options {
        token: config.http.token.as_ref().map(|token| token.expose().to_owned()),
        body_bytes_max: usize::try_from(config.http.body_limit).unwrap_or(usize::MAX),
        sources,
        stdin: args.stdin,
        tick_ms: config.ticks.every_ms.unsigned_abs(),
        grace_ms: config.ticks.grace_ms,
        checkpoint_records: config.checkpoint.records as usize,
        cache_bytes: usize::try_from(config.cache_bytes).unwrap_or(usize::MAX),
    })
}

async fn wait_for_signal() {
    let interrupted = tokio::signal::ctrl_c();
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        match signal(SignalKind::terminate()) {
            Ok(mut terminated) => {
                tokio::select! {
                    _ = interrupted => {}
                    _ = terminated.recv() => {}
                }
            }
            Err(_) => drop(interrupted.await),
        }
    }
    #[cfg(not(unix))]
    drop(interrupted.await);
}
