//! What steps look like. Each is a mapping with one word that says what it does, or the word `end`.

use std::borrow::Cow;
use std::ops::Range;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

use crate::diagnostic::{Code, did_you_mean};
use crate::model::{Delay, MessageChannel};
use crate::yaml::{Key, Kind, Node, Read, Reader, ScalarOr, Spanned};

use super::syntax::{
    CaseSyntax, MessageSyntax, VariantSyntax, WaitForSyntax, WaitQuietSyntax, WaitSyntax,
    WaitUntilSyntax,
};
use super::words::{Condition, Name, TemplateName};

/// A step and its place.
#[derive(Clone, Debug)]
pub(super) struct StepSyntax {
    pub(super) kind: StepKind,
    pub(super) id: Option<Spanned<Name>>,
    pub(super) span: Range<usize>,
}

/// What a step does.
#[derive(Clone, Debug)]
pub(super) enum StepKind {
    Wait(ScalarOr<Delay, WaitSyntax>),
    WaitQuiet(ScalarOr<Delay, WaitQuietSyntax>),
    WaitFor(Box<WaitForSyntax>),
    WaitUntil(Box<WaitUntilSyntax>),
    If(Option<Condition>, Vec<StepSyntax>, Vec<StepSyntax>),
    Choose(Vec<CaseSyntax>, Vec<StepSyntax>),
    Experiment(Spanned<Vec<VariantSyntax>>),
    FirstOf(Spanned<Vec<StepSyntax>>),
    Message(MessageChannel, ScalarOr<TemplateName, MessageSyntax>),
    End,
}

/// The words that say what a step does.
const KINDS: [&str; 11] = [
    "wait",
    "wait_quiet",
    "wait_for",
    "wait_until",
    "if",
    "choose",
    "experiment",
    "first_of",
    "email",
    "sms",
    "end",
];

/// The words of steps that the language has and this version does not.
const LATER: [&str; 4] = ["webhook", "set", "fetch", "start"];

impl Read for StepSyntax {
    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Self> {
        let entries = match &node.kind {
            Kind::Scalar { text, .. } if text == "end" => {
                return Some(Self { kind: StepKind::End, id: None, span: node.span.clone() });
            }
            Kind::Scalar { text, .. } => {
                unknown_step(reader, node.span.clone(), text);
                return None;
            }
            Kind::List(_) => return reader.wrong_shape(node, "a step"),
            Kind::Map(entries) => entries,
        };
        let (key, value) = word(node, entries, reader)?;
        let mut known = vec![key.text.as_str(), "id"];
        match key.text.as_str() {
            "if" => known.extend(["then", "else"]),
            "choose" => known.push("else"),
            _ => {}
        }
        let fields = reader.entries(node, &format!("the `{}` step", key.text), &known)?;
        let find = |name: &str| fields.iter().find(|(key, _)| *key == name).map(|(_, node)| *node);
        let mut id = find("id").and_then(|node| Spanned::read(node, reader));
        let kind = match key.text.as_str() {
            "wait" => StepKind::Wait(Read::read(value, reader)?),
            "wait_quiet" => StepKind::WaitQuiet(Read::read(value, reader)?),
            "wait_for" => StepKind::WaitFor(Read::read(value, reader)?),
            "wait_until" => StepKind::WaitUntil(Read::read(value, reader)?),
            "choose" => {
                let otherwise = find("else").and_then(|node| Read::read(node, reader));
                StepKind::Choose(Read::read(value, reader)?, otherwise.unwrap_or_default())
            }
            "experiment" => StepKind::Experiment(Read::read(value, reader)?),
            "first_of" => StepKind::FirstOf(Read::read(value, reader)?),
            "email" => StepKind::Message(MessageChannel::Email, Read::read(value, reader)?),
            "sms" => StepKind::Message(MessageChannel::Sms, Read::read(value, reader)?),
            "if" => {
                let mut branch = |name| find(name).and_then(|node| Read::read(node, reader));
                let (then, otherwise) = (branch("then"), branch("else"));
                if find("then").is_none() && find("else").is_none() {
                    reader.missing::<()>(node, "an `if` step", "then", &known);
                }
                let condition = Read::read(value, reader);
                StepKind::If(condition, then.unwrap_or_default(), otherwise.unwrap_or_default())
            }
            "end" => {
                let message = "`end` stands alone";
                return reader.fail_help(
                    Code::WrongShape,
                    key.span.clone(),
                    message,
                    "write `- end`",
                );
            }
            later => {
                return reader.fail_help(
                    Code::LaterLanguage,
                    key.span.clone(),
                    format!("this version of Waypost does not have `{later}` steps yet"),
                    format!("known are {}", KINDS.join(", ")),
                );
            }
        };
        if let StepKind::Message(_, ScalarOr::Map(message)) = &kind
            && let Some(inner) = &message.id
        {
            if let Some(outer) = &id {
                let message = "the step has two ids";
                reader.fail::<()>(Code::Conflict, outer.span.clone(), message);
            }
            id = Some(inner.clone());
        }
        Some(Self { kind, id, span: key.span.clone() })
    }
}

/// The entry that says what a step does.
fn word<'n>(
    node: &Node,
    entries: &'n [(Key, Node)],
    reader: &mut Reader<'_>,
) -> Option<(&'n Key, &'n Node)> {
    let kinds: Vec<_> = entries.iter().filter(|(key, _)| is_kind(&key.text)).collect();
    match kinds.as_slice() {
        [(key, value)] => Some((key, value)),
        [] => {
            let other = entries.iter().find(|(key, _)| key.text != "id");
            let (span, word) =
                other.map_or((node.span.clone(), ""), |(key, _)| (key.span.clone(), &key.text));
            unknown_step(reader, span, word);
            None
        }
        [first, second, ..] => reader.fail_help(
            Code::Conflict,
            second.0.span.clone(),
            format!(
                "a step does one thing, this one has `{}` and `{}`",
                first.0.text, second.0.text
            ),
            "begin a new step with `-`",
        ),
    }
}

fn is_kind(word: &str) -> bool {
    KINDS.contains(&word) || LATER.contains(&word)
}

fn unknown_step(reader: &mut Reader<'_>, span: Range<usize>, word: &str) {
    if LATER.contains(&word) || KINDS.contains(&word) {
        let message = format!("`{word}` needs to be told more");
        let help = format!("write `- {word}: …`");
        reader.fail_help::<()>(Code::WrongShape, span, message, help);
        return;
    }
    let help = did_you_mean(word, KINDS)
        .unwrap_or_else(|| format!("a step is one of {}", KINDS.join(", ")));
    reader.fail_help::<()>(Code::UnknownField, span, format!("`{word}` is no step"), help);
}

impl JsonSchema for StepSyntax {
    fn schema_name() -> Cow<'static, str> {
        "Step".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let id = generator.subschema_for::<Name>();
        let step = |word: &str, schema: Schema| {
            json_schema!({
                "type": "object",
                "properties": { word: schema, "id": id },
                "required": [word],
                "additionalProperties": false,
            })
        };
        let wait = step("wait", generator.subschema_for::<ScalarOr<Delay, WaitSyntax>>());
        let quiet =
            step("wait_quiet", generator.subschema_for::<ScalarOr<Delay, WaitQuietSyntax>>());
        let wait_for = step("wait_for", generator.subschema_for::<WaitForSyntax>());
        let wait_until = step("wait_until", generator.subschema_for::<WaitUntilSyntax>());
        let variants = generator.subschema_for::<Vec<VariantSyntax>>();
        let experiment = step("experiment", variants);
        let message = generator.subschema_for::<ScalarOr<TemplateName, MessageSyntax>>();
        let email = step("email", message.clone());
        let sms = step("sms", message);
        let steps = generator.subschema_for::<Vec<Self>>();
        let first_of =
            step("first_of", json_schema!({ "type": "array", "items": { "anyOf": [email, sms] } }));
        let choose = json_schema!({
            "type": "object",
            "properties": {
                "choose": generator.subschema_for::<Vec<CaseSyntax>>(),
                "else": steps,
                "id": id,
            },
            "required": ["choose"],
            "additionalProperties": false,
        });
        let branch = json_schema!({
            "type": "object",
            "properties": {
                "if": generator.subschema_for::<Condition>(),
                "then": steps,
                "else": steps,
                "id": id,
            },
            "required": ["if"],
            "additionalProperties": false,
        });
        json_schema!({
            "anyOf": [
                { "const": "end" }, wait, quiet, wait_for, wait_until, branch, choose, experiment,
                first_of, email, sms,
            ],
        })
    }
}
