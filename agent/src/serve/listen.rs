//! Connections: how many, how long, and how they end.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    server::graceful::GracefulShutdown,
    service::TowerToHyperService,
};
use tokio::{
    net::TcpListener,
    pin, select,
    sync::{Semaphore, watch},
    task::JoinSet,
    time::{sleep, timeout},
};

/// More wait in the kernel's backlog.
const MAX_CONNECTIONS: usize = 256;

/// How long a request's head may take, and an idle connection stay.
const HEAD_TIMEOUT: Duration = Duration::from_secs(30);

/// How long answers under way may take when the server stops.
const GRACE: Duration = Duration::from_secs(3);

/// How long to wait when a connection cannot be taken, as when all file descriptors are in use.
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);

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
    let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let graceful = GracefulShutdown::new();
    // Owns the connections: what is still open when this function returns ends with it.
    let mut connections = JoinSet::new();
    pin!(shutdown);
    loop {
        // Both waits are cancel safe.
        let accepted = async {
            let place = Arc::clone(&places).acquire_owned().await;
            (place, listener.accept().await)
        };
        let (place, stream) = select! {
            () = &mut shutdown => break,
            (place, accepted) = accepted => match accepted {
                Ok((stream, _)) => (place, stream),
                Err(fault) => {
                    tracing::debug!(%fault, "a connection could not be taken");
                    sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            },
        };
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEAD_TIMEOUT)
            .serve_connection(TokioIo::new(stream), TowerToHyperService::new(app.clone()));
        let connection = graceful.watch(connection);
        connections.spawn(async move {
            // A connection that breaks is its client's affair.
            let _ = connection.await;
            drop(place);
        });
        while connections.try_join_next().is_some() {}
    }
    drop(listener);
    stop.send_replace(true);
    let _ = timeout(GRACE, graceful.shutdown()).await;
}
