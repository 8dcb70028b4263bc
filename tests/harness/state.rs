//! A state directory that no agent has yet.

use std::{
    path::{Path, PathBuf},
    process::{Command, Output},
};

use crate::{Line, agent::lines_in, runlog};

/// A folder with a state directory in it, for the commands that need no running agent.
#[derive(Debug)]
pub struct State {
    folder: tempfile::TempDir,
}

impl State {
    /// An empty one.
    #[must_use]
    #[expect(clippy::new_without_default, reason = "it makes a folder")]
    pub fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    /// The state directory.
    #[must_use]
    pub fn dir(&self) -> PathBuf {
        self.path("state")
    }

    /// The folder that the state directory is in.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// A path beside the state directory.
    #[must_use]
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A command with this state that is yet to be run.
    #[must_use]
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = runlog(&self.dir());
        command.args(arguments);
        command
    }

    /// Runs a command with this state to its end.
    #[must_use]
    pub fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    /// Stores a run of `sh -c script`.
    pub fn exec(&self, run: &str, script: &str) {
        let output = self.run(&["exec", "--run-id", run, "--", "sh", "-c", script]);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }

    /// The lines of a run, read straight from the store.
    #[must_use]
    pub fn lines(&self, run: &str) -> Vec<Line> {
        lines_in(&self.run(&["logs", run, "--json"])).unwrap_or_default()
    }
}
