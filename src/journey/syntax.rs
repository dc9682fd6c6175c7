//! What a journey file looks like: its fields and their shapes, before any meaning.
//!
//! The comments on the fields are the descriptions in the JSON Schema that editors show.

use crate::model::{Delay, EventName, Zone};
use crate::yaml::{OneOrMany, ScalarOr, Spanned, record};

use super::step_syntax::StepSyntax;
use super::words::{
    AgainWord, Condition, DateOrFact, Days, Name, PerWhat, Percent, Priority, TemplateName,
    TimeOfDay, ZoneOrCustomer,
};
use super::{Class, Matching, Status};

record! {
    /// A journey: who enters it, what happens to them, and what ends it.
    pub(super) struct JourneyFile("a journey") {
        /// Version of this format: 1.
        format "format": needed Spanned<u32>,
        /// Name of the journey, unique among all files: lower-case letters, digits and hyphens.
        journey "journey": needed Spanned<Name>,
        /// What the journey is for.
        description "description": optional String,
        /// `live` (the default), or `draft`: checked, tested and replayed, never applied.
        status "status": optional Status,
        /// `marketing` (the default) or `transactional`; a message may override it.
        class "class": optional Class,
        /// What consent and the preference page speak of.
        topic "topic": optional Name,
        /// Which runs of a customer are one: `customer` (the default), `cart`, `order`, or a field
        /// of the start event such as `event.coupon`.
        one_run_per "one_run_per": optional Spanned<PerWhat>,
        /// What starts a run.
        starts_when "starts_when": needed Spanned<StartsWhen>,
        /// A condition needed to start, read again before every message.
        only_while "only_while": optional Condition,
        /// What ends a run at any time.
        stops_when "stops_when": optional OneOrMany<EventRuleSyntax>,
        /// Journeys whose start for the customer ends this run.
        gives_way_to "gives_way_to": optional OneOrMany<Spanned<Name>>,
        /// Whether a customer may come again: `never` (the default), `always`, or after a while.
        again "again": optional ScalarOr<AgainWord, AgainSyntax>,
        /// What happens to a message while no address is known; without it, it is withheld.
        no_address "no_address": optional NoAddress,
        /// When messages may go out.
        send_only "send_only": optional Spanned<SendOnly>,
        /// What happens to a message that is late.
        if_late "if_late": optional IfLate,
        /// 0 to 100, higher goes first where a cap leaves too little room; the default is 50.
        priority "priority": optional Priority,
        /// Share of customers that get no message, for comparison, such as `10%`.
        holdout "holdout": optional Percent,
        /// A late event starts a run only if it is no older than this; the default is 1h.
        start_within "start_within": optional Delay,
        /// Says that this journey is meant to go on after an order.
        keeps_after_order "keeps_after_order": optional bool,
        /// What happens, from top to bottom.
        steps "steps": needed Spanned<Vec<StepSyntax>>,
        /// What counts as success.
        goal "goal": optional GoalSyntax,
    }
}

record! {
    /// What starts a run: an `event`, a `schedule`, or an event that is `absent`.
    pub(super) struct StartsWhen("`starts_when`") {
        /// The event that starts a run.
        event "event": optional Spanned<EventName>,
        /// A condition that only the start needs.
        condition "if": optional Condition,
        /// Five fields: minute, hour, day of the month, month, weekday by name.
        schedule "schedule": optional Spanned<String>,
        /// IANA zone of the schedule.
        zone "zone": optional Spanned<Zone>,
        /// At most so many customers each time.
        at_most "at_most": optional Spanned<u32>,
        /// An event of the past that has not come again.
        absent "absent": optional Spanned<EventName>,
        /// For how long it has not come again.
        delay "for": optional Spanned<Delay>,
    }
}

record! {
    /// An event, and which of them.
    pub(super) struct EventRuleSyntax("an event rule") {
        /// The event.
        event "event": required Spanned<EventName>,
        /// Which of them: `same_items`, `same_cart` or `same_order`; without it any.
        matching "match": optional Spanned<Matching>,
        /// A further condition.
        condition "if": optional Condition,
    }
}

record! {
    /// When a customer may come again.
    pub(super) struct AgainSyntax("`again`") {
        /// So long after the end of the last run; without it never.
        after "after": optional Spanned<Delay>,
        /// Counted for each `customer`, or for each of what `one_run_per` says (the default).
        per "per": optional Spanned<PerWhat>,
    }
}

record! {
    /// What happens to a message while no address is known.
    pub(super) struct NoAddress("`no_address`") {
        /// It waits so long for one.
        wait "wait": required Spanned<Delay>,
    }
}

record! {
    /// When messages may go out.
    pub(super) struct SendOnly("`send_only`") {
        /// Weekdays on which the window opens: `mon-sat`, or a list; without it every day.
        days "days": optional OneOrMany<Days>,
        /// When it opens, in quotes.
        from "from": optional Spanned<TimeOfDay>,
        /// When it closes, in quotes; before `from` means the next day.
        to "to": optional Spanned<TimeOfDay>,
        /// Whose clock: `customer` (the default) or an IANA zone.
        zone "zone": optional Spanned<ZoneOrCustomer>,
        /// The zone of customers whose zone is not known; without it the shop's.
        unknown_zone "unknown_zone": optional Spanned<Zone>,
    }
}

record! {
    /// What happens to a message that is late.
    pub(super) struct IfLate("`if_late`") {
        /// It is not sent any more so long after the window allowed it.
        skip_after "skip_after": required Spanned<Delay>,
    }
}

record! {
    /// What counts as success.
    pub(super) struct GoalSyntax("`goal`") {
        /// The event.
        event "event": required Spanned<EventName>,
        /// Which of them: `same_items`, `same_cart` or `same_order`; without it any.
        matching "match": optional Spanned<Matching>,
        /// A further condition.
        condition "if": optional Condition,
        /// Within what time of the start; without it 7 days.
        within "within": optional Spanned<Delay>,
    }
}

record! {
    /// Waits a while.
    pub(super) struct WaitSyntax("`wait`") {
        /// How long.
        delay "for": required Spanned<Delay>,
        /// And until the customer has done nothing for so long.
        and_quiet "and_quiet": optional Spanned<Delay>,
    }
}

record! {
    /// Waits until the customer has been quiet; starts again with each of their events.
    pub(super) struct WaitQuietSyntax("`wait_quiet`") {
        /// How long it must be quiet.
        delay "for": required Spanned<Delay>,
        /// But no longer than this.
        at_most "at_most": optional Spanned<Delay>,
    }
}

record! {
    /// Waits for an event.
    pub(super) struct WaitForSyntax("`wait_for`") {
        /// The event.
        event "event": needed Spanned<EventName>,
        /// Which of them: `same_items`, `same_cart` or `same_order`; without it any.
        matching "match": optional Spanned<Matching>,
        /// A further condition.
        condition "if": optional Condition,
        /// But no longer than this.
        at_most "at_most": needed Spanned<Delay>,
        /// What happens when it came.
        then "then": optional Vec<StepSyntax>,
        /// What happens when it did not.
        otherwise "else": optional Vec<StepSyntax>,
    }
}

record! {
    /// Waits until a moment: one of some weekdays, a date, or so long before or after a time that is
    /// known. A moment that has passed is not waited for.
    pub(super) struct WaitUntilSyntax("`wait_until`") {
        /// The next of these weekdays: `tue`, `mon-fri`, or a list.
        days "days": optional OneOrMany<Days>,
        /// A date such as 2026-12-24, or a time that is known, such as `orders.last_at`.
        date "date": optional Spanned<DateOrFact>,
        /// So long before the time that is known.
        before "before": optional Spanned<Delay>,
        /// So long after the time that is known.
        after "after": optional Spanned<Delay>,
        /// At which time of that day, in quotes.
        at "at": optional Spanned<TimeOfDay>,
        /// Whose clock: `customer` (the default) or an IANA zone.
        zone "zone": optional Spanned<ZoneOrCustomer>,
        /// The zone of customers whose zone is not known; without it the shop's.
        unknown_zone "unknown_zone": optional Spanned<Zone>,
    }
}

record! {
    /// One case of `choose`.
    pub(super) struct CaseSyntax("a case of `choose`") {
        /// The condition; the first case whose condition holds counts.
        condition "if": required Condition,
        /// What happens then.
        then "then": required Vec<StepSyntax>,
    }
}

record! {
    /// One variant of `experiment`.
    pub(super) struct VariantSyntax("a variant of `experiment`") {
        /// Its name.
        variant "variant": required Spanned<Name>,
        /// How many go this way, in relation to the other weights; the default is 1.
        weight "weight": optional Spanned<u32>,
        /// What happens to them.
        then "then": required Vec<StepSyntax>,
    }
}

record! {
    /// Decides a message.
    pub(super) struct MessageSyntax("a message") {
        /// The template's folder under `templates`.
        template "template": required Spanned<TemplateName>,
        /// Id of the step.
        id "id": optional Spanned<Name>,
        /// `marketing` or `transactional`; without it what the journey says.
        class "class": optional Class,
        /// The coupon pool from which the message takes a code.
        coupon "coupon": optional Name,
    }
}

/// The JSON Schema of the file.
pub(super) fn schema() -> schemars::Schema {
    schemars::SchemaGenerator::default().into_root_schema_for::<JourneyFile>()
}
