//! Mail: what is built is read by others, what is sent meets real servers and bad ones.

mod build;
mod judged;
pub(crate) mod postfix;
mod server;
mod smtp;

use waypost::mail::{Address, Mailbox, Message, Unsubscribe};
use waypost::model::{MessageId, Timestamp};

/// A file that tests share.
fn fixture(folder: &str, file: &str) -> std::path::PathBuf {
    std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(folder).join(file)
}

fn address(text: &str) -> Address {
    Address::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"))
}

fn mailbox(name: &str, text: &str) -> Mailbox {
    Mailbox { name: Some(name.to_owned()), address: address(text) }
}

/// A reminder with everything a message can have.
fn reminder() -> Message {
    Message {
        id: MessageId(0x0123_4567_89ab_cdef),
        date: Timestamp::from_ms(1_774_734_600_123),
        from: mailbox("The Shop", "hello@shop.example"),
        reply_to: Some(mailbox("Service", "service@shop.example")),
        to: mailbox("Zoë O'Hara", "zoe@bücher.example"),
        subject: "Your cart: 3 × “Mug” for 45 €".to_owned(),
        text: "Hi Zoë,\n.\nyour cart is waiting.\n.leading dot\n".to_owned(),
        html: format!("<p>Hi Zoë,</p>\n<p>{}</p>\n", "a long line without a break ".repeat(80)),
        unsubscribe: Some(Unsubscribe {
            url: format!("https://shop.example/u/{}", "t".repeat(86)),
            mailto: Some("mailto:unsubscribe@shop.example?subject=unsubscribe".to_owned()),
        }),
        list_id: Some("reminders.shop.example".to_owned()),
        feedback_id: Some("abandoned-cart:first:shop:waypost1".to_owned()),
    }
}
