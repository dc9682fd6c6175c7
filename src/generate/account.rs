//! What a visitor does with the account: signs in and out, makes, edits and deletes it, keeps
//! lists in it, agrees to mail and takes that back.

use crate::model::{MINUTE_MS, SECOND_MS};

use super::json::Json;
use super::lines::new_id;
use super::people::{Account, Household, Line};
use super::shop::Shop;
use super::summary::Tag;
use super::visit::Visit;
use super::xdm::{self, Channel, Envelope};

/// The back office's record of a person arrives this long after what caused it, in milliseconds.
const PROFILE_DELAY_MS: (i64, i64) = (6 * MINUTE_MS, 12 * MINUTE_MS);

impl Visit<'_> {
    /// At the beginning some sign in. Whoever finds another signed in mostly puts that right, by
    /// signing the other out or by signing in over it; the rest shop on in the other's name.
    pub(super) fn settle_who_is_signed_in(&mut self) {
        let found = self.device().signed_in;
        if found == Some(self.person) {
            return;
        }
        if found.is_some() {
            if self.has_account() && self.home.rng.chance(500) {
                self.sign_in();
            } else if self.home.rng.chance(700) {
                self.sign_out();
            }
        } else if self.has_account() && self.home.rng.chance(330) {
            self.sign_in();
        }
    }

    /// Before the checkout most who have an account use it, and some make one.
    pub(super) fn sign_in_before_checkout(&mut self) {
        if self.signed_in().is_some() {
            return;
        }
        if self.has_account() && self.home.rng.chance(800) {
            self.pause(8, 60);
            self.sign_in();
        } else if self.visitor().account == Account::Later && self.home.rng.chance(500) {
            self.pause(30, 150);
            self.create_account();
        }
    }

    /// Now and then a visitor sees to the account itself.
    pub(super) fn mind_the_account(&mut self) {
        if self.visitor().account == Account::Later && self.home.rng.chance(80) {
            self.pause(20, 120);
            self.create_account();
        }
        if self.device().signed_in != Some(self.person) {
            return;
        }
        if self.visitor().business && self.home.rng.chance(350) && !self.device().silent {
            self.keep_a_requisition_list();
        }
        if self.home.rng.chance(30) && !self.device().silent {
            self.pause(20, 120);
            self.tell_of_account("userAccount.updateProfile", "updateProfile");
            self.write_back_office("userAccount.backofficeUpdateProfile");
            let now = self.now;
            write_profile(self.shop, self.home, self.person, now);
        }
        if self.visitor().consents && self.home.rng.chance(12) {
            self.pause(10, 60);
            let now = self.now;
            write_preference(self.shop, self.home, self.person, now, "customer.unsubscribed");
            self.home.people[self.person].consents = false;
        }
        if self.home.rng.chance(2) {
            self.delete_account();
        }
    }

    /// The cart filled before the sign-in belongs to the customer from here on.
    fn sign_in(&mut self) {
        let before = std::mem::take(&mut self.home.devices[self.device].cart);
        self.home.devices[self.device].signed_in = Some(self.person);
        self.tell_of_account("userAccount.login", "login");
        let own = &mut self.home.people[self.person].cart;
        if own.id.is_none() {
            *own = before;
        } else {
            own.shrunk |= before.shrunk;
            before.lines.into_iter().for_each(|line| own.add(line));
        }
    }

    /// Signs whoever is signed in out; the cart stays with the account.
    pub(super) fn sign_out(&mut self) {
        if !self.device().silent {
            self.tell("userAccount.logout", 0, None, |json, _, _| {
                json.object("userAccount", |json| json.number("logout", 1));
            });
        }
        self.home.devices[self.device].signed_in = None;
    }

    fn create_account(&mut self) {
        let number = self.shop.new_account();
        self.home.people[self.person].account = Account::Is(number);
        self.tell_of_account("userAccount.createProfile", "createProfile");
        self.write_back_office("userAccount.backofficeCreateProfile");
        let now = self.now;
        write_profile(self.shop, self.home, self.person, now);
        if self.visitor().consents {
            let now = self.now + 2 * SECOND_MS;
            write_preference(self.shop, self.home, self.person, now, "consent.changed");
        }
        self.now += SECOND_MS;
        self.sign_in();
    }

    /// The account is gone, and what is under way of it still arrives.
    fn delete_account(&mut self) {
        self.pause(20, 90);
        self.write_back_office("userAccount.backofficeDeleteProfile");
        self.home.people[self.person].account = Account::Deleted;
        self.home.people[self.person].consents = false;
        for device in &mut self.home.devices {
            device.signed_in = device.signed_in.filter(|person| *person != self.person);
        }
    }

    fn keep_a_requisition_list(&mut self) {
        let mut rng = self.home.rng.fork();
        let list = format!("{}", 1 + rng.below(3));
        let name = format!("Requisition list {list}");
        let line = Line {
            product: rng.popular(self.shop.products.len()),
            option: 0,
            quantity: rng.between(5, 50),
        };
        let steps: &[(&'static str, &str, bool)] = &[
            ("commerce.requisitionListOpens", "requisitionListOpens", false),
            ("commerce.requisitionListAdds", "requisitionListAdds", true),
            ("commerce.requisitionListRemovals", "requisitionListRemovals", true),
            ("commerce.requisitionListDeletes", "requisitionListDeletes", false),
        ];
        for (kind, measure, with_items) in &steps[..1 + rng.below(4).max(1)] {
            self.pause(8, 60);
            let email = self.visitor().typed_email(&mut rng);
            self.tell(kind, 0, Some(&email), |json, shop, home| {
                xdm::commerce(json, home.country, measure, |json| {
                    json.object("requisitionList", |json| {
                        json.text("ID", &list);
                        json.text("name", &name);
                        json.text("description", "");
                    });
                });
                if *with_items {
                    xdm::items(json, &shop.products, &[line], home.country);
                }
            });
        }
    }

    /// Tells of an account event of the storefront: the measure is a bare number, and the address
    /// goes with it.
    fn tell_of_account(&mut self, kind: &'static str, measure: &str) {
        let mut rng = self.home.rng.fork();
        let email = self.visitor().typed_email(&mut rng);
        let account = self.visitor().account;
        self.tell(kind, 0, Some(&email), |json, _, _| {
            if let Account::Is(number) = account {
                json.object("person", |json| json.text("accountID", &number.to_string()));
            }
            json.object("userAccount", |json| json.number(measure, 1));
        });
    }

    /// Writes the back office's event about the account, which names it and no device.
    fn write_back_office(&mut self, kind: &'static str) {
        let Account::Is(number) = self.visitor().account else { return };
        let mut rng = self.home.rng.fork();
        let id = new_id(&mut rng);
        let person = self.visitor();
        let envelope = Envelope {
            id: &id,
            time: self.now,
            kind,
            ecid: None,
            account: Some(number),
            email: Some(&person.email),
            channel: Channel::Web,
            wrapped: false,
        };
        let mut json = Json::default();
        xdm::event(&mut json, &envelope, |json| {
            xdm::commerce(json, self.home.country, "", |_| {});
            json.object("person", |json| {
                json.object("name", |json| {
                    json.text("firstName", person.first_name);
                    json.text("lastName", person.last_name);
                });
            });
        });
        let arrival = self.now + rng.between(2 * SECOND_MS, 40 * SECOND_MS);
        self.shop.lines.put(arrival, Tag { kind, ..Tag::default() }, json.into_bytes());
    }
}

/// Writes the profile record of a person with an account, as it was at `time`.
pub(super) fn write_profile(shop: &mut Shop, home: &mut Household, person: usize, time: i64) {
    let mut rng = home.rng.fork();
    let id = new_id(&mut rng);
    let mut json = Json::default();
    xdm::profile(&mut json, &id, time, home, &home.people[person]);
    let arrival = time + rng.between(PROFILE_DELAY_MS.0, PROFILE_DELAY_MS.1);
    shop.lines.put(arrival, Tag { kind: "profile", ..Tag::default() }, json.into_bytes());
}

/// Writes what a person said about mail: agreed (`consent.changed`), or `customer.unsubscribed`.
pub(super) fn write_preference(
    shop: &mut Shop,
    home: &mut Household,
    person: usize,
    time: i64,
    kind: &'static str,
) {
    let mut rng = home.rng.fork();
    let id = new_id(&mut rng);
    let agreed = if home.country.double_opt_in { "confirmed" } else { "given" };
    let both = [("email", agreed), ("sms", "given")];
    let consents = match kind {
        "consent.changed" if rng.chance(250) => &both[..],
        "consent.changed" => &both[..1],
        _ => &[],
    };
    let email = &home.people[person].email;
    let mut json = Json::default();
    xdm::cloud_event(&mut json, &id, time, kind, email, consents);
    let arrival = time + rng.between(100, 3_000);
    shop.lines.put(arrival, Tag { kind, ..Tag::default() }, json.into_bytes());
}
