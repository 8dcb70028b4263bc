//! Settings of the file source.

use std::time::Duration;

use crate::record::Format;

/// Which files are followed, and how closely.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// Paths and globs to follow.
    pub paths: Vec<String>,
    /// Paths and globs to leave out.
    pub exclude: Vec<String>,
    /// How often files are looked at without a hint from the kernel.
    pub poll: Duration,
    /// How often the globs are walked through where the kernel does not tell of changes.
    pub scan: Duration,
    /// How long a renamed or deleted file is still read after its last byte came.
    pub rotate_grace: Duration,
    /// What a container runtime wrapped around each line.
    pub format: Format,
    /// How many files are held open, as far as the system allows.
    pub max_open: usize,
}
