//! What was pushed and acknowledged, and whether that is what is found.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, TracesData};
use prost::Message;
use rand::RngExt;
use rand::rngs::StdRng;
use vivace::trace::{SpanId, TraceId};

/// Spans by trace, as an answer tells them.
pub(crate) type Found = BTreeMap<TraceId, Vec<SpanId>>;

/// How far back some spans are: farther from their receive time than a block takes.
const LONG_AGO_NANOS: u64 = 3 * 24 * 3600 * 1_000_000_000;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Must be found.
    Acknowledged,
    /// Pushed and not acknowledged: a restart may find it or not.
    Open,
    /// A restart did not find it: must not come back.
    Gone,
}

#[derive(Debug, Clone, Copy)]
struct Entry {
    state: State,
    round: u32,
}

/// All spans that were ever pushed.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    spans: BTreeMap<TraceId, BTreeMap<SpanId, Entry>>,
    ids: Vec<TraceId>,
    next_span: u64,
    pub(crate) acknowledged: u64,
}

/// One request and the spans in it.
#[derive(Debug, Clone)]
pub(crate) struct Batch {
    pub(crate) spans: Vec<(TraceId, SpanId)>,
    pub(crate) body: Vec<u8>,
}

impl Ledger {
    /// A request with some new traces and some late spans of earlier ones, noted as pushed.
    pub(crate) fn batch(&mut self, rng: &mut StdRng, round: u32, now_unix_nano: u64) -> Batch {
        let (mut spans, mut told) = (Vec::new(), Vec::new());
        for _ in 0..rng.random_range(1..4) {
            let is_late = !self.ids.is_empty() && rng.random_ratio(1, 3);
            let id = if is_late {
                self.ids[rng.random_range(0..self.ids.len())]
            } else {
                TraceId(rng.random())
            };
            let is_old = rng.random_ratio(1, 20);
            let start = if is_old { now_unix_nano - LONG_AGO_NANOS } else { now_unix_nano };
            let mut parent = SpanId::default();
            for _ in 0..rng.random_range(1..12) {
                self.next_span += 1;
                let span = SpanId(self.next_span.to_be_bytes());
                spans.push((id, span));
                told.push(otlp(id, span, parent, round, start + self.next_span % 1000));
                parent = span;
            }
            if !self.spans.contains_key(&id) {
                self.ids.push(id);
            }
            let entries = self.spans.entry(id).or_default();
            let new = spans.iter().filter(|(of, _)| *of == id);
            let entry = Entry { state: State::Open, round };
            entries.extend(new.map(|(_, span)| (*span, entry)));
        }
        Batch { spans, body: request(told) }
    }

    /// A request comes again, as from a sender that did not hear the answer.
    pub(crate) fn again(&mut self, spans: &[(TraceId, SpanId)]) {
        for (id, span) in spans {
            let entry = self.spans.get_mut(id).unwrap().get_mut(span).unwrap();
            if entry.state == State::Gone {
                entry.state = State::Open;
            }
        }
    }

    pub(crate) fn acknowledge(&mut self, spans: &[(TraceId, SpanId)]) {
        for (id, span) in spans {
            self.spans.get_mut(id).unwrap().get_mut(span).unwrap().state = State::Acknowledged;
        }
        self.acknowledged += spans.len() as u64;
    }

    /// All traces of which a span was ever pushed.
    pub(crate) fn ids(&self) -> &[TraceId] {
        &self.ids
    }

    /// Checks all spans of one trace.
    pub(crate) fn check_trace(&self, id: TraceId, found: &[SpanId]) -> Result<(), String> {
        let entries = self.spans.get(&id).ok_or_else(|| format!("trace {id} was never pushed"))?;
        check(id, entries.iter(), found)
    }

    /// Checks the spans of some rounds, in all traces.
    pub(crate) fn check(&self, rounds: RangeInclusive<u32>, found: &Found) -> Result<(), String> {
        for (id, entries) in &self.spans {
            let found = found.get(id).map_or(&[] as &[SpanId], Vec::as_slice);
            check(*id, entries.iter().filter(|(_, entry)| rounds.contains(&entry.round)), found)?;
        }
        match found.keys().find(|id| !self.spans.contains_key(id)) {
            Some(id) => Err(format!("trace {id} was never pushed")),
            None => Ok(()),
        }
    }

    /// After a restart: what is found of these rounds now stays, what is not found must not come back.
    pub(crate) fn settle(&mut self, rounds: RangeInclusive<u32>, found: &Found) {
        for (id, entries) in &mut self.spans {
            let found: BTreeSet<&SpanId> = found.get(id).into_iter().flatten().collect();
            let mine = entries.iter_mut().filter(|(_, entry)| rounds.contains(&entry.round));
            for (span, entry) in mine {
                entry.state = match (entry.state, found.contains(span)) {
                    (State::Open, true) => State::Acknowledged,
                    (State::Open, false) => State::Gone,
                    (state, _) => state,
                };
            }
        }
    }
}

fn check<'a>(
    id: TraceId,
    entries: impl Iterator<Item = (&'a SpanId, &'a Entry)>,
    found: &[SpanId],
) -> Result<(), String> {
    let mut left: BTreeSet<&SpanId> = found.iter().collect();
    if left.len() < found.len() {
        let (count, distinct) = (found.len(), left.len());
        return Err(format!("trace {id}: {count} spans found, {distinct} of them distinct"));
    }
    for (span, entry) in entries {
        match (entry.state, left.remove(span)) {
            (State::Acknowledged, false) => {
                let round = entry.round;
                return Err(format!("trace {id}: span {span} of round {round} is lost"));
            }
            (State::Gone, true) => return Err(format!("trace {id}: span {span} came back")),
            _ => {}
        }
    }
    match left.first() {
        Some(span) => Err(format!("trace {id}: span {span} is not to be found")),
        None => Ok(()),
    }
}

fn otlp(id: TraceId, span: SpanId, parent: SpanId, round: u32, start: u64) -> Span {
    let attribute = |key: &str, value| KeyValue {
        key: key.to_owned(),
        value: Some(AnyValue { value: Some(value) }),
        ..KeyValue::default()
    };
    let is_root = parent == SpanId::default();
    Span {
        trace_id: id.0.to_vec(),
        span_id: span.0.to_vec(),
        parent_span_id: if is_root { Vec::new() } else { parent.0.to_vec() },
        name: format!("step {}", span.0[7] % 7),
        kind: 2,
        start_time_unix_nano: start,
        end_time_unix_nano: start + 1_000_000,
        attributes: vec![
            attribute("round", Value::IntValue(i64::from(round))),
            attribute("user", Value::StringValue(format!("user {span}"))),
        ],
        ..Span::default()
    }
}

fn request(spans: Vec<Span>) -> Vec<u8> {
    let service = KeyValue {
        key: "service.name".to_owned(),
        value: Some(AnyValue { value: Some(Value::StringValue("load".to_owned())) }),
        ..KeyValue::default()
    };
    let resource = Resource { attributes: vec![service], ..Resource::default() };
    let scope_spans = vec![ScopeSpans { spans, ..ScopeSpans::default() }];
    let resource_spans =
        vec![ResourceSpans { resource: Some(resource), scope_spans, ..ResourceSpans::default() }];
    ExportTraceServiceRequest { resource_spans }.encode_to_vec()
}

/// The spans of a `TracesData` message, all of one trace.
pub(crate) fn spans_of(trace: &[u8], id: TraceId) -> Result<Vec<SpanId>, String> {
    let TracesData { resource_spans } = TracesData::decode(trace).map_err(|e| e.to_string())?;
    let scopes = resource_spans.into_iter().flat_map(|resource| resource.scope_spans);
    let mut spans = Vec::new();
    for span in scopes.flat_map(|scope| scope.spans) {
        if span.trace_id != id.0 {
            return Err(format!("trace {id}: a span of another trace"));
        }
        spans.push(SpanId(span.span_id.try_into().map_err(|e| format!("span id {e:?}"))?));
    }
    Ok(spans)
}
