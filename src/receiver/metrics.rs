//! Counters of what cannot be told to its sender.

use std::sync::atomic::AtomicU64;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use super::Protocol;
use crate::listener::Durations;

/// Counters of the receivers; clones count together.
#[derive(Debug, Clone, Default)]
pub struct Metrics {
    pub(super) packets: Counter,
    dropped: Family<[(&'static str, &'static str); 1], Counter>,
    accepted_spans: ByReceiver,
    refused_spans: ByReceiver,
    /// Of requests.
    pub(super) durations: Durations,
}

/// Gauges, since Tempo's names of these do not end in `_total`.
type ByReceiver = Family<[(&'static str, &'static str); 2], Gauge<u64, AtomicU64>>;

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
        let Self { packets, dropped, accepted_spans: _, refused_spans: _, durations: _ } = self;
        registry.register("udp_packets", "Packets received over UDP", packets.clone());
        let help = "Packets received over UDP and lost, by the reason";
        registry.register("udp_packets_dropped", help, dropped.clone());
        // From zero: a rate knows no first one otherwise.
        for reason in [Dropped::QueueFull, Dropped::Malformed, Dropped::Refused] {
            self.dropped(reason);
        }
    }

    /// Declares what Tempo has too, under its names. The registry is the root.
    pub fn register_as_tempo(&self, registry: &mut Registry) {
        let help = "Spans that were stored, by the listener they came to";
        registry.register("tempo_receiver_accepted_spans", help, self.accepted_spans.clone());
        let help = "Spans that were rejected, by the listener they came to; pushes refused whole are not counted in spans";
        registry.register("tempo_receiver_refused_spans", help, self.refused_spans.clone());
    }

    /// Requests to the receivers, and to whoever else is given this to count in.
    pub fn durations(&self) -> &Durations {
        &self.durations
    }

    pub(super) fn pushed(&self, protocol: Protocol, accepted: u32, rejected: u32) {
        let labels = protocol.labels();
        self.accepted_spans.get_or_create(&labels).inc_by(u64::from(accepted));
        self.refused_spans.get_or_create(&labels).inc_by(u64::from(rejected));
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
