//! The worker of production as real processes, on a real broker and a real database.

mod first;
mod identities;
mod outage;
mod poison;
mod site;
mod storm;
