//! OTLP/gRPC: `Export` as one unary call, framed here.
//!
//! A gRPC library compresses a message itself, from a struct. The queue's batches are encoded and compressed
//! already, so this module writes the frame around them: a byte that says whether the message is compressed,
//! its length in four bytes, the message.
//!
//! Sources: grpc/grpc, `doc/PROTOCOL-HTTP2.md`, `doc/compression.md`, `doc/http-grpc-status-mapping.md`; OTLP
//! specification 1.11.0, "OTLP/gRPC".

use std::{borrow::Cow, io::Read, time::Duration};

use base64::{
    Engine,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use bytes::{BufMut, Bytes, BytesMut};
use flate2::read::GzDecoder;
use hyper::{
    HeaderMap, Request, StatusCode,
    header::{CONTENT_TYPE, HeaderValue, TE},
};
use prost::Message;
use tonic_types::RpcStatusExt;

use crate::record::{Signal, UnixNanos};

use super::{
    Compression, Delivery,
    otlp::Verdict,
    otlp_http::{asks_for_time, content_type, partial_success, plainer, wish},
    report::one_line,
    transport::{Answer, LONGEST_ANSWER, Outgoing},
};

/// The path of a signal's method.
pub(super) const fn method_of(signal: Signal) -> &'static str {
    match signal {
        Signal::Logs => "/opentelemetry.proto.collector.logs.v1.LogsService/Export",
        Signal::Metrics => "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export",
        Signal::Traces => "/opentelemetry.proto.collector.trace.v1.TraceService/Export",
    }
}

const PREFIX: usize = 5;

/// Servers differ in whether they pad.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &base64::alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// Completes a request.
pub(super) fn frame(
    mut request: Request<()>,
    body: Bytes,
    compression: Compression,
    timeout: Duration,
) -> Request<Outgoing> {
    let headers = request.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    headers.insert(TE, HeaderValue::from_static("trailers"));
    headers.remove("grpc-encoding");
    if compression != Compression::None {
        headers.insert("grpc-encoding", HeaderValue::from_static(compression.as_str()));
    }
    // At most eight digits are allowed.
    let milliseconds = timeout.as_millis().min(99_999_999);
    if let Ok(value) = HeaderValue::from_str(&format!("{milliseconds}m")) {
        headers.insert("grpc-timeout", value);
    }
    let mut prefix = BytesMut::with_capacity(PREFIX);
    prefix.put_u8(u8::from(compression != Compression::None));
    // A batch's size is a u32 before compression, and compression refuses to grow it beyond that.
    prefix.put_u32(u32::try_from(body.len()).unwrap_or(u32::MAX));
    request.map(|()| Outgoing { prefix: prefix.freeze(), batch: body })
}

/// Reads an answer.
pub(super) fn judge(answer: &Answer, compression: Compression, now: UnixNanos) -> Verdict {
    // A call that fails at once has its trailers in the head ("Trailers-Only").
    let status = Status::read(&answer.trailers).or_else(|| Status::read(&answer.headers));
    match status {
        None => Verdict::of(without_status(answer, now)),
        Some(Status { code: 0, .. }) => Verdict::of(accepted(answer)),
        Some(status) => refused(&status, compression),
    }
}

/// Whether an answer says that there is no such method.
pub(super) fn is_unserved(answer: &Answer) -> bool {
    let status = Status::read(&answer.trailers).or_else(|| Status::read(&answer.headers));
    status.is_some_and(|status| status.code == UNIMPLEMENTED)
}

/// `grpc-status` and what belongs to it.
struct Status {
    code: u16,
    message: String,
    retry_delay: Option<Duration>,
}

impl Status {
    fn read(headers: &HeaderMap) -> Option<Self> {
        let code = headers.get("grpc-status")?.to_str().ok()?.parse().ok()?;
        let message = headers.get("grpc-message").map_or(String::new(), |message| {
            one_line(&percent_encoding::percent_decode(message.as_bytes()).decode_utf8_lossy())
        });
        let retry_delay = headers.get("grpc-status-details-bin").and_then(|details| {
            let details = BASE64.decode(details.as_bytes()).ok()?;
            tonic_types::Status::decode(&details[..]).ok()?.get_details_retry_info()?.retry_delay
        });
        Some(Self { code, message, retry_delay })
    }
}

fn refused(status: &Status, compression: Compression) -> Verdict {
    let Status { code, message, retry_delay } = status;
    let name = NAMES.get(usize::from(*code)).copied().unwrap_or("an unknown code");
    let colon = if message.is_empty() { "" } else { ": " };
    let reason = format!("answered {name}{colon}{message}");
    let after = retry_delay.map(|delay| delay.min(super::backoff::LONGEST_WISH));
    let delivery = match (*code, after) {
        // tonic says OUT_OF_RANGE, which would be tried again for ever.
        (OUT_OF_RANGE | RESOURCE_EXHAUSTED, _) if is_about_size(message) => Delivery::TooLarge { reason },
        (CANCELLED | DEADLINE_EXCEEDED | ABORTED | OUT_OF_RANGE | UNAVAILABLE | DATA_LOSS, _)
        | (RESOURCE_EXHAUSTED, Some(_)) => Delivery::Retry { after, reason },
        (UNAUTHENTICATED | PERMISSION_DENIED, _) => {
            Delivery::Misconfigured { reason: format!("{reason}; see export.headers") }
        }
        // Either the service is not there, or its compression (`doc/compression.md`).
        (UNIMPLEMENTED, _) => {
            let delivery = Delivery::Misconfigured { reason: format!("{reason}; see export.endpoint") };
            return Verdict { delivery, plainer: plainer(compression) };
        }
        (INVALID_ARGUMENT | NOT_FOUND | ALREADY_EXISTS | FAILED_PRECONDITION, _) => Delivery::Refused { reason },
        // UNKNOWN, INTERNAL, RESOURCE_EXHAUSTED, and codes that are none.
        _ => Delivery::Failed { reason },
    };
    Verdict::of(delivery)
}

/// Whether this is how grpc-go, C++, Java, .NET or tonic say that a message is too large: there is no code for it.
fn is_about_size(message: &str) -> bool {
    let message = message.to_ascii_lowercase();
    ["larger than max", "too large", "exceeds max", "exceeds the max"].iter().any(|words| message.contains(words))
}

fn accepted(answer: &Answer) -> Delivery {
    let partial = answer.body.as_ref().ok().and_then(|body| {
        let (prefix, message) = body.split_at_checked(PREFIX)?;
        partial_success(&opened(prefix[0], message, &answer.headers)?)
    });
    let (rejected, message) = partial
        .map(|(rejected, message)| (rejected, one_line(&message)))
        .unwrap_or_else(|| (0, "answered OK, but with a message that is no OTLP".to_owned()));
    Delivery::Accepted { rejected, message }
}

/// The message of an answer's frame, or `None` if it cannot be read.
///
/// grpc-go answers in the compression of the request, although the request does not say that we accept it.
fn opened<'a>(compressed: u8, message: &'a [u8], headers: &HeaderMap) -> Option<Cow<'a, [u8]>> {
    if compressed == 0 {
        return Some(Cow::Borrowed(message));
    }
    let mut bytes = Vec::new();
    let longest = LONGEST_ANSWER as u64;
    match headers.get("grpc-encoding")?.as_bytes() {
        b"gzip" => GzDecoder::new(message).take(longest).read_to_end(&mut bytes).ok()?,
        b"zstd" => zstd::Decoder::new(message).ok()?.take(longest).read_to_end(&mut bytes).ok()?,
        _ => return None,
    };
    Some(Cow::Owned(bytes))
}

/// What is not gRPC comes from a proxy or from the wrong server. It says nothing about the data.
fn without_status(answer: &Answer, now: UnixNanos) -> Delivery {
    let status = answer.status;
    let reason = format!("answered {status}");
    match status {
        _ if asks_for_time(status) => Delivery::Retry { after: wish(&answer.headers, now), reason },
        StatusCode::PAYLOAD_TOO_LARGE => Delivery::TooLarge { reason },
        StatusCode::OK if content_type(&answer.headers).starts_with("application/grpc") => {
            Delivery::Retry { after: None, reason: "the answer broke off".to_owned() }
        }
        _ if status.is_server_error() => Delivery::Retry { after: None, reason },
        _ => Delivery::Misconfigured {
            reason: format!(
                "{reason} without a gRPC status; if this is an OTLP/HTTP endpoint, set export.protocol = \"http/protobuf\""
            ),
        },
    }
}

const CANCELLED: u16 = 1;
const INVALID_ARGUMENT: u16 = 3;
const DEADLINE_EXCEEDED: u16 = 4;
const NOT_FOUND: u16 = 5;
const ALREADY_EXISTS: u16 = 6;
const PERMISSION_DENIED: u16 = 7;
const RESOURCE_EXHAUSTED: u16 = 8;
const FAILED_PRECONDITION: u16 = 9;
const ABORTED: u16 = 10;
const OUT_OF_RANGE: u16 = 11;
const UNIMPLEMENTED: u16 = 12;
const UNAVAILABLE: u16 = 14;
const DATA_LOSS: u16 = 15;
const UNAUTHENTICATED: u16 = 16;

/// The codes' names (grpc/grpc, `doc/statuscodes.md`).
const NAMES: [&str; 17] = [
    "OK",
    "CANCELLED",
    "UNKNOWN",
    "INVALID_ARGUMENT",
    "DEADLINE_EXCEEDED",
    "NOT_FOUND",
    "ALREADY_EXISTS",
    "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED",
    "FAILED_PRECONDITION",
    "ABORTED",
    "OUT_OF_RANGE",
    "UNIMPLEMENTED",
    "INTERNAL",
    "UNAVAILABLE",
    "DATA_LOSS",
    "UNAUTHENTICATED",
];

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn x16_a_compressed_answer_is_not_unpacked_beyond_what_is_read_of_one() {
        let zeros = vec![0; LONGEST_ANSWER + 1];
        // Stored, since unpacking takes half a minute in a debug build else.
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::none());
        gzip.write_all(&zeros).unwrap();
        for (encoding, bomb) in [("gzip", gzip.finish().unwrap()), ("zstd", zstd::bulk::compress(&zeros, 1).unwrap())] {
            let headers =
                [(hyper::header::HeaderName::from_static("grpc-encoding"), HeaderValue::from_static(encoding))];
            let opened = opened(1, &bomb, &headers.into_iter().collect()).unwrap();
            assert_eq!(opened.len(), LONGEST_ANSWER, "{encoding}");
        }
    }
}
