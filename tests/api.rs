//! What the real process answers over HTTP: requests and answers in `api/*.yaml`, a server for each file.
//!
//! Steps run in order. Where a file says `again_from_blocks`, all is flushed at the end and every question is asked once more: the
//! answers are the same.

#![expect(clippy::unwrap_used, reason = "the helpers here are the tests: each runs a file")]

#[path = "api/bodies.rs"]
mod bodies;

#[path = "api/grpc.rs"]
mod grpc;

#[path = "api/jaeger_grpc.rs"]
mod jaeger_grpc;
#[path = "api/mcp.rs"]
mod mcp;

#[path = "api/other_shapes.rs"]
mod other_shapes;

#[path = "api/server.rs"]
mod server;

#[path = "api/shapes.rs"]
mod shapes;

#[path = "api/tenancy.rs"]
mod tenancy;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::Write as _;

use flate2::Compression;
use flate2::write::GzEncoder;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceResponse;
use opentelemetry_proto::tonic::trace::v1::TracesData;
use prost::Message;
use reqwest::blocking::Response;
use serde::Deserialize;
use serde_json::Value;

use server::{Headers, Server};
use shapes::Shape;

const PROTOBUF: &str = "application/x-protobuf";
const JSON: &str = "application/json";

/// A file of `api/`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    multitenancy: bool,
    #[serde(default)]
    again_from_blocks: bool,
    /// Begins with the steps of `shop.yaml`.
    #[serde(default)]
    shop: bool,
    /// Those of each `get` that names none itself.
    #[serde(default)]
    headers: BTreeMap<String, String>,
    steps: Vec<Step>,
}

/// A request, which is one of `get`, `post` and `send`, and what is expected of the answer.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Step {
    /// A path of the API that is asked.
    get: Option<String>,
    #[serde(default)]
    params: BTreeMap<String, String>,
    /// OTLP, written as JSON, that is sent in the forms that `as` names: `protobuf`, `gzip`, `zstd`.
    post: Option<Value>,
    #[serde(default)]
    r#as: Vec<String>,
    /// A body of `bodies::made` that is sent, as protobuf if `headers` does not say otherwise.
    send: Option<String>,
    #[serde(default)]
    headers: BTreeMap<String, String>,
    #[serde(default = "ok")]
    status: u16,
    /// The beginning of `Content-Type`.
    #[serde(rename = "type")]
    content_type: Option<String>,
    /// The whole body.
    text: Option<String>,
    #[serde(default)]
    contains: Vec<String>,
    /// What it must look like, whatever it says.
    shape: Option<Shape>,
    /// Values by JSON pointer; null: nothing is there.
    #[serde(default)]
    json: BTreeMap<String, Value>,
    /// Number of spans in a protobuf answer of `TracesData`.
    spans: Option<usize>,
    /// As `spans`, in the envelope of the second API.
    enveloped_spans: Option<usize>,
    /// Parts of what a protobuf answer says of rejected spans, their number first; none: no span was.
    rejected: Option<Vec<String>>,
    bytes_min: Option<usize>,
}

fn ok() -> u16 {
    200
}

/// An answer, read to its end.
struct Answer {
    status: u16,
    content_type: String,
    body: Vec<u8>,
}

impl From<Response> for Answer {
    fn from(response: Response) -> Self {
        let content_type = response.headers().get("content-type");
        Self {
            status: response.status().as_u16(),
            content_type: content_type.map_or("", |kind| kind.to_str().unwrap()).to_owned(),
            body: response.bytes().unwrap().to_vec(),
        }
    }
}

/// Tempo's `TraceByIDResponse`.
#[derive(Clone, PartialEq, Message)]
struct Enveloped {
    #[prost(bytes = "vec", tag = "1")]
    trace: Vec<u8>,
}

/// Runs a file; how many of its questions were asked by gRPC, too.
fn run(text: &str) -> usize {
    let File { multitenancy, again_from_blocks, shop, headers, mut steps } = read(text);
    if shop {
        steps.splice(0..0, read(include_str!("api/shop.yaml")).steps);
    }
    for step in steps.iter_mut().filter(|step| step.get.is_some() && step.headers.is_empty()) {
        step.headers.clone_from(&headers);
    }
    let server = Server::start(multitenancy);
    let mut wrong = String::new();
    for step in &steps {
        wrong.push_str(&check(step, &asked(&server, step), ""));
    }
    let called = by_grpc(&server, &steps, &mut wrong);
    if again_from_blocks {
        assert_eq!(server.get("/flush", &Headers::new()).status(), 204);
        for step in steps.iter().filter(|step| step.get.is_some()) {
            wrong.push_str(&check(step, &asked(&server, step), " (from blocks)"));
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
    called
}

/// Asks again what a call can ask, and compares.
fn by_grpc(server: &Server, steps: &[Step], wrong: &mut String) -> usize {
    let client = grpc::Client::of(server.api());
    let mut called = 0;
    for step in steps {
        let path = step.get.as_deref().unwrap_or_default();
        let Some((method, request)) = grpc::call_of(path, &step.params) else { continue };
        let is_tenant = |name: &str| name.eq_ignore_ascii_case("x-scope-orgid");
        let tenant: Headers =
            step.headers.iter().filter(|(name, _)| is_tenant(name)).map(lower_case).collect();
        let path = path.to_owned() + &query_string(&step.params);
        let Answer { status, content_type: _, body } = server.get(&path, &tenant).into();
        let answered = client.call(method, &request, &tenant);
        let differs = grpc::wrong(status, &body, &answered);
        if !differs.is_empty() {
            write!(wrong, "{method} {request}\n{differs}").unwrap();
        }
        called += 1;
    }
    called
}

fn lower_case((name, value): (&String, &String)) -> (String, String) {
    (name.to_ascii_lowercase(), value.clone())
}

fn read(text: &str) -> File {
    // A file may well consist of aliases: nobody attacks us here.
    let options = serde_saphyr::options! { budget: None };
    serde_saphyr::from_str_with_options(text, options).unwrap()
}

fn asked(server: &Server, step: &Step) -> Answer {
    let mut headers: Headers =
        step.headers.iter().map(|(name, value)| (name.clone(), value.clone())).collect();
    if let Some(path) = &step.get {
        return server.get(&(path.clone() + &query_string(&step.params)), &headers).into();
    }
    let (body, kind, encoding) = match (&step.post, &step.send) {
        (Some(json), None) => in_form(json, &step.r#as),
        (None, Some(name)) => (bodies::made(name), PROTOBUF, None),
        _ => panic!("a step is one of get, post and send"),
    };
    if !step.headers.contains_key("content-type") {
        headers.push(("content-type".to_owned(), kind.to_owned()));
    }
    headers.extend(encoding.map(|name| ("content-encoding".to_owned(), name.to_owned())));
    server.post(body, &headers).into()
}

/// The body of a request, its type and its encoding.
fn in_form(json: &Value, forms: &[String]) -> (Vec<u8>, &'static str, Option<&'static str>) {
    let (mut body, mut kind, mut encoding) = (json.to_string().into_bytes(), JSON, None);
    for form in forms {
        match form.as_str() {
            "protobuf" => {
                kind = PROTOBUF;
                body = vivace::otlp::transcode(&body).unwrap();
            }
            "gzip" => {
                encoding = Some("gzip");
                let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
                encoder.write_all(&body).unwrap();
                body = encoder.finish().unwrap();
            }
            "zstd" => {
                encoding = Some("zstd");
                body = zstd::encode_all(&body[..], 1).unwrap();
            }
            other => panic!("no form is called {other:?}"),
        }
    }
    (body, kind, encoding)
}

/// `?a=b&c=d`, with everything encoded that need be; empty without parameters.
fn query_string(params: &BTreeMap<String, String>) -> String {
    let mut text = String::new();
    for (name, value) in params {
        text.push(if text.is_empty() { '?' } else { '&' });
        write!(text, "{name}=").unwrap();
        for byte in value.bytes() {
            match byte {
                b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'.' | b'-' | b'_' => {
                    text.push(char::from(byte));
                }
                _ => write!(text, "%{byte:02X}").unwrap(),
            }
        }
    }
    text
}

/// What is wrong with an answer, a line for each; nothing if it is right.
fn check(step: &Step, answer: &Answer, title: &str) -> String {
    let Answer { status, content_type, body } = answer;
    let text = String::from_utf8_lossy(body);
    let mut wrong = String::new();
    let mut expect = |holds: bool, what: String| {
        if !holds {
            writeln!(wrong, "  {what}").unwrap();
        }
    };
    expect(*status == step.status, format!("status {status}, not {}", step.status));
    if let Some(kind) = &step.content_type {
        expect(content_type.starts_with(kind), format!("type {content_type:?}, not {kind:?}"));
    }
    if let Some(whole) = &step.text {
        expect(text == whole.as_str(), format!("is not {whole:?}"));
    }
    for part in &step.contains {
        expect(text.contains(part), format!("without {part:?}"));
    }
    if let Some(shape) = step.shape {
        for what in shapes::wrong(shape, body) {
            expect(false, what);
        }
    }
    if !step.json.is_empty() {
        let json: Value = serde_json::from_slice(body).unwrap_or_default();
        for (pointer, expected) in &step.json {
            let found = json.pointer(pointer).unwrap_or(&Value::Null);
            expect(found == expected, format!("{pointer}: {found}, not {expected}"));
        }
    }
    if let Some(count) = step.spans {
        let found = span_count(body);
        expect(found == count, format!("{found} spans, not {count}"));
    }
    if let Some(count) = step.enveloped_spans {
        let found = span_count(&Enveloped::decode(&body[..]).unwrap().trace);
        expect(found == count, format!("{found} spans, not {count}"));
    }
    if let Some(parts) = &step.rejected {
        let told = rejections(body);
        let is_told = |part: &String| told.contains(part);
        let holds = parts.iter().all(is_told) && parts.is_empty() == told.is_empty();
        expect(holds, format!("rejected {told:?}, not {parts:?}"));
    }
    if let Some(bytes) = step.bytes_min {
        expect(body.len() >= bytes, format!("{} bytes, not {bytes}", body.len()));
    }
    if wrong.is_empty() {
        return wrong;
    }
    let shown: String = text.chars().take(2000).collect();
    format!("{}{title}\n{wrong}  in: {shown}\n", described(step))
}

fn described(step: &Step) -> String {
    match (&step.get, &step.post, &step.send) {
        (Some(path), ..) => format!("GET {path} {:?}", step.params),
        (_, Some(json), _) => format!("POST {:?} {:.100}", step.r#as, json.to_string()),
        (_, _, name) => format!("POST {name:?}"),
    }
}

/// How many spans were rejected, and why; empty if none was.
fn rejections(response: &[u8]) -> String {
    let partial = ExportTraceServiceResponse::decode(response).unwrap().partial_success;
    partial.map_or_else(String::new, |partial| {
        format!("{} {}", partial.rejected_spans, partial.error_message)
    })
}

fn span_count(traces_data: &[u8]) -> usize {
    let groups = TracesData::decode(traces_data).unwrap().resource_spans;
    groups.iter().flat_map(|group| &group.scope_spans).map(|scope| scope.spans.len()).sum()
}

#[test]
fn the_process_says_how_it_is() {
    run(include_str!("api/status.yaml"));
}

#[test]
fn searches_are_answered_in_the_shape_that_clients_know() {
    assert!(run(include_str!("api/search.yaml")) >= 8);
}

#[test]
fn a_query_explained_is_a_text_for_people() {
    run(include_str!("api/explain.yaml"));
}

#[test]
fn traces_drilldown_gets_what_it_asks_for() {
    assert!(run(include_str!("api/drilldown.yaml")) >= 20);
}

#[test]
fn grafana_gets_what_both_generations_of_its_data_source_ask_for() {
    assert!(run(include_str!("api/grafana.yaml")) >= 20);
}

#[test]
fn perses_gets_what_it_asks_for() {
    assert!(run(include_str!("api/perses.yaml")) >= 2);
}

#[test]
fn jaeger_ui_gets_what_it_asks_for() {
    run(include_str!("api/jaeger_ui.yaml"));
}

#[test]
fn a_trace_in_two_places_is_one_to_jaeger() {
    run(include_str!("api/jaeger_split.yaml"));
}

#[test]
fn grafanas_jaeger_data_source_gets_what_it_asks_for() {
    run(include_str!("api/jaeger_grafana.yaml"));
}

#[test]
fn kiali_gets_what_it_asks_for() {
    assert!(run(include_str!("api/kiali.yaml")) >= 1);
}

#[test]
fn zipkin_lens_and_grafana_get_what_they_ask_for() {
    run(include_str!("api/zipkin.yaml"));
}

#[test]
fn bad_questions_are_refused_with_the_reason() {
    assert!(run(include_str!("api/refused.yaml")) >= 10);
}

#[test]
fn tags_and_their_values_are_listed() {
    assert!(run(include_str!("api/tags.yaml")) >= 10);
}

#[test]
fn nothing_of_another_tenant_is_found_by_any_endpoint() {
    let server = Server::start(true);
    let mut steps = read(include_str!("api/shop.yaml")).steps;
    let tenant = |name: &str| BTreeMap::from([("x-scope-orgid".to_owned(), name.to_owned())]);
    for step in &mut steps {
        step.headers.extend(tenant("alpha"));
        assert_eq!(asked(&server, step).status, 200);
    }
    let own = serde_json::json!({"resourceSpans": [{
        "resource": {"attributes": [{"key": "service.name", "value": {"stringValue": "beta-service"}}]},
        "scopeSpans": [{"spans": [{
            "traceId": "beefbeefbeefbeefbeefbeefbeefbeef", "spanId": "beefbeefbeefbeef", "name": "own thing",
            "startTimeUnixNano": "1790000000000000000", "endTimeUnixNano": "1790000001000000000"}]}]}]});
    let headers = [("x-scope-orgid", "beta"), ("content-type", JSON)];
    let headers = headers.map(|(name, value)| (name.to_owned(), value.to_owned()));
    assert_eq!(server.post(own.to_string().into_bytes(), &headers.to_vec()).status(), 200);
    tenancy::check(&server);
}

#[test]
fn load_balancers_are_told_how_it_is() {
    grpc::check_health(Server::start(false).api());
}

#[test]
fn language_models_get_answers() {
    let server = Server::start(false);
    for step in &read(include_str!("api/shop.yaml")).steps {
        asked(&server, step);
    }
    mcp::check(&server);
}

#[test]
fn traces_are_found_by_id() {
    run(include_str!("api/traces.yaml"));
}

#[test]
fn tenants_do_not_see_one_another() {
    assert!(run(include_str!("api/tenants.yaml")) >= 5);
}

#[test]
fn bad_bodies_are_refused_and_bad_spans_singly() {
    run(include_str!("api/bad_input.yaml"));
}

#[test]
fn odd_spans_are_accepted_and_found() {
    run(include_str!("api/odd_input.yaml"));
}

#[test]
fn an_attribute_of_a_megabyte_is_accepted_and_found() {
    run(include_str!("api/large_value.yaml"));
}

#[test]
fn a_trace_of_a_hundred_thousand_spans_is_searched_and_found() {
    const COUNT: u64 = 100_000;
    const WIDTH: u64 = 3;
    let server = Server::start(false);
    let headers = |name: &str, value: &str| vec![(name.to_owned(), value.to_owned())];
    for body in bodies::huge_trace(COUNT, 10_000, WIDTH) {
        assert_eq!(server.post(body, &headers("content-type", PROTOBUF)).status(), 200);
    }
    let params = [
        ("q", r#"{ name = "level 0" } >> { name = "level 7" }"#),
        ("spss", "2"),
        ("start", "1789999000"),
        ("end", "1790001000"),
    ];
    let params = params.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let search = "/api/search".to_owned() + &query_string(&params.into());
    // The numbers that end in 7, of which some ancestor's ends in 0.
    let is_below = |number: &u64| {
        let parent = |number: &u64| number.checked_sub(1).map(|below| below / WIDTH);
        std::iter::successors(parent(number), parent).any(|ancestor| ancestor % 10 == 0)
    };
    let matched = (0..COUNT).filter(|number| number % 10 == 7).filter(is_below).count();
    for title in ["live", "from blocks"] {
        let answer = Answer::from(server.get(&search, &Headers::new()));
        let found: Value = serde_json::from_slice(&answer.body).unwrap();
        let set = &found["traces"][0]["spanSet"];
        assert_eq!(set["matched"], matched, "{title}");
        assert_eq!(set["spans"].as_array().unwrap().len(), 2, "{title}");
        let accept = headers("accept", "application/protobuf");
        let whole = Answer::from(server.get("/api/traces/beef", &accept));
        assert_eq!(span_count(&whole.body), usize::try_from(COUNT).unwrap(), "{title}");
        assert_eq!(server.get("/flush", &Headers::new()).status(), 204);
    }
}
