//! Vivace: a trace database. OTLP in, Parquet blocks in object storage, TraceQL out.
//!
//! The list below is the house, in the order in which it may be understood: a room may use only the
//! rooms listed above it (`tests/layers.rs`). `ARCHITECTURE.md` is the map.

// --- words: plain data, no I/O

/// What a trace is: ids, values, times.
pub mod trace;

/// Whose it is.
pub mod tenant;

/// What a caller should do about a failure; its HTTP and gRPC status.
pub mod failure;

// --- storage

/// The bucket: the only room that talks to it.
pub mod store;

/// Durable before acknowledged: the write-ahead log.
pub mod wal;

/// The list of blocks a tenant has, changed by compare-and-swap.
pub mod manifest;
