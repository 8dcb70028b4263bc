//! The bars that are being drawn.

use super::progress::Progress;
use crate::record::UnixNanos;

/// More bars at once are not told apart: the oldest is given out as it is.
pub const MAX_BARS: usize = 32;

/// The newest state of something that is drawn again and again.
#[derive(Debug)]
pub struct Bar {
    /// Which one it is.
    pub key: u64,
    /// The row, without what is only drawn.
    pub text: Vec<u8>,
    /// Whether the row is known to be UTF-8.
    pub is_utf8: bool,
    /// [`super::shape`] of the whole row.
    pub shape: u64,
    /// Its numbers. A row that has none counts as complete each time it is drawn.
    pub progress: Option<Progress>,
    /// See [`super::progress::Bar::is_certain`].
    pub is_certain: bool,
    /// The name of the row's first byte, and where reading has to start to come by it.
    pub at: u64,
    /// See [`crate::parse::Line::read_from`].
    pub read_from: u64,
    /// When it came, by its line or else by when it was read: it may be given out much later.
    pub time: UnixNanos,
    /// Attributes that stand beside the row.
    pub attributes: Vec<u8>,
    /// States that were drawn over since one was given out.
    pub folded: u64,
    /// When a state was given out, or the first one drawn.
    pub since: UnixNanos,
    /// Whether this state is given out.
    pub is_given: bool,
    /// Whether its row has ended with a newline.
    pub has_ended: bool,
}

impl Bar {
    /// Whether nothing is left to do.
    pub fn is_finished(&self) -> bool {
        self.progress.is_some_and(|progress| progress.is_finished())
    }

    /// Whether it says all that is to be expected of it.
    pub fn is_complete(&self) -> bool {
        match self.progress {
            Some(progress) => progress.is_finished(),
            None => true,
        }
    }

    /// Whether `next` begins anew: a bar of the same name, in the next epoch. One that goes back a little is drawn by
    /// several processes.
    pub fn begins_anew_with(&self, next: Option<Progress>) -> bool {
        let (Some(before), Some(next)) = (self.progress, next) else { return false };
        next.current * 2.0 < before.current
    }
}
