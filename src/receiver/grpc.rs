//! gRPC by hand, for all methods that take spans: one message in, one out.
//!
//! Calls are unframed here, so that one inflater with one cap serves gRPC and HTTP, and so that every refusal has a code that
//! senders treat rightly: a generated service answers a message that is too large with `OUT_OF_RANGE`, which OTLP senders retry for ever.

use std::time::Duration;

use axum::body::Body;
use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use bytes::{BufMut, Bytes, BytesMut};
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use http_body_util::{BodyExt, Full};
use prost::Message;
use tonic::Status;
use tonic::metadata::{MetadataMap, MetadataValue};

use super::encoding::{self, Encoding};
use super::{Door, Taken, body};
use crate::failure::{Failure, Kind};
use crate::listener;

/// Before each message: whether it is compressed, and its length.
const PREFIX_BYTES: usize = 5;

const ENCODING: &str = "grpc-encoding";
const ACCEPT_ENCODING: &str = "grpc-accept-encoding";
const ACCEPTED: HeaderValue = HeaderValue::from_static("identity,gzip,zstd,snappy,deflate,lz4");

/// Older Python senders look for `RetryInfo` in this trailer and not in the status.
const LEGACY_RETRY_INFO: &str = "google.rpc.retryinfo-bin";

const RETRY_INFO_TYPE: &str = "type.googleapis.com/google.rpc.RetryInfo";

/// `google.rpc.Status`.
#[derive(Clone, PartialEq, Message)]
struct RichStatus {
    #[prost(int32, tag = "1")]
    code: i32,
    #[prost(string, tag = "2")]
    message: String,
    #[prost(message, repeated, tag = "3")]
    details: Vec<Any>,
}

/// `google.protobuf.Any`.
#[derive(Clone, PartialEq, Message)]
struct Any {
    #[prost(string, tag = "1")]
    type_url: String,
    #[prost(bytes = "vec", tag = "2")]
    value: Vec<u8>,
}

/// `google.rpc.RetryInfo`.
#[derive(Clone, PartialEq, Message)]
struct RetryInfo {
    #[prost(message, optional, tag = "1")]
    retry_delay: Option<RetryDelay>,
}

/// `google.protobuf.Duration`.
#[derive(Clone, PartialEq, Message)]
struct RetryDelay {
    #[prost(int64, tag = "1")]
    seconds: i64,
    #[prost(int32, tag = "2")]
    nanos: i32,
}

impl RetryInfo {
    fn after(time: Duration) -> Self {
        let seconds = i64::try_from(time.as_secs()).unwrap_or(i64::MAX);
        let nanos = time.subsec_nanos().cast_signed();
        Self { retry_delay: Some(RetryDelay { seconds, nanos }) }
    }
}

/// Answers a call by what `handle` makes of it: the bytes of a message, or why there is none.
pub(super) async fn answer<F: Future<Output = Result<Vec<u8>, Status>>>(
    request: Request,
    handle: impl FnOnce(Request) -> F,
) -> Response {
    if !listener::is_grpc(request.headers()) {
        return (StatusCode::UNSUPPORTED_MEDIA_TYPE, "this is a gRPC method\n").into_response();
    }
    if request.method() != Method::POST {
        return StatusCode::METHOD_NOT_ALLOWED.into_response();
    }
    match handle(request).await {
        Ok(message) => accept(&message),
        Err(status) => into_response(status),
    }
}

/// The answer to a call that failed.
pub(super) fn refuse(failure: &Failure) -> Response {
    into_response(status_of(failure))
}

/// Lets a call in and reads its message.
///
/// # Errors
/// With the code that says what to do.
pub(super) async fn take_in(door: &Door, request: Request) -> Result<Taken, Status> {
    let (tenant, place) = door.enter(request.headers()).map_err(|f| status_of(&f))?;
    let encoding = encoding_of(request.headers())?;
    let held = read_message(door, encoding, request.into_body()).await?;
    Ok(Taken { tenant, held, _place: place })
}

/// `None` if the header is missing.
fn encoding_of(headers: &HeaderMap) -> Result<Option<Encoding>, Status> {
    let Some(value) = headers.get(ENCODING) else { return Ok(None) };
    let name = String::from_utf8_lossy(value.as_bytes());
    Encoding::named(&name).map(Some).ok_or_else(|| {
        let text = format!("unsupported encoding {name:?}, supported: [{}]", Encoding::NAMES);
        Status::unimplemented(text)
    })
}

/// The one message of the call, inflated.
async fn read_message(
    door: &Door,
    encoding: Option<Encoding>,
    body: Body,
) -> Result<body::Held, Status> {
    let bytes_max = door.body_bytes_max;
    let framed_max = bytes_max.saturating_add(PREFIX_BYTES);
    let read = body::read(body, framed_max, &door.budget).await;
    let mut held = read.map_err(|failure| match failure.kind {
        Kind::TooLarge => status_of(&body::too_large(bytes_max)),
        _ => status_of(&failure),
    })?;
    let (compressed, message) = unframe(&held.bytes)?;
    held.bytes = message;
    if !compressed {
        return Ok(held);
    }
    let Some(encoding) = encoding else {
        return Err(Status::internal("a compressed message without grpc-encoding"));
    };
    encoding::inflate(encoding, held, bytes_max).await.map_err(|failure| status_of(&failure))
}

fn unframe(framed: &Bytes) -> Result<(bool, Bytes), Status> {
    let Some((&[flag, a, b, c, d], message)) = framed.split_first_chunk::<PREFIX_BYTES>() else {
        return Err(Status::invalid_argument("the call has no message, or it is cut short"));
    };
    if flag > 1 {
        return Err(Status::internal(format!("compression flag {flag}, only 0 and 1 exist")));
    }
    let length = u32::from_be_bytes([a, b, c, d]);
    if usize::try_from(length) != Ok(message.len()) {
        let text = format!("a message of {length} bytes in a body of {}", message.len());
        return Err(Status::invalid_argument(text));
    }
    Ok((flag == 1, framed.slice(PREFIX_BYTES..)))
}

fn accept(message: &[u8]) -> Response {
    let mut framed = BytesMut::with_capacity(PREFIX_BYTES + message.len());
    framed.put_u8(0);
    framed.put_u32(u32::try_from(message.len()).expect("the answer is a number and a sentence"));
    framed.put_slice(message);
    let mut trailers = HeaderMap::new();
    trailers.insert(Status::GRPC_STATUS, HeaderValue::from_static("0"));
    let body = Full::new(framed.freeze()).with_trailers(async { Some(Ok(trailers)) });
    let kind = [(header::CONTENT_TYPE.as_str(), "application/grpc")];
    let mut response = (kind, Body::new(body)).into_response();
    response.headers_mut().insert(ACCEPT_ENCODING, ACCEPTED);
    response
}

fn into_response(status: Status) -> Response {
    let mut response = status.into_http::<Body>();
    response.headers_mut().insert(ACCEPT_ENCODING, ACCEPTED);
    response
}

/// With `RetryInfo` where trying again helps: without it senders drop what is answered `RESOURCE_EXHAUSTED`.
pub(super) fn status_of(failure: &Failure) -> Status {
    let Failure { kind, message } = failure;
    let code = kind.grpc_code();
    let Some(after) = kind.retry_after() else { return Status::new(code, message) };
    let retry_info = RetryInfo::after(after).encode_to_vec();
    let mut metadata = MetadataMap::new();
    metadata.insert_bin(LEGACY_RETRY_INFO, MetadataValue::from_bytes(&retry_info));
    let any = Any { type_url: RETRY_INFO_TYPE.to_owned(), value: retry_info };
    let rich = RichStatus { code: i32::from(code), message: message.clone(), details: vec![any] };
    let details = Bytes::from(rich.encode_to_vec());
    Status::with_details_and_metadata(code, message, details, metadata)
}

#[cfg(test)]
mod tests {
    use tonic::Code;

    use super::*;

    #[test]
    fn a_frame_must_hold_exactly_one_message() {
        let framed = |bytes: &'static [u8]| unframe(&Bytes::from_static(bytes));
        assert_eq!(framed(b"\0\0\0\0\0").unwrap(), (false, Bytes::new()));
        assert_eq!(framed(b"\x01\0\0\0\x02ab").unwrap(), (true, Bytes::from_static(b"ab")));
        for (bad, code) in [
            (&b""[..], Code::InvalidArgument),
            (b"\0\0\0\0", Code::InvalidArgument),
            (b"\0\0\0\0\x02a", Code::InvalidArgument),
            (b"\0\0\0\0\x01ab", Code::InvalidArgument),
            (b"\x02\0\0\0\0", Code::Internal),
        ] {
            assert_eq!(framed(bad).unwrap_err().code(), code, "{bad:?}");
        }
    }

    #[test]
    fn only_what_is_worth_retrying_says_when() {
        let retry_after = Duration::from_millis(1500);
        for kind in [Kind::Busy { retry_after }, Kind::Unavailable { retry_after }] {
            let status = status_of(&Failure::new(kind, "later"));
            let rich = RichStatus::decode(status.details()).unwrap();
            assert_eq!((rich.code, rich.message.as_str()), (i32::from(status.code()), "later"));
            assert_eq!(rich.details[0].type_url, RETRY_INFO_TYPE);
            let info = RetryInfo::decode(&rich.details[0].value[..]).unwrap();
            let delay = RetryDelay { seconds: 1, nanos: 500_000_000 };
            assert_eq!(info.retry_delay, Some(delay));
            assert!(status.metadata().get_bin(LEGACY_RETRY_INFO).is_some());
        }
        for kind in [Kind::TooLarge, Kind::Invalid, Kind::Internal, Kind::Unauthenticated] {
            assert!(status_of(&Failure::new(kind, "no")).details().is_empty());
        }
    }
}
