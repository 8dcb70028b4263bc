//! OTLP/HTTP.

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::{
    HeaderMap, Method, Request, Response,
    body::Body,
    header::{ALLOW, CONTENT_ENCODING, CONTENT_TYPE, HeaderValue, ORIGIN, RETRY_AFTER},
};
use opentelemetry_proto::tonic::collector::logs::v1::{ExportLogsPartialSuccess, ExportLogsServiceResponse};
use prost::Message;
use serde_json::json;
use tonic_types::Status;

use crate::record::Kept;

use super::{
    AnswerBody, End, Refusal,
    body::{self, Encoding},
    json,
};

/// Where logs are sent.
pub const LOGS_PATH: &str = "/v1/logs";

/// How messages are encoded. An answer is encoded as its request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
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

    fn of(headers: &HeaderMap) -> Result<Self, Refusal> {
        let media_type = header(headers, CONTENT_TYPE.as_str()).split(';').next().unwrap_or_default().trim();
        let is = |form: &Self| media_type.eq_ignore_ascii_case(form.media_type());
        [Self::Protobuf, Self::Json].into_iter().find(is).ok_or(Refusal::MediaType)
    }
}

/// A header's value; empty if there is none or it is not text.
pub(super) fn header<'a>(headers: &'a HeaderMap, name: &str) -> &'a str {
    headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
}

/// Answers a request.
pub(super) async fn answer<E, B>(request: Request<B>, end: &E) -> Response<AnswerBody>
where
    E: End,
    B: Body<Data = Bytes> + Send,
{
    let form = Form::of(request.headers());
    match take(request, &form, end).await {
        Ok(kept) => respond(form.unwrap_or(Form::Protobuf), &Ok(kept)),
        Err(refusal) => respond(form.unwrap_or(Form::Protobuf), &Err(refusal)),
    }
}

async fn take<E, B>(request: Request<B>, form: &Result<Form, Refusal>, end: &E) -> Result<Kept, Refusal>
where
    E: End,
    B: Body<Data = Bytes> + Send,
{
    let (head, body) = request.into_parts();
    if head.uri.path() != LOGS_PATH {
        return Err(Refusal::Path);
    }
    if head.method != Method::POST {
        return Err(Refusal::Method);
    }
    // Browsers alone send these.
    if head.headers.contains_key(ORIGIN) || head.headers.contains_key("sec-fetch-site") {
        return Err(Refusal::WebPage);
    }
    let form = *form.as_ref().map_err(|_| Refusal::MediaType)?;
    let encoding = Encoding::named(header(&head.headers, CONTENT_ENCODING.as_str()))?;
    let limit = end.max_request_bytes();
    let mut room = E::Room::default();
    let body = body::read(body, limit, end, &mut room).await?;
    let request = body::decompress(body, encoding, limit, end, &mut room).await?;
    let request = match form {
        Form::Protobuf => request,
        Form::Json => {
            if !end.grow(&mut room, request.len() * json::BLOAT).await {
                return Err(Refusal::Busy);
            }
            json::to_protobuf(&request)?
        }
    };
    end.take(request, room).await
}

fn respond(form: Form, outcome: &Result<Kept, Refusal>) -> Response<AnswerBody> {
    let body = match (form, outcome) {
        (Form::Protobuf, Ok(kept)) => response(kept),
        (Form::Protobuf, Err(refusal)) => {
            Status { code: refusal.code(), message: refusal.to_string(), ..Status::default() }.encode_to_vec()
        }
        (Form::Json, Ok(kept)) if kept.rejected == 0 => b"{}".to_vec(),
        (Form::Json, Ok(Kept { rejected, reason })) => {
            let partial = json!({"rejectedLogRecords": rejected.to_string(), "errorMessage": reason});
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
        if matches!(refusal, Refusal::Method) {
            headers.insert(ALLOW, HeaderValue::from_static("POST"));
        }
        *response.status_mut() = refusal.status();
    }
    response
}

/// An encoded `ExportLogsServiceResponse`: nothing at all if all went well.
pub(super) fn response(kept: &Kept) -> Vec<u8> {
    let partial = ExportLogsPartialSuccess {
        rejected_log_records: i64::try_from(kept.rejected).unwrap_or(i64::MAX),
        error_message: kept.reason.clone(),
    };
    ExportLogsServiceResponse { partial_success: (kept.rejected > 0).then_some(partial) }.encode_to_vec()
}
