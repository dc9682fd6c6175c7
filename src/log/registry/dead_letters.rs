//! Dead letters, for people.

use crate::model::Timestamp;
use crate::postgres::query_as;

use super::super::{DeadLetter, Error};
use super::Registry;

/// What a list of dead letters is narrowed to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DeadLetterFilter {
    /// Only those of this source.
    pub source: Option<u16>,
    /// Only those with an id after this one.
    pub after: i64,
    /// At most so many.
    pub limit: u32,
}

impl Registry {
    /// Dead letters, each with its id; the ids grow.
    ///
    /// # Errors
    /// [`Error`] if Postgres can't be read.
    pub async fn dead_letters(
        &self,
        filter: DeadLetterFilter,
    ) -> Result<Vec<(i64, DeadLetter)>, Error> {
        type Row = (i64, i32, i32, i64, String, Option<Vec<u8>>, i64);
        let mut transaction = self.postgres.begin("reading dead letters").await?;
        let rows: Vec<Row> = query_as(
            "SELECT id, source, partition, position, reason, payload, at FROM dead_letters
             WHERE id > $1 AND ($2::int IS NULL OR source = $2) ORDER BY id LIMIT $3",
        )
        .bind(filter.after)
        .bind(filter.source.map(i32::from))
        .bind(i64::from(filter.limit))
        .fetch_all(&mut *transaction)
        .await
        .map_err(self.postgres.failed("reading dead letters"))?;
        let letter = |(id, source, partition, position, reason, payload, at): Row| {
            let source = u16::try_from(source).map_err(|_| self.damaged("a source"))?;
            let (partition, position) = (partition.cast_unsigned(), position.cast_unsigned());
            let at = Timestamp::from_ms(at);
            Ok((id, DeadLetter { source, partition, position, reason, payload, at }))
        };
        rows.into_iter().map(letter).collect()
    }
}
