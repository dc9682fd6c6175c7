//! The integration tests: one binary, one module for each subject.

mod generate;
mod layers;
mod stories;
mod support;
