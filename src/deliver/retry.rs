//! When a message that did not go is tried again.

use std::time::Duration;

use crate::model::{MINUTE_MS, MessageId, Timestamp, derive};

/// Minutes between one try and the next: soon for a hiccup, rarely for an outage.
const WAITS: [i64; 6] = [1, 5, 15, 60, 120, 240];
/// How long a fault of the whole channel keeps its messages, in milliseconds.
pub(super) const FAULT_MS: i64 = 5 * MINUTE_MS;
/// Waits differ by up to a fifth, so that messages that failed together do not come together.
const JITTER_PERCENT: i64 = 20;

/// What a failed try says about the next ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Failure {
    /// The provider did not want this message now; the tries are counted.
    OfMessage,
    /// The provider could not be reached; that says nothing about the message, whose time alone
    /// ends the tries.
    OfChannel,
}

/// When to try again after `attempts` tries, at least after what the provider asked for; `None` if
/// that was the last.
pub(super) fn next_try(
    message: MessageId,
    attempts: u32,
    failure: Failure,
    now: Timestamp,
    asked: Option<Duration>,
) -> Option<Timestamp> {
    let place = (attempts.max(1) - 1) as usize;
    let wait = match failure {
        Failure::OfMessage => WAITS.get(place)?,
        Failure::OfChannel => &WAITS[place.min(WAITS.len() - 1)],
    } * MINUTE_MS;
    // A hash instead of chance: the same message waits the same in every run of a test.
    let hash = derive("retry", &[&message.to_bytes(), &attempts.to_le_bytes()]);
    let spread = i64::try_from(hash % 1_000).unwrap_or(0) - 500;
    let wait = wait + wait * JITTER_PERCENT * spread / 50_000;
    let asked = asked.map_or(0, |asked| i64::try_from(asked.as_millis()).unwrap_or(i64::MAX));
    Some(now.plus_ms(wait.max(asked)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_and_end() {
        let now: Timestamp = "2026-03-02T10:00:00Z".parse().expect("a time");
        let wait = |attempts, asked| {
            next_try(MessageId(7), attempts, Failure::OfMessage, now, asked)
                .map(|at| at.ms() - now.ms())
        };
        for (attempt, minutes) in (1..).zip(WAITS) {
            let ms = wait(attempt, None).expect("another try");
            let (least, most) = (minutes * MINUTE_MS * 8 / 10, minutes * MINUTE_MS * 12 / 10);
            assert!((least..=most).contains(&ms), "try {attempt}: {ms} ms");
            assert_eq!(wait(attempt, None), Some(ms), "the same each time");
        }
        assert_eq!(wait(7, None), None);
        let unreached = next_try(MessageId(7), 700, Failure::OfChannel, now, None);
        assert!(unreached.is_some(), "an outage ends no message");
        assert_eq!(wait(1, Some(Duration::from_secs(600))), Some(600_000), "as the provider asks");
    }
}
