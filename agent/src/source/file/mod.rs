//! Files by glob: found, followed through rotation, read again from where the queue says.
//!
//! One thread reads all files in turn. The kernel's hints (inotify on the folders) say where to look first;
//! looking at each file now and then is what decides, since hints are missing on network file systems and get lost.

mod bookmark;
mod config;
mod container;
mod disk;
mod identity;
mod tail;
mod watch;

pub use config::Config;
pub use disk::{Disk, Extent, Handle, RealDisk};

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    io,
    path::{Path, PathBuf},
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};

use tokio::runtime;
use tracing::{debug, info, warn};

use crate::record::{Chunk, Format, Input, Origin, Resource, Severity, SourceKind, origin::Stream};

use super::{Closed, Context, docker};
use bookmark::FilePosition;
use identity::FileId;
use tail::{Tail, Turn};
use watch::Watch;

/// The pause after reading little, so that a busy writer does not wake us for each line.
const BREATH: Duration = Duration::from_millis(50);
/// An idle file on a file system with hints is looked at this seldom.
const IDLE_LOOK: Duration = Duration::from_secs(5);
/// How long the thread sleeps at most, so that a stop is noticed.
const LONGEST_SLEEP: Duration = Duration::from_millis(250);

/// What each line of a file is tagged with.
#[derive(Debug, Clone)]
pub struct Tagging {
    /// The agent's run.
    pub resource: Arc<Resource>,
    /// Record attributes, encoded.
    pub attributes: Vec<u8>,
    /// The level asked for.
    pub level: Severity,
    /// A folder that is never read: the agent's own state.
    pub state_dir: PathBuf,
    /// Tells this agent's uids from another's.
    pub agent_id: [u8; 16],
}

/// Follows files until it is asked to stop, then reads each to its end.
pub struct FileSource {
    config: Config,
    context: Context,
    tagging: Tagging,
    /// Those of a Docker engine, which say themselves what they are tagged with.
    containers: Option<docker::Files>,
    disk: Arc<dyn Disk>,
    runtime: runtime::Handle,
    tails: HashMap<FileId, Tail>,
    watch: Watch,
    /// Positions of the last run of the agent that no file has claimed yet.
    unclaimed: BTreeMap<String, FilePosition>,
    complained: HashSet<PathBuf>,
    next_scan: Instant,
}

impl FileSource {
    /// Prepares to follow the files of `config`. `runtime` is where waiting for room happens.
    #[must_use]
    pub fn new(
        config: Config,
        context: Context,
        tagging: Tagging,
        disk: Arc<dyn Disk>,
        runtime: runtime::Handle,
    ) -> Self {
        let unclaimed = context
            .positions
            .iter()
            .filter(|(key, _)| key.starts_with(bookmark::KEY_PREFIX))
            .filter_map(|(key, bytes)| match FilePosition::read(bytes) {
                Ok(position) => Some((key.clone(), position)),
                Err(error) => {
                    warn!(key, error = %error, "a file's position cannot be read, the file is read from its start");
                    None
                }
            })
            .collect();
        let watch = Watch::new();
        Self {
            config,
            context,
            tagging,
            containers: None,
            disk,
            runtime,
            tails: HashMap::new(),
            watch,
            unclaimed,
            complained: HashSet::new(),
            next_scan: Instant::now(),
        }
    }

    /// Follows the logs of a Docker engine's containers as well.
    #[must_use]
    pub fn with_containers(mut self, mut containers: docker::Files) -> Self {
        self.config.paths.extend(containers.patterns());
        self.unclaimed.values().for_each(|position| containers.was_read(&position.path()));
        self.containers = Some(containers);
        self
    }

    /// Follows the files. Blocks; meant for a thread of its own. Ends when the stop is thrown and all is read, or
    /// when the pipeline has gone.
    pub fn run(mut self) {
        // The pipeline ends first only when it failed, and it has said so itself.
        let _: Result<(), Closed> = self.follow();
    }

    fn follow(&mut self) -> Result<(), Closed> {
        self.scan()?;
        self.finish_rotated()?;
        while !self.context.stop.is_thrown() {
            let bytes = self.read_due()?;
            self.retire()?;
            let until = self.next_look();
            if bytes < tail::CHUNK_BYTES {
                std::thread::sleep(BREATH.min(until.saturating_duration_since(Instant::now())));
            }
            let hints = self.watch.wait(until.min(Instant::now() + LONGEST_SLEEP));
            if hints.scan || self.next_scan <= Instant::now() {
                self.scan()?;
            }
            for id in
                self.tails.iter().filter(|(_, tail)| hints.concerns(tail.path())).map(|(id, _)| *id).collect::<Vec<_>>()
            {
                if let Some(tail) = self.tails.get_mut(&id) {
                    tail.look_now();
                }
            }
        }
        self.drain()
    }

    /// Reads what is there now of every file, to its end, and closes it.
    fn drain(&mut self) -> Result<(), Closed> {
        self.scan()?;
        for (_, mut tail) in std::mem::take(&mut self.tails) {
            while let Turn::Read(chunk) = tail.read(self.context.clock.now()) {
                self.send(chunk)?;
            }
            self.close(&tail, Rest::IsKept)?;
        }
        Ok(())
    }

    /// Reads files that are due, in turn, until each has been read to its end once, or until it is time to look for
    /// new files: one that never ends must not hide them. Returns the bytes read.
    fn read_due(&mut self) -> Result<usize, Closed> {
        let now = Instant::now();
        let mut due: Vec<FileId> = self.tails.iter().filter(|(_, tail)| tail.is_due(now)).map(|(id, _)| *id).collect();
        let mut bytes = 0;
        while !due.is_empty() && !self.context.stop.is_thrown() {
            let mut again = Vec::new();
            for id in due {
                let Some(tail) = self.tails.get_mut(&id) else { continue };
                match tail.read(self.context.clock.now()) {
                    Turn::Read(chunk) => {
                        bytes += chunk.data.len();
                        again.push(id);
                        self.send(chunk)?;
                    }
                    Turn::End => {
                        let idle = if tail.has_hints { IDLE_LOOK } else { self.config.poll };
                        tail.rest(self.config.poll, idle.max(self.config.poll));
                    }
                    Turn::Replaced { lost_bytes } => {
                        warn!(path = %tail.path().display(), lost_bytes, "file was truncated, reading it again from its start");
                        tail.origin().tally.bytes_lost.fetch_add(lost_bytes, Ordering::Relaxed);
                        self.begin_again(id)?;
                        again.push(id);
                    }
                    Turn::Failed(error) => {
                        if tail.fails_anew() {
                            warn!(path = %tail.path().display(), error = %error, "cannot read file, trying again");
                        }
                        tail.rest(self.config.poll, IDLE_LOOK);
                    }
                }
            }
            due = again;
            if self.next_scan <= Instant::now() {
                break;
            }
        }
        Ok(bytes)
    }

    /// A truncated file is a new generation under the same identity.
    fn begin_again(&mut self, id: FileId) -> Result<(), Closed> {
        let Some(old) = self.tails.remove(&id) else { return Ok(()) };
        self.close(&old, Rest::IsGone)?;
        let position = FilePosition::start(id, old.path(), self.context.clock.now());
        let tail = self.tail(id, old.path().to_owned(), old.handle(), position);
        self.tails.insert(id, tail);
        Ok(())
    }

    /// Finds new files, and files that are no longer where they were.
    fn scan(&mut self) -> Result<(), Closed> {
        let mut present = HashSet::new();
        // Watched before they are looked through: a container may live no longer than until the next look.
        for folder in self.containers.as_mut().map(docker::Files::look).unwrap_or_default() {
            self.watch.add(&folder);
        }
        for path in self.disk.find(&self.config.paths, &self.config.exclude) {
            if path.starts_with(&self.tagging.state_dir) {
                continue;
            }
            match self.look_at(&path) {
                Ok(Some(id)) => {
                    present.insert(id);
                    self.complained.remove(&path);
                }
                Ok(None) => {}
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => {
                    if self.complained.insert(path.clone()) {
                        warn!(path = %path.display(), error = %error, "cannot open file, trying again");
                    }
                }
            }
        }
        for folder in self.disk.folders(&self.config.paths) {
            self.watch.add(&folder);
        }
        for (id, tail) in &mut self.tails {
            tail.set_present(present.contains(id));
        }
        if let Some(containers) = &mut self.containers {
            containers.looked();
        }
        // From the end on, so that a slow look leaves time for reading.
        self.next_scan = Instant::now() + self.config.scan;
        Ok(())
    }

    /// Opens a file unless it is open already. `None` if it is no regular file.
    fn look_at(&mut self, path: &Path) -> io::Result<Option<FileId>> {
        let Some(id) = self.disk.identify(path)? else { return Ok(None) };
        if let Some(tail) = self.tails.get_mut(&id) {
            if tail.path() != path && !tail.is_at_its_path(self.disk.as_ref()) {
                debug!(from = %tail.path().display(), to = %path.display(), "file was renamed");
                tail.set_path(path);
            }
            return Ok(Some(id));
        }
        if self.is_left_out(path) {
            return Ok(None);
        }
        let Some((handle, id)) = self.disk.open(path)? else { return Ok(None) };
        if self.tails.contains_key(&id) {
            // Renamed between the two looks.
            return Ok(Some(id));
        }
        self.watch.add(path.parent().unwrap_or(Path::new("/")));
        let handle: Arc<dyn Handle> = Arc::from(handle);
        let position = self
            .unclaimed
            .remove(&id.key())
            .filter(|position| {
                let matches = position.matches(handle.as_ref());
                if !matches {
                    info!(path = %path.display(), "file is not the one read before, reading it from its start");
                }
                matches
            })
            .unwrap_or_else(|| FilePosition::start(id, path, self.context.clock.now()));
        debug!(path = %path.display(), at = position.offset, "following file");
        let tail = self.tail(id, path.to_owned(), handle, position);
        self.tails.insert(id, tail);
        Ok(Some(id))
    }

    /// Files that were rotated out of the globs while the agent was away are read to their end; positions of files
    /// that are gone are forgotten. What cannot be looked at now, as on a volume that is not mounted yet, waits.
    fn finish_rotated(&mut self) -> Result<(), Closed> {
        for (key, position) in std::mem::take(&mut self.unclaimed) {
            let id = position.id();
            let folder = position.path().parent().map(Path::to_owned).unwrap_or_default();
            let opened = match self.disk.find_by_id(&folder, id) {
                Ok(Some(path)) => self.disk.open(&path).map(|opened| opened.map(|(handle, _)| (path, handle))),
                Ok(None) => Ok(None),
                Err(error) => Err(error),
            };
            match opened {
                // Its container is not known yet, or is not wanted any more.
                Ok(Some((path, _))) if self.is_left_out(&path) => {
                    self.unclaimed.insert(key, position);
                }
                Ok(Some((path, handle))) if position.matches(handle.as_ref()) => {
                    info!(path = %path.display(), at = position.offset, "reading the rest of a rotated file");
                    let mut tail = self.tail(id, path, Arc::from(handle), position);
                    tail.set_present(false);
                    self.tails.insert(id, tail);
                }
                Ok(_) => self.forget(key)?,
                Err(_) if self.containers.as_ref().is_some_and(|all| all.is_removed(&position.path())) => {
                    self.forget(key)?;
                }
                Err(error) => {
                    debug!(path = %position.path().display(), error = %error, "cannot look for a file read before");
                    self.unclaimed.insert(key, position);
                }
            }
        }
        Ok(())
    }

    /// Closes files that have gone from the globs and have been silent long enough.
    fn retire(&mut self) -> Result<(), Closed> {
        let gone: Vec<FileId> = self
            .tails
            .iter()
            .filter(|(_, tail)| tail.is_finished(self.config.rotate_grace))
            .map(|(id, _)| *id)
            .collect();
        for id in gone {
            if let Some(tail) = self.tails.remove(&id) {
                let rest = if tail.is_unlinked() { Rest::IsGone } else { Rest::IsKept };
                debug!(path = %tail.path().display(), "file has been rotated away and read to its end");
                self.close(&tail, rest)?;
            }
        }
        Ok(())
    }

    /// Whether it is the log of a container that is not to be read.
    fn is_left_out(&mut self, path: &Path) -> bool {
        let containers = self.containers.as_mut().filter(|containers| containers.has(path));
        containers.is_some_and(|containers| containers.tags(path).is_none())
    }

    fn tail(&mut self, id: FileId, path: PathBuf, handle: Arc<dyn Handle>, position: FilePosition) -> Tail {
        let has_hints = self.watch.works_for(&path);
        let tags = self.containers.as_mut().filter(|containers| containers.has(&path));
        let (kind, format, tags) = match tags.and_then(|containers| containers.tags(&path)) {
            Some(tags) => (SourceKind::Docker, Format::Docker, tags),
            None => (SourceKind::File, self.config.format, self.tags(&path)),
        };
        let tally = self.context.ledger.open(kind, &tags.name);
        let bookmark = Arc::new(bookmark::FileBookmark::new(position.clone(), Arc::clone(&handle)));
        let origin = Origin::wrapped(
            Stream {
                key: id.key(),
                kind,
                identity: &[&self.tagging.agent_id, b"file", id.key().as_bytes(), &position.generation.to_le_bytes()],
                resource: tags.resource,
                attributes: tags.attributes,
                level: tags.level,
                tally,
                bookmark: Arc::clone(&bookmark) as _,
            },
            format,
            position.read_to(),
        );
        Tail::new(origin, bookmark, handle, path, position.offset, has_hints)
    }

    /// What the lines of an ordinary file are tagged with.
    fn tags(&self, path: &Path) -> docker::Tags {
        let mut attributes = bookmark::attributes(&self.tagging.attributes, path);
        container::attributes(&mut attributes, path, &self.disk.resolve(path));
        let (resource, level) = (Arc::clone(&self.tagging.resource), self.tagging.level);
        docker::Tags { name: path.display().to_string(), resource, attributes, level }
    }

    fn close(&self, tail: &Tail, rest: Rest) -> Result<(), Closed> {
        if rest == Rest::IsGone {
            tail.bookmark().forget();
        }
        let origin = tail.origin();
        self.send(Chunk::closing(Arc::clone(origin), tail.offset(), self.context.clock.now()))?;
        self.context.ledger.close(&origin.tally);
        Ok(())
    }

    fn forget(&self, key: String) -> Result<(), Closed> {
        self.send(Chunk::forgetting(key, SourceKind::File, self.context.clock.now()))
    }

    fn send(&self, chunk: Chunk) -> Result<(), Closed> {
        self.runtime.block_on(self.context.intake.send(Input::Chunk(chunk)))
    }

    fn next_look(&self) -> Instant {
        self.tails.values().map(Tail::next_look).min().unwrap_or(self.next_scan).min(self.next_scan)
    }
}

/// Whether a file that is closed may be read again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Rest {
    /// It still exists: its position is kept.
    IsKept,
    /// It does not: its position is forgotten.
    IsGone,
}

#[cfg(test)]
mod tests;
