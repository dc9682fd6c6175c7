//! From what `wait_until` says to the moment that it means.

use std::ops::Range;

use crate::diagnostic::Code;
use crate::model::Delay;

use super::lower::{Lower, weekdays};
use super::syntax::WaitUntilSyntax;
use super::words::DateOrFact;
use super::{Moment, MomentDay, Step};

impl Lower<'_> {
    /// A wait for a moment. Where it is wrong, which is reported, another stands in.
    pub(super) fn wait_until(&mut self, wait: &WaitUntilSyntax, span: &Range<usize>) -> Step {
        let zone = self.clock(wait.zone.as_ref(), wait.unknown_zone.as_ref());
        let minute = wait.at.as_ref().map(|at| at.value.0);
        let day = self.moment_day(wait, span).unwrap_or(MomentDay::Weekdays([true; 7]));
        Step::WaitUntil { moment: Moment { day, minute, zone }, next: 0 }
    }

    fn moment_day(&mut self, wait: &WaitUntilSyntax, span: &Range<usize>) -> Option<MomentDay> {
        let shift = wait.before.as_ref().or(wait.after.as_ref());
        let day = match (&wait.days, &wait.date) {
            (None, None) if !self.loaded.is_sound => return None,
            (None, None) => {
                let help = "add `days: tue`, or `date:` with a date or a time that is known";
                let message = "`wait_until` does not say until when";
                return self.fail_help(Code::MissingField, span, message, help);
            }
            (Some(_), Some(date)) => {
                let message = "give `days` or `date`, not both";
                return self.fail(Code::Conflict, &date.span, message);
            }
            (Some(_), None) if wait.at.is_none() => {
                let help = "add `at: \"10:00\"`";
                let message = "weekdays need a time of day";
                return self.fail_help(Code::MissingField, span, message, help);
            }
            (Some(days), None) => MomentDay::Weekdays(weekdays(days)),
            (None, Some(date)) => match date.value {
                DateOrFact::Date(date) => MomentDay::Date(date),
                DateOrFact::Fact(var) => {
                    if var.path().starts_with("event.") && !self.run_scope.event {
                        let message = "no event starts this journey, so it has no time";
                        self.fail::<()>(Code::OutOfScope, &date.span, message);
                    }
                    if let (Some(_), Some(after)) = (&wait.before, &wait.after) {
                        let message = "give `before` or `after`, not both";
                        self.fail::<()>(Code::Conflict, &after.span, message);
                    }
                    let before = wait.before.is_some();
                    let shift = shift.map_or(Delay::default(), |shift| shift.value);
                    return Some(MomentDay::Fact { var, shift, before });
                }
            },
        };
        if let Some(shift) = shift {
            let message = "`before` and `after` belong to a time that is known";
            self.fail::<()>(Code::Conflict, &shift.span, message);
        }
        Some(day)
    }
}
