//! What a checkpoint comes to, counted once it is kept.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::time::Instant;
use tracing::Instrument as _;

use crate::engine::TraceKind;
use crate::store::{Checkpoint, MessageChange, MessageStatus};

use super::labels::{Decided, OfJourney};
use super::{Metrics, SPANS, UnderWay};

/// A checkpoint that is being committed.
pub struct Measured {
    metrics: Arc<Metrics>,
    partition: u32,
    since: Instant,
    states: usize,
    messages: usize,
    applied: u64,
    late: u64,
    decided: BTreeMap<Decided, u64>,
    overtaken: BTreeMap<String, u64>,
    _under_way: UnderWay,
}

impl Metrics {
    /// Begins to measure a checkpoint. What was not committed counts nothing.
    #[must_use]
    pub fn checkpoint(self: &Arc<Self>, partition: u32, checkpoint: &Checkpoint) -> Measured {
        let mut decided: BTreeMap<Decided, u64> = BTreeMap::new();
        for (_, change) in &checkpoint.messages {
            let of = match change {
                MessageChange::Decided(decision) => Decided {
                    journey: decision.journey.to_string(),
                    status: match decision.withheld {
                        None => MessageStatus::Decided,
                        Some(_) => MessageStatus::Withheld,
                    }
                    .as_str(),
                    reason: decision.withheld.map_or("", crate::engine::Reason::as_str),
                },
                MessageChange::Cancelled(..)
                | MessageChange::Revised(..)
                | MessageChange::Outcome { .. } => continue,
            };
            *decided.entry(of).or_default() += 1;
        }
        let mut overtaken: BTreeMap<String, u64> = BTreeMap::new();
        for (_, trace) in &checkpoint.trace {
            let Some((journey, _)) = &trace.journey else { continue };
            match trace.kind {
                // The change of the message does not say its journey.
                TraceKind::Cancelled => {
                    let of = Decided {
                        journey: journey.to_string(),
                        status: MessageStatus::Cancelled.as_str(),
                        reason: trace.reason.map_or("", crate::engine::Reason::as_str),
                    };
                    *decided.entry(of).or_default() += 1;
                }
                TraceKind::Overtaken => *overtaken.entry(journey.to_string()).or_default() += 1,
                _ => {}
            }
        }
        Measured {
            metrics: Arc::clone(self),
            partition,
            since: Instant::now(),
            states: checkpoint.states.len(),
            messages: checkpoint.messages.len(),
            applied: checkpoint.applied,
            late: checkpoint.late,
            decided,
            overtaken,
            _under_way: UnderWay::new(&self.checkpoints_under_way),
        }
    }
}

impl Measured {
    /// Measures how a checkpoint is committed.
    ///
    /// # Errors
    /// What committing it gives.
    pub async fn of<E>(self, commit: impl Future<Output = Result<(), E>>) -> Result<(), E> {
        let span = tracing::info_span!(
            target: SPANS,
            "checkpoint",
            partition = self.partition,
            records = self.applied,
            states = self.states,
            messages = self.messages,
        );
        commit.instrument(span).await?;
        self.landed();
        Ok(())
    }

    /// It is kept.
    #[expect(
        clippy::cast_precision_loss,
        reason = "a histogram is of floats; nobody decides by it"
    )]
    fn landed(self) {
        let metrics = &self.metrics;
        metrics.checkpoint_seconds.observe(self.since.elapsed().as_secs_f64());
        metrics.checkpoint_states.observe(self.states as f64);
        metrics.checkpoint_messages.observe(self.messages as f64);
        metrics.applied.inc_by(self.applied);
        metrics.late.inc_by(self.late);
        for (of, count) in &self.decided {
            metrics.decided.get_or_create_owned(of).inc_by(*count);
        }
        for (journey, count) in &self.overtaken {
            let of = OfJourney { journey: journey.clone() };
            metrics.overtaken.get_or_create_owned(&of).inc_by(*count);
        }
    }
}
