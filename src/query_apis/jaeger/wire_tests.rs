//! Our messages are those of the `.proto` files: each field is there under its number, with its type.

use prost_reflect::{DescriptorPool, DynamicMessage, ReflectMessage as _};

use super::super::model;
use super::*;
use crate::trace::Value;

fn pool() -> DescriptorPool {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/proto");
    let files = ["jaeger/storage.proto", "jaeger/query.proto", "jaeger/model.proto"];
    let mut compiler = protox::Compiler::new([folder]).unwrap();
    compiler.include_imports(true).open_files(files).unwrap();
    compiler.descriptor_pool()
}

/// Reads our bytes by the description: every field is set, none is unknown, and what is written back is our message again.
#[track_caller]
fn check<M: Message + Default + PartialEq + std::fmt::Debug>(
    pool: &DescriptorPool,
    name: &str,
    message: &M,
) {
    let described = pool.get_message_by_name(name).unwrap();
    let ours = message.encode_to_vec();
    let read = DynamicMessage::decode(described.clone(), &ours[..]).unwrap();
    check_fields(name, &read);
    assert_eq!(M::decode(&read.encode_to_vec()[..]).unwrap(), *message, "{name}");
}

#[track_caller]
fn check_fields(name: &str, message: &DynamicMessage) {
    use prost_reflect::Value as Field;
    assert_eq!(message.unknown_fields().count(), 0, "{name}: unknown fields");
    for field in message.descriptor().fields() {
        let is_set = message.has_field(&field) || field.containing_oneof().is_some();
        assert!(is_set, "{name}.{} is not in our message", field.name());
        match &*message.get_field(&field) {
            Field::Message(inner) => check_fields(field.full_name(), inner),
            Field::List(items) => {
                let inner = items.iter().filter_map(Field::as_message);
                inner.for_each(|inner| check_fields(field.full_name(), inner));
            }
            _ => {}
        }
    }
}

const TIME: Option<Timestamp> = Some(Timestamp { seconds: 1, nanos: 2 });
const LENGTH: Option<Duration> = Some(Duration { seconds: 3, nanos: 4 });

fn text(text: &str) -> String {
    text.to_owned()
}

/// A message of one text in field 1.
fn filter() -> Vec<u8> {
    b"\x0a\x02eq".to_vec()
}

fn summaries(trace_id: &str) -> FindTraceSummariesResponse {
    let summary = TraceSummary {
        trace_id: trace_id.as_bytes().to_vec(),
        root_service_name: text("shop"),
        root_operation_name: text("GET"),
        min_start_time_unix_nano: 1,
        max_end_time_unix_nano: 2,
        span_count: 3,
        error_span_count: 4,
        orphan_span_count: 5,
        services: vec![ServiceSummary { name: text("a"), span_count: 1, error_span_count: 2 }],
    };
    FindTraceSummariesResponse { summaries: vec![summary] }
}

#[test]
fn messages_of_storage_are_described() {
    let pool = pool();
    let storage = |name: &str| format!("jaeger.storage.v2.{name}");
    let params = GetTraceParams { trace_id: vec![1; 16], start_time: TIME, end_time: TIME };
    let asked = GetTracesRequest { query: vec![params] };
    check(&pool, &storage("GetTracesRequest"), &asked);
    check(&pool, &storage("GetServicesRequest"), &GetServicesRequest {});
    let services = GetServicesResponse { services: vec![text("a"), text("b")] };
    check(&pool, &storage("GetServicesResponse"), &services);
    let asked = GetOperationsRequest { service: text("a"), span_kind: text("server") };
    check(&pool, &storage("GetOperationsRequest"), &asked);
    let operation = Operation { name: text("GET"), span_kind: text("server") };
    let told = GetOperationsResponse { operations: vec![operation] };
    check(&pool, &storage("GetOperationsResponse"), &told);
    let value = Value::Double(1.5).encoded();
    let query = TraceQueryParameters {
        service_name: text("a"),
        operation_name: text("b"),
        attributes: vec![KeyValue { key: text("k"), value }],
        start_time_min: TIME,
        start_time_max: TIME,
        duration_min: LENGTH,
        duration_max: LENGTH,
        search_depth: 7,
        filter: Some(filter()),
    };
    check(&pool, &storage("FindRequest"), &FindRequest { query: Some(query) });
    let found = FoundTraceId { trace_id: vec![1; 16], start: TIME, end: TIME };
    let told = FindTraceIdsResponse { trace_ids: vec![found] };
    check(&pool, &storage("FindTraceIdsResponse"), &told);
    check(&pool, &storage("FindTraceSummariesResponse"), &summaries("0123456789abcdef"));
    let asked = GetDependenciesRequest { start_time: TIME, end_time: TIME };
    check(&pool, &storage("GetDependenciesRequest"), &asked);
    let edge = Dependency { parent: text("a"), child: text("b"), call_count: 3 };
    let told = GetDependenciesResponse { dependencies: vec![edge] };
    check(&pool, &storage("GetDependenciesResponse"), &told);
    check(&pool, &storage("GetCapabilitiesRequest"), &GetCapabilitiesRequest {});
    let search = SearchCapabilities { without_service_name: true, same_span_conjunction: true };
    let told = GetCapabilitiesResponse { search: Some(search) };
    check(&pool, &storage("GetCapabilitiesResponse"), &told);
}

#[test]
fn messages_of_the_query_service_are_described() {
    let pool = pool();
    let asked = QueryTraceRequest { trace_id: text("a1"), start_time: TIME, end_time: TIME };
    check(&pool, "jaeger.api_v3.GetTraceRequest", &asked);
    let query = QueryParameters {
        service_name: text("a"),
        operation_name: text("b"),
        attributes: BTreeMap::from([(text("k"), text("v"))]),
        start_time_min: TIME,
        start_time_max: TIME,
        duration_min: LENGTH,
        duration_max: LENGTH,
        search_depth: 7,
        filter: Some(filter()),
    };
    check(&pool, "jaeger.api_v3.FindRequest", &QueryRequest { query: Some(query) });
    check(&pool, "jaeger.api_v3.FindTraceSummariesResponse", &summaries("a1"));
}

#[test]
fn messages_of_the_older_query_service_are_described() {
    let pool = pool();
    let asked = OlderTraceRequest { trace_id: vec![1; 16], start_time: TIME, end_time: TIME };
    check(&pool, "jaeger.api_v2.GetTraceRequest", &asked);
    let operation = Operation { name: text("GET"), span_kind: text("server") };
    let told =
        OlderOperationsResponse { operation_names: vec![text("GET")], operations: vec![operation] };
    check(&pool, "jaeger.api_v2.GetOperationsResponse", &told);
    let tag = model::KeyValue {
        key: text("k"),
        v_type: 1,
        v_str: text("v"),
        v_bool: true,
        v_int64: -2,
        v_float64: 0.5,
        v_binary: vec![1],
    };
    let tags = vec![tag];
    let reference = model::SpanRef { trace_id: vec![1; 16], span_id: vec![2; 8], ref_type: 1 };
    let process = model::Process { service_name: text("shop"), tags: tags.clone() };
    let span = model::Span {
        trace_id: vec![1; 16],
        id: vec![2; 8],
        operation_name: text("GET"),
        references: vec![reference],
        start_time: TIME,
        duration: LENGTH,
        tags: tags.clone(),
        logs: vec![model::Log { timestamp: TIME, fields: tags }],
        process: Some(process),
    };
    let told = model::SpansResponseChunk { spans: vec![span] };
    check(&pool, "jaeger.api_v2.SpansResponseChunk", &told);
}

#[test]
fn times_are_told_in_nanoseconds() {
    let nanos = 1_790_000_000_000_000_001;
    assert_eq!(Timestamp::of(nanos).unix_nano(), nanos);
    assert_eq!(Timestamp { seconds: -1, nanos: 5 }.unix_nano(), 5);
    assert_eq!(Duration { seconds: 1, nanos: 5 }.positive(), Some(time::Duration::new(1, 5)));
    assert_eq!(Duration { seconds: 0, nanos: 0 }.positive(), None);
    assert_eq!(Duration { seconds: -1, nanos: 0 }.positive(), None);
}
