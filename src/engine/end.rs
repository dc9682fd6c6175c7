//! Ends runs and takes back their messages.

use crate::model::{Text, Timestamp};

use super::state::{AGAIN_MAX, AgainMark, CustomerState};
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
        run.redo.clear();
        if !run.is_active() {
            return;
        }
        run.at = None;
        let kind = match reason {
            Reason::Finished => TraceKind::Ended,
            _ => TraceKind::Stopped,
        };
        trace_run(effects, run, at, kind, Some(reason), detail);
        let mark = AgainMark { journey: run.journey.clone(), key: run.key.clone(), ended: at };
        let of_run = |known: &AgainMark| known.journey == mark.journey && known.key == mark.key;
        if let Some(place) = state.again.iter().position(of_run) {
            state.again.remove(place);
        } else if state.again.len() >= AGAIN_MAX {
            state.again.remove(0);
        }
        state.again.push(mark);
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
