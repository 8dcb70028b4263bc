//! Parts that are started again when they panic.
//!
//! A panic is a bug, and one in a source or a destination does not stop the others. A destination begins again behind
//! what it has acknowledged. A source begins again where the queue says, once all that it had handed over is in the
//! queue, so that nothing is read twice. The stage and the queue are not started again: what they hold in memory is
//! not to be trusted then, what is on disk is, so the process ends and the next one reads it.

#[cfg(test)]
mod tests;

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::{
    sync::oneshot,
    task::JoinHandle,
    time::{Instant, sleep, timeout},
};
use tracing::error;

use crate::{
    queue::Queue,
    record::Input,
    source::{Closed, Context},
};

/// The pause before the first new start.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// The longest pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// How often each part was started again.
#[derive(Debug, Default)]
pub struct Restarts {
    counts: Mutex<BTreeMap<String, u64>>,
    /// Whether a source panicked when there was no time to start it again.
    is_unread: AtomicBool,
}

impl Restarts {
    /// The counts by the part's name.
    #[must_use]
    pub fn counts(&self) -> BTreeMap<String, u64> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Whether a source has left something unread because it panicked during the stop.
    pub(super) fn is_unread(&self) -> bool {
        self.is_unread.load(Ordering::Relaxed)
    }

    /// Notes that a part has panicked and will be started again.
    pub(super) fn count(&self, part: &str, what: &str) {
        *self.counts.lock().unwrap_or_else(PoisonError::into_inner).entry(part.to_owned()).or_default() += 1;
        error!(part, "{what}; this is a bug in runlog, the part is started again");
    }
}

/// Pauses between starts: longer and longer, until a start has lasted.
#[derive(Debug)]
pub(super) struct Pauses {
    next: Duration,
    began: Instant,
}

impl Pauses {
    /// A part starts for the first time now.
    pub(super) fn new() -> Self {
        Self { next: FIRST_PAUSE, began: Instant::now() }
    }

    /// Waits before the next start. Once `hurry` is over, for no more than the shortest pause.
    pub(super) async fn pause(&mut self, hurry: impl Future<Output = ()>) {
        if self.began.elapsed() > 2 * LONGEST_PAUSE {
            self.next = FIRST_PAUSE;
        }
        sleep(FIRST_PAUSE).await;
        let _ = timeout(self.next - FIRST_PAUSE, hurry).await;
        self.next = (self.next * 2).min(LONGEST_PAUSE);
        self.began = Instant::now();
    }
}

/// Starts sources, and starts them again.
#[derive(Clone)]
pub struct Keeper {
    pub(super) context: Context,
    pub(super) queue: Queue,
    pub(super) restarts: Arc<Restarts>,
}

impl Keeper {
    /// Runs a source to its end. Awaited by who stops it: it ends with the source, which ends once the stop is thrown.
    pub async fn keep(self, part: &'static str, mut start: impl FnMut(Context) -> JoinHandle<()>) {
        let mut context = self.context.clone();
        let mut pauses = Pauses::new();
        loop {
            let Err(failure) = start(context).await else { return };
            if !failure.is_panic() {
                // The runtime has gone.
                return;
            }
            let mut stop = self.context.stop.clone();
            if stop.is_thrown() {
                self.restarts.is_unread.store(true, Ordering::Relaxed);
                error!(part, "{failure}; this is a bug in runlog, what it has not read is read at the next start");
                return;
            }
            self.restarts.count(part, &failure.to_string());
            pauses.pause(stop.thrown()).await;
            context = match self.settled().await {
                Ok(context) => context,
                Err(Closed) => return,
            };
        }
    }

    /// The context of a source that begins where the queue says, now that all that came before is in it.
    async fn settled(&self) -> Result<Context, Closed> {
        let (done, settled) = oneshot::channel();
        self.context.intake.send(Input::Settle(done)).await?;
        settled.await.map_err(|_| Closed)?;
        self.context.ledger.close_forsaken();
        Ok(Context { positions: Arc::new(self.queue.positions()), ..self.context.clone() })
    }
}
