//! An upgrade as its operator sees it: with real workers, by the commands.

use super::site::Site;
use crate::store::builds::EXPANDED;
use crate::worker::CART;
use crate::worker::events::{cart_add, consent};

const ANN: &[(&str, &str)] = &[("id", "7001"), ("email", "ann@shop.example")];

#[test]
fn workers_go_on_until_the_level_is_raised_and_then_only_those_that_speak_it() {
    let site = Site::new(2, &[CART], "");
    site.execute(EXPANDED);
    let worker = site.worker();
    site.sends(&site.web, &[("a", consent("1", ANN)), ("a", cart_add("2", ANN, "c1"))]);
    site.wait_for("the mails", "SELECT count(*) FROM messages", |messages| messages == 2);
    let status = || -> serde_json::Value {
        let told = site.done(&["upgrade", "status", "--json"]).stdout;
        serde_json::from_str(&told).expect("json")
    };
    let before = status();
    assert_eq!(before["level"], 1, "{before}");
    assert_eq!(before["workers"].as_array().map(Vec::len), Some(1), "{before}");
    assert_eq!(before["workers"][0]["lives"], true, "{before}");
    let told = site.done(&["upgrade", "status"]).stdout;
    assert!(told.contains("lives, seen"), "{told}");
    let told = site.done(&["upgrade", "finish"]).stderr;
    assert!(told.contains("level 1 already"), "{told}");

    // As the build after this one does.
    site.execute("UPDATE upgrade SET level = 2, build = '9.9.9'");
    let ended = worker.ended();
    assert_eq!(ended.code, Some(3), "{ended:?}");
    assert!(ended.stderr.contains("run Waypost 9.9.9 or a later one"), "{ended:?}");
    for command in [&["run"][..], &["migrate"], &["apply"], &["sending", "hold"]] {
        let refused = site.run(command);
        assert_eq!(refused.code, Some(3), "{command:?}: {refused:?}");
        let told = "run Waypost 9.9.9 or a later one";
        assert!(refused.stderr.contains(told), "{command:?}: {refused:?}");
    }
    assert_eq!(status()["raised_by"], "9.9.9");
}
