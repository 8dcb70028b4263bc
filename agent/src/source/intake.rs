//! The door between sources and the pipeline: bounded in bytes.

use std::{
    cell::RefCell,
    sync::{
        Arc, Weak,
        atomic::{AtomicBool, Ordering},
        mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel},
    },
    time::{Duration, Instant},
};

use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, watch},
    time::timeout,
};

use crate::record::{Chunk, Entries, Input, Pushed};

use super::turns::Turns;

/// What a chunk occupies at least, so that the number of waiting inputs is bounded as well.
const SMALLEST_SHARE: usize = 4 * 1024;

/// Bytes of memory that are shared out.
#[derive(Clone, Debug)]
pub struct Budget {
    free: Arc<Semaphore>,
    bytes: usize,
}

impl Budget {
    /// A budget of so many bytes.
    #[must_use]
    pub fn new(bytes: usize) -> Self {
        let bytes = bytes.clamp(SMALLEST_SHARE, u32::MAX as usize);
        Self { free: Arc::new(Semaphore::new(bytes)), bytes }
    }

    /// All of it.
    #[must_use]
    pub const fn bytes(&self) -> usize {
        self.bytes
    }

    /// Makes the room fit so many bytes in all, waiting at most `patience` for others to give some back. Says whether
    /// it does. Nobody takes more than the whole budget, so what is larger passes alone.
    pub async fn grow(&self, room: &mut Room, bytes: usize, patience: Duration) -> bool {
        let held = room.0.as_ref().map_or(0, OwnedSemaphorePermit::num_permits);
        let wanted = self.share_of(bytes);
        let Some(more) = wanted.checked_sub(u32::try_from(held).unwrap_or(u32::MAX)).filter(|more| *more > 0) else {
            return true;
        };
        match timeout(patience, self.take(more)).await {
            Ok(Ok(permit)) => match &mut room.0 {
                Some(held) => held.merge(permit),
                none => *none = Some(permit),
            },
            Ok(Err(_)) | Err(_) => return false,
        }
        true
    }

    async fn take(&self, bytes: u32) -> Result<OwnedSemaphorePermit, Closed> {
        Arc::clone(&self.free).acquire_many_owned(bytes).await.map_err(|_| Closed)
    }

    fn share_of(&self, bytes: usize) -> u32 {
        u32::try_from(bytes.max(SMALLEST_SHARE).min(self.bytes)).unwrap_or(u32::MAX)
    }
}

/// Hands chunks to the pipeline. Cloned for each source; the pipeline ends when all clones are gone.
#[derive(Clone, Debug)]
pub struct Intake {
    budget: Budget,
    sender: SyncSender<Input>,
    is_held_up: HeldUp,
    /// Gone with the last clone.
    open: Arc<()>,
}

/// Whether somebody may still hand something over.
#[derive(Clone, Debug)]
pub struct Sources(Weak<()>);

impl Sources {
    /// Whether nothing more can come.
    #[must_use]
    pub fn have_finished(&self) -> bool {
        self.0.strong_count() == 0
    }
}

/// The pipeline's end of the door.
#[derive(Debug)]
pub struct Outlet {
    receiver: Receiver<Input>,
    /// What was taken off the channel and not given out yet.
    turns: RefCell<Turns>,
    is_held_up: HeldUp,
}

/// Whether the pipeline waits for room in a full queue.
#[derive(Clone, Debug, Default)]
pub struct HeldUp(Arc<AtomicBool>);

impl HeldUp {
    /// Says so to the sources that can send their clients away.
    pub fn set(&self, is_held_up: bool) {
        self.0.store(is_held_up, Ordering::Relaxed);
    }
}

/// A share of the budget that is taken before there is anything to hand over.
#[derive(Debug, Default)]
pub struct Room(Option<OwnedSemaphorePermit>);

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
    let budget = Budget::new(budget_bytes);
    // Each waiting chunk holds at least the smallest share, so a sender with a permit finds a free place.
    let (sender, receiver) = sync_channel(budget.bytes / SMALLEST_SHARE + 64);
    let is_held_up = HeldUp::default();
    let outlet = Outlet { receiver, turns: RefCell::default(), is_held_up: is_held_up.clone() };
    (Intake { budget, sender, is_held_up, open: Arc::default() }, outlet)
}

impl Intake {
    /// Hands over an input, waiting as long as it takes. Cancel safe: a cancelled input is not handed over.
    ///
    /// # Errors
    /// [`Closed`] if the pipeline has ended.
    pub async fn send(&self, input: Input) -> Result<(), Closed> {
        let share = match &input {
            Input::Chunk(chunk) => self.share(chunk),
            Input::Entries(entries) => self.budget.share_of(entries.bytes()),
            Input::Event(_) | Input::Pushed(_) | Input::Settle(_) => {
                return self.sender.send(input).map_err(|_| Closed);
            }
        };
        let permit = Some(self.budget.take(share).await?);
        let input = match input {
            Input::Chunk(chunk) => Input::Chunk(Chunk { permit, ..chunk }),
            Input::Entries(entries) => Input::Entries(Entries { permit, ..entries }),
            other => other,
        };
        self.sender.send(input).map_err(|_| Closed)
    }

    /// Hands over a chunk if there is room within `patience`: for sources that may not hold back their writer.
    ///
    /// # Errors
    /// [`Closed`] if the pipeline has ended.
    pub async fn offer(&self, mut chunk: Chunk, patience: Duration) -> Result<Offer, Closed> {
        match timeout(patience, self.budget.take(self.share(&chunk))).await {
            Err(_elapsed) => Ok(Offer::NoRoom(chunk)),
            Ok(Err(_)) => Err(Closed),
            Ok(Ok(permit)) => {
                chunk.permit = Some(permit);
                self.sender.send(Input::Chunk(chunk)).map_err(|_| Closed)?;
                Ok(Offer::Taken)
            }
        }
    }

    /// To see when all who hand something over have finished.
    #[must_use]
    pub fn sources(&self) -> Sources {
        Sources(Arc::downgrade(&self.open))
    }

    /// What chunks and requests share.
    #[must_use]
    pub const fn budget(&self) -> &Budget {
        &self.budget
    }

    /// Hands over a request for which there is `room`.
    ///
    /// # Errors
    /// [`Closed`] if the pipeline has ended.
    pub fn push(&self, mut pushed: Pushed, room: Room) -> Result<(), Closed> {
        pushed.permit = room.0;
        self.sender.send(Input::Pushed(pushed)).map_err(|_| Closed)
    }

    /// Whether the queue is full, so that what is handed over now may wait for long.
    #[must_use]
    pub fn is_held_up(&self) -> bool {
        self.is_held_up.0.load(Ordering::Relaxed)
    }

    fn share(&self, chunk: &Chunk) -> u32 {
        self.budget.share_of(chunk.data.capacity())
    }
}

impl Outlet {
    /// Where the pipeline says whether it is held up.
    #[must_use]
    pub const fn held_up(&self) -> &HeldUp {
        &self.is_held_up
    }

    /// Waits for the next input until `deadline`. Of what waits, streams are given out in turn, each in its order.
    #[must_use]
    pub fn receive(&self, deadline: Instant) -> Received {
        let mut turns = self.turns.borrow_mut();
        while turns.are_open()
            && let Ok(input) = self.receiver.try_recv()
        {
            turns.add(input);
        }
        if let Some(input) = turns.next() {
            return Received::Input(input);
        }
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
    use crate::record::{
        Counted, Ending, NoBookmark, Origin, Resource, Severity, Signal, SourceKind, Tally, origin::Stream, receipt,
        wire::Outline,
    };

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

    #[test]
    fn the_sources_have_finished_when_nobody_can_hand_anything_over() {
        let (intake, _outlet) = intake(1024);
        let (sources, last) = (intake.sources(), intake.clone());
        drop(intake);
        assert!(!sources.have_finished());
        drop(last);
        assert!(sources.have_finished());
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

    #[tokio::test(start_paused = true)]
    async fn room_grows_with_a_request_and_no_further_than_the_budget() {
        let (intake, outlet) = intake(16 * 1024);
        let (mut first, mut second) = (Room::default(), Room::default());
        assert!(intake.budget().grow(&mut first, 5_000, Duration::ZERO).await);
        assert!(intake.budget().grow(&mut first, 12_000, Duration::ZERO).await);
        assert!(!intake.budget().grow(&mut second, 5_000, Duration::from_secs(1)).await);
        assert!(intake.budget().grow(&mut second, 4_100, Duration::ZERO).await);
        drop(second);
        assert!(intake.budget().grow(&mut first, 1_000_000, Duration::ZERO).await);

        let (receipt, _answered) = receipt();
        let origin = chunk(0).origin;
        intake
            .push(
                Pushed {
                    origin,
                    signal: Signal::Logs,
                    request: Vec::new(),
                    outline: Outline::default(),
                    counted: Counted::Here,
                    observed: 0,
                    receipt,
                    permit: None,
                },
                first,
            )
            .unwrap();
        let Received::Input(held) = outlet.receive(Instant::now()) else { panic!("the request is waiting") };
        assert!(!intake.budget().grow(&mut Room::default(), 1, Duration::ZERO).await);
        drop(held);
        assert!(intake.budget().grow(&mut Room::default(), 1, Duration::ZERO).await);
    }

    #[tokio::test]
    async fn the_pipeline_learns_that_all_sources_have_finished() {
        let (intake, outlet) = intake(8 * 1024);
        drop(intake);
        assert!(matches!(outlet.receive(Instant::now()), Received::Finished));
    }
}
