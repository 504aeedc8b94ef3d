//! What a caller should do about a failure, and the HTTP and gRPC status that says so.
//!
//! Every room has its own error type; where one leaves the house it is told as a `Failure`: a kind, which decides the
//! status, and a text for a person. Only this file turns a kind into a status.

use std::fmt;
use std::time::Duration;

use http::StatusCode;

/// What the caller should do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The request is wrong: change it. 400, `INVALID_ARGUMENT`.
    Invalid,
    /// No tenant was named. 401, `UNAUTHENTICATED`.
    Unauthenticated,
    /// What was asked for does not exist. 404, `NOT_FOUND`.
    NotFound,
    /// The body is larger than allowed: send less at once. 413, `INVALID_ARGUMENT`.
    TooLarge,
    /// The body's type or encoding is not understood. 415, `INVALID_ARGUMENT`.
    UnsupportedMedia,
    /// Full: try again after the given time. 429, `RESOURCE_EXHAUSTED`.
    Busy { retry_after: Duration },
    /// Not ready, stopping, or the disk or bucket is away: try again. 503, `UNAVAILABLE`.
    Unavailable { retry_after: Duration },
    /// The work took longer than allowed. 504, `DEADLINE_EXCEEDED`.
    Timeout,
    /// Our fault or our storage's. 500, `INTERNAL`.
    Internal,
}

/// A failure as it leaves the house.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    pub kind: Kind,
    pub message: String,
}

impl Failure {
    pub fn new(kind: Kind, message: impl fmt::Display) -> Self {
        Self { kind, message: message.to_string() }
    }

    pub fn invalid(message: impl fmt::Display) -> Self {
        Self::new(Kind::Invalid, message)
    }

    pub fn internal(message: impl fmt::Display) -> Self {
        Self::new(Kind::Internal, message)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Failure {}

impl Kind {
    pub fn http_status(self) -> StatusCode {
        match self {
            Self::Invalid => StatusCode::BAD_REQUEST,
            Self::Unauthenticated => StatusCode::UNAUTHORIZED,
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::UnsupportedMedia => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::Busy { .. } => StatusCode::TOO_MANY_REQUESTS,
            Self::Unavailable { .. } => StatusCode::SERVICE_UNAVAILABLE,
            Self::Timeout => StatusCode::GATEWAY_TIMEOUT,
            Self::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    pub fn grpc_code(self) -> tonic::Code {
        match self {
            Self::Invalid | Self::TooLarge | Self::UnsupportedMedia => tonic::Code::InvalidArgument,
            Self::Unauthenticated => tonic::Code::Unauthenticated,
            Self::NotFound => tonic::Code::NotFound,
            Self::Busy { .. } => tonic::Code::ResourceExhausted,
            Self::Unavailable { .. } => tonic::Code::Unavailable,
            Self::Timeout => tonic::Code::DeadlineExceeded,
            Self::Internal => tonic::Code::Internal,
        }
    }

    /// When to try again, where trying again helps.
    pub fn retry_after(self) -> Option<Duration> {
        match self {
            Self::Busy { retry_after } | Self::Unavailable { retry_after } => Some(retry_after),
            _ => None,
        }
    }
}

/// An error and what caused it, as one text: `block index: store: connection refused`.
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}
