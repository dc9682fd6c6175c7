//! The core: pure and deterministic. State, time and input in; state and effects out.
//!
//! [`Engine`] holds what is in force (the [`Catalog`]) and how it is used; it has no state of its
//! own. Live run, replay, journey tests and simulation call the same three functions:
//!
//! - [`Engine::event`] applies one event (or merge, handover, moved cart) to a customer;
//! - [`Engine::fire`] fires what is due at one instant;
//! - [`Engine::next_due`] says when something is due next.
//!
//! The caller orders: each customer's events and timers in one order of effective and due time,
//! events before timers at equal times. Nothing here reads a clock, draws a random number, does
//! I/O, or depends on hash order. It can't fail: what goes wrong is an effect with a reason.

mod apply;
mod caps;
mod cart;
mod consent;
mod context;
mod effect;
mod end;
mod experiment;
mod first_of;
mod forget;
mod known;
mod merge;
mod message;
mod orders;
mod outcome;
mod profile;
mod run;
mod start;
mod state;
mod steps;
mod timers;
mod weight;

use std::sync::Arc;

use crate::journey::{Catalog, Plan};
use crate::model::{Text, Timestamp};

pub use effect::*;
pub use run::{OPEN_MESSAGES_MAX, OpenMessage, Run, Standing, StartEvent, Waiting};
pub use start::limit_reached;
pub use state::*;

/// When a decided message counts as started, so that it can't be cancelled any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Delivery {
    /// When its `started` or a later outcome is in the log.
    #[default]
    Live,
    /// When everything at or before its due time and settle has been applied: replay and tests.
    Assumed,
}

/// How the engine is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Options {
    /// When a message counts as started.
    pub delivery: Delivery,
    /// A customer without a known address or consent passes these two checks; an explicit
    /// opt-out still withholds.
    pub assume_reachable: bool,
}

/// What is in force, and how it is used.
#[derive(Clone, Debug)]
pub struct Engine {
    /// What is in force.
    pub catalog: Catalog,
    /// How it is used.
    pub options: Options,
}

/// When and how an input is applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arrival {
    /// In its place in the customer's order: behind the watermark.
    InOrder,
    /// After the watermark had passed it: everything up to this watermark is applied already.
    Late(Timestamp),
}

impl Arrival {
    /// The instant at which an input of this time is applied.
    fn instant(self, time: Timestamp) -> Timestamp {
        match self {
            Self::InOrder => time,
            Self::Late(watermark) => watermark.max(time),
        }
    }

    const fn is_late(self) -> bool {
        matches!(self, Self::Late(_))
    }
}

impl Engine {
    /// An engine over a catalog.
    #[must_use]
    pub const fn new(catalog: Catalog, options: Options) -> Self {
        Self { catalog, options }
    }

    /// The plan a run is in; `None` if the release that had it is not known.
    fn plan_of(&self, run: &Run) -> Option<Arc<Plan>> {
        self.catalog.plan(&run.journey, run.version).cloned()
    }
}

/// A trace entry of a run, to be filled in.
fn trace_of(run: &Run, at: Timestamp, kind: TraceKind) -> Trace {
    Trace {
        at,
        kind,
        journey: Some((run.journey.clone(), run.version)),
        run: Some(run.id),
        step: None,
        reason: None,
        detail: None,
    }
}

/// Writes a trace entry of a run.
fn trace_run(
    effects: &mut Vec<Effect>,
    run: &Run,
    at: Timestamp,
    kind: TraceKind,
    reason: Option<Reason>,
    detail: Option<Text>,
) {
    effects.push(Effect::Trace(Box::new(Trace { reason, detail, ..trace_of(run, at, kind) })));
}

/// Writes a trace entry of a customer.
fn trace_customer(effects: &mut Vec<Effect>, at: Timestamp, kind: TraceKind, detail: Option<Text>) {
    effects.push(Effect::Trace(Box::new(Trace {
        at,
        kind,
        journey: None,
        run: None,
        step: None,
        reason: None,
        detail,
    })));
}
