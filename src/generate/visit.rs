//! One visit to the shop: someone looks around, perhaps fills a cart, perhaps buys.

use crate::model::SECOND_MS;

use super::catalog::{CATEGORIES, SHOP_URL};
use super::json::Json;
use super::people::{Account, Cart, Device, Household, Line, Person};
use super::shop::Shop;
use super::summary::{Tag, mark};
use super::xdm::{self, Channel, Envelope};

/// A visit under way.
pub(super) struct Visit<'a> {
    /// The shop visited.
    pub(super) shop: &'a mut Shop,
    /// The visitor's household.
    pub(super) home: &'a mut Household,
    /// Number of the household.
    pub(super) household: usize,
    /// Index of the visitor.
    pub(super) person: usize,
    /// Index of the device.
    pub(super) device: usize,
    /// What time it is.
    pub(super) now: i64,
}

impl Visit<'_> {
    /// Lives the visit through, from [`Self::now`] on.
    pub(super) fn live(mut self) {
        let shopping = self.home.rng.chance(480);
        self.something_leaves_the_cart_unseen();
        self.view_landing_page();
        self.settle_who_is_signed_in();
        for _ in 0..=self.home.rng.popular(11) {
            self.look_around(shopping);
        }
        self.mind_the_account();
        if !self.cart().lines.is_empty() && shopping {
            self.go_to_the_cart();
        }
        self.leave();
        let pause = self.home.rng.between(30 * SECOND_MS, 600 * SECOND_MS);
        self.home.people[self.person].busy_until = self.now + pause;
        self.home.devices[self.device].busy_until = self.now + pause;
    }

    /// Time passes: between `low` and `high` seconds.
    pub(super) fn pause(&mut self, low: i64, high: i64) {
        self.now += self.home.rng.between(low * SECOND_MS, high * SECOND_MS);
    }

    /// Tells of a storefront event; `facts` adds to the envelope.
    pub(super) fn tell(
        &mut self,
        kind: &'static str,
        marks: u16,
        email: Option<&str>,
        facts: impl FnOnce(&mut Json, &Shop, &Household),
    ) {
        let rng = &mut self.home.rng;
        let (id, id_mark) = self.shop.lines.id(self.household, self.now, rng);
        let numbers_as_text = rng.chance(15);
        let mut marks = marks | id_mark;
        let device = &self.home.devices[self.device];
        if !device.has_cookie() && email.is_none() {
            marks |= mark::NAMELESS;
        }
        if numbers_as_text {
            marks |= mark::NUMBERS_AS_TEXT;
        }
        let envelope = Envelope {
            id: &id,
            time: self.now,
            kind,
            ecid: Some(&device.ecid),
            account: None,
            email,
            channel: if device.app { Channel::App } else { Channel::Web },
            wrapped: device.wrapped,
        };
        let mut json = Json::with_numbers_as_text(numbers_as_text);
        xdm::event(&mut json, &envelope, |json| facts(json, self.shop, self.home));
        let tag = Tag { kind, broken: None, marks };
        let ecid = &self.home.devices[self.device].ecid;
        let rng = &mut self.home.rng;
        self.shop.lines.put_from_storefront(self.now, tag, json.into_bytes(), ecid, rng);
    }

    /// The device in use.
    pub(super) fn device(&self) -> &Device {
        &self.home.devices[self.device]
    }

    /// The visitor.
    pub(super) fn visitor(&self) -> &Person {
        &self.home.people[self.person]
    }

    /// The person whose account the shop takes the visitor for.
    pub(super) fn signed_in(&self) -> Option<&Person> {
        self.device().signed_in.map(|person| &self.home.people[person])
    }

    /// The cart in front of the visitor: the account's when signed in, else the device's.
    pub(super) fn cart(&self) -> &Cart {
        self.signed_in().map_or(&self.device().cart, |person| &person.cart)
    }

    /// As [`Self::cart`], to change it.
    pub(super) fn cart_mut(&mut self) -> &mut Cart {
        match self.home.devices[self.device].signed_in {
            Some(person) => &mut self.home.people[person].cart,
            None => &mut self.home.devices[self.device].cart,
        }
    }

    /// A cart can lose a line between visits, in a tab or storefront that tells nothing.
    fn something_leaves_the_cart_unseen(&mut self) {
        if !self.cart().lines.is_empty() && self.home.rng.chance(60) {
            let mut rng = self.home.rng.fork();
            let cart = self.cart_mut();
            cart.take_some(&mut rng);
            cart.shrunk = true;
        }
    }

    fn view_landing_page(&mut self) {
        let referrers =
            [None, None, Some("https://search.example/"), Some("https://news.example/")];
        let referrer = *self.home.rng.pick(&referrers);
        let sale = self.home.rng.chance(200);
        let (name, path, section) =
            if sale { ("Autumn sale", "sale", "CMS") } else { ("Home", "", "Home") };
        self.tell("web.webpagedetails.pageViews", 0, None, |json, _, _| {
            xdm::page(json, name, path, section, referrer);
        });
    }

    fn look_around(&mut self, shopping: bool) {
        self.pause(6, 150);
        match self.home.rng.weighted(&[24, 9, 67]) {
            0 => self.view_category(),
            1 if !self.device().silent => self.search(),
            _ => {
                let product = self.home.rng.popular(self.shop.products.len());
                self.view_product(product);
                if self.home.rng.chance(if shopping { 270 } else { 25 }) {
                    self.pause(4, 40);
                    self.add_to_cart(product);
                } else if self.home.rng.chance(30) {
                    self.pause(4, 40);
                    self.save_for_later(product);
                }
            }
        }
    }

    fn view_category(&mut self) {
        let category = self.home.rng.pick(&CATEGORIES);
        self.tell("web.webpagedetails.pageViews", 0, None, |json, _, _| {
            xdm::page(json, category.name, category.path, "Category", Some(SHOP_URL));
        });
    }

    fn search(&mut self) {
        let found = self.home.rng.popular(self.shop.products.len());
        let unit = format!("search-{}", self.home.rng.below(1_000_000));
        let results = self.home.rng.between(1, 24);
        let words = self.shop.products[found].category.name.to_lowercase();
        self.tell("searchRequest", 0, None, |json, _, _| {
            json.object("searchRequest", |json| {
                json.text("id", &unit);
                json.number("value", 1);
            });
            json.object("siteSearch", |json| {
                json.text("query", &words);
                json.array("sort", |json| {
                    json.element(|json| {
                        json.text("attribute", "relevance");
                        json.text("order", "DESC");
                    });
                });
                json.array("refinements", |_| {});
            });
        });
        self.now += self.home.rng.between(80, 900);
        self.tell("searchResponse", 0, None, |json, shop, _| {
            json.object("searchResponse", |json| {
                json.text("id", &unit);
                json.number("value", 1);
            });
            json.object("siteSearch", |json| {
                json.array("suggestions", |_| {});
                json.number("numberOfResults", results);
            });
            json.array("productListItems", |json| {
                json.element(|json| {
                    json.text("SKU", &shop.products[found].sku);
                    json.text("name", &shop.products[found].name);
                    json.text("productImageUrl", &shop.products[found].image);
                });
            });
        });
    }

    /// The page of the product, and the product view that goes with it.
    fn view_product(&mut self, product: usize) {
        self.tell("web.webpagedetails.pageViews", 0, None, |json, shop, _| {
            let product = &shop.products[product];
            let path = product.url.strip_prefix(SHOP_URL).unwrap_or_default();
            xdm::page(json, &product.name, path.trim_start_matches('/'), "Product", Some(SHOP_URL));
        });
        self.now += self.home.rng.between(20, 400);
        self.tell("commerce.productViews", 0, None, |json, shop, home| {
            xdm::commerce(json, home.country, "productViews", |_| {});
            xdm::viewed_item(json, &shop.products[product], home.country);
        });
    }

    fn save_for_later(&mut self, product: usize) {
        let line = Line { product, option: 0, quantity: 1 };
        self.tell("commerce.saveForLaters", 0, None, |json, shop, home| {
            xdm::commerce(json, home.country, "saveForLaters", |_| {});
            xdm::items(json, &shop.products, &[line], home.country);
        });
    }

    /// At the end some sign out; on a device that others use, most do.
    fn leave(&mut self) {
        let shared =
            self.home.people.iter().filter(|p| p.devices.contains(&self.device)).count() > 1;
        if self.signed_in().is_some() && self.home.rng.chance(if shared { 550 } else { 80 }) {
            self.pause(5, 60);
            self.sign_out();
        }
    }

    /// Whether the visitor could sign in.
    pub(super) fn has_account(&self) -> bool {
        matches!(self.visitor().account, Account::Is(_))
    }
}
