//! Loading rows of the graph from the embedded log. The stage itself does no I/O.

use crate::log::{self, ReadLog};
use crate::model::{CustomerId, Event, Identity, Text};

use super::graph::{Found, identity_key};
use super::{GraphError, Identify};

/// Why rows can't be loaded.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The log.
    #[error(transparent)]
    Log(#[from] log::Error),
    /// A row in it.
    #[error(transparent)]
    Graph(#[from] GraphError),
}

impl Identify {
    /// Loads all rows that these events need, in a few bulk reads: one, and one more for each
    /// hop from an identity over merged customers to the one who goes on.
    ///
    /// # Errors
    /// [`LoadError`] if the log can't be read.
    pub async fn prefetch<'a>(
        &mut self,
        log: &impl ReadLog,
        events: impl IntoIterator<Item = &'a Event> + Clone,
    ) -> Result<(), LoadError> {
        loop {
            let missing = self.missing(events.clone());
            if missing.is_empty() {
                return Ok(());
            }
            let rows = log.graph(&missing).await?;
            self.insert(&missing, rows)?;
        }
    }

    /// Loads the rows of these keys and all that they lead to.
    async fn load(
        &mut self,
        log: &impl ReadLog,
        keys: impl Iterator<Item = u128> + Clone,
    ) -> Result<(), LoadError> {
        loop {
            let mut missing = Vec::new();
            for key in keys.clone() {
                self.missing_of(key, &mut missing);
            }
            missing.sort_unstable();
            missing.dedup();
            if missing.is_empty() {
                return Ok(());
            }
            let rows = log.graph(&missing).await?;
            self.insert(&missing, rows)?;
        }
    }

    /// The customers that a text names, for `why`: a customer's id as printed (also one that was
    /// merged), the value of an identity, also in one of these namespaces of sources' own, or
    /// `NAMESPACE=VALUE` in any.
    ///
    /// # Errors
    /// [`LoadError`] if the log can't be read.
    pub async fn named(
        &mut self,
        log: &impl ReadLog,
        text: &str,
        namespaces: &[Text],
    ) -> Result<Vec<CustomerId>, LoadError> {
        let usual = [Identity::customer_id, Identity::email, Identity::phone, Identity::device];
        let usual = usual.iter().filter_map(|parse| parse(text));
        let known = namespaces.iter().filter_map(|namespace| Identity::other(namespace, text));
        let written = text.split_once('=').and_then(|(name, id)| Identity::other(name, id));
        let mut keys: Vec<u128> = usual
            .chain(known)
            .chain(written)
            .map(|identity| identity_key(&self.secret, &identity))
            .collect();
        let id = text.parse::<CustomerId>().ok();
        keys.extend(id.map(|id| id.0));
        self.load(log, keys.iter().copied()).await?;
        let mut named = Vec::new();
        let known = id.filter(|id| self.graph.get(id.0).is_some());
        let links = keys.iter().filter_map(|key| self.graph.link(*key)?.customer);
        for customer in known.into_iter().chain(links) {
            match self.graph.find(customer) {
                Found::Live(found) if !named.contains(&found) => named.push(found),
                Found::Live(_) | Found::Erased(_) => {}
            }
        }
        Ok(named)
    }
}
