//! Waypost is a journey orchestration worker: shop events in, timed and templated messages out.
//!
//! A module may use only the modules listed above it; `tests/it/layers.rs` enforces that.
//! Everything down to [`engine`] is pure: values in, values out, no clock, no I/O, no hash order.
//! Start reading at [`engine`], then [`lane`], then whichever door the events come through.

/// The words shared by everyone: time, money, ids, events, identities.
pub mod model;

/// The journey language: files in, checked plans out.
pub mod journey;

/// Bytes in, events out: XDM, CloudEvents, and anything else by a mapping file.
pub mod decode;
