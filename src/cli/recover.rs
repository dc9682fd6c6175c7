//! `waypost recover`: Postgres and the topics in order again, when one of them was put back.

use std::io::Write;
use std::path::Path;

use anyhow::bail;

use crate::cluster::{Found, Recovery, Release, Sides, Topics};
use crate::config::{Config, Production};
use crate::kafka::{Cluster, Settings};
use crate::replay::grouped;
use crate::worker::{Clock, SystemClock};

use super::talk::say;
use super::{Outcome, production, setup};

/// Put the database and the topics in order again, when one of them was restored or lost
///
/// Postgres was restored to an older point: what it has forgotten is read from the topics. Identities
/// come back, so that later events reach the right customer; the lanes apply again what they had
/// applied; and nothing is sent until the log has told what had gone. Topics were lost and made anew:
/// positions are set back. All workers must be stopped. Without --yes it only says what it found.
/// The exit code is 1 if there is something to put in order and it was not done.
///
/// Examples:
///   waypost recover
///   waypost recover --yes
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub(super) struct Args {
    /// Do it.
    #[arg(long)]
    yes: bool,
    /// Write what was found as one JSON object.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &Args, config: Option<&Path>) -> anyhow::Result<Outcome> {
    let config = setup::configuration(config)?.config;
    let Some(production) = &config.production else {
        bail!("the configuration names no Kafka and Postgres; files are restored as they are");
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let outcome = runtime.block_on(recover(args, &config, production));
    runtime.shutdown_background();
    outcome
}

async fn recover(args: &Args, config: &Config, production: &Production) -> anyhow::Result<Outcome> {
    let settings = Settings::new(&production.kafka)?;
    let cluster = Cluster::new(&settings)?;
    for made in cluster.make_topics(&production.kafka).await? {
        say(&format!("topic {made} was not there and is made"));
    }
    let (log, store) = production::opened(production).await?;
    let topics = topics(config, production);
    let (cluster, settings, topics) = (&cluster, &settings, &topics);
    let sides = Sides { cluster, settings, log: &log, store: &store, topics };
    let Some(recovery) = Recovery::look(&sides).await? else {
        if args.json {
            writeln!(std::io::stdout(), "{}", serde_json::to_string(&Found::default())?)?;
        }
        say("the database and the topics are of one time: there is nothing to put in order");
        return Ok(Outcome::Done);
    };
    if args.json {
        writeln!(std::io::stdout(), "{}", serde_json::to_string(&recovery.found)?)?;
    } else {
        tell(&recovery.found, &mut std::io::stdout().lock())?;
    }
    if !args.yes {
        say("nothing was changed; `waypost recover --yes` puts this in order");
        return Ok(Outcome::Found);
    }
    recovery.mend(&sides, SystemClock.now()).await?;
    say("in order: start the workers");
    Ok(Outcome::Done)
}

/// The topics of the configuration that positions are kept of.
pub(super) fn topics(config: &Config, production: &Production) -> Topics {
    let named = config.inputs.iter();
    let named = named.filter_map(|(name, input)| Some((name, input.topic.as_ref()?)));
    Topics {
        inputs: named.map(|(name, topic)| (name.to_string(), topic.to_string())).collect(),
        feedback: production.kafka.feedback_topic(),
        log: production.kafka.log_topic(),
    }
}

fn tell(found: &Found, out: &mut impl Write) -> std::io::Result<()> {
    for stands in &found.apart {
        writeln!(out, "{}", stands.told())?;
    }
    if !found.restored {
        return Ok(());
    }
    let (records, events) = (grouped(found.records), grouped(found.events));
    writeln!(
        out,
        "\nthe lanes apply {records} records of the log again, {events} of them events that the database had not seen"
    )?;
    writeln!(out, "{} identities, customers and carts come back from the log", found.identities)?;
    writeln!(out, "{} relayed records are remembered again", found.relayed)?;
    if found.erased > 0 {
        writeln!(out, "{} customers were erased since; they are erased again", found.erased)?;
    }
    for release in &found.releases {
        let Release { id, at, is_there } = release;
        match is_there {
            true => writeln!(out, "release {id} is in force from {at} again")?,
            false => writeln!(
                out,
                "release {id} came into force at {at} and its files are gone: run `waypost apply` from the same files with the same build before workers start"
            )?,
        }
    }
    for number in &found.unknown_sources {
        writeln!(
            out,
            "source {number} was added since: `inputs` must name the sources in the order in which they were added"
        )?;
    }
    if found.feedback_gone > 0 {
        let gone = found.feedback_gone;
        writeln!(
            out,
            "{gone} relayed records are gone from the feedback topic by their age; if one of them is relayed again, it counts once within a day"
        )?;
    }
    writeln!(
        out,
        "\nnothing is sent until the lanes have come to the present. What could have gone by {} and of which the log tells nothing is then in doubt: `waypost messages list --status in_doubt`",
        found.ticked.map_or_else(|| "now".to_owned(), |at| at.to_string())
    )?;
    writeln!(
        out,
        "not in the topics, and lost: dead letters and holds of that time, and what had not left the outbox (look at `waypost sending status`)"
    )
}
