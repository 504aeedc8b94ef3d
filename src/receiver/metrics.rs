//! Counters of what cannot be told to its sender.

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;

/// Counters of the receivers; clones count together.
#[derive(Debug, Clone, Default)]
pub struct Metrics {
    pub(super) packets: Counter,
    dropped: Family<[(&'static str, &'static str); 1], Counter>,
}

/// Why a packet was dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Dropped {
    /// Packets come faster than they are stored.
    QueueFull,
    /// It is not what is spoken on its port.
    Malformed,
    /// There was no room or no disk for its spans.
    Refused,
}

impl Metrics {
    /// Declares the counters.
    pub fn register(&self, registry: &mut Registry) {
        let Self { packets, dropped } = self;
        registry.register("udp_packets", "Packets received over UDP", packets.clone());
        let help = "Packets received over UDP and lost, by the reason";
        registry.register("udp_packets_dropped", help, dropped.clone());
    }

    pub(super) fn dropped(&self, reason: Dropped) -> Counter {
        let reason = match reason {
            Dropped::QueueFull => "queue_full",
            Dropped::Malformed => "malformed",
            Dropped::Refused => "refused",
        };
        self.dropped.get_or_create(&[("reason", reason)]).clone()
    }
}
