//! How a container ended, whoever ran it.

use crate::record::UnixNanos;

/// How a container ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exit {
    /// 128 and the signal's number after a signal.
    pub code: i64,
    /// Whether the kernel ended it for want of memory.
    pub is_oom_killed: bool,
    /// When, if that is known.
    pub finished: Option<UnixNanos>,
}

impl Exit {
    /// Whether it ended as it should.
    pub const fn is_well(&self) -> bool {
        self.code == 0 && !self.is_oom_killed
    }

    /// What it ended with, for a sentence.
    pub fn words(&self) -> String {
        let why = if self.is_oom_killed { ", killed for want of memory" } else { "" };
        format!("exit code {}{why}", self.code)
    }
}
