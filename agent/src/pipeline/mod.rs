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
mod control;
mod deliver;
mod restart;
mod vitals;

pub use adopt::{SPOOL, adopt_left_behind, remove};
pub use control::AgentControl;
pub use deliver::{Destinations, STORE, Told};
pub use restart::{Keeper, Restarts};
pub use vitals::AgentVitals;

pub use runlog_line::pipeline::{Stage, Verdict, Watchdog};
use std::{
    future, io,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use tokio::{
    sync::{mpsc, oneshot},
    task,
    time::{Instant, timeout, timeout_at},
};
use tracing::{debug, warn};

use runlog_line::pipeline::{Pulse, receipts};

use crate::{
    batch::{self, Batcher},
    enrich::{Levels, LoggerLevel, Replays, recorder, redact},
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
    /// What is masked.
    pub redact: redact::Config,
    /// The levels of loggers.
    pub loggers: Vec<LoggerLevel>,
    /// What is recorded of what they leave out; `None` is nothing.
    pub recorder: Option<recorder::Config>,
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

/// How long what has been read may take to become durable when there is no more time.
const LAST_MOMENT: Duration = Duration::from_secs(1);

/// The same where nothing more can come: what a process has printed and nobody can read again takes a while on a busy machine,
/// and is not lost for that.
const LAST_LINES: Duration = Duration::from_secs(10);

/// How often the queue's thread is looked after.
const FAILURE_LOOK: Duration = Duration::from_secs(1);

/// A running pipeline. [`Pipeline::drain`] ends it; dropping it ends it too, without waiting.
pub struct Pipeline {
    queue: Queue,
    ledger: Arc<Ledger>,
    levels: Levels,
    replays: Replays,
    context: Context,
    switch: StopSwitch,
    stage: JoinHandle<io::Result<()>>,
    /// Closed when the stage's thread has ended.
    stage_ended: oneshot::Receiver<()>,
    pulse: Pulse,
    gave_up: Arc<AtomicBool>,
    answers: task::JoinHandle<()>,
    destinations: deliver::Running,
    restarts: Arc<Restarts>,
}

/// How a drain went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Drained {
    /// Batches that are still in the queue, for the next start.
    pub batches_left: u64,
    /// Whether the sources were read to their ends. What was not is read at the next start.
    pub is_read_out: bool,
}

impl Drained {
    /// Whether nothing is left for the next start.
    #[must_use]
    pub const fn is_complete(self) -> bool {
        self.is_read_out && self.batches_left == 0
    }
}

/// Why a drain did not end well.
#[derive(Debug, thiserror::Error)]
pub enum DrainError {
    /// The last entries could not be made durable.
    #[error("the last lines are not durable")]
    NotDurable(#[from] io::Error),
    /// The thread between the sources and the queue did not survive. What is in the queue is whole.
    #[error("the thread that makes records of lines has panicked, which is a bug in runlog")]
    Panicked,
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
        let positions = Arc::new(queue.positions());
        let (counted, may_end) = (Arc::clone(&ledger), Arc::clone(&gave_up));
        let stage = Stage::new(plan.parse, batcher, queue.clone(), &positions, counted, awaited, may_end);
        let levels = Levels::new(plan.loggers);
        let stage = stage.redacting(plan.redact).at(levels.clone());
        let replays = Replays::default();
        let stage = stage.recording(plan.recorder, replays.clone());
        // Joined by `drain`.
        let pulse = stage.pulse().clone();
        let (alive, stage_ended) = oneshot::channel();
        let stage = thread::Builder::new().name("runlog-stage".into()).spawn(move || {
            let _alive: oneshot::Sender<()> = alive;
            stage.run(&outlet)
        })?;
        // Ends with the stage; awaited by `drain`.
        let answers = tokio::spawn(receipts::answer(queue.clone(), awaiting));
        let restarts = Arc::<Restarts>::default();
        let destinations = destinations.start(&queue, &restarts)?;
        let context = Context { intake, stop, ledger: Arc::clone(&ledger), positions, clock: Arc::new(SystemClock) };
        Ok(Self {
            queue,
            ledger,
            levels,
            replays,
            context,
            switch,
            stage,
            stage_ended,
            pulse,
            gave_up,
            answers,
            destinations,
            restarts,
        })
    }

    /// What a source needs to start. Each clone of its intake has to be dropped before a drain can end.
    #[must_use]
    pub const fn context(&self) -> &Context {
        &self.context
    }

    /// What starts a source and starts it again if it panics. Has to be dropped before a drain can end.
    #[must_use]
    pub fn keeper(&self) -> Keeper {
        Keeper { context: self.context.clone(), queue: self.queue.clone(), restarts: Arc::clone(&self.restarts) }
    }

    /// Begins to watch that there is progress. `well` is called every `round`, or every second if that is sooner, in
    /// which nothing is stuck. Must be called inside the runtime.
    ///
    /// # Errors
    /// If the machine has no room for a thread.
    pub fn watch(&self, round: Duration, well: impl Fn() + Send + 'static) -> io::Result<Watchdog> {
        Watchdog::start(&self.queue, self.pulse.clone(), round, well)
    }

    /// How often each part was started again.
    #[must_use]
    pub const fn restarts(&self) -> &Arc<Restarts> {
        &self.restarts
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

    /// The levels, to ask for others.
    #[must_use]
    pub const fn levels(&self) -> &Levels {
        &self.levels
    }

    /// The flight recorder, to ask it to send what it has.
    #[must_use]
    pub const fn replays(&self) -> &Replays {
        &self.replays
    }

    /// What can be told about each destination.
    #[must_use]
    pub fn destinations(&self) -> &[Told] {
        self.destinations.told()
    }

    /// Waits until the thread between the sources and the queue has ended, or the queue's. Before a drain that happens
    /// only if they fail, and then nothing is collected any more.
    pub async fn failed(&mut self) {
        while !self.queue.has_failed() {
            // Nothing is ever sent, so an answer is the end.
            if timeout(FAILURE_LOOK, &mut self.stage_ended).await.is_ok() {
                return;
            }
        }
    }

    /// Waits until the sources have finished, everything is durable, and delivered as far as `grace` allows. Once
    /// `hurry` is over, only until what has been read is durable.
    ///
    /// # Errors
    /// If the last entries could not be made durable.
    pub async fn drain(self, grace: Duration, hurry: impl Future<Output = ()>) -> Result<Drained, DrainError> {
        let deadline = Instant::now() + grace;
        self.switch.throw();
        let Self { context, stage, queue, gave_up, mut answers, destinations, restarts, .. } = self;
        let sources = context.intake.sources();
        drop(context);
        tokio::pin!(hurry);
        let mut stage = task::spawn_blocking(move || stage.join().map_err(|_| DrainError::Panicked));
        let mut ended = tokio::select! {
            ended = timeout_at(deadline, &mut stage) => ended.ok(),
            () = &mut hurry => None,
        };
        let is_read_out = ended.is_some();
        let mut deadline = deadline;
        if !is_read_out {
            warn!("stopped before all was read, the rest is read at the next start");
            gave_up.store(true, Ordering::Relaxed);
            // Sources that hang in the system are left behind; what they read is not in the queue, nor is its position.
            ended = timeout(LAST_MOMENT, &mut stage).await.ok();
            if ended.is_none() && sources.have_finished() {
                ended = timeout(LAST_LINES, &mut stage).await.ok();
            }
            deadline = Instant::now() + LAST_MOMENT;
        }
        let outcome = match ended {
            Some(ended) => ended.unwrap_or(Err(DrainError::Panicked)).and_then(|worked| Ok(worked?)),
            None => queue.sync().map(drop).map_err(|error| DrainError::NotDurable(io::Error::other(error))),
        };
        // What is durable is answered by then; nobody else is, and the queue is not to be held any longer.
        if timeout_at(deadline, &mut answers).await.is_err() {
            answers.abort();
        }
        queue.close();
        if is_read_out {
            destinations.finish(deadline, hurry).await;
        } else {
            destinations.finish(Instant::now(), future::pending()).await;
        }
        let batches_left = queue.stats().entries_left();
        // The last acknowledgements are durable before the process says that it is done.
        if let Err(error) = queue.sync() {
            warn!(error = %error, "the last acknowledgements are not durable, these batches are sent again at the next start");
        }
        outcome.map(|()| Drained { batches_left, is_read_out: is_read_out && !restarts.is_unread() })
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
        warn!(
            destination,
            "destination is not configured any more, what waited for it goes to one that is new, and is dropped if none is"
        );
    }
    Ok(queue)
}
