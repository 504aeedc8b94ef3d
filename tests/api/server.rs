//! The real process with a configuration and folders of its own, on free ports of loopback, and its client.

use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use reqwest::blocking::{Client, RequestBuilder, Response};
use tempfile::TempDir;

/// Longest wait for a line of the log, and for an answer: far more than either takes.
const PATIENCE: Duration = Duration::from_mins(1);

/// Starts with other ports, after somebody else was faster to take a free one.
const STARTS_MAX: u32 = 10;

/// Headers of a request.
pub(crate) type Headers = Vec<(String, String)>;

/// A running process, killed when dropped.
pub(crate) struct Server {
    child: Child,
    api: String,
    receiver: String,
    client: Client,
    _folder: TempDir,
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended already.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

impl Server {
    /// Starts the process and waits until it is ready.
    pub(crate) fn start(multitenancy: bool) -> Self {
        let started = (0..STARTS_MAX).find_map(|_| Self::try_start(multitenancy));
        started.expect("free ports in some of the starts")
    }

    /// `None` if a port was taken by somebody else.
    fn try_start(multitenancy: bool) -> Option<Self> {
        let folder = TempDir::new().unwrap();
        let (api, receiver) = (free_port(), free_port());
        let file = folder.path().join("tempo.yaml");
        std::fs::write(&file, config(folder.path(), api, receiver, multitenancy)).unwrap();
        let mut child = Command::new(env!("CARGO_BIN_EXE_vivace"))
            .arg(format!("-config.file={}", file.display()))
            .stdin(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = lines_of(&mut child);
        let server = Self {
            child,
            api: format!("http://127.0.0.1:{api}"),
            receiver: format!("http://127.0.0.1:{receiver}/v1/traces"),
            client: Client::builder().timeout(PATIENCE).build().unwrap(),
            _folder: folder,
        };
        let mut log = Vec::new();
        loop {
            match lines.recv_timeout(PATIENCE) {
                Ok(line) if line.contains("msg=ready") => return Some(server),
                Ok(line) => log.push(line),
                Err(_) if log.iter().any(|line| line.contains("in use")) => return None,
                Err(error) => panic!("not ready, {error}: {log:#?}"),
            }
        }
    }

    /// Where the API is.
    pub(crate) fn api(&self) -> &str {
        &self.api
    }

    /// Asks the API for a path with its query string.
    pub(crate) fn get(&self, path: &str, headers: &Headers) -> Response {
        with(self.client.get(format!("{}{path}", self.api)), headers).send().unwrap()
    }

    /// Sends a body to a path of the API.
    pub(crate) fn post_to(&self, path: &str, body: Vec<u8>, headers: &Headers) -> Response {
        with(self.client.post(format!("{}{path}", self.api)), headers).body(body).send().unwrap()
    }

    /// Sends a body to the OTLP receiver.
    pub(crate) fn post(&self, body: Vec<u8>, headers: &Headers) -> Response {
        with(self.client.post(&self.receiver), headers).body(body).send().unwrap()
    }
}

fn with(request: RequestBuilder, headers: &Headers) -> RequestBuilder {
    headers.iter().fold(request, |request, (name, value)| request.header(name, value))
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// The lines of its log, read to the end, so that it never waits for a reader.
fn lines_of(child: &mut Child) -> Receiver<String> {
    let (sender, lines) = channel();
    let stderr = BufReader::new(child.stderr.take().unwrap());
    std::thread::spawn(move || {
        for line in stderr.lines().map_while(Result::ok) {
            // After it is ready nobody listens.
            sender.send(line).ok();
        }
    });
    lines
}

fn config(folder: &Path, api: u16, receiver: u16, multitenancy: bool) -> String {
    let folder = folder.display();
    format!(
        "multitenancy_enabled: {multitenancy}\n\
         server: {{http_listen_address: 127.0.0.1, http_listen_port: {api}, \
           grpc_listen_address: 127.0.0.1, grpc_listen_port: 0}}\n\
         distributor: {{receivers: {{otlp: {{protocols: {{http: {{endpoint: '127.0.0.1:{receiver}'}}}}}}}}}}\n\
         query_frontend: {{mcp_server: {{enabled: true}}}}\n\
         storage: {{trace: {{backend: local, local: {{path: '{folder}/blocks'}}, \
           wal: {{path: '{folder}/wal'}}}}}}\n"
    )
}
