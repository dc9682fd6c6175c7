//! Builds beside each other: what may be written now, who lives, and the end of an upgrade.
//!
//! A *level* numbers the forms in which builds write for one another: states, records of the log
//! and the outbox, rows of identify, releases. A build speaks a few levels in a row. The database
//! says which one is written, so a new build writes what the one before it reads, until
//! [`Postgres::finish_upgrade`] raises the level.

use super::{Error, Postgres, Transaction, query, query_as, query_scalar};

/// How long after it was last seen a worker is taken to live, in milliseconds.
pub const LIVES_MS: i64 = 2 * 60_000;
/// How long workers that are gone are remembered, in milliseconds.
const REMEMBERED_MS: i64 = 60 * 60_000;
/// The most workers that are told of.
const WORKERS_MAX: i64 = 10_000;

const DOING: &str = "reading the level";
const TELLING: &str = "telling that this worker lives";
const FINISHING: &str = "finishing the upgrade";

/// A build, and what it can write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Build {
    /// Its version.
    pub name: &'static str,
    /// The highest level it writes; it reads this one and all below.
    pub level: u32,
    /// The lowest level it still writes.
    pub lowest: u32,
}

impl Build {
    /// This build.
    pub const THIS: Self = Self { name: env!("CARGO_PKG_VERSION"), level: 1, lowest: 1 };
}

/// What may be written now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Level {
    /// The level.
    pub level: u32,
    /// The build that raised it.
    pub build: String,
    /// When, in milliseconds since 1970 by the database's clock.
    pub raised_at: i64,
}

/// A worker that lives, or did lately.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LiveWorker {
    /// Its name, new at each start.
    pub instance: String,
    /// Its build.
    pub build: String,
    /// The highest level it speaks.
    pub level: u32,
    /// When it began, in milliseconds since 1970 by the database's clock.
    pub started_at: i64,
    /// How long ago it said that it lives, in milliseconds.
    pub seen_ago_ms: i64,
}

impl LiveWorker {
    /// Whether it is taken to live.
    #[must_use]
    pub const fn lives(&self) -> bool {
        self.seen_ago_ms < LIVES_MS
    }
}

/// What came of finishing an upgrade.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Finished {
    /// The level was raised to this one.
    Raised(u32),
    /// It was there already.
    Already(u32),
    /// These workers live and do not speak it; nothing changed.
    Waits(Vec<LiveWorker>),
}

impl Postgres {
    /// What may be written now.
    ///
    /// # Errors
    /// [`Error::Older`] if there are no tables yet, and what else Postgres says.
    pub async fn level(&self) -> Result<Level, Error> {
        let mut transaction = self.begin(DOING).await?;
        self.read_level(&mut transaction, "SELECT level, build, raised_at FROM upgrade").await
    }

    /// Sees that a build may work on this database.
    ///
    /// # Errors
    /// [`Error::Newer`] or [`Error::Skipped`] if it may not.
    pub async fn admits(&self, build: &Build) -> Result<(), Error> {
        self.compare(&self.level().await?, build)
    }

    /// Tells that a worker lives, forgets those that are long gone, and sees that the build may go
    /// on.
    ///
    /// # Errors
    /// As [`Postgres::admits`]: then this worker is not told of.
    pub async fn tell_of_worker(&self, instance: &str, build: &Build) -> Result<(), Error> {
        let failed = self.failed(TELLING);
        let mut transaction = self.begin(TELLING).await?;
        // Who finishes an upgrade waits for this one, or has raised the level before.
        let locked = "SELECT level, build, raised_at FROM upgrade FOR SHARE";
        let level = self.read_level(&mut transaction, locked).await?;
        self.compare(&level, build)?;
        query(
            "INSERT INTO workers (instance, build, level, started_at, seen_at)
             SELECT $1, $2, $3, now, now
                 FROM (SELECT (extract(epoch FROM clock_timestamp()) * 1000)::bigint AS now) AS clock
             ON CONFLICT (instance) DO UPDATE SET seen_at = excluded.seen_at",
        )
        .bind(instance)
        .bind(build.name)
        .bind(build.level.cast_signed())
        .execute(&mut *transaction)
        .await
        .map_err(&failed)?;
        query(
            "DELETE FROM workers WHERE instance IN (
                 SELECT instance FROM workers
                 WHERE seen_at < extract(epoch FROM clock_timestamp()) * 1000 - $1
                 FOR UPDATE SKIP LOCKED)",
        )
        .bind(REMEMBERED_MS)
        .execute(&mut *transaction)
        .await
        .map_err(&failed)?;
        transaction.commit().await.map_err(failed)
    }

    /// Forgets a worker that has ended.
    ///
    /// # Errors
    /// [`Error`] if Postgres can't be written; then it is forgotten a little later.
    pub async fn forget_worker(&self, instance: &str) -> Result<(), Error> {
        let mut transaction = self.begin(TELLING).await?;
        query("DELETE FROM workers WHERE instance = $1")
            .bind(instance)
            .execute(&mut *transaction)
            .await
            .map_err(self.failed(TELLING))?;
        transaction.commit().await.map_err(self.failed(TELLING))
    }

    /// Workers that live or did within the last hour, those that were seen last first.
    ///
    /// # Errors
    /// [`Error`] if Postgres can't be read.
    pub async fn workers(&self) -> Result<Vec<LiveWorker>, Error> {
        let mut transaction = self.begin(DOING).await?;
        self.read_workers(&mut transaction).await
    }

    /// Raises the level to the highest that `build` writes, unless a worker lives that does not
    /// speak it. From then on no build that does not speak it starts, and one that runs ends.
    ///
    /// # Errors
    /// As [`Postgres::admits`].
    pub async fn finish_upgrade(&self, build: &Build) -> Result<Finished, Error> {
        let failed = self.failed(FINISHING);
        let mut transaction = self.begin(FINISHING).await?;
        // No worker tells that it lives until this has ended.
        let locked = "SELECT level, build, raised_at FROM upgrade FOR UPDATE";
        let now = self.read_level(&mut transaction, locked).await?;
        self.compare(&now, build)?;
        if now.level == build.level {
            return Ok(Finished::Already(now.level));
        }
        let workers = self.read_workers(&mut transaction).await?;
        let older = |worker: &LiveWorker| worker.lives() && worker.level < build.level;
        let older: Vec<LiveWorker> = workers.into_iter().filter(older).collect();
        if !older.is_empty() {
            return Ok(Finished::Waits(older));
        }
        query(
            "UPDATE upgrade SET level = $1, build = $2,
                 raised_at = (extract(epoch FROM clock_timestamp()) * 1000)::bigint",
        )
        .bind(build.level.cast_signed())
        .bind(build.name)
        .execute(&mut *transaction)
        .await
        .map_err(&failed)?;
        transaction.commit().await.map_err(failed)?;
        Ok(Finished::Raised(build.level))
    }

    /// Says what is written in a database that is new: what its first build writes.
    pub(super) async fn begin_level(&self, transaction: &mut Transaction) -> Result<(), Error> {
        query(
            "INSERT INTO upgrade (level, build, raised_at)
             VALUES ($1, $2, (extract(epoch FROM clock_timestamp()) * 1000)::bigint)
             ON CONFLICT DO NOTHING",
        )
        .bind(Build::THIS.level.cast_signed())
        .bind(Build::THIS.name)
        .execute(&mut **transaction)
        .await
        .map_err(self.failed(DOING))?;
        Ok(())
    }

    async fn read_level(
        &self,
        transaction: &mut Transaction,
        select: &'static str,
    ) -> Result<Level, Error> {
        let (level, build, raised_at): (i32, String, i64) =
            query_as(select).fetch_one(&mut **transaction).await.map_err(self.failed(DOING))?;
        Ok(Level { level: level.cast_unsigned(), build, raised_at })
    }

    async fn read_workers(&self, transaction: &mut Transaction) -> Result<Vec<LiveWorker>, Error> {
        let now: i64 =
            query_scalar("SELECT (extract(epoch FROM clock_timestamp()) * 1000)::bigint")
                .fetch_one(&mut **transaction)
                .await
                .map_err(self.failed(DOING))?;
        let rows: Vec<(String, String, i32, i64, i64)> = query_as(
            "SELECT instance, build, level, started_at, seen_at FROM workers
             ORDER BY seen_at DESC, instance LIMIT $1",
        )
        .bind(WORKERS_MAX)
        .fetch_all(&mut **transaction)
        .await
        .map_err(self.failed(DOING))?;
        let worker = |(instance, build, level, started_at, seen_at): (_, _, i32, _, _)| {
            let seen_ago_ms = now.saturating_sub(seen_at).max(0);
            LiveWorker { instance, build, level: level.cast_unsigned(), started_at, seen_ago_ms }
        };
        Ok(rows.into_iter().map(worker).collect())
    }

    fn compare(&self, now: &Level, build: &Build) -> Result<(), Error> {
        let (place, level, by) = (self.place.clone(), now.level, now.build.clone());
        let build = build.clone();
        if level > build.level {
            Err(Error::Newer { place, level, by, build })
        } else if level < build.lowest {
            Err(Error::Skipped { place, level, by, build })
        } else {
            Ok(())
        }
    }
}
