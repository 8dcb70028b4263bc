//! OTLP/gRPC: one unary call, framed here, as `export` frames its own.

use base64::{Engine, engine::general_purpose::STANDARD_NO_PAD};
use bytes::{BufMut, Bytes};
use http_body_util::{BodyExt, Empty, Full};
use hyper::{
    HeaderMap, Response,
    body::Body,
    header::{CONTENT_TYPE, HeaderValue},
};
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
use prost::Message;
use tonic_types::{Status, pb::RetryInfo};

use crate::record::{Kept, Signal};

use super::{
    AnswerBody, End, Refusal,
    body::{self, ENCODINGS, Encoding},
    http::{header, response},
};

const MEDIA_TYPE: &str = "application/grpc";

/// Whether the message is compressed, and its length in four bytes.
const PREFIX: usize = 5;

/// What `grpc-message` may not hold as it is.
const ENCODED: &AsciiSet = &CONTROLS.add(b'%');

/// Whether a request is meant for us.
pub(super) fn is_grpc(headers: &HeaderMap) -> bool {
    header(headers, CONTENT_TYPE.as_str()).starts_with(MEDIA_TYPE)
}

/// The signal that is sent to that method.
pub(super) fn signal_at(path: &str) -> Result<Signal, Refusal> {
    let is_at = |signal: &Signal| method_of(*signal) == path;
    Signal::ALL.into_iter().find(is_at).ok_or(Refusal::Service)
}

const fn method_of(signal: Signal) -> &'static str {
    match signal {
        Signal::Logs => "/opentelemetry.proto.collector.logs.v1.LogsService/Export",
        Signal::Metrics => "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export",
        Signal::Traces => "/opentelemetry.proto.collector.trace.v1.TraceService/Export",
    }
}

/// Reads a call's message.
pub(super) async fn read<E, B>(
    headers: &HeaderMap,
    body: B,
    limit: usize,
    end: &E,
    room: &mut E::Room,
) -> Result<Vec<u8>, Refusal>
where
    E: End,
    B: Body<Data = Bytes> + Send,
{
    let encoding = Encoding::named(header(headers, "grpc-encoding"))?;
    let mut message = body::read(body, limit + PREFIX, announced, end, room).await?;
    let is_compressed = strip_frame(&mut message)?;
    let encoding = if is_compressed { encoding } else { Encoding::Identity };
    body::decompress(message, encoding, limit, end, room).await
}

/// Answers a call.
pub(super) fn respond(outcome: &Result<Kept, Refusal>) -> Response<AnswerBody> {
    match outcome {
        Ok(kept) => answered(&response(kept)),
        Err(refusal) => refused(refusal),
    }
}

/// The length of a frame, by its begin.
fn announced(framed: &[u8]) -> Option<usize> {
    let length = framed.get(1..PREFIX)?.try_into().ok().map(u32::from_be_bytes)?;
    usize::try_from(length).ok()?.checked_add(PREFIX)
}

/// Takes the frame off its message, and says whether the message is compressed.
fn strip_frame(framed: &mut Vec<u8>) -> Result<bool, Refusal> {
    let (is_compressed, length) = match framed[..] {
        [flag @ (0 | 1), a, b, c, d, ..] => (flag == 1, u32::from_be_bytes([a, b, c, d])),
        _ => return Err(Refusal::Frame),
    };
    if usize::try_from(length) != Ok(framed.len() - PREFIX) {
        return Err(Refusal::Frame);
    }
    framed.drain(..PREFIX);
    Ok(is_compressed)
}

/// The answer of a call that was done.
fn answered(message: &[u8]) -> Response<AnswerBody> {
    let mut framed = Vec::with_capacity(PREFIX + message.len());
    framed.put_u8(0);
    // No answer is as long.
    framed.put_u32(u32::try_from(message.len()).unwrap_or(u32::MAX));
    framed.extend_from_slice(message);
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", HeaderValue::from(0));
    let mut response =
        Response::new(Full::from(framed).with_trailers(std::future::ready(Some(Ok(trailers)))).boxed_unsync());
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(MEDIA_TYPE));
    response
}

/// The answer of a call that failed, with what there is to say beside the message: a message of `google.rpc` by its name.
///
/// The status stands in the head, since nothing else comes ("Trailers-Only").
fn failed(code: i32, message: &str, detail: Option<(&str, Vec<u8>)>) -> Response<AnswerBody> {
    let mut response = Response::new(Empty::new().boxed_unsync());
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(MEDIA_TYPE));
    headers.insert("grpc-status", HeaderValue::from(code));
    if let Ok(message) = HeaderValue::from_str(&utf8_percent_encode(message, ENCODED).to_string()) {
        headers.insert("grpc-message", message);
    }
    if let Some((name, value)) = detail {
        let mut status = Status { code, message: message.to_owned(), ..Status::default() };
        status.details.push(Default::default());
        if let Some(detail) = status.details.last_mut() {
            detail.type_url = format!("type.googleapis.com/google.rpc.{name}");
            detail.value = value;
        }
        if let Ok(details) = HeaderValue::from_str(&STANDARD_NO_PAD.encode(status.encode_to_vec())) {
            headers.insert("grpc-status-details-bin", details);
        }
    }
    response
}

fn refused(refusal: &Refusal) -> Response<AnswerBody> {
    let wish = refusal.retry_after().map(|after| {
        let mut wish = RetryInfo::default();
        wish.retry_delay.get_or_insert_default().seconds = i64::try_from(after.as_secs()).unwrap_or(i64::MAX);
        ("RetryInfo", wish.encode_to_vec())
    });
    let mut response = failed(refusal.code(), &refusal.to_string(), wish);
    if matches!(refusal, Refusal::Encoding) {
        response.headers_mut().insert("grpc-accept-encoding", HeaderValue::from_static(ENCODINGS));
    }
    response
}
