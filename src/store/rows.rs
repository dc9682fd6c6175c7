//! Rows of either database, and what they mean.

use sqlx::postgres::PgRow;
use sqlx::sqlite::SqliteRow;
use sqlx::{Row, TypeInfo, ValueRef};

use crate::engine::{Decision, Reason, Trace, TraceKind};
use crate::journey::{Class, Version};
use crate::model::{CustomerId, EventName, MessageChannel, MessageId, RunId, Text, Timestamp};

use super::told::Subject;
use super::{
    Claim, DeliveryRow, DeliveryStatus, EntryCount, GroupCount, Hold, HourCount, LaneRow,
    MessageCount, MessageStatus, Pinned, Position, StepCount, StoredMessage,
};

/// Why what is stored can't be read.
#[derive(Debug)]
pub(super) enum Unreadable {
    /// The database's own fault.
    Column(sqlx::Error),
    /// A value that no build of ours wrote, in words.
    Value(String),
}

impl From<sqlx::Error> for Unreadable {
    fn from(source: sqlx::Error) -> Self {
        Self::Column(source)
    }
}

/// The values of a row, by the names of its columns.
pub(super) trait Columns {
    fn int(&self, column: &'static str) -> Result<Option<i64>, sqlx::Error>;
    fn text(&self, column: &'static str) -> Result<Option<&str>, sqlx::Error>;
    fn bytes(&self, column: &'static str) -> Result<Option<&[u8]>, sqlx::Error>;
}

impl Columns for SqliteRow {
    fn int(&self, column: &'static str) -> Result<Option<i64>, sqlx::Error> {
        self.try_get(column)
    }

    fn text(&self, column: &'static str) -> Result<Option<&str>, sqlx::Error> {
        self.try_get(column)
    }

    fn bytes(&self, column: &'static str) -> Result<Option<&[u8]>, sqlx::Error> {
        self.try_get(column)
    }
}

impl Columns for PgRow {
    fn int(&self, column: &'static str) -> Result<Option<i64>, sqlx::Error> {
        if self.try_get_raw(column)?.type_info().name() == "INT4" {
            return Ok(self.try_get::<Option<i32>, _>(column)?.map(i64::from));
        }
        self.try_get(column)
    }

    fn text(&self, column: &'static str) -> Result<Option<&str>, sqlx::Error> {
        self.try_get(column)
    }

    fn bytes(&self, column: &'static str) -> Result<Option<&[u8]>, sqlx::Error> {
        self.try_get(column)
    }
}

/// A message from the columns of its table.
pub(super) fn message(row: &impl Columns) -> Result<StoredMessage, Unreadable> {
    let why = reason(row.text("reason")?)?;
    let what = status(word(row, "status")?)?;
    let data = row.text("data")?;
    let decision = Decision {
        message: MessageId::from_bytes(id(row, "message")?),
        customer: Text::new(word(row, "name")?),
        journey: Text::new(word(row, "journey")?),
        version: Version(number(row, "version")?),
        run: RunId::from_bytes(id(row, "run")?),
        step: Text::new(word(row, "step")?),
        occurrence: number(row, "occurrence")?,
        channel: channel(word(row, "channel")?)?,
        template: Text::new(word(row, "template")?),
        topic: row.text("topic")?.map(Text::new),
        class: class(word(row, "class")?)?,
        at: Timestamp::from_ms(int(row, "at")?),
        settle_ms: int(row, "settle_ms")?,
        expires: row.int("expires")?.map(Timestamp::from_ms),
        window_end: row.int("window_end")?.map(Timestamp::from_ms),
        withheld: why.filter(|_| what == MessageStatus::Withheld),
        data: data.unwrap_or_default().to_owned(),
    };
    Ok(StoredMessage {
        seq: int(row, "seq")?.cast_unsigned(),
        partition: number(row, "partition")?,
        customer: CustomerId::from_bytes(id(row, "customer")?),
        decision,
        status: what,
        reason: why,
        revision: number(row, "revision")?,
        outcome: row.text("outcome")?.map(EventName::new),
        erased: data.is_none(),
    })
}

/// What delivery keeps of a message, from the columns of both tables; the revision of the delivery
/// is called `pinned`, its status `delivery`.
pub(super) fn delivery(row: &impl Columns) -> Result<Option<DeliveryRow>, Unreadable> {
    let Some(status) = row.text("delivery")? else { return Ok(None) };
    let try_after = int(row, "try_after")?;
    let pinned = row.int("pinned")?.map(|number| small(number, "pinned")).transpose()?;
    Ok(Some(DeliveryRow {
        status: delivery_status(status)?,
        attempts: number(row, "attempts")?,
        try_after: (try_after > 0).then(|| Timestamp::from_ms(try_after)),
        revision: pinned,
        address: row.text("address")?.map(Text::new),
        subject: row.text("subject")?.map(Text::new),
        detail: row.text("detail")?.map(str::to_owned),
        changed: Timestamp::from_ms(int(row, "changed")?),
    }))
}

/// A claim from the columns of both tables, as for [`delivery`].
pub(super) fn claim(row: &impl Columns, lease: i64) -> Result<Claim, Unreadable> {
    let revision = row.int("pinned")?.map(|number| small(number, "pinned")).transpose()?;
    let pinned = match (revision, row.text("address")?, row.bytes("body")?) {
        (Some(revision), Some(address), Some(body)) => Some(Pinned {
            revision,
            address: Text::new(address),
            sender: row.text("sender")?.map(Text::new),
            subject: row.text("subject")?.map(Text::new),
            body: body.to_vec(),
        }),
        _ => None,
    };
    Ok(Claim { message: message(row)?, lease, attempts: number(row, "attempts")?, pinned })
}

/// What is told of a message that is under way, from the columns of its table.
pub(super) fn subject(row: &impl Columns) -> Result<Subject, Unreadable> {
    Ok(Subject {
        message: MessageId::from_bytes(id(row, "message")?),
        customer: CustomerId::from_bytes(id(row, "customer")?),
        channel: channel(word(row, "channel")?)?,
    })
}

/// A trace entry from the columns of its table.
pub(super) fn trace(row: &impl Columns) -> Result<Trace, Unreadable> {
    let version = row.int("version")?.map(|number| small(number, "version")).transpose()?;
    let run = row.bytes("run")?.map(sixteen).transpose()?;
    Ok(Trace {
        at: Timestamp::from_ms(int(row, "at")?),
        kind: known(word(row, "kind")?, TraceKind::ALL, |kind| kind.as_str())?,
        journey: row.text("journey")?.map(Text::new).zip(version.map(Version)),
        run: run.map(RunId::from_bytes),
        step: row.text("step")?.map(Text::new),
        reason: reason(row.text("reason")?)?,
        detail: row.text("detail")?.map(Text::new),
    })
}

/// Where a lane stands, from the columns of its table.
pub(super) fn lane(row: &impl Columns) -> Result<LaneRow, Unreadable> {
    Ok(LaneRow {
        partition: number(row, "partition")?,
        epoch: int(row, "epoch")?.cast_unsigned(),
        position: Position {
            low: int(row, "low_offset")?.cast_unsigned(),
            end: int(row, "end_offset")?.cast_unsigned(),
            watermark: row.int("watermark")?.map(Timestamp::from_ms),
        },
        build: word(row, "build")?.to_owned(),
    })
}

/// Messages by journey, status and reason, from the columns so called and `messages`.
pub(super) fn message_count(row: &impl Columns) -> Result<MessageCount, Unreadable> {
    Ok(MessageCount {
        journey: word(row, "journey")?.to_owned(),
        status: status(word(row, "status")?)?,
        reason: reason(row.text("reason")?)?,
        messages: int(row, "messages")?.cast_unsigned(),
    })
}

/// Trace entries by kind and reason, from the columns so called and `entries`.
pub(super) fn entry_count(row: &impl Columns) -> Result<EntryCount, Unreadable> {
    Ok(EntryCount {
        kind: known(word(row, "kind")?, TraceKind::ALL, |kind| kind.as_str())?,
        reason: reason(row.text("reason")?)?,
        entries: int(row, "entries")?.cast_unsigned(),
    })
}

/// Messages by step and what became of them, with the `seq` of the `first`.
pub(super) fn step_count(row: &impl Columns) -> Result<(u64, StepCount), Unreadable> {
    let count = StepCount {
        step: Text::new(word(row, "step")?),
        status: status(word(row, "status")?)?,
        reason: reason(row.text("reason")?)?,
        outcome: row.text("outcome")?.map(EventName::new),
        messages: int(row, "messages")?.cast_unsigned(),
    };
    Ok((int(row, "first")?.cast_unsigned(), count))
}

/// Messages by the `hour` in which they are due: `decided`, and `not_sent`.
pub(super) fn hour_count(row: &impl Columns) -> Result<HourCount, Unreadable> {
    Ok(HourCount {
        from: Timestamp::from_ms(int(row, "hour")?),
        decided: int(row, "decided")?.cast_unsigned(),
        not_sent: int(row, "not_sent")?.cast_unsigned(),
    })
}

/// Customers by group: `holdout` 0 or 1, `customers`, and `reached`.
pub(super) fn group_count(row: &impl Columns) -> Result<GroupCount, Unreadable> {
    Ok(GroupCount {
        holdout: int(row, "holdout")? != 0,
        customers: int(row, "customers")?.cast_unsigned(),
        reached: int(row, "reached")?.cast_unsigned(),
    })
}

/// The structure of a journey.
pub(super) fn version(row: &impl Columns) -> Result<Version, Unreadable> {
    Ok(Version(number(row, "version")?))
}

/// What is held, from the words of [`Hold::words`].
pub(super) fn hold(kind: &str, name: &str) -> Result<Hold, Unreadable> {
    match kind {
        "all" => Ok(Hold::All),
        "channel" => Ok(Hold::Channel(channel(name)?)),
        "journey" => Ok(Hold::Journey(Text::new(name))),
        "template" => Ok(Hold::Template(Text::new(name))),
        other => Err(unknown(other)),
    }
}

/// How far a message is, by its word.
pub(super) fn delivery_status(word: &str) -> Result<DeliveryStatus, Unreadable> {
    DeliveryStatus::named(word).ok_or_else(|| unknown(word))
}

/// The sixteen bytes of an id.
pub(super) fn sixteen(bytes: &[u8]) -> Result<[u8; 16], Unreadable> {
    let length = bytes.len();
    bytes.try_into().map_err(|_| Unreadable::Value(format!("an id of {length} bytes")))
}

/// The stored word of a class.
pub(super) const fn class_word(class: Class) -> &'static str {
    match class {
        Class::Marketing => "marketing",
        Class::Transactional => "transactional",
    }
}

fn reason(word: Option<&str>) -> Result<Option<Reason>, Unreadable> {
    let Some(word) = word else { return Ok(None) };
    let known = Reason::ALL.iter().find(|(_, known, _)| *known == word);
    known.map(|(reason, _, _)| Some(*reason)).ok_or_else(|| unknown(word))
}

fn status(word: &str) -> Result<MessageStatus, Unreadable> {
    known(word, MessageStatus::ALL, |status| status.as_str())
}

fn channel(word: &str) -> Result<MessageChannel, Unreadable> {
    known(word, &[MessageChannel::Email, MessageChannel::Sms], |channel| channel.as_str())
}

fn class(word: &str) -> Result<Class, Unreadable> {
    known(word, &[Class::Marketing, Class::Transactional], class_word)
}

fn known<T: Copy>(
    word: &str,
    all: &[T],
    as_str: impl Fn(T) -> &'static str,
) -> Result<T, Unreadable> {
    all.iter().copied().find(|value| as_str(*value) == word).ok_or_else(|| unknown(word))
}

fn unknown(word: &str) -> Unreadable {
    Unreadable::Value(format!("`{word}` is a word that this build does not know"))
}

fn word<'row>(row: &'row impl Columns, column: &'static str) -> Result<&'row str, Unreadable> {
    there(row.text(column)?, column)
}

fn int(row: &impl Columns, column: &'static str) -> Result<i64, Unreadable> {
    there(row.int(column)?, column)
}

fn number(row: &impl Columns, column: &'static str) -> Result<u32, Unreadable> {
    small(int(row, column)?, column)
}

fn id(row: &impl Columns, column: &'static str) -> Result<[u8; 16], Unreadable> {
    sixteen(there(row.bytes(column)?, column)?)
}

fn small(number: i64, column: &'static str) -> Result<u32, Unreadable> {
    u32::try_from(number).map_err(|_| Unreadable::Value(format!("`{column}` is {number}")))
}

fn there<T>(value: Option<T>, column: &'static str) -> Result<T, Unreadable> {
    value.ok_or_else(|| Unreadable::Value(format!("`{column}` is missing")))
}
