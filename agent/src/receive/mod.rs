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
mod refusal;
#[cfg(test)]
mod tests;
pub mod tls;
mod token;

pub use http::path_of;
pub use refusal::Refusal;
pub use token::Token;

use std::convert::Infallible;

use async_trait::async_trait;
use bytes::Bytes;
use http_body_util::combinators::UnsyncBoxBody;
use hyper::{
    HeaderMap, Method, Request, Response,
    body::Body,
    header::{ORIGIN, USER_AGENT},
};

use crate::record::{
    Counted, Kept, Signal,
    wire::{NoRequest, from_json},
};

use http::Form;

/// An answer's body.
pub type AnswerBody = UnsyncBoxBody<Bytes, Infallible>;

/// What protobuf may take more than the JSON that it comes from: a number of one digit is eight bytes.
const BLOAT: usize = 4;

/// Where requests go.
pub trait End: Send + Sync {
    /// A share of the memory that requests may occupy. Given back when it is dropped.
    type Room: Default + Send;

    /// A request is refused that is larger than this, before or after decompression.
    fn max_request_bytes(&self) -> usize;

    /// Whether there is a place for such records.
    fn takes(&self, signal: Signal) -> bool;

    /// What a client has to show; `None` if anyone may send.
    fn token(&self) -> Option<&Token> {
        None
    }

    /// Makes the room fit so many bytes in all. Says whether it does; it may wait a moment for others to finish.
    fn grow(&self, room: &mut Self::Room, bytes: usize) -> impl Future<Output = bool> + Send;

    /// Takes an encoded request, such as `ExportLogsServiceRequest`. The records that are not rejected are durable when
    /// this returns.
    fn take(
        &self,
        signal: Signal,
        request: Vec<u8>,
        counted: Counted,
        room: Self::Room,
    ) -> impl Future<Output = Result<Kept, Refusal>> + Send;

    /// Is told of each request that was not taken.
    fn refused(&self, _refusal: &Refusal) {}
}

/// Takes requests that were made in this process, and not received.
#[async_trait]
pub trait Sink: Send + Sync {
    /// Takes an encoded request. The records that are not rejected are durable when this returns.
    async fn put(&self, signal: Signal, request: Vec<u8>) -> Result<Kept, Refusal>;
}

#[async_trait]
impl<E: End> Sink for E {
    async fn put(&self, signal: Signal, request: Vec<u8>) -> Result<Kept, Refusal> {
        let mut room = E::Room::default();
        if !self.grow(&mut room, request.len()).await {
            return Err(Refusal::Busy);
        }
        self.take(signal, request, Counted::Here, room).await
    }
}

/// Answers a request, whichever of the two protocols it is in.
pub async fn answer<E, B>(request: Request<B>, end: &E) -> Response<AnswerBody>
where
    E: End,
    B: Body<Data = Bytes> + Send,
{
    let is_grpc = grpc::is_grpc(request.headers());
    let form = if is_grpc { Ok(Form::Protobuf) } else { Form::of(request.headers()) };
    let path = request.uri().path();
    let signal = if is_grpc { grpc::signal_at(path) } else { http::signal_at(path) };
    let outcome = take(request, is_grpc, &signal, &form, end).await;
    if let Err(refusal) = &outcome {
        end.refused(refusal);
    }
    let signal = signal.unwrap_or(Signal::Logs);
    if is_grpc { grpc::respond(&outcome) } else { http::respond(signal, form.unwrap_or(Form::Protobuf), &outcome) }
}

async fn take<E, B>(
    request: Request<B>,
    is_grpc: bool,
    signal: &Result<Signal, Refusal>,
    form: &Result<Form, Refusal>,
    end: &E,
) -> Result<Kept, Refusal>
where
    E: End,
    B: Body<Data = Bytes> + Send,
{
    let (head, body) = request.into_parts();
    check_sender(&head.headers, end)?;
    let signal = *signal.as_ref().map_err(Refusal::unfound)?;
    if head.method != Method::POST {
        return Err(Refusal::Method);
    }
    if !end.takes(signal) {
        return Err(Refusal::Unkept(signal));
    }
    let form = *form.as_ref().map_err(|_| Refusal::MediaType)?;
    let limit = end.max_request_bytes();
    let mut room = E::Room::default();
    let request = if is_grpc {
        grpc::read(&head.headers, body, limit, end, &mut room).await?
    } else {
        http::read(&head.headers, body, limit, end, &mut room).await?
    };
    let request = match form {
        Form::Protobuf => request,
        Form::Json => protobuf_of(signal, &request, end, &mut room).await?,
    };
    end.take(signal, request, counted(&head.headers), room).await
}

/// A runlog that sends has counted what it sends.
fn counted(headers: &HeaderMap) -> Counted {
    let is_runlog = headers.get(USER_AGENT).is_some_and(|agent| agent.as_bytes().starts_with(b"runlog/"));
    if is_runlog { Counted::Before } else { Counted::Here }
}

/// Takes a request in JSON that has come another way than over HTTP.
///
/// # Errors
/// If it is not taken, as a client is told.
pub async fn take_json<E: End>(signal: Signal, text: &[u8], end: &E) -> Result<Kept, Refusal> {
    let mut room = E::Room::default();
    let request = protobuf_of(signal, text, end, &mut room).await?;
    end.take(signal, request, Counted::Here, room).await
}

/// A request in JSON as protobuf.
async fn protobuf_of<E: End>(signal: Signal, text: &[u8], end: &E, room: &mut E::Room) -> Result<Vec<u8>, Refusal> {
    let limit = end.max_request_bytes();
    // A vector that grows may be twice as large as what it holds.
    let protobuf = (text.len() * BLOAT).min(limit * 2);
    if !end.grow(room, text.len() + protobuf).await {
        return Err(Refusal::Busy);
    }
    from_json(signal, text, limit).map_err(|fault| match fault {
        NoRequest::Json(source) => Refusal::Json { signal, source },
        NoRequest::TooLarge(limit) => Refusal::TooLarge { limit },
    })
}

/// Whether whoever sends this may.
fn check_sender(headers: &HeaderMap, end: &impl End) -> Result<(), Refusal> {
    // Browsers alone send these, with each POST.
    if headers.contains_key(ORIGIN) || headers.contains_key("sec-fetch-site") {
        return Err(Refusal::WebPage);
    }
    if end.token().is_some_and(|token| !token.is_shown(headers)) {
        return Err(Refusal::Stranger);
    }
    Ok(())
}
