//! Files by glob: found, followed through rotation, read again from where the queue says.
//!
//! One thread reads all files in turn. The kernel's hints (inotify on the folders) say where to look first, and lead
//! straight to the file, or to the folder that has come (`watch.rs`, `moves.rs`). Looking at each file and walking
//! through the globs now and then is what decides, since hints are missing on network file systems and get lost;
//! where there are hints, both are seldom.
//!
//! Most of many files are idle. Beyond a number they are closed and sleep: a path, a position and the last bytes
//! (`tail.rs`), until they change.

mod bookmark;
mod config;
mod container;
mod disk;
mod drain;
mod find;
mod globs;
mod identity;
mod limit;
mod moves;
mod stream;
mod tail;
mod tails;
mod watch;

pub use config::Config;
pub use disk::{Disk, Entry, Extent, Handle, Kind, RealDisk};
pub use identity::FileId;

use std::{
    collections::{BTreeMap, HashSet},
    io,
    path::{Path, PathBuf},
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};

use tokio::runtime;
use tracing::{debug, warn};

use crate::record::{Chunk, Input, ReadTo, Resource, Severity, SourceKind};

use super::{Closed, Context, docker};
use bookmark::FilePosition;
use find::{Access, Unclaimed};
use globs::Globs;
use tail::{Awake, Tail, Turn};
use tails::{Slot, Tails};
use watch::Watch;

/// The pause after reading little, so that a busy writer does not wake us for each line.
const BREATH: Duration = Duration::from_millis(50);
/// A file that has long been idle is looked at this seldom where the kernel tells of changes.
const IDLE_LOOK: Duration = Duration::from_secs(30);
/// A file that cannot be read is tried this seldom.
const FAILED_LOOK: Duration = Duration::from_secs(5);
/// How long the thread sleeps at most if nothing can wake it for a stop.
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
    /// Files that this process writes its own messages into.
    own_output: Vec<FileId>,
    disk: Arc<dyn Disk>,
    runtime: runtime::Handle,
    globs: Arc<Globs>,
    tails: Tails,
    /// How many files may be open.
    max_open: usize,
    watch: Watch,
    /// Positions, of the last run of the agent or of this one, of files that the globs do not lead to.
    unclaimed: BTreeMap<String, Unclaimed>,
    complained: HashSet<PathBuf>,
    /// Number of the last walk through the globs.
    walks: u32,
    /// What stood where the globs begin when they were last walked through.
    roots: Vec<Option<(u64, u64)>>,
    next_walk: Instant,
    /// When to compare `roots` with what stands there then.
    next_check: Instant,
    next_search: Instant,
    next_closing: Instant,
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
                Ok(position) => Some((key.clone(), Unclaimed::new(position))),
                Err(error) => {
                    warn!(key, error = %error, "a file's position cannot be read, the file is read from its start");
                    None
                }
            })
            .collect();
        let now = Instant::now();
        Self {
            globs: Arc::new(Globs::new(&config.paths, &config.exclude, &tagging.state_dir)),
            max_open: config.max_open,
            config,
            context,
            tagging,
            containers: None,
            own_output: Vec::new(),
            disk,
            runtime,
            tails: Tails::new(),
            watch: Watch::new(),
            unclaimed,
            complained: HashSet::new(),
            walks: 0,
            roots: Vec::new(),
            next_walk: now,
            next_check: now,
            next_search: now,
            next_closing: now,
        }
    }

    /// Leaves out the files that this process itself prints into. A message about one of them would make another.
    #[must_use]
    pub fn without_own_output(mut self) -> Self {
        // One that is no regular file, or closed, is in no glob.
        let look = |name| self.disk.look(Path::new(name)).ok().flatten().map(|(id, _)| id);
        self.own_output = ["/proc/self/fd/1", "/proc/self/fd/2"].into_iter().filter_map(look).collect();
        self
    }

    /// Follows the files. Blocks; meant for a thread of its own. Ends when the stop is thrown and all is read, or
    /// when the pipeline has gone.
    pub fn run(mut self) {
        // The pipeline ends first only when it failed, and it has said so itself.
        let _: Result<(), Closed> = self.follow();
    }

    fn follow(&mut self) -> Result<(), Closed> {
        self.max_open = limit::open_files(self.config.max_open);
        self.ring_at_stop();
        self.walk();
        self.finish_rotated()?;
        let mut is_stirred = true;
        while !self.context.stop.is_thrown() {
            let bytes = self.read_due()?;
            self.retire()?;
            if bytes < tail::CHUNK_BYTES && (bytes > 0 || is_stirred) {
                self.watch.pause(self.next_occasion().min(Instant::now() + BREATH));
            }
            let until = self.next_occasion();
            let tails = &mut self.tails;
            let mut grown = 0;
            let changes = self.watch.wait(until, |path| {
                grown += 1;
                tails.grown(path);
            });
            is_stirred = grown > 0 || !changes.names.is_empty();
            self.see_to(&changes);
            self.walk_if_due();
            if self.next_search <= Instant::now() {
                self.finish_rotated()?;
            }
        }
        self.drain()
    }

    /// Ends waits once the stop is thrown. The task ends then as well, or with the runtime.
    fn ring_at_stop(&self) {
        let Some(bell) = self.watch.bell() else { return };
        let mut stop = self.context.stop.clone();
        self.runtime.spawn(async move {
            stop.thrown().await;
            // It can hold more rings than anybody will give.
            let _ = rustix::io::write(bell.as_ref(), &1_u64.to_ne_bytes());
        });
    }

    /// When there is something to do, whatever is told until then.
    fn next_occasion(&self) -> Instant {
        let mut next = self.next_walk.min(self.next_check).min(self.next_search);
        if let Some(look) = self.tails.next_look() {
            next = next.min(look);
        }
        if self.watch.bell().is_none() {
            next = next.min(Instant::now() + LONGEST_SLEEP);
        }
        next
    }

    /// Reads files that are due, in turn, until each has been read to its end once, or for a while: hints wait
    /// meanwhile, and one that never ends must not hide new ones. Returns the bytes read.
    fn read_due(&mut self) -> Result<usize, Closed> {
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
    fn take_turn(&mut self, slot: Slot) -> Result<(usize, bool), Closed> {
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
                self.failed(slot, &error);
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
            Turn::Replaced { lost_bytes } => {
                warn!(path = %tail.path().display(), lost_bytes, "file was truncated, reading it again from its start");
                if let Some(awake) = tail.awake() {
                    awake.origin.tally.bytes_lost.fetch_add(lost_bytes, Ordering::Relaxed);
                }
                self.begin_again(slot)?;
            }
            Turn::Failed(error) => self.failed(slot, &error),
        }
        Ok((0, false))
    }

    /// Looks at a file again after a pause. Looking is what decides; hints only let it be seldom.
    fn rest(&mut self, slot: Slot) {
        let Some(tail) = self.tails.get(slot) else { return };
        let has_hints = tail.has_one_name && tail.is_present() && self.watch.works_for(tail.path());
        let longest = if has_hints { IDLE_LOOK } else { self.config.poll };
        self.tails.rest(slot, self.config.poll, longest.max(self.config.poll));
    }

    fn failed(&mut self, slot: Slot, error: &io::Error) {
        let Some(tail) = self.tails.get_mut(slot) else { return };
        if tail.fails_anew() {
            warn!(path = %tail.path().display(), error = %error, "cannot read file, trying again");
        }
        self.tails.rest(slot, self.config.poll, FAILED_LOOK);
    }

    /// A truncated file is a new generation under the same identity.
    fn begin_again(&mut self, slot: Slot) -> Result<(), Closed> {
        let Some(old) = self.tails.remove(slot) else { return Ok(()) };
        self.close(&old, Rest::IsGone)?;
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
    fn retire(&mut self) -> Result<(), Closed> {
        let is_finished =
            |slot: &Slot| self.tails.get(*slot).is_some_and(|tail| tail.is_finished(self.config.rotate_grace));
        let gone: Vec<Slot> = self.tails.absent().iter().copied().filter(is_finished).collect();
        for slot in gone {
            if let Some(tail) = self.tails.remove(slot) {
                debug!(path = %tail.path().display(), "file has been rotated away and read to its end");
                let left = tail.awake().filter(|awake| !awake.handle.is_unlinked());
                let rest = if left.is_some() { Rest::IsKept } else { Rest::IsGone };
                self.remember(tail.id(), left.and_then(|awake| awake.bookmark.position(ReadTo::whole(tail.offset()))));
                self.close(&tail, rest)?;
            }
        }
        Ok(())
    }

    fn close(&self, tail: &Tail, rest: Rest) -> Result<(), Closed> {
        let Some(Awake { origin, bookmark, .. }) = tail.awake() else {
            // All of it is in the queue, its position included.
            return if rest == Rest::IsGone { self.forget(tail.id().key()) } else { Ok(()) };
        };
        if rest == Rest::IsGone {
            bookmark.forget();
        }
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
