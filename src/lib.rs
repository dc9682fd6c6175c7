//! Waypost is a journey orchestration worker: shop events in, timed and templated messages out.
//!
//! A module may use only the modules listed above it; `tests/it/layers.rs` enforces that.
//! Everything down to [`engine`] is pure: values in, values out, no clock, no I/O, no hash order.
//! Start reading at [`engine`], then [`lane`], then whichever door the events come through.

/// The words shared by everyone: time, money, ids, events, identities.
pub mod model;

/// Messages about files that people write: place, caret, the way out.
pub mod diagnostic;

/// YAML with places, read into types with every mistake reported.
pub mod yaml;

/// The journey language: files in, checked plans out.
pub mod journey;

/// `waypost.yaml` and `WAYPOST_...` variables: read, checked, with defaults.
pub mod config;
