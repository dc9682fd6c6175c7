//! Where a dead letter's record comes from, and where it goes in again.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use anyhow::{Context, bail};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper::{Request, StatusCode, Uri, header};
use hyper_util::rt::TokioIo;
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{FutureProducer, FutureRecord};
use rdkafka::util::Timeout;
use tokio::net::TcpStream;

use crate::config::{Config, Secret};
use crate::kafka::{Cluster, Fetched, Partition, Settings};
use crate::log::{DeadLetter, KeptLetter};

use super::Sources;

/// How many records without Kafka go in before they are marked.
const ROUND: usize = 100;
/// How long an answer is waited for.
const ANSWER: Duration = Duration::from_secs(30);
/// The most bytes of an answer that are read.
const ANSWER_BYTES_MAX: usize = 64 << 10;

/// A record on its way in again.
pub(super) struct Again {
    pub payload: Vec<u8>,
    source: String,
    /// Its partition of the topic if it was in it, with the key and the headers that it had there.
    partition: Option<i32>,
    key: Option<Vec<u8>>,
    headers: Vec<(String, Vec<u8>)>,
}

/// Letters with their records, or why there is none. They are marked together.
type Round = Vec<(i64, Result<Again, String>)>;

/// Where records go in.
pub(super) enum Door {
    /// The topics of the inputs.
    Topics { cluster: Cluster, producer: FutureProducer, topics: BTreeMap<String, String> },
    /// The running worker.
    Http { url: String, token: Option<Secret> },
}

impl Door {
    pub(super) fn of(config: &Config, to: Option<&str>) -> anyhow::Result<Self> {
        let Some(production) = &config.production else {
            let listen = config.http.listen;
            let url = to.map_or_else(|| format!("http://{listen}"), str::to_owned);
            return Ok(Self::Http { url, token: config.http.token.clone() });
        };
        if to.is_some() {
            bail!("--to is for a worker without Kafka: here records go to the inputs' topics");
        }
        let settings = Settings::new(&production.kafka)?;
        let topics = config.inputs.iter().filter_map(|(name, input)| {
            Some((name.to_string(), input.topic.as_ref()?.to_string()))
        });
        Ok(Self::Topics {
            cluster: Cluster::new(&settings)?,
            producer: settings.producer().create().context("can't set up a producer")?,
            topics: topics.collect(),
        })
    }

    /// The records of these letters, in rounds.
    pub(super) async fn rounds(
        &self,
        letters: Vec<KeptLetter>,
        sources: &Sources,
    ) -> anyhow::Result<Vec<Round>> {
        let (cluster, topics) = match self {
            Self::Topics { cluster, topics, .. } => (cluster, topics),
            Self::Http { .. } => {
                let rounds = letters.chunks(ROUND).map(|letters| {
                    let kept = letters.iter().map(|kept| {
                        let source = sources.name(kept.letter.source).to_owned();
                        (kept.id, kept_record(&kept.letter, source))
                    });
                    kept.collect()
                });
                return Ok(rounds.collect());
            }
        };
        let mut rounds = Vec::new();
        let mut waiting: VecDeque<KeptLetter> = letters.into();
        while !waiting.is_empty() {
            // One of each partition is fetched at a time.
            let mut places = BTreeMap::new();
            let mut asked = Vec::new();
            let mut round = Round::new();
            let mut later = VecDeque::new();
            for kept in std::mem::take(&mut waiting) {
                let source = sources.name(kept.letter.source);
                let Some(topic) = topics.get(source) else {
                    round.push((kept.id, Err(format!("no input `{source}` is configured"))));
                    continue;
                };
                if kept.letter.came_by_http() {
                    round.push((kept.id, kept_record(&kept.letter, source.to_owned())));
                    continue;
                }
                let number = kept.letter.partition.cast_signed();
                let place = Partition { topic: topic.clone(), number };
                if places.contains_key(&place) {
                    later.push_back(kept);
                    continue;
                }
                places.insert(place.clone(), kept.letter.position.cast_signed());
                asked.push((place, kept, source.to_owned()));
            }
            waiting = later;
            let mut found = cluster.records(&places).await?;
            for (place, kept, source) in asked {
                let position = kept.letter.position.cast_signed();
                let record = found.remove(&place).flatten();
                let record = record.filter(|record| record.offset == position);
                let again = match record {
                    Some(record) => Ok(fetched(record, source, place.number)),
                    // Its key and headers are gone with it.
                    None => kept_record(&kept.letter, source),
                };
                round.push((kept.id, again));
            }
            rounds.push(round);
        }
        Ok(rounds)
    }

    /// Hands a record in; the words of the worker if it refuses it again, as a new dead letter.
    pub(super) async fn send(&self, again: &Again) -> anyhow::Result<Option<String>> {
        match self {
            Self::Topics { producer, topics, .. } => {
                let topic = topics.get(&again.source).context("the input is configured")?;
                let mut headers = OwnedHeaders::new();
                for (key, value) in &again.headers {
                    headers = headers.insert(Header { key, value: Some(value) });
                }
                let mut record = FutureRecord::to(topic).payload(&again.payload).headers(headers);
                if let Some(partition) = again.partition {
                    record = record.partition(partition);
                }
                if let Some(key) = &again.key {
                    record = record.key(key);
                }
                let sent = producer.send(record, Timeout::Never).await;
                sent.map_err(|(error, _)| error)
                    .with_context(|| format!("can't write to topic {topic}"))?;
                Ok(None)
            }
            Self::Http { url, token } => post(url, token.as_ref(), again).await,
        }
    }
}

/// The record as the letter has it.
fn kept_record(letter: &DeadLetter, source: String) -> Result<Again, String> {
    match &letter.payload {
        None => Err("its record was erased".to_owned()),
        Some(_) if !letter.whole => {
            Err("only a part of its record, or what was read of it, is kept".to_owned())
        }
        Some(payload) => Ok(Again {
            payload: payload.clone(),
            source,
            partition: (!letter.came_by_http()).then_some(letter.partition.cast_signed()),
            key: None,
            headers: Vec::new(),
        }),
    }
}

fn fetched(record: Fetched, source: String, partition: i32) -> Again {
    let Fetched { payload, key, headers, .. } = record;
    let payload = payload.unwrap_or_default();
    Again { payload, source, partition: Some(partition), key, headers }
}

async fn post(url: &str, token: Option<&Secret>, again: &Again) -> anyhow::Result<Option<String>> {
    let uri: Uri = format!("{}/events/{}", url.trim_end_matches('/'), again.source)
        .parse()
        .with_context(|| format!("`{url}` is no address such as http://127.0.0.1:7070"))?;
    if uri.scheme_str() != Some("http") {
        // The token would go over the wire for everybody to read.
        bail!(
            "`{url}` is not plain HTTP: name the worker's own address, such as http://127.0.0.1:7070"
        );
    }
    let authority = uri.authority().context("the address names no host")?.to_string();
    let place = if uri.port().is_some() { authority.clone() } else { format!("{authority}:80") };
    let stream = TcpStream::connect(&place).await.with_context(|| {
        format!("no worker answers at {url}; start `waypost run`, or name its address with --to")
    })?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    let mut request = Request::post(uri.path()).header(header::HOST, authority);
    if let Some(token) = token {
        request = request.header(header::AUTHORIZATION, format!("Bearer {}", token.expose()));
    }
    let request = request.body(Full::new(Bytes::from(again.payload.clone())))?;
    let answer = tokio::time::timeout(ANSWER, sender.send_request(request)).await;
    let answer = answer.context("the worker does not answer")??;
    let status = answer.status();
    let body = Limited::new(answer.into_body(), ANSWER_BYTES_MAX).collect().await;
    let body = body.map(http_body_util::Collected::to_bytes).unwrap_or_default();
    let words = String::from_utf8_lossy(&body);
    match status {
        StatusCode::ACCEPTED => Ok(None),
        StatusCode::BAD_REQUEST => Ok(Some(words.into_owned())),
        _ => bail!("the worker answers {status}: {}", words.trim()),
    }
}
