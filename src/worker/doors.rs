//! Where the world comes in: events by HTTP and standard input, customers by the public pages. All
//! are closed together.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;

use crate::decode::{BeginError, Decode, Decoder, Entry, Reader};

use super::Options;
use super::batch::Batch;
use super::http::{self, Door};
use super::ingest::Intake;
use super::inlet::{Source, gather};
use super::misnamed::Misnamed;
use super::ready::Embedded;

/// Most records of standard input that go in together.
const STDIN_RECORDS: usize = 2_000;

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
        ready: Embedded,
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
            let door = Door {
                metrics: Arc::clone(intake.metrics()),
                inlet: intake,
                ready,
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
        let mut batch = Batch::begin(&intake, &source, "stdin");
        let mut misnamed = Misnamed::default();
        let mut records = 0;
        while let Some(mut cut) = first {
            // What can't be read is a dead letter; nobody waits for an answer.
            let number = source.number;
            let _ = gather(&mut batch, records, cut.entry(), &*decode, number, &mut misnamed);
            records += 1;
            first = if records < STDIN_RECORDS { cuts.try_recv().ok() } else { None };
        }
        if records == 0 {
            return;
        }
        if let Err(refused) = batch.submit(&intake, &source).await {
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
