//! Delivery: from a decided message to its end.

mod attempts;
mod faults;
mod last_check;
mod outage;
mod work;
