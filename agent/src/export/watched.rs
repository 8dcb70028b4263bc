//! Files whose content is in use, and whether it is still what they hold.

use std::{
    fs,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
    time::Duration,
};

use tokio::{task::spawn_blocking, time::Instant};

/// How often they are looked at while all goes well.
const EVERY: Duration = Duration::from_secs(10);

/// When to look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Look {
    /// If the last look was a while ago.
    Sometimes,
    /// At once, since something has failed.
    Now,
}

/// Files that other programs replace: secrets, certificates.
#[derive(Debug)]
pub(super) struct Watched {
    paths: Vec<PathBuf>,
    seen: Mutex<Seen>,
}

#[derive(Debug)]
struct Seen {
    stamps: Vec<Option<Stamp>>,
    next_look: Instant,
}

/// What tells one content from another. A link is followed, as in a mounted secret, where a link to a folder is replaced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stamp {
    file: (u64, u64),
    size: u64,
    modified: (i64, i64),
}

impl Watched {
    /// Nothing is known of the files yet: they may have changed since somebody read them, so the first look says so.
    pub(super) fn new(paths: Vec<PathBuf>) -> Self {
        Self { paths, seen: Mutex::new(Seen { stamps: Vec::new(), next_look: Instant::now() }) }
    }

    /// Whether they have changed since the last call that said so.
    pub(super) async fn have_changed(&self, look: Look) -> bool {
        if self.paths.is_empty() || (look == Look::Sometimes && !self.is_due()) {
            return false;
        }
        let paths = self.paths.clone();
        // Fails only when the runtime shuts down.
        let Ok(stamps) = spawn_blocking(move || stamps(&paths)).await else { return false };
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let changed = seen.stamps != stamps;
        *seen = Seen { stamps, next_look: Instant::now() + EVERY };
        changed
    }

    fn is_due(&self) -> bool {
        Instant::now() >= self.seen.lock().unwrap_or_else(PoisonError::into_inner).next_look
    }
}

fn stamps(paths: &[PathBuf]) -> Vec<Option<Stamp>> {
    let stamp = |path: &PathBuf| Stamp::of(path);
    paths.iter().map(stamp).collect()
}

impl Stamp {
    fn of(path: &Path) -> Option<Self> {
        let held = fs::metadata(path).ok()?;
        Some(Self { file: (held.dev(), held.ino()), size: held.size(), modified: (held.mtime(), held.mtime_nsec()) })
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn x13_x14_every_way_to_replace_a_file_is_noticed_once() {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        for folder in ["1", "2"] {
            fs::create_dir(path(folder)).unwrap();
            fs::write(path(folder).join("token"), "secret").unwrap();
        }
        symlink("1", path("now")).unwrap();
        let watched = Watched::new(vec![path("now").join("token"), path("other")]);
        assert!(watched.have_changed(Look::Now).await, "the first look");
        assert!(!watched.have_changed(Look::Now).await);

        let later = fs::File::options().write(true).open(path("1").join("token")).unwrap();
        let ways: [&dyn Fn(); 5] = [
            &|| fs::write(path("1").join("token"), "longer secret").unwrap(),
            &|| later.set_modified(std::time::SystemTime::UNIX_EPOCH).unwrap(),
            &|| {
                symlink("2", path("new")).unwrap();
                fs::rename(path("new"), path("now")).unwrap();
            },
            &|| fs::write(path("other"), "").unwrap(),
            &|| fs::remove_file(path("other")).unwrap(),
        ];
        for (number, replace) in ways.iter().enumerate() {
            replace();
            assert!(watched.have_changed(Look::Now).await, "way {number}");
            assert!(!watched.have_changed(Look::Now).await, "way {number}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn x14_without_need_files_are_looked_at_now_and_then() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("token");
        let watched = Watched::new(vec![path.clone()]);
        assert!(watched.have_changed(Look::Sometimes).await, "the first look");
        fs::write(&path, "secret").unwrap();
        assert!(!watched.have_changed(Look::Sometimes).await);
        tokio::time::advance(EVERY).await;
        assert!(watched.have_changed(Look::Sometimes).await);
    }
}
