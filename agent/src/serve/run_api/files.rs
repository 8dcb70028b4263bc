//! The bytes of files, on their way in.

use std::pin::pin;

use axum::{
    Json, Router,
    body::Body,
    extract::{Path, Request, State},
    http::{HeaderMap, HeaderValue, StatusCode, header::CONTENT_RANGE},
    middleware::from_fn,
    response::{IntoResponse, Response},
    routing::put,
};
use bytes::Bytes;
use futures_util::stream::{self, Stream, StreamExt};
use http_body_util::BodyExt;
use runlog_proto::v1;
use tokio::task::spawn_blocking;

use crate::{
    api::{Api, Problem, Reason},
    serve::fault::Fault,
    store::{Digest, FileError, Upload},
};

use super::write::check_sender;

/// Says how many bytes are held.
const HELD: &str = "runlog-held-bytes";

pub(super) fn router(api: Api) -> Router {
    Router::new().route("/api/v1/files/{sha256}", put(take).head(look)).layer(from_fn(check_sender)).with_state(api)
}

async fn look(State(api): State<Api>, Path(text): Path<String>) -> Response {
    match state_of(&api, &text).await {
        Ok(v1::FileState { is_whole, held_bytes, .. }) => {
            let status = if is_whole { StatusCode::OK } else { StatusCode::NOT_FOUND };
            (status, [(HELD, HeaderValue::from(held_bytes))]).into_response()
        }
        Err(problem) => Fault::from(problem).into_response(),
    }
}

/// How much of a file is held.
pub(super) async fn state_of(api: &Api, text: &str) -> Result<v1::FileState, Problem> {
    let digest = Digest::parse(text)?;
    let (store, sought) = (api.store()?.clone(), digest.clone());
    let held = spawn_blocking(move || store.held(&sought)).await.map_err(|_| interrupted())?;
    let fault = |error| Problem::new(Reason::Failed, format!("the store cannot be read: {error}"));
    let (is_whole, held_bytes) = held.map_err(fault)?;
    Ok(v1::FileState { sha256: digest.as_str().to_owned(), held_bytes, is_whole })
}

async fn take(State(api): State<Api>, Path(text): Path<String>, request: Request) -> Response {
    let outcome = async {
        let range = Range::of(request.headers())?;
        take_pieces(&api, &text, range, pin!(pieces_of(request.into_body()))).await
    };
    match outcome.await {
        Ok(state) if state.is_whole => Json(state).into_response(),
        Ok(state) => (StatusCode::ACCEPTED, Json(state)).into_response(),
        Err(problem) => Fault::from(problem).into_response(),
    }
}

/// What comes of a request's body. The last one of a body that broke off says so.
fn pieces_of(body: Body) -> impl Stream<Item = Result<Bytes, Problem>> + Send {
    stream::unfold(body, |mut body| async move {
        let frame = body.frame().await?;
        let piece = frame.map_err(|_| Problem::new(Reason::Malformed, "the file broke off"));
        // Trailers say nothing of a file.
        Some((piece.map(|frame| frame.into_data().unwrap_or_default()), body))
    })
}

/// Takes a file, or the range of it that comes. Of a range what came before an error is there to go on from.
pub(super) async fn take_pieces(
    api: &Api,
    text: &str,
    range: Option<Range>,
    mut pieces: impl Stream<Item = Result<Bytes, Problem>> + Unpin + Send,
) -> Result<v1::FileState, Problem> {
    let digest = Digest::parse(text)?;
    let store = api.store()?.clone();
    let sought = digest.clone();
    let held = spawn_blocking(move || {
        let held = store.held(&sought).map_err(|_| FileError::Busy)?;
        let upload = if held.0 { None } else { Some(store.upload(&sought, range.map(|range| range.first))?) };
        Ok::<_, FileError>((held.1, upload))
    });
    let (held_bytes, upload) = held.await.map_err(|_| interrupted())??;
    let sha256 = digest.as_str().to_owned();
    // What is held is not needed again; a client that sends it all the same may stop.
    let Some(mut upload) = upload else { return Ok(v1::FileState { sha256, held_bytes, is_whole: true }) };
    let mut taken = 0;
    while let Some(piece) = pieces.next().await {
        let bytes = match piece {
            Ok(bytes) => bytes,
            Err(problem) => {
                if range.is_some() {
                    on_disk(upload, Upload::pause).await?;
                }
                return Err(problem);
            }
        };
        taken += bytes.len() as u64;
        if range.is_some_and(|range| taken > range.length()) {
            return Err(Problem::new(Reason::WrongRange, "more bytes came than the range says").at("content-range"));
        }
        upload = on_disk(upload, move |mut upload| upload.write(&bytes).map(|()| upload)).await?;
    }
    if range.is_some_and(|range| range.first + taken < range.total) {
        let held_bytes = on_disk(upload, Upload::pause).await?;
        return Ok(v1::FileState { sha256, held_bytes, is_whole: false });
    }
    let held_bytes = on_disk(upload, Upload::finish).await?;
    Ok(v1::FileState { sha256, held_bytes, is_whole: true })
}

async fn on_disk<T: Send + 'static>(
    upload: Upload,
    work: impl FnOnce(Upload) -> Result<T, FileError> + Send + 'static,
) -> Result<T, Problem> {
    Ok(spawn_blocking(move || work(upload)).await.map_err(|_| interrupted())??)
}

fn interrupted() -> Problem {
    Problem::new(Reason::Busy, "taking the file was interrupted, send it again")
}

/// Which bytes of a file come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Range {
    pub(super) first: u64,
    /// Behind its last byte.
    pub(super) end: u64,
    /// Of the file.
    pub(super) total: u64,
}

impl Range {
    const fn length(self) -> u64 {
        self.end - self.first
    }

    fn of(headers: &HeaderMap) -> Result<Option<Self>, Problem> {
        let Some(value) = headers.get(CONTENT_RANGE) else { return Ok(None) };
        let text = value.to_str().unwrap_or_default();
        Self::parse(text).map(Some).ok_or_else(|| {
            let message = format!("{text:?} is no range of bytes");
            Problem::invalid("content-range", message, "bytes FIRST-LAST/TOTAL, such as bytes 0-1023/4096")
        })
    }

    fn parse(text: &str) -> Option<Self> {
        let (range, total) = text.strip_prefix("bytes ")?.split_once('/')?;
        let (first, last) = range.split_once('-')?;
        let (first, last, total): (u64, u64, u64) = (first.parse().ok()?, last.parse().ok()?, total.parse().ok()?);
        (first <= last && last < total).then(|| Self { first, end: last + 1, total })
    }
}
