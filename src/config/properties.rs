//! Properties of librdkafka by name: what may be set, what Waypost sets itself, what is a secret.

use std::borrow::Cow;
use std::collections::BTreeMap;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

use crate::diagnostic::Code;
use crate::yaml::{Kind, Node, Read, Reader, Spanned};

/// Properties that Waypost sets itself, with why and what to do instead. Correct work depends on
/// them, so they are not left to a configuration.
const OWNED: &[(&[&str], &str)] = &[
    (&["bootstrap.servers", "metadata.broker.list"], "name the servers under `kafka.brokers`"),
    (
        &["group.id", "transactional.id"],
        "they begin with `kafka.name`: set that, where two workers share a Kafka",
    ),
    (
        &[
            "group.instance.id",
            "group.protocol",
            "group.protocol.type",
            "group.remote.assignor",
            "partition.assignment.strategy",
        ],
        "how partitions are shared out is part of how a lane changes hands: leave it out",
    ),
    (
        &[
            "enable.auto.commit",
            "auto.commit.enable",
            "auto.commit.interval.ms",
            "enable.auto.offset.store",
            "offset.store.method",
            "auto.offset.reset",
        ],
        "positions are kept together with what was made of the records: leave it out",
    ),
    (
        &["isolation.level", "enable.partition.eof", "check.crcs"],
        "a record is read once it is certain, and whole: leave it out",
    ),
    (
        &[
            "enable.idempotence",
            "enable.gapless.guarantee",
            "acks",
            "request.required.acks",
            "max.in.flight",
            "max.in.flight.requests.per.connection",
            "queuing.strategy",
            "message.timeout.ms",
            "delivery.timeout.ms",
            "transaction.timeout.ms",
            "partitioner",
        ],
        "a record is written once, in order, and to all replicas: leave it out",
    ),
    (&["allow.auto.create.topics"], "topics are made with what they need: leave it out"),
    (
        &["log_level", "log.queue"],
        "set what is logged with `--log`, as in `--log librdkafka=debug`",
    ),
];

/// Why a property can't be set, if it can't.
pub(super) fn owned(name: &str) -> Option<&'static str> {
    OWNED.iter().find(|(names, _)| names.contains(&name)).map(|(_, help)| *help)
}

/// Whether a property's value is for nobody's eyes, by its name.
pub(super) fn is_secret(name: &str) -> bool {
    ["password", "passphrase", "secret", "key.pem", "jaas", "oauthbearer.config"]
        .iter()
        .any(|part| name.contains(part))
}

/// Values by the names of properties. `sasl: { mechanism: PLAIN }` is `sasl.mechanism: PLAIN`.
#[derive(Clone, Debug)]
pub(super) struct Properties<T>(pub(super) BTreeMap<String, Spanned<T>>);

impl<T> Default for Properties<T> {
    fn default() -> Self {
        Self(BTreeMap::new())
    }
}

/// The value of a property, as librdkafka reads it: a text, a number, `true` or `false`.
#[derive(Clone, Debug)]
pub(super) struct Plain(pub(super) String);

impl Read for Plain {
    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Self> {
        // Librdkafka reads texts only, so nothing is guessed.
        reader.raw(node, "a text or a number").map(|text| Self(text.to_owned()))
    }
}

impl<T: Read> Read for Properties<T> {
    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Self> {
        let mut found = BTreeMap::new();
        collect(node, "", &mut found, reader);
        Some(Self(found))
    }
}

fn collect<T: Read>(
    node: &Node,
    prefix: &str,
    found: &mut BTreeMap<String, Spanned<T>>,
    reader: &mut Reader<'_>,
) {
    let Kind::Map(entries) = &node.kind else {
        let _: Option<T> = reader.wrong_shape(node, "a mapping of properties");
        return;
    };
    for (key, value) in entries {
        let name =
            if prefix.is_empty() { key.text.clone() } else { format!("{prefix}.{}", key.text) };
        if let Some(help) = owned(&name) {
            let message = format!("Waypost sets `{name}` itself");
            let _: Option<T> = reader.fail_help(Code::Conflict, key.span.clone(), message, help);
        } else if matches!(value.kind, Kind::Map(_)) {
            collect(value, &name, found, reader);
        } else if let Some(value) = Spanned::<T>::read(value, reader) {
            found.insert(name, value);
        }
    }
}

impl<T: JsonSchema> JsonSchema for Properties<T> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        format!("Properties_of_{}", T::schema_name()).into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        // A value, or a mapping whose names go on.
        let mut value = generator.subschema_for::<T>();
        let mut types = match value.get("type") {
            Some(serde_json::Value::Array(types)) => types.clone(),
            Some(one) => vec![one.clone()],
            None => Vec::new(),
        };
        types.push("object".into());
        value.insert("type".to_owned(), types.into());
        json_schema!({ "type": "object", "additionalProperties": value })
    }
}

impl JsonSchema for Plain {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Plain".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": ["string", "number", "boolean"] })
    }
}
