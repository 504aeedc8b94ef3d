//! `server`: where Tempo's API is answered, and what is logged.

use std::time::Duration;

use serde::Deserialize;

use super::tls::{ServerMinVersion, ServerTls};
use crate::telemetry::{Format, Level};

/// `server` in `tempo.yaml`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Server {
    /// Empty: all interfaces.
    pub http_listen_address: String,
    /// 0: any free port.
    pub http_listen_port: u16,
    /// Empty: all interfaces.
    pub grpc_listen_address: String,
    /// 0: any free port.
    pub grpc_listen_port: u16,
    /// TLS of the HTTP API.
    pub http_tls_config: ServerTls,
    /// TLS of the gRPC API.
    pub grpc_tls_config: ServerTls,
    /// The oldest version of both.
    pub tls_min_version: ServerMinVersion,
    pub log_level: Level,
    pub log_format: Format,
    /// Longest time between a stop signal and the end.
    pub graceful_shutdown_timeout: Duration,
}

impl Default for Server {
    fn default() -> Self {
        Self {
            http_listen_address: String::new(),
            http_listen_port: 3200,
            grpc_listen_address: String::new(),
            grpc_listen_port: 9095,
            http_tls_config: ServerTls::default(),
            grpc_tls_config: ServerTls::default(),
            tls_min_version: ServerMinVersion::default(),
            log_level: Level::Info,
            log_format: Format::Logfmt,
            graceful_shutdown_timeout: Duration::from_secs(30),
        }
    }
}

impl Server {
    /// `host:port` to bind the HTTP API to.
    pub fn http_endpoint(&self) -> String {
        endpoint(&self.http_listen_address, self.http_listen_port)
    }

    /// `host:port` to bind the gRPC API to.
    pub fn grpc_endpoint(&self) -> String {
        endpoint(&self.grpc_listen_address, self.grpc_listen_port)
    }
}

fn endpoint(address: &str, port: u16) -> String {
    match address.trim_matches(['[', ']']) {
        "" => format!("0.0.0.0:{port}"),
        v6 if v6.contains(':') => format!("[{v6}]:{port}"),
        address => format!("{address}:{port}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_can_be_empty_a_name_or_version_six() {
        for (address, whole) in [
            ("", "0.0.0.0:3200"),
            ("localhost", "localhost:3200"),
            ("::1", "[::1]:3200"),
            ("[::]", "[::]:3200"),
        ] {
            assert_eq!(endpoint(address, 3200), whole);
        }
    }
}
