//! The embedded worker as a real process: HTTP in, kills, stops, restarts; `why`, `verify`, `import`.

mod dead_letters;
pub(crate) mod events;
mod files;
mod future;
mod http;
mod import;
mod kill;
mod lanes;
mod merge;
pub(crate) mod observe;
mod race;
mod releases;
mod report;
mod sending;
pub(crate) mod shop;
mod sms;
mod snapshot;
mod stop;
mod why;

/// Reminds of a cart after it was quiet for a second, and again two seconds later.
pub(crate) const CART: (&str, &str) = (
    "abandoned-cart",
    "format: 1
journey: abandoned-cart
one_run_per: cart
starts_when: { event: cart.changed }
only_while: \"cart.total >= money('20 EUR')\"
stops_when:
  - { event: order.placed }
  - { event: cart.emptied }
again: always
no_address: { wait: 3s }
steps:
  - wait_quiet: 1s
  - email: abandoned-cart/first
  - wait: 2s
  - email: abandoned-cart/second
goal: { event: order.placed, within: 7 days }
",
);

/// Thanks for an order.
pub(crate) const THANKS: (&str, &str) = (
    "thanks",
    "format: 1
journey: thanks
one_run_per: order
starts_when: { event: order.placed }
again: always
steps:
  - wait: 1s
  - email: thanks/first
",
);
