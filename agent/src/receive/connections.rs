//! The connections of a listener: how many, whose turn it is when there are too many, and how they end.

use std::{
    io,
    sync::{Arc, Mutex, PoisonError, Weak},
    time::Duration,
};

use bytes::Bytes;
use http_body_util::{BodyExt, combinators::UnsyncBoxBody};
use hyper::{Response, body::Body};
use hyper_util::server::graceful::{GracefulConnection, GracefulShutdown};
use rustix::process::{Resource, getrlimit};
use tokio::{
    net::{TcpListener, TcpStream},
    pin, select,
    sync::{Notify, OwnedSemaphorePermit, Semaphore},
    task::JoinSet,
    time::{Instant, sleep, sleep_until, timeout},
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

/// A connection without a request is closed after this time.
const MAX_IDLE: Duration = Duration::from_secs(300);

/// A connection without a request may have to give its place to another one after this time.
const MIN_IDLE: Duration = Duration::from_secs(1);

/// How often it is looked whether there is such a one.
const LOOK: Duration = Duration::from_millis(100);

/// Serves each connection as `connect` says until `shutdown` is done; then what is under way is given `grace` to end.
///
/// When all places are taken, the connection that has been without a request for the longest time gives its place to the
/// next one, which `displaced` is told: whoever only holds connections open keeps nobody out.
pub async fn serve<L, F, C>(
    listener: L,
    shutdown: impl Future<Output = ()>,
    grace: Duration,
    displaced: impl Fn(),
    connect: impl Fn(L::Stream, Arc<Place>) -> F,
) where
    L: Accept,
    F: Future<Output = Option<C>> + Send + 'static,
    C: GracefulConnection + Send + 'static,
    C::Error: Send,
{
    let mut hall = Hall::new(most(getrlimit(Resource::Nofile).current));
    let graceful = GracefulShutdown::new();
    // Owns the connections: what is still open when this function returns ends with it.
    let mut connections = JoinSet::new();
    pin!(shutdown);
    loop {
        // Both waits are cancel safe: nobody is owed anything yet.
        let accepted = async {
            let stream = listener.accept().await?;
            Ok::<_, io::Error>((stream, hall.seat(&displaced).await))
        };
        let (stream, place) = select! {
            () = &mut shutdown => break,
            accepted = accepted => match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    tracing::debug!(%error, "a connection could not be taken");
                    sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            },
        };
        let (connecting, watcher) = (connect(stream, Arc::clone(&place)), graceful.watcher());
        connections.spawn(async move {
            let served = async {
                if let Some(connection) = connecting.await {
                    // A connection that breaks is its client's affair.
                    let _ = watcher.watch(connection).await;
                }
            };
            select! {
                () = served => {}
                () = place.is_to_leave() => {}
            }
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

/// All places of a listener.
struct Hall {
    free: Arc<Semaphore>,
    taken: Vec<Weak<Place>>,
}

impl Hall {
    fn new(places: usize) -> Self {
        Self { free: Arc::new(Semaphore::new(places)), taken: Vec::new() }
    }

    /// A place for one more connection, if need be that of another one.
    async fn seat(&mut self, displaced: impl Fn()) -> Arc<Place> {
        loop {
            if let Ok(permit) = Arc::clone(&self.free).try_acquire_owned() {
                return self.take(permit);
            }
            self.taken.retain(|place| place.strong_count() > 0);
            let idle =
                self.taken.iter().filter_map(Weak::upgrade).filter_map(|place| Some((place.idle_since()?, place)));
            if let Some((since, place)) = idle.min_by_key(|(since, _)| *since)
                && since.elapsed() >= MIN_IDLE
            {
                place.leave.notify_one();
                displaced();
            }
            if let Ok(Ok(permit)) = timeout(LOOK, Arc::clone(&self.free).acquire_owned()).await {
                return self.take(permit);
            }
        }
    }

    fn take(&mut self, permit: OwnedSemaphorePermit) -> Arc<Place> {
        self.taken.retain(|place| place.strong_count() > 0);
        let requests = Mutex::new(Requests { under_way: 0, since: Instant::now() });
        let place = Arc::new(Place { requests, leave: Notify::new(), _permit: permit });
        self.taken.push(Arc::downgrade(&place));
        place
    }
}

/// A connection's place among those that there may be.
#[derive(Debug)]
pub struct Place {
    requests: Mutex<Requests>,
    leave: Notify,
    _permit: OwnedSemaphorePermit,
}

#[derive(Debug)]
struct Requests {
    under_way: usize,
    /// When the last one ended, or the connection began.
    since: Instant,
}

impl Place {
    /// Says that a request is under way, until what is returned is dropped.
    #[must_use]
    pub fn begin(self: &Arc<Self>) -> UnderWay {
        self.requests.lock().unwrap_or_else(PoisonError::into_inner).under_way += 1;
        UnderWay(Arc::clone(self))
    }

    /// Since when no request is under way, if none is.
    fn idle_since(&self) -> Option<Instant> {
        let requests = self.requests.lock().unwrap_or_else(PoisonError::into_inner);
        (requests.under_way == 0).then_some(requests.since)
    }

    /// Ends when the connection has been idle for too long, or another one is to have its place.
    async fn is_to_leave(&self) {
        loop {
            let since = self.idle_since();
            let limit = async {
                match since {
                    Some(since) => sleep_until(since + MAX_IDLE).await,
                    None => sleep(MAX_IDLE).await,
                }
            };
            let is_told = select! {
                () = self.leave.notified() => true,
                () = limit => false,
            };
            // A request may have come in the meantime.
            let least = if is_told { MIN_IDLE } else { MAX_IDLE };
            if self.idle_since().is_some_and(|since| since.elapsed() >= least) {
                return;
            }
        }
    }
}

/// A request that is under way on a connection.
#[derive(Debug)]
pub struct UnderWay(Arc<Place>);

impl UnderWay {
    /// The same answer; the request is under way until its last byte is sent.
    pub fn until_sent<B>(self, answer: Response<B>) -> Response<UnsyncBoxBody<Bytes, B::Error>>
    where
        B: Body<Data = Bytes> + Send + 'static,
    {
        answer.map(|body| {
            let held = body.map_frame(move |frame| {
                let _under_way = &self;
                frame
            });
            held.boxed_unsync()
        })
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        let mut requests = self.0.requests.lock().unwrap_or_else(PoisonError::into_inner);
        requests.under_way -= 1;
        requests.since = Instant::now();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[test]
    fn s7_connections_leave_descriptors_for_all_else() {
        for (limit, connections) in [(Some(64), 8), (Some(4), 1), (Some(1 << 20), 256), (None, 256)] {
            assert_eq!(most(limit), connections);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn h5_the_place_of_the_connection_that_was_idle_longest_goes_to_the_next() {
        let displaced = AtomicUsize::new(0);
        let count = || _ = displaced.fetch_add(1, Ordering::Relaxed);
        let mut hall = Hall::new(3);
        let soon = Duration::from_secs(60);
        let busy = hall.seat(count).await;
        let _request = busy.begin();
        let (idle, young) = (hall.seat(count).await, hall.seat(count).await);
        drop(young.begin());
        let leaves = |place: Arc<Place>| tokio::spawn(async move { place.is_to_leave().await });
        let (busy, idle, young) = (leaves(busy), leaves(idle), leaves(young));

        let began = Instant::now();
        let next = timeout(soon, hall.seat(count)).await.unwrap();
        assert!(began.elapsed() >= MIN_IDLE, "whoever has just come has time to send a request");
        timeout(soon, idle).await.unwrap().unwrap();
        assert!(!busy.is_finished() && !young.is_finished());

        sleep(MIN_IDLE).await;
        let _last = timeout(soon, hall.seat(count)).await.unwrap();
        timeout(soon, young).await.unwrap().unwrap();
        assert!(!busy.is_finished());
        assert_eq!(displaced.load(Ordering::Relaxed), 2);
        drop(next);
    }

    #[tokio::test(start_paused = true)]
    async fn h5_a_connection_without_a_request_is_closed_in_the_end() {
        let mut hall = Hall::new(1);
        let place = hall.seat(|| {}).await;
        let request = place.begin();
        let leaving = tokio::spawn({
            let place = Arc::clone(&place);
            async move { place.is_to_leave().await }
        });
        sleep(3 * MAX_IDLE).await;
        assert!(!leaving.is_finished());
        let began = Instant::now();
        drop(request);
        timeout(2 * MAX_IDLE, leaving).await.unwrap().unwrap();
        assert!(began.elapsed() >= MAX_IDLE - LOOK);
    }
}
