//! How the records of one input are read, before its header is known.

use std::sync::Arc;

use super::{Auto, Decode, Form, Mapping, ReadError, Reader, Rejected};

/// How the records of an input are read.
#[derive(Clone)]
pub enum Decoder {
    /// Each record by itself.
    Records(Arc<dyn Decode>),
    /// By a mapping, whose columns the header of each input names.
    Mapped(Mapping),
}

/// Why an input can't be begun.
#[derive(Debug, thiserror::Error)]
pub enum BeginError {
    /// It can't be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// Its header does not fit the mapping.
    #[error("the header row does not fit the mapping: {0}")]
    Header(#[from] Rejected),
}

impl Decoder {
    /// How to open an input.
    #[must_use]
    pub fn form(&self) -> Form {
        match self {
            Self::Records(_) => Form::Auto,
            Self::Mapped(mapping) => mapping.form(),
        }
    }

    /// Begins an input: reads its header where the mapping needs one.
    ///
    /// # Errors
    /// [`BeginError`] if it can't be read or its header does not fit.
    pub fn begin(&self, reader: &mut Reader) -> Result<Arc<dyn Decode>, BeginError> {
        match self {
            Self::Records(decode) => Ok(Arc::clone(decode)),
            Self::Mapped(mapping) => Ok(match reader.header()? {
                Some(header) => Arc::new(mapping.for_header(header)?),
                None => Arc::new(mapping.clone()),
            }),
        }
    }
}

impl Default for Decoder {
    fn default() -> Self {
        Self::Records(Arc::new(Auto::default()))
    }
}
