//! SMS: segments counted, messages handed to an HTTP provider.
//!
//! - [`Number`]: a number in E.164.
//! - [`segments`]: what a text costs; [`plain`]: the same text in cheaper letters.
//! - [`Twilio::send`]: one message, with an [`Answer`](crate::provider::Answer) that says what may
//!   be done next.

mod classes;
mod http;
mod number;
mod plain;
mod segments;
mod twilio;

pub use classes::twilio_class;
pub use number::{Number, NumberError};
pub use plain::{plain, tidy};
pub use segments::{Encoding, Segments, segments};
pub use twilio::{Sender, SetupError, Sms, Timeouts, Twilio, TwilioSettings};
