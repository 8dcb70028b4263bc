//! Which way each container is read: through the engine, or from its file.
//!
//! Both are at work at once, in tasks of their own, and a container must be read by exactly one of them, the same after
//! the agent was started again. So the first who is able to read it says so here, and what an agent before has begun is
//! said at the start. Its place through the engine is another one than in the file, so that no way leads to the other.

#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    fs::{self, File},
    os::fd::OwnedFd,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use super::config::Folder;
use crate::source::file;

/// How the name of a container's log ends.
pub(super) const LOG_END: &str = "-json.log";

/// A way to read a container.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    /// Through the engine.
    Engine,
    /// From the file that the engine writes.
    File,
}

/// The engine's folder of containers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Seen {
    /// Its path in the engine's words.
    pub named: PathBuf,
    /// The same folder as this process sees it.
    pub path: PathBuf,
}

/// Which way each container is read, shared by those who read.
#[derive(Debug, Default)]
pub struct Ways(Mutex<Known>);

#[derive(Debug, Default)]
struct Known {
    chosen: HashMap<String, Way>,
    folder: Option<Seen>,
    /// Containers that the engine has spoken of: the folder may have others.
    named: HashSet<String>,
    /// Those among them that no list has shown yet.
    newly_named: HashSet<String>,
    /// Whether the engine has listed its containers.
    is_listed: bool,
    /// How often more became known.
    changes: u64,
    /// How often containers were missing that had been named.
    removals: u64,
    /// Ends the sleep of who reads files.
    bell: Option<Arc<OwnedFd>>,
}

impl Ways {
    /// Takes over what an agent before has begun.
    pub(super) fn begin(&self, positions: &BTreeMap<String, Vec<u8>>, folder: &Folder) {
        let mut known = self.lock();
        if *folder != Folder::None {
            let ids = begun_files(positions).map(|(_, id)| (id, Way::File));
            known.chosen.extend(ids);
        }
        // Who has both was read through the engine from its start, after its file had been taken back.
        let through_engine = positions.keys().filter_map(|key| key.strip_prefix("docker/")?.split_once("/std"));
        known.chosen.extend(through_engine.map(|(id, _)| (id.to_owned(), Way::Engine)));
    }

    /// How that container is read, if that was chosen.
    pub(super) fn of(&self, id: &str) -> Option<Way> {
        self.lock().chosen.get(id).copied()
    }

    /// Chooses a way. Another one may have been chosen before, and is what counts then.
    pub(super) fn choose(&self, id: &str, way: Way) -> Way {
        *self.lock().chosen.entry(id.to_owned()).or_insert(way)
    }

    /// Forgets a container that does not exist any more.
    pub(super) fn forget(&self, id: &str) {
        self.lock().chosen.remove(id);
    }

    /// Notes where the engine keeps its containers. True if that is news.
    pub(super) fn found(&self, seen: Option<Seen>) -> bool {
        let mut known = self.lock();
        if known.folder == seen {
            return false;
        }
        known.folder = seen;
        known.changed();
        true
    }

    /// Where the engine keeps its containers, if that can be seen from here.
    pub(super) fn folder(&self) -> Option<Seen> {
        self.lock().folder.clone()
    }

    /// Notes that the engine has spoken of that container.
    pub(super) fn name(&self, id: &str) {
        let mut known = self.lock();
        if known.named.insert(id.to_owned()) {
            known.newly_named.insert(id.to_owned());
            known.changed();
        }
    }

    /// Notes all containers that the engine has.
    pub(super) fn list<'a>(&self, ids: impl Iterator<Item = &'a str>) {
        let mut known = self.lock();
        let mut named: HashSet<String> = ids.map(str::to_owned).collect();
        // They may have come after the list was made.
        named.extend(std::mem::take(&mut known.newly_named));
        let is_new = !known.is_listed || named != known.named;
        known.removals += u64::from(!known.named.is_subset(&named));
        known.is_listed = true;
        known.named = named;
        if is_new {
            known.changed();
        }
    }

    /// Notes that the engine has removed that container.
    pub(super) fn removed(&self, id: &str) {
        let mut known = self.lock();
        known.newly_named.remove(id);
        if known.named.remove(id) {
            known.removals += 1;
            known.changed();
        }
    }

    /// Whether the engine has spoken of that container.
    pub(super) fn is_named(&self, id: &str) -> bool {
        self.lock().named.contains(id)
    }

    /// Whether the engine does not have that container any more. Not what a folder says, which may be another one than
    /// it was: an empty one where nothing is mounted.
    pub(super) fn is_gone(&self, id: &str) -> bool {
        let known = self.lock();
        known.is_listed && !known.named.contains(id)
    }

    /// Whether the engine has listed its containers.
    pub(super) fn is_listed(&self) -> bool {
        self.lock().is_listed
    }

    /// Grows when containers are there no more.
    pub(super) fn removals(&self) -> u64 {
        self.lock().removals
    }

    /// Grows when a folder or containers became known, or are there no more.
    pub(super) fn changes(&self) -> u64 {
        self.lock().changes
    }

    /// Rings that bell when more becomes known.
    pub(super) fn ring(&self, bell: Arc<OwnedFd>) {
        self.lock().bell = Some(bell);
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Known {
    fn changed(&mut self) {
        self.changes += 1;
        if let Some(bell) = &self.bell {
            // It can hold more rings than anybody will give.
            let _ = rustix::io::write(bell.as_ref(), &1_u64.to_ne_bytes());
        }
    }
}

/// The folders of containers whose files were begun, each with the container's id.
pub(super) fn begun_files(positions: &BTreeMap<String, Vec<u8>>) -> impl Iterator<Item = (PathBuf, String)> {
    file::paths_with_position(positions).filter_map(|path| {
        let own = path.parent()?;
        let id = own.file_name()?.to_str()?;
        let is_log = path.file_name()?.to_str()?.strip_prefix(id)?.starts_with(LOG_END);
        let is_id = id.len() == 64 && id.bytes().all(|byte| byte.is_ascii_hexdigit());
        (is_log && is_id).then(|| Some((own.parent()?.to_owned(), id.to_owned())))?
    })
}

/// The log of a container.
pub(super) fn log(folder: &Path, id: &str) -> PathBuf {
    folder.join(id).join(format!("{id}{LOG_END}"))
}

/// Whether the log of a container can be opened.
pub(super) fn is_readable(folder: &Path, id: &str) -> bool {
    File::open(log(folder, id)).is_ok()
}

/// Whether the engine has compressed a part of a container's log, which it gives out and a reader of files does not.
pub(super) fn is_compressed(folder: &Path, id: &str) -> bool {
    let is_packed = |entry: fs::DirEntry| entry.path().extension().is_some_and(|end| end == "gz");
    fs::read_dir(folder.join(id)).is_ok_and(|entries| entries.flatten().any(is_packed))
}
