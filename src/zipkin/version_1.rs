//! Spans of version 1, in which annotations say what version 2 has fields for, made into spans of version 2.
//!
//! Four annotations are the sides of a call: the client sends and receives (`cs`, `cr`), the server receives and sends (`sr`,
//! `ss`); two are those of a message (`ms`, `mr`). A span that has both sides of a call is two spans with one id. Three binary
//! annotations are addresses (`sa`, `ca`, `ma`), one names a local component (`lc`), the others are tags.

use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::common::v1::any_value::Value as Any;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;

use super::model::{self, Annotation, Endpoint};

/// A span of version 1.
#[derive(Debug, Default)]
pub(super) struct Span {
    /// What both versions have.
    pub(super) common: model::Span,
    pub(super) annotations: Vec<Core>,
    pub(super) binaries: Vec<Binary>,
}

/// An annotation, and who made it.
#[derive(Debug, Default)]
pub(super) struct Core {
    pub(super) time_micros: u64,
    pub(super) value: String,
    pub(super) endpoint: Endpoint,
}

/// A tag, and who made it.
#[derive(Debug)]
pub(super) struct Binary {
    pub(super) tag: KeyValue,
    pub(super) endpoint: Endpoint,
}

/// The one or two spans that it stands for.
pub(super) fn upgrade(old: Span) -> Vec<model::Span> {
    let Span { common, annotations, binaries } = old;
    let mut sides = sides_of(&common, &annotations);
    for Core { time_micros, value, endpoint } in annotations {
        if kind_of(&value) == SpanKind::Unspecified {
            let side = side_of(&mut sides, &endpoint);
            side.annotations.push(Annotation { time_micros, value });
        }
    }
    for Binary { mut tag, endpoint } in binaries {
        let remote_to = match tag.key.as_str() {
            "sa" => Some(&[SpanKind::Client][..]),
            "ca" => Some(&[SpanKind::Server][..]),
            "ma" => Some(&[SpanKind::Producer, SpanKind::Consumer][..]),
            _ => None,
        };
        if let Some(kinds) = remote_to
            && endpoint != Endpoint::default()
        {
            let found = sides.iter().position(|side| kinds.contains(&side.kind));
            sides[found.unwrap_or_default()].remote = endpoint;
            continue;
        }
        let side = side_of(&mut sides, &endpoint);
        if tag.key == "lc" {
            "component".clone_into(&mut tag.key);
            let value = tag.value.as_ref().and_then(|value| value.value.as_ref());
            if let Some(Any::StringValue(name)) = value
                && side.local.service_name.is_empty()
            {
                side.local.service_name.clone_from(name);
            }
        }
        side.tags.push(tag);
    }
    sides
}

fn kind_of(value: &str) -> SpanKind {
    match value {
        "cs" | "cr" => SpanKind::Client,
        "sr" | "ss" => SpanKind::Server,
        "ms" => SpanKind::Producer,
        "mr" => SpanKind::Consumer,
        _ => SpanKind::Unspecified,
    }
}

/// A span for each side that has annotations, with its times; one of no kind if none has. At least one.
fn sides_of(span: &model::Span, annotations: &[Core]) -> Vec<model::Span> {
    let mut sides: Vec<model::Span> = Vec::new();
    for kind in [SpanKind::Client, SpanKind::Server, SpanKind::Producer, SpanKind::Consumer] {
        let of_kind = || annotations.iter().filter(move |core| kind_of(&core.value) == kind);
        let Some(first) = of_kind().map(|core| core.time_micros).min() else { continue };
        let last = of_kind().map(|core| core.time_micros).max().unwrap_or(first);
        let mut side = model::Span { kind, ..span.clone() };
        // The times of the span are those of the side that began it.
        side.is_shared = !sides.is_empty();
        if side.start_micros == 0 || side.is_shared {
            side.start_micros = first;
            side.duration_micros = last - first;
        } else if side.duration_micros == 0 {
            side.duration_micros = last.saturating_sub(side.start_micros);
        }
        let named = of_kind().find(|core| core.endpoint != Endpoint::default());
        side.local = named.map(|core| core.endpoint.clone()).unwrap_or_default();
        sides.push(side);
    }
    if sides.is_empty() {
        sides.push(span.clone());
    }
    sides
}

/// The side that an endpoint belongs to: the one of its service, else the first. One that has no endpoint takes it.
fn side_of<'a>(sides: &'a mut [model::Span], endpoint: &Endpoint) -> &'a mut model::Span {
    let same = |side: &model::Span| side.local.service_name == endpoint.service_name;
    let found = sides.iter().position(same).unwrap_or_default();
    let side = &mut sides[found];
    if side.local == Endpoint::default() {
        side.local = endpoint.clone();
    }
    side
}
