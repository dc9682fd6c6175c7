//! Integration tests: one module a topic.

mod log;
mod store;
