//! The shop itself: its products, its number ranges, and what is still to happen.

use std::cmp::Ordering;
use std::collections::BinaryHeap;

use super::catalog::{Product, products};
use super::lines::Lines;
use super::orders::Order;

/// Everything that the households share.
pub(super) struct Shop {
    /// What it sells.
    pub(super) products: Vec<Product>,
    /// What has been told of it and is not written yet.
    pub(super) lines: Lines,
    agenda: BinaryHeap<Entry>,
    planned: u64,
    carts: u32,
    orders: u32,
    accounts: u32,
}

/// Something that is going to happen.
pub(super) enum Task {
    /// A household's accounts are told of, and its days begin.
    Begin { household: usize },
    /// A household's visits of the coming 24 hours are planned.
    Day { household: usize },
    /// Someone visits the shop.
    Visit { household: usize, person: usize, device: usize },
    /// The next thing happens to an order.
    Order(Box<Order>),
}

struct Entry {
    time: i64,
    planned: u64,
    task: Task,
}

impl Shop {
    /// A shop that tells of nothing from `end` on.
    pub(super) fn new(end: i64) -> Self {
        Self {
            products: products(),
            lines: Lines::new(end),
            agenda: BinaryHeap::new(),
            planned: 0,
            carts: 0,
            orders: 0,
            accounts: 0,
        }
    }

    /// Plans a task; tasks of one instant happen in the order in which they were planned.
    pub(super) fn plan(&mut self, time: i64, task: Task) {
        self.planned += 1;
        self.agenda.push(Entry { time, planned: self.planned, task });
    }

    /// The next task, if any happens before `end`.
    pub(super) fn next_task(&mut self, end: i64) -> Option<(i64, Task)> {
        self.agenda.pop().filter(|entry| entry.time < end).map(|entry| (entry.time, entry.task))
    }

    /// The number of a new cart.
    pub(super) fn new_cart(&mut self) -> u32 {
        self.carts += 1;
        500_000 + self.carts
    }

    /// The customer id of a new account; those that exist from the start are below.
    pub(super) fn new_account(&mut self) -> u32 {
        self.accounts += 1;
        10_000_000 + self.accounts
    }

    /// The number of a new order.
    pub(super) fn new_order(&mut self) -> u32 {
        self.orders += 1;
        self.orders
    }
}

impl Ord for Entry {
    /// The earliest is the greatest, because the agenda is a heap that gives the greatest.
    fn cmp(&self, other: &Self) -> Ordering {
        (other.time, other.planned).cmp(&(self.time, self.planned))
    }
}

impl PartialOrd for Entry {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Entry {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Entry {}
