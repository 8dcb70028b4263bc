//! Podman, which speaks Docker's API.

use std::{
    fs,
    process::{Child, Command, Stdio},
};

use crate::{container::give_image, eventually, tool};

/// A Podman of our own, with its service. Removed with its containers when dropped.
#[derive(Debug)]
pub struct Podman {
    folder: tempfile::TempDir,
    service: Option<Child>,
}

impl Podman {
    /// Starts one with the test image.
    #[must_use]
    pub fn start() -> Self {
        let folder = tempfile::Builder::new().prefix("rl").tempdir_in("/tmp").unwrap();
        // Without a network, which needs more parts and is not what is tested; and with limits that may be set anywhere.
        let settings =
            "[containers]\nnetns = \"none\"\ndefault_ulimits = [\"nofile=1024:1024\", \"nproc=1024:1024\"]\n";
        fs::write(folder.path().join("containers.conf"), settings).unwrap();
        let mut podman = Self { folder, service: None };
        podman.up();
        give_image(&podman.host());
        podman
    }

    /// Its `DOCKER_HOST`.
    #[must_use]
    pub fn host(&self) -> String {
        format!("unix://{}/podman.sock", self.folder.path().display())
    }

    /// Starts its service, again. Containers do not depend on it.
    pub fn up(&mut self) {
        let mut command = self.command();
        command.args(["system", "service", "--time", "0", &self.host()]);
        let log = fs::File::create(self.folder.path().join("log")).unwrap();
        self.service = Some(command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn().unwrap());
        eventually("podman answers", || {
            let asked = Command::new("docker").arg("version").env("DOCKER_HOST", self.host()).output().unwrap();
            asked.status.success().then_some(())
        });
    }

    /// Ends its service.
    pub fn stop(&mut self) {
        let mut service = self.service.take().unwrap();
        service.kill().unwrap();
        service.wait().unwrap();
        let _ = fs::remove_file(self.folder.path().join("podman.sock"));
    }

    fn command(&self) -> Command {
        let folder = self.folder.path().display();
        let mut command = Command::new(tool("RUNLOG_TEST_PODMAN", "podman"));
        command
            .args([
                "--runtime",
                "runc",
                "--storage-driver",
                "vfs",
                "--cgroup-manager",
                "cgroupfs",
                "--events-backend",
                "file",
            ])
            .args([
                format!("--root={folder}/root"),
                format!("--runroot={folder}/run"),
                format!("--tmpdir={folder}/tmp"),
            ])
            .env("CONTAINERS_CONF", self.folder.path().join("containers.conf"));
        command
    }
}

impl Drop for Podman {
    fn drop(&mut self) {
        let _ = self.command().args(["rm", "--all", "--force", "--time", "0"]).output();
        if self.service.is_some() {
            self.stop();
        }
        // The folder's files belong to layers; what is mounted there has to go first.
        let _ = self.command().args(["system", "reset", "--force"]).output();
    }
}
