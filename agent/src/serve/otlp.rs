//! Takes logs over OTLP/HTTP into the store, for `runlog serve`.

use std::{
    io,
    sync::{Arc, Mutex, PoisonError},
};

use axum::{
    Router,
    body::Body,
    extract::{Request, State},
    response::Response,
    routing::post,
};
use prost::encoding::{WireType, encode_key, encode_varint};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::{
    api::{self, Api},
    receive::{End, Refusal, answer, path_of},
    record::{
        BatchMeta, Counted, Kept, Severity, Signal, SystemClock, batch,
        wire::{Malformed, ResourceView, Value, requests_resources},
    },
    store::{Store, StoreError, Writer},
};

/// A request is refused that is larger, before or after decompression: the specification's recommendation.
const MAX_REQUEST_BYTES: usize = 64 << 20;

/// Requests that are in memory at the same time; the others wait.
const MAX_REQUESTS: usize = 2;

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

    /// The Run API, on the same store.
    #[must_use]
    pub fn run_api(&self) -> Api {
        Api::new(api::Parts {
            sink: Arc::new(self.clone()),
            store: Some(Arc::clone(&self.store)),
            // What is answered is stored.
            settle: Arc::new(|| Box::pin(async {})),
            own: None,
            clock: Arc::new(SystemClock),
        })
    }

    /// Stores a request, a block per run; all of it is durable when this returns, or nothing is stored.
    fn store(&self, request: &[u8]) -> Result<(), Refusal> {
        let mut compressor = batch::compressor().map_err(|_| Refusal::Busy)?;
        let blocks: Vec<_> = split(request)?
            .into_iter()
            .map(|(meta, bytes)| Ok((meta, compressor.compress(&bytes)?)))
            .collect::<io::Result<_>>()
            .map_err(|_| Refusal::Busy)?;
        // Held until they are stored: the store passes over a number that comes after a higher one.
        let mut next_seq = self.next_seq.lock().unwrap_or_else(PoisonError::into_inner);
        let batches: Vec<_> =
            (*next_seq..).zip(&blocks).map(|(seq, (meta, payload))| (seq, meta, &payload[..])).collect();
        self.store.append(self.writer, &batches).map_err(busy)?;
        *next_seq += batches.len() as u64;
        Ok(())
    }
}

fn busy(fault: StoreError) -> Refusal {
    tracing::warn!(error = %fault, cause = std::error::Error::source(&fault), "received logs could not be stored");
    Refusal::Busy
}

impl End for Receiver {
    type Room = Option<OwnedSemaphorePermit>;

    fn max_request_bytes(&self) -> usize {
        MAX_REQUEST_BYTES
    }

    async fn grow(&self, room: &mut Self::Room, _bytes: usize) -> bool {
        if room.is_none() {
            *room = Arc::clone(&self.places).acquire_owned().await.ok();
        }
        room.is_some()
    }

    fn takes(&self, signal: Signal) -> bool {
        signal == Signal::Logs
    }

    async fn take(
        &self,
        _signal: Signal,
        request: Vec<u8>,
        _counted: Counted,
        room: Self::Room,
    ) -> Result<Kept, Refusal> {
        let receiver = self.clone();
        let stored = tokio::task::spawn_blocking(move || {
            let stored = receiver.store(&request);
            drop(room);
            stored
        });
        stored.await.map_err(|_| busy(StoreError::Interrupted))??;
        Ok(Kept::default())
    }
}

/// Not behind the check of `Host`, since agents call this server by the name that their network has for it.
pub(super) fn router(receiver: Receiver) -> Router {
    let paths = Signal::ALL.map(path_of);
    // Those that are not kept are answered as well: that they are not.
    paths.into_iter().fold(Router::new(), |router, path| router.route(path, post(receive))).with_state(receiver)
}

async fn receive(State(receiver): State<Receiver>, request: Request) -> Response {
    answer(request, &receiver).await.map(Body::new)
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
            if !record.event_name.is_empty() {
                meta.has_events = true;
                meta.events_by_range.resize(Severity::RANGES, 0);
                meta.events_by_range[record.severity.range()] += 1;
            }
        }
    }
    Ok(())
}
