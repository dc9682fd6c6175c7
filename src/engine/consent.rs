//! Whether a customer may be contacted.

use crate::journey::ConsentMode;
use crate::model::{ConsentStatus, MessageChannel, Text};

use super::Engine;
use super::context::Context;
use super::state::{Consent, CustomerState};

impl Engine {
    /// Whether a marketing message without a topic could reach the customer by this channel: an
    /// address is known, it is not suppressed, and consent is there.
    #[must_use]
    pub fn may_be_contacted(&self, state: &CustomerState, channel: MessageChannel) -> bool {
        let context = Context {
            state,
            rules: &self.catalog.rules,
            cart: None,
            event: None,
            run: None,
            now: state.last_seen,
        };
        let address = state.address(channel);
        address.is_some_and(|address| !state.is_suppressed(channel, address))
            && self.has_consent(&context, channel, None)
    }

    /// Whether a marketing message of this topic may go to the customer by this channel.
    ///
    /// What was said of the topic itself comes before what was said of all topics, unless the
    /// latter is a withdrawal that came later.
    pub(super) fn has_consent(
        &self,
        context: &Context<'_>,
        channel: MessageChannel,
        topic: Option<&Text>,
    ) -> bool {
        let said = |wanted: Option<&Text>| {
            context
                .state
                .consents
                .iter()
                .find(|consent| consent.channel == channel && consent.topic.as_ref() == wanted)
        };
        let general = said(None);
        let specific = topic.and_then(|topic| said(Some(topic)));
        let deciding: Option<&Consent> = match (specific, general) {
            (Some(specific), Some(general))
                if general.status == ConsentStatus::Withdrawn && general.at > specific.at =>
            {
                Some(general)
            }
            (Some(specific), _) => Some(specific),
            (None, general) => general,
        };
        let status = deciding.map(|consent| consent.status);
        if status == Some(ConsentStatus::Withdrawn) {
            return false;
        }
        if self.options.assume_reachable {
            return true;
        }
        let country = context.country().map(Text::as_str);
        match self.catalog.rules.consent(channel, country) {
            ConsentMode::Explicit => status.is_some(),
            ConsentMode::Soft => status.is_some() || context.state.orders.count > 0,
            ConsentMode::Double => status == Some(ConsentStatus::Confirmed),
        }
    }
}
