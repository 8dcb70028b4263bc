//! Files by glob: found, followed through rotation, read again from where the queue says.
//!
//! One thread reads all files in turn. The kernel's hints (inotify on the folders) say where to look first, and lead
//! straight to the file, or to the folder that has come (`watch.rs`, `moves.rs`). Looking at each file and walking
//! through the globs now and then is what decides, since hints are missing on network file systems and get lost;
//! where there are hints, both are seldom.
//!
//! Most of many files are idle. Beyond a number they are closed and sleep: a path, a position and the last bytes
//! (`tail.rs`), until they change.

mod blank;
mod bookmark;
mod config;
mod container;
mod copies;
mod disk;
mod drain;
mod ended;
mod find;
mod globs;
mod identity;
mod limit;
mod moves;
mod owners;
mod print;
mod rest;
mod stream;
mod tail;
mod tails;
mod turn;
mod unclaimed;
mod unpack;
mod watch;

pub use bookmark::paths_with_position;
#[cfg(test)]
pub use bookmark::position_of;
pub use config::Config;
pub use disk::{Disk, Entry, Extent, Handle, Kind, RealDisk, System};
pub use identity::FileId;
pub use owners::{Claim, Owners};

use std::{
    collections::HashSet,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::runtime;

use crate::record::{Chunk, Input, Resource, Severity, SourceKind};

use super::{Closed, Context};
use copies::Copies;
use globs::Globs;
use moves::Move;
use tail::{Awake, Tail};
use tails::Tails;
use unclaimed::AllUnclaimed;
use watch::Watch;

/// The pause after reading little, so that a busy writer does not wake us for each line.
const BREATH: Duration = Duration::from_millis(50);
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
    /// Those whose logs are tagged otherwise than other files.
    owners: Vec<Box<dyn Owners>>,
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
    unclaimed: AllUnclaimed,
    /// Files that are not followed, since they hold what another one holds.
    copies: Copies,
    /// What was found out about streams and is to be handed over next.
    outgoing: Vec<Input>,
    /// Paths that could not be opened.
    refused: HashSet<PathBuf>,
    /// Paths of logs of which it is not known yet whether they are read, or under which run.
    undecided: HashSet<PathBuf>,
    /// Files that came and have gone on before they were opened, and those that came with them.
    unopened: Vec<Move>,
    /// Number of the last walk through the globs.
    walks: u32,
    is_walking: bool,
    /// Whether the globs have led to a file.
    has_found: bool,
    /// What stood where the globs begin when they were last walked through.
    roots: Vec<Option<(u64, u64)>>,
    next_walk: Instant,
    /// When to compare `roots` with what stands there then.
    next_check: Instant,
    next_search: Instant,
    next_closing: Instant,
    next_copies: Instant,
    next_try: Instant,
    next_decision: Instant,
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
        let unclaimed = AllUnclaimed::of(&context.positions);
        let now = Instant::now();
        Self {
            globs: Arc::new(Globs::new(&config.paths, &config.exclude, &tagging.state_dir)),
            max_open: config.max_open,
            config,
            context,
            tagging,
            owners: Vec::new(),
            own_output: Vec::new(),
            disk,
            runtime,
            tails: Tails::new(),
            watch: Watch::new(),
            unclaimed,
            copies: Copies::default(),
            outgoing: Vec::new(),
            refused: HashSet::new(),
            undecided: HashSet::new(),
            unopened: Vec::new(),
            walks: 0,
            is_walking: false,
            has_found: false,
            roots: Vec::new(),
            next_walk: now,
            next_check: now,
            next_search: now,
            next_closing: now,
            next_copies: now,
            next_try: now,
            next_decision: now,
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
        self.finish_rotated();
        self.hand_over()?;
        let mut is_stirred = true;
        while !self.context.stop.is_thrown() {
            let bytes = self.read_due()?;
            self.retire()?;
            if bytes < tail::CHUNK_BYTES && (bytes > 0 || is_stirred) {
                self.watch.pause(self.next_occasion().min(Instant::now() + BREATH));
            }
            let until = self.next_occasion();
            let (tails, copies) = (&mut self.tails, &mut self.copies);
            let mut grown = 0;
            let changes = self.watch.wait(until, |path| {
                grown += 1;
                tails.grown(path);
                copies.grown(path);
            });
            is_stirred = grown > 0 || !changes.names.is_empty();
            self.see_to(&changes);
            self.see_to_containers()?;
            if self.watch.was_rung() {
                self.next_decision = Instant::now();
            }
            self.move_globs();
            self.walk_if_due();
            self.look_at_copies();
            self.try_refused();
            self.try_undecided();
            if self.next_search <= Instant::now() {
                self.finish_rotated();
            }
            self.hand_over()?;
        }
        self.drain()
    }

    /// Ends waits once the stop is thrown. The task ends then as well, or with the runtime.
    fn ring_at_stop(&mut self) {
        let Some(bell) = self.watch.bell() else { return };
        self.owners.iter_mut().for_each(|owners| owners.ring(Arc::clone(&bell)));
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
        if !self.copies.is_empty() {
            next = next.min(self.next_copies);
        }
        if !self.refused.is_empty() {
            next = next.min(self.next_try);
        }
        if !self.undecided.is_empty() {
            next = next.min(self.next_decision);
        }
        if self.watch.bell().is_none() {
            next = next.min(Instant::now() + LONGEST_SLEEP);
        }
        next
    }

    fn close(&self, tail: &Tail, rest: Rest) -> Result<(), Closed> {
        let Some(Awake { origin, .. }) = tail.awake() else {
            // All of it is in the queue, its position included.
            return if rest == Rest::IsGone { self.forget(tail.id().key()) } else { Ok(()) };
        };
        let (origin_of, now) = (Arc::clone(origin), self.context.clock.now());
        self.send(match rest {
            Rest::MayGrow => Chunk::stopping(origin_of, tail.offset(), now),
            Rest::IsKept | Rest::IsGone => Chunk::closing(origin_of, tail.offset(), now),
        })?;
        self.context.ledger.close(&origin.tally);
        // Behind its last lines, which are on their way still: without them its position would be missed.
        if rest == Rest::IsGone { self.send(Chunk::forgetting_behind(origin, now)) } else { Ok(()) }
    }

    fn forget(&self, key: String) -> Result<(), Closed> {
        self.send(Chunk::forgetting(key, SourceKind::File, self.context.clock.now()))
    }

    fn send(&self, chunk: Chunk) -> Result<(), Closed> {
        self.runtime.block_on(self.context.intake.send(Input::Chunk(chunk)))
    }

    /// Hands over what was found out while nothing could be handed over.
    fn hand_over(&mut self) -> Result<(), Closed> {
        let mut outgoing = std::mem::take(&mut self.outgoing).into_iter();
        outgoing.try_for_each(|input| self.runtime.block_on(self.context.intake.send(input)))
    }
}

/// Whether a file that is closed may be read again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Rest {
    /// It still exists: its position is kept.
    IsKept,
    /// It still exists, and may be written while nobody reads it.
    MayGrow,
    /// It does not: its position is forgotten.
    IsGone,
}

#[cfg(test)]
mod tests;
