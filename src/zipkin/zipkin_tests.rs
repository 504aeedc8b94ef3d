//! Zipkin.
