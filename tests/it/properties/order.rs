//! What must not matter: where flushes fall, how customers interleave, a second delivery.

use proptest::prelude::*;
use waypost::engine::{CustomerState, Delivery, Effect, SEEN_MS, TraceKind};
use waypost::lane::Merges;
use waypost::log::{CustomerEvent, Record};
use waypost::model::Timestamp;

use super::hold;
use super::replay::{Told, replay};
use super::world::{Kind, worlds};

#[test]
fn flush_points_change_nothing() {
    let flushes = prop::collection::vec(any::<bool>(), 1..40);
    hold("flush_points_change_nothing", 60, (worlds(Kind::ALL), flushes), |(world, flushes)| {
        let records = world.records();
        let often = replay(&world, &records, Merges::Inline, |_| true);
        let seldom =
            replay(&world, &records, Merges::Inline, |place| flushes[place % flushes.len()]);
        let once = replay(&world, &records, Merges::Inline, |_| false);
        same(&often, &seldom)?;
        same(&often, &once)
    });
}

#[test]
fn customers_commute() {
    hold("customers_commute", 60, worlds(Kind::APART), |world| {
        let records = world.records();
        let usual = replay(&world, &records, Merges::Inline, |_| true);
        for upwards in [true, false] {
            let sorted = by_customer(&records, upwards);
            same(&usual, &replay(&world, &sorted, Merges::Inline, |_| true))?;
        }
        Ok(())
    });
}

/// The records with those between two ticks sorted by customer.
fn by_customer(records: &[Record], upwards: bool) -> Vec<Record> {
    let mut sorted = records.to_vec();
    for between in sorted.split_mut(|record| matches!(record, Record::Tick(_))) {
        between.sort_by_key(|record| record.customer());
        if !upwards {
            between.sort_by_key(|record| std::cmp::Reverse(record.customer()));
        }
    }
    sorted
}

#[test]
fn redelivery_is_a_no_op() {
    let after = prop::collection::vec(0_usize..8, 1..20);
    hold("redelivery_is_a_no_op", 60, (worlds(Kind::ALL), after), |(world, after)| {
        let records = world.records();
        let again = redelivered(&records, &after);
        let [mut once, mut twice] = [&records, &again]
            .map(|records| without_duplicates(replay(&world, records, Merges::Inline, |_| true)));
        if world.delivery == Delivery::Assumed {
            // A duplicate lets go of messages that have started, as any other event would.
            once.states.clear();
            twice.states.clear();
        }
        same(&once, &twice)
    });
}

/// The records with each event a second time, some records later, within a day.
fn redelivered(records: &[Record], after: &[usize]) -> Vec<Record> {
    let mut watermark = Timestamp::MIN;
    let mut all = Vec::new();
    let mut again: Vec<Second> = Vec::new();
    for (place, record) in records.iter().enumerate() {
        // A tick may end the day within which an id is remembered.
        if let Record::Tick(tick) = record {
            let forgotten = |second: &mut Second| tick.since_ms(second.applied) >= SEEN_MS;
            all.extend(again.extract_if(.., forgotten).map(|second| second.record));
            watermark = watermark.max(*tick);
        }
        all.push(record.clone());
        let due = |second: &mut Second| second.place <= place;
        all.extend(again.extract_if(.., due).map(|second| second.record));
        let is_first = |event: &CustomerEvent| {
            !records[..place].iter().any(|earlier| match earlier {
                Record::Event(earlier) => earlier.event.id == event.event.id,
                _ => false,
            })
        };
        if let Record::Event(event) = record
            && is_first(event)
        {
            let place = place + after[place % after.len()];
            let applied = event.event.time.max(watermark);
            again.push(Second { place, applied, record: record.clone() });
        }
    }
    all
}

/// A second delivery that is to come.
struct Second {
    /// After which record.
    place: usize,
    /// When the first is applied.
    applied: Timestamp,
    record: Record,
}

/// What came of it without the marks that something came twice or late.
fn without_duplicates(mut told: Told) -> Told {
    for effects in told.effects.values_mut() {
        effects.retain(|effect| match effect {
            Effect::Trace(trace) => !matches!(trace.kind, TraceKind::Duplicate | TraceKind::Late),
            _ => true,
        });
    }
    told.effects.retain(|_, effects| !effects.is_empty());
    told
}

fn same(one: &Told, other: &Told) -> Result<(), TestCaseError> {
    for (customer, effects) in &one.effects {
        prop_assert_eq!(Some(effects), other.effects.get(customer), "customer {}", customer);
    }
    prop_assert_eq!(one.effects.len(), other.effects.len());
    let states = |told: &Told| -> Vec<CustomerState> { told.states.values().cloned().collect() };
    prop_assert_eq!(states(one), states(other));
    Ok(())
}
