//! What no customer may ever see, each held against a calculation of its own.

use std::collections::BTreeMap;

use proptest::prelude::*;
use waypost::engine::{Decision, Effect};
use waypost::journey::{Cap, Class};
use waypost::lane::Merges;
use waypost::log::{CustomerEvent, Record};
use waypost::model::{
    ConsentStatus, CustomerId, Event, EventName, MessageChannel, Timestamp, Zone,
};

use super::replay::{Fate, replay};
use super::world::{Kind, World, rules, worlds};
use super::{hold, journeys};

#[test]
fn caps_hold() {
    hold("caps_hold", 120, worlds(Kind::APART), |world| {
        let told = replay(&world, &world.records(), Merges::Inline, |_| true);
        let messages = told.messages();
        for cap in &rules(world.rules).caps {
            let mut sent: BTreeMap<CustomerId, Vec<&Fate>> = BTreeMap::new();
            for fate in messages.values().filter(|fate| counts(cap, fate, &world)) {
                sent.entry(fate.customer).or_default().push(fate);
            }
            for of in sent.values_mut() {
                of.sort_by_key(|fate| fate.decision.at);
                // One more than allowed must not fit into the time.
                for window in of.windows(cap.at_most as usize + 1) {
                    let [first, .., last] = window else { continue };
                    let apart = last.decision.at.since_ms(first.decision.at);
                    prop_assert!(apart >= cap.per.nominal_ms(), "{:?} {:?}", cap, window);
                }
            }
        }
        Ok(())
    });
}

fn counts(cap: &Cap, fate: &Fate, world: &World) -> bool {
    let plans = journeys::plans(&world.journeys);
    let topic = plans.into_iter().find(|plan| plan.name == fate.decision.journey);
    fate.is_sent()
        && fate.decision.class == Class::Marketing
        && cap.channel.is_none_or(|channel| channel == fate.decision.channel)
        && cap.topic.as_ref().is_none_or(|wanted| {
            topic.and_then(|plan| plan.topic).is_some_and(|topic| topic == *wanted)
        })
}

#[test]
fn windows_hold() {
    hold("windows_hold", 120, worlds(Kind::ALL), |world| {
        let told = replay(&world, &world.records(), Merges::Inline, |_| true);
        for effect in told.effects.values().flatten() {
            let Effect::Decide(decision) = effect else { continue };
            if decision.withheld.is_some() {
                continue;
            }
            let Some(open) = is_open(decision) else { continue };
            prop_assert!(open, "outside of its window: {:?}", decision);
            prop_assert!(decision.window_end.is_some_and(|end| end > decision.at));
        }
        Ok(())
    });
}

/// Whether the window of a decision's journey is open when it is due, if it has a window.
fn is_open(decision: &Decision) -> Option<bool> {
    let data: serde_json::Value = serde_json::from_str(&decision.data).expect("json");
    let own = data["customer"]["zone"].as_str().and_then(Zone::named);
    let zone = match decision.journey.as_str() {
        "welcome" => Zone::named("America/New_York"),
        _ => own.or_else(|| Zone::named("Europe/Amsterdam")),
    };
    let local = decision.at.zoned(&zone.expect("a zone"));
    let working_day = local.weekday().to_monday_one_offset() <= 5;
    match decision.journey.as_str() {
        "cart-night" => Some(local.hour() >= 22 || local.hour() < 6),
        "checkout" => Some(working_day && (9..20).contains(&local.hour())),
        "welcome" => Some((8..22).contains(&local.hour())),
        _ => None,
    }
}

pub(super) fn events(records: &[Record]) -> impl Iterator<Item = (CustomerId, &Event)> {
    records.iter().filter_map(|record| match record {
        Record::Event(record) => {
            let CustomerEvent { customer, event } = &**record;
            Some((*customer, event))
        }
        _ => None,
    })
}

#[test]
fn no_consent_no_marketing() {
    let kind = Kind { late: false, ..Kind::APART };
    hold("no_consent_no_marketing", 120, worlds(kind), |world| {
        let records = world.records();
        let told = replay(&world, &records, Merges::Inline, |_| true);
        for (customer, effects) in &told.effects {
            for effect in effects {
                let Effect::Decide(decision) = effect else { continue };
                if decision.withheld.is_some() || decision.class == Class::Transactional {
                    continue;
                }
                prop_assert!(
                    consents(&world, &records, *customer, decision),
                    "without consent: {:?}",
                    decision
                );
            }
        }
        Ok(())
    });
}

/// Whether the customer had said yes before a decision, or at its instant.
fn consents(world: &World, records: &[Record], who: CustomerId, decision: &Decision) -> bool {
    let plans = journeys::plans(&world.journeys);
    let plan = plans.iter().find(|plan| plan.name == decision.journey);
    let topic = plan.and_then(|plan| plan.topic.clone());
    let mut own: Vec<&Event> =
        events(records).filter(|(whose, _)| *whose == who).map(|(_, event)| event).collect();
    own.sort_by_key(|event| (event.time, event.tie));
    let mut general: Option<(Timestamp, ConsentStatus)> = None;
    let mut special: Option<(Timestamp, ConsentStatus)> = None;
    let mut ordered = false;
    let mut answer = false;
    for event in own {
        if event.time > decision.at {
            break;
        }
        ordered |= event.name == EventName::OrderPlaced;
        if event.name == EventName::CustomerUnsubscribed
            && decision.channel == MessageChannel::Email
        {
            general = Some((event.time, ConsentStatus::Withdrawn));
        }
        for fact in event.consents.iter().filter(|fact| fact.channel == decision.channel) {
            match &fact.topic {
                None => general = Some((event.time, fact.status)),
                Some(of) if Some(of) == topic.as_ref() => {
                    special = Some((event.time, fact.status));
                }
                Some(_) => {}
            }
        }
        let no = |said: Option<(_, ConsentStatus)>| {
            said.is_some_and(|(_, status)| status == ConsentStatus::Withdrawn)
        };
        let said = match (general, special) {
            (Some(all), Some(one)) if no(general) && all.0 > one.0 => Some(all),
            (all, one) => one.or(all),
        };
        let soft = world.rules == 3 && decision.channel == MessageChannel::Sms;
        let yes = !no(said) && (said.is_some() || (soft && ordered));
        // Of one instant, the decision may have come after any event.
        answer = yes || (answer && event.time == decision.at);
    }
    answer
}
