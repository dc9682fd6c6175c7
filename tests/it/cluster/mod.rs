//! The worker of production as real processes, on a real broker and a real database.

mod commands;
mod faults;
mod first;
mod identities;
mod large;
mod observe;
mod outage;
mod poison;
mod restored;
mod retention;
pub(crate) mod site;
mod snapshot;
mod storm;
mod topics;
mod upgrade;
