//! A Docker engine that belongs to one test, so that it can be restarted.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use crate::{container::give_image, eventually, tools::root};

/// An engine of our own. Removed with its containers when dropped.
#[derive(Debug)]
pub struct Engine {
    folder: tempfile::TempDir,
}

impl Engine {
    /// Starts an engine with the test image.
    #[must_use]
    pub fn start() -> Self {
        // Short, since its sockets' paths have to be.
        let folder = tempfile::Builder::new().prefix("rl").tempdir_in("/tmp").unwrap();
        let engine = Self { folder };
        engine.up();
        give_image(&engine.host());
        engine
    }

    /// Its `DOCKER_HOST`.
    #[must_use]
    pub fn host(&self) -> String {
        format!("unix://{}/docker.sock", self.dir().display())
    }

    /// SIGTERM to the engine, which ends its containers; waits until it is gone.
    pub fn stop(&self) {
        let pid = fs::read_to_string(self.dir().join("dockerd.pid")).unwrap();
        let status = Command::new("kill").arg(pid.trim()).status().unwrap();
        assert!(status.success());
        let process = Path::new("/proc").join(pid.trim());
        eventually("the engine has ended", || (!process.exists() || is_zombie(&process)).then_some(()));
    }

    /// Starts it, again.
    pub fn up(&self) {
        assert!(self.script("up"), "the engine does not start");
    }

    fn script(&self, verb: &str) -> bool {
        let mut command = Command::new(root().join("tests/tools/docker-engine"));
        // An address where nobody is, so that it does not take the engine that all share.
        command.arg(verb).env("TMPDIR", self.folder.path()).env("DOCKER_HOST", "unix:///nonexistent/docker.sock");
        command.output().unwrap().status.success()
    }

    fn dir(&self) -> PathBuf {
        self.folder.path().join("runlog-docker")
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.script("down");
    }
}

fn is_zombie(process: &Path) -> bool {
    fs::read_to_string(process.join("stat")).is_ok_and(|stat| stat.contains(") Z "))
}
