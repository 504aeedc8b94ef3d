//! How many spans a request has, and how large each is: found without decoding them.

use crate::trace::TraceId;
use crate::trace::wire::{Fields, WireError};

/// A span as it stands in its request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SpanSize {
    /// None if it is not one.
    pub trace: Option<TraceId>,
    /// Of the span's message.
    pub bytes: u64,
}

/// The spans of an `ExportTraceServiceRequest`, in wire order.
///
/// # Errors
/// Bytes that are not protobuf.
pub fn span_sizes(body: &[u8]) -> Result<Vec<SpanSize>, WireError> {
    let mut sizes = Vec::new();
    each_span(body, &mut |span| {
        let mut trace = None;
        for field in Fields::of(span) {
            let field = field?;
            if field.number == 1 {
                trace = TraceId::from_otlp(field.bytes()?);
            }
        }
        sizes.push(SpanSize { trace, bytes: span.len() as u64 });
        Ok(())
    })?;
    Ok(sizes)
}

/// How many spans there are, as far as it can be seen.
pub fn span_count(body: &[u8]) -> u64 {
    let mut count = 0;
    let counted = each_span(body, &mut |_| {
        count += 1;
        Ok(())
    });
    // Behind what is broken there are no spans.
    counted.map_or(count, |()| count)
}

fn each_span(
    body: &[u8],
    told: &mut dyn FnMut(&[u8]) -> Result<(), WireError>,
) -> Result<(), WireError> {
    for resource_spans in messages(body, 1) {
        for scope_spans in messages(resource_spans?, 2) {
            for span in messages(scope_spans?, 2) {
                told(span?)?;
            }
        }
    }
    Ok(())
}

/// The messages in fields of this number.
fn messages(message: &[u8], number: u32) -> impl Iterator<Item = Result<&[u8], WireError>> {
    let wanted = move |field: &Result<crate::trace::wire::Field<'_>, WireError>| {
        field.as_ref().map_or(true, |field| field.number == number)
    };
    Fields::of(message).filter(wanted).map(|field| field?.bytes())
}
