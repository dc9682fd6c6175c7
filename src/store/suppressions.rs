//! Which of an address's suppressions stands against which message, the same in every store.

use serde_json::Value;

use crate::engine::Decision;
use crate::journey::Class;
use crate::model::{EventName, MessageChannel};

use super::SuppressionReason;

/// The row of a topic to which its owner said yes, perhaps after a no to everything.
pub(super) const RESUBSCRIBED: &str = "resubscribed";

/// Why a message may not go to an address of which these rows are kept: topic, reason and time,
/// in the order of reason and topic.
pub(super) fn against(
    decision: &Decision,
    rows: &[(String, String, i64)],
) -> Option<SuppressionReason> {
    let topic = decision.topic.as_deref();
    // What was said of the topic itself, after no was said to everything.
    let back =
        rows.iter().find(|(of, reason, _)| reason == RESUBSCRIBED && Some(of.as_str()) == topic);
    let back = back.map(|(_, _, at)| *at);
    rows.iter().find_map(|(of, reason, at)| {
        let reason = *SuppressionReason::ALL.iter().find(|known| known.as_str() == reason)?;
        let applies = match reason {
            SuppressionReason::Bounced | SuppressionReason::Complained => true,
            SuppressionReason::Unsubscribed if decision.class == Class::Transactional => false,
            SuppressionReason::Unsubscribed if of.is_empty() => back.is_none_or(|back| back < *at),
            SuppressionReason::Unsubscribed => Some(of.as_str()) == topic,
        };
        applies.then_some(reason)
    })
}

/// Where a message was to go by what was decided, for one whose sending the store has forgotten: it
/// was restored to an older point.
pub(super) fn address_in(data: &str, channel: MessageChannel) -> Option<String> {
    address_of(&serde_json::from_str(data).ok()?, channel).map(str::to_owned)
}

/// Where a message goes by the data that was decided.
pub(crate) fn address_of(data: &Value, channel: MessageChannel) -> Option<&str> {
    let field = match channel {
        MessageChannel::Email => "/customer/email",
        MessageChannel::Sms => "/customer/phone",
    };
    data.pointer(field).and_then(Value::as_str)
}

/// Why the address that a message went to is suppressed after this outcome, if it is.
pub(super) fn reported(outcome: &EventName) -> Option<(MessageChannel, SuppressionReason)> {
    match outcome {
        EventName::EmailBounced => Some((MessageChannel::Email, SuppressionReason::Bounced)),
        EventName::EmailComplained => Some((MessageChannel::Email, SuppressionReason::Complained)),
        EventName::SmsBounced => Some((MessageChannel::Sms, SuppressionReason::Bounced)),
        _ => None,
    }
}
