//! The questions of the files asked by `tempopb.StreamingQuerier`, too: a client that knows nothing of the process but
//! `proto/tempopb/tempo.proto`, and the JSON mapping of protobuf.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use prost::Message;
use prost_reflect::{
    DescriptorPool, DynamicMessage, MessageDescriptor, MethodDescriptor, SerializeOptions,
};
use serde_json::{Value, json};
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::metadata::{MetadataKey, MetadataValue};
use tonic::transport::Channel;
use tonic::{Code, Request, Status};

const SERVICE: &str = "tempopb.StreamingQuerier";

/// A client of one process.
pub(crate) struct Client {
    runtime: tokio::runtime::Runtime,
    channel: Channel,
    pool: DescriptorPool,
}

/// What a call ended with: its messages, or why it failed.
pub(crate) type Answered = Result<Vec<DynamicMessage>, Status>;

impl Client {
    pub(crate) fn of(address: &str) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let files = protox::compile(["tempopb/tempo.proto"], ["proto"]).unwrap();
        let pool = DescriptorPool::from_file_descriptor_set(files).unwrap();
        let endpoint = Channel::from_shared(address.to_owned()).unwrap();
        let channel = {
            let _inside = runtime.enter();
            endpoint.connect_lazy()
        };
        Self { runtime, channel, pool }
    }

    fn method(&self, name: &str) -> MethodDescriptor {
        let service = self.pool.get_service_by_name(SERVICE).unwrap();
        service.methods().find(|method| method.name() == name).unwrap()
    }

    /// Calls a method with a request that is written as JSON.
    pub(crate) fn call(
        &self,
        method: &str,
        request: &Value,
        headers: &[(String, String)],
    ) -> Answered {
        let method = self.method(method);
        let request = DynamicMessage::deserialize(method.input(), request).unwrap();
        let mut request = Request::new(request);
        for (name, value) in headers {
            let key = MetadataKey::from_bytes(name.as_bytes()).unwrap();
            request.metadata_mut().insert(key, MetadataValue::try_from(value).unwrap());
        }
        let path = format!("/{SERVICE}/{}", method.name()).parse().unwrap();
        let codec = Dynamic(method.output());
        let channel = self.channel.clone();
        self.runtime.block_on(async {
            let mut grpc = tonic::client::Grpc::new(channel);
            grpc.ready().await.map_err(|error| Status::unknown(error.to_string()))?;
            let mut stream = grpc.server_streaming(request, path, codec).await?.into_inner();
            let mut messages = Vec::new();
            while let Some(message) = stream.message().await? {
                messages.push(message);
            }
            Ok(messages)
        })
    }
}

/// `grpc.health.v1`: a service's name, and a state.
#[derive(Clone, PartialEq, Eq, Message)]
struct Service {
    #[prost(string, tag = "1")]
    name: String,
}

#[derive(Clone, Copy, PartialEq, Eq, Message)]
struct State {
    #[prost(int32, tag = "1")]
    number: i32,
}

/// What load balancers are told: a known service serves, another is not known.
pub(crate) fn check_health(address: &str) {
    let client = Client::of(address);
    let codec = tonic_prost::ProstCodec::<Service, State>::default;
    client.runtime.block_on(async {
        let mut grpc = tonic::client::Grpc::new(client.channel.clone());
        let mut check = async |name: &str| {
            grpc.ready().await.unwrap();
            let path = "/grpc.health.v1.Health/Check".parse().unwrap();
            let asked = grpc.unary(Request::new(Service { name: name.to_owned() }), path, codec());
            asked.await.map(|answer| answer.into_inner().number).map_err(|status| status.code())
        };
        assert_eq!(check("").await, Ok(1));
        assert_eq!(check(SERVICE).await, Ok(1));
        assert_eq!(check("nothing").await, Err(Code::NotFound));
        grpc.ready().await.unwrap();
        let path = "/grpc.health.v1.Health/Watch".parse().unwrap();
        let service = Request::new(Service { name: SERVICE.to_owned() });
        let mut states = grpc.server_streaming(service, path, codec()).await.unwrap().into_inner();
        assert_eq!(states.message().await.unwrap(), Some(State { number: 1 }));
    });
}

/// Messages by their descriptor.
struct Dynamic(MessageDescriptor);

impl Codec for Dynamic {
    type Encode = DynamicMessage;
    type Decode = DynamicMessage;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self(self.0.clone())
    }

    fn decoder(&mut self) -> Self {
        Self(self.0.clone())
    }
}

impl Encoder for Dynamic {
    type Item = DynamicMessage;
    type Error = Status;

    fn encode(&mut self, item: DynamicMessage, to: &mut EncodeBuf<'_>) -> Result<(), Status> {
        item.encode(to).map_err(|error| Status::internal(error.to_string()))
    }
}

impl Decoder for Dynamic {
    type Item = DynamicMessage;
    type Error = Status;

    fn decode(&mut self, from: &mut DecodeBuf<'_>) -> Result<Option<DynamicMessage>, Status> {
        let message = DynamicMessage::decode(self.0.clone(), from);
        message.map(Some).map_err(|error| Status::internal(error.to_string()))
    }
}

/// The call that asks the same as a path with parameters; none if no call can.
pub(crate) fn call_of(
    path: &str,
    params: &BTreeMap<String, String>,
) -> Option<(&'static str, Value)> {
    let (method, tag, names): (_, _, &[(&str, &str)]) = match path {
        "/api/search" => (
            "Search",
            None,
            &[
                ("q", "Query"),
                ("limit", "Limit"),
                ("spss", "SpansPerSpanSet"),
                ("start", "start"),
                ("end", "end"),
            ],
        ),
        "/api/search/tags" => ("SearchTags", None, TAGS),
        "/api/v2/search/tags" => ("SearchTagsV2", None, TAGS),
        "/api/metrics/query_range" => (
            "MetricsQueryRange",
            None,
            &[
                ("q", "query"),
                ("start", "start"),
                ("end", "end"),
                ("step", "step"),
                ("exemplars", "exemplars"),
                ("maxSeries", "maxSeries"),
            ],
        ),
        "/api/metrics/query" => {
            ("MetricsQueryInstant", None, &[("q", "query"), ("start", "start"), ("end", "end")])
        }
        path => {
            let (rest, method) = match path.strip_prefix("/api/v2/search/tag/") {
                Some(rest) => (rest, "SearchTagValuesV2"),
                None => (path.strip_prefix("/api/search/tag/")?, "SearchTagValues"),
            };
            let name = rest.strip_suffix("/values").filter(|name| !name.contains('%'))?;
            (method, Some(name), VALUES)
        }
    };
    let mut request = json!({});
    if let Some(tag) = tag {
        request["tagName"] = json!(tag);
    }
    for (name, value) in params {
        let field = names.iter().find(|(param, _)| param == name).map(|(_, field)| *field)?;
        request[field] = field_of(method, field, value)?;
    }
    Some((method, request))
}

const TAGS: &[(&str, &str)] = &[
    ("q", "query"),
    ("scope", "scope"),
    ("start", "start"),
    ("end", "end"),
    ("limit", "maxTagsPerScope"),
];

const VALUES: &[(&str, &str)] =
    &[("q", "query"), ("start", "start"), ("end", "end"), ("limit", "maxTagValues")];

/// A parameter as the field's value; none if it cannot be said.
fn field_of(method: &str, field: &str, value: &str) -> Option<Value> {
    let of_metrics = method.starts_with("Metrics");
    match field {
        "query" | "Query" | "scope" => Some(json!(value)),
        "start" | "end" if of_metrics => {
            let seconds = value.parse::<u64>().ok().filter(|_| value.len() <= 10)?;
            Some(json!((seconds * 1_000_000_000).to_string()))
        }
        "step" => {
            let seconds = value.strip_suffix('s')?.parse::<u64>().ok()?;
            Some(json!((seconds * 1_000_000_000).to_string()))
        }
        // A zero is not sent.
        _ => value.parse::<u32>().ok().filter(|count| *count > 0).map(|count| json!(count)),
    }
}

/// What the answers to one question over HTTP and by a call do not agree in, a line for each.
pub(crate) fn wrong(status: u16, body: &[u8], answered: &Answered) -> String {
    let text = String::from_utf8_lossy(body);
    let mut wrong = String::new();
    let messages = match answered {
        Ok(messages) => messages,
        Err(refused) => {
            let expected = match status {
                400 => Code::InvalidArgument,
                401 => Code::Unauthenticated,
                _ => Code::Internal,
            };
            if refused.code() != expected || refused.message() != text.trim_end() {
                writeln!(wrong, "  by gRPC {refused:?}, over HTTP {status} {text}").unwrap();
            }
            return wrong;
        }
    };
    if status != 200 {
        writeln!(wrong, "  by gRPC answered, over HTTP {status} {text}").unwrap();
        return wrong;
    }
    // The answers here fit in one message.
    let last = messages.last().expect("at least one message");
    if last.unknown_fields().next().is_some() || last.get_field_by_name("metrics").is_none() {
        writeln!(wrong, "  not as in the .proto: {last:?}").unwrap();
    }
    let options = SerializeOptions::new().stringify_64_bit_integers(true);
    let mut called = last.serialize_with_options(serde_json::value::Serializer, &options).unwrap();
    let mut asked: Value = serde_json::from_slice(body).unwrap();
    for answer in [&mut called, &mut asked] {
        // What it cost differs with what is cached.
        answer.as_object_mut().unwrap().remove("metrics");
        normalize(answer);
    }
    if called != asked {
        writeln!(wrong, "  by gRPC {called}\n  over HTTP {asked}").unwrap();
    }
    wrong
}

/// Numbers as floats, nothing that is empty.
fn normalize(value: &mut Value) {
    match value {
        Value::Number(number) => *value = json!(number.as_f64()),
        Value::Array(values) => values.iter_mut().for_each(normalize),
        Value::Object(fields) => {
            fields.values_mut().for_each(normalize);
            fields.retain(|_, value| *value != json!([]) && *value != json!({}));
        }
        _ => {}
    }
}
