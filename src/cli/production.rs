//! What commands share that work on Kafka and Postgres, and `waypost run` over them.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, anyhow, bail};
use ring::rand::{SecureRandom, SystemRandom};
use tokio::sync::watch;

use crate::cluster::{self, Door, Input, Kept, Options, Parts, Readiness, Roles, Shares};
use crate::config::{self, Config, Production};
use crate::deliver::{Composer, Delivery, Routes};
use crate::kafka::{Cluster, Settings};
use crate::log::{KafkaLog, Registry};
use crate::mail::Dkim;
use crate::metrics::Metrics;
use crate::model::{ReleaseId, Timestamp};
use crate::release;
use crate::store::{Listing, Outgoing, PgStore};
use crate::template::Templates;
use crate::worker::{self, Clock, Pages, SystemClock};

use super::talk::say;
use super::{outgoing, setup, topics};

/// How often it is looked for templates that came into force.
const TEMPLATES_EVERY: Duration = Duration::from_secs(5);

/// The log and the store of production, for commands that read.
pub(super) async fn opened(production: &Production) -> anyhow::Result<(KafkaLog, PgStore)> {
    let store = store(production).await?;
    let registry = Registry::existing(store.database().clone()).await?;
    let cluster = Cluster::new(&Settings::new(&production.kafka)?)?;
    let log = KafkaLog::new(registry, cluster, production.kafka.log_topic());
    Ok((log, store))
}

/// The store of production, for commands that need no log.
pub(super) async fn store(production: &Production) -> anyhow::Result<PgStore> {
    let database = setup::postgres(&production.postgres).await?;
    database.check().await?;
    Ok(PgStore::new(database))
}

/// Runs a worker of production.
pub(super) async fn serve(
    config: &Config,
    production: &Production,
    roles: Roles,
) -> anyhow::Result<()> {
    let kafka = &production.kafka;
    let settings = Settings::new(kafka)?;
    let database = setup::postgres(&production.postgres).await?;
    database.migrate().await?;
    let registry = Registry::open(database.clone(), kafka.partitions).await?;
    let store = Arc::new(PgStore::new(database));
    topics_fit(config, production, &settings, &registry, &store).await?;
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    say_release(&registry, config).await?;
    let stop = stopped();
    let metrics = Arc::new(Metrics::new(Arc::new(|| SystemClock.now())));
    let outbox = watch::Sender::new(0_u64);
    let mut doors = tokio::task::JoinSet::new();
    let delivery = if roles.deliver {
        let listener = worker::listen_to_customers(config.http.public).await?;
        let here =
            listener.local_addr().map_or_else(|_| String::new(), |at| format!("http://{at}"));
        let secret = store.ledger().secret_key().await?;
        let making = Making {
            registry: registry.clone(),
            keys: outgoing::keys(config)?,
            secret,
            pages: here,
            rules: Arc::new(config.rules()),
        };
        let composer = making.start(&clock, stop.clone()).await?;
        let rules = config.rules();
        let pages = Pages {
            store: Arc::clone(&store),
            clock: Arc::clone(&clock),
            secret,
            outbox: outbox.clone(),
            shop: rules.default_shop.name.clone(),
            locale: rules.default_shop.locale,
        };
        doors.spawn(worker::serve(listener, worker::page_routes(pages), stop.clone()));
        Some(delivery(config, &store, composer, &clock, &outbox, &metrics)?)
    } else {
        None
    };
    let token = config.http.token.as_ref().map(|token| token.expose());
    let listener = worker::listen(config.http.listen, token).await?;
    let address = listener.local_addr()?;
    let inputs = inputs(config)?;
    let shares = Arc::<Shares>::default();
    let ready = Readiness {
        registry: registry.clone(),
        clock: Arc::clone(&clock),
        roles,
        shares: Arc::clone(&shares),
        every: Duration::from_millis(config.ticks.every_ms.unsigned_abs()),
        stop: stop.clone(),
    };
    let kept = kept(&registry, kafka, &metrics);
    let inlet = Door::open(&settings, &inputs, kept, Arc::clone(&clock))?;
    let private = private(config, inlet, ready, &metrics)?;
    doors.spawn(worker::serve(listener, worker::routes(private), stop.clone()));
    let parts = Parts {
        settings,
        log_topic: kafka.log_topic(),
        dead_letters: kafka.dead_letters.clone(),
        feedback_topic: kafka.feedback_topic(),
        registry,
        store,
        inputs,
        clock,
        delivery,
        outbox,
        metrics,
        shares,
        options: Options {
            instance: instance()?,
            roles,
            tick: Duration::from_millis(config.ticks.every_ms.unsigned_abs()),
            grace_ms: config.ticks.grace_ms,
            checkpoint_records: config.checkpoint.records as usize,
            cache_bytes: usize::try_from(config.cache_bytes).unwrap_or(usize::MAX),
            keep: config.keep,
        },
    };
    say(&format!("listening on http://{address}"));
    say(&outgoing::told(config));
    cluster::run(parts, stop).await?;
    while doors.join_next().await.is_some() {}
    Ok(())
}

fn delivery(
    config: &Config,
    store: &Arc<PgStore>,
    composer: watch::Receiver<Arc<Composer>>,
    clock: &Arc<dyn Clock>,
    outbox: &watch::Sender<u64>,
    metrics: &Arc<Metrics>,
) -> anyhow::Result<Delivery<PgStore>> {
    let routes: Routes = outgoing::routes(config)?;
    let now = Arc::clone(clock);
    Ok(Delivery {
        store: Arc::clone(store),
        composer,
        routes,
        at_once: config.deliver.at_once,
        now: Arc::new(move || now.now()),
        outbox: outbox.clone(),
        metrics: Arc::clone(metrics),
    })
}

/// What becomes of records that came by HTTP and no topic will hold.
fn kept(registry: &Registry, kafka: &config::Kafka, metrics: &Arc<Metrics>) -> Kept {
    let (registry, metrics) = (registry.clone(), Arc::clone(metrics));
    Kept { registry, topic: kafka.dead_letters.clone(), metrics }
}

/// Makes the topics that are missing, and holds all of them against the configuration and Postgres.
async fn topics_fit(
    config: &Config,
    production: &Production,
    settings: &Settings,
    registry: &Registry,
    store: &PgStore,
) -> anyhow::Result<()> {
    let cluster = Cluster::new(settings)?;
    let longest = longest(registry).await?;
    for warning in cluster.prepare(config, &production.kafka, longest).await? {
        say(&format!("warning: {warning}"));
    }
    let topics = super::recover::topics(config, production);
    Ok(cluster::start_of_one_time(&cluster, registry, store.ledger(), &topics).await?)
}

/// The input topics, with how their records are read.
fn inputs(config: &Config) -> anyhow::Result<Vec<Input>> {
    let mut inputs = Vec::new();
    for (name, input) in &config.inputs {
        let topic = input.topic.as_ref().with_context(|| format!("inputs.{name}.topic"))?;
        let decode = topics::decode(name, input, config)?;
        inputs.push(Input {
            name: name.to_string(),
            topic: topic.to_string(),
            decode,
            blocking: input.blocking,
        });
    }
    if inputs.is_empty() {
        bail!("`inputs` names no topic, so no event would come: add one, with its `topic`");
    }
    Ok(inputs)
}

/// Becomes true once the worker is to stop.
fn stopped() -> watch::Receiver<bool> {
    let (stopper, stop) = watch::channel(false);
    tokio::spawn(async move {
        super::run::wait_for_signal().await;
        say("stopping: what is under way is finished");
        stopper.send_replace(true);
    });
    stop
}

/// The private listener.
fn private(
    config: &Config,
    inlet: Door,
    ready: Readiness,
    metrics: &Arc<Metrics>,
) -> anyhow::Result<worker::Door<Door, Readiness>> {
    let mut sources = Vec::new();
    // As requests name them; the numbers stand in no record.
    for (number, (name, input)) in (0..).zip(&config.inputs) {
        let decoder = setup::input_decoder(&input.format, config)?;
        sources.push(worker::Source { number, name: name.to_string(), decoder });
    }
    Ok(worker::Door {
        inlet,
        ready,
        metrics: Arc::clone(metrics),
        sources: sources.into(),
        token: config.http.token.as_ref().map(|token| token.expose().to_owned()),
        body_bytes_max: usize::try_from(config.http.body_limit).unwrap_or(usize::MAX),
    })
}

/// A name for this process among the workers, new at each start.
fn instance() -> anyhow::Result<String> {
    let mut bytes = [0_u8; 8];
    let random = SystemRandom::new().fill(&mut bytes);
    random.map_err(|_| anyhow!("the system gives no random bytes"))?;
    Ok(format!("{:016x}", u64::from_be_bytes(bytes)))
}

/// Says which release is in force, and whether the folder holds another.
async fn say_release(registry: &Registry, config: &Config) -> anyhow::Result<()> {
    let Some(newest) = registry.controls().await?.last().copied() else {
        say("warning: no release is in force, so no journey starts: run `waypost apply`");
        return Ok(());
    };
    say(&format!("release {}, in force from {}", newest.release, newest.at));
    // Without the folder, as in a container, there is nothing to compare.
    if config.journeys.exists() && config.templates.exists() {
        match super::apply::packed(config) {
            Ok((id, _, _)) if id == newest.release => {}
            Ok(_) => say(
                "warning: journeys, templates or configuration here differ from the release in force; `waypost apply` puts them in force",
            ),
            Err(error) => say(&format!("warning: the journeys here can't be used: {error}")),
        }
    }
    Ok(())
}

/// How long the longest journey in force takes, in milliseconds.
async fn longest(registry: &Registry) -> anyhow::Result<Option<i64>> {
    let Some(newest) = registry.controls().await?.last().copied() else { return Ok(None) };
    let files = registry.release(newest.release).await?;
    let files = files.ok_or(release::Error::Missing(newest.release))?;
    let plans = release::unpack(newest.release, &files)?.plans;
    Ok(plans.iter().map(crate::journey::Plan::length_ms).max())
}

/// Makes composers from the templates in force.
struct Making {
    registry: Registry,
    keys: Arc<[Dkim]>,
    secret: [u8; 32],
    pages: String,
    /// The shops as configured here, until a release is in force.
    rules: Arc<crate::journey::Rules>,
}

impl Making {
    /// A composer that follows the releases until `stop` becomes true.
    async fn start(
        self,
        clock: &Arc<dyn Clock>,
        mut stop: watch::Receiver<bool>,
    ) -> anyhow::Result<watch::Receiver<Arc<Composer>>> {
        let mut known = None;
        let first = self.newest(clock.now(), &mut known).await?;
        let first = first
            .unwrap_or_else(|| self.composer(Templates::compile(&[], "templates").0, &self.rules));
        let (sender, composer) = watch::channel(Arc::new(first));
        let clock = Arc::clone(clock);
        tokio::spawn(async move {
            loop {
                tokio::select! {
                    () = tokio::time::sleep(TEMPLATES_EVERY) => {}
                    _ = stop.wait_for(|stop| *stop) => return,
                }
                match self.newest(clock.now(), &mut known).await {
                    Ok(Some(composer)) => {
                        sender.send_replace(Arc::new(composer));
                        tracing::info!("other templates are in force");
                    }
                    Ok(None) => {}
                    Err(error) => {
                        tracing::warn!(error = %format!("{error:#}"), "templates stay as they are")
                    }
                }
            }
        });
        Ok(composer)
    }

    /// The composer of the release in force, if that is not the one known.
    async fn newest(
        &self,
        now: Timestamp,
        known: &mut Option<ReleaseId>,
    ) -> anyhow::Result<Option<Composer>> {
        let controls = self.registry.controls().await?;
        let Some(newest) = controls.iter().rev().find(|control| control.at <= now) else {
            return Ok(None);
        };
        if *known == Some(newest.release) {
            return Ok(None);
        }
        let files = self.registry.release(newest.release).await?;
        let files = files.ok_or(release::Error::Missing(newest.release))?;
        let (files, rules) = release::contents(newest.release, &files)?;
        let (templates, report) = Templates::compile(&files, "templates");
        if report.has_errors() {
            bail!("release {}: {}", newest.release, report.render(false));
        }
        *known = Some(newest.release);
        Ok(Some(self.composer(templates, &Arc::new(rules))))
    }

    fn composer(&self, templates: Templates, rules: &Arc<crate::journey::Rules>) -> Composer {
        Composer {
            templates,
            rules: Arc::clone(rules),
            keys: Arc::clone(&self.keys),
            secret: self.secret,
            pages: self.pages.clone(),
            mark: "",
        }
    }
}
