//! What goes into the log in one transaction, and what comes out of it.

use crate::model::{Tie, Timestamp};

use super::super::{DeadLetter, Record};

/// Everything that one reading of the inputs adds, kept whole or not at all.
#[derive(Clone, Debug, Default)]
pub struct Append {
    /// When, by the worker's clock; for people who look at the file.
    pub at: Timestamp,
    /// Records in order. Each goes to the partition of its customer; ticks and controls go to
    /// every partition. A tick not after the partition's last one and a control that is there
    /// already are left out.
    pub records: Vec<Record>,
    /// Records from an outbox with their ids, after the others; one whose id arrived before is
    /// left out.
    pub relayed: Vec<(u128, Record)>,
    /// Changed rows of the identity graph, each key once.
    pub graph: Vec<GraphRow>,
    /// What could not become an event.
    pub dead_letters: Vec<DeadLetter>,
    /// Names of people who are erased: dead letters that hold one lose their record, those of this
    /// append too. A name within a longer word is another name; ASCII letters of either case are
    /// alike.
    pub erase: Vec<String>,
    /// How far the inputs are read after it.
    pub positions: Vec<InputPosition>,
}

/// What an append did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Appended {
    /// The first new offset of each partition; the end where nothing was added.
    pub first: Vec<u64>,
    /// The end of each partition after it.
    pub ends: Vec<u64>,
    /// Outbox records left out because they had arrived before.
    pub known: usize,
}

/// A row of the identity graph; its bytes are the identity stage's own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GraphRow {
    /// Keyed hash of an identity or cart, or a customer's id.
    pub key: u128,
    /// The encoded row.
    pub row: Vec<u8>,
    /// The source position that caused it.
    pub tie: Tie,
}

/// The first position of a raw input that was not read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InputPosition {
    /// Number of the source.
    pub source: u16,
    /// Partition of the raw input.
    pub partition: u32,
    /// The next position to read.
    pub next: u64,
}

/// Files of a release, by path.
pub type ReleaseFiles = Vec<(String, Vec<u8>)>;
