//! `POST /events`: one event or a batch, answered once the log has it for good.

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

use crate::decode::{BeginError, Entry, Reader};

use super::doors::Batch;
use super::ingest::{Intake, Refused, Source, Taken};

/// The header that carries the token, as `Bearer TOKEN`.
pub const AUTH_HEADER: &str = "authorization";
/// The largest body of one request unless configured, in bytes.
pub const BODY_BYTES_MAX_DEFAULT: usize = 16 << 20;

/// How long requests under way may take once the worker stops.
const STOP: Duration = Duration::from_secs(3);
/// How many times its own size a compressed body may be.
const EXPANSION_MAX: usize = 8;

/// What the HTTP door needs.
pub(super) struct Door {
    pub intake: Intake,
    pub sources: Arc<[Source]>,
    pub token: Option<String>,
    pub body_bytes_max: usize,
}

/// The answer to a request.
#[derive(Debug, Serialize)]
struct Answer {
    /// Events that are in the log for good.
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

/// The routes of the door for events.
pub(super) fn routes(door: Door) -> Router {
    Router::new()
        .route("/events", post(events))
        .route("/events/{source}", post(events_of))
        .route("/healthz", get(|| async { "ok\n" }))
        .fallback(nowhere)
        .method_not_allowed_fallback(not_so)
        .layer(DefaultBodyLimit::max(door.body_bytes_max))
        .with_state(Arc::new(door))
}

/// The routes of a worker that takes no events by HTTP.
pub fn health_routes() -> Router {
    Router::new()
        .route("/healthz", get(|| async { "ok\n" }))
        .fallback(nowhere)
        .method_not_allowed_fallback(not_so)
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
async fn events(State(door): State<Arc<Door>>, request: Request) -> Response {
    let only = door.sources.first().filter(|_| door.sources.len() == 1);
    take(&door, only, request).await
}

/// `POST /events/NAME`: the source of this name.
async fn events_of(
    State(door): State<Arc<Door>>,
    Path(name): Path<String>,
    request: Request,
) -> Response {
    let source = door.sources.iter().find(|source| source.name == name);
    take(&door, source, request).await
}

async fn nowhere() -> Response {
    let text =
        "there is nothing at this path; events go to POST /events, GET /healthz answers ok\n";
    (StatusCode::NOT_FOUND, text).into_response()
}

async fn not_so() -> Response {
    let text =
        "this path takes another method; events go to POST /events, GET /healthz answers ok\n";
    (StatusCode::METHOD_NOT_ALLOWED, text).into_response()
}

async fn take(door: &Door, source: Option<&Source>, request: Request) -> Response {
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
    let taken = door.intake.take_in();
    let batch = match decode(source, body, &taken, door.body_bytes_max) {
        Ok(Some(batch)) => batch,
        Ok(None) => return too_large(door.body_bytes_max),
        Err(reason) => return (StatusCode::BAD_REQUEST, format!("{reason}\n")).into_response(),
    };
    if batch.records == 0 {
        let text =
            "the body holds no records: send a JSON object, an array of them, or one a line\n";
        return (StatusCode::BAD_REQUEST, text).into_response();
    }
    let mut rejected: Vec<RejectedRecord> = batch
        .rejected
        .into_iter()
        .map(|(index, _, reason)| RejectedRecord { index, reason })
        .collect();
    let warnings = batch.warnings.into_iter();
    let warnings = warnings.map(|(index, warning)| Warning { index, warning }).collect();
    match door.intake.submit(taken, batch.events, batch.dead).await {
        Ok(accepted) => {
            rejected.extend(
                accepted
                    .rejected
                    .into_iter()
                    .map(|(index, reason)| RejectedRecord { index, reason }),
            );
            rejected.sort_by_key(|record| record.index);
            let status = if accepted.events == 0 && !rejected.is_empty() {
                StatusCode::BAD_REQUEST
            } else {
                StatusCode::ACCEPTED
            };
            (status, axum::Json(Answer { accepted: accepted.events, rejected, warnings }))
                .into_response()
        }
        Err(refused @ Refused::Stopping) => {
            (StatusCode::SERVICE_UNAVAILABLE, format!("{refused}\n")).into_response()
        }
        Err(refused @ Refused::Log(_)) => {
            (StatusCode::INSUFFICIENT_STORAGE, format!("{refused}\n")).into_response()
        }
    }
}

/// Cuts and decodes a body; `None` if it is a small body that holds far too much.
fn decode(
    source: &Source,
    body: Bytes,
    taken: &Taken,
    body_bytes_max: usize,
) -> Result<Option<Batch>, BeginError> {
    let body = std::io::Cursor::new(body);
    let mut reader = Reader::new("the request", body, source.decoder.form())?;
    let decode = source.decoder.begin(&mut reader)?;
    let mut batch = Batch::default();
    let position = taken.position(&source.name);
    let mut bytes = 0_usize;
    while let Some(entry) = reader.next_entry()? {
        bytes += match &entry {
            Entry::Record { bytes, .. } => bytes.len(),
            Entry::Rejected { head, .. } => head.len(),
        };
        if bytes > body_bytes_max.saturating_mul(EXPANSION_MAX) {
            return Ok(None);
        }
        batch.add(entry, &*decode, source.number, taken.at, &position);
    }
    Ok(Some(batch))
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
