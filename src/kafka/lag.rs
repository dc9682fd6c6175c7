//! How far a group is behind.

use std::collections::BTreeMap;

use super::{Appended, Cluster, Error, Partition, View};

/// Where a group stands in a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Behind {
    /// The first offset that the group has not committed.
    pub next: i64,
    /// The offset that the next record will have.
    pub end: i64,
    /// The first record between them: a committed one, else what a transaction that is still open
    /// has written. `None` if there is none.
    pub first: Option<Appended>,
}

impl Cluster {
    /// How far a group (`NAME.group`) is behind in each of these partitions, also where records are
    /// not committed yet: they may be.
    ///
    /// # Errors
    /// [`Error::Call`].
    pub async fn behind(
        &self,
        group: &str,
        partitions: &[Partition],
    ) -> Result<BTreeMap<Partition, Behind>, Error> {
        let ends = self.all_ends(partitions).await?;
        let committed = self.committed(group, partitions).await?;
        let stands =
            |partition: &Partition| committed.get(partition).copied().flatten().unwrap_or(0);
        let mut all: BTreeMap<Partition, Behind> = ends
            .into_iter()
            .map(|(partition, end)| {
                let next = stands(&partition);
                (partition, Behind { next, end, first: None })
            })
            .collect();
        for view in [View::Committed, View::All] {
            let open: BTreeMap<Partition, i64> = all
                .iter()
                .filter(|(_, behind)| behind.next < behind.end && behind.first.is_none())
                .map(|(partition, behind)| (partition.clone(), behind.next))
                .collect();
            let stable = match view {
                View::Committed => BTreeMap::new(),
                View::All => self.ends(&open.keys().cloned().collect::<Vec<_>>()).await?,
            };
            // Where nothing is open, there are only marks of transactions.
            let is_open = |partition: &Partition| match view {
                View::Committed => true,
                View::All => stable.get(partition).is_some_and(|end| *end < all[partition].end),
            };
            let asked: BTreeMap<Partition, i64> =
                open.into_iter().filter(|(partition, _)| is_open(partition)).collect();
            for (partition, first) in self.appended(&asked, view).await? {
                if let Some(behind) = all.get_mut(&partition) {
                    behind.first = first;
                }
            }
        }
        Ok(all)
    }
}
