//! Bytes that are not any more where they were read: copied away, compressed, in another layer, or gone.
//!
//! What a file held is looked for among the names beside it that a rotation would give. Whatever holds the same bytes
//! at the same place goes on as the same stream, with the same uids, so nothing is there twice; where nothing does,
//! a `runlog.gap` says so.

use std::{
    ffi::OsStr,
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
    sync::{Arc, atomic::Ordering},
};

use tracing::{info, warn};

use super::{
    FileSource,
    bookmark::{FilePosition, Stream},
    disk::{Extent, Handle, Kind, System, folder_of, path_in},
    identity::FileId,
    print::Print,
    tail::Tail,
    tails::Slot,
    unpack::{self, Unpacked},
    watch::PathKey,
};
use crate::{
    record::{Bookmark, Chunk, Forgotten, Input, NoBookmark, Origin, ReadTo, origin},
    source::gap::gap,
};

/// In the unit of a file's times.
const SECOND: i64 = 1_000_000_000;

/// A stream whose file does not hold its bytes any more.
#[derive(Debug)]
pub struct Missing {
    id: FileId,
    path: Arc<Path>,
    named: Arc<Path>,
    stream: Stream,
    read_to: ReadTo,
    print: Print,
    modified: i64,
    /// How many bytes were seen behind `read_to`.
    unread_bytes: u64,
    /// Under which it was read until now.
    origin: Option<Arc<Origin>>,
}

impl Missing {
    /// What was read of a file by this process.
    #[must_use]
    pub fn of_tail(tail: &Tail) -> Self {
        Self {
            id: tail.id(),
            path: Arc::clone(tail.path()),
            named: Arc::clone(tail.named()),
            stream: tail.stream(),
            read_to: tail.known().left.read_to,
            print: tail.print(),
            modified: tail.modified(),
            unread_bytes: tail.unread_bytes(),
            origin: tail.awake().map(|awake| Arc::clone(&awake.origin)),
        }
    }

    /// What the queue knows of a file.
    #[must_use]
    pub fn of_position(position: &FilePosition) -> Self {
        let path: Arc<Path> = Arc::from(position.path());
        Self {
            id: position.id(),
            named: Arc::clone(&path),
            path,
            stream: position.stream(),
            read_to: position.read_to(),
            print: Print::Position(position.clone()),
            modified: position.modified,
            unread_bytes: position.unread_bytes(),
            origin: None,
        }
    }
}

/// A file that a name beside another one leads to.
#[derive(Debug)]
struct Sibling {
    path: PathBuf,
    id: FileId,
    extent: Extent,
}

/// A file that was opened.
#[derive(Debug)]
pub struct Opened {
    /// Where it is.
    pub path: PathBuf,
    /// Which one it is.
    pub id: FileId,
    /// Its bytes.
    pub handle: Box<dyn Handle>,
}

impl FileSource {
    /// Goes on where else the bytes are. False if they are nowhere.
    pub fn read_rest(&mut self, missing: &Missing) -> bool {
        let Some(found) = self.find_rest(missing) else { return false };
        info!(path = %found.path.display(), from = %missing.path.display(), at = missing.read_to.offset,
            "reading on in a copy of the file");
        // What was written behind the copy's end was cut with the rest. An archive is made of the whole.
        let size = match unpack::is_packed(&found.path) {
            true => u64::MAX,
            false => found.handle.extent().map_or(0, |extent| extent.size),
        };
        let copied = size.saturating_sub(missing.read_to.offset);
        let lost_bytes = missing.unread_bytes.saturating_sub(copied);
        self.let_go(found.id);
        let slot = self.move_to(missing, found);
        let origin = self.tails.get(slot).and_then(Tail::awake).map(|awake| Arc::clone(&awake.origin));
        if let Some(origin) = origin.filter(|_| lost_bytes > 0) {
            self.tell_gap(origin, missing.read_to.offset + copied, Some(lost_bytes));
        }
        true
    }

    /// Does no more with a copy that was overwritten by a newer one.
    fn let_go(&mut self, id: FileId) {
        self.unclaimed.remove(id);
        let Some(tail) = self.tails.by_id(id).and_then(|slot| self.tails.remove(slot)) else { return };
        if let Some(awake) = tail.awake() {
            if tail.unread_bytes() > 0 {
                self.tell_gap(Arc::clone(&awake.origin), tail.offset(), Some(tail.unread_bytes()));
            }
            // Last: what comes of a stream brings its position with it.
            self.forget_moved(&Missing::of_tail(&tail));
        }
    }

    /// Reads a stream on in another file. It is not said that the first one is done with.
    pub fn move_to(&mut self, missing: &Missing, opened: Opened) -> Slot {
        let Opened { path, id, handle } = opened;
        self.copies.remove(id);
        let stream = Stream { is_packed: unpack::is_packed(&path), ..missing.stream };
        let position = FilePosition::moved(id, &path, stream, missing.read_to);
        let mut tail = Tail::new(handle.as_ref(), Arc::from(path), Arc::clone(&missing.named), &position);
        tail.has_one_name = !self.disk.has_other_names(tail.path());
        tail.walk = self.walks;
        let mut known = tail.known();
        known.left.formerly = missing.origin.as_ref().map(|origin| origin.id);
        let awake = self.awake(&known, Arc::from(handle));
        // Its position has to be kept before that of the other file is forgotten.
        let opening = Chunk::opening(Arc::clone(&awake.origin), tail.offset(), self.context.clock.now());
        self.outgoing.push(Input::Chunk(opening));
        tail.wake(awake);
        let slot = self.tails.insert(tail);
        self.tails.set_present(slot, false);
        slot
    }

    /// Does no more with a file whose bytes are read elsewhere, or are gone.
    pub fn forget_moved(&mut self, missing: &Missing) {
        if let Some(origin) = &missing.origin {
            self.outgoing.push(Input::Chunk(Chunk::closing(
                Arc::clone(origin),
                missing.read_to.offset,
                self.context.clock.now(),
            )));
            self.context.ledger.close(&origin.tally);
        }
        // Behind its last lines, which are on their way still: without them its position would be missed.
        let origin = self.farewell(missing);
        self.outgoing.push(Input::Chunk(Chunk::closing(origin, 0, self.context.clock.now())));
    }

    /// Tells of bytes that are gone for good, and forgets the position before them. `bytes` is how many are known.
    pub fn lose(&mut self, missing: &Missing, bytes: Option<u64>) {
        warn!(path = %missing.path.display(), at = missing.read_to.offset, lost_bytes = bytes,
            "what the file held was removed before it was read");
        let origin = self.farewell(missing);
        self.tell_gap(Arc::clone(&origin), missing.read_to.offset, bytes);
        self.outgoing.push(Input::Chunk(Chunk::closing(origin, 0, self.context.clock.now())));
    }

    /// The same for what the queue knows: as many bytes as were seen, if any were.
    pub fn lose_known(&mut self, missing: &Missing) {
        self.lose(missing, Some(missing.unread_bytes).filter(|bytes| *bytes > 0));
    }

    /// Tells that a file stood at that path, and was removed before it was opened.
    pub fn tell_unseen(&mut self, now_there: &Missing) {
        warn!(path = %now_there.path.display(), "a file was removed before it could be opened");
        let origin = match &now_there.origin {
            Some(origin) => Arc::clone(origin),
            None => self.beside(now_there, Arc::new(NoBookmark)),
        };
        let body = format!("a file at {} was removed before it could be opened", now_there.path.display());
        self.gap(origin, 0, None, body);
    }

    /// Records bytes that nobody can read any more, beside the lines of that stream, and counts them.
    pub fn tell_gap(&mut self, origin: Arc<Origin>, from: u64, bytes: Option<u64>) {
        origin.tally.bytes_lost.fetch_add(bytes.unwrap_or(0), Ordering::Relaxed);
        let body = match bytes {
            Some(bytes) => format!("{bytes} bytes of {} were removed before they were read", origin.tally.name),
            None => format!("what {} held was removed, perhaps before all of it was read", origin.tally.name),
        };
        self.gap(origin, from, bytes, body);
    }

    /// Records a gap.
    pub fn gap(&mut self, origin: Arc<Origin>, from: u64, bytes: Option<u64>, body: String) {
        let from = ("runlog.gap.from_offset", from);
        let bytes = bytes.map(|bytes| ("runlog.gap.bytes", bytes));
        let attributes: Vec<_> = [Some(from), bytes].into_iter().flatten().collect();
        self.outgoing.push(Input::Event(gap(origin, self.context.clock.now(), body, &attributes)));
    }

    /// A stream for the last word on a file that is not open.
    fn farewell(&mut self, missing: &Missing) -> Arc<Origin> {
        self.beside(missing, Arc::new(Forgotten))
    }

    /// A stream for a word on a file that is not open.
    fn beside(&mut self, missing: &Missing, bookmark: Arc<dyn Bookmark>) -> Arc<Origin> {
        let (kind, _, tags) = self.tagged(&missing.path, &missing.named);
        let tally = self.context.ledger.open(kind, &tags.name);
        // Its counts stay in the sums.
        self.context.ledger.close(&tally);
        Origin::new(origin::Stream {
            key: missing.id.key(),
            kind,
            identity: &[],
            resource: tags.resource,
            attributes: tags.attributes,
            level: tags.level,
            tally,
            bookmark,
        })
    }

    /// The file that holds the bytes now. The newest of several. Where the bytes are too few to decide, times do, which
    /// can be wrong: then it is the first one that was written after the bytes were.
    fn find_rest(&self, missing: &Missing) -> Option<Opened> {
        if missing.read_to.offset == 0 {
            return None;
        }
        let mut siblings = self.siblings(&missing.path);
        if !missing.print.is_telling() {
            siblings.retain(|sibling| sibling.extent.modified >= missing.modified);
            siblings.reverse();
        }
        for Sibling { path, id, .. } in siblings {
            if id == missing.id {
                continue;
            }
            let opened = self.open_unpacked(path);
            let is_it = |opened: &Opened| {
                let handle = opened.handle.as_ref();
                missing.print.is_of(handle) && !self.is_anothers(id, handle)
            };
            if let Some(opened) = opened.filter(is_it) {
                return Some(opened);
            }
        }
        None
    }

    /// Whether a file with these bytes is read for itself, or for another file.
    fn is_anothers(&self, id: FileId, handle: &dyn Handle) -> bool {
        match self.tails.by_id(id).and_then(|slot| self.tails.get(slot)) {
            // Copies are made over older copies.
            Some(tail) => !tail.is_moved() || tail.print().is_of(handle),
            None => self.unclaimed.get(id).is_some_and(|position| position.is_copied_to(handle)),
        }
    }

    /// Opens a file to read what is in it.
    pub fn open_unpacked(&self, path: PathBuf) -> Option<Opened> {
        let (handle, id) = self.disk.open(&path).ok()??;
        let handle = match unpack::is_packed(&path) {
            true => Box::new(Unpacked::open(handle, &path)?),
            false => handle,
        };
        Some(Opened { path, id, handle })
    }

    /// Files beside that one whose names a rotation may have made of its name, the one written last first.
    fn siblings(&self, path: &Path) -> Vec<Sibling> {
        let (folder, own) = (folder_of(path), path.file_name().unwrap_or_default());
        let mut siblings = Vec::new();
        // A folder that cannot be listed has none.
        let _ = self.disk.list(folder, &mut |entry| {
            if entry.kind != Kind::Folder && entry.name != own && is_made_of(entry.name, own) {
                siblings.push(path_in(folder, entry.name));
            }
        });
        let look = |path: PathBuf| {
            let (id, extent) = self.disk.look(&path).ok()??;
            Some(Sibling { path, id, extent })
        };
        let mut siblings: Vec<_> = siblings.into_iter().filter_map(look).collect();
        siblings.sort_by_key(|sibling| std::cmp::Reverse(sibling.extent.modified));
        siblings
    }

    /// Files that stood at that path after the one that was read there and before the one that stands there now, and
    /// were rotated out of the globs without a word.
    pub fn find_between(&mut self, path: &Path, former: FileId, former_modified: i64, now: FileId) {
        for Sibling { path: at, id, extent } in self.siblings(path) {
            // What was compressed late is a new file with old bytes, and has their time: those that were written last before
            // the other file was are from before it. Some tools keep whole seconds.
            let is_packed = unpack::is_packed(&at);
            let is_old = is_packed && extent.modified.saturating_add(SECOND) < former_modified;
            let is_known = self.tails.by_id(id).is_some() || self.unclaimed.has(id) || self.copies.has(id);
            let is_between = match former.birth {
                0 => extent.modified > former_modified,
                // Two files can come in one tick of the kernel.
                birth => birth < id.birth && id.birth <= now.birth,
            };
            let name = at.file_name().unwrap_or_default();
            if is_known || is_old || !is_between || self.globs.lead_to(folder_of(&at), name) {
                continue;
            }
            if is_packed {
                self.read_archive(at, path);
            } else if let Some(slot) = self.find(&at, path) {
                info!(path = %at.display(), "reading a file that was rotated before it was seen");
                self.tails.set_present(slot, false);
            }
        }
    }

    /// Reads an archive of a file that stood at that path, if nothing of it was read before it was compressed. Otherwise
    /// its rest is looked for as that of the file that was begun. Says whether it is read.
    pub fn read_archive(&mut self, archive: PathBuf, path: &Path) -> bool {
        // Opened for each question, since it can be read onward only.
        let open = || self.open_unpacked(archive.clone());
        let was_read = |print: &Print| open().is_some_and(|opened| print.is_of(opened.handle.as_ref()));
        let folder = folder_of(path);
        let is_of = |tail: &Tail| folder_of(tail.path()) == folder && was_read(&tail.print());
        let is_begun = self.tails.iter().any(|(_, tail)| is_of(tail))
            || self.unclaimed.beside(folder).any(|position| was_read(&Print::Position(position.clone())));
        let Some(opened) = open().filter(|_| !is_begun) else { return false };
        info!(path = %opened.path.display(), "reading a file that was compressed before it was seen");
        let start = FilePosition::start(opened.id, path, self.context.clock.now());
        self.move_to(&Missing::of_position(&start), opened);
        true
    }

    /// The stream that a new file at that path goes on with, if the file system has made another file of the one that
    /// was read there.
    pub fn copied_up(&mut self, path: &Path, handle: &dyn Handle) -> Option<Missing> {
        let slot = self.tails.by_path(PathKey::of(path));
        let of_tail = slot.and_then(|slot| self.tails.get(slot)).filter(|tail| tail.path().as_ref() == path);
        let missing = match of_tail {
            Some(tail) => Missing::of_tail(tail),
            None => Missing::of_position(self.unclaimed.at_path(path)?),
        };
        if self.disk.system(path) != Some(System::Layered) || !missing.print.is_of(handle) {
            return None;
        }
        self.unclaimed.remove(missing.id);
        if let Some(slot) = slot {
            self.tails.remove(slot);
        }
        Some(missing)
    }
}

/// Whether a rotation may have made `name` of `own`: `a.log.1`, `a.log-20261124`, `a-1.log`, `a.log.2.gz`.
fn is_made_of(name: &OsStr, own: &OsStr) -> bool {
    let stem = Path::new(own).file_stem().unwrap_or(own);
    let rest = |of: &OsStr| name.as_bytes().strip_prefix(of.as_bytes());
    rest(own).is_some() || rest(stem).is_some_and(|rest| matches!(rest.first(), None | Some(b'.' | b'-' | b'_')))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_rotations_are_told_from_names_of_other_files() {
        let made = |name: &str, own: &str| is_made_of(OsStr::new(name), OsStr::new(own));
        for name in ["a.log.1", "a.log-20261124", "a-1.log", "a.1.log", "a.log.2.gz", "a.copy", "a.log~"] {
            assert!(made(name, "a.log"), "{name}");
        }
        for name in ["ab.log", "b.log.1", "log", "a1.log"] {
            assert!(!made(name, "a.log"), "{name}");
        }
        assert!(made("a.log.2.gz", "a.log.1") && made("0.log.20261124-054423.gz", "0.log"));
    }
}
