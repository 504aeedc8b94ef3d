//! `distributor`: where spans come in, and how much at once.

use std::fmt;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer};

use super::tls::ReceiverTls;
use crate::receiver::Protocol;

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
    pub jaeger: Option<Jaeger>,
    pub zipkin: Option<Http<On<9411>>>,
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
    pub grpc: Option<Grpc<On<4317>>>,
    pub http: Option<Http<On<4318>>>,
}

/// `distributor.receivers.jaeger`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Jaeger {
    pub protocols: JaegerProtocols,
}

/// `distributor.receivers.jaeger.protocols`, as those of OTLP; none is on unless it is named.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename = "Protocols")]
pub struct JaegerProtocols {
    pub grpc: Option<Grpc<On<14250>>>,
    pub thrift_http: Option<Http<On<14268>>>,
    pub thrift_compact: Option<Udp<On<6831>>>,
    pub thrift_binary: Option<Udp<On<6832>>>,
}

/// A protocol over gRPC.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Grpc<E> {
    pub endpoint: E,
    /// Largest message after decompression, in MiB. 0: `distributor.max_body_bytes`.
    pub max_recv_msg_size_mib: usize,
    pub tls: ReceiverTls,
}

/// A protocol over HTTP.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Http<E> {
    pub endpoint: E,
    /// Largest body after decompression, in bytes. 0: `distributor.max_body_bytes`.
    pub max_request_body_size: usize,
    pub tls: ReceiverTls,
}

/// A protocol over UDP.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Udp<E> {
    pub endpoint: E,
}

/// An endpoint that is this port of all interfaces if nothing else is said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct On<const PORT: u16>(pub Endpoint);

/// Something that is listened on, and where the config says so.
#[derive(Debug, Clone)]
pub struct Listening<'a> {
    pub protocol: Protocol,
    /// The key of the protocol, with dots.
    pub key: &'static str,
    pub endpoint: &'a Endpoint,
    /// Largest body, if this listener has a limit of its own.
    pub max_body_bytes: Option<usize>,
    /// None over UDP.
    pub tls: Option<&'a ReceiverTls>,
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
        Self { otlp: Some(Otlp::default()), jaeger: None, zipkin: None }
    }
}

impl Default for Protocols {
    fn default() -> Self {
        Self { grpc: Some(Grpc::default()), http: Some(Http::default()) }
    }
}

impl<const PORT: u16> Default for On<PORT> {
    fn default() -> Self {
        Self(Endpoint::all_interfaces(PORT))
    }
}

impl<'de, const PORT: u16> Deserialize<'de> for On<PORT> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Endpoint::deserialize(deserializer).map(Self)
    }
}

impl<const PORT: u16> Grpc<On<PORT>> {
    fn listening(&self, protocol: Protocol, key: &'static str) -> Listening<'_> {
        let Self { endpoint, max_recv_msg_size_mib, tls } = self;
        let max_body_bytes = Some(max_recv_msg_size_mib.saturating_mul(1 << 20)).filter(|b| *b > 0);
        Listening { protocol, key, endpoint: &endpoint.0, max_body_bytes, tls: Some(tls) }
    }
}

impl<const PORT: u16> Http<On<PORT>> {
    fn listening(&self, protocol: Protocol, key: &'static str) -> Listening<'_> {
        let Self { endpoint, max_request_body_size, tls } = self;
        let max_body_bytes = Some(*max_request_body_size).filter(|bytes| *bytes > 0);
        Listening { protocol, key, endpoint: &endpoint.0, max_body_bytes, tls: Some(tls) }
    }
}

impl<const PORT: u16> Udp<On<PORT>> {
    fn listening(&self, protocol: Protocol, key: &'static str) -> Listening<'_> {
        let Self { endpoint } = self;
        Listening { protocol, key, endpoint: &endpoint.0, max_body_bytes: None, tls: None }
    }
}

impl Distributor {
    /// All that is listened on.
    pub fn listening(&self) -> Vec<Listening<'_>> {
        let Receivers { otlp, jaeger, zipkin } = &self.receivers;
        let mut all = Vec::new();
        if let Some(Otlp { protocols: Protocols { grpc, http } }) = otlp {
            let key = "distributor.receivers.otlp.protocols.grpc";
            all.extend(grpc.as_ref().map(|on| on.listening(Protocol::OtlpGrpc, key)));
            let key = "distributor.receivers.otlp.protocols.http";
            all.extend(http.as_ref().map(|on| on.listening(Protocol::OtlpHttp, key)));
        }
        if let Some(Jaeger { protocols }) = jaeger {
            let JaegerProtocols { grpc, thrift_http, thrift_compact, thrift_binary } = protocols;
            let key = "distributor.receivers.jaeger.protocols.grpc";
            all.extend(grpc.as_ref().map(|on| on.listening(Protocol::JaegerGrpc, key)));
            let key = "distributor.receivers.jaeger.protocols.thrift_http";
            let protocol = Protocol::JaegerThriftHttp;
            all.extend(thrift_http.as_ref().map(|on| on.listening(protocol, key)));
            let key = "distributor.receivers.jaeger.protocols.thrift_compact";
            let protocol = Protocol::JaegerThriftCompact;
            all.extend(thrift_compact.as_ref().map(|on| on.listening(protocol, key)));
            let key = "distributor.receivers.jaeger.protocols.thrift_binary";
            let protocol = Protocol::JaegerThriftBinary;
            all.extend(thrift_binary.as_ref().map(|on| on.listening(protocol, key)));
        }
        let key = "distributor.receivers.zipkin";
        all.extend(zipkin.as_ref().map(|on| on.listening(Protocol::Zipkin, key)));
        all
    }

    /// Where OTLP over gRPC is taken in; none if it is off.
    pub fn otlp_grpc(&self) -> Option<&Endpoint> {
        Some(&self.receivers.otlp.as_ref()?.protocols.grpc.as_ref()?.endpoint.0)
    }

    /// Where OTLP over HTTP is taken in; none if it is off.
    pub fn otlp_http(&self) -> Option<&Endpoint> {
        Some(&self.receivers.otlp.as_ref()?.protocols.http.as_ref()?.endpoint.0)
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
