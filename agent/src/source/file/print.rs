//! How the bytes of a file are recognised after it was renamed, copied, compressed or cut.

use super::{
    bookmark::{FilePosition, Head},
    disk::Handle,
};

/// How many bytes before the position are kept to notice that the file was written anew.
const REMEMBERED_BYTES: usize = 64;

/// What is known of bytes that were read.
#[derive(Debug, Clone)]
pub enum Print {
    /// Of a file that this process has read.
    Tail {
        /// How far it was read.
        offset: u64,
        /// How it began, if that is known.
        head: Option<Head>,
        /// What stood before the offset.
        last: LastBytes,
    },
    /// What the queue has kept.
    Position(FilePosition),
}

impl Print {
    /// Whether that file holds these bytes at the same place.
    #[must_use]
    pub fn is_of(&self, handle: &dyn Handle) -> bool {
        match self {
            Self::Tail { offset, head, last } => {
                *offset > 0
                    && head.is_none_or(|head| head.is_of(handle))
                    && LastBytes::before(*offset, handle).as_ref() == Some(last)
            }
            Self::Position(position) => position.is_copied_to(handle),
        }
    }

    /// Whether so many bytes were compared that no other file has the same.
    #[must_use]
    pub const fn is_telling(&self) -> bool {
        match self {
            Self::Tail { head: Some(head), .. } => head.is_whole(),
            Self::Tail { head: None, .. } => false,
            Self::Position(position) => position.head().is_whole(),
        }
    }
}

/// The last bytes that were read of a file, in place: most files are idle, and there are many.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LastBytes {
    bytes: [u8; REMEMBERED_BYTES],
    length: usize,
}

impl Default for LastBytes {
    fn default() -> Self {
        Self { bytes: [0; REMEMBERED_BYTES], length: 0 }
    }
}

impl LastBytes {
    /// Those before an offset. `None` if the file cannot be read there.
    #[must_use]
    pub fn before(offset: u64, handle: &dyn Handle) -> Option<Self> {
        let length = usize::try_from(offset).unwrap_or(usize::MAX).min(REMEMBERED_BYTES);
        let mut bytes = Vec::with_capacity(length);
        if length > 0 {
            handle.read_at(offset - length as u64, length, &mut bytes).ok()?;
        }
        let mut last = Self::default();
        last.follow(&bytes[..length.min(bytes.len())]);
        Some(last)
    }

    /// The last one of them.
    #[must_use]
    pub fn last(&self) -> Option<u8> {
        self.length.checked_sub(1).map(|last| self.bytes[last])
    }

    /// More was read.
    pub fn follow(&mut self, data: &[u8]) {
        let data = &data[data.len().saturating_sub(REMEMBERED_BYTES)..];
        let kept = self.length.min(REMEMBERED_BYTES - data.len());
        self.bytes.copy_within(self.length - kept..self.length, 0);
        self.length = kept + data.len();
        self.bytes[kept..self.length].copy_from_slice(data);
        self.bytes[self.length..].fill(0);
    }
}
