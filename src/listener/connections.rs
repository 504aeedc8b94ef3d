//! Connections: accepted up to a bound, HTTP/1.1 and HTTP/2 on one port, with TLS or without, drained at the end.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncWrite, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tracing::{debug, warn};

use super::Tls;

/// Most connections of a listener. Senders keep one to ten each; past this the kernel's queue waits.
const CONNECTIONS_MAX: usize = 4096;

/// Longest silence before the first byte, and longest time for a request's head. Ends idle HTTP/1.1 connections too.
const HEAD_TIME_MAX: Duration = Duration::from_mins(1);

/// Longest time for TLS to begin: a few round trips.
const HANDSHAKE_TIME_MAX: Duration = Duration::from_secs(10);

/// How long requests at work may go on after the stop.
const DRAIN_TIME_MAX: Duration = Duration::from_secs(30);

/// Streams of an HTTP/2 connection. A collector has 10 calls under way, a Grafana some tens.
const STREAMS_MAX: u32 = 256;

/// What a sender may have under way per stream and per connection: batches of several MiB in one round trip or two.
const STREAM_WINDOW_BYTES: u32 = 1 << 20;
const CONNECTION_WINDOW_BYTES: u32 = 4 << 20;

/// A peer that vanished is noticed after the sum of both.
const PING_EVERY: Duration = Duration::from_mins(1);
const PONG_TIME_MAX: Duration = Duration::from_secs(20);

/// The pause after an error of `accept`, such as no free file descriptor: it does not pass by trying at once.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Where connections come in.
#[derive(Debug)]
pub struct Listener {
    tcp: TcpListener,
    tls: Option<Tls>,
}

impl Listener {
    /// With TLS or without.
    pub fn new(tcp: TcpListener, tls: Option<Tls>) -> Self {
        Self { tcp, tls }
    }
}

impl From<TcpListener> for Listener {
    fn from(tcp: TcpListener) -> Self {
        Self::new(tcp, None)
    }
}

/// Serves the listener until `stop` ends; then accepts no more, lets requests at work finish for up to 30 s, and cuts the rest.
/// Dropping the future cuts all.
pub async fn serve(listener: impl Into<Listener>, router: Router, stop: impl Future<Output = ()>) {
    let Listener { tcp: listener, tls } = listener.into();
    let builder = Arc::new(builder());
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    // Nothing is ever sent: that the sender is gone is the news.
    let (going_on, stopped) = watch::channel(());
    let mut connections = JoinSet::new();
    tokio::pin!(stop);
    loop {
        let next = async {
            // Never closed, so always there.
            let place = Arc::clone(&places).acquire_owned().await.ok();
            (listener.accept().await, place)
        };
        tokio::select! {
            biased;
            () = &mut stop => break,
            Some(ended) = connections.join_next() => report(ended),
            (accepted, place) = next => match accepted {
                Ok((stream, _)) => {
                    let (builder, router) = (Arc::clone(&builder), router.clone());
                    let (tls, stopped) = (tls.clone(), stopped.clone());
                    connections.spawn(async move {
                        serve_one(&builder, stream, tls, router, stopped).await;
                        drop(place);
                    });
                }
                Err(error) => {
                    warn!(%error, "a connection could not be accepted");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            },
        }
    }
    drop(listener);
    drop(going_on);
    let drained = timeout(DRAIN_TIME_MAX, async {
        while let Some(ended) = connections.join_next().await {
            report(ended);
        }
    });
    if drained.await.is_err() {
        warn!(
            connections = connections.len(),
            "connections cut: their requests did not end in time"
        );
    }
}

fn builder() -> Builder<TokioExecutor> {
    let mut builder = Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(HEAD_TIME_MAX);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(STREAMS_MAX)
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .keep_alive_interval(PING_EVERY)
        .keep_alive_timeout(PONG_TIME_MAX);
    builder
}

async fn serve_one(
    builder: &Builder<TokioExecutor>,
    stream: TcpStream,
    tls: Option<Tls>,
    router: Router,
    mut stopped: watch::Receiver<()>,
) {
    // Small answers, each awaited by a client.
    if let Err(error) = stream.set_nodelay(true) {
        debug!(%error, "a connection kept Nagle's delay");
    }
    let Some(tls) = tls else {
        let spoken = is_spoken(async { stream.readable().await.is_ok() }, &mut stopped).await;
        if spoken {
            answer(builder, stream, router, stopped).await;
        }
        return;
    };
    let shaken = tokio::select! {
        shaken = timeout(HANDSHAKE_TIME_MAX, tls.accept(stream)) => shaken,
        _ = stopped.changed() => return,
    };
    match shaken {
        Ok(Ok(stream)) => {
            let mut stream = BufReader::new(stream);
            let first = async { stream.fill_buf().await.is_ok_and(|bytes| !bytes.is_empty()) };
            if is_spoken(first, &mut stopped).await {
                answer(builder, stream, router, stopped).await;
            }
        }
        Ok(Err(error)) => debug!(%error, "a handshake failed"),
        Err(_) => debug!("a handshake took longer than {HANDSHAKE_TIME_MAX:?}"),
    }
}

/// Whether the first byte came. hyper has no deadline while it waits for the bytes that tell HTTP/1.1 from HTTP/2.
async fn is_spoken(first: impl Future<Output = bool>, stopped: &mut watch::Receiver<()>) -> bool {
    tokio::select! {
        first = timeout(HEAD_TIME_MAX, first) => first.unwrap_or(false),
        _ = stopped.changed() => false,
    }
}

async fn answer(
    builder: &Builder<TokioExecutor>,
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    router: Router,
    mut stopped: watch::Receiver<()>,
) {
    let service = TowerToHyperService::new(router);
    let connection = builder.serve_connection(TokioIo::new(stream), service);
    tokio::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        _ = stopped.changed() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        debug!(error, "a connection broke");
    }
}

fn report(ended: Result<(), tokio::task::JoinError>) {
    if let Err(error) = ended {
        warn!(%error, "a connection's task panicked");
    }
}

#[cfg(test)]
mod tests {
    use axum::routing::get;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::sync::oneshot;

    use super::*;

    async fn listening() -> (TcpListener, std::net::SocketAddr) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        (listener, address)
    }

    #[tokio::test]
    async fn a_request_at_work_is_finished_after_the_stop() {
        let (listener, address) = listening().await;
        let (stop, stopped) = oneshot::channel::<()>();
        let (entered, at_work) = oneshot::channel::<()>();
        let entered = Arc::new(parking_lot::Mutex::new(Some(entered)));
        let gate = Arc::new(tokio::sync::Notify::new());
        let (door, opened) = (Arc::clone(&gate), Arc::clone(&entered));
        let slow = move || async move {
            opened.lock().take().unwrap().send(()).unwrap();
            door.notified().await;
            "done"
        };
        let router = Router::new().route("/", get(slow));
        let server = tokio::spawn(serve(listener, router, async { drop(stopped.await) }));
        let mut client = TcpStream::connect(address).await.unwrap();
        client.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
        at_work.await.unwrap();
        stop.send(()).unwrap();
        gate.notify_one();
        let mut answer = String::new();
        client.read_to_string(&mut answer).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("done"), "{answer}");
        server.await.unwrap();
        assert!(TcpStream::connect(address).await.is_err());
    }

    #[tokio::test]
    async fn a_silent_connection_does_not_hold_up_the_stop() {
        let (listener, address) = listening().await;
        let (stop, stopped) = oneshot::channel::<()>();
        let server = tokio::spawn(serve(listener, Router::new(), async { drop(stopped.await) }));
        let mut silent = TcpStream::connect(address).await.unwrap();
        let mut spoke = TcpStream::connect(address).await.unwrap();
        spoke.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
        let mut head = [0; 12];
        spoke.read_exact(&mut head).await.unwrap();
        assert_eq!(&head, b"HTTP/1.1 404");
        stop.send(()).unwrap();
        server.await.unwrap();
        assert_eq!(silent.read(&mut head).await.unwrap(), 0);
    }
}
