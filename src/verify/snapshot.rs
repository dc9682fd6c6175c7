//! A snapshot: the states and positions of one moment, for a verify whose log has lost its head.
//!
//! The file: what it is, then a zstd frame of items, each with its length before it: a head, and for
//! each lane its states in pages, with an empty page after the last.

use std::fs::{File, OpenOptions};
use std::io::{BufReader, BufWriter, Read, Write};
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::log::ReadLog;
use crate::model::{CustomerId, Timestamp};
use crate::store::{Ledger, Position};

use super::Error;

/// What a snapshot begins with; the last byte but one is its version.
const MAGIC: &[u8; 8] = b"WYSNAP\x01\n";
/// States in a page.
const STATES: u32 = 1_000;
/// The longest item that is read back, in bytes.
const ITEM_BYTES_MAX: u32 = 256 << 20;
/// How strongly it is packed: states hardly repeat each other.
const ZSTD_LEVEL: i32 = 3;

/// Why a snapshot can't be used.
#[derive(Debug, thiserror::Error)]
pub enum SnapshotError {
    /// The file can't be read or written.
    #[error("{path}")]
    File {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        #[source]
        source: std::io::Error,
    },
    /// Something else, or of a later build.
    #[error("{0} is no snapshot that this build can read")]
    Unknown(PathBuf),
    /// Cut off or changed.
    #[error("{path} is damaged: {what}; take another one")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        what: String,
    },
    /// Of another log.
    #[error("{0} is a snapshot of another log")]
    OtherLog(PathBuf),
    /// The store stands before the snapshot.
    #[error(
        "partition {partition}: the store stands at offset {stands}, the snapshot at {taken}; take \
         one of this store"
    )]
    Ahead {
        /// The partition.
        partition: u32,
        /// Where the store stands.
        stands: u64,
        /// Where the snapshot was taken.
        taken: u64,
    },
}

/// What a snapshot holds beside states.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Head {
    /// A hash of the log's identity key: says which log it is of.
    log: [u8; 16],
    at: Timestamp,
    lanes: Vec<Mark>,
}

/// Where a lane stands in a snapshot.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Mark {
    partition: u32,
    low: u64,
    end: u64,
    watermark: Option<Timestamp>,
    /// The message that was decided last.
    decided: u64,
}

type Page = Vec<(CustomerId, Vec<u8>)>;

/// What was written into a snapshot.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Taken {
    /// Lanes.
    pub lanes: u64,
    /// Customers' states.
    pub states: u64,
}

/// Writes a snapshot of a store, which must be of one moment
/// ([`SqliteLedger::one_moment`](crate::store::SqliteLedger::one_moment)). The file must not be
/// there yet; nobody else may read it, because it holds what is known of people. `progress` hears
/// how many states are written.
///
/// # Errors
/// [`Error`] if the log or the store can't be read or the file can't be written.
pub async fn snapshot(
    log: &impl ReadLog,
    ledger: &impl Ledger,
    path: &Path,
    now: Timestamp,
    progress: &mut dyn FnMut(u64),
) -> Result<Taken, Error> {
    let failed = |source| SnapshotError::File { path: path.to_owned(), source };
    let mut lanes = Vec::new();
    for row in ledger.lanes().await? {
        let Position { low, end, watermark } = row.position;
        let decided = ledger.last_decided(row.partition).await?;
        lanes.push(Mark { partition: row.partition, low, end, watermark, decided });
    }
    let mut file = create(path).map_err(failed)?;
    file.write_all(MAGIC).map_err(failed)?;
    let packed = zstd::stream::write::Encoder::new(file, ZSTD_LEVEL);
    let mut out = packed.map_err(failed)?;
    out.include_checksum(true).map_err(failed)?;
    let head = Head { log: fingerprint(log.identity_key().await?), at: now, lanes };
    write_item(&mut out, &head).map_err(failed)?;
    let mut taken = Taken { lanes: head.lanes.len() as u64, states: 0 };
    for mark in &head.lanes {
        let mut after = None;
        loop {
            let page: Page = ledger.states(mark.partition, after, STATES).await?;
            write_item(&mut out, &page).map_err(failed)?;
            let Some((last, _)) = page.last() else { break };
            after = Some(*last);
            taken.states += page.len() as u64;
            progress(taken.states);
        }
    }
    let done = out.finish().and_then(|file| file.into_inner().map_err(|error| error.into_error()));
    done.and_then(|file| file.sync_all()).map_err(failed)?;
    Ok(taken)
}

fn create(path: &Path) -> std::io::Result<BufWriter<File>> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    Ok(BufWriter::with_capacity(1 << 18, options.open(path)?))
}

fn write_item(out: &mut impl Write, item: &impl Serialize) -> std::io::Result<()> {
    let bytes = postcard::to_allocvec(item).map_err(std::io::Error::other)?;
    let length = u32::try_from(bytes.len()).map_err(std::io::Error::other)?;
    out.write_all(&length.to_le_bytes())?;
    out.write_all(&bytes)
}

/// Says which log it is without giving its key away.
fn fingerprint(identity_key: [u8; 32]) -> [u8; 16] {
    let hash = blake3::derive_key("waypost 2026 which log a snapshot is of", &identity_key);
    let mut short = [0; 16];
    short.copy_from_slice(&hash[..16]);
    short
}

/// A snapshot that is read, lane after lane.
pub struct Snapshot {
    path: PathBuf,
    input: zstd::stream::read::Decoder<'static, BufReader<File>>,
    head: Head,
    /// The first lane whose states were not read.
    next: usize,
}

/// A lane's part of a snapshot.
pub(super) struct Start {
    pub position: Position,
    /// The message that was decided last.
    pub decided: u64,
}

impl Snapshot {
    /// Opens a snapshot.
    ///
    /// # Errors
    /// [`SnapshotError`] if there is none, or not one that this build can read.
    pub fn open(path: &Path) -> Result<Self, SnapshotError> {
        let failed = |source| SnapshotError::File { path: path.to_owned(), source };
        let mut file = BufReader::new(File::open(path).map_err(failed)?);
        let mut magic = [0; MAGIC.len()];
        if file.read_exact(&mut magic).is_err() || magic != *MAGIC {
            return Err(SnapshotError::Unknown(path.to_owned()));
        }
        let mut input = zstd::stream::read::Decoder::with_buffer(file).map_err(failed)?;
        let head = read_item(&mut input, path)?;
        Ok(Self { path: path.to_owned(), input, head, next: 0 })
    }

    /// When it was taken.
    #[must_use]
    pub const fn at(&self) -> Timestamp {
        self.head.at
    }

    /// Whether it is of this log.
    pub(super) fn is_of(&self, identity_key: [u8; 32]) -> Result<(), SnapshotError> {
        if self.head.log == fingerprint(identity_key) {
            Ok(())
        } else {
            Err(SnapshotError::OtherLog(self.path.clone()))
        }
    }

    /// Where a lane stood; `None` if there was none.
    pub(super) fn lane(&self, partition: u32) -> Option<Start> {
        let mark = self.head.lanes.iter().find(|mark| mark.partition == partition)?;
        let Mark { low, end, watermark, decided, .. } = *mark;
        Some(Start { position: Position { low, end, watermark }, decided })
    }

    /// The states of a lane, by customer. Lanes are asked for in the order of their partitions.
    pub(super) fn states(&mut self, partition: u32) -> Result<Page, SnapshotError> {
        let mut states = Page::new();
        while let Some(mark) = self.head.lanes.get(self.next).copied() {
            if mark.partition > partition {
                break;
            }
            self.next += 1;
            loop {
                let page: Page = read_item(&mut self.input, &self.path)?;
                if page.is_empty() {
                    break;
                }
                if mark.partition == partition {
                    states.extend(page);
                }
            }
        }
        Ok(states)
    }
}

fn read_item<T: DeserializeOwned>(input: &mut impl Read, path: &Path) -> Result<T, SnapshotError> {
    let damaged = |what: String| SnapshotError::Damaged { path: path.to_owned(), what };
    let mut length = [0; 4];
    input.read_exact(&mut length).map_err(|error| damaged(error.to_string()))?;
    let length = u32::from_le_bytes(length);
    if length > ITEM_BYTES_MAX {
        return Err(damaged(format!("an item of {length} bytes")));
    }
    let mut bytes = vec![0; length as usize];
    input.read_exact(&mut bytes).map_err(|error| damaged(error.to_string()))?;
    postcard::from_bytes(&bytes).map_err(|error| damaged(error.to_string()))
}
