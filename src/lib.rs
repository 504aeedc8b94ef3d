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

// --- ground: our own process

/// Our own logs and metrics.
pub mod telemetry;

/// Time, tasks, threads: the only door to them.
pub mod runtime;

// --- languages: bytes or text to meaning; sync

/// OTLP protobuf and JSON to columns and back.
pub mod otlp;

/// Thrift's two wire formats, read.
pub mod thrift;

/// Jaeger's formats to OTLP.
pub mod jaeger;

/// Zipkin's formats to OTLP.
pub mod zipkin;

/// A query: bound, planned, evaluated.
pub mod traceql;

// --- storage

/// The bucket: the only room that talks to it.
pub mod store;

/// The list of blocks a tenant has: versioned, changed by put-if-absent only.
pub mod manifest;

/// Durable before acknowledged.
pub mod wal;

/// The immutable Parquet block.
pub mod block;

/// Which blocks may hold a trace, of thousands.
pub mod packs;

// --- work

/// Recent spans: held, searched, cut into blocks.
pub mod ingester;

/// Old blocks: joined, and deleted when they have had their time.
pub mod compactor;

/// Writes: checked, limited, handed on.
pub mod distributor;

/// Reads: split, run, merged.
pub mod querier;

// --- doors

/// What all listeners share: connections, slots, tenants.
pub mod listener;

/// Listeners that take spans in.
pub mod receiver;

/// Listeners that give answers out.
pub mod api;

/// What Jaeger's and Zipkin's clients ask, answered by the same engine.
pub mod query_apis;

// --- wiring

/// Our figures under the names that Tempo's dashboards and alerts read.
pub mod figures;

/// `tempo.yaml`: each room's settings put together, checked as a whole.
pub mod config;

/// Tools for operators: what is in a bucket, and whether it is whole.
pub mod cli;

/// Parts built, started, drained.
pub mod app;
