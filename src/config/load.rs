//! Reading the configuration from where it is: the only place that reads the process's environment.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use crate::diagnostic::{Report, SourceFile};
use crate::model::Text;
use crate::yaml::BYTES_MAX;

use super::{Config, Origin, Origins, env};

/// The file that is read where none is named; it need not exist.
pub const FILE_DEFAULT: &str = "waypost.yaml";

/// OpenTelemetry's own variable for a collector.
const COLLECTOR: &str = "OTEL_EXPORTER_OTLP_ENDPOINT";

/// Why the configuration could not be read at all.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The file can't be opened or read.
    #[error("the configuration {path} can't be read", path = path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The file is larger than any configuration.
    #[error("the configuration {path} is larger than {BYTES_MAX} bytes", path = path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
    },
}

/// Reads the named file, else `waypost.yaml` in this directory if there is one, and lays the
/// process's `WAYPOST_...` variables over it. The configuration is `None` if the report has errors.
///
/// # Errors
/// [`LoadError`] if the file can't be read as text; what is wrong in it is in the report.
pub fn load(named: Option<&Path>) -> Result<(Option<Config>, Report), LoadError> {
    let (config, _, report) = load_with_origins(named)?;
    Ok((config, report))
}

/// As [`load`], and says where each key comes from that somebody set.
///
/// # Errors
/// As [`load`].
pub fn load_with_origins(
    named: Option<&Path>,
) -> Result<(Option<Config>, Origins, Report), LoadError> {
    let path = named.unwrap_or_else(|| Path::new(FILE_DEFAULT));
    let failed = |source| LoadError::File { path: path.to_owned(), source };
    let file = match std::fs::metadata(path) {
        Ok(meta) if meta.len() > BYTES_MAX as u64 => {
            return Err(LoadError::TooLarge { path: path.to_owned() });
        }
        Ok(_) => {
            let text = std::fs::read_to_string(path).map_err(failed)?;
            Some(SourceFile::new(path.display().to_string(), text))
        }
        Err(source) if source.kind() == io::ErrorKind::NotFound && named.is_none() => None,
        Err(source) => return Err(failed(source)),
    };
    let base = path.parent().unwrap_or_else(|| Path::new(""));
    let (mut config, mut origins, report) =
        Config::read_with_origins(file.as_ref(), base, &environment());
    if let Some(config) = config.as_mut().filter(|config| config.otlp.is_none())
        && let Some(collector) = collector()
    {
        config.otlp = Some(collector);
        origins.insert("telemetry.otlp".to_owned(), Origin::Variable(COLLECTOR.to_owned()));
    }
    Ok((config, origins, report))
}

/// The collector that OpenTelemetry's own variable names.
fn collector() -> Option<Text> {
    let named = std::env::var_os(COLLECTOR)?.into_string().ok()?;
    (!named.is_empty()).then(|| named.into())
}

/// The variables that set keys. Others, and names or values that are no text, are left out.
fn environment() -> BTreeMap<String, String> {
    std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .filter(|(name, _)| name.starts_with(env::PREFIX))
        .collect()
}
