//! The engine's API, over its unix socket.
//!
//! Events and what the engine says of itself go through bollard. Logs do not: bollard asks for times in whole seconds
//! only, and guesses from the bytes whether a terminal wrote them. Nor do lists and descriptions of containers, where it
//! fails for a state that only Podman has.

use std::{
    collections::HashMap,
    future::Future,
    io,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use bollard::{
    API_DEFAULT_VERSION, Docker,
    errors::Error as EngineError,
    models::{ContainerInspectResponse, MountPoint, SystemVersion, SystemVersionComponents},
    query_parameters::EventsOptions,
};
use futures_util::{Stream, StreamExt};
use hyper::StatusCode;
use serde::de::DeserializeOwned;
use tokio::{net::UnixStream, time::timeout};

use super::{
    ask::{self, NotAsked},
    body::{Body, Broken},
    change::{Change, WANTED},
    frame::Framing,
    keeping::Keeping,
    life::Exit,
    log::Request,
    own::OwnContainer,
    stamp,
    tagging::Container,
    ways::Seen,
};
use crate::record::UnixNanos;

/// How long the engine may take to answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// What is read of an answer. Ten thousand containers are some 10 MiB.
const LONGEST_ANSWER: usize = 256 << 20;

/// What is read of the reason why the engine refuses.
const LONGEST_REASON: usize = 64 * 1024;

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
    #[error(transparent)]
    Answer(#[from] Broken),
    #[error(transparent)]
    NotAsked(#[from] NotAsked),
    #[error("the answer has more than {} MiB", LONGEST_ANSWER >> 20)]
    TooLong,
    #[error("the answer cannot be understood")]
    Malformed(#[from] serde_json::Error),
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

/// Who made an engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Make {
    Docker,
    Podman,
}

/// A container in a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Listed {
    pub activity: Activity,
    /// As much of it as the list says: not its environment.
    pub container: Container,
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
    make: Make,
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
        let socket = Arc::new(socket.to_owned());
        let transport = {
            let socket = Arc::clone(&socket);
            move |request| {
                let socket = Arc::clone(&socket);
                async move { ask::send(&socket, request).await }
            }
        };
        // The version is of no importance: bollard does not write it into its requests, so each engine answers with
        // its own, and none finds us too old or too new.
        let docker = Docker::connect_with_custom_transport(
            transport,
            Some("http://docker"),
            PATIENCE.as_secs(),
            API_DEFAULT_VERSION,
        )
        .map_err(Failure::Engine)?;
        answer(docker.ping()).await?;
        let make = match answer(docker.version()).await {
            Ok(version) => make(version),
            // A proxy may allow less than is asked; only Podman has to be known.
            Err(Failure::Refused(..) | Failure::Gone) => Make::Docker,
            Err(failure) => return Err(failure.into()),
        };
        Ok(Self { docker, socket, make })
    }

    pub(super) const fn make(&self) -> Make {
        self.make
    }

    /// All containers, also those that have ended.
    pub(super) async fn list(&self) -> Result<Vec<Listed>, Failure> {
        let list: Vec<Summary> = self.ask("/containers/json?all=true").await?;
        let listed = |summary: Summary| {
            let activity = match summary.state.as_deref()? {
                "exited" | "stopped" => Activity::Ended,
                "running" | "paused" | "restarting" | "stopping" => Activity::Running,
                // It was never started, is being removed, or is in a state that nobody has heard of yet.
                _ => Activity::None,
            };
            let id = summary.id?;
            let name = summary.names.and_then(|names| names.into_iter().next()).unwrap_or_default();
            let name = name.strip_prefix('/').unwrap_or(&name).to_owned();
            let (image, labels) = (summary.image.unwrap_or_default(), summary.labels.unwrap_or_default());
            Some(Listed { activity, container: Container::mentioned(&id, name, image, labels) })
        };
        Ok(list.into_iter().filter_map(listed).collect())
    }

    /// What the engine says about a container, and about its lines; `None` if it is gone.
    pub(super) async fn inspect(&self, id: &str) -> Result<Option<(Container, Keeping)>, Failure> {
        match self.described(id).await {
            Ok(mut response) => {
                let keeping = Keeping::of(response.host_config.take(), response.log_path.take());
                Ok(Some((container(id, response), keeping)))
            }
            Err(Failure::Gone) => Ok(None),
            Err(error) => Err(error),
        }
    }

    async fn described(&self, id: &str) -> Result<ContainerInspectResponse, Failure> {
        let mut answer: serde_json::Value = self.ask(&format!("/containers/{id}/json")).await?;
        // Podman has states that bollard has not, and none of them is used.
        if let Some(state) = answer.pointer_mut("/State").and_then(serde_json::Value::as_object_mut) {
            state.remove("Status");
        }
        Ok(serde_json::from_value(answer)?)
    }

    /// Where the engine keeps its containers, if that can be seen from here; `None` if not, or if it may not be asked.
    ///
    /// What the engine says is true of its own host. A process in one of its containers sees that where it is mounted;
    /// another one has to be on that host.
    pub(super) async fn folder(&self, own: &OwnContainer) -> Result<Option<Seen>, Failure> {
        if self.make == Make::Podman {
            return Ok(None);
        }
        let Some(info) = allowed(answer(self.docker.info()).await)? else { return Ok(None) };
        let Some(named) = info.docker_root_dir.map(|root| Path::new(&root).join("containers")) else { return Ok(None) };
        for id in own.ids() {
            if let Some(container) = allowed(self.described(id).await)? {
                let path = mounted_at(&container.mounts.unwrap_or_default(), &named);
                return Ok(path.map(|path| Seen { named, path }));
            }
        }
        let host = rustix::system::uname();
        let is_here = info.name.is_some_and(|name| name.as_bytes() == host.nodename().to_bytes());
        Ok(is_here.then(|| Seen { path: named.clone(), named }))
    }

    /// What happens to containers, from `since` to `until`, without which it ends with the connection.
    pub(super) fn changes(
        &self,
        since: UnixNanos,
        until: Option<UnixNanos>,
    ) -> impl Stream<Item = Result<Change, Failure>> + use<> {
        let filters = [("type", vec!["container"]), ("event", WANTED.to_vec())];
        let owned = |words: Vec<&str>| words.into_iter().map(str::to_owned).collect();
        let filters: HashMap<String, Vec<String>> =
            filters.into_iter().map(|(key, words)| (key.to_owned(), owned(words))).collect();
        let options = EventsOptions { since: Some(seconds(since)), until: until.map(seconds), filters: Some(filters) };
        self.docker
            .events(Some(options))
            .filter_map(|message| async { message.map(Change::of).map_err(Failure::from_engine).transpose() })
    }

    /// The newest entry of a container's logs.
    pub(super) async fn newest(&self, id: &str) -> Result<Body, Failure> {
        let path = format!("/containers/{id}/logs?stdout=1&stderr=1&timestamps=1&follow=0&tail=1");
        self.get(&path).await
    }

    /// A container's logs.
    pub(super) async fn logs(&self, id: &str, request: &Request) -> Result<Body, Failure> {
        let follow = u8::from(request.follow);
        let mut path = format!("/containers/{id}/logs?stdout=1&stderr=1&timestamps=1&follow={follow}");
        if let Some(since) = request.since {
            path.push_str("&since=");
            path.push_str(&seconds(since));
        }
        self.get(&path).await
    }

    async fn ask<T: DeserializeOwned>(&self, path: &str) -> Result<T, Failure> {
        let mut body = self.get(path).await?;
        let read = async {
            let mut text = Vec::new();
            while let Some(bytes) = body.next().await? {
                if text.len() + bytes.len() > LONGEST_ANSWER {
                    return Err(Failure::TooLong);
                }
                text.extend_from_slice(bytes);
            }
            Ok(text)
        };
        let text = timeout(PATIENCE, read).await.map_err(|_elapsed| Failure::Silent)??;
        Ok(serde_json::from_slice(&text)?)
    }

    async fn get(&self, path: &str) -> Result<Body, Failure> {
        ask::check(path)?;
        let answer = timeout(PATIENCE, async {
            let (status, mut body) = Body::open(&self.socket, path).await?;
            if status.is_success() {
                return Ok(body);
            }
            let mut reason = Vec::new();
            while let Some(bytes) = body.next().await?
                && reason.len() < LONGEST_REASON
            {
                reason.extend_from_slice(bytes);
            }
            let reason = match serde_json::from_slice::<ErrorAnswer>(&reason) {
                Ok(answer) => answer.message,
                Err(_) => String::from_utf8_lossy(&reason).trim_end().to_owned(),
            };
            Err(Failure::from_status(status, reason))
        });
        answer.await.map_err(|_elapsed| Failure::Silent)?
    }
}

/// What is used of a container in a list. Podman has states that Docker has not.
#[derive(serde::Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Summary {
    id: Option<String>,
    state: Option<String>,
    names: Option<Vec<String>>,
    image: Option<String>,
    labels: Option<HashMap<String, String>>,
}

/// Source: Docker Engine API v1.44, schema `ErrorResponse`.
#[derive(serde::Deserialize)]
struct ErrorAnswer {
    message: String,
}

/// The time as the engine reads it in a query, to the nanosecond.
fn seconds(time: UnixNanos) -> String {
    format!("{}.{:09}", time / 1_000_000_000, time % 1_000_000_000)
}

/// Bollard waits for the head of an answer only.
async fn answer<T>(request: impl Future<Output = Result<T, EngineError>>) -> Result<T, Failure> {
    timeout(PATIENCE, request).await.map_err(|_elapsed| Failure::Silent)?.map_err(Failure::from_engine)
}

/// `None` for what the engine does not have, or a proxy before it does not let through.
fn allowed<T>(answered: Result<T, Failure>) -> Result<Option<T>, Failure> {
    match answered {
        Ok(answer) => Ok(Some(answer)),
        Err(Failure::Refused(..) | Failure::Gone) => Ok(None),
        Err(failure) => Err(failure),
    }
}

/// Where a container with those mounts has that path of its host.
fn mounted_at(mounts: &[MountPoint], path: &Path) -> Option<PathBuf> {
    let found = mounts.iter().filter_map(|mount| {
        let (source, to) = (mount.source.as_ref()?, mount.destination.as_ref()?);
        let rest = path.strip_prefix(source).ok()?;
        // Joining nothing would leave a slash at the end.
        let at = if rest.as_os_str().is_empty() { PathBuf::from(to) } else { Path::new(to).join(rest) };
        Some((source.len(), at))
    });
    found.max_by_key(|(length, _)| *length).map(|(_, at)| at)
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
            // Podman, for one that goes while it is asked about.
            StatusCode::INTERNAL_SERVER_ERROR if message.contains("no such container") => Self::Gone,
            StatusCode::CONFLICT => Self::Leaving,
            StatusCode::NOT_IMPLEMENTED => Self::Unreadable,
            _ => Self::Refused(status, message),
        }
    }
}

/// Source: podman `pkg/api/handlers/compat/version.go`, which puts its own name first.
fn make(version: SystemVersion) -> Make {
    let is_podman = |component: &SystemVersionComponents| component.name == "Podman Engine";
    if version.components.is_some_and(|all| all.iter().any(is_podman)) { Make::Podman } else { Make::Docker }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mount_leads_to_what_a_container_sees_of_its_host() {
        let mount = |source: &str, to: &str| MountPoint {
            source: Some(source.to_owned()),
            destination: Some(to.to_owned()),
            ..MountPoint::default()
        };
        let path = Path::new("/var/lib/docker/containers");
        let at = |mounts: &[MountPoint]| mounted_at(mounts, path).map(|path| path.display().to_string());
        assert_eq!(at(&[mount("/var/lib/docker/containers", "/logs")]).as_deref(), Some("/logs"));
        assert_eq!(at(&[mount("/var/lib/docker", "/docker")]).as_deref(), Some("/docker/containers"));
        let host = mount("/", "/host");
        assert_eq!(at(std::slice::from_ref(&host)).as_deref(), Some("/host/var/lib/docker/containers"));
        assert_eq!(at(&[mount("/var/lib/docker/containers", "/logs"), host]).as_deref(), Some("/logs"));
        assert_eq!(at(&[mount("/var/lib/docker/containers-2", "/logs"), mount("/var/run/docker.sock", "/s")]), None);
        assert_eq!(at(&[]), None);
    }
}
