//! The packets of Jaeger's agent protocol: taken, queued, translated and pushed many at a time.
//!
//! A packet cannot be refused: what comes faster than it is stored is dropped and counted. A packet names no tenant.

use std::time::Duration;

use bytes::Bytes;
use tokio::net::UdpSocket;
use tokio::sync::mpsc;
use tokio::time::timeout;
use tracing::{debug, warn};

use super::Push;
use super::metrics::{Dropped, Metrics};
use crate::jaeger;
use crate::listener::on_cpu;
use crate::tenant::TenantId;
use crate::thrift::Protocol;

/// The largest packet that UDP carries over IPv4. Clients send up to 65,000 bytes.
const PACKET_BYTES_MAX: usize = 65_507;

/// Packets that wait, as many as Jaeger's agent keeps: 65 MB if all are of the largest size.
const PACKETS_QUEUED_MAX: usize = 1000;

/// Packets in one push: they share a write to the log.
const PACKETS_PUSHED_MAX: usize = 64;

/// Most bytes of a packet's spans in OTLP. Names are written out where a packet has them, so it does not grow much.
const TRANSLATED_BYTES_MAX: usize = 1 << 20;

/// How often a push is tried again while there is no room, and the longest wait between two tries. The queue fills meanwhile.
const TRIES_MAX: u32 = 5;
const PAUSE_MAX: Duration = Duration::from_secs(2);

/// How long packets that wait are stored after the stop.
const DRAIN_TIME_MAX: Duration = Duration::from_secs(10);

/// The pause after an error of the socket: it does not pass by trying at once.
const ERROR_PAUSE: Duration = Duration::from_millis(100);

/// Takes packets until `stop` ends, and then stores those that wait, for 10 s at most.
pub(super) async fn serve(
    socket: UdpSocket,
    protocol: Protocol,
    push: Push,
    metrics: Metrics,
    stop: impl Future<Output = ()>,
) {
    let (queue, packets) = mpsc::channel(PACKETS_QUEUED_MAX);
    let store = store(packets, protocol, &push, &metrics);
    tokio::pin!(store);
    tokio::select! {
        biased;
        () = stop => {}
        // These two end with the queue only.
        () = receive(&socket, &queue, &metrics) => {}
        () = &mut store => {}
    }
    drop(queue);
    if timeout(DRAIN_TIME_MAX, store).await.is_err() {
        warn!("packets were lost at the stop: their spans could not be stored in time");
    }
}

async fn receive(socket: &UdpSocket, queue: &mpsc::Sender<Bytes>, metrics: &Metrics) {
    let mut room = vec![0; PACKET_BYTES_MAX];
    loop {
        match socket.recv_from(&mut room).await {
            Ok((bytes, _)) => {
                metrics.packets.inc();
                if queue.try_send(Bytes::copy_from_slice(&room[..bytes])).is_err() {
                    metrics.dropped(Dropped::QueueFull).inc();
                }
            }
            Err(error) => {
                warn!(%error, "a packet could not be received");
                tokio::time::sleep(ERROR_PAUSE).await;
            }
        }
    }
}

async fn store(
    mut packets: mpsc::Receiver<Bytes>,
    protocol: Protocol,
    push: &Push,
    metrics: &Metrics,
) {
    let mut some = Vec::with_capacity(PACKETS_PUSHED_MAX);
    while packets.recv_many(&mut some, PACKETS_PUSHED_MAX).await > 0 {
        let taken = std::mem::take(&mut some);
        let received = taken.len();
        let (body, good) = on_cpu(move || translate(protocol, &taken)).await;
        let malformed = received - good;
        metrics.dropped(Dropped::Malformed).inc_by(malformed as u64);
        if good > 0 && !is_stored(push, body.into()).await {
            metrics.dropped(Dropped::Refused).inc_by(good as u64);
        }
    }
}

/// The spans of the packets as one request, and how many packets had some. Requests behind one another are one request: protobuf
/// says so.
fn translate(protocol: Protocol, packets: &[Bytes]) -> (Vec<u8>, usize) {
    let (mut body, mut good) = (Vec::new(), 0);
    for packet in packets {
        match jaeger::packet(protocol, packet, TRANSLATED_BYTES_MAX) {
            Ok(translated) => {
                body.extend_from_slice(&translated);
                good += 1;
            }
            Err(error) => debug!(%error, "a packet was dropped"),
        }
    }
    (body, good)
}

async fn is_stored(push: &Push, body: Bytes) -> bool {
    for _ in 0..TRIES_MAX {
        let pushed = push(TenantId::single(), body.clone()).await;
        let Err(failure) = pushed else { return true };
        let Some(after) = failure.kind.retry_after() else {
            warn!(error = %failure, "spans of packets could not be stored");
            return false;
        };
        tokio::time::sleep(after.min(PAUSE_MAX)).await;
    }
    false
}
