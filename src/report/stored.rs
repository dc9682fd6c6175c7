//! A journey's part of a report, from what a store has kept.

use crate::engine::TraceKind;
use crate::store::{GroupCount, JourneyCounts, MessageStatus};

use super::{Group, Journey, People};

impl Journey {
    /// Takes in what a store counted.
    #[must_use]
    pub fn stored(mut self, counts: &JourneyCounts) -> Self {
        let mut goals = 0;
        for count in &counts.entries {
            let by_reason = match count.kind {
                TraceKind::Started => {
                    self.started += count.entries;
                    continue;
                }
                TraceKind::Ended => {
                    self.ended += count.entries;
                    continue;
                }
                TraceKind::GoalReached => {
                    goals += count.entries;
                    continue;
                }
                TraceKind::NotStarted => &mut self.not_started,
                TraceKind::Stopped => &mut self.stopped,
                TraceKind::Cancelled
                | TraceKind::Waits
                | TraceKind::Decided
                | TraceKind::Late
                | TraceKind::Duplicate
                | TraceKind::Merged
                | TraceKind::CartMoved
                | TraceKind::Erased
                | TraceKind::Outcome
                | TraceKind::Overtaken
                | TraceKind::Unknowable => continue,
            };
            if let Some(reason) = count.reason {
                *by_reason.entry(reason).or_default() += count.entries;
            }
        }
        if goals > 0 || self.goals.is_some() {
            self.goals = Some(goals);
            self.people = Some(people(&counts.people));
        }
        for count in &counts.messages {
            let step = self.step(&count.step);
            *step.messages.entry((count.status, count.reason)).or_default() += count.messages;
            let outcome = count.outcome.as_ref().filter(|_| count.status == MessageStatus::Decided);
            if let Some(outcome) = outcome {
                *step.outcomes.entry(outcome.as_str().to_owned()).or_default() += count.messages;
            }
        }
        for hour in &counts.hours {
            self.times.add(hour.from, hour.decided, hour.not_sent);
        }
        if !counts.versions.is_empty() {
            self.versions = counts.versions.iter().map(ToString::to_string).collect();
        }
        self
    }
}

fn people(groups: &[GroupCount]) -> People {
    let group = |holdout| {
        let found = groups.iter().find(|group| group.holdout == holdout);
        found.map_or(Group::default(), |group| Group {
            customers: group.customers,
            reached: group.reached,
        })
    };
    People { in_journey: group(false), holdout: group(true) }
}
