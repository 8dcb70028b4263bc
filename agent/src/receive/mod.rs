//! OTLP as a server speaks it: from a request of HTTP or gRPC to plain protobuf, and from what became of it to an answer.
//!
//! Where the records go, and how much memory may be used until then, is the [`End`]'s affair.
//!
//! Sources: OTLP specification 1.11.0, "OTLP/gRPC", "OTLP/HTTP", "Request size limits"; grpc/grpc,
//! `doc/PROTOCOL-HTTP2.md` and `doc/statuscodes.md`.

mod body;
pub mod connections;
mod grpc;
mod http;
mod json;
mod refusal;
#[cfg(test)]
mod tests;

pub use http::LOGS_PATH;
pub use json::{BLOAT as JSON_BLOAT, to_protobuf as logs_of_json};
pub use refusal::Refusal;

use std::convert::Infallible;

use bytes::Bytes;
use http_body_util::combinators::UnsyncBoxBody;
use hyper::{Request, Response, body::Body};

use crate::record::Kept;

/// An answer's body.
pub type AnswerBody = UnsyncBoxBody<Bytes, Infallible>;

/// Where requests go.
pub trait End: Send + Sync {
    /// A share of the memory that requests may occupy. Given back when it is dropped.
    type Room: Default + Send;

    /// A request is refused that is larger than this, before or after decompression.
    fn max_request_bytes(&self) -> usize;

    /// Makes the room fit so many bytes in all. Says whether it does; it may wait a moment for others to finish.
    fn grow(&self, room: &mut Self::Room, bytes: usize) -> impl Future<Output = bool> + Send;

    /// Takes an encoded `ExportLogsServiceRequest`. The records that are not rejected are durable when this returns.
    fn take(&self, request: Vec<u8>, room: Self::Room) -> impl Future<Output = Result<Kept, Refusal>> + Send;
}

/// Answers a request, whichever of the two protocols it is in.
pub async fn answer<E, B>(request: Request<B>, end: &E) -> Response<AnswerBody>
where
    E: End,
    B: Body<Data = Bytes> + Send,
{
    if grpc::is_grpc(request.headers()) { grpc::answer(request, end).await } else { http::answer(request, end).await }
}
