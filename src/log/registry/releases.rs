//! Releases and their activations.

use crate::model::{ReleaseId, Timestamp};
use crate::postgres::{query, query_as, query_scalar};

use super::super::packed::{pack_files, unpack_files};
use super::super::{Control, Error, ReleaseFiles};
use super::Registry;

impl Registry {
    /// Keeps a release and has it come into force, at the earliest instant that no tick has
    /// passed. Returns that instant. The release that is the newest already stays as it is, and so
    /// does one whose files are missing: it gets them back.
    ///
    /// # Errors
    /// [`Error`] if Postgres can't be written.
    pub async fn activate(
        &self,
        id: ReleaseId,
        files: &ReleaseFiles,
        now: Timestamp,
    ) -> Result<Timestamp, Error> {
        let failed = self.postgres.failed("keeping a release");
        let (packed, bytes) = pack_files(files).map_err(|what| self.damaged(&what))?;
        let mut transaction = self.postgres.begin("keeping a release").await?;
        // Tickers take this lock before they say how far time is known: an activation is either
        // seen by the tick that passes it, or after that tick.
        let ticked: Option<i64> = query_scalar("SELECT watermark FROM ticker FOR UPDATE")
            .fetch_one(&mut *transaction)
            .await
            .map_err(&failed)?;
        let newest: Option<(Vec<u8>, i64)> =
            query_as("SELECT release, at FROM activations ORDER BY at DESC LIMIT 1")
                .fetch_optional(&mut *transaction)
                .await
                .map_err(&failed)?;
        let is_newest = newest.as_ref().filter(|(release, _)| release[..] == id.to_bytes()[..]);
        // One that is in force already and whose files are gone only gets these back: the database
        // was restored.
        let is_back: Option<i64> = query_scalar(
            "SELECT max(at) FROM activations WHERE release = $1
                 AND NOT EXISTS (SELECT FROM releases WHERE id = $1)",
        )
        .bind(&id.to_bytes()[..])
        .fetch_one(&mut *transaction)
        .await
        .map_err(&failed)?;
        if let (Some((_, at)), None) = (is_newest, is_back) {
            return Ok(Timestamp::from_ms(*at));
        }
        query(
            "INSERT INTO releases (id, files, bytes, created_at) VALUES ($1, $2, $3, $4)
             ON CONFLICT (id) DO NOTHING",
        )
        .bind(&id.to_bytes()[..])
        .bind(packed)
        .bind(bytes as i64)
        .bind(now.ms())
        .execute(&mut *transaction)
        .await
        .map_err(&failed)?;
        if let Some(at) = is_back {
            transaction.commit().await.map_err(&failed)?;
            return Ok(Timestamp::from_ms(at));
        }
        let passed = newest.map(|(_, at)| at).max(ticked);
        let at = passed.map_or(now, |passed| now.max(Timestamp::from_ms(passed + 1)));
        query("INSERT INTO activations (release, at, written) VALUES ($1, $2, false)")
            .bind(&id.to_bytes()[..])
            .bind(at.ms())
            .execute(&mut *transaction)
            .await
            .map_err(&failed)?;
        transaction.commit().await.map_err(&failed)?;
        Ok(at)
    }

    /// Every activation, by time.
    ///
    /// # Errors
    /// [`Error`] if Postgres can't be read.
    pub async fn controls(&self) -> Result<Vec<Control>, Error> {
        let mut transaction = self.postgres.begin("reading the activations").await?;
        let rows: Vec<(Vec<u8>, i64)> =
            query_as("SELECT release, at FROM activations ORDER BY at, release")
                .fetch_all(&mut *transaction)
                .await
                .map_err(self.postgres.failed("reading the activations"))?;
        rows.into_iter().map(|(release, at)| self.control(release, at)).collect()
    }

    /// The files of a release; `None` if there is none of this id.
    ///
    /// # Errors
    /// [`Error`] if Postgres can't be read or the release is damaged.
    pub async fn release(&self, id: ReleaseId) -> Result<Option<ReleaseFiles>, Error> {
        let mut transaction = self.postgres.begin("reading a release").await?;
        let row: Option<(Vec<u8>, i64)> =
            query_as("SELECT files, bytes FROM releases WHERE id = $1")
                .bind(&id.to_bytes()[..])
                .fetch_optional(&mut *transaction)
                .await
                .map_err(self.postgres.failed("reading a release"))?;
        let Some((packed, bytes)) = row else { return Ok(None) };
        let files = unpack_files(&packed, bytes);
        files.map(Some).map_err(|what| self.damaged(&format!("release {id}: {what}")))
    }

    pub(super) fn control(&self, release: Vec<u8>, at: i64) -> Result<Control, Error> {
        let release = release.try_into().map_err(|_| self.damaged("an id of no 16 bytes"))?;
        Ok(Control { release: ReleaseId::from_bytes(release), at: Timestamp::from_ms(at) })
    }
}
