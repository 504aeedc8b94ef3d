//! TLS: certificates from files, who may connect, and files that are read again when they are new.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use rustls::version::{TLS12, TLS13};
use rustls::{RootCertStore, ServerConfig, SupportedProtocolVersion};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tracing::{info, warn};

use super::on_cpu;
use crate::failure::chain;

/// What is offered in the handshake, the better first.
const ALPN: [&[u8]; 2] = [b"h2", b"http/1.1"];

/// Where certificates are, and who may connect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsFiles {
    /// The key in the config under which the names below stand, for errors.
    pub key: String,
    /// Certificate chain, PEM, the server's own first.
    pub cert_file: PathBuf,
    /// Private key, PEM.
    pub key_file: PathBuf,
    /// Certificates of which one must have signed a client's, PEM. Needed unless clients are [`Clients::Any`].
    pub client_ca_file: Option<PathBuf>,
    pub clients: Clients,
    pub min_version: Version,
    /// How often the files are read again; `None` = once, at the start.
    pub reload_interval: Option<Duration>,
}

/// Whose certificate is asked for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Clients {
    /// Nobody's.
    #[default]
    Any,
    /// A client may have none; one that it has must be right.
    VerifiedIfGiven,
    /// Every client's.
    Verified,
}

/// The oldest version of TLS that is spoken.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Version {
    #[default]
    Tls12,
    Tls13,
}

/// Why there is no TLS.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    #[error("`{key}`: {}", path.display())]
    File { key: String, path: PathBuf, source: pem::Error },
    #[error("`{key}`: {} has no certificate", path.display())]
    NoCertificate { key: String, path: PathBuf },
    #[error("`{key}`: {} and {} do not go together", cert_file.display(), key_file.display())]
    Pair { key: String, cert_file: PathBuf, key_file: PathBuf, source: Box<rustls::Error> },
    #[error("`{key}`: {} cannot be trusted: {reason}", path.display())]
    ClientCa { key: String, path: PathBuf, reason: String },
}

/// Makes connections into TLS connections. Clones share the certificates.
#[derive(Clone)]
pub struct Tls(Arc<Shared>);

struct Shared {
    files: TlsFiles,
    loaded: Mutex<Loaded>,
}

struct Loaded {
    config: Arc<ServerConfig>,
    at: Instant,
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Tls").field(&self.0.files).finish()
    }
}

impl Tls {
    /// Reads the files.
    ///
    /// # Errors
    /// Names the key and the file that is wrong.
    pub fn open(files: TlsFiles) -> Result<Self, TlsError> {
        let config = Arc::new(load(&files)?);
        let loaded = Mutex::new(Loaded { config, at: Instant::now() });
        Ok(Self(Arc::new(Shared { files, loaded })))
    }

    /// Shakes hands. May take as long as the client likes.
    pub(super) async fn accept(&self, stream: TcpStream) -> io::Result<TlsStream<TcpStream>> {
        if self.is_old() {
            self.reload().await;
        }
        let config = Arc::clone(&self.0.loaded.lock().config);
        TlsAcceptor::from(config).accept(stream).await
    }

    /// Says so to one caller in each interval.
    fn is_old(&self) -> bool {
        let Some(interval) = self.0.files.reload_interval else { return false };
        let mut loaded = self.0.loaded.lock();
        let is_old = loaded.at.elapsed() >= interval;
        if is_old {
            loaded.at = Instant::now();
        }
        is_old
    }

    /// Files that are wrong now leave the old certificates in use.
    async fn reload(&self) {
        let shared = Arc::clone(&self.0);
        match on_cpu(move || load(&shared.files)).await {
            Ok(config) => {
                self.0.loaded.lock().config = Arc::new(config);
                info!(key = self.0.files.key, "certificates read again");
            }
            Err(error) => warn!(error = chain(&error), "certificates stay as they were"),
        }
    }
}

fn load(files: &TlsFiles) -> Result<ServerConfig, TlsError> {
    let TlsFiles { key, cert_file, key_file, min_version, .. } = files;
    let certificates = certificates(&format!("{key}.cert_file"), cert_file)?;
    let private = PrivateKeyDer::from_pem_file(key_file).map_err(|source| TlsError::File {
        key: format!("{key}.key_file"),
        path: key_file.clone(),
        source,
    })?;
    let versions: &[&SupportedProtocolVersion] = match min_version {
        Version::Tls12 => &[&TLS13, &TLS12],
        Version::Tls13 => &[&TLS13],
    };
    let provider = Arc::new(aws_lc_rs::default_provider());
    let builder = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(versions)
        .expect("the provider has cipher suites of both versions");
    let builder = match verifier(files)? {
        Some(verifier) => builder.with_client_cert_verifier(verifier),
        None => builder.with_no_client_auth(),
    };
    let config = builder.with_single_cert(certificates, private);
    let mut config = config.map_err(|source| TlsError::Pair {
        key: key.clone(),
        cert_file: cert_file.clone(),
        key_file: key_file.clone(),
        source: Box::new(source),
    })?;
    config.alpn_protocols = ALPN.map(<[u8]>::to_vec).into();
    Ok(config)
}

fn certificates(key: &str, path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let read = CertificateDer::pem_file_iter(path).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let (key, path) = (key.to_owned(), path.to_owned());
    match read {
        Ok(certificates) if certificates.is_empty() => Err(TlsError::NoCertificate { key, path }),
        Ok(certificates) => Ok(certificates),
        Err(source) => Err(TlsError::File { key, path, source }),
    }
}

fn verifier(files: &TlsFiles) -> Result<Option<Arc<dyn ClientCertVerifier>>, TlsError> {
    let Some(path) = files.client_ca_file.as_ref().filter(|_| files.clients != Clients::Any) else {
        return Ok(None);
    };
    let key = format!("{}.client_ca_file", files.key);
    let wrong =
        |reason: String| TlsError::ClientCa { key: key.clone(), path: path.clone(), reason };
    let mut roots = RootCertStore::empty();
    for certificate in certificates(&key, path)? {
        roots.add(certificate).map_err(|error| wrong(error.to_string()))?;
    }
    let provider = Arc::new(aws_lc_rs::default_provider());
    let mut builder = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
    if files.clients == Clients::VerifiedIfGiven {
        builder = builder.allow_unauthenticated();
    }
    builder.build().map(Some).map_err(|error| wrong(error.to_string()))
}

#[cfg(test)]
#[path = "tls_tests.rs"]
mod tests;
