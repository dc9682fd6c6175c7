//! The production database: a pool of connections, its tables, clear errors.
//!
//! It works behind a pooler that hands out a connection for each transaction (PgBouncer's
//! transaction mode): every statement runs inside a transaction, none is prepared under a name,
//! and nothing is left in a session.

mod error;
mod migrate;
mod upgrade;

pub use error::Error;
pub use upgrade::{Build, Finished, LIVES_MS, Level, LiveWorker};

use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use sqlx::postgres::{PgArguments, PgConnectOptions, PgPool, PgPoolOptions, PgRow};
use sqlx::query::{Query, QueryAs, QueryScalar};
use sqlx::{ConnectOptions, Connection, FromRow};

/// How long a transaction waits for a connection.
const WAIT: Duration = Duration::from_secs(10);

/// A transaction; dropped, nothing of it is kept.
pub type Transaction = sqlx::Transaction<'static, sqlx::Postgres>;

/// The database. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Postgres {
    pool: PgPool,
    place: Arc<str>,
    transient: Arc<AtomicU64>,
}

impl Postgres {
    /// Connects once to see that it can be reached; up to `connections` are opened as they are
    /// needed. `password` counts before one in the address.
    ///
    /// # Errors
    /// [`Error::Address`], [`Error::Unreachable`] or [`Error::Refused`].
    pub async fn connect(
        url: &str,
        password: Option<&str>,
        connections: u32,
    ) -> Result<Self, Error> {
        let options = PgConnectOptions::from_str(url)
            .map_err(|error| Error::Address { detail: masked(&error.to_string(), url) })?;
        let options = match password {
            Some(password) => options.password(password),
            None => options,
        };
        let options = options
            .application_name("waypost")
            // Named statements are part of a session; so is this setting, which poolers refuse.
            .statement_cache_capacity(0)
            .extra_float_digits(None)
            .disable_statement_logging();
        let place: Arc<str> = place(&options).into();
        let reach = tokio::time::timeout(WAIT, options.connect()).await;
        let reached =
            reach.unwrap_or(Err(sqlx::Error::PoolTimedOut)).map_err(
                |source| match error::explain(&place, "connecting", source) {
                    Error::Interrupted { place, source, .. } => {
                        Error::Unreachable { place, source }
                    }
                    other => other,
                },
            )?;
        // It only was to be reached; how it ends does not matter.
        let _ = reached.close().await;
        let pool = PgPoolOptions::new()
            .max_connections(connections.max(1))
            .acquire_timeout(WAIT)
            .connect_lazy_with(options);
        Ok(Self { pool, place, transient: Arc::default() })
    }

    /// Begins a transaction.
    ///
    /// # Errors
    /// [`Error`], mostly transient.
    pub async fn begin(&self, doing: &'static str) -> Result<Transaction, Error> {
        self.pool.begin().await.map_err(self.failed(doing))
    }

    /// Begins a transaction that only reads, and sees the database as it is at its first
    /// statement.
    ///
    /// # Errors
    /// [`Error`], mostly transient.
    pub async fn begin_moment(&self, doing: &'static str) -> Result<Transaction, Error> {
        let begin = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";
        self.pool.begin_with(begin).await.map_err(self.failed(doing))
    }

    /// Begins a transaction that sees the database as it is at its first statement, and is refused
    /// where another changed meanwhile what it changes, too.
    ///
    /// # Errors
    /// [`Error`], mostly transient.
    pub async fn begin_snapshot(&self, doing: &'static str) -> Result<Transaction, Error> {
        let begin = "BEGIN ISOLATION LEVEL REPEATABLE READ";
        self.pool.begin_with(begin).await.map_err(self.failed(doing))
    }

    /// The database as errors name it: its address without the password.
    #[must_use]
    pub fn place(&self) -> &str {
        &self.place
    }

    /// Says what a failure means.
    pub fn failed(&self, doing: &'static str) -> impl Fn(sqlx::Error) -> Error + use<'_> {
        move |source| {
            let error = error::explain(&self.place, doing, source);
            self.transient.fetch_add(u64::from(error.is_transient()), Ordering::Relaxed);
            error
        }
    }

    /// How many failures there were so far that pass, over all clones.
    #[must_use]
    pub fn transient_failures(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.transient)
    }

    /// Closes all connections.
    pub async fn close(&self) {
        self.pool.close().await;
    }
}

/// A statement without a name.
pub fn query<'a>(sql: &'static str) -> Query<'a, sqlx::Postgres, PgArguments> {
    sqlx::query(sql).persistent(false)
}

/// A statement without a name, whose rows are tuples.
pub fn query_as<'a, O>(sql: &'static str) -> QueryAs<'a, sqlx::Postgres, O, PgArguments>
where
    O: for<'r> FromRow<'r, PgRow>,
{
    sqlx::query_as(sql).persistent(false)
}

/// A statement without a name, whose rows are single values.
pub fn query_scalar<'a, O>(sql: &'static str) -> QueryScalar<'a, sqlx::Postgres, O, PgArguments>
where
    (O,): for<'r> FromRow<'r, PgRow>,
{
    sqlx::query_scalar(sql).persistent(false)
}

/// A text as Postgres can keep it: it takes no NUL.
#[must_use]
pub fn text(text: &str) -> String {
    text.replace('\0', "\u{fffd}")
}

/// The address without the password.
fn place(options: &PgConnectOptions) -> String {
    let host = match options.get_socket() {
        Some(socket) => socket.display().to_string(),
        None => format!("{}:{}", options.get_host(), options.get_port()),
    };
    let user = options.get_username();
    let database = options.get_database().unwrap_or(user);
    format!("postgres://{user}@{host}/{database}")
}

/// A text that may quote parts of the address, without them.
fn masked(text: &str, url: &str) -> String {
    let secret = url.split_once("://").map_or(url, |(_, rest)| rest);
    let secret = secret.rsplit_once('@').map_or("", |(user, _)| user);
    if secret.is_empty() { text.to_owned() } else { text.replace(secret, "***") }
}
