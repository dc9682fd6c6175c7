//! Kafka: clients with the settings that correct work needs, topics, offsets, clear errors.
//!
//! - [`Settings`]: what each kind of client is set to. Only here are properties of librdkafka named.
//! - [`Cluster`]: questions that are asked now and then: which topics there are and how they are
//!   set up, where their partitions end, what a group has committed, when a record was appended.
//! - [`Reading`]: a part of a topic, read once from here to there.
//! - [`check`]: whether topics are as they must be.
//! - [`Context`]: what librdkafka logs goes to `tracing`, under the target `librdkafka`.

mod check;
mod clock;
mod cluster;
mod context;
mod error;
mod lag;
mod offsets;
mod reading;
mod settings;
mod topics;

pub use check::{Finding, Role, Severity, check, missing};
pub use cluster::{Cluster, View};
pub use context::Context;
pub use error::{Error, Place};
pub use lag::Behind;
pub use offsets::{Appended, Partition};
pub use reading::{Bound, Fetched, Reading, Stretch};
pub use settings::Settings;
pub use topics::{Timestamps, Topic};
