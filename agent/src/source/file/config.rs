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
    /// How often the globs are looked through.
    pub scan: Duration,
    /// How long a renamed or deleted file is still read after its last byte came.
    pub rotate_grace: Duration,
    /// What a container runtime wrapped around each line.
    pub format: Format,
}
