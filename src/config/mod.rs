//! The configuration: `waypost.yaml` and `WAYPOST_...` environment variables.
//!
//! [`Config::read`] is pure: a file's text and a map of variables in, a checked [`Config`] and a
//! report out, with the same quality of messages as for journeys. [`load`] is the only place that
//! reads the process's environment. Every key has a default that works on one machine.

mod deliver;
mod env;
mod keys;
mod load;
mod lower;
mod production;
mod properties;
mod secret;
mod settings;
mod syntax;
mod words;

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::PathBuf;

use crate::journey::{Cap, ConsentRule, Rules, Shop, SourceRule};
use crate::model::{Delay, EventName, Text};

pub use deliver::{Audience, Deliver, Dkim, Protection, Smtp, Twilio, TwilioSender};
pub use keys::{ConfigKey, keys};
pub use load::{FILE_DEFAULT, LoadError, load, load_with_origins};
pub use lower::{HTTP_TOKEN_CHARS_MIN, PARTITIONS_MAX};
pub use production::{KAFKA_PARTITIONS_MAX, Kafka, Postgres, Production};
pub use secret::Secret;
pub use settings::{Origin, Origins, Setting};
pub use syntax::schema;

/// Everything that is configured, checked and with its defaults.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// The SQLite store.
    pub store: Store,
    /// Kafka and Postgres, used instead of the SQLite store.
    pub production: Option<Production>,
    /// The directory of journey files.
    pub journeys: PathBuf,
    /// The directory of templates.
    pub templates: PathBuf,
    /// The sources of events, by name.
    pub inputs: BTreeMap<Text, Input>,
    /// The HTTP server.
    pub http: Http,
    /// How time passes.
    pub ticks: Ticks,
    /// When state is written.
    pub checkpoint: Checkpoint,
    /// How long what is over is kept.
    pub keep: Keep,
    /// How much of the working set is kept in memory, in bytes.
    pub cache_bytes: u64,
    /// The shop of events that name none, or none that is configured.
    pub default_shop: Shop,
    /// Shops by website or store view code, each completed from the default shop.
    pub shops: BTreeMap<Text, Shop>,
    /// What counts as consent.
    pub consent: Vec<ConsentRule>,
    /// Limits over all journeys.
    pub limits: Vec<Cap>,
    /// How messages leave.
    pub deliver: Deliver,
    /// The OpenTelemetry collector that traces go to (OTLP over HTTP).
    pub otlp: Option<Text>,
}

/// The SQLite store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Store {
    /// File of states, messages and traces.
    pub state: PathBuf,
    /// File of the log.
    pub log: PathBuf,
    /// Partitions of the log; fixed once the log exists.
    pub partitions: u32,
}

/// One source of events.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Input {
    /// How its records are read.
    pub format: InputFormat,
    /// The Kafka topic of its records; every input has one in production.
    pub topic: Option<Text>,
    /// Whether time waits for its records.
    pub blocking: bool,
    /// How long after it happened an event may come.
    pub settle: Delay,
    /// Which events it carries; `None` means any.
    pub carries: Option<BTreeSet<EventName>>,
}

/// How records are read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum InputFormat {
    /// Adobe Commerce XDM.
    Xdm,
    /// CloudEvents with the event names of this project.
    CloudEvents,
    /// By a mapping file.
    Mapping(PathBuf),
}

/// The HTTP server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Http {
    /// Where it listens.
    pub listen: SocketAddr,
    /// Where the pages that customers see are served.
    pub public: SocketAddr,
    /// What a caller must show; needed off loopback.
    pub token: Option<Secret>,
    /// The largest request body, in bytes.
    pub body_limit: u64,
}

/// How time passes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ticks {
    /// How often a tick is written, in milliseconds.
    pub every_ms: i64,
    /// How far a tick stays behind the inputs, so that events come in order, in milliseconds.
    pub grace_ms: i64,
}

/// When state is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// The most records that are read and committed together.
    pub records: u32,
}

/// How long what is over is kept; `None` is without end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Keep {
    /// Messages, from when they were due.
    pub messages: Option<Delay>,
    /// What happened in runs.
    pub trace: Option<Delay>,
    /// What could not become an event.
    pub dead_letters: Option<Delay>,
}

impl Config {
    /// What journeys share, as the engine reads it.
    #[must_use]
    pub fn rules(&self) -> Rules {
        Rules {
            caps: self.limits.clone(),
            consents: self.consent.clone(),
            shops: self.shops.clone(),
            default_shop: self.default_shop.clone(),
            sources: self
                .inputs
                .iter()
                .map(|(name, input)| {
                    let carries =
                        input.carries.as_ref().map(|events| events.iter().cloned().collect());
                    (name.clone(), SourceRule { settle: input.settle, carries })
                })
                .collect(),
        }
    }
}

#[cfg(test)]
mod tests;
