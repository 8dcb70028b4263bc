//! Positions of files that no glob leads to now, and what becomes of the files.

use std::{
    collections::{BTreeMap, HashMap},
    io,
    path::Path,
    time::{Duration, Instant},
};

use tracing::{debug, info, warn};

use super::{
    FileSource,
    bookmark::{self, FilePosition, Stream},
    disk::folder_of,
    identity::FileId,
    rest::{Missing, Opened},
    watch::PathKey,
};
use crate::record::ReadTo;

/// How often files are looked for again that have left the globs, or were not found at the start.
const SEARCH: Duration = Duration::from_secs(10 * 60);
/// Positions in a folder that has been away for so long are forgotten. A volume that comes back later than this is
/// read from its start.
const LONGEST_AWAY: Duration = Duration::from_secs(24 * 60 * 60);

/// The position of a file that no glob leads to now.
#[derive(Debug)]
pub struct Unclaimed {
    /// Where it was read to.
    pub position: FilePosition,
    /// Since when its folder has not been there.
    pub away_since: Option<Instant>,
    /// Whether all of it was read and its writer has been silent since.
    pub is_finished: bool,
}

/// Those of the last run of the agent, and of this one.
#[derive(Debug, Default)]
pub struct AllUnclaimed {
    by_key: BTreeMap<String, Unclaimed>,
    by_path: HashMap<PathKey, String>,
}

impl AllUnclaimed {
    /// Those among the positions that the queue held.
    #[must_use]
    pub fn of(positions: &BTreeMap<String, Vec<u8>>) -> Self {
        let mut all = Self::default();
        for (key, bytes) in positions.iter().filter(|(key, _)| key.starts_with(bookmark::KEY_PREFIX)) {
            match FilePosition::read(bytes) {
                Ok(position) => all.insert(Unclaimed { position, away_since: None, is_finished: false }),
                Err(error) => {
                    warn!(key, error = %error, "a file's position cannot be read, the file is read from its start");
                }
            }
        }
        all.tell_copies_from_originals();
        all
    }

    /// A copy has its position before the position of the file that was cut is forgotten. A kill between the two leaves
    /// both, and where nothing had been given out, no bytes tell that the file holds others now.
    fn tell_copies_from_originals(&mut self) {
        let copied: Vec<_> = self.iter().filter(|position| position.is_copy()).map(FilePosition::stream).collect();
        for stream in copied {
            let original = self.by_key.get_mut(&stream.id.key()).map(|unclaimed| &mut unclaimed.position);
            let is_same = |position: &&mut FilePosition| {
                position.stream().generation == stream.generation && position.read_to() == ReadTo::default()
            };
            if let Some(original) = original.filter(is_same) {
                original.leads_nowhere();
            }
        }
    }

    /// Keeps a position.
    pub fn insert(&mut self, unclaimed: Unclaimed) {
        let key = unclaimed.position.id().key();
        self.by_path.insert(PathKey::of(&unclaimed.position.path()), key.clone());
        self.by_key.insert(key, unclaimed);
    }

    /// Takes the position of a file.
    pub fn remove(&mut self, id: FileId) -> Option<Unclaimed> {
        let key = id.key();
        let unclaimed = self.by_key.remove(&key)?;
        let path = PathKey::of(&unclaimed.position.path());
        if self.by_path.get(&path) == Some(&key) {
            self.by_path.remove(&path);
        }
        Some(unclaimed)
    }

    /// Whether that file has a position.
    #[must_use]
    pub fn has(&self, id: FileId) -> bool {
        self.by_key.contains_key(&id.key())
    }

    /// The position of a file.
    #[must_use]
    pub fn get(&self, id: FileId) -> Option<&FilePosition> {
        self.by_key.get(&id.key()).map(|unclaimed| &unclaimed.position)
    }

    /// The position of a file that stood at that path.
    #[must_use]
    pub fn at_path(&self, path: &Path) -> Option<&FilePosition> {
        let unclaimed = self.by_key.get(self.by_path.get(&PathKey::of(path))?)?;
        Some(&unclaimed.position).filter(|position| position.path() == path)
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &FilePosition> {
        self.by_key.values().map(|unclaimed| &unclaimed.position)
    }

    /// Takes all of them.
    pub fn take(&mut self) -> impl Iterator<Item = Unclaimed> + use<> {
        std::mem::take(self).by_key.into_values()
    }
}

impl FileSource {
    /// Files that were rotated out of the globs while nobody looked are read to their end; positions of files that
    /// are gone are forgotten. What cannot be looked at now, as on a volume that is not mounted yet, waits.
    pub fn finish_rotated(&mut self) {
        self.next_search = Instant::now() + SEARCH;
        let is_copy = |unclaimed: &Unclaimed| unclaimed.position.is_copy();
        let (copies, originals): (Vec<_>, Vec<_>) = self.unclaimed.take().partition(is_copy);
        // What goes on in a copy is no loss of its original.
        for unclaimed in copies.into_iter().chain(originals) {
            self.finish(unclaimed);
        }
    }

    /// Whether the stream of that position has a position in another file as well: in a copy, from before a kill.
    pub fn goes_on_elsewhere(&self, position: &FilePosition) -> bool {
        let (id, stream) = (position.id(), position.stream());
        let is_its =
            |other_id, other: Stream| other_id != id && (other.id, other.generation) == (stream.id, stream.generation);
        self.unclaimed.iter().any(|other| is_its(other.id(), other.stream()))
            || self.tails.iter().any(|(_, tail)| is_its(tail.id(), tail.stream()))
    }

    fn finish(&mut self, unclaimed: Unclaimed) {
        let position = &unclaimed.position;
        match self.search(position) {
            // Its container is not known yet, or is not wanted any more.
            Ok(Some(Opened { path, .. })) if self.is_left_out(&path) => self.unclaimed.insert(unclaimed),
            Ok(Some(opened)) => {
                let has_more = opened.handle.extent().is_ok_and(|extent| extent.size > position.offset);
                if has_more {
                    info!(path = %opened.path.display(), at = position.offset, "reading the rest of a rotated file");
                    let slot = self.begin(opened.handle, &opened.path, &opened.path, position);
                    self.tails.set_present(slot, false);
                } else {
                    self.unclaimed.insert(Unclaimed { away_since: None, ..unclaimed });
                }
            }
            Ok(None) => {
                let missing = Missing::of_position(position);
                // What was read to the end is not looked for where it was compressed to.
                let is_elsewhere =
                    self.goes_on_elsewhere(position) || !unclaimed.is_finished && self.read_rest(&missing);
                if !is_elsewhere && position.unread_bytes() > 0 {
                    self.lose_known(&missing);
                } else {
                    self.forget_moved(&missing);
                }
            }
            Err(_) if self.containers.as_ref().is_some_and(|all| all.is_removed(&position.path())) => {
                self.forget_moved(&Missing::of_position(position));
            }
            Err(error) => {
                debug!(path = %position.path().display(), error = %error, "cannot look for a file read before");
                let is_away = error.kind() == io::ErrorKind::NotFound;
                let away_since = is_away.then(|| unclaimed.away_since.unwrap_or_else(Instant::now));
                if away_since.is_some_and(|since| since.elapsed() >= LONGEST_AWAY) {
                    self.forget_moved(&Missing::of_position(position));
                } else {
                    self.unclaimed.insert(Unclaimed { away_since, ..unclaimed });
                }
            }
        }
    }

    /// The file of a position, wherever it is in its folder, if it is still the same.
    fn search(&self, position: &FilePosition) -> io::Result<Option<Opened>> {
        let path = position.path();
        let Some(path) = self.disk.find_by_id(folder_of(&path), position.id())? else { return Ok(None) };
        // It can be opened, or it is tried again as one that cannot be looked at.
        self.disk.open(&path)?;
        Ok(self.open_unpacked(path).filter(|opened| position.matches(opened.handle.as_ref())))
    }
}
