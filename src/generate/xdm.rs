//! The shapes of Adobe Commerce's records, as they come from the Edge, field by field.
//!
//! Names and oddities follow what Commerce's storefront collector sends and what the Data
//! Connection documents for the back office.

use super::catalog::{Product, SHOP_URL};
use super::countries::Country;
use super::json::{Json, instant};
use super::people::{Household, Line, Person};

/// What every event says beside its own facts.
pub(super) struct Envelope<'a> {
    /// `_id`.
    pub(super) id: &'a str,
    /// `timestamp`.
    pub(super) time: i64,
    /// `eventType`.
    pub(super) kind: &'static str,
    /// Device id, on what happens in a browser or app.
    pub(super) ecid: Option<&'a str>,
    /// The shop's customer id, on account and profile records of the back office.
    pub(super) account: Option<u32>,
    /// Email address, where this event carries it.
    pub(super) email: Option<&'a str>,
    /// Where it happened.
    pub(super) channel: Channel,
    /// Keep the wrapper in which the Edge takes it.
    pub(super) wrapped: bool,
}

/// Where an event happened.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Channel {
    Web,
    App,
    Phone,
}

/// Writes one event: the envelope, then what `facts` adds.
pub(super) fn event(json: &mut Json, envelope: &Envelope<'_>, facts: impl FnOnce(&mut Json)) {
    let body = |json: &mut Json| {
        json.text("_id", envelope.id);
        json.text("timestamp", &instant(envelope.time));
        json.text("eventType", envelope.kind);
        identity_map(json, envelope);
        if let Some(ecid) = envelope.ecid {
            json.text("personID", ecid);
        }
        channel(json, envelope.channel);
        facts(json);
        if let Some(email) = envelope.email {
            json.object("personalEmail", |json| json.text("address", email));
        }
    };
    if envelope.wrapped {
        json.element(|json| json.object("xdm", body));
    } else {
        json.element(body);
    }
}

/// Device first, unless the account is known: that is how the collector and the back office do it.
fn identity_map(json: &mut Json, envelope: &Envelope<'_>) {
    let entry = |json: &mut Json, namespace: &str, id: &str, primary: bool| {
        json.array(namespace, |json| {
            json.element(|json| {
                json.text("id", id);
                json.flag("primary", primary);
            });
        });
    };
    json.object("identityMap", |json| {
        if let Some(account) = envelope.account {
            entry(json, "CustomerId", &account.to_string(), true);
        }
        if let Some(ecid) = envelope.ecid {
            entry(json, "ECID", ecid, envelope.account.is_none());
        }
        if let Some(email) = envelope.email {
            // The collector and the mobile SDK spell the namespace differently.
            let namespace = if envelope.channel == Channel::App { "Email" } else { "email" };
            let primary = envelope.account.is_none() && envelope.ecid.is_none();
            entry(json, namespace, email, primary);
        }
    });
}

fn channel(json: &mut Json, channel: Channel) {
    let (id, kind) = match channel {
        Channel::Web => ("web", "web"),
        Channel::App => ("mobile-app", "mobile"),
        Channel::Phone => ("phone", "phone"),
    };
    json.object("channel", |json| {
        json.text("_id", &format!("https://ns.adobe.com/xdm/channels/{id}"));
        json.text("_type", &format!("https://ns.adobe.com/xdm/channel-types/{kind}"));
    });
}

/// A `commerce` object: where in the shop, the measure that is counted, and what `facts` adds.
pub(super) fn commerce(
    json: &mut Json,
    country: &Country,
    measure: &str,
    facts: impl FnOnce(&mut Json),
) {
    json.object("commerce", |json| {
        scope(json, country);
        if !measure.is_empty() {
            json.object(measure, |json| json.number("value", 1));
        }
        facts(json);
    });
}

fn scope(json: &mut Json, country: &Country) {
    json.object("commerceScope", |json| {
        json.text("environmentID", "3e1f2a60-5545-4d23-a654-1b4ac0b42bd3");
        json.text("storeCode", "main_website_store");
        json.text("storeViewCode", country.store_view);
        json.text("websiteCode", "base");
    });
}

/// `productListItems` of cart and order events.
pub(super) fn items(json: &mut Json, products: &[Product], lines: &[Line], country: &Country) {
    json.array("productListItems", |json| {
        for line in lines {
            let product = &products[line.product];
            json.element(|json| {
                json.text("SKU", &product.sku);
                json.text("name", &product.name);
                json.number("quantity", line.quantity);
                json.cents("priceTotal", product.price_cents * line.quantity);
                // A few products have no picture, which the collector writes as null.
                if line.product % 61 == 60 {
                    json.null("productImageUrl");
                } else {
                    json.text("productImageUrl", &product.image);
                }
                json.text("currencyCode", country.currency);
                json.number("discountAmount", 0);
                json.array("selectedOptions", |json| options(json, product, line.option));
            });
        }
    });
}

fn options(json: &mut Json, product: &Product, chosen: usize) {
    if let Some((attribute, values)) = product.category.option {
        json.element(|json| {
            json.text("attribute", attribute);
            json.text("value", values[chosen % values.len()]);
        });
    }
}

/// `productListItems` of a product view, which carries the category but no quantity.
pub(super) fn viewed_item(json: &mut Json, product: &Product, country: &Country) {
    json.array("productListItems", |json| {
        json.element(|json| {
            json.text("SKU", &product.sku);
            json.text("name", &product.name);
            json.cents("priceTotal", product.price_cents);
            json.text("productImageUrl", &product.image);
            json.text("currencyCode", country.currency);
            json.array("productCategories", |json| {
                json.element(|json| {
                    json.text("categoryID", product.category.id);
                    json.text("categoryName", product.category.name);
                    json.text("categoryPath", product.category.path);
                });
            });
        });
    });
}

/// The `web` object of a page view.
pub(super) fn page(json: &mut Json, name: &str, path: &str, section: &str, referrer: Option<&str>) {
    json.object("web", |json| {
        json.object("webPageDetails", |json| {
            json.object("pageViews", |json| json.number("value", 1));
            json.text("name", name);
            json.text("URL", &format!("{SHOP_URL}/{path}"));
            json.text("siteSection", section);
        });
        json.object("webReferrer", |json| match referrer {
            Some(url) => json.text("URL", url),
            None => json.null("URL"),
        });
    });
}

/// What a profile record says of the person; it has no event type.
pub(super) fn profile(json: &mut Json, id: &str, time: i64, home: &Household, person: &Person) {
    let envelope = Envelope {
        id,
        time,
        kind: "",
        ecid: None,
        account: match person.account {
            super::people::Account::Is(id) => Some(id),
            _ => None,
        },
        email: Some(&person.email),
        channel: Channel::Web,
        wrapped: false,
    };
    let (city, state, postal_code) = home.country.cities[home.place];
    let address = |json: &mut Json| {
        json.text("street1", &home.street);
        json.text("city", city);
        json.text("state", state);
        json.text("postalCode", postal_code);
        json.text("country", home.country.code);
        json.flag("primary", false);
    };
    let phone = |json: &mut Json| {
        json.text("number", &person.phone);
        json.flag("primary", false);
    };
    json.element(|json| {
        json.text("_id", id);
        json.text("timestamp", &instant(time));
        identity_map(json, &envelope);
        channel(json, Channel::Web);
        json.object("person", |json| {
            json.object("name", |json| {
                json.text("firstName", person.first_name);
                json.text("lastName", person.last_name);
            });
            json.text("birthDate", &person.birth_date);
        });
        json.object("personalEmail", |json| json.text("address", &person.email));
        json.object("billingAddress", address);
        json.object("billingAddressPhone", phone);
        json.object("shippingAddress", address);
        json.object("shippingAddressPhone", phone);
        // Commerce's own record has neither; a shop that wants its mail to come in the right
        // language at the right hour adds these two, which XDM's profile preferences define.
        json.text("preferredLanguage", person.locale);
        json.text("timeZone", home.zone());
    });
}

/// A CloudEvent about the person behind an address: XDM has no event for consent.
pub(super) fn cloud_event(
    json: &mut Json,
    id: &str,
    time: i64,
    kind: &str,
    email: &str,
    consents: &[(&str, &str)],
) {
    json.element(|json| {
        json.text("specversion", "1.0");
        json.text("id", id);
        json.text("source", "/preferences");
        json.text("type", kind);
        json.text("time", &instant(time));
        json.object("data", |json| {
            json.object("customer", |json| json.text("email", email));
            if !consents.is_empty() {
                json.array("consents", |json| {
                    for (channel, status) in consents {
                        json.element(|json| {
                            json.text("channel", channel);
                            json.text("status", status);
                        });
                    }
                });
            }
        });
    });
}
