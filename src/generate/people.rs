//! Who shops: households with people, their devices and their carts.

use crate::model::Zone;

use super::countries::{COUNTRIES, Country, WEIGHTS};
use super::rng::Rng;

/// People who share an address, and now and then a device.
pub(super) struct Household {
    /// Everything that happens to the household is drawn from here.
    pub(super) rng: Rng,
    /// Where they live.
    pub(super) country: &'static Country,
    /// Index into the country's cities and zones.
    pub(super) place: usize,
    /// Their street and number.
    pub(super) street: String,
    /// One to four.
    pub(super) people: Vec<Person>,
    /// The first may be shared by all.
    pub(super) devices: Vec<Device>,
}

/// One person: a customer of the shop, known or not.
pub(super) struct Person {
    /// Given name.
    pub(super) first_name: &'static str,
    /// Family name.
    pub(super) last_name: &'static str,
    /// Address under which the person has an account or orders as a guest.
    pub(super) email: String,
    /// Language, as a BCP 47 tag.
    pub(super) locale: &'static str,
    /// Birth date, `YYYY-MM-DD`.
    pub(super) birth_date: String,
    /// Mobile number as the person typed it.
    pub(super) phone: String,
    /// The shop's customer id, once there is an account.
    pub(super) account: Account,
    /// Has agreed to mail.
    pub(super) consents: bool,
    /// Buys for a company, with requisition lists.
    pub(super) business: bool,
    /// How often the person comes in a week, on average.
    pub(super) visits_per_week: usize,
    /// The devices the person uses, by index.
    pub(super) devices: Vec<usize>,
    /// The cart that belongs to the account.
    pub(super) cart: Cart,
    /// Until when the person is on a visit, in milliseconds.
    pub(super) busy_until: i64,
}

/// Whether the person has an account.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Account {
    /// No, and wants none.
    Never,
    /// Not yet.
    Later,
    /// Yes, under this customer id.
    Is(u32),
    /// Not any more.
    Deleted,
}

/// A browser or app with its cookie id.
pub(super) struct Device {
    /// Adobe's device id, 38 digits; all zeros where the browser keeps no cookie.
    pub(super) ecid: String,
    /// The shop's app, not a browser.
    pub(super) app: bool,
    /// Its events keep the `xdm` wrapper.
    pub(super) wrapped: bool,
    /// A storefront that sends no removals, openings, sign-outs, edits, searches or lists.
    pub(super) silent: bool,
    /// Who is signed in, by index.
    pub(super) signed_in: Option<usize>,
    /// The cart of whoever is not signed in.
    pub(super) cart: Cart,
    /// Until when someone uses it, in milliseconds.
    pub(super) busy_until: i64,
}

/// A cart; empty until it is opened.
#[derive(Default)]
pub(super) struct Cart {
    /// The shop's cart id, from the first item on.
    pub(super) id: Option<u32>,
    /// What is in it.
    pub(super) lines: Vec<Line>,
    /// Something left it that no event told of.
    pub(super) shrunk: bool,
}

/// One line of a cart or order.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Line {
    /// Index of the product.
    pub(super) product: usize,
    /// Index of the chosen option.
    pub(super) option: usize,
    /// How many, at least 1.
    pub(super) quantity: i64,
}

/// The device id that every browser without a cookie shares.
pub(super) const NO_ECID: &str = "000000000000000000000000000000000000";

const MAIL_DOMAINS: [&str; 4] = ["mail.example", "post.example", "inbox.example", "work.example"];

impl Household {
    /// A household whose people are numbered from `first_person` on, of at most `people_max`.
    pub(super) fn new(seed: u64, index: u64, first_person: u32, people_max: u32) -> Self {
        let mut rng = Rng::new(seed, index + 1);
        let country = &COUNTRIES[rng.weighted(&WEIGHTS)];
        let place = rng.below(country.cities.len());
        let size = [1, 2, 3, 4][rng.weighted(&[72, 18, 6, 4])].min(people_max);
        let last_name = *rng.pick(country.last_names);
        let street = format!("{} {}", rng.pick(country.streets), rng.between(1, 180));
        let people = (first_person..first_person + size)
            .map(|number| Person::new(country, last_name, number, &mut rng))
            .collect();
        let mut household = Self { rng, country, place, street, people, devices: Vec::new() };
        household.hand_out_devices();
        household
    }

    /// The time zone they live in.
    pub(super) fn zone(&self) -> &'static str {
        self.country.zones[self.place % self.country.zones.len()]
    }

    /// Whether several people use the first device.
    pub(super) fn shares_a_device(&self) -> bool {
        self.people.iter().filter(|person| person.devices.contains(&0)).count() > 1
    }

    /// The hour of the day at home at `ms`.
    pub(super) fn local_hour(&self, ms: i64) -> i64 {
        let zone = Zone::named(self.zone()).unwrap_or_else(Zone::utc);
        i64::from(crate::model::Timestamp::from_ms(ms).zoned(&zone).hour())
    }

    /// Two people share the first device more often than not; half of them all have one more.
    fn hand_out_devices(&mut self) {
        let shared = self.people.len() > 1 && self.rng.chance(600);
        if shared {
            let device = Device::new(false, &mut self.rng);
            self.devices.push(device);
        }
        for person in &mut self.people {
            if shared {
                person.devices.push(0);
            }
            let own =
                if shared { self.rng.below(2) } else { 1 + usize::from(self.rng.chance(350)) };
            for _ in 0..own {
                person.devices.push(self.devices.len());
                // A further device is more often a phone with the shop's app.
                let app = self.rng.chance(if person.devices.len() > 1 { 500 } else { 100 });
                self.devices.push(Device::new(app, &mut self.rng));
            }
        }
    }
}

impl Person {
    fn new(country: &'static Country, last_name: &'static str, number: u32, rng: &mut Rng) -> Self {
        let first_name = *rng.pick(country.first_names);
        let account = match rng.weighted(&[56, 9, 35]) {
            0 => Account::Is(100_000 + number),
            1 => Account::Later,
            _ => Account::Never,
        };
        Self {
            first_name,
            last_name,
            email: format!(
                "{}.{}.{number}@{}",
                ascii_letters(first_name),
                ascii_letters(last_name),
                rng.pick(&MAIL_DOMAINS)
            ),
            locale: *rng.pick(country.locales),
            birth_date: format!(
                "{}-{:02}-{:02}",
                rng.between(1950, 2006),
                rng.between(1, 12),
                rng.between(1, 28)
            ),
            phone: format!("{}{number:06}", rng.pick(country.phone_starts)),
            account,
            consents: rng.chance(600),
            business: rng.chance(40),
            visits_per_week: [1, 4, 8, 16][rng.weighted(&[30, 40, 22, 8])],
            devices: Vec::new(),
            cart: Cart::default(),
            busy_until: i64::MIN,
        }
    }

    /// The address as the person types it this time: capitals come and go.
    pub(super) fn typed_email(&self, rng: &mut Rng) -> String {
        if rng.chance(60) {
            let mut typed = self.email.clone();
            typed[..1].make_ascii_uppercase();
            return typed;
        }
        self.email.clone()
    }
}

impl Device {
    fn new(app: bool, rng: &mut Rng) -> Self {
        let no_cookie = !app && rng.chance(6);
        let digits = |rng: &mut Rng| rng.next_u64() % 10_000_000_000_000_000_000;
        let ecid = if no_cookie {
            NO_ECID.to_owned()
        } else {
            format!("{:019}{:019}", digits(rng), digits(rng))
        };
        Self {
            ecid,
            app,
            wrapped: rng.chance(50),
            silent: app || rng.chance(150),
            signed_in: None,
            cart: Cart::default(),
            busy_until: i64::MIN,
        }
    }

    /// Whether its events can be told from those of other devices.
    pub(super) fn has_cookie(&self) -> bool {
        self.ecid != NO_ECID
    }
}

impl Cart {
    /// Puts a line in, or more of a line that is there.
    pub(super) fn add(&mut self, line: Line) {
        let same = |other: &&mut Line| other.product == line.product && other.option == line.option;
        match self.lines.iter_mut().find(same) {
            Some(there) => there.quantity += line.quantity,
            None => self.lines.push(line),
        }
    }

    /// Takes one of a line, or the line; gives what was taken. The cart must not be empty.
    pub(super) fn take_some(&mut self, rng: &mut Rng) -> Line {
        let at = rng.below(self.lines.len());
        let line = self.lines[at];
        if line.quantity > 1 {
            self.lines[at].quantity -= 1;
            return Line { quantity: 1, ..line };
        }
        self.lines.remove(at)
    }
}

/// The lower-case letters of a name that an address can hold.
fn ascii_letters(name: &str) -> String {
    name.to_lowercase()
        .chars()
        .filter_map(|letter| match letter {
            'a'..='z' => Some(letter),
            'ä' => Some('a'),
            'ë' => Some('e'),
            'ö' => Some('o'),
            'ü' => Some('u'),
            _ => None,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn households_have_people_with_devices_and_addresses_that_reach_nobody() {
        for index in 0..300 {
            let household = Household::new(7, index, 10, 3);
            assert!((1..=3).contains(&household.people.len()));
            assert!(Zone::named(household.zone()).is_some());
            for person in &household.people {
                assert!(person.email.ends_with(".example"), "{}", person.email);
                assert!(person.devices.iter().all(|device| *device < household.devices.len()));
                assert!(crate::model::Identity::email(&person.email).is_some());
                let country = household.country.code.parse().ok();
                let phone = phonenumber::parse(country, &person.phone).expect("a number");
                assert!(phonenumber::is_valid(&phone), "{}", person.phone);
            }
            let idle = household.people.iter().filter(|person| person.devices.is_empty()).count();
            assert_eq!(idle, 0);
        }
    }

    #[test]
    fn a_cart_joins_equal_lines_and_gives_back_what_was_taken() {
        let mut cart = Cart::default();
        let line = Line { product: 1, option: 0, quantity: 1 };
        cart.add(line);
        cart.add(line);
        assert_eq!(cart.lines, [Line { quantity: 2, ..line }]);
        let mut rng = Rng::new(0, 0);
        assert_eq!(cart.take_some(&mut rng), line);
        assert_eq!(cart.take_some(&mut rng), line);
        assert!(cart.lines.is_empty());
    }
}
