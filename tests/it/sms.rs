//! SMS through an HTTP provider, right and wrong.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use axum::response::Response;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use waypost::config::Secret;
use waypost::provider::Answer;
use waypost::sms::{Number, Sender, SetupError, Sms, Timeouts, Twilio, TwilioSettings};

fn settings(base_url: &str) -> TwilioSettings {
    TwilioSettings {
        base_url: base_url.to_owned(),
        account: "AC0123".to_owned(),
        token: Secret::new("sword fish".to_owned()),
        sender: Sender::From("+15005550006".to_owned()),
        ca_file: None,
        timeouts: Timeouts::default(),
    }
}

fn sms(body: &str) -> Sms {
    let to = Number::parse("+31612345678").expect("a number");
    Sms { to, body: body.to_owned(), valid_for: None, status_callback: None }
}

async fn send(settings: TwilioSettings, sms: &Sms) -> Answer {
    let (twilio, sms) = (Twilio::new(settings).expect("settings"), sms.clone());
    // As a task of its own, as deliveries are.
    let sending = tokio::spawn(async move { twilio.send(&sms, || async { Ok(()) }).await });
    sending.await.expect("nothing panics")
}

/// An answer in a line.
fn told(answer: &Answer) -> String {
    match answer {
        Answer::Accepted { reply, reference } => format!("accepted: {reply} {reference:?}"),
        Answer::Refused { code, class, retry_after, reply, .. } => {
            let code = code.map_or("-".to_owned(), |code| code.to_string());
            let wait = retry_after.map_or(String::new(), |wait| format!(", wait {wait:?}"));
            format!("refused: {code} {class:?}{wait}: {reply}")
        }
        Answer::NotSent { phase, why } => format!("not sent at {phase}: {why}"),
        Answer::InDoubt { why } => format!("in doubt: {why}"),
    }
}

/// What a request said: method, path, authorization, content type, then the form sorted as sent.
type Heard = Arc<Mutex<Vec<(String, String)>>>;

/// A provider that answers every request so; its base URL, and what it heard last.
async fn provider(status: u16, headers: &'static [(&str, &str)], body: String) -> (String, Heard) {
    let heard = Heard::default();
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("a port"));
    let hears = heard.clone();
    let app = Router::new().fallback(move |request: Request| async move {
        let (head, form) = request.into_parts();
        let form = axum::body::to_bytes(form, 64 * 1_024).await.expect("a body");
        let header = |name: &str| {
            let value = head.headers.get(name).and_then(|value| value.to_str().ok());
            (name.to_owned(), value.unwrap_or_default().to_owned())
        };
        let mut said = vec![
            (head.method.to_string(), head.uri.to_string()),
            header("authorization"),
            header("content-type"),
        ];
        said.extend(form_urlencoded::parse(&form).into_owned());
        *hears.lock().expect("nobody panicked") = said;
        let mut response = Response::builder().status(status);
        for (name, value) in headers {
            response = response.header(*name, *value);
        }
        response.body(axum::body::Body::from(body)).expect("a response")
    });
    tokio::spawn(async move { axum::serve(listener, app).await });
    (url, heard)
}

#[tokio::test]
async fn a_message_is_posted_as_the_api_asks() {
    let body = r#"{"sid": "SM1f00", "status": "queued", "num_segments": "1", "to": "+31"}"#;
    let (url, heard) = provider(201, &[], body.to_owned()).await;
    let message = sms("Hi Zoë & co +1 = 100%\nReply STOP");
    let answer = send(settings(&url), &message).await;
    assert_eq!(told(&answer), "accepted: queued Some(\"SM1f00\")");
    let pairs = |pairs: &[(&str, &str)]| -> Vec<(String, String)> {
        pairs.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect()
    };
    let head = [
        ("POST", "/2010-04-01/Accounts/AC0123/Messages.json"),
        ("authorization", "Basic QUMwMTIzOnN3b3JkIGZpc2g="),
        ("content-type", "application/x-www-form-urlencoded"),
    ];
    let form = [("To", "+31612345678"), ("From", "+15005550006"), ("Body", &message.body)];
    let said = heard.lock().expect("nobody panicked").clone();
    assert_eq!(said, pairs(&[&head[..], &form].concat()));

    let callback = "https://shop.example/sms?m=m01&s=x+y";
    let message = Sms {
        valid_for: Some(Duration::from_secs(90_000)),
        status_callback: Some(callback.to_owned()),
        ..sms("Hi")
    };
    let sender = Sender::MessagingService("MG77".to_owned());
    let settings = TwilioSettings { sender, ..settings(&format!("{url}/")) };
    assert!(matches!(send(settings, &message).await, Answer::Accepted { .. }));
    let form = [
        ("To", "+31612345678"),
        ("MessagingServiceSid", "MG77"),
        ("Body", "Hi"),
        ("ValidityPeriod", "36000"),
        ("StatusCallback", callback),
    ];
    let said = heard.lock().expect("nobody panicked").clone();
    assert_eq!(said, pairs(&[&head[..], &form].concat()));
}

#[tokio::test]
async fn an_answer_means_what_its_code_or_status_says() {
    let error = |code: u32, words: &str| format!(r#"{{"code": {code}, "message": "{words}"}}"#);
    let bad = "Permanent { address_is_bad: true }";
    let refused = "Permanent { address_is_bad: false }";
    let wait: &[(&str, &str)] = &[("retry-after", "7")];
    let long_wait: &[(&str, &str)] = &[("retry-after", "999999")];
    let away: &[(&str, &str)] = &[("location", "https://evil.example/")];
    let none = String::new;
    let words = error(21211, "The 'To' number +31612345678 is not a valid phone number.");
    for (status, headers, body, expected) in [
        (201, &[][..], none(), "accepted:  None".to_owned()),
        (201, &[], "x".repeat(100_000), "accepted:  None".to_owned()),
        (
            400,
            &[],
            words,
            format!("refused: 21211 {bad}: The 'To' number +***78 is not a valid phone number."),
        ),
        (400, &[], error(21610, "STOP"), "refused: 21610 OptedOut: STOP".to_owned()),
        (400, &[], error(21408, "geo"), "refused: 21408 ChannelFault: geo".to_owned()),
        (400, &[], error(21617, "long"), "refused: 21617 Content: long".to_owned()),
        (400, &[], error(99999, "new"), format!("refused: 99999 {refused}: new")),
        (400, &[], "<html>".to_owned(), format!("refused: 400 {refused}: HTTP 400")),
        (401, &[], error(20003, "token"), "refused: 20003 ChannelFault: token".to_owned()),
        (403, &[], none(), "refused: 403 ChannelFault: HTTP 403".to_owned()),
        (404, &[], error(20404, "gone"), "refused: 20404 ChannelFault: gone".to_owned()),
        (307, away, none(), "refused: 307 ChannelFault: HTTP 307".to_owned()),
        (429, wait, error(20429, "slow"), "refused: 20429 Transient, wait 7s: slow".to_owned()),
        (429, long_wait, none(), "refused: 429 Transient, wait 3600s: HTTP 429".to_owned()),
        (503, &[], none(), "refused: 503 Transient: HTTP 503".to_owned()),
        (500, &[], none(), "in doubt: the provider answered HTTP 500".to_owned()),
        (502, &[], none(), "in doubt: the provider answered HTTP 502".to_owned()),
        (200, &[], "<html>".to_owned(), "in doubt: the provider answered HTTP 200".to_owned()),
    ] {
        let (url, _) = provider(status, headers, body.clone()).await;
        assert_eq!(told(&send(settings(&url), &sms("Hi")).await), expected, "{status} {body:.80}");
    }
}

/// What a provider does with its one connection.
#[derive(Clone, Copy, Debug)]
enum Does {
    /// Reads the request, says this, and hangs up.
    HangUpAfter(&'static str),
    /// Reads the request, says this, and nothing more.
    StallAfter(&'static str),
}

async fn raw(does: Does) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("a port"));
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.expect("a connection");
        let (Does::HangUpAfter(words) | Does::StallAfter(words)) = does;
        let mut heard = Vec::new();
        while !heard.ends_with(b"Body=Hi") {
            if stream.read_buf(&mut heard).await.is_ok_and(|read| read == 0) {
                return;
            }
        }
        stream.write_all(words.as_bytes()).await.expect("it can be said");
        if matches!(does, Does::StallAfter(_)) {
            // Until the client is gone.
            while stream.read_buf(&mut heard).await.is_ok_and(|read| read > 0) {}
        }
    });
    url
}

#[tokio::test]
async fn a_lost_answer_leaves_doubt_and_a_lost_connection_none() {
    let head = "HTTP/1.1 201 Created\r\ncontent-length: 900\r\n\r\n{";
    for (does, expected) in [
        (Does::HangUpAfter(""), "in doubt: "),
        (Does::HangUpAfter("HTTP/1.1 20"), "in doubt: "),
        (Does::HangUpAfter("SSH-2.0-OpenSSH\r\n"), "in doubt: "),
        (Does::StallAfter(""), "in doubt: no answer within 0.06 s"),
        (Does::StallAfter("HTTP/1.1 201 Created\r\n"), "in doubt: no answer within 0.06 s"),
        // The status says it; only the id is lost.
        (Does::HangUpAfter(head), "accepted:  None"),
    ] {
        let mut settings = settings(&raw(does).await);
        if matches!(does, Does::StallAfter(_)) {
            settings.timeouts.answer = Duration::from_millis(60);
        }
        let answer = told(&send(settings, &sms("Hi")).await);
        assert!(answer.starts_with(expected), "{does:?}: {answer}");
    }
    // The port of a service that no machine has had for decades.
    let answer = told(&send(settings("http://127.0.0.1:1"), &sms("Hi")).await);
    assert!(answer.starts_with("not sent at connecting: "), "{answer}");
}

#[tokio::test]
async fn nothing_is_written_before_the_hook_agrees() {
    let (url, heard) = provider(201, &[], String::new()).await;
    let twilio = Twilio::new(settings(&url)).expect("settings");
    let hook = || async {
        assert!(heard.lock().expect("nobody panicked").is_empty());
        Err("the store is gone".to_owned())
    };
    let answer = twilio.send(&sms("Hi"), hook).await;
    assert_eq!(told(&answer), "not sent at writing the message: the store is gone");
    assert!(heard.lock().expect("nobody panicked").is_empty());
}

#[tokio::test]
async fn a_text_that_the_provider_would_refuse_is_not_posted() {
    let (url, heard) = provider(201, &[], String::new()).await;
    for body in [String::new(), "x".repeat(1_601)] {
        let answer = told(&send(settings(&url), &sms(&body)).await);
        assert!(answer.starts_with("refused: - Content: the text has "), "{answer}");
    }
    assert!(heard.lock().expect("nobody panicked").is_empty());
}

#[tokio::test]
async fn a_provider_without_tls_is_a_fault_of_the_channel() {
    let (url, _) = provider(201, &[], String::new()).await;
    let url = url.replace("http://127.0.0.1", "https://localhost");
    let answer = told(&send(settings(&url), &sms("Hi")).await);
    assert!(answer.starts_with("refused: - ChannelFault: received corrupt message"), "{answer}");
}

#[test]
fn settings_that_would_leak_or_cannot_work_are_refused() {
    for url in
        ["", "api.example", "http://api.example", "ftp://localhost", "https://", "https://a b"]
    {
        let refused = Twilio::new(settings(url));
        assert!(matches!(refused, Err(SetupError::BaseUrl(_))), "{url}");
    }
    for account in ["", "AC/../x", "AC 1"] {
        let refused =
            TwilioSettings { account: account.to_owned(), ..settings("https://a.example") };
        assert!(matches!(Twilio::new(refused), Err(SetupError::Account(_))), "{account}");
    }
    let twilio = Twilio::new(settings("https://api.twilio.com")).expect("settings");
    assert!(!format!("{twilio:?}").contains("sword"), "{twilio:?}");
}
