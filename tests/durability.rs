//! Kill, restart, compare: an acknowledged span is found, once, whatever happens to the process, its disk and its bucket.

#![expect(clippy::unwrap_used, reason = "the helpers here are parts of the tests")]

#[path = "durability/bucket.rs"]
mod bucket;
#[path = "durability/exporters.rs"]
mod exporters;
#[path = "durability/failing.rs"]
mod failing;
#[path = "durability/house.rs"]
mod house;
#[path = "durability/ledger.rs"]
mod ledger;
#[path = "durability/lives.rs"]
mod lives;
#[path = "durability/process.rs"]
mod process;
#[path = "durability/server.rs"]
mod server;
#[path = "durability/whole.rs"]
mod whole;
