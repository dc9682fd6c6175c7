//! What a log in Kafka is kept with, in Postgres: the identity graph, sources, releases, dead
//! letters, and what ingest has to remember.
//!
//! The records themselves are in Kafka. Whatever ingest keeps here for a position of an input is
//! kept under that position, because Kafka's transaction and this one are two: a position that is
//! read again yields the records it yielded before ([`Taking`]).

mod dead_letters;
mod recovering;
mod releases;
mod taking;
mod ticking;

pub use recovering::{InputStands, Relayed};
pub use taking::{Held, Identified, Kept, Taken, Taking};
pub use ticking::{Pulse, Ticking};

use crate::model::OWN_SOURCE;
use crate::postgres::{Postgres, Transaction, query, query_as, query_scalar};
use ring::rand::{SecureRandom, SystemRandom};

use super::{Error, PARTITIONS_MAX};

/// The part of a log in Kafka that is kept in Postgres. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Registry {
    postgres: Postgres,
    partitions: u32,
    identity_key: [u8; 32],
}

impl Registry {
    /// Opens the registry, or makes it for a log with this many partitions.
    ///
    /// # Errors
    /// [`Error`] if Postgres can't be used or the log has another number of partitions.
    pub async fn open(postgres: Postgres, partitions: u32) -> Result<Self, Error> {
        if !(1..=PARTITIONS_MAX).contains(&partitions) {
            return Err(Error::PartitionCount(partitions));
        }
        let mut key = [0_u8; 32];
        SystemRandom::new().fill(&mut key).map_err(|_| Error::Random)?;
        let failed = postgres.failed("making the log's head");
        let mut transaction = postgres.begin("making the log's head").await?;
        query("INSERT INTO log (partitions, identity_key) VALUES ($1, $2) ON CONFLICT DO NOTHING")
            .bind(partitions.cast_signed())
            .bind(&key[..])
            .execute(&mut *transaction)
            .await
            .map_err(&failed)?;
        transaction.commit().await.map_err(&failed)?;
        drop(failed);
        let registry = Self::existing(postgres).await?;
        if registry.partitions != partitions {
            let (found, wanted) = (registry.partitions, partitions);
            let path = registry.postgres.place().to_owned();
            return Err(Error::Partitions { path, found, wanted });
        }
        Ok(registry)
    }

    /// Opens the registry of a log that there is.
    ///
    /// # Errors
    /// [`Error`] if Postgres can't be used or no worker has made a log there.
    pub async fn existing(postgres: Postgres) -> Result<Self, Error> {
        let mut transaction = postgres.begin("reading the log's head").await?;
        let head: Option<(i32, Vec<u8>)> = query_as("SELECT partitions, identity_key FROM log")
            .fetch_optional(&mut *transaction)
            .await
            .map_err(postgres.failed("reading the log's head"))?;
        drop(transaction);
        let Some((partitions, key)) = head else {
            return Err(Error::NoLog(postgres.place().to_owned()));
        };
        let damaged = |what: &str| Error::Damaged {
            path: postgres.place().to_owned(),
            what: what.to_owned(),
        };
        let identity_key =
            key.try_into().map_err(|_| damaged("the identity key has no 32 bytes"))?;
        let partitions = u32::try_from(partitions).map_err(|_| damaged("a negative count"))?;
        Ok(Self { postgres, partitions, identity_key })
    }

    /// How many partitions the log has.
    #[must_use]
    pub const fn partitions(&self) -> u32 {
        self.partitions
    }

    /// The secret key of identity hashes, made with the log. It never changes.
    #[must_use]
    pub const fn identity_key(&self) -> [u8; 32] {
        self.identity_key
    }

    /// Names and numbers of the sources, by number.
    ///
    /// # Errors
    /// [`Error`] if Postgres can't be read.
    pub async fn sources(&self) -> Result<Vec<(u16, String)>, Error> {
        let mut transaction = self.postgres.begin("reading the sources").await?;
        let rows: Vec<(i32, String)> = query_as("SELECT number, name FROM sources ORDER BY number")
            .fetch_all(&mut *transaction)
            .await
            .map_err(self.postgres.failed("reading the sources"))?;
        let number = |number: i32| u16::try_from(number).map_err(|_| self.damaged("a source"));
        rows.into_iter().map(|(at, name)| Ok((number(at)?, name))).collect()
    }

    /// The number of a source; a new name gets the next one.
    ///
    /// # Errors
    /// [`Error`] if Postgres can't be written.
    pub async fn source(&self, name: &str) -> Result<u16, Error> {
        let failed = self.postgres.failed("numbering a source");
        let mut transaction = self.postgres.begin("numbering a source").await?;
        // Workers that start together number one after another.
        query("LOCK TABLE sources IN EXCLUSIVE MODE")
            .execute(&mut *transaction)
            .await
            .map_err(&failed)?;
        let number: i32 = query_scalar(
            "INSERT INTO sources (number, name)
             VALUES ((SELECT coalesce(max(number), 0) + 1 FROM sources), $1)
             ON CONFLICT (name) DO UPDATE SET name = excluded.name
             RETURNING number",
        )
        .bind(name)
        .fetch_one(&mut *transaction)
        .await
        .map_err(&failed)?;
        transaction.commit().await.map_err(&failed)?;
        let number = u16::try_from(number).ok().filter(|number| *number != OWN_SOURCE);
        number.ok_or_else(|| self.damaged("too many sources; a source is named once and kept"))
    }

    /// The stored rows of the identity graph with these keys; unknown ones are left out.
    ///
    /// # Errors
    /// [`Error`] if Postgres can't be read.
    pub async fn graph(&self, keys: &[u128]) -> Result<Vec<(u128, Vec<u8>)>, Error> {
        let mut transaction = self.postgres.begin("reading identities").await?;
        graph(&self.postgres, &mut transaction, keys).await
    }

    fn damaged(&self, what: &str) -> Error {
        Error::Damaged { path: self.postgres.place().to_owned(), what: what.to_owned() }
    }
}

/// Reads rows of the graph on a connection.
async fn graph(
    postgres: &Postgres,
    transaction: &mut Transaction,
    keys: &[u128],
) -> Result<Vec<(u128, Vec<u8>)>, Error> {
    let keys: Vec<Vec<u8>> = keys.iter().map(|key| key.to_be_bytes().to_vec()).collect();
    let rows: Vec<(Vec<u8>, Vec<u8>)> = query_as("SELECT key, row FROM graph WHERE key = ANY ($1)")
        .bind(keys)
        .fetch_all(&mut **transaction)
        .await
        .map_err(postgres.failed("reading identities"))?;
    rows.into_iter()
        .map(|(key, row)| {
            let key = key.try_into().map_err(|_| Error::Damaged {
                path: postgres.place().to_owned(),
                what: "a key of the identity graph has no 16 bytes".into(),
            })?;
            Ok((u128::from_be_bytes(key), row))
        })
        .collect()
}
