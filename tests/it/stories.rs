//! Journeys told as stories: each `tests/stories/*.md` holds journeys, events and what comes of
//! them. `UPDATE=1` rewrites what is expected; the difference is for a person to judge.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use waypost::engine::{Delivery, Effect, Options};
use waypost::journey::{Catalog, Rules, SourceFile, compile};
use waypost::lane::{Lane, Merges, NoStore, Release, Timeline};
use waypost::log::{CartMoved, Control, CustomerEvent, Merge, Record};
use waypost::model::{
    Channel, ConsentFact, ConsentStatus, CustomerId, Delay, Event, EventName, Identity, Item,
    ItemsAre, MessageChannel, MessageId, Money, OrderFacts, OutcomeFact, PageFacts, ProfileFacts,
    ReleaseId, Text, Tie, Timestamp, derive,
};

use crate::support::block_on;

#[test]
fn stories_come_out_as_told() {
    let mut failures = String::new();
    let mut told = 0;
    for path in crate::support::files("tests/stories", "md") {
        let text = std::fs::read_to_string(&path).expect("a story file");
        let (actual, stories) = retell(&text, &path);
        told += stories;
        if actual != text {
            if crate::support::update() {
                std::fs::write(&path, actual).expect("the story file can be written");
            } else {
                let _ = writeln!(failures, "{}:\n{}", path.display(), differing(&text, &actual));
            }
        }
    }
    assert!(failures.is_empty(), "{failures}\n(UPDATE=1 rewrites what is expected)");
    assert!(told >= 10, "only {told} stories were found");
}

/// The lines in which two tellings differ.
fn differing(told: &str, actual: &str) -> String {
    let (told, actual): (Vec<&str>, Vec<&str>) = (told.lines().collect(), actual.lines().collect());
    let mut out = String::new();
    let first =
        told.iter().zip(&actual).position(|(a, b)| a != b).unwrap_or(told.len().min(actual.len()));
    let from = first.saturating_sub(6);
    for (line, sign) in [(&told, "told  "), (&actual, "actual")] {
        for text in line.iter().skip(from).take(24) {
            let _ = writeln!(out, "  {sign} | {text}");
        }
    }
    out
}

/// The file with its `expect` blocks as they come out, and how many stories it has.
fn retell(text: &str, path: &Path) -> (String, usize) {
    let mut out = String::new();
    let mut journeys: Vec<String> = Vec::new();
    let mut events = String::new();
    let mut stories = 0;
    let mut lines = text.lines();
    let mut fresh = false;
    while let Some(line) = lines.next() {
        out.push_str(line);
        out.push('\n');
        let Some(kind) = line.strip_prefix("```").filter(|kind| !kind.is_empty()) else { continue };
        let block: String = lines
            .by_ref()
            .take_while(|line| *line != "```")
            .fold(String::new(), |block, line| block + line + "\n");
        match kind {
            "yaml" | "shipped" => {
                if !fresh {
                    journeys.clear();
                }
                fresh = true;
                match kind {
                    "yaml" => journeys.push(block.clone()),
                    _ => journeys.extend(shipped(&block)),
                }
                out.push_str(&block);
            }
            "events" => {
                events.clone_from(&block);
                out.push_str(&block);
            }
            "expect" => {
                stories += 1;
                fresh = false;
                out.push_str(&tell(&journeys, &events, path));
            }
            other => panic!("{}: a block of kind {other}", path.display()),
        }
        out.push_str("```\n");
    }
    (out, stories)
}

/// The shipped journeys that a block names, one a line; all of them for `all`.
fn shipped(block: &str) -> Vec<String> {
    let names: Vec<String> = block.lines().map(|name| format!("journeys/{name}.yaml")).collect();
    let files = waypost::shipped::journeys();
    for name in &names {
        let known = name == "journeys/all.yaml" || files.iter().any(|file| file.path == *name);
        assert!(known, "{name} does not ship");
    }
    let all = names == ["journeys/all.yaml"];
    let wanted = files.into_iter().filter(|file| all || names.contains(&file.path));
    wanted.map(|file| file.text).collect()
}

/// Runs the events through the journeys and tells the decisions and the ends of runs.
fn tell(journeys: &[String], events: &str, path: &Path) -> String {
    let files: Vec<SourceFile> = journeys
        .iter()
        .map(|text| SourceFile::new(path.display().to_string(), text.as_str()))
        .collect();
    let (plans, report) = compile(&files, None);
    assert!(!report.has_errors(), "{}", report.render(false));
    let mut script = Script::parse(events);
    let options = Options { delivery: Delivery::Assumed, assume_reachable: false };
    let rules = std::mem::take(&mut script.rules);
    let timeline = match script.active {
        None => Timeline::fixed(Catalog::new(plans, rules), options),
        Some(at) => {
            let id = ReleaseId(1);
            let first = script.records.first().map_or(at, |(arrival, _)| at.min(*arrival));
            let control = Record::Control(Box::new(Control { release: id, at }));
            script.records.insert(0, (first, control));
            Timeline::of_log(vec![Release { id, plans, rules }], options)
        }
    };
    let mut lane = block_on(Lane::take(NoStore, 0, 1, timeline, Merges::Inline)).expect("a lane");
    let mut told = Told::default();
    for (offset, (arrival, record)) in (0_u64..).zip(script.records) {
        block_on(lane.advance_to(arrival.plus_ms(-1))).expect("time moves");
        block_on(lane.flush()).expect("a flush");
        told.take(lane.take_output().effects, script.start, &script.names);
        let record = told.reply(record, &script.replies, &script.names);
        block_on(lane.push(offset, record)).expect("a record");
        block_on(lane.flush()).expect("a flush");
        told.take(lane.take_output().effects, script.start, &script.names);
    }
    block_on(lane.advance_to(script.until)).expect("time moves");
    block_on(lane.flush()).expect("a flush");
    told.take(lane.take_output().effects, script.start, &script.names);
    told.finish()
}

#[derive(Default)]
struct Told {
    lines: Vec<(Timestamp, usize, String)>,
    messages: BTreeMap<MessageId, usize>,
    /// The latest message of each customer, journey and step.
    latest: BTreeMap<String, MessageId>,
}

impl Told {
    /// The record with the message that it is a reply to.
    fn reply(
        &self,
        mut record: Record,
        replies: &BTreeMap<Text, String>,
        names: &BTreeMap<CustomerId, String>,
    ) -> Record {
        if let Record::Event(told) = &mut record
            && let Some(step) = replies.get(&told.event.id)
        {
            let key = format!("{} {step}", names[&told.customer]);
            let message = *self.latest.get(&key).unwrap_or_else(|| panic!("no message: {key}"));
            let nothing = OutcomeFact { message, revision: None, reason: None, link: None };
            told.event.outcome = Some(Box::new(nothing));
        }
        record
    }

    fn take(
        &mut self,
        effects: Vec<(CustomerId, Effect)>,
        start: Timestamp,
        names: &BTreeMap<CustomerId, String>,
    ) {
        for (customer, effect) in effects {
            let name = names.get(&customer).map_or("?", String::as_str);
            match effect {
                Effect::Decide(decision) => {
                    let verdict = match decision.withheld {
                        None => "send".to_owned(),
                        Some(reason) => format!("withheld ({})", reason.as_str()),
                    };
                    let cart = cart_of(&decision.data);
                    let expires = decision
                        .expires
                        .map(|at| format!(" until {}", after(start, at)))
                        .unwrap_or_default();
                    let line = format!(
                        "{name} {} {} {} {verdict}{expires} [{cart}]",
                        decision.journey,
                        decision.step,
                        decision.channel.as_str()
                    );
                    self.messages.insert(decision.message, self.lines.len());
                    let key = format!("{name} {}/{}", decision.journey, decision.step);
                    self.latest.insert(key, decision.message);
                    self.push(decision.at, line);
                }
                Effect::Cancel { message, reason } => {
                    let line = &mut self.lines[self.messages[&message]].2;
                    *line = line.replacen(" send", &format!(" withheld ({})", reason.as_str()), 1);
                }
                Effect::Revise { message, revision, data } => {
                    let line = &mut self.lines[self.messages[&message]].2;
                    let _ = write!(line, " revision {revision} [{}]", cart_of(&data));
                }
                Effect::Trace(trace) => {
                    use waypost::engine::TraceKind;
                    let journey =
                        trace.journey.as_ref().map(|(journey, _)| journey.as_str()).unwrap_or("-");
                    let reason = trace.reason.map_or("", |reason| reason.as_str());
                    let shown = matches!(
                        trace.kind,
                        TraceKind::Started
                            | TraceKind::NotStarted
                            | TraceKind::Stopped
                            | TraceKind::GoalReached
                            | TraceKind::Merged
                            | TraceKind::CartMoved
                            | TraceKind::Late
                            | TraceKind::Duplicate
                            | TraceKind::Erased
                            | TraceKind::Unknowable
                    );
                    if shown {
                        let word = trace.kind.as_str();
                        let line = format!("{name} {journey} {word} {reason}");
                        self.push(trace.at, line.trim_end().to_owned());
                    }
                }
                Effect::Outcome { .. }
                | Effect::HandOver { .. }
                | Effect::Forward { .. }
                | Effect::Erase
                | Effect::Consent(_) => {}
            }
        }
        // Times are told after the start, once all lines of this round are in.
        for (at, _, line) in &mut self.lines {
            if !line.starts_with('+') && !line.starts_with('-') {
                *line = format!("{} {line}", after(start, *at));
            }
        }
    }

    fn push(&mut self, at: Timestamp, line: String) {
        self.lines.push((at, self.lines.len(), line));
    }

    fn finish(mut self) -> String {
        self.lines.sort();
        if self.lines.is_empty() {
            return "nothing\n".into();
        }
        let mut told = String::new();
        for same in self.lines.chunk_by(|(_, _, a), (_, _, b)| a == b) {
            let line = &same[0].2;
            match same.len() {
                1 => told += &format!("{line}\n"),
                times => told += &format!("{line} ({times} times)\n"),
            }
        }
        told
    }
}

/// The cart that a template would see, such as `A*1 B*2`.
fn cart_of(data: &str) -> String {
    let data: serde_json::Value = serde_json::from_str(data).expect("json");
    let items = data["cart"]["items"].as_array().into_iter().flatten();
    let line = |item: &serde_json::Value| {
        format!("{}*{}", item["sku"].as_str().unwrap_or("?"), item["quantity"])
    };
    items.map(line).collect::<Vec<_>>().join(" ")
}

/// How long after the start, such as `+1h30m`.
fn after(start: Timestamp, at: Timestamp) -> String {
    let ms = at.since_ms(start);
    let sign = if ms < 0 { "-" } else { "+" };
    let text = Delay::exact(ms.abs()).to_string().replace(' ', "");
    format!("{sign}{text}")
}

/// The events of a story.
struct Script {
    start: Timestamp,
    until: Timestamp,
    records: Vec<(Timestamp, Record)>,
    names: BTreeMap<CustomerId, String>,
    /// The messages that outcomes speak of, by event: `message=JOURNEY/STEP`.
    replies: BTreeMap<Text, String>,
    rules: Rules,
    /// Since when the journeys are in force; from the beginning unless it is said.
    active: Option<Timestamp>,
}

impl Script {
    /// `start TIME`, `known NAME..`, `until +D`, `config YAML-ish` lines, then events:
    /// `+10m ann cart.item_added A*2@45 cart=c1`; `+10m>+2h` happened at +10m and arrives at +2h.
    fn parse(text: &str) -> Self {
        let mut script = Self {
            start: "2026-03-02T10:00:00Z".parse().expect("a time"),
            until: Timestamp::MIN,
            records: Vec::new(),
            names: BTreeMap::new(),
            replies: BTreeMap::new(),
            rules: Rules::default(),
            active: None,
        };
        for (number, line) in text.lines().flat_map(expand).enumerate() {
            let words: Vec<&str> = line.split_whitespace().collect();
            match words.as_slice() {
                [] => {}
                ["start", time] => script.start = time.parse().expect("a start time"),
                ["until", after] => script.until = script.time(after),
                ["known", names @ ..] => names.iter().for_each(|name| script.known(name)),
                ["active", after] => script.active = Some(script.time(after)),
                [when, name, "loses", cart] => {
                    let (time, customer) = (script.time(when), script.customer(name));
                    let cart_id = Text::from(*cart);
                    let moved = CartMoved { customer, cart_id, time, tie: tie(number) };
                    script.records.push((time, Record::CartMoved(Box::new(moved))));
                }
                ["cap", at_most, per, on_cap] => script.cap(at_most, per, on_cap),
                ["settle", delay] => {
                    let settle = delay.parse().expect("a delay");
                    let rule = waypost::journey::SourceRule { settle, carries: None };
                    script.rules.sources.insert("shop".into(), rule);
                }
                [when, loser, "becomes", winner] => {
                    let (happened, arrives) = when.split_once('>').unwrap_or((when, when));
                    let (at, arrives) = (script.time(happened), script.time(arrives));
                    let (loser, winner) = (script.customer(loser), script.customer(winner));
                    let merge = Merge {
                        loser,
                        winner,
                        time: at,
                        tie: tie(number),
                        id: u64::try_from(number).expect("a line number"),
                    };
                    script.records.push((arrives, Record::Merge(Box::new(merge))));
                }
                [when, name, event, facts @ ..] => script.event(number, when, name, event, facts),
                other => panic!("what is {other:?}?"),
            }
        }
        let last = script.records.iter().map(|(at, _)| *at).max().unwrap_or(script.start);
        if script.until == Timestamp::MIN {
            script.until = last.plus_ms(100 * waypost::model::DAY_MS);
        }
        script
    }

    fn time(&self, after: &str) -> Timestamp {
        let sign = if after.starts_with('-') { -1 } else { 1 };
        let delay: Delay = after.trim_start_matches(['+', '-']).parse().expect("a time");
        self.start.plus_ms(sign * delay.nominal_ms())
    }

    fn customer(&mut self, name: &str) -> CustomerId {
        let id = CustomerId(derive("story", &[name.as_bytes()]));
        self.names.insert(id, name.to_owned());
        id
    }

    fn cap(&mut self, at_most: &str, per: &str, on_cap: &str) {
        self.rules.caps.push(waypost::journey::Cap {
            channel: None,
            topic: None,
            at_most: at_most.parse().expect("a number"),
            per: per.parse().expect("a delay"),
            on_cap: match on_cap {
                "skip" => waypost::journey::OnCap::Skip,
                _ => waypost::journey::OnCap::Wait,
            },
        });
    }

    /// A customer with addresses and consent, from the day before.
    fn known(&mut self, name: &str) {
        let at = self.start.plus_ms(-waypost::model::DAY_MS);
        let customer = self.customer(name);
        let mut event = Event::new(format!("known {name}"), EventName::ConsentChanged, at);
        event.identities.extend(Identity::email(&format!("{name}@shop.example")));
        event.identities.extend(Identity::phone("+31612345678"));
        event.consents = [MessageChannel::Email, MessageChannel::Sms]
            .map(|channel| ConsentFact { channel, topic: None, status: ConsentStatus::Given })
            .to_vec();
        self.records.push((at, Record::Event(Box::new(CustomerEvent { customer, event }))));
    }

    fn event(&mut self, number: usize, when: &str, name: &str, event: &str, facts: &[&str]) {
        let (happened, arrives) = when.split_once('>').unwrap_or((when, when));
        let (time, arrives) = (self.time(happened), self.time(arrives));
        let customer = self.customer(name);
        let mut event = Event::new(format!("line {number}"), EventName::new(event), time);
        event.tie = tie(number);
        event.items_are = match event.name {
            EventName::CartItemAdded | EventName::CartItemRemoved | EventName::CartOpened => {
                ItemsAre::Delta
            }
            EventName::CartViewed | EventName::CheckoutStarted | EventName::OrderPlaced => {
                ItemsAre::Whole
            }
            _ => ItemsAre::Mentioned,
        };
        if event.name == EventName::OrderPlaced {
            event.order = Some(Box::new(OrderFacts::default()));
        }
        for fact in facts {
            self.fact(&mut event, fact);
        }
        if event.items.is_empty() && event.name == EventName::CheckoutStarted {
            event.items_are = ItemsAre::Mentioned;
        }
        self.records.push((arrives, Record::Event(Box::new(CustomerEvent { customer, event }))));
    }

    fn fact(&mut self, event: &mut Event, fact: &str) {
        let profile = |event: &mut Event, set: &dyn Fn(&mut ProfileFacts)| {
            set(event.profile.get_or_insert_default());
        };
        match fact.split_once('=') {
            None if fact == "history" => event.history = true,
            None => event.items.push(item(fact)),
            Some(("cart", id)) => event.cart_id = Some(id.into()),
            Some(("id", id)) => event.id = id.into(),
            Some(("order", id)) => event.order.get_or_insert_default().id = Some(id.into()),
            Some(("scope", scope)) => event.order.get_or_insert_default().scope = scope.into(),
            Some(("total", total)) => {
                let total: Money = total.parse().expect("money");
                let order = event.order.get_or_insert_default();
                order.total = Some(total.amount);
                order.currency = total.currency;
            }
            Some(("source", number)) => event.tie.source = number.parse().expect("a number"),
            Some(("email", email)) => event.identities.extend(Identity::email(email)),
            Some(("zone", zone)) => profile(event, &|facts| facts.zone = Some(zone.into())),
            Some(("country", code)) => profile(event, &|facts| facts.country = Some(code.into())),
            Some(("first_name", name)) => {
                profile(event, &|facts| facts.first_name = Some(name.into()));
            }
            Some(("channel", channel)) => {
                event.channel = match channel {
                    "web" => Channel::Web,
                    "app" => Channel::App,
                    "store" => Channel::Store,
                    _ => Channel::Phone,
                }
            }
            Some(("consent", said)) => {
                let (channel, status) = said.split_once(':').expect("channel:status");
                event.consents.push(ConsentFact {
                    channel: if channel == "sms" {
                        MessageChannel::Sms
                    } else {
                        MessageChannel::Email
                    },
                    topic: None,
                    status: match status {
                        "given" => ConsentStatus::Given,
                        "confirmed" => ConsentStatus::Confirmed,
                        _ => ConsentStatus::Withdrawn,
                    },
                });
            }
            Some(("query", words)) => {
                let page = event.page.get_or_insert_default();
                let page: &mut PageFacts = page;
                page.query = Some(words.into());
            }
            Some(("message", step)) => {
                self.replies.insert(event.id.clone(), step.to_owned());
            }
            Some((other, _)) => panic!("what is {other}?"),
        }
    }
}

/// A line with `{1..33}` in it as 33 lines, each with its number.
fn expand(line: &str) -> Vec<String> {
    let range = line.split_once('{').and_then(|(before, rest)| {
        let (range, after) = rest.split_once('}')?;
        let (first, last) = range.split_once("..")?;
        Some((before, first.parse::<u32>().ok()?..=last.parse().ok()?, after))
    });
    match range {
        Some((before, range, after)) => {
            range.map(|number| format!("{before}{number}{after}")).collect()
        }
        None => vec![line.to_owned()],
    }
}

/// `A*2@45EUR`: sku, quantity, price.
fn item(text: &str) -> Item {
    let (rest, price) = text.split_once('@').map_or((text, None), |(r, p)| (r, Some(p)));
    let (sku, quantity) = rest.split_once('*').unwrap_or((rest, "1"));
    let price: Option<Money> = price.map(|price| {
        let split = price.find(|c: char| c.is_ascii_alphabetic()).unwrap_or(price.len());
        format!("{} {}", &price[..split], &price[split..]).parse().expect("a price")
    });
    Item {
        sku: Text::from(sku),
        quantity: quantity.parse().expect("a quantity"),
        price: price.map(|price| price.amount),
        currency: price.and_then(|price| price.currency),
        ..Item::default()
    }
}

fn tie(number: usize) -> Tie {
    Tie { source: 0, partition: 0, offset: u64::try_from(number).expect("a line number") }
}
