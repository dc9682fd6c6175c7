//! `waypost import`: history builds state and starts no run.

use std::fs::File;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use clap::ValueEnum;

use crate::decode::{Decode, Decoder, Entry, Places, Raw, Reader};
use crate::identity::{Identify, Rejected};
use crate::log::{Append, DeadLetter, InputPosition, Log, ReadLog, Record};
use crate::model::{Event, EventName, Tie, Timestamp};
use crate::replay::grouped;
use crate::worker::{Clock, SystemClock};

use super::talk::{bar, say};
use super::{Outcome, setup};

/// Events of one transaction.
const BATCH: usize = 5_000;
/// How many rejected rows are shown.
const SHOWN: u64 = 5;

/// Load history: it builds state and starts no journey
///
/// Rows that can't be read go to the dead letters. A file that was loaded before is not loaded
/// again, and one that was cut off goes on where it was. The worker must not be running on the
/// same files; it applies what was loaded when it starts.
///
/// Examples:
///   waypost import profiles crm.ndjson
///   waypost import orders orders.csv.gz --mapping mappings/shop.yaml
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub(super) struct Args {
    /// What the file holds.
    kind: Kind,
    /// The file: NDJSON, a JSON array or CSV, plain, .gz or .zst; `-` is standard input.
    file: PathBuf,
    /// How columns or JSON paths become events.
    #[arg(long, value_name = "FILE")]
    mapping: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Kind {
    /// Orders placed, cancelled, refunded, shipped.
    Orders,
    /// Accounts and profiles.
    Profiles,
    /// Consents and unsubscribes.
    Consents,
}

impl Kind {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Orders => "orders",
            Self::Profiles => "profiles",
            Self::Consents => "consents",
        }
    }

    const fn takes(self, name: &EventName) -> bool {
        match self {
            Self::Orders => matches!(
                name,
                EventName::OrderPlaced
                    | EventName::OrderInvoiced
                    | EventName::OrderShipped
                    | EventName::OrderDelivered
                    | EventName::OrderCancelled
                    | EventName::OrderRefunded
                    | EventName::OrderReturnStarted
                    | EventName::OrderReturnCompleted
            ),
            Self::Profiles => {
                matches!(name, EventName::CustomerCreated | EventName::CustomerUpdated)
            }
            Self::Consents => {
                matches!(name, EventName::ConsentChanged | EventName::CustomerUnsubscribed)
            }
        }
    }
}

pub(super) fn run(args: &Args, config: Option<&Path>) -> anyhow::Result<Outcome> {
    let config = setup::configuration(config)?.config;
    if config.production.is_some() {
        bail!(
            "history can't be loaded into Kafka and Postgres yet, only into the embedded log; nothing was changed"
        );
    }
    let (decoder, _) = setup::decoder(args.mapping.as_deref(), &config)?;
    // Before the log, so that a file that is not there leaves no log behind.
    let content = args.content()?;
    let reader = match content {
        None => Reader::stdin(decoder.form())?,
        Some(_) => Reader::open(&args.file, decoder.form())?,
    };
    setup::folders(&config)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let log = Log::open(&config.store.log, config.store.partitions).await?;
        let importing = Importing::begin(args, content, log).await?;
        import(importing, &decoder, reader).await
    })
}

async fn import(
    mut importing: Importing,
    decoder: &Decoder,
    mut reader: Reader,
) -> anyhow::Result<Outcome> {
    let decode = decoder.begin(&mut reader)?;
    if importing.next > 0 {
        say(&format!(
            "the same was imported before, its first {} rows; only what follows is loaded",
            grouped(importing.next)
        ));
    }
    let progress = bar("importing", None);
    loop {
        let entry = reader.next_entry()?;
        let ended = entry.is_none();
        if let Some(entry) = entry {
            importing.add(entry, &*decode);
        }
        if ended || importing.events.len() >= BATCH {
            importing.write().await?;
            progress.set_position(importing.loaded);
        }
        if ended {
            break;
        }
    }
    progress.finish_and_clear();
    say(&format!("{} events loaded as history", grouped(importing.loaded)));
    if importing.rejected > 0 {
        say(&format!("{} rows rejected: they are dead letters", grouped(importing.rejected)));
    }
    if importing.loaded == 0 && importing.rejected > 0 {
        bail!("nothing could be loaded from {}", importing.name);
    }
    Ok(Outcome::Done)
}

impl Args {
    /// Hash of everything that makes the events: the file, the mapping and what is taken of it.
    /// `None` for standard input, which can be read once only.
    fn content(&self) -> anyhow::Result<Option<String>> {
        if self.file.as_os_str() == "-" {
            return Ok(None);
        }
        let mut hasher = blake3::Hasher::new();
        hasher.update(self.kind.as_str().as_bytes());
        for path in self.mapping.iter().chain([&self.file]) {
            let file =
                File::open(path).with_context(|| format!("can't open {}", path.display()))?;
            hasher.update_reader(file).with_context(|| format!("can't read {}", path.display()))?;
        }
        Ok(Some(hasher.finalize().to_hex()[..16].to_owned()))
    }
}

/// An import under way.
struct Importing {
    log: Log,
    identify: Identify,
    kind: Kind,
    /// The file's name, without its folder: part of the id of a row that has none.
    name: String,
    source: u16,
    /// How many rows were imported before.
    next: u64,
    /// How many rows are read.
    rows: u64,
    places: Places,
    at: Timestamp,
    /// With their lines.
    events: Vec<(u64, Event)>,
    dead: Vec<DeadLetter>,
    loaded: u64,
    rejected: u64,
}

impl Importing {
    async fn begin(args: &Args, content: Option<String>, mut log: Log) -> anyhow::Result<Self> {
        let name = args.file.file_name().unwrap_or(args.file.as_os_str()).to_string_lossy();
        let source = match &content {
            // The same under another file's name is the same.
            Some(content) => (log.reader().sources().await?.into_iter())
                .map(|(_, source)| source)
                .find(|source| source.starts_with("import ") && source.ends_with(content))
                .unwrap_or_else(|| format!("import of {} {name} {content}", args.kind.as_str())),
            None => format!("import of {} from standard input", args.kind.as_str()),
        };
        let source = log.source(&source).await?;
        let positions = log.reader().positions().await?;
        let known = positions.iter().find(|p| p.source == source).filter(|_| content.is_some());
        Ok(Self {
            identify: Identify::stored(log.identity_key()),
            log,
            kind: args.kind,
            name: name.into_owned(),
            source,
            next: known.map_or(0, |position| position.next),
            rows: 0,
            places: Places::default(),
            at: SystemClock.now(),
            events: Vec::new(),
            dead: Vec::new(),
            loaded: 0,
            rejected: 0,
        })
    }

    fn add(&mut self, entry: Entry<'_>, decode: &dyn Decode) {
        let (Entry::Record { line, .. } | Entry::Rejected { line, .. }) = entry;
        let place = self.places.next(line);
        self.rows += 1;
        if self.rows <= self.next {
            return;
        }
        let bytes = match entry {
            Entry::Rejected { reason, head, .. } => return self.reject(line, reason, Some(head)),
            Entry::Record { bytes, .. } => bytes,
        };
        let raw = Raw {
            bytes,
            append_time: Some(self.at),
            tie: Tie { source: self.source, partition: 0, offset: self.rows },
            position: &format!("{}:{place}", self.name),
        };
        let mut events = Vec::new();
        if let Err(rejected) = decode.decode(&raw, &mut events) {
            return self.reject(line, rejected.reason, Some(bytes.to_vec()));
        }
        for mut event in events {
            if self.kind.takes(&event.name) {
                event.history = true;
                self.events.push((line, event));
            } else {
                let reason = format!(
                    "a {} event does not belong into an import of {}; import it as what it is",
                    event.name,
                    self.kind.as_str()
                );
                self.reject(line, reason, Some(bytes.to_vec()));
            }
        }
    }

    fn reject(&mut self, line: u64, reason: String, payload: Option<Vec<u8>>) {
        self.rejected += 1;
        if self.rejected <= SHOWN {
            say(&format!("  {}:{line}: {reason}", self.name));
        }
        self.dead.push(DeadLetter {
            source: self.source,
            partition: 0,
            position: line,
            reason,
            payload,
            // A row of history is imported again with its file.
            whole: false,
            at: self.at,
        });
    }

    /// Writes what was read, with how far that is: an import that was cut off goes on from there.
    async fn write(&mut self) -> anyhow::Result<()> {
        let events = self.events.iter().map(|(_, event)| event);
        self.identify.prefetch(&self.log.reader(), events).await?;
        let mut records: Vec<Record> = Vec::new();
        for (line, event) in std::mem::take(&mut self.events) {
            match self.identify.identify(event, &mut records) {
                Ok(_) => self.loaded += 1,
                Err(Rejected::Erased) => {}
                Err(rejected) => {
                    let payload = rejected.event().and_then(|e| serde_json::to_vec(e).ok());
                    self.reject(line, rejected.to_string(), payload);
                }
            }
        }
        let position = InputPosition { source: self.source, partition: 0, next: self.rows };
        let append = Append {
            at: self.at,
            records,
            graph: self.identify.take_changes(),
            dead_letters: std::mem::take(&mut self.dead),
            // A file of which nothing was of use may be tried again.
            positions: if self.loaded > 0 { vec![position] } else { Vec::new() },
            ..Append::default()
        };
        self.log.append(append).await?;
        Ok(())
    }
}
