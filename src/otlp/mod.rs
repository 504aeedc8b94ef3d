//! OTLP protobuf and JSON to columns and back.
//!
//! In: `decode` walks an `ExportTraceServiceRequest` once, from its bytes straight into `columns::Spans`; a body of
//! OTLP/JSON is first told in protobuf by `transcode`. Out: `encode_trace` gives `TracesData`, `pieces_json` Tempo's
//! JSON form of it. `build` makes requests for the rooms that translate other protocols into OTLP.
//!
//! What came in comes back. What the columns can hold is typed and can be queried; what they cannot hold exactly (fields
//! that we do not know, attributes of an unusual shape) is kept as raw protobuf fields in the `unknown` bytes of the span,
//! event, link, resource or scope, which are written after all else. The reader of a protobuf message lets later
//! fields win and joins messages that come twice, so a field may be both typed and in `unknown`.

mod attribute;
pub mod build;
mod cut;
mod decode;
mod encode;
mod error;
mod group;
mod json;
mod print;
mod schema;
mod sizes;
mod span;

pub use cut::{CUT_ATTRIBUTES, cut_attributes};
pub use decode::{Decoded, Rejected, decode, decode_accepted, decode_with};
pub use encode::{content_hash, encode_span};
pub use error::{Error, Found, Place, Reason};
pub use group::{Row, TracePieces, encode_trace, trace_pieces};
pub use json::transcode;
pub use print::{JsonStyle, pieces_json};
pub use sizes::{SpanSize, span_count, span_sizes};
