//! Environment variables laid over the file.
//!
//! The variables are appended to the file's text, one a line, and their values become nodes of its
//! tree, so that one reader sees both. [`Overlaid::restore`] then gives each message the file or
//! the variable that it speaks of. Secrets are blotted out of what messages show.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use crate::diagnostic::{Code, Diagnostic, Report, SourceFile, did_you_mean};
use crate::yaml::{self, Key, Kind, Node};

use super::Origin;
use super::keys::{ConfigKey, keys};
use super::properties;

/// What every variable's name begins with.
pub(super) const PREFIX: &str = "WAYPOST_";

/// A file's tree with the variables in it.
pub(super) struct Overlaid {
    pub(super) root: Node,
    /// The file's text and the variables after it: what the tree's places refer to.
    pub(super) file: Arc<SourceFile>,
    shown: Arc<SourceFile>,
    variables: Vec<(Range<usize>, Arc<SourceFile>)>,
}

/// Lays the variables whose names begin with [`PREFIX`] over a file.
pub(super) fn overlay(
    file: &Arc<SourceFile>,
    mut root: Node,
    environment: &BTreeMap<String, String>,
    report: &mut Report,
) -> Overlaid {
    let keys = keys();
    let mut text = format!("{}\n", file.text);
    let mut variables = Vec::new();
    let ours = |name: &str| name.starts_with(PREFIX) && !of_a_service(name);
    for (variable, value) in environment.iter().filter(|(name, _)| ours(name)) {
        let found = keys.iter().find_map(|key| key.matches(variable).map(|name| (key, name)));
        let Some((key, name)) = found else {
            report.push(unknown(variable, &keys));
            continue;
        };
        let start = text.len();
        let value_start = start + variable.len() + 1;
        text.push_str(&format!("{variable}={value}\n"));
        let line = Arc::new(SourceFile::new("environment", format!("{variable}={value}")));
        variables.push((start..text.len(), line.clone()));
        let Some(node) = node(key, value, value_start, &line, report) else { continue };
        let place = start..start + variable.len();
        insert(&mut root, &key.path, name, &place, node);
    }
    // Lengths stay, so places stay.
    let mut spans = Vec::new();
    secret_spans(&root, "", &keys, &mut spans);
    for span in &spans {
        text = blot(&text, span);
    }
    let shown = SourceFile::new(file.path.clone(), &text[..file.text.len()]);
    for (range, line) in &mut variables {
        *line = Arc::new(SourceFile::new("environment", text[range.clone()].trim_end()));
    }
    let file = Arc::new(SourceFile::new(file.path.clone(), text));
    Overlaid { root, file, shown: Arc::new(shown), variables }
}

impl Overlaid {
    /// Where what stands at a place comes from.
    pub(super) fn origin(&self, span: &Range<usize>) -> Origin {
        match self.variables.iter().find(|(range, _)| range.contains(&span.start)) {
            Some((_, line)) => {
                let name = line.text.split('=').next().unwrap_or_default();
                Origin::Variable(name.to_owned())
            }
            None => {
                let before = self.file.text.get(..span.start).unwrap_or_default();
                Origin::File(self.file.path.clone(), 1 + before.matches('\n').count())
            }
        }
    }

    /// Gives messages about the tree the file, or the variable, that they speak of.
    pub(super) fn restore(&self, found: &Report, report: &mut Report) {
        for mut diagnostic in found.diagnostics().iter().cloned() {
            let start = diagnostic.span.start;
            match self.variables.iter().find(|(range, _)| range.contains(&start)) {
                Some((range, line)) => {
                    diagnostic.file = line.clone();
                    diagnostic.span = start - range.start
                        ..diagnostic.span.end.saturating_sub(range.start).min(line.text.len());
                }
                None => diagnostic.file = self.shown.clone(),
            }
            report.push(diagnostic);
        }
    }
}

/// Whether Kubernetes sets a variable of this name for a service whose name begins like ours, such
/// as `WAYPOST_PUBLIC_SERVICE_HOST` and `WAYPOST_PUBLIC_PORT_80_TCP_ADDR` for `waypost-public`
/// (its page on connecting applications with services).
fn of_a_service(variable: &str) -> bool {
    let port = |rest: &str| {
        let (number, rest) = rest.split_once('_').unwrap_or((rest, "TCP"));
        let protocol = rest.split('_').next().unwrap_or_default();
        number.parse::<u16>().is_ok() && matches!(protocol, "TCP" | "UDP" | "SCTP")
    };
    variable.ends_with("_SERVICE_HOST")
        || variable.ends_with("_SERVICE_PORT")
        || variable.contains("_SERVICE_PORT_")
        || variable.ends_with("_PORT")
        || variable.split_once("_PORT_").is_some_and(|(_, rest)| port(rest))
}

fn unknown(variable: &str, keys: &[ConfigKey]) -> Diagnostic {
    let file = Arc::new(SourceFile::new("environment", variable));
    let names = keys.iter().map(|key| key.variable.as_str());
    let help = did_you_mean(variable, names)
        .unwrap_or_else(|| "docs/configuration.md lists the variables that are known".into());
    let message = format!("no key is set by `{variable}`");
    Diagnostic::error(Code::UnknownField, &file, 0..variable.len(), message).help(help)
}

/// The value of a variable as a node: a text as it is, or YAML for lists.
fn node(
    key: &ConfigKey,
    value: &str,
    start: usize,
    line: &Arc<SourceFile>,
    report: &mut Report,
) -> Option<Node> {
    if !key.is_list {
        // Nothing in a variable is quoted, so nothing in it is guessed either.
        let kind = Kind::Scalar { text: value.to_owned(), plain: false };
        return Some(Node { span: start..start + value.len(), kind });
    }
    let file = Arc::new(SourceFile::new(line.path.clone(), value));
    let mut found = Report::default();
    let parsed = yaml::parse(&file, &mut found);
    let shift = line.text.len() - value.len();
    for mut diagnostic in found.diagnostics().iter().cloned() {
        diagnostic.file = line.clone();
        diagnostic.span = diagnostic.span.start + shift..diagnostic.span.end + shift;
        report.push(diagnostic);
    }
    let mut node = parsed?;
    move_by(&mut node, start);
    Some(node)
}

fn move_by(node: &mut Node, by: usize) {
    node.span = node.span.start + by..node.span.end + by;
    match &mut node.kind {
        Kind::Scalar { .. } => (),
        Kind::List(nodes) => nodes.iter_mut().for_each(|node| move_by(node, by)),
        Kind::Map(entries) => {
            for (key, node) in entries {
                key.span = key.span.start + by..key.span.end + by;
                move_by(node, by);
            }
        }
    }
}

/// Puts a node at a path, in place of what is there.
fn insert(root: &mut Node, path: &str, name: Option<&str>, place: &Range<usize>, value: Node) {
    let mut at = root;
    for part in path.split('.') {
        if !matches!(at.kind, Kind::Map(_)) {
            *at = Node { span: place.clone(), kind: Kind::Map(Vec::new()) };
        }
        let Kind::Map(entries) = &mut at.kind else { return };
        let is_wanted = |key: &Key| match (part, name) {
            ("<name>", Some(name)) => in_capitals(&key.text) == name,
            _ => key.text == part,
        };
        let index = entries.iter().position(|(key, _)| is_wanted(key)).unwrap_or_else(|| {
            let text = match (part, name) {
                // Properties of Kafka have dots in their names, which variables can't have.
                ("<name>", Some(name)) if path.starts_with("kafka.") => {
                    name.to_ascii_lowercase().replace('_', ".")
                }
                ("<name>", Some(name)) => name.to_ascii_lowercase(),
                _ => part.to_owned(),
            };
            let empty = Node { span: place.clone(), kind: Kind::Map(Vec::new()) };
            entries.push((Key { text, span: place.clone() }, empty));
            entries.len() - 1
        });
        at = &mut entries[index].1;
    }
    *at = value;
}

fn in_capitals(name: &str) -> String {
    name.chars()
        .map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' })
        .collect()
}

/// Where the values of secret keys stand.
fn secret_spans(node: &Node, path: &str, keys: &[ConfigKey], spans: &mut Vec<Range<usize>>) {
    match &node.kind {
        Kind::Scalar { .. } if is_secret(path, keys) => {
            spans.push(node.span.clone());
        }
        Kind::Scalar { .. } | Kind::List(_) => (),
        Kind::Map(entries) => {
            for (key, node) in entries {
                let path =
                    if path.is_empty() { key.text.clone() } else { format!("{path}.{}", key.text) };
                secret_spans(node, &path, keys, spans);
            }
        }
    }
}

/// Whether a value must not be shown: of a secret key, or of a secret property wherever it stands.
fn is_secret(path: &str, keys: &[ConfigKey]) -> bool {
    keys.iter().any(|key| key.is_secret && key.is_at(path))
        || path.strip_prefix("kafka.properties.").is_some_and(properties::is_secret)
}

fn blot(text: &str, span: &Range<usize>) -> String {
    let stars: String =
        text[span.clone()].bytes().map(|b| if b == b'\n' { '\n' } else { '*' }).collect();
    format!("{}{stars}{}", &text[..span.start], &text[span.end..])
}
