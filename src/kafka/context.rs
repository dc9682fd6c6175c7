//! What librdkafka has to say goes to `tracing`, and the last fault of a connection is kept.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use rdkafka::ClientContext;
use rdkafka::config::RDKafkaLogLevel as Level;
use rdkafka::consumer::ConsumerContext;
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use rdkafka::producer::{DeliveryResult, ProducerContext};

/// The longest text that is kept of a fault, in bytes.
const HEARD_BYTES_MAX: usize = 300;

/// Receives what librdkafka says: logs go to `tracing` with the target `librdkafka`, and the last
/// fault of a connection is kept, because the error of a call that waited for it in vain does not
/// say why.
#[derive(Clone, Default)]
pub struct Context {
    heard: Arc<Mutex<Option<(Code, String)>>>,
    /// Whether faults of connections are told as warnings, or only to whom the call fails.
    is_quiet: bool,
}

impl Context {
    /// For a client that works in the background: what goes wrong is logged.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// For a client whose every failure is the answer to somebody's question.
    #[must_use]
    pub fn quiet() -> Self {
        Self { is_quiet: true, ..Self::default() }
    }

    /// The last fault of a connection.
    #[must_use]
    pub fn heard(&self) -> Option<(Code, String)> {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Forgets what was heard before.
    pub fn forget(&self) {
        *self.heard.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    fn hear(&self, code: Code, reason: &str) {
        let mut heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner);
        // That all servers are gone says less than why one of them is.
        if code == Code::AllBrokersDown && heard.is_some() {
            return;
        }
        // How long it was tried is of no use to anybody.
        let reason = reason.split(" (after ").next().unwrap_or(reason);
        let end = reason.floor_char_boundary(HEARD_BYTES_MAX);
        *heard = Some((code, reason[..end].to_owned()));
    }
}

impl ClientContext for Context {
    fn log(&self, level: Level, facility: &str, message: &str) {
        if facility == "FAIL" {
            // A connection that was closed; mostly the fault that comes as an error says more.
            let reason = message.split_once("]: ").map_or(message, |(_, reason)| reason);
            self.hear(Code::AllBrokersDown, reason);
        }
        // Faults of connections come by `error`, too. A property that only other clients know is
        // no mistake, because all clients have the same properties.
        let is_told_elsewhere =
            self.is_quiet || matches!(facility, "FAIL" | "ERROR") || facility == "CONFWARN";
        match level {
            _ if is_told_elsewhere => tracing::debug!(target: "librdkafka", "{facility} {message}"),
            Level::Emerg | Level::Alert | Level::Critical | Level::Error => {
                tracing::error!(target: "librdkafka", "{facility} {message}");
            }
            Level::Warning => tracing::warn!(target: "librdkafka", "{facility} {message}"),
            Level::Notice | Level::Info => {
                tracing::info!(target: "librdkafka", "{facility} {message}");
            }
            Level::Debug => tracing::debug!(target: "librdkafka", "{facility} {message}"),
        }
    }

    fn error(&self, error: KafkaError, reason: &str) {
        let code = error.rdkafka_error_code().unwrap_or(Code::Fail);
        if self.is_quiet {
            tracing::debug!(target: "librdkafka", "{code}: {reason}");
        } else {
            tracing::warn!(target: "librdkafka", "{code}: {reason}");
        }
        self.hear(code, reason);
    }
}

impl ConsumerContext for Context {}

impl ProducerContext for Context {
    type DeliveryOpaque = ();

    // Whoever awaits a record, or its transaction, hears of it there.
    fn delivery(&self, _: &DeliveryResult<'_>, (): Self::DeliveryOpaque) {}
}

impl fmt::Debug for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Context").field("is_quiet", &self.is_quiet).finish_non_exhaustive()
    }
}
