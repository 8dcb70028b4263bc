//! A server on a free port that answers as it is told.

use std::{
    convert::Infallible,
    io,
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::{HeaderMap, Request, Response, body::Incoming, header::HeaderValue, service::service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpListener,
    sync::watch,
    task::{JoinHandle, JoinSet},
};
use tokio_rustls::TlsAcceptor;

/// What the server received.
#[derive(Debug, Clone)]
pub(super) struct Seen {
    /// The connection that it came by, from 0.
    pub(super) connection: usize,
    pub(super) path: String,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

impl Seen {
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }
}

/// What it does about it.
#[derive(Debug, Clone)]
#[allow(clippy::large_enum_variant)]
pub(super) enum Reply {
    Answer {
        status: u16,
        headers: HeaderMap,
        body: Vec<u8>,
        trailers: HeaderMap,
    },
    /// The connection is closed without an answer.
    HangUp,
    /// The client waits for ever.
    Never,
}

impl Reply {
    pub(super) fn status(status: u16) -> Self {
        Self::Answer { status, headers: HeaderMap::new(), body: Vec::new(), trailers: HeaderMap::new() }
    }

    pub(super) fn with(status: u16, header: (&'static str, &'static str), body: impl Into<Vec<u8>>) -> Self {
        Self::Answer { status, headers: map(&[header]), body: body.into(), trailers: HeaderMap::new() }
    }
}

pub(super) fn map(pairs: &[(&'static str, &str)]) -> HeaderMap {
    pairs
        .iter()
        .map(|(name, value)| (hyper::header::HeaderName::from_static(name), HeaderValue::from_str(value).unwrap()))
        .collect()
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Speaks {
    Http1,
    Http2,
}

type Answers = Arc<dyn Fn(usize, &Seen) -> Reply + Send + Sync>;

/// Who the server is to a new connection; `None` without TLS.
type Identity = Arc<Mutex<Option<TlsAcceptor>>>;

/// Ends when it is dropped.
pub(super) struct Server {
    pub(super) address: SocketAddr,
    seen: Arc<Mutex<Vec<Seen>>>,
    identity: Identity,
    restarts: watch::Sender<()>,
    accepting: JoinHandle<()>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

impl Server {
    /// `answers` is given the number of requests before and the request.
    pub(super) async fn start(speaks: Speaks, answers: impl Fn(usize, &Seen) -> Reply + Send + Sync + 'static) -> Self {
        Self::start_with(speaks, None, answers).await
    }

    pub(super) async fn start_with(
        speaks: Speaks,
        tls: Option<TlsAcceptor>,
        answers: impl Fn(usize, &Seen) -> Reply + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let (answers, noted): (Answers, _) = (Arc::new(answers), Arc::clone(&seen));
        let identity: Identity = Arc::new(Mutex::new(tls));
        let (restarts, current) = (watch::Sender::new(()), Arc::clone(&identity));
        let restarted = restarts.subscribe();
        let accepting = tokio::spawn(async move {
            // Aborted with this task.
            let mut connections = JoinSet::new();
            for connection in 0.. {
                let Ok((stream, _)) = listener.accept().await else { return };
                let (answers, noted) = (Arc::clone(&answers), Arc::clone(&noted));
                let (tls, mut restarted) = (current.lock().unwrap().clone(), restarted.clone());
                restarted.mark_unchanged();
                let served = async move {
                    match tls {
                        None => serve(speaks, connection, stream, answers, noted).await,
                        Some(tls) => {
                            if let Ok(stream) = tls.accept(stream).await {
                                serve(speaks, connection, stream, answers, noted).await;
                            }
                        }
                    }
                };
                connections.spawn(async move {
                    tokio::select! {
                        () = served => {}
                        _ = restarted.changed() => {}
                    }
                });
            }
        });
        Self { address, seen, identity, restarts, accepting }
    }

    /// Closes all connections; to those that come now, the server is that one.
    pub(super) fn restart_as(&self, tls: TlsAcceptor) {
        *self.identity.lock().unwrap() = Some(tls);
        self.restarts.send_replace(());
    }

    pub(super) fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }

    pub(super) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }
}

async fn serve<S>(speaks: Speaks, connection: usize, stream: S, answers: Answers, noted: Arc<Mutex<Vec<Seen>>>)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let service = service_fn(move |request: Request<Incoming>| {
        let (answers, noted) = (Arc::clone(&answers), Arc::clone(&noted));
        async move {
            let (head, body) = request.into_parts();
            let body = body.collect().await.map_err(io::Error::other)?.to_bytes();
            let seen = Seen { connection, path: head.uri.path().to_owned(), headers: head.headers, body };
            let reply = {
                let mut noted = noted.lock().unwrap();
                let reply = answers(noted.len(), &seen);
                noted.push(seen);
                reply
            };
            let (status, headers, body, trailers) = match reply {
                Reply::Answer { status, headers, body, trailers } => (status, headers, body, trailers),
                Reply::HangUp => return Err(io::Error::other("hung up")),
                Reply::Never => std::future::pending().await,
            };
            let trailers = (!trailers.is_empty()).then_some(Ok::<_, Infallible>(trailers));
            let body = Full::new(Bytes::from(body)).with_trailers(async move { trailers });
            let mut response = Response::new(body);
            *response.status_mut() = status.try_into().unwrap();
            *response.headers_mut() = headers;
            Ok(response)
        }
    });
    let stream = TokioIo::new(stream);
    // A client that goes away, or speaks something else, is part of some tests.
    let _ = match speaks {
        Speaks::Http1 => hyper::server::conn::http1::Builder::new().serve_connection(stream, service).await,
        Speaks::Http2 => {
            hyper::server::conn::http2::Builder::new(TokioExecutor::new()).serve_connection(stream, service).await
        }
    };
}
