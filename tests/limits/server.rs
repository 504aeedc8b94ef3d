//! The real process with limits of its tenants, on free ports of loopback.

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use prost::Message;
use reqwest::blocking::{Client, Response};

/// Longest wait for what takes a moment.
const PATIENCE: Duration = Duration::from_mins(1);

/// Starts with other ports, after somebody else was faster to take a free one.
const STARTS_MAX: u32 = 10;

/// A running process, killed when dropped.
pub(crate) struct Server {
    child: Child,
    api: String,
    pub(crate) receiver: String,
    client: Client,
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended already.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

fn config(dir: &Path, api: u16, receiver: u16) -> String {
    let dir = dir.display();
    format!(
        "multitenancy_enabled: true\n\
         server: {{http_listen_address: 127.0.0.1, http_listen_port: {api}, \
           grpc_listen_address: 127.0.0.1, grpc_listen_port: 0}}\n\
         distributor: {{receivers: {{otlp: {{protocols: {{http: {{endpoint: '127.0.0.1:{receiver}'}}}}}}}}}}\n\
         ingester: {{trace_idle_period: 10m, trace_live_period: 10m}}\n\
         overrides:\n  \
           defaults: {{read: {{max_search_duration: 1h}}}}\n  \
           per_tenant_override_config: '{dir}/tenants.yaml'\n  \
           per_tenant_override_period: 20ms\n\
         storage: {{trace: {{local: {{path: '{dir}/blocks'}}, wal: {{path: '{dir}/wal'}}}}}}\n"
    )
}

/// Puts this text in the place of the per-tenant file, in one step.
pub(crate) fn set_tenants(dir: &Path, text: &str) {
    fs::write(dir.join("new.yaml"), text).unwrap();
    fs::rename(dir.join("new.yaml"), dir.join("tenants.yaml")).unwrap();
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

impl Server {
    /// Starts the process in this folder, which has `tenants.yaml`, and waits until it is ready.
    pub(crate) fn start(dir: &Path) -> Self {
        let started = (0..STARTS_MAX).find_map(|_| Self::try_start(dir).ok());
        started.expect("free ports in some of the starts")
    }

    /// The log, if it ends before it is ready.
    pub(crate) fn try_start(dir: &Path) -> Result<Self, String> {
        let (api, receiver) = (free_port(), free_port());
        let file = dir.join("tempo.yaml");
        fs::write(&file, config(dir, api, receiver)).unwrap();
        let child = Command::new(env!("CARGO_BIN_EXE_vivace"))
            .arg(format!("-config.file={}", file.display()))
            .stdin(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut server = Self {
            child,
            api: format!("http://127.0.0.1:{api}"),
            receiver: format!("http://127.0.0.1:{receiver}"),
            client: Client::builder().timeout(PATIENCE).no_proxy().build().unwrap(),
        };
        let mut lines = BufReader::new(server.child.stderr.take().unwrap()).lines();
        let mut log = String::new();
        while let Some(Ok(line)) = lines.next() {
            log += &line;
            if line.contains("msg=ready") {
                // What it still says is read, so that it can say it.
                std::thread::spawn(move || lines.for_each(drop));
                return Ok(server);
            }
        }
        Err(log)
    }

    pub(crate) fn push(&self, tenant: &str, body: &ExportTraceServiceRequest) -> Answer {
        let request = self.client.post(format!("{}/v1/traces", self.receiver));
        let request = request.header("content-type", "application/x-protobuf");
        Answer::of(request.header("x-scope-orgid", tenant).body(body.encode_to_vec()).send())
    }

    pub(crate) fn get(&self, tenant: &str, path: &str) -> Answer {
        let request = self.client.get(format!("{}{path}", self.api));
        Answer::of(request.header("x-scope-orgid", tenant).send())
    }

    /// Asks again and again until the answer is wanted.
    pub(crate) fn until(
        &self,
        what: &str,
        ask: impl Fn(&Self) -> Answer,
        is_wanted: impl Fn(&Answer) -> bool,
    ) -> Answer {
        let start = Instant::now();
        loop {
            let answer = ask(self);
            if is_wanted(&answer) {
                return answer;
            }
            assert!(start.elapsed() < PATIENCE, "no {what} in time: {answer:?}");
        }
    }
}

/// An answer, read whole.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// Seconds.
    pub(crate) retry_after: Option<u64>,
    /// Bytes that are no text are replaced.
    pub(crate) text: String,
}

impl Answer {
    fn of(response: reqwest::Result<Response>) -> Self {
        let response = response.unwrap();
        let retry_after = response.headers().get("retry-after");
        Self {
            status: response.status().as_u16(),
            retry_after: retry_after.map(|value| value.to_str().unwrap().parse().unwrap()),
            text: String::from_utf8_lossy(&response.bytes().unwrap()).into_owned(),
        }
    }

    pub(crate) fn assert(&self, status: u16, retry_after: Option<u64>, says: &[&str]) {
        assert_eq!((self.status, self.retry_after), (status, retry_after), "{}", self.text);
        for part in says {
            assert!(self.text.contains(part), "{part} in {}", self.text);
        }
    }
}
