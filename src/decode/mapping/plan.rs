//! A mapping, checked and compiled: every value is a numbered slot that the record fills.

use std::borrow::Cow;

use super::file::{ItemsWord, Otherwise, Reads, TimeForm};
use super::trie::Node;
use crate::decode::CsvForm;
use crate::model::{ConsentStatus, EventName, MessageChannel, Text};

/// A value of a record; `None` if it is absent or empty.
pub(super) type Slot<'a> = Option<Cow<'a, str>>;

/// The values a record gave.
#[derive(Default)]
pub(super) struct Slots<'a> {
    /// Of the record, by slot.
    pub record: Vec<Slot<'a>>,
    /// Of the elements of the array that `each` names, by slot; `None` if there was no such array.
    pub elements: Option<Vec<Vec<Slot<'a>>>>,
}

/// Where a value is taken from.
#[derive(Clone, Debug)]
pub(super) enum Take {
    /// A slot of the record.
    Slot(usize),
    /// A slot of the element that is read.
    Element(usize),
    /// The same for every record.
    Value(Text),
}

impl Take {
    /// Its value, for the element at hand where there is one.
    pub(super) fn of<'s>(&'s self, record: &'s [Slot<'_>], element: &'s [Slot<'_>]) -> Slot<'s> {
        match self {
            Self::Slot(slot) => record.get(*slot)?.as_deref().map(Cow::Borrowed),
            Self::Element(slot) => element.get(*slot)?.as_deref().map(Cow::Borrowed),
            Self::Value(value) => Some(Cow::Borrowed(value)),
        }
    }
}

/// What a word of the event column means.
#[derive(Clone, Debug)]
pub(super) struct Target {
    /// The event; `None` for a record that is none.
    pub name: Option<EventName>,
    /// What its items are, if not the usual.
    pub items: Option<ItemsWord>,
}

/// How the event of a record is known.
#[derive(Debug)]
pub(super) enum EventRule {
    /// Every record is this event.
    Always(Target),
    /// By the word in a slot.
    ByWord { slot: usize, label: String, words: Vec<(Text, Target)>, otherwise: Otherwise },
}

/// Which kind of identity a value is.
#[derive(Debug)]
pub(super) enum Kind {
    CustomerId,
    Email,
    Phone,
    Device,
    Other(Text),
}

/// One product line.
#[derive(Debug)]
pub(super) struct ItemPlan {
    pub of_elements: bool,
    pub sku: Take,
    pub quantity: Option<Take>,
    pub price: Option<Take>,
    pub line_total: Option<Take>,
    pub currency: Option<Take>,
    pub name: Option<Take>,
    pub category: Option<Take>,
    pub brand: Option<Take>,
    pub image: Option<Take>,
    pub url: Option<Take>,
    pub options: Vec<(Text, Take)>,
}

/// An order's fields.
#[derive(Debug)]
pub(super) struct OrderPlan {
    pub id: Option<Take>,
    pub scope: Option<Take>,
    pub total: Option<Take>,
    pub discount: Option<Take>,
    pub currency: Option<Take>,
    pub coupon: Option<Take>,
    pub refunded: Option<Take>,
    pub shipping: Option<Take>,
    pub tracking: Option<Take>,
    pub tracking_url: Option<Take>,
}

/// A profile's fields.
#[derive(Debug)]
pub(super) struct ProfilePlan {
    pub first_name: Option<Take>,
    pub last_name: Option<Take>,
    pub locale: Option<Take>,
    pub zone: Option<Take>,
    pub country: Option<Take>,
    pub birth_date: Option<Take>,
    pub attributes: Vec<(Text, Take)>,
}

/// A page's fields.
#[derive(Debug)]
pub(super) struct PagePlan {
    pub url: Option<Take>,
    pub name: Option<Take>,
    pub category: Option<Take>,
    pub query: Option<Take>,
    pub results: Option<Take>,
}

/// A consent's fields.
#[derive(Debug)]
pub(super) struct ConsentPlan {
    pub channel: MessageChannel,
    pub topic: Option<Take>,
    pub status: Take,
    pub words: Vec<(Text, ConsentStatus)>,
}

/// The whole mapping.
#[derive(Debug)]
pub(super) struct Plan {
    pub source: Text,
    pub reads: Reads,
    pub csv: CsvForm,
    /// Column names the file gives, for CSV without a header row.
    pub columns: Option<Vec<String>>,
    /// Column or path of each slot of the record.
    pub slots: Vec<String>,
    /// How many slots an element has.
    pub element_slots: usize,
    pub trie: Node,
    pub time: Option<(Take, TimeForm, String)>,
    pub event: EventRule,
    pub id: Option<Take>,
    pub shop: Option<Take>,
    pub channel: Option<Take>,
    pub cart_id: Option<Take>,
    pub customer: Vec<(Kind, Take)>,
    pub items: Vec<ItemPlan>,
    pub order: OrderPlan,
    pub profile: ProfilePlan,
    pub page: PagePlan,
    pub consents: Vec<ConsentPlan>,
}
