//! The real process: started with a config of its own, asked over HTTP, killed.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use prost::Message;
use reqwest::blocking::Client;
use vivace::trace::{SpanId, TraceId};

use super::ledger::{Found, spans_of};

/// Longest wait for a line of the log, and for an answer: far more than either takes.
const PATIENCE: Duration = Duration::from_mins(1);

/// Starts with other ports, after somebody else was faster to take a free one.
const STARTS_MAX: u32 = 10;

const PROTOBUF: &str = "application/x-protobuf";

pub(crate) struct Server {
    child: Child,
    lines: Receiver<String>,
    log: Vec<String>,
    api: String,
    pub(crate) receiver: String,
    client: Client,
}

/// How a start ended.
enum Started {
    Reached(Server),
    PortTaken,
}

/// Tempo's `SearchResponse`, as far as it is looked at.
#[derive(Clone, PartialEq, Message)]
struct SearchResponse {
    #[prost(message, repeated, tag = "1")]
    traces: Vec<TraceMetadata>,
}

#[derive(Clone, PartialEq, Message)]
struct TraceMetadata {
    #[prost(string, tag = "1")]
    id: String,
    #[prost(message, repeated, tag = "7")]
    span_sets: Vec<SpanSet>,
}

#[derive(Clone, PartialEq, Message)]
struct SpanSet {
    #[prost(message, repeated, tag = "1")]
    spans: Vec<FoundSpan>,
    #[prost(uint32, tag = "2")]
    matched: u32,
}

#[derive(Clone, PartialEq, Message)]
struct FoundSpan {
    #[prost(string, tag = "1")]
    id: String,
}

/// Tempo's `TraceByIDResponse`.
#[derive(Clone, PartialEq, Message)]
struct TraceByIdResponse {
    #[prost(bytes = "vec", tag = "1")]
    trace: Vec<u8>,
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// Where a process listens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Ports {
    api: u16,
    http: u16,
    pub(crate) grpc: u16,
}

impl Ports {
    pub(crate) fn free() -> Self {
        Self { api: free_port(), http: free_port(), grpc: free_port() }
    }
}

fn config(dir: &Path, Ports { api, http, grpc }: Ports, live_bytes_max: u64) -> String {
    let dir = dir.display();
    format!(
        "server: {{http_listen_address: 127.0.0.1, http_listen_port: {api}, \
           grpc_listen_address: 127.0.0.1, grpc_listen_port: 0}}\n\
         distributor: {{receivers: {{otlp: {{protocols: {{http: {{endpoint: '127.0.0.1:{http}'}}, \
           grpc: {{endpoint: '127.0.0.1:{grpc}'}}}}}}}}}}\n\
         ingester: {{trace_idle_period: 100ms, trace_live_period: 400ms, max_block_duration: 300ms, \
           flush_check_period: 50ms, max_block_spans: 1000, max_live_bytes: {live_bytes_max}}}\n\
         compactor: {{compaction: {{compaction_cycle: 1s, compaction_window: 2s, \
           compacted_block_retention: 1m, max_compaction_spans: 5000}}}}\n\
         storage: {{trace: {{backend: local, local: {{path: '{dir}/blocks'}}, \
           wal: {{path: '{dir}/wal', segment_bytes_max: 65536}}}}}}\n"
    )
}

impl Server {
    /// Starts the process and waits until it is ready.
    pub(crate) fn ready(dir: &Path) -> Self {
        let server = Self::until(dir, "msg=ready");
        let ready = server.client.get(format!("{}/ready", server.api)).send().unwrap();
        assert_eq!(ready.status().as_u16(), 200, "after it said that it is ready");
        server
    }

    /// Starts the process and waits until its log has a line with this text.
    pub(crate) fn until(dir: &Path, text: &str) -> Self {
        for _ in 0..STARTS_MAX {
            if let Started::Reached(server) = Self::start(dir, Ports::free(), 0, text) {
                return server;
            }
        }
        panic!("no free ports in {STARTS_MAX} starts");
    }

    /// Starts the process on these ports, with so much room for live spans (0: its own share), and waits until it is ready; `None` if
    /// somebody else has a port.
    pub(crate) fn ready_at(dir: &Path, ports: Ports, live_bytes_max: u64) -> Option<Self> {
        match Self::start(dir, ports, live_bytes_max, "msg=ready") {
            Started::Reached(server) => Some(server),
            Started::PortTaken => None,
        }
    }

    fn start(dir: &Path, ports: Ports, live_bytes_max: u64, text: &str) -> Started {
        let file = dir.join("tempo.yaml");
        std::fs::write(&file, config(dir, ports, live_bytes_max)).unwrap();
        let mut child = Command::new(env!("CARGO_BIN_EXE_vivace"))
            .arg(format!("-config.file={}", file.display()))
            .stdin(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let (sender, lines) = channel();
        let stderr = BufReader::new(child.stderr.take().unwrap());
        std::thread::spawn(move || pass_on(stderr, &sender));
        let mut server = Self {
            child,
            lines,
            log: Vec::new(),
            api: format!("http://127.0.0.1:{}", ports.api),
            receiver: format!("http://127.0.0.1:{}/v1/traces", ports.http),
            client: client(),
        };
        match server.wait_for(text) {
            true => Started::Reached(server),
            false if server.log.iter().any(|line| line.contains("in use")) => Started::PortTaken,
            false => panic!("ended before {text:?}: {:#?}", server.log),
        }
    }

    /// Reads the log until a line has this text; false if the process ends without.
    fn wait_for(&mut self, text: &str) -> bool {
        let start = Instant::now();
        loop {
            match self.lines.recv_timeout(PATIENCE.saturating_sub(start.elapsed())) {
                Ok(line) => {
                    let found = line.contains(text);
                    self.log.push(line);
                    if found {
                        return true;
                    }
                }
                Err(RecvTimeoutError::Disconnected) => return false,
                Err(RecvTimeoutError::Timeout) => panic!("no {text:?} in time: {:#?}", self.log),
            }
        }
    }

    /// Ends the process at once, as a power failure would end it.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    pub(crate) fn terminate(&self) {
        let pid = self.child.id().to_string();
        let done = Command::new("kill").args(["-TERM", &pid]).status().unwrap();
        assert!(done.success(), "the signal is sent");
    }

    /// Waits until the process has ended by itself. Returns its log too.
    pub(crate) fn ended(mut self) -> (ExitStatus, Vec<String>) {
        self.wait_for("no line has this text");
        (self.child.wait().unwrap(), std::mem::take(&mut self.log))
    }

    fn get(&self, path: &str) -> Result<Vec<u8>, String> {
        let request =
            self.client.get(format!("{}{path}", self.api)).header("Accept", "application/protobuf");
        let answer = request.send().map_err(|e| format!("{path}: {e}"))?;
        let status = answer.status().as_u16();
        let body = answer.bytes().map_err(|e| format!("{path}: {e}"))?;
        match status {
            200 => Ok(body.to_vec()),
            _ => Err(format!("{path}: {status} {}", String::from_utf8_lossy(&body))),
        }
    }

    /// All spans of a trace.
    pub(crate) fn find(&self, id: TraceId) -> Result<Vec<SpanId>, String> {
        let body = self.get(&format!("/api/v2/traces/{id}"))?;
        let answer = TraceByIdResponse::decode(&body[..]).map_err(|e| e.to_string())?;
        spans_of(&answer.trace, id)
    }

    /// All spans that a search finds.
    pub(crate) fn search(&self, query: &str) -> Result<Found, String> {
        let now = now_unix_nano() / 1_000_000_000;
        let (start, end) = (now - 6 * 24 * 3600, now + 3600);
        let query = percent_encoded(query);
        let body = self
            .get(&format!("/api/search?q={query}&limit=100000&spss=0&start={start}&end={end}"))?;
        let answer = SearchResponse::decode(&body[..]).map_err(|e| e.to_string())?;
        let mut found = BTreeMap::new();
        for TraceMetadata { id, span_sets } in answer.traces {
            let trace = TraceId::parse(&id).map_err(|e| e.to_string())?;
            let [SpanSet { spans, matched }] = &span_sets[..] else {
                return Err(format!("trace {id}: {} span sets", span_sets.len()));
            };
            if spans.len() != *matched as usize {
                return Err(format!("trace {id}: {matched} matched, {} told", spans.len()));
            }
            let spans = spans.iter().map(|span| span_id(&span.id)).collect();
            if found.insert(trace, spans).is_some() {
                return Err(format!("trace {id}: told twice"));
            }
        }
        Ok(found)
    }
}

/// Never left behind, whatever fails.
impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended already.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

fn pass_on(stderr: impl BufRead, lines: &Sender<String>) {
    for line in stderr.lines() {
        // A killed process may end within a line; nobody listens at the end of a test.
        let Ok(line) = line else { return };
        if lines.send(line).is_err() {
            return;
        }
    }
}

pub(crate) fn client() -> Client {
    Client::builder().timeout(PATIENCE).no_proxy().build().unwrap()
}

/// Pushes a body; the status of the answer, or `None` if there was none.
pub(crate) fn push(client: &Client, url: &str, body: Vec<u8>) -> Option<u16> {
    let answer = client.post(url).header("Content-Type", PROTOBUF).body(body).send().ok()?;
    let status = answer.status().as_u16();
    let body = answer.bytes().ok()?;
    // A span that is refused is told in the body.
    assert!(status != 200 || body.is_empty(), "partial success");
    Some(status)
}

pub(crate) fn now_unix_nano() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    u64::try_from(since.as_nanos()).unwrap()
}

fn span_id(text: &str) -> SpanId {
    SpanId(u64::from_str_radix(text, 16).unwrap().to_be_bytes())
}

fn percent_encoded(text: &str) -> String {
    text.bytes().fold(String::new(), |mut out, byte| {
        write!(out, "%{byte:02X}").unwrap();
        out
    })
}
