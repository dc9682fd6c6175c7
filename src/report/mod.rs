//! Reports: what journeys came to, as a value, and as one HTML page that needs nothing else.
//!
//! [`Gather`] makes a [`Report`] from a replay while it runs, in bounded memory; [`Journey::stored`]
//! makes a journey's part from what a store has kept. Everything here is pure: the same report is
//! the same page.

mod gather;
mod histogram;
mod page;
mod people;
mod stored;
mod story;

use std::collections::BTreeMap;

use crate::engine::Reason;
use crate::journey::{Plan, Step as PlanStep};
use crate::model::{MessageChannel, Timestamp};
use crate::replay::Funnel;
use crate::store::MessageStatus;

pub use gather::Gather;
pub use histogram::{Bar, Histogram};
pub use people::{Group, People};
pub use story::{Kind, Line, story};

/// What is shown on one page. Everything in it is plain text; the page escapes it.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// What it is about.
    pub title: String,
    /// What was run, in a sentence or two.
    pub about: String,
    /// What was run, item by item: files, period, configuration.
    pub facts: Vec<(&'static str, String)>,
    /// What came of each journey.
    pub journeys: Vec<Journey>,
    /// What was read; `None` for a report of a store.
    pub input: Option<Input>,
    /// Some messages as they would be sent; without any the section is left out.
    pub mails: Vec<SampleMail>,
    /// One customer's story, if there is one worth telling.
    pub story: Option<Story>,
    /// What to try next.
    pub next: Vec<Next>,
}

/// What came of one journey.
#[derive(Clone, Debug, Default)]
pub struct Journey {
    /// Its name.
    pub name: String,
    /// What its author says of it.
    pub description: Option<String>,
    /// The structures that people went through, newest last where that is known.
    pub versions: Vec<String>,
    /// Runs started.
    pub started: u64,
    /// Starts that were refused, by reason; each reason once in a row for a customer.
    pub not_started: BTreeMap<Reason, u64>,
    /// Messages of each step, in the order of the journey.
    pub steps: Vec<Step>,
    /// Runs stopped on the way, by reason.
    pub stopped: BTreeMap<Reason, u64>,
    /// Runs that came to their end.
    pub ended: u64,
    /// Runs that reached the goal; `None` if the journey has none.
    pub goals: Option<u64>,
    /// Of these, those that had begun to send a message before; known of a replay alone.
    pub goals_after_message: Option<u64>,
    /// Its messages over time.
    pub times: Histogram,
    /// Who reached the goal among those that got messages and in the holdout; known of a store alone.
    pub people: Option<People>,
}

/// The messages of one step.
#[derive(Clone, Debug, Default)]
pub struct Step {
    /// The step's id.
    pub name: String,
    /// How many, by what became of them and why.
    pub messages: BTreeMap<(MessageStatus, Option<Reason>), u64>,
    /// The newest outcomes of those to be sent.
    pub outcomes: BTreeMap<String, u64>,
}

/// What a replay read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Input {
    /// Events applied.
    pub events: u64,
    /// Of these, late ones.
    pub late: u64,
    /// Second events of one id.
    pub duplicates: u64,
    /// Customers known at the end.
    pub customers: u64,
    /// Whom mails may reach, in words.
    pub reach: String,
    /// Rows that could not become an event.
    pub dead: u64,
    /// The first of them: where, and why.
    pub dead_letters: Vec<(String, String)>,
}

/// A message as it would be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SampleMail {
    /// When it is due.
    pub at: Timestamp,
    /// Of which journey.
    pub journey: String,
    /// By which channel.
    pub channel: MessageChannel,
    /// Which template.
    pub template: String,
    /// To whom, [`masked`].
    pub to: String,
    /// Its subject, where it has one.
    pub subject: Option<String>,
    /// Its HTML part, where it has one: shown in a frame that runs no script and loads nothing.
    pub html: Option<String>,
    /// Its text part, or the text message.
    pub text: String,
}

/// A customer's story.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Story {
    /// Whose, as output names them.
    pub customer: String,
    /// What happened, in order.
    pub lines: Vec<Line>,
}

/// Something to try next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Next {
    /// What it shows.
    pub words: String,
    /// What to enter.
    pub command: String,
}

impl Journey {
    /// A journey of which nothing has come yet. Its steps with messages stand in the plan's order.
    #[must_use]
    pub fn of_plan(plan: &Plan) -> Self {
        let messages =
            plan.nodes.iter().filter(|node| matches!(node.step, PlanStep::Message { .. }));
        Self {
            name: plan.name.to_string(),
            description: plan.description.clone(),
            versions: vec![plan.version.to_string()],
            steps: messages.map(|node| Step::named(&node.id)).collect(),
            goals: plan.goal.as_ref().map(|_| 0),
            ..Self::default()
        }
    }

    /// A journey that is known by its name alone.
    #[must_use]
    pub fn named(name: &str) -> Self {
        Self { name: name.to_owned(), ..Self::default() }
    }

    /// Takes in what a replay counted.
    #[must_use]
    pub fn counted(mut self, funnel: &Funnel) -> Self {
        self.started = funnel.started;
        self.not_started = funnel.not_started.clone();
        self.stopped = funnel.stopped.clone();
        self.ended = funnel.ended;
        if funnel.goals > 0 || self.goals.is_some() {
            self.goals = Some(funnel.goals);
            self.goals_after_message = Some(funnel.goals_after_message);
        }
        for (name, messages) in &funnel.steps {
            let step = self.step(name);
            step.messages.insert((MessageStatus::Decided, None), messages.send);
            for (reason, count) in &messages.withheld {
                step.messages.insert((MessageStatus::Withheld, Some(*reason)), *count);
            }
        }
        self
    }

    /// Messages to be sent.
    #[must_use]
    pub fn sent(&self) -> u64 {
        self.steps.iter().map(Step::sent).sum()
    }

    /// Messages not to be sent, withheld or cancelled.
    #[must_use]
    pub fn withheld(&self) -> u64 {
        self.steps.iter().map(Step::withheld).sum()
    }

    /// Runs under way. An erased customer's runs leave no trace of their end, and count, too.
    #[must_use]
    pub fn under_way(&self) -> u64 {
        self.started.saturating_sub(self.ended + self.stopped.values().sum::<u64>())
    }

    /// The lines about its goal: words, and how many runs.
    #[must_use]
    pub fn goal_lines(&self) -> Vec<(&'static str, u64)> {
        match (self.goals, self.goals_after_message) {
            (Some(goals), Some(after)) => vec![
                ("reached the goal after a message", after),
                ("reached the goal without one", goals.saturating_sub(after)),
            ],
            (Some(goals), None) => vec![("reached the goal, with or without a message", goals)],
            (None, _) => Vec::new(),
        }
    }

    /// The step of this name, which is added if it is new.
    fn step(&mut self, name: &str) -> &mut Step {
        let place = self.steps.iter().position(|step| step.name == name).unwrap_or_else(|| {
            self.steps.push(Step::named(name));
            self.steps.len() - 1
        });
        &mut self.steps[place]
    }
}

impl Step {
    fn named(name: &str) -> Self {
        Self { name: name.to_owned(), ..Self::default() }
    }

    /// Messages to be sent.
    #[must_use]
    pub fn sent(&self) -> u64 {
        let sent =
            self.messages.iter().filter(|((status, _), _)| *status == MessageStatus::Decided);
        sent.map(|(_, count)| count).sum()
    }

    /// Messages not to be sent, withheld or cancelled.
    #[must_use]
    pub fn withheld(&self) -> u64 {
        self.messages.values().sum::<u64>() - self.sent()
    }
}

/// A text whose mail addresses and long numbers are masked: what a record or a reason quotes.
#[must_use]
pub fn masked_text(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    let within = |c: char| c.is_alphanumeric() || "@._+-".contains(c);
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let end = rest.find(|c| within(c) != within(first)).unwrap_or(rest.len());
        let (word, after) = rest.split_at(end);
        rest = after;
        let digits = word.bytes().filter(u8::is_ascii_digit).count();
        let number = digits >= MASKED_DIGITS_MIN && !word.contains(char::is_alphabetic);
        if word.contains('@') || number {
            shown.push_str(&masked(word));
        } else {
            shown.push_str(word);
        }
    }
    shown
}

/// From how many digits on a number may be somebody's phone or card.
const MASKED_DIGITS_MIN: usize = 7;

/// An address of which only the beginning and the domain are shown.
#[must_use]
pub fn masked(address: &str) -> String {
    let (local, domain) = address.split_once('@').unwrap_or((address, ""));
    let shown: String = local.chars().take(2).collect();
    let at = if domain.is_empty() { "" } else { "@" };
    format!("{shown}***{at}{domain}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_and_long_numbers_in_a_text_are_masked() {
        let text = "{\"email\":\"ann@shop.example\",\"phone\":\"+31612345678\",\"sku\":\"A-12\",\"at\":20260302}";
        let shown =
            "{\"email\":\"an***@shop.example\",\"phone\":\"+3***\",\"sku\":\"A-12\",\"at\":20***}";
        assert_eq!(masked_text(text), shown);
        assert_eq!(masked_text("ünï <zoë@x.example>"), "ünï <zo***@x.example>");
    }
}
