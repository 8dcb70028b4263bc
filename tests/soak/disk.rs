//! A small file system of its own for the state directory, which can be filled.

use std::{
    fs::{self, File},
    io::{ErrorKind, Write},
    path::{Path, PathBuf},
    process::Command,
    sync::OnceLock,
};

/// What is written at once to fill it.
const BLOCK: [u8; 4096] = [1; 4096];

/// A file system in memory. Gone when dropped.
#[derive(Debug)]
pub struct SmallDisk {
    path: PathBuf,
}

impl SmallDisk {
    /// Makes one of that size at `path`. `None` where this may not be done.
    pub fn at(path: &Path, bytes: u64) -> Option<Self> {
        static MAY: OnceLock<bool> = OnceLock::new();
        if !MAY.get_or_init(may_mount) {
            return None;
        }
        fs::create_dir_all(path).unwrap();
        let size = format!("size={bytes}");
        let status =
            Command::new("mount").args(["-t", "tmpfs", "-o", &size, "runlog-soak"]).arg(path).status().unwrap();
        assert!(status.success(), "cannot mount a file system at {}", path.display());
        Some(Self { path: path.to_owned() })
    }

    /// Leaves no room at all.
    pub fn fill(&self) {
        let mut ballast = File::create(self.ballast()).unwrap();
        loop {
            match ballast.write(&BLOCK) {
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::StorageFull => return,
                Err(error) => panic!("cannot fill the disk: {error}"),
            }
        }
    }

    /// There is room again.
    pub fn free(&self) {
        fs::remove_file(self.ballast()).unwrap();
    }

    /// Puts what is on it where it was mounted, for people to look at.
    pub fn keep(self) {
        let kept = self.path.with_extension("kept");
        let copied =
            Command::new("cp").arg("-a").arg(&self.path).arg(&kept).status().is_ok_and(|status| status.success());
        let path = self.path.clone();
        drop(self);
        if copied && fs::remove_dir(&path).is_ok() {
            // What is not there under its name is there under the other.
            let _ = fs::rename(kept, path);
        }
    }

    fn ballast(&self) -> PathBuf {
        self.path.join("ballast")
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Lazily, since the agent may be ending still.
        let _ = Command::new("umount").arg("-l").arg(&self.path).status();
    }
}

fn may_mount() -> bool {
    let folder = tempfile::tempdir().unwrap();
    let mount = Command::new("mount").args(["-t", "tmpfs", "runlog-soak"]).arg(folder.path()).output();
    let may = mount.is_ok_and(|output| output.status.success());
    if may {
        let status = Command::new("umount").arg(folder.path()).status().unwrap();
        assert!(status.success(), "cannot unmount {}", folder.path().display());
    } else {
        eprintln!("soak: disks are not filled, since only root may mount one");
    }
    may
}
