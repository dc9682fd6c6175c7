//! A mail server that speaks as little SMTP as it takes, and does as it is told.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};

/// What the server does.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Does {
    /// It answers this.
    Says(&'static str),
    /// It closes the connection without a word.
    HangsUp,
    /// It says nothing until the client has gone.
    Stalls,
    /// It says nothing until it does something else, and then does that.
    Waits,
}

/// What it does to a line that begins so; the first that fits counts, and all else is taken.
/// [`GREETING`] and [`DOT`] stand for no line of a client's own.
pub(crate) type Script = &'static [(&'static str, Does)];

/// The connection itself.
pub(crate) const GREETING: &str = "connected";
/// The end of a message.
pub(crate) const DOT: &str = ".";

/// It takes everything.
pub(crate) const TAKES: Script = &[];

/// A running server. It ends with the process.
pub(crate) struct MailServer {
    address: SocketAddr,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    script: Mutex<Script>,
    /// Told of another script.
    changed: Condvar,
    waiting: AtomicUsize,
    said: Mutex<Vec<String>>,
    mails: Mutex<Vec<String>>,
}

impl MailServer {
    pub(crate) fn start(script: Script) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let server = Self {
            address: listener.local_addr().expect("its address"),
            shared: Arc::new(Shared { script: Mutex::new(script), ..Shared::default() }),
        };
        let shared = Arc::clone(&server.shared);
        std::thread::spawn(move || {
            for client in listener.incoming() {
                let shared = Arc::clone(&shared);
                // A client that goes away ends its conversation.
                std::thread::spawn(move || talk(client.ok()?, &shared));
            }
        });
        server
    }

    /// What it does from the next connection on, and in those in which it waits.
    pub(crate) fn becomes(&self, script: Script) {
        *self.shared.script.lock().expect("nobody panicked") = script;
        self.shared.changed.notify_all();
    }

    /// In how many connections it waits.
    pub(crate) fn waiting(&self) -> usize {
        self.shared.waiting.load(Ordering::SeqCst)
    }

    pub(crate) fn port(&self) -> u16 {
        self.address.port()
    }

    /// What clients said that begins so.
    pub(crate) fn heard(&self, begin: &str) -> Vec<String> {
        let said = self.shared.said.lock().expect("nobody panicked");
        said.iter().filter(|line| line.starts_with(begin)).cloned().collect()
    }

    /// The mails that came whole, whatever was answered.
    pub(crate) fn mails(&self) -> Vec<String> {
        self.shared.mails.lock().expect("nobody panicked").clone()
    }
}

fn talk(mut client: TcpStream, shared: &Shared) -> Option<()> {
    let mut script = *shared.script.lock().ok()?;
    let mut lines = BufReader::new(client.try_clone().ok()?).lines();
    let mut line = GREETING.to_owned();
    loop {
        let usual = match line.get(..4).unwrap_or(DOT) {
            "conn" => "220 mail.example",
            DOT => "250 2.0.0 taken",
            "EHLO" => "250-mail.example\r\n250 AUTH PLAIN",
            "DATA" => "354 go on",
            "AUTH" => "235 2.7.0 welcome",
            "QUIT" => "221 bye",
            _ => "250 2.1.0 fine",
        };
        let scripted = does(script, &line);
        match scripted.unwrap_or(Does::Says(usual)) {
            Does::Says(reply) => client.write_all(format!("{reply}\r\n").as_bytes()).ok()?,
            Does::HangsUp => return None,
            Does::Stalls => {
                lines.by_ref().for_each(drop);
                return None;
            }
            Does::Waits => {
                shared.waiting.fetch_add(1, Ordering::SeqCst);
                let waits = |script: &mut Script| matches!(does(script, &line), Some(Does::Waits));
                let now = shared.script.lock().ok()?;
                script = *shared.changed.wait_while(now, waits).ok()?;
                shared.waiting.fetch_sub(1, Ordering::SeqCst);
                continue;
            }
        }
        if line.starts_with("DATA") && scripted.is_none() {
            let mut body = Vec::new();
            loop {
                match lines.next()?.ok()? {
                    line if line == DOT => break,
                    line => body.push(line),
                }
            }
            shared.mails.lock().ok()?.push(body.join("\n"));
            line = DOT.to_owned();
            continue;
        }
        if line.starts_with("QUIT") {
            return Some(());
        }
        line = lines.next()?.ok()?;
        shared.said.lock().ok()?.push(line.clone());
    }
}

/// What a script does to a line.
fn does(script: Script, line: &str) -> Option<Does> {
    script.iter().find(|(begin, _)| line.starts_with(begin)).map(|(_, does)| *does)
}
