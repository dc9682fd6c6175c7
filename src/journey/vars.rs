//! The typed variables of a condition: every name, its type, and where its value comes from.

use std::borrow::Cow;

use crate::model::{Item, Money, Text, Timestamp};

macro_rules! vars {
    ($($variant:ident, $path:literal, $ty:ident, $doc:literal;)*) => {
        /// A variable that conditions and templates may read.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Var {
            $(#[doc = $doc] $variant,)*
        }

        impl Var {
            /// Every variable with its path, its type and its meaning, in the order of the reference.
            pub const ALL: &'static [(Self, &'static str, Type, &'static str)] =
                &[$((Self::$variant, $path, Type::$ty, $doc),)*];

            /// The variable's path, such as `cart.total`.
            #[must_use]
            pub const fn path(self) -> &'static str {
                match self { $(Self::$variant => $path,)* }
            }

            /// Its type.
            #[must_use]
            pub const fn ty(self) -> Type {
                match self { $(Self::$variant => Type::$ty,)* }
            }

            /// The variable of this path.
            #[must_use]
            pub fn named(path: &str) -> Option<Self> {
                match path { $($path => Some(Self::$variant),)* _ => None }
            }
        }
    };
}

/// The type of a variable or of an expression. Any variable may be null: the fact is not known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Type {
    /// True or false.
    Bool,
    /// A whole number.
    Int,
    /// Text.
    Text,
    /// Exact money.
    Money,
    /// An instant.
    Time,
    /// A length of time.
    Duration,
    /// A list of product lines.
    Items,
    /// A list of texts.
    Texts,
}

vars! {
    CustomerId, "customer.id", Text, "The customer's id in the shop, where there is one.";
    CustomerFirstName, "customer.first_name", Text, "Given name.";
    CustomerLastName, "customer.last_name", Text, "Family name.";
    CustomerEmail, "customer.email", Text, "Email address.";
    CustomerPhone, "customer.phone", Text, "Phone number in E.164.";
    CustomerLocale, "customer.locale", Text, "Language as a BCP 47 tag, such as nl-BE.";
    CustomerCountry, "customer.country", Text, "Country, two letters.";
    CustomerZone, "customer.zone", Text, "IANA time zone.";
    CustomerKnown, "customer.known", Bool, "Whether a person is known behind the device.";
    CustomerFirstSeen, "customer.first_seen", Time, "When the first event came.";
    CustomerSignedIn, "customer.signed_in", Bool, "Whether the last sign-in has not been followed by a sign-out.";
    CartId, "cart.id", Text, "The cart's id, where the shop names one.";
    CartTotal, "cart.total", Money, "Sum of the cart's lines.";
    CartCount, "cart.count", Int, "Number of units in the cart.";
    CartLines, "cart.lines", Int, "Number of different lines in the cart.";
    CartItems, "cart.items", Items, "The lines of the cart.";
    CartChangedAt, "cart.changed_at", Time, "When the cart last changed.";
    CartCheckout, "cart.checkout", Bool, "Whether the checkout was opened since the cart last changed.";
    EventName, "event.name", Text, "The event's name.";
    EventTime, "event.time", Time, "When it happened.";
    EventChannel, "event.channel", Text, "Where: web, app, store, phone or unknown.";
    EventShop, "event.shop", Text, "The shop (store view) it happened in.";
    EventItems, "event.items", Items, "The products it speaks of.";
    EventOrderId, "event.order_id", Text, "The order's number.";
    EventOrderTotal, "event.order_total", Money, "The order's total.";
    EventCoupon, "event.coupon", Text, "The coupon code that was used.";
    EventCategory, "event.category", Text, "The category that was viewed.";
    EventQuery, "event.query", Text, "The words that were searched for.";
    EventResults, "event.results", Int, "How many results the search gave.";
    OrdersCount, "orders.count", Int, "How many orders, without cancelled ones.";
    OrdersTotal, "orders.total", Money, "Sum of all orders, without cancelled ones.";
    OrdersFirstAt, "orders.first_at", Time, "When the first order was placed.";
    OrdersLastAt, "orders.last_at", Time, "When the last order was placed.";
    OrdersLastTotal, "orders.last_total", Money, "Total of the last order.";
    OrdersLastItems, "orders.last_items", Items, "Products of the last order.";
    BrowseItems, "browse.items", Items, "Recently viewed products, newest first, at most 20.";
    BrowseCount, "browse.count", Int, "How many products were recently viewed.";
    BrowseLastAt, "browse.last_at", Time, "When a product, category or search was last viewed.";
    BrowseCategory, "browse.category", Text, "The category last viewed.";
    BrowseQuery, "browse.query", Text, "The words last searched for.";
    RunStartedAt, "run.started_at", Time, "When the run started.";
    RunMessages, "run.messages", Int, "How many messages the run has decided to send.";
    RunKey, "run.key", Text, "What the run is about: the cart, the order or the field's value.";
    Now, "now", Time, "The instant of the decision.";
}

/// A value while a condition is evaluated.
#[derive(Clone, Debug, PartialEq)]
pub enum Value<'a> {
    /// Not known.
    Null,
    /// True or false.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// Text.
    Text(Cow<'a, str>),
    /// Exact money.
    Money(Money),
    /// An instant.
    Time(Timestamp),
    /// A length of time in milliseconds.
    Duration(i64),
    /// Product lines.
    Items(Cow<'a, [Item]>),
    /// Texts.
    Texts(Cow<'a, [Text]>),
}

/// Where a condition reads its variables.
pub trait Env {
    /// The value of a variable at this instant; [`Value::Null`] where the fact is not known.
    fn value(&self, var: Var) -> Value<'_>;
}
