//! What is answered where.

use std::{net::SocketAddr, sync::Arc};

use axum::{
    Json, Router,
    extract::{Path, RawQuery, State, rejection::PathRejection},
    http::{HeaderMap, StatusCode, header::CONTENT_TYPE},
    middleware::{from_fn_with_state, map_response},
    response::{IntoResponse, Response},
    routing::get,
};
use runlog_proto::v1;
use serde_json::json;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, TryAcquireError, watch};

use crate::{
    record::{Clock, SystemClock},
    store::Reader,
};

use super::{
    Parts, Snapshot, Vitals,
    fault::Fault,
    follow::{MAX_FOLLOWERS, follow},
    guard, metrics, otlp, page,
    params::{self, Mode},
};

/// Questions that are put to the store at the same time; the others wait.
const MAX_READS: usize = 4;

/// The runs that a list has at most, the newest.
const MAX_RUNS: usize = 1_000;

/// What all answers draw on.
#[derive(Clone)]
pub(super) struct Shared {
    store: Option<Reader>,
    vitals: Arc<dyn Vitals>,
    address: SocketAddr,
    reads: Arc<Semaphore>,
    followers: Arc<Semaphore>,
    stopping: watch::Receiver<bool>,
}

impl Shared {
    /// Asks the store, on a thread that may wait.
    pub(super) async fn read<T, E>(
        &self,
        question: impl FnOnce(&Reader) -> Result<T, E> + Send + 'static,
    ) -> Result<T, Fault>
    where
        T: Send + 'static,
        E: Into<Fault> + Send + 'static,
    {
        let interrupted = || Fault::new(StatusCode::INTERNAL_SERVER_ERROR, "reading the store was interrupted");
        let no_store = "nothing is stored here: the logs are exported, look for them there";
        let reader = self.store.clone().ok_or_else(|| Fault::new(StatusCode::NOT_FOUND, no_store))?;
        let permit = Arc::clone(&self.reads).acquire_owned().await.map_err(|_| interrupted())?;
        let answer = tokio::task::spawn_blocking(move || {
            let answer = question(&reader);
            drop(permit);
            answer
        });
        answer.await.map_err(|_| interrupted())?.map_err(Into::into)
    }

    /// A place for one more follower.
    pub(super) fn followers(&self) -> Result<OwnedSemaphorePermit, TryAcquireError> {
        Arc::clone(&self.followers).try_acquire_owned()
    }

    pub(super) fn is_stopping(&self) -> bool {
        *self.stopping.borrow()
    }

    /// Waits until the server stops. Cancel safe.
    pub(super) async fn stopped(&mut self) {
        // An error means that the server is gone.
        let _ = self.stopping.wait_for(|stopping| *stopping).await;
    }
}

pub(super) fn router(parts: Parts, address: SocketAddr, stopping: watch::Receiver<bool>) -> Router {
    let shared = Shared {
        store: parts.store,
        vitals: parts.vitals,
        address,
        reads: Arc::new(Semaphore::new(MAX_READS)),
        followers: Arc::new(Semaphore::new(MAX_FOLLOWERS)),
        stopping,
    };
    Router::new()
        .route("/livez", get(livez))
        .route("/readyz", get(readyz))
        .route(
            "/metrics",
            get(async |State(shared): State<Shared>| {
                ([(CONTENT_TYPE, metrics::CONTENT_TYPE)], metrics::render(&shared.vitals.snapshot(), SystemClock.now()))
            }),
        )
        .route("/api/v1/status", get(status))
        .route("/api/v1/runs", get(runs))
        .route("/api/v1/runs/{run}", get(run))
        .route("/api/v1/runs/{run}/logs", get(logs))
        .with_state(shared)
        .merge(page::router())
        .layer(from_fn_with_state(address, guard::check_host))
        .merge(parts.receiver.map(otlp::router).unwrap_or_default())
        .fallback(async || Fault::new(StatusCode::NOT_FOUND, "there is nothing at this path"))
        .method_not_allowed_fallback(async || {
            Fault::new(StatusCode::METHOD_NOT_ALLOWED, "this method is not answered here; use GET")
        })
        .layer(map_response(guard::add_headers))
}

async fn livez(State(shared): State<Shared>) -> impl IntoResponse {
    let stuck = shared.vitals.stuck();
    let status = if stuck.is_empty() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(json!({"live": stuck.is_empty(), "stuck": stuck})))
}

async fn readyz(State(shared): State<Shared>) -> impl IntoResponse {
    let Snapshot { unready: reasons, .. } = shared.vitals.snapshot();
    let status = if reasons.is_empty() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(json!({"ready": reasons.is_empty(), "reasons": reasons})))
}

async fn status(State(shared): State<Shared>, RawQuery(text): RawQuery) -> Result<Json<v1::Status>, Fault> {
    let are_all_asked = params::are_all_streams_asked(&text.unwrap_or_default())?;
    let address = format!("http://{}", shared.address);
    Ok(Json(shared.vitals.snapshot().status(address, are_all_asked, SystemClock.now())))
}

async fn runs(State(shared): State<Shared>) -> Result<Json<v1::ListRunsResponse>, Fault> {
    let runs = shared.read(|reader| reader.runs(MAX_RUNS)).await?;
    Ok(Json(v1::ListRunsResponse { runs }))
}

async fn run(State(shared): State<Shared>, word: Result<Path<String>, PathRejection>) -> Result<Json<v1::Run>, Fault> {
    find(&shared, word).await.map(Json)
}

async fn logs(
    State(shared): State<Shared>,
    word: Result<Path<String>, PathRejection>,
    RawQuery(text): RawQuery,
    headers: HeaderMap,
) -> Result<Response, Fault> {
    let run = find(&shared, word).await?;
    let (query, mode) = params::decode(&run.run_id, &text.unwrap_or_default(), SystemClock.now())?;
    match mode {
        Mode::Follow => follow(shared, query, &headers),
        Mode::Once => {
            let answer = shared.read(move |reader| reader.logs(&query)).await?;
            Ok(Json(answer).into_response())
        }
    }
}

async fn find(shared: &Shared, word: Result<Path<String>, PathRejection>) -> Result<v1::Run, Fault> {
    let Path(word) = word.map_err(|fault| Fault::new(StatusCode::BAD_REQUEST, fault.body_text()))?;
    shared.read(move |reader| reader.find(&word)).await
}
