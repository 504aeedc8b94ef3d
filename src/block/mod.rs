//! The immutable Parquet block: the format, its writer and its reader.
//!
//! # The format, version 2
//!
//! (Version 1 has another `index`, and is read all the same.)
//!
//! A block is a folder of objects, written once. The three Parquet files are plain: any reader opens them.
//!
//! | object | what |
//! |---|---|
//! | `spans.parquet` | one row per span |
//! | `traces.parquet` | one row per trace, in the order of their spans |
//! | `resources.parquet` | one row per distinct (resource, scope) |
//! | `bloom-<shard>` | trace ids that are possibly here: see `bloom.rs` |
//! | `index` | trace directory, the Parquet files' tails, zone maps, key catalog, value filters and counts: see `index.rs`, `zones.rs`, `entries.rs`, `hashes.rs`, `values.rs` |
//! | `meta.json` | for people and for rebuilding a manifest; decides nothing |
//!
//! **Row order** of `spans.parquet`: traces by (minute of their start, root service, root name, trace id); inside a trace the depth-first
//! pre-order of the span tree, siblings and tops by (start, span id, kind). A span without a parent in the block is a top. A trace's rows
//! are contiguous and lie in one row group, unless the trace alone is larger than one (64 Ki rows).
//!
//! **Pages** are data pages of the first version, plain or zstd by chunk, at most 4 Ki rows each (encodings: `leaf/values.rs`), and every column has an offset index: a reader
//! goes by it to the pages it needs, see `plan.rs`.
//!
//! | column of `spans.parquet` | type | what |
//! |---|---|---|
//! | `trace_id` | fixed 16 | |
//! | `resource` | u64 | key of `resources.parquet`: the content hash, or the next free number if that is taken |
//! | `name` | string | |
//! | `kind` | i32 | OTLP's number |
//! | `status` | i32, null | OTLP's code; null if the span had no `Status` |
//! | `start_ns` | u64 | Unix nanoseconds |
//! | `duration_ns` | i64 | end minus start modulo 2^64; negative if the end lies before the start |
//! | `parent_delta` | i32 | rows back to the parent, 0 for a top |
//! | `subtree` | i32 | descendants: row `j` descends from row `i` just if `i < j <= i + subtree[i]` |
//! | `top` | u8, null | why it is a top: 1 root, 2 parent not in the block, 3 cycle |
//! | `span.<key>`, `span.<key>:int`, `:double`, `:bool` | string, i64, f64, bool, null | attributes of frequent keys |
//! | `span_id` | fixed 8 | |
//! | `parent_span_id` | fixed 8, null | only where `top` is 2 or 3: elsewhere the parent's row has it |
//! | `status_message`, `trace_state` | string, null | null for empty |
//! | `flags`, `dropped_attributes_count`, `dropped_events_count`, `dropped_links_count` | u32 | |
//! | `attributes_rest` | list of {`key`, `type`, `value`} | what has no column: rare keys, arrays, kvlists, bytes, empty values, repeated keys |
//! | `events` | list of {`time_offset_ns`, `name`, `event.<key>`…, `attributes_rest`, `dropped_attributes_count`, `unknown`} | the offset is from the span's start, modulo 2^64 |
//! | `links` | list of {`trace_id`, `span_id`, `trace_state`, `flags`, `link.<key>`…, `attributes_rest`, `dropped_attributes_count`, `unknown`} | ids as they came |
//! | `unknown` | bytes, null | protobuf fields that the writer did not know |
//!
//! `attributes_rest.type`: 0 string, 1 int, 2 double, 3 bool, 4 array, 5 kvlist, 6 bytes, 7 empty; plus 16 for a key that the owner has
//! already (queries see the first only). `value` is the OTLP `AnyValue` message. A key gets a column when at least 0.5 % of the block's
//! spans have it, at most 256 columns over span, event and link keys; keys over 256 bytes or ending in a type suffix never do.
//!
//! `traces.parquet`: `trace_id`, `first_row` u64, `spans` u32, `start_ns` u64, `end_ns` u64, `root_row` u32 within the trace or null,
//! `root_service`, `root_name`, `services` list of {`service`, `spans`, `errors`}.
//!
//! `resources.parquet`: `resource` u64, `service_name`, `scope_name`, `scope_version`, `attributes` list of {`key`, `value`} as text for
//! people, and what came over the wire: `resource_message`, `resource_schema_url`, `resource_unknown`, `scope_message`,
//! `scope_schema_url`, `scope_unknown`. Rows are sorted by `resource`.

mod arrays;
mod bloom;
mod counts;
mod directory;
mod entries;
mod fetch;
mod fill;
mod filters;
mod flat;
mod hashes;
mod header;
mod index;
mod inspect;
mod judge;
mod keys;
mod known;
mod leaf;
mod levels;
mod mask;
mod nested;
mod open;
mod order;
mod packed;
mod pages;
mod plan;
mod present;
mod promote;
mod put;
mod resources;
mod restore;
mod sections;
mod select;
mod source;
mod survey;
mod tables;
mod tally;
mod traces;
mod values;
mod write;
mod zones;

pub use bloom::{Crc32c, crc32c};
pub use counts::KnownCounts;
pub use directory::{Directory, Place};
pub use inspect::{SectionInfo, Wrong};
pub use open::{Block, Blocks};
pub use sections::Opening;
pub use write::{Facts, Written, object_info, write};
pub use zones::{CatalogKey, KeyScope, Zone, Zones};

/// What is wrong with a block.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("block part {part} is damaged: {what}")]
    Corrupt { part: &'static str, what: &'static str },
    #[error("parquet")]
    Parquet(#[from] parquet::errors::ParquetError),
    #[error("arrow")]
    Arrow(#[from] arrow::error::ArrowError),
    #[error("zstd")]
    Zstd(#[source] std::io::Error),
    #[error("bloom filter: {0}")]
    Bloom(&'static str),
    #[error("protobuf in a section")]
    Decode(#[from] prost::DecodeError),
    #[error("protobuf in a value")]
    Wire(#[from] crate::trace::wire::WireError),
    #[error("store")]
    Store(#[from] crate::store::Error),
}

#[cfg(test)]
#[path = "block_tests.rs"]
mod tests;
