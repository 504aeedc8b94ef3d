//! Spans as typed columns: what receivers fill, blocks store and the engine sees.
//!
//! `Spans` is a chunk in order of arrival, with sparse attribute columns. A `Layout` puts the rows of some chunks in trace order:
//! traces one after the other, each in depth-first order of its tree. A `Batch` is a set of whole traces in that order
//! with just the columns that a query wants; blocks and chunks both answer in batches.

mod append;
mod attributes;
mod batch;
pub mod gather;
mod layout;
mod pool;
mod resource;
mod select;
mod spans;
mod traces;
mod tree;

pub use attributes::{
    AttributeColumn, AttributeKey, Attributes, DUPLICATE, OwnerValue, Rest, RestType, ScalarType,
    ScalarValues,
};
pub use batch::{
    AttributeValues, Batch, CellValue, EventBatch, EventProjection, LinkBatch, LinkProjection,
    Projection, SpanColumn, Strings, Top, TreeColumns,
};
pub use layout::{Layout, RowRef, group_by_trace};
pub use pool::{EMPTY, Pool, Recode};
pub use resource::{PartsRef, Resource, ResourceCache, ResourceParts, ResourceView, find};
pub use select::{Children, attributes_of, batch, resources};
pub use spans::{Events, Links, NO_STATUS, SpanRow, Spans};
pub use traces::{NO_ROOT, ServiceStats, TraceTable};
