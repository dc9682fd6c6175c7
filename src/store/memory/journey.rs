//! Counting what is kept of one journey, for reports: the plain form of what SQL does.

use std::collections::{BTreeMap, BTreeSet};

use crate::engine::{Reason, Trace, TraceKind};
use crate::model::{CustomerId, HOUR_MS, RunId, Timestamp};

use super::super::{
    EntryCount, GroupCount, HourCount, JourneyCounts, MessageStatus, StepCount, StoredMessage,
};
use super::Kept;

impl Kept {
    pub(super) fn journey_names(&self) -> Vec<String> {
        let traced = self.trace.iter().filter_map(|(_, trace)| trace.journey.as_ref());
        let decided = self.messages.values().map(|row| &row.decision.journey);
        let names: BTreeSet<&str> =
            traced.map(|(name, _)| name).chain(decided).map(|name| name.as_str()).collect();
        names.into_iter().map(str::to_owned).collect()
    }

    pub(super) fn journey_counts(&self, name: &str) -> JourneyCounts {
        let traces: Vec<&(CustomerId, Trace)> = self
            .trace
            .iter()
            .filter(|(_, trace)| trace.journey.as_ref().is_some_and(|(of, _)| of == name))
            .collect();
        let messages: Vec<&StoredMessage> =
            self.messages.values().filter(|row| row.decision.journey == name).collect();
        let mut versions = Vec::new();
        for (_, trace) in traces.iter().filter(|(_, trace)| trace.kind == TraceKind::Started) {
            let version = trace.journey.as_ref().map(|(_, version)| *version);
            versions.extend(version.filter(|version| !versions.contains(version)));
        }
        JourneyCounts {
            entries: entries(&traces),
            messages: steps(&messages),
            hours: hours(&messages),
            people: people(&traces),
            versions,
        }
    }
}

fn entries(traces: &[&(CustomerId, Trace)]) -> Vec<EntryCount> {
    let mut counts = BTreeMap::new();
    for (_, trace) in traces {
        let words = (trace.kind.as_str(), trace.reason.map(Reason::as_str));
        counts.entry(words).or_insert((trace.kind, trace.reason, 0)).2 += 1;
    }
    let count = |(kind, reason, entries)| EntryCount { kind, reason, entries };
    counts.into_values().map(count).collect()
}

fn steps(messages: &[&StoredMessage]) -> Vec<StepCount> {
    let mut counts: Vec<(u64, StepCount)> = Vec::new();
    for row in messages {
        let same = counts.iter_mut().find(|(_, count)| {
            count.step == row.decision.step
                && (count.status, count.reason) == (row.status, row.reason)
                && count.outcome == row.outcome
        });
        match same {
            Some((_, count)) => count.messages += 1,
            None => {
                let (step, outcome) = (row.decision.step.clone(), row.outcome.clone());
                let (status, reason) = (row.status, row.reason);
                counts.push((row.seq, StepCount { step, status, reason, outcome, messages: 1 }));
            }
        }
    }
    StepCount::in_order(counts)
}

fn hours(messages: &[&StoredMessage]) -> Vec<HourCount> {
    let mut counts: BTreeMap<Timestamp, HourCount> = BTreeMap::new();
    for row in messages {
        let at = row.decision.at;
        let from = at.plus_ms(-at.ms().rem_euclid(HOUR_MS));
        let count = counts.entry(from).or_insert(HourCount { from, decided: 0, not_sent: 0 });
        match row.status {
            MessageStatus::Decided => count.decided += 1,
            MessageStatus::Withheld | MessageStatus::Cancelled => count.not_sent += 1,
        }
    }
    counts.into_values().collect()
}

fn people(traces: &[&(CustomerId, Trace)]) -> Vec<GroupCount> {
    let of_kind = |kind| traces.iter().filter(move |(_, trace)| trace.kind == kind);
    let reached: BTreeSet<RunId> =
        of_kind(TraceKind::GoalReached).filter_map(|(_, trace)| trace.run).collect();
    let mut people: BTreeMap<CustomerId, (bool, bool)> = BTreeMap::new();
    for (customer, trace) in of_kind(TraceKind::Started) {
        let holdout = trace.reason == Some(Reason::Holdout);
        let (_, has) = people.entry(*customer).or_insert((holdout, false));
        *has |= trace.run.is_some_and(|run| reached.contains(&run));
    }
    let mut groups: BTreeMap<bool, GroupCount> = BTreeMap::new();
    for (holdout, has) in people.into_values() {
        let group =
            groups.entry(holdout).or_insert(GroupCount { holdout, customers: 0, reached: 0 });
        group.customers += 1;
        group.reached += u64::from(has);
    }
    groups.into_values().collect()
}
