//! The kernel's hints about folders. A hint that does not come costs time, never lines.

use std::{
    collections::HashMap,
    ffi::{OsStr, OsString},
    os::{
        fd::{AsFd, OwnedFd},
        unix::ffi::OsStrExt,
    },
    path::Path,
    sync::Arc,
    time::Instant,
};

use inotify::{Event, EventMask, Inotify, WatchDescriptor, WatchMask};
use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};
use tracing::warn;
use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

use super::{
    disk::{Disk, RealDisk, System, folder_of},
    globs::Interest,
};

const BUFFER_BYTES: usize = 16 * 1024;
/// Buffers that are read at most before what they told is seen to.
const BUFFERS_AT_ONCE: usize = 64;

/// Watches folders.
#[derive(Debug)]
pub struct Watch {
    inotify: Option<Inotify>,
    bell: Option<Arc<OwnedFd>>,
    folders: HashMap<Arc<Path>, Folder>,
    by_descriptor: HashMap<WatchDescriptor, Arc<Path>>,
    buffer: Vec<u8>,
    /// Whether each folder of the last walk tells of its changes.
    is_complete: bool,
    has_complained: bool,
}

#[derive(Debug)]
struct Folder {
    descriptor: WatchDescriptor,
    /// What the kernel tells.
    told: Interest,
    /// What this walk has asked for.
    wanted: Option<Interest>,
    has_hints: bool,
}

/// Stands for a path where hints are looked up. Two paths that share one cost a look that was not needed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct PathKey(u64);

impl PathKey {
    /// The key of a path.
    #[must_use]
    pub fn of(path: &Path) -> Self {
        path.file_name().map_or(Self(0), |name| Self::within(folder_of(path), name))
    }

    /// The key of a name in a folder.
    #[must_use]
    pub fn within(folder: &Path, name: &OsStr) -> Self {
        Self(xxh3_64_with_seed(name.as_bytes(), xxh3_64(folder.as_os_str().as_bytes())))
    }
}

/// What the kernel told, beside the names that grew.
#[derive(Debug, Default)]
pub struct Changes {
    /// Names that came or went, in order.
    pub names: Vec<NameChange>,
    /// A folder was removed or moved.
    pub is_folder_gone: bool,
    /// More happened than could be told.
    pub is_overflowed: bool,
}

/// A name that came or went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NameChange {
    /// The folder.
    pub folder: Arc<Path>,
    /// The name.
    pub name: OsString,
    /// What happened to it.
    pub kind: ChangeKind,
    /// Whether it is a folder.
    pub is_folder: bool,
    /// The same for both names of one that was renamed, else zero.
    pub cookie: u32,
}

/// What happened to a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChangeKind {
    /// It is there now.
    Came,
    /// It is not there any more.
    Went,
}

impl Watch {
    /// Watches nothing yet. Without inotify, polling alone decides.
    #[must_use]
    pub fn new() -> Self {
        Self::over(Inotify::init().map_err(|error| warn!(error = %error, "no inotify, files are polled")).ok())
    }

    /// Watches by means of what the kernel gave.
    #[must_use]
    pub fn over(inotify: Option<Inotify>) -> Self {
        // Without it a stop is noticed at the end of the next wait.
        let bell = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK).map(Arc::new).ok();
        Self {
            inotify,
            bell,
            folders: HashMap::new(),
            by_descriptor: HashMap::new(),
            buffer: vec![0; BUFFER_BYTES],
            is_complete: false,
            has_complained: false,
        }
    }

    /// What ends any wait once it is written to, if the system has one.
    #[must_use]
    pub fn bell(&self) -> Option<Arc<OwnedFd>> {
        self.bell.clone()
    }

    /// Whether the bell was rung since it was last asked so. It has to be asked, or no wait lasts any more.
    #[must_use]
    pub fn was_rung(&self) -> bool {
        self.bell.as_ref().is_some_and(|bell| rustix::io::read(bell.as_ref(), &mut [0; 8]).is_ok())
    }

    /// A walk through all globs begins.
    pub fn begin(&mut self) {
        self.is_complete = self.inotify.is_some();
        for folder in self.folders.values_mut() {
            folder.wanted = None;
        }
    }

    /// The walk comes by that folder.
    pub fn add(&mut self, path: &Path, interest: Interest) {
        let Some(inotify) = &self.inotify else { return };
        let known = self.folders.get(path);
        let told = known.map_or(interest, |folder| folder.told.max(interest));
        // Added to the mask, since the folder may be watched under another path as well.
        let has_hints = match (inotify.watches().add(path, mask(interest) | WatchMask::MASK_ADD), known) {
            (Ok(descriptor), Some(known)) if known.descriptor == descriptor => {
                if let Some(folder) = self.folders.get_mut(path) {
                    folder.told = told;
                    folder.wanted = folder.wanted.max(Some(interest));
                }
                self.folders.get(path).is_some_and(|folder| folder.has_hints)
            }
            (Ok(descriptor), _) => self.know(path, descriptor, told, interest),
            (Err(error), _) => {
                if error.kind() != std::io::ErrorKind::NotFound && !std::mem::replace(&mut self.has_complained, true) {
                    warn!(folder = %path.display(), error = %error, "cannot watch folder, its files are polled");
                }
                false
            }
        };
        self.is_complete &= has_hints || interest == Interest::Itself;
    }

    /// The walk has ended: what it did not come by, or has less interest in, is told no more.
    pub fn settle(&mut self) {
        let Some(inotify) = &self.inotify else { return };
        let by_descriptor = &mut self.by_descriptor;
        self.folders.retain(|path, folder| match folder.wanted {
            Some(wanted) => {
                if wanted < folder.told && inotify.watches().add(path, mask(wanted)).is_ok() {
                    folder.told = wanted;
                }
                true
            }
            None => {
                if by_descriptor.remove(&folder.descriptor).is_some() {
                    // It is gone already if the folder is.
                    let _ = inotify.watches().remove(folder.descriptor.clone());
                }
                false
            }
        });
    }

    /// Whether changes of all files that the globs can lead to will be told.
    #[must_use]
    pub const fn is_complete(&self) -> bool {
        self.is_complete
    }

    /// Whether changes of that file will be told.
    #[must_use]
    pub fn works_for(&self, path: &Path) -> bool {
        self.folders.get(folder_of(path)).is_some_and(|folder| folder.has_hints && folder.told == Interest::Files)
    }

    /// Waits until `deadline` or until the bell rings, whatever is told.
    pub fn pause(&self, deadline: Instant) {
        match &self.bell {
            Some(bell) => {
                wait_for(&mut [PollFd::new(bell.as_ref(), PollFlags::IN)], deadline);
            }
            None => std::thread::sleep(deadline.saturating_duration_since(Instant::now())),
        }
    }

    /// Waits for hints until `deadline` or until the bell rings. Calls `grown` for each file that may have grown.
    pub fn wait(&mut self, deadline: Instant, mut grown: impl FnMut(PathKey)) -> Changes {
        let mut changes = Changes::default();
        let Some(inotify) = &self.inotify else {
            self.pause(deadline);
            return changes;
        };
        let mut sources = vec![PollFd::from_borrowed_fd(inotify.as_fd(), PollFlags::IN)];
        sources.extend(self.bell.iter().map(|bell| PollFd::new(bell.as_ref(), PollFlags::IN)));
        wait_for(&mut sources, deadline);
        if sources[0].revents().is_empty() {
            return changes;
        }
        for _ in 0..BUFFERS_AT_ONCE {
            let Some(inotify) = &mut self.inotify else { break };
            let mut buffer = std::mem::take(&mut self.buffer);
            let is_empty = match inotify.read_events(&mut buffer) {
                Ok(events) => {
                    let before = self.by_descriptor.len();
                    let mut any = false;
                    for event in events {
                        any = true;
                        self.hear(&event, &mut grown, &mut changes);
                    }
                    changes.is_folder_gone |= self.by_descriptor.len() < before;
                    !any
                }
                // Nothing more is there.
                Err(_) => true,
            };
            self.buffer = buffer;
            if is_empty {
                break;
            }
        }
        changes
    }

    fn hear(&mut self, event: &Event<&OsStr>, grown: &mut impl FnMut(PathKey), changes: &mut Changes) {
        if event.mask.contains(EventMask::Q_OVERFLOW) {
            changes.is_overflowed = true;
            return;
        }
        if event.mask.intersects(EventMask::IGNORED | EventMask::DELETE_SELF | EventMask::MOVE_SELF) {
            if let Some(folder) = self.by_descriptor.remove(&event.wd) {
                self.folders.remove(&folder);
                if let Some(inotify) = &self.inotify {
                    // A folder that was moved would go on telling; one that was removed is not watched any more.
                    let _ = inotify.watches().remove(event.wd.clone());
                }
            }
            return;
        }
        let Some((folder, name)) = self.by_descriptor.get(&event.wd).zip(event.name) else { return };
        if event.mask.contains(EventMask::MODIFY) {
            grown(PathKey::within(folder, name));
            return;
        }
        let is_there = event.mask.intersects(EventMask::CREATE | EventMask::MOVED_TO);
        changes.names.push(NameChange {
            folder: Arc::clone(folder),
            name: name.to_owned(),
            kind: if is_there { ChangeKind::Came } else { ChangeKind::Went },
            is_folder: event.mask.contains(EventMask::ISDIR),
            cookie: event.cookie,
        });
    }

    /// Notes a folder that is watched from now on, or that stands at a path where another one stood.
    fn know(&mut self, path: &Path, descriptor: WatchDescriptor, told: Interest, wanted: Interest) -> bool {
        if let Some(alias) = self.by_descriptor.get(&descriptor)
            && alias.as_ref() != path
        {
            // The kernel tells of a folder under one path only. This one is reached by a link as well.
            return false;
        }
        let path: Arc<Path> = Arc::from(path);
        let has_hints = RealDisk.system(&path) == Some(System::Local);
        self.by_descriptor.insert(descriptor.clone(), Arc::clone(&path));
        let folder = Folder { descriptor, told, wanted: Some(wanted), has_hints };
        if let Some(former) = self.folders.insert(path, folder) {
            self.by_descriptor.remove(&former.descriptor);
            if let Some(inotify) = &self.inotify {
                // It is gone already if the folder is.
                let _ = inotify.watches().remove(former.descriptor);
            }
        }
        has_hints
    }
}

fn mask(interest: Interest) -> WatchMask {
    let itself = WatchMask::DELETE_SELF | WatchMask::MOVE_SELF | WatchMask::ONLYDIR;
    let names = WatchMask::CREATE | WatchMask::MOVED_FROM | WatchMask::MOVED_TO | WatchMask::DELETE;
    match interest {
        Interest::Itself => itself,
        Interest::Folders => itself | names,
        Interest::Files => itself | names | WatchMask::MODIFY,
    }
}

/// Interrupted by a signal is as good as nothing told.
fn wait_for(sources: &mut [PollFd<'_>], deadline: Instant) {
    let timeout = deadline.saturating_duration_since(Instant::now());
    let _ = poll(sources, Some(&Timespec::try_from(timeout).unwrap_or_default()));
}
