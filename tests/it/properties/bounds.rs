//! Ids, sizes, encodings and ends.

use proptest::prelude::*;
use waypost::engine::{CustomerState, STATE_BYTES_MAX};
use waypost::lane::Merges;
use waypost::log::{decode, encode};
use waypost::model::Timestamp;

use super::hold;
use super::replay::{Replay, replay};
use super::world::{Kind, worlds};

#[test]
fn message_ids_are_unique() {
    hold("message_ids_are_unique", 60, worlds(Kind::ALL), |world| {
        let told = replay(&world, &world.records(), Merges::Inline, |_| true);
        // A second decision of one id, and a change to what was never decided, panic in here.
        let messages = told.messages();
        for (id, fate) in &messages {
            prop_assert_eq!(*id, fate.decision.message);
        }
        Ok(())
    });
}

#[test]
fn encode_decode_is_identity() {
    hold("encode_decode_is_identity", 60, worlds(Kind::ALL), |world| {
        let records = world.records();
        prop_assert_eq!(&decode(&encode(&records).expect("bytes")).expect("records"), &records);
        let mut replay = Replay::start(&world, Merges::Inline);
        for record in records {
            replay.push(record);
            replay.flush();
            for state in replay.lane.states() {
                let bytes = state.encode().expect("bytes");
                prop_assert_eq!(&CustomerState::decode(&bytes).expect("a state"), state);
                prop_assert!(bytes.len() < STATE_BYTES_MAX);
            }
        }
        Ok(())
    });
}

#[test]
fn engine_terminates() {
    hold("engine_terminates", 60, worlds(Kind::ALL), |world| {
        let records = world.records();
        let told = replay(&world, &records, Merges::Inline, |_| true);
        let timeline = world.timeline();
        for mut state in told.states.into_values() {
            let mut effects = Vec::new();
            let mut fired = 0;
            let mut last = Timestamp::MIN;
            while let Some(due) = timeline.last().next_due(&state) {
                prop_assert!(due >= last, "time goes back from {} to {}", last, due);
                last = due;
                prop_assert!(timeline.last().fire(&mut state, due, &mut effects));
                fired += 1;
                prop_assert!(fired < 2_000, "no end after {} timers: {:?}", fired, state);
            }
        }
        Ok(())
    });
}
