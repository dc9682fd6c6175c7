//! Typed reading of nodes: every mistake is reported, none ends the reading.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use schemars::{JsonSchema, Schema, SchemaGenerator};

use crate::diagnostic::{Code, Diagnostic, Report, SourceFile, did_you_mean, nearest};

use super::tree::{Kind, Node};

/// A file being read, and where its mistakes go.
pub struct Reader<'a> {
    /// The file.
    pub file: &'a Arc<SourceFile>,
    /// Where mistakes go.
    pub report: &'a mut Report,
}

/// A type that can be read from a node.
pub trait Read: Sized {
    /// The value; `None`, with the reason in the report, if it can't be read.
    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Self>;
}

/// A value and its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spanned<T> {
    /// The value.
    pub value: T,
    /// Its place.
    pub span: Range<usize>,
}

/// A field that must be given; `None` if it is missing or can't be read, which is then reported.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Needed<T>(pub Option<T>);

/// A value, or a list of them.
#[derive(Clone, Debug, PartialEq, Eq, JsonSchema)]
#[schemars(untagged)]
pub enum OneOrMany<T> {
    /// One value.
    One(T),
    /// Several.
    Many(Vec<T>),
}

/// A short form, which is a single value, or the mapping it is short for.
#[derive(Clone, Debug, JsonSchema)]
#[schemars(untagged)]
pub enum ScalarOr<S, M> {
    /// The short form.
    Scalar(Spanned<S>),
    /// The mapping.
    Map(M),
}

impl Reader<'_> {
    /// Reports an error and reads nothing.
    pub fn fail<T>(
        &mut self,
        code: Code,
        span: Range<usize>,
        message: impl Into<String>,
    ) -> Option<T> {
        self.report.push(Diagnostic::error(code, self.file, span, message));
        None
    }

    /// As [`Self::fail`], with the way out.
    pub fn fail_help<T>(
        &mut self,
        code: Code,
        span: Range<usize>,
        message: impl Into<String>,
        help: impl Into<String>,
    ) -> Option<T> {
        self.report.push(Diagnostic::error(code, self.file, span, message).help(help));
        None
    }

    /// Reports that a node is not what belongs here.
    pub fn wrong_shape<T>(&mut self, node: &Node, wanted: &str) -> Option<T> {
        let found = node.what();
        self.fail(
            Code::WrongShape,
            node.span.clone(),
            format!("{wanted} belongs here, this is {found}"),
        )
    }

    /// The entries of a mapping, with unknown keys reported.
    pub fn entries<'n>(
        &mut self,
        node: &'n Node,
        of: &str,
        known: &[&str],
    ) -> Option<Vec<(&'n str, &'n Node)>> {
        let Kind::Map(entries) = &node.kind else {
            return self.wrong_shape(node, &format!("a mapping for {of}"));
        };
        let mut found = Vec::new();
        for (key, value) in entries {
            if known.contains(&key.text.as_str()) {
                found.push((key.text.as_str(), value));
                continue;
            }
            let help = if self.report.is_full() {
                String::new()
            } else {
                did_you_mean(&key.text, known.iter().copied())
                    .unwrap_or_else(|| format!("possible are {}", listed(known)))
            };
            let message = format!("`{}` is no field of {of}", key.text);
            self.report.push(
                Diagnostic::error(Code::UnknownField, self.file, key.span.clone(), message)
                    .help(help),
            );
        }
        Some(found)
    }

    /// Reports that a field is missing, unless it is there under a misspelt name, which has been
    /// reported.
    pub fn missing<T>(&mut self, node: &Node, of: &str, field: &str, known: &[&str]) -> Option<T> {
        if let Kind::Map(entries) = &node.kind {
            let misspelt = |name: &str| {
                !known.contains(&name) && nearest(name, known.iter().copied()) == Some(field)
            };
            if entries.iter().take(ENTRIES_LOOKED_AT).any(|(key, _)| misspelt(&key.text)) {
                return None;
            }
        }
        self.fail(Code::MissingField, node.span.clone(), format!("{of} needs `{field}`"))
    }
}

/// Among how many entries a misspelt name is looked for.
const ENTRIES_LOOKED_AT: usize = 100;

/// Reads one of a few words.
pub fn words<T: Clone>(node: &Node, reader: &mut Reader<'_>, known: &[(&str, T)]) -> Option<T> {
    let names = || known.iter().map(|(word, _)| *word);
    let Kind::Scalar { text, .. } = &node.kind else {
        return reader.wrong_shape(node, &listed(&names().collect::<Vec<_>>()));
    };
    if let Some((_, value)) = known.iter().find(|(word, _)| word == text) {
        return Some(value.clone());
    }
    let list = listed(&names().collect::<Vec<_>>());
    let help = did_you_mean(text, names()).unwrap_or_else(|| format!("possible are {list}"));
    reader.fail_help(
        Code::BadValue,
        node.span.clone(),
        format!("`{text}` is not possible here"),
        help,
    )
}

/// Words as a sentence names them.
fn listed(words: &[&str]) -> String {
    words.iter().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(", ")
}

impl<T: Read> Read for Spanned<T> {
    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Self> {
        T::read(node, reader).map(|value| Self { value, span: node.span.clone() })
    }
}

impl<T: Read> Read for Box<T> {
    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Self> {
        T::read(node, reader).map(Self::new)
    }
}

impl<T: Read> Read for Vec<T> {
    /// Reads every element; those that can't be read are reported and left out.
    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Self> {
        let Kind::List(nodes) = &node.kind else {
            return reader.fail_help(
                Code::WrongShape,
                node.span.clone(),
                format!("a list belongs here, this is {}", node.what()),
                "write `[ … ]`, or begin each element with `-`",
            );
        };
        Some(nodes.iter().filter_map(|node| T::read(node, reader)).collect())
    }
}

impl<T: Read> Read for OneOrMany<T> {
    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Self> {
        match node.kind {
            Kind::List(_) => Read::read(node, reader).map(Self::Many),
            Kind::Scalar { .. } | Kind::Map(_) => Read::read(node, reader).map(Self::One),
        }
    }
}

impl<S: Read, M: Read> Read for ScalarOr<S, M> {
    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Self> {
        match node.kind {
            Kind::Scalar { .. } => Read::read(node, reader).map(Self::Scalar),
            Kind::List(_) | Kind::Map(_) => Read::read(node, reader).map(Self::Map),
        }
    }
}

impl<T: Read> Read for BTreeMap<String, T> {
    /// A mapping whose keys are names.
    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Self> {
        let Kind::Map(entries) = &node.kind else {
            return reader.wrong_shape(node, "a mapping");
        };
        let read =
            |(key, value): &(super::Key, Node)| Some((key.text.clone(), T::read(value, reader)?));
        Some(entries.iter().filter_map(read).collect())
    }
}

impl<T: JsonSchema> JsonSchema for Needed<T> {
    fn inline_schema() -> bool {
        T::inline_schema()
    }

    fn schema_name() -> Cow<'static, str> {
        T::schema_name()
    }

    fn schema_id() -> Cow<'static, str> {
        T::schema_id()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        T::json_schema(generator)
    }
}

impl<T> OneOrMany<T> {
    /// As a list.
    pub fn into_vec(self) -> Vec<T> {
        match self {
            Self::One(one) => vec![one],
            Self::Many(many) => many,
        }
    }
}

impl<T: JsonSchema> JsonSchema for Spanned<T> {
    fn inline_schema() -> bool {
        T::inline_schema()
    }

    fn schema_name() -> Cow<'static, str> {
        T::schema_name()
    }

    fn schema_id() -> Cow<'static, str> {
        T::schema_id()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        T::json_schema(generator)
    }
}
