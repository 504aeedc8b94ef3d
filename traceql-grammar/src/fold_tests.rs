//! Tests of `fold`.
