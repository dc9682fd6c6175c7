//! One person on two partitions: the cart comes by a device, the order by an address.

use super::site::Site;
use crate::worker::CART;
use crate::worker::events::{cart_add, consent, order, plain};

const SENT: &str = "SELECT count(*) FROM deliveries WHERE status = 'sent'";

/// Which of the two records of a person comes first.
#[derive(Clone, Copy)]
enum First {
    Cart,
    Order,
}

/// As the usual one, with more time for the order to come before the reminder is due.
fn journey() -> String {
    CART.1.replace("wait_quiet: 1s", "wait_quiet: 6s")
}

/// Many people at once, since which id wins a merge is a matter of chance.
fn check(first: First) {
    let site = Site::new(6, &[(CART.0, &journey())], "");
    let worker = site.worker();
    let people: Vec<(String, String)> =
        (0..40).map(|n| (format!("device-{n}"), format!("person-{n}@shop.example"))).collect();
    let (mut consents, mut links, mut carts) = (vec![], vec![], vec![]);
    for (n, (device, email)) in people.iter().enumerate() {
        let (on, by) = ([("device", device.as_str())], [("email", email.as_str())]);
        let both = [("device", device.as_str()), ("email", email.as_str())];
        consents.push((email.as_str(), consent(&format!("y{n}"), &by)));
        carts.push((device.as_str(), cart_add(&format!("c{n}"), &on, &format!("cart-{n}"))));
        links.push((device.as_str(), plain(&format!("l{n}"), "customer.signed_in", &both)));
    }
    // Every second one buys, after that.
    let orders = || {
        let buyers = people.iter().enumerate().step_by(2).map(|(n, (_, email))| {
            let by = [("email", email.as_str())];
            (email.as_str(), order(&format!("o{n}"), &by, &format!("order-{n}")))
        });
        buyers.collect::<Vec<_>>()
    };
    site.sends(&site.office, &consents);
    match first {
        First::Cart => {
            site.sends(&site.web, &carts);
            site.sends(&site.web, &links);
            site.sends(&site.office, &orders());
        }
        First::Order => {
            site.sends(&site.web, &links);
            site.sends(&site.web, &carts);
            site.sends(&site.office, &orders());
        }
    }
    // Two mails to each of those who did not buy.
    site.wait_for("the second mails", SENT, |sent| sent >= 40);
    worker.stops();
    site.verified();
    let to = "SELECT address, count(*) FROM deliveries WHERE status = 'sent' GROUP BY address";
    let mut sent = site.pairs(to);
    sent.sort();
    let mut expected: Vec<(String, i64)> =
        (0..40).filter(|n| n % 2 == 1).map(|n| (format!("person-{n}@shop.example"), 2)).collect();
    expected.sort();
    assert_eq!(sent, expected);
}

#[test]
fn an_order_by_address_stops_the_cart_of_a_device() {
    check(First::Cart);
}

#[test]
fn so_it_does_where_they_were_one_before_the_cart() {
    check(First::Order);
}
