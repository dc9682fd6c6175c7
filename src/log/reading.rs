//! Reading a log, wherever it is kept.

use crate::model::ReleaseId;

use super::{Control, Error, Record, ReleaseFiles};

/// A log that can be read: its records, and what is kept beside them. It may be read while others
/// append.
pub trait ReadLog: Send + Sync {
    /// How many partitions the log has.
    fn partitions(&self) -> u32;

    /// Records of a partition from an offset on, in order, each with its offset: at least
    /// `records_min` of them unless the end is reached. Empty at the end.
    fn read(
        &self,
        partition: u32,
        from: u64,
        records_min: usize,
    ) -> impl Future<Output = Result<Vec<(u64, Record)>, Error>> + Send;

    /// Every activation in the log, by time.
    fn controls(&self) -> impl Future<Output = Result<Vec<Control>, Error>> + Send;

    /// The files of a release; `None` if this log does not have it.
    fn release(
        &self,
        id: ReleaseId,
    ) -> impl Future<Output = Result<Option<ReleaseFiles>, Error>> + Send;

    /// The secret key of identity hashes.
    fn identity_key(&self) -> impl Future<Output = Result<[u8; 32], Error>> + Send;

    /// The stored rows of the identity graph with these keys; unknown ones are left out.
    fn graph(
        &self,
        keys: &[u128],
    ) -> impl Future<Output = Result<Vec<(u128, Vec<u8>)>, Error>> + Send;

    /// Names and numbers of the sources, by number.
    fn sources(&self) -> impl Future<Output = Result<Vec<(u16, String)>, Error>> + Send;
}
