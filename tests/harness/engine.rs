//! A Docker engine that belongs to one test, so that it can be restarted.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use crate::{Journal, container::give_image, eventually, process::eventually_stands_still, tools::root};

/// An engine of our own. Removed with its containers when dropped.
#[derive(Debug)]
pub struct Engine {
    folder: tempfile::TempDir,
    flags: &'static [&'static str],
    journal: Option<Journal>,
}

impl Engine {
    /// Starts an engine with the test image.
    #[must_use]
    pub fn start() -> Self {
        Self::with(&[])
    }

    /// Starts an engine with the test image and these flags of `dockerd`.
    #[must_use]
    pub fn with(flags: &'static [&'static str]) -> Self {
        Self::prepared(flags, None)
    }

    /// Starts an engine with the test image that finds that journal in place of the machine's.
    #[must_use]
    pub fn beside(journal: Journal) -> Self {
        Self::prepared(&[], Some(journal))
    }

    fn prepared(flags: &'static [&'static str], journal: Option<Journal>) -> Self {
        // Short, since its sockets' paths have to be.
        let folder = tempfile::Builder::new().prefix("rl").tempdir_in("/tmp").unwrap();
        let engine = Self { folder, flags, journal };
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
        self.end("TERM");
    }

    /// SIGKILL to the engine; waits until it is gone.
    pub fn kill(&self) {
        self.end("KILL");
    }

    /// SIGSTOP to the engine: its socket still takes connections, and nobody answers.
    pub fn freeze(&self) {
        eventually_stands_still(self.signal("STOP"));
    }

    /// SIGCONT to the engine.
    pub fn thaw(&self) {
        self.signal("CONT");
    }

    fn end(&self, signal: &str) {
        let process = Path::new("/proc").join(self.signal(signal).to_string());
        eventually("the engine has ended", || (!process.exists() || is_zombie(&process)).then_some(()));
    }

    /// Sends a signal and returns the process id.
    fn signal(&self, signal: &str) -> u32 {
        let pid = fs::read_to_string(self.dir().join("dockerd.pid")).unwrap().trim().to_owned();
        let status = Command::new("kill").args(["-s", signal, &pid]).status().unwrap();
        assert!(status.success());
        pid.parse().unwrap()
    }

    /// Starts it, again.
    pub fn up(&self) {
        assert!(self.script(&[&["up"], self.flags].concat()), "the engine does not start");
    }

    fn script(&self, arguments: &[&str]) -> bool {
        let tool = root().join("tests/tools/docker-engine");
        let mut command = self.journal.as_ref().map_or_else(|| Command::new(&tool), |journal| journal.beside(&tool));
        // An address where nobody is, so that it does not take the engine that all share.
        command.args(arguments).env("TMPDIR", self.folder.path()).env("DOCKER_HOST", "unix:///nonexistent/docker.sock");
        command.output().unwrap().status.success()
    }

    fn dir(&self) -> PathBuf {
        self.folder.path().join("runlog-docker")
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.script(&["down"]);
    }
}

fn is_zombie(process: &Path) -> bool {
    fs::read_to_string(process.join("stat")).is_ok_and(|stat| stat.contains(") Z "))
}
