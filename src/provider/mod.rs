//! What sending by mail and by SMS share.
//!
//! - [`Answer`]: how one try to send ended, and what may be done next.
//! - [`Net`]: sockets to providers, with certificates checked.
//! - [`Caught`]: messages kept in a folder instead of being sent.

mod answer;
mod caught;
mod net;

pub use answer::{Answer, Class, Phase, REPLY_BYTES_MAX, scrub};
pub use caught::{Caught, CaughtError, Note};
pub use net::{Net, NetError};
pub(crate) use net::{Stream, is_loopback};
