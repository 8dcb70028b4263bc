//! The questions.

use std::{
    fs::File,
    io::{self, SeekFrom},
};

use axum::{
    Router,
    body::Body,
    extract::{Path, RawQuery, State},
    http::{
        HeaderMap, StatusCode,
        header::{ACCEPT_RANGES, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, RANGE},
    },
    response::{IntoResponse, Response},
    routing::get,
};
use bytes::Bytes;
use futures_util::stream::{self, Stream, TryStreamExt};
use runlog_proto::v1;
use tokio::{
    io::{AsyncReadExt, AsyncSeekExt},
    task::spawn_blocking,
};
use url::form_urlencoded;

use crate::{
    api::{Api, Problem, Reason},
    serve::fault::Fault,
    store::{self, Digest, MetricsQuery, RunFilter},
};

use super::answer;

pub(super) use crate::store::MAX_POINTS;

/// The runs that a list has at most, and otherwise.
pub(super) const MAX_RUNS: usize = 10_000;
pub(super) const SOME_RUNS: usize = 1_000;

/// How much of a file is read at once.
const STEP: usize = 256 * 1024;

pub(super) fn router(api: Api) -> Router {
    Router::new()
        .route("/api/v1/runs", get(runs))
        .route("/api/v1/runs/{run}", get(run))
        .route("/api/v1/runs/{run}/metrics", get(metrics))
        .route("/api/v1/runs/{run}/files", get(files))
        .route("/api/v1/runs/{run}/files/{*path}", get(file))
        .with_state(api)
}

async fn runs(State(api): State<Api>, RawQuery(text): RawQuery) -> Response {
    let outcome = async { list(&api, filter(&text.unwrap_or_default())?).await };
    answer(outcome.await)
}

async fn run(State(api): State<Api>, Path(word): Path<String>) -> Response {
    answer(find(&api, word).await)
}

async fn metrics(State(api): State<Api>, Path(word): Path<String>, RawQuery(text): RawQuery) -> Response {
    answer(metrics_of(&api, word, |run| metrics_query(run, &text.unwrap_or_default())).await)
}

async fn files(State(api): State<Api>, Path(word): Path<String>) -> Response {
    answer(files_of(&api, word).await)
}

/// The runs that are asked for.
pub(super) async fn list(api: &Api, filter: RunFilter) -> Result<v1::ListRunsResponse, Problem> {
    let known = store::statuses();
    if let Some(status) = filter.status.as_deref().filter(|status| !known.contains(status)) {
        return Err(Problem::invalid("status", format!("{status:?} is no status"), &known.join(", ")));
    }
    let reader = api.reader().await?;
    let runs = spawn_blocking(move || reader.list(&filter)).await.map_err(|_| interrupted())??;
    Ok(v1::ListRunsResponse { runs })
}

/// What a run has logged, of what is asked for.
pub(super) async fn metrics_of(
    api: &Api,
    word: String,
    query: impl FnOnce(&str) -> Result<MetricsQuery, Problem>,
) -> Result<v1::GetMetricsResponse, Problem> {
    let query = query(&find(api, word).await?.run_id)?;
    let reader = api.reader().await?;
    Ok(spawn_blocking(move || reader.metrics(&query)).await.map_err(|_| interrupted())??)
}

/// The files of a run.
pub(super) async fn files_of(api: &Api, word: String) -> Result<v1::ListFilesResponse, Problem> {
    let run = find(api, word).await?;
    let reader = api.reader().await?;
    let files = spawn_blocking(move || reader.files(&run.run_id)).await.map_err(|_| interrupted())??;
    Ok(v1::ListFilesResponse { files })
}

async fn file(State(api): State<Api>, Path((word, path)): Path<(String, String)>, headers: HeaderMap) -> Response {
    match bytes_of(&api, word, path, &headers).await {
        Ok(response) => response,
        Err(problem) => Fault::from(problem).into_response(),
    }
}

/// A run's file of that name, and its size. `field` is where the name was given.
pub(super) async fn open(
    api: &Api,
    word: String,
    name: String,
    field: &str,
) -> Result<(v1::Artifact, File, u64), Problem> {
    let run = find(api, word).await?;
    let reader = api.reader().await?;
    let sought = name.clone();
    let found = spawn_blocking(move || {
        let artifact = reader.files(&run.run_id)?.into_iter().find(|file| file.name == sought);
        let file = artifact.as_ref().and_then(|file| reader.open_file(&Digest::parse(&file.sha256).ok()?).ok());
        Ok::<_, crate::store::ReadError>(artifact.zip(file))
    });
    let Some((artifact, file)) = found.await.map_err(|_| interrupted())?? else {
        return Err(Problem::new(Reason::UnknownFile, format!("the run has no file {name:?} here")).at(field));
    };
    let size = file.metadata().map_err(unreadable)?.len();
    Ok((artifact, file, size))
}

/// The bytes of a file from that one on.
pub(super) async fn pieces_of(
    file: File,
    first: u64,
) -> Result<impl Stream<Item = io::Result<Vec<u8>>> + Send + 'static, Problem> {
    let mut file = tokio::fs::File::from_std(file);
    file.seek(SeekFrom::Start(first)).await.map_err(unreadable)?;
    Ok(stream::unfold(file, |mut file| async move {
        let mut piece = Vec::with_capacity(STEP);
        match (&mut file).take(STEP as u64).read_to_end(&mut piece).await {
            Ok(0) => None,
            Ok(_) => Some((Ok(piece), file)),
            Err(error) => Some((Err(error), file)),
        }
    }))
}

pub(super) fn unreadable(error: io::Error) -> Problem {
    Problem::new(Reason::Failed, format!("the file cannot be read: {error}"))
}

async fn bytes_of(api: &Api, word: String, path: String, headers: &HeaderMap) -> Result<Response, Problem> {
    let (artifact, file, size) = open(api, word, path, "path").await?;
    let first = headers.get(RANGE).and_then(|range| first_byte(range.to_str().ok()?)).filter(|first| *first < size);
    let pieces = pieces_of(file, first.unwrap_or(0)).await?.map_ok(Bytes::from);
    let media_type = match &artifact.media_type[..] {
        "" => "application/octet-stream",
        media_type => media_type,
    };
    let mut response = Response::builder()
        .header(CONTENT_TYPE, media_type)
        .header(CONTENT_LENGTH, size - first.unwrap_or(0))
        .header(ACCEPT_RANGES, "bytes")
        // A browser keeps it rather than shows it: its writer is not us.
        .header("content-disposition", "attachment");
    if let Some(first) = first {
        let range = format!("bytes {first}-{}/{size}", size - 1);
        response = response.status(StatusCode::PARTIAL_CONTENT).header(CONTENT_RANGE, range);
    }
    let body = Body::from_stream(pieces);
    // A media type that is no header's value.
    response.body(body).map_err(|error| Problem::new(Reason::Failed, error.to_string()))
}

/// Where a range begins that goes to the end.
fn first_byte(range: &str) -> Option<u64> {
    range.strip_prefix("bytes=")?.strip_suffix('-')?.parse().ok()
}

/// The run that a word means.
pub(super) async fn find(api: &Api, word: String) -> Result<v1::Run, Problem> {
    let reader = api.reader().await?;
    Ok(spawn_blocking(move || reader.find(&word)).await.map_err(|_| interrupted())??)
}

fn interrupted() -> Problem {
    Problem::new(Reason::Busy, "reading was interrupted, ask again")
}

fn filter(text: &str) -> Result<RunFilter, Problem> {
    let mut filter = RunFilter { limit: SOME_RUNS, ..RunFilter::default() };
    for (field, value) in form_urlencoded::parse(text.as_bytes()).filter(|(_, value)| !value.is_empty()) {
        match &*field {
            "experiment" => filter.experiment = Some(value.into_owned()),
            "status" => filter.status = Some(value.into_owned()),
            "parent" => filter.parent = Some(value.into_owned()),
            "before" => filter.before = Some(value.into_owned()),
            "tag" => filter.tags.push(match value.split_once('=') {
                Some((key, value)) => (key.to_owned(), Some(value.to_owned())),
                None => (value.into_owned(), None),
            }),
            "limit" => filter.limit = number(&field, &value, MAX_RUNS)?,
            _ => return Err(unknown(&field, "experiment, status, parent, tag, before, limit")),
        }
    }
    Ok(filter)
}

fn metrics_query(run: &str, text: &str) -> Result<MetricsQuery, Problem> {
    let mut query = MetricsQuery::of(run);
    for (field, value) in form_urlencoded::parse(text.as_bytes()).filter(|(_, value)| !value.is_empty()) {
        match &*field {
            "name" => query.name = Some(value.into_owned()),
            "recursive" => {
                query.with_descendants = match &*value {
                    "1" | "true" => true,
                    "0" | "false" => false,
                    _ => return Err(Problem::invalid("recursive", format!("{value:?} is neither"), "0, 1")),
                }
            }
            "points" => query.points = number(&field, &value, MAX_POINTS)?,
            _ => return Err(unknown(&field, "name, recursive, points")),
        }
    }
    Ok(query)
}

fn number(field: &str, value: &str, most: usize) -> Result<usize, Problem> {
    let number = value.parse().ok().filter(|number| (1..=most).contains(number));
    number.ok_or_else(|| Problem::invalid(field, format!("{field}={value} cannot be used"), &format!("1 to {most}")))
}

fn unknown(field: &str, accepted: &str) -> Problem {
    Problem::invalid(field, format!("there is no parameter {field}"), accepted)
}
