//! `waypost why`: why a customer got a message, or did not.

use std::io::Write;
use std::path::Path;

use anyhow::bail;

use crate::config::Config;
use crate::diagnostic::did_you_mean;
use crate::engine::{CustomerState, TraceKind};
use crate::identity::Identify;
use crate::log::{LogReader, ReadLog};
use crate::model::{ConsentStatus, CustomerId, Delay, Text};
use crate::release;
use crate::report::{Line, masked, story};
use crate::store::{Ledger, Listing, MessageFilter, MessageStatus, Outgoing, SqliteLedger};

use super::{Outcome, production, setup};

/// Tell in plain words why a customer got a message, or did not
///
/// Each run that started or did not, each message that was decided or withheld, and the reason.
/// The worker may be running.
///
/// Examples:
///   waypost why ann@shop.example
///   waypost why 1002166 --journey abandoned-cart
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub(super) struct Args {
    /// The shop's customer id, an email address, a phone number, a device id, an id of a source's
    /// own (best as NAMESPACE=ID), or Waypost's own id.
    customer: String,
    /// Of this journey only.
    #[arg(long, value_name = "JOURNEY")]
    journey: Option<String>,
    /// Write one JSON object a line.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &Args, config: Option<&Path>) -> anyhow::Result<Outcome> {
    let config = setup::configuration(config)?.config;
    setup::needs_store(&config)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        match &config.production {
            Some(production) => {
                let (log, store) = production::opened(production).await?;
                tell(args, &config, &log, store.ledger()).await
            }
            None => {
                let log = LogReader::open(&config.store.log).await?;
                let ledger = SqliteLedger::open(&config.store.state).await?;
                tell(args, &config, &log, &ledger).await
            }
        }
    })
}

async fn tell(
    args: &Args,
    config: &Config,
    log: &impl ReadLog,
    ledger: &(impl Ledger + Listing),
) -> anyhow::Result<Outcome> {
    let namespaces = setup::namespaces(config)?;
    let mut identify = Identify::stored(log.identity_key().await?);
    let customers = identify.named(log, &args.customer, &namespaces).await?;
    if customers.is_empty() {
        bail!(
            "nobody is known as `{}`; name the customer as their events do (an id of a source's own as NAMESPACE=ID)",
            args.customer
        );
    }
    if let Some(journey) = &args.journey {
        known(journey, &release::journeys(log).await?)?;
    }
    for customer in customers {
        tell_of(args, log, ledger, customer, config.ticks.grace_ms).await?;
    }
    Ok(Outcome::Done)
}

/// Whether a release of the log has the journey.
fn known(journey: &str, names: &[Text]) -> anyhow::Result<()> {
    if names.iter().any(|name| name == journey) {
        return Ok(());
    }
    let help = did_you_mean(journey, names.iter().map(Text::as_str))
        .unwrap_or_else(|| format!("there are: {}", names.join(", ")));
    bail!("no journey `{journey}` was ever in force here; {help}")
}

async fn tell_of(
    args: &Args,
    log: &impl ReadLog,
    ledger: &(impl Ledger + Listing),
    customer: CustomerId,
    grace_ms: i64,
) -> anyhow::Result<()> {
    let mut traces = Vec::new();
    let mut decisions = Vec::new();
    let mut undelivered = Vec::new();
    let mut names = vec![customer];
    let mut next = 0;
    while let Some(name) = names.get(next).copied() {
        next += 1;
        for trace in ledger.trace_of(name).await? {
            if trace.kind == TraceKind::Merged {
                // What came before was written under the name that the customer had then.
                let other = trace.detail.as_deref().and_then(|other| other.parse().ok());
                names.extend(other.filter(|other| !names.contains(other)));
                if name != customer {
                    continue;
                }
            }
            traces.push(trace);
        }
        for message in ledger.messages_of(name).await? {
            let cancelled = message.reason.filter(|_| message.status == MessageStatus::Cancelled);
            if cancelled.is_none() {
                let id = Some(message.decision.message);
                let filter = MessageFilter { message: id, limit: 1, ..MessageFilter::default() };
                let delivery = ledger.messages(&filter).await?.pop().and_then(|(_, row)| row);
                undelivered
                    .extend(delivery.and_then(|row| Line::of_delivery(&message.decision, &row)));
            }
            decisions.push((message.decision, cancelled));
        }
    }
    let mut out = std::io::stdout().lock();
    let mut lines = story(&traces, &decisions);
    for line in undelivered {
        // Before what the journey hears of it.
        let place = lines.partition_point(|other| other.at < line.at);
        lines.insert(place, line);
    }
    lines.retain(|line| args.journey.is_none() || line.journey == args.journey);
    if args.json {
        for line in &lines {
            let line = serde_json::json!({
                "at": line.at.to_string(),
                "customer": customer.to_string(),
                "journey": line.journey,
                "words": line.words,
            });
            writeln!(out, "{line}")?;
        }
        return Ok(());
    }
    writeln!(out, "customer {customer}")?;
    let partition = customer.partition(log.partitions());
    if let Some(bytes) = ledger.state(partition, customer).await? {
        for line in standing(&CustomerState::decode(&bytes)?) {
            writeln!(out, "  {line}")?;
        }
    }
    match &args.journey {
        Some(journey) if lines.is_empty() => {
            writeln!(out, "  journey {journey} has not met this customer yet")?;
        }
        None if lines.is_empty() => writeln!(out, "  no journey has met this customer yet")?,
        _ => {}
    }
    if lines.is_empty() {
        let grace = Delay::exact(grace_ms);
        writeln!(out, "  events of the last {grace} (`ticks.grace`) are not applied yet")?;
    }
    for line in lines {
        writeln!(out, "  {}", line.shown())?;
    }
    Ok(())
}

/// What is known of the customer, in a few lines. Addresses are masked.
fn standing(state: &CustomerState) -> Vec<String> {
    let mut lines = Vec::new();
    if let Some(winner) = state.pointer {
        lines.push(format!("is one with customer {winner}"));
        return lines;
    }
    let address = |address: &Option<Text>| match address {
        Some(address) => masked(address),
        None => "not known".to_owned(),
    };
    lines.push(format!("email {}, phone {}", address(&state.email), address(&state.phone)));
    for consent in &state.consents {
        lines.push(format!(
            "consent by {}{}: {}, said {}",
            consent.channel.as_str(),
            consent.topic.as_ref().map(|topic| format!(" for {topic}")).unwrap_or_default(),
            match consent.status {
                ConsentStatus::Given => "given",
                ConsentStatus::Confirmed => "confirmed",
                ConsentStatus::Withdrawn => "withdrawn",
            },
            consent.at,
        ));
    }
    if let Some(cart) = state.open_cart().filter(|cart| !cart.lines.is_empty()) {
        let items: Vec<String> =
            cart.lines.iter().map(|item| format!("{} x {}", item.quantity, item.sku)).collect();
        lines.push(format!("cart, last changed {}: {}", cart.changed_at, items.join(", ")));
    }
    if state.orders.count > 0 {
        lines.push(format!("orders: {}", state.orders.count));
    }
    for run in state.runs.iter().filter(|run| run.is_active()) {
        if let Some(at) = &run.at {
            lines.push(format!(
                "is in journey {} since {}, next due {}",
                run.journey, run.start.time, at.due
            ));
        }
    }
    lines
}
