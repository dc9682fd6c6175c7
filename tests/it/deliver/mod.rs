//! Delivery: from a decided message to its end.

mod attempts;
mod last_check;
mod outage;
