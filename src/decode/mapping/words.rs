//! The words of a mapping that name events and consent.

use super::file::Target as TargetWord;
use super::plan::Target;
use crate::decode::ID_BYTES_MAX;
use crate::model::{ConsentStatus, EventName};

/// What a word of the event column was mapped to.
///
/// # Errors
/// What is wrong, and what was most likely meant.
pub(super) fn target(word: &TargetWord) -> Result<Target, String> {
    let name = match (&word.event, &word.custom) {
        (Some(event), None) if event == "ignore" => None,
        (Some(event), None) => match EventName::new(event) {
            EventName::Custom(_) => return Err(unknown_event(event)),
            derived if derived.is_derived() => {
                return Err(format!(
                    "{derived} is derived from other events; name what happened, such as cart.item_removed"
                ));
            }
            known => Some(known),
        },
        (None, Some(custom)) => match EventName::new(custom) {
            EventName::Custom(name) if !name.is_empty() && name.len() <= ID_BYTES_MAX => {
                Some(EventName::Custom(name))
            }
            _ => return Err(format!("`{custom}` is no name for a custom event")),
        },
        _ => return Err("write either an event or a custom name".into()),
    };
    Ok(Target { name, items: word.items })
}

/// The word for what was said about being contacted.
pub(super) fn consent_status(word: &str) -> Option<ConsentStatus> {
    match word {
        "given" => Some(ConsentStatus::Given),
        "confirmed" => Some(ConsentStatus::Confirmed),
        "withdrawn" => Some(ConsentStatus::Withdrawn),
        _ => None,
    }
}

/// Says what was most likely meant, and how to name an event of one's own.
fn unknown_event(name: &str) -> String {
    let nearest = EventName::KNOWN
        .iter()
        .filter(|(known, ..)| !known.is_derived())
        .map(|(_, known, _)| (distance(name, known), *known))
        .min();
    let meant = match nearest {
        Some((distance, known)) if distance <= 4 => format!("did you mean {known}? "),
        _ => String::new(),
    };
    format!("`{name}` is no event name; {meant}an event of your own is written {{ custom: NAME }}")
}

/// How many letters must be changed, added or removed to make one text the other.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let change = diagonal + usize::from(x != *y);
            diagonal = row[j + 1];
            row[j + 1] = change.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}
