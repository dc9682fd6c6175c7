//! A made-up shop's traffic, as its feed would deliver it: seeded, so that the same options give
//! the same bytes on every machine.
//!
//! Households of one to four people are told through visits, which are planned a day at a time. The
//! agenda (`shop`) is lived through in order of time; what happens becomes lines (`lines`)
//! that wait until everything that arrived before them is written. Memory therefore grows with the
//! number of customers, never with the number of days.
//!
//! The traffic is as unpleasant as a real feed: carts filled before the sign-in, shared devices,
//! carts that shrink without an event, orders told of twice, duplicates, late records, broken ones.
//! Nobody can be reached by it: every address is under `.example`.

mod account;
mod cart;
mod catalog;
mod countries;
mod json;
mod lines;
mod orders;
mod people;
mod rng;
mod shop;
mod summary;
mod visit;
mod xdm;

use std::io;

use crate::model::{DAY_MS, MINUTE_MS, SECOND_MS, Timestamp};

use people::{Account, Household};
use shop::{Shop, Task};
use visit::Visit;

pub use summary::Summary;

/// The most customers that can be generated: order and customer numbers stay short.
pub const CUSTOMERS_MAX: u32 = 5_000_000;

/// The most days that can be generated: ten years.
pub const DAYS_MAX: u32 = 3_653;

/// What to generate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// How many people, known to the shop or not; 1 to [`CUSTOMERS_MAX`].
    pub customers: u32,
    /// How many days of 24 hours; 1 to [`DAYS_MAX`].
    pub days: u32,
    /// Another seed gives another shop.
    pub seed: u64,
    /// When the first day begins.
    pub start: Timestamp,
}

/// Why nothing, or not everything, was generated.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Too few or too many customers.
    #[error("can't generate {0} customers; ask for 1 to {CUSTOMERS_MAX}")]
    Customers(u32),
    /// Too few or too many days.
    #[error("can't generate {0} days; ask for 1 to {DAYS_MAX}")]
    Days(u32),
    /// The days do not lie between the years 1970 and 9000.
    #[error("can't generate days from {0} on; start between 1970 and 9000")]
    Start(Timestamp),
    /// The lines could not be written.
    #[error("can't write the events")]
    Write(#[from] io::Error),
}

/// Writes the events of `options` to `out`, one JSON object a line, in the order in which they
/// arrived: a late record stands where it came.
///
/// `progress` is told now and then how many lines are written, of how many expected; its last call
/// has both equal.
///
/// # Errors
///
/// Options outside their limits, before anything is written; and a failed write.
pub fn generate(
    options: &Options,
    out: &mut dyn io::Write,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<Summary, Error> {
    check(options)?;
    let start = options.start.ms();
    let end = start + i64::from(options.days) * DAY_MS;
    let expected = expected_lines(options);
    let mut out = io::BufWriter::with_capacity(1 << 16, out);
    let mut shop = Shop::new(end);
    let mut homes = settle(options, &mut shop);
    let mut told = 0;
    while let Some((now, task)) = shop.next_task(end) {
        shop.lines.write_before(now, &mut out)?;
        let written = shop.lines.summary.lines;
        if written >= told + PROGRESS_LINES {
            told = written;
            progress(written, expected.max(written));
        }
        happen(task, now, &mut homes, &mut shop);
    }
    shop.lines.write_before(i64::MAX, &mut out)?;
    io::Write::flush(&mut out)?;
    let mut summary = shop.lines.summary;
    summary.accounts = people(&homes, |person| matches!(person.account, Account::Is(_)));
    progress(summary.lines, summary.lines);
    Ok(summary)
}

/// How many lines are written between two calls of `progress`.
const PROGRESS_LINES: u64 = 4_096;

/// Lines of 1,000 customers in one day, measured over a week; the end of the progress is a guess.
const LINES_PER_1000_CUSTOMERS_AND_DAY: u64 = 7_200;

/// Profiles and consents of the accounts that exist are told of within this time from the start.
const BEGIN_MS: i64 = 20 * MINUTE_MS;

/// How many of 1,000 visits begin in each hour of the day at home.
const HOUR_WEIGHTS: [usize; 24] =
    [14, 8, 5, 3, 3, 5, 12, 26, 36, 42, 47, 50, 54, 52, 48, 47, 50, 56, 66, 84, 98, 92, 66, 36];

fn check(options: &Options) -> Result<(), Error> {
    if !(1..=CUSTOMERS_MAX).contains(&options.customers) {
        return Err(Error::Customers(options.customers));
    }
    if !(1..=DAYS_MAX).contains(&options.days) {
        return Err(Error::Days(options.days));
    }
    // 9000-01-01T00:00:00Z.
    if !(0..221_845_392_000_000).contains(&options.start.ms()) {
        return Err(Error::Start(options.start));
    }
    Ok(())
}

fn expected_lines(options: &Options) -> u64 {
    u64::from(options.customers) * u64::from(options.days) * LINES_PER_1000_CUSTOMERS_AND_DAY
        / 1_000
}

/// Makes the households and plans their first day.
fn settle(options: &Options, shop: &mut Shop) -> Vec<Household> {
    let mut homes = Vec::new();
    let mut settled = 0;
    while settled < options.customers {
        let index = homes.len();
        let home = Household::new(options.seed, index as u64, settled, options.customers - settled);
        settled += u32::try_from(home.people.len()).unwrap_or(u32::MAX);
        let through = BEGIN_MS * i64::from(settled) / i64::from(options.customers);
        shop.plan(options.start.ms() + through, Task::Begin { household: index });
        homes.push(home);
    }
    let summary = &mut shop.lines.summary;
    summary.customers = people(&homes, |_| true);
    summary.households = homes.len() as u64;
    summary.devices = homes.iter().map(|home| home.devices.len() as u64).sum();
    summary.devices_shared = homes.iter().filter(|home| home.shares_a_device()).count() as u64;
    homes
}

fn people(homes: &[Household], what: impl Fn(&people::Person) -> bool) -> u64 {
    homes.iter().flat_map(|home| &home.people).filter(|person| what(person)).count() as u64
}

fn happen(task: Task, now: i64, homes: &mut [Household], shop: &mut Shop) {
    match task {
        Task::Begin { household } => begin(household, now, &mut homes[household], shop),
        Task::Day { household } => plan_day(household, now, &mut homes[household], shop),
        Task::Visit { household, person, device } => {
            let home = &mut homes[household];
            let free = home.people[person].busy_until.max(home.devices[device].busy_until);
            if free > now {
                shop.plan(free, Task::Visit { household, person, device });
            } else {
                Visit { shop, home, household, person, device, now }.live();
            }
        }
        Task::Order(order) => {
            let household = order.household;
            order.go_on(now, &homes[household], shop);
        }
    }
}

/// Tells of the accounts that exist, then lets the household's days begin.
fn begin(household: usize, now: i64, home: &mut Household, shop: &mut Shop) {
    for person in 0..home.people.len() {
        if matches!(home.people[person].account, Account::Is(_)) {
            account::write_profile(shop, home, person, now);
            if home.people[person].consents {
                account::write_preference(shop, home, person, now, "consent.changed");
            }
        }
    }
    shop.plan(now, Task::Day { household });
}

/// Plans who comes when within the next 24 hours.
fn plan_day(household: usize, now: i64, home: &mut Household, shop: &mut Shop) {
    let hour = home.local_hour(now);
    for person in 0..home.people.len() {
        // Three chances a day, so that keen people come several times.
        for _ in 0..3 {
            let per_mille = home.people[person].visits_per_week * 1_000 / 21;
            if !home.rng.chance(per_mille) {
                continue;
            }
            let at = i64::try_from(home.rng.weighted(&HOUR_WEIGHTS)).unwrap_or(0);
            let hours = (at - hour).rem_euclid(24);
            let time = now + hours * 60 * MINUTE_MS + home.rng.between(0, 3_599 * SECOND_MS);
            let device =
                home.people[person].devices[home.rng.popular(home.people[person].devices.len())];
            shop.plan(time, Task::Visit { household, person, device });
        }
        if home.rng.chance(3) {
            let time = now + home.rng.between(0, DAY_MS - 1);
            cart::order_by_phone(shop, home, household, person, time);
        }
    }
    shop.plan(now + DAY_MS, Task::Day { household });
}
