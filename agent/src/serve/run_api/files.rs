//! The bytes of files, on their way in.

use axum::{
    Json, Router,
    extract::{Path, Request, State},
    http::{HeaderMap, HeaderValue, StatusCode, header::CONTENT_RANGE},
    middleware::from_fn,
    response::{IntoResponse, Response},
    routing::put,
};
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
    let outcome = async {
        let digest = Digest::parse(&text)?;
        let store = api.store()?.clone();
        let held = spawn_blocking(move || store.held(&digest)).await.map_err(|_| interrupted())?;
        held.map_err(|error| Problem::new(Reason::Failed, format!("the store cannot be read: {error}")))
    };
    match outcome.await {
        Ok((is_whole, bytes)) => {
            let status = if is_whole { StatusCode::OK } else { StatusCode::NOT_FOUND };
            (status, [(HELD, HeaderValue::from(bytes))]).into_response()
        }
        Err(problem) => Fault::from(problem).into_response(),
    }
}

async fn take(State(api): State<Api>, Path(text): Path<String>, request: Request) -> Response {
    match take_bytes(&api, &text, request).await {
        Ok(state) if state.is_whole => Json(state).into_response(),
        Ok(state) => (StatusCode::ACCEPTED, Json(state)).into_response(),
        Err(problem) => Fault::from(problem).into_response(),
    }
}

async fn take_bytes(api: &Api, text: &str, request: Request) -> Result<v1::FileState, Problem> {
    let digest = Digest::parse(text)?;
    let store = api.store()?.clone();
    let range = Range::of(request.headers())?;
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
    let mut body = request.into_body();
    while let Some(frame) = body.frame().await {
        let Ok(frame) = frame else {
            // What came is there to go on from.
            if range.is_some() {
                on_disk(upload, Upload::pause).await?;
            }
            return Err(Problem::new(Reason::Malformed, "the file broke off"));
        };
        let Ok(bytes) = frame.into_data() else { continue };
        taken += bytes.len() as u64;
        if range.is_some_and(|range| taken > range.length()) {
            return Err(Problem::new(Reason::WrongRange, "more bytes came than the range says").at("content-range"));
        }
        upload = on_disk(upload, move |mut upload| upload.write(&bytes).map(|()| upload)).await?;
    }
    if range.is_some_and(|range| range.last + 1 < range.total) {
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
struct Range {
    first: u64,
    last: u64,
    total: u64,
}

impl Range {
    const fn length(self) -> u64 {
        self.last - self.first + 1
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
        let range = Self { first: first.parse().ok()?, last: last.parse().ok()?, total: total.parse().ok()? };
        (range.first <= range.last && range.last < range.total).then_some(range)
    }
}
