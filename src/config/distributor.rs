//! `distributor`: where spans come in, and how much at once.

use std::fmt;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer};

/// Batches of collectors reach tens of megabytes; gRPC's usual 4 MiB refuses them for good.
const MAX_BODY_BYTES: usize = 64 << 20;

/// `distributor` in `tempo.yaml`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Distributor {
    pub receivers: Receivers,
    /// Largest request after decompression, in bytes; larger ones are refused with 413.
    pub max_body_bytes: usize,
}

/// `distributor.receivers`: given, it lists all that is listened on.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Receivers {
    pub otlp: Option<Otlp>,
}

/// `distributor.receivers.otlp`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Otlp {
    pub protocols: Protocols,
}

/// `distributor.receivers.otlp.protocols`, as in a Collector: a protocol without a value is on with its defaults, one
/// that is left out is off.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Protocols {
    pub grpc: Option<Grpc>,
    pub http: Option<Http>,
}

/// OTLP over gRPC.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Grpc {
    pub endpoint: Endpoint,
}

/// OTLP over HTTP.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Http {
    pub endpoint: Endpoint,
}

/// A checked `host:port` to bind to. `:4317` is all interfaces.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    host: String,
    port: u16,
}

/// Not a `host:port`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not an address and a port, as in `0.0.0.0:4317`")]
pub struct EndpointError(String);

impl Default for Distributor {
    fn default() -> Self {
        Self { receivers: Receivers::default(), max_body_bytes: MAX_BODY_BYTES }
    }
}

impl Default for Receivers {
    fn default() -> Self {
        Self { otlp: Some(Otlp::default()) }
    }
}

impl Default for Protocols {
    fn default() -> Self {
        Self { grpc: Some(Grpc::default()), http: Some(Http::default()) }
    }
}

impl Default for Grpc {
    fn default() -> Self {
        Self { endpoint: Endpoint::all_interfaces(4317) }
    }
}

impl Default for Http {
    fn default() -> Self {
        Self { endpoint: Endpoint::all_interfaces(4318) }
    }
}

impl Distributor {
    /// Where OTLP over gRPC is taken in; none if it is off.
    pub fn otlp_grpc(&self) -> Option<&Endpoint> {
        Some(&self.receivers.otlp.as_ref()?.protocols.grpc.as_ref()?.endpoint)
    }

    /// Where OTLP over HTTP is taken in; none if it is off.
    pub fn otlp_http(&self) -> Option<&Endpoint> {
        Some(&self.receivers.otlp.as_ref()?.protocols.http.as_ref()?.endpoint)
    }
}

impl Endpoint {
    /// # Errors
    /// A text without a port from 0 to 65535 at its end.
    pub fn parse(text: &str) -> Result<Self, EndpointError> {
        let wrong = || EndpointError(text.to_owned());
        let (host, port) = text.rsplit_once(':').ok_or_else(wrong)?;
        let port = port.parse().map_err(|_| wrong())?;
        let bare_v6 = host.contains(':') && !host.starts_with('[');
        if bare_v6 || host.contains(['/', ' ']) {
            return Err(wrong());
        }
        let host = if host.is_empty() { "0.0.0.0" } else { host };
        Ok(Self { host: host.to_owned(), port })
    }

    pub fn all_interfaces(port: u16) -> Self {
        Self { host: "0.0.0.0".to_owned(), port }
    }

    /// A name or an address; version 6 in brackets.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// 0: any free port.
    pub fn port(&self) -> u16 {
        self.port
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

impl<'de> Deserialize<'de> for Endpoint {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::parse(&String::deserialize(deserializer)?).map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_has_a_port() {
        for (text, whole) in [
            ("0.0.0.0:4317", "0.0.0.0:4317"),
            (":4317", "0.0.0.0:4317"),
            ("localhost:0", "localhost:0"),
            ("[::1]:4317", "[::1]:4317"),
        ] {
            assert_eq!(Endpoint::parse(text).unwrap().to_string(), whole);
        }
        for bad in ["", "4317", "localhost", "a:b", "::1:4317", "http://a:1", "a:99999"] {
            assert!(Endpoint::parse(bad).is_err(), "{bad}");
        }
    }
}
