//! The engine's API, over its unix socket.
//!
//! Lists, inspections and events go through bollard. Logs do not: bollard asks for times in whole seconds only, and
//! guesses from the bytes whether a terminal wrote them.

use std::{
    collections::HashMap,
    future::Future,
    io,
    path::{Path, PathBuf},
    pin::Pin,
    sync::Arc,
    time::Duration,
};

use bollard::{
    API_DEFAULT_VERSION, Docker,
    errors::Error as EngineError,
    models::{ContainerInspectResponse, ContainerSummaryStateEnum},
    query_parameters::{EventsOptions, ListContainersOptions},
};
use bytes::Bytes;
use futures_util::{FutureExt, Stream, StreamExt};
use http_body_util::{BodyExt, Empty};
use hyper::{
    StatusCode,
    body::Incoming,
    client::conn::http1::{self, Connection},
};
use hyper_util::rt::TokioIo;
use tokio::{net::UnixStream, time::timeout};

use super::{
    change::{Change, WANTED},
    frame::Framing,
    life::Exit,
    log::Request,
    stamp,
    tagging::Container,
};
use crate::record::UnixNanos;

/// How long the engine may take to answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// What one connection may hold of a container's logs.
const BUFFER: usize = 64 * 1024;

/// A failed request.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    #[error("no answer within {} s", PATIENCE.as_secs())]
    Silent,
    #[error("the engine answered that there is no such thing")]
    Gone,
    #[error("the container is dead or being removed")]
    Leaving,
    #[error("its log driver keeps nothing that can be read")]
    Unreadable,
    #[error("the engine answered {0}: {1}")]
    Refused(StatusCode, String),
    #[error("the connection failed")]
    Io(#[from] io::Error),
    #[error("the connection failed")]
    Http(#[from] hyper::Error),
    #[error("the request failed")]
    Engine(#[source] EngineError),
}

/// Why there is no engine.
#[derive(Debug, thiserror::Error)]
pub(super) enum Absent {
    #[error("there is no socket")]
    NoSocket,
    #[error("permission denied")]
    Denied,
    #[error(transparent)]
    Failure(#[from] Failure),
}

/// A container in a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Listed {
    pub id: String,
    pub activity: Activity,
}

/// What a listed container is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Activity {
    /// It was never started, or is being removed: there is nothing to read.
    None,
    Running,
    Ended,
}

/// A connection to an engine. Each request opens a socket of its own, so it survives the engine's restart.
#[derive(Debug, Clone)]
pub(super) struct Engine {
    docker: Docker,
    socket: Arc<PathBuf>,
}

impl Engine {
    /// Finds the engine and hears from it.
    pub(super) async fn connect(socket: &Path) -> Result<Self, Absent> {
        // Tried by hand first, since bollard does not tell these two apart.
        match timeout(PATIENCE, UnixStream::connect(socket)).await {
            Err(_elapsed) => return Err(Failure::Silent.into()),
            Ok(Err(error)) => {
                return Err(match error.kind() {
                    io::ErrorKind::NotFound => Absent::NoSocket,
                    io::ErrorKind::PermissionDenied => Absent::Denied,
                    _ => Failure::Io(error).into(),
                });
            }
            Ok(Ok(_stream)) => {}
        }
        let path = socket.to_string_lossy();
        let docker =
            Docker::connect_with_unix(&path, PATIENCE.as_secs(), API_DEFAULT_VERSION).map_err(Failure::Engine)?;
        answer(docker.ping()).await?;
        Ok(Self { docker, socket: Arc::new(socket.to_owned()) })
    }

    /// All containers, also those that have ended.
    pub(super) async fn list(&self) -> Result<Vec<Listed>, Failure> {
        let all = ListContainersOptions { all: true, ..ListContainersOptions::default() };
        let list = answer(self.docker.list_containers(Some(all))).await?;
        let listed = |summary: bollard::models::ContainerSummary| {
            use ContainerSummaryStateEnum as State;
            let activity = match summary.state? {
                State::EXITED => Activity::Ended,
                State::CREATED | State::REMOVING | State::DEAD | State::EMPTY => Activity::None,
                State::RUNNING | State::PAUSED | State::RESTARTING | State::STOPPING => Activity::Running,
            };
            Some(Listed { id: summary.id?, activity })
        };
        Ok(list.into_iter().filter_map(listed).collect())
    }

    /// What the engine says about a container; `None` if it is gone.
    pub(super) async fn inspect(&self, id: &str) -> Result<Option<Container>, Failure> {
        match answer(self.docker.inspect_container(id, None)).await {
            Ok(response) => Ok(Some(container(id, response))),
            Err(Failure::Gone) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// What happens to containers, from `since` on. Ends with the connection.
    pub(super) fn changes(&self, since: UnixNanos) -> impl Stream<Item = Result<Change, Failure>> + use<> {
        let filters = [("type", vec!["container"]), ("event", WANTED.to_vec())];
        let owned = |words: Vec<&str>| words.into_iter().map(str::to_owned).collect();
        let filters: HashMap<String, Vec<String>> =
            filters.into_iter().map(|(key, words)| (key.to_owned(), owned(words))).collect();
        let options = EventsOptions { since: Some(seconds(since)), filters: Some(filters), ..EventsOptions::default() };
        self.docker
            .events(Some(options))
            .filter_map(|message| async { message.map(Change::of).map_err(Failure::from_engine).transpose() })
    }

    /// The newest entry of a container's logs.
    pub(super) async fn newest(&self, id: &str) -> Result<Body, Failure> {
        let path = format!("/containers/{id}/logs?stdout=1&stderr=1&timestamps=1&follow=0&tail=1");
        timeout(PATIENCE, Body::open(&self.socket, &path)).await.map_err(|_elapsed| Failure::Silent)?
    }

    /// A container's logs.
    pub(super) async fn logs(&self, id: &str, request: &Request) -> Result<Body, Failure> {
        // Without a version, as bollard asks: each engine answers with its own.
        let follow = u8::from(request.follow);
        let mut path = format!("/containers/{id}/logs?stdout=1&stderr=1&timestamps=1&follow={follow}");
        if let Some(since) = request.since {
            path.push_str("&since=");
            path.push_str(&seconds(since));
        }
        timeout(PATIENCE, Body::open(&self.socket, &path)).await.map_err(|_elapsed| Failure::Silent)?
    }
}

type Driver = Connection<TokioIo<UnixStream>, Empty<Bytes>>;

/// The bytes of an answer, as they come.
///
/// Whoever waits for them drives the connection, so no task is left behind when it is dropped.
pub(super) struct Body {
    connection: Option<Pin<Box<Driver>>>,
    incoming: Incoming,
    /// How the answer ended, if that was seen already.
    end: Option<Result<(), hyper::Error>>,
    /// What has arrived and was not asked for yet.
    early: Option<Bytes>,
}

impl Body {
    async fn open(socket: &Path, path: &str) -> Result<Self, Failure> {
        let stream = UnixStream::connect(socket).await?;
        let mut builder = http1::Builder::new();
        builder.max_buf_size(BUFFER);
        let (mut sender, connection) = builder.handshake(TokioIo::new(stream)).await?;
        let request = hyper::Request::get(path)
            .header(hyper::header::HOST, "docker")
            .body(Empty::new())
            .map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?;
        let mut connection = Some(Box::pin(connection));
        let response = beside(&mut connection, sender.send_request(request)).await?;
        let (head, incoming) = response.into_parts();
        let mut body = Self { connection, incoming, end: None, early: None };
        if head.status.is_success() {
            return Ok(body);
        }
        let mut message = Vec::new();
        while let Some(bytes) = body.next().await? {
            message.extend_from_slice(&bytes);
            message.truncate(BUFFER);
        }
        let message = match serde_json::from_slice::<ErrorAnswer>(&message) {
            Ok(answer) => answer.message,
            Err(_) => String::from_utf8_lossy(&message).trim_end().to_owned(),
        };
        Err(Failure::from_status(head.status, message))
    }

    /// The next bytes; `None` at the end. Cancel safe. Not to be called again after the end or an error.
    pub(super) async fn next(&mut self) -> Result<Option<Bytes>, hyper::Error> {
        if let Some(bytes) = self.early.take() {
            return Ok(Some(bytes));
        }
        if let Some(end) = self.end.take() {
            return end.map(|()| None);
        }
        loop {
            let Some(frame) = beside(&mut self.connection, self.incoming.frame()).await else { return Ok(None) };
            // The other kind of frame are trailers, which the engine does not send.
            if let Ok(bytes) = frame?.into_data() {
                return Ok(Some(bytes));
            }
        }
    }

    /// Waits for the next bytes, the end or an error, which [`Body::next`] then gives. Cancel safe.
    pub(super) async fn arrives(&mut self) {
        if self.early.is_none() && self.end.is_none() {
            match self.next().await {
                Ok(Some(bytes)) => self.early = Some(bytes),
                Ok(None) => self.end = Some(Ok(())),
                Err(error) => self.end = Some(Err(error)),
            }
        }
    }

    /// The next bytes if they have arrived. The end and errors are left for [`Body::next`].
    pub(super) fn ready(&mut self) -> Option<Bytes> {
        // Nothing has come if it would wait.
        let _ = self.arrives().now_or_never();
        self.early.take()
    }
}

/// Source: Docker Engine API v1.44, schema `ErrorResponse`.
#[derive(serde::Deserialize)]
struct ErrorAnswer {
    message: String,
}

/// Waits for `wanted` while the connection does its work.
async fn beside<C: Future + Unpin, T>(connection: &mut Option<C>, wanted: impl Future<Output = T>) -> T {
    tokio::pin!(wanted);
    if let Some(running) = connection {
        tokio::select! {
            biased;
            value = &mut wanted => return value,
            _ended = running => {}
        }
        // An error of the connection reaches whoever waits for its bytes.
        *connection = None;
    }
    wanted.await
}

/// The time as the engine reads it in a query, to the nanosecond.
fn seconds(time: UnixNanos) -> String {
    format!("{}.{:09}", time / 1_000_000_000, time % 1_000_000_000)
}

/// Bollard waits for the head of an answer only.
async fn answer<T>(request: impl Future<Output = Result<T, EngineError>>) -> Result<T, Failure> {
    timeout(PATIENCE, request).await.map_err(|_elapsed| Failure::Silent)?.map_err(Failure::from_engine)
}

impl Failure {
    fn from_engine(error: EngineError) -> Self {
        match error {
            EngineError::DockerResponseServerError { status_code, message } => {
                Self::from_status(StatusCode::from_u16(status_code).unwrap_or_default(), message)
            }
            EngineError::RequestTimeoutError => Self::Silent,
            other => Self::Engine(other),
        }
    }

    fn from_status(status: StatusCode, message: String) -> Self {
        match status {
            StatusCode::NOT_FOUND => Self::Gone,
            StatusCode::CONFLICT => Self::Leaving,
            StatusCode::NOT_IMPLEMENTED => Self::Unreadable,
            _ => Self::Refused(status, message),
        }
    }
}

fn container(id: &str, response: ContainerInspectResponse) -> Container {
    let config = response.config.unwrap_or_default();
    let state = response.state.unwrap_or_default();
    let name = response.name.unwrap_or_default();
    let moment = |text: Option<String>| text.filter(|text| !text.starts_with("0001-")).unwrap_or_default();
    let (started_at, finished_at) = (moment(state.started_at), moment(state.finished_at));
    // One that is about to be started again counts as running.
    let is_over = (state.running != Some(true) || state.restarting == Some(true)) && !finished_at.is_empty();
    let exit = Exit {
        code: state.exit_code.unwrap_or_default(),
        is_oom_killed: state.oom_killed == Some(true),
        finished: stamp::parse(finished_at.as_bytes()),
    };
    Container {
        id: response.id.unwrap_or_else(|| id.to_owned()),
        name: name.strip_prefix('/').unwrap_or(&name).to_owned(),
        image: config.image.unwrap_or_default(),
        labels: config.labels.unwrap_or_default(),
        environment: config.env.unwrap_or_default(),
        framing: if config.tty == Some(true) { Framing::Raw } else { Framing::Multiplexed },
        running: state.running == Some(true),
        started_at,
        exit: is_over.then_some(exit),
    }
}
