//! The turns in which files are read, and what is found out meanwhile: that one was cut, has NULs, is done with.

use std::{
    io,
    sync::Arc,
    time::{Duration, Instant},
};

use tracing::{debug, warn};

use super::{
    BREATH, Closed, FileSource, Rest,
    bookmark::FilePosition,
    disk::{System, folder_of},
    find::Access,
    rest::Missing,
    tail::{Awake, Evidence, Tail, Turn},
    tails::Slot,
    unclaimed::Unclaimed,
};
use crate::record::{Chunk, Input};
use rustix::io::Errno;

/// A file that has long been idle is looked at this seldom where the kernel tells of changes.
const IDLE_LOOK: Duration = Duration::from_secs(30);
/// A file that cannot be read is tried this seldom.
pub const FAILED_LOOK: Duration = Duration::from_secs(5);
/// A file of a network file system has to be too short for so long before it is taken for cut.
const DOUBT: Duration = Duration::from_secs(1);

/// What becomes of the bytes of a file that were not read when it was cut or removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Unread {
    /// There were none, as far as was seen.
    None,
    /// They are read in another file.
    IsElsewhere,
    /// They are gone: so many, if that is known.
    IsLost(Option<u64>),
}

impl FileSource {
    /// Reads files that are due, in turn, until each has been read to its end once, or for a while: hints wait
    /// meanwhile, and one that never ends must not hide new ones. Returns the bytes read.
    pub fn read_due(&mut self) -> Result<usize, Closed> {
        let began = Instant::now();
        let mut due = self.tails.due(began);
        let mut bytes = 0;
        while !due.is_empty() {
            let mut again = Vec::new();
            for slot in due {
                let (read, is_to_go_on) = self.take_turn(slot)?;
                bytes += read;
                if is_to_go_on {
                    again.push(slot);
                }
                if began.elapsed() >= BREATH || self.context.stop.is_thrown() {
                    return Ok(bytes);
                }
            }
            due = again;
        }
        Ok(bytes)
    }

    /// Reads the next bytes of a file. Returns how many, and whether there is more.
    pub fn take_turn(&mut self, slot: Slot) -> Result<(usize, bool), Closed> {
        match self.open_to_read(slot) {
            Access::Open => {}
            Access::Unchanged => {
                self.rest(slot);
                return Ok((0, false));
            }
            Access::Later => {
                self.tails.look_at(slot, Instant::now() + BREATH);
                return Ok((0, false));
            }
            Access::Gone => {
                self.give_up(slot)?;
                return Ok((0, false));
            }
            Access::Failed(error) => {
                self.failed(slot, &error)?;
                return Ok((0, false));
            }
        }
        let Some(tail) = self.tails.get_mut(slot) else { return Ok((0, false)) };
        match tail.read(self.context.clock.now()) {
            Turn::Read(chunk) => {
                let (bytes, is_at_end) = (chunk.data.len(), tail.is_at_end());
                self.send(chunk)?;
                if is_at_end {
                    self.rest(slot);
                } else {
                    // Behind all others that are due.
                    self.tails.look_at(slot, Instant::now());
                }
                return Ok((bytes, !is_at_end));
            }
            Turn::End => self.rest(slot),
            Turn::Replaced(Evidence::Size) if !self.is_certainly_cut(slot) => {}
            Turn::Replaced(_) => {
                self.begin_again(slot)?;
                return Ok((0, true));
            }
            Turn::Blank(to) => {
                self.pass_over(slot, to)?;
                return Ok((0, true));
            }
            Turn::Failed(error) => self.failed(slot, &error)?,
        }
        Ok((0, false))
    }

    /// Looks at a file again after a pause. Looking is what decides; hints only let it be seldom.
    fn rest(&mut self, slot: Slot) {
        let Some(tail) = self.tails.get(slot) else { return };
        let has_hints = tail.has_one_name && tail.is_present() && self.watch.works_for(tail.path());
        let longest = if has_hints { IDLE_LOOK } else { self.config.poll };
        self.tails.rest(slot, self.config.poll, longest);
    }

    fn failed(&mut self, slot: Slot, error: &io::Error) -> Result<(), Closed> {
        let Some(tail) = self.tails.get_mut(slot) else { return Ok(()) };
        if error.raw_os_error() == Some(Errno::STALE.raw_os_error()) {
            return self.find_again(slot);
        }
        if error.raw_os_error().is_none() && tail.stream().is_packed {
            warn!(path = %tail.path().display(), error = %error, "cannot unpack file, the rest of it is lost");
            let Some(tail) = self.tails.remove(slot) else { return Ok(()) };
            return self.done(&tail, Unread::IsLost(None));
        }
        if let Some(awake) = tail.awake() {
            awake.origin.tally.failed(error);
        }
        if tail.fails_anew() {
            warn!(path = %tail.path().display(), error = %error, "cannot read file, trying again");
        }
        self.tails.rest(slot, self.config.poll, FAILED_LOOK);
        Ok(())
    }

    /// The server of a network file system has forgotten the open file, which may still be there.
    fn find_again(&mut self, slot: Slot) -> Result<(), Closed> {
        let Some(tail) = self.tails.get(slot) else { return Ok(()) };
        match self.disk.find_by_id(folder_of(tail.path()), tail.id()) {
            Ok(Some(path)) => {
                self.tails.set_path(slot, &path);
                if !self.reopen(slot) {
                    self.tails.rest(slot, self.config.poll, FAILED_LOOK);
                }
                Ok(())
            }
            Ok(None) => self.give_up(slot),
            Err(_) => {
                self.tails.rest(slot, self.config.poll, FAILED_LOOK);
                Ok(())
            }
        }
    }

    /// Whether a file that is shorter than it was read was cut: network file systems may say so for a while of one
    /// that was not.
    fn is_certainly_cut(&mut self, slot: Slot) -> bool {
        let Some(tail) = self.tails.get_mut(slot) else { return true };
        if self.disk.system(tail.path()) != Some(System::Remote) {
            return true;
        }
        let doubted_to = tail.short_since() + DOUBT;
        if doubted_to > Instant::now() {
            self.tails.look_at(slot, doubted_to);
            return false;
        }
        !self.reopen(slot)
    }

    /// Opens a file anew that is open. False if its path leads to other bytes.
    pub fn reopen(&mut self, slot: Slot) -> bool {
        let Some(tail) = self.tails.get(slot) else { return false };
        let Ok(Some((handle, id))) = self.disk.open(tail.path()) else { return false };
        if id != tail.id() || !tail.print().is_of(handle.as_ref()) {
            return false;
        }
        debug!(path = %tail.path().display(), "file was opened anew");
        let (mut known, offset) = (tail.known(), tail.offset());
        known.left.formerly = tail.awake().map(|awake| awake.origin.id);
        let awake = self.awake(&known, Arc::from(handle));
        let opening = Chunk::opening(Arc::clone(&awake.origin), offset, self.context.clock.now());
        self.outgoing.push(Input::Chunk(opening));
        self.replace(slot, awake);
        true
    }

    /// Reads on through another stream or handle.
    fn replace(&mut self, slot: Slot, awake: Awake) {
        if let Some(old) = self.tails.sleep(slot) {
            self.context.ledger.close(&old.origin.tally);
        }
        self.tails.wake(slot, awake);
    }

    /// Goes on behind NULs. What follows a hole is another stream of bytes.
    fn pass_over(&mut self, slot: Slot, to: u64) -> Result<(), Closed> {
        let Some(tail) = self.tails.get_mut(slot) else { return Ok(()) };
        let Some(Awake { origin, handle, .. }) = tail.awake() else { return Ok(()) };
        let (origin, handle, from) = (Arc::clone(origin), Arc::clone(handle), tail.offset());
        let nuls = to - from;
        warn!(path = %tail.path().display(), from, nuls, "file has a hole where nothing was written");
        tail.skip_to(to);
        let known = tail.known();
        self.send(Chunk::closing(Arc::clone(&origin), from, self.context.clock.now()))?;
        let body = format!("{nuls} NUL bytes of {} were passed over: nothing was written there", origin.tally.name);
        self.gap(origin, from, Some(nuls), body);
        let awake = self.awake(&known, handle);
        self.replace(slot, awake);
        self.hand_over()
    }

    /// Does no more with a file, of which nobody says where it is.
    pub fn give_up(&mut self, slot: Slot) -> Result<(), Closed> {
        let Some(tail) = self.tails.remove(slot) else { return Ok(()) };
        let unread = self.look_for_unread(&tail);
        self.done(&tail, unread)
    }

    /// What becomes of bytes that a file does not hold any more.
    fn look_for_unread(&mut self, tail: &Tail) -> Unread {
        match (self.read_rest(&Missing::of_tail(tail)), tail.unread_bytes()) {
            (true, _) => Unread::IsElsewhere,
            (false, 0) => Unread::None,
            (false, bytes) => Unread::IsLost(Some(bytes)),
        }
    }

    /// Ends the stream of a file that is gone.
    fn done(&mut self, tail: &Tail, unread: Unread) -> Result<(), Closed> {
        self.hand_over()?;
        if let Some(awake) = tail.awake() {
            self.close(tail, Rest::IsKept)?;
            if let Unread::IsLost(bytes) = unread {
                self.tell_gap(Arc::clone(&awake.origin), tail.offset(), bytes);
                self.hand_over()?;
            }
            // Last: what comes of a stream brings its position with it.
            self.send(Chunk::forgetting_behind(&awake.origin, self.context.clock.now()))?;
        } else {
            let missing = Missing::of_tail(tail);
            match unread {
                Unread::IsLost(bytes) => self.lose(&missing, bytes),
                Unread::IsElsewhere | Unread::None => self.forget_moved(&missing),
            }
        }
        self.hand_over()
    }

    /// A truncated file is a new generation under the same identity.
    fn begin_again(&mut self, slot: Slot) -> Result<(), Closed> {
        let Some(old) = self.tails.remove(slot) else { return Ok(()) };
        let unread = self.look_for_unread(&old);
        let lost_bytes = if let Unread::IsLost(bytes) = unread { bytes } else { None };
        warn!(path = %old.path().display(), lost_bytes, "file was truncated, reading it again from its start");
        self.done(&old, unread)?;
        if old.is_moved() {
            // It held the bytes of another file. What it holds now is found as what it is.
            return Ok(());
        }
        let Some(handle) = old.awake().map(|awake| Arc::clone(&awake.handle)) else { return Ok(()) };
        let position = FilePosition::start(old.id(), old.path(), self.context.clock.now());
        let mut tail = Tail::new(handle.as_ref(), Arc::clone(old.path()), Arc::clone(old.named()), &position);
        tail.has_one_name = old.has_one_name;
        tail.walk = old.walk;
        tail.set_present(old.is_present());
        let awake = self.awake(&tail.known(), handle);
        tail.wake(awake);
        self.tails.insert(tail);
        Ok(())
    }

    /// Closes files that have gone from the globs and have been silent long enough.
    pub fn retire(&mut self) -> Result<(), Closed> {
        let is_finished =
            |slot: &Slot| self.tails.get(*slot).is_some_and(|tail| tail.is_finished(self.config.rotate_grace));
        let gone: Vec<Slot> = self.tails.absent().iter().copied().filter(is_finished).collect();
        for slot in gone {
            if let Some(tail) = self.tails.remove(slot) {
                debug!(path = %tail.path().display(), "file has been rotated away and read to its end");
                if self.copies.are_of(tail.id()) {
                    // Else they would be read as files of their own.
                    self.read_rest(&Missing::of_tail(&tail));
                    self.hand_over()?;
                }
                // A compressed file is not looked at again.
                let is_over = |awake: &&Awake| awake.handle.is_unlinked() || tail.stream().is_packed;
                let left = tail.awake().filter(|awake| !is_over(awake));
                let rest = if left.is_some() { Rest::IsKept } else { Rest::IsGone };
                if let Some(position) = left.and_then(|left| left.bookmark.position(tail.known().left.read_to).ok()) {
                    self.unclaimed.insert(Unclaimed { position, away_since: None, is_finished: true });
                }
                self.close(&tail, rest)?;
            }
        }
        Ok(())
    }
}
