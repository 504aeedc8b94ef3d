//! Kill, restart, compare: an acknowledged span is found, once, whatever happens to the process, its disk and its bucket.

#![expect(clippy::unwrap_used, reason = "the helpers here are parts of the tests")]

#[path = "durability/ledger.rs"]
mod ledger;
#[path = "durability/process.rs"]
mod process;
#[path = "durability/server.rs"]
mod server;
