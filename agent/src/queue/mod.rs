//! Stage 5: what has to survive, on disk.
//!
//! Opaque bytes in order: one writer appends, several destinations read, each at its own pace. This folder knows
//! nothing else of runlog.
//!
//! # Goals
//!
//! - The queue is the checkpoint. An [`Entry`] holds a body and the positions of the sources after it, so that the
//!   two cannot disagree, whatever happens between two instructions.
//! - Only what is durable is given to a destination, so that it is the same, byte for byte, when given again.
//! - A destination that is down holds up no other; space is given back when all have acknowledged.
//! - What is damaged costs itself alone. It is counted and passed by, and never given out as if it were whole.
//! - Memory does not grow with the backlog: of what is durable, only the newest few entries are kept (`fresh.rs`).
//!
//! # Not goals
//!
//! - Several processes on one directory: the second is refused.
//! - Exactly once. What was given and is not durably acknowledged is given again after a restart.
//! - Searching, compressing, knowing what a body means.
//!
//! # The bytes
//!
//! A directory of segments, `<number>.segment`, and a `lock`. A segment is a header (`segment.rs`) and frames
//! (`frame.rs`, `payload.rs`); the first frame is a snapshot of all positions and all cursors, so that no older
//! segment is needed for them. A segment is only ever appended to. Each start and each failure begins another one;
//! so does a segment that has reached its size, after everything in it is durable. A segment is removed when every
//! destination has acknowledged, durably, all of its entries.
//!
//! # What survives a crash
//!
//! Everything up to the last group commit (one `fdatasync` a linger), wherever the process is killed or the power
//! cut, recovery itself included. A cursor alone is in no such hurry: it goes with the next commit, or after
//! `CURSOR_PAUSE`, since what it proves is only that something need not be sent again. Of what came after it, a prefix:
//! an entry with its positions, or neither, and none without those before it. What a start finds and cannot prove to be durable it writes again (`replay.rs`).
//! If a sync fails, its file is never synced again (the kernel may have dropped the pages and would report success);
//! the frames since the last good sync are still in memory and are written to a new segment.
//!
//! Files that somebody removes while they are in use are written again (`gone.rs`). A disk that is full is emptied
//! with a reserve that is kept for that (`room.rs`). With `SyncPolicy::Never` all this holds for a killed process, and a
//! power cut takes what the kernel has not written.

mod commit;
mod config;
mod entry;
mod frame;
mod fresh;
mod gone;
mod image;
mod log;
mod payload;
mod reader;
mod recover;
mod replay;
mod report;
mod room;
mod segment;
mod state;
mod storage;
#[cfg(test)]
mod tests;
mod volume;

use std::{
    collections::BTreeMap,
    io,
    path::{Path, PathBuf},
    sync::{Arc, PoisonError},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

pub use config::{Config, SyncPolicy};
pub use entry::{Appended, Entry, Full, Seq, Stored};
pub use reader::Reader;
pub use report::{Pending, Recovery, Stats};
pub use storage::{Disk, Lock, Storage, StoredFile};
pub use volume::{Medium, Volume};

use log::{Log, Writer, lock};
use state::State;

/// Why a queue could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process has it.
    #[error("queue {} is in use by {}", dir.display(), holder(*pid))]
    Locked {
        /// The queue's directory.
        dir: PathBuf,
        /// The other process, if it could be told.
        pid: Option<u32>,
    },
    /// A later version of runlog has written to it. Nothing was changed.
    #[error("segment {} has format version {version}, which is newer than this binary; run the newer one, or empty the queue with it", path.display())]
    Newer {
        /// The segment.
        path: PathBuf,
        /// Its version.
        version: u64,
    },
    /// Another machine holds the files.
    #[error("{} is on a network file system, which may lose what it calls durable", dir.display())]
    Network {
        /// The queue's directory.
        dir: PathBuf,
    },
    /// A file or the directory cannot be used.
    #[error("cannot use {}", path.display())]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
}

/// Whoever holds a lock, in words.
#[must_use]
pub fn holder(pid: Option<u32>) -> String {
    pid.map_or_else(|| "another process".to_owned(), |pid| format!("process {pid}"))
}

/// Why an entry can never be appended.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AppendError {
    /// It is larger than this queue takes.
    #[error("entry of {bytes} bytes is larger than the {limit} that the queue takes")]
    TooLarge {
        /// Its bytes on disk.
        bytes: u64,
        /// The most that would be taken.
        limit: u64,
    },
    /// It has a new key, and there are too many already.
    #[error("the positions of all streams have reached {limit} bytes")]
    TooManyPositions {
        /// The most that all positions may take.
        limit: usize,
    },
    /// The queue was closed before.
    #[error("the queue is closed")]
    Closed,
}

/// Why entries are not durable. They are kept, and the committer goes on trying.
#[derive(Debug, thiserror::Error)]
#[error("cannot make {} durable", path.display())]
pub struct SyncError {
    /// The segment.
    pub path: PathBuf,
    /// What the system says.
    pub source: io::Error,
}

/// A reader was asked for that the queue was not opened with.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the queue knows no destination {0:?}")]
pub struct UnknownDestination(pub String);

/// The durable queue. Clones are the same queue.
///
/// When the last clone and the last [`Reader`] are gone, what was appended and acknowledged is made durable, which
/// may wait for the disk, and the directory is free for another process.
#[derive(Clone)]
pub struct Queue {
    handle: Arc<Handle>,
}

struct Handle {
    log: Arc<Log>,
    /// Runs until the handle is dropped, which awaits it.
    committer: Option<JoinHandle<()>>,
    /// Freed after everything else.
    _lock: Box<dyn Send + Sync>,
}

impl Drop for Handle {
    fn drop(&mut self) {
        lock(&self.log.state).ended = true;
        self.log.wake.notify_one();
        if let Some(committer) = self.committer.take() {
            // It cannot be told any more if it panicked; what was durable is so still.
            let _ = committer.join();
        }
        *lock(&self.log.second_lock) = None;
    }
}

impl Queue {
    /// Opens the queue in `dir`, making it if there is none, and reads what is there.
    ///
    /// `destinations` are all that will read; what only others have not acknowledged is free to go. A new one begins
    /// with the oldest entry that is there. What is appended is durable after at most `linger` and one sync.
    ///
    /// # Errors
    /// See [`OpenError`]. A full disk is not among them: the queue opens, so that it can be emptied.
    pub fn open(
        dir: &Path,
        config: &Config,
        destinations: &[&str],
        storage: Arc<dyn Storage>,
        linger: Duration,
    ) -> Result<(Self, Recovery), OpenError> {
        let fault = |source| OpenError::Io { path: dir.to_owned(), source };
        storage.create_dir(dir).map_err(fault)?;
        let medium = storage.volume(dir).map_err(fault)?.medium;
        if medium == Medium::Network && !config.allow_network_fs {
            return Err(OpenError::Network { dir: dir.to_owned() });
        }
        let guard = match storage.lock(&dir.join("lock")).map_err(fault)? {
            Lock::Ours(guard) => guard,
            Lock::Theirs(pid) => return Err(OpenError::Locked { dir: dir.to_owned(), pid }),
        };
        let found = recover::recover(&*storage, dir, destinations)?;
        let log = found.log;
        let writer = Writer {
            active: None,
            next_number: found.next_number,
            next_seq: log.next_seq,
            image: log.image,
            unsynced: log.unsynced,
            failing: false,
            is_removed: false,
        };
        let mut state = State {
            destinations: found.destinations,
            appended: log.next_seq.before(),
            durable: writer.unsynced.front().map_or(log.next_seq, |frame| frame.seq).before(),
            unsynced_bytes: writer.unsynced.iter().map(frame::Frame::bytes).sum(),
            damaged_frames: log.damage.len() as u64,
            damage: log.damage,
            ..State::default()
        };
        log.segments.into_iter().for_each(|segment| state.add_segment(segment));
        let log = Arc::new(Log::new(storage, dir, found.id, config, writer, state));
        log.survey();
        match log.commit() {
            Err(SyncError { path, source }) if !storage::is_no_room(&source) => {
                return Err(OpenError::Io { path, source });
            }
            _ => {}
        }
        let committer = thread::Builder::new()
            .name("queue".into())
            .spawn({
                let log = Arc::clone(&log);
                move || commit::run(&log, linger)
            })
            .map_err(fault)?;
        Ok((Self { handle: Arc::new(Handle { log, committer: Some(committer), _lock: guard }) }, found.report))
    }

    /// Random, and the same as long as the directory has a segment and no number of an entry is given again: with
    /// [`SyncPolicy::Never`], until the machine is started again.
    #[must_use]
    pub fn id(&self) -> [u8; 16] {
        let log = &self.handle.log;
        if log.sync == SyncPolicy::Never {
            let boot = log.storage.boot();
            return std::array::from_fn(|at| log.id[at] ^ boot[at]);
        }
        log.id
    }

    /// The newest position of each key, of entries that are not durable yet as well.
    #[must_use]
    pub fn positions(&self) -> BTreeMap<String, Vec<u8>> {
        self.handle.log.image().positions
    }

    /// Adds an entry to the log. Writes, but does not wait for the disk, except with [`SyncPolicy::Batch`].
    ///
    /// # Errors
    /// See [`AppendError`]: a disk that fails is not among them, since an entry that cannot be written is kept in
    /// memory and written again.
    pub fn append(&self, entry: &Entry<'_>) -> Result<Appended, AppendError> {
        let log = &self.handle.log;
        let appended = log.append(entry)?;
        if log.sync == SyncPolicy::Batch && matches!(appended, Appended::At(_)) {
            // If it fails, the committer goes on trying, and nobody is given the entry before.
            let _ = log.commit();
        }
        Ok(appended)
    }

    /// Makes everything durable that was appended, without lingering. Waits for the disk. Returns the newest durable entry.
    ///
    /// # Errors
    /// See [`SyncError`].
    pub fn sync(&self) -> Result<Seq, SyncError> {
        self.handle.log.commit()
    }

    /// Asks for a commit without lingering, and does not wait for it.
    pub fn hurry(&self) {
        let log = &self.handle.log;
        let mut state = lock(&log.state);
        if state.durable < state.appended {
            state.hurry();
            log.wake.notify_one();
        }
    }

    /// Waits until that entry and all before it are durable, as long as it takes. Cancel safe.
    pub async fn until_durable(&self, seq: Seq) {
        let log = &self.handle.log;
        let mut progress = log.progress.subscribe();
        while lock(&log.state).durable < seq {
            // The sender lives as long as this handle.
            let _ = progress.changed().await;
        }
    }

    /// Waits, after [`Appended::Full`], until the next commit, which may have made room, but not for longer than `at_most`.
    pub fn wait_for_room(&self, at_most: Duration) {
        let log = &self.handle.log;
        let until = Instant::now() + at_most;
        let mut state = lock(&log.state);
        let commits = state.commits;
        while state.commits == commits && state.full.is_some() {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            state = log.room.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// The end of the queue that a destination reads from.
    ///
    /// # Errors
    /// [`UnknownDestination`] if the queue was not opened with it.
    pub fn reader(&self, destination: &str) -> Result<Reader, UnknownDestination> {
        let acknowledged = lock(&self.handle.log.state)
            .destinations
            .get(destination)
            .ok_or_else(|| UnknownDestination(destination.to_owned()))?
            .acknowledged;
        Ok(Reader::new(Arc::clone(&self.handle), destination.to_owned(), acknowledged))
    }

    /// How the queue is doing.
    #[must_use]
    pub fn stats(&self) -> Stats {
        let log = &self.handle.log;
        lock(&log.state).stats(log.storage.now(), log.max_bytes)
    }

    /// Whether nothing becomes durable by itself any more, because the queue's thread has panicked.
    #[must_use]
    pub fn has_failed(&self) -> bool {
        self.handle.committer.as_ref().is_some_and(JoinHandle::is_finished)
    }

    /// Whether a destination has acknowledged that entry and all before it. One that is not known has.
    #[must_use]
    pub fn has_acknowledged(&self, destination: &str, seq: Seq) -> bool {
        let state = lock(&self.handle.log.state);
        state.destinations.get(destination).is_none_or(|known| known.acknowledged >= seq || known.pending_entries == 0)
    }

    /// Whether every destination has acknowledged every entry.
    #[must_use]
    pub fn is_drained(&self) -> bool {
        lock(&self.handle.log.state).destinations.values().all(|known| known.pending_entries == 0)
    }

    /// Ends the queue: nothing more is appended, and readers end after the last entry. Acknowledging goes on.
    pub fn close(&self) {
        // No append is half done while this is held.
        let _writer = lock(&self.handle.log.writer);
        let mut state = lock(&self.handle.log.state);
        state.closed = true;
        state.hurry();
        self.handle.log.wake.notify_one();
        drop(state);
        self.handle.log.progress.send_replace(());
    }
}
