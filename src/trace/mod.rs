//! What a trace is: ids and attribute values.

mod id;

pub use id::{IdError, SpanId, TraceId};
