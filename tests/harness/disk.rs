//! Disks that are soon full.

use std::{fs, path::PathBuf, process::Command};

/// A file system in memory, mounted until it is dropped. Must be dropped before the folder that it is in.
///
/// Mounting is root's right; a test that uses one fails for anybody else.
#[derive(Debug)]
pub struct SmallDisk(PathBuf);

impl SmallDisk {
    /// Mounts one at `path`, with options of `mount -t tmpfs` such as `size=2m`.
    #[must_use]
    pub fn mount(path: PathBuf, options: &str) -> Self {
        fs::create_dir_all(&path).unwrap();
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", options, "runlog-test"]).arg(&path);
        assert!(mount.status().unwrap().success(), "{} cannot be mounted; are we root?", path.display());
        Self(path)
    }

    /// Bytes that are free.
    #[must_use]
    pub fn free_bytes(&self) -> u64 {
        let found = rustix::fs::statvfs(&self.0).unwrap();
        found.f_bavail * found.f_frsize
    }

    /// Takes all room but so much, as somebody else's file, and tells its path.
    #[must_use]
    pub fn fill_but(&self, bytes: u64) -> PathBuf {
        let path = self.0.join("somebody-elses");
        let file = fs::File::create(&path).unwrap();
        let flags = rustix::fs::FallocateFlags::empty();
        rustix::fs::fallocate(&file, flags, 0, self.free_bytes().saturating_sub(bytes)).unwrap();
        path
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Lazily: the agent may still be there.
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}
