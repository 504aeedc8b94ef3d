//! TLS over loopback sockets, with the certificates of `tests/tls`.

use std::net::SocketAddr;

use axum::Router;
use axum::routing::get;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio_rustls::TlsConnector;

use super::super::{Listener, serve};
use super::*;

fn path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/tls").join(name)
}

fn files(clients: Clients) -> TlsFiles {
    TlsFiles {
        key: "a.tls".to_owned(),
        cert_file: path("server.pem"),
        key_file: path("server.key"),
        client_ca_file: Some(path("ca.pem")),
        clients,
        min_version: Version::Tls12,
        reload_interval: None,
    }
}

/// A server that says `hello` until dropped.
struct House {
    address: SocketAddr,
    _stop: oneshot::Sender<()>,
}

async fn open(files: TlsFiles) -> House {
    let tcp = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = tcp.local_addr().unwrap();
    let listener = Listener::new(tcp, Some(Tls::open(files).unwrap()));
    let router = Router::new().route("/", get(async || "hello"));
    let (stop, stopped) = oneshot::channel::<()>();
    tokio::spawn(serve(listener, router, async { drop(stopped.await) }));
    House { address, _stop: stop }
}

/// What a client is.
#[derive(Clone, Copy)]
struct Client {
    certificate: Option<&'static str>,
    version: &'static SupportedProtocolVersion,
}

const NOBODY: Client = Client { certificate: None, version: &TLS13 };

impl House {
    /// The answer to a request, and what was agreed on.
    async fn ask(&self, client: Client, alpn: &[u8]) -> io::Result<(String, Option<Vec<u8>>)> {
        let mut roots = RootCertStore::empty();
        for certificate in certificates("ca", &path("ca.pem")).unwrap() {
            roots.add(certificate).unwrap();
        }
        let builder = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_protocol_versions(&[client.version])
            .unwrap()
            .with_root_certificates(roots);
        let mut config = match client.certificate {
            None => builder.with_no_client_auth(),
            Some(name) => {
                let chain = certificates("client", &path(&format!("{name}.pem"))).unwrap();
                let key = PrivateKeyDer::from_pem_file(path(&format!("{name}.key"))).unwrap();
                builder.with_client_auth_cert(chain, key).unwrap()
            }
        };
        config.alpn_protocols = vec![alpn.to_vec()];
        let stream = TcpStream::connect(self.address).await?;
        let name = ServerName::try_from("localhost").unwrap();
        let mut stream = TlsConnector::from(Arc::new(config)).connect(name, stream).await?;
        let agreed = stream.get_ref().1.alpn_protocol().map(<[u8]>::to_vec);
        stream.write_all(b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await?;
        let mut answer = Vec::new();
        let mut piece = [0; 1024];
        loop {
            match stream.read(&mut piece).await {
                Ok(0) => break,
                Ok(bytes) => answer.extend_from_slice(&piece[..bytes]),
                Err(error) if answer.is_empty() => return Err(error),
                Err(_) => break,
            }
        }
        Ok((String::from_utf8_lossy(&answer).into_owned(), agreed))
    }

    async fn answers(&self, client: Client) -> bool {
        self.ask(client, b"http/1.1").await.is_ok_and(|(answer, _)| answer.ends_with("hello"))
    }
}

#[tokio::test]
async fn http_is_answered_over_tls_and_both_versions_of_it_are_offered() {
    let house = open(files(Clients::Any)).await;
    let (answer, agreed) = house.ask(NOBODY, b"http/1.1").await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("hello"), "{answer}");
    assert_eq!(agreed.as_deref(), Some(&b"http/1.1"[..]));
    let (_, agreed) = house.ask(NOBODY, b"h2").await.unwrap();
    assert_eq!(agreed.as_deref(), Some(&b"h2"[..]));
}

#[tokio::test]
async fn a_client_needs_the_certificate_that_is_asked_for() {
    let client = |certificate| Client { certificate, ..NOBODY };
    for (clients, none, right, stranger) in [
        (Clients::Any, true, true, true),
        (Clients::VerifiedIfGiven, true, true, false),
        (Clients::Verified, false, true, false),
    ] {
        let house = open(files(clients)).await;
        assert_eq!(house.answers(client(None)).await, none, "{clients:?}");
        assert_eq!(house.answers(client(Some("client"))).await, right, "{clients:?}");
        assert_eq!(house.answers(client(Some("stranger"))).await, stranger, "{clients:?}");
    }
}

#[tokio::test]
async fn older_versions_are_refused_where_a_newer_one_is_asked_for() {
    let old = Client { version: &TLS12, ..NOBODY };
    assert!(open(files(Clients::Any)).await.answers(old).await);
    let strict = TlsFiles { min_version: Version::Tls13, ..files(Clients::Any) };
    let house = open(strict).await;
    assert!(!house.answers(old).await);
    assert!(house.answers(NOBODY).await);
}

#[tokio::test]
async fn who_speaks_no_tls_holds_up_nobody() {
    let house = open(files(Clients::Any)).await;
    let mut silent = TcpStream::connect(house.address).await.unwrap();
    let mut plain = TcpStream::connect(house.address).await.unwrap();
    plain.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    assert!(house.answers(NOBODY).await);
    let mut answer = Vec::new();
    plain.read_to_end(&mut answer).await.ok();
    assert!(!answer.starts_with(b"HTTP"), "{answer:?}");
    drop(house);
    assert!(!matches!(silent.read(&mut [0]).await, Ok(1)), "nothing is said to the silent");
}

#[tokio::test]
async fn new_files_are_read_and_wrong_ones_are_not_taken() {
    let folder = TempDir::new().unwrap();
    let [cert_file, key_file] = ["cert.pem", "key.pem"].map(|name| folder.path().join(name));
    std::fs::copy(path("server.pem"), &cert_file).unwrap();
    std::fs::copy(path("server.key"), &key_file).unwrap();
    let reload_interval = Some(Duration::ZERO);
    let given = files(Clients::Any);
    let files = TlsFiles { cert_file: cert_file.clone(), key_file, reload_interval, ..given };
    let house = open(files).await;
    assert!(house.answers(NOBODY).await);
    std::fs::write(&cert_file, "nothing").unwrap();
    assert!(house.answers(NOBODY).await, "the old one goes on");
    // Of another key: the client does not trust it, so it was read.
    std::fs::copy(path("stranger.pem"), &cert_file).unwrap();
    std::fs::copy(path("stranger.key"), folder.path().join("key.pem")).unwrap();
    assert!(!house.answers(NOBODY).await);
}

#[test]
fn a_wrong_file_is_named_with_its_key() {
    let none = path("none.pem");
    let wrong = |change: &dyn Fn(&mut TlsFiles)| {
        let mut files = files(Clients::Verified);
        change(&mut files);
        chain(&Tls::open(files).unwrap_err())
    };
    let text = wrong(&|files| files.cert_file.clone_from(&none));
    assert!(text.starts_with(&format!("`a.tls.cert_file`: {}: ", none.display())), "{text}");
    let text = wrong(&|files| files.key_file.clone_from(&none));
    assert!(text.starts_with(&format!("`a.tls.key_file`: {}: ", none.display())), "{text}");
    let text = wrong(&|files| files.client_ca_file = Some(none.clone()));
    assert!(text.starts_with(&format!("`a.tls.client_ca_file`: {}: ", none.display())), "{text}");
    let text = wrong(&|files| files.cert_file = path("server.key"));
    assert_eq!(
        text,
        format!("`a.tls.cert_file`: {} has no certificate", path("server.key").display())
    );
    let text = wrong(&|files| files.key_file = path("client.key"));
    assert!(text.contains("client.key do not go together: "), "{text}");
}
