//! Postfix: its test server that breaks off in every phase, and the real one.

use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tempfile::TempDir;
use waypost::mail::{Security, SmtpSettings, Timeouts};

use super::server::{envelope, send, settings, told};
use super::{fixture, reminder};
use crate::support::{free_port, full, is_root, root};

const SINK: &str = "/usr/sbin/smtp-sink";

/// A program that listens on a port of this machine, ended when it goes out of scope.
struct Program {
    child: Child,
    port: u16,
}

impl Program {
    /// Starts it and waits until it takes connections, for 10 s at most.
    fn start(command: &mut Command, port: u16) -> Self {
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let mut program = Self { child: child.spawn().expect("it starts"), port };
        for look in 0.. {
            if std::net::TcpStream::connect(("127.0.0.1", port)).is_ok() {
                break;
            }
            assert!(look < 2_000, "it does not listen");
            let ended = program.child.try_wait().expect("it can be asked");
            assert!(ended.is_none(), "it ended: {ended:?}");
            std::thread::sleep(Duration::from_millis(5));
        }
        program
    }

    fn sink(options: &[&str]) -> Self {
        let port = free_port();
        let mut command = Command::new(SINK);
        // Root has to name a user that it becomes.
        if is_root() {
            command.args(["-u", "nobody"]);
        }
        Self::start(command.args(options).arg(format!("127.0.0.1:{port}")).arg("10"), port)
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[tokio::test]
async fn smtp_sink_breaks_off_in_each_phase() {
    if !full("smtp_sink_breaks_off_in_each_phase", "it needs smtp-sink of Debian's postfix") {
        return;
    }
    let closed = "the server closed the connection";
    let soft = "4.3.0 Error: command failed";
    let hard = "5.3.0 Error: command failed";
    for (options, expected) in [
        (&[][..], "accepted: 2.0.0 Ok".to_owned()),
        (&["-p", "-8", "-e"], "refused at EHLO: 500 5.5.1 ChannelFault: ".to_owned()),
        (&["-q", "CONNECT"], format!("not sent at greeting: {closed}")),
        (&["-q", "EHLO"], format!("not sent at EHLO: {closed}")),
        (&["-q", "MAIL"], format!("not sent at MAIL: {closed}")),
        (&["-q", "RCPT"], format!("not sent at RCPT: {closed}")),
        (&["-q", "DATA"], format!("not sent at DATA: {closed}")),
        (&["-q", "."], format!("in doubt: {closed}")),
        (&["-Q", "RCPT"], "refused at RCPT: 421 4.0.0 Transient: ".to_owned()),
        (&["-Q", "."], "refused at end of the message: 421 4.0.0 Transient: ".to_owned()),
        (&["-r", "MAIL"], format!("refused at MAIL: 450 4.3.0 Transient: {soft}")),
        (&["-r", "RCPT"], format!("refused at RCPT: 450 4.3.0 Transient: {soft}")),
        (&["-r", "."], format!("refused at end of the message: 450 4.3.0 Transient: {soft}")),
        (&["-f", "CONNECT"], format!("refused at greeting: 500 5.3.0 ChannelFault: {hard}")),
        (&["-f", "EHLO"], format!("refused at EHLO: 500 5.3.0 ChannelFault: {hard}")),
        (&["-f", "MAIL"], format!("refused at MAIL: 500 5.3.0 ChannelFault: {hard}")),
        (
            &["-f", "RCPT"],
            format!("refused at RCPT: 500 5.3.0 Permanent {{ address_is_bad: false }}: {hard}"),
        ),
        (&["-f", "DATA"], format!("refused at DATA: 500 5.3.0 ChannelFault: {hard}")),
        (&["-f", "."], format!("refused at end of the message: 500 5.3.0 ChannelFault: {hard}")),
        (&["-W", "MAIL:9"], "not sent at MAIL: no reply within 0.25 s".to_owned()),
        (&["-W", ".:9"], "in doubt: no reply within 0.25 s".to_owned()),
    ] {
        let sink = Program::sink(options);
        let limit = Duration::from_millis(250);
        let timeouts = match options {
            ["-W", "MAIL:9"] => Timeouts { command: limit, ..Timeouts::default() },
            ["-W", ".:9"] => Timeouts { dot: limit, ..Timeouts::default() },
            _ => Timeouts::default(),
        };
        let settings = SmtpSettings { timeouts, ..settings(sink.port, Security::None) };
        let message = reminder().build(&[]).expect("it is built");
        let answer = told(&send(settings, &message).await);
        assert!(answer.starts_with(&expected), "{options:?}: {answer}");
    }
}

/// Postfix in a folder of its own.
pub(crate) struct Postfix {
    program: Program,
    folder: TempDir,
}

impl Drop for Postfix {
    fn drop(&mut self) {
        // It is several processes, which end together only if it is asked so.
        let conf = self.folder.path().join("conf");
        let stopped = Command::new("/usr/sbin/postfix").arg("-c").arg(conf).arg("stop").output();
        assert!(stopped.is_ok_and(|done| done.status.success()), "Postfix does not stop");
    }
}

impl Postfix {
    /// Starts one that hands all mail to a transport; `discard:` throws it away.
    pub(crate) fn start(transport: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let port = free_port();
        let (conf, at) = (folder.path().join("conf"), folder.path().display());
        // Its own user must get through to the queue.
        for part in ["conf", "queue", "data"] {
            std::fs::create_dir(folder.path().join(part)).expect("a folder");
        }
        run("chmod", &["755", &at.to_string()]);
        run("chown", &["postfix", &format!("{at}/data")]);
        let tls = |file: &str| fixture("tls", file).display().to_string();
        let main = format!(
            "compatibility_level = 3.6\n\
             queue_directory = {at}/queue\n\
             data_directory = {at}/data\n\
             maillog_file = /dev/stdout\n\
             inet_interfaces = loopback-only\n\
             myhostname = localhost\n\
             mydestination =\n\
             default_transport = {transport}\n\
             relay_transport = {transport}\n\
             smtpd_relay_restrictions = permit_mynetworks, reject\n\
             smtpd_recipient_restrictions = check_recipient_access inline:{{\
              {{gone@shop.example = 550 5.1.1 no such user}},\
              {{grey@shop.example = 450 4.7.1 greylisted}},\
              {{full@shop.example = 452 4.2.2 mailbox full}}\
             }}, permit_mynetworks\n\
             smtpd_tls_security_level = may\n\
             smtpd_tls_cert_file = {}\n\
             smtpd_tls_key_file = {}\n",
            tls("server.pem"),
            tls("server.key"),
        );
        let system = std::fs::read_to_string("/usr/share/postfix/master.cf.dist")
            .expect("Debian's postfix brings it");
        // Its services without chroot, and without the ports: instead the one of this test.
        let services: String = system
            .lines()
            .filter(|line| !line.starts_with('#') && !line.contains(" inet "))
            .map(|line| format!("{line}\n"))
            .collect();
        let master = format!("127.0.0.1:{port} inet n - n - - smtpd\n{services}");
        std::fs::write(conf.join("main.cf"), main).expect("it can be written");
        std::fs::write(conf.join("master.cf"), master).expect("it can be written");
        let mut command = Command::new("/usr/sbin/postfix");
        let program = Program::start(command.arg("-c").arg(&conf).arg("start-fg"), port);
        Self { program, folder }
    }

    pub(crate) fn port(&self) -> u16 {
        self.program.port
    }
}

fn run(program: &str, arguments: &[&str]) {
    let done = Command::new(program).args(arguments).status().expect("it runs");
    assert!(done.success(), "{program} {arguments:?}");
}

#[tokio::test]
async fn postfix_takes_refuses_and_defers() {
    let test = "postfix_takes_refuses_and_defers";
    if !full(test, "it needs Debian's postfix") || !root(test, "Postfix starts as root only") {
        return;
    }
    let postfix = Postfix::start("discard:");
    let message = reminder().build(&[]).expect("it is built");
    for (security, recipient, expected) in [
        (Security::None, "ann@shop.example", "accepted: 2.0.0 Ok: queued as "),
        (Security::StartTls, "ann@shop.example", "accepted: 2.0.0 Ok: queued as "),
        (Security::StartTls, "zoe@bücher.example", "accepted: 2.0.0 Ok: queued as "),
        (
            Security::None,
            "gone@shop.example",
            "refused at RCPT: 550 5.1.1 Permanent { address_is_bad: true }: 5.1.1 \
             <***@shop.example>: Recipient address rejected: no such user",
        ),
        (
            Security::None,
            "grey@shop.example",
            "refused at RCPT: 450 4.7.1 Transient, wait 300s: 4.7.1 <***@shop.example>",
        ),
        (
            Security::None,
            "full@shop.example",
            "refused at RCPT: 452 4.2.2 Transient: 4.2.2 <***@shop.example>",
        ),
    ] {
        let smtp = waypost::mail::Smtp::new(settings(postfix.program.port, security));
        let smtp = smtp.expect("settings");
        let answer = smtp.send(&envelope(recipient), &message, || async { Ok(()) }).await;
        let answer = told(&answer);
        assert!(answer.starts_with(expected), "{recipient}: {answer}");
    }
}
