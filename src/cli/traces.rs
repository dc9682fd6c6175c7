//! Traces: spans of the worker's work, sent to an OpenTelemetry collector (OTLP over HTTP).

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::Context as _;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::client::conn::http1;
use hyper::header::{HOST, HeaderValue};
use hyper_util::rt::TokioIo;
use opentelemetry::trace::TracerProvider as _;
use opentelemetry_http::{Bytes, HttpClient, HttpError, Request, Response};
use opentelemetry_otlp::{Protocol, WithExportConfig as _, WithHttpConfig as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{SdkTracer, SdkTracerProvider};
use tokio::runtime::Handle;

use crate::provider::{Net, Stream};

/// How long a batch of spans may take to be delivered.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long the last traces may take, at the end of a worker that is to be gone within 30 seconds.
const CLOSING: Duration = Duration::from_secs(2);
/// The largest answer of a collector that is read, in bytes.
const ANSWER_BYTES_MAX: usize = 64 << 10;
/// The path of traces below a collector's address.
const PATH: &str = "/v1/traces";

/// Spans on their way to a collector.
pub(super) struct Traces {
    provider: SdkTracerProvider,
}

impl Traces {
    /// Sends spans to the collector at this address, with the help of a runtime.
    pub(super) fn open(address: &str, runtime: Handle) -> anyhow::Result<Self> {
        let client = Client {
            net: Net::new(None)?,
            runtime,
            failing: Arc::new(AtomicBool::new(false)),
            collector: address.to_owned(),
        };
        let exporter = opentelemetry_otlp::SpanExporter::builder()
            .with_http()
            .with_http_client(client)
            .with_protocol(Protocol::HttpBinary)
            .with_endpoint(endpoint(address))
            .with_timeout(PATIENCE)
            .build()
            .with_context(|| format!("telemetry.otlp: {address} can't be used"))?;
        // OpenTelemetry's own variable names the service, if it is set.
        let resource = match std::env::var_os("OTEL_SERVICE_NAME") {
            Some(_) => Resource::builder(),
            None => Resource::builder().with_service_name("waypost"),
        };
        let resource = resource
            .with_attribute(opentelemetry::KeyValue::new(
                "service.version",
                env!("CARGO_PKG_VERSION"),
            ))
            .build();
        let provider =
            SdkTracerProvider::builder().with_batch_exporter(exporter).with_resource(resource);
        Ok(Self { provider: provider.build() })
    }

    pub(super) fn tracer(&self) -> SdkTracer {
        self.provider.tracer("waypost")
    }

    /// Sends what is left; what can't be sent in time is lost. It blocks.
    pub(super) fn close(self) {
        if let Err(error) = self.provider.shutdown_with_timeout(CLOSING) {
            tracing::debug!(%error, "the last traces are lost");
        }
    }
}

/// Where traces go: as it is written if it names a path.
fn endpoint(address: &str) -> String {
    let bare = address.trim_end_matches('/');
    let after_scheme = bare.split_once("://").map_or(bare, |(_, rest)| rest);
    if after_scheme.contains('/') { address.to_owned() } else { format!("{bare}{PATH}") }
}

/// Posts batches of spans. The exporter has a thread of its own, which has no runtime.
#[derive(Clone)]
struct Client {
    net: Net,
    runtime: Handle,
    /// Whether the last one failed: a collector that is away is told of once.
    failing: Arc<AtomicBool>,
    collector: String,
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client").field("collector", &self.collector).finish_non_exhaustive()
    }
}

impl HttpClient for Client {
    fn send_bytes<'a, 'b>(
        &'a self,
        request: Request<Bytes>,
    ) -> Pin<Box<dyn Future<Output = Result<Response<Bytes>, HttpError>> + Send + 'b>>
    where
        'a: 'b,
        Self: 'b,
    {
        let this = self.clone();
        Box::pin(async move {
            let (net, runtime) = (this.net.clone(), this.runtime.clone());
            let posting = runtime.spawn(async move {
                let silent = || format!("no answer within {} s", PATIENCE.as_secs());
                tokio::time::timeout(PATIENCE, post(&net, request)).await.map_err(|_| silent())?
            });
            let answer = match posting.await {
                Ok(Ok(answer)) if answer.status().is_success() => Ok(answer),
                Ok(Ok(answer)) => Err(format!("it answers {}", answer.status())),
                Ok(Err(why)) => Err(why),
                Err(_) => Err("the worker is stopping".to_owned()),
            };
            match answer {
                Ok(answer) => {
                    this.failing.store(false, Ordering::Relaxed);
                    Ok(answer)
                }
                Err(why) => {
                    if !this.failing.swap(true, Ordering::Relaxed) {
                        tracing::warn!(collector = this.collector, why, "traces are lost");
                    }
                    Err(why.into())
                }
            }
        })
    }
}

async fn post(net: &Net, mut request: Request<Bytes>) -> Result<Response<Bytes>, String> {
    let uri = request.uri().clone();
    let host = uri.host().ok_or("its address has no host")?.to_owned();
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    let tls = uri.scheme_str() == Some("https");
    let port = uri.port_u16().unwrap_or(if tls { 443 } else { 80 });
    let stream = Net::connect(bare, port).await.map_err(|error| error.to_string())?;
    let stream: Box<dyn Stream> = if tls {
        net.secure(Box::new(stream), bare).await.map_err(|error| error.to_string())?
    } else {
        Box::new(stream)
    };
    let failed = |error: hyper::Error| error.to_string();
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(failed)?;
    let connection = tokio::spawn(connection);
    let authority = uri.authority().map_or(host.as_str(), |authority| authority.as_str());
    let named = HeaderValue::from_str(authority).map_err(|error| error.to_string())?;
    request.headers_mut().insert(HOST, named);
    let path = uri.path_and_query().map_or("/", |path| path.as_str()).to_owned();
    *request.uri_mut() = path.parse().map_err(|_| "its address has no path".to_owned())?;
    let answered = sender.send_request(request.map(Full::new)).await.map_err(failed)?;
    let (head, body) = answered.into_parts();
    let body = Limited::new(body, ANSWER_BYTES_MAX).collect().await;
    let body = body.map(http_body_util::Collected::to_bytes).map_err(|error| error.to_string());
    connection.abort();
    Ok(Response::from_parts(head, body?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_without_a_path_gets_the_standards() {
        for (address, goes_to) in [
            ("http://collector:4318", "http://collector:4318/v1/traces"),
            ("http://collector:4318/", "http://collector:4318/v1/traces"),
            ("https://otlp.example/tenant/v1/traces", "https://otlp.example/tenant/v1/traces"),
        ] {
            assert_eq!(endpoint(address), goes_to);
        }
    }
}
