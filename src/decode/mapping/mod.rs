//! Any CSV or JSON, by a mapping file that says which columns or paths are which fields.
//!
//! The file is compiled once: every column or path becomes a slot, JSON paths become a trie. A
//! record then fills the slots in one pass and the event is made of them.

mod build;
mod compile;
mod file;
mod plan;
mod row;
mod trie;
mod words;

pub use file::Reads;

use std::borrow::Cow;
use std::path::Path;
use std::sync::Arc;

use self::plan::{Kind, Plan, Slots};
use self::row::{Columns, unquoted, values, without_break};
use super::record::{json_text, too_long, utf8};
use super::{DATA_BYTES_MAX, Decode, Form, RECORD_BYTES_MAX, Raw, Rejected};
use crate::model::{Event, EventName, Text};

/// A mistake in a mapping file.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{path}:{line}:{column}: {message}")]
pub struct MappingError {
    /// The file.
    pub path: String,
    /// Line, from 1; 0 where the mistake has no one place.
    pub line: u64,
    /// Column, from 1.
    pub column: u64,
    /// What is wrong and what to write instead.
    pub message: String,
}

/// A mapping, ready to decode. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Mapping {
    plan: Arc<Plan>,
    columns: Option<Arc<Columns>>,
}

impl Mapping {
    /// Reads a mapping file.
    ///
    /// # Errors
    /// [`MappingError`] if it can't be read, or for its first mistake.
    pub fn load(path: &Path) -> Result<Self, MappingError> {
        let name = path.display().to_string();
        let text = std::fs::read_to_string(path).map_err(|error| MappingError {
            path: name.clone(),
            line: 0,
            column: 0,
            message: format!("can't be read: {error}"),
        })?;
        Self::parse(&name, &text)
    }

    /// Compiles the text of a mapping file; `path` is for messages.
    ///
    /// # Errors
    /// [`MappingError`] for its first mistake.
    pub fn parse(path: &str, text: &str) -> Result<Self, MappingError> {
        let plan = Arc::new(compile::compile(path, text)?);
        let columns = match &plan.columns {
            Some(names) => {
                let columns = columns(&plan, names.clone()).map_err(|rejected| MappingError {
                    path: path.to_owned(),
                    line: 0,
                    column: 0,
                    message: rejected.reason,
                })?;
                Some(Arc::new(columns))
            }
            None => None,
        };
        Ok(Self { plan, columns })
    }

    /// The name of the source it describes.
    #[must_use]
    pub fn source(&self) -> &str {
        &self.plan.source
    }

    /// The namespaces of its own under which it names customers.
    pub fn namespaces(&self) -> impl Iterator<Item = &Text> {
        self.plan.customer.iter().filter_map(|(kind, _)| match kind {
            Kind::Other(namespace) => Some(namespace),
            _ => None,
        })
    }

    /// What it reads.
    #[must_use]
    pub fn reads(&self) -> Reads {
        self.plan.reads
    }

    /// How to open the files it describes.
    #[must_use]
    pub fn form(&self) -> Form {
        match self.plan.reads {
            Reads::Csv => Form::Csv(self.plan.csv),
            Reads::Json => Form::Auto,
        }
    }

    /// This mapping for the columns of one file, by its header row. A mapping that reads JSON, or
    /// names its columns itself, is returned as it is.
    ///
    /// # Errors
    /// [`Rejected`] if the header lacks a column that is mapped.
    pub fn for_header(&self, header: &[u8]) -> Result<Self, Rejected> {
        if self.plan.reads == Reads::Json || self.plan.columns.is_some() {
            return Ok(self.clone());
        }
        let header = without_break(utf8(header)?);
        let mut names = Vec::new();
        values(header, self.plan.csv.delimiter, |_, value| {
            names.push(unquoted(value).unwrap_or_default().into_owned());
        });
        let columns = Some(Arc::new(columns(&self.plan, names)?));
        Ok(Self { plan: Arc::clone(&self.plan), columns })
    }

    fn decode_csv(&self, raw: &Raw<'_>, out: &mut Vec<Event>) -> Result<(), Rejected> {
        let columns = self.columns.as_ref().ok_or_else(|| {
            Rejected::new("no header row was read, so no column is known; send the header first")
        })?;
        if raw.bytes.len() > RECORD_BYTES_MAX {
            return Err(too_long(raw.bytes.len()));
        }
        let row = without_break(utf8(raw.bytes)?);
        let mut slots = Slots::default();
        slots.record.resize_with(self.plan.slots.len(), || None);
        let found = values(row, self.plan.csv.delimiter, |number, value| {
            if let Some(Some(slot)) = columns.slots.get(number) {
                slots.record[*slot] = unquoted(value);
            }
        });
        if found != columns.names.len() {
            return Err(Rejected::new(format!(
                "the row has {found} columns, the header {}; quote values with a delimiter in them",
                columns.names.len()
            )));
        }
        let Some(mut event) = build::event(&self.plan, &slots, raw)? else { return Ok(()) };
        if matches!(event.name, EventName::Custom(_)) {
            event.data = Some(row_as_json(row, self.plan.csv.delimiter, columns)?);
        }
        out.push(event);
        Ok(())
    }

    fn decode_json(&self, raw: &Raw<'_>, out: &mut Vec<Event>) -> Result<(), Rejected> {
        let text = json_text(raw.bytes)?;
        let mut slots = Slots::default();
        slots.record.resize_with(self.plan.slots.len(), || None);
        trie::pull(text, &self.plan.trie, self.plan.element_slots, &mut slots)?;
        let Some(mut event) = build::event(&self.plan, &slots, raw)? else { return Ok(()) };
        if matches!(event.name, EventName::Custom(_)) {
            event.data = Some(bounded(Cow::Borrowed(text.trim()))?);
        }
        out.push(event);
        Ok(())
    }
}

impl Decode for Mapping {
    fn decode(&self, raw: &Raw<'_>, out: &mut Vec<Event>) -> Result<(), Rejected> {
        match self.plan.reads {
            Reads::Csv => self.decode_csv(raw, out),
            Reads::Json => self.decode_json(raw, out),
        }
    }
}

/// Which column fills which slot. What the row holds instead of a missing column is not said: it
/// may be a row of somebody's data.
fn columns(plan: &Plan, names: Vec<String>) -> Result<Columns, Rejected> {
    let mut slots = vec![None; names.len()];
    let mut missing = Vec::new();
    for (slot, wanted) in plan.slots.iter().enumerate() {
        match names.iter().position(|name| name == wanted) {
            Some(at) => slots[at] = Some(slot),
            None => missing.push(format!("`{wanted}`")),
        }
    }
    if missing.is_empty() {
        return Ok(Columns { names, slots });
    }
    Err(Rejected::new(format!(
        "no column {} among its {}; a file without header row needs `csv: {{ columns: [..] }}`",
        missing.join(", "),
        names.len()
    )))
}

/// A CSV row as a JSON object, as the data of a custom event; empty values are left out.
fn row_as_json(row: &str, delimiter: u8, columns: &Columns) -> Result<Box<str>, Rejected> {
    let mut object = serde_json::Map::new();
    values(row, delimiter, |number, value| {
        if let (Some(name), Some(value)) = (columns.names.get(number), unquoted(value)) {
            object.insert(name.clone(), value.into_owned().into());
        }
    });
    bounded(Cow::Owned(serde_json::Value::Object(object).to_string()))
}

fn bounded(data: Cow<'_, str>) -> Result<Box<str>, Rejected> {
    if data.len() > DATA_BYTES_MAX {
        return Err(Rejected::new(format!(
            "a custom event of {} bytes, the limit is {DATA_BYTES_MAX}; drop fields",
            data.len()
        )));
    }
    Ok(Box::from(data))
}

#[cfg(test)]
mod tests;
