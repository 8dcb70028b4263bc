//! Takes logs over OTLP/HTTP into the store, for `runlog serve`.
//!
//! Source: OpenTelemetry protocol specification, "OTLP/HTTP": requests, responses, failures. Protobuf alone;
//! JSON is refused as an unsupported media type.

use std::{
    io::{self, Read},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use axum::{
    Router,
    body::{Body, Bytes, to_bytes},
    extract::State,
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
    routing::post,
};
use flate2::read::MultiGzDecoder;
use prost::{
    Message,
    encoding::{WireType, encode_key, encode_varint},
};
use tokio::{sync::Semaphore, time::timeout};
use tonic_types::Status;

use crate::{
    record::{
        BatchMeta, Severity, batch,
        wire::{Malformed, ResourceView, Value, requests_resources},
    },
    store::{Store, StoreError, Writer},
};

const PROTOBUF: &str = "application/x-protobuf";

/// A request is refused that is larger, before or after decompression: the specification's recommendation.
const MAX_REQUEST_BYTES: usize = 64 << 20;

/// Requests that are in memory at the same time; the others wait.
const MAX_REQUESTS: usize = 2;

/// How long a request's body may take.
const BODY_TIMEOUT: Duration = Duration::from_secs(30);

/// Stores what comes in. What a client sends twice is stored twice, as OTLP allows.
#[derive(Debug, Clone)]
pub struct Receiver {
    store: Arc<Store>,
    writer: Writer,
    next_seq: Arc<Mutex<u64>>,
    places: Arc<Semaphore>,
}

impl Receiver {
    /// Receives into that store.
    #[must_use]
    pub fn new(store: Arc<Store>) -> Self {
        let writer = uuid::Uuid::new_v4().into_bytes();
        Self { store, writer, next_seq: Arc::default(), places: Arc::new(Semaphore::new(MAX_REQUESTS)) }
    }

    /// Stores a decompressed request, a block per run; all of it is durable when this returns, or nothing is stored.
    fn store(&self, request: &[u8]) -> Result<(), Refusal> {
        let mut compressor = batch::compressor()?;
        let blocks: Vec<_> = split(request)?
            .into_iter()
            .map(|(meta, bytes)| Ok((meta, compressor.compress(&bytes)?)))
            .collect::<io::Result<_>>()?;
        // Held until they are stored: the store passes over a number that comes after a higher one.
        let mut next_seq = self.next_seq.lock().unwrap_or_else(PoisonError::into_inner);
        let batches: Vec<_> =
            (*next_seq..).zip(&blocks).map(|(seq, (meta, payload))| (seq, meta, &payload[..])).collect();
        self.store.append(self.writer, &batches)?;
        *next_seq += batches.len() as u64;
        Ok(())
    }
}

/// Why a request is not stored.
#[derive(Debug, thiserror::Error)]
enum Refusal {
    #[error("send {PROTOBUF}")]
    MediaType,
    #[error("send the body as it is, or with Content-Encoding gzip or zstd")]
    Encoding,
    #[error("the request is larger than 64 MiB")]
    TooLarge,
    #[error("the body came too slowly")]
    TooSlow,
    #[error("the body cannot be read")]
    Body(#[from] io::Error),
    #[error("the body is no ExportLogsServiceRequest")]
    Malformed(#[from] Malformed),
    #[error("web pages may not send logs")]
    WebPage,
    #[error("the store cannot take it at the moment")]
    Store(#[from] StoreError),
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let status = match &self {
            Self::MediaType | Self::Encoding => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::TooSlow => StatusCode::REQUEST_TIMEOUT,
            Self::Body(_) | Self::Malformed(_) => StatusCode::BAD_REQUEST,
            Self::WebPage => StatusCode::FORBIDDEN,
            Self::Store(fault) => {
                tracing::warn!(error = %fault, cause = std::error::Error::source(fault), "received logs could not be stored");
                StatusCode::SERVICE_UNAVAILABLE
            }
        };
        let message = Status { message: self.to_string(), ..Status::default() };
        (status, [(header::CONTENT_TYPE, PROTOBUF)], message.encode_to_vec()).into_response()
    }
}

/// Not behind the check of `Host`, since agents call this server by the name that their network has for it.
pub(super) fn router(receiver: Receiver) -> Router {
    Router::new().route("/v1/logs", post(receive)).with_state(receiver)
}

async fn receive(State(receiver): State<Receiver>, headers: HeaderMap, body: Body) -> Result<Response, Refusal> {
    let get = |name| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    // Browsers alone send these.
    if headers.contains_key(header::ORIGIN) || headers.contains_key("sec-fetch-site") {
        return Err(Refusal::WebPage);
    }
    if get("content-type").split(';').next().map(str::trim) != Some(PROTOBUF) {
        return Err(Refusal::MediaType);
    }
    let encoding = get("content-encoding").to_ascii_lowercase();
    let interrupted = |_| Refusal::Store(StoreError::Interrupted);
    let place = Arc::clone(&receiver.places).acquire_owned().await.map_err(|_| StoreError::Interrupted)?;
    let body = timeout(BODY_TIMEOUT, to_bytes(body, MAX_REQUEST_BYTES))
        .await
        .map_err(|_| Refusal::TooSlow)?
        .map_err(|_| Refusal::TooLarge)?;
    let stored = tokio::task::spawn_blocking(move || {
        let stored = decompress(body, &encoding).and_then(|request| receiver.store(&request));
        drop(place);
        stored
    });
    stored.await.map_err(interrupted)??;
    // An empty body is an `ExportLogsServiceResponse` without partial success.
    Ok(([(header::CONTENT_TYPE, PROTOBUF)], Bytes::new()).into_response())
}

fn decompress(body: Bytes, encoding: &str) -> Result<Bytes, Refusal> {
    let unpack = |from: &mut dyn Read| {
        let mut request = Vec::new();
        from.take(MAX_REQUEST_BYTES as u64 + 1).read_to_end(&mut request)?;
        if request.len() > MAX_REQUEST_BYTES { Err(Refusal::TooLarge) } else { Ok(request.into()) }
    };
    match encoding {
        "" | "identity" => Ok(body),
        "gzip" => unpack(&mut MultiGzDecoder::new(&body[..])),
        "zstd" => unpack(&mut zstd::stream::read::Decoder::with_buffer(&body[..])?),
        _ => Err(Refusal::Encoding),
    }
}

/// A request per run, each with its description, in the order of their first records.
fn split(request: &[u8]) -> Result<Vec<(BatchMeta, Vec<u8>)>, Malformed> {
    let mut parts: Vec<(BatchMeta, Vec<u8>)> = Vec::new();
    for resource in requests_resources(request) {
        let resource = resource?;
        let run_id = run_of(&resource)?;
        let at = parts.iter().position(|(meta, _)| meta.run_id == run_id).unwrap_or_else(|| {
            let records_by_range = vec![0; Severity::RANGES];
            parts.push((BatchMeta { run_id, records_by_range, ..BatchMeta::default() }, Vec::new()));
            parts.len() - 1
        });
        let (meta, bytes) = &mut parts[at];
        describe(&resource, meta)?;
        // `resource_logs` is field 1; its messages may stand one after the other.
        encode_key(1, WireType::LengthDelimited, bytes);
        encode_varint(resource.bytes.len() as u64, bytes);
        bytes.extend_from_slice(resource.bytes);
        meta.uncompressed_bytes = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
    }
    parts.retain(|(meta, _)| meta.records > 0);
    Ok(parts)
}

fn run_of(resource: &ResourceView<'_>) -> Result<String, Malformed> {
    let (mut run_id, mut service) = ("", "");
    for attribute in resource.attributes() {
        match attribute? {
            ("ml.run.id", Value::String(id)) => run_id = id,
            ("service.name", Value::String(name)) => service = name,
            _ => {}
        }
    }
    let named = [run_id, service].into_iter().find(|name| !name.is_empty());
    Ok(named.unwrap_or("unknown").to_owned())
}

fn describe(resource: &ResourceView<'_>, meta: &mut BatchMeta) -> Result<(), Malformed> {
    for scope in resource.scopes() {
        for record in scope?.records() {
            let record = record?;
            let time = record.best_time();
            if meta.records == 0 || time < meta.first_time_unix_nano {
                meta.first_time_unix_nano = time;
            }
            meta.last_time_unix_nano = meta.last_time_unix_nano.max(time);
            meta.records += 1;
            meta.records_by_range[record.severity.range()] += 1;
            meta.has_events |= !record.event_name.is_empty();
        }
    }
    Ok(())
}
