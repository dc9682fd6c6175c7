//! Delivery: from a decided message to its end.

mod attempts;
mod desk;
mod faults;
mod kept;
mod last_check;
mod outage;
mod work;
