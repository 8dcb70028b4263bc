//! One address and its connections.

use std::{convert::Infallible, error::Error, io, sync::Arc, time::Duration};

use axum::{Router, body::Body};
use hyper::{
    Request, Response,
    body::Incoming,
    service::{Service, service_fn},
};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::conn::auto,
    service::TowerToHyperService,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpListener,
    select,
    sync::watch,
    task::spawn_blocking,
    time::sleep,
};
use tracing::{info, warn};

use crate::{
    receive::{
        answer,
        connections::{self, Accept},
        tls::{Files, Tls},
    },
    source::Stop,
};

use super::{Address, Announced, Trouble, end::Gate, unix::Socket};

/// Requests of one connection of HTTP/2 that are under way at the same time.
const MAX_STREAMS: u32 = 32;

/// What a connection may send before it is read. With the number of connections it bounds what nobody has counted.
const WINDOW_BYTES: u32 = 128 * 1024;

/// What is read at once from a connection of HTTP/1, of which the same holds.
const READ_BYTES: usize = 64 * 1024;

/// The head of a request of HTTP/2.
const HEAD_BYTES: u32 = 16 * 1024;

/// How long a request's head may take, and an idle connection of HTTP/1 stay.
const HEAD_TIMEOUT: Duration = Duration::from_secs(60);

/// How often an idle connection of HTTP/2 is asked whether it is still there.
const PING_EVERY: Duration = Duration::from_secs(60);

/// How long requests that are under way may take when runlog stops.
const GRACE: Duration = Duration::from_secs(10);

/// How often an address that is in use, or a certificate that cannot be used, is tried again.
const AGAIN: Duration = Duration::from_secs(5);

/// A connection, with or without TLS.
pub(super) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

/// What is listened on.
pub(super) enum Listener {
    Port(TcpListener),
    Socket(Socket),
}

impl Listener {
    async fn open(address: &Address) -> io::Result<Self> {
        match address {
            Address::Port(address) => TcpListener::bind(address).await.map(Self::Port),
            Address::Socket(path) => Socket::bind(path).map(Self::Socket),
        }
    }

    /// The address, with the port that was found where any would do.
    fn address(&self, asked_for: &Address) -> Address {
        match self {
            Self::Port(listener) => listener.local_addr().map_or_else(|_| asked_for.clone(), Address::Port),
            Self::Socket(_) => asked_for.clone(),
        }
    }
}

/// What an address leads to.
pub(super) struct Door {
    /// Where requests of OTLP go.
    pub(super) end: Arc<Gate>,
    /// With what TLS is spoken.
    pub(super) files: Option<Files>,
    /// What answers below `/api/`, and the methods of runlog's own services.
    pub(super) beside: Option<Router>,
    /// Whether it is told that it is open.
    pub(super) announced: Announced,
}

/// Receives on that address until the stop is thrown.
pub(super) async fn listen(address: Address, door: Door, mut stop: Stop, trouble: Arc<watch::Sender<Trouble>>) {
    let Door { end, files, beside, announced } = door;
    let ready = async {
        let tls = match files {
            Some(files) => Some(read(&address, files, &trouble).await),
            None => None,
        };
        (tls, bind(&address, &trouble).await)
    };
    let (tls, listener) = select! {
        ready = ready => ready,
        () = stop.thrown() => return,
    };
    if announced == Announced::Yes {
        info!(address = %listener.address(&address), tls = tls.is_some(), "receiving OTLP, gRPC and HTTP");
    }
    match listener {
        Listener::Port(listener) => serve(listener, end, tls, beside, stop).await,
        Listener::Socket(socket) => serve(socket, end, tls, beside, stop).await,
    }
}

/// Takes the address, however long somebody else has it. Cancel safe.
pub(super) async fn bind(address: &Address, trouble: &watch::Sender<Trouble>) -> Listener {
    loop {
        match Listener::open(address).await {
            Ok(listener) => {
                trouble.send_modify(|all| _ = all.remove(address));
                return listener;
            }
            Err(error) => tell(address, &error, trouble),
        }
        sleep(AGAIN).await;
    }
}

/// Reads the certificate, however long it cannot be used. Cancel safe.
async fn read(address: &Address, files: Files, trouble: &watch::Sender<Trouble>) -> Arc<Tls> {
    loop {
        let files = files.clone();
        match spawn_blocking(move || Tls::read(files)).await {
            Ok(Ok(tls)) => return Arc::new(tls),
            Ok(Err(error)) => tell(address, &error, trouble),
            // The runtime is shutting down.
            Err(error) => tell(address, &error, trouble),
        }
        sleep(AGAIN).await;
    }
}

/// Tells why nothing is received, once for each reason.
fn tell(address: &Address, error: &dyn Error, trouble: &watch::Sender<Trouble>) {
    let cause = error.source().map(|cause| format!(": {cause}")).unwrap_or_default();
    let reason = format!("{error}{cause}");
    if trouble.send_if_modified(|all| all.insert(address.clone(), reason.clone()).as_ref() != Some(&reason)) {
        warn!(%address, error = reason, "cannot receive OTLP, trying again; all else is collected");
    }
}

/// Receives until the stop is thrown, and what is under way is answered.
pub(super) async fn serve<L>(listener: L, end: Arc<Gate>, tls: Option<Arc<Tls>>, beside: Option<Router>, mut stop: Stop)
where
    L: Accept,
    L::Stream: Stream + 'static,
{
    let server = server();
    let displaced = || end.turned_away("displaced");
    connections::serve(listener, stop.thrown(), GRACE, displaced, |stream, place| {
        let (server, end, tls, beside) = (server.clone(), Arc::clone(&end), tls.clone(), beside.clone());
        async move {
            let stream: Box<dyn Stream> = match tls {
                None => Box::new(stream),
                Some(tls) => match tls.accept(stream).await {
                    Some(stream) => Box::new(stream),
                    None => {
                        end.turned_away("tls");
                        return None;
                    }
                },
            };
            let service = service_fn(move |request| {
                let (end, beside, under_way) = (Arc::clone(&end), beside.clone(), place.begin());
                async move { Ok::<_, Infallible>(under_way.until_sent(answer_at(request, &end, beside).await)) }
            });
            Some(server.serve_connection(TokioIo::new(stream), service).into_owned())
        }
    })
    .await;
}

/// Answers a request, by OTLP or by what stands beside it.
async fn answer_at(request: Request<Incoming>, end: &Gate, beside: Option<Router>) -> Response<Body> {
    let is_beside = |path: &str| path.starts_with("/api/") || path.starts_with("/runlog.");
    if let Some(beside) = beside.filter(|_| is_beside(request.uri().path())) {
        return match TowerToHyperService::new(beside).call(request).await {
            Ok(response) => response,
            Err(never) => match never {},
        };
    }
    answer(request, end).await.map(Body::new)
}

fn server() -> auto::Builder<TokioExecutor> {
    let mut server = auto::Builder::new(TokioExecutor::new());
    server.http1().timer(TokioTimer::new()).header_read_timeout(HEAD_TIMEOUT).max_buf_size(READ_BYTES);
    server
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(PING_EVERY)
        .max_concurrent_streams(MAX_STREAMS)
        .max_header_list_size(HEAD_BYTES)
        .initial_stream_window_size(WINDOW_BYTES)
        .initial_connection_window_size(WINDOW_BYTES);
    server
}
