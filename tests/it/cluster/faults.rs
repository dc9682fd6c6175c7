//! Kafka says no, or nothing, in the middle of ingest's transactions: the batch is read again, and
//! each event is in the log once.

use std::collections::BTreeMap;

use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::message::Message as _;
use rdkafka::{Offset, TopicPartitionList};
use waypost::log::{Record, decode};

use super::site::Site;
use crate::support::faulty::{
    ADD_OFFSETS, ADD_PARTITIONS, END_TXN, Fault, INIT_PRODUCER, PRODUCE, TXN_OFFSETS,
};
use crate::support::{Listener, full, postgres, secure};
use crate::worker::CART;
use crate::worker::events::{cart_add, consent};
use crate::worker::shop::wait;

/// Codes of Kafka's protocol.
const UNKNOWN: i16 = -1;
const COORDINATOR_NOT_AVAILABLE: i16 = 15;
const INVALID_PRODUCER_EPOCH: i16 = 47;
const INVALID_TXN_STATE: i16 = 48;
const CONCURRENT_TRANSACTIONS: i16 = 51;
const PRODUCER_FENCED: i16 = 90;

/// What goes wrong with one batch.
const FAULTS: &[&[(i16, Fault)]] = &[
    &[(END_TXN, Fault::Code(COORDINATOR_NOT_AVAILABLE))],
    &[(END_TXN, Fault::Code(CONCURRENT_TRANSACTIONS))],
    &[(END_TXN, Fault::Code(INVALID_PRODUCER_EPOCH))],
    &[(END_TXN, Fault::Code(INVALID_TXN_STATE))],
    &[(END_TXN, Fault::Code(PRODUCER_FENCED))],
    &[(END_TXN, Fault::Code(UNKNOWN))],
    // Committed, and nobody heard of it; the second time a new producer comes first.
    &[(END_TXN, Fault::Unanswered)],
    &[(END_TXN, Fault::Unanswered), (END_TXN, Fault::Code(PRODUCER_FENCED))],
    &[(END_TXN, Fault::Unheard)],
    &[(END_TXN, Fault::Code(PRODUCER_FENCED)), (INIT_PRODUCER, Fault::Unanswered)],
    &[(ADD_OFFSETS, Fault::Code(CONCURRENT_TRANSACTIONS))],
    &[(ADD_OFFSETS, Fault::Code(INVALID_PRODUCER_EPOCH))],
    &[(TXN_OFFSETS, Fault::Unanswered)],
    &[(ADD_PARTITIONS, Fault::Unanswered)],
    &[(PRODUCE, Fault::Unheard)],
    &[(PRODUCE, Fault::Unanswered)],
];

#[test]
fn what_kafka_does_in_the_middle_of_a_batch_loses_nothing_and_doubles_nothing() {
    const NAME: &str = "what_kafka_does_in_the_middle_of_a_batch_loses_nothing_and_doubles_nothing";
    if !full(NAME, "a broker of its own") {
        return;
    }
    let secure = secure();
    let site = Site::on(secure.kafka(), postgres(), 4, &[CART], "");
    let text = site.read("waypost.yaml");
    let through = secure.brokers(Listener::Faulty);
    site.write("waypost.yaml", &text.replace(&secure.brokers(Listener::Plain), &through));
    // Another worker does the rest: what goes wrong meets ingest.
    let ingest = site.worker_of(&["--role", "ingest"]);
    let others = site.worker_of(&["--role", "decide,deliver"]);
    let mut expected = BTreeMap::new();
    for (number, faults) in FAULTS.iter().enumerate() {
        let email = format!("ann-{number}@shop.example");
        let ann = [("email", email.as_str())];
        let ids = [format!("y{number}"), format!("a{number}")];
        let events = [consent(&ids[0], &ann), cart_add(&ids[1], &ann, &format!("c{number}"))];
        expected.extend(ids.map(|id| (format!("/shop#{id}"), 1)));
        for (key, fault) in *faults {
            secure.faulty().next(*key, *fault);
        }
        site.sends(&site.web, &events.map(|event| ("a", event)));
        wait(&format!("{faults:?} to happen"), || secure.faulty().is_over());
        let started = "SELECT count(*) FROM trace WHERE kind = 'started'";
        let wanted = i64::try_from(number).expect("few") + 1;
        site.wait_for(&format!("the run after {faults:?}"), started, |runs| runs == wanted);
    }
    ingest.stops();
    others.stops();
    site.verified();
    let mut found = logged(&site);
    // Outcomes come from the workers.
    found.retain(|id, times| id.starts_with("/shop#") || *times > 1);
    assert_eq!(found, expected);
}

/// How often each event is in the log.
fn logged(site: &Site) -> BTreeMap<String, usize> {
    let mut config = secure().kafka().client();
    config.set("group.id", "tests").set("isolation.level", "read_committed");
    config.set("enable.partition.eof", "true");
    let consumer: BaseConsumer = config.create().expect("a consumer");
    let mut assignment = TopicPartitionList::new();
    for partition in 0..4 {
        let added =
            assignment.add_partition_offset(&site.log_topic(), partition, Offset::Beginning);
        added.expect("a partition");
    }
    consumer.assign(&assignment).expect("an assignment");
    let (mut found, mut ends) = (BTreeMap::new(), 0);
    while ends < 4 {
        match consumer.poll(std::time::Duration::from_secs(60)).expect("a record or an end") {
            Ok(message) => {
                let records = decode(message.payload().expect("a value")).expect("records");
                for record in records {
                    if let Record::Event(event) = record {
                        *found.entry(event.event.id.to_string()).or_default() += 1;
                    }
                }
            }
            Err(_) => ends += 1,
        }
    }
    found
}
