//! What can go wrong with Kafka, each with the place and the way out.

use std::fmt;
use std::io;
use std::path::PathBuf;

use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};

/// Why something could not be done with Kafka.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file that holds the value of a property.
    #[error("`kafka.secret_files.{property}`: {path} can't be read", path = path.display())]
    SecretFile {
        /// The property.
        property: String,
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A property that librdkafka does not take.
    #[error(
        "`{property}` under `kafka` can't be used: {reason}; its properties are listed in librdkafka's CONFIGURATION.md"
    )]
    Property {
        /// The property.
        property: String,
        /// In librdkafka's words, without the value of a secret.
        reason: String,
    },
    /// Properties that librdkafka takes one by one, but not together.
    #[error(
        "the properties under `kafka` do not go together: {reason}; with SASL set sasl.mechanism (PLAIN, SCRAM-SHA-256, SCRAM-SHA-512 or OAUTHBEARER) and what belongs to it, and check the paths of files"
    )]
    Properties {
        /// In librdkafka's words.
        reason: String,
    },
    /// The cluster, or the client for it, said no or nothing.
    #[error("Kafka: can't {0}")]
    Call(Box<Call>),
    /// Topics that can't be used as they are.
    #[error("the topics in Kafka can't be used as they are:\n{}", listed(.0))]
    Topics(
        /// What is wrong with each, with the way out.
        Vec<String>,
    ),
    /// Work was given up because the process is stopping.
    #[error("stopped while asking Kafka")]
    Stopped,
}

/// A failed call.
#[derive(Debug)]
pub struct Call {
    /// What was being done, after "can't".
    doing: &'static str,
    place: Option<Place>,
    source: KafkaError,
    /// What the client last heard of its connections: often the reason itself.
    heard: Option<String>,
}

/// Where in Kafka something is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The topic.
    pub topic: String,
    /// Its partition.
    pub partition: Option<i32>,
    /// The offset in it.
    pub offset: Option<i64>,
}

impl Error {
    /// A failed call. `doing` completes the sentence "can't ...".
    #[must_use]
    pub fn call(doing: &'static str, source: KafkaError) -> Self {
        Self::Call(Box::new(Call { doing, place: None, source, heard: None }))
    }

    /// A client that can't be made, whose properties librdkafka took one by one.
    pub(super) fn set_up(source: KafkaError) -> Self {
        match source {
            KafkaError::ClientCreation(reason) => Self::Properties { reason },
            other => Self::call("set up a client", other),
        }
    }

    /// With the place that it is about.
    #[must_use]
    pub fn at(mut self, topic: &str, partition: Option<i32>, offset: Option<i64>) -> Self {
        if let Self::Call(call) = &mut self {
            call.place = Some(Place { topic: topic.to_owned(), partition, offset });
        }
        self
    }

    /// With what the client heard of its connections meanwhile.
    #[must_use]
    pub fn with_heard(mut self, heard: Option<String>) -> Self {
        if let Self::Call(call) = &mut self {
            call.heard = heard;
        }
        self
    }

    /// Kafka's code of the error, if it has one.
    #[must_use]
    pub fn code(&self) -> Option<Code> {
        match self {
            Self::Call(call) => code(&call.source),
            Self::SecretFile { .. }
            | Self::Property { .. }
            | Self::Properties { .. }
            | Self::Topics(_)
            | Self::Stopped => None,
        }
    }

    /// Whether the same may work a little later, without anybody doing anything: servers that can't
    /// be reached or are changing leaders, not enough replicas, a transaction that has to be begun
    /// again.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        let Self::Call(call) = self else { return false };
        if let KafkaError::Transaction(error) = &call.source {
            return !error.is_fatal() && (error.is_retriable() || error.txn_requires_abort());
        }
        // Going to a place fails without a code, mostly by its time.
        matches!(call.source, KafkaError::Seek(_))
            || code(&call.source).is_some_and(|code| TRANSIENT.contains(&code))
    }

    /// Whether the same can't work before somebody does something: a right is missing, or what is
    /// written is larger than the topic takes.
    #[must_use]
    pub fn is_lasting(&self) -> bool {
        self.code().is_some_and(|code| LASTING.contains(&code))
    }

    /// Whether another process took over what this client did: it must stop doing it.
    #[must_use]
    pub fn is_fenced(&self) -> bool {
        self.code().is_some_and(|code| FENCED.contains(&code))
    }
}

const TRANSIENT: &[Code] = &[
    Code::BrokerTransportFailure,
    Code::AllBrokersDown,
    Code::Resolve,
    Code::MessageTimedOut,
    Code::OperationTimedOut,
    Code::TimedOutQueue,
    Code::QueueFull,
    Code::WaitingForCoordinator,
    Code::InProgress,
    Code::PreviousInProgress,
    Code::WaitCache,
    Code::Retry,
    Code::PurgeQueue,
    Code::PurgeInflight,
    Code::AssignmentLost,
    // Polling on joins the group again.
    Code::PollExceeded,
    Code::DestroyBroker,
    Code::LeaderNotAvailable,
    Code::NotLeaderForPartition,
    Code::RequestTimedOut,
    Code::BrokerNotAvailable,
    Code::ReplicaNotAvailable,
    Code::NetworkException,
    Code::CoordinatorLoadInProgress,
    Code::CoordinatorNotAvailable,
    Code::NotCoordinator,
    Code::NotEnoughReplicas,
    Code::NotEnoughReplicasAfterAppend,
    Code::IllegalGeneration,
    Code::UnknownMemberId,
    Code::RebalanceInProgress,
    Code::NotController,
    Code::ConcurrentTransactions,
    Code::KafkaStorageError,
    Code::FencedLeaderEpoch,
    Code::UnknownLeaderEpoch,
    Code::OffsetNotAvailable,
    Code::PreferredLeaderNotAvailable,
    Code::EligibleLeadersNotAvailable,
    Code::UnstableOffsetCommit,
    Code::ThrottlingQuotaExceeded,
];

const LASTING: &[Code] = &[
    Code::TopicAuthorizationFailed,
    Code::GroupAuthorizationFailed,
    Code::ClusterAuthorizationFailed,
    Code::TransactionalIdAuthorizationFailed,
    Code::Authentication,
    Code::SaslAuthenticationFailed,
    Code::MessageSizeTooLarge,
    Code::PolicyViolation,
    Code::InvalidRecord,
];

const FENCED: &[Code] = &[
    Code::Fenced,
    Code::ProducerFenced,
    Code::InvalidProducerEpoch,
    Code::TransactionCoordinatorFenced,
    Code::FencedInstanceId,
];

fn code(error: &KafkaError) -> Option<Code> {
    match error {
        // The only variant whose code the library does not give out.
        KafkaError::AdminOp(code) => Some(*code),
        other => other.rdkafka_error_code(),
    }
}

const PASSWORD: &str = "check sasl.mechanism, sasl.username and sasl.password under `kafka`";
const TLS: &str = "check security.protocol and ssl.ca.location under `kafka.properties`";

/// What can be done about what librdkafka says of a connection, by words in it. The first counts.
const WAYS_OUT: &[(&[&str], &str)] = &[
    (
        &["OAUTHBEARER token", "invalid_token"],
        "check sasl.oauthbearer.token.endpoint.url, sasl.oauthbearer.client.id, \
         sasl.oauthbearer.scope and sasl.oauthbearer.client.secret under `kafka`",
    ),
    (
        &["security.protocol", "connection closed by peer"],
        "check security.protocol under `kafka.properties`, and the port in `kafka.brokers`",
    ),
    (&["SASL", "uthentication"], PASSWORD),
    (
        &["certificate verify failed"],
        "check that ssl.ca.location under `kafka.properties` holds the authority of the server's \
         certificate, that the certificate is not over, and that it is for the name in \
         `kafka.brokers`",
    ),
    (
        &["alert bad certificate", "alert certificate", "alert unknown ca"],
        "the server does not take this client's certificate: check ssl.certificate.location and \
         ssl.key.location under `kafka.properties`",
    ),
    (&["SSL", "ertificate"], TLS),
];

/// What can be done about it.
fn way_out(code: Code, heard: &str) -> Option<&'static str> {
    let by_heard = WAYS_OUT.iter().find(|(words, _)| words.iter().any(|word| heard.contains(word)));
    if let Some((_, way_out)) = by_heard {
        return Some(way_out);
    }
    Some(match code {
        Code::Authentication
        | Code::SaslAuthenticationFailed
        | Code::UnsupportedSASLMechanism
        | Code::IllegalSASLState => PASSWORD,
        Code::SSL => TLS,
        Code::BrokerTransportFailure
        | Code::AllBrokersDown
        | Code::Resolve
        | Code::OperationTimedOut
        | Code::RequestTimedOut => {
            "check `kafka.brokers`, security.protocol, and that this machine may reach them"
        }
        Code::TopicAuthorizationFailed
        | Code::GroupAuthorizationFailed
        | Code::ClusterAuthorizationFailed
        | Code::TransactionalIdAuthorizationFailed => {
            "give its user the rights that docs/operations.md lists"
        }
        Code::UnknownTopic | Code::UnknownTopicOrPartition | Code::UnknownPartition => {
            "make the topic, or correct its name"
        }
        Code::OffsetOutOfRange | Code::AutoOffsetReset => {
            "the records there are gone: raise the topic's retention.ms before more are"
        }
        Code::InvalidReplicationFactor => {
            "set `kafka.replication` to at most the number of its servers"
        }
        Code::PolicyViolation => {
            "the cluster's own rules forbid it: make the topic by hand, as docs/operations.md says"
        }
        Code::MessageSizeTooLarge => "raise the topic's max.message.bytes",
        code if FENCED.contains(&code) => "another process took over; this one gives it up",
        _ => return None,
    })
}

impl fmt::Display for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { doing, place, source, heard } = self;
        f.write_str(doing)?;
        if let Some(place) = place {
            write!(f, " ({place})")?;
        }
        match code(source) {
            Some(code) => write!(f, ": {code}")?,
            None => write!(f, ": {source}")?,
        }
        if let Some(heard) = heard {
            write!(f, "; last heard: {heard}")?;
        }
        let heard = heard.as_deref().unwrap_or_default();
        match code(source).and_then(|code| way_out(code, heard)) {
            Some(way_out) => write!(f, "; {way_out}"),
            None => Ok(()),
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "topic {}", self.topic)?;
        if let Some(partition) = self.partition {
            write!(f, ", partition {partition}")?;
        }
        match self.offset {
            Some(offset) => write!(f, ", offset {offset}"),
            None => Ok(()),
        }
    }
}

fn listed(faults: &[String]) -> String {
    faults.iter().map(|fault| format!("  {fault}")).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_names_place_reason_and_way_out() {
        let error = Error::call("read", KafkaError::MessageConsumption(Code::OffsetOutOfRange)).at(
            "shop.web",
            Some(3),
            Some(17),
        );
        assert_eq!(
            error.to_string(),
            "Kafka: can't read (topic shop.web, partition 3, offset 17): OffsetOutOfRange (Broker: \
             Offset out of range); the records there are gone: raise the topic's retention.ms \
             before more are"
        );
        assert!(!error.is_transient() && !error.is_fenced());
    }

    #[test]
    fn what_passes_by_itself_and_what_was_taken_over_is_told_apart() {
        let of = |code| Error::call("write", KafkaError::MessageProduction(code));
        assert!(of(Code::BrokerTransportFailure).is_transient());
        assert!(of(Code::NotEnoughReplicas).is_transient());
        assert!(!of(Code::TopicAuthorizationFailed).is_transient());
        assert!(of(Code::TopicAuthorizationFailed).is_lasting());
        assert!(of(Code::MessageSizeTooLarge).is_lasting());
        assert!(!of(Code::InvalidProducerEpoch).is_lasting());
        assert!(!of(Code::Fenced).is_transient() && of(Code::Fenced).is_fenced());
        let admin = Error::call("make topics", KafkaError::AdminOp(Code::RequestTimedOut));
        assert!(admin.is_transient());
    }
}
