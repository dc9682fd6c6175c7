//! What commands share that read topics: which part of them, and how their records are read.

use std::sync::Arc;

use anyhow::{Context, bail};

use crate::config::{Config, Input};
use crate::decode::{Decode, Decoder, Form};
use crate::kafka::{Bound, Cluster, Settings, Stretch};
use crate::model::{Delay, Text, Timestamp};
use crate::worker::{Clock, SystemClock};

use super::setup;

/// A topic, with how its records are read.
pub(super) struct Source {
    pub topic: String,
    /// Name of the input that reads it, if there is one.
    pub input: Option<Text>,
    pub decode: Arc<dyn Decode>,
}

/// Parts of topics.
pub(super) struct Parts {
    pub settings: Settings,
    pub sources: Vec<Source>,
    pub stretches: Vec<Stretch>,
}

impl Parts {
    /// What there is now of topics between two bounds. An input's topic is read as the input says,
    /// any other as XDM or CloudEvents.
    pub(super) async fn find(
        config: &Config,
        topics: &[String],
        from: Option<Bound>,
        to: Option<Bound>,
    ) -> anyhow::Result<Self> {
        let Some(production) = &config.production else {
            bail!("--topic needs `kafka` in the configuration, which says where the topics are");
        };
        let mut sources: Vec<Source> = Vec::new();
        for topic in topics {
            if sources.iter().any(|known| known.topic == *topic) {
                bail!("--topic names {topic} twice");
            }
            let mut inputs = config.inputs.iter();
            let input = inputs.find(|(_, input)| input.topic.as_deref() == Some(topic));
            let decode = match input {
                Some((name, input)) => decode(name, input, config)?,
                None => match setup::decoder(None, config)?.0 {
                    Decoder::Records(decode) => decode,
                    Decoder::Mapped(mapping) => Arc::new(mapping),
                },
            };
            let input = input.map(|(name, _)| name.clone());
            sources.push(Source { topic: topic.clone(), input, decode });
        }
        let settings = Settings::new(&production.kafka)?;
        let stretches = Cluster::new(&settings)?.stretches(topics, from, to).await?;
        Ok(Self { settings, sources, stretches })
    }

    /// The topic that a part is of.
    pub(super) fn source(&self, stretch: &Stretch) -> anyhow::Result<&Source> {
        let topic = &stretch.partition.topic;
        let found = self.sources.iter().find(|source| source.topic == *topic);
        found.with_context(|| format!("topic {topic} was not asked for"))
    }
}

/// How the records of an input's topic are read.
pub(super) fn decode(
    name: &Text,
    input: &Input,
    config: &Config,
) -> anyhow::Result<Arc<dyn Decode>> {
    Ok(match setup::input_decoder(&input.format, config)? {
        Decoder::Records(decode) => decode,
        Decoder::Mapped(mapping) if !matches!(mapping.form(), Form::Csv(_)) => Arc::new(mapping),
        Decoder::Mapped(_) => bail!(
            "inputs.{name}: its mapping reads CSV rows, and a record in Kafka has no header; map JSON records"
        ),
    })
}

/// Reads a bound: an offset, a time, or how long ago, as in -30d.
pub(super) fn bound(text: &str) -> Result<Bound, String> {
    if let Some(ago) = text.strip_prefix('-') {
        let ago: Delay = spelt(ago).parse().map_err(|error| format!("{error}"))?;
        return Ok(Bound::Time(SystemClock.now().plus_ms(-ago.nominal_ms())));
    }
    if let Ok(offset) = text.parse::<i64>() {
        return Ok(Bound::Offset(offset));
    }
    text.parse::<Timestamp>().map(Bound::Time).map_err(|_| {
        "write a time (2026-03-01T00:00:00Z), how long ago (-30d), or an offset (1000)".to_owned()
    })
}

/// Days may be written as everybody writes them on a command line.
fn spelt(ago: &str) -> String {
    match ago.strip_suffix('d') {
        Some(days) if days.bytes().all(|digit| digit.is_ascii_digit()) => format!("{days} days"),
        _ => ago.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bound_is_an_offset_a_time_or_how_long_ago() {
        assert_eq!(bound("17"), Ok(Bound::Offset(17)));
        let time = "2026-03-01T00:00:00Z".parse().expect("a time");
        assert_eq!(bound("2026-03-01T00:00:00Z"), Ok(Bound::Time(time)));
        for ago in ["-30d", "-1d", "-90m", "-2h"] {
            assert!(matches!(bound(ago), Ok(Bound::Time(_))), "{ago}");
        }
        for wrong in ["", "-", "yesterday", "-30x"] {
            assert!(bound(wrong).is_err(), "{wrong}");
        }
    }
}
