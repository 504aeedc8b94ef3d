//! TraceQL: text to a typed tree with positions, and back.

pub mod ast;
