//! `POST /events`: one event or a batch, answered once the log has it for good.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use serde::Serialize;
use tokio::net::TcpListener;
use tokio::sync::watch;

use crate::decode::{BeginError, Reader};

use super::Error;
use super::doors::Batch;
use super::ingest::{Intake, Refused, Source, Taken};

/// The header that carries the token, as `Bearer TOKEN`.
pub const AUTH_HEADER: &str = "authorization";
/// The largest body of one request unless configured, in bytes.
pub const BODY_BYTES_MAX_DEFAULT: usize = 16 << 20;

/// What the HTTP door needs.
pub(super) struct Door {
    pub intake: Intake,
    pub sources: Arc<[Source]>,
    pub token: Option<String>,
}

/// The answer to a request.
#[derive(Debug, Serialize)]
struct Answer {
    /// Events that are in the log for good.
    accepted: usize,
    /// Records that are not, each with its place and the reason.
    rejected: Vec<RejectedRecord>,
}

#[derive(Debug, Serialize)]
struct RejectedRecord {
    /// Place in the request, from 0.
    index: usize,
    reason: String,
}

/// Listens on an address.
pub(super) async fn listen(address: SocketAddr) -> Result<TcpListener, Error> {
    TcpListener::bind(address).await.map_err(|source| Error::Listen { address, source })
}

/// Serves until the worker stops; requests under way are answered first.
pub(super) async fn serve(
    listener: TcpListener,
    door: Door,
    body_bytes_max: usize,
    mut stop: watch::Receiver<bool>,
) {
    let routes = Router::new()
        .route("/events", post(events))
        .route("/events/{source}", post(events_of))
        .route("/healthz", get(|| async { "ok\n" }))
        .layer(DefaultBodyLimit::max(body_bytes_max))
        .with_state(Arc::new(door));
    let stopped = async move {
        let _ = stop.wait_for(|stop| *stop).await;
    };
    if let Err(error) = axum::serve(listener, routes).with_graceful_shutdown(stopped).await {
        tracing::error!(%error, "HTTP stopped");
    }
}

/// `POST /events`: the first source.
async fn events(State(door): State<Arc<Door>>, headers: HeaderMap, body: Bytes) -> Response {
    take(&door, door.sources.first(), &headers, body).await
}

/// `POST /events/NAME`: the source of this name.
async fn events_of(
    State(door): State<Arc<Door>>,
    Path(name): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let source = door.sources.iter().find(|source| source.name == name);
    take(&door, source, &headers, body).await
}

async fn take(door: &Door, source: Option<&Source>, headers: &HeaderMap, body: Bytes) -> Response {
    if !may_enter(door.token.as_deref(), headers) {
        let text =
            "this worker asks for `Authorization: Bearer` with the token of its `http.token`\n";
        return (StatusCode::UNAUTHORIZED, text).into_response();
    }
    let Some(source) = source else {
        let names: Vec<&str> = door.sources.iter().map(|source| source.name.as_str()).collect();
        let text = format!("there is no such source; `inputs` has: {}\n", names.join(", "));
        return (StatusCode::NOT_FOUND, text).into_response();
    };
    let taken = door.intake.take_in();
    let batch = match decode(source, body, &taken) {
        Ok(batch) => batch,
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
            (status, axum::Json(Answer { accepted: accepted.events, rejected })).into_response()
        }
        Err(refused @ Refused::Stopping) => {
            (StatusCode::SERVICE_UNAVAILABLE, format!("{refused}\n")).into_response()
        }
        Err(refused @ Refused::Log(_)) => {
            (StatusCode::INSUFFICIENT_STORAGE, format!("{refused}\n")).into_response()
        }
    }
}

/// Cuts and decodes a body.
fn decode(source: &Source, body: Bytes, taken: &Taken) -> Result<Batch, BeginError> {
    let body = std::io::Cursor::new(body);
    let mut reader = Reader::new("the request", body, source.decoder.form())?;
    let decode = source.decoder.begin(&mut reader)?;
    let mut batch = Batch::default();
    let position = taken.position(&source.name);
    while let Some(entry) = reader.next_entry()? {
        batch.add(entry, &*decode, source.number, taken.at, &position);
    }
    Ok(batch)
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
