//! From a decision to what is handed over: rendered, addressed, put together.

use std::sync::Arc;

use serde_json::Value;

use crate::config::Audience;
use crate::engine::Decision;
use crate::journey::{Class, Rules, Shop};
use crate::mail::{Address, AddressError, BuildError, Dkim, Mailbox, Message, Unsubscribe};
use crate::model::{CustomerId, MessageChannel, Text, Timestamp, Zone};
use crate::sms::{Number, NumberError, plain as plain_letters, segments, tidy};
use crate::store::{Pinned, address_hash, address_of};
use crate::template::{Email, Frame, RenderError, Sms, Templates};

use super::Link;

/// Where links that unsubscribe lead, below a shop's `public_url`.
pub const UNSUBSCRIBE_PATH: &str = "/u/";
/// The sender of caught mails of a shop that has none.
const NO_SENDER: &str = "shop@waypost.invalid";
/// What identifies this sender to Gmail's Feedback-ID; 5 to 15 characters.
const FEEDBACK_SENDER: &str = "waypost";

/// Puts messages together.
#[derive(Clone, Debug)]
pub struct Composer {
    /// What is rendered.
    pub templates: Templates,
    /// The shops.
    pub rules: Arc<Rules>,
    /// Keys that sign mails.
    pub keys: Arc<[Dkim]>,
    /// Makes the links that unsubscribe.
    pub secret: [u8; 32],
    /// Where those links lead for a shop without `public_url`.
    pub pages: String,
    /// Put before each subject and SMS, such as `[TEST] `; empty for real ones.
    pub mark: &'static str,
}

/// A message as its template says it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rendered {
    /// A mail.
    Email(Email),
    /// An SMS.
    Sms(Sms),
}

/// Why a message can't be put together. Nothing is sent.
#[derive(Debug, thiserror::Error)]
pub enum ComposeError {
    /// The decision's data holds no address for the channel.
    #[error("no address is known for the channel")]
    NoAddress,
    /// The address can't be written to.
    #[error("the address can't be used: {0}")]
    Address(#[from] AddressError),
    /// The phone number can't be written to.
    #[error("the phone number can't be used: {0}")]
    Number(#[from] NumberError),
    /// The data is not what it was decided as.
    #[error("the data of the message is damaged: {0}")]
    Data(#[from] serde_json::Error),
    /// The template gives nothing.
    #[error(transparent)]
    Render(#[from] RenderError),
    /// A mail can't be built of it.
    #[error(transparent)]
    Build(#[from] BuildError),
}

impl Composer {
    /// Puts a message together with its newest content: what a first attempt hands over. `at`
    /// becomes the Date.
    ///
    /// # Errors
    /// [`ComposeError`]: nothing can be sent.
    pub fn compose(
        &self,
        decision: &Decision,
        customer: CustomerId,
        revision: u32,
        at: Timestamp,
    ) -> Result<Pinned, ComposeError> {
        let data: Value = serde_json::from_str(&decision.data)?;
        let address = address_of(&data, decision.channel).ok_or(ComposeError::NoAddress)?;
        match self.rendered(decision, &data, customer, address)? {
            (Rendered::Email(email), url) => {
                let shop = self.shop(&data);
                let pinned = self.mail(decision, &data, shop, address, email, &url, at)?;
                Ok(Pinned { revision, ..pinned })
            }
            (Rendered::Sms(sms), _) => Ok(Pinned {
                revision,
                address: Text::new(Number::parse(address)?.as_str()),
                sender: None,
                subject: None,
                body: cheapest(&format!("{}{}", self.mark, sms.text)).into_bytes(),
            }),
        }
    }

    /// A message as its template says it, for showing it: it may have no address.
    ///
    /// # Errors
    /// [`ComposeError`]: there is nothing to show.
    pub fn show(&self, decision: &Decision) -> Result<Rendered, ComposeError> {
        let data: Value = serde_json::from_str(&decision.data)?;
        let address = address_of(&data, decision.channel).unwrap_or_default();
        Ok(self.rendered(decision, &data, CustomerId(0), address)?.0)
    }

    /// The rendered template, and the link in it that unsubscribes.
    fn rendered(
        &self,
        decision: &Decision,
        data: &Value,
        customer: CustomerId,
        address: &str,
    ) -> Result<(Rendered, String), RenderError> {
        let link = Link {
            channel: decision.channel,
            customer,
            address: address_hash(&self.secret, decision.channel, address),
            topic: decision.topic.clone(),
        };
        let shop = self.shop(data);
        let base = shop.public_url.as_deref().unwrap_or(&self.pages);
        let url =
            format!("{}{UNSUBSCRIBE_PATH}{}", base.trim_end_matches('/'), link.seal(&self.secret));
        let frame = frame(data, shop, Some(&url));
        let rendered = match decision.channel {
            MessageChannel::Email => {
                Rendered::Email(self.templates.email(&decision.template, data, &frame)?)
            }
            MessageChannel::Sms => {
                Rendered::Sms(self.templates.sms(&decision.template, data, &frame)?)
            }
        };
        Ok((rendered, url))
    }

    /// A rendered mail, addressed and put together.
    fn mail(
        &self,
        decision: &Decision,
        data: &Value,
        shop: &Shop,
        address: &str,
        email: Email,
        url: &str,
        at: Timestamp,
    ) -> Result<Pinned, ComposeError> {
        let sender = email.from.as_deref().or(shop.sender.as_deref()).unwrap_or(NO_SENDER);
        let from = mailbox(sender, shop.name.as_deref())?;
        let reply_to = email.reply_to.as_deref().map(|reply_to| mailbox(reply_to, None));
        let to = Address::parse(address)?;
        let marketing = decision.class == Class::Marketing;
        // A mail program posts to it over the internet; a link for trying things out is in the text.
        let unsubscribe =
            url.starts_with("https://").then(|| Unsubscribe { url: url.to_owned(), mailto: None });
        let list = plain(decision.topic.as_deref().unwrap_or(&decision.journey));
        let sender = Text::new(from.address.as_str());
        let subject = format!("{}{}", self.mark, email.subject);
        let mail = Message {
            id: decision.message,
            date: at,
            list_id: marketing.then(|| format!("{list}.{}", from.address.domain())),
            from,
            reply_to: reply_to.transpose()?,
            to: Mailbox { name: name_of(data), address: to.clone() },
            subject: subject.clone(),
            text: email.text,
            html: email.html,
            unsubscribe: unsubscribe.filter(|_| marketing),
            feedback_id: Some(format!(
                "{}:{}:{FEEDBACK_SENDER}",
                plain(&decision.journey),
                plain(&decision.step)
            )),
        };
        Ok(Pinned {
            revision: 1,
            address: Text::new(to.as_str()),
            sender: Some(sender),
            subject: Some(Text::from(subject)),
            body: mail.build(&self.keys)?,
        })
    }

    /// The shop a message comes from: that of the event that started the run.
    fn shop(&self, data: &Value) -> &Shop {
        let code = data.pointer("/event/shop").and_then(Value::as_str).map(Text::new);
        self.rules.shop(code.as_ref())
    }
}

/// What a template sees beside the data.
fn frame<'a>(data: &'a Value, shop: &'a Shop, unsubscribe_url: Option<&'a str>) -> Frame<'a> {
    let customer =
        |field: &str| data.pointer(&format!("/customer/{field}")).and_then(Value::as_str);
    let zone = customer("zone").and_then(Zone::named).or_else(|| shop.zone.clone());
    Frame {
        shop,
        locale: customer("locale").or(shop.locale.as_deref()),
        zone: zone.unwrap_or_else(Zone::utc),
        unsubscribe_url,
    }
}

/// First and last name, as far as they are known.
fn name_of(data: &Value) -> Option<String> {
    let part = |field: &str| data.pointer(field).and_then(Value::as_str);
    let parts: Vec<&str> =
        [part("/customer/first_name"), part("/customer/last_name")].into_iter().flatten().collect();
    (!parts.is_empty()).then(|| parts.join(" "))
}

/// `Shop <shop@shop.example>`, or an address that gets the shop's name.
fn mailbox(written: &str, name: Option<&str>) -> Result<Mailbox, AddressError> {
    let (name, address) = match written.strip_suffix('>').and_then(|w| w.rsplit_once('<')) {
        Some((name, address)) => (Some(name.trim().trim_matches('"')), address),
        None => (name, written),
    };
    Ok(Mailbox { name: name.map(str::to_owned), address: Address::parse(address)? })
}

/// The text in plainer letters where that makes it cost fewer segments.
fn cheapest(text: &str) -> String {
    let text = tidy(text);
    let plain = plain_letters(&text);
    if segments(&plain).count < segments(&text).count { plain } else { text }
}

/// As an id in a header: letters, digits and dashes.
fn plain(name: &str) -> String {
    name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect()
}

/// Where a message goes, given who may be written to; `None`: to nobody.
#[must_use]
pub fn allowed(audience: &Audience, channel: MessageChannel, address: &Text) -> Option<Text> {
    match audience {
        Audience::Everybody => Some(address.clone()),
        Audience::Only { only_to, redirect_email, redirect_sms } => {
            let lower = address.to_lowercase();
            let domain = lower.rfind('@').map(|at| &lower[at..]);
            let fits = |entry: &Text| **entry == *lower || domain == Some(entry.as_str());
            if only_to.iter().any(fits) {
                return Some(address.clone());
            }
            match channel {
                MessageChannel::Email => redirect_email.clone(),
                MessageChannel::Sms => redirect_sms.clone(),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outside_production_only_those_named_are_written_to() {
        let audience = |redirect: Option<&str>| Audience::Only {
            only_to: vec!["ann@shop.example".into(), "@qa.example".into(), "+31612345678".into()],
            redirect_email: redirect.map(Text::from),
            redirect_sms: None,
        };
        let check = |audience: &Audience, address: &str, goes: Option<&str>| {
            let channel = match address.contains('@') {
                true => MessageChannel::Email,
                false => MessageChannel::Sms,
            };
            assert_eq!(allowed(audience, channel, &address.into()).as_deref(), goes, "{address}");
        };
        let only = audience(None);
        check(&only, "Ann@Shop.example", Some("Ann@Shop.example"));
        check(&only, "x@qa.example", Some("x@qa.example"));
        check(&only, "x@notqa.example", None);
        check(&only, "ann@shop.example.evil.example", None);
        check(&only, "+31612345678", Some("+31612345678"));
        check(&only, "+31612345679", None);
        let redirecting = audience(Some("us@shop.example"));
        check(&redirecting, "bob@mail.example", Some("us@shop.example"));
        check(&redirecting, "+31612345679", None);
        check(&Audience::Everybody, "bob@mail.example", Some("bob@mail.example"));
    }
}
