//! The exchange with a server, right and wrong, in each of its phases.

use std::time::Duration;

use waypost::config::Secret;
use waypost::mail::{Security, SetupError, Smtp, SmtpSettings, Timeouts};

use super::fixture;
use super::server::Step::{self, Drip, Freeze, Hear, Listen, Say, Tls};
use super::server::{Server, envelope, send, settings, told};

/// A server that takes everything.
const GOOD: [Step; 12] = [
    Say("220 mail.example ESMTP\r\n"),
    Hear("EHLO worker.shop.example\r\n"),
    Say("250-mail.example\r\n250-PIPELINING\r\n250 8BITMIME\r\n"),
    Hear("MAIL FROM:<bounces@shop.example>\r\n"),
    Say("250 2.1.0 Ok\r\n"),
    Hear("RCPT TO:<ann@shop.example>\r\n"),
    Say("250 2.1.5 Ok\r\n"),
    Hear("DATA\r\n"),
    Say("354 go on\r\n"),
    Hear("\r\n.\r\n"),
    Say("250 2.0.0 Ok: queued as 4F9D1\r\n"),
    Listen,
];

/// The good script up to where it would say its `n`th reply (the greeting is 0), then these steps.
fn until(n: usize, then: &[Step]) -> Vec<Step> {
    GOOD[..2 * n].iter().chain(then).copied().collect()
}

const MESSAGE: &[u8] = b"Subject: Hi\r\n\r\n.dots\n..\r\n";

#[tokio::test]
async fn a_message_is_handed_over_in_order_and_whole() {
    let server = Server::start(GOOD.to_vec()).await;
    let answer = send(settings(server.port, Security::None), MESSAGE).await;
    assert_eq!(told(&answer), "accepted: 2.0.0 Ok: queued as 4F9D1");
    assert_eq!(
        server.heard().await,
        "EHLO worker.shop.example\r\nMAIL FROM:<bounces@shop.example>\r\n\
         RCPT TO:<ann@shop.example>\r\nDATA\r\n\
         Subject: Hi\r\n\r\n..dots\r\n...\r\n.\r\nQUIT\r\n"
    );
}

#[tokio::test]
async fn a_reply_may_be_bare_long_and_of_any_case() {
    let mut script = until(1, &[Say("250-mail.example\n250-size 1\n250-starttls\r\n250\r\n")]);
    script.extend_from_slice(&GOOD[3..10]);
    script.extend_from_slice(&[Say("250\r\n"), Listen]);
    let server = Server::start(script).await;
    let answer = send(settings(server.port, Security::None), MESSAGE).await;
    assert_eq!(told(&answer), "accepted: ");
}

/// What becomes of a message when the server does `script[n]` in place of its nth reply.
async fn check(script: Vec<Step>, expected: &str) {
    let server = Server::start(script.clone()).await;
    let answer = send(settings(server.port, Security::None), MESSAGE).await;
    assert_eq!(told(&answer), expected, "{script:?}");
}

#[tokio::test]
async fn a_server_that_hangs_up_leaves_doubt_only_after_the_dot() {
    for (n, expected) in [
        (0, "not sent at greeting: the server closed the connection"),
        (1, "not sent at EHLO: the server closed the connection"),
        (2, "not sent at MAIL: the server closed the connection"),
        (3, "not sent at RCPT: the server closed the connection"),
        (4, "not sent at DATA: the server closed the connection"),
        (5, "in doubt: the server closed the connection"),
    ] {
        check(until(n, &[]), expected).await;
        // A reply that breaks off is none.
        check(until(n, &[Say("250 2.0")]), expected).await;
    }
}

#[tokio::test]
async fn a_refusal_names_its_phase_and_its_meaning() {
    for (n, reply, expected) in [
        (0, "421 4.3.2 busy\r\n", "greeting: 421 4.3.2 Transient: 4.3.2 busy"),
        (0, "554 5.7.1 listed\r\n", "greeting: 554 5.7.1 ChannelFault: 5.7.1 listed"),
        (1, "504 who?\r\n", "EHLO: 504 - ChannelFault: who?"),
        (2, "553 5.1.8 you?\r\n", "MAIL: 553 5.1.8 ChannelFault: 5.1.8 you?"),
        (
            3,
            "550-5.1.1 <ann@shop.example>\r\n550 5.1.1 unknown\r\n",
            "RCPT: 550 5.1.1 Permanent { address_is_bad: true }: \
             5.1.1 <***@shop.example> 5.1.1 unknown",
        ),
        (3, "450 4.2.0 grey\r\n", "RCPT: 450 4.2.0 Transient, wait 300s: 4.2.0 grey"),
        (4, "452 4.3.1 full\r\n", "DATA: 452 4.3.1 Transient: 4.3.1 full"),
        (5, "554 5.6.0 bad\r\n", "end of the message: 554 5.6.0 Content: 5.6.0 bad"),
        (5, "421 4.3.2 bye\r\n", "end of the message: 421 4.3.2 Transient: 4.3.2 bye"),
    ] {
        check(until(n, &[Say(reply), Listen]), &format!("refused at {expected}")).await;
    }
}

#[tokio::test]
async fn nonsense_is_no_reply() {
    let not = "the server's reply is not SMTP";
    for (n, reply, expected) in [
        (0, "SSH-2.0-OpenSSH\r\n", format!("not sent at greeting: {not}")),
        (1, "250-a\r\n251 b\r\n", format!("not sent at EHLO: {not}")),
        (2, "\r\n", format!("not sent at MAIL: {not}")),
        (3, "950 x\r\n", format!("not sent at RCPT: {not}")),
        (
            4,
            "250 no need\r\n",
            "not sent at DATA: the server answered 250, which does not fit here".to_owned(),
        ),
        (
            5,
            "354 more\r\n",
            "in doubt: the server answered 354, which does not fit here".to_owned(),
        ),
        (5, "what?\r\n", format!("in doubt: {not}")),
    ] {
        check(until(n, &[Say(reply), Listen]), &expected).await;
    }
    let long: &'static str = Box::leak("250-x".repeat(1_000).into_boxed_str());
    let many: &'static str = Box::leak("250-x\r\n".repeat(20_000).into_boxed_str());
    for flood in [long, many] {
        let expected = "not sent at MAIL: the server's reply is longer than 65536 bytes, \
                        a line of it than 2048";
        check(until(2, &[Say(flood), Listen]), expected).await;
    }
}

#[tokio::test]
async fn a_reply_that_came_too_early_is_no_reply_to_the_next_command() {
    let early = "250 2.1.0 Ok\r\n250 2.1.5 Ok\r\n354 go\r\n250 accepted\r\n";
    let expected = "not sent at RCPT: the server spoke out of turn";
    check(until(2, &[Say(early), Listen]), expected).await;
    let both = "354 go\r\n250 2.0.0 accepted before it came\r\n";
    let expected = "not sent at writing the message: the server spoke out of turn";
    check(until(4, &[Say(both), Listen]), expected).await;
}

/// Short in one part, as good as endless in the others.
fn short(change: impl Fn(&mut Timeouts, Duration)) -> Timeouts {
    let long = Duration::from_secs(3_600);
    let mut timeouts = Timeouts {
        connect: long,
        greeting: long,
        tls: long,
        command: long,
        block: long,
        before_dot: long,
        dot: long,
    };
    change(&mut timeouts, Duration::from_millis(60));
    timeouts
}

#[tokio::test]
async fn a_silent_or_dripping_server_is_given_up_in_every_phase() {
    let greeting = short(|t, limit| t.greeting = limit);
    let command = short(|t, limit| t.command = limit);
    let dot = short(|t, limit| t.dot = limit);
    for (n, timeouts, expected) in [
        (0, greeting, "not sent at greeting: no reply within 0.06 s"),
        (1, command, "not sent at EHLO: no reply within 0.06 s"),
        (2, command, "not sent at MAIL: no reply within 0.06 s"),
        (3, command, "not sent at RCPT: no reply within 0.06 s"),
        (4, command, "not sent at DATA: no reply within 0.06 s"),
        (5, dot, "in doubt: no reply within 0.06 s"),
    ] {
        for silence in [Listen, Drip] {
            let server = Server::start(until(n, &[silence])).await;
            let settings = SmtpSettings { timeouts, ..settings(server.port, Security::None) };
            assert_eq!(told(&send(settings, MESSAGE).await), expected);
        }
    }
}

#[tokio::test]
async fn a_server_that_stops_reading_the_message_is_given_up() {
    let block = short(|t, limit| t.block = limit);
    for timeouts in [block, slow()] {
        let server = Server::start(until(4, &[Say("354 go on\r\n"), Freeze])).await;
        let settings = SmtpSettings { timeouts, ..settings(server.port, Security::None) };
        // More than the buffers between two sockets hold.
        let message = b"x\r\n".repeat(16 << 20);
        let told = told(&send(settings, &message).await);
        assert!(told.starts_with("not sent at writing the message: no reply within 0."), "{told}");
    }
}

/// Each part may take long, but not all of them up to the dot.
fn slow() -> Timeouts {
    short(|t, _| t.before_dot = Duration::from_secs(1))
}

#[tokio::test]
async fn a_server_that_is_slow_as_a_whole_is_given_up_before_the_dot() {
    for (n, phase) in [(0, "greeting"), (1, "EHLO"), (3, "RCPT"), (4, "DATA")] {
        let server = Server::start(until(n, &[Drip])).await;
        let settings = SmtpSettings { timeouts: slow(), ..settings(server.port, Security::None) };
        let told = told(&send(settings, MESSAGE).await);
        assert!(told.starts_with(&format!("not sent at {phase}: no reply within 0.")), "{told}");
    }
    // The answer to the dot has its own time.
    let server = Server::start(until(5, &[Drip])).await;
    let timeouts = Timeouts { dot: Duration::from_millis(1_100), ..slow() };
    let settings = SmtpSettings { timeouts, ..settings(server.port, Security::None) };
    assert_eq!(told(&send(settings, MESSAGE).await), "in doubt: no reply within 1.1 s");
}

#[tokio::test]
async fn without_a_server_nothing_is_sent() {
    // The port of a service that no machine has had for decades.
    let answer = told(&send(settings(1, Security::None), MESSAGE).await);
    assert!(answer.starts_with("not sent at connecting: the connection broke"), "{answer}");
}

#[tokio::test]
async fn the_dot_waits_for_the_hook_and_is_not_sent_without_it() {
    let server = Server::start(GOOD.to_vec()).await;
    let smtp = Smtp::new(settings(server.port, Security::None)).expect("settings");
    let to = envelope("ann@shop.example");
    let refuse = || async { Err("the store is gone".to_owned()) };
    let answer = smtp.send(&to, MESSAGE, refuse).await;
    assert_eq!(told(&answer), "not sent at writing the message: the store is gone");
    let heard = server.heard().await;
    assert!(heard.ends_with("DATA\r\nSubject: Hi\r\n\r\n..dots\r\n...\r\n"), "{heard}");
}

#[tokio::test]
async fn a_server_that_left_while_the_hook_ran_leaves_no_doubt() {
    let mut script = until(4, &[Say("354 go on\r\n"), Hear("...\r\n")]);
    script.push(Say("421 4.3.2 shutting down\r\n"));
    let server = Server::start(script).await;
    let smtp = Smtp::new(settings(server.port, Security::None)).expect("settings");
    let left = server.heard();
    let hook = || async {
        left.await;
        Ok(())
    };
    let answer = smtp.send(&envelope("ann@shop.example"), MESSAGE, hook).await;
    let expected = "not sent at writing the message: the server spoke out of turn";
    assert_eq!(told(&answer), expected);
}

#[tokio::test]
async fn a_dropped_future_drops_the_connection() {
    let server = Server::start(GOOD.to_vec()).await;
    let smtp = Smtp::new(settings(server.port, Security::None)).expect("settings");
    let (reached, at_the_hook) = tokio::sync::oneshot::channel();
    let sending = tokio::spawn(async move {
        let hook = || async {
            reached.send(()).expect("the test waits");
            std::future::pending().await
        };
        smtp.send(&envelope("ann@shop.example"), MESSAGE, hook).await
    });
    at_the_hook.await.expect("the hook is reached");
    sending.abort();
    // The script ends only when the connection does.
    let heard = server.heard().await;
    assert!(heard.ends_with("...\r\n"), "{heard}");
}

/// What comes behind TLS.
fn behind_tls(before: &[Step], hello: &'static str, then: &[Step]) -> Vec<Step> {
    let hello = [Hear("EHLO worker.shop.example\r\n"), Say(hello)];
    [before, &[Tls], then, &hello, &GOOD[3..]].concat()
}

const OFFER: [Step; 5] = [
    Say("220 mail.example ESMTP\r\n"),
    Hear("EHLO worker.shop.example\r\n"),
    Say("250-mail.example\r\n250 STARTTLS\r\n"),
    Hear("STARTTLS\r\n"),
    Say("220 go ahead\r\n"),
];

#[tokio::test]
async fn mail_goes_through_tls_from_the_start_or_by_starttls() {
    let implicit = behind_tls(&[], "250 mail.example\r\n", &GOOD[..1]);
    let starttls = behind_tls(&OFFER, "250 mail.example\r\n", &[]);
    for (security, script) in [(Security::Implicit, implicit), (Security::StartTls, starttls)] {
        let server = Server::start(script).await;
        let answer = send(settings(server.port, security), MESSAGE).await;
        assert_eq!(told(&answer), "accepted: 2.0.0 Ok: queued as 4F9D1");
        assert!(server.heard().await.ends_with("\r\n.\r\nQUIT\r\n"));
    }
}

#[tokio::test]
async fn what_a_stranger_puts_before_tls_is_refused() {
    let mut script = OFFER.to_vec();
    script[4] = Say("220 go ahead\r\n250-mail.example\r\n250 AUTH PLAIN\r\n");
    script.extend([Tls, Listen]);
    let server = Server::start(script).await;
    let answer = send(settings(server.port, Security::StartTls), MESSAGE).await;
    assert_eq!(told(&answer), "not sent at TLS: the server spoke out of turn");
}

#[tokio::test]
async fn a_server_without_the_tls_asked_for_is_a_fault_of_the_channel() {
    let no_starttls = until(1, &[Say("250 mail.example\r\n"), Listen]);
    let mut refused = OFFER.to_vec();
    refused[4] = Say("454 4.7.0 not now\r\n");
    refused.push(Listen);
    for (security, script, expected) in [
        (
            Security::StartTls,
            no_starttls,
            "refused at TLS: - - ChannelFault: the server does not offer STARTTLS",
        ),
        (Security::StartTls, refused, "refused at TLS: 454 4.7.0 ChannelFault: 4.7.0 not now"),
        (
            Security::Implicit,
            GOOD.to_vec(),
            "refused at TLS: - - ChannelFault: received corrupt message of type \
             InvalidContentType",
        ),
    ] {
        let server = Server::start(script).await;
        assert_eq!(told(&send(settings(server.port, security), MESSAGE).await), expected);
    }
    let silent = Server::start(vec![Listen]).await;
    let timeouts = short(|t, limit| t.tls = limit);
    let settings = SmtpSettings { timeouts, ..settings(silent.port, Security::Implicit) };
    let answer = told(&send(settings, MESSAGE).await);
    assert_eq!(answer, "not sent at TLS: no reply within 0.06 s");
    let gone = Server::start(vec![]).await;
    let answer = told(&send(super::server::settings(gone.port, Security::Implicit), MESSAGE).await);
    assert!(answer.starts_with("not sent at TLS: the connection broke"), "{answer}");
}

#[tokio::test]
async fn a_certificate_must_be_for_the_host_and_lead_to_a_trusted_root() {
    let script = || behind_tls(&[], "250 mail.example\r\n", &GOOD[..1]);
    let server = Server::start(script()).await;
    let unknown = SmtpSettings { ca_file: None, ..settings(server.port, Security::Implicit) };
    let answer = told(&send(unknown, MESSAGE).await);
    let start = "refused at TLS: - - ChannelFault: invalid peer certificate: ";
    assert_eq!(answer, format!("{start}UnknownIssuer"));
    let server = Server::start(script()).await;
    let mut other = settings(server.port, Security::Implicit);
    other.host = "127.0.0.1".to_owned();
    let answer = told(&send(other, MESSAGE).await);
    assert!(answer.starts_with(&format!("{start}certificate not valid for name")), "{answer}");
}

/// A login on a server that offers `mechanisms`, with these replies to AUTH.
async fn log_in(offers: &'static str, steps: &[Step]) -> (String, String) {
    let hello = [Hear("EHLO worker.shop.example\r\n"), Say(offers)];
    let script = [&GOOD[..1], &hello, steps, &GOOD[3..]].concat();
    let server = Server::start(script).await;
    let mut settings = settings(server.port, Security::None);
    settings.login = Some(("shop".to_owned(), Secret::new("sword fish".to_owned())));
    let answer = told(&send(settings, MESSAGE).await);
    (answer, server.heard().await)
}

#[tokio::test]
async fn logins_are_plain_or_login_and_their_refusal_is_a_fault_of_the_channel() {
    let plain = "AUTH PLAIN AHNob3AAc3dvcmQgZmlzaA==\r\n";
    let offers = "250-mail.example\r\n250 AUTH CRAM-MD5 LOGIN PLAIN\r\n";
    let (answer, heard) = log_in(offers, &[Hear(plain), Say("235 2.7.0 welcome\r\n")]).await;
    assert!(answer.starts_with("accepted") && heard.contains(plain), "{answer} {heard}");

    let offers = "250-mail.example\r\n250 auth login\r\n";
    let steps = [
        Hear("AUTH LOGIN\r\n"),
        Say("334 VXNlcm5hbWU6\r\n"),
        Hear("c2hvcA==\r\n"),
        Say("334 UGFzc3dvcmQ6\r\n"),
        Hear("c3dvcmQgZmlzaA==\r\n"),
        Say("235 2.7.0 welcome\r\n"),
    ];
    let (answer, heard) = log_in(offers, &steps).await;
    assert!(answer.starts_with("accepted"), "{answer} {heard}");

    let wrong = [Hear(plain), Say("535 5.7.8 wrong\r\n"), Listen];
    let (answer, _) = log_in("250-x\r\n250 AUTH PLAIN\r\n", &wrong).await;
    assert_eq!(answer, "refused at AUTH: 535 5.7.8 ChannelFault: 5.7.8 wrong");
    let (answer, _) = log_in("250-x\r\n250 AUTH CRAM-MD5\r\n", &[Listen]).await;
    let no =
        "refused at AUTH: - - ChannelFault: the server offers neither AUTH PLAIN nor AUTH LOGIN";
    assert_eq!(answer, no);
    let forever = [Hear(plain), Say("334 \r\n"), Listen];
    let (answer, _) = log_in("250-x\r\n250 AUTH PLAIN\r\n", &forever).await;
    assert!(answer.starts_with("refused at AUTH: - - ChannelFault"), "{answer}");
}

#[test]
fn settings_that_would_leak_or_cannot_work_are_refused() {
    let login = Some(("shop".to_owned(), Secret::new("sword fish".to_owned())));
    let far = SmtpSettings { host: "mail.example".to_owned(), ..settings(25, Security::None) };
    let refused = |settings: SmtpSettings| match Smtp::new(settings) {
        Ok(smtp) => panic!("{smtp:?}"),
        Err(error) => error,
    };
    assert!(matches!(refused(far.clone()), SetupError::Clear { .. }));
    let allowed = SmtpSettings { allow_clear: true, ..far };
    assert!(Smtp::new(allowed.clone()).is_ok());
    let with_login = SmtpSettings { login: login.clone(), ..allowed };
    assert!(matches!(refused(with_login), SetupError::ClearPassword { .. }));
    for host in ["localhost", "127.0.0.1", "::1"] {
        let near = SmtpSettings { host: host.to_owned(), ..settings(25, Security::None) };
        assert!(Smtp::new(SmtpSettings { login: login.clone(), ..near }).is_ok(), "{host}");
    }
    let bad = SmtpSettings { host: "mail example".to_owned(), ..settings(465, Security::Implicit) };
    assert!(matches!(refused(bad), SetupError::Host(_)));
    for hello in ["", "two words", "x\r\nMAIL"] {
        let bad = SmtpSettings { hello: hello.to_owned(), ..settings(25, Security::None) };
        assert!(matches!(refused(bad), SetupError::Hello(_)), "{hello:?}");
    }
    for (file, words) in [
        (fixture("tls", "none.pem"), "none.pem: No such file"),
        (fixture("tls", "server.key"), "server.key holds no certificate"),
    ] {
        let bad = SmtpSettings { ca_file: Some(file), ..settings(465, Security::Implicit) };
        let error = refused(bad).to_string();
        assert!(error.contains(words), "no `{words}` in `{error}`");
    }
    let smtp =
        Smtp::new(SmtpSettings { login, ..settings(465, Security::Implicit) }).expect("fine");
    assert!(!format!("{smtp:?}").contains("sword"), "{smtp:?}");
}
