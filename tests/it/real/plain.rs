//! A plain abandoned-cart journey, and what it decides for rows in order.

use std::collections::BTreeMap;

use super::{Line, Row};

/// The plain abandoned-cart journey with these waits.
pub(super) fn plain_journey(quiet: &str, then: &str) -> String {
    format!(
        "format: 1
journey: cart
one_run_per: customer
starts_when: {{ event: cart.item_added }}
stops_when: {{ event: order.placed }}
again: always
steps:
  - wait_quiet: {quiet}
  - email: cart/first
  - wait: {then}
  - email: cart/second
"
    )
}

/// What the plain journey decides for rows in the order of their time, by the rules in prose:
/// the first message after `quiet` without a cart event, the second `then` after it, none once
/// the customer bought; at one instant what happened comes first.
pub(super) fn plain_decisions(rows: &[Row], quiet: i64, then: i64) -> Vec<Line> {
    let end = rows.iter().map(|row| row.at).max().unwrap_or_default();
    let mut by_customer: BTreeMap<&str, Vec<&Row>> = BTreeMap::new();
    for row in rows.iter().filter(|row| row.is_cart() || row.is_purchase()) {
        by_customer.entry(&row.user).or_default().push(row);
    }
    let mut lines = Vec::new();
    for (customer, rows) in by_customer {
        assert!(rows.is_sorted_by_key(|row| row.at), "rows in order");
        let mut from = 0;
        while let Some(start) = (from..rows.len()).find(|&place| rows[place].is_cart()) {
            let mut due = rows[start].at + quiet;
            let mut next = start + 1;
            let mut bought = false;
            while next < rows.len() && rows[next].at <= due && !bought {
                bought = rows[next].is_purchase();
                due = rows[next].at + quiet;
                next += 1;
            }
            from = next;
            if bought {
                continue;
            }
            if due > end {
                break;
            }
            lines.push(Line::send(due, customer, "first"));
            let second = due + then;
            let during = (next..rows.len()).take_while(|&place| rows[place].at <= second);
            if let Some(order) = during.clone().find(|&place| rows[place].is_purchase()) {
                from = order + 1;
                continue;
            }
            if second > end {
                break;
            }
            lines.push(Line::send(second, customer, "second"));
            from = next + during.count();
        }
    }
    lines.sort();
    lines
}
