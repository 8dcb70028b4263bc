//! The address, and how long its connections may take.

use std::{convert::Infallible, future::ready, io, net::SocketAddr, time::Duration};

use axum::Router;
use hyper::service::{Service, service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::conn::auto,
    service::TowerToHyperService,
};
use tokio::{net::TcpListener, sync::watch};

use crate::receive::connections;

/// How long a request's head may take, and an idle connection stay.
const HEAD_TIMEOUT: Duration = Duration::from_secs(30);

/// Calls of one connection of HTTP/2 that are under way at the same time.
const MAX_STREAMS: u32 = 32;

/// The head of a request of HTTP/2.
const HEAD_BYTES: u32 = 16 * 1024;

/// How often an idle connection of HTTP/2 is asked whether it is still there.
const PING_EVERY: Duration = Duration::from_secs(60);

/// How long answers under way may take when the server stops.
const GRACE: Duration = Duration::from_secs(3);

/// The address cannot be taken.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address}")]
pub struct BindError {
    /// The address.
    pub address: SocketAddr,
    /// Why not.
    pub source: io::Error,
}

pub(super) async fn bind(address: SocketAddr) -> Result<(TcpListener, SocketAddr), BindError> {
    let fault = |source| BindError { address, source };
    let listener = TcpListener::bind(address).await.map_err(fault)?;
    let address = listener.local_addr().map_err(fault)?;
    Ok((listener, address))
}

/// Serves until `shutdown` is done, which it tells to `stop`.
pub(super) async fn serve(
    listener: TcpListener,
    app: Router,
    shutdown: impl Future<Output = ()>,
    stop: watch::Sender<bool>,
) {
    let shutdown = async {
        shutdown.await;
        stop.send_replace(true);
    };
    let mut server = auto::Builder::new(TokioExecutor::new());
    server.http1().timer(TokioTimer::new()).header_read_timeout(HEAD_TIMEOUT);
    // Clients of gRPC speak nothing else.
    server
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(MAX_STREAMS)
        .max_header_list_size(HEAD_BYTES)
        .keep_alive_interval(PING_EVERY)
        .keep_alive_timeout(HEAD_TIMEOUT);
    connections::serve(
        listener,
        shutdown,
        GRACE,
        || {},
        |stream, place| {
            let app = TowerToHyperService::new(app.clone());
            let service = service_fn(move |request| {
                let (answer, under_way) = (app.call(request), place.begin());
                async move { Ok::<_, Infallible>(under_way.until_sent(answer.await?)) }
            });
            ready(Some(server.serve_connection(TokioIo::new(stream), service).into_owned()))
        },
    )
    .await;
}
