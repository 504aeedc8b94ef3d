//! The messages of Jaeger's gRPC services, as far as they are used: those of `proto/jaeger/`. A test compares.

use std::collections::BTreeMap;
use std::time;

use prost::Message;

/// `google.protobuf.Timestamp`.
#[derive(Clone, Copy, PartialEq, Eq, Message)]
pub(super) struct Timestamp {
    #[prost(int64, tag = "1")]
    pub(super) seconds: i64,
    #[prost(int32, tag = "2")]
    pub(super) nanos: i32,
}

/// `google.protobuf.Duration`.
#[derive(Clone, Copy, PartialEq, Eq, Message)]
pub(super) struct Duration {
    #[prost(int64, tag = "1")]
    pub(super) seconds: i64,
    #[prost(int32, tag = "2")]
    pub(super) nanos: i32,
}

impl Timestamp {
    pub(super) fn of(unix_nano: u64) -> Self {
        let seconds = i64::try_from(unix_nano / 1_000_000_000).expect("a u64 has no more");
        let nanos = i32::try_from(unix_nano % 1_000_000_000).expect("less than a second");
        Self { seconds, nanos }
    }

    /// What lies before 1970 is 1970.
    pub(super) fn unix_nano(self) -> u64 {
        let seconds = u64::try_from(self.seconds).unwrap_or(0);
        let nanos = u64::try_from(self.nanos).unwrap_or(0);
        seconds.saturating_mul(1_000_000_000).saturating_add(nanos)
    }
}

impl Duration {
    /// `None` if it is zero or less.
    pub(super) fn positive(self) -> Option<time::Duration> {
        let seconds = u64::try_from(self.seconds).ok()?;
        let nanos = u32::try_from(self.nanos).ok()?;
        let duration =
            time::Duration::from_secs(seconds) + time::Duration::from_nanos(nanos.into());
        (!duration.is_zero()).then_some(duration)
    }
}

// --- jaeger.storage.v2

#[derive(Clone, PartialEq, Message)]
pub(super) struct GetTracesRequest {
    #[prost(message, repeated, tag = "1")]
    pub(super) query: Vec<GetTraceParams>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct GetTraceParams {
    #[prost(bytes = "vec", tag = "1")]
    pub(super) trace_id: Vec<u8>,
    #[prost(message, optional, tag = "2")]
    pub(super) start_time: Option<Timestamp>,
    #[prost(message, optional, tag = "3")]
    pub(super) end_time: Option<Timestamp>,
}

/// Also of the query service.
#[derive(Clone, PartialEq, Eq, Message)]
pub(super) struct GetServicesRequest {}

/// Also of the query service.
#[derive(Clone, PartialEq, Eq, Message)]
pub(super) struct GetServicesResponse {
    #[prost(string, repeated, tag = "1")]
    pub(super) services: Vec<String>,
}

/// Also of the query service.
#[derive(Clone, PartialEq, Eq, Message)]
pub(super) struct GetOperationsRequest {
    #[prost(string, tag = "1")]
    pub(super) service: String,
    #[prost(string, tag = "2")]
    pub(super) span_kind: String,
}

/// Also of the query service.
#[derive(Clone, PartialEq, Eq, Message)]
pub(super) struct Operation {
    #[prost(string, tag = "1")]
    pub(super) name: String,
    #[prost(string, tag = "2")]
    pub(super) span_kind: String,
}

/// Also of the query service.
#[derive(Clone, PartialEq, Eq, Message)]
pub(super) struct GetOperationsResponse {
    #[prost(message, repeated, tag = "1")]
    pub(super) operations: Vec<Operation>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct KeyValue {
    #[prost(string, tag = "1")]
    pub(super) key: String,
    /// An `AnyValue`, which has OTLP's fields.
    #[prost(bytes = "vec", tag = "2")]
    pub(super) value: Vec<u8>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct TraceQueryParameters {
    #[prost(string, tag = "1")]
    pub(super) service_name: String,
    #[prost(string, tag = "2")]
    pub(super) operation_name: String,
    #[prost(message, repeated, tag = "3")]
    pub(super) attributes: Vec<KeyValue>,
    #[prost(message, optional, tag = "4")]
    pub(super) start_time_min: Option<Timestamp>,
    #[prost(message, optional, tag = "5")]
    pub(super) start_time_max: Option<Timestamp>,
    #[prost(message, optional, tag = "6")]
    pub(super) duration_min: Option<Duration>,
    #[prost(message, optional, tag = "7")]
    pub(super) duration_max: Option<Duration>,
    #[prost(int32, tag = "8")]
    pub(super) search_depth: i32,
    /// A structured filter, which is refused.
    #[prost(bytes = "vec", optional, tag = "9")]
    pub(super) filter: Option<Vec<u8>>,
}

/// `FindTracesRequest`, `FindTraceIDsRequest` and `FindTraceSummariesRequest`.
#[derive(Clone, PartialEq, Message)]
pub(super) struct FindRequest {
    #[prost(message, optional, tag = "1")]
    pub(super) query: Option<TraceQueryParameters>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct FoundTraceId {
    #[prost(bytes = "vec", tag = "1")]
    pub(super) trace_id: Vec<u8>,
    #[prost(message, optional, tag = "2")]
    pub(super) start: Option<Timestamp>,
    #[prost(message, optional, tag = "3")]
    pub(super) end: Option<Timestamp>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct FindTraceIdsResponse {
    #[prost(message, repeated, tag = "1")]
    pub(super) trace_ids: Vec<FoundTraceId>,
}

/// Also of the query service.
#[derive(Clone, PartialEq, Eq, Message)]
pub(super) struct ServiceSummary {
    #[prost(string, tag = "1")]
    pub(super) name: String,
    #[prost(int32, tag = "2")]
    pub(super) span_count: i32,
    #[prost(int32, tag = "3")]
    pub(super) error_span_count: i32,
}

/// Of both services: their ids differ in type, not on the wire, as a text and as bytes.
#[derive(Clone, PartialEq, Eq, Message)]
pub(super) struct TraceSummary {
    #[prost(bytes = "vec", tag = "1")]
    pub(super) trace_id: Vec<u8>,
    #[prost(string, tag = "2")]
    pub(super) root_service_name: String,
    #[prost(string, tag = "3")]
    pub(super) root_operation_name: String,
    #[prost(fixed64, tag = "4")]
    pub(super) min_start_time_unix_nano: u64,
    #[prost(fixed64, tag = "5")]
    pub(super) max_end_time_unix_nano: u64,
    #[prost(int32, tag = "6")]
    pub(super) span_count: i32,
    #[prost(int32, tag = "7")]
    pub(super) error_span_count: i32,
    #[prost(int32, tag = "8")]
    pub(super) orphan_span_count: i32,
    #[prost(message, repeated, tag = "9")]
    pub(super) services: Vec<ServiceSummary>,
}

/// Also of the query service.
#[derive(Clone, PartialEq, Eq, Message)]
pub(super) struct FindTraceSummariesResponse {
    #[prost(message, repeated, tag = "1")]
    pub(super) summaries: Vec<TraceSummary>,
}

/// Also of the query service.
#[derive(Clone, PartialEq, Eq, Message)]
pub(super) struct GetDependenciesRequest {
    #[prost(message, optional, tag = "1")]
    pub(super) start_time: Option<Timestamp>,
    #[prost(message, optional, tag = "2")]
    pub(super) end_time: Option<Timestamp>,
}

/// Also of the query service.
#[derive(Clone, PartialEq, Eq, Message)]
pub(super) struct Dependency {
    #[prost(string, tag = "1")]
    pub(super) parent: String,
    #[prost(string, tag = "2")]
    pub(super) child: String,
    #[prost(uint64, tag = "3")]
    pub(super) call_count: u64,
}

/// Also of the query service.
#[derive(Clone, PartialEq, Eq, Message)]
pub(super) struct GetDependenciesResponse {
    #[prost(message, repeated, tag = "1")]
    pub(super) dependencies: Vec<Dependency>,
}

#[derive(Clone, PartialEq, Eq, Message)]
pub(super) struct GetCapabilitiesRequest {}

#[derive(Clone, PartialEq, Eq, Message)]
pub(super) struct SearchCapabilities {
    #[prost(bool, tag = "1")]
    pub(super) without_service_name: bool,
    #[prost(bool, tag = "2")]
    pub(super) same_span_conjunction: bool,
}

#[derive(Clone, PartialEq, Eq, Message)]
pub(super) struct GetCapabilitiesResponse {
    #[prost(message, optional, tag = "1")]
    pub(super) search: Option<SearchCapabilities>,
}

// --- jaeger.api_v3

#[derive(Clone, PartialEq, Eq, Message)]
pub(super) struct QueryTraceRequest {
    #[prost(string, tag = "1")]
    pub(super) trace_id: String,
    #[prost(message, optional, tag = "2")]
    pub(super) start_time: Option<Timestamp>,
    #[prost(message, optional, tag = "3")]
    pub(super) end_time: Option<Timestamp>,
}

/// `TraceQueryParameters` of the query service.
#[derive(Clone, PartialEq, Eq, Message)]
pub(super) struct QueryParameters {
    #[prost(string, tag = "1")]
    pub(super) service_name: String,
    #[prost(string, tag = "2")]
    pub(super) operation_name: String,
    #[prost(btree_map = "string, string", tag = "3")]
    pub(super) attributes: BTreeMap<String, String>,
    #[prost(message, optional, tag = "4")]
    pub(super) start_time_min: Option<Timestamp>,
    #[prost(message, optional, tag = "5")]
    pub(super) start_time_max: Option<Timestamp>,
    #[prost(message, optional, tag = "6")]
    pub(super) duration_min: Option<Duration>,
    #[prost(message, optional, tag = "7")]
    pub(super) duration_max: Option<Duration>,
    #[prost(int32, tag = "8")]
    pub(super) search_depth: i32,
    /// A structured filter, which is refused.
    #[prost(bytes = "vec", optional, tag = "10")]
    pub(super) filter: Option<Vec<u8>>,
}

/// `FindTracesRequest` and `FindTraceSummariesRequest`.
#[derive(Clone, PartialEq, Eq, Message)]
pub(super) struct QueryRequest {
    #[prost(message, optional, tag = "1")]
    pub(super) query: Option<QueryParameters>,
}

// --- jaeger.api_v2, which asks for traces as `jaeger.api_v3` does

/// Of the older query service.
#[derive(Clone, PartialEq, Eq, Message)]
pub(super) struct OlderTraceRequest {
    /// 16 bytes, or 8 of an id of 64 bits.
    #[prost(bytes = "vec", tag = "1")]
    pub(super) trace_id: Vec<u8>,
    #[prost(message, optional, tag = "2")]
    pub(super) start_time: Option<Timestamp>,
    #[prost(message, optional, tag = "3")]
    pub(super) end_time: Option<Timestamp>,
}

/// Of the older query service.
#[derive(Clone, PartialEq, Eq, Message)]
pub(super) struct OlderOperationsResponse {
    #[prost(string, repeated, tag = "1")]
    pub(super) operation_names: Vec<String>,
    #[prost(message, repeated, tag = "2")]
    pub(super) operations: Vec<Operation>,
}

#[cfg(test)]
#[path = "wire_tests.rs"]
mod tests;
