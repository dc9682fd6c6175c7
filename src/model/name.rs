//! What can happen: the event names, dotted, lower case, past tense.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::Text;

macro_rules! event_names {
    ($($variant:ident = $code:literal, $name:literal, $doc:literal;)*) => {
        /// What happened. The number of each is stored, so it never changes and is never reused.
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum EventName {
            $(#[doc = $doc] $variant,)*
            /// An event of the shop's own, under the name its source gave.
            Custom(Text),
        }

        impl EventName {
            /// Every event name that Waypost knows, with what it means.
            pub const KNOWN: &'static [(Self, &'static str, &'static str)] =
                &[$((Self::$variant, $name, $doc),)*];

            /// The dotted name.
            #[must_use]
            pub fn as_str(&self) -> &str {
                match self {
                    $(Self::$variant => $name,)*
                    Self::Custom(name) => name,
                }
            }

            /// The stored number; 0 stands for a custom event.
            #[must_use]
            pub const fn code(&self) -> u8 {
                match self {
                    $(Self::$variant => $code,)*
                    Self::Custom(_) => 0,
                }
            }

            /// The name of this stored number; `None` for 0 and for numbers of a later build.
            #[must_use]
            pub const fn from_code(code: u8) -> Option<Self> {
                match code {
                    $($code => Some(Self::$variant),)*
                    _ => None,
                }
            }

            /// The event of this name: one that is known, else a custom one.
            #[must_use]
            pub fn new(name: &str) -> Self {
                match name {
                    $($name => Self::$variant,)*
                    other => Self::Custom(Text::from(other)),
                }
            }
        }
    };
}

event_names! {
    PageViewed = 1, "page.viewed", "A page was viewed.";
    ProductViewed = 2, "product.viewed", "A product page was viewed.";
    CategoryViewed = 3, "category.viewed", "A category page was viewed.";
    SearchRequested = 4, "search.requested", "A search was sent.";
    SearchAnswered = 5, "search.answered", "A search was answered.";
    CartOpened = 6, "cart.opened", "The first item came into an empty cart.";
    CartItemAdded = 7, "cart.item_added", "An item, or more of it, came into the cart.";
    CartItemRemoved = 8, "cart.item_removed", "An item, or some of it, left the cart.";
    CartViewed = 9, "cart.viewed", "The cart page was viewed; carries the whole cart.";
    CartChanged = 10, "cart.changed", "Derived: any add, removal, view or checkout that changed the cart.";
    CartEmptied = 11, "cart.emptied", "Derived: the cart has no items any more, without an order.";
    CheckoutStarted = 12, "checkout.started", "The checkout was opened; carries the whole cart.";
    OrderPlaced = 13, "order.placed", "An order was placed, in the shop or by the back office.";
    OrderInvoiced = 14, "order.invoiced", "An order was invoiced.";
    OrderShipped = 15, "order.shipped", "Items of an order were shipped.";
    OrderDelivered = 16, "order.delivered", "The shipment of an order was completed.";
    OrderCancelled = 17, "order.cancelled", "An order was cancelled.";
    OrderRefunded = 18, "order.refunded", "A credit memo was issued.";
    OrderReturnStarted = 19, "order.return_started", "A return was asked for.";
    OrderReturnCompleted = 20, "order.return_completed", "A return was completed.";
    CustomerSignedIn = 21, "customer.signed_in", "A customer signed in.";
    CustomerSignedOut = 22, "customer.signed_out", "A customer signed out.";
    CustomerCreated = 23, "customer.created", "An account was created.";
    CustomerUpdated = 24, "customer.updated", "An account or its profile changed.";
    CustomerDeleted = 25, "customer.deleted", "An account was deleted: everything about the person is erased.";
    ConsentChanged = 26, "consent.changed", "Consent was given, confirmed or withdrawn.";
    CustomerUnsubscribed = 27, "customer.unsubscribed", "A customer unsubscribed.";
    WishlistItemAdded = 28, "wishlist.item_added", "An item came onto the wish list.";
    WishlistItemRemoved = 29, "wishlist.item_removed", "An item left the wish list.";
    RequisitionListCreated = 30, "requisition_list.created", "A requisition list was created.";
    RequisitionListItemAdded = 31, "requisition_list.item_added", "An item came onto a requisition list.";
    RequisitionListItemRemoved = 32, "requisition_list.item_removed", "An item left a requisition list.";
    RequisitionListDeleted = 33, "requisition_list.deleted", "A requisition list was deleted.";
    EmailSent = 34, "email.sent", "A mail was taken by the provider.";
    EmailDelivered = 35, "email.delivered", "A mail was delivered.";
    EmailOpened = 36, "email.opened", "A mail was opened.";
    EmailClicked = 37, "email.clicked", "A link in a mail was followed.";
    EmailBounced = 38, "email.bounced", "A mail bounced for good.";
    EmailComplained = 39, "email.complained", "A mail was reported as spam.";
    EmailExpired = 40, "email.expired", "A mail was not sent because its time had passed.";
    EmailFailed = 41, "email.failed", "A mail was not sent: it was refused, or could not be rendered.";
    EmailMissedWindow = 42, "email.missed_window", "A mail was not sent before its send window closed.";
    EmailCancelled = 43, "email.cancelled", "A mail was not sent because it was cancelled.";
    SmsSent = 44, "sms.sent", "An SMS was taken by the provider.";
    SmsDelivered = 45, "sms.delivered", "An SMS was delivered.";
    SmsClicked = 46, "sms.clicked", "A link in an SMS was followed.";
    SmsBounced = 47, "sms.bounced", "An SMS can't be delivered to this number.";
    SmsExpired = 48, "sms.expired", "An SMS was not sent because its time had passed.";
    SmsFailed = 49, "sms.failed", "An SMS was not sent: it was refused, or could not be rendered.";
    SmsMissedWindow = 50, "sms.missed_window", "An SMS was not sent before its send window closed.";
    SmsCancelled = 51, "sms.cancelled", "An SMS was not sent because it was cancelled.";
    CouponIssued = 52, "coupon.issued", "A coupon code was bound to a run.";
    CouponRedeemed = 53, "coupon.redeemed", "A coupon code was used.";
    EmailStarted = 54, "email.started", "A mail is being handed to the provider; it can't be cancelled any more.";
    SmsStarted = 55, "sms.started", "An SMS is being handed to the provider; it can't be cancelled any more.";
}

impl EventName {
    /// Whether the event tells of a cart: items added or removed, a cart or checkout seen.
    #[must_use]
    pub const fn is_cart(&self) -> bool {
        matches!(
            self,
            Self::CartOpened
                | Self::CartItemAdded
                | Self::CartItemRemoved
                | Self::CartViewed
                | Self::CartChanged
                | Self::CartEmptied
                | Self::CheckoutStarted
        )
    }

    /// Whether the event tells of an order, from its being placed to its return.
    #[must_use]
    pub const fn is_order(&self) -> bool {
        matches!(
            self,
            Self::OrderPlaced
                | Self::OrderInvoiced
                | Self::OrderShipped
                | Self::OrderDelivered
                | Self::OrderCancelled
                | Self::OrderRefunded
                | Self::OrderReturnStarted
                | Self::OrderReturnCompleted
        )
    }

    /// Whether the event tells of browsing: products, categories, searches.
    #[must_use]
    pub const fn is_browse(&self) -> bool {
        matches!(
            self,
            Self::ProductViewed
                | Self::CategoryViewed
                | Self::SearchRequested
                | Self::SearchAnswered
        )
    }

    /// Whether the engine derives it from others, so that no source may send it.
    #[must_use]
    pub const fn is_derived(&self) -> bool {
        matches!(self, Self::CartChanged | Self::CartEmptied)
    }
}

impl fmt::Display for EventName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for EventName {
    type Err = std::convert::Infallible;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        Ok(Self::new(name))
    }
}

impl Serialize for EventName {
    /// The name for people, the number (and a custom event's name) in stored bytes.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            return serializer.serialize_str(self.as_str());
        }
        let custom = match self {
            Self::Custom(name) => name.as_str(),
            _ => "",
        };
        (self.code(), custom).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for EventName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if deserializer.is_human_readable() {
            return Ok(Self::new(&Cow::<'de, str>::deserialize(deserializer)?));
        }
        let (code, custom) = <(u8, Cow<'de, str>)>::deserialize(deserializer)?;
        match code {
            0 => Ok(Self::Custom(Text::from(custom))),
            code => Self::from_code(code)
                .ok_or_else(|| serde::de::Error::custom(format!("unknown event number {code}"))),
        }
    }
}
