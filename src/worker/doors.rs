//! Where the world comes in: events by HTTP and standard input, customers by the public pages. All
//! are closed together.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;

use crate::decode::{BeginError, Decode, Decoder, Entry, Raw, Reader};
use crate::diagnostic::did_you_mean_within;
use crate::log::DeadLetter;
use crate::model::{EventName, Text, Tie, Timestamp};
use crate::yaml::EVENT_MISTAKES_MAX;

use super::Options;
use super::http;
use super::ingest::{Intake, Placed, Source};

/// Most records of standard input that go in together.
const STDIN_RECORDS: usize = 2_000;

/// Of how many names that are not ours one request is told what was meant, and how often.
const ODD_NAMES_MAX: usize = 100;
const WARNINGS_MAX: usize = 100;

/// The doors of a running worker.
pub(super) struct Doors {
    address: Option<SocketAddr>,
    tasks: JoinSet<()>,
}

impl Doors {
    pub(super) fn open(
        listener: Option<TcpListener>,
        pages: Option<(TcpListener, Router)>,
        intake: Intake,
        sources: Arc<[Source]>,
        options: &Options,
        stop: watch::Receiver<bool>,
    ) -> Self {
        let address = listener.as_ref().and_then(|listener| listener.local_addr().ok());
        let mut tasks = JoinSet::new();
        let of_stdin = sources.iter().find(|source| options.stdin.as_ref() == Some(&source.name));
        if let Some(source) = of_stdin {
            tasks.spawn(stdin(intake.clone(), source.clone(), stop.clone()));
        }
        if let Some(listener) = listener {
            let door = http::Door {
                intake,
                sources,
                token: options.token.clone(),
                body_bytes_max: options.body_bytes_max,
            };
            tasks.spawn(http::serve(listener, http::routes(door), stop.clone()));
        }
        if let Some((listener, routes)) = pages {
            tasks.spawn(http::serve(listener, routes, stop));
        }
        Self { address, tasks }
    }

    /// Where HTTP listens.
    pub(super) const fn address(&self) -> Option<SocketAddr> {
        self.address
    }

    /// Returns when the doors, told to stop, are closed.
    pub(super) async fn closed(mut self) {
        while self.tasks.join_next().await.is_some() {}
    }
}

/// What a batch of records decoded to.
#[derive(Default)]
pub(super) struct Batch {
    /// Records so far: events, dead letters and ignored ones.
    pub records: usize,
    pub events: Vec<Placed>,
    pub rejected: Vec<(usize, u64, String)>,
    pub dead: Vec<DeadLetter>,
    /// Names that were met and are not ours, each with what was most likely meant.
    odd: BTreeMap<Text, Option<String>>,
    /// Events that were taken, and may be misnamed.
    pub warnings: Vec<(usize, String)>,
}

impl Batch {
    /// Decodes one entry of a request or of standard input.
    pub(super) fn add(
        &mut self,
        entry: Entry<'_>,
        decode: &dyn Decode,
        source: u16,
        at: Timestamp,
        position: &str,
    ) {
        let place = self.records;
        self.records += 1;
        let (line, bytes, whole, reason) = match entry {
            Entry::Rejected { line, reason, head } => (line, head, false, reason),
            Entry::Record { line, bytes } => {
                let raw = Raw {
                    bytes,
                    append_time: Some(at),
                    tie: Tie { source, partition: 0, offset: 0 },
                    // Its number, for a whole request may stand on one line.
                    position: &format!("{position}:{}", self.records),
                };
                let mut events = Vec::with_capacity(1);
                match decode.decode(&raw, &mut events) {
                    Ok(()) => {
                        for event in &events {
                            self.look_at(&event.name, place);
                        }
                        self.events.extend(events.into_iter().map(|event| Placed {
                            index: place,
                            line,
                            event,
                        }));
                        return;
                    }
                    Err(rejected) => (line, bytes.to_vec(), true, rejected.reason),
                }
            }
        };
        self.rejected.push((place, line, reason.clone()));
        self.dead.push(DeadLetter {
            source,
            partition: 0,
            position: line,
            reason,
            payload: Some(bytes),
            whole,
            at,
        });
    }
}

impl Batch {
    /// Warns of an event of the shop's own that has nearly the name of one of ours.
    fn look_at(&mut self, name: &EventName, place: usize) {
        let EventName::Custom(name) = name else { return };
        if self.warnings.len() >= WARNINGS_MAX {
            return;
        }
        let meant = match self.odd.get(name) {
            Some(meant) => meant.clone(),
            None if self.odd.len() >= ODD_NAMES_MAX => return,
            None => {
                let ours = EventName::KNOWN.iter().filter(|(name, ..)| !name.is_derived());
                let ours = ours.map(|(_, name, _)| *name);
                let meant = did_you_mean_within(name, EVENT_MISTAKES_MAX, ours);
                self.odd.insert(name.clone(), meant.clone());
                meant
            }
        };
        if let Some(meant) = meant {
            let text = format!(
                "`{name}` is not one of Waypost's events and was taken as the shop's own; {meant}"
            );
            self.warnings.push((place, text));
        }
    }
}

/// A record of standard input, or what could not be cut into one.
enum Cut {
    Record { line: u64, bytes: Vec<u8> },
    Rejected { line: u64, reason: String, head: Vec<u8> },
}

impl Cut {
    fn of(entry: Entry<'_>) -> Self {
        match entry {
            Entry::Record { line, bytes } => Self::Record { line, bytes: bytes.to_vec() },
            Entry::Rejected { line, reason, head } => Self::Rejected { line, reason, head },
        }
    }

    fn entry(&mut self) -> Entry<'_> {
        match self {
            Self::Record { line, bytes } => Entry::Record { line: *line, bytes },
            Self::Rejected { line, reason, head } => Entry::Rejected {
                line: *line,
                reason: std::mem::take(reason),
                head: std::mem::take(head),
            },
        }
    }
}

/// Takes records of standard input in until it ends or the worker stops.
async fn stdin(intake: Intake, source: Source, mut stop: watch::Receiver<bool>) {
    // Reading blocks, so it has a thread of its own. A thread that waits for input can't be woken:
    // it holds nothing that the worker waits for, and ends with the process.
    let (send, mut cuts) = mpsc::channel(STDIN_RECORDS);
    let (begun, decode) = oneshot::channel();
    let decoder = source.decoder.clone();
    std::thread::spawn(move || read_stdin(&decoder, begun, &send));
    let decode = tokio::select! {
        decode = decode => decode,
        _ = stop.wait_for(|stop| *stop) => return,
    };
    let Ok(decode) = decode else { return };
    loop {
        let mut first = tokio::select! {
            first = cuts.recv() => first,
            _ = stop.wait_for(|stop| *stop), if !cuts.is_closed() => {
                // What is read by now is still taken in.
                cuts.close();
                continue;
            }
        };
        // Records that are there go in together; nobody waits for more of them to come.
        let taken = intake.take_in();
        let position = taken.position("stdin");
        let mut batch = Batch::default();
        while let Some(mut cut) = first {
            batch.add(cut.entry(), &*decode, source.number, taken.at, &position);
            first = if batch.records < STDIN_RECORDS { cuts.try_recv().ok() } else { None };
        }
        if batch.records == 0 {
            return;
        }
        if let Err(refused) = intake.submit(taken, batch.events, batch.dead).await {
            tracing::error!(%refused, "standard input was not taken in");
            return;
        }
    }
}

fn read_stdin(
    decoder: &Decoder,
    begun: oneshot::Sender<Arc<dyn Decode>>,
    send: &mpsc::Sender<Cut>,
) {
    let opened = Reader::stdin(decoder.form())
        .map_err(BeginError::from)
        .and_then(|mut reader| Ok((decoder.begin(&mut reader)?, reader)));
    let mut reader = match opened {
        Ok((decode, reader)) => {
            let _ = begun.send(decode);
            reader
        }
        Err(error) => {
            tracing::error!(%error, "standard input can't be read");
            return;
        }
    };
    loop {
        match reader.next_entry() {
            Ok(Some(entry)) => {
                if send.blocking_send(Cut::of(entry)).is_err() {
                    return;
                }
            }
            Ok(None) => return,
            Err(error) => {
                tracing::error!(%error, "standard input can't be read further");
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decode::{CloudEvents, Form};

    #[test]
    fn records_on_one_line_have_ids_of_their_own() {
        let record = r#"{"specversion":"1.0","type":"cart.item_added","source":"shop",
            "data":{"customer":{"id":"7"},"items":[{"sku":"A"}]}}"#
            .replace('\n', " ");
        let body = std::io::Cursor::new(format!("[{record},{record},{record}]"));
        let mut reader = Reader::new("the request", body, Form::Auto).expect("a body");
        let mut batch = Batch::default();
        while let Some(entry) = reader.next_entry().expect("memory can be read") {
            batch.add(entry, &CloudEvents, 0, Timestamp::from_ms(0), "http@1970#0");
        }
        let ids: std::collections::BTreeSet<&str> =
            batch.events.iter().map(|placed| placed.event.id.as_str()).collect();
        assert_eq!((batch.events.len(), ids.len()), (3, 3), "{:?}", batch.rejected);
    }
}
