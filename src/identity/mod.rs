//! Identify.
