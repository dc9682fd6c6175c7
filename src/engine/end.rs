//! Ends runs and takes back their messages.

use crate::journey::Again;
use crate::model::{Text, Timestamp};

use super::state::{AgainMark, CustomerState};
use super::{Effect, Engine, Reason, TraceKind, trace_run};

impl Engine {
    /// Ends a run, or only takes its unstarted messages back if it is over already.
    ///
    /// A run that came to its end by its own steps keeps its messages; any other end cancels those
    /// that have not started.
    pub(super) fn end_run(
        &self,
        state: &mut CustomerState,
        place: usize,
        at: Timestamp,
        reason: Reason,
        detail: Option<Text>,
        effects: &mut Vec<Effect>,
    ) {
        let came_to_its_end =
            matches!(reason, Reason::Finished | Reason::OnlyWhile | Reason::ExpressionFailed);
        if !came_to_its_end {
            self.take_back(state, place, at, reason, effects);
        }
        let run = &mut state.runs[place];
        if !came_to_its_end {
            run.redo.clear();
        }
        if !run.is_active() {
            return;
        }
        run.at = None;
        let kind = match reason {
            Reason::Finished => TraceKind::Ended,
            _ => TraceKind::Stopped,
        };
        trace_run(effects, run, at, kind, Some(reason), detail);
        let (journey, key, id) = (run.journey.clone(), run.key.clone(), run.id);
        let always = self.plan_of(run).is_some_and(|plan| plan.again == Again::Always);
        let started = run.start.time;
        state.mark(AgainMark { journey, key, ended: at, run: id, started, binding: !always });
    }

    /// Cancels the messages of a run that have not started.
    fn take_back(
        &self,
        state: &mut CustomerState,
        place: usize,
        at: Timestamp,
        reason: Reason,
        effects: &mut Vec<Effect>,
    ) {
        let open = std::mem::take(&mut state.runs[place].open);
        if !open.is_empty() {
            Self::room_may_be(state, at);
        }
        for message in open {
            state.sent.retain(|mark| mark.message != message.id);
            effects.push(Effect::Cancel { message: message.id, reason });
            let run = &mut state.runs[place];
            run.sent = run.sent.saturating_sub(1);
            let detail = Some(message.step.clone());
            trace_run(effects, run, at, TraceKind::Cancelled, Some(reason), detail);
        }
    }
}
