//! The integration tests: one binary, one module for each subject.

mod caught;
mod decode;
mod deliver;
mod diagnostics;
mod docs;
mod encodings;
mod feed;
mod generate;
mod generated;
mod identify;
mod layers;
mod log;
mod mail;
mod properties;
mod real;
mod replay;
mod report;
mod servers;
mod shipped;
mod sms;
mod store;
mod stories;
mod suite;
mod support;
mod templates;
mod worker;
