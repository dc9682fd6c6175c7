//! `waypost import`: history builds state and starts no run.

use std::path::{Path, PathBuf};

use anyhow::bail;
use clap::ValueEnum;

use crate::decode::{Decoder, Entry, Places, Raw, Reader};
use crate::identity::{Identify, Rejected};
use crate::log::{Append, DeadLetter, Log, Record};
use crate::model::{Event, EventName, Tie};
use crate::replay::grouped;
use crate::worker::{Clock, SystemClock};

use super::talk::{bar, say};
use super::{Outcome, setup};

/// Events of one transaction.
const BATCH: usize = 5_000;
/// How many rejected rows are shown.
const SHOWN: usize = 5;

/// Load history: it builds state and starts no journey
///
/// Rows that can't be read go to the dead letters. The worker must not be running on the same
/// files; it applies what was loaded when it starts.
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
    let (decoder, _) = setup::decoder(args.mapping.as_deref())?;
    // Before the log, so that a file that is not there leaves no log behind.
    let reader = if args.file.as_os_str() == "-" {
        Reader::stdin(decoder.form())?
    } else {
        Reader::open(&args.file, decoder.form())?
    };
    setup::folders(&config)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let log = Log::open(&config.store.log, config.store.partitions).await?;
        import(args, log, &decoder, reader).await
    })
}

async fn import(
    args: &Args,
    mut log: Log,
    decoder: &Decoder,
    mut reader: Reader,
) -> anyhow::Result<Outcome> {
    let decode = decoder.begin(&mut reader)?;
    let name = args.file.display().to_string();
    let source = log.source(&format!("import {name}")).await?;
    let mut importing = Importing {
        identify: Identify::stored(log.identity_key()),
        events: Vec::new(),
        dead: Vec::new(),
        loaded: 0,
        rejected: 0,
        source,
    };
    let progress = bar("importing", None);
    let mut places = Places::default();
    let now = SystemClock.now();
    loop {
        let entry = reader.next_entry()?;
        let ended = entry.is_none();
        match entry {
            None => {}
            Some(Entry::Rejected { line, reason, head }) => {
                importing.reject(line, reason, Some(head), &name, now);
            }
            Some(Entry::Record { line, bytes }) => {
                let raw = Raw {
                    bytes,
                    append_time: Some(now),
                    tie: Tie { source, partition: 0, offset: line },
                    position: &format!("{name}:{}", places.next(line)),
                };
                let mut events = Vec::new();
                match decode.decode(&raw, &mut events) {
                    Err(rejected) => {
                        importing.reject(line, rejected.reason, Some(bytes.to_vec()), &name, now);
                    }
                    Ok(()) => {
                        for mut event in events {
                            if args.kind.takes(&event.name) {
                                event.history = true;
                                importing.events.push(event);
                            } else {
                                let reason = format!(
                                    "a {} event does not belong into an import of {}; import it as what it is",
                                    event.name,
                                    args.kind.as_str()
                                );
                                importing.reject(line, reason, None, &name, now);
                            }
                        }
                    }
                }
            }
        }
        if ended || importing.events.len() >= BATCH {
            importing.write(&mut log, now).await?;
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
        bail!("nothing could be loaded from {name}");
    }
    Ok(Outcome::Done)
}

/// An import under way.
struct Importing {
    identify: Identify,
    events: Vec<Event>,
    dead: Vec<DeadLetter>,
    loaded: u64,
    rejected: u64,
    source: u16,
}

impl Importing {
    fn reject(
        &mut self,
        line: u64,
        reason: String,
        payload: Option<Vec<u8>>,
        name: &str,
        now: crate::model::Timestamp,
    ) {
        self.rejected += 1;
        if self.rejected <= SHOWN as u64 {
            say(&format!("  {name}:{line}: {reason}"));
        }
        self.dead.push(DeadLetter {
            source: self.source,
            partition: 0,
            position: line,
            reason,
            payload,
            at: now,
        });
    }

    async fn write(&mut self, log: &mut Log, now: crate::model::Timestamp) -> anyhow::Result<()> {
        self.identify.prefetch(&log.reader(), self.events.iter()).await?;
        let mut records: Vec<Record> = Vec::new();
        for event in std::mem::take(&mut self.events) {
            let line = event.tie.offset;
            match self.identify.identify(event, &mut records) {
                Ok(_) => self.loaded += 1,
                Err(Rejected::Erased) => {}
                Err(rejected) => {
                    self.rejected += 1;
                    self.dead.push(DeadLetter {
                        source: self.source,
                        partition: 0,
                        position: line,
                        reason: rejected.to_string(),
                        payload: None,
                        at: now,
                    });
                }
            }
        }
        let append = Append {
            at: now,
            records,
            graph: self.identify.take_changes(),
            dead_letters: std::mem::take(&mut self.dead),
            ..Append::default()
        };
        log.append(append).await?;
        Ok(())
    }
}
