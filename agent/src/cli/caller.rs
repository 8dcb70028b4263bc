//! Who is asked by the commands that use the Run API: an agent or `runlog serve`, else the store itself.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use anyhow::{Context, Result, anyhow, bail};
use axum::{Router, body::Body};
use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::{
    Method, Request, Response, StatusCode,
    header::{AUTHORIZATION, HOST, HeaderValue},
    server::conn::http1,
    service::Service,
};
use hyper_util::{rt::TokioIo, service::TowerToHyperService};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::{Deserialize, de::DeserializeOwned};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpStream, UnixListener, UnixStream},
    sync::watch,
    task::JoinHandle,
    time::sleep,
};
use url::Url;

use crate::{
    config::Settings,
    record::{Clock, SystemClock, UnixNanos},
    serve::{Parts, Receiver, Snapshot, Vitals, on_socket},
};

use super::{setup::State, socket};

/// What stands in a path as it is.
const PLAIN: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~').remove(b'/');

/// How long to wait when a connection cannot be taken.
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);

/// The socket of the agent in its state directory.
const SOCKET: &str = "otlp.sock";

/// Whoever answers calls of the Run API.
pub struct Caller {
    way: Way,
    name: String,
    /// What is shown at a port.
    authorization: Option<HeaderValue>,
}

enum Way {
    Port {
        host: String,
        port: u16,
    },
    Socket(PathBuf),
    /// Nobody serves: the store is used by this process.
    Store {
        router: Router,
        _stop: watch::Sender<bool>,
    },
}

/// A socket that is served until this is dropped.
pub struct Serving(Option<(PathBuf, JoinHandle<()>)>);

impl Serving {
    /// Where it is.
    pub fn path(&self) -> Option<PathBuf> {
        self.0.as_ref().map(|(path, _)| path.clone())
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        if let Some((path, task)) = &self.0 {
            task.abort();
            // One that stays behind is in nobody's way.
            let _ = std::fs::remove_file(path);
        }
    }
}

/// What the server says of a call that it has not taken.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Refusal {
    error: String,
    field: String,
    accepted: String,
}

impl Caller {
    /// Finds who answers: the server that is named, the socket that the environment names, who serves from the state
    /// directory or at `serve.listen`, else the store in the state directory.
    ///
    /// # Errors
    /// If who is named does not answer, or there is nobody and no store either.
    pub async fn find(server: Option<&Url>, socket: Option<&str>, settings: &Settings) -> Result<Self> {
        if let Some(server) = server {
            return Self::at(server, settings);
        }
        if let Some(path) =
            socket.map(|text| text.strip_prefix("unix:").unwrap_or(text)).filter(|path| path.starts_with('/'))
        {
            let caller = Self::on_socket(Path::new(path));
            return caller
                .is_there()
                .await
                .map(|()| caller)
                .with_context(|| format!("nobody answers at RUNLOG_SOCKET={path}"));
        }
        let state = State::of(settings);
        let announced = Self::announced(&state, settings);
        let listening = settings.serve.listen.map(|at| format!("http://{at}"));
        let listening = listening.and_then(|at| Self::at(&Url::parse(&at).ok()?, settings).ok());
        let own = Some(Self::on_socket(&state.dir().join(SOCKET)));
        for caller in [announced, own, listening].into_iter().flatten() {
            if caller.is_there().await.is_ok() {
                return Ok(caller);
            }
        }
        if settings.export.is_some() {
            bail!("no agent runs that could send this on; start one with `runlog`, or name one with --server");
        }
        let store = state.open_store().map_err(|failure| failure.error)?;
        let receiver = Receiver::new(Arc::clone(&store));
        let api = receiver.run_api();
        let vitals = Arc::new(Alone(SystemClock.now()));
        let parts = Parts { store: Some(store.reader()), vitals, receiver: Some(receiver), api, control: None };
        let (router, stop) = on_socket(parts);
        Ok(Self {
            way: Way::Store { router, _stop: stop },
            name: state.store_dir().display().to_string(),
            authorization: None,
        })
    }

    /// All that may collect with these settings: the server that is named, or what the environment's socket belongs to,
    /// or else who serves from the state directory and the wrapped programs there.
    ///
    /// # Errors
    /// If the server's address cannot be used.
    pub async fn all(server: Option<&Url>, socket: Option<&str>, settings: &Settings) -> Result<Vec<Self>> {
        let is_named = server.is_some() || socket.is_some_and(|path| !path.is_empty());
        if is_named {
            return Ok(vec![Self::find(server, socket, settings).await?]);
        }
        let state = State::of(settings);
        let own = Self::on_socket(&state.dir().join(SOCKET));
        let mut found = Vec::new();
        for caller in Self::announced(&state, settings).into_iter().chain([own]) {
            // Both are the agent's.
            if found.is_empty() && caller.is_there().await.is_ok() {
                found.push(caller);
            }
        }
        // None are there if there is no folder.
        let queues = std::fs::read_dir(state.exec_dir()).into_iter().flatten().flatten().map(|entry| entry.path());
        let mut sockets: Vec<PathBuf> = queues.map(|queue| socket::path_of(&queue)).collect();
        sockets.sort();
        for caller in sockets.iter().map(|path| Self::on_socket(path)) {
            if caller.is_there().await.is_ok() {
                found.push(caller);
            }
        }
        Ok(found)
    }

    /// Where it is.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Who says in the state directory that it serves.
    fn announced(state: &State, settings: &Settings) -> Option<Self> {
        Self::at(&Url::parse(&state.address()?).ok()?, settings).ok()
    }

    fn at(base: &Url, settings: &Settings) -> Result<Self> {
        let name = base.to_string();
        match (base.scheme(), base.host_str(), base.port_or_known_default()) {
            ("http", Some(host), Some(port)) => {
                let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
                Ok(Self { way: Way::Port { host, port }, name, authorization: settings.serve.access.to_show() })
            }
            _ => bail!("{base} is not a runlog server's address; use one such as http://127.0.0.1:4319"),
        }
    }

    fn on_socket(path: &Path) -> Self {
        Self { way: Way::Socket(path.to_owned()), name: path.display().to_string(), authorization: None }
    }

    /// Serves on a socket what is asked here, if there is nobody else to ask: programs find it in `RUNLOG_SOCKET`.
    pub async fn serve(&self, path: PathBuf) -> Serving {
        let Way::Store { router, .. } = &self.way else { return Serving(None) };
        let listener = match UnixListener::bind(&path) {
            Ok(listener) => listener,
            Err(error) => {
                tracing::warn!(path = %path.display(), %error, "programs cannot be served, what they log is left in the spool");
                return Serving(None);
            }
        };
        let router = router.clone();
        // Ended when what is returned is dropped.
        let task = tokio::spawn(async move {
            loop {
                let Ok((stream, _)) = listener.accept().await else {
                    sleep(ACCEPT_PAUSE).await;
                    continue;
                };
                let service = TowerToHyperService::new(router.clone());
                // Ends with its client, or with this process.
                tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
            }
        });
        Serving(Some((path, task)))
    }

    async fn is_there(&self) -> Result<()> {
        match &self.way {
            Way::Port { host, port } => TcpStream::connect((&host[..], *port)).await.map(drop)?,
            Way::Socket(path) => UnixStream::connect(path).await.map(drop)?,
            Way::Store { .. } => {}
        }
        Ok(())
    }

    /// Asks for what is at a path below `/api/v1`.
    ///
    /// # Errors
    /// If it is refused, or nobody answers.
    pub async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T> {
        self.json(Method::GET, path, Body::empty()).await
    }

    /// Sends a message to a path below `/api/v1`.
    ///
    /// # Errors
    /// If it is refused, or nobody answers.
    pub async fn post<T: DeserializeOwned>(&self, path: &str, message: &impl serde::Serialize) -> Result<T> {
        self.send(Method::POST, path, message).await
    }

    /// The same with another method.
    ///
    /// # Errors
    /// If it is refused, or nobody answers.
    pub async fn send<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        message: &impl serde::Serialize,
    ) -> Result<T> {
        self.json(method, path, serde_json::to_vec(message)?.into()).await
    }

    async fn json<T: DeserializeOwned>(&self, method: Method, path: &str, body: Body) -> Result<T> {
        let bytes = self.call(method, path, body).await?.into_body().collect().await?.to_bytes();
        serde_json::from_slice(&bytes).with_context(|| format!("{} did not answer as runlog does", self.name))
    }

    /// Calls a path below `/api/v1`. The answer is one of success.
    ///
    /// # Errors
    /// If it is refused, or nobody answers.
    pub async fn call(&self, method: Method, path: &str, body: Body) -> Result<Response<Body>> {
        let response = self.exchange(method, path, body).await?;
        if response.status().is_success() {
            return Ok(response);
        }
        let status = response.status();
        if status == StatusCode::UNAUTHORIZED {
            return Err(no_token(&self.name));
        }
        let bytes = response.into_body().collect().await?.to_bytes();
        Err(refusal(&bytes).unwrap_or_else(|| anyhow!("{} answered {status}; is it runlog?", self.name)))
    }

    /// The status of an answer without a body.
    ///
    /// # Errors
    /// If nobody answers.
    pub async fn look(&self, path: &str) -> Result<StatusCode> {
        Ok(self.exchange(Method::HEAD, path, Body::empty()).await?.status())
    }

    async fn exchange(&self, method: Method, path: &str, body: Body) -> Result<Response<Body>> {
        let mut request = Request::builder().method(method).uri(format!("/api/v1{path}"));
        if let Way::Port { host, port } = &self.way {
            let host = if host.contains(':') { format!("[{host}]") } else { host.clone() };
            request = request.header(HOST, format!("{host}:{port}"));
            if let Some(shown) = &self.authorization {
                request = request.header(AUTHORIZATION, shown.clone());
            }
        } else {
            request = request.header(HOST, "localhost");
        }
        let request = request.body(body)?;
        let nobody = || format!("nobody answers at {}", self.name);
        match &self.way {
            Way::Port { host, port } => {
                send(TcpStream::connect((&host[..], *port)).await.with_context(nobody)?, request).await
            }
            Way::Socket(path) => send(UnixStream::connect(path).await.with_context(nobody)?, request).await,
            Way::Store { router, .. } => match TowerToHyperService::new(router.clone()).call(request).await {
                Ok(response) => Ok(response),
                Err(never) => match never {},
            },
        }
    }
}

async fn send<S>(stream: S, request: Request<Body>) -> Result<Response<Body>>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    // Ends with the connection, whose other end is `sender` and the answer's body.
    tokio::spawn(connection);
    Ok(sender.send_request(request).await?.map(Body::new))
}

/// What is told to who has not shown the token of a server.
pub fn no_token(server: &str) -> anyhow::Error {
    anyhow!(
        "{server} asks for a token\nset RUNLOG_SERVE_TOKEN, or RUNLOG_SERVE_TOKEN_FILE, to the one that it was started with"
    )
}

fn refusal(bytes: &Bytes) -> Option<anyhow::Error> {
    let Refusal { error, field, accepted, .. } = serde_json::from_slice(bytes).ok()?;
    let mut text = error;
    if !field.is_empty() {
        text += &format!(" ({field})");
    }
    if !accepted.is_empty() {
        text += &format!("\nuse {accepted}");
    }
    Some(anyhow!(text))
}

/// A part of a path, whatever is in it.
pub fn escaped(part: &str) -> String {
    utf8_percent_encode(part, NON_ALPHANUMERIC).to_string()
}

/// A path of several parts.
pub fn escaped_path(path: &str) -> String {
    utf8_percent_encode(path, PLAIN).to_string()
}

/// This process alone.
struct Alone(UnixNanos);

impl Vitals for Alone {
    fn snapshot(&self) -> Snapshot {
        Snapshot { started: self.0, ..Snapshot::default() }
    }
}
