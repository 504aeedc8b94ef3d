//! Senders that do as the exporters of the OpenTelemetry Collector: a queue, several at work on it, compression, and another try on
//! exactly the answers that its documentation names, after the time that the answer asks for. Whatever becomes of the server,
//! each span arrives, and is found once.

use std::collections::VecDeque;
use std::io::Write as _;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use flate2::Compression;
use flate2::write::GzEncoder;
use http_body_util::{BodyExt, Full};
use prost::Message;
use rand::SeedableRng;
use rand::rngs::StdRng;
use tempfile::TempDir;
use tonic::Code;
use tonic::body::Body;
use tonic::client::GrpcService;
use tonic::transport::{Channel, Endpoint};

use super::ledger::{Batch, Ledger};
use super::server::{Ports, Server, now_unix_nano};

/// Batches of each exporter.
const BATCHES: usize = 300;

/// Senders that work on the queue of an exporter.
const CONSUMERS: usize = 4;

/// The Collector waits 5 s at first, 30 s at most; a hundredth of that here.
const FIRST_WAIT: Duration = Duration::from_millis(50);
const LONGEST_WAIT: Duration = Duration::from_millis(300);

/// What is given up by then is lost.
const TRIES_MAX: u32 = 400;

const EXPORT: &str = "/opentelemetry.proto.collector.trace.v1.TraceService/Export";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Protocol {
    Grpc,
    Http,
}

/// What became of one try.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Tried {
    Done,
    /// Another try, after the time that the server asked for, if it did.
    Again(Option<Duration>),
    /// No other try helps: the exporter drops the batch.
    Dropped(String),
}

/// `google.rpc.Status`, `RetryInfo` and `Duration`, as far as they are read.
#[derive(Clone, PartialEq, Message)]
struct RichStatus {
    #[prost(message, repeated, tag = "3")]
    details: Vec<Any>,
}

#[derive(Clone, PartialEq, Message)]
struct Any {
    #[prost(string, tag = "1")]
    type_url: String,
    #[prost(bytes = "vec", tag = "2")]
    value: Vec<u8>,
}

#[derive(Clone, PartialEq, Message)]
struct RetryInfo {
    #[prost(message, optional, tag = "1")]
    delay: Option<Delay>,
}

#[derive(Clone, PartialEq, Message)]
struct Delay {
    #[prost(int64, tag = "1")]
    seconds: i64,
    #[prost(int32, tag = "2")]
    nanos: i32,
}

/// What the exporters saw.
#[derive(Debug, Default)]
struct Seen {
    /// Tries that were answered with a time to wait.
    hints: AtomicU32,
    /// Tries that failed without one.
    failures: AtomicU32,
}

#[derive(Clone)]
struct Exporter {
    protocol: Protocol,
    queue: Arc<Mutex<VecDeque<Batch>>>,
    ledger: Arc<Mutex<Ledger>>,
    channel: Channel,
    client: reqwest::Client,
    url: String,
    seen: Arc<Seen>,
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// In the compression of a Collector's setting; none if it is "none".
fn compressed(encoding: &str, body: &[u8]) -> Option<Vec<u8>> {
    match encoding {
        "none" => None,
        "gzip" => Some(gzip(body)),
        "zstd" => Some(zstd::encode_all(body, 3).unwrap()),
        // A block, on both protocols.
        "snappy" => Some(snap::raw::Encoder::new().compress_vec(body).unwrap()),
        other => panic!("no encoding {other}"),
    }
}

impl Exporter {
    /// Sends until the queue is empty.
    async fn consume(self, number: usize) {
        let encodings = ["gzip", "zstd", "snappy", "none"];
        let encoding = encodings[number % encodings.len()];
        loop {
            let Some(batch) = self.queue.lock().unwrap().pop_front() else { return };
            self.deliver(encoding, &batch.body).await;
            self.ledger.lock().unwrap().acknowledge(&batch.spans);
        }
    }

    async fn deliver(&self, encoding: &str, body: &[u8]) {
        let mut wait = FIRST_WAIT;
        for _ in 0..TRIES_MAX {
            let tried = match self.protocol {
                Protocol::Grpc => self.by_grpc(encoding, body).await,
                Protocol::Http => self.over_http(encoding, body).await,
            };
            match tried {
                Tried::Done => return,
                Tried::Dropped(why) => panic!("{:?} {encoding}: dropped: {why}", self.protocol),
                Tried::Again(Some(hint)) => {
                    self.seen.hints.fetch_add(1, Ordering::Relaxed);
                    tokio::time::sleep(hint.max(wait)).await;
                }
                Tried::Again(None) => {
                    self.seen.failures.fetch_add(1, Ordering::Relaxed);
                    tokio::time::sleep(wait).await;
                }
            }
            wait = (wait * 3 / 2).min(LONGEST_WAIT);
        }
        panic!("given up after {TRIES_MAX} tries");
    }

    async fn over_http(&self, encoding: &str, body: &[u8]) -> Tried {
        let mut request =
            self.client.post(&self.url).header("content-type", "application/x-protobuf");
        request = match compressed(encoding, body) {
            Some(body) => request.header("content-encoding", encoding).body(body),
            None => request.body(body.to_vec()),
        };
        // No connection, or none any more: the exporter tries again.
        let Ok(answer) = request.send().await else { return Tried::Again(None) };
        let status = answer.status().as_u16();
        let header = |name: &str| answer.headers().get(name)?.to_str().ok().map(str::to_owned);
        let after = header("retry-after").and_then(|text| text.parse().ok());
        let kind = header("content-type");
        let Ok(text) = answer.bytes().await else { return Tried::Again(None) };
        match status {
            200..300 => {
                // A success that cannot be read is an error for good.
                assert_eq!(kind.as_deref(), Some("application/x-protobuf"));
                assert!(text.is_empty(), "partial success");
                Tried::Done
            }
            429 | 503 => Tried::Again(after.map(Duration::from_secs)),
            502 | 504 => Tried::Again(None),
            _ => Tried::Dropped(format!("{status} {}", String::from_utf8_lossy(&text))),
        }
    }

    async fn by_grpc(&self, encoding: &str, body: &[u8]) -> Tried {
        let compressed = compressed(encoding, body);
        let flag = u8::from(compressed.is_some());
        let message = compressed.unwrap_or_else(|| body.to_vec());
        let mut framed = vec![flag];
        framed.extend(u32::try_from(message.len()).unwrap().to_be_bytes());
        framed.extend(message);
        let mut request = http::Request::post(EXPORT)
            .header("content-type", "application/grpc")
            .header("te", "trailers");
        if flag == 1 {
            request = request.header("grpc-encoding", encoding);
        }
        let request = request.body(Body::new(Full::from(framed))).unwrap();
        let mut channel = self.channel.clone();
        let ready = std::future::poll_fn(|context| channel.poll_ready(context)).await;
        if ready.is_err() {
            return Tried::Again(None);
        }
        // A broken connection is UNAVAILABLE, by which the exporter tries again.
        let Ok(answer) = channel.call(request).await else { return Tried::Again(None) };
        let (parts, body) = answer.into_parts();
        let Ok(body) = body.collect().await else { return Tried::Again(None) };
        let trailers = body.trailers().cloned().unwrap_or_default();
        let Some(status) = tonic::Status::from_header_map(&trailers)
            .or_else(|| tonic::Status::from_header_map(&parts.headers))
        else {
            return Tried::Again(None);
        };
        match status.code() {
            Code::Ok => Tried::Done,
            Code::ResourceExhausted => match hint(&status) {
                Some(hint) => Tried::Again(Some(hint)),
                None => Tried::Dropped(format!("{status}, and no RetryInfo")),
            },
            Code::Cancelled
            | Code::DeadlineExceeded
            | Code::Aborted
            | Code::OutOfRange
            | Code::Unavailable
            | Code::DataLoss => Tried::Again(hint(&status)),
            _ => Tried::Dropped(status.to_string()),
        }
    }
}

fn hint(status: &tonic::Status) -> Option<Duration> {
    let details = RichStatus::decode(status.details()).unwrap().details;
    let info = details.iter().find(|any| any.type_url.ends_with("google.rpc.RetryInfo"))?;
    let delay = RetryInfo::decode(&info.value[..]).unwrap().delay?;
    Some(Duration::new(delay.seconds.unsigned_abs(), delay.nanos.unsigned_abs()))
}

/// The queue of an exporter, filled; round 0 is gRPC's, round 1 HTTP's.
fn queue(ledger: &mut Ledger, protocol: Protocol, seed: u64) -> VecDeque<Batch> {
    let mut rng = StdRng::seed_from_u64(seed);
    let round = u32::from(protocol == Protocol::Http);
    (0..BATCHES).map(|_| ledger.batch(&mut rng, round, now_unix_nano())).collect()
}

/// Two exporters with full queues; what they saw, in the order of protocols.
struct Sending {
    runtime: tokio::runtime::Runtime,
    consumers: Vec<tokio::task::JoinHandle<()>>,
    seen: [Arc<Seen>; 2],
    ledger: Arc<Mutex<Ledger>>,
}

impl Sending {
    fn begin(server: &Server, ports: Ports) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
        let ledger = Arc::new(Mutex::new(Ledger::default()));
        let (mut consumers, mut seen) = (Vec::new(), Vec::new());
        for (protocol, seed) in [(Protocol::Grpc, 11), (Protocol::Http, 12)] {
            let batches = queue(&mut ledger.lock().unwrap(), protocol, seed);
            let _inside = runtime.enter();
            let endpoint = Endpoint::from_shared(format!("http://127.0.0.1:{}", ports.grpc));
            let exporter = Exporter {
                protocol,
                queue: Arc::new(Mutex::new(batches)),
                ledger: Arc::clone(&ledger),
                channel: endpoint.unwrap().connect_lazy(),
                client: reqwest::Client::builder().no_proxy().build().unwrap(),
                url: server.receiver.clone(),
                seen: Arc::default(),
            };
            seen.push(Arc::clone(&exporter.seen));
            for number in 0..CONSUMERS {
                consumers.push(runtime.spawn(exporter.clone().consume(number)));
            }
        }
        Self { runtime, consumers, seen: seen.try_into().unwrap(), ledger }
    }

    fn acknowledged(&self) -> u64 {
        self.ledger.lock().unwrap().acknowledged
    }

    fn is_done(&self) -> bool {
        self.consumers.iter().all(tokio::task::JoinHandle::is_finished)
    }

    /// Waits for the last answer, and checks that all spans are found, each once.
    fn end(self, server: &Server) -> [Arc<Seen>; 2] {
        let Self { runtime, consumers, seen, ledger } = self;
        for consumer in consumers {
            runtime.block_on(consumer).unwrap();
        }
        let ledger = ledger.lock().unwrap();
        for round in 0..2 {
            let found = server.search(&format!("{{span.round = {round}}}")).unwrap();
            ledger.check(round..=round, &found).unwrap();
        }
        seen
    }
}

fn started(dir: &TempDir, live_bytes_max: u64) -> (Server, Ports) {
    for _ in 0..10 {
        let ports = Ports::free();
        if let Some(server) = Server::ready_at(dir.path(), ports, live_bytes_max) {
            return (server, ports);
        }
    }
    panic!("no free ports in 10 starts");
}

#[test]
fn exporters_deliver_everything_once_though_the_server_is_killed_and_restarted() {
    let dir = TempDir::new().unwrap();
    let (mut server, ports) = started(&dir, 0);
    let sending = Sending::begin(&server, ports);
    let (mut kills, mut last) = (0, 0);
    while !sending.is_done() {
        std::thread::sleep(Duration::from_millis(5));
        // Some more spans, then the next kill.
        if kills < 4 && sending.acknowledged() > last + 600 {
            server.kill();
            kills += 1;
            std::thread::sleep(Duration::from_millis(100));
            server = Server::ready_at(dir.path(), ports, 0).expect("its ports are its own");
            last = sending.acknowledged();
        }
    }
    assert_eq!(kills, 4, "the server was killed under load");
    for seen in sending.end(&server) {
        assert!(seen.failures.load(Ordering::Relaxed) > 0, "an exporter noticed nothing: {seen:?}");
    }
}

#[test]
fn exporters_deliver_everything_once_to_a_server_without_room() {
    let dir = TempDir::new().unwrap();
    let (server, ports) = started(&dir, 256 << 10);
    let sending = Sending::begin(&server, ports);
    for seen in sending.end(&server) {
        assert!(seen.hints.load(Ordering::Relaxed) > 0, "nothing was refused: {seen:?}");
    }
}
