//! Gathers a report while a replay runs: counts, and a bounded sample of messages and customers.

use std::collections::BTreeMap;

use crate::engine::{Decision, Trace, TraceKind};
use crate::journey::Plan;
use crate::model::{CustomerId, RunId, Text};
use crate::replay::Summary;

use super::story::{Kind, story};
use super::{Histogram, Input, Journey, Report, Story};

/// How many customers are followed to find a story: the first ones who start a journey.
const FOLLOWED_MAX: usize = 1_000;
/// A customer of whom more is to be told is followed no longer.
const ENTRIES_MAX: usize = 40;
/// Lines of a story: neither nothing nor a novel.
const STORY_LINES: std::ops::RangeInclusive<usize> = 4..=14;
/// Of how many steps a message is kept as a sample.
const SAMPLES_MAX: usize = 100;
/// How many dead letters a report names.
const DEAD_LETTERS_MAX: usize = 10;

/// What is gathered while a replay runs. Memory is bounded, however much is decided.
#[derive(Debug)]
pub struct Gather {
    journeys: Vec<Journey>,
    times: BTreeMap<Text, Histogram>,
    /// The first message to be sent of each journey and step.
    samples: BTreeMap<(Text, Text), Decision>,
    /// The customers who are followed; `None` for one of whom not all is known.
    followed: BTreeMap<CustomerId, Option<Followed>>,
    /// How many were ever followed.
    follows: usize,
    /// Whose runs they are, of those who are followed.
    runs: BTreeMap<RunId, CustomerId>,
}

/// What is remembered of a customer who is followed.
#[derive(Debug, Default)]
struct Followed {
    traces: Vec<Trace>,
    /// Without their data.
    decisions: Vec<Decision>,
}

impl Gather {
    /// Nothing yet, of these journeys.
    #[must_use]
    pub fn new(plans: &[Plan]) -> Self {
        Self {
            journeys: plans.iter().map(Journey::of_plan).collect(),
            times: BTreeMap::new(),
            samples: BTreeMap::new(),
            followed: BTreeMap::new(),
            follows: 0,
            runs: BTreeMap::new(),
        }
    }

    /// Takes in a decision that stands.
    pub fn decision(&mut self, decision: &Decision) {
        let sent = u64::from(decision.withheld.is_none());
        let times = self.times.entry(decision.journey.clone()).or_default();
        times.add(decision.at, sent, 1 - sent);
        if sent > 0 && self.samples.len() < SAMPLES_MAX {
            let step = (decision.journey.clone(), decision.step.clone());
            self.samples.entry(step).or_insert_with(|| decision.clone());
        }
        let Some(customer) = self.runs.get(&decision.run).copied() else { return };
        if let Some(Some(followed)) = self.followed.get_mut(&customer) {
            followed.decisions.push(Decision { data: String::new(), ..decision.clone() });
            self.let_go_of_novels(customer);
        }
    }

    /// Takes in what happened to a customer. A story leaves out what led to nothing.
    pub fn trace(&mut self, customer: CustomerId, trace: &Trace) {
        let starts = trace.kind == TraceKind::Started;
        match trace.kind {
            TraceKind::NotStarted | TraceKind::Late | TraceKind::Duplicate => return,
            TraceKind::Merged => self.merge(customer, trace),
            _ => {}
        }
        if starts && self.follows < FOLLOWED_MAX && !self.followed.contains_key(&customer) {
            self.follows += 1;
            self.followed.insert(customer, Some(Followed::default()));
        }
        let Some(Some(followed)) = self.followed.get_mut(&customer) else { return };
        followed.traces.push(trace.clone());
        if let Some(run) = trace.run {
            if starts {
                self.runs.insert(run, customer);
            } else if !self.runs.contains_key(&run) {
                // It began where nobody looked, so the story would have a hole.
                return self.let_go(customer);
            }
        }
        self.let_go_of_novels(customer);
    }

    /// What was known of the other goes over to the customer. The one who goes is told of first,
    /// the one who stays last, so in the end all is with the one who stays.
    fn merge(&mut self, customer: CustomerId, trace: &Trace) {
        let other = trace.detail.as_deref().and_then(|other| other.parse().ok());
        let Some(other) = other.filter(|other| *other != customer) else { return };
        let Some(known) = self.followed.remove(&other) else { return };
        let own = self.followed.remove(&customer).unwrap_or_else(|| Some(Followed::default()));
        let both = known.zip(own).map(|(mut known, mut own)| {
            known.traces.retain(|trace| trace.kind != TraceKind::Merged);
            for run in known.traces.iter().filter_map(|trace| trace.run) {
                self.runs.insert(run, customer);
            }
            own.traces.append(&mut known.traces);
            own.decisions.append(&mut known.decisions);
            own
        });
        self.followed.insert(customer, both);
    }

    fn let_go_of_novels(&mut self, customer: CustomerId) {
        let Some(Some(followed)) = self.followed.get(&customer) else { return };
        if followed.traces.len() + followed.decisions.len() > ENTRIES_MAX {
            self.let_go(customer);
        }
    }

    fn let_go(&mut self, customer: CustomerId) {
        self.followed.insert(customer, None);
        self.runs.retain(|_, whose| *whose != customer);
    }

    /// The first message to be sent of each step, by journey and step, to render as samples.
    pub fn samples(&self) -> impl Iterator<Item = &Decision> {
        self.samples.values()
    }

    /// The report: journeys by name, what was read, and the story most worth telling. Title,
    /// facts, rendered mails and what to try next are for the caller to add.
    #[must_use]
    pub fn report(&self, summary: &Summary) -> Report {
        let mut journeys = self.journeys.clone();
        for name in summary.journeys.keys() {
            if !journeys.iter().any(|journey| journey.name == name.as_str()) {
                journeys.push(Journey::named(name));
            }
        }
        journeys.sort_by(|a, b| a.name.cmp(&b.name));
        let counted = journeys.into_iter().map(|journey| {
            let times = self.times.get(journey.name.as_str()).cloned().unwrap_or_default();
            let funnel = summary.journeys.get(journey.name.as_str());
            let journey = funnel.map_or(journey.clone(), |funnel| journey.counted(funnel));
            Journey { times, ..journey }
        });
        Report {
            journeys: counted.collect(),
            input: Some(Input::of(summary)),
            story: self.story(),
            ..Report::default()
        }
    }

    /// The story most worth telling: of the highest worth, the customer who comes first by name.
    fn story(&self) -> Option<Story> {
        let told = self.followed.values().flatten().filter_map(|followed| {
            let decisions: Vec<_> =
                followed.decisions.iter().map(|decision| (decision.clone(), None)).collect();
            let customer = decisions.last()?.0.customer.to_string();
            let lines = story(&followed.traces, &decisions);
            let of = |kind| lines.iter().filter(move |line| line.kind == kind).count();
            let tells = |kind, worth: usize| if of(kind) > 0 { worth } else { 0 };
            let worth = (tells(Kind::Sent, 32)
                + tells(Kind::Stopped, 16)
                + tells(Kind::Goal, 8)
                + tells(Kind::GaveWay, 4)
                + tells(Kind::Merged, 4))
            .saturating_sub(3 * of(Kind::Other));
            STORY_LINES
                .contains(&lines.len())
                .then(|| ((std::cmp::Reverse(worth), customer.clone()), Story { customer, lines }))
        });
        told.min_by(|(a, _), (b, _)| a.cmp(b)).map(|(_, story)| story)
    }
}

impl Input {
    /// What a replay says of what it read.
    #[must_use]
    pub fn of(summary: &Summary) -> Self {
        let dead_letters = summary.dead_letters.iter().take(DEAD_LETTERS_MAX);
        Self {
            events: summary.events,
            late: summary.late,
            duplicates: summary.duplicates,
            customers: summary.customers,
            reach: summary.reach(),
            dead: summary.dead,
            dead_letters: dead_letters
                .map(|dead| (dead.position.to_string(), dead.reason.to_string()))
                .collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journey::{Class, Version};
    use crate::model::{MessageChannel, MessageId, Timestamp};

    fn at(second: i64) -> Timestamp {
        Timestamp::from_ms(second * 1_000)
    }

    fn trace(second: i64, kind: TraceKind, run: Option<u128>, detail: &str) -> Trace {
        Trace {
            at: at(second),
            kind,
            journey: run.map(|_| ("j".into(), Version(1))),
            run: run.map(RunId),
            step: None,
            reason: None,
            detail: Some(detail.into()),
        }
    }

    fn decision(second: i64, run: u128) -> Decision {
        Decision {
            message: MessageId(run),
            customer: "ann".into(),
            journey: "j".into(),
            version: Version(1),
            run: RunId(run),
            step: "first".into(),
            occurrence: 0,
            channel: MessageChannel::Email,
            template: "t".into(),
            topic: None,
            class: Class::Marketing,
            at: at(second),
            settle_ms: 0,
            expires: None,
            window_end: None,
            withheld: None,
            data: "{}".to_owned(),
        }
    }

    /// A device's run, a merge into customer 2, and what comes of the run.
    fn merged(begins_with: &[Trace]) -> Gather {
        let mut gather = Gather::new(&[]);
        for trace in begins_with {
            gather.trace(CustomerId(1), trace);
        }
        let merge = |other: u128| trace(3, TraceKind::Merged, None, &CustomerId(other).to_string());
        gather.trace(CustomerId(1), &merge(2));
        gather.trace(CustomerId(2), &merge(1));
        gather.decision(&decision(4, 7));
        gather.trace(CustomerId(2), &trace(5, TraceKind::Stopped, Some(7), "order.placed"));
        gather
    }

    #[test]
    fn a_story_goes_on_after_a_merge_and_has_no_hole() {
        let starts = [trace(1, TraceKind::Started, Some(7), "cart.changed")];
        let story = merged(&starts).story().expect("a story");
        let kinds: Vec<Kind> = story.lines.iter().map(|line| line.kind).collect();
        assert_eq!(kinds, [Kind::Started, Kind::Merged, Kind::Sent, Kind::Stopped]);
        // Run 7 began before anybody looked, or there is too much to tell.
        let other = [trace(1, TraceKind::Started, Some(6), "cart.changed")];
        assert_eq!(merged(&other).story(), None);
        let mut novel = starts.to_vec();
        novel.resize(2 * ENTRIES_MAX, trace(2, TraceKind::Waits, Some(7), ""));
        assert_eq!(merged(&novel).story(), None);
    }

    #[test]
    fn memory_does_not_grow_with_customers() {
        let mut gather = Gather::new(&[]);
        for customer in 0..5 * FOLLOWED_MAX as u128 {
            let starts = trace(1, TraceKind::Started, Some(customer), "cart.changed");
            gather.trace(CustomerId(customer), &starts);
            let sent = decision(2, customer);
            gather.decision(&Decision { step: Text::from(customer.to_string()), ..sent });
        }
        assert_eq!((gather.followed.len(), gather.runs.len()), (FOLLOWED_MAX, FOLLOWED_MAX));
        assert_eq!(gather.samples().count(), SAMPLES_MAX);
    }
}
