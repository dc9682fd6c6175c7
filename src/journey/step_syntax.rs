//! What steps look like. Each is a mapping with one word that says what it does, or the word `end`.

use std::borrow::Cow;
use std::ops::Range;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

use crate::diagnostic::{Code, did_you_mean};
use crate::model::{Delay, MessageChannel};
use crate::yaml::{Kind, Node, Read, Reader, ScalarOr, Spanned};

use super::syntax::{MessageSyntax, WaitForSyntax, WaitQuietSyntax, WaitSyntax};
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
    If(Option<Condition>, Vec<StepSyntax>, Vec<StepSyntax>),
    Message(MessageChannel, ScalarOr<TemplateName, MessageSyntax>),
    End,
}

/// The words that say what a step does.
const KINDS: [&str; 7] = ["wait", "wait_quiet", "wait_for", "if", "email", "sms", "end"];

/// The words of steps that the language has and this version does not.
const LATER: [&str; 8] =
    ["wait_until", "choose", "experiment", "first_of", "webhook", "set", "fetch", "start"];

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
        let kinds: Vec<_> = entries.iter().filter(|(key, _)| is_kind(&key.text)).collect();
        let (key, value) = match kinds.as_slice() {
            [one] => (&one.0, &one.1),
            [] => {
                let other = entries.iter().find(|(key, _)| key.text != "id");
                let (span, word) =
                    other.map_or((node.span.clone(), ""), |(key, _)| (key.span.clone(), &key.text));
                unknown_step(reader, span, word);
                return None;
            }
            [first, second, ..] => {
                return reader.fail_help(
                    Code::Conflict,
                    second.0.span.clone(),
                    format!(
                        "a step does one thing, this one has `{}` and `{}`",
                        first.0.text, second.0.text
                    ),
                    "begin a new step with `-`",
                );
            }
        };
        let mut known = vec![key.text.as_str(), "id"];
        if key.text == "if" {
            known.extend(["then", "else"]);
        }
        let fields = reader.entries(node, &format!("an `{}` step", key.text), &known)?;
        let find = |name: &str| fields.iter().find(|(key, _)| *key == name).map(|(_, node)| *node);
        let mut id = find("id").and_then(|node| Spanned::read(node, reader));
        let kind = match key.text.as_str() {
            "wait" => StepKind::Wait(Read::read(value, reader)?),
            "wait_quiet" => StepKind::WaitQuiet(Read::read(value, reader)?),
            "wait_for" => StepKind::WaitFor(Read::read(value, reader)?),
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
        let message = generator.subschema_for::<ScalarOr<TemplateName, MessageSyntax>>();
        let email = step("email", message.clone());
        let sms = step("sms", message);
        let steps = generator.subschema_for::<Vec<Self>>();
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
            "anyOf": [{ "const": "end" }, wait, quiet, wait_for, branch, email, sms],
        })
    }
}
