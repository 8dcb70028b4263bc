//! A disk in memory that fails when it is told to, and that can be cut off from its power.

mod file;

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    path::{Path, PathBuf},
    sync::{Arc, Condvar, Mutex},
};

use super::{
    super::volume::{Medium, Volume},
    Lock, Storage, StoredFile,
};
use file::SimFile;

/// The disk. Clones are the same disk; [`Sim::killed`] and [`Sim::without_power`] make another that nobody has open.
#[derive(Clone, Default)]
pub(in crate::queue) struct Sim {
    world: Arc<Mutex<World>>,
    /// Whether syncs wait.
    slow: Arc<(Mutex<bool>, Condvar)>,
}

#[derive(Clone, Default)]
struct World {
    names: BTreeMap<PathBuf, usize>,
    durable_names: BTreeMap<PathBuf, usize>,
    name_changes: Vec<NameChange>,
    inodes: Vec<Inode>,
    operations: u64,
    fault: Option<Fault>,
    failed: BTreeSet<&'static str>,
    read_bytes: u64,
    capacity: Option<u64>,
    total_bytes: Option<u64>,
    max_files: Option<usize>,
    medium: Option<Medium>,
    is_locked: bool,
    time: u64,
    boots: u8,
}

#[derive(Clone)]
enum NameChange {
    Link(PathBuf, usize),
    Unlink(PathBuf),
}

#[derive(Clone, Default)]
struct Inode {
    /// What reading sees.
    content: Vec<u8>,
    /// What is on the disk for sure.
    synced: Vec<u8>,
    /// What may be on the disk as well, or some of it.
    changes: Vec<Change>,
}

#[derive(Clone)]
enum Change {
    Write(u64, Vec<u8>),
    Length(u64),
}

/// Which operation fails, and how.
#[derive(Debug, Clone, Copy)]
pub(in crate::queue) struct Fault {
    /// The first operation that fails, counted from 0 when the fault is set.
    pub at: u64,
    /// How many fail from there on.
    pub times: u64,
    pub kind: FaultKind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::queue) enum FaultKind {
    /// The disk is broken. Half of a write arrives; a failed sync drops what it should have made durable.
    Broken,
    /// The disk is full. Half of a write arrives.
    Full,
    /// The disk may not be written to any more. Nothing arrives, and reading goes on.
    ReadOnly,
    /// A call is interrupted and may be repeated.
    Interrupted,
    /// A write or a read does half of what was asked, without an error.
    Short,
}

impl Sim {
    /// Lets operations fail from now on.
    pub(in crate::queue) fn fail(&self, fault: Fault) {
        let mut world = self.world();
        world.operations = 0;
        world.fault = Some(fault);
    }

    /// Operations since the fault was set; no more fail.
    pub(in crate::queue) fn heal(&self) -> u64 {
        let mut world = self.world();
        world.fault = None;
        world.operations
    }

    /// The operations that have failed at least once, by name.
    pub(in crate::queue) fn failed(&self) -> BTreeSet<&'static str> {
        self.world().failed.clone()
    }

    /// Bytes that were read so far.
    pub(in crate::queue) fn read_bytes(&self) -> u64 {
        self.world().read_bytes
    }

    /// Sets how many bytes fit; `None` is no limit.
    pub(in crate::queue) fn set_capacity(&self, bytes: Option<u64>) {
        self.world().capacity = bytes;
    }

    /// Sets how large the disk says that it is.
    pub(in crate::queue) fn set_total(&self, bytes: u64) {
        self.world().total_bytes = Some(bytes);
    }

    /// Sets how many files there may be; `None` is no limit.
    pub(in crate::queue) fn set_inodes(&self, files: Option<usize>) {
        self.world().max_files = files;
    }

    /// Sets what the disk is, instead of a disk.
    pub(in crate::queue) fn set_medium(&self, medium: Medium) {
        self.world().medium = Some(medium);
    }

    /// Sets the clock, forward or back.
    pub(in crate::queue) fn set_time(&self, nanos: u64) {
        self.world().time = nanos;
    }

    /// Bytes of all files.
    pub(in crate::queue) fn used(&self) -> u64 {
        self.world().used()
    }

    /// Lets every sync wait until it is called again with `false`.
    pub(in crate::queue) fn set_slow(&self, is_slow: bool) {
        *self.slow.0.lock().unwrap() = is_slow;
        self.slow.1.notify_all();
    }

    /// Somebody removes the directory with all that is in it. Files that are open can be used still.
    pub(in crate::queue) fn remove_directory(&self) {
        let mut world = self.world();
        world.names.clear();
        world.durable_names.clear();
        world.name_changes.clear();
        world.is_locked = false;
    }

    /// The disk after the process was killed: everything written is there, if not on the disk.
    pub(in crate::queue) fn killed(&self) -> Self {
        let mut world = self.world().clone();
        world.is_locked = false;
        world.fault = None;
        Self { world: Arc::new(Mutex::new(world)), slow: Arc::default() }
    }

    /// The disk after a power cut. `choose(n)` answers a number below n; it decides what of that which was not synced
    /// is there: names up to one of their changes, and of each write all, nothing, or the beginning.
    pub(in crate::queue) fn without_power(&self, mut choose: impl FnMut(usize) -> usize) -> Self {
        let killed = self.killed();
        let mut world = killed.world();
        world.boots += 1;
        let kept = choose(world.name_changes.len() + 1);
        let changes: Vec<_> = world.name_changes.drain(..).take(kept).collect();
        world.names = changes.into_iter().fold(std::mem::take(&mut world.durable_names), apply_name);
        world.durable_names = world.names.clone();
        for inode in &mut world.inodes {
            for change in inode.changes.drain(..) {
                match (choose(3), change) {
                    (0, _) => {}
                    (1, Change::Write(offset, bytes)) => {
                        let kept = choose(bytes.len() + 1);
                        Change::Write(offset, bytes[..kept].to_vec()).apply(&mut inode.synced);
                    }
                    (_, change) => change.apply(&mut inode.synced),
                }
            }
            inode.content = inode.synced.clone();
        }
        drop(world);
        killed
    }

    /// The files there are, with their bytes.
    pub(in crate::queue) fn files(&self) -> BTreeMap<PathBuf, Vec<u8>> {
        let world = self.world();
        world.names.iter().map(|(path, inode)| (path.clone(), world.inodes[*inode].content.clone())).collect()
    }

    /// Puts a file there, durably, as if somebody else had.
    pub(in crate::queue) fn put(&self, path: &Path, content: &[u8]) {
        let mut world = self.world();
        world.inodes.push(Inode { content: content.to_vec(), synced: content.to_vec(), changes: Vec::new() });
        let inode = world.inodes.len() - 1;
        world.names.insert(path.to_owned(), inode);
        world.durable_names.insert(path.to_owned(), inode);
    }

    fn world(&self) -> std::sync::MutexGuard<'_, World> {
        self.world.lock().unwrap()
    }
}

fn apply_name(mut names: BTreeMap<PathBuf, usize>, change: NameChange) -> BTreeMap<PathBuf, usize> {
    match change {
        NameChange::Link(path, inode) => names.insert(path, inode),
        NameChange::Unlink(path) => names.remove(&path),
    };
    names
}

impl Change {
    fn apply(&self, content: &mut Vec<u8>) {
        match self {
            Self::Write(_, bytes) if bytes.is_empty() => {}
            Self::Write(offset, bytes) => {
                let start = *offset as usize;
                let end = start + bytes.len();
                content.resize(content.len().max(end), 0);
                content[start..end].copy_from_slice(bytes);
            }
            Self::Length(length) => content.resize(*length as usize, 0),
        }
    }
}

impl World {
    /// Counts an operation and says whether it is to fail.
    fn operate(&mut self, name: &'static str) -> Option<FaultKind> {
        let number = self.operations;
        self.operations += 1;
        let fault = self.fault.filter(|fault| number >= fault.at && number - fault.at < fault.times)?;
        let only_reads = matches!(name, "list" | "volume" | "length" | "read_at" | "is_at");
        (!only_reads || fault.kind != FaultKind::ReadOnly).then(|| {
            self.failed.insert(name);
            fault.kind
        })
    }

    fn operate_or_fail(&mut self, name: &'static str) -> io::Result<()> {
        self.operate(name).map_or(Ok(()), FaultKind::fail)
    }

    fn change_name(&mut self, change: NameChange) {
        self.names = apply_name(std::mem::take(&mut self.names), change.clone());
        self.name_changes.push(change);
    }

    fn free_bytes(&self) -> u64 {
        self.capacity.map_or(u64::MAX, |capacity| capacity.saturating_sub(self.used()))
    }

    fn used(&self) -> u64 {
        self.names.values().map(|inode| self.inodes[*inode].content.len() as u64).sum()
    }
}

impl FaultKind {
    fn fail(self) -> io::Result<()> {
        match self {
            Self::Broken => Err(io::Error::from_raw_os_error(5)),
            Self::Full => Err(io::Error::from_raw_os_error(28)),
            Self::ReadOnly => Err(io::Error::from_raw_os_error(30)),
            Self::Interrupted | Self::Short => Ok(()),
        }
    }
}

impl Storage for Sim {
    fn create_dir(&self, _dir: &Path) -> io::Result<()> {
        self.world().operate_or_fail("create_dir")
    }

    fn lock(&self, _path: &Path) -> io::Result<Lock> {
        let mut world = self.world();
        world.operate_or_fail("lock")?;
        if std::mem::replace(&mut world.is_locked, true) {
            return Ok(Lock::Theirs(Some(std::process::id())));
        }
        Ok(Lock::Ours(Box::new(SimLock(self.clone()))))
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        let mut world = self.world();
        world.operate_or_fail("list")?;
        let files = world.names.keys().filter(|path| path.parent() == Some(dir));
        Ok(files.map(|path| path.file_name().unwrap().to_str().unwrap().to_owned()).collect())
    }

    fn create(&self, path: &Path) -> io::Result<Arc<dyn StoredFile>> {
        let mut world = self.world();
        world.operate_or_fail("create")?;
        if world.names.contains_key(path) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        if world.max_files.is_some_and(|most| world.names.len() >= most) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        world.inodes.push(Inode::default());
        let inode = world.inodes.len() - 1;
        world.change_name(NameChange::Link(path.to_owned(), inode));
        Ok(Arc::new(SimFile { sim: self.clone(), inode }))
    }

    fn open(&self, path: &Path) -> io::Result<Arc<dyn StoredFile>> {
        let mut world = self.world();
        world.operate_or_fail("open")?;
        let inode = *world.names.get(path).ok_or(io::ErrorKind::NotFound)?;
        Ok(Arc::new(SimFile { sim: self.clone(), inode }))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut world = self.world();
        world.operate_or_fail("rename")?;
        let inode = *world.names.get(from).ok_or(io::ErrorKind::NotFound)?;
        world.change_name(NameChange::Link(to.to_owned(), inode));
        world.change_name(NameChange::Unlink(from.to_owned()));
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let mut world = self.world();
        world.operate_or_fail("remove")?;
        world.names.get(path).ok_or(io::ErrorKind::NotFound)?;
        world.change_name(NameChange::Unlink(path.to_owned()));
        Ok(())
    }

    fn sync_dir(&self, _dir: &Path) -> io::Result<()> {
        let mut world = self.world();
        world.operate_or_fail("sync_dir")?;
        world.durable_names = world.names.clone();
        world.name_changes.clear();
        Ok(())
    }

    fn volume(&self, _dir: &Path) -> io::Result<Volume> {
        let mut world = self.world();
        world.operate_or_fail("volume")?;
        let total_bytes = world.total_bytes.unwrap_or(1 << 40);
        let medium = world.medium.unwrap_or(Medium::Disk);
        Ok(Volume { free_bytes: world.free_bytes(), total_bytes, medium })
    }

    fn boot(&self) -> [u8; 16] {
        [self.world().boots; 16]
    }

    fn now(&self) -> u64 {
        let mut world = self.world();
        world.time = world.time.saturating_add(1_000_000);
        world.time
    }

    fn unique(&self) -> [u8; 16] {
        (u128::from(self.now()) << 64).to_le_bytes()
    }
}

struct SimLock(Sim);

impl Drop for SimLock {
    fn drop(&mut self) {
        self.0.world().is_locked = false;
    }
}
