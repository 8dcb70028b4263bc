//! Builds the stages, starts them, and drains them in order.
//!
//! ```text
//! sources -> Intake | one thread: parse, enrich, batch -> queue | one task each: destinations
//! ```
//!
//! A drain goes the way of a line: the sources read to their ends, the stage closes its batches and makes them
//! durable, the destinations deliver until nothing is left or time is up.

mod adopt;
mod backlog;
mod deliver;
mod receipts;
mod stage;
mod vitals;

pub use adopt::{adopt_left_behind, remove};
pub use deliver::{Destinations, Told};
pub use stage::Stage;
pub use vitals::AgentVitals;

use std::{
    io,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use tokio::{
    sync::mpsc,
    task,
    time::{Instant, timeout_at},
};
use tracing::{debug, warn};

use crate::{
    batch::{self, Batcher},
    parse,
    queue::{self, Disk, Queue},
    record::{Ledger, SystemClock},
    source::{self, Context, StopSwitch},
};

/// What a pipeline is made of.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Where its queue is.
    pub queue_dir: PathBuf,
    /// The queue's bounds.
    pub queue: queue::Config,
    /// How lines are cut.
    pub parse: parse::Config,
    /// When batches close.
    pub batch: batch::Config,
    /// Bytes that may wait between the sources and the queue.
    pub memory_bytes: usize,
}

/// A pipeline that cannot be started.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The queue cannot be opened.
    #[error("cannot open the queue in {}", dir.display())]
    Queue {
        /// Its folder.
        dir: PathBuf,
        /// Why.
        source: queue::OpenError,
    },
    /// A destination cannot be set up.
    #[error(transparent)]
    Destination(#[from] deliver::UnusableDestination),
    /// The machine has no room for a thread or a buffer.
    #[error("cannot start the pipeline")]
    Resources(#[from] io::Error),
}

/// A running pipeline. [`Pipeline::drain`] ends it; dropping it ends it too, without waiting.
pub struct Pipeline {
    queue: Queue,
    ledger: Arc<Ledger>,
    context: Context,
    switch: StopSwitch,
    stage: JoinHandle<io::Result<()>>,
    gave_up: Arc<AtomicBool>,
    answers: task::JoinHandle<()>,
    destinations: deliver::Running,
}

/// How a drain went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Drained {
    /// Batches that are still in the queue, for the next start.
    pub batches_left: u64,
}

impl Pipeline {
    /// Opens the queue and starts everything but the sources. Must be called inside the runtime.
    ///
    /// # Errors
    /// If the queue or a destination cannot be used.
    pub fn start(plan: Plan, destinations: Destinations) -> Result<Self, StartError> {
        let queue = open(&plan.queue_dir, &plan.queue, &destinations.names(), plan.batch.linger)
            .map_err(|source| StartError::Queue { dir: plan.queue_dir.clone(), source })?;
        let ledger = Arc::new(Ledger::default());
        let (intake, outlet) = source::intake(plan.memory_bytes);
        let (switch, stop) = source::stop_switch();
        let gave_up = Arc::new(AtomicBool::new(false));
        let (awaited, awaiting) = mpsc::channel(receipts::MAX_AWAITED);
        let batcher = Batcher::new(plan.batch)?;
        let stage = Stage::new(plan.parse, batcher, queue.clone(), Arc::clone(&ledger), awaited, Arc::clone(&gave_up));
        // Joined by `drain`.
        let stage = thread::Builder::new().name("runlog-stage".into()).spawn(move || stage.run(&outlet))?;
        // Ends with the stage; awaited by `drain`.
        let answers = tokio::spawn(receipts::answer(queue.clone(), awaiting));
        let destinations = destinations.start(&queue)?;
        let context = Context {
            intake,
            stop,
            ledger: Arc::clone(&ledger),
            positions: Arc::new(queue.positions()),
            clock: Arc::new(SystemClock),
        };
        Ok(Self { queue, ledger, context, switch, stage, gave_up, answers, destinations })
    }

    /// What a source needs to start. Each clone of its intake has to be dropped before a drain can end.
    #[must_use]
    pub const fn context(&self) -> &Context {
        &self.context
    }

    /// The queue.
    #[must_use]
    pub const fn queue(&self) -> &Queue {
        &self.queue
    }

    /// What was read, kept and lost.
    #[must_use]
    pub const fn ledger(&self) -> &Arc<Ledger> {
        &self.ledger
    }

    /// What can be told about each destination.
    #[must_use]
    pub fn destinations(&self) -> &[Told] {
        self.destinations.told()
    }

    /// Waits until the sources have finished, everything is durable, and delivered as far as `grace` allows.
    ///
    /// # Errors
    /// If the last entries could not be made durable.
    pub async fn drain(self, grace: Duration) -> io::Result<Drained> {
        let deadline = Instant::now() + grace;
        self.switch.throw();
        let Self { context, stage, queue, gave_up, mut answers, destinations, .. } = self;
        drop(context);
        let mut stage = tokio::task::spawn_blocking(move || {
            stage.join().unwrap_or_else(|_| Err(io::Error::other("the pipeline's thread panicked")))
        });
        let joined = match timeout_at(deadline, &mut stage).await {
            Ok(joined) => joined,
            Err(_elapsed) => {
                warn!("reading to the end took longer than the grace period, the rest is read at the next start");
                gave_up.store(true, Ordering::Relaxed);
                // Sources that hang in the system are left behind; what they read is not in the queue, nor is its position.
                match tokio::time::timeout(Duration::from_secs(1), &mut stage).await {
                    Ok(joined) => joined,
                    Err(_elapsed) => Ok(queue.sync().map(drop).map_err(io::Error::other)),
                }
            }
        };
        let outcome = joined.unwrap_or_else(|error| Err(io::Error::other(error)));
        // What is durable is answered by then; nobody else is, and the queue is not to be held any longer.
        if timeout_at(deadline, &mut answers).await.is_err() {
            answers.abort();
        }
        queue.close();
        destinations.finish(deadline).await;
        let batches_left = queue.stats().entries_left();
        // The last acknowledgements are durable before the process says that it is done.
        if let Err(error) = queue.sync() {
            warn!(error = %error, "the last acknowledgements are not durable, these batches are sent again at the next start");
        }
        outcome.map(|()| Drained { batches_left })
    }
}

/// The queue syncs at most twice as often as batches linger, so that batches that close soon after each other share
/// a sync.
fn commit_interval(linger: Duration) -> Duration {
    linger / 2
}

fn open(dir: &Path, config: &queue::Config, names: &[&str], linger: Duration) -> Result<Queue, queue::OpenError> {
    let (queue, recovery) = Queue::open(dir, config, names, Arc::new(Disk), commit_interval(linger))?;
    let is_whole = recovery.corrupt_frames == 0 && recovery.set_aside.is_empty();
    if is_whole {
        debug!(entries = recovery.entries, torn_bytes = recovery.torn_bytes, "queue opened");
    } else {
        let set_aside = format!("{:?}", recovery.set_aside);
        warn!(
            corrupt_frames = recovery.corrupt_frames,
            lost_entries = recovery.lost_entries,
            set_aside,
            "the queue was damaged, the damaged places were passed by"
        );
    }
    for destination in &recovery.removed_destinations {
        warn!(destination, "destination is not configured any more, what waited for it alone is dropped");
    }
    Ok(queue)
}
