//! What a trace is: ids, attribute values, and the wire form of both.

mod id;
mod value;
pub mod wire;

pub use id::{IdError, SpanId, TraceId};
pub use value::{Scalar, Value, encode_key_value};
