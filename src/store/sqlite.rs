//! The embedded store: one SQLite file for states, messages, trace and positions.
//!
//! One connection writes, others read beside it. Statements are bulk: a checkpoint of thousands of
//! rows is a few dozen statements.

mod deliveries;
mod journey;
mod listing;
mod read;
mod retention;
mod suppressions;
mod write;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use sqlx::Connection;
use sqlx::sqlite::{SqliteConnection, SqlitePool};
use tokio::sync::{Mutex, OnceCell};

use crate::log;
use crate::model::{CustomerId, Timestamp};
use crate::sqlite::{
    Database, Kind, Limits, Lock, chunks, explain, finish, one_moment, open, open_to_change,
    open_to_read, repeated,
};

use super::changes::Changes;
use super::rows::{self, Unreadable};
use super::{Checkpoint, Error, Lease, OutboxRow, Position, Store};

const KIND: Kind = Kind {
    name: "state store",
    application_id: 0x5759_5354,
    migrations: &[(1, "state", include_str!("../../migrations/state/0001_state.sql"))],
};

/// The embedded store, open for writing.
#[derive(Debug)]
pub struct SqliteStore {
    writer: Mutex<SqliteConnection>,
    ledger: SqliteLedger,
    /// The newest lease of earlier processes, once it was looked for.
    earlier: OnceCell<i64>,
    /// Whether something was erased since the file was opened.
    erased: AtomicBool,
    /// Whether to wait for a program that has locked the file.
    waits: AtomicBool,
    /// Whether that was said.
    held_up: AtomicBool,
    _lock: Option<Lock>,
}

/// The reading side of the embedded store. Cheap to clone.
#[derive(Clone, Debug)]
pub struct SqliteLedger {
    path: PathBuf,
    readers: SqlitePool,
    secret_key: Arc<OnceCell<[u8; 32]>>,
}

impl SqliteStore {
    /// Opens the store, or makes it.
    ///
    /// # Errors
    /// [`Error::File`] with the way out.
    pub async fn open(path: &Path) -> Result<Self, Error> {
        Self::open_limited(path, Limits::default()).await
    }

    /// As [`SqliteStore::open`], with limits on the file.
    ///
    /// # Errors
    /// As [`SqliteStore::open`].
    pub async fn open_limited(path: &Path, limits: Limits) -> Result<Self, Error> {
        let Database { path, writer, readers, lock } = open(path, &KIND, limits).await?;
        let ledger = SqliteLedger::new(path, readers);
        Ok(Self::new(writer, ledger, Some(lock)))
    }

    /// Opens an existing store for small changes beside the worker that may be running on it:
    /// holds, and messages that are cancelled or resolved by hand. It must not take a lane.
    ///
    /// # Errors
    /// [`Error::File`] with the way out, also if there is no store.
    pub async fn open_beside(path: &Path) -> Result<Self, Error> {
        let ledger = SqliteLedger::open(path).await?;
        let writer = open_to_change(path, &KIND).await?;
        Ok(Self::new(writer, ledger, None))
    }

    fn new(writer: SqliteConnection, ledger: SqliteLedger, lock: Option<Lock>) -> Self {
        let no = || AtomicBool::new(false);
        let writer = Mutex::new(writer);
        let earlier = OnceCell::new();
        Self { writer, ledger, earlier, erased: no(), waits: no(), held_up: no(), _lock: lock }
    }

    /// Whether to wait for another program that holds the file, however long it does. A worker
    /// that runs does, until it stops; else it is an error after two seconds.
    pub fn wait_for_the_file(&self, waits: bool) {
        self.waits.store(waits, Ordering::Relaxed);
    }

    /// Whether another program holds the file, and it is being waited for.
    #[must_use]
    pub fn is_held_up(&self) -> bool {
        self.held_up.load(Ordering::Relaxed)
    }

    /// Does a transaction, again and again while another program holds the file and it is to be
    /// waited for. That is logged once; SQLite waits for two seconds each time.
    async fn patiently<T, F>(&self, doing: impl Fn() -> F) -> Result<T, Error>
    where
        F: Future<Output = Result<T, Error>>,
    {
        loop {
            match doing().await {
                Err(error) if error.is_busy() && self.waits.load(Ordering::Relaxed) => {
                    if !self.held_up.swap(true, Ordering::Relaxed) {
                        let file = self.ledger.path.display();
                        tracing::warn!(%file, "another program has locked the file: checkpoints and messages wait until it lets go (a SQL shell, a backup)");
                    }
                }
                done => {
                    if done.is_ok() && self.held_up.swap(false, Ordering::Relaxed) {
                        tracing::info!(
                            "the file is not locked any more: checkpoints and messages go on"
                        );
                    }
                    return done;
                }
            }
        }
    }

    /// Keeps the checkpoints of several lanes in one transaction: all of them or none.
    ///
    /// # Errors
    /// As [`Store::commit`].
    pub async fn commit_all(&self, checkpoints: Vec<(Lease, Checkpoint)>) -> Result<(), Error> {
        let mut prepared = Vec::with_capacity(checkpoints.len());
        for (lease, mut checkpoint) in checkpoints {
            let changes = Changes::new(std::mem::take(&mut checkpoint.messages))?;
            prepared.push((lease, checkpoint, changes));
        }
        self.patiently(|| async {
            let mut writer = self.writer.lock().await;
            let mut transaction =
                writer.begin_with("BEGIN IMMEDIATE").await.map_err(self.failed("a checkpoint"))?;
            for (lease, checkpoint, changes) in &prepared {
                write::checkpoint(&mut transaction, &self.ledger, *lease, checkpoint, changes)
                    .await?;
                self.erased.fetch_or(!checkpoint.erased.is_empty(), Ordering::Relaxed);
            }
            transaction.commit().await.map_err(self.failed("a checkpoint"))
        })
        .await
    }

    /// Closes the store after the last checkpoint, with all of it in the file itself.
    ///
    /// # Errors
    /// [`Error::File`]; everything committed is kept nevertheless.
    pub async fn close(&self) -> Result<(), Error> {
        let mut writer = self.writer.lock().await;
        let erased = self.erased.load(Ordering::Relaxed);
        finish(&mut writer, erased).await.map_err(self.failed("closing"))
    }

    fn failed(&self, doing: &'static str) -> impl Fn(sqlx::Error) -> Error + use<'_> {
        self.ledger.failed(doing)
    }
}

impl Store for SqliteStore {
    const KEEPS_STATES: bool = true;

    async fn take(&self, partition: u32) -> Result<(Lease, Position), Error> {
        let mut writer = self.writer.lock().await;
        let (epoch, low, end, watermark): (i64, i64, i64, Option<i64>) = sqlx::query_as(
            "INSERT INTO lanes (partition, epoch, low_offset, end_offset, build)
             VALUES (?, 1, 0, 0, '')
             ON CONFLICT (partition) DO UPDATE SET epoch = epoch + 1
             RETURNING epoch, low_offset, end_offset, watermark",
        )
        .bind(partition)
        .fetch_one(&mut *writer)
        .await
        .map_err(self.failed("taking a lane"))?;
        let position = Position {
            low: low.cast_unsigned(),
            end: end.cast_unsigned(),
            watermark: watermark.map(Timestamp::from_ms),
        };
        Ok((Lease { partition, epoch: epoch.cast_unsigned() }, position))
    }

    async fn load(
        &self,
        lease: Lease,
        ids: &[CustomerId],
    ) -> Result<Vec<(CustomerId, Vec<u8>)>, Error> {
        let mut states = Vec::with_capacity(ids.len());
        for chunk in chunks(ids) {
            let sql = repeated(
                "SELECT customer, state FROM states WHERE partition = ? AND customer IN ({})",
                "?",
                chunk.len(),
            );
            let mut query = sqlx::query_as::<_, (Vec<u8>, Vec<u8>)>(sql).bind(lease.partition);
            for id in chunk {
                query = query.bind(id.to_bytes().to_vec());
            }
            let rows = query
                .fetch_all(&self.ledger.readers)
                .await
                .map_err(self.failed("loading states"))?;
            states.extend(self.ledger.states_of(rows)?);
        }
        Ok(states)
    }

    async fn due(&self, lease: Lease, upto: Timestamp) -> Result<Vec<CustomerId>, Error> {
        let rows: Vec<Vec<u8>> = sqlx::query_scalar(
            "SELECT customer FROM states WHERE partition = ? AND next_due <= ?
             ORDER BY next_due, customer",
        )
        .bind(lease.partition)
        .bind(upto.ms())
        .fetch_all(&self.ledger.readers)
        .await
        .map_err(self.failed("looking for what is due"))?;
        self.ledger.customers(&rows)
    }

    async fn scan(
        &self,
        lease: Lease,
        after: Option<CustomerId>,
        limit: u32,
    ) -> Result<Vec<CustomerId>, Error> {
        // No bytes sort before all sixteen.
        let after = after.map_or(Vec::new(), |id| id.to_bytes().to_vec());
        let rows: Vec<Vec<u8>> = sqlx::query_scalar(
            "SELECT customer FROM states WHERE partition = ? AND customer > ?
             ORDER BY customer LIMIT ?",
        )
        .bind(lease.partition)
        .bind(after)
        .bind(limit)
        .fetch_all(&self.ledger.readers)
        .await
        .map_err(self.failed("going through the states"))?;
        self.ledger.customers(&rows)
    }

    async fn commit(&self, lease: Lease, checkpoint: Checkpoint) -> Result<(), Error> {
        self.commit_all(vec![(lease, checkpoint)]).await
    }

    async fn outbox_pending(&self, limit: u32) -> Result<Vec<OutboxRow>, Error> {
        let rows: Vec<(Vec<u8>, Vec<u8>)> =
            sqlx::query_as("SELECT id, record FROM outbox ORDER BY seq LIMIT ?")
                .bind(limit)
                .fetch_all(&self.ledger.readers)
                .await
                .map_err(self.failed("reading the outbox"))?;
        let mut pending = Vec::with_capacity(rows.len());
        for (id, bytes) in rows {
            let id = rows::sixteen(&id).map_err(self.ledger.unreadable())?;
            let id = u128::from_be_bytes(id);
            let records = log::decode(&bytes).map_err(|error| self.ledger.damaged(&error))?;
            pending.extend(records.into_iter().map(|record| OutboxRow { id, record }));
        }
        Ok(pending)
    }

    async fn outbox_done(&self, ids: &[u128]) -> Result<(), Error> {
        let mut writer = self.writer.lock().await;
        let failed = self.failed("clearing the outbox");
        let mut transaction = writer.begin_with("BEGIN IMMEDIATE").await.map_err(&failed)?;
        for chunk in chunks(ids) {
            let sql = repeated("DELETE FROM outbox WHERE id IN ({})", "?", chunk.len());
            let mut query = sqlx::query(sql);
            for id in chunk {
                query = query.bind(id.to_be_bytes().to_vec());
            }
            query.execute(&mut *transaction).await.map_err(&failed)?;
        }
        transaction.commit().await.map_err(failed)
    }
}

impl SqliteLedger {
    fn new(path: PathBuf, readers: SqlitePool) -> Self {
        Self { path, readers, secret_key: Arc::default() }
    }

    /// Opens an existing store for reading, beside a writing process or without one.
    ///
    /// # Errors
    /// [`Error::File`] if there is no store, or not one that this build can read.
    pub async fn open(path: &Path) -> Result<Self, Error> {
        let readers = open_to_read(path, &KIND).await?;
        Ok(Self::new(path.to_owned(), readers))
    }

    /// The store as it is at the first reading, for as long as this lives, however the worker
    /// goes on. Not for long-lived use: the file's write-ahead log grows meanwhile.
    #[must_use]
    pub fn one_moment(&self) -> Self {
        Self::new(self.path.clone(), one_moment(&self.path))
    }

    fn failed(&self, doing: &'static str) -> impl Fn(sqlx::Error) -> Error + use<'_> {
        move |source| explain(&self.path, &KIND, doing, source).into()
    }

    fn damaged(&self, what: &dyn std::fmt::Display) -> Error {
        Error::Unusable(format!("{}: {what}; restore it from a backup", self.path.display()))
    }

    fn unreadable(&self) -> impl Fn(Unreadable) -> Error + use<'_> {
        move |what| match what {
            Unreadable::Column(source) => self.failed("reading a row")(source),
            Unreadable::Value(what) => self.damaged(&what),
        }
    }

    fn customers(&self, rows: &[Vec<u8>]) -> Result<Vec<CustomerId>, Error> {
        let customer = |id: &Vec<u8>| rows::sixteen(id).map(CustomerId::from_bytes);
        rows.iter().map(customer).collect::<Result<_, _>>().map_err(self.unreadable())
    }

    fn states_of(
        &self,
        rows: Vec<(Vec<u8>, Vec<u8>)>,
    ) -> Result<Vec<(CustomerId, Vec<u8>)>, Error> {
        let state =
            |(id, state): (Vec<u8>, _)| Ok((CustomerId::from_bytes(rows::sixteen(&id)?), state));
        rows.into_iter().map(state).collect::<Result<_, _>>().map_err(self.unreadable())
    }
}
