//! `waypost run`: the embedded worker.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, anyhow, bail};
use tokio::runtime::Runtime;
use tokio::sync::watch;

use crate::cluster::Roles;
use crate::config::Config;
use crate::decode::Decoder;
use crate::engine::{CustomerState, Engine, Options as EngineOptions};
use crate::identity::Identify;
use crate::journey::{Catalog, Status};
use crate::log::{Append, Control, Log, ReadLog, Record};
use crate::metrics::Metrics;
use crate::model::{CustomerId, MessageChannel};
use crate::replay::reach;
use crate::store::{Ledger, Outgoing, SqliteStore, Store};
use crate::template::TemplateFile;
use crate::worker::{Backlog, Clock, Options, Parts, Sending, SystemClock};
use crate::{release, worker};

use super::setup::SoundTemplates;
use super::talk::{Logging, say};
use super::traces::Traces;
use super::{Outcome, outgoing, production, setup};

/// How many customers are looked at in one go when the worker opens.
const PAGE: u32 = 5_000;

/// Run the worker: events by HTTP or standard input, the real clock
///
/// Events come in by HTTP (`POST /events`, one, an array or one a line) and, with --stdin, one a
/// line on standard input. Messages leave as `deliver` says: unless a provider is configured they
/// become files in data/caught, and nothing leaves the machine.
/// It stops on Ctrl-C or SIGTERM, after what was accepted is applied.
///
/// Examples:
///   waypost run
///   curl --data-binary @events.ndjson http://127.0.0.1:7070/events
///   tail -F events.ndjson | waypost run --stdin
///   tail -F clicks.ndjson | waypost run --stdin --source clicks
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub(super) struct Args {
    /// Read events from standard input, too.
    #[arg(long)]
    stdin: bool,
    /// Which of several inputs standard input is.
    #[arg(long, value_name = "NAME", requires = "stdin")]
    source: Option<String>,
    /// What this worker does, where there are several: ingest, decide, deliver. Default: all.
    #[arg(long, value_name = "ROLES", value_delimiter = ',', conflicts_with = "stdin")]
    role: Vec<Role>,
}

/// A part of a worker's work.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Role {
    /// Takes the inputs in, and says how far time is known.
    Ingest,
    /// Decides: runs lanes of the log.
    Decide,
    /// Hands messages over, and serves the pages on which customers unsubscribe.
    Deliver,
}

impl Args {
    fn roles(&self) -> anyhow::Result<Roles> {
        if self.stdin {
            bail!("with Kafka, events come by topics: write those of standard input into one");
        }
        let has = |role| self.role.is_empty() || self.role.contains(&role);
        Ok(Roles {
            ingest: has(Role::Ingest),
            decide: has(Role::Decide),
            deliver: has(Role::Deliver),
        })
    }
}

pub(super) fn run(
    args: &Args,
    config: Option<&Path>,
    logging: &Logging,
) -> anyhow::Result<Outcome> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let configured = setup::configuration(config);
    let collector = configured.as_ref().ok().and_then(|known| known.config.otlp.clone());
    let traces = collector.map(|to| Traces::open(&to, runtime.handle().clone())).transpose();
    let traces = match traces {
        Ok(traces) => traces,
        Err(error) => {
            logging.init(None);
            return Err(error);
        }
    };
    logging.init(traces.as_ref().map(Traces::tracer));
    let done = configured.and_then(|configured| {
        setup::say_configuration(&configured);
        work(args, &configured.config, &runtime)
    });
    if let Some(traces) = traces {
        traces.close();
    }
    if done.is_ok() {
        say("stopped");
    }
    // Standard input may still be read by a thread that nothing can wake, and what was not finished
    // in time is not waited for.
    runtime.shutdown_background();
    done.map(|()| Outcome::Done)
}

fn work(args: &Args, config: &Config, runtime: &Runtime) -> anyhow::Result<()> {
    if let Some(production) = &config.production {
        return runtime.block_on(production::serve(config, production, args.roles()?));
    }
    if !args.role.is_empty() {
        bail!(
            "--role is for workers on Kafka and Postgres; this configuration has no `kafka`, so one process does all"
        );
    }
    let templates = setup::templates_folder(None, &config.templates);
    let journeys = setup::journeys(&config.journeys, templates.as_deref())?;
    let templates = setup::sound_templates(&config.templates, &journeys.plans)?;
    let lacking = setup::lacking(config, &templates.compiled, &journeys.plans);
    for lacking in &lacking {
        say(&format!("warning: {lacking}"));
    }
    if config.deliver.smtp.is_some() && !lacking.is_empty() {
        bail!("mails can't be sent without these keys; see above");
    }
    setup::folders(config)?;
    runtime.block_on(serve(args, config, &journeys, templates))
}

async fn serve(
    args: &Args,
    config: &Config,
    journeys: &setup::Journeys,
    templates: SoundTemplates,
) -> anyhow::Result<()> {
    let clock = SystemClock;
    let metrics = Arc::new(Metrics::new(Arc::new(|| SystemClock.now())));
    let options = options(args, config)?;
    let token = config.http.token.as_ref().map(|token| token.expose());
    let listener = worker::listen(config.http.listen, token).await?;
    let pages = worker::listen_to_customers(config.http.public).await?;
    let sending = Sending {
        templates: templates.compiled,
        rules: Arc::new(config.rules()),
        keys: outgoing::keys(config)?,
        routes: outgoing::routes(config)?,
        at_once: config.deliver.at_once,
        pages,
    };
    let mut log = Log::open(&config.store.log, config.store.partitions).await?;
    let store = Arc::new(SqliteStore::open(&config.store.state).await?);
    let backlog = Backlog::of(&log).await?;
    apply(&mut log, config, journeys, &templates.files, &clock).await?;
    let mut timelines = Vec::new();
    let reader = log.reader();
    let lanes = store.ledger().lanes().await?;
    for partition in 0..log.partitions() {
        let row = lanes.iter().find(|row| row.partition == partition);
        let applied = row.and_then(|row| row.position.watermark);
        timelines.push(release::timeline(&reader, applied, EngineOptions::default()).await?);
    }
    let identify = Identify::stored(log.identity_key());
    let (stopper, stop) = watch::channel(false);
    tokio::spawn(async move {
        wait_for_signal().await;
        say("stopping: taking in what was accepted");
        stopper.send_replace(true);
    });
    let leaving = outgoing::told(config);
    let catalog = Catalog::new(journeys.plans.clone(), config.rules());
    let reach =
        tokio::spawn(say_reach(Arc::clone(&store), catalog, log.partitions(), backlog.clone()));
    let listener = Some(listener);
    let parts = Parts {
        log,
        store,
        identify,
        clock,
        timelines,
        listener,
        sending: Some(sending),
        backlog,
        metrics,
        options,
    };
    worker::run(parts, stop, |address| {
        if let Some(address) = address {
            say(&format!("listening on http://{address}"));
            say(&leaving);
        }
    })
    .await?;
    // A worker that is stopped before it could say this says no more.
    reach.abort();
    let _ = reach.await;
    Ok(())
}

/// Makes the journeys of the folder the release in force, if they are not.
async fn apply(
    log: &mut Log,
    config: &Config,
    journeys: &setup::Journeys,
    templates: &[TemplateFile],
    clock: &impl Clock,
) -> anyhow::Result<()> {
    let (id, files) = release::pack(&journeys.sources, templates, &config.rules())
        .map_err(|reason| anyhow!(reason))?;
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

/// Says whom mails may reach, once what was imported or left over is applied.
async fn say_reach(store: Arc<SqliteStore>, catalog: Catalog, partitions: u32, backlog: Backlog) {
    backlog.applied().await;
    let engine = Engine::new(catalog, EngineOptions::default());
    match reach_of(&store, &engine, partitions).await {
        Ok(line) => say(&line),
        Err(error) => tracing::warn!(%error, "it is not known whom mails may reach"),
    }
}

async fn reach_of(store: &SqliteStore, engine: &Engine, partitions: u32) -> anyhow::Result<String> {
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
                if state.pointer.is_none() && state.erased_at.is_none() {
                    all += 1;
                    seen |= !state.consents.is_empty();
                    may += u64::from(engine.may_be_contacted(&state, MessageChannel::Email));
                }
            }
            after = Some(last);
        }
    }
    Ok(reach(may, all, seen))
}

fn options(args: &Args, config: &Config) -> anyhow::Result<Options> {
    let mut sources: Vec<(String, Decoder)> = Vec::new();
    for (name, input) in &config.inputs {
        sources.push((name.to_string(), setup::input_decoder(&input.format, config)?));
    }
    if sources.is_empty() {
        sources.push(("http".to_owned(), setup::decoder(None, config)?.0));
    }
    let stdin = if args.stdin { Some(of_stdin(args, &sources)?) } else { None };
    Ok(Options {
        token: config.http.token.as_ref().map(|token| token.expose().to_owned()),
        body_bytes_max: usize::try_from(config.http.body_limit).unwrap_or(usize::MAX),
        sources,
        stdin,
        tick_ms: config.ticks.every_ms.unsigned_abs(),
        grace_ms: config.ticks.grace_ms,
        checkpoint_records: config.checkpoint.records as usize,
        cache_bytes: usize::try_from(config.cache_bytes).unwrap_or(usize::MAX),
        keep: Some(config.keep),
    })
}

/// The source that standard input is.
fn of_stdin(args: &Args, sources: &[(String, Decoder)]) -> anyhow::Result<String> {
    let names: Vec<&str> = sources.iter().map(|(name, _)| name.as_str()).collect();
    match (&args.source, &names[..]) {
        (Some(name), _) if names.contains(&name.as_str()) => Ok(name.clone()),
        (Some(name), _) => bail!("`inputs` has no `{name}`; it has {}", names.join(", ")),
        (None, [only]) => Ok((*only).to_owned()),
        (None, _) => {
            bail!("say with --source which of the `inputs` standard input is: {}", names.join(", "))
        }
    }
}

pub(super) async fn wait_for_signal() {
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
