//! A mail server that speaks as little SMTP as it takes, and does as it is told.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

/// What the server does.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Does {
    /// It answers this.
    Says(&'static str),
    /// It closes the connection without a word.
    HangsUp,
    /// It says nothing until the client has gone.
    Stalls,
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
    script: Arc<Mutex<Script>>,
    said: Arc<Mutex<Vec<String>>>,
    mails: Arc<Mutex<Vec<String>>>,
}

impl MailServer {
    pub(crate) fn start(script: Script) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let server = Self {
            address: listener.local_addr().expect("its address"),
            script: Arc::new(Mutex::new(script)),
            said: Arc::default(),
            mails: Arc::default(),
        };
        let (asks, said, mails) =
            (Arc::clone(&server.script), Arc::clone(&server.said), Arc::clone(&server.mails));
        std::thread::spawn(move || {
            for client in listener.incoming() {
                let script = *asks.lock().expect("nobody panicked");
                let (said, mails) = (Arc::clone(&said), Arc::clone(&mails));
                // A client that goes away ends its conversation.
                std::thread::spawn(move || talk(client.ok()?, script, &said, &mails));
            }
        });
        server
    }

    /// What it does from the next connection on.
    pub(crate) fn becomes(&self, script: Script) {
        *self.script.lock().expect("nobody panicked") = script;
    }

    pub(crate) fn port(&self) -> u16 {
        self.address.port()
    }

    /// What clients said that begins so.
    pub(crate) fn heard(&self, begin: &str) -> Vec<String> {
        let said = self.said.lock().expect("nobody panicked");
        said.iter().filter(|line| line.starts_with(begin)).cloned().collect()
    }

    /// The mails that came whole, whatever was answered.
    pub(crate) fn mails(&self) -> Vec<String> {
        self.mails.lock().expect("nobody panicked").clone()
    }
}

fn talk(
    mut client: TcpStream,
    script: Script,
    said: &Mutex<Vec<String>>,
    mails: &Mutex<Vec<String>>,
) -> Option<()> {
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
        let scripted = script.iter().find(|(begin, _)| line.starts_with(begin));
        match scripted.map_or(Does::Says(usual), |(_, does)| *does) {
            Does::Says(reply) => client.write_all(format!("{reply}\r\n").as_bytes()).ok()?,
            Does::HangsUp => return None,
            Does::Stalls => {
                lines.by_ref().for_each(drop);
                return None;
            }
        }
        if line.starts_with("DATA") && scripted.is_none() {
            let body = lines.by_ref().map_while(Result::ok).take_while(|line| line != DOT);
            let body: Vec<String> = body.collect();
            mails.lock().ok()?.push(body.join("\n"));
            line = DOT.to_owned();
            continue;
        }
        if line.starts_with("QUIT") {
            return Some(());
        }
        line = lines.next()?.ok()?;
        said.lock().ok()?.push(line.clone());
    }
}
