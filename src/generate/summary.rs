//! What was generated, counted line by line as it was written.

use std::collections::BTreeMap;

/// What a generated file holds. Every number is of lines that were written, unless it says else.
///
/// `lines` = [`Self::events`] + `duplicates` + the sum of `broken`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// People, whether the shop knows them or not.
    pub customers: u64,
    /// Households they live in.
    pub households: u64,
    /// People with an account at the end, deleted ones not counted.
    pub accounts: u64,
    /// Browsers and apps.
    pub devices: u64,
    /// Devices that several people use.
    pub devices_shared: u64,
    /// All lines.
    pub lines: u64,
    /// All bytes, line breaks included.
    pub bytes: u64,
    /// Sound records by event type, as the line spells it; `profile` for profile records.
    pub kinds: BTreeMap<&'static str, u64>,
    /// Lines that stand in the file a second time, byte for byte.
    pub duplicates: u64,
    /// Storefront events that arrived more than a minute after they happened.
    pub late: u64,
    /// Lines that can't be read as an event, by what is wrong; none stands for a sound one.
    pub broken: BTreeMap<&'static str, u64>,
    /// Sound storefront events that name nobody: the all-zeros device id and nothing else.
    pub nameless: u64,
    /// Events whose `_id` an event of another customer had before.
    pub ids_shared: u64,
    /// Events with every number written as text.
    pub numbers_as_text: u64,
    /// Carts that were opened.
    pub carts: u64,
    /// Whole-cart events with fewer items than the events before them said.
    pub carts_shrunk: u64,
    /// Order numbers.
    pub orders: u64,
    /// Order numbers that both the storefront and the back office reported.
    pub orders_reported_twice: u64,
    /// Storefront purchases whose order number is the word `undefined`.
    pub orders_without_number: u64,
}

/// How a line is counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Tag {
    /// The event type, if the line is sound.
    pub(super) kind: &'static str,
    /// What is wrong with it, if it is broken.
    pub(super) broken: Option<&'static str>,
    /// What else is to be said of it: a sum of `mark`s.
    pub(super) marks: u16,
}

/// What a tag can say of a line.
pub(super) mod mark {
    pub(in super::super) const DUPLICATE: u16 = 1;
    pub(in super::super) const LATE: u16 = 1 << 1;
    pub(in super::super) const NAMELESS: u16 = 1 << 2;
    pub(in super::super) const ID_SHARED: u16 = 1 << 3;
    pub(in super::super) const NUMBERS_AS_TEXT: u16 = 1 << 4;
    pub(in super::super) const CART: u16 = 1 << 5;
    pub(in super::super) const CART_SHRUNK: u16 = 1 << 6;
    pub(in super::super) const ORDER: u16 = 1 << 7;
    pub(in super::super) const ORDER_AGAIN: u16 = 1 << 8;
    pub(in super::super) const ORDER_WITHOUT_NUMBER: u16 = 1 << 9;
}

impl Summary {
    /// Sound records, each counted once.
    #[must_use]
    pub fn events(&self) -> u64 {
        self.kinds.values().sum()
    }

    /// Counts a line of `bytes` bytes, its line break included.
    pub(super) fn count(&mut self, tag: Tag, bytes: usize) {
        self.lines += 1;
        self.bytes += bytes as u64;
        if let Some(fault) = tag.broken {
            *self.broken.entry(fault).or_default() += 1;
            return;
        }
        let marked = |mark: u16| u64::from(tag.marks & mark != 0);
        if marked(mark::DUPLICATE) == 1 {
            self.duplicates += 1;
            return;
        }
        *self.kinds.entry(tag.kind).or_default() += 1;
        self.late += marked(mark::LATE);
        self.nameless += marked(mark::NAMELESS);
        self.ids_shared += marked(mark::ID_SHARED);
        self.numbers_as_text += marked(mark::NUMBERS_AS_TEXT);
        self.carts += marked(mark::CART);
        self.carts_shrunk += marked(mark::CART_SHRUNK);
        self.orders += marked(mark::ORDER);
        self.orders_reported_twice += marked(mark::ORDER_AGAIN);
        self.orders_without_number += marked(mark::ORDER_WITHOUT_NUMBER);
    }
}
