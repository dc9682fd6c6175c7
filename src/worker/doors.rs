//! Where records come in: HTTP and standard input. All are closed together.

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::decode::{BeginError, Decode, Entry, Raw, Reader};
use crate::log::DeadLetter;
use crate::model::{Event, Tie, Timestamp};

use super::Options;
use super::http;
use super::ingest::{Intake, Source, Taken};

/// Records of standard input that go in together.
const STDIN_RECORDS: usize = 2_000;

/// The doors of a running worker.
pub(super) struct Doors {
    address: Option<SocketAddr>,
    tasks: JoinSet<()>,
    stop: watch::Receiver<bool>,
}

impl Doors {
    pub(super) fn open(
        listener: Option<TcpListener>,
        intake: Intake,
        sources: Arc<[Source]>,
        options: &Options,
        stop: watch::Receiver<bool>,
    ) -> Self {
        let address = listener.as_ref().and_then(|listener| listener.local_addr().ok());
        let mut tasks = JoinSet::new();
        if let Some(source) = sources.first().filter(|_| options.stdin) {
            tasks.spawn(stdin(intake.clone(), source.clone(), stop.clone()));
        }
        if let Some(listener) = listener {
            let door = http::Door { intake, sources, token: options.token.clone() };
            tasks.spawn(http::serve(listener, door, options.body_bytes_max, stop.clone()));
        }
        Self { address, tasks, stop }
    }

    /// Where HTTP listens.
    pub(super) const fn address(&self) -> Option<SocketAddr> {
        self.address
    }

    /// Returns when the worker is told to stop and the doors are closed.
    pub(super) async fn closed(mut self) {
        // A sender that is gone means stop, too.
        let _ = self.stop.wait_for(|stop| *stop).await;
        while self.tasks.join_next().await.is_some() {}
    }
}

/// What a batch of records decoded to.
#[derive(Default)]
pub(super) struct Batch {
    /// Records so far: events, dead letters and ignored ones.
    pub records: usize,
    pub events: Vec<(usize, Event)>,
    pub rejected: Vec<(usize, u64, String)>,
    pub dead: Vec<DeadLetter>,
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
        let (line, bytes, reason) = match entry {
            Entry::Rejected { line, reason, head } => (line, head, reason),
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
                        self.events.extend(events.into_iter().map(|event| (place, event)));
                        return;
                    }
                    Err(rejected) => (line, bytes.to_vec(), rejected.reason),
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
            at,
        });
    }
}

/// Reads records from standard input until it ends or the worker stops.
async fn stdin(intake: Intake, source: Source, stop: watch::Receiver<bool>) {
    // Reading blocks, so it has a thread of its own; it hands over batch by batch.
    let (send, mut batches) = tokio::sync::mpsc::channel::<(Taken, Batch)>(2);
    let reading = intake.clone();
    let thread = std::thread::spawn(move || read_stdin(&reading, &source, &send));
    let mut stop = stop;
    loop {
        let batch = tokio::select! {
            batch = batches.recv() => batch,
            _ = stop.wait_for(|stop| *stop) => None,
        };
        let Some((taken, batch)) = batch else { break };
        if let Err(refused) = intake.submit(taken, batch.events, batch.dead).await {
            tracing::error!(%refused, "standard input was not taken in");
            break;
        }
    }
    // A thread that waits for standard input can't be woken; it ends with the process.
    drop(thread);
}

fn read_stdin(intake: &Intake, source: &Source, send: &tokio::sync::mpsc::Sender<(Taken, Batch)>) {
    let begun = Reader::stdin(source.decoder.form())
        .map_err(BeginError::from)
        .and_then(|mut reader| Ok((source.decoder.begin(&mut reader)?, reader)));
    let (decode, mut reader) = match begun {
        Ok(begun) => begun,
        Err(error) => {
            tracing::error!(%error, "standard input can't be read");
            return;
        }
    };
    loop {
        let mut batch = Batch::default();
        let taken = intake.take_in();
        let position = taken.position("stdin");
        let mut ended = false;
        while batch.records < STDIN_RECORDS {
            match reader.next_entry() {
                Ok(Some(entry)) => batch.add(entry, &*decode, source.number, taken.at, &position),
                Ok(None) => {
                    ended = true;
                    break;
                }
                Err(error) => {
                    tracing::error!(%error, "standard input can't be read further");
                    ended = true;
                    break;
                }
            }
        }
        // The append time is let go only once the batch has it: time must not pass it meanwhile.
        if batch.records > 0 && send.blocking_send((taken, batch)).is_err() {
            return;
        }
        if ended {
            return;
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
            batch.events.iter().map(|(_, event)| event.id.as_str()).collect();
        assert_eq!((batch.events.len(), ids.len()), (3, 3), "{:?}", batch.rejected);
    }
}
