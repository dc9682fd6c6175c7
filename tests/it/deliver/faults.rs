//! What goes wrong around a message: a server that says nothing, a full disk, too much data.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use waypost::config::Audience;
use waypost::deliver::Way;
use waypost::engine::Decision;
use waypost::mail::Timeouts;
use waypost::model::{MINUTE_MS, Text, Timestamp};
use waypost::provider::Caught;
use waypost::store::DeliveryStatus;

use super::work::{Work, marketing, to, to_port};
use crate::mail_server::Does::Stalls;
use crate::mail_server::{GREETING, MailServer, Script, TAKES};
use crate::support::root;

/// How long a part of an exchange may take here.
const LIMIT: Duration = Duration::from_secs(2);

fn impatient() -> Timeouts {
    let all = LIMIT;
    Timeouts {
        connect: all,
        greeting: all,
        tls: all,
        command: all,
        block: all,
        dot: all,
        ..Timeouts::default()
    }
}

/// A message waits with the phase in which its server said nothing, and goes once it speaks.
async fn stalls(script: Script, phase: &str) {
    let server = MailServer::start(script);
    let way = to_port(server.port(), impatient());
    let work = Work::begin(marketing(), way, Audience::Everybody).await;
    let row = work.until("the first try", |row| row.try_after.is_some()).await;
    assert_eq!((row.status, row.attempts), (DeliveryStatus::Waiting, 1));
    assert_eq!(row.detail, Some(format!("{phase}: no reply within 2 s")));
    server.becomes(TAKES);
    work.later(10 * MINUTE_MS);
    work.ends(DeliveryStatus::Sent, "taken").await;
    assert_eq!(server.mails().len(), 1);
    work.stops().await;
}

#[tokio::test]
async fn a_server_that_never_greets_is_given_up() {
    stalls(&[(GREETING, Stalls)], "greeting").await;
}

#[tokio::test]
async fn a_server_that_stalls_at_the_password_is_given_up() {
    stalls(&[("AUTH", Stalls)], "AUTH").await;
}

#[tokio::test]
async fn a_server_that_stalls_until_the_messages_time_is_over_lets_it_expire() {
    let server = MailServer::start(&[(GREETING, Stalls)]);
    let given = Decision { expires: Some(Timestamp::from_ms(10_000)), ..marketing() };
    let work = Work::begin(given, to_port(server.port(), impatient()), Audience::Everybody).await;
    let why = "no try is left in its time; the last: greeting: no reply within 2 s";
    work.ends(DeliveryStatus::Expired, why).await;
    work.stops().await;
}

/// Linux lets no more in than the backlog holds, and answers nobody else.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_server_that_accepts_nobody_is_given_up() {
    let socket = tokio::net::TcpSocket::new_v4().expect("a socket");
    socket.bind("127.0.0.1:0".parse().expect("an address")).expect("a port");
    let full = socket.listen(1).expect("it listens");
    let address = full.local_addr().expect("its address");
    let mut waiting = Vec::new();
    loop {
        let connecting = tokio::net::TcpStream::connect(address);
        match tokio::time::timeout(LIMIT, connecting).await {
            Ok(stream) => waiting.push(stream.expect("a connection")),
            Err(_) => break,
        }
    }
    let work =
        Work::begin(marketing(), to_port(address.port(), impatient()), Audience::Everybody).await;
    let row = work.until("the first try", |row| row.try_after.is_some()).await;
    assert_eq!((row.status, row.attempts), (DeliveryStatus::Waiting, 1));
    assert_eq!(row.detail.as_deref(), Some("connecting: no reply within 2 s"));
    work.stops().await;
}

/// A mail is caught into a folder without room, then with some.
async fn caught(folder: &Path, room: impl FnOnce()) {
    let way = Way::Caught(Arc::new(Caught::open(folder).expect("the folder")));
    let work = Work::begin(marketing(), way, Audience::Everybody).await;
    let row = work.until("a try", |row| row.try_after.is_some()).await;
    assert_eq!((row.status, row.attempts), (DeliveryStatus::Waiting, 1));
    let why = row.detail.unwrap_or_default();
    for words in ["can't write ", "No space left on device", "free disk space"] {
        assert!(why.contains(words), "no `{words}` in `{why}`");
    }
    let mails = || {
        let files = std::fs::read_dir(folder).expect("the folder");
        let names = files.map(|file| file.expect("a file").file_name());
        let names = names.map(|name| name.to_string_lossy().into_owned());
        names.filter(|name| name.ends_with(".eml") || name.ends_with(".part")).count()
    };
    assert_eq!(mails(), 0, "no half file");
    room();
    work.later(10 * MINUTE_MS);
    work.ends(DeliveryStatus::Sent, "caught as").await;
    assert_eq!(mails(), 1);
    let index = std::fs::read_to_string(folder.join("index.ndjson")).expect("the index");
    assert_eq!(index.lines().count(), 1, "{index}");
    work.stops().await;
}

/// Linux has a file that stands for a full disk; it is cleared away after the first try.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_mail_that_finds_no_room_is_caught_once_there_is_some() {
    let folder = tempfile::tempdir().expect("a folder");
    let part = "19700101T000001.000Z-m00000000000000000000000000000007.part";
    std::os::unix::fs::symlink("/dev/full", folder.path().join(part)).expect("a link");
    caught(folder.path(), || {}).await;
}

/// A disk of its own, let go of at the end.
struct Disk(tempfile::TempDir);

impl Disk {
    fn new(bytes: usize) -> Self {
        let disk = Self(tempfile::tempdir().expect("a folder"));
        let size = format!("size={bytes}");
        let mounted = disk.run(Command::new("mount").args(["-t", "tmpfs", "-o", &size, "tmpfs"]));
        assert!(mounted, "a small disk can't be mounted");
        disk
    }

    fn run(&self, command: &mut Command) -> bool {
        command.arg(self.0.path()).status().expect("it runs").success()
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        self.run(Command::new("umount").arg("--lazy"));
    }
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_disk_that_is_full_loses_no_caught_mail() {
    if !root("a_disk_that_is_full_loses_no_caught_mail", "it mounts a small disk") {
        return;
    }
    let disk = Disk::new(64 << 10);
    let filler = disk.0.path().join("filler");
    std::fs::write(&filler, vec![0; 128 << 10]).expect_err("the disk is full");
    caught(disk.0.path(), || std::fs::remove_file(&filler).expect("room")).await;
}

#[tokio::test]
async fn a_list_without_end_is_cut_and_a_mail_without_end_refused() {
    let server = MailServer::start(TAKES);
    let items = |count: usize, sku: &str| {
        let items = vec![serde_json::json!({ "sku": sku, "quantity": 1 }); count];
        let data = serde_json::json!({
            "customer": { "email": "ann@shop.example" }, "cart": { "items": items },
        });
        let template = Text::const_new("cart/list");
        Decision { data: data.to_string(), template, ..marketing() }
    };
    let work = Work::begin(items(100_000, "A-0001"), to(&server), Audience::Everybody).await;
    work.ends(DeliveryStatus::Sent, "taken").await;
    let mail = server.mails().pop().expect("a mail");
    let mail = mail_parser::MessageParser::default().parse(mail.as_bytes()).expect("a mail");
    let text = mail.body_text(0).expect("a text");
    assert_eq!(text.matches("A-0001").count(), 50);
    assert!(text.contains(", and 99950"), "{text}");
    work.stops().await;
    // Fifty of them are still too much.
    let long = "A".repeat(20_000);
    let work = Work::begin(items(100, &long), to(&server), Audience::Everybody).await;
    let why = "template cart/list (default language), text: larger than 524288 bytes";
    work.ends(DeliveryStatus::Refused, why).await;
    work.stops().await;
    assert_eq!(server.mails().len(), 1);
}
