//! The private listener: `POST /events`, one event or a batch, answered once it is kept for good;
//! and what operators ask: `GET /healthz`, `/readyz` and `/metrics`.

use std::future::IntoFuture;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, FromRequest, Path, Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use serde::Serialize;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tracing::Instrument as _;

use crate::decode::{BeginError, Entry, Reader};
use crate::metrics::{Metrics, SPANS};

use super::inlet::{Gather, Inlet, Refused, Source, gather};
use super::misnamed::Misnamed;
use super::ready::Ready;

/// The header that carries the token, as `Bearer TOKEN`.
pub const AUTH_HEADER: &str = "authorization";
/// The largest body of one request unless configured, in bytes.
pub const BODY_BYTES_MAX_DEFAULT: usize = 16 << 20;

/// How long requests under way may take once the worker stops.
const STOP: Duration = Duration::from_secs(3);
/// How many times its own size a compressed body may be.
const EXPANSION_MAX: usize = 8;

/// The type of what `GET /metrics` answers.
const METRICS_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// What the HTTP door needs.
pub struct Door<I, R> {
    /// Where records go.
    pub inlet: I,
    /// Whether the worker can do its work.
    pub ready: R,
    /// What it counts and measures.
    pub metrics: Arc<Metrics>,
    /// The sources; `POST /events/NAME` is any, `POST /events` the only one.
    pub sources: Arc<[Source]>,
    /// What a caller who posts must show.
    pub token: Option<String>,
    /// The largest body of one request, in bytes.
    pub body_bytes_max: usize,
}

/// The answer to a request.
#[derive(Debug, Serialize)]
struct Answer {
    /// Events that are kept for good.
    accepted: usize,
    /// Records that are not, each with its place and the reason.
    rejected: Vec<RejectedRecord>,
    /// Events that were taken, but are most likely misnamed; the first hundred.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    warnings: Vec<Warning>,
}

#[derive(Debug, Serialize)]
struct Warning {
    /// Place in the request, from 0.
    index: usize,
    warning: String,
}

#[derive(Debug, Serialize)]
struct RejectedRecord {
    /// Place in the request, from 0.
    index: usize,
    reason: String,
}

/// The routes of the private listener.
pub fn routes<I: Inlet, R: Ready>(door: Door<I, R>) -> Router {
    Router::new()
        .route("/events", post(events::<I, R>))
        .route("/events/{source}", post(events_of::<I, R>))
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(ready::<I, R>))
        .route("/metrics", get(metrics::<I, R>))
        .fallback(nowhere)
        .method_not_allowed_fallback(not_so)
        .layer(DefaultBodyLimit::max(door.body_bytes_max))
        .with_state(Arc::new(door))
}

/// Serves until the worker stops. Requests under way are answered first, but a client that says
/// no more is not waited for longer than a few seconds.
pub async fn serve(listener: TcpListener, routes: Router, mut stop: watch::Receiver<bool>) {
    let mut stopping = stop.clone();
    let stopped = async move {
        let _ = stopping.wait_for(|stop| *stop).await;
    };
    let overdue = async move {
        let _ = stop.wait_for(|stop| *stop).await;
        tokio::time::sleep(STOP).await;
    };
    tokio::select! {
        ended = axum::serve(listener, routes).with_graceful_shutdown(stopped).into_future() => {
            if let Err(error) = ended {
                tracing::error!(%error, "HTTP stopped");
            }
        }
        () = overdue => tracing::warn!("a request was not finished in time and got no answer"),
    }
}

/// `POST /events`: the source, where there is only one.
async fn events<I: Inlet, R: Ready>(
    State(door): State<Arc<Door<I, R>>>,
    request: Request,
) -> Response {
    let only = door.sources.first().filter(|_| door.sources.len() == 1);
    let span = tracing::info_span!(target: SPANS, "POST /events");
    take(&door, only, request).instrument(span).await
}

/// `POST /events/NAME`: the source of this name.
async fn events_of<I: Inlet, R: Ready>(
    State(door): State<Arc<Door<I, R>>>,
    Path(name): Path<String>,
    request: Request,
) -> Response {
    let source = door.sources.iter().find(|source| source.name == name);
    let span = tracing::info_span!(target: SPANS, "POST /events", source = name);
    take(&door, source, request).instrument(span).await
}

/// `GET /readyz`: what keeps the worker from its work, one reason a line.
async fn ready<I: Inlet, R: Ready>(State(door): State<Arc<Door<I, R>>>) -> Response {
    let reasons = door.ready.reasons().await;
    if reasons.is_empty() {
        return (StatusCode::OK, "ready\n").into_response();
    }
    (StatusCode::SERVICE_UNAVAILABLE, reasons.join("\n") + "\n").into_response()
}

/// `GET /metrics`.
async fn metrics<I: Inlet, R: Ready>(State(door): State<Arc<Door<I, R>>>) -> Response {
    ([(header::CONTENT_TYPE, METRICS_TYPE)], door.metrics.text()).into_response()
}

async fn nowhere() -> Response {
    let text = "there is nothing at this path; events go to POST /events, GET /healthz answers ok, \
                GET /readyz and GET /metrics tell more\n";
    (StatusCode::NOT_FOUND, text).into_response()
}

async fn not_so() -> Response {
    let text =
        "this path takes another method; events go to POST /events, GET /healthz answers ok\n";
    (StatusCode::METHOD_NOT_ALLOWED, text).into_response()
}

async fn take<I: Inlet, R: Ready>(
    door: &Door<I, R>,
    source: Option<&Source>,
    request: Request,
) -> Response {
    // Before the body is read: a stranger gets no memory of ours.
    if !may_enter(door.token.as_deref(), request.headers()) {
        let text =
            "this worker asks for `Authorization: Bearer` with the token of its `http.token`\n";
        return (StatusCode::UNAUTHORIZED, text).into_response();
    }
    let Some(source) = source else {
        let paths = door.sources.iter().map(|source| format!("/events/{}", source.name));
        let paths = paths.collect::<Vec<_>>().join(", ");
        let text = format!("say which of the `inputs` sends these events; post to {paths}\n");
        return (StatusCode::NOT_FOUND, text).into_response();
    };
    let body = match Bytes::from_request(request, &()).await {
        Ok(body) => body,
        Err(rejection) if rejection.status() == StatusCode::PAYLOAD_TOO_LARGE => {
            return too_large(door.body_bytes_max);
        }
        Err(rejection) => return rejection.into_response(),
    };
    let mut gathered = door.inlet.begin(source);
    let cut = match cut(source, body, &mut gathered, door.body_bytes_max) {
        Ok(Some(cut)) => cut,
        Ok(None) => return too_large(door.body_bytes_max),
        Err(reason) => return (StatusCode::BAD_REQUEST, format!("{reason}\n")).into_response(),
    };
    if cut.records == 0 {
        let text =
            "the body holds no records: send a JSON object, an array of them, or one a line\n";
        return (StatusCode::BAD_REQUEST, text).into_response();
    }
    let mut rejected = cut.rejected;
    let warnings = cut.misnamed.warnings.into_iter();
    let warnings = warnings.map(|(index, warning)| Warning { index, warning }).collect();
    match door.inlet.take(source, gathered).await {
        Ok(accepted) => {
            let others = accepted.rejected.into_iter();
            rejected.extend(others.map(|(index, reason)| RejectedRecord { index, reason }));
            rejected.sort_by_key(|record| record.index);
            let status = if accepted.events == 0 && !rejected.is_empty() {
                StatusCode::BAD_REQUEST
            } else {
                StatusCode::ACCEPTED
            };
            (status, axum::Json(Answer { accepted: accepted.events, rejected, warnings }))
                .into_response()
        }
        Err(refused) => {
            let status = match refused {
                Refused::Stopping | Refused::Kafka(_) | Refused::Letters(_) => {
                    StatusCode::SERVICE_UNAVAILABLE
                }
                Refused::Log(_) => StatusCode::INSUFFICIENT_STORAGE,
            };
            (status, format!("{refused}\n")).into_response()
        }
    }
}

/// What a body was cut into.
#[derive(Default)]
struct Cut {
    /// Events, dead letters and ignored ones.
    records: usize,
    rejected: Vec<RejectedRecord>,
    misnamed: Misnamed,
}

/// Cuts and decodes a body; `None` if it is a small body that holds far too much.
fn cut(
    source: &Source,
    body: Bytes,
    gathered: &mut impl Gather,
    body_bytes_max: usize,
) -> Result<Option<Cut>, BeginError> {
    let body = std::io::Cursor::new(body);
    let mut reader = Reader::new("the request", body, source.decoder.form())?;
    let decode = source.decoder.begin(&mut reader)?;
    let mut cut = Cut::default();
    let mut bytes = 0_usize;
    while let Some(entry) = reader.next_entry()? {
        bytes += match &entry {
            Entry::Record { bytes, .. } => bytes.len(),
            Entry::Rejected { head, .. } => head.len(),
        };
        if bytes > body_bytes_max.saturating_mul(EXPANSION_MAX) {
            return Ok(None);
        }
        let index = cut.records;
        cut.records += 1;
        if let Err(reason) =
            gather(gathered, index, entry, &*decode, source.number, &mut cut.misnamed)
        {
            cut.rejected.push(RejectedRecord { index, reason });
        }
    }
    Ok(Some(cut))
}

fn too_large(body_bytes_max: usize) -> Response {
    let text = format!(
        "the body is larger than the {body_bytes_max} bytes of `http.body_limit`, and nothing of it was taken; send it in smaller batches\n"
    );
    (StatusCode::PAYLOAD_TOO_LARGE, text).into_response()
}

/// Whether the request carries the token, compared without telling by its time how much fits.
fn may_enter(token: Option<&str>, headers: &HeaderMap) -> bool {
    let Some(token) = token else { return true };
    let given = headers
        .get(header::AUTHORIZATION)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.strip_prefix("Bearer "))
        .unwrap_or_default();
    blake3::hash(given.as_bytes()) == blake3::hash(token.as_bytes())
}
