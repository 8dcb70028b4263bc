//! Making the log durable: group commits, new segments, and the removal of those that nobody needs any more.

use std::{
    collections::BTreeMap,
    io,
    path::PathBuf,
    sync::{Arc, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use tracing::{error, info};

use super::{
    Seq, SyncError,
    frame::{Frame, Kind, Place},
    image::cursors_payload,
    log::{Active, Log, WriteFault, Writer, lock},
    segment::{FIRST_FRAME, SegmentHeader},
    state::{Segment, State},
    storage::{StoredFile, is_no_room},
};

/// The pause after a commit that failed.
const RETRY_AFTER: Duration = Duration::from_secs(1);
/// How long a cursor may wait for an entry to be committed with.
const CURSOR_PAUSE: Duration = Duration::from_secs(1);
/// How often a queue with nothing to do looks at its files and its disk.
const LOOK_PAUSE: Duration = Duration::from_secs(5);

/// What one sync makes durable.
struct Target {
    file: Arc<dyn StoredFile>,
    segment: u64,
    offset: u64,
    frames: usize,
}

/// Whether cursors could be written.
#[derive(PartialEq, Eq)]
enum Cursors {
    Written,
    NoRoom,
}

/// The committer's life: a commit once something was appended, but not within `linger` of the one before, until the
/// last handle is gone. So what comes seldom does not wait, and what comes often shares its syncs.
pub(super) fn run(log: &Log, linger: Duration) {
    let mut last = Instant::now();
    loop {
        let mut state = lock(&log.state);
        while !state.dirty && !state.ended {
            let look = (last + LOOK_PAUSE.max(linger)).saturating_duration_since(Instant::now());
            let pause = if state.awaits_cursors() { CURSOR_PAUSE.min(look) } else { look };
            state = wait(log, state, pause, |state| state.dirty || state.ended);
            if state.acknowledging || pause == look {
                break;
            }
        }
        if state.dirty {
            let rest = (last + linger).saturating_duration_since(Instant::now());
            state = wait(log, state, rest, |state| state.urgent || state.ended);
        }
        let ended = state.ended;
        drop(state);
        let committed = log.commit();
        last = Instant::now();
        if ended {
            return;
        }
        if committed.is_err() {
            drop(wait(log, lock(&log.state), RETRY_AFTER, |state| state.ended));
        }
    }
}

/// Waits until `done`, but not for longer than `at_most`.
fn wait<'a>(
    log: &Log,
    mut state: MutexGuard<'a, State>,
    at_most: Duration,
    done: impl Fn(&State) -> bool,
) -> MutexGuard<'a, State> {
    let until = Instant::now() + at_most;
    while !done(&state) {
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            break;
        }
        state = log.wake.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
    }
    state
}

impl Log {
    /// Makes everything durable that was appended before the call. Returns the newest durable seq.
    pub(super) fn commit(&self) -> Result<Seq, SyncError> {
        let _alone = lock(&self.committing);
        {
            let mut state = lock(&self.state);
            state.dirty = false;
            state.acknowledging = false;
            state.urgent = false;
        }
        // A sync that failed is not tried again on its file: the second attempt begins another segment.
        let committed = self.attempt().or_else(|_| self.attempt());
        let mut writer = lock(&self.writer);
        match &committed {
            Ok(_) if writer.failing => info!("the queue is durable again"),
            Err(fault) if !writer.failing => {
                error!(path = %fault.path.display(), error = %fault.source, "the queue cannot be made durable, trying again");
            }
            _ => {}
        }
        writer.failing = committed.is_err();
        self.survey();
        let mut state = lock(&self.state);
        state.dirty |= committed.is_err();
        state.failure = committed.as_ref().err().map(|fault| format!("{fault}: {}", fault.source));
        state.commits += 1;
        drop(state);
        drop(writer);
        self.room.notify_all();
        committed
    }

    fn attempt(&self) -> Result<Seq, SyncError> {
        let mut writer = lock(&self.writer);
        self.put_back(&mut writer)?;
        if writer.active.is_none()
            && let Err(fault) = self.begin_segment(&mut writer)
        {
            self.remove_acknowledged(&writer, &Cursors::NoRoom);
            return Err(fault);
        }
        let cursors = self.write_cursors(&mut writer)?;
        if let Some(target) = writer.target() {
            // Appending goes on while the disk is busy.
            drop(writer);
            let synced = self.sync_file(&*target.file);
            writer = lock(&self.writer);
            self.settle(&mut writer, &target, synced)?;
        }
        let is_spent = self.is_spent(&writer);
        if writer.active.as_ref().is_some_and(|active| active.place.offset >= self.segment_bytes || is_spent) {
            if let Some(target) = writer.target() {
                let synced = self.sync_file(&*target.file);
                self.settle(&mut writer, &target, synced)?;
            }
            // Everything is durable as it is; if no segment can be begun, the next commit tries again and says so.
            lock(&self.state).dirty |= self.begin_segment(&mut writer).is_err();
        }
        self.remove_acknowledged(&writer, &cursors);
        Ok(lock(&self.state).durable)
    }

    /// Takes note of how a sync ended.
    fn settle(&self, writer: &mut Writer, target: &Target, synced: io::Result<()>) -> Result<(), SyncError> {
        let same = |active: &Active| active.place.segment == target.segment;
        if let Err(source) = synced {
            writer.active.take_if(|active| same(active));
            return Err(self.fault(self.path(target.segment), source));
        }
        if let Some(active) = writer.active.as_mut().filter(|active| same(active)) {
            active.synced_to = target.offset;
        }
        self.publish(writer, target.frames, target.segment, target.offset);
        // Nothing waits for this to be durable: what it proves is written again if it is missing after a crash.
        let Some(active) = &mut writer.active else { return Ok(()) };
        let mark = Frame::internal(Kind::Synced, lock(&self.state).durable, self.storage.now(), Vec::new());
        match active.write(&mark) {
            Ok(()) => lock(&self.state).note_file_bytes(active),
            Err(WriteFault::NoRoom(_)) => {}
            Err(WriteFault::Failed(_)) => writer.active = None,
        }
        Ok(())
    }

    /// The first `frames` that were not durable are so now, in `segment` up to `offset`.
    fn publish(&self, writer: &mut Writer, frames: usize, segment: u64, offset: u64) {
        let mut state = lock(&self.state);
        let mut last_body = None;
        let known = state.segments.iter().rev().find(|known| known.number == segment);
        let from = known.map_or(FIRST_FRAME, |known| known.readable_to);
        for frame in writer.unsynced.drain(..frames) {
            writer.image.take(&frame);
            state.unsynced_bytes -= frame.bytes();
            if frame.kind.is_numbered() {
                state.durable = frame.seq;
            }
            if frame.kind == Kind::Entry {
                last_body = Some(frame.seq);
            }
            state.fresh.add(frame, segment, from);
        }
        if let Some(known) = state.segments.iter_mut().rev().find(|known| known.number == segment) {
            known.readable_to = offset;
            known.last_body = last_body.or(known.last_body);
        }
        drop(state);
        self.progress.send_replace(());
    }

    /// Begins a segment with a snapshot and everything that is not durable, and makes it durable.
    ///
    /// After an error there is no active segment: the old one may not go on, since the new one, if it is still
    /// there after a crash, says that all later entries are in it.
    fn begin_segment(&self, writer: &mut Writer) -> Result<(), SyncError> {
        writer.active = None;
        let number = writer.next_number;
        // As many segments as there are numbers would take longer than any disk lasts.
        writer.next_number = number.saturating_add(1);
        let path = self.path(number);
        let mut written = self.write_segment(writer, number);
        if written.as_ref().is_err_and(is_no_room) && self.give_up_reserve() {
            let _ = self.storage.remove(&path);
            written = self.write_segment(writer, number);
        }
        let active = match written {
            Ok(active) => active,
            Err(source) => {
                // If this fails as well, the next segment takes the place of what is left.
                let _ = self.storage.remove(&path);
                return Err(self.fault(path, source));
            }
        };
        let offset = active.place.offset;
        lock(&self.state).add_segment(Segment {
            number,
            readable_to: FIRST_FRAME,
            file_bytes: offset,
            last_body: None,
            file: Some(Arc::clone(&active.file)),
        });
        writer.active = Some(active);
        let frames = writer.unsynced.len();
        self.publish(writer, frames, number, offset);
        Ok(())
    }

    fn write_segment(&self, writer: &Writer, number: u64) -> io::Result<Active> {
        let now = self.storage.now();
        let first_seq =
            writer.unsynced.iter().find(|frame| frame.kind.is_numbered()).map_or(writer.next_seq, |frame| frame.seq);
        let file = self.storage.create(&self.path(number))?;
        SegmentHeader { queue: self.id, number, first_seq, created: now }.write(&*file)?;
        let place = Place { queue: self.id, segment: number, offset: FIRST_FRAME };
        let mut active = Active { file, place, synced_to: 0 };
        let snapshot = Frame::internal(Kind::Snapshot, first_seq.before(), now, writer.image.snapshot());
        let write = |active: &mut Active, frame: &Frame| match active.write(frame) {
            Ok(()) => Ok(()),
            Err(WriteFault::NoRoom(source) | WriteFault::Failed(source)) => Err(source),
        };
        write(&mut active, &snapshot)?;
        for frame in &writer.unsynced {
            write(&mut active, frame)?;
        }
        self.sync_file(&*active.file)?;
        active.synced_to = active.place.offset;
        // Twice, so that one bad bit does not make the segment look unfinished.
        let mark = Frame::internal(Kind::Synced, first_seq.before(), now, Vec::new());
        write(&mut active, &mark)?;
        write(&mut active, &mark)?;
        self.sync_file(&*active.file)?;
        self.sync_names()?;
        active.synced_to = active.place.offset;
        Ok(active)
    }

    /// Writes the cursors that have moved since they were last durable.
    fn write_cursors(&self, writer: &mut Writer) -> Result<Cursors, SyncError> {
        let durable = &writer.image.cursors;
        let moved: BTreeMap<String, Seq> = lock(&self.state)
            .destinations
            .iter()
            .filter(|(name, known)| durable.get(*name) != Some(&known.acknowledged))
            .map(|(name, known)| (name.clone(), known.acknowledged))
            .collect();
        let Some(active) = writer.active.as_mut().filter(|_| !moved.is_empty()) else { return Ok(Cursors::Written) };
        let frame =
            Frame::internal(Kind::Cursors, writer.next_seq.before(), self.storage.now(), cursors_payload(&moved));
        let mut written = active.write(&frame);
        if matches!(written, Err(WriteFault::NoRoom(_))) && self.give_up_reserve() {
            written = active.write(&frame);
        }
        match written {
            Ok(()) => {
                let mut state = lock(&self.state);
                state.note_file_bytes(active);
                state.unsynced_bytes += frame.bytes();
                writer.unsynced.push_back(frame);
                Ok(Cursors::Written)
            }
            Err(WriteFault::NoRoom(_)) => Ok(Cursors::NoRoom),
            Err(WriteFault::Failed(source)) => {
                let path = self.path(active.place.segment);
                writer.active = None;
                Err(self.fault(path, source))
            }
        }
    }

    /// Removes the oldest segments as long as every destination has acknowledged what is in them.
    ///
    /// The last one stays: it holds the positions.
    fn remove_acknowledged(&self, writer: &Writer, cursors: &Cursors) {
        let mut removed = false;
        loop {
            let mut state = lock(&self.state);
            // The cursors are durable first, so that recovery does not take for lost what was delivered. Only on a
            // full disk it is the other way round, since it would stay full for ever.
            let lowest = if *cursors == Cursors::Written {
                writer.image.cursors.values().min().copied()
            } else {
                state.lowest_acknowledged()
            };
            let is_needed =
                |segment: &Segment| segment.last_body.is_some_and(|last| lowest.is_some_and(|lowest| last > lowest));
            if state.segments.len() < 2 || state.segments.front().is_none_or(is_needed) {
                break;
            }
            let Some(segment) = state.segments.pop_front() else { break };
            drop(state);
            match self.storage.remove(&self.path(segment.number)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    lock(&self.state).segments.push_front(segment);
                    break;
                }
                _ => {
                    removed = true;
                    lock(&self.state).damage.retain(|(number, _)| *number != segment.number);
                }
            }
        }
        if removed {
            // If a crash brings them back, they are removed again.
            let _ = self.sync_names();
        }
    }

    pub(super) fn fault(&self, path: PathBuf, source: io::Error) -> SyncError {
        lock(&self.state).sync_failures += 1;
        SyncError { path, source }
    }
}

impl Writer {
    /// What a sync of the active segment would make durable; `None` if there is nothing.
    fn target(&self) -> Option<Target> {
        let active = self.active.as_ref().filter(|_| !self.unsynced.is_empty())?;
        Some(Target {
            file: Arc::clone(&active.file),
            segment: active.place.segment,
            offset: active.place.offset,
            frames: self.unsynced.len(),
        })
    }
}
