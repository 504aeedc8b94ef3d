//! Spans as they are sent: dealt into parts, put into requests.

use std::collections::BTreeMap;

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::InstrumentationScope;
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span};
use prost::Message;

/// A span as it is sent, with what is around it.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Sent {
    pub(crate) resource: Option<Resource>,
    pub(crate) scope: Option<InstrumentationScope>,
    pub(crate) span: Span,
}

/// Numbers from a seed, by `SplitMix64`.
pub(crate) struct Dice(pub u64);

impl Dice {
    pub(crate) fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.roll() % end
    }
}

/// Each span at random into one of some parts.
pub(crate) fn dealt(spans: &[Sent], parts: usize, seed: u64) -> Vec<Vec<Sent>> {
    let mut dice = Dice(seed);
    let mut dealt = vec![Vec::new(); parts];
    for sent in spans {
        dealt[usize::try_from(dice.below(parts as u64)).expect("fewer parts than addresses")]
            .push(sent.clone());
    }
    dealt
}

/// The body of a request with these spans, grouped as exporters do.
pub(super) fn body(spans: &[Sent]) -> Vec<u8> {
    let mut resources: BTreeMap<Vec<u8>, ResourceSpans> = BTreeMap::new();
    for Sent { resource, scope, span } in spans {
        let key = resource.as_ref().map(Message::encode_to_vec).unwrap_or_default();
        let group = resources
            .entry(key)
            .or_insert_with(|| ResourceSpans { resource: resource.clone(), ..Default::default() });
        match group.scope_spans.iter_mut().find(|known| known.scope == *scope) {
            Some(known) => known.spans.push(span.clone()),
            None => group.scope_spans.push(ScopeSpans {
                scope: scope.clone(),
                spans: vec![span.clone()],
                ..Default::default()
            }),
        }
    }
    ExportTraceServiceRequest { resource_spans: resources.into_values().collect() }.encode_to_vec()
}
