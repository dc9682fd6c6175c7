//! The production store: one Postgres database for the lanes and the deliveries of many workers.
//!
//! Statements are bulk: a checkpoint is a constant number of them, however many rows it moves.
//! Several transactions at a time change tables in one order (lanes, states, messages,
//! deliveries, trace, suppressions, outbox), rows in the order of their keys: they wait for one
//! another and hardly ever in a circle.

mod deliveries;
mod journey;
mod listing;
mod read;
mod restored;
mod retention;
mod suppressions;
mod write;

use std::sync::Arc;

use sqlx::PgConnection;
use tokio::sync::{Mutex, OnceCell, OwnedMappedMutexGuard, OwnedMutexGuard};

use crate::log;
use crate::model::{CustomerId, Timestamp};
use crate::postgres::{Postgres, Transaction, query, query_as, query_scalar};

pub use restored::Restored;

use super::changes::Changes;
use super::rows::{self, Unreadable};
use super::{Checkpoint, Error, Lease, Listing, OutboxRow, Position, Store};

/// How often a checkpoint is tried that has to give another the way. Two lanes may take suppressions
/// of the same owners away and set them again, which no order of locks makes free of circles.
const COMMITS_MAX: u32 = 5;

/// The production store. Cheap to clone.
#[derive(Clone, Debug)]
pub struct PgStore {
    ledger: PgLedger,
}

/// The reading side of the production store. Cheap to clone.
#[derive(Clone, Debug)]
pub struct PgLedger {
    database: Postgres,
    /// The transaction that all reads share, where they are of one moment.
    moment: Option<Arc<Mutex<Option<Transaction>>>>,
    secret_key: Arc<OnceCell<[u8; 32]>>,
}

/// A connection to read with.
enum Reading {
    Own(Transaction),
    Shared(OwnedMappedMutexGuard<Option<Transaction>, Transaction>),
}

impl Reading {
    fn connection(&mut self) -> &mut PgConnection {
        match self {
            Self::Own(transaction) => transaction,
            Self::Shared(transaction) => transaction,
        }
    }
}

impl PgStore {
    /// The store in a database whose tables are up to date
    /// ([`Postgres::migrate`], [`Postgres::check`]).
    #[must_use]
    pub fn new(database: Postgres) -> Self {
        Self { ledger: PgLedger::new(database) }
    }

    /// The database.
    #[must_use]
    pub const fn database(&self) -> &Postgres {
        &self.ledger.database
    }

    async fn commit_once(
        &self,
        prepared: &write::Prepared<'_>,
        secret: &[u8; 32],
    ) -> Result<(), Error> {
        let mut transaction = self.begin("a checkpoint").await?;
        prepared.write(&mut transaction, &self.ledger, secret).await?;
        transaction.commit().await.map_err(self.failed("a checkpoint"))
    }

    async fn begin(&self, doing: &'static str) -> Result<Transaction, Error> {
        Ok(self.ledger.database.begin(doing).await?)
    }

    fn failed(&self, doing: &'static str) -> impl Fn(sqlx::Error) -> Error + use<'_> {
        self.ledger.failed(doing)
    }
}

impl Store for PgStore {
    const KEEPS_STATES: bool = true;

    async fn take(&self, partition: u32) -> Result<(Lease, Position), Error> {
        let doing = "taking a lane";
        let mut transaction = self.begin(doing).await?;
        // Waits for a checkpoint of the former holder, and so sees what it moved.
        let row = query(
            "INSERT INTO lanes (partition, epoch, low_offset, end_offset, build)
             VALUES ($1, 1, 0, 0, '')
             ON CONFLICT (partition) DO UPDATE SET epoch = lanes.epoch + 1
             RETURNING partition, epoch, low_offset, end_offset, watermark, build",
        )
        .bind(number(partition))
        .fetch_one(&mut *transaction)
        .await
        .map_err(self.failed(doing))?;
        let lane = rows::lane(&row).map_err(self.ledger.unreadable())?;
        transaction.commit().await.map_err(self.failed(doing))?;
        Ok((Lease { partition, epoch: lane.epoch }, lane.position))
    }

    async fn load(
        &self,
        lease: Lease,
        ids: &[CustomerId],
    ) -> Result<Vec<(CustomerId, Vec<u8>)>, Error> {
        let doing = "loading states";
        let ids: Vec<Vec<u8>> = ids.iter().map(|id| id.to_bytes().to_vec()).collect();
        let mut transaction = self.begin(doing).await?;
        let rows: Vec<(Vec<u8>, Vec<u8>)> = query_as(
            "SELECT customer, state FROM states WHERE partition = $1 AND customer = ANY($2)",
        )
        .bind(number(lease.partition))
        .bind(ids)
        .fetch_all(&mut *transaction)
        .await
        .map_err(self.failed(doing))?;
        self.ledger.states_of(rows)
    }

    async fn due(&self, lease: Lease, upto: Timestamp) -> Result<Vec<CustomerId>, Error> {
        let doing = "looking for what is due";
        let mut transaction = self.begin(doing).await?;
        let rows: Vec<Vec<u8>> = query_scalar(
            "SELECT customer FROM states WHERE partition = $1 AND next_due <= $2
             ORDER BY next_due, customer",
        )
        .bind(number(lease.partition))
        .bind(upto.ms())
        .fetch_all(&mut *transaction)
        .await
        .map_err(self.failed(doing))?;
        self.ledger.customers(&rows)
    }

    async fn scan(
        &self,
        lease: Lease,
        after: Option<CustomerId>,
        limit: u32,
    ) -> Result<Vec<CustomerId>, Error> {
        let doing = "going through the states";
        let mut transaction = self.begin(doing).await?;
        let rows: Vec<Vec<u8>> = query_scalar(
            "SELECT customer FROM states WHERE partition = $1 AND customer > $2
             ORDER BY customer LIMIT $3",
        )
        .bind(number(lease.partition))
        .bind(first_after(after))
        .bind(i64::from(limit))
        .fetch_all(&mut *transaction)
        .await
        .map_err(self.failed(doing))?;
        self.ledger.customers(&rows)
    }

    async fn commit(&self, lease: Lease, mut checkpoint: Checkpoint) -> Result<(), Error> {
        let changes = Changes::new(std::mem::take(&mut checkpoint.messages))?;
        let secret = self.ledger.secret_key().await?;
        let prepared = write::Prepared::new(lease, &checkpoint, &changes)?;
        for _ in 1..COMMITS_MAX {
            match self.commit_once(&prepared, &secret).await {
                Err(Error::Postgres(error)) if error.gave_way() => {
                    tracing::debug!(%error, "a checkpoint gave another the way");
                }
                done => return done,
            }
        }
        self.commit_once(&prepared, &secret).await
    }

    async fn outbox_pending(&self, limit: u32) -> Result<Vec<OutboxRow>, Error> {
        let doing = "reading the outbox";
        let mut transaction = self.begin(doing).await?;
        let rows: Vec<(Vec<u8>, Vec<u8>)> =
            query_as("SELECT id, record FROM outbox ORDER BY seq LIMIT $1")
                .bind(i64::from(limit))
                .fetch_all(&mut *transaction)
                .await
                .map_err(self.failed(doing))?;
        drop(transaction);
        let mut pending = Vec::with_capacity(rows.len());
        for (id, bytes) in rows {
            let id = rows::sixteen(&id).map_err(self.ledger.unreadable())?;
            let records = log::decode(&bytes).map_err(|error| self.ledger.damaged(&error))?;
            let id = u128::from_be_bytes(id);
            pending.extend(records.into_iter().map(|record| OutboxRow { id, record }));
        }
        Ok(pending)
    }

    async fn outbox_done(&self, ids: &[u128]) -> Result<(), Error> {
        let doing = "clearing the outbox";
        let ids: Vec<Vec<u8>> = ids.iter().map(|id| id.to_be_bytes().to_vec()).collect();
        let mut transaction = self.begin(doing).await?;
        // What another is taking out at the same time is left to it.
        query(
            "DELETE FROM outbox WHERE id IN (
                 SELECT id FROM outbox WHERE id = ANY($1) FOR UPDATE SKIP LOCKED)",
        )
        .bind(ids)
        .execute(&mut *transaction)
        .await
        .map_err(self.failed(doing))?;
        transaction.commit().await.map_err(self.failed(doing))
    }
}

impl PgLedger {
    /// The reading side of the store in a database whose tables are up to date.
    #[must_use]
    pub fn new(database: Postgres) -> Self {
        Self { database, moment: None, secret_key: Arc::default() }
    }

    /// The store as it is at the first reading, for as long as this lives, however the workers go
    /// on. It keeps one connection, and Postgres can't clear away meanwhile what was replaced: not
    /// for long-lived use.
    #[must_use]
    pub fn one_moment(&self) -> Self {
        Self { moment: Some(Arc::default()), ..self.clone() }
    }

    async fn read(&self, doing: &'static str) -> Result<Reading, Error> {
        let Some(moment) = &self.moment else {
            return Ok(Reading::Own(self.database.begin(doing).await?));
        };
        let mut moment = Arc::clone(moment).lock_owned().await;
        let transaction = match moment.take() {
            Some(transaction) => transaction,
            None => self.database.begin_moment(doing).await?,
        };
        Ok(Reading::Shared(OwnedMutexGuard::map(moment, |moment| moment.insert(transaction))))
    }

    fn failed(&self, doing: &'static str) -> impl Fn(sqlx::Error) -> Error + use<'_> {
        let failed = self.database.failed(doing);
        move |source| failed(source).into()
    }

    fn unreadable(&self) -> impl Fn(Unreadable) -> Error + use<'_> {
        move |what| match what {
            Unreadable::Column(source) => self.failed("reading a row")(source),
            Unreadable::Value(what) => self.damaged(&what),
        }
    }

    fn damaged(&self, what: &dyn std::fmt::Display) -> Error {
        Error::Unusable(format!("{}: {what}; restore it from a backup", self.database.place()))
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

/// A partition as Postgres keeps it.
fn number(partition: u32) -> i32 {
    // There are at most 1,024.
    i32::try_from(partition).unwrap_or(i32::MAX)
}

/// What sorts directly before the customers after this one: no bytes sort before all sixteen.
fn first_after(after: Option<CustomerId>) -> Vec<u8> {
    after.map_or(Vec::new(), |id| id.to_bytes().to_vec())
}
