//! Tries and their ends, with a clock that is set and a mail server that does as it is told.

use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;

use waypost::config::Audience;
use waypost::deliver::Way;
use waypost::engine::Decision;
use waypost::mail::Timeouts;
use waypost::model::{EventName, MINUTE_MS, Text, Timestamp};
use waypost::provider::Caught;
use waypost::store::{DeliveryStatus, Listing, MessageChange, Outgoing};

use super::desk::Desk;
use super::work::{DEADLINE, Work, marketing, to, to_port};
use crate::mail_server::Does::{Says, Stalls};
use crate::mail_server::{DOT, GREETING, MailServer, Script, TAKES};

const DEFERS: Script = &[("RCPT", Says("450 4.2.1 try later"))];
const CONTENT: Script = &[(DOT, Says("554 5.6.0 not this"))];
const WRONG_PASSWORD: Script = &[("AUTH", Says("535 5.7.8 who are you"))];

#[tokio::test]
async fn what_is_put_off_is_tried_again_and_goes() {
    let server = MailServer::start(DEFERS);
    let work = Work::begin(marketing(), to(&server), Audience::Everybody).await;
    let row = work.until("the first try", |row| row.attempts == 1 && row.try_after.is_some()).await;
    assert_eq!(row.status, DeliveryStatus::Waiting);
    assert!(row.detail.unwrap_or_default().contains("4.2.1 try later"));
    server.becomes(TAKES);
    // Not before its time.
    work.later(1_000);
    work.later(10 * MINUTE_MS);
    work.ends(DeliveryStatus::Sent, "2.0.0 taken").await;
    assert_eq!(server.heard("DATA").len(), 1);
    work.stops().await;
}

#[tokio::test]
async fn a_message_that_is_put_off_too_often_is_refused() {
    let server = MailServer::start(DEFERS);
    let work = Work::begin(marketing(), to(&server), Audience::Everybody).await;
    for tries in 1..=6 {
        work.until("a try", |row| row.attempts == tries && row.status == DeliveryStatus::Waiting)
            .await;
        work.later(300 * MINUTE_MS);
    }
    work.ends(DeliveryStatus::Refused, "no try is left; the last: RCPT: 4.2.1").await;
    assert_eq!(server.heard("RCPT").len(), 7);
    work.stops().await;
}

#[tokio::test]
async fn a_message_that_is_put_off_beyond_its_time_expires() {
    let server = MailServer::start(DEFERS);
    let expires = Some(Timestamp::from_ms(10_000));
    let given = Decision { expires, ..marketing() };
    let work = Work::begin(given, to(&server), Audience::Everybody).await;
    work.ends(DeliveryStatus::Expired, "no try is left in its time").await;
    work.stops().await;
}

#[tokio::test]
async fn what_comes_too_late_is_not_begun() {
    let server = MailServer::start(TAKES);
    let past = Some(Timestamp::from_ms(1_999));
    for (given, status, detail) in [
        (Decision { expires: past, ..marketing() }, DeliveryStatus::Expired, "its time had passed"),
        (
            Decision { window_end: past, ..marketing() },
            DeliveryStatus::MissedWindow,
            "its send window had closed",
        ),
    ] {
        let work = Work::begin(given, to(&server), Audience::Everybody).await;
        work.ends(status, detail).await;
        work.stops().await;
    }
    assert_eq!(server.heard("EHLO").len(), 0);
}

#[tokio::test]
async fn with_a_wrong_password_messages_wait_and_go_later() {
    let server = MailServer::start(WRONG_PASSWORD);
    let work = Work::begin(marketing(), to(&server), Audience::Everybody).await;
    let row = work.until("the refusal", |row| row.try_after.is_some()).await;
    assert_eq!((row.status, row.attempts), (DeliveryStatus::Waiting, 0), "it does not count");
    assert!(row.detail.unwrap_or_default().contains("5.7.8 who are you"));
    server.becomes(TAKES);
    work.later(6 * MINUTE_MS);
    work.ends(DeliveryStatus::Sent, "taken").await;
    work.stops().await;
}

#[tokio::test]
async fn an_outage_of_days_ends_no_message() {
    let nobody = TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("it");
    let way = to_port(nobody.port(), Timeouts::default());
    let work = Work::begin(marketing(), way, Audience::Everybody).await;
    for tries in 1..=12 {
        let row = work
            .until("a try", |row| row.attempts == tries && row.status == DeliveryStatus::Waiting)
            .await;
        assert!(row.detail.unwrap_or_default().contains("connecting"));
        work.later(300 * MINUTE_MS);
    }
    work.stops().await;
}

#[tokio::test]
async fn content_that_is_refused_is_not_sent_again_and_says_nothing_of_the_address() {
    let server = MailServer::start(CONTENT);
    let work = Work::begin(marketing(), to(&server), Audience::Everybody).await;
    work.ends(DeliveryStatus::Refused, "5.6.0 not this").await;
    assert_eq!(server.heard("DATA").len(), 1);
    work.stops().await;
}

#[tokio::test]
async fn what_can_not_be_put_together_is_refused_with_the_reason() {
    let server = MailServer::start(TAKES);
    let with = |data: &str| Decision { data: data.into(), ..marketing() };
    for (given, detail) in [
        (Decision { template: Text::const_new("cart/gone"), ..marketing() }, "cart/gone"),
        (with("{\"customer\":{\"email\":\"ann@shop.example\"}}"), "`cart.count` is missing"),
        (with("{\"cart\":{\"count\":1}}"), "no address is known"),
        (
            with("{\"customer\":{\"email\":\"zoë@shop.example\"},\"cart\":{\"count\":1}}"),
            "not ASCII",
        ),
        (with("not JSON"), "damaged"),
    ] {
        let work = Work::begin(given, to(&server), Audience::Everybody).await;
        work.ends(DeliveryStatus::Refused, detail).await;
        work.stops().await;
    }
    assert_eq!(server.heard("EHLO").len(), 0);
}

/// Outside production, with everything redirected.
fn redirected() -> Audience {
    Audience::Only {
        only_to: Vec::new(),
        redirect_email: Some("us@shop.example".into()),
        redirect_sms: None,
    }
}

#[tokio::test]
async fn outside_production_mails_are_redirected() {
    let server = MailServer::start(TAKES);
    let work = Work::begin(marketing(), to(&server), redirected()).await;
    work.ends(DeliveryStatus::Sent, "redirected: 2.0.0 taken").await;
    assert_eq!(server.heard("RCPT"), ["RCPT TO:<us@shop.example>"]);
    work.stops().await;
}

#[tokio::test]
async fn what_is_redirected_asks_for_the_customers_own_suppression() {
    let server = MailServer::start(TAKES);
    for (suppressed, status, detail) in [
        ("ann@shop.example", DeliveryStatus::Cancelled, "suppressed: unsubscribed"),
        ("us@shop.example", DeliveryStatus::Sent, "taken"),
    ] {
        let desk = <Desk>::new(marketing()).await;
        desk.suppress_address(suppressed).await;
        let work = Work::on(desk, to(&server), redirected()).await;
        work.ends(status, detail).await;
        work.stops().await;
    }
    assert_eq!(server.heard("RCPT").len(), 1);
}

#[tokio::test]
async fn a_bad_redirection_says_nothing_of_the_customer() {
    let server = MailServer::start(&[("RCPT", Says("550 5.1.1 no such user"))]);
    for (audience, told, bounced) in [
        (redirected(), EventName::EmailFailed, false),
        (Audience::Everybody, EventName::EmailBounced, true),
    ] {
        let work = Work::begin(marketing(), to(&server), audience).await;
        work.ends(DeliveryStatus::Refused, "5.1.1 no such user").await;
        assert_eq!(work.desk.told().await, [told]);
        // The same reminder again: whether its address is suppressed.
        let again = Decision { message: waypost::model::MessageId(9), ..marketing() };
        let Work { mut desk, stop, task, .. } = work;
        stop.send_replace(true);
        task.await.expect("no panic").expect("no fault of the store");
        desk.checkpoint(vec![MessageChange::Decided(Box::new(again))], &[]).await;
        assert_eq!(desk.is_suppressed().await, bounced);
    }
}

#[tokio::test]
async fn a_folder_that_can_not_be_written_loses_no_caught_mail() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("caught");
    let caught = Arc::new(Caught::open(&path).expect("the folder"));
    std::fs::remove_dir_all(&path).expect("it goes away");
    let work = Work::begin(marketing(), Way::Caught(caught), Audience::Everybody).await;
    let row = work.until("a try", |row| row.try_after.is_some()).await;
    assert_eq!(row.status, DeliveryStatus::Waiting);
    assert!(row.detail.unwrap_or_default().contains("can't write"));
    std::fs::create_dir(&path).expect("it is back");
    work.later(300 * MINUTE_MS);
    work.ends(DeliveryStatus::Sent, "caught as").await;
    let files = std::fs::read_dir(&path).expect("the folder").count();
    assert!(files >= 1, "the mail");
    work.stops().await;
}

#[tokio::test]
async fn a_stalled_message_does_not_keep_the_others() {
    // A server that never greets takes one of two places; the other goes on.
    let silent = MailServer::start(&[(GREETING, Stalls)]);
    let mut work = Work::begin(marketing(), to(&silent), Audience::Everybody).await;
    work.until("the first to start", |row| row.status == DeliveryStatus::Started).await;
    let second = Decision { message: waypost::model::MessageId(9), ..marketing() };
    work.desk.checkpoint(vec![MessageChange::Decided(Box::new(second))], &[]).await;
    work.later(1_000);
    let started = async {
        loop {
            let counts = work.desk.store.ledger().deliveries().await.expect("counts");
            if counts.contains(&(DeliveryStatus::Started, 2)) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(DEADLINE, started).await.expect("the second is begun, too");
    work.task.abort();
}
