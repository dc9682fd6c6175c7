//! Fields shared by all forms: text to typed values, with the field named where it fails.

use std::borrow::Cow;
use std::fmt::{self, Display};

use super::loose::is_placeholder;
use super::{ID_BYTES_MAX, LABEL_BYTES_MAX, Rejected, URL_BYTES_MAX};
use crate::model::{
    Amount, Channel, EventName, Identity, Item, ItemsAre, OrderFacts, Text, Timestamp,
};

/// Names an element of a list, or one field of it, in an error, without cost where there is none.
#[derive(Clone, Copy)]
pub(super) struct InList {
    pub list: &'static str,
    pub at: usize,
    pub field: &'static str,
}

impl Display for InList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}[{}]", self.list, self.at)?;
        if self.field.is_empty() { Ok(()) } else { write!(f, ".{}", self.field) }
    }
}

/// How the facts of an event are read.
///
/// A purchase that is lost lets its buyer be reminded of what they bought: an event of an order
/// counts without the facts that can't be read. Any other event is rejected for one.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reading {
    forgiving: bool,
}

impl Reading {
    /// How the facts of an event of this name are read.
    pub(super) const fn of(name: &EventName) -> Self {
        Self { forgiving: name.is_order() }
    }

    /// A fact that was read; where that failed, none if the event counts without it.
    ///
    /// # Errors
    /// [`Rejected`] as given, if it does not.
    pub(super) fn fact<T: Default>(self, read: Result<T, Rejected>) -> Result<T, Rejected> {
        match read {
            Err(rejected) if self.forgiving => {
                tracing::debug!(%rejected, "an order's event counts without a fact");
                Ok(T::default())
            }
            read => read,
        }
    }
}

/// What the items of an event mean where the record does not say.
pub(super) const fn usual_items(name: &EventName) -> ItemsAre {
    match name {
        EventName::CartOpened | EventName::CartItemAdded | EventName::CartItemRemoved => {
            ItemsAre::Delta
        }
        EventName::CartViewed | EventName::CheckoutStarted | EventName::OrderPlaced => {
            ItemsAre::Whole
        }
        _ => ItemsAre::Mentioned,
    }
}

/// The order facts of an event, where they say something or the event tells of an order.
pub(super) fn order_box(name: &EventName, order: OrderFacts) -> Option<Box<OrderFacts>> {
    let wanted = name.is_order()
        || order.id.is_some()
        || order.total.is_some()
        || order.discount.is_some()
        || order.coupon.is_some();
    wanted.then(|| Box::new(order))
}

/// An id or code; `None` for a placeholder.
///
/// # Errors
/// [`Rejected`] beyond [`ID_BYTES_MAX`].
pub(super) fn id(
    value: Option<Cow<'_, str>>,
    field: impl Display,
) -> Result<Option<Text>, Rejected> {
    let Some(text) = value else { return Ok(None) };
    let text = text.trim();
    if is_placeholder(text) {
        return Ok(None);
    }
    if text.len() > ID_BYTES_MAX {
        return Err(Rejected::new(format!(
            "{field}: {} bytes long, the limit is {ID_BYTES_MAX}",
            text.len()
        )));
    }
    Ok(Some(Text::from(text)))
}

/// A descriptive text, cut to [`LABEL_BYTES_MAX`].
pub(super) fn label(value: Option<Cow<'_, str>>) -> Option<Text> {
    let text = value?;
    let mut end = text.len().min(LABEL_BYTES_MAX);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    Some(Text::from(text[..end].trim())).filter(|text| !text.is_empty())
}

/// A web address; one that is too long to be kept is not known.
pub(super) fn url(value: Option<Cow<'_, str>>) -> Option<Text> {
    value.filter(|text| !is_placeholder(text) && text.len() <= URL_BYTES_MAX).map(Text::from)
}

/// A decimal amount; `None` for a placeholder.
///
/// # Errors
/// [`Rejected`] naming the field.
pub(super) fn amount(
    value: Option<Cow<'_, str>>,
    field: impl Display,
) -> Result<Option<Amount>, Rejected> {
    let Some(text) = value else { return Ok(None) };
    if is_placeholder(&text) {
        return Ok(None);
    }
    text.parse().map(Some).map_err(|error| Rejected::new(format!("{field}: {error}")))
}

/// A count; a fraction counts as the next whole number away from zero.
///
/// # Errors
/// [`Rejected`] naming the field.
pub(super) fn count(
    value: Option<Cow<'_, str>>,
    field: impl Display,
) -> Result<Option<i64>, Rejected> {
    let Some(text) = value else { return Ok(None) };
    if let Ok(whole) = text.parse::<i64>() {
        if whole.unsigned_abs() > COUNT_MAX.unsigned_abs() {
            return Err(Rejected::new(format!("{field}: `{whole}` is beyond {COUNT_MAX}")));
        }
        return Ok(Some(whole));
    }
    let Some(amount) = amount(Some(text), &field)? else { return Ok(None) };
    let (whole, rest) = (amount.micros() / 1_000_000, amount.micros() % 1_000_000);
    let whole = whole + rest.signum();
    if whole.abs() > COUNT_MAX {
        return Err(Rejected::new(format!("{field}: `{whole}` is beyond {COUNT_MAX}")));
    }
    Ok(Some(whole))
}

/// The largest quantity accepted, so that sums of a cart stay far within an amount.
const COUNT_MAX: i64 = 1_000_000;

/// An RFC 3339 time; `None` for a placeholder.
///
/// # Errors
/// [`Rejected`] naming the field.
pub(super) fn time(
    value: Option<Cow<'_, str>>,
    field: impl Display,
) -> Result<Option<Timestamp>, Rejected> {
    let Some(text) = value else { return Ok(None) };
    if is_placeholder(&text) {
        return Ok(None);
    }
    text.parse().map(Some).map_err(|error| Rejected::new(format!("{field}: {error}")))
}

/// A channel by the words sources use; `None` if it is none of them.
pub(super) fn channel(text: &str) -> Option<Channel> {
    let is = |word: &str| text.eq_ignore_ascii_case(word);
    if is("web") || is("online") {
        Some(Channel::Web)
    } else if is("app") || is("mobile") || is("mobile-app") {
        Some(Channel::App)
    } else if is("store") || is("pos") || is("offline") {
        Some(Channel::Store)
    } else if is("phone") || is("call-center") {
        Some(Channel::Phone)
    } else if is("unknown") {
        Some(Channel::Unknown)
    } else {
        None
    }
}

/// Whether the text is a value, not a word for none.
pub(super) fn is_known(text: &str) -> bool {
    !is_placeholder(text)
}

/// Adds an identity that is one, once.
pub(super) fn add_identity(identities: &mut Vec<Identity>, identity: Option<Identity>) {
    if let Some(identity) = identity
        && !identities.contains(&identity)
    {
        identities.push(identity);
    }
}

/// How many: 1 where the source does not say. What left the cart is counted as it left, whatever
/// sign the source puts before it.
pub(super) const fn quantity(stated: Option<i64>, name: &EventName) -> i64 {
    match (stated, name) {
        (None, _) => 1,
        (Some(stated), EventName::CartItemRemoved) => stated.abs(),
        (Some(stated), _) => stated,
    }
}

/// Gives an item its unit price from the price of the whole line.
pub(super) fn price_of_one(item: &mut Item, line_total: Option<Amount>) {
    item.price = line_total.and_then(|total| total.shared_by(item.quantity.abs()));
}

/// Chosen options in the one spelling that makes equal choices equal: `attribute=value` joined by
/// `;` in the order of attributes.
///
/// # Errors
/// [`Rejected`] beyond [`ID_BYTES_MAX`], for options are part of what names a cart line.
pub(super) fn options(
    mut pairs: Vec<(Cow<'_, str>, Cow<'_, str>)>,
    field: impl Display,
) -> Result<Text, Rejected> {
    if pairs.is_empty() {
        return Ok(Text::default());
    }
    pairs.sort();
    let joined =
        pairs.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join(";");
    Ok(id(Some(joined.into()), field)?.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_fail_with_their_name() {
        let some = |text: &'static str| Some(Cow::Borrowed(text));
        assert_eq!(amount(some("NaN"), "price"), Ok(None));
        assert_eq!(
            amount(some("abc"), "price"),
            Err(Rejected::new("price: `abc` is not a decimal number"))
        );
        assert_eq!(count(some("2.0"), "quantity"), Ok(Some(2)));
        assert_eq!(count(some("0.5"), "quantity"), Ok(Some(1)));
        assert_eq!(count(some("-1.5"), "quantity"), Ok(Some(-2)));
        assert!(count(some("99999999999"), "quantity").is_err());
        assert_eq!(id(some("undefined"), "purchaseID"), Ok(None));
        assert!(id(Some("x".repeat(300).into()), "SKU").is_err());
        assert_eq!(label(Some("é".repeat(600).into())).map(|text| text.len()), Some(1_024));
        let size =
            |value| vec![("size".into(), Cow::Borrowed(value)), ("color".into(), "red".into())];
        assert_eq!(options(size("S"), "options").as_deref(), Ok("color=red;size=S"));
    }
}
