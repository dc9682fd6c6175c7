//! A worker removes what was kept long enough, and verify does not miss it.

use waypost::model::Timestamp;
use waypost::store::{PgStore, Retention};

use super::site::Site;
use crate::worker::CART;
use crate::worker::events::{cart_add, consent};
use crate::worker::shop::{get, in_runtime, wait};

const ANN: &[(&str, &str)] = &[("id", "7001"), ("email", "ann@shop.example")];

#[test]
fn a_worker_removes_what_is_old_and_verify_does_not_miss_it() {
    let keep = "keep: { messages: 7 days, trace: 1 day, dead_letters: 1 day }";
    let site = Site::new(2, &[CART], keep);
    let worker = site.worker();
    site.sends(&site.web, &[("a", consent("1", ANN)), ("a", cart_add("2", ANN, "c1"))]);
    let told = "SELECT count(*) FROM messages WHERE outcome IS NOT NULL";
    site.wait_for("both mails and what became of them", told, |told| told == 2);
    worker.stops();
    let old = "SELECT (SELECT count(*) FROM trace WHERE at < 9) + count(*) FROM dead_letters";
    // The turn of the one that stopped is over, as after three minutes.
    site.execute(
        "UPDATE kept SET worker = NULL;
         UPDATE trace SET at = 7 WHERE kind = 'started';
         INSERT INTO dead_letters (source, partition, position, reason, whole, at)
             SELECT 1, 0, number, 'odd', false, 7 FROM generate_series(1, 2500) AS number",
    );
    assert_eq!(site.count(old), 2_501);

    let worker = site.worker();
    site.wait_for("what is old to go", old, |old| old == 0);
    // Counted after it is gone.
    wait("all to be counted", || {
        let text = get(worker.url(), "/metrics").expect("an answer").1;
        ["{table=\"trace\"} 1", "{table=\"dead_letters\"} 2500"]
            .iter()
            .all(|count| text.contains(&format!("waypost_rows_removed_total{count}\n")))
    });
    worker.stops();
    assert_eq!(site.count("SELECT count(*) FROM messages"), 2);
    let report = site.verified();
    assert_eq!((&report["messages"], &report["removed"]), (&2.into(), &0.into()), "{report}");

    // As in a week.
    let removed = in_runtime(async {
        let database = waypost::postgres::Postgres::connect(site.database(), None, 1).await;
        let store = PgStore::new(database.expect("Postgres"));
        store.remove_messages(Timestamp::from_ms(i64::MAX), 9).await.expect("they go")
    });
    assert_eq!(removed, 2);
    let report = site.verified();
    assert_eq!((&report["messages"], &report["removed"]), (&0.into(), &2.into()), "{report}");
}
