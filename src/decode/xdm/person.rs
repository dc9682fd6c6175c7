//! Who an XDM record speaks of, and what it says of them.

use std::borrow::Cow;

use super::phone;
use super::shape::{Address, EmailAddress, Record};
use crate::decode::fields::{InList, Reading, add_identity, label};
use crate::decode::loose::Loose;
use crate::decode::{IDENTITIES_MAX, Rejected};
use crate::model::{ConsentFact, ConsentStatus, Identity, MessageChannel, ProfileFacts, Text};

/// The identities of a record: its identity map and the ids beside it.
///
/// # Errors
/// [`Rejected`] for an identity map of another shape, or more than [`IDENTITIES_MAX`].
pub(super) fn identities(record: &Record<'_>, reading: Reading) -> Result<Vec<Identity>, Rejected> {
    let mut found = Vec::new();
    for (namespace, ids) in record.identity_map.known("identityMap")? {
        for (at, id) in ids.known("identityMap")?.unwrap_or_default().iter().enumerate() {
            let id = id.known(InList { list: "identityMap", at, field: "" })?;
            if let Some(value) = id.and_then(|id| id.id.known()) {
                add_identity(&mut found, in_namespace(namespace, &value));
            }
        }
        if found.len() > IDENTITIES_MAX {
            return Err(Rejected::new(format!(
                "identityMap: more than {IDENTITIES_MAX} identities in one record"
            )));
        }
    }
    let mut add = |value: Loose<'_>, make: &dyn Fn(&str) -> Option<Identity>| {
        if let Some(value) = value.known() {
            add_identity(&mut found, make(&value));
        }
    };
    add(record.person_id, &Identity::device);
    add(email_address(record), &Identity::email);
    if let Some(person) = reading.fact(record.person.known("person"))? {
        add(person.account_id, &Identity::customer_id);
        add(person.personal_email_id, &Identity::email);
    }
    // Adobe's training data links its web events to these rows under these two namespaces.
    if let Some(ids) = record.tenant.get().and_then(|tenant| tenant.system_identifier.get()) {
        add(ids.crm_id, &|id| Identity::other("lumaCrmId", id));
        add(ids.loyalty_id, &|id| Identity::other("lumaLoyaltyId", id));
    }
    Ok(found)
}

/// The person's own email address, as `personalEmail.address` or written in its place.
fn email_address<'a>(record: &Record<'a>) -> Loose<'a> {
    let object = record.personal_email.object::<EmailAddress<'a>>();
    object.map_or(record.personal_email, |email| email.address)
}

/// An identity of a namespace as sources spell it, in any case.
fn in_namespace(namespace: &str, value: &str) -> Option<Identity> {
    let is = |word: &str| namespace.eq_ignore_ascii_case(word);
    if is("ECID") {
        Identity::device(value)
    } else if is("email") {
        Identity::email(value)
    } else if is("customerId") {
        Identity::customer_id(value)
    } else if is("phone") {
        phone::e164(value, None).and_then(|number| Identity::phone(&number))
    } else {
        Identity::other(namespace, value)
    }
}

/// What the record says of the person, with the phone as an identity where it can be dialled.
///
/// # Errors
/// [`Rejected`] naming a field that is no object.
pub(super) fn profile(
    record: &Record<'_>,
    default_country: Option<&str>,
    identities: &mut Vec<Identity>,
    reading: Reading,
) -> Result<Option<Box<ProfileFacts>>, Rejected> {
    let mut facts = ProfileFacts::default();
    if let Some(person) = reading.fact(record.person.known("person"))? {
        if let Some(name) = reading.fact(person.name.known("person.name"))? {
            facts.first_name = label(name.first_name.known());
            facts.last_name = label(name.last_name.known());
        }
        facts.birth_date = label(person.birth_date.known());
        attribute(&mut facts, "gender", person.gender);
        attribute(&mut facts, "accountType", person.account_type);
    }
    facts.locale = label(record.preferred_language.known());
    facts.zone = label(record.time_zone.known());
    let in_order = record.commerce.get().and_then(|commerce| commerce.billing.get());
    let addresses = [
        reading.fact(record.billing_address.known("billingAddress"))?.map(Box::as_ref),
        reading.fact(record.shipping_address.known("shippingAddress"))?.map(Box::as_ref),
        reading.fact(record.home_address.known("homeAddress"))?.map(Box::as_ref),
        in_order.and_then(|billing| billing.address.get()),
    ];
    facts.country = addresses.iter().flatten().find_map(|address| country(address));
    if let Some(address) = addresses.iter().flatten().next() {
        attribute(&mut facts, "city", address.city);
        attribute(&mut facts, "state", address.state);
        attribute(&mut facts, "postalCode", address.postal_code);
    }
    if let Some(loyalty) = reading.fact(record.loyalty.known("loyalty"))? {
        attribute(&mut facts, "loyalty.points", loyalty.points);
        attribute(&mut facts, "loyalty.tier", loyalty.tier);
        attribute(&mut facts, "loyalty.joinDate", loyalty.join_date);
    }
    if let Some(account) = reading.fact(record.user_account.known("userAccount"))? {
        attribute(&mut facts, "userAccount.startDate", account.start_date);
    }
    attribute(&mut facts, "testProfile", record.test_profile);
    if let Some(text) = phone_text(record, reading)? {
        let country = facts.country.as_deref().or(default_country);
        match phone::e164(&text, country).and_then(|number| Identity::phone(&number)) {
            Some(identity) => add_identity(identities, Some(identity)),
            None => {
                facts.attributes.extend(label(Some(text)).map(|text| ("phone_text".into(), text)))
            }
        }
    }
    Ok((facts != ProfileFacts::default()).then(|| Box::new(facts)))
}

/// The phone most likely the person's own: a parcel may go to somebody else.
fn phone_text<'a>(record: &Record<'a>, reading: Reading) -> Result<Option<Cow<'a, str>>, Rejected> {
    for (phone, field) in [
        (&record.mobile_phone, "mobilePhone"),
        (&record.billing_address_phone, "billingAddressPhone"),
        (&record.home_phone, "homePhone"),
        (&record.shipping_address_phone, "shippingAddressPhone"),
    ] {
        let phone = reading.fact(phone.known(field))?;
        if let Some(number) = phone.and_then(|phone| phone.number.known()) {
            return Ok(Some(number));
        }
    }
    Ok(None)
}

fn country(address: &Address<'_>) -> Option<Text> {
    [address.country_code, address.country].into_iter().find_map(|spelling| {
        let code = spelling.known()?;
        let two_letters = code.len() == 2 && code.bytes().all(|byte| byte.is_ascii_alphabetic());
        two_letters.then(|| Text::from(code.to_ascii_uppercase()))
    })
}

fn attribute(facts: &mut ProfileFacts, name: &str, value: Loose<'_>) {
    if let Some(value) = label(value.known()) {
        facts.attributes.push((name.into(), value));
    }
}

/// Consent as the XDM consent type writes it: `consents.marketing.email.val` is `y` or `n`.
pub(super) fn consents(record: &Record<'_>) -> Vec<ConsentFact> {
    let Some(marketing) = record.consents.get().and_then(|consents| consents.marketing.get())
    else {
        return Vec::new();
    };
    let said = [(MessageChannel::Email, &marketing.email), (MessageChannel::Sms, &marketing.sms)];
    said.into_iter()
        .filter_map(|(channel, choice)| {
            let status = match choice.get()?.val.text()?.as_ref() {
                "y" => ConsentStatus::Given,
                "n" => ConsentStatus::Withdrawn,
                _ => return None,
            };
            Some(ConsentFact { channel, topic: None, status })
        })
        .collect()
}
