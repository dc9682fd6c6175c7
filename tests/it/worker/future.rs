//! What a worker's log comes to if nothing but time follows: the lane of `verify`, under a clock of
//! the test's own.

use std::collections::BTreeSet;

use waypost::engine::{Effect, Options};
use waypost::lane::{Lane, Merges, NoStore};
use waypost::log::{LogReader, ReadLog, Record};
use waypost::model::DAY_MS;
use waypost::release;

use super::shop::{Shop, in_runtime, now};

/// What is decided within so many days: customer, journey, template, and after how many days.
pub(super) fn decided(shop: &Shop, days: i64) -> Vec<String> {
    in_runtime(async {
        let log = LogReader::open(&shop.path("data/log.db")).await.expect("the log opens");
        let timeline = release::timeline(&log, None, Options::default()).await.expect("releases");
        let mut lane = Lane::take(NoStore, 0, log.partitions(), timeline, Merges::InLog)
            .await
            .expect("a lane");
        for (offset, record) in log.read(0, 0, usize::MAX).await.expect("records") {
            lane.push(offset, record).await.expect("it is taken");
        }
        lane.flush().await.expect("it is applied");
        lane.take_output();
        let from = now();
        lane.advance_to(from.plus_ms(days * DAY_MS)).await.expect("time passes");
        lane.flush().await.expect("it is applied");
        let effects = lane.take_output().effects;
        let decisions = effects.into_iter().filter_map(|(_, effect)| match effect {
            Effect::Decide(decision) => {
                let after = (decision.at.since_ms(from) + DAY_MS / 2).div_euclid(DAY_MS);
                Some(format!(
                    "{} {} {} {after}",
                    decision.customer, decision.journey, decision.template
                ))
            }
            _ => None,
        });
        decisions.collect()
    })
}

/// The ids of all events in a worker's log.
pub(super) fn event_ids(shop: &Shop) -> BTreeSet<String> {
    in_runtime(async {
        let log = LogReader::open(&shop.path("data/log.db")).await.expect("the log opens");
        let mut ids = BTreeSet::new();
        for partition in 0..log.partitions() {
            for (_, record) in log.read(partition, 0, usize::MAX).await.expect("records") {
                if let Record::Event(record) = record {
                    ids.insert(record.event.id.to_string());
                }
            }
        }
        ids
    })
}
