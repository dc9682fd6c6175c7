//! What time it is for the servers. Kafka can't be asked, but says when it took a record.

use std::collections::BTreeMap;
use std::time::Duration;

use super::{Cluster, Error, Partition, View};
use crate::model::Timestamp;

/// How long a record is waited for: workers write a tick every second.
const NEXT: Duration = Duration::from_secs(3);

impl Cluster {
    /// How far the clock of the server that leads a partition is ahead of `now`, in milliseconds,
    /// by the next record that somebody writes there; 0 where it may be equal. `None` if nobody
    /// writes for 3 seconds. The timestamps of the topic must be of the server.
    ///
    /// # Errors
    /// [`Error::Call`].
    pub async fn clock_ahead_ms(
        &self,
        partition: &Partition,
        now: impl Fn() -> Timestamp,
    ) -> Result<Option<i64>, Error> {
        let next = async {
            let mut before = now();
            let ends = self.all_ends(std::slice::from_ref(partition)).await?;
            let Some(end) = ends.get(partition) else { return Ok(None) };
            let place = BTreeMap::from([(partition.clone(), *end)]);
            loop {
                let asked = now();
                let found = self.appended(&place, View::All).await?;
                if let Some(record) = found.get(partition).copied().flatten() {
                    return Ok(Some(apart(record.at, before, now())));
                }
                before = asked;
            }
        };
        tokio::time::timeout(NEXT, next).await.unwrap_or(Ok(None))
    }
}

/// How far a time lies outside two others, in milliseconds.
fn apart(at: Timestamp, from: Timestamp, to: Timestamp) -> i64 {
    (at.ms() - to.ms()).max(0) + (at.ms() - from.ms()).min(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_lies_outside_counts() {
        let ms = Timestamp::from_ms;
        for (at, expected) in [(900, -100), (1_000, 0), (1_500, 0), (2_000, 0), (2_300, 300)] {
            assert_eq!(apart(ms(at), ms(1_000), ms(2_000)), expected, "{at}");
        }
    }
}
