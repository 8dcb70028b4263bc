//! OTLP/HTTP: a binary-protobuf POST, and what its answers mean.
//!
//! Source: OTLP specification 1.11.0, "OTLP/HTTP". Where it says that a client must drop what was not taken for
//! a reason other than the data (401, 403, 404, ...), runlog keeps it: a wrong setting must not cost logs. Nor must a
//! fault of the server that passes (500, 408), which the specification does not let a client retry.

use bytes::Bytes;
use hyper::{
    HeaderMap, Request, StatusCode,
    header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderValue, LOCATION, RETRY_AFTER},
};
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceResponse;
use prost::Message;

use crate::record::UnixNanos;

use super::{
    Compression, Delivery,
    backoff::retry_after,
    otlp::Verdict,
    report::one_line,
    transport::{Answer, Outgoing},
};

/// Completes a request.
pub(super) fn frame(mut request: Request<()>, body: Bytes, compression: Compression) -> Request<Outgoing> {
    let headers = request.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-protobuf"));
    headers.remove(CONTENT_ENCODING);
    if compression != Compression::None {
        headers.insert(CONTENT_ENCODING, HeaderValue::from_static(compression.as_str()));
    }
    request.map(|()| Outgoing { prefix: Bytes::new(), batch: body })
}

/// Reads an answer.
pub(super) fn judge(answer: &Answer, compression: Compression, now: UnixNanos) -> Verdict {
    let status = answer.status;
    if status.is_success() {
        return Verdict::of(accepted(answer));
    }
    let reason = format!("answered {status}{}", said(answer));
    let delivery = match status {
        _ if asks_for_time(status) => Delivery::Retry { after: wish(&answer.headers, now), reason },
        StatusCode::PAYLOAD_TOO_LARGE => Delivery::TooLarge { reason },
        StatusCode::UNSUPPORTED_MEDIA_TYPE if speaks_grpc(&answer.headers) => Delivery::Misconfigured {
            reason: format!("{reason}; this is a gRPC endpoint, set export.protocol = \"grpc\""),
        },
        StatusCode::UNSUPPORTED_MEDIA_TYPE => {
            return Verdict { delivery: Delivery::Misconfigured { reason }, plainer: plainer(compression) };
        }
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
            Delivery::Misconfigured { reason: format!("{reason}; see export.headers") }
        }
        StatusCode::NOT_FOUND
        | StatusCode::METHOD_NOT_ALLOWED
        | StatusCode::GONE
        | StatusCode::MISDIRECTED_REQUEST
        | StatusCode::UPGRADE_REQUIRED
        | StatusCode::NOT_IMPLEMENTED => Delivery::Misconfigured { reason: format!("{reason}; see export.endpoint") },
        // The account, the proxy or the headers, but not the data.
        StatusCode::PAYMENT_REQUIRED
        | StatusCode::PROXY_AUTHENTICATION_REQUIRED
        | StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE => Delivery::Misconfigured { reason },
        _ if status.is_redirection() => {
            let location = answer
                .headers
                .get(LOCATION)
                .map_or(String::new(), |to| format!(" to {}", one_line(&String::from_utf8_lossy(to.as_bytes()))));
            Delivery::Misconfigured {
                reason: format!("answered {status}{location}, which is not followed; see export.endpoint"),
            }
        }
        // Some servers find no protobuf in what they cannot decompress.
        StatusCode::BAD_REQUEST => {
            return Verdict { delivery: Delivery::Refused { reason }, plainer: plainer(compression) };
        }
        StatusCode::REQUEST_TIMEOUT => Delivery::Failed { reason },
        _ if status.is_server_error() => Delivery::Failed { reason },
        _ => Delivery::Refused { reason },
    };
    Verdict::of(delivery)
}

/// Whether an answer says that there is nothing at the path that takes a signal.
pub(super) fn is_unserved(answer: &Answer) -> bool {
    matches!(answer.status, StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED | StatusCode::NOT_IMPLEMENTED)
}

/// Whether a status says that the same request may be taken later.
pub(super) const fn asks_for_time(status: StatusCode) -> bool {
    // 425 is Too Early, which a proxy says before its handshake is done.
    matches!(status.as_u16(), 425 | 429 | 502 | 503 | 504)
}

/// The compression to try when this one may be what the destination does not understand.
pub(super) const fn plainer(compression: Compression) -> Option<Compression> {
    match compression {
        Compression::Zstd => Some(Compression::Gzip),
        Compression::Gzip => Some(Compression::None),
        Compression::None => None,
    }
}

/// How long the destination wants to be left alone.
pub(super) fn wish(headers: &HeaderMap, now: UnixNanos) -> Option<std::time::Duration> {
    retry_after(headers.get(RETRY_AFTER)?.to_str().ok()?, now)
}

/// Whether this is how a gRPC server answers.
pub(super) fn speaks_grpc(headers: &HeaderMap) -> bool {
    content_type(headers).starts_with("application/grpc") || headers.contains_key("grpc-status")
}

pub(super) fn content_type(headers: &HeaderMap) -> &str {
    headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default()
}

fn accepted(answer: &Answer) -> Delivery {
    let (status, kind) = (answer.status, content_type(&answer.headers));
    if kind.starts_with("text/html") && !matches!(&answer.body, Ok(body) if body.is_empty()) {
        let reason = format!("answered {status} with a page for browsers: is there a portal or proxy in between?");
        return Delivery::Misconfigured { reason };
    }
    let strange = |what: String| Delivery::Accepted { rejected: 0, message: format!("answered {status}, but {what}") };
    let body = match &answer.body {
        Ok(body) if body.is_empty() => return Delivery::Accepted { rejected: 0, message: String::new() },
        Ok(body) => body,
        Err(unread) => return strange(unread.to_string()),
    };
    let partial = if kind.starts_with("application/json") {
        serde_json::from_slice(body).ok().map(|answer: JsonAnswer| answer.partial_success.into_parts())
    } else if kind.is_empty() || kind.contains("protobuf") {
        partial_success(body)
    } else {
        None
    };
    match partial {
        Some((rejected, message)) => Delivery::Accepted { rejected, message: one_line(&message) },
        None => strange(format!("with {kind:?} that is no OTLP: is there a portal or proxy in between?")),
    }
}

/// Reads an encoded `ExportLogsServiceResponse`: the records that were rejected, and what was said of them. Those of
/// metrics and traces have the same fields, which count data points and spans.
pub(super) fn partial_success(response: &[u8]) -> Option<(u64, String)> {
    let partial = ExportLogsServiceResponse::decode(response).ok()?.partial_success.unwrap_or_default();
    Some((u64::try_from(partial.rejected_log_records).unwrap_or(0), partial.error_message))
}

/// What an error's body says: a `google.rpc.Status`, or words.
fn said(answer: &Answer) -> String {
    let Ok(body) = &answer.body else { return String::new() };
    let kind = content_type(&answer.headers);
    let words = if kind.contains("protobuf") {
        tonic_types::Status::decode(&body[..]).map(|status| status.message).unwrap_or_default()
    } else if kind.starts_with("application/json") {
        match serde_json::from_slice(body) {
            Ok(JsonStatus { message }) if !message.is_empty() => message,
            _ => String::from_utf8_lossy(body).into_owned(),
        }
    } else if kind.starts_with("text/html") {
        // A page is for browsers; its status line says it all.
        String::new()
    } else {
        String::from_utf8_lossy(body).into_owned()
    };
    let words = one_line(&words);
    if words.is_empty() { words } else { format!(": {words}") }
}

#[derive(Debug, Default, serde::Deserialize)]
#[serde(default)]
struct JsonStatus {
    message: String,
}

/// Some servers answer protobuf with JSON.
#[derive(Debug, Default, serde::Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct JsonAnswer {
    partial_success: JsonPartialSuccess,
}

#[derive(Debug, Default, serde::Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct JsonPartialSuccess {
    // Protobuf's JSON writes 64-bit numbers as strings; some write numbers.
    #[serde(alias = "rejectedDataPoints", alias = "rejectedSpans")]
    rejected_log_records: serde_json::Value,
    error_message: String,
}

impl JsonPartialSuccess {
    fn into_parts(self) -> (u64, String) {
        let rejected = match &self.rejected_log_records {
            serde_json::Value::String(digits) => digits.parse().unwrap_or(0),
            number => number.as_u64().unwrap_or(0),
        };
        (rejected, self.error_message)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use hyper::header::HeaderName;

    use crate::export::transport::Unread;

    use super::*;

    fn answer(status: u16, headers: &[(&'static str, &'static str)], body: &[u8]) -> Answer {
        let header = |(name, value): &(&'static str, &'static str)| {
            (HeaderName::from_static(name), HeaderValue::from_static(value))
        };
        Answer {
            status: status.try_into().unwrap(),
            headers: headers.iter().map(header).collect(),
            body: Ok(Bytes::copy_from_slice(body)),
            trailers: HeaderMap::new(),
        }
    }

    fn outcome(answer: &Answer) -> Delivery {
        judge(answer, Compression::Gzip, 0).delivery
    }

    #[test]
    fn x4_x8_a_status_decides_whether_data_is_kept_retried_or_set_aside() {
        let cases = [
            ("retry", &[425, 429, 502, 503, 504][..]),
            ("failed", &[408, 500, 505, 507, 520, 599]),
            ("misconfigured", &[301, 302, 307, 308, 401, 402, 403, 404, 405, 407, 410, 415, 421, 426, 431, 501]),
            ("too large", &[413]),
            ("refused", &[400, 406, 409, 411, 414, 422]),
            ("accepted", &[200, 202, 204]),
        ];
        for (expected, statuses) in cases {
            for status in statuses {
                let found = match outcome(&answer(*status, &[], b"")) {
                    Delivery::Accepted { .. } => "accepted",
                    Delivery::Retry { after: None, .. } => "retry",
                    Delivery::Retry { .. } => "retry later",
                    Delivery::Failed { .. } => "failed",
                    Delivery::TooLarge { .. } => "too large",
                    Delivery::Refused { .. } => "refused",
                    Delivery::Misconfigured { .. } => "misconfigured",
                    Delivery::Unserved { .. } => "unserved",
                };
                assert_eq!(found, expected, "{status}");
            }
        }
    }

    #[test]
    fn x4_a_wish_to_wait_is_passed_on_and_nonsense_is_not() {
        for (value, seconds) in [("7", Some(7)), ("86400", Some(600)), ("soon", None)] {
            let answer = answer(503, &[("retry-after", value)], b"");
            let after = seconds.map(Duration::from_secs);
            let reason = "answered 503 Service Unavailable".to_owned();
            assert_eq!(outcome(&answer), Delivery::Retry { after, reason });
        }
    }

    #[test]
    fn x20_a_plainer_compression_is_tried_only_where_compression_can_be_to_blame() {
        use Compression::{Gzip, None as Plain, Zstd};
        let cases = [
            (415, Zstd, Some(Gzip)),
            (415, Gzip, Some(Plain)),
            (415, Plain, None),
            (400, Zstd, Some(Gzip)),
            (400, Gzip, Some(Plain)),
            (400, Plain, None),
            (404, Zstd, None),
            (500, Zstd, None),
            (200, Zstd, None),
        ];
        for (status, compression, expected) in cases {
            let verdict = judge(&answer(status, &[], b""), compression, 0);
            assert_eq!(verdict.plainer, expected, "{status} for {compression:?}");
        }
        let grpc = answer(415, &[("content-type", "application/grpc")], b"");
        let reason = "answered 415 Unsupported Media Type; this is a gRPC endpoint, set export.protocol = \"grpc\"";
        let expected = Verdict::of(Delivery::Misconfigured { reason: reason.into() });
        assert_eq!(judge(&grpc, Zstd, 0), expected);
    }

    /// Headers and body of a success; what was rejected and what is said of it.
    type Case<'a> = (&'a [(&'static str, &'static str)], &'a [u8], u64, &'a str);

    #[test]
    fn x6_x12_what_a_success_says_is_understood_or_flagged() {
        let proto = ("content-type", "application/x-protobuf");
        let json = ("content-type", "application/json; charset=utf-8");
        let html = ("content-type", "text/html");
        // partial_success { rejected_log_records: 3, error_message: "old" }
        let partial = b"\x0a\x07\x08\x03\x12\x03old";
        let plain = ("content-type", "text/plain");
        let strange =
            "answered 200 OK, but with \"text/plain\" that is no OTLP: is there a portal or proxy in between?";
        let torn = "answered 200 OK, but with \"application/x-protobuf\" that is no OTLP: is there a portal or proxy \
                    in between?";
        let cases: [Case<'_>; 12] = [
            (&[], b"", 0, ""),
            (&[html], b"", 0, ""),
            (&[proto], b"\x0a\x00", 0, ""),
            (&[proto], partial, 3, "old"),
            (&[], partial, 3, "old"),
            (&[json], b"{}", 0, ""),
            (&[json], br#"{"partialSuccess":{"rejectedLogRecords":"3","errorMessage":"old"}}"#, 3, "old"),
            (&[json], br#"{"partialSuccess":{"rejectedLogRecords":3}}"#, 3, ""),
            (&[json], br#"{"partialSuccess":{"rejectedDataPoints":"3"}}"#, 3, ""),
            (&[json], br#"{"partialSuccess":{"rejectedSpans":"3"}}"#, 3, ""),
            (&[plain], b"ok", 0, strange),
            (&[proto], &partial[..5], 0, torn),
        ];
        for (headers, body, rejected, message) in cases {
            let expected = Delivery::Accepted { rejected, message: message.to_owned() };
            assert_eq!(outcome(&answer(200, headers, body)), expected, "{}", body.escape_ascii());
        }
        let broken = Answer { body: Err(Unread::BrokenOff), ..answer(200, &[proto], b"") };
        let message = "answered 200 OK, but the answer broke off".to_owned();
        assert_eq!(outcome(&broken), Delivery::Accepted { rejected: 0, message });
    }

    #[test]
    fn x12_a_page_for_browsers_is_no_success() {
        let page = answer(200, &[("content-type", "text/html; charset=utf-8")], b"<html>log in</html>");
        let reason = "answered 200 OK with a page for browsers: is there a portal or proxy in between?".to_owned();
        assert_eq!(outcome(&page), Delivery::Misconfigured { reason });
        let torn = Answer { body: Err(Unread::BrokenOff), ..page };
        assert!(matches!(outcome(&torn), Delivery::Misconfigured { .. }));
        let proxy = answer(502, &[("content-type", "text/html")], b"<html>no upstream</html>");
        let reason = "answered 502 Bad Gateway".to_owned();
        assert_eq!(outcome(&proxy), Delivery::Retry { after: None, reason });
    }

    #[test]
    fn the_reason_holds_what_the_server_said() {
        let status = tonic_types::Status { code: 3, message: "entry too old".into(), details: Vec::new() };
        let cases = [
            ("application/x-protobuf", status.encode_to_vec(), ": entry too old"),
            ("application/json", br#"{"code":3,"message":"entry too old"}"#.to_vec(), ": entry too old"),
            ("application/json", br#"{"error":"odd"}"#.to_vec(), r#": {"error":"odd"}"#),
            ("text/plain; charset=utf-8", b"entry\n too\x1b old".to_vec(), ": entry too old"),
            ("text/html", b"<html>".to_vec(), ""),
        ];
        for (kind, body, said) in cases {
            let reason = format!("answered 400 Bad Request{said}");
            assert_eq!(outcome(&answer(400, &[("content-type", kind)], &body)), Delivery::Refused { reason });
        }
    }
}
