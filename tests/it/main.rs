//! The integration tests: one binary, one module for each subject.

mod decode;
mod diagnostics;
mod docs;
mod encodings;
mod generate;
mod generated;
mod identify;
mod layers;
mod log;
mod properties;
mod real;
mod shipped;
mod store;
mod stories;
mod support;
mod templates;
mod worker;
