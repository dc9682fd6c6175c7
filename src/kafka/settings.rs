//! What each kind of client is set to.

use std::fmt;
use std::path::Path;

use rdkafka::ClientConfig;
use rdkafka::config::RDKafkaLogLevel as Level;
use rdkafka::consumer::BaseConsumer;
use rdkafka::error::KafkaError;

use super::{Context, Error};
use crate::config;

/// How long a transaction may take; a writer that was lost is out of the way after that.
pub(super) const TRANSACTION_MS: u32 = 10_000;

/// The most bytes of a message beside its value.
const BESIDE_VALUE: usize = 512;

/// What a property is set to unless the configuration says otherwise.
const DEFAULTS: &[(&str, &str)] = &[
    ("socket.keepalive.enable", "true"),
    ("enable.metrics.push", "false"),
    ("compression.type", "zstd"),
    ("linger.ms", "5"),
];

/// How tokens are got with OAUTHBEARER.
const TOKEN_METHOD: &str = "sasl.oauthbearer.method";

/// The settings of the clients of one cluster, from the configuration.
#[derive(Clone)]
pub struct Settings {
    name: String,
    message_bytes_max: u32,
    base: ClientConfig,
}

impl Settings {
    /// Reads the files of secrets and asks librdkafka whether it takes every property. Nothing is
    /// connected.
    ///
    /// # Errors
    /// [`Error::SecretFile`], [`Error::Property`], [`Error::Properties`].
    pub fn new(kafka: &config::Kafka) -> Result<Self, Error> {
        let mut base = ClientConfig::new();
        base.set_log_level(log_level());
        base.set("client.id", &kafka.name);
        for (name, value) in DEFAULTS {
            base.set(*name, *value);
        }
        base.set("message.max.bytes", kafka.message_bytes_max().to_string());
        for (name, value) in &kafka.properties {
            base.set(name, value);
        }
        for (name, secret) in &kafka.secrets {
            base.set(name, secret.expose());
        }
        for (name, path) in &kafka.secret_files {
            base.set(name, first_line(name, path)?);
        }
        base.set("bootstrap.servers", kafka.brokers.join(","));
        base.set("allow.auto.create.topics", "false");
        let settings =
            Self { name: kafka.name.clone(), message_bytes_max: kafka.message_bytes_max(), base };
        // A client holds the values against each other, too. It connects only when it is asked, but
        // for a token it asks at once.
        let mut config = settings.asking();
        if config.get(TOKEN_METHOD).is_some() {
            config.create_native_config().map_err(|error| property(kafka, error))?;
            config.remove(TOKEN_METHOD);
        }
        let client = config.create_with_context(Context::quiet());
        let _: BaseConsumer<Context> = client.map_err(|error| property(kafka, error))?;
        Ok(settings)
    }

    /// The largest value that a producer takes, in bytes: there is room for a key, headers and what
    /// librdkafka puts around them.
    #[must_use]
    pub fn value_bytes_max(&self) -> usize {
        (self.message_bytes_max as usize).saturating_sub(BESIDE_VALUE)
    }

    /// A consumer in the group `NAME.group`, which gets its partitions from Kafka, keeps no
    /// positions by itself, and reads what is committed. Without a position it begins at the
    /// beginning.
    #[must_use]
    pub fn consumer(&self, group: &str) -> ClientConfig {
        let mut config = self.reading(group);
        config.set("auto.offset.reset", "earliest");
        // Partitions that stay where they are go on while others change hands.
        config.set("partition.assignment.strategy", "cooperative-sticky");
        config
    }

    /// A consumer that is assigned its partitions and positions by hand, and reads what is
    /// committed. A position whose records are gone is an error. It joins no group; librdkafka
    /// wants the name of one (`NAME.reader`) all the same.
    #[must_use]
    pub fn reader(&self) -> ClientConfig {
        let mut config = self.reading("reader");
        config.set("auto.offset.reset", "error");
        config
    }

    /// A producer that writes each record once, in order, and to all replicas in sync.
    #[must_use]
    pub fn producer(&self) -> ClientConfig {
        let mut config = self.base.clone();
        config.set("enable.idempotence", "true");
        config.set("acks", "all");
        config.set("message.timeout.ms", "30000");
        config
    }

    /// A producer of transactions with the id `NAME.id`: whoever begins with an id ends the one
    /// who had it before.
    #[must_use]
    pub fn transactional(&self, id: &str) -> ClientConfig {
        let mut config = self.producer();
        config.set("transactional.id", format!("{}.{id}", self.name));
        config.set("transaction.timeout.ms", TRANSACTION_MS.to_string());
        // Librdkafka wants records to be given up before their transaction is.
        config.set("message.timeout.ms", TRANSACTION_MS.to_string());
        config
    }

    /// What only the admin client, and questions, need: the cluster and how to speak to it.
    pub(super) fn asking(&self) -> ClientConfig {
        let mut config = self.base.clone();
        config.set("isolation.level", "read_committed");
        // Why a server closed a connection is said there.
        if matches!(config.log_level, Level::Warning) {
            config.set_log_level(Level::Info);
        }
        config
    }

    /// The whole name of a group.
    pub(super) fn group(&self, group: &str) -> String {
        format!("{}.{group}", self.name)
    }

    fn reading(&self, group: &str) -> ClientConfig {
        let mut config = self.base.clone();
        config.set("group.id", self.group(group));
        config.set("enable.auto.commit", "false");
        config.set("enable.auto.offset.store", "false");
        config.set("isolation.level", "read_committed");
        config.set("check.crcs", "true");
        config
    }
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings").field("name", &self.name).finish_non_exhaustive()
    }
}

/// Librdkafka makes no text that nobody reads.
fn log_level() -> Level {
    if tracing::enabled!(target: "librdkafka", tracing::Level::DEBUG) {
        Level::Debug
    } else if tracing::enabled!(target: "librdkafka", tracing::Level::INFO) {
        Level::Info
    } else {
        Level::Warning
    }
}

fn first_line(property: &str, path: &Path) -> Result<String, Error> {
    let text = std::fs::read_to_string(path).map_err(|source| Error::SecretFile {
        property: property.to_owned(),
        path: path.to_owned(),
        source,
    })?;
    // A key in PEM has many lines.
    if property.ends_with(".pem") {
        return Ok(text);
    }
    Ok(text.lines().next().unwrap_or_default().to_owned())
}

/// The reason without the value, which may be a secret.
fn property(kafka: &config::Kafka, error: KafkaError) -> Error {
    match error {
        KafkaError::ClientConfig(_, reason, property, _) => {
            let is_secret = !kafka.properties.contains_key(&property);
            let reason = if is_secret { "librdkafka does not take it".to_owned() } else { reason };
            Error::Property { property, reason }
        }
        other => Error::set_up(other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    fn kafka(properties: &[(&str, &str)]) -> config::Kafka {
        config::Kafka {
            brokers: vec!["a:1".into(), "b:2".into()],
            name: "shop".into(),
            partitions: 4,
            replication: None,
            retention: None,
            dead_letters: None,
            properties: properties.iter().map(|(a, b)| ((*a).into(), (*b).into())).collect(),
            secrets: BTreeMap::new(),
            secret_files: BTreeMap::new(),
        }
    }

    #[test]
    fn what_waypost_depends_on_is_set_and_the_rest_is_the_configurations() {
        let settings = Settings::new(&kafka(&[("linger.ms", "50")])).expect("settings");
        let consumer = settings.consumer("ingest");
        assert_eq!(consumer.get("bootstrap.servers"), Some("a:1,b:2"));
        assert_eq!(consumer.get("group.id"), Some("shop.ingest"));
        assert_eq!(consumer.get("isolation.level"), Some("read_committed"));
        let writer = settings.transactional("lane.3");
        assert_eq!(writer.get("transactional.id"), Some("shop.lane.3"));
        assert_eq!(writer.get("linger.ms"), Some("50"));
        assert_eq!(writer.get("acks"), Some("all"));
        assert_eq!(writer.get("message.max.bytes"), Some("8388608"));
        for config in [consumer, settings.reader(), settings.producer(), writer] {
            config.create_native_config().expect("known properties");
        }
    }

    #[test]
    fn the_largest_message_is_the_configurations() {
        let settings = Settings::new(&kafka(&[("message.max.bytes", "100000")]));
        let settings = settings.expect("settings");
        assert_eq!(settings.producer().get("message.max.bytes"), Some("100000"));
        assert_eq!(settings.value_bytes_max(), 100_000 - BESIDE_VALUE);
        Settings::new(&kafka(&[("message.max.bytes", "8 MiB")])).expect_err("no number");
    }

    #[test]
    fn a_property_that_librdkafka_refuses_is_named_without_a_secret() {
        let error = Settings::new(&kafka(&[("sasl.mechanizm", "PLAIN")])).expect_err("unknown");
        let said = error.to_string();
        assert!(said.contains("`sasl.mechanizm` under `kafka`"), "{said}");
        let mut wrong = kafka(&[]);
        wrong.secrets.insert("linger.ms".into(), config::Secret::new("very-secret"));
        let said = Settings::new(&wrong).expect_err("no number").to_string();
        assert!(said.contains("`linger.ms`") && !said.contains("very-secret"), "{said}");
        // Librdkafka's own default mechanism is Kerberos, which is not in this build.
        let said = Settings::new(&kafka(&[("security.protocol", "SASL_PLAINTEXT")]));
        let said = said.expect_err("no mechanism").to_string();
        assert!(said.contains("do not go together") && said.contains("GSSAPI"), "{said}");
        let said = Settings::new(&kafka(&[
            ("security.protocol", "SSL"),
            ("ssl.ca.location", "no/such/file"),
        ]));
        let said = said.expect_err("no file").to_string();
        assert!(said.contains("ssl.ca.location"), "{said}");
        let mut wrong = kafka(&[]);
        wrong.secret_files.insert("sasl.password".into(), "no/such/file".into());
        let said = Settings::new(&wrong).expect_err("no file").to_string();
        assert!(said.contains("kafka.secret_files.sasl.password"), "{said}");
    }
}
