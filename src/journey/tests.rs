//! Whole files through the compiler.

use std::collections::BTreeSet;

use super::*;
use crate::diagnostic::Report;
use crate::model::{Delay, EventName, HOUR_MS};
use crate::yaml::{Kind, Node};

/// The journey of the reference, with everything in it.
const ABANDONED_CART: &str = r#"format: 1
journey: abandoned-cart
description: Remind shoppers of the cart they left.
status: live
class: marketing
topic: reminders
one_run_per: cart
starts_when: { event: cart.changed }
only_while: "cart.total >= money('20 EUR')"
stops_when:
  - { event: order.placed }
  - { event: cart.emptied }
gives_way_to: [ abandoned-checkout ]
again: { after: 7 days, per: cart }
no_address: { wait: 3 days }
send_only: { days: mon-sat, from: "09:00", to: "20:00", zone: customer, unknown_zone: Europe/Amsterdam }
if_late: { skip_after: 6h }
priority: 20
holdout: 10%
steps:
  - wait_quiet: { for: 1h, at_most: 6h }
  - email: abandoned-cart/first
  - wait: 23h
  - if: "cart.total >= money('100 EUR')"
    then: [ { email: { template: abandoned-cart/offer, coupon: cart10, id: offer } } ]
    else: [ { email: abandoned-cart/second } ]
  - wait_for: { event: cart.viewed, at_most: 20h, then: [ end ] }
  - sms: abandoned-cart/last
goal: { event: order.placed, within: 7 days }
"#;

const CHECKOUT: &str = r#"format: 1
journey: abandoned-checkout
starts_when: { event: checkout.started }
stops_when: { event: order.placed }
steps: [ { wait: 30m }, { email: abandoned-checkout/first } ]
"#;

fn compiled(files: &[&str]) -> Vec<Plan> {
    let files: Vec<SourceFile> =
        files.iter().map(|text| SourceFile::new("journeys/j.yaml", *text)).collect();
    let templates: BTreeSet<String> = [
        "abandoned-cart/first",
        "abandoned-cart/offer",
        "abandoned-cart/second",
        "abandoned-cart/last",
        "abandoned-checkout/first",
    ]
    .map(String::from)
    .into();
    let (plans, report) = compile(&files, Some(&templates));
    assert!(report.is_empty(), "{}", report.render(false));
    plans
}

#[test]
fn a_run_is_as_long_as_its_steps() {
    let plans = compiled(&[ABANDONED_CART, CHECKOUT]);
    let lengths: Vec<i64> = plans.iter().map(Plan::length_ms).collect();
    // Four messages may each wait three days for an address.
    assert_eq!(lengths, [(6 + 23 + 20 + 4 * 3 * 24) * HOUR_MS, HOUR_MS / 2]);
}

#[test]
fn the_whole_language_compiles() {
    let plans = compiled(&[ABANDONED_CART, CHECKOUT]);
    let plan = &plans[0];
    assert_eq!(plan.name, "abandoned-cart");
    assert_eq!(plan.one_run_per, RunPer::Cart);
    assert_eq!(plan.again, Again::After { delay: Delay::days(7), per: AgainPer::Key });
    assert_eq!((plan.priority, plan.holdout), (20, 1_000));
    assert_eq!(plan.skip_after, Some(Delay::exact(6 * HOUR_MS)));
    assert_eq!(plan.start_within, START_WITHIN_DEFAULT);
    let window = plan.send_only.as_ref().expect("a window");
    assert_eq!((window.from_minute, window.to_minute), (540, 1200));
    assert_eq!(window.days, [true, true, true, true, true, true, false]);
    let ids: Vec<&str> = plan.nodes.iter().map(|node| node.id.as_str()).collect();
    assert_eq!(
        ids,
        [
            "wait_quiet-1",
            "first",
            "wait-1",
            "if-1",
            "offer",
            "second",
            "wait_for-1",
            "end-1",
            "last",
            "end"
        ]
    );
    // Both branches join at `wait_for`; its `then` ends, its timeout goes on.
    assert!(matches!(plan.nodes[3].step, Step::If { then: 4, otherwise: 5, .. }));
    assert!(matches!(plan.nodes[4].step, Step::Message { next: 6, .. }));
    assert!(matches!(plan.nodes[5].step, Step::Message { next: 6, .. }));
    assert!(matches!(
        &plan.nodes[6].step,
        Step::WaitFor { then: 7, otherwise: 8, rule, .. } if rule.event == EventName::CartViewed
    ));
    assert!(matches!(plan.nodes[7].step, Step::End));
    assert!(matches!(plan.nodes[8].step, Step::Message { next: 9, .. }));
    let defaults = &plans[1];
    assert_eq!(defaults.again, Again::Never { per: AgainPer::Key });
    assert_eq!((defaults.priority, defaults.holdout), (PRIORITY_DEFAULT, 0));
    assert_eq!(defaults.one_run_per, RunPer::Customer);
    assert_eq!(defaults.class, Class::Marketing);
}

#[test]
fn only_the_structure_makes_the_version() {
    let version = |text: &str| compiled(&[text, CHECKOUT])[0].version;
    let original = version(ABANDONED_CART);
    for (from, to, same) in [
        ("Remind shoppers of the cart they left.", "Something else.", true),
        ("status: live", "status: draft # not yet", true),
        ("priority: 20\n", "\n\n# the more the merrier\npriority: 20\n", true),
        ("cart.total >= money('20 EUR')", "cart.total  >=  money('20 EUR')", true),
        ("wait: 23h", "wait: 23 hours", true),
        ("wait: 23h", "wait: 22h", false),
        ("cart.total >= money('20 EUR')", "cart.total > money('20 EUR')", false),
        ("holdout: 10%", "holdout: 11%", false),
        ("id: offer", "id: gift", false),
    ] {
        let changed = ABANDONED_CART.replacen(from, to, 1);
        assert_ne!(changed, ABANDONED_CART, "{from}");
        assert_eq!(version(&changed) == original, same, "{from} -> {to}");
    }
}

#[test]
fn the_shops_own_events_are_known_by_their_dot() {
    let text = "format: 1\njourney: alert\nstarts_when: { event: myshop.stockAlert }\n\
                steps: [ { email: abandoned-cart/first } ]\n";
    let plans = compiled(&[text]);
    let Start::Event { event, .. } = &plans[0].start else { panic!("a start by an event") };
    assert_eq!(*event, EventName::Custom("myshop.stockAlert".into()));
}

#[test]
fn files_from_other_systems_are_read() {
    let windows = format!("\u{feff}{}", ABANDONED_CART.replace('\n', "\r\n"));
    let [ours, theirs] = [ABANDONED_CART, &windows].map(|text| compiled(&[text, CHECKOUT]));
    assert_eq!(ours[0].version, theirs[0].version);
}

#[test]
fn thousands_of_mistakes_are_counted_and_not_all_shown() {
    let text: String = (0..20_000).map(|number| format!("field{number}: 1\n")).collect();
    let (_, report) = compile(&[SourceFile::new("j.yaml", text)], None);
    assert_eq!(report.diagnostics().len(), crate::diagnostic::MESSAGES_MAX);
    assert!(report.error_count() > 20_000);
    assert!(report.render(false).ends_with("more messages\n\n"));
}

#[test]
fn what_is_too_large_is_refused() {
    let with_steps = |steps: &str| {
        format!(
            "format: 1\njourney: long\nstarts_when: {{ event: order.shipped }}\nsteps:\n{steps}"
        )
    };
    let refused = |text: String| {
        let (plans, report) = compile(&[SourceFile::new("j.yaml", text)], None);
        assert!(plans.is_empty());
        report.diagnostics()[0].message.clone()
    };
    let long = with_steps(&"  - wait: 1h\n".repeat(STEPS_MAX + 1));
    assert_eq!(refused(long), "a journey has at most 200 steps");
    let fits = with_steps(&"  - wait: 1h\n".repeat(STEPS_MAX));
    assert!(compile(&[SourceFile::new("j.yaml", fits)], None).1.is_empty());
    let padded = format!("{}# {}\n", with_steps("  - wait: 1h\n"), "x".repeat(1_000_000));
    assert!(refused(padded).ends_with("at most 1000000 are read"));
}

/// Writes a tree as YAML again, with layout, quotes, order of keys and comments by chance.
struct Writer<'a> {
    chance: std::slice::Iter<'a, u8>,
}

impl Writer<'_> {
    fn pick(&mut self, of: u8) -> u8 {
        self.chance.next().map_or(0, |byte| byte % of)
    }

    fn scalar(&mut self, text: &str, plain: bool) -> String {
        let simple = |c: char| c.is_ascii_alphanumeric() || "-_/.% ".contains(c);
        let may_be_plain = plain && text.chars().all(simple);
        match self.pick(3) {
            0 if may_be_plain => text.to_owned(),
            1 => format!("'{}'", text.replace('\'', "''")),
            _ => format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\"")),
        }
    }

    fn flow(&mut self, node: &Node) -> String {
        match &node.kind {
            Kind::Scalar { text, plain } => self.scalar(text, *plain),
            Kind::List(nodes) => {
                let parts: Vec<String> = nodes.iter().map(|node| self.flow(node)).collect();
                format!("[ {} ]", parts.join(", "))
            }
            Kind::Map(entries) => {
                let parts: Vec<String> = entries
                    .iter()
                    .map(|(key, node)| format!("{}: {}", key.text, self.flow(node)))
                    .collect();
                format!("{{{}}}", parts.join(",  "))
            }
        }
    }

    fn block(&mut self, node: &Node, indent: usize) -> String {
        if matches!(node.kind, Kind::Scalar { .. }) || indent > 0 && self.pick(3) == 0 {
            return format!(" {}\n", self.flow(node));
        }
        let margin = " ".repeat(indent);
        let mut out = String::from(if indent == 0 { "" } else { "\n" });
        let mut line = |writer: &mut Self, lead: &str, node: &Node| {
            if writer.pick(4) == 0 {
                out.push_str("# a comment\n\n");
            }
            out.push_str(&format!("{margin}{lead}{}", writer.block(node, indent + 3)));
        };
        match &node.kind {
            Kind::Scalar { .. } => (),
            Kind::List(nodes) => nodes.iter().for_each(|node| line(self, "-", node)),
            Kind::Map(entries) => {
                let mut entries: Vec<_> = entries.iter().collect();
                let by = usize::from(self.pick(7)) % entries.len().max(1);
                entries.rotate_left(by);
                for (key, node) in entries {
                    line(self, &format!("{}:", key.text), node);
                }
            }
        }
        out
    }
}

proptest::proptest! {
    /// A file that was damaged anywhere is answered, and the answer can be shown.
    #[test]
    fn damaged_files_are_answered(
        damage in proptest::collection::vec(
            (0_usize..1200, proptest::sample::select(vec![
                "", "ü", "{", "[", "'", "\"", ":", "-", "\n", " ", "#", "&a", "*a", "!t", "|", "%", "\u{0}", "\t",
            ])),
            1..4,
        ),
    ) {
        let mut text = ABANDONED_CART.to_owned();
        for (at, put) in damage {
            let at = at.min(text.len() - 1);
            if text.is_char_boundary(at) && text.is_char_boundary(at + 1) {
                text.replace_range(at..=at, put);
            }
        }
        let (_, report) = compile(&[SourceFile::new("j.yaml", text)], None);
        let shown = report.render(true).len() + report.json_lines().len();
        proptest::prop_assert_eq!(shown == 0, report.is_empty());
    }

    #[test]
    fn layout_does_not_change_the_version(
        chance in proptest::collection::vec(proptest::prelude::any::<u8>(), 300),
    ) {
        let file = std::sync::Arc::new(SourceFile::new("journeys/j.yaml", ABANDONED_CART));
        let root = crate::yaml::parse(&file, &mut Report::default()).expect("a tree");
        let rewritten = Writer { chance: chance.iter() }.block(&root, 0);
        let original = compiled(&[ABANDONED_CART, CHECKOUT])[0].version;
        proptest::prop_assert_eq!(
            compiled(&[&rewritten, CHECKOUT])[0].version,
            original,
            "{}",
            rewritten
        );
    }
}
