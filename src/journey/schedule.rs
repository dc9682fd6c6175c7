//! Schedules: five-field cron in a zone. The only place that knows the cron crate.

use crate::model::{Timestamp, Zone};

/// A five-field cron expression in a zone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Schedule {
    source: String,
    zone: Zone,
}

impl Schedule {
    /// The first instant strictly after `after` at which it is due; `None` if there is none.
    #[must_use]
    pub fn next(&self, _after: Timestamp) -> Option<Timestamp> {
        None
    }

    /// As the author wrote it.
    #[must_use]
    pub fn source(&self) -> &str {
        &self.source
    }

    /// Its zone.
    #[must_use]
    pub const fn zone(&self) -> &Zone {
        &self.zone
    }
}
