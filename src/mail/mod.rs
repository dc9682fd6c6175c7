//! Mail: messages built, signed, and handed to an SMTP server.
//!
//! - [`Message::build`]: the bytes of a message, the same for the same message.
//! - [`Dkim`]: a key that signs them.
//! - [`Smtp::send`]: one message over one connection, with an [`Answer`](crate::provider::Answer)
//!   that says what may be done next.
//!
//! Text that comes from customers is made harmless here, whoever calls: [`Address::parse`],
//! [`clean_line`].

mod address;
mod classes;
mod clean;
mod dkim;
mod message;
mod smtp;
mod wire;

pub use address::{Address, AddressError};
pub use clean::{clean_line, clean_name};
pub use dkim::{Dkim, DkimError};
pub use message::{BuildError, Mailbox, Message, Unsubscribe};
pub use smtp::{Envelope, Security, SetupError, Smtp, SmtpSettings};
pub use wire::Timeouts;
