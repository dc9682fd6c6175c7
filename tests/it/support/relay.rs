//! A relay in front of a server, which makes it slow.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Passes on what it gets, both ways. It ends with the process.
pub(crate) struct Relay {
    address: SocketAddr,
    delay_ms: Arc<AtomicU64>,
}

impl Relay {
    /// A relay to `HOST:PORT`, without a delay.
    pub(crate) fn to(server: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let relay =
            Self { address: listener.local_addr().expect("its address"), delay_ms: Arc::default() };
        let (server, delay_ms) = (server.to_owned(), Arc::clone(&relay.delay_ms));
        std::thread::spawn(move || {
            for client in listener.incoming() {
                // A server that is away is away for the client, too.
                if let (Ok(client), Ok(server)) = (client, TcpStream::connect(&server)) {
                    join(&client, &server, &delay_ms);
                }
            }
        });
        relay
    }

    /// Each piece waits this long from now on, those under way not.
    pub(crate) fn delays(&self, delay: Duration) {
        let ms = u64::try_from(delay.as_millis()).expect("it is short");
        self.delay_ms.store(ms, Ordering::Relaxed);
    }

    /// Where it listens, as `HOST:PORT`.
    pub(crate) fn address(&self) -> String {
        self.address.to_string()
    }
}

fn join(client: &TcpStream, server: &TcpStream, delay_ms: &Arc<AtomicU64>) {
    for (from, to) in [(client, server), (server, client)] {
        let _ = from.set_nodelay(true);
        let (Ok(from), Ok(to)) = (from.try_clone(), to.try_clone()) else { return };
        let delay_ms = Arc::clone(delay_ms);
        std::thread::spawn(move || pass_on(from, to, &delay_ms));
    }
}

/// Passes on until one side has gone; then the other hears of it.
fn pass_on(mut from: TcpStream, mut to: TcpStream, delay_ms: &AtomicU64) {
    let mut piece = vec![0; 64 << 10];
    while let Ok(length @ 1..) = from.read(&mut piece) {
        // Slowness itself, for which nothing waits.
        std::thread::sleep(Duration::from_millis(delay_ms.load(Ordering::Relaxed)));
        if to.write_all(&piece[..length]).is_err() {
            break;
        }
    }
    let _ = (from.shutdown(Shutdown::Both), to.shutdown(Shutdown::Both));
}
