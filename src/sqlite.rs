//! What the two SQLite files share: opening with every check, clear errors, and bulk statements.
//!
//! A file has one writing process, held by an advisory lock on `FILE.lock` that the operating
//! system lets go of when the process ends, however it ends. Readers need no lock.
//! Writing: WAL, `synchronous = FULL`, so that a committed transaction survives a power cut;
//! `secure_delete`, so that what was erased is overwritten and not only unlinked.

use std::fs::{File, TryLockError};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use sqlx::migrate::{MigrateError, Migration, MigrationType, Migrator};
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqlitePool, SqlitePoolOptions,
    SqliteSynchronous,
};
use sqlx::{Connection, SqlSafeStr};

/// How long a statement waits for a lock that another program holds.
const BUSY: Duration = Duration::from_secs(2);
/// Pages in the write-ahead log before they are moved into the file (32 MB).
const CHECKPOINT_PAGES: &str = "8000";
/// Page cache of the writing connection, in KiB, negative as SQLite wants it.
const CACHE: &str = "-32768";
/// The largest file that is written anew at a stop after an erasure: more would hold the stop up.
const VACUUM_BYTES_MAX: i64 = 256 << 20;
/// Connections that read beside the writer.
const READERS: u32 = 4;

/// What kind of file is meant.
#[derive(Debug)]
pub struct Kind {
    /// As told to people: `log`, `state store`.
    pub name: &'static str,
    /// SQLite's application id in the file's head.
    pub application_id: i32,
    /// Number, name and SQL of every migration, in order.
    pub migrations: &'static [(i64, &'static str, &'static str)],
}

/// Limits of a file.
#[derive(Clone, Copy, Debug, Default)]
pub struct Limits {
    /// The file may not grow beyond this many bytes; `None` leaves it to the disk.
    pub bytes_max: Option<u64>,
}

/// Why a file can't be used, each with the way out.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Another process of ours writes it.
    #[error(
        "{path} is in use by another waypost process{by}; stop that one, or give this one files of its own"
    )]
    InUse {
        /// The file.
        path: String,
        /// ` (process 123)` where it is known.
        by: String,
    },
    /// Another program holds a lock.
    #[error(
        "{path} is locked by another program; close what has it open (a SQL shell, a backup) and start again"
    )]
    Busy {
        /// The file.
        path: String,
    },
    /// No SQLite file at all.
    #[error(
        "{path} is not a SQLite database; name another file, or move this one away to start with an empty {kind}"
    )]
    NotDatabase {
        /// The file.
        path: String,
        /// What was expected.
        kind: &'static str,
    },
    /// Somebody else's database, or the other one of the two files.
    #[error(
        "{path} is a SQLite database, but not a Waypost {kind}; check that the paths of log and state are not mixed up"
    )]
    Foreign {
        /// The file.
        path: String,
        /// What was expected.
        kind: &'static str,
    },
    /// SQLite found damage.
    #[error("{path} is damaged ({detail}); restore it from a backup, together with its -wal file")]
    Corrupt {
        /// The file.
        path: String,
        /// In SQLite's words.
        detail: String,
    },
    /// Written by a later build.
    #[error(
        "{path} was written by a later build of Waypost (migration {version}); use that build or a later one"
    )]
    Newer {
        /// The file.
        path: String,
        /// The unknown migration.
        version: i64,
    },
    /// Not migrated to this build yet, and only opened for reading.
    #[error(
        "{path} was written by an earlier build of Waypost; start `waypost run` once, which brings it up to date"
    )]
    Older {
        /// The file.
        path: String,
    },
    /// A migration that this build knows otherwise.
    #[error(
        "{path} was made with another form of migration {version} than this build has; use the build that made it, or a copy of the file from before"
    )]
    Changed {
        /// The file.
        path: String,
        /// The migration.
        version: i64,
    },
    /// No room.
    #[error(
        "no room left to write {path}; nothing of this transaction was kept: free disk space (or raise the file's limit) and start again"
    )]
    Full {
        /// The file.
        path: String,
    },
    /// The disk does not do what it is asked.
    #[error(
        "the system could not read or write {path} ({detail}); nothing of this transaction was kept: check the disk, its quota and its limits, and start again"
    )]
    Disk {
        /// The file.
        path: String,
        /// In SQLite's words.
        detail: String,
    },
    /// Nothing there to read.
    #[error("there is no {kind} at {path}; `waypost run` creates it")]
    Missing {
        /// The file.
        path: String,
        /// What was expected.
        kind: &'static str,
    },
    /// The operating system refuses.
    #[error("{path} can't be opened; check that its folder exists and may be written")]
    Unopened {
        /// The file.
        path: String,
        /// The cause.
        #[source]
        source: std::io::Error,
    },
    /// Anything else that SQLite says.
    #[error("{doing} in {path}")]
    Database {
        /// What was being done.
        doing: &'static str,
        /// The file.
        path: String,
        /// The cause.
        #[source]
        source: sqlx::Error,
    },
}

/// A file opened for writing.
#[derive(Debug)]
pub struct Database {
    /// The file.
    pub path: PathBuf,
    /// The one connection that writes.
    pub writer: SqliteConnection,
    /// Connections that read beside it.
    pub readers: SqlitePool,
    /// Kept while the file is open: nobody else may write.
    pub lock: Lock,
}

/// The right to write a file, until it is dropped or the process ends.
#[derive(Debug)]
pub struct Lock {
    _file: File,
}

/// Opens or creates a file for writing and brings it up to date.
///
/// # Errors
/// Every [`Error`] but [`Error::Missing`] and [`Error::Older`].
pub async fn open(path: &Path, kind: &Kind, limits: Limits) -> Result<Database, Error> {
    let lock = lock(path)?;
    let options = to_write(path).create_if_missing(true);
    let failed = |source| explain(path, kind, "opening", source);
    let mut writer = SqliteConnection::connect_with(&options).await.map_err(failed)?;
    if let Some(bytes) = limits.bytes_max {
        let pages = (bytes / 4096).max(1);
        let limit = sqlx::AssertSqlSafe(format!("PRAGMA max_page_count = {pages}"));
        sqlx::raw_sql(limit).execute(&mut writer).await.map_err(failed)?;
    }
    if !is_new(&mut writer, path, kind).await? {
        check_versions(&mut writer, path, kind).await?;
    }
    migrator(kind).run(&mut writer).await.map_err(|error| migration_failed(path, kind, error))?;
    // Better now than at the first checkpoint: may it be written at all?
    sqlx::raw_sql("BEGIN IMMEDIATE; ROLLBACK").execute(&mut writer).await.map_err(failed)?;
    Ok(Database { path: path.to_owned(), writer, readers: readers(path), lock })
}

/// How a file is written.
fn to_write(path: &Path) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(path)
        .busy_timeout(BUSY)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        // Without these two, macOS keeps a commit in the drive's cache; nothing elsewhere.
        .pragma("fullfsync", "1")
        .pragma("checkpoint_fullfsync", "1")
        .pragma("secure_delete", "1")
        .pragma("wal_autocheckpoint", CHECKPOINT_PAGES)
        .pragma("cache_size", CACHE)
}

/// Opens an existing, up-to-date file for small changes beside its writing process: transactions
/// of both come one after another. [`open_to_read`] has looked at it before.
///
/// # Errors
/// Every [`Error`] but [`Error::InUse`] and [`Error::Missing`].
pub async fn open_to_change(path: &Path, kind: &Kind) -> Result<SqliteConnection, Error> {
    let connected = SqliteConnection::connect_with(&to_write(path)).await;
    connected.map_err(|source| explain(path, kind, "opening", source))
}

/// Ends the writing of a file: moves the write-ahead log into it and empties that, for it may
/// still hold what was `erased`. A reader that looks at an earlier moment keeps it as it is.
///
/// `secure_delete` overwrites what is deleted, but where SQLite has moved a row from one page to
/// another a copy may stay in the unused part of the first: a file of up to
/// 256 MB is written anew.
///
/// # Errors
/// What SQLite says; everything committed is kept nevertheless.
pub async fn finish(writer: &mut SqliteConnection, erased: bool) -> Result<(), sqlx::Error> {
    if erased {
        let bytes: i64 = sqlx::query_scalar(
            "SELECT page_count * page_size FROM pragma_page_count, pragma_page_size",
        )
        .fetch_one(&mut *writer)
        .await?;
        if bytes <= VACUUM_BYTES_MAX {
            sqlx::raw_sql("VACUUM").execute(&mut *writer).await?;
        }
    }
    sqlx::raw_sql("PRAGMA wal_checkpoint(TRUNCATE)").execute(writer).await.map(drop)
}

/// Opens an existing file for reading; it may be in use by a writer.
///
/// # Errors
/// Every [`Error`] but [`Error::InUse`] and [`Error::Full`].
pub async fn open_to_read(path: &Path, kind: &Kind) -> Result<SqlitePool, Error> {
    if !path.exists() {
        return Err(Error::Missing { path: path.display().to_string(), kind: kind.name });
    }
    let pool = readers(path);
    let failed = |source| explain(path, kind, "opening", source);
    let mut connection = pool.acquire().await.map_err(failed)?;
    if is_new(&mut connection, path, kind).await? {
        return Err(Error::Foreign { path: path.display().to_string(), kind: kind.name });
    }
    let applied = check_versions(&mut connection, path, kind).await?;
    if kind.migrations.last().is_some_and(|newest| newest.0 > applied) {
        return Err(Error::Older { path: path.display().to_string() });
    }
    drop(connection);
    Ok(pool)
}

/// A pool of one connection that sees an opened file as it is at its first use, however the file
/// changes. As long as it is open, the write-ahead log keeps what was written since.
pub fn one_moment(path: &Path) -> SqlitePool {
    let options = SqliteConnectOptions::new().filename(path).read_only(true).busy_timeout(BUSY);
    SqlitePoolOptions::new()
        .max_connections(1)
        .idle_timeout(None)
        .max_lifetime(None)
        .test_before_acquire(false)
        .after_connect(|connection, _| {
            Box::pin(async move {
                // The transaction stays open with the connection, so all reads are of one moment.
                sqlx::raw_sql("BEGIN").execute(&mut *connection).await?;
                Ok(())
            })
        })
        .connect_lazy_with(options)
}

/// Says what a failure means and what to do about it.
pub fn explain(path: &Path, kind: &Kind, doing: &'static str, source: sqlx::Error) -> Error {
    let path = path.display().to_string();
    let code = source.as_database_error().and_then(|error| {
        // SQLite's extended result code; the low byte is the primary one.
        error.code().and_then(|code| code.parse::<i32>().ok()).map(|code| code & 0xff)
    });
    match code {
        Some(5 | 6) => Error::Busy { path },
        Some(10) => Error::Disk { path, detail: message(&source) },
        Some(11) => Error::Corrupt { path, detail: message(&source) },
        Some(13) => Error::Full { path },
        Some(26) => Error::NotDatabase { path, kind: kind.name },
        Some(14) => Error::Unopened { path, source: std::io::Error::other(message(&source)) },
        _ => Error::Database { doing, path, source },
    }
}

/// Splits rows into chunks of few sizes, so that a bulk statement is prepared once for each size.
pub fn chunks<T>(mut rows: &[T]) -> impl Iterator<Item = &[T]> {
    std::iter::from_fn(move || {
        let size = [256, 32, 4, 1].into_iter().find(|size| *size <= rows.len())?;
        let (chunk, rest) = rows.split_at(size);
        rows = rest;
        Some(chunk)
    })
}

/// A statement in which `{}` stands for `count` times `row`, joined by commas.
pub fn repeated(statement: &'static str, row: &'static str, count: usize) -> sqlx::SqlStr {
    let mut rows = String::with_capacity((row.len() + 1) * count);
    for index in 0..count {
        if index > 0 {
            rows.push(',');
        }
        rows.push_str(row);
    }
    // Both parts are constants of this program: no value from outside gets into the text.
    sqlx::AssertSqlSafe(statement.replacen("{}", &rows, 1)).into_sql_str()
}

fn readers(path: &Path) -> SqlitePool {
    let options = SqliteConnectOptions::new().filename(path).read_only(true).busy_timeout(BUSY);
    SqlitePoolOptions::new().max_connections(READERS).connect_lazy_with(options)
}

/// Takes the advisory lock of a file, and leaves the process id in it for the next one's message.
fn lock(path: &Path) -> Result<Lock, Error> {
    let mut name = path.as_os_str().to_owned();
    name.push(".lock");
    let unopened = |source| Error::Unopened { path: path.display().to_string(), source };
    let mut file = File::options()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(&name)
        .map_err(unopened)?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let mut holder = String::new();
            let known = (&file).take(20).read_to_string(&mut holder).is_ok();
            let by = match holder.trim() {
                id if known && !id.is_empty() => format!(" (process {id})"),
                _ => String::new(),
            };
            return Err(Error::InUse { path: path.display().to_string(), by });
        }
        Err(TryLockError::Error(source)) => return Err(unopened(source)),
    }
    file.set_len(0).map_err(unopened)?;
    write!(file, "{}", std::process::id()).map_err(unopened)?;
    Ok(Lock { _file: file })
}

/// Whether the file is empty; a database that is not of the kind is an error.
async fn is_new(
    connection: &mut SqliteConnection,
    path: &Path,
    kind: &Kind,
) -> Result<bool, Error> {
    // A crash while the first migration ran leaves its bookkeeping table and nothing else.
    let (id, tables): (i32, i64) = sqlx::query_as(
        "SELECT (SELECT application_id FROM pragma_application_id),
                (SELECT count(*) FROM sqlite_schema WHERE tbl_name <> '_sqlx_migrations')",
    )
    .fetch_one(connection)
    .await
    .map_err(|source| explain(path, kind, "opening", source))?;
    if id == 0 && tables == 0 {
        return Ok(true);
    }
    if id == kind.application_id {
        return Ok(false);
    }
    Err(Error::Foreign { path: path.display().to_string(), kind: kind.name })
}

/// The newest migration in the file; an error if this build does not know it.
async fn check_versions(
    connection: &mut SqliteConnection,
    path: &Path,
    kind: &Kind,
) -> Result<i64, Error> {
    let applied: i64 = sqlx::query_scalar("SELECT coalesce(max(version), 0) FROM _sqlx_migrations")
        .fetch_one(connection)
        .await
        .map_err(|source| explain(path, kind, "reading the migrations", source))?;
    let newest = kind.migrations.last().map_or(0, |migration| migration.0);
    if applied > newest {
        return Err(Error::Newer { path: path.display().to_string(), version: applied });
    }
    Ok(applied)
}

fn migrator(kind: &Kind) -> Migrator {
    let migrations = kind.migrations.iter().map(|(version, name, sql)| {
        Migration::new(*version, (*name).into(), MigrationType::Simple, sql.into_sql_str(), false)
    });
    Migrator::with_migrations(migrations.collect())
}

fn migration_failed(path: &Path, kind: &Kind, error: MigrateError) -> Error {
    match error {
        MigrateError::VersionMissing(version) => {
            Error::Newer { path: path.display().to_string(), version }
        }
        MigrateError::VersionMismatch(version) | MigrateError::Dirty(version) => {
            Error::Changed { path: path.display().to_string(), version }
        }
        MigrateError::Execute(source) | MigrateError::ExecuteMigration(source, _) => {
            explain(path, kind, "migrating", source)
        }
        other => explain(path, kind, "migrating", sqlx::Error::Migrate(Box::new(other))),
    }
}

fn message(error: &sqlx::Error) -> String {
    error.as_database_error().map_or_else(|| error.to_string(), |error| error.message().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    const KIND: Kind = Kind {
        name: "test file",
        application_id: 0x7777,
        migrations: &[(1, "one", "PRAGMA application_id = 30583; CREATE TABLE t (x INTEGER);")],
    };

    #[tokio::test]
    async fn a_commit_is_on_the_disk_when_it_returns() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("t.db");
        let mut database = open(&path, &KIND, Limits::default()).await.unwrap();
        for (pragma, value) in [
            ("journal_mode", "wal"),
            ("synchronous", "2"),
            ("fullfsync", "1"),
            ("secure_delete", "1"),
        ] {
            let sql =
                sqlx::AssertSqlSafe(format!("SELECT CAST({pragma} AS TEXT) FROM pragma_{pragma}"));
            let found: String =
                sqlx::query_scalar(sql).fetch_one(&mut database.writer).await.unwrap();
            assert_eq!(found, value, "{pragma}");
        }
        // A reader can't write.
        let refused = sqlx::raw_sql("INSERT INTO t VALUES (1)").execute(&database.readers).await;
        assert!(refused.is_err());
    }

    #[test]
    fn chunks_have_few_sizes_and_lose_nothing() {
        for count in [0, 1, 3, 31, 255, 256, 300, 1_000] {
            let rows: Vec<usize> = (0..count).collect();
            let chunks: Vec<&[usize]> = chunks(&rows).collect();
            assert_eq!(chunks.concat(), rows);
            assert!(chunks.iter().all(|chunk| [256, 32, 4, 1].contains(&chunk.len())));
        }
        assert_eq!(repeated("IN ({})", "?", 3).as_str(), "IN (?,?,?)");
    }
}
