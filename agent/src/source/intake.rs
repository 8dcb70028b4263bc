//! The door between sources and the pipeline: bounded in bytes.

use std::{
    sync::{
        Arc,
        mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel},
    },
    time::{Duration, Instant},
};

use tokio::{
    sync::{Semaphore, watch},
    time::timeout,
};

use crate::record::{Chunk, Input};

/// What a chunk occupies at least, so that the number of waiting inputs is bounded as well.
const SMALLEST_SHARE: usize = 4 * 1024;

/// Hands chunks to the pipeline. Cloned for each source; the pipeline ends when all clones are gone.
#[derive(Clone, Debug)]
pub struct Intake {
    budget: Arc<Semaphore>,
    budget_bytes: usize,
    sender: SyncSender<Input>,
}

/// The pipeline's end of the door.
#[derive(Debug)]
pub struct Outlet {
    receiver: Receiver<Input>,
}

/// The pipeline is gone; nothing more can be handed over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the pipeline has ended")]
pub struct Closed;

/// What became of a chunk that could not wait for ever.
#[derive(Debug)]
pub enum Offer {
    /// It was handed over.
    Taken,
    /// There was no room in time; the chunk is given back to be counted as lost.
    NoRoom(Chunk),
}

/// What the pipeline found at its end of the door.
#[derive(Debug)]
pub enum Received {
    /// Something came in.
    Input(Input),
    /// Nothing came in before the deadline.
    Nothing,
    /// All sources have finished.
    Finished,
}

/// Makes a door that lets `budget_bytes` of chunks wait behind it.
#[must_use]
pub fn intake(budget_bytes: usize) -> (Intake, Outlet) {
    let budget_bytes = budget_bytes.clamp(SMALLEST_SHARE, u32::MAX as usize);
    // Each waiting chunk holds at least the smallest share, so a sender with a permit finds a free place.
    let (sender, receiver) = sync_channel(budget_bytes / SMALLEST_SHARE + 64);
    (Intake { budget: Arc::new(Semaphore::new(budget_bytes)), budget_bytes, sender }, Outlet { receiver })
}

impl Intake {
    /// Hands over an input, waiting as long as it takes. Cancel safe: a cancelled input is not handed over.
    ///
    /// # Errors
    /// [`Closed`] if the pipeline has ended.
    pub async fn send(&self, input: Input) -> Result<(), Closed> {
        let Input::Chunk(mut chunk) = input else {
            return self.sender.send(input).map_err(|_| Closed);
        };
        let permit = Arc::clone(&self.budget).acquire_many_owned(self.share(&chunk)).await.map_err(|_| Closed)?;
        chunk.permit = Some(permit);
        self.sender.send(Input::Chunk(chunk)).map_err(|_| Closed)
    }

    /// Hands over a chunk if there is room within `patience`: for sources that may not hold back their writer.
    ///
    /// # Errors
    /// [`Closed`] if the pipeline has ended.
    pub async fn offer(&self, mut chunk: Chunk, patience: Duration) -> Result<Offer, Closed> {
        match timeout(patience, Arc::clone(&self.budget).acquire_many_owned(self.share(&chunk))).await {
            Err(_elapsed) => Ok(Offer::NoRoom(chunk)),
            Ok(Err(_)) => Err(Closed),
            Ok(Ok(permit)) => {
                chunk.permit = Some(permit);
                self.sender.send(Input::Chunk(chunk)).map_err(|_| Closed)?;
                Ok(Offer::Taken)
            }
        }
    }

    fn share(&self, chunk: &Chunk) -> u32 {
        let bytes = chunk.data.capacity().max(SMALLEST_SHARE).min(self.budget_bytes);
        u32::try_from(bytes).unwrap_or(u32::MAX)
    }
}

impl Outlet {
    /// Waits for the next input until `deadline`.
    #[must_use]
    pub fn receive(&self, deadline: Instant) -> Received {
        match self.receiver.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
            Ok(input) => Received::Input(input),
            Err(RecvTimeoutError::Timeout) => Received::Nothing,
            Err(RecvTimeoutError::Disconnected) => Received::Finished,
        }
    }
}

/// Tells sources to read to the end and finish.
#[derive(Clone, Debug)]
pub struct Stop(watch::Receiver<bool>);

/// The other end of [`Stop`]. Dropping it stops as well.
#[derive(Debug)]
pub struct StopSwitch(watch::Sender<bool>);

/// Makes a switch that is not thrown yet.
#[must_use]
pub fn stop_switch() -> (StopSwitch, Stop) {
    let (sender, receiver) = watch::channel(false);
    (StopSwitch(sender), Stop(receiver))
}

impl StopSwitch {
    /// Asks every holder of the [`Stop`] to finish.
    pub fn throw(&self) {
        self.0.send_replace(true);
    }
}

impl Stop {
    /// Whether to finish.
    #[must_use]
    pub fn is_thrown(&self) -> bool {
        *self.0.borrow() || self.0.has_changed().is_err()
    }

    /// Waits until it is time to finish. Cancel safe.
    pub async fn thrown(&mut self) {
        // An error means that the switch is gone, which is a stop as well.
        let _ = self.0.wait_for(|thrown| *thrown).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{Ending, NoBookmark, Origin, Resource, Severity, SourceKind, Tally, origin::Stream};

    fn chunk(length: usize) -> Chunk {
        let origin = Origin::new(Stream {
            key: "test".into(),
            kind: SourceKind::Process,
            identity: &[b"test"],
            resource: Arc::new(Resource { run_id: "r".into(), encoded: Vec::new() }),
            attributes: Vec::new(),
            level: Severity::TRACE,
            tally: Tally::detached(SourceKind::Process, "test"),
            bookmark: Arc::new(NoBookmark),
        });
        Chunk {
            origin,
            at: 0,
            data: vec![0; length],
            observed: 0,
            marks: Vec::new(),
            ending: Ending::Open,
            permit: None,
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_chunk_over_the_budget_is_given_back_until_an_earlier_one_is_done() {
        let (intake, outlet) = intake(16 * 1024);
        assert!(matches!(intake.offer(chunk(16 * 1024), Duration::ZERO).await, Ok(Offer::Taken)));
        assert!(matches!(intake.offer(chunk(1), Duration::from_secs(1)).await, Ok(Offer::NoRoom(_))));

        let Received::Input(first) = outlet.receive(Instant::now()) else { panic!("the first chunk is waiting") };
        drop(first);

        assert!(matches!(intake.offer(chunk(1), Duration::ZERO).await, Ok(Offer::Taken)));
    }

    #[tokio::test]
    async fn a_chunk_larger_than_the_budget_passes_alone() {
        let (intake, outlet) = intake(8 * 1024);
        assert!(intake.send(Input::Chunk(chunk(1024 * 1024))).await.is_ok());
        assert!(matches!(outlet.receive(Instant::now()), Received::Input(_)));
    }

    #[tokio::test]
    async fn the_pipeline_learns_that_all_sources_have_finished() {
        let (intake, outlet) = intake(8 * 1024);
        drop(intake);
        assert!(matches!(outlet.receive(Instant::now()), Received::Finished));
    }
}
