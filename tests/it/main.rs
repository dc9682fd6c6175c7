//! The integration tests: one binary, one module for each subject.

mod generate;
mod layers;
mod log;
mod store;
mod stories;
mod support;
