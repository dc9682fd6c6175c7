//! Sockets to providers: no delay, and certificates checked against the roots we trust.

use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// What it takes to open connections to providers; made once, cheap to clone.
///
/// TLS is 1.2 or 1.3; the certificate must be valid for the host's name and lead to a root of
/// Mozilla's list, as of the build, or of the file given.
#[derive(Clone)]
pub struct Net {
    tls: TlsConnector,
}

/// Why the roots could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum NetError {
    /// The file of additional roots can't be read, or is not PEM.
    #[error("can't read certificates from {path}: {problem}")]
    CaFile {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// It holds no certificate.
    #[error("{path} holds no certificate; it must hold one or more in PEM")]
    NoCertificate {
        /// The file.
        path: PathBuf,
    },
    /// This build can't speak TLS as it should.
    #[error("TLS can't be set up")]
    Tls(#[source] rustls::Error),
}

/// A connection, in the clear or not.
pub(crate) trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send> Stream for T {}

impl Net {
    /// Trusts Mozilla's roots, and with `ca_file` also those of that PEM file.
    ///
    /// # Errors
    ///
    /// The file can't be read, or holds no certificate.
    pub fn new(ca_file: Option<&Path>) -> Result<Self, NetError> {
        let mut roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
        if let Some(path) = ca_file {
            add_roots(&mut roots, path)?;
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(NetError::Tls)?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Self { tls: TlsConnector::from(Arc::new(config)) })
    }

    /// A connection without TLS to the first address of the host that takes one. The caller limits
    /// the time.
    ///
    /// Small writes go out at once: without that, a write that waits for the acknowledgement of the
    /// one before costs 40 ms.
    pub(crate) async fn connect(host: &str, port: u16) -> io::Result<TcpStream> {
        let stream = TcpStream::connect((host, port)).await?;
        stream.set_nodelay(true)?;
        Ok(stream)
    }

    /// The handshake, with the certificate checked for `host`. The caller limits the time.
    pub(crate) async fn secure(
        &self,
        stream: Box<dyn Stream>,
        host: &str,
    ) -> io::Result<Box<dyn Stream>> {
        let name = ServerName::try_from(host.to_owned()).map_err(io::Error::other)?;
        Ok(Box::new(self.tls.connect(name, stream).await?))
    }

    /// Whether a certificate could be for this host.
    pub(crate) fn is_name(host: &str) -> bool {
        ServerName::try_from(host).is_ok()
    }

    /// Whether a handshake failed for good (a certificate that does not fit, no TLS at all) rather
    /// than by a broken connection.
    pub(crate) fn is_tls_fault(error: &io::Error) -> bool {
        error.get_ref().is_some_and(|inner| inner.is::<rustls::Error>())
    }
}

/// Whether a host's name or address means this machine.
pub(crate) fn is_loopback(host: &str) -> bool {
    host.eq_ignore_ascii_case("localhost")
        || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

fn add_roots(roots: &mut RootCertStore, path: &Path) -> Result<(), NetError> {
    let bad = |problem: String| NetError::CaFile { path: path.to_owned(), problem };
    let pem = std::fs::read(path).map_err(|error| bad(error.to_string()))?;
    let before = roots.len();
    for certificate in CertificateDer::pem_slice_iter(&pem) {
        let certificate = certificate.map_err(|error| bad(error.to_string()))?;
        roots.add(certificate).map_err(|error| bad(error.to_string()))?;
    }
    if roots.len() == before {
        return Err(NetError::NoCertificate { path: path.to_owned() });
    }
    Ok(())
}
