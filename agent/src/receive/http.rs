//! OTLP/HTTP.

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::{
    HeaderMap, Response,
    body::Body,
    header::{ALLOW, CONTENT_ENCODING, CONTENT_TYPE, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE},
};
use opentelemetry_proto::tonic::collector::logs::v1::{ExportLogsPartialSuccess, ExportLogsServiceResponse};
use prost::Message;
use serde_json::json;
use tonic_types::Status;

use crate::record::{Kept, Signal};

use super::{
    AnswerBody, End, Refusal,
    body::{self, Encoding},
};

/// Where a signal is sent.
#[must_use]
pub const fn path_of(signal: Signal) -> &'static str {
    match signal {
        Signal::Logs => "/v1/logs",
        Signal::Metrics => "/v1/metrics",
        Signal::Traces => "/v1/traces",
    }
}

/// How messages are encoded. An answer is encoded as its request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    Protobuf,
    Json,
}

impl Form {
    const fn media_type(self) -> &'static str {
        match self {
            Self::Protobuf => "application/x-protobuf",
            Self::Json => "application/json",
        }
    }

    pub(super) fn of(headers: &HeaderMap) -> Result<Self, Refusal> {
        let media_type = header(headers, CONTENT_TYPE.as_str()).split(';').next().unwrap_or_default().trim();
        let is = |form: &Self| media_type.eq_ignore_ascii_case(form.media_type());
        [Self::Protobuf, Self::Json].into_iter().find(is).ok_or(Refusal::MediaType)
    }
}

/// A header's value; empty if there is none or it is not text.
pub(super) fn header<'a>(headers: &'a HeaderMap, name: &str) -> &'a str {
    headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
}

/// The signal that is sent to that path.
pub(super) fn signal_at(path: &str) -> Result<Signal, Refusal> {
    Signal::ALL.into_iter().find(|signal| path_of(*signal) == path).ok_or(Refusal::Path)
}

/// Reads a request's body down to its message.
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
    let encoding = Encoding::named(header(headers, CONTENT_ENCODING.as_str()))?;
    let body = body::read(body, limit, |_| None, end, room).await?;
    body::decompress(body, encoding, limit, end, room).await
}

pub(super) fn respond(signal: Signal, form: Form, outcome: &Result<Kept, Refusal>) -> Response<AnswerBody> {
    let body = match (form, outcome) {
        (Form::Protobuf, Ok(kept)) => response(kept),
        (Form::Protobuf, Err(refusal)) => {
            Status { code: refusal.code(), message: refusal.to_string(), ..Status::default() }.encode_to_vec()
        }
        (Form::Json, Ok(kept)) if kept.rejected == 0 => b"{}".to_vec(),
        (Form::Json, Ok(Kept { rejected, reason })) => {
            let count = match signal {
                Signal::Logs => "rejectedLogRecords",
                Signal::Metrics => "rejectedDataPoints",
                Signal::Traces => "rejectedSpans",
            };
            let partial = json!({count: rejected.to_string(), "errorMessage": reason});
            json!({ "partialSuccess": partial }).to_string().into_bytes()
        }
        (Form::Json, Err(refusal)) => {
            json!({"code": refusal.code(), "message": refusal.to_string()}).to_string().into_bytes()
        }
    };
    let mut response = Response::new(Full::from(body).boxed_unsync());
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(form.media_type()));
    if let Err(refusal) = outcome {
        if let Some(after) = refusal.retry_after() {
            headers.insert(RETRY_AFTER, HeaderValue::from(after.as_secs()));
        }
        match refusal {
            Refusal::Method => _ = headers.insert(ALLOW, HeaderValue::from_static("POST")),
            Refusal::Stranger => _ = headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer")),
            _ => {}
        }
        *response.status_mut() = refusal.status();
    }
    response
}

/// An encoded `ExportLogsServiceResponse`: nothing at all if all went well. Those of metrics and traces have the same
/// fields, though they count data points and spans.
pub(super) fn response(kept: &Kept) -> Vec<u8> {
    let partial = ExportLogsPartialSuccess {
        rejected_log_records: i64::try_from(kept.rejected).unwrap_or(i64::MAX),
        error_message: kept.reason.clone(),
    };
    ExportLogsServiceResponse { partial_success: (kept.rejected > 0).then_some(partial) }.encode_to_vec()
}
