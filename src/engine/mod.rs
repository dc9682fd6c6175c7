//! The core: pure and deterministic. State, time and input in; state and effects out.

mod effect;

pub use effect::*;
