//! What is to be run, which a process in the background reads from a file.

use std::{
    fs, io,
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};
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

    /// Where it is written down until all has completed.
    pub fn path(&self) -> PathBuf {
        path_in(&self.state_dir, &self.id)
    }

    /// Writes it down.
    ///
    /// # Errors
    /// If the state directory cannot be written to.
    pub fn write(&self) -> Result<()> {
        let folder = Self::folder_in(&self.state_dir);
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&folder)
            .with_context(|| format!("{} cannot be made", folder.display()))?;
        let path = self.path();
        fs::write(&path, serde_json::to_vec(self)?).with_context(|| format!("{} cannot be written", path.display()))
    }

    /// Removes it, with what was said beside it. What stays behind is read by nobody.
    pub fn remove(&self) {
        let path = self.path();
        for path in [log_of(&path), path] {
            let _: io::Result<()> = fs::remove_file(path);
        }
    }

    /// Where the plans of a state directory are.
    pub fn folder_in(state_dir: &Path) -> PathBuf {
        state_dir.join("submitted")
    }

    /// Where programs find whoever works at it, if no agent is there to be found.
    pub fn socket(&self) -> PathBuf {
        // The path of a socket is short, and the last digits of an id are its random ones.
        self.state_dir.join(format!("{}.sock", &self.id[self.id.len().saturating_sub(12)..]))
    }
}

/// Where the plan of a run is, or of a sweep.
pub fn path_in(state_dir: &Path, id: &str) -> PathBuf {
    Plan::folder_in(state_dir).join(format!("{id}.json"))
}

/// What a process in the background has to say of a plan.
pub fn log_of(plan: &Path) -> PathBuf {
    plan.with_extension("log")
}

/// Reads a plan.
///
/// # Errors
/// If it is none.
pub fn read(path: &Path) -> Result<Plan> {
    let text = fs::read(path).with_context(|| format!("{} cannot be read", path.display()))?;
    serde_json::from_slice(&text).with_context(|| format!("{} is no plan of runlog submit", path.display()))
}

impl Trial {
    /// What people call it.
    pub fn shown(&self) -> &str {
        if self.name.is_empty() { &self.id } else { &self.name }
    }
}
