//! Who an XDM record speaks of, and what it says of them.

use std::borrow::Cow;

use super::phone;
use super::shape::{Address, Choose, EmailAddress, Record};
use crate::decode::fields::{InList, Reading, add_identity, label};
use crate::decode::loose::{Loose, Part};
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
    let tenant = reading.fact(record.tenant.known("_yourOrganizationID"))?;
    if let Some(ids) = tenant.and_then(|tenant| tenant.system_identifier.get()) {
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

/// Whether the record holds a field of a person, as Adobe's profile record has them.
pub(super) fn tells_of(record: &Record<'_>) -> bool {
    let phones = [
        &record.mobile_phone,
        &record.home_phone,
        &record.billing_address_phone,
        &record.shipping_address_phone,
    ];
    let addresses = [&record.billing_address, &record.shipping_address, &record.home_address];
    email_address(record).known().is_some()
        || record.preferred_language.known().is_some()
        || record.time_zone.known().is_some()
        || record.person.get().is_some()
        || record.user_account.get().is_some()
        || record.loyalty.get().is_some()
        || record.consents.get().is_some()
        || phones.into_iter().any(|phone| phone.get().is_some())
        || addresses.into_iter().any(|address| address.get().is_some())
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
    shop_country: Option<&str>,
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
    let in_order = match record.commerce.get() {
        Some(commerce) => reading.fact(commerce.billing.known("commerce.billing"))?,
        None => None,
    };
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
        let country = facts.country.as_deref().or(shop_country);
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

/// What a word of a consent says; its default says nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
enum Said {
    Yes,
    No,
    DefaultNo,
    #[default]
    Nothing,
}

/// Consent as Adobe's "Consents and Preferences" data type writes it: `consents.marketing.any`
/// speaks for all channels, where it says no whatever they say themselves, where it says yes
/// unless they say no.
///
/// # Errors
/// [`Rejected`] for a word that the data type does not have.
pub(super) fn consents(
    record: &Record<'_>,
    reading: Reading,
) -> Result<Vec<ConsentFact>, Rejected> {
    let consents = reading.fact(record.consents.known("consents"))?;
    let Some(consents) = consents else { return Ok(Vec::new()) };
    let marketing = reading.fact(consents.marketing.known("consents.marketing"))?;
    let Some(marketing) = marketing else { return Ok(Vec::new()) };
    let any = reading.fact(said(&marketing.any, "consents.marketing.any"))?;
    let email = reading.fact(said(&marketing.email, "consents.marketing.email"))?;
    let sms = reading.fact(said(&marketing.sms, "consents.marketing.sms"))?;
    let mut facts = Vec::new();
    for (channel, own) in [(MessageChannel::Email, email), (MessageChannel::Sms, sms)] {
        let status = match (any, own) {
            (Said::No, _) | (_, Said::No | Said::DefaultNo) => ConsentStatus::Withdrawn,
            (Said::Yes, _) | (_, Said::Yes) => ConsentStatus::Given,
            (Said::DefaultNo, Said::Nothing) => ConsentStatus::Withdrawn,
            (Said::Nothing, Said::Nothing) => continue,
        };
        facts.push(ConsentFact { channel, topic: None, status });
    }
    Ok(facts)
}

/// What a consent says, by the values of the data type and as sources write them. That the
/// customer was not asked, is not yet sure, or need not be asked is no word of theirs.
fn said(consent: &Part<Choose<'_>>, field: &'static str) -> Result<Said, Rejected> {
    let word = consent.known(field)?.and_then(|consent| consent.val.known());
    let Some(word) = word else { return Ok(Said::Nothing) };
    match word.to_ascii_lowercase().as_str() {
        "y" | "yes" | "true" => Ok(Said::Yes),
        "n" | "no" | "false" => Ok(Said::No),
        "dn" => Ok(Said::DefaultNo),
        "dy" | "p" | "u" | "li" | "ct" | "cp" | "vi" | "pi" => Ok(Said::Nothing),
        _ => Err(Rejected::new(format!(
            "{field}.val: `{}` is none of y, n, dy, dn, p, u, LI, CT, CP, VI, PI",
            word.chars().take(40).collect::<String>()
        ))),
    }
}
