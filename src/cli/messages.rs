//! `waypost messages`: what is on its way out, and what became of it.

use std::io::Write;
use std::path::Path;

use anyhow::{Context, bail};
use serde_json::json;

use crate::engine::Reason;
use crate::model::{MessageId, Text};
use crate::store::{
    DeliveryRow, DeliveryStatus, Listing, MessageFilter, MessageStatus, Outgoing, SqliteLedger,
    SqliteStore, StoredMessage,
};
use crate::worker::{Clock, SystemClock};

use super::talk::say;
use super::{Outcome, production, setup};

/// List, show, cancel and resolve messages
///
/// The worker may be running.
///
/// Examples:
///   waypost messages list --status in_doubt
///   waypost messages show m0123...
///   waypost messages cancel m0123...
///   waypost messages resolve m0123... --sent
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub(super) struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    #[command(flatten)]
    Look(Look),
    #[command(flatten)]
    Change(Change),
}

#[derive(Debug, clap::Subcommand)]
enum Look {
    /// The newest messages, and how far each is on its way out
    List(List),
    /// All that is known of one message
    Show(Show),
}

#[derive(Debug, clap::Subcommand)]
enum Change {
    /// Cancel a message that has not started
    Cancel {
        /// The message's id.
        message: String,
    },
    /// Say what became of a message in doubt
    Resolve(Resolve),
}

#[derive(Debug, clap::Args)]
struct List {
    /// Only those of this journey.
    #[arg(long, value_name = "JOURNEY")]
    journey: Option<String>,
    /// Only those that are so far: waiting, claimed, started, dot_sent, sent, refused, expired,
    /// missed_window, cancelled or in_doubt.
    #[arg(long, value_name = "STATUS", value_parser = status)]
    status: Option<DeliveryStatus>,
    /// Only those to this customer, as `replay` and `why` name it.
    #[arg(long, value_name = "CUSTOMER")]
    customer: Option<String>,
    /// At most so many.
    #[arg(long, default_value_t = 50)]
    limit: u32,
    /// Write one JSON object a line.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, clap::Args)]
struct Show {
    /// The message's id.
    message: String,
    /// Write one JSON object, with the data that the template saw.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, clap::Args)]
#[command(group(clap::ArgGroup::new("found").required(true)))]
struct Resolve {
    /// The message's id.
    message: String,
    /// The provider took it.
    #[arg(long, group = "found")]
    sent: bool,
    /// The provider did not take it. It is not sent again.
    #[arg(long, group = "found")]
    not_sent: bool,
}

fn status(word: &str) -> Result<DeliveryStatus, String> {
    DeliveryStatus::named(word).ok_or_else(|| {
        let words: Vec<&str> = DeliveryStatus::ALL.iter().map(|(_, word, _)| *word).collect();
        format!("no message is ever so far; write one of {}", words.join(", "))
    })
}

pub(super) fn run(args: &Args, config: Option<&Path>) -> anyhow::Result<Outcome> {
    let config = setup::configuration(config)?.config;
    setup::needs_store(&config)?;
    let state = &config.store.state;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        match (&args.action, &config.production) {
            (Action::Look(action), Some(production)) => {
                look(action, production::store(production).await?.ledger()).await
            }
            (Action::Look(action), None) => look(action, &SqliteLedger::open(state).await?).await,
            (Action::Change(action), Some(production)) => {
                change(action, &production::store(production).await?).await
            }
            (Action::Change(action), None) => {
                change(action, &SqliteStore::open_beside(state).await?).await
            }
        }
    })
}

async fn look(action: &Look, ledger: &impl Listing) -> anyhow::Result<Outcome> {
    match action {
        Look::List(args) => list(args, ledger).await,
        Look::Show(args) => show(args, ledger).await,
    }
}

async fn change(action: &Change, store: &impl Outgoing) -> anyhow::Result<Outcome> {
    match action {
        Change::Cancel { message } => {
            let message = find(store.ledger(), message).await?.0;
            if !store.cancel(&message, SystemClock.now()).await? {
                bail!(
                    "the message has started or ended; `waypost messages show` says how far it is"
                );
            }
            say("cancelled");
        }
        Change::Resolve(args) => {
            let message = find(store.ledger(), &args.message).await?.0;
            if !store.resolve(&message, args.sent, SystemClock.now()).await? {
                bail!("the message is not in doubt; `waypost messages show` says how far it is");
            }
            say(if args.sent { "resolved: sent" } else { "resolved: not sent" });
        }
    }
    Ok(Outcome::Done)
}

async fn list(args: &List, ledger: &impl Listing) -> anyhow::Result<Outcome> {
    let filter = MessageFilter {
        journey: args.journey.as_deref().map(Text::new),
        status: args.status,
        customer: args.customer.as_deref().map(Text::new),
        message: None,
        limit: args.limit,
    };
    let messages = ledger.messages(&filter).await?;
    let mut out = std::io::stdout().lock();
    for (message, delivery) in &messages {
        if args.json {
            writeln!(out, "{}", as_json(message, delivery.as_ref(), false))?;
            continue;
        }
        let decision = &message.decision;
        let (status, why) = standing(message, delivery.as_ref());
        writeln!(
            out,
            "{}  {}  {:<13}  {}/{}  {}  {}{}",
            decision.message,
            decision.at,
            status,
            decision.journey,
            decision.step,
            decision.channel.as_str(),
            if message.erased { "(erased)" } else { &decision.customer },
            why.map(|why| format!("  {why}")).unwrap_or_default(),
        )?;
    }
    if messages.is_empty() {
        say("no such messages");
    }
    for (hold, since) in ledger.holds().await? {
        say(&format!("held since {since}: {}", super::sending::named(&hold)));
    }
    Ok(Outcome::Done)
}

async fn show(args: &Show, ledger: &impl Listing) -> anyhow::Result<Outcome> {
    let (message, delivery) = find(ledger, &args.message).await?;
    let mut out = std::io::stdout().lock();
    if args.json {
        writeln!(out, "{}", as_json(&message, delivery.as_ref(), true))?;
        return Ok(Outcome::Done);
    }
    let decision = &message.decision;
    let (status, why) = standing(&message, delivery.as_ref());
    let mut line = |name: &str, value: &str| writeln!(out, "{name:<10} {value}");
    line("message", &decision.message.to_string())?;
    line("customer", if message.erased { "(erased)" } else { &decision.customer })?;
    line("journey", &format!("{} (version {})", decision.journey, decision.version.0))?;
    line(
        "step",
        &format!("{} ({} {})", decision.step, decision.channel.as_str(), decision.template),
    )?;
    line("due", &decision.at.to_string())?;
    if let Some(expires) = decision.expires {
        line("expires", &expires.to_string())?;
    }
    line("status", status)?;
    if let Some(why) = why {
        line("because", &why)?;
    }
    let Some(delivery) = delivery else { return Ok(Outcome::Done) };
    let address = delivery.address.as_deref();
    if let Some(address) = address {
        line("to", address)?;
    }
    if let Some(subject) = &delivery.subject {
        line("subject", subject)?;
    }
    line("tries", &delivery.attempts.to_string())?;
    if let Some(after) = delivery.try_after.filter(|_| !delivery.status.is_final()) {
        line("next try", &after.to_string())?;
    }
    line("changed", &delivery.changed.to_string())?;
    Ok(Outcome::Done)
}

async fn find(
    ledger: &impl Listing,
    id: &str,
) -> anyhow::Result<(StoredMessage, Option<DeliveryRow>)> {
    let message: MessageId = id.parse().map_err(|_| {
        anyhow::anyhow!("`{id}` is no message id; they begin with m, as `list` shows")
    })?;
    let filter = MessageFilter { message: Some(message), limit: 1, ..MessageFilter::default() };
    let found = ledger.messages(&filter).await?.pop();
    found.with_context(|| format!("no message {message} is kept here"))
}

/// How far a message is, in a word, and why.
fn standing(
    message: &StoredMessage,
    delivery: Option<&DeliveryRow>,
) -> (&'static str, Option<String>) {
    let reason = || message.reason.map(|reason: Reason| reason.as_str().to_owned());
    match delivery {
        Some(delivery) => (delivery.status.as_str(), delivery.detail.clone().or_else(reason)),
        None if message.status == MessageStatus::Withheld => ("withheld", reason()),
        None => (message.status.as_str(), reason()),
    }
}

fn as_json(
    message: &StoredMessage,
    delivery: Option<&DeliveryRow>,
    with_data: bool,
) -> serde_json::Value {
    let decision = &message.decision;
    let (status, why) = standing(message, delivery);
    let mut value = json!({
        "message": decision.message.to_string(),
        "at": decision.at.to_string(),
        "customer": decision.customer.as_str(),
        "journey": decision.journey.as_str(),
        "version": decision.version.0,
        "run": decision.run.to_string(),
        "step": decision.step.as_str(),
        "channel": decision.channel.as_str(),
        "template": decision.template.as_str(),
        "revision": message.revision,
        "status": status,
        "reason": why,
        "attempts": delivery.map(|delivery| delivery.attempts),
        "address": delivery.and_then(|delivery| delivery.address.as_deref()),
        "subject": delivery.and_then(|delivery| delivery.subject.as_deref()),
        "outcome": message.outcome.as_ref().map(|outcome| outcome.as_str()),
        "erased": message.erased,
    });
    if with_data {
        value["data"] = serde_json::from_str(&decision.data).unwrap_or_default();
    }
    value
}
