//! Bodies that are encoded while they are sent: an answer may be larger than the memory that one may take.

use axum::body::{Body, Bytes};
use axum::response::{IntoResponse, Response};
use futures::stream::unfold;
use http::header;
use tokio::sync::mpsc;

use super::Refused;
use crate::failure::Failure;
use crate::runtime::{Task, blocking};

/// About so much is encoded at once; what is smaller as a whole is sent as a whole, with its length.
pub(super) const PIECE_BYTES: usize = 1 << 20;

/// Pieces that are encoded before a client has taken those before.
const PIECES_AHEAD: usize = 2;

/// Where the encoder puts what it has; false when nobody takes any more.
pub(super) type Sink<'a> = &'a mut dyn FnMut(Result<Vec<u8>, Failure>) -> bool;

/// Answers with what `encode` puts into its sink, encoded on a thread of its own. An error in the first piece is the answer; a later one,
/// which only a bug makes, ends the connection in the middle of the body, so that nobody takes it for whole.
pub(super) async fn answer(
    content_type: &'static str,
    encode: impl FnOnce(Sink<'_>) + Send + 'static,
) -> Result<Response, Refused> {
    let (sender, mut receiver) = mpsc::channel::<Result<Vec<u8>, Failure>>(PIECES_AHEAD);
    let work = blocking(move || encode(&mut |piece| sender.blocking_send(piece).is_ok()));
    let encoder = Task::spawn("answer in pieces", work);
    let first = receiver.recv().await.unwrap_or_else(|| Ok(Vec::new()))?;
    let body = match receiver.recv().await {
        None => Body::from(first),
        Some(second) => {
            let begun = [Ok(first), second].into_iter();
            let pieces =
                unfold((begun, receiver, encoder), |(mut begun, mut receiver, encoder)| async {
                    let piece = match begun.next() {
                        Some(piece) => piece,
                        None => receiver.recv().await?,
                    };
                    let piece = piece.map(Bytes::from).inspect_err(|failure| {
                        tracing::error!(error = failure.message, "an answer ends early");
                    });
                    Some((piece, (begun, receiver, encoder)))
                });
            Body::from_stream(pieces)
        }
    };
    Ok(([(header::CONTENT_TYPE, content_type)], body).into_response())
}

#[cfg(test)]
mod tests {
    use axum::body::to_bytes;

    use super::*;

    async fn body_of(pieces: Vec<Result<Vec<u8>, Failure>>) -> Result<Option<Vec<u8>>, String> {
        let encode = move |sink: Sink<'_>| {
            let _all = pieces.into_iter().all(sink);
        };
        let response = answer("text/plain", encode).await.map_err(|refused| refused.0.message)?;
        Ok(to_bytes(response.into_body(), 1 << 20).await.ok().map(|bytes| bytes.to_vec()))
    }

    #[tokio::test]
    async fn pieces_arrive_in_order_and_a_late_error_cuts_the_body() {
        let piece = |text: &str| Ok(text.as_bytes().to_vec());
        assert_eq!(body_of(vec![]).await, Ok(Some(vec![])));
        assert_eq!(body_of(vec![piece("one")]).await, Ok(Some(b"one".to_vec())));
        let many: Vec<_> = (0..9).map(|number| piece(&number.to_string())).collect();
        assert_eq!(body_of(many).await, Ok(Some(b"012345678".to_vec())));
        let error = || Err(Failure::internal("broken"));
        assert_eq!(body_of(vec![error()]).await, Err("broken".to_owned()));
        assert_eq!(body_of(vec![piece("a"), piece("b"), error()]).await, Ok(None));
    }

    #[tokio::test]
    async fn the_encoder_ends_when_nobody_listens() {
        let (sender, ended) = tokio::sync::oneshot::channel();
        let encode = move |sink: Sink<'_>| {
            while sink(Ok(vec![0; 10])) {}
            sender.send(()).ok();
        };
        drop(answer("text/plain", encode).await.unwrap());
        ended.await.unwrap();
    }
}
