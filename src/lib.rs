//! Vivace: a trace database. OTLP in, Parquet blocks in object storage, TraceQL out.
//!
//! The list below is the house, in the order in which it may be understood: a room may use only the
//! rooms listed above it (`tests/layers.rs`). `ARCHITECTURE.md` is the map.

// --- words: plain data, no I/O

/// What a trace is: ids, values, times.
pub mod trace;

/// Typed columns, dictionaries, trace runs: what the engine sees.
pub mod columns;

/// Whose it is.
pub mod tenant;

/// What a caller should do about a failure; its HTTP and gRPC status.
pub mod failure;

/// What a reader is asked and how it answers: the joint between the language and the storage.
pub mod scan;

// --- languages

/// A query: bound, planned, evaluated.
pub mod traceql;

// --- work

/// Writes: checked, limited, spread.
pub mod distributor;

/// Reads: split, run, merged.
pub mod querier;

// --- doors

/// What all listeners share: connections, deadlines, the tenant of a request.
pub mod listener;

/// Listeners that take spans in.
pub mod receiver;

/// Listeners that give answers out.
pub mod api;
