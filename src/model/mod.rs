//! The words shared by every module: plain data with the parsing that belongs to it.
//!
//! - [`Event`]: one thing a customer did, with its effective time and its [`Tie`].
//! - [`EventName`]: what happened, dotted, lower case, past tense.
//! - [`Timestamp`], [`Delay`]: an instant, and a length of time as an author writes it.
//! - [`Amount`], [`Money`]: exact decimal money.
//! - [`CustomerId`], [`RunId`], [`MessageId`]: derived ids, hashes of their cause.
//! - [`Identity`]: one of the many names of a customer.

mod event;
mod id;
mod identity;
mod money;
mod name;
mod time;

pub use event::*;
pub use id::*;
pub use identity::*;
pub use money::*;
pub use name::*;
pub use time::*;

/// A short text: SKUs, codes and names rarely exceed the 24 bytes that are stored in place.
pub type Text = compact_str::CompactString;
