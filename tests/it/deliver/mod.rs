//! Delivery: from a decided message to its end.

mod last_check;
