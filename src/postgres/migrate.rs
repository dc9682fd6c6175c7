//! Bringing the tables up to date, once, however many processes start together.
//!
//! A migration only expands: what builds before it do goes on working. So a database with
//! migrations that this build does not know is fine, as long as its level is one that the build
//! speaks ([`Postgres::admits`]).

use ring::rand::SecureRandom;
use sqlx::PgConnection;

use super::{Build, Error, Postgres, query, query_as, query_scalar};

/// Number, name and SQL of every migration, in order.
const MIGRATIONS: &[(i64, &str, &str)] =
    &[(1, "waypost", include_str!("../../migrations/postgres/0001_waypost.sql"))];

/// The lock that migrating holds until its transaction ends: "WYST".
const LOCK: i64 = 0x5759_5354;

/// What is kept of the migrations that were applied.
const TABLE: &str = "CREATE TABLE IF NOT EXISTS waypost_migrations (
    version    bigint      PRIMARY KEY,
    name       text        NOT NULL,
    checksum   bytea       NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT now()
)";

const DOING: &str = "migrating";
const READING: &str = "reading the migrations";

impl Postgres {
    /// Applies the migrations that are missing. If none is, this only reads: it needs no right to
    /// create tables.
    ///
    /// # Errors
    /// [`Error::Newer`], [`Error::Skipped`] or [`Error::Changed`] for a database of another build,
    /// [`Error::NotAllowed`] if something is to be applied and the role may not,
    /// [`Error::Foreign`] beside another program's tables, and what else Postgres says.
    pub async fn migrate(&self) -> Result<(), Error> {
        let missing = self.missing().await?;
        if missing.len() < MIGRATIONS.len() {
            self.admits(&Build::THIS).await?;
        }
        if missing.is_empty() {
            return Ok(());
        }
        let failed = self.failed(DOING);
        let mut transaction = self.begin(DOING).await?;
        query("SELECT pg_advisory_xact_lock($1)")
            .bind(LOCK)
            .execute(&mut *transaction)
            .await
            .map_err(&failed)?;
        // Another may have done it while this one waited. Only making the table is sure to see
        // that: a name that this session did not find before may be remembered as missing.
        query(TABLE).execute(&mut *transaction).await.map_err(&failed)?;
        let missing = self.not_applied(&mut transaction).await?;
        for (version, name, sql) in missing {
            sqlx::raw_sql(sql).execute(&mut *transaction).await.map_err(&failed)?;
            query("INSERT INTO waypost_migrations (version, name, checksum) VALUES ($1, $2, $3)")
                .bind(version)
                .bind(name)
                .bind(checksum(sql))
                .execute(&mut *transaction)
                .await
                .map_err(&failed)?;
        }
        query("INSERT INTO store (secret_key) VALUES ($1) ON CONFLICT DO NOTHING")
            .bind(secret()?)
            .execute(&mut *transaction)
            .await
            .map_err(&failed)?;
        self.begin_level(&mut transaction).await?;
        transaction.commit().await.map_err(failed)
    }

    /// Sees that this build can work on the tables.
    ///
    /// # Errors
    /// [`Error::Older`], [`Error::Newer`], [`Error::Skipped`] or [`Error::Changed`] if it can't.
    pub async fn check(&self) -> Result<(), Error> {
        match self.missing().await?.first() {
            None => self.admits(&Build::THIS).await,
            Some((version, ..)) => Err(Error::Older {
                place: self.place.clone(),
                detail: format!("migration {version} was not applied"),
            }),
        }
    }

    /// The migrations that were not applied.
    async fn missing(&self) -> Result<Vec<(i64, &'static str, &'static str)>, Error> {
        let mut transaction = self.begin(READING).await?;
        let there: bool = query_scalar("SELECT to_regclass('waypost_migrations') IS NOT NULL")
            .fetch_one(&mut *transaction)
            .await
            .map_err(self.failed(READING))?;
        if there { self.not_applied(&mut transaction).await } else { Ok(MIGRATIONS.to_vec()) }
    }

    async fn not_applied(
        &self,
        connection: &mut PgConnection,
    ) -> Result<Vec<(i64, &'static str, &'static str)>, Error> {
        let applied: Vec<(i64, Vec<u8>)> =
            query_as("SELECT version, checksum FROM waypost_migrations ORDER BY version")
                .fetch_all(connection)
                .await
                .map_err(self.failed(READING))?;
        let newest = MIGRATIONS.last().map_or(0, |(version, ..)| *version);
        for (version, sum) in applied.iter().filter(|(version, _)| *version <= newest) {
            let known = MIGRATIONS.iter().find(|(known, ..)| known == version);
            if known.is_none_or(|(_, _, sql)| checksum(sql) != *sum) {
                return Err(Error::Changed { place: self.place.clone(), version: *version });
            }
        }
        let is_missing = |(version, ..): &&(i64, &str, &str)| {
            applied.iter().all(|(applied, _)| applied != version)
        };
        Ok(MIGRATIONS.iter().filter(is_missing).copied().collect())
    }
}

fn checksum(sql: &str) -> Vec<u8> {
    blake3::hash(sql.as_bytes()).as_bytes().to_vec()
}

fn secret() -> Result<Vec<u8>, Error> {
    let mut secret = vec![0; 32];
    ring::rand::SystemRandom::new().fill(&mut secret).map_err(|_| Error::Random)?;
    Ok(secret)
}
