//! Which file a file is, whatever it is called.

/// Device, inode and birth time. A reused inode differs in the birth time where the file system keeps one; where it
/// does not, the content decides ([`super::bookmark::FilePosition::matches`]).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FileId {
    /// Device number.
    pub device: u64,
    /// Inode number.
    pub inode: u64,
    /// Birth time in nanoseconds since 1970; zero if the file system does not keep it.
    pub birth: u64,
}

impl FileId {
    /// Names the file's position in the queue.
    #[must_use]
    pub fn key(&self) -> String {
        format!("{}{:x}:{:x}:{:x}", super::bookmark::KEY_PREFIX, self.device, self.inode, self.birth)
    }
}
