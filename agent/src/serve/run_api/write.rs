//! The calls that change something.

use axum::{
    Router,
    extract::{Path, Request, State},
    http::{HeaderMap, StatusCode, header::ORIGIN},
    middleware::{Next, from_fn},
    response::{IntoResponse, Response},
    routing::{delete, post},
};
use bytes::Bytes;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use runlog_proto::v1;
use serde::{Deserialize, de::DeserializeOwned};

use crate::{
    api::{Api, End, Problem, Reason},
    serve::fault::{Body, Fault},
};

use super::answer;

/// A call's message.
pub(super) const MAX_BODY_BYTES: usize = 16 << 20;

pub(super) fn router(api: Api) -> Router {
    Router::new()
        .route("/api/v1/runs", post(start))
        .route("/api/v1/runs/{run}", delete(remove))
        .route("/api/v1/runs/{run}/children", post(children))
        .route("/api/v1/runs/{run}/status", post(status))
        .route("/api/v1/runs/{run}/log", post(log))
        .route("/api/v1/runs/{run}/artifacts", post(artifact))
        .route("/api/v1/runs/{run}/complete", post(complete))
        .route("/api/v1/runs/{run}/fail", post(fail))
        .route("/api/v1/runs/{run}/cancel", post(cancel))
        .layer(from_fn(check_sender))
        .with_state(api)
}

/// Refuses what a browser sends on behalf of some page.
pub(in crate::serve) async fn check_sender(headers: HeaderMap, request: Request, next: Next) -> Response {
    if headers.contains_key(ORIGIN) || headers.contains_key("sec-fetch-site") {
        let error = "web pages may not change anything here".to_owned();
        let body = Body { error, reason: Some("WEB_PAGE"), field: None, accepted: None };
        return Fault { status: StatusCode::FORBIDDEN, body }.into_response();
    }
    next.run(request).await
}

async fn start(State(api): State<Api>, request: Request) -> Response {
    let outcome = async { api.start(read(request).await?).await };
    answer(outcome.await.map(|run| v1::RunResponse { run: Some(run) }))
}

async fn children(State(api): State<Api>, Path(run): Path<String>, request: Request) -> Response {
    let outcome = async { api.start_children(&run, read(request).await?).await };
    answer(outcome.await.map(|runs| v1::RunsResponse { runs }))
}

async fn status(State(api): State<Api>, Path(run): Path<String>, request: Request) -> Response {
    let outcome = async { api.set_status(&run, read(request).await?).await };
    answer(outcome.await.map(|run| v1::RunResponse { run: Some(run) }))
}

async fn complete(api: State<Api>, run: Path<String>, request: Request) -> Response {
    end(api, run, request, End::Complete).await
}

async fn fail(api: State<Api>, run: Path<String>, request: Request) -> Response {
    end(api, run, request, End::Fail).await
}

async fn cancel(api: State<Api>, run: Path<String>, request: Request) -> Response {
    end(api, run, request, End::Cancel).await
}

async fn end(State(api): State<Api>, Path(run): Path<String>, request: Request, end: End) -> Response {
    let outcome = async { api.end(&run, end, read(request).await?).await };
    answer(outcome.await.map(|run| v1::RunResponse { run: Some(run) }))
}

async fn remove(State(api): State<Api>, Path(run): Path<String>) -> Response {
    match api.delete(&run).await {
        Ok(()) => StatusCode::NO_CONTENT.into_response(),
        Err(problem) => Fault::from(problem).into_response(),
    }
}

/// A `LogRequest` whose entries are read one by one, so that one which cannot be read holds up no other.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Log {
    key: String,
    time: serde_json::Value,
    entries: Vec<serde_json::Value>,
}

async fn log(State(api): State<Api>, Path(run): Path<String>, request: Request) -> Response {
    let outcome = async {
        let Log { key, time, entries } = read(request).await?;
        let time = text_of(&time)?;
        let entries = entries.into_iter().map(|entry| serde_path_to_error::deserialize(entry).map_err(malformed));
        api.log(&run, &key, &time, entries.collect()).await
    };
    answer(outcome.await)
}

/// An artifact with what stands beside it in a call.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Added {
    key: String,
    time: serde_json::Value,
    #[serde(flatten)]
    artifact: v1::Artifact,
}

async fn artifact(State(api): State<Api>, Path(run): Path<String>, request: Request) -> Response {
    let outcome = async {
        let Added { key, time, artifact } = read(request).await?;
        let entry = v1::Entry { artifact: Some(artifact), ..v1::Entry::default() };
        let answer = api.log(&run, &key, &text_of(&time)?, vec![Ok(entry)]).await;
        answer.map_err(|problem| {
            let field = problem.field.strip_prefix("entries[0].artifact.").unwrap_or(&problem.field).to_owned();
            problem.at(&field)
        })
    };
    answer(outcome.await)
}

/// A time, which may be a number.
fn text_of(time: &serde_json::Value) -> Result<String, Problem> {
    match time {
        serde_json::Value::Null => Ok(String::new()),
        serde_json::Value::String(text) => Ok(text.clone()),
        serde_json::Value::Number(number) => Ok(number.to_string()),
        _ => Err(Problem::new(Reason::Malformed, "a time is text or a number").at("time")),
    }
}

async fn read_bytes(request: Request) -> Result<Bytes, Problem> {
    let body = Limited::new(request.into_body(), MAX_BODY_BYTES).collect().await;
    let body = body.map_err(|fault| match fault.downcast::<LengthLimitError>() {
        Ok(_) => Problem::new(Reason::TooLarge, "the call has more than 16 MiB").instead("several calls"),
        Err(fault) => Problem::new(Reason::Malformed, format!("the call broke off: {fault}")),
    })?;
    Ok(body.to_bytes())
}

/// Reads a body as JSON; one without a byte is a message without a field.
async fn read<T: DeserializeOwned + Default>(request: Request) -> Result<T, Problem> {
    let bytes = read_bytes(request).await?;
    if bytes.is_empty() {
        return Ok(T::default());
    }
    serde_path_to_error::deserialize(&mut serde_json::Deserializer::from_slice(&bytes)).map_err(malformed)
}

fn malformed(fault: serde_path_to_error::Error<serde_json::Error>) -> Problem {
    let path = fault.path().to_string();
    let field = if path == "." { String::new() } else { path };
    Problem::new(Reason::Malformed, fault.into_inner().to_string()).at(&field)
}
