//! Waypost is a journey orchestration worker: shop events in, timed and templated messages out.
//!
//! A module may use only the modules listed above it; `tests/it/layers.rs` enforces that.
//! Everything down to [`engine`] is pure: values in, values out, no clock, no I/O, no hash order.
//! Start reading at [`engine`], then [`lane`], then whichever door the events come through.

/// The words shared by everyone: time, money, ids, events, identities.
pub mod model;

/// The journey language: files in, checked plans out.
pub mod journey;

/// The core: state, time and input in; state and effects out.
pub mod engine;

/// What the two SQLite files share: opening, clear errors, bulk statements.
pub mod sqlite;

/// The log: the records that every decision is a function of.
pub mod log;

/// Identify: many ids of a customer become one.
pub mod identity;

/// Durable state: states, messages, trace and positions, one transaction per checkpoint.
pub mod store;
