//! Files and topics as one stream: whose row is next, whose event it is, and how far time is known.
//!
//! The row that arrives first is read first; ties go by file as named, then by line. After each
//! row time is known up to the least mark of the files that are still being read, less the
//! grace. A file's mark is the running maximum of its rows' arrival, its next row included: a
//! sparse file does not hold a dense one back. Each partition of a topic is as a file.

use std::collections::{BTreeSet, VecDeque};
use std::path::PathBuf;
use std::sync::Arc;

use crate::decode::{Decode, Decoder};
use crate::identity::{Identify, Rejected};
use crate::kafka::{Reading, Stretch};
use crate::log::Record;
use crate::model::{DAY_MS, Event, Timestamp};

use super::rows::{Next, Rows};
use super::{Error, Options, Topics};

/// A row so far ahead of its surroundings is a dead letter, in milliseconds.
const AHEAD_MS: i64 = DAY_MS;
/// Behind how many rows that can't be read the next one is looked for to judge a row by.
const BROKEN_BETWEEN: usize = 1_000;

/// One file to replay.
#[derive(Clone)]
pub struct Input {
    /// The file; `-` is standard input.
    pub path: PathBuf,
    /// How its records become events.
    pub decoder: Decoder,
    /// Its events are known only so long after they happened, in milliseconds.
    pub arrival_delay_ms: i64,
    /// Loaded history: builds state, starts nothing.
    pub history: bool,
}

/// A part of a topic to replay.
#[derive(Clone)]
pub struct TopicInput {
    /// Which part.
    pub stretch: Stretch,
    /// How its records become events.
    pub decode: Arc<dyn Decode>,
    /// Its events are known only so long after they happened, in milliseconds.
    pub arrival_delay_ms: i64,
    /// Its events are known when the topic took them, as the worker knows them.
    pub as_appended: bool,
}

/// A row that could not become an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeadLetter {
    /// File and line.
    pub position: String,
    /// Why, in a sentence.
    pub reason: String,
    /// Whether it begins as JSON does, with a brace or a bracket.
    pub is_json: bool,
}

/// What the feed gives, in order of arrival.
#[derive(Debug)]
pub(super) enum Fed {
    /// An event.
    Event {
        /// How far time is known before it.
        known: Option<Timestamp>,
        time: Timestamp,
        history: bool,
        became: Became,
    },
    /// A further record of the event before.
    Further(Record),
    /// A row that could not become an event.
    Dead(DeadLetter),
}

/// What an event became.
#[derive(Debug)]
pub(super) enum Became {
    /// A record; further ones may follow.
    Record(Record),
    /// Nothing: it comes later than the replay goes.
    Nothing,
    /// Nothing: it is of an erased customer.
    Erased,
    /// A dead letter: it is nobody's.
    Dead(DeadLetter),
}

/// All files as one stream.
pub(super) struct Feed {
    files: Vec<File>,
    grace_ms: i64,
    until: Option<Timestamp>,
    identify: Identify,
    /// Where an event's records are put.
    records: Vec<Record>,
}

struct File {
    rows: Rows,
    decode: Arc<dyn Decode>,
    number: u16,
    delay_ms: i64,
    history: bool,
    /// Rows read ahead, the first of them next.
    ahead: VecDeque<Row>,
    /// The next row was held against the rows around it.
    judged: bool,
    /// Where records are decoded to.
    decoded: Vec<Event>,
    greatest: Option<Timestamp>,
    ended: bool,
}

#[expect(
    clippy::large_enum_variant,
    reason = "nearly every row is an event: a box would be an allocation for each"
)]
enum Row {
    /// Nearly every row is one event; the others of a row follow it.
    Event {
        line: u64,
        /// When it is known, but for the delay of its file.
        arrived: Timestamp,
        event: Event,
        others: Vec<Event>,
    },
    Dead(DeadLetter),
}

impl Feed {
    pub(super) fn open(options: &Options) -> Result<Self, Error> {
        let mut files = Vec::new();
        for (number, input) in options.inputs.iter().enumerate() {
            files.push(File::open(input, u16::try_from(number).unwrap_or(u16::MAX))?);
        }
        if let Some(topics) = &options.topics {
            files.extend(File::of_topics(topics, files.len())?);
        }
        Ok(Self {
            files,
            grace_ms: options.grace_ms.max(1),
            until: options.until,
            identify: Identify::in_memory(options.key),
            records: Vec::new(),
        })
    }

    /// Appends up to `rows` rows to `out`; `false` at the end of all files.
    pub(super) fn read(&mut self, rows: usize, out: &mut Vec<Fed>) -> Result<bool, Error> {
        for _ in 0..rows {
            for file in &mut self.files {
                file.look_ahead()?;
            }
            let next = self
                .files
                .iter()
                .enumerate()
                .filter_map(|(place, file)| Some((file.next_arrival()?, place)))
                .min();
            let Some((_, place)) = next else { return Ok(false) };
            let known = self.known();
            match self.files[place].take() {
                None => {}
                Some(Row::Dead(dead)) => out.push(Fed::Dead(dead)),
                Some(Row::Event { event, others, .. }) => {
                    for event in std::iter::once(event).chain(others) {
                        self.give(event, known, place, out);
                    }
                }
            }
        }
        Ok(true)
    }

    /// Gives an event of a file with the customer it belongs to.
    fn give(&mut self, event: Event, known: Option<Timestamp>, file: usize, out: &mut Vec<Fed>) {
        let (time, history, line) = (event.time, event.history, event.tie.offset);
        let mut records = Vec::new();
        let arrival = time.plus_ms(self.files[file].delay_ms);
        let became = if self.until.is_some_and(|until| arrival > until) {
            Became::Nothing
        } else {
            records = std::mem::take(&mut self.records);
            match self.identify.identify(event, &mut records) {
                Ok(_) if records.is_empty() => Became::Nothing,
                Ok(_) => Became::Record(records.remove(0)),
                Err(Rejected::Erased) => Became::Erased,
                Err(rejected) => Became::Dead(DeadLetter {
                    position: self.files[file].rows.position(line),
                    reason: rejected.to_string(),
                    is_json: true,
                }),
            }
        };
        out.push(Fed::Event { known, time, history, became });
        out.extend(records.drain(..).map(Fed::Further));
        self.records = records;
    }

    /// How far time is known: the least mark of the files that still have rows.
    fn known(&self) -> Option<Timestamp> {
        self.files.iter().filter_map(|file| file.mark(self.grace_ms)).min()
    }
}

impl File {
    fn open(input: &Input, number: u16) -> Result<Self, Error> {
        let (rows, decode) = Rows::of_file(input)?;
        Ok(Self::new(rows, decode, number, input.arrival_delay_ms, input.history))
    }

    /// The partitions of topics; those of one topic have one number, the first of them `first`.
    fn of_topics(topics: &Topics, first: usize) -> Result<Vec<Self>, Error> {
        let names: BTreeSet<&str> =
            topics.parts.iter().map(|part| part.stretch.partition.topic.as_str()).collect();
        let number = |topic: &str| first + names.iter().take_while(|name| **name < topic).count();
        let stretches = topics.parts.iter().map(|part| part.stretch.clone()).collect();
        let readings = Reading::open(&topics.settings, stretches)?;
        let file = |(part, reading): (&TopicInput, Reading)| {
            let number = number(&part.stretch.partition.topic);
            let rows = Rows::of_topic(reading, part.as_appended);
            let number = u16::try_from(number).unwrap_or(u16::MAX);
            Self::new(rows, Arc::clone(&part.decode), number, part.arrival_delay_ms, false)
        };
        Ok(topics.parts.iter().zip(readings).map(file).collect())
    }

    const fn new(
        rows: Rows,
        decode: Arc<dyn Decode>,
        number: u16,
        delay_ms: i64,
        history: bool,
    ) -> Self {
        Self {
            rows,
            decode,
            number,
            delay_ms,
            history,
            ahead: VecDeque::new(),
            judged: false,
            decoded: Vec::new(),
            greatest: None,
            ended: false,
        }
    }

    /// When the next row arrives: never before an earlier row of its file.
    fn next_arrival(&self) -> Option<Timestamp> {
        let time = match self.ahead.front()? {
            Row::Dead(_) => return Some(self.greatest.unwrap_or(Timestamp::MIN)),
            Row::Event { .. } if self.history => return Some(Timestamp::MIN),
            Row::Event { arrived, .. } => *arrived,
        };
        Some(self.greatest.map_or(time, |greatest| greatest.max(time)).plus_ms(self.delay_ms))
    }

    /// How far this file lets time be known.
    fn mark(&self, grace_ms: i64) -> Option<Timestamp> {
        let arrival = self.next_arrival()?;
        // A delayed file is ordered by arrival already; its rows are late on purpose.
        Some(arrival.plus_ms(if self.delay_ms > 0 { -1 } else { -grace_ms }))
    }

    /// Reads the next row, and makes it a dead letter if its time is far ahead of what is before it
    /// and of the next row behind it that can be read.
    fn look_ahead(&mut self) -> Result<(), Error> {
        self.read_to(1)?;
        let Some(Row::Event { line, event, .. }) = self.ahead.front() else { return Ok(()) };
        let (line, time) = (*line, event.time);
        let far = |other: Timestamp| time.since_ms(other) > AHEAD_MS;
        if self.judged || self.history || self.rows.are_timed() || !self.greatest.is_none_or(far) {
            return Ok(());
        }
        self.judged = true;
        for place in 1..=BROKEN_BETWEEN {
            self.read_to(place + 1)?;
            match self.ahead.get(place) {
                Some(Row::Event { event, .. }) if far(event.time) => break,
                Some(Row::Dead(_)) if place < BROKEN_BETWEEN => {}
                _ => return Ok(()),
            }
        }
        let dead = DeadLetter {
            position: self.rows.position(line),
            reason: format!(
                "its time {time} is more than 24 h ahead of the rows around it; correct it or leave it out"
            ),
            is_json: true,
        };
        self.ahead[0] = Row::Dead(dead);
        Ok(())
    }

    /// Has so many rows read ahead, if the file has them.
    fn read_to(&mut self, rows: usize) -> Result<(), Error> {
        while !self.ended && self.ahead.len() < rows {
            match self.read_row()? {
                Some(row) => self.ahead.push_back(row),
                None => self.ended = true,
            }
        }
        Ok(())
    }

    fn read_row(&mut self) -> Result<Option<Row>, Error> {
        loop {
            let next = self.rows.next(&*self.decode, self.number, &mut self.decoded)?;
            let Some(Next { line, appended, dead }) = next else { return Ok(None) };
            if let Some(dead) = dead {
                return Ok(Some(Row::Dead(dead)));
            }
            let mut events = self.decoded.drain(..);
            if let Some(event) = events.next() {
                let arrived = appended.unwrap_or(event.time);
                return Ok(Some(Row::Event { line, arrived, event, others: events.collect() }));
            }
        }
    }

    /// Takes the next row.
    fn take(&mut self) -> Option<Row> {
        let row = self.ahead.pop_front()?;
        self.judged = false;
        if let Row::Event { arrived, event, others, .. } = &row {
            let latest = std::iter::once(event).chain(others).map(|event| event.time).max();
            self.greatest = self.greatest.max(latest).max(Some(*arrived));
        }
        Some(row)
    }
}
