//! `waypost record`: a part of topics as a file that a replay reads.

mod pseudonyms;

use std::collections::VecDeque;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, bail};
use flate2::Compression;
use flate2::write::GzEncoder;

use crate::decode::{Decode, Raw, cloudevent, decode_message};
use crate::kafka::{Bound, Reading};
use crate::model::{Event, Tie, Timestamp};
use crate::replay::grouped;

use super::talk::{bar, say};
use super::topics::{self, Parts};
use super::{Outcome, setup};
use pseudonyms::Pseudonyms;

/// How strongly a .zst file is packed.
const ZSTD_LEVEL: i32 = 6;

/// Write a part of Kafka topics as a file that `replay --events` reads
///
/// One CloudEvent a line, in the order in which a replay of the topics reads them, with the times
/// that the worker saw. With --pseudonymise people are swapped for others, the same ones each time
/// under one key; without it the file holds personal data.
///
/// Examples:
///   waypost record --topic shop.web shop.orders --from -30d --pseudonymise @key.txt -o month.ndjson.zst
///   waypost replay --events month.ndjson.zst --journeys changed > decisions.ndjson
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub(super) struct Args {
    /// Topics of events. An input's topic is read as the input says, any other as XDM or CloudEvents.
    #[arg(long, required = true, num_args = 1.., value_name = "TOPIC")]
    topic: Vec<String>,
    /// Where topics begin: a time, how long ago (-30d), or an offset in each partition; without it
    /// with the oldest record.
    #[arg(long, value_parser = topics::bound, allow_hyphen_values = true)]
    from: Option<Bound>,
    /// Where topics end, in the same words; without it where they end now.
    #[arg(long, value_parser = topics::bound, allow_hyphen_values = true)]
    to: Option<Bound>,
    /// A secret of 16 characters or more, or @FILE with it in its first line, by which names are
    /// swapped.
    #[arg(long, value_name = "KEY", required_unless_present = "with_personal_data")]
    pseudonymise: Option<String>,
    /// A field whose texts stay as they are: of custom events' data, of profiles' attributes, or
    /// `page.name` or `page.query`.
    #[arg(long, num_args = 1.., value_name = "FIELD", requires = "pseudonymise")]
    keep: Vec<String>,
    /// Write people as they are.
    #[arg(long, conflicts_with = "pseudonymise")]
    with_personal_data: bool,
    /// The file: .ndjson, .ndjson.gz or .ndjson.zst; `-` is standard output.
    #[arg(short, long, value_name = "FILE")]
    out: PathBuf,
}

pub(super) fn run(args: &Args, config: Option<&Path>) -> anyhow::Result<Outcome> {
    let config = setup::configuration(config)?.config;
    let pseudonyms = match &args.pseudonymise {
        Some(key) => Some(Pseudonyms::new(&secret(key)?, args.keep.clone())?),
        None => None,
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let parts = runtime.block_on(Parts::find(&config, &args.topic, args.from, args.to))?;
    let mut merge = Merge::open(&parts)?;
    let mut out = Out::create(&args.out)?;
    let progress = bar("recording", None);
    let mut written = 0;
    while let Some(mut event) = merge.next()? {
        if let Some(pseudonyms) = &pseudonyms {
            pseudonyms.swap(&mut event);
        }
        out.line(&cloudevent(&event))?;
        written += 1;
        progress.set_position(written);
    }
    out.finish()?;
    progress.finish_and_clear();
    say(&format!("{} events written to {}", grouped(written), args.out.display()));
    if merge.dead > 0 {
        say(&format!("{} records could not be read and are left out", grouped(merge.dead)));
    }
    if pseudonyms.is_none() {
        say("the file holds personal data: keep it as you keep the topics");
    }
    Ok(Outcome::Done)
}

/// The key as given, or out of a file.
fn secret(key: &str) -> anyhow::Result<String> {
    let Some(file) = key.strip_prefix('@') else { return Ok(key.to_owned()) };
    let text = std::fs::read_to_string(file).with_context(|| format!("can't read {file}"))?;
    Ok(text.lines().next().unwrap_or_default().trim().to_owned())
}

/// Partitions as one stream, in the order in which a replay reads them.
struct Merge {
    partitions: Vec<Partition>,
    /// Records that are no events.
    dead: u64,
}

struct Partition {
    reading: Reading,
    decode: Arc<dyn Decode>,
    /// Events of the next record.
    ahead: VecDeque<Event>,
    /// The greatest time so far.
    greatest: Timestamp,
}

impl Merge {
    fn open(parts: &Parts) -> anyhow::Result<Self> {
        let readings = Reading::open(&parts.settings, parts.stretches.clone())?;
        let mut partitions = Vec::new();
        for reading in readings {
            let decode = Arc::clone(&parts.source(reading.stretch())?.decode);
            let (ahead, greatest) = (VecDeque::new(), Timestamp::MIN);
            partitions.push(Partition { reading, decode, ahead, greatest });
        }
        Ok(Self { partitions, dead: 0 })
    }

    fn next(&mut self) -> anyhow::Result<Option<Event>> {
        for partition in &mut self.partitions {
            self.dead += partition.look_ahead()?;
        }
        let arrival =
            |partition: &Partition| Some(partition.ahead.front()?.time.max(partition.greatest));
        let next = self.partitions.iter_mut().filter_map(|at| Some((arrival(at)?, at)));
        let Some((arrival, next)) = next.min_by_key(|(arrival, _)| *arrival) else {
            return Ok(None);
        };
        next.greatest = arrival;
        Ok(next.ahead.pop_front())
    }
}

impl Partition {
    /// Has the next event read, if there is one; answers how many records were none.
    fn look_ahead(&mut self) -> anyhow::Result<u64> {
        let mut dead = 0;
        while self.ahead.is_empty() {
            let Some(record) = self.reading.read()? else { break };
            let place = &self.reading.stretch().partition;
            let position = format!("{}/{}/{}", place.topic, place.number, record.offset);
            let raw = Raw {
                bytes: record.payload.as_deref().unwrap_or_default(),
                append_time: record.at,
                tie: Tie::default(),
                position: &position,
            };
            let mut events = Vec::new();
            match decode_message(&*self.decode, record.headers(), &raw, &mut events) {
                Ok(()) => self.ahead.extend(events),
                Err(rejected) => {
                    tracing::debug!(position, %rejected, "left out");
                    dead += 1;
                }
            }
        }
        Ok(dead)
    }
}

/// The file, which has its name once it is whole.
struct Out<'a> {
    writer: Writer,
    path: &'a Path,
}

enum Writer {
    Plain(Box<dyn Write>),
    Gzip(GzEncoder<Box<dyn Write>>),
    Zstd(zstd::stream::write::Encoder<'static, Box<dyn Write>>),
}

impl<'a> Out<'a> {
    fn create(path: &'a Path) -> anyhow::Result<Self> {
        let name = path.to_string_lossy();
        let plain: Box<dyn Write> = if name == "-" {
            Box::new(BufWriter::new(std::io::stdout()))
        } else {
            let begun = begun(path);
            let file = File::create(&begun);
            let file = file.with_context(|| format!("can't write {}", begun.display()))?;
            Box::new(BufWriter::with_capacity(1 << 18, file))
        };
        let writer = if name.ends_with(".gz") {
            Writer::Gzip(GzEncoder::new(plain, Compression::default()))
        } else if name.ends_with(".zst") {
            Writer::Zstd(zstd::stream::write::Encoder::new(plain, ZSTD_LEVEL)?)
        } else if name == "-" || name.ends_with(".ndjson") || name.ends_with(".json") {
            Writer::Plain(plain)
        } else {
            bail!("{name} has none of the endings .ndjson, .ndjson.gz, .ndjson.zst");
        };
        Ok(Self { writer, path })
    }

    fn line(&mut self, line: &str) -> anyhow::Result<()> {
        let out: &mut dyn Write = match &mut self.writer {
            Writer::Plain(out) => out,
            Writer::Gzip(out) => out,
            Writer::Zstd(out) => out,
        };
        let written = out.write_all(line.as_bytes()).and_then(|()| out.write_all(b"\n"));
        written.with_context(|| format!("can't write {}", self.path.display()))
    }

    fn finish(self) -> anyhow::Result<()> {
        let finished = match self.writer {
            Writer::Plain(out) => Ok(out),
            Writer::Gzip(out) => out.finish(),
            Writer::Zstd(out) => out.finish(),
        };
        let path = self.path;
        finished
            .and_then(|mut out| out.flush())
            .and_then(|()| {
                if path.as_os_str() == "-" { Ok(()) } else { std::fs::rename(begun(path), path) }
            })
            .with_context(|| format!("can't write {}", path.display()))
    }
}

/// What the file is called until it is whole.
fn begun(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".part");
    PathBuf::from(name)
}
