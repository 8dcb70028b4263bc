//! Positions of files that no glob leads to now.

use std::{collections::BTreeMap, collections::HashMap, path::Path, time::Instant};

use tracing::warn;

use super::{
    bookmark::{self, FilePosition},
    identity::FileId,
    watch::PathKey,
};

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
        all
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
