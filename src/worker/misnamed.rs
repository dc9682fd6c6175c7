//! Events that are most likely misnamed: taken as the shop's own, and told of.

use std::collections::BTreeMap;

use crate::diagnostic::did_you_mean_within;
use crate::model::{EventName, Text};
use crate::yaml::EVENT_MISTAKES_MAX;

/// Of how many names that are not ours one request is told what was meant, and how often.
const ODD_NAMES_MAX: usize = 100;
const WARNINGS_MAX: usize = 100;

/// What the names of one request's events are like.
#[derive(Default)]
pub(super) struct Misnamed {
    /// Names that were met and are not ours, each with what was most likely meant.
    odd: BTreeMap<Text, Option<String>>,
    /// Events that may be misnamed: their places in the request, with what was most likely meant.
    pub warnings: Vec<(usize, String)>,
}

impl Misnamed {
    /// Warns of an event of the shop's own that has nearly the name of one of ours.
    pub(super) fn look_at(&mut self, name: &EventName, place: usize) {
        let EventName::Custom(name) = name else { return };
        if self.warnings.len() >= WARNINGS_MAX {
            return;
        }
        let meant = match self.odd.get(name) {
            Some(meant) => meant.clone(),
            None if self.odd.len() >= ODD_NAMES_MAX => return,
            None => {
                let ours = EventName::KNOWN.iter().filter(|(name, ..)| !name.is_derived());
                let ours = ours.map(|(_, name, _)| *name);
                let meant = did_you_mean_within(name, EVENT_MISTAKES_MAX, ours);
                self.odd.insert(name.clone(), meant.clone());
                meant
            }
        };
        if let Some(meant) = meant {
            let text = format!(
                "`{name}` is not one of Waypost's events and was taken as the shop's own; {meant}"
            );
            self.warnings.push((place, text));
        }
    }
}
