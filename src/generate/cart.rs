//! What a visitor does with the cart, up to the purchase.

use crate::model::{MINUTE_MS, SECOND_MS};

use super::orders::{Order, Stage, order_number, payments, total_cents};
use super::people::{Account, Cart, Line};
use super::shop::Task;
use super::summary::mark;
use super::visit::Visit;
use super::xdm::{self, Channel};

/// A household's cart holds no more lines than this; what comes on top is only looked at.
const CART_LINES_MAX: usize = 12;

impl Visit<'_> {
    /// One or two of a product go into the cart.
    pub(super) fn add_to_cart(&mut self, product: usize) {
        if self.cart().lines.len() >= CART_LINES_MAX {
            return;
        }
        let quantity = if self.home.rng.chance(120) { 2 } else { 1 };
        let line = Line { product, option: self.home.rng.below(4), quantity };
        let first = self.cart().id.is_none();
        if first {
            let id = self.shop.new_cart();
            self.cart_mut().id = Some(id);
        }
        let empty = self.cart().lines.is_empty();
        self.cart_mut().add(line);
        let mut marks = if first { mark::CART } else { 0 };
        // The first item of an empty cart is told of twice by storefronts that know openings.
        if empty && !self.device().silent {
            self.tell_of_items("commerce.productListOpens", "productListOpens", marks, &[line]);
            marks = 0;
            self.now += self.home.rng.between(30, 2_000);
        }
        self.tell_of_items("commerce.productListAdds", "productListAdds", marks, &[line]);
    }

    /// Looks at the cart; perhaps removes something, goes to the checkout, and buys.
    pub(super) fn go_to_the_cart(&mut self) {
        if self.home.rng.chance(780) {
            self.pause(5, 90);
            self.view_cart();
        }
        if self.home.rng.chance(140) {
            self.pause(5, 60);
            self.remove_from_cart();
        }
        if self.cart().lines.is_empty() || !self.home.rng.chance(450) {
            return;
        }
        self.sign_in_before_checkout();
        self.pause(5, 60);
        // A checkout of several steps tells of itself more than once.
        for _ in 0..=usize::from(self.home.rng.chance(250)) {
            self.tell_of_whole_cart("commerce.checkouts", "checkouts");
            self.pause(20, 180);
        }
        let may_buy = self.signed_in().is_some() || self.visitor().account != Account::Never;
        if self.home.rng.chance(if may_buy { 640 } else { 250 }) {
            self.buy();
        }
    }

    fn view_cart(&mut self) {
        self.tell_of_whole_cart("commerce.productListViews", "productListViews");
    }

    fn remove_from_cart(&mut self) {
        let mut rng = self.home.rng.fork();
        let line = self.cart_mut().take_some(&mut rng);
        if self.device().silent {
            self.cart_mut().shrunk = true;
        } else {
            self.tell_of_items("commerce.productListRemovals", "productListRemovals", 0, &[line]);
        }
    }

    /// Tells of a change to the cart: only the changed items go with it.
    fn tell_of_items(&mut self, kind: &'static str, measure: &str, marks: u16, lines: &[Line]) {
        let cart_id = self.cart().id.map(|id| id.to_string()).unwrap_or_default();
        self.tell(kind, marks, None, |json, shop, home| {
            xdm::commerce(json, home.country, measure, |json| {
                json.object("cart", |json| json.text("cartID", &cart_id));
            });
            xdm::items(json, &shop.products, lines, home.country);
        });
    }

    /// Tells of the cart with everything in it.
    fn tell_of_whole_cart(&mut self, kind: &'static str, measure: &str) {
        let cart_id = self.cart().id.map(|id| id.to_string()).unwrap_or_default();
        let lines = self.cart().lines.clone();
        let shrunk = std::mem::take(&mut self.cart_mut().shrunk);
        let marks = if shrunk { mark::CART_SHRUNK } else { 0 };
        self.tell(kind, marks, None, |json, shop, home| {
            xdm::commerce(json, home.country, measure, |json| {
                json.object("cart", |json| json.text("cartID", &cart_id));
                json.object("order", |json| json.number("discountAmount", 0));
            });
            xdm::items(json, &shop.products, &lines, home.country);
        });
    }

    /// The cart becomes an order. The storefront tells of it at once, unless the browser blocks
    /// it; the back office does so 5 to 20 minutes later.
    fn buy(&mut self) {
        let buyer = self.device().signed_in.unwrap_or(self.person);
        let lines = std::mem::take(self.cart_mut()).lines;
        let number = order_number(self.shop.new_order());
        let blocked = self.home.rng.chance(40);
        let numberless = self.home.rng.chance(12);
        if !blocked {
            let guest = self.device().signed_in.is_none();
            // Guests without an account are sometimes told of without their address.
            let email = (!guest || self.home.rng.chance(850)).then(|| {
                let mut rng = self.home.rng.fork();
                self.home.people[buyer].typed_email(&mut rng)
            });
            let told = if numberless { "undefined" } else { &number };
            self.tell_of_purchase(told, email.as_deref(), &lines);
        }
        let device = self.device();
        let knows_device = device.has_cookie() && self.person.is_multiple_of(3);
        let ecid = knows_device.then(|| device.ecid.clone());
        let order = Order {
            household: self.household,
            person: buyer,
            number,
            lines,
            ecid,
            channel: Channel::Web,
            placed: self.now + 1_000,
            told_before: !blocked && !numberless,
            stage: Stage::Placed,
            rng: self.home.rng.fork(),
        };
        let report = self.now + self.home.rng.between(5 * MINUTE_MS, 20 * MINUTE_MS);
        self.shop.plan(report, Task::Order(Box::new(order)));
    }

    fn tell_of_purchase(&mut self, number: &str, email: Option<&str>, lines: &[Line]) {
        let mark = if number == "undefined" { mark::ORDER_WITHOUT_NUMBER } else { mark::ORDER };
        let total = total_cents(self.shop, lines);
        self.tell("commerce.purchases", mark, email, |json, shop, home| {
            xdm::commerce(json, home.country, "purchases", |json| {
                json.object("order", |json| {
                    json.text("purchaseID", number);
                    json.text("currencyCode", home.country.currency);
                    payments(json, number, total, home.country.currency);
                    json.text("orderType", "checkout");
                    json.number("discountAmount", 0);
                    json.cents("priceTotal", total);
                    json.cents("taxAmount", total * 21 / 121);
                });
                json.text("promotionID", "");
                json.object("shipping", |json| {
                    json.text("shippingMethod", "ground");
                    json.cents("shippingAmount", 495);
                });
            });
            if email.is_none() {
                json.object("personalEmail", |_| {});
            }
            xdm::items(json, &shop.products, lines, home.country);
        });
    }
}

/// Plans an order by phone at `time`: no storefront tells of it.
pub(super) fn order_by_phone(
    shop: &mut super::shop::Shop,
    home: &mut super::people::Household,
    household: usize,
    person: usize,
    time: i64,
) {
    let mut rng = home.rng.fork();
    let mut cart = Cart::default();
    for _ in 0..=rng.popular(3) {
        let product = rng.popular(shop.products.len());
        cart.add(Line { product, option: rng.below(4), quantity: 1 });
    }
    let report = time + rng.between(300 * SECOND_MS, 1_200 * SECOND_MS);
    let order = Order {
        household,
        person,
        number: order_number(shop.new_order()),
        lines: cart.lines,
        ecid: None,
        channel: Channel::Phone,
        placed: time,
        told_before: false,
        stage: Stage::Placed,
        rng,
    };
    shop.plan(report, Task::Order(Box::new(order)));
}
