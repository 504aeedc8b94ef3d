//! Answers as JSON or protobuf, by `Accept`.

use axum::response::{IntoResponse, Response};
use http::{HeaderMap, header};
use prost::Message;
use serde::Serialize;

use super::json::to_json;

pub(super) const PROTOBUF: &str = "application/protobuf";
pub(super) const JSON: &str = "application/json";
pub(super) const LLM: &str = "application/vnd.grafana.llm";

/// What an answer is written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    Protobuf,
    Json,
    /// JSON for language models. Only some answers have it; the others are JSON.
    Llm,
}

impl Form {
    /// The first of these, in this order, that stands anywhere in `Accept`; JSON if none does. Weights do not count, as in Tempo.
    pub(super) fn of(headers: &HeaderMap) -> Self {
        let accepts = |kind: &str| {
            headers
                .get_all(header::ACCEPT)
                .iter()
                .any(|value| value.to_str().is_ok_and(|value| value.contains(kind)))
        };
        if accepts(PROTOBUF) {
            Self::Protobuf
        } else if accepts(JSON) || !accepts(LLM) {
            Self::Json
        } else {
            Self::Llm
        }
    }

    /// The message in this form, or in JSON if the form is not one for all answers.
    pub(super) fn answer(self, message: &(impl Message + Serialize)) -> Response {
        match self {
            Self::Protobuf => protobuf(message.encode_to_vec()),
            Self::Json | Self::Llm => json(to_json(message)),
        }
    }
}

pub(super) fn protobuf(body: Vec<u8>) -> Response {
    ([(header::CONTENT_TYPE, PROTOBUF)], body).into_response()
}

pub(super) fn json(body: Vec<u8>) -> Response {
    ([(header::CONTENT_TYPE, JSON)], body).into_response()
}

/// JSON for language models: the form's own name as the type.
pub(super) fn llm(body: Vec<u8>) -> Response {
    ([(header::CONTENT_TYPE, "application/vnd.grafana.llm+json")], body).into_response()
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn the_form_is_searched_for_in_accept() {
        for (accept, expected) in [
            (&[][..], Form::Json),
            (&["*/*"], Form::Json),
            (&["application/json"], Form::Json),
            (&["application/protobuf"], Form::Protobuf),
            (&["application/json, application/protobuf;q=0.1"], Form::Protobuf),
            (&["application/json", "application/protobuf"], Form::Protobuf),
            (&["application/vnd.grafana.llm"], Form::Llm),
            (&["application/vnd.grafana.llm, application/json"], Form::Json),
        ] {
            let mut headers = HeaderMap::new();
            for value in accept {
                headers.append(header::ACCEPT, HeaderValue::from_static(value));
            }
            assert_eq!(Form::of(&headers), expected, "{accept:?}");
        }
    }
}
