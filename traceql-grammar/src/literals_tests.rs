//! Tests of `literals`.
