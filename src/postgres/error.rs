//! What a failure of the database means, and what to do about it.

use std::sync::Arc;

use super::Build;

/// Why the database can't do what was asked, each with the way out. No text holds a password.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The address can't be read.
    #[error(
        "the Postgres address can't be read ({detail}); write it as postgres://USER@HOST:PORT/DATABASE"
    )]
    Address {
        /// What is wrong with it.
        detail: String,
    },
    /// It does not answer, or has no connection left for us.
    #[error(
        "{place} can't be reached; check that it runs, and that host, port and the number of connections are right"
    )]
    Unreachable {
        /// Which database.
        place: Arc<str>,
        /// The cause.
        #[source]
        source: sqlx::Error,
    },
    /// It stopped in the middle, or gave another the way.
    #[error("{doing} in {place} was interrupted; it is tried again")]
    Interrupted {
        /// What was being done.
        doing: &'static str,
        /// Which database.
        place: Arc<str>,
        /// The cause.
        #[source]
        source: sqlx::Error,
    },
    /// It does not let us in.
    #[error(
        "{place} refuses the connection ({detail}); check user, password, database and the server's pg_hba.conf"
    )]
    Refused {
        /// Which database.
        place: Arc<str>,
        /// In Postgres's words.
        detail: String,
    },
    /// The role lacks a right.
    #[error(
        "{doing} in {place} is not allowed ({detail}); run `waypost migrate` with a role that may create tables, and grant SELECT, INSERT, UPDATE and DELETE on them to this one"
    )]
    NotAllowed {
        /// What was being done.
        doing: &'static str,
        /// Which database.
        place: Arc<str>,
        /// In Postgres's words.
        detail: String,
    },
    /// Its tables are not those of this build.
    #[error("{place} lacks tables of this build ({detail}); run `waypost migrate`")]
    Older {
        /// Which database.
        place: Arc<str>,
        /// In Postgres's words.
        detail: String,
    },
    /// Written as only a later build reads it.
    #[error(
        "{place} is written at level {level} since Waypost {by} finished its upgrade, and this \
         build ({}) speaks no level above {}: run Waypost {by} or a later one", build.name, build.level
    )]
    Newer {
        /// Which database.
        place: Arc<str>,
        /// Its level.
        level: u32,
        /// The build that raised it.
        by: String,
        /// The build that may not.
        build: Build,
    },
    /// Written as an earlier build does, which this one can't do any more.
    #[error(
        "{place} is written at level {level}, as Waypost {by} does, and this build ({}) speaks none \
         below {}: run a release between the two first, up to `waypost upgrade finish`",
        build.name, build.lowest
    )]
    Skipped {
        /// Which database.
        place: Arc<str>,
        /// Its level.
        level: u32,
        /// The build that raised it.
        by: String,
        /// The build that may not.
        build: Build,
    },
    /// A migration that this build knows otherwise.
    #[error(
        "{place} was made with another form of migration {version} than this build has; use the build that made it"
    )]
    Changed {
        /// Which database.
        place: Arc<str>,
        /// The migration.
        version: i64,
    },
    /// Somebody else's tables.
    #[error(
        "{place} holds tables of another program ({detail}); give Waypost a database of its own"
    )]
    Foreign {
        /// Which database.
        place: Arc<str>,
        /// In Postgres's words.
        detail: String,
    },
    /// No room.
    #[error(
        "no room left in {place} ({detail}); nothing of this transaction was kept: free disk space"
    )]
    Full {
        /// Which database.
        place: Arc<str>,
        /// In Postgres's words.
        detail: String,
    },
    /// The system has no random bytes for a secret.
    #[error("the system gives no random bytes; nothing was migrated")]
    Random,
    /// Anything else that Postgres says.
    #[error("{doing} in {place}")]
    Database {
        /// What was being done.
        doing: &'static str,
        /// Which database.
        place: Arc<str>,
        /// The cause.
        #[source]
        source: sqlx::Error,
    },
}

impl Error {
    /// Whether the same may well succeed a little later. Whether a transaction that was being
    /// committed was kept is not known then.
    #[must_use]
    pub const fn is_transient(&self) -> bool {
        matches!(self, Self::Unreachable { .. } | Self::Interrupted { .. })
    }
}

impl Error {
    /// Whether the transaction was given up in favour of another. Nothing of it was kept, and the
    /// same may be tried at once.
    #[must_use]
    pub fn gave_way(&self) -> bool {
        let Self::Interrupted { source, .. } = self else { return false };
        let code = source.as_database_error().and_then(|error| error.code());
        matches!(code.as_deref(), Some("40001" | "40P01"))
    }
}

/// Says what a failure means.
pub(super) fn explain(place: &Arc<str>, doing: &'static str, source: sqlx::Error) -> Error {
    let place = Arc::clone(place);
    let Some(error) = source.as_database_error() else {
        return match source {
            sqlx::Error::PoolTimedOut => Error::Unreachable { place, source },
            sqlx::Error::Io(_) | sqlx::Error::Protocol(_) | sqlx::Error::BeginFailed => {
                Error::Interrupted { doing, place, source }
            }
            sqlx::Error::Configuration(_) => Error::Address { detail: source.to_string() },
            _ => Error::Database { doing, place, source },
        };
    };
    let detail = error.message().to_owned();
    let code = error.code().unwrap_or_default().into_owned();
    // The class, then the condition: appendix A of Postgres's manual.
    match (code.get(..2).unwrap_or_default(), code.as_str()) {
        // What a pooler says is 08 too.
        ("08", _)
        | (
            _,
            "57P01" | "57P02" | "57P05" | "40001" | "40P01" | "55P03" | "25006"
            // Limits of time that a server sets, and its memory.
            | "57014" | "25P03" | "25P04" | "53200",
        ) => Error::Interrupted { doing, place, source },
        (_, "57P03" | "53300") => Error::Unreachable { place, source },
        ("28", _) | (_, "3D000") => Error::Refused { place, detail },
        (_, "42501") => Error::NotAllowed { doing, place, detail },
        (_, "42P01" | "42703") => Error::Older { place, detail },
        (_, "42P07" | "42710") => Error::Foreign { place, detail },
        (_, "53100") => Error::Full { place, detail },
        _ => Error::Database { doing, place, source },
    }
}
