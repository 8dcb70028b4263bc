//! How files are found: by walking through the globs, by hints, and by what the queue remembers.

use std::{
    ffi::OsStr,
    io,
    path::{Path, PathBuf},
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};

use tracing::{debug, info, warn};

use crate::record::SourceKind;

use super::{
    Closed, FAILED_LOOK, FileSource, Rest,
    bookmark::FilePosition,
    disk::{Handle, folder_of, path_in},
    globs::{Interest, Visit},
    identity::FileId,
    moves::{self, Move},
    tail::Tail,
    tails::Slot,
    watch::{Changes, PathKey},
};

/// The globs are walked through this seldom where the kernel tells of changes.
const IDLE_WALK: Duration = Duration::from_secs(60);
/// How often files are looked for again that have left the globs, or were not found at the start.
const SEARCH: Duration = Duration::from_secs(10 * 60);
/// Positions in a folder that has been away for so long are forgotten. A volume that comes back later than this is
/// read from its start.
const LONGEST_AWAY: Duration = Duration::from_secs(24 * 60 * 60);

/// The position of a file that no glob leads to now.
#[derive(Debug)]
pub struct Unclaimed {
    position: FilePosition,
    /// Since when its folder has not been there.
    away_since: Option<Instant>,
}

impl Unclaimed {
    /// The file may be anywhere.
    #[must_use]
    pub const fn new(position: FilePosition) -> Self {
        Self { position, away_since: None }
    }

    /// Where it was.
    #[must_use]
    pub fn path(&self) -> PathBuf {
        self.position.path()
    }
}

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
        if let Some(containers) = &mut self.containers {
            containers.look();
        }
        let (globs, disk) = (Arc::clone(&self.globs), Arc::clone(&self.disk));
        self.watch.begin();
        globs.walk(disk.as_ref(), self);
        self.watch.settle();
        let is_missed = |slot: &Slot| self.tails.get(*slot).is_some_and(|tail| tail.walk != self.walks);
        let missed: Vec<Slot> = self.tails.iter().map(|(slot, _)| slot).filter(is_missed).collect();
        for slot in missed {
            self.tails.set_present(slot, false);
        }
        if let Some(containers) = &mut self.containers {
            containers.looked();
        }
        self.roots = self.roots_now();
        // From the end on, so that a slow walk leaves time for reading.
        self.next_check = Instant::now() + self.config.scan;
        let idle = if self.complained.is_empty() { IDLE_WALK } else { FAILED_LOOK };
        let pause = if self.watch.is_complete() { idle.max(self.config.scan) } else { self.config.scan };
        self.next_walk = Instant::now() + pause;
    }

    /// Walks if it is time to. The kernel does not tell that something was mounted where the globs begin, nor that a
    /// folder was removed while a file of it is still open.
    pub fn walk_if_due(&mut self) {
        let now = Instant::now();
        if self.next_walk > now && self.next_check <= now {
            self.next_check = now + self.config.scan;
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
        for change in moves::follow(&changes.names) {
            if change.is_folder {
                self.see_to_folder(&change);
            } else {
                self.see_to_file(&change);
            }
        }
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

    fn see_to_file(&mut self, change: &Move) {
        let leads_to = |path: &Path| path.file_name().is_some_and(|name| self.globs.lead_to(folder_of(path), name));
        match &change.to {
            Some(to) if leads_to(to) => {
                self.find(to, to);
            }
            // It has been rotated out of the globs, perhaps before anybody looked.
            Some(to) => {
                let is_wanted = leads_to(&change.first);
                let known = self.disk.look(to).ok().flatten().and_then(|(id, _)| self.tails.by_id(id));
                if known.is_some() || is_wanted {
                    let found = self.find(to, &change.first);
                    if let (None, Some(slot)) = (known, found) {
                        self.tails.set_present(slot, false);
                    }
                    self.walk_soon();
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
    }

    /// Whether files have gone is decided by the next walk, since other names may lead to them.
    fn walk_soon(&mut self) {
        self.next_walk = self.next_walk.min(self.next_check);
    }

    /// Follows what is at a path, if it is a regular file and not followed already. `named` is the name under which
    /// it was written. Complains once about what cannot be opened.
    fn find(&mut self, path: &Path, named: &Path) -> Option<Slot> {
        match self.look_at(path, named) {
            Ok(slot) => {
                self.complained.remove(path);
                slot
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                self.complained.remove(path);
                None
            }
            Err(error) => {
                if self.complained.insert(path.to_owned()) {
                    warn!(path = %path.display(), error = %error, "cannot open file, trying again");
                }
                // Nobody tells when it may be opened.
                self.next_walk = self.next_walk.min(Instant::now() + FAILED_LOOK);
                None
            }
        }
    }

    fn look_at(&mut self, path: &Path, named: &Path) -> io::Result<Option<Slot>> {
        let Some((id, _)) = self.disk.look(path)? else { return Ok(None) };
        if let Some(slot) = self.tails.by_id(id) {
            self.is_now_at(slot, path);
            return Ok(Some(slot));
        }
        if self.own_output.contains(&id) {
            return Ok(None);
        }
        if self.is_left_out(path) {
            // What the engine knows of a container may be written after its log was made.
            self.walk_soon();
            return Ok(None);
        }
        let Some((handle, id)) = self.disk.open(path)? else { return Ok(None) };
        if let Some(slot) = self.tails.by_id(id) {
            // Renamed between the two looks.
            return Ok(Some(slot));
        }
        let position = self
            .unclaimed
            .remove(&id.key())
            .map(|unclaimed| unclaimed.position)
            .filter(|position| {
                let matches = position.matches(handle.as_ref());
                if !matches {
                    info!(path = %path.display(), "file is not the one read before, reading it from its start");
                }
                matches
            })
            .unwrap_or_else(|| FilePosition::start(id, path, self.context.clock.now()));
        debug!(path = %path.display(), at = position.offset, "following file");
        Ok(Some(self.begin(handle, path, named, &position)))
    }

    fn is_now_at(&mut self, slot: Slot, path: &Path) {
        let Some(tail) = self.tails.get(slot) else { return };
        if tail.path().as_ref() != path && !tail.is_at_its_path(self.disk.as_ref()) {
            debug!(from = %tail.path().display(), to = %path.display(), "file was renamed");
            self.tails.set_path(slot, path);
            // Whoever writes to it may be doing so still.
            self.tails.look_now(slot);
        }
    }

    /// Follows an open file from a position on.
    fn begin(&mut self, handle: Box<dyn Handle>, path: &Path, named: &Path, position: &FilePosition) -> Slot {
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

    /// A file whose last name has gone while it was closed.
    pub fn give_up(&mut self, slot: Slot) -> Result<(), Closed> {
        let Some(tail) = self.tails.remove(slot) else { return Ok(()) };
        let lost_bytes = tail.unread_bytes();
        if lost_bytes > 0 {
            warn!(path = %tail.path().display(), lost_bytes, "file was deleted before it could be read");
            let tally = self.context.ledger.open(SourceKind::File, &tail.path().display().to_string());
            tally.bytes_lost.fetch_add(lost_bytes, Ordering::Relaxed);
            self.context.ledger.close(&tally);
        }
        self.close(&tail, Rest::IsGone)
    }

    /// Keeps the position of a file that is closed because it has left the globs, should it come back.
    pub fn remember(&mut self, id: FileId, position: Option<FilePosition>) {
        if let Some(position) = position {
            self.unclaimed.insert(id.key(), Unclaimed::new(position));
        }
    }

    /// Files that were rotated out of the globs while nobody looked are read to their end; positions of files that
    /// are gone are forgotten. What cannot be looked at now, as on a volume that is not mounted yet, waits.
    pub fn finish_rotated(&mut self) -> Result<(), Closed> {
        self.next_search = Instant::now() + SEARCH;
        for (key, mut unclaimed) in std::mem::take(&mut self.unclaimed) {
            let position = &unclaimed.position;
            match self.search(position) {
                // Its container is not known yet, or is not wanted any more.
                Ok(Some((path, _))) if self.is_left_out(&path) => {
                    self.unclaimed.insert(key, unclaimed);
                }
                Ok(Some((path, handle))) => {
                    let has_more = handle.extent().is_ok_and(|extent| extent.size > position.offset);
                    if has_more {
                        info!(path = %path.display(), at = position.offset, "reading the rest of a rotated file");
                        let slot = self.begin(handle, &path, &path, position);
                        self.tails.set_present(slot, false);
                    } else {
                        unclaimed.away_since = None;
                        self.unclaimed.insert(key, unclaimed);
                    }
                }
                Ok(None) => self.forget(key)?,
                Err(_) if self.containers.as_ref().is_some_and(|all| all.is_removed(&position.path())) => {
                    self.forget(key)?;
                }
                Err(error) => {
                    debug!(path = %position.path().display(), error = %error, "cannot look for a file read before");
                    let is_away = error.kind() == io::ErrorKind::NotFound;
                    let away_since = is_away.then(|| unclaimed.away_since.unwrap_or_else(Instant::now));
                    if away_since.is_some_and(|since| since.elapsed() >= LONGEST_AWAY) {
                        self.forget(key)?;
                    } else {
                        self.unclaimed.insert(key, Unclaimed { away_since, ..unclaimed });
                    }
                }
            }
        }
        Ok(())
    }

    /// The file of a position, wherever it is in its folder, if it is still the same.
    fn search(&self, position: &FilePosition) -> io::Result<Option<(PathBuf, Box<dyn Handle>)>> {
        let path = position.path();
        let Some(path) = self.disk.find_by_id(folder_of(&path), position.id())? else { return Ok(None) };
        let opened = self.disk.open(&path)?;
        Ok(opened.map(|(handle, _)| (path, handle)).filter(|(_, handle)| position.matches(handle.as_ref())))
    }
}
