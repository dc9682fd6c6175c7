//! The pages that customers and their mail programs reach: unsubscribing.
//!
//! `POST /u/TOKEN` with `List-Unsubscribe=One-Click` is RFC 8058's one click: it acts at once and
//! never redirects. `GET` only shows a page with a button, because scanners follow links. Both need
//! nothing but the token. What is answered as done is kept: the suppression is committed first.

use std::sync::Arc;

use axum::Router;
use axum::extract::{DefaultBodyLimit, Path, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use tokio::sync::watch;

use crate::deliver::{Link, UNSUBSCRIBE_PATH};
use crate::model::{MessageChannel, Text};
use crate::store::{Outgoing, Suppression, SuppressionReason};

use super::Clock;

/// The largest body of a request here, in bytes.
const BODY_BYTES_MAX: usize = 8 << 10;

/// What the pages need.
pub struct Pages<S> {
    /// Where an unsubscribe is kept.
    pub store: Arc<S>,
    /// When it is.
    pub clock: Arc<dyn Clock>,
    /// Makes and opens the links.
    pub secret: [u8; 32],
    /// Raised when the outbox has something to take.
    pub outbox: watch::Sender<u64>,
    /// The shop's name, as customers know it.
    pub shop: Option<Text>,
    /// Its language, for browsers that ask for none of ours.
    pub locale: Option<Text>,
}

/// The routes of the pages.
pub fn routes<S: Outgoing>(pages: Pages<S>) -> Router {
    Router::new()
        .route(&format!("{UNSUBSCRIBE_PATH}{{token}}"), get(ask::<S>).post(act::<S>))
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .with_state(Arc::new(pages))
}

/// `GET /u/TOKEN`: a page with a button. It changes nothing.
async fn ask<S: Outgoing>(
    State(pages): State<Arc<Pages<S>>>,
    Path(token): Path<String>,
    headers: HeaderMap,
) -> Response {
    let words = words(&headers, pages.locale.as_deref());
    match Link::open(&pages.secret, &token) {
        Some(link) => page(StatusCode::OK, words, &pages.question(&link, words)),
        None => unknown(words),
    }
}

/// `POST /u/TOKEN`: from a mail program (one click), or from the page's buttons.
async fn act<S: Outgoing>(
    State(pages): State<Arc<Pages<S>>>,
    Path(token): Path<String>,
    headers: HeaderMap,
    body: String,
) -> Response {
    let words = words(&headers, pages.locale.as_deref());
    let Some(link) = Link::open(&pages.secret, &token) else { return unknown(words) };
    // Both forms that RFC 8058 allows, URL-encoded and multipart, hold these words as they are.
    let one_click = body.contains("List-Unsubscribe") && body.contains("One-Click");
    let everything = body.split('&').any(|field| field == "scope=all");
    let topic = if everything { None } else { link.topic.clone() };
    let suppression = Suppression {
        channel: link.channel,
        address: link.address,
        topic,
        reason: SuppressionReason::Unsubscribed,
        at: pages.clock.now(),
    };
    match pages.store.unsubscribe(&suppression, link.customer).await {
        Ok(news) => {
            if news {
                pages.outbox.send_modify(|count| *count += 1);
            }
            if one_click {
                return (StatusCode::OK, "unsubscribed\n").into_response();
            }
            page(StatusCode::OK, words, &pages.done(&suppression, words))
        }
        Err(error) => {
            tracing::error!(%error, "an unsubscribe could not be kept");
            page(StatusCode::SERVICE_UNAVAILABLE, words, words.failed)
        }
    }
}

impl<S> Pages<S> {
    fn shop(&self) -> String {
        escape(self.shop.as_deref().unwrap_or_default())
    }

    fn question(&self, link: &Link, words: &Words) -> String {
        let kind = words.kind(link.channel);
        let shop = self.shop();
        let mut text = format!("<h1>{}</h1><form method=\"post\">", words.title);
        if let Some(topic) = &link.topic {
            text += &format!(
                "<p>{}</p><button name=\"scope\" value=\"topic\">{}</button>",
                words.topic.replace("{topic}", &escape(topic)).replace("{shop}", &shop),
                words.topic_button.replace("{topic}", &escape(topic)),
            );
        }
        text += &format!(
            "<p>{}</p><button name=\"scope\" value=\"all\">{}</button></form>",
            words.all.replace("{kind}", kind).replace("{shop}", &shop),
            words.all_button.replace("{kind}", kind),
        );
        text
    }

    fn done(&self, suppression: &Suppression, words: &Words) -> String {
        let what = match &suppression.topic {
            Some(topic) => words.done_topic.replace("{topic}", &escape(topic)),
            None => words.done_all.replace("{kind}", words.kind(suppression.channel)),
        };
        format!("<h1>{}</h1><p>{}</p>", words.done, what.replace("{shop}", &self.shop()))
    }
}

/// What a page says, in one language.
#[derive(Debug)]
struct Words {
    language: &'static str,
    title: &'static str,
    mails: &'static str,
    texts: &'static str,
    topic: &'static str,
    topic_button: &'static str,
    all: &'static str,
    all_button: &'static str,
    done: &'static str,
    done_topic: &'static str,
    done_all: &'static str,
    unknown: &'static str,
    failed: &'static str,
}

impl Words {
    const fn kind(&self, channel: MessageChannel) -> &'static str {
        match channel {
            MessageChannel::Email => self.mails,
            MessageChannel::Sms => self.texts,
        }
    }
}

const LANGUAGES: &[Words] = &[
    Words {
        language: "en",
        title: "Unsubscribe",
        mails: "marketing emails",
        texts: "marketing text messages",
        topic: "Stop only this kind of message: {topic}.",
        topic_button: "Stop {topic}",
        all: "Stop all {kind} of {shop}. Messages about your orders still come.",
        all_button: "Stop all {kind}",
        done: "You are unsubscribed",
        done_topic: "{shop} will send you no more messages of this kind: {topic}.",
        done_all: "{shop} will send you no more {kind}. Messages about your orders still come.",
        unknown: "<h1>This link does not work</h1><p>It may have been cut. Open it from the message once more, \
                  or answer the message and ask us to stop.</p>",
        failed: "<h1>That did not work</h1><p>Please try again in a minute.</p>",
    },
    Words {
        language: "nl",
        title: "Afmelden",
        mails: "reclamemails",
        texts: "reclame-sms'en",
        topic: "Alleen dit soort berichten stoppen: {topic}.",
        topic_button: "Stop {topic}",
        all: "Alle {kind} van {shop} stoppen. Berichten over je bestellingen blijven komen.",
        all_button: "Stop alle {kind}",
        done: "Je bent afgemeld",
        done_topic: "{shop} stuurt je geen berichten van deze soort meer: {topic}.",
        done_all: "{shop} stuurt je geen {kind} meer. Berichten over je bestellingen blijven komen.",
        unknown: "<h1>Deze link werkt niet</h1><p>Misschien is hij afgebroken. Open hem nog eens vanuit het bericht, \
                  of beantwoord het bericht en vraag ons te stoppen.</p>",
        failed: "<h1>Dat is niet gelukt</h1><p>Probeer het over een minuut nog eens.</p>",
    },
];

/// The first language that the browser asks for and we have, else the shop's, else English.
fn words(headers: &HeaderMap, locale: Option<&str>) -> &'static Words {
    let asked = headers.get(header::ACCEPT_LANGUAGE).and_then(|value| value.to_str().ok());
    let asked = asked.unwrap_or_default().split(',');
    let known = |tag: &str| {
        let language = tag.trim().split(['-', ';']).next().unwrap_or_default();
        LANGUAGES.iter().find(|words| words.language == language)
    };
    asked.chain(locale).find_map(known).unwrap_or(&LANGUAGES[0])
}

fn unknown(words: &Words) -> Response {
    page(StatusCode::NOT_FOUND, words, words.unknown)
}

/// A page of its own: no script, nothing loaded, not to be indexed or kept.
fn page(status: StatusCode, words: &Words, body: &str) -> Response {
    let html = format!(
        "<!doctype html><html lang=\"{}\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\
         <meta name=\"color-scheme\" content=\"light dark\"><title>{}</title><style>{STYLE}</style></head>\
         <body><main>{body}</main></body></html>",
        words.language, words.title
    );
    let mut response = (status, html).into_response();
    let headers = response.headers_mut();
    for (name, value) in [
        (header::CONTENT_TYPE, "text/html; charset=utf-8"),
        (
            header::CONTENT_SECURITY_POLICY,
            "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; frame-ancestors 'none'",
        ),
        (header::CACHE_CONTROL, "no-store"),
        (header::REFERRER_POLICY, "no-referrer"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    headers.insert("x-robots-tag", HeaderValue::from_static("noindex"));
    response
}

const STYLE: &str = "body{margin:0;font:17px/1.5 system-ui,sans-serif;background:Canvas;color:CanvasText}\
    main{max-width:28rem;margin:12vh auto;padding:0 1.5rem}h1{font-size:1.6rem;line-height:1.2}\
    button{font:inherit;font-weight:600;padding:.7rem 1.2rem;min-height:44px;border:1px solid;\
    border-radius:.5rem;background:CanvasText;color:Canvas;cursor:pointer}";

fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            c if c.is_control() => {}
            c => escaped.push(c),
        }
    }
    escaped
}
