//! What delivery tells the log, as rows of the outbox.

use crate::log::{self, CustomerEvent, Record};
use crate::model::{
    ConsentFact, ConsentStatus, CustomerId, Event, EventName, MessageChannel, MessageId,
    OWN_SOURCE, OutcomeFact, Text, Timestamp, derive,
};

use super::{DeliveryStatus, End, Error, OutboxRow, StoredMessage, Suppression};

/// The message that something is told of: as much of it as telling needs.
#[derive(Clone, Copy, Debug)]
pub(super) struct Subject {
    pub message: MessageId,
    pub customer: CustomerId,
    pub channel: MessageChannel,
}

impl From<&StoredMessage> for Subject {
    fn from(message: &StoredMessage) -> Self {
        let (customer, decision) = (message.customer, &message.decision);
        Self { message: decision.message, customer, channel: decision.channel }
    }
}

/// The longest words of a provider that are kept, in bytes.
const DETAIL_BYTES_MAX: usize = 500;

/// Said of a message whose end only the log knew.
pub(super) const TOLD_BY_THE_LOG: &str = "so says the log; the store was restored since";

/// As much of a provider's words as is kept.
pub(super) fn short(detail: &str) -> &str {
    &detail[..detail.floor_char_boundary(DETAIL_BYTES_MAX)]
}

/// How a message ended, of which this revision was sent or tried.
pub(super) fn ended(
    subject: Subject,
    end: &End,
    revision: Option<u32>,
    now: Timestamp,
) -> OutboxRow {
    let of = subject.message;
    let name = end.outcome.event(subject.channel);
    let id = derive("outcome", &[&of.to_bytes(), name.as_str().as_bytes()]);
    let mut event = Event::new(format!("{of}:{}", name.as_str()), name, now);
    event.outcome = Some(Box::new(OutcomeFact {
        message: of,
        revision: revision.filter(|_| end.status == DeliveryStatus::Sent),
        reason: end.detail.as_deref().map(|detail| Text::from(short(detail))),
        link: None,
    }));
    own(subject.customer, event, id)
}

/// That the owner of an address said no.
pub(super) fn unsubscribed(suppression: &Suppression, customer: CustomerId) -> OutboxRow {
    let id = derive(
        "unsubscribed",
        &[
            suppression.channel.as_str().as_bytes(),
            &suppression.address,
            suppression.topic.as_deref().unwrap_or_default().as_bytes(),
            &suppression.at.ms().to_le_bytes(),
        ],
    );
    let mut event = Event::new(
        format!("unsubscribed:{id:032x}"),
        EventName::CustomerUnsubscribed,
        suppression.at,
    );
    event.consents.push(ConsentFact {
        channel: suppression.channel,
        topic: suppression.topic.clone(),
        status: ConsentStatus::Withdrawn,
    });
    own(customer, event, id)
}

/// The bytes under which a row's record is kept.
pub(super) fn encoded(row: &OutboxRow) -> Result<Vec<u8>, Error> {
    log::encode(std::slice::from_ref(&row.record))
        .map_err(|error| Error::Unusable(error.to_string()))
}

/// An event of ours.
fn own(customer: CustomerId, mut event: Event, id: u128) -> OutboxRow {
    event.tie.source = OWN_SOURCE;
    // Any number that is the same each time: two of one instant must not be equal.
    event.tie.offset = u64::from_be_bytes(id.to_be_bytes()[8..].try_into().unwrap_or_default());
    OutboxRow { id, record: Record::Event(Box::new(CustomerEvent { customer, event })) }
}
