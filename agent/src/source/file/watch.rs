//! The kernel's hints about folders. A hint that does not come costs time, never lines.

use std::{
    collections::{HashMap, HashSet},
    ffi::OsString,
    os::fd::AsFd,
    path::{Path, PathBuf},
    time::Instant,
};

use inotify::{EventMask, Inotify, WatchDescriptor, WatchMask};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use tracing::warn;

const BUFFER_BYTES: usize = 64 * 1024;

/// File systems that change without telling the kernel. Source: `linux/magic.h`.
const WITHOUT_HINTS: [u64; 7] = [
    0x6969,      // nfs
    0xff53_4d42, // cifs
    0xfe53_4d42, // smb2
    0x6573_5546, // fuse
    0x0102_1997, // 9p
    0x794c_7630, // overlay
    0x0bd0_0bd0, // lustre
];

/// Watches folders.
#[derive(Debug)]
pub struct Watch {
    inotify: Option<Inotify>,
    folders: HashMap<WatchDescriptor, PathBuf>,
    known: HashSet<PathBuf>,
    buffer: Vec<u8>,
    has_complained: bool,
}

/// What the kernel told.
#[derive(Debug, Default)]
pub struct Hints {
    /// Names came, went or changed: look through the globs.
    pub scan: bool,
    changed: HashSet<(PathBuf, OsString)>,
    all: bool,
}

impl Hints {
    /// Whether the file at that path may have grown.
    #[must_use]
    pub fn concerns(&self, path: &Path) -> bool {
        self.all
            || !self.changed.is_empty()
                && path
                    .parent()
                    .zip(path.file_name())
                    .is_some_and(|(folder, name)| self.changed.contains(&(folder.to_owned(), name.to_owned())))
    }
}

impl Watch {
    /// Watches nothing yet. Without inotify, polling alone decides.
    #[must_use]
    pub fn new() -> Self {
        let inotify = Inotify::init().map_err(|error| warn!(error = %error, "no inotify, files are polled")).ok();
        Self {
            inotify,
            folders: HashMap::new(),
            known: HashSet::new(),
            buffer: vec![0; BUFFER_BYTES],
            has_complained: false,
        }
    }

    /// Watches one more folder.
    pub fn add(&mut self, folder: &Path) {
        let Some(inotify) = &self.inotify else { return };
        if self.known.contains(folder) {
            return;
        }
        let mask = WatchMask::MODIFY
            | WatchMask::CREATE
            | WatchMask::MOVED_FROM
            | WatchMask::MOVED_TO
            | WatchMask::DELETE
            | WatchMask::DELETE_SELF
            | WatchMask::MOVE_SELF
            | WatchMask::ONLYDIR;
        match inotify.watches().add(folder, mask) {
            Ok(descriptor) => {
                self.known.insert(folder.to_owned());
                self.folders.insert(descriptor, folder.to_owned());
            }
            Err(error) => {
                if !std::mem::replace(&mut self.has_complained, true) {
                    warn!(folder = %folder.display(), error = %error, "cannot watch folder, its files are polled");
                }
            }
        }
    }

    /// Whether changes of that file will be told.
    #[must_use]
    pub fn works_for(&self, path: &Path) -> bool {
        let folder = path.parent().unwrap_or(Path::new("/"));
        self.known.contains(folder)
            && rustix::fs::statfs(folder).is_ok_and(|fs| !WITHOUT_HINTS.contains(&(fs.f_type as u64)))
    }

    /// Waits for hints until `deadline`.
    pub fn wait(&mut self, deadline: Instant) -> Hints {
        let mut hints = Hints::default();
        let timeout = deadline.saturating_duration_since(Instant::now());
        let Some(inotify) = &mut self.inotify else {
            std::thread::sleep(timeout);
            return hints;
        };
        let timespec = Timespec::try_from(timeout).unwrap_or_default();
        let ready = {
            let fd = inotify.as_fd();
            poll(&mut [PollFd::new(&fd, PollFlags::IN)], Some(&timespec))
        };
        // Interrupted by a signal is as good as nothing told.
        if !matches!(ready, Ok(1..)) {
            return hints;
        }
        while let Ok(events) = inotify.read_events(&mut self.buffer) {
            let mut any = false;
            for event in events {
                any = true;
                if event.mask.contains(EventMask::Q_OVERFLOW) {
                    hints.all = true;
                    hints.scan = true;
                    continue;
                }
                if event.mask.intersects(EventMask::IGNORED | EventMask::DELETE_SELF | EventMask::MOVE_SELF) {
                    if let Some(folder) = self.folders.remove(&event.wd) {
                        self.known.remove(&folder);
                    }
                    hints.scan = true;
                    continue;
                }
                if !event.mask.contains(EventMask::MODIFY) {
                    hints.scan = true;
                }
                if let Some((folder, name)) = self.folders.get(&event.wd).zip(event.name) {
                    hints.changed.insert((folder.clone(), name.to_owned()));
                }
            }
            if !any {
                break;
            }
        }
        hints
    }
}
