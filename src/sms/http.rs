//! One POST over one connection, which knows whether the request was on its way.

use std::time::Duration;

use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper::{Request, Response, Uri};
use hyper_util::rt::TokioIo;
use tokio::time::timeout;

use super::Timeouts;
use crate::provider::{Net, Phase, Stream};

/// The largest answer read, in bytes.
pub(super) const ANSWER_BYTES_MAX: usize = 64 * 1_024;

/// What came back.
pub(super) struct Reply {
    pub(super) status: u16,
    pub(super) retry_after: Option<Duration>,
    /// The body; what could be read of it may be nothing.
    pub(super) body: Bytes,
}

/// Why nothing came back.
pub(super) enum Broken {
    /// The request was not on its way.
    Before(Phase, String),
    /// What we refuse in the server.
    Fault(String),
    /// It was, or may have been.
    After(String),
}

/// Where requests go, checked: `https`, or `http` to this machine.
pub(super) struct Target {
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) tls: bool,
}

impl Target {
    pub(super) fn of(uri: &Uri) -> Option<Self> {
        let tls = match uri.scheme_str()? {
            "https" => true,
            "http" => false,
            _ => return None,
        };
        let host = uri.host()?.trim_start_matches('[').trim_end_matches(']').to_owned();
        let port = uri.port_u16().unwrap_or(if tls { 443 } else { 80 });
        Some(Self { host, port, tls })
    }
}

/// Sends the request, after `before_request` has agreed to it. Redirects are not followed.
pub(super) async fn post<F, Fut>(
    net: &Net,
    target: &Target,
    request: Request<Full<Bytes>>,
    timeouts: Timeouts,
    before_request: F,
) -> Result<Reply, Broken>
where
    F: FnOnce() -> Fut,
    Fut: Future<Output = Result<(), String>>,
{
    let stream = open(net, target, timeouts.connect).await?;
    let before = |error: hyper::Error| Broken::Before(Phase::Body, error.to_string());
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(before)?;
    let mut connection = std::pin::pin!(connection);
    let exchange = async {
        sender.ready().await.map_err(before)?;
        before_request().await.map_err(|why| Broken::Before(Phase::Body, why))?;
        let answered = timeout(timeouts.answer, async {
            let response = sender.try_send_request(request).await.map_err(|mut error| {
                let never_written = error.take_message().is_some();
                let why = error.into_error().to_string();
                if never_written { Broken::Before(Phase::Body, why) } else { Broken::After(why) }
            })?;
            Ok(read(response).await)
        });
        let silent = || format!("no answer within {} s", timeouts.answer.as_secs_f32());
        answered.await.map_err(|_| Broken::After(silent()))?
    };
    let mut exchange = std::pin::pin!(exchange);
    // hyper works on the connection apart from the request; both belong to this call.
    tokio::select! {
        biased;
        done = &mut exchange => done,
        _ = &mut connection => exchange.await,
    }
}

async fn open(net: &Net, target: &Target, limit: Duration) -> Result<Box<dyn Stream>, Broken> {
    let silent =
        |phase| Broken::Before(phase, format!("no reply within {} s", limit.as_secs_f32()));
    let stream = timeout(limit, Net::connect(&target.host, target.port))
        .await
        .map_err(|_| silent(Phase::Connect))?
        .map_err(|error| Broken::Before(Phase::Connect, error.to_string()))?;
    if !target.tls {
        return Ok(Box::new(stream));
    }
    timeout(limit, net.secure(Box::new(stream), &target.host))
        .await
        .map_err(|_| silent(Phase::Tls))?
        .map_err(|error| {
            let why = error.to_string();
            if Net::is_tls_fault(&error) {
                Broken::Fault(why)
            } else {
                Broken::Before(Phase::Tls, why)
            }
        })
}

/// The status is the answer; a body that breaks off, or is too large, only loses its words.
async fn read(response: Response<hyper::body::Incoming>) -> Reply {
    let (head, body) = response.into_parts();
    let seconds = head.headers.get(hyper::header::RETRY_AFTER);
    let seconds = seconds.and_then(|value| value.to_str().ok()?.trim().parse().ok());
    let body = Limited::new(body, ANSWER_BYTES_MAX).collect().await;
    Reply {
        status: head.status.as_u16(),
        retry_after: seconds.map(Duration::from_secs),
        body: body.map(http_body_util::Collected::to_bytes).unwrap_or_default(),
    }
}
