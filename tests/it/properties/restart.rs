//! What a worker that is lost at any moment, another one, and `verify` make of one log.

use proptest::prelude::*;
use waypost::engine::{Delivery, TraceKind};
use waypost::log::Record;
use waypost::model::MessageId;
use waypost::store::MessageStatus;

use super::hold;
use super::live::{Act, Kept, Worker};
use super::replay::Told;
use super::world::{Kind, World, worlds};

fn acts() -> impl Strategy<Value = Vec<Act>> {
    let act = prop::sample::select(vec![
        Act::Nothing,
        Act::Nothing,
        Act::Read,
        Act::Flush,
        Act::Commit,
        Act::Trim,
        Act::Relay,
        Act::RelayTwice,
        Act::LostBefore,
        Act::LostAfter,
        Act::Settle,
    ]);
    prop::collection::vec(act, 1..60)
}

/// A worker to whom all this happens while the records of a world come.
fn worked<'a>(world: &'a World, acts: &[Act], partitions: u32) -> Worker<'a> {
    let mut worker = Worker::new(world, partitions);
    for (record, act) in world.records().iter().zip(acts.iter().cycle()) {
        // Nobody tells of a message that was not there to be sent.
        if outcome_of(record).is_none_or(|message| worker.has(message)) {
            worker.append(record);
        }
        worker.act(*act);
    }
    worker.act(Act::Settle);
    worker
}

fn outcome_of(record: &Record) -> Option<MessageId> {
    match record {
        Record::Event(record) => Some(record.event.outcome.as_ref()?.message),
        _ => None,
    }
}

#[test]
fn restart_changes_nothing() {
    let given = (worlds(Kind::ALL), acts(), prop::sample::select(vec![1_u32, 4]), 1_usize..20);
    hold("restart_changes_nothing", 60, given, |(world, acts, partitions, batch)| {
        let lost = worked(&world, &acts, partitions);
        let steady = Worker::over(&world, &lost, batch);
        prop_assert_eq!(&lost.logs, &steady.logs, "the outbox");
        same(&lost.kept(), &steady.kept())?;
        prop_assert_eq!(lost.overslept(), vec![], "a stored due time is a lower bound");
        Ok(())
    });
}

#[test]
fn verify_agrees() {
    let given = (worlds(Kind::ALL), acts(), prop::sample::select(vec![1_u32, 4]));
    hold("verify_agrees", 60, given, |(world, acts, partitions)| {
        let worker = worked(&world, &acts, partitions);
        agree(&worker.kept(), &worker.replayed())
    });
}

#[test]
fn partitions_change_nothing() {
    let kind = Kind { rations: false, ..Kind::ALL };
    hold("partitions_change_nothing", 60, worlds(kind), |world| {
        let one = worked(&world, &[Act::Settle], 1);
        let four = worked(&world, &[Act::Settle], 4);
        same(&one.kept(), &four.kept())
    });
}

/// Found by the above: a pass let go of the states of those whom it was about to start.
#[test]
fn schedules_start_those_who_left_memory() {
    let world = World {
        journeys: vec![super::journeys::RATIONED],
        rules: 0,
        delivery: Delivery::Live,
        known: vec![true],
        steps: Vec::new(),
    };
    let worker = worked(&world, &[Act::Trim], 1);
    let kept = worker.kept();
    assert_eq!(kept.messages.len(), 6, "two messages on three Mondays: {kept:#?}");
    agree(&kept, &worker.replayed()).expect("as replayed");
}

/// Partition i of P starts floor((i+1)n/P) - floor(i n/P) of an `at_most` of n, here 2 of 4.
#[test]
fn an_at_most_is_shared_out_among_partitions() {
    let world = World {
        journeys: vec![super::journeys::RATIONED],
        rules: 0,
        delivery: Delivery::Live,
        known: vec![true; 40],
        steps: Vec::new(),
    };
    let kept = worked(&world, &[Act::Nothing], 4).kept();
    let mut started = [0; 4];
    for (customer, trace) in &kept.trace {
        let runs = trace.iter().filter(|trace| trace.kind == TraceKind::Started).count();
        started[customer.partition(4) as usize] += runs;
    }
    assert_eq!(started, [0, 3, 0, 3], "on three Mondays");
}

fn same(one: &Kept, other: &Kept) -> Result<(), TestCaseError> {
    for (customer, trace) in &one.trace {
        prop_assert_eq!(Some(trace), other.trace.get(customer), "customer {}", customer);
    }
    for (message, kept) in &one.messages {
        prop_assert_eq!(Some(kept), other.messages.get(message));
    }
    for (customer, state) in &one.states {
        prop_assert_eq!(Some(state), other.states.get(customer));
    }
    let counts = |kept: &Kept| (kept.trace.len(), kept.messages.len(), kept.states.len());
    prop_assert_eq!(counts(one), counts(other));
    Ok(())
}

/// Whether a store and a replay of its log say the same.
fn agree(kept: &Kept, told: &Told) -> Result<(), TestCaseError> {
    let replayed = told.messages();
    prop_assert_eq!(kept.messages.len(), replayed.len());
    for (id, live) in &kept.messages {
        let Some(fate) = replayed.get(id) else {
            return Err(TestCaseError::fail(format!("not replayed: {live:?}")));
        };
        if live.erased {
            continue;
        }
        let status = match (fate.decision.withheld, fate.cancelled) {
            (Some(_), _) => MessageStatus::Withheld,
            (None, Some(_)) => MessageStatus::Cancelled,
            (None, None) => MessageStatus::Decided,
        };
        let reason = fate.decision.withheld.or(fate.cancelled);
        prop_assert_eq!((live.status, live.reason), (status, reason), "{:?}", live);
        prop_assert_eq!((&live.decision, live.revision), (&fate.decision, fate.revision));
        prop_assert_eq!(live.customer, fate.customer);
    }
    prop_assert_eq!(&kept.states, &told.states);
    Ok(())
}
