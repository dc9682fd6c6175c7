//! What Twilio's error codes mean, as a table.

use crate::provider::Class;

use Class::{ChannelFault, Content, OptedOut, Transient};

const BAD_NUMBER: Class = Class::Permanent { address_is_bad: true };
const REFUSED: Class = Class::Permanent { address_is_bad: false };

/// <https://www.twilio.com/docs/api/errors>. Those from 30001 on come with status callbacks.
const CODES: &[(u32, Class)] = &[
    (20003, ChannelFault), // account or token
    (20404, ChannelFault), // no such account, or a wrong base URL
    (20429, Transient),    // too many requests
    (21211, BAD_NUMBER),   // no valid number
    (21212, ChannelFault), // no valid sender
    (21408, ChannelFault), // the account may not send to this country
    (21602, Content),      // no text
    (21606, ChannelFault), // the sender can't send SMS
    (21608, REFUSED),      // a trial account, and a number it has not verified
    (21610, OptedOut),     // the recipient said STOP
    (21612, REFUSED),      // not reachable from this sender
    (21614, BAD_NUMBER),   // no mobile number
    (21617, Content),      // longer than 1,600 characters
    (30001, Transient),    // the provider's queue is full
    (30002, ChannelFault), // account suspended
    (30003, Transient),    // phone off, or out of reach
    (30004, REFUSED),      // blocked
    (30005, BAD_NUMBER),   // unknown or no longer in use
    (30006, BAD_NUMBER),   // landline
    (30007, Content),      // taken for spam
    (30008, Transient),    // unknown
    (30032, ChannelFault), // toll-free sender not verified
    (30034, ChannelFault), // sender not registered (10DLC)
];

/// What an error code of Twilio means; `None` for one that the table does not have.
#[must_use]
pub fn twilio_class(code: u32) -> Option<Class> {
    CODES.iter().find(|(known, _)| *known == code).map(|(_, class)| *class)
}

/// What an HTTP status other than 201 means where there is no known code. `None`: nobody knows
/// whether the message was taken.
pub(super) fn status_class(status: u16) -> Option<Class> {
    match status {
        408 | 429 | 503 => Some(Transient),
        // A redirect comes from a wrong base URL; it is not followed, with a password in hand.
        300..=399 | 401 | 403 | 404 | 405 => Some(ChannelFault),
        400..=499 => Some(REFUSED),
        // The server, or a proxy in between, failed somewhere on the way, or is not Twilio's.
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_sorted_and_each_there_once() {
        assert!(CODES.is_sorted_by(|a, b| a.0 < b.0));
        assert_eq!(twilio_class(21610), Some(OptedOut));
        assert_eq!(twilio_class(1), None);
    }
}
