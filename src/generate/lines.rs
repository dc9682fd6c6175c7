//! Lines on their way into the file: they wait here until everything that arrived before them is
//! written.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::io::{self, Write};

use crate::model::{DAY_MS, HOUR_MS, MINUTE_MS, SECOND_MS};

use super::json::{Json, instant};
use super::rng::Rng;
use super::summary::{Summary, Tag, mark};

/// The lines that have not been written yet.
pub(super) struct Lines {
    waiting: BinaryHeap<Reverse<Waiting>>,
    put: u64,
    end: i64,
    /// An id of this household that an event of another one may take.
    lent_id: Option<(usize, String)>,
    /// What has been written.
    pub(super) summary: Summary,
}

/// A line and when it arrives; lines that arrive together stay in the order they were put.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Waiting {
    arrival: i64,
    put: u64,
    tag: Tag,
    bytes: Vec<u8>,
}

/// What can be wrong with a broken line, each as often as the others.
const FAULTS: [&str; 5] = ["cut_off", "wrong_type", "nobody", "no_time", "far_ahead"];

/// A line that is cut off keeps at least this much, which holds its id, with or without wrapper.
const CUT_BYTES_MIN: usize = 60;

/// How far ahead an absurd time is: 70 years.
const FAR_AHEAD_MS: i64 = 25_567 * DAY_MS;

/// What stands in place of a time.
const NO_TIMES: [&str; 3] = ["yesterday", "2026-13-45T99:00:00Z", ""];

impl Lines {
    /// Lines of a file that ends before `end`.
    pub(super) fn new(end: i64) -> Self {
        Self { waiting: BinaryHeap::new(), put: 0, end, lent_id: None, summary: Summary::default() }
    }

    /// Takes a line; one that arrives after the end of the file is forgotten.
    pub(super) fn put(&mut self, arrival: i64, tag: Tag, bytes: Vec<u8>) {
        if arrival < self.end {
            self.put += 1;
            self.waiting.push(Reverse(Waiting { arrival, put: self.put, tag, bytes }));
        }
    }

    /// Takes a storefront event of `time`, with what can happen to it on the way: it may come
    /// late, twice, and with a broken line in front of it.
    pub(super) fn put_from_storefront(
        &mut self,
        time: i64,
        mut tag: Tag,
        bytes: Vec<u8>,
        ecid: &str,
        rng: &mut Rng,
    ) {
        let mut arrival = time + rng.between(40, 2_500);
        let late_ms = lateness(rng);
        if late_ms > 0 && time + late_ms < self.end {
            arrival = time + late_ms;
            tag.marks |= mark::LATE;
        }
        // The broken line goes first, so that no file ends with one.
        if rng.below(400) == 0 && arrival < self.end {
            let (fault, broken) = broken(time, &bytes, ecid, rng);
            let tag = Tag { broken: Some(fault), ..Tag::default() };
            self.put(arrival, tag, broken);
        }
        if rng.chance(8) {
            let apart_max = if rng.chance(500) { 20 } else { 3_600 };
            let again = arrival + rng.between(SECOND_MS, apart_max * SECOND_MS);
            self.put(again, Tag { marks: mark::DUPLICATE, ..tag }, bytes.clone());
        }
        self.put(arrival, tag, bytes);
    }

    /// An id for an event of this household at `time`; now and then one that an event of another
    /// household has.
    pub(super) fn id(&mut self, household: usize, time: i64, rng: &mut Rng) -> (String, u16) {
        if rng.below(3_000) == 0
            && let Some((_, id)) = self.lent_id.take_if(|(lender, _)| *lender != household)
        {
            return (id, mark::ID_SHARED);
        }
        let id = new_id(rng);
        // Only an id that is sure to be in the file is lent.
        if self.lent_id.is_none() && time + MINUTE_MS < self.end {
            self.lent_id = Some((household, id.clone()));
        }
        (id, 0)
    }

    /// Writes every line that arrives before `time`.
    pub(super) fn write_before(&mut self, time: i64, out: &mut dyn Write) -> io::Result<()> {
        while let Some(next) = self.waiting.peek()
            && next.0.arrival < time
        {
            let Some(Reverse(mut line)) = self.waiting.pop() else { break };
            line.bytes.push(b'\n');
            self.summary.count(line.tag, line.bytes.len());
            out.write_all(&line.bytes)?;
        }
        Ok(())
    }
}

/// An event id of the form the Edge gives.
pub(super) fn new_id(rng: &mut Rng) -> String {
    let (high, low) = (rng.next_u64(), rng.next_u64());
    format!(
        "{:08x}-{:04x}-4{:03x}-a{:03x}-{:012x}-0",
        high >> 32,
        (high >> 16) & 0xffff,
        high & 0xfff,
        low >> 52,
        low & 0xffff_ffff_ffff
    )
}

/// How long a storefront event is under way; 0 for the usual seconds.
fn lateness(rng: &mut Rng) -> i64 {
    match rng.weighted(&[984, 10, 5, 1]) {
        0 => 0,
        1 => rng.between(61 * SECOND_MS, 15 * MINUTE_MS),
        2 => rng.between(15 * MINUTE_MS, 3 * HOUR_MS),
        _ => rng.between(3 * HOUR_MS, 30 * HOUR_MS),
    }
}

/// A line that no decoder can take, made beside the sound line `bytes`.
fn broken(time: i64, bytes: &[u8], ecid: &str, rng: &mut Rng) -> (&'static str, Vec<u8>) {
    let fault = *rng.pick(&FAULTS);
    if fault == "cut_off" {
        // Behind the id, so that no two of them are alike and pass for one line twice.
        let shortest = CUT_BYTES_MIN.min(bytes.len() - 1);
        let mut length = shortest + rng.below(bytes.len() - shortest);
        // Cut between characters: this line is broken JSON, but it is text.
        while bytes[length] & 0xc0 == 0x80 {
            length -= 1;
        }
        return (fault, bytes[..length].to_vec());
    }
    let id = new_id(rng);
    let odd_type = rng.chance(500);
    let mut json = Json::default();
    json.element(|json| {
        json.text("_id", &id);
        match fault {
            "wrong_type" if odd_type => json.flag("timestamp", true),
            "no_time" => json.text("timestamp", NO_TIMES[rng.below(NO_TIMES.len())]),
            "far_ahead" => json.text("timestamp", &instant(time + FAR_AHEAD_MS)),
            _ => json.text("timestamp", &instant(time)),
        }
        json.text("eventType", "web.webpagedetails.pageViews");
        match fault {
            "wrong_type" if !odd_type => json.text("identityMap", ecid),
            "nobody" => json.object("identityMap", |_| {}),
            _ => json.object("identityMap", |json| {
                json.array("ECID", |json| {
                    json.element(|json| {
                        json.text("id", ecid);
                        json.flag("primary", true);
                    });
                });
            }),
        }
    });
    (fault, json.into_bytes())
}
