//! The connections of a listener: how many, and how they end.

use std::{io, sync::Arc, time::Duration};

use hyper_util::server::graceful::{GracefulConnection, GracefulShutdown};
use rustix::process::{Resource, getrlimit};
use tokio::{
    net::{TcpListener, TcpStream},
    pin, select,
    sync::Semaphore,
    task::JoinSet,
    time::{sleep, timeout},
};

/// More wait in the kernel's backlog.
const MAX_CONNECTIONS: usize = 256;

/// The part of the process's file descriptors that the connections of one listener may take.
const PART: u64 = 8;

/// How long to wait when a connection cannot be taken, as when all file descriptors are in use.
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);

/// Where connections come from.
pub trait Accept {
    /// A connection.
    type Stream;

    /// Waits for the next one. Cancel safe.
    fn accept(&self) -> impl Future<Output = io::Result<Self::Stream>> + Send;
}

impl Accept for TcpListener {
    type Stream = TcpStream;

    async fn accept(&self) -> io::Result<TcpStream> {
        let (stream, _) = Self::accept(self).await?;
        // A client waits for each answer. Without it they come a little later.
        let _ = stream.set_nodelay(true);
        Ok(stream)
    }
}

/// Serves each connection as `connect` says until `shutdown` is done; then what is under way is given `grace` to end.
pub async fn serve<L, C>(
    listener: L,
    shutdown: impl Future<Output = ()>,
    grace: Duration,
    connect: impl Fn(L::Stream) -> C,
) where
    L: Accept,
    C: GracefulConnection + Send + 'static,
    C::Error: Send,
{
    let places = Arc::new(Semaphore::new(most(getrlimit(Resource::Nofile).current)));
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
                Ok(stream) => (place, stream),
                Err(error) => {
                    tracing::debug!(%error, "a connection could not be taken");
                    sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            },
        };
        let connection = graceful.watch(connect(stream));
        connections.spawn(async move {
            // A connection that breaks is its client's affair.
            let _ = connection.await;
            drop(place);
        });
        while connections.try_join_next().is_some() {}
    }
    drop(listener);
    let _ = timeout(grace, graceful.shutdown()).await;
}

/// How many connections there may be at once with that limit of descriptors.
fn most(limit: Option<u64>) -> usize {
    let part = limit.and_then(|limit| usize::try_from(limit / PART).ok());
    part.map_or(MAX_CONNECTIONS, |part| part.clamp(1, MAX_CONNECTIONS))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn s7_connections_leave_descriptors_for_all_else() {
        for (limit, connections) in [(Some(64), 8), (Some(4), 1), (Some(1 << 20), 256), (None, 256)] {
            assert_eq!(most(limit), connections);
        }
    }
}
