//! Every plan the engine may need: the active ones, and older ones that people are still in.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::model::{EventName, ReleaseId, Text, Timestamp};

use super::{Plan, Rules, Start, Version};

/// The plans and rules in force at one time in the log. Immutable; cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Catalog {
    /// The release in force.
    pub release: Option<ReleaseId>,
    /// Since when it is in force: older events only build state.
    pub since: Option<Timestamp>,
    /// What journeys share.
    pub rules: Arc<Rules>,
    active: Vec<ActivePlan>,
    older: BTreeMap<(Text, Version), Arc<Plan>>,
    started_by: BTreeMap<EventName, Vec<usize>>,
}

/// A plan in force.
#[derive(Clone, Debug)]
pub struct ActivePlan {
    /// The plan.
    pub plan: Arc<Plan>,
    /// Since when its journey is in force, in whatever version.
    pub since: Option<Timestamp>,
    /// Marketing messages may be claimed only so long after their due time, in milliseconds.
    pub settle_ms: i64,
}

impl Catalog {
    /// A catalog whose plans are in force from the beginning of time, for replays and tests.
    #[must_use]
    pub fn new(plans: Vec<Plan>, rules: Rules) -> Self {
        Self::default().activate(None, None, plans, rules)
    }

    /// The catalog after `release` was activated at `at`: its plans are in force, earlier ones
    /// are kept for the people who are in them.
    #[must_use]
    pub fn activate(
        &self,
        release: Option<ReleaseId>,
        at: Option<Timestamp>,
        plans: Vec<Plan>,
        rules: Rules,
    ) -> Self {
        let mut older = self.older.clone();
        for active in &self.active {
            older.insert((active.plan.name.clone(), active.plan.version), active.plan.clone());
        }
        let mut active: Vec<ActivePlan> = plans
            .into_iter()
            .map(|plan| ActivePlan {
                since: match self.active(&plan.name) {
                    Some(before) => before.since,
                    None => at,
                },
                settle_ms: rules.settle_ms(plan.stops()),
                plan: Arc::new(plan),
            })
            .collect();
        // Higher priority starts first; among equals the name decides, so that the order is total.
        active.sort_by(|a, b| {
            (std::cmp::Reverse(a.plan.priority), &a.plan.name)
                .cmp(&(std::cmp::Reverse(b.plan.priority), &b.plan.name))
        });
        let mut started_by: BTreeMap<EventName, Vec<usize>> = BTreeMap::new();
        for (index, active) in active.iter().enumerate() {
            if let Start::Event { event, .. } = &active.plan.start {
                started_by.entry(event.clone()).or_default().push(index);
            }
        }
        Self { release, since: at, rules: Arc::new(rules), active, older, started_by }
    }

    /// Lets `absent` journeys start nobody whose time had come before an instant.
    pub fn nothing_absent_before(&mut self, at: Timestamp) {
        for active in &mut self.active {
            if matches!(active.plan.start, Start::Absent { .. }) {
                active.since = active.since.max(Some(at));
            }
        }
    }

    /// The plans in force, by falling priority, then name.
    #[must_use]
    pub fn plans(&self) -> &[ActivePlan] {
        &self.active
    }

    /// The plan in force of this journey.
    #[must_use]
    pub fn active(&self, journey: &str) -> Option<&ActivePlan> {
        self.active.iter().find(|active| active.plan.name == journey)
    }

    /// The plan of this journey and version, in force or older.
    #[must_use]
    pub fn plan(&self, journey: &Text, version: Version) -> Option<&Arc<Plan>> {
        self.active
            .iter()
            .map(|active| &active.plan)
            .find(|plan| plan.name == *journey && plan.version == version)
            .or_else(|| self.older.get(&(journey.clone(), version)))
    }

    /// The plans that the absence of an event starts.
    pub fn absent(&self) -> impl Iterator<Item = &ActivePlan> {
        self.active.iter().filter(|active| matches!(active.plan.start, Start::Absent { .. }))
    }

    /// The plans that a schedule starts.
    pub fn scheduled(&self) -> impl Iterator<Item = &ActivePlan> {
        self.active.iter().filter(|active| matches!(active.plan.start, Start::Schedule { .. }))
    }

    /// The plans that an event of this name may start.
    pub fn started_by(&self, event: &EventName) -> impl Iterator<Item = &ActivePlan> {
        self.started_by.get(event).into_iter().flatten().map(|&index| &self.active[index])
    }
}
