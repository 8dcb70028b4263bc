//! The destinations of a queue.

use std::{any::Any, panic::AssertUnwindSafe, path::PathBuf, sync::Arc};

use futures_util::FutureExt;
use tokio::{sync::watch, task::JoinSet, time::Instant};
use tracing::{error, warn};

use crate::{
    export::{
        self, DEAD_LETTER_BYTES, DeadLetters, Deliver, Destination, Ended, ExportStats, Local, Otlp, Route, Shared,
        UnusableFolder,
    },
    queue::{Queue, UnknownDestination},
    record::SystemClock,
    store::Store,
};

use super::{
    backlog::QueueBacklog,
    restart::{Pauses, Restarts},
};

/// The name of the embedded store's cursor.
pub const STORE: &str = "store";

/// A destination that cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum UnusableDestination {
    /// Its settings cannot be used.
    #[error("destination {name} cannot be used")]
    Settings {
        /// The destination's name in the configuration.
        name: String,
        /// What is wrong.
        source: export::UnusableDestination,
    },
    /// The queue does not know it.
    #[error(transparent)]
    Queue(#[from] UnknownDestination),
    /// Refused batches have no place to go.
    #[error("the folder of refused batches cannot be used")]
    DeadLetters(#[from] UnusableFolder),
}

/// Where batches shall go.
#[derive(Clone)]
pub struct Destinations {
    /// OTLP servers.
    pub otlp: Vec<export::Config>,
    /// The embedded store.
    pub store: Option<Arc<Store>>,
    /// Where refused batches go.
    pub dead_letter_dir: PathBuf,
}

/// Destinations at work.
pub struct Running {
    tasks: JoinSet<(String, Ended)>,
    deadline: watch::Sender<Option<Instant>>,
    told: Vec<Told>,
}

/// What can be told about a destination at work.
#[derive(Debug, Clone)]
pub struct Told {
    /// Its name in the configuration, and of its cursor.
    pub name: String,
    /// Where batches go, without secrets.
    pub address: String,
    /// What it has taken.
    pub stats: Arc<ExportStats>,
}

impl Destinations {
    /// The names of the cursors.
    #[must_use]
    pub fn names(&self) -> Vec<&str> {
        self.otlp.iter().map(|config| config.name.as_str()).chain(self.store.iter().map(|_| STORE)).collect()
    }

    /// Starts a task for each.
    pub(super) fn start(self, queue: &Queue, restarts: &Arc<Restarts>) -> Result<Running, UnusableDestination> {
        let dead_letters = Arc::new(DeadLetters::open(&self.dead_letter_dir, DEAD_LETTER_BYTES)?);
        let (deadline, stop) = watch::channel(None);
        let mut running = Running { tasks: JoinSet::new(), deadline, told: Vec::new() };
        let ways = Ways { queue: queue.clone(), dead_letters, stop, restarts: Arc::clone(restarts) };
        for config in self.otlp {
            let route = Route::from(&config);
            let otlp = move || {
                Otlp::new(&config, Arc::new(SystemClock))
                    .map_err(|source| UnusableDestination::Settings { name: config.name.clone(), source })
            };
            running.add(route, otlp, ways.clone())?;
        }
        if let Some(store) = self.store {
            let id = queue.id();
            running.add(Local::route(STORE), move || Ok(Local::new(Arc::clone(&store), id)), ways)?;
        }
        Ok(running)
    }
}

/// What all destinations of a queue share.
#[derive(Clone)]
struct Ways {
    queue: Queue,
    dead_letters: Arc<DeadLetters>,
    stop: watch::Receiver<Option<Instant>>,
    restarts: Arc<Restarts>,
}

impl Running {
    fn add<D: Deliver + 'static>(
        &mut self,
        route: Route,
        make: impl Fn() -> Result<D, UnusableDestination> + Send + 'static,
        ways: Ways,
    ) -> Result<(), UnusableDestination> {
        let Ways { queue, dead_letters, stop, restarts } = ways;
        let deliver = make()?;
        let (name, address) = (route.name.clone(), deliver.address().to_owned());
        let shared = Shared { dead_letters, stats: Arc::default(), clock: Arc::new(SystemClock) };
        self.told.push(Told { name: name.clone(), address, stats: Arc::clone(&shared.stats) });
        let begin = move |deliver| {
            let backlog = QueueBacklog::new(&queue, &route.name)?;
            Ok(Destination::new(route.clone(), backlog, deliver, shared.clone(), fastrand::Rng::new()))
        };
        let first = begin(deliver)?;
        let again = move || make().and_then(&begin);
        self.tasks.spawn(async move {
            let ended = deliver_on(&name, first, again, stop, &restarts).await;
            (name, ended)
        });
        Ok(())
    }

    /// What can be told about each.
    pub(super) fn told(&self) -> &[Told] {
        &self.told
    }

    /// Waits until each has delivered what the closed queue holds, or the deadline has passed, or `hurry` is over.
    pub(super) async fn finish(mut self, deadline: Instant, hurry: impl Future<Output = ()>) {
        self.deadline.send_replace(Some(deadline));
        let (deadline, mut is_hurried) = (self.deadline, false);
        tokio::pin!(hurry);
        loop {
            let ended = tokio::select! {
                ended = self.tasks.join_next() => ended,
                () = &mut hurry, if !is_hurried => {
                    is_hurried = true;
                    deadline.send_replace(Some(Instant::now()));
                    continue;
                }
            };
            let Some(ended) = ended else { break };
            match ended {
                Ok((_, Ended::Delivered)) => {}
                Ok((name, Ended::Late)) => {
                    warn!(destination = name, "time is up, what is left is delivered at the next start");
                }
                Err(failure) => error!(error = %failure, "a destination's task failed"),
            }
        }
    }
}

/// Delivers to one destination to the end. If that panics, another one begins behind what was acknowledged.
async fn deliver_on<D: Deliver>(
    name: &str,
    first: Destination<QueueBacklog, D>,
    again: impl Fn() -> Result<Destination<QueueBacklog, D>, UnusableDestination>,
    mut stop: watch::Receiver<Option<Instant>>,
    restarts: &Restarts,
) -> Ended {
    let mut pauses = Pauses::new();
    let mut next = Ok(first);
    loop {
        match next {
            Ok(destination) => match AssertUnwindSafe(destination.run(stop.clone())).catch_unwind().await {
                Ok(ended) => return ended,
                Err(panic) => restarts.count(&format!("export.{name}"), &words(&*panic)),
            },
            Err(unusable) => error!(destination = name, error = %unusable, "cannot start the destination again"),
        }
        // An error means that nobody will ask for a stop any more.
        pauses.pause(async { drop(stop.wait_for(Option::is_some).await) }).await;
        if stop.borrow().is_some_and(|deadline| deadline <= Instant::now()) {
            return Ended::Late;
        }
        next = again();
    }
}

/// What a panic said.
fn words(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
    text.map_or_else(|| "panicked".to_owned(), |text| format!("panicked: {text}"))
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use bytes::Bytes;

    use super::*;
    use crate::{
        export::Delivery,
        queue::{self, Disk, Entry},
        record::BatchMeta,
    };

    /// Panics at its second batch.
    struct Exploding(Arc<AtomicUsize>);

    impl Deliver for Exploding {
        async fn deliver(&self, _seq: u64, _meta: &BatchMeta, _body: &Bytes) -> Delivery {
            if self.0.fetch_add(1, Ordering::Relaxed) == 1 {
                panic!("the second batch");
            }
            Delivery::Accepted { rejected: 0, message: String::new() }
        }

        fn address(&self) -> &str {
            "nowhere"
        }
    }

    #[tokio::test(start_paused = true)]
    async fn s12_a_destination_that_panics_begins_again_behind_what_was_acknowledged() {
        let dir = tempfile::tempdir().unwrap();
        let config = queue::Config::sized(64 << 20, 8 << 20);
        let (queue, _) = Queue::open(dir.path(), &config, &["d"], Arc::new(Disk), std::time::Duration::ZERO).unwrap();
        let meta = prost::Message::encode_to_vec(&BatchMeta::default());
        for _ in 0..3 {
            queue.append(&Entry { meta: &meta, body: Bytes::from_static(b"body"), positions: &[] }).unwrap();
        }
        queue.sync().unwrap();
        queue.close();
        let dead_letters = Arc::new(DeadLetters::open(&dir.path().join("letters"), DEAD_LETTER_BYTES).unwrap());
        let (deadline, stop) = watch::channel(None);
        let mut running = Running { tasks: JoinSet::new(), deadline, told: Vec::new() };
        let restarts = Arc::<Restarts>::default();
        let ways = Ways { queue: queue.clone(), dead_letters, stop, restarts: Arc::clone(&restarts) };
        let (calls, made) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let (given, counted) = (Arc::clone(&calls), Arc::clone(&made));
        let make = move || {
            counted.fetch_add(1, Ordering::Relaxed);
            Ok(Exploding(Arc::clone(&given)))
        };
        running.add(Route { name: "d".into(), ..Local::route(STORE) }, make, ways).unwrap();

        running.finish(Instant::now() + std::time::Duration::from_secs(3600), std::future::pending()).await;

        assert!(queue.is_drained());
        let times = (made.load(Ordering::Relaxed), calls.load(Ordering::Relaxed));
        assert_eq!(times, (2, 4), "made, and called: the second batch twice");
        assert_eq!(restarts.counts().into_values().collect::<Vec<_>>(), [1]);
    }
}
