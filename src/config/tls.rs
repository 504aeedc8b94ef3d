//! TLS of a listener, as a Collector's receivers have it and as `server` has it.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;

use crate::listener::{Clients, TlsFiles, Version};

/// `tls` of a receiver. On where `cert_file` is given.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct ReceiverTls {
    /// Certificate chain, PEM. Empty: no TLS.
    pub cert_file: PathBuf,
    pub key_file: PathBuf,
    /// Given, every client needs a certificate that one of these has signed.
    pub client_ca_file: PathBuf,
    pub min_version: MinVersion,
    /// How often the files are read again. 0: never.
    pub reload_interval: Duration,
}

/// The oldest version of TLS that a receiver speaks.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
pub enum MinVersion {
    #[default]
    #[serde(rename = "1.2")]
    Tls12,
    #[serde(rename = "1.3")]
    Tls13,
}

/// `server.http_tls_config` and `server.grpc_tls_config`. On where `cert_file` is given.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct ServerTls {
    /// Certificate chain, PEM. Empty: no TLS.
    pub cert_file: PathBuf,
    pub key_file: PathBuf,
    /// Whose certificates are right, where `client_auth_type` asks for one.
    pub client_ca_file: PathBuf,
    pub client_auth_type: ClientAuth,
}

/// Whose certificate is asked for; the names are those of Go.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
pub enum ClientAuth {
    #[default]
    NoClientCert,
    VerifyClientCertIfGiven,
    RequireAndVerifyClientCert,
}

/// `server.tls_min_version`; the names are those of Go.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
pub enum ServerMinVersion {
    #[default]
    #[serde(alias = "")]
    VersionTLS12,
    VersionTLS13,
}

impl ReceiverTls {
    /// What is read at the start; none without TLS. `key` is where this stands in the config.
    pub fn files(&self, key: &str) -> Option<TlsFiles> {
        let Self { cert_file, key_file, client_ca_file, min_version, reload_interval } = self;
        is_given(cert_file).then(|| TlsFiles {
            key: key.to_owned(),
            cert_file: cert_file.clone(),
            key_file: key_file.clone(),
            client_ca_file: is_given(client_ca_file).then(|| client_ca_file.clone()),
            clients: if is_given(client_ca_file) { Clients::Verified } else { Clients::Any },
            min_version: match min_version {
                MinVersion::Tls12 => Version::Tls12,
                MinVersion::Tls13 => Version::Tls13,
            },
            reload_interval: Some(*reload_interval).filter(|time| !time.is_zero()),
        })
    }

    /// What of it cannot be.
    pub(super) fn problem(&self) -> Option<&'static str> {
        let clients = is_given(&self.client_ca_file);
        pair(&self.cert_file, &self.key_file).or_else(|| alone(&self.cert_file, clients))
    }
}

impl ServerTls {
    /// As [`ReceiverTls::files`].
    pub fn files(&self, key: &str, min_version: ServerMinVersion) -> Option<TlsFiles> {
        let Self { cert_file, key_file, client_ca_file, client_auth_type } = self;
        is_given(cert_file).then(|| TlsFiles {
            key: key.to_owned(),
            cert_file: cert_file.clone(),
            key_file: key_file.clone(),
            client_ca_file: is_given(client_ca_file).then(|| client_ca_file.clone()),
            clients: match client_auth_type {
                ClientAuth::NoClientCert => Clients::Any,
                ClientAuth::VerifyClientCertIfGiven => Clients::VerifiedIfGiven,
                ClientAuth::RequireAndVerifyClientCert => Clients::Verified,
            },
            min_version: match min_version {
                ServerMinVersion::VersionTLS12 => Version::Tls12,
                ServerMinVersion::VersionTLS13 => Version::Tls13,
            },
            reload_interval: None,
        })
    }

    /// What of it cannot be.
    pub(super) fn problem(&self) -> Option<&'static str> {
        let asks = self.client_auth_type != ClientAuth::NoClientCert;
        let clients = is_given(&self.client_ca_file);
        let differ = (asks != clients)
            .then_some("`client_auth_type` and `client_ca_file` go together: give both or neither");
        let pair = pair(&self.cert_file, &self.key_file);
        pair.or_else(|| alone(&self.cert_file, clients || asks)).or(differ)
    }
}

fn is_given(path: &Path) -> bool {
    !path.as_os_str().is_empty()
}

fn pair(cert_file: &Path, key_file: &Path) -> Option<&'static str> {
    (is_given(cert_file) != is_given(key_file))
        .then_some("`cert_file` and `key_file` go together: give both or neither")
}

fn alone(cert_file: &Path, clients: bool) -> Option<&'static str> {
    (clients && !is_given(cert_file))
        .then_some("clients' certificates need the server's own: give `cert_file` and `key_file`")
}
