//! A destination's end of the queue.

use std::{collections::VecDeque, io, sync::Arc, time::Duration};

use bytes::Bytes;
use tokio::{sync::watch, task::spawn_blocking, time::sleep};
use tracing::{error, warn};

use super::{
    Handle, Seq, Stored,
    frame::{Kind, Place},
    log::{Log, lock},
    payload::split_entry,
    segment::{Found, find, payload},
    state::Ahead,
    storage::StoredFile,
};

/// The pause after a file could not be read.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// What cannot be read so many times is passed by.
const MAX_READ_FAILURES: u32 = 5;

/// Gives one destination its entries, in order, from the first that it has not acknowledged.
///
/// Holds one entry in memory at a time. A destination has one reader at a time; a new one begins again with what
/// the one before was given and has not acknowledged.
pub struct Reader {
    handle: Arc<Handle>,
    destination: String,
    at: At,
    /// The last entry given, or acknowledged when the reader was made.
    last: Seq,
    /// What was given and is not acknowledged.
    given: VecDeque<Given>,
    progress: watch::Receiver<()>,
    failures: u32,
}

/// Where reading has come to.
#[derive(Clone, Default)]
struct At {
    segment: u64,
    offset: u64,
    /// The segment's file, once it is open.
    file: Option<Arc<dyn StoredFile>>,
}

struct Given {
    seq: Seq,
    frame_bytes: u64,
    time: u64,
}

/// What a look at the disk has brought.
enum Step {
    Given(Stored),
    Further,
    Failed,
}

impl Reader {
    pub(super) fn new(handle: Arc<Handle>, destination: String, last: Seq) -> Self {
        let progress = handle.log.progress.subscribe();
        Self { handle, destination, at: At::default(), last, given: VecDeque::new(), progress, failures: 0 }
    }

    /// The next durable entry; waits for it as long as it takes. `None` once the queue is closed and everything was given.
    ///
    /// An entry is the same, byte for byte, each time it is given. What cannot be read for damage is left out and
    /// counted in [`super::Stats::damaged_frames`]. Cancel safe: a cancelled call has given nothing.
    pub async fn next(&mut self) -> Option<Stored> {
        loop {
            self.progress.mark_unchanged();
            if let Some(stored) = self.take_fresh() {
                return Some(stored);
            }
            let step = match self.ahead() {
                Ahead::End => return None,
                Ahead::Nothing => {
                    // The sender lives as long as our handle does, so this is no error.
                    let _ = self.progress.changed().await;
                    continue;
                }
                Ahead::Frames { segment, offset, end, file } => {
                    let fetch = self.fetch(segment, offset, end, file);
                    match spawn_blocking(move || fetch.run()).await {
                        Ok(fetched) => self.take(fetched),
                        // The runtime is shutting down.
                        Err(_) => return None,
                    }
                }
            };
            match step {
                Step::Given(stored) => return Some(stored),
                Step::Further => {}
                Step::Failed => sleep(RETRY_AFTER).await,
            }
        }
    }

    /// The destination has all entries up to this one. They are not given again, except after a crash before the
    /// next group commit. Those that were not given yet cannot be acknowledged.
    pub fn acknowledge(&mut self, seq: Seq) {
        let log = &self.handle.log;
        let mut state = lock(&log.state);
        let Some(known) = state.destinations.get_mut(&self.destination) else { return };
        let mut moved = false;
        while let Some(given) = self.given.pop_front_if(|given| given.seq <= seq) {
            let next_time = self.given.front().map_or(given.time, |next| next.time);
            known.acknowledge(given.seq, given.frame_bytes, next_time);
            moved = true;
        }
        if !moved {
            return;
        }
        state.acknowledging = true;
        if let Some(oldest) = state.lowest_acknowledged() {
            state.fresh.forget(oldest);
        }
        // Otherwise the committer, which has published what is acknowledged, comes back for it by itself.
        if state.full.is_some() && !state.dirty {
            state.dirty = true;
            log.wake.notify_one();
        }
    }

    /// Whether everything that was appended up to now was given and is acknowledged.
    #[must_use]
    pub fn is_drained(&self) -> bool {
        let state = lock(&self.handle.log.state);
        self.given.is_empty()
            && state.durable == state.appended
            && !matches!(state.ahead(self.at.segment, self.at.offset, self.last), Ahead::Frames { .. })
    }

    /// What [`Reader::next`] gives, if it is there already. For tests that decide themselves when things happen.
    #[cfg(test)]
    pub(super) fn next_now(&mut self) -> Option<Stored> {
        if let Some(stored) = self.take_fresh() {
            return Some(stored);
        }
        while let Ahead::Frames { segment, offset, end, file } = self.ahead() {
            let fetch = self.fetch(segment, offset, end, file);
            if let Step::Given(stored) = self.take(fetch.run()) {
                return Some(stored);
            }
        }
        None
    }

    fn ahead(&self) -> Ahead {
        let mut state = lock(&self.handle.log.state);
        let ahead = state.ahead(self.at.segment, self.at.offset, self.last);
        let is_drained = self.given.is_empty() && state.durable == state.appended;
        if is_drained
            && !matches!(ahead, Ahead::Frames { .. })
            && let Some(known) = state.destinations.get_mut(&self.destination)
        {
            // Entries lost to damage were counted as pending.
            known.pending_entries = 0;
            known.pending_bytes = 0;
        }
        ahead
    }

    /// The next entry, if it is still in memory.
    fn take_fresh(&mut self) -> Option<Stored> {
        let entry = lock(&self.handle.log.state).fresh.next_after(self.last)?.clone();
        let file = self.at.file.take_if(|_| self.at.segment == entry.segment);
        self.at = At { segment: entry.segment, offset: entry.offset, file };
        Some(self.give(entry.stored, entry.frame_bytes, entry.time))
    }

    fn give(&mut self, stored: Stored, frame_bytes: u64, time: u64) -> Stored {
        if self.given.is_empty()
            && let Some(known) = lock(&self.handle.log.state).destinations.get_mut(&self.destination)
        {
            known.oldest = time;
        }
        self.last = stored.seq;
        self.given.push_back(Given { seq: stored.seq, frame_bytes, time });
        stored
    }

    fn fetch(&self, segment: u64, offset: u64, end: u64, held: Option<Arc<dyn StoredFile>>) -> Fetch {
        let file = self.at.file.clone().filter(|_| self.at.segment == segment).or(held);
        Fetch {
            log: Arc::clone(&self.handle.log),
            at: At { segment, offset, file },
            end,
            last: self.last,
            skip_to: end,
        }
    }

    fn take(&mut self, Fetched { at, skip_to, read }: Fetched) -> Step {
        self.at = at;
        let failures = std::mem::take(&mut self.failures);
        match read {
            Ok(None) => Step::Further,
            Ok(Some(Read { stored, frame_bytes, time })) => Step::Given(self.give(stored, frame_bytes, time)),
            Err(error) => {
                let is_gone = self.at.file.is_none() && error.kind() == io::ErrorKind::NotFound;
                let is_unreadable = self.at.file.is_some() && failures + 1 >= MAX_READ_FAILURES;
                let (segment, destination) = (self.at.segment, &self.destination);
                if !is_gone && !is_unreadable {
                    if failures == 0 {
                        warn!(segment, destination, %error, "the queue cannot be read, trying again");
                    }
                    self.failures = failures + 1;
                    return Step::Failed;
                }
                let (from, to) = (self.at.offset, skip_to);
                error!(segment, from, to, destination, %error, "a piece of the queue cannot be read, passing it by");
                lock(&self.handle.log.state).found_damage(segment, from);
                self.at = At { segment, offset: to, file: None };
                Step::Further
            }
        }
    }
}

/// One look at the disk, apart from the reader, so that a cancelled one leaves no trace.
struct Fetch {
    log: Arc<Log>,
    at: At,
    end: u64,
    last: Seq,
    /// Where to go on if what is looked at cannot be read.
    skip_to: u64,
}

struct Fetched {
    at: At,
    skip_to: u64,
    read: io::Result<Option<Read>>,
}

struct Read {
    stored: Stored,
    frame_bytes: u64,
    time: u64,
}

impl Fetch {
    /// Reads up to the next entry or the end of what is durable. Says how far it came.
    fn run(mut self) -> Fetched {
        let read = self.read();
        Fetched { at: self.at, skip_to: self.skip_to, read }
    }

    fn read(&mut self) -> io::Result<Option<Read>> {
        let file = match &self.at.file {
            Some(file) => Arc::clone(file),
            None => self.log.storage.open(&self.log.path(self.at.segment))?,
        };
        self.at.file = Some(Arc::clone(&file));
        loop {
            self.skip_to = self.end;
            let place = Place { queue: self.log.id, segment: self.at.segment, offset: self.at.offset };
            let header = match find(&*file, place, self.end)? {
                Found::End => return Ok(None),
                Found::Damage { next } => {
                    self.pass_damage(next);
                    continue;
                }
                Found::Frame(header) => header,
            };
            let next = place.offset + header.frame_bytes();
            if header.kind != Kind::Entry || header.seq <= self.last {
                self.at.offset = next;
                continue;
            }
            self.skip_to = next;
            let whole = payload(&*file, place, &header)?.and_then(|payload| Some((split_entry(&payload)?, payload)));
            let Some((parts, payload)) = whole else {
                self.pass_damage(next);
                continue;
            };
            self.at.offset = next;
            let payload = Bytes::from(payload);
            let stored = Stored { seq: header.seq, meta: payload.slice(parts.meta), body: payload.slice(parts.body) };
            return Ok(Some(Read { stored, frame_bytes: header.frame_bytes(), time: header.time }));
        }
    }

    fn pass_damage(&mut self, next: u64) {
        lock(&self.log.state).found_damage(self.at.segment, self.at.offset);
        self.at.offset = next;
    }
}
