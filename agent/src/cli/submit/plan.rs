//! What is to be run, which a process in the background reads from a file.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::record::UnixNanos;

/// What all runs of one call share, and which they are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// The sweep, or the only run.
    pub id: String,
    /// What they are a part of.
    pub experiment: String,
    /// The copy that they run in.
    pub folder: PathBuf,
    /// When it was complete.
    pub copied: UnixNanos,
    /// Whether it stays when all have completed.
    pub keeps_copy: bool,
    /// Where the store is.
    pub state_dir: PathBuf,
    /// So many at the same time.
    pub parallel: u16,
    /// Whether what they print is shown.
    pub has_output: bool,
    /// The metric whose smallest value is the best one.
    pub metric: Option<String>,
    /// The runs.
    pub trials: Vec<Trial>,
}

/// One run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trial {
    /// Its id.
    pub id: String,
    /// Its name for people, such as `alpha=0.1`.
    pub name: String,
    /// The script and its arguments.
    pub command: Vec<String>,
}

impl Plan {
    /// Whether the runs are children of one.
    pub fn is_sweep(&self) -> bool {
        self.trials.iter().all(|trial| trial.id != self.id)
    }

    /// Where the plans of a state directory are while processes in the background work at them.
    pub fn folder_in(state_dir: &Path) -> PathBuf {
        state_dir.join("submitted")
    }

    /// Where programs find whoever works at it, if no agent is there to be found.
    pub fn socket(&self) -> PathBuf {
        // The path of a socket is short, and the last digits of an id are its random ones.
        self.state_dir.join(format!("{}.sock", &self.id[self.id.len().saturating_sub(12)..]))
    }
}

impl Trial {
    /// What people call it.
    pub fn shown(&self) -> &str {
        if self.name.is_empty() { &self.id } else { &self.name }
    }
}
