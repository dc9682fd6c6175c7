//! YAML as these files need it: a tree that knows where everything stands, and typed reading that
//! reports every mistake instead of stopping at the first.
//!
//! - [`parse`] makes a [`Node`] tree from a file, under limits; it refuses anchors, aliases, tags
//!   and further documents, so a small file can't unfold into a large one.
//! - [`Read`] turns a node into a value and pushes what is wrong into the [`Reader`]'s report.
//! - `record!` declares a mapping with its fields once: as a struct, as a
//!   reader that knows its keys, and as a JSON Schema.
//!
//! Values are read from the text as written, never from a type that YAML guessed: where YAML
//! tools disagree (`no`, `20:00`, `010`), the author is told to write quotes.

mod macros;
mod read;
mod scalar;
mod schema;
mod tree;

pub(crate) use macros::{record, text_schema, word_values};
pub use read::{Needed, OneOrMany, Read, Reader, ScalarOr, Spanned, words};
pub use scalar::{EVENT_MISTAKES_MAX, looks_like_number, parsed, trap};
pub use schema::schema_text;
pub use tree::{BYTES_MAX, DEPTH_MAX, Key, Kind, NODES_MAX, Node, parse};
