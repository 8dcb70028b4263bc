//! How files are found: by walking through the globs, and by hints.

use std::{
    ffi::OsStr,
    io,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use tracing::{debug, info, warn};

use super::{
    Claim, FileSource,
    bookmark::FilePosition,
    disk::{Extent, Handle, folder_of, path_in},
    globs::{Interest, Visit},
    identity::FileId,
    moves::{self, Move},
    rest::{Missing, Opened},
    tail::{Awake, Tail},
    tails::Slot,
    turn::FAILED_LOOK,
    unclaimed::Unclaimed,
    watch::{Changes, PathKey},
};

/// The globs are walked through this seldom where the kernel tells of changes.
const IDLE_WALK: Duration = Duration::from_secs(60);

/// How soon it is asked again whether a log is read.
const UNDECIDED_LOOK: Duration = Duration::from_millis(200);

/// Whether a file can be read now.
#[derive(Debug)]
pub enum Access {
    /// It is open.
    Open,
    /// It is closed, and as it was when it was read.
    Unchanged,
    /// It has to wait until another one can be closed.
    Later,
    /// No name leads to it, as far as can be seen.
    Gone,
    /// The file system refused.
    Failed(io::Error),
}

impl Visit for FileSource {
    fn folder(&mut self, path: &Path, interest: Interest) {
        self.watch.add(path, interest);
    }

    fn file(&mut self, folder: &Path, name: &OsStr) {
        let path = path_in(folder, name);
        if self.globs.are_against(&path) {
            return;
        }
        self.has_found = true;
        if let Some(slot) = self.find(&path, &path) {
            if let Some(tail) = self.tails.get_mut(slot) {
                tail.walk = self.walks;
            }
            self.tails.set_present(slot, true);
        }
    }
}

impl FileSource {
    /// Walks through the globs: finds new files, and files that are no longer where they were.
    pub fn walk(&mut self) {
        self.walks = self.walks.wrapping_add(1);
        self.owners.iter_mut().for_each(|owners| owners.look());
        let (globs, disk) = (Arc::clone(&self.globs), Arc::clone(&self.disk));
        self.watch.begin();
        self.is_walking = true;
        globs.walk(disk.as_ref(), self);
        self.is_walking = false;
        self.watch.settle();
        let is_missed = |slot: &Slot| self.tails.get(*slot).is_some_and(|tail| tail.walk != self.walks);
        let missed: Vec<Slot> = self.tails.iter().map(|(slot, _)| slot).filter(is_missed).collect();
        for slot in missed {
            self.tails.set_present(slot, false);
        }
        self.owners.iter_mut().for_each(|owners| owners.looked());
        if self.walks == 1 && !self.has_found && !self.config.paths.is_empty() {
            info!(files = self.config.paths.join(","), "no file is there yet; those that come are followed");
        }
        self.roots = self.roots_now();
        // From the end on, so that a slow walk leaves time for reading.
        self.next_check = Instant::now() + self.config.scan;
        let pause = if self.watch.is_complete() { IDLE_WALK.max(self.config.scan) } else { self.config.scan };
        self.next_walk = Instant::now() + pause;
    }

    /// Walks if it is time to. The kernel does not tell that something was mounted where the globs begin, nor that a
    /// folder was removed while a file of it is still open.
    pub fn walk_if_due(&mut self) {
        let now = Instant::now();
        if self.next_walk > now && self.next_check <= now {
            self.next_check = now + self.config.scan;
            self.tag_anew();
            if self.roots != self.roots_now() {
                self.next_walk = now;
            }
        }
        if self.next_walk <= now {
            self.walk();
        }
    }

    fn roots_now(&self) -> Vec<Option<(u64, u64)>> {
        self.globs.roots().map(|root| self.disk.folder_id(root)).collect()
    }

    /// Does what the hints ask for. Files that may have grown are seen to already.
    pub fn see_to(&mut self, changes: &Changes) {
        if changes.is_overflowed {
            self.tails.look_at_all();
        }
        if changes.is_overflowed || changes.is_folder_gone {
            self.next_walk = Instant::now();
        }
        let changes = moves::follow(std::mem::take(&mut self.unopened), &changes.names);
        let stood: Vec<Option<FileId>> = changes.iter().map(|change| self.followed_at(&change.first)).collect();
        let mut unopened = Vec::new();
        for change in &changes {
            if change.is_folder {
                self.see_to_folder(change);
            } else if self.see_to_file(change) {
                unopened.push(change.clone());
            }
        }
        for (change, stood) in changes.iter().zip(stood) {
            if change.from.is_some() || change.to.is_some() {
                continue;
            }
            if change.is_folder {
                self.owners.iter().for_each(|owners| owners.came_and_went(&change.first));
            } else {
                self.came_and_went(change, stood);
            }
        }
        if !unopened.is_empty() {
            // With what may be their archives.
            let may_be_archive = |change: &Move| change.from.is_none() && !self.leads_to(&change.first);
            let are_kept = |change: &Move| unopened.contains(change) || may_be_archive(change);
            self.unopened = changes.into_iter().filter(are_kept).collect();
        }
    }

    /// A file came to a path and was gone before it was opened. Elsewhere than where a file is followed, or each name is
    /// a container's log, it was no generation of a log.
    ///
    /// If it was packed meanwhile, it is read from its archive, which nothing else was: what was there before these
    /// hints has been opened. `stood` is what was followed at its path before they were read, which may be the file itself,
    /// opened in time by a walk.
    fn came_and_went(&mut self, change: &Move, stood: Option<FileId>) {
        let path = &change.first;
        if let Some(archive) = &change.packed
            && self.leads_to(path)
            && !self.globs.are_against(path)
            && self.claim(path) == Claim::Wanted
            && self.read_archive(archive.clone(), path)
        {
            return;
        }
        let tail = self.tails.by_path(PathKey::of(path)).and_then(|slot| self.tails.get(slot));
        if let Some(tail) = tail.filter(|tail| tail.path().as_ref() == path.as_path()) {
            // One that was opened since is another file, also if it has been renamed again by now.
            if stood != Some(tail.id()) || tail.is_at_its_path(self.disk.as_ref()) {
                let now_there = Missing::of_tail(tail);
                self.tell_unseen(&now_there);
            }
        } else if self.leads_to(path) && self.is_owned(path) {
            let never_there = FileId { device: 0, inode: 0, birth: 0 };
            self.tell_unseen(&Missing::of_position(&FilePosition::start(never_there, path, 0)));
        }
    }

    /// The file that is followed at that path.
    fn followed_at(&self, path: &Path) -> Option<FileId> {
        let tail = self.tails.by_path(PathKey::of(path)).and_then(|slot| self.tails.get(slot));
        tail.filter(|tail| tail.path().as_ref() == path).map(Tail::id)
    }

    fn leads_to(&self, path: &Path) -> bool {
        path.file_name().is_some_and(|name| self.globs.lead_to(folder_of(path), name))
    }

    fn see_to_folder(&mut self, change: &Move) {
        if let Some(to) = &change.to {
            let (globs, disk) = (Arc::clone(&self.globs), Arc::clone(&self.disk));
            globs.walk_from(to, disk.as_ref(), self);
        }
        if change.from.is_some() {
            self.walk_soon();
        }
    }

    /// True if it should be read and is not where it is said to be any more: what became of it comes with the next hints.
    fn see_to_file(&mut self, change: &Move) -> bool {
        if let Some(to) = &change.to {
            self.owners.iter_mut().for_each(|owners| owners.written(to));
        }
        match &change.to {
            Some(to) if self.leads_to(to) => {
                return self.find(to, to).is_none() && self.has_gone_on(change, to);
            }
            // It has been rotated out of the globs, perhaps before anybody looked.
            Some(to) => {
                let is_wanted = self.leads_to(&change.first);
                let known = self.disk.look(to).ok().flatten().and_then(|(id, _)| self.tails.by_id(id));
                if known.is_some() || is_wanted {
                    let found = self.find(to, &change.first);
                    if let (None, Some(slot)) = (known, found) {
                        self.tails.set_present(slot, false);
                    }
                    self.walk_soon();
                    return found.is_none() && is_wanted && self.has_gone_on(change, to);
                }
            }
            None => {
                let path = change.from.as_ref().unwrap_or(&change.first);
                if let Some(slot) = self.tails.by_path(PathKey::of(path)) {
                    self.tails.look_now(slot);
                    self.walk_soon();
                }
            }
        }
        false
    }

    fn has_gone_on(&self, change: &Move, to: &Path) -> bool {
        let is_there = self.disk.look(to);
        change.from.is_none() && matches!(is_there, Err(error) if error.kind() == io::ErrorKind::NotFound)
    }

    /// Whether files have gone is decided by the next walk, since other names may lead to them.
    fn walk_soon(&mut self) {
        self.next_walk = self.next_walk.min(self.next_check);
    }

    /// Follows what is at a path, if it is a regular file and not followed already. `named` is the name under which
    /// it was written. Complains once about what cannot be opened.
    pub fn find(&mut self, path: &Path, named: &Path) -> Option<Slot> {
        match self.look_at(path, named) {
            Ok(slot) => {
                self.refused.remove(path);
                slot
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                self.refused.remove(path);
                None
            }
            Err(error) => {
                if self.refused.insert(path.to_owned()) {
                    warn!(path = %path.display(), error = %error, "cannot open file, trying again");
                }
                None
            }
        }
    }

    /// Tries to open files again that could not be opened: the kernel does not tell when they can.
    pub fn try_refused(&mut self) {
        if self.refused.is_empty() || self.next_try > Instant::now() {
            return;
        }
        self.next_try = Instant::now() + FAILED_LOOK;
        let paths: Vec<_> = self.refused.iter().cloned().collect();
        for path in paths {
            self.find(&path, &path);
        }
    }

    /// Asks again of which logs it was not known whether they are read.
    pub fn try_undecided(&mut self) {
        if self.undecided.is_empty() || self.next_decision > Instant::now() {
            return;
        }
        self.next_decision = Instant::now() + UNDECIDED_LOOK;
        if !self.owners.iter_mut().any(|owners| owners.may_have_decided()) {
            return;
        }
        for path in std::mem::take(&mut self.undecided) {
            self.find(&path, &path);
        }
    }

    fn look_at(&mut self, path: &Path, named: &Path) -> io::Result<Option<Slot>> {
        let Some((id, extent)) = self.disk.look(path)? else { return Ok(None) };
        if let Some(slot) = self.tails.by_id(id) {
            self.is_now_at(slot, path, extent);
            return Ok(Some(slot));
        }
        if self.own_output.contains(&id) || self.copies.is_as_seen(id, extent) {
            return Ok(None);
        }
        match self.claim(path) {
            Claim::Wanted => {}
            Claim::Unwanted => return Ok(None),
            Claim::NotNow => {
                self.walk_soon();
                return Ok(None);
            }
            Claim::Undecided => {
                self.undecided.insert(path.to_owned());
                return Ok(None);
            }
        }
        let Some((handle, id)) = self.disk.open(path)? else { return Ok(None) };
        if let Some(slot) = self.tails.by_id(id) {
            // Renamed between the two looks.
            return Ok(Some(slot));
        }
        if let Some(Unclaimed { position, .. }) = self.unclaimed.remove(id) {
            if position.matches(handle.as_ref()) {
                debug!(path = %path.display(), at = position.offset, "following file");
                return Ok(Some(self.begin(handle, path, named, &position)));
            }
            info!(path = %path.display(), "file is not the one read before, reading it from its start");
            let missing = Missing::of_position(&position);
            let is_elsewhere = self.goes_on_elsewhere(&position) || self.read_rest(&missing);
            if is_elsewhere || position.offset == 0 {
                self.forget_moved(&missing);
            } else {
                // Nobody has looked since it was read.
                self.lose_known(&missing);
            }
        } else if let Some(slot) = self.known_otherwise(path, id, handle.as_ref(), extent)? {
            return Ok(slot);
        }
        debug!(path = %path.display(), "following new file");
        let former = self.former_at(path).filter(|_| self.is_walking);
        let start = FilePosition::start(id, path, self.context.clock.now());
        let slot = self.begin(handle, path, named, &start);
        if let Some((former, modified)) = former {
            self.find_between(path, former, modified, id);
        }
        Ok(Some(slot))
    }

    /// Whether the bytes of a file without a position were read under another identity. `None` if not, else the file
    /// that is followed for it, if one is.
    fn known_otherwise(
        &mut self,
        path: &Path,
        id: FileId,
        handle: &dyn Handle,
        extent: Extent,
    ) -> io::Result<Option<Option<Slot>>> {
        if self.is_copy(path, id, handle, extent) {
            return Ok(Some(None));
        }
        if let Some(slot) = self.tails.by_id(id) {
            // It was a copy, and is read as such since its original was looked at.
            return Ok(Some(Some(slot)));
        }
        if let Some(missing) = self.copied_up(path, handle) {
            let Some((handle, id)) = self.disk.open(path)? else { return Ok(Some(None)) };
            let slot = self.move_to(&missing, Opened { path: path.to_owned(), id, handle });
            self.forget_moved(&missing);
            return Ok(Some(Some(slot)));
        }
        Ok(None)
    }

    /// The file that was read at that path, and when it was last written.
    fn former_at(&self, path: &Path) -> Option<(FileId, i64)> {
        let tail = self.tails.by_path(PathKey::of(path)).and_then(|slot| self.tails.get(slot));
        match tail.filter(|tail| tail.path().as_ref() == path) {
            Some(tail) => Some((tail.id(), tail.modified())),
            None => self.unclaimed.at_path(path).map(|position| (position.id(), position.modified)),
        }
    }

    fn is_now_at(&mut self, slot: Slot, path: &Path, extent: Extent) {
        let Some(tail) = self.tails.get(slot) else { return };
        let is_behind = |awake: &Awake| awake.handle.extent().is_ok_and(|open| open.size < extent.size);
        if extent.size > tail.offset() && tail.awake().is_some_and(is_behind) {
            // Written through another layer than the one that it was opened in.
            self.reopen(slot);
        }
        let Some(tail) = self.tails.get(slot) else { return };
        if tail.path().as_ref() != path && !tail.is_at_its_path(self.disk.as_ref()) {
            debug!(from = %tail.path().display(), to = %path.display(), "file was renamed");
            self.tails.set_path(slot, path);
            // Whoever writes to it may be doing so still.
            self.tails.look_now(slot);
        }
    }

    /// Follows an open file from a position on.
    pub fn begin(&mut self, handle: Box<dyn Handle>, path: &Path, named: &Path, position: &FilePosition) -> Slot {
        let path: Arc<Path> = Arc::from(path);
        let named = if named == path.as_ref() { Arc::clone(&path) } else { Arc::from(named) };
        let mut tail = Tail::new(handle.as_ref(), path, named, position);
        tail.has_one_name = !self.disk.has_other_names(tail.path());
        tail.walk = self.walks;
        if self.tails.open() < self.max_open {
            let awake = self.awake(&tail.known(), Arc::from(handle));
            tail.wake(awake);
        }
        self.tails.insert(tail)
    }

    /// Opens a file that was closed, if it has changed. Where its path leads elsewhere, it is looked for.
    pub fn open_to_read(&mut self, slot: Slot) -> Access {
        let Some(tail) = self.tails.get(slot) else { return Access::Gone };
        if tail.is_open() {
            return Access::Open;
        }
        let id = tail.id();
        let mut path = tail.path().to_path_buf();
        match self.disk.look(&path) {
            Ok(Some((there, extent))) if there == id => {
                if tail.is_as_known(extent) {
                    return Access::Unchanged;
                }
            }
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Access::Failed(error),
            Ok(_) | Err(_) => match self.disk.find_by_id(folder_of(&path), id) {
                Ok(Some(found)) => {
                    self.tails.set_path(slot, &found);
                    path = found;
                }
                Ok(None) => return Access::Gone,
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Access::Gone,
                Err(error) => return Access::Failed(error),
            },
        }
        if !self.make_room() {
            return Access::Later;
        }
        match self.disk.open(&path) {
            Ok(Some((handle, there))) if there == id => {
                if let Some(known) = self.tails.get(slot).map(Tail::known) {
                    let awake = self.awake(&known, Arc::from(handle));
                    self.tails.wake(slot, awake);
                }
                Access::Open
            }
            // Something else has just taken the place.
            Ok(_) => Access::Later,
            Err(error) => Access::Failed(error),
        }
    }

    /// Closes files that have been idle for longest if no more may be open. Says whether one more may.
    fn make_room(&mut self) -> bool {
        if self.tails.open() < self.max_open {
            return true;
        }
        let now = Instant::now();
        if self.next_closing > now {
            return false;
        }
        let mut idle: Vec<(Instant, Slot)> = self
            .tails
            .iter()
            .filter(|(_, tail)| tail.is_open() && tail.is_idle())
            .map(|(slot, tail)| (tail.last_growth(), slot))
            .collect();
        idle.sort_unstable();
        // Some more than one, so that this is not done for each.
        for (_, slot) in idle.into_iter().take(self.max_open / 8 + 1) {
            // A file without its name could not be opened again.
            if self.tails.get(slot).is_some_and(|tail| tail.is_at_its_path(self.disk.as_ref()))
                && let Some(awake) = self.tails.sleep(slot)
            {
                self.context.ledger.close(&awake.origin.tally);
            }
        }
        let has_room = self.tails.open() < self.max_open;
        if !has_room {
            self.next_closing = now + super::BREATH;
        }
        has_room
    }
}
