//! What comes in over OTLP comes back: random requests through the columns and out again, judged by prost.

use opentelemetry_proto::tonic::common::v1::any_value::Value as Any;
use opentelemetry_proto::tonic::common::v1::{
    AnyValue, ArrayValue, EntityRef, InstrumentationScope, KeyValue, KeyValueList,
};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::span::{Event, Link};
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, Status, TracesData};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use prost::Message;
use vivace::columns::Spans;
use vivace::otlp::{
    content_hash, decode, decode_accepted, encode_span, encode_trace, trace_pieces,
};

/// Few distinct texts, so that keys repeat inside a span and values across spans.
fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => prop::sample::select(vec!["", "a", "b", "service.name", "http.url", "schlüssel"])
            .prop_map(str::to_owned),
        1 => ".{0,12}",
    ]
}

fn double() -> impl Strategy<Value = f64> {
    prop_oneof![
        Just(f64::NAN),
        Just(-0.0),
        Just(f64::INFINITY),
        any::<f64>(),
        any::<u64>().prop_map(f64::from_bits)
    ]
}

fn any_value() -> impl Strategy<Value = AnyValue> {
    let leaf = prop_oneof![
        1 => Just(None),
        4 => text().prop_map(|text| Some(Any::StringValue(text))),
        2 => any::<bool>().prop_map(|value| Some(Any::BoolValue(value))),
        2 => any::<i64>().prop_map(|value| Some(Any::IntValue(value))),
        2 => double().prop_map(|value| Some(Any::DoubleValue(value))),
        2 => vec(any::<u8>(), 0..6).prop_map(|value| Some(Any::BytesValue(value))),
        1 => any::<i32>().prop_map(|value| Some(Any::StringValueStrindex(value))),
    ]
    .prop_map(|value| AnyValue { value });
    leaf.prop_recursive(3, 12, 3, |inner| {
        let entry = (text(), option::weighted(0.9, inner.clone()))
            .prop_map(|(key, value)| KeyValue { key, value, key_strindex: 0 });
        prop_oneof![
            vec(inner, 0..3).prop_map(|values| Any::ArrayValue(ArrayValue { values })),
            vec(entry, 0..3).prop_map(|values| Any::KvlistValue(KeyValueList { values })),
        ]
        .prop_map(|value| AnyValue { value: Some(value) })
    })
}

fn attributes() -> impl Strategy<Value = Vec<KeyValue>> {
    let strindex = prop_oneof![9 => Just(0), 1 => any::<i32>()];
    let attribute = (text(), option::weighted(0.95, any_value()), strindex)
        .prop_map(|(key, value, key_strindex)| KeyValue { key, value, key_strindex });
    vec(attribute, 0..6)
}

/// Mostly 0, where protobuf writes nothing.
fn number() -> impl Strategy<Value = u32> {
    prop_oneof![Just(0), Just(1), Just(u32::MAX), any::<u32>()]
}

fn time() -> impl Strategy<Value = u64> {
    prop_oneof![Just(0), Just(u64::MAX), any::<u64>(), 1_700_000_000_000_000_000_u64..]
}

fn enumeration() -> impl Strategy<Value = i32> {
    prop_oneof![4 => 0..6, 1 => any::<i32>(), 1 => Just(i32::MIN)]
}

fn event() -> impl Strategy<Value = Event> {
    (time(), text(), attributes(), number()).prop_map(
        |(time_unix_nano, name, attributes, dropped_attributes_count)| Event {
            time_unix_nano,
            name,
            attributes,
            dropped_attributes_count,
        },
    )
}

fn link() -> impl Strategy<Value = Link> {
    let ids = (vec(any::<u8>(), 0..20), vec(any::<u8>(), 0..10));
    (ids, text(), attributes(), number(), number()).prop_map(
        |((trace_id, span_id), trace_state, attributes, dropped_attributes_count, flags)| Link {
            trace_id,
            span_id,
            trace_state,
            attributes,
            dropped_attributes_count,
            flags,
        },
    )
}

fn status() -> impl Strategy<Value = Option<Status>> {
    option::of((text(), enumeration()).prop_map(|(message, code)| Status { message, code }))
}

fn ids() -> impl Strategy<Value = (Vec<u8>, Vec<u8>, Vec<u8>)> {
    let parent = prop_oneof![Just(vec![]), Just(vec![0; 8]), vec(any::<u8>(), 8)];
    (vec(1..=u8::MAX, 16), vec(1..=u8::MAX, 8), parent)
}

fn span() -> impl Strategy<Value = Span> {
    let scalars = (text(), text(), enumeration(), time(), time(), number());
    let dropped = (number(), number(), number());
    let parts = (attributes(), vec(event(), 0..3), vec(link(), 0..3), status());
    (ids(), scalars, dropped, parts).prop_map(|(ids, scalars, dropped, parts)| {
        let (trace_id, span_id, parent_span_id) = ids;
        let (name, trace_state, kind, start_time_unix_nano, end_time_unix_nano, flags) = scalars;
        let (attributes, events, links, status) = parts;
        Span {
            trace_id,
            span_id,
            trace_state,
            parent_span_id,
            flags,
            name,
            kind,
            start_time_unix_nano,
            end_time_unix_nano,
            attributes,
            dropped_attributes_count: dropped.0,
            events,
            dropped_events_count: dropped.1,
            links,
            dropped_links_count: dropped.2,
            status,
        }
    })
}

fn scope_spans() -> impl Strategy<Value = ScopeSpans> {
    let scope = (text(), text(), attributes(), number()).prop_map(
        |(name, version, attributes, dropped_attributes_count)| InstrumentationScope {
            name,
            version,
            attributes,
            dropped_attributes_count,
        },
    );
    (option::of(scope), vec(span(), 0..4), text())
        .prop_map(|(scope, spans, schema_url)| ScopeSpans { scope, spans, schema_url })
}

fn entity() -> impl Strategy<Value = EntityRef> {
    (text(), text(), vec(text(), 0..2), vec(text(), 0..2)).prop_map(
        |(schema_url, r#type, id_keys, description_keys)| EntityRef {
            schema_url,
            r#type,
            id_keys,
            description_keys,
        },
    )
}

fn resource_spans() -> impl Strategy<Value = ResourceSpans> {
    let resource = (attributes(), number(), vec(entity(), 0..2)).prop_map(
        |(attributes, dropped_attributes_count, entity_refs)| Resource {
            attributes,
            dropped_attributes_count,
            entity_refs,
        },
    );
    (option::of(resource), vec(scope_spans(), 0..3), text()).prop_map(
        |(resource, scope_spans, schema_url)| ResourceSpans { resource, scope_spans, schema_url },
    )
}

fn traces() -> impl Strategy<Value = TracesData> {
    vec(resource_spans(), 0..3).prop_map(|resource_spans| TracesData { resource_spans })
}

/// Attributes in an order that does not depend on how they came. Bytes, since NaN is not equal to itself.
fn sort(attributes: &mut [KeyValue]) {
    attributes.sort_by_cached_key(Message::encode_to_vec);
}

/// Every span with what is around it, each as bytes, sorted.
fn multiset(data: &TracesData) -> Vec<(Vec<u8>, Vec<u8>, Vec<u8>)> {
    let mut all = Vec::new();
    for of_resource in &data.resource_spans {
        let resource = ResourceSpans { scope_spans: vec![], ..of_resource.clone() };
        for of_scope in &of_resource.scope_spans {
            let scope = ScopeSpans { spans: vec![], ..of_scope.clone() };
            for span in &of_scope.spans {
                let mut span = span.clone();
                sort(&mut span.attributes);
                span.events.iter_mut().for_each(|event| sort(&mut event.attributes));
                span.links.iter_mut().for_each(|link| sort(&mut link.attributes));
                all.push((resource.encode_to_vec(), scope.encode_to_vec(), span.encode_to_vec()));
            }
        }
    }
    all.sort();
    all
}

fn rows(spans: &Spans) -> Vec<(&Spans, usize)> {
    (0..spans.len()).map(|row| (spans, row)).collect()
}

fn encoded(spans: &Spans, row: usize) -> Vec<u8> {
    let mut out = Vec::new();
    encode_span(spans, row, &mut out);
    out
}

proptest! {
    #[test]
    fn what_comes_in_comes_back(data in traces()) {
        let decoded = decode(&data.encode_to_vec()).unwrap();
        prop_assert_eq!(&decoded.rejected, &vec![]);
        let out = encode_trace(&rows(&decoded.spans));
        prop_assert_eq!(multiset(&TracesData::decode(&out[..]).unwrap()), multiset(&data));
        // What we write we read as it is.
        let again = decode(&out).unwrap();
        prop_assert_eq!(encode_trace(&rows(&again.spans)), out);
    }

    #[test]
    fn chunks_joined_and_pieces_lose_nothing(first in traces(), second in traces()) {
        let mut spans = Spans::default();
        let one = decode(&first.encode_to_vec()).unwrap().spans;
        let two = decode(&second.encode_to_vec()).unwrap().spans;
        spans.append(&two);
        spans.append(&one);
        let both = TracesData {
            resource_spans: [first.resource_spans, second.resource_spans].concat(),
        };
        for piece_bytes in [0, 300, 2000] {
            let out: Vec<u8> = trace_pieces(&rows(&spans), piece_bytes).flatten().collect();
            prop_assert_eq!(multiset(&TracesData::decode(&out[..]).unwrap()), multiset(&both));
        }
        // A span is the same bytes and hash wherever it is kept.
        for row in 0..one.len() {
            prop_assert_eq!(encoded(&one, row), encoded(&spans, two.len() + row));
            prop_assert_eq!(content_hash(&one, row), content_hash(&spans, two.len() + row));
        }
    }

    #[test]
    fn a_wrong_span_does_not_touch_the_others(data in traces(), picks in vec(0..40_usize, 0..5)) {
        let (mut bad, mut good, mut expected) = (data.clone(), data, vec![]);
        let mut ordinal = 0_u32;
        let groups = bad.resource_spans.iter_mut().zip(&mut good.resource_spans);
        let groups = groups.flat_map(|(bad, good)| bad.scope_spans.iter_mut().zip(&mut good.scope_spans));
        for (bad, good) in groups {
            let mut place = 0;
            for span in &mut bad.spans {
                if picks.contains(&(ordinal as usize)) {
                    // After all else, so that the columns have been touched when it is found.
                    span.parent_span_id = vec![7; 3];
                    good.spans.remove(place);
                    expected.push(ordinal);
                } else {
                    place += 1;
                }
                ordinal += 1;
            }
        }
        let body = bad.encode_to_vec();
        let decoded = decode(&body).unwrap();
        let rejected: Vec<u32> = decoded.rejected.iter().map(|span| span.ordinal).collect();
        prop_assert_eq!((&rejected, decoded.total), (&expected, ordinal));
        let out = encode_trace(&rows(&decoded.spans));
        prop_assert_eq!(multiset(&TracesData::decode(&out[..]).unwrap()), multiset(&good));
        let replayed = decode_accepted(&body, |ordinal| expected.contains(&ordinal)).unwrap();
        prop_assert_eq!(encode_trace(&rows(&replayed)), out);
    }

    #[test]
    fn damaged_bodies_are_read_as_prost_reads_them(
        data in traces(),
        place: prop::sample::Index,
        bit in 0..8_u32,
    ) {
        let mut body = data.encode_to_vec();
        if body.is_empty() {
            return Ok(());
        }
        let index = place.index(body.len());
        let cut = body[..index].to_vec();
        body[index] ^= 1 << bit;
        for body in [cut, body] {
            let (ours, theirs) = (decode(&body), TracesData::decode(&body[..]));
            let Ok(theirs) = theirs else { continue };
            let ours = ours.unwrap();
            if ours.rejected.is_empty() {
                let out = encode_trace(&rows(&ours.spans));
                prop_assert_eq!(multiset(&TracesData::decode(&out[..]).unwrap()), multiset(&theirs));
            }
        }
    }
}
