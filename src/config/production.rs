//! Kafka and Postgres, checked: a worker has both, or neither.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::PathBuf;

use crate::diagnostic::{Code, Diagnostic};
use crate::model::{Delay, Text};
use crate::yaml::{OneOrMany, Spanned};

use super::Secret;
use super::lower::Lower;
use super::properties::{Properties, is_secret};
use super::syntax::{ConfigFile, InputSyntax, KafkaSyntax, PostgresSyntax};

/// The most partitions of a log in Kafka.
pub const KAFKA_PARTITIONS_MAX: u32 = 1024;

/// The longest name of a topic in Kafka, in bytes.
const TOPIC_BYTES_MAX: usize = 249;
/// The longest `kafka.name`: it is followed by `.feedback`, and by what tells clients apart.
const NAME_BYTES_MAX: usize = 200;
/// The most connections to Postgres.
const CONNECTIONS_MAX: u32 = 1000;
/// The most replicas of a topic; more are a mistake.
const REPLICATION_MAX: u16 = 15;

const NAME_DEFAULT: &str = "waypost";
const PARTITIONS_DEFAULT: u32 = 64;
const CONNECTIONS_DEFAULT: u32 = 10;

/// Where the log and the state of many workers are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Production {
    /// The log.
    pub kafka: Kafka,
    /// States, messages, and what belongs to the log beside its records.
    pub postgres: Postgres,
}

/// A Kafka cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kafka {
    /// Servers with their ports.
    pub brokers: Vec<String>,
    /// What the names of topics, groups and transactions begin with.
    pub name: String,
    /// Partitions of the log; fixed once it exists.
    pub partitions: u32,
    /// Replicas of topics that are made; `None` leaves it to the cluster.
    pub replication: Option<u16>,
    /// How long the log keeps records if it is made; `None` is without end.
    pub retention: Option<Delay>,
    /// The topic to which dead letters are written, too.
    pub dead_letters: Option<String>,
    /// Properties of librdkafka.
    pub properties: BTreeMap<String, String>,
    /// Properties whose values must not be seen.
    pub secrets: BTreeMap<String, Secret>,
    /// Properties whose values are in files.
    pub secret_files: BTreeMap<String, PathBuf>,
}

/// The largest record that Waypost writes unless `message.max.bytes` says otherwise, in bytes: more
/// than becomes of the largest record of an input, and what managed clusters let a topic take.
const MESSAGE_BYTES_MAX: u32 = 8 << 20;

impl Kafka {
    /// The largest record that Waypost writes, in bytes: librdkafka's `message.max.bytes`.
    #[must_use]
    pub fn message_bytes_max(&self) -> u32 {
        let set = self.properties.get("message.max.bytes");
        // Librdkafka refuses what is no number.
        set.and_then(|set| set.trim().parse().ok()).unwrap_or(MESSAGE_BYTES_MAX)
    }

    /// The topic of the log.
    #[must_use]
    pub fn log_topic(&self) -> String {
        format!("{}.log", self.name)
    }

    /// The topic of what the worker tells itself: outcomes, unsubscribes, handovers.
    #[must_use]
    pub fn feedback_topic(&self) -> String {
        format!("{}.feedback", self.name)
    }
}

/// A Postgres database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Postgres {
    /// Its address, `postgres://user@host/database`; secret, because it may hold a password.
    pub url: Secret,
    /// The password, where the address has none.
    pub password: Option<Secret>,
    /// File of the password, where neither has one.
    pub password_file: Option<PathBuf>,
    /// The most connections of one process.
    pub connections: u32,
}

impl Postgres {
    /// The address with `***` for a password.
    #[must_use]
    pub fn shown(&self) -> String {
        masked(self.url.expose())
    }
}

/// What of the file speaks of Kafka and Postgres.
pub(super) struct Written {
    kafka: Option<Spanned<KafkaSyntax>>,
    postgres: Option<Spanned<PostgresSyntax>>,
    /// Where the SQLite store is spoken of.
    store: Option<Range<usize>>,
    /// Name, place and topic of each input.
    topics: Vec<(String, Range<usize>, Option<Spanned<String>>)>,
    blocking: Option<Range<usize>>,
}

impl Written {
    pub(super) fn take(file: &mut ConfigFile) -> Self {
        let inputs = file.inputs.iter().flatten();
        let topics = inputs
            .clone()
            .map(|(name, input)| (name.clone(), input.span.clone(), input.value.topic.clone()))
            .collect();
        let blocking = |input: &InputSyntax| input.blocking.as_ref().map(|it| it.span.clone());
        Self {
            blocking: inputs.clone().find_map(|(_, input)| blocking(&input.value)),
            kafka: file.kafka.take(),
            postgres: file.postgres.take(),
            store: file.store.as_ref().map(|store| store.span.clone()),
            topics,
        }
    }
}

impl Lower<'_> {
    pub(super) fn production(&mut self, written: Written) -> Option<Production> {
        let Written { kafka, postgres, store, topics, blocking } = written;
        match (kafka, postgres) {
            (None, None) => {
                let topic = topics.into_iter().find_map(|(_, _, topic)| topic);
                for (key, span) in
                    [("topic", topic.map(|topic| topic.span)), ("blocking", blocking)]
                {
                    let Some(span) = span else { continue };
                    let message = format!("`{key}` has a meaning only with `kafka`");
                    let help = "add `kafka` and `postgres`, or leave it out: without them events \
                                come by HTTP and standard input";
                    self.fail(Code::Conflict, &span, message, help);
                }
                None
            }
            (Some(kafka), None) => {
                let help = "add `postgres: { url: .. }`: Kafka holds the log, Postgres the state";
                self.fail(Code::MissingField, &kafka.span, "`kafka` needs `postgres`", help);
                None
            }
            (None, Some(postgres)) => {
                let help = "add `kafka: { brokers: .. }`: Postgres holds the state, Kafka the log";
                self.fail(Code::MissingField, &postgres.span, "`postgres` needs `kafka`", help);
                None
            }
            (Some(kafka), Some(postgres)) => {
                if let Some(span) = store {
                    let message = "`store` is not used: Kafka holds the log, Postgres the state";
                    self.warn(Code::Conflict, &span, message, "leave it out");
                }
                let place = kafka.span.clone();
                let dead_letters = kafka.value.dead_letters.clone();
                let kafka = self.kafka(kafka.value);
                let postgres = self.postgres(postgres);
                self.topics(&place, &kafka, dead_letters, topics);
                Some(Production { kafka, postgres })
            }
        }
    }

    fn kafka(&mut self, kafka: KafkaSyntax) -> Kafka {
        let name = kafka.name.map_or_else(
            || NAME_DEFAULT.to_owned(),
            |name| {
                if let Some(why) = bad_name(&name.value, NAME_BYTES_MAX) {
                    let message = format!("topics can't be named after this: {why}");
                    let help = "write as in waypost or shop-nl.waypost";
                    self.fail(Code::BadValue, &name.span, message, help);
                }
                name.value
            },
        );
        if let Some(partitions) = &kafka.partitions
            && !(1..=KAFKA_PARTITIONS_MAX).contains(&partitions.value)
        {
            let message = format!("a log has 1 to {KAFKA_PARTITIONS_MAX} partitions");
            let help = "64 are enough for most; it can't be changed later";
            self.fail(Code::BadValue, &partitions.span, message, help);
        }
        if let Some(replication) = &kafka.replication
            && !(1..=REPLICATION_MAX).contains(&replication.value)
        {
            let message = format!("a topic has 1 to {REPLICATION_MAX} replicas");
            self.fail(Code::BadValue, &replication.span, message, "3 survive a lost server");
        }
        let retention = kafka.retention.map(|retention: Spanned<Delay>| {
            if retention.value.nominal_ms() == 0 {
                let message = "a log that keeps nothing can't be read";
                let help = "leave it out to keep records without end";
                self.fail(Code::BadDuration, &retention.span, message, help);
            }
            retention.value
        });
        let brokers = self.brokers(kafka.brokers);
        let properties = kafka.properties.unwrap_or_default();
        let secrets = kafka.secrets.unwrap_or_default();
        let files = kafka.secret_files.unwrap_or_default();
        for (name, value) in &properties.0 {
            if is_secret(name) {
                let message = format!("`{name}` would be shown with the other properties");
                let help = "write it under `kafka.secrets`, or name its file under \
                            `kafka.secret_files`";
                self.fail(Code::Conflict, &value.span, message, help);
            }
        }
        self.alone(&secrets, |name| properties.0.contains_key(name));
        self.alone(&files, |name| properties.0.contains_key(name) || secrets.0.contains_key(name));
        Kafka {
            brokers,
            name,
            partitions: kafka.partitions.map_or(PARTITIONS_DEFAULT, |written| written.value),
            replication: kafka.replication.map(|written| written.value),
            retention,
            dead_letters: kafka.dead_letters.as_ref().map(|topic| topic.value.clone()),
            properties: values(properties, |value| value.0),
            secrets: values(secrets, |value| value),
            secret_files: values(files, |file| self.base.join(file.0)),
        }
    }

    /// Says which properties are given twice.
    fn alone<T>(&mut self, properties: &Properties<T>, elsewhere: impl Fn(&str) -> bool) {
        for (name, value) in properties.0.iter().filter(|(name, _)| elsewhere(name)) {
            let message = format!("`{name}` is given twice");
            self.fail(Code::Conflict, &value.span, message, "keep one of them");
        }
    }

    fn brokers(&mut self, written: Spanned<OneOrMany<Spanned<String>>>) -> Vec<String> {
        let mut brokers = Vec::new();
        for Spanned { value, span } in written.value.into_vec() {
            for broker in value.split(',').map(str::trim) {
                if broker.is_empty() || broker.contains(char::is_whitespace) {
                    let help = "write as in kafka-1:9092";
                    self.fail(Code::BadValue, &span, "this is no server", help);
                } else if broker.contains("://") {
                    let help = "write it without, as in kafka-1:9092; how to speak to it is \
                                `kafka.properties.security.protocol`";
                    self.fail(Code::BadValue, &span, "a server's address has no scheme", help);
                }
                brokers.push(broker.to_owned());
            }
        }
        if brokers.is_empty() {
            let help = "write at least one, as in kafka-1:9092";
            self.fail(Code::MissingField, &written.span, "`kafka.brokers` names no server", help);
        }
        brokers
    }

    fn postgres(&mut self, postgres: Spanned<PostgresSyntax>) -> Postgres {
        let Spanned { value: postgres, span } = postgres;
        let url = postgres.url;
        let rest = ["postgres://", "postgresql://"]
            .iter()
            .find_map(|scheme| url.value.expose().strip_prefix(scheme));
        // Never quoted back: it may hold a password.
        if rest.is_none_or(|rest| rest.is_empty() || rest.contains(char::is_whitespace)) {
            let message = "`postgres.url` is no address of a database";
            let help = "write it as in postgres://waypost@db.example/waypost";
            self.fail(Code::BadValue, &url.span, message, help);
        }
        let in_url = masked(url.value.expose()) != url.value.expose();
        let passwords = [in_url, postgres.password.is_some(), postgres.password_file.is_some()];
        if passwords.into_iter().filter(|given| *given).count() > 1 {
            let message = "the password of Postgres is given twice";
            let help = "keep one of `postgres.password`, `postgres.password_file` and the one in \
                        `postgres.url`";
            self.fail(Code::Conflict, &span, message, help);
        }
        if let Some(connections) = &postgres.connections
            && !(2..=CONNECTIONS_MAX).contains(&connections.value)
        {
            let message = format!("a worker uses 2 to {CONNECTIONS_MAX} connections");
            self.fail(Code::BadValue, &connections.span, message, "leave it out for 10");
        }
        Postgres {
            url: url.value,
            password: postgres.password,
            password_file: postgres.password_file.map(|file| self.base.join(file.0)),
            connections: postgres.connections.map_or(CONNECTIONS_DEFAULT, |written| written.value),
        }
    }

    /// Every input has a topic of its own.
    fn topics(
        &mut self,
        kafka_place: &Range<usize>,
        kafka: &Kafka,
        dead_letters: Option<Spanned<String>>,
        inputs: Vec<(String, Range<usize>, Option<Spanned<String>>)>,
    ) {
        if inputs.is_empty() {
            let help = "add `inputs: { web: { topic: shop.web, format: xdm } }`";
            let message = "`kafka` needs `inputs`: which topics hold the events";
            self.fail(Code::MissingField, kafka_place, message, help);
        }
        let mut seen: BTreeMap<String, String> = BTreeMap::new();
        for (own, by) in [(kafka.log_topic(), "log"), (kafka.feedback_topic(), "feedback")] {
            seen.insert(own, format!("Waypost's own {by}"));
        }
        if let Some(Spanned { value: topic, span }) = dead_letters {
            self.topic(&topic, &span);
            if let Some(other) = seen.insert(topic.clone(), "the dead letters".to_owned()) {
                let message = format!("`{topic}` is {other} topic");
                let help = "give dead letters a topic of their own";
                self.fail(Code::Conflict, &span, message, help);
            }
        }
        for (name, span, topic) in inputs {
            let Some(Spanned { value: topic, span }) = topic else {
                let message = format!("with `kafka` the input `{name}` needs `topic`");
                let help = "name the topic whose records it reads";
                self.fail(Code::MissingField, &span, message, help);
                continue;
            };
            self.topic(&topic, &span);
            if let Some(other) = seen.insert(topic.clone(), format!("the input `{name}`")) {
                let message = format!("`{topic}` is read by {other}, too");
                let help = "give each input a topic of its own: a record belongs to one source";
                self.fail(Code::Conflict, &span, message, help);
            }
        }
    }

    fn topic(&mut self, name: &str, span: &Range<usize>) {
        if let Some(why) = bad_name(name, TOPIC_BYTES_MAX) {
            let message = format!("no topic has this name: {why}");
            self.fail(Code::BadValue, span, message, "write as in shop.web");
        }
    }

    fn warn(&mut self, code: Code, span: &Range<usize>, message: &str, help: &str) {
        let warning = Diagnostic::error(code, self.file, span.clone(), message).help(help);
        self.report.push(warning.warning());
    }
}

/// Where an input's records are, if they are in a topic.
pub(super) fn topic(input: &InputSyntax) -> (Option<Text>, bool) {
    let topic = input.topic.as_ref().map(|topic| Text::from(topic.value.as_str()));
    (topic, input.blocking.as_ref().is_none_or(|blocking| blocking.value))
}

/// Why a name is none that a topic can have (Kafka's own rule).
fn bad_name(name: &str, bytes_max: usize) -> Option<String> {
    let fits = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    if name.is_empty() || name == "." || name == ".." {
        return Some("it has no letter".to_owned());
    }
    if let Some(odd) = name.chars().find(|c| !fits(*c)) {
        return Some(format!("{odd:?} is none of letters without accents, digits, `.`, `_`, `-`"));
    }
    (name.len() > bytes_max).then(|| format!("it is longer than {bytes_max} characters"))
}

fn values<T, V>(properties: Properties<T>, value: impl Fn(T) -> V) -> BTreeMap<String, V> {
    properties.0.into_iter().map(|(name, written)| (name, value(written.value))).collect()
}

/// A database's address with `***` for a password, before the host or among the parameters. A
/// password may hold `?` and `@`, though it ought to be encoded: all up to the last `@` is hidden.
fn masked(url: &str) -> String {
    let (scheme, rest) = url.split_once("://").unwrap_or(("", url));
    let (login, place) = rest.rsplit_once('@').unwrap_or(("", rest));
    let (before, parameters) = place.split_once('?').unwrap_or((place, ""));
    let mut out = match (scheme, login.split_once(':')) {
        ("", None) => String::new(),
        (scheme, None) if login.is_empty() => format!("{scheme}://"),
        (scheme, None) => format!("{scheme}://{login}@"),
        (scheme, Some((user, _))) => format!("{scheme}://{user}:***@"),
    };
    out.push_str(before);
    let shown = parameters.split('&').filter(|parameter| !parameter.is_empty()).map(|parameter| {
        if parameter.starts_with("password=") { "password=***" } else { parameter }
    });
    for (index, parameter) in shown.enumerate() {
        out.push(if index == 0 { '?' } else { '&' });
        out.push_str(parameter);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::masked;

    #[test]
    fn a_password_is_hidden_wherever_it_stands() {
        for (url, shown) in [
            ("postgres://db/waypost", "postgres://db/waypost"),
            ("postgres://waypost@db/w", "postgres://waypost@db/w"),
            ("postgres://waypost:geheim@db/w?a=b", "postgres://waypost:***@db/w?a=b"),
            ("postgres://waypost:ge?h@eim@db/w", "postgres://waypost:***@db/w"),
            ("postgres://db/w?password=geheim&a=b", "postgres://db/w?password=***&a=b"),
        ] {
            assert_eq!(masked(url), shown);
        }
    }
}
