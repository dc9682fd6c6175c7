//! Folds what events say of the person: identities, profile, consent, suppression, browsing.

use crate::model::{
    Channel, ConsentFact, ConsentStatus, Event, EventName, MessageChannel, Namespace, Text,
    Timestamp,
};

use super::Effect;
use super::effect::ConsentSaid;
use super::orders::OrderNews;
use super::outcome::is_outcome;
use super::state::{Consent, CustomerState, VIEWED_MAX, short_hash};
use super::weight::{ITEMS_BYTES_MAX, of_items};

/// The most attributes kept of one customer.
pub(super) const ATTRIBUTES_MAX: usize = 64;
/// The most bytes of attributes kept of one customer.
const ATTRIBUTES_BYTES_MAX: usize = 8 * 1024;
/// The most kinds of event, beyond those Waypost knows, of which the last time is kept.
const LAST_MAX: usize = 64;
/// The most consents kept of one customer.
const CONSENTS_MAX: usize = 64;

/// Applies everything but carts and orders.
pub(super) fn fold(state: &mut CustomerState, event: &Event, news: Option<OrderNews>) {
    // A profile without a time tells how things stood, not when.
    if event.time > Timestamp::MIN {
        state.first_seen = state.first_seen.min(event.time);
    }
    state.last_seen = state.last_seen.max(event.time);
    if is_shopper_activity(event) {
        state.last_active = state.last_active.max(Some(event.time));
    }
    if !matches!(news, Some(OrderNews::Known(_))) {
        saw(state, &event.name, event.time);
    }
    if event.shop.is_some() {
        state.shop.clone_from(&event.shop);
    }
    identities(state, event);
    match event.name {
        EventName::CustomerSignedIn => state.signed_in = true,
        EventName::CustomerSignedOut => state.signed_in = false,
        _ => {}
    }
    facts(state, event);
    consents(state, event);
    browse(state, event);
}

/// Remembers when this kind of event last came.
pub(super) fn saw(state: &mut CustomerState, name: &EventName, at: Timestamp) {
    match state.last.iter_mut().find(|(known, _)| known == name) {
        Some((_, last)) => *last = (*last).max(at),
        None => {
            if !matches!(name, EventName::Custom(_)) || state.last.len() < LAST_MAX {
                state.last.push((name.clone(), at));
            }
        }
    }
}

/// Whether the shopper did it in the web shop or an app, as `and_quiet` means it.
pub(super) fn is_shopper_activity(event: &Event) -> bool {
    match event.channel {
        Channel::Web | Channel::App => true,
        Channel::Store | Channel::Phone => false,
        Channel::Unknown => {
            event.name.is_cart()
                || event.name.is_browse()
                || matches!(
                    event.name,
                    EventName::PageViewed
                        | EventName::CustomerSignedIn
                        | EventName::CustomerSignedOut
                        | EventName::WishlistItemAdded
                        | EventName::WishlistItemRemoved
                )
        }
    }
}

fn identities(state: &mut CustomerState, event: &Event) {
    // What a provider reports of a message tells nothing new of the customer.
    if event.identities.is_empty() || is_outcome(&event.name) {
        return;
    }
    // An older name that comes late does not replace a newer one.
    let newest = state.named_at.is_none_or(|at| at <= event.time);
    state.named_at = state.named_at.max(Some(event.time));
    // Until a person is known, the id is a device's: one of the person's own stands before it.
    let mut is_device = !state.known;
    for identity in &event.identities {
        let kept = match identity.namespace {
            Namespace::CustomerId => Some(&mut state.source_id),
            Namespace::Other(_) if is_device || state.source_id.is_none() => {
                Some(&mut state.source_id)
            }
            Namespace::Email => Some(&mut state.email),
            Namespace::Phone => Some(&mut state.phone),
            Namespace::Device if state.source_id.is_none() => Some(&mut state.source_id),
            Namespace::Other(_) | Namespace::Device => None,
        };
        let newer = |kept: &Option<Text>| newest || kept.is_none();
        if let Some(kept) =
            kept.filter(|kept| newer(kept) && kept.as_ref() != Some(&identity.value))
        {
            *kept = Some(identity.value.clone());
        }
        is_device &= !matches!(identity.namespace, Namespace::CustomerId | Namespace::Other(_));
        state.known |= identity.is_person();
    }
}

fn facts(state: &mut CustomerState, event: &Event) {
    let Some(facts) = &event.profile else { return };
    // An older telling that comes late only fills what nobody told since.
    let newest = state.facts_at.is_none_or(|at| at <= event.time);
    state.facts_at = state.facts_at.max(Some(event.time));
    let set = |kept: &mut Option<Text>, told: &Option<Text>| {
        if told.is_some() && (newest || kept.is_none()) {
            kept.clone_from(told);
        }
    };
    let profile = &mut state.profile;
    set(&mut profile.first_name, &facts.first_name);
    set(&mut profile.last_name, &facts.last_name);
    set(&mut profile.locale, &facts.locale);
    set(&mut profile.zone, &facts.zone);
    set(&mut profile.country, &facts.country);
    set(&mut profile.birth_date, &facts.birth_date);
    for (name, value) in &facts.attributes {
        match profile.attributes.iter_mut().find(|(known, _)| known == name) {
            Some((_, kept)) if newest => kept.clone_from(value),
            Some(_) => {}
            None => {
                let told: usize = profile.attributes.iter().map(|(n, v)| n.len() + v.len()).sum();
                let fits = told + name.len() + value.len() <= ATTRIBUTES_BYTES_MAX;
                if fits && profile.attributes.len() < ATTRIBUTES_MAX {
                    profile.attributes.push((name.clone(), value.clone()));
                }
            }
        }
    }
}

/// What an event says of being contacted. An unsubscribe that names nothing is from all mails.
fn said(event: &Event) -> Vec<ConsentFact> {
    if event.name == EventName::CustomerUnsubscribed && event.consents.is_empty() {
        return vec![ConsentFact {
            channel: MessageChannel::Email,
            topic: None,
            status: ConsentStatus::Withdrawn,
        }];
    }
    event.consents.clone()
}

/// Tells delivery how the consents that an event speaks of stand after it.
pub(super) fn tell_consents(state: &CustomerState, event: &Event, effects: &mut Vec<Effect>) {
    for ConsentFact { channel, topic, .. } in said(event) {
        let kept = state.consents.iter().find(|c| c.channel == channel && c.topic == topic);
        let (Some(kept), Some(address)) = (kept, state.address(channel)) else { continue };
        effects.push(Effect::Consent(Box::new(ConsentSaid {
            channel,
            address: address.clone(),
            topic,
            given: kept.status != ConsentStatus::Withdrawn,
            at: kept.at,
        })));
    }
}

fn consents(state: &mut CustomerState, event: &Event) {
    for fact in &said(event) {
        set_consent(state, fact, event);
    }
    let suppressed = match event.name {
        EventName::EmailBounced | EventName::EmailComplained => Some(MessageChannel::Email),
        EventName::SmsBounced => Some(MessageChannel::Sms),
        _ => None,
    };
    if let Some(channel) = suppressed
        && let Some(address) = written_to(state, event, channel)
        && !state.suppressed.contains(&(channel, address))
    {
        state.suppressed.push((channel, address));
    }
}

/// The address that an outcome speaks of, as a short hash: that of its message, else the one it
/// names. The one that is known now may be another.
fn written_to(state: &CustomerState, event: &Event, channel: MessageChannel) -> Option<u32> {
    let message = event.outcome.as_ref().map(|outcome| outcome.message);
    let mark = state.sent.iter().find(|mark| Some(mark.message) == message);
    mark.and_then(|mark| mark.address).or_else(|| {
        let namespace = match channel {
            MessageChannel::Email => Namespace::Email,
            MessageChannel::Sms => Namespace::Phone,
        };
        let named = event.identities.iter().find(|identity| identity.namespace == namespace);
        named.map(|identity| short_hash(&identity.value))
    })
}

/// Keeps what was said last about a channel and topic.
fn set_consent(state: &mut CustomerState, fact: &ConsentFact, event: &Event) {
    let said = Consent {
        channel: fact.channel,
        topic: fact.topic.clone(),
        status: fact.status,
        at: event.time,
    };
    keep_consent(&mut state.consents, said);
}

/// Keeps what was said last of a channel and topic. At an equal time a no counts; a yes does not
/// undo the confirmation of an earlier yes; and a no always finds room.
pub(super) fn keep_consent(consents: &mut Vec<Consent>, said: Consent) {
    use ConsentStatus::{Confirmed, Given, Withdrawn};
    let of = |kept: &Consent| kept.channel == said.channel && kept.topic == said.topic;
    if let Some(kept) = consents.iter_mut().find(|kept| of(kept)) {
        let newer = said.at > kept.at || (said.at == kept.at && kept.status != Withdrawn);
        if newer && !(kept.status == Confirmed && said.status == Given) {
            *kept = said;
        }
        return;
    }
    if consents.len() >= CONSENTS_MAX && said.status == Withdrawn {
        // A yes that is forgotten sends nothing; a no that is forgotten would.
        let yes = consents.iter().position(|kept| kept.status != Withdrawn);
        consents.remove(yes.unwrap_or(0));
    }
    if consents.len() < CONSENTS_MAX {
        consents.push(said);
    }
}

fn browse(state: &mut CustomerState, event: &Event) {
    if !event.name.is_browse() {
        return;
    }
    let browse = &mut state.browse;
    browse.last_at = browse.last_at.max(Some(event.time));
    if event.name == EventName::ProductViewed {
        for item in event.items.iter().take(VIEWED_MAX) {
            let known = browse.items.iter().rposition(|seen| seen.sku == item.sku);
            if let Some(place) = known {
                browse.items.remove(place);
            } else if browse.items.len() >= VIEWED_MAX {
                browse.items.remove(0);
            }
            browse.items.push(item.clone());
            while browse.items.len() > 1 && of_items(&browse.items) > ITEMS_BYTES_MAX {
                browse.items.remove(0);
            }
            if let Some(category) = item.category() {
                browse.category = Some(category.clone());
            }
        }
    }
    if let Some(page) = &event.page {
        if page.category.is_some() {
            browse.category.clone_from(&page.category);
        }
        if page.query.is_some() {
            browse.query.clone_from(&page.query);
        }
    }
}
