//! Tests of `re2`.
