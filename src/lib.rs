//! Waypost is a journey orchestration worker: shop events in, timed and templated messages out.
//!
//! A module may use only the modules listed above it; `tests/it/layers.rs` enforces that.
//! Everything down to `engine` is pure: values in, values out, no clock, no I/O, no hash order.
//! Start reading at `engine`, then `lane`, then whichever door the events come through.

// The line above a module is a plain comment, because its own file begins with its documentation:
// with both, rustdoc would look up the links of that documentation from here, and find nothing.

// The words shared by everyone: time, money, ids, events, identities.
pub mod model;

// Messages about files that people write: place, caret, the way out.
pub mod diagnostic;

// YAML with places, read into types with every mistake reported.
pub mod yaml;

// The journey language: files in, checked plans out.
pub mod journey;

// The core: state, time and input in; state and effects out.
pub mod engine;

// The configuration: waypost.yaml and the environment, checked like a journey.
pub mod config;

// What sending by mail and by SMS share: how a try ended, sockets, secrets, caught messages.
pub mod provider;

// Mail: messages built, signed, and handed to an SMTP server.
pub mod mail;

// SMS: segments counted, messages handed to an HTTP provider.
pub mod sms;

// What messages say: files compiled and checked once, rendered for each message.
pub mod template;

// Bytes in, events out: XDM, CloudEvents, and anything else by a mapping file.
pub mod decode;

// What the two SQLite files share: opening, clear errors, bulk statements.
pub mod sqlite;

// The production database: its pool, its tables, clear errors.
pub mod postgres;

// Kafka: clients with the settings that correct work needs, topics, offsets, clear errors.
pub mod kafka;

// The log: the records that every decision is a function of.
pub mod log;

// Identify: many ids of a customer become one.
pub mod identity;

// Durable state: states, messages, trace and positions, one transaction per checkpoint.
pub mod store;

// A lane: orders the records of one partition and applies them.
pub mod lane;

// Releases: everything an author or operator can change, as one content hash.
pub mod release;

// Replay: files through the same engine under a virtual clock.
pub mod replay;

// Verify: the worker's own log replayed, and held against what it decided live.
pub mod verify;

// Metrics: what a worker counts and measures, as Prometheus reads it.
pub mod metrics;

// Delivery: claim, last check, render, hand over, outcome.
pub mod deliver;

// The embedded worker: events in, the log and its lanes, decided messages out.
pub mod worker;

// The worker of production: Kafka in, the log in Kafka, the store in Postgres, many workers.
pub mod cluster;

// A made-up shop's traffic, seeded, to try journeys on.
pub mod generate;

// Reports: what journeys came to, as a value and as a page.
pub mod report;
// The journeys and templates that ship, in the binary.
pub mod shipped;

// The command line: one file for each command.
pub mod cli;
