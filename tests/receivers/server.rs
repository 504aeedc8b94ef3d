//! The real process with every receiver on, on free ports of loopback.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use prost::Message;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use tempfile::TempDir;

use opentelemetry_proto::tonic::trace::v1::TracesData;

/// Longest wait for what takes a moment.
const PATIENCE: Duration = Duration::from_mins(1);

/// Starts with other ports, after somebody else was faster to take a free one.
const STARTS_MAX: u32 = 10;

/// What is listened on.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Port {
    Api,
    JaegerGrpc,
    JaegerHttp,
    JaegerCompact,
    JaegerBinary,
    Zipkin,
    /// HTTPS, of clients with a certificate only.
    ZipkinTls,
}

const PORTS: usize = 7;

/// A running process, killed when dropped.
pub(crate) struct Server {
    child: Child,
    ports: [u16; PORTS],
    _folder: TempDir,
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended already.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// Tempo's `TraceByIDResponse`.
#[derive(Clone, PartialEq, Message)]
struct TraceById {
    #[prost(message, optional, tag = "1")]
    trace: Option<TracesData>,
}

fn config(folder: &Path, ports: [u16; PORTS], is_tls: bool) -> String {
    let [api, grpc, thrift, compact, binary, zipkin, zipkin_tls] = ports;
    let folder = folder.display();
    let tls = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/tls");
    let (zipkin, tls) = if is_tls {
        let files = format!(
            "cert_file: {tls}/server.pem, key_file: {tls}/server.key, client_ca_file: {tls}/ca.pem"
        );
        (zipkin_tls, format!(", tls: {{{files}}}"))
    } else {
        (zipkin, String::new())
    };
    format!(
        "server: {{http_listen_address: 127.0.0.1, http_listen_port: {api}, \
           grpc_listen_address: 127.0.0.1, grpc_listen_port: 0}}\n\
         distributor:\n  receivers:\n    \
           jaeger:\n      protocols:\n        \
             grpc: {{endpoint: '127.0.0.1:{grpc}'}}\n        \
             thrift_http: {{endpoint: '127.0.0.1:{thrift}'}}\n        \
             thrift_compact: {{endpoint: '127.0.0.1:{compact}'}}\n        \
             thrift_binary: {{endpoint: '127.0.0.1:{binary}'}}\n    \
           zipkin: {{endpoint: '127.0.0.1:{zipkin}'{tls}}}\n\
         storage: {{trace: {{backend: local, local: {{path: '{folder}/blocks'}}, \
           wal: {{path: '{folder}/wal'}}}}}}\n"
    )
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

impl Server {
    /// Starts the process and waits until it is ready.
    pub(crate) fn start(is_tls: bool) -> Self {
        let started = (0..STARTS_MAX).find_map(|_| Self::try_start(is_tls));
        started.expect("free ports in some of the starts")
    }

    /// `None` if a port was taken by somebody else.
    fn try_start(is_tls: bool) -> Option<Self> {
        let folder = TempDir::new().unwrap();
        let ports = [(); PORTS].map(|()| free_port());
        let file = folder.path().join("tempo.yaml");
        std::fs::write(&file, config(folder.path(), ports, is_tls)).unwrap();
        let mut child = Command::new(env!("CARGO_BIN_EXE_vivace"))
            .arg(format!("-config.file={}", file.display()))
            .stdin(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let log = BufReader::new(child.stderr.take().unwrap());
        let server = Self { child, ports, _folder: folder };
        let mut lines = log.lines().map(Result::unwrap);
        let mut told = Vec::new();
        let is_ready = lines.any(|line| {
            told.push(line.clone());
            line.contains("msg=ready")
        });
        if is_ready {
            // The pipe is read to its end: a full one would stop the process.
            std::thread::spawn(move || lines.for_each(drop));
            return Some(server);
        }
        assert!(told.iter().any(|line| line.contains("in use")), "{told:#?}");
        None
    }

    pub(crate) fn port(&self, port: Port) -> u16 {
        self.ports[port as usize]
    }

    /// Status and body of the answer to a POST.
    pub(crate) fn post(&self, port: Port, path: &str, kind: &str, body: Vec<u8>) -> (u16, String) {
        let url = format!("http://127.0.0.1:{}{path}", self.port(port));
        let client = reqwest::blocking::Client::new();
        let answer = client.post(url).header("content-type", kind).body(body).send().unwrap();
        (answer.status().as_u16(), answer.text().unwrap())
    }

    /// The first line of the answer to a POST over TLS, as a client of `tests/tls`, or of none.
    pub(crate) fn post_tls(
        &self,
        port: Port,
        path: &str,
        client: Option<&str>,
        body: &[u8],
    ) -> std::io::Result<String> {
        let stream = TcpStream::connect(("127.0.0.1", self.port(port)))?;
        let name = ServerName::try_from("localhost").unwrap();
        let connection = ClientConnection::new(Arc::new(tls_client(client)), name).unwrap();
        let mut stream = StreamOwned::new(connection, stream);
        let length = body.len();
        write!(
            stream,
            "POST {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n"
        )?;
        stream.write_all(body)?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer)?;
        Ok(String::from_utf8_lossy(&answer).lines().next().unwrap_or_default().to_owned())
    }

    pub(crate) fn send(&self, port: Port, packet: &[u8]) {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.send_to(packet, ("127.0.0.1", self.port(port))).unwrap();
    }

    /// The trace, when it is there.
    pub(crate) fn trace(&self, id: u128) -> TracesData {
        let url = format!("http://127.0.0.1:{}/api/v2/traces/{id:032x}", self.port(Port::Api));
        let client = reqwest::blocking::Client::new();
        let begin = Instant::now();
        loop {
            let ask = client.get(&url).header("accept", "application/protobuf");
            let answer = ask.send().unwrap().bytes().unwrap();
            let trace = TraceById::decode(&answer[..]).unwrap().trace.unwrap_or_default();
            if !trace.resource_spans.is_empty() {
                return trace;
            }
            assert!(begin.elapsed() < PATIENCE, "{id:x} did not come");
        }
    }
}

fn tls_client(client: Option<&str>) -> ClientConfig {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/tls");
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(folder.join("ca.pem")).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots);
    let Some(client) = client else { return builder.with_no_client_auth() };
    let chain = vec![CertificateDer::from_pem_file(folder.join(format!("{client}.pem"))).unwrap()];
    let key = PrivateKeyDer::from_pem_file(folder.join(format!("{client}.key"))).unwrap();
    builder.with_client_auth_cert(chain, key).unwrap()
}
