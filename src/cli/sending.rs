//! `waypost sending`: hold messages back, and release them.

use std::path::Path;

use crate::diagnostic::did_you_mean;
use crate::model::{MessageChannel, Text};
use crate::store::{Hold, Ledger, Listing, Outgoing, SqliteStore};
use crate::worker::{Clock, SystemClock};

use super::talk::say;
use super::{Outcome, production, setup};

/// Hold messages back and release them
///
/// What is held waits; what has started is not stopped. Messages that expire meanwhile are not
/// sent. A running worker heeds it before the next message starts. Without an option it is about
/// all messages.
///
/// Examples:
///   waypost sending hold
///   waypost sending hold --template abandoned-cart/first
///   waypost sending release --template abandoned-cart/first
///   waypost sending status
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub(super) struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// Send nothing of it until it is released
    Hold(What),
    /// Send it again
    Release(What),
    /// What is held, and how many messages are how far
    Status,
}

#[derive(Debug, clap::Args)]
#[group(multiple = false)]
struct What {
    /// All messages of a channel: email or sms.
    #[arg(long, value_name = "CHANNEL", value_parser = channel)]
    channel: Option<MessageChannel>,
    /// All messages of a journey.
    #[arg(long, value_name = "JOURNEY")]
    journey: Option<String>,
    /// All messages of a template.
    #[arg(long, value_name = "TEMPLATE")]
    template: Option<String>,
}

pub(super) fn run(args: &Args, config: Option<&Path>) -> anyhow::Result<Outcome> {
    let config = setup::configuration(config)?.config;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (action, templates) = (&args.action, config.templates.as_path());
    runtime.block_on(async {
        match &config.production {
            Some(production) => act(action, &production::store(production).await?, templates).await,
            None => {
                act(action, &SqliteStore::open_beside(&config.store.state).await?, templates).await
            }
        }
    })
}

async fn act(action: &Action, store: &impl Outgoing, templates: &Path) -> anyhow::Result<Outcome> {
    let (what, held) = match action {
        Action::Hold(what) => (what, true),
        Action::Release(what) => (what, false),
        Action::Status => return status(store.ledger()).await,
    };
    let hold = hold(what);
    if held {
        warn_of_unknown(&hold, store.ledger(), templates).await?;
    }
    let changed = store.hold(&hold, held, SystemClock.now()).await?;
    let name = named(&hold);
    say(&match (held, changed) {
        (true, true) => format!("held: {name}"),
        (true, false) => format!("already held: {name}"),
        (false, true) => format!("released: {name}"),
        (false, false) => format!("not held: {name}"),
    });
    for (other, since) in store.ledger().holds().await? {
        if !held && other != hold {
            say(&format!("still held since {since}: {}", named(&other)));
        }
    }
    Ok(Outcome::Done)
}

async fn status(ledger: &impl Listing) -> anyhow::Result<Outcome> {
    let holds = ledger.holds().await?;
    if holds.is_empty() {
        say("nothing is held");
    }
    for (hold, since) in holds {
        say(&format!("held since {since}: {}", named(&hold)));
    }
    for (status, count) in ledger.deliveries().await? {
        say(&format!("{:<13} {count}", status.as_str()));
    }
    Ok(Outcome::Done)
}

fn channel(word: &str) -> Result<MessageChannel, &'static str> {
    match word {
        "email" => Ok(MessageChannel::Email),
        "sms" => Ok(MessageChannel::Sms),
        _ => Err("there is no such channel; write email or sms"),
    }
}

fn hold(what: &What) -> Hold {
    match (what.channel, &what.journey, &what.template) {
        (Some(channel), ..) => Hold::Channel(channel),
        (None, Some(journey), _) => Hold::Journey(Text::new(journey)),
        (None, None, Some(template)) => Hold::Template(Text::new(template)),
        (None, None, None) => Hold::All,
    }
}

/// Warns of a name that nothing has: a misspelt hold holds nothing.
async fn warn_of_unknown(hold: &Hold, ledger: &impl Ledger, folder: &Path) -> anyhow::Result<()> {
    let (name, mut known): (&str, Vec<String>) = match hold {
        Hold::All | Hold::Channel(_) => return Ok(()),
        Hold::Journey(name) => (name, ledger.journeys().await?),
        Hold::Template(name) if folder.is_dir() => {
            let (templates, _) = setup::templates(folder)?;
            (name, templates.names().map(str::to_owned).collect())
        }
        Hold::Template(_) => return Ok(()),
    };
    known.sort();
    if !known.iter().any(|known| known == name) {
        let hint = did_you_mean(name, known.iter().map(String::as_str));
        let hint = hint.map(|hint| format!("; {hint}")).unwrap_or_default();
        say(&format!("warning: nothing of {} is known here{hint}", named(hold)));
    }
    Ok(())
}

/// What is held, in words.
pub(super) fn named(hold: &Hold) -> String {
    match hold {
        Hold::All => "everything".to_owned(),
        Hold::Channel(channel) => format!("channel {}", channel.as_str()),
        Hold::Journey(journey) => format!("journey {journey}"),
        Hold::Template(template) => format!("template {template}"),
    }
}
