//! One run, collected by a command from its start to its end: with a queue of its own, so that any number of them can
//! work beside an agent and each other.

use std::{
    convert::Infallible,
    future,
    path::{Path, PathBuf},
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use tokio::time::{Instant, sleep};
use tracing::warn;

use crate::{
    config::{Input, Settings},
    pipeline::{Destinations, Drained, Pipeline, adopt_left_behind, remove},
    record::Ledger,
    run,
    source::{Context, process::Tagging},
    store::Store,
};

use super::{
    exit::Failure,
    retain,
    setup::{self, Run, State},
    signals::Signals,
};

/// How long the end may take without a word.
const SILENCE: Duration = Duration::from_secs(2);

/// A run that is being collected.
pub struct Single {
    /// Which one.
    pub run: Run,
    state: State,
    queue_dir: PathBuf,
    pipeline: Pipeline,
    left_behind: Destinations,
    is_stored: bool,
}

/// What came of it.
pub struct Collected {
    /// Whether all is where it was to go.
    pub is_delivered: bool,
    text: String,
}

impl Collected {
    /// One line for whoever started it.
    pub fn tell(&self) {
        eprintln!("{}", self.text);
    }
}

impl Single {
    /// Starts a pipeline for it. Must be called inside the runtime.
    pub fn begin(settings: &Settings, input: &Input) -> Result<Self, Failure> {
        let state = State::open(settings)?;
        let run = Run::find(settings, input);
        let destinations = state.destinations(settings)?;
        let is_stored = destinations.store.is_some();
        let left_behind = destinations.clone();
        let (queue_dir, pipeline) = setup::start_new(settings, &state.exec_dir(), &destinations)?;
        Ok(Self { run, state, queue_dir, pipeline, left_behind, is_stored })
    }

    /// Its pipeline.
    pub const fn pipeline(&self) -> &Pipeline {
        &self.pipeline
    }

    /// The store, if it is kept.
    pub const fn store(&self) -> Option<&Arc<Store>> {
        self.left_behind.store.as_ref()
    }

    /// The folder of its queue.
    pub fn dir(&self) -> &Path {
        &self.queue_dir
    }

    /// What its source needs to start.
    pub const fn context(&self) -> &Context {
        self.pipeline.context()
    }

    /// What its lines are tagged with.
    pub fn tagging(&self, settings: &Settings) -> Tagging {
        Tagging {
            resource: run::resource(&self.run.id, &self.run.identity, &self.run.facts),
            attributes: run::record_attributes(&self.run.identity),
            level: settings.level,
        }
    }

    /// Ends one of which nothing was read. `closed` is as for [`Single::end`].
    pub async fn discard(self, settings: &Settings, closed: impl Future<Output = ()>) {
        let queue = self.pipeline.queue().clone();
        // Nothing was read, so nothing can be left.
        let _ = self.pipeline.drain(settings.grace, future::pending()).await;
        closed.await;
        remove(&self.queue_dir, queue, &settings.otlp.spool);
    }

    /// Delivers what was read, and what others like it have left behind. A signal ends that: whoever sends one does not
    /// want to wait for the destination. Once the pipeline has ended, `closed` lets go of what others have of the queue.
    pub async fn end(self, settings: &Settings, closed: impl Future<Output = ()>) -> Result<Collected, Failure> {
        let ledger = Arc::clone(self.pipeline.ledger());
        let queue = self.pipeline.queue().clone();
        let deadline = Instant::now() + settings.grace;
        let mut signals = Signals::catch()?;
        let drained = tokio::select! {
            drained = self.pipeline.drain(settings.grace, signals.stop()) => drained,
            never = tell_of_waiting(settings.grace) => match never {},
        };
        let is_delivered = drained.map(Drained::is_complete).unwrap_or_else(|error| {
            warn!(error = %error, "not all lines are durable");
            false
        });
        closed.await;
        if is_delivered {
            remove(&self.queue_dir, queue, &settings.otlp.spool);
            let dir = self.state.exec_dir();
            let (queue, linger, spool) = (&settings.queue, settings.batch.linger, &settings.otlp.spool);
            tokio::select! {
                () = adopt_left_behind(&dir, spool, queue, &self.left_behind, linger, Some(deadline)) => {}
                () = signals.stop() => {}
            }
            if let Some(store) = &self.left_behind.store {
                retain::once(&settings.retention, Some(store), self.state.dir()).await;
            }
        }
        // The last lines are counted on their way into the queue, so not before the drain.
        let text = Summary::of(&ledger).tell(&self.run, settings, is_delivered, self.is_stored);
        Ok(Collected { is_delivered, text })
    }
}

/// Tells whoever has started it why it does not end. Never ends itself.
async fn tell_of_waiting(grace: Duration) -> Infallible {
    sleep(SILENCE).await;
    let grace = humantime::format_duration(grace);
    warn!("delivering what was collected, for up to {grace}; Ctrl-C leaves the rest to the next runlog");
    future::pending().await
}

struct Summary {
    kept: u64,
    filtered: u64,
    lost: u64,
}

impl Summary {
    fn of(ledger: &Ledger) -> Self {
        let mut summary = Self { kept: 0, filtered: 0, lost: ledger.records_refused.load(Ordering::Relaxed) };
        for counts in ledger.sums().values() {
            summary.kept += counts.records_kept;
            summary.filtered += counts.left_out();
            summary.lost += counts.lines_lost;
        }
        summary
    }

    fn tell(&self, run: &Run, settings: &Settings, is_delivered: bool, is_stored: bool) -> String {
        let lines = if self.kept == 1 { "line" } else { "lines" };
        let mut text = format!("runlog: run {}: {} {lines} kept", run.id, self.kept);
        if self.filtered > 0 {
            text += &format!(", {} below {} left out (RUNLOG_LEVEL)", self.filtered, settings.level);
        }
        if self.lost > 0 {
            text += &format!(", {} LOST for want of room", self.lost);
        }
        if !is_delivered {
            text += "; not all is delivered yet, the rest waits for the next runlog";
        } else if is_stored {
            text += &format!("; runlog logs {}", run.id);
        }
        text
    }
}
