//! Jaeger's gRPC services on the API's port, asked with the messages that `proto/` describes.

use std::path::Path;

use bytes::{Buf, BufMut};
use http::uri::PathAndQuery;
use opentelemetry_proto::tonic::trace::v1::TracesData;
use prost::Message;
use prost_reflect::{DescriptorPool, DynamicMessage, MapKey, Value};
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::transport::Channel;
use tonic::{Code, Request, Status};

use crate::server::{Headers, Server};
use crate::{PROTOBUF, asked, bodies, check, read};

/// Messages as bytes.
#[derive(Clone, Copy, Default)]
struct Raw;

impl Codec for Raw {
    type Encode = Vec<u8>;
    type Decode = Vec<u8>;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for Raw {
    type Item = Vec<u8>;
    type Error = Status;

    fn encode(&mut self, item: Vec<u8>, out: &mut EncodeBuf<'_>) -> Result<(), Status> {
        out.put_slice(&item);
        Ok(())
    }
}

impl Decoder for Raw {
    type Item = Vec<u8>;
    type Error = Status;

    fn decode(&mut self, from: &mut DecodeBuf<'_>) -> Result<Option<Vec<u8>>, Status> {
        Ok(Some(from.copy_to_bytes(from.remaining()).to_vec()))
    }
}

/// A client of one server.
struct Client {
    runtime: tokio::runtime::Runtime,
    channel: Channel,
    pool: DescriptorPool,
}

/// Fields by name.
type Fields<'a> = &'a [(&'a str, Value)];

impl Client {
    fn of(url: &str) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let endpoint = Channel::from_shared(url.to_owned()).unwrap();
        let channel = runtime.block_on(endpoint.connect()).unwrap();
        let mut compiler = protox::Compiler::new([Path::new("proto")]).unwrap();
        compiler.include_imports(true).open_files(["jaeger/model.proto"]).unwrap();
        Self { runtime, channel, pool: compiler.descriptor_pool() }
    }

    fn message(&self, name: &str, fields: Fields<'_>) -> DynamicMessage {
        let mut message = DynamicMessage::new(self.pool.get_message_by_name(name).unwrap());
        for (name, value) in fields {
            message.set_field_by_name(name, value.clone());
        }
        message
    }

    /// All answers of a method, as bytes.
    fn stream(
        &self,
        method: &str,
        asked: &DynamicMessage,
        tenant: Option<&str>,
    ) -> Result<Vec<Vec<u8>>, Code> {
        let mut request = Request::new(asked.encode_to_vec());
        if let Some(tenant) = tenant {
            request.metadata_mut().insert("x-scope-orgid", tenant.parse().unwrap());
        }
        let path = PathAndQuery::try_from(method).unwrap();
        self.runtime.block_on(async {
            let mut client = tonic::client::Grpc::new(self.channel.clone());
            client.ready().await.unwrap();
            let answer = client.server_streaming(request, path, Raw).await;
            let mut answers = answer.map_err(|status| status.code())?.into_inner();
            let mut all = Vec::new();
            while let Some(answer) = answers.message().await.map_err(|status| status.code())? {
                all.push(answer);
            }
            Ok(all)
        })
    }

    /// The one answer of a method.
    fn call(
        &self,
        method: &str,
        asked: &DynamicMessage,
        answer: &str,
    ) -> Result<DynamicMessage, Code> {
        let answers = self.stream(method, asked, None)?;
        let described = self.pool.get_message_by_name(answer).unwrap();
        let [answer] = &answers[..] else { panic!("{} answers", answers.len()) };
        Ok(DynamicMessage::decode(described, &answer[..]).unwrap())
    }
}

/// The trace and the number of spans in each chunk.
///
/// # Panics
/// If a chunk is empty, or has spans of several traces.
fn chunks_of(answers: &[Vec<u8>]) -> Vec<(String, usize)> {
    let chunk = |bytes: &Vec<u8>| {
        let data = TracesData::decode(&bytes[..]).unwrap();
        let scopes = data.resource_spans.iter().flat_map(|group| &group.scope_spans);
        let mut ids: Vec<String> = scopes
            .flat_map(|scope| &scope.spans)
            .map(|span| const_hex::encode(&span.trace_id))
            .collect();
        let count = ids.len();
        ids.dedup();
        assert_eq!(ids.len(), 1, "a chunk of {count} spans");
        (ids.remove(0), count)
    };
    answers.iter().map(chunk).collect()
}

const STORAGE: &str = "jaeger.storage.v2";
const A: &str = "000000000000000000000000000000a1";
const B: &str = "b0000000000000000000000000000002";
const C: &str = "c0000000000000000000000000000003";

impl Client {
    /// A message of Jaeger's storage.
    fn of_storage(&self, name: &str, fields: Fields<'_>) -> DynamicMessage {
        self.message(&format!("{STORAGE}.{name}"), fields)
    }

    /// Asks for traces.
    fn traces(&self, method: &str, asked: &DynamicMessage) -> Vec<(String, usize)> {
        chunks_of(&self.stream(method, asked, None).unwrap())
    }

    /// Asks the reader of Jaeger's storage, or another of its services.
    fn of_reader(&self, method: &str, asked: &DynamicMessage, answer: &str) -> DynamicMessage {
        let method = format!("/{STORAGE}.{method}");
        self.call(&method, asked, &format!("{STORAGE}.{answer}")).unwrap()
    }

    fn time(&self, seconds: i64) -> Value {
        let fields = [("seconds", Value::I64(seconds))];
        Value::Message(self.message("google.protobuf.Timestamp", &fields))
    }

    /// A search around the shop's traces, for a service and perhaps an attribute.
    fn search(&self, service: &str, attribute: Option<(&str, i64)>) -> DynamicMessage {
        let tag = |(key, value): (&str, i64)| {
            let value = self.of_storage("AnyValue", &[("int_value", Value::I64(value))]);
            let fields = [("key", text(key)), ("value", Value::Message(value))];
            Value::Message(self.of_storage("KeyValue", &fields))
        };
        let query = self.of_storage(
            "TraceQueryParameters",
            &[
                ("service_name", text(service)),
                ("attributes", Value::List(attribute.map(tag).into_iter().collect())),
                ("start_time_min", self.time(1_789_999_000)),
                ("start_time_max", self.time(1_790_001_000)),
                ("search_depth", Value::I32(10)),
            ],
        );
        self.of_storage("FindRequest", &[("query", Value::Message(query))])
    }
}

fn text(text: &str) -> Value {
    Value::String(text.to_owned())
}

fn chunk(id: &str, spans: usize) -> (String, usize) {
    (id.to_owned(), spans)
}

/// Asks twice: of what is live, and of what is stored.
fn over_the_shop(questions: impl Fn(&Client)) {
    let server = Server::start(false);
    for step in read(include_str!("shop.yaml")).steps {
        assert!(check(&step, &asked(&server, &step), "").is_empty());
    }
    let client = Client::of(server.api());
    questions(&client);
    assert_eq!(server.get("/flush", &Headers::new()).status(), 204);
    questions(&client);
}

#[test]
fn jaeger_finds_traces_in_its_storage() {
    over_the_shop(|client| {
        let find = format!("/{STORAGE}.TraceReader/FindTraces");
        let found = |asked: &DynamicMessage| client.traces(&find, asked);
        let any = client.search("", None);
        assert_eq!(found(&any), [chunk(C, 1), chunk(B, 1), chunk(A, 3)]);
        let one = client.search("shop", Some(("http.status", 500)));
        assert_eq!(found(&one), [chunk(A, 3)]);
        assert_eq!(found(&client.search("nobody", None)), []);
        let answer = client.of_reader("TraceReader/FindTraceIDs", &any, "FindTraceIdsResponse");
        let ids = answer.get_field_by_name("trace_ids").unwrap();
        assert_eq!(ids.as_list().unwrap().len(), 3);
        let method = "TraceReader/FindTraceSummaries";
        let answer = client.of_reader(method, &one, "FindTraceSummariesResponse");
        let summaries = answer.get_field_by_name("summaries").unwrap();
        let summary = summaries.as_list().unwrap()[0].as_message().unwrap();
        let count = |name: &str| summary.get_field_by_name(name).unwrap().as_i32().unwrap();
        assert_eq!((count("span_count"), count("error_span_count")), (3, 1));
    });
}

#[test]
fn jaeger_gets_traces_from_its_storage_by_id() {
    over_the_shop(|client| {
        let by_id = |id: &str| {
            let id = Value::Bytes(const_hex::decode(id).unwrap().into());
            Value::Message(client.of_storage("GetTraceParams", &[("trace_id", id)]))
        };
        let ids = Value::List(vec![by_id(B), by_id(&"d".repeat(32)), by_id(A)]);
        let asked = client.of_storage("GetTracesRequest", &[("query", ids)]);
        let method = format!("/{STORAGE}.TraceReader/GetTraces");
        assert_eq!(client.traces(&method, &asked), [chunk(B, 1), chunk(A, 3)]);
        let asked = client.message("jaeger.api_v3.GetTraceRequest", &[("trace_id", text("a1"))]);
        let method = "/jaeger.api_v3.QueryService/GetTrace";
        assert_eq!(client.traces(method, &asked), [chunk(A, 3)]);
        let asked = client.message("jaeger.api_v3.GetTraceRequest", &[("trace_id", text("dead"))]);
        assert_eq!(client.stream(method, &asked, None), Err(Code::NotFound));
    });
}

#[test]
fn jaeger_gets_names_and_dependencies_from_its_storage() {
    over_the_shop(|client| {
        let asked = client.of_storage("GetServicesRequest", &[]);
        let answer = client.of_reader("TraceReader/GetServices", &asked, "GetServicesResponse");
        let services = answer.get_field_by_name("services").unwrap();
        let names: Vec<&str> =
            services.as_list().unwrap().iter().filter_map(Value::as_str).collect();
        assert_eq!(names, ["OTLPResourceNoServiceName", "db", "shop"]);
        let asked = client.of_storage("GetOperationsRequest", &[("service", text("db"))]);
        let method = "TraceReader/GetOperations";
        let answer = client.of_reader(method, &asked, "GetOperationsResponse");
        assert_eq!(answer.encode_to_vec(), b"\x0a\x10\x0a\x06SELECT\x12\x06client");
        let times =
            [("start_time", client.time(1_789_999_000)), ("end_time", client.time(1_790_001_000))];
        let asked = client.of_storage("GetDependenciesRequest", &times);
        let method = "DependencyReader/GetDependencies";
        let answer = client.of_reader(method, &asked, "GetDependenciesResponse");
        assert_eq!(answer.encode_to_vec(), b"\x0a\x0c\x0a\x04shop\x12\x02db\x18\x02");
    });
}

/// As Kiali asks with `use_grpc: true`.
#[test]
fn the_older_query_service_answers_in_jaegers_own_spans() {
    over_the_shop(|client| {
        let tags = [(MapKey::String("http.status".to_owned()), text("500"))];
        let query = client.message(
            "jaeger.api_v3.TraceQueryParameters",
            &[
                ("service_name", text("shop")),
                ("attributes", Value::Map(tags.into())),
                ("start_time_min", client.time(1_789_999_000)),
                ("start_time_max", client.time(1_790_001_000)),
            ],
        );
        let asked =
            client.message("jaeger.api_v3.FindRequest", &[("query", Value::Message(query))]);
        let id = Value::Bytes(vec![0, 0, 0, 0, 0, 0, 0, 0xa1].into());
        let by_id = client.message("jaeger.api_v2.GetTraceRequest", &[("trace_id", id)]);
        for (method, asked) in [("FindTraces", asked), ("GetTrace", by_id)] {
            let method = format!("/jaeger.api_v2.QueryService/{method}");
            let chunk = client.call(&method, &asked, "jaeger.api_v2.SpansResponseChunk").unwrap();
            let spans = chunk.get_field_by_name("spans").unwrap();
            let spans = spans.as_list().unwrap();
            assert_eq!(spans.len(), 3);
            let root = spans[0].as_message().unwrap();
            let name = root.get_field_by_name("operation_name").unwrap();
            assert_eq!(name.as_str(), Some("GET /cart"));
            let process = root.get_field_by_name("process").unwrap();
            let service = process.as_message().unwrap().get_field_by_name("service_name");
            assert_eq!(service.unwrap().as_str(), Some("shop"));
            let child = spans[1].as_message().unwrap();
            let references = child.get_field_by_name("references").unwrap();
            assert_eq!(references.as_list().unwrap().len(), 2);
        }
        let asked = client.of_storage("GetOperationsRequest", &[("service", text("db"))]);
        let method = "/jaeger.api_v2.QueryService/GetOperations";
        let answer = client.call(method, &asked, "jaeger.api_v2.GetOperationsResponse").unwrap();
        let names = answer.get_field_by_name("operation_names").unwrap();
        assert_eq!(names.as_list().unwrap(), [text("SELECT")]);
    });
}

#[test]
fn a_large_trace_comes_in_several_chunks() {
    const COUNT: u64 = 60_000;
    let server = Server::start(false);
    let kind = vec![("content-type".to_owned(), PROTOBUF.to_owned())];
    for body in bodies::huge_trace(COUNT, 10_000, 3) {
        assert_eq!(server.post(body, &kind).status(), 200);
    }
    let client = Client::of(server.api());
    let asked = client.message("jaeger.api_v3.GetTraceRequest", &[("trace_id", text("beef"))]);
    let method = "/jaeger.api_v3.QueryService/GetTrace";
    let answers = client.stream(method, &asked, None).unwrap();
    let chunks = chunks_of(&answers);
    assert!(chunks.len() > 2, "{} chunks", chunks.len());
    assert!(answers.iter().all(|chunk| chunk.len() < 4 << 20));
    assert_eq!(chunks.iter().map(|(_, spans)| *spans as u64).sum::<u64>(), COUNT);
}

#[test]
fn a_call_needs_its_tenant_where_there_are_several() {
    let server = Server::start(true);
    let client = Client::of(server.api());
    let asked = client.of_storage("GetServicesRequest", &[]);
    let method = format!("/{STORAGE}.TraceReader/GetServices");
    assert_eq!(client.stream(&method, &asked, None), Err(Code::Unauthenticated));
    assert_eq!(client.stream(&method, &asked, Some("red")), Ok(vec![Vec::new()]));
    let nowhere = client.stream("/jaeger.storage.v2.TraceReader/Nothing", &asked, Some("red"));
    assert_eq!(nowhere, Err(Code::Unimplemented));
}
