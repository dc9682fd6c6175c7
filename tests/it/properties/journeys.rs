//! The journeys that generated worlds choose from: together they use every word of the language.

use std::sync::LazyLock;

use waypost::journey::{Plan, SourceFile, compile};

/// How many journeys there are to choose from.
pub(super) const POOL: usize = SOURCES.len();

/// The place of the journey whose schedule shares out an `at_most` among the partitions.
pub(super) const RATIONED: usize = 6;

const SOURCES: [&str; 14] = [
    r#"
format: 1
journey: cart-night
topic: reminders
one_run_per: cart
starts_when: { event: cart.changed }
only_while: "cart.count >= 1"
stops_when: [ { event: order.placed }, { event: cart.emptied } ]
again: { after: 1 day, per: cart }
no_address: { wait: 2 days }
send_only: { from: "22:00", to: "06:00", unknown_zone: Europe/Amsterdam }
priority: 20
steps:
  - wait_quiet: { for: 1h, at_most: 3h }
  - email: night/first
  - wait: { for: 20h, and_quiet: 30m }
  - if: "cart.total >= money('100 EUR')"
    then: [ { email: night/offer } ]
    else: [ { email: night/second } ]
  - wait_for: { event: cart.viewed, match: same_cart, at_most: 20h, then: [ end ] }
  - sms: night/last
goal: { event: order.placed, within: 7 days }
"#,
    r"
format: 1
journey: cart-plain
one_run_per: customer
starts_when: { event: cart.item_added }
stops_when: { event: order.placed, match: same_items }
gives_way_to: [ checkout ]
again: always
priority: 60
steps: [ { wait: 1h }, { email: plain/first }, { wait: 23h }, { email: plain/second } ]
",
    r#"
format: 1
journey: checkout
one_run_per: customer
starts_when: { event: checkout.started }
stops_when: { event: order.placed }
again: always
send_only: { days: mon-fri, from: "09:00", to: "20:00" }
if_late: { skip_after: 6h }
holdout: 30%
steps: [ { wait: 30m }, { email: checkout/first }, { wait: 1 day }, { sms: checkout/second } ]
"#,
    r"
format: 1
journey: browse
topic: news
starts_when: { event: product.viewed }
stops_when: { event: order.placed }
gives_way_to: [ cart-plain, cart-night ]
again: { after: 2h }
priority: 10
steps: [ { wait_quiet: 30m }, { email: browse/first } ]
",
    r"
format: 1
journey: thanks
class: transactional
one_run_per: order
starts_when: { event: order.placed }
stops_when: { event: order.cancelled, match: same_order }
again: always
steps:
  - wait: 10m
  - email: thanks/first
  - wait_for: { event: order.shipped, match: same_order, at_most: 3 days, else: [ { sms: thanks/delay } ] }
",
    r"
format: 1
journey: win-back
starts_when: { absent: order.placed, for: 5 days }
stops_when: { event: order.placed }
again: always
priority: 80
steps: [ { email: back/first }, { wait: 7 days }, { email: back/second } ]
",
    r#"
format: 1
journey: weekly
starts_when: { schedule: "0 9 * * mon", zone: Europe/Amsterdam, if: "customer.known", at_most: 2 }
stops_when: { event: order.placed }
again: always
steps: [ { email: weekly/first }, { wait: 1 day }, { email: weekly/second } ]
"#,
    r#"
format: 1
journey: nightly
starts_when: { schedule: "30 2 * * *", zone: Europe/Amsterdam, if: "orders.count > 0" }
again: { after: 2 days }
steps: [ { email: nightly/first } ]
"#,
    r"
format: 1
journey: search
one_run_per: event.query
starts_when: { event: search.requested }
stops_when: { event: order.placed }
again: never
steps: [ { wait_quiet: 30m }, { email: search/first } ]
",
    r"
format: 1
journey: answered
topic: reminders
starts_when: { event: cart.item_added }
stops_when: [ { event: order.placed }, { event: customer.unsubscribed } ]
again: { after: 1 day }
steps:
  - wait: 1h
  - email: answered/first
  - wait_for:
      event: email.opened
      at_most: 1 day
      then: [ end ]
      else: [ { email: answered/second } ]
",
    r#"
format: 1
journey: welcome
starts_when: { event: customer.signed_in, if: "customer.known" }
only_while: "orders.count < 3"
stops_when: { event: order.placed, if: "event.channel != 'store'" }
no_address: { wait: 1 day }
send_only: { from: "08:00", to: "22:00", zone: America/New_York }
start_within: 2 days
again: { after: 1 day }
steps: [ { email: welcome/first }, { wait: 1 day }, { sms: welcome/second } ]
"#,
    r"
format: 1
journey: seen
starts_when: { absent: product.viewed, for: 3 days }
stops_when: [ { event: order.placed }, { event: product.viewed } ]
again: { after: 1 day }
gives_way_to: [ win-back ]
steps: [ { wait: 2h }, { email: seen/first } ]
",
    r"
format: 1
journey: cart-order
topic: reminders
one_run_per: cart
starts_when: { event: cart.viewed }
stops_when: { event: order.placed }
again: always
priority: 90
steps: [ { wait_quiet: 10m }, { sms: order/first }, { wait: 10m }, { email: order/second } ]
",
    r#"
format: 1
journey: cart-own
one_run_per: cart
starts_when: { event: cart.changed }
stops_when:
  - { event: order.placed, match: same_cart }
  - { event: order.placed, match: same_items, if: "event.channel == 'store'" }
again: always
priority: 40
steps: [ { wait: 30m }, { email: own/first }, { wait: 20h }, { email: own/second } ]
"#,
];

static PLANS: LazyLock<Vec<Plan>> = LazyLock::new(|| {
    let files: Vec<SourceFile> = SOURCES
        .iter()
        .enumerate()
        .map(|(place, text)| SourceFile::new(format!("journey {place}"), *text))
        .collect();
    let (plans, report) = compile(&files, None);
    assert!(!report.has_errors(), "{}", report.render(false));
    assert_eq!(plans.len(), POOL, "every journey is compiled");
    plans
});

/// The journeys of these places, each once.
pub(super) fn plans(places: &[usize]) -> Vec<Plan> {
    let mut places = places.to_vec();
    places.sort_unstable();
    places.dedup();
    places.iter().map(|place| PLANS[*place].clone()).collect()
}
