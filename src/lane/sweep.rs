//! What happens at set instants: activations and schedules, each a pass over all customers.
//!
//! The pass at S judges every customer on its state at S: nothing after S is applied before the
//! pass is complete.

use crate::engine::Effect;
use crate::journey::{ActivePlan, Start};
use crate::log::Control;
use crate::model::{CustomerId, Timestamp};
use crate::store::{Error, Store};

use super::{Lane, Release};

/// How many customers a pass looks at in one go.
const SCAN: u32 = 5_000;

/// An instant at which the watermark stops on its way.
pub(super) enum Barrier {
    /// A release comes into force.
    Activation(Control, Box<Release>),
    /// Schedules are due.
    Schedule(Timestamp),
}

impl Barrier {
    fn instant(&self) -> Timestamp {
        match self {
            Self::Activation(control, _) => control.at,
            Self::Schedule(at) => *at,
        }
    }

    /// Up to when everything is applied before it: a release is in force at its own instant, a
    /// schedule comes after the events of its instant.
    pub(super) fn before(&self) -> Timestamp {
        match self {
            Self::Activation(control, _) => control.at.plus_ms(-1),
            Self::Schedule(at) => *at,
        }
    }
}

impl<S: Store> Lane<S> {
    /// The next instant up to `to` at which the watermark stops.
    pub(super) fn next_barrier(&mut self, to: Timestamp) -> Option<Barrier> {
        let activation = self
            .controls
            .iter()
            .enumerate()
            .min_by_key(|(_, (offset, control, _))| (control.at, *offset))
            .map(|(place, (_, control, _))| (place, control.at));
        let schedule = self.next_schedule().filter(|at| *at <= to);
        match (activation, schedule) {
            (Some((place, at)), schedule)
                if at <= to && schedule.is_none_or(|schedule| at <= schedule) =>
            {
                let (_, control, release) = self.controls.remove(place);
                Some(Barrier::Activation(control, Box::new(release)))
            }
            (_, Some(at)) => Some(Barrier::Schedule(at)),
            _ => None,
        }
    }

    /// The next instant after the watermark at which a schedule is due; found once until it is
    /// reached or a release comes.
    fn next_schedule(&mut self) -> Option<Timestamp> {
        let from = self.position.watermark?;
        if let Some((found_at, next)) = self.next_schedule
            && found_at <= from
            && next.is_none_or(|next| next > from)
        {
            return next;
        }
        let next = self
            .timeline
            .last()
            .catalog
            .scheduled()
            .filter_map(|active| {
                let Start::Schedule { schedule, .. } = &active.plan.start else { return None };
                let after = active.since.map_or(from, |since| from.max(since.plus_ms(-1)));
                schedule.next(after)
            })
            .min();
        self.next_schedule = Some((from, next));
        next
    }

    pub(super) async fn pass(&mut self, barrier: Barrier) -> Result<(), Error> {
        let at = barrier.instant();
        match barrier {
            Barrier::Activation(control, release) => {
                self.timeline.activate(control.at, &release);
                self.next_schedule = None;
                if self.timeline.last().catalog.absent().next().is_some() {
                    self.rearm(at).await?;
                }
            }
            Barrier::Schedule(_) => {
                let due: Vec<ActivePlan> = self
                    .timeline
                    .at(at)
                    .catalog
                    .scheduled()
                    .filter(|active| match &active.plan.start {
                        Start::Schedule { schedule, .. } => {
                            schedule.next(at.plus_ms(-1)) == Some(at)
                        }
                        Start::Event { .. } | Start::Absent { .. } => false,
                    })
                    .cloned()
                    .collect();
                for active in due {
                    self.schedule(&active, at).await?;
                }
            }
        }
        Ok(())
    }

    /// Starts the runs of one schedule.
    async fn schedule(&mut self, active: &ActivePlan, at: Timestamp) -> Result<(), Error> {
        let mut chosen: Vec<(u128, CustomerId)> = Vec::new();
        let mut after = None;
        loop {
            let ids = self.scan(after).await?;
            let Some(last) = ids.last().copied() else { break };
            self.bring_in(&ids).await?;
            let engine = self.timeline.at(at);
            for id in ids {
                let rank = self
                    .residents
                    .state(id)
                    .and_then(|state| engine.scheduled_rank(state, active, at));
                if let Some(rank) = rank {
                    chosen.push((rank, id));
                }
            }
            if S::KEEPS_STATES {
                self.residents.trim(self.cache_bytes);
            }
            after = Some(last);
        }
        chosen.sort_unstable();
        if let Start::Schedule { at_most: Some(at_most), .. } = &active.plan.start {
            let (share, parts) = (u64::from(*at_most), u64::from(self.partitions));
            let index = u64::from(self.lease.partition);
            let quota = (index + 1) * share / parts - index * share / parts;
            let quota = usize::try_from(quota).unwrap_or(usize::MAX).min(chosen.len());
            for (_, id) in chosen.split_off(quota) {
                let effect = crate::engine::limit_reached(active, at);
                self.output.effects.push((id, effect));
            }
        }
        let chosen: Vec<CustomerId> = chosen.into_iter().map(|(_, id)| id).collect();
        for page in chosen.chunks(SCAN as usize) {
            // The look at all customers may have let go of those it was over with.
            self.bring_in(page).await?;
            for &id in page {
                let mut resident = self.residents.take_out(id);
                let mut effects: Vec<Effect> = Vec::new();
                let engine = self.timeline.at(at);
                engine.start_scheduled(&mut resident.state, active, at, &mut effects);
                let next_due = engine.next_due(&resident.state);
                self.residents.put_back(resident, next_due, S::KEEPS_STATES, at);
                self.output.effects.extend(effects.into_iter().map(|effect| (id, effect)));
            }
        }
        Ok(())
    }

    /// Gives quiet customers the timers of journeys that a release brought.
    async fn rearm(&mut self, at: Timestamp) -> Result<(), Error> {
        let mut after = None;
        loop {
            let ids = self.scan(after).await?;
            let Some(last) = ids.last().copied() else { break };
            self.bring_in(&ids).await?;
            for id in ids {
                let resident = self.residents.take_out(id);
                let (before, now) = self.timeline.last_two();
                let next_due = now.next_due(&resident.state);
                // What is stored is a lower bound of what was due before: only an earlier one is
                // written.
                let known = before.next_due(&resident.state);
                let sooner = next_due.is_some_and(|next| known.is_none_or(|known| next < known));
                self.residents.put_back(resident, next_due, sooner && S::KEEPS_STATES, at);
            }
            if S::KEEPS_STATES {
                self.residents.trim(self.cache_bytes);
            }
            after = Some(last);
        }
        Ok(())
    }

    /// The next customers of the partition after one, in key order, whether stored or in memory.
    async fn scan(&self, after: Option<CustomerId>) -> Result<Vec<CustomerId>, Error> {
        let mut ids = self.residents.ids();
        ids.retain(|id| after.is_none_or(|after| *id > after));
        if S::KEEPS_STATES {
            let stored = self.store.scan(self.lease, after, SCAN).await?;
            // Beyond the last stored id of a full page there may be more stored ones between.
            if let Some(last) = stored.last().filter(|_| stored.len() >= SCAN as usize) {
                ids.retain(|id| id <= last);
            }
            ids.extend(stored);
            ids.sort_unstable();
            ids.dedup();
        }
        Ok(ids)
    }
}
