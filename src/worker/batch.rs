//! What the embedded worker gathers of a request or of standard input.

use crate::log::DeadLetter;
use crate::model::{Event, Timestamp};

use super::ingest::{Intake, Placed, Taken};
use super::inlet::{Accepted, Gather, Inlet, Refused, Source, Unread};

/// What records decoded to.
pub struct Batch {
    taken: Taken,
    source: u16,
    position: String,
    records: u64,
    events: Vec<Placed>,
    dead: Vec<DeadLetter>,
}

impl Batch {
    /// Begins one for records that come now by a door.
    pub(super) fn begin(intake: &Intake, source: &Source, door: &str) -> Self {
        let taken = intake.take_in();
        let position = taken.position(door);
        let (events, dead) = (Vec::new(), Vec::new());
        Self { taken, source: source.number, position, records: 0, events, dead }
    }

    /// Hands it in; returns once it is in the log for good.
    ///
    /// # Errors
    /// [`Refused`] if nothing was kept.
    pub(super) async fn submit(
        self,
        intake: &Intake,
        source: &Source,
    ) -> Result<Accepted, Refused> {
        let (records, dead) = (self.records, self.dead.len());
        let accepted = intake.submit(self.taken, self.events, self.dead).await?;
        let dead = (dead + accepted.rejected.len()) as u64;
        intake.metrics().taken_in(&source.name, records, dead);
        Ok(accepted)
    }
}

impl Gather for Batch {
    fn at(&self) -> Timestamp {
        self.taken.at
    }

    fn position(&self) -> &str {
        &self.position
    }

    fn good(&mut self, index: usize, line: u64, _: &[u8], events: Vec<Event>) {
        self.records += 1;
        self.events.extend(events.into_iter().map(|event| Placed { index, line, event }));
    }

    fn bad(&mut self, line: u64, cut: Unread, reason: &str) {
        self.records += 1;
        self.dead.push(DeadLetter {
            source: self.source,
            partition: 0,
            position: line,
            reason: reason.to_owned(),
            payload: Some(cut.bytes),
            whole: cut.whole,
            at: self.taken.at,
        });
    }
}

impl Inlet for Intake {
    type Gathered = Batch;

    fn begin(&self, source: &Source) -> Batch {
        Batch::begin(self, source, &source.name)
    }

    async fn take(&self, source: &Source, batch: Batch) -> Result<Accepted, Refused> {
        batch.submit(self, source).await
    }
}
