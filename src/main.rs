//! Flags, logs, config, run, exit code. Nothing else.

fn main() {}
