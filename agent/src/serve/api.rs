//! What is answered where.

use std::{net::SocketAddr, sync::Arc, time::Duration};

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
use tokio::{
    select,
    sync::{OwnedSemaphorePermit, Semaphore, TryAcquireError, watch},
    time::sleep,
};

use crate::{
    api::Api,
    record::{Clock, SystemClock},
    store::Reader,
};

use super::{
    Access, Parts, Snapshot, Vitals, control,
    fault::Fault,
    follow::{MAX_FOLLOWERS, follow},
    guard, metrics, otlp, page,
    params::{self, Mode},
    run_api,
};

/// Questions that are put to the store at the same time; the others wait.
const MAX_READS: usize = 4;

/// How often the store is asked for new lines. Other processes write it as well, so nobody can tell.
const POLL: Duration = Duration::from_millis(250);

/// What all answers draw on.
#[derive(Clone)]
pub(super) struct Shared {
    store: Option<Reader>,
    api: Api,
    vitals: Arc<dyn Vitals>,
    address: String,
    reads: Arc<Semaphore>,
    followers: Arc<Semaphore>,
    stopping: watch::Receiver<bool>,
}

impl Shared {
    fn of(parts: &Parts, address: String, stopping: watch::Receiver<bool>) -> Self {
        let (reads, followers) = (Arc::new(Semaphore::new(MAX_READS)), Arc::new(Semaphore::new(MAX_FOLLOWERS)));
        let (store, api, vitals) = (parts.store.clone(), parts.api.clone(), Arc::clone(&parts.vitals));
        Self { store, api, vitals, address, reads, followers, stopping }
    }

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

    /// Waits before the store is asked for new lines again, or until the server stops.
    pub(super) async fn pause(&mut self) {
        select! {
            () = self.stopped() => {}
            () = sleep(POLL) => {}
        }
    }
}

pub(super) fn router(parts: Parts, address: SocketAddr, access: &Access, stopping: watch::Receiver<bool>) -> Router {
    let shared = Shared::of(&parts, format!("http://{address}"), stopping);
    let Parts { receiver, api, control, .. } = parts;
    let asked = Router::new()
        .route(
            "/metrics",
            get(async |State(shared): State<Shared>| {
                ([(CONTENT_TYPE, metrics::CONTENT_TYPE)], metrics::render(&shared.vitals.snapshot(), SystemClock.now()))
            }),
        )
        .merge(questions())
        .with_state(shared.clone())
        .merge(run_api::reads(api.clone()))
        .merge(control::reads(control.clone()));
    let taken = receiver.map(otlp::router).unwrap_or_default();
    let taken = taken.merge(run_api::writes(api, shared.clone(), control.clone())).merge(control::writes(control));
    Router::new()
        .route("/livez", get(livez))
        .route("/readyz", get(readyz))
        .with_state(shared)
        .merge(page::router())
        .merge(access.guard(asked))
        .layer(from_fn_with_state(address, guard::check_host))
        .merge(access.guard(taken))
        .fallback(nothing_there)
        .method_not_allowed_fallback(wrong_method)
        .layer(map_response(guard::add_headers))
}

pub(super) fn on_socket(parts: Parts, stopping: watch::Receiver<bool>) -> Router {
    let shared = Shared::of(&parts, String::new(), stopping);
    let Parts { receiver, api, control, .. } = parts;
    questions()
        .with_state(shared.clone())
        .merge(run_api::reads(api.clone()))
        .merge(run_api::writes(api, shared, control.clone()))
        .merge(control::reads(control.clone()))
        .merge(control::writes(control))
        .merge(receiver.map(otlp::router).unwrap_or_default())
        .fallback(nothing_there)
        .method_not_allowed_fallback(wrong_method)
}

fn questions() -> Router<Shared> {
    Router::new().route("/api/v1/status", get(status)).route("/api/v1/runs/{run}/logs", get(logs))
}

async fn nothing_there() -> Fault {
    Fault::new(StatusCode::NOT_FOUND, "there is nothing at this path").because("NOTHING_THERE")
}

async fn wrong_method() -> Fault {
    let error = "this method is not answered at this path";
    Fault::new(StatusCode::METHOD_NOT_ALLOWED, error).because("WRONG_METHOD")
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
    let address = shared.address.clone();
    Ok(Json(shared.vitals.snapshot().status(address, are_all_asked, SystemClock.now())))
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
    shared.api.settled().await;
    shared.read(move |reader| reader.find(&word)).await
}
