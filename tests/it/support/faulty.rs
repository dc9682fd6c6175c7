//! Between clients and a broker: answers in the broker's place, or loses an answer, once for each
//! time it is asked to.
//!
//! Frames are as Kafka's protocol guide says: their length, then for a request its key (what is
//! asked), version and number, for an answer the number of its request.

use std::collections::VecDeque;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

/// What goes wrong with the next request of a kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The broker never sees it, and the connection is closed.
    Unheard,
    /// The broker does it, and the connection is closed before its answer.
    Unanswered,
    /// The broker never sees it; the answer is this code. Only of [`END_TXN`] and [`ADD_OFFSETS`],
    /// in whose answers nothing but a time comes before it.
    Code(i16),
}

/// Keys of requests.
pub(crate) const PRODUCE: i16 = 0;
/// Who a producer is.
pub(crate) const INIT_PRODUCER: i16 = 22;
/// That a transaction writes into a partition.
pub(crate) const ADD_PARTITIONS: i16 = 24;
/// That a transaction has a group's offsets.
pub(crate) const ADD_OFFSETS: i16 = 25;
/// The commit or abort of a transaction.
pub(crate) const END_TXN: i16 = 26;
/// The offsets of a transaction.
pub(crate) const TXN_OFFSETS: i16 = 28;

type Faults = Arc<Mutex<VecDeque<(i16, Fault)>>>;

/// The way to a broker; its threads end with the test process.
pub(crate) struct Faulty {
    faults: Faults,
}

impl Faulty {
    /// Listens at one port, for a broker that listens at another.
    pub(super) fn start(port: u16, broker: u16) -> Self {
        let faults = Faults::default();
        let listener = TcpListener::bind(("127.0.0.1", port)).expect("the port is free");
        let shared = Arc::clone(&faults);
        thread::spawn(move || {
            for client in listener.incoming() {
                let Ok(broker) = TcpStream::connect(("127.0.0.1", broker)) else { continue };
                let (client, faults) = (client.expect("a connection"), Arc::clone(&shared));
                thread::spawn(move || Connection::new(client, broker, faults).run());
            }
        });
        Self { faults }
    }

    /// Adds a fault, which meets the first request of this key.
    pub(crate) fn next(&self, key: i16, fault: Fault) {
        locked(&self.faults).push_back((key, fault));
    }

    /// Whether every fault met its request.
    pub(crate) fn is_over(&self) -> bool {
        locked(&self.faults).is_empty()
    }
}

struct Connection {
    client: TcpStream,
    broker: TcpStream,
    faults: Faults,
    /// The number of the request whose answer is lost.
    lost: Mutex<Option<[u8; 4]>>,
    /// One frame after another goes to the client.
    turn: Mutex<()>,
}

impl Connection {
    fn new(client: TcpStream, broker: TcpStream, faults: Faults) -> Self {
        Self { client, broker, faults, lost: Mutex::default(), turn: Mutex::default() }
    }

    /// Until one of both closes it.
    fn run(&self) {
        thread::scope(|scope| {
            scope.spawn(|| {
                while self.request().is_some() {}
                self.close();
            });
            while self.answer().is_some() {}
            self.close();
        });
    }

    fn close(&self) {
        for side in [&self.client, &self.broker] {
            // The other thread may have been faster.
            let _ = side.shutdown(Shutdown::Both);
        }
    }

    /// Takes a request on its way; `None` if the connection is over.
    fn request(&self) -> Option<()> {
        let frame = frame(&self.client)?;
        let key = i16::from_be_bytes(frame.get(4..6)?.try_into().ok()?);
        let number: [u8; 4] = frame.get(8..12)?.try_into().ok()?;
        let fault = {
            let mut faults = locked(&self.faults);
            let is_next = faults.front().is_some_and(|(wanted, _)| *wanted == key);
            is_next.then(|| faults.pop_front()).flatten()
        };
        match fault {
            None => (&self.broker).write_all(&frame).ok(),
            Some((_, Fault::Unheard)) => None,
            Some((_, Fault::Unanswered)) => {
                *locked(&self.lost) = Some(number);
                (&self.broker).write_all(&frame).ok()
            }
            Some((_, Fault::Code(code))) => {
                let time = [0; 4];
                let body = [&number[..], &time, &code.to_be_bytes()].concat();
                let length = u32::try_from(body.len()).ok()?.to_be_bytes();
                let _turn = locked(&self.turn);
                (&self.client).write_all(&[&length[..], &body].concat()).ok()
            }
        }
    }

    /// Takes an answer on its way; `None` if the connection is over.
    fn answer(&self) -> Option<()> {
        let frame = frame(&self.broker)?;
        if locked(&self.lost).is_some_and(|lost| frame.get(4..8) == Some(&lost[..])) {
            return None;
        }
        let _turn = locked(&self.turn);
        (&self.client).write_all(&frame).ok()
    }
}

/// A frame with its length.
fn frame(mut from: &TcpStream) -> Option<Vec<u8>> {
    let mut length = [0; 4];
    from.read_exact(&mut length).ok()?;
    let mut frame = length.to_vec();
    frame.resize(4 + usize::try_from(u32::from_be_bytes(length)).ok()?, 0);
    from.read_exact(&mut frame[4..]).ok()?;
    Some(frame)
}

fn locked<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
