//! The destinations of a queue.

use std::{path::PathBuf, sync::Arc};

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

use super::backlog::QueueBacklog;

/// The name of the embedded store's cursor.
const STORE: &str = "store";

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
    pub(super) fn start(self, queue: &Queue) -> Result<Running, UnusableDestination> {
        let dead_letters = Arc::new(DeadLetters::open(&self.dead_letter_dir, DEAD_LETTER_BYTES)?);
        let (deadline, stop) = watch::channel(None);
        let mut running = Running { tasks: JoinSet::new(), deadline, told: Vec::new() };
        for config in &self.otlp {
            let otlp = Otlp::new(config, Arc::new(SystemClock))
                .map_err(|source| UnusableDestination::Settings { name: config.name.clone(), source })?;
            running.add(Route::from(config), otlp, queue, &dead_letters, stop.clone())?;
        }
        if let Some(store) = self.store {
            let local = Local::new(store, queue.id());
            running.add(Local::route(STORE), local, queue, &dead_letters, stop)?;
        }
        Ok(running)
    }
}

impl Running {
    fn add(
        &mut self,
        route: Route,
        deliver: impl Deliver + 'static,
        queue: &Queue,
        dead_letters: &Arc<DeadLetters>,
        stop: watch::Receiver<Option<Instant>>,
    ) -> Result<(), UnknownDestination> {
        let stats = Arc::new(ExportStats::default());
        let address = deliver.address().to_owned();
        self.told.push(Told { name: route.name.clone(), address, stats: Arc::clone(&stats) });
        let shared = Shared { dead_letters: Arc::clone(dead_letters), stats, clock: Arc::new(SystemClock) };
        let name = route.name.clone();
        let backlog = QueueBacklog::new(queue, &name)?;
        let destination = Destination::new(route, backlog, deliver, shared, fastrand::Rng::new());
        self.tasks.spawn(async move { (name, destination.run(stop).await) });
        Ok(())
    }

    /// What can be told about each.
    pub(super) fn told(&self) -> &[Told] {
        &self.told
    }

    /// Waits until each has delivered what the closed queue holds, or the deadline has passed.
    pub(super) async fn finish(mut self, deadline: Instant) {
        self.deadline.send_replace(Some(deadline));
        while let Some(ended) = self.tasks.join_next().await {
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
