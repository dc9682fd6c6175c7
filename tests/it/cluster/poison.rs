//! Records that nobody can read: each is a dead letter, and no partition waits behind it.

use super::site::Site;
use crate::worker::CART;
use crate::worker::events::{cart_add, consent};

#[test]
fn what_can_not_be_read_holds_nobody_up() {
    let site = Site::new(4, &[CART], "");
    let worker = site.worker();
    let deep = format!("{}1{}", "[".repeat(500), "]".repeat(500));
    let long = format!("{{\"specversion\":\"1.0\",\"pad\":\"{}\"}}", "x".repeat(1 << 20));
    let no_one = br#"{"specversion":"1.0","id":"1","source":"s","type":"cart.viewed","data":{}}"#;
    let poison: Vec<&[u8]> = vec![
        b"",
        b"not JSON",
        b"\xff\xfe\x00",
        b"{\"specversion\":\"1.0\"}",
        deep.as_bytes(),
        long.as_bytes(),
        no_one,
        // What it is refused for quotes a character that Postgres takes in no text.
        br#"{"specversion":"9\u0000","id":"2","source":"s","type":"cart.viewed","data":{}}"#,
    ];
    // Bytes of nobody in the workers' own topic, too: they came by no worker.
    site.sends_bytes(&site.web, &poison);
    site.sends_bytes(&site.office, &poison);
    // The broker itself refuses the long one there.
    let shorter: Vec<&[u8]> = poison.iter().copied().filter(|one| one.len() < 1 << 20).collect();
    site.sends_bytes(&site.feedback(), &shorter);
    let letters = "SELECT count(*) FROM dead_letters";
    site.wait_for("a dead letter for each", letters, |letters| letters == 23);
    let ann = [("email", "ann@shop.example")];
    let good = [("a", consent("1", &ann)), ("a", cart_add("2", &ann, "c1"))];
    site.sends(&site.web, &good);
    let sent = "SELECT count(*) FROM deliveries WHERE status = 'sent'";
    site.wait_for("the mail", sent, |sent| sent >= 1);
    worker.stops();
    // Read again they are the same letters.
    let worker = site.worker();
    site.wait_for("the second mail", sent, |sent| sent == 2);
    worker.stops();
    assert_eq!(site.count(letters), 23);
    let placed = "SELECT count(DISTINCT (source, partition, position)) FROM dead_letters";
    assert_eq!(site.count(placed), 23, "each with its place");
    site.verified();
}
