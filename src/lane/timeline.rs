//! Which release is in force when.

use std::collections::BTreeMap;

use crate::engine::{Engine, Options};
use crate::journey::{Catalog, Plan, Rules};
use crate::model::{ReleaseId, Timestamp};

/// A compiled release.
#[derive(Clone, Debug)]
pub struct Release {
    /// Its id.
    pub id: ReleaseId,
    /// Its journeys.
    pub plans: Vec<Plan>,
    /// What they share.
    pub rules: Rules,
}

/// The engines by the instant from which each is in force.
#[derive(Debug)]
pub struct Timeline {
    options: Options,
    engines: Vec<(Option<Timestamp>, Engine)>,
    releases: BTreeMap<ReleaseId, Release>,
}

impl Timeline {
    /// A timeline with one catalog in force from the beginning: replay of files, tests.
    #[must_use]
    pub fn fixed(catalog: Catalog, options: Options) -> Self {
        Self {
            options,
            engines: vec![(None, Engine::new(catalog, options))],
            releases: BTreeMap::new(),
        }
    }

    /// A timeline whose releases are activated by the log.
    #[must_use]
    pub fn of_log(releases: Vec<Release>, options: Options) -> Self {
        Self {
            options,
            engines: vec![(None, Engine::new(Catalog::default(), options))],
            releases: releases.into_iter().map(|release| (release.id, release)).collect(),
        }
    }

    /// The engine in force at an instant.
    #[must_use]
    pub fn at(&self, now: Timestamp) -> &Engine {
        let place = self
            .engines
            .iter()
            .rposition(|(since, _)| since.is_none_or(|since| since <= now))
            .unwrap_or(0);
        &self.engines[place].1
    }

    /// Lets `absent` journeys start nobody whose time had come before an instant.
    pub fn nothing_absent_before(&mut self, at: Timestamp) {
        for (_, engine) in &mut self.engines {
            engine.catalog.nothing_absent_before(at);
        }
    }

    /// The engine in force last.
    #[must_use]
    pub fn last(&self) -> &Engine {
        &self.engines[self.engines.len() - 1].1
    }

    /// The engine in force before the last, and the last.
    #[must_use]
    pub fn last_two(&self) -> (&Engine, &Engine) {
        let last = self.engines.len() - 1;
        (&self.engines[last.saturating_sub(1)].1, &self.engines[last].1)
    }

    /// Whether this activation is in the timeline.
    #[must_use]
    pub fn knows(&self, release: ReleaseId, at: Timestamp) -> bool {
        self.engines
            .iter()
            .any(|(since, engine)| *since == Some(at) && engine.catalog.release == Some(release))
    }

    /// A release by its id.
    #[must_use]
    pub fn release(&self, id: ReleaseId) -> Option<Release> {
        self.releases.get(&id).cloned()
    }

    /// Makes another release known.
    pub fn learn(&mut self, release: Release) {
        self.releases.insert(release.id, release);
    }

    /// Puts a release in force from an instant on.
    pub fn activate(&mut self, at: Timestamp, release: &Release) {
        if self.knows(release.id, at) {
            return;
        }
        let catalog = self.last().catalog.activate(
            Some(release.id),
            Some(at),
            release.plans.clone(),
            release.rules.clone(),
        );
        self.engines.push((Some(at), Engine::new(catalog, self.options)));
    }
}
