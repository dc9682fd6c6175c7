//! Integration tests: one module a topic.

mod identify;
mod log;
mod store;
