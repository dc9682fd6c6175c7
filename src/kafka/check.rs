//! Whether a topic is as it must be.

use super::topics::{Timestamps, Topic};
use crate::config::{Config, Kafka};
use crate::model::{DAY_MS, Delay};

/// What a topic is to Waypost.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Role {
    /// The log, with so many partitions.
    Log {
        /// As configured.
        partitions: u32,
        /// The largest record that is written, in bytes.
        message_bytes: u32,
    },
    /// What the workers tell themselves.
    Feedback {
        /// The largest record that is written, in bytes.
        message_bytes: u32,
    },
    /// An input.
    Input {
        /// Its name in the configuration.
        name: String,
        /// Whether time waits for it.
        blocking: bool,
    },
    /// Where dead letters go, too.
    DeadLetters,
}

impl Role {
    /// The topics of a configuration: the log, feedback, those of the inputs, and that of dead
    /// letters.
    #[must_use]
    pub fn all(config: &Config, kafka: &Kafka) -> Vec<(String, Self)> {
        let message_bytes = kafka.message_bytes_max();
        let own = [
            (kafka.log_topic(), Self::Log { partitions: kafka.partitions, message_bytes }),
            (kafka.feedback_topic(), Self::Feedback { message_bytes }),
        ];
        let inputs = config.inputs.iter().filter_map(|(name, input)| {
            let role = Self::Input { name: name.to_string(), blocking: input.blocking };
            Some((input.topic.as_ref()?.to_string(), role))
        });
        let dead = kafka.dead_letters.iter().map(|topic| (topic.clone(), Self::DeadLetters));
        own.into_iter().chain(inputs).chain(dead).collect()
    }
}

/// Something about a topic that is not as it must be, or should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// How bad it is.
    pub severity: Severity,
    /// What it is, and the way out.
    pub text: String,
}

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// A worker does not start with it.
    Error,
    /// It works, but not as well as it could.
    Warning,
}

/// Holds a topic against what it is for. `longest_ms` is how long the longest journey takes, if
/// that is known.
#[must_use]
pub fn check(topic: &Topic, role: &Role, longest_ms: Option<i64>) -> Vec<Finding> {
    let mut found = Vec::new();
    let name = &topic.name;
    if let Role::Log { partitions, .. } = role
        && topic.partitions != *partitions
    {
        found.push(error(format!(
            "topic {name} has {} partitions, the configuration says {partitions}: set \
             `kafka.partitions` to {}; the number decides which customer is where and is fixed once \
             the log is made",
            topic.partitions, topic.partitions
        )));
    }
    let needs_append_time = match role {
        Role::Log { .. } | Role::DeadLetters => false,
        Role::Feedback { .. } => true,
        Role::Input { blocking, .. } => *blocking,
    };
    match topic.timestamps {
        Some(Timestamps::Create) if needs_append_time => found.push(error(create_time(name, role))),
        None => found.push(warning(format!(
            "the settings of topic {name} can't be read, so they are not checked: give Waypost's \
             user the right DescribeConfigs on it"
        ))),
        Some(Timestamps::Create | Timestamps::LogAppend) => {}
    }
    if topic.is_compacted {
        found.push(compacted(name, role));
    }
    found.extend(retention(topic, role, longest_ms));
    found.extend(too_small(topic, role));
    if topic.replicas == 1 {
        found.push(warning(format!(
            "topic {name} has one replica, so it is lost with its server: give it three, unless \
             this cluster is for trying things out"
        )));
    }
    found
}

/// What to say of a topic that does not exist.
#[must_use]
pub fn missing(name: &str, role: &Role) -> Finding {
    match role {
        Role::Log { .. } | Role::Feedback { .. } => warning(format!(
            "topic {name} is not there yet: `waypost run` makes it, if its user has the right to"
        )),
        Role::DeadLetters => {
            error(format!("there is no topic {name}: make it, or leave out `kafka.dead_letters`"))
        }
        Role::Input { name: input, .. } => error(format!(
            "there is no topic {name}: make it, with message.timestamp.type=LogAppendTime, or \
             correct `inputs.{input}.topic`"
        )),
    }
}

fn create_time(name: &str, role: &Role) -> String {
    let other = match role {
        Role::Input { name, .. } => {
            format!("; or let time go on without it with `inputs.{name}.blocking: false`")
        }
        Role::Log { .. } | Role::Feedback { .. } | Role::DeadLetters => String::new(),
    };
    format!(
        "topic {name} has the timestamps of its producers (message.timestamp.type=CreateTime), so \
         it is not known what was there when: `kafka-configs --bootstrap-server HOST:9092 --alter --entity-type topics \
         --entity-name {name} --add-config message.timestamp.type=LogAppendTime`{other}"
    )
}

fn compacted(name: &str, role: &Role) -> Finding {
    let text = format!(
        "topic {name} is compacted, so records are lost whose key comes again: set \
         cleanup.policy=delete"
    );
    match role {
        Role::Log { .. } | Role::Feedback { .. } => error(text),
        Role::Input { .. } | Role::DeadLetters => warning(text),
    }
}

fn retention(topic: &Topic, role: &Role, longest_ms: Option<i64>) -> Vec<Finding> {
    let mut found = Vec::new();
    let name = &topic.name;
    let shown = |ms: i64| Delay::exact(ms).to_string();
    let is_log = matches!(role, Role::Log { .. });
    if let Some(kept) = topic.retention_ms {
        if let Some(longest) = longest_ms.filter(|longest| is_log && kept <= *longest) {
            found.push(error(format!(
                "topic {name} keeps records for {}, the longest journey takes up to {}: raise its \
                 retention.ms (-1 is without end), or what people in a journey did can't be looked \
                 up or verified",
                shown(kept),
                shown(longest)
            )));
        } else if kept < DAY_MS && *role != Role::DeadLetters {
            found.push(warning(format!(
                "topic {name} keeps records for {} only: what comes while no worker runs for \
                 longer is lost; raise its retention.ms",
                shown(kept)
            )));
        }
    }
    if is_log && let Some(bytes) = topic.retention_bytes {
        found.push(warning(format!(
            "topic {name} keeps {bytes} bytes of a partition only, so its oldest records go when \
             there is much traffic: set retention.bytes=-1"
        )));
    }
    found
}

fn too_small(topic: &Topic, role: &Role) -> Option<Finding> {
    let name = &topic.name;
    let (Role::Log { message_bytes, .. } | Role::Feedback { message_bytes }) = role else {
        return None;
    };
    let takes = topic.message_bytes_max.filter(|takes| *takes < u64::from(*message_bytes))?;
    Some(error(format!(
        "topic {name} takes records of up to {takes} bytes (max.message.bytes), Waypost writes up to \
         {message_bytes}: `kafka-configs --alter --entity-type topics --entity-name {name} \
         --add-config max.message.bytes={message_bytes}`; or set message.max.bytes under \
         `kafka.properties` to {takes}, and larger events become dead letters"
    )))
}

fn error(text: String) -> Finding {
    Finding { severity: Severity::Error, text }
}

fn warning(text: String) -> Finding {
    Finding { severity: Severity::Warning, text }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn topic() -> Topic {
        Topic {
            name: "t".into(),
            partitions: 4,
            replicas: 3,
            timestamps: Some(Timestamps::LogAppend),
            retention_ms: None,
            retention_bytes: None,
            message_bytes_max: Some(2_000_000),
            is_compacted: false,
        }
    }

    const LOG: Role = Role::Log { partitions: 4, message_bytes: 2_000_000 };
    const FEEDBACK: Role = Role::Feedback { message_bytes: 2_000_000 };

    fn input(blocking: bool) -> Role {
        Role::Input { name: "web".into(), blocking }
    }

    #[test]
    fn each_topic_is_held_against_what_it_is_for() {
        use Severity::{Error, Warning};
        let create = Topic { timestamps: Some(Timestamps::Create), ..topic() };
        let unreadable = Topic { timestamps: None, ..topic() };
        let compacted = Topic { is_compacted: true, ..topic() };
        let week = Topic { retention_ms: Some(7 * DAY_MS), ..topic() };
        let hour = Topic { retention_ms: Some(DAY_MS / 24), ..topic() };
        let narrow = Topic { message_bytes_max: Some(1_048_588), ..topic() };
        let small = Topic { retention_bytes: Some(1 << 30), ..topic() };
        let alone = Topic { replicas: 1, ..topic() };
        for (topic, role, longest_days, expected) in [
            (topic(), LOG, 30, None),
            (
                topic(),
                Role::Log { partitions: 8, message_bytes: 1_000_000 },
                0,
                Some((Error, "set `kafka.partitions` to 4")),
            ),
            (create.clone(), LOG, 0, None),
            (create.clone(), FEEDBACK, 0, Some((Error, "LogAppendTime"))),
            (create.clone(), input(true), 0, Some((Error, "`inputs.web.blocking: false`"))),
            (create, input(false), 0, None),
            (unreadable, input(true), 0, Some((Warning, "DescribeConfigs"))),
            (compacted.clone(), LOG, 0, Some((Error, "cleanup.policy=delete"))),
            (compacted, input(true), 0, Some((Warning, "cleanup.policy=delete"))),
            (week.clone(), LOG, 6, None),
            (week.clone(), LOG, 7, Some((Error, "keeps records for 168h, the longest"))),
            (week, input(true), 30, None),
            (hour, input(true), 0, Some((Warning, "for 1h only"))),
            (narrow.clone(), LOG, 0, Some((Error, "--add-config max.message.bytes=2000000`"))),
            (narrow.clone(), FEEDBACK, 0, Some((Error, "up to 1048588 bytes"))),
            (narrow, input(true), 0, None),
            (small, LOG, 0, Some((Warning, "retention.bytes=-1"))),
            (alone, LOG, 0, Some((Warning, "one replica"))),
        ] {
            let found = check(&topic, &role, Some(longest_days * DAY_MS));
            match (expected, found.as_slice()) {
                (None, []) => {}
                (Some((severity, words)), [one]) => {
                    assert_eq!(one.severity, severity, "{one:?}");
                    assert!(one.text.contains(words), "{words:?} is not in {}", one.text);
                }
                (expected, found) => panic!("{topic:?} {role:?}: {expected:?}, found {found:?}"),
            }
        }
        assert_eq!(missing("t", &LOG).severity, Warning);
        assert_eq!(missing("t", &input(false)).severity, Error);
    }
}
