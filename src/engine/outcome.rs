//! What outcomes mean for runs and caps. A run is moved by them only through `wait_for`.

use crate::model::{Event, EventName, OWN_SOURCE, Text, Timestamp};

use super::message::Verdict;
use super::state::CustomerState;
use super::steps::MessageStep;
use super::{Effect, Engine, TraceKind, trace_run};

/// The most second looks at messages that a run keeps.
const REDO_MAX: usize = 8;

/// What an outcome says.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Meaning {
    /// It has started, or more: it can't be taken back.
    Started,
    /// It was not sent, and will not be.
    NotSent,
    /// It was not sent before its window closed: the next occurrence is decided.
    MissedWindow,
    /// It tells of a message that was sent before.
    Feedback,
}

impl Engine {
    /// Applies an outcome to the message it speaks of.
    pub(super) fn outcome(
        &self,
        state: &mut CustomerState,
        event: &Event,
        now: Timestamp,
        effects: &mut Vec<Effect>,
    ) {
        let (Some(outcome), Some(meaning)) = (&event.outcome, meaning(&event.name)) else { return };
        let message = outcome.message;
        let ours = event.tie.source == OWN_SOURCE;
        effects.push(Effect::Outcome { message, outcome: event.name.clone(), ours });
        if matches!(meaning, Meaning::NotSent | Meaning::MissedWindow) {
            state.sent.retain(|mark| mark.message != message);
            Self::room_may_be(state, now);
        }
        let found = state.runs.iter().enumerate().find_map(|(place, run)| {
            Some((place, run.open.iter().position(|open| open.id == message)?))
        });
        let Some((place, open)) = found else { return };
        if meaning == Meaning::Feedback {
            return;
        }
        let run = &mut state.runs[place];
        let open = run.open.remove(open);
        if meaning != Meaning::Started {
            run.sent = run.sent.saturating_sub(1);
        }
        let detail = Text::from(event.name.as_str());
        trace_run(effects, run, event.time, TraceKind::Outcome, None, Some(detail));
        if meaning == Meaning::MissedWindow && run.redo.len() < REDO_MAX {
            run.redo.push((open.node, now));
        }
    }

    /// Looks again at a message whose window delivery missed.
    pub(super) fn redo_due(
        &self,
        state: &mut CustomerState,
        place: usize,
        redo: usize,
        effects: &mut Vec<Effect>,
    ) {
        let (node, due) = state.runs[place].redo.remove(redo);
        let Some(plan) = self.plan_of(&state.runs[place]) else { return };
        let Some(step) = MessageStep::at(&plan, node) else { return };
        match self.message(state, place, &plan, step, due, effects) {
            Verdict::Later(until, _) => state.runs[place].redo.push((node, until)),
            Verdict::Done | Verdict::Ended => {}
        }
    }
}

/// Whether an event tells what became of a message.
pub(super) fn is_outcome(name: &EventName) -> bool {
    meaning(name).is_some()
}

fn meaning(name: &EventName) -> Option<Meaning> {
    match name {
        EventName::EmailStarted
        | EventName::EmailSent
        | EventName::EmailDelivered
        | EventName::SmsStarted
        | EventName::SmsSent
        | EventName::SmsDelivered => Some(Meaning::Started),
        EventName::EmailBounced
        | EventName::EmailExpired
        | EventName::EmailFailed
        | EventName::EmailCancelled
        | EventName::SmsBounced
        | EventName::SmsExpired
        | EventName::SmsFailed
        | EventName::SmsCancelled => Some(Meaning::NotSent),
        EventName::EmailMissedWindow | EventName::SmsMissedWindow => Some(Meaning::MissedWindow),
        EventName::EmailOpened
        | EventName::EmailClicked
        | EventName::EmailComplained
        | EventName::SmsClicked => Some(Meaning::Feedback),
        _ => None,
    }
}
