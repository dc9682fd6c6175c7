//! Questions to a cluster, each answered or failed within [`PATIENCE`].

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rdkafka::admin::AdminClient;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use tokio::runtime::Handle;

use super::{Context, Error, Settings};

/// How long the tries of one question last. The first is short, because what is wrong with a
/// password is known at once, while librdkafka would try on; the last is for a slow cluster.
const TRIES: [Duration; 3] =
    [Duration::from_secs(1), Duration::from_secs(2), Duration::from_secs(5)];

/// The longest that a question takes.
pub(super) const PATIENCE: Duration = Duration::from_secs(8);

/// How long events that are there already are waited for.
const DRAIN: Duration = Duration::from_millis(1);
/// How long the reason of a failure is waited for.
const DRAIN_FAILED: Duration = Duration::from_millis(100);

/// A Kafka cluster that is asked now and then. Nothing is connected before the first question.
///
/// Every question is a call that blocks in librdkafka, so it is asked on a thread of its own.
#[derive(Clone)]
pub struct Cluster {
    pub(super) settings: Settings,
    asker: Arc<BaseConsumer<Context>>,
    /// Made when they are first needed.
    pub(super) readers: Readers,
    /// Of groups, by name; they never join.
    pub(super) groups: Arc<Mutex<BTreeMap<String, BaseConsumer<Context>>>>,
}

/// Clients that read single records, one for each view.
pub(super) type Readers = Arc<Mutex<BTreeMap<View, BaseConsumer<Context>>>>;

/// Which records are seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum View {
    /// Those of transactions that are committed, and those without one.
    Committed,
    /// All, also those of a transaction that may be taken back.
    All,
}

impl View {
    /// The word for it among librdkafka's properties.
    pub(super) const fn isolation(self) -> &'static str {
        match self {
            Self::Committed => "read_committed",
            Self::All => "read_uncommitted",
        }
    }
}

impl Cluster {
    /// The cluster of these settings.
    ///
    /// # Errors
    /// [`Error::Properties`] if librdkafka can't make a client of them, such as a certificate that
    /// can't be read.
    pub fn new(settings: &Settings) -> Result<Self, Error> {
        let asker = settings.asking().create_with_context(Context::quiet());
        let asker: BaseConsumer<Context> = asker.map_err(Error::set_up)?;
        Ok(Self {
            settings: settings.clone(),
            asker: Arc::new(asker),
            readers: Arc::default(),
            groups: Arc::default(),
        })
    }

    /// Whether the cluster can be reached: the number of its servers.
    ///
    /// # Errors
    /// [`Error::Call`] with the reason that is known: refused, wrong password, wrong certificate.
    pub async fn reach(&self) -> Result<usize, Error> {
        self.ask("reach the cluster", |asker, patience| {
            // Of a topic that need not exist, so that a large cluster does not list all of them.
            let metadata = asker.fetch_metadata(Some("__consumer_offsets"), patience)?;
            Ok(metadata.brokers().len())
        })
        .await
    }

    /// Asks a question, again while the reason that it fails may pass.
    pub(super) async fn ask<T: Send + 'static>(
        &self,
        doing: &'static str,
        question: impl Fn(&BaseConsumer<Context>, Duration) -> Result<T, KafkaError> + Send + 'static,
    ) -> Result<T, Error> {
        let asker = Arc::clone(&self.asker);
        blocking(move || {
            let mut tries = TRIES.into_iter();
            let context = asker.context();
            context.forget();
            loop {
                let patience = tries.next();
                let Some(result) = patience.map(|patience| question(&asker, patience)) else {
                    let timed_out = KafkaError::MetadataFetch(Code::OperationTimedOut);
                    return Err(Error::call(doing, timed_out));
                };
                // Logs and faults wait in the client until somebody polls it.
                while asker.poll(if result.is_ok() { DRAIN } else { DRAIN_FAILED }).is_some() {}
                let error = match result {
                    Ok(answer) => return Ok(answer),
                    Err(error) => Error::call(doing, error),
                };
                let fault = context.heard();
                let is_final = fault.as_ref().is_some_and(|(code, reason)| is_final(*code, reason));
                if is_final || !error.is_transient() || tries.len() == 0 {
                    return Err(error.with_heard(fault.map(|(_, reason)| reason)));
                }
            }
        })
        .await
    }

    /// Makes a request that only administrators make. Nothing reads what their client logs, and it
    /// blocks when it is dropped, so it lives as long as the request.
    pub(super) async fn administer<T: Send + 'static>(
        &self,
        request: impl FnOnce(&AdminClient<Context>, &Handle) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let config = self.settings.asking();
        let runtime = Handle::current();
        blocking(move || {
            let admin = config.create_with_context(Context::quiet());
            let admin = admin.map_err(|error| Error::call("set up a client", error))?;
            request(&admin, &runtime)
        })
        .await
    }
}

impl std::fmt::Debug for Cluster {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Cluster").field("settings", &self.settings).finish_non_exhaustive()
    }
}

/// Faults of a connection that the next try meets again.
fn is_final(code: Code, reason: &str) -> bool {
    matches!(
        code,
        Code::Authentication
            | Code::SaslAuthenticationFailed
            | Code::UnsupportedSASLMechanism
            | Code::SSL
    ) || reason.contains(" alert ")
}

/// Runs what blocks on a thread of its own.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    // A task that is gone was dropped with the runtime.
    tokio::task::spawn_blocking(work).await.unwrap_or(Err(Error::Stopped))
}
