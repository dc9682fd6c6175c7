//! The integration tests: one binary, one module for each subject.

mod generate;
mod layers;
mod stories;
mod support;
//! Integration tests: one module a topic.

mod log;
mod store;
