//! What the file system below the queue is, and how much room it has.

use std::{io, path::Path};

/// A file system.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Volume {
    /// Bytes that this user may still take.
    pub free_bytes: u64,
    /// All its bytes.
    pub total_bytes: u64,
    /// Where they are.
    pub medium: Medium,
}

/// What a sync means on a file system.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Medium {
    /// What is synced survives, as far as is known: a disk, or something that hides what it is.
    Disk,
    /// Nothing survives a restart of the machine.
    Memory,
    /// Another machine holds it: locks and syncs may be promised and not kept.
    Network,
}

impl Volume {
    /// The file system that holds this directory.
    ///
    /// # Errors
    /// What the system says.
    pub fn of(dir: &Path) -> io::Result<Self> {
        let found = rustix::fs::statfs(dir)?;
        // The block size is signed on some machines.
        let block_bytes = u64::try_from(found.f_bsize).unwrap_or(0);
        Ok(Self {
            free_bytes: block_bytes.saturating_mul(found.f_bavail),
            total_bytes: block_bytes.saturating_mul(found.f_blocks),
            medium: medium(found.f_type as u32),
        })
    }

    /// What is left to others of its room where so much is to be: a twentieth of it at most.
    #[must_use]
    pub fn left_to_others(self, min_free_bytes: u64) -> u64 {
        min_free_bytes.min(self.total_bytes / 20)
    }
}

/// Source: statfs(2), and `include/uapi/linux/magic.h` of Linux.
const fn medium(magic: u32) -> Medium {
    match magic {
        // tmpfs, ramfs.
        0x0102_1994 | 0x8584_58f6 => Medium::Memory,
        // NFS, SMB, CIFS, SMB2, AFS, OpenAFS, Ceph, Coda.
        0x6969 | 0x517b | 0xff53_4d42 | 0xfe53_4d42 | 0x6b41_4653 | 0x5346_414f | 0x00c3_6400 | 0x7375_7245 => {
            Medium::Network
        }
        _ => Medium::Disk,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn q22_a_file_system_is_told_by_what_the_kernel_calls_it() {
        assert_eq!(Volume::of(Path::new("/dev/shm")).unwrap().medium, Medium::Memory);
        let here = Volume::of(Path::new(env!("CARGO_MANIFEST_DIR"))).unwrap();
        assert!(here.free_bytes > 0 && here.free_bytes < here.total_bytes);
        assert_eq!(
            [medium(0x6969), medium(0xfe53_4d42), medium(0xef53)],
            [Medium::Network, Medium::Network, Medium::Disk]
        );
    }
}
