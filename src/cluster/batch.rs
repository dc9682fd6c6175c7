//! What a batch of raw records comes to: decoded, identified, and what has to be kept of it.

use std::collections::BTreeMap;
use std::sync::Arc;

use rdkafka::message::{BorrowedMessage, Headers, Message};

use crate::decode::{Decode, Raw, decode_message};
use crate::engine::CustomerState;
use crate::identity::{Identify, Rejected};
use crate::log::{self, DeadLetter, Held, Identified, Kept, Record, Registry, Taken, decode};
use crate::model::{CustomerId, Event, EventName, OWN_SOURCE, Text, Tie, Timestamp};
use crate::store::{self, PgLedger};

use super::Error;

/// The header that names a record of the feedback topic.
pub(super) const ID_HEADER: &str = "id";

/// An input topic.
#[derive(Clone)]
pub(super) struct Source {
    /// Its name under `inputs`.
    pub name: String,
    /// Its number in the order of events; [`OWN_SOURCE`] for feedback.
    pub number: u16,
    /// Its topic.
    pub topic: String,
    /// How its records are read; `None` for feedback, whose records are our own.
    pub decode: Option<Arc<dyn Decode>>,
}

/// What one raw record is.
enum Item {
    Events(Vec<Event>),
    Dead(DeadLetter),
    Relayed(u128, Record),
}

/// A partition of an input in a batch.
struct Part {
    held: Held,
    from: u64,
    next: u64,
}

/// A batch that Postgres has kept, on its way into the log.
#[derive(Default)]
pub(super) struct Identifying {
    /// What goes into the log, in order.
    pub records: Vec<Record>,
    /// The rows of the graph that stand beside one of them, by its place.
    pub rows: BTreeMap<usize, Vec<(u128, Vec<u8>)>>,
    /// The first offset after it, of each partition of an input.
    pub next: Vec<(Held, u64)>,
    /// Raw records in it.
    pub taken: usize,
    /// Those that became dead letters.
    pub dead: Vec<DeadLetter>,
}

impl Identifying {
    /// What a position came to when it was read before.
    fn take_again(&mut self, before: &Kept) {
        let begun = self.records.len();
        self.records.extend(before.records.iter().cloned());
        self.beside(begun, &before.rows);
    }

    /// Puts rows of the graph beside the last record of those from `begun` on. What came to no
    /// record was dropped as of an erased person, and what that changed is found again when needed.
    fn beside(&mut self, begun: usize, rows: &[(u128, Vec<u8>)]) {
        if self.records.len() > begun && !rows.is_empty() {
            self.rows.insert(self.records.len() - 1, rows.to_vec());
        }
    }
}

/// Who is erased in a batch.
#[derive(Default)]
struct Erasing {
    /// What the events call them.
    names: Vec<String>,
    /// Whom the store knows by more names.
    customers: Vec<CustomerId>,
}

/// What takes batches in.
pub(super) struct Intake {
    pub registry: Registry,
    pub ledger: PgLedger,
    pub sources: Vec<Source>,
    /// The largest record that the log takes, in bytes.
    pub record_bytes_max: usize,
}

impl Intake {
    /// Decodes and identifies a batch, and keeps what must be kept before the log has it.
    ///
    /// # Errors
    /// [`Error`]; then nothing of it was kept.
    pub(super) async fn identify(
        &self,
        messages: &[BorrowedMessage<'_>],
        held: &BTreeMap<(usize, i32), Held>,
        now: Timestamp,
    ) -> Result<Identifying, Error> {
        let (mut parts, mut items): (Vec<Part>, Vec<(usize, u64, Item)>) = Default::default();
        let mut raws: Vec<&[u8]> = Vec::new();
        let mut places: BTreeMap<(usize, i32), usize> = BTreeMap::new();
        for message in messages {
            let (input, partition) = (self.input(message.topic()), message.partition());
            let right = input.and_then(|input| Some((input, held.get(&(input, partition))?)));
            let Some((input, right)) = right else {
                // What this worker has not taken is read again, by whoever has.
                let source_number = input.map_or(FEEDBACK, |input| self.sources[input].number);
                let partition = partition.cast_unsigned();
                return Err(log::Error::Taken { source_number, partition }.into());
            };
            let offset = message.offset().cast_unsigned();
            let part = *places.entry((input, partition)).or_insert_with(|| {
                parts.push(Part { held: *right, from: offset, next: offset });
                parts.len() - 1
            });
            parts[part].next = offset + 1;
            items.push((part, offset, self.item(input, message, now)));
            raws.push(message.payload().unwrap_or_default());
        }
        // Of an id that comes twice in one batch the first counts.
        let relayed = items.iter().rev().filter_map(|(part, offset, item)| match item {
            Item::Relayed(id, _) => Some((*id, (parts[*part].held.partition, *offset))),
            Item::Events(_) | Item::Dead(_) => None,
        });
        let relayed: BTreeMap<u128, (u32, u64)> = relayed.collect();
        let mut taking = self.registry.begin().await?;
        let rights: Vec<Held> = parts.iter().map(|part| part.held).collect();
        let mut kept = taking.hold(&rights).await?;
        for (part, kept) in parts.iter().zip(&mut kept) {
            *kept = kept.split_off(&part.from);
        }
        let first = taking.receive(&relayed, now).await?;
        let mut identify = Identify::stored(self.registry.identity_key());
        loop {
            let missing =
                identify.missing(items.iter().flat_map(|(part, offset, item)| match item {
                    Item::Events(events) if !kept[*part].contains_key(offset) => &events[..],
                    _ => &[],
                }));
            if missing.is_empty() {
                break;
            }
            let rows = taking.graph(&missing).await?;
            identify.insert(&missing, rows)?;
        }
        let mut out = Identifying { taken: items.len(), ..Identifying::default() };
        let mut erasing = Erasing::default();
        for ((part, offset, item), raw) in items.into_iter().zip(raws) {
            match item {
                Item::Dead(letter) => out.dead.push(letter),
                Item::Relayed(id, record) => {
                    if first.get(&id) == Some(&(parts[part].held.partition, offset)) {
                        out.records.push(record);
                    }
                }
                Item::Events(events) => {
                    if let Some(before) = kept[part].get(&offset) {
                        out.take_again(before);
                        continue;
                    }
                    let (begun, touched) = (out.records.len(), identify.touched());
                    for event in events {
                        place(event, raw, &mut identify, &mut out, &mut erasing);
                    }
                    if identify.touched() != touched {
                        let rows = identify.take_latest();
                        out.beside(begun, &rows);
                        let records = out.records[begun..].to_vec();
                        kept[part].insert(offset, Kept { records, rows });
                    }
                }
            }
        }
        let graph = identify.take_changes();
        let taken: Vec<Taken> = parts
            .into_iter()
            .zip(kept)
            .map(|(Part { held, from, next }, identified): (Part, Identified)| {
                out.next.push((held, next));
                Taken { held, from, next, identified }
            })
            .collect();
        let mut names = erasing.names;
        names.extend(self.names(&erasing.customers).await?);
        taking.keep(&taken, &graph, &out.dead, &names).await?;
        Ok(out)
    }

    /// The names under which the store knows customers.
    async fn names(&self, customers: &[CustomerId]) -> Result<Vec<String>, Error> {
        if customers.is_empty() {
            return Ok(Vec::new());
        }
        let mut all = Vec::new();
        let partitions = self.registry.partitions();
        for (customer, bytes) in self.ledger.states_of_all(customers, partitions).await? {
            let state = CustomerState::decode(&bytes).map_err(|error| {
                store::Error::Unusable(format!("the stored state of customer {customer}: {error}"))
            })?;
            let names: [Option<Text>; 3] = [state.source_id, state.email, state.phone];
            all.extend(names.into_iter().flatten().map(|name| name.to_string()));
        }
        Ok(all)
    }

    /// The input of a topic.
    pub(super) fn input(&self, topic: &str) -> Option<usize> {
        self.sources.iter().position(|source| source.topic == topic)
    }

    fn item(&self, input: usize, message: &BorrowedMessage<'_>, now: Timestamp) -> Item {
        let source = &self.sources[input];
        let at = match message.timestamp() {
            rdkafka::Timestamp::LogAppendTime(ms) => Timestamp::from_ms(ms),
            // The clock of a producer: it may be wrong, but nothing was there before it was read.
            rdkafka::Timestamp::CreateTime(ms) => Timestamp::from_ms(ms).min(now),
            rdkafka::Timestamp::NotAvailable => now,
        };
        let tie = Tie {
            source: source.number,
            partition: message.partition().cast_unsigned(),
            offset: message.offset().cast_unsigned(),
        };
        let payload = message.payload().unwrap_or_default();
        let dead = |reason: String| Item::Dead(dead_letter(tie, reason, payload, at));
        let Some(reads) = &source.decode else {
            return relayed(message).map_or_else(dead, |(id, record)| Item::Relayed(id, record));
        };
        let headers = message.headers();
        let headers = headers.iter().flat_map(|headers| headers.iter());
        let headers = headers.map(|header| (header.key, header.value.unwrap_or_default()));
        let position = format!("{}/{}/{}", source.topic, tie.partition, tie.offset);
        let raw = Raw { bytes: payload, append_time: Some(at), tie, position: &position };
        let mut events = Vec::with_capacity(1);
        match decode_message(&**reads, headers, &raw, &mut events) {
            Ok(()) => match self.too_large(&events) {
                Some(reason) => dead(reason),
                None => Item::Events(events),
            },
            Err(rejected) => dead(rejected.reason),
        }
    }

    /// Why the log does not take one of these events, if it does not.
    fn too_large(&self, events: &[Event]) -> Option<String> {
        let most = self.record_bytes_max;
        events.iter().find_map(|event| match log::event_bytes(event) {
            Ok(bytes) if bytes <= most => None,
            Ok(bytes) => Some(format!(
                "an event of {bytes} bytes, the log takes {most}: split the record, or raise \
                 message.max.bytes under `kafka.properties`"
            )),
            Err(error) => Some(error.to_string()),
        })
    }
}

/// Finds whose an event is.
fn place(
    event: Event,
    raw: &[u8],
    identify: &mut Identify,
    out: &mut Identifying,
    erasing: &mut Erasing,
) {
    let deletes = event.name == EventName::CustomerDeleted;
    let (tie, at) = (event.tie, event.time);
    if deletes {
        erasing.names.extend(event.identities.iter().map(|identity| identity.value.to_string()));
    }
    match identify.identify(event, &mut out.records) {
        Ok(customer) if deletes => erasing.customers.push(customer),
        Ok(_) => {}
        Err(rejected @ Rejected::Erased) => {
            tracing::info!(reason = %rejected, "event dropped");
        }
        Err(rejected) => {
            out.dead.push(dead_letter(tie, rejected.to_string(), raw, at));
        }
    }
}

fn dead_letter(tie: Tie, reason: String, payload: &[u8], at: Timestamp) -> DeadLetter {
    DeadLetter {
        source: tie.source,
        partition: tie.partition,
        position: tie.offset,
        reason,
        payload: Some(payload.to_vec()),
        whole: true,
        at,
    }
}

/// A record that a worker relayed, with its id.
fn relayed(message: &BorrowedMessage<'_>) -> Result<(u128, Record), String> {
    let headers = message.headers().into_iter().flat_map(|headers| headers.iter());
    let id = headers
        .filter(|header| header.key == ID_HEADER)
        .find_map(|header| header.value?.try_into().ok())
        .map(u128::from_be_bytes)
        .ok_or("not written by Waypost: no id of 16 bytes in its headers")?;
    let mut records = decode(message.payload().unwrap_or_default())
        .map_err(|error| format!("not written by Waypost: {error}"))?;
    match (records.pop(), records.is_empty()) {
        (Some(record), true) if record.customer().is_some() => Ok((id, record)),
        _ => Err("not written by Waypost: not one record of a customer".into()),
    }
}

/// The source number under which feedback is taken in.
pub(super) const FEEDBACK: u16 = OWN_SOURCE;
