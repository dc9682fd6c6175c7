//! Topics: how they are set up, and making those of Waypost.

use std::collections::BTreeMap;
use std::time::Duration;

use rdkafka::admin::{
    AdminOptions, ConfigResource, NewTopic, OwnedResourceSpecifier, ResourceSpecifier,
    TopicReplication,
};
use rdkafka::consumer::Consumer;
use rdkafka::error::{IsError, KafkaError, RDKafkaErrorCode as Code};

use super::check::{Role, check, missing};
use super::cluster::PATIENCE;
use super::{Cluster, Error, Severity};
use crate::config;
use crate::model::DAY_MS;

/// How long the feedback topic keeps records if Waypost makes it: longer than any outage, since
/// nothing reads them twice.
const FEEDBACK_RETENTION_MS: i64 = 30 * DAY_MS;

/// How often a topic that was made is looked for until it is known, and how long apart.
const LOOKS: usize = 100;
const LOOK_APART: Duration = Duration::from_millis(100);

/// A topic as it is set up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Topic {
    /// Its name.
    pub name: String,
    /// Number of its partitions.
    pub partitions: u32,
    /// Replicas of its first partition.
    pub replicas: usize,
    /// `message.timestamp.type`; `None` if its settings may not be read.
    pub timestamps: Option<Timestamps>,
    /// `retention.ms`; `None` is without end.
    pub retention_ms: Option<i64>,
    /// `retention.bytes` of a partition; `None` is without limit.
    pub retention_bytes: Option<i64>,
    /// `max.message.bytes`; `None` if its settings may not be read.
    pub message_bytes_max: Option<u64>,
    /// Whether `cleanup.policy` removes records whose key comes again.
    pub is_compacted: bool,
}

/// Whose clock a topic's timestamps are of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Timestamps {
    /// The producer's.
    Create,
    /// The server's that appended the record.
    LogAppend,
}

impl Cluster {
    /// How topics are set up; `None` for one that does not exist.
    ///
    /// # Errors
    /// [`Error::Call`].
    pub async fn topics(&self, names: &[String]) -> Result<BTreeMap<String, Option<Topic>>, Error> {
        let wanted = names.to_vec();
        let found = self
            .ask("read how topics are set up", move |asker, patience| {
                wanted
                    .iter()
                    .map(|name| shape(asker, name, patience))
                    .collect::<Result<Vec<_>, _>>()
            })
            .await?;
        let there: Vec<&str> = found.iter().flatten().map(|(name, _, _)| name.as_str()).collect();
        let mut settings = self.settings_of(&there).await?;
        let mut topics: BTreeMap<String, Option<Topic>> =
            names.iter().map(|name| (name.clone(), None)).collect();
        for (name, partitions, replicas) in found.into_iter().flatten() {
            let set = settings.remove(&name).unwrap_or_default();
            topics.insert(name.clone(), Some(topic(name, partitions, replicas, &set)));
        }
        Ok(topics)
    }

    /// Makes the topics of the log and of feedback that are not there, and answers their names.
    /// Another process may make them at the same time.
    ///
    /// # Errors
    /// [`Error::Call`], such as a missing right, or more replicas than servers.
    pub async fn make_topics(&self, kafka: &config::Kafka) -> Result<Vec<String>, Error> {
        let own = [kafka.log_topic(), kafka.feedback_topic()];
        let there = self.topics(&own).await?;
        let absent: Vec<String> =
            own.into_iter().filter(|name| there.get(name).is_none_or(Option::is_none)).collect();
        if absent.is_empty() {
            return Ok(absent);
        }
        let log_retention = kafka.retention.map_or(-1, |retention| retention.nominal_ms());
        let wanted: Vec<(String, i64)> = absent
            .iter()
            .map(|name| {
                let is_log = *name == kafka.log_topic();
                (name.clone(), if is_log { log_retention } else { FEEDBACK_RETENTION_MS })
            })
            .collect();
        let partitions = i32::try_from(kafka.partitions).unwrap_or(i32::MAX);
        let replicas = kafka.replication.map_or(-1, i32::from);
        let message_bytes_max = kafka.message_bytes_max().to_string();
        self.administer(move |admin, runtime| {
            let options = AdminOptions::new()
                .request_timeout(Some(PATIENCE))
                .operation_timeout(Some(PATIENCE));
            for (name, retention_ms) in &wanted {
                let retention = retention_ms.to_string();
                let new = NewTopic::new(name, partitions, TopicReplication::Fixed(replicas))
                    .set("cleanup.policy", "delete")
                    .set("message.timestamp.type", "LogAppendTime")
                    .set("max.message.bytes", &message_bytes_max)
                    .set("retention.bytes", "-1")
                    .set("retention.ms", &retention);
                let failed = |error| Error::call("make the topic", error).at(name, None, None);
                let made = runtime.block_on(admin.create_topics([&new], &options));
                match made.map_err(failed)?.into_iter().next() {
                    // Another process was faster.
                    Some(Err((_, Code::TopicAlreadyExists))) | Some(Ok(_)) | None => {}
                    Some(Err((_, code))) => return Err(failed(KafkaError::AdminOp(code))),
                }
            }
            Ok(())
        })
        .await?;
        self.known(&absent).await?;
        Ok(absent)
    }

    /// Makes the topics of Waypost that are not there, and holds all of them against what they must
    /// be; the answer is what to be warned of. `longest_ms` is how long the longest journey takes,
    /// if that is known.
    ///
    /// # Errors
    /// [`Error::Topics`] with everything that is wrong, else as [`Self::make_topics`].
    pub async fn prepare(
        &self,
        config: &config::Config,
        kafka: &config::Kafka,
        longest_ms: Option<i64>,
    ) -> Result<Vec<String>, Error> {
        self.make_topics(kafka).await?;
        let roles = Role::all(config, kafka);
        let names: Vec<String> = roles.iter().map(|(name, _)| name.clone()).collect();
        let topics = self.topics(&names).await?;
        let (mut faults, mut warnings) = (Vec::new(), Vec::new());
        for (name, role) in &roles {
            let findings = match topics.get(name).and_then(Option::as_ref) {
                Some(topic) => check(topic, role, longest_ms),
                None => vec![missing(name, role)],
            };
            for finding in findings {
                match finding.severity {
                    Severity::Error => faults.push(finding.text),
                    Severity::Warning => warnings.push(finding.text),
                }
            }
        }
        if faults.is_empty() { Ok(warnings) } else { Err(Error::Topics(faults)) }
    }

    /// Waits until topics that were just made are known.
    async fn known(&self, names: &[String]) -> Result<(), Error> {
        for _ in 0..LOOKS {
            let topics = self.topics(names).await?;
            if topics.values().all(Option::is_some) {
                return Ok(());
            }
            tokio::time::sleep(LOOK_APART).await;
        }
        let unknown = KafkaError::MetadataFetch(Code::UnknownTopicOrPartition);
        Err(Error::call("see the topics that were made", unknown))
    }

    /// The settings of topics that exist.
    async fn settings_of(&self, names: &[&str]) -> Result<BTreeMap<String, Set>, Error> {
        if names.is_empty() {
            return Ok(BTreeMap::new());
        }
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        self.administer(move |admin, runtime| {
            let which: Vec<_> = names.iter().map(|name| ResourceSpecifier::Topic(name)).collect();
            let options = AdminOptions::new().request_timeout(Some(PATIENCE));
            let answers = runtime
                .block_on(admin.describe_configs(&which, &options))
                .map_err(|error| Error::call("read the settings of topics", error))?;
            // One that may not be read has no entries.
            let settings = answers.iter().flatten().filter_map(|answer| match &answer.specifier {
                OwnedResourceSpecifier::Topic(name) => Some((name.clone(), set(answer))),
                OwnedResourceSpecifier::Group(_) | OwnedResourceSpecifier::Broker(_) => None,
            });
            Ok(settings.collect())
        })
        .await
    }
}

/// Name, partitions and replicas of a topic, if it exists.
fn shape(
    asker: &impl Consumer<super::Context>,
    name: &str,
    patience: Duration,
) -> Result<Option<(String, u32, usize)>, KafkaError> {
    let metadata = match asker.fetch_metadata(Some(name), patience) {
        Ok(metadata) => metadata,
        Err(KafkaError::MetadataFetch(Code::UnknownTopic | Code::UnknownTopicOrPartition)) => {
            return Ok(None);
        }
        Err(error) => return Err(error),
    };
    let Some(topic) = metadata.topics().iter().find(|topic| topic.name() == name) else {
        return Ok(None);
    };
    if let Some(error) = topic.error().filter(IsError::is_error) {
        return match Code::from(error) {
            Code::UnknownTopic | Code::UnknownTopicOrPartition => Ok(None),
            code => Err(KafkaError::MetadataFetch(code)),
        };
    }
    let partitions = u32::try_from(topic.partitions().len()).unwrap_or(u32::MAX);
    let replicas = topic.partitions().first().map_or(0, |first| first.replicas().len());
    Ok((partitions > 0).then(|| (name.to_owned(), partitions, replicas)))
}

/// What a topic's settings say.
#[derive(Default)]
struct Set {
    timestamps: Option<Timestamps>,
    retention_ms: Option<i64>,
    retention_bytes: Option<i64>,
    message_bytes_max: Option<u64>,
    is_compacted: bool,
}

fn set(resource: &ConfigResource) -> Set {
    let text = |name: &str| resource.get(name).and_then(|entry| entry.value.as_deref());
    // -1 is without limit.
    let limit = |name: &str| text(name).and_then(|text| text.parse().ok()).filter(|ms| *ms >= 0);
    Set {
        timestamps: text("message.timestamp.type").map(|text| match text {
            "LogAppendTime" => Timestamps::LogAppend,
            _ => Timestamps::Create,
        }),
        retention_ms: limit("retention.ms"),
        retention_bytes: limit("retention.bytes"),
        message_bytes_max: text("max.message.bytes").and_then(|text| text.parse().ok()),
        is_compacted: text("cleanup.policy").is_some_and(|text| text.contains("compact")),
    }
}

fn topic(name: String, partitions: u32, replicas: usize, set: &Set) -> Topic {
    Topic {
        name,
        partitions,
        replicas,
        timestamps: set.timestamps,
        retention_ms: set.retention_ms,
        retention_bytes: set.retention_bytes,
        message_bytes_max: set.message_bytes_max,
        is_compacted: set.is_compacted,
    }
}
